//! A worker whose network is cut: it loses its lease, notices by itself, and cannot report under it afterwards.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "in a test a panic is the report"
)]

use std::process::Stdio;
use std::time::{Duration, Instant};

use poppo_tests::command::{Following, bare, output, runs, words};
use poppo_tests::network::Island;
use poppo_tests::{Reply as _, Server, wait_until};

const TTL: Duration = Duration::from_secs(2);

#[test]
fn a_worker_that_is_cut_off_stops_and_its_late_check_in_is_stale() {
    let island = match Island::new() {
        Ok(island) => island,
        Err(why) => {
            println!("skipped: this machine gives us no network namespace: {why}");
            return;
        }
    };
    let server = Server::builder()
        .no_grace()
        .arg("bind", format!("127.0.0.1 {}", island.mainland()))
        .arg("protected-mode", "no")
        .start();
    let url = format!("redis://{}:{}", island.mainland(), server.port());
    let there = |arguments: &[&str]| {
        let mut command = bare(server.dir());
        command.args(["--url", &url, "--project", "p"]).args(arguments);
        island.command(&command)
    };
    let mut connection = server.connect();
    connection.ok(&format!("POPPO.CONFIG p SET heartbeat-ttl {}", TTL.as_millis()));

    let script = "sleep 1000 & echo $$ $! $POPPO_TOKEN > pids; wait";
    let mut run = there(&["--json", "run", "1", "--process", "w1", "--", "sh", "-c", script]);
    let mut run = run.stderr(Stdio::piped()).spawn().unwrap();
    let mut told = words(&server.dir().join("pids"), 3);
    let token = told.pop().unwrap();
    // A worker of the queue, too: it goes on afterwards.
    connection.ok("POPPO.ENQUEUE p 2");
    let script = "if [ $POPPO_ISSUE = 2 ]; then sleep 1000 & echo $$ $! > more-pids; wait; fi";
    let worker = there(&["--json", "work", "--process", "w2", "--", "sh", "-c", script]);
    let worker = Following::of(server.dir(), "w2", worker);
    told.extend(words(&server.dir().join("more-pids"), 2));

    let cut = Instant::now();
    island.cut();
    let status = run.wait().unwrap();
    println!("cut off to stopped: {:?}, of a time to live of {TTL:?}", cut.elapsed());
    assert_eq!(status.code(), Some(76));
    wait_until("nobody of their groups is left", || !told.iter().any(|pid| runs(pid)));
    let lost = worker.documents(1).remove(0);
    assert_eq!((&lost["status"], &lost["issue"]), (&"lost".into(), &2.into()), "{lost}");

    wait_until("both are orphans", || connection.ok("POPPO.ORPHANS p").rows().len() == 2);
    let higher = connection.int("POPPO.CHECKOUT p 1 heir TAKEOVER");
    assert!(higher > token.parse().unwrap());
    island.mend();
    let late = ["--json", "checkin", "1", "--process", "w1", "--token", &token, "--status", "completed"];
    let late = output(there(&late));
    assert_eq!(late.status.code(), Some(76), "{late:?}");
    assert!(String::from_utf8_lossy(&late.stderr).contains("\"STALE\""), "{late:?}");
    assert_eq!(connection.ok("POPPO.GET p 1").field("process"), "heir");

    connection.ok("POPPO.ENQUEUE p 3");
    let next = worker.documents(2).remove(1);
    assert_eq!((&next["status"], &next["issue"]), (&"completed".into(), &3.into()), "{}", worker.said());
}
