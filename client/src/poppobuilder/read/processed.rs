//! `processed-issues.json` and `processed-comments.json`: what was begun once, and is not to be begun again.

use poppo::IssueNumber;
use poppo_core::TaskId;
use serde_json::Value;

use super::{Comment, Reader, called};
use crate::poppobuilder::fields::{integer, issue_named};
use crate::poppobuilder::files::comment_task;
use crate::poppobuilder::split::{Document, Entry, Part};

/// The fields in which a record says which issue it is about.
const ISSUE: [&str; 3] = ["issueNumber", "number", "issue"];
/// The fields in which a record says which comment it is about.
const COMMENT: [&str; 3] = ["commentId", "id", "comment"];

impl Reader<'_> {
    pub(super) fn processed_issues(&mut self, document: Document<'_>) {
        let is_map = matches!(document, Document::Map(_));
        for entry in self.entries(document, "") {
            let Some((value, mut notes)) = self.value(&entry.name, &entry.part) else { continue };
            let (name, number) = if is_map { named(&entry, &value) } else { listed(&entry, value, &mut notes) };
            match number {
                Ok(number) if !self.state.seen.processed.insert(number) => {
                    self.report.unused(&name, "it is there more than once");
                }
                Ok(number) => {
                    if is_map {
                        notes.push("it was in a map".to_owned());
                    }
                    let item = self.report.used(&name, &notes);
                    self.state.processed.push((number, item));
                }
                Err(why) => self.report.unused(&name, &why),
            }
        }
    }

    pub(super) fn processed_comments(&mut self, document: Document<'_>) {
        let is_map = matches!(document, Document::Map(_));
        for entry in self.entries(document, "") {
            if is_map {
                self.comments_of(&entry.name, &entry.part);
            } else {
                self.listed_comment(&entry);
            }
        }
    }

    /// The comments under an issue's number.
    fn comments_of(&mut self, name: &str, part: &Part<'_>) {
        let Some((issue, is_other)) = issue_named(name) else {
            self.report.unused(name, "its name is no issue's number");
            return;
        };
        let mut notes: Vec<String> = Vec::new();
        if is_other {
            notes.push(format!("its name means issue {issue}"));
        }
        match part.split() {
            Document::List(comments) => {
                for comment in comments {
                    self.comment_in(issue, &format!("{name}/{}", comment.name), &comment.part, &notes);
                }
            }
            // Their ids are the names.
            Document::Map(comments) => {
                notes.push("it was in a map".to_owned());
                for comment in comments {
                    let entry = format!("{name}/{}", comment.name);
                    let Some((value, mended)) = self.value(&entry, &comment.part) else { continue };
                    match value {
                        Value::Bool(false) => self.report.unused(&entry, "it is false: not processed"),
                        _ => self.comment(issue, &entry, comment.name.into(), [notes.clone(), mended].concat()),
                    }
                }
            }
            Document::Other(_) => {
                notes.push("it was no list".to_owned());
                self.comment_in(issue, name, part, &notes);
            }
        }
    }

    fn comment_in(&mut self, issue: IssueNumber, entry: &str, part: &Part<'_>, notes: &[String]) {
        let Some((value, mended)) = self.value(entry, part) else { return };
        self.comment(issue, entry, value, [notes, &mended[..]].concat());
    }

    /// A record that says both, or a pair of an issue and its comments.
    fn listed_comment(&mut self, entry: &Entry<'_>) {
        if let Document::List(pair) = entry.part.split()
            && let [issue, comments] = pair.as_slice()
        {
            let name = issue.part.read().map(|read| match read.value {
                Value::String(name) => name,
                other => other.to_string(),
            });
            return match name {
                Ok(name) => self.comments_of(&name, &comments.part),
                Err(why) => self.report.unused(&entry.name, &why),
            };
        }
        let Some((value, mut notes)) = self.value(&entry.name, &entry.part) else { return };
        let field = |names: [&str; 3]| names.into_iter().find_map(|name| value.get(name)).cloned();
        let issue = field(ISSUE).and_then(|issue| integer(&issue)).and_then(|(n, _)| IssueNumber::try_from(n).ok());
        match (issue, field(COMMENT)) {
            (Some(issue), Some(id)) => {
                notes.push("it was in a list".to_owned());
                self.comment(issue, &entry.name, id, notes);
            }
            _ => self.report.unused(&entry.name, "it does not say of which issue"),
        }
    }

    fn comment(&mut self, issue: IssueNumber, entry: &str, value: Value, mut notes: Vec<String>) {
        let text = match value {
            Value::String(text) => text,
            Value::Number(number) => number.to_string(),
            Value::Object(record) => match COMMENT.into_iter().find_map(|name| record.get(name)) {
                Some(Value::String(text)) => text.clone(),
                Some(Value::Number(number)) => number.to_string(),
                _ => return self.report.unused(entry, "it does not say which comment it is about"),
            },
            other => return self.report.unused(entry, &format!("it is {} and no comment's id", called(&other))),
        };
        let id = comment_task(text.trim());
        // People look for comments by their ids.
        let entry = match entry.rsplit_once('/') {
            Some((issue, _)) => format!("{issue}/{text}"),
            None => entry.to_owned(),
        };
        if TaskId::parse(id.as_bytes()).is_err() {
            self.report.unused(&entry, "it is no comment's id");
            return;
        }
        if !self.state.seen.comments.insert((issue, id.clone())) {
            self.report.unused(&entry, "it is there more than once");
            return;
        }
        if id != text {
            notes.push(format!("it is {id} here"));
        }
        let item = self.report.used(&entry, &notes);
        self.state.comments.push(Comment { item, issue, id });
    }
}

/// An issue that is a name in a map.
fn named(entry: &Entry<'_>, value: &Value) -> (String, Result<IssueNumber, String>) {
    let number = match (issue_named(&entry.name), value) {
        (Some(_), Value::Bool(false)) => Err("it is false: not processed".to_owned()),
        (Some((number, _)), _) => Ok(number),
        (None, _) => Err("its name is no issue's number".to_owned()),
    };
    (entry.name.clone(), number)
}

/// An issue in a list: a number, a number as a text, or a record.
fn listed(entry: &Entry<'_>, value: Value, notes: &mut Vec<String>) -> (String, Result<IssueNumber, String>) {
    let said = match &value {
        Value::Object(record) => {
            notes.push("it was a record".to_owned());
            ISSUE.into_iter().find_map(|name| record.get(name)).cloned().unwrap_or_default()
        }
        _ => value.clone(),
    };
    let number = match &said {
        Value::String(text) => issue_named(text).map(|(number, _)| number),
        other => integer(other).and_then(|(number, _)| IssueNumber::try_from(number).ok()),
    };
    if said.is_string() {
        notes.push("it was a text".to_owned());
    }
    let name = match &value {
        Value::Object(_) | Value::Array(_) => entry.name.clone(),
        other => other.to_string(),
    };
    (name, number.ok_or_else(|| format!("it is {} and no issue's number", called(&value))))
}
