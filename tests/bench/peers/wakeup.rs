//! How soon a waiting worker wakes up: from ENQUEUE to the answer of a blocked CLAIM, against LPUSH and BLPOP.
//!
//! Both on one server, in turns, with one waiter and with many. First come, first served: who waits longest is looked at.
//! And how late a delayed task is served after it fell due.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::time::{Duration, Instant};

use poppo_tests::{Connection, Server, wait_until};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::common::machine::Cores;
use crate::common::progress::Progress;
use crate::common::resp::Word::{self, Joined, Number, Text};
use crate::common::resp::{command, reply};

use super::contender::Disk;
use super::load::{Asked, Dialect, Task};
use super::options::Scale;
use super::poppo::{self, PROJECT, Poppo};
use super::redis;

pub(super) const PHASES: usize = 3;

/// The list that BLPOP waits for.
const LIST: &str = "acme/widgets:list";
/// Delayed tasks, and who waits for them.
const DELAYED: u64 = 20;

/// What was measured, in µs. Empty where the module has no queue.
#[derive(Debug, Clone, Default)]
pub(super) struct Wakeups {
    pub(super) one: Pair,
    pub(super) many: Pair,
    /// How many the many were.
    pub(super) waiters: usize,
    /// How long after falling due the delayed tasks were answered.
    pub(super) late: Vec<f64>,
}

/// Each time that somebody was woken up.
#[derive(Debug, Clone, Default)]
pub(super) struct Pair {
    pub(super) claim: Vec<f64>,
    pub(super) list: Vec<f64>,
}

/// Whom somebody waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Claim,
    List,
}

pub(super) fn run(cores: Cores, scale: &Scale, progress: &mut Progress) -> Wakeups {
    let waiters = room_for(scale.waiters);
    // A few others are connected too.
    let builder = Server::builder().arg("maxclients", waiters + 100);
    let (server, _, _guard) = redis::server(cores, builder, Disk::Nothing);
    let mut bench = Bench { control: server.connect(), producer: Client::connect(server.port()), issue: 0, blocked: 0 };
    let mut wakeups = Wakeups { waiters, ..Wakeups::default() };
    if poppo::has_queue(&mut bench.control).is_err() {
        return wakeups;
    }
    for (pair, count) in [(&mut wakeups.one, 1), (&mut wakeups.many, waiters)] {
        progress.phase(&format!("wake-up of one among {count}"));
        for round in 0..scale.rounds {
            let mut kinds = [(Kind::Claim, &mut pair.claim), (Kind::List, &mut pair.list)];
            kinds.rotate_left(round % 2);
            for (kind, micros) in kinds {
                let mut waiters = bench.waiters(&server, kind, count);
                micros.extend(bench.wake(kind, &mut waiters, scale.wakeups));
                drop(waiters);
                bench.blocked = 0;
                bench.wait_for_blocked();
            }
        }
    }
    progress.phase("delayed tasks");
    wakeups.late = bench.late(&server);
    wakeups
}

/// As many waiters as this process may have connections for; asks for more where that is allowed.
fn room_for(waiters: usize) -> usize {
    /// Whatever else is open.
    const OTHERS: u64 = 200;
    let wanted = waiters as u64 + OTHERS;
    let limit = getrlimit(Resource::Nofile);
    let enough = |limit: Option<u64>| limit.is_none_or(|limit| limit >= wanted);
    if !enough(limit.current) {
        let maximum = if enough(limit.maximum) { limit.maximum } else { Some(wanted) };
        let raised = setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum });
        if raised.is_err() {
            let _raised = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
        }
    }
    let allowed = getrlimit(Resource::Nofile).current.map_or(waiters, |limit| limit.saturating_sub(OTHERS) as usize);
    if allowed < waiters {
        eprintln!(
            "\npoppo-bench: {allowed} waiters instead of {waiters}: a process may open no more files (ulimit -n)"
        );
    }
    waiters.min(allowed)
}

struct Bench {
    control: Connection,
    producer: Client,
    /// The last issue that was queued.
    issue: u64,
    /// How many clients should be blocked.
    blocked: usize,
}

impl Bench {
    /// Clients that are blocked when this returns, in the order of the queue.
    fn waiters(&mut self, server: &Server, kind: Kind, count: usize) -> VecDeque<(u64, Client)> {
        /// Fewer than a listening socket lets wait for being accepted.
        const AT_ONCE: u64 = 400;
        let mut waiters = VecDeque::with_capacity(count);
        for number in 0..count as u64 {
            let mut client = Client::connect(server.port());
            wait(&mut client, kind, number);
            waiters.push_back((number, client));
            self.blocked += 1;
            if number % AT_ONCE == 0 {
                self.wait_for_blocked();
            }
        }
        self.wait_for_blocked();
        waiters
    }

