//! What the commands answer. As JSON, the fields have the names that they have on the wire.

use std::collections::BTreeMap;
use std::time::Duration;

use redis::Value;
use serde::Serialize;

use crate::decode::{self, Fields, Misread};
use crate::types::{Cursor, EndedBy, EventKind, IssueNumber, OrphanReason, ProcessState, Status, Timestamp, Token};

/// Everything that is known of an issue. LIST gives less of it than GET.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Issue {
    /// Its number.
    pub issue: IssueNumber,
    /// Where it stands.
    pub status: Status,
    /// The token of its lease, or of its last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token: Option<Token>,
    /// Who has it, or had it last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub process: Option<String>,
    /// Which life of that process.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub incarnation: Option<String>,
    /// The process's PID.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pid: Option<u32>,
    /// The process's host.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// The tmux pane or session it runs in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tmux: Option<String>,
    /// The kind of task.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub task_type: Option<String>,
    /// The issue's title.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// When it was checked out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start_time: Option<Timestamp>,
    /// When its process was last heard of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_seen: Option<Timestamp>,
    /// For how many ms its process may be silent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ttl: Option<u64>,
    /// What the work last reported.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub progress: Option<String>,
    /// When it reported that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub progress_time: Option<Timestamp>,
    /// Why its holder is an orphan, where it is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub orphan: Option<OrphanReason>,
    /// Since when.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub orphan_since: Option<Timestamp>,
    /// The id of the task that is worked on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub task: Option<String>,
    /// How many runs of that task failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attempts: Option<u64>,
    /// How often it was queued again since its worker was lost.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub orphan_count: Option<u64>,
    /// What its worker was given, the JSON text as it was written. In JSON, it is a part of the document.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "decode::text_as_json")]
    pub payload: Option<String>,
    /// When the holder was asked to stop.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cancel_time: Option<Timestamp>,
    /// Why, in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cancel_reason: Option<String>,
    /// When its last lease ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end_time: Option<Timestamp>,
    /// By what.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended_by: Option<EndedBy>,
    /// Why, in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Its result, the JSON that was given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub result: Option<serde_json::Value>,
    /// What else was kept, by name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, String>,
    /// When it was last completed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub completed_time: Option<Timestamp>,
    /// How many of its tasks wait, delayed ones among them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tasks: Option<u64>,
    /// How many of its tasks are dead.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dead_tasks: Option<u64>,
}

impl Issue {
    pub(crate) fn read(value: Value) -> Result<Self, Misread> {
        let mut fields = Fields::new(value)?;
        Ok(Self {
            issue: fields.required("issue", decode::issue)?,
            status: fields.required("status", decode::word)?,
            token: fields.optional("token", decode::token)?,
            process: fields.optional("process", decode::text)?,
            incarnation: fields.optional("incarnation", decode::text)?,
            pid: fields.optional("pid", decode::small_number)?,
            host: fields.optional("host", decode::text)?,
            tmux: fields.optional("tmux", decode::text)?,
            task_type: fields.optional("type", decode::text)?,
            title: fields.optional("title", decode::text)?,
            start_time: fields.optional("startTime", decode::time)?,
            last_seen: fields.optional("lastSeen", decode::time)?,
            ttl: fields.optional("ttl", decode::number)?,
            progress: fields.optional("progress", decode::text)?,
            progress_time: fields.optional("progressTime", decode::time)?,
            orphan: fields.optional("orphan", decode::word)?,
            orphan_since: fields.optional("orphanSince", decode::time)?,
            task: fields.optional("task", decode::text)?,
            attempts: fields.optional("attempts", decode::number)?,
            orphan_count: fields.optional("orphanCount", decode::number)?,
            payload: fields.optional("payload", decode::text)?,
            cancel_time: fields.optional("cancelTime", decode::time)?,
            cancel_reason: fields.optional("cancelReason", decode::text)?,
            end_time: fields.optional("endTime", decode::time)?,
            ended_by: fields.optional("endedBy", decode::word)?,
            reason: fields.optional("reason", decode::text)?,
            result: fields.optional("result", decode::json)?,
            metadata: fields.optional("metadata", texts)?.unwrap_or_default(),
            completed_time: fields.optional("completedTime", decode::time)?,
            tasks: fields.optional("tasks", decode::number)?,
            dead_tasks: fields.optional("deadTasks", decode::number)?,
        })
    }
}

