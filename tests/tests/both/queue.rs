//! The queue, rule by rule: what becomes of tasks, and who gets which. Waiting for them is in `blocking.rs`.
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

fn started() -> (Server, Connection) {
    let server = Server::start();
    let connection = server.connect();
    (server, connection)
}

fn run(connection: &mut Connection, lines: &[&str]) {
    for line in lines {
        connection.ok(line);
    }
}

/// The issue of a claim's answer; none for null.
#[track_caller]
fn given(answer: &Value) -> Option<i64> {
    match answer {
        Value::Nil => None,
        answer => Some(answer.count("issue")),
    }
}

/// Claims as `worker` with some options.
#[track_caller]
fn claim(connection: &mut Connection, worker_and_options: &str) -> Option<i64> {
    given(&connection.ok(&format!("POPPO.CLAIM p {worker_and_options}")))
}

/// Claims until there is nothing more.
fn drained(connection: &mut Connection) -> Vec<i64> {
    std::iter::from_fn(|| claim(connection, "drainer")).collect()
}

/// The ids that a list shows, in order.
fn listed(connection: &mut Connection, what: &str) -> Vec<String> {
    let page = connection.ok(&format!("POPPO.LIST p {what} COUNT 10000"));
    page.rows()[1].rows().iter().map(|row| row.field("task")).collect()
}

fn status(connection: &mut Connection, issue: i64) -> String {
    match connection.ok(&format!("POPPO.GET p {issue}")) {
        Value::Nil => "unknown".to_owned(),
        issue => issue.field("status"),
    }
}

fn queue(connection: &mut Connection, what: &str) -> i64 {
    connection.ok("POPPO.STATS p").count(&format!("queue.{what}"))
}

/// Waits until nothing is delayed.
fn wait_until_due(connection: &mut Connection) {
    wait_until("all is due", || queue(connection, "delayed") == 0);
}

#[test]
fn a_task_is_queued_once_wherever_it_is() {
    let (_server, mut connection) = started();
    let enqueue = "POPPO.ENQUEUE p 1 TYPE fix";
    let mut again = |state: &str, expected: [i64; 2]| {
        assert_eq!([connection.int(enqueue), connection.int(&format!("{enqueue} AGAIN"))], expected, "{state}");
    };
    again("new", [1, 0]);
    again("waiting", [0, 0]);
    let (_server, mut connection) = started();
    connection.ok("POPPO.ENQUEUE p 1 TYPE fix DELAY 60000");
    assert_eq!([connection.int(enqueue), connection.int("POPPO.ENQUEUE p 1 TYPE fix AGAIN")], [0, 0], "delayed");
    assert_eq!(listed(&mut connection, "DELAYED"), ["1:fix"]);
    connection.ok("POPPO.CHECKOUT p 1 w1 TYPE fix");
    assert_eq!([connection.int(enqueue), connection.int("POPPO.ENQUEUE p 1 TYPE fix AGAIN")], [0, 0], "running");
    connection.ok("POPPO.CHECKIN p 1 w1 STATUS error");
    assert_eq!(connection.int(enqueue), 0, "dead");
    assert_eq!(connection.int("POPPO.ENQUEUE p 1 TYPE fix AGAIN PAYLOAD [2]"), 1, "dead, again");
    let row = connection.ok("POPPO.LIST p QUEUE").rows()[1].rows()[0].clone();
    assert_eq!((row.count("attempts"), row.field("payload")), (0, "[2]".into()), "anew, as this command says");
    assert_eq!(queue(&mut connection, "dead"), 0);
    claim(&mut connection, "w1");
    connection.ok("POPPO.CHECKIN p 1 w1 STATUS completed");
    assert_eq!([connection.int(enqueue), connection.int("POPPO.ENQUEUE p 1 TYPE fix AGAIN")], [0, 1], "finished");
    connection.ok("POPPO.CANCEL p 1");
    assert_eq!(connection.int(enqueue), 1, "what was cancelled is not remembered");
    // Another type, another id, another issue: other tasks.
    for other in ["POPPO.ENQUEUE p 1", "POPPO.ENQUEUE p 1 ID fix", "POPPO.ENQUEUE p 2 TYPE fix"] {
        assert_eq!(connection.int(other), 1, "{other}");
    }
    assert_eq!(connection.ok("POPPO.STATS p").count("tasks.enqueued"), 7);
}

#[test]
fn ids_of_finished_tasks_are_remembered_per_issue_and_as_many_as_set() {
    let (_server, mut connection) = started();
    let finish = |connection: &mut Connection, issue: i64, id: &str| {
        let queued = connection.int(&format!("POPPO.ENQUEUE p {issue} ID {id}"));
        if queued == 1 {
            assert_eq!(claim(connection, "w1"), Some(issue));
            connection.ok(&format!("POPPO.CHECKIN p {issue} w1 STATUS awaiting-response"));
        }
        queued
    };
    assert_eq!(finish(&mut connection, 1, "c1"), 1);
    assert_eq!(finish(&mut connection, 1, "c1"), 0);
    assert_eq!(finish(&mut connection, 2, "c1"), 1, "of another issue it is another task");
    connection.ok("POPPO.FORGET p 2");
    assert_eq!(finish(&mut connection, 2, "c1"), 1, "forgotten with its issue");
    connection.ok("POPPO.CONFIG p SET finished-kept 2");
    for id in ["c2", "c3", "c4"] {
        assert_eq!(finish(&mut connection, 1, id), 1);
    }
    // What is over the limit goes as part of a later write.
    connection.ok("POPPO.HEARTBEAT p w1");
    assert_eq!([finish(&mut connection, 1, "c4"), finish(&mut connection, 1, "c3")], [0, 0]);
    assert_eq!(finish(&mut connection, 1, "c1"), 1);
    // One that only has finished tasks is known, and can be forgotten.
    connection.ok("POPPO.CONFIG p SET finished-kept 0");
    connection.ok("POPPO.HEARTBEAT p w1");
    assert_eq!(finish(&mut connection, 1, "c4"), 1);
}