    /// Wakes the first waiter up, so many times, and sends it to the end of the queue again. How long that took, in µs.
    fn wake(&mut self, kind: Kind, waiters: &mut VecDeque<(u64, Client)>, times: usize) -> Vec<f64> {
        let mut micros = Vec::with_capacity(times);
        for _ in 0..times {
            let (number, mut waiter) = waiters.pop_front().expect("a waiter");
            self.issue += 1;
            let start = Instant::now();
            match kind {
                Kind::Claim => self.producer.send(&[Text("POPPO.ENQUEUE"), Text(PROJECT), Number(self.issue)]),
                Kind::List => self.producer.send(&[Text("LPUSH"), Text(LIST), Number(self.issue)]),
            }
            let answer = waiter.answer();
            micros.push(start.elapsed().as_secs_f64() * 1e6);
            self.producer.answer();
            if kind == Kind::Claim {
                waiter.finish(number, claimed(&answer));
            }
            wait(&mut waiter, kind, number);
            waiters.push_back((number, waiter));
            self.wait_for_blocked();
        }
        micros
    }

    /// Tasks that fall due one after the other, each with somebody waiting for it. How late each came, in µs.
    fn late(&mut self, server: &Server) -> Vec<f64> {
        const APART: u64 = 25;
        let waiters = self.waiters(server, Kind::Claim, DELAYED as usize);
        let due: Vec<Instant> = (1..=DELAYED)
            .map(|place| {
                self.issue += 1;
                let delay = APART * place;
                let due = Instant::now() + Duration::from_millis(delay);
                let task = [Text("POPPO.ENQUEUE"), Text(PROJECT), Number(self.issue), Text("DELAY"), Number(delay)];
                self.producer.send(&task);
                self.producer.answer();
                due
            })
            .collect();
        let served = waiters.into_iter().zip(due).map(|((_, mut waiter), due)| {
            claimed(&waiter.answer());
            Instant::now().saturating_duration_since(due).as_secs_f64() * 1e6
        });
        served.collect()
    }

    fn wait_for_blocked(&mut self) {
        let blocked = self.blocked.to_string();
        wait_until("everybody waits", || self.control.info("clients", "blocked_clients") == blocked);
    }
}

fn wait(client: &mut Client, kind: Kind, number: u64) {
    match kind {
        Kind::Claim => {
            let worker = Joined("worker-", number);
            client.send(&[Text("POPPO.CLAIM"), Text(PROJECT), worker, Text("BLOCK"), Number(0)]);
        }
        Kind::List => client.send(&[Text("BLPOP"), Text(LIST), Number(0)]),
    }
}

fn claimed(answer: &[u8]) -> Task {
    let read = poppo::claimed(Asked::Claim, false, answer);
    let task = read.unwrap_or_else(|error| panic!("to a CLAIM: {error}"));
    task.and_then(|(_, task)| task).expect("a blocked CLAIM is answered by a task")
}

/// A connection that waits for its answers.
struct Client {
    stream: TcpStream,
    out: Vec<u8>,
}

impl Client {
    fn connect(port: u16) -> Self {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).expect("the server listens");
        stream.set_nodelay(true).expect("a socket option");
        stream.set_read_timeout(Some(poppo_tests::DEADLINE)).expect("a socket option");
        Self { stream, out: Vec::new() }
    }

    fn send(&mut self, words: &[Word<'_>]) {
        self.out.clear();
        command(&mut self.out, words);
        self.stream.write_all(&self.out).expect("the server reads");
    }

    fn answer(&mut self) -> Vec<u8> {
        let (mut input, mut buffer) = (Vec::new(), [0; 1024]);
        loop {
            let read = match self.stream.read(&mut buffer) {
                Ok(0) => panic!("the server closed the connection"),
                Ok(read) => read,
                Err(error) if error.kind() == ErrorKind::WouldBlock => panic!("nobody was woken up"),
                Err(error) => panic!("the server does not answer: {error}"),
            };
            input.extend_from_slice(&buffer[..read]);
            match reply(&input) {
                Ok(None) => {}
                Ok(Some(_)) => return input,
                Err(error) => panic!("an error reply: {error}"),
            }
        }
    }

    fn finish(&mut self, worker: u64, task: Task) {
        let mut out = Vec::new();
        Poppo::new(false, false).finish(worker as usize, task, &mut out);
        self.stream.write_all(&out).expect("the server reads");
        self.answer();
    }
}
