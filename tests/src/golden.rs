//! Golden files: what released versions wrote, kept as text, and what it has to show for ever.
//!
//! `tests/golden/<version>/` holds one project in several media, a directory each, laid out as a server finds it:
//! `rdb/dump.rdb.base64`, `aof-…/appendonlydir/…`. Binary files are stored as lines of base64, text files as they are.
//! Beside them lies `portrait.jsonl`: what each reading command answered, one line a command. The program `golden`
//! of this package writes such a directory, `tests/tests/golden.rs` reads them all.

use std::path::{Path, PathBuf};

use redis::Value;
use serde_json::Value as Json;

use crate::artifacts::workspace;
use crate::{Builder, Connection, Reply as _, Server};

/// The name of the project in the golden files.
pub const PROJECT: &str = "acme/golden";

/// The file with what the reading commands answered.
pub const PORTRAIT: &str = "portrait.jsonl";

/// Marks a file that is stored as base64.
const ENCODED: &str = "base64";

/// How many characters a line of base64 has.
const LINE: usize = 116;

/// Where the golden files of all versions are.
pub fn directory() -> PathBuf {
    workspace().join("tests/golden")
}

/// The directories in `directory`, sorted.
pub fn directories(directory: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory).unwrap_or_else(|error| panic!("{}: {error}", directory.display()));
    let mut found: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).filter(|path| path.is_dir()).collect();
    found.sort();
    found
}

/// A server for golden files. Nobody is an orphan by silence for a day after the load: with times to live of a day,
/// what it shows does not depend on today's date.
pub fn patient(directory: &Path) -> Builder {
    Server::builder().module_arg("restart-grace").module_arg(86_400_000).dir(directory)
}

/// What each reading command says of [`PROJECT`].
#[track_caller]
pub fn portrait(connection: &mut Connection) -> Vec<(String, Json)> {
    let project = PROJECT;
    let mut lines: Vec<String> = ["", "STATUS error", "PROCESSES"]
        .iter()
        .map(|what| format!("POPPO.LIST {project} COUNT 10000 {what}").trim_end().to_owned())
        .collect();
    lines.push(format!("POPPO.LIST {project} DEAD COUNT 10000"));
    lines.push(format!("{TASKS} {project}"));
    lines.push(format!("POPPO.ORPHANS {project} COUNT 10000"));
    lines.push(format!("POPPO.ORPHANS {project} COUNT 10000 HOST build-7"));
    lines.push(format!("POPPO.STATS {project}"));
    lines.push(format!("POPPO.CONFIG {project} GET"));
    let issues = connection.ok(&format!("POPPO.LIST {project} COUNT 10000"));
    let numbers: Vec<i64> = issues.rows()[1].rows().iter().map(|row| row.count("issue")).collect();
    // Of the many alike at the end, every tenth; and what is not there between the others.
    let between = (1..*numbers.last().expect("a project with issues")).take(100);
    let mut looked: Vec<i64> = between.chain(numbers.into_iter().filter(|n| *n < 10_000 || n % 10 == 1)).collect();
    looked.sort_unstable();
    looked.dedup();
    lines.extend(looked.iter().map(|issue| format!("POPPO.GET {project} {issue}")));
    lines.into_iter().map(|line| ask(connection, line)).collect()
}

/// No command: all tasks that wait, delayed ones among them, whether they are due today or not.
const TASKS: &str = "TASKS";

/// What a project shows of its tasks that depends on today's date.
const OF_TODAY: [&str; 4] = ["oldest", "waiting", "delayed", "depth"];

/// A line of a portrait again.
#[track_caller]
pub fn ask(connection: &mut Connection, line: String) -> (String, Json) {
    let answer = match line.strip_prefix(TASKS) {
        Some(project) => tasks(connection, project.trim()),
        None => json(&connection.ok(&line)),
    };
    (line, answer)
}

/// The tasks that wait and those that are delayed, by id.
fn tasks(connection: &mut Connection, project: &str) -> Json {
    let mut tasks = serde_json::Map::new();
    for which in ["QUEUE", "DELAYED"] {
        let listed = json(&connection.ok(&format!("POPPO.LIST {project} {which} COUNT 10000")));
        for row in listed[1].as_array().expect("a list has rows") {
            let mut row = row.as_object().expect("a row is a record").clone();
            // It waits since it was due.
            let turn = row.remove("since").or_else(|| row.remove("due")).expect("a task has its turn");
            row.insert("turn".to_owned(), turn);
            row.remove("held");
            tasks.insert(row["task"].as_str().expect("a task has an id").to_owned(), Json::Object(row));
        }
    }
    Json::Object(tasks)
}

/// A portrait as it is stored.
pub fn write_portrait(portrait: &[(String, Json)]) -> String {
    portrait.iter().map(|(line, answer)| format!("{}\n", serde_json::json!([line, answer]))).collect()
}

/// A portrait that was stored.
pub fn read_portrait(version: &Path) -> Vec<(String, Json)> {
    let text = std::fs::read_to_string(version.join(PORTRAIT)).expect("each version has a portrait");
    text.lines().map(|line| serde_json::from_str(line).expect("a pair of command and answer")).collect()
}

