//! The tasks of a project that nobody works on, and who is next.
//!
//! A task has one record wherever it is: here while it waits or is dead, with its issue's lease while it runs. What is
//! derived from the records, above all the order in which they are served, is in [`Order`].

use std::collections::{BTreeMap, BTreeSet};

use compact_str::CompactString;

use crate::ascending::Ascending;
use crate::names::NameId;
use crate::settings::{Setting, Settings};
use crate::spelling::Spelling;
use crate::types::{Instant, IssueNumber, Priority};

/// A task. A million of them are the size of the value: mind each field.
#[derive(Debug, Clone)]
pub(crate) struct Task {
    pub(crate) id: CompactString,
    pub(crate) issue: IssueNumber,
    pub(crate) kind: NameId,
    pub(crate) priority: Priority,
    /// How many of its runs failed.
    pub(crate) attempts: u16,
    /// How many of its runs lost their worker.
    pub(crate) orphans: u16,
    /// Since when it waits; of a delayed one, until when it does not.
    pub(crate) turn: Instant,
    pub(crate) texts: Option<Box<Texts>>,
}

/// What a task may have to say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Texts {
    pub(crate) title: Option<Box<str>>,
    pub(crate) payload: Option<Box<str>>,
}

impl Texts {
    /// Nothing where there is nothing.
    pub(crate) fn of(title: Option<&str>, payload: Option<&str>) -> Option<Box<Self>> {
        let some = title.is_some() || payload.is_some();
        some.then(|| Box::new(Self { title: title.map(Into::into), payload: payload.map(Into::into) }))
    }
}

impl Task {
    pub(crate) fn title(&self) -> Option<&str> {
        self.texts.as_ref()?.title.as_deref()
    }

    pub(crate) fn payload(&self) -> Option<&str> {
        self.texts.as_ref()?.payload.as_deref()
    }

    /// The size of its free texts.
    pub(crate) fn text_bytes(&self) -> usize {
        [self.title(), self.payload()].into_iter().flatten().map(str::len).sum()
    }

    /// Its place in the order: lower is sooner.
    fn rank(&self, number: TaskNumber, settings: &Settings) -> Rank {
        let behind = u64::from(Priority::MAX - self.priority.get());
        let key = match settings.get(Setting::QueueAging) {
            // Priority first, then time, which is below 2^53.
            0 => behind << 53 | self.turn.micros(),
            // A point of priority is worth so much time. As all that wait age alike, their order never changes.
            aging => self.turn.micros().saturating_add(behind * aging * 1_000),
        };
        Rank { key, number }
    }
}

/// The number of a task that waits. It gets a new one each time that it begins to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct TaskNumber(u64);

impl TaskNumber {
    /// Those that are or were delayed have numbers behind all others: the first number is the oldest of the others.
    const DELAYED: u64 = 1 << 62;

    /// No task has this one.
    const NONE: Self = Self(0);

    pub(crate) const fn new(number: u64, delayed: bool) -> Self {
        Self(if delayed { number | Self::DELAYED } else { number })
    }

    pub(crate) const fn is_delayed(self) -> bool {
        self.0 & Self::DELAYED != 0
    }

    /// Which of all tasks that ever waited it is.
    pub(crate) const fn count(self) -> u64 {
        self.0 & !Self::DELAYED
    }
}

/// A task that nobody will be given again, unless somebody revives it.
#[derive(Debug, Clone)]
pub(crate) struct Dead {
    pub(crate) task: Task,
    pub(crate) at: Instant,
    pub(crate) reason: Option<Box<str>>,
}

impl Dead {
    /// The size of its free texts.
    pub(crate) fn text_bytes(&self) -> usize {
        self.task.text_bytes() + self.reason.as_ref().map_or(0, |reason| reason.len())
    }
}

/// A task that was finished.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Finished {
    pub(crate) issue: IssueNumber,
    pub(crate) id: CompactString,
}

/// The records.
#[derive(Debug, Clone, Default)]
pub(crate) struct Queue {
    /// Those that wait or are delayed.
    pub(crate) tasks: Ascending<TaskNumber, Box<Task>>,
    /// By the number of the death.
    pub(crate) dead: BTreeMap<u64, Box<Dead>>,
    /// By the number of the end.
    pub(crate) finished: Ascending<u64, Finished>,
}

/// Where a task is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Whereabouts {
    Waiting(TaskNumber),
    /// With the lease of this issue.
    Running(IssueNumber),
    Dead(u64),
}

