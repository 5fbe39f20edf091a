//! Flags and settings that change while programs run: read from memory, kept up to date by a watcher.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::de::DeserializeOwned;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::State;
use crate::state::watch::Seen;
use crate::{Error, Project};

/// The namespace that flags are in.
const NAMESPACE: &str = "config";

/// The values of the namespace `config`, typed, and with a default each. From [`Project::flags`].
///
/// Reading asks nobody: the values are kept in memory and refreshed within milliseconds of a change (in a server; a file is
/// looked at every 20 ms), or 5 s after one that was written past the library. While the server is away they are what they were last. A
/// value of another type than what is asked for counts as not there, which is said once in the log (`tracing`). Clones share
/// one watcher; it ends with the last of them. It needs a tokio runtime with time and I/O.
///
/// ```no_run
/// # async fn example(project: poppo::Project) -> Result<(), poppo::Error> {
/// use std::time::Duration;
///
/// let flags = project.flags().await?;
/// if flags.bool("review", false) {
///     let reviewers = flags.integer("reviewers", 2);
///     let patience = flags.duration("patience", Duration::from_secs(300));
///     println!("{reviewers} reviewers have {patience:?}");
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Flags {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    values: watch::Receiver<Arc<BTreeMap<String, String>>>,
    /// The names, each with the text, of which was said that they are of another type.
    said: Mutex<BTreeSet<(String, String)>>,
    _task: JoinSet<()>,
}

impl Project {
    /// The project's flags: the values of the namespace `config`. Comes back once they are read.
    ///
    /// Example: [`Flags`].
    ///
    /// # Errors
    /// As [`State::get`], where they cannot be read for the first time.
    pub async fn flags(&self) -> Result<Flags, Error> {
        let state = self.state(NAMESPACE)?;
        let values = state.get_all().await?;
        let (sender, values) = watch::channel(Arc::new(values));
        let mut task = JoinSet::new();
        task.spawn(refresh(state, sender));
        Ok(Flags { inner: Arc::new(Inner { values, said: Mutex::default(), _task: task }) })
    }
}

impl Flags {
    /// Whether a flag is on.
    ///
    /// Example: [`Flags`].
    #[must_use]
    pub fn bool(&self, name: &str, default: bool) -> bool {
        self.get(name).unwrap_or(default)
    }

    /// A whole number.
    ///
    /// Example: [`Flags`].
    #[must_use]
    pub fn integer(&self, name: &str, default: i64) -> i64 {
        self.get(name).unwrap_or(default)
    }

    /// A number.
    #[must_use]
    pub fn number(&self, name: &str, default: f64) -> f64 {
        self.get(name).unwrap_or(default)
    }

    /// A text.
    #[must_use]
    pub fn text(&self, name: &str, default: &str) -> String {
        self.get(name).unwrap_or_else(|| default.to_owned())
    }

    /// A duration: a text such as `"90s"` or `"1h 30m"`, or a whole number of milliseconds.
    ///
    /// Example: [`Flags`].
    #[must_use]
    pub fn duration(&self, name: &str, default: Duration) -> Duration {
        let read = |text: &str| match serde_json::from_str(text) {
            Ok(serde_json::Value::String(text)) => humantime::parse_duration(&text).map_err(|error| error.to_string()),
            Ok(serde_json::Value::Number(number)) if number.is_u64() => {
                Ok(Duration::from_millis(number.as_u64().unwrap_or_default()))
            }
            Ok(_) => Err("expected a duration such as \"90s\", or milliseconds".to_owned()),
            Err(error) => Err(error.to_string()),
        };
        self.read(name, read).unwrap_or(default)
    }

    /// A value of any type; none where there is none, or it is of another type.
    ///
    /// ```no_run
    /// # fn example(flags: poppo::Flags) {
    /// let languages: Vec<String> = flags.get("languages").unwrap_or_default();
    /// # }
    /// ```
    #[must_use]
    pub fn get<T: DeserializeOwned>(&self, name: &str) -> Option<T> {
        self.read(name, |text| serde_json::from_str(text).map_err(|error| error.to_string()))
    }

    /// Tells whenever any of them changes, from now on.
    ///
    /// ```no_run
    /// # async fn example(flags: poppo::Flags) {
    /// let mut changes = flags.changes();
    /// while changes.next().await {
    ///     println!("jobs: {}", flags.integer("jobs", 4));
    /// }
    /// # }
    /// ```
    #[must_use]
    pub fn changes(&self) -> FlagChanges {
        FlagChanges { values: self.inner.values.clone() }
    }

    fn read<T>(&self, name: &str, read: impl FnOnce(&str) -> Result<T, String>) -> Option<T> {
        let values = Arc::clone(&self.inner.values.borrow());
        let text = values.get(name)?;
        match read(text) {
            Ok(value) => Some(value),
            Err(why) => {
                self.say(name, text, &why);
                None
            }
        }
    }

    fn say(&self, name: &str, text: &str, why: &str) {
        // Nothing panics while it is held.
        let mut said = self.inner.said.lock().unwrap_or_else(PoisonError::into_inner);
        if said.insert((name.to_owned(), text.to_owned())) {
            // What it was before does not matter any more.
            said.retain(|(known, at)| known != name || at == text);
            tracing::warn!(flag = name, "its value is of another type, so its default counts: {why}");
        }
    }
}

/// Tells when flags change. From [`Flags::changes`].
#[derive(Debug, Clone)]
pub struct FlagChanges {
    values: watch::Receiver<Arc<BTreeMap<String, String>>>,
}

impl FlagChanges {
    /// Waits for the next change; several at once may count as one. False where there will be none any more, since all
    /// [`Flags`] are dropped. It may be dropped before its end and called again.
    pub async fn next(&mut self) -> bool {
        self.values.changed().await.is_ok()
    }
}

/// Keeps the values as they are.
async fn refresh(state: State, sender: watch::Sender<Arc<BTreeMap<String, String>>>) {
    let mut watch = state.watch_all();
    // What the watcher told, which may be less than what is known until it began.
    let mut told = BTreeMap::new();
    let mut has_begun = false;
    loop {
        match watch.next().await {
            Seen::Began => has_begun = true,
            Seen::Changed(change) => {
                match change.text {
                    Some(text) => told.insert(change.name, text),
                    None => told.remove(&change.name),
                };
            }
            Seen::Lost(error) => {
                tracing::warn!(namespace = state.namespace(), "flags may be behind: {error}");
                continue;
            }
        }
        if has_begun {
            sender.send_if_modified(|values| {
                let is_other = **values != told;
                if is_other {
                    *values = Arc::new(told.clone());
                }
                is_other
            });
        }
    }
}
