//! What the server publishes of a project, as it comes.

use redis::{PushInfo, PushKind, Value};
use serde::Deserialize;
use tokio::sync::mpsc::{self, Receiver};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::links::{ANSWER_TIMEOUT, Link};
use crate::types::{IssueNumber, Token};
use crate::{Client, Error, decode};

/// How many messages wait to be read at most. What comes when that many do is dropped.
const WAITING: usize = 1024;

/// A message about a project: a hint, to be asked about. Fields that a newer server adds are left alone.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Message {
    /// The issue.
    pub issue: IssueNumber,
    /// What happened: the name of a kind of event, or `orphan`.
    pub event: String,
    /// The lease's token, where there is one.
    pub token: Option<Token>,
}

impl Message {
    /// Whether it says that a lease's holder is an orphan now.
    #[must_use]
    pub fn is_orphan(&self) -> bool {
        self.event == "orphan"
    }
}

/// The messages about a project, from [`Project::published`](crate::Project::published). Of a file none ever come.
pub struct Published {
    url: String,
    messages: Receiver<Message>,
    /// Cancelled when the connection has ended.
    end: CancellationToken,
    /// None of a file, which publishes nothing.
    link: Option<Link>,
}

impl std::fmt::Debug for Published {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Published").field("url", &self.url).finish_non_exhaustive()
    }
}

impl Published {
    pub(crate) async fn begin(client: &Client, project: &str) -> Result<Self, Error> {
        let (sender, messages) = mpsc::channel(WAITING);
        let end = CancellationToken::new();
        let ended = end.clone();
        let told = move |push: PushInfo| -> Result<(), redis::aio::SendError> {
            if push.kind == PushKind::Disconnection {
                ended.cancel();
            } else if let Some(message) = read(push) {
                // A reader that is too slow has enough hints.
                drop(sender.try_send(message));
            }
            Ok(())
        };
        let link = match client.links() {
            Some(links) => Some(links.subscribe(project, format!("{project}:issue:status:changed"), told).await?),
            None => None,
        };
        Ok(Self { url: client.url().to_owned(), messages, end, link })
    }

    /// The next message, once there is one.
    ///
    /// # Errors
    /// [`Error::Connection`] where the connection has ended. [`ping`](Self::ping) notices one that leads nowhere.
    pub async fn next(&mut self) -> Result<Message, Error> {
        if self.link.is_none() {
            return std::future::pending().await;
        }
        let message = tokio::select! {
            biased;
            message = self.messages.recv() => message,
            () = self.end.cancelled() => None,
        };
        let message = message.ok_or_else(|| "the connection for messages was closed".to_owned());
        message.map_err(|message| Error::Connection { url: self.url.clone(), message })
    }

    /// Drops the messages that have come and were not read.
    pub fn skip(&mut self) {
        while self.messages.try_recv().is_ok() {}
    }

    /// Asks the server for nothing but an answer on the connection that messages come by.
    ///
    /// # Errors
    /// Where none comes.
    pub async fn ping(&mut self) -> Result<(), Error> {
        let Some(link) = &mut self.link else { return Ok(()) };
        match timeout(ANSWER_TIMEOUT, link.send(&redis::cmd("PING"), false)).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(Error::from_redis(&error, &self.url, ANSWER_TIMEOUT)),
            Err(_) => Err(Error::Timeout { url: self.url.clone(), after: ANSWER_TIMEOUT }),
        }
    }
}

/// The document in a message; none where this is something else.
fn read(push: PushInfo) -> Option<Message> {
    match push.kind {
        PushKind::Message | PushKind::SMessage => {
            serde_json::from_str(&decode::text(push.data.into_iter().nth(1).unwrap_or(Value::Nil)).ok()?).ok()
        }
        _ => None,
    }
}
