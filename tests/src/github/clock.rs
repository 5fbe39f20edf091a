//! The server's clock: the machine's, which tests can put forward instead of waiting for an hour to pass, or back.

use std::sync::Mutex;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// What the server takes for the time.
#[derive(Debug, Default)]
pub(super) struct Clock {
    ahead: Mutex<Duration>,
    behind: Mutex<Duration>,
}

impl Clock {
    /// The time, as exact as the machine has it.
    pub(super) fn now(&self) -> SystemTime {
        let of = |part: &Mutex<Duration>| *part.lock().expect("nobody panics with the clock");
        SystemTime::now() + of(&self.ahead) - of(&self.behind)
    }

    /// The time in whole seconds, as GitHub stamps things.
    pub(super) fn stamp(&self) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(seconds(self.now()))
    }

    /// Puts the clock forward.
    pub(super) fn advance(&self, by: Duration) {
        *self.ahead.lock().expect("nobody panics with the clock") += by;
    }

    /// Puts the clock back.
    pub(super) fn set_back(&self, by: Duration) {
        *self.behind.lock().expect("nobody panics with the clock") += by;
    }
}

/// Whole seconds since 1970.
pub(super) fn seconds(at: SystemTime) -> u64 {
    at.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// As GitHub writes times: `2026-01-31T12:00:00Z`.
pub(super) fn rfc3339(at: SystemTime) -> String {
    humantime::format_rfc3339_seconds(at).to_string()
}
