//! Clients that wait in `POPPO.CLAIM`: what wakes them, and that no task is lost on the way. Their order is a server's
//! alone, and so is what is in `blocking.rs`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "in a test a panic is the report"
)]

use poppo_tests::transcript::show;
use poppo_tests::{Connection, Protocol, Reply as _, wait_until};
use redis::Value;

use super::Server;

/// How many clients wait in CLAIM.
pub(crate) fn blocked(connection: &mut Connection) -> usize {
    connection.info("poppo", "poppo_blocked_claims").parse().unwrap()
}

/// Has a connection send `line` and waits until it waits.
#[track_caller]
pub(crate) fn wait_in_line(server: &Server, mut client: Connection, line: &str) -> Connection {
    let mut looker = server.connect();
    let before = blocked(&mut looker);
    client.send(line);
    wait_until("the client waits", || blocked(&mut looker) == before + 1);
    client
}

/// A client that has sent `line` and waits for its answer.
#[track_caller]
pub(crate) fn waiting(server: &Server, line: &str) -> Connection {
    wait_in_line(server, server.connect(), line)
}

/// The issue that a client that waited is given.
#[track_caller]
pub(crate) fn given(client: &mut Connection) -> i64 {
    let answer = client.message();
    assert!(matches!(answer, Value::Map(_)), "no task but: {}", show(&answer));
    answer.count("issue")
}

pub(crate) fn run(connection: &mut Connection, lines: &[&str]) {
    for line in lines {
        connection.ok(line);
    }
}

/// What is there before, what wakes, and which issue is given then.
pub(crate) type Waker = (&'static [&'static str], &'static [&'static str], i64);

/// What is there before, what wakes, and which issue is given then. `$` is the token of issue 1.
const WAKERS: &[Waker] = &[
    (&[], &["POPPO.ENQUEUE p 1"], 1),
    (&[], &["POPPO.ENQUEUE p 1 DELAY 60"], 1),
    (&["POPPO.ENQUEUE p 1 DELAY 1000"], &[], 1),
    (&["POPPO.ENQUEUE p 1 DELAY 60000", "POPPO.ENQUEUE p 2 DELAY 1000"], &[], 2),
    (&["POPPO.ENQUEUE p 1 DELAY 60000"], &["POPPO.ENQUEUE p 2 DELAY 60"], 2),
    // A task that was done, or died, is queued again.
    (
        &["POPPO.ENQUEUE p 1", "POPPO.CLAIM p w1", "POPPO.CHECKIN p 1 w1 STATUS completed"],
        &["POPPO.ENQUEUE p 1", "POPPO.ENQUEUE p 1 AGAIN"],
        1,
    ),
    (&["POPPO.ENQUEUE p 1", "POPPO.CLAIM p w1", "POPPO.CHECKIN p 1 w1 STATUS error"], &["POPPO.REVIVE p 1:issue"], 1),
    (&["POPPO.ENQUEUE p 1", "POPPO.CLAIM p w1", "POPPO.CHECKIN p 1 w1 STATUS error"], &["POPPO.ENQUEUE p 1 AGAIN"], 1),
    // Its run ends, and it comes back, at once or later.
    (&["POPPO.ENQUEUE p 1", "POPPO.CLAIM p w1"], &["POPPO.CHECKIN p 1 w1 STATUS error RETRY 0"], 1),
    (&["POPPO.ENQUEUE p 1", "POPPO.CLAIM p w1"], &["POPPO.CHECKIN p 1 w1 STATUS error RETRY 60"], 1),
    (&["POPPO.CHECKOUT p 1 w1"], &["POPPO.CHECKIN p 1 w1 STATUS error RETRY 0"], 1),
    (&["POPPO.CHECKOUT p 1 w1"], &["POPPO.EVICT p 1 REQUEUE"], 1),
    (
        &["POPPO.CHECKOUT p 1 w1 HOST h PID 5", "POPPO.LIVENESS p w1 DEAD HOST h PID 5"],
        &["POPPO.REPAIR p 1 TOKEN $ REQUEUE"],
        1,
    ),
    // Its issue becomes free.
    (&["POPPO.CHECKOUT p 1 w1 TYPE a", "POPPO.ENQUEUE p 1 TYPE b"], &["POPPO.CHECKIN p 1 w1 STATUS completed"], 1),
    (&["POPPO.CHECKOUT p 1 w1 TYPE a", "POPPO.ENQUEUE p 1 TYPE b"], &["POPPO.CHECKIN p 1 w1 STATUS cancelled"], 1),
    (&["POPPO.CHECKOUT p 1 w1 TYPE a", "POPPO.ENQUEUE p 1 TYPE b"], &["POPPO.EVICT p 1"], 1),
    (
        &[
            "POPPO.CHECKOUT p 1 w1 TYPE a HOST h PID 5",
            "POPPO.ENQUEUE p 1 TYPE b",
            "POPPO.LIVENESS p w1 DEAD HOST h PID 5",
        ],
        &["POPPO.REPAIR p 1 TOKEN $"],
        1,
    ),
    // Claims get tasks again.
    (&["POPPO.ENQUEUE p 1", "POPPO.DRAIN p ON"], &["POPPO.DRAIN p OFF"], 1),
    (&["POPPO.DRAIN p ON"], &["POPPO.ENQUEUE p 1", "POPPO.DRAIN p OFF"], 1),
    // There is room below max-running.
    (
        &["POPPO.CONFIG p SET max-running 1", "POPPO.CHECKOUT p 1 w1", "POPPO.ENQUEUE p 2"],
        &["POPPO.CHECKIN p 1 w1 STATUS completed"],
        2,
    ),
    (
        &["POPPO.CONFIG p SET max-running 1", "POPPO.CHECKOUT p 1 w1", "POPPO.ENQUEUE p 2"],
        &["POPPO.CONFIG p SET max-running 2"],
        2,
    ),
    (
        &["POPPO.CONFIG p SET max-running 1", "POPPO.CHECKOUT p 1 w1", "POPPO.ENQUEUE p 2"],
        &["POPPO.CONFIG p SET max-running 0"],
        2,
    ),
    (&["POPPO.CONFIG p SET max-running 1", "POPPO.CHECKOUT p 1 w1", "POPPO.ENQUEUE p 2"], &["POPPO.EVICT p 1"], 2),
];

