//! Worker processes for `tests/chaos.rs` and `tests/mishaps.rs`. They end when their stdin is closed, so that they never
//! outlive the test, however that ends.
//!
//! `chaos-worker PORT PROJECT NAME LIFE SEED LEDGER` works until then. `chaos-worker PORT PROJECT NAME GATE` claims one
//! task, says so, and reports once the file GATE is there, whatever happened meanwhile; it asks for the next one, too, and
//! says what it was answered.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "in a test a panic is the report")]

use std::io::Read as _;
use std::path::Path;
use std::time::Duration;

use poppo_tests::audit::Ledger;
use poppo_tests::worker::{Caller, Step, Worker};
use poppo_tests::{Connection, Random, Reply as _};

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    std::thread::spawn(|| {
        let _end = std::io::stdin().read_to_end(&mut Vec::new());
        std::process::exit(0);
    });
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        [port, project, name, gate] => report_late(port, project, name, Path::new(gate)),
        [port, project, name, life, seed, ledger] => work(port, project, name, life, seed, ledger),
        _ => panic!("four or six arguments, not {words:?}"),
    }
}

fn report_late(port: &str, project: &str, name: &str, gate: &Path) {
    let mut connection = Connection::try_to(port.parse().expect("a port")).expect("a server");
    let claimed = connection.ok(&format!("POPPO.CLAIM {project} {name} TTL 1000 REQ first"));
    let (issue, token) = (claimed.count("issue"), claimed.count("token"));
    println!("{issue} {token}");
    while !gate.exists() {
        std::thread::sleep(Duration::from_millis(5));
    }
    let checkin = format!("POPPO.CHECKIN {project} {issue} {name} STATUS completed TOKEN {token} NEXT REQ second");
    println!("{}", connection.cmd(&checkin).error().unwrap_or_else(|| "OK".to_owned()));
}

fn work(port: &str, project: &str, name: &str, life: &str, seed: &str, ledger: &str) {
    let seed = seed.parse().expect("a seed");
    let caller = Caller::new(port.parse().expect("a port"), 25);
    let ledger = Ledger::open(Path::new(ledger)).expect("a ledger");
    let mut worker = Worker::new(caller, project, name, life.parse().expect("a number"), seed, ledger)
        .blocking(Duration::from_millis(500));
    let mut random = Random::new(seed ^ 1);
    loop {
        let pause = match worker.step() {
            // Sometimes for longer than the lease lasts.
            Step::Worked if random.one_in(60) => 1_300,
            Step::Worked => random.below(40) as u64,
            Step::Away => 5,
            Step::On | Step::Idle => 0,
        };
        std::thread::sleep(Duration::from_millis(pause));
    }
}
