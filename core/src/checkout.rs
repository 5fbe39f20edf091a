//! `CHECKOUT`: grants an issue to one life of one process, under a token higher than all before.

use compact_str::CompactString;

use crate::events::{Entry, Says};
use crate::issue::{Issue, Run, Working};
use crate::life::{Due, Life, LifeId, Orphaned, Standing};
use crate::names::NameId;
use crate::project::{Measure, Project};
use crate::queue::{Task, Whereabouts};
use crate::refusal::Refusal;
use crate::settings::Setting;
use crate::types::{
    EventKind, Instant, IssueNumber, Millis, Name, Now, OrphanReason, Outcome, Pid, Status, Text, Token,
};

/// What a process asks for.
#[derive(Debug, Clone, Copy)]
pub struct Checkout<'a> {
    /// The issue.
    pub issue: IssueNumber,
    /// Who wants it.
    pub process: Name<'a>,
    /// Which life of that process; none is a life of its own.
    pub incarnation: Option<Name<'a>>,
    /// The process's number on its host.
    pub pid: Option<Pid>,
    /// Where it runs.
    pub host: Option<Name<'a>>,
    /// The task type of this run.
    pub kind: Option<Name<'a>>,
    /// The issue's title.
    pub title: Option<Text<'a>>,
    /// Where people can watch it.
    pub tmux: Option<Text<'a>>,
    /// The heartbeat's time to live for this life.
    pub ttl: Option<Millis>,
    /// Only if the issue was never completed.
    pub once: bool,
    /// Also if an orphan holds it.
    pub takeover: bool,
}

impl<'a> Checkout<'a> {
    /// A request with no options.
    pub const fn new(issue: IssueNumber, process: Name<'a>) -> Self {
        Self {
            issue,
            process,
            incarnation: None,
            pid: None,
            host: None,
            kind: None,
            title: None,
            tmux: None,
            ttl: None,
            once: false,
            takeover: false,
        }
    }
}

/// A granted or renewed lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lease {
    /// Its fencing token.
    pub token: Token,
    /// Whether this very life held the issue already.
    pub renewed: bool,
}

/// What is granted besides the issue itself.
#[derive(Debug)]
pub(crate) struct Grant {
    pub(crate) what: EventKind,
    pub(crate) task: Option<Task>,
    pub(crate) follows: Option<(Token, Outcome)>,
    /// Who loses the issue to this grant, and why it may.
    pub(crate) loser: Option<(LifeId, Orphaned)>,
}

impl Project {
    /// Checks an issue out.
    ///
    /// # Errors
    /// [`Refusal::Held`], [`Refusal::Done`] and [`Refusal::InUse`] as the contract says; nothing changes then.
    pub fn checkout(&mut self, now: Now, request: &Checkout<'_>) -> Result<Lease, Refusal> {
        let same = self.current_life(request.process).filter(|(_, life)| life.is_incarnation(request.incarnation));
        let life = same.map(|(id, _)| id);
        // One above all others, as new issues are, need not be searched for.
        let known = self.issues.last().is_some_and(|(newest, _)| request.issue <= *newest);
        let issue = if known { self.issues.get(&request.issue) } else { None };
        let loser = match issue.and_then(|issue| Some((issue, issue.holder()?))) {
            Some((issue, holder)) if Some(holder) == life => {
                let token = issue.token;
                self.change(now, |project| project.renew(now.at, holder, request));
                return Ok(Lease { token, renewed: true });
            }
            Some((issue, holder)) => {
                let record = self.lives.get(&holder).ok_or(Refusal::NotHeld { issue: request.issue })?;
                let orphaned = self.can_be_taken(now, request, record);
                let orphaned = orphaned.ok_or_else(|| self.held(request.issue, issue, record))?;
                Some((holder, orphaned))
            }
            None => None,
        };
        if !now.is_replay() {
            if let Some(at) = issue.and_then(|issue| issue.completed()).filter(|_| request.once) {
                return Err(Refusal::Done { issue: request.issue, at });
            }
            self.refuse_in_use(now, request.process, life)?;
        }
        let token = self.change(now, |project| {
            let orphaned = loser.and_then(|_| project.orphaned_task(request.issue));
            let task = orphaned.or_else(|| project.take_waiting(request.issue, request.kind));
            let what = if loser.is_some() { EventKind::Takeover } else { EventKind::Checkout };
            project.grant(now, request, life, Grant { what, task, follows: None, loser })
        });
        Ok(Lease { token, renewed: false })
    }

