//! The words of the protocol that only a client has. Those that it shares with the server are the core's.

use std::fmt;
use std::str::FromStr;
use std::time::{Duration, SystemTime};

pub use poppo_core::{Cancelled, EndedBy, Invalid, IssueNumber, OrphanReason, Outcome, Status, Token};
use serde::Serialize;

impl From<Invalid> for crate::Error {
    fn from(invalid: Invalid) -> Self {
        Self::BadArgument(invalid.to_string())
    }
}

/// How a process is doing.
///
/// ```
/// use poppo::{OrphanReason, ProcessState};
///
/// assert_eq!("alive".parse(), Ok(ProcessState::Alive));
/// assert_eq!(ProcessState::Orphan(OrphanReason::Dead).as_str(), "dead");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ProcessState {
    /// Heard of in time.
    Alive,
    /// Its leases are orphans.
    Orphan(OrphanReason),
}

impl ProcessState {
    /// The word of the protocol: `alive`, or why its leases are orphans.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Alive => "alive",
            Self::Orphan(reason) => reason.as_str(),
        }
    }
}

impl fmt::Display for ProcessState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for ProcessState {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        match text {
            "alive" => Ok(Self::Alive),
            reason => reason.parse().map(Self::Orphan),
        }
    }
}

impl Serialize for ProcessState {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// What an entry of the project's log tells.
///
/// ```
/// use poppo::EventKind;
///
/// assert_eq!("checkin".parse(), Ok(EventKind::Checkin));
/// assert!(EventKind::ALL.iter().all(|kind| kind.as_str().parse() == Ok(*kind)));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum EventKind {
    /// Somebody has the issue.
    Checkout,
    /// Somebody has it instead of an orphan.
    Takeover,
    /// Its worker ended the lease.
    Checkin,
    /// An orphan's lease was ended.
    Repair,
    /// A lease was ended by hand.
    Evict,
    /// Every trace of the issue was removed.
    Forget,
    /// Somebody has it, by its task.
    Claim,
    /// A task was queued.
    Enqueue,
    /// A task failed for good.
    Dead,
    /// Tasks that waited were removed, or the holder was asked to stop.
    Cancel,
    /// A dead task waits again.
    Revive,
    /// It came from another project, or its task did, or that its task was finished there.
    Import,
    /// No event itself: those up to this one are no longer kept, so that a reader who asked for them missed something
    /// and should look at the whole project.
    Trimmed,
}

impl EventKind {
    /// All of them.
    pub const ALL: &'static [Self] = &[
        Self::Checkout,
        Self::Takeover,
        Self::Checkin,
        Self::Repair,
        Self::Evict,
        Self::Forget,
        Self::Claim,
        Self::Enqueue,
        Self::Dead,
        Self::Cancel,
        Self::Revive,
        Self::Import,
        Self::Trimmed,
    ];

    /// The word of the protocol.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Checkout => "checkout",
            Self::Takeover => "takeover",
            Self::Checkin => "checkin",
            Self::Repair => "repair",
            Self::Evict => "evict",
            Self::Forget => "forget",
            Self::Claim => "claim",
            Self::Enqueue => "enqueue",
            Self::Dead => "dead",
            Self::Cancel => "cancel",
            Self::Revive => "revive",
            Self::Import => "import",
            Self::Trimmed => "trimmed",
        }
    }
}

impl fmt::Display for EventKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for EventKind {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let kind = Self::ALL.iter().copied().find(|kind| kind.as_str() == text);
        kind.ok_or(Invalid::Word(
            "checkout, takeover, checkin, repair, evict, forget, claim, enqueue, dead, cancel, revive, import or trimmed",
        ))
    }
}

impl Serialize for EventKind {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// What the agent on a host says of a PID.
///
/// ```
/// use poppo::Verdict;
///
/// assert_eq!("dead".parse(), Ok(Verdict::Dead));
/// assert_eq!(Verdict::Alive.as_str(), "alive");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// It runs.
    Alive,
    /// It is gone.
    Dead,
}

