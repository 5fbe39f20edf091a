use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;

use poppo_tests::command::{json, output, poppo, refusal};
use poppo_tests::poppobuilder::{ISSUES, PROCESSED, comment, fill, write};
use serde_json::{Value as Json, json as document};

use super::Server;

/// PoppoBuilder's folder in that of a server.
pub(crate) fn state(server: &Server) -> PathBuf {
    let folder = server.dir().join("state");
    fs::create_dir(&folder).unwrap();
    fill(&folder);
    folder
}

/// An empty one.
fn blank(server: &Server) -> PathBuf {
    let folder = server.dir().join("state");
    fs::create_dir(&folder).unwrap();
    folder
}

/// All files of a folder: what is in them, and when they were written.
fn photograph(folder: &Path) -> BTreeMap<PathBuf, (Vec<u8>, SystemTime)> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        let modified = fs::symlink_metadata(&entry).unwrap().modified().unwrap();
        if entry.is_dir() {
            files.extend(photograph(&entry));
        }
        files.insert(entry.clone(), (fs::read(&entry).unwrap_or_default(), modified));
    }
    files
}

/// The project's lines.
fn lines(server: &Server) -> Vec<Json> {
    let text = String::from_utf8(output(poppo(server, &["export"])).stdout).unwrap();
    let lines = text.lines().map(|line| serde_json::from_str(line).unwrap());
    lines.filter(|line: &Json| line.get("export").is_none()).collect()
}

/// The outcome of an entry, what it became and why.
fn fate(printed: &Json, file: &str, entry: &str) -> (String, String, String) {
    let entries = printed["entries"].as_array().unwrap();
    let mut found = entries.iter().filter(|row| row["file"] == file && row["entry"].as_str().unwrap_or("") == entry);
    let row = found.next().unwrap_or_else(|| panic!("{file} has no {entry}: {printed:#}"));
    let word = |name: &str| row[name].as_str().unwrap_or_default().to_owned();
    (word("outcome"), word("becomes"), word("reason"))
}

/// The outcomes of several entries.
fn outcomes(printed: &Json, file: &str) -> Vec<String> {
    let rows = printed["entries"].as_array().unwrap().iter().filter(|row| row["file"] == file);
    rows.map(|row| format!("{} {}", row["entry"].as_str().unwrap_or("-"), row["outcome"].as_str().unwrap())).collect()
}

fn enqueued(server: &Server, issue: u64, more: &[&str]) -> bool {
    let issue = issue.to_string();
    json(poppo(server, &[&["enqueue", &issue], more].concat()))["queued"] == true
}

fn now() -> String {
    humantime::format_rfc3339_millis(SystemTime::now()).to_string()
}

/// A PID that nobody has any more.
fn dead_pid() -> u32 {
    let mut child = Command::new("true").spawn().unwrap();
    child.wait().unwrap();
    child.id()
}

