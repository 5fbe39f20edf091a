//! Folders that somebody or something damaged: nothing panics, nothing is lost from the report, nothing is written.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use poppo_tests::{Random, poppobuilder, seed};
use serde_json::{Value, json};

use super::files::{ISSUE_STATUS, Kind, PENDING_TASKS, PROCESSED_COMMENTS, PROCESSED_ISSUES, RUNNING_TASKS};
use super::plan::{Plan, plan};
use super::report::{Outcome, Report};
use super::world::World;
use super::{folder, read};

/// A folder in good order, with every kind of file.
fn good() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    poppobuilder::fill(at);
    let run =
        |issue: u64| json!({ "issueNumber": issue, "pid": 0, "type": "normal", "startTime": "2025-06-23T16:09:03Z" });
    poppobuilder::write(at, RUNNING_TASKS, &json!({ "issue-98-comment-IC_a": run(98), "issue-86": run(86) }));
    let label = json!({ "requestId": "req-1", "issueNumber": 34, "addLabels": ["error"], "removeLabels": [] });
    poppobuilder::write(at, "requests/label-update-1.json", &label);
    poppobuilder::write(at, "unified-config.json", &json!({ "a": 1, "b": [2], "c": null }));
    poppobuilder::write(at, "poppo-node.lock", &json!({ "pid": 0, "hostname": "h" }));
    folder
}

fn photograph(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        if path.is_dir() {
            files.extend(photograph(&path));
        } else {
            files.insert(path.clone(), fs::read(&path).unwrap());
        }
    }
    files
}

/// What is made of a folder; it is checked that each entry has one fate, and that the folder is as before.
fn planned(folder: &Path) -> (Plan, Report) {
    let (before, world) = (photograph(folder), World::here());
    let (state, mut report) = read::read(&folder::list(folder).unwrap(), &world);
    let plan = plan(state, &world, &mut report, true);
    report.count();
    assert!(photograph(folder) == before, "the folder was changed");
    for item in &report.items {
        let is_used = item.outcome != Outcome::Unused;
        assert!(!is_used || !item.becomes.is_empty(), "{item:?}");
        assert!(is_used || !item.reason.is_empty(), "{item:?}");
    }
    let text: String = plan.lines.iter().map(|line| format!("{line}\n")).collect();
    poppo_core::MovedPiece::parse(&format!("{}\n{text}", super::lines::HEADER)).unwrap();
    (plan, report)
}

/// How many entries a file of sound JSON has.
fn entries(kind: &Kind, content: &Value) -> usize {
    let size = |value: &Value| match value {
        Value::Object(map) => Some(map.len()),
        Value::Array(list) => Some(list.len()),
        _ => None,
    };
    let is_issue = |name: &str| super::fields::issue_named(name).is_some();
    match (kind, content) {
        (Kind::IssueStatus, Value::Object(map)) => {
            let of = |(name, value): (&String, &Value)| match name.as_str() {
                "lastSync" => 0,
                "issues" => size(value).unwrap_or(1),
                _ => 1,
            };
            map.iter().map(of).sum()
        }
        (Kind::ProcessedComments, Value::Object(map)) => {
            map.iter().map(|(name, value)| size(value).filter(|_| is_issue(name)).unwrap_or(1)).sum()
        }
        (Kind::LabelUpdate | Kind::Lock, _) => 1,
        (_, content) => size(content).unwrap_or(1),
    }
}

fn counted(report: &Report, file: &str) -> usize {
    report.items.iter().filter(|item| item.is_of(file)).count()
}

