//! Looking at a project and keeping house: GET, LIST, STATS, FORGET, CONFIG and what is trimmed.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "in a test a panic is the report"
)]

use std::collections::BTreeSet;

use poppo_tests::transcript::show;
use poppo_tests::{Connection, Protocol, Reply as _, wait_until};
use redis::Value;

use super::Server;

/// A RESP3 reply as RESP2 says it.
fn flattened(value: Value) -> Value {
    match value {
        Value::Map(pairs) => {
            Value::Array(pairs.into_iter().flat_map(|(name, value)| [flattened(name), flattened(value)]).collect())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(flattened).collect()),
        other => other,
    }
}

/// The issues that a `POPPO.LIST` lists from cursor 0 to cursor 0.
fn listed(connection: &mut Connection, options: &str) -> Vec<i64> {
    let mut found = Vec::new();
    let mut cursor = "0".to_owned();
    loop {
        let page = connection.ok(&format!("POPPO.LIST p {options} CURSOR {cursor}"));
        found.extend(page.rows()[1].rows().iter().map(|row| row.count("issue")));
        cursor = page.rows()[0].text().unwrap();
        if cursor == "0" {
            return found;
        }
    }
}

fn processes(connection: &mut Connection) -> Vec<String> {
    let page = connection.ok("POPPO.LIST p PROCESSES COUNT 10000");
    page.rows()[1].rows().iter().map(|row| row.field("process")).collect()
}

#[test]
fn a_record_is_a_map_in_resp3_and_the_same_flat_array_in_resp2() {
    let server = Server::start();
    let mut three = server.connect();
    let mut two = server.connect_with(Protocol::Resp2);
    three.ok("POPPO.CHECKOUT p 1 w1 INCARNATION i HOST h PID 5 TMUX t TYPE fix TITLE one");
    three.ok("POPPO.HEARTBEAT p w1 PROGRESS half");
    three.ok("POPPO.CHECKOUT p 2 w1 INCARNATION i");
    three.ok("POPPO.CHECKIN p 2 w1 STATUS completed REASON r RESULT {} META a b");
    three.ok("POPPO.CHECKOUT p 3 w1 INCARNATION j");
    for line in [
        "POPPO.GET p 1",
        "POPPO.GET p 2",
        "POPPO.GET p 9",
        "POPPO.LIST p",
        "POPPO.LIST p PROCESSES",
        "POPPO.LIST p STATUS processing",
        "POPPO.ORPHANS p",
        "POPPO.STATS p",
        "POPPO.STATS nothing",
        "POPPO.CONFIG p GET",
        "POPPO.CONFIG p GET heartbeat-ttl",
        "POPPO.HEARTBEAT p w1",
    ] {
        let record = three.ok(line);
        assert_eq!(flattened(record), two.ok(line), "{line}");
    }
    assert!(matches!(three.ok("POPPO.GET p 1"), Value::Map(_)));
}

#[test]
fn the_fields_of_an_issue_come_in_their_order() {
    let server = Server::start();
    let mut connection = server.connect();
    connection.ok("POPPO.CHECKOUT p 1 w1 INCARNATION i HOST h PID 5 TMUX t TYPE fix TITLE one");
    connection.ok("POPPO.CHECKIN p 1 w1 STATUS completed");
    connection.ok("POPPO.CHECKOUT p 1 w1 INCARNATION i TYPE fix");
    connection.ok("POPPO.HEARTBEAT p w1 PROGRESS half");
    connection.ok("POPPO.LIVENESS p w1 DEAD HOST h PID 5");
    let held = [
        "issue",
        "status",
        "token",
        "process",
        "incarnation",
        "pid",
        "host",
        "tmux",
        "type",
        "title",
        "startTime",
        "lastSeen",
        "ttl",
        "progress",
        "progressTime",
        "orphan",
        "orphanSince",
        "completedTime",
    ];
    let issue = connection.ok("POPPO.GET p 1");
    assert_eq!(issue.fields(), held, "{}", show(&issue));

    connection.ok("POPPO.CHECKIN p 1 w1 STATUS error REASON r RESULT {} META a b");
    // What belongs to the life and not to the run goes with the lease.
    let ended = [
        "issue",
        "status",
        "token",
        "process",
        "pid",
        "host",
        "type",
        "title",
        "startTime",
        "endTime",
        "endedBy",
        "reason",
        "result",
        "metadata",
        "completedTime",
    ];
    let issue = connection.ok("POPPO.GET p 1");
    assert_eq!(issue.fields(), ended, "{}", show(&issue));
}

