//! `poppo doctor` before servers that lack something.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "in a test a panic is the report"
)]

use std::process::Command;

use poppo_tests::command::{bare, output, poppo};
use poppo_tests::{Builder, Server, artifacts, wait_until};
use serde_json::Value;

/// What it finds: its exit code and the document.
#[track_caller]
fn examine(mut command: Command) -> (i32, Value) {
    // Check-ins of whoever runs the tests are none of theirs.
    let folder = command.get_current_dir().unwrap().join("spool");
    let output = output({
        command.arg("--json").env("POPPO_SPOOL", folder);
        command
    });
    assert!(output.stderr.is_empty(), "{output:?}");
    let document = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"));
    (output.status.code().unwrap(), document)
}

fn of(server: &Server) -> (i32, Value) {
    examine(poppo(server, &["doctor"]))
}

/// The state of a check, its message, and how to mend it.
#[track_caller]
fn check(document: &Value, name: &str) -> (String, String, String) {
    let checks = document["checks"].as_array().unwrap();
    let found = checks.iter().find(|check| check["check"] == name).unwrap_or_else(|| panic!("no {name}: {document:#}"));
    let word = |field: &str| found[field].as_str().unwrap_or_default().to_owned();
    (word("state"), word("message"), word("mend"))
}

#[track_caller]
fn assert_check(document: &Value, name: &str, state: &str, said: &str, mend: &str) {
    let (found, message, mended) = check(document, name);
    assert_eq!(found, state, "{name}: {message}");
    assert!(message.contains(said), "{name}: {message}");
    assert!(mended.contains(mend), "{name}: {mended}");
}

fn healthy() -> Builder {
    Server::builder().no_grace().durable()
}

#[test]
fn a_server_in_good_order_passes_every_check() {
    let server = healthy().start();
    let (code, document) = of(&server);
    assert_eq!((code, document["state"].as_str()), (0, Some("ok")), "{document:#}");
    for name in ["server", "module", "persistence", "eviction", "replication", "clock", "access", "applied", "project"]
    {
        assert_eq!(check(&document, name).0, "ok", "{name}");
    }
    server.connect().ok("POPPO.CHECKOUT p 1 w");
    let before = server.connect().dump("p");
    let (code, document) = of(&server);
    assert_eq!((code, document["state"].as_str()), (0, Some("ok")), "{document:#}");
    assert!(server.connect().dump("p") == before, "it changed the project");
    assert_eq!(server.connect().info("poppo", "poppo_refused_err"), "0", "it was tried what could be asked");

    let text = String::from_utf8(output(poppo(&server, &["doctor"])).stdout).unwrap();
    assert!(text.lines().next().unwrap().starts_with("ok       server       "), "{text}");
    assert!(text.trim_end().ends_with("0 failed") && !text.contains('\x1b'), "{text}");
}

#[test]
fn a_policy_that_evicts_fails() {
    let server = healthy().arg("maxmemory-policy", "allkeys-lru").start();
    let (code, document) = of(&server);
    assert_eq!((code, document["state"].as_str()), (1, Some("failed")));
    let mend = format!("redis-cli -h 127.0.0.1 -p {} CONFIG SET maxmemory-policy noeviction", server.port());
    assert_check(&document, "eviction", "failed", "allkeys-lru", &mend);
    server.connect().ok("CONFIG SET maxmemory-policy volatile-ttl");
    let (code, document) = of(&server);
    assert_eq!(code, 0);
    assert_check(&document, "eviction", "warning", "volatile-ttl", "noeviction");
    let text = String::from_utf8(output(poppo(&server, &["doctor"])).stdout).unwrap();
    assert!(text.contains("warning  eviction") && text.contains("mend: redis-cli -h 127.0.0.1"), "{text}");
}

#[test]
fn a_server_that_writes_nothing_down_fails_and_one_with_snapshots_only_is_a_warning() {
    let server = Server::builder().start();
    let (code, document) = of(&server);
    assert_eq!(code, 1);
    assert_check(&document, "persistence", "failed", "a restart loses every project", "CONFIG SET appendonly yes");
    let mut connection = server.connect();
    connection.ok("CONFIG SET save '3600 1'");
    assert_check(&of(&server).1, "persistence", "warning", "since the last snapshot", "appendonly yes");
    connection.ok("CONFIG SET appendonly yes");
    connection.ok("CONFIG SET appendfsync no");
    assert_check(&of(&server).1, "persistence", "warning", "appendfsync no", "CONFIG SET appendfsync everysec");
    connection.ok("CONFIG SET appendfsync everysec");
    assert_check(&of(&server).1, "persistence", "ok", "within a second", "");
}

