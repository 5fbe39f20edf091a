//! The life of a lease: checkout, check-in, takeover, repair, eviction, and the lives of the processes that hold it.
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

/// Makes the holder of a lease an orphan through its host agent; it must have been checked out with `HOST h PID n`.
fn declare_dead(connection: &mut Connection, process: &str, pid: u32) {
    let orphans = connection.int(&format!("POPPO.LIVENESS p {process} DEAD HOST h PID {pid}"));
    assert!(orphans > 0, "{process} has no orphans");
}

/// Whether `POPPO.ORPHANS` lists the issue.
fn is_orphan(connection: &mut Connection, issue: i64) -> bool {
    let orphans = connection.ok("POPPO.ORPHANS p COUNT 10000");
    orphans.rows().iter().any(|row| row.count("issue") == issue)
}

#[test]
fn a_free_issue_is_granted_with_a_token_of_the_servers_time() {
    let server = Server::start();
    for (issue, protocol) in [(1, Protocol::Resp2), (2, Protocol::Resp3)] {
        let mut connection = server.connect_with(protocol);
        let now = |connection: &mut Connection| {
            let time = connection.ok("TIME");
            let part = |index: usize| time.rows()[index].text().unwrap().parse::<i64>().unwrap();
            part(0) * 1_000_000 + part(1)
        };
        let before = now(&mut connection);
        let token = connection.int(&format!("POPPO.CHECKOUT p {issue} w1"));
        let after = now(&mut connection);
        assert!((before..=after).contains(&token), "{before} {token} {after}");
    }
}

#[test]
fn tokens_strictly_increase_within_a_project_even_in_one_transaction() {
    let server = Server::start();
    let mut connection = server.connect();
    connection.ok("MULTI");
    for issue in 1..=50 {
        connection.ok(&format!("POPPO.CHECKOUT p {issue} w1"));
    }
    let granted = connection.ok("EXEC");
    let tokens: Vec<i64> = granted.rows().iter().map(|token| token.number()).collect();
    assert!(tokens.windows(2).all(|pair| pair[0] < pair[1]), "{tokens:?}");
    assert_eq!(connection.ok("POPPO.STATS p").count("lastToken"), tokens[49]);
}

#[test]
fn a_retry_of_the_holder_gets_the_same_token_and_renews_its_heartbeat() {
    let server = Server::start();
    for protocol in [Protocol::Resp2, Protocol::Resp3] {
        let mut connection = server.connect_with(protocol);
        connection.ok("DEL p");
        let token =
            connection.int("POPPO.CHECKOUT p 1 w1 PID 5 HOST h TMUX t TITLE one TYPE fix INCARNATION i TTL 70000");
        let seen = connection.ok("POPPO.GET p 1").field("lastSeen");
        wait_until("time has passed", || {
            assert_eq!(connection.int("POPPO.CHECKOUT p 1 w1 TITLE two INCARNATION i"), token);
            connection.ok("POPPO.GET p 1").field("lastSeen") > seen
        });
        let issue = connection.ok("POPPO.GET p 1");
        assert_eq!((issue.field("title"), issue.field("type")), ("two".into(), "fix".into()));
        // What was not given again stays as this life had it.
        assert_eq!((issue.count("pid"), issue.field("host"), issue.field("tmux")), (5, "h".into(), "t".into()));
        assert_eq!(issue.count("ttl"), 70_000);
        assert_eq!(connection.ok("POPPO.STATS p").count("checkouts"), 1);
    }
}

#[test]
fn a_retry_may_bring_news_of_the_process() {
    let server = Server::start();
    let mut connection = server.connect();
    let token = connection.int("POPPO.CHECKOUT p 1 w1 PID 5 HOST h TTL 70000 TMUX t");
    connection.ok("POPPO.LIVENESS p w1 ALIVE HOST h PID 5");
    assert_eq!(connection.int("POPPO.CHECKOUT p 1 w1 PID 6 HOST g TTL 80000 TMUX u TYPE fix TITLE two"), token);
    let issue = connection.ok("POPPO.GET p 1");
    assert_eq!((issue.count("pid"), issue.field("host"), issue.count("ttl")), (6, "g".into(), 80_000));
    assert_eq!(
        (issue.field("tmux"), issue.field("type"), issue.field("title")),
        ("u".into(), "fix".into(), "two".into())
    );
    // What the agent said was said of another PID: it does not count for this one.
    assert_eq!(connection.int("POPPO.LIVENESS p w1 DEAD HOST h PID 5"), 0);
    connection.ok("POPPO.CHECKOUT p 2 w1 INCARNATION j");
}

