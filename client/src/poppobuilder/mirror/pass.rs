//! One time: the project is read, what is there is compared where somebody else changed it, and the files get their names.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::Path;

use poppo::Project;
use serde::Serialize;

use super::difference::{Difference, compare};
use crate::exit::Failure;
use crate::output::{Output, Table, Tone};
use crate::poppobuilder::write::draft::{Draft, Fault};
use crate::poppobuilder::write::folder::{Folder, There, Written};
use crate::poppobuilder::write::lost::{self, Lost};
use crate::poppobuilder::write::sheet::Sheet;
use crate::poppobuilder::write::show;

/// How many differences are named.
const NAMED: usize = 100;

/// What came of it.
#[derive(Debug)]
pub(super) struct Pass {
    /// Until it is written.
    draft: Option<Draft>,
    files: Vec<Written>,
    differences: Vec<Difference>,
    lost: Vec<Lost>,
    pub(super) is_live: bool,
}

/// The same for programs.
#[derive(Serialize)]
struct Mirrored<'a> {
    project: &'a str,
    folder: String,
    files: &'a [Written],
    differing: usize,
    differences: &'a [Difference],
    lost: &'a [Lost],
}

impl Pass {
    /// Reads the project, and what somebody else changed in the folder since we wrote there.
    pub(super) async fn read(project: &Project, folder: &mut Folder) -> Result<Self, Fault> {
        let draft = Draft::read(project, folder.path(), |_| {}).await?;
        let disk = |path: &Path, error| Fault::Disk(path.to_owned(), error);
        let mut differences = Vec::new();
        for sheet in &draft.sheets {
            let path = folder.path().join(&sheet.name);
            let is_changed = match folder.there(&sheet.name).map_err(|error| disk(&path, error))? {
                There::Ours(_) => false,
                There::Strange => true,
                There::Nothing => folder.has_written(&sheet.name),
            };
            if is_changed {
                differences.extend(differences_of(&path, sheet).map_err(|error| disk(&path, error))?);
            }
        }
        Ok(Self::of(draft, differences))
    }
}

impl Pass {
    /// Compares the project with what is in the folder, and leaves both as they are.
    pub(super) async fn compare(project: &Project, folder: &Path) -> Result<Self, Fault> {
        let elsewhere = std::env::temp_dir();
        let room = tempfile::tempdir().map_err(|error| Fault::Disk(elsewhere, error))?;
        let draft = Draft::read(project, room.path(), |_| {}).await?;
        let mut differences = Vec::new();
        for sheet in &draft.sheets {
            let path = folder.join(&sheet.name);
            let found = differences_of(&path, sheet).map_err(|error| Fault::Disk(path.clone(), error))?;
            differences.extend(found);
        }
        let mut pass = Self::of(draft, differences);
        pass.files = pass.draft.take().iter().flat_map(|draft| &draft.sheets).map(Written::untouched).collect();
        Ok(pass)
    }

    fn of(mut draft: Draft, differences: Vec<Difference>) -> Self {
        let (lost, is_live) = (std::mem::take(&mut draft.lost), draft.is_live);
        Self { draft: Some(draft), files: Vec::new(), differences, lost, is_live }
    }

    /// Refuses to replace what is not ours.
    pub(super) fn refuse_strangers(&self, project: &str, folder: &mut Folder) -> Result<(), Failure> {
        self.draft.as_ref().map_or(Ok(()), |draft| folder.refuse_strangers(project, draft))
    }

    /// Gives the files their names.
    pub(super) fn write(&mut self, project: &str, folder: &mut Folder) -> Result<(), Failure> {
        if let Some(draft) = self.draft.take() {
            self.files = folder.put(project, draft)?;
        }
        Ok(())
    }

    /// How many entries differ.
    pub(super) fn differences(&self) -> usize {
        self.differences.len()
    }

    /// Whether anything was written, or differed.
    pub(super) fn is_news(&self) -> bool {
        !self.differences.is_empty() || self.files.iter().any(|file| file.written)
    }

    /// For programs.
    pub(super) fn document(&self, project: &str, folder: &Path) -> impl Serialize {
        let named = self.differences.get(..NAMED).unwrap_or(&self.differences);
        serde_json::json!(Mirrored {
            project,
            folder: folder.display().to_string(),
            files: &self.files,
            differing: self.differences.len(),
            differences: named,
            lost: &self.lost,
        })
    }

    /// For people: all of it.
    pub(super) fn show(&self, out: Output) -> io::Result<()> {
        self.show_differences(out)?;
        show(out, &self.files)?;
        lost::show(out, &self.lost)
    }

    /// For people: what somebody else changed.
    pub(super) fn show_differences(&self, out: Output) -> io::Result<()> {
        if self.differences.is_empty() {
            return Ok(());
        }
        let mut table = Table::new(&["FILE", "ENTRY", "DIFFERENCE"]);
        self.differences.iter().take(NAMED).for_each(|difference| table.row(difference.row()));
        out.table(&table, "")?;
        let rest = self.differences.len().saturating_sub(NAMED);
        if rest > 0 {
            out.line(&out.paint(&format!("and {rest} more"), Tone::Warning))?;
        }
        out.line("")
    }
}

/// In what a file, if there is one, differs from a sheet.
fn differences_of(path: &Path, sheet: &Sheet) -> io::Result<Vec<Difference>> {
    let there = match fs::metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => None,
        Ok(metadata) if !metadata.is_file() => return Err(io::Error::other("is no file")),
        there => there.and_then(|_| fs::read(path)).map(Some)?,
    };
    Ok(compare(&sheet.name, there.as_deref(), &fs::read(sheet.path())?))
}
