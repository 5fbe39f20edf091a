//! Signs of life: heartbeats, the host agent's word, and who is an orphan.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "in a test a panic is the report"
)]

use poppo_tests::transcript::{is_time, show};
use poppo_tests::{Connection, Protocol, Reply as _, wait_until};

use super::Server;

/// The issues that `POPPO.ORPHANS` lists, in its order.
fn orphans(connection: &mut Connection, options: &str) -> Vec<i64> {
    let orphans = connection.ok(&format!("POPPO.ORPHANS p {options}"));
    orphans.rows().iter().map(|row| row.count("issue")).collect()
}

/// Waits until the issue is an orphan by silence, on a server whose leases run out after a second.
fn wait_for_silence(connection: &mut Connection, issue: i64) {
    wait_until("the heartbeat has run out", || orphans(connection, "COUNT 10000").contains(&issue));
}

/// A server on whose project `p` silence of a second makes an orphan.
fn impatient() -> (Server, Connection) {
    let server = Server::start();
    let mut connection = server.connect();
    connection.ok("POPPO.CONFIG p SET heartbeat-ttl 1000");
    (server, connection)
}

#[test]
fn a_beat_answers_what_the_process_holds() {
    let server = Server::start();
    for protocol in [Protocol::Resp2, Protocol::Resp3] {
        let mut connection = server.connect_with(protocol);
        connection.ok("DEL p");
        let tokens: Vec<i64> =
            [30, 10, 20].iter().map(|issue| connection.int(&format!("POPPO.CHECKOUT p {issue} w1"))).collect();
        connection.ok("POPPO.CHECKOUT p 40 w2");
        let beat = connection.ok("POPPO.HEARTBEAT p w1");
        assert_eq!(beat.fields(), ["ttl", "drain", "issues", "cancel"]);
        let pairs: Vec<(i64, i64)> = beat
            .get("issues")
            .unwrap()
            .rows()
            .iter()
            .map(|pair| (pair.rows()[0].number(), pair.rows()[1].number()))
            .collect();
        assert_eq!(pairs, [(10, tokens[1]), (20, tokens[2]), (30, tokens[0])]);
        assert_eq!((beat.count("ttl"), beat.count("drain")), (1_800_000, 0));
        assert_eq!(beat.get("cancel").unwrap().rows().len(), 0);
        assert_eq!(connection.ok("POPPO.HEARTBEAT p w1 BRIEF").count("issues"), 3);
        connection.ok("POPPO.CHECKIN p 10 w1 STATUS completed");
        assert_eq!(connection.ok("POPPO.HEARTBEAT p w1 BRIEF").count("issues"), 2);
        assert_eq!(connection.ok("POPPO.STATS p").count("heartbeats"), 3);
    }
}

#[test]
fn a_beat_of_a_process_that_holds_nothing_is_granted_and_of_a_stranger_refused() {
    let server = Server::start();
    let mut connection = server.connect();
    connection.ok("POPPO.CHECKOUT p 1 w1 INCARNATION i");
    connection.ok("POPPO.CHECKIN p 1 w1 STATUS completed");
    assert_eq!(connection.ok("POPPO.HEARTBEAT p w1 INCARNATION i BRIEF").count("issues"), 0);
    assert_eq!(connection.ok("POPPO.HEARTBEAT p w1").get("issues").unwrap().rows().len(), 0);
    let before = connection.dump("p");
    connection.refused("POPPO.HEARTBEAT p nobody", "NOPROC process nobody is not known here: stop its work");
    connection.refused("POPPO.HEARTBEAT p w1 INCARNATION j", "NOPROC");
    assert_eq!(connection.dump("p"), before);
}

