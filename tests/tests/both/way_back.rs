use std::path::Path;

use poppo_tests::command::{Backend, json, output, poppo, refusal};
use poppo_tests::{Connection, History, Reply as _};
use serde_json::{Value as Json, json as document};

use super::Server;

/// The files, in the order in which they are written.
pub(crate) const FILES: [&str; 5] = [
    "processed-issues.json",
    "processed-comments.json",
    "issue-status.json",
    "running-tasks.json",
    "pending-tasks.json",
];

/// The words of an export to a folder.
const EXPORT: [&str; 4] = ["export", "--format", "poppobuilder", "state"];

/// A file of the folder `state`.
#[track_caller]
pub(crate) fn read(server: &impl Backend, file: &str) -> Json {
    let path = server.dir().join("state").join(file);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{file}: {error}"));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{file}: {error} in {text}"))
}

/// All that is in a folder: each name, and what is in it.
fn all(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    let mut all: Vec<_> = entries
        .map(|entry| {
            (entry.file_name().to_string_lossy().into_owned(), std::fs::read(entry.path()).unwrap_or_default())
        })
        .collect();
    all.sort();
    all
}

/// What was lost of a kind: how much, and what is named.
fn lost(written: &Json, what: &str) -> (u64, String) {
    let lost = written["lost"].as_array().unwrap().iter().find(|lost| lost["what"] == what);
    let lost = lost.unwrap_or_else(|| panic!("{what} is not said in {written}"));
    let examples: Vec<&str> = lost["examples"].as_array().unwrap().iter().map(|text| text.as_str().unwrap()).collect();
    (lost["count"].as_u64().unwrap(), examples.join(", "))
}

/// Some of all that there is.
fn fill(connection: &mut Connection) {
    connection.ok("POPPO.CONFIG p SET max-attempts 1");
    connection.ok("POPPO.CHECKOUT p 1 w1 PID 4711 HOST h TYPE claude-cli TITLE 'One is held'");
    let token = connection.int("POPPO.CHECKOUT p 2 w2 HOST h TYPE comment-response");
    connection.ok(&format!(
        "POPPO.CHECKIN p 2 w2 STATUS awaiting-response TOKEN {token} RESULT '{{\"error\": \"none\"}}' META retryCount 0 note x"
    ));
    connection.ok("POPPO.ENQUEUE p 3 TYPE issue");
    connection.ok("POPPO.CLAIM p w3 PID 4712");
    connection.ok("POPPO.ENQUEUE p 4 TYPE issue");
    let token = connection.ok("POPPO.CLAIM p w4").count("token");
    connection.ok(&format!("POPPO.CHECKIN p 4 w4 STATUS completed TOKEN {token}"));
    connection.ok("POPPO.ENQUEUE p 4 TYPE comment-response ID IC_4");
    let token = connection.ok("POPPO.CLAIM p w4").count("token");
    connection.ok(&format!("POPPO.CHECKIN p 4 w4 STATUS completed TOKEN {token}"));
    connection.ok("POPPO.ENQUEUE p 5 TYPE issue");
    let token = connection.ok("POPPO.CLAIM p w5").count("token");
    connection.ok(&format!("POPPO.CHECKIN p 5 w5 STATUS error TOKEN {token} REASON 'no way' RETRY 0"));
    connection.ok("POPPO.ENQUEUE p 6 TYPE fix PRIORITY 60 TITLE 'Six waits'");
    connection.ok("POPPO.ENQUEUE p 6 TYPE comment-response ID IC_6 PRIORITY high");
    connection.ok("POPPO.ENQUEUE p 7 TYPE misc DELAY 3600000");
}

