//! A deliberately naive project: plain vectors, linear scans, no index, nothing cached.
//!
//! It is written from `docs/commands.md`, not from the crate, so that the two agree only where both are right.

#![allow(dead_code, reason = "each test crate uses a part of it")]

pub(crate) mod after;
pub(crate) mod histories;
pub(crate) mod queue;
pub(crate) mod views;

use std::collections::{BTreeMap, HashMap};

use poppo_core::{
    Cancelled, Checkin, Checkout, Claim, Effect, EndedBy, Enqueue, EventKind, Evict, Heartbeat, Instant, IssueNumber,
    Judge, Lease, Liveness, Millis, Next, Now, OrphanReason, Outcome, Pid, Project, Refusal, Repair, Setting, Stale,
    Status, TaskId, Text, Token, Totals,
};

use self::histories::lasting;
use self::queue::{Dead, Disposal, Task};
use self::views::{ClaimView, EventView, HolderView, IssueView, OrphanView, ProcessView, RunView, TaskState};

/// Any command that writes.
#[derive(Debug, Clone)]
pub(crate) enum Command {
    Checkout(Checkout<'static>),
    Checkin(Checkin<'static>),
    Heartbeat(Heartbeat<'static>),
    Liveness(Liveness<'static>),
    Repair(Repair<'static>),
    Evict(Evict<'static>),
    Forget(IssueNumber),
    Enqueue(Enqueue<'static>),
    Claim(Claim<'static>),
    Cancel(IssueNumber, Option<Text<'static>>),
    Revive(TaskId<'static>),
    Drain(bool),
    Configure(Vec<(Setting, u64)>),
    Labelled(IssueNumber, u64),
}

/// What a command answers where it is not refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer {
    Leased(Lease),
    Done(Effect),
    CheckedIn(Effect, Option<ClaimView>),
    Beat {
        ttl: Millis,
        leases: Vec<(IssueNumber, Token)>,
        drain: bool,
        cancel: Vec<IssueNumber>,
    },
    Believed(u64, Effect),
    Ended(Status, Effect),
    Queued(bool, Effect),
    /// Null where there was no task; and whether the same life was given it before.
    Claimed(Option<(ClaimView, bool)>),
    Cancelled(Cancelled, Effect),
}

impl Answer {
    /// Whether the command is one to replicate.
    pub(crate) fn changed(&self) -> bool {
        match self {
            Self::Leased(_) | Self::Beat { .. } => true,
            Self::Claimed(claimed) => claimed.is_some(),
            Self::Done(effect)
            | Self::CheckedIn(effect, _)
            | Self::Believed(_, effect)
            | Self::Ended(_, effect)
            | Self::Queued(_, effect)
            | Self::Cancelled(_, effect) => *effect == Effect::Changed,
        }
    }

    /// The new token, where one was given.
    pub(crate) fn token(&self) -> Option<Token> {
        match self {
            Self::Leased(lease) if !lease.renewed => Some(lease.token),
            Self::Claimed(Some((claimed, false))) => Some(claimed.token),
            Self::CheckedIn(Effect::Changed, Some(claimed)) => Some(claimed.token),
            _ => None,
        }
    }
}

/// The command as it is replicated: with the task that it claimed.
pub(crate) fn resolved(command: &Command, answer: &Answer) -> Command {
    let chosen = |claimed: &ClaimView| TaskId::parse(lasting(&claimed.task).as_bytes()).expect("a task's id");
    match (command.clone(), answer) {
        (Command::Claim(claim), Answer::Claimed(Some((claimed, false)))) => {
            Command::Claim(Claim { chosen: Some(chosen(claimed)), ..claim })
        }
        (Command::Checkin(checkin), Answer::CheckedIn(_, claimed)) => {
            // Whether there was room was the primary's to say.
            let chosen = claimed.as_ref().map(chosen);
            let next = checkin.next.map(|next| Next { chosen, may_claim: true, ..next });
            Command::Checkin(Checkin { next, ..checkin })
        }
        (command, _) => command,
    }
}

/// What a claim is answered with.
fn shown(project: &Project, issue: IssueNumber) -> ClaimView {
    ClaimView::from(project.claimed(issue).expect("what was claimed can be shown"))
}

/// Gives a command to the crate.
pub(crate) fn apply(project: &mut Project, now: Now, command: &Command) -> Result<Answer, Refusal> {
    Ok(match command {
        Command::Checkout(request) => Answer::Leased(project.checkout(now, request)?),
        Command::Checkin(request) => {
            let done = project.checkin(now, request)?;
            Answer::CheckedIn(done.effect, done.next.map(|issue| shown(project, issue)))
        }
        Command::Heartbeat(request) => {
            let pulse = project.heartbeat(now, request)?;
            let leases: Vec<_> = pulse.leases().collect();
            assert_eq!(pulse.held(), leases.len(), "BRIEF counts what the whole answer lists");
            Answer::Beat { ttl: pulse.ttl, leases, drain: pulse.drain(), cancel: pulse.cancel().collect() }
        }
        Command::Liveness(request) => {
            let (orphans, effect) = project.liveness(now, request);
            Answer::Believed(orphans, effect)
        }
        Command::Repair(request) => {
            let (status, effect) = project.repair(now, request)?;
            Answer::Ended(status, effect)
        }
        Command::Evict(request) => {
            let (status, effect) = project.evict(now, request)?;
            Answer::Ended(status, effect)
        }
        Command::Forget(issue) => Answer::Done(project.forget(now, *issue)?),
        Command::Enqueue(request) => {
            let (queued, effect) = project.enqueue(now, request)?;
            Answer::Queued(queued, effect)
        }
        Command::Claim(request) => {
            let claimed = project.claim(now, request)?;
            Answer::Claimed(claimed.map(|claimed| (shown(project, claimed.issue), claimed.renewed)))
        }
        Command::Cancel(issue, reason) => {
            let (cancelled, effect) = project.cancel(now, *issue, *reason);
            Answer::Cancelled(cancelled, effect)
        }
        Command::Revive(task) => Answer::Done(project.revive(now, *task)),
        Command::Drain(on) => Answer::Done(project.drain(now, *on)),
        Command::Configure(values) => {
            project.configure(now, values);
            Answer::Done(Effect::Changed)
        }
        Command::Labelled(issue, version) => Answer::Done(project.labelled(now, *issue, *version)),
    })
}

/// Where a life stands, apart from its heartbeat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It has its process's name.
    Current,
    /// Called dead by its host agent; a sign of life takes that back.
    CalledDead(Instant),
    /// It will never be heard again: replaced, or called dead and repaired for it.
    Over(OrphanReason, Instant),
}

#[derive(Debug, Clone)]
pub(crate) struct Life {
    /// In order of creation.
    pub(crate) number: u64,
    pub(crate) process: String,
    pub(crate) incarnation: Option<String>,
    pub(crate) pid: Option<Pid>,
    pub(crate) host: Option<String>,
    pub(crate) tmux: Option<String>,
    /// What it gave, else the project's setting as it was when the life began.
    pub(crate) ttl: Millis,
    pub(crate) beat: Instant,
    pub(crate) attested: Option<Instant>,
    pub(crate) progress: Option<(String, Instant)>,
    pub(crate) standing: Standing,
    /// The types of its last claim; none for any.
    pub(crate) types: Vec<String>,
    /// Its last REQ, and the lease that was the answer.
    pub(crate) request: Option<(String, IssueNumber, Token)>,
}

impl Life {
    fn is_over(&self) -> bool {
        matches!(self.standing, Standing::Over(..))
    }

    fn last_sign(&self) -> Instant {
        self.attested.map_or(self.beat, |attested| attested.max(self.beat))
    }
}

#[derive(Debug, Clone)]
pub(crate) enum Run {
    Held {
        /// The number of the life.
        life: u64,
        task: Option<Task>,
        /// When its holder was asked to stop, and why.
        asked: Option<(Instant, Option<String>)>,
        /// The lease of the same issue whose check-in claimed this one, and how that check-in ended it.
        follows: Option<(Token, Outcome)>,
    },
    Ended {
        /// In order of ending.
        nth: u64,
        at: Instant,
        by: EndedBy,
        outcome: Outcome,
        /// What the issue is since.
        status: Status,
        /// The lease that the check-in claimed.
        next: Option<(IssueNumber, Token)>,
        process: String,
        pid: Option<Pid>,
        host: Option<String>,
        reason: Option<String>,
        result: Option<String>,
        metadata: BTreeMap<String, String>,
    },
}

#[derive(Debug, Clone)]
pub(crate) struct Issue {
    pub(crate) number: IssueNumber,
    pub(crate) token: Token,
    pub(crate) kind: Option<String>,
    pub(crate) title: Option<String>,
    pub(crate) started: Instant,
    pub(crate) completed: Option<Instant>,
    pub(crate) run: Run,
    /// The number of the event that gave it its status.
    pub(crate) version: u64,
    /// Whether the labels show that version.
    pub(crate) labelled: bool,
}

impl Issue {
    pub(crate) fn status(&self) -> Status {
        match self.run {
            Run::Held { .. } => Status::Processing,
            Run::Ended { status, .. } => status,
        }
    }

    pub(crate) fn task(&self) -> Option<&Task> {
        match &self.run {
            Run::Held { task, .. } => task.as_ref(),
            Run::Ended { .. } => None,
        }
    }

    pub(crate) fn asked(&self) -> Option<&(Instant, Option<String>)> {
        match &self.run {
            Run::Held { asked, .. } => asked.as_ref(),
            Run::Ended { .. } => None,
        }
    }
}

/// What a lease leaves behind when it ends.
#[derive(Default)]
struct Left {
    reason: Option<String>,
    result: Option<String>,
    metadata: BTreeMap<String, String>,
}

/// The naive project.
#[derive(Debug, Clone)]
pub(crate) struct Model {
    pub(crate) created: Instant,
    pub(crate) last_token: Option<Token>,
    next_life: u64,
    next_end: u64,
    settings: HashMap<Setting, u64>,
    pub(crate) lives: Vec<Life>,
    pub(crate) issues: Vec<Issue>,
    pub(crate) totals: Totals,
    pub(crate) hold: Vec<u64>,
    pub(crate) detection: Vec<u64>,
    pub(crate) wait: Vec<u64>,
    /// Those that wait or are delayed.
    pub(crate) tasks: Vec<Task>,
    pub(crate) dead: Vec<Dead>,
    /// Ids of finished tasks, oldest first.
    pub(crate) finished: Vec<(IssueNumber, String)>,
    /// How often a task began to wait, and the latest turn of one that was not delayed.
    waits: u64,
    deaths: u64,
    pub(crate) drain: bool,
    pub(crate) last_event: u64,
    /// The events that are in memory, oldest first.
    pub(crate) log: Vec<EventView>,
    /// How often there were events in memory that must not be seen any more.
    pub(crate) hidden: u32,
    /// How many lives and issues were over a limit, and how often a write dropped as many as it may.
    pub(crate) dropped: (u32, u32, u32),
    /// How often what happened that is of interest, by a word for it.
    pub(crate) met: BTreeMap<&'static str, u32>,
}

/// How many records of a kind one write may drop because they are over a limit.
const DROPPED_AT_ONCE: usize = 16;

/// How many tasks that fell due a write notices, and how many a claim notices between two looks for one.
const NOTICED_BY_A_WRITE: usize = 64;
const NOTICED_BY_A_CLAIM: usize = 4_096;

impl Model {
    pub(crate) fn new(created: Instant) -> Self {
        Self {
            created,
            last_token: None,
            next_life: 0,
            next_end: 0,
            settings: HashMap::new(),
            lives: Vec::new(),
            issues: Vec::new(),
            totals: Totals::default(),
            hold: Vec::new(),
            detection: Vec::new(),
            wait: Vec::new(),
            tasks: Vec::new(),
            dead: Vec::new(),
            finished: Vec::new(),
            waits: 0,
            deaths: 0,
            drain: false,
            last_event: 0,
            log: Vec::new(),
            hidden: 0,
            dropped: (0, 0, 0),
            met: BTreeMap::new(),
        }
    }

    pub(crate) fn setting(&self, setting: Setting) -> u64 {
        self.settings.get(&setting).copied().unwrap_or(setting.default_value())
    }

    fn span(&self, setting: Setting) -> Millis {
        Millis(self.setting(setting))
    }

    fn life(&self, number: u64) -> &Life {
        self.lives.iter().find(|life| life.number == number).expect("a holder is a known life")
    }

    fn life_mut(&mut self, number: u64) -> &mut Life {
        self.lives.iter_mut().find(|life| life.number == number).expect("a holder is a known life")
    }

    /// The life that has this name now.
    fn current(&self, process: &str) -> Option<&Life> {
        self.lives.iter().find(|life| life.process == process && !life.is_over())
    }

    pub(crate) fn current_lives(&self) -> u64 {
        self.lives.iter().filter(|life| !life.is_over()).count() as u64
    }

    pub(crate) fn issue(&self, number: IssueNumber) -> Option<&Issue> {
        self.issues.iter().find(|issue| issue.number == number)
    }

    fn issue_mut(&mut self, number: IssueNumber) -> Option<&mut Issue> {
        self.issues.iter_mut().find(|issue| issue.number == number)
    }

    pub(crate) fn holder(&self, issue: &Issue) -> Option<&Life> {
        match issue.run {
            Run::Held { life, .. } => Some(self.life(life)),
            Run::Ended { .. } => None,
        }
    }

    /// The issues of a life, by number.
    fn held_by(&self, life: u64) -> Vec<&Issue> {
        let mut held: Vec<_> = self
            .issues
            .iter()
            .filter(|issue| matches!(issue.run, Run::Held { life: holder, .. } if holder == life))
            .collect();
        held.sort_by_key(|issue| issue.number);
        held
    }

    /// Whether a host agent says now that the life's PID is there.
    fn is_attested(&self, life: &Life, at: Instant) -> bool {
        life.standing == Standing::Current
            && life.attested.is_some_and(|attested| at < attested.plus(self.span(Setting::AttestTtl)))
    }

    /// The table of the orphan rule, row by row.
    pub(crate) fn orphaned(&self, life: &Life, now: Now) -> Option<(OrphanReason, Instant)> {
        match life.standing {
            Standing::Over(reason, since) => return Some((reason, since)),
            Standing::CalledDead(since) => return Some((OrphanReason::Dead, since)),
            Standing::Current => {}
        }
        let ttl = life.ttl;
        let heartbeat_ends = life.beat.plus(ttl);
        let silent_for_too_long = life.beat.plus(self.span(Setting::MaxSilence));
        if now.at < heartbeat_ends || (self.is_attested(life, now.at) && now.at < silent_for_too_long) {
            return None;
        }
        if let Judge::Primary { uptime, restart_grace } = now.judge
            && uptime < restart_grace.min(ttl)
        {
            return None;
        }
        Some((OrphanReason::Expired, self.silence_ends(life)))
    }

    /// From when on silence makes the life an orphan, whatever the restart grace.
    fn silence_ends(&self, life: &Life) -> Instant {
        let heartbeat_ends = life.beat.plus(life.ttl);
        let silent_for_too_long = life.beat.plus(self.span(Setting::MaxSilence));
        let attested_until = life.attested.map(|attested| attested.plus(self.span(Setting::AttestTtl)));
        attested_until.map_or(heartbeat_ends, |until| heartbeat_ends.max(until.min(silent_for_too_long)))
    }

    /// A newer life takes the name: an orphan since then, or since it became one otherwise, where that was earlier.
    fn replaced(&self, life: &Life, at: Instant) -> (OrphanReason, Instant) {
        let otherwise = match life.standing {
            Standing::Over(_, since) | Standing::CalledDead(since) => since,
            Standing::Current => self.silence_ends(life),
        };
        (OrphanReason::Replaced, at.min(otherwise))
    }

    pub(crate) fn apply(&mut self, now: Now, command: &Command) -> Result<Answer, Refusal> {
        let over = (self.log.len() as u64).saturating_sub(self.setting(Setting::EventsKept));
        let answer = match command {
            Command::Checkout(request) => self.checkout(now, request)?,
            Command::Checkin(request) => self.checkin(now, request)?,
            Command::Heartbeat(request) => self.heartbeat(now, request)?,
            Command::Liveness(request) => self.liveness(now, request),
            Command::Repair(request) => self.repair(now, request)?,
            Command::Evict(request) => self.evict(now, request)?,
            Command::Forget(issue) => self.forget(now.at, *issue)?,
            Command::Labelled(issue, version) => self.labelled(*issue, *version),
            Command::Enqueue(request) => self.enqueue(now.at, request)?,
            Command::Claim(request) => self.claim(now, request)?,
            Command::Cancel(issue, reason) => self.cancel(now.at, *issue, text(*reason)),
            Command::Revive(task) => self.revive(now.at, task.as_str()),
            Command::Drain(on) => {
                let effect = if self.drain == *on { Effect::Unchanged } else { Effect::Changed };
                self.drain = *on;
                Answer::Done(effect)
            }
            Command::Configure(values) => {
                self.settings.extend(values.iter().copied());
                Answer::Done(Effect::Changed)
            }
        };
        if answer.changed() {
            // What was over the limit before the command; what it added itself is there for whoever publishes it.
            self.log.drain(..usize::try_from(over).unwrap().min(DROPPED_AT_ONCE));
            self.hidden += u32::from(self.log.len() as u64 > self.setting(Setting::EventsKept) + 1);
            self.trim(now.at);
            self.notice(now.at, NOTICED_BY_A_WRITE);
        }
        Ok(answer)
    }

    /// One more event. Where it gives the issue its status, its number is the status's version.
    fn event(&mut self, event: EventView) {
        self.last_event += 1;
        let id = self.last_event;
        let changes = event.status != event.from || event.what == EventKind::Takeover;
        if let Some(issue) = self.issue_mut(event.issue).filter(|_| changes) {
            issue.version = id;
            issue.labelled = false;
        }
        self.log.push(EventView { id, ..event });
    }

    /// What is known of events behind this one: up to which they are gone, and the rest.
    pub(crate) fn events(&self, after: u64) -> (Option<u64>, Vec<EventView>) {
        let in_memory = self.log.len() as u64;
        let gone = self.last_event - self.setting(Setting::EventsKept).min(in_memory);
        let rest = self.log.iter().filter(|event| event.id > gone && event.id > after);
        ((after < gone).then_some(gone), rest.cloned().collect())
    }

    /// The issues whose labels are behind, longest first.
    pub(crate) fn unlabelled(&self) -> Vec<(IssueNumber, Status, u64)> {
        let behind = self.issues.iter().filter(|issue| !issue.labelled);
        let mut behind: Vec<_> = behind.map(|issue| (issue.number, issue.status(), issue.version)).collect();
        behind.sort_by_key(|(_, _, version)| *version);
        behind
    }

    fn labelled(&mut self, number: IssueNumber, version: u64) -> Answer {
        let behind = self.issue_mut(number).filter(|issue| issue.version == version && !issue.labelled);
        Answer::Done(behind.map_or(Effect::Unchanged, |issue| {
            issue.labelled = true;
            Effect::Changed
        }))
    }

    /// In how many microseconds silence alone makes an orphan of a life that is none now: the least of all such times.
    pub(crate) fn next_silence(&self, now: Now) -> Option<u64> {
        let lives = self.lives.iter().filter(|life| {
            life.standing == Standing::Current
                && !self.held_by(life.number).is_empty()
                && self.orphaned(life, now).is_none()
        });
        let waits = lives.map(|life| {
            let excused = match now.judge {
                Judge::Primary { uptime, restart_grace } => restart_grace.min(life.ttl).0.saturating_sub(uptime.0),
                Judge::Replay => 0,
            };
            self.silence_ends(life).micros().saturating_sub(now.at.micros()).max(excused * 1000)
        });
        waits.min()
    }

    /// The lives that hold something and are orphans whatever the clock says, and since when.
    pub(crate) fn certain_orphans(&self) -> Vec<(u64, Instant)> {
        let held = self.lives.iter().filter(|life| !self.held_by(life.number).is_empty());
        let certain = held.filter_map(|life| match life.standing {
            Standing::CalledDead(since) | Standing::Over(_, since) => Some((life.number, since)),
            Standing::Current => None,
        });
        certain.collect()
    }

    fn held(&self, issue: &Issue, holder: &Life) -> Refusal {
        Refusal::Held { issue: issue.number, process: holder.process.clone(), token: issue.token, since: issue.started }
    }

    fn checkout(&mut self, now: Now, request: &Checkout<'_>) -> Result<Answer, Refusal> {
        let process = request.process.as_str();
        let incarnation = request.incarnation.map(|name| name.as_str());
        let same = self.current(process).filter(|life| life.incarnation.as_deref() == incarnation);
        let same = same.map(|life| life.number);
        let issue = self.issue(request.issue);
        let holder = issue.and_then(|issue| self.holder(issue));

        if let (Some(issue), Some(holder)) = (issue, holder)
            && same == Some(holder.number)
        {
            let token = issue.token;
            let issue = self.issue_mut(request.issue).expect("it is held");
            issue.title = text(request.title).or(issue.title.take());
            issue.kind = name(request.kind).or(issue.kind.take());
            self.sign_of_life(now.at, same, request);
            return Ok(Answer::Leased(Lease { token, renewed: true }));
        }

        // An older life of the same name counts as an orphan: this very grant would replace it.
        let orphan = holder.filter(|_| request.takeover).and_then(|holder| {
            if holder.process == process && !holder.is_over() {
                Some(self.replaced(holder, now.at))
            } else {
                self.orphaned(holder, now)
            }
        });
        if let (Some(issue), Some(holder)) = (issue, holder)
            && orphan.is_none()
        {
            return Err(self.held(issue, holder));
        }
        if request.once
            && let Some(at) = issue.and_then(|issue| issue.completed)
        {
            return Err(Refusal::Done { issue: request.issue, at });
        }
        if same.is_none()
            && let Some(other) = self.current(process)
            && self.is_attested(other, now.at)
        {
            let attested = other.attested.expect("it is attested");
            return Err(Refusal::InUse { process: process.to_owned(), attested });
        }

        let taken = holder.map(|holder| holder.number);
        let worked_on = issue.and_then(Issue::task).cloned();
        if let (Some(issue), Some((reason, since))) = (issue, orphan) {
            let started = issue.started;
            self.hold.push(now.at.since(started).0);
            self.totals.takeovers += 1;
            self.count_repair(now.at, reason, since);
        }
        let from = self.status_of(request.issue);
        let carried = worked_on.is_some() && taken.is_some();
        let task = match worked_on {
            // What the orphan worked on goes on in other hands.
            Some(task) => Some(Task { orphans: task.orphans + 1, ..task }),
            None => self.take(&default_id(request.issue, name(request.kind).as_deref()), request.issue),
        };
        let what = if taken.is_some() { EventKind::Takeover } else { EventKind::Checkout };
        if task.is_some() {
            *self.met.entry(if carried { "carried" } else { "adopted" }).or_default() += 1;
        }
        let reason = orphan.map(|(reason, _)| reason.to_string());
        let token = self.grant(now.at, same, request, (what, from, reason), task, None);
        if let Some(taken) = taken {
            self.punish_death(taken);
        }
        self.drop_what_is_over();
        Ok(Answer::Leased(Lease { token, renewed: false }))
    }

    /// A lease, for a task or without one.
    fn grant(
        &mut self,
        at: Instant,
        same: Option<u64>,
        request: &Checkout<'_>,
        (what, from, reason): (EventKind, Option<Status>, Option<String>),
        task: Option<Task>,
        follows: Option<(Token, Outcome)>,
    ) -> Token {
        self.sign_of_life(at, same, request);
        let life = self.current(request.process.as_str()).expect("it was just made").number;
        let token = self.last_token.map_or(1, |token| token.get() + 1).max(at.micros());
        let token = Token::try_from(token).expect("the clock is far from its end");
        self.last_token = Some(token);
        self.totals.checkouts += 1;
        let issue = self.issue(request.issue);
        let kind = task.as_ref().map(|task| task.kind.clone()).or(name(request.kind));
        // Of whoever loses it.
        let asked = issue.and_then(|issue| issue.asked().cloned());
        let event = EventView {
            id: 0,
            what,
            issue: request.issue,
            process: Some(request.process.to_string()),
            token: Some(token),
            task: task.as_ref().map(|task| task.id.clone()),
            status: Some(Status::Processing),
            from,
            kind: kind.clone(),
            reason,
            at,
        };
        let granted = Issue {
            number: request.issue,
            token,
            kind,
            title: text(request.title)
                .or(task.as_ref().and_then(|task| task.title.clone()))
                .or(issue.and_then(|issue| issue.title.clone())),
            started: at,
            completed: issue.and_then(|issue| issue.completed),
            run: Run::Held { life, task, asked, follows },
            version: 0,
            labelled: false,
        };
        self.issues.retain(|issue| issue.number != request.issue);
        self.issues.push(granted);
        self.event(event);
        token
    }

    /// What a granted checkout says of its process: news of the life that has the name, or a new life.
    fn sign_of_life(&mut self, at: Instant, same: Option<u64>, request: &Checkout<'_>) {
        let number = same.unwrap_or_else(|| {
            let older = self.current(request.process.as_str()).map(|life| life.number);
            if let Some(older) = older {
                let (reason, since) = self.replaced(self.life(older), at);
                self.life_mut(older).standing = Standing::Over(reason, since);
            }
            let number = self.next_life;
            let ttl = self.span(Setting::HeartbeatTtl);
            self.next_life += 1;
            self.lives.push(Life {
                number,
                process: request.process.as_str().to_owned(),
                incarnation: name(request.incarnation),
                pid: None,
                host: None,
                tmux: None,
                ttl,
                beat: at,
                attested: None,
                progress: None,
                standing: Standing::Current,
                types: Vec::new(),
                request: None,
            });
            number
        });
        let life = self.life_mut(number);
        let watched = (life.pid, life.host.clone());
        life.pid = request.pid.or(life.pid);
        life.host = name(request.host).or(life.host.take());
        if watched != (life.pid, life.host.clone()) {
            life.attested = None;
        }
        life.tmux = text(request.tmux).or(life.tmux.take());
        life.ttl = request.ttl.unwrap_or(life.ttl);
        life.beat = at;
        life.standing = Standing::Current;
    }

    fn checkin(&mut self, now: Now, request: &Checkin<'_>) -> Result<Answer, Refusal> {
        let Some(issue) = self.issue(request.issue) else {
            return Err(Refusal::NotHeld { issue: request.issue });
        };
        let Some(holder) = self.holder(issue) else {
            let Some(token) = request.token else {
                return Err(Refusal::NotHeld { issue: request.issue });
            };
            let effect = self.again(issue, token, EndedBy::Checkin, request.outcome)?;
            let Run::Ended { next, .. } = issue.run else { unreachable!("nobody holds it") };
            let next = next.filter(|_| request.next.is_some()).filter(|(next, token)| self.is_held_as(*next, *token));
            return Ok(Answer::CheckedIn(effect, next.map(|(next, _)| self.claim_view(next))));
        };
        if let Run::Held { follows: Some(follows), .. } = issue.run
            && request.token.map(|token| (token, request.outcome)) == Some(follows)
            && is_holder(holder, request)
        {
            // Its own successor holds the issue: the same check-in again.
            let next = request.next.map(|_| self.claim_view(request.issue));
            return Ok(Answer::CheckedIn(Effect::Unchanged, next));
        }
        if let Some(token) = request.token
            && token != issue.token
        {
            return Err(Refusal::Stale { issue: request.issue, token, because: Stale::Other(issue.token) });
        }
        if !is_holder(holder, request) {
            return Err(self.held(issue, holder));
        }
        let left = Left {
            reason: text(request.reason),
            result: text(request.result),
            metadata: request
                .metadata
                .iter()
                .map(|(field, value)| (field.as_str().to_owned(), value.as_str().to_owned()))
                .collect(),
        };
        let (holder, token) = (holder.number, issue.token);
        let disposal = match request.outcome {
            Outcome::Completed | Outcome::AwaitingResponse => Disposal::Finish,
            Outcome::Cancelled => Disposal::Drop,
            Outcome::Error => Disposal::Fail(request.retry),
        };
        self.end(now.at, request.issue, (EndedBy::Checkin, request.outcome), left, None, disposal);
        self.totals.checkins[request.outcome as usize] += 1;
        self.drop_what_is_over();
        let next = request.next.and_then(|next| self.claim_next(now, holder, (request, token), &next));
        Ok(Answer::CheckedIn(Effect::Changed, next))
    }

    /// A lease that nobody holds any more may be ended again by whom and as it was; all else is stale.
    fn again(&self, issue: &Issue, token: Token, by: EndedBy, outcome: Outcome) -> Result<Effect, Refusal> {
        let Run::Ended { at, by: was_by, outcome: was, .. } = issue.run else {
            unreachable!("nobody holds it");
        };
        let because = if token != issue.token {
            Stale::Other(issue.token)
        } else if (by, outcome) != (was_by, was) {
            Stale::Ended { by: was_by, outcome: was, at }
        } else {
            return Ok(Effect::Unchanged);
        };
        Err(Refusal::Stale { issue: issue.number, token, because })
    }

    fn end(
        &mut self,
        at: Instant,
        number: IssueNumber,
        (by, outcome): (EndedBy, Outcome),
        left: Left,
        orphan: Option<OrphanReason>,
        disposal: Disposal,
    ) -> Status {
        let issue = self.issue(number).expect("it is held");
        let life = self.holder(issue).expect("it is held").clone();
        let hold = at.since(issue.started).0;
        self.hold.push(hold);
        let nth = self.next_end;
        self.next_end += 1;
        // Nobody gave a reason for the end of an orphan: that it was one is the reason.
        let reason = left.reason.clone().or(orphan.map(|orphan| orphan.to_string()));
        let process = life.process.clone();
        let (status, fate) = self.dispose(number, outcome, disposal);
        let issue = self.issue_mut(number).expect("it is held");
        let (kind, token) = (issue.kind.clone(), issue.token);
        if outcome == Outcome::Completed {
            issue.completed = Some(at);
        }
        issue.run = Run::Ended {
            nth,
            at,
            by,
            outcome,
            status,
            next: None,
            process: life.process,
            pid: life.pid,
            host: life.host,
            reason: left.reason,
            result: left.result,
            metadata: left.metadata,
        };
        let what = match by {
            EndedBy::Checkin => EventKind::Checkin,
            EndedBy::Repair => EventKind::Repair,
            EndedBy::Evict => EventKind::Evict,
        };
        let event = EventView {
            id: 0,
            what,
            issue: number,
            process: Some(process),
            token: Some(token),
            task: fate.task().map(|task| task.id.clone()),
            status: Some(status),
            from: Some(Status::Processing),
            kind,
            reason,
            at,
        };
        self.event(event.clone());
        self.settle(at, fate, event);
        status
    }

    fn count_repair(&mut self, at: Instant, reason: OrphanReason, since: Instant) {
        self.totals.repairs[reason as usize] += 1;
        self.detection.push(at.since(since).0);
    }

    /// Once a lease was repaired because its life was called dead, that life does not come back.
    fn punish_death(&mut self, life: u64) {
        let life = self.life_mut(life);
        if let Standing::CalledDead(since) = life.standing {
            life.standing = Standing::Over(OrphanReason::Dead, since);
        }
    }

    /// A life that is over is known only by the leases that it still holds.
    fn drop_what_is_over(&mut self) {
        let idle: Vec<_> =
            self.lives.iter().filter(|life| life.is_over() && self.held_by(life.number).is_empty()).collect();
        let idle: Vec<_> = idle.into_iter().map(|life| life.number).collect();
        self.lives.retain(|life| !idle.contains(&life.number));
    }

    fn heartbeat(&mut self, now: Now, request: &Heartbeat<'_>) -> Result<Answer, Refusal> {
        let process = request.process.as_str();
        let life = self.current(process).filter(|life| {
            request.incarnation.is_none_or(|incarnation| life.incarnation.as_deref() == Some(incarnation.as_str()))
        });
        let Some(number) = life.map(|life| life.number) else {
            return Err(Refusal::NoProcess { process: process.to_owned() });
        };
        let life = self.life_mut(number);
        life.beat = now.at;
        life.standing = Standing::Current;
        life.ttl = request.ttl.unwrap_or(life.ttl);
        life.progress = text(request.progress).map(|progress| (progress, now.at)).or(life.progress.take());
        self.totals.heartbeats += 1;
        let leases = self.held_by(number).iter().map(|issue| (issue.number, issue.token)).collect();
        let asked = self.held_by(number).into_iter().filter(|issue| issue.asked().is_some());
        let cancel = asked.map(|issue| issue.number).collect();
        Ok(Answer::Beat { ttl: self.life(number).ttl, leases, drain: self.drain, cancel })
    }

    fn liveness(&mut self, now: Now, request: &Liveness<'_>) -> Answer {
        let life = self.current(request.process.as_str()).filter(|life| {
            let incarnations = (life.incarnation.as_deref(), request.incarnation.map(|name| name.as_str()));
            life.host.as_deref() == Some(request.host.as_str())
                && life.pid == Some(request.pid)
                && !matches!(incarnations, (Some(known), Some(given)) if known != given)
        });
        let Some(number) = life.map(|life| life.number) else {
            return Answer::Believed(0, Effect::Unchanged);
        };
        let life = self.life_mut(number);
        let before = life.clone();
        if request.alive {
            life.attested = Some(now.at);
            life.standing = Standing::Current;
        } else if life.standing == Standing::Current {
            life.attested = None;
            life.standing = Standing::CalledDead(now.at);
        }
        let changed = before.attested != life.attested || before.standing != life.standing;
        let effect = if changed { Effect::Changed } else { Effect::Unchanged };
        let orphaned = self.orphaned(self.life(number), now).is_some();
        let held = self.held_by(number).len() as u64;
        Answer::Believed(if orphaned { held } else { 0 }, effect)
    }

    fn repair(&mut self, now: Now, request: &Repair<'_>) -> Result<Answer, Refusal> {
        let outcome = Outcome::from(request.outcome);
        let Some(issue) = self.issue(request.issue) else {
            return Err(Refusal::NotHeld { issue: request.issue });
        };
        let Some(holder) = self.holder(issue) else {
            let effect = self.again(issue, request.token, EndedBy::Repair, outcome)?;
            return Ok(Answer::Ended(issue.status(), effect));
        };
        if request.token != issue.token {
            let because = Stale::Other(issue.token);
            return Err(Refusal::Stale { issue: request.issue, token: request.token, because });
        }
        let Some((reason, since)) = self.orphaned(holder, now) else {
            return Err(Refusal::Alive { issue: request.issue, process: holder.process.clone() });
        };
        let number = holder.number;
        let left = Left { reason: text(request.reason), ..Left::default() };
        let disposal = Disposal::Lose { requeue: request.requeue };
        let status = self.end(now.at, request.issue, (EndedBy::Repair, outcome), left, Some(reason), disposal);
        self.count_repair(now.at, reason, since);
        self.punish_death(number);
        self.drop_what_is_over();
        Ok(Answer::Ended(status, Effect::Changed))
    }

    fn evict(&mut self, now: Now, request: &Evict<'_>) -> Result<Answer, Refusal> {
        let outcome = Outcome::Error;
        let Some(issue) = self.issue(request.issue) else {
            return Err(Refusal::NotHeld { issue: request.issue });
        };
        let Some(holder) = self.holder(issue) else {
            let Some(token) = request.token else {
                return Err(Refusal::NotHeld { issue: request.issue });
            };
            let effect = self.again(issue, token, EndedBy::Evict, outcome)?;
            return Ok(Answer::Ended(issue.status(), effect));
        };
        let holder = holder.number;
        if let Some(token) = request.token
            && token != issue.token
        {
            let because = Stale::Other(issue.token);
            return Err(Refusal::Stale { issue: request.issue, token, because });
        }
        let left = Left { reason: text(request.reason), ..Left::default() };
        let disposal = Disposal::Lose { requeue: request.requeue };
        let status = self.end(now.at, request.issue, (EndedBy::Evict, outcome), left, None, disposal);
        self.totals.evictions += 1;
        self.punish_death(holder);
        self.drop_what_is_over();
        Ok(Answer::Ended(status, Effect::Changed))
    }

    fn forget(&mut self, at: Instant, number: IssueNumber) -> Result<Answer, Refusal> {
        let issue = self.issue(number);
        if let Some((issue, holder)) = issue.and_then(|issue| Some((issue, self.holder(issue)?))) {
            return Err(self.held(issue, holder));
        }
        let process = match issue.map(|issue| issue.run.clone()) {
            Some(Run::Ended { process, .. }) => Some(process),
            _ => None,
        };
        let event = EventView {
            id: 0,
            what: EventKind::Forget,
            issue: number,
            process,
            token: issue.map(|issue| issue.token),
            task: None,
            status: None,
            from: self.status_of(number),
            kind: issue.and_then(|issue| issue.kind.clone()),
            reason: None,
            at,
        };
        let traces = self.traces();
        self.issues.retain(|issue| issue.number != number);
        self.tasks.retain(|task| task.issue != number);
        self.dead.retain(|dead| dead.task.issue != number);
        self.finished.retain(|(issue, _)| *issue != number);
        if self.traces() == traces {
            return Ok(Answer::Done(Effect::Unchanged));
        }
        self.event(event);
        Ok(Answer::Done(Effect::Changed))
    }

    fn traces(&self) -> usize {
        self.issues.len() + self.tasks.len() + self.dead.len() + self.finished.len()
    }

    fn trim(&mut self, at: Instant) {
        for nth in 1..=DROPPED_AT_ONCE {
            let kept = self.span(Setting::ProcessKept);
            let idle = self.lives.iter().filter(|life| self.held_by(life.number).is_empty());
            let oldest = idle.min_by_key(|life| (life.last_sign(), life.number));
            let over = oldest.filter(|life| at.since(life.last_sign()) > kept);
            let Some(over) = over.map(|life| life.number) else { break };
            self.lives.retain(|life| life.number != over);
            self.dropped.0 += 1;
            self.dropped.2 += u32::from(nth == DROPPED_AT_ONCE);
        }
        for _ in 0..DROPPED_AT_ONCE {
            let kept = self.setting(Setting::IssuesKept);
            let finished: Vec<_> = self
                .issues
                .iter()
                .filter_map(|issue| match issue.run {
                    Run::Ended { nth, .. } => (issue.status() != Status::Queued).then_some((nth, issue.number)),
                    Run::Held { .. } => None,
                })
                .collect();
            if kept == 0 || finished.len() as u64 <= kept {
                break;
            }
            let oldest = finished.iter().min().expect("there are some").1;
            self.issues.retain(|issue| issue.number != oldest);
            self.dropped.1 += 1;
        }
        for _ in 0..DROPPED_AT_ONCE {
            if self.finished.len() as u64 <= self.setting(Setting::FinishedKept) {
                break;
            }
            self.finished.remove(0);
            *self.met.entry("dropped finished").or_default() += 1;
        }
    }

    /// Moments at which something may change by itself, for clocks that want to hit them.
    pub(crate) fn moments(&self) -> Vec<Instant> {
        let mut moments = Vec::new();
        for life in &self.lives {
            moments.extend([
                life.beat.plus(life.ttl),
                life.beat.plus(self.span(Setting::MaxSilence)),
                life.last_sign().plus(self.span(Setting::ProcessKept)),
            ]);
            moments.extend(life.attested.map(|attested| attested.plus(self.span(Setting::AttestTtl))));
        }
        moments.extend(self.tasks.iter().map(|task| task.turn));
        moments
    }

    fn holder_view(&self, life: &Life, now: Now) -> HolderView {
        HolderView {
            incarnation: life.incarnation.clone(),
            tmux: life.tmux.clone(),
            last_seen: life.beat,
            ttl: life.ttl,
            progress: life.progress.clone(),
            orphan: self.orphaned(life, now),
        }
    }

    pub(crate) fn get(&self, now: Now, number: IssueNumber) -> Option<IssueView> {
        let issue = self.issue(number)?;
        let (status, process, pid, host, run) = match &issue.run {
            Run::Held { life, task, asked, .. } => {
                let life = self.life(*life);
                let run = RunView::Held {
                    holder: self.holder_view(life, now),
                    task: task.as_ref().map(|task| Box::new(task.view(TaskState::Running))),
                    asked: asked.clone(),
                };
                (Status::Processing, life.process.clone(), life.pid, life.host.clone(), run)
            }
            Run::Ended {
                nth: _,
                next: _,
                outcome: _,
                at,
                by,
                status,
                process,
                pid,
                host,
                reason,
                result,
                metadata,
            } => {
                let metadata = metadata.clone().into_iter().collect();
                let run = RunView::Ended { at: *at, by: *by, reason: reason.clone(), result: result.clone(), metadata };
                (*status, process.clone(), *pid, host.clone(), run)
            }
        };
        Some(IssueView {
            issue: number,
            status,
            token: issue.token,
            process,
            pid,
            host,
            kind: issue.kind.clone(),
            title: issue.title.clone(),
            started: issue.started,
            completed: issue.completed,
            run,
        })
    }

    /// All issues by number.
    pub(crate) fn list(&self, now: Now) -> Vec<IssueView> {
        let mut numbers: Vec<_> = self.issues.iter().map(|issue| issue.number).collect();
        numbers.sort();
        numbers.into_iter().filter_map(|number| self.get(now, number)).collect()
    }

    /// All lives, oldest first.
    pub(crate) fn list_processes(&self, now: Now) -> Vec<ProcessView> {
        self.lives
            .iter()
            .map(|life| ProcessView {
                process: life.process.clone(),
                pid: life.pid,
                host: life.host.clone(),
                issues: self.held_by(life.number).len(),
                holder: self.holder_view(life, now),
            })
            .collect()
    }

    pub(crate) fn orphans(&self, now: Now) -> Vec<OrphanView> {
        let mut orphans = Vec::new();
        for issue in &self.issues {
            if let Some(life) = self.holder(issue)
                && let Some((reason, since)) = self.orphaned(life, now)
            {
                let view = OrphanView {
                    issue: issue.number,
                    token: issue.token,
                    process: life.process.clone(),
                    pid: life.pid,
                    host: life.host.clone(),
                    kind: issue.kind.clone(),
                    reason,
                    since,
                    last_seen: life.beat,
                };
                orphans.push((since, life.number, issue.number, view));
            }
        }
        orphans.sort_by_key(|(since, life, issue, _)| (*since, *life, *issue));
        orphans.into_iter().map(|(.., view)| view).collect()
    }
}

/// Whether a check-in is by the life that holds the issue, as far as it says.
fn is_holder(holder: &Life, request: &Checkin<'_>) -> bool {
    holder.process == request.process.as_str()
        && request.incarnation.is_none_or(|name| holder.incarnation.as_deref() == Some(name.as_str()))
}

/// The id of a task that nobody named.
fn default_id(issue: IssueNumber, kind: Option<&str>) -> String {
    format!("{issue}:{}", kind.unwrap_or("issue"))
}

fn name(name: Option<poppo_core::Name<'_>>) -> Option<String> {
    name.map(|name| name.as_str().to_owned())
}

fn text(text: Option<Text<'_>>) -> Option<String> {
    text.map(|text| text.as_str().to_owned())
}
