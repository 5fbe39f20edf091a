//! A project for the tests to look at, as of midnight.
#![allow(clippy::expect_used, reason = "in a test a panic is the report")]

use std::time::{Duration, Instant, SystemTime};

use poppo::{
    Durations, Event, EventKind, IssueCounts, IssueNumber, Orphan, OrphanReason, OutcomeCounts, Process, ProcessState,
    QueueCounts, RepairCounts, Stats, Status, Task, TaskCounts, Timestamp, Token,
};

use super::Look;
use super::snapshot::{Lease, Snapshot};
use super::state::State;

/// When all of this is.
pub(super) fn midnight() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_767_225_600)
}

/// So many seconds before.
fn before(seconds: u64) -> SystemTime {
    midnight() - Duration::from_secs(seconds)
}

fn written(seconds: u64) -> Timestamp {
    Timestamp::from(humantime::format_rfc3339_millis(before(seconds)).to_string())
}

pub(super) fn issue(number: u64) -> IssueNumber {
    IssueNumber::try_from(number).expect("an issue")
}

pub(super) fn token(number: u64) -> Token {
    Token::try_from(number).expect("a token")
}

pub(super) fn look() -> Look {
    Look { hung_after: Duration::from_secs(600), colour: false }
}

pub(super) fn lease(number: u64, process: &str) -> Lease {
    Lease {
        issue: issue(number),
        token: Some(token(number * 10)),
        process: process.to_owned(),
        task_type: Some("fix".to_owned()),
        title: None,
        since: Some(before(3600)),
        beat: Some(before(2)),
        progress: None,
        reported: None,
        orphan: None,
    }
}

fn task(id: &str, number: u64) -> Task {
    Task {
        task: id.to_owned(),
        issue: issue(number),
        task_type: "fix".to_owned(),
        priority: poppo::Priority::NORMAL,
        title: None,
        attempts: 0,
        orphan_count: 0,
        since: None,
        due: None,
        dead_time: None,
        reason: None,
        held: false,
        payload: None,
    }
}

pub(super) fn stats() -> Stats {
    let durations = Durations { count: 3, sum: 2700, mean: 900, p50: 800, p99: 2000, ..Durations::default() };
    Stats {
        created: written(7200),
        last_token: 90,
        issues: IssueCounts { processing: 3, completed: 4, awaiting_response: 0, error: 1, cancelled: 0, queued: 2 },
        processes: 2,
        orphans: 1,
        queue: QueueCounts {
            waiting: 1,
            delayed: 1,
            running: 3,
            dead: 1,
            drain: 0,
            oldest: 90_000,
            depth: [(50, 1)].into(),
        },
        checkouts: 100,
        checkins: OutcomeCounts { completed: 40, awaiting_response: 0, error: 10, cancelled: 0 },
        heartbeats: 7,
        repairs: RepairCounts { expired: 0, dead: 0, replaced: 0 },
        takeovers: 0,
        evictions: 0,
        tasks: TaskCounts::default(),
        wait: durations,
        hold: Durations::default(),
        detection: Durations::default(),
    }
}

pub(super) fn snapshot() -> Snapshot {
    let working = Lease {
        title: Some("Crash on\x1b start".to_owned()),
        progress: Some("tests 3/7".to_owned()),
        reported: Some(before(5)),
        ..lease(7, "worker-1")
    };
    let hung = Lease { progress: Some("cloning".to_owned()), reported: Some(before(1500)), ..lease(8, "worker-1") };
    let orphaned = Lease { orphan: Some(OrphanReason::Dead), beat: Some(before(120)), ..lease(9, "worker-2") };
    let waiting = Task { since: Some(written(90)), title: Some("Typo".to_owned()), ..task("11:fix", 11) };
    let delayed = Task { due: Some(written(0)), attempts: 2, ..task("12:fix", 12) };
    let dead = Task { dead_time: Some(written(30)), reason: Some("no network".to_owned()), ..task("13:fix", 13) };
    let process = Process {
        process: "worker-1".to_owned(),
        state: ProcessState::Alive,
        incarnation: None,
        pid: Some(4711),
        host: Some("build-7".to_owned()),
        tmux: None,
        issues: 2,
        ttl: Some(1_800_000),
        last_seen: Some(written(2)),
        attest_time: None,
        progress: None,
        progress_time: None,
    };
    let orphan = Orphan {
        issue: issue(9),
        token: token(90),
        process: "worker-2".to_owned(),
        pid: None,
        host: Some("build-8".to_owned()),
        task_type: None,
        reason: OrphanReason::Dead,
        since: Some(written(60)),
        last_seen: Some(written(120)),
    };
    let mut event = Event::trimmed(41);
    event.event = EventKind::Checkout;
    event.issue = Some(issue(7));
    event.status = Some(Status::Processing);
    event.process = Some("worker-1".to_owned());
    event.at = Some(written(3600));
    Snapshot {
        stats: Some(stats()),
        leases: vec![working, hung, orphaned],
        tasks: vec![waiting, delayed, dead],
        processes: vec![process],
        orphans: vec![orphan],
        events: vec![event],
        time: midnight(),
        taken: Instant::now(),
    }
}

/// The project as somebody sees it who has pressed nothing yet.
pub(super) fn state() -> State {
    let mut state = State::new("redis://127.0.0.1:6379", "acme/widgets", look());
    state.see(snapshot());
    state
}
