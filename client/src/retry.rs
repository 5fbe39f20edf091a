//! Asking a server again that did not answer: pauses that grow, and one warning for all of them.

use std::time::Duration;

use poppo::Backoff;

use crate::output;

/// One time without a server, from the first failure on.
#[derive(Debug, Default)]
pub(crate) struct Retry {
    backoff: Backoff,
}

impl Retry {
    /// Whether anything failed yet.
    pub(crate) fn has_begun(&self) -> bool {
        self.backoff.count() > 0
    }

    /// How long to wait until the next attempt.
    pub(crate) fn pause(&mut self) -> Duration {
        self.backoff.pause()
    }

    /// Says what failed and what is done about it, the first time only.
    pub(crate) fn warn(&self, what: &str, then: &str) {
        if !self.has_begun() {
            output::say(&format!("{what}; {then}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_begins_with_the_first_pause() {
        let mut retry = Retry::default();
        assert!(!retry.has_begun());
        assert!(retry.pause() <= Duration::from_millis(100));
        assert!(retry.has_begun());
    }
}
