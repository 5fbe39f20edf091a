//! The queue's commands of `poppo`, wherever the projects are.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "in a test a panic is the report"
)]

use std::io::Write as _;
use std::process::Stdio;

use poppo_tests::command::{json, output, poppo, refusal};
use serde_json::Value;

use super::Server;

pub(crate) fn text(server: &Server, arguments: &[&str]) -> String {
    let output = output(poppo(server, arguments));
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_task_is_queued_once_and_claimed_with_all_that_was_said_of_it() {
    let server = Server::start();
    let run = |arguments: &[&str]| json(poppo(&server, arguments));
    let full = [
        "enqueue",
        "7",
        "--id",
        "comment-1",
        "--type",
        "fix",
        "--priority",
        "high",
        "--title",
        "Crash",
        "--payload",
        "{\"branch\":\"main\"}",
    ];
    assert_eq!(run(&full), serde_json::json!({"issue": 7, "task": "comment-1", "queued": true}));
    assert_eq!(run(&full)["queued"], false);
    assert!(text(&server, &full).contains("not queued"));
    assert_eq!(run(&["enqueue", "8"])["task"], "8:issue");
    assert_eq!(run(&["enqueue", "9", "--priority", "low", "--delay", "1h"])["queued"], true);

    let rows = run(&["list", "--queue"]);
    assert_eq!((&rows[0]["task"], &rows[0]["payload"]["branch"]), (&"comment-1".into(), &"main".into()));
    assert_eq!(rows.as_array().unwrap().len(), 2);
    assert_eq!(run(&["list", "--delayed"])[0]["task"], "9:issue");
    let table = text(&server, &["list", "--queue"]);
    assert!(table.contains("comment-1") && table.contains("high") && table.contains("Crash"), "{table}");
    assert!(text(&server, &["list", "--delayed"]).contains("in 59m"));
    assert_eq!(run(&["get", "7"])["status"], "queued");

    let claimed = run(&["claim", "--process", "w1", "--types", "fix,docs", "--req", "r1"]);
    assert_eq!((&claimed["issue"], &claimed["type"]), (&Value::from(7), &Value::from("fix")));
    assert_eq!((&claimed["title"], &claimed["payload"]["branch"]), (&"Crash".into(), &"main".into()));
    assert_eq!(run(&["claim", "--process", "w1", "--types", "fix,docs", "--req", "r1"]), claimed);
    let again = run(&["claim", "--process", "w1"]);
    assert_eq!(again["issue"], 8, "a claim without an id of its own takes another task");
    let (exit, code, _) = refusal(&server, &["claim", "--process", "w1"]);
    assert_eq!((exit, code.as_str()), (75, "NOTHING"));

    run(&["checkin", "7", "--process", "w1", "--status", "completed"]);
    assert_eq!(run(&full)["queued"], false, "it was finished");
    let mut again = full.to_vec();
    again.push("--again");
    assert_eq!(run(&again)["queued"], true);
}

#[test]
fn a_payload_comes_from_a_file_or_from_stdin() {
    let server = Server::start();
    std::fs::write(server.dir().join("payload"), "{\"a\": 1}\n").unwrap();
    json(poppo(&server, &["enqueue", "1", "--payload-file", "payload"]));
    let mut child = poppo(&server, &["enqueue", "2", "--payload-file", "-"]).stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"[1, 2]").unwrap();
    assert!(child.wait().unwrap().success());
    let rows = json(poppo(&server, &["list", "--queue"]));
    assert_eq!((&rows[0]["payload"]["a"], &rows[1]["payload"][1]), (&Value::from(1), &Value::from(2)));
}

#[test]
fn what_cannot_be_meant_is_refused_with_one_clear_error() {
    let server = Server::start();
    for (arguments, names) in [
        (&["enqueue", "0"][..], "ISSUE"),
        (&["enqueue", "1", "--priority", "asap"], "urgent"),
        (&["enqueue", "1", "--priority", "1001"], "1000"),
        (&["enqueue", "1", "--delay", "5"], "90s"),
        (&["enqueue", "1", "--delay", "366d"], "DELAY"),
        (&["enqueue", "1", "--payload", "{"], "PAYLOAD"),
        (&["enqueue", "1", "--payload-file", "nowhere"], "nowhere"),
        (&["enqueue", "1", "--id", "two words"], "ID"),
        (&["claim", "--process", "two words"], "process"),
        (&["claim", "--process", "w", "--block", "5"], "90s"),
        (&["claim", "--process", "w", "--types", "a,,b"], "TYPES"),
        (&["checkin", "1", "--process", "w", "--status", "completed", "--retry", "5s"], "RETRY"),
        (&["drain", "maybe"], "maybe"),
        (&["revive", "two words"], "task"),
        (&["list", "--queue", "--dead"], "--dead"),
        (&["list", "--status", "bogus"], "queued"),
        (&["work", "--retry", "1s", "--", "true"], "base"),
        (&["work", "--jobs", "0", "--", "true"], "--jobs"),
        (&["work"], "CMD"),
    ] {
        let (exit, _, message) = refusal(&server, arguments);
        assert_eq!(exit, 2, "{arguments:?}: {message}");
        assert!(message.contains(names) && message.lines().count() == 1, "{arguments:?}: {message}");
    }
    // Nothing of all that changed anything.
    assert_eq!(refusal(&server, &["stats"]).1, "UNKNOWN");
}