/// An issue whose holder is an orphan. Its JSON always has all nine fields.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Orphan {
    /// The issue.
    pub issue: IssueNumber,
    /// The token to repair it by.
    pub token: Token,
    /// Who has it.
    pub process: String,
    /// The process's PID.
    pub pid: Option<u32>,
    /// The process's host.
    pub host: Option<String>,
    /// The kind of task.
    #[serde(rename = "type")]
    pub task_type: Option<String>,
    /// Why its holder is an orphan.
    pub reason: OrphanReason,
    /// Since when.
    pub since: Option<Timestamp>,
    /// When the process was last heard of.
    pub last_seen: Option<Timestamp>,
}

impl Orphan {
    pub(crate) fn read(value: Value) -> Result<Self, Misread> {
        let mut fields = Fields::new(value)?;
        Ok(Self {
            issue: fields.required("issue", decode::issue)?,
            token: fields.required("token", decode::token)?,
            process: fields.required("process", decode::text)?,
            pid: fields.optional("pid", decode::small_number)?,
            host: fields.optional("host", decode::text)?,
            task_type: fields.optional("type", decode::text)?,
            reason: fields.required("reason", decode::word)?,
            since: fields.optional("since", decode::time)?,
            last_seen: fields.optional("lastSeen", decode::time)?,
        })
    }
}

/// A process that the server knows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Process {
    /// Its name.
    pub process: String,
    /// How it is doing.
    pub state: ProcessState,
    /// Which life of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub incarnation: Option<String>,
    /// Its PID.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pid: Option<u32>,
    /// Its host.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// The tmux pane or session it runs in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tmux: Option<String>,
    /// How many issues it has.
    pub issues: u64,
    /// For how many ms it may be silent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ttl: Option<u64>,
    /// When it was last heard of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_seen: Option<Timestamp>,
    /// When the agent on its host last said that its PID lives; none where it never did, or called it dead since.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attest_time: Option<Timestamp>,
    /// What its work last reported.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub progress: Option<String>,
    /// When it reported that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub progress_time: Option<Timestamp>,
}

impl Process {
    pub(crate) fn read(value: Value) -> Result<Self, Misread> {
        let mut fields = Fields::new(value)?;
        Ok(Self {
            process: fields.required("process", decode::text)?,
            state: fields.required("state", decode::word)?,
            incarnation: fields.optional("incarnation", decode::text)?,
            pid: fields.optional("pid", decode::small_number)?,
            host: fields.optional("host", decode::text)?,
            tmux: fields.optional("tmux", decode::text)?,
            issues: fields.optional("issues", decode::number)?.unwrap_or_default(),
            ttl: fields.optional("ttl", decode::number)?,
            last_seen: fields.optional("lastSeen", decode::time)?,
            attest_time: fields.optional("attestTime", decode::time)?,
            progress: fields.optional("progress", decode::text)?,
            progress_time: fields.optional("progressTime", decode::time)?,
        })
    }
}

/// A heartbeat's answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Beat {
    /// For how many ms the process may now be silent.
    pub ttl: u64,
    /// 1 while the project is drained: no task can be claimed.
    pub drain: u64,
    /// What the process holds now, by issue number. What is missing here was lost.
    pub issues: Vec<(IssueNumber, Token)>,
    /// Which of them somebody asked the process to stop: to be checked in as cancelled.
    pub cancel: Vec<IssueNumber>,
}