/// Lets somebody wait, and sees that he is woken.
pub(crate) fn wake(wakers: &[Waker]) {
    let server = Server::start();
    let mut connection = server.connect();
    for (before, wakers, issue) in wakers {
        connection.ok("FLUSHALL");
        run(&mut connection, before);
        let mut client = waiting(&server, "POPPO.CLAIM p heir BLOCK 0");
        println!("{before:?} {wakers:?}");
        for line in *wakers {
            let line = match line.contains('$') {
                true => line.replace('$', &connection.ok("POPPO.GET p 1").count("token").to_string()),
                false => (*line).to_owned(),
            };
            connection.ok(&line);
        }
        assert_eq!(given(&mut client), *issue, "{before:?} {wakers:?}");
        assert_eq!(connection.ok(&format!("POPPO.GET p {issue}")).field("process"), "heir");
        assert_eq!(blocked(&mut connection), 0);
    }
}

#[test]
fn whatever_makes_a_task_ready_wakes_who_waits() {
    wake(WAKERS);
}

#[test]
fn a_wait_ends_with_null_when_its_time_is_over() {
    let server = Server::start();
    let mut connection = server.connect();
    for protocol in [Protocol::Resp2, Protocol::Resp3] {
        let mut client = server.connect_with(protocol);
        assert_eq!(show(&client.ok("POPPO.CLAIM p w1 BLOCK 1")), "(nil)");
        assert_eq!(blocked(&mut connection), 0);
        // What comes afterwards is nobody's.
        connection.ok("POPPO.ENQUEUE p 1");
        assert_eq!(connection.ok("POPPO.STATS p").count("queue.waiting"), 1);
        let answer = client.ok("POPPO.CLAIM p w1 BLOCK 1");
        assert_eq!(answer.fields()[..3], ["issue", "token", "task"]);
        assert_eq!(matches!(answer, Value::Map(_)), protocol == Protocol::Resp3);
        connection.ok("DEL p");
    }
    // A delay that is longer than the wait.
    connection.ok("POPPO.ENQUEUE p 1 DELAY 60000");
    assert_eq!(show(&connection.ok("POPPO.CLAIM p w1 BLOCK 50")), "(nil)");
    // Who timed out holds up nobody.
    let mut short = waiting(&server, "POPPO.CLAIM p w1 BLOCK 300");
    let mut long = waiting(&server, "POPPO.CLAIM p w2 BLOCK 0");
    assert_eq!(show(&short.message()), "(nil)");
    connection.ok("POPPO.ENQUEUE p 2");
    assert_eq!(given(&mut long), 2);
}

#[test]
fn what_a_client_sends_behind_its_claim_is_answered_behind_it() {
    let server = Server::start();
    let mut client = waiting(&server, "POPPO.CLAIM p w1 BLOCK 0 REQ r1");
    client.send("PING");
    client.send("POPPO.CLAIM p w1 BLOCK 0 REQ r1");
    client.send("POPPO.CLAIM p w1 BLOCK 0 REQ r2");
    let mut connection = server.connect();
    connection.ok("POPPO.ENQUEUE p 1");
    assert_eq!(given(&mut client), 1);
    assert_eq!(client.message().text().unwrap(), "PONG");
    assert_eq!(given(&mut client), 1, "a repeated REQ answers the same lease");
    wait_until("it waits again", || blocked(&mut connection) == 1);
    connection.ok("POPPO.ENQUEUE p 2");
    assert_eq!(given(&mut client), 2);
}

#[test]
fn a_client_that_went_away_swallows_no_task() {
    let server = Server::start();
    let mut connection = server.connect();
    let gone = waiting(&server, "POPPO.CLAIM p gone BLOCK 0");
    let mut next = waiting(&server, "POPPO.CLAIM p next BLOCK 0");
    drop(gone);
    wait_until("the server has noticed", || blocked(&mut connection) == 1);
    connection.ok("POPPO.ENQUEUE p 1");
    assert_eq!(given(&mut next), 1);
    let alone = waiting(&server, "POPPO.CLAIM p gone BLOCK 0");
    drop(alone);
    wait_until("the server has noticed", || blocked(&mut connection) == 0);
    connection.ok("POPPO.ENQUEUE p 2");
    assert_eq!(connection.ok("POPPO.STATS p").count("queue.waiting"), 1);
}
