//! A folder whose files are replaced, by one at a time, and where nothing is replaced by mistake.
//!
//! A note beside the files says which of them were written here and what was in them: so a file that somebody else wrote, or
//! changed since, is known as such, also by whoever comes later. What the files are is said before they get their names, so
//! that whoever dies between leaves no file that seems to be a stranger's.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File, Metadata};
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::FlockOperation;
use serde::{Deserialize, Serialize};
use tempfile::NamedTempFile;

use super::draft::Draft;
use super::sheet::{BEGUN, Sheet, sum_of};
use crate::exit::{FAILED, Failure, USAGE};
use crate::poppobuilder::files::{JSON, UNIFIED};

/// The note.
const NOTE: &str = ".poppo-written.json";

/// What was written here.
#[derive(Debug, Default, Clone, PartialEq, Serialize, Deserialize)]
struct Note {
    /// Of which project.
    project: String,
    /// The sums of what may be in each file, since before and after a replacement both may.
    files: BTreeMap<String, Vec<String>>,
}

/// What tells one state of a file from another.
type Stamp = (u64, u64, u64, i64, i64);

fn stamp(metadata: &Metadata) -> Stamp {
    (metadata.dev(), metadata.ino(), metadata.size(), metadata.ctime(), metadata.ctime_nsec())
}

/// What is in the place of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum There {
    Nothing,
    /// What was written here, with this sum.
    Ours(String),
    /// What somebody else wrote.
    Strange,
}

/// A folder that nobody else writes to as we do, as long as this lives.
#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
    note: Note,
    /// The files as we left or found them.
    seen: BTreeMap<String, (Stamp, String)>,
    /// Whether it was made for this, and has nothing in it yet.
    is_new: bool,
    _lock: File,
}

impl Drop for Folder {
    fn drop(&mut self) {
        if self.is_new {
            // Where something is in it, it stays.
            drop(fs::remove_dir(&self.path));
        }
    }
}

/// What became of a file.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Written {
    /// Its name.
    file: String,
    /// How many issues, tasks or ids it has.
    pub(crate) entries: u64,
    bytes: u64,
    /// Whether it was another one before.
    pub(crate) written: bool,
}

impl Written {
    fn of(sheet: &Sheet, written: bool) -> Self {
        let Sheet { name: file, bytes, entries, .. } = sheet;
        Self { file: file.clone(), entries: *entries, bytes: *bytes, written }
    }

    /// Of one that is only looked at.
    pub(crate) fn untouched(sheet: &Sheet) -> Self {
        Self::of(sheet, false)
    }

    pub(crate) fn name(&self) -> &str {
        &self.file
    }
}

