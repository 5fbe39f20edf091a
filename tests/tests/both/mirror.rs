use poppo_tests::command::{Following, json, output, poppo, refusal, signal};
use poppo_tests::{Reply as _, wait_until};
use rustix::process::Signal;
use serde_json::{Value as Json, json as document};

use super::Server;
use super::way_back::read;

#[test]
fn what_happens_is_in_the_files_soon_and_a_signal_ends_it() {
    let server = Server::builder().no_grace().start();
    let mut connection = server.connect();
    connection.ok("POPPO.ENQUEUE p 7 TYPE issue");
    let mut mirror = Following::start(&server, &["--json", "mirror", "state"]);
    let first = &mirror.documents(1)[0];
    assert_eq!((&first["project"], &first["differing"]), (&document!("p"), &document!(0)));
    assert_eq!(read(&server, "pending-tasks.json")[0]["id"], "7:issue");
    let token = connection.ok("POPPO.CLAIM p w").count("token");
    wait_until("it runs", || read(&server, "running-tasks.json")["issue-7"].is_object());
    wait_until("it does not wait", || read(&server, "pending-tasks.json") == document!([]));
    connection.ok(&format!("POPPO.CHECKIN p 7 w STATUS completed TOKEN {token}"));
    wait_until("it is done", || read(&server, "running-tasks.json") == document!({}));
    assert_eq!(read(&server, "processed-issues.json"), document!([7]));
    assert_eq!(read(&server, "issue-status.json")["issues"]["7"]["status"], "completed");
    // Only what changed is written.
    let last = mirror.documents(2).pop().unwrap();
    let comments = last["files"].as_array().unwrap().iter().find(|file| file["file"] == "processed-comments.json");
    assert_eq!(comments.unwrap()["written"], false, "{last}");
    signal(&mirror.child, Signal::TERM);
    assert_eq!((mirror.exit_code(), mirror.said().as_str()), (Some(0), ""));
    // What it wrote is ours later, too.
    assert_eq!(json(poppo(&server, &["mirror", "state", "--once"]))["differing"], 0);
}

#[test]
fn what_somebody_else_changes_is_said_once_and_written_again() {
    let server = Server::start();
    let mut connection = server.connect();
    connection.ok("POPPO.CHECKOUT p 7 w");
    let mut mirror = Following::start(&server, &["--json", "mirror", "state"]);
    mirror.documents(1);
    let whole = read(&server, "issue-status.json");
    let mut changed = whole.clone();
    changed["issues"]["7"]["status"] = "error".into();
    changed["issues"]["8"] = document!({ "status": "completed" });
    let path = server.dir().join("state/issue-status.json");
    std::fs::write(&path, changed.to_string()).unwrap();
    wait_until("it is as it was", || read(&server, "issue-status.json") == whole);
    let told = mirror.documents(2).pop().unwrap();
    let expected = document!([
        { "file": "issue-status.json", "entry": "issue 7", "how": "different", "fields": ["status"] },
        { "file": "issue-status.json", "entry": "issue 8", "how": "more" },
    ]);
    assert_eq!((&told["differences"], &told["differing"]), (&expected, &document!(2)));
    std::fs::remove_file(&path).unwrap();
    wait_until("it is there again", || path.exists());
    let told = mirror.documents(3).pop().unwrap();
    assert_eq!(told["differences"], document!([{ "file": "issue-status.json", "how": "missing" }]));
    // Nothing of it is said again.
    connection.ok("POPPO.CHECKOUT p 9 w");
    let told = mirror.documents(4).pop().unwrap();
    assert_eq!(told["differences"], document!([]));
    signal(&mirror.child, Signal::INT);
    assert_eq!(mirror.exit_code(), Some(0));
}

#[test]
fn people_are_shown_the_files_and_what_differs() {
    let server = Server::start();
    server.connect().ok("POPPO.CHECKOUT p 7 w");
    let mut mirror = Following::start(&server, &["mirror", "state"]);
    wait_until("it shows them", || mirror.written().contains("fencing tokens"));
    std::fs::write(server.dir().join("state/processed-issues.json"), "[5]").unwrap();
    wait_until("it says so", || mirror.written().contains("is in the file only"));
    assert!(mirror.written().contains("processed-issues.json  issue 5  is in the file only"), "{}", mirror.written());
    signal(&mirror.child, Signal::TERM);
    mirror.exit_code();
}

