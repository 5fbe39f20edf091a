//! `CLAIM`: the next task of the queue, and a lease of its issue.

use compact_str::CompactString;

use crate::checkin::Checkin;
use crate::checkout::{Checkout, Grant};
use crate::issue::{Run, Working};
use crate::life::{Claims, LifeId, Requested};
use crate::names::NameId;
use crate::project::{Measure, Project};
use crate::queue::{TaskNumber, Whereabouts};
use crate::refusal::Refusal;
use crate::settings::Setting;
use crate::types::{EventKind, Instant, IssueNumber, Millis, Name, Now, Outcome, Pid, TaskId, Text, Token};

/// What a process asks for.
#[derive(Debug, Clone, Copy)]
pub struct Claim<'a> {
    /// Who wants a task.
    pub process: Name<'a>,
    /// Only tasks of these types; none is of any.
    pub types: &'a [Name<'a>],
    /// By what a repeated claim is known.
    pub request: Option<Name<'a>>,
    /// Which life of that process; none is a life of its own.
    pub incarnation: Option<Name<'a>>,
    /// The process's number on its host.
    pub pid: Option<Pid>,
    /// Where it runs.
    pub host: Option<Name<'a>>,
    /// The title of a task that has none.
    pub title: Option<Text<'a>>,
    /// Where people can watch it.
    pub tmux: Option<Text<'a>>,
    /// The heartbeat's time to live for this life.
    pub ttl: Option<Millis>,
    /// On replay: the task that the primary chose.
    pub chosen: Option<TaskId<'a>>,
}

impl<'a> Claim<'a> {
    /// A request with no options.
    pub const fn new(process: Name<'a>) -> Self {
        Self {
            process,
            types: &[],
            request: None,
            incarnation: None,
            pid: None,
            host: None,
            title: None,
            tmux: None,
            ttl: None,
            chosen: None,
        }
    }
}

/// The claim that a check-in makes in the same step.
#[derive(Debug, Clone, Copy)]
pub struct Next<'a> {
    /// By what a repeated claim is known.
    pub request: Option<Name<'a>>,
    /// Whether there is room for another lease.
    pub may_claim: bool,
    /// On replay: the task that the primary chose.
    pub chosen: Option<TaskId<'a>>,
}

/// A claim that was answered with a lease; [`Project::claimed`] shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Claimed {
    /// The issue.
    pub issue: IssueNumber,
    /// Whether this very life was given it before.
    pub renewed: bool,
}

/// A claimed task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Assignment<'a> {
    /// The issue.
    pub issue: IssueNumber,
    /// Its fencing token.
    pub token: Token,
    /// The task's id.
    pub task: &'a str,
    /// The task's type.
    pub kind: &'a str,
    /// The issue's title.
    pub title: Option<&'a str>,
    /// JSON.
    pub payload: Option<&'a str>,
    /// How many of its runs failed before.
    pub attempts: u16,
    /// For how long it waited.
    pub waited: Millis,
}

impl Project {
    /// How many tasks that fell due are noticed between two looks for one to claim.
    const NOTICE: usize = 4_096;

    /// Claims the first task whose issue is free. None where there is none, and nothing changes then.
    ///
    /// # Errors
    /// [`Refusal::InUse`] as the contract says; nothing changes then.
    pub fn claim(&mut self, now: Now, request: &Claim<'_>) -> Result<Option<Claimed>, Refusal> {
        let same = self.current_life(request.process).filter(|(_, life)| life.is_incarnation(request.incarnation));
        let repeated = same.and_then(|(id, life)| {
            let last = life.claims.as_ref()?.request.as_ref()?;
            let again = last.id.as_str() == request.request?.as_str() && self.is_held_by(id, last.issue, last.token);
            again.then_some((id, last.issue))
        });
        let life = same.map(|(id, _)| id);
        // There is nothing to remember, and nothing that was.
        let plain =
            request.types.is_empty() && request.request.is_none() && same.is_none_or(|(_, life)| life.claims.is_none());
        if let Some((id, issue)) = repeated {
            self.change(now, |project| project.enter_current_life(now.at, id, &request.checkout(issue)));
            return Ok(Some(Claimed { issue, renewed: true }));
        }
        let task = if now.is_replay() {
            self.chosen(request.chosen)
        } else {
            self.refuse_in_use(now, request.process, life)?;
            let kinds = self.kinds(request.types);
            self.next_task(now.at, kinds.as_deref())
        };
        let Some((task, issue)) = task.and_then(|task| Some((task, self.queue.tasks.get(&task)?.issue))) else {
            return Ok(None);
        };
        self.change(now, |project| {
            let token = project.grant_task(now, task, &request.checkout(issue), life, None);
            if !plain {
                let kinds = project.intern_kinds(request.types);
                project.remember_claim(request.process, kinds, request.request, issue, token);
            }
        });
        Ok(Some(Claimed { issue, renewed: false }))
    }

    /// Whether a claim by somebody who asks for these types, or any, would get a task now.
    pub fn has_task_for(&mut self, now: Now, types: &[Name<'_>]) -> bool {
        let kinds = self.kinds(types);
        self.next_task(now.at, kinds.as_deref()).is_some()
    }

    /// What a claim was answered with, while the issue is held. None where it was not claimed.
    pub fn claimed(&self, issue: IssueNumber) -> Option<Assignment<'_>> {
        let record = self.issues.get(&issue)?;
        let task = record.task()?;
        Some(Assignment {
            issue,
            token: record.token,
            task: &task.id,
            kind: self.names.get(task.kind),
            title: record.title.as_deref(),
            payload: task.payload(),
            attempts: task.attempts,
            waited: record.started.since(task.turn),
        })
    }

