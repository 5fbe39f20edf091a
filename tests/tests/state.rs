//! Free state and flags: on a server and in a file, and what only servers do with them.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "in a test a panic is the report"
)]
#![allow(clippy::duplicate_mod, reason = "the same tests, on a server and on a file")]

use std::collections::BTreeMap;

use poppo::{Client, Seen};
use poppo_tests::cluster::Cluster;
use poppo_tests::command::{Following, bare, json, output, poppo, refusal};
use poppo_tests::{DEADLINE, Files, Reply as _, Server, artifacts, wait_until};
use server::state::{next, printed, project, watching};
use tokio::time::timeout;

#[path = "both"]
mod server {
    use poppo_tests::Server;

    pub(crate) mod state;
}

#[path = "both"]
mod file {
    use poppo_tests::Files as Server;

    #[allow(dead_code, reason = "some of it is for tests that only a server has")]
    #[allow(clippy::duplicate_mod, reason = "the same tests, on a file")]
    mod state;
}

#[test]
fn values_are_fields_of_a_plain_hash() {
    let server = Server::start();
    let mut connection = server.connect();
    printed(&server, &["state", "set", "issues", "7", "{ \"a\" : 1 }"]);
    assert_eq!(connection.text("HGET p:state:issues 7"), "{\"a\":1}");
    assert_eq!(connection.ok("HLEN p:state:issues").number(), 1);
    connection.ok("HSET p:state:issues 8 '{ \"b\" : 2 }'");
    assert_eq!(printed(&server, &["state", "get", "issues", "8"]), "{ \"b\" : 2 }\n");
    // Blanks that somebody else wrote do not count.
    printed(&server, &["state", "set", "issues", "8", "3", "--if", "8", "{\"b\":2}"]);
    // No other key of the project is there, and its free state is nobody's else.
    connection.ok("HSET pp:state:issues 7 1");
    connection.ok("HSET p:state:no:namespace 7 1");
    connection.ok("SET p:state:text 1");
    assert_eq!(json(poppo(&server, &["state", "list"])).as_array().unwrap().len(), 1);
    assert_eq!(connection.ok("EXISTS p").number(), 0);
}

#[test]
fn a_project_that_is_deleted_leaves_its_free_state() {
    let server = Server::start();
    let mut connection = server.connect();
    connection.ok("POPPO.CHECKOUT p 7 w");
    printed(&server, &["state", "set", "issues", "7", "1"]);
    connection.ok("POPPO.CHECKIN p 7 w STATUS completed");
    connection.ok("POPPO.FORGET p 7");
    connection.ok("DEL p");
    assert_eq!(printed(&server, &["state", "get", "issues", "7"]), "1\n");
}

#[test]
fn a_key_that_holds_something_else_is_named() {
    let server = Server::start();
    server.connect().ok("SET p:state:issues 1");
    let before = server.connect().dump("p:state:issues");
    for arguments in [
        &["state", "get", "issues", "7"][..],
        &["state", "set", "issues", "7", "1"],
        &["state", "delete", "issues", "7"],
        &["state", "list", "issues"],
        &["state", "export", "issues"],
        &["state", "watch", "issues"],
    ] {
        let (exit, code, message) = refusal(&server, arguments);
        assert_eq!((exit, code.as_str()), (1, "WRONGTYPE"), "{arguments:?}");
        assert!(message.contains("the key p:state:issues holds something else than a hash"), "{message}");
    }
    assert!(server.connect().dump("p:state:issues") == before);
}

#[test]
fn what_is_no_json_is_said_and_not_used() {
    let server = Server::start();
    server.connect().ok("HSET p:state:config bad tru fine true");
    assert_eq!(printed(&server, &["state", "get", "config", "bad"]), "tru\n");
    let listed = json(poppo(&server, &["flag", "list"]));
    assert_eq!((&listed[0]["type"], &listed[0]["value"]), (&"not JSON".into(), &"tru".into()));
    assert_eq!(refusal(&server, &["flag", "get", "bad"]).1, "VALUE");
    let written = json(poppo(&server, &["state", "export", "config", "out.json"]));
    assert_eq!((&written["values"], &written["unusable"][0]["entry"]), (&1.into(), &"bad".into()));
    assert_eq!(std::fs::read_to_string(server.dir().join("out.json")).unwrap(), "{\n  \"fine\": true\n}\n");
}

