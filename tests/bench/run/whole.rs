//! Commands on a whole project of millions of issues: what they cost, and how long others wait meanwhile.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::time::{Duration, Instant};

use poppo_tests::{Connection, Server};

use crate::common::progress::Progress;

use super::observe;

/// How many phases [`run`] announces.
pub(super) const PHASES: usize = 4;

const OTHER: &str = "acme/other";

/// What they took, as the server counts; and sizes in bytes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Whole {
    pub(super) issues: u64,
    pub(super) dump: Duration,
    pub(super) dump_bytes: u64,
    pub(super) restore: Duration,
    pub(super) copy: Duration,
    /// Not as the server counts: the target's share belongs to it.
    pub(super) migrate: Duration,
    pub(super) del: Duration,
    pub(super) unlink: Duration,
    /// The longest that another client waited for a PING until all was freed.
    pub(super) unlink_probe: Duration,
}

/// Measures them on `project`, which is gone afterwards.
pub(super) fn run(server: &Server, project: &str, progress: &mut Progress) -> Whole {
    let mut control = server.connect();
    let issues = observe::number(&mut control, "poppo", "poppo_leases");
    let mut raw = Raw::connect(server.port());
    let mut timed = |command: &str, call: &mut dyn FnMut(&mut Connection)| {
        observe::reset(&mut control);
        call(&mut control);
        Duration::from_micros(observe::inside(&mut control, &[command]).micros)
    };

    progress.phase("DUMP and RESTORE of the large project");
    let mut payload = Vec::new();
    let dump = timed("dump", &mut |_| payload = raw.dump(project));
    let dump_bytes = payload.len() as u64;
    let restore = timed("restore", &mut |_| raw.restore(OTHER, &payload));
    drop(payload);
    progress.phase("DEL and COPY of the large project");
    let del = timed("del", &mut |control| assert_eq!(control.int(&format!("DEL {OTHER}")), 1));
    let copy = timed("copy", &mut |_| raw.copy(project, OTHER));
    progress.phase("MIGRATE of the large project");
    let target = Server::start();
    let start = Instant::now();
    raw.migrate(OTHER, target.port());
    let migrate = start.elapsed();
    drop(target);
    progress.phase("UNLINK of the large project");
    let mut unlink_probe = Duration::ZERO;
    let unlink = timed("unlink", &mut |control| unlink_probe = unlink_and_watch(control, project));
    Whole { issues, dump, dump_bytes, restore, copy, migrate, del, unlink, unlink_probe }
}

/// UNLINK, then PING after PING until the other thread has freed it all; the longest wait of any of them.
fn unlink_and_watch(control: &mut Connection, project: &str) -> Duration {
    let mut longest = Duration::ZERO;
    let mut time = |control: &mut Connection, line: &str| {
        let start = Instant::now();
        control.ok(line);
        longest = longest.max(start.elapsed());
    };
    time(control, &format!("UNLINK {project}"));
    loop {
        for _ in 0..200 {
            time(control, "PING");
        }
        if observe::number(control, "memory", "lazyfree_pending_objects") == 0 {
            return longest;
        }
    }
}

/// A connection for payloads of hundreds of megabytes, without a parser's copies and without a deadline.
struct Raw {
    stream: TcpStream,
    replies: BufReader<TcpStream>,
}

impl Raw {
    fn connect(port: u16) -> Self {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).expect("the server listens");
        let replies = BufReader::new(stream.try_clone().expect("a second handle of the socket"));
        Self { stream, replies }
    }

    fn send(&mut self, words: &[&[u8]]) {
        let mut write = |bytes: &[u8]| self.stream.write_all(bytes).expect("the server reads");
        write(format!("*{}\r\n", words.len()).as_bytes());
        for word in words {
            write(format!("${}\r\n", word.len()).as_bytes());
            write(word);
            write(b"\r\n");
        }
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.replies.read_line(&mut line).expect("the server answers");
        assert!(!line.starts_with('-'), "an error reply: {line}");
        line.trim_end().to_owned()
    }

    fn dump(&mut self, key: &str) -> Vec<u8> {
        self.send(&[b"DUMP", key.as_bytes()]);
        let line = self.line();
        let length: usize = line[1..].parse().expect("a length");
        let mut payload = vec![0; length + 2];
        self.replies.read_exact(&mut payload).expect("the whole payload");
        payload.truncate(length);
        payload
    }

    fn restore(&mut self, key: &str, payload: &[u8]) {
        self.send(&[b"RESTORE", key.as_bytes(), b"0", payload]);
        assert_eq!(self.line(), "+OK");
    }

    fn migrate(&mut self, key: &str, port: u16) {
        let (port, patience) = (port.to_string(), "120000");
        self.send(&[b"MIGRATE", b"127.0.0.1", port.as_bytes(), key.as_bytes(), b"0", patience.as_bytes()]);
        assert_eq!(self.line(), "+OK");
    }

    fn copy(&mut self, from: &str, to: &str) {
        self.send(&[b"COPY", from.as_bytes(), to.as_bytes()]);
        assert_eq!(self.line(), ":1");
    }
}
