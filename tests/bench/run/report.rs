//! What comes out: a table for people, a part of README.md, a JSON document, a picture.

use std::path::Path;
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use super::chart;
use super::compare::{Comparison, PIPELINES, Setup, What};
use super::contenders::{By, Contender, ORPHANS, Phase};
use super::options::{Options, Scale};
use super::scaling::Scaling;
use crate::common::figures::{Target, store, store_between, thousands};
use crate::common::stats::{median, percentile, range, ratios};

/// README.md's table stands between `<!-- bench -->` and `<!-- /bench -->`.
const MARK: &str = "bench";

const CHECKOUTS: &str = "Throughput of a checkout, relative to SET k v NX PX";
const CHECKOUTS_WITH_AOF: &str = "The same with AOF everysec";
const CHECKOUTS_IN_A_CLUSTER: &str = "The same in a cluster of three nodes, with every event published to all of them";
const OTHERS: &str = "Throughput of Poppo, relative to the same work on ordinary keys";
const INSIDE: &str = "Time inside the server per operation, pipelined by 16";
const AOF: &str = "AOF per operation";
const BY_SIZE: &str = "Against size";
const STALLS: &str = "Stalls";
const WHOLE: &str = "Whole projects";
const RECOVERY: &str = "From kill -9 of a worker to another's claim of its issue, on one host";

/// What others take by their own settings, in ms.
const OTHERS_RECOVERY: [(&str, f64, &str); 3] = [
    (
        "BullMQ: its check for stalled jobs",
        30_000.0,
        "stalledInterval, by default; the lock of 30 s has to run out first",
    ),
    ("PoppoBuilder: its check for orphans", 300_000.0, "every 5 minutes"),
    ("PoppoBuilder: its heartbeat", 1_800_000.0, "counts for 30 minutes"),
];

/// One line of the table.
#[derive(Debug)]
struct Row {
    section: &'static str,
    what: String,
    figure: f64,
    unit: &'static str,
    /// More to it: the range over the rounds, the figures that a ratio is of.
    note: String,
    target: Option<Target>,
}

/// Everything that was measured.
pub(super) struct Report {
    machine: Value,
    date: String,
    scale: Scale,
    comparison: Comparison,
    scaling: Scaling,
    /// In ms, one for each worker that was killed.
    recovery: Vec<f64>,
    rows: Vec<Row>,
}

/// The table of recovery by itself.
pub(super) fn recovery(times: &[f64]) -> String {
    aligned(&recovery_rows(times))
}

impl Report {
    pub(super) fn new(
        machine: Value,
        scale: Scale,
        comparison: Comparison,
        scaling: Scaling,
        recovery: Vec<f64>,
    ) -> Self {
        let date = humantime::format_rfc3339_seconds(SystemTime::now()).to_string();
        let mut report = Self { machine, date, scale, comparison, scaling, recovery, rows: Vec::new() };
        report.checkouts(Setup::Alone);
        report.others();
        report.checkouts(Setup::Aof);
        report.aof_bytes();
        report.checkouts(Setup::Cluster);
        report.by_size();
        report.stalls();
        report.wholes();
        report.rows.extend(recovery_rows(&report.recovery));
        report
    }

    /// The whole table, aligned, with what it was measured on.
    pub(super) fn table(&self) -> String {
        format!("{}\n{}", self.conditions(), aligned(&self.rows))
    }

    fn conditions(&self) -> String {
        let text = |field: &str| self.machine[field].as_str().unwrap_or("unknown").to_owned();
        let cores = &self.machine["cores"];
        format!("{}, {cores} cores, {}, {}", text("server"), text("cpu"), text("kernel"))
    }

    /// What matters most of the table, as Markdown.
    fn markdown(&self) -> String {
        let mut out = format!("{}; {}.\n\n", self.conditions(), self.date.get(..10).unwrap_or_default());
        out.push_str("| | figure | target | |\n| --- | ---: | ---: | --- |\n");
        let mut section = "";
        for row in self.rows.iter().filter(|row| row.is_headline()) {
            if row.section != section {
                section = row.section;
                out.push_str(&format!("| **{section}** | | | |\n"));
            }
            let cells = [row.what.clone(), row.shown(), row.target(), row.mark().to_owned()];
            out.push_str(&format!("| {} |\n", cells.map(|cell| cell.replace('|', "\\|")).join(" | ")));
        }
        out
    }