/// What an answer lacks of what was expected: `path: expected, answered`. Fields that came later are no lack.
pub fn lacking(expected: &Json, answered: &Json) -> Option<String> {
    match (expected, answered) {
        (Json::Object(expected), Json::Object(answered)) => expected.iter().find_map(|(name, value)| {
            let lack = lacking(value, answered.get(name).unwrap_or(&Json::Null));
            lack.map(|lack| format!(".{name}{lack}"))
        }),
        (Json::Array(expected), Json::Array(answered)) if expected.len() == answered.len() => {
            let mut pairs = expected.iter().zip(answered).enumerate();
            pairs.find_map(|(at, (expected, answered))| lacking(expected, answered).map(|lack| format!("[{at}]{lack}")))
        }
        _ if expected == answered => None,
        _ => Some(format!(": expected {expected}, answered {answered}")),
    }
}

fn json(value: &Value) -> Json {
    match value {
        Value::Nil => Json::Null,
        Value::Int(n) => Json::from(*n),
        Value::Array(items) => items.iter().map(json).collect(),
        Value::Map(pairs) => {
            let named = pairs.iter().map(|(name, value)| (name.text().expect("a field has a name"), json(value)));
            Json::Object(named.filter(|(name, _): &(String, Json)| !OF_TODAY.contains(&name.as_str())).collect())
        }
        other => Json::from(other.text().unwrap_or_else(|| panic!("a reading command answered {other:?}"))),
    }
}

/// Stores the files under `from` as text under `to`.
pub fn pack(from: &Path, to: &Path) {
    copy(from, to, &|bytes, path| match std::str::from_utf8(&bytes) {
        // A carriage return would not survive every git.
        Ok(text) if !text.contains('\r') => (bytes, path),
        _ => {
            let mut name = path.into_os_string();
            name.push(".");
            name.push(ENCODED);
            (encode(&bytes).into_bytes(), name.into())
        }
    });
}

/// Lays the files stored under `from` out under `to`, as a server finds them.
pub fn unpack(from: &Path, to: &Path) {
    copy(from, to, &|bytes, path| match path.extension() {
        Some(extension) if extension == ENCODED => {
            (decode(&String::from_utf8(bytes).expect("base64 is text")), path.with_extension(""))
        }
        _ => (bytes, path),
    });
}

/// Copies all files, each as `turn` says, and below.
fn copy(from: &Path, to: &Path, turn: &dyn Fn(Vec<u8>, PathBuf) -> (Vec<u8>, PathBuf)) {
    std::fs::create_dir_all(to).expect("a directory is made");
    for entry in std::fs::read_dir(from).expect("a directory is read") {
        let source = entry.expect("an entry").path();
        let target = to.join(source.file_name().expect("an entry has a name"));
        if source.is_dir() {
            copy(&source, &target, turn);
        } else {
            let (bytes, target) = turn(std::fs::read(&source).expect("a file is read"), target);
            std::fs::write(target, bytes).expect("a file is written");
        }
    }
}

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Base64 in lines.
fn encode(bytes: &[u8]) -> String {
    let mut text = Vec::new();
    for three in bytes.chunks(3) {
        let bits = three.iter().fold(0, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - three.len()));
        for place in 0..4 {
            let digit = ALPHABET[(bits >> (18 - 6 * place) & 63) as usize];
            text.push(if place <= three.len() { digit } else { b'=' });
        }
    }
    text.chunks(LINE).map(|line| String::from_utf8_lossy(line).into_owned() + "\n").collect()
}

/// The bytes of base64, whatever its lines.
fn decode(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let (mut bits, mut count) = (0_u32, 0);
    for character in text.bytes().filter(|byte| !byte.is_ascii_whitespace() && *byte != b'=') {
        let digit = ALPHABET.iter().position(|digit| *digit == character);
        bits = bits << 6 | digit.unwrap_or_else(|| panic!("{character:#x} is no base64")) as u32;
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count) as u8);
            bits &= (1 << count) - 1;
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_what_others_write_and_gives_back_what_went_in() {
        for (bytes, text) in [("", ""), ("f", "Zg==\n"), ("fo", "Zm8=\n"), ("foo", "Zm9v\n"), ("fooba", "Zm9vYmE=\n")] {
            assert_eq!(encode(bytes.as_bytes()), text);
            assert_eq!(decode(text), bytes.as_bytes());
        }
        let all: Vec<u8> = (0..=255).cycle().take(1000).collect();
        assert_eq!(decode(&encode(&all)), all);
    }

    #[test]
    fn later_fields_are_no_lack_but_a_changed_or_missing_one_is() {
        let expected = serde_json::json!({"a": [1, {"b": null}], "c": "x"});
        assert_eq!(lacking(&expected, &serde_json::json!({"a": [1, {"b": null, "new": 1}], "c": "x", "d": 2})), None);
        for wrong in [
            serde_json::json!({"a": [1, {"b": 2}], "c": "x"}),
            serde_json::json!({"a": [1], "c": "x"}),
            serde_json::json!({"a": [1, {"b": null}]}),
        ] {
            assert!(lacking(&expected, &wrong).is_some(), "{wrong}");
        }
    }
}
