//! What the older programs read of an issue, a process or a task: names and values, all of them texts.

use poppo::{Issue, Task};

use super::layout::level;
use super::model::{Person, Work};

/// Who is said to have checked an issue out: the mark of what is the view's.
const MARK: &str = "poppo";
/// The fields of an issue that no metadata can be taken for.
const FIELDS: [&str; 8] =
    ["status", "processId", "pid", "taskType", "startTime", "lastUpdate", "checkedOutBy", "endTime"];

/// Names and values.
pub(crate) type Fields = Vec<(String, String)>;

/// Whether an issue is shown: only those that were ever checked out are.
pub(super) fn is_shown(issue: &Issue) -> bool {
    issue.process.is_some() || issue.start_time.is_some() || issue.end_time.is_some()
}

/// An issue: where it stands and, after its check-in, its metadata.
pub(crate) fn issue(issue: &Issue) -> Fields {
    if !is_shown(issue) {
        return Fields::new();
    }
    let [start, end] = [&issue.start_time, &issue.end_time].map(|time| time.as_ref().map(ToString::to_string));
    let values = [
        Some(issue.status.to_string()),
        issue.process.clone(),
        issue.pid.map(|pid| pid.to_string()),
        issue.task_type.clone(),
        start.clone(),
        end.clone().or(start),
        Some(MARK.to_owned()),
        end,
    ];
    let mut fields = there(FIELDS.into_iter().zip(values));
    let more = issue.metadata.iter().filter(|(name, _)| !FIELDS.contains(&name.as_str()));
    fields.extend(more.map(|(name, value)| (name.clone(), value.clone())));
    fields
}

/// An issue's metadata alone.
pub(super) fn metadata(issue: &Issue) -> Fields {
    issue.metadata.iter().map(|(name, value)| (name.clone(), value.clone())).collect()
}

/// A process: what it works on, or worked on last.
pub(super) fn process(person: &Person, work: Option<(u64, &Work)>) -> Fields {
    let is_active = work.is_some_and(|(_, work)| work.held);
    let ended = work.filter(|(_, work)| !work.held);
    there([
        ("pid", person.pid.map(|pid| pid.to_string())),
        ("host", person.host.clone()),
        ("tmuxSession", person.tmux.clone()),
        ("issueNumber", work.map(|(number, _)| number.to_string())),
        ("status", Some(if is_active { "active" } else { "completed" }.to_owned())),
        ("taskType", work.and_then(|(_, work)| work.task_type.clone())),
        ("lastSeen", person.last_seen.clone()),
        ("endTime", ended.map(|(_, work)| work.time.clone())),
        ("finalStatus", ended.map(|(_, work)| work.status.to_string())),
    ])
}

/// A process that the project does not know.
pub(super) fn guest(pid: Option<u32>, host: Option<String>, last_seen: String) -> Fields {
    there([("pid", pid.map(|pid| pid.to_string())), ("host", host), ("lastSeen", Some(last_seen))])
}

/// A task that waits.
pub(super) fn task(task: &Task) -> Fields {
    there([
        ("issueNumber", Some(task.issue.to_string())),
        ("type", Some(task.task_type.clone())),
        ("priority", Some(level(task.priority).to_owned())),
        ("createdAt", task.since.as_ref().map(ToString::to_string)),
        ("title", task.title.clone()),
    ])
}

fn there<'a>(fields: impl IntoIterator<Item = (&'a str, Option<String>)>) -> Fields {
    fields.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
}
