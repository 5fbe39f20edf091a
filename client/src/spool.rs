//! Check-ins that the server could not take, kept on disk until it can: one file each, in one folder for each project of
//! each server. How a file looks is in `entry`, how they are delivered in `deliver`, what becomes of files that were never
//! finished in `leftovers`.
//!
//! A file is there whole or not at all: it is written under another name, brought to the disk, and renamed. Whoever still
//! tries to deliver a report himself holds a lock on its file, which ends with him, however he ends.

mod deliver;
mod entry;
mod leftovers;

use std::env;
use std::ffi::OsString;
use std::fs::{self, DirBuilder, File};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

pub use self::deliver::{Delivered, Delivery, Unusable};
pub use self::entry::Spooled;
use crate::{Checkin, Project, random};

/// What the names of whole files end with.
const WHOLE: &str = "json";
/// What is appended to the name of a file that cannot be read or that the server calls nonsense.
const DAMAGED: &str = "damaged";
/// What the names of files end with that are not whole yet.
const PART: &str = "part";
/// The file whose lock the one deliverer has.
const LOCK: &str = "lock";

/// A folder for check-ins that wait for their server.
///
/// A report is fenced by its lease's token, so it may be delivered at any time and by anybody: where the issue was repaired
/// meanwhile, the server refuses it, and nothing changes.
///
/// ```
/// use poppo::Spool;
///
/// let spool = Spool::at("/var/lib/my-worker/spool");
/// assert_eq!(spool.dir(), std::path::Path::new("/var/lib/my-worker/spool"));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spool {
    dir: PathBuf,
}

/// A file that its owner has not given up yet: nobody else delivers it. Let go of, it stays for others.
#[derive(Debug)]
pub(crate) struct Kept {
    path: PathBuf,
    /// Holds the lock.
    _file: File,
}

impl Spool {
    /// This folder, which is made where it is missing once something is to be kept.
    ///
    /// Example: [`Spool`].
    #[must_use]
    pub fn at(dir: impl Into<PathBuf>) -> Self {
        Self { dir: dir.into() }
    }

    /// The folder that the variable `POPPO_SPOOL` names, else `poppo/spool` in `$XDG_STATE_HOME`, which is
    /// `~/.local/state` unless it is set. None where neither these nor `HOME` are set: then nothing is kept.
    ///
    /// ```no_run
    /// # async fn example() -> std::io::Result<()> {
    /// use poppo::Spool;
    ///
    /// if let Some(spool) = Spool::standard() {
    ///     let (waiting, unusable) = spool.list()?;
    ///     for report in waiting {
    ///         println!("issue {} of {} waits since {}", report.issue, report.project, report.at);
    ///     }
    ///     for (file, why) in unusable {
    ///         println!("{}: {why}", file.display());
    ///     }
    ///     println!("removed: {:?}", spool.clean()?);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn standard() -> Option<Self> {
        let set = |name| env::var_os(name).filter(|value| !value.is_empty());
        standard(set("POPPO_SPOOL"), set("XDG_STATE_HOME"), set("HOME")).map(Self::at)
    }

    /// The folder.
    ///
    /// Example: [`Spool`].
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Removes the files that were set aside, of all projects, and answers which they were. They are reports that can never be
    /// delivered; [`list`](Self::list) tells what is wrong with each.
    ///
    /// Example: [`standard`](Self::standard).
    ///
    /// # Errors
    /// Where a folder cannot be read or written.
    pub fn clean(&self) -> io::Result<Vec<PathBuf>> {
        let mut removed = Vec::new();
        for folder in self.folders()? {
            for file in with_extension(&folder, DAMAGED)? {
                remove(&file)?;
                removed.push(file);
            }
        }
        Ok(removed)
    }

    /// The folders of all projects.
    fn folders(&self) -> io::Result<Vec<PathBuf>> {
        let mut folders = entries(&self.dir)?;
        folders.retain(|path| path.is_dir());
        Ok(folders)
    }

    /// Keeps a report: once this comes back, it outlives a crash of this process and of this host.
    pub(crate) fn keep(&self, project: &Project, report: &Checkin) -> io::Result<Kept> {
        let folder = self.folder_of(project);
        make_folder(&folder)?;
        let (temporary, mut file) = leftovers::begin(&folder)?;
        let written =
            entry::write(project, report).and_then(|text| file.write_all(&text)).and_then(|()| file.sync_all());
        let path = folder.join(next_name(&folder));
        match written.and_then(|()| fs::rename(&temporary, &path)).and_then(|()| sync_folder(&folder)) {
            Ok(()) => Ok(Kept { path, _file: file }),
            Err(error) => {
                // Whatever of it is there is of no use to anybody.
                drop(fs::remove_file(&temporary));
                Err(error)
            }
        }
    }

    /// Where the reports for a project of a server are. The address is a number, since it may hold anything; what it
    /// stands for is in the files themselves.
    fn folder_of(&self, project: &Project) -> PathBuf {
        let key = project.key();
        let readable: String = key.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).take(64).collect();
        self.dir.join(format!("{readable}-{:016x}", fingerprint(&[project.client().url(), key])))
    }
}

