//! A piece that came from somewhere: checked as a whole before anything of it is taken.

use serde::Deserialize as _;
use serde_json::Value;

use super::{EXPORT_VERSION, Entry, MovedIssue};
use crate::snapshot::document::numbered;
use crate::snapshot::{
    Corrupt, DeadRow, IssueRow, LifeRow, Rows, StandingRow, TaskRow, WaitingRow, check_names, check_task_id, check_text,
};
use crate::types::{HIGHEST_STORED, Invalid};

/// Why a text is not a piece: which line of it is wrong, and what is allowed there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}{}: {message}", in_brackets(entry))]
pub struct BadPiece {
    line: usize,
    /// Which entry it is, where that can be said.
    entry: String,
    message: String,
}

impl BadPiece {
    /// The number of the line, from 1.
    pub fn line(&self) -> usize {
        self.line
    }

    /// What is wrong there, and with which entry.
    pub fn what(&self) -> String {
        if self.entry.is_empty() { self.message.clone() } else { format!("{}: {}", self.entry, self.message) }
    }
}

fn in_brackets(entry: &str) -> String {
    if entry.is_empty() { String::new() } else { format!(" ({entry})") }
}

/// A piece that was found valid: a header, and entries.
#[derive(Debug)]
pub struct Piece(Vec<Value>);

impl Piece {
    /// Reads lines of JSON, as an export has them: a header, then entries. Empty lines are passed over.
    ///
    /// # Errors
    /// [`BadPiece`] for the first line that is not what it may be.
    pub fn parse(text: &str) -> Result<Self, BadPiece> {
        let mut values = Vec::new();
        for (number, line) in (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty()) {
            let bad = |entry: String, message: String| BadPiece { line: number, entry, message };
            let value: Value =
                serde_json::from_str(line).map_err(|error| bad(String::new(), format!("is not JSON: {error}")))?;
            let entry = read(&value).and_then(|entry| if values.is_empty() { first(entry) } else { Ok(entry) });
            let checked = entry.and_then(|entry| check(entry).map_err(|corrupt| corrupt.to_string()));
            checked.map_err(|message| bad(named(&value), message))?;
            values.push(value);
        }
        if values.is_empty() {
            let message = format!("is missing: {FIRST}");
            return Err(BadPiece { line: 1, entry: String::new(), message });
        }
        Ok(Self(values))
    }

    /// The entries.
    pub(super) fn entries(&self) -> impl Iterator<Item = Entry<'_>> {
        // They could be read before.
        self.0.iter().filter_map(|value| Entry::deserialize(value).ok())
    }

    /// How many lines there are.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

const FIRST: &str = "the first line must say what the others are, as {\"export\":{\"version\":1}} does";

fn first(entry: Entry<'_>) -> Result<Entry<'_>, String> {
    if matches!(entry, Entry::Export(_)) { Ok(entry) } else { Err(FIRST.to_owned()) }
}

fn read(value: &Value) -> Result<Entry<'_>, String> {
    // A newer version may have fields that this one does not know.
    if let Some(version) = value.pointer("/export/version").and_then(Value::as_u64)
        && version != EXPORT_VERSION
    {
        return Err(format!("its version is {version}, and this version of Poppo takes version {EXPORT_VERSION}"));
    }
    Entry::deserialize(value).map_err(|error| error.to_string())
}

/// What an entry is about, as far as that can be seen.
fn named(value: &Value) -> String {
    let Some((kind, entry)) = value.as_object().and_then(|fields| fields.iter().next()) else { return String::new() };
    let about = match kind.as_str() {
        "issue" => entry.get("number").and_then(Value::as_u64).map(|number| format!("issue {number}")),
        "task" | "dead" => {
            entry.pointer("/task/id").and_then(Value::as_str).map(|id| format!("{kind} {}", id.escape_debug()))
        }
        "finished" => entry.get("id").and_then(Value::as_str).map(|id| format!("{kind} {}", id.escape_debug())),
        _ => None,
    };
    about.map(|about| about.chars().take(200).collect()).unwrap_or_default()
}

fn check(entry: Entry<'_>) -> Result<(), Corrupt> {
    match entry {
        Entry::Export(_) => Ok(()),
        Entry::Project(head) => head.last_token.map_or(Ok(()), |token| check_token("lastToken", token.get())),
        Entry::Task(task) => check_task(task.stored()),
        Entry::Issue(issue) => check_issue(*issue),
        Entry::Dead(dead) => {
            let rows = numbered(vec![dead.stored()]);
            let DeadRow { task, reason, .. } = only(&rows)?;
            reason.map_or(Ok(()), check_text)?;
            task.check(check_names(&rows.names)?)
        }
        Entry::Finished(finished) => check_task_id(finished.id),
    }
}

fn check_task(task: WaitingRow<'_, &str>) -> Result<(), Corrupt> {
    let rows = numbered(vec![task]);
    let task: &TaskRow<'_> = &only(&rows)?.task;
    task.check(check_names(&rows.names)?)
}

fn check_issue(issue: MovedIssue<'_>) -> Result<(), Corrupt> {
    check_token("token", issue.token.get())?;
    if let Some(holder) = issue.holder() {
        let rows = numbered(vec![holder.clone().stored(StandingRow::Current { attested: None })]);
        let life: &LifeRow<'_> = only(&rows)?;
        life.check(check_names(&rows.names)?)?;
    }
    let rows = numbered(issue.stored().into_iter().collect());
    let issue: &IssueRow<'_> = only(&rows)?;
    issue.check(check_names(&rows.names)?)
}

/// Behind every token there must be room for others.
fn check_token(what: &'static str, token: u64) -> Result<(), Corrupt> {
    if token <= HIGHEST_STORED { Ok(()) } else { Err(Corrupt::Invalid(what, Invalid::Integer(1, HIGHEST_STORED))) }
}

fn only<'r, T>(rows: &'r Rows<'_, T>) -> Result<&'r T, Corrupt> {
    rows.rows.first().ok_or(Corrupt::Value("an entry"))
}
