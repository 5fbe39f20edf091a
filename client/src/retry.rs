//! Asking a server again that did not answer: pauses that grow, and one warning for all of them.

use std::time::Duration;

use crate::output;

/// The first pause before a server that did not answer is asked again; doubled each time.
const FIRST: Duration = Duration::from_millis(100);
/// The longest such pause.
const LONGEST: Duration = Duration::from_secs(5);

/// One time without a server, from the first failure on.
#[derive(Debug, Default)]
pub(crate) struct Retry {
    count: u32,
}

impl Retry {
    /// Whether anything failed yet.
    pub(crate) fn has_begun(&self) -> bool {
        self.count > 0
    }

    /// How long to wait until the next attempt.
    pub(crate) fn pause(&mut self) -> Duration {
        let pause = FIRST.saturating_mul(1 << self.count.min(10)).min(LONGEST);
        self.count = self.count.saturating_add(1);
        pause
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
    fn pauses_grow_up_to_a_limit() {
        let mut retry = Retry::default();
        assert!(!retry.has_begun());
        let pauses: Vec<u128> = (0..8).map(|_| retry.pause().as_millis()).collect();
        assert_eq!(pauses, [100, 200, 400, 800, 1600, 3200, 5000, 5000]);
        assert!(retry.has_begun());
    }
}