#[test]
fn a_folder_as_real_ones_are_is_taken_whole_and_twice_is_the_same_as_once() {
    let server = Server::builder().no_grace().durable().start();
    let folder = state(&server);
    let before = photograph(&folder);
    let printed = json(poppo(&server, &["import", "state"]));
    let plan = document!({
        "issues": 18, "held": 0, "orphans": 0, "processedIssues": 4, "tasks": 2, "comments": 47, "commentedIssues": 20,
        "failedComments": 18, "freeState": 0,
    });
    assert_eq!(printed["plan"], plan);
    let expected = document!({
        "issues": 18, "orphans": 0, "tasks": 2, "dead": 0, "finished": 47 + 4 * 6, "settings": 0, "unchanged": 0, "kept": 0,
    });
    assert_eq!(printed["imported"], expected);
    assert!(printed["entries"].as_array().unwrap().iter().all(|entry| entry["outcome"] == "used"), "{printed:#}");
    assert_eq!(json(poppo(&server, &["list"])).as_array().unwrap().len(), 18);
    let issue = json(poppo(&server, &["get", "34"]));
    assert_eq!(
        (&issue["status"], &issue["endTime"]),
        (&"awaiting-response".into(), &"2025-06-23T15:00:59.243Z".into())
    );
    assert_eq!(issue["result"]["error"], "errors.process.cannotExecute");

    // Again, nothing changes, and what was merged is what an export gives.
    let once = lines(&server);
    let again = json(poppo(&server, &["import", "state"]));
    assert_eq!((&again["imported"]["unchanged"], &again["imported"]["kept"]), (&(18 + 2 + 71).into(), &0.into()));
    assert_eq!(lines(&server), once);
    assert!(photograph(&folder) == before, "the folder was changed");

    // What was handled is not offered again, what waited waits.
    assert!(ISSUES.iter().all(|issue| !enqueued(&server, *issue, &["--id", &comment(*issue, 0)])));
    assert!(PROCESSED.iter().all(|issue| !enqueued(&server, *issue, &["--type", "misc"])));
    let queue = json(poppo(&server, &["list", "--queue"]));
    let waits: Vec<&Json> = queue.as_array().unwrap().iter().map(|task| &task["task"]).collect();
    assert_eq!(waits, [&Json::from(comment(98, 0)), &"193:misc".into()]);
    assert_eq!(queue[0]["payload"]["comment"]["body"], "please");

    let doctor = output(poppo(&server, &["doctor", "--json"]));
    assert_eq!(doctor.status.code(), Some(0), "{doctor:?}");
}

#[test]
fn what_waited_is_not_done_twice() {
    let server = Server::start();
    state(&server);
    json(poppo(&server, &["import", "state"]));
    for _ in 0..2 {
        let claimed = json(poppo(&server, &["claim", "--process", "w"]));
        let issue = claimed["issue"].to_string();
        json(poppo(&server, &["checkin", &issue, "--process", "w", "--status", "completed"]));
    }
    let again = json(poppo(&server, &["import", "state"]));
    assert_eq!((&again["imported"]["tasks"], &again["imported"]["kept"]), (&0.into(), &2.into()), "{again}");
    assert_eq!(json(poppo(&server, &["list", "--queue"])), document!([]));
}

#[test]
fn a_rehearsal_shows_the_plan_and_writes_nothing() {
    let server = Server::start();
    state(&server);
    let printed = json(poppo(&server, &["import", "state", "--dry-run"]));
    assert_eq!((&printed["dryRun"], &printed["plan"]["comments"]), (&true.into(), &47.into()));
    assert!(printed.get("imported").is_none());
    let shown = output(poppo(&server, &["import", "state", "--dry-run"]));
    let text = String::from_utf8(shown.stdout).unwrap();
    for expected in
        ["FILE", "issue 34: awaiting-response", "193:misc waits", "nothing was written; there are 18 issues"]
    {
        assert!(text.contains(expected), "{text}");
    }
    assert!(!text.contains('\x1b'));
    assert_eq!(json(poppo(&server, &["list"])), document!([]));
    let (exit, code, _) = refusal(&server, &["export", "backup.jsonl"]);
    assert_eq!((exit, code.as_str()), (1, "UNKNOWN"), "there is no project");
}

#[test]
fn comments_whose_handling_failed_are_offered_again_on_demand_and_once() {
    let server = Server::start();
    state(&server);
    json(poppo(&server, &["import", "state"]));
    let printed = json(poppo(&server, &["import", "state", "--retry-failed"]));
    assert_eq!((&printed["plan"]["failedComments"], &printed["imported"]["tasks"]), (&18.into(), &18.into()));
    let (_, becomes, _) = fate(&printed, "processed-comments.json", &format!("96/{}", comment(96, 3)));
    assert!(becomes.contains("is offered again"), "{becomes}");
    let again = json(poppo(&server, &["import", "state", "--retry-failed"]));
    assert_eq!(again["imported"]["tasks"], 0, "{again}");
    // One that was worked on since is not offered any more.
    let claimed = json(poppo(&server, &["claim", "--process", "w", "--types", "comment-response"]));
    assert_eq!(claimed["task"], comment(98, 0));
    let claimed = json(poppo(&server, &["claim", "--process", "w", "--types", "comment-response"]));
    let issue = claimed["issue"].to_string();
    json(poppo(&server, &["checkin", &issue, "--process", "w", "--status", "completed"]));
    let again = json(poppo(&server, &["import", "state", "--retry-failed"]));
    assert_eq!(again["imported"]["tasks"], 0, "{again}");
}