impl Beat {
    /// Whether the process still has this lease.
    ///
    /// Example: [`Heartbeat`](crate::Heartbeat).
    #[must_use]
    pub fn holds(&self, issue: IssueNumber, token: Token) -> bool {
        self.issues.contains(&(issue, token))
    }

    /// For how long the process may now be silent.
    ///
    /// Example: [`Heartbeat`](crate::Heartbeat).
    #[must_use]
    pub fn time_to_live(&self) -> Duration {
        Duration::from_millis(self.ttl)
    }

    pub(crate) fn read(value: Value) -> Result<Self, Misread> {
        let mut fields = Fields::new(value)?;
        let lease = |value| {
            let (issue, token) = decode::pair(value)?;
            Ok((decode::issue(issue)?, decode::token(token)?))
        };
        Ok(Self {
            ttl: fields.required("ttl", decode::number)?,
            drain: fields.optional("drain", decode::number)?.unwrap_or_default(),
            issues: fields.required("issues", |value| decode::list(value, lease))?,
            cancel: fields.optional("cancel", |value| decode::list(value, decode::issue))?.unwrap_or_default(),
        })
    }
}

/// An entry of the project's log. One of kind [`Trimmed`](EventKind::Trimmed) has nothing but its id; all others have
/// issue and time, and those of a lease its process and token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Event {
    /// Its number; later events have higher ones. Of a trimmed log, the newest that is gone.
    pub id: u64,
    /// What happened.
    pub event: EventKind,
    /// To which issue.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub issue: Option<IssueNumber>,
    /// Whose lease it was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub process: Option<String>,
    /// The lease's token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token: Option<Token>,
    /// What the issue is since; none where it was forgotten.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<Status>,
    /// What it was before; none where it was unknown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<Status>,
    /// The kind of task.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub task_type: Option<String>,
    /// The id of the task, where one is concerned.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub task: Option<String>,
    /// Why, in words; of a repair or takeover for which nobody gave any, why the holder was an orphan.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// When.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at: Option<Timestamp>,
}

impl Event {
    /// What a reader is told who missed everything up to this event.
    #[must_use]
    pub fn trimmed(id: u64) -> Self {
        Self {
            id,
            event: EventKind::Trimmed,
            issue: None,
            process: None,
            token: None,
            status: None,
            from: None,
            task_type: None,
            task: None,
            reason: None,
            at: None,
        }
    }

    pub(crate) fn read(value: Value) -> Result<Self, Misread> {
        let mut fields = Fields::new(value)?;
        let (id, event) = (fields.required("id", decode::number)?, fields.required("event", decode::word)?);
        if event == EventKind::Trimmed {
            return Ok(Self::trimmed(id));
        }
        Ok(Self {
            id,
            event,
            issue: Some(fields.required("issue", decode::issue)?),
            process: fields.optional("process", decode::text)?,
            token: fields.optional("token", decode::token)?,
            status: fields.optional("status", decode::word)?,
            from: fields.optional("from", decode::word)?,
            task_type: fields.optional("type", decode::text)?,
            task: fields.optional("task", decode::text)?,
            reason: fields.optional("reason", decode::text)?,
            at: Some(fields.required("at", decode::time)?),
        })
    }
}

/// An issue whose status changed since its labels were last confirmed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Unlabelled {
    /// The issue.
    pub issue: IssueNumber,
    /// What its labels should say.
    pub status: Status,
    /// What to confirm once they do: the id of the event that gave the issue this status.
    pub version: u64,
}

impl Unlabelled {
    pub(crate) fn read(value: Value) -> Result<Self, Misread> {
        let mut fields = Fields::new(value)?;
        Ok(Self {
            issue: fields.required("issue", decode::issue)?,
            status: fields.required("status", decode::word)?,
            version: fields.required("version", decode::number)?,
        })
    }
}

/// Some rows of a list, and where it goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T> {
    /// Where to go on; none at the end.
    pub next: Option<Cursor>,
    /// The rows. There may be none although the list goes on.
    pub rows: Vec<T>,
}

