//! The figures that have targets.

use crate::common::figures::{Target, thousands};
use crate::common::stats::{median, percentile, range};

use super::contender::{Contender, Disk};
use super::throughput::{Throughput, What, counted};
use super::wakeup::Wakeups;

const EQUAL_TRIPS: &str = "Cycles a second, against the best peer with as many round trips";
const OVERALL: &str = "Cycles a second with NEXT, against the best peer of all";
const WAKE_UP: &str = "Wake-up of a blocked CLAIM";
const MEMORY: &str = "Memory";

/// A figure that has a target.
pub(super) struct Row {
    pub(super) section: &'static str,
    pub(super) what: String,
    pub(super) figure: f64,
    pub(super) unit: &'static str,
    /// The figures that a ratio is of.
    pub(super) note: String,
    pub(super) target: Option<Target>,
}

/// All rows: of the turns, of waking up, and of the memory of so many tasks, in bytes each.
pub(super) fn rows(throughput: &Throughput, wakeups: &Wakeups, memory: Option<(u64, f64)>) -> Vec<Row> {
    let mut rows = Rows(Vec::new());
    rows.against_peers(throughput);
    rows.waking_up(wakeups);
    if let Some((tasks, bytes)) = memory {
        let what = format!("a waiting task without payload, {} of them", thousands(tasks));
        rows.add(MEMORY, what, (bytes, "bytes"), String::new(), Some(Target::AtMost(300.0)));
    }
    rows.0
}

struct Rows(Vec<Row>);

impl Rows {
    fn add(
        &mut self,
        section: &'static str,
        what: impl Into<String>,
        (figure, unit): (f64, &'static str),
        note: String,
        target: Option<Target>,
    ) {
        self.0.push(Row { section, what: what.into(), figure, unit, note, target });
    }

    fn against_peers(&mut self, throughput: &Throughput) {
        for disk in Disk::ALL {
            for workers in [8, 50] {
                for poppo in Contender::POPPOS {
                    let of = What { contender: poppo, workers, disk };
                    self.ratio(throughput, EQUAL_TRIPS, of, |peer| peer.trips() == poppo.trips(), 1.0);
                }
            }
        }
        for disk in Disk::ALL {
            for workers in [8, 50] {
                for contender in [Contender::PoppoNext, Contender::PoppoSilentNext] {
                    self.ratio(throughput, OVERALL, What { contender, workers, disk }, |_| true, 1.5);
                }
            }
        }
    }

    /// Against the quickest of some peers.
    fn ratio(
        &mut self,
        throughput: &Throughput,
        section: &'static str,
        of: What,
        among: impl Fn(Contender) -> bool,
        target: f64,
    ) {
        let Some(speed) = throughput.per_second(of) else { return };
        let peers = Contender::ALL.into_iter().filter(|peer| !peer.is_poppo() && among(*peer));
        let speeds = peers.filter_map(|peer| Some((peer, throughput.per_second(What { contender: peer, ..of })?)));
        let Some((best, best_speed)) = speeds.max_by(|a, b| a.1.total_cmp(&b.1)) else { return };
        let ratios = throughput.ratios(of, best);
        let (least, most) = range(&ratios);
        let note = format!(
            "{least:.2} to {most:.2}; {} against {} a second; server/load {} and {} %",
            thousands(speed.round() as u64),
            thousands(best_speed.round() as u64),
            throughput.shares(of),
            throughput.shares(What { contender: best, ..of }),
        );
        let what =
            format!("{} against {}, {}, {}", of.contender.name(), best.name(), counted(of.workers), of.disk.name());
        self.add(section, what, (median(&ratios), "×"), note, Some(Target::AtLeast(target)));
    }

    fn waking_up(&mut self, wakeups: &Wakeups) {
        if wakeups.one.claim.is_empty() {
            return;
        }
        let many = thousands(wakeups.waiters as u64);
        let medians = [&wakeups.one, &wakeups.many].map(|pair| (median(&pair.claim), median(&pair.list)));
        let tails = [&wakeups.one, &wakeups.many].map(|pair| (percentile(&pair.claim, 99), percentile(&pair.list, 99)));
        let against = |(claim, list): (f64, f64)| ((claim / list, "×"), format!("{claim:.0} µs against {list:.0} µs"));
        let [one, more] = [against(medians[0]), against(medians[1])];
        let [one_tail, more_tail] = [against(tails[0]), against(tails[1])];
        self.add(WAKE_UP, "median, against BLPOP, one waiter", one.0, one.1, Some(Target::AtMost(1.5)));
        self.add(
            WAKE_UP,
            "99th percentile, against BLPOP, one waiter",
            one_tail.0,
            one_tail.1,
            Some(Target::AtMost(2.0)),
        );
        self.add(WAKE_UP, format!("median, against BLPOP, {many} waiters"), more.0, more.1, None);
        self.add(WAKE_UP, format!("99th percentile, against BLPOP, {many} waiters"), more_tail.0, more_tail.1, None);
        let (growth, note) = against((medians[1].0, medians[0].0));
        self.add(WAKE_UP, format!("median, {many} waiters against one"), growth, note, Some(Target::AtMost(2.0)));
        let late: Vec<f64> = wakeups.late.iter().map(|micros| micros / 1e3).collect();
        let (_, latest) = range(&late);
        let note = format!("median {:.1} ms of {} tasks", median(&late), late.len());
        self.add(
            WAKE_UP,
            "latest of tasks with DELAY, after falling due",
            (latest, "ms"),
            note,
            Some(Target::AtMost(50.0)),
        );
    }
}

impl Row {
    pub(super) fn shown(&self) -> String {
        match self.unit {
            "×" => format!("{:.2} ×", self.figure),
            "ms" => format!("{:.1} ms", self.figure),
            unit => format!("{} {unit}", thousands(self.figure.round() as u64)),
        }
    }

    pub(super) fn target(&self) -> String {
        match self.target {
            None => String::new(),
            Some(Target::AtLeast(figure)) => format!("≥ {figure} {}", self.unit),
            Some(Target::AtMost(figure)) => format!("≤ {figure} {}", self.unit),
        }
    }

    pub(super) fn mark(&self) -> &'static str {
        match self.target {
            None => " ",
            Some(target) if target.met(self.figure) => "✓",
            Some(_) => "✗",
        }
    }
}
