//! `[project.intake]`: what becomes a task.

use std::time::Duration;

use serde::Deserialize;

use super::values::Period;

/// What becomes a task.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(crate) struct IntakeConfig {
    /// Whose issues and comments count; of none, nobody's.
    pub(crate) authors: Vec<String>,
    /// How often GitHub is asked for what is new.
    pub(crate) poll: Period<5, 86_400>,
}

impl Default for IntakeConfig {
    fn default() -> Self {
        Self { authors: Vec::new(), poll: Period::of(Duration::from_secs(60)) }
    }
}
