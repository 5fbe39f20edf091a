//! What the primary publishes: each event, and each lease that became an orphan, once.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "in a test a panic is the report"
)]

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};

use poppo_tests::transcript::{show, split};
use poppo_tests::{Builder, Connection, Protocol, Reply as _, Server, wait_until};
use redis::Value;

/// A client that listens to messages of a project.
struct Listener(Connection);

impl Listener {
    fn of(server: &Server, project: &str) -> Self {
        let mut connection = server.connect_with(Protocol::Resp2);
        let channel = format!("{project}:issue:status:changed");
        let answer = connection.call(&["SUBSCRIBE", &channel]);
        assert_eq!(answer.rows()[1].text().unwrap(), channel);
        Self(connection)
    }

    /// Listens to all projects.
    fn of_all(server: &Server) -> Self {
        let mut connection = server.connect_with(Protocol::Resp2);
        connection.ok("PSUBSCRIBE *:issue:status:changed");
        Self(connection)
    }

    /// The next message as it came.
    #[track_caller]
    fn raw(&mut self) -> String {
        let message = self.0.message();
        assert!(["message", "pmessage"].contains(&message.rows()[0].text().unwrap().as_str()), "{}", show(&message));
        message.rows().last().unwrap().text().unwrap()
    }

    /// The next message: event, issue, and its reason.
    #[track_caller]
    fn next(&mut self) -> (String, u64, Option<String>) {
        told(&self.raw())
    }

    /// Nothing came so far: the answer to a PING is the next thing that is heard.
    #[track_caller]
    fn assert_silent(&mut self, when: &str) {
        let answer = self.0.cmd("PING");
        assert_eq!(answer.rows()[0].text().unwrap(), "pong", "{when}: {}", show(&answer));
    }
}

fn told(message: &str) -> (String, u64, Option<String>) {
    let json: serde_json::Value = serde_json::from_str(message).unwrap_or_else(|error| panic!("{message}: {error}"));
    let text = |field: &str| json[field].as_str().map(str::to_owned);
    (text("event").unwrap(), json["issue"].as_u64().unwrap(), text("reason"))
}

fn orphan(issue: u64, reason: &str) -> (String, u64, Option<String>) {
    ("orphan".to_owned(), issue, Some(reason.to_owned()))
}

fn event(name: &str, issue: u64) -> (String, u64, Option<String>) {
    (name.to_owned(), issue, None)
}

/// Waits until a project has so many orphans.
fn wait_for_orphans(connection: &mut Connection, project: &str, count: usize) {
    let line = format!("POPPO.ORPHANS {project} COUNT 10000");
    wait_until("the leases are orphans", || connection.ok(&line).rows().len() == count);
}

/// Waits until the server's clock is so far on: what it would do in that time it has done.
fn let_pass(connection: &mut Connection, millis: u64) {
    let mut now = || {
        let time = connection.ok("TIME");
        let part = |n: usize| time.rows()[n].text().unwrap().parse::<u64>().unwrap();
        part(0) * 1000 + part(1) / 1000
    };
    let begin = now();
    wait_until("time has passed", || now() >= begin + millis);
}

#[test]
fn each_event_is_published_as_json() {
    let server = Server::start();
    let mut connection = server.connect();
    let mut listener = Listener::of(&server, "acme/x");
    let mut elsewhere = Listener::of(&server, "acme/y");
    let nothing = [
        "POPPO.CHECKOUT p 1 w1 TITLE again",
        "POPPO.HEARTBEAT p w1",
        "POPPO.LIVENESS p w1 ALIVE HOST h PID 5",
        "POPPO.LABELLED p 1 1",
        "POPPO.CONFIG p SET max-attempts 7",
        "POPPO.STATS p",
    ];
    let lines = ["POPPO.CHECKOUT p 1 w1 HOST h PID 5 TYPE fix"].into_iter().chain(nothing).chain([
        "POPPO.CHECKIN p 1 w1 STATUS awaiting-response REASON \"not told\"",
        "POPPO.CHECKOUT p 1 w1",
        "POPPO.EVICT p 1 REASON wrong",
        "POPPO.FORGET p 1",
    ]);
    for line in lines {
        connection.ok(&line.replace(" p ", " acme/x ").replace("STATS p", "STATS acme/x"));
    }
    for refused in ["POPPO.EVICT acme/x 9", "POPPO.HEARTBEAT acme/x nobody", "POPPO.CHECKOUT acme/x 0 w1"] {
        connection.refusal(refused);
    }
    let events = connection.ok("POPPO.EVENTS acme/x AFTER 0");
    assert_eq!(events.rows().len(), 5);
    let expected = [
        ("checkout", "\"processing\"", "null"),
        ("checkin", "\"awaiting-response\"", "\"processing\""),
        ("checkout", "\"processing\"", "\"awaiting-response\""),
        ("evict", "\"error\"", "\"processing\""),
        ("forget", "null", "\"error\""),
    ];
    for (row, (name, status, from)) in events.rows().iter().zip(expected) {
        let (token, at) = (row.count("token"), row.field("at"));
        assert_eq!(
            listener.raw(),
            format!(
                "{{\"issue\":1,\"status\":{status},\"from\":{from},\"processId\":\"w1\",\"token\":{token},\
                 \"event\":\"{name}\",\"at\":\"{at}\"}}"
            )
        );
    }
    listener.assert_silent("behind the last event");
    elsewhere.assert_silent("another project");
}