#[test]
fn a_beat_sets_the_time_to_live_and_the_progress() {
    let server = Server::start();
    let mut connection = server.connect();
    connection.ok("POPPO.CHECKOUT p 1 w1 TTL 5000");
    assert!(connection.ok("POPPO.GET p 1").get("progress").is_none());
    assert_eq!(connection.ok("POPPO.HEARTBEAT p w1").count("ttl"), 5000);
    assert_eq!(connection.ok("POPPO.HEARTBEAT p w1 TTL 86400000 PROGRESS \"3 of 7\"").count("ttl"), 86_400_000);
    let issue = connection.ok("POPPO.GET p 1");
    assert_eq!((issue.count("ttl"), issue.field("progress")), (86_400_000, "3 of 7".into()));
    let reported = issue.field("progressTime");
    assert!(is_time(&reported));
    // A beat without progress does not make the progress look fresh.
    wait_until("time has passed", || {
        connection.ok("POPPO.HEARTBEAT p w1");
        connection.ok("POPPO.GET p 1").field("lastSeen") > reported
    });
    let issue = connection.ok("POPPO.GET p 1");
    assert_eq!((issue.field("progressTime"), issue.field("progress")), (reported, "3 of 7".into()));
    // A new lease of the same life keeps its time to live.
    connection.ok("POPPO.CHECKOUT p 2 w1");
    assert_eq!(connection.ok("POPPO.GET p 2").count("ttl"), 86_400_000);
}

#[test]
fn silence_makes_an_orphan_and_a_beat_revives_it() {
    let (_server, mut connection) = impatient();
    let token = connection.int("POPPO.CHECKOUT p 1 w1");
    connection.ok("POPPO.CHECKOUT p 2 w2 TTL 60000");
    assert_eq!(orphans(&mut connection, ""), Vec::<i64>::new());
    connection.refused(&format!("POPPO.REPAIR p 1 TOKEN {token}"), "ALIVE");
    wait_for_silence(&mut connection, 1);
    let rows = connection.ok("POPPO.ORPHANS p");
    assert_eq!(rows.rows()[0].field("reason"), "expired");
    assert!(rows.rows()[0].field("since") > rows.rows()[0].field("lastSeen"));
    assert_eq!(connection.ok("POPPO.GET p 1").field("orphan"), "expired");
    let processes = connection.ok("POPPO.LIST p PROCESSES");
    let states: Vec<String> = processes.rows()[1].rows().iter().map(|row| row.field("state")).collect();
    assert_eq!(states, ["expired", "alive"]);

    connection.ok("POPPO.HEARTBEAT p w1 TTL 60000");
    assert_eq!(orphans(&mut connection, ""), Vec::<i64>::new());
    connection.refused(&format!("POPPO.REPAIR p 1 TOKEN {token}"), "ALIVE");
    connection.ok(&format!("POPPO.CHECKIN p 1 w1 STATUS completed TOKEN {token}"));
}

#[test]
fn a_beat_after_a_repair_tells_the_process_that_was_called_dead_to_stop() {
    let server = Server::start();
    let mut connection = server.connect();
    for repair in ["POPPO.REPAIR p 1 TOKEN $", "POPPO.EVICT p 1", "POPPO.CHECKOUT p 1 w2 TAKEOVER"] {
        connection.ok("DEL p");
        let token = connection.int("POPPO.CHECKOUT p 1 w1 HOST h PID 5 INCARNATION i");
        connection.ok("POPPO.CHECKOUT p 2 w1 INCARNATION i");
        connection.ok("POPPO.LIVENESS p w1 DEAD HOST h PID 5");
        connection.ok(&repair.replace('$', &token.to_string()));
        let before = connection.dump("p");
        connection.refused("POPPO.HEARTBEAT p w1 INCARNATION i", "NOPROC");
        connection.refused("POPPO.HEARTBEAT p w1", "NOPROC");
        connection.refused("POPPO.CHECKOUT p 2 w1 INCARNATION i", "HELD");
        assert_eq!(connection.int("POPPO.LIVENESS p w1 ALIVE HOST h PID 5"), 0, "it is not believed any more");
        assert_eq!(connection.dump("p"), before);
        assert_eq!(orphans(&mut connection, ""), [2], "{repair}");
        // The name is free: who comes under it is another life.
        connection.ok("POPPO.CHECKOUT p 3 w1 INCARNATION i");
        assert_eq!(orphans(&mut connection, ""), [2], "{repair}");
    }
}

