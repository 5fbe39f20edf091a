//! Following a project: its log, the outbox of labels, and waiting for both.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "in a test a panic is the report"
)]

use std::collections::BTreeMap;

use poppo_tests::transcript::{show, split};
use poppo_tests::{Connection, History, Protocol, Reply as _, Server, seed, wait_until};
use redis::Value;

/// How many clients wait for something.
fn blocked(connection: &mut Connection) -> usize {
    connection.info("clients", "blocked_clients").parse().unwrap()
}

/// A client that has sent `line` and waits for its answer.
fn waiting(server: &Server, line: &str) -> Connection {
    let mut looker = server.connect();
    let before = blocked(&mut looker);
    let mut connection = server.connect();
    connection.send(line);
    wait_until("the client waits", || blocked(&mut looker) == before + 1);
    connection
}

/// The numbers of the events in an answer.
fn ids(events: &Value) -> Vec<i64> {
    events.rows().iter().map(|event| event.count("id")).collect()
}

/// The rows of the outbox: issue, status, version.
fn outbox(connection: &mut Connection, project: &str) -> Vec<(i64, String, i64)> {
    let rows = connection.ok(&format!("POPPO.LABELS {project} COUNT 10000"));
    rows.rows().iter().map(|row| (row.count("issue"), row.field("status"), row.count("version"))).collect()
}

/// An event without what differs from run to run, as one line.
fn told(event: &Value) -> String {
    let fields = event.fields().into_iter().filter(|field| !["token", "at"].contains(&field.as_str()));
    let shown = fields.map(|field| {
        let value = event.get(&field).unwrap();
        format!("{field}={}", value.text().unwrap_or_else(|| value.number().to_string()))
    });
    shown.collect::<Vec<_>>().join(" ")
}

#[test]
fn rows_are_maps_in_resp3_and_flat_arrays_in_resp2() {
    let server = Server::start();
    server.connect().ok("POPPO.CHECKOUT p 7 w1 TYPE fix");
    for protocol in [Protocol::Resp2, Protocol::Resp3] {
        let mut connection = server.connect_with(protocol);
        let events = connection.ok("POPPO.EVENTS p AFTER 0");
        assert_eq!(
            events.rows()[0].fields(),
            ["id", "event", "issue", "process", "token", "status", "type", "at"],
            "{protocol:?}"
        );
        let labels = connection.ok("POPPO.LABELS p");
        assert_eq!(labels.rows()[0].fields(), ["issue", "status", "version"], "{protocol:?}");
        let is_map = |rows: &Value| matches!(rows.rows()[0], Value::Map(_));
        assert_eq!(is_map(&events) && is_map(&labels), protocol == Protocol::Resp3);
        assert_eq!(is_map(&events) || is_map(&labels), protocol == Protocol::Resp3);
        for nothing in ["POPPO.EVENTS p AFTER 1", "POPPO.EVENTS p AFTER 9007199254740991", "POPPO.EVENTS q AFTER 0"] {
            assert_eq!(show(&connection.ok(nothing)), "(empty array)", "{nothing}");
        }
        assert_eq!(show(&connection.ok("POPPO.LABELS q")), "(empty array)");
        assert_eq!(show(&connection.ok("POPPO.EVENTS p AFTER 1 BLOCK 1")), "(nil)", "{protocol:?}");
        assert_eq!(show(&connection.ok("POPPO.LABELS q BLOCK 1")), "(nil)", "{protocol:?}");
    }
}

