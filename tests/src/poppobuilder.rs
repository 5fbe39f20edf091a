//! A folder of state as PoppoBuilder leaves it: made up, in the shape and with the counts of real ones.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Value, json};

/// The issues of which it knows how they ended: 18, each after a comment that could not be handled.
pub const ISSUES: [u64; 18] = [34, 37, 39, 54, 68, 75, 76, 78, 81, 82, 83, 84, 89, 90, 91, 92, 94, 96];
/// The issues that were begun once.
pub const PROCESSED: [u64; 4] = [98, 267, 269, 1];
/// How many comments there are on each issue that has some: 47 on 20 issues.
const COMMENTS: [(u64, usize); 20] = [
    (1, 1),
    (34, 1),
    (37, 2),
    (39, 1),
    (54, 1),
    (68, 2),
    (75, 3),
    (76, 2),
    (78, 2),
    (81, 2),
    (82, 2),
    (83, 3),
    (84, 2),
    (89, 2),
    (90, 3),
    (91, 3),
    (92, 3),
    (94, 1),
    (96, 4),
    (98, 7),
];

/// The node id of a comment: the first one on an issue is 0.
pub fn comment(issue: u64, place: usize) -> String {
    format!("IC_kwDO{issue:04}x_{place}-c")
}

/// Writes the files.
pub fn fill(folder: &Path) {
    write(folder, "issue-status.json", &json!({ "issues": issues(), "lastSync": null }));
    write(folder, "running-tasks.json", &json!({}));
    write(folder, "processed-issues.json", &json!(PROCESSED));
    write(folder, "processed-comments.json", &json!(comments()));
    write(folder, "pending-tasks.json", &json!([waiting_comment(), waiting_issue()]));
}

/// Writes one file as PoppoBuilder does.
pub fn write(folder: &Path, name: &str, content: &Value) {
    let path = folder.join(name);
    std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
    std::fs::write(path, serde_json::to_string_pretty(content).expect("JSON")).expect("a file");
}

fn issues() -> BTreeMap<String, Value> {
    let issues = ISSUES.iter().enumerate().map(|(at, issue)| {
        let (start, end) = (format!("2025-06-23T15:{at:02}:57.914Z"), format!("2025-06-23T15:{at:02}:59.243Z"));
        let mut record = json!({
            "status": "awaiting-response", "lastUpdated": end, "processId": null, "pid": null, "startTime": start,
            "lastHeartbeat": null, "taskType": "comment-response",
            "metadata": { "retryCount": 0, "errorCount": 0 }, "endTime": end,
            "result": { "error": "errors.process.cannotExecute", "taskType": "comment-response" },
        });
        if *issue == 96 {
            record["reason"] = "completion_keyword".into();
            record["taskId"] = format!("issue-96-comment-{}", comment(96, 0)).into();
        }
        (issue.to_string(), record)
    });
    issues.collect()
}

fn comments() -> BTreeMap<String, Vec<String>> {
    let comments = COMMENTS.iter();
    comments.map(|(issue, count)| (issue.to_string(), (0..*count).map(|at| comment(*issue, at)).collect())).collect()
}

/// A comment that waits, and is among the processed ones since it was queued.
fn waiting_comment() -> Value {
    json!({
        "type": "comment", "issueNumber": 98, "labels": ["completed", "task:dogfooding", "task:bug"],
        "issue": {
            "number": 98, "title": "重複を防ぐ", "body": "## 概要\n二重起動", "author": { "login": "alice" },
            "labels": [{ "id": "LA_1", "name": "task:dogfooding" }], "createdAt": "2025-06-18T15:09:42Z",
        },
        "comment": { "id": comment(98, 0), "author": { "login": "alice" }, "body": "please" },
        "id": "task-1750622592987-yqr8pmgy4", "priority": 100, "enqueuedAt": 1_750_622_592_987_u64, "attempts": 0,
    })
}

fn waiting_issue() -> Value {
    json!({
        "type": "issue", "issueNumber": 193, "labels": ["task:misc"],
        "issue": { "number": 193, "title": "Try it", "body": "Does it work?", "labels": [{ "name": "task:misc" }] },
        "id": "task-1750622591250-h28n7sijx", "priority": 50, "enqueuedAt": 1_750_622_591_250_u64, "attempts": 0,
    })
}
