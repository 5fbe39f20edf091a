//! The folder as it is on the disk. It is only ever read.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::fields::{Micros, micros};
use super::files::{ISSUE_STATUS, Kind, LOCKS, PROCESSED_COMMENTS, PROCESSED_ISSUES, REQUESTS};
use crate::exit::{FAILED, Failure};

/// The longest file that is read, in bytes.
const LONGEST: u64 = 1 << 30;

/// A file of the folder.
#[derive(Debug)]
pub(crate) struct Found {
    /// Its name within the folder.
    pub(crate) name: String,
    /// None where it is none that is known.
    pub(crate) kind: Option<Kind>,
    path: PathBuf,
    /// Why it cannot be read, where that is known.
    fault: Option<String>,
}

/// What is in a file.
#[derive(Debug)]
pub(crate) struct Content {
    pub(crate) text: Vec<u8>,
    /// When it was written.
    pub(crate) modified: Micros,
}

impl Found {
    fn new(name: String, path: PathBuf) -> Self {
        Self { kind: Kind::of(&name), name, path, fault: None }
    }

    /// Whether it holds state.
    fn is_state(&self) -> bool {
        self.kind.as_ref().is_some_and(|kind| *kind != Kind::Lock)
    }

    /// What is in it.
    pub(crate) fn read(&self) -> Result<Content, String> {
        if let Some(fault) = &self.fault {
            return Err(fault.clone());
        }
        let read = || {
            let metadata = fs::metadata(&self.path)?;
            // Whoever reads a pipe may wait for ever.
            if !metadata.is_file() {
                return Err(io::Error::other("it is no file"));
            }
            if metadata.len() > LONGEST {
                return Err(io::Error::other(format!("it is longer than {LONGEST} bytes")));
            }
            let mut text = Vec::new();
            File::open(&self.path)?.take(LONGEST).read_to_end(&mut text)?;
            let modified = micros(metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH));
            Ok(Content { text, modified })
        };
        read().map_err(|error| error.to_string())
    }
}

/// The files of a folder, by name.
///
/// # Errors
/// [`Failure`] where it cannot be listed, or holds nothing of PoppoBuilder's.
pub(crate) fn list(folder: &Path) -> Result<Vec<Found>, Failure> {
    let failed = |error: io::Error| Failure::failed(format!("{}: {error}", folder.display()));
    let mut found = Vec::new();
    for (name, path) in within(folder).map_err(failed)? {
        let is_known = name == REQUESTS || LOCKS.contains(&name.as_str());
        if !is_known || !path.is_dir() {
            found.push(Found::new(name, path));
            continue;
        }
        match within(&path) {
            Ok(files) => found.extend(files.into_iter().map(|(file, path)| Found::new(format!("{name}/{file}"), path))),
            Err(error) => {
                let (kind, fault) = (Some(inside(&name)), Some(error.to_string()));
                found.push(Found { name, kind, path, fault });
            }
        }
    }
    if found.iter().any(Found::is_state) {
        return Ok(found);
    }
    let below = folder.join("state");
    let hint = match within(&below) {
        Ok(files) if files.iter().any(|(name, _)| Kind::of(name).is_some()) => {
            format!("; {} does", below.display())
        }
        _ => String::new(),
    };
    let message = format!(
        "{} holds no state of PoppoBuilder's, such as {ISSUE_STATUS}, {PROCESSED_ISSUES} or {PROCESSED_COMMENTS}{hint}",
        folder.display()
    );
    Err(Failure::new(FAILED, "BADFOLDER", message))
}

/// What is in a folder of this name.
fn inside(name: &str) -> Kind {
    if name == REQUESTS { Kind::LabelUpdate } else { Kind::Lock }
}

/// What a folder has, by name.
fn within(folder: &Path) -> io::Result<Vec<(String, PathBuf)>> {
    let entries = fs::read_dir(folder)?.collect::<io::Result<Vec<_>>>()?;
    let mut files: Vec<_> =
        entries.into_iter().map(|entry| (entry.file_name().to_string_lossy().into_owned(), entry.path())).collect();
    files.sort();
    Ok(files)
}