#[test]
fn each_change_of_a_status_is_one_event_and_nothing_else_is() {
    let server = Server::start();
    let mut connection = server.connect();
    let mut told_so_far = 0;
    let mut expect = |connection: &mut Connection, line: &str, expected: &[&str]| -> Value {
        let answer = connection.ok(line);
        let events = connection.ok(&format!("POPPO.EVENTS p AFTER {told_so_far}"));
        let told: Vec<String> = events.rows().iter().map(told).collect();
        assert_eq!(told, expected, "{line}");
        told_so_far += expected.len();
        answer
    };
    let lines: [(&str, &[&str]); 21] = [
        (
            "POPPO.CHECKOUT p 1 w1 TYPE fix HOST h PID 5",
            &["id=1 event=checkout issue=1 process=w1 status=processing type=fix"],
        ),
        ("POPPO.CHECKOUT p 1 w1 TYPE docs TITLE renewed", &[]),
        ("POPPO.HEARTBEAT p w1 PROGRESS half", &[]),
        ("POPPO.LIVENESS p w1 ALIVE HOST h PID 5", &[]),
        ("POPPO.LABELLED p 1 1", &[]),
        (
            "POPPO.CHECKIN p 1 w1 STATUS awaiting-response REASON \"why not\"",
            &[
                "id=2 event=checkin issue=1 process=w1 status=awaiting-response from=processing type=docs reason=why not",
            ],
        ),
        ("POPPO.CHECKOUT p 1 w1", &["id=3 event=checkout issue=1 process=w1 status=processing from=awaiting-response"]),
        ("POPPO.LIVENESS p w1 DEAD HOST h PID 5", &[]),
        (
            "POPPO.CHECKOUT p 1 w2 TYPE fix TAKEOVER",
            &["id=4 event=takeover issue=1 process=w2 status=processing from=processing type=fix reason=dead"],
        ),
        (
            "POPPO.EVICT p 1 REASON wrong",
            &["id=5 event=evict issue=1 process=w2 status=error from=processing type=fix reason=wrong"],
        ),
        ("POPPO.FORGET p 1", &["id=6 event=forget issue=1 process=w2 from=error type=fix"]),
        ("POPPO.FORGET p 1", &[]),
        ("POPPO.CONFIG p SET max-attempts 7", &[]),
        ("POPPO.CHECKOUT p 1 w2", &["id=7 event=checkout issue=1 process=w2 status=processing"]),
        ("POPPO.EVICT p 1", &["id=8 event=evict issue=1 process=w2 status=error from=processing"]),
        ("POPPO.CHECKOUT p 2 w3 HOST h PID 7", &["id=9 event=checkout issue=2 process=w3 status=processing"]),
        ("POPPO.CHECKOUT p 3 w3 HOST h PID 7", &["id=10 event=checkout issue=3 process=w3 status=processing"]),
        ("POPPO.CHECKOUT p 4 w3 INCARNATION j", &["id=11 event=checkout issue=4 process=w3 status=processing"]),
        (
            "POPPO.CHECKOUT p 3 w3 INCARNATION j TAKEOVER",
            &["id=12 event=takeover issue=3 process=w3 status=processing from=processing reason=replaced"],
        ),
        ("POPPO.GET p 2", &[]),
        ("POPPO.STATS p", &[]),
    ];
    for (line, expected) in lines {
        expect(&mut connection, line, expected);
    }
    let token = connection.ok("POPPO.GET p 2").count("token");
    let line = format!("POPPO.REPAIR p 2 TOKEN {token}");
    let repair = "id=13 event=repair issue=2 process=w3 status=error from=processing reason=replaced";
    expect(&mut connection, &line, &[repair]);
    // Again: nothing changes, and nothing is told.
    expect(&mut connection, &line, &[]);
    connection.refused("POPPO.CHECKOUT p 4 w9", "HELD");
    expect(
        &mut connection,
        "POPPO.CHECKOUT p 5 w4 HOST h PID 8",
        &["id=14 event=checkout issue=5 process=w4 status=processing"],
    );
    connection.ok("POPPO.LIVENESS p w4 DEAD HOST h PID 8");
    let token = connection.ok("POPPO.GET p 5").count("token");
    expect(
        &mut connection,
        &format!("POPPO.REPAIR p 5 TOKEN {token} STATUS awaiting-response REASON given"),
        &["id=15 event=repair issue=5 process=w4 status=awaiting-response from=processing reason=given"],
    );
    let event = connection.ok("POPPO.EVENTS p AFTER 14");
    assert_eq!(event.rows()[0].count("token"), token);
    assert_eq!(event.rows()[0].field("at"), connection.ok("POPPO.GET p 5").field("endTime"));
}