    /// Refuses a new life, where the current one of its name is attested.
    pub(crate) fn refuse_in_use(&self, now: Now, process: Name<'_>, life: Option<LifeId>) -> Result<(), Refusal> {
        if life.is_none()
            && let Some((_, other)) = self.current_life(process)
            && let Some(attested) = other.attested(&self.head.settings, now)
        {
            return Err(Refusal::InUse { process: process.to_string(), attested });
        }
        Ok(())
    }

    /// The task of a lease that is taken over: its work goes on in other hands.
    fn orphaned_task(&self, number: IssueNumber) -> Option<Task> {
        let mut task = self.issues.get(&number)?.task()?.clone();
        task.orphans = task.orphans.saturating_add(1);
        Some(task)
    }

    /// Takes the task out of the queue that a checkout by number means, if it is there.
    fn take_waiting(&mut self, number: IssueNumber, kind: Option<Name<'_>>) -> Option<Task> {
        if !self.is_queued(number) {
            return None;
        }
        let id = Self::default_id(number, kind.map(Name::as_str));
        match self.find(&id) {
            // Somebody may have given this id to a task of another issue.
            Some(Whereabouts::Waiting(task)) if self.queue.tasks.get(&task)?.issue == number => {
                self.take_for_lease(task)
            }
            _ => None,
        }
    }

    /// Why the holder may lose the issue to this request, if it may.
    fn can_be_taken(&self, now: Now, request: &Checkout<'_>, holder: &Life) -> Option<Orphaned> {
        if !request.takeover {
            return None;
        }
        // This very grant would end an older life of the same name, so it counts as ended already.
        let older = holder.is_current() && self.names.get(holder.process) == request.process.as_str();
        if older { Some(self.replaced(now.at, holder)) } else { self.orphaned(holder, now) }
    }

    /// What a life is when a newer one takes its name: an orphan from now on, if it was not one before.
    fn replaced(&self, at: Instant, life: &Life) -> Orphaned {
        let due = match life.due(&self.head.settings) {
            Due::Certain(orphaned) => orphaned.since,
            Due::Silence(since) => since,
        };
        Orphaned { reason: OrphanReason::Replaced, since: due.min(at) }
    }

    pub(crate) fn held(&self, number: IssueNumber, issue: &Issue, holder: &Life) -> Refusal {
        Refusal::Held {
            issue: number,
            process: self.names.get(holder.process).to_owned(),
            token: issue.token,
            since: issue.started,
        }
    }

    /// The same life asked again: a retry after a lost reply, or news about itself.
    fn renew(&mut self, at: Instant, id: LifeId, request: &Checkout<'_>) {
        self.enter_current_life(at, id, request);
        if (request.title.is_some() || request.kind.is_some())
            && let Some(mut issue) = self.issues.get(&request.issue).map(|issue| (**issue).clone())
        {
            issue.title = request.title.map(|title| CompactString::new(title.as_str())).or(issue.title);
            issue.kind = request.kind.map(|kind| self.names.intern(kind.as_str())).or(issue.kind);
            self.set_issue(request.issue, Some(issue));
        }
    }

    /// Gives the issue to this life, or to a new one.
    pub(crate) fn grant(&mut self, now: Now, request: &Checkout<'_>, life: Option<LifeId>, grant: Grant) -> Token {
        let (life, process) = match life.and_then(|id| Some((id, self.enter_current_life(now.at, id, request)?))) {
            Some(there) => there,
            None => self.begin_life(now.at, request),
        };
        let Grant { what, task, follows, loser } = grant;
        let queued = task.is_some() || self.is_queued(request.issue);
        let (said, known) = (request.title.map(Text::as_str), task.as_ref().and_then(Task::title));
        // Whoever names an issue says what it is called; whoever claims whatever there is, only where the task does not.
        let newer = if what == EventKind::Claim { known.or(said) } else { said.or(known) };
        let newer = newer.map(CompactString::new);
        let mut asked = None;
        if let Some((holder, orphaned)) = loser {
            if let Some(before) = self.issues.get(&request.issue) {
                // Whoever takes an orphan's work over is asked what the orphan was.
                asked = before.asked().cloned();
                self.count_repair(now.at, before.started, orphaned);
            }
            self.head.totals.takeovers += 1;
            self.punish_death(holder);
        }
        let token = Token::after(self.head.last_token, now.at);
        self.head.last_token = Some(token);
        self.head.totals.checkouts += 1;
        let version = self.next_event();
        let kind = match &task {
            Some(task) => Some(task.kind),
            None => request.kind.map(|kind| self.names.intern(kind.as_str())),
        };
        let id = task.as_ref().map(|task| task.id.as_str());
        let says = Says::of(id, loser.map(|(_, orphaned)| orphaned.reason.as_str()));
        let run = match (task, asked, follows) {
            (None, None, None) => Run::Held(life),
            (task, asked, follows) => Run::Working(Box::new(Working { life, task, asked, follows })),
        };
        let mut from = queued.then_some(Status::Queued);
        self.change_issue(request.issue, |before| {
            from = before.map(Issue::status).or(from);
            let title = newer.or_else(|| before?.title.clone());
            let completed_before = before.and_then(Issue::completed).map(Box::new);
            let started = now.at;
            Some(Issue { token, started, completed_before, run, title, kind, version, behind: true })
        });
        self.log(Entry {
            issue: request.issue,
            token: Some(token),
            at: now.at,
            process: Some(process),
            kind,
            what,
            status: Some(Status::Processing),
            from,
            says,
        });
        if let Some((holder, _)) = loser {
            self.drop_if_over(holder);
        }
        token
    }

