//! The value: records, the indexes derived from them, and the journal that makes each command whole or nothing.
//!
//! Every change goes through [`Project::change_issue`], [`Project::set_life`], [`Project::beat`], [`Project::set_task`],
//! [`Project::set_dead`], [`Project::set_finished`], [`Project::record`] or the copied [`Head`]. They note what was there
//! before, so that a panic in the middle of a command can be taken back, and they keep the indexes in step, so that no
//! command can forget one. The commands are in files of their own.

use std::collections::BTreeMap;

use crate::ascending::Ascending;
use crate::events::{Entry, Log};
use crate::fault;
use crate::held::Held;
use crate::index::{Index, Place};
use crate::issue::{Aftermath, Issue, Run};
use crate::life::{Life, LifeId, Orphaned, Signs};
use crate::names::{NameId, Names};
use crate::queue::{Dead, Finished, Order, Queue, Task, TaskNumber};
use crate::settings::{Setting, Settings};
use crate::stats::{Histogram, Recorded, Totals};
use crate::types::{Instant, IssueNumber, Millis, Name, Now, Token};

/// One project: the issues, the processes that hold them, settings and totals.
///
/// A deterministic state machine: the same calls with the same times give the same state, to the byte of
/// [`Project::pieces`]. Nothing in it is shared with another value or thread.
#[derive(Debug, Clone)]
pub struct Project {
    pub(crate) head: Head,
    pub(crate) wait: Histogram,
    pub(crate) hold: Histogram,
    pub(crate) detection: Histogram,
    pub(crate) issues: Ascending<IssueNumber, Box<Issue>>,
    pub(crate) lives: BTreeMap<LifeId, Life>,
    pub(crate) queue: Queue,
    pub(crate) names: Names,
    pub(crate) index: Index,
    pub(crate) order: Order,
    pub(crate) log: Log,
    journal: Journal,
}

/// The small things that change with nearly every command; copied whole into the journal.
#[derive(Debug, Clone)]
pub(crate) struct Head {
    pub(crate) created: Instant,
    pub(crate) last_token: Option<Token>,
    pub(crate) next_life: LifeId,
    /// How many leases have ended.
    pub(crate) ends: u64,
    /// The number of the newest event.
    pub(crate) last_event: u64,
    /// How many times a task began to wait.
    pub(crate) waits: u64,
    /// How many tasks died.
    pub(crate) deaths: u64,
    /// How many tasks were finished.
    pub(crate) finishes: u64,
    /// Whether claims get nothing.
    pub(crate) drain: bool,
    pub(crate) settings: Settings,
    pub(crate) totals: Totals,
}

/// What the command under way has changed so far. Empty between commands.
#[derive(Debug, Default)]
struct Journal {
    head: Option<Head>,
    changes: Vec<Before>,
}

impl Journal {
    /// Between commands it keeps room for those of the usual size: a check-in that claims makes some 14 changes.
    const ROOM: usize = 16;

    /// Takes note of what is there before it changes, or right after. Outside a command (while loading) there is nothing to
    /// take back to.
    fn note(&mut self, before: Before) {
        if self.head.is_some() {
            self.changes.push(before);
        }
    }

    fn close(&mut self) {
        self.head = None;
        self.changes.clear();
        self.changes.shrink_to(Self::ROOM);
    }
}

/// A copy begins between commands, with nothing to take back.
impl Clone for Journal {
    fn clone(&self) -> Self {
        Self::default()
    }
}

/// What was there before one change.
#[derive(Debug)]
enum Before {
    Issue(IssueNumber, Option<Issue>),
    Life(LifeId, Option<Life>),
    Signs(LifeId, Signs),
    Task(TaskNumber, Option<Box<Task>>),
    Dead(u64, Option<Box<Dead>>),
    Finished(u64, Option<Finished>),
    Recorded(Measure, Recorded),
    Logged,
    Trimmed(Entry),
    /// The whole log went.
    Log(Log),
}

/// Which histogram a duration belongs to.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Measure {
    /// From when a task began to wait to its claim.
    Wait,
    /// From checkout to the lease's end.
    Hold,
    /// From becoming an orphan to its repair.
    Detection,
}

impl Project {
    /// How many records of each kind a single write may drop because they are over a limit.
    const TRIM: usize = 16;

    /// How many tasks that fell due a single write notices.
    const RIPEN: usize = 64;

