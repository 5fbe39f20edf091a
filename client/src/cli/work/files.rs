//! The files of a task: a folder of its own, which goes with the task, or when the next worker finds that its worker is dead.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use poppo::Claimed;
use rustix::fs::{FlockOperation, Mode, OFlags};
use tempfile::TempDir;

use crate::output::say;

/// What the names of such folders begin with.
const PREFIX: &str = "poppo-task-";

/// The files of one task, in a folder that nobody else may look into. Removed when it goes out of scope.
pub(super) struct Files {
    folder: TempDir,
    pub(super) payload: Option<PathBuf>,
    /// The folder's lock, which ends with this process, however it ends: a folder that nobody holds is a dead worker's.
    _lock: File,
}

impl Files {
    pub(super) fn of(task: &Claimed) -> io::Result<Self> {
        let (folder, lock) = folder(&std::env::temp_dir())?;
        let payload = match &task.payload {
            None => None,
            Some(json) => {
                let path = folder.path().join("payload.json");
                let mut file = tempfile::Builder::new().tempfile_in(folder.path())?;
                file.write_all(json.as_bytes())?;
                file.persist(&path).map_err(|error| error.error)?;
                Some(path)
            }
        };
        Ok(Self { folder, payload, _lock: lock })
    }

    pub(super) fn result(&self) -> PathBuf {
        self.folder.path().join("result.json")
    }
}

/// A new folder, and its lock.
fn folder(parent: &Path) -> io::Result<(TempDir, File)> {
    loop {
        let private = fs::Permissions::from_mode(0o700);
        let folder = tempfile::Builder::new().prefix(PREFIX).permissions(private).tempdir_in(parent)?;
        // Whoever tidies up may have been faster: then it is gone, or is about to be.
        if let Some(lock) = lock(folder.path())? {
            return Ok((folder, lock));
        }
    }
}

/// The lock of a folder; none where another process has it, or where there is no folder.
fn lock(folder: &Path) -> io::Result<Option<File>> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = match rustix::fs::open(folder, flags, Mode::empty()) {
        Ok(file) => File::from(file),
        Err(rustix::io::Errno::NOENT) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(rustix::io::Errno::WOULDBLOCK) => return Ok(None),
        Err(error) => return Err(error.into()),
    }
    // The name may be another folder's by now, or nobody's.
    let is_the_same = fs::symlink_metadata(folder)
        .is_ok_and(|named| file.metadata().is_ok_and(|held| (held.dev(), held.ino()) == (named.dev(), named.ino())));
    Ok(is_the_same.then_some(file))
}

/// Removes what workers of this user left that were killed. What cannot be removed is said, and hinders nobody.
pub(super) fn remove_what_the_dead_left() {
    tidy(&std::env::temp_dir());
}

fn tidy(parent: &Path) {
    let ours = rustix::process::geteuid().as_raw();
    let Ok(entries) = fs::read_dir(parent) else { return };
    for entry in entries.flatten() {
        let is_one = entry.file_name().to_string_lossy().starts_with(PREFIX)
            // Of the name itself, wherever it may point.
            && entry.metadata().is_ok_and(|found| found.is_dir() && found.uid() == ours);
        if !is_one {
            continue;
        }
        let path = entry.path();
        let removed = match lock(&path) {
            Ok(Some(_lock)) => fs::remove_dir_all(&path),
            Ok(None) => Ok(()),
            Err(error) => Err(error),
        };
        if let Err(error) = removed {
            say(&format!("{} was left by a worker that is gone, and stays: {error}", path.display()));
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_is_for_its_worker_alone_and_goes_with_the_task() {
        let task = Claimed {
            issue: 7.try_into().unwrap(),
            token: 9.try_into().unwrap(),
            task: "7:fix".to_owned(),
            task_type: "fix".to_owned(),
            title: None,
            payload: Some("{\"a\": 1}".to_owned()),
            attempts: 0,
            waited: 0,
        };
        let files = Files::of(&task).unwrap();
        let payload = files.payload.clone().unwrap();
        assert_eq!(fs::read_to_string(&payload).unwrap(), "{\"a\": 1}");
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&payload), 0o600);
        assert_eq!(mode(files.folder.path()), 0o700);
        drop(files);
        assert!(!payload.exists());
        let files = Files::of(&Claimed { payload: None, ..task }).unwrap();
        assert_eq!(files.payload, None);
    }

    #[test]
    fn only_what_nobody_holds_is_removed() {
        let parent = tempfile::tempdir().unwrap();
        let (held, _lock) = folder(parent.path()).unwrap();
        let path = |name: &str| parent.path().join(name);
        for name in ["poppo-task-dead", "another"] {
            fs::create_dir(path(name)).unwrap();
            fs::write(path(name).join("payload.json"), "{}").unwrap();
        }
        std::os::unix::fs::symlink(path("another"), path("poppo-task-link")).unwrap();
        fs::write(path("poppo-task-file"), "").unwrap();
        tidy(parent.path());
        assert!(held.path().exists() && !path("poppo-task-dead").exists());
        assert!(path("another").join("payload.json").exists() && path("poppo-task-link").exists());
        assert!(path("poppo-task-file").exists());
    }
}
