//! The command `poppo`, as a shell or a script uses it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "in a test a panic is the report"
)]
#![allow(clippy::duplicate_mod, reason = "the same tests, on a server and on a file")]

use std::io::{BufRead as _, BufReader};
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use poppo_tests::command::{Following, bare, json, output, poppo, runs, signal, words};
use poppo_tests::{Reply as _, Server, wait_until};
use rustix::process::Signal;
use serde_json::Value;

#[path = "both"]
mod server {
    use poppo_tests::Server;

    pub(crate) mod cli;
}

#[path = "both"]
mod file {
    use poppo_tests::Files as Server;

    #[allow(dead_code, reason = "some of it is for tests that only a server has")]
    #[allow(clippy::duplicate_mod, reason = "the same tests, on a file")]
    mod cli;
}

#[test]
fn without_a_server_the_message_says_where_it_looked() {
    let directory = tempfile::tempdir().unwrap();
    let closed = Server::plain().start();
    let url = closed.url();
    drop(closed);
    let mut named = bare(directory.path());
    named.args(["--url", &url, "list"]);
    let named = output(named);
    assert_eq!(named.status.code(), Some(1));
    let text = String::from_utf8_lossy(&named.stderr).into_owned();
    assert!(text.contains(url.trim_start_matches("redis://")), "{text}");

    // A Redis of the host's own may listen where it looks last; then the search ends there.
    if std::net::TcpStream::connect("127.0.0.1:6379").is_err() {
        let mut unnamed = bare(directory.path());
        unnamed.arg("list");
        let text = String::from_utf8_lossy(&output(unnamed).stderr).into_owned();
        assert!(text.contains(".poppo") && text.contains("127.0.0.1:6379"), "{text}");
    }
}

#[test]
fn a_server_without_the_module_is_recognised() {
    let server = Server::plain().start();
    let list = output(poppo(&server, &["list"]));
    assert_eq!(list.status.code(), Some(1));
    let text = String::from_utf8_lossy(&list.stderr).into_owned();
    assert!(text.contains("module"), "{text}");
}

/// Starts `poppo up` in a directory and waits until it says that it is up; it gives up by itself if it cannot be.
fn up(directory: &Path) -> Child {
    let mut child = bare(directory).arg("up").stdout(Stdio::piped()).spawn().unwrap();
    // Read without taking the pipe: it stays open for whatever comes after.
    let words = BufReader::new(child.stdout.as_mut().unwrap());
    let announced = words.lines().map_while(Result::ok).any(|line| line.contains("is up"));
    assert!(announced, "`poppo up` ended: {:?}", child.wait());
    child
}

fn output_of(command: &mut Command) -> Output {
    command.output().expect("poppo starts")
}

#[test]
fn up_stops_cleanly_when_told_to_and_started_again_has_everything() {
    let directory = tempfile::tempdir().unwrap();
    let on_p = |arguments: &[&str]| {
        let mut command = bare(directory.path());
        command.args(["--project", "p"]).args(arguments);
        command
    };
    let mut first = up(directory.path());
    let token = json(on_p(&["checkout", "1", "--process", "w1"]))["token"].clone();
    json(on_p(&["checkout", "2", "--process", "w1"]));
    json(on_p(&["checkin", "2", "--process", "w1", "--status", "completed"]));
    signal(&first, Signal::TERM);
    assert!(first.wait().unwrap().success());
    assert!(!output(on_p(&["list"])).status.success() || std::net::TcpStream::connect("127.0.0.1:6379").is_ok());

    let mut second = up(directory.path());
    let record = json(on_p(&["get", "1"]));
    assert_eq!((&record["token"], &record["status"]), (&token, &Value::from("processing")));
    assert_eq!(json(on_p(&["get", "2"]))["status"], "completed");
    // Killed, it leaves nothing that a third would stumble over.
    second.kill().unwrap();
    second.wait().unwrap();
    let mut third = up(directory.path());
    assert_eq!(json(on_p(&["get", "1"]))["token"], token);
    signal(&third, Signal::INT);
    assert!(third.wait().unwrap().success());
}

