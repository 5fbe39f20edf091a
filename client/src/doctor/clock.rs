//! Do this host's clock and the server's agree? All times of leases are the server's, so nothing is lost where they do
//! not; but what is compared by hand misleads, and so do tokens after a failover between hosts that disagree.

use std::time::Duration;

use super::Finding;
use super::facts::{Facts, Skew};
use crate::human;

/// What is too much.
const TOLERATED: Duration = Duration::from_secs(1);

pub(super) fn judge(facts: &Facts) -> Finding {
    match &facts.skew {
        Ok(skew) => compare(*skew),
        Err(error) => facts.untold("clock", error, "+time"),
    }
}

fn compare(skew: Skew) -> Finding {
    if skew.by.saturating_sub(skew.within) < TOLERATED {
        let within = human::duration(skew.by.max(skew.within) + Duration::from_millis(1));
        return Finding::ok("clock", format!("the server's clock agrees with this host's (within {within})"));
    }
    let which = if skew.server_is_ahead { "ahead of" } else { "behind" };
    Finding::warning(
        "clock",
        format!("the server's clock is {} {which} this host's", human::duration(skew.by)),
        "timedatectl set-ntp true    (on both hosts)",
    )
}

#[cfg(test)]
mod tests {
    use super::super::State;
    use super::*;

    fn skew(by: u64, within: u64, server_is_ahead: bool) -> Finding {
        compare(Skew { by: Duration::from_millis(by), within: Duration::from_millis(within), server_is_ahead })
    }

    #[test]
    fn clocks_that_differ_by_more_than_the_question_took_are_a_warning() {
        assert_eq!(skew(20, 30, true).state, State::Ok);
        assert_eq!(skew(1500, 800, true).state, State::Ok);
        let ahead = skew(90_000, 1, true);
        assert_eq!(
            (ahead.state, ahead.message.as_str()),
            (State::Warning, "the server's clock is 1m 30s ahead of this host's")
        );
        assert!(skew(5000, 1, false).message.contains("behind"));
    }
}
