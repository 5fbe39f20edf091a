//! What only a file has: its lock, its replacement as a whole, and what can be wrong with it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "in a test a panic is the report"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, Permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};

use poppo_tests::audit::Picture;
use poppo_tests::command::{bare, json, output, poppo, refusal};
use poppo_tests::transcript::{is_time, show};
use poppo_tests::{Connection, Files, History, Random, Reply as _, Server, seed, wait_until};
use redis::Value;
use rustix::fs::FlockOperation;

/// How many processes share the file.
const WORKERS: usize = 20;

/// How many of them are killed on the way.
const KILLED: usize = 20;

/// Processes that do tasks of the project `p`, and end with their test.
struct Crowd<'a> {
    files: &'a Files,
    workers: Vec<Child>,
    started: usize,
}

impl Crowd<'_> {
    fn hire(&mut self) {
        self.started += 1;
        let name = format!("w{}", self.started);
        // What it was given goes to a file of everybody's, in one write.
        let script = "echo $POPPO_ISSUE $POPPO_TOKEN $POPPO_TASK >> done";
        let mut command = poppo(self.files, &["work", "--process", &name, "--ttl", "1s", "--", "sh", "-c", script]);
        command.stdout(Stdio::null()).stderr(File::create(self.files.dir().join(&name)).unwrap());
        self.workers.push(command.spawn().expect("poppo starts"));
    }

    fn kill_one(&mut self, random: &mut Random) {
        let mut victim = self.workers.swap_remove(random.below(self.workers.len()));
        victim.kill().unwrap();
        victim.wait().unwrap();
    }
}

impl Drop for Crowd<'_> {
    fn drop(&mut self) {
        for worker in &mut self.workers {
            drop(worker.kill());
            drop(worker.wait());
        }
    }
}

/// Puts the tasks of those who are gone back into the queue, as somebody always must.
fn repair(connection: &mut Connection) {
    for row in connection.ok("POPPO.ORPHANS p COUNT 1000").rows() {
        let (issue, token) = (row.count("issue"), row.count("token"));
        // It may have been heard of since.
        connection.cmd(&format!("POPPO.REPAIR p {issue} TOKEN {token} REQUEUE"));
    }
}

#[test]
fn twenty_processes_of_which_some_are_killed_hold_nothing_twice_and_lose_nothing() {
    const ISSUES: usize = 5;
    const TASKS: usize = 100;
    let seed = seed(20_261_120);
    println!("POPPO_SEED={seed}");
    let mut random = Random::new(seed);
    let files = Files::start();
    let mut connection = files.connect();
    connection.ok("POPPO.CONFIG p SET max-orphans 1000 heartbeat-ttl 1000");
    for task in 0..TASKS {
        connection.ok(&format!("POPPO.ENQUEUE p {} ID t{task}", 1 + task % ISSUES));
    }
    let mut crowd = Crowd { files: &files, workers: Vec::new(), started: 0 };
    (0..WORKERS).for_each(|_| crowd.hire());
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        // At any moment there is a whole state to read. A panic here is one of the test.
        let reader = scope.spawn(|| {
            let mut reads = 0;
            while !over.load(Ordering::SeqCst) {
                assert!(files.document().is_some());
                reads += 1;
            }
            reads
        });
        let finished = |connection: &mut Connection| connection.ok("POPPO.STATS p").count("tasks.finished") as usize;
        for killed in 1..=KILLED {
            // Spread over all of the work, so that each is in the midst of something.
            let due = killed * (TASKS - 20) / KILLED;
            wait_until("some tasks are done", || {
                repair(&mut connection);
                finished(&mut connection) >= due
            });
            crowd.kill_one(&mut random);
            crowd.hire();
        }
        wait_until("all tasks are done", || {
            repair(&mut connection);
            finished(&mut connection) == TASKS
        });
        over.store(true, Ordering::SeqCst);
        println!("the file was read {} times", reader.join().unwrap());
    });
    drop(crowd);
    let picture = Picture::take(&mut connection, "p").unwrap();
    let census = picture.audit().unwrap_or_else(|wrong| panic!("{wrong}\n{}", picture.tell(|_| true)));
    assert!(picture.is_quiet());
    assert_eq!((census.tasks, census.finished, census.dead), (TASKS, TASKS, 0), "{census:?}");
    println!("{census:?}");
    // Whatever anybody was given is in the log, and nobody else was given it.
    let mut leases = BTreeMap::new();
    for page in [0, 10_000] {
        for event in connection.ok(&format!("POPPO.EVENTS p AFTER {page} COUNT 10000")).rows() {
            if event.field("event") == "claim" {
                leases.insert(event.count("token"), (event.count("issue"), event.field("task")));
            }
        }
    }
    let notes = fs::read_to_string(files.dir().join("done")).unwrap();
    let mut seen = BTreeSet::new();
    for note in notes.lines() {
        let [issue, token, task] = note.split(' ').collect::<Vec<_>>()[..] else { panic!("{note}") };
        let (issue, token): (i64, i64) = (issue.parse().unwrap(), token.parse().unwrap());
        assert_eq!(leases.get(&token), Some(&(issue, task.to_owned())), "{note}");
        assert!(seen.insert(token), "{note} twice");
    }
    assert!(seen.len() >= TASKS, "{} of {TASKS}", seen.len());
}

