//! Poppo against `SET NX PX`, Lua and `MULTI`: the same work, in turns, in one run.

use std::time::Duration;

use poppo_tests::{Connection, Server, wait_until};

use crate::common::machine::Cores;
use crate::common::progress::Progress;
use crate::common::stats;

use super::contenders::{self, Contender, Phase, Scripts, counted_as};
use super::load::{Load, Pace, Until};
use super::observe;
use super::options::Scale;

const CONNECTIONS: usize = 50;
/// Operations sent at once, in both variants of a comparison.
pub(super) const PIPELINES: [u64; 2] = [1, 16];

/// What was measured: one contender, one kind of work, one way of sending.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct What {
    pub(super) contender: Contender,
    pub(super) phase: Phase,
    pub(super) pipeline: u64,
    pub(super) setup: Setup,
}

/// How the server is set up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Setup {
    /// By itself, nothing written to disk.
    Alone,
    /// By itself, with an AOF that is synced every second.
    Aof,
    /// The one of three nodes of a cluster that has all slots; what is published reaches the two others.
    Cluster,
}

impl Setup {
    pub(super) const ALL: [Self; 3] = [Self::Alone, Self::Aof, Self::Cluster];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Alone => "alone",
            Self::Aof => "AOF everysec",
            Self::Cluster => "three nodes",
        }
    }

    /// Who is measured with it.
    pub(super) fn has(self, contender: Contender) -> bool {
        match self {
            Self::Alone => true,
            Self::Aof => !contender.fields,
            Self::Cluster => contender == Contender::POPPO || contender == Contender::SET,
        }
    }

    fn phases(self, contender: Contender) -> &'static [Phase] {
        if self == Self::Alone { contender.phases() } else { &[Phase::Checkout] }
    }

    /// The server to measure comes first.
    fn start(self, cores: Cores) -> Vec<Server> {
        let alone = Server::builder().arg("hz", 10);
        match self {
            Self::Alone => vec![cores.start(alone)],
            Self::Aof => {
                let aof = alone.arg("appendonly", "yes").arg("appendfsync", "everysec");
                vec![cores.start(aof.arg("auto-aof-rewrite-percentage", 0))]
            }
            Self::Cluster => {
                let node = alone.arg("cluster-enabled", "yes");
                // The other two listen only: beside the load, which leaves them room.
                let nodes = vec![cores.start(node.clone()), node.clone().start(), node.start()];
                join(&nodes);
                nodes
            }
        }
    }
}

/// Makes a cluster of the nodes, in which the first has all slots.
fn join(nodes: &[Server]) {
    let mut first = nodes[0].connect();
    first.ok("CLUSTER ADDSLOTSRANGE 0 16383");
    for node in &nodes[1..] {
        first.ok(&format!("CLUSTER MEET 127.0.0.1 {}", node.port()));
    }
    for node in nodes {
        let mut node = node.connect();
        wait_until("the nodes know each other", || {
            let info = node.text("CLUSTER INFO");
            info.contains("cluster_state:ok") && info.contains(&format!("cluster_known_nodes:{}", nodes.len()))
        });
    }
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
    for setup in Setup::ALL {
        let servers = setup.start(cores);
        let mut bench = Bench::new(&servers[0], setup, scale.slice);
        for round in 0..scale.rounds {
            for pipeline in PIPELINES {
                progress.phase(&format!(
                    "round {} of {}, pipelined by {pipeline}, {}",
                    round + 1,
                    scale.rounds,
                    setup.name()
                ));
                let mut order: Vec<_> = Contender::ALL.into_iter().filter(|c| setup.has(*c)).collect();
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
    let mut bench = Bench::new(&server, Setup::Alone, Duration::from_secs(1));
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
    setup: Setup,
    slice: Duration,
}

impl Bench {
    fn new(server: &Server, setup: Setup, slice: Duration) -> Self {
        let mut control = server.connect();
        let scripts = Scripts::load(&mut control);
        Self { load: Load::connect(server.port(), CONNECTIONS), control, scripts, setup, slice }
    }

    /// One contender's turn: as many checkouts as fit into the time; then, where it does more, beats and questions on
    /// what it holds, and everything checked in.
    fn measure(&mut self, contender: Contender, pipeline: u64, comparison: &mut Comparison) {
        self.control.ok("FLUSHALL SYNC");
        let mut held = 0;
        for phase in self.setup.phases(contender) {
            if *phase == Phase::Orphans {
                contenders::make_orphans(&mut self.control, contender.by, contenders::PROJECT);
            }
            let until = match phase {
                Phase::Checkout => Until::Elapsed(self.slice),
                Phase::Heartbeat | Phase::Orphans => Until::Elapsed(self.slice / 2),
                Phase::Checkin => Until::Count(held),
            };
            let what = What { contender, phase: *phase, pipeline, setup: self.setup };
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
        if self.setup == Setup::Aof {
            series.aof.push((self.aof_size() - file) as f64 / count);
        }
        measured.count
    }

    fn aof_size(&mut self) -> u64 {
        if self.setup == Setup::Aof { observe::number(&mut self.control, "persistence", "aof_current_size") } else { 0 }
    }
}
