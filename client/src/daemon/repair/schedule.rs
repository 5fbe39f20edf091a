//! When an orphan is repaired: at once, or after a pause where its task has been lost before. Two daemons that look at the
//! same orphan come to the same result.

use std::time::{Duration, SystemTime};

use poppo::{Orphan, Repair};

use super::super::config::Policy;
use super::record::Record;

/// The longest pause.
const LONGEST: Duration = Duration::from_secs(3600);

/// What to do with orphans now, and when to look again.
#[derive(Debug)]
pub(super) struct Schedule<'a> {
    policy: Policy,
    backoff: Duration,
    /// Those whose time has come.
    pub(super) due: Vec<(&'a Orphan, Repair)>,
    /// In how long the next one's has.
    pub(super) next: Option<Duration>,
}

impl<'a> Schedule<'a> {
    pub(super) fn new(policy: Policy, backoff: Duration) -> Self {
        Self { policy, backoff, due: Vec::new(), next: None }
    }

    /// Whether it matters how often tasks were lost before.
    pub(super) fn asks_for_counts(&self) -> bool {
        self.policy == Policy::Requeue
    }

    /// Decides over an orphan whose task was lost so often before.
    pub(super) fn add(&mut self, orphan: &'a Orphan, count: u64, now: SystemTime, record: &Record) {
        let since = orphan.since.as_ref().and_then(|since| since.to_system_time());
        // A clock that stepped back makes nobody wait for longer than the pause.
        let waited = since.map_or(Duration::MAX, |since| now.duration_since(since).unwrap_or_default());
        match pause(self.backoff, count).checked_sub(waited) {
            Some(left) if self.policy == Policy::Requeue && !left.is_zero() => {
                self.next = Some(self.next.map_or(left, |next| next.min(left)));
            }
            _ => {
                let mut repair = Repair::new(orphan.issue, orphan.token);
                repair.requeue = self.policy == Policy::Requeue;
                repair.reason = Some(record.to_string());
                self.due.push((orphan, repair));
            }
        }
    }
}

/// How long an orphan waits whose task was lost so often before: not at all the first time, then twice as long each time.
fn pause(backoff: Duration, count: u64) -> Duration {
    let Some(doublings) = count.checked_sub(1) else { return Duration::ZERO };
    let factor = u32::try_from(doublings).ok().and_then(|doublings| 1_u32.checked_shl(doublings)).unwrap_or(u32::MAX);
    backoff.saturating_mul(factor).min(LONGEST.max(backoff))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use poppo::{OrphanReason, Timestamp};

    use super::*;

    const BACKOFF: Duration = Duration::from_secs(30);

    fn orphan() -> Orphan {
        Orphan {
            issue: 7.try_into().unwrap(),
            token: 9.try_into().unwrap(),
            process: "w".to_owned(),
            pid: Some(17),
            host: Some("h".to_owned()),
            task_type: None,
            reason: OrphanReason::Dead,
            since: Some(Timestamp::from("2026-01-01T00:00:00.000Z".to_owned())),
            last_seen: None,
        }
    }

    /// How many are due, and in how many seconds the next is, so long after it became an orphan.
    fn after(policy: Policy, count: u64, seconds: u64) -> (usize, Option<u64>) {
        let orphan = orphan();
        let since = orphan.since.as_ref().unwrap().to_system_time().unwrap();
        let mut schedule = Schedule::new(policy, BACKOFF);
        schedule.add(&orphan, count, since + Duration::from_secs(seconds), &Record::of(&orphan, "h"));
        (schedule.due.len(), schedule.next.map(|next| next.as_secs()))
    }

    #[test]
    fn pauses_double_from_the_second_loss_on() {
        let seconds = |count| pause(BACKOFF, count).as_secs();
        assert_eq!([0, 1, 2, 3, 4].map(seconds), [0, 30, 60, 120, 240]);
        assert_eq!([20, 64, u64::MAX].map(seconds), [3600; 3]);
    }

    #[test]
    fn the_first_loss_is_repaired_at_once_and_the_next_ones_after_a_pause() {
        assert_eq!(after(Policy::Requeue, 0, 0), (1, None));
        assert_eq!(after(Policy::Requeue, 1, 10), (0, Some(20)));
        assert_eq!(after(Policy::Requeue, 2, 10), (0, Some(50)));
        assert_eq!(after(Policy::Requeue, 2, 60), (1, None));
    }

    #[test]
    fn what_is_given_up_waits_for_nothing() {
        assert_eq!(after(Policy::Error, 2, 0), (1, None));
        let orphan = orphan();
        let mut schedule = Schedule::new(Policy::Error, BACKOFF);
        schedule.add(&orphan, 0, SystemTime::now(), &Record::of(&orphan, "me"));
        let (_, repair) = schedule.due.first().unwrap();
        assert!(!repair.requeue && repair.outcome.is_none());
        let reason = "daemon@me: dead, PID 17, on h, since 2026-01-01T00:00:00.000Z";
        assert_eq!(repair.reason.as_deref(), Some(reason));
    }
}