    /// An empty project with default settings.
    pub fn new(created: Instant) -> Self {
        Self::with_head(Head {
            created,
            last_token: None,
            next_life: LifeId(1),
            ends: 0,
            last_event: 0,
            waits: 0,
            deaths: 0,
            finishes: 0,
            drain: false,
            settings: Settings::default(),
            totals: Totals::default(),
        })
    }

    pub(crate) fn with_head(head: Head) -> Self {
        Self {
            head,
            wait: Histogram::default(),
            hold: Histogram::default(),
            detection: Histogram::default(),
            issues: Ascending::default(),
            lives: BTreeMap::new(),
            queue: Queue::default(),
            names: Names::default(),
            index: Index::default(),
            order: Order::default(),
            log: Log::default(),
            journal: Journal::default(),
        }
    }

    /// Runs the changes of a command that was found valid: whole, or not at all where they panic and
    /// [`Project::roll_back`] follows.
    pub(crate) fn change<T>(&mut self, now: Now, changes: impl FnOnce(&mut Self) -> T) -> T {
        self.change_many(now, 1, changes)
    }

    /// The same of a command that brings so many records or events: as many go for being over a limit.
    pub(crate) fn change_many<T>(&mut self, now: Now, records: usize, changes: impl FnOnce(&mut Self) -> T) -> T {
        let most = Self::TRIM.max(records);
        self.journal.head = Some(self.head.clone());
        self.trim_log(most);
        let answer = changes(self);
        self.trim(now, most);
        self.ripen(now.at, Self::RIPEN.max(records));
        self.journal.close();
        self.names.sweep();
        answer
    }

    /// Takes back what a command that panicked had changed. Answers whether there was anything to take back.
    ///
    /// The records are restored from the journal and the indexes are made anew from the records, so that it does
    /// not matter where the panic struck. Costs time in proportion to the project.
    pub fn roll_back(&mut self) -> bool {
        let Journal { head, changes } = std::mem::take(&mut self.journal);
        let Some(head) = head else { return false };
        self.head = head;
        for before in changes.into_iter().rev() {
            match before {
                Before::Issue(number, Some(issue)) => drop(self.issues.insert(number, Box::new(issue))),
                Before::Issue(number, None) => drop(self.issues.remove(&number)),
                Before::Life(id, Some(life)) => drop(self.lives.insert(id, life)),
                Before::Life(id, None) => drop(self.lives.remove(&id)),
                Before::Signs(id, signs) => self.lives.get_mut(&id).into_iter().for_each(|life| life.set_signs(signs)),
                Before::Task(number, Some(task)) => drop(self.queue.tasks.insert(number, task)),
                Before::Task(number, None) => drop(self.queue.tasks.remove(&number)),
                Before::Dead(number, Some(dead)) => drop(self.queue.dead.insert(number, dead)),
                Before::Dead(number, None) => drop(self.queue.dead.remove(&number)),
                Before::Finished(number, Some(finished)) => drop(self.queue.finished.insert(number, finished)),
                Before::Finished(number, None) => drop(self.queue.finished.remove(&number)),
                Before::Recorded(measure, recorded) => self.histogram(measure).take_back(recorded),
                Before::Logged => self.log.pop(),
                Before::Trimmed(entry) => self.log.put_back(entry),
                Before::Log(log) => self.log = log,
            }
        }
        self.rebuild();
        true
    }

    /// Makes names' counts and all indexes anew from the records.
    pub(crate) fn rebuild(&mut self) {
        self.index = Index::default();
        self.order = Order::default();
        self.names.release_all();
        let lives: Vec<LifeId> = self.lives.keys().copied().collect();
        for id in lives {
            self.enter_life(id);
        }
        let (issues, mut books) = self.issues_and_books();
        for (number, issue) in issues.iter() {
            books.enter_issue(*number, issue);
            if let Some(task) = issue.task() {
                books.order.learn(task);
            }
        }
        let (queue, mut books) = self.queue_and_books();
        queue.tasks.iter().for_each(|(number, task)| books.enter_task(*number, task, false));
        queue.dead.iter().for_each(|(number, dead)| books.enter_dead(*number, dead));
        queue.finished.iter().for_each(|(number, finished)| books.order.enter_finished(*number, finished));
        self.log.iter().for_each(|entry| enter_entry(&mut self.names, &mut self.index, entry));
        self.names.drop_unused();
    }

    /// Stores, replaces or removes the record of an issue.
    pub(crate) fn set_issue(&mut self, number: IssueNumber, new: Option<Issue>) {
        if let Some(task) = new.as_ref().and_then(Issue::task) {
            self.order.learn(task);
        }
        self.change_issue(number, |_| new);
    }

