//! What the demo's workers write down, and the verdict on it: was any issue ever held twice?
//!
//! Every command that works on an issue notes its own start and end with the token that it works under, by the clock
//! that all processes of this host share and that never jumps. The verdict on who held what rests on these notes and on
//! when orphans were repaired, never on what the server says of itself.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::path::Path;

use poppo::{IssueNumber, Token};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// One line of the journal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Entry {
    /// Nanoseconds of CLOCK_MONOTONIC.
    pub(crate) time: u64,
    pub(crate) worker: String,
    pub(crate) issue: IssueNumber,
    #[serde(flatten)]
    pub(crate) event: Event,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub(crate) enum Event {
    /// The command started: its process group, and the `poppo work` that started it.
    Start { token: Token, group: u32, runner: u32 },
    /// The command is done. Its check-in comes after that.
    End { token: Token },
    /// Its worker says that the check-in as completed was accepted.
    Completed { token: Token },
    /// Its worker says that it failed, and whether that was for good.
    Failed { token: Token, reason: String, dead: bool },
    /// Its worker says that the lease was lost.
    Lost { token: Token, code: String, message: String },
    /// The demo is about to end an orphan's lease; from now on its holder is fenced off.
    Repaired { token: Token },
}

impl Entry {
    /// Of now.
    pub(crate) fn now(worker: &str, issue: IssueNumber, event: Event) -> Self {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
        let nanos = i128::from(time.tv_sec) * 1_000_000_000 + i128::from(time.tv_nsec);
        Self { time: u64::try_from(nanos).unwrap_or_default(), worker: worker.to_owned(), issue, event }
    }
}

/// Appends an entry, in one write, so that entries of several processes do not mix.
pub(crate) fn append(journal: &Path, entry: &Entry) -> io::Result<()> {
    let mut line = serde_json::to_vec(entry)?;
    line.push(b'\n');
    OpenOptions::new().create(true).append(true).open(journal)?.write_all(&line)
}

impl Event {
    /// The token of the lease that it is about.
    pub(crate) fn token(&self) -> Token {
        match self {
            Self::Start { token, .. }
            | Self::End { token }
            | Self::Completed { token }
            | Self::Failed { token, .. }
            | Self::Lost { token, .. }
            | Self::Repaired { token } => *token,
        }
    }
}

/// Reads what was appended to a file of JSON lines since it was last asked.
pub(crate) struct Reader {
    file: File,
    unfinished: Vec<u8>,
}

impl Reader {
    /// From the start of the file, which need not exist yet.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        OpenOptions::new().create(true).append(true).open(path)?;
        Ok(Self { file: File::open(path)?, unfinished: Vec::new() })
    }

    /// The lines that are new.
    pub(crate) fn read<T: DeserializeOwned>(&mut self) -> io::Result<Vec<T>> {
        self.file.read_to_end(&mut self.unfinished)?;
        let Some(end) = self.unfinished.iter().rposition(|byte| *byte == b'\n') else { return Ok(Vec::new()) };
        let rest = self.unfinished.split_off(end + 1);
        let lines = std::mem::replace(&mut self.unfinished, rest);
        lines
            .split(|byte| *byte == b'\n')
            .filter(|line| !line.is_empty())
            .map(|line| serde_json::from_slice(line).map_err(io::Error::from))
            .collect()
    }
}

/// A time during which a command worked under a token that was not fenced off.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Hold {
    pub(crate) worker: String,
    pub(crate) token: Token,
    pub(crate) repaired: bool,
    start: u64,
    /// None where nothing ended it.
    end: Option<u64>,
}

/// What the journal comes to.
#[derive(Debug, Default)]
pub(crate) struct Verdict {
    /// By issue, in the order of their starts.
    pub(crate) holds: BTreeMap<IssueNumber, Vec<Hold>>,
    pub(crate) failed: usize,
    pub(crate) refused_as_stale: usize,
    pub(crate) repaired: usize,
    /// A sentence for each time that an issue was held twice.
    pub(crate) held_twice: Vec<String>,
}

