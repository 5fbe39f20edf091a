//! What the panes list, as text.

use std::time::{Duration, SystemTime};

use poppo::{Event, Orphan, Process, ProcessState, Status, Task, Timestamp};

use super::snapshot::{Lease, Snapshot};
use super::state::{Pane, State};
use crate::human;
use crate::output::{Tone, status_tone};

/// What a pane shows.
pub(super) struct Rows {
    pub(super) title: String,
    pub(super) headings: &'static [&'static str],
    pub(super) rows: Vec<(Vec<String>, Tone)>,
}

/// What a pane shows now.
pub(super) fn of(pane: Pane, state: &State, now: SystemTime) -> Rows {
    let Some(snapshot) = &state.snapshot else {
        return Rows { title: name(pane).to_owned(), headings: &[], rows: Vec::new() };
    };
    let hung_after = state.look.hung_after;
    let (headings, rows): (&'static [&'static str], Vec<_>) = match pane {
        Pane::Leases => (
            &["ISSUE", "STATE", "TYPE", "PROCESS", "HELD", "BEAT", "REPORTED", "PROGRESS", "TITLE"],
            snapshot.leases.iter().map(|row| lease(row, hung_after, now)).collect(),
        ),
        Pane::Queue => (
            &["TASK", "PRIORITY", "STATE", "FAILED", "REASON", "TITLE"],
            snapshot.tasks.iter().map(|row| task(row, now)).collect(),
        ),
        Pane::Processes => (
            &["PROCESS", "STATE", "ISSUES", "BEAT", "SILENT AT MOST", "HOST", "PID", "PROGRESS"],
            snapshot.processes.iter().map(|row| process(row, now)).collect(),
        ),
        Pane::Orphans => (
            &["ISSUE", "PROCESS", "HOST", "REASON", "FOR", "BEAT"],
            snapshot.orphans.iter().map(|row| orphan(row, now)).collect(),
        ),
        Pane::Events => (
            &["ID", "AGO", "ISSUE", "EVENT", "CHANGE", "PROCESS", "TASK", "REASON"],
            snapshot.events.iter().map(|row| event(row, now)).collect(),
        ),
    };
    Rows { title: title(pane, snapshot, state, now), headings, rows }
}

fn name(pane: Pane) -> &'static str {
    match pane {
        Pane::Leases => "leases",
        Pane::Queue => "queue",
        Pane::Processes => "processes",
        Pane::Orphans => "orphans",
        Pane::Events => "events",
    }
}

/// The pane's name and how many there are, of which not all may be listed.
fn title(pane: Pane, snapshot: &Snapshot, state: &State, now: SystemTime) -> String {
    let stats = snapshot.stats.as_ref();
    let (listed, all) = match pane {
        Pane::Leases => (snapshot.leases.len(), stats.map(|stats| stats.issues.processing)),
        Pane::Queue => {
            let all = stats.map(|stats| stats.queue.waiting + stats.queue.delayed + stats.queue.dead);
            (snapshot.tasks.len(), all)
        }
        Pane::Processes => (snapshot.processes.len(), stats.map(|stats| stats.processes)),
        Pane::Orphans => (snapshot.orphans.len(), stats.map(|stats| stats.orphans)),
        Pane::Events => return "events, newest first".to_owned(),
    };
    let listed = listed as u64;
    // Counted a moment before they were listed, so there may be more of them than were counted.
    let count = match all {
        Some(all) if all > listed => format!("{listed} of {all}"),
        _ => listed.to_string(),
    };
    let hung = snapshot.leases.iter().filter(|lease| lease.is_hung(state.look.hung_after, now)).count();
    match (pane, hung) {
        (Pane::Leases, hung) if hung > 0 => format!("{} ({count}, {hung} hung)", name(pane)),
        _ => format!("{} ({count})", name(pane)),
    }
}