impl<T> Page<T> {
    pub(crate) fn read(value: Value, row: impl FnMut(Value) -> Result<T, Misread>) -> Result<Self, Misread> {
        let (cursor, rows) = decode::pair(value)?;
        let cursor = decode::text(cursor)?;
        Ok(Self { next: (cursor != "0").then_some(Cursor(cursor)), rows: decode::list(rows, row)? })
    }
}

/// How many issues stand where.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct IssueCounts {
    /// Checked out.
    pub processing: u64,
    /// Done.
    pub completed: u64,
    /// Waiting for an answer.
    pub awaiting_response: u64,
    /// Gone wrong.
    pub error: u64,
    /// Called off.
    pub cancelled: u64,
    /// Waiting to be claimed again.
    pub queued: u64,
}

/// How many check-ins there were, by outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct OutcomeCounts {
    /// Done.
    pub completed: u64,
    /// Waiting for an answer.
    pub awaiting_response: u64,
    /// Gone wrong.
    pub error: u64,
    /// Called off.
    pub cancelled: u64,
}

/// How many leases were repaired or taken over, by why their holders were orphans.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct RepairCounts {
    /// Silent for too long.
    pub expired: u64,
    /// The PID was gone.
    pub dead: u64,
    /// A newer life took the name.
    pub replaced: u64,
}

/// The tasks there are now.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct QueueCounts {
    /// Those that wait, for a worker or for their held issue.
    pub waiting: u64,
    /// Those that are not due yet.
    pub delayed: u64,
    /// Those that are worked on.
    pub running: u64,
    /// Those that failed for good.
    pub dead: u64,
    /// 1 while the project is drained.
    pub drain: u64,
    /// For how many ms the oldest of those that wait does so.
    pub oldest: u64,
    /// How many wait, by priority.
    #[serde(serialize_with = "highest_first")]
    pub depth: BTreeMap<u16, u64>,
}

/// What became of tasks in total.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct TaskCounts {
    /// Queued.
    pub enqueued: u64,
    /// Claimed.
    pub claimed: u64,
    /// Finished.
    pub finished: u64,
    /// Queued again after a failure.
    pub retried: u64,
    /// Queued again after their worker was lost.
    pub requeued: u64,
    /// Called off.
    pub cancelled: u64,
    /// Given up.
    pub dead: u64,
    /// Brought back from the dead.
    pub revived: u64,
}

/// How long something took, in ms. Percentiles are read from buckets 12.5 % wide.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Durations {
    /// How many were measured.
    pub count: u64,
    /// All of them together.
    pub sum: u64,
    /// Their mean.
    pub mean: u64,
    /// Half took no longer.
    pub p50: u64,
    /// 99 % took no longer.
    pub p99: u64,
    /// How many took less than so many ms, but no less than the next lower of [`Durations::bounds`]; bounds below which there
    /// is nothing are missing.
    pub buckets: BTreeMap<u64, u64>,
}

impl Durations {
    /// What durations are told apart by, in ms: from 1 ms to three days, each four times the one before it.
    ///
    /// ```
    /// assert!(poppo::Durations::bounds().take(4).eq([1, 4, 16, 64]));
    /// ```
    pub fn bounds() -> impl Iterator<Item = u64> {
        poppo_core::Durations::BOUNDS.into_iter().map(|bound| bound.0)
    }
}