#[test]
fn events_of_tasks_say_which_and_null_where_there_is_no_lease() {
    let server = Server::start();
    let mut connection = server.connect();
    let mut listener = Listener::of(&server, "p");
    for line in [
        "POPPO.ENQUEUE p 1 TYPE fix",
        "POPPO.ENQUEUE p 1 TYPE fix PRIORITY high",
        "POPPO.CLAIM p w1 TYPE fix",
        "POPPO.CHECKIN p 1 w1 STATUS error REASON broken",
        "POPPO.REVIVE p 1:fix",
        "POPPO.ENQUEUE p 2 DELAY 60000",
        "POPPO.CANCEL p 2 REASON \"not told\"",
        "POPPO.CLAIM p w1",
        "POPPO.CANCEL p 1",
        "POPPO.ENQUEUE p 3",
        "POPPO.CHECKIN p 1 w1 STATUS error RETRY 0 NEXT",
        "POPPO.EVICT p 3 REQUEUE",
        "POPPO.DRAIN p ON",
        "POPPO.FORGET p 3",
    ] {
        connection.ok(line);
    }
    let events = connection.ok("POPPO.EVENTS p AFTER 0");
    let expected = [
        // Event, status, from, whether there is a lease, task.
        ("enqueue", "\"queued\"", "null", false, "1:fix"),
        ("claim", "\"processing\"", "\"queued\"", true, "1:fix"),
        ("checkin", "\"error\"", "\"processing\"", true, "1:fix"),
        ("dead", "\"error\"", "\"error\"", true, "1:fix"),
        ("revive", "\"error\"", "\"error\"", false, "1:fix"),
        ("enqueue", "\"queued\"", "null", false, "2:issue"),
        ("cancel", "null", "\"queued\"", false, "2:issue"),
        ("claim", "\"processing\"", "\"error\"", true, "1:fix"),
        ("cancel", "\"processing\"", "\"processing\"", true, "1:fix"),
        ("enqueue", "\"queued\"", "null", false, "3:issue"),
        ("checkin", "\"cancelled\"", "\"processing\"", true, "1:fix"),
        ("claim", "\"processing\"", "\"queued\"", true, "3:issue"),
        ("evict", "\"queued\"", "\"processing\"", true, "3:issue"),
        ("forget", "null", "\"queued\"", true, ""),
    ];
    assert_eq!(events.rows().len(), expected.len(), "{}", show(&events));
    for (row, (name, status, from, lease, task)) in events.rows().iter().zip(expected) {
        let (issue, at) = (row.count("issue"), row.field("at"));
        let token = if lease { row.count("token").to_string() } else { "null".to_owned() };
        let process = if lease { "\"w1\"" } else { "null" };
        let task = if task.is_empty() { String::new() } else { format!(",\"task\":\"{task}\"") };
        assert_eq!(
            listener.raw(),
            format!(
                "{{\"issue\":{issue},\"status\":{status},\"from\":{from},\"processId\":{process},\"token\":{token},\
                 \"event\":\"{name}\"{task},\"at\":\"{at}\"}}"
            )
        );
    }
    listener.assert_silent("DRAIN and a higher priority are no events");
}

#[test]
fn names_with_quotes_and_backslashes_are_valid_json() {
    let server = Server::start();
    let mut connection = server.connect();
    let process: String = ('!'..='~').collect();
    let project = "grüße \"quoted\"\\ {p}";
    let mut listener = Listener::of(&server, project);
    for command in [["POPPO.CHECKOUT", project, "1", &process], ["POPPO.EVICT", project, "1", "REASON"]] {
        let mut command = command.to_vec();
        if command[3] == "REASON" {
            command.push("\"\\\n");
        }
        assert_eq!(connection.call(&command).error(), None);
        let json: serde_json::Value = serde_json::from_str(&listener.raw()).unwrap();
        assert_eq!(json["processId"], process);
    }
    // A project's name may be any bytes: nothing breaks.
    assert_eq!(connection.call(&[&b"POPPO.CHECKOUT"[..], b"\xff\0", b"1", b"w1"]).error(), None);
    listener.assert_silent("another project");
}

