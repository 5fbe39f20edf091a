//! Projects in a file instead of a server: the same core over one JSON document, for one machine without Redis.
//!
//! | file | what lives there |
//! | --- | --- |
//! | `place` | which file a URL means |
//! | `disk` | reading it, the lock, and writing it whole or not at all |
//! | `document` | what is in it |
//! | `engine` | a command on what was read |
//! | `notes` | free state |
//!
//! Whoever looks takes no lock: a file is only ever replaced as a whole, so what was opened is one state or the next. Whoever
//! finds that his command changes something takes the lock, and runs it again on what is there then. So refusals, and those
//! who wait, hold up nobody.

mod disk;
mod document;
mod engine;
mod notes;
mod place;

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use poppo_core::{Instant as Moment, Now};
use redis::Value;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use self::disk::{Disk, Fault, Shelf};
use self::engine::Outcome;
use crate::links::ANSWER_TIMEOUT;
use crate::{Durability, Error};

/// How often those who wait look whether the file changed.
const GLANCE: Duration = Duration::from_millis(20);

/// The projects of one file.
#[derive(Debug)]
pub struct Store {
    url: String,
    disk: Disk,
    /// What was read last.
    seen: Mutex<Option<Arc<Shelf>>>,
    /// Held by the one task of this process that changes the file: among themselves they are served first come, first
    /// served.
    turn: Arc<tokio::sync::Mutex<()>>,
}

/// What became of a command.
enum Step {
    /// It was answered.
    Answered(Value),
    /// There is nothing to answer yet.
    Nothing {
        /// For how long the command would wait; zero is for ever.
        block: Duration,
        /// When there may be something without any change of the file.
        due: Option<Duration>,
        /// What was looked at.
        seen: Arc<Shelf>,
    },
    /// It would change something.
    Changes,
}

impl Store {
    /// What a URL names, and the durability it asks for; none where it is not one of a file.
    pub(crate) fn named(url: &str) -> Result<Option<(Self, Option<Durability>)>, Error> {
        let Some(place) = place::Place::parse(url)? else { return Ok(None) };
        let store = Self { url: place.url(), disk: Disk::at(place.path), seen: Mutex::default(), turn: Arc::default() };
        Ok(Some((store, place.durability)))
    }

    /// The file at a path, for tests that speak to it in words.
    ///
    /// # Errors
    /// Where no URL can be made of the path.
    #[doc(hidden)]
    pub fn at(path: &Path) -> Result<Arc<Self>, Error> {
        let named = Self::named(&crate::url::file_url(path))?;
        let unusable = || Error::Url { url: path.display().to_string(), message: "it is no path of a file".to_owned() };
        named.map(|(store, _)| Arc::new(store)).ok_or_else(unusable)
    }

    /// The file's URL.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// The file.
    pub(crate) fn path(&self) -> &Path {
        self.disk.path()
    }

    /// Runs a command and answers as a server does, errors included. One that waits is asked again whenever the file
    /// changed; dropped, it leaves nothing behind.
    ///
    /// # Errors
    /// [`Error::File`] where the file cannot be used; nothing of the command was done then.
    #[doc(hidden)]
    pub async fn ask(self: &Arc<Self>, words: Vec<Vec<u8>>) -> Result<Value, Error> {
        let words = Arc::new(words);
        let start = Instant::now();
        loop {
            let mut step = self.look(&words).await?;
            if matches!(step, Step::Changes) {
                step = self.change(&words).await?;
            }
            let (block, due, seen) = match step {
                Step::Answered(value) => return Ok(value),
                Step::Nothing { block, due, seen } => (block, due, seen),
                // It changed something on what was there before, and finds something else now.
                Step::Changes => continue,
            };
            let left = (!block.is_zero()).then(|| block.saturating_sub(start.elapsed()));
            if left.is_some_and(|left| left.is_zero()) {
                return Ok(Value::Nil);
            }
            self.until_changed(&seen, left.into_iter().chain(due).min()).await;
        }
    }

