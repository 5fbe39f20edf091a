//! `CHECKIN`: a worker ends its lease, fenced by its token.

use compact_str::CompactString;

use crate::events::Entry;
use crate::issue::{Ended, Issue, Run};
use crate::life::LifeId;
use crate::project::{Measure, Project};
use crate::refusal::{Refusal, Stale};
use crate::types::{EndedBy, Instant, IssueNumber, Name, Now, OrphanReason, Outcome, Status, Text, Token};

/// What a worker reports.
#[derive(Debug, Clone, Copy)]
pub struct Checkin<'a> {
    /// The issue.
    pub issue: IssueNumber,
    /// Who held it.
    pub process: Name<'a>,
    /// How the work ended.
    pub outcome: Outcome,
    /// Its token; without one the process must be the current holder.
    pub token: Option<Token>,
    /// Its incarnation, which is compared only where it is given.
    pub incarnation: Option<Name<'a>>,
    /// JSON for whoever asks.
    pub result: Option<Text<'a>>,
    /// Why, for people.
    pub reason: Option<Text<'a>>,
    /// Fields of the worker's own; of two of one name the later counts.
    pub metadata: &'a [(Text<'a>, Text<'a>)],
}

/// Whether a command that was answered also changed something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// It did.
    Changed,
    /// All was as asked already.
    Unchanged,
}

impl Project {
    /// Checks an issue in.
    ///
    /// # Errors
    /// [`Refusal::Held`], [`Refusal::Stale`] and [`Refusal::NotHeld`] as the contract says; nothing changes then.
    pub fn checkin(&mut self, now: Now, request: &Checkin<'_>) -> Result<Effect, Refusal> {
        let number = request.issue;
        let issue = self.issues.get(&number).ok_or(Refusal::NotHeld { issue: number })?;
        match &issue.run {
            Run::Ended(ended) => {
                let token = request.token.ok_or(Refusal::NotHeld { issue: number })?;
                let again = ended.by == EndedBy::Checkin && ended.outcome == request.outcome;
                Self::again_or_stale(number, issue, ended, token, again)?;
                Ok(Effect::Unchanged)
            }
            Run::Held(holder) => {
                let holder = *holder;
                self.refuse_unless_holder(request, issue, holder)?;
                let Checkin { result, reason, metadata, .. } = *request;
                let left = Left { result, reason, metadata, orphan: None };
                self.change(now, |project| {
                    project.end_lease(now.at, number, holder, EndedBy::Checkin, request.outcome, left);
                });
                Ok(Effect::Changed)
            }
        }
    }

    fn refuse_unless_holder(&self, request: &Checkin<'_>, issue: &Issue, holder: LifeId) -> Result<(), Refusal> {
        let number = request.issue;
        if let Some(token) = request.token.filter(|token| *token != issue.token) {
            return Err(Refusal::Stale { issue: number, token, because: Stale::Other(issue.token) });
        }
        let life = self.lives.get(&holder).ok_or(Refusal::NotHeld { issue: number })?;
        let same_process = self.names.get(life.process) == request.process.as_str();
        let same_life =
            request.incarnation.is_none_or(|incarnation| life.incarnation.as_deref() == Some(incarnation.as_str()));
        if same_process && same_life { Ok(()) } else { Err(self.held(number, issue, life)) }
    }

    /// A lease that ended may be ended the same way again with its own token; all else is stale.
    pub(crate) fn again_or_stale(
        number: IssueNumber,
        issue: &Issue,
        ended: &Ended,
        token: Token,
        again: bool,
    ) -> Result<(), Refusal> {
        if token != issue.token {
            return Err(Refusal::Stale { issue: number, token, because: Stale::Other(issue.token) });
        }
        let because = Stale::Ended { by: ended.by, outcome: ended.outcome, at: ended.at };
        if again { Ok(()) } else { Err(Refusal::Stale { issue: number, token, because }) }
    }

    /// The issue leaves processing. Repairs are counted by their callers, who know the orphan.
    pub(crate) fn end_lease(
        &mut self,
        at: Instant,
        number: IssueNumber,
        holder: LifeId,
        by: EndedBy,
        outcome: Outcome,
        left: Left<'_>,
    ) {
        let (Some(mut issue), Some(life)) = (self.issues.get(&number).cloned(), self.lives.get(&holder)) else {
            return;
        };
        self.head.ends += 1;
        let process = life.process;
        let ended = Ended {
            end: self.head.ends,
            at,
            by,
            outcome,
            process,
            pid: life.pid,
            host: life.host,
            reason: left.reason.map(|reason| reason.as_str().into()),
            result: left.result.map(|result| result.as_str().into()),
            metadata: left.metadata(),
        };
        if outcome == Outcome::Completed {
            issue.completed = Some(Box::new(at));
        }
        self.head.totals.count_end(by, outcome);
        if by != EndedBy::Repair {
            self.record(Measure::Hold, at.since(issue.started));
        }
        issue.run = Run::Ended(Box::new(ended));
        issue.version = self.next_event();
        issue.behind = true;
        let entry = Entry {
            issue: number,
            token: issue.token,
            at,
            process,
            kind: issue.kind,
            what: by.into(),
            status: Some(outcome.into()),
            from: Some(Status::Processing),
            reason: left.reason.map(Text::as_str).or(left.orphan.map(OrphanReason::as_str)).map(Into::into),
        };
        self.set_issue(number, Some(issue));
        self.log(entry);
        self.drop_if_over(holder);
    }
}

/// What whoever ends a lease leaves behind.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Left<'a> {
    pub(crate) result: Option<Text<'a>>,
    pub(crate) reason: Option<Text<'a>>,
    pub(crate) metadata: &'a [(Text<'a>, Text<'a>)],
    /// Why it was an orphan, where it was one: what the event says where nobody gave a reason.
    pub(crate) orphan: Option<OrphanReason>,
}

impl Left<'_> {
    /// By field name, each once.
    fn metadata(&self) -> Vec<(CompactString, CompactString)> {
        let mut sorted: Vec<_> = self.metadata.iter().enumerate().collect();
        sorted.sort_by_key(|(position, (field, _))| (field.as_str(), std::cmp::Reverse(*position)));
        sorted.dedup_by_key(|(_, (field, _))| field.as_str());
        sorted.into_iter().map(|(_, (field, value))| (field.as_str().into(), value.as_str().into())).collect()
    }
}