#[test]
fn an_issue_of_someone_else_is_held_and_the_text_names_them() {
    let server = Server::start();
    for protocol in [Protocol::Resp2, Protocol::Resp3] {
        let mut connection = server.connect_with(protocol);
        connection.ok("DEL p");
        let token = connection.int("POPPO.CHECKOUT p 1 w1");
        let before = connection.dump("p");
        for options in ["", " TAKEOVER", " ONCE", " ONCE TAKEOVER"] {
            let refusal = connection.refusal(&format!("POPPO.CHECKOUT p 1 w2{options}"));
            let since = refusal
                .strip_prefix(&format!("HELD issue 1 is checked out by w1 (token {token}) since "))
                .unwrap_or_else(|| panic!("{refusal}"));
            assert!(is_time(since) && since.len() == 24, "{refusal}");
        }
        // The same name with another incarnation is someone else, too.
        connection.refused("POPPO.CHECKOUT p 1 w1 INCARNATION second", "HELD issue 1 is checked out by w1");
        assert_eq!(connection.dump("p"), before);
    }
}

#[test]
fn a_new_run_forgets_how_the_last_one_ended_but_not_the_title() {
    let server = Server::start();
    let mut connection = server.connect();
    let first = connection.int("POPPO.CHECKOUT p 1 w1 TITLE one");
    connection.ok("POPPO.CHECKIN p 1 w1 STATUS error REASON r RESULT {} META a b");
    let second = connection.int("POPPO.CHECKOUT p 1 w2");
    assert!(second > first);
    let issue = connection.ok("POPPO.GET p 1");
    assert_eq!(issue.field("title"), "one");
    for gone in ["endTime", "endedBy", "result", "reason", "metadata"] {
        assert!(issue.get(gone).is_none(), "{gone} is still there:\n{}", show(&issue));
    }
    connection.refused(&format!("POPPO.CHECKIN p 1 w1 STATUS error TOKEN {first}"), "STALE");
}

#[test]
fn once_refuses_what_was_ever_completed_until_it_is_forgotten() {
    let server = Server::start();
    let mut connection = server.connect();
    connection.ok("POPPO.CHECKOUT p 1 w1 ONCE");
    connection.refused("POPPO.CHECKOUT p 1 w2 ONCE", "HELD");
    connection.ok("POPPO.CHECKIN p 1 w1 STATUS error");
    connection.ok("POPPO.CHECKOUT p 1 w1 ONCE");
    connection.ok("POPPO.CHECKIN p 1 w1 STATUS completed");
    connection.refused("POPPO.CHECKOUT p 1 w1 ONCE", "DONE");
    let completed = connection.ok("POPPO.GET p 1").field("completedTime");
    assert!(is_time(&completed));

    // A later run that failed does not undo it.
    connection.ok("POPPO.CHECKOUT p 1 w1");
    connection.refused("POPPO.CHECKOUT p 1 w2 ONCE", "HELD");
    connection.ok("POPPO.CHECKIN p 1 w1 STATUS error");
    connection.refused("POPPO.CHECKOUT p 1 w1 ONCE", "DONE");
    assert_eq!(connection.ok("POPPO.GET p 1").field("completedTime"), completed);
    assert_eq!(connection.int("POPPO.FORGET p 1"), 1);
    connection.ok("POPPO.CHECKOUT p 1 w1 ONCE");
}

