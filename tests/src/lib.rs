//! The harness of Poppo's integration tests: private servers, plain connections, readable comparisons.
//!
//! Here lives what a test needs to *drive* the real thing: [`Server`] starts a redis-server of its own with the
//! module loaded, [`Connection`] speaks RESP2 or RESP3 to it, [`transcript`] prints and matches answers the way
//! redis-cli shows them, [`dump`] forges DUMP payloads, [`History`] makes up histories from a seed, [`load`] has
//! workers work while something happens to the servers, [`worker`] is one that crashes, stalls and loses answers, and
//! [`audit`] decides afterwards whether a task was lost or done twice; [`cluster`] makes nodes one cluster, [`sentinel`]
//! has a primary watched, [`tls`] has them speak TLS, [`network`] cuts one off, [`command`] starts `poppo`, [`daemon`] its
//! daemon, [`pty`] is a terminal for it, [`proxy`] loses answers, [`golden`] knows what earlier versions wrote, [`github`] is
//! a GitHub of one's own. What the answers ought to be stands in the tests, one file per concern, and in `docs/commands.md`.
//!
//! Two rules keep the tests quick and honest: nobody sleeps for a fixed time ([`wait_until`] waits for a
//! condition), and every server has its own directory and port, so that all tests run side by side.
#![forbid(unsafe_code)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "in a test harness a panic is the report"
)]

pub mod artifacts;
pub mod audit;
pub mod cluster;
pub mod command;
mod connection;
pub mod daemon;
pub mod dump;
mod files;
pub mod github;
pub mod golden;
mod history;
pub mod load;
pub mod network;
pub mod poppobuilder;
mod portrait;
pub mod proxy;
pub mod pty;
mod random;
pub mod sentinel;
mod server;
pub mod tls;
pub mod transcript;
pub mod worker;

use std::time::{Duration, Instant};

pub use connection::{Connection, Protocol, Reply};
pub use files::Files;
pub use history::History;
pub use portrait::portrait;
pub use random::{Random, seed};
pub use server::{Builder, Server, free_port};

/// Longer than anything here may take: who waits this long has found a bug.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// Waits until `condition` holds, looking every few milliseconds; panics with `what` after [`DEADLINE`].
#[track_caller]
pub fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < DEADLINE, "waited {DEADLINE:?} in vain until {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Has the AOF rewritten and waits until that is done.
#[track_caller]
pub fn rewrite_aof(connection: &mut Connection) {
    let done = |connection: &mut Connection| {
        connection.info("persistence", "aof_rewrite_in_progress") == "0"
            && connection.info("persistence", "aof_rewrite_scheduled") == "0"
    };
    wait_until("no rewrite is on", || done(connection));
    connection.ok("BGREWRITEAOF");
    wait_until("the AOF is rewritten", || done(connection));
    assert_eq!(connection.info("persistence", "aof_last_bgrewrite_status"), "ok");
}
