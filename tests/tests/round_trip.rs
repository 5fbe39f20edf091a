//! From PoppoBuilder's files to a project and back: nothing is lost that the files can hold.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "in a test a panic is the report"
)]

use std::collections::BTreeSet;
use std::path::Path;

use poppo_tests::command::{json, poppo};
use poppo_tests::{Random, Server, seed};
use serde_json::{Map, Value, json as document};

const FILES: [&str; 5] = [
    "issue-status.json",
    "running-tasks.json",
    "processed-issues.json",
    "processed-comments.json",
    "pending-tasks.json",
];

/// Texts that are somebody's.
const TEXTS: [&str; 6] = ["", "Crash on start", "起動すると落ちる 🐦", "\"quoted\" \\ \n\t", "0", "{not json"];

/// Texts that nobody can take for numbers. Metadata are texts here, so that a number there and its text are the same.
const NOTES: [&str; 5] = ["", "Crash on start", "起動すると落ちる 🐦", "\"quoted\" \\ \n\t", "{not json"];

/// A time, as JavaScript writes it.
fn time(random: &mut Random) -> String {
    let after = std::time::Duration::from_millis(1_750_000_000_000 + random.bits() % 1_000_000_000);
    humantime::format_rfc3339_millis(std::time::UNIX_EPOCH + after).to_string()
}

/// Some JSON.
fn value(random: &mut Random, depth: usize) -> Value {
    match random.below(if depth == 0 { 4 } else { 6 }) {
        0 => document!(random.below(1_000)),
        1 => document!(random.one_in(2)),
        2 | 3 => document!(*random.pick(&TEXTS)),
        4 => (0..random.below(3)).map(|_| value(random, depth - 1)).collect(),
        _ => object(random, depth - 1),
    }
}

fn object(random: &mut Random, depth: usize) -> Value {
    let mut fields = Map::new();
    for name in ["error", "taskType", "pr", "名前"] {
        if random.one_in(2) {
            fields.insert(name.to_owned(), value(random, depth));
        }
    }
    fields.into()
}

/// An issue that came to an end.
fn ended(random: &mut Random) -> Value {
    let (one, other) = (time(random), time(random));
    let (started, ended) = if one < other { (one, other) } else { (other, one) };
    let mut issue = document!({
        "status": random.pick(&["awaiting-response", "completed", "error"]), "lastUpdated": ended, "processId": null,
        "pid": null, "startTime": started, "lastHeartbeat": null, "taskType": "comment-response",
        "metadata": { "retryCount": random.below(3), "note": random.pick(&NOTES) }, "endTime": ended,
    });
    if !random.one_in(3) {
        issue["result"] = object(random, 2);
    }
    if random.one_in(3) {
        issue["reason"] = "completion_keyword".into();
    }
    issue
}

/// A task that waits: on an issue, or on a comment.
fn waiting(random: &mut Random, issue: usize, comment: Option<String>) -> Value {
    let kind = *random.pick(&["misc", "bug", "dogfooding"]);
    let label = format!("task:{kind}");
    let about = document!({ "number": issue, "title": random.pick(&TEXTS), "body": random.pick(&TEXTS),
        "author": { "login": "alice" }, "labels": [{ "name": label, "color": "red" }], "createdAt": time(random) });
    let mut task = document!({ "type": "issue", "issue": about, "issueNumber": issue, "labels": [label],
        "id": format!("task-{}-{:x}", random.bits() >> 20, random.bits()), "priority": random.pick(&[25, 50, 75, 100]),
        "enqueuedAt": 1_750_000_000_000_u64 + random.bits() % 1_000_000_000, "attempts": random.below(4) });
    if let Some(id) = comment {
        task["type"] = "comment".into();
        task["comment"] = document!({ "id": id, "author": { "login": "bob" }, "body": random.pick(&TEXTS) });
    }
    task
}

/// A folder as PoppoBuilder leaves it.
fn folder(random: &mut Random) -> Vec<(&'static str, Value)> {
    let (mut issues, mut comments) = (Map::new(), Map::new());
    let (mut processed, mut pending) = (BTreeSet::new(), Vec::new());
    for number in 1..=random.below(30) + 1 {
        if !random.one_in(3) {
            issues.insert(number.to_string(), ended(random));
        }
        if random.one_in(4) {
            processed.insert(number);
        } else if random.one_in(4) {
            pending.push(waiting(random, number, None));
        }
        if random.one_in(3) {
            let ids: Vec<String> = (0..=random.below(4)).map(|at| format!("IC_{number}_{at}")).collect();
            if random.one_in(2) {
                pending.push(waiting(random, number, ids.last().cloned()));
            }
            comments.insert(number.to_string(), ids.into());
        }
    }
    // As its queue gives them: the most urgent first, and then those that came first.
    pending.sort_by_key(|task| (std::cmp::Reverse(task["priority"].as_u64()), task["enqueuedAt"].as_u64()));
    vec![
        ("issue-status.json", document!({ "issues": issues, "lastSync": null })),
        ("running-tasks.json", document!({})),
        ("processed-issues.json", document!(processed)),
        ("processed-comments.json", comments.into()),
        ("pending-tasks.json", pending.into()),
    ]
}