    /// The claim of a check-in, behind the check-in itself. Answers the issue.
    pub(crate) fn claim_next(
        &mut self,
        now: Now,
        holder: LifeId,
        done: &Checkin<'_>,
        next: &Next<'_>,
    ) -> Option<IssueNumber> {
        // A life that is over gets nothing more.
        let life = self.lives.get(&holder).filter(|life| life.is_current())?;
        let kinds = life.claims.as_ref().map(|claims| claims.kinds.clone()).unwrap_or_default();
        let task = if now.is_replay() {
            self.chosen(next.chosen)
        } else if next.may_claim {
            self.next_task(now.at, Some(kinds.as_slice()).filter(|kinds| !kinds.is_empty()))
        } else {
            None
        }?;
        let issue = self.queue.tasks.get(&task)?.issue;
        let ended = if issue == done.issue { self.issues.get(&issue) } else { None };
        let follows = ended.map(|ended| (ended.token, done.outcome));
        let token = self.grant_task(now, task, &Checkout::new(issue, done.process), Some(holder), follows);
        if next.request.is_some() {
            // The types are those that it asked for before.
            self.remember_claim(done.process, kinds, next.request, issue, token);
        }
        // In place: no index knows of it, and the journal has the record from before the check-in.
        if let Some(record) = self.issues.get_mut(&done.issue)
            && let Run::Ended(ended) = &mut record.run
        {
            ended.next = Some((issue, token));
        }
        Some(issue)
    }

    /// The lease that the same check-in claimed before, while it is held.
    pub(crate) fn claimed_before(&self, issue: IssueNumber) -> Option<IssueNumber> {
        let Run::Ended(ended) = &self.issues.get(&issue)?.run else { return None };
        let (next, token) = ended.next?;
        let record = self.issues.get(&next)?;
        (record.token == token && record.holder().is_some()).then_some(next)
    }

    fn grant_task(
        &mut self,
        now: Now,
        task: TaskNumber,
        request: &Checkout<'_>,
        life: Option<LifeId>,
        follows: Option<(Token, Outcome)>,
    ) -> Token {
        let task = self.take_for_lease(task);
        if let Some(task) = &task {
            self.head.totals.tasks.claimed += 1;
            self.record(Measure::Wait, now.at.since(task.turn));
        }
        self.grant(now, request, life, Grant { what: EventKind::Claim, task, follows, loser: None })
    }

    /// What the process's current life claimed, and how it asked.
    fn remember_claim(
        &mut self,
        process: Name<'_>,
        kinds: Vec<NameId>,
        request: Option<Name<'_>>,
        issue: IssueNumber,
        token: Token,
    ) {
        let Some((id, life)) = self.current_life(process) else { return };
        let known = life.claims.as_ref().map_or(&[][..], |claims| &claims.kinds);
        if request.is_none() && known == kinds {
            return;
        }
        let request = match request {
            Some(id) => Some(Requested { id: CompactString::new(id.as_str()), issue, token }),
            // The last REQ is still the last one.
            None => life.claims.as_ref().and_then(|claims| claims.request.clone()),
        };
        let claims = Claims { kinds, request };
        let claims = (claims != Claims::default()).then(|| Box::new(claims));
        if claims != life.claims {
            let life = crate::life::Life { claims, ..life.clone() };
            self.set_life(id, Some(life));
        }
    }

    /// The first task for these types, or for any, where claims get one at all.
    fn next_task(&mut self, at: Instant, kinds: Option<&[NameId]>) -> Option<TaskNumber> {
        let most = self.head.settings.get(Setting::MaxRunning);
        let none = self.head.drain || (most > 0 && self.leases() >= most);
        loop {
            // What fell due is noticed in any case: whoever waits for it need not look for it again.
            let more = self.ripen(at, Self::NOTICE);
            match self.order.first(kinds) {
                _ if none => return None,
                None if more => {}
                first => return first,
            }
        }
    }

    fn chosen(&self, task: Option<TaskId<'_>>) -> Option<TaskNumber> {
        match self.find(task?.as_str()) {
            Some(Whereabouts::Waiting(number)) => Some(number),
            _ => None,
        }
    }

    /// The numbers of these types, as far as any record has them; none for any type.
    fn kinds(&self, types: &[Name<'_>]) -> Option<Vec<NameId>> {
        let known = || types.iter().filter_map(|kind| self.names.find(kind.as_str())).collect();
        (!types.is_empty()).then(known)
    }

    /// Each once, by name, so that what is stored does not depend on their numbers.
    fn intern_kinds(&mut self, types: &[Name<'_>]) -> Vec<NameId> {
        let mut types: Vec<&str> = types.iter().map(|kind| kind.as_str()).collect();
        types.sort_unstable();
        types.dedup();
        types.into_iter().map(|kind| self.names.intern(kind)).collect()
    }

    fn is_held_by(&self, life: LifeId, issue: IssueNumber, token: Token) -> bool {
        self.issues.get(&issue).is_some_and(|record| record.holder() == Some(life) && record.token == token)
    }
}

impl<'a> Claim<'a> {
    /// The same as a checkout of an issue.
    const fn checkout(&self, issue: IssueNumber) -> Checkout<'a> {
        Checkout {
            incarnation: self.incarnation,
            pid: self.pid,
            host: self.host,
            title: self.title,
            tmux: self.tmux,
            ttl: self.ttl,
            ..Checkout::new(issue, self.process)
        }
    }
}

/// What a lease has to carry along for its worker to say the same again.
impl Working {
    pub(crate) fn follows(&self, token: Token, outcome: Outcome) -> bool {
        self.follows == Some((token, outcome))
    }
}
