//! A seeded source of randomness: the same seed, the same history.

/// The seed of a random test: `usual`, or what `POPPO_SEED` says, to look further or to repeat a failure.
pub fn seed(usual: u64) -> u64 {
    match std::env::var("POPPO_SEED") {
        Ok(text) => text.parse().expect("POPPO_SEED is a number"),
        Err(_) => usual,
    }
}

/// SplitMix64. Not for secrets; for histories that can be repeated from the seed in a failure's message.
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// A source that starts at `seed`.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number from 0 up to and without `bound`.
    pub fn below(&mut self, bound: usize) -> usize {
        (self.bits() % bound.max(1) as u64) as usize
    }

    /// True once in `n` times.
    pub fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    /// One of `items`.
    pub fn pick<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.below(items.len())]
    }
}
