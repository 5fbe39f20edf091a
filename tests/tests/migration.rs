//! `docs/migration.md` is true: its commands are run, in its order, on a folder of an older program and a real server.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "in a test a panic is the report"
)]

use std::path::Path;
use std::process::Command;

use poppo_tests::command::bare;
use poppo_tests::{Server, artifacts};
use serde_json::{Value, json};

const PAGE: &str = "docs/migration.md";
/// What the page says for the server's URL.
const SERVER: &str = "redis://127.0.0.1:6379";

/// The blocks of a page in this language, each with the number of its first line.
fn blocks<'p>(page: &'p str, language: &str) -> Vec<(usize, &'p str)> {
    let fence = format!("```{language}\n");
    let starts = page.match_indices(&fence).map(|(at, _)| at + fence.len());
    let block = |start: usize| page[start..].split("```").next().unwrap();
    starts.map(|start| (page[..start].lines().count() + 1, block(start))).collect()
}

/// The folder as PoppoBuilder left it: with an issue whose worker is gone, and with some work that waits.
fn folder(path: &Path) {
    std::fs::create_dir(path).unwrap();
    let write = |name: &str, document: Value| {
        std::fs::write(path.join(name), serde_json::to_string_pretty(&document).unwrap()).unwrap();
    };
    let ended = json!({ "status": "awaiting-response", "lastUpdated": "2025-06-23T15:13:59.243Z", "processId": null, "pid": null,
        "startTime": "2025-06-23T15:13:57.914Z", "lastHeartbeat": null, "taskType": "comment-response",
        "metadata": { "retryCount": 0, "errorCount": 0 }, "endTime": "2025-06-23T15:13:59.243Z", "result": { "taskType": "x" } });
    let mut completed = ended.clone();
    completed["status"] = "completed".into();
    // No process has this PID: it is above what Linux gives.
    let lost = json!({ "status": "processing", "lastUpdated": "2025-06-23T15:14:00.000Z", "processId": "issue-9", "pid": 2_000_000_000,
        "startTime": "2025-06-23T15:14:00.000Z", "lastHeartbeat": "2025-06-23T15:14:00.000Z", "taskType": "claude-cli",
        "metadata": { "retryCount": 0, "errorCount": 0 } });
    write("issue-status.json", json!({ "issues": { "7": ended, "8": completed, "9": lost }, "lastSync": null }));
    write("running-tasks.json", json!({}));
    write("processed-issues.json", json!([8]));
    write("processed-comments.json", json!({ "7": ["IC_7", "IC_7b"] }));
    let issue = json!({ "number": 10, "title": "Crash on start", "body": "It crashes.", "author": { "login": "alice" },
        "labels": [{ "name": "task:misc" }], "createdAt": "2025-06-22T12:17:19Z", "updatedAt": "2025-06-22T12:17:19Z" });
    write(
        "pending-tasks.json",
        json!([{ "type": "issue", "issue": issue, "issueNumber": 10, "labels": ["task:misc"],
        "id": "task-1750622591250-h28n7sijx", "priority": 50, "enqueuedAt": 1_750_622_591_250_u64, "attempts": 0 }]),
    );
    write("last-run.json", json!({ "timestamp": "2025-06-23T15:14:00.000Z" }));
}

/// Runs all of the page in one shell, which ends at the first command that fails, and with all that it began.
fn run(page: &str, directory: &Path, server: &Server) -> String {
    for (_, block) in blocks(page, "toml") {
        std::fs::write(directory.join("poppo.toml"), block).unwrap();
    }
    let mut script = "set -euo pipefail\ntrap 'kill $(jobs -p) 2>/dev/null || true' EXIT\n".to_owned();
    let sh = blocks(page, "sh");
    assert!(sh.len() > 8 && page.contains(SERVER), "the blocks were not found");
    for (line, block) in sh {
        script.push_str(&format!("echo '== line {line}'\n{}", block.replace(SERVER, &server.url())));
    }
    let mut shell = Command::new("bash");
    // The surroundings of a command under test, with the command itself among them.
    let like = bare(directory);
    for (name, value) in like.get_envs() {
        match value {
            Some(value) => drop(shell.env(name, value)),
            None => drop(shell.env_remove(name)),
        }
    }
    let bin = artifacts::poppo().parent().unwrap().display().to_string();
    shell.env("PATH", format!("{bin}:{}", std::env::var("PATH").unwrap()));
    let output = shell.args(["-c", &script]).current_dir(directory).output().expect("bash starts");
    let told = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{}\n{told}", output.status);
    told
}

#[test]
fn the_way_there_and_back_is_as_it_is_written() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::builder().durable().start();
    folder(&directory.path().join("state"));
    let page = std::fs::read_to_string(artifacts::workspace().join(PAGE)).unwrap();
    let told = run(&page, directory.path(), &server);
    // The worker did one of the two tasks.
    assert!(told.contains("issue 10: Crash on start") || told.contains("issue 9: "), "{told}");
    let read = |name: &str| -> Value {
        let text = std::fs::read_to_string(directory.path().join("state").join(name)).unwrap();
        serde_json::from_str(&text).unwrap()
    };
    let issues = &read("issue-status.json")["issues"];
    assert_eq!([&issues["7"]["status"], &issues["8"]["status"]], ["awaiting-response", "completed"]);
    assert_eq!(read("processed-comments.json")["7"], json!(["IC_7", "IC_7b"]));
    let processed = read("processed-issues.json");
    assert!(processed.as_array().unwrap().len() == 2 && processed[0] == 8, "{processed}");
    assert_eq!(read("pending-tasks.json").as_array().unwrap().len(), 1);
    assert!(directory.path().join("state/last-run.json").exists() && directory.path().join("state.before").exists());
}
