//! `[project.intake]`: what becomes a task.

use std::time::Duration;

use serde::Deserialize;

use super::values::Period;

/// What becomes a task.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(crate) struct IntakeConfig {
    /// Whose issues and comments count; of none, nobody's.
    pub(crate) authors: Vec<Login>,
    /// How labels begin that make an issue a task; what follows is the task's type.
    pub(crate) task_label: LabelText,
    /// How labels begin that say how urgent it is; what follows is a level's name or a number.
    pub(crate) priority_label: LabelText,
    /// Issues with this label are left alone.
    pub(crate) skip_label: LabelText,
    /// Comments that say nothing else complete their issue.
    pub(crate) closing_keywords: Vec<String>,
    /// Whether what is written by the daemon's own account counts, hidden marks aside.
    pub(crate) own_comments: bool,
    /// How often GitHub is asked for what is new.
    pub(crate) poll: Period<1, 86_400>,
    /// How long after its first failure a task is offered again; after each further one twice as long.
    pub(crate) again: Period<1, 86_400>,
}

/// What people say who have what they wanted.
const CLOSING_KEYWORDS: [&str; 20] = [
    "close",
    "closed",
    "done",
    "resolved",
    "solved",
    "fixed",
    "thanks",
    "thank you",
    "完了",
    "完了です",
    "完了しました",
    "終了",
    "終了です",
    "終了しました",
    "解決",
    "解決です",
    "解決しました",
    "ありがとう",
    "ありがとうございます",
    "ありがとうございました",
];

impl Default for IntakeConfig {
    fn default() -> Self {
        let label = |text: &str| LabelText(text.to_owned());
        Self {
            authors: Vec::new(),
            task_label: label("task:"),
            priority_label: label("priority:"),
            skip_label: label("skip:poppobuilder"),
            closing_keywords: CLOSING_KEYWORDS.map(str::to_owned).to_vec(),
            own_comments: false,
            poll: Period::of(Duration::from_secs(60)),
            again: Period::of(Duration::from_secs(5 * 60)),
        }
    }
}

/// Somebody's name on GitHub, such as `octocat` or `dependabot[bot]`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct Login(String);

impl Login {
    /// Whether it is this one; upper and lower case are the same.
    pub(crate) fn is(&self, login: &str) -> bool {
        self.0.eq_ignore_ascii_case(login)
    }
}

impl TryFrom<String> for Login {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let name = text.strip_suffix("[bot]").unwrap_or(&text);
        let is_name = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || "-_".contains(c));
        if is_name { Ok(Self(text)) } else { Err(format!("{text:?} must be a login, as in octocat")) }
    }
}

/// A label's name, or its beginning.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct LabelText(String);

impl LabelText {
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// What follows where a label begins so; upper and lower case are the same.
    pub(crate) fn rest_of(&self, label: &str) -> Option<String> {
        label.to_lowercase().strip_prefix(&self.0.to_lowercase()).map(|rest| rest.trim().to_owned())
    }
}

impl TryFrom<String> for LabelText {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        if (1..=50).contains(&text.chars().count()) && text.trim() == text && !text.contains(['\n', ',']) {
            Ok(Self(text))
        } else {
            Err(format!("{text:?} must be 1 to 50 characters, without a comma or blanks around it"))
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn an_author_is_a_login() {
        for login in ["octocat", "dependabot[bot]", "a-b_c"] {
            assert!(Login::try_from(login.to_owned()).unwrap().is(&login.to_uppercase()));
        }
        for other in ["", "[bot]", "@octocat", "two words", "*"] {
            assert!(Login::try_from(other.to_owned()).unwrap_err().contains("must be a login"), "{other}");
        }
    }

    #[test]
    fn a_label_begins_as_the_configuration_says_whatever_its_case() {
        let label = LabelText::try_from("task:".to_owned()).unwrap();
        assert_eq!(label.rest_of("Task: Fix").as_deref(), Some("fix"));
        assert_eq!(label.rest_of("tasks"), None);
        for other in ["", " task:", "a,b", &"x".repeat(51)] {
            assert!(
                LabelText::try_from(other.to_owned()).unwrap_err().contains("must be 1 to 50 characters"),
                "{other}"
            );
        }
    }
}
