//! A primary dies under load, and nobody helps: Sentinels, or the rest of its cluster, have a replica take over.
//!
//! Workers of the library contend for a few issues, and real `poppo work` processes do the tasks of a queue. What is asserted:
//! nobody holds what somebody else holds, what was confirmed by a replica is there afterwards, and all go on by themselves.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "in a test a panic is the report"
)]

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use poppo::{Backoff, Checkin, Checkout, Client, Durability, Enqueue, Error, IssueNumber, Life, Outcome, Project};
use poppo_tests::cluster::Cluster;
use poppo_tests::command::{Following, bare, signal};
use poppo_tests::sentinel::Sentinels;
use poppo_tests::{Connection, Reply as _, Server, wait_until};
use rustix::process::Signal;
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;
use tokio::time::sleep;

/// How many issues are contended for.
const ISSUES: u64 = 4;
/// By how many.
const CONTENDERS: u64 = 6;
/// The first of the issues whose tasks are queued.
const QUEUED: u64 = 1000;
/// How long each holds an issue.
const WORK: Duration = Duration::from_millis(5);

/// What is known of the load on one project.
#[derive(Default)]
struct Arena {
    /// The token under which each contended issue is held, to the knowledge of its holder; 0 where it is not.
    holders: Vec<AtomicU64>,
    /// Check-ins that a replica confirmed.
    confirmed: Mutex<Vec<(u64, u64)>>,
    /// When each checkout that was granted was asked for and answered.
    granted: Mutex<Vec<(Instant, Instant)>>,
    /// Whether the primary is dead.
    is_dead: AtomicBool,
    stop: AtomicBool,
}

impl Arena {
    fn new() -> Arc<Self> {
        Arc::new(Self { holders: (0..=ISSUES).map(|_| AtomicU64::new(0)).collect(), ..Self::default() })
    }

    fn goes_on(&self) -> bool {
        !self.stop.load(Ordering::SeqCst)
    }

    /// The answer, or that of a server that cannot have it confirmed once the primary is dead: a shard of two has no replica
    /// any more then. Whether it was confirmed is told with it.
    async fn ask<T>(
        &self,
        durably: impl Future<Output = Result<T, Error>>,
        plainly: impl Future<Output = Result<T, Error>>,
    ) -> Result<(T, bool), Error> {
        match durably.await {
            Err(Error::Unconfirmed { .. }) if self.is_dead.load(Ordering::SeqCst) => Ok((plainly.await?, false)),
            answer => Ok((answer?, true)),
        }
    }

    /// Checks one issue out after the other, and in again.
    async fn contend(self: Arc<Self>, project: Project, number: u64) {
        let life = Life { pid: 1, host: "h".to_owned(), incarnation: format!("life-{number}"), tmux: None };
        let name = format!("contender-{number}");
        let plain = project.without_durability();
        let mut backoff = Backoff::default();
        for round in number.. {
            if !self.goes_on() {
                return;
            }
            let issue = round % ISSUES + 1;
            let asked = Instant::now();
            let checkout = Checkout::new(IssueNumber::try_from(issue).unwrap(), &name).by(&life);
            match self.ask(project.checkout(&checkout), plain.checkout(&checkout)).await {
                Ok((token, _)) => {
                    backoff = Backoff::default();
                    let holder = &self.holders[issue as usize];
                    let before = holder.swap(token.get(), Ordering::SeqCst);
                    assert_eq!(before, 0, "issue {issue} is held under {before} and under {token}");
                    self.granted.lock().unwrap().push((asked, Instant::now()));
                    sleep(WORK).await;
                    holder.store(0, Ordering::SeqCst);
                    self.check_in(&project, &checkout, token).await;
                }
                Err(Error::Refused(_)) => sleep(WORK).await,
                Err(error) => {
                    assert!(error.may_pass(), "{error}");
                    sleep(backoff.pause()).await;
                }
            }
        }
    }

    async fn check_in(&self, project: &Project, checkout: &Checkout, token: poppo::Token) {
        let mut done = Checkin::new(checkout.issue, &checkout.process, Outcome::Completed);
        done.token = Some(token);
        done.incarnation.clone_from(&checkout.incarnation);
        let plain = project.without_durability();
        let mut backoff = Backoff::default();
        loop {
            match self.ask(project.checkin(&done), plain.checkin(&done)).await {
                Ok(((), true)) => return self.confirmed.lock().unwrap().push((checkout.issue.get(), token.get())),
                // Done before its answer was lost, and the next one has it.
                Ok(((), false)) | Err(Error::Refused(_)) => return,
                Err(error) => assert!(error.may_pass(), "{error}"),
            }
            sleep(backoff.pause()).await;
        }
    }