#[test]
fn who_reads_behind_what_is_kept_is_told_what_is_gone() {
    let server = Server::start();
    let mut connection = server.connect();
    for issue in 1..=100 {
        connection.ok(&format!("POPPO.CHECKOUT p {issue} w1"));
    }
    let first = |connection: &mut Connection, after: i64| {
        let events = connection.ok(&format!("POPPO.EVENTS p AFTER {after} COUNT 3"));
        let trimmed = events.rows().first().filter(|row| row.field("event") == "trimmed");
        if let Some(row) = trimmed {
            assert_eq!(row.fields(), ["id", "event"]);
        }
        (trimmed.map(|row| row.count("id")), ids(&events)[usize::from(trimmed.is_some())..].to_vec())
    };
    assert_eq!(first(&mut connection, 0), (None, vec![1, 2, 3]));
    let memory = connection.int("MEMORY USAGE p");
    connection.ok("POPPO.CONFIG p SET events-kept 4");
    // At once for whoever reads, although memory is given back by the writes to come. COUNT does not count the hint.
    assert_eq!(first(&mut connection, 0), (Some(96), vec![97, 98, 99]));
    assert_eq!(first(&mut connection, 95), (Some(96), vec![97, 98, 99]));
    assert_eq!(first(&mut connection, 96), (None, vec![97, 98, 99]));
    assert_eq!(first(&mut connection, 99), (None, vec![100]));
    assert_eq!(first(&mut connection, 100), (None, vec![]));
    assert_eq!(first(&mut connection, 101), (None, vec![]));
    for _ in 0..7 {
        connection.ok("POPPO.HEARTBEAT p w1");
    }
    assert!(connection.int("MEMORY USAGE p") < memory - 80 * 40, "the memory of old events was not given back");
    connection.ok("POPPO.CONFIG p SET events-kept 1000");
    assert_eq!(first(&mut connection, 0), (Some(96), vec![97, 98, 99]), "what is gone does not come back");
    connection.ok("POPPO.CONFIG p SET events-kept 0");
    assert_eq!(first(&mut connection, 0), (Some(100), vec![]));
    assert_eq!(first(&mut connection, 99), (Some(100), vec![]));
    assert_eq!(first(&mut connection, 100), (None, vec![]));
    // Who waits although nothing is kept is told that there was something.
    let mut reader = waiting(&server, "POPPO.EVENTS p AFTER 100 BLOCK 0");
    connection.ok("POPPO.EVICT p 1");
    assert_eq!(show(&reader.message()), "1) 1# \"id\" => (integer) 101\n   2# \"event\" => \"trimmed\"");
}

