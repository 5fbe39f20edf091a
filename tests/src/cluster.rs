//! Clusters of servers, and a client that goes where the servers send it.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use redis::Value;

use crate::load::Caller;
use crate::transcript::show;
use crate::{Builder, Connection, DEADLINE, Reply as _, Server, wait_until};

/// How many slots there are.
const SLOTS: usize = 16_384;

/// Some primaries that divide the slots evenly among themselves.
#[derive(Debug)]
pub struct Cluster {
    nodes: Vec<Server>,
}

impl Cluster {
    /// Starts `size` primaries like `builder` and waits until all agree on who owns what.
    #[track_caller]
    pub fn start(size: usize, builder: &Builder) -> Self {
        let nodes: Vec<Server> = (0..size).map(|_| builder.clone().cluster().start()).collect();
        for (index, node) in nodes.iter().enumerate() {
            let mut connection = node.connect();
            connection.ok(&format!("CLUSTER SET-CONFIG-EPOCH {}", index + 1));
            let (first, next) = (index * SLOTS / size, (index + 1) * SLOTS / size);
            connection.ok(&format!("CLUSTER ADDSLOTSRANGE {first} {}", next - 1));
        }
        let cluster = Self { nodes };
        for node in cluster.nodes.iter().skip(1) {
            meet(&cluster.nodes[0], node);
        }
        cluster.wait(size);
        cluster
    }

    /// A primary.
    pub fn node(&self, index: usize) -> &Server {
        &self.nodes[index]
    }

    /// A primary, to be killed or restarted.
    pub fn node_mut(&mut self, index: usize) -> &mut Server {
        &mut self.nodes[index]
    }

    /// All primaries.
    pub fn nodes(&self) -> &[Server] {
        &self.nodes
    }

    /// The slot of a key, and the index of the node that had it at the beginning.
    #[track_caller]
    pub fn slot(&self, key: &str) -> (usize, usize) {
        let slot = self.nodes[0].connect().int(&format!("CLUSTER KEYSLOT {key}")) as usize;
        let owner = (0..self.nodes.len()).find(|index| slot < (index + 1) * SLOTS / self.nodes.len());
        (slot, owner.expect("every slot has an owner"))
    }

    /// A replica of a node that has caught up with it and never takes over by itself.
    #[track_caller]
    pub fn replica(&self, index: usize, builder: &Builder) -> Server {
        self.heir(index, &builder.clone().arg("cluster-replica-no-failover", "yes"))
    }

    /// A replica of a node that has caught up with it and takes over when that dies.
    #[track_caller]
    pub fn heir(&self, index: usize, builder: &Builder) -> Server {
        let known = self.nodes[0].connect().text("CLUSTER INFO");
        let known =
            known.lines().find_map(|line| line.strip_prefix("cluster_known_nodes:")?.trim().parse::<usize>().ok());
        let replica = builder.clone().cluster().start();
        meet(&self.nodes[0], &replica);
        let primary = id(&self.nodes[index]);
        let mut connection = replica.connect();
        wait_until("the replica knows its primary", || {
            connection.cmd(&format!("CLUSTER REPLICATE {primary}")).error().is_none()
        });
        replica.wait_for_sync();
        self.wait(known.expect("a count") + 1);
        replica
    }

    /// A client that begins to ask at the given node.
    pub fn client(&self, index: usize) -> Client {
        Client { connections: BTreeMap::new(), at: self.nodes[index].port(), moved: 0, asked: 0 }
    }

    /// Waits until all primaries know `members` and consider the cluster whole.
    #[track_caller]
    pub fn wait(&self, members: usize) {
        for node in &self.nodes {
            let mut connection = node.connect();
            wait_until("the cluster is whole", || {
                let info = connection.text("CLUSTER INFO");
                let says = |line: &str| info.lines().any(|l| l == line);
                says("cluster_state:ok") && says(&format!("cluster_known_nodes:{members}"))
            });
        }
    }
}

/// Introduces two nodes to each other.
#[track_caller]
fn meet(one: &Server, other: &Server) {
    let bus = other.connect().ok("CONFIG GET cluster-port").field("cluster-port");
    one.connect().ok(&format!("CLUSTER MEET 127.0.0.1 {} {bus}", other.port()));
}

/// By what its cluster knows a node.
#[track_caller]
pub fn id(node: &Server) -> String {
    node.connect().text("CLUSTER MYID")
}

/// A client of a cluster that follows `MOVED` and `ASK` and waits where it is told to try again.
pub struct Client {
    connections: BTreeMap<u16, Connection>,
    at: u16,
    /// How often it was told that the slot is elsewhere now.
    pub moved: usize,
    /// How often it was sent to the node that is about to have the slot.
    pub asked: usize,
}

impl Client {
    fn connection(&mut self, port: u16) -> &mut Connection {
        self.connections.entry(port).or_insert_with(|| Connection::to(port))
    }
}

impl Caller for Client {
    fn call(&mut self, words: &[&str]) -> Value {
        let start = Instant::now();
        let mut reply = { self.connection(self.at) }.call(words);
        loop {
            let error = reply.error().unwrap_or_default();
            let port = || error.rsplit(':').next().and_then(|port| port.parse().ok()).expect("a port to go to");
            reply = match error.split(' ').next() {
                Some("MOVED") => {
                    self.moved += 1;
                    self.at = port();
                    self.connection(self.at).call(words)
                }
                Some("ASK") => {
                    self.asked += 1;
                    let connection = self.connection(port());
                    connection.ok("ASKING");
                    connection.call(words)
                }
                Some("TRYAGAIN" | "CLUSTERDOWN") => {
                    std::thread::sleep(Duration::from_millis(1));
                    self.connection(self.at).call(words)
                }
                _ => return reply,
            };
            assert!(start.elapsed() < DEADLINE, "{words:?} was sent around in circles, at last: {}", show(&reply));
        }
    }
}
