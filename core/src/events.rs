//! The project's own log of what happened, oldest first, and the list of issues whose labels are behind.
//!
//! Every change of an issue's status is one event with a number of its own. The number is also the **version** of the
//! issue's status: whoever shows the status elsewhere confirms the version that it showed.

use std::collections::VecDeque;

use compact_str::CompactString;

use crate::checkin::Effect;
use crate::names::NameId;
use crate::project::Project;
use crate::settings::Setting;
use crate::types::{EventKind, Instant, IssueNumber, Now, Status, Token};

/// One entry of the log. A million of them may be kept: mind each field.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) issue: IssueNumber,
    /// Of the lease, where one is concerned.
    pub(crate) token: Option<Token>,
    pub(crate) at: Instant,
    /// Of the lease, where one is concerned.
    pub(crate) process: Option<NameId>,
    pub(crate) kind: Option<NameId>,
    pub(crate) what: EventKind,
    pub(crate) status: Option<Status>,
    pub(crate) from: Option<Status>,
    pub(crate) says: Option<Box<Says>>,
}

/// What few events have.
#[derive(Debug, Clone, Default)]
pub(crate) struct Says {
    /// The task's id. Most tasks have few events, so it is no name that recurs.
    pub(crate) task: Option<CompactString>,
    pub(crate) reason: Option<Box<str>>,
}

impl Says {
    /// Nothing where there is nothing.
    pub(crate) fn of(task: Option<&str>, reason: Option<&str>) -> Option<Box<Self>> {
        let some = task.is_some() || reason.is_some();
        some.then(|| Box::new(Self { task: task.map(CompactString::new), reason: reason.map(Into::into) }))
    }
}

impl Entry {
    /// The names that this record uses.
    pub(crate) fn names(&self) -> impl Iterator<Item = NameId> + use<> {
        [self.process, self.kind].into_iter().flatten()
    }

    /// The size of its free text.
    pub(crate) fn text_bytes(&self) -> usize {
        self.reason().map_or(0, str::len)
    }

    pub(crate) fn task(&self) -> Option<&str> {
        self.says.as_ref()?.task.as_deref()
    }

    pub(crate) fn reason(&self) -> Option<&str> {
        self.says.as_ref()?.reason.as_deref()
    }
}

/// The entries that are kept: a queue in chunks, so that no single command pays for moving all of it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Log {
    chunks: VecDeque<VecDeque<Entry>>,
    len: usize,
    /// The number of the event before the oldest entry.
    before: u64,
}

impl Log {
    const CHUNK: usize = 256;

    /// An empty log behind the event of this number.
    pub(crate) fn behind(before: u64) -> Self {
        Self { before, ..Self::default() }
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// The number of the event before the oldest entry.
    pub(crate) fn before(&self) -> u64 {
        self.before
    }

    /// The number of the newest entry.
    pub(crate) fn last(&self) -> u64 {
        self.before + self.len as u64
    }

    pub(crate) fn push(&mut self, entry: Entry) {
        match self.chunks.back_mut() {
            Some(chunk) if chunk.len() < Self::CHUNK => chunk.push_back(entry),
            _ => {
                let mut chunk = VecDeque::with_capacity(Self::CHUNK);
                chunk.push_back(entry);
                self.chunks.push_back(chunk);
            }
        }
        self.len += 1;
    }

    /// The rough size in bytes, without texts.
    pub(crate) fn memory(&self) -> usize {
        self.len * size_of::<Entry>()
    }

    /// Takes the newest entry back.
    pub(crate) fn pop(&mut self) {
        if let Some(chunk) = self.chunks.back_mut() {
            self.len -= usize::from(chunk.pop_back().is_some());
            if chunk.is_empty() {
                self.chunks.pop_back();
            }
        }
    }

    /// Drops the oldest entry.
    pub(crate) fn pop_oldest(&mut self) -> Option<Entry> {
        let chunk = self.chunks.front_mut()?;
        let entry = chunk.pop_front()?;
        if chunk.is_empty() {
            self.chunks.pop_front();
        }
        self.len -= 1;
        self.before += 1;
        Some(entry)
    }

    /// Puts back what [`Log::pop_oldest`] dropped.
    pub(crate) fn put_back(&mut self, entry: Entry) {
        match self.chunks.front_mut() {
            Some(chunk) if chunk.len() < Self::CHUNK => chunk.push_front(entry),
            _ => self.chunks.push_front(VecDeque::from([entry])),
        }
        self.len += 1;
        self.before -= 1;
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.chunks.iter().flatten()
    }

    /// The event of this number. All chunks but the first and the last are full, so none is looked at in vain.
    pub(crate) fn get(&self, number: u64) -> Option<&Entry> {
        let at = usize::try_from(number.checked_sub(self.before + 1)?).ok()?;
        let (chunk, within) = match at.checked_sub(self.chunks.front()?.len()) {
            None => (0, at),
            Some(behind) => (1 + behind / Self::CHUNK, behind % Self::CHUNK),
        };
        self.chunks.get(chunk)?.get(within)
    }
}

/// One event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Event<'a> {
    /// Its number; later events have higher ones.
    pub id: u64,
    /// What happened.
    pub what: EventKind,
    /// To which issue.
    pub issue: IssueNumber,
    /// Whose lease it was, where one is concerned.
    pub process: Option<&'a str>,
    /// The lease's token.
    pub token: Option<Token>,
    /// The task's id, where one is concerned.
    pub task: Option<&'a str>,
    /// The issue's status since; none where it was forgotten.
    pub status: Option<Status>,
    /// The issue's status before; none where it was unknown.
    pub from: Option<Status>,
    /// The task type.
    pub kind: Option<&'a str>,
    /// Why.
    pub reason: Option<&'a str>,
    /// When.
    pub at: Instant,
}

