//! Following a project: its log, the outbox of labels, and waiting for both.
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

/// How many clients wait for something.
pub(crate) fn blocked(connection: &mut Connection) -> usize {
    connection.info("clients", "blocked_clients").parse().unwrap()
}

/// A client that has sent `line` and waits for its answer.
pub(crate) fn waiting(server: &Server, line: &str) -> Connection {
    let mut looker = server.connect();
    let before = blocked(&mut looker);
    let mut connection = server.connect();
    connection.send(line);
    wait_until("the client waits", || blocked(&mut looker) == before + 1);
    connection
}

/// The numbers of the events in an answer.
pub(crate) fn ids(events: &Value) -> Vec<i64> {
    events.rows().iter().map(|event| event.count("id")).collect()
}

/// The rows of the outbox: issue, status, version.
pub(crate) fn outbox(connection: &mut Connection, project: &str) -> Vec<(i64, String, i64)> {
    let rows = connection.ok(&format!("POPPO.LABELS {project} COUNT 10000"));
    rows.rows().iter().map(|row| (row.count("issue"), row.field("status"), row.count("version"))).collect()
}

/// An event without what differs from run to run, as one line.
pub(crate) fn told(event: &Value) -> String {
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
