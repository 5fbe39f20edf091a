//! The connection: one to a server, opened when needed, replaced when it broke. It repeats nothing by itself; whether
//! a command may be sent again is for the caller to know.
//!
//! A command that waits gets a connection to itself, since the server answers a connection's commands one after the
//! other.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Cmd, RedisResult, Value};
use tokio::sync::Mutex;
use tokio::time::timeout;

use crate::decode::{self, Misread};
use crate::{Block, Error, Project, redacted};

/// The port that Redis listens on unless it is told otherwise.
pub const DEFAULT_PORT: u16 = 6379;

/// For how long a connection may take to be made.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// For how long a command may take to be answered. Generous, since a server that persists may pause.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// A Redis server with the Poppo module. Cheap to clone; clones share one connection, besides those of calls that wait.
#[derive(Clone)]
pub struct Client {
    shared: Arc<Shared>,
}

struct Shared {
    server: redis::Client,
    /// Without its password, for messages.
    url: String,
    connection: Mutex<Option<MultiplexedConnection>>,
    /// A connection that a call has waited on and that is free again, for the next one.
    spare: Mutex<Option<MultiplexedConnection>>,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("url", &self.shared.url).finish_non_exhaustive()
    }
}

impl Client {
    /// Connects to `redis://[user:password@]host[:port][/db]` or `unix:///path/to/socket[?db=n&user=u&pass=p]`.
    /// With `?protocol=resp3`, RESP3 is spoken.
    ///
    /// # Errors
    /// [`Error::Url`] where the URL cannot be used, [`Error::Connection`] or [`Error::Timeout`] (after 3 s) where
    /// nobody answers there, and [`Error::Server`] where the server does not let us in.
    pub async fn connect(url: &str) -> Result<Self, Error> {
        let shown = redacted(url);
        if url.starts_with("rediss:") {
            let message = "rediss:// needs TLS, which this version does not have".to_owned();
            return Err(Error::Url { url: shown, message });
        }
        // The crate's message may repeat the URL, password and all, so only its kind is passed on.
        let server = redis::Client::open(url).map_err(|error| Error::Url {
            url: shown.clone(),
            message: match error.detail() {
                Some(detail) if !detail.contains(url) => detail.to_owned(),
                _ => "it must be redis://host:port/db or unix:///path/to/socket".to_owned(),
            },
        })?;
        let client = Self {
            shared: Arc::new(Shared { server, url: shown, connection: Mutex::new(None), spare: Mutex::new(None) }),
        };
        client.connection().await?;
        Ok(client)
    }

    /// The server's URL, without its password.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.shared.url
    }

    /// A project on this server, by its key: `acme/widgets`, say. It need not exist yet.
    #[must_use]
    pub fn project(&self, key: impl Into<String>) -> Project {
        Project::new(self.clone(), key.into())
    }

    /// Asks for nothing but an answer.
    ///
    /// # Errors
    /// Where none comes.
    pub async fn ping(&self) -> Result<(), Error> {
        self.ask("PING", &redis::cmd("PING"), |_| Ok(())).await
    }

    /// The server's clock, by which all times in answers are told.
    ///
    /// # Errors
    /// Where the server cannot be reached or does not tell.
    pub async fn time(&self) -> Result<SystemTime, Error> {
        self.ask("TIME", &redis::cmd("TIME"), |value| {
            let (seconds, micros) = decode::pair(value)?;
            let since_epoch =
                Duration::from_secs(decode::number(seconds)?) + Duration::from_micros(decode::number(micros)?);
            Ok(SystemTime::UNIX_EPOCH + since_epoch)
        })
        .await
    }

    /// Gives the connection up; the next command opens a new one. Calls that wait keep theirs. For callers that waited for an answer as long as they
    /// could: a connection that leads nowhere may never say so.
    pub async fn disconnect(&self) {
        *self.shared.connection.lock().await = None;
        *self.shared.spare.lock().await = None;
    }

    /// Sends one command and reads its answer.
    pub(crate) async fn ask<T>(
        &self,
        name: &'static str,
        command: &Cmd,
        read: impl FnOnce(Value) -> Result<T, Misread>,
    ) -> Result<T, Error> {
        let mut connection = self.connection().await?;
        let answer = connection.send_packed_command(command).await;
        let answer = self.read(name, answer, ANSWER_TIMEOUT, read);
        if answer.as_ref().is_err_and(is_broken) {
            self.disconnect().await;
        }
        answer
    }

    /// Sends one command that may wait, and reads its answer. It has a connection to itself: a call that is dropped takes
    /// its connection along, which is how the server learns that nobody waits any more.
    pub(crate) async fn ask_and_wait<T>(
        &self,
        name: &'static str,
        command: &Cmd,
        block: Block,
        read: impl FnOnce(Value) -> Result<T, Misread>,
    ) -> Result<T, Error> {
        let patience = match block {
            Block::No => return self.ask(name, command, read).await,
            Block::AtMost(time) => time.saturating_add(ANSWER_TIMEOUT),
            Block::Forever => Duration::MAX,
        };
        let spare = self.shared.spare.lock().await.take();
        let mut connection = match spare {
            Some(connection) => connection,
            None => self.open(None).await?,
        };
        let Ok(answer) = timeout(patience, connection.send_packed_command(command)).await else {
            return Err(Error::Timeout { url: self.url().to_owned(), after: patience });
        };
        let answer = self.read(name, answer, patience, read);
        if !answer.as_ref().is_err_and(is_broken) {
            *self.shared.spare.lock().await = Some(connection);
        }
        answer
    }

    /// What the server answered, or why it did not.
    fn read<T>(
        &self,
        name: &'static str,
        answer: RedisResult<Value>,
        patience: Duration,
        read: impl FnOnce(Value) -> Result<T, Misread>,
    ) -> Result<T, Error> {
        match answer {
            Ok(Value::ServerError(error)) => {
                Err(Error::from_server(error.code(), error.details().unwrap_or_default(), self.url()))
            }
            Ok(value) => read(value).map_err(|message| Error::Answer { command: name, message }),
            Err(error) => Err(Error::from_redis(&error, self.url(), patience)),
        }
    }

    /// The connection there is, or a new one.
    async fn connection(&self) -> Result<MultiplexedConnection, Error> {
        let mut place = self.shared.connection.lock().await;
        if let Some(connection) = &*place {
            return Ok(connection.clone());
        }
        let connection = self.open(Some(ANSWER_TIMEOUT)).await?;
        *place = Some(connection.clone());
        Ok(connection)
    }

    /// A new connection, whose answers are waited for so long at most.
    async fn open(&self, patience: Option<Duration>) -> Result<MultiplexedConnection, Error> {
        let config =
            AsyncConnectionConfig::new().set_connection_timeout(Some(CONNECT_TIMEOUT)).set_response_timeout(patience);
        let connection = self.shared.server.get_multiplexed_async_connection_with_config(&config).await;
        connection.map_err(|error| Error::from_setup(&error, self.url(), CONNECT_TIMEOUT))
    }
}