    /// Queues one task after the other.
    async fn feed(self: Arc<Self>, project: Project) {
        for issue in QUEUED.. {
            let task = Enqueue::new(IssueNumber::try_from(issue).unwrap());
            let mut backoff = Backoff::default();
            while self.goes_on() {
                match project.enqueue(&task).await {
                    Ok(_) => break,
                    Err(error) => assert!(error.may_pass(), "{error}"),
                }
                sleep(backoff.pause()).await;
            }
            if !self.goes_on() {
                return;
            }
            sleep(2 * WORK).await;
        }
    }

    /// Starts everybody.
    fn start(self: &Arc<Self>, runtime: &Runtime, url: &str, key: &str) -> Vec<JoinHandle<()>> {
        let durability: Durability = "replicas=1,timeout=300ms".parse().unwrap();
        let project = || {
            let connect = async { Client::connect(url).await?.durable(Some(durability)).await };
            runtime.block_on(connect).unwrap_or_else(|error| panic!("{error}")).project(key)
        };
        let mut tasks: Vec<_> =
            (1..=CONTENDERS).map(|number| runtime.spawn(Arc::clone(self).contend(project(), number))).collect();
        tasks.push(runtime.spawn(Arc::clone(self).feed(project().without_durability())));
        tasks
    }

    fn wait_for(&self, more: usize) {
        let count = || self.granted.lock().unwrap().len();
        let before = count();
        wait_until("the contenders have come further", || count() >= before + more);
    }

    /// Kills the primary.
    fn kill(&self, primary: &mut Server) -> Instant {
        primary.kill9();
        let at = Instant::now();
        self.is_dead.store(true, Ordering::SeqCst);
        at
    }

    fn end(&self, runtime: &Runtime, tasks: Vec<JoinHandle<()>>) {
        self.stop.store(true, Ordering::SeqCst);
        for task in tasks {
            runtime.block_on(task).unwrap();
        }
    }

    /// How long nobody was granted anything.
    fn gap(&self, killed: Instant) -> Duration {
        let granted = self.granted.lock().unwrap();
        let after = granted.iter().filter(|(asked, _)| *asked > killed).map(|(_, answered)| *answered - killed);
        after.min().expect("somebody was granted something")
    }

    /// Asserts that the server has each check-in that was confirmed.
    fn assert_there(&self, connection: &mut Connection, key: &str) {
        let mut seen = BTreeSet::new();
        let mut last = 0;
        loop {
            let page = connection.ok(&format!("POPPO.EVENTS {key} AFTER {last} COUNT 10000"));
            if page == redis::Value::Nil || page.rows().is_empty() {
                break;
            }
            for event in page.rows() {
                last = event.count("id");
                let kind = event.field("event");
                assert_ne!(kind, "trimmed", "more is to be kept");
                if kind == "checkin" {
                    seen.insert((event.count("issue") as u64, event.count("token") as u64));
                }
            }
        }
        let confirmed = self.confirmed.lock().unwrap();
        let lost: Vec<_> = confirmed.iter().filter(|checkin| !seen.contains(checkin)).collect();
        assert!(lost.is_empty(), "{} of {} check-ins are lost: {lost:?}", lost.len(), confirmed.len());
        assert!(confirmed.len() > 100, "only {} check-ins were confirmed", confirmed.len());
        println!("{key}: {} check-ins were confirmed by a replica, all are there", confirmed.len());
    }
}

/// Real processes that do the tasks of a queue.
struct Processes(Vec<Following>);

impl Processes {
    fn start(directory: &Path, url: &str, key: &str) -> Self {
        // Two that do one task at the same time say so.
        let script = "mkdir held-$POPPO_ISSUE || echo $POPPO_ISSUE >> twice; sleep 0.01; rmdir held-$POPPO_ISSUE";
        let start = |name: &str| {
            let mut command = bare(directory);
            command.args(["--url", url, "--project", key, "--durability", "replicas=1", "--json", "work"]);
            command.args(["--process", name, "--jobs", "2", "--", "sh", "-c", script]);
            Following::of(directory, name, command)
        };
        Self(vec![start("w1"), start("w2")])
    }

    /// Waits until each has done so many more.
    fn wait_for(&self, more: usize) {
        for process in &self.0 {
            process.documents(process.documents(0).len() + more);
        }
    }

