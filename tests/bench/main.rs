//! `make bench`: what Poppo costs, measured against `SET NX`, Lua and `MULTI` in the same run, and against its size.
//!
//! `docs/benchmarks/README.md` says how it measures and how to repeat it. The code is in `run/`: `load` is the
//! generator, `contenders` what it sends, `compare` and `scaling` the two halves of the run, `report` and `chart` what
//! comes out.
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
mod run;

#[cfg(target_os = "linux")]
fn main() {
    run::main();
}

#[cfg(not(target_os = "linux"))]
fn main() {
    eprintln!("poppo-bench needs Linux: it pins the server and the load to cores of their own, and uses epoll.");
    std::process::exit(1);
}