#[test]
fn messages_of_a_transaction_come_in_the_order_of_its_commands() {
    let server = Server::start();
    let mut connection = server.connect();
    let mut listener = Listener::of(&server, "p");
    connection.ok("MULTI");
    for line in ["POPPO.CHECKOUT p 1 w1", "POPPO.CHECKIN p 1 w1 STATUS error", "POPPO.FORGET p 1"] {
        connection.ok(line);
    }
    connection.ok("EXEC");
    connection.call(&["EVAL", "redis.call('POPPO.CHECKOUT', KEYS[1], 2, 'w1')", "1", "p"]);
    let expected = [event("checkout", 1), event("checkin", 1), event("forget", 1), event("checkout", 2)];
    assert_eq!([listener.next(), listener.next(), listener.next(), listener.next()], expected);
}

#[test]
fn nothing_has_to_be_kept_to_be_published() {
    let server = Server::start();
    let mut connection = server.connect();
    connection.ok("POPPO.CONFIG p SET events-kept 0");
    let mut listener = Listener::of(&server, "p");
    for issue in 1..=40 {
        connection.ok(&format!("POPPO.CHECKOUT p {issue} w1"));
        assert_eq!(listener.next(), event("checkout", issue));
    }
    listener.assert_silent("each once");
}

#[test]
fn an_orphan_by_silence_is_announced_once_and_again_after_a_beat_and_another_silence() {
    let server = Server::start();
    let mut connection = server.connect();
    let mut listener = Listener::of(&server, "p");
    let lines = ["POPPO.CHECKOUT p 1 w1 TTL 1000", "POPPO.CHECKOUT p 2 w1", "POPPO.CHECKOUT p 3 w3"];
    connection.pipeline(&lines.map(split));
    for issue in 1..=3 {
        assert_eq!(listener.next(), event("checkout", issue));
    }
    for round in 0..3 {
        let message = listener.raw();
        assert_eq!(told(&message), orphan(1, "expired"), "round {round}");
        assert_eq!(listener.next(), orphan(2, "expired"));
        let orphans = connection.ok("POPPO.ORPHANS p");
        let row = &orphans.rows()[0];
        let (token, since) = (row.count("token"), row.field("since"));
        assert_eq!(
            message,
            format!(
                "{{\"issue\":1,\"status\":\"processing\",\"from\":\"processing\",\"processId\":\"w1\",\"token\":{token},\
                 \"event\":\"orphan\",\"at\":\"{since}\",\"reason\":\"expired\"}}"
            )
        );
        // Other changes are no reason to say it again.
        connection.ok("POPPO.HEARTBEAT p w3");
        connection.ok("POPPO.LABELLED p 1 1");
        let_pass(&mut connection, 50);
        listener.assert_silent("once");
        let answers = connection.pipeline(&["POPPO.HEARTBEAT p w1", "POPPO.ORPHANS p"].map(split));
        assert_eq!(answers[1].rows().len(), 0);
    }
    // The log does not have it.
    assert_eq!(connection.ok("POPPO.EVENTS p AFTER 3").rows().len(), 0);
}

#[test]
fn each_process_is_announced_at_its_own_deadline() {
    let server = Server::start();
    let mut connection = server.connect();
    let mut listener = Listener::of(&server, "p");
    let ttls = [(1, 6000), (2, 1000), (3, 1300), (4, 60_000)];
    connection.pipeline(&ttls.map(|(issue, ttl)| split(&format!("POPPO.CHECKOUT p {issue} w{issue} TTL {ttl}"))));
    for issue in 1..=4 {
        assert_eq!(listener.next(), event("checkout", issue));
    }
    assert_eq!(listener.next(), orphan(2, "expired"));
    assert_eq!(listener.next(), orphan(3, "expired"));
    // Whoever beats in time is none.
    connection.ok("POPPO.HEARTBEAT p w1 TTL 60000");
    connection.ok("POPPO.HEARTBEAT p w4 TTL 1000");
    assert_eq!(listener.next(), orphan(4, "expired"));
    listener.assert_silent("the others beat");
}

