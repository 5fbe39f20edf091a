//! Who answers: a server, or a file.
//!
//! To a server there is one connection, opened when needed, replaced when it broke. It repeats nothing by itself, unless a
//! server says that another one is to be asked; whether a command may be sent again is for the caller to know.
//!
//! A command that waits gets a connection to itself, since the server answers a connection's commands one after the
//! other.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use redis::{Cmd, RedisError, RedisResult, Value};
use tokio::time::timeout;

use crate::address::Address;
use crate::decode::{self, Misread};
use crate::file::Store;
use crate::links::{ANSWER_TIMEOUT, For, Link, Links, is_unknown_command};
use crate::{Block, Durability, Error, Project, redacted};

/// The port that Redis listens on unless it is told otherwise.
pub const DEFAULT_PORT: u16 = 6379;

/// How often a command may be sent from one node of a cluster to another.
const REDIRECTIONS: usize = 8;

/// A Redis server with the Poppo module, or a file. Cheap to clone; clones share one connection, besides those of calls that
/// wait.
///
/// ```no_run
/// # async fn example() -> Result<(), poppo::Error> {
/// use poppo::Client;
///
/// let client = Client::connect("rediss://worker:secret@redis.example:6380?ca=/etc/ssl/ours.pem").await?;
/// assert_eq!(client.url(), "rediss://worker:***@redis.example:6380?ca=/etc/ssl/ours.pem");
/// client.ping().await?;
/// let skew = client.time().await?.duration_since(std::time::SystemTime::now());
/// println!("its clock is ahead of ours by {:?}", skew.unwrap_or_default());
/// let project = client.project("acme/widgets");
/// assert_eq!(project.key(), "acme/widgets");
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Client {
    backend: Backend,
    durability: Option<Durability>,
}

/// Who keeps the projects.
#[derive(Clone)]
enum Backend {
    Servers(Arc<Links>),
    File(Arc<Store>),
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("url", &self.url()).field("durability", &self.durability).finish_non_exhaustive()
    }
}

/// A command that was answered, or was not, and the connection it was sent on.
struct Sent {
    answer: RedisResult<Value>,
    link: Link,
}

impl Client {
    /// Connects to one of
    ///
    /// - `redis://[user:password@]host[:port][/db]`, with TLS `rediss://`
    /// - `unix:///path/to/socket[?db=n&user=u&pass=p]`
    /// - `redis+sentinel://[user:password@]host[:port],host[:port],…/primary[/db]`: the server that the Sentinels (port 26379
    ///   unless said otherwise) call the primary of that name, whichever that is at the time. User and password are the
    ///   server's; those of the Sentinels, if they want any, are the parameters `sentinel-user` and `sentinel-pass`.
    /// - `redis+cluster://[user:password@]host[:port],host[:port],…`: the node that has the project's slot. Some nodes are
    ///   enough; they tell the others.
    /// - `file:///path/to/file.json`: no server, but a file of this machine, which need not exist yet.
    ///
    /// `rediss+sentinel` and `rediss+cluster` are the same with TLS. Parameters, behind a `?`: `protocol=resp3`;
    /// `durability=replicas=1` (see [`Durability`]); and with TLS `ca=FILE`, the authorities to be trusted instead of the
    /// system's, and `cert=FILE` and `key=FILE`, a certificate of our own, all in PEM form.
    ///
    /// Example: [`Client`].
    ///
    /// # Errors
    /// [`Error::Url`] where the URL cannot be used, [`Error::Connection`] or [`Error::Timeout`] (after 3 s) where
    /// nobody answers there, [`Error::Tls`] where the server's certificate is not to be trusted, and [`Error::Server`] where
    /// the server does not let us in; [`Error::File`] where the file cannot be used.
    pub async fn connect(url: &str) -> Result<Self, Error> {
        if let Some((store, durability)) = Store::named(url)? {
            let client = Self { backend: Backend::File(Arc::new(store)), durability: None };
            client.ping().await?;
            return client.durable(durability).await;
        }
        let address = Address::parse(url)?;
        let durability = address.durability;
        let links = Links::new(address, redacted(url));
        links.get("", For::All).await?;
        Self { backend: Backend::Servers(Arc::new(links)), durability: None }.durable(durability).await
    }

