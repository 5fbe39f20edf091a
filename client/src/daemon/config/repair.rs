//! `[project.repair]`: what becomes of orphans.

use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

use super::super::repair::text::PLACES;
use super::super::template::Template;
use super::values::Period;

/// What becomes of orphans.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(crate) struct RepairConfig {
    /// Whether their tasks wait again, or are given up.
    pub(crate) policy: Policy,
    /// How long the second repair of an issue waits; each further one twice as long.
    pub(crate) backoff: Period<1, 86_400>,
    /// Whether each repair is told in a comment on the issue.
    pub(crate) comment: bool,
    /// In which language.
    pub(crate) language: Language,
    /// In words of one's own, which the file holds.
    pub(crate) template: Option<TemplateFile>,
}

impl Default for RepairConfig {
    fn default() -> Self {
        Self {
            policy: Policy::Requeue,
            backoff: Period::of(Duration::from_secs(30)),
            comment: true,
            language: Language::English,
            template: None,
        }
    }
}

/// Whether an orphan's task waits again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Policy {
    /// It does, until it was lost too often.
    Requeue,
    /// The issue is in error, and its task is dead.
    Error,
}

/// The language of comments.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub(crate) enum Language {
    #[serde(rename = "en")]
    English,
    #[serde(rename = "ja")]
    Japanese,
}

/// A template, read where it is named.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "PathBuf")]
pub(crate) struct TemplateFile(Template);

impl TemplateFile {
    pub(crate) fn get(&self) -> &Template {
        &self.0
    }
}

impl TryFrom<PathBuf> for TemplateFile {
    type Error = String;

    fn try_from(file: PathBuf) -> Result<Self, String> {
        Template::read(&file, PLACES).map(Self)
    }
}
