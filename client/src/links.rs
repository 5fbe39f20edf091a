//! The connections, and the way to them: which server has a project, by the word of Sentinels or of a cluster's nodes.
//!
//! A project is one key, so it needs one server at a time, and an ordinary connection to it. That is kept until something
//! says that it leads to the wrong place or nowhere; then the way is looked up again.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Cmd, RedisResult, Value};
use tokio::time::timeout;

use crate::address::{Address, Arrangement, Node};
use crate::{Error, decode};

/// For how long a connection may take to be made.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// For how long a command may take to be answered. Generous, since a server that persists may pause.
pub(crate) const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// For how long one of several that know the way may take to tell it, before the next is asked.
const LOOK_TIMEOUT: Duration = Duration::from_secs(1);

/// A connection, and where it leads.
#[derive(Clone)]
pub(crate) struct Link {
    pub(crate) node: Node,
    connection: MultiplexedConnection,
}

impl Link {
    /// Sends a command; with `asking`, to a node that is about to get the project, in front of those that do not know yet.
    pub(crate) async fn send(&mut self, command: &Cmd, asking: bool) -> RedisResult<Value> {
        if !asking {
            return self.connection.send_packed_command(command).await;
        }
        let mut both = redis::pipe();
        both.cmd("ASKING").add_command(command.clone());
        // One answer, that of the second.
        let answers = self.connection.send_packed_commands(&both, 1, 1).await?;
        Ok(answers.into_iter().next().unwrap_or(Value::Nil))
    }

    /// Sends commands one behind the other without waiting in between: an answer for each, which may be an error.
    pub(crate) async fn send_all(&mut self, commands: &[Cmd]) -> RedisResult<Vec<Value>> {
        let mut all = redis::Pipeline::with_capacity(commands.len());
        for command in commands {
            all.add_command(command.clone());
        }
        self.connection.send_packed_commands(&all, 0, commands.len()).await
    }
}

/// Whom a connection is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum For {
    /// All calls that do not wait.
    All,
    /// A call that waits, alone.
    One,
}