#[test]
fn tasks_are_served_by_priority_and_first_in_first_out() {
    let (_server, mut connection) = started();
    let levels = ["low", "normal", "urgent", "deferred", "high", "dogfooding", "normal", "51", "0", "1000", "low"];
    for (index, level) in levels.iter().enumerate() {
        // Of whatever type they are.
        connection.ok(&format!("POPPO.ENQUEUE p {} PRIORITY {level} TYPE t{}", index + 1, index % 4));
    }
    let depth = connection.ok("POPPO.STATS p").get("queue").unwrap().get("depth").unwrap().clone();
    assert_eq!(depth.fields(), ["1000", "100", "75", "51", "50", "25", "10", "0"]);
    assert_eq!((depth.count("1000"), depth.count("25")), (2, 2));
    assert_eq!(drained(&mut connection), [3, 10, 6, 5, 8, 2, 7, 1, 11, 4, 9]);
}

#[test]
fn a_higher_priority_raises_a_task_that_waits_and_a_lower_one_does_not() {
    let (_server, mut connection) = started();
    run(
        &mut connection,
        &["POPPO.ENQUEUE p 1", "POPPO.ENQUEUE p 2 TITLE two PAYLOAD [1]", "POPPO.ENQUEUE p 3 DELAY 60000"],
    );
    assert_eq!(connection.int("POPPO.ENQUEUE p 2 PRIORITY high TITLE other PAYLOAD [2] DELAY 60000"), 0);
    assert_eq!(connection.int("POPPO.ENQUEUE p 3 PRIORITY urgent"), 0);
    assert_eq!(connection.int("POPPO.ENQUEUE p 1 PRIORITY low"), 0);
    let rows = connection.ok("POPPO.LIST p QUEUE").rows()[1].rows().to_vec();
    let shown: Vec<_> = rows.iter().map(|row| (row.field("task"), row.count("priority"))).collect();
    assert_eq!(shown, [("1:issue".into(), 50), ("2:issue".into(), 75)]);
    assert_eq!((rows[1].field("title"), rows[1].field("payload")), ("two".into(), "[1]".into()), "all else stays");
    assert_eq!(connection.ok("POPPO.LIST p DELAYED").rows()[1].rows()[0].count("priority"), 1000);
    assert_eq!(drained(&mut connection), [2, 1]);
}

#[test]
fn waiting_raises_the_priority_where_the_project_says_so() {
    let (_server, mut connection) = started();
    // Low is 50 points below high: 50 times 4 ms.
    run(&mut connection, &["POPPO.CONFIG p SET queue-aging 4", "POPPO.ENQUEUE p 1 PRIORITY low"]);
    connection.ok("POPPO.ENQUEUE p 2 PRIORITY high");
    wait_until("the first is old", || connection.ok("POPPO.STATS p").count("queue.oldest") > 220);
    connection.ok("POPPO.ENQUEUE p 3 PRIORITY high");
    assert_eq!(drained(&mut connection), [2, 1, 3]);
    // Set while tasks wait, it is as if it always had been so; off, priority alone counts.
    for (aging, expected) in [(4, [5, 4, 6]), (0, [5, 6, 4])] {
        for issue in 1..=6 {
            connection.cmd(&format!("POPPO.EVICT p {issue}"));
            connection.ok(&format!("POPPO.FORGET p {issue}"));
        }
        connection.ok(&format!("POPPO.CONFIG p SET queue-aging {}", 4 - aging));
        run(&mut connection, &["POPPO.ENQUEUE p 4 PRIORITY low", "POPPO.ENQUEUE p 5 PRIORITY high"]);
        wait_until("the first is old", || connection.ok("POPPO.STATS p").count("queue.oldest") > 220);
        connection.ok("POPPO.ENQUEUE p 6 PRIORITY high");
        connection.ok(&format!("POPPO.CONFIG p SET queue-aging {aging}"));
        assert_eq!(drained(&mut connection), expected, "{aging}");
    }
}

#[test]
fn what_comes_back_or_falls_due_waits_behind_those_that_wait_already() {
    let (_server, mut connection) = started();
    run(&mut connection, &["POPPO.ENQUEUE p 1", "POPPO.ENQUEUE p 5 DELAY 2000", "POPPO.ENQUEUE p 2"]);
    assert_eq!(claim(&mut connection, "w1"), Some(1));
    connection.ok("POPPO.CHECKIN p 1 w1 STATUS error RETRY 0");
    connection.ok("POPPO.CHECKOUT p 6 w1");
    connection.ok("POPPO.EVICT p 6 REQUEUE");
    wait_until_due(&mut connection);
    connection.ok("POPPO.ENQUEUE p 7");
    assert_eq!(drained(&mut connection), [2, 1, 6, 5, 7]);
}

#[test]
fn the_tasks_of_a_held_issue_wait_for_it_and_block_nobody() {
    let (_server, mut connection) = started();
    run(
        &mut connection,
        &[
            "POPPO.ENQUEUE p 1 TYPE a PRIORITY urgent",
            "POPPO.ENQUEUE p 1 TYPE b PRIORITY urgent",
            "POPPO.ENQUEUE p 1 TYPE c PRIORITY high",
            "POPPO.ENQUEUE p 2 PRIORITY low",
        ],
    );
    assert_eq!(claim(&mut connection, "w1"), Some(1));
    let rows = connection.ok("POPPO.LIST p QUEUE").rows()[1].rows().to_vec();
    let held: Vec<bool> = rows.iter().map(|row| row.get("held").is_some()).collect();
    assert_eq!(held, [true, true, false]);
    assert_eq!(claim(&mut connection, "w1"), Some(2));
    assert_eq!(claim(&mut connection, "w1"), None);
    for task in ["1:b", "1:c"] {
        connection.ok("POPPO.CHECKIN p 1 w1 STATUS completed");
        assert_eq!(connection.ok("POPPO.CLAIM p w1").field("task"), task);
    }
    connection.ok("POPPO.CHECKIN p 1 w1 STATUS completed");
    assert_eq!(claim(&mut connection, "w1"), None);
}

