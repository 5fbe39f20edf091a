//! Queues inside a redis-server that the load generator drives: Poppo, and the Lua queue.

use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, TcpStream};

use poppo_tests::{Builder, Connection, Server, rewrite_aof};

use crate::common::machine::Cores;

use super::contender::Disk;
use super::load::{self, Dialect};
use super::queue::{Queue, Turn, Window};
use super::stop;

/// What such a queue needs besides the talk of its workers.
pub(super) trait OnRedis: Dialect + Sync {
    /// The server that it wants.
    fn server(&self) -> Builder;

    /// Looks whether the server can do it, loads scripts.
    fn prepare(&mut self, control: &mut Connection) -> Result<(), String>;

    /// Appends what lets the task of a number wait; it is answered by an integer.
    fn put(&self, number: u64, out: &mut Vec<u8>);

    /// Its own version, where it has one.
    fn version(&self, control: &mut Connection) -> String;
}

/// Such a queue, running.
pub(super) struct Running<D> {
    dialect: D,
    control: Connection,
    process: u32,
    disk: Disk,
    server: Server,
    _stop: stop::Guard,
}

/// A redis-server on the server's core: plain or with the module.
pub(super) fn server(cores: Cores, builder: Builder, disk: Disk) -> (Server, u32, stop::Guard) {
    let builder = builder.arg("hz", 10);
    let server = cores.start(match disk {
        Disk::Nothing => builder,
        Disk::Own => {
            let aof = builder.arg("appendonly", "yes").arg("appendfsync", "everysec");
            // Rewritten between turns, never within one.
            aof.arg("auto-aof-rewrite-percentage", 0)
        }
    });
    let process = server.connect().info("server", "process_id").parse().expect("a process id");
    let guard = stop::guard(process, server.dir());
    (server, process, guard)
}

pub(super) fn start<D: OnRedis>(cores: Cores, disk: Disk, mut dialect: D) -> Result<Running<D>, String> {
    let (server, process, guard) = server(cores, dialect.server(), disk);
    let mut control = server.connect();
    dialect.prepare(&mut control)?;
    Ok(Running { dialect, control, process, disk, server, _stop: guard })
}

/// Empties a server: its memory, and its file.
pub(super) fn clear(control: &mut Connection, disk: Disk) {
    control.ok("FLUSHALL SYNC");
    if disk == Disk::Own {
        rewrite_aof(control);
    }
}

/// Writes so many commands, all at once, and sees that each is answered by a line that starts with `expected`.
pub(super) fn pour(port: u16, count: u64, expected: &str, mut write: impl FnMut(u64, &mut Vec<u8>) + Send) {
    /// Commands between two writes.
    const BATCH: usize = 1_000;
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).expect("the server listens");
    let mut replies = BufReader::new(stream.try_clone().expect("a second handle of the socket"));
    std::thread::scope(|scope| {
        scope.spawn(move || {
            let mut out = Vec::new();
            for first in (1..=count).step_by(BATCH) {
                (first..(first + BATCH as u64).min(count + 1)).for_each(|number| write(number, &mut out));
                stream.write_all(&out).expect("the server reads");
                out.clear();
            }
        });
        let mut line = String::new();
        for number in 1..=count {
            line.clear();
            replies.read_line(&mut line).expect("the server answers");
            assert!(line.starts_with(expected), "task {number} was answered {line:?}");
        }
    });
}

impl<D: OnRedis> Queue for Running<D> {
    fn version(&mut self) -> String {
        self.dialect.version(&mut self.control)
    }

    fn fill(&mut self, tasks: u64) {
        clear(&mut self.control, self.disk);
        pour(self.server.port(), tasks, ":1", |number, out| self.dialect.put(number, out));
    }

    fn turn(&mut self, workers: usize, window: Window, tasks: u64) -> Option<Turn> {
        load::run(&self.dialect, (self.server.port(), self.process), workers, window, tasks)
    }
}
