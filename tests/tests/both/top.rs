//! `poppo top` on a terminal, wherever the projects are.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "in a test a panic is the report"
)]

use poppo_tests::command::poppo;
use poppo_tests::pty::Terminal;
use poppo_tests::{Reply as _, wait_until};
use rustix::process::Signal;

use super::Server;

pub(crate) const UP: &str = "\x1b[A";
pub(crate) const DOWN: &str = "\x1b[B";
pub(crate) const TAB: &str = "\t";

pub(crate) fn top(server: &Server) -> Terminal {
    Terminal::start(&poppo(server, &["top"]), 40, 140)
}

#[test]
fn a_lease_is_on_the_screen_and_is_cancelled_by_a_key() {
    let server = Server::start();
    let mut connection = server.connect();
    connection.ok("POPPO.CHECKOUT p 6 worker-6");
    connection.ok("POPPO.CHECKOUT p 7 worker-7 TITLE 'Crash on start'");
    connection.ok("POPPO.HEARTBEAT p worker-7 PROGRESS 'tests 3/7'");
    let mut top = top(&server);
    top.wait_for("Crash on start");
    top.wait_for("tests 3/7");
    top.wait_for("leases (2)");
    top.press(&format!("{DOWN}{DOWN}{UP}{DOWN}c"));
    top.wait_for("Ask worker-7 to stop issue 7");
    top.press("n");
    top.wait_for("nothing was done");
    assert!(connection.ok("POPPO.HEARTBEAT p worker-7").get("cancel").unwrap().rows().is_empty());
    top.press("c");
    top.wait_for("Ask worker-7 to stop issue 7");
    top.press("y");
    top.wait_for("the worker that has issue 7 is asked to stop");
    let beat = connection.ok("POPPO.HEARTBEAT p worker-7");
    assert_eq!(beat.get("cancel").unwrap().rows().iter().map(|row| row.number()).collect::<Vec<_>>(), [7]);
    assert!(connection.ok("POPPO.HEARTBEAT p worker-6").get("cancel").unwrap().rows().is_empty());
    top.press("q");
    assert_eq!(top.ended().code(), Some(0));
    wait_until("the terminal is as it was", || top.is_restored());
}

#[test]
fn what_changes_shows_by_itself_and_the_other_keys_do_what_they_say() {
    let server = Server::start();
    let mut connection = server.connect();
    let mut top = top(&server);
    top.wait_for("the project does not exist yet");
    connection.ok("POPPO.CONFIG p SET max-attempts 1");
    connection.ok("POPPO.ENQUEUE p 1 TYPE fix TITLE One");
    top.wait_for("1:fix");
    connection.ok("POPPO.CLAIM p worker-1");
    top.wait_for("leases (1)");

    top.press("e");
    top.wait_for("Take issue 1 from worker-1?");
    top.press("r");
    top.wait_for("issue 1 is evicted: queued");
    assert_eq!(connection.ok("POPPO.GET p 1").field("status"), "queued");

    top.press("d");
    top.wait_for("Let no task be claimed any more?");
    top.press("y");
    top.wait_for("DRAINED");
    assert_eq!(connection.ok("POPPO.STATS p").count("queue.drain"), 1);
    top.press("d");
    top.wait_for("Let tasks be claimed again?");
    top.press("y");
    top.wait_without("DRAINED");

    connection.ok("POPPO.CLAIM p worker-2");
    connection.ok("POPPO.CHECKIN p 1 worker-2 STATUS error REASON 'no network'");
    top.wait_for("dead for");
    top.press(&format!("{TAB}r"));
    top.wait_for("Have the dead task 1:fix wait again?");
    top.press("y");
    top.wait_for("task 1:fix waits again");
    assert_eq!(connection.ok("POPPO.STATS p").count("queue.waiting"), 1);

    top.press("?");
    top.wait_for("any key goes back");
    top.press("x");
    top.wait_for("▸ queue (1)");
    top.press("\x03");
    assert_eq!(top.ended().code(), Some(0));
    wait_until("the terminal is as it was", || top.is_restored());
}

#[test]
fn work_that_hangs_is_told_apart_from_work_that_goes_on() {
    let server = Server::start();
    let mut connection = server.connect();
    connection.ok("POPPO.CHECKOUT p 1 worker-1");
    connection.ok("POPPO.HEARTBEAT p worker-1 PROGRESS cloning");
    let top = Terminal::start(&poppo(&server, &["top", "--hung-after", "3s"]), 40, 140);
    // It beats on, and says nothing new.
    wait_until("it is shown as hung", || {
        connection.ok("POPPO.HEARTBEAT p worker-1");
        top.text().contains("1 hung")
    });
    connection.ok("POPPO.HEARTBEAT p worker-1 PROGRESS compiling");
    top.wait_for("compiling");
    top.wait_without("1 hung");
}

#[test]
fn it_follows_the_size_of_its_terminal() {
    let server = Server::start();
    server.connect().ok("POPPO.CHECKOUT p 7 worker-7");
    let mut top = top(&server);
    top.wait_for("worker-7");
    let reaches = |column: usize| {
        move |text: String| text.lines().any(|line| line.starts_with('▸') && line.chars().count() == column)
    };
    wait_until("it is as wide as its terminal", || reaches(140)(top.text()));
    top.resize(20, 60);
    wait_until("it is as narrow as its terminal", || reaches(60)(top.text()));
    top.resize(50, 100);
    wait_until("it is as wide as its terminal", || reaches(100)(top.text()));
    top.wait_for("q quit");
}

#[test]
fn a_signal_ends_it_and_the_terminal_is_as_it_was() {
    let server = Server::start();
    let mut top = top(&server);
    top.wait_for("does not exist yet");
    assert!(!top.is_restored());
    top.signal(Signal::TERM);
    assert_eq!(top.ended().code(), Some(128 + 15));
    wait_until("the terminal is as it was", || top.is_restored());
}
