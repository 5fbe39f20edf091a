//! The daemon as older programs see it: requests and answers over pub/sub, once each, whatever becomes of a daemon.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "in a test a panic is the report"
)]

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::process::{Child, Command, Stdio};

use poppo_tests::command::signal;
use poppo_tests::daemon::{Builder, Daemon};
use poppo_tests::{Connection, Protocol, Reply as _, Server, artifacts, wait_until};
use rustix::process::Signal;
use serde_json::{Value, json};

/// The two pairs of channels that all older programs know.
const PAIRS: [(&str, &str); 2] =
    [("poppo:channel:mirin:requests", "poppo:channel:mirin:responses"), ("mirin-requests", "mirin-responses")];

/// The project `poppo`, with a view of the first layout. Nobody here looks after PIDs, which are made up.
const CONFIGURATION: &str =
    "[duties]\nliveness = false\nrepair = false\n[[project]]\nkey = \"poppo\"\nlegacy-view = \"poppo\"\n";

fn daemon(server: &Server) -> Builder {
    Daemon::builder(server).section(CONFIGURATION)
}

/// A program that speaks the older protocol.
struct Older {
    asks: Connection,
    hears: Connection,
    requests: &'static str,
    process: String,
    count: u32,
}

impl Older {
    fn new(server: &Server, pair: (&'static str, &str), process: &str) -> Self {
        let mut hears = server.connect_with(Protocol::Resp2);
        hears.call(&["SUBSCRIBE", pair.1]);
        Self { asks: server.connect(), hears, requests: pair.0, process: process.to_owned(), count: 0 }
    }

    /// Sends a request, and answers its id.
    fn send(&mut self, action: &str, fields: Value) -> String {
        self.count += 1;
        let id = format!("{}-{}", self.process, self.count);
        let mut request = json!({
            "requestId": id, "action": action, "processId": self.process, "pid": std::process::id(),
            "timestamp": "2025-06-19T10:00:00.000Z",
        });
        request.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        self.publish(&request.to_string());
        id
    }

    fn publish(&mut self, message: &str) {
        assert!(self.asks.call(&["PUBLISH", self.requests, message]).number() > 0, "nobody listens");
    }

    /// The next answer to anybody.
    fn hear(&mut self) -> Value {
        let message = self.hears.message();
        serde_json::from_str(&message.rows()[2].text().unwrap()).unwrap()
    }

    fn ask(&mut self, action: &str, fields: Value) -> Value {
        let id = self.send(action, fields);
        loop {
            let answer = self.hear();
            if answer["requestId"] == id.as_str() {
                return answer;
            }
        }
    }

    fn granted(&mut self, action: &str, fields: Value) -> Value {
        let answer = self.ask(action, fields);
        assert_eq!(answer["success"], true, "{answer}");
        assert!(answer["timestamp"].as_str().unwrap().ends_with('Z'), "{answer}");
        answer
    }

    fn refused(&mut self, action: &str, fields: Value) -> String {
        let answer = self.ask(action, fields);
        assert_eq!(answer["success"], false, "{answer}");
        answer["error"].as_str().unwrap().to_owned()
    }

    /// Nothing more comes: the answer to one more request is the next thing that is heard.
    fn assert_silent(&mut self) {
        let id = self.send("list_processing_issues", json!({}));
        let next = self.hear();
        assert_eq!(next["requestId"], id.as_str(), "{next}");
    }
}

fn hash(connection: &mut Connection, key: &str) -> BTreeMap<String, String> {
    let value = connection.call(&["HGETALL", key]);
    value.fields().into_iter().map(|name| (name.clone(), value.field(&name))).collect()
}

fn members(connection: &mut Connection, key: &str) -> Vec<String> {
    let mut members: Vec<String> = match connection.call(&["SMEMBERS", key]) {
        redis::Value::Set(members) | redis::Value::Array(members) => members.iter().filter_map(|m| m.text()).collect(),
        other => panic!("{other:?}"),
    };
    members.sort();
    members
}

fn each_action_is_answered_and_is_in_the_view_by_then(pair: (&'static str, &str)) {
    let server = Server::start();
    let _daemon = daemon(&server).start();
    let mut connection = server.connect();
    let mut one = Older::new(&server, pair, "issue-100-poppo");
    let mut two = Older::new(&server, pair, "issue-101-poppo");
    let pid = std::process::id().to_string();

    // They beat before they have anything.
    let beat = one.granted("heartbeat", json!({}));
    assert_eq!((&beat["processId"], &beat["ttl"]), (&json!("issue-100-poppo"), &json!(1800)));
    assert_eq!(connection.text("GET poppo:process:heartbeat:issue-100-poppo"), "alive");

    let answer = one.granted("checkout_issue", json!({"issueNumber": 100, "taskType": "dogfooding"}));
    assert_eq!((&answer["issueNumber"], &answer["status"]), (&json!(100), &json!("processing")));
    assert_eq!(answer["processId"], "issue-100-poppo");
    let issue = hash(&mut connection, "poppo:issue:status:100");
    let expected = [
        ("checkedOutBy", "poppo"),
        ("pid", &pid),
        ("processId", "issue-100-poppo"),
        ("status", "processing"),
        ("taskType", "dogfooding"),
    ];
    for (name, value) in expected {
        assert_eq!(issue[name], value, "{name}");
    }
    assert_eq!((issue.len(), &issue["startTime"]), (7, &issue["lastUpdate"]));
    let process = hash(&mut connection, "poppo:process:info:issue-100-poppo");
    assert_eq!((process["issueNumber"].as_str(), process["status"].as_str()), ("100", "active"));
    assert_eq!(process["pid"], pid);
    assert!(process.contains_key("host") && process.contains_key("lastSeen"), "{process:?}");
    assert_eq!(members(&mut connection, "poppo:issues:processing"), ["100"]);
    assert_eq!(members(&mut connection, "poppo:processes:active"), ["issue-100-poppo"]);
    assert!((1700..=1800).contains(&connection.int("TTL poppo:process:heartbeat:issue-100-poppo")));
    assert_eq!(connection.int("TTL poppo:process:info:issue-100-poppo"), -1);
    // PID and host are there for whoever watches them.
    let held = connection.ok("POPPO.GET poppo 100");
    assert_eq!((held.count("pid").to_string(), held.count("ttl")), (pid, 1_800_000));
    assert_eq!(held.field("host"), process["host"]);

    // The same again is the same lease, and who else asks is told who has it.
    let again = one.granted("checkout_issue", json!({"issueNumber": "100", "taskType": "dogfooding"}));
    assert_eq!(again["token"], answer["token"]);
    let refusal = two.refused("checkout_issue", json!({"issueNumber": 100, "taskType": "misc"}));
    assert_eq!(refusal, "Issue #100 is already being processed by issue-100-poppo");
    let refusal = two.refused("checkin_issue", json!({"issueNumber": 100, "finalStatus": "completed"}));
    assert_eq!(refusal, "Issue #100 is not checked out by process issue-101-poppo");
    let refusal = two.refused("checkin_issue", json!({"issueNumber": 999, "finalStatus": "completed"}));
    assert_eq!(refusal, "Issue #999 is not checked out by process issue-101-poppo");
    assert_eq!(two.refused("fly", json!({})), "Unknown action: fly");

    two.granted("checkout_issue", json!({"issueNumber": 101, "taskType": "quality"}));
    let list = one.granted("list_processing_issues", json!({}));
    assert_eq!(list["count"], 2);
    assert_eq!(
        (&list["issues"][0]["issueNumber"], &list["issues"][0]["taskType"]),
        (&json!(100), &json!("dogfooding"))
    );
    assert_eq!(
        (&list["issues"][1]["issueNumber"], &list["issues"][1]["processId"]),
        (&json!(101), &json!("issue-101-poppo"))
    );
    let beat = one.granted("heartbeat", json!({}));
    assert_eq!(beat["issues"], json!([100]));

    let answer = one.granted(
        "checkin_issue",
        json!({"issueNumber": 100, "finalStatus": "completed", "metadata": {"duration": 1500, "result": "success", "status": "x"}}),
    );
    assert_eq!((&answer["issueNumber"], &answer["finalStatus"]), (&json!(100), &json!("completed")));
    let issue = hash(&mut connection, "poppo:issue:status:100");
    assert_eq!(
        (issue["status"].as_str(), issue["duration"].as_str(), issue["result"].as_str()),
        ("completed", "1500", "success")
    );
    assert_eq!(issue["endTime"], issue["lastUpdate"]);
    let metadata = hash(&mut connection, "poppo:issue:metadata:100");
    assert_eq!((metadata["duration"].as_str(), metadata["status"].as_str()), ("1500", "x"));
    let process = hash(&mut connection, "poppo:process:info:issue-100-poppo");
    assert_eq!((process["status"].as_str(), process["finalStatus"].as_str()), ("completed", "completed"));
    assert_eq!(process["endTime"], issue["endTime"]);
    assert_eq!(members(&mut connection, "poppo:issues:processing"), ["101"]);
    assert_eq!(members(&mut connection, "poppo:issues:processed"), ["100"]);
    assert_eq!(members(&mut connection, "poppo:processes:active"), ["issue-101-poppo"]);
    // The same again is harmless; something else is not the same.
    one.granted("checkin_issue", json!({"issueNumber": 100, "finalStatus": "completed"}));
    let refusal = one.refused("checkin_issue", json!({"issueNumber": 100, "finalStatus": "error"}));
    assert_eq!(refusal, "Issue #100 is not checked out by process issue-100-poppo");

    let status = two.granted("get_issue_status", json!({"issueNumber": 100}));
    assert_eq!(status["status"], json!(issue));
    assert_eq!(status["metadata"], json!(metadata));
    let unknown = two.granted("get_issue_status", json!({"issueNumber": 4711}));
    assert_eq!((&unknown["status"], &unknown["metadata"]), (&json!({}), &json!({})));

    let cleaned = two.granted("cleanup_process", json!({}));
    assert_eq!((&cleaned["processId"], &cleaned["issueNumber"]), (&json!("issue-101-poppo"), &json!(101)));
    let issue = hash(&mut connection, "poppo:issue:status:101");
    assert_eq!((issue["status"].as_str(), issue["error"].as_str()), ("error", "Process cleanup requested"));
    for key in ["poppo:process:info:issue-101-poppo", "poppo:process:heartbeat:issue-101-poppo"] {
        assert_eq!(connection.int(&format!("EXISTS {key}")), 0, "{key}");
    }
    let nobody = json!({"processId": "nobody"});
    assert_eq!(two.granted("cleanup_process", nobody)["message"], "Process not found or already cleaned up");
}

#[test]
fn each_action_is_answered_on_the_channels_with_a_prefix() {
    each_action_is_answered_and_is_in_the_view_by_then(PAIRS[0]);
}

#[test]
fn each_action_is_answered_on_the_bare_channels() {
    each_action_is_answered_and_is_in_the_view_by_then(PAIRS[1]);
}

#[test]
fn what_is_malformed_is_answered_if_it_can_be_and_harms_nobody() {
    let server = Server::start();
    let daemon = daemon(&server).start();
    let mut older = Older::new(&server, PAIRS[0], "w");
    let wrong = [
        ("checkout_issue", json!({}), "issueNumber must be an integer from 1 to 9007199254740991"),
        ("checkout_issue", json!({"issueNumber": -1}), "issueNumber must be"),
        ("checkout_issue", json!({"issueNumber": 1, "processId": "a b"}), "processId must be"),
        ("checkout_issue", json!({"issueNumber": 1, "processId": null}), "processId must be"),
        ("checkout_issue", json!({"issueNumber": 1, "pid": "x"}), "pid must be"),
        ("checkout_issue", json!({"issueNumber": 1, "taskType": "a\nb"}), "TYPE must be"),
        ("checkout_issue", json!({"issueNumber": 1, "taskType": ["fix"]}), "taskType must be a text"),
        ("checkin_issue", json!({"issueNumber": 1, "finalStatus": "done"}), "finalStatus must be completed"),
        ("checkin_issue", json!({"issueNumber": 1, "finalStatus": "error", "metadata": 7}), "metadata must be"),
        ("", json!({}), "Unknown action: "),
        ("x", json!({"action": {"$ne": 1}}), "Unknown action: {\"$ne\":1}"),
    ];
    for (action, fields, expected) in wrong {
        let refusal = older.refused(action, fields.clone());
        assert!(refusal.starts_with(expected), "{action} {fields}: {refusal}");
    }
    // Too much of one thing, and too much of everything.
    older.granted("checkout_issue", json!({"issueNumber": 1}));
    let much = json!({"issueNumber": 1, "finalStatus": "error", "metadata": {"log": "x".repeat(70_000)}});
    assert!(older.refused("checkin_issue", much).contains("65536"));
    let more = json!({"issueNumber": 1, "finalStatus": "error", "metadata": {"log": "x".repeat(3 << 20)}});
    let id = {
        older.count += 1;
        format!("w-{}", older.count)
    };
    older.publish(&format!("{{\"requestId\":\"{id}\",\"action\":\"checkin_issue\",\"more\":{more}}}"));
    let answer = older.hear();
    assert_eq!((&answer["requestId"], &answer["success"]), (&json!(id), &json!(false)));
    assert!(answer["error"].as_str().unwrap().contains("bytes long"), "{answer}");
    // What nobody can be answered for.
    for message in
        ["", "{", "[]", "null", "\u{0}", "{\"action\":\"checkout_issue\"}", "{\"requestId\":[1],\"action\":\"x\"}"]
    {
        older.publish(message);
    }
    older.publish(&"[".repeat(1_000_000));
    older.assert_silent();
    assert_eq!(
        daemon.metric("poppo_ambassador_requests_total{project=\"poppo\",action=\"unknown\",result=\"malformed\"}"),
        Some(19.0)
    );
    // Numbers are ids, too, and some beat without asking for an answer.
    older.publish("{\"requestId\":7,\"action\":\"list_processing_issues\"}");
    assert_eq!(older.hear()["requestId"], 7);
    older.publish("{\"action\":\"heartbeat\",\"processId\":\"w\",\"pid\":1}");
    older.assert_silent();
    assert_eq!(server.connect().ok("POPPO.STATS poppo").count("heartbeats"), 1);
    assert!(daemon.readiness().0);
}

#[test]
fn a_request_that_comes_twice_is_done_once_and_answered_the_same() {
    let server = Server::start();
    let _daemon = daemon(&server).start();
    let mut older = Older::new(&server, PAIRS[0], "w");
    let request = json!({"requestId": "r", "action": "checkout_issue", "processId": "w", "issueNumber": 5});
    let back = json!({"requestId": "s", "action": "checkin_issue", "processId": "w", "issueNumber": 5, "finalStatus": "completed"});
    older.publish(&request.to_string());
    let first = older.hear();
    assert_eq!(first["success"], true);
    older.publish(&back.to_string());
    assert_eq!(older.hear()["success"], true);
    // Long after it was given back.
    older.publish(&request.to_string());
    assert_eq!(older.hear(), first);
    assert_eq!(server.connect().ok("POPPO.GET poppo 5").field("status"), "completed");
    // Another request under the same id is another one.
    older.publish(&request.to_string().replace("\"w\"", "\"v\""));
    assert_eq!(older.hear()["processId"], "v");
    older.assert_silent();
}

#[test]
fn a_pid_of_another_host_is_not_taken_for_one_of_this() {
    let server = Server::start();
    let _daemon = daemon(&server).start();
    let mut older = Older::new(&server, PAIRS[0], "w");
    older.granted("checkout_issue", json!({"issueNumber": 1, "pid": 2_147_483_647}));
    assert!(server.connect().ok("POPPO.GET poppo 1").get("host").is_none());
    older.granted("checkout_issue", json!({"issueNumber": 2, "processId": "v", "pid": 2_147_483_647, "host": "there"}));
    assert_eq!(server.connect().ok("POPPO.GET poppo 2").field("host"), "there");
}

/// How often each request was answered, until the last one was.
fn answers_until(older: &mut Older, last: &str) -> BTreeMap<String, usize> {
    let mut answers: BTreeMap<String, usize> = BTreeMap::new();
    loop {
        let answer = older.hear();
        assert_eq!(answer["success"], true, "{answer}");
        let id = answer["requestId"].as_str().unwrap().to_owned();
        *answers.entry(id.clone()).or_default() += 1;
        if id == last {
            return answers;
        }
    }
}

/// The daemon that is on the seat, and the other one.
fn by_seat(server: &Server, one: Daemon, two: Daemon) -> (Daemon, Daemon) {
    let mut connection = server.connect();
    let mut pid = 0;
    wait_until("one of them has the seat", || {
        let lease = connection.ok("POPPO.GET poppo:daemons:{poppo} 1");
        pid = lease.get("pid").map_or(0, poppo_tests::Reply::number);
        [&one, &two].iter().any(|daemon| i64::from(daemon.child().id()) == pid)
    });
    if i64::from(one.child().id()) == pid { (one, two) } else { (two, one) }
}

#[test]
fn two_daemons_answer_each_request_once_also_when_one_is_killed() {
    let server = Server::start();
    let one = daemon(&server).named("one").start();
    let two = daemon(&server).named("two").start();
    let (first, second) = by_seat(&server, one, two);
    let mut older = Older::new(&server, PAIRS[0], "w");
    let mut ids: Vec<String> =
        (1..=150).map(|issue| older.send("checkout_issue", json!({"issueNumber": issue}))).collect();
    first.kill9();
    ids.extend(
        (1..=150).map(|issue| older.send("checkin_issue", json!({"issueNumber": issue, "finalStatus": "completed"}))),
    );
    let answers = answers_until(&mut older, ids.last().unwrap());
    for id in &ids {
        assert_eq!(answers.get(id), Some(&1), "{id}");
    }
    older.assert_silent();
    assert_eq!(server.connect().ok("POPPO.STATS poppo").count("checkouts"), 150);
    assert_eq!(second.metric("poppo_duty_up{project=\"poppo\",duty=\"ambassador\"}"), Some(1.0));
}

#[test]
fn nothing_is_lost_or_done_twice_while_daemons_come_and_go() {
    let server = Server::start();
    let one = daemon(&server).named("one").start();
    let two = daemon(&server).named("two").start();
    let (mut first, mut second) = by_seat(&server, one, two);
    let mut older = Older::new(&server, PAIRS[0], "w");
    for round in 0..4 {
        let issues = round * 40 + 1..=round * 40 + 40;
        let mut ids: Vec<String> =
            issues.clone().map(|issue| older.send("checkout_issue", json!({"issueNumber": issue}))).collect();
        // In the midst of them, wherever it is by then: each time a little later.
        for _ in 0..round * 8 {
            older.asks.ok("PING");
        }
        first.kill9();
        let back = |issue| json!({"issueNumber": issue, "finalStatus": "completed"});
        ids.extend(issues.map(|issue| older.send("checkin_issue", back(issue))));
        let next = daemon(&server).named(&format!("{round}")).start();
        // The one that heard all of them is killed next, so they are to be done by then.
        let answers = answers_until(&mut older, ids.last().unwrap());
        for id in &ids {
            assert_eq!(answers.get(id), Some(&1), "{id}");
        }
        (first, second) = by_seat(&server, second, next);
    }
    older.assert_silent();
    // By the server's own log.
    let mut events: BTreeMap<(i64, String), usize> = BTreeMap::new();
    for event in server.connect().ok("POPPO.EVENTS poppo AFTER 0 COUNT 10000").rows() {
        *events.entry((event.count("issue"), event.field("event"))).or_default() += 1;
    }
    assert_eq!(events.len(), 320);
    assert!(events.values().all(|times| *times == 1), "{events:?}");
    assert!(second.readiness().0);
}

#[test]
fn what_only_one_heard_that_is_not_on_the_seat_is_passed_on() {
    let server = Server::start();
    let one = daemon(&server).named("one").start();
    let two = daemon(&server).named("two").start();
    let (first, second) = by_seat(&server, one, two);
    let mut older = Older::new(&server, PAIRS[0], "w");
    signal(second.child(), Signal::STOP);
    first.kill9();
    let ids: Vec<String> = (1..=5).map(|issue| older.send("checkout_issue", json!({"issueNumber": issue}))).collect();
    let third = daemon(&server).named("three").start();
    let (third, second) = by_seat(&server, third, second);
    signal(second.child(), Signal::CONT);
    let answers = answers_until(&mut older, ids.last().unwrap());
    assert!(ids.iter().all(|id| answers.get(id) == Some(&1)), "{answers:?}");
    older.assert_silent();
    let label = "project=\"poppo\",action=\"any\",result=\"forwarded\"";
    // Counted when all were passed on; the first may be answered by then.
    let metric = format!("poppo_ambassador_requests_total{{{label}}}");
    wait_until("they are counted", || second.metric(&metric) >= Some(5.0));
    assert!(third.readiness().0);
}

#[test]
fn at_maxmemory_what_is_held_can_be_given_back() {
    let server = Server::start();
    let daemon = daemon(&server).start();
    let mut older = Older::new(&server, PAIRS[0], "w");
    older.granted("checkout_issue", json!({"issueNumber": 1}));
    server.connect().ok("CONFIG SET maxmemory 1");
    let refusal = older.refused("checkout_issue", json!({"issueNumber": 2}));
    assert!(refusal.starts_with("OOM"), "{refusal}");
    older.granted("heartbeat", json!({}));
    older.granted("checkin_issue", json!({"issueNumber": 1, "finalStatus": "completed"}));
    assert_eq!(server.connect().ok("POPPO.GET poppo 1").field("status"), "completed");
    wait_until("it says that the view is behind", || !daemon.readiness().0);
    server.connect().ok("CONFIG SET maxmemory 0");
    daemon.wait_until_ready();
    let mut connection = server.connect();
    wait_until("the view shows it", || {
        connection.cmd("HGET poppo:issue:status:1 status").text().as_deref() == Some("completed")
    });
    older.assert_silent();
}

#[test]
fn a_daemon_that_may_not_take_the_seat_says_so() {
    let server = Server::start();
    let mut connection = server.connect();
    connection.ok("ACL SETUSER d on >pw ~poppo &* +@all");
    let url = format!("redis://d:pw@127.0.0.1:{}", server.port());
    let daemon = Daemon::of(server.dir(), &url).section(CONFIGURATION).launch();
    daemon.wait_for_log("NOPERM");
    assert!(!daemon.readiness().0);
    connection.ok("ACL SETUSER d ~poppo:*");
    daemon.wait_until_ready();
}

#[test]
fn a_daemon_that_was_stopped_for_a_while_answers_nothing_again() {
    let server = Server::start();
    let one = daemon(&server).named("one").start();
    let two = daemon(&server).named("two").start();
    let (first, _second) = by_seat(&server, one, two);
    let mut older = Older::new(&server, PAIRS[0], "w");
    signal(first.child(), Signal::STOP);
    let ids: Vec<String> = (1..=50).map(|issue| older.send("checkout_issue", json!({"issueNumber": issue}))).collect();
    let last = older.send("list_processing_issues", json!({}));
    let answers = answers_until(&mut older, &last);
    older.granted("checkin_issue", json!({"issueNumber": 1, "finalStatus": "completed"}));
    signal(first.child(), Signal::CONT);
    // It has heard all of them, and does none once it knows that it is late.
    first.wait_for_log("does not serve the older programs any more");
    assert!(ids.iter().all(|id| answers.get(id) == Some(&1)), "{answers:?}");
    older.assert_silent();
    assert_eq!(server.connect().ok("POPPO.GET poppo 1").field("status"), "completed");
}

#[test]
fn a_daemon_that_ends_hands_over_at_once_and_one_that_lost_its_server_listens_again() {
    let mut server = Server::builder().no_grace().durable().start();
    let one = daemon(&server).named("one").start();
    let two = daemon(&server).named("two").start();
    let (first, second) = by_seat(&server, one, two);
    let mut older = Older::new(&server, PAIRS[1], "w");
    older.granted("checkout_issue", json!({"issueNumber": 1}));
    assert_eq!(first.end(), Some(0));
    older.granted("checkout_issue", json!({"issueNumber": 2}));

    server.kill9();
    wait_until("it says that it hears nothing", || !second.readiness().0);
    server.start_again();
    second.wait_until_ready();
    let mut older = Older::new(&server, PAIRS[1], "w");
    older.count = 100;
    let list = older.granted("list_processing_issues", json!({}));
    assert_eq!(list["count"], 2);
    older.granted("checkin_issue", json!({"issueNumber": 2, "finalStatus": "error"}));
    older.assert_silent();
}

#[test]
fn other_projects_have_channels_of_their_own_name() {
    let server = Server::start();
    let project = "[[project]]\nkey = \"acme/widgets\"\nlegacy-view = \"poppo\"\n";
    let _daemon = daemon(&server).section(project).start();
    let pair = ("acme/widgets:channel:mirin:requests", "acme/widgets:channel:mirin:responses");
    let mut older = Older::new(&server, pair, "w");
    older.granted("checkout_issue", json!({"issueNumber": 1}));
    let mut connection = server.connect();
    assert_eq!(connection.ok("POPPO.GET acme/widgets 1").field("process"), "w");
    assert_eq!(connection.int("EXISTS acme/widgets:issue:status:1 poppo:issue:status:1"), 1);
}

/// A Node program of `tests/clients`, with ioredis 5. It ends with its test.
struct Node {
    child: Child,
    said: std::path::PathBuf,
}

impl Node {
    /// None where its library cannot be had.
    fn start(server: &Server, program: &str, arguments: &[&str]) -> Option<Self> {
        let folder = match artifacts::clients() {
            Ok(folder) => folder,
            Err(why) => {
                assert!(std::env::var_os("POPPO_REQUIRE_CLIENTS").is_none(), "{why}");
                eprintln!("skipped, since ioredis cannot be had: {why}");
                return None;
            }
        };
        let (link, file) = (server.dir().join("node_modules"), server.dir().join(program));
        if !link.exists() {
            std::os::unix::fs::symlink(folder.join("node_modules"), link).unwrap();
        }
        fs::copy(artifacts::workspace().join("tests/clients").join(program), &file).unwrap();
        let said = server.dir().join(format!("{program}.said"));
        let out = File::create(&said).unwrap();
        let child = Command::new("node")
            .arg(file)
            .args(arguments)
            .env("REDIS_PORT", server.port().to_string())
            .current_dir(server.dir())
            .stdin(Stdio::null())
            .stdout(out.try_clone().unwrap())
            .stderr(out)
            .spawn()
            .unwrap();
        Some(Self { child, said })
    }

    fn said(&self) -> String {
        fs::read_to_string(&self.said).unwrap()
    }

    /// Waits until it has ended, as it should.
    fn succeeded(&mut self) {
        let mut status = None;
        wait_until("the program has ended", || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        assert!(status.unwrap().success(), "{}", self.said());
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

#[test]
fn a_node_program_with_the_prefixed_channels_sees_its_own_writes() {
    let server = Server::start();
    let _daemon = daemon(&server).start();
    let Some(mut node) = Node::start(&server, "state-client.mjs", &["poppo"]) else { return };
    node.succeeded();
    assert!(node.said().contains("all is well"), "{}", node.said());
}

#[test]
fn a_node_program_of_the_oldest_kind_sees_its_own_writes() {
    let server = Server::start();
    let configuration =
        CONFIGURATION.replace("\"poppo\"\nlegacy-view = \"poppo\"", "\"poppo\"\nlegacy-view = \"bare\"");
    let _daemon = Daemon::builder(&server).section(&configuration).start();
    let Some(mut node) = Node::start(&server, "mirin-client.mjs", &[]) else { return };
    node.succeeded();
    assert!(node.said().contains("all is well"), "{}", node.said());
}