/// Events from some point on.
#[derive(Debug)]
pub struct Events<I> {
    /// Where events behind that point are gone: the number of the last that is.
    pub trimmed: Option<u64>,
    /// Those that are there, oldest first.
    pub events: I,
}

/// An issue whose labels are behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unlabelled {
    /// The issue.
    pub issue: IssueNumber,
    /// What its labels should say.
    pub status: Status,
    /// What is to be confirmed.
    pub version: u64,
}

impl Project {
    /// The number of the newest event; 0 before the first.
    pub fn last_event(&self) -> u64 {
        self.head.last_event
    }

    /// The events that came after the one with this number, as far as they are to be kept.
    pub fn events(&self, after: u64) -> Events<impl Iterator<Item = Event<'_>>> {
        let over = self.head.last_event.saturating_sub(self.head.settings.get(Setting::EventsKept));
        let last_trimmed = over.max(self.log.before());
        let events = self.emitted(after.max(last_trimmed));
        Events { trimmed: (after < last_trimmed).then_some(last_trimmed), events }
    }

    /// The events that came after the one with this number, as far as they are there: those of the last command are.
    pub fn emitted(&self, after: u64) -> impl Iterator<Item = Event<'_>> {
        let first = after.max(self.log.before()).saturating_add(1);
        (first..=self.log.last()).filter_map(|id| Some(self.event(id, self.log.get(id)?)))
    }

    /// Gives a change of status its number.
    pub(crate) fn next_event(&mut self) -> u64 {
        self.head.last_event += 1;
        self.head.last_event
    }

    fn event<'a>(&'a self, id: u64, entry: &'a Entry) -> Event<'a> {
        Event {
            id,
            what: entry.what,
            issue: entry.issue,
            process: entry.process.map(|process| self.names.get(process)),
            token: entry.token,
            task: entry.task(),
            status: entry.status,
            from: entry.from,
            kind: entry.kind.map(|kind| self.names.get(kind)),
            reason: entry.reason(),
            at: entry.at,
        }
    }

    /// The issues whose status changed since their labels were last confirmed, longest behind first.
    pub fn unlabelled(&self) -> impl Iterator<Item = Unlabelled> {
        self.index.unlabelled().filter_map(|(version, issue)| {
            let status = self.issues.get(&issue)?.status();
            Some(Unlabelled { issue, status, version })
        })
    }

    /// Whether any issue's labels are behind.
    pub fn has_unlabelled(&self) -> bool {
        self.index.unlabelled().next().is_some()
    }

    /// Confirms that an issue's labels show this version of its status. Unchanged where that is not the current one, or
    /// was confirmed before.
    pub fn labelled(&mut self, now: Now, number: IssueNumber, version: u64) -> Effect {
        let behind = self.issues.get(&number).filter(|issue| issue.version == version && issue.behind);
        let Some(mut issue) = behind.map(|issue| (**issue).clone()) else { return Effect::Unchanged };
        issue.behind = false;
        self.change(now, |project| project.set_issue(number, Some(issue)));
        Effect::Changed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_takes_at_most_48_bytes() {
        assert!(size_of::<Entry>() <= 48, "{}", size_of::<Entry>());
    }
}