#[test]
fn only_one_up_runs_in_a_folder() {
    let directory = tempfile::tempdir().unwrap();
    let mut first = up(directory.path());
    let mut second = bare(directory.path());
    let second = output_of(second.arg("up"));
    assert_eq!(second.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&second.stderr).contains(&first.id().to_string()), "{second:?}");
    signal(&first, Signal::TERM);
    assert!(first.wait().unwrap().success());
}

#[test]
fn each_command_prints_json_when_asked_to() {
    let server = Server::start();
    let run = |arguments: &[&str]| json(poppo(&server, arguments));
    let token = run(&["checkout", "1", "--process", "w1", "--type", "fix", "--title", "one"])["token"].clone();
    assert!(token.as_u64().unwrap() > 1_000_000);
    assert_eq!(run(&["get", "1"])["title"], "one");
    assert_eq!(run(&["heartbeat", "--process", "w1"])["ttl"], 1_800_000);
    assert_eq!(run(&["list"])[0]["issue"], 1);
    assert_eq!(run(&["list", "--processes"])[0]["process"], "w1");
    assert_eq!(run(&["list", "--status", "error"]), Value::Array(Vec::new()));
    assert_eq!(run(&["orphans"]), Value::Array(Vec::new()));
    let token = token.to_string();
    let checkin = [
        "checkin",
        "1",
        "--process",
        "w1",
        "--status",
        "completed",
        "--token",
        &token,
        "--result",
        "{}",
        "--meta",
        "a=b",
    ];
    assert_eq!(run(&checkin)["status"], "completed");
    assert_eq!(run(&["get", "1"])["metadata"]["a"], "b");
    assert_eq!(run(&["forget", "1"])["forgotten"], true);
    run(&["checkout", "2", "--process", "w1"]);
    assert_eq!(run(&["evict", "2", "--reason", "r"])["status"], "error");
    assert_eq!(run(&["stats"])["evictions"], 1);
    let orphan = run(&["checkout", "3", "--process", "w3", "--host", "h", "--pid", "5"])["token"].to_string();
    assert_eq!(run(&["liveness", "w3", "dead", "--host", "h", "--pid", "6"])["orphans"], 0);
    assert_eq!(run(&["liveness", "w3", "dead", "--host", "h", "--pid", "5"])["orphans"], 1);
    assert_eq!(run(&["orphans", "--host", "h"])[0]["reason"], "dead");
    assert_eq!(run(&["repair", "3", "--token", &orphan])["status"], "error");
    let events = run(&["events"]);
    let kinds: Vec<&str> = events.as_array().unwrap().iter().map(|event| event["event"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["checkout", "checkin", "forget", "checkout", "evict", "checkout", "repair"]);
    assert_eq!(run(&["events", "--after", "3", "--count", "2"])[1]["reason"], "r");
    let labels = run(&["labels"]);
    assert_eq!((&labels[0]["issue"], &labels[0]["version"]), (&Value::from(2), &Value::from(5)));
    assert_eq!(run(&["labels", "--confirm", "2", "4"])["confirmed"], false);
    assert_eq!(run(&["labels", "--confirm", "2", "5"])["confirmed"], true);
    assert_eq!(run(&["labels", "--count", "1"])[0]["issue"], 3);
    run(&["config", "set", "heartbeat-ttl", "5000", "max-attempts", "7"]);
    assert_eq!(run(&["config", "get", "heartbeat-ttl"])["heartbeat-ttl"], 5000);
    assert_eq!(run(&["config"])["max-attempts"], 7);
}

#[test]
fn run_outlives_a_server_that_goes_and_comes_back() {
    let mut server = Server::builder().no_grace().arg("appendonly", "yes").arg("appendfsync", "always").start();
    server.connect().ok("POPPO.CONFIG p SET heartbeat-ttl 20000");
    let script = "echo $$ > pids; while [ ! -e stop ]; do sleep 0.05; done";
    let mut run = poppo(&server, &["run", "1", "--", "sh", "-c", script]).stderr(Stdio::null()).spawn().unwrap();
    let pids = words(&server.dir().join("pids"), 1);
    server.kill9();
    server.start_again();
    assert!(runs(&pids[0]), "the command was stopped though its lease holds");
    std::fs::write(server.dir().join("stop"), "").unwrap();
    assert!(run.wait().unwrap().success());
    assert_eq!(server.connect().ok("POPPO.GET p 1").field("status"), "completed");
}

fn ids(documents: &[Value]) -> Vec<u64> {
    documents.iter().map(|event| event["id"].as_u64().unwrap()).collect()
}

#[test]
fn following_goes_on_after_a_server_that_was_killed_and_misses_nothing() {
    let mut server = Server::builder().no_grace().arg("appendonly", "yes").arg("appendfsync", "always").start();
    server.connect().ok("POPPO.CHECKOUT p 1 w1");
    let following = Following::start(&server, &["events", "--follow", "--json"]);
    following.documents(1);
    server.kill9();
    wait_until("it has noticed", || following.said().contains("trying again"));
    server.start_again();
    let mut connection = server.connect();
    connection.ok("POPPO.CHECKOUT p 2 w1");
    connection.ok("POPPO.CHECKIN p 1 w1 STATUS completed");
    let events = following.documents(3);
    assert_eq!(ids(&events), [1, 2, 3]);
    assert_eq!((&events[2]["from"], &events[2]["status"]), (&Value::from("processing"), &Value::from("completed")));
    assert_eq!(following.said().matches("trying again").count(), 1, "{}", following.said());
    assert!(following.said().contains("answers again"), "{}", following.said());
}

#[test]
fn following_survives_that_its_connections_are_cut_and_its_wait_is_broken_off() {
    let server = Server::start();
    let mut connection = server.connect();
    connection.ok("POPPO.CHECKOUT p 1 w1");
    let following = Following::start(&server, &["events", "-f", "--json"]);
    following.documents(1);
    let waiting = |connection: &mut poppo_tests::Connection| {
        let mut id = None;
        wait_until("it waits", || {
            let clients = connection.text("CLIENT LIST");
            let client = clients.lines().find(|line| line.contains("cmd=POPPO.EVENTS") && line.contains("flags=b"));
            id = client.and_then(|line| line.split(' ').next()?.strip_prefix("id=").map(str::to_owned));
            id.is_some()
        });
        id.unwrap()
    };
    let id = waiting(&mut connection);
    connection.ok(&format!("CLIENT UNBLOCK {id} ERROR"));
    connection.ok("POPPO.CHECKOUT p 2 w1");
    following.documents(2);
    waiting(&mut connection);
    connection.ok("CLIENT KILL TYPE normal SKIPME yes");
    connection.ok("POPPO.CHECKOUT p 3 w1");
    assert_eq!(ids(&following.documents(3)), [1, 2, 3]);
}

#[test]
fn following_says_what_it_missed() {
    let mut server = Server::start();
    let mut connection = server.connect();
    connection.ok("POPPO.CONFIG p SET events-kept 1");
    connection.ok("POPPO.CHECKOUT p 1 w1");
    connection.ok("POPPO.CHECKOUT p 2 w1");
    let following = Following::start(&server, &["events", "-f", "--json"]);
    let events = following.documents(2);
    assert_eq!(ids(&events), [1, 2]);
    assert_eq!((&events[0]["event"], &events[1]["event"]), (&Value::from("trimmed"), &Value::from("checkout")));
    let text = String::from_utf8(output(poppo(&server, &["events"])).stdout).unwrap();
    assert!(text.starts_with("-- something was missed"), "{text}");

    // It loses everything, and gives the same numbers again.
    server.kill9();
    server.start_again();
    let events = following.documents(3);
    assert_eq!((&events[2]["id"], &events[2]["event"]), (&Value::from(0), &Value::from("trimmed")));
    assert!(following.said().contains("lost its latest writes"), "{}", following.said());
    server.connect().ok("POPPO.CHECKOUT p 3 w1");
    let events = following.documents(4);
    assert_eq!((&events[3]["id"], &events[3]["issue"]), (&Value::from(1), &Value::from(3)));
}

#[test]
fn following_from_now_on_ends_after_as_many_events_as_it_was_asked_for() {
    let server = Server::start();
    let mut connection = server.connect();
    for issue in 1..=5 {
        connection.ok(&format!("POPPO.CHECKOUT p {issue} w1"));
    }
    let mut following = Following::start(&server, &["events", "-f", "--json", "--since-now", "--count", "2"]);
    wait_until("it waits", || connection.text("CLIENT LIST").contains("flags=b"));
    for issue in 6..=8 {
        connection.ok(&format!("POPPO.CHECKOUT p {issue} w1"));
    }
    assert!(following.child.wait().unwrap().success());
    assert_eq!(ids(&following.documents(2)), [6, 7]);
}

#[test]
fn following_ends_with_its_reader_and_by_a_signal() {
    let server = Server::start();
    let mut connection = server.connect();
    connection.ok("POPPO.CHECKOUT p 1 w1");
    for command in ["events", "labels"] {
        let mut child = poppo(&server, &[command, "-f"]).stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        assert!(lines.next().unwrap().unwrap().contains("ISSUE"));
        drop(lines);
        // Nothing happens that it could write about.
        let mut status = None;
        wait_until("it has ended", || {
            status = child.try_wait().unwrap();
            status.is_some()
        });
        assert!(status.unwrap().success(), "{status:?}");
    }
    let mut following = Following::start(&server, &["events", "-f", "--json"]);
    following.documents(1);
    signal(&following.child, Signal::TERM);
    assert_eq!(following.child.wait().unwrap().signal(), Some(15));
    wait_until("the server has noticed", || !connection.text("CLIENT LIST").contains("flags=b"));
}

#[test]
fn following_the_labels_lists_each_version_once() {
    let mut server = Server::builder().no_grace().arg("appendonly", "yes").arg("appendfsync", "always").start();
    let mut connection = server.connect();
    connection.ok("POPPO.CHECKOUT p 1 w1");
    connection.ok("POPPO.CHECKOUT p 2 w1");
    connection.ok("POPPO.LABELLED p 2 2");
    let following = Following::start(&server, &["labels", "-f", "--json"]);
    assert_eq!(following.documents(1)[0], serde_json::json!({"issue": 1, "status": "processing", "version": 1}));
    connection.ok("POPPO.CHECKIN p 2 w1 STATUS completed");
    assert_eq!(following.documents(2)[1], serde_json::json!({"issue": 2, "status": "completed", "version": 3}));
    server.kill9();
    server.start_again();
    let mut connection = server.connect();
    connection.ok("POPPO.CHECKIN p 1 w1 STATUS error");
    let rows = following.documents(3);
    assert_eq!(rows[2], serde_json::json!({"issue": 1, "status": "error", "version": 4}));
    assert_eq!(rows.len(), 3, "{rows:?}");
    assert_eq!(json(poppo(&server, &["labels", "--confirm", "1", "4"]))["confirmed"], true);
}

#[test]
fn the_demo_loses_two_workers_and_does_each_issue_exactly_once() {
    let directory = tempfile::tempdir().unwrap();
    let mut command = bare(directory.path());
    command.arg("demo");
    let verdict = json(command);
    assert_eq!(verdict["heldTwice"], Value::Array(Vec::new()));
    assert_eq!(verdict["faults"], Value::Array(Vec::new()));
    // The verdict is worked out again from what it shows: each issue is completed, under tokens that rise.
    let issues = verdict["issues"].as_array().unwrap();
    assert!(issues.len() >= 8);
    let (mut repaired, mut holds) = (0, 0);
    for issue in issues {
        assert_eq!((&issue["status"], &issue["done"]), (&"completed".into(), &1.into()), "{issue}");
        let had = issue["holds"].as_array().unwrap();
        holds += had.len() as u64;
        let tokens: Vec<u64> = had.iter().map(|hold| hold["token"].as_u64().unwrap()).collect();
        assert!(!tokens.is_empty() && tokens.windows(2).all(|pair| pair[0] < pair[1]), "{issue}");
        repaired += had.iter().filter(|hold| hold["repaired"] == true).count();
    }
    assert!(repaired >= 2, "the killed and the frozen worker each lost an issue: {verdict}");
    let number = |name: &str| verdict[name].as_u64().unwrap();
    assert!(number("failed") >= 3, "one failed once, one for good: {verdict}");
    assert!(number("revived") == 1 && number("refusedAsStale") >= 1, "{verdict}");
    assert_eq!(number("claims"), holds, "{verdict}");
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0, "it left something behind");
}
