//! A file of lines, checked while it is read: each line, and that the file ends where it says so.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read as _};
use std::path::Path;

use poppo_core::MovedPiece;
use serde::{Deserialize, Serialize};

use crate::exit::{FAILED, Failure};

/// With so many bytes it is enough for once.
const BATCH: usize = 256 * 1024;

/// The longest line that is read: what a server takes at most.
const LONGEST: u64 = 8 * 1024 * 1024;

/// What begins each piece that is checked.
const HEADER: &str = "{\"export\":{\"version\":1}}";

/// The last line of a backup: it says that the file is whole.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Last {
    pub(super) end: End,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct End {
    /// How many entries came before.
    pub(super) entries: u64,
}

/// Lines that are being read.
pub(crate) struct Lines {
    /// What they are called in messages.
    name: String,
    reader: Box<dyn BufRead>,
    /// The number of the line that was read last.
    number: usize,
    entries: u64,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// The first line says what the others are.
    Start,
    Within,
    End,
}

impl std::fmt::Debug for Lines {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lines").field("name", &self.name).field("number", &self.number).finish_non_exhaustive()
    }
}

impl Lines {
    /// Of a file.
    pub(crate) fn open(path: &Path) -> Result<Self, Failure> {
        let name = path.display().to_string();
        let failed = |error: io::Error| Failure::failed(format!("{name}: {error}"));
        let file = File::open(path).map_err(failed)?;
        Ok(Self::new(name, Box::new(BufReader::with_capacity(BATCH, file))))
    }

    /// Of whoever writes to this process.
    pub(crate) fn of_stdin() -> Self {
        Self::new("standard input".to_owned(), Box::new(BufReader::with_capacity(BATCH, io::stdin())))
    }

    fn new(name: String, reader: Box<dyn BufRead>) -> Self {
        Self { name, reader, number: 0, entries: 0, state: State::Start }
    }

    /// How many entries were read so far.
    pub(crate) fn entries(&self) -> u64 {
        self.entries
    }

    /// Some entries more; none at the end.
    pub(crate) fn next(&mut self) -> Result<Option<Vec<String>>, Failure> {
        let (mut lines, mut numbers, mut bytes) = (Vec::new(), Vec::new(), 0);
        while bytes < BATCH {
            let Some(line) = self.line()? else {
                if self.state != State::End {
                    let what = format!("it ends before its end, as if it was cut off behind {} entries", self.entries);
                    return Err(self.wrong(self.number, &what));
                }
                break;
            };
            if line.trim().is_empty() {
                continue;
            }
            match self.state {
                State::End => return Err(self.wrong(self.number, "there is something behind the end")),
                State::Start => self.check_header(&line)?,
                // Pieces that were put one behind another have one each.
                State::Within if line.starts_with("{\"export\"") => self.check_header(&line)?,
                State::Within if line.starts_with("{\"end\"") => self.end(&line)?,
                State::Within => {
                    bytes += line.len();
                    self.entries += 1;
                    numbers.push(self.number);
                    lines.push(line);
                }
            }
        }
        if lines.is_empty() && self.state == State::End {
            return Ok(None);
        }
        MovedPiece::parse(&format!("{HEADER}\n{}", lines.join("\n"))).map_err(|bad| {
            // The header is the first of its lines.
            let number = bad.line().checked_sub(2).and_then(|at| numbers.get(at));
            self.wrong(number.copied().unwrap_or(self.number), &bad.what())
        })?;
        Ok(Some(lines))
    }

    /// A line without its end; none behind the last.
    fn line(&mut self) -> Result<Option<String>, Failure> {
        let mut line = Vec::new();
        let read = self.reader.by_ref().take(LONGEST + 1).read_until(b'\n', &mut line);
        let read = read.map_err(|error| Failure::failed(format!("{}: {error}", self.name)))?;
        if read == 0 {
            return Ok(None);
        }
        self.number += 1;
        if line.len() as u64 > LONGEST {
            return Err(self.wrong(self.number, &format!("it is longer than {LONGEST} bytes")));
        }
        if line.last() == Some(&b'\n') {
            line.pop();
        }
        String::from_utf8(line).map(Some).map_err(|_| self.wrong(self.number, "it is not UTF-8"))
    }

    fn check_header(&mut self, line: &str) -> Result<(), Failure> {
        self.state = State::Within;
        MovedPiece::parse(line).map(drop).map_err(|bad| self.wrong(self.number, &bad.what()))
    }

    fn end(&mut self, line: &str) -> Result<(), Failure> {
        let last: Last = serde_json::from_str(line).map_err(|error| self.wrong(self.number, &error.to_string()))?;
        if last.end.entries != self.entries {
            let what =
                format!("there should be {} entries before it, and there are {}", last.end.entries, self.entries);
            return Err(self.wrong(self.number, &what));
        }
        self.state = State::End;
        Ok(())
    }

    fn wrong(&self, number: usize, what: &str) -> Failure {
        Failure::new(FAILED, "BADFILE", format!("{}: line {number}: {what}", self.name))
    }
}