#[test]
fn a_list_shows_what_has_a_status() {
    let server = Server::start();
    let mut connection = server.connect();
    let statuses = ["completed", "awaiting-response", "error", "cancelled"];
    for issue in 1..=8 {
        connection.ok(&format!("POPPO.CHECKOUT p {issue} w1"));
        connection.ok(&format!("POPPO.CHECKIN p {issue} w1 STATUS {}", statuses[issue % 4]));
    }
    connection.ok("POPPO.CHECKOUT p 10 w1");
    connection.ok("POPPO.CHECKOUT p 9 w1");
    assert_eq!(listed(&mut connection, ""), (1..=10).collect::<Vec<_>>());
    assert_eq!(listed(&mut connection, "STATUS processing"), [9, 10]);
    assert_eq!(listed(&mut connection, "STATUS completed COUNT 1"), [4, 8]);
    assert_eq!(listed(&mut connection, "status cancelled count 1"), [3, 7]);
}

#[test]
fn a_list_in_pages_is_whole_while_the_project_changes() {
    let server = Server::start();
    let mut connection = server.connect();
    // Even issues are there throughout; odd ones come and go, and even ones change their status.
    let checkouts: Vec<Vec<String>> =
        (1..=600).map(|issue| ["POPPO.CHECKOUT", "p", &issue.to_string(), "w1"].map(str::to_owned).to_vec()).collect();
    connection.pipeline(&checkouts);
    for issue in (1..=300).step_by(2) {
        connection.ok(&format!("POPPO.CHECKIN p {issue} w1 STATUS completed"));
    }
    let mut seen = Vec::new();
    let mut cursor = "0".to_owned();
    let mut turn = 0;
    loop {
        let page = connection.ok(&format!("POPPO.LIST p COUNT 7 CURSOR {cursor}"));
        let rows = page.rows()[1].rows();
        assert!(rows.len() <= 7);
        seen.extend(rows.iter().map(|row| row.count("issue")));
        cursor = page.rows()[0].text().unwrap();
        if cursor == "0" {
            break;
        }
        turn += 1;
        connection.ok(&format!("POPPO.FORGET p {}", 2 * turn - 1));
        connection.ok(&format!("POPPO.CHECKOUT p {} w1", 10_001 + 2 * turn));
        connection.ok(&format!("POPPO.CHECKIN p {} w1 STATUS error", 2 * turn));
    }
    let even: Vec<i64> = seen.iter().copied().filter(|issue| issue % 2 == 0).collect();
    assert_eq!(even, (2..=600).step_by(2).collect::<Vec<_>>());
    assert_eq!(seen.len(), seen.iter().collect::<BTreeSet<_>>().len(), "something was listed twice");
}

#[test]
fn a_list_by_status_ends_even_where_few_have_it() {
    let server = Server::start();
    let mut connection = server.connect();
    for issue in 1..=200 {
        connection.ok(&format!("POPPO.CHECKOUT p {issue} w1"));
    }
    connection.ok("POPPO.CHECKIN p 200 w1 STATUS error");
    // A call looks at no more than ten times COUNT issues: the first finds nothing, but goes on.
    let page = connection.ok("POPPO.LIST p STATUS error COUNT 1");
    assert_ne!(page.rows()[0].text().unwrap(), "0");
    assert_eq!(page.rows()[1].rows().len(), 0);
    assert_eq!(listed(&mut connection, "STATUS error COUNT 1"), [200]);
}

#[test]
fn processes_are_listed_with_their_state() {
    let server = Server::start();
    let mut connection = server.connect();
    connection.ok("POPPO.CHECKOUT p 1 a INCARNATION i HOST h PID 5 TMUX t TTL 5000");
    connection.ok("POPPO.HEARTBEAT p a PROGRESS half");
    connection.ok("POPPO.LIVENESS p a ALIVE HOST h PID 5");
    connection.ok("POPPO.CHECKOUT p 2 b HOST h PID 6");
    connection.ok("POPPO.LIVENESS p b DEAD HOST h PID 6");
    connection.ok("POPPO.CHECKOUT p 3 c INCARNATION i");
    connection.ok("POPPO.CHECKOUT p 4 c INCARNATION j");
    let page = connection.ok("POPPO.LIST p PROCESSES");
    let rows = page.rows()[1].rows();
    let mut states: Vec<(String, String, i64)> =
        rows.iter().map(|row| (row.field("process"), row.field("state"), row.count("issues"))).collect();
    states.sort();
    let expected = [("a", "alive", 1), ("b", "dead", 1), ("c", "alive", 1), ("c", "replaced", 1)];
    assert_eq!(states, expected.map(|(process, state, issues)| (process.to_owned(), state.to_owned(), issues)));
    let first = rows.iter().find(|row| row.field("process") == "a").unwrap();
    let fields = [
        "process",
        "state",
        "incarnation",
        "pid",
        "host",
        "tmux",
        "issues",
        "ttl",
        "lastSeen",
        "attestTime",
        "progress",
        "progressTime",
    ];
    assert_eq!(first.fields(), fields);

    // In pages, too, each comes once.
    let mut found = Vec::new();
    let mut cursor = "0".to_owned();
    loop {
        let page = connection.ok(&format!("POPPO.LIST p PROCESSES COUNT 1 CURSOR {cursor}"));
        found.extend(page.rows()[1].rows().iter().map(|row| (row.field("process"), row.field("state"))));
        cursor = page.rows()[0].text().unwrap();
        if cursor == "0" {
            break;
        }
    }
    found.sort();
    assert_eq!(found, states.into_iter().map(|(process, state, _)| (process, state)).collect::<Vec<_>>());
}

