//! Listening to channels, over restarts and failovers of the server.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use redis::{PushInfo, PushKind, Value};
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::links::{ANSWER_TIMEOUT, Link};
use crate::{Backoff, Client, Error, decode};

/// How many messages wait for their reader at most. Those that come then are lost, as if nobody had listened.
const WAITING: usize = 4096;
/// How many bytes they may have, unless it is one alone.
const WAITING_BYTES: usize = 64 << 20;
/// How often the server is asked whether it is still there.
const GLANCE: Duration = Duration::from_secs(5);
/// The first pause before a connection that broke is made again, and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));

/// What a [`Subscription`] heard.
#[derive(Debug)]
#[non_exhaustive]
pub enum Heard {
    /// From now on all messages are heard; what came since the connection before this one broke was not. The time is
    /// the server's, from a moment before.
    Began(SystemTime),
    /// Somebody published this.
    Message {
        /// Where.
        channel: String,
        /// What.
        payload: Vec<u8>,
    },
    /// The connection broke, or could not be made. It is tried again by itself.
    Lost(Error),
}

impl Heard {
    fn bytes(&self) -> usize {
        match self {
            Self::Message { payload, .. } => payload.len(),
            _ => 0,
        }
    }
}

/// Listens to channels until it is dropped. A connection that breaks is made again, to whichever server is the right one
/// then; what is published meanwhile is lost, as is the nature of PUBLISH. It needs a tokio runtime with time and I/O.
#[derive(Debug)]
pub struct Subscription {
    heard: mpsc::Receiver<Heard>,
    bytes: Arc<AtomicUsize>,
    lost: Arc<AtomicU64>,
    _task: JoinSet<()>,
}

impl Client {
    /// Listens to these channels from now on.
    #[must_use]
    pub fn subscribe(&self, channels: Vec<String>) -> Subscription {
        let (sender, heard) = mpsc::channel(WAITING);
        let (bytes, lost) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicU64::new(0)));
        let mut task = JoinSet::new();
        let (client, waiting) = (self.clone(), Arc::clone(&bytes));
        let listener = Listener { client, channels, sender, bytes: waiting, lost: Arc::clone(&lost) };
        task.spawn(listener.listen());
        Subscription { heard, bytes, lost, _task: task }
    }
}

impl Subscription {
    /// What is heard next. It may be dropped before its end and called again; nothing is missed by that.
    pub async fn next(&mut self) -> Heard {
        match self.heard.recv().await {
            Some(heard) => {
                self.bytes.fetch_sub(heard.bytes(), Ordering::Relaxed);
                heard
            }
            // Its task ends with us, unless it panics.
            None => std::future::pending().await,
        }
    }

    /// How many messages were lost so far since their reader was too slow.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }
}

struct Listener {
    client: Client,
    channels: Vec<String>,
    sender: mpsc::Sender<Heard>,
    bytes: Arc<AtomicUsize>,
    lost: Arc<AtomicU64>,
}

impl Listener {
    async fn listen(self) {
        let mut backoff = Backoff::new(PAUSES.0, PAUSES.1);
        loop {
            let why = match self.begin().await {
                Ok((link, broken)) => {
                    backoff = Backoff::new(PAUSES.0, PAUSES.1);
                    self.watch(link, &broken).await
                }
                Err(error) => error,
            };
            if self.sender.send(Heard::Lost(why)).await.is_err() {
                return;
            }
            sleep(backoff.pause()).await;
        }
    }

    /// A connection that listens; the other half says when it broke.
    async fn begin(&self) -> Result<(Link, Arc<Notify>), Error> {
        let links = self.client.links().ok_or_else(|| Error::Server {
            code: "NOSERVER".to_owned(),
            message: "channels are for servers, and the projects are in a file".to_owned(),
        })?;
        let now = self.client.time().await?;
        let broken = Arc::new(Notify::new());
        let link = links.subscribe("", &self.channels, self.receiver(now, Arc::clone(&broken))).await?;
        Ok((link, broken))
    }

    /// What is done with all that the server says unasked. It must not wait.
    fn receiver(&self, now: SystemTime, broken: Arc<Notify>) -> impl Fn(PushInfo) -> Result<(), ()> + use<> {
        let (sender, channels) = (self.sender.clone(), self.channels.len());
        let (bytes, lost) = (Arc::clone(&self.bytes), Arc::clone(&self.lost));
        let confirmed = AtomicUsize::new(0);
        move |push| {
            let heard = match push.kind {
                // One for each channel, all before the first message.
                PushKind::Subscribe if confirmed.fetch_add(1, Ordering::Relaxed) + 1 == channels => Heard::Began(now),
                PushKind::Message => match message(push.data) {
                    Some(heard) => heard,
                    None => return Ok(()),
                },
                PushKind::Disconnection => {
                    broken.notify_one();
                    return Ok(());
                }
                _ => return Ok(()),
            };
            let size = heard.bytes();
            let waiting = bytes.fetch_add(size, Ordering::Relaxed);
            let is_too_much = waiting > 0 && waiting.saturating_add(size) > WAITING_BYTES;
            let unheard =
                if is_too_much { Some(heard) } else { sender.try_send(heard).err().map(TrySendError::into_inner) };
            match unheard {
                // Its reader has to know of a beginning, so that is tried again.
                Some(Heard::Began(_)) => broken.notify_one(),
                Some(_) => {
                    bytes.fetch_sub(size, Ordering::Relaxed);
                    lost.fetch_add(1, Ordering::Relaxed);
                }
                None => {}
            }
            Ok(())
        }
    }

    /// Waits until the connection is of no more use.
    async fn watch(&self, mut link: Link, broken: &Notify) -> Error {
        loop {
            tokio::select! {
                () = broken.notified() => break,
                () = sleep(GLANCE) => {
                    let answer = link.send(&redis::cmd("PING"), false).await;
                    if let Err(error) = answer.and_then(Value::extract_error) {
                        return Error::from_redis(&error, self.client.url(), ANSWER_TIMEOUT);
                    }
                }
            }
        }
        let message = "the connection that listens broke".to_owned();
        Error::Connection { url: self.client.url().to_owned(), message }
    }
}

/// Channel and payload.
fn message(data: Vec<Value>) -> Option<Heard> {
    let mut data = data.into_iter();
    let channel = decode::text(data.next()?).ok()?;
    let Value::BulkString(payload) = data.next()? else { return None };
    Some(Heard::Message { channel, payload })
}
