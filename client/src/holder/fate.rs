//! Why the work under a lease has to stop, and what a holder has to say while it keeps its leases.

use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::spool::Delivered;
use crate::types::{IssueNumber, Token};

/// Why the work under a lease has to stop.
///
/// Example: [`Lease`](crate::Lease), [`Lease::release`](crate::Lease::release).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fate {
    /// The lease is gone, or may be: the issue may be another's by now, and a report would be refused.
    Lost {
        /// The server's code where it refused something, such as `NOPROC`, else `LOST`.
        code: String,
        /// What happened, as the end of a sentence that begins with the issue.
        why: String,
    },
    /// Somebody asked for it with CANCEL: to be checked in with [`Lease::cancel`](crate::Lease::cancel).
    Cancelled,
    /// The [`Worker`](crate::Worker) that does this was told to stop at once: to be given back with
    /// [`Lease::release`](crate::Lease::release).
    Stopped,
}

impl fmt::Display for Fate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lost { why, .. } => f.write_str(why),
            Self::Cancelled => f.write_str("was cancelled by somebody"),
            Self::Stopped => f.write_str("is to be given back, since its worker stops"),
        }
    }
}

/// The fate of one lease, and the token that tells of it.
#[derive(Debug, Clone, Default)]
pub(super) struct Destiny {
    fate: Arc<Mutex<Option<Fate>>>,
    pub(super) token: CancellationToken,
}

impl Destiny {
    /// The first fate counts, but for a lease that is lost after it was to stop for another reason.
    pub(super) fn end(&self, fate: Fate) {
        let mut place = self.fate.lock().unwrap_or_else(PoisonError::into_inner);
        let is_news = match &*place {
            None => true,
            Some(before) => !matches!(before, Fate::Lost { .. }) && matches!(fate, Fate::Lost { .. }),
        };
        if is_news {
            *place = Some(fate);
        }
        drop(place);
        self.token.cancel();
    }

    pub(super) fn get(&self) -> Option<Fate> {
        self.fate.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Something that a [`Holder`](crate::Holder) met with and went on from. It is for a log: nothing needs to be done.
///
/// Example: [`Holder::on_notice`](crate::Holder::on_notice).
#[derive(Debug)]
#[non_exhaustive]
pub enum Notice {
    /// A heartbeat was not answered.
    Away {
        /// What happened.
        error: String,
    },
    /// A check-in was not answered, and is repeated.
    NotReported {
        /// Of this issue.
        issue: IssueNumber,
        /// What happened.
        error: String,
        /// Where it is kept meanwhile.
        kept: Option<PathBuf>,
    },
    /// A claim was not answered, and is repeated.
    NotClaimed {
        /// What happened.
        error: String,
    },
    /// A claim was broken off, and whether it was granted could not be asked. If it was, its lease ends by silence.
    InDoubt {
        /// What happened.
        error: String,
    },
    /// The server answers again.
    Back,
    /// The server lost its data, and the leases with it: it does not know this process any more.
    Unknown {
        /// The process.
        process: String,
    },
    /// What was asked was done, but there are fewer copies of it than were to be waited for; said once a minute at most.
    Unconfirmed {
        /// What was asked, and what is missing.
        error: String,
    },
    /// A check-in could not be kept on disk.
    NotKept {
        /// Of this issue.
        issue: IssueNumber,
        /// What happened.
        error: String,
    },
    /// A result was refused, and the issue checked in without it.
    WithoutResult {
        /// Of this issue.
        issue: IssueNumber,
        /// What the server said of it.
        why: String,
    },
    /// A lease that was ours and that nobody worked on was given back.
    GivenBack {
        /// Of this issue.
        issue: IssueNumber,
        /// Under this token.
        token: Token,
        /// Why that failed, where it did; it is tried again.
        error: Option<String>,
    },
    /// The report on a lease that was dropped was refused.
    Refused {
        /// Of this issue.
        issue: IssueNumber,
        /// What the server said.
        why: String,
    },
    /// A report was done with that had been kept on disk.
    Delivered(Box<Delivered>),
    /// What is kept on disk could not be delivered.
    NotDelivered {
        /// What happened.
        error: String,
    },
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Away { error } => write!(f, "{error}; trying again while the lease lasts"),
            Self::NotReported { issue, error, kept: None } => {
                write!(f, "issue {issue} is not checked in yet: {error}; trying again until it answers")
            }
            Self::NotReported { issue, error, kept: Some(file) } => write!(
                f,
                "issue {issue} is not checked in yet: {error}; trying again until it answers, and kept in {}",
                file.display()
            ),
            Self::NotClaimed { error } => write!(f, "{error}; waiting for it"),
            Self::InDoubt { error } => write!(f, "a claim may have been granted in vain: {error}"),
            Self::Unknown { process } => write!(
                f,
                "the server does not know {process} any more: it lost its data, and the leases with it; going on"
            ),
            Self::Back => f.write_str("the server answers again"),
            Self::Unconfirmed { error } => write!(f, "{error}; going on"),
            Self::NotKept { issue, error } => {
                write!(f, "the check-in of issue {issue} cannot be kept on disk: {error}")
            }
            Self::WithoutResult { issue, why } => {
                write!(f, "issue {issue}: checked in without its result, which was refused: {why}")
            }
            Self::GivenBack { issue, token, error: None } => {
                write!(f, "issue {issue} (token {token}) was ours and nobody worked on it: given back")
            }
            Self::GivenBack { issue, token, error: Some(error) } => {
                write!(f, "issue {issue} (token {token}) is ours and nobody works on it: {error}")
            }
            Self::Refused { issue, why } => write!(f, "the check-in of issue {issue} was refused: {why}"),
            Self::Delivered(delivered) => delivered.fmt(f),
            Self::NotDelivered { error } => write!(f, "check-ins that were kept cannot be delivered: {error}"),
        }
    }
}

impl fmt::Display for Delivered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Accepted(entry) => {
                write!(f, "issue {} is checked in as {} (kept since {})", entry.issue, entry.status, entry.at)
            }
            Self::Refused(entry, refusal) => write!(
                f,
                "issue {} is not checked in as {} (kept since {}): {refusal}",
                entry.issue, entry.status, entry.at
            ),
            Self::SetAside { file, why } => write!(f, "{} was set aside: {why}", file.display()),
        }
    }
}

/// `30m`, `1.5s`: for messages.
pub(super) fn words(time: Duration) -> String {
    // Below a second, nobody wants to read of nanoseconds.
    humantime::format_duration(Duration::from_millis(u64::try_from(time.as_millis()).unwrap_or(u64::MAX))).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_fate_counts_unless_the_lease_is_lost() {
        let lost = || Fate::Lost { code: "LOST".to_owned(), why: "gone".to_owned() };
        let destiny = Destiny::default();
        assert_eq!(destiny.get(), None);
        destiny.end(Fate::Cancelled);
        destiny.end(Fate::Stopped);
        assert_eq!(destiny.get(), Some(Fate::Cancelled));
        assert!(destiny.token.is_cancelled());
        destiny.end(lost());
        destiny.end(Fate::Cancelled);
        assert_eq!(destiny.get(), Some(lost()));
    }
}
