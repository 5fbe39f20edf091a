//! The encoding of Poppo 0.1: no events, and no versions of an issue's status.

use serde::Deserialize;

use super::v2::{self, Life, OldTotals, Run};
use super::{Histogram, Rows, Settings};
use crate::types::{Instant, IssueNumber, Token};

pub(super) const VERSION: u8 = 1;

/// The event that gave every issue of such a project its status: one that is not in the log, so that whoever follows it
/// is told that something is missing, and whoever shows labels looks at each issue once.
const FIRST_EVENT: u64 = 1;

#[derive(Deserialize)]
pub(super) enum Piece<'a> {
    Head(Box<Head>),
    #[serde(borrow)]
    Lives(Rows<'a, Life<'a>>),
    #[serde(borrow)]
    Issues(Rows<'a, Issue<'a>>),
}

#[derive(Deserialize)]
pub(super) struct Head {
    created: Instant,
    last_token: Option<Token>,
    next_life: u64,
    ends: u64,
    settings: Settings,
    totals: OldTotals,
    hold: Histogram,
    detection: Histogram,
}

#[derive(Deserialize)]
pub(super) struct Issue<'a> {
    number: IssueNumber,
    token: Token,
    started: Instant,
    completed: Option<Instant>,
    title: Option<&'a str>,
    kind: Option<u32>,
    #[serde(borrow)]
    run: Run<'a>,
}

impl<'a> From<Piece<'a>> for v2::Piece<'a> {
    fn from(piece: Piece<'a>) -> Self {
        match piece {
            Piece::Head(head) => Self::Head(Box::new((*head).into())),
            Piece::Lives(rows) => Self::Lives(rows),
            Piece::Issues(rows) => Self::Issues(rows.map(v2::Issue::from)),
        }
    }
}

impl From<Head> for v2::Head {
    fn from(head: Head) -> Self {
        let Head { created, last_token, next_life, ends, settings, totals, hold, detection } = head;
        Self { created, last_token, next_life, ends, last_event: FIRST_EVENT, settings, totals, hold, detection }
    }
}

impl<'a> From<Issue<'a>> for v2::Issue<'a> {
    fn from(issue: Issue<'a>) -> Self {
        let Issue { number, token, started, completed, title, kind, run } = issue;
        Self { number, token, started, completed, title, kind, run, version: FIRST_EVENT, behind: true }
    }
}