#[test]
fn the_dead_and_the_replaced_are_announced_at_once() {
    let server = Server::start();
    let mut connection = server.connect();
    connection.ok("POPPO.CHECKOUT p 1 w1 HOST h PID 5");
    connection.ok("POPPO.CHECKOUT p 2 w2 HOST h PID 6");
    let mut listener = Listener::of(&server, "p");
    for _ in 0..3 {
        connection.ok("POPPO.LIVENESS p w1 DEAD HOST h PID 5");
        assert_eq!(listener.next(), orphan(1, "dead"));
        connection.ok("POPPO.LIVENESS p w1 DEAD HOST h PID 5");
        let_pass(&mut connection, 20);
        listener.assert_silent("it was said before");
        connection.ok("POPPO.LIVENESS p w1 ALIVE HOST h PID 5");
    }
    connection.ok("POPPO.CHECKOUT p 3 w2 INCARNATION j");
    assert_eq!(listener.next(), event("checkout", 3));
    assert_eq!(listener.next(), orphan(2, "replaced"));
    // One orphan less and one more at the same time: the one is announced.
    connection.ok("POPPO.LIVENESS p w1 DEAD HOST h PID 5");
    assert_eq!(listener.next(), orphan(1, "dead"));
    connection.ok("POPPO.CHECKOUT p 1 w2 INCARNATION k TAKEOVER");
    assert_eq!(listener.next(), event("takeover", 1));
    assert_eq!(listener.next(), orphan(3, "replaced"));
    // What is repaired before anybody could say so is not announced.
    connection.ok("MULTI");
    connection.ok("POPPO.CHECKOUT p 4 w4 HOST h PID 8");
    connection.ok("POPPO.LIVENESS p w4 DEAD HOST h PID 8");
    connection.ok("POPPO.EVICT p 4");
    connection.ok("EXEC");
    assert_eq!([listener.next(), listener.next()], [event("checkout", 4), event("evict", 4)]);
    let_pass(&mut connection, 20);
    listener.assert_silent("nobody holds it");
}

#[test]
fn a_replica_publishes_nothing_and_the_promoted_one_goes_on() {
    let primary = Server::start();
    let replica = primary.replica(Server::builder().no_grace());
    let mut connection = primary.connect();
    let mut heard = Listener::of(&primary, "p");
    let mut quiet = Listener::of(&replica, "p");
    let lines = [
        "POPPO.CHECKOUT p 1 w1 TTL 1000",
        "POPPO.CHECKOUT p 2 w2 HOST h PID 5",
        "POPPO.LIVENESS p w2 DEAD HOST h PID 5",
    ];
    connection.pipeline(&lines.map(split));
    let expected = [event("checkout", 1), event("checkout", 2), orphan(2, "dead"), orphan(1, "expired")];
    for expected in expected {
        assert_eq!(heard.next(), expected);
    }
    primary.wait_for_replicas(&[&replica]);
    wait_for_orphans(&mut replica.connect(), "p", 2);
    let_pass(&mut replica.connect(), 100);
    quiet.assert_silent("a replica");
    connection.ok("POPPO.CHECKOUT p 3 w3 TTL 1000");
    connection.ok("POPPO.CHECKOUT p 4 w4 TTL 86400000");
    primary.wait_for_replicas(&[&replica]);
    quiet.assert_silent("a replica");
    let mut promoted = replica.connect();
    promoted.ok("REPLICAOF NO ONE");
    // What the old primary announced is announced once more: the new one does not know.
    let announced: BTreeSet<_> = (0..3).map(|_| quiet.next()).collect();
    assert_eq!(announced, [orphan(1, "expired"), orphan(2, "dead"), orphan(3, "expired")].into());
    promoted.ok("POPPO.HEARTBEAT p w4 TTL 1000");
    assert_eq!(quiet.next(), orphan(4, "expired"));
    promoted.ok("POPPO.EVICT p 4");
    assert_eq!(quiet.next(), event("evict", 4));
    quiet.assert_silent("each once");
}

