use std::path::Path;
use std::process::Stdio;

use poppo_tests::command::{json, output, poppo, refusal};
use poppo_tests::{History, Reply as _};
use serde_json::{Value as Json, json as document};

use super::Server;
use super::moving::{at_rest, export};

/// A project `p` in which much has happened.
fn lived() -> Server {
    let server = Server::builder().no_grace().start();
    let mut connection = server.connect();
    History::new("p", 31).run(&mut connection, 300);
    at_rest(&mut connection, "p");
    server
}

/// The files in a folder, by name.
fn files(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name());
    let mut names: Vec<String> = entries.map(|name| name.to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

#[test]
fn a_backup_is_restored_as_it_was_and_twice_is_the_same_as_once() {
    let server = lived();
    let written = json(poppo(&server, &["export", "backup.jsonl", "--verify"]));
    let entries = export(&mut server.connect(), "p", 10_000).concat();
    assert_eq!((written["entries"].as_u64(), &written["verified"]), (Some(entries.len() as u64), &Json::Bool(true)));
    let text = std::fs::read_to_string(server.dir().join("backup.jsonl")).unwrap();
    assert_eq!(written["bytes"].as_u64(), Some(text.len() as u64));
    let lines: Vec<&str> = text.lines().collect();
    let header: Json = serde_json::from_str(lines[0]).unwrap();
    assert_eq!((&header["export"]["version"], &header["export"]["project"]), (&1.into(), &"p".into()));
    assert_eq!(lines[1..lines.len() - 1], entries);
    assert_eq!(lines[lines.len() - 1], format!("{{\"end\":{{\"entries\":{}}}}}", entries.len()));

    let restored = json(poppo(&server, &["import", "backup.jsonl", "--project", "q", "--verify"]));
    assert_eq!((restored["entries"].as_u64(), &restored["kept"]), (Some(entries.len() as u64), &0.into()));
    assert_eq!(export(&mut server.connect(), "q", 10_000).concat(), entries);
    let again = json(poppo(&server, &["import", "backup.jsonl", "--project", "q"]));
    assert_eq!(again["unchanged"].as_u64(), Some(entries.len() as u64));
    let shown = output(poppo(&server, &["import", "backup.jsonl", "--project", "q", "--verify"]));
    let shown = String::from_utf8(shown.stdout).unwrap();
    assert!(shown.contains("were there already") && shown.ends_with("verified: both ends are the same\n"), "{shown}");
}

#[test]
fn lines_go_through_pipes() {
    let server = lived();
    let mut writer = poppo(&server, &["export"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut reader = poppo(&server, &["import", "-", "--project", "q"]);
    let read = output({
        reader.stdin(writer.stdout.take().unwrap());
        reader
    });
    assert!(writer.wait().unwrap().success() && read.status.success(), "{read:?}");
    let mut connection = server.connect();
    assert_eq!(export(&mut connection, "q", 10_000), export(&mut connection, "p", 10_000));
}

#[test]
fn a_file_that_is_cut_off_or_damaged_changes_nothing_and_says_where() {
    let server = lived();
    json(poppo(&server, &["export", "backup.jsonl"]));
    let text = std::fs::read_to_string(server.dir().join("backup.jsonl")).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let end = lines.len();
    let without = |line: usize| [&lines[..line - 1], &lines[line..]].concat().join("\n");
    let instead = |line: usize, by: &str| [&lines[..line - 1], &[by], &lines[line..]].concat().join("\n");
    for (damaged, line, says) in [
        (String::new(), 0, "cut off"),
        (lines[..end - 1].join("\n"), end - 1, "cut off"),
        (text[..text.len() - 40].to_owned(), end - 1, ""),
        (without(3), end - 1, &*format!("there should be {} entries before it, and there are {}", end - 2, end - 3)),
        (without(1), 1, "the first line must say what the others are"),
        (instead(1, "{\"export\":{\"version\":2}}"), 1, "its version is 2"),
        (instead(4, "{\"thing\":1}"), 4, "unknown variant `thing`"),
        (instead(4, "{\"finished\":{\"issue\":0,\"id\":\"x\"}}"), 4, "finished x: must be an integer from 1"),
        (instead(4, "\u{0}"), 4, "is not JSON"),
        (format!("{text}{{}}"), end + 1, "behind the end"),
    ] {
        std::fs::write(server.dir().join("damaged.jsonl"), damaged).unwrap();
        let (exit, code, message) = refusal(&server, &["import", "damaged.jsonl", "--project", "q"]);
        assert_eq!((exit, code.as_str()), (1, "BADFILE"), "{message}");
        assert!(message.starts_with(&format!("damaged.jsonl: line {line}: ")) && message.contains(says), "{message}");
        assert_eq!(server.connect().int("EXISTS q"), 0, "{message}");
    }
}

#[test]
fn what_is_no_backup_is_said_to_be_none() {
    let server = Server::start();
    let (exit, code, message) = refusal(&server, &["import", "."]);
    assert_eq!((exit, code.as_str()), (1, "BADFOLDER"));
    assert!(message.starts_with(". holds no state of PoppoBuilder's"), "{message}");
    let (exit, _, message) = refusal(&server, &["import", "nowhere.jsonl"]);
    assert!(exit == 1 && message.starts_with("nowhere.jsonl: No such file"), "{message}");
    for verify in [&["import", "-", "--verify"][..], &["export", "-", "--verify"]] {
        let (exit, _, message) = refusal(&server, verify);
        assert!(exit == 2 && message.contains("cannot be -"), "{message}");
    }
    let (exit, code, message) = refusal(&server, &["export", "backup.jsonl"]);
    assert_eq!((exit, code.as_str()), (1, "UNKNOWN"), "{message}");
    assert!(!server.dir().join("backup.jsonl").exists());
}

#[test]
fn a_backup_that_cannot_be_written_leaves_what_was_there() {
    let server = lived();
    let before = files(server.dir());
    // A file system that has no room, as far as it can be had without being root: a file may not grow.
    let poppo = poppo_tests::artifacts::poppo().display().to_string();
    let script = format!("trap '' XFSZ; ulimit -f 1; exec {poppo} --url '{}' --project p export \"$1\"", server.url());
    let full = |file: &str| {
        let mut shell = std::process::Command::new("bash");
        shell.args(["-c", &script, "bash", file]).current_dir(server.dir());
        output(shell)
    };
    let failed = full("backup.jsonl");
    let message = String::from_utf8(failed.stderr).unwrap();
    assert_eq!(failed.status.code(), Some(1), "{message}");
    assert!(message.starts_with("poppo: backup.jsonl: File too large"), "{message}");
    assert_eq!(files(server.dir()), before, "nothing is left behind");
    std::fs::write(server.dir().join("backup.jsonl"), "older").unwrap();
    assert_eq!(full("backup.jsonl").status.code(), Some(1));
    assert_eq!(std::fs::read_to_string(server.dir().join("backup.jsonl")).unwrap(), "older");
    let (exit, _, message) = refusal(&server, &["export", "/dev/full"]);
    assert!(exit == 1 && message.starts_with("/dev/full: No space left on device"), "{message}");
    let (exit, _, message) = refusal(&server, &["export", "no/such/folder.jsonl"]);
    assert!(exit == 1 && message.starts_with("no/such/folder.jsonl: No such file"), "{message}");
}

#[test]
fn a_copy_is_merged_and_what_differs_is_named() {
    let (server, other) = (lived(), Server::start());
    let copy = |more: &[&str]| {
        let (from, to) = (server.url(), other.url());
        let mut command = poppo(&server, &[&["copy", &from, &to], more].concat());
        command.env_remove("POPPO_URL");
        command
    };
    let copied = json(copy(&["--verify"]));
    assert_eq!((&copied["kept"], &copied["verified"]), (&0.into(), &true.into()));
    assert_eq!(export(&mut server.connect(), "p", 10_000), export(&mut other.connect(), "p", 10_000));
    // There, something goes on by itself: the higher token stays, and so does who has it.
    let mut there = other.connect();
    let mut issues = (1..).filter(|issue| there.cmd(&format!("POPPO.GET p {issue}")) == redis::Value::Nil);
    let fresh = issues.next().unwrap();
    server.connect().ok(&format!("POPPO.CHECKOUT p {fresh} here"));
    there.ok(&format!("POPPO.CHECKOUT p {fresh} there"));
    let differs = output(copy(&["--verify"]));
    let message = String::from_utf8(differs.stderr).unwrap();
    assert_eq!(differs.status.code(), Some(1), "{message}");
    let expected = format!("the ends differ: 0 entries are missing, 1 are different: issue {fresh} (different)");
    assert!(message.contains(&expected), "{message}");
    assert_eq!(there.ok(&format!("POPPO.GET p {fresh}")).field("process"), "there");
    let (exit, code, _) = refusal(&server, &["copy", &server.url(), &server.url()]);
    assert_eq!((exit, code.as_str()), (2, "USAGE"));
    let renamed = json(copy(&["--to-project", "q", "--verify"]));
    assert_eq!(renamed["project"], "q");
}

#[test]
fn every_line_fits_the_schema() {
    let text = std::fs::read_to_string(poppo_tests::artifacts::workspace().join("docs/state.schema.json")).unwrap();
    let schema: Json = serde_json::from_str(&text).unwrap();
    jsonschema::meta::validate(&schema).unwrap();
    let schema = jsonschema::validator_for(&schema).unwrap();
    let server = Server::builder().no_grace().start();
    let mut connection = server.connect();
    let mut kinds = std::collections::BTreeSet::new();
    for seed in 0..6 {
        connection.ok("DEL p");
        connection.ok("POPPO.CONFIG p SET max-attempts 2 queue-aging 7");
        History::new("p", 40 + seed).run(&mut connection, 300);
        json(poppo(&server, &["export", "backup.jsonl"]));
        let text = std::fs::read_to_string(server.dir().join("backup.jsonl")).unwrap();
        for line in text.lines() {
            let entry: Json = serde_json::from_str(line).unwrap();
            let faults: Vec<String> = schema.iter_errors(&entry).map(|fault| fault.to_string()).collect();
            assert!(faults.is_empty(), "{line}\n{}", faults.join("\n"));
            let (kind, content) = entry.as_object().unwrap().iter().next().unwrap();
            let run = content["run"].as_object().and_then(|run| run.keys().next());
            kinds.insert(run.unwrap_or(kind).clone());
            // And nothing fits that has more than that.
            let mut more = entry.clone();
            more[kind]["colour"] = "red".into();
            assert!(!schema.is_valid(&more), "{more}");
        }
    }
    let all = ["dead", "end", "ended", "export", "finished", "held", "project", "task", "working"];
    assert_eq!(kinds.into_iter().collect::<Vec<_>>(), all);
    assert!(!schema.is_valid(&document!({ "export": { "version": 2 } })));
}

#[test]
fn the_example_of_the_page_is_a_backup() {
    let page = std::fs::read_to_string(poppo_tests::artifacts::workspace().join("docs/state.md")).unwrap();
    let example = page.split("```json\n").nth(1).unwrap().split("```").next().unwrap();
    let server = Server::start();
    std::fs::write(server.dir().join("example.jsonl"), example).unwrap();
    let restored = json(poppo(&server, &["import", "example.jsonl", "--verify"]));
    let expected = ["issues", "tasks", "finished", "settings"].map(|what| restored[what].as_u64());
    assert_eq!(expected, [Some(1); 4], "{restored}");
}