/// What an id stands for, as far as that can be told without a look at the records.
#[derive(Debug, Clone, Copy)]
enum Known {
    /// A task that waits, or runs since it did: claiming it changes nothing here.
    Alive(IssueNumber, TaskNumber),
    Dead(u64),
}

/// A place in the order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Rank {
    key: u64,
    number: TaskNumber,
}

impl Rank {
    const FIRST: Self = Self { key: 0, number: TaskNumber(0) };
    /// Behind all that there are.
    const LAST: Self = Self { key: u64::MAX, number: TaskNumber(u64::MAX) };
}

/// Everything that is derived from tasks: where each is, and who is next.
///
/// Of each issue and type only the first task that waits can be served, and only while the issue is free. So an issue
/// that is taken or given back moves one entry a type, however many tasks wait for it.
///
/// A delayed task is among those that wait from when somebody noticed that it is due ([`Order::ripen`]): that changes
/// no record, so it need not be the same on a replica.
#[derive(Debug, Clone, Default)]
pub(crate) struct Order {
    ids: BTreeMap<Spelling, Known>,
    /// All that wait, by issue and type.
    waiting: Ascending<(IssueNumber, NameId, Rank), ()>,
    /// The first of each free issue and type, by type.
    ready: BTreeMap<NameId, Ascending<Rank, ()>>,
    /// The first of each type that is ready.
    heads: BTreeSet<(Rank, NameId)>,
    /// Those that are delayed as far as anybody noticed, by when they are due, and by issue.
    delayed: BTreeSet<(Instant, TaskNumber)>,
    unripe: BTreeSet<(IssueNumber, TaskNumber)>,
    /// Those that were delayed, by when they fell due.
    ripe: BTreeSet<(Instant, TaskNumber)>,
    depth: BTreeMap<Priority, u64>,
    dead: BTreeSet<(IssueNumber, u64)>,
    finished: Ascending<Finished, u64>,
    running: u64,
}

impl Order {
    /// Where a task is.
    pub(crate) fn find(&self, queue: &Queue, id: &str) -> Option<Whereabouts> {
        Some(match *self.ids.get(&Spelling::of(id))? {
            Known::Alive(_, number) if queue.tasks.get(&number).is_some() => Whereabouts::Waiting(number),
            Known::Alive(issue, _) => Whereabouts::Running(issue),
            Known::Dead(number) => Whereabouts::Dead(number),
        })
    }

    /// The id of a task that runs is known from now on.
    pub(crate) fn learn(&mut self, task: &Task) {
        self.ids.insert(Spelling::of(&task.id), Known::Alive(task.issue, TaskNumber::NONE));
    }

    /// It is not any longer.
    pub(crate) fn forget(&mut self, task: &Task) {
        self.ids.remove(&Spelling::of(&task.id));
    }

    /// A task came to the queue. [`Order::rank`] follows.
    pub(crate) fn enter_task(&mut self, number: TaskNumber, task: &Task) {
        self.ids.insert(Spelling::of(&task.id), Known::Alive(task.issue, number));
        if number.is_delayed() {
            self.delayed.insert((task.turn, number));
            self.unripe.insert((task.issue, number));
        }
    }

    /// A task left the queue. [`Order::unrank`] came before.
    pub(crate) fn leave_task(&mut self, number: TaskNumber, task: &Task) {
        self.ids.remove(&Spelling::of(&task.id));
        self.leave_turn(number, task);
    }

    /// The same, but it runs from now on, and its id stays known.
    pub(crate) fn leave_turn(&mut self, number: TaskNumber, task: &Task) {
        if number.is_delayed() && !self.ripe.remove(&(task.turn, number)) {
            self.delayed.remove(&(task.turn, number));
            self.unripe.remove(&(task.issue, number));
        }
    }

    /// Gives a task of the queue its place among those that wait, if it does.
    pub(crate) fn rank(&mut self, number: TaskNumber, task: &Task, held: bool, settings: &Settings) {
        if self.is_ripe(number, task) {
            self.wait(number, task, held, settings);
        }
    }

    /// Takes it away.
    pub(crate) fn unrank(&mut self, number: TaskNumber, task: &Task, settings: &Settings) {
        if self.is_ripe(number, task) {
            self.stop_waiting(number, task, settings);
        }
    }

    fn is_ripe(&self, number: TaskNumber, task: &Task) -> bool {
        !number.is_delayed() || self.ripe.contains(&(task.turn, number))
    }

