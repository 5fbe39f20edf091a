//! `make bench`: what Poppo costs, measured against `SET NX`, Lua and `MULTI` in the same run, and against its size.
//! `make bench-peers`: its queue against other queues.
//!
//! `docs/benchmarks/README.md` says how they measure and how to repeat it. The code of the first is in `run/`: `load` is
//! the generator, `contenders` what it sends, `compare` and `scaling` the two halves of the run, `report` and `chart` what
//! comes out. That of the second is in `peers/`, what both need in `common/`.
#![forbid(unsafe_code)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "in a benchmark a panic is the report of a failure to measure"
)]

#[cfg(target_os = "linux")]
mod common;
#[cfg(target_os = "linux")]
mod line;
#[cfg(target_os = "linux")]
mod peers;
#[cfg(target_os = "linux")]
mod run;

#[cfg(target_os = "linux")]
fn main() {
    line::main();
}

#[cfg(not(target_os = "linux"))]
fn main() {
    eprintln!("poppo-bench needs Linux: it pins the server and the load to cores of their own, and uses epoll.");
    std::process::exit(1);
}
