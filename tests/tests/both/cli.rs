//! The command `poppo`, as a shell or a script uses it, wherever the projects are.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "in a test a panic is the report"
)]

use std::process::Stdio;

use poppo_tests::command::{output, poppo, runs, signal, words};
use poppo_tests::{Reply as _, wait_until};
use rustix::process::Signal;
use serde_json::Value;

use super::Server;

#[test]
fn run_checks_the_issue_in_by_the_exit_status_of_its_command() {
    let server = Server::start();
    let mut connection = server.connect();
    let good = output(poppo(&server, &["run", "1", "--", "true"]));
    assert!(good.status.success(), "{good:?}");
    assert_eq!(connection.ok("POPPO.GET p 1").field("status"), "completed");
    let bad = output(poppo(&server, &["run", "2", "--", "sh", "-c", "exit 3"]));
    assert!(!bad.status.success(), "{bad:?}");
    let record = connection.ok("POPPO.GET p 2");
    assert_eq!(record.field("status"), "error");
    assert!(record.field("reason").contains('3'), "{}", record.field("reason"));
    let none = output(poppo(&server, &["run", "3", "--", "/nowhere/to/be/found"]));
    assert!(!none.status.success());
    assert_ne!(connection.ok("POPPO.GET p 3").field("status"), "processing");
}

#[test]
fn run_tells_its_command_what_it_works_on() {
    let server = Server::start();
    let script = "echo $POPPO_ISSUE $POPPO_TOKEN $POPPO_PROJECT > told";
    let run = output(poppo(&server, &["run", "7", "--title", "one", "--", "sh", "-c", script]));
    assert!(run.status.success(), "{run:?}");
    let record = server.connect().ok("POPPO.GET p 7");
    let expected = ["7".to_owned(), record.count("token").to_string(), "p".to_owned()];
    assert_eq!(words(&server.dir().join("told"), 3), expected);
    assert_eq!(record.field("title"), "one");
    assert!(record.count("pid") > 0 && !record.field("host").is_empty());
}

#[test]
fn run_of_an_issue_that_someone_else_has_exits_75_and_runs_nothing() {
    let server = Server::start();
    server.connect().ok("POPPO.CHECKOUT p 1 other");
    let run = output(poppo(&server, &["run", "1", "--", "sh", "-c", "echo ran > ran"]));
    assert_eq!(run.status.code(), Some(75), "{run:?}");
    assert!(String::from_utf8_lossy(&run.stderr).contains("other"), "{run:?}");
    assert!(!server.dir().join("ran").exists());
}

#[test]
fn run_that_loses_its_lease_stops_the_whole_process_group_and_exits_76() {
    let server = Server::start();
    let mut connection = server.connect();
    connection.ok("POPPO.CONFIG p SET heartbeat-ttl 2000");
    let script = "sleep 1000 & echo $$ $! > pids; wait";
    let mut run = poppo(&server, &["run", "1", "--", "sh", "-c", script]).stderr(Stdio::null()).spawn().unwrap();
    let pids = words(&server.dir().join("pids"), 2);
    assert!(pids.iter().all(|pid| runs(pid)));
    connection.ok("POPPO.EVICT p 1");
    assert_eq!(run.wait().unwrap().code(), Some(76));
    wait_until("nobody of the group is left", || !pids.iter().any(|pid| runs(pid)));
    assert_eq!(connection.ok("POPPO.GET p 1").field("endedBy"), "evict");
}

#[test]
fn run_beats_while_its_command_works() {
    let server = Server::start();
    let mut connection = server.connect();
    connection.ok("POPPO.CONFIG p SET heartbeat-ttl 2000");
    let script = "while [ ! -e stop ]; do sleep 0.05; done";
    let mut run = poppo(&server, &["run", "1", "--", "sh", "-c", script]).spawn().unwrap();
    wait_until("it has checked the issue out", || connection.ok("POPPO.STATS p").count("checkouts") == 1);
    let started = connection.ok("POPPO.GET p 1").field("startTime");
    // Someone silent from the same moment on shows when a heartbeat would have run out.
    connection.ok("POPPO.CHECKOUT p 2 silent");
    wait_until("the silent one is an orphan", || {
        let orphans = connection.ok("POPPO.ORPHANS p");
        let issues: Vec<i64> = orphans.rows().iter().map(|row| row.count("issue")).collect();
        assert!(!issues.contains(&1), "run let its lease run out");
        issues.contains(&2)
    });
    assert!(connection.ok("POPPO.GET p 1").field("lastSeen") > started);
    std::fs::write(server.dir().join("stop"), "").unwrap();
    assert!(run.wait().unwrap().success());
    assert_eq!(connection.ok("POPPO.GET p 1").field("status"), "completed");
}