/// All connections of a client.
pub(crate) struct Links {
    address: Address,
    /// Without its password, for messages.
    url: String,
    state: Mutex<State>,
    /// Held while the way is looked up and a shared connection is made, so that many calls make one.
    opening: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct State {
    /// Where projects were found; all under one name where there are no slots.
    routes: BTreeMap<String, Node>,
    /// The connections that are shared.
    shared: BTreeMap<Node, Link>,
    /// Connections that calls have waited on and that are free again, for the next ones.
    spare: BTreeMap<Node, Link>,
    /// The nodes of which a cluster told.
    known: Vec<Node>,
    /// Those of them that have slots.
    primaries: Vec<Node>,
    /// How often the way was looked up. Each time somebody else is asked first, so that one who knows nothing, or is wrong,
    /// does not lead astray for ever.
    turn: usize,
}

impl Links {
    pub(crate) fn new(address: Address, url: String) -> Self {
        Self { address, url, state: Mutex::default(), opening: tokio::sync::Mutex::default() }
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// A connection to the server that has this project; of no project, to any.
    pub(crate) async fn get(&self, project: &str, whose: For) -> Result<Link, Error> {
        let route = self.route(project);
        let known = self.state().routes.get(&route).cloned();
        match known {
            Some(node) => self.at(&node, whose).await,
            None => {
                let node = self.look_up(&route).await?;
                self.at(&node, whose).await
            }
        }
    }

    /// A connection to this server.
    pub(crate) async fn at(&self, node: &Node, whose: For) -> Result<Link, Error> {
        if whose == For::One {
            let spare = self.state().spare.remove(node);
            return match spare {
                Some(link) => Ok(link),
                None => self.open(node, None).await,
            };
        }
        if let Some(link) = self.shared(node) {
            return Ok(link);
        }
        let _alone = self.opening.lock().await;
        self.shared_or_new(node).await
    }

    /// What a call that waited does not need any more.
    pub(crate) fn give_back(&self, link: Link) {
        self.state().spare.insert(link.node.clone(), link);
    }

    /// A project is elsewhere, as a node of the cluster said. None where that makes no sense.
    pub(crate) fn moved(&self, project: &str, to: &str, says: &Node) -> Option<Node> {
        let node = Node::from_redirection(to, says)?;
        self.state().routes.insert(self.route(project), node.clone());
        Some(node)
    }

    /// This server is not there any more, or not what it was.
    pub(crate) fn forget(&self, node: &Node) {
        let mut state = self.state();
        state.routes.retain(|_, to| to != node);
        state.shared.remove(node);
        state.spare.remove(node);
    }

    /// Gives all connections up, but for those that are waited on.
    pub(crate) fn clear(&self) {
        let mut state = self.state();
        state.routes.clear();
        state.shared.clear();
        state.spare.clear();
    }

    pub(crate) fn is_cluster(&self) -> bool {
        self.address.arrangement == Arrangement::Cluster
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing panics between two changes that belong together.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn route(&self, project: &str) -> String {
        if self.is_cluster() { project.to_owned() } else { String::new() }
    }

    fn shared(&self, node: &Node) -> Option<Link> {
        self.state().shared.get(node).cloned()
    }

    async fn shared_or_new(&self, node: &Node) -> Result<Link, Error> {
        if let Some(link) = self.shared(node) {
            return Ok(link);
        }
        let link = self.open(node, Some(ANSWER_TIMEOUT)).await?;
        self.state().shared.insert(node.clone(), link.clone());
        Ok(link)
    }

    /// Finds out which server has the project, and remembers it.
    async fn look_up(&self, route: &str) -> Result<Node, Error> {
        let node = match &self.address.arrangement {
            Arrangement::Single => Node::Only,
            arrangement => {
                let _alone = self.opening.lock().await;
                // Somebody else may have found it meanwhile.
                let found = self.state().routes.get(route).cloned();
                match (found, arrangement) {
                    (Some(node), _) => node,
                    (None, Arrangement::Sentinel { primary }) => self.primary(primary).await?,
                    (None, _) => self.owner(route).await?,
                }
            }
        };
        self.state().routes.insert(route.to_owned(), node.clone());
        Ok(node)
    }

    /// Those who know the way, somebody else first each time.
    fn guides(&self) -> Vec<Node> {
        let mut state = self.state();
        let mut guides = state.known.clone();
        guides.extend(self.address.seeds.iter().filter(|seed| !state.known.contains(seed)).cloned());
        let turn = state.turn % guides.len().max(1);
        state.turn = state.turn.wrapping_add(1);
        guides.rotate_left(turn);
        guides
    }

    /// The primary, as a Sentinel says and the primary itself.
    async fn primary(&self, name: &str) -> Result<Node, Error> {
        let mut why = None;
        let mut strangers = 0;
        let mut tried = Vec::new();
        let guides = self.guides();
        for guide in &guides {
            let node = match self.ask_sentinel(guide, name).await {
                Ok(Some(node)) if tried.contains(&node) => continue,
                Ok(Some(node)) => node,
                Ok(None) => {
                    strangers += 1;
                    continue;
                }
                Err(error @ (Error::Url { .. } | Error::Tls { .. })) => return Err(error),
                Err(error) => {
                    why.get_or_insert(error);
                    continue;
                }
            };
            match self.look_at_primary(&node).await {
                Ok(()) => return Ok(node),
                // What a server says matters more than what a Sentinel does not.
                Err(error) => why = Some(error),
            }
            tried.push(node);
        }
        if strangers == guides.len() {
            let message = format!("no Sentinel there knows a primary of the name {name}");
            return Err(Error::Url { url: self.url.clone(), message });
        }
        Err(why.unwrap_or_else(|| self.nobody("no Sentinel tells which server is the primary")))
    }

    /// A shared connection to a server that takes itself for the primary.
    async fn look_at_primary(&self, node: &Node) -> Result<(), Error> {
        let mut link = self.shared_or_new(node).await?;
        let role = link.send(&redis::cmd("ROLE"), false).await;
        let is_primary = match &role {
            Ok(Value::Array(words)) => {
                words.first().is_some_and(|word| decode::text(word.clone()).is_ok_and(|word| word == "master"))
            }
            // An ACL may withhold ROLE; the first write tells as well.
            Ok(_) => true,
            Err(error) => error.code().is_some(),
        };
        if is_primary {
            return Ok(());
        }
        self.forget(node);
        match role {
            Ok(_) => Err(Error::Server {
                code: "READONLY".to_owned(),
                message: format!("the server that a Sentinel of {} names is a replica still", self.url),
            }),
            Err(error) => Err(Error::from_redis(&error, &self.url, ANSWER_TIMEOUT)),
        }
    }

    /// Where a Sentinel says that the primary is; none where it does not know the name.
    async fn ask_sentinel(&self, sentinel: &Node, name: &str) -> Result<Option<Node>, Error> {
        let client = self.address.sentinel(sentinel);
        let asked = async {
            let config = AsyncConnectionConfig::new().set_connection_timeout(Some(LOOK_TIMEOUT));
            let connection = client?.get_multiplexed_async_connection_with_config(&config).await;
            let mut link = Link { node: sentinel.clone(), connection: connection? };
            let mut question = redis::cmd("SENTINEL");
            question.arg("get-master-addr-by-name").arg(name);
            link.send(&question, false).await?.extract_error()
        };
        let answer = timeout(LOOK_TIMEOUT, asked).await;
        let Ok(answer) = answer else {
            return Err(Error::Timeout { url: self.url.clone(), after: LOOK_TIMEOUT });
        };
        match answer {
            Ok(Value::Nil) => Ok(None),
            Ok(value) => decode::pair(value)
                .and_then(|(host, port)| Ok((decode::text(host)?, decode::text(port)?)))
                .ok()
                .and_then(|(host, port)| Node::announced(&host, port.parse().ok()?, sentinel))
                .map(Some)
                .ok_or_else(|| self.nobody("a Sentinel answered something else than an address")),
            Err(error) if is_unknown_command(&error) => {
                let message = format!("{} is a server, not a Sentinel", shown(sentinel));
                Err(Error::Url { url: self.url.clone(), message })
            }
            Err(error) => Err(match Error::from_setup(&error, &self.url, LOOK_TIMEOUT) {
                Error::Server { code, .. } if code == "NOAUTH" => {
                    let message =
                        format!("the Sentinel at {} wants another password: ?sentinel-pass=…", shown(sentinel));
                    Error::Server { code, message }
                }
                other => other,
            }),
        }
    }

    /// The node that has the slot of a project, as some node says; that node itself for no project.
    async fn owner(&self, project: &str) -> Result<Node, Error> {
        let mut why = None;
        for guide in self.guides() {
            match timeout(LOOK_TIMEOUT, self.ask_node(&guide, project)).await {
                Ok(Ok(node)) => return Ok(node),
                Ok(Err(error @ (Error::Url { .. } | Error::Tls { .. }))) => return Err(error),
                Ok(Err(error)) => why = Some(error),
                Err(_) => {
                    self.forget(&guide);
                    why.get_or_insert(Error::Timeout { url: self.url.clone(), after: LOOK_TIMEOUT });
                }
            }
        }
        Err(why.unwrap_or_else(|| self.nobody("no node of the cluster answers")))
    }

    async fn ask_node(&self, guide: &Node, project: &str) -> Result<Node, Error> {
        let mut link = self.shared_or_new(guide).await?;
        let mut both = redis::pipe();
        both.cmd("CLUSTER").arg("KEYSLOT").arg(project).cmd("CLUSTER").arg("SLOTS");
        let answers = link.connection.send_packed_commands(&both, 0, 2).await;
        let answers = answers
            .and_then(|answers| answers.into_iter().map(Value::extract_error).collect::<RedisResult<Vec<Value>>>());
        let answers = answers.map_err(|error| {
            self.forget(guide);
            if error.detail().is_some_and(|detail| detail.contains("cluster support disabled")) {
                let message = format!("{} is not a node of a cluster: write redis://", shown(guide));
                return Error::Url { url: self.url.clone(), message };
            }
            Error::from_setup(&error, &self.url, ANSWER_TIMEOUT)
        })?;
        let mut answers = answers.into_iter();
        let (slot, ranges) = (answers.next().unwrap_or(Value::Nil), answers.next().unwrap_or(Value::Nil));
        let ranges = decode::number(slot).and_then(|slot| Ok((slot, decode::list(ranges, Range::read)?)));
        let (slot, ranges) = ranges.map_err(|message| Error::Answer { command: "CLUSTER SLOTS", message })?;
        let nodes = |range: &Range| -> Vec<Node> {
            range.nodes.iter().filter_map(|(host, port)| Node::announced(host, *port, guide)).collect()
        };
        let mut known: Vec<Node> = ranges.iter().flat_map(nodes).collect();
        known.sort_unstable();
        known.dedup();
        let mut primaries: Vec<Node> = ranges.iter().filter_map(|range| nodes(range).into_iter().next()).collect();
        primaries.sort_unstable();
        primaries.dedup();
        {
            let mut state = self.state();
            (state.known, state.primaries) = (known, primaries);
        }
        if project.is_empty() {
            return Ok(guide.clone());
        }
        let owner = ranges.iter().find(|range| (range.first..=range.last).contains(&slot));
        owner.and_then(|range| nodes(range).into_iter().next()).ok_or_else(|| Error::Server {
            code: "CLUSTERDOWN".to_owned(),
            message: format!("no node of {} has the slot of project {project}", self.url),
        })
    }

    /// The servers that have projects: one, or in a cluster all that have slots.
    pub(crate) async fn primaries(&self) -> Result<Vec<Node>, Error> {
        if !self.is_cluster() {
            return Ok(vec![self.get("", For::All).await?.node]);
        }
        {
            let _alone = self.opening.lock().await;
            self.owner("").await?;
        }
        Ok(self.state().primaries.clone())
    }

    /// A connection to the server that has this project, on which everything that is published on channels is told, until
    /// it ends. Of no project, to any server.
    pub(crate) async fn subscribe(
        &self,
        project: &str,
        channels: impl redis::ToRedisArgs,
        told: impl redis::aio::AsyncPushSender,
    ) -> Result<Link, Error> {
        let node = self.get(project, For::All).await?.node;
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT_TIMEOUT))
            .set_response_timeout(Some(ANSWER_TIMEOUT))
            .set_push_sender(told);
        let subscribed = async {
            let client = self.address.subscriber(&node)?;
            let mut connection = client.get_multiplexed_async_connection_with_config(&config).await?;
            connection.subscribe(channels).await?;
            Ok(connection)
        };
        let connection = subscribed.await.map_err(|error: redis::RedisError| {
            if error.code() != Some("NOPERM") {
                self.forget(&node);
            }
            Error::from_setup(&error, &self.url, CONNECT_TIMEOUT)
        })?;
        Ok(Link { node, connection })
    }