#[test]
fn the_files_say_what_the_project_says_in_the_older_words() {
    let server = Server::builder().no_grace().start();
    fill(&mut server.connect());
    let written = json(poppo(&server, &EXPORT));
    let names: Vec<&str> =
        written["files"].as_array().unwrap().iter().map(|file| file["file"].as_str().unwrap()).collect();
    assert_eq!(names, FILES);

    let issues = &read(&server, "issue-status.json")["issues"];
    let held = &issues["1"];
    assert_eq!(
        [&held["status"], &held["processId"], &held["pid"], &held["taskType"], &held["metadata"]],
        [&document!("processing"), &document!("w1"), &document!(4711), &document!("claude-cli"), &document!({})]
    );
    assert!(held["lastHeartbeat"].is_string() && held.get("endTime").is_none(), "{held}");
    let ended = &issues["2"];
    assert_eq!(
        [&ended["status"], &ended["pid"], &ended["lastHeartbeat"]],
        [&document!("awaiting-response"), &Json::Null, &Json::Null]
    );
    assert_eq!((&ended["result"], &ended["lastUpdated"]), (&document!({ "error": "none" }), &ended["endTime"]));
    assert_eq!(ended["metadata"], document!({ "retryCount": 0, "note": "x" }));
    assert_eq!(
        [&issues["4"]["status"], &issues["5"]["status"], &issues["5"]["reason"]],
        ["completed", "error", "no way"]
    );

    let running = read(&server, "running-tasks.json");
    assert_eq!(running.as_object().unwrap().keys().collect::<Vec<_>>(), ["issue-1", "issue-3"]);
    assert_eq!(
        [&running["issue-1"]["issueNumber"], &running["issue-1"]["title"], &running["issue-3"]["pid"]],
        [&document!(1), &document!("One is held"), &document!(4712)]
    );
    assert_eq!(read(&server, "processed-issues.json"), document!([4]));
    assert_eq!(read(&server, "processed-comments.json"), document!({ "4": ["IC_4"] }));

    let waiting = read(&server, "pending-tasks.json");
    let field = |name: &str| waiting.as_array().unwrap().iter().map(|task| task[name].clone()).collect::<Vec<_>>();
    assert_eq!(field("id"), ["IC_6", "6:fix", "7:misc"]);
    assert_eq!(field("type"), ["comment", "issue", "issue"]);
    assert_eq!(field("priority"), [75, 50, 50]);
    assert_eq!(waiting[0]["comment"], document!({ "id": "IC_6" }));
    assert_eq!(
        (&waiting[1]["labels"], &waiting[1]["issue"]["title"]),
        (&document!(["task:fix"]), &document!("Six waits"))
    );
    assert!(waiting[1]["enqueuedAt"].as_u64() > Some(1_600_000_000_000), "{waiting}");

    // A second time, nothing is to be written.
    let again = json(poppo(&server, &EXPORT));
    assert!(again["files"].as_array().unwrap().iter().all(|file| file["written"] == false), "{again}");
    assert!(written["files"].as_array().unwrap().iter().all(|file| file["written"] == true), "{written}");
}

#[test]
fn what_the_files_cannot_hold_is_said() {
    let server = Server::builder().no_grace().start();
    fill(&mut server.connect());
    let written = json(poppo(&server, &EXPORT));
    assert_eq!(lost(&written, "dead-tasks"), (1, "5:issue".to_owned()));
    assert_eq!(lost(&written, "priorities"), (1, "6:fix 60".to_owned()));
    assert_eq!(lost(&written, "task-types"), (1, "6:fix fix".to_owned()));
    assert_eq!(lost(&written, "settings"), (1, "max-attempts 1".to_owned()));
    assert_eq!(lost(&written, "holders"), (1, "1 w1".to_owned()));
    assert_eq!(lost(&written, "workers"), (1, "2 w2 on h".to_owned()));
    assert_eq!(lost(&written, "tokens").0, 5);
    let (count, example) = lost(&written, "delays");
    assert!(count == 1 && example.starts_with("7:misc until 20"), "{example}");
    let shown = String::from_utf8(output(poppo(&server, &EXPORT)).stdout).unwrap();
    for row in ["pending-tasks.json", "was so already", "dead tasks: they are left out", "6:fix 60"] {
        assert!(shown.contains(row), "{shown}");
    }
}