/// A project's counts now, and its totals since it came into being.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Stats {
    /// When the project came into being.
    pub created: Timestamp,
    /// The last token that was given; 0 where there was none.
    pub last_token: u64,
    /// Issues now.
    pub issues: IssueCounts,
    /// Processes now.
    pub processes: u64,
    /// Orphaned leases now.
    pub orphans: u64,
    /// Tasks now.
    pub queue: QueueCounts,
    /// Tokens given in total.
    pub checkouts: u64,
    /// Check-ins in total.
    pub checkins: OutcomeCounts,
    /// Heartbeats in total.
    pub heartbeats: u64,
    /// Leases repaired or taken over in total.
    pub repairs: RepairCounts,
    /// Leases taken over in total.
    pub takeovers: u64,
    /// Leases evicted in total.
    pub evictions: u64,
    /// Tasks in total.
    pub tasks: TaskCounts,
    /// From when a task was queued, came back or fell due to its claim.
    pub wait: Durations,
    /// From checkout to the lease's end.
    pub hold: Durations,
    /// From becoming an orphan to its repair.
    pub detection: Durations,
}

impl Stats {
    pub(crate) fn read(value: Value) -> Result<Self, Misread> {
        let mut fields = Fields::new(value)?;
        Ok(Self {
            created: fields.required("created", decode::time)?,
            last_token: fields.optional("lastToken", decode::number)?.unwrap_or_default(),
            issues: fields.required("issues", IssueCounts::read)?,
            processes: fields.required("processes", decode::number)?,
            orphans: fields.required("orphans", decode::number)?,
            queue: fields.optional("queue", QueueCounts::read)?.unwrap_or_default(),
            checkouts: fields.required("checkouts", decode::number)?,
            checkins: fields.required("checkins", OutcomeCounts::read)?,
            heartbeats: fields.required("heartbeats", decode::number)?,
            repairs: fields.required("repairs", RepairCounts::read)?,
            takeovers: fields.required("takeovers", decode::number)?,
            evictions: fields.required("evictions", decode::number)?,
            tasks: fields.optional("tasks", TaskCounts::read)?.unwrap_or_default(),
            wait: fields.optional("wait", Durations::read)?.unwrap_or_default(),
            hold: fields.required("hold", Durations::read)?,
            detection: fields.required("detection", Durations::read)?,
        })
    }
}

impl IssueCounts {
    fn read(value: Value) -> Result<Self, Misread> {
        let mut fields = Fields::new(value)?;
        Ok(Self {
            processing: fields.required("processing", decode::number)?,
            completed: fields.required("completed", decode::number)?,
            awaiting_response: fields.required("awaiting-response", decode::number)?,
            error: fields.required("error", decode::number)?,
            cancelled: fields.required("cancelled", decode::number)?,
            queued: fields.optional("queued", decode::number)?.unwrap_or_default(),
        })
    }
}

impl OutcomeCounts {
    fn read(value: Value) -> Result<Self, Misread> {
        let mut fields = Fields::new(value)?;
        Ok(Self {
            completed: fields.required("completed", decode::number)?,
            awaiting_response: fields.required("awaiting-response", decode::number)?,
            error: fields.required("error", decode::number)?,
            cancelled: fields.required("cancelled", decode::number)?,
        })
    }
}

impl RepairCounts {
    fn read(value: Value) -> Result<Self, Misread> {
        let mut fields = Fields::new(value)?;
        Ok(Self {
            expired: fields.required("expired", decode::number)?,
            dead: fields.required("dead", decode::number)?,
            replaced: fields.required("replaced", decode::number)?,
        })
    }
}

impl QueueCounts {
    fn read(value: Value) -> Result<Self, Misread> {
        let mut fields = Fields::new(value)?;
        Ok(Self {
            waiting: fields.required("waiting", decode::number)?,
            delayed: fields.required("delayed", decode::number)?,
            running: fields.required("running", decode::number)?,
            dead: fields.required("dead", decode::number)?,
            drain: fields.required("drain", decode::number)?,
            oldest: fields.required("oldest", decode::number)?,
            depth: fields.required("depth", by_number)?,
        })
    }
}

impl TaskCounts {
    fn read(value: Value) -> Result<Self, Misread> {
        let mut fields = Fields::new(value)?;
        Ok(Self {
            enqueued: fields.required("enqueued", decode::number)?,
            claimed: fields.required("claimed", decode::number)?,
            finished: fields.required("finished", decode::number)?,
            retried: fields.required("retried", decode::number)?,
            requeued: fields.required("requeued", decode::number)?,
            cancelled: fields.required("cancelled", decode::number)?,
            dead: fields.required("dead", decode::number)?,
            revived: fields.required("revived", decode::number)?,
        })
    }
}