    /// Has them finish what they are at; all that they said to be completed is, under the same token.
    fn end(mut self, directory: &Path, connection: &mut Connection, key: &str) {
        for process in &self.0 {
            signal(&process.child, Signal::TERM);
        }
        let mut done = BTreeSet::new();
        for process in &mut self.0 {
            let code = process.exit_code();
            assert_eq!(code, Some(0), "{}", process.said());
            for line in process.documents(0) {
                assert_eq!(line["status"], "completed", "{line}\n{}", process.said());
                let issue = line["issue"].as_u64().unwrap();
                assert!(done.insert(issue), "issue {issue} was done twice");
                let record = connection.ok(&format!("POPPO.GET {key} {issue}"));
                assert_eq!(record.field("status"), "completed", "issue {issue}");
                assert_eq!(record.count("token") as u64, line["token"].as_u64().unwrap(), "issue {issue}");
            }
        }
        let twice = std::fs::read_to_string(directory.join("twice")).unwrap_or_default();
        assert_eq!(twice, "", "held by two at the same time");
        println!("{key}: {} tasks were done by `poppo work`, each once", done.len());
    }
}

const KEEP_EVENTS: &str = "SET events-kept 1000000";

#[test]
fn sentinels_have_a_replica_take_over_from_a_primary_that_was_killed() {
    let builder = Server::builder();
    let mut primary = builder.clone().start();
    let replicas = [primary.replica(builder.clone()), primary.replica(builder)];
    // Longer than a loaded machine stands still: whoever took over must not be taken for dead at once.
    let sentinels = Sentinels::start(3, &primary, 2, Duration::from_secs(3));
    let directory = tempfile::tempdir().unwrap();
    let runtime = Runtime::new().unwrap();
    primary.connect().ok(&format!("POPPO.CONFIG p {KEEP_EVENTS}"));

    let arena = Arena::new();
    let url = sentinels.url();
    let tasks = arena.start(&runtime, &url, "p");
    let processes = Processes::start(directory.path(), &url, "p");
    arena.wait_for(200);
    processes.wait_for(10);
    let killed = arena.kill(&mut primary);
    arena.wait_for(100);
    processes.wait_for(10);
    println!("Sentinel: from kill -9 of the primary to the next CHECKOUT: {:?}", arena.gap(killed));
    arena.end(&runtime, tasks);

    let port = sentinels.primary();
    let mut connection = replicas.iter().find(|replica| replica.port() == port).expect("one took over").connect();
    processes.end(directory.path(), &mut connection, "p");
    arena.assert_there(&mut connection, "p");
    assert_eq!(connection.ok("POPPO.STATS p").count("orphans"), 0, "nobody is an orphan for a failover");
}

#[test]
fn a_clusters_replica_takes_over_from_a_primary_that_was_killed() {
    let builder = Server::builder().arg("cluster-node-timeout", 2000).arg("cluster-replica-validity-factor", 0);
    let mut cluster = Cluster::start(3, &builder);
    let heirs: Vec<Server> = (0..3).map(|index| cluster.heir(index, &builder)).collect();
    let directory = tempfile::tempdir().unwrap();
    let runtime = Runtime::new().unwrap();
    // One project on each node.
    let keys: Vec<String> = (0..3)
        .map(|node| (0..).map(|n| format!("acme/p{n}")).find(|key| cluster.slot(key).1 == node).unwrap())
        .collect();
    for (node, key) in keys.iter().enumerate() {
        cluster.node(node).connect().ok(&format!("POPPO.CONFIG {key} {KEEP_EVENTS}"));
    }

    // The one that will die is the first that is asked.
    let url = format!("redis+cluster://127.0.0.1:{},127.0.0.1:{}", cluster.node(0).port(), cluster.node(1).port());
    let arenas: Vec<_> = keys.iter().map(|_| Arena::new()).collect();
    let tasks: Vec<_> = arenas.iter().zip(&keys).map(|(arena, key)| arena.start(&runtime, &url, key)).collect();
    let processes = Processes::start(directory.path(), &url, &keys[0]);
    for arena in &arenas {
        arena.wait_for(100);
    }
    processes.wait_for(10);
    let killed = arenas[0].kill(cluster.node_mut(0));
    for arena in &arenas {
        // In the shard without a replica each waits in vain for a confirmation before it goes on.
        arena.wait_for(30);
    }
    processes.wait_for(5);
    println!("Cluster: from kill -9 of a primary to the next CHECKOUT of its project: {:?}", arenas[0].gap(killed));
    for (arena, tasks) in arenas.iter().zip(tasks) {
        arena.end(&runtime, tasks);
    }

    let mut heir = heirs[0].connect();
    assert_eq!(heir.info("replication", "role"), "master");
    processes.end(directory.path(), &mut heir, &keys[0]);
    arenas[0].assert_there(&mut heir, &keys[0]);
    for node in [1, 2] {
        arenas[node].assert_there(&mut cluster.node(node).connect(), &keys[node]);
    }
}