fn read(folder: &Path) -> Vec<(&'static str, Value)> {
    let read = |name| serde_json::from_slice(&std::fs::read(folder.join(name)).unwrap()).unwrap();
    FILES.into_iter().map(|name| (name, read(name))).collect()
}

/// The lines of a project, without those that the files have no place for.
fn lines(server: &Server, project: &str) -> Vec<String> {
    let name = format!("{project}.jsonl");
    json(poppo(server, &["export", &name, "--project", project]));
    let text = std::fs::read_to_string(server.dir().join(name)).unwrap();
    let lines = text.lines().filter(|line| !line.starts_with("{\"export\"") && !line.starts_with("{\"project\""));
    lines.map(str::to_owned).collect()
}

/// The projects `p` and `q` have the same lines. In which order comments of different issues were handled, a map by issue
/// cannot say.
#[track_caller]
fn same_lines(server: &Server, which: &str) {
    let (first, second) = (lines(server, "p"), lines(server, "q"));
    let without = |one: &[String], other: &[String]| -> Vec<String> {
        one.iter().filter(|line| !other.contains(line)).cloned().collect()
    };
    assert_eq!(without(&second, &first), without(&first, &second), "{which}");
    let in_order = |lines: &[String]| -> Vec<String> {
        lines.iter().filter(|line| !line.starts_with("{\"finished\"")).cloned().collect()
    };
    assert_eq!((in_order(&second), second.len()), (in_order(&first), first.len()), "{which}");
}

#[test]
fn what_comes_from_the_files_goes_back_as_it_was_and_comes_again() {
    let server = Server::start();
    let first = seed(7_000);
    for seed in first..first + 12 {
        server.connect().ok("FLUSHALL");
        let mut random = Random::new(seed);
        let before = folder(&mut random);
        let there = server.dir().join(format!("there-{seed}"));
        std::fs::create_dir(&there).unwrap();
        for (name, document) in &before {
            std::fs::write(there.join(name), document.to_string()).unwrap();
        }
        let back = format!("back-{seed}");
        json(poppo(&server, &["import", there.to_str().unwrap()]));
        json(poppo(&server, &["export", "--format", "poppobuilder", &back]));
        let after = read(&server.dir().join(&back));
        for ((name, was), (_, is)) in before.iter().zip(&after) {
            assert_eq!(is, was, "seed {seed}: {name}");
        }
        json(poppo(&server, &["import", &back, "--project", "q"]));
        same_lines(&server, &format!("seed {seed}"));
    }
}

#[test]
fn an_issue_whose_worker_is_lost_stays_one() {
    let server = Server::start();
    let there = server.dir().join("there");
    std::fs::create_dir(&there).unwrap();
    // No process has this PID: it is above what Linux gives.
    let lost = document!({ "status": "processing", "processId": "issue-9", "pid": 2_000_000_000, "taskType": "claude-cli",
        "startTime": "2025-06-23T15:14:00.000Z", "lastUpdated": "2025-06-23T15:14:00.000Z",
        "lastHeartbeat": "2025-06-23T15:14:00.000Z", "metadata": {} });
    let running = document!({ "issue-9": { "issueNumber": 9, "title": "Nine", "pid": 2_000_000_000, "type": "misc",
        "startTime": "2025-06-23T15:14:00.000Z" } });
    std::fs::write(
        there.join("issue-status.json"),
        document!({ "issues": { "9": lost }, "lastSync": null }).to_string(),
    )
    .unwrap();
    std::fs::write(there.join("running-tasks.json"), running.to_string()).unwrap();
    json(poppo(&server, &["import", "there"]));
    json(poppo(&server, &["export", "--format", "poppobuilder", "back"]));
    let after = read(&server.dir().join("back"));
    assert_eq!(after[0].1["issues"]["9"], lost);
    assert_eq!(after[1].1, running);
    json(poppo(&server, &["import", "back", "--project", "q"]));
    same_lines(&server, "");
}
