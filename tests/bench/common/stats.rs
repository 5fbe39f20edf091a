//! The little statistics that is needed: medians, and ratios of what was measured in the same round.

/// The middle of the values; the mean of the two in the middle where their count is even. NaN of none.
pub(crate) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => sorted[middle],
        _ => f64::midpoint(sorted[middle - 1], sorted[middle]),
    }
}

/// The value that so many of a hundred do not exceed. NaN of none.
pub(crate) fn percentile(values: &[f64], of_hundred: usize) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let place = (sorted.len() * of_hundred).div_ceil(100).max(1) - 1;
    sorted.get(place).copied().unwrap_or(f64::NAN)
}

/// The least and the greatest value.
pub(crate) fn range(values: &[f64]) -> (f64, f64) {
    let least = values.iter().copied().fold(f64::INFINITY, f64::min);
    let greatest = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    (least, greatest)
}

/// `a / b`, round by round. What changes slowly (the machine's clock, its neighbours) is in both and cancels out.
pub(crate) fn ratios(a: &[f64], b: &[f64]) -> Vec<f64> {
    assert_eq!(a.len(), b.len(), "both sides of a ratio have a figure of each round");
    a.iter().zip(b).map(|(a, b)| a / b).collect()
}

/// `0..size` in an order without repeats in which neighbours are far apart.
pub(crate) fn scattered(index: u64, size: u64) -> u64 {
    /// A prime that divides none of the sizes.
    const STRIDE: u64 = 1_000_003;
    assert!(!size.is_multiple_of(STRIDE), "the stride would come back too early");
    index * STRIDE % size
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_and_ignores_outliers() {
        assert_eq!(median(&[3.0, 1.0, 1000.0]), 3.0);
        assert_eq!(median(&[4.0, 1.0, 2.0, 1000.0]), 3.0);
        assert_eq!(median(&[7.0]), 7.0);
        assert!(median(&[]).is_nan());
    }

    #[test]
    fn a_percentile_is_one_of_the_values() {
        let values: Vec<f64> = (1..=200).rev().map(f64::from).collect();
        assert_eq!(percentile(&values, 99), 198.0);
        assert_eq!(percentile(&values, 100), 200.0);
        assert_eq!(percentile(&[7.0], 99), 7.0);
        assert!(percentile(&[], 99).is_nan());
    }

    #[test]
    fn ratios_pair_the_rounds() {
        // The machine halves its speed in the second round: the ratio does not move.
        assert_eq!(ratios(&[100.0, 50.0], &[200.0, 100.0]), [0.5, 0.5]);
    }

    #[test]
    #[should_panic(expected = "each round")]
    fn ratios_of_unequal_rounds_are_refused() {
        ratios(&[1.0], &[]);
    }

    #[test]
    fn the_range_is_from_least_to_greatest() {
        assert_eq!(range(&[2.0, -1.0, 5.0]), (-1.0, 5.0));
    }

    #[test]
    fn scattered_numbers_are_all_there_once() {
        for size in [1_000, 10_000, 100_000] {
            let mut seen: Vec<u64> = (0..size).map(|index| scattered(index, size)).collect();
            seen.sort_unstable();
            assert!(seen.into_iter().eq(0..size));
        }
    }
}
