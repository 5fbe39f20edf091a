//! The file: read whole, and replaced whole by whoever has the lock.
//!
//! A new state is written under another name, brought to the disk, and renamed, so that whoever dies at any moment leaves the
//! old one or the new one. The lock is on a file beside it that is never renamed, and ends with its process.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use poppo_core::Project;
use rustix::fs::{FlockOperation, OFlags};
use tokio_util::sync::CancellationToken;

use super::document::{self, Contents};
use crate::random;

/// The largest file that is read: far more than a file is good for.
const LARGEST: u64 = 1 << 30;

/// Why the file cannot be used; completes a sentence that begins with it.
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) message: String,
    pub(super) may_pass: bool,
    /// Whether it is what is in the file that is wrong.
    pub(super) is_damage: bool,
}

impl Fault {
    fn lasting(message: impl Into<String>) -> Self {
        Self { message: message.into(), may_pass: false, is_damage: false }
    }

    fn damage(message: String) -> Self {
        Self { message, may_pass: false, is_damage: true }
    }

    /// What the system said of what was tried.
    fn of(what: &str, error: &io::Error) -> Self {
        use ErrorKind::{Interrupted, QuotaExceeded, ResourceBusy, StaleNetworkFileHandle, StorageFull};
        let passing = [Interrupted, QuotaExceeded, ResourceBusy, StaleNetworkFileHandle, StorageFull];
        Self { message: format!("{what}: {error}"), may_pass: passing.contains(&error.kind()), is_damage: false }
    }

    /// Somebody had the lock all the while.
    pub(super) fn locked(after: Duration) -> Self {
        let after = humantime::format_duration(after);
        Self {
            message: format!("is locked by somebody else for {after}: another program hangs, or very many share it"),
            may_pass: true,
            is_damage: false,
        }
    }

    /// Whoever asked is not there any more.
    pub(super) fn unwanted() -> Self {
        Self::lasting("was left as it was, since nobody waited for the answer")
    }

    /// A panic.
    pub(super) fn internal() -> Self {
        Self::lasting("was left as it was after an internal error")
    }
}

/// Where a file is.
#[derive(Debug)]
pub(super) struct Disk {
    path: PathBuf,
}

/// A state of the file: what was in it.
#[derive(Debug)]
pub(super) struct Shelf {
    contents: Contents,
    /// The file it was read from or written to, and what tells it from others; none where there was none. As long as it is
    /// open, no other file gets its number.
    file: Option<(File, Stamp)>,
}

impl Shelf {
    pub(super) fn contents(&self) -> &Contents {
        &self.contents
    }

    /// All that there is, with another state of one project.
    pub(super) fn with(&self, key: String, project: Box<Project>) -> Contents {
        let mut contents = self.contents.clone();
        contents.projects.insert(key, Arc::from(project));
        contents
    }
}