    /// Whether [`connect`](Self::connect) takes a URL. Nothing is asked of anybody; the certificates that it names are read.
    ///
    /// ```
    /// assert!(poppo::Client::check_url("redis+sentinel://one,two/main").is_ok());
    /// assert!(poppo::Client::check_url("http://host").is_err());
    /// ```
    ///
    /// # Errors
    /// [`Error::Url`], as of [`connect`](Self::connect).
    pub fn check_url(url: &str) -> Result<(), Error> {
        match Store::named(url)? {
            Some(_) => Ok(()),
            None => Address::parse(url).map(drop),
        }
    }

    /// The same client, whose checkouts, claims and check-ins wait until there are so many copies; none waits for none.
    ///
    /// ```no_run
    /// # use poppo::{Client, Durability};
    /// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
    /// let client = Client::connect("redis://127.0.0.1").await?;
    /// let client = client.durable(Some("replicas=1,timeout=500ms".parse::<Durability>()?)).await?;
    /// assert_eq!(client.durability().map(|durability| durability.replicas), Some(1));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::Durability`] where the server cannot tell: `aof` needs Redis 7.2 or newer, or Valkey 8, and an append-only
    /// file. A file is on disk whenever it has answered, and has no replicas. Otherwise as where a command is not answered.
    pub async fn durable(self, durability: Option<Durability>) -> Result<Self, Error> {
        let client = Self { backend: self.backend, durability };
        let links = match &client.backend {
            Backend::Servers(links) => links,
            Backend::File(_) if durability.is_some_and(|durability| durability.replicas > 0) => {
                let message = "a file has no replicas; every change of it is on disk before it is answered".to_owned();
                return Err(Error::Durability { url: client.url().to_owned(), message });
            }
            Backend::File(_) => return Ok(client),
        };
        let Some(aof) = durability.filter(|durability| durability.aof) else { return Ok(client) };
        let question = Durability { replicas: 0, timeout: Duration::from_millis(1), ..aof }.command();
        let Sent { answer, .. } = links.send(&question, For::All, ANSWER_TIMEOUT).await?;
        match answer.and_then(Value::extract_error) {
            Ok(_) => Ok(client),
            Err(error) if is_unknown_command(&error) => Err(Error::Durability {
                url: client.url().to_owned(),
                message: "it has no WAITAOF; `aof` needs Redis 7.2 or newer, or Valkey 8".to_owned(),
            }),
            Err(error) if error.code() == Some("ERR") => Err(Error::Durability {
                url: client.url().to_owned(),
                message: error.detail().unwrap_or_default().to_owned(),
            }),
            Err(error) => Err(Error::from_redis(&error, client.url(), ANSWER_TIMEOUT)),
        }
    }

    /// The server's URL, without its password; or the file's.
    ///
    /// Example: [`Client`].
    #[must_use]
    pub fn url(&self) -> &str {
        match &self.backend {
            Backend::Servers(links) => links.url(),
            Backend::File(store) => store.url(),
        }
    }

    /// The file, where it is one that keeps the projects.
    #[must_use]
    pub fn file(&self) -> Option<&Path> {
        match &self.backend {
            Backend::Servers(_) => None,
            Backend::File(store) => Some(store.path()),
        }
    }

    /// The connections to its servers; none of a file.
    pub(crate) fn links(&self) -> Option<&Links> {
        match &self.backend {
            Backend::Servers(links) => Some(links),
            Backend::File(_) => None,
        }
    }

    /// The file, where it is one, to be asked for more than commands.
    pub(crate) fn store(&self) -> Option<&Arc<Store>> {
        match &self.backend {
            Backend::Servers(_) => None,
            Backend::File(store) => Some(store),
        }
    }

    /// What checkouts, claims and check-ins wait for.
    ///
    /// Example: [`durable`](Self::durable).
    #[must_use]
    pub fn durability(&self) -> Option<Durability> {
        self.durability
    }

    /// Whether the URL names a cluster: then keys of different slots are on different servers.
    #[must_use]
    pub fn is_cluster(&self) -> bool {
        self.links().is_some_and(Links::is_cluster)
    }

    pub(crate) fn without_durability(&self) -> Self {
        Self { backend: self.backend.clone(), durability: None }
    }