#[test]
fn a_lease_ends_with_each_status_and_keeps_what_was_said() {
    let server = Server::start();
    for protocol in [Protocol::Resp2, Protocol::Resp3] {
        let mut connection = server.connect_with(protocol);
        connection.ok("DEL p");
        for (issue, status) in ["completed", "awaiting-response", "error", "cancelled"].iter().enumerate() {
            let issue = issue + 1;
            connection.ok(&format!("POPPO.CHECKOUT p {issue} w1"));
            let checkin = format!("POPPO.CHECKIN p {issue} w1 STATUS {status} REASON r RESULT 1 META status x a 1 a 2");
            assert_eq!(connection.text(&checkin), "OK");
            let record = connection.ok(&format!("POPPO.GET p {issue}"));
            assert_eq!(record.field("status"), *status);
            assert_eq!(record.field("endedBy"), "checkin");
            assert_eq!((record.field("reason"), record.field("result")), ("r".into(), "1".into()));
            let metadata = record.get("metadata").unwrap();
            assert_eq!((metadata.field("status"), metadata.field("a")), ("x".into(), "2".into()));
            assert!(is_time(&record.field("endTime")));
            assert_eq!(record.get("completedTime").is_some(), *status == "completed");
            let stats = connection.ok("POPPO.STATS p");
            assert_eq!(stats.count(&format!("checkins.{status}")), 1);
            assert_eq!(stats.count(&format!("issues.{status}")), 1);
            assert_eq!(stats.count("hold.count"), issue as i64);
        }
        assert_eq!(connection.ok("POPPO.STATS p").count("issues.processing"), 0);
    }
}

#[test]
fn the_same_check_in_again_is_ok_and_changes_nothing() {
    let server = Server::start();
    let mut connection = server.connect();
    let token = connection.int("POPPO.CHECKOUT p 1 w1");
    let checkin = format!("POPPO.CHECKIN p 1 w1 STATUS completed TOKEN {token} REASON first");
    connection.ok(&checkin);
    let before = connection.dump("p");
    connection.ok(&checkin);
    connection.ok(&format!("POPPO.CHECKIN p 1 w1 STATUS completed TOKEN {token} REASON second"));
    assert_eq!(connection.dump("p"), before);
}

#[test]
fn a_token_that_ended_differently_is_stale_and_one_without_lease_not_held() {
    let server = Server::start();
    let mut connection = server.connect();
    let first = connection.int("POPPO.CHECKOUT p 1 w1");
    connection.refused("POPPO.CHECKIN p 1 w1 STATUS error TOKEN 5", "STALE token 5 of issue 1 is no longer valid");
    connection.ok(&format!("POPPO.CHECKIN p 1 w1 STATUS completed TOKEN {first}"));
    let before = connection.dump("p");
    let stale = format!("STALE token {first} of issue 1 is no longer valid: it was checked in as completed at ");
    connection.refused(&format!("POPPO.CHECKIN p 1 w1 STATUS error TOKEN {first}"), &stale);
    connection.refused("POPPO.CHECKIN p 1 w1 STATUS completed TOKEN 5", "STALE token 5 of issue 1");
    connection.refused("POPPO.CHECKIN p 1 w1 STATUS completed", "NOTHELD issue 1 is not checked out");
    connection.refused("POPPO.CHECKIN p 2 w1 STATUS completed", "NOTHELD issue 2 is not checked out");
    connection.refused(&format!("POPPO.CHECKIN p 2 w1 STATUS completed TOKEN {first}"), "NOTHELD");
    assert_eq!(connection.dump("p"), before);

    // The token of an earlier run is stale while the next one is on, whoever uses it.
    connection.ok("POPPO.CHECKOUT p 1 w2");
    connection.refused(&format!("POPPO.CHECKIN p 1 w1 STATUS completed TOKEN {first}"), "STALE");
    connection.refused(&format!("POPPO.CHECKIN p 1 w2 STATUS completed TOKEN {first}"), "STALE");
}

#[test]
fn only_the_holder_checks_in() {
    let server = Server::start();
    let mut connection = server.connect();
    let token = connection.int("POPPO.CHECKOUT p 1 w1 INCARNATION i");
    let before = connection.dump("p");
    connection.refused("POPPO.CHECKIN p 1 w2 STATUS completed", "HELD");
    connection.refused(&format!("POPPO.CHECKIN p 1 w2 STATUS completed TOKEN {token}"), "HELD");
    connection.refused("POPPO.CHECKIN p 1 w1 STATUS completed INCARNATION j", "HELD");
    assert_eq!(connection.dump("p"), before);
    connection.ok("POPPO.CHECKIN p 1 w1 STATUS completed INCARNATION i");
    connection.ok("POPPO.CHECKOUT p 1 w1 INCARNATION i");
    connection.ok("POPPO.CHECKIN p 1 w1 STATUS completed");
}

