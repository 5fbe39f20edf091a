//! `[project.labels]`: which labels show where an issue stands.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::Deserialize;

use super::values::Period;

/// The four labels that are ours, and how they are kept.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(crate) struct LabelsConfig {
    /// Somebody is at it.
    pub(crate) processing: Label,
    /// Its author has been asked something.
    pub(crate) awaiting_response: Label,
    /// It is done.
    pub(crate) completed: Label,
    /// It failed.
    pub(crate) error: Label,
    /// For how long changes are gathered before they are written.
    pub(crate) coalesce: Period<0, 60>,
    /// How often all labels are compared with what they should be.
    pub(crate) sweep: Period<10, 86_400>,
}

/// A label on GitHub.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Written")]
pub(crate) struct Label {
    /// 1 to 50 characters; GitHub takes upper and lower case for the same.
    pub(crate) name: String,
    /// Six hexadecimal digits.
    pub(crate) color: String,
}

/// A label as it is written: its name, or its name and colour.
#[derive(Deserialize)]
#[serde(untagged, expecting = "must be a name, or { name = \"…\", color = \"rrggbb\" }")]
enum Written {
    Name(String),
    Both { name: String, color: String },
}

/// The colour of a label of which only the name is said.
const GREY: &str = "ededed";

impl TryFrom<Written> for Label {
    type Error = String;

    fn try_from(written: Written) -> Result<Self, String> {
        let (name, color) = match written {
            Written::Name(name) => (name, GREY.to_owned()),
            Written::Both { name, color } => (name, color),
        };
        let color = color.trim_start_matches('#').to_ascii_lowercase();
        if name.trim() != name || !(1..=50).contains(&name.chars().count()) || name.contains(['\n', ',']) {
            return Err(format!("the label {name:?} must be 1 to 50 characters, without a comma or blanks around it"));
        }
        if color.len() != 6 || !color.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(format!("the color {color:?} must be six hexadecimal digits"));
        }
        Ok(Self { name, color })
    }
}

impl Default for LabelsConfig {
    fn default() -> Self {
        let label = |name: &str, color: &str| Label { name: name.to_owned(), color: color.to_owned() };
        Self {
            processing: label("processing", "1d76db"),
            awaiting_response: label("awaiting-response", "fbca04"),
            completed: label("completed", "0e8a16"),
            error: label("error", "d73a4a"),
            coalesce: Period::of(Duration::from_secs(2)),
            sweep: Period::of(Duration::from_secs(30 * 60)),
        }
    }
}

impl LabelsConfig {
    /// All four.
    pub(crate) fn all(&self) -> [&Label; 4] {
        [&self.processing, &self.awaiting_response, &self.completed, &self.error]
    }

    /// No label may mean two things: the key of one that does, and what is wrong with it.
    pub(super) fn ambiguity(&self) -> Option<(&'static str, String)> {
        let mut names = BTreeSet::new();
        let keys = ["processing", "awaiting-response", "completed", "error"];
        let mut labels = keys.into_iter().zip(self.all());
        let (key, label) = labels.find(|(_, label)| !names.insert(label.name.to_lowercase()))?;
        Some((key, format!("{:?} stands for two statuses", label.name)))
    }
}
