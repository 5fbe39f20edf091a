//! Poppo against `SET NX PX`, Lua and `MULTI`: the same work, in turns, in one run.

use std::time::Duration;

use poppo_tests::{Connection, Server};

use super::contenders::{self, Contender, Phase, Scripts, counted_as};
use super::load::{Load, Pace, Until};
use super::machine::Cores;
use super::observe;
use super::options::Scale;
use super::progress::Progress;
use super::stats;

const CONNECTIONS: usize = 50;
/// Operations sent at once, in both variants of a comparison.
pub(super) const PIPELINES: [u64; 2] = [1, 16];

/// What was measured: one contender, one kind of work, one way of sending.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct What {
    pub(super) contender: Contender,
    pub(super) phase: Phase,
    pub(super) pipeline: u64,
    pub(super) aof: bool,
}

/// The figures of each round.
#[derive(Debug, Clone, Default)]
pub(super) struct Series {
    /// Operations a second.
    pub(super) per_second: Vec<f64>,
    /// Time inside the server's command code per operation, in µs.
    pub(super) inside: Vec<f64>,
    /// Processor time of the server per operation, in µs: with reading, parsing, answering, writing.
    pub(super) processor: Vec<f64>,
    /// How much of the time the server was at work: less than all of it says that load or neighbours held it up.
    pub(super) busy: Vec<f64>,
    /// Bytes of AOF per operation.
    pub(super) aof: Vec<f64>,
}

/// All comparisons.
#[derive(Debug, Default)]
pub(super) struct Comparison(Vec<(What, Series)>);

impl Comparison {
    /// The figures; panics where this was not measured.
    pub(super) fn of(&self, what: What) -> &Series {
        let found = self.0.iter().find(|(there, _)| *there == what);
        found.map_or_else(|| panic!("{what:?} was not measured"), |(_, series)| series)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &(What, Series)> {
        self.0.iter()
    }

    /// Throughput of one contender in units of another's, round by round.
    pub(super) fn ratios(&self, of: What, to: Contender) -> Vec<f64> {
        let to = self.of(What { contender: to, ..of });
        stats::ratios(&self.of(of).per_second, &to.per_second)
    }

    fn series(&mut self, what: What) -> &mut Series {
        let at = self.0.iter().position(|(there, _)| *there == what).unwrap_or_else(|| {
            self.0.push((what, Series::default()));
            self.0.len() - 1
        });
        &mut self.0[at].1
    }
}

/// Runs all rounds. Each contender starts each round on an empty server.
pub(super) fn run(cores: Cores, scale: &Scale, progress: &mut Progress) -> Comparison {
    let mut comparison = Comparison::default();
    let memory = Server::builder().arg("hz", 10);
    let with_aof = memory.clone().arg("appendonly", "yes").arg("appendfsync", "everysec");
    let with_aof = with_aof.arg("auto-aof-rewrite-percentage", 0);
    for (aof, builder) in [(false, memory), (true, with_aof)] {
        let server = cores.start(builder);
        let mut bench = Bench::new(&server, aof, scale.slice);
        for round in 0..scale.rounds {
            for pipeline in PIPELINES {
                let persistence = if aof { ", AOF everysec" } else { "" };
                progress.phase(&format!(
                    "round {} of {}, pipelined by {pipeline}{persistence}",
                    round + 1,
                    scale.rounds
                ));
                let mut order: Vec<_> = Contender::ALL.into_iter().filter(|c| !aof || !c.fields).collect();
                let turns = round % order.len();
                order.rotate_left(turns);
                for contender in order {
                    bench.measure(contender, pipeline, &mut comparison);
                }
            }
        }
    }
    comparison
}

/// Ten seconds of checkouts pipelined by 16, from time to time on an empty server again.
pub(super) fn flood(cores: Cores, contender: Contender) {
    let server = cores.start(Server::builder());
    let mut bench = Bench::new(&server, false, Duration::from_secs(1));
    eprintln!(
        "checkouts by {}; the server's process id is {}",
        contender.name(),
        bench.control.info("server", "process_id")
    );
    for _ in 0..10 {
        bench.control.ok("FLUSHALL SYNC");
        let work = contenders::work(contender, Phase::Checkout, &bench.scripts);
        let measured = bench.load.run(1, Until::Elapsed(bench.slice), Pace { pipeline: 16, probe: false }, work);
        eprintln!("{:.0} a second", measured.per_second());
    }
}

struct Bench {
    control: Connection,
    load: Load,
    scripts: Scripts,
    aof: bool,
    slice: Duration,
}

impl Bench {
    fn new(server: &Server, aof: bool, slice: Duration) -> Self {
        let mut control = server.connect();
        let scripts = Scripts::load(&mut control);
        Self { load: Load::connect(server.port(), CONNECTIONS), control, scripts, aof, slice }
    }

    /// One contender's turn: as many checkouts as fit into the time; then, where it does more, beats and questions on
    /// what it holds, and everything checked in.
    fn measure(&mut self, contender: Contender, pipeline: u64, comparison: &mut Comparison) {
        self.control.ok("FLUSHALL SYNC");
        let phases: &[Phase] = if self.aof { &[Phase::Checkout] } else { contender.phases() };
        let mut held = 0;
        for phase in phases {
            if *phase == Phase::Orphans {
                contenders::make_orphans(&mut self.control, contender.by, contenders::PROJECT);
            }
            let until = match phase {
                Phase::Checkout => Until::Elapsed(self.slice),
                Phase::Heartbeat | Phase::Orphans => Until::Elapsed(self.slice / 2),
                Phase::Checkin => Until::Count(held),
            };
            let what = What { contender, phase: *phase, pipeline, aof: self.aof };
            let count = self.turn(what, until, comparison.series(what));
            if *phase == Phase::Checkout {
                held = count;
            }
        }
    }

    fn turn(&mut self, what: What, until: Until, series: &mut Series) -> u64 {
        let file = self.aof_size();
        observe::reset(&mut self.control);
        let processor = observe::processor_micros(&mut self.control);
        let work = contenders::work(what.contender, what.phase, &self.scripts);
        let measured = self.load.run(1, until, Pace { pipeline: what.pipeline, probe: false }, work);
        let count = measured.count as f64;
        let processor = observe::processor_micros(&mut self.control) - processor;
        let inside = observe::inside(&mut self.control, counted_as(what.contender.by, what.phase));
        series.per_second.push(measured.per_second());
        series.processor.push(processor / count);
        series.busy.push(processor / 1e6 / measured.elapsed.as_secs_f64());
        series.inside.push(inside.micros as f64 / count);
        if self.aof {
            series.aof.push((self.aof_size() - file) as f64 / count);
        }
        measured.count
    }

    fn aof_size(&mut self) -> u64 {
        if self.aof { observe::number(&mut self.control, "persistence", "aof_current_size") } else { 0 }
    }
}
