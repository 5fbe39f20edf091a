//! What a project counts: totals since its creation and histograms of durations.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::types::{EndedBy, HIGHEST_STORED, MAX_INTEGER, Millis, OrphanReason, Outcome};

/// Totals since the project's creation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Totals {
    /// New leases; a repeated checkout of one's own issue is not one.
    pub checkouts: u64,
    /// Check-ins, by [`Outcome`].
    #[serde(with = "by_outcome")]
    pub checkins: [u64; Outcome::ALL.len()],
    /// Heartbeats answered.
    pub heartbeats: u64,
    /// Leases repaired or taken over, by [`OrphanReason`].
    #[serde(with = "by_reason")]
    pub repairs: [u64; OrphanReason::ALL.len()],
    /// Leases taken over by a checkout.
    pub takeovers: u64,
    /// Leases ended by hand.
    pub evictions: u64,
    /// What happened to tasks.
    pub tasks: TaskTotals,
}

/// What happened to tasks since the project's creation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TaskTotals {
    /// Tasks that were queued.
    pub enqueued: u64,
    /// Tasks that were claimed; one that a checkout by number took is not.
    pub claimed: u64,
    /// Tasks that were finished.
    pub finished: u64,
    /// Failed ones that were queued again.
    pub retried: u64,
    /// Orphans' that were queued again.
    pub requeued: u64,
    /// Tasks that were given up on purpose.
    pub cancelled: u64,
    /// Tasks that went to the dead set.
    pub dead: u64,
    /// Dead ones that were queued again.
    pub revived: u64,
}

/// Counts by word: side by side for machines, each with its word for people.
macro_rules! by_word {
    ($module:ident, $words:ident) => {
        mod $module {
            use super::*;

            const WORDS: usize = $words::ALL.len();

            pub(super) fn serialize<S: Serializer>(counts: &[u64; WORDS], serializer: S) -> Result<S::Ok, S::Error> {
                if serializer.is_human_readable() {
                    serializer.collect_map($words::ALL.iter().zip(counts))
                } else {
                    counts.serialize(serializer)
                }
            }

            pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<[u64; WORDS], D::Error> {
                if !deserializer.is_human_readable() {
                    return <[u64; WORDS]>::deserialize(deserializer);
                }
                let mut counts = [0; WORDS];
                for (word, count) in BTreeMap::<$words, u64>::deserialize(deserializer)? {
                    *counts.get_mut(word as usize).ok_or_else(|| de::Error::custom("no such word"))? = count;
                }
                Ok(counts)
            }
        }
    };
}

by_word!(by_outcome, Outcome);
by_word!(by_reason, OrphanReason);

impl Totals {
    /// Whether every count can go on growing, as it must after reading a stored one.
    pub(crate) fn is_consistent(&self) -> bool {
        let Self { checkouts, checkins, heartbeats, repairs, takeovers, evictions, tasks } = self;
        let TaskTotals { enqueued, claimed, finished, retried, requeued, cancelled, dead, revived } = tasks;
        let single = [checkouts, heartbeats, takeovers, evictions];
        let tasks = [enqueued, claimed, finished, retried, requeued, cancelled, dead, revived];
        let mut all = single.into_iter().chain(checkins).chain(repairs).chain(tasks);
        all.all(|count| *count <= HIGHEST_STORED)
    }

    pub(crate) fn count_repair(&mut self, reason: OrphanReason) {
        if let Some(count) = self.repairs.get_mut(reason as usize) {
            *count += 1;
        }
    }

    pub(crate) fn count_end(&mut self, by: EndedBy, outcome: Outcome) {
        match by {
            EndedBy::Checkin => {
                if let Some(count) = self.checkins.get_mut(outcome as usize) {
                    *count += 1;
                }
            }
            EndedBy::Evict => self.evictions += 1,
            EndedBy::Repair => {}
        }
    }
}

/// How many durations fell where: buckets an eighth of a power of two wide, so that percentiles are within 12.5 %.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Histogram {
    buckets: BTreeMap<u16, u64>,
    count: u64,
    sum: u64,
    max: u64,
}

/// What [`Histogram::record`] changed, to take it back.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Recorded {
    bucket: u16,
    sum: u64,
    max: u64,
}

/// The figures of a histogram.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Durations {
    /// How many durations were recorded.
    pub count: u64,
    /// All of them together.
    pub sum: Millis,
    /// Their mean.
    pub mean: Millis,
    /// Half of them are at most this.
    pub p50: Millis,
    /// 99 of 100 of them are at most this.
    pub p99: Millis,
    /// How many were shorter than each of [`Durations::BOUNDS`], and not than the one before it.
    pub buckets: [u64; Durations::BOUNDS.len()],
}

impl Durations {
    /// From a millisecond to three days, each four times the one before it. They are edges of the buckets that durations are
    /// recorded in, so the counts are exact.
    pub const BOUNDS: [Millis; 15] = [
        Millis(1),
        Millis(4),
        Millis(16),
        Millis(64),
        Millis(1 << 8),
        Millis(1 << 10),
        Millis(1 << 12),
        Millis(1 << 14),
        Millis(1 << 16),
        Millis(1 << 18),
        Millis(1 << 20),
        Millis(1 << 22),
        Millis(1 << 24),
        Millis(1 << 26),
        Millis(1 << 28),
    ];
}

impl Histogram {
    const SUB_BITS: u32 = 3;

