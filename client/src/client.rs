//! The connection: one to a server, opened when needed, replaced when it broke. It repeats nothing by itself; whether
//! a command may be sent again is for the caller to know.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Cmd, Value};
use tokio::sync::Mutex;

use crate::decode::{self, Misread};
use crate::{Error, Project, redacted};

/// The port that Redis listens on unless it is told otherwise.
pub const DEFAULT_PORT: u16 = 6379;

/// For how long a connection may take to be made.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// For how long a command may take to be answered. Generous, since a server that persists may pause.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// A Redis server with the Poppo module. Cheap to clone; clones share one connection.
#[derive(Clone)]
pub struct Client {
    shared: Arc<Shared>,
}

struct Shared {
    server: redis::Client,
    /// Without its password, for messages.
    url: String,
    connection: Mutex<Option<MultiplexedConnection>>,
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
        let client = Self { shared: Arc::new(Shared { server, url: shown, connection: Mutex::new(None) }) };
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

    /// Gives the connection up; the next command opens a new one. For callers that waited for an answer as long as they
    /// could: a connection that leads nowhere may never say so.
    pub async fn disconnect(&self) {
        *self.shared.connection.lock().await = None;
    }

    /// Sends one command and reads its answer.
    pub(crate) async fn ask<T>(
        &self,
        name: &'static str,
        command: &Cmd,
        read: impl FnOnce(Value) -> Result<T, Misread>,
    ) -> Result<T, Error> {
        let mut connection = self.connection().await?;
        match connection.send_packed_command(command).await {
            Ok(Value::ServerError(error)) => {
                Err(Error::from_server(error.code(), error.details().unwrap_or_default(), self.url()))
            }
            Ok(value) => read(value).map_err(|message| Error::Answer { command: name, message }),
            Err(error) => {
                let error = Error::from_redis(&error, self.url(), ANSWER_TIMEOUT);
                if matches!(error, Error::Connection { .. } | Error::Timeout { .. }) {
                    self.disconnect().await;
                }
                Err(error)
            }
        }
    }

    /// The connection there is, or a new one.
    async fn connection(&self) -> Result<MultiplexedConnection, Error> {
        let mut place = self.shared.connection.lock().await;
        if let Some(connection) = &*place {
            return Ok(connection.clone());
        }
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT_TIMEOUT))
            .set_response_timeout(Some(ANSWER_TIMEOUT));
        let connection = self
            .shared
            .server
            .get_multiplexed_async_connection_with_config(&config)
            .await
            .map_err(|error| Error::from_setup(&error, self.url(), CONNECT_TIMEOUT))?;
        *place = Some(connection.clone());
        Ok(connection)
    }
}