#[test]
fn a_deadline_follows_its_project_to_another_name_database_and_server_life() {
    let server = Server::start();
    let mut connection = server.connect();
    for how in ["RENAME p q", "COPY p q", "RESTORE", "MOVE", "DEBUG RELOAD", "RENAME q p"] {
        connection.ok("FLUSHALL");
        let (from, to) = match how {
            "RENAME q p" => ("q", "p"),
            "MOVE" | "DEBUG RELOAD" => ("p", "p"),
            _ => ("p", "q"),
        };
        let mut listener = Listener::of(&server, to);
        connection.ok(&format!("POPPO.CHECKOUT {from} 1 w1 TTL 1000"));
        // At the name that it comes to, too, there was a project, with a timer of its own.
        if how == "RENAME q p" {
            connection.ok("POPPO.CHECKOUT p 2 w1 TTL 86400000");
            assert_eq!(listener.next(), event("checkout", 2));
        } else if from == to {
            assert_eq!(listener.next(), event("checkout", 1));
        }
        match how {
            "RESTORE" => {
                let payload = connection.dump("p");
                connection.ok("DEL p");
                assert_eq!(connection.call(&[&b"RESTORE"[..], b"q", b"0", &payload]).error(), None);
            }
            "MOVE" => drop(connection.ok("MOVE p 1")),
            _ => drop(connection.ok(how)),
        }
        assert_eq!(listener.next(), orphan(1, "expired"), "{how}");
        let_pass(&mut connection, 20);
        listener.assert_silent(how);
        if how == "MOVE" {
            connection.ok("SELECT 1");
            connection.ok("POPPO.HEARTBEAT p w1");
            assert_eq!(listener.next(), orphan(1, "expired"), "again, in its new database");
            connection.ok("SELECT 0");
        }
    }
    // What was announced before it moved may be announced again, but a lost beat is not.
    connection.ok("FLUSHALL");
    let mut listener = Listener::of(&server, "q");
    let lines = ["POPPO.CHECKOUT p 1 w1 TTL 1000", "RENAME p q", "POPPO.HEARTBEAT q w1 TTL 86400000"];
    connection.pipeline(&lines.map(split));
    let_pass(&mut connection, 1100);
    listener.assert_silent("it beats");
}

#[test]
fn a_swapped_database_harms_nobody() {
    let server = Server::start();
    let mut connection = server.connect();
    let mut listener = Listener::of(&server, "p");
    let lines = ["POPPO.CHECKOUT p 1 w1 TTL 1000", "SELECT 1", "POPPO.CHECKOUT p 2 w2 TTL 86400000", "SWAPDB 0 1"];
    connection.pipeline(&lines.map(split));
    assert_eq!([listener.next(), listener.next()], [event("checkout", 1), event("checkout", 2)]);
    // The timer finds another project at its key, whose deadline has not come.
    wait_for_orphans(&mut connection, "p", 1);
    let_pass(&mut connection, 20);
    listener.assert_silent("a timer knows its own project");
    // From there on it is announced with the next change that is due sooner than what was lost.
    connection.ok("POPPO.CHECKOUT p 3 w3 HOST h PID 5");
    connection.ok("POPPO.EVICT p 3");
    assert_eq!([listener.next(), listener.next()], [event("checkout", 3), event("evict", 3)]);
    connection.ok("SELECT 0");
    connection.ok("POPPO.HEARTBEAT p w2 TTL 1000");
    assert_eq!(listener.next(), orphan(2, "expired"));
}

/// Restarts a server whose only lease runs out afterwards, and hears of it. Where the restart takes longer than the
/// lease, which a slow machine may do, tries again with a longer one.
fn assert_announced_after_restart(builder: impl Fn() -> Builder, stop: fn(&mut Server)) {
    for ttl in [1500, 5000, 15_000] {
        let mut server = builder().start();
        server.connect().ok(&format!("POPPO.CHECKOUT p 1 w1 TTL {ttl}"));
        stop(&mut server);
        server.start_again();
        let mut listener = Listener::of(&server, "p");
        if server.connect().ok("POPPO.ORPHANS p").rows().is_empty() {
            assert_eq!(listener.next(), orphan(1, "expired"));
            assert_eq!(server.connect().ok("POPPO.ORPHANS p").rows().len(), 1);
            let_pass(&mut server.connect(), 20);
            listener.assert_silent("once");
            return;
        }
    }
    panic!("no restart was fast enough");
}

fn graces() -> [Builder; 2] {
    [Server::builder().no_grace(), Server::builder().module_arg("restart-grace").module_arg(1200)]
}

#[test]
fn a_deadline_is_announced_after_a_restart_from_the_rdb_file() {
    for grace in graces() {
        assert_announced_after_restart(|| grace.clone(), |server| server.shutdown("SAVE"));
    }
}

#[test]
fn a_deadline_is_announced_after_a_restart_from_the_aof() {
    for preamble in ["yes", "no"] {
        for grace in graces() {
            let aof = || grace.clone().arg("appendonly", "yes").arg("aof-use-rdb-preamble", preamble);
            assert_announced_after_restart(aof, |server| server.kill9());
            assert_announced_after_restart(aof, |server| {
                let mut connection = server.connect();
                connection.ok("BGREWRITEAOF");
                wait_until("the AOF is rewritten", || {
                    connection.info("persistence", "aof_rewrite_in_progress") == "0"
                        && connection.info("persistence", "aof_rewrite_scheduled") == "0"
                });
                server.shutdown("NOSAVE");
            });
        }
    }
}