/// Whether the connection is of no more use.
fn is_broken(error: &Error) -> bool {
    match error {
        Error::Connection { .. } | Error::Timeout { .. } => true,
        // The server is not the primary any more; whoever is may be found under the same name.
        Error::Server { code, .. } => code == "READONLY",
        _ => false,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::io::{BufReader, Write as _};
    use std::net::{TcpListener, TcpStream};
    use std::sync::mpsc::{Receiver, Sender, channel};
    use std::thread;

    use super::*;

    /// What happens at the server: connections are numbered as they come.
    #[derive(Debug, PartialEq)]
    enum Seen {
        Waits(usize),
        Closed(usize),
    }

    /// A server that answers OK to everything, but nothing to an EVENTS that waits for ever and null to one that waits
    /// for a while.
    fn server() -> (String, Receiver<Seen>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("redis://{}", listener.local_addr().unwrap());
        let (seen, receiver) = channel();
        thread::spawn(move || {
            for (number, stream) in listener.incoming().map_while(Result::ok).enumerate() {
                let seen = seen.clone();
                thread::spawn(move || serve(number, stream, &seen));
            }
        });
        (url, receiver)
    }

    fn serve(number: usize, mut stream: TcpStream, seen: &Sender<Seen>) {
        let mut commands = BufReader::new(stream.try_clone().unwrap());
        let mut parser = redis::Parser::new();
        while let Ok(command) = parser.parse_value(&mut commands) {
            let words = decode::list(command, decode::text).unwrap();
            let answer: &[u8] = match words.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
                ["POPPO.EVENTS", .., "BLOCK", "0"] => {
                    drop(seen.send(Seen::Waits(number)));
                    continue;
                }
                ["POPPO.EVENTS", .., "BLOCK", _] => b"*-1\r\n",
                _ => b"+OK\r\n",
            };
            if stream.write_all(answer).is_err() {
                break;
            }
        }
        drop(seen.send(Seen::Closed(number)));
    }

    #[tokio::test]
    async fn a_call_that_waits_holds_up_nobody_and_takes_its_connection_along() {
        let (url, seen) = server();
        let client = Client::connect(&url).await.unwrap();
        let project = client.project("p");
        let waiting = tokio::spawn(async move { project.events(0, None, Block::Forever).await });
        let next = |seen: Receiver<Seen>| async move {
            tokio::task::spawn_blocking(move || (seen.recv_timeout(ANSWER_TIMEOUT).unwrap(), seen)).await.unwrap()
        };
        let (first, seen) = next(seen).await;
        assert_eq!(first, Seen::Waits(1));
        client.ping().await.unwrap();
        waiting.abort();
        let (second, _) = next(seen).await;
        assert_eq!(second, Seen::Closed(1));
        client.ping().await.unwrap();
    }

    #[tokio::test]
    async fn a_wait_in_vain_answers_nothing_and_leaves_its_connection_to_the_next() {
        let (url, seen) = server();
        let project = Client::connect(&url).await.unwrap().project("p");
        for _ in 0..3 {
            let block = Block::AtMost(Duration::from_secs(3600));
            assert_eq!(project.events(0, None, block).await.unwrap(), []);
        }
        let waiting = tokio::spawn(async move { project.events(0, None, Block::Forever).await });
        let first = tokio::task::spawn_blocking(move || seen.recv_timeout(ANSWER_TIMEOUT).unwrap()).await.unwrap();
        assert_eq!(first, Seen::Waits(1), "the second connection is the only one beside the shared one");
        waiting.abort();
    }
}