#[test]
fn statistics_count_what_happened() {
    let server = Server::start();
    let mut connection = server.connect();
    for issue in 1..=5 {
        connection.ok(&format!("POPPO.CHECKOUT p {issue} w{issue} HOST h PID {issue}"));
        connection.ok(&format!("POPPO.CHECKOUT p {issue} w{issue} HOST h PID {issue}"));
    }
    connection.ok("POPPO.HEARTBEAT p w1 BRIEF");
    connection.ok("POPPO.CHECKIN p 1 w1 STATUS completed");
    connection.refused("POPPO.CHECKIN p 1 w1 STATUS completed", "NOTHELD");
    connection.ok("POPPO.EVICT p 2");
    connection.ok("POPPO.LIVENESS p w3 DEAD HOST h PID 3");
    connection.ok("POPPO.CHECKOUT p 3 w1 TAKEOVER");
    connection.ok("POPPO.LIVENESS p w4 DEAD HOST h PID 4");
    let stats = connection.ok("POPPO.STATS p");
    for (path, expected) in [
        ("issues.processing", 3),
        ("issues.completed", 1),
        ("issues.error", 1),
        ("orphans", 1),
        ("checkouts", 6),
        ("checkins.completed", 1),
        ("checkins.error", 0),
        ("heartbeats", 1),
        ("repairs.dead", 1),
        ("repairs.expired", 0),
        ("takeovers", 1),
        ("evictions", 1),
        ("hold.count", 3),
        ("detection.count", 1),
    ] {
        assert_eq!(stats.count(path), expected, "{path} in\n{}", show(&stats));
    }
    // Totals stay when an issue is forgotten, counts do not.
    connection.ok("POPPO.FORGET p 1");
    let stats = connection.ok("POPPO.STATS p");
    assert_eq!((stats.count("issues.completed"), stats.count("checkins.completed")), (0, 1));
}

#[test]
fn the_time_of_holding_is_measured() {
    let server = Server::start();
    let mut connection = server.connect();
    let begun = std::time::Instant::now();
    connection.ok("POPPO.CHECKOUT p 1 w1");
    let started = std::time::Instant::now();
    wait_until("200 ms have passed", || started.elapsed().as_millis() > 200);
    connection.ok("POPPO.CHECKIN p 1 w1 STATUS completed");
    let most = begun.elapsed().as_millis() as i64 + 5;
    let stats = connection.ok("POPPO.STATS p");
    assert!((195..=most).contains(&stats.count("hold.mean")), "{}", show(&stats));
    for percentile in ["hold.p50", "hold.p99"] {
        // Buckets are 12.5 % wide.
        assert!((170..=most * 9 / 8 + 1).contains(&stats.count(percentile)), "{}", show(&stats));
    }
}

#[test]
fn what_is_forgotten_leaves_no_trace_but_never_what_is_held() {
    let server = Server::start();
    for protocol in [Protocol::Resp2, Protocol::Resp3] {
        let mut connection = server.connect_with(protocol);
        connection.ok("DEL p");
        let token = connection.int("POPPO.CHECKOUT p 1 w1 TITLE one");
        let held = format!("HELD issue 1 is checked out by w1 (token {token}) since ");
        connection.refused("POPPO.FORGET p 1", &held);
        connection.ok("POPPO.CHECKIN p 1 w1 STATUS completed");
        assert_eq!(connection.int("POPPO.FORGET p 1"), 1);
        let before = connection.dump("p");
        assert_eq!(connection.int("POPPO.FORGET p 1"), 0);
        assert_eq!(connection.dump("p"), before);
        assert_eq!(show(&connection.ok("POPPO.GET p 1")), "(nil)");
        connection.refused(&format!("POPPO.CHECKIN p 1 w1 STATUS completed TOKEN {token}"), "NOTHELD");
        assert!(connection.int("POPPO.CHECKOUT p 1 w1") > token);
        assert!(connection.ok("POPPO.GET p 1").get("title").is_none());
    }
}

