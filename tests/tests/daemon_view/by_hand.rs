//! What somebody writes into the view by hand, as the older programs do: two commands, and not in one step. Whatever the daemon
//! is about to write meanwhile, it is taken into the project, or was refused since the project has it otherwise.

use std::collections::BTreeSet;

use poppo_tests::command::signal;
use poppo_tests::daemon::Daemon;
use poppo_tests::{Connection, Random, Reply as _, Server, seed, wait_until};
use redis::Value;
use rustix::process::Signal;

use super::{Layout, daemon, settles};

/// The first command: the issue's hash.
fn hash(connection: &mut Connection, layout: &Layout, issue: u64, process: &str) {
    let key = layout.key(&format!("issue:status:{issue}"), &format!("issue:{issue}"));
    connection.ok(&format!(
        "HSET {key} status processing processId {process} pid 2147483647 taskType dogfooding startTime \
         2025-06-19T10:00:00Z lastUpdate 2025-06-19T10:00:00Z checkedOutBy test"
    ));
}

/// The second: the set of those that are processed.
fn member(connection: &mut Connection, layout: &Layout, issue: u64) {
    connection.ok(&format!("SADD {} {issue}", layout.key("issues:processing", "processing_issues")));
}

fn write(connection: &mut Connection, layout: &Layout, issue: u64, process: &str) {
    hash(connection, layout, issue, process);
    member(connection, layout, issue);
}

fn holder(connection: &mut Connection, issue: u64) -> Option<String> {
    let issue = connection.ok(&format!("POPPO.GET p {issue}"));
    (issue != Value::Nil && issue.field("status") == "processing").then(|| issue.field("process"))
}

#[track_caller]
fn is_adopted(connection: &mut Connection, issue: u64, process: &str) {
    wait_until(&format!("{issue} is in the project"), || holder(connection, issue).as_deref() == Some(process));
}

/// The issues of which it logged that they cannot be so.
fn refused(daemon: &Daemon) -> BTreeSet<u64> {
    let lines = daemon.lines();
    let lines = lines.iter().filter(|line| line["message"].as_str().is_some_and(|said| said.contains("cannot be so")));
    lines.filter_map(|line| line["issue"].as_str()?.parse().ok()).collect()
}

/// Does something while the daemon stands still, which then finds all of it at once.
fn behind_its_back(daemon: &Daemon, act: impl FnOnce()) {
    signal(daemon.child(), Signal::STOP);
    act();
    signal(daemon.child(), Signal::CONT);
}

/// Waits until the daemon has shown whatever happened before.
fn catches_up(connection: &mut Connection, layout: &Layout, issue: u64) {
    connection.ok(&format!("POPPO.CHECKOUT p {issue} w{issue}"));
    connection.ok(&format!("POPPO.CHECKIN p {issue} w{issue} STATUS completed"));
    let key = layout.key(&format!("issue:status:{issue}"), &format!("issue:{issue}"));
    wait_until("the log is read", || {
        connection.cmd(&format!("HGET {key} status")).text().as_deref() == Some("completed")
    });
}