#[test]
fn a_check_in_is_no_sign_of_life() {
    let server = Server::start();
    let mut connection = server.connect();
    connection.ok("POPPO.CHECKOUT p 1 w1 HOST h PID 5");
    let token = connection.int("POPPO.CHECKOUT p 2 w1");
    declare_dead(&mut connection, "w1", 5);
    connection.ok(&format!("POPPO.CHECKIN p 2 w1 STATUS completed TOKEN {token}"));
    assert!(is_orphan(&mut connection, 1));
    assert!(!is_orphan(&mut connection, 2));
}

#[test]
fn an_orphans_issue_is_taken_over_and_its_token_is_stale() {
    let server = Server::start();
    let mut connection = server.connect();
    let old = connection.int("POPPO.CHECKOUT p 1 w1 HOST h PID 5");
    declare_dead(&mut connection, "w1", 5);
    // Without being asked for, no takeover, not even from an orphan.
    connection.refused("POPPO.CHECKOUT p 1 w2", "HELD");
    let new = connection.int("POPPO.CHECKOUT p 1 w2 TAKEOVER");
    assert!(new > old);
    connection.refused(&format!("POPPO.CHECKIN p 1 w1 STATUS completed TOKEN {old}"), "STALE");
    connection.refused(&format!("POPPO.REPAIR p 1 TOKEN {old}"), "STALE");
    let stats = connection.ok("POPPO.STATS p");
    assert_eq!((stats.count("takeovers"), stats.count("repairs.dead")), (1, 1));
    assert_eq!((stats.count("hold.count"), stats.count("detection.count")), (1, 1));
    connection.ok(&format!("POPPO.CHECKIN p 1 w2 STATUS completed TOKEN {new}"));
}

#[test]
fn a_new_life_takes_its_older_lifes_issue_over_only_when_asked_to() {
    let server = Server::start();
    let mut connection = server.connect();
    let old = connection.int("POPPO.CHECKOUT p 1 w1 INCARNATION i");
    connection.refused("POPPO.CHECKOUT p 1 w1 INCARNATION j", "HELD");
    // The refused one ended nobody.
    connection.ok("POPPO.HEARTBEAT p w1 INCARNATION i");
    let new = connection.int("POPPO.CHECKOUT p 1 w1 INCARNATION j TAKEOVER");
    assert!(new > old);
    assert_eq!(connection.ok("POPPO.STATS p").count("repairs.replaced"), 1);
    connection.refused("POPPO.HEARTBEAT p w1 INCARNATION i", "NOPROC");
    connection.refused(&format!("POPPO.CHECKIN p 1 w1 STATUS completed TOKEN {old}"), "STALE");
}

#[test]
fn a_new_life_makes_orphans_of_what_the_older_one_held() {
    let server = Server::start();
    let mut connection = server.connect();
    let old = connection.int("POPPO.CHECKOUT p 1 w1 INCARNATION i HOST h PID 5");
    connection.ok("POPPO.CHECKOUT p 2 w1 INCARNATION j HOST h PID 6");
    let orphans = connection.ok("POPPO.ORPHANS p");
    assert_eq!(orphans.rows().len(), 1);
    let row = &orphans.rows()[0];
    assert_eq!((row.count("issue"), row.count("token"), row.count("pid")), (1, old, 5));
    assert_eq!(row.field("reason"), "replaced");
    assert_eq!(connection.ok("POPPO.GET p 1").field("orphan"), "replaced");
    assert_eq!(connection.ok("POPPO.HEARTBEAT p w1 BRIEF").count("issues"), 1);

    // An ended life never comes back: what calls itself so later is a new one.
    connection.ok("POPPO.CHECKOUT p 3 w1 INCARNATION i");
    assert!(is_orphan(&mut connection, 1) && is_orphan(&mut connection, 2) && !is_orphan(&mut connection, 3));
    let beat = connection.ok("POPPO.HEARTBEAT p w1 INCARNATION i");
    assert_eq!(beat.get("issues").unwrap().rows().len(), 1);
    connection.refused("POPPO.CHECKOUT p 1 w1 INCARNATION i", "HELD");
    // What it fenced with its own token it may still hand in: that was its work.
    connection.ok(&format!("POPPO.CHECKIN p 1 w1 STATUS completed TOKEN {old}"));
}

