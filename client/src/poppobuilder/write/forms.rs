//! What the files say of an issue, a lease and a task, in the words of PoppoBuilder.

use std::time::UNIX_EPOCH;

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::lines::{Ended, Holder, Issue, Run, Task, Waiting, Working, type_of};
use crate::poppobuilder::files::{COMMENT_TYPE, NOBODY, TASK_TYPES};

/// The priorities that PoppoBuilder's queue has a place for. At any other it stops with an error.
const LEVELS: [u16; 4] = [100, 75, 50, 25];

/// The type of a task on an issue that no label names.
const ISSUE_TYPE: &str = "issue";

/// How labels begin that name a type.
const TASK_LABEL: &str = "task:";

/// The types of tasks about comments: as they are queued here, and PoppoBuilder's own word.
const COMMENT_TYPES: [&str; 2] = [COMMENT_TYPE, "comment"];

/// An issue in `issue-status.json`.
#[derive(Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Status<'a> {
    status: &'a str,
    last_updated: String,
    process_id: Option<&'a str>,
    pid: Option<u32>,
    start_time: String,
    last_heartbeat: Option<String>,
    task_type: Option<&'a str>,
    metadata: Map<String, Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    end_time: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
}

impl<'a> Status<'a> {
    pub(super) fn of(issue: &'a Issue) -> Self {
        let (started, kind) = (time(&issue.started), issue.kind.as_deref());
        match &issue.run {
            Run::Held(holder) | Run::Working(Working { life: holder, .. }) => Self {
                status: "processing",
                last_updated: started.clone(),
                process_id: Some(&holder.process),
                pid: holder.pid,
                start_time: started,
                last_heartbeat: Some(time(&holder.seen)),
                task_type: kind,
                metadata: Map::new(),
                end_time: None,
                result: None,
                reason: None,
            },
            Run::Ended(ended) => Self::of_ended(started, kind, ended),
        }
    }

    /// Its worker is none that has to be watched, so there is no PID, as after a check-in there.
    fn of_ended(started: String, kind: Option<&'a str>, ended: &'a Ended) -> Self {
        let at = time(&ended.at);
        Self {
            status: &ended.outcome,
            last_updated: at.clone(),
            process_id: Some(ended.process.as_str()).filter(|process| *process != NOBODY),
            pid: None,
            start_time: started,
            last_heartbeat: None,
            task_type: kind,
            metadata: ended.metadata.iter().map(|(name, text)| (name.clone(), value(text))).collect(),
            end_time: Some(at),
            result: ended.result.as_deref().map(value),
            reason: ended.reason.as_deref(),
        }
    }
}

/// A lease in `running-tasks.json`.
#[derive(Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Running<'a> {
    issue_number: u64,
    title: &'a str,
    start_time: String,
    pid: Option<u32>,
    #[serde(rename = "type")]
    kind: &'a str,
}

impl<'a> Running<'a> {
    /// With the name that PoppoBuilder looks for: one lease of an issue has one.
    pub(super) fn of(issue: &'a Issue, holder: &'a Holder, task: Option<&'a Task>) -> (String, Self) {
        let number = issue.number;
        let comment = task.filter(|task| type_of(number, &task.id).is_none());
        let name = match comment {
            Some(task) => format!("issue-{number}-comment-{}", task.id),
            None => format!("issue-{number}"),
        };
        let title = task.and_then(|task| task.title.as_deref()).or(issue.title.as_deref());
        let kind = task.map(|task| task.kind.as_str()).or(issue.kind.as_deref());
        let running = Self {
            issue_number: number,
            title: title.unwrap_or_default(),
            start_time: time(&issue.started),
            pid: holder.pid,
            kind: kind.unwrap_or(ISSUE_TYPE),
        };
        (name, running)
    }
}

/// The priority that a task has there: the next one below that there is.
pub(super) fn level(priority: u16) -> u16 {
    LEVELS.into_iter().find(|level| priority >= *level).unwrap_or(LEVELS[3])
}

/// Whether a task is about a comment. PoppoBuilder does tasks on issues and on comments, and no others.
fn is_comment(waiting: &Waiting, base: &Map<String, Value>) -> bool {
    let is_called = COMMENT_TYPES.contains(&waiting.task.kind.as_str());
    base.get("comment").is_some_and(Value::is_object) || (is_called && !waiting.is_of_issue())
}

/// Whether there is a word for a task's type there: a label, or what comments become.
pub(super) fn is_known_type(kind: &str) -> bool {
    TASK_TYPES.contains(&kind) || COMMENT_TYPES.contains(&kind)
}