    /// A project on this server, by its key: `acme/widgets`, say. It need not exist yet.
    ///
    /// Example: [`Client`].
    #[must_use]
    pub fn project(&self, key: impl Into<String>) -> Project {
        Project::new(self.clone(), key.into())
    }

    /// Asks for nothing but an answer.
    ///
    /// Example: [`Client`].
    ///
    /// # Errors
    /// Where none comes.
    pub async fn ping(&self) -> Result<(), Error> {
        self.ask("PING", &redis::cmd("PING"), |_| Ok(())).await
    }

    /// The server's clock, by which all times in answers are told.
    ///
    /// Example: [`Client`].
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

    /// Gives the connection up; the next command opens a new one. Calls that wait keep theirs. For callers that waited for
    /// an answer as long as they could: a connection that leads nowhere may never say so.
    ///
    /// ```no_run
    /// # use std::time::Duration; use poppo::Heartbeat;
    /// # async fn example(project: poppo::Project) -> Result<(), poppo::Error> {
    /// let heartbeat = Heartbeat::new("worker-1");
    /// if tokio::time::timeout(Duration::from_secs(5), project.heartbeat(&heartbeat)).await.is_err() {
    ///     // The next question goes by a new connection.
    ///     project.client().disconnect().await;
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub async fn disconnect(&self) {
        if let Backend::Servers(links) = &self.backend {
            links.clear();
        }
    }

    /// Sends one command and reads its answer.
    pub(crate) async fn ask<T>(
        &self,
        name: &'static str,
        command: &Cmd,
        read: impl FnOnce(Value) -> Result<T, Misread>,
    ) -> Result<T, Error> {
        match &self.backend {
            Backend::Servers(links) => {
                let sent = links.send(command, For::All, ANSWER_TIMEOUT).await?;
                links.read(name, sent, ANSWER_TIMEOUT, read).await.map(|(answer, _)| answer)
            }
            Backend::File(store) => understand(name, store.ask(words(command)).await?, store.url(), read),
        }
    }

    /// Sends commands about one project together, in one round trip, and reads what each of them was answered.
    ///
    /// # Errors
    /// Where the connection broke, so that nobody knows which of them were done; and what each was refused with.
    pub(crate) async fn ask_all<T>(
        &self,
        name: &'static str,
        commands: &[Cmd],
        read: impl Fn(Value) -> Result<T, Misread>,
    ) -> Result<Vec<Result<T, Error>>, Error> {
        let mut all = Vec::with_capacity(commands.len());
        let Backend::Servers(links) = &self.backend else {
            for command in commands {
                all.push(self.ask(name, command, &read).await);
            }
            return Ok(all);
        };
        let Some(first) = commands.first() else { return Ok(all) };
        let mut link = links.get(&project_of(first), For::All).await?;
        let error = match timeout(ANSWER_TIMEOUT, link.send_all(commands)).await {
            Ok(Ok(answers)) => {
                for (answer, command) in answers.into_iter().zip(commands) {
                    let answer = Ok(answer);
                    all.push(if links.is_cluster() && Redirection::of(&answer).is_some() {
                        // By itself it finds its way.
                        self.ask(name, command, &read).await
                    } else {
                        let sent = Sent { answer, link: link.clone() };
                        links.read(name, sent, ANSWER_TIMEOUT, &read).await.map(|(answer, _)| answer)
                    });
                }
                return Ok(all);
            }
            Ok(Err(error)) => Error::from_redis(&error, self.url(), ANSWER_TIMEOUT),
            Err(_) => Error::Timeout { url: self.url().to_owned(), after: ANSWER_TIMEOUT },
        };
        links.forget(&link.node);
        Err(error)
    }

    /// As [`ask`](Self::ask), and comes back when what was asked is as durable as was wished. `before` is sent in front of
    /// the question for that: a write that is one in any case, where a repeated command would be none.
    pub(crate) async fn ask_durably<T>(
        &self,
        name: &'static str,
        command: &Cmd,
        before: Option<&Cmd>,
        read: impl FnOnce(Value) -> Result<T, Misread>,
    ) -> Result<T, Error> {
        let Backend::Servers(links) = &self.backend else {
            // What a file has answered is on disk.
            return self.ask(name, command, read).await;
        };
        let sent = links.send(command, For::All, ANSWER_TIMEOUT).await?;
        let (answer, mut link) = links.read(name, sent, ANSWER_TIMEOUT, read).await?;
        links.confirm(name, before, self.durability, &mut link).await?;
        Ok(answer)
    }

