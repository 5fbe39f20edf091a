//! Where notes are kept: a hash beside the project. Whatever is written there is written after what it is about is done, so
//! a daemon that dies in between does that again, which changes nothing.

use std::collections::{BTreeMap, BTreeSet};

use poppo::{Error, Project, Shelf};
use serde::{Deserialize, Serialize};
use tracing::warn;

use super::note::Note;

/// How many notes are read at a time.
const CHUNK: usize = 500;
const CURSOR: &str = "cursor";

/// How far GitHub's list of changes was read.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Cursor {
    /// The last change that was dealt with, as GitHub writes times.
    pub(super) at: Option<String>,
    /// Issues that are to be looked at again.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub(super) again: BTreeSet<u64>,
}

/// The notes of a project.
#[derive(Debug, Clone)]
pub(super) struct Ledger(Shelf);

impl Ledger {
    pub(super) fn of(project: &Project) -> Self {
        Self(project.shelf("intake"))
    }

    pub(super) async fn cursor(&self) -> Result<Cursor, Error> {
        let read = self.0.get(&[CURSOR.to_owned()]).await?;
        Ok(read.into_iter().flatten().next().and_then(|text| self.parsed(CURSOR, &text)).unwrap_or_default())
    }

    pub(super) async fn set_cursor(&self, cursor: &Cursor) -> Result<(), Error> {
        self.write(CURSOR, cursor).await
    }

    /// The notes of these issues, as far as there are any.
    pub(super) async fn notes(&self, issues: &[u64]) -> Result<BTreeMap<u64, Note>, Error> {
        let mut notes = BTreeMap::new();
        for issues in issues.chunks(CHUNK) {
            let fields: Vec<String> = issues.iter().map(|issue| field(*issue)).collect();
            let texts = self.0.get(&fields).await?;
            for ((issue, field), text) in issues.iter().zip(&fields).zip(texts) {
                notes.extend(text.and_then(|text| self.parsed(field, &text)).map(|note| (*issue, note)));
            }
        }
        Ok(notes)
    }

    pub(super) async fn set_note(&self, issue: u64, note: &Note) -> Result<(), Error> {
        if note.is_blank() { self.0.remove(&[field(issue)]).await } else { self.write(&field(issue), note).await }
    }

    async fn write(&self, field: &str, value: &impl Serialize) -> Result<(), Error> {
        // Texts, numbers and maps of them can be written.
        let text = serde_json::to_string(value).unwrap_or_default();
        self.0.set(&[(field.to_owned(), text)]).await
    }

    /// What somebody else wrote there is as good as nothing.
    fn parsed<T: for<'de> Deserialize<'de>>(&self, field: &str, text: &str) -> Option<T> {
        match serde_json::from_str(text) {
            Ok(value) => Some(value),
            Err(error) => {
                warn!("the field {field} of {} cannot be understood ({error}): begins anew", self.0.key());
                None
            }
        }
    }
}

fn field(issue: u64) -> String {
    format!("issue:{issue}")
}
