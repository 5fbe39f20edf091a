//! What the files say, as tolerantly as it can be understood. Each entry of a file is reported once, by whoever reads it.
//!
//! | file | what it reads |
//! | --- | --- |
//! | `issues` | `issue-status.json` |
//! | `running` | `running-tasks.json` |
//! | `processed` | `processed-issues.json`, `processed-comments.json` |
//! | `pending` | `pending-tasks.json` |
//! | `others` | `requests/label-update-*.json`, `unified-*.json`, locks |

mod issues;
mod others;
mod pending;
mod processed;
mod running;

use std::collections::{BTreeMap, HashSet};

use poppo::{IssueNumber, Outcome};
use serde_json::{Map, Value};

use super::fields::{Fields, Micros, micros};
use super::files::{Kind, LAST_RUN};
use super::folder::Found;
use super::report::{ItemId, Report};
use super::split::{Document, Entry, Part};
use super::world::World;

/// What all files say.
#[derive(Debug, Default)]
pub(crate) struct State {
    pub(crate) issues: Vec<Issue>,
    pub(crate) running: Vec<Running>,
    pub(crate) processed: Vec<(IssueNumber, ItemId)>,
    pub(crate) comments: Vec<Comment>,
    pub(crate) pending: Vec<Pending>,
    /// Issues whose labels somebody asked for.
    pub(crate) labels: Vec<(IssueNumber, ItemId)>,
    pub(crate) unified: Vec<Unified>,
    seen: Seen,
}

/// What was read already, since files may say it twice.
#[derive(Debug, Default)]
struct Seen {
    processed: HashSet<IssueNumber>,
    comments: HashSet<(IssueNumber, String)>,
    pending: HashSet<String>,
}

/// What is known of an issue.
#[derive(Debug)]
pub(crate) struct Issue {
    pub(crate) item: ItemId,
    pub(crate) number: IssueNumber,
    /// How it ended; none where somebody has it.
    pub(crate) outcome: Option<Outcome>,
    pub(crate) started: Micros,
    /// When it last changed.
    pub(crate) updated: Micros,
    pub(crate) ended: Micros,
    pub(crate) process: Option<String>,
    pub(crate) pid: Option<u32>,
    pub(crate) task_type: Option<String>,
    pub(crate) title: Option<String>,
    pub(crate) reason: Option<String>,
    /// JSON.
    pub(crate) result: Option<String>,
    /// Whether that says that something went wrong.
    pub(crate) has_failed: bool,
    pub(crate) metadata: BTreeMap<String, String>,
}

/// Something that ran when this was written.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) item: ItemId,
    /// Its name there.
    pub(crate) task: String,
    pub(crate) issue: IssueNumber,
    pub(crate) pid: Option<u32>,
    pub(crate) kind: Option<String>,
    /// Which comment it is about, if it is about one.
    pub(crate) comment: Option<String>,
    pub(crate) title: Option<String>,
    pub(crate) started: Micros,
}

/// A comment that was queued once.
#[derive(Debug)]
pub(crate) struct Comment {
    pub(crate) item: ItemId,
    pub(crate) issue: IssueNumber,
    /// As a task's id.
    pub(crate) id: String,
}

/// Something that waits.
#[derive(Debug)]
pub(crate) struct Pending {
    pub(crate) item: ItemId,
    pub(crate) issue: IssueNumber,
    pub(crate) id: String,
    pub(crate) kind: String,
    pub(crate) priority: u16,
    pub(crate) attempts: u16,
    pub(crate) since: Micros,
    pub(crate) title: Option<String>,
    /// JSON.
    pub(crate) payload: Option<String>,
}

/// Free state.
#[derive(Debug)]
pub(crate) struct Unified {
    pub(crate) namespace: String,
    /// As JSON text, by their names.
    pub(crate) values: BTreeMap<String, String>,
    /// What was said of each value.
    pub(crate) items: Vec<(String, ItemId)>,
}

/// Reads all files of a folder.
pub(crate) fn read(files: &[Found], world: &World) -> (State, Report) {
    let (mut state, mut report) = (State::default(), Report::default());
    for file in files {
        report.file(&file.name, file.kind.as_ref());
        let Some(kind) = &file.kind else {
            report.unused("", unknown(&file.name));
            continue;
        };
        let content = match file.read() {
            Ok(content) => content,
            Err(why) => {
                report.fault(why);
                continue;
            }
        };
        let mut reader =
            Reader { world, report: &mut report, state: &mut state, modified: content.modified.min(micros(world.now)) };
        match kind {
            Kind::Lock => reader.lock(&file.name, &content.text),
            _ if content.text.trim_ascii().is_empty() => reader.report.unused("", "the file is empty"),
            Kind::IssueStatus => reader.issues(Document::of(&content.text)),
            Kind::RunningTasks => reader.running(Document::of(&content.text)),
            Kind::ProcessedIssues => reader.processed_issues(Document::of(&content.text)),
            Kind::ProcessedComments => reader.processed_comments(Document::of(&content.text)),
            Kind::PendingTasks => reader.pending(Document::of(&content.text)),
            Kind::LabelUpdate => reader.label_update(&content.text),
            Kind::Unified(namespace) => reader.unified(namespace, Document::of(&content.text)),
        }
    }
    (state, report)
}

/// Why a file is not read.
fn unknown(name: &str) -> &'static str {
    match name {
        LAST_RUN => "when PoppoBuilder last ran is of no use to Poppo",
        _ if name.ends_with(".backup") => {
            "it is a backup that PoppoBuilder made; under its name without .backup it is read"
        }
        _ if name.contains(".tmp") => "it was never finished",
        _ if name.contains(".migrated-") => "PoppoBuilder moved what was in it elsewhere",
        _ => "it is no file of PoppoBuilder's state that is known here",
    }
}

/// Somebody who reads a file.
struct Reader<'r> {
    world: &'r World,
    report: &'r mut Report,
    state: &'r mut State,
    /// When the file was written: for entries that do not say when.
    modified: Micros,
}

impl Reader<'_> {
    /// The entries of a map or a list; whatever else is there is of no use.
    fn entries<'t>(&mut self, document: Document<'t>, name: &str) -> Vec<Entry<'t>> {
        match document {
            Document::Map(entries) | Document::List(entries) => entries,
            Document::Other(part) => {
                let why = part.read().map_or_else(|why| why, |_| "it is neither a map nor a list".to_owned());
                self.report.unused(name, &why);
                Vec::new()
            }
        }
    }

    /// What an entry says, and what had to be mended; none where it cannot be read, which is reported.
    fn value(&mut self, name: &str, part: &Part<'_>) -> Option<(Value, Vec<String>)> {
        match part.read() {
            Ok(read) => {
                let note = "some bytes were not UTF-8 and were replaced".to_owned();
                Some((read.value, read.is_mended.then_some(note).into_iter().collect()))
            }
            Err(why) => {
                self.report.unused(name, &why);
                None
            }
        }
    }

    /// The fields of an entry that is a record; none where it is something else, which is reported.
    fn record(&mut self, name: &str, part: &Part<'_>) -> Option<Fields> {
        let (value, notes) = self.value(name, part)?;
        let Value::Object(record) = value else {
            self.report.unused(name, &format!("it is {} and no record", called(&value)));
            return None;
        };
        let mut fields = self.fields(record);
        fields.notes = notes;
        Some(fields)
    }

    fn fields(&self, record: Map<String, Value>) -> Fields {
        Fields::new(record, self.world.now)
    }
}

/// What a value is, for people.
fn called(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "a record",
    }
}