    fn wait(&mut self, number: TaskNumber, task: &Task, held: bool, settings: &Settings) {
        *self.depth.entry(task.priority).or_default() += 1;
        let rank = task.rank(number, settings);
        let first = self.first_of(task.issue, task.kind);
        self.waiting.insert((task.issue, task.kind, rank), ());
        if !held && first.is_none_or(|first| rank < first) {
            if let Some(first) = first {
                self.unready(task.kind, first);
            }
            self.make_ready(task.kind, rank);
        }
    }

    fn stop_waiting(&mut self, number: TaskNumber, task: &Task, settings: &Settings) {
        if let Some(depth) = self.depth.get_mut(&task.priority) {
            *depth -= 1;
            if *depth == 0 {
                self.depth.remove(&task.priority);
            }
        }
        let rank = task.rank(number, settings);
        self.waiting.remove(&(task.issue, task.kind, rank));
        // Whether it was the first of its issue and type, and that is free, need not be asked: only then it is ready.
        if self.unready(task.kind, rank)
            && let Some(next) = self.first_of(task.issue, task.kind)
        {
            self.make_ready(task.kind, next);
        }
    }

    /// Whether no task of an issue waits, as far as one look tells. Where issues come and are served in about the order of
    /// their numbers, those that come are above all that wait, and those that run are below.
    fn is_out_of_range(&self, issue: IssueNumber) -> bool {
        self.waiting.first().is_none_or(|((first, ..), ())| issue < *first)
            || self.waiting.last().is_none_or(|((last, ..), ())| issue > *last)
    }

    fn first_of(&self, issue: IssueNumber, kind: NameId) -> Option<Rank> {
        if self.is_out_of_range(issue) {
            return None;
        }
        let next = self.waiting.starting_at((issue, kind, Rank::FIRST)).next();
        next.filter(|((of, as_kind, _), ())| (*of, *as_kind) == (issue, kind)).map(|((_, _, rank), ())| *rank)
    }

    fn make_ready(&mut self, kind: NameId, rank: Rank) {
        let ready = self.ready.entry(kind).or_default();
        let head = ready.first().map(|(head, ())| *head);
        ready.insert(rank, ());
        if head.is_none_or(|head| rank < head) {
            if let Some(head) = head {
                self.heads.remove(&(head, kind));
            }
            self.heads.insert((rank, kind));
        }
    }

    /// Answers whether it was ready.
    fn unready(&mut self, kind: NameId, rank: Rank) -> bool {
        let Some(ready) = self.ready.get_mut(&kind) else { return false };
        let was_head = ready.first().is_some_and(|(head, ())| *head == rank);
        let was_ready = ready.remove(&rank).is_some();
        let head = ready.first().map(|(head, ())| *head);
        if head.is_none() {
            self.ready.remove(&kind);
        }
        if was_head {
            self.heads.remove(&(rank, kind));
            self.heads.extend(head.map(|head| (head, kind)));
        }
        was_ready
    }

    /// An issue is held from now on: its tasks wait for it.
    pub(crate) fn hold(&mut self, issue: IssueNumber) {
        self.each_first_of(issue, |order, kind, rank| {
            order.unready(kind, rank);
        });
    }

    /// An issue is free again.
    pub(crate) fn free(&mut self, issue: IssueNumber) {
        self.each_first_of(issue, Self::make_ready);
    }

    fn each_first_of(&mut self, issue: IssueNumber, act: fn(&mut Self, NameId, Rank)) {
        if self.is_out_of_range(issue) {
            return;
        }
        let mut from = (issue, NameId::FIRST, Rank::FIRST);
        loop {
            let next = self.waiting.starting_at(from).next().map(|(entry, ())| *entry);
            let Some((_, kind, rank)) = next.filter(|(found, ..)| *found == issue) else { break };
            act(self, kind, rank);
            from = (issue, kind, Rank::LAST);
        }
    }

    /// The first task of these types, or of any, whose issue is free.
    pub(crate) fn first(&self, kinds: Option<&[NameId]>) -> Option<TaskNumber> {
        let rank = match kinds {
            None => self.heads.first().map(|(rank, _)| *rank),
            Some(kinds) => kinds.iter().filter_map(|kind| self.ready.get(kind)?.first().map(|(rank, ())| *rank)).min(),
        };
        rank.map(|rank| rank.number)
    }

    /// When the next delayed task is due that nobody noticed so far.
    pub(crate) fn next_due(&self) -> Option<(Instant, TaskNumber)> {
        self.delayed.first().copied()
    }

