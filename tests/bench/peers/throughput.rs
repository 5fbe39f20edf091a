//! The turns: every contender, every number of workers, with and without a disk, round by round.

use std::collections::HashMap;
use std::time::Duration;

use crate::common::machine::Cores;
use crate::common::progress::Progress;
use crate::common::stats;

use super::contender::{Contender, Disk};
use super::options::{Options, Scale};
use super::queue::{Queue, Turn};

/// How many workers there are at once.
pub(super) const WORKERS: [usize; 3] = [1, 8, 50];

/// What was measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct What {
    pub(super) contender: Contender,
    pub(super) workers: usize,
    pub(super) disk: Disk,
}

/// All turns.
#[derive(Debug, Default)]
pub(super) struct Throughput {
    turns: HashMap<What, Vec<Turn>>,
    /// Names and versions, as the queues say them.
    pub(super) versions: Vec<(Contender, String)>,
    /// Who could not take part, and why.
    pub(super) skipped: Vec<(Contender, String)>,
}

impl Throughput {
    /// The turns, one of each round; none where the contender could not take part.
    pub(super) fn of(&self, what: What) -> &[Turn] {
        self.turns.get(&what).map_or(&[], Vec::as_slice)
    }

    /// The median of a figure of the turns; none where the contender could not take part.
    pub(super) fn median(&self, what: What, figure: impl Fn(&Turn) -> f64) -> Option<f64> {
        let figures: Vec<f64> = self.of(what).iter().map(figure).collect();
        (!figures.is_empty()).then(|| stats::median(&figures))
    }

    /// Cycles a second.
    pub(super) fn per_second(&self, what: What) -> Option<f64> {
        self.median(what, Turn::per_second)
    }

    /// How busy server and load were, in %.
    pub(super) fn shares(&self, what: What) -> String {
        let share = |used: fn(&Turn) -> Duration| {
            let share = |turn: &Turn| used(turn).as_secs_f64() / turn.elapsed.as_secs_f64() * 100.0;
            self.median(what, share).unwrap_or(f64::NAN)
        };
        format!("{:.0}/{:.0}", share(|turn| turn.server), share(|turn| turn.load))
    }

    /// Cycles a second of one in units of another's, round by round.
    pub(super) fn ratios(&self, of: What, to: Contender) -> Vec<f64> {
        let figures = |what| self.of(what).iter().map(Turn::per_second).collect::<Vec<_>>();
        stats::ratios(&figures(of), &figures(What { contender: to, ..of }))
    }

    /// Says so, once.
    fn skip(&mut self, contender: Contender, why: String) {
        if self.skipped.iter().all(|(there, _)| *there != contender) {
            eprintln!("\npoppo-bench: {} is left out: {why}", contender.name());
            self.skipped.push((contender, why));
        }
    }
}

/// Workers, in words.
pub(super) fn counted(workers: usize) -> String {
    if workers == 1 { "1 worker".to_owned() } else { format!("{workers} workers") }
}

/// Phases of the run.
pub(super) fn phases(scale: &Scale) -> usize {
    Disk::ALL.len() * (1 + scale.rounds * WORKERS.len())
}

/// Runs all rounds.
pub(super) fn run(cores: Cores, scale: &Scale, options: &Options, progress: &mut Progress) -> Throughput {
    let mut throughput = Throughput::default();
    for disk in Disk::ALL {
        progress.phase(&format!("starting everybody, {}", disk.name()));
        let mut field = Field::start(cores, disk, options, &mut throughput);
        field.warm_up(scale);
        for round in 0..scale.rounds {
            for workers in WORKERS {
                progress.phase(&format!(
                    "round {} of {}, workers: {workers}, {}",
                    round + 1,
                    scale.rounds,
                    disk.name()
                ));
                field.order(round + workers);
                for contender in field.contenders() {
                    let turn = field.turn(contender, workers, scale);
                    throughput.turns.entry(What { contender, workers, disk }).or_default().push(turn);
                }
            }
        }
    }
    throughput
}

/// All queues that could be started.
struct Field {
    queues: Vec<(Contender, Box<dyn Queue>)>,
    /// The most that each has done so far in a second, by number of workers: how many tasks it will need.
    speeds: HashMap<(Contender, usize), f64>,
}

impl Field {
    fn start(cores: Cores, disk: Disk, options: &Options, throughput: &mut Throughput) -> Self {
        let mut queues = Vec::new();
        for contender in Contender::ALL {
            match contender.start(cores, disk, options) {
                Ok(mut queue) => {
                    throughput.versions.retain(|(there, _)| *there != contender);
                    throughput.versions.push((contender, queue.version()));
                    queues.push((contender, queue));
                }
                Err(why) => throughput.skip(contender, why),
            }
        }
        Self { queues, speeds: HashMap::new() }
    }

    /// A turn each that does not count: code gets compiled, files get their size, and their speeds become known.
    fn warm_up(&mut self, scale: &Scale) {
        for contender in self.contenders() {
            self.turn(contender, WORKERS[1], scale);
        }
    }

    fn contenders(&self) -> Vec<Contender> {
        self.queues.iter().map(|(contender, _)| *contender).collect()
    }

    /// Each round begins with another one.
    fn order(&mut self, first: usize) {
        if !self.queues.is_empty() {
            let count = self.queues.len();
            self.queues.sort_by_key(|(contender, _)| *contender as usize);
            self.queues.rotate_left(first % count);
        }
    }

    fn turn(&mut self, contender: Contender, workers: usize, scale: &Scale) -> Turn {
        /// As many as everybody gets: a machine that was held up a moment ago may be quick now.
        const LEAST: f64 = 30_000.0;
        /// Nobody should run out of tasks.
        const RESERVE: f64 = 1.5;
        let (_, queue) = self.queues.iter_mut().find(|(there, _)| *there == contender).expect("it was started");
        // What is not known is as quick as the quickest so far.
        let others = self.speeds.iter().filter(|((there, _), _)| *there == contender).map(|(_, speed)| *speed);
        let most = others.fold(LEAST, f64::max);
        let speed = self.speeds.entry((contender, workers)).or_insert(most);
        loop {
            let tasks = (*speed * RESERVE * scale.window.total().as_secs_f64()) as u64;
            queue.fill(tasks);
            match queue.turn(workers, scale.window, tasks) {
                Some(turn) => {
                    *speed = speed.max(turn.per_second());
                    return turn;
                }
                None => *speed *= 2.0,
            }
        }
    }
}