#[test]
fn whom_the_grace_excused_is_announced_when_it_is_over() {
    let mut server = Server::builder().module_arg("restart-grace").module_arg(86_400_000).start();
    let mut connection = server.connect();
    for issue in 1..=3 {
        connection.ok(&format!("POPPO.CHECKOUT p {issue} w{issue} TTL {}", issue * 500 + 2500));
    }
    let begin = std::time::Instant::now();
    server.restart();
    let mut listener = Listener::of(&server, "p");
    for issue in 1..=3 {
        // Its grace, as long as its TTL, began with the restart.
        assert_eq!(listener.next(), orphan(issue, "expired"));
        assert!(begin.elapsed().as_millis() as u64 >= issue * 500 + 2500);
    }
    listener.assert_silent("each once");
}

#[test]
fn nothing_is_announced_during_a_pause_and_all_of_it_afterwards() {
    let server = Server::start();
    let mut connection = server.connect();
    let mut listener = Listener::of_all(&server);
    let checkouts =
        (1..=5).flat_map(|issue| ["p", "q"].map(|p| format!("POPPO.CHECKOUT {p} {issue} w{issue} TTL 1000")));
    let lines: Vec<String> = checkouts.chain(["CLIENT PAUSE 600000 WRITE".to_owned()]).collect();
    connection.pipeline(&lines.iter().map(|line| split(line)).collect::<Vec<_>>());
    for _ in 0..10 {
        assert_eq!(listener.next().0, "checkout");
    }
    for project in ["p", "q"] {
        wait_for_orphans(&mut connection, project, 5);
    }
    let_pass(&mut connection, 200);
    listener.assert_silent("during the pause");
    connection.ok("CLIENT UNPAUSE");
    let mut announced: Vec<_> = (0..10).map(|_| listener.next()).collect();
    announced.sort();
    let expected: Vec<_> = (1..=5).flat_map(|issue| [orphan(issue, "expired"), orphan(issue, "expired")]).collect();
    assert_eq!(announced, expected);
    listener.assert_silent("each once");
}

#[test]
fn whom_messages_reach_is_a_setting() {
    let mut server = Server::start();
    let mut connection = server.connect();
    let shown = |connection: &mut Connection| {
        let shown = connection.ok("CONFIG GET poppo.publish").field("poppo.publish");
        assert_eq!(connection.info("poppo", "poppo_publish"), shown);
        shown
    };
    assert_eq!(shown(&mut connection), "all");
    let mut listener = Listener::of(&server, "p");
    let mut shard = server.connect_with(Protocol::Resp2);
    shard.ok("SSUBSCRIBE p:issue:status:changed");
    let silent = |shard: &mut Connection| assert_eq!(shard.cmd("PING").rows()[0].text().unwrap(), "pong");

    connection.ok("POPPO.CHECKOUT p 1 w1 HOST h PID 5");
    assert_eq!(listener.next(), event("checkout", 1));
    silent(&mut shard);
    connection.ok("CONFIG SET poppo.publish shard");
    assert_eq!(shown(&mut connection), "shard");
    connection.ok("POPPO.CHECKOUT p 2 w1");
    connection.ok("POPPO.LIVENESS p w1 DEAD HOST h PID 5");
    for expected in [event("checkout", 2), orphan(1, "dead"), orphan(2, "dead")] {
        let message = shard.message();
        let words: Vec<_> = message.rows().iter().map(|word| word.text().unwrap()).collect();
        assert_eq!(words[..2], ["smessage", "p:issue:status:changed"]);
        assert_eq!(told(&words[2]), expected);
    }
    listener.assert_silent("shard");
    connection.ok("CONFIG SET poppo.publish off");
    assert_eq!(shown(&mut connection), "off");
    connection.ok("POPPO.CHECKOUT p 3 w3 HOST h PID 6");
    connection.ok("POPPO.LIVENESS p w3 DEAD HOST h PID 6");
    let_pass(&mut connection, 20);
    listener.assert_silent("off");
    silent(&mut shard);
    for wrong in ["on", "\"\"", "0", "all,shard", "\"all shard\""] {
        connection.refused(&format!("CONFIG SET poppo.publish {wrong}"), "ERR");
        assert_eq!(shown(&mut connection), "off", "{wrong}");
    }
    connection.ok("CONFIG REWRITE");
    server.restart();
    let mut connection = server.connect();
    assert_eq!(shown(&mut connection), "off");
    connection.ok("CONFIG SET poppo.publish ALL");
    assert_eq!(shown(&mut connection), "all");
}