#[test]
fn whoever_lives_keeps_his_issue_and_whoever_does_not_is_an_orphan() {
    let server = Server::builder().no_grace().start();
    let folder = blank(&server);
    let mut sleeper = Command::new("sleep").arg("1000").spawn().unwrap();
    let (alive, dead, at) = (sleeper.id(), dead_pid(), now());
    let record = |process: &str, pid: u32, at: &str| {
        document!({ "status": "processing", "processId": process, "pid": pid, "startTime": at, "lastUpdated": at,
            "lastHeartbeat": at, "taskType": "claude-cli", "metadata": { "retryCount": 0 } })
    };
    // Of issue 4 the program that began it is gone, and the one that it started lives; the PID of 5 is another one's now.
    let issues = document!({ "issues": {
        "1": record("issue-1", alive, &at),
        "2": record(&format!("comment-2-{}", comment(2, 0)), dead, &at),
        "3": record("issue-3", 0, &at),
        "4": record("issue-4", dead, &at),
        "5": record("issue-5", alive, "2020-01-01T00:00:00.000Z"),
    } });
    write(&folder, "issue-status.json", &issues);
    let run = |issue: u64, pid: u32| document!({ "issueNumber": issue, "title": "T", "pid": pid, "type": "dogfooding", "startTime": at });
    write(&folder, "running-tasks.json", &document!({ "issue-4": run(4, alive), "issue-6": run(6, dead) }));
    write(&folder, "processed-comments.json", &document!({ "2": [comment(2, 0)] }));
    write(
        &folder,
        "poppo-node.lock",
        &document!({ "pid": alive, "startTime": at, "hostname": rustix::system::uname().nodename().to_string_lossy() }),
    );
    fs::write(folder.join("issue-status.json.lock"), dead.to_string()).unwrap();

    let printed = json(poppo(&server, &["import", "state"]));
    assert_eq!((&printed["plan"]["held"], &printed["plan"]["orphans"]), (&2.into(), &4.into()), "{printed:#}");
    assert!(printed["warnings"][0].as_str().unwrap().contains("PoppoBuilder runs still, as PID"), "{printed:#}");
    assert!(fate(&printed, "issue-status.json.lock", "").2.contains("does not live any more"));
    let held = json(poppo(&server, &["get", "1"]));
    assert_eq!(
        (&held["status"], &held["process"], &held["pid"]),
        (&"processing".into(), &"issue-1".into(), &alive.into())
    );
    assert!(held.get("orphan").is_none_or(Json::is_null), "{held}");
    let token = &held["token"];
    json(poppo(&server, &["import", "state"]));
    assert_eq!(&json(poppo(&server, &["get", "1"]))["token"], token);
    let orphans = json(poppo(&server, &["orphans"]));
    let mut lost: Vec<u64> =
        orphans.as_array().unwrap().iter().map(|orphan| orphan["issue"].as_u64().unwrap()).collect();
    lost.sort_unstable();
    assert_eq!(lost, [2, 3, 5, 6]);
    json(poppo(&server, &["repair", "--all", "--requeue"]));
    let queue = json(poppo(&server, &["list", "--queue"]));
    let mut waits: Vec<&str> = queue.as_array().unwrap().iter().map(|task| task["task"].as_str().unwrap()).collect();
    waits.sort_unstable();
    assert_eq!(waits, ["3:issue", "5:issue", "6:dogfooding", &comment(2, 0)]);
    sleeper.kill().unwrap();
    sleeper.wait().unwrap();
}