    /// The same, with what the record was before, and with a task only whose id is known already: of the record before, or
    /// of the queue until now. It is searched for once: this is what most commands cost.
    pub(crate) fn change_issue(&mut self, number: IssueNumber, change: impl FnOnce(Option<&Issue>) -> Option<Issue>) {
        fault::point();
        let (issues, mut books) = self.issues_and_books();
        let there = issues.get_mut(&number);
        let new = change(there.as_deref().map(|old| &**old));
        if let Some(old) = &there {
            books.leave_issue(number, old);
            let running = new.as_ref().and_then(Issue::task).map(|task| &task.id);
            if let Some(over) = old.task().filter(|task| Some(&task.id) != running) {
                books.order.forget(over);
            }
        }
        fault::point();
        if let Some(new) = &new {
            books.enter_issue(number, new);
        }
        fault::point();
        let old = match (there, new) {
            // What is replaced leaves its box to what comes.
            (Some(there), Some(new)) => Some(std::mem::replace(&mut **there, new)),
            (Some(_), None) => issues.remove(&number).map(|old| *old),
            (None, new) => {
                new.into_iter().for_each(|new| drop(issues.insert(number, Box::new(new))));
                None
            }
        };
        self.journal.note(Before::Issue(number, old));
        fault::point();
    }

    /// The issues, and everything that is derived from them and from the lives.
    fn issues_and_books(&mut self) -> (&mut Ascending<IssueNumber, Box<Issue>>, Books<'_>) {
        let Self { issues, lives, names, index, order, head, .. } = self;
        (issues, Books { names, index, order, lives, settings: &head.settings })
    }

    /// The tasks, and everything that is derived from them and from the issues.
    fn queue_and_books(&mut self) -> (&mut Queue, QueueBooks<'_>) {
        let Self { queue, issues, names, index, order, head, .. } = self;
        (queue, QueueBooks { names, index, order, issues, settings: &head.settings })
    }

    /// Stores, replaces or removes the record of a task that waits; its issue and turn never change.
    pub(crate) fn set_task(&mut self, number: TaskNumber, new: Option<Box<Task>>) {
        fault::point();
        let (queue, mut books) = self.queue_and_books();
        let old = queue.tasks.get(&number);
        let stays = new.is_some() && old.is_some();
        if let Some(old) = old {
            books.leave_task(number, old, stays);
        }
        fault::point();
        if let Some(new) = &new {
            books.enter_task(number, new, stays);
        }
        fault::point();
        let old = queue.tasks.put(number, new);
        self.journal.note(Before::Task(number, old));
        fault::point();
    }

    /// Takes a task out of the queue for a lease, whose record the same command stores with it. Its id stays known all the
    /// while, by [`Project::change_issue`].
    pub(crate) fn take_for_lease(&mut self, number: TaskNumber) -> Option<Task> {
        fault::point();
        let old = self.queue.tasks.remove(&number)?;
        let task = Task::clone(&old);
        self.journal.note(Before::Task(number, Some(old)));
        fault::point();
        let (_, mut books) = self.queue_and_books();
        books.leave_task_but_id(number, &task);
        fault::point();
        Some(task)
    }

    /// Stores or removes the record of a dead task.
    pub(crate) fn set_dead(&mut self, number: u64, new: Option<Box<Dead>>) {
        fault::point();
        let (queue, mut books) = self.queue_and_books();
        if let Some(old) = queue.dead.get(&number) {
            books.leave_dead(number, old);
        }
        fault::point();
        if let Some(new) = &new {
            books.enter_dead(number, new);
        }
        fault::point();
        let old = match new {
            Some(new) => queue.dead.insert(number, new),
            None => queue.dead.remove(&number),
        };
        self.journal.note(Before::Dead(number, old));
        fault::point();
    }

    /// Remembers or forgets that a task was finished.
    pub(crate) fn set_finished(&mut self, number: u64, new: Option<Finished>) {
        fault::point();
        let Self { queue, order, .. } = self;
        if let Some(old) = queue.finished.get(&number) {
            order.leave_finished(old);
        }
        if let Some(new) = &new {
            order.enter_finished(number, new);
        }
        fault::point();
        let old = queue.finished.put(number, new);
        self.journal.note(Before::Finished(number, old));
        fault::point();
    }

