//! Watching a namespace, over restarts and failovers of the server.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};

use super::commit::Notes;
use super::mirror::Mirror;
use super::{PIECE, State};
use crate::Error;
use crate::file::Store;
use crate::subscription::Heard;

/// How many changes wait to be read, until no more are looked for.
const WAITING: usize = 64;
/// How often everything is read, for what was written past the library, or told to nobody.
const NET: Duration = Duration::from_secs(5);
/// Reading everything takes at most one part of so many of the time.
const PART: u32 = 50;
/// The pause before a file that cannot be read is looked at again.
const PAUSE: Duration = Duration::from_millis(200);

/// A value that is another one now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// The value as JSON text; none where it was removed.
    pub text: Option<String>,
}

impl Change {
    /// The value, read; none where it was removed.
    ///
    /// # Errors
    /// [`Error::Value`] where it is something else.
    pub fn value<T: DeserializeOwned>(&self) -> Result<Option<T>, Error> {
        self.text.as_ref().map(|text| super::parse(&self.namespace, &self.name, text)).transpose()
    }
}

/// What a [`Watch`] saw.
#[derive(Debug)]
#[non_exhaustive]
pub enum Seen {
    /// Everything up to now is told; the changes from now on follow.
    Began,
    /// A value changed.
    Changed(Change),
    /// The namespace cannot be watched for now, or only by looking every 5 s. It goes on by itself, and what changes
    /// meanwhile is told then: the last value of each.
    Lost(Error),
}

/// Watches the values of a namespace until it is dropped, and tells each change once. From [`State::watch`], and
/// [`State::watch_all`]. It needs a tokio runtime with time and I/O.
///
/// Changes that were made through the library are told one by one, in their order, as long as the connection holds. After it
/// broke, of values that were written past the library, and in a file, the last one is told where a value changed
/// several times.
#[derive(Debug)]
pub struct Watch {
    seen: mpsc::Receiver<Seen>,
    _task: JoinSet<()>,
}

impl Watch {
    /// What is seen next. It may be dropped before its end and called again; nothing is missed by that.
    pub async fn next(&mut self) -> Seen {
        match self.seen.recv().await {
            Some(seen) => seen,
            // Its task ends with us, unless it panics.
            None => std::future::pending().await,
        }
    }

    /// With `tells_all`, what is there at the beginning counts as changed.
    pub(super) fn begin(state: State, tells_all: bool) -> Self {
        let (sender, seen) = mpsc::channel(WAITING);
        let teller = Teller { sender, is_silent: !tells_all };
        let mut task = JoinSet::new();
        match state.project.client().store().map(Arc::clone) {
            Some(store) => task.spawn(watch_file(state, store, teller)),
            None => {
                let (mirror, is_away) = (Mirror::default(), true);
                let watcher = Watcher { state, teller, mirror, is_deaf: false, is_away, is_said: false };
                task.spawn(watcher.watch())
            }
        };
        Self { seen, _task: task }
    }
}

/// Nobody listens any more.
struct Gone;

/// Whom all is told.
struct Teller {
    sender: mpsc::Sender<Seen>,
    /// As long as what is there at the beginning is looked at, and nobody wants to hear of it.
    is_silent: bool,
}

impl Teller {
    async fn tell(&self, seen: Seen) -> Result<(), Gone> {
        self.sender.send(seen).await.map_err(|_| Gone)
    }

    async fn change(&self, state: &State, name: String, text: Option<String>) -> Result<(), Gone> {
        if self.is_silent {
            return Ok(());
        }
        self.tell(Seen::Changed(Change { namespace: state.namespace.clone(), name, text })).await
    }
}

/// A message about a namespace.
#[derive(Deserialize)]
struct Message {
    version: u64,
    #[serde(default)]
    set: BTreeMap<String, Box<RawValue>>,
    #[serde(default)]
    deleted: Vec<String>,
    #[serde(default)]
    changed: Vec<String>,
}

/// Why a look at everything did not come to its end.
enum Broken {
    Gone,
    Failed(Error),
}

impl From<Gone> for Broken {
    fn from(_: Gone) -> Self {
        Self::Gone
    }
}

impl From<Error> for Broken {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

/// Watches what a server keeps.
struct Watcher {
    state: State,
    teller: Teller,
    mirror: Mirror,
    /// Whether messages cannot be heard, and that was said.
    is_deaf: bool,
    /// Whether everything is still to be read, or could not be.
    is_away: bool,
    /// Whether it was said that everything could not be read.
    is_said: bool,
}

impl Watcher {
    async fn watch(mut self) {
        let mut heard = self.state.project.client().subscribe(vec![self.state.channel.clone()]);
        let mut net = Instant::now() + NET;
        loop {
            let step = tokio::select! {
                heard = heard.next() => match heard {
                    Heard::Began(_) => {
                        self.mirror.forget_last();
                        (self.is_deaf, self.is_away) = (false, true);
                        self.look(&mut net).await
                    }
                    Heard::Message { payload, .. } => self.hear(&payload, &mut net).await,
                    Heard::Lost(error) if !self.is_deaf => {
                        self.is_deaf = true;
                        self.teller.tell(Seen::Lost(error)).await
                    }
                    Heard::Lost(_) => Ok(()),
                },
                () = sleep_until(net) => self.look(&mut net).await,
                () = self.teller.sender.closed() => return,
            };
            if step.is_err() {
                return;
            }
        }
    }