#[test]
fn a_namespace_has_a_most_of_values() {
    let server = Server::start();
    let mut connection = server.connect();
    connection.ok("EVAL \"for i = 1, 99999 do redis.call('HSET', KEYS[1], i, 1) end\" 1 p:state:issues");
    assert_eq!(json(poppo(&server, &["state", "set", "issues", "a", "1"]))["changed"], 1);
    let (exit, _, message) = refusal(&server, &["state", "set", "issues", "7", "2", "b", "1"]);
    assert_eq!(exit, 2);
    assert_eq!(message, "the namespace issues would have more than 100000 values, which is the most that it may have");
    assert_eq!(printed(&server, &["state", "get", "issues", "7"]), "1\n");
    // One for another.
    printed(&server, &["state", "set", "issues", "b", "1", "--delete", "a"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_change_is_seen_once_and_in_its_order() {
    const CHANGES: u32 = 500;
    let server = Server::start();
    let state = project(&server).await.state("tasks").unwrap();
    let mut watch = watching(&state).await;
    let writers: Vec<_> = (0..2)
        .map(|writer| {
            let state = state.clone();
            tokio::spawn(async move {
                for n in 0..CHANGES {
                    state.set(&format!("w{writer}"), &n).await.unwrap();
                    // Too long to be told, now and then.
                    if n % 100 == 99 {
                        state.set(&format!("long{writer}"), &"x".repeat(70_000 + n as usize)).await.unwrap();
                    }
                }
            })
        })
        .collect();
    let mut seen = BTreeMap::<String, Vec<String>>::new();
    let is_last = |name: &str, text: &str| match name.strip_prefix("long") {
        Some(_) => text.len() == 70_002 + CHANGES as usize - 1,
        None => text == (CHANGES - 1).to_string(),
    };
    while seen.iter().filter(|(name, seen)| is_last(name, &seen[seen.len() - 1])).count() < 4 {
        let change = next(&mut watch).await;
        seen.entry(change.name).or_default().push(change.text.unwrap());
    }
    for writer in writers {
        writer.await.unwrap();
    }
    let all: Vec<String> = (0..CHANGES).map(|n| n.to_string()).collect();
    assert_eq!((&seen["w0"], &seen["w1"]), (&all, &all));
    // Of those that are read, one may stand for several, but none comes twice.
    for name in ["long0", "long1"] {
        assert!(seen[name].is_sorted_by(|one, next| one.len() < next.len()), "{name}");
    }
    state.set("end", &1).await.unwrap();
    assert_eq!(next(&mut watch).await.name, "end", "nothing is told twice");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_reads_everything_while_messages_come_tells_nothing_twice() {
    const CHANGES: u32 = 500;
    let server = Server::start();
    let state = project(&server).await.state("tasks").unwrap();
    let mut watch = watching(&state).await;
    let writer = tokio::spawn({
        let (state, mut connection) = (state.clone(), server.connect());
        async move {
            for n in 0..CHANGES {
                state.transaction().set("n", &n).set(&format!("gone {n}"), &n).commit().await.unwrap();
                state.delete(&format!("gone {n}")).await.unwrap();
                // Has the watcher look at everything.
                connection.ok("PUBLISH p:state:tasks:changed nonsense");
            }
            state.set("end", &CHANGES).await.unwrap();
        }
    });
    let (mut last, mut there) = (None, std::collections::BTreeSet::new());
    let mut is_end = false;
    // In which order the values are read that are there at a time, nobody says.
    while last != Some(CHANGES - 1) || !there.is_empty() || !is_end {
        let change = next(&mut watch).await;
        let value = change.value::<u32>().unwrap();
        if change.name == "n" {
            assert!(value > last, "{value:?} after {last:?}");
            last = value;
        } else if change.name == "end" {
            assert!(!std::mem::replace(&mut is_end, true), "the end came again");
        } else if value.is_some() {
            assert!(there.insert(change.name), "what was there came again");
        } else {
            assert!(there.remove(&change.name), "what was not there is gone");
        }
    }
    writer.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_written_past_the_library_is_seen_once() {
    let server = Server::start();
    let mut connection = server.connect();
    connection.ok("HSET p:state:tasks a 1 b 1");
    let state = project(&server).await.state("tasks").unwrap();
    let mut watch = watching(&state).await;
    connection.ok("HSET p:state:tasks a 2 c 1");
    connection.ok("HDEL p:state:tasks b");
    let mut seen = BTreeMap::new();
    for _ in 0..3 {
        let change = next(&mut watch).await;
        assert_eq!(seen.insert(change.name, change.text), None);
    }
    let text = |text: &str| Some(text.to_owned());
    assert_eq!(seen, [("a".to_owned(), text("2")), ("b".to_owned(), None), ("c".to_owned(), text("1"))].into());
    // A message that is nonsense, or of a version that does not fit, leads to another look.
    connection.ok("HSET p:state:tasks d 4");
    connection.ok("PUBLISH p:state:tasks:changed nonsense");
    assert_eq!(next(&mut watch).await.name, "d");
    connection.ok("HSET p:state:tasks e 5");
    connection.ok("PUBLISH p:state:tasks:changed '{\"version\":1}'");
    connection.ok("PUBLISH p:state:tasks:changed '{\"version\":77}'");
    assert_eq!(next(&mut watch).await.name, "e");
    state.set("f", &6).await.unwrap();
    assert_eq!(next(&mut watch).await.name, "f");
    // The whole namespace goes at once.
    connection.ok("DEL p:state:tasks");
    for _ in ["a", "c", "d", "e", "f"] {
        assert_eq!(next(&mut watch).await.text, None);
    }
}

#[test]
fn a_watcher_goes_on_over_a_restart_and_tells_what_changed_meanwhile() {
    let mut server = Server::builder().durable().start();
    printed(&server, &["state", "set", "config", "stays", "1", "goes", "1"]);
    let watching = Following::start(&server, &["--json", "state", "watch", "config"]);
    wait_until("it watches", || watching.said().contains("watching; Ctrl-C ends it"));
    printed(&server, &["state", "set", "config", "a", "1"]);
    assert_eq!(watching.documents(1)[0]["name"], "a");
    server.kill9();
    wait_until("it notices", || watching.said().contains("going on as soon as that is possible"));
    server.start_again();
    let mut connection = server.connect();
    connection.ok("HSET p:state:config a 2 b 3");
    connection.ok("HDEL p:state:config goes");
    let mut seen: Vec<String> = watching.documents(4)[1..].iter().map(|row| row["name"].to_string()).collect();
    seen.sort();
    assert_eq!(seen, ["\"a\"", "\"b\"", "\"goes\""]);
    wait_until("it says so", || watching.said().contains("watching again"));
    // Whose numbers began anew is followed, too.
    connection.ok("DEL {p:state:config}:version");
    printed(&server, &["state", "set", "config", "c", "4"]);
    printed(&server, &["state", "set", "config", "c", "5"]);
    let last = || watching.written().lines().last().unwrap_or_default().to_owned();
    wait_until("the last is told", || last().contains("\"value\":5"));
    assert!(!watching.written().contains("stays"));
}

#[tokio::test(flavor = "multi_thread")]
async fn flags_are_what_they_were_while_the_server_is_away() {
    let mut server = Server::builder().durable().start();
    let project = project(&server).await;
    project.state("config").unwrap().set("jobs", &4).await.unwrap();
    let flags = project.flags().await.unwrap();
    let mut changes = flags.changes();
    server.kill9();
    assert_eq!(flags.integer("jobs", 1), 4);
    server.start_again();
    server.connect().ok("HSET p:state:config jobs 5");
    let refreshed = async {
        while flags.integer("jobs", 1) != 5 {
            changes.next().await;
        }
    };
    timeout(DEADLINE, refreshed).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_needs_few_rights_and_one_that_lacks_some_changes_nothing() {
    let server = Server::start();
    let mut connection = server.connect();
    let rights = "resetkeys resetchannels ~p:state:* ~{p:state:*}:version &p:state:*:changed -@all \
                  +hmget +hscan +hlen +scan +eval +eval_ro +type +hget +hset +hdel +incr +get +publish +subscribe \
                  +time +ping +hello +client";
    connection.ok(&format!("ACL SETUSER u on >s {rights}"));
    let url = server.url().replace("redis://", "redis://u:s@");
    let project = Client::connect(&url).await.unwrap().project("p");
    let state = project.state("tasks").unwrap();
    let mut watch = watching(&state).await;
    state.transaction().absent("a").set("a", &1).commit().await.unwrap();
    assert_eq!(next(&mut watch).await.name, "a");
    assert_eq!(project.namespaces().await.unwrap(), ["tasks"]);
    // Who may write, but not tell: it is seen all the same.
    connection.ok("ACL SETUSER u -publish");
    state.set("b", &1).await.unwrap();
    assert_eq!(next(&mut watch).await.name, "b");
    // Half of it may not be done.
    connection.ok("ACL SETUSER u -hdel");
    let error = state.transaction().set("c", &1).delete("a").commit().await.unwrap_err();
    assert_eq!(error.code(), "NOPERM", "{error}");
    assert_eq!(state.get_text("c").await.unwrap(), None);
    // Who may not listen looks every few seconds.
    connection.ok("ACL SETUSER u resetchannels");
    let mut deaf = state.watch();
    assert!(matches!(deaf.next().await, Seen::Lost(error) if error.code() == "NOPERM"));
    assert!(matches!(timeout(DEADLINE, deaf.next()).await, Ok(Seen::Began)));
    state.set("d", &1).await.unwrap();
    assert_eq!(next(&mut deaf).await.name, "d");
}

#[tokio::test(flavor = "multi_thread")]
async fn in_a_cluster_each_namespace_is_where_its_key_is_and_all_are_found() {
    let cluster = Cluster::start(3, &Server::builder());
    let url = format!("redis+cluster://127.0.0.1:{}", cluster.node(0).port());
    let client = Client::connect(&url).await.unwrap();
    for key in ["p", "{acme}/widgets"] {
        let project = client.project(key);
        for namespace in ["issues", "comments", "tasks", "processes", "agents", "config"] {
            let state = project.state(namespace).unwrap();
            let mut watch = watching(&state).await;
            for n in 0..20 {
                let condition = state.transaction();
                let condition = if n == 0 { condition.absent("n") } else { condition.equals("n", &(n - 1)) };
                condition.set("n", &n).commit().await.unwrap();
            }
            for n in 0..20 {
                assert_eq!(next(&mut watch).await.value::<i32>().unwrap(), Some(n), "{namespace}");
            }
        }
        let found = project.namespaces().await.unwrap();
        assert_eq!(found, ["agents", "comments", "config", "issues", "processes", "tasks"]);
    }
    let mut list = bare(cluster.node(0).dir());
    list.args(["--url", &url, "--project", "p", "state", "list"]);
    assert_eq!(json(list).as_array().unwrap().len(), 6);
}

#[test]
fn a_file_keeps_free_state_beside_the_projects_and_deletes_it_with_its_last_value() {
    let files = Files::start();
    files.connect().ok("POPPO.CHECKOUT p 7 w");
    let set = |name: &str, text: &str| output(poppo(&files, &["state", "set", "config", name, text]));
    assert!(set("a", "null").status.success() && set("b", "{\"x\":1.50}").status.success());
    let document = files.document().unwrap();
    assert_eq!(document["state"]["p"]["config"].to_string(), r#"{"a":null,"b":{"x":1.5}}"#);
    let text = std::fs::read_to_string(files.path()).unwrap();
    assert!(text.contains("\n    \"a\": null,\n    \"b\": {\"x\":1.50}\n"), "{text}");
    // The projects' own commands leave it alone.
    files.connect().ok("POPPO.CHECKIN p 7 w STATUS completed");
    assert_eq!(files.document().unwrap()["state"], document["state"]);
    assert!(output(poppo(&files, &["state", "delete", "config", "a", "b"])).status.success());
    assert_eq!(files.document().unwrap().get("state"), None);
}

#[test]
fn the_examples_in_the_document_are_true() {
    let text = std::fs::read_to_string(artifacts::workspace().join("docs/free-state.md")).unwrap();
    let server = Server::start();
    let mut examples = 0;
    for block in text.split("```console\n").skip(1) {
        let block = block.split("```").next().unwrap();
        for example in block.split("$ ").skip(1) {
            let (command, expected) = example.split_once('\n').unwrap();
            let script = format!("exec 2>&1; {command}");
            let mut shell = std::process::Command::new("bash");
            let path = format!("{}:{}", artifacts::poppo().parent().unwrap().display(), std::env::var("PATH").unwrap());
            shell.args(["-c", &script]).env("PATH", path).env("POPPO_URL", server.url()).current_dir(server.dir());
            let output = shell.output().unwrap();
            let printed = String::from_utf8(output.stdout).unwrap();
            assert_eq!(printed, expected, "$ {command}");
            examples += 1;
        }
    }
    assert!(examples > 10, "the examples were not found");
}