#[test]
fn a_claim_answers_its_eight_fields_and_checks_the_issue_out() {
    let (server, mut connection) = started();
    run(
        &mut connection,
        &["POPPO.ENQUEUE p 1 TYPE fix TITLE \"A title\" PAYLOAD \" {\\\"ü\\\": 1}\"", "POPPO.ENQUEUE p 2 ID c7"],
    );
    let mut flat = server.connect_with(Protocol::Resp2);
    let options = "PID 5 HOST h INCARNATION i TITLE mine TMUX t TTL 5000";
    let answer = flat.ok(&format!("POPPO.CLAIM p w1 {options}"));
    let fields = ["issue", "token", "task", "type", "title", "payload", "attempts", "waited"];
    assert_eq!(answer.fields(), fields);
    assert!(matches!(answer, Value::Array(_)));
    assert_eq!(answer.field("title"), "A title", "the task's own goes before the claim's");
    assert_eq!(answer.field("payload"), " {\"ü\": 1}", "as it was written");
    let issue = connection.ok("POPPO.GET p 1");
    assert_eq!(issue.count("token"), answer.count("token"));
    for (field, value) in
        [("process", "w1"), ("host", "h"), ("incarnation", "i"), ("tmux", "t"), ("task", "1:fix"), ("type", "fix")]
    {
        assert_eq!(issue.field(field), value);
    }
    assert_eq!((issue.count("pid"), issue.count("ttl"), issue.field("title")), (5, 5000, "A title".into()));
    let answer = connection.ok("POPPO.CLAIM p w1 INCARNATION i TITLE mine");
    assert_eq!(answer.fields(), fields);
    assert_eq!(
        (answer.field("task"), answer.field("type"), answer.field("title")),
        ("c7".into(), "issue".into(), "mine".into())
    );
    assert!(matches!(answer.get("payload"), Some(Value::Nil)));
    assert!(answer.count("token") > issue.count("token"));
    let stats = connection.ok("POPPO.STATS p");
    assert_eq!((stats.count("checkouts"), stats.count("tasks.claimed"), stats.count("wait.count")), (2, 2, 2));
    assert_eq!((stats.count("queue.running"), stats.count("queue.waiting")), (2, 0));
}

#[test]
fn a_claim_takes_only_the_types_that_it_names() {
    let (_server, mut connection) = started();
    for (issue, kind) in [(1, "chore"), (2, "fix"), (3, "review"), (4, "fix"), (5, "docs")] {
        connection.ok(&format!("POPPO.ENQUEUE p {issue} TYPE {kind}"));
    }
    connection.ok("POPPO.ENQUEUE p 6 TYPE review PRIORITY high");
    for (options, expected) in [
        ("w1 TYPE unheard-of", None),
        ("w1 TYPES 3 unheard-of fix review", Some(6)),
        ("w1 TYPE fix", Some(2)),
        ("w1 TYPES 2 review fix", Some(3)),
        ("w1 TYPES 2 review review", None),
        ("w1", Some(1)),
        ("w1 TYPE FIX", None),
        ("w1 TYPES 2 docs fix", Some(4)),
    ] {
        assert_eq!(claim(&mut connection, options), expected, "{options}");
    }
}

#[test]
fn a_repeated_req_answers_the_same_lease_while_it_is_held() {
    let (_server, mut connection) = started();
    for issue in 1..=6 {
        connection.ok(&format!("POPPO.ENQUEUE p {issue}"));
    }
    let first = connection.ok("POPPO.CLAIM p w1 REQ r1");
    let again = connection.ok("POPPO.CLAIM p w1 REQ r1 TYPE other TTL 9000");
    assert_eq!(first.count("token"), again.count("token"));
    assert_eq!(connection.ok("POPPO.GET p 1").count("ttl"), 9000, "its options count, and its heartbeat");
    assert_eq!(claim(&mut connection, "w2 REQ r1"), Some(2), "another process's r1 is another");
    assert_eq!(claim(&mut connection, "w1 REQ r2"), Some(3));
    assert_eq!(claim(&mut connection, "w1 REQ r1"), Some(4), "only the last one is known");
    connection.ok("POPPO.CHECKIN p 4 w1 STATUS completed");
    assert_eq!(claim(&mut connection, "w1 REQ r1"), Some(5), "it holds it no more");
    // Even while nobody gets anything.
    run(&mut connection, &["POPPO.DRAIN p ON", "POPPO.CONFIG p SET max-running 1"]);
    assert_eq!(claim(&mut connection, "w1 REQ r1"), Some(5));
    run(&mut connection, &["POPPO.DRAIN p OFF", "POPPO.CONFIG p SET max-running 0"]);
    assert_eq!(claim(&mut connection, "w1 REQ r1 INCARNATION new"), Some(6), "another life's r1 is another");
}

#[test]
fn max_running_limits_claims_and_not_checkouts_by_number() {
    let (_server, mut connection) = started();
    connection.ok("POPPO.CONFIG p SET max-running 2");
    for issue in 1..=4 {
        connection.ok(&format!("POPPO.ENQUEUE p {issue}"));
    }
    connection.ok("POPPO.CHECKOUT p 9 w1");
    assert_eq!(claim(&mut connection, "w1"), Some(1));
    assert_eq!(claim(&mut connection, "w1"), None);
    connection.ok("POPPO.CHECKOUT p 8 w1");
    connection.ok("POPPO.CHECKIN p 9 w1 STATUS completed");
    assert_eq!(claim(&mut connection, "w1"), None, "still two");
    // A check-in makes room for its own NEXT.
    let answer = connection.ok("POPPO.CHECKIN p 1 w1 STATUS completed NEXT");
    assert_eq!(given(&answer.rows()[1]), Some(2));
}