    /// Takes note of the tasks that fell due by `at`, of at most so many. Answers whether there were any. This changes
    /// what is derived only, so it needs no journal.
    pub(crate) fn ripen(&mut self, at: Instant, most: usize) -> bool {
        let (queue, books) = self.queue_and_books();
        let mut any = false;
        for _ in 0..most {
            let Some((due, number)) = books.order.next_due().filter(|(due, _)| *due <= at) else { break };
            let Some(task) = queue.tasks.get(&number).filter(|task| task.turn == due) else { break };
            let held = books.is_held(task.issue);
            books.order.ripen(number, task, held, books.settings);
            any = true;
        }
        any
    }

    /// Stores, replaces or removes the record of a life.
    pub(crate) fn set_life(&mut self, id: LifeId, new: Option<Life>) {
        fault::point();
        if let Some(place) = self.lives.get_mut(&id)
            && let Some(new) = new
        {
            // The usual case, a beat: most of what the indexes know of it stays.
            if !place.names().eq(new.names()) {
                new.names().for_each(|name| self.names.acquire(name));
                place.names().for_each(|name| self.names.release(name));
            }
            self.index.leave_texts(place.text_bytes());
            self.index.enter_texts(new.text_bytes());
            let settings = &self.head.settings;
            self.index.move_life(id, &Place::of(place, settings), &Place::of(&new, settings));
            fault::point();
            let old = std::mem::replace(place, new);
            self.journal.note(Before::Life(id, Some(old)));
            fault::point();
            return;
        }
        self.leave_life(id);
        fault::point();
        let old = match new {
            Some(life) => self.lives.insert(id, life),
            None => self.lives.remove(&id),
        };
        self.journal.note(Before::Life(id, old));
        fault::point();
        self.enter_life(id);
        fault::point();
    }

    /// The process of a life gave a sign. Most commands change no more than that of it. Answers the process.
    pub(crate) fn beat(&mut self, at: Instant, id: LifeId, ttl: Option<Millis>) -> Option<NameId> {
        fault::point();
        let life = self.lives.get_mut(&id)?;
        self.journal.note(Before::Signs(id, life.signs()));
        fault::point();
        let settings = &self.head.settings;
        let old = Place::of(life, settings);
        life.beat(at, ttl);
        fault::point();
        self.index.move_life(id, &old, &Place::of(life, settings));
        fault::point();
        Some(life.process)
    }

    /// Records a duration.
    pub(crate) fn record(&mut self, measure: Measure, duration: Millis) {
        fault::point();
        let recorded = self.histogram(measure).record(duration);
        self.journal.note(Before::Recorded(measure, recorded));
        fault::point();
    }

    /// Adds an event, whose number the header has already.
    pub(crate) fn log(&mut self, entry: Entry) {
        if self.log.last() + 1 != self.head.last_event {
            self.drop_log();
        }
        self.enter_event(entry);
    }

    /// Adds the event behind the newest one. It uses its names from now on.
    pub(crate) fn enter_event(&mut self, entry: Entry) {
        fault::point();
        enter_entry(&mut self.names, &mut self.index, &entry);
        self.log.push(entry);
        self.journal.note(Before::Logged);
        fault::point();
    }

    /// What was loaded lacked its newest events: what is left of the log does not lead to the event that comes now.
    fn drop_log(&mut self) {
        fault::point();
        self.log.iter().for_each(|entry| leave_entry(&mut self.names, &mut self.index, entry));
        let gone = std::mem::replace(&mut self.log, Log::behind(self.head.last_event - 1));
        self.journal.note(Before::Log(gone));
    }

    fn histogram(&mut self, measure: Measure) -> &mut Histogram {
        match measure {
            Measure::Wait => &mut self.wait,
            Measure::Hold => &mut self.hold,
            Measure::Detection => &mut self.detection,
        }
    }

    fn enter_life(&mut self, id: LifeId) {
        if let Some(life) = self.lives.get(&id) {
            life.names().for_each(|name| self.names.acquire(name));
            self.index.enter_texts(life.text_bytes());
            self.index.enter_life(id, &Place::of(life, &self.head.settings));
        }
    }

    fn leave_life(&mut self, id: LifeId) {
        if let Some(life) = self.lives.get(&id) {
            life.names().for_each(|name| self.names.release(name));
            self.index.leave_texts(life.text_bytes());
            self.index.leave_life(id, &Place::of(life, &self.head.settings));
        }
    }