#[test]
fn a_beat_after_a_repair_for_silence_is_welcome() {
    let (_server, mut connection) = impatient();
    let token = connection.int("POPPO.CHECKOUT p 1 w1");
    connection.ok("POPPO.CHECKOUT p 2 w1");
    wait_for_silence(&mut connection, 1);
    connection.ok(&format!("POPPO.REPAIR p 1 TOKEN {token}"));
    // It was slow, not dead: what it still holds is its own again, and the answer shows what it lost.
    let beat = connection.ok("POPPO.HEARTBEAT p w1 TTL 60000");
    let held: Vec<i64> = beat.get("issues").unwrap().rows().iter().map(|pair| pair.rows()[0].number()).collect();
    assert_eq!(held, [2]);
    assert_eq!(orphans(&mut connection, ""), Vec::<i64>::new());
}

#[test]
fn the_host_agents_alive_keeps_a_silent_process_until_max_silence() {
    let (_server, mut connection) = impatient();
    connection.ok("POPPO.CONFIG p SET max-silence 2500");
    connection.ok("POPPO.CHECKOUT p 1 attested HOST h PID 5");
    connection.ok("POPPO.LIVENESS p attested ALIVE HOST h PID 5");
    connection.ok("POPPO.CHECKOUT p 2 alone");
    wait_for_silence(&mut connection, 2);
    assert_eq!(orphans(&mut connection, ""), [2]);
    wait_for_silence(&mut connection, 1);
    // The agent's word alone does not break the silence.
    assert_eq!(connection.int("POPPO.LIVENESS p attested ALIVE HOST h PID 5"), 1);
    assert_eq!(connection.ok("POPPO.GET p 1").field("orphan"), "expired");
}

#[test]
fn an_agent_that_fell_silent_protects_nobody() {
    let (_server, mut connection) = impatient();
    connection.ok("POPPO.CONFIG p SET attest-ttl 1000");
    connection.ok("POPPO.CHECKOUT p 1 w1 HOST h PID 5");
    connection.ok("POPPO.LIVENESS p w1 ALIVE HOST h PID 5");
    wait_for_silence(&mut connection, 1);
    assert_eq!(connection.int("POPPO.LIVENESS p w1 ALIVE HOST h PID 5"), 0);
    assert_eq!(orphans(&mut connection, ""), Vec::<i64>::new());
}

#[test]
fn the_host_agents_word_is_believed_only_where_it_matches_the_record() {
    let server = Server::start();
    let mut connection = server.connect();
    connection.ok("POPPO.CHECKOUT p 1 w1 HOST h PID 5 INCARNATION i");
    connection.ok("POPPO.CHECKOUT p 2 w1 INCARNATION i");
    connection.ok("POPPO.CHECKOUT p 3 bare");
    connection.ok("POPPO.CHECKOUT p 4 plain HOST h PID 6");
    let before = connection.dump("p");
    for unbelievable in [
        "w1 DEAD HOST other PID 5 INCARNATION i",
        "w1 DEAD HOST h PID 6 INCARNATION i",
        "w1 DEAD HOST h PID 5 INCARNATION j",
        "bare DEAD HOST h PID 5",
        "nobody DEAD HOST h PID 5",
    ] {
        assert_eq!(connection.int(&format!("POPPO.LIVENESS p {unbelievable}")), 0, "{unbelievable}");
        assert_eq!(connection.dump("p"), before, "{unbelievable}");
    }
    assert_eq!(connection.int("POPPO.LIVENESS p w1 DEAD HOST h PID 5 INCARNATION i"), 2);
    assert_eq!(orphans(&mut connection, ""), [1, 2]);
    assert_eq!(connection.int("POPPO.LIVENESS p w1 ALIVE HOST h PID 5"), 0);
    // Where one side gave no incarnation, host and PID decide.
    assert_eq!(connection.int("POPPO.LIVENESS p w1 DEAD HOST h PID 5"), 2);
    assert_eq!(connection.int("POPPO.LIVENESS p plain DEAD HOST h PID 6 INCARNATION k"), 1);
    let row = &connection.ok("POPPO.ORPHANS p HOST h").rows()[2].clone();
    assert_eq!((row.field("reason"), row.field("process")), ("dead".into(), "plain".into()));
}

#[test]
fn a_later_beat_revives_a_process_that_was_called_dead() {
    let server = Server::start();
    let mut connection = server.connect();
    connection.ok("POPPO.CHECKOUT p 1 w1 HOST h PID 5");
    connection.ok("POPPO.LIVENESS p w1 DEAD HOST h PID 5");
    assert_eq!(orphans(&mut connection, ""), [1]);
    connection.ok("POPPO.HEARTBEAT p w1");
    assert_eq!(orphans(&mut connection, ""), Vec::<i64>::new());
}