#[test]
fn a_failed_task_waits_again_or_dies_and_is_revived() {
    let server = Server::start();
    let run = |arguments: &[&str]| json(poppo(&server, arguments));
    run(&["config", "set", "max-attempts", "2"]);
    run(&["enqueue", "7", "--type", "fix"]);
    for attempts in 0..2 {
        assert_eq!(run(&["claim", "--process", "w"])["attempts"], attempts);
        run(&["checkin", "7", "--process", "w", "--status", "error", "--reason", "no network", "--retry", "0s"]);
    }
    assert_eq!(run(&["list", "--queue"]), Value::Array(Vec::new()));
    let dead = run(&["list", "--dead"]);
    assert_eq!((&dead[0]["task"], &dead[0]["attempts"]), (&Value::from("7:fix"), &Value::from(2)));
    assert!(text(&server, &["list", "--dead"]).contains("no network"));
    assert_eq!(run(&["get", "7"])["deadTasks"], 1);
    assert_eq!(run(&["revive", "7:fix"])["revived"], true);
    let (exit, code, message) = refusal(&server, &["revive", "7:fix"]);
    assert_eq!((exit, code.as_str()), (1, "UNKNOWN"));
    assert!(message.contains("7:fix"));
    assert_eq!(run(&["claim", "--process", "w"])["attempts"], 0);
}

#[test]
fn a_check_in_can_claim_the_next_task() {
    let server = Server::start();
    let run = |arguments: &[&str]| json(poppo(&server, arguments));
    run(&["enqueue", "1"]);
    run(&["enqueue", "2"]);
    run(&["claim", "--process", "w"]);
    let checkin = ["checkin", "1", "--process", "w", "--status", "completed", "--next"];
    assert_eq!(run(&checkin)["issue"], 2);
    let last = ["checkin", "2", "--process", "w", "--status", "completed", "--next"];
    assert_eq!(refusal(&server, &last).0, 75);
    assert_eq!(run(&["get", "2"])["status"], "completed");
    assert_eq!(run(&["stats"])["tasks"]["finished"], 2);
}

#[test]
fn tasks_are_cancelled_where_they_wait_and_where_they_run() {
    let server = Server::start();
    let run = |arguments: &[&str]| json(poppo(&server, arguments));
    run(&["enqueue", "1"]);
    assert_eq!(run(&["cancel", "1"])["cancelled"], "removed");
    assert_eq!(run(&["cancel", "1"])["cancelled"], "none");
    run(&["enqueue", "2"]);
    run(&["claim", "--process", "w"]);
    assert_eq!(run(&["cancel", "2", "--reason", "wrong branch"])["cancelled"], "asked");
    assert_eq!(run(&["heartbeat", "--process", "w"])["cancel"], serde_json::json!([2]));
    assert!(text(&server, &["heartbeat", "--process", "w"]).contains("asked to stop: 2"));
    assert_eq!(run(&["get", "2"])["cancelReason"], "wrong branch");
    assert!(text(&server, &["get", "2"]).contains("wrong branch"));
}

#[test]
fn a_drained_project_gives_nothing_out() {
    let server = Server::start();
    let run = |arguments: &[&str]| json(poppo(&server, arguments));
    run(&["enqueue", "1"]);
    run(&["checkout", "2", "--process", "w"]);
    assert_eq!(run(&["drain", "on"])["drain"], true);
    assert_eq!(refusal(&server, &["claim", "--process", "w"]).0, 75);
    assert_eq!(run(&["heartbeat", "--process", "w"])["drain"], 1);
    assert_eq!(run(&["stats"])["queue"]["drain"], 1);
    assert!(text(&server, &["stats"]).contains("drained"));
    assert_eq!(run(&["drain", "off"])["drain"], false);
    assert_eq!(run(&["claim", "--process", "w"])["issue"], 1);
}

#[test]
fn the_task_of_a_lost_worker_is_queued_again() {
    let server = Server::start();
    let run = |arguments: &[&str]| json(poppo(&server, arguments));
    run(&["enqueue", "1", "--type", "fix"]);
    run(&["claim", "--process", "w"]);
    assert_eq!(run(&["evict", "1", "--requeue"])["status"], "queued");
    run(&["claim", "--process", "w", "--host", "h", "--pid", "5"]);
    run(&["liveness", "w", "dead", "--host", "h", "--pid", "5"]);
    assert_eq!(run(&["repair", "--all", "--requeue"])[0]["status"], "queued");
    let rows = run(&["list", "--queue"]);
    assert_eq!(rows[0]["orphanCount"], 2);
    assert_eq!(run(&["list", "--status", "queued"])[0]["issue"], 1);
    let stats = run(&["stats"]);
    assert_eq!((&stats["issues"]["queued"], &stats["tasks"]["requeued"]), (&Value::from(1), &Value::from(2)));
    assert_eq!(stats["queue"]["depth"]["50"], 1);
}

#[test]
fn events_tell_of_tasks() {
    let server = Server::start();
    let run = |arguments: &[&str]| json(poppo(&server, arguments));
    run(&["enqueue", "1", "--type", "fix"]);
    run(&["claim", "--process", "w"]);
    run(&["checkin", "1", "--process", "w", "--status", "error"]);
    run(&["revive", "1:fix"]);
    run(&["cancel", "1"]);
    let events = run(&["events"]);
    let kinds: Vec<&str> = events.as_array().unwrap().iter().map(|event| event["event"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["enqueue", "claim", "checkin", "dead", "revive", "cancel"]);
    assert!(events.as_array().unwrap().iter().all(|event| event["task"] == "1:fix"), "{events}");
    assert_eq!(events[0]["process"], Value::Null);
    assert!(text(&server, &["events"]).contains("1:fix"));
}