#[test]
fn what_somebody_wrote_by_hand_is_taken_into_the_project() {
    let server = Server::start();
    let daemon = daemon(&server, "poppo").top("host = \"here\"").start();
    let (mut connection, layout) = (server.connect(), Layout("poppo"));
    write(&mut connection, &layout, 77, "issue-77-poppo");
    is_adopted(&mut connection, 77, "issue-77-poppo");
    let issue = connection.ok("POPPO.GET p 77");
    assert_eq!(
        (issue.count("pid"), issue.field("host"), issue.count("ttl")),
        (2_147_483_647, "here".to_owned(), 60_000)
    );
    assert_eq!(issue.field("type"), "dogfooding");
    settles(&server, "poppo", "adopted");
    // Its host's agent, or its silence, makes an orphan of it.
    assert_eq!(connection.int("POPPO.LIVENESS p issue-77-poppo DEAD HOST here PID 2147483647"), 1);
    assert_eq!(connection.ok("POPPO.ORPHANS p").rows().len(), 1);

    // Over what the view shows of an issue that is done; with a heartbeat; and what cannot be.
    connection.ok("POPPO.CHECKOUT p 5 w");
    connection.ok("POPPO.CHECKIN p 5 w STATUS completed");
    settles(&server, "poppo", "done");
    write(&mut connection, &layout, 5, "issue-5-poppo");
    connection.ok("SETEX p:process:heartbeat:issue-6-poppo 600 alive");
    write(&mut connection, &layout, 6, "issue-6-poppo");
    is_adopted(&mut connection, 5, "issue-5-poppo");
    is_adopted(&mut connection, 6, "issue-6-poppo");
    let ttl = connection.ok("POPPO.GET p 6").count("ttl");
    assert!((500_000..=600_000).contains(&ttl), "{ttl}");
    write(&mut connection, &layout, 8, "\"no name\"");
    daemon.wait_for_log("but it cannot be so");
    assert_eq!(connection.text("HGET p:issue:status:8 processId"), "no name");
    connection.ok("SREM p:issues:processing 8");
    connection.ok("DEL p:issue:status:8");
    // What is in the set and nowhere else is nothing.
    connection.ok("SADD p:issues:processing 4711 5000000 nonsense");
    settles(&server, "poppo", "without what is nothing");
    assert_eq!(daemon.metric("poppo_view_adopted_total{project=\"p\"}"), Some(3.0));
}

/// All that the daemon has yet to write of these issues when somebody writes them by hand, it writes afterwards.
fn is_not_overwritten_by_what_was_to_be_written_before(view: &'static str) {
    let server = Server::start();
    let daemon = daemon(&server, view).start();
    let (mut connection, layout) = (server.connect(), Layout(view));
    for issue in 1..=7 {
        connection.ok(&format!("POPPO.CHECKOUT p {issue} w{issue}"));
    }
    for issue in 3..=7 {
        connection.ok(&format!("POPPO.CHECKIN p {issue} w{issue} STATUS completed"));
    }
    settles(&server, view, "two held, five done");
    behind_its_back(&daemon, || {
        // Ended, not yet shown; begun and ended once more; forgotten.
        for issue in [1, 2] {
            connection.ok(&format!("POPPO.CHECKIN p {issue} w{issue} STATUS completed"));
        }
        for issue in [3, 4, 5] {
            connection.ok(&format!("POPPO.CHECKOUT p {issue} w{issue}"));
            connection.ok(&format!("POPPO.CHECKIN p {issue} w{issue} STATUS error"));
        }
        connection.ok("POPPO.FORGET p 6");
        for issue in [1, 3, 6] {
            write(&mut connection, &layout, issue, &format!("hand-{issue}"));
        }
        // Half of it only, either half.
        hash(&mut connection, &layout, 2, "hand-2");
        hash(&mut connection, &layout, 4, "hand-4");
        member(&mut connection, &layout, 5);
        // Somebody was faster.
        connection.ok("POPPO.CHECKOUT p 7 faster");
        hash(&mut connection, &layout, 7, "hand-7");
    });
    catches_up(&mut connection, &layout, 8);
    member(&mut connection, &layout, 2);
    member(&mut connection, &layout, 4);
    hash(&mut connection, &layout, 5, "hand-5");
    for issue in 1..=6 {
        is_adopted(&mut connection, issue, &format!("hand-{issue}"));
    }
    wait_until("the one that cannot be so is named", || refused(&daemon).contains(&7));
    assert_eq!(holder(&mut connection, 7).as_deref(), Some("faster"));
    settles(&server, view, "with all of them");
    assert_eq!(refused(&daemon), BTreeSet::from([7]));
    assert_eq!(daemon.metric("poppo_view_adopted_total{project=\"p\"}"), Some(6.0));
}

#[test]
fn what_is_written_by_hand_is_not_overwritten_by_what_was_to_be_written_before() {
    is_not_overwritten_by_what_was_to_be_written_before("poppo");
}

