//! The queue, rule by rule: what becomes of tasks, and who gets which. Waiting for them is in `blocking.rs`.
//! The same on a server and in a file.

#![allow(clippy::indexing_slicing, reason = "in a test a panic is the report")]
#![allow(clippy::duplicate_mod, reason = "the same tests, on a server and on a file")]

use poppo_tests::Reply as _;

#[path = "both"]
mod server {
    use poppo_tests::Server;

    mod queue;
}

#[path = "both"]
mod file {
    use poppo_tests::Files as Server;

    #[allow(clippy::duplicate_mod, reason = "the same tests, on a file")]
    mod queue;
}

#[test]
fn next_gives_nothing_at_maxmemory() {
    let server = poppo_tests::Server::start();
    let mut connection = server.connect();
    connection.ok("POPPO.ENQUEUE p 1");
    connection.ok("POPPO.CHECKOUT p 9 w1");
    connection.ok("CONFIG SET maxmemory 1");
    let answer = connection.ok("POPPO.CHECKIN p 9 w1 STATUS completed NEXT");
    assert_eq!(answer.rows()[1], redis::Value::Nil);
    assert_eq!(connection.ok("POPPO.GET p 9").field("status"), "completed");
    connection.ok("CONFIG SET maxmemory 0");
    assert_eq!(connection.ok("POPPO.CLAIM p w1").count("issue"), 1);
}
