//! Why a command was refused. A refusal changes nothing.

use std::fmt;

use crate::types::{EndedBy, Instant, IssueNumber, Outcome, Token};

/// A refused command. `Display` gives the whole error answer: the stable code, a space, one sentence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// The issue is checked out by someone else.
    Held {
        /// The issue.
        issue: IssueNumber,
        /// Who holds it.
        process: String,
        /// The holder's token.
        token: Token,
        /// When it was checked out.
        since: Instant,
    },
    /// `ONCE` was given and the issue was completed before.
    Done {
        /// The issue.
        issue: IssueNumber,
        /// When it was last completed.
        at: Instant,
    },
    /// The token is neither the holder's nor the last finisher's, or finished the issue differently.
    Stale {
        /// The issue.
        issue: IssueNumber,
        /// The token that was given.
        token: Token,
        /// What became of the issue instead.
        because: Stale,
    },
    /// The issue is unknown, or no token was given and nobody holds it.
    NotHeld {
        /// The issue.
        issue: IssueNumber,
    },
    /// This life of the process is not known.
    NoProcess {
        /// The name that was given.
        process: String,
    },
    /// Another life of that name is attested alive by its host agent.
    InUse {
        /// The name.
        process: String,
        /// When the other life was last attested.
        attested: Instant,
    },
    /// The holder is not an orphan.
    Alive {
        /// The issue.
        issue: IssueNumber,
        /// Who holds it.
        process: String,
    },
    /// The id of a new task is that of a task of another issue.
    OtherIssue {
        /// The id.
        task: String,
        /// The other issue.
        issue: IssueNumber,
    },
}

/// What makes a token stale.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stale {
    /// The issue's token is another one.
    Other(Token),
    /// The token's lease ended like this.
    Ended {
        /// Who ended it.
        by: EndedBy,
        /// As what.
        outcome: Outcome,
        /// When.
        at: Instant,
    },
}

impl Refusal {
    /// All codes, in the order of [`Refusal::code_index`].
    pub const CODES: [&'static str; 8] = ["HELD", "DONE", "STALE", "NOTHELD", "NOPROC", "INUSE", "ALIVE", "ERR"];

    /// Which of [`Refusal::CODES`] this is.
    pub const fn code_index(&self) -> usize {
        match self {
            Self::Held { .. } => 0,
            Self::Done { .. } => 1,
            Self::Stale { .. } => 2,
            Self::NotHeld { .. } => 3,
            Self::NoProcess { .. } => 4,
            Self::InUse { .. } => 5,
            Self::Alive { .. } => 6,
            Self::OtherIssue { .. } => 7,
        }
    }

    /// The first word of the error answer.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Held { .. } => "HELD",
            Self::Done { .. } => "DONE",
            Self::Stale { .. } => "STALE",
            Self::NotHeld { .. } => "NOTHELD",
            Self::NoProcess { .. } => "NOPROC",
            Self::InUse { .. } => "INUSE",
            Self::Alive { .. } => "ALIVE",
            Self::OtherIssue { .. } => "ERR",
        }
    }
}

// The texts name facts and never a way to take a lease from its holder: an agent that reads such a recipe follows it.
impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ", self.code())?;
        match self {
            Self::Held { issue, process, token, since } => {
                write!(f, "issue {issue} is checked out by {process} (token {token}) since {since}")
            }
            Self::Done { issue, at } => write!(f, "issue {issue} was completed at {at}"),
            Self::Stale { issue, token, because } => {
                write!(f, "token {token} of issue {issue} is no longer valid: {because}")
            }
            Self::NotHeld { issue } => write!(f, "issue {issue} is not checked out"),
            Self::NoProcess { process } => write!(f, "process {process} is not known here: stop its work"),
            Self::InUse { process, attested } => {
                write!(f, "another life of process {process} was seen alive on its host at {attested}")
            }
            Self::Alive { issue, process } => {
                write!(f, "issue {issue} is held by {process}, which is not an orphan")
            }
            Self::OtherIssue { task, issue } => {
                write!(f, "ID {task} is a task of issue {issue}: ids are unique among a project's tasks")
            }
        }
    }
}

impl fmt::Display for Stale {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Other(token) => write!(f, "the issue has token {token}"),
            Self::Ended { by, outcome, at } => {
                let ended = match by {
                    EndedBy::Checkin => "checked in",
                    EndedBy::Repair => "repaired",
                    EndedBy::Evict => "evicted",
                };
                write!(f, "it was {ended} as {outcome} at {at}")
            }
        }
    }
}

impl std::error::Error for Refusal {}
