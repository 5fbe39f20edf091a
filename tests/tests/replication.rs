//! Primary and replica agree to the byte, whatever happened, whatever their configuration.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "in a test a panic is the report"
)]

use poppo_tests::{Builder, History, Reply as _, Server, portrait, seed, wait_until};

/// What can happen to a task.
const TOTALS: [&str; 8] = ["enqueued", "claimed", "finished", "retried", "requeued", "cancelled", "dead", "revived"];

/// Asserts that all servers hold the same project and that none of them failed to apply anything.
fn assert_agree(primary: &Server, replicas: &[&Server], when: &str) {
    primary.wait_for_replicas(replicas);
    let expected = primary.connect().dump("p");
    for replica in replicas {
        assert!(replica.connect().dump("p") == expected, "{when}: primary and replica disagree");
    }
    for server in replicas.iter().chain([&primary]) {
        assert_eq!(server.connect().info("poppo", "poppo_apply_failures"), "0", "{when}");
        assert_eq!(server.connect().info("poppo", "poppo_panics"), "0", "{when}");
    }
}

/// A server that keeps an AOF of its own.
fn with_aof(builder: Builder) -> Builder {
    builder.arg("appendonly", "yes").arg("appendfsync", "no").arg("auto-aof-rewrite-percentage", 0)
}

#[test]
fn replicas_and_aof_agree_with_the_primary_after_random_histories() {
    let mut primary = with_aof(Server::builder().no_grace()).start();
    let plain = primary.replica(Server::builder().no_grace());
    // What a replica's own setting says must not matter: who is an orphan is the primary's decision.
    let patient = primary.replica(Server::builder().module_arg("restart-grace").module_arg(86_400_000));
    let first = seed(1);
    let mut totals = [0; TOTALS.len()];
    for seed in first..first + 8 {
        let mut connection = primary.connect();
        connection.ok("DEL p");
        let mut history = History::new("p", seed);
        history.run(&mut connection, 800);
        assert_agree(&primary, &[&plain, &patient], &format!("seed {seed}"));
        let stats = connection.ok("POPPO.STATS p");
        totals.iter_mut().zip(TOTALS).for_each(|(sum, total)| *sum += stats.count(&format!("tasks.{total}")));
    }
    assert!(totals.iter().all(|total| *total > 0), "not all happens: {TOTALS:?} {totals:?}");
    let stats = primary.connect().ok("POPPO.STATS p");
    assert!(stats.count("checkouts") > 50 && stats.count("repairs.replaced") > 0);
    let before = primary.connect().dump("p");
    primary.restart();
    assert!(primary.connect().dump("p") == before, "the AOF tells another history");
    assert_eq!(primary.connect().info("poppo", "poppo_apply_failures"), "0");
}

#[test]
fn replicas_and_aof_agree_when_leases_run_out_and_are_taken_over() {
    let mut primary = with_aof(Server::builder().no_grace()).start();
    let replica = primary.replica(Server::builder());
    let mut connection = primary.connect();
    let mut history = History::new("p", seed(100));
    let mut expired = 0;
    for round in 0..3 {
        history.run(&mut connection, 300);
        let issue = 500 + round;
        connection.ok(&format!("POPPO.CHECKOUT p {issue} silent{round} TTL 1000"));
        wait_until("it is an orphan by silence", || {
            history.run(&mut connection, 20);
            let orphans = connection.ok("POPPO.ORPHANS p COUNT 10000");
            orphans.rows().iter().any(|row| row.count("issue") == issue)
        });
        connection.ok(&format!("POPPO.CHECKOUT p {issue} heir TAKEOVER"));
        expired = connection.ok("POPPO.STATS p").count("repairs.expired");
        assert_agree(&primary, &[&replica], &format!("round {round}"));
    }
    assert!(expired >= 3);
    let before = primary.connect().dump("p");
    primary.restart();
    assert!(primary.connect().dump("p") == before, "the AOF tells another history");
}

