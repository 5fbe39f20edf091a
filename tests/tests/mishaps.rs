//! The mishaps of `chaos.rs`, one at a time: a worker that stalls, an answer that is lost, a server that starts again.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "in a test a panic is the report"
)]

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

use poppo_tests::audit::Picture;
use poppo_tests::command::{Following, signal, words};
use poppo_tests::transcript::show;
use poppo_tests::{Builder, Connection, Reply as _, Server, rewrite_aof, wait_until};
use redis::Value;
use rustix::process::Signal;

/// The ids in one of the lists of tasks.
fn ids(connection: &mut Connection, list: &str) -> Vec<String> {
    let answer = connection.ok(&format!("POPPO.LIST p {list} COUNT 10000"));
    answer.rows()[1].rows().iter().map(|task| task.field("task")).collect()
}

fn total(connection: &mut Connection, what: &str) -> i64 {
    connection.ok("POPPO.STATS p").count(&format!("tasks.{what}"))
}

/// The log makes sense, and everything is where it says.
#[track_caller]
fn assert_sound(connection: &mut Connection) {
    Picture::take(connection, "p").unwrap().audit().unwrap_or_else(|wrong| panic!("{wrong}"));
}

/// Servers that keep what they are told in each of the ways there are.
fn keepers() -> [(&'static str, Builder); 3] {
    let durable = || Server::builder().no_grace().durable();
    [
        ("an RDB file", Server::builder().no_grace()),
        ("an AOF", durable()),
        ("an AOF without RDB preamble", durable().arg("aof-use-rdb-preamble", "no")),
    ]
}

/// Everything that a server reads back what it has. Each time the queue must be the same.
fn live_again(server: &mut Server, keeper: &str, mut check: impl FnMut(&mut Connection, &str)) {
    server.connect().ok("DEBUG RELOAD");
    check(&mut server.connect(), "DEBUG RELOAD");
    if keeper == "an RDB file" {
        for again in ["the first restart", "the second restart"] {
            server.restart();
            check(&mut server.connect(), again);
        }
        return;
    }
    server.connect().ok("DEBUG LOADAOF");
    check(&mut server.connect(), "DEBUG LOADAOF");
    server.kill9();
    server.start_again();
    check(&mut server.connect(), "a crash");
    rewrite_aof(&mut server.connect());
    server.kill9();
    server.start_again();
    check(&mut server.connect(), "a rewrite and a crash");
    server.shutdown("NOSAVE");
    server.start_again();
    check(&mut server.connect(), "a restart");
}

#[test]
fn a_worker_that_was_stopped_for_too_long_cannot_report_and_gets_nothing_more() {
    let server = Server::start();
    let mut connection = server.connect();
    connection.ok("POPPO.ENQUEUE p 1");
    let gate = server.dir().join("gate");
    let mut worker = Command::new(env!("CARGO_BIN_EXE_chaos-worker"))
        .args([&server.port().to_string(), "p", "stalled"])
        .arg(&gate)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(worker.stdout.take().unwrap()).lines();
    let claimed = lines.next().unwrap().unwrap();
    let (_, stale) = claimed.split_once(' ').unwrap();
    signal(&worker, Signal::STOP);
    // What it will do first when it goes on.
    std::fs::write(&gate, "").unwrap();

    wait_until("it is an orphan", || connection.ok("POPPO.ORPHANS p").rows().len() == 1);
    assert_eq!(connection.text(&format!("POPPO.REPAIR p 1 TOKEN {stale} REQUEUE")), "queued");
    let again = connection.ok("POPPO.CLAIM p other");
    assert_eq!((again.field("task"), again.count("attempts")), ("1:issue".into(), 0));
    connection.ok(&format!("POPPO.CHECKIN p 1 other STATUS completed TOKEN {}", again.count("token")));
    connection.ok("POPPO.ENQUEUE p 2");
    let before = connection.dump("p");

    signal(&worker, Signal::CONT);
    let answer = lines.next().unwrap().unwrap();
    assert!(answer.starts_with(&format!("STALE token {stale}")), "{answer}");
    assert!(worker.wait().unwrap().success());
    assert!(connection.dump("p") == before, "a stale check-in changed something");
    assert_eq!(ids(&mut connection, "QUEUE"), ["2:issue"]);
    assert_eq!((total(&mut connection, "claimed"), total(&mut connection, "finished")), (2, 1));
    assert_sound(&mut connection);
}

#[test]
fn poppo_work_that_was_stopped_for_too_long_reports_nothing_of_what_is_anothers() {
    let server = Server::start();
    let mut connection = server.connect();
    connection.ok("POPPO.ENQUEUE p 1");
    let script = "echo $POPPO_TOKEN > token; while [ ! -e go ]; do sleep 0.01; done; echo > gone";
    let arguments = ["--json", "work", "--once", "--process", "stalled", "--ttl", "1s", "--", "sh", "-c", script];
    let mut stalled = Following::start(&server, &arguments);
    let token = &words(&server.dir().join("token"), 1)[0];
    signal(&stalled.child, Signal::STOP);
    // Its command goes on, and is done before anybody knows of it.
    std::fs::write(server.dir().join("go"), "").unwrap();
    wait_until("its command is done", || server.dir().join("gone").exists());
    wait_until("it is an orphan", || connection.ok("POPPO.ORPHANS p").rows().len() == 1);
    assert_eq!(connection.text(&format!("POPPO.REPAIR p 1 TOKEN {token} REQUEUE")), "queued");
    connection.ok("POPPO.CLAIM p other");
    connection.ok("POPPO.CHECKIN p 1 other STATUS error RETRY 0");
    connection.ok("POPPO.DRAIN p ON");
    let before = Picture::take(&mut connection, "p").unwrap().tell(|_| true);
    signal(&stalled.child, Signal::CONT);
    assert_eq!(stalled.documents(1)[0]["status"], "lost");
    assert_eq!(stalled.exit_code(), Some(76));
    // A beat is no event; nothing else happened.
    assert_eq!(Picture::take(&mut connection, "p").unwrap().tell(|_| true), before);
    assert_eq!(ids(&mut connection, "QUEUE"), ["1:issue"]);
    assert_sound(&mut connection);
}

#[test]
fn a_stopped_worker_whose_task_waits_again_or_runs_elsewhere_changes_nothing_either() {
    let server = Server::start();
    let mut connection = server.connect();
    connection.ok("POPPO.ENQUEUE p 1");
    let stale = connection.ok("POPPO.CLAIM p stalled TTL 1000").count("token");
    wait_until("it is an orphan", || connection.ok("POPPO.ORPHANS p").rows().len() == 1);
    connection.ok(&format!("POPPO.REPAIR p 1 TOKEN {stale} REQUEUE"));
    let reports = [
        "STATUS completed".to_owned(),
        "STATUS completed NEXT REQ r".to_owned(),
        "STATUS error".to_owned(),
        "STATUS error RETRY 0 NEXT".to_owned(),
        "STATUS cancelled".to_owned(),
    ];
    for place in ["waiting", "running", "done"] {
        let before = connection.dump("p");
        for report in &reports {
            connection.refused(&format!("POPPO.CHECKIN p 1 stalled {report} TOKEN {stale}"), "STALE");
        }
        assert!(connection.dump("p") == before, "{place}");
        match place {
            "waiting" => drop(connection.ok("POPPO.CLAIM p other")),
            _ => drop(connection.cmd("POPPO.CHECKIN p 1 other STATUS completed")),
        }
    }
    assert_eq!((total(&mut connection, "claimed"), total(&mut connection, "finished")), (2, 1));
    assert_sound(&mut connection);
}

#[test]
fn a_claim_whose_answer_was_lost_is_answered_with_the_same_lease() {
    for (keeper, builder) in keepers() {
        let mut server = builder.start();
        let mut connection = server.connect();
        connection.ok("POPPO.ENQUEUE p 1");
        connection.ok("POPPO.ENQUEUE p 2");
        for (claim, tasks) in [("POPPO.CLAIM p w1 REQ r1", 1), ("POPPO.CLAIM p w2 BLOCK 0 REQ r1", 2)] {
            let mut lost = server.connect();
            lost.send(claim);
            wait_until("the server has carried it out", || total(&mut connection, "claimed") == tasks);
            drop(lost);
        }
        let tokens: Vec<i64> =
            (1..=2).map(|issue| connection.ok(&format!("POPPO.GET p {issue}")).count("token")).collect();
        let check = |connection: &mut Connection, again: &str| {
            for (number, token) in (1..=2).zip(&tokens) {
                let lease = connection.ok(&format!("POPPO.CLAIM p w{number} REQ r1"));
                assert_eq!((lease.count("issue"), lease.count("token")), (number, *token), "{keeper}, {again}");
            }
            assert!(matches!(connection.ok("POPPO.CLAIM p w1 REQ r2"), Value::Nil), "{keeper}, {again}");
            // Nobody waits for a task to be repeated, and nobody gets another for it.
            assert_eq!(total(connection, "claimed"), 2, "{keeper}, {again}");
            assert_sound(connection);
        };
        check(&mut connection, "at once");
        live_again(&mut server, keeper, check);
    }
}

#[test]
fn a_client_that_waited_and_lost_its_answer_gets_the_same_lease() {
    let server = Server::start();
    let mut connection = server.connect();
    let mut lost = server.connect();
    lost.send("POPPO.CLAIM p w BLOCK 0 REQ r1");
    wait_until("it waits", || connection.info("poppo", "poppo_blocked_claims") == "1");
    connection.ok("POPPO.ENQUEUE p 1");
    wait_until("it was served", || total(&mut connection, "claimed") == 1);
    drop(lost);
    connection.ok("POPPO.ENQUEUE p 2");
    let token = connection.ok("POPPO.GET p 1").count("token");
    let lease = connection.ok("POPPO.CLAIM p w BLOCK 0 REQ r1");
    assert_eq!((lease.count("issue"), lease.count("token")), (1, token));
    assert_eq!(ids(&mut connection, "QUEUE"), ["2:issue"]);
    assert_sound(&mut connection);
}

#[test]
fn a_check_in_with_next_whose_answer_was_lost_is_answered_the_same_again() {
    for (keeper, builder) in keepers() {
        let mut server = builder.start();
        let mut connection = server.connect();
        for issue in 1..=4 {
            connection.ok(&format!("POPPO.ENQUEUE p {issue} ID comment-{issue}"));
        }
        let first = connection.ok("POPPO.CLAIM p w REQ r1").count("token");
        let checkin = format!("POPPO.CHECKIN p 1 w STATUS completed TOKEN {first} NEXT REQ r2");
        let mut lost = server.connect();
        lost.send(&checkin);
        wait_until("the server has carried it out", || total(&mut connection, "claimed") == 2);
        drop(lost);
        let second = connection.ok("POPPO.GET p 2").count("token");
        live_again(&mut server, keeper, |connection, again| {
            let answer = connection.ok(&checkin);
            assert_eq!(answer.rows()[0], Value::Okay, "{keeper}, {again}");
            let next = &answer.rows()[1];
            assert_eq!((next.count("issue"), next.count("token")), (2, second), "{keeper}, {again}");
            // Who asks by the claim's own id is told the same.
            assert_eq!(connection.ok("POPPO.CLAIM p w REQ r2").count("token"), second, "{keeper}, {again}");
            assert_eq!((total(connection, "claimed"), total(connection, "finished")), (2, 1), "{keeper}, {again}");
            assert_sound(connection);
        });
        // When that lease has ended, too, there is nothing to tell, and nothing is claimed for it.
        let mut connection = server.connect();
        connection.ok(&format!("POPPO.CHECKIN p 2 w STATUS completed TOKEN {second}"));
        assert_eq!(show(&connection.ok(&checkin)), "1) OK\n2) (nil)");
        assert_eq!(ids(&mut connection, "QUEUE"), ["comment-3", "comment-4"]);
        assert_sound(&mut connection);
    }
}

#[test]
fn saving_and_starting_again_never_doubles_the_queue() {
    for (keeper, builder) in keepers() {
        let mut server = builder.start();
        let mut connection = server.connect();
        connection.ok("POPPO.CONFIG p SET max-attempts 2");
        // One of each: finished, awaiting a response, dead, called off, failed too often, to be tried again later, requeued,
        // delayed, running; and three that wait.
        for (issue, end) in [
            (1, "STATUS completed"),
            (2, "STATUS awaiting-response"),
            (3, "STATUS error"),
            (4, "STATUS cancelled"),
            (5, "STATUS error RETRY 0"),
            (6, "STATUS error RETRY 86400000"),
        ] {
            connection.ok(&format!("POPPO.ENQUEUE p {issue} ID comment-{issue}"));
            let token = connection.ok("POPPO.CLAIM p w TYPE issue").count("token");
            connection.ok(&format!("POPPO.CHECKIN p {issue} w {end} TOKEN {token}"));
            if issue == 5 {
                // Once too often.
                let token = connection.ok("POPPO.CLAIM p w TYPE issue").count("token");
                connection.ok(&format!("POPPO.CHECKIN p 5 w STATUS error RETRY 0 TOKEN {token}"));
            }
        }
        connection.ok("POPPO.CHECKOUT p 100 w TYPE other");
        connection.ok("POPPO.EVICT p 100 REQUEUE");
        connection.ok("POPPO.ENQUEUE p 7 ID comment-7 DELAY 86400000");
        connection.ok("POPPO.ENQUEUE p 8 ID comment-8 PRIORITY urgent PAYLOAD {\"a\":1}");
        connection.ok("POPPO.CLAIM p runner TYPE issue TTL 86400000 REQ r");
        for issue in 9..=11 {
            connection.ok(&format!("POPPO.ENQUEUE p {issue} ID comment-{issue} TYPE review"));
        }
        let places = |connection: &mut Connection| ["QUEUE", "DELAYED", "DEAD"].map(|list| ids(connection, list));
        let before = places(&mut connection);
        let expected: [&[&str]; 3] = [
            &["100:other", "comment-9", "comment-10", "comment-11"],
            &["comment-6", "comment-7"],
            &["comment-3", "comment-5"],
        ];
        let mut sorted = before.clone();
        sorted[1].sort_unstable();
        assert_eq!(sorted, expected.map(|list| list.iter().map(ToString::to_string).collect::<Vec<_>>()));
        let whole = connection.dump("p");
        live_again(&mut server, keeper, |connection, again| {
            assert_eq!(places(connection), before, "{keeper}, {again}");
            assert!(connection.dump("p") == whole, "{keeper}, {again}");
            // Whoever looks for comments finds them all again.
            for issue in (1..=11).filter(|issue| *issue != 4) {
                let queued = connection.int(&format!("POPPO.ENQUEUE p {issue} ID comment-{issue}"));
                assert_eq!(queued, 0, "{keeper}, {again}: comment-{issue}");
            }
            assert!(connection.dump("p") == whole, "{keeper}, {again}");
            assert_sound(connection);
        });
        // Each is given out once.
        let mut connection = server.connect();
        let mut given = Vec::new();
        loop {
            let lease = connection.ok("POPPO.CLAIM p w");
            if matches!(lease, Value::Nil) {
                break;
            }
            given.push(lease.field("task"));
        }
        assert_eq!(given, expected[0], "{keeper}");
        assert_sound(&mut connection);
    }
}

#[test]
fn a_comment_counts_as_handled_when_its_work_is_finished_and_not_before() {
    for (keeper, builder) in keepers() {
        let mut server = builder.start();
        // What ENQUEUE says of it, and where it is, also when the server has started again.
        let queue = |server: &mut Server, place: &str| {
            live_again(server, keeper, |connection, again| {
                assert_eq!(connection.int("POPPO.ENQUEUE p 1 ID comment-1"), 0, "{keeper}, {again}: {place}");
                for list in ["QUEUE", "DEAD"] {
                    let there = ids(connection, list).len();
                    assert_eq!(there, usize::from(list == place), "{keeper}, {again}: {list}, not {place}");
                }
                assert_sound(connection);
            });
        };
        let work = |server: &Server, end: &str| {
            let mut connection = server.connect();
            let token = connection.ok("POPPO.CLAIM p w TTL 86400000").count("token");
            connection.ok(&end.replace('$', &token.to_string()));
        };
        assert_eq!(server.connect().int("POPPO.ENQUEUE p 1 ID comment-1"), 1);
        // Failed, lost, and failed for good: it is still to be done, or somebody has to look at it.
        work(&server, "POPPO.CHECKIN p 1 w STATUS error RETRY 0 TOKEN $");
        queue(&mut server, "QUEUE");
        work(&server, "POPPO.EVICT p 1 TOKEN $ REQUEUE");
        queue(&mut server, "QUEUE");
        work(&server, "POPPO.CHECKIN p 1 w STATUS error TOKEN $");
        queue(&mut server, "DEAD");
        assert_eq!(server.connect().int("POPPO.REVIVE p comment-1"), 1);
        queue(&mut server, "QUEUE");
        work(&server, "POPPO.CHECKIN p 1 w STATUS completed TOKEN $");
        queue(&mut server, "nowhere");
        // Finished is finished: the same comment of another issue is another one, and AGAIN is a person's word.
        let mut connection = server.connect();
        assert_eq!(connection.int("POPPO.ENQUEUE p 2 ID comment-1"), 1);
        connection.ok("POPPO.CANCEL p 2");
        assert_eq!(connection.int("POPPO.ENQUEUE p 1 ID comment-1 AGAIN"), 1);
        assert_eq!((total(&mut connection, "finished"), total(&mut connection, "enqueued")), (1, 3));
    }
}

#[test]
fn a_checkout_by_number_leaves_a_task_of_another_issue_alone() {
    let server = Server::start();
    let mut connection = server.connect();
    connection.ok("POPPO.ENQUEUE p 5 ID 2:fix");
    connection.ok("POPPO.CHECKOUT p 2 w TYPE fix");
    assert_eq!(ids(&mut connection, "QUEUE"), ["2:fix"]);
    assert_sound(&mut connection);
}

#[test]
fn a_takeover_by_number_takes_the_waiting_task_along_where_the_orphan_has_none() {
    let server = Server::start();
    let mut connection = server.connect();
    connection.ok("POPPO.CHECKOUT p 1 old HOST h PID 5");
    for kind in ["fix", "review"] {
        connection.ok(&format!("POPPO.ENQUEUE p 1 TYPE {kind}"));
    }
    connection.ok("POPPO.LIVENESS p old DEAD HOST h PID 5");
    connection.ok("POPPO.CHECKOUT p 1 new TYPE fix TAKEOVER HOST h PID 6");
    let record = connection.ok("POPPO.GET p 1");
    assert_eq!((record.field("task"), record.count("orphanCount")), ("1:fix".into(), 0));
    // Where the orphan has one, its work goes on in other hands, and the other task waits.
    connection.ok("POPPO.LIVENESS p new DEAD HOST h PID 6");
    connection.ok("POPPO.CHECKOUT p 1 newest TYPE review TAKEOVER");
    let record = connection.ok("POPPO.GET p 1");
    assert_eq!((record.field("task"), record.count("orphanCount")), ("1:fix".into(), 1));
    assert_eq!(ids(&mut connection, "QUEUE"), ["1:review"]);
    assert_sound(&mut connection);
}