#[test]
fn a_server_without_the_module_fails_and_the_rest_is_checked_all_the_same() {
    let server = Server::plain().arg("appendonly", "yes").start();
    let (code, document) = of(&server);
    assert_eq!(code, 1);
    assert_check(&document, "module", "failed", "not loaded", "--loadmodule");
    for name in ["server", "persistence", "eviction", "replication", "clock"] {
        assert_eq!(check(&document, name).0, "ok", "{name}");
    }
}

#[test]
fn no_server_and_a_wrong_password_are_findings_and_a_senseless_url_is_a_usage_error() {
    let server = healthy().arg("requirepass", "\"\"").start();
    let mut connection = server.connect();
    connection.ok("ACL SETUSER worker on >right ~* +@all");
    connection.ok("CONFIG SET requirepass secret");
    let at = |url: String| {
        let mut command = bare(server.dir());
        command.args(["--url", &url, "doctor"]);
        command
    };
    let place = format!("127.0.0.1:{}", server.port());
    for url in [format!("redis://{place}"), format!("redis://worker:wrong@{place}"), format!("redis://:wrong@{place}")]
    {
        let (code, document) = examine(at(url));
        assert_eq!(code, 1);
        let (state, message, mend) = check(&document, "server");
        assert!(state == "failed" && mend.contains("PASSWORD"), "{message}; {mend}");
        assert!(!document.to_string().contains("wrong"), "{document:#}");
    }
    let (code, document) = examine(at(format!("redis://worker:right@{place}")));
    assert_eq!((code, document["state"].as_str()), (0, Some("ok")), "{document:#}");
    assert!(!document.to_string().contains("right@"), "{document:#}");
    connection.ok("CONFIG SET requirepass ''");

    let closed = Server::plain().start();
    let url = closed.url();
    drop(closed);
    let (code, document) = examine(at(url));
    assert_eq!(code, 1);
    assert_check(&document, "server", "failed", "cannot reach", "poppo up");
    assert_eq!(document["checks"].as_array().unwrap().len(), 1);

    let senseless = output(at("gopher://nowhere".to_owned()));
    assert_eq!(senseless.status.code(), Some(2), "{senseless:?}");
}

#[test]
fn what_a_user_may_not_do_is_named() {
    let server = healthy().start();
    let mut connection = server.connect();
    let as_user = |name: &str| {
        let mut command = bare(server.dir());
        let url = format!("redis://{name}:pw@127.0.0.1:{}", server.port());
        command.args(["--url", &url, "--project", "acme/p", "doctor"]);
        examine(command)
    };
    // One may ask what it may do, the other finds out by trying.
    connection.ok("ACL SETUSER asks on >pw ~acme/* +@all -poppo.evict");
    connection.ok("ACL SETUSER tries on >pw ~acme/* +@all -poppo.evict -acl|dryrun");
    for name in ["asks", "tries"] {
        let (code, document) = as_user(name);
        assert_eq!(code, 0, "{document:#}");
        let mend = format!("ACL SETUSER {name} +poppo.evict ");
        assert_check(&document, "access", "warning", &format!("{name} may not run POPPO.EVICT on acme/p"), &mend);
    }
    assert_eq!(connection.int("EXISTS acme/p"), 0, "what it tried changed something");

    connection.ok("ACL SETUSER looks on >pw ~acme/* +@connection +info +time +acl|whoami +config|get +poppo.list");
    let (code, document) = as_user("looks");
    assert_eq!(code, 1);
    assert_check(&document, "access", "failed", "POPPO.CHECKOUT, POPPO.CHECKIN", "+poppo.checkout +poppo.checkin");
    assert!(!check(&document, "access").1.contains("POPPO.LIST"));

    connection.ok("ACL SETUSER elsewhere on >pw ~other/* +@all");
    let (code, document) = as_user("elsewhere");
    assert_eq!(code, 1);
    assert_check(&document, "access", "failed", "POPPO.CHECKOUT", "ACL SETUSER elsewhere ~acme/p ");

    // The worker of redis.conf.example: what it is not told is said, and nothing fails for that.
    let example = std::fs::read_to_string(artifacts::workspace().join("redis.conf.example")).unwrap();
    let rules = example.lines().find_map(|line| line.strip_prefix("# user worker ")).unwrap();
    connection.ok(&format!("ACL SETUSER worker {}", rules.replace(">change-me", ">pw")));
    let (code, document) = as_user("worker");
    assert_eq!(code, 0, "{document:#}");
    assert_check(&document, "server", "warning", "cannot tell", "+info");
    assert_check(&document, "clock", "warning", "cannot tell", "+time");
    assert_eq!(check(&document, "module").0, "ok");
    assert_check(&document, "access", "warning", "POPPO.EVICT", "+poppo.evict");
    let denied = check(&document, "access").1;
    for allowed in ["CHECKOUT", "CLAIM", "GET", "LIST", "STATS"] {
        assert!(!denied.contains(&format!("POPPO.{allowed}")), "{denied}");
    }
}

