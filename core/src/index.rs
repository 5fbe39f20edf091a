//! The indexes of a project, all derived from its records: who holds what, who is due when, what may be dropped.
//!
//! Each grows a node at a time, so that no single command pays for moving all of it.

use std::collections::{BTreeMap, BTreeSet};

use crate::ascending::Ascending;
use crate::held::Held;
use crate::life::{Due, Life, LifeId};
use crate::names::NameId;
use crate::settings::Settings;
use crate::types::{Instant, IssueNumber, Status};

/// See the module.
#[derive(Debug, Clone, Default)]
pub(crate) struct Index {
    /// The life that a process name stands for.
    current: BTreeMap<NameId, LifeId>,
    /// The issues of each life that holds any, or did: a worker gives one back to be given the next.
    held: BTreeMap<LifeId, Held>,
    /// When the lives that hold something are orphans: all of them, and those of each host.
    due: Deadlines,
    due_by_host: BTreeMap<NameId, Deadlines>,
    /// Lives that hold nothing, by their last sign of life.
    idle: Ascending<(Instant, LifeId), ()>,
    /// Issues whose holder was asked to stop.
    asked: BTreeSet<(LifeId, IssueNumber)>,
    /// Issues that nobody holds, by the number of their last lease's end.
    finished: Ascending<u64, IssueNumber>,
    /// Issues whose labels are behind, by the version of their status.
    unlabelled: Ascending<(u64, IssueNumber), ()>,
    by_status: [u64; Status::ALL.len()],
    /// The free texts of all records, in bytes.
    texts: usize,
}

/// Everything about a life that decides where it stands in the indexes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    pub(crate) process: NameId,
    pub(crate) host: Option<NameId>,
    pub(crate) current: bool,
    pub(crate) due: Due,
    pub(crate) last_sign: Instant,
}

impl Place {
    /// Where a life stands by these settings.
    pub(crate) fn of(life: &Life, settings: &Settings) -> Self {
        Self {
            process: life.process,
            host: life.host,
            current: life.is_current(),
            due: life.due(settings),
            last_sign: life.last_sign(),
        }
    }
}

/// Lives by when they are orphans. Two orders, because one does not depend on the clock.
#[derive(Debug, Clone, Default)]
pub(crate) struct Deadlines {
    certain: Ascending<(Instant, LifeId), ()>,
    silence: Ascending<(Instant, LifeId), ()>,
    /// How often a life came to be certain.
    news: u64,
}

impl Deadlines {
    fn insert(&mut self, id: LifeId, due: Due) {
        match due {
            Due::Certain(orphaned) => {
                self.news += 1;
                self.certain.insert((orphaned.since, id), ());
            }
            Due::Silence(since) => drop(self.silence.insert((since, id), ())),
        }
    }

    fn remove(&mut self, id: LifeId, due: Due) {
        match due {
            Due::Certain(orphaned) => self.certain.remove(&(orphaned.since, id)),
            Due::Silence(since) => self.silence.remove(&(since, id)),
        };
    }

    fn move_life(&mut self, id: LifeId, old: Due, new: Due) {
        self.remove(id, old);
        self.insert(id, new);
    }

    fn is_empty(&self) -> bool {
        self.certain.len() == 0 && self.silence.len() == 0
    }

    pub(crate) fn certain_news(&self) -> u64 {
        self.news
    }

    /// The first deadline that has not passed.
    pub(crate) fn after(&self, now: Instant) -> Option<Instant> {
        // Where nobody is silent for too long it is the first of all, which need not be searched for.
        let next = match self.silence.first() {
            Some(((since, _), ())) if *since <= now => self.silence.starting_at((now, LifeId(u64::MAX))).next(),
            first => first,
        };
        next.map(|((since, _), ())| *since)
    }

    /// The lives whose deadlines have passed.
    pub(crate) fn silent_until(&self, now: Instant) -> impl Iterator<Item = LifeId> {
        self.silence_until(now).map(|(_, id)| id)
    }