#[test]
fn a_lease_that_ends_decides_what_becomes_of_its_task() {
    let (_server, mut connection) = started();
    let ends = [
        (1, "STATUS completed", "completed", true),
        (2, "STATUS awaiting-response", "awaiting-response", true),
        (3, "STATUS cancelled", "cancelled", false),
        (4, "STATUS error REASON broken", "error", true),
    ];
    for (issue, end, left, _) in ends {
        connection.ok(&format!("POPPO.ENQUEUE p {issue}"));
        assert_eq!(claim(&mut connection, "w1"), Some(issue));
        connection.ok(&format!("POPPO.CHECKIN p {issue} w1 {end}"));
        assert_eq!(status(&mut connection, issue), left);
    }
    for (issue, end, _, known) in ends {
        assert_eq!(connection.int(&format!("POPPO.ENQUEUE p {issue}")) == 0, known, "{end}");
    }
    assert_eq!(
        (listed(&mut connection, "DEAD"), listed(&mut connection, "QUEUE")),
        (vec!["4:issue".into()], vec!["3:issue".into()])
    );
    let dead = connection.ok("POPPO.LIST p DEAD").rows()[1].rows()[0].clone();
    assert_eq!((dead.field("reason"), dead.count("attempts")), ("broken".into(), 1));
    assert_eq!(connection.ok("POPPO.GET p 4").count("deadTasks"), 1);
    let stats = connection.ok("POPPO.STATS p");
    let totals = ["finished", "cancelled", "dead"].map(|total| stats.count(&format!("tasks.{total}")));
    assert_eq!(totals, [2, 1, 1]);
}

#[test]
fn a_retried_task_comes_back_until_it_has_failed_too_often() {
    let (_server, mut connection) = started();
    connection.ok("POPPO.CONFIG p SET max-attempts 3");
    connection.ok("POPPO.ENQUEUE p 1 PRIORITY high PAYLOAD [1]");
    for attempt in 0..3 {
        let answer = connection.ok("POPPO.CLAIM p w1");
        assert_eq!((answer.count("attempts"), answer.field("payload")), (attempt, "[1]".into()));
        connection.ok(&format!("POPPO.CHECKIN p 1 w1 STATUS error RETRY 0 REASON \"try {attempt}\""));
        assert_eq!(status(&mut connection, 1), if attempt < 2 { "queued" } else { "error" });
    }
    assert_eq!(claim(&mut connection, "w1"), None);
    let dead = connection.ok("POPPO.LIST p DEAD").rows()[1].rows()[0].clone();
    assert_eq!((dead.count("attempts"), dead.field("reason"), dead.count("priority")), (3, "try 2".into(), 75));
    let stats = connection.ok("POPPO.STATS p");
    assert_eq!((stats.count("tasks.retried"), stats.count("tasks.dead"), stats.count("checkins.error")), (2, 1, 3));
    // Revived, its counts are at zero.
    assert_eq!(connection.int("POPPO.REVIVE p 1:issue"), 1);
    assert_eq!(connection.ok("POPPO.CLAIM p w1").count("attempts"), 0);
}

#[test]
fn a_retry_is_delayed_as_long_as_it_says() {
    let (_server, mut connection) = started();
    connection.ok("POPPO.ENQUEUE p 1");
    claim(&mut connection, "w1");
    connection.ok("POPPO.CHECKIN p 1 w1 STATUS error RETRY 31536000000");
    assert_eq!((status(&mut connection, 1), claim(&mut connection, "w1")), ("queued".into(), None));
    let row = connection.ok("POPPO.LIST p DELAYED").rows()[1].rows()[0].clone();
    assert_eq!(row.fields(), ["task", "issue", "type", "priority", "attempts", "orphanCount", "due"]);
    // A checkout by number need not wait, and goes on with the same task.
    connection.ok("POPPO.CHECKOUT p 1 w1");
    assert_eq!((connection.ok("POPPO.GET p 1").count("attempts"), queue(&mut connection, "delayed")), (1, 0));
    connection.ok("POPPO.CHECKIN p 1 w1 STATUS error RETRY 30");
    wait_until_due(&mut connection);
    let answer = connection.ok("POPPO.CLAIM p w1");
    assert_eq!((answer.count("issue"), answer.count("attempts")), (1, 2));
    assert!(answer.count("waited") < 30_000, "since it fell due: {}", show(&answer));
}

#[test]
fn a_lease_without_a_task_gets_one_when_its_work_is_to_come_back() {
    let (_server, mut connection) = started();
    run(
        &mut connection,
        &[
            "POPPO.CHECKOUT p 1 w1 TYPE fix",
            "POPPO.CHECKIN p 1 w1 STATUS error RETRY 0",
            "POPPO.CHECKOUT p 2 w1",
            "POPPO.EVICT p 2 REQUEUE",
        ],
    );
    assert_eq!(listed(&mut connection, "QUEUE"), ["1:fix", "2:issue"]);
    let rows = connection.ok("POPPO.LIST p QUEUE").rows()[1].rows().to_vec();
    let counts: Vec<_> = rows.iter().map(|row| (row.count("attempts"), row.count("orphanCount"))).collect();
    assert_eq!(counts, [(1, 0), (0, 1)]);
    // One of that id waits already: it is that one.
    run(&mut connection, &["POPPO.CHECKOUT p 3 w1", "POPPO.ENQUEUE p 3", "POPPO.CHECKIN p 3 w1 STATUS error RETRY 0"]);
    assert_eq!((listed(&mut connection, "QUEUE").len(), status(&mut connection, 3)), (3, "queued".into()));
    // One of that id is dead: it comes back, and begins anew.
    run(
        &mut connection,
        &[
            "POPPO.ENQUEUE p 4 PAYLOAD [4]",
            "POPPO.CHECKOUT p 4 w1",
            "POPPO.CHECKIN p 4 w1 STATUS error",
            "POPPO.CHECKOUT p 4 w1",
            "POPPO.CHECKIN p 4 w1 STATUS error RETRY 0",
        ],
    );
    let row = connection.ok("POPPO.LIST p QUEUE").rows()[1].rows()[3].clone();
    assert_eq!((row.field("task"), row.count("attempts"), row.field("payload")), ("4:issue".into(), 1, "[4]".into()));
    assert_eq!(queue(&mut connection, "dead"), 0);
    // The id is another issue's: it gets one of its own, and the other stays whose it is.
    run(
        &mut connection,
        &["POPPO.ENQUEUE p 6 ID 5:issue", "POPPO.CHECKOUT p 5 w1", "POPPO.CHECKIN p 5 w1 STATUS error RETRY 0"],
    );
    assert_eq!(listed(&mut connection, "QUEUE")[4..], ["5:issue", "5:issue+2"]);
    assert_eq!(drained(&mut connection), [1, 2, 3, 4, 6, 5]);
}