#[test]
fn the_setting_can_stand_in_redis_conf_or_behind_loadmodule() {
    for value in ["all", "shard", "off"] {
        for builder in [
            Server::builder().arg("poppo.publish", value),
            Server::builder().module_arg("publish").module_arg(value),
            Server::builder().no_grace().module_arg("publish").module_arg(value),
        ] {
            assert_eq!(builder.start().connect().info("poppo", "poppo_publish"), value);
        }
    }
    for wrong in ["on", "ALL!", "1"] {
        let log = Server::builder().arg("poppo.publish", wrong).try_start().unwrap_err();
        assert!(log.contains("poppo.publish") && !log.contains("BUG REPORT"), "{wrong}: {log}");
    }
}

#[test]
fn ten_thousand_leases_that_run_out_at_once_are_all_announced_and_the_server_answers_meanwhile() {
    const LEASES: u64 = 10_000;
    let server = Server::start();
    let mut connection = server.connect();
    let commands: Vec<_> = (1..=LEASES).map(|issue| split(&format!("POPPO.CHECKOUT p {issue} w1"))).collect();
    connection.pipeline(&commands);
    let mut listener = Listener::of(&server, "p");
    let over = AtomicBool::new(false);
    let (mut announced, mut between) = (Vec::new(), 0);
    std::thread::scope(|scope| {
        // Somebody else says something all the time: what the listener hears in between, the server did in between.
        scope.spawn(|| {
            let mut other = server.connect();
            while !over.load(Ordering::SeqCst) {
                other.ok("PUBLISH p:issue:status:changed between");
            }
        });
        connection.ok("POPPO.HEARTBEAT p w1 TTL 1000 BRIEF");
        while announced.len() < LEASES as usize {
            let message = listener.raw();
            if message == "between" {
                between += usize::from(!announced.is_empty());
                continue;
            }
            let (name, issue, reason) = told(&message);
            assert_eq!((name.as_str(), reason.as_deref()), ("orphan", Some("expired")));
            announced.push(issue);
        }
        over.store(true, Ordering::SeqCst);
    });
    assert_eq!(announced, (1..=LEASES).collect::<Vec<_>>(), "each once, by number");
    println!("{between} other commands in between");
    assert!(between >= 3, "the server did only {between} other commands in between");
    assert_eq!(connection.info("poppo", "poppo_panics"), "0");
}

#[test]
fn a_thousand_projects_each_announce_their_own() {
    const PROJECTS: usize = 1000;
    let server = Server::start();
    let mut connection = server.connect();
    let mut listener = server.connect_with(Protocol::Resp2);
    listener.ok("PSUBSCRIBE *:issue:status:changed");
    let commands: Vec<_> =
        (0..PROJECTS).map(|n| split(&format!("POPPO.CHECKOUT p{n} {} w1 TTL {}", n + 1, 1000 + n % 50))).collect();
    connection.pipeline(&commands);
    let mut announced = BTreeSet::new();
    while announced.len() < PROJECTS {
        let message = listener.message();
        let words: Vec<_> = message.rows().iter().map(|word| word.text().unwrap()).collect();
        let (name, issue, _) = told(&words[3]);
        if name == "orphan" {
            assert_eq!(words[2], format!("p{}:issue:status:changed", issue - 1));
            assert!(announced.insert(issue), "{issue} was announced twice");
        }
    }
}

#[test]
fn a_project_that_went_is_not_announced_and_its_successor_has_deadlines_of_its_own() {
    let server = Server::start();
    let mut connection = server.connect();
    for gone in ["DEL p", "UNLINK p", "FLUSHALL", "FLUSHALL ASYNC", "PEXPIREAT p 1", "SET p text"] {
        connection.ok("POPPO.CHECKOUT p 1 w1 TTL 1000");
        connection.ok(gone);
        if gone == "SET p text" {
            connection.ok("DEL p");
        }
        let mut listener = Listener::of(&server, "p");
        connection.ok("POPPO.CHECKOUT p 2 w2 TTL 1400");
        assert_eq!(listener.next(), event("checkout", 2), "{gone}");
        assert_eq!(listener.next(), orphan(2, "expired"), "{gone}");
        let_pass(&mut connection, 20);
        listener.assert_silent(gone);
        connection.ok("DEL p");
    }
    // Nothing comes at all where nothing follows, or something else does.
    connection.ok("POPPO.CHECKOUT p 1 w1 TTL 1000");
    connection.ok("POPPO.CHECKOUT q 1 w1 TTL 1000");
    let mut listener = Listener::of_all(&server);
    connection.ok("DEL p");
    connection.ok("SET q text");
    let_pass(&mut connection, 1200);
    listener.assert_silent("gone");
    assert_eq!(connection.info("poppo", "poppo_panics"), "0");
}