#[test]
fn one_writes_to_a_folder_at_a_time() {
    let server = Server::start();
    server.connect().ok("POPPO.ENQUEUE p 7");
    let mirror = Following::start(&server, &["--json", "mirror", "state"]);
    mirror.documents(1);
    for words in
        [&["mirror", "state"][..], &["mirror", "state", "--once"], &["export", "--format", "poppobuilder", "state"]]
    {
        let (exit, code, message) = refusal(&server, words);
        assert_eq!((exit, code.as_str()), (1, "LOCKED"), "{message}");
        assert!(message.contains("writes to state"), "{message}");
    }
    // Whoever only looks is not in the way.
    json(poppo(&server, &["mirror", "state", "--check"]));
}

#[test]
fn a_check_compares_once_and_writes_nothing() {
    let server = Server::start();
    let mut connection = server.connect();
    connection.ok("POPPO.ENQUEUE p 7");
    let check = || {
        let output = output(poppo(&server, &["--json", "mirror", "state", "--check"]));
        let told: Json = serde_json::from_slice(&output.stdout).unwrap_or_default();
        (output.status.code(), told)
    };
    let (exit, _, message) = refusal(&server, &["mirror", "state", "--check"]);
    assert!(exit == 1 && message.contains("state: there is no such folder"), "{message}");
    json(poppo(&server, &["mirror", "state", "--once"]));
    let (exit, told) = check();
    assert_eq!((exit, &told["differing"]), (Some(0), &document!(0)), "{told}");
    connection.ok("POPPO.ENQUEUE p 8 ID eight");
    let before = read(&server, "pending-tasks.json");
    let (exit, told) = check();
    let expected = document!([{ "file": "pending-tasks.json", "entry": "eight", "how": "missing" }]);
    assert_eq!((exit, &told["differences"]), (Some(1), &expected));
    assert_eq!(read(&server, "pending-tasks.json"), before);
    let shown = output(poppo(&server, &["mirror", "state", "--check"]));
    let text = String::from_utf8(shown.stdout).unwrap();
    assert!(
        shown.status.code() == Some(1) && text.contains("eight  is missing") && text.contains("1 entries differ"),
        "{text}"
    );
    std::fs::write(server.dir().join("state/pending-tasks.json"), "[").unwrap();
    assert_eq!(check().1["differences"][0]["how"], "unreadable");
    std::fs::remove_file(server.dir().join("state/pending-tasks.json")).unwrap();
    std::fs::create_dir(server.dir().join("state/pending-tasks.json")).unwrap();
    for words in [&["mirror", "state", "--check"][..], &["mirror", "state", "--once", "--force"]] {
        let (exit, _, message) = refusal(&server, words);
        assert!(exit == 1 && message.contains("pending-tasks.json") && message.contains("is no file"), "{message}");
    }
}

#[test]
fn a_mirror_that_makes_no_sense_changes_nothing() {
    let server = Server::start();
    let (exit, code, message) = refusal(&server, &["mirror", "state", "--once"]);
    assert_eq!((exit, code.as_str()), (1, "UNKNOWN"), "{message}");
    assert!(!server.dir().join("state").exists());
    server.connect().ok("POPPO.ENQUEUE p 7");
    for words in
        [&["mirror", "state", "--once", "--check"][..], &["mirror", "state", "--force", "--check"], &["mirror"]]
    {
        assert_eq!(refusal(&server, words).0, 2, "{words:?}");
    }
    std::fs::create_dir(server.dir().join("state")).unwrap();
    std::fs::write(server.dir().join("state/running-tasks.json"), "{}").unwrap();
    let (exit, code, message) = refusal(&server, &["mirror", "state"]);
    assert_eq!((exit, code.as_str()), (1, "INUSE"), "{message}");
    assert!(!server.dir().join("state/issue-status.json").exists());
    let told = json(poppo(&server, &["mirror", "state", "--once", "--force"]));
    assert_eq!(told["differing"], 0, "{told}");
}
