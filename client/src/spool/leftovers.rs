//! Files that are being written, and those that never will be: whoever wrote them is dead. Which is which is said by a lock,
//! that the writer holds from the beginning and that ends with him, however he ends.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::FlockOperation;
use rustix::io::Errno;

use super::{PART, entry, is_there, next_name, with_extension};
use crate::random;

/// A new file, locked, under a name that counts for nothing yet.
pub(super) fn begin(folder: &Path) -> io::Result<(PathBuf, File)> {
    loop {
        let path = folder.join(format!(".{}.{PART}", random::unique_name()));
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
        // Whoever tidies up may have been faster: then it is gone, or is about to be.
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) if is_there(&file)? => return Ok((path, file)),
            Ok(()) | Err(Errno::WOULDBLOCK) => {}
            Err(error) => {
                drop(fs::remove_file(&path));
                return Err(error.into());
            }
        }
    }
}

/// Tidies up behind writers that were killed: what one had finished but for its name is kept as what it is, the rest removed.
pub(super) fn tidy(folder: &Path) -> io::Result<()> {
    for path in with_extension(folder, PART)? {
        let mut file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) if is_there(&file)? => {}
            Ok(()) | Err(Errno::WOULDBLOCK) => continue,
            Err(error) => return Err(error.into()),
        }
        let mut text = String::new();
        let is_whole = file.read_to_string(&mut text).is_ok() && entry::read(path.clone(), &text).is_ok();
        if is_whole {
            file.sync_all()?;
            fs::rename(&path, folder.join(next_name(folder)))?;
        } else {
            fs::remove_file(&path)?;
        }
    }
    Ok(())
}