/// A comment by the id of its task; one that had a number has it again.
pub(super) fn comment_of(task: &str) -> &str {
    let number = task.strip_prefix("comment-").unwrap_or_default();
    let is_number = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    if is_number { number } else { task }
}

/// A payload that is a JSON object: what a task of PoppoBuilder's has besides.
pub(super) fn base(payload: Option<&str>) -> Option<Map<String, Value>> {
    match serde_json::from_str(payload?) {
        Ok(Value::Object(fields)) => Some(fields),
        _ => None,
    }
}

/// A task in `pending-tasks.json`: its payload, and over it what the queue knows better.
pub(super) fn pending(waiting: &Waiting) -> Value {
    let task = &waiting.task;
    let mut fields = base(task.payload.as_deref()).unwrap_or_default();
    let comments = is_comment(waiting, &fields);
    if fields.is_empty()
        && let Some(payload) = &task.payload
    {
        fields.insert("payload".to_owned(), value(payload));
    }
    let issue = fields.entry("issue").or_insert(Value::Null);
    if !issue.is_object() {
        *issue = json!({ "number": waiting.issue, "title": task.title, "labels": [] });
    }
    let named = as_users_have_them(issue);
    let labels = fields.entry("labels").or_insert_with(|| named.into());
    // A label says of what type a task is.
    let label = json!(format!("{TASK_LABEL}{}", task.kind));
    if let Value::Array(labels) = labels
        && !(comments || task.kind == ISSUE_TYPE || labels.contains(&label))
    {
        labels.push(label);
    }
    if comments {
        let comment = fields.entry("comment").or_insert(Value::Null);
        if !comment.is_object() {
            *comment = json!({ "id": comment_of(&task.id) });
        }
        as_github_names_it(comment);
    }
    fields.entry("id").or_insert_with(|| task.id.as_str().into());
    let known = [
        ("type", if comments { "comment" } else { ISSUE_TYPE }.into()),
        ("issueNumber", waiting.issue.into()),
        ("priority", level(task.priority).into()),
        ("enqueuedAt", milliseconds(&task.turn).into()),
        ("attempts", task.attempts.into()),
    ];
    fields.extend(known.map(|(name, value): (&str, Value)| (name.to_owned(), value)));
    Value::Object(fields)
}

/// An issue as PoppoBuilder asks for it: labels and authors are objects with names. Answers the labels' names.
fn as_users_have_them(issue: &mut Value) -> Vec<String> {
    named(issue.get_mut("author"), "login");
    let Some(Value::Array(labels)) = issue.get_mut("labels") else { return Vec::new() };
    labels.iter_mut().for_each(|label| named(Some(label), "name"));
    labels.iter().filter_map(|label| Some(label.get("name")?.as_str()?.to_owned())).collect()
}

/// A comment as PoppoBuilder asks for it: its id is the one that finished tasks are known by.
fn as_github_names_it(comment: &mut Value) {
    named(comment.get_mut("author"), "login");
    if let Some(Value::Object(fields)) = Some(comment)
        && let Some(id) = fields.remove("nodeId")
    {
        fields.insert("id".to_owned(), id);
    }
}

/// A name becomes something that has it.
fn named(value: Option<&mut Value>, field: &str) {
    if let Some(value @ Value::String(_)) = value {
        let name = value.take();
        *value = json!({ field: name });
    }
}

/// A text that is JSON, as that. Numbers and words are only where they are written so and nothing is lost.
pub(super) fn value(text: &str) -> Value {
    let is_written_so = |value: &Value| serde_json::to_string(value).is_ok_and(|written| written == text);
    match serde_json::from_str(text) {
        Ok(value @ (Value::Object(_) | Value::Array(_))) => value,
        Ok(value @ (Value::Number(_) | Value::Bool(_))) if is_written_so(&value) => value,
        _ => text.into(),
    }
}

/// A time as JavaScript writes it, with milliseconds. Where there is something between two of them, it is kept.
fn time(text: &str) -> String {
    let whole = text.strip_suffix("000Z");
    let whole = whole.filter(|time| time.rsplit_once('.').is_some_and(|(_, digits)| digits.len() == 3));
    whole.map_or_else(|| text.to_owned(), |time| format!("{time}Z"))
}

/// Milliseconds since 1970.
fn milliseconds(time: &str) -> u64 {
    let time = humantime::parse_rfc3339(time).ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    time.and_then(|time| u64::try_from(time.as_millis()).ok()).unwrap_or_default()
}

