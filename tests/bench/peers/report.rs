//! What comes out: tables for people, a part of a document, a JSON document, a picture.

use std::path::Path;
use std::time::SystemTime;

use serde_json::{Value, json};

use crate::common::figures::{Target, store, store_between, thousands};
use crate::common::stats::{median, percentile};

use super::bars::{self, Bars, Panel};
use super::contender::{Contender, Disk};
use super::options::{Options, Scale};
use super::queue::Turn;
use super::targets::{self, Row};
use super::throughput::{Throughput, WORKERS, What, counted};
use super::wakeup::{Pair, Wakeups};

/// The table stands between `<!-- bench-peers -->` and `<!-- /bench-peers -->`.
const MARK: &str = "bench-peers";

/// Everything that was measured.
pub(super) struct Report {
    machine: Value,
    date: String,
    scale: Scale,
    throughput: Throughput,
    wakeups: Wakeups,
    rows: Vec<Row>,
}

impl Report {
    pub(super) fn new(
        machine: Value,
        scale: Scale,
        throughput: Throughput,
        wakeups: Wakeups,
        bytes: Option<f64>,
    ) -> Self {
        let date = humantime::format_rfc3339_seconds(SystemTime::now()).to_string();
        let rows = targets::rows(&throughput, &wakeups, bytes.map(|bytes| (scale.tasks, bytes)));
        Self { machine, date, scale, throughput, wakeups, rows }
    }

    /// All tables, aligned, with what they were measured on.
    pub(super) fn table(&self) -> String {
        let mut out = format!("{}\n", self.conditions());
        for disk in Disk::ALL {
            out.push_str(&format!("\nCycles of claim and finish a second, {}", disk.name()));
            out.push_str("; processor time of server and load in % of a core\n");
            out.push_str(&format!("  {:<22}{:>5}", "", "trips"));
            WORKERS.iter().for_each(|workers| out.push_str(&format!("{:>24}", counted(*workers))));
            out.push_str(&format!("{:>22}\n", "server µs a cycle"));
            for contender in self.present() {
                out.push_str(&format!("  {:<22}{:>5}", contender.name(), contender.trips()));
                for workers in WORKERS {
                    let what = What { contender, workers, disk };
                    let speed = self.throughput.per_second(what).map_or(0, |speed| speed.round() as u64);
                    let busy = format!("{} {:>7}", thousands(speed), self.throughput.shares(what));
                    out.push_str(&format!("{busy:>24}"));
                }
                out.push_str(&format!("{:>22.1}\n", self.server_micros(contender, disk)));
            }
        }
        for (contender, why) in &self.throughput.skipped {
            out.push_str(&format!("\n  {} was left out: {why}", contender.name()));
        }
        self.targets_as_text(&mut out);
        out
    }

    fn targets_as_text(&self, out: &mut String) {
        let width = |texts: Vec<String>| texts.iter().map(|text| text.chars().count()).max().unwrap_or(0);
        let what = width(self.rows.iter().map(|row| row.what.clone()).collect());
        let figure = width(self.rows.iter().map(Row::shown).collect());
        let target = width(self.rows.iter().map(Row::target).collect());
        let mut section = "";
        for row in &self.rows {
            if row.section != section {
                section = row.section;
                out.push_str(&format!("\n{section}\n"));
            }
            let (shown, wanted, mark) = (row.shown(), row.target(), row.mark());
            let line = format!("  {:<what$}  {shown:>figure$}  {wanted:<target$}  {mark} {}", row.what, row.note);
            out.push_str(line.trim_end());
            out.push('\n');
        }
    }

    /// The same as Markdown.
    fn markdown(&self) -> String {
        let mut out = format!("{}; {}.\n", self.conditions(), self.date.get(..10).unwrap_or_default());
        for disk in Disk::ALL {
            out.push_str(&format!("\n**Cycles of claim and finish a second, {}.** ", disk.name()));
            out.push_str("In parentheses: how busy the cores of server and load were, in %.\n\n");
            let heads = WORKERS.map(counted).join(" | ");
            out.push_str(&format!("| | round trips | {heads} | server time a cycle |\n"));
            out.push_str("| --- | ---: | ---: | ---: | ---: | ---: |\n");
            for contender in self.present() {
                let cells = WORKERS.map(|workers| {
                    let what = What { contender, workers, disk };
                    let speed = self.throughput.per_second(what).map_or(0, |speed| speed.round() as u64);
                    format!("{} ({})", thousands(speed), self.throughput.shares(what))
                });
                let micros = self.server_micros(contender, disk);
                let (name, trips, cells) = (contender.name(), contender.trips(), cells.join(" | "));
                out.push_str(&format!("| {name} | {trips} | {cells} | {micros:.1} µs |\n"));
            }
        }
        for (contender, why) in &self.throughput.skipped {
            out.push_str(&format!("\n{} was left out: {why}.\n", contender.name()));
        }
        out.push_str("\n| | figure | target | |\n| --- | ---: | ---: | --- |\n");
        let mut section = "";
        for row in &self.rows {
            if row.section != section {
                section = row.section;
                out.push_str(&format!("| **{section}** | | | |\n"));
            }
            let cells = [row.what.clone(), row.shown(), row.target(), row.mark().to_owned()];
            out.push_str(&format!("| {} |\n", cells.join(" | ")));
        }
        out
    }

