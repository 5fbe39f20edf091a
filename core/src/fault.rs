//! Injected panics, to prove that one inside a command leaves nothing half-changed.
//!
//! Without the feature `fault-injection` (or `cfg(test)`), a point is nothing at all.

/// One change of a record: the armed one panics.
#[cfg(not(any(test, feature = "fault-injection")))]
#[inline(always)]
pub(crate) fn point() {}

#[cfg(any(test, feature = "fault-injection"))]
pub(crate) use armed::point;
#[cfg(any(test, feature = "fault-injection"))]
pub use armed::{arm, disarm};

#[cfg(any(test, feature = "fault-injection"))]
mod armed {
    use std::cell::Cell;

    thread_local! {
        static COUNTDOWN: Cell<u32> = const { Cell::new(0) };
    }

    /// Makes the `n`-th change from now on this thread panic; 0 is [`disarm`].
    pub fn arm(n: u32) {
        COUNTDOWN.set(n);
    }

    /// No change panics any more. Answers whether the armed one had not happened yet.
    pub fn disarm() -> bool {
        COUNTDOWN.replace(0) > 0
    }

    #[allow(clippy::panic, reason = "this is the injected panic")]
    pub(crate) fn point() {
        let left = COUNTDOWN.get();
        if left > 0 {
            COUNTDOWN.set(left - 1);
            if left == 1 {
                panic!("injected fault");
            }
        }
    }
}