    /// Looks at everything, and says how that went where it matters.
    async fn look(&mut self, net: &mut Instant) -> Result<(), Gone> {
        let begun = Instant::now();
        let looked = self.read_all().await;
        *net = Instant::now() + NET.max(begun.elapsed().saturating_mul(PART));
        match looked {
            Ok(()) => {
                (self.teller.is_silent, self.is_said) = (false, false);
                if std::mem::take(&mut self.is_away) { self.teller.tell(Seen::Began).await } else { Ok(()) }
            }
            Err(Broken::Gone) => Err(Gone),
            Err(Broken::Failed(error)) => self.fail(error).await,
        }
    }

    async fn fail(&mut self, error: Error) -> Result<(), Gone> {
        self.is_away = true;
        // Who knows that messages are not heard expects no better.
        let is_known = std::mem::replace(&mut self.is_said, true) || self.is_deaf;
        if is_known { Ok(()) } else { self.teller.tell(Seen::Lost(error)).await }
    }

    async fn read_all(&mut self) -> Result<(), Broken> {
        self.mirror.begin_round();
        let (mut cursor, mut start) = ("0".to_owned(), None);
        loop {
            let (version, next, fields) = self.state.piece(&cursor).await?;
            start.get_or_insert(version);
            for (name, text) in fields {
                if self.mirror.read(&name, Some(&text), version) {
                    self.teller.change(&self.state, name, Some(text)).await?;
                }
            }
            cursor = next;
            if cursor == "0" {
                break;
            }
        }
        // What moved within the hash may have been passed over, unlike what was there all the while.
        self.read_some(self.mirror.not_found()).await?;
        self.mirror.end_round(start.unwrap_or_default());
        Ok(())
    }

    async fn read_some(&mut self, names: Vec<String>) -> Result<(), Broken> {
        for names in names.chunks(PIECE) {
            let (version, texts) = self.state.versioned(names).await?;
            for (name, text) in names.iter().zip(texts) {
                if self.mirror.read(name, text.as_deref(), version) {
                    self.teller.change(&self.state, name.clone(), text).await?;
                }
            }
        }
        Ok(())
    }

    async fn hear(&mut self, payload: &[u8], net: &mut Instant) -> Result<(), Gone> {
        // Anybody may publish anything; what is there counts.
        let Ok(message) = serde_json::from_slice::<Message>(payload) else { return self.look(net).await };
        if self.is_away || !self.mirror.follows(message.version) {
            return self.look(net).await;
        }
        let deleted = message.deleted.into_iter().map(|name| (name, None));
        let set = message.set.into_iter().map(|(name, value)| (name, Some(Box::<str>::from(value).into_string())));
        for (name, text) in set.chain(deleted) {
            if self.mirror.hear(&name, text.as_deref(), message.version) {
                self.teller.change(&self.state, name, text).await?;
            }
        }
        let mut untold = message.changed;
        untold.retain(|name| self.mirror.is_news(name, message.version));
        match self.read_some(untold).await {
            Ok(()) => Ok(()),
            Err(Broken::Gone) => Err(Gone),
            Err(Broken::Failed(error)) => self.fail(error).await,
        }
    }
}

/// Watches what a file keeps, by comparing what is in it.
async fn watch_file(state: State, store: Arc<Store>, mut teller: Teller) {
    let mut last = Arc::new(Notes::new());
    let mut is_away = true;
    let mut is_said = false;
    loop {
        let step = match store.notes(state.project.key(), &state.namespace).await {
            Ok(glimpse) => {
                let told = tell_differences(&state, &teller, &last, glimpse.notes()).await;
                last = Arc::clone(glimpse.notes());
                (teller.is_silent, is_said) = (false, false);
                let told = match told {
                    Ok(()) if std::mem::take(&mut is_away) => teller.tell(Seen::Began).await,
                    told => told,
                };
                if told.is_ok() {
                    tokio::select! {
                        () = store.until_other(&glimpse) => {}
                        () = teller.sender.closed() => return,
                    }
                }
                told
            }
            Err(error) => {
                is_away = true;
                let told =
                    if std::mem::replace(&mut is_said, true) { Ok(()) } else { teller.tell(Seen::Lost(error)).await };
                sleep(PAUSE).await;
                told
            }
        };
        if step.is_err() {
            return;
        }
    }
}

async fn tell_differences(state: &State, teller: &Teller, before: &Notes, after: &Notes) -> Result<(), Gone> {
    for (name, text) in after.iter().filter(|(name, text)| before.get(*name) != Some(text)) {
        teller.change(state, name.clone(), Some(text.clone())).await?;
    }
    for name in before.keys().filter(|name| !after.contains_key(*name)) {
        teller.change(state, name.clone(), None).await?;
    }
    Ok(())
}