#[test]
fn the_outbox_has_each_issue_once_longest_behind_first_until_its_version_is_confirmed() {
    let server = Server::start();
    let mut connection = server.connect();
    let row = |issue, status: &str, version| (issue, status.to_owned(), version);
    for issue in [5, 3, 9] {
        connection.ok(&format!("POPPO.CHECKOUT p {issue} w1"));
    }
    let held = "processing";
    assert_eq!(outbox(&mut connection, "p"), [row(5, held, 1), row(3, held, 2), row(9, held, 3)]);
    assert_eq!(connection.ok("POPPO.LABELS p COUNT 2").rows().len(), 2);
    connection.ok("POPPO.CHECKIN p 5 w1 STATUS error");
    assert_eq!(outbox(&mut connection, "p"), [row(3, held, 2), row(9, held, 3), row(5, "error", 4)]);
    for stale in ["POPPO.LABELLED p 5 1", "POPPO.LABELLED p 5 3", "POPPO.LABELLED p 5 5", "POPPO.LABELLED p 7 1"] {
        let before = connection.dump("p");
        assert_eq!(connection.int(stale), 0, "{stale}");
        assert!(connection.dump("p") == before, "{stale}");
    }
    assert_eq!(connection.int("POPPO.LABELLED p 5 4"), 1);
    assert_eq!(connection.int("POPPO.LABELLED p 5 4"), 0, "it was confirmed before");
    assert_eq!(connection.int("POPPO.LABELLED new 5 4"), 0);
    assert_eq!(connection.int("EXISTS new"), 0);
    // What is no change of the status is no reason to label.
    connection.ok("POPPO.HEARTBEAT p w1");
    connection.ok("POPPO.CHECKOUT p 9 w1 TITLE again");
    assert_eq!(outbox(&mut connection, "p"), [row(3, held, 2), row(9, held, 3)]);
    connection.ok("POPPO.CHECKOUT p 5 w1");
    connection.ok("POPPO.CHECKIN p 9 w1 STATUS completed");
    assert_eq!(outbox(&mut connection, "p"), [row(3, held, 2), row(5, held, 5), row(9, "completed", 6)]);
    connection.ok("POPPO.FORGET p 9");
    assert_eq!(outbox(&mut connection, "p"), [row(3, held, 2), row(5, held, 5)]);
    // The same status again is a new version: whoever labels may have shown another one meanwhile.
    connection.ok("POPPO.EVICT p 3");
    connection.ok("POPPO.CHECKOUT p 3 w1");
    assert_eq!(connection.int("POPPO.LABELLED p 3 2"), 0);
    assert_eq!(outbox(&mut connection, "p"), [row(5, held, 5), row(3, held, 9)]);
}

#[test]
fn who_waits_is_served_by_the_next_event() {
    let server = Server::start();
    let mut connection = server.connect();
    // A key that does not exist yet will do.
    let mut readers: Vec<Connection> = (0..10).map(|_| waiting(&server, "POPPO.EVENTS p AFTER 0 BLOCK 0")).collect();
    let mut later = waiting(&server, "POPPO.EVENTS p AFTER 2 BLOCK 600000");
    let mut labels: Vec<Connection> = (0..5).map(|_| waiting(&server, "POPPO.LABELS p BLOCK 0")).collect();
    let mut other = waiting(&server, "POPPO.LABELS other BLOCK 0");
    connection.ok("POPPO.CHECKOUT p 1 w1");
    for reader in &mut readers {
        assert_eq!(ids(&reader.message()), [1]);
        assert_eq!(reader.text("PING"), "PONG");
    }
    for reader in &mut labels {
        assert_eq!(reader.message().rows()[0].count("version"), 1);
    }
    assert_eq!(blocked(&mut connection), 2, "nothing came for the other two");
    connection.ok("POPPO.HEARTBEAT p w1");
    connection.ok("POPPO.EVICT p 1");
    assert_eq!(blocked(&mut connection), 2);
    connection.ok("POPPO.CHECKOUT p 1 w1");
    assert_eq!(ids(&later.message()), [3]);
    connection.ok("POPPO.CHECKOUT other 1 w1");
    assert_eq!(other.message().rows().len(), 1);
    wait_until("nobody waits", || blocked(&mut connection) == 0);
    // Where there is something, nobody waits.
    assert_eq!(ids(&connection.ok("POPPO.EVENTS p AFTER 1 BLOCK 0")), [2, 3]);
    assert_eq!(connection.ok("POPPO.LABELS p BLOCK 0").rows().len(), 1);
    // A label that is confirmed is nothing to label.
    connection.ok("POPPO.LABELLED p 1 3");
    let mut labels = waiting(&server, "POPPO.LABELS p BLOCK 0");
    connection.ok("POPPO.LABELLED other 1 1");
    connection.ok("POPPO.EVICT p 1");
    assert_eq!(show(labels.message().rows()[0].get("status").unwrap()), "\"error\"");
}