/// Changes the type of something within.
fn swap(value: &mut Value, random: &mut Random) {
    let inner = match value {
        Value::Object(map) if !map.is_empty() => {
            let at = random.below(map.len());
            map.iter_mut().nth(at).map(|(_, value)| value)
        }
        Value::Array(list) if !list.is_empty() => {
            let at = random.below(list.len());
            list.get_mut(at)
        }
        _ => None,
    };
    match inner {
        Some(inner) if !random.one_in(3) => swap(inner, random),
        _ => {
            let others = [
                Value::Null,
                json!(true),
                json!(-1),
                json!(1e300),
                json!(18_446_744_073_709_551_615_u64),
                json!("12"),
                json!("\u{0} é \u{202e}"),
                json!([]),
                json!(["34", 35, null]),
                json!({}),
                json!({ "status": "processing", "pid": "x", "issueNumber": "7" }),
                json!("x".repeat(70_000)),
            ];
            *value = random.pick(&others).clone();
        }
    }
}

const FILES: [&str; 8] = [
    ISSUE_STATUS,
    RUNNING_TASKS,
    PROCESSED_ISSUES,
    PROCESSED_COMMENTS,
    PENDING_TASKS,
    "requests/label-update-1.json",
    "unified-config.json",
    "poppo-node.lock",
];

#[test]
fn a_good_folder_is_used_whole() {
    let folder = good();
    let (plan, report) = planned(folder.path());
    let counts = plan.counts;
    assert_eq!((counts.issues, counts.orphans, counts.processed_issues, counts.comments), (20, 2, 4, 47));
    let unused: Vec<_> = report.items.iter().filter(|item| item.outcome == Outcome::Unused).collect();
    assert_eq!(unused.len(), 1, "only the lock: {unused:?}");
}

#[test]
fn whatever_type_something_has_each_entry_is_accounted_for_once() {
    let first = seed(900);
    for seed in first..first + 150 {
        let (folder, mut random) = (good(), Random::new(seed));
        for _ in 0..=random.below(3) {
            let file = random.pick(&FILES);
            let mut content: Value = serde_json::from_slice(&fs::read(folder.path().join(file)).unwrap()).unwrap();
            swap(&mut content, &mut random);
            poppobuilder::write(folder.path(), file, &content);
        }
        let (_, report) = planned(folder.path());
        for file in FILES {
            let content: Value = serde_json::from_slice(&fs::read(folder.path().join(file)).unwrap()).unwrap();
            let expected = entries(&Kind::of(file).unwrap(), &content);
            assert_eq!(counted(&report, file), expected, "seed {seed}, {file}: {content:#}");
        }
    }
}

#[test]
fn whatever_bytes_are_wrong_nothing_panics_and_nothing_is_left_out() {
    let first = seed(950);
    for seed in first..first + 150 {
        let (folder, mut random) = (good(), Random::new(seed));
        let file = *random.pick(&FILES);
        let path = folder.path().join(file);
        let mut text = fs::read(&path).unwrap();
        for _ in 0..=random.below(4) {
            let at = random.below(text.len());
            if let Some(byte) = text.get_mut(at) {
                *byte ^= u8::try_from(1 + random.below(255)).unwrap();
            }
        }
        fs::write(&path, &text).unwrap();
        let (_, report) = planned(folder.path());
        assert!(counted(&report, file) > 0, "seed {seed}, {file}");
    }
}

#[test]
fn of_a_file_that_was_cut_off_all_is_used_that_was_whole() {
    let folder = good();
    let path = folder.path().join(PROCESSED_COMMENTS);
    let text = fs::read_to_string(&path).unwrap();
    let mut random = Random::new(seed(990));
    for _ in 0..60 {
        let cut = text.get(..random.below(text.len())).unwrap();
        fs::write(&path, cut).unwrap();
        let (plan, report) = planned(folder.path());
        // Each id is the only thing between quotes in its line.
        let whole = cut.lines().filter(|line| line.contains("IC_") && line.matches('"').count() == 2).count();
        assert_eq!(plan.counts.comments, whole, "{cut}");
        let accounted = counted(&report, PROCESSED_COMMENTS);
        assert!((whole..=whole + 2).contains(&accounted) && accounted > 0, "{cut}");
    }
}
