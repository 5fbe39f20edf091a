//! What the queue's commands answer. As JSON, the fields have the names that they have on the wire.

use redis::Value;
use serde::Serialize;

use super::requests::Priority;
use crate::decode::{self, Fields, Misread};
use crate::types::{IssueNumber, Timestamp, Token};

/// A task that was claimed, with the lease of its issue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Claimed {
    /// The issue.
    pub issue: IssueNumber,
    /// The fencing token of its lease.
    pub token: Token,
    /// The task's id.
    pub task: String,
    /// The kind of task.
    #[serde(rename = "type")]
    pub task_type: String,
    /// The issue's title.
    pub title: Option<String>,
    /// What the worker needs to know, the JSON text that was given. In JSON, it is a part of the document.
    #[serde(serialize_with = "decode::text_as_json")]
    pub payload: Option<String>,
    /// How many runs of the task failed before.
    pub attempts: u32,
    /// For how many ms it waited since it was queued, came back or fell due.
    pub waited: u64,
}

impl Claimed {
    pub(crate) fn read(value: Value) -> Result<Self, Misread> {
        let mut fields = Fields::new(value)?;
        Ok(Self {
            issue: fields.required("issue", decode::issue)?,
            token: fields.required("token", decode::token)?,
            task: fields.required("task", decode::text)?,
            task_type: fields.required("type", decode::text)?,
            title: fields.optional("title", decode::text)?,
            payload: fields.optional("payload", decode::text)?,
            attempts: fields.optional("attempts", decode::small_number)?.unwrap_or_default(),
            waited: fields.optional("waited", decode::number)?.unwrap_or_default(),
        })
    }

    /// What CHECKIN with NEXT answers: OK, and a claim or null.
    pub(crate) fn read_next(value: Value) -> Result<Option<Self>, Misread> {
        let (_, claim) = decode::pair(value)?;
        decode::nullable(claim, Self::read)
    }
}

/// A task that nobody works on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Task {
    /// Its id.
    pub task: String,
    /// The issue it is about.
    pub issue: IssueNumber,
    /// The kind of task.
    #[serde(rename = "type")]
    pub task_type: String,
    /// How urgent it is.
    pub priority: Priority,
    /// The issue's title.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// How many runs of it failed.
    pub attempts: u64,
    /// How often it was queued again since its worker was lost.
    pub orphan_count: u64,
    /// Since when it waits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// When it may be claimed, where that is not yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub due: Option<Timestamp>,
    /// Since when it is dead.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dead_time: Option<Timestamp>,
    /// Why it is dead.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Whether it waits for its issue, which somebody has.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub held: bool,
    /// What the worker needs to know.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "decode::text_as_json")]
    pub payload: Option<String>,
}

impl Task {
    pub(crate) fn read(value: Value) -> Result<Self, Misread> {
        let mut fields = Fields::new(value)?;
        Ok(Self {
            task: fields.required("task", decode::text)?,
            issue: fields.required("issue", decode::issue)?,
            task_type: fields.required("type", decode::text)?,
            priority: fields.required("priority", decode::word)?,
            title: fields.optional("title", decode::text)?,
            attempts: fields.optional("attempts", decode::number)?.unwrap_or_default(),
            orphan_count: fields.optional("orphanCount", decode::number)?.unwrap_or_default(),
            since: fields.optional("since", decode::time)?,
            due: fields.optional("due", decode::time)?,
            dead_time: fields.optional("deadTime", decode::time)?,
            reason: fields.optional("reason", decode::text)?,
            held: fields.optional("held", decode::number)?.is_some_and(|held| held > 0),
            payload: fields.optional("payload", decode::text)?,
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn bulk(text: &str) -> Value {
        Value::BulkString(text.as_bytes().to_vec())
    }

    fn claim() -> Value {
        Value::Map(vec![
            (bulk("issue"), Value::Int(7)),
            (bulk("token"), Value::Int(9)),
            (bulk("task"), bulk("7:fix")),
            (bulk("type"), bulk("fix")),
            (bulk("title"), Value::Nil),
            (bulk("payload"), bulk("{\"b\": 1}")),
            (bulk("attempts"), Value::Int(2)),
            (bulk("waited"), Value::Int(30)),
        ])
    }

    #[test]
    fn a_claims_payload_is_text_to_the_worker_and_json_in_json() {
        let claimed = Claimed::read(claim()).unwrap();
        assert_eq!(claimed.payload.as_deref(), Some("{\"b\": 1}"));
        let json = serde_json::to_value(&claimed).unwrap();
        assert_eq!(
            json,
            serde_json::json!({"issue": 7, "token": 9, "task": "7:fix", "type": "fix", "title": null,
                "payload": {"b": 1}, "attempts": 2, "waited": 30})
        );
    }

    #[test]
    fn the_next_claim_may_be_none() {
        let next = |value| Claimed::read_next(Value::Array(vec![Value::Okay, value])).unwrap();
        assert_eq!(next(Value::Nil), None);
        assert_eq!(next(claim()).unwrap().issue.get(), 7);
        assert!(Claimed::read_next(Value::Okay).is_err());
    }

    #[test]
    fn a_task_keeps_the_wires_names() {
        let row = Value::Map(vec![
            (bulk("task"), bulk("1:issue")),
            (bulk("issue"), Value::Int(1)),
            (bulk("type"), bulk("issue")),
            (bulk("priority"), Value::Int(25)),
            (bulk("attempts"), Value::Int(0)),
            (bulk("orphanCount"), Value::Int(3)),
            (bulk("deadTime"), bulk("2026-01-01T00:00:00.000Z")),
            (bulk("held"), Value::Int(1)),
        ]);
        let json = serde_json::to_value(Task::read(row).unwrap()).unwrap();
        assert_eq!(
            json,
            serde_json::json!({"task": "1:issue", "issue": 1, "type": "issue", "priority": 25, "attempts": 0,
                "orphanCount": 3, "deadTime": "2026-01-01T00:00:00.000Z", "held": true})
        );
    }
}
