//! How much happened in the last minute, or hour.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

/// What happened in a time that ends now.
#[derive(Debug)]
pub(super) struct Window {
    length: Duration,
    events: VecDeque<(Instant, u32)>,
    sum: u32,
}

impl Window {
    pub(super) fn new(length: Duration) -> Self {
        Self { length, events: VecDeque::new(), sum: 0 }
    }

    /// When so much more fits, where at most `most` may be in one window.
    pub(super) fn due(&mut self, cost: u32, most: u32, now: Instant) -> Instant {
        self.tidy(now);
        let mut over = (self.sum + cost).saturating_sub(most);
        let mut due = now;
        for (at, cost) in &self.events {
            if over == 0 {
                break;
            }
            over = over.saturating_sub(*cost);
            due = *at + self.length;
        }
        due
    }

    pub(super) fn add(&mut self, cost: u32, now: Instant) {
        self.tidy(now);
        self.events.push_back((now, cost));
        self.sum += cost;
    }

    fn tidy(&mut self, now: Instant) {
        while let Some((_, cost)) = self.events.front().copied().filter(|(at, _)| *at + self.length <= now) {
            self.events.pop_front();
            self.sum = self.sum.saturating_sub(cost);
        }
    }
}