#[cfg(test)]
#[allow(clippy::indexing_slicing)]
mod tests {
    use super::*;

    fn waiting(id: &str, kind: &str, payload: Option<&str>) -> Waiting {
        let task = Task {
            id: id.to_owned(),
            kind: kind.to_owned(),
            priority: 60,
            attempts: 2,
            orphans: 0,
            turn: "2025-06-22T20:03:12.987000Z".to_owned(),
            title: Some("Crash".to_owned()),
            payload: payload.map(str::to_owned),
        };
        Waiting { issue: 7, task }
    }

    #[test]
    fn a_priority_is_one_that_there_is_or_the_next_below() {
        let levels = [1000, 101, 100, 99, 75, 74, 50, 49, 25, 24, 0].map(level);
        assert_eq!(levels, [100, 100, 100, 75, 75, 50, 50, 25, 25, 25, 25]);
    }

    #[test]
    fn times_have_milliseconds_and_nothing_is_cut_off() {
        assert_eq!(time("2025-06-23T15:13:59.243000Z"), "2025-06-23T15:13:59.243Z");
        assert_eq!(time("2025-06-23T15:13:59.000000Z"), "2025-06-23T15:13:59.000Z");
        assert_eq!(time("2025-06-23T15:13:59.243001Z"), "2025-06-23T15:13:59.243001Z");
        assert_eq!(time("2025-06-23T15:13:59.000Z"), "2025-06-23T15:13:59.000Z");
        assert_eq!(milliseconds("2025-06-22T20:03:12.987Z"), 1_750_622_592_987);
        assert_eq!(milliseconds("yesterday"), 0);
    }

    #[test]
    fn texts_that_are_json_are_written_as_that_where_nothing_is_lost() {
        assert_eq!(value("{\"a\": 1}"), json!({ "a": 1 }));
        assert_eq!([value("0"), value("true"), value("[]")], [json!(0), json!(true), json!([])]);
        for text in ["007", "1.0e2", "null", "\"x\"", "x", "", "18446744073709551616"] {
            assert_eq!(value(text), json!(text));
        }
    }

    #[test]
    fn a_task_is_one_that_poppobuilder_can_do() {
        let task = pending(&waiting("7:fix", "fix", None));
        let issue = json!({ "number": 7, "title": "Crash", "labels": [] });
        let expected = json!({ "type": "issue", "issue": issue, "labels": ["task:fix"], "id": "7:fix", "issueNumber": 7,
            "priority": 50, "enqueuedAt": 1_750_622_592_987_u64, "attempts": 2 });
        assert_eq!(task, expected);
        let task = pending(&waiting("IC_1", "comment", Some("[1]")));
        assert_eq!((&task["type"], &task["comment"]), (&json!("comment"), &json!({ "id": "IC_1" })));
        assert_eq!(task["payload"], json!([1]));
    }

    #[test]
    fn a_task_of_the_daemons_has_what_poppobuilder_asks_of_github() {
        let payload = json!({ "source": "github",
            "issue": { "number": 7, "title": "t", "author": "alice", "labels": ["task:fix"] },
            "comment": { "id": 5, "nodeId": "IC_5", "author": "bob", "body": "please" } });
        let task = pending(&waiting("IC_5", "comment-response", Some(&payload.to_string())));
        assert_eq!((&task["type"], &task["labels"]), (&json!("comment"), &json!(["task:fix"])));
        assert_eq!(task["issue"]["author"], json!({ "login": "alice" }));
        assert_eq!(task["issue"]["labels"], json!([{ "name": "task:fix" }]));
        assert_eq!(task["comment"], json!({ "id": "IC_5", "author": { "login": "bob" }, "body": "please" }));
    }

    #[test]
    fn what_came_from_there_goes_back_as_it_was() {
        let entry = json!({ "type": "comment", "issueNumber": 7, "labels": ["x"], "id": "task-1",
            "issue": { "number": 7, "author": { "login": "alice" }, "labels": [{ "name": "x", "color": "red" }] },
            "comment": { "id": "IC_5" } });
        let mut expected = entry.clone();
        expected["priority"] = 50.into();
        expected["enqueuedAt"] = 1_750_622_592_987_u64.into();
        expected["attempts"] = 2.into();
        assert_eq!(pending(&waiting("IC_5", "comment-response", Some(&entry.to_string()))), expected);
    }
}