/// Counts by number.
fn by_number<N: std::str::FromStr + Ord>(value: Value) -> Result<BTreeMap<N, u64>, Misread> {
    let read = |(number, count): (String, Value)| {
        let number = number.parse().map_err(|_| format!("{number} is no number that is known here"))?;
        Ok((number, decode::number(count)?))
    };
    Fields::new(value)?.into_pairs().into_iter().map(read).collect()
}

/// As the server has it.
fn highest_first<S: serde::Serializer>(depth: &BTreeMap<u16, u64>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(depth.iter().rev())
}

impl Durations {
    fn read(value: Value) -> Result<Self, Misread> {
        let mut fields = Fields::new(value)?;
        Ok(Self {
            count: fields.required("count", decode::number)?,
            sum: fields.optional("sum", decode::number)?.unwrap_or_default(),
            mean: fields.required("mean", decode::number)?,
            p50: fields.required("p50", decode::number)?,
            p99: fields.required("p99", decode::number)?,
            buckets: fields.optional("buckets", by_number)?.unwrap_or_default(),
        })
    }
}

fn texts(value: Value) -> Result<BTreeMap<String, String>, Misread> {
    Fields::new(value)?.into_pairs().into_iter().map(|(name, value)| Ok((name, decode::text(value)?))).collect()
}

