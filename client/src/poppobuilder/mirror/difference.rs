//! In what two files of the same name differ, entry by entry.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use crate::output::{Field, Tone};
use crate::poppobuilder::files::{ISSUE_STATUS, PENDING_TASKS, PROCESSED_COMMENTS, PROCESSED_ISSUES, RUNNING_TASKS};

/// What changes without anything happening: signs of life.
const BEATS: &str = "lastHeartbeat";

/// How an entry differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum How {
    /// The project has it, and the file has not.
    Missing,
    /// The file has it, and the project has not.
    More,
    /// Both have it.
    Different,
    /// The file is none that can be read.
    Unreadable,
}

impl How {
    fn sentence(self) -> &'static str {
        match self {
            Self::Missing => "is missing",
            Self::More => "is in the file only",
            Self::Different => "is another",
            Self::Unreadable => "cannot be read",
        }
    }
}

/// A difference.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Difference {
    file: String,
    /// The file as a whole where there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    entry: Option<String>,
    how: How,
    /// The fields of the entry that differ.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    fields: Vec<String>,
}

impl Difference {
    fn of_file(file: &str, how: How) -> Self {
        Self { file: file.to_owned(), entry: None, how, fields: Vec::new() }
    }

    /// As people see it.
    pub(crate) fn row(&self) -> [Field; 3] {
        let mut how = self.how.sentence().to_owned();
        if !self.fields.is_empty() {
            how = format!("{how}: {}", self.fields.join(", "));
        }
        [self.file.as_str().into(), Field::optional(self.entry.as_ref()), Field::toned(how, Tone::Warning)]
    }
}

/// In what a file, if there is one, differs from what it should be.
pub(crate) fn compare(file: &str, there: Option<&[u8]>, ours: &[u8]) -> Vec<Difference> {
    let Some(there) = there else { return vec![Difference::of_file(file, How::Missing)] };
    // Older files may begin with a mark of their encoding.
    let there = there.strip_prefix(b"\xef\xbb\xbf").unwrap_or(there);
    let (Ok(there), Ok(ours)) = (serde_json::from_slice(there), serde_json::from_slice(ours)) else {
        return vec![Difference::of_file(file, How::Unreadable)];
    };
    let (mut there, ours) = (entries(file, there), entries(file, ours));
    let mut differences = Vec::new();
    let mut add = |entry: String, how, fields| {
        differences.push(Difference { file: file.to_owned(), entry: Some(entry), how, fields });
    };
    for (name, ours) in ours {
        match there.remove(&name) {
            None => add(name.0, How::Missing, Vec::new()),
            Some(there) => {
                let fields = differing(&there, &ours);
                if there != ours && fields.as_ref().is_none_or(|fields| !fields.is_empty()) {
                    add(name.0, How::Different, fields.unwrap_or_default());
                }
            }
        }
    }
    there.into_keys().for_each(|name| add(name.0, How::More, Vec::new()));
    differences
}

/// What an entry is called, and which of its name it is.
type Name = (String, usize);

fn entries(file: &str, document: Value) -> BTreeMap<Name, Value> {
    let mut entries = BTreeMap::new();
    let mut add = |name: String, value: Value| {
        let count = entries.range((name.clone(), 0)..=(name.clone(), usize::MAX)).count();
        entries.insert((name, count), value);
    };
    match (file, document) {
        (ISSUE_STATUS, Value::Object(mut fields)) => match fields.remove("issues") {
            Some(Value::Object(issues)) => {
                issues.into_iter().for_each(|(issue, value)| add(format!("issue {issue}"), value));
            }
            other => add("issues".to_owned(), other.unwrap_or_default()),
        },
        (RUNNING_TASKS, Value::Object(tasks)) => tasks.into_iter().for_each(|(task, value)| add(task, value)),
        (PROCESSED_ISSUES, Value::Array(issues)) => {
            issues.into_iter().for_each(|issue| add(format!("issue {issue}"), Value::Null));
        }
        (PROCESSED_COMMENTS, Value::Object(issues)) => {
            for (issue, ids) in issues {
                let Value::Array(ids) = ids else {
                    add(format!("issue {issue}"), ids);
                    continue;
                };
                ids.iter().for_each(|id| add(format!("issue {issue}, comment {}", text(id)), Value::Null));
            }
        }
        (PENDING_TASKS, Value::Array(tasks)) => {
            for task in tasks {
                add(task.get("id").map_or_else(|| "a task without id".to_owned(), text), task);
            }
        }
        (_, other) => add("its form".to_owned(), other),
    }
    entries
}

/// The fields of two objects that differ; none where they are none.
fn differing(there: &Value, ours: &Value) -> Option<Vec<String>> {
    let (there, ours) = (there.as_object()?, ours.as_object()?);
    let all = ours.keys().chain(there.keys().filter(|field| !ours.contains_key(*field)));
    Some(all.filter(|field| *field != BEATS && there.get(*field) != ours.get(*field)).cloned().collect())
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each as `entry how fields`.
    fn told(file: &str, there: &str, ours: &str) -> Vec<String> {
        let differences = compare(file, Some(there.as_bytes()), ours.as_bytes());
        let told = |difference: Difference| {
            let Difference { entry, how, fields, .. } = difference;
            format!("{} {how:?} {}", entry.unwrap_or_default(), fields.join(" ")).trim().to_owned()
        };
        differences.into_iter().map(told).collect()
    }

    #[test]
    fn each_entry_that_differs_is_named() {
        let ours =
            r#"{"issues": {"7": {"status": "error", "pid": 1, "lastHeartbeat": "a"}, "8": {}}, "lastSync": null}"#;
        let there = r#"{"issues": {"7": {"status": "x", "why": 1, "pid": 1, "lastHeartbeat": "b"}, "9": {}}}"#;
        assert_eq!(
            told(ISSUE_STATUS, there, ours),
            ["issue 7 Different status why", "issue 8 Missing", "issue 9 More"]
        );
        let beats = r#"{"issues": {"7": {"status": "error", "pid": 1, "lastHeartbeat": "c"}, "8": {}}}"#;
        assert!(told(ISSUE_STATUS, beats, ours).is_empty(), "signs of life come by themselves");
        assert_eq!(told(PROCESSED_ISSUES, "[1, 2, 2]", "[2, 3]"), ["issue 3 Missing", "issue 1 More", "issue 2 More"]);
        let comments = told(PROCESSED_COMMENTS, r#"{"7": ["a"], "8": 1}"#, r#"{"7": ["a", "b"]}"#);
        assert_eq!(comments, ["issue 7, comment b Missing", "issue 8 More"]);
        assert_eq!(
            told(PENDING_TASKS, r#"[{"id": "a", "priority": 1}]"#, r#"[{"id": "a"}]"#),
            ["a Different priority"]
        );
        assert_eq!(told(RUNNING_TASKS, "{}", r#"{"issue-7": {}}"#), ["issue-7 Missing"]);
    }

    #[test]
    fn what_is_no_such_file_is_said_to_be_none() {
        assert_eq!(compare(RUNNING_TASKS, None, b"{}"), [Difference::of_file(RUNNING_TASKS, How::Missing)]);
        assert_eq!(told(RUNNING_TASKS, "{", "{}"), ["Unreadable"]);
        assert_eq!(told(RUNNING_TASKS, "\u{feff}{}", "{}"), Vec::<String>::new());
        assert_eq!(told(PENDING_TASKS, "{}", "[]"), ["its form More"]);
        assert_eq!(told(ISSUE_STATUS, "{}", r#"{"issues": {}}"#), ["issues More"]);
    }
}