#[test]
fn a_requeued_task_is_poison_when_it_lost_too_many_workers() {
    let (_server, mut connection) = started();
    connection.ok("POPPO.CONFIG p SET max-orphans 2");
    connection.ok("POPPO.ENQUEUE p 1");
    for orphans in 0..3 {
        let worker = format!("w{orphans} HOST h PID 5");
        let token = connection.ok(&format!("POPPO.CLAIM p {worker}")).count("token");
        assert_eq!(connection.ok("POPPO.GET p 1").count("orphanCount"), orphans);
        connection.refused(&format!("POPPO.REPAIR p 1 TOKEN {token} REQUEUE"), "ALIVE");
        connection.ok(&format!("POPPO.LIVENESS p w{orphans} DEAD HOST h PID 5"));
        let repair = format!("POPPO.REPAIR p 1 TOKEN {token} REQUEUE");
        let expected = if orphans < 2 { "queued" } else { "error" };
        assert_eq!(connection.text(&repair), expected);
        assert_eq!(connection.text(&repair), expected, "the same again");
        assert_eq!(status(&mut connection, 1), expected);
    }
    let dead = connection.ok("POPPO.LIST p DEAD").rows()[1].rows()[0].clone();
    assert_eq!((dead.count("orphanCount"), dead.count("attempts")), (3, 0));
    let stats = connection.ok("POPPO.STATS p");
    assert_eq!((stats.count("tasks.requeued"), stats.count("repairs.dead"), stats.count("tasks.dead")), (2, 3, 1));
    // STATUS says what the issue is when its task does not come back.
    connection.ok("POPPO.REVIVE p 1:issue");
    for expected in ["queued", "queued", "awaiting-response"] {
        let token = connection.ok("POPPO.CLAIM p w9 HOST h PID 9").count("token");
        connection.ok("POPPO.LIVENESS p w9 DEAD HOST h PID 9");
        let repair = format!("POPPO.REPAIR p 1 TOKEN {token} STATUS awaiting-response REQUEUE");
        assert_eq!(connection.text(&repair), expected);
    }
}

#[test]
fn a_repair_or_eviction_without_requeue_buries_the_task() {
    let (_server, mut connection) = started();
    run(&mut connection, &["POPPO.ENQUEUE p 1", "POPPO.ENQUEUE p 2", "POPPO.CLAIM p w1 HOST h PID 5"]);
    connection.ok("POPPO.CLAIM p w2");
    connection.ok("POPPO.LIVENESS p w1 DEAD HOST h PID 5");
    let token = connection.ok("POPPO.GET p 1").count("token");
    assert_eq!(
        connection.text(&format!("POPPO.REPAIR p 1 TOKEN {token} STATUS awaiting-response")),
        "awaiting-response"
    );
    assert_eq!(connection.text("POPPO.EVICT p 2 REASON wrong"), "error");
    assert_eq!(listed(&mut connection, "DEAD"), ["1:issue", "2:issue"]);
    assert_eq!((queue(&mut connection, "running"), queue(&mut connection, "waiting")), (0, 0));
}

#[test]
fn a_holder_who_was_asked_to_stop_is_told_and_its_task_does_not_come_back() {
    let (_server, mut connection) = started();
    for issue in 1..=5 {
        connection.ok(&format!("POPPO.ENQUEUE p {issue}"));
        connection.ok("POPPO.CLAIM p w1 HOST h PID 5");
        connection.ok(&format!("POPPO.ENQUEUE p {issue} TYPE more"));
        assert_eq!(connection.text(&format!("POPPO.CANCEL p {issue} REASON why")), "asked");
        assert_eq!(connection.text(&format!("POPPO.CANCEL p {issue} REASON other")), "asked");
    }
    assert_eq!(queue(&mut connection, "waiting"), 0, "its waiting tasks went");
    let issue = connection.ok("POPPO.GET p 1");
    assert_eq!((issue.field("cancelReason"), issue.field("status")), ("why".into(), "processing".into()));
    let beat = connection.ok("POPPO.HEARTBEAT p w1 BRIEF");
    assert_eq!(
        show(beat.get("cancel").unwrap()),
        "1) (integer) 1\n2) (integer) 2\n3) (integer) 3\n4) (integer) 4\n5) (integer) 5"
    );
    connection.ok("POPPO.CHECKIN p 1 w1 STATUS error RETRY 0");
    assert_eq!(connection.text("POPPO.EVICT p 2 REQUEUE"), "cancelled");
    connection.ok("POPPO.CHECKIN p 3 w1 STATUS cancelled");
    // Whoever was too quick to be stopped is done.
    connection.ok("POPPO.CHECKIN p 4 w1 STATUS completed");
    let token = connection.ok("POPPO.GET p 5").count("token");
    connection.ok("POPPO.LIVENESS p w1 DEAD HOST h PID 5");
    assert_eq!(connection.text(&format!("POPPO.REPAIR p 5 TOKEN {token} REQUEUE")), "cancelled");
    let statuses: Vec<String> = (1..=5).map(|issue| status(&mut connection, issue)).collect();
    assert_eq!(statuses, ["cancelled", "cancelled", "cancelled", "completed", "cancelled"]);
    assert_eq!((queue(&mut connection, "waiting"), queue(&mut connection, "dead")), (0, 0));
    assert_eq!(connection.ok("POPPO.STATS p").count("tasks.cancelled"), 9);
    // The next lease is nobody's to cancel any more.
    connection.ok("POPPO.CHECKOUT p 1 w2");
    assert_eq!(connection.ok("POPPO.HEARTBEAT p w2").get("cancel").unwrap().rows().len(), 0);
}

