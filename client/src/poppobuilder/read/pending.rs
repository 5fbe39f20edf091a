//! `pending-tasks.json`: what waits.

use poppo_core::{Priority, TaskId};
use serde_json::{Map, Value};

use super::{Pending, Reader};
use crate::poppobuilder::fields::{Fields, integer, is_name, shorten};
use crate::poppobuilder::files::{COMMENT_TYPE, TASK_TYPES, comment_task};
use crate::poppobuilder::split::{Document, Entry};

/// How labels begin that name a type.
const TASK_LABEL: &str = "task:";
/// The type that goes before all others of an issue.
const DOGFOODING: &str = "dogfooding";
/// The longest payload that the server takes, in bytes.
const LONGEST: usize = poppo_core::MAX_TEXT;

impl Reader<'_> {
    pub(super) fn pending(&mut self, document: Document<'_>) {
        let is_map = matches!(document, Document::Map(_));
        for entry in self.entries(document, "") {
            self.pending_task(&entry, is_map);
        }
    }

    fn pending_task(&mut self, entry: &Entry<'_>, is_map: bool) {
        let Some(mut fields) = self.record(&entry.name, &entry.part) else { return };
        let Ok(whole) = entry.part.read().map(|read| read.value) else { return };
        if is_map {
            fields.note("it was in a map");
        }
        let about = fields.record("issue").unwrap_or_default();
        let mut about = self.fields(about);
        let number = fields.issue("issueNumber").or_else(|| about.issue("number"));
        let own = fields.text("id");
        let name = own.clone().unwrap_or_else(|| entry.name.clone());
        let Some(issue) = number else {
            self.report.unused(&name, "it does not say which issue it is about");
            return;
        };
        let comment = fields.record("comment");
        let is_comment = comment.is_some() || fields.text("type").as_deref() == Some("comment");
        let kind = if is_comment { COMMENT_TYPE.to_owned() } else { task_type(&mut fields, &mut about) };
        let id = if is_comment { comment_id(comment.as_ref()).or(own) } else { Some(format!("{issue}:{kind}")) };
        let Some(id) = id.filter(|id| TaskId::parse(id.as_bytes()).is_ok()) else {
            self.report.unused(&name, "it does not say which comment it is about");
            return;
        };
        let since = fields.time("enqueuedAt");
        if since.is_none() {
            fields.note("it does not say since when; the file's time is taken");
        }
        let priority = priority(&mut fields);
        let attempts = fields.integer("attempts").unwrap_or_default();
        let title = about.text("title").or_else(|| fields.text("title"));
        let payload = payload(whole, &mut fields);
        fields.notes.append(&mut about.notes);
        if !self.state.seen.pending.insert(id.clone()) {
            self.report.unused(&name, &format!("{id} waits already"));
            return;
        }
        let item = self.report.used(&name, &fields.notes);
        let attempts = u16::try_from(attempts).unwrap_or(u16::MAX);
        let since = since.unwrap_or(self.modified);
        self.state.pending.push(Pending { item, issue, id, kind, priority, attempts, since, title, payload });
    }
}

/// By what a comment's task is known.
fn comment_id(comment: Option<&Map<String, Value>>) -> Option<String> {
    match comment?.get("id")? {
        Value::String(id) => Some(comment_task(id)),
        Value::Number(id) => Some(comment_task(&id.to_string())),
        _ => None,
    }
}

/// The type that an issue's labels name, as the daemon's intake finds it: of several `dogfooding`, else the first by name.
fn task_type(fields: &mut Fields, issue: &mut Fields) -> String {
    let labels = |fields: &mut Fields| match fields.any("labels") {
        Some(Value::Array(labels)) => labels,
        _ => Vec::new(),
    };
    let labels = [labels(fields), labels(issue)].concat();
    let names = labels.iter().filter_map(|label| label.get("name").unwrap_or(label).as_str());
    let types = names.filter_map(|name| name.strip_prefix(TASK_LABEL)).filter(|kind| is_name(kind));
    let first = types.min_by_key(|kind| (*kind != DOGFOODING, *kind));
    let unnamed = TASK_TYPES.first().copied().unwrap_or_default();
    // Its own type may be longer than an id has room for.
    first.filter(|kind| kind.len() <= 100).unwrap_or(unnamed).to_owned()
}

/// A level's number or its name; normal where there is none.
fn priority(fields: &mut Fields) -> u16 {
    let Some(said) = fields.any("priority") else { return Priority::NORMAL.get() };
    let level = said.as_str().and_then(|name| Priority::parse(name.trim().as_bytes()).ok());
    let number = integer(&said).map(|(number, _)| u16::try_from(number).unwrap_or(u16::MAX).min(Priority::MAX));
    let given = level.map(Priority::get).or(number);
    if given.is_none_or(|given| said != given) {
        fields.note(format!("its priority {said} is {} here", given.unwrap_or(Priority::NORMAL.get())));
    }
    given.unwrap_or(Priority::NORMAL.get())
}

/// The record as it is: who worked on it there finds in it what he looks for. Long texts are cut where they must be.
fn payload(mut record: Value, fields: &mut Fields) -> Option<String> {
    let mut text = record.to_string();
    for at in ["/issue/body", "/comment/body"] {
        if text.len() > LONGEST
            && let Some(Value::String(body)) = record.pointer_mut(at)
        {
            let left = body.len().saturating_sub(text.len() - LONGEST);
            shorten(body, left);
            fields.note(format!("its payload is too long: {} is cut", at.trim_start_matches('/').replace('/', ".")));
            text = record.to_string();
        }
    }
    if text.len() <= LONGEST {
        return Some(text);
    }
    fields.note("its payload is too long and is left out");
    None
}
