//! What became of each entry of each file.

use serde::Serialize;

use super::files::Kind;
use crate::output::{Field, Output, Table, Tone, one_line};

/// The longest name of an entry that is shown, in characters.
const LONGEST: usize = 120;

/// What became of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Outcome {
    /// As it is.
    Used,
    /// Some of it had to be changed, or was left out.
    Changed,
    /// Nothing.
    Unused,
}

/// A file of the folder.
#[derive(Debug, Serialize)]
pub(crate) struct File {
    /// Its name within the folder.
    pub(crate) file: String,
    /// None where it is none that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) kind: Option<&'static str>,
    entries: usize,
    used: usize,
    changed: usize,
    unused: usize,
    /// Why it could not be read at all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) fault: Option<String>,
}

/// An entry of a file.
#[derive(Debug, Serialize)]
pub(crate) struct Item {
    /// Which of the files.
    #[serde(skip)]
    of: usize,
    file: String,
    /// Its name there; of a file that is not read as a whole, nothing.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) entry: String,
    pub(crate) outcome: Outcome,
    /// What it is in the project.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) becomes: String,
    /// What was changed, or why it is of no use.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) reason: String,
}

#[cfg(test)]
impl Item {
    /// Whether it is of this file.
    pub(super) fn is_of(&self, file: &str) -> bool {
        self.file == file
    }
}

/// An entry that was read. Whoever has it can say more of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct ItemId(usize);

/// All of it.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Report {
    pub(crate) files: Vec<File>,
    #[serde(rename = "entries")]
    pub(crate) items: Vec<Item>,
    /// What somebody should know before he relies on it.
    pub(crate) warnings: Vec<String>,
}

impl Report {
    /// From now on entries are of this file.
    pub(crate) fn file(&mut self, file: &str, kind: Option<&Kind>) {
        let (file, kind) = (file.to_owned(), kind.map(Kind::as_str));
        self.files.push(File { file, kind, entries: 0, used: 0, changed: 0, unused: 0, fault: None });
    }

    /// The file cannot be read at all.
    pub(crate) fn fault(&mut self, why: String) {
        if let Some(file) = self.files.last_mut() {
            file.fault = Some(why);
        }
    }

    /// An entry of use, and what had to be changed in it.
    pub(crate) fn used(&mut self, entry: &str, notes: &[String]) -> ItemId {
        let outcome = if notes.is_empty() { Outcome::Used } else { Outcome::Changed };
        self.add(entry, outcome, &notes.join("; "))
    }

    /// An entry that is of no use.
    pub(crate) fn unused(&mut self, entry: &str, why: &str) {
        self.add(entry, Outcome::Unused, why);
    }

    fn add(&mut self, entry: &str, outcome: Outcome, reason: &str) -> ItemId {
        let of = self.files.len().saturating_sub(1);
        let file = self.files.last().map(|file| file.file.clone()).unwrap_or_default();
        let entry = one_line(entry).chars().take(LONGEST).collect();
        self.items.push(Item { of, file, entry, outcome, becomes: String::new(), reason: reason.to_owned() });
        ItemId(self.items.len() - 1)
    }

    /// What an entry is in the project.
    pub(crate) fn becomes(&mut self, id: ItemId, what: impl Into<String>) {
        if let Some(item) = self.items.get_mut(id.0) {
            item.becomes = what.into();
        }
    }

    /// An entry turned out to be of no use.
    pub(crate) fn reject(&mut self, id: ItemId, why: &str) {
        if let Some(item) = self.items.get_mut(id.0) {
            (item.outcome, item.reason) = (Outcome::Unused, why.to_owned());
            item.becomes.clear();
        }
    }

    /// Counts what became of the entries of each file.
    pub(crate) fn count(&mut self) {
        for item in &self.items {
            let Some(file) = self.files.get_mut(item.of) else { continue };
            file.entries += 1;
            match item.outcome {
                Outcome::Used => file.used += 1,
                Outcome::Changed => file.changed += 1,
                Outcome::Unused => file.unused += 1,
            }
        }
    }

    /// The files that could not be read, each with why.
    pub(crate) fn faults(&self) -> Vec<String> {
        self.files.iter().filter_map(|file| Some(format!("{}: {}", file.file, file.fault.as_ref()?))).collect()
    }

    /// For people: the files, and the entries that are not as they were; in a plan, all of them.
    pub(crate) fn show(&self, out: Output, is_plan: bool) -> std::io::Result<()> {
        let mut files = Table::new(&["FILE", "ENTRIES", "USED", "CHANGED", "NOT USED", ""]);
        for file in self.files.iter().filter(|file| file.kind.is_some()) {
            let counts = [file.entries, file.used, file.changed, file.unused].map(Field::number);
            let fault = file.fault.as_deref().map(|fault| Field::toned(fault, Tone::Bad));
            files.row(
                std::iter::once(file.file.as_str().into()).chain(counts).chain([fault.unwrap_or_else(|| "".into())]),
            );
        }
        out.table(&files, "no files")?;
        let mut entries = Table::new(&["FILE", "ENTRY", "", "BECOMES", "WHY"]);
        for item in self.items.iter().filter(|item| is_plan || item.outcome != Outcome::Used) {
            let (word, tone) = match item.outcome {
                Outcome::Used => ("used", Tone::Good),
                Outcome::Changed => ("changed", Tone::Warning),
                Outcome::Unused => ("not used", Tone::Bad),
            };
            entries.row([
                item.file.as_str().into(),
                item.entry.as_str().into(),
                Field::toned(word, tone),
                item.becomes.as_str().into(),
                item.reason.as_str().into(),
            ]);
        }
        out.line("")?;
        out.table(&entries, "every entry is used as it is")
    }
}
