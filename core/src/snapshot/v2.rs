//! The encoding of Poppo 0.2: no tasks.

use serde::Deserialize;

use super::{HeadRow, Histogram, LifeClaims, ProgressRow, Rows, Settings, StandingRow, Totals};
use crate::issue::Aftermath;
use crate::stats::TaskTotals;
use crate::types::{EndedBy, EventKind, Instant, IssueNumber, Millis, OrphanReason, Outcome, Pid, Status, Token};

pub(super) const VERSION: u8 = 2;

#[derive(Deserialize)]
pub(super) enum Piece<'a> {
    Head(Box<Head>),
    #[serde(borrow)]
    Lives(Rows<'a, Life<'a>>),
    #[serde(borrow)]
    Issues(Rows<'a, Issue<'a>>),
    Events(u64, #[serde(borrow)] Rows<'a, Event<'a>>),
}

#[derive(Deserialize)]
pub(super) struct Head {
    pub(super) created: Instant,
    pub(super) last_token: Option<Token>,
    pub(super) next_life: u64,
    pub(super) ends: u64,
    pub(super) last_event: u64,
    pub(super) settings: Settings,
    pub(super) totals: OldTotals,
    pub(super) hold: Histogram,
    pub(super) detection: Histogram,
}

#[derive(Deserialize)]
pub(super) struct OldTotals {
    checkouts: u64,
    checkins: [u64; 4],
    heartbeats: u64,
    repairs: [u64; OrphanReason::ALL.len()],
    takeovers: u64,
    evictions: u64,
}

#[derive(Deserialize)]
pub(super) struct Life<'a> {
    id: u64,
    process: u32,
    incarnation: Option<&'a str>,
    pid: Option<Pid>,
    host: Option<u32>,
    tmux: Option<&'a str>,
    ttl: Millis,
    seen: Instant,
    #[serde(borrow)]
    progress: Option<ProgressRow<'a>>,
    standing: StandingRow,
}

#[derive(Deserialize)]
pub(super) struct Issue<'a> {
    pub(super) number: IssueNumber,
    pub(super) token: Token,
    pub(super) started: Instant,
    pub(super) completed: Option<Instant>,
    pub(super) title: Option<&'a str>,
    pub(super) kind: Option<u32>,
    #[serde(borrow)]
    pub(super) run: Run<'a>,
    pub(super) version: u64,
    pub(super) behind: bool,
}

#[derive(Deserialize)]
pub(super) enum Run<'a> {
    Held(u64),
    #[serde(borrow)]
    Ended(Ended<'a>),
}

#[derive(Deserialize)]
pub(super) struct Ended<'a> {
    end: u64,
    at: Instant,
    by: EndedBy,
    outcome: Outcome,
    process: u32,
    pid: Option<Pid>,
    host: Option<u32>,
    reason: Option<&'a str>,
    result: Option<&'a str>,
    metadata: Vec<(&'a str, &'a str)>,
}

#[derive(Deserialize)]
pub(super) struct Event<'a> {
    issue: IssueNumber,
    token: Token,
    at: Instant,
    process: u32,
    kind: Option<u32>,
    what: EventKind,
    status: Option<Status>,
    from: Option<Status>,
    reason: Option<&'a str>,
}

impl<'a> From<Piece<'a>> for super::Piece<'a> {
    fn from(piece: Piece<'a>) -> Self {
        match piece {
            Piece::Head(head) => Self::Head(Box::new((*head).into())),
            Piece::Lives(rows) => Self::Lives(rows.map(super::LifeRow::from)),
            Piece::Issues(rows) => Self::Issues(rows.map(super::IssueRow::from)),
            Piece::Events(first, rows) => Self::Events(first, rows.map(super::EventRow::from)),
        }
    }
}

impl From<Head> for HeadRow {
    fn from(head: Head) -> Self {
        let Head { created, last_token, next_life, ends, last_event, settings, totals, hold, detection } = head;
        Self {
            created,
            last_token,
            next_life,
            ends,
            last_event,
            waits: 0,
            deaths: 0,
            finishes: 0,
            drain: false,
            settings,
            totals: totals.into(),
            wait: Histogram::default(),
            hold,
            detection,
        }
    }
}

impl From<OldTotals> for Totals {
    fn from(totals: OldTotals) -> Self {
        let OldTotals { checkouts, checkins, heartbeats, repairs, takeovers, evictions } = totals;
        let tasks = TaskTotals::default();
        Self { checkouts, checkins, heartbeats, repairs, takeovers, evictions, tasks }
    }
}

impl<'a> From<Life<'a>> for super::LifeRow<'a> {
    fn from(life: Life<'a>) -> Self {
        let Life { id, process, incarnation, pid, host, tmux, ttl, seen, progress, standing } = life;
        let claims = LifeClaims::default();
        Self { id, process, incarnation, pid, host, tmux, ttl, seen, progress, standing, claims }
    }
}

impl<'a> From<Issue<'a>> for super::IssueRow<'a> {
    fn from(issue: Issue<'a>) -> Self {
        let Issue { number, token, started, completed, title, kind, run, version, behind } = issue;
        Self { number, token, started, completed, title, kind, run: run.into(), version, behind }
    }
}

impl<'a> From<Run<'a>> for super::RunRow<'a> {
    fn from(run: Run<'a>) -> Self {
        match run {
            Run::Held(life) => Self::Held(life),
            Run::Ended(ended) => {
                let Ended { end, at, by, outcome, process, pid, host, reason, result, metadata } = ended;
                Self::Ended(super::EndedRow {
                    end,
                    at,
                    by,
                    outcome,
                    aftermath: Aftermath::Ended,
                    next: None,
                    process,
                    pid,
                    host,
                    reason,
                    result,
                    metadata,
                })
            }
        }
    }
}

impl<'a> From<Event<'a>> for super::EventRow<'a> {
    fn from(event: Event<'a>) -> Self {
        let Event { issue, token, at, process, kind, what, status, from, reason } = event;
        let (token, process) = (Some(token), Some(process));
        Self { issue, token, at, process, kind, task: None, what, status, from, reason }
    }
}
