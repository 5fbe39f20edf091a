//! A primary limit: so many requests until its reset.

use std::time::Duration;

use tokio::time::Instant;

use super::super::told::Gauge;

/// For so long after a reset by our clock, GitHub's may not be there yet.
const LATE: Duration = Duration::from_secs(1);

/// What is left of a primary limit.
#[derive(Debug)]
pub(super) struct Budget {
    /// What is not ours, in percent.
    reserve: u8,
    known: Option<Known>,
    /// When the next request is due, where what is left has to last.
    next: Option<Instant>,
    /// How many are under way.
    running: u32,
}

#[derive(Debug)]
struct Known {
    limit: u32,
    /// As GitHub said last, less what was sent since.
    remaining: u32,
    reset: Instant,
    /// The number of the request whose answer said so.
    by: u64,
}

impl Budget {
    pub(super) fn new(reserve: u8) -> Self {
        Self { reserve: reserve.min(90), known: None, next: None, running: 0 }
    }

    /// When the next request may be sent: now while there is plenty, then spread until the reset, and none of the reserve.
    pub(super) fn due(&mut self, now: Instant) -> Instant {
        self.forget_after_reset(now);
        let Some(known) = &self.known else { return now };
        if known.spare(self.reserve) == 0 {
            return known.reset;
        }
        self.next.filter(|_| known.is_scarce()).map_or(now, |next| next.max(now))
    }

    pub(super) fn began(&mut self, now: Instant) {
        self.running += 1;
        if let Some(known) = &mut self.known {
            let apart = known.reset.saturating_duration_since(now) / known.spare(self.reserve).max(1);
            self.next = Some(now + apart);
            known.remaining = known.remaining.saturating_sub(1);
        }
    }

    pub(super) fn ended(&mut self) {
        self.running = self.running.saturating_sub(1);
    }

    /// What had not changed is not counted.
    pub(super) fn was_free(&mut self) {
        if let Some(known) = &mut self.known {
            known.remaining = known.remaining.saturating_add(1).min(known.limit);
        }
    }

    /// Takes what the answer to a request says. Answers overtake each other: the one to the latest request counts, unless
    /// another window has begun. What else is under way may not be in it.
    pub(super) fn learn(&mut self, number: u64, gauge: Gauge, now: Instant) {
        self.forget_after_reset(now);
        let reset = now + gauge.reset_in + LATE;
        let is_newer = self.known.as_ref().is_none_or(|known| known.by < number || known.reset + LATE * 5 < reset);
        // The one whose answer this is runs until its permit is dropped.
        let others = self.running.saturating_sub(1);
        if is_newer {
            let remaining = gauge.remaining.saturating_sub(others);
            self.known = Some(Known { limit: gauge.limit, remaining, reset, by: number });
        }
    }

    pub(super) fn left(&mut self, now: Instant) -> Option<(u32, u32)> {
        self.forget_after_reset(now);
        self.known.as_ref().map(|known| (known.remaining, known.limit))
    }

    fn forget_after_reset(&mut self, now: Instant) {
        self.known.take_if(|known| known.reset <= now);
    }
}

impl Known {
    /// What may still be sent, so that `reserve` percent of the limit are left.
    fn spare(&self, reserve: u8) -> u32 {
        let reserved = u64::from(self.limit) * u64::from(reserve) / 100;
        self.remaining.saturating_sub(u32::try_from(reserved).unwrap_or(u32::MAX))
    }

    /// Whether what is left has to be spread.
    fn is_scarce(&self) -> bool {
        self.remaining <= self.limit / 2
    }
}
