//! Where an export goes on.

use std::fmt;
use std::str::FromStr;

use crate::types::{Invalid, MAX_INTEGER, integer};

/// The parts of an export, in order.
///
/// A task that begins to run goes on to a part that is still to come. One that waits again after it ran has a new number,
/// and is looked for once more behind the issues.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Part {
    Project,
    Tasks,
    Issues,
    /// Tasks that began to wait since.
    Since,
    Dead,
    Finished,
}

impl Part {
    const ALL: [(Self, &str); 6] = [
        (Self::Project, "project"),
        (Self::Tasks, "tasks"),
        (Self::Issues, "issues"),
        (Self::Since, "since"),
        (Self::Dead, "dead"),
        (Self::Finished, "finished"),
    ];

    /// This one and those behind it.
    pub(super) fn onwards(self) -> impl Iterator<Item = Self> {
        Self::ALL.into_iter().map(|(part, _)| part).skip_while(move |part| *part < self)
    }
}

/// Where an export goes on: `0` begins, all others are as they were answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExportCursor {
    pub(super) part: Part,
    /// From which record.
    pub(super) from: u64,
    /// How many times a task had begun to wait when the export began.
    pub(super) waits: u64,
}

impl ExportCursor {
    /// The beginning.
    pub const START: Self = Self { part: Part::Project, from: 0, waits: 0 };
}

impl fmt::Display for ExportCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = Part::ALL.iter().find(|(part, _)| *part == self.part).map_or("", |(_, name)| name);
        write!(f, "{name}-{}-{}", self.from, self.waits)
    }
}

impl FromStr for ExportCursor {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        const ALLOWED: Invalid = Invalid::Word("0 or what EXPORT answered");
        if text == "0" {
            return Ok(Self::START);
        }
        let number = |text: Option<&str>| integer(text.unwrap_or_default().as_bytes(), 0, MAX_INTEGER);
        let mut words = text.split('-');
        let name = words.next();
        let (part, _) = Part::ALL.into_iter().find(|(_, known)| Some(*known) == name).ok_or(ALLOWED)?;
        let (from, waits) = (number(words.next()), number(words.next()));
        match (from, waits, words.next()) {
            (Ok(from), Ok(waits), None) => Ok(Self { part, from, waits }),
            _ => Err(ALLOWED),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_read_as_it_was_shown_and_nothing_else_is_one() {
        for (part, _) in Part::ALL {
            let cursor = ExportCursor { part, from: 17, waits: MAX_INTEGER };
            assert_eq!(cursor.to_string().parse(), Ok(cursor));
        }
        assert_eq!("0".parse(), Ok(ExportCursor::START));
        for wrong in ["", "1", "issues", "issues-1", "issues-1-2-3", "Issues-1-2", "issues--1", "issues-01-2"] {
            assert!(wrong.parse::<ExportCursor>().is_err(), "{wrong}");
        }
    }
}