#[test]
fn files_of_somebody_else_are_replaced_where_that_is_asked_for_only() {
    let server = Server::start();
    server.connect().ok("POPPO.ENQUEUE p 1");
    let folder = server.dir().join("state");
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("last-run.json"), "{}").unwrap();
    std::fs::write(folder.join("pending-tasks.json"), "[]").unwrap();
    let before = all(&folder);
    let (exit, code, message) = refusal(&server, &EXPORT);
    assert_eq!((exit, code.as_str()), (1, "INUSE"));
    assert!(
        message.starts_with("state/pending-tasks.json was not written by poppo") && message.contains("--force"),
        "{message}"
    );
    assert_eq!(all(&folder), before);
    let forced = [&EXPORT[..], &["--force"]].concat();
    json(poppo(&server, &forced));
    assert_eq!(std::fs::read_to_string(folder.join("last-run.json")).unwrap(), "{}", "it is not ours");
    // From now on they are ours, until somebody changes one.
    server.connect().ok("POPPO.ENQUEUE p 2");
    json(poppo(&server, &EXPORT));
    assert_eq!(read(&server, "pending-tasks.json").as_array().unwrap().len(), 2);
    std::fs::write(folder.join("running-tasks.json"), "{\"issue-9\": {}}").unwrap();
    let (_, code, message) = refusal(&server, &EXPORT);
    assert!(code == "INUSE" && message.starts_with("state/running-tasks.json"), "{message}");
    json(poppo(&server, &forced));
    // Nor does another project take their place by mistake.
    server.connect().ok("POPPO.ENQUEUE q 1");
    let of_another = ["--project", "q"];
    let (_, code, message) = refusal(&server, &[&EXPORT[..], &of_another].concat());
    assert!(code == "INUSE" && message.contains("state holds the project p"), "{message}");
    json(poppo(&server, &[&forced[..], &of_another].concat()));
}

#[test]
fn an_export_that_makes_no_sense_changes_nothing() {
    let server = Server::start();
    let before = all(server.dir());
    let (exit, code, message) = refusal(&server, &EXPORT);
    assert_eq!((exit, code.as_str()), (1, "UNKNOWN"), "{message}");
    server.connect().ok("POPPO.ENQUEUE p 1");
    std::fs::write(server.dir().join("file"), "").unwrap();
    for (words, says) in [
        (&["export", "--format", "poppobuilder"][..], "FILE must be a folder"),
        (&["export", "--format", "poppobuilder", "-"], "FILE must be a folder"),
        (&["export", "--format", "poppobuilder", "state", "--verify"], "`poppo mirror DIR --check`"),
        (&["export", "--force", "backup.jsonl"], "--force is for --format poppobuilder"),
        (&["export", "--format", "poppobuilder", "file"], "file is a file: DIR must be a folder"),
        (&["export", "--format", "yaml", "state"], "invalid value 'yaml'"),
    ] {
        let (exit, code, message) = refusal(&server, words);
        assert_eq!((exit, code.as_str()), (2, "USAGE"), "{message}");
        assert!(message.contains(says), "{message}");
    }
    let (exit, _, message) = refusal(&server, &["export", "--format", "poppobuilder", "no/such/folder"]);
    assert!(exit == 1 && message.starts_with("no/such/folder: No such file"), "{message}");
    let after = all(server.dir()).len();
    assert!(!server.dir().join("state").exists() && after <= before.len() + 3, "{after}");
}