    /// Writes what the command line asks for.
    pub(super) fn write(&self, options: &Options) {
        if let Some(path) = &options.json {
            let path = path.replace("{date}", self.date.get(..10).unwrap_or_default());
            let text = serde_json::to_string_pretty(&self.json()).expect("a document");
            store(Path::new(&path), &(text + "\n"));
        }
        if let Some(path) = &options.svg {
            store(path, &chart::draw(&self.chart()));
        }
        if let Some(path) = &options.readme {
            store_between(path, MARK, &self.markdown());
        }
    }

    fn chart(&self) -> chart::Chart<'_> {
        chart::Chart {
            title: "Time inside the server per command, against how much there is",
            x: "issues held in one project (keys in the database for SET)",
            y: "µs",
            series: vec![
                ("POPPO.CHECKOUT, numbers all over", &self.scaling.scattered),
                ("POPPO.CHECKOUT, next number", &self.scaling.next),
                ("SET NX PX", &self.scaling.set),
            ],
        }
    }

    fn json(&self) -> Value {
        let rows = self.rows.iter().map(|row| {
            let (least, most) = match row.target {
                Some(Target::AtLeast(figure)) => (Some(figure), None),
                Some(Target::AtMost(figure)) => (None, Some(figure)),
                None => (None, None),
            };
            json!({
                "section": row.section, "what": row.what, "figure": row.figure, "unit": row.unit, "note": row.note,
                "at_least": least, "at_most": most, "met": row.target.map(|target| target.met(row.figure)),
            })
        });
        let rounds = self.comparison.iter().map(|(what, series)| {
            json!({
                "contender": what.contender.name(), "phase": format!("{:?}", what.phase).to_lowercase(),
                "pipeline": what.pipeline, "setup": what.setup.name(), "ops_per_second": series.per_second,
                "micros_inside_per_op": series.inside, "processor_micros_per_op": series.processor,
                "busy": series.busy,
                "aof_bytes_per_op": series.aof,
            })
        });
        let curve = |points: &[(u64, f64)]| {
            points.iter().map(|(size, micros)| json!({"issues": size, "micros": micros})).collect::<Vec<_>>()
        };
        json!({
            "date": self.date, "machine": self.machine, "rounds": self.scale.rounds,
            "slice_ms": self.scale.slice.as_millis() as u64,
            "rows": rows.collect::<Vec<_>>(), "comparisons": rounds.collect::<Vec<_>>(),
            "by_size": {
                "checkout_next": curve(&self.scaling.next), "checkout_scattered": curve(&self.scaling.scattered),
                "set": curve(&self.scaling.set),
            },
            "recovery_ms": self.recovery,
        })
    }
}