#[test]
fn cancelling_removes_what_waits_of_an_issue_and_nothing_else() {
    let (_server, mut connection) = started();
    run(
        &mut connection,
        &[
            "POPPO.ENQUEUE p 1 TYPE a",
            "POPPO.ENQUEUE p 1 TYPE b DELAY 60000",
            "POPPO.ENQUEUE p 2 TYPE a",
            "POPPO.ENQUEUE p 3",
            "POPPO.CHECKOUT p 3 w1",
            "POPPO.CHECKIN p 3 w1 STATUS error",
            "POPPO.CHECKOUT p 4 w1",
            "POPPO.CHECKIN p 4 w1 STATUS error RETRY 60000",
        ],
    );
    assert_eq!((status(&mut connection, 1), status(&mut connection, 4)), ("queued".into(), "queued".into()));
    assert_eq!(connection.ok("POPPO.GET p 1").count("tasks"), 2);
    for (issue, expected) in [(1, "removed"), (1, "none"), (3, "none"), (4, "removed"), (9, "none")] {
        assert_eq!(connection.text(&format!("POPPO.CANCEL p {issue}")), expected, "{issue}");
    }
    // An issue that only had tasks is unknown again; one that was worked on is cancelled; dead tasks stay.
    let statuses: Vec<String> = (1..=4).map(|issue| status(&mut connection, issue)).collect();
    assert_eq!(statuses, ["unknown", "queued", "error", "cancelled"]);
    assert_eq!(
        (listed(&mut connection, "QUEUE"), listed(&mut connection, "DEAD")),
        (vec!["2:a".into()], vec!["3:issue".into()])
    );
    let row = connection.ok("POPPO.LIST p STATUS cancelled").rows()[1].rows()[0].clone();
    assert_eq!(row.count("issue"), 4);
}

#[test]
fn only_dead_tasks_are_revived() {
    let (_server, mut connection) = started();
    run(
        &mut connection,
        &[
            "POPPO.ENQUEUE p 1 ID waiting",
            "POPPO.ENQUEUE p 2 ID delayed DELAY 60000",
            "POPPO.ENQUEUE p 3 PRIORITY high",
            "POPPO.CLAIM p w1",
        ],
    );
    for id in ["waiting", "delayed", "3:issue", "unheard-of"] {
        assert_eq!(connection.int(&format!("POPPO.REVIVE p {id}")), 0, "{id}");
    }
    connection.ok("POPPO.EVICT p 3");
    connection.ok("POPPO.CHECKOUT p 3 w1 TYPE other");
    // It waits for its held issue like any other.
    assert_eq!(connection.int("POPPO.REVIVE p 3:issue"), 1);
    assert_eq!(status(&mut connection, 3), "processing");
    assert_eq!(claim(&mut connection, "w2"), Some(1));
    connection.ok("POPPO.CHECKIN p 3 w1 STATUS completed");
    assert_eq!(claim(&mut connection, "w2"), Some(3));
    assert_eq!(connection.ok("POPPO.STATS p").count("tasks.revived"), 1);
}

#[test]
fn a_drained_project_gives_no_tasks_and_says_so() {
    let (_server, mut connection) = started();
    run(&mut connection, &["POPPO.ENQUEUE p 1", "POPPO.ENQUEUE p 2", "POPPO.CLAIM p w1", "POPPO.DRAIN p on"]);
    assert_eq!(claim(&mut connection, "w1"), None);
    assert_eq!(connection.ok("POPPO.HEARTBEAT p w1").count("drain"), 1);
    let answer = connection.ok("POPPO.CHECKIN p 1 w1 STATUS completed NEXT");
    assert_eq!(given(&answer.rows()[1]), None);
    connection.ok("POPPO.CHECKOUT p 2 w1");
    assert_eq!(connection.ok("POPPO.GET p 2").field("task"), "2:issue", "a checkout by number still works");
    connection.ok("POPPO.ENQUEUE p 3");
    assert_eq!(queue(&mut connection, "drain"), 1);
    connection.ok("DEBUG RELOAD");
    assert_eq!(claim(&mut connection, "w1"), None, "also after a restart");
    connection.ok("POPPO.DRAIN p off");
    assert_eq!((claim(&mut connection, "w1"), connection.ok("POPPO.HEARTBEAT p w1").count("drain")), (Some(3), 0));
    // A project can be drained before there is anything in it.
    connection.ok("POPPO.DRAIN q ON");
    connection.ok("POPPO.ENQUEUE q 1");
    assert_eq!(show(&connection.ok("POPPO.CLAIM q w1")), "(nil)");
}

/// The second half of an answer to CHECKIN with NEXT.
#[track_caller]
fn next(connection: &mut Connection, line: &str) -> Value {
    let answer = connection.ok(line);
    let [ok, next] = answer.rows() else { panic!("{}", show(&answer)) };
    assert_eq!(ok.text().unwrap(), "OK");
    next.clone()
}

#[test]
fn next_claims_what_the_last_claim_asked_for() {
    let (_server, mut connection) = started();
    for (issue, kind) in [(1, "fix"), (2, "docs"), (3, "fix"), (4, "review"), (5, "docs")] {
        connection.ok(&format!("POPPO.ENQUEUE p {issue} TYPE {kind}"));
    }
    assert_eq!(claim(&mut connection, "w1 TYPES 2 fix review"), Some(1));
    // A claim that was not granted, or only repeated, changes nothing of it.
    assert_eq!(claim(&mut connection, "w1 TYPE chore"), None);
    let answer = next(&mut connection, "POPPO.CHECKIN p 1 w1 STATUS completed NEXT");
    assert_eq!(answer.fields(), ["issue", "token", "task", "type", "title", "payload", "attempts", "waited"]);
    assert_eq!(given(&answer), Some(3));
    assert_eq!(given(&next(&mut connection, "POPPO.CHECKIN p 3 w1 STATUS error NEXT META a b")), Some(4));
    assert_eq!(given(&next(&mut connection, "POPPO.CHECKIN p 4 w1 STATUS completed NEXT")), None, "no docs for w1");
    // Who never claimed takes any.
    connection.ok("POPPO.CHECKOUT p 9 w2");
    assert_eq!(given(&next(&mut connection, "POPPO.CHECKIN p 9 w2 NEXT STATUS cancelled")), Some(2));
    assert_eq!(connection.ok("POPPO.GET p 2").field("process"), "w2");
}