#[test]
fn a_replica_that_joins_late_gets_the_whole_value() {
    let primary = Server::start();
    History::new("p", 200).run(&mut primary.connect(), 500);
    let replica = primary.replica(Server::builder());
    assert_agree(&primary, &[&replica], "after the full synchronisation");
    let without_settings = |text: &str| text.rfind("> MEMORY").map(|at| text[..at].to_owned());
    let shown = [&primary, &replica].map(|server| without_settings(&portrait(&mut server.connect(), "p")).unwrap());
    assert_eq!(shown[0], shown[1]);
    History::new("p", 201).run(&mut primary.connect(), 200);
    assert_agree(&primary, &[&replica], "after more commands");
}

#[test]
fn a_replica_that_joins_late_cancels_tasks_in_the_same_order() {
    let primary = Server::start();
    let mut connection = primary.connect();
    // By the primary type `a` is numbered before `b`; whoever loads the tasks meets `b` first.
    for line in [
        "POPPO.ENQUEUE p 1 TYPE a",
        "POPPO.ENQUEUE p 2 TYPE b",
        "POPPO.CANCEL p 1",
        "POPPO.ENQUEUE p 9 TYPE b",
        "POPPO.ENQUEUE p 9 TYPE a",
        // Due before anybody looks at the replica, and noticed by the primary only.
        "POPPO.ENQUEUE p 8 TYPE a DELAY 1",
        "POPPO.ENQUEUE p 8 TYPE b",
    ] {
        connection.ok(line);
    }
    let replica = primary.replica(Server::builder());
    wait_until("it is due", || connection.ok("POPPO.LIST p DELAYED").rows()[1].rows().is_empty());
    connection.ok("POPPO.CANCEL p 9");
    connection.ok("POPPO.CANCEL p 8");
    assert_agree(&primary, &[&replica], "after the cancellations");
}

#[test]
fn a_refusal_is_not_replicated() {
    let primary = Server::start();
    let replica = primary.replica(Server::builder());
    let mut connection = primary.connect();
    let token = connection.int("POPPO.CHECKOUT p 1 w1");
    primary.wait_for_replicas(&[&replica]);
    let offset = |server: &Server| server.connect().info("commandstats", "cmdstat_POPPO.CHECKOUT");
    let replicated = offset(&replica);
    for line in [
        "POPPO.CHECKOUT p 1 w2",
        "POPPO.CHECKIN p 1 w2 STATUS completed",
        "POPPO.CHECKIN p 9 w2 STATUS completed",
        "POPPO.HEARTBEAT p nobody",
        "POPPO.EVICT p 1 TOKEN 5",
        "POPPO.FORGET p 1",
        "POPPO.CHECKOUT p 0 w1",
    ] {
        connection.refusal(line);
    }
    connection.refused(&format!("POPPO.REPAIR p 1 TOKEN {token}"), "ALIVE");
    connection.ok("SET marker 1");
    primary.wait_for_replicas(&[&replica]);
    assert_eq!(offset(&replica), replicated);
    for command in ["CHECKIN", "HEARTBEAT", "EVICT", "FORGET", "REPAIR"] {
        let stats = replica.connect().text("INFO commandstats");
        assert!(!stats.contains(&format!("cmdstat_POPPO.{command}:")), "{stats}");
    }
    assert_agree(&primary, &[&replica], "after refusals");
}

#[test]
fn a_replica_answers_the_reading_commands() {
    let primary = Server::start();
    let replica = primary.replica(Server::builder().no_grace());
    let mut connection = primary.connect();
    connection.ok("POPPO.CHECKOUT p 1 w1 HOST h PID 5");
    connection.ok("POPPO.LIVENESS p w1 DEAD HOST h PID 5");
    primary.wait_for_replicas(&[&replica]);
    let mut reader = replica.connect();
    for line in ["POPPO.GET p 1", "POPPO.LIST p", "POPPO.LIST p PROCESSES", "POPPO.ORPHANS p", "POPPO.STATS p"] {
        assert_eq!(reader.ok(line), connection.ok(line), "{line}");
    }
    reader.refused("POPPO.CHECKOUT p 2 w1", "READONLY");
    // What a client writes into a writable replica is judged like everywhere.
    reader.ok("CONFIG SET replica-read-only no");
    reader.refused("POPPO.CHECKOUT p 2 w1 AT 1750327200000000", "ERR AT is accepted only");
    reader.ok("POPPO.CHECKOUT other 2 w1");
}