#[test]
fn in_transactions_and_scripts_nobody_waits() {
    let server = Server::start();
    let mut connection = server.connect();
    connection.ok("POPPO.CHECKOUT p 1 w1");
    connection.ok("POPPO.LABELLED p 1 1");
    let lines = ["POPPO.EVENTS p AFTER 1 BLOCK 0", "POPPO.LABELS p BLOCK 0", "POPPO.EVENTS new AFTER 0 BLOCK 0"];
    connection.ok("MULTI");
    for line in lines {
        connection.ok(line);
    }
    for answer in connection.ok("EXEC").rows() {
        assert_eq!(show(answer), "(empty array)");
    }
    for line in lines {
        let mut call = split("EVAL \"return redis.call(unpack(ARGV))\" 0");
        call.extend(split(line));
        assert_eq!(show(&connection.call(&call)), "(empty array)", "{line}");
    }
    assert_eq!(blocked(&mut connection), 0);
}

#[test]
fn a_transaction_of_many_events_serves_who_waits_with_all_of_them() {
    let server = Server::start();
    let mut connection = server.connect();
    let mut reader = waiting(&server, "POPPO.EVENTS p AFTER 0 BLOCK 0");
    let mut few = waiting(&server, "POPPO.EVENTS p AFTER 0 COUNT 5 BLOCK 0");
    connection.ok("MULTI");
    for issue in 1..=50 {
        connection.ok(&format!("POPPO.CHECKOUT p {issue} w1"));
    }
    connection.ok("EXEC");
    assert_eq!(ids(&reader.message()), (1..=50).collect::<Vec<_>>());
    assert_eq!(ids(&few.message()), [1, 2, 3, 4, 5]);
    // So does a script.
    let mut reader = waiting(&server, "POPPO.EVENTS p AFTER 50 BLOCK 0");
    let script = "for i = 51, 60 do redis.call('POPPO.CHECKOUT', KEYS[1], i, 'w1') end";
    connection.call(&["EVAL", script, "1", "p"]);
    assert_eq!(ids(&reader.message()), (51..=60).collect::<Vec<_>>());
}

#[test]
fn who_waited_long_enough_or_is_unblocked_gets_null_or_an_error() {
    let server = Server::start();
    let mut connection = server.connect();
    for line in ["POPPO.EVENTS p AFTER 0 BLOCK", "POPPO.LABELS p BLOCK"] {
        assert_eq!(show(&connection.ok(&format!("{line} 20"))), "(nil)");
        for (how, expected) in [("TIMEOUT", "(nil)"), ("ERROR", "(error) UNBLOCKED")] {
            let mut reader = server.connect();
            let id = reader.int("CLIENT ID");
            reader.send(&format!("{line} 0"));
            wait_until("it waits", || blocked(&mut connection) == 1);
            assert_eq!(connection.int(&format!("CLIENT UNBLOCK {id} {how}")), 1);
            assert!(show(&reader.message()).starts_with(expected));
            // It is a client like any other afterwards.
            assert_eq!(reader.text("PING"), "PONG");
            wait_until("nobody waits", || blocked(&mut connection) == 0);
        }
    }
    assert_eq!(connection.info("poppo", "poppo_panics"), "0");
}

#[test]
fn who_leaves_while_waiting_costs_nothing() {
    let server = Server::start();
    let mut connection = server.connect();
    connection.ok("POPPO.CHECKOUT p 1 w1");
    connection.ok("POPPO.LABELLED p 1 1");
    let wave = |connection: &mut Connection, kill: bool| {
        let mut readers: Vec<(i64, Connection)> = (0..50)
            .map(|n| {
                let mut reader = server.connect();
                let id = reader.int("CLIENT ID");
                let project = if n % 5 == 0 { "nowhere" } else { "p" };
                let line = if n % 2 == 0 {
                    format!("POPPO.LABELS {project}")
                } else {
                    format!("POPPO.EVENTS {project} AFTER 1")
                };
                reader.send(&format!("{line} BLOCK 0"));
                (id, reader)
            })
            .collect();
        wait_until("all wait", || blocked(connection) == 50);
        if kill {
            for (id, _) in &readers {
                connection.ok(&format!("CLIENT KILL ID {id}"));
            }
        }
        readers.clear();
        wait_until("nobody waits", || blocked(connection) == 0);
        wait_until("all are gone", || connection.info("clients", "connected_clients") == "1");
        connection.info("memory", "used_memory").parse::<u64>().unwrap()
    };
    wave(&mut connection, true);
    let before = wave(&mut connection, false);
    for round in 0..6 {
        let after = wave(&mut connection, round % 2 == 0);
        println!("{before} {after}");
        assert!(after < before + 256 * 1024, "{} bytes for nothing", after - before);
    }
    // An event that nobody waits for any more harms nobody.
    connection.ok("POPPO.EVICT p 1");
    assert_eq!(ids(&connection.ok("POPPO.EVENTS p AFTER 1")), [2]);
}