/// Settings by name.
pub(crate) fn settings(value: Value) -> Result<BTreeMap<String, u64>, Misread> {
    Fields::new(value)?.into_pairs().into_iter().map(|(name, value)| Ok((name, decode::number(value)?))).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn bulk(text: &str) -> Value {
        Value::BulkString(text.as_bytes().to_vec())
    }

    /// The same record as RESP2 and as RESP3 sends it.
    fn both(pairs: &[(&str, Value)]) -> [Value; 2] {
        let flat = pairs.iter().flat_map(|(name, value)| [bulk(name), value.clone()]).collect();
        let map = pairs.iter().map(|(name, value)| (bulk(name), value.clone())).collect();
        [Value::Array(flat), Value::Map(map)]
    }

    #[test]
    fn an_issue_reads_the_same_from_both_protocols_and_keeps_the_wires_names() {
        for metadata in both(&[("branch", bulk("fix-133"))]) {
            for record in both(&[
                ("issue", Value::Int(133)),
                ("status", bulk("error")),
                ("token", Value::Int(9)),
                ("type", bulk("fix")),
                ("startTime", bulk("2026-01-01T00:00:00.000Z")),
                ("endedBy", bulk("checkin")),
                ("result", bulk("{\"failed\":2}")),
                ("metadata", metadata.clone()),
            ]) {
                let json = serde_json::to_value(Issue::read(record).unwrap()).unwrap();
                assert_eq!(
                    json,
                    serde_json::json!({
                        "issue": 133, "status": "error", "token": 9, "type": "fix",
                        "startTime": "2026-01-01T00:00:00.000Z", "endedBy": "checkin",
                        "result": {"failed": 2}, "metadata": {"branch": "fix-133"}
                    })
                );
            }
        }
    }

    #[test]
    fn an_orphan_has_all_nine_fields_as_json() {
        for record in both(&[
            ("issue", Value::Int(127)),
            ("token", Value::Int(5)),
            ("process", bulk("worker-4")),
            ("pid", Value::Nil),
            ("host", Value::Nil),
            ("type", Value::Nil),
            ("reason", bulk("replaced")),
            ("since", bulk("2026-01-01T00:00:00.000Z")),
            ("lastSeen", bulk("2026-01-01T00:00:00.000Z")),
        ]) {
            let json = serde_json::to_value(Orphan::read(record).unwrap()).unwrap();
            assert_eq!(json.as_object().unwrap().len(), 9);
            assert!(json.get("pid").unwrap().is_null());
        }
    }

    #[test]
    fn a_beat_tells_which_leases_are_still_held() {
        let leases = Value::Array(vec![Value::Array(vec![Value::Int(126), Value::Int(5)])]);
        for record in both(&[
            ("ttl", Value::Int(2000)),
            ("drain", Value::Int(0)),
            ("issues", leases.clone()),
            ("cancel", Value::Array(vec![])),
        ]) {
            let beat = Beat::read(record).unwrap();
            let issue = IssueNumber::try_from(126).unwrap();
            assert!(beat.holds(issue, Token::try_from(5).unwrap()));
            assert!(!beat.holds(issue, Token::try_from(6).unwrap()));
            assert_eq!(beat.time_to_live(), Duration::from_secs(2));
        }
    }

    #[test]
    fn an_event_keeps_the_wires_names_and_their_order() {
        for record in both(&[
            ("id", Value::Int(2)),
            ("event", bulk("checkin")),
            ("issue", Value::Int(7)),
            ("process", bulk("worker-1")),
            ("token", Value::Int(9)),
            ("status", bulk("error")),
            ("from", bulk("processing")),
            ("type", bulk("fix")),
            ("reason", bulk("tests fail")),
            ("at", bulk("2026-01-01T00:00:00.000Z")),
        ]) {
            let event = Event::read(record).unwrap();
            assert_eq!(event.event, EventKind::Checkin);
            let expected = "{\"id\":2,\"event\":\"checkin\",\"issue\":7,\"process\":\"worker-1\",\"token\":9,\
                            \"status\":\"error\",\"from\":\"processing\",\"type\":\"fix\",\"reason\":\"tests fail\",\
                            \"at\":\"2026-01-01T00:00:00.000Z\"}";
            assert_eq!(serde_json::to_string(&event).unwrap(), expected);
        }
    }

    #[test]
    fn what_an_event_lacks_is_left_out() {
        for record in both(&[
            ("id", Value::Int(3)),
            ("event", bulk("forget")),
            ("issue", Value::Int(7)),
            ("process", bulk("worker-1")),
            ("token", Value::Int(9)),
            ("from", bulk("error")),
            ("at", bulk("2026-01-01T00:00:00.000Z")),
        ]) {
            let event = Event::read(record).unwrap();
            assert_eq!((event.status, event.from), (None, Some(Status::Error)));
            assert_eq!(serde_json::to_value(&event).unwrap().as_object().unwrap().len(), 7);
        }
    }

    #[test]
    fn a_trimmed_log_tells_only_up_to_where() {
        for record in both(&[("id", Value::Int(41)), ("event", bulk("trimmed"))]) {
            let event = Event::read(record).unwrap();
            assert_eq!(event, Event::trimmed(41));
            assert_eq!(serde_json::to_string(&event).unwrap(), "{\"id\":41,\"event\":\"trimmed\"}");
        }
        for record in both(&[("id", Value::Int(41)), ("event", bulk("checkin"))]) {
            assert_eq!(Event::read(record).unwrap_err(), "issue is missing");
        }
    }

    #[test]
    fn an_unlabelled_issue_has_a_version_to_confirm() {
        for record in both(&[("issue", Value::Int(7)), ("status", bulk("completed")), ("version", Value::Int(2))]) {
            let json = serde_json::to_string(&Unlabelled::read(record).unwrap()).unwrap();
            assert_eq!(json, "{\"issue\":7,\"status\":\"completed\",\"version\":2}");
        }
    }

    #[test]
    fn a_page_ends_at_cursor_zero() {
        let page = |cursor: &str| {
            Page::read(Value::Array(vec![bulk(cursor), Value::Array(vec![])]), Issue::read).unwrap().next
        };
        assert_eq!(page("0"), None);
        assert_eq!(page("17"), Some(Cursor("17".to_owned())));
    }
}