    /// A delayed task, the next one, is due: it is among those that wait from now on.
    pub(crate) fn ripen(&mut self, number: TaskNumber, task: &Task, held: bool, settings: &Settings) {
        self.delayed.remove(&(task.turn, number));
        self.unripe.remove(&(task.issue, number));
        self.ripe.insert((task.turn, number));
        self.wait(number, task, held, settings);
    }

    /// The tasks of an issue that wait or are delayed.
    pub(crate) fn of_issue(&self, issue: IssueNumber) -> impl Iterator<Item = TaskNumber> {
        let unripe = (issue, TaskNumber(0))..=(issue, TaskNumber(u64::MAX));
        let waiting = self.waiting.starting_at((issue, NameId::FIRST, Rank::FIRST)).map(|(entry, ())| entry);
        let waiting = waiting.take_while(move |(of, ..)| *of == issue).map(|(_, _, rank)| rank.number);
        waiting.chain(self.unripe.range(unripe).map(|(_, number)| *number))
    }

    /// The dead tasks of an issue.
    pub(crate) fn dead_of_issue(&self, issue: IssueNumber) -> impl Iterator<Item = u64> {
        self.dead.range((issue, 0)..=(issue, u64::MAX)).map(|(_, number)| *number)
    }

    /// The finished tasks of an issue that are remembered.
    pub(crate) fn finished_of_issue(&self, issue: IssueNumber) -> impl Iterator<Item = u64> {
        let from = Finished { issue, id: CompactString::const_new("") };
        self.finished
            .starting_at(from)
            .take_while(move |(finished, _)| finished.issue == issue)
            .map(|(_, number)| *number)
    }

    /// Whether a task of an issue was finished, and as which.
    pub(crate) fn finished(&self, finished: &Finished) -> Option<u64> {
        // A task of an issue above all others, as those of new issues are, need not be searched for.
        let known = self.finished.last().is_some_and(|(last, _)| finished.issue <= last.issue);
        if known { self.finished.get(finished).copied() } else { None }
    }

    pub(crate) fn enter_dead(&mut self, number: u64, dead: &Dead) {
        self.ids.insert(Spelling::of(&dead.task.id), Known::Dead(number));
        self.dead.insert((dead.task.issue, number));
    }

    pub(crate) fn leave_dead(&mut self, number: u64, dead: &Dead) {
        self.ids.remove(&Spelling::of(&dead.task.id));
        self.dead.remove(&(dead.task.issue, number));
    }

    pub(crate) fn enter_finished(&mut self, number: u64, finished: &Finished) {
        self.finished.insert(finished.clone(), number);
    }

    pub(crate) fn leave_finished(&mut self, finished: &Finished) {
        self.finished.remove(finished);
    }

    /// A task runs. Its id is known already, or [`Order::learn`] says it.
    pub(crate) fn enter_running(&mut self) {
        self.running += 1;
    }

    /// It does no longer. Where it is over, [`Order::forget`] says so.
    pub(crate) fn leave_running(&mut self) {
        self.running -= 1;
    }

    /// How many tasks wait, by priority; those that fell due and that nobody noticed so far are not among them.
    pub(crate) fn depth(&self) -> &BTreeMap<Priority, u64> {
        &self.depth
    }

    /// Those that fell due by `at` and that nobody noticed so far.
    pub(crate) fn unnoticed(&self, at: Instant) -> impl Iterator<Item = TaskNumber> {
        self.delayed.iter().take_while(move |(turn, _)| *turn <= at).map(|(_, number)| *number)
    }

    /// When the first of those fell due that were delayed once.
    pub(crate) fn first_due(&self) -> Option<Instant> {
        [&self.ripe, &self.delayed].into_iter().filter_map(|tasks| tasks.first()).map(|(turn, _)| *turn).min()
    }

    pub(crate) fn running(&self) -> u64 {
        self.running
    }

    /// The rough size in bytes.
    pub(crate) fn memory(&self) -> usize {
        // As if all were due, and first of their issue and type: so it does not depend on who noticed what.
        self.ids.len() * size_of::<(Spelling, Known)>()
            + (self.waiting.len() + self.unripe.len()) * size_of::<(IssueNumber, NameId, Rank, Rank)>()
            + (self.delayed.len() + self.ripe.len() + self.dead.len()) * size_of::<(Instant, TaskNumber)>()
            + self.finished.len() * size_of::<(Finished, u64)>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_fits_the_allocators_class_of_64_bytes() {
        assert!(size_of::<Task>() <= 64, "{}", size_of::<Task>());
    }

    #[test]
    fn what_an_id_stands_for_takes_no_more_than_two_numbers() {
        assert_eq!(size_of::<Known>(), 2 * size_of::<u64>());
    }
}