#[test]
fn the_settings_of_a_project_have_their_defaults_and_are_its_own() {
    let server = Server::start();
    let mut connection = server.connect();
    let defaults = [
        ("heartbeat-ttl", 1_800_000),
        ("attest-ttl", 60_000),
        ("max-silence", 7_200_000),
        ("max-attempts", 5),
        ("max-orphans", 3),
        ("max-running", 0),
        ("queue-aging", 0),
        ("events-kept", 10_000),
        ("issues-kept", 0),
        ("finished-kept", 10_000),
        ("process-kept", 3_600_000),
    ];
    let settings = connection.ok("POPPO.CONFIG p GET");
    assert_eq!(settings.fields(), defaults.map(|(name, _)| name));
    for (name, value) in defaults {
        assert_eq!(settings.count(name), value, "{name}");
    }
    assert_eq!(connection.text("POPPO.CONFIG p SET Heartbeat-TTL 5000 max-silence 6000"), "OK");
    assert_eq!(connection.int("EXISTS p"), 1);
    connection.ok("POPPO.CHECKOUT p 1 w1");
    connection.ok("POPPO.CHECKOUT q 1 w1");
    assert_eq!(connection.ok("POPPO.GET p 1").count("ttl"), 5000);
    assert_eq!(connection.ok("POPPO.GET q 1").count("ttl"), 1_800_000);
}

#[test]
fn finished_issues_over_the_limit_go_oldest_first() {
    let server = Server::start();
    let mut connection = server.connect();
    connection.ok("POPPO.CONFIG p SET issues-kept 3");
    connection.ok("POPPO.CHECKOUT p 1000 w1");
    for issue in 1..=50 {
        connection.ok(&format!("POPPO.CHECKOUT p {issue} w1"));
        connection.ok(&format!("POPPO.CHECKIN p {issue} w1 STATUS completed"));
    }
    wait_until("what is over the limit has gone as part of later writes", || {
        connection.ok("POPPO.HEARTBEAT p w1 BRIEF");
        listed(&mut connection, "").len() <= 4
    });
    assert_eq!(listed(&mut connection, ""), [48, 49, 50, 1000]);
    assert_eq!(connection.ok("POPPO.STATS p").count("checkins.completed"), 50);
    // What went is forgotten, for ONCE, too; what stayed is not.
    connection.ok("POPPO.CHECKOUT p 1 w1 ONCE");
    connection.refused("POPPO.CHECKOUT p 50 w1 ONCE", "DONE");
}

#[test]
fn a_limit_set_later_is_reached_a_few_entries_a_write() {
    let server = Server::start();
    let mut connection = server.connect();
    for issue in 1..=200 {
        connection.ok(&format!("POPPO.CHECKOUT p {issue} w1"));
        connection.ok(&format!("POPPO.CHECKIN p {issue} w1 STATUS error"));
    }
    connection.ok("POPPO.CONFIG p SET issues-kept 10");
    assert!(listed(&mut connection, "").len() > 100, "one write did all of it");
    let mut writes = 0;
    wait_until("the limit is reached", || {
        connection.ok("POPPO.HEARTBEAT p w1 BRIEF");
        writes += 1;
        listed(&mut connection, "").len() == 10
    });
    assert!(writes <= 200, "it took {writes} writes");
    assert_eq!(listed(&mut connection, ""), (191..=200).collect::<Vec<_>>());
}

#[test]
fn a_process_that_holds_nothing_goes_when_nothing_was_heard_of_it() {
    let server = Server::start();
    let mut connection = server.connect();
    connection.ok("POPPO.CONFIG p SET process-kept 1000");
    connection.ok("POPPO.CHECKOUT p 1 idle");
    connection.ok("POPPO.CHECKIN p 1 idle STATUS completed");
    connection.ok("POPPO.CHECKOUT p 2 busy");
    connection.ok("POPPO.CHECKOUT p 3 beating");
    connection.ok("POPPO.CHECKIN p 3 beating STATUS completed");
    assert_eq!(processes(&mut connection).len(), 3);
    wait_until("the idle process is gone", || {
        connection.ok("POPPO.HEARTBEAT p beating BRIEF");
        !processes(&mut connection).contains(&"idle".to_owned())
    });
    let mut left = processes(&mut connection);
    left.sort();
    assert_eq!(left, ["beating", "busy"]);
    connection.refused("POPPO.HEARTBEAT p idle", "NOPROC");
    // Its issue still says who had it.
    assert_eq!(connection.ok("POPPO.GET p 1").field("process"), "idle");
}
