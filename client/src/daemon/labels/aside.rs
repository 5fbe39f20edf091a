//! Issues whose labels GitHub does not take for a reason of their own: they are tried again later, and hold up no other.

use std::collections::BTreeMap;
use std::time::Duration;

use poppo::{Backoff, IssueNumber};
use tokio::time::Instant;

/// The pauses before an issue is tried again.
const PAUSES: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(10 * 60));

/// Issues that are set aside.
#[derive(Debug, Default)]
pub(super) struct Aside {
    issues: BTreeMap<IssueNumber, (Backoff, Instant)>,
}

impl Aside {
    /// Sets an issue aside. Whether it is the first time.
    pub(super) fn put(&mut self, issue: IssueNumber) -> bool {
        let now = Instant::now();
        let entry = self.issues.entry(issue).or_insert_with(|| (Backoff::new(PAUSES.0, PAUSES.1), now));
        let is_first = entry.0.count() == 0;
        entry.1 = now + entry.0.pause();
        is_first
    }

    /// It went well.
    pub(super) fn clear(&mut self, issue: IssueNumber) {
        self.issues.remove(&issue);
    }

    /// Whether it is still to wait.
    pub(super) fn has(&self, issue: IssueNumber) -> bool {
        self.issues.get(&issue).is_some_and(|(_, until)| *until > Instant::now())
    }

    /// When the first of those that wait is to be tried again.
    pub(super) fn next(&self) -> Option<Instant> {
        let now = Instant::now();
        self.issues.values().map(|(_, until)| *until).filter(|until| *until > now).min()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_issue_waits_longer_each_time() {
        let (mut aside, issue) = (Aside::default(), IssueNumber::try_from(7).unwrap());
        assert!(!aside.has(issue) && aside.next().is_none());
        assert!(aside.put(issue));
        let first = aside.next().unwrap() - Instant::now();
        tokio::time::sleep_until(aside.next().unwrap()).await;
        assert!(!aside.has(issue));
        assert!(!aside.put(issue));
        assert!(aside.next().unwrap() - Instant::now() >= first);
        aside.clear(issue);
        assert!(!aside.has(issue));
    }
}