#[test]
fn a_repeated_check_in_answers_the_same_next_while_it_is_held() {
    let (_server, mut connection) = started();
    for issue in 1..=3 {
        connection.ok(&format!("POPPO.ENQUEUE p {issue}"));
    }
    let token = connection.ok("POPPO.CLAIM p w1").count("token");
    let line = format!("POPPO.CHECKIN p 1 w1 STATUS completed TOKEN {token} NEXT REQ n1");
    let first = next(&mut connection, &line);
    let dump = connection.dump("p");
    assert_eq!(next(&mut connection, &line), first);
    assert!(connection.dump("p") == dump, "it claims nothing new");
    assert_eq!(connection.ok("POPPO.CLAIM p w1 REQ n1").count("token"), first.count("token"));
    // Without NEXT it is as ever.
    assert_eq!(connection.text(&format!("POPPO.CHECKIN p 1 w1 STATUS completed TOKEN {token}")), "OK");
    connection.ok("POPPO.CHECKIN p 2 w1 STATUS completed");
    assert_eq!(given(&next(&mut connection, &line)), None, "the lease is over");
    assert_eq!(queue(&mut connection, "waiting"), 1);
}

#[test]
fn next_may_claim_the_very_issue_that_was_checked_in() {
    let (_server, mut connection) = started();
    run(&mut connection, &["POPPO.ENQUEUE p 1 TYPE a", "POPPO.ENQUEUE p 1 TYPE b"]);
    let token = connection.ok("POPPO.CLAIM p w1").count("token");
    let line = format!("POPPO.CHECKIN p 1 w1 STATUS completed TOKEN {token} NEXT");
    let first = next(&mut connection, &line);
    assert_eq!((first.field("task"), first.count("issue")), ("1:b".into(), 1));
    assert_eq!(next(&mut connection, &line), first, "the same again");
    connection.refused(&format!("POPPO.CHECKIN p 1 w1 STATUS error TOKEN {token} NEXT"), "STALE");
    connection.refused(&format!("POPPO.CHECKIN p 1 w2 STATUS completed TOKEN {token} NEXT"), "");
    connection.ok("DEBUG RELOAD");
    assert_eq!(next(&mut connection, &line).count("token"), first.count("token"), "also after a restart");
    // A task that comes back at once, too.
    let token = first.count("token");
    let line = format!("POPPO.CHECKIN p 1 w1 STATUS error RETRY 0 TOKEN {token} NEXT");
    let second = next(&mut connection, &line);
    assert_eq!((second.field("task"), second.count("attempts")), ("1:b".into(), 1));
    assert_eq!(next(&mut connection, &line), second);
}

#[test]
fn next_gives_nothing_to_a_life_that_is_over() {
    let (_server, mut connection) = started();
    run(
        &mut connection,
        &[
            "POPPO.ENQUEUE p 1",
            "POPPO.ENQUEUE p 2",
            "POPPO.CLAIM p w1 INCARNATION old",
            "POPPO.CHECKOUT p 9 w1 INCARNATION new",
        ],
    );
    let token = connection.ok("POPPO.GET p 1").count("token");
    let line = format!("POPPO.CHECKIN p 1 w1 STATUS completed INCARNATION old TOKEN {token} NEXT");
    assert_eq!(given(&next(&mut connection, &line)), None);
    assert_eq!(queue(&mut connection, "waiting"), 1);
    assert_eq!(given(&next(&mut connection, "POPPO.CHECKIN p 9 w1 STATUS completed NEXT")), Some(2));
}

#[test]
fn a_checkout_by_number_adopts_the_task_that_waits_for_it() {
    let (_server, mut connection) = started();
    run(
        &mut connection,
        &[
            "POPPO.ENQUEUE p 1 PAYLOAD [1]",
            "POPPO.ENQUEUE p 1 TYPE fix",
            "POPPO.ENQUEUE p 2 TYPE fix DELAY 60000",
            "POPPO.ENQUEUE p 3 ID other",
            "POPPO.CHECKOUT p 1 w1",
            "POPPO.CHECKOUT p 2 w1 TYPE fix",
            "POPPO.CHECKOUT p 3 w1",
        ],
    );
    let tasks: Vec<Option<String>> = (1..=3)
        .map(|issue| connection.ok(&format!("POPPO.GET p {issue}")).get("task").and_then(|task| task.text()))
        .collect();
    assert_eq!(tasks, [Some("1:issue".into()), Some("2:fix".into()), None]);
    assert_eq!(listed(&mut connection, "QUEUE"), ["1:fix", "other"]);
    assert_eq!(connection.ok("POPPO.GET p 1").field("payload"), "[1]");
    let stats = connection.ok("POPPO.STATS p");
    assert_eq!((stats.count("tasks.claimed"), stats.count("queue.running")), (0, 2));
    connection.ok("POPPO.CHECKIN p 1 w1 STATUS completed");
    assert_eq!(connection.int("POPPO.ENQUEUE p 1"), 0, "it was finished");
}

#[test]
fn a_checkout_by_number_leaves_a_task_of_another_issue_alone_whatever_its_id() {
    let (_server, mut connection) = started();
    run(&mut connection, &["POPPO.ENQUEUE p 2 ID 1:issue", "POPPO.CHECKOUT p 1 w1"]);
    assert!(connection.ok("POPPO.GET p 1").get("task").is_none());
    assert_eq!(listed(&mut connection, "QUEUE"), ["1:issue"]);
    assert_eq!(claim(&mut connection, "w2"), Some(2));
}