#[test]
fn what_is_written_by_hand_into_the_bare_view_is_not_overwritten_either() {
    is_not_overwritten_by_what_was_to_be_written_before("bare");
}

#[test]
fn half_of_what_is_to_be_written_by_hand_is_undone_in_the_end() {
    let server = Server::start();
    let _daemon = daemon(&server, "poppo").start();
    let (mut connection, layout) = (server.connect(), Layout("poppo"));
    for issue in 1..=3 {
        connection.ok(&format!("POPPO.CHECKOUT p {issue} w{issue}"));
        connection.ok(&format!("POPPO.CHECKIN p {issue} w{issue} STATUS completed"));
    }
    settles(&server, "poppo", "three done");
    hash(&mut connection, &layout, 1, "hand-1");
    member(&mut connection, &layout, 2);
    // What a holder's own program writes into its issue is no claim of somebody else's.
    connection.ok("POPPO.CHECKOUT p 3 w3");
    settles(&server, "poppo", "one held");
    connection.ok("HSET p:issue:status:3 lastUpdate 2025-06-19T10:00:00Z checkedOutBy w3");
    connection.ok("POPPO.CHECKIN p 3 w3 STATUS completed");
    settles(&server, "poppo", "as the project is");
    assert_eq!(connection.ok("POPPO.LIST p STATUS processing").rows()[1].rows().len(), 0);
}

#[test]
fn what_was_refused_once_can_be_written_by_hand_again() {
    let server = Server::start();
    let daemon = daemon(&server, "poppo").start();
    let (mut connection, layout) = (server.connect(), Layout("poppo"));
    connection.ok("POPPO.CHECKOUT p 1 w");
    settles(&server, "poppo", "held");
    write(&mut connection, &layout, 1, "hand-1");
    wait_until("it is named", || refused(&daemon).contains(&1));
    settles(&server, "poppo", "as it is held");
    connection.ok("POPPO.CHECKIN p 1 w STATUS completed");
    settles(&server, "poppo", "done");
    write(&mut connection, &layout, 1, "hand-1");
    is_adopted(&mut connection, 1, "hand-1");
}

/// While workers check the same issues out and in as fast as they can.
fn among_workers(view: &'static str) {
    let seed = seed(0x0b_0a_0d);
    println!("POPPO_SEED={seed}");
    let issues = 40;
    let server = Server::start();
    let daemon = daemon(&server, view).start();
    let (mut connection, mut worker, layout) = (server.connect(), server.connect(), Layout(view));
    let (mut random, mut waiting) = (Random::new(seed), (1..=issues).collect::<Vec<u64>>());
    let mut turns = 0;
    while !waiting.is_empty() {
        let issue = 1 + random.below(issues as usize) as u64;
        match random.below(8) {
            0 => drop(worker.cmd(&format!("POPPO.FORGET p {issue}"))),
            1..=3 => drop(worker.cmd(&format!("POPPO.CHECKIN p {issue} w STATUS completed"))),
            _ => drop(worker.cmd(&format!("POPPO.CHECKOUT p {issue} w"))),
        }
        turns += 1;
        if turns % 20 == 0 {
            let issue = waiting.swap_remove(random.below(waiting.len()));
            write(&mut connection, &layout, issue, &format!("hand-{issue}"));
        }
    }
    for issue in 1..=issues {
        let process = format!("hand-{issue}");
        wait_until(&format!("{issue} is in the project, or cannot be so"), || {
            holder(&mut connection, issue).as_deref() == Some(process.as_str()) || refused(&daemon).contains(&issue)
        });
    }
    settles(&server, view, "after all");
    let adopted = daemon.metric("poppo_view_adopted_total{project=\"p\"}").unwrap_or_default();
    println!("{adopted} adopted, {} refused, of {issues}", refused(&daemon).len());
}

#[test]
fn what_is_written_by_hand_among_workers_is_adopted_or_refused() {
    among_workers("poppo");
}

#[test]
fn what_is_written_by_hand_into_the_bare_view_among_workers_is_adopted_or_refused() {
    among_workers("bare");
}