    /// A new connection, whose answers are waited for so long at most.
    async fn open(&self, node: &Node, patience: Option<Duration>) -> Result<Link, Error> {
        let config =
            AsyncConnectionConfig::new().set_connection_timeout(Some(CONNECT_TIMEOUT)).set_response_timeout(patience);
        let connection =
            async { self.address.server(node)?.get_multiplexed_async_connection_with_config(&config).await };
        let connection = connection.await.map_err(|error| {
            self.forget(node);
            Error::from_setup(&error, &self.url, CONNECT_TIMEOUT)
        })?;
        Ok(Link { node: node.clone(), connection })
    }

    fn nobody(&self, message: &str) -> Error {
        Error::Connection { url: self.url.clone(), message: message.to_owned() }
    }
}

/// One row of `CLUSTER SLOTS`: some slots, and who has them, the primary first.
struct Range {
    first: u64,
    last: u64,
    nodes: Vec<(String, u16)>,
}

impl Range {
    fn read(value: Value) -> Result<Self, decode::Misread> {
        let mut row = decode::list(value, Ok)?.into_iter();
        let mut number = || decode::number(row.next().unwrap_or(Value::Nil));
        let (first, last) = (number()?, number()?);
        let node = |value| {
            let mut words = decode::list(value, Ok)?.into_iter();
            // A node that does not know its own name has none.
            let host = words.next().filter(|host| *host != Value::Nil).map(decode::text).transpose()?;
            let port = decode::number(words.next().unwrap_or(Value::Nil))?;
            let port = u16::try_from(port).map_err(|_| format!("{port} is no port"))?;
            Ok((host.unwrap_or_default(), port))
        };
        Ok(Self { first, last, nodes: row.map(node).collect::<Result<_, decode::Misread>>()? })
    }
}

fn shown(node: &Node) -> String {
    match node {
        Node::Only => "that".to_owned(),
        Node::At(host, port) => format!("{host}:{port}"),
    }
}

/// Whether the server does not have the command.
pub(crate) fn is_unknown_command(error: &redis::RedisError) -> bool {
    error.code() == Some("ERR") && error.detail().is_some_and(|detail| detail.starts_with("unknown command"))
}