#[test]
fn a_project_may_go_and_come_back_under_who_waits() {
    let server = Server::start();
    let mut connection = server.connect();
    let fill = |connection: &mut Connection, project: &str, events: usize| {
        for issue in 1..=events {
            connection.ok(&format!("POPPO.CHECKOUT {project} {issue} w1"));
        }
    };
    // Deleted, flushed, expired: it waits on, for an event of that number.
    for gone in ["DEL p", "UNLINK p", "FLUSHALL", "FLUSHDB ASYNC", "PEXPIREAT p 1"] {
        connection.ok("DEL p");
        fill(&mut connection, "p", 3);
        let mut reader = waiting(&server, "POPPO.EVENTS p AFTER 3 BLOCK 0");
        connection.ok(gone);
        fill(&mut connection, "p", 3);
        assert_eq!(blocked(&mut connection), 1, "{gone}");
        connection.ok("POPPO.EVICT p 1");
        assert_eq!(ids(&reader.message()), [4], "{gone}");
    }
    // Another project that comes to that name serves it: renamed, copied, restored, moved, swapped.
    let comes = ["RENAME q p", "COPY q p", "RESTORE", "MOVE", "SWAPDB 0 1"];
    for how in comes {
        connection.ok("FLUSHALL");
        fill(&mut connection, "p", 3);
        let mut reader = waiting(&server, "POPPO.EVENTS p AFTER 3 BLOCK 0");
        connection.ok("DEL p");
        fill(&mut connection, "q", 5);
        match how {
            "RESTORE" => {
                let payload = connection.dump("q");
                assert_eq!(connection.call(&[&b"RESTORE"[..], b"p", b"0", &payload]).error(), None);
            }
            "MOVE" | "SWAPDB 0 1" => {
                connection.ok("SELECT 1");
                fill(&mut connection, "p", 5);
                connection.ok(if how == "MOVE" { "MOVE p 0" } else { how });
                connection.ok("SELECT 0");
            }
            _ => drop(connection.ok(how)),
        }
        assert_eq!(ids(&reader.message()), [4, 5], "{how}");
    }
    assert_eq!(connection.info("poppo", "poppo_panics"), "0");
}

#[test]
fn what_is_no_project_refuses_who_waits_or_leaves_it_waiting() {
    let server = Server::start();
    let mut connection = server.connect();
    let mut reader = waiting(&server, "POPPO.EVENTS p AFTER 0 BLOCK 0");
    connection.ok("RPUSH p x");
    let error = reader.message().error().unwrap();
    assert!(error.starts_with("WRONGTYPE"), "{error}");
    assert_eq!(reader.text("PING"), "PONG");
    reader.refused("POPPO.EVENTS p AFTER 0 BLOCK 0", "WRONGTYPE");
    // A string wakes nobody; the project that follows does.
    let mut reader = waiting(&server, "POPPO.LABELS s BLOCK 0");
    connection.ok("SET s x");
    connection.ok("DEL s");
    connection.ok("POPPO.CHECKOUT s 1 w1");
    assert_eq!(reader.message().rows().len(), 1);
    wait_until("nobody waits", || blocked(&mut connection) == 0);
}