impl Verdict {
    pub(crate) fn claims(&self) -> usize {
        self.holds.values().map(Vec::len).sum()
    }
}

/// Works out who held what and when, and whether that is ever two at a time. Three things count as held twice:
/// two check-ins as completed that were both accepted; a start while another token was neither done with nor fenced off;
/// and a start under a token that is not higher than the one before.
pub(crate) fn judge(entries: &[Entry]) -> Verdict {
    let mut verdict = Verdict::default();
    let mut completions: BTreeMap<IssueNumber, Vec<&str>> = BTreeMap::new();
    for entry in entries {
        match &entry.event {
            Event::Start { token, .. } => {
                verdict.holds.entry(entry.issue).or_default().push(hold(entry, *token, entries));
            }
            Event::Completed { .. } => completions.entry(entry.issue).or_default().push(&entry.worker),
            Event::Failed { .. } => verdict.failed += 1,
            Event::Lost { code, .. } if code == "STALE" => verdict.refused_as_stale += 1,
            Event::Repaired { .. } => verdict.repaired += 1,
            Event::End { .. } | Event::Lost { .. } => {}
        }
    }
    for (issue, workers) in completions.iter().filter(|(_, workers)| workers.len() > 1) {
        verdict.held_twice.push(format!("issue {issue} was completed by {}", workers.join(" and by ")));
    }
    for (issue, holds) in &mut verdict.holds {
        holds.sort_by_key(|hold| hold.start);
        verdict.held_twice.extend(overlaps(*issue, holds));
    }
    verdict
}

/// From a start to whatever came first: the command's end, its worker's last word on it, or the repair.
fn hold(start: &Entry, token: Token, entries: &[Entry]) -> Hold {
    let of_issue = || entries.iter().filter(|entry| entry.issue == start.issue);
    let ends = of_issue().filter(|entry| !matches!(entry.event, Event::Start { .. }) && entry.event.token() == token);
    Hold {
        worker: start.worker.clone(),
        token,
        repaired: of_issue().any(|entry| entry.event == Event::Repaired { token }),
        start: start.time,
        end: ends.map(|entry| entry.time).min(),
    }
}

