//! `REPAIR`, which ends an orphan's lease, and `EVICT`, which ends anyone's.

use crate::checkin::{Closing, Effect, End, Left};
use crate::issue::Run;
use crate::project::Project;
use crate::refusal::{Refusal, Stale};
use crate::tasks::Disposal;
use crate::types::{EndedBy, IssueNumber, Now, Outcome, RepairOutcome, Status, Text, Token};

/// The end of an orphan's lease.
#[derive(Debug, Clone, Copy)]
pub struct Repair<'a> {
    /// The issue.
    pub issue: IssueNumber,
    /// The orphan's token.
    pub token: Token,
    /// What the issue is afterwards, unless its task waits again.
    pub outcome: RepairOutcome,
    /// Queue its task again.
    pub requeue: bool,
    /// Why, for people.
    pub reason: Option<Text<'a>>,
}

/// The end of a lease by hand.
#[derive(Debug, Clone, Copy)]
pub struct Evict<'a> {
    /// The issue.
    pub issue: IssueNumber,
    /// Only this lease; none is whichever there is.
    pub token: Option<Token>,
    /// Queue its task again.
    pub requeue: bool,
    /// Why, for people.
    pub reason: Option<Text<'a>>,
}

impl Project {
    /// Ends an orphan's lease. Answers the issue's new status.
    ///
    /// # Errors
    /// [`Refusal::Alive`], [`Refusal::Stale`] and [`Refusal::NotHeld`] as the contract says; nothing changes then.
    pub fn repair(&mut self, now: Now, request: &Repair<'_>) -> Result<(Status, Effect), Refusal> {
        let end = Ending {
            issue: request.issue,
            token: Some(request.token),
            by: EndedBy::Repair,
            outcome: request.outcome.into(),
            requeue: request.requeue,
            reason: request.reason,
        };
        self.end(now, end)
    }

    /// Ends a lease, whoever holds it. Answers the issue's new status.
    ///
    /// # Errors
    /// [`Refusal::Stale`] and [`Refusal::NotHeld`] as the contract says; nothing changes then.
    pub fn evict(&mut self, now: Now, request: &Evict<'_>) -> Result<(Status, Effect), Refusal> {
        let end = Ending {
            issue: request.issue,
            token: request.token,
            by: EndedBy::Evict,
            outcome: Outcome::Error,
            requeue: request.requeue,
            reason: request.reason,
        };
        self.end(now, end)
    }

    fn end(&mut self, now: Now, end: Ending<'_>) -> Result<(Status, Effect), Refusal> {
        let number = end.issue;
        let issue = self.issues.get(&number).ok_or(Refusal::NotHeld { issue: number })?;
        if let Run::Ended(ended) = &issue.run {
            let token = end.token.ok_or(Refusal::NotHeld { issue: number })?;
            let again = ended.by == end.by && ended.outcome == end.outcome;
            Self::again_or_stale(number, issue, ended, token, again)?;
            return Ok((ended.status(), Effect::Unchanged));
        }
        if let Some(token) = end.token.filter(|token| *token != issue.token) {
            return Err(Refusal::Stale { issue: number, token, because: Stale::Other(issue.token) });
        }
        let (issue, holder, life) = self.holder_of(number).ok_or(Refusal::NotHeld { issue: number })?;
        let orphaned = self.orphaned(life, now);
        if end.by == EndedBy::Repair && orphaned.is_none() {
            let process = self.names.get(life.process).to_owned();
            return Err(Refusal::Alive { issue: number, process });
        }
        let (started, lease) = (issue.started, Closing::of(issue, holder, life));
        let status = self.change(now, |project| {
            let orphaned = orphaned.filter(|_| end.by == EndedBy::Repair);
            if let Some(orphaned) = orphaned {
                project.count_repair(now.at, started, orphaned);
            }
            project.punish_death(holder);
            let orphan = orphaned.map(|orphaned| orphaned.reason);
            let left = Left { reason: end.reason, orphan, ..Left::default() };
            let Ending { by, outcome, requeue, .. } = end;
            project.end_lease(now.at, number, lease, End { by, outcome, disposal: Disposal::Lose { requeue } }, left)
        });
        Ok((status, Effect::Changed))
    }
}

/// What `REPAIR` and `EVICT` have in common.
struct Ending<'a> {
    issue: IssueNumber,
    token: Option<Token>,
    by: EndedBy,
    outcome: Outcome,
    requeue: bool,
    reason: Option<Text<'a>>,
}
