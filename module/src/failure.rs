//! Why a command gets an error for an answer, and what that answer says.

use poppo_core::Refusal;
use poppo_core::commands::Bad;
use redis_module::RedisError;

use crate::ffi::Closed;
use crate::guard::Panicked;

/// Why a command gets an error for an answer.
#[derive(Debug)]
pub(crate) enum Failure {
    Bad(Bad),
    WrongType,
    Unreadable,
    Refused(Refusal),
    Panicked,
}

impl From<Bad> for Failure {
    fn from(bad: Bad) -> Self {
        Self::Bad(bad)
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<Panicked> for Failure {
    fn from(_: Panicked) -> Self {
        Self::Panicked
    }
}

impl From<Closed> for Failure {
    fn from(closed: Closed) -> Self {
        match closed {
            Closed::WrongType => Self::WrongType,
            Closed::Unreadable => Self::Unreadable,
        }
    }
}

impl Failure {
    /// What a log entry says of it.
    pub(crate) fn describe(&self) -> String {
        match self {
            Self::Bad(bad) => bad.0.clone(),
            Self::WrongType => "the key holds another type".to_owned(),
            Self::Unreadable => "the project could not be read".to_owned(),
            Self::Refused(refusal) => refusal.to_string(),
            Self::Panicked => "internal error".to_owned(),
        }
    }
}

impl From<Failure> for RedisError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Bad(Bad(text)) => Self::String(format!("ERR {text}")),
            Failure::WrongType => Self::WrongType,
            Failure::Unreadable => Self::Str(
                "ERR the project could not be read when it was loaded; the server's log says why. Nothing was changed",
            ),
            Failure::Refused(refusal) => Self::String(refusal.to_string()),
            Failure::Panicked => Self::Str("ERR internal error: nothing was changed; the server's log says where"),
        }
    }
}
