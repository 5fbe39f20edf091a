//! `poppo list | head -1`, Ctrl-C, a full disk: what becomes of a command whose output nobody takes.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "in a test a panic is the report"
)]

use std::fs::File;
use std::io::pipe;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Command, Stdio};

use poppo_tests::command::{Following, poppo, signal};
use poppo_tests::{Server, artifacts, wait_until};
use rustix::process::Signal;

/// A server with more in it than a pipe holds.
fn full() -> Server {
    let server = Server::start();
    let mut connection = server.connect();
    for issue in 1..=1500 {
        connection.ok(&format!("POPPO.ENQUEUE p {issue} TITLE \"A title that takes some room in the list of them\""));
    }
    connection.ok("POPPO.CLAIM p w");
    connection.ok("POPPO.CHECKOUT p 2 other HOST h PID 7");
    connection.ok("POPPO.LIVENESS p other DEAD HOST h PID 7");
    server
}

/// Every command that prints an answer.
const PRINTING: [&[&str]; 27] = [
    &["list"],
    &["list", "--queue"],
    &["list", "--processes"],
    &["get", "1"],
    &["stats"],
    &["orphans"],
    &["events"],
    &["labels"],
    &["config"],
    &["config", "set", "max-attempts", "5"],
    &["heartbeat", "--process", "w"],
    &["enqueue", "9001"],
    &["claim", "--process", "x"],
    &["checkout", "9002", "--process", "x"],
    &["checkin", "9002", "--process", "x", "--status", "completed"],
    &["liveness", "x", "alive", "--host", "h", "--pid", "1"],
    &["cancel", "9001"],
    &["drain", "off"],
    &["repair", "--all"],
    &["checkout", "9003", "--process", "x"],
    &["evict", "9003"],
    &["forget", "9001"],
    &["labels", "--confirm", "1", "1"],
    &["completions", "bash"],
    &["man"],
    &["help"],
    &["--version"],
];

#[test]
fn a_reader_that_is_gone_is_no_failure_of_any_command() {
    let server = full();
    for form in [&["--json"][..], &[]] {
        for arguments in PRINTING {
            let (reader, writer) = pipe().unwrap();
            drop(reader);
            let arguments = [form, arguments].concat();
            let mut command = poppo(&server, &arguments);
            let child = command.stdout(writer).stderr(Stdio::piped()).spawn().unwrap();
            // With it goes our copy of the pipe.
            drop(command);
            let output = child.wait_with_output().unwrap();
            assert!(output.status.success() && output.stderr.is_empty(), "{arguments:?}: {output:?}");
        }
    }
}

#[test]
fn head_takes_one_line_and_the_rest_is_silence() {
    let server = full();
    for line in [
        "list --queue",
        "list --queue --json",
        "events",
        "events --json",
        "events --follow",
        "events --follow --json",
        "labels --follow",
    ] {
        let script = format!("\"$POPPO\" --url {} --project p {line} | head -1; echo ${{PIPESTATUS[0]}}", server.url());
        let output = Command::new("bash").args(["-c", &script]).env("POPPO", artifacts::poppo()).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.stderr.is_empty(), "{line}: {output:?}");
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!((lines.len(), lines.last()), (2, Some(&"0")), "{line}: {text}");
    }
}

#[test]
fn a_disk_that_is_full_is_said() {
    if !std::path::Path::new("/dev/full").exists() {
        eprintln!("skipped: this system has no /dev/full");
        return;
    }
    let server = full();
    for arguments in [&["list", "--queue"][..], &["events", "-f"], &["completions", "zsh"], &["man", "work"]] {
        let mut command = poppo(&server, arguments);
        let output = command.stdout(File::options().write(true).open("/dev/full").unwrap()).output();
        let output = output.unwrap();
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {output:?}");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains("No space left") && said.lines().count() == 1, "{arguments:?}: {said}");
    }
}

#[test]
fn ctrl_c_ends_what_waits_without_a_word() {
    let server = Server::start();
    let mut connection = server.connect();
    let words = [&["events", "-f"][..], &["labels", "-f"], &["claim", "--process", "w", "--block"]];
    for (index, arguments) in words.into_iter().enumerate() {
        let mut waiting = Following::named(&server, &format!("waiting-{index}"), arguments);
        wait_until("it waits", || connection.text("CLIENT LIST").contains("flags=b"));
        signal(&waiting.child, Signal::INT);
        let status = waiting.child.wait().unwrap();
        assert_eq!(status.signal(), Some(2), "as `tail -f`, so that a shell's loop ends, too: {arguments:?}");
        assert_eq!(waiting.said(), "", "{arguments:?}");
        wait_until("the server has noticed", || !connection.text("CLIENT LIST").contains("flags=b"));
    }
}