#[test]
fn timers_of_projects_that_are_gone_give_their_memory_back() {
    let server = Server::start();
    let mut connection = server.connect();
    let memory = |connection: &mut Connection| connection.info("memory", "used_memory").parse::<u64>().unwrap();
    let round = |connection: &mut Connection| {
        let commands: Vec<_> = (0..3000)
            .map(|n| split(&format!("POPPO.CHECKOUT a-project-with-a-rather-long-name-{n} 1 w1 TTL 1000")))
            .collect();
        connection.pipeline(&commands);
        let held = memory(connection);
        connection.ok("FLUSHALL SYNC");
        held
    };
    round(&mut connection);
    let_pass(&mut connection, 1300);
    connection.ok("MEMORY PURGE");
    let before = memory(&mut connection);
    let held = round(&mut connection);
    assert!(held > before + 1_000_000);
    wait_until("the timers are gone", || memory(&mut connection) < before + 64 * 1024);
    assert_eq!(connection.info("poppo", "poppo_projects"), "0");
    assert_eq!(connection.info("poppo", "poppo_panics"), "0");
}

#[test]
fn a_deadline_that_moves_again_and_again_costs_no_memory() {
    let server = Server::start();
    let mut connection = server.connect();
    connection.ok("POPPO.CHECKOUT p 1 w1");
    let memory = |connection: &mut Connection| connection.info("memory", "used_memory").parse::<u64>().unwrap();
    // Each is due earlier than the one before, so that each timer gives way to another one.
    let beats = |from: usize| -> Vec<_> {
        (0..20_000).map(|n| split(&format!("POPPO.HEARTBEAT p w1 BRIEF TTL {}", from - n * 50))).collect()
    };
    connection.pipeline(&beats(3_500_000));
    connection.ok("POPPO.HEARTBEAT p w1 BRIEF");
    let before = memory(&mut connection);
    connection.pipeline(&beats(2_400_000));
    wait_until("the memory is what it was", || memory(&mut connection) < before + 256 * 1024);
    assert_eq!(connection.ok("POPPO.STATS p").count("heartbeats"), 40_001);
}

#[test]
fn a_module_with_timers_cannot_be_unloaded_under_them() {
    let server = Server::start();
    let mut connection = server.connect();
    let mut listener = Listener::of(&server, "p");
    connection.ok("POPPO.CHECKOUT p 1 w1 TTL 1000");
    connection.refused("MODULE UNLOAD poppo", "ERR");
    assert_eq!([listener.next(), listener.next()], [event("checkout", 1), orphan(1, "expired")]);
}

#[test]
fn random_histories_announce_what_they_say() {
    let server = Server::start();
    let mut connection = server.connect();
    let mut listener = Listener::of(&server, "p");
    let mut history = poppo_tests::History::new("p", poppo_tests::seed(800));
    history.run(&mut connection, 1500);
    connection.ok("POPPO.CONFIG p SET events-kept 10000");
    for line in (0..300).map(|_| history.line()).filter(|line| !line.contains("events-kept")) {
        connection.cmd(&line);
    }
    connection.ok("POPPO.CHECKOUT p 4711 last");
    let events = connection.ok("POPPO.EVENTS p AFTER 0 COUNT 10000");
    let kept: Vec<&Value> = events.rows().iter().filter(|event| event.field("event") != "trimmed").collect();
    let mut heard = Vec::new();
    loop {
        let message: serde_json::Value = serde_json::from_str(&listener.raw()).unwrap();
        if message["event"] == "orphan" {
            assert!(["expired", "dead", "replaced"].contains(&message["reason"].as_str().unwrap()));
            continue;
        }
        let last = message["issue"] == 4711;
        heard.push(message);
        if last {
            break;
        }
    }
    let heard = &heard[heard.len() - kept.len()..];
    assert!(kept.len() > 50, "{} events", kept.len());
    for (message, event) in heard.iter().zip(kept) {
        let text = |field: &str| event.get(field).and_then(|value| value.text());
        assert_eq!(message["issue"], event.count("issue"));
        assert_eq!(message["token"].as_i64(), event.get("token").map(|token| token.number()), "{message}");
        assert_eq!(message.get("task").is_some(), event.get("task").is_some(), "{message}");
        for (name, field) in [
            ("status", "status"),
            ("from", "from"),
            ("processId", "process"),
            ("task", "task"),
            ("event", "event"),
            ("at", "at"),
        ] {
            assert_eq!(message[name].as_str(), text(field).as_deref(), "{}", show(event));
        }
    }
}
