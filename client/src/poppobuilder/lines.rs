//! Lines of state (`docs/state.md`).

use std::time::Duration;

use poppo::IssueNumber;
use poppo_core::{Outcome, Priority};
use serde_json::{Value, json};

use super::fields::{Micros, iso};
use super::files::NOBODY;
use super::read::{Issue, Running};

/// What begins what is checked.
pub(super) const HEADER: &str = "{\"export\":{\"version\":1}}";
/// For how long a worker of PoppoBuilder's may be silent: it does not beat here, and an agent on its host sees whether it
/// lives.
pub(super) const TTL: Duration = Duration::from_secs(60);

/// A task, as far as PoppoBuilder says something of it.
#[derive(Debug, Clone)]
pub(super) struct Task {
    pub(super) id: String,
    pub(super) kind: String,
    pub(super) priority: u16,
    pub(super) attempts: u16,
    pub(super) title: Option<String>,
    /// JSON.
    pub(super) payload: Option<String>,
    /// Whether it is to be done although it is finished.
    pub(super) is_again: bool,
}

impl Task {
    pub(super) fn new(id: String, kind: &str) -> Self {
        let priority = Priority::NORMAL.get();
        Self { id, kind: kind.to_owned(), priority, attempts: 0, title: None, payload: None, is_again: false }
    }

    fn line(&self, since: Micros, is_again: bool) -> Value {
        json!({
            "id": self.id, "type": self.kind, "priority": self.priority, "attempts": self.attempts, "orphans": 0,
            "turn": iso(since), "title": self.title, "payload": self.payload, "again": is_again,
        })
    }
}

/// A task that waits. Where its id is known as finished it stays finished, unless it is to be done again.
pub(super) fn task(issue: IssueNumber, task: &Task, since: Micros, is_again: bool) -> Value {
    json!({ "task": { "issue": issue.get(), "task": task.line(since, is_again) } })
}

/// The payload of a comment of which only its id is known.
pub(super) fn about(issue: IssueNumber, comment: &str) -> String {
    json!({ "issue": { "number": issue.get() }, "comment": { "id": comment } }).to_string()
}

/// A finished task.
pub(super) fn finished(issue: IssueNumber, id: &str, is_again: bool) -> Value {
    json!({ "finished": { "issue": issue.get(), "id": id, "again": is_again } })
}

/// The token of a record: when it last changed, so that a later one of the same issue is newer. Records that changed in the
/// same millisecond have different ones.
pub(super) fn token(updated: Micros, issue: IssueNumber) -> u64 {
    (updated / 1_000 * 1_000).max(1_000) + issue.get() % 1_000
}

/// An issue that came to an end.
pub(super) fn ended(record: &Issue, outcome: Outcome, is_behind: bool) -> Value {
    let completed = (outcome == Outcome::Completed).then(|| iso(record.ended));
    json!({ "issue": {
        "number": record.number.get(), "token": token(record.updated, record.number), "started": iso(record.started),
        "completed": completed, "title": record.title, "type": record.task_type, "behind": is_behind,
        "run": { "ended": {
            "at": iso(record.ended), "by": "checkin", "outcome": outcome.as_str(), "aftermath": "ended",
            "process": record.process.as_deref().unwrap_or(NOBODY), "reason": record.reason, "result": record.result,
            "metadata": record.metadata.iter().collect::<Vec<_>>(),
        } },
    } })
}

/// An issue whose worker is lost.
pub(super) fn lease(
    issue: IssueNumber,
    record: Option<&Issue>,
    run: Option<&Running>,
    task: &Task,
    host: &str,
    is_behind: bool,
) -> Value {
    let started = run.map(|run| run.started).or(record.map(|record| record.started)).unwrap_or_default();
    let seen = record.map(|record| record.updated).into_iter().chain([started]).max().unwrap_or_default();
    let pid = run.and_then(|run| run.pid).or(record.and_then(|record| record.pid));
    let named = record.and_then(|record| record.process.clone());
    let process = named.or(run.map(|run| format!("{NOBODY}-{}", run.pid.unwrap_or_default())));
    json!({ "issue": {
        "number": issue.get(), "token": token(seen, issue), "started": iso(started), "title": task.title,
        "type": record.and_then(|record| record.task_type.as_ref()).unwrap_or(&task.kind), "behind": is_behind,
        "run": { "working": {
            "life": {
                "process": process.as_deref().unwrap_or(NOBODY), "pid": pid, "host": host, "ttl": TTL.as_millis(),
                "seen": iso(seen), "standing": "current", "claims": { "types": [] },
            },
            "task": task.line(started, task.is_again),
        } },
    } })
}

/// The issue that a line is the record of.
pub(super) fn issue_of(line: &str) -> Option<String> {
    let rest = line.strip_prefix("{\"issue\":")?;
    let value: Value = serde_json::from_str(rest.strip_suffix('}')?).ok()?;
    value.get("number").map(ToString::to_string)
}
