//! `CHECKIN`: a worker ends its lease, fenced by its token.

use compact_str::CompactString;

use crate::claim::Next;
use crate::events::{Entry, Says};
use crate::issue::{Ended, Issue, Run};
use crate::life::{Life, LifeId};
use crate::names::NameId;
use crate::project::{Measure, Project};
use crate::queue::Task;
use crate::refusal::{Refusal, Stale};
use crate::tasks::Disposal;
use crate::types::{EndedBy, Instant, IssueNumber, Millis, Name, Now, OrphanReason, Outcome, Pid, Status, Text, Token};

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
    /// Queue the task of a failed run again after this delay.
    pub retry: Option<Millis>,
    /// Claim the next task in the same step.
    pub next: Option<Next<'a>>,
    /// Fields of the worker's own; of two of one name the later counts.
    pub metadata: &'a [(Text<'a>, Text<'a>)],
}

impl<'a> Checkin<'a> {
    /// A request with no options.
    pub const fn new(issue: IssueNumber, process: Name<'a>, outcome: Outcome) -> Self {
        Self {
            issue,
            process,
            outcome,
            token: None,
            incarnation: None,
            result: None,
            reason: None,
            retry: None,
            next: None,
            metadata: &[],
        }
    }

    /// What becomes of the lease's task.
    const fn disposal(&self) -> Disposal {
        match (self.outcome, self.retry) {
            (Outcome::Completed | Outcome::AwaitingResponse, _) => Disposal::Finish,
            (Outcome::Cancelled, _) => Disposal::Drop,
            (Outcome::Error, retry) => Disposal::Fail { retry },
        }
    }
}

/// A check-in that was answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CheckedIn {
    /// Whether it changed something.
    pub effect: Effect,
    /// The issue that it claimed; [`Project::claimed`] shows it.
    pub next: Option<IssueNumber>,
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
    pub fn checkin(&mut self, now: Now, request: &Checkin<'_>) -> Result<CheckedIn, Refusal> {
        let number = request.issue;
        let issue = self.issues.get(&number).ok_or(Refusal::NotHeld { issue: number })?;
        let holder = match &issue.run {
            Run::Held(holder) => *holder,
            Run::Working(working) => {
                let again = request.token.is_some_and(|token| working.follows(token, request.outcome));
                if again && self.lives.get(&working.life).is_some_and(|life| self.is_process_of(life, request)) {
                    return Ok(CheckedIn { effect: Effect::Unchanged, next: request.next.map(|_| number) });
                }
                working.life
            }
            Run::Ended(ended) => {
                let token = request.token.ok_or(Refusal::NotHeld { issue: number })?;
                let again = ended.by == EndedBy::Checkin && ended.outcome == request.outcome;
                Self::again_or_stale(number, issue, ended, token, again)?;
                let next = request.next.and_then(|_| self.claimed_before(number));
                return Ok(CheckedIn { effect: Effect::Unchanged, next });
            }
        };
        let life = self.refuse_unless_holder(request, issue, holder)?;
        let lease = Closing::of(issue, holder, life);
        let Checkin { result, reason, metadata, .. } = *request;
        let left = Left { result, reason, metadata, orphan: None };
        let end = End { by: EndedBy::Checkin, outcome: request.outcome, disposal: request.disposal() };
        let next = self.change(now, |project| {
            project.end_lease(now.at, number, lease, end, left);
            request.next.and_then(|next| project.claim_next(now, holder, request, &next))
        });
        Ok(CheckedIn { effect: Effect::Changed, next })
    }

    /// The life of the holder, where that is who asks.
    fn refuse_unless_holder(&self, request: &Checkin<'_>, issue: &Issue, holder: LifeId) -> Result<&Life, Refusal> {
        let number = request.issue;
        if let Some(token) = request.token.filter(|token| *token != issue.token) {
            return Err(Refusal::Stale { issue: number, token, because: Stale::Other(issue.token) });
        }
        let life = self.lives.get(&holder).ok_or(Refusal::NotHeld { issue: number })?;
        if self.is_process_of(life, request) { Ok(life) } else { Err(self.held(number, issue, life)) }
    }

    fn is_process_of(&self, life: &Life, request: &Checkin<'_>) -> bool {
        self.names.get(life.process) == request.process.as_str() && life.may_be(request.incarnation)
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

    /// The issue leaves processing. Repairs are counted by their callers, who know the orphan. Answers what it is since.
    pub(crate) fn end_lease(
        &mut self,
        at: Instant,
        number: IssueNumber,
        lease: Closing,
        end: End,
        left: Left<'_>,
    ) -> Status {
        let End { by, outcome, disposal } = end;
        let Closing { holder, process, pid, host, token, started, kind, title, completed_before, task, asked } = lease;
        let completed_before = completed_before.filter(|_| outcome != Outcome::Completed);
        self.head.ends += 1;
        let reason = left.reason.map(Text::as_str).or(left.orphan.map(OrphanReason::as_str));
        let plan = self.plan(number, kind, task, asked, disposal);
        let ended = Ended {
            end: self.head.ends,
            at,
            by,
            outcome,
            aftermath: plan.aftermath,
            next: None,
            process,
            pid,
            host,
            reason: left.reason.map(|reason| reason.as_str().into()),
            result: left.result.map(|result| result.as_str().into()),
            metadata: left.metadata(),
        };
        self.head.totals.count_end(by, outcome);
        if by != EndedBy::Repair {
            self.record(Measure::Hold, at.since(started));
        }
        let status = ended.status();
        let run = Run::Ended(Box::new(ended));
        let version = self.next_event();
        let issue = Issue { token, started, completed_before, run, title, kind, version, behind: true };
        let entry = Entry {
            issue: number,
            token: Some(token),
            at,
            process: Some(process),
            kind,
            what: by.into(),
            status: Some(status),
            from: Some(Status::Processing),
            says: Says::of(plan.id(), reason),
        };
        self.set_issue(number, Some(issue));
        self.follow_plan(at, plan, disposal, entry);
        self.drop_if_over(holder);
        status
    }
}

/// A lease that is about to end: what its record and its holder's say that is needed then.
#[derive(Debug)]
pub(crate) struct Closing {
    holder: LifeId,
    process: NameId,
    pid: Option<Pid>,
    host: Option<NameId>,
    token: Token,
    started: Instant,
    kind: Option<NameId>,
    title: Option<CompactString>,
    completed_before: Option<Box<Instant>>,
    task: Option<Task>,
    asked: bool,
}

impl Closing {
    pub(crate) fn of(issue: &Issue, holder: LifeId, life: &Life) -> Self {
        Self {
            holder,
            process: life.process,
            pid: life.pid,
            host: life.host,
            token: issue.token,
            started: issue.started,
            kind: issue.kind,
            title: issue.title.clone(),
            completed_before: issue.completed_before.clone(),
            task: issue.task().cloned(),
            asked: issue.asked().is_some(),
        }
    }
}

/// How a lease ends.
#[derive(Debug, Clone, Copy)]
pub(crate) struct End {
    pub(crate) by: EndedBy,
    pub(crate) outcome: Outcome,
    pub(crate) disposal: Disposal,
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