#[test]
fn tokens_rise_over_a_promotion_and_the_old_life_is_fenced() {
    let primary = Server::start();
    let replica = primary.replica(Server::builder().no_grace());
    let mut connection = primary.connect();
    let old = connection.int("POPPO.CHECKOUT p 1 w1 HOST h PID 5");
    let last = connection.int("POPPO.CHECKOUT p 2 w1");
    connection.ok("POPPO.LIVENESS p w1 DEAD HOST h PID 5");
    primary.wait_for_replicas(&[&replica]);
    let mut promoted = replica.connect();
    promoted.ok("REPLICAOF NO ONE");
    let new = promoted.int("POPPO.CHECKOUT p 1 w2 TAKEOVER");
    assert!(new > last, "{last} {new}");
    promoted.refused(&format!("POPPO.CHECKIN p 1 w1 STATUS completed TOKEN {old}"), "STALE");
    assert_eq!(promoted.int("POPPO.CHECKOUT p 1 w2"), new);
}

#[test]
fn nobody_is_an_orphan_by_silence_right_after_a_promotion() {
    let primary = Server::start();
    let replica = primary.replica(Server::builder());
    let mut connection = primary.connect();
    let token = connection.int("POPPO.CHECKOUT p 1 w1 TTL 1000");
    wait_until("it is an orphan on the primary", || connection.ok("POPPO.ORPHANS p").rows().len() == 1);
    primary.wait_for_replicas(&[&replica]);
    let mut promoted = replica.connect();
    promoted.ok("REPLICAOF NO ONE");
    promoted.refused(&format!("POPPO.REPAIR p 1 TOKEN {token}"), "ALIVE");
    assert_eq!(promoted.ok("POPPO.ORPHANS p").rows().len(), 0);
    wait_until("the grace is over", || promoted.ok("POPPO.ORPHANS p").rows().len() == 1);
}

#[test]
fn a_chain_of_replicas_agrees() {
    let primary = Server::start();
    let middle = primary.replica(Server::builder());
    let last = middle.replica(Server::builder());
    History::new("p", 300).run(&mut primary.connect(), 500);
    assert_agree(&primary, &[&middle, &last], "at the end of the chain");
}

#[test]
fn a_replica_that_swaps_its_database_while_loading_counts_right() {
    let primary = Server::start();
    let other = Server::start();
    let mut connection = primary.connect();
    for issue in 1..=20 {
        connection.ok(&format!("POPPO.CHECKOUT p {issue} w1"));
    }
    let mut elsewhere = other.connect();
    elsewhere.ok("POPPO.CHECKOUT old 1 w1");
    let replica = other.replica(Server::builder().arg("repl-diskless-load", "swapdb"));
    assert_eq!(replica.connect().info("poppo", "poppo_projects"), "1");
    replica.connect().ok(&format!("REPLICAOF 127.0.0.1 {}", primary.port()));
    wait_until("the replica has the other primary's data", || {
        let mut connection = replica.connect();
        connection.cmd("EXISTS p").text().is_none() && matches!(connection.cmd("EXISTS p"), redis::Value::Int(1))
    });
    replica.wait_for_sync();
    assert_agree(&primary, &[&replica], "after the change of primary");
    wait_until("the old data is freed", || replica.connect().info("poppo", "poppo_projects") == "1");
    wait_until("the old leases are gone", || replica.connect().info("poppo", "poppo_leases") == "20");
}

#[test]
fn projects_of_all_databases_are_replicated_and_reloaded() {
    let mut primary = with_aof(Server::builder().no_grace()).start();
    let replica = primary.replica(Server::builder());
    let mut connection = primary.connect();
    let mut before = Vec::new();
    for database in [3, 0, 7] {
        connection.ok(&format!("SELECT {database}"));
        History::new("p", seed(400) + database).run(&mut connection, 200);
        before.push((database, connection.dump("p")));
    }
    primary.wait_for_replicas(&[&replica]);
    primary.restart();
    for server in [&primary, &replica] {
        let mut connection = server.connect();
        for (database, dump) in &before {
            connection.ok(&format!("SELECT {database}"));
            assert!(connection.dump("p") == *dump, "database {database}");
        }
        assert_eq!(connection.info("poppo", "poppo_projects"), "3");
    }
}
