//! Cost against size: one project that grows to four million issues, and what is asked of it on the way.

use std::time::Duration;

use poppo_tests::{Connection, Server};

use crate::common::machine::Cores;
use crate::common::progress::Progress;
use crate::common::resp::Word::{Joined, Number, Text};
use crate::common::resp::command;
use crate::common::stats;

use super::contenders::{self, By};
use super::load::{Load, Measured, Pace, Until, Work};
use super::observe;
use super::options::Scale;
use super::whole::{self, Whole};

/// How many phases [`run`] announces, without those of [`whole`].
pub(super) const PHASES: usize = 9;

const CONNECTIONS: usize = 8;
const PIPELINE: u64 = 16;
/// Processes that share the issues of a large project.
const PROCESSES: u64 = 1_000;
/// Numbers between two issues while a project grows: room for scattered ones.
const STEP: u64 = 8;
/// Samples of each figure that is a median.
const WINDOWS: usize = 9;

const LARGE: &str = "acme/large";
const SMALL: &str = "acme/small";

/// Mean time inside one command, in µs, by how many issues there are.
pub(super) type Curve = Vec<(u64, f64)>;

/// One figure at two sizes, and their ratios window by window.
#[derive(Debug, Clone)]
pub(super) struct Pair {
    pub(super) large: f64,
    pub(super) small: f64,
    pub(super) ratios: Vec<f64>,
}

/// What [`run`] found.
#[derive(Debug)]
pub(super) struct Scaling {
    /// CHECKOUT of the next higher number, CHECKOUT of numbers all over the project, and SET NX PX of as many keys.
    pub(super) next: Curve,
    pub(super) scattered: Curve,
    pub(super) set: Curve,
    /// Bytes of used_memory per held issue, and with the event log filled.
    pub(super) bytes: f64,
    pub(super) bytes_with_events: f64,
    pub(super) orphans: Pair,
    pub(super) heartbeat: Pair,
    /// While the project grew: the longest command, and the longest that a client waited behind others' pipelines.
    pub(super) slowest: Duration,
    pub(super) probe: Duration,
    pub(super) whole: Whole,
}

/// Measures all of it on one server.
pub(super) fn run(cores: Cores, scale: &Scale, progress: &mut Progress) -> Scaling {
    let server =
        cores.start(Server::builder().arg("proto-max-bulk-len", "8gb").arg("client-query-buffer-limit", "8gb"));
    let mut bench = Bench { control: server.connect(), load: Load::connect(server.port(), CONNECTIONS) };
    let [first, second, third, million, most] = scale.sizes[..] else { panic!("five sizes") };

    progress.phase("SET NX PX against how many keys there are");
    let set = bench.set_curve(&scale.sizes);
    progress.phase("HEARTBEAT of 10,000 leases and of one");
    let heartbeat = bench.heartbeat();
    progress.phase(&format!("memory of {million} held issues with the event log filled"));
    let bytes_with_events = bench.memory_with_events(million);

    let (mut next, mut scattered) = (Curve::new(), Curve::new());
    for size in [first, second] {
        progress.phase(&format!("CHECKOUT at {size} issues"));
        let (a, b) = bench.small_projects(size);
        next.push((size, a));
        scattered.push((size, b));
    }

    let before = observe::memory(&mut bench.control);
    observe::watch_slow(&mut bench.control);
    let mut growing = Growing { filled: 0, probe: Duration::ZERO };
    let (mut bytes, mut orphans) = (f64::NAN, None);
    for (salt, size) in [third, million, most].into_iter().enumerate() {
        progress.phase(&format!("a project grows to {size} issues"));
        bench.grow(&mut growing, size);
        if size == million {
            bytes = bench.bytes_per_lease(before);
        }
        let (a, b) = bench.windows(&mut growing, size, salt as u64);
        next.push((size, a));
        scattered.push((size, b));
        if size == million {
            progress.phase(&format!("ORPHANS at 1,000 and at {million} leases"));
            orphans = Some(bench.orphans());
        }
    }
    let slowest = observe::slowest(&mut bench.control, "POPPO.CHECKOUT");
    let whole = whole::run(&server, LARGE, progress);
    let orphans = orphans.expect("measured on the way");
    Scaling { next, scattered, set, bytes, bytes_with_events, orphans, heartbeat, slowest, probe: growing.probe, whole }
}

struct Bench {
    control: Connection,
    load: Load,
}

/// How far the large project is.
struct Growing {
    filled: u64,
    probe: Duration,
}

/// Checkouts with all usual fields; `number` makes issue numbers of 0, 1, 2 …
fn checkouts<'a>(project: &'a str, number: impl Fn(u64) -> u64 + 'a) -> Work<'a> {
    let write = move |index, out: &mut Vec<u8>| {
        contenders::checkout_with_fields(out, project, number(index), index % PROCESSES);
    };
    Work { write: Box::new(write), replies: b":" }
}

/// The `index`-th issue of a project that grows.
const fn in_order(index: u64) -> u64 {
    (index + 1) * STEP
}

impl Bench {
    fn send(&mut self, first: u64, count: u64, work: Work<'_>) -> Measured {
        self.load.run(first, Until::Count(count), Pace { pipeline: PIPELINE, probe: true }, work)
    }

    /// The mean time inside one command while this is sent.
    fn inside(&mut self, name: &str, first: u64, count: u64, work: Work<'_>) -> f64 {
        observe::reset(&mut self.control);
        self.send(first, count, work);
        observe::micros_per_call(&mut self.control, name)
    }

    fn grow(&mut self, growing: &mut Growing, size: u64) {
        let measured = self.send(growing.filled, size - growing.filled, checkouts(LARGE, in_order));
        growing.probe = growing.probe.max(measured.probe);
        growing.filled = size;
    }

