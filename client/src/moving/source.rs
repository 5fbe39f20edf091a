//! Where entries come from: a project, or lines.

use poppo::{Cursor, Project};

use super::lines::Lines;
use crate::exit::{FAILED, Failure};

/// How many entries are asked for at a time: what a server answers in a few milliseconds.
const ENTRIES_PER_CALL: u32 = 1_000;

/// With so many bytes it is enough for once.
const BATCH: usize = 256 * 1024;

/// Entries, some at a time.
#[derive(Debug)]
pub(crate) enum Source {
    /// Of a project, as it is when it is read.
    Project(Reading),
    /// Of a file or a pipe.
    Lines(Lines),
    /// Made before.
    Ready(std::vec::IntoIter<String>),
}

/// A project that is being read.
#[derive(Debug)]
pub(crate) struct Reading {
    project: Project,
    next: Next,
}

#[derive(Debug)]
enum Next {
    Start,
    From(Cursor),
    End,
}

impl Source {
    /// A project, from its beginning.
    pub(crate) fn of(project: &Project) -> Self {
        Self::Project(Reading { project: project.clone(), next: Next::Start })
    }

    /// Lines that are there already.
    pub(crate) fn ready(lines: Vec<String>) -> Self {
        Self::Ready(lines.into_iter())
    }

    /// Some entries more; none at the end. No entries may come before the end, too.
    pub(crate) async fn next(&mut self) -> Result<Option<Vec<String>>, Failure> {
        match self {
            Self::Lines(lines) => lines.next(),
            Self::Project(reading) => Ok(reading.next().await?.map(|(_, lines)| lines)),
            Self::Ready(lines) => {
                let (mut some, mut bytes) = (Vec::new(), 0);
                while bytes < BATCH
                    && let Some(line) = lines.next()
                {
                    bytes += line.len();
                    some.push(line);
                }
                Ok(Some(some).filter(|some| !some.is_empty()))
            }
        }
    }
}

impl Reading {
    /// A project, from its beginning.
    pub(crate) fn of(project: &Project) -> Self {
        Self { project: project.clone(), next: Next::Start }
    }

    /// A header and some entries more; none at the end.
    pub(crate) async fn next(&mut self) -> Result<Option<(String, Vec<String>)>, Failure> {
        let cursor = match &self.next {
            Next::Start => None,
            Next::From(cursor) => Some(cursor),
            Next::End => return Ok(None),
        };
        let piece = self.project.export(cursor, Some(ENTRIES_PER_CALL)).await?;
        if matches!(self.next, Next::Start) && piece.lines.is_empty() {
            let message = format!("there is no project {} at {}", self.project.key(), self.project.client().url());
            return Err(Failure::new(FAILED, "UNKNOWN", message));
        }
        self.next = piece.next.map_or(Next::End, Next::From);
        Ok(Some((piece.header, piece.lines)))
    }
}