    /// Counts a lease taken from an orphan.
    pub(crate) fn count_repair(&mut self, at: Instant, started: Instant, orphaned: Orphaned) {
        self.head.totals.count_repair(orphaned.reason);
        self.record(Measure::Hold, at.since(started));
        self.record(Measure::Detection, at.since(orphaned.since));
    }

    /// A life that was called dead and lost a lease for it cannot come back: its other leases stay orphans.
    pub(crate) fn punish_death(&mut self, id: LifeId) {
        if let Some(mut life) = self.lives.get(&id).cloned()
            && let Standing::Dead { at } = life.standing
        {
            life.standing = Standing::Ended { at, reason: OrphanReason::Dead };
            self.set_life(id, Some(life));
        }
    }

    /// A life that is over is kept only for the leases it still holds.
    pub(crate) fn drop_if_over(&mut self, id: LifeId) {
        let over = self.lives.get(&id).is_some_and(|life| !life.is_current());
        if over && self.held_by(id).is_none() {
            self.set_life(id, None);
        }
    }

    /// The life asked for something: a beat, and perhaps news about itself. Answers its process.
    pub(crate) fn enter_current_life(&mut self, at: Instant, id: LifeId, request: &Checkout<'_>) -> Option<NameId> {
        if request.pid.is_none() && request.host.is_none() && request.tmux.is_none() {
            return self.beat(at, id, request.ttl);
        }
        let mut life = self.lives.get(&id)?.clone();
        let process = life.process;
        life.beat(at, request.ttl);
        let before = (life.pid, life.host);
        life.pid = request.pid.or(life.pid);
        life.host = request.host.map(|host| self.names.intern(host.as_str())).or(life.host);
        if (life.pid, life.host) != before {
            // The agent's word was on another PID.
            life.standing = Standing::Current { attested: None };
        }
        life.tmux = request.tmux.map(|tmux| CompactString::new(tmux.as_str())).or(life.tmux);
        self.set_life(id, Some(life));
        Some(process)
    }

    /// A new life takes the name; an older one that has it is over.
    fn begin_life(&mut self, at: Instant, request: &Checkout<'_>) -> (LifeId, NameId) {
        if let Some((older, record)) = self.current_life(request.process) {
            let (replaced, mut record) = (self.replaced(at, record), record.clone());
            let Orphaned { reason, since } = replaced;
            record.standing = Standing::Ended { at: since, reason };
            self.set_life(older, Some(record));
            self.drop_if_over(older);
        }
        let id = self.head.next_life;
        self.head.next_life = LifeId(id.0 + 1);
        let process = self.names.intern(request.process.as_str());
        let life = Life {
            process,
            incarnation: request.incarnation.map(|incarnation| CompactString::new(incarnation.as_str())),
            pid: request.pid,
            host: request.host.map(|host| self.names.intern(host.as_str())),
            tmux: request.tmux.map(|tmux| CompactString::new(tmux.as_str())),
            ttl: request.ttl.unwrap_or_else(|| self.head.settings.millis(Setting::HeartbeatTtl)),
            seen: at,
            progress: None,
            standing: Standing::Current { attested: None },
            claims: None,
        };
        self.set_life(id, Some(life));
        (id, process)
    }
}