    /// Median time inside a CHECKOUT at about this size: of the next numbers, and of numbers all over.
    fn windows(&mut self, growing: &mut Growing, size: u64, salt: u64) -> (f64, f64) {
        let count = (size / 100).min(10_000);
        let (mut next, mut all_over) = (Vec::new(), Vec::new());
        for window in 0..WINDOWS as u64 {
            next.push(self.inside("POPPO.CHECKOUT", growing.filled, count, checkouts(LARGE, in_order)));
            growing.filled += count;
            let work = checkouts(LARGE, |index| in_order(stats::scattered(index, size)) + 1 + salt);
            all_over.push(self.inside("POPPO.CHECKOUT", window * count, count, work));
        }
        (stats::median(&next), stats::median(&all_over))
    }

    /// The same in projects that are too small for many samples each: so there are many of them.
    fn small_projects(&mut self, size: u64) -> (f64, f64) {
        let count = size / 10;
        let (mut next, mut all_over) = (Vec::new(), Vec::new());
        for _ in 0..(40_000 / size).clamp(WINDOWS as u64, 40) {
            self.control.ok(&format!("DEL {SMALL}"));
            self.send(0, size, checkouts(SMALL, in_order));
            next.push(self.inside("POPPO.CHECKOUT", size, count, checkouts(SMALL, in_order)));
            let work = checkouts(SMALL, |index| in_order(stats::scattered(index, size)) + 1);
            all_over.push(self.inside("POPPO.CHECKOUT", 0, count, work));
        }
        self.control.ok(&format!("DEL {SMALL}"));
        (stats::median(&next), stats::median(&all_over))
    }

    fn set_curve(&mut self, sizes: &[u64]) -> Curve {
        let set = || Work {
            write: Box::new(|n, out| {
                let words = [Joined("acme/widgets:lease:", n), Joined("worker-", n % PROCESSES)];
                command(out, &[Text("SET"), words[0], words[1], Text("NX"), Text("PX"), Text("1800000")]);
            }),
            replies: b"+",
        };
        let mut curve = Curve::new();
        for size in sizes {
            let count = (size / 100).clamp(50, 10_000);
            let mut samples = Vec::new();
            let mut filled = curve.last().map_or(0, |_| observe_keys(&mut self.control));
            self.send(filled, size - filled, set());
            filled = *size;
            for _ in 0..WINDOWS {
                samples.push(self.inside("set", filled, count, set()));
                filled += count;
            }
            curve.push((*size, stats::median(&samples)));
        }
        self.control.ok("FLUSHALL SYNC");
        curve
    }

    /// HEARTBEAT BRIEF of a process with very many leases, and of one with a single one, in turns.
    fn heartbeat(&mut self) -> Pair {
        const MANY: u64 = 10_000;
        let checkout = |n, out: &mut Vec<u8>| {
            let worker = if n == 0 { "one" } else { "many" };
            command(out, &[Text("POPPO.CHECKOUT"), Text(SMALL), Number(n + 1), Text(worker)]);
        };
        self.send(0, MANY + 1, Work { write: Box::new(checkout), replies: b":" });
        let beat = |worker: &'static str| Work {
            write: Box::new(move |_, out: &mut Vec<u8>| {
                command(out, &[Text("POPPO.HEARTBEAT"), Text(SMALL), Text(worker), Text("BRIEF")]);
            }),
            replies: b"*",
        };
        let pair = self.in_turns("POPPO.HEARTBEAT", 10_000, || beat("many"), || beat("one"));
        self.control.ok(&format!("DEL {SMALL}"));
        pair
    }

    /// ORPHANS with the same few answers in the large project and in one of a thousand leases, in turns.
    fn orphans(&mut self) -> Pair {
        self.send(0, 1_000, checkouts(SMALL, in_order));
        for project in [SMALL, LARGE] {
            contenders::make_orphans(&mut self.control, By::Poppo, project);
        }
        let ask = |project: &'static str| Work {
            write: Box::new(move |_, out: &mut Vec<u8>| {
                command(out, &[Text("POPPO.ORPHANS"), Text(project), Text("COUNT"), Number(100)]);
            }),
            replies: b"*",
        };
        let pair = self.in_turns("POPPO.ORPHANS", 4_000, || ask(LARGE), || ask(SMALL));
        self.control.ok(&format!("DEL {SMALL}"));
        pair
    }

    fn in_turns<'a>(
        &mut self,
        name: &str,
        count: u64,
        large: impl Fn() -> Work<'a>,
        small: impl Fn() -> Work<'a>,
    ) -> Pair {
        let (mut of_large, mut of_small) = (Vec::new(), Vec::new());
        for _ in 0..WINDOWS {
            of_large.push(self.inside(name, 0, count, large()));
            of_small.push(self.inside(name, 0, count, small()));
        }
        let ratios = stats::ratios(&of_large, &of_small);
        Pair { large: stats::median(&of_large), small: stats::median(&of_small), ratios }
    }

    fn bytes_per_lease(&mut self, before: u64) -> f64 {
        let leases = observe::number(&mut self.control, "poppo", "poppo_leases");
        (observe::memory(&mut self.control) - before) as f64 / leases as f64
    }

    fn memory_with_events(&mut self, size: u64) -> f64 {
        let before = observe::memory(&mut self.control);
        self.control.ok(&format!("POPPO.CONFIG {SMALL} SET events-kept {}", size.min(1_000_000)));
        self.send(0, size, checkouts(SMALL, in_order));
        let bytes = self.bytes_per_lease(before);
        self.control.ok("FLUSHALL SYNC");
        bytes
    }
}

/// How many keys there are.
fn observe_keys(control: &mut Connection) -> u64 {
    control.int("DBSIZE").unsigned_abs()
}