    /// Runs a command on what is there, without changing it.
    async fn look(self: &Arc<Self>, words: &Arc<Vec<Vec<u8>>>) -> Result<Step, Error> {
        let (store, words) = (Arc::clone(self), Arc::clone(words));
        self.aside(move |dropped| {
            let seen = store.read_whole(dropped)?;
            Ok(match engine::run(&words, &seen.contents().projects, now()) {
                Outcome::Answer(value) => Step::Answered(value),
                Outcome::Nothing { block, due } => Step::Nothing { block, due, seen },
                Outcome::Changed { .. } => Step::Changes,
            })
        })
        .await
    }

    /// Runs a command that changes something, alone.
    async fn change(self: &Arc<Self>, words: &Arc<Vec<Vec<u8>>>) -> Result<Step, Error> {
        let turn = timeout(ANSWER_TIMEOUT, Arc::clone(&self.turn).lock_owned());
        let turn = turn.await.map_err(|_| self.error(Fault::locked(ANSWER_TIMEOUT)))?;
        let (store, words) = (Arc::clone(self), Arc::clone(words));
        self.aside(move |dropped| {
            let _turn = turn;
            let lock = store.disk.lock(ANSWER_TIMEOUT, dropped)?;
            let seen = store.read()?;
            match engine::run(&words, &seen.contents().projects, now()) {
                Outcome::Answer(value) => Ok(Step::Answered(value)),
                Outcome::Nothing { block, due } => Ok(Step::Nothing { block, due, seen }),
                Outcome::Changed { .. } if dropped.is_cancelled() => Err(Fault::unwanted()),
                Outcome::Changed { answer, key, project } => {
                    let written = store.disk.write(&lock, seen.with(key, project))?;
                    *store.seen() = Some(Arc::new(written));
                    Ok(Step::Answered(answer))
                }
            }
        })
        .await
    }

    /// What is in the file, for who has no lock. One that is not whole may be under somebody's hands, who has the lock then.
    fn read_whole(&self, dropped: &CancellationToken) -> Result<Arc<Shelf>, Fault> {
        let damage = match self.read() {
            Err(fault) if fault.is_damage => fault,
            read => return read,
        };
        match self.disk.lock(ANSWER_TIMEOUT, dropped) {
            Ok(_lock) => self.read(),
            Err(locked) if locked.may_pass => Err(locked),
            Err(_) => Err(damage),
        }
    }

    /// What is in the file. It is read again only where it changed.
    fn read(&self) -> Result<Arc<Shelf>, Fault> {
        let last = self.seen().clone();
        if let Some(last) = last.filter(|last| self.disk.shows(last)) {
            return Ok(last);
        }
        let shelf = Arc::new(self.disk.read()?);
        *self.seen() = Some(Arc::clone(&shelf));
        Ok(shelf)
    }

    fn seen(&self) -> std::sync::MutexGuard<'_, Option<Arc<Shelf>>> {
        // What is there is replaced as a whole.
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until there is another state, or for so long.
    async fn until_changed(&self, seen: &Shelf, longest: Option<Duration>) {
        let start = Instant::now();
        while self.disk.shows(seen) {
            let left = longest.map(|longest| longest.saturating_sub(start.elapsed()));
            if left.is_some_and(|left| left.is_zero()) {
                return;
            }
            sleep(left.map_or(GLANCE, |left| left.min(GLANCE))).await;
        }
    }

    /// Does what may keep a thread waiting on a thread that may wait. It is told when nobody wants it any more.
    async fn aside<T: Send + 'static>(
        &self,
        work: impl FnOnce(&CancellationToken) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, Error> {
        let dropped = CancellationToken::new();
        let _guard = dropped.clone().drop_guard();
        let done = tokio::task::spawn_blocking(move || work(&dropped)).await;
        done.unwrap_or_else(|_| Err(Fault::internal())).map_err(|fault| self.error(fault))
    }

    fn error(&self, fault: Fault) -> Error {
        let Fault { message, may_pass, .. } = fault;
        Error::File { path: self.path().display().to_string(), message, may_pass }
    }
}

/// This host's clock. There is no restart grace: nobody who lives could not beat because a server was away.
fn now() -> Now {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Now::primary(Moment::from_micros(u64::try_from(since_1970.as_micros()).unwrap_or(u64::MAX)))
}
