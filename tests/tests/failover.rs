//! Paused writes, orderly failovers, promotions over a dead primary: who holds what is never in doubt for long.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "in a test a panic is the report"
)]

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use poppo_tests::load::{Acknowledged, Caller, Load, assert_there};
use poppo_tests::transcript::show;
use poppo_tests::{Connection, DEADLINE, Reply as _, Server, wait_until};
use redis::Value;

const PROJECT: &str = "p";
const WORKERS: usize = 3;

/// A client of some servers one of which is the primary: who is refused, or finds nobody, tries the next.
struct Roaming {
    ports: Vec<u16>,
    at: usize,
    connections: BTreeMap<u16, Connection>,
    /// Whether to ask for the word of one replica after each issue.
    waits: bool,
    /// How often it had to try the next.
    moved: usize,
}

impl Roaming {
    fn among(ports: Vec<u16>, waits: bool) -> Self {
        Self { ports, at: 0, connections: BTreeMap::new(), waits, moved: 0 }
    }

    /// The answer of the server where it is; none where there is no such server.
    fn ask(&mut self, words: &[&str]) -> Option<Value> {
        let port = self.ports[self.at];
        let connection = match self.connections.entry(port) {
            Entry::Occupied(there) => there.into_mut(),
            Entry::Vacant(place) => place.insert(Connection::try_to(port).ok()?),
        };
        let answer = connection.try_call(words).ok();
        if answer.is_none() {
            self.connections.remove(&port);
        }
        answer
    }
}

impl Caller for Roaming {
    fn call(&mut self, words: &[&str]) -> Value {
        let start = Instant::now();
        loop {
            assert!(start.elapsed() < DEADLINE, "nobody decides {words:?}");
            let answer = self.ask(words);
            let error = answer.as_ref().and_then(|answer| answer.error()).unwrap_or_default();
            match (answer, error.split(' ').next()) {
                // Not the primary, not any more, or not yet ready: it has decided nothing.
                (None, _) | (Some(_), Some("READONLY" | "UNBLOCKED" | "LOADING" | "MASTERDOWN")) => {
                    self.moved += 1;
                    self.at = (self.at + 1) % self.ports.len();
                    std::thread::sleep(Duration::from_millis(1));
                }
                (Some(answer), _) => return answer,
            }
        }
    }

    fn is_safe(&mut self) -> bool {
        // On another connection than the write's the answer would be about nothing, and there is no replica then.
        self.waits && self.moved == 0 && matches!(self.ask(&["WAIT", "1", "1000"]), Some(Value::Int(1..)))
    }

    fn may_have_lost(&self) -> bool {
        self.waits && self.moved > 0
    }
}

/// Works on the project while `meanwhile` does something to the servers; what was acknowledged, and how often the
/// workers had to look for another server.
fn under_load(load: &Load, client: impl Fn() -> Roaming, meanwhile: impl FnOnce()) -> (Vec<Acknowledged>, usize) {
    std::thread::scope(|scope| {
        let stop = load.stop();
        let workers: Vec<_> = (0..WORKERS)
            .map(|number| {
                let mut client = client();
                scope.spawn(move || (load.work(number, WORKERS, &mut client), client.moved))
            })
            .collect();
        meanwhile();
        drop(stop);
        let done: Vec<_> = workers.into_iter().map(|worker| worker.join().unwrap()).collect();
        let moved = done.iter().map(|(_, moved)| moved).sum();
        (done.into_iter().flat_map(|(done, _)| done).collect(), moved)
    })
}

fn orphans(connection: &mut Connection) -> Vec<i64> {
    let orphans = connection.ok(&format!("POPPO.ORPHANS {PROJECT} COUNT 10000"));
    orphans.rows().iter().map(|row| row.count("issue")).collect()
}

fn is_primary(server: &Server) -> bool {
    server.connect().info("replication", "role") == "master"
}

/// Asserts that a replica has what its primary has, and that neither of them ever failed to apply anything.
#[track_caller]
fn assert_agree(primary: &Server, replica: &Server) {
    replica.wait_for_sync();
    primary.wait_for_replicas(&[replica]);
    assert!(primary.connect().dump(PROJECT) == replica.connect().dump(PROJECT), "they disagree");
    for server in [primary, replica] {
        let mut connection = server.connect();
        assert_eq!(connection.info("poppo", "poppo_apply_failures"), "0", "{}", server.log());
        assert_eq!(connection.info("poppo", "poppo_panics"), "0", "{}", server.log());
    }
}

