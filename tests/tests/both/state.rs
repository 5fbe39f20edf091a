//! Free state and flags, as a shell or a program uses them, wherever the projects are.

use std::process::{Command, Stdio};
use std::time::Duration;

use poppo::{Change, Client, Error, Existing, Project, Refusal, Seen, State, Watch};
use poppo_tests::artifacts;
use poppo_tests::command::{Following, json, output, poppo, refusal};
use serde_json::{Value as Json, json as document};

use super::Server;

pub(crate) async fn project(server: &Server) -> Project {
    Client::connect(&server.url()).await.unwrap().project("p")
}

pub(crate) fn printed(server: &Server, arguments: &[&str]) -> String {
    let output = output(poppo(server, arguments));
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// A watcher that has begun.
pub(crate) async fn watching(state: &State) -> Watch {
    let mut watch = state.watch();
    assert!(matches!(watch.next().await, Seen::Began));
    watch
}

/// What a watcher tells next, besides how it stands.
pub(crate) async fn next(watch: &mut Watch) -> Change {
    let next = async {
        loop {
            if let Seen::Changed(change) = watch.next().await {
                return change;
            }
        }
    };
    tokio::time::timeout(poppo_tests::DEADLINE, next).await.expect("a change")
}

fn told(change: &Change) -> (&str, Option<&str>) {
    (change.name.as_str(), change.text.as_deref())
}

#[test]
fn values_are_written_read_listed_and_removed() {
    let server = Server::start();
    assert_eq!(printed(&server, &["state", "list"]), "no values in any namespace\n");
    assert_eq!(printed(&server, &["state", "list", "issues"]), "no values\n");
    let set = json(poppo(&server, &["state", "set", "issues", "7", "{ \"a\" : [1.0, null] }", "8", "-1"]));
    assert_eq!(set, document!({ "namespace": "issues", "changed": 2 }));
    assert_eq!(json(poppo(&server, &["state", "set", "issues", "8", "-1"]))["changed"], 0);
    assert_eq!(printed(&server, &["state", "get", "issues", "7"]), "{\"a\":[1.0,null]}\n");
    assert_eq!(json(poppo(&server, &["state", "get", "issues", "7"]))["value"], document!({ "a": [1.0, null] }));
    printed(&server, &["state", "set", "mine", "a text", "it's", "--text"]);
    assert_eq!(printed(&server, &["state", "list", "mine"]), "NAME    VALUE\na text  \"it's\"\n");
    let listed = json(poppo(&server, &["state", "list"]));
    let row = |namespace: &str, values: u64| document!({ "namespace": namespace, "values": values, "key": format!("p:state:{namespace}") });
    assert_eq!(listed, document!([row("issues", 2), row("mine", 1)]));
    let listed = json(poppo(&server, &["state", "list", "issues"]));
    assert_eq!(listed[1], document!({ "namespace": "issues", "name": "8", "value": -1 }));
    // Another project has its own.
    assert_eq!(refusal(&server, &["state", "get", "issues", "7", "--project", "q"]).1, "UNKNOWN");
    assert_eq!(json(poppo(&server, &["state", "delete", "issues", "7", "9"]))["deleted"], 1);
    let (exit, code, message) = refusal(&server, &["state", "get", "issues", "7"]);
    assert_eq!((exit, code.as_str()), (1, "UNKNOWN"));
    assert_eq!(message, "there is no \"7\" in the namespace issues of p");
    assert_eq!(printed(&server, &["state", "get", "issues", "7", "--default", "{}"]), "{}\n");
    printed(&server, &["state", "delete", "issues", "8"]);
    assert_eq!(json(poppo(&server, &["state", "list"])), document!([row("mine", 1)]));
}

#[test]
fn a_value_comes_from_standard_input() {
    let server = Server::start();
    let mut set = poppo(&server, &["state", "set", "issues", "long", "-"]);
    let long = format!("\"{}\"", "x".repeat(300_000));
    let mut child = set.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), long.as_bytes()).unwrap();
    assert!(child.wait().unwrap().success());
    assert_eq!(printed(&server, &["state", "get", "issues", "long"]), format!("{long}\n"));
}

