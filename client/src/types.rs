//! The words of the protocol that only a client has. Those that it shares with the server are the core's.

use std::fmt;
use std::str::FromStr;
use std::time::SystemTime;

pub use poppo_core::{EndedBy, Invalid, IssueNumber, OrphanReason, Outcome, Status, Token};
use serde::Serialize;

impl From<Invalid> for crate::Error {
    fn from(invalid: Invalid) -> Self {
        Self::BadArgument(invalid.to_string())
    }
}

/// How a process is doing.
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

/// A time of the server's clock, as it writes it: ISO-8601 UTC with milliseconds.
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
    fn a_timestamp_can_be_computed_with() {
        let time = Timestamp("1970-01-01T00:00:01.500Z".to_owned());
        assert_eq!(time.to_system_time(), Some(SystemTime::UNIX_EPOCH + std::time::Duration::from_millis(1500)));
    }
}