/// A command whose outcome does not depend on how long anything takes; none where there is no such form of it.
fn timeless(line: &str) -> Option<String> {
    const TIMES: [&str; 5] = ["queue-aging", "heartbeat-ttl", "attest-ttl", "process-kept", "BLOCK"];
    if TIMES.iter().any(|word| line.contains(word)) {
        return None;
    }
    let mut words: Vec<&str> = line.split(' ').collect();
    for at in 1..words.len() {
        match words[at - 1] {
            "DELAY" | "RETRY" => words[at] = "0",
            "TTL" => words[at] = "86400000",
            _ => {}
        }
    }
    Some(words.join(" "))
}

/// An answer as text, with tokens numbered in the order in which they are met and without times.
struct Portrait(Vec<String>);

impl Portrait {
    fn of(&mut self, answer: &Value) -> String {
        let shown = show(answer);
        let mut text = String::new();
        for line in shown.lines().filter(|line| !line.contains("\"waited\" =>")) {
            for word in line.split_inclusive([' ', '"', ')', '(', ':']) {
                let bare = word.trim_end_matches([' ', '"', ')', '(', ':']);
                if bare.len() >= 15 && bare.bytes().all(|byte| byte.is_ascii_digit()) {
                    let known = self.0.iter().position(|token| token == bare);
                    let number = known.unwrap_or_else(|| {
                        self.0.push(bare.to_owned());
                        self.0.len() - 1
                    });
                    text.push_str(&format!("token {number} "));
                } else {
                    text.push_str(word);
                }
            }
            text.push('\n');
        }
        // Times have colons, so they are in pieces by now: found by their beginnings.
        let mut timeless = String::new();
        let mut rest = text.as_str();
        while let Some(at) = rest.char_indices().find(|(at, _)| rest.get(*at..at + 24).is_some_and(is_time)) {
            timeless.push_str(&rest[..at.0]);
            timeless.push_str("<time>");
            rest = &rest[at.0 + 24..];
        }
        timeless + rest
    }
}

#[test]
fn a_random_history_is_answered_as_by_a_server() {
    let seed = seed(7_000);
    println!("POPPO_SEED={seed}");
    let (server, files) = (Server::start(), Files::start());
    let (mut there, mut here) = (server.connect(), files.connect());
    let (mut history, mut other) = (History::new("p", seed), History::new("p", seed));
    let (mut first, mut second) = (Portrait(Vec::new()), Portrait(Vec::new()));
    let (mut granted, mut refused) = (0, 0);
    for step in 0..1500 {
        let (Some(line), Some(same)) = (timeless(&history.line()), timeless(&other.line())) else { continue };
        let (expected, answer) = (there.cmd(&line), here.cmd(&same));
        *(if expected.error().is_some() { &mut refused } else { &mut granted }) += 1;
        history.learn(&expected);
        other.learn(&answer);
        assert_eq!(second.of(&answer), first.of(&expected), "step {step}: {line}");
        if step % 50 == 0 {
            // Whatever was read before is read again.
            here.ok("DEBUG RELOAD");
        }
    }
    assert!(granted > 300 && refused > 100, "{granted} {refused}");
    for look in [
        "POPPO.LIST p COUNT 10000",
        "POPPO.LIST p QUEUE COUNT 10000",
        "POPPO.LIST p DEAD COUNT 10000",
        "POPPO.LIST p PROCESSES COUNT 10000",
        "POPPO.EVENTS p AFTER 0 COUNT 10000",
        "POPPO.LABELS p COUNT 10000",
        "POPPO.ORPHANS p COUNT 10000",
        "POPPO.CONFIG p GET",
    ] {
        let (expected, answer) = (there.cmd(look), here.cmd(look));
        assert_eq!(second.of(&answer), first.of(&expected), "{look}");
    }
}