    fn conditions(&self) -> String {
        let text = |field: &str| self.machine[field].as_str().unwrap_or("unknown").to_owned();
        let mut versions: Vec<&str> = self.throughput.versions.iter().map(|(_, version)| version.as_str()).collect();
        versions.retain(|version| !version.is_empty());
        versions.dedup();
        let (cores, cpu, kernel) = (&self.machine["cores"], text("cpu"), text("kernel"));
        format!("{} on {}; {cores} cores, {cpu}, {kernel}", versions.join(", "), text("server"))
    }

    /// Who took part.
    fn present(&self) -> impl Iterator<Item = Contender> {
        Contender::ALL.into_iter().filter(|contender| {
            let what = |disk| What { contender: *contender, workers: WORKERS[0], disk };
            Disk::ALL.into_iter().all(|disk| !self.throughput.of(what(disk)).is_empty())
        })
    }

    /// Processor time of the server per cycle, with the most workers, in µs: what the load has no part in.
    fn server_micros(&self, contender: Contender, disk: Disk) -> f64 {
        let what = What { contender, workers: WORKERS[WORKERS.len() - 1], disk };
        let micros = |turn: &Turn| turn.server.as_secs_f64() * 1e6 / turn.cycles as f64;
        self.throughput.median(what, micros).unwrap_or(f64::NAN)
    }

    /// Writes what the command line asks for.
    pub(super) fn write(&self, options: &Options) {
        if let Some(path) = &options.json {
            let path = path.replace("{date}", self.date.get(..10).unwrap_or_default());
            let text = serde_json::to_string_pretty(&self.json()).expect("a document");
            store(Path::new(&path), &(text + "\n"));
        }
        if let Some(path) = &options.svg {
            store(path, &bars::draw(&self.bars()));
        }
        if let Some(path) = &options.readme {
            // The picture lies beside the document.
            let picture =
                options.svg.as_ref().and_then(|svg| svg.file_name()).map(|name| {
                    format!("![Tasks claimed and finished a second by each queue]({})\n\n", name.display())
                });
            store_between(path, MARK, &(picture.unwrap_or_default() + &self.markdown()));
        }
    }

    fn bars(&self) -> Bars<'_> {
        let present: Vec<Contender> = self.present().collect();
        let panels = Disk::ALL.map(|disk| {
            let group = |workers| {
                let speed =
                    |contender: &Contender| self.throughput.per_second(What { contender: *contender, workers, disk });
                (counted(workers), present.iter().map(speed).collect())
            };
            Panel { title: disk.name().to_owned(), groups: WORKERS.map(group).into() }
        });
        Bars {
            title: "Tasks claimed and finished a second",
            series: present.iter().map(|contender| contender.name()).collect(),
            panels: panels.into(),
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
        let all = Disk::ALL.into_iter().flat_map(|disk| {
            let of = move |contender| WORKERS.map(move |workers| What { contender, workers, disk });
            self.present().flat_map(of).collect::<Vec<_>>()
        });
        let turns = all.map(|what| {
            let each = |figure: fn(&Turn) -> f64| self.throughput.of(what).iter().map(figure).collect::<Vec<_>>();
            json!({
                "contender": what.contender.name(), "workers": what.workers, "disk": what.disk.name(),
                "round_trips": what.contender.trips(), "cycles_per_second": each(Turn::per_second),
                "cycles": each(|turn| turn.cycles as f64), "seconds": each(|turn| turn.elapsed.as_secs_f64()),
                "server_seconds": each(|turn| turn.server.as_secs_f64()),
                "load_seconds": each(|turn| turn.load.as_secs_f64()),
            })
        });
        let named = |list: &[(Contender, String)]| {
            let named = list.iter().map(|(contender, text)| (contender.name().to_owned(), Value::from(text.as_str())));
            Value::Object(named.collect())
        };
        let micros =
            |values: &[f64]| json!({"count": values.len(), "median": median(values), "p99": percentile(values, 99)});
        let pair = |pair: &Pair| json!({"claim": micros(&pair.claim), "blpop": micros(&pair.list)});
        json!({
            "date": self.date, "machine": self.machine, "versions": named(&self.throughput.versions),
            "left_out": named(&self.throughput.skipped), "rounds": self.scale.rounds,
            "window_ms": self.scale.window.time.as_millis() as u64, "rows": rows.collect::<Vec<_>>(),
            "turns": turns.collect::<Vec<_>>(),
            "wakeup_micros": {
                "one": pair(&self.wakeups.one), "many": pair(&self.wakeups.many), "waiters": self.wakeups.waiters,
                "late": self.wakeups.late,
            },
        })
    }
}