impl Kept {
    /// The report arrived, or never will.
    pub(crate) fn remove(self) -> io::Result<()> {
        remove(&self.path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

/// Removes a file, for good; one that is gone is removed.
fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    path.parent().map_or(Ok(()), sync_folder)
}

/// The whole files of a folder, oldest first.
fn files(folder: &Path) -> io::Result<Vec<PathBuf>> {
    with_extension(folder, WHOLE)
}

/// The files of a folder whose names end so, in their order.
fn with_extension(folder: &Path, wanted: &str) -> io::Result<Vec<PathBuf>> {
    let mut paths = entries(folder)?;
    paths.retain(|path| path.extension().is_some_and(|extension| extension == wanted));
    paths.sort();
    Ok(paths)
}

/// What is in a folder; nothing where there is none.
fn entries(folder: &Path) -> io::Result<Vec<PathBuf>> {
    match fs::read_dir(folder) {
        Ok(entries) => entries.map(|entry| entry.map(|entry| entry.path())).collect(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

/// Whether the file is still in its folder: it may have been delivered between looking for it and locking it.
fn is_there(file: &File) -> io::Result<bool> {
    Ok(file.metadata()?.nlink() > 0)
}

/// A name behind those of all that are there, also where the clock was set back.
fn next_name(folder: &Path) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_micros();
    let last = files(folder).unwrap_or_default().last().and_then(|path| time_of(path)).unwrap_or_default();
    format!("{:020}-{}.{WHOLE}", now.max(last + 1), random::unique_name())
}

/// The time in µs with which a file's name begins.
fn time_of(path: &Path) -> Option<u128> {
    path.file_name()?.to_str()?.split('-').next()?.parse().ok()
}

/// Makes a folder that is nobody else's to look into, and brings its name to the disk.
fn make_folder(folder: &Path) -> io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    folder.parent().map_or(Ok(()), sync_folder)
}

/// Brings the names in a folder to the disk.
fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

fn standard(named: Option<OsString>, state: Option<OsString>, home: Option<OsString>) -> Option<PathBuf> {
    let state = || state.map(PathBuf::from).filter(|path| path.is_absolute());
    let home = || home.map(|home| PathBuf::from(home).join(".local/state"));
    named.map(PathBuf::from).or_else(|| Some(state().or_else(home)?.join("poppo/spool")))
}

/// FNV-1a: the same in every version and on every host, which the standard library's hashes do not promise.
fn fingerprint(texts: &[&str]) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for text in texts {
        // The zero keeps two texts from being one.
        for byte in text.bytes().chain([0]) {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
    hash
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_folder_is_named_or_the_systems() {
        let path = |named: Option<&str>, state: Option<&str>, home: Option<&str>| {
            standard(named.map(OsString::from), state.map(OsString::from), home.map(OsString::from))
        };
        assert_eq!(path(Some("/s"), Some("/x"), Some("/h")), Some("/s".into()));
        assert_eq!(path(None, Some("/x"), Some("/h")), Some("/x/poppo/spool".into()));
        // The standard says that a relative one is to be ignored.
        assert_eq!(path(None, Some("x"), Some("/h")), Some("/h/.local/state/poppo/spool".into()));
        assert_eq!(path(None, None, None), None);
    }

    #[test]
    fn names_only_grow() -> io::Result<()> {
        let folder = tempfile::tempdir()?;
        let future = format!("{:020}-x.{WHOLE}", u64::MAX);
        fs::write(folder.path().join(&future), "")?;
        fs::write(folder.path().join(".half"), "")?;
        assert!(next_name(folder.path()) > future);
        assert_eq!(files(folder.path())?.len(), 1);
        Ok(())
    }

    #[test]
    fn two_texts_are_not_one() {
        assert_ne!(fingerprint(&["ab", "c"]), fingerprint(&["a", "bc"]));
        assert_eq!(fingerprint(&["a"]), fingerprint(&["a"]));
    }
}
