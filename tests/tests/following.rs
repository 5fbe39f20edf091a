//! Following a project: its log, the outbox of labels, and waiting for both.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "in a test a panic is the report"
)]
#![allow(clippy::duplicate_mod, reason = "the same tests, on a server and on a file")]

use std::collections::BTreeMap;

use poppo_tests::transcript::{show, split};
use poppo_tests::{Connection, History, Reply as _, Server, seed, wait_until};
use redis::Value;

use server::following::{blocked, ids, outbox, waiting};

#[path = "both"]
mod server {
    use poppo_tests::Server;

    pub(crate) mod following;
}

#[path = "both"]
mod file {
    use poppo_tests::Files as Server;

    #[allow(clippy::duplicate_mod, reason = "the same tests, on a file")]
    mod following;
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