    /// The keys of one type that fit a pattern, on all primaries, in order. None of a file, which has no keys.
    pub(crate) async fn keys(&self, pattern: &str, kind: &str) -> Result<BTreeSet<String>, Error> {
        let mut keys = BTreeSet::new();
        let Backend::Servers(links) = &self.backend else { return Ok(keys) };
        for node in links.primaries().await? {
            let mut link = links.at(&node, For::All).await?;
            let mut cursor = "0".to_owned();
            loop {
                let mut cmd = redis::cmd("SCAN");
                cmd.arg(&cursor).arg("MATCH").arg(pattern).arg("COUNT").arg(1000).arg("TYPE").arg(kind);
                let Ok(answer) = timeout(ANSWER_TIMEOUT, link.send(&cmd, false)).await else {
                    links.forget(&node);
                    return Err(Error::Timeout { url: self.url().to_owned(), after: ANSWER_TIMEOUT });
                };
                let sent = Sent { answer, link };
                let read = |value| {
                    let (cursor, found) = decode::pair(value)?;
                    Ok((decode::text(cursor)?, decode::list(found, decode::lossy)?))
                };
                let ((next, found), back) = links.read("SCAN", sent, ANSWER_TIMEOUT, read).await?;
                (cursor, link) = (next, back);
                keys.extend(found);
                if cursor == "0" {
                    break;
                }
            }
        }
        Ok(keys)
    }

    /// Sends one command that may wait, and reads its answer. It has a connection to itself: a call that is dropped takes
    /// its connection along, which is how the server learns that nobody waits any more. What it grants, if it does, is as
    /// durable as was wished.
    pub(crate) async fn ask_and_wait<T>(
        &self,
        name: &'static str,
        command: &Cmd,
        block: Block,
        is_granted: impl FnOnce(&T) -> bool,
        read: impl FnOnce(Value) -> Result<T, Misread>,
    ) -> Result<T, Error> {
        let Backend::Servers(links) = &self.backend else {
            return self.ask(name, command, read).await;
        };
        let (whose, patience) = match block {
            Block::No => (For::All, ANSWER_TIMEOUT),
            Block::AtMost(time) => (For::One, time.saturating_add(ANSWER_TIMEOUT)),
            Block::Forever => (For::One, Duration::MAX),
        };
        let sent = links.send(command, whose, patience).await?;
        let (answer, mut link) = links.read(name, sent, patience, read).await?;
        let granted = is_granted(&answer);
        let confirmed = if granted { links.confirm(name, None, self.durability, &mut link).await } else { Ok(()) };
        if whose == For::One && !confirmed.as_ref().is_err_and(is_broken) {
            links.give_back(link);
        }
        confirmed.map(|()| answer)
    }
}

/// How a server is asked.
impl Links {
    /// Sends a command to the server that has its project, and wherever that one says.
    async fn send(&self, command: &Cmd, whose: For, patience: Duration) -> Result<Sent, Error> {
        let project = project_of(command);
        let mut link = self.get(&project, whose).await?;
        let mut asking = false;
        for _ in 0..REDIRECTIONS {
            let Ok(answer) = timeout(patience, link.send(command, asking)).await else {
                self.forget(&link.node);
                return Err(Error::Timeout { url: self.url().to_owned(), after: patience });
            };
            let Some(redirection) = Redirection::of(&answer).filter(|_| self.is_cluster()) else {
                return Ok(Sent { answer, link });
            };
            let to = match &redirection {
                Redirection::Moved(to) => self.moved(&project, to, &link.node),
                Redirection::Ask(to) => crate::address::Node::from_redirection(to, &link.node),
            };
            let Some(to) = to else { return Ok(Sent { answer, link }) };
            asking = matches!(redirection, Redirection::Ask(_));
            if whose == For::One {
                self.give_back(link);
            }
            link = self.at(&to, whose).await?;
        }
        // Two nodes that disagree; they will not for long.
        self.forget(&link.node);
        let message = format!("the nodes of {} send project {project} to each other", self.url());
        Err(Error::Server { code: "TRYAGAIN".to_owned(), message })
    }