#[test]
fn crooked_files_give_what_they_can_and_say_of_the_rest_why_not() {
    let server = Server::start();
    let folder = blank(&server);
    let file = |name: &str, text: &str| fs::write(folder.join(name), text).unwrap();
    // An older flat format, with a byte-order mark, numbers as texts, and an end that is missing.
    file(
        "issue-status.json",
        "\u{feff}{\"7\": {\"status\": \"done\", \"lastUpdated\": \"1750691639243\", \"pid\": -5, \"taskType\": null},
          \"8\": \"error\", \"stray\", \"9\": {\"status\": \"teleported\"}, \"10\": null, \"x\": {\"status\": \"error\"},
          \"11\": {\"status\": \"completed\", \"result\": 1e999}, \"7\": {\"status\": \"error\", \"lastUpdated\": \"2020-01-01T00:00:00Z\"},
          \"12\": {\"status\": \"comp",
    );
    file("processed-issues.json", "{\"20\": true, \"21\": false, \"twenty\": true}");
    file(
        "processed-comments.json",
        "[[\"30\", [\"IC_1\", \"IC_1\", 77, null, \"no id\"]], {\"issueNumber\": \"31\", \"commentId\": \"IC_2\"}, \"IC_3\"]",
    );
    file(
        "pending-tasks.json",
        "{\"a\": {\"type\": \"issue\", \"issueNumber\": \"40\", \"priority\": \"99999999999\", \"enqueuedAt\": null}, \"b\": 7, \"c\": {\"type\": \"comment\", \"issueNumber\": 41}}",
    );
    file("running-tasks.json", "");
    file("unified-config.json", "{\"theme\": {\"dark\": true}}");
    file("last-run.json", "{}");
    fs::create_dir(folder.join("requests")).unwrap();
    file("requests/label-update-1.json", "{\"requestId\": \"r1\", \"issueNumber\": 7}");
    file("requests/label-update-2.json", "{\"requestId\": \"r2\", \"issueNumber\": 999}");
    fs::write(folder.join("requests/label-update-3.json"), b"\xff\xfe{").unwrap();

    let before = photograph(&folder);
    let printed = json(poppo(&server, &["import", "state"]));
    assert!(photograph(&folder) == before, "the folder was changed");
    assert_eq!(
        outcomes(&printed, "issue-status.json"),
        [
            "7 changed",
            "8 changed",
            "#2 unused",
            "9 unused",
            "10 unused",
            "x unused",
            "11 unused",
            "7 unused",
            "12 unused",
            "#9 unused"
        ],
    );
    for (entry, why) in [("8", "only a status"), ("9", "\"teleported\" is unknown"), ("12", "the file ends within it")]
    {
        assert!(fate(&printed, "issue-status.json", entry).2.contains(why), "{printed:#}");
    }
    assert_eq!(outcomes(&printed, "processed-issues.json"), ["20 changed", "21 unused", "twenty unused"]);
    assert_eq!(
        outcomes(&printed, "processed-comments.json"),
        ["30/IC_1 used", "30/IC_1 unused", "30/77 changed", "30/3 unused", "30/no id unused", "1 changed", "2 unused"],
    );
    assert_eq!(outcomes(&printed, "pending-tasks.json"), ["a changed", "b unused", "c unused"]);
    assert_eq!(outcomes(&printed, "running-tasks.json"), ["- unused"]);
    assert_eq!(outcomes(&printed, "last-run.json"), ["- unused"]);
    assert_eq!(outcomes(&printed, "unified-config.json").len(), 1);
    assert_eq!(fate(&printed, "requests/label-update-1.json", "r1").1, "issue 7's labels are to be confirmed");
    assert_eq!(fate(&printed, "requests/label-update-2.json", "r2").0, "unused");
    assert_eq!(fate(&printed, "requests/label-update-3.json", "").0, "unused");

    assert_eq!(json(poppo(&server, &["get", "7"]))["status"], "completed");
    assert_eq!(json(poppo(&server, &["get", "8"]))["status"], "error");
    assert!(!enqueued(&server, 30, &["--id", "comment-77"]));
    assert!(!enqueued(&server, 31, &["--id", "IC_2"]));
    assert_eq!(json(poppo(&server, &["list", "--queue"]))[0]["priority"], 1000);
    let behind: Vec<Json> = lines(&server).into_iter().filter(|line| line["issue"]["behind"] == true).collect();
    assert_eq!(behind.len(), 1, "{behind:?}");
    assert_eq!(behind[0]["issue"]["number"], 7);
}

