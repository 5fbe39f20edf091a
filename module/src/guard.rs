//! The panic guard: every entry from the server runs inside one, so that no panic crosses the FFI, where it would
//! abort redis-server.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::server;

/// A panic was caught; its place is in the log.
#[derive(Debug)]
pub(crate) struct Panicked;

thread_local! {
    static LAST: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Notes the place of each panic for the log instead of printing it to a standard error that nobody reads.
pub(crate) fn install_hook() {
    std::panic::set_hook(Box::new(|info| {
        let text = info.to_string();
        LAST.with(|last| {
            if let Ok(mut last) = last.try_borrow_mut() {
                *last = text;
            }
        });
    }));
}

/// Runs the body; a panic in it is logged and counted.
///
/// Asserting unwind safety is right because whoever lends the body something that can be half-changed takes it back:
/// [`crate::command`] rolls the project back, and nobody else lends anything mutable.
pub(crate) fn guard<T>(body: impl FnOnce() -> T) -> Result<T, Panicked> {
    catch_unwind(AssertUnwindSafe(body)).map_err(|_| {
        let place = LAST.with(|last| last.try_borrow().map(|last| last.clone()).unwrap_or_default());
        server::log_panic(&place);
        Panicked
    })
}