#[test]
fn orphans_come_longest_orphaned_first_then_by_issue_and_no_more_than_asked_for() {
    let server = Server::start();
    let mut connection = server.connect();
    connection.ok("POPPO.CHECKOUT p 9 early HOST a PID 1");
    for issue in [8, 3, 5] {
        connection.ok(&format!("POPPO.CHECKOUT p {issue} late HOST b PID 2"));
    }
    connection.ok("POPPO.CHECKOUT p 1 alive HOST a PID 3");
    connection.ok("POPPO.LIVENESS p early DEAD HOST a PID 1");
    let since = connection.ok("POPPO.ORPHANS p").rows()[0].field("since");
    wait_until("time has passed", || {
        connection.ok("POPPO.LIVENESS p late ALIVE HOST b PID 2");
        connection.ok("POPPO.LIVENESS p late DEAD HOST b PID 2");
        connection.ok("POPPO.ORPHANS p HOST b").rows()[0].field("since") > since
    });
    assert_eq!(orphans(&mut connection, ""), [9, 3, 5, 8]);
    assert_eq!(orphans(&mut connection, "COUNT 2"), [9, 3]);
    assert_eq!(orphans(&mut connection, "HOST b"), [3, 5, 8]);
    assert_eq!(orphans(&mut connection, "COUNT 1 HOST b"), [3]);
    assert_eq!(orphans(&mut connection, "HOST nowhere"), Vec::<i64>::new());
    assert_eq!(connection.ok("POPPO.STATS p").count("orphans"), 4);
}

#[test]
fn a_hundred_orphans_are_answered_unless_more_are_asked_for() {
    let server = Server::start();
    let mut connection = server.connect();
    for issue in 1..=150 {
        connection.ok(&format!("POPPO.CHECKOUT p {issue} w1 HOST h PID 5"));
    }
    assert_eq!(connection.int("POPPO.LIVENESS p w1 DEAD HOST h PID 5"), 150);
    assert_eq!(orphans(&mut connection, ""), (1..=100).collect::<Vec<_>>());
    assert_eq!(orphans(&mut connection, "COUNT 10000"), (1..=150).collect::<Vec<_>>());
}

#[test]
fn a_row_of_orphans_always_has_its_nine_fields() {
    let server = Server::start();
    for protocol in [Protocol::Resp2, Protocol::Resp3] {
        let mut connection = server.connect_with(protocol);
        connection.ok("DEL p");
        connection.ok("POPPO.CHECKOUT p 1 w1");
        connection.ok("POPPO.CHECKOUT p 2 w1 INCARNATION i HOST h PID 5 TYPE fix");
        connection.ok("POPPO.CHECKOUT p 3 w1 INCARNATION j");
        let orphans = connection.ok("POPPO.ORPHANS p");
        assert_eq!(orphans.rows().len(), 2);
        for row in orphans.rows() {
            let fields = ["issue", "token", "process", "pid", "host", "type", "reason", "since", "lastSeen"];
            assert_eq!(row.fields(), fields);
        }
        let (bare, full) = (&orphans.rows()[0], &orphans.rows()[1]);
        for unknown in ["pid", "host", "type"] {
            assert_eq!(show(bare.get(unknown).unwrap()), "(nil)");
        }
        assert_eq!((full.count("pid"), full.field("host"), full.field("type")), (5, "h".into(), "fix".into()));
    }
}

#[test]
fn each_process_is_as_patient_as_its_own_time_to_live() {
    let (_server, mut connection) = impatient();
    connection.ok("POPPO.CHECKOUT p 1 hasty");
    connection.ok("POPPO.CHECKOUT p 2 slow TTL 86400000");
    connection.ok("POPPO.CHECKOUT p 3 slower TTL 86400000");
    connection.ok("POPPO.HEARTBEAT p slower TTL 1000");
    wait_until("both with a short time to live are orphans", || orphans(&mut connection, "").len() == 2);
    let mut found = orphans(&mut connection, "");
    found.sort_unstable();
    assert_eq!(found, [1, 3]);
}