/// Each hold against all that started before it.
fn overlaps(issue: IssueNumber, holds: &[Hold]) -> Vec<String> {
    let mut found = Vec::new();
    for (index, later) in holds.iter().enumerate() {
        for earlier in holds.iter().take(index) {
            if earlier.end.is_none_or(|end| end > later.start) {
                found.push(format!(
                    "issue {issue} was held by {} (token {}) while {} (token {}) still had it",
                    later.worker, later.token, earlier.worker, earlier.token
                ));
            }
            if later.token <= earlier.token {
                found.push(format!(
                    "issue {issue} went to {} under token {}, which is not higher than the {} of {} before",
                    later.worker, later.token, earlier.token, earlier.worker
                ));
            }
        }
    }
    found
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn entry(time: u64, worker: &str, event: Event) -> Entry {
        Entry { time, worker: worker.to_owned(), issue: IssueNumber::try_from(7).unwrap(), event }
    }

    fn token(number: u64) -> Token {
        Token::try_from(number).unwrap()
    }

    fn start(number: u64) -> Event {
        Event::Start { token: token(number), group: 1, runner: 1 }
    }

    fn end(number: u64) -> Event {
        Event::End { token: token(number) }
    }

    fn repaired(number: u64) -> Event {
        Event::Repaired { token: token(number) }
    }

    fn completed(number: u64) -> Event {
        Event::Completed { token: token(number) }
    }

    fn lost(number: u64, code: &str) -> Event {
        Event::Lost { token: token(number), code: code.to_owned(), message: String::new() }
    }

    fn failed(number: u64) -> Event {
        Event::Failed { token: token(number), reason: String::new(), dead: false }
    }

    #[test]
    fn one_after_another_is_not_twice() {
        let verdict = judge(&[
            entry(10, "a", start(1)),
            entry(20, "a", end(1)),
            entry(21, "a", failed(1)),
            entry(30, "b", start(2)),
            entry(40, "b", end(2)),
            entry(41, "b", completed(2)),
        ]);
        assert_eq!(verdict.held_twice, Vec::<String>::new());
        assert_eq!((verdict.claims(), verdict.failed), (2, 1));
    }

    #[test]
    fn a_frozen_worker_that_was_fenced_off_is_not_twice() {
        let verdict = judge(&[
            entry(10, "a", start(1)),
            entry(30, "demo", repaired(1)),
            entry(31, "b", start(2)),
            entry(39, "b", end(2)),
            entry(40, "b", completed(2)),
            entry(50, "a", end(1)),
            entry(51, "a", lost(1, "STALE")),
        ]);
        assert_eq!(verdict.held_twice, Vec::<String>::new());
        assert_eq!((verdict.repaired, verdict.refused_as_stale), (1, 1));
        let repaired: Vec<bool> = verdict.holds.values().flatten().map(|hold| hold.repaired).collect();
        assert_eq!(repaired, [true, false]);
    }

    #[test]
    fn two_at_a_time_is_twice() {
        let verdict = judge(&[
            entry(10, "a", start(1)),
            entry(15, "b", start(2)),
            entry(20, "a", end(1)),
            entry(25, "b", end(2)),
        ]);
        assert_eq!(verdict.held_twice, ["issue 7 was held by b (token 2) while a (token 1) still had it"]);
    }

    #[test]
    fn a_start_before_the_repair_is_twice() {
        let verdict = judge(&[entry(10, "a", start(1)), entry(15, "b", start(2)), entry(20, "demo", repaired(1))]);
        assert_eq!(verdict.held_twice.len(), 1);
    }

    #[test]
    fn a_holder_that_never_ended_is_still_there() {
        let verdict = judge(&[entry(10, "a", start(1)), entry(99, "b", start(2))]);
        assert_eq!(verdict.held_twice.len(), 1);
    }

    #[test]
    fn a_token_that_does_not_grow_is_twice() {
        let verdict = judge(&[
            entry(10, "a", start(5)),
            entry(20, "a", end(5)),
            entry(30, "b", start(4)),
            entry(40, "b", end(4)),
        ]);
        assert_eq!(verdict.held_twice, ["issue 7 went to b under token 4, which is not higher than the 5 of a before"]);
    }

    #[test]
    fn two_accepted_completions_are_twice() {
        let verdict = judge(&[entry(10, "a", completed(1)), entry(20, "b", completed(2))]);
        assert_eq!(verdict.held_twice, ["issue 7 was completed by a and by b"]);
    }

    #[test]
    fn the_order_of_the_lines_does_not_matter() {
        let mut entries =
            vec![entry(10, "a", start(1)), entry(15, "b", start(2)), entry(20, "a", end(1)), entry(25, "b", end(2))];
        entries.reverse();
        assert_eq!(judge(&entries).held_twice.len(), 1);
    }

    #[test]
    fn a_journal_is_read_as_it_grows() -> io::Result<()> {
        let dir = tempfile::tempdir()?;
        let path = dir.path().join("journal");
        let mut reader = Reader::open(&path)?;
        assert_eq!(reader.read::<Entry>()?, []);
        let first = entry(1, "a", start(1));
        append(&path, &first)?;
        assert_eq!(reader.read::<Entry>()?, [first]);
        let second = serde_json::to_string(&entry(2, "a", completed(1)))?;
        let (half, rest) = second.split_at(10);
        OpenOptions::new().append(true).open(&path)?.write_all(half.as_bytes())?;
        assert_eq!(reader.read::<Entry>()?, []);
        OpenOptions::new().append(true).open(&path)?.write_all(format!("{rest}\n").as_bytes())?;
        assert_eq!(reader.read::<Entry>()?.len(), 1);
        Ok(())
    }
}
