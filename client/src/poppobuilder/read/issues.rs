//! `issue-status.json`: a map of issues under `issues`; older ones have no `issues`, and some are lists.

use std::collections::BTreeMap;

use poppo::{IssueNumber, Outcome};
use serde_json::{Map, Value};

use super::{Issue, Reader, called};
use crate::poppobuilder::fields::{Fields, cut, issue_named, shorten};
use crate::poppobuilder::split::{Document, Entry};

/// When labels were last compared: no entry, and of no use here.
const LAST_SYNC: &str = "lastSync";

/// What a status means.
enum Meaning {
    Processing,
    Ended(Outcome),
    /// Nobody has begun, or it is as if nobody had.
    Nothing,
}

impl Meaning {
    /// Of the word that is there, and whether Poppo says it otherwise.
    fn of(word: &str) -> Option<(Self, bool)> {
        let spelled = word.trim().to_ascii_lowercase().replace(['_', ' '], "-");
        let meaning = match spelled.as_str() {
            "processing" | "running" | "in-progress" => Self::Processing,
            "completed" | "complete" | "done" | "success" | "succeeded" => Self::Ended(Outcome::Completed),
            "awaiting-response" | "awaiting" => Self::Ended(Outcome::AwaitingResponse),
            "error" | "failed" | "failure" => Self::Ended(Outcome::Error),
            "cancelled" | "canceled" => Self::Ended(Outcome::Cancelled),
            "idle" | "pending" | "queued" | "waiting" | "open" => Self::Nothing,
            _ => return None,
        };
        let is_same = matches!(word, "processing" | "completed" | "awaiting-response" | "error" | "cancelled");
        Some((meaning, !is_same))
    }
}

impl Reader<'_> {
    pub(super) fn issues(&mut self, document: Document<'_>) {
        if let Document::List(entries) = document {
            return entries.iter().for_each(|entry| self.listed_issue(entry));
        }
        for entry in self.entries(document, "") {
            let nested = entry.part.split();
            match (entry.name.as_str(), nested) {
                (LAST_SYNC, _) => {}
                ("issues", Document::Map(issues)) => issues.iter().for_each(|issue| self.named_issue(issue)),
                ("issues", Document::List(issues)) => issues.iter().for_each(|issue| self.listed_issue(issue)),
                _ => self.named_issue(&entry),
            }
        }
    }

    /// An issue under its number.
    fn named_issue(&mut self, entry: &Entry<'_>) {
        let Some((value, mut notes)) = self.value(&entry.name, &entry.part) else { return };
        let Some((number, is_other)) = issue_named(&entry.name) else {
            self.report.unused(&entry.name, "its name is no issue's number");
            return;
        };
        if is_other {
            notes.push(format!("its name means issue {number}"));
        }
        let mut fields = match value {
            Value::Object(record) => self.fields(record),
            Value::String(status) => {
                notes.push("it is only a status".to_owned());
                self.fields(Map::from_iter([("status".to_owned(), status.into())]))
            }
            other => {
                self.report.unused(&entry.name, &format!("it is {} and no record", called(&other)));
                return;
            }
        };
        fields.notes = notes;
        for name in ["issueNumber", "number"] {
            fields.any(name);
        }
        self.issue(&entry.name, number, fields);
    }

    /// An issue in a list, which says its number itself.
    fn listed_issue(&mut self, entry: &Entry<'_>) {
        let Some(mut fields) = self.record(&entry.name, &entry.part) else { return };
        let names = ["issueNumber", "number", "issue"];
        let number = names.into_iter().find_map(|name| fields.issue(name));
        match number {
            Some(number) => {
                fields.note("it was in a list");
                self.issue(&entry.name, number, fields);
            }
            None => self.report.unused(&entry.name, "it does not say which issue it is about"),
        }
    }

    fn issue(&mut self, name: &str, number: IssueNumber, mut fields: Fields) {
        let Some(word) = fields.text("status") else {
            self.report.unused(name, "it has no status");
            return;
        };
        let Some((meaning, is_other)) = Meaning::of(&word) else {
            self.report.unused(name, &format!("its status {word:?} is unknown"));
            return;
        };
        let outcome = match meaning {
            Meaning::Processing => None,
            Meaning::Ended(outcome) => Some(outcome),
            Meaning::Nothing => {
                self.report.unused(name, &format!("nobody works on it, and nobody did: its status is {word:?}"));
                return;
            }
        };
        if is_other {
            let is = outcome.map_or("processing", Outcome::as_str);
            fields.note(format!("its status {word:?} is {is:?} here"));
        }
        let [started, updated, ended] = ["startTime", "lastUpdated", "endTime"].map(|name| fields.time(name));
        fields.time("lastHeartbeat");
        let newest = started.max(updated).max(ended);
        if newest.is_none() {
            fields.note("it does not say when; the file's time is taken");
        }
        let newest = newest.unwrap_or(self.modified);
        let result = fields.any("result");
        let (process, pid, task_type) = (fields.name("processId"), fields.pid("pid"), fields.name("taskType"));
        let (title, reason) = (fields.text("title"), fields.text("reason"));
        let issue = Issue {
            number,
            outcome,
            started: started.unwrap_or(newest),
            updated: newest,
            ended: ended.or(updated).unwrap_or(newest),
            process,
            pid,
            task_type,
            title,
            reason,
            has_failed: outcome == Some(Outcome::Error) || result.as_ref().is_some_and(says_error),
            result: result.map(|result| json(&result, &mut fields)),
            metadata: metadata(&mut fields),
            item: self.report.used(name, &fields.notes),
        };
        self.state.issues.push(issue);
    }
}

/// Whether a result is about a failure.
fn says_error(result: &Value) -> bool {
    match result.get("error") {
        None | Some(Value::Null | Value::Bool(false)) => false,
        Some(Value::String(text)) => !text.is_empty(),
        Some(_) => true,
    }
}

/// A result as the server takes it. Of one that is too long the beginning is kept, as a text.
fn json(result: &Value, fields: &mut Fields) -> String {
    let text = result.to_string();
    let (mut kept, is_cut) = cut(text);
    if is_cut {
        fields.note("result is cut, and a text now");
        // Its quotes and backslashes are two bytes each then.
        let half = kept.len() / 2 - 1;
        shorten(&mut kept, half);
        kept = Value::from(kept).to_string();
    }
    kept
}

/// The fields under `metadata`, and those that nobody knows.
fn metadata(fields: &mut Fields) -> BTreeMap<String, String> {
    let inner = fields.record("metadata").unwrap_or_default();
    let outer = fields.rest();
    let mut metadata = BTreeMap::new();
    for (name, value) in outer.into_iter().chain(inner).filter(|(_, value)| !value.is_null()) {
        let text = match value {
            Value::String(text) => text,
            other => other.to_string(),
        };
        let ((name, name_is_cut), (text, is_cut)) = (cut(name), cut(text));
        if name_is_cut || is_cut {
            fields.note("metadata is cut");
        }
        metadata.insert(name, text);
    }
    metadata
}
