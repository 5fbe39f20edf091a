//! A project in pieces.

use super::cursor::{ExportCursor, Part};
use super::{EXPORT_VERSION, Entry, Head, Header};
use crate::layout;
use crate::project::Project;
use crate::queue::TaskNumber;
use crate::types::{Instant, IssueNumber};

/// Behind so many bytes a piece ends, however few entries it has. With one more entry it still is one that `IMPORT` takes.
const FULL: usize = 256 * 1024;

/// A piece of a project.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exported {
    /// Where the next piece begins; none behind the last.
    pub next: Option<ExportCursor>,
    /// Its lines: what it is, and the entries.
    pub lines: Vec<String>,
}

impl Exported {
    /// A piece without entries.
    pub fn empty(at: Instant) -> Self {
        let header = Header { version: EXPORT_VERSION, project: None, at: Some(at) };
        Self { next: None, lines: vec![line(&Entry::Export(header))] }
    }
}

/// JSON of an entry cannot fail; an empty line would be passed over.
fn line(entry: &Entry<'_>) -> String {
    layout::text(entry, 0).unwrap_or_default()
}

impl Project {
    /// The entries from the cursor on, at most `count`. What is there throughout is in one of the pieces, and so is a task
    /// that begins to run, or to wait again, meanwhile.
    pub fn export(&self, at: Instant, cursor: ExportCursor, count: usize) -> Exported {
        let mut piece = Exported::empty(at);
        let waits = if cursor == ExportCursor::START { self.head.waits } else { cursor.waits };
        let mut bytes = 0;
        for part in cursor.part.onwards() {
            let from = if part == cursor.part { cursor.from } else { 0 };
            for (position, entry) in self.entries(part, from, waits) {
                if piece.lines.len() > count || bytes > FULL {
                    piece.next = Some(ExportCursor { part, from: position, waits });
                    return piece;
                }
                let Some(entry) = entry else { continue };
                let line = line(&entry);
                bytes += line.len();
                piece.lines.push(line);
            }
        }
        piece
    }

    /// A part's entries, each with its position.
    fn entries(&self, part: Part, from: u64, waits: u64) -> Box<dyn Iterator<Item = (u64, Option<Entry<'_>>)> + '_> {
        match part {
            Part::Project => {
                let head = Head { last_token: self.head.last_token, settings: self.head.settings.clone() };
                Box::new((from == 0).then_some((0, Some(Entry::Project(head)))).into_iter())
            }
            Part::Tasks => self.task_entries(from, 0),
            Part::Since => self.task_entries(from, waits + 1),
            Part::Issues => {
                let issues = self.issues.starting_at(IssueNumber::try_from(from).unwrap_or(IssueNumber::FIRST));
                Box::new(issues.map(|(number, issue)| {
                    (number.get(), self.moved_issue(*number, issue).map(|issue| Entry::Issue(Box::new(issue))))
                }))
            }
            Part::Dead => {
                let dead = self.queue.dead.range(from..);
                Box::new(dead.map(|(number, dead)| (*number, self.moved_dead(*number, dead).map(Entry::Dead))))
            }
            Part::Finished => {
                let finished = self.queue.finished.starting_at(from);
                let entry = |number, finished| self.moved_finished(number, finished).map(Entry::Finished);
                Box::new(finished.map(move |(number, finished)| (*number, entry(*number, finished))))
            }
        }
    }

    /// The tasks that wait, in order, from a position on; of those numbers only that are not below `first`.
    fn task_entries(&self, from: u64, first: u64) -> Box<dyn Iterator<Item = (u64, Option<Entry<'_>>)> + '_> {
        // As in LIST, the last bit of a position says which numbers it is among.
        let from = TaskNumber::new(from >> 1, from & 1 == 1);
        let range = |delayed: bool| {
            let (low, high) = (TaskNumber::new(first, delayed), TaskNumber::new(u64::MAX >> 2, delayed));
            let low = low.max(from);
            self.queue.tasks.starting_at(low).take_while(move |(number, _)| *number <= high)
        };
        let tasks = range(false).chain(range(true));
        Box::new(tasks.map(|(number, task)| {
            let position = number.count() << 1 | u64::from(number.is_delayed());
            (position, self.moved_task(*number, task).map(Entry::Task))
        }))
    }
}