/// The rows below each other, with a line for each section.
fn aligned(rows: &[Row]) -> String {
    let figures: Vec<String> = rows.iter().map(Row::shown).collect();
    let targets: Vec<String> = rows.iter().map(Row::target).collect();
    let width = |texts: &[String]| texts.iter().map(|text| text.chars().count()).max().unwrap_or(0);
    let what = rows.iter().map(|row| row.what.chars().count()).max().unwrap_or(0);
    let (figure, target) = (width(&figures), width(&targets));
    let mut out = String::new();
    let mut section = "";
    for ((row, shown), wanted) in rows.iter().zip(&figures).zip(&targets) {
        if row.section != section {
            section = row.section;
            out.push_str(&format!("\n{section}\n"));
        }
        let line = format!("  {:<what$}  {shown:>figure$}  {wanted:<target$}  {} {}", row.what, row.mark(), row.note);
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}

fn recovery_rows(times: &[f64]) -> Vec<Row> {
    let kills = thousands(times.len() as u64);
    let (_, longest) = range(times);
    let row = |what: String, figure, note: &str, target| Row {
        section: RECOVERY,
        what,
        figure,
        unit: "ms",
        note: note.to_owned(),
        target,
    };
    let mut rows = vec![
        row(format!("median of {kills}"), median(times), "", None),
        row("99 of 100 are faster".to_owned(), percentile(times, 99), "", Some(Target::AtMost(100.0))),
        row("the slowest".to_owned(), longest, "", None),
    ];
    rows.extend(OTHERS_RECOVERY.map(|(what, figure, note)| row(what.to_owned(), figure, note, None)));
    rows
}

/// The rows.
impl Report {
    fn row(
        &mut self,
        section: &'static str,
        what: impl Into<String>,
        (figure, unit): (f64, &'static str),
        note: String,
        target: Option<Target>,
    ) {
        self.rows.push(Row { section, what: what.into(), figure, unit, note, target });
    }

    /// The throughput of one in units of another's.
    fn ratio(&mut self, section: &'static str, of: What, to: Contender, name: &str, target: Option<Target>) {
        let throughput = self.comparison.ratios(of, to);
        let to = What { contender: to, ..of };
        let figures = [of, to].map(|what| thousands(median(&self.comparison.of(what).per_second).round() as u64));
        let (least, most) = range(&throughput);
        let processor = ratios(&self.comparison.of(to).processor, &self.comparison.of(of).processor);
        let note = format!(
            "{least:.2} to {most:.2}; {} against {} a second; by processor time {:.2} ×; busy {:.0} and {:.0} %",
            figures[0],
            figures[1],
            median(&processor),
            median(&self.comparison.of(of).busy) * 100.0,
            median(&self.comparison.of(to).busy) * 100.0,
        );
        self.row(section, format!("{name}{}", way(of.pipeline)), (median(&throughput), "×"), note, target);
    }

    fn checkouts(&mut self, setup: Setup) {
        let section = match setup {
            Setup::Alone => CHECKOUTS,
            Setup::Aof => CHECKOUTS_WITH_AOF,
            Setup::Cluster => CHECKOUTS_IN_A_CLUSTER,
        };
        for contender in Contender::ALL.into_iter().filter(|c| c.by != By::Set && setup.has(*c)) {
            for pipeline in PIPELINES {
                let target = match (contender, pipeline) {
                    _ if setup != Setup::Alone => None,
                    (Contender::POPPO, 1) => Some(Target::AtLeast(0.95)),
                    (Contender::POPPO, _) => Some(Target::AtLeast(0.8)),
                    _ => None,
                };
                let of = What { contender, phase: Phase::Checkout, pipeline, setup };
                self.ratio(section, of, Contender::SET, contender.name(), target);
            }
        }
    }

    fn others(&mut self) {
        let asked = [
            (Phase::Checkout, "CHECKOUT"),
            (Phase::Checkin, "CHECKIN"),
            (Phase::Heartbeat, "HEARTBEAT BRIEF"),
            (Phase::Orphans, "ORPHANS, 10 answers"),
        ];
        assert_eq!(ORPHANS, 10);
        for (phase, name) in asked {
            for to in [Contender::LUA, Contender::MULTI] {
                if !to.phases().contains(&phase) {
                    continue;
                }
                for pipeline in PIPELINES {
                    let of = What { contender: Contender::POPPO, phase, pipeline, setup: Setup::Alone };
                    let target = match (phase, to, pipeline) {
                        (Phase::Checkout, Contender::LUA, 16) => Some(Target::AtLeast(5.0)),
                        _ => None,
                    };
                    self.ratio(OTHERS, of, to, &format!("{name} against {}", to.name()), target);
                }
            }
        }
        for contender in Contender::ALL {
            for phase in contender.phases() {
                let what = What { contender, phase: *phase, pipeline: 16, setup: Setup::Alone };
                let series = self.comparison.of(what);
                let (inside, processor) = (median(&series.inside), median(&series.processor));
                let note = format!("{processor:.2} µs of processor time with reading and answering");
                let name = format!("{}: {}", format!("{phase:?}").to_uppercase(), contender.name());
                self.row(INSIDE, name, (inside, "µs"), note, None);
            }
        }
    }

    fn aof_bytes(&mut self) {
        for contender in [Contender::POPPO, Contender::SET, Contender::LUA, Contender::MULTI] {
            let what = What { contender, phase: Phase::Checkout, pipeline: 16, setup: Setup::Aof };
            let bytes = median(&self.comparison.of(what).aof);
            let target = (contender == Contender::POPPO).then_some(Target::AtMost(150.0));
            let name = format!("checkout: {}", contender.name());
            self.row(AOF, name, (bytes, "bytes"), String::new(), target);
        }
    }

    fn by_size(&mut self) {
        let million = self.scale.sizes[3];
        let pairs = [
            ("HEARTBEAT BRIEF, 10,000 leases against one".to_owned(), self.scaling.heartbeat.clone(), 1.2),
            (
                format!("ORPHANS, 10 answers, {} leases against 1,000", thousands(million)),
                self.scaling.orphans.clone(),
                1.5,
            ),
        ];
        for (name, pair, most) in pairs {
            let (least, greatest) = range(&pair.ratios);
            let note = format!("{least:.2} to {greatest:.2}; {:.2} µs against {:.2} µs", pair.large, pair.small);
            self.row(BY_SIZE, name, (median(&pair.ratios), "×"), note, Some(Target::AtMost(most)));
        }
        for (size, micros) in self.scaling.scattered.clone() {
            let next = self.scaling.next.iter().find(|(at, _)| *at == size).map_or(f64::NAN, |(_, micros)| *micros);
            let note = format!("{next:.2} µs for the next number");
            self.row(BY_SIZE, format!("CHECKOUT at {} issues", thousands(size)), (micros, "µs"), note, None);
        }
        let memory = [
            (format!("memory per held issue, {} of them", thousands(million)), self.scaling.bytes, 240.0),
            ("the same with events-kept filled".to_owned(), self.scaling.bytes_with_events, 300.0),
        ];
        for (name, bytes, most) in memory {
            self.row(BY_SIZE, name, (bytes, "bytes"), String::new(), Some(Target::AtMost(most)));
        }
    }

    fn stalls(&mut self) {
        let most = thousands(self.scale.sizes[4]);
        let rows = [
            (format!("longest CHECKOUT while a project grows to {most}"), self.scaling.slowest),
            ("longest wait of a client meanwhile".to_owned(), self.scaling.probe),
            ("UNLINK of it".to_owned(), self.scaling.whole.unlink),
            ("longest wait of a client until it is freed".to_owned(), self.scaling.whole.unlink_probe),
        ];
        for (name, time) in rows {
            self.row(STALLS, name, (millis(time), "ms"), String::new(), Some(Target::AtMost(30.0)));
        }
    }

    fn wholes(&mut self) {
        let whole = self.scaling.whole;
        let issues = thousands(whole.issues);
        let bytes = format!("{} MB", whole.dump_bytes / 1_000_000);
        let rows = [
            ("DUMP", whole.dump, bytes),
            ("RESTORE", whole.restore, String::new()),
            ("COPY", whole.copy, String::new()),
            ("MIGRATE", whole.migrate, String::new()),
            ("DEL", whole.del, String::new()),
        ];
        for (name, time, note) in rows {
            self.row(WHOLE, format!("{name} of {issues} issues"), (millis(time), "ms"), note, None);
        }
    }
}

impl Row {
    /// Whether it belongs in a short table.
    fn is_headline(&self) -> bool {
        let detail = matches!(self.section, CHECKOUTS_WITH_AOF | INSIDE | AOF);
        self.target.is_some() || !detail
    }

    fn shown(&self) -> String {
        match self.unit {
            "×" => format!("{:.2} ×", self.figure),
            "µs" => format!("{:.2} µs", self.figure),
            // Only commands that take longer than that are noted.
            "ms" if self.figure == 0.0 => "below 1 ms".to_owned(),
            "ms" if self.figure < 100.0 => format!("{:.1} ms", self.figure),
            unit => format!("{} {unit}", thousands(self.figure.round() as u64)),
        }
    }

    fn target(&self) -> String {
        match self.target {
            None => String::new(),
            Some(Target::AtLeast(figure)) => format!("≥ {figure} {}", self.unit),
            Some(Target::AtMost(figure)) => format!("≤ {figure} {}", self.unit),
        }
    }

    fn mark(&self) -> &'static str {
        match self.target {
            None => " ",
            Some(target) if target.met(self.figure) => "✓",
            Some(_) => "✗",
        }
    }
}

fn way(pipeline: u64) -> String {
    if pipeline == 1 { String::new() } else { format!(", pipelined by {pipeline}") }
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