#[test]
fn run_that_is_told_to_stop_checks_in_as_cancelled() {
    let server = Server::start();
    let mut connection = server.connect();
    let script = "sleep 1000 & echo $$ $! > pids; wait";
    let mut run = poppo(&server, &["run", "1", "--", "sh", "-c", script]).stderr(Stdio::null()).spawn().unwrap();
    let pids = words(&server.dir().join("pids"), 2);
    signal(&run, Signal::TERM);
    assert!(!run.wait().unwrap().success());
    assert_eq!(connection.ok("POPPO.GET p 1").field("status"), "cancelled");
    wait_until("nobody of the group is left", || !pids.iter().any(|pid| runs(pid)));
}

#[test]
fn refusals_are_json_on_stderr_when_asked_for_and_have_their_exit_codes() {
    let server = Server::start();
    let mut connection = server.connect();
    connection.ok("POPPO.CHECKOUT p 1 w1");
    for (arguments, exit, code) in [
        (&["checkout", "1", "--process", "w2"][..], 75, "HELD"),
        (&["checkin", "1", "--process", "w1", "--status", "completed", "--token", "5"], 76, "STALE"),
        (&["heartbeat", "--process", "nobody"], 76, "NOPROC"),
        (&["repair", "1", "--token", "5"], 76, "STALE"),
        (&["checkout", "0", "--process", "w2"], 2, "USAGE"),
        (&["checkout", "1", "--process", "two words"], 2, ""),
        (&["bogus"], 2, "USAGE"),
    ] {
        let mut command = poppo(&server, arguments);
        command.arg("--json");
        let output = output(command);
        assert_eq!(output.status.code(), Some(exit), "{arguments:?}: {output:?}");
        let error: Value = serde_json::from_slice(&output.stderr).unwrap_or_else(|_| panic!("{output:?}"));
        assert!(error["error"]["code"].as_str().unwrap().starts_with(code), "{arguments:?}: {error}");
        assert!(!error["error"]["message"].as_str().unwrap().is_empty());
        assert!(output.stdout.is_empty(), "{output:?}");
    }
}

#[test]
fn the_result_of_a_run_is_what_its_command_wrote_to_the_result_file() {
    let server = Server::start();
    let script = "echo '{\"pr\": 77}' > result.json";
    let run = output(poppo(&server, &["run", "1", "--result-file", "result.json", "--", "sh", "-c", script]));
    assert!(run.status.success(), "{run:?}");
    let record = server.connect().ok("POPPO.GET p 1");
    let result: Value = serde_json::from_str(&record.field("result")).unwrap();
    assert_eq!(result["pr"], 77);
}

#[test]
fn a_run_that_is_killed_leaves_an_orphan_for_others() {
    let server = Server::start();
    let mut connection = server.connect();
    connection.ok("POPPO.CONFIG p SET heartbeat-ttl 2000");
    let script = "echo $$ > pids; exec sleep 1000";
    let mut run = poppo(&server, &["run", "1", "--", "sh", "-c", script]).spawn().unwrap();
    let pids = words(&server.dir().join("pids"), 1);
    run.kill().unwrap();
    run.wait().unwrap();
    let heir = || output(poppo(&server, &["run", "1", "--takeover", "--", "true"])).status.code();
    wait_until("the lease has run out and another takes it over", || match heir() {
        Some(0) => true,
        code => {
            assert_eq!(code, Some(75));
            false
        }
    });
    assert_eq!(connection.ok("POPPO.STATS p").count("takeovers"), 1);
    wait_until("the command of the killed one is gone, too", || !runs(&pids[0]));
}

#[test]
fn events_are_one_line_each_and_aligned() {
    let server = Server::start();
    let mut connection = server.connect();
    assert_eq!(output(poppo(&server, &["events"])).stdout, b"no events\n");
    connection.ok("POPPO.CHECKOUT p 7 worker-1");
    connection.ok("POPPO.CHECKIN p 7 worker-1 STATUS error REASON \"tests\nfail\"");
    connection.ok("POPPO.CHECKOUT p 1234567 w2");
    let text = String::from_utf8(output(poppo(&server, &["events"])).stdout).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 4, "{text}");
    let place = |line: &str, what: &str| line.find(what).unwrap_or_else(|| panic!("no {what} in {line}"));
    assert_eq!(place(lines[0], "EVENT"), place(lines[1], "checkout"));
    assert_eq!(place(lines[0], "EVENT"), place(lines[2], "checkin"));
    assert!(lines[2].contains("processing → error") && lines[2].ends_with("tests fail"), "{text}");
    assert!(!text.contains('\x1b'), "{text}");
}