/// The identity of the file: another number is another state.
fn number(path: &Path) -> u64 {
    fs::metadata(path).unwrap().ino()
}

#[test]
fn only_what_changes_something_writes_and_what_is_left_of_the_dead_is_overwritten() {
    let files = Files::start();
    let mut connection = files.connect();
    assert_eq!(show(&connection.cmd("POPPO.GET p 1")), "(nil)");
    connection.refused("POPPO.HEARTBEAT p w1", "NOPROC");
    assert!(!files.path().exists(), "who looks or is refused makes no file");
    connection.ok("POPPO.CHECKOUT p 1 w1");
    let before = number(&files.path());
    for line in ["POPPO.CHECKOUT p 1 w2", "POPPO.GET p 1", "POPPO.CLAIM p w2", "POPPO.FORGET p 9", "POPPO.CHECKIN p 1"]
    {
        connection.cmd(line);
        assert_eq!(number(&files.path()), before, "{line}");
    }
    // As if somebody had been killed while he wrote.
    let temporary = files.path().with_extension("json.tmp");
    fs::write(&temporary, "{\"version\": 3, \"proj").unwrap();
    connection.ok("POPPO.ENQUEUE p 2");
    assert!(!temporary.exists());
    assert_eq!(connection.ok("POPPO.GET p 2").field("status"), "queued");
    let mut names: Vec<String> =
        fs::read_dir(files.dir()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    assert_eq!(names, ["state.json", "state.json.lock"]);
}

#[test]
fn the_files_permissions_and_a_link_to_it_are_kept() {
    let files = Files::start();
    let real = files.dir().join("real");
    fs::create_dir(&real).unwrap();
    fs::write(real.join("projects.json"), "{\"version\":3,\"projects\":{}}").unwrap();
    fs::set_permissions(real.join("projects.json"), Permissions::from_mode(0o640)).unwrap();
    symlink("real/projects.json", files.path()).unwrap();
    files.connect().ok("POPPO.CHECKOUT p 1 w1");
    assert!(fs::symlink_metadata(files.path()).unwrap().is_symlink());
    assert_eq!(fs::metadata(real.join("projects.json")).unwrap().mode() & 0o777, 0o640);
    assert!(real.join("projects.json.lock").exists() && !files.path().with_extension("json.lock").exists());
    // By either name it is the same file.
    let url = format!("file://{}", real.join("projects.json").display());
    let mut command = bare(files.dir());
    command.args(["--url", &url, "--project", "p", "get", "1"]);
    assert_eq!(json(command)["process"], "w1");
}

#[test]
fn a_file_that_cannot_be_used_is_said_in_one_sentence_and_left_alone() {
    let files = Files::start();
    let path = files.path();
    files.connect().ok("POPPO.CHECKOUT p 1 w1");
    let good = fs::read_to_string(&path).unwrap();
    let cases = [
        (good[..good.len() / 2].to_owned(), "is not JSON: EOF while parsing"),
        (String::new(), "is not JSON: EOF while parsing"),
        ("{\"name\": \"package\"}".to_owned(), "is JSON, but holds no projects of Poppo"),
        (good.replace("\"version\": 3", "\"version\": 4"), "was written by a newer version of Poppo"),
        (good.replace("{\"held\":1}", "{\"held\":7}"), "is damaged: project p: an issue's holder or end"),
        (good.replace("\"process\":\"w1\"", "\"process\":1"), "is damaged: project p: lives[0]: invalid type"),
        (good.replace("\"process\":\"w1\"", "\"process\":\"w 1\""), "is damaged: project p: a name"),
    ];
    for (text, why) in cases {
        assert_ne!(text, good, "{why}");
        fs::write(&path, &text).unwrap();
        for arguments in [&["list"][..], &["checkout", "2", "--process", "w"], &["get", "1"]] {
            let (exit, code, message) = refusal(&files, arguments);
            assert_eq!((exit, code.as_str()), (1, "FILE"), "{message}");
            let expected = format!("the file {} {why}", path.display());
            assert!(message.starts_with(&expected) && !message.contains('\n'), "{message}");
        }
        assert_eq!(fs::read_to_string(&path).unwrap(), text, "nothing was changed");
    }
    fs::write(&path, &good).unwrap();
    assert_eq!(json(poppo(&files, &["get", "1"]))["process"], "w1", "mended by hand, it is used again");
}

#[test]
fn a_place_where_no_file_can_be_is_said() {
    let files = Files::start();
    let nowhere = files.dir().join("none/state.json");
    fs::create_dir(files.path()).unwrap();
    let fifo = files.dir().join("pipe");
    assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    let cases = [
        (format!("file://{}", nowhere.display()), 1, "FILE", "cannot be, in "),
        (files.url(), 1, "FILE", "is not a file to keep anything in"),
        (format!("file://{}", fifo.display()), 1, "FILE", "is not a file to keep anything in"),
        ("file:///proc/poppo.json".to_owned(), 1, "FILE", "cannot be locked with /proc/poppo.json.lock"),
        ("file://state.json".to_owned(), 2, "URL", "three slashes"),
        (format!("{}?db=1", files.url()), 2, "URL", "there is no parameter db=1 of files"),
        (
            format!("file://{}?durability=replicas=1", files.dir().join("other.json").display()),
            1,
            "DURABILITY",
            "a file has no replicas",
        ),
    ];
    for (url, exit, code, why) in cases {
        let mut command = bare(files.dir());
        command.args(["--json", "--url", &url, "checkout", "1", "--process", "w"]);
        let output = output(command);
        let error: serde_json::Value = serde_json::from_slice(&output.stderr).unwrap_or_else(|_| panic!("{output:?}"));
        assert_eq!((output.status.code(), &error["error"]["code"]), (Some(exit), &code.into()), "{error}");
        assert!(error["error"]["message"].as_str().unwrap().contains(why), "{error}");
    }
}

#[test]
fn a_lock_that_nobody_lets_go_of_ends_in_an_error_and_looking_goes_on() {
    let files = Files::start();
    let mut connection = files.connect();
    connection.ok("POPPO.CHECKOUT p 1 w1");
    let lock = File::create(files.path().with_extension("json.lock")).unwrap();
    rustix::fs::flock(&lock, FlockOperation::LockExclusive).unwrap();
    let mut waiting = files.connect();
    waiting.send("POPPO.ENQUEUE p 2");
    connection.refused("POPPO.CHECKOUT p 1 w2", "HELD");
    assert_eq!(connection.ok("POPPO.GET p 1").field("process"), "w1");
    let (exit, code, message) = refusal(&files, &["enqueue", "3"]);
    assert_eq!((exit, code.as_str()), (1, "FILE"), "{message}");
    assert!(message.contains("is locked by somebody else for 10s"), "{message}");
    assert!(waiting.message().error().unwrap().contains("is locked by somebody else"));
    drop(lock);
    connection.ok("POPPO.ENQUEUE p 2");
    assert_eq!(connection.int("POPPO.ENQUEUE p 3"), 1, "what was given up was not done");
}

#[test]
fn who_edits_the_file_under_its_lock_is_waited_for() {
    let files = Files::start();
    let (mut connection, mut other) = (files.connect(), files.connect());
    connection.ok("POPPO.CHECKOUT p 1 w1");
    let good = fs::read(files.path()).unwrap();
    let lock = File::create(files.path().with_extension("json.lock")).unwrap();
    // Whether it is seen half-written is up to chance, so it is tried often.
    for _ in 0..50 {
        rustix::fs::flock(&lock, FlockOperation::LockExclusive).unwrap();
        fs::write(files.path(), &good[..40]).unwrap();
        connection.send("POPPO.GET p 1");
        assert_eq!(other.ok("HELLO 3"), Value::Array(Vec::new()));
        fs::write(files.path(), &good).unwrap();
        rustix::fs::flock(&lock, FlockOperation::Unlock).unwrap();
        assert_eq!(connection.message().field("process"), "w1");
    }
}

#[test]
fn projects_of_one_file_do_not_mix_and_are_deleted_by_hand() {
    let files = Files::start();
    let mut connection = files.connect();
    connection.ok("POPPO.CHECKOUT acme/widgets 1 w1");
    connection.ok("POPPO.CHECKOUT acme/gadgets 1 w2");
    let document = files.document().unwrap();
    let keys: Vec<&String> = document["projects"].as_object().unwrap().keys().collect();
    assert_eq!(keys, ["acme/gadgets", "acme/widgets"]);
    assert_eq!(connection.ok("POPPO.GET acme/widgets 1").field("process"), "w1");
    assert_eq!(connection.int("DEL acme/widgets"), 1);
    assert_eq!(show(&connection.cmd("POPPO.GET acme/widgets 1")), "(nil)");
    assert_eq!(connection.ok("POPPO.GET acme/gadgets 1").field("process"), "w2");
    let key = connection.call(&[&b"POPPO.CHECKOUT"[..], b"\xff", b"1", b"w"]).error().unwrap();
    assert!(key.starts_with("ERR the project's key must be UTF-8"), "{key}");
}

/// What `poppo doctor` says: its exit code, and the state of each check by its name.
fn examine(files: &Files) -> (Option<i32>, BTreeMap<String, String>) {
    let mut command = poppo(files, &["doctor", "--json"]);
    command.env("POPPO_SPOOL", files.dir().join("spool"));
    let output = output(command);
    let document: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"));
    let word = |check: &serde_json::Value, name: &str| check[name].as_str().unwrap().to_owned();
    let checks = document["checks"].as_array().unwrap();
    (output.status.code(), checks.iter().map(|check| (word(check, "check"), word(check, "state"))).collect())
}

#[test]
fn doctor_looks_at_a_file() {
    let files = Files::start();
    let (code, checks) = examine(&files);
    assert_eq!((code, checks["file"].as_str()), (Some(0), "ok"), "one that is not there yet is in order");
    assert!(!files.path().exists(), "it changes nothing");
    files.connect().ok("POPPO.CHECKOUT p 1 w1");
    let before = fs::read(files.path()).unwrap();
    let (code, checks) = examine(&files);
    assert_eq!(code, Some(0));
    for name in ["file", "lock", "folder", "space", "project", "orphans", "dead"] {
        assert_eq!(checks.get(name).map(String::as_str), Some("ok"), "{name}");
    }
    assert_eq!(fs::read(files.path()).unwrap(), before);
    let lock = File::create(files.path().with_extension("json.lock")).unwrap();
    rustix::fs::flock(&lock, FlockOperation::LockExclusive).unwrap();
    assert_eq!(examine(&files).1["lock"], "ok", "somebody may have it");
    fs::write(files.path(), "{").unwrap();
    let (code, checks) = examine(&files);
    assert_eq!((code, checks["file"].as_str()), (Some(1), "failed"));
}

#[test]
fn what_runs_a_server_refuses_a_file() {
    let files = Files::start();
    for command in ["up", "demo"] {
        let (exit, code, message) = refusal(&files, &[command]);
        assert_eq!((exit, code.as_str()), (2, "USAGE"), "{message}");
        assert!(message.contains("is a file, which needs none"), "{message}");
    }
}

/// The names of all fields below a value, but those of settings and of words that are counted.
fn fields(value: &serde_json::Value, found: &mut BTreeSet<String>) {
    match value {
        serde_json::Value::Object(fields_of) => {
            for (name, value) in fields_of {
                found.insert(name.clone());
                if !["settings", "totals", "buckets"].contains(&name.as_str()) {
                    fields(value, found);
                }
            }
        }
        serde_json::Value::Array(items) => items.iter().for_each(|item| fields(item, found)),
        _ => {}
    }
}

#[test]
fn every_field_of_the_file_is_in_its_description() {
    let files = Files::start();
    let mut connection = files.connect();
    for line in [
        "POPPO.CHECKOUT p 1 w1 PID 5 HOST h INCARNATION i TMUX t TYPE fix TITLE one",
        "POPPO.HEARTBEAT p w1 INCARNATION i PROGRESS half",
        "POPPO.LIVENESS p w1 ALIVE HOST h PID 5 INCARNATION i",
        "POPPO.CHECKIN p 1 w1 STATUS completed RESULT {} REASON why META a b",
        "POPPO.ENQUEUE p 2 TITLE two PAYLOAD {}",
        "POPPO.ENQUEUE p 3",
        "POPPO.ENQUEUE p 4",
        "POPPO.ENQUEUE p 5 DELAY 60000",
        "POPPO.CLAIM p w2 REQ r TYPE issue",
        "POPPO.CHECKIN p 2 w2 STATUS completed NEXT REQ n",
        "POPPO.CANCEL p 3 REASON enough",
        "POPPO.CLAIM p w3",
        "POPPO.CHECKIN p 4 w3 STATUS error REASON broken",
        "POPPO.CHECKOUT p 9 w4 HOST h PID 6",
        "POPPO.LIVENESS p w4 DEAD HOST h PID 6",
        "POPPO.CHECKOUT p 10 w4 INCARNATION j",
    ] {
        connection.ok(line);
    }
    let mut found = BTreeSet::new();
    fields(&files.document().unwrap()["projects"]["p"], &mut found);
    assert!(found.len() > 60, "{found:?}");
    let description = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/file.md")).unwrap();
    // Of metadata the names are the users'.
    let missing: Vec<&String> = found.iter().filter(|name| !description.contains(&format!("`{name}`"))).collect();
    assert!(missing.is_empty(), "docs/file.md lacks {missing:?}");
}
