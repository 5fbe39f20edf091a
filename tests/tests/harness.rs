//! The harness itself, on a plain redis-server.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "in a test a panic is the report"
)]

use poppo_tests::transcript::show;
use poppo_tests::{Protocol, Reply as _, Server, dump};

#[test]
fn a_server_keeps_its_data_over_a_restart_and_a_kill() {
    let mut server = Server::plain().arg("appendonly", "yes").arg("appendfsync", "always").start();
    server.connect().ok("SET key value");
    server.restart();
    assert_eq!(server.connect().text("GET key"), "value");
    server.connect().ok("SET key other");
    server.kill9();
    server.start_again();
    assert_eq!(server.connect().text("GET key"), "other");
}

#[test]
fn a_replica_follows_its_primary() {
    let primary = Server::plain().start();
    let replica = primary.replica(Server::plain());
    primary.connect().ok("SET key value");
    primary.wait_for_replicas(&[&replica]);
    assert_eq!(replica.connect().text("GET key"), "value");
}

#[test]
fn a_server_that_cannot_start_answers_its_log() {
    let log = Server::plain().arg("loadmodule", "/nowhere.so").try_start().unwrap_err();
    assert!(log.contains("nowhere.so"), "{log}");
}

#[test]
fn errors_and_records_look_the_same_in_both_protocols() {
    let server = Server::plain().start();
    for protocol in [Protocol::Resp2, Protocol::Resp3] {
        let mut connection = server.connect_with(protocol);
        connection.refused("GET", "ERR wrong number of arguments for 'get' command");
        assert_eq!(connection.cmd("CONFIG GET port").field("port"), server.port().to_string());
        assert_eq!(show(&connection.cmd("GET nothing")), "(nil)");
    }
}

#[test]
fn a_pipeline_answers_in_order() {
    let server = Server::plain().start();
    let commands: Vec<_> = (0..10_000).map(|n| vec!["ECHO".to_owned(), n.to_string()]).collect();
    let replies = server.connect().pipeline(&commands);
    assert!(replies.iter().enumerate().all(|(n, reply)| reply.text() == Some(n.to_string())));
}

#[test]
fn a_sealed_payload_is_believed_by_the_server_and_an_unsealed_one_is_not() {
    let server = Server::plain().start();
    let mut connection = server.connect();
    connection.ok("SET key value");
    let payload = connection.dump("key");
    let mut forged = dump::body(&payload).to_vec();
    *forged.last_mut().unwrap() = b'!';
    let good = dump::seal(&forged, &payload);
    assert!(connection.call(&[&b"RESTORE"[..], b"copy", b"0", &good]).error().is_none());
    assert_eq!(connection.text("GET copy"), "valu!");
    forged.extend(&payload[forged.len()..]);
    let refused = connection.call(&[&b"RESTORE"[..], b"other", b"0", &forged]);
    assert!(refused.error().unwrap().contains("checksum"));
}