/// `3m 12s`, or nothing.
fn age(then: Option<SystemTime>, now: SystemTime) -> String {
    let age = |then| now.duration_since(then).unwrap_or_default();
    then.map(|then| human::duration(Duration::from_secs(age(then).as_secs()))).map(without_millis).unwrap_or_default()
}

/// Nobody wants to read `0ms` of an age that is told in seconds.
fn without_millis(text: String) -> String {
    if text == "0ms" { "0s".to_owned() } else { text }
}

fn told(then: Option<&Timestamp>, now: SystemTime) -> String {
    age(then.and_then(Timestamp::to_system_time), now)
}

fn text(value: Option<impl ToString>) -> String {
    value.map(|value| value.to_string()).unwrap_or_default()
}

/// A count that says nothing where it is 0.
fn count(count: u64) -> String {
    if count > 0 { count.to_string() } else { String::new() }
}

fn lease(lease: &Lease, hung_after: Duration, now: SystemTime) -> (Vec<String>, Tone) {
    let (state, tone) = match lease.orphan {
        Some(reason) => (reason.to_string(), Tone::Bad),
        None if lease.is_hung(hung_after, now) => ("hung".to_owned(), Tone::Warning),
        None => (String::new(), Tone::Plain),
    };
    let cells = vec![
        lease.issue.to_string(),
        state,
        text(lease.task_type.as_ref()),
        lease.process.clone(),
        age(lease.since, now),
        age(lease.beat, now),
        age(lease.reported, now),
        text(lease.progress.as_ref()),
        text(lease.title.as_ref()),
    ];
    (cells, tone)
}

fn task(task: &Task, now: SystemTime) -> (Vec<String>, Tone) {
    let (state, tone) = match (&task.dead_time, &task.due, task.held) {
        (Some(dead), ..) => (format!("dead for {}", told(Some(dead), now)), Tone::Bad),
        (_, Some(due), _) => (format!("due {}", human::until(due, now)), Tone::Quiet),
        (.., held) => {
            let behind = if held { ", for its issue" } else { "" };
            (format!("waits {}{behind}", told(task.since.as_ref(), now)), Tone::Plain)
        }
    };
    let cells = vec![
        task.task.clone(),
        task.priority.to_string(),
        state,
        count(task.attempts),
        text(task.reason.as_ref()),
        text(task.title.as_ref()),
    ];
    (cells, tone)
}

fn process(process: &Process, now: SystemTime) -> (Vec<String>, Tone) {
    let tone = if process.state == ProcessState::Alive { Tone::Plain } else { Tone::Bad };
    let cells = vec![
        process.process.clone(),
        process.state.to_string(),
        process.issues.to_string(),
        told(process.last_seen.as_ref(), now),
        text(process.ttl.map(|ttl| human::duration(Duration::from_millis(ttl)))),
        text(process.host.as_ref()),
        text(process.pid),
        text(process.progress.as_ref()),
    ];
    (cells, tone)
}

fn orphan(orphan: &Orphan, now: SystemTime) -> (Vec<String>, Tone) {
    let cells = vec![
        orphan.issue.to_string(),
        orphan.process.clone(),
        text(orphan.host.as_ref()),
        orphan.reason.to_string(),
        told(orphan.since.as_ref(), now),
        told(orphan.last_seen.as_ref(), now),
    ];
    (cells, Tone::Bad)
}

fn event(event: &Event, now: SystemTime) -> (Vec<String>, Tone) {
    let word = |status: Option<Status>| status.map_or("-", Status::as_str);
    let change = if event.from == event.status {
        word(event.status).to_owned()
    } else {
        format!("{} → {}", word(event.from), word(event.status))
    };
    let cells = vec![
        event.id.to_string(),
        told(event.at.as_ref(), now),
        text(event.issue),
        event.event.to_string(),
        change,
        text(event.process.as_ref()),
        text(event.task.as_ref()),
        text(event.reason.as_ref()),
    ];
    (cells, event.status.map_or(Tone::Quiet, status_tone))
}