#[test]
fn who_waits_at_a_replica_is_served_by_what_is_replicated() {
    let primary = Server::start();
    let replica = primary.replica(Server::builder());
    let mut connection = primary.connect();
    let mut events = waiting(&replica, "POPPO.EVENTS p AFTER 0 BLOCK 0");
    let mut labels = waiting(&replica, "POPPO.LABELS p BLOCK 0");
    connection.ok("POPPO.CHECKOUT p 1 w1");
    assert_eq!(ids(&events.message()), [1]);
    assert_eq!(labels.message().rows()[0].count("version"), 1);
    connection.ok("POPPO.LABELLED p 1 1");
    primary.wait_for_replicas(&[&replica]);
    assert_eq!(show(&labels.ok("POPPO.LABELS p")), "(empty array)");
    labels.refused("POPPO.LABELLED p 1 1", "READONLY");
    // In a transaction, too.
    let mut events = waiting(&replica, "POPPO.EVENTS p AFTER 1 BLOCK 0");
    for line in ["MULTI", "POPPO.EVICT p 1", "POPPO.CHECKOUT p 1 w1", "EXEC"] {
        connection.ok(line);
    }
    assert_eq!(ids(&events.message()), [2, 3]);
    // After a promotion it goes on by itself.
    let mut events = waiting(&replica, "POPPO.EVENTS p AFTER 3 BLOCK 0");
    replica.connect().ok("REPLICAOF NO ONE");
    replica.connect().ok("POPPO.EVICT p 1");
    assert_eq!(ids(&events.message()), [4]);
}

#[test]
fn a_pause_of_writes_neither_serves_nor_loses_who_waits() {
    let server = Server::start();
    let mut connection = server.connect();
    connection.ok("POPPO.CHECKOUT p 1 w1");
    let mut before = waiting(&server, "POPPO.EVENTS p AFTER 1 BLOCK 0");
    connection.ok("CLIENT PAUSE 600000 WRITE");
    let mut meanwhile = waiting(&server, "POPPO.EVENTS p AFTER 1 BLOCK 0");
    let mut writer = server.connect();
    writer.send("POPPO.EVICT p 1");
    wait_until("the writer is held up", || blocked(&mut connection) == 3);
    assert_eq!(show(&connection.ok("POPPO.EVENTS p AFTER 1")), "(empty array)");
    connection.ok("CLIENT UNPAUSE");
    assert_eq!(writer.message().text().unwrap(), "error");
    for reader in [&mut before, &mut meanwhile] {
        assert_eq!(ids(&reader.message()), [2]);
    }
    wait_until("nobody waits", || blocked(&mut connection) == 0);
}

/// What a follower makes of the events: the status of each issue that is known.
#[derive(Default)]
struct Follower {
    last: i64,
    status: BTreeMap<i64, String>,
}

impl Follower {
    fn learn(&mut self, events: &Value) {
        for event in events.rows() {
            assert_eq!(event.count("id"), self.last + 1, "an event is missing: {}", show(event));
            self.last += 1;
            let issue = event.count("issue");
            let text = |field: &str| event.get(field).map(|value| value.text().unwrap());
            assert_eq!(text("from"), self.status.get(&issue).cloned(), "{}", show(event));
            match text("status") {
                Some(status) => drop(self.status.insert(issue, status)),
                None => drop(self.status.remove(&issue)),
            }
        }
    }
}

