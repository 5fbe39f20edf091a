//! A project at one moment, as far as it is shown.

use std::collections::HashMap;
use std::time::{Duration, Instant, SystemTime};

use poppo::{Event, Issue, IssueNumber, Orphan, OrphanReason, Process, Stats, Task, Timestamp, Token};

/// An issue that somebody has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Lease {
    pub(super) issue: IssueNumber,
    pub(super) token: Option<Token>,
    pub(super) process: String,
    pub(super) task_type: Option<String>,
    pub(super) title: Option<String>,
    pub(super) since: Option<SystemTime>,
    /// When its process last beat.
    pub(super) beat: Option<SystemTime>,
    pub(super) progress: Option<String>,
    /// When the work itself last said how far it is.
    pub(super) reported: Option<SystemTime>,
    pub(super) orphan: Option<OrphanReason>,
}

impl Lease {
    /// Whether its process beats, but the work in it has said nothing for so long. Of work that never says anything, nobody
    /// can tell.
    pub(super) fn is_hung(&self, after: Duration, now: SystemTime) -> bool {
        let age = self.reported.and_then(|reported| now.duration_since(reported).ok());
        self.orphan.is_none() && age.is_some_and(|age| age >= after)
    }
}

/// Whatever is shown.
#[derive(Debug, Clone)]
pub(super) struct Snapshot {
    /// None where the project does not exist.
    pub(super) stats: Option<Stats>,
    pub(super) leases: Vec<Lease>,
    /// By urgency those that wait, then those that are not due, then the dead.
    pub(super) tasks: Vec<Task>,
    pub(super) processes: Vec<Process>,
    pub(super) orphans: Vec<Orphan>,
    /// The newest first.
    pub(super) events: Vec<Event>,
    /// The server's time, and when it was told.
    pub(super) time: SystemTime,
    pub(super) taken: Instant,
}

/// Leases with what their processes say. What a newer life of a process says is not said of its older life's leases.
pub(super) fn leases(issues: Vec<Issue>, processes: &[Process]) -> Vec<Lease> {
    let by_name: HashMap<&str, &Process> =
        processes.iter().map(|process| (process.process.as_str(), process)).collect();
    let time = |time: Option<&Timestamp>| time.and_then(Timestamp::to_system_time);
    issues
        .into_iter()
        .map(|issue| {
            let name = issue.process.unwrap_or_default();
            let is_current = issue.orphan != Some(OrphanReason::Replaced);
            let process = by_name.get(name.as_str()).filter(|_| is_current);
            let progress = issue.progress.or_else(|| process.and_then(|process| process.progress.clone()));
            let reported = issue.progress_time.as_ref().or(process.and_then(|process| process.progress_time.as_ref()));
            let beat = process.and_then(|process| process.last_seen.as_ref()).or(issue.last_seen.as_ref());
            Lease {
                issue: issue.issue,
                token: issue.token,
                task_type: issue.task_type,
                title: issue.title,
                since: time(issue.start_time.as_ref()),
                beat: time(beat),
                // What was said before this lease began is of other work.
                reported: time(reported).filter(|at| time(issue.start_time.as_ref()).is_none_or(|since| *at >= since)),
                progress,
                orphan: issue.orphan,
                process: name,
            }
        })
        .map(|lease| if lease.reported.is_none() { Lease { progress: None, ..lease } } else { lease })
        .collect()
}