impl Verdict {
    /// The word of the protocol, in lower case.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Alive => "alive",
            Self::Dead => "dead",
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Verdict {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        match text {
            "alive" => Ok(Self::Alive),
            "dead" => Ok(Self::Dead),
            _ => Err(Invalid::Word("alive or dead")),
        }
    }
}

/// What to do where there is nothing to answer yet.
///
/// Example: [`Holder::claim`](crate::Holder::claim), [`Project::events`](crate::Project::events).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Block {
    /// Answer nothing, at once.
    #[default]
    No,
    /// Wait for so long, at most 24 h; then answer nothing. Less than a millisecond counts as one.
    AtMost(Duration),
    /// Wait for as long as it takes. A connection that leads nowhere may never say so: who wants to notice that asks in
    /// rounds of [`AtMost`](Self::AtMost).
    Forever,
}

impl Block {
    /// As the protocol has it, where 0 is for ever.
    pub(crate) fn millis(self) -> Option<u64> {
        match self {
            Self::No => None,
            Self::AtMost(time) => Some(u64::try_from(time.as_millis()).unwrap_or(u64::MAX).max(1)),
            Self::Forever => Some(0),
        }
    }
}

/// A time of the server's clock, as it writes it: ISO-8601 UTC with milliseconds.
///
/// ```
/// use poppo::Timestamp;
/// use std::time::{Duration, UNIX_EPOCH};
///
/// let time = Timestamp::from("1970-01-01T00:01:00.500Z".to_owned());
/// assert_eq!(time.to_system_time(), Some(UNIX_EPOCH + Duration::from_millis(60_500)));
/// assert_eq!(time.as_str(), "1970-01-01T00:01:00.500Z");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Timestamp(String);

impl Timestamp {
    /// As the server wrote it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// As a time to compute with; none where it is not written as promised.
    #[must_use]
    pub fn to_system_time(&self) -> Option<SystemTime> {
        humantime::parse_rfc3339(&self.0).ok()
    }
}

impl From<String> for Timestamp {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// Where to go on reading a list. Only the server knows what is in it.
///
/// Example: [`Project`](crate::Project).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Cursor(pub(crate) String);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_alive_or_an_orphan_for_a_reason() {
        for word in ["alive", "expired", "dead", "replaced"] {
            assert_eq!(word.parse::<ProcessState>().map(ProcessState::as_str), Ok(word));
        }
        assert!("queued".parse::<ProcessState>().is_err());
    }

    #[test]
    fn events_and_verdicts_are_read_as_they_are_written() {
        for kind in EventKind::ALL {
            assert_eq!(kind.as_str().parse::<EventKind>(), Ok(*kind));
        }
        assert!("enqueued".parse::<EventKind>().is_err());
        for verdict in [Verdict::Alive, Verdict::Dead] {
            assert_eq!(verdict.as_str().parse::<Verdict>(), Ok(verdict));
        }
        assert!("asleep".parse::<Verdict>().is_err());
    }

    #[test]
    fn a_short_wait_never_turns_into_an_endless_one() {
        assert_eq!(Block::No.millis(), None);
        assert_eq!(Block::Forever.millis(), Some(0));
        assert_eq!(Block::AtMost(Duration::ZERO).millis(), Some(1));
        assert_eq!(Block::AtMost(Duration::from_micros(1_999)).millis(), Some(1));
        assert_eq!(Block::AtMost(Duration::MAX).millis(), Some(u64::MAX));
    }

    #[test]
    fn a_timestamp_can_be_computed_with() {
        let time = Timestamp("1970-01-01T00:00:01.500Z".to_owned());
        assert_eq!(time.to_system_time(), Some(SystemTime::UNIX_EPOCH + Duration::from_millis(1500)));
    }
}
