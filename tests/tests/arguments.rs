//! Bad arguments: each is refused with a text that names it, and a refusal changes nothing. The same on a server and in a
//! file; below, what only a server has.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "in a test a panic is the report"
)]
#![allow(clippy::duplicate_mod, reason = "the same tests, on a server and on a file")]

use poppo_tests::transcript::split;
use poppo_tests::{Protocol, Reply as _, Server};
use redis::Value;

use server::arguments::{VALID, abbreviated, furnished, state};

#[path = "both"]
mod server {
    use poppo_tests::Server;

    pub(crate) mod arguments;
}

#[path = "both"]
mod file {
    use poppo_tests::Files as Server;

    #[allow(dead_code, reason = "some of it is for tests that only a server has")]
    #[allow(clippy::duplicate_mod, reason = "the same tests, on a file")]
    mod arguments;
}

#[test]
fn a_key_of_another_type_is_refused_by_every_command() {
    let server = Server::start();
    for protocol in [Protocol::Resp2, Protocol::Resp3] {
        let mut connection = server.connect_with(protocol);
        connection.ok("SET p text");
        for (_, line) in VALID {
            connection.refused(line, "WRONGTYPE");
        }
        connection.refused("POPPO.CONFIG p GET", "WRONGTYPE");
        connection.refused("POPPO.LIST p PROCESSES", "WRONGTYPE");
        connection.refused("POPPO.LIST p QUEUE", "WRONGTYPE");
        connection.refused("POPPO.CLAIM p w1 BLOCK 0", "WRONGTYPE");
        assert_eq!(connection.text("GET p"), "text");
    }
    let mut connection = server.connect();
    connection.ok("POPPO.CHECKOUT q 1 w1");
    connection.refused("GET q", "WRONGTYPE");
    assert_eq!(connection.text("TYPE q"), "poppo-prj");
}

#[test]
fn a_replica_refuses_writes_and_grants_reads() {
    let primary = furnished();
    let replica = primary.replica(Server::builder());
    let mut connection = replica.connect();
    let readers = ["ORPHANS", "GET", "LIST", "STATS", "EVENTS", "LABELS", "EXPORT"];
    for (command, line) in VALID {
        if readers.contains(&command) {
            connection.ok(line);
        } else {
            connection.refused(line, "READONLY");
        }
    }
    connection.refused("POPPO.CONFIG p GET", "READONLY");
}

#[test]
fn the_resolved_form_is_refused_from_clients_transactions_and_scripts() {
    let server = furnished();
    let mut connection = server.connect();
    let before = state(&mut connection);
    let writers = [
        "CHECKOUT",
        "CHECKIN",
        "HEARTBEAT",
        "LIVENESS",
        "REPAIR",
        "EVICT",
        "FORGET",
        "CONFIG",
        "LABELLED",
        "ENQUEUE",
        "CLAIM",
        "CANCEL",
        "IMPORT",
        "REVIVE",
        "DRAIN",
    ];
    for (_, line) in VALID.iter().filter(|(command, _)| writers.contains(command)) {
        let words = split(line);
        // Wherever it stands. Where the resolved form has it is tried with an AOF, in persistence.rs.
        for at in 2..=words.len() {
            let mut line = words.clone();
            line.splice(at..at, [b"AT".to_vec(), b"1750327200000000".to_vec()]);
            let refused = |answer: Value| {
                let error = answer.error().unwrap_or_default();
                assert!(error.starts_with("ERR ") && !error.contains("internal"), "{}: {error:?}", abbreviated(&line));
            };
            refused(connection.call(&line));
            let script = b"return redis.call(unpack(ARGV))".to_vec();
            let call = [vec![b"EVAL".to_vec(), script, b"0".to_vec()], line.clone()].concat();
            refused(connection.call(&call));
            connection.ok("MULTI");
            connection.call(&line);
            let results = connection.cmd("EXEC");
            // A command of the wrong length does not even get into the queue.
            let aborted = results.error().is_some_and(|error| error.starts_with("EXECABORT"));
            if !aborted {
                refused(results.rows()[0].clone());
            }
        }
    }
    connection.refused(
        "POPPO.CHECKOUT p 1 w1 AT 1750327200000000",
        "ERR AT is accepted only from the replication link and while loading",
    );
    for line in [
        "POPPO.CLAIM p w1 AT 1750327200000000 TASK 4:issue",
        "POPPO.CLAIM p w1 AT 1750327200000000 TASK 4:issue BLOCK 0",
        "POPPO.CHECKIN p 1 w1 AT 1750327200000000 TASK 4:issue STATUS completed NEXT",
        "POPPO.CLAIM p w1 TASK 4:issue",
        "POPPO.CHECKIN p 1 w1 STATUS completed NEXT TASK 4:issue",
    ] {
        connection.refused(line, "ERR ");
    }
    let refusal = "ERR POPPO.LOAD is accepted only from the replication link and while loading";
    connection.refused("POPPO.LOAD p FIRST piece", refusal);
    connection.refused("POPPO.LOAD new FIRST piece", refusal);
    assert_eq!(state(&mut connection), before);
    assert_eq!(connection.int("EXISTS new"), 0);
}
