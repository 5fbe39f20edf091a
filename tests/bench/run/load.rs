//! The load generator: a few connections on one thread, each sending its next commands when all of the last ones are
//! answered. It looks at the type of every reply; an error reply ends the run.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::time::{Duration, Instant};

use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::fd::OwnedFd;

use crate::common::resp;

/// Appends the commands of the operation of a given number.
pub(super) type Writer<'a> = Box<dyn FnMut(u64, &mut Vec<u8>) + 'a>;

/// One kind of operation: how the one of a given number is written, and what types its replies have.
pub(super) struct Work<'a> {
    /// Appends the operation's commands.
    pub(super) write: Writer<'a>,
    /// The first byte of each reply that it gets.
    pub(super) replies: &'static [u8],
}

/// When a run is over.
#[derive(Debug, Clone, Copy)]
pub(super) enum Until {
    /// After so many operations.
    Count(u64),
    /// After so much time; what is under way is still answered.
    Elapsed(Duration),
}

/// How the connections send.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    /// Operations that a connection sends at once.
    pub(super) pipeline: u64,
    /// Whether the first connection sends only one at a time, so that [`Measured::probe`] shows what a client sees.
    pub(super) probe: bool,
}

/// What a run came to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Measured {
    /// Operations done.
    pub(super) count: u64,
    pub(super) elapsed: Duration,
    /// The longest that the first connection waited for an answer.
    pub(super) probe: Duration,
}

impl Measured {
    pub(super) fn per_second(&self) -> f64 {
        self.count as f64 / self.elapsed.as_secs_f64()
    }
}

/// The connections.
pub(super) struct Load {
    epoll: OwnedFd,
    connections: Vec<Connection>,
    /// Made once: to clear so much memory for each read would be the greater part of a short one.
    buffer: Vec<u8>,
}

struct Connection {
    stream: TcpStream,
    out: Vec<u8>,
    sent: usize,
    input: Vec<u8>,
    /// Replies that are still to come, and the place of the next one within its operation.
    waiting: u64,
    place: usize,
    since: Instant,
}

impl Load {
    pub(super) fn connect(port: u16, connections: usize) -> Self {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC).expect("an epoll instance");
        let connections: Vec<_> = (0..connections).map(|_| Connection::open(port)).collect();
        for (index, connection) in connections.iter().enumerate() {
            let data = EventData::new_u64(index as u64);
            epoll::add(&epoll, &connection.stream, data, EventFlags::IN).expect("a socket to watch");
        }
        Self { epoll, connections, buffer: vec![0; 1 << 16] }
    }

    /// Runs operations numbered from `first` on, each number once.
    pub(super) fn run(&mut self, first: u64, until: Until, pace: Pace, mut work: Work<'_>) -> Measured {
        let start = Instant::now();
        let (mut next, mut under_way, mut slowest) = (first, 0, Duration::ZERO);
        let more = |next: u64| match until {
            Until::Count(count) => (first + count).saturating_sub(next),
            Until::Elapsed(time) => u64::from(start.elapsed() < time) * u64::MAX,
        };
        let mut events = Vec::with_capacity(self.connections.len());
        let mut ready: Vec<usize> = (0..self.connections.len()).collect();
        loop {
            for index in ready.drain(..) {
                let connection = &mut self.connections[index];
                let pipeline = if index == 0 && pace.probe { 1 } else { pace.pipeline };
                let batch = pipeline.min(more(next));
                if batch == 0 {
                    continue;
                }
                (next..next + batch).for_each(|number| (work.write)(number, &mut connection.out));
                next += batch;
                under_way += 1;
                connection.waiting = batch * work.replies.len() as u64;
                connection.since = Instant::now();
                connection.send(&self.epoll, index);
            }
            if under_way == 0 {
                break;
            }
            epoll::wait(&self.epoll, rustix::buffer::spare_capacity(&mut events), None).expect("events");
            for event in events.drain(..) {
                let index = event.data.u64() as usize;
                let connection = &mut self.connections[index];
                if connection.sent < connection.out.len() {
                    connection.send(&self.epoll, index);
                }
                connection.receive(&mut self.buffer, work.replies);
                if connection.waiting == 0 {
                    under_way -= 1;
                    ready.push(index);
                    if index == 0 {
                        slowest = slowest.max(connection.since.elapsed());
                    }
                }
            }
        }
        Measured { count: next - first, elapsed: start.elapsed(), probe: slowest }
    }
}

impl Connection {
    fn open(port: u16) -> Self {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).expect("the server listens");
        stream.set_nodelay(true).expect("a socket option");
        stream.set_nonblocking(true).expect("a socket option");
        Self { stream, out: Vec::new(), sent: 0, input: Vec::new(), waiting: 0, place: 0, since: Instant::now() }
    }

    /// Sends what the socket takes. The rest goes when it takes more.
    fn send(&mut self, epoll: &OwnedFd, index: usize) {
        let waited = self.sent > 0;
        while self.sent < self.out.len() {
            match self.stream.write(&self.out[self.sent..]) {
                Ok(sent) => self.sent += sent,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => panic!("the server does not read: {error}"),
            }
        }
        let all = self.sent == self.out.len();
        if all {
            self.out.clear();
            self.sent = 0;
        }
        if waited || !all {
            let flags = if all { EventFlags::IN } else { EventFlags::IN | EventFlags::OUT };
            let data = EventData::new_u64(index as u64);
            epoll::modify(epoll, &self.stream, data, flags).expect("a socket to watch");
        }
    }

    /// Reads what is there and counts the replies in it.
    fn receive(&mut self, buffer: &mut [u8], expected: &[u8]) {
        match self.stream.read(buffer) {
            Ok(0) => panic!("the server closed the connection"),
            Ok(read) => self.input.extend_from_slice(&buffer[..read]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return,
            Err(error) => panic!("the server does not answer: {error}"),
        }
        let mut at = 0;
        while at < self.input.len() {
            match resp::reply(&self.input[at..]) {
                Ok(None) => break,
                Ok(Some((length, kind))) if self.waiting > 0 && kind == expected[self.place] => {
                    at += length;
                    self.waiting -= 1;
                    self.place = (self.place + 1) % expected.len();
                }
                Ok(Some((length, _))) => {
                    panic!("an unexpected reply: {}", String::from_utf8_lossy(&self.input[at..at + length]))
                }
                Err(error) => panic!("an error reply: {error}"),
            }
        }
        self.input.drain(..at);
    }
}