#[test]
fn a_follower_knows_the_status_of_every_issue_from_ten_thousand_events() {
    let server = Server::start();
    let mut connection = server.connect();
    connection.ok("POPPO.CONFIG p SET events-kept 1000000");
    // One follows while it happens, in large and small pieces.
    let follower = std::thread::scope(|scope| {
        let mut reader = server.connect();
        let follower = scope.spawn(move || {
            let mut follower = Follower::default();
            loop {
                let count = follower.last % 97 + 1;
                let events = reader.ok(&format!("POPPO.EVENTS p AFTER {} COUNT {count} BLOCK 0", follower.last));
                assert!(events.rows().len() <= count as usize);
                let done = events.rows().iter().any(|event| event.count("issue") == 4711);
                follower.learn(&events);
                if done {
                    return follower;
                }
            }
        });
        let mut history = History::new("p", seed(700));
        let mut happened = 0;
        while happened < 10_000 {
            let lines = (0..500).map(|_| history.line());
            // An issue that is over a limit goes without an event.
            let lines = lines.filter(|line| !line.contains("issues-kept") && !line.contains("events-kept"));
            let commands: Vec<_> = lines.map(|line| split(&line)).collect();
            connection.pipeline(&commands).iter().for_each(|answer| history.learn(answer));
            let stats = connection.ok("POPPO.STATS p");
            happened = stats.count("checkouts") + stats.count("hold.count") - stats.count("takeovers");
        }
        connection.ok("POPPO.CHECKOUT p 4711 last");
        follower.join().unwrap()
    });
    // Also of those that only have tasks: they are not listed, but known.
    let known = (1..=25).chain([4711]).filter_map(|issue| {
        let record = connection.ok(&format!("POPPO.GET p {issue}"));
        (!matches!(record, Value::Nil)).then(|| (issue, record.field("status")))
    });
    let known: BTreeMap<i64, String> = known.collect();
    assert_eq!(follower.status, known);
    assert!(follower.last >= 10_000);
    // Another one reads it afterwards.
    let mut late = Follower::default();
    loop {
        let events = connection.ok(&format!("POPPO.EVENTS p AFTER {} COUNT 777", late.last));
        if events.rows().is_empty() {
            break;
        }
        late.learn(&events);
    }
    assert_eq!((late.last, late.status), (follower.last, follower.status));
    // The versions in the outbox are the numbers of the events that gave the statuses.
    for (issue, status, version) in outbox(&mut connection, "p") {
        let event = connection.ok(&format!("POPPO.EVENTS p AFTER {} COUNT 1", version - 1));
        assert_eq!((event.rows()[0].count("issue"), event.rows()[0].field("status")), (issue, status));
    }
}

#[test]
fn log_and_outbox_survive_restarts_and_are_the_same_at_a_replica() {
    for (appendonly, preamble) in [("no", "yes"), ("yes", "yes"), ("yes", "no")] {
        let mut server = Server::builder()
            .no_grace()
            .arg("appendonly", appendonly)
            .arg("aof-use-rdb-preamble", preamble)
            .arg("auto-aof-rewrite-percentage", 0)
            .start();
        let replica = server.replica(Server::builder());
        let mut connection = server.connect();
        let commands: Vec<_> = (1..=900)
            .flat_map(|issue| {
                let out = format!("POPPO.CHECKOUT p {issue} w{} TYPE fix", issue % 7);
                let back = format!("POPPO.CHECKIN p {issue} w{} STATUS error REASON r{issue}", issue % 7);
                [split(&out), split(&back)]
            })
            .collect();
        connection.pipeline(&commands);
        connection.ok("POPPO.CONFIG p SET events-kept 1500");
        for issue in (1..=900).step_by(3) {
            assert_eq!(connection.int(&format!("POPPO.LABELLED p {issue} {}", issue * 2)), 1);
        }
        if appendonly == "yes" {
            connection.ok("BGREWRITEAOF");
            wait_until("the AOF is rewritten", || {
                connection.info("persistence", "aof_rewrite_in_progress") == "0"
                    && connection.info("persistence", "aof_rewrite_scheduled") == "0"
            });
        }
        connection.ok("POPPO.CHECKOUT p 1000 w1");
        server.wait_for_replicas(&[&replica]);
        let seen = |connection: &mut Connection| {
            ["POPPO.EVENTS p AFTER 0 COUNT 10000", "POPPO.LABELS p COUNT 10000"].map(|line| show(&connection.ok(line)))
        };
        let (dump, before) = (connection.dump("p"), seen(&mut connection));
        assert!(replica.connect().dump("p") == dump && seen(&mut replica.connect()) == before);
        server.restart();
        let mut connection = server.connect();
        assert_eq!(seen(&mut connection), before, "appendonly {appendonly}, preamble {preamble}");
        assert!(connection.dump("p") == dump);
        connection.ok("POPPO.EVICT p 1000");
        assert_eq!(ids(&connection.ok("POPPO.EVENTS p AFTER 1801")), [1802]);
        assert_eq!(connection.info("poppo", "poppo_apply_failures"), "0");
    }
}
