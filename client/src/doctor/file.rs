//! A file instead of a server: can it be read, locked and replaced, is there room, and is it still of a size that makes sense?

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use poppo::Project;
use rustix::fs::{Access, FlockOperation};
use rustix::io::Errno;

use super::redis_cli::quoted;
use super::{Finding, facts, project, spool};

/// Above this each change takes so long that a server is the better place.
const LARGE: u64 = 16 << 20;

/// With less room than this the disk is nearly full.
const LITTLE: u64 = 64 << 20;

/// The file cannot be used at all.
pub(super) fn unusable(message: &str) -> Finding {
    Finding::failed("file", message, "restore a copy of it, mend it by hand, or name another one with --url")
}

/// Looks at everything, of the file and of the project.
pub(super) async fn examine(project: &Project, path: &Path) -> Vec<Finding> {
    if let Err(error) = project.client().ping().await {
        return std::iter::once(unusable(&error.to_string())).chain(spool::judge()).collect();
    }
    // The file that is replaced is the one behind links.
    let target = fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf());
    let folder = target.parent().unwrap_or(Path::new("/"));
    let mut findings = vec![file(&target), lock(&target), writable(folder)];
    findings.extend(room(folder));
    findings.extend(project::judge(&facts::gather(project).await));
    findings.extend(spool::judge());
    findings
}

fn file(target: &Path) -> Finding {
    let shown = target.display();
    match fs::metadata(target).map(|metadata| metadata.len()) {
        Err(_) => Finding::ok("file", format!("{shown} does not exist yet: the first change makes it")),
        Ok(size) if size > LARGE => Finding::warning(
            "file",
            format!("{shown} has {} MiB, and each change writes all of it", size >> 20),
            "lower events-kept, finished-kept or issues-kept (poppo config set), or use a server",
        ),
        Ok(size) => Finding::ok("file", format!("{shown} is whole ({size} bytes)")),
    }
}

/// Whether the lock can be had. That somebody has it at the moment is no fault.
fn lock(target: &Path) -> Finding {
    let mut name = target.as_os_str().to_owned();
    name.push(".lock");
    let path = PathBuf::from(name);
    let shown = path.display();
    let locked = match File::open(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Finding::ok("lock", "nobody locked the file so far");
        }
        Err(error) => Err(error.to_string()),
        Ok(file) => match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok("can be had"),
            Err(Errno::WOULDBLOCK) => Ok("is somebody's at the moment"),
            Err(error) => Err(error.to_string()),
        },
    };
    match locked {
        Ok(how) => Finding::ok("lock", format!("the lock {how} ({shown})")),
        Err(why) => Finding::failed(
            "lock",
            format!("{shown} cannot be locked: {why}"),
            "let this user read it, and keep the file on a disk of this machine",
        ),
    }
}

/// A file is replaced by another one, so it is its folder that must be writable.
fn writable(folder: &Path) -> Finding {
    let shown = folder.display();
    match rustix::fs::access(folder, Access::WRITE_OK | Access::EXEC_OK) {
        Ok(()) => Finding::ok("folder", format!("{shown} can be written to")),
        Err(error) => Finding::failed(
            "folder",
            format!("{shown} cannot be written to ({error}): nothing can be changed"),
            format!("ls -ld {}    (give this user the right to write there)", quoted(&shown.to_string())),
        ),
    }
}

fn room(folder: &Path) -> Option<Finding> {
    let disk = rustix::fs::statvfs(folder).ok()?;
    let free = disk.f_bavail.saturating_mul(disk.f_frsize);
    let shown = folder.display();
    Some(if free < LITTLE {
        let message = format!("{shown} has room for {} MiB only; without any, nothing can be changed", free >> 20);
        Finding::warning("space", message, format!("df -h {}", quoted(&shown.to_string())))
    } else {
        Finding::ok("space", format!("there is room for {} MiB", free >> 20))
    })
}