#[test]
fn a_folder_that_is_none_or_cannot_be_read_is_said_to_be_so() {
    let server = Server::start();
    let folder = blank(&server);
    let (exit, code, message) = refusal(&server, &["import", "state"]);
    assert_eq!((exit, code.as_str()), (1, "BADFOLDER"), "{message}");
    assert!(message.starts_with("state holds no state of PoppoBuilder's, such as issue-status.json"), "{message}");
    fill(&folder);
    let (_, _, message) = refusal(&server, &["import", "."]);
    assert!(message.ends_with("; ./state does"), "{message}");
    for (arguments, says) in [
        (["import", "state", "--verify"], "--verify is for a FILE"),
        (["import", "-", "--dry-run"], "--dry-run is for a DIR"),
        (["import", "nothing.jsonl", "--retry-failed"], "--retry-failed is for a DIR"),
    ] {
        let (exit, code, message) = refusal(&server, &arguments);
        assert_eq!((exit, code.as_str()), (2, "USAGE"), "{message}");
        assert!(message.contains(says), "{message}");
    }
    // What cannot be read is named; all else is imported, and nothing waits for a pipe.
    fs::remove_file(folder.join("processed-issues.json")).unwrap();
    std::os::unix::fs::symlink("nowhere", folder.join("processed-issues.json")).unwrap();
    fs::rename(folder.join("pending-tasks.json"), folder.join("moved")).unwrap();
    fs::create_dir(folder.join("pending-tasks.json")).unwrap();
    let failed = output(poppo(&server, &["import", "state", "--json"]));
    let message = String::from_utf8(failed.stderr).unwrap();
    assert_eq!(failed.status.code(), Some(1), "{message}");
    assert!(
        message.contains("cannot read pending-tasks.json: it is no file, processed-issues.json: No such file"),
        "{message}"
    );
    let printed: Json = serde_json::from_slice(&failed.stdout).unwrap();
    assert_eq!((&printed["plan"]["issues"], &printed["plan"]["comments"]), (&18.into(), &47.into()));
    assert_eq!(json(poppo(&server, &["list"])).as_array().unwrap().len(), 18);
}

#[test]
fn free_state_is_taken_value_by_value() {
    let server = Server::start();
    let folder = blank(&server);
    let values = document!({ "7": { "status": "completed" }, "": 1, "8": [1, 2] });
    write(&folder, "unified-issues.json", &values);
    write(&folder, "unified-agents.json", &document!([["ann", { "n": 1 }], { "id": "bob" }, "stray", ["ann", 2]]));
    write(&folder, "unified-no good.json", &document!({ "a": 1 }));
    fs::write(folder.join("unified-config.json"), "{\"a\": true, \"b\": ").unwrap();
    let import = ["import", "state"];
    let printed = json(poppo(&server, &import));
    assert_eq!(outcomes(&printed, "unified-issues.json"), ["- unused", "7 used", "8 used"]);
    assert_eq!(outcomes(&printed, "unified-agents.json"), ["0 changed", "1 changed", "2 unused", "3 unused"]);
    let (outcome, _, why) = fate(&printed, "unified-no good.json", "a");
    assert_eq!(outcome, "unused");
    assert!(why.contains("namespace"), "{why}");
    assert_eq!(outcomes(&printed, "unified-config.json")[0], "a used", "{printed:#}");
    let value = |namespace: &str, name: &str| json(poppo(&server, &["state", "get", namespace, name]))["value"].clone();
    assert_eq!(value("issues", "8"), document!([1, 2]));
    assert_eq!((value("agents", "ann"), value("agents", "bob")), (document!({ "n": 1 }), document!({ "id": "bob" })));
    let again = json(poppo(&server, &import));
    assert_eq!(again["entries"], printed["entries"], "twice is the same as once");
}