    /// The lives that are orphans at `now` as far as deadlines tell, longest first.
    pub(crate) fn until(&self, now: Instant) -> impl Iterator<Item = LifeId> {
        let mut certain = self.certain.iter().map(|(due, ())| *due).peekable();
        let mut silence = self.silence_until(now).peekable();
        std::iter::from_fn(move || match (certain.peek(), silence.peek()) {
            (Some(a), Some(b)) if a <= b => certain.next(),
            (_, Some(_)) => silence.next(),
            (_, None) => certain.next(),
        })
        .map(|(_, id)| id)
    }

    fn silence_until(&self, now: Instant) -> impl Iterator<Item = (Instant, LifeId)> {
        self.silence.iter().map(|(due, ())| *due).take_while(move |(since, _)| *since <= now)
    }
}

impl Index {
    pub(crate) fn enter_life(&mut self, id: LifeId, place: &Place) {
        if place.current {
            self.current.insert(place.process, id);
        }
        if self.held_by(id).is_some() {
            self.enter_due(id, place);
        } else {
            self.idle.insert((place.last_sign, id), ());
        }
    }

    pub(crate) fn leave_life(&mut self, id: LifeId, place: &Place) {
        if place.current && self.current(place.process) == Some(id) {
            self.current.remove(&place.process);
        }
        if self.held_by(id).is_some() {
            self.leave_due(id, place);
        } else {
            self.held.remove(&id);
            self.idle.remove(&(place.last_sign, id));
        }
    }

    /// What the indexes know of a life has changed.
    pub(crate) fn move_life(&mut self, id: LifeId, old: &Place, new: &Place) {
        if (old.process, old.current) != (new.process, new.current) || old.host != new.host {
            self.leave_life(id, old);
            self.enter_life(id, new);
        } else if self.held_by(id).is_some() {
            if old.due != new.due {
                self.due.move_life(id, old.due, new.due);
                let of_host = new.host.and_then(|host| self.due_by_host.get_mut(&host));
                of_host.into_iter().for_each(|due| due.move_life(id, old.due, new.due));
            }
        } else if old.last_sign != new.last_sign {
            self.idle.remove(&(old.last_sign, id));
            self.idle.insert((new.last_sign, id), ());
        }
    }

    fn enter_due(&mut self, id: LifeId, place: &Place) {
        self.due.insert(id, place.due);
        if let Some(host) = place.host {
            self.due_by_host.entry(host).or_default().insert(id, place.due);
        }
    }

    fn leave_due(&mut self, id: LifeId, place: &Place) {
        self.due.remove(id, place.due);
        if let Some(host) = place.host
            && let Some(due) = self.due_by_host.get_mut(&host)
        {
            due.remove(id, place.due);
            if due.is_empty() {
                self.due_by_host.remove(&host);
            }
        }
    }

    /// A life holds an issue; its first one makes it due instead of idle.
    pub(crate) fn enter_held(&mut self, id: LifeId, number: IssueNumber, place: impl FnOnce() -> Option<Place>) {
        let held = self.held.entry(id).or_default();
        let first = held.is_empty();
        held.insert(number);
        if first && let Some(place) = place() {
            self.idle.remove(&(place.last_sign, id));
            self.enter_due(id, &place);
        }
    }

    /// A life no longer holds an issue; its last one makes it idle.
    pub(crate) fn leave_held(&mut self, id: LifeId, number: IssueNumber, place: impl FnOnce() -> Option<Place>) {
        let Some(held) = self.held.get_mut(&id) else { return };
        held.remove(number);
        if held.is_empty()
            && let Some(place) = place()
        {
            self.leave_due(id, &place);
            self.idle.insert((place.last_sign, id), ());
        }
    }

    pub(crate) fn enter_asked(&mut self, id: LifeId, number: IssueNumber) {
        self.asked.insert((id, number));
    }

