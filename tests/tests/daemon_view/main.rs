//! The older key layout as a view: whatever happens to project, daemon and server, it shows the project as it is, and touches
//! nothing else.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "in a test a panic is the report"
)]

mod by_hand;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Instant, SystemTime};

use poppo_tests::cluster::Cluster;
use poppo_tests::command::json;
use poppo_tests::daemon::{Builder, Daemon};
use poppo_tests::{Connection, DEADLINE, History, Reply as _, Server, command, seed, wait_until};
use redis::Value;

/// What a key holds. What a set or hash holds is in order here; until when a key is there is part of it.
type Keys = BTreeMap<String, (String, Option<i64>)>;

fn daemon(server: &Server, view: &str) -> Builder {
    let duties = "[duties]\nliveness = false\nrepair = false\n";
    Daemon::builder(server).section(&format!("{duties}[[project]]\nkey = \"p\"\nlegacy-view = \"{view}\"\n"))
}

/// The names of the keys in a layout.
struct Layout(&'static str);

impl Layout {
    fn key(&self, with_prefix: &str, bare: &str) -> String {
        if self.0 == "poppo" { format!("p:{with_prefix}") } else { bare.to_owned() }
    }
}

fn rows(connection: &mut Connection, line: &str) -> Vec<Value> {
    let mut rows = Vec::new();
    let mut cursor = "0".to_owned();
    loop {
        let page = connection.ok(&format!("POPPO.LIST p {line} CURSOR {cursor} COUNT 1000"));
        rows.extend(page.rows()[1].rows().iter().cloned());
        cursor = page.rows()[0].text().unwrap();
        if cursor == "0" {
            return rows;
        }
    }
}

fn word(record: &Value, field: &str) -> Option<String> {
    match record.get(field)? {
        Value::Nil => None,
        Value::Int(number) => Some(number.to_string()),
        other => other.text(),
    }
}

fn shown(fields: &BTreeMap<String, String>) -> String {
    format!("hash {fields:?}")
}

fn present(fields: &[(&str, Option<String>)]) -> BTreeMap<String, String> {
    fields.iter().filter_map(|(name, value)| Some(((*name).to_owned(), value.clone()?))).collect()
}

/// 1800 s after a time of the server's, in ms.
fn half_an_hour_after(time: &str) -> i64 {
    let time = humantime::parse_rfc3339(time).unwrap().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    i64::try_from(time.as_millis()).unwrap() + 1_800_000
}

/// The view that the project as it is should have, by what its own commands tell.
fn expected(connection: &mut Connection, layout: &Layout) -> Keys {
    let mut keys = Keys::new();
    let (mut processing, mut processed, mut active) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    // By process: what it holds is later than what has ended.
    let mut works: BTreeMap<String, BTreeSet<(bool, String, i64)>> = BTreeMap::new();
    let mut issues = BTreeMap::new();
    for row in rows(connection, "") {
        let number = row.count("issue");
        let issue = connection.ok(&format!("POPPO.GET p {number}"));
        let held = issue.field("status") == "processing";
        let [start, end] = ["startTime", "endTime"].map(|field| word(&issue, field));
        let mut fields = present(&[
            ("status", word(&issue, "status")),
            ("processId", word(&issue, "process")),
            ("pid", word(&issue, "pid")),
            ("taskType", word(&issue, "type")),
            ("startTime", start.clone()),
            ("lastUpdate", end.clone().or(start.clone())),
            ("endTime", end.clone()),
            ("checkedOutBy", Some("poppo".to_owned())),
        ]);
        if let Some(metadata) = issue.get("metadata") {
            let metadata: BTreeMap<String, String> =
                metadata.fields().into_iter().map(|name| (name.clone(), metadata.field(&name))).collect();
            for (name, value) in &metadata {
                fields.entry(name.clone()).or_insert_with(|| value.clone());
            }
            if layout.0 == "poppo" {
                keys.insert(format!("p:issue:metadata:{number}"), (shown(&metadata), None));
            }
        }
        let key = layout.key(&format!("issue:status:{number}"), &format!("issue:{number}"));
        keys.insert(key, (shown(&fields), None));
        if held {
            processing.insert(number.to_string());
        }
        if issue.get("completedTime").is_some() {
            processed.insert(number.to_string());
        }
        if let Some(process) = word(&issue, "process") {
            let time = if held { start } else { end };
            works.entry(process).or_default().insert((held, time.unwrap_or_default(), number));
        }
        issues.insert(number, issue);
    }
    let mut people: BTreeMap<String, Value> = BTreeMap::new();
    for person in rows(connection, "PROCESSES") {
        let rank = |person: &Value| (person.field("state") == "alive", person.field("lastSeen"));
        let name = person.field("process");
        if people.get(&name).is_none_or(|other| rank(other) < rank(&person)) {
            people.insert(name, person);
        }
    }
    for (name, person) in people {
        let work = works.get(&name).and_then(BTreeSet::last);
        let ended = work.filter(|(held, ..)| !held);
        let fields = present(&[
            ("pid", word(&person, "pid")),
            ("host", word(&person, "host")),
            ("tmuxSession", word(&person, "tmux")),
            ("issueNumber", work.map(|(_, _, number)| number.to_string())),
            ("status", Some(if work.is_some() && ended.is_none() { "active" } else { "completed" }.to_owned())),
            ("taskType", work.and_then(|(_, _, number)| word(&issues[number], "type"))),
            ("lastSeen", word(&person, "lastSeen")),
            ("endTime", ended.map(|(_, time, _)| time.clone())),
            ("finalStatus", ended.and_then(|(_, _, number)| word(&issues[number], "status"))),
        ]);
        let key = layout.key(&format!("process:info:{name}"), &format!("process:{name}"));
        keys.insert(key, (shown(&fields), None));
        if person.field("state") == "alive" {
            let key = layout.key(&format!("process:heartbeat:{name}"), &format!("heartbeat:{name}"));
            keys.insert(key, ("alive".to_owned(), Some(half_an_hour_after(&person.field("lastSeen")))));
        }
        if work.is_some() && ended.is_none() {
            active.insert(name);
        }
    }
    let mut set = |key: String, members: BTreeSet<String>| {
        if !members.is_empty() {
            keys.insert(key, (format!("set {members:?}"), None));
        }
    };
    set(layout.key("issues:processing", "processing_issues"), processing);
    set(layout.key("issues:processed", "processed_issues"), processed);
    if layout.0 == "poppo" {
        set("p:processes:active".to_owned(), active);
    }
    let mut queues: BTreeMap<&str, Vec<(i64, String)>> = BTreeMap::new();
    for task in rows(connection, "QUEUE") {
        let (id, priority) = (task.field("task"), task.count("priority"));
        let levels =
            [("urgent", 1000), ("dogfooding", 100), ("high", 75), ("normal", 50), ("low", 25), ("deferred", 0)];
        let level = levels.iter().find(|(_, least)| priority >= *least).unwrap().0;
        queues.entry(level).or_default().push((priority, id.clone()));
        let fields = present(&[
            ("issueNumber", word(&task, "issue")),
            ("type", word(&task, "type")),
            ("priority", Some(level.to_owned())),
            ("createdAt", word(&task, "since")),
            ("title", word(&task, "title")),
        ]);
        keys.insert(layout.key(&format!("task:{id}"), &format!("task:{id}")), (shown(&fields), None));
    }
    for (level, mut tasks) in queues {
        tasks.sort_by_key(|(priority, _)| std::cmp::Reverse(*priority));
        let tasks: Vec<String> = tasks.into_iter().map(|(_, id)| id).collect();
        let key = layout.key(&format!("queue:{level}"), &format!("task_queue:priority:{level}"));
        keys.insert(key, (format!("list {tasks:?}"), None));
    }
    keys
}

/// Every key but the project and what daemons keep for themselves.
fn found(connection: &mut Connection) -> Keys {
    let texts = |value: Value| -> Vec<String> {
        match value {
            Value::Array(items) | Value::Set(items) => items.iter().map(|item| item.text().unwrap()).collect(),
            other => panic!("{other:?}"),
        }
    };
    let names = texts(connection.ok("KEYS *"));
    let mut keys = Keys::new();
    for key in names.into_iter().filter(|key| key != "p" && !key.starts_with("poppo:daemons:")) {
        let content = match connection.call(&["TYPE", &key]).text().unwrap().as_str() {
            "hash" => {
                let hash = connection.call(&["HGETALL", &key]);
                shown(&hash.fields().into_iter().map(|name| (name.clone(), hash.field(&name))).collect())
            }
            "set" => format!("set {:?}", BTreeSet::from_iter(texts(connection.call(&["SMEMBERS", &key])))),
            "list" => format!("list {:?}", texts(connection.call(&["LRANGE", &key, "0", "-1"]))),
            // It may have gone since it was listed.
            "string" => connection.call(&["GET", &key]).text().unwrap_or_default(),
            other => other.to_owned(),
        };
        let till = Some(connection.call(&["PEXPIRETIME", &key]).number()).filter(|till| *till >= 0);
        keys.insert(key, (content, till));
    }
    keys
}

/// Waits until the view is what it should be, to the last key, and nothing else is there.
#[track_caller]
fn settles(server: &Server, view: &'static str, when: &str) {
    let mut connection = server.connect();
    let start = Instant::now();
    loop {
        let (expected, found) = (expected(&mut connection, &Layout(view)), found(&mut connection));
        if expected == found {
            return;
        }
        if start.elapsed() > DEADLINE {
            let differs: Vec<_> = expected
                .keys()
                .chain(found.keys())
                .filter(|key| expected.get(*key) != found.get(*key))
                .map(|key| format!("{key}\n  should be {:?}\n  but is    {:?}", expected.get(key), found.get(key)))
                .collect();
            panic!("{when}:\n{}", differs.join("\n"));
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}

fn shows_any_history(view: &'static str) {
    let seed = seed(0x0f_0e_0d);
    println!("POPPO_SEED={seed}");
    let server = Server::start();
    let mut connection = server.connect();
    let mut history = History::new("p", seed);
    history.run(&mut connection, 300);
    let one = daemon(&server, view).start();
    settles(&server, view, "what was there before");
    for round in 0..3 {
        history.run(&mut connection, 200);
        settles(&server, view, &format!("round {round}"));
    }
    // While nobody keeps it, and while somebody is killed in the midst of it.
    one.kill9();
    history.run(&mut connection, 200);
    let two = daemon(&server, view).named("two").start();
    history.run(&mut connection, 100);
    two.kill9();
    let three = daemon(&server, view).named("three").start();
    settles(&server, view, "after two daemons were killed");
    wait_until("it is counted", || three.metric("poppo_view_rebuilds_total{project=\"p\"}") >= Some(1.0));
    assert!(connection.int("EXISTS p") == 1 && three.readiness().0);
}

#[test]
fn the_view_shows_any_history() {
    shows_any_history("poppo");
}

#[test]
fn the_bare_view_shows_any_history() {
    shows_any_history("bare");
}

#[test]
fn the_view_follows_a_project_that_goes_and_a_server_that_forgets() {
    let mut server = Server::builder().no_grace().durable().start();
    let _daemon = daemon(&server, "poppo").start();
    let mut connection = server.connect();
    for issue in 1..=20 {
        connection.ok(&format!("POPPO.CHECKOUT p {issue} w{issue}"));
    }
    connection.ok("POPPO.ENQUEUE p 30 PRIORITY high TITLE x");
    connection.ok("POPPO.CHECKIN p 1 w1 STATUS completed META a b");
    settles(&server, "poppo", "twenty issues");
    // The log keeps nothing, so that everything is compared each time.
    connection.ok("POPPO.CONFIG p SET events-kept 0");
    for issue in 2..=10 {
        connection.ok(&format!("POPPO.CHECKIN p {issue} w{issue} STATUS error"));
    }
    connection.ok("POPPO.FORGET p 2");
    settles(&server, "poppo", "without a log");
    // Without a word.
    connection.ok("POPPO.CONFIG p SET events-kept 1000");
    connection.ok("POPPO.CONFIG p SET issues-kept 3");
    connection.ok("POPPO.CHECKIN p 11 w11 STATUS error");
    settles(&server, "poppo", "with few issues kept");
    server.kill9();
    server.start_again();
    let mut connection = server.connect();
    connection.ok("POPPO.CHECKIN p 12 w12 STATUS error");
    settles(&server, "poppo", "after a crash of the server");
    connection.ok("DEL p");
    settles(&server, "poppo", "without a project");
    connection.ok("POPPO.CHECKOUT p 1 w1");
    settles(&server, "poppo", "with a new one");
    connection.ok("FLUSHALL");
    connection.ok("POPPO.CHECKOUT p 7 w7");
    settles(&server, "poppo", "after FLUSHALL");
}

#[test]
fn keys_that_are_not_the_views_stay_as_they_are() {
    let server = Server::start();
    let mut connection = server.connect();
    connection.ok("HSET p:issue:status:900 status completed checkedOutBy mirin-redis-ambassador");
    connection.ok("SET p:issue:metadata:1 mine");
    connection.ok("SET p:queue:normal mine");
    connection.ok("SET p:state:config mine");
    connection.ok("SET issue:1 mine");
    let daemon = daemon(&server, "poppo").start();
    connection.ok("POPPO.CHECKOUT p 1 w");
    connection.ok("POPPO.CHECKIN p 1 w STATUS completed META a b");
    connection.ok("POPPO.ENQUEUE p 2");
    wait_until("the rest is shown", || {
        connection.cmd("HGET p:issue:status:1 a").text().as_deref() == Some("b")
            && connection.int("EXISTS p:task:2:issue") == 1
    });
    connection.ok("POPPO.FORGET p 1");
    wait_until("it is gone", || connection.int("EXISTS p:issue:status:1") == 0);
    daemon.wait_for_log("holds something of another kind");
    for key in ["p:issue:metadata:1", "p:queue:normal", "p:state:config", "issue:1"] {
        assert_eq!(connection.text(&format!("GET {key}")), "mine", "{key}");
    }
    assert_eq!(connection.text("HGET p:issue:status:900 status"), "completed");
}

#[test]
fn one_daemon_keeps_the_view_and_another_goes_on() {
    let server = Server::start();
    let one = daemon(&server, "poppo").named("one").start();
    let two = daemon(&server, "poppo").named("two").start();
    let mut connection = server.connect();
    connection.ok("POPPO.CHECKOUT p 1 w");
    settles(&server, "poppo", "with two daemons");
    // It is counted when all is written.
    let rebuilds = |daemon: &Daemon| daemon.metric("poppo_view_rebuilds_total{project=\"p\"}").unwrap_or_default();
    wait_until("one of them is done", || rebuilds(&one) + rebuilds(&two) > 0.0);
    let (first, second) = if rebuilds(&one) > 0.0 { (one, two) } else { (two, one) };
    assert_eq!((rebuilds(&first), rebuilds(&second)), (1.0, 0.0), "only one of them keeps it");
    first.kill9();
    connection.ok("POPPO.CHECKOUT p 2 w");
    settles(&server, "poppo", "with the other one");
    wait_until("the other one is done", || rebuilds(&second) > 0.0);
    assert_eq!(rebuilds(&second), 1.0);
}

#[test]
fn the_doctor_says_that_nobody_keeps_a_view() {
    let server = Server::start();
    let checks = |server: &Server| -> BTreeMap<String, (String, String)> {
        let output = command::output(command::poppo(server, &["doctor", "--json"]));
        let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
        let checks = report["checks"].as_array().unwrap();
        checks.iter().map(|check| (text(&check["check"]), (text(&check["state"]), text(&check["message"])))).collect()
    };
    assert!(!checks(&server).contains_key("view"), "nobody wants one");
    let one = daemon(&server, "poppo").start();
    wait_until("it is kept", || checks(&server).get("view").is_some_and(|(state, _)| state == "ok"));
    assert_eq!(one.end(), Some(0));
    // As if that had been long ago.
    server.connect().ok("HSET poppo:daemons:{p}:view:poppo:signed at 1000");
    let (state, message) = checks(&server)["view"].clone();
    assert_eq!(state, "warning");
    assert!(message.contains("p:issue:status"), "{message}");
}

#[test]
fn a_cluster_has_no_view_and_says_so() {
    let cluster = Cluster::start(2, &Server::builder());
    let url = format!("redis+cluster://127.0.0.1:{}", cluster.node(0).port());
    let project = "[[project]]\nkey = \"p\"\nlegacy-view = \"poppo\"\n";
    let daemon = Daemon::of(cluster.node(0).dir(), &url).section(project).start();
    let (_, said) = daemon.readiness();
    let duties = said["duties"].as_array().unwrap();
    let view = duties.iter().find(|duty| duty["duty"] == "view").unwrap();
    assert_eq!(view["state"], "off", "{said}");
    assert!(view["reason"].as_str().unwrap().contains("slots"), "{said}");
    // The requests are answered all the same.
    let mut hears = cluster.node(1).connect_with(poppo_tests::Protocol::Resp2);
    hears.call(&["SUBSCRIBE", "mirin-responses"]);
    let request = r#"{"requestId":"r","action":"checkout_issue","processId":"w","issueNumber":1}"#;
    cluster.node(1).connect().call(&["PUBLISH", "mirin-requests", request]);
    let answer = hears.message().rows()[2].text().unwrap();
    assert!(answer.contains("\"success\":true"), "{answer}");
    let mut command = command::bare(cluster.node(0).dir());
    command.args(["--url", &url, "--project", "p", "get", "1"]);
    assert_eq!(json(command)["process"], "w");
}

#[test]
fn two_bare_views_of_one_server_are_refused() {
    let server = Server::start();
    let both = ["a", "b"].map(|key| format!("[[project]]\nkey = \"{key}\"\nlegacy-view = \"bare\"\n")).concat();
    let mut command = Daemon::builder(&server).section(&both).command();
    let output = command.arg("--check").output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("legacy-view: projects a and b are both \"bare\""), "{said}");
}