/// What tells one state of the file from another: each is a file of its own, and one that was edited in place has other
/// times.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    file: (u64, u64),
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        Self {
            file: (metadata.dev(), metadata.ino()),
            size: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

/// The lock, as long as it lives.
#[derive(Debug)]
pub(super) struct Lock {
    /// The file behind links, which is the one that is replaced.
    target: PathBuf,
    _file: File,
}

impl Disk {
    pub(super) fn at(path: PathBuf) -> Self {
        Self { path }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether a state is the one that the file has now.
    pub(super) fn shows(&self, shelf: &Shelf) -> bool {
        match (fs::metadata(&self.path), &shelf.file) {
            (Ok(metadata), Some((_, stamp))) => Stamp::of(&metadata) == *stamp,
            (Err(error), None) => error.kind() == ErrorKind::NotFound,
            _ => false,
        }
    }

    /// Reads the file. Where there is none, there is no project.
    pub(super) fn read(&self) -> Result<Shelf, Fault> {
        let unreadable = |error: io::Error| Fault::of("cannot be read", &error);
        // Opening a pipe would wait for its other end.
        let opened = OpenOptions::new().read(true).custom_flags(OFlags::NONBLOCK.bits().cast_signed()).open(&self.path);
        let mut file = match opened {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                self.target()?;
                return Ok(Shelf { contents: Contents::default(), file: None });
            }
            opened => opened.map_err(unreadable)?,
        };
        let metadata = file.metadata().map_err(unreadable)?;
        if !metadata.is_file() {
            return Err(Fault::lasting("is not a file to keep anything in"));
        }
        if metadata.len() > LARGEST {
            return Err(Fault::lasting(format!("is larger than {LARGEST} bytes")));
        }
        let mut text = Vec::new();
        file.read_to_end(&mut text).map_err(unreadable)?;
        let contents = document::read(&text).map_err(Fault::damage)?;
        Ok(Shelf { contents, file: Some((file, Stamp::of(&metadata))) })
    }

    /// Takes the lock, waiting for it so long at most, and only as long as somebody wants it.
    pub(super) fn lock(&self, patience: Duration, dropped: &CancellationToken) -> Result<Lock, Fault> {
        let target = self.target()?;
        let path = beside(&target, "lock");
        let open = || OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
        // Somebody else's lock file may be for reading only, which is enough.
        let opened = open().or_else(|error| File::open(&path).map_err(|_| error));
        let unusable = |error: io::Error| Fault::of(&format!("cannot be locked with {}", path.display()), &error);
        let file = opened.map_err(unusable)?;
        let start = Instant::now();
        loop {
            match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => return Ok(Lock { target, _file: file }),
                Err(rustix::io::Errno::WOULDBLOCK) if dropped.is_cancelled() => return Err(Fault::unwanted()),
                Err(rustix::io::Errno::WOULDBLOCK) if start.elapsed() >= patience => {
                    return Err(Fault::locked(patience));
                }
                Err(rustix::io::Errno::WOULDBLOCK | rustix::io::Errno::INTR) => {}
                Err(error) => return Err(unusable(error.into())),
            }
            // Not all at the same time.
            std::thread::sleep(Duration::from_secs_f64(0.0005 + 0.004 * random::fraction()));
        }
    }

    /// Replaces the file's state, which is on disk afterwards.
    pub(super) fn write(&self, lock: &Lock, contents: Contents) -> Result<Shelf, Fault> {
        let text = document::write(&contents).map_err(|error| Fault::lasting(format!("cannot be written: {error}")))?;
        // Only who has the lock writes here; what is there is of somebody who died.
        let temporary = beside(&lock.target, "tmp");
        let written = replace(&temporary, &lock.target, &text);
        let (file, stamp) = written.map_err(|error| {
            // It may not have come to be.
            drop(fs::remove_file(&temporary));
            Fault::of("cannot be written", &error)
        })?;
        Ok(Shelf { contents, file: Some((file, stamp)) })
    }

    /// The file itself, behind links: that is the one to replace, and to lock beside. Where there is none yet, its place.
    fn target(&self) -> Result<PathBuf, Fault> {
        match fs::canonicalize(&self.path) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let folder = self.path.parent().unwrap_or(Path::new("/"));
                let real = fs::canonicalize(folder)
                    .map_err(|error| Fault::of(&format!("cannot be, in {}", folder.display()), &error))?;
                Ok(real.join(self.path.file_name().unwrap_or_default()))
            }
            found => found.map_err(|error| Fault::of("cannot be found", &error)),
        }
    }
}

/// The file's name with something behind it.
fn beside(target: &Path, what: &str) -> PathBuf {
    let mut name = target.as_os_str().to_owned();
    name.push(".");
    name.push(what);
    PathBuf::from(name)
}

/// Writes a text to the disk under a temporary name, and gives it the right one.
fn replace(temporary: &Path, target: &Path, text: &[u8]) -> io::Result<(File, Stamp)> {
    match fs::remove_file(temporary) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().read(true).write(true).create_new(true).open(temporary)?;
    if let Ok(old) = fs::metadata(target) {
        keep_owner(&file, &old);
        file.set_permissions(old.permissions())?;
    }
    file.write_all(text)?;
    file.sync_all()?;
    fs::rename(temporary, target)?;
    if let Some(folder) = target.parent() {
        // Some filesystems have nothing to do for that, and say so.
        match File::open(folder)?.sync_all() {
            Err(error) if !matches!(error.kind(), ErrorKind::InvalidInput | ErrorKind::Unsupported) => {
                return Err(error);
            }
            _ => {}
        }
    }
    let stamp = Stamp::of(&file.metadata()?);
    Ok((file, stamp))
}

/// Whoever may give a file away leaves it to its owner.
fn keep_owner(file: &File, old: &Metadata) {
    let (user, group) = (rustix::fs::Uid::from_raw(old.uid()), rustix::fs::Gid::from_raw(old.gid()));
    let is_same = file.metadata().is_ok_and(|new| (new.uid(), new.gid()) == (old.uid(), old.gid()));
    if !is_same {
        // Most may not; then it is theirs from now on.
        let _theirs = rustix::fs::fchown(file, Some(user), Some(group));
    }
}