    /// What the server answered, or why it did not.
    async fn read<T>(
        &self,
        name: &'static str,
        sent: Sent,
        patience: Duration,
        read: impl FnOnce(Value) -> Result<T, Misread>,
    ) -> Result<(T, Link), Error> {
        let Sent { answer, mut link } = sent;
        let error = match answer.and_then(own_error) {
            Ok(value) => {
                return match read(value) {
                    Ok(answer) => Ok((answer, link)),
                    Err(message) => Err(Error::Answer { command: name, message }),
                };
            }
            Err(error) => Error::from_redis(&error, self.url(), patience),
        };
        if is_broken(&error) {
            self.forget(&link.node);
            return Err(error);
        }
        Err(match error {
            Error::NoModule { .. } | Error::BadArgument(_) => self.older_module(&mut link).await.unwrap_or(error),
            other => other,
        })
    }

    /// Where a server understood us wrongly: that its module is an older one, if it is.
    async fn older_module(&self, link: &mut Link) -> Option<Error> {
        let mut question = redis::cmd("INFO");
        question.arg("poppo");
        let answer = link.send(&question, false).await.and_then(Value::extract_error).ok()?;
        let text = decode::text(answer).ok()?;
        let version = text.lines().find_map(|line| line.strip_prefix("poppo_version:"))?.trim().to_owned();
        is_older(&version, env!("CARGO_PKG_VERSION")).then(|| Error::OldModule { url: self.url().to_owned(), version })
    }

    /// Waits until what was written on this connection is as durable as was wished.
    async fn confirm(
        &self,
        name: &'static str,
        before: Option<&Cmd>,
        durability: Option<Durability>,
        link: &mut Link,
    ) -> Result<(), Error> {
        let Some(durability) = durability else { return Ok(()) };
        let patience = durability.timeout.saturating_add(ANSWER_TIMEOUT);
        let question = durability.command();
        let asked = async {
            if let Some(before) = before {
                // What the server says to it does not matter.
                link.send(before, false).await?;
            }
            link.send(&question, false).await.and_then(own_error)
        };
        let unconfirmed = |message: String| Error::Unconfirmed { command: name, message };
        let error = match timeout(patience, asked).await {
            Ok(Ok(answer)) => {
                let counts = match answer {
                    Value::Int(replicas) => Ok((0, replicas.unsigned_abs())),
                    other => decode::pair(other)
                        .and_then(|(local, replicas)| Ok((decode::number(local)?, decode::number(replicas)?))),
                };
                let (local, replicas) = counts.map_err(|message| Error::Answer { command: "WAIT", message })?;
                if durability.is_reached(local, replicas) {
                    return Ok(());
                }
                let disk =
                    if durability.aof { format!(", {local} of 1 has it on its own disk") } else { String::new() };
                return Err(unconfirmed(format!(
                    "{replicas} of {} replicas confirmed it within {}{disk}",
                    durability.replicas,
                    humantime::format_duration(durability.timeout),
                )));
            }
            Ok(Err(error)) => Error::from_redis(&error, self.url(), patience),
            Err(_) => Error::Timeout { url: self.url().to_owned(), after: patience },
        };
        if is_broken(&error) {
            self.forget(&link.node);
        }
        Err(if error.may_pass() { error } else { unconfirmed(error.to_string()) })
    }
}

/// Where a node of a cluster sends us.
enum Redirection {
    /// From now on.
    Moved(String),
    /// This once.
    Ask(String),
}

impl Redirection {
    fn of(answer: &RedisResult<Value>) -> Option<Self> {
        let (code, detail) = match answer {
            Ok(Value::ServerError(error)) => (error.code(), error.details()),
            Err(error) => (error.code()?, error.detail()),
            Ok(_) => return None,
        };
        // `MOVED <slot> <host>:<port>`
        let place = detail?.split_ascii_whitespace().nth(1)?.to_owned();
        match code {
            "MOVED" => Some(Self::Moved(place)),
            "ASK" => Some(Self::Ask(place)),
            _ => None,
        }
    }
}