    /// Changes the settings. Where deadlines follow from the change, all lives leave the indexes for it.
    pub(crate) fn set_settings(&mut self, settings: Settings) {
        fault::point();
        let moves = |setting| self.head.settings.get(setting) != settings.get(setting);
        if moves(Setting::QueueAging) {
            self.set_aging(settings.get(Setting::QueueAging));
        }
        let moves = |setting| self.head.settings.get(setting) != settings.get(setting);
        if !moves(Setting::AttestTtl) && !moves(Setting::MaxSilence) {
            self.head.settings = settings;
            fault::point();
            return;
        }
        for (id, life) in &self.lives {
            self.index.leave_life(*id, &Place::of(life, &self.head.settings));
        }
        fault::point();
        self.head.settings = settings;
        for (id, life) in &self.lives {
            self.index.enter_life(*id, &Place::of(life, &self.head.settings));
        }
        fault::point();
    }

    /// Changes how long a point of priority is worth: all tasks leave the order for it.
    fn set_aging(&mut self, aging: u64) {
        let (queue, mut books) = self.queue_and_books();
        queue.tasks.iter().for_each(|(number, task)| books.unrank(*number, task));
        fault::point();
        self.head.settings.set(Setting::QueueAging, aging);
        let (queue, mut books) = self.queue_and_books();
        queue.tasks.iter().for_each(|(number, task)| books.rank(*number, task));
        fault::point();
    }

    /// Drops what is over the project's limits, oldest first, of each kind at most so many records a write.
    fn trim(&mut self, now: Now, most: usize) {
        let kept = self.head.settings.millis(Setting::ProcessKept);
        for _ in 0..most {
            match self.index.longest_idle() {
                Some((last_sign, id)) if now.at.since(last_sign) > kept => self.set_life(id, None),
                _ => break,
            }
        }
        let kept = self.head.settings.get(Setting::IssuesKept);
        for _ in 0..most {
            match self.index.oldest_finished() {
                Some(number) if kept > 0 && self.index.finished_len() as u64 > kept => self.set_issue(number, None),
                _ => break,
            }
        }
        let kept = self.head.settings.get(Setting::FinishedKept);
        for _ in 0..most {
            match self.queue.finished.first() {
                Some((number, _)) if self.queue.finished.len() as u64 > kept => self.set_finished(*number, None),
                _ => break,
            }
        }
    }

    /// Drops the oldest events that are over the project's limit. Before the changes of a command, not behind them:
    /// whoever publishes what a command did finds it in the log, even where none is kept.
    fn trim_log(&mut self, most: usize) {
        let kept = self.head.settings.get(Setting::EventsKept);
        for _ in 0..most {
            if self.log.len() as u64 <= kept {
                break;
            }
            fault::point();
            if let Some(entry) = self.log.pop_oldest() {
                leave_entry(&mut self.names, &mut self.index, &entry);
                self.journal.note(Before::Trimmed(entry));
            }
        }
    }

    /// The current life of a process, if it has one.
    pub(crate) fn current_life(&self, process: Name<'_>) -> Option<(LifeId, &Life)> {
        let id = self.index.current(self.names.find(process.as_str())?)?;
        Some((id, self.lives.get(&id)?))
    }

    /// The issues that a life holds.
    pub(crate) fn held_by(&self, id: LifeId) -> Option<&Held> {
        self.index.held_by(id)
    }

    /// The record and the life that holds it.
    pub(crate) fn holder_of(&self, number: IssueNumber) -> Option<(&Issue, LifeId, &Life)> {
        let issue = self.issues.get(&number)?;
        let id = issue.holder()?;
        Some((issue, id, self.lives.get(&id)?))
    }

    pub(crate) fn orphaned(&self, life: &Life, now: Now) -> Option<Orphaned> {
        life.orphaned(&self.head.settings, now)
    }

    /// How many issues are held now.
    pub fn leases(&self) -> u64 {
        self.index.count(crate::types::Status::Processing)
    }

    /// How many issues are known.
    pub fn issue_count(&self) -> usize {
        self.issues.len()
    }

    /// How many allocations freeing the project takes, roughly.
    pub fn free_effort(&self) -> usize {
        let tasks = self.queue.tasks.len() + self.queue.dead.len() + self.queue.finished.len();
        self.issues.len() + self.lives.len() + tasks + self.names.len() + self.log.len() / 256
    }
}

/// Books an event of the log in: names' uses and sizes.
fn enter_entry(names: &mut Names, index: &mut Index, entry: &Entry) {
    entry.names().for_each(|name| names.acquire(name));
    index.enter_texts(entry.text_bytes());
}

/// Books it out.
fn leave_entry(names: &mut Names, index: &mut Index, entry: &Entry) {
    entry.names().for_each(|name| names.release(name));
    index.leave_texts(entry.text_bytes());
}