#[test]
fn what_is_not_allowed_is_refused_with_what_is_and_changes_nothing() {
    let server = Server::start();
    let long = "x".repeat(513);
    let many: Vec<String> = (0..129).flat_map(|n| [n.to_string(), "1".to_owned()]).collect();
    let mut too_many = vec!["state", "set", "a"];
    too_many.extend(many.iter().map(String::as_str));
    for (arguments, says) in [
        (
            &["state", "get", "a:b", "n"][..],
            "the namespace must be 1 to 64 letters, digits, -, _ or . (ASCII), not \"a:b\"",
        ),
        (&["state", "list", ""], "the namespace must be 1 to 64"),
        (&["flag", "get", "a\nb"], "a name must be 1 to 512 bytes without control characters, not \"a\\nb\""),
        (&["state", "set", "a", &long, "1"], "(513 bytes)"),
        (
            &["state", "set", "a", "n", "tru"],
            "the value of \"n\" must be JSON: EOF while parsing a value at line 1 column 3",
        ),
        (&["state", "set", "a", "ok", "1", "n", ""], "the value of \"n\" must be JSON: EOF"),
        (&["state", "set", "a", "n", "1", "--if", "m", "{"], "the value of \"m\" must be JSON"),
        (&too_many, "a transaction may have at most 128 conditions and writes, not 129"),
        (&["state", "set", "a", "n", "1", "m"], "every NAME needs a value"),
        (&["state", "set", "a", "n", "-", "m", "-"], "only one value can be read from standard input"),
        (&["state", "get", "a", "n", "--default", "x"], "--default: the value of \"n\" must be JSON"),
        (&["flag", "get", "n", "--type", "boolean", "--default", "1"], "--default: 1 is no boolean"),
    ] {
        let (exit, _, message) = refusal(&server, arguments);
        assert!(exit == 2 && message.contains(says), "{arguments:?}: {exit} {message}");
    }
    assert_eq!(json(poppo(&server, &["state", "list"])), document!([]));
}

#[test]
fn what_a_condition_does_not_allow_is_not_done() {
    let server = Server::start();
    let set = |more: &[&str]| poppo(&server, &[&["state", "set", "tasks", "next", "2"], more].concat());
    let (exit, code, message) = refusal(&server, &["state", "set", "tasks", "next", "2", "--if", "next", "1"]);
    assert_eq!((exit, code.as_str()), (75, "CONFLICT"));
    assert_eq!(message, "\"next\" is not as expected: there is no value of that name");
    assert_eq!(json(set(&["--if-absent", "next", "--if-absent", "other"]))["changed"], 1);
    let (exit, _, message) = refusal(&server, &["state", "set", "tasks", "x", "2", "--if-absent", "next"]);
    assert_eq!((exit, message.as_str()), (75, "\"next\" is not as expected: it is 2"));
    let several = ["state", "set", "tasks", "next", "3", "done", "true", "--if", "next", "2", "--delete", "old"];
    printed(&server, &["state", "set", "tasks", "old", "{ \"a\": 1 }"]);
    assert_eq!(json(poppo(&server, &several))["changed"], 3);
    assert_eq!(refusal(&server, &several).0, 75);
    assert_eq!(refusal(&server, &["state", "delete", "tasks", "done", "--if", "next", "2"]).0, 75);
    assert_eq!(json(poppo(&server, &["state", "delete", "tasks", "done", "--if", "next", " 3 "]))["deleted"], 1);
    assert_eq!(printed(&server, &["state", "list", "tasks"]), "NAME  VALUE\nnext  3\n");
}