#[test]
fn a_life_that_held_nothing_when_it_was_replaced_is_forgotten() {
    let server = Server::start();
    let mut connection = server.connect();
    connection.ok("POPPO.CHECKOUT p 1 w1 INCARNATION i");
    connection.ok("POPPO.CHECKIN p 1 w1 STATUS completed");
    connection.ok("POPPO.CHECKOUT p 1 w1 INCARNATION j");
    let processes = connection.ok("POPPO.LIST p PROCESSES");
    assert_eq!(processes.rows()[1].rows().len(), 1, "{}", show(&processes));
    // And one that held something, as soon as it holds nothing any more.
    let token = connection.ok("POPPO.GET p 1").count("token");
    connection.ok("POPPO.CHECKOUT p 2 w1 INCARNATION k");
    assert_eq!(connection.ok("POPPO.LIST p PROCESSES").rows()[1].rows().len(), 2);
    connection.ok(&format!("POPPO.REPAIR p 1 TOKEN {token}"));
    assert_eq!(connection.ok("POPPO.LIST p PROCESSES").rows()[1].rows().len(), 1);
}

#[test]
fn absent_is_an_incarnation_of_its_own() {
    let server = Server::start();
    let mut connection = server.connect();
    let token = connection.int("POPPO.CHECKOUT p 1 w1");
    assert_eq!(connection.int("POPPO.CHECKOUT p 1 w1"), token);
    connection.refused("POPPO.HEARTBEAT p w1 INCARNATION i", "NOPROC");
    connection.ok("POPPO.CHECKOUT p 2 w1 INCARNATION i");
    assert!(is_orphan(&mut connection, 1));
    connection.ok("POPPO.CHECKOUT p 3 w1");
    assert!(is_orphan(&mut connection, 2) && !is_orphan(&mut connection, 3));
}

#[test]
fn a_life_attested_alive_cannot_be_replaced() {
    let server = Server::start();
    let mut connection = server.connect();
    connection.ok("POPPO.CONFIG p SET attest-ttl 1000");
    connection.ok("POPPO.CHECKOUT p 1 w1 INCARNATION i HOST h PID 5");
    connection.ok("POPPO.LIVENESS p w1 ALIVE HOST h PID 5 INCARNATION i");
    let before = connection.dump("p");
    connection.refused("POPPO.CHECKOUT p 2 w1 INCARNATION j", "INUSE");
    connection.refused("POPPO.CHECKOUT p 1 w1 INCARNATION j TAKEOVER", "INUSE");
    connection.refused("POPPO.CHECKOUT p 2 w1", "INUSE");
    assert_eq!(connection.dump("p"), before);
    // It itself goes on as it likes.
    connection.ok("POPPO.CHECKOUT p 3 w1 INCARNATION i");
    // The word of the agent counts for attest-ttl.
    wait_until("the attestation has run out", || {
        connection.cmd("POPPO.CHECKOUT p 2 w1 INCARNATION j").error().is_none()
    });
    assert!(is_orphan(&mut connection, 1));
}

#[test]
fn a_life_attested_dead_can_be_replaced_at_once() {
    let server = Server::start();
    let mut connection = server.connect();
    connection.ok("POPPO.CHECKOUT p 1 w1 INCARNATION i HOST h PID 5");
    connection.ok("POPPO.LIVENESS p w1 ALIVE HOST h PID 5 INCARNATION i");
    declare_dead(&mut connection, "w1", 5);
    connection.ok("POPPO.CHECKOUT p 2 w1 INCARNATION j");
}