/// An issue whose worker is silent. Its number is above all that a load uses.
const SILENT: i64 = 1_000_001;
const SILENT_TTL: Duration = Duration::from_secs(1);

/// Waits until the silent worker is an orphan on the primary, and to the eyes of the replica.
fn make_silent_orphan(primary: &Server, replica: &Server) {
    let (mut connection, mut reader) = (primary.connect(), replica.connect());
    let ttl = SILENT_TTL.as_millis();
    connection.ok(&format!("POPPO.CHECKOUT {PROJECT} {SILENT} silent TTL {ttl}"));
    for connection in [&mut connection, &mut reader] {
        wait_until("its worker was silent for too long", || orphans(connection) == [SILENT]);
    }
}

/// Asserts that the silent worker is not an orphan again before its time to live has passed since the promotion, which
/// came after `begun`; and that it is one then. No one else ever is.
fn assert_grace(server: &Server, begun: Instant) {
    let mut connection = server.connect();
    wait_until("the grace is over", || {
        let seen = orphans(&mut connection);
        if !seen.is_empty() {
            assert_eq!(seen, [SILENT]);
            let after = begun.elapsed();
            assert!(after >= SILENT_TTL, "an orphan by silence {after:?} after the promotion was asked for");
        }
        !seen.is_empty()
    });
}

#[test]
fn deadlines_that_pass_while_writes_are_paused_show_at_once_and_harm_nobody() {
    let mut primary = Server::builder().no_grace().durable().start();
    let replica = primary.replica(Server::builder().no_grace().durable());
    let mut connection = primary.connect();
    for issue in 1..=3 {
        connection.ok(&format!("POPPO.CHECKOUT p {issue} w{issue} TTL 1000 HOST h PID {issue}"));
    }
    connection.ok("POPPO.CHECKOUT p 4 patient");
    connection.ok("CLIENT PAUSE 600000 WRITE");
    let before = connection.dump("p");

    wait_until("three are orphans", || orphans(&mut connection).len() == 3);
    assert_eq!(orphans(&mut connection), [1, 2, 3]);
    wait_until("on the replica too", || orphans(&mut replica.connect()) == [1, 2, 3]);
    assert!(connection.dump("p") == before, "a pause is for writes");
    // Here belongs, once timers publish what becomes an orphan: nothing is published during the pause, all is after.

    let unpaused = AtomicBool::new(false);
    let token = std::thread::scope(|scope| {
        let paused = |line: &'static str| {
            let (mut connection, unpaused) = (primary.connect(), &unpaused);
            scope.spawn(move || {
                let answer = connection.cmd(line);
                assert!(unpaused.load(Ordering::SeqCst), "{line} was answered during the pause: {}", show(&answer));
                answer
            })
        };
        let beat = paused("POPPO.HEARTBEAT p w1 BRIEF");
        let takeover = paused("POPPO.CHECKOUT p 2 heir TAKEOVER");
        let refused = paused("POPPO.CHECKOUT p 4 heir TAKEOVER");
        wait_until("all three wait", || connection.info("clients", "blocked_clients") == "3");
        assert_eq!(orphans(&mut connection), [1, 2, 3]);
        assert!(connection.dump("p") == before);
        unpaused.store(true, Ordering::SeqCst);
        connection.ok("CLIENT UNPAUSE");
        assert_eq!(beat.join().unwrap().count("issues"), 1);
        assert!(refused.join().unwrap().error().unwrap().starts_with("HELD"));
        takeover.join().unwrap().number()
    });
    // Who beat in time is held again, and who took over holds.
    assert_eq!(orphans(&mut connection), [3]);
    assert_eq!(connection.ok("POPPO.GET p 2").count("token"), token);
    assert_eq!(connection.text("PING"), "PONG");
    assert_agree(&primary, &replica);
    let whole = connection.dump("p");
    primary.kill9();
    primary.start_again();
    assert!(primary.connect().dump("p") == whole, "the AOF holds something else");
}

