//! A little chance: for ids that nobody else has, and for pauses that are not everybody's.
//!
//! The standard library seeds its hash maps from the system's randomness; that is all that is needed here, and saves a
//! dependency. It is not for secrets.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};

/// 64 bits that differ from call to call, from process to process and from host to host.
fn bits() -> u64 {
    RandomState::new().build_hasher().finish()
}

/// A name that nobody has used before: 32 hexadecimal digits.
pub(crate) fn unique_name() -> String {
    format!("{:016x}{:016x}", bits(), bits())
}

/// A number from 0 to 1.
pub(crate) fn fraction() -> f64 {
    // 32 bits are exact in a float, and more than a pause can show.
    f64::from(u32::try_from(bits() >> 32).unwrap_or_default()) / f64::from(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_comes_twice() {
        let names: std::collections::BTreeSet<String> = (0..1000).map(|_| unique_name()).collect();
        assert_eq!(names.len(), 1000);
        assert!(names.iter().all(|name| name.len() == 32));
    }

    #[test]
    fn fractions_are_spread() {
        let fractions: Vec<f64> = (0..1000).map(|_| fraction()).collect();
        assert!(fractions.iter().all(|fraction| (0.0..=1.0).contains(fraction)));
        let mean = fractions.iter().sum::<f64>() / 1000.0;
        assert!((0.4..0.6).contains(&mean), "{mean}");
    }
}