#[test]
fn a_disk_that_is_full_leaves_what_was_there() {
    let server = Server::builder().no_grace().start();
    let mut connection = server.connect();
    connection.ok("POPPO.ENQUEUE p 1");
    json(poppo(&server, &EXPORT));
    let folder = server.dir().join("state");
    let before = all(&folder);
    History::new("p", 31).run(&mut connection, 300);
    connection.ok(&format!("POPPO.ENQUEUE p 4000 ID long PAYLOAD '\"{}\"'", "x".repeat(4_000)));
    // A file system that has no room, as far as it can be had without being root: a file may not grow.
    let poppo = poppo_tests::artifacts::poppo().display().to_string();
    let full = |folder: &str| {
        let script = format!(
            "trap '' XFSZ; ulimit -f 1; exec {poppo} --url '{}' --project p export --format poppobuilder {folder}",
            server.url()
        );
        let mut shell = std::process::Command::new("bash");
        shell.args(["-c", &script]).current_dir(server.dir());
        output(shell)
    };
    let failed = full("state");
    let message = String::from_utf8(failed.stderr).unwrap();
    assert_eq!(failed.status.code(), Some(1), "{message}");
    assert!(message.starts_with("poppo: state: File too large"), "{message}");
    assert_eq!(all(&folder), before, "what was there is there, and nothing else");
    assert_eq!(full("fresh").status.code(), Some(1));
    assert!(!server.dir().join("fresh").exists());
}

#[test]
fn what_one_who_was_killed_left_behind_is_cleared_away() {
    let server = Server::start();
    server.connect().ok("POPPO.ENQUEUE p 1");
    json(poppo(&server, &EXPORT));
    let folder = server.dir().join("state");
    let whole: Vec<String> = all(&folder).into_iter().map(|(name, _)| name).collect();
    std::fs::write(folder.join(".poppo-begun-Xy12"), "{").unwrap();
    json(poppo(&server, &EXPORT));
    assert_eq!(all(&folder).into_iter().map(|(name, _)| name).collect::<Vec<_>>(), whole);
}

#[test]
fn free_state_comes_back_with_the_folder() {
    let server = Server::start();
    server.connect().ok("POPPO.ENQUEUE p 1");
    for (namespace, name, value) in [
        ("issues", "7", r#"{"branch":"fix-7"}"#),
        ("issues", "8", "null"),
        ("own.notes", "a b", r#""x""#),
        ("config", "limit", "12.50"),
    ] {
        json(poppo(&server, &["state", "set", namespace, name, value]));
    }
    let written = json(poppo(&server, &EXPORT));
    let files: Vec<&str> =
        written["files"].as_array().unwrap().iter().map(|file| file["file"].as_str().unwrap()).collect();
    let ours = ["unified-config.json", "unified-issues.json", "unified-own.notes.json"];
    assert_eq!(files[..3], ours, "and then {files:?}");
    assert_eq!(read(&server, ours[1]), document!({ "7": { "branch": "fix-7" }, "8": null }));
    let text = std::fs::read_to_string(server.dir().join("state").join(ours[0])).unwrap();
    assert!(text.contains("\"limit\": 12.50"), "as it was written: {text}");

    // Into another project, where one value is there already.
    json(poppo(&server, &["state", "set", "issues", "7", "{}", "--project", "q"]));
    json(poppo(&server, &["state", "set", "issues", "8", " null ", "--project", "q"]));
    let moved = json(poppo(&server, &["import", "state", "--project", "q"]));
    let fates: Vec<String> = moved["entries"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|row| row["file"].as_str().unwrap().starts_with("unified-"))
        .map(|row| {
            format!("{} {} {}", row["entry"].as_str().unwrap(), row["outcome"].as_str().unwrap(), row["becomes"])
        })
        .collect();
    assert_eq!(
        fates,
        [
            r#"limit used "limit of the free state config""#,
            "7 unused null",
            r#"8 used "8 of the free state issues""#,
            r#"a b used "a b of the free state own.notes""#,
        ]
    );
    let value = |namespace: &str, name: &str| {
        json(poppo(&server, &["state", "get", namespace, name, "--project", "q"]))["value"].clone()
    };
    assert_eq!((value("issues", "7"), value("own.notes", "a b")), (document!({}), document!("x")));

    // What is gone is gone there, too; and a mirror leaves these files alone.
    json(poppo(&server, &["state", "delete", "own.notes", "a b"]));
    json(poppo(&server, &["mirror", "state", "--once"]));
    assert_eq!(read(&server, ours[2]), document!({ "a b": "x" }));
    json(poppo(&server, &EXPORT));
    assert_eq!(read(&server, ours[2]), document!({}));
}
