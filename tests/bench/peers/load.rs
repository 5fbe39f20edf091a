//! The load generator: each connection is a worker that claims a task, finishes it, and goes on. One thread, epoll.
//!
//! Every queue but BullMQ is driven by this same loop; what differs is the [`Dialect`]. It sees to it that no task is
//! handed out twice.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::time::Instant;

use rustix::event::epoll::{self, EventData, EventFlags};

use super::meter::Meter;
use super::queue::{Turn, Window};

/// A claimed task: what finishing it takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Task {
    /// From 1 to the number of tasks that the queue was filled with.
    pub(super) id: u64,
    /// What proves the claim, where the queue has such a thing.
    pub(super) token: u64,
}

/// What a worker waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asked {
    Claim,
    Finish,
}

/// The answer at the front of an input, and its length; none where it is not whole yet. An error where it is not what was
/// asked for.
pub(super) type Front<T> = Result<Option<(usize, T)>, String>;

/// How workers talk with a queue.
pub(super) trait Dialect {
    /// Whether the answer to a finish brings the next task along.
    fn brings_next(&self) -> bool {
        false
    }

    /// What a connection says before its first claim.
    fn greet(&self, _stream: &mut TcpStream) {}

    /// Appends a claim.
    fn claim(&self, worker: usize, out: &mut Vec<u8>);

    /// Appends a finish.
    fn finish(&self, worker: usize, task: Task, out: &mut Vec<u8>);

    /// Reads an answer: the task, if it brings one.
    fn read(&self, asked: Asked, input: &[u8]) -> Front<Option<Task>>;
}

/// A worker.
struct Worker {
    stream: TcpStream,
    asked: Asked,
    out: Vec<u8>,
    input: Vec<u8>,
}

/// Gives `workers` workers a turn at the queue that listens on `port`; the process `server` answers there.
/// None where the tasks did not last until it counts. None where the tasks did not
/// last until it counts.
pub(super) fn run(
    dialect: &dyn Dialect,
    (port, server): (u16, u32),
    workers: usize,
    window: Window,
    tasks: u64,
) -> Option<Turn> {
    let mut workers: Vec<_> = (0..workers).map(|_| Worker::connect(port, dialect)).collect();
    let epoll = epoll::create(epoll::CreateFlags::CLOEXEC).expect("an epoll instance");
    for (index, worker) in workers.iter().enumerate() {
        epoll::add(&epoll, &worker.stream, EventData::new_u64(index as u64), EventFlags::IN)
            .expect("a socket to watch");
    }
    let meter = Meter::new(server, std::process::id());
    let mut seen = vec![false; tasks as usize + 1];
    let mut events = Vec::with_capacity(workers.len());
    let mut buffer = vec![0; 1 << 16];

    let start = Instant::now();
    let (mut begin, mut end) = (None, None);
    let mut cycles = 0;
    let mut waiting = workers.len();
    for (index, worker) in workers.iter_mut().enumerate() {
        worker.claim(dialect, index);
    }
    while waiting > 0 {
        events.clear();
        epoll::wait(&epoll, rustix::buffer::spare_capacity(&mut events), None).expect("events");
        // Looked at once for all that has come: the clock is part of the load too.
        let elapsed = start.elapsed();
        if begin.is_none() && elapsed >= window.warm {
            begin = Some(meter.read());
            cycles = 0;
        }
        if end.is_none() && elapsed >= window.total() {
            end = Some(meter.read());
        }
        for event in &events {
            let index = event.data.u64() as usize;
            let worker = &mut workers[index];
            let Some(task) = worker.receive(dialect, &mut buffer) else { continue };
            if let Some(task) = task {
                let seen = seen.get_mut(task.id as usize).unwrap_or_else(|| panic!("{task:?} was never put there"));
                assert!(!std::mem::replace(seen, true), "{task:?} was handed out twice");
            }
            let finished = worker.asked == Asked::Finish;
            cycles += u64::from(finished && end.is_none());
            match task {
                // The time is over: what is under way is answered, and nothing more is asked.
                _ if end.is_some() => waiting -= 1,
                Some(task) => worker.finish(dialect, index, task),
                None if finished && !dialect.brings_next() => worker.claim(dialect, index),
                // No task is left.
                None => {
                    end = Some(meter.read());
                    waiting -= 1;
                }
            }
        }
    }
    let (begin, end) = (begin?, end.expect("nobody waits before the end"));
    Some(Turn { cycles, elapsed: end.at - begin.at, server: end.server - begin.server, load: end.load - begin.load })
}

impl Worker {
    fn connect(port: u16, dialect: &dyn Dialect) -> Self {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).expect("the server listens");
        stream.set_nodelay(true).expect("a socket option");
        dialect.greet(&mut stream);
        stream.set_nonblocking(true).expect("a socket option");
        Self { stream, asked: Asked::Claim, out: Vec::new(), input: Vec::new() }
    }

    fn claim(&mut self, dialect: &dyn Dialect, index: usize) {
        self.asked = Asked::Claim;
        dialect.claim(index, &mut self.out);
        self.send();
    }

    fn finish(&mut self, dialect: &dyn Dialect, index: usize, task: Task) {
        self.asked = Asked::Finish;
        dialect.finish(index, task, &mut self.out);
        self.send();
    }

    /// A socket whose last words were answered takes a few hundred bytes at once.
    fn send(&mut self) {
        self.stream.write_all(&self.out).expect("the server reads");
        self.out.clear();
    }

    /// Reads what is there; the answer, if that makes it whole.
    fn receive(&mut self, dialect: &dyn Dialect, buffer: &mut [u8]) -> Option<Option<Task>> {
        match self.stream.read(buffer) {
            Ok(0) => panic!("the server closed the connection"),
            Ok(read) => self.input.extend_from_slice(&buffer[..read]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return None,
            Err(error) => panic!("the server does not answer: {error}"),
        }
        let (length, task) = match dialect.read(self.asked, &self.input) {
            Ok(answer) => answer?,
            Err(error) => panic!("to a {:?}: {error}", self.asked),
        };
        assert_eq!(length, self.input.len(), "more came than was asked for");
        self.input.clear();
        Some(task)
    }
}