impl Folder {
    /// Takes a folder, and makes it where there is none in one that there is.
    pub(crate) fn take(path: &Path) -> Result<Self, Failure> {
        let failed = |error: io::Error| Failure::failed(format!("{}: {error}", path.display()));
        let is_new = match DirBuilder::new().create(path) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(failed(error)),
            Err(_) if !path.is_dir() => {
                let message = format!("{} is a file: DIR must be a folder, or the name of a new one", path.display());
                return Err(Failure::new(USAGE, "USAGE", message));
            }
            made => made.is_ok(),
        };
        // The folder's own lock, which needs no file, and ends with its process.
        let lock = File::open(path).map_err(failed)?;
        match rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => {
                let message = format!(
                    "another `poppo mirror` or `poppo export` writes to {}: stop it, or name another DIR",
                    path.display()
                );
                return Err(Failure::new(FAILED, "LOCKED", message));
            }
            Err(error) => return Err(failed(error.into())),
        }
        // Who died while it had the lock left these behind.
        for entry in fs::read_dir(path).map_err(failed)?.flatten() {
            if entry.file_name().to_string_lossy().starts_with(BEGUN) {
                fs::remove_file(entry.path()).map_err(failed)?;
            }
        }
        // A note that cannot be read says nothing, and so all files are somebody else's.
        let note = fs::read(path.join(NOTE)).ok().and_then(|text| serde_json::from_slice(&text).ok());
        Ok(Self { path: path.to_owned(), note: note.unwrap_or_default(), seen: BTreeMap::new(), is_new, _lock: lock })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Refuses to replace what is not this project's, or not ours.
    pub(crate) fn refuse_strangers(&mut self, project: &str, draft: &Draft) -> Result<(), Failure> {
        let refusal = |message: String| Failure::new(FAILED, "INUSE", message);
        let mut is_ours = false;
        for sheet in &draft.sheets {
            match self.there(&sheet.name).map_err(|error| self.failed(&error))? {
                There::Nothing => {}
                There::Ours(_) => is_ours = true,
                There::Strange => {
                    return Err(refusal(format!(
                        "{} was not written by poppo, or was changed since: --force replaces it, and all others of these \
                         files in {}",
                        self.path.join(&sheet.name).display(),
                        self.path.display()
                    )));
                }
            }
        }
        if is_ours && self.note.project != project {
            return Err(refusal(format!(
                "{} holds the project {}: name another DIR, or --force replaces its files by those of {project}",
                self.path.display(),
                self.note.project
            )));
        }
        Ok(())
    }

    /// What is in the place of a file.
    pub(crate) fn there(&mut self, name: &str) -> io::Result<There> {
        let path = self.path.join(name);
        let metadata = match fs::metadata(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                self.seen.remove(name);
                return Ok(There::Nothing);
            }
            metadata => metadata?,
        };
        let known = self.seen.get(name).filter(|(seen, _)| *seen == stamp(&metadata)).map(|(_, sum)| sum.clone());
        let sum = match known {
            Some(sum) => sum,
            // Whoever opens a pipe waits for its other end.
            None if !metadata.is_file() => return Err(io::Error::other(format!("{name} is no file"))),
            None => {
                let sum = sum_of(File::open(&path)?)?;
                self.seen.insert(name.to_owned(), (stamp(&metadata), sum.clone()));
                sum
            }
        };
        let is_ours = self.note.files.get(name).is_some_and(|sums| sums.contains(&sum));
        Ok(if is_ours { There::Ours(sum) } else { There::Strange })
    }

    /// Whether a file of this name was written here.
    pub(crate) fn has_written(&self, name: &str) -> bool {
        self.note.files.contains_key(name)
    }

    /// The namespaces of free state that were written here, of this project.
    pub(crate) fn namespaces(&self, project: &str) -> impl Iterator<Item = &str> {
        let files = self.note.files.keys().filter(move |_| self.note.project == project);
        files.filter_map(|name| name.strip_prefix(UNIFIED)?.strip_suffix(JSON))
    }

    /// Whether a file is not as it was seen last, which costs little to ask.
    pub(crate) fn is_touched(&self) -> bool {
        let now = |name: &str| fs::metadata(self.path.join(name)).ok().map(|metadata| stamp(&metadata));
        self.seen.iter().any(|(name, (seen, _))| now(name) != Some(*seen))
    }

    /// Gives the files their names, all of them whole and on the disk. Those that are there as they are to be are left.
    pub(crate) fn put(&mut self, project: &str, draft: Draft) -> Result<Vec<Written>, Failure> {
        self.replace(project, draft).map_err(|error| self.failed(&error))
    }

    fn replace(&mut self, project: &str, draft: Draft) -> io::Result<Vec<Written>> {
        let (mut written, mut new) = (Vec::new(), Vec::new());
        let mut note = Note { project: project.to_owned(), files: BTreeMap::new() };
        if self.note.project == project {
            // A mirror leaves free state as it is.
            note.files.clone_from(&self.note.files);
        }
        for sheet in draft.sheets {
            let there = self.there(&sheet.name)?;
            let is_new = there != There::Ours(sheet.sum.clone());
            let mut sums = vec![sheet.sum.clone()];
            if let There::Ours(sum) = there
                && is_new
            {
                sums.push(sum);
            }
            note.files.insert(sheet.name.clone(), sums);
            written.push(Written::of(&sheet, is_new));
            if is_new {
                sheet.file.as_file().sync_all()?;
                new.push(sheet);
            }
        }
        if new.is_empty() {
            return Ok(written);
        }
        self.write_note(note)?;
        for sheet in new {
            let path = self.target(&sheet.name);
            // Whoever could read the one that was there can read this one.
            if let Ok(metadata) = fs::metadata(&path) {
                fs::set_permissions(sheet.file.path(), metadata.permissions())?;
            }
            let file = sheet.file.persist(&path).map_err(|error| error.error)?;
            self.seen.insert(sheet.name, (stamp(&file.metadata()?), sheet.sum));
        }
        File::open(&self.path)?.sync_all()?;
        Ok(written)
    }

    /// The file itself, where a link leads to it.
    fn target(&self, name: &str) -> PathBuf {
        let path = self.path.join(name);
        fs::canonicalize(&path).unwrap_or(path)
    }

    fn write_note(&mut self, note: Note) -> io::Result<()> {
        if note == self.note {
            return Ok(());
        }
        let mut file = tempfile::Builder::new().prefix(BEGUN).tempfile_in(&self.path)?;
        serde_json::to_writer_pretty(&mut file, &note)?;
        file.write_all(b"\n")?;
        file.as_file().sync_all()?;
        NamedTempFile::persist(file, self.path.join(NOTE)).map_err(|error| error.error)?;
        self.note = note;
        Ok(())
    }

    fn failed(&self, error: &io::Error) -> Failure {
        Failure::failed(format!("{}: {error}", self.path.display()))
    }
}