#[test]
fn a_replica_is_said_to_be_one_and_a_lost_link_fails() {
    let mut primary = healthy().start();
    let replica = primary.replica(healthy());
    wait_until("the primary knows of its replica", || {
        primary.connect().info("replication", "slave0").contains("state=online")
    });
    assert_check(&of(&primary).1, "replication", "ok", "replicas that follow: 1", "");
    let there = format!("--url redis://127.0.0.1:{}", primary.port());
    let (code, document) = of(&replica);
    assert_eq!(code, 0, "{document:#}");
    assert_check(&document, "replication", "warning", "refuses every change", &there);
    primary.kill9();
    let mut connection = replica.connect();
    wait_until("the link is down", || connection.info("replication", "master_link_status") == "down");
    let (code, document) = of(&replica);
    assert_eq!(code, 1);
    assert_check(&document, "replication", "failed", "is down", "INFO replication");
}

#[test]
fn an_aof_that_was_altered_fails_and_the_log_is_named() {
    let mut server = healthy().start();
    let mut connection = server.connect();
    connection.ok("POPPO.ENQUEUE p 1");
    connection.ok("POPPO.CLAIM p w1");
    server.shutdown("NOSAVE");
    let files = std::fs::read_dir(server.dir().join("appendonlydir")).unwrap().map(|entry| entry.unwrap().path());
    let path = files.into_iter().find(|path| path.to_string_lossy().ends_with(".incr.aof")).unwrap();
    let text = String::from_utf8(std::fs::read(&path).unwrap()).unwrap();
    let claim = text.find("TASK").unwrap();
    std::fs::write(&path, format!("{}{}", &text[..claim], text[claim..].replace("1:issue", "2:issue"))).unwrap();
    server.start_again();
    let (code, document) = of(&server);
    assert_eq!(code, 1);
    let log = format!("grep poppo {}", server.dir().join("redis.log").display());
    assert_check(&document, "applied", "failed", "1 changes", &log);
}

#[test]
fn orphans_dead_tasks_and_a_drained_project_are_warnings() {
    let server = healthy().start();
    let mut connection = server.connect();
    connection.ok("POPPO.CONFIG p SET heartbeat-ttl 1000");
    connection.ok("POPPO.CHECKOUT p 1 w1 HOST h PID 5");
    connection.ok("POPPO.LIVENESS p w1 DEAD HOST h PID 5");
    connection.ok("POPPO.ENQUEUE p 2");
    connection.ok("POPPO.CLAIM p w2");
    connection.ok("POPPO.CHECKIN p 2 w2 STATUS error");
    connection.ok("POPPO.DRAIN p ON");
    let (code, document) = of(&server);
    assert_eq!(code, 0, "{document:#}");
    // Repair is given a minute; that nobody does it is judged by the unit tests.
    assert_check(&document, "orphans", "ok", "1 orphans, none for longer than a minute", "");
    assert_check(&document, "dead", "warning", ": 1", "poppo --project p list --dead");
    assert_check(&document, "drain", "warning", "drained", "poppo --project p drain off");
}

#[test]
fn check_ins_that_were_never_delivered_are_a_warning() {
    let server = healthy().start();
    let folder = server.dir().join("spool");
    assert!(!of(&server).1.to_string().contains("\"spool\""));
    std::fs::create_dir(&folder).unwrap();
    assert_check(&of(&server).1, "spool", "ok", "no check-in waits", "");
    std::fs::create_dir(folder.join("some-project")).unwrap();
    std::fs::write(folder.join("some-project/00000000000000000001.json"), "{}").unwrap();
    assert_check(&of(&server).1, "spool", "warning", "1 cannot be read", "poppo spool list");
}

#[test]
fn a_key_of_another_type_fails() {
    let server = healthy().start();
    server.connect().ok("SET p text");
    let (code, document) = of(&server);
    assert_eq!(code, 1);
    assert_check(&document, "project", "failed", "WRONGTYPE", "TYPE p");
}