    pub(crate) fn leave_asked(&mut self, id: LifeId, number: IssueNumber) {
        self.asked.remove(&(id, number));
    }

    /// The issues that a life was asked to stop, by number.
    pub(crate) fn asked(&self, id: LifeId) -> impl Iterator<Item = IssueNumber> {
        self.asked.range((id, IssueNumber::FIRST)..).take_while(move |(life, _)| *life == id).map(|(_, number)| *number)
    }

    pub(crate) fn enter_finished(&mut self, end: u64, number: IssueNumber) {
        self.finished.insert(end, number);
    }

    pub(crate) fn leave_finished(&mut self, end: u64) {
        self.finished.remove(&end);
    }

    /// Whether an issue's last lease ended as this one.
    pub(crate) fn is_finished(&self, end: u64) -> bool {
        self.finished.get(&end).is_some()
    }

    /// A record with texts of so many bytes came.
    pub(crate) fn enter_texts(&mut self, bytes: usize) {
        self.texts += bytes;
    }

    /// A record with texts of so many bytes went.
    pub(crate) fn leave_texts(&mut self, bytes: usize) {
        self.texts = self.texts.saturating_sub(bytes);
    }

    pub(crate) fn enter_unlabelled(&mut self, version: u64, number: IssueNumber) {
        self.unlabelled.insert((version, number), ());
    }

    pub(crate) fn leave_unlabelled(&mut self, version: u64, number: IssueNumber) {
        self.unlabelled.remove(&(version, number));
    }

    /// Issues whose labels are behind, longest first.
    pub(crate) fn unlabelled(&self) -> impl Iterator<Item = (u64, IssueNumber)> {
        self.unlabelled.iter().map(|(entry, ())| *entry)
    }

    pub(crate) fn count_issue(&mut self, status: Status) {
        if let Some(count) = self.by_status.get_mut(status as usize) {
            *count += 1;
        }
    }

    pub(crate) fn uncount_issue(&mut self, status: Status) {
        if let Some(count) = self.by_status.get_mut(status as usize) {
            *count = count.saturating_sub(1);
        }
    }

    pub(crate) fn count(&self, status: Status) -> u64 {
        self.by_status.get(status as usize).copied().unwrap_or_default()
    }

    pub(crate) fn current(&self, process: NameId) -> Option<LifeId> {
        self.current.get(&process).copied()
    }

    pub(crate) fn processes(&self) -> usize {
        self.current.len()
    }

    pub(crate) fn held_by(&self, id: LifeId) -> Option<&Held> {
        self.held.get(&id).filter(|held| !held.is_empty())
    }

    /// The deadlines of all lives, or of one host's; none where that host has no lives that hold anything.
    pub(crate) fn due(&self, host: Option<NameId>) -> Option<&Deadlines> {
        host.map_or(Some(&self.due), |host| self.due_by_host.get(&host))
    }

    pub(crate) fn longest_idle(&self) -> Option<(Instant, LifeId)> {
        self.idle.first().map(|(idle, ())| *idle)
    }

    pub(crate) fn oldest_finished(&self) -> Option<IssueNumber> {
        self.finished.first().map(|(_, number)| *number)
    }

    pub(crate) fn finished_len(&self) -> usize {
        self.finished.len()
    }

    /// The size of all free texts in bytes.
    pub(crate) fn texts(&self) -> usize {
        self.texts
    }

    /// The rough size of all indexes in bytes.
    pub(crate) fn memory(&self) -> usize {
        let pair = size_of::<(Instant, LifeId)>();
        (self.due.certain.len() + self.due.silence.len()) * 2 * pair
            + (self.idle.len() + self.finished.len() + self.current.len() + self.unlabelled.len()) * pair
            + self.count(Status::Processing) as usize * size_of::<IssueNumber>()
            + self.asked.len() * pair
            + (self.due.certain.len() + self.due.silence.len()) * size_of::<(LifeId, Held)>()
    }
}