#[test]
fn nobody_overwrites_what_he_did_not_see() {
    const PROCESSES: usize = 4;
    const EACH: usize = 15;
    let server = Server::start();
    printed(&server, &["state", "set", "tasks", "counter", "0"]);
    let script = "i=0; while [ $i -lt $EACH ]; do \
        n=$($POPPO state get tasks counter) || exit 3; \
        $POPPO state set tasks counter $((n + 1)) --if counter $n >/dev/null 2>>said; \
        case $? in 0) i=$((i + 1)) ;; 75) ;; *) exit 4 ;; esac; done";
    let processes: Vec<_> = (0..PROCESSES)
        .map(|_| {
            let mut shell = Command::new("sh");
            shell.args(["-c", script]).env("POPPO", artifacts::poppo()).env("EACH", EACH.to_string());
            shell.env("POPPO_URL", server.url()).env("POPPO_PROJECT", "p").current_dir(server.dir()).spawn().unwrap()
        })
        .collect();
    for mut process in processes {
        assert_eq!(process.wait().unwrap().code(), Some(0));
    }
    assert_eq!(printed(&server, &["state", "get", "tasks", "counter"]), format!("{}\n", PROCESSES * EACH));
    // They did meet each other.
    let said = std::fs::read_to_string(server.dir().join("said")).unwrap();
    assert!(said.contains("poppo: \"counter\" is not as expected: it is "), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_reads_and_writes_types_and_is_told_what_was_there_instead() {
    let server = Server::start();
    let state = project(&server).await.state("agents").unwrap();
    assert_eq!((state.namespace(), state.key()), ("agents", "p:state:agents"));
    state.set("alice", &(1, "two")).await.unwrap();
    assert_eq!(state.get::<(u8, String)>("alice").await.unwrap(), Some((1, "two".to_owned())));
    assert_eq!(state.get::<u8>("bob").await.unwrap(), None);
    let error = state.get::<u8>("alice").await.unwrap_err();
    assert_eq!(error.code(), "VALUE");
    assert!(error.to_string().contains("the value of \"alice\" in the namespace agents cannot be used: invalid type"));
    let error = state.transaction().equals("alice", &1).set("bob", &2).commit().await.unwrap_err();
    match error {
        Error::Refused(Refusal::Conflict { name, current }) => {
            assert_eq!((name.as_str(), current.as_deref()), ("alice", Some("[1,\"two\"]")));
        }
        other => panic!("{other}"),
    }
    let done = state.transaction().equals("alice", &(1, "two")).absent("bob").set("bob", &2).delete("alice").commit();
    assert_eq!(done.await.unwrap(), 2);
    assert_eq!(state.get_all().await.unwrap(), [("bob".to_owned(), "2".to_owned())].into());
    let long = "x".repeat(700_000);
    let too_long = (0..13).fold(state.transaction(), |transaction, n| transaction.set(&n.to_string(), &long));
    assert!(too_long.commit().await.unwrap_err().to_string().contains("at most 8388608 bytes"));
}

#[tokio::test(flavor = "multi_thread")]
async fn all_values_are_listed_a_page_at_a_time() {
    let server = Server::start();
    let state = project(&server).await.state("many").unwrap();
    let values = (0..1000).map(|n| (format!("name {n}"), n.to_string())).collect();
    assert_eq!(state.merge(&values, Existing::Keep).await.unwrap().set, 1000);
    assert_eq!(state.get_all().await.unwrap(), values);
    assert_eq!(state.size().await.unwrap(), 1000);
    let first = state.list(None).await.unwrap();
    assert!(first.rows.len() < 1000 && first.next.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn values_that_are_merged_again_change_nothing_and_those_that_are_kept_are_counted() {
    let server = Server::start();
    let state = project(&server).await.state("issues").unwrap();
    state.set("1", &"mine").await.unwrap();
    let values = (1..=200).map(|n| (n.to_string(), format!("{{\"n\": {n}}}"))).collect();
    let counts = |merged: poppo::Merged| (merged.set, merged.unchanged, merged.kept);
    assert_eq!(counts(state.plan(&values, Existing::Keep).await.unwrap()), (199, 0, 1));
    assert_eq!(state.size().await.unwrap(), 1);
    assert_eq!(counts(state.merge(&values, Existing::Keep).await.unwrap()), (199, 0, 1));
    assert_eq!(counts(state.merge(&values, Existing::Keep).await.unwrap()), (0, 199, 1));
    assert_eq!(counts(state.merge(&values, Existing::Replace).await.unwrap()), (1, 199, 0));
    assert_eq!(counts(state.merge(&values, Existing::Replace).await.unwrap()), (0, 200, 0));
    assert_eq!(state.get_text("1").await.unwrap().as_deref(), Some("{\"n\":1}"));
    let bad = [("ok".to_owned(), "1".to_owned()), ("zz".to_owned(), "{".to_owned())].into();
    assert!(state.merge(&bad, Existing::Replace).await.is_err());
    assert_eq!(state.size().await.unwrap(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watcher_sees_what_changes_from_its_beginning_on() {
    let server = Server::start();
    let state = project(&server).await.state("config").unwrap();
    state.set("old", &1).await.unwrap();
    let mut watch = watching(&state).await;
    let mut all = state.watch_all();
    state.transaction().set("a", &1).set("old", &1).commit().await.unwrap();
    assert_eq!(told(&next(&mut watch).await), ("a", Some("1")));
    state.set("a", &2).await.unwrap();
    let change = next(&mut watch).await;
    assert_eq!((told(&change), change.value::<u8>().unwrap()), (("a", Some("2")), Some(2)));
    state.delete("old").await.unwrap();
    state.delete("never").await.unwrap();
    assert_eq!(told(&next(&mut watch).await), ("old", None));
    // Whoever wants all is told what there was, too.
    assert!(["a", "old"].contains(&next(&mut all).await.name.as_str()));
}

#[test]
fn changes_are_shown_as_lines_and_those_of_some_names_alone() {
    let server = Server::start();
    let all = Following::named(&server, "all", &["--json", "state", "watch"]);
    let some = Following::named(&server, "some", &["state", "watch", "config", "a", "b"]);
    for following in [&all, &some] {
        poppo_tests::wait_until("it watches", || following.said().contains("watching; Ctrl-C ends it"));
    }
    let changes = [
        &["state", "set", "config", "a", "{\"x\":1}"][..],
        &["state", "set", "config", "c", "null"],
        &["state", "delete", "config", "a"],
        &["state", "set", "config", "b", "2"],
    ];
    for (done, change) in changes.iter().enumerate() {
        printed(&server, change);
        // In a file, changes that follow close upon each other are seen at once.
        all.documents(done + 1);
    }
    let row =
        |name: &str, value: Json| document!({ "namespace": "config", "name": name, "event": "set", "value": value });
    let gone = document!({ "namespace": "config", "name": "a", "event": "deleted" });
    assert_eq!(all.documents(4), [row("a", document!({ "x": 1 })), row("c", Json::Null), gone, row("b", 2.into())]);
    poppo_tests::wait_until("all is shown", || some.written().lines().count() == 4);
    let shown = "NAMESPACE  NAME  VALUE\nconfig     a     {\"x\":1}\nconfig     a     (deleted)\nconfig     b     2\n";
    assert_eq!(some.written(), shown);
}

#[test]
fn flags_have_types_and_defaults() {
    let server = Server::start();
    assert_eq!(printed(&server, &["flag", "list"]), "no flags: all defaults count\n");
    printed(&server, &["flag", "on", "review"]);
    printed(&server, &["flag", "set", "jobs", "4"]);
    printed(&server, &["flag", "set", "patience", "90s", "--text"]);
    assert_eq!(json(poppo(&server, &["flag", "set", "names", "[\"a\"]"]))["type"], "list");
    let listed = printed(&server, &["flag", "list"]);
    let expected = "FLAG      TYPE      VALUE\njobs      integer   4\nnames     list      [\"a\"]\n\
                    patience  duration  \"90s\"\nreview    boolean   true\n";
    assert_eq!(listed, expected);
    assert_eq!(printed(&server, &["flag", "get", "patience"]), "90s\n");
    assert_eq!(printed(&server, &["flag", "get", "patience", "--type", "duration"]), "90s\n");
    assert_eq!(printed(&server, &["flag", "off", "review"]), "review is false\n");
    assert_eq!(printed(&server, &["flag", "get", "review", "--type", "boolean", "--default", "true"]), "false\n");
    let (exit, code, message) = refusal(&server, &["flag", "get", "review", "--type", "integer"]);
    assert_eq!((exit, code.as_str()), (1, "VALUE"));
    assert_eq!(message, "the flag review is no integer, but of the type boolean");
    let with_default = output(poppo(&server, &["flag", "get", "review", "--type", "integer", "--default", "3"]));
    assert_eq!(with_default.stdout, b"3\n");
    assert!(String::from_utf8_lossy(&with_default.stderr).contains("so the default counts"));
    assert_eq!(json(poppo(&server, &["flag", "delete", "review"]))["deleted"], true);
    assert_eq!(refusal(&server, &["flag", "get", "review"]).1, "UNKNOWN");
    assert_eq!(printed(&server, &["flag", "get", "review", "--default", "false"]), "false\n");
    // It is free state like any other.
    assert_eq!(printed(&server, &["state", "get", "config", "jobs"]), "4\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn programs_read_flags_from_memory_and_learn_of_changes() {
    let server = Server::start();
    let project = project(&server).await;
    let config = project.state("config").unwrap();
    config.set("jobs", &4).await.unwrap();
    let flags = project.flags().await.unwrap();
    assert_eq!((flags.integer("jobs", 1), flags.bool("review", true)), (4, true));
    let mut changes = flags.changes();
    config.transaction().set("review", &false).set("jobs", &"many").set("patience", &"2m").commit().await.unwrap();
    let changed = async {
        while flags.bool("review", true) || flags.duration("patience", Duration::ZERO).is_zero() {
            assert!(changes.next().await);
        }
    };
    tokio::time::timeout(poppo_tests::DEADLINE, changed).await.unwrap();
    assert_eq!(flags.integer("jobs", 1), 1, "of another type");
    assert_eq!(flags.text("jobs", ""), "many");
    assert_eq!(flags.duration("patience", Duration::ZERO), Duration::from_secs(120));
    assert_eq!(flags.get::<Vec<u8>>("review"), None);
    let flags = {
        let clone = flags.clone();
        drop(flags);
        clone
    };
    config.delete("jobs").await.unwrap();
    let removed = async {
        while flags.text("jobs", "none") != "none" {
            assert!(changes.next().await);
        }
    };
    tokio::time::timeout(poppo_tests::DEADLINE, removed).await.unwrap();
    drop(flags);
    let ended = async { while changes.next().await {} };
    tokio::time::timeout(poppo_tests::DEADLINE, ended).await.expect("nobody watches any more");
}

#[test]
fn a_namespace_goes_to_a_file_and_back() {
    let server = Server::start();
    let path = |name: &str| server.dir().join(name);
    let text = "\u{feff}{\n  \"123\": {\n    \"status\": \"completed\"\n  },\n  \"big\": 12345678901234567890123,\n  \"\": 1\n}";
    std::fs::write(path("unified-issues.json"), text).unwrap();
    printed(&server, &["state", "set", "issues", "123", "\"mine\"", "other", "true"]);
    let import = ["state", "import", "issues", "unified-issues.json"];
    let planned = json(poppo(&server, &[&import[..], &["--dry-run"]].concat()));
    assert_eq!((&planned["dryRun"], &planned["set"]), (&true.into(), &2.into()));
    assert_eq!(printed(&server, &["state", "get", "issues", "123"]), "\"mine\"\n");
    let kept = json(poppo(&server, &[&import[..], &["--keep"]].concat()));
    assert_eq!((&kept["set"], &kept["kept"]), (&1.into(), &1.into()));
    let merged = json(poppo(&server, &import));
    assert_eq!((&merged["set"], &merged["unchanged"]), (&1.into(), &1.into()));
    assert_eq!(merged["unusable"][0]["entry"], "");
    let again = printed(&server, &import);
    assert!(again.contains("2  were there already") && again.contains("1  cannot be used:"), "{again}");
    assert_eq!(std::fs::read_to_string(path("unified-issues.json")).unwrap(), text, "the source is never changed");

    let written = json(poppo(&server, &["state", "export", "issues", "back.json"]));
    assert_eq!((&written["values"], &written["unusable"]), (&3.into(), &document!([])));
    let back = std::fs::read_to_string(path("back.json")).unwrap();
    let expected =
        "{\n  \"123\": {\"status\":\"completed\"},\n  \"big\": 12345678901234567890123,\n  \"other\": true\n}\n";
    assert_eq!(back, expected);
    assert_eq!(printed(&server, &["state", "export", "issues"]), back);
    assert_eq!(printed(&server, &["state", "export", "nothing", "-"]), "{}\n");
    assert_eq!(json(poppo(&server, &["state", "import", "copy", "back.json"]))["set"], 3);
    assert_eq!(printed(&server, &["state", "export", "copy"]), back);
}

#[test]
fn a_crooked_file_is_used_as_far_as_it_can_be_and_half_a_file_not_at_all() {
    let server = Server::start();
    let import = |text: &str| {
        std::fs::write(server.dir().join("unified-tasks.json"), text).unwrap();
        ["state", "import", "tasks", "unified-tasks.json"]
    };
    let merged = json(poppo(&server, &import(r#"[["a", 1], {"taskId": "t-1"}, "stray"]"#)));
    assert_eq!((&merged["set"], &merged["fromList"]), (&2.into(), &2.into()));
    assert_eq!(
        merged["unusable"],
        document!([{ "entry": "[2]", "reason": "it is an entry of a list and has no name" }])
    );
    for (text, says) in [
        ("{\"a\": 2, \"b\":", "unified-tasks.json: it is not JSON: EOF while parsing a value at line 1 column 13"),
        ("", "it is not JSON: EOF"),
        ("\"text\"", "it must hold an object with a field for each value, not \"text\""),
    ] {
        let (exit, code, message) = refusal(&server, &import(text));
        assert!(exit == 1 && code == "BADFILE" && message.contains(says), "{message}");
    }
    assert_eq!(printed(&server, &["state", "get", "tasks", "a"]), "1\n");
    let (exit, _, message) = refusal(&server, &["state", "import", "tasks", "missing.json"]);
    assert!(exit == 1 && message.starts_with("missing.json: No such file"), "{message}");
    let (exit, _, message) = refusal(&server, &["state", "export", "tasks", "no/folder.json"]);
    assert!(exit == 1 && message.starts_with("no/folder.json: "), "{message}");
}