#[test]
fn failovers_under_load_lose_nothing_and_nobody_is_an_orphan_for_them() {
    let one = Server::builder().durable().start();
    let other = one.replica(Server::builder().durable());
    let load = Load::on(PROJECT);
    let (acknowledged, moved) = under_load(
        &load,
        || Roaming::among(vec![one.port(), other.port()], false),
        || {
            for (old, new) in [(&one, &other), (&other, &one), (&one, &other)] {
                load.wait_for(100);
                make_silent_orphan(old, new);
                let (newest, begun) = (load.newest(), Instant::now());
                old.connect().ok(&format!("FAILOVER TO 127.0.0.1 {} TIMEOUT 20000", new.port()));
                wait_until("the replica is the primary", || is_primary(new) && !is_primary(old));
                assert_grace(new, begun);
                load.wait_for(20);
                assert!(load.newest() > newest);
                old.wait_for_sync();
                // Another one for the next.
                new.connect().ok(&format!("POPPO.EVICT {PROJECT} {SILENT}"));
                new.connect().ok(&format!("POPPO.FORGET {PROJECT} {SILENT}"));
            }
        },
    );
    assert!(moved >= WORKERS * 3, "the workers moved only {moved} times");
    let mut connection = other.connect();
    assert_there(&mut connection, PROJECT, acknowledged.iter());
    let stats = connection.ok(&format!("POPPO.STATS {PROJECT}"));
    assert_eq!(stats.count("checkouts"), acknowledged.len() as i64 + 3, "each was granted once");
    assert_agree(&other, &one);
    assert_eq!(orphans(&mut connection), [0; 0]);
}

#[test]
fn a_replica_that_is_promoted_over_a_dead_primary_grants_higher_tokens_and_the_old_one_rejoins() {
    let mut old = Server::builder().durable().start();
    let new = old.replica(Server::builder().durable());
    make_silent_orphan(&old, &new);
    let load = Load::on(PROJECT);
    let ports = vec![old.port(), new.port()];
    let client = || Roaming::among(ports.clone(), true);
    let (acknowledged, moved) = under_load(&load, client, || {
        load.wait_for(300);
        let before = load.newest();
        old.kill9();
        assert!(!is_primary(&new));
        let begun = Instant::now();
        new.connect().ok("REPLICAOF NO ONE");
        assert_grace(&new, begun);
        load.wait_for(100);
        assert!(load.newest() > before);
    });
    assert!(moved >= WORKERS);
    // What a replica had confirmed is there. Of the rest, what was written last may be lost.
    let safe = acknowledged.iter().filter(|one| one.safe);
    assert!(safe.clone().count() >= 250, "{} of {} were confirmed", safe.clone().count(), acknowledged.len());
    let mut connection = new.connect();
    assert_there(&mut connection, PROJECT, safe);
    assert_eq!(connection.ok(&format!("POPPO.STATS {PROJECT}")).count("lastToken"), load.newest());

    old.start_again();
    assert!(is_primary(&old), "it does not know better");
    old.connect().ok(&format!("REPLICAOF 127.0.0.1 {}", new.port()));
    assert_agree(&new, &old);
    connection.ok(&format!("POPPO.CHECKOUT {PROJECT} {SILENT} heir TAKEOVER"));
    assert_agree(&new, &old);
}

#[test]
fn after_a_split_the_older_token_is_stale_on_the_side_that_stays() {
    let old = Server::builder().durable().start();
    let new = old.replica(Server::builder().durable());
    let mut before = old.connect();
    before.ok("POPPO.CHECKOUT p 1 w1 HOST h PID 5");
    old.wait_for_replicas(&[&new]);
    // Nobody told the old one: it goes on granting, to those who still reach it.
    new.connect().ok("REPLICAOF NO ONE");
    let theirs = before.int("POPPO.CHECKOUT p 2 w2");
    let mut after = new.connect();
    let ours = after.int("POPPO.CHECKOUT p 2 w3");
    assert!(ours > theirs, "asked for later, and on a server with the same clock");
    before.ok(&format!("POPPO.CHECKIN p 2 w2 STATUS completed TOKEN {theirs}"));
    after.refused(&format!("POPPO.CHECKIN p 2 w2 STATUS completed TOKEN {theirs}"), "STALE");
    before.ok(&format!("REPLICAOF 127.0.0.1 {}", new.port()));
    assert_agree(&new, &old);
    assert_eq!(old.connect().ok("POPPO.GET p 2").field("process"), "w3");
}