#[test]
fn a_takeover_takes_the_task_along() {
    let (_server, mut connection) = started();
    run(
        &mut connection,
        &[
            "POPPO.ENQUEUE p 1 TYPE fix PAYLOAD [1]",
            "POPPO.CLAIM p w1 HOST h PID 5",
            "POPPO.LIVENESS p w1 DEAD HOST h PID 5",
        ],
    );
    connection.ok("POPPO.CHECKOUT p 1 w2 TAKEOVER");
    let issue = connection.ok("POPPO.GET p 1");
    assert_eq!(
        (issue.field("task"), issue.field("payload"), issue.field("type")),
        ("1:fix".into(), "[1]".into(), "fix".into())
    );
    assert_eq!((issue.count("orphanCount"), issue.count("attempts")), (1, 0));
    connection.ok("POPPO.CHECKIN p 1 w2 STATUS completed");
    assert_eq!(connection.int("POPPO.ENQUEUE p 1 TYPE fix"), 0);
    assert_eq!(queue(&mut connection, "running"), 0);
}

#[test]
fn what_is_forgotten_leaves_no_task_behind() {
    let (_server, mut connection) = started();
    run(
        &mut connection,
        &[
            "POPPO.ENQUEUE p 1 ID done",
            "POPPO.CLAIM p w1",
            "POPPO.CHECKIN p 1 w1 STATUS completed",
            "POPPO.ENQUEUE p 1 ID dead",
            "POPPO.CLAIM p w1",
            "POPPO.CHECKIN p 1 w1 STATUS error",
            "POPPO.ENQUEUE p 1 ID waiting",
            "POPPO.ENQUEUE p 1 ID delayed DELAY 60000",
            "POPPO.ENQUEUE p 2",
            "POPPO.ENQUEUE p 3",
            "POPPO.CHECKOUT p 3 w1",
        ],
    );
    connection.refused("POPPO.FORGET p 3", "HELD");
    for issue in [1, 2] {
        assert_eq!(connection.int(&format!("POPPO.FORGET p {issue}")), 1, "{issue}");
        assert_eq!(connection.int(&format!("POPPO.FORGET p {issue}")), 0, "{issue}");
        assert_eq!(status(&mut connection, issue), "unknown");
    }
    let left = ["waiting", "delayed", "dead", "running"].map(|what| queue(&mut connection, what));
    assert_eq!(left, [0, 0, 0, 1]);
    for id in ["done", "dead", "waiting", "delayed"] {
        assert_eq!(connection.int(&format!("POPPO.ENQUEUE p 1 ID {id}")), 1, "{id}");
    }
}

#[test]
fn lists_of_tasks_in_pages_are_whole_while_tasks_come_and_go() {
    let (_server, mut connection) = started();
    let count = 80;
    // Late enough that none falls due while the test goes on, on however slow a machine.
    let hour = 3_600_000;
    for issue in 1..=count {
        connection.ok(&format!("POPPO.ENQUEUE p {issue} PRIORITY {}", issue));
        connection.ok(&format!("POPPO.ENQUEUE p {issue} TYPE late DELAY {}", hour + issue));
        connection.ok(&format!("POPPO.ENQUEUE p {} TYPE dying", 1000 + issue));
        connection.ok(&format!("POPPO.CHECKOUT p {} w1 TYPE dying", 1000 + issue));
        connection.ok(&format!("POPPO.CHECKIN p {} w1 STATUS error", 1000 + issue));
    }
    for (what, kind, first) in [("QUEUE", "issue", 0), ("DELAYED", "late", 0), ("DEAD", "dying", 1000)] {
        let (mut cursor, mut seen) = ("0".to_owned(), Vec::new());
        loop {
            let page = connection.ok(&format!("POPPO.LIST p {what} CURSOR {cursor} COUNT 7"));
            let rows = page.rows()[1].rows();
            assert!(rows.len() <= 7);
            seen.extend(rows.iter().map(|row| row.field("task")));
            cursor = page.rows()[0].text().unwrap();
            if cursor == "0" {
                break;
            }
            // Others come and go meanwhile.
            let other = 5000 + seen.len();
            let delay = if what == "DELAYED" { hour } else { 0 };
            connection.ok(&format!("POPPO.ENQUEUE p {other} DELAY {delay}"));
            connection.ok(&format!("POPPO.CANCEL p {other}"));
        }
        let expected: Vec<String> = (1..=count).map(|issue| format!("{}:{kind}", first + issue)).collect();
        assert_eq!(seen, expected, "{what}");
    }
}

#[test]
fn what_an_issue_is_shows_everywhere_alike() {
    let (_server, mut connection) = started();
    run(&mut connection, &["POPPO.ENQUEUE p 1", "POPPO.ENQUEUE p 2", "POPPO.CLAIM p w1"]);
    connection.ok("POPPO.CHECKIN p 1 w1 STATUS error RETRY 0");
    let labels = connection.ok("POPPO.LABELS p");
    let row = &labels.rows()[0];
    assert_eq!((labels.rows().len(), row.count("issue"), row.field("status")), (1, 1, "queued".into()));
    let listed = connection.ok("POPPO.LIST p STATUS queued");
    assert_eq!(listed.rows()[1].rows().len(), 1, "issues are listed once they were checked out");
    assert_eq!(connection.ok("POPPO.STATS p").count("issues.queued"), 1);
    assert_eq!(connection.ok("POPPO.GET p 2").fields(), ["issue", "status", "tasks"]);
    connection.ok("POPPO.CLAIM p w1");
    connection.ok("POPPO.CHECKIN p 2 w1 STATUS error");
    assert_eq!(connection.ok("POPPO.GET p 2").count("deadTasks"), 1);
    connection.ok("POPPO.FORGET p 2");
    assert_eq!(show(&connection.ok("POPPO.GET p 2")), "(nil)");
}

#[test]
fn the_oldest_and_the_time_of_waiting_are_measured() {
    let (_server, mut connection) = started();
    assert_eq!(connection.int("POPPO.ENQUEUE p 1"), 1);
    wait_until("it is old", || connection.ok("POPPO.STATS p").count("queue.oldest") >= 50);
    assert!(connection.ok("POPPO.CLAIM p w1").count("waited") >= 50);
    let stats = connection.ok("POPPO.STATS p");
    assert_eq!((stats.count("wait.count"), stats.count("queue.oldest")), (1, 0));
    assert!(stats.count("wait.mean") >= 50 && stats.count("wait.p50") >= 45 && stats.count("wait.p99") >= 45);
}
