//! Pauses between attempts: longer each time up to a limit, and never the same for all who wait.

use std::time::Duration;

use crate::random;

/// Pauses that grow. Each is drawn from the upper half of what it may be at most, so that those who lost one server at the
/// same moment do not all come back at the same moment.
///
/// ```
/// use std::time::Duration;
/// use poppo::Backoff;
///
/// let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(5));
/// assert!(backoff.pause() <= Duration::from_millis(100));
/// assert!((Duration::from_millis(100)..=Duration::from_millis(200)).contains(&backoff.pause()));
/// ```
#[derive(Debug, Clone)]
pub struct Backoff {
    first: Duration,
    longest: Duration,
    count: u32,
}

impl Backoff {
    /// Pauses of at most `first`, then of at most twice as long each time, up to `longest`.
    ///
    /// Example: [`Backoff`].
    #[must_use]
    pub fn new(first: Duration, longest: Duration) -> Self {
        Self { first, longest, count: 0 }
    }

    /// As if so many pauses had been made already.
    ///
    /// ```
    /// use std::time::Duration;
    /// use poppo::Backoff;
    ///
    /// // As after two pauses: the third may be up to four times as long as the first.
    /// let mut backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(60)).after(2);
    /// assert!((Duration::from_secs(2)..=Duration::from_secs(4)).contains(&backoff.pause()));
    /// assert_eq!(backoff.count(), 3);
    /// ```
    #[must_use]
    pub fn after(mut self, count: u32) -> Self {
        self.count = count;
        self
    }

    /// How many pauses there were.
    ///
    /// Example: [`after`](Self::after).
    #[must_use]
    pub fn count(&self) -> u32 {
        self.count
    }

    /// The next pause.
    ///
    /// Example: [`Backoff`].
    pub fn pause(&mut self) -> Duration {
        let factor = 1_u32.checked_shl(self.count).unwrap_or(u32::MAX);
        let most = self.first.saturating_mul(factor).min(self.longest);
        self.count = self.count.saturating_add(1);
        most.mul_f64(0.5 + random::fraction() / 2.0)
    }
}

impl Default for Backoff {
    /// For a server that does not answer: from 0.1 s to 5 s.
    fn default() -> Self {
        Self::new(Duration::from_millis(100), Duration::from_secs(5))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_up_to_a_limit() {
        let mut backoff = Backoff::default();
        let most = [100, 200, 400, 800, 1600, 3200, 5000, 5000].map(Duration::from_millis);
        for most in most {
            let pause = backoff.pause();
            assert!((most / 2..=most).contains(&pause), "{pause:?} of {most:?}");
        }
        assert_eq!(backoff.count(), 8);
    }

    #[test]
    fn no_count_is_too_high() {
        let longest = Duration::from_secs(5);
        for count in [31, 32, 33, u32::MAX] {
            assert!(Backoff::default().after(count).pause() >= longest / 2);
        }
        assert!(Backoff::new(Duration::MAX, longest).after(40).pause() <= longest);
    }
}
