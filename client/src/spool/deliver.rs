//! Delivering what waits: oldest first, by one deliverer at a time.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::FlockOperation;
use tokio::time::{Instant, sleep};

use super::{DAMAGED, LOCK, Spool, Spooled, entry, files, is_there, leftovers, remove, with_extension};
use crate::{Error, Project, Refusal};

/// How long another deliverer is waited for.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often it is looked whether he is done.
const GLANCE: Duration = Duration::from_millis(20);

/// What became of one file.
///
/// Example: [`Spool::deliver`].
#[derive(Debug)]
#[non_exhaustive]
pub enum Delivered {
    /// The server took the report.
    Accepted(Spooled),
    /// It never will: the lease is not there any more. Nothing was changed, and the report is gone.
    Refused(Spooled, Refusal),
    /// The file cannot be read, or the server calls it nonsense: it was given another name, for somebody to look at.
    SetAside {
        /// What it is called now.
        file: PathBuf,
        /// What is wrong with it.
        why: String,
    },
}

/// What a delivery came to.
///
/// Example: [`Spool::deliver`].
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Delivery {
    /// What is done with, in the order of its age.
    pub done: Vec<Delivered>,
    /// Why it ended before everything was done: the server is away again, say.
    pub error: Option<Error>,
}

/// A file that cannot be delivered, and what is wrong with it.
pub type Unusable = (PathBuf, String);

impl Spool {
    /// Delivers what waits for this project of this server, oldest first. Of several that do so at the same time, on one
    /// host, one is at it and the others wait for him; a report whose worker still tries to deliver it is left to that
    /// worker.
    ///
    /// A check-in that the server refuses is final: the token says that its lease is lost. A file that nobody can read
    /// is set aside and blocks none of the others. What remains when the server goes away remains.
    ///
    /// ```no_run
    /// # use poppo::{Client, Delivered, Error, Spool};
    /// # async fn deliver() -> Result<(), Box<dyn std::error::Error>> {
    /// let project = Client::connect("redis://127.0.0.1:6379").await?.project("acme/widgets");
    /// if let Some(spool) = Spool::standard() {
    ///     for report in spool.deliver(&project).await?.done {
    ///         match report {
    ///             Delivered::Accepted(entry) => println!("issue {} is {}", entry.issue, entry.status),
    ///             Delivered::Refused(entry, refusal) => println!("issue {}: {refusal}", entry.issue),
    ///             other => println!("{other:?}"),
    ///         }
    ///     }
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Where the folder cannot be read or written, or another deliverer was at it for 30 s. What the server said or did
    /// not say is in [`Delivery::error`].
    pub async fn deliver(&self, project: &Project) -> io::Result<Delivery> {
        let folder = self.folder_of(project);
        let mut delivery = Delivery::default();
        leftovers::tidy(&folder)?;
        if files(&folder)?.is_empty() {
            return Ok(delivery);
        }
        let _turn = my_turn(&folder).await?;
        for path in files(&folder)? {
            // Held until the file is removed, so that nobody delivers it again.
            let (lock, read) = match take(&path)? {
                Taken::Nothing => continue,
                Taken::Text(file, text) => (Some(file), entry::read(path.clone(), &text)),
                Taken::Unusable(why) => (None, Err(why)),
            };
            let entry = match read {
                Ok(entry) => entry,
                Err(why) => {
                    delivery.done.push(set_aside(&path, why)?);
                    continue;
                }
            };
            // Two projects whose fingerprints are the same: not ours to deliver.
            if entry.project != project.key() || entry.server != project.client().url() {
                continue;
            }
            match send(project, &entry).await {
                Ok(()) => delivery.done.push(Delivered::Accepted(entry)),
                Err(Error::Refused(refusal)) => delivery.done.push(Delivered::Refused(entry, refusal)),
                Err(Error::BadArgument(why)) => {
                    delivery.done.push(set_aside(&path, why)?);
                    continue;
                }
                Err(error) => {
                    delivery.error = Some(error);
                    return Ok(delivery);
                }
            }
            remove(&path)?;
            drop(lock);
        }
        Ok(delivery)
    }

    /// Everything that waits, for whatever server, oldest first, and the files that cannot be read, each with what is
    /// wrong with it. Changes nothing.
    ///
    /// Example: [`standard`](Self::standard).
    ///
    /// # Errors
    /// Where the folder is there and cannot be read.
    pub fn list(&self) -> io::Result<(Vec<Spooled>, Vec<Unusable>)> {
        let (mut entries, mut unusable) = (Vec::new(), Vec::new());
        for folder in self.folders()? {
            for path in files(&folder)? {
                match fs::read_to_string(&path) {
                    Ok(text) => match entry::read(path.clone(), &text) {
                        Ok(entry) => entries.push(entry),
                        Err(why) => unusable.push((path, why)),
                    },
                    // It was delivered a moment ago.
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    Err(error) => unusable.push((path, error.to_string())),
                }
            }
            for path in with_extension(&folder, DAMAGED)? {
                unusable.push((path, "was set aside, since it could not be delivered".to_owned()));
            }
        }
        entries.sort_by(|a, b| (&a.at, &a.file).cmp(&(&b.at, &b.file)));
        Ok((entries, unusable))
    }
}

/// Waits until nobody else delivers from this folder.
async fn my_turn(folder: &Path) -> io::Result<File> {
    let lock = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(folder.join(LOCK))?;
    let start = Instant::now();
    loop {
        match rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(lock),
            Err(rustix::io::Errno::WOULDBLOCK) if start.elapsed() < PATIENCE => sleep(GLANCE).await,
            Err(rustix::io::Errno::WOULDBLOCK) => {
                let message = format!("somebody else delivers from {} and does not end", folder.display());
                return Err(io::Error::other(message));
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// What was found under a name.
enum Taken {
    /// Nothing any more, or something that is still its worker's.
    Nothing,
    /// This text, in a file that is locked.
    Text(File, String),
    Unusable(String),
}

fn take(path: &Path) -> io::Result<Taken> {
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Taken::Nothing),
        Err(error) => return Ok(Taken::Unusable(error.to_string())),
    };
    match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(rustix::io::Errno::WOULDBLOCK) => return Ok(Taken::Nothing),
        Err(error) => return Err(error.into()),
    }
    if !is_there(&file)? {
        return Ok(Taken::Nothing);
    }
    let mut text = String::new();
    Ok(match file.read_to_string(&mut text) {
        Ok(_) => Taken::Text(file, text),
        Err(error) => Taken::Unusable(error.to_string()),
    })
}

/// Without its result, where it is that which the server does not want: that the work is done counts for more.
async fn send(project: &Project, entry: &Spooled) -> Result<(), Error> {
    let first = project.checkin(&entry.checkin).await;
    if matches!(first, Err(Error::BadArgument(_))) && entry.checkin.result.is_some() {
        let mut without = entry.checkin.clone();
        without.result = None;
        return project.checkin(&without).await;
    }
    first
}

fn set_aside(path: &Path, why: String) -> io::Result<Delivered> {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(DAMAGED);
    let file = PathBuf::from(name);
    fs::rename(path, &file)?;
    Ok(Delivered::SetAside { file, why })
}