    fn bucket(value: u64) -> u16 {
        let exponent = (u64::BITS - value.leading_zeros()).saturating_sub(Self::SUB_BITS + 1);
        // At most 61 * 8 + 7: the cast loses nothing.
        (u64::from(exponent) * 8 + (value >> exponent)) as u16
    }

    /// The largest value that falls in a bucket: the inverse of [`Histogram::bucket`].
    fn upper(bucket: u16) -> u64 {
        let exponent = u32::from(bucket / 8).saturating_sub(1);
        let mantissa = u64::from(bucket) - u64::from(exponent) * 8;
        ((mantissa + 1).checked_shl(exponent).unwrap_or(0)).wrapping_sub(1)
    }

    pub(crate) fn record(&mut self, duration: Millis) -> Recorded {
        let before = Recorded { bucket: Self::bucket(duration.0), sum: self.sum, max: self.max };
        *self.buckets.entry(before.bucket).or_default() += 1;
        self.count += 1;
        self.sum = self.sum.saturating_add(duration.0);
        self.max = self.max.max(duration.0);
        before
    }

    pub(crate) fn take_back(&mut self, before: Recorded) {
        if let Some(count) = self.buckets.get_mut(&before.bucket) {
            *count -= 1;
            if *count == 0 {
                self.buckets.remove(&before.bucket);
            }
        }
        self.count -= 1;
        self.sum = before.sum;
        self.max = before.max;
    }

    /// Whether the parts agree with each other, as they must after reading a stored one.
    pub(crate) fn is_consistent(&self) -> bool {
        let counted = self.buckets.values().try_fold(0u64, |sum, n| sum.checked_add(*n));
        let in_range = self.count <= HIGHEST_STORED && self.max <= MAX_INTEGER;
        let top = self.buckets.last_key_value().map_or(0, |(bucket, _)| *bucket);
        counted == Some(self.count)
            && self.buckets.values().all(|n| *n > 0)
            && in_range
            && top == if self.count == 0 { 0 } else { Self::bucket(self.max) }
            && (self.count > 0 || self.max == 0)
    }

    fn percentile(&self, percent: u64) -> Millis {
        let rank = self.count.saturating_mul(percent).div_ceil(100).max(1);
        let mut seen = 0;
        for (bucket, count) in &self.buckets {
            seen += count;
            if seen >= rank {
                return Millis(Self::upper(*bucket).min(self.max));
            }
        }
        Millis(0)
    }

    /// The figures.
    pub(crate) fn durations(&self) -> Durations {
        Durations {
            count: self.count,
            sum: Millis(self.sum),
            mean: Millis(self.sum.checked_div(self.count).unwrap_or(0)),
            p50: self.percentile(50),
            p99: self.percentile(99),
            buckets: self.coarse(),
        }
    }

    fn coarse(&self) -> [u64; Durations::BOUNDS.len()] {
        let mut coarse = [0; Durations::BOUNDS.len()];
        for (bucket, count) in &self.buckets {
            let upper = Self::upper(*bucket);
            let at = Durations::BOUNDS.partition_point(|bound| bound.0 <= upper);
            if let Some(sum) = coarse.get_mut(at) {
                *sum += count;
            }
        }
        coarse
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_falls_in_a_bucket_whose_upper_end_is_at_most_an_eighth_above_it() {
        for shift in 0..53 {
            for value in [1u64 << shift, (1 << shift) + 1, (2 << shift) - 1, 5 << shift >> 2] {
                let upper = Histogram::upper(Histogram::bucket(value));
                assert!(upper >= value && upper - value <= value / 8, "{value}: {upper}");
                assert_eq!(Histogram::bucket(upper), Histogram::bucket(value));
                assert_eq!(Histogram::bucket(upper + 1), Histogram::bucket(value) + 1);
            }
        }
        assert_eq!((Histogram::bucket(0), Histogram::upper(0)), (0, 0));
    }

    #[test]
    fn percentiles_never_exceed_what_was_recorded() {
        let mut histogram = Histogram::default();
        assert_eq!(histogram.durations(), Durations::default());
        for value in 1..=1000 {
            histogram.record(Millis(value));
        }
        let figures = histogram.durations();
        assert_eq!((figures.count, figures.mean), (1000, Millis(500)));
        assert!((500..=563).contains(&figures.p50.0), "{figures:?}");
        assert!((990..=1000).contains(&figures.p99.0), "{figures:?}");
    }

    #[test]
    fn what_is_shorter_than_a_bound_is_counted_below_it() {
        let mut histogram = Histogram::default();
        let (longest, too_long) = ((1 << 28) - 1, 1 << 28);
        for value in [0, 1, 3, 4, 15, 16, longest, too_long, u64::MAX] {
            histogram.record(Millis(value));
        }
        let figures = histogram.durations();
        assert_eq!(figures.buckets, [1, 2, 2, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
        assert_eq!(Durations::BOUNDS.last(), Some(&Millis(too_long)));
        for bound in Durations::BOUNDS {
            assert_eq!(Histogram::upper(Histogram::bucket(bound.0 - 1)), bound.0 - 1, "an edge");
        }
    }

    #[test]
    fn taking_back_restores_the_histogram() {
        let mut histogram = Histogram::default();
        histogram.record(Millis(7));
        let before = histogram.clone();
        let recorded = histogram.record(Millis(70_000));
        assert_ne!(histogram, before);
        histogram.take_back(recorded);
        assert_eq!(histogram, before);
        assert!(histogram.is_consistent());
    }
}
