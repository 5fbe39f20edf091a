//! What workers and operators write down, line by line, so that it outlives them.

use std::fmt;
use std::fs::File;
use std::io::Write as _;
use std::path::Path;

/// Something that somebody asked or was told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Note {
    /// A task was to be queued; none: no answer came.
    Enqueue {
        /// Its id.
        task: String,
        /// For how many ms it was to wait.
        delay: u64,
        /// Whether it was queued.
        answer: Option<bool>,
    },
    /// A lease.
    Granted {
        /// To whom.
        process: String,
        /// The issue.
        issue: i64,
        /// The token.
        token: i64,
        /// The task; none where an issue was checked out that has none, or nobody said.
        task: Option<String>,
        /// How many runs failed before.
        attempts: i64,
    },
    /// The work itself, written after it was done and before it was reported.
    Did {
        /// The issue.
        issue: i64,
        /// The token.
        token: i64,
        /// The task.
        task: Option<String>,
    },
    /// A check-in, before it was sent.
    Asked {
        /// The issue.
        issue: i64,
        /// The token.
        token: i64,
        /// How it ended.
        status: String,
        /// After how many ms it was to be tried again.
        retry: Option<u64>,
    },
    /// What a check-in was answered: `OK` or the code of a refusal.
    Told {
        /// The issue.
        issue: i64,
        /// The token.
        token: i64,
        /// The answer.
        answer: String,
    },
    /// A lease that the server says the process holds, and the process never heard of.
    Stray {
        /// The process.
        process: String,
        /// The token.
        token: i64,
    },
    /// A lease that somebody else ended.
    Ended {
        /// The token.
        token: i64,
        /// `repair` or `evict`.
        what: String,
        /// The status that was answered.
        answer: String,
    },
}

fn or_dash(value: Option<&impl ToString>) -> String {
    value.map_or_else(|| "-".to_owned(), ToString::to_string)
}

fn dashed(word: &str) -> Option<String> {
    (word != "-").then(|| word.to_owned())
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Enqueue { task, delay, answer } => write!(f, "enqueue {task} {delay} {}", or_dash(answer.as_ref())),
            Self::Granted { process, issue, token, task, attempts } => {
                write!(f, "granted {process} {issue} {token} {} {attempts}", or_dash(task.as_ref()))
            }
            Self::Did { issue, token, task } => write!(f, "did {issue} {token} {}", or_dash(task.as_ref())),
            Self::Asked { issue, token, status, retry } => {
                write!(f, "asked {issue} {token} {status} {}", or_dash(retry.as_ref()))
            }
            Self::Told { issue, token, answer } => write!(f, "told {issue} {token} {answer}"),
            Self::Stray { process, token } => write!(f, "stray {process} {token}"),
            Self::Ended { token, what, answer } => write!(f, "ended {token} {what} {answer}"),
        }
    }
}

impl Note {
    pub(super) fn parse(line: &str) -> Option<Self> {
        let words: Vec<&str> = line.split(' ').collect();
        Some(match words.as_slice() {
            ["enqueue", task, delay, answer] => Self::Enqueue {
                task: (*task).to_owned(),
                delay: delay.parse().ok()?,
                answer: dashed(answer).map(|answer| answer == "true"),
            },
            ["granted", process, issue, token, task, attempts] => Self::Granted {
                process: (*process).to_owned(),
                issue: issue.parse().ok()?,
                token: token.parse().ok()?,
                task: dashed(task),
                attempts: attempts.parse().ok()?,
            },
            ["did", issue, token, task] => {
                Self::Did { issue: issue.parse().ok()?, token: token.parse().ok()?, task: dashed(task) }
            }
            ["asked", issue, token, status, retry] => Self::Asked {
                issue: issue.parse().ok()?,
                token: token.parse().ok()?,
                status: (*status).to_owned(),
                retry: dashed(retry).and_then(|retry| retry.parse().ok()),
            },
            ["told", issue, token, answer] => {
                Self::Told { issue: issue.parse().ok()?, token: token.parse().ok()?, answer: (*answer).to_owned() }
            }
            ["stray", process, token] => Self::Stray { process: (*process).to_owned(), token: token.parse().ok()? },
            ["ended", token, what, answer] => {
                Self::Ended { token: token.parse().ok()?, what: (*what).to_owned(), answer: (*answer).to_owned() }
            }
            _ => return None,
        })
    }
}

/// The notes in a file. Who is killed while writing leaves half a line, which says nothing.
pub fn read_notes(path: &Path) -> Vec<Note> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let whole = text.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n'));
    whole.map(|line| Note::parse(line).unwrap_or_else(|| panic!("{}: {line}", path.display()))).collect()
}

/// Where somebody keeps notes.
#[derive(Debug)]
pub enum Ledger {
    /// For who is killed by kill(2).
    File(File),
    /// For who only plays dead.
    Memory(Vec<Note>),
}

impl Ledger {
    /// A file that is only ever appended to.
    pub fn open(path: &Path) -> std::io::Result<Self> {
        File::options().create(true).append(true).open(path).map(Self::File)
    }

    /// Writes one down. Work is on the disk before anybody is told of it.
    pub fn note(&mut self, note: Note) {
        match self {
            Self::Memory(notes) => notes.push(note),
            Self::File(file) => {
                file.write_all(format!("{note}\n").as_bytes()).expect("the ledger can be written");
                if matches!(note, Note::Did { .. }) {
                    file.sync_data().expect("the ledger can be written");
                }
            }
        }
    }

    /// What was noted here in memory.
    pub fn into_notes(self) -> Vec<Note> {
        match self {
            Self::Memory(notes) => notes,
            Self::File(_) => Vec::new(),
        }
    }
}