/// What is derived from issues: names' uses, sizes and indexes.
struct Books<'a> {
    names: &'a mut Names,
    index: &'a mut Index,
    order: &'a mut Order,
    lives: &'a BTreeMap<LifeId, Life>,
    settings: &'a Settings,
}

/// What is derived from tasks: names' uses, sizes and the order.
struct QueueBooks<'a> {
    names: &'a mut Names,
    index: &'a mut Index,
    order: &'a mut Order,
    issues: &'a Ascending<IssueNumber, Box<Issue>>,
    settings: &'a Settings,
}

impl QueueBooks<'_> {
    fn is_held(&self, issue: IssueNumber) -> bool {
        self.issues.get(&issue).is_some_and(|issue| issue.holder().is_some())
    }

    /// A task came to the queue, or stays in it and changed.
    fn enter_task(&mut self, number: TaskNumber, task: &Task, stays: bool) {
        self.names.acquire(task.kind);
        self.index.enter_texts(task.text_bytes());
        if !stays {
            self.order.enter_task(number, task);
        }
        self.rank(number, task);
    }

    fn leave_task(&mut self, number: TaskNumber, task: &Task, stays: bool) {
        self.names.release(task.kind);
        self.index.leave_texts(task.text_bytes());
        self.unrank(number, task);
        if !stays {
            self.order.leave_task(number, task);
        }
    }

    fn leave_task_but_id(&mut self, number: TaskNumber, task: &Task) {
        self.leave_task(number, task, true);
        self.order.leave_turn(number, task);
    }

    fn rank(&mut self, number: TaskNumber, task: &Task) {
        let held = self.is_held(task.issue);
        self.order.rank(number, task, held, self.settings);
    }

    fn unrank(&mut self, number: TaskNumber, task: &Task) {
        self.order.unrank(number, task, self.settings);
    }

    fn enter_dead(&mut self, number: u64, dead: &Dead) {
        self.names.acquire(dead.task.kind);
        self.index.enter_texts(dead.text_bytes());
        self.order.enter_dead(number, dead);
    }

    fn leave_dead(&mut self, number: u64, dead: &Dead) {
        self.names.release(dead.task.kind);
        self.index.leave_texts(dead.text_bytes());
        self.order.leave_dead(number, dead);
    }
}

impl Books<'_> {
    fn enter_issue(&mut self, number: IssueNumber, issue: &Issue) {
        issue.names().for_each(|name| self.names.acquire(name));
        self.index.count_issue(issue.status());
        self.index.enter_texts(issue.text_bytes());
        if issue.behind {
            self.index.enter_unlabelled(issue.version, number);
        }
        match &issue.run {
            // What waits again is not finished.
            Run::Ended(ended) if ended.aftermath == Aftermath::Queued => {}
            Run::Ended(ended) => self.index.enter_finished(ended.end, number),
            Run::Held(id) => self.enter_held(*id, number),
            Run::Working(working) => {
                self.enter_held(working.life, number);
                if working.task.is_some() {
                    self.order.enter_running();
                }
                if working.asked.is_some() {
                    self.index.enter_asked(working.life, number);
                }
            }
        }
    }

    fn enter_held(&mut self, id: LifeId, number: IssueNumber) {
        let place = || Some(Place::of(self.lives.get(&id)?, self.settings));
        self.index.enter_held(id, number, place);
        self.order.hold(number);
    }

    fn leave_held(&mut self, id: LifeId, number: IssueNumber) {
        let place = || Some(Place::of(self.lives.get(&id)?, self.settings));
        self.index.leave_held(id, number, place);
        self.order.free(number);
    }

    fn leave_issue(&mut self, number: IssueNumber, issue: &Issue) {
        issue.names().for_each(|name| self.names.release(name));
        self.index.uncount_issue(issue.status());
        self.index.leave_texts(issue.text_bytes());
        if issue.behind {
            self.index.leave_unlabelled(issue.version, number);
        }
        match &issue.run {
            Run::Ended(ended) if ended.aftermath == Aftermath::Queued => {}
            Run::Ended(ended) => self.index.leave_finished(ended.end),
            Run::Held(id) => self.leave_held(*id, number),
            Run::Working(working) => {
                self.leave_held(working.life, number);
                if working.task.is_some() {
                    self.order.leave_running();
                }
                if working.asked.is_some() {
                    self.index.leave_asked(working.life, number);
                }
            }
        }
    }
}