/// The answer's own error as one; errors within it are part of it.
fn own_error(value: Value) -> Result<Value, RedisError> {
    if matches!(value, Value::ServerError(_)) { value.extract_error() } else { Ok(value) }
}

/// What a file answered, read.
fn understand<T>(
    name: &'static str,
    answer: Value,
    url: &str,
    read: impl FnOnce(Value) -> Result<T, Misread>,
) -> Result<T, Error> {
    let value = own_error(answer).map_err(|error| Error::from_redis(&error, url, ANSWER_TIMEOUT))?;
    read(value).map_err(|message| Error::Answer { command: name, message })
}

/// The words of a command.
fn words(command: &Cmd) -> Vec<Vec<u8>> {
    let word = |arg: redis::Arg<&[u8]>| match arg {
        redis::Arg::Simple(word) => word.to_vec(),
        // A cursor of the crate's own, which none of our commands has.
        _ => Vec::new(),
    };
    command.args_iter().map(word).collect()
}

/// The project that a command is about, or whatever else its key is: the first argument of all that have one, and the first key
/// of a script.
fn project_of(command: &Cmd) -> String {
    let place = match command.args_iter().next() {
        Some(redis::Arg::Simple(name)) if name.starts_with(b"POPPO.") => 1,
        Some(redis::Arg::Simple(b"HMGET" | b"HSET" | b"HDEL" | b"HSCAN" | b"HLEN")) => 1,
        Some(redis::Arg::Simple(b"EVAL" | b"EVAL_RO")) => 3,
        _ => return String::new(),
    };
    match command.args_iter().nth(place) {
        Some(redis::Arg::Simple(key)) => String::from_utf8_lossy(key).into_owned(),
        _ => String::new(),
    }
}

/// Whether a module's version is one whose commands may be fewer than ours.
fn is_older(theirs: &str, ours: &str) -> bool {
    let numbers = |version: &str| {
        let mut numbers = version.split('.').map(|number| number.parse::<u64>().unwrap_or_default());
        (numbers.next(), numbers.next())
    };
    numbers(theirs) < numbers(ours)
}

/// Whether the connection is of no more use.
fn is_broken(error: &Error) -> bool {
    match error {
        Error::Connection { .. } | Error::Timeout { .. } => true,
        // The server is not what it was, or not yet; whoever is may be found in the same way.
        Error::Server { code, .. } => {
            matches!(code.as_str(), "READONLY" | "MASTERDOWN" | "CLUSTERDOWN" | "UNBLOCKED" | "LOADING")
        }
        _ => false,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
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
                ["POPPO.DRAIN", ..] => b"-ERR unknown command 'POPPO.DRAIN', with args beginning with: \r\n",
                ["INFO", "poppo"] => b"$25\r\n# Poppo\npoppo_version:0.2\r\n",
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
    async fn a_module_that_is_too_old_is_named() {
        let (url, _seen) = server();
        let error = Client::connect(&url).await.unwrap().project("p").drain(true).await.unwrap_err();
        assert_eq!(error.code(), "OLDMODULE");
        assert!(error.to_string().contains("is version 0.2, and this is poppo"), "{error}");
    }

    #[test]
    fn versions_are_compared_as_numbers() {
        assert!(is_older("0.2.0", "0.3.0") && is_older("0.9.1", "0.10.0") && is_older("0.3.0", "1.0.0"));
        assert!(!is_older("0.3.0", "0.3.1") && !is_older("0.3.9", "0.3.0") && !is_older("1.0.0", "0.9.0"));
    }

    #[test]
    fn the_project_is_the_first_argument_of_poppos_commands() {
        let project = |words: &[&str]| {
            let mut cmd = redis::cmd(words[0]);
            cmd.arg(&words[1..]);
            project_of(&cmd)
        };
        assert_eq!(project(&["POPPO.GET", "p", "1"]), "p");
        assert_eq!(project(&["EVAL", "return 1", "1", "k", "a"]), "k");
        assert_eq!(project(&["HMGET", "{p}:notes", "f"]), "{p}:notes");
        assert_eq!(project(&["WAIT", "1", "1"]), "");
        assert_eq!(project(&["TIME"]), "");
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
