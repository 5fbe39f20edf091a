//! The lines of an export, as far as the files have a place for them or it is to be said that they have none.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

/// One line.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Entry {
    Export(Header),
    Project(Head),
    Task(Waiting),
    Issue(Box<Issue>),
    Dead(Waiting),
    Finished(Finished),
}

#[derive(Debug, Deserialize)]
pub(super) struct Header {
    /// When it was read.
    pub(super) at: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Head {
    pub(super) settings: BTreeMap<String, Value>,
}

/// A task that waits, or is dead.
#[derive(Debug, Deserialize)]
pub(super) struct Waiting {
    pub(super) issue: u64,
    pub(super) task: Task,
}

#[derive(Debug, Deserialize)]
pub(super) struct Task {
    pub(super) id: String,
    #[serde(rename = "type")]
    pub(super) kind: String,
    pub(super) priority: u16,
    pub(super) attempts: u32,
    pub(super) orphans: u32,
    /// Since when it waits; of a delayed one, when it is due.
    pub(super) turn: String,
    pub(super) title: Option<String>,
    pub(super) payload: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Issue {
    pub(super) number: u64,
    pub(super) started: String,
    pub(super) title: Option<String>,
    #[serde(rename = "type")]
    pub(super) kind: Option<String>,
    pub(super) run: Run,
    /// Whether its labels are still to be confirmed.
    pub(super) behind: bool,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Run {
    Held(Holder),
    Working(Working),
    Ended(Box<Ended>),
}

#[derive(Debug, Deserialize)]
pub(super) struct Holder {
    pub(super) process: String,
    pub(super) pid: Option<u32>,
    pub(super) host: Option<String>,
    pub(super) seen: String,
    pub(super) progress: Option<Value>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Working {
    pub(super) life: Holder,
    pub(super) task: Option<Task>,
    pub(super) asked: Option<Value>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Ended {
    pub(super) at: String,
    pub(super) outcome: String,
    pub(super) process: String,
    pub(super) host: Option<String>,
    pub(super) reason: Option<String>,
    pub(super) result: Option<String>,
    pub(super) metadata: Vec<(String, String)>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Finished {
    pub(super) issue: u64,
    pub(super) id: String,
    /// Whether it is to be done once more.
    #[serde(default)]
    pub(super) again: Option<bool>,
}

impl Waiting {
    /// Whether its id is that of a task on the issue itself, and not on a comment.
    pub(super) fn is_of_issue(&self) -> bool {
        type_of(self.issue, &self.task.id).is_some()
    }
}

/// The type that is in the id of a task on an issue itself, `<issue>:<type>`.
pub(super) fn type_of(issue: u64, id: &str) -> Option<&str> {
    let (number, kind) = id.split_once(':')?;
    (number == issue.to_string()).then_some(kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_of_an_issue_begins_with_its_number() {
        assert_eq!(type_of(7, "7:fix"), Some("fix"));
        assert_eq!(type_of(7, "7:a:b"), Some("a:b"));
        // Ids of comments without one of GitHub's, as PoppoBuilder made them.
        for id in ["2025-06-18T15:09:42Z-alice", "IC_7", "17:fix", "07:fix"] {
            assert_eq!(type_of(7, id), None, "{id}");
        }
    }
}