#[test]
fn an_orphan_is_repaired_once_and_its_token_is_stale() {
    let server = Server::start();
    for protocol in [Protocol::Resp2, Protocol::Resp3] {
        let mut connection = server.connect_with(protocol);
        connection.ok("DEL p");
        let token = connection.int("POPPO.CHECKOUT p 1 w1 HOST h PID 5");
        let other = connection.int("POPPO.CHECKOUT p 2 w1");
        declare_dead(&mut connection, "w1", 5);
        let repair = format!("POPPO.REPAIR p 1 TOKEN {token} REASON gone");
        assert_eq!(connection.text(&repair), "error");
        let before = connection.dump("p");
        assert_eq!(connection.text(&repair), "error");
        connection.refused(&format!("{repair} STATUS awaiting-response"), "STALE");
        connection.refused("POPPO.REPAIR p 1 TOKEN 5", "STALE");
        connection.refused("POPPO.REPAIR p 2 TOKEN 5", "STALE");
        connection.refused("POPPO.REPAIR p 9 TOKEN 5", "NOTHELD");
        let stale = format!("STALE token {token} of issue 1 is no longer valid: it was repaired as error at ");
        connection.refused(&format!("POPPO.CHECKIN p 1 w1 STATUS error TOKEN {token}"), &stale);
        assert_eq!(connection.dump("p"), before);

        let issue = connection.ok("POPPO.GET p 1");
        assert_eq!((issue.field("status"), issue.field("endedBy")), ("error".into(), "repair".into()));
        assert_eq!((issue.field("reason"), issue.field("process")), ("gone".into(), "w1".into()));
        let repair = format!("POPPO.REPAIR p 2 TOKEN {other} STATUS awaiting-response");
        assert_eq!(connection.text(&repair), "awaiting-response");
        let stats = connection.ok("POPPO.STATS p");
        assert_eq!((stats.count("repairs.dead"), stats.count("detection.count")), (2, 2));
        assert_eq!((stats.count("issues.error"), stats.count("issues.awaiting-response")), (1, 1));
    }
}

#[test]
fn a_live_holder_is_not_repaired_but_can_be_evicted() {
    let server = Server::start();
    for protocol in [Protocol::Resp2, Protocol::Resp3] {
        let mut connection = server.connect_with(protocol);
        connection.ok("DEL p");
        let token = connection.int("POPPO.CHECKOUT p 1 w1");
        connection.ok("POPPO.CHECKOUT p 2 w1");
        let alive = "ALIVE issue 1 is held by w1, which is not an orphan";
        connection.refused(&format!("POPPO.REPAIR p 1 TOKEN {token}"), alive);
        connection.refused("POPPO.EVICT p 1 TOKEN 5", "STALE");
        let evict = format!("POPPO.EVICT p 1 TOKEN {token} REASON wrong");
        assert_eq!(connection.text(&evict), "error");
        assert_eq!(connection.text(&evict), "error");
        connection.refused("POPPO.EVICT p 1", "NOTHELD");
        connection.refused("POPPO.EVICT p 9", "NOTHELD");
        let stale = format!("STALE token {token} of issue 1 is no longer valid: it was evicted as error at ");
        connection.refused(&format!("POPPO.CHECKIN p 1 w1 STATUS error TOKEN {token}"), &stale);
        let issue = connection.ok("POPPO.GET p 1");
        assert_eq!((issue.field("endedBy"), issue.field("reason")), ("evict".into(), "wrong".into()));

        // The holder learns of it with its next beat, and keeps the rest.
        let beat = connection.ok("POPPO.HEARTBEAT p w1");
        let held = beat.get("issues").unwrap().rows();
        assert_eq!(held.iter().map(|pair| pair.rows()[0].number()).collect::<Vec<_>>(), [2]);
        assert_eq!(connection.text("POPPO.EVICT p 2"), "error");
        let stats = connection.ok("POPPO.STATS p");
        assert_eq!((stats.count("evictions"), stats.count("repairs.dead")), (2, 0));
    }
}

#[test]
fn what_was_checked_in_cannot_be_repaired() {
    let server = Server::start();
    let mut connection = server.connect();
    let token = connection.int("POPPO.CHECKOUT p 1 w1");
    connection.ok("POPPO.CHECKIN p 1 w1 STATUS completed");
    connection.refused(&format!("POPPO.REPAIR p 1 TOKEN {token}"), "STALE");
    connection.refused(&format!("POPPO.EVICT p 1 TOKEN {token}"), "STALE");
    assert_eq!(connection.ok("POPPO.GET p 1").field("status"), "completed");
}

#[test]
fn two_projects_know_nothing_of_each_other() {
    let server = Server::start();
    let mut connection = server.connect();
    connection.ok("POPPO.CHECKOUT p 1 w1");
    connection.ok("POPPO.CHECKOUT q 1 w2");
    connection.refused("POPPO.HEARTBEAT p w2", "NOPROC");
    connection.ok("DEL p");
    assert_eq!(connection.ok("POPPO.GET q 1").field("process"), "w2");
    connection.ok("POPPO.CHECKOUT p 1 w3");
}
