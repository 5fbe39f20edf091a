//! Commands that are started while their server is away: which of them wait, how long, and what they say.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "in a test a panic is the report"
)]

use poppo_tests::command::{Following, bare, output, poppo, refusal, signal};
use poppo_tests::pty::Terminal;
use poppo_tests::{Reply as _, Server, wait_until};
use rustix::process::Signal;

/// A server that is away, and comes back with `start_again`.
fn away() -> Server {
    let mut server = Server::builder().no_grace().durable().start();
    server.connect().ok("POPPO.ENQUEUE p 1");
    server.kill9();
    server
}

/// Waits until the command says that it waits.
#[track_caller]
fn waits(command: &Following) {
    wait_until("it says that it waits", || command.said().contains("waiting for it"));
}

#[test]
fn a_command_that_is_answered_at_once_or_not_at_all_waits_only_where_it_is_told_to() {
    let mut server = away();
    let (exit, code, _) = refusal(&server, &["list"]);
    assert_eq!((exit, code.as_str()), (1, "UNREACHABLE"));
    let (exit, code, _) = refusal(&server, &["list", "--wait", "50ms"]);
    assert_eq!((exit, code.as_str()), (1, "UNREACHABLE"), "it has waited in vain");
    let (exit, code, _) = refusal(&server, &["work", "--once", "--", "true"]);
    assert_eq!((exit, code.as_str()), (1, "UNREACHABLE"));

    let mut list = Following::named(&server, "list", &["--json", "list", "--queue", "--wait", "1m"]);
    let mut doctor = Following::named(&server, "doctor", &["doctor", "--wait", "1m"]);
    let mut command = poppo(&server, &["enqueue", "2"]);
    command.env("POPPO_WAIT", "1m");
    let mut enqueue = Following::of(server.dir(), "enqueue", command);
    for command in [&list, &doctor, &enqueue] {
        waits(command);
    }
    server.start_again();
    for command in [&mut list, &mut doctor, &mut enqueue] {
        assert_eq!(command.exit_code(), Some(0), "{}", command.said());
        assert_eq!(command.said().lines().count(), 2, "{}", command.said());
        assert!(command.said().ends_with("poppo: the server answers\n"), "{}", command.said());
    }
    assert!(list.written().contains("1:issue"), "{}", list.written());
    assert_eq!(server.connect().ok("POPPO.GET p 2").field("status"), "queued");
}

#[test]
fn what_works_or_follows_waits_by_itself() {
    let mut server = away();
    let mut work = Following::named(&server, "work", &["--json", "work", "--", "true"]);
    let mut run = Following::named(&server, "run", &["run", "3", "--", "true"]);
    let mut events = Following::named(&server, "events", &["--json", "events", "--follow", "--count", "1"]);
    let labels = Following::named(&server, "labels", &["--json", "labels", "--follow"]);
    let mut top = Terminal::start(&poppo(&server, &["top"]), 40, 140);
    for command in [&work, &run, &events, &labels] {
        waits(command);
    }
    top.wait_for("waiting for it");
    server.start_again();
    assert_eq!(work.documents(1)[0]["status"], "completed");
    assert_eq!(run.exit_code(), Some(0), "{}", run.said());
    assert_eq!(events.documents(1)[0]["event"], "enqueue");
    assert_eq!(events.exit_code(), Some(0), "{}", events.said());
    labels.documents(1);
    top.wait_for("leases (");
    top.press("q");
    assert_eq!(top.ended().code(), Some(0));
    signal(&work.child, Signal::TERM);
    assert_eq!(work.exit_code(), Some(0), "{}", work.said());
}

#[test]
fn a_signal_ends_the_wait() {
    let server = away();
    let mut work = Following::named(&server, "work", &["work", "--", "true"]);
    let mut run = Following::named(&server, "run", &["run", "3", "--", "true"]);
    for command in [&work, &run] {
        waits(command);
        signal(&command.child, Signal::TERM);
    }
    assert_eq!(work.exit_code(), Some(0), "{}", work.said());
    assert_eq!(run.exit_code(), Some(143), "{}", run.said());
}

#[test]
fn what_works_can_be_told_not_to_wait() {
    let server = away();
    for arguments in [&["work", "--wait", "0s", "--", "true"][..], &["run", "3", "--wait", "0s", "--", "true"]] {
        let (exit, code, _) = refusal(&server, arguments);
        assert_eq!((exit, code.as_str()), (1, "UNREACHABLE"), "{arguments:?}");
    }
    let (exit, _, message) = refusal(&server, &["list", "--wait", "soon"]);
    assert_eq!(exit, 2);
    assert!(message.contains("--wait") && message.contains("90s"), "{message}");
}

#[test]
fn a_server_that_loads_its_data_is_waited_for() {
    let mut server = Server::builder().no_grace().arg("key-load-delay", 20_000).start();
    let mut connection = server.connect();
    for key in 0..50 {
        connection.ok(&format!("SET k{key} v"));
    }
    connection.ok("POPPO.ENQUEUE p 1");
    server.shutdown("SAVE");
    let mut list = Following::named(&server, "list", &["list", "--queue", "--wait", "1m"]);
    let mut run = Following::named(&server, "run", &["run", "3", "--", "true"]);
    server.start_again();
    for command in [&mut list, &mut run] {
        assert_eq!(command.exit_code(), Some(0), "{}", command.said());
    }
}

#[test]
fn who_is_not_let_in_does_not_wait() {
    let server = Server::start();
    let mut connection = server.connect();
    connection.ok("CONFIG SET requirepass secret");
    for arguments in [&["work", "--", "true"][..], &["events", "--follow"], &["list", "--wait", "1m"]] {
        let (exit, code, message) = refusal(&server, arguments);
        assert_eq!((exit, code.as_str()), (1, "NOAUTH"), "{arguments:?}: {message}");
    }
    connection.ok("CONFIG SET requirepass \"\"");
}

#[test]
fn without_a_server_that_is_meant_nothing_is_waited_for() {
    if std::net::TcpStream::connect("127.0.0.1:6379").is_ok() {
        println!("skipped: a server of somebody's listens where Redis is by default");
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let mut command = bare(directory.path());
    command.args(["work", "--", "true"]);
    let found = output(command);
    assert_eq!(found.status.code(), Some(1), "{found:?}");
    assert!(String::from_utf8_lossy(&found.stderr).contains("poppo up"), "{found:?}");
    // The `poppo up` that was here is meant, however it ended.
    std::fs::create_dir(directory.path().join(".poppo")).unwrap();
    std::fs::write(directory.path().join(".poppo/url"), "unix:///nowhere/at/all.sock\n").unwrap();
    let mut command = bare(directory.path());
    command.args(["work", "--", "true"]);
    waits(&Following::of(directory.path(), "work", command));
}
