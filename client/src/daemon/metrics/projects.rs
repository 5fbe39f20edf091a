//! What the projects and their server count, asked for whenever somebody looks.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use poppo::{Client, Durations, Project, Spool, Stats};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Unit;
use tokio::time::timeout;

/// For how long a server is given time. Prometheus itself waits for 10 s unless it is told otherwise.
const PATIENCE: Duration = Duration::from_secs(3);

/// The projects that are looked at, and what was seen last.
#[derive(Debug, Clone)]
pub(crate) struct Projects {
    client: Client,
    projects: Vec<Project>,
    seen: Arc<Mutex<Seen>>,
}

/// What was seen.
#[derive(Debug, Clone, Default)]
struct Seen {
    /// Whether the server answered.
    is_up: bool,
    stats: BTreeMap<String, Stats>,
    refusals: BTreeMap<String, u64>,
    spooled: Option<u64>,
}

/// Labels and a value.
type Row = (Vec<(&'static str, String)>, i64);

impl Projects {
    pub(crate) fn new(client: Client, projects: Vec<Project>) -> Self {
        Self { client, projects, seen: Arc::default() }
    }

    /// Whether the server answers; if not, why.
    pub(crate) async fn ask(&self) -> Result<(), String> {
        match timeout(PATIENCE, self.client.ping()).await {
            Ok(answer) => answer.map_err(|error| error.to_string()),
            Err(_) => Err(format!("the server did not answer within {} s", PATIENCE.as_secs())),
        }
    }

    /// Looks again. What a server that is away counts is then missing, rather than old.
    pub(crate) async fn refresh(&self) {
        let asked = async {
            let info = self.client.info("poppo").await?;
            let mut stats = BTreeMap::new();
            for project in &self.projects {
                if let Some(counts) = project.stats().await? {
                    stats.insert(project.key().to_owned(), counts);
                }
            }
            Ok::<_, poppo::Error>((info, stats))
        };
        let mut seen = Seen::default();
        if let Ok(Ok((info, stats))) = timeout(PATIENCE, asked).await {
            let refusals = info.iter().filter_map(|(name, count)| {
                Some((name.strip_prefix("poppo_refused_")?.to_ascii_uppercase(), count.parse().ok()?))
            });
            seen = Seen { is_up: true, stats, refusals: refusals.collect(), spooled: None };
        }
        seen.spooled = Spool::standard().and_then(|spool| spool.list().ok()).map(|(waiting, _)| waiting.len() as u64);
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = seen;
    }
}

impl Collector for Projects {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Page { encoder, seen }.whole()
    }
}

/// All of it as text.
struct Page<'a> {
    encoder: DescriptorEncoder<'a>,
    seen: Seen,
}

impl Page<'_> {
    fn whole(mut self) -> fmt::Result {
        let refusals = self.seen.refusals.iter().map(|(code, count)| (vec![("code", code.clone())], signed(*count)));
        let refusals: Vec<Row> = refusals.collect();
        self.gauge("server_up", "Whether the Redis server answers", vec![(vec![], i64::from(self.seen.is_up))])?;
        self.counter(
            "refusals",
            "Commands that the server refused since it was started, by the code of the error",
            refusals,
        )?;
        if let Some(spooled) = self.seen.spooled {
            let help = "Check-ins that wait on this host's disk for the server";
            self.gauge("spooled", help, vec![(vec![], signed(spooled))])?;
        }
        self.now()?;
        self.since_creation()?;
        let times = "The bounds are the server's own, each four times the one before";
        self.histogram("wait", &format!("From when a task was ready to its claim. {times}"), |stats| &stats.wait)?;
        self.histogram("hold", &format!("From a checkout to the end of its lease. {times}"), |stats| &stats.hold)?;
        let help = format!("From when a lease became an orphan to its repair. {times}");
        self.histogram("detection", &help, |stats| &stats.detection)
    }

    /// How things stand.
    fn now(&mut self) -> fmt::Result {
        let issues = self.by("status", |stats| {
            let counts = &stats.issues;
            vec![
                ("queued", counts.queued),
                ("processing", counts.processing),
                ("awaiting-response", counts.awaiting_response),
                ("completed", counts.completed),
                ("error", counts.error),
                ("cancelled", counts.cancelled),
            ]
        });
        self.gauge("issues", "Issues, by status", issues)?;
        let tasks = self.by("state", |stats| {
            let queue = &stats.queue;
            vec![
                ("waiting", queue.waiting),
                ("delayed", queue.delayed),
                ("running", queue.running),
                ("dead", queue.dead),
            ]
        });
        self.gauge("tasks", "Tasks, by state", tasks)?;
        let depth = self.seen.stats.iter().flat_map(|(key, stats)| {
            stats.queue.depth.iter().map(|(priority, count)| {
                (vec![("project", key.clone()), ("priority", priority.to_string())], signed(*count))
            })
        });
        let depth = depth.collect();
        self.gauge("queue_depth", "Tasks that wait, by priority", depth)?;
        let oldest = self.each(|stats| stats.queue.oldest.div_ceil(1000));
        self.gauge("queue_oldest_seconds", "For how long the oldest of the tasks that wait does so", oldest)?;
        let drained = self.each(|stats| stats.queue.drain);
        self.gauge("drained", "Whether the project is drained, so that nothing is claimed", drained)?;
        let orphans = self.each(|stats| stats.orphans);
        self.gauge("orphans", "Leases whose holders are orphans", orphans)?;
        let processes = self.each(|stats| stats.processes);
        self.gauge("processes", "Processes that the project knows", processes)
    }

    /// What happened since the project came into being.
    fn since_creation(&mut self) -> fmt::Result {
        let checkouts = self.each(|stats| stats.checkouts);
        self.counter("checkouts", "Leases granted", checkouts)?;
        let checkins = self.by("status", |stats| {
            let counts = &stats.checkins;
            vec![
                ("completed", counts.completed),
                ("awaiting-response", counts.awaiting_response),
                ("error", counts.error),
                ("cancelled", counts.cancelled),
            ]
        });
        self.counter("checkins", "Check-ins, by status", checkins)?;
        let heartbeats = self.each(|stats| stats.heartbeats);
        self.counter("heartbeats", "Heartbeats", heartbeats)?;
        let repairs = self.by("reason", |stats| {
            let counts = &stats.repairs;
            vec![("expired", counts.expired), ("dead", counts.dead), ("replaced", counts.replaced)]
        });
        self.counter("repairs", "Orphans' leases that were repaired or taken over, by why they were orphans", repairs)?;
        let takeovers = self.each(|stats| stats.takeovers);
        self.counter("takeovers", "Orphans' leases that a checkout took over", takeovers)?;
        let evictions = self.each(|stats| stats.evictions);
        self.counter("evictions", "Leases that were ended by hand", evictions)?;
        let fates = self.by("fate", |stats| {
            let counts = &stats.tasks;
            vec![
                ("enqueued", counts.enqueued),
                ("claimed", counts.claimed),
                ("finished", counts.finished),
                ("retried", counts.retried),
                ("requeued", counts.requeued),
                ("cancelled", counts.cancelled),
                ("dead", counts.dead),
                ("revived", counts.revived),
            ]
        });
        self.counter("task_changes", "What became of tasks", fates)
    }

    /// One figure of each project.
    fn each(&self, figure: impl Fn(&Stats) -> u64) -> Vec<Row> {
        let row = |(key, stats): (&String, &Stats)| (vec![("project", key.clone())], signed(figure(stats)));
        self.seen.stats.iter().map(row).collect()
    }

    /// Several figures of each project, told apart by a label.
    fn by(&self, label: &'static str, figures: impl Fn(&Stats) -> Vec<(&'static str, u64)>) -> Vec<Row> {
        let mut rows = Vec::new();
        for (key, stats) in &self.seen.stats {
            rows.extend(
                figures(stats)
                    .into_iter()
                    .map(|(name, count)| (vec![("project", key.clone()), (label, name.to_owned())], signed(count))),
            );
        }
        rows
    }

    fn gauge(&mut self, name: &str, help: &str, rows: Vec<Row>) -> fmt::Result {
        let mut metric = self.encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for (labels, value) in rows {
            ConstGauge::new(value).encode(metric.encode_family(&labels)?)?;
        }
        Ok(())
    }

    fn counter(&mut self, name: &str, help: &str, rows: Vec<Row>) -> fmt::Result {
        let mut metric = self.encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
        for (labels, value) in rows {
            ConstCounter::new(value.unsigned_abs()).encode(metric.encode_family(&labels)?)?;
        }
        Ok(())
    }

    fn histogram(&mut self, name: &str, help: &str, of: impl Fn(&Stats) -> &Durations) -> fmt::Result {
        let mut metric = self.encoder.encode_descriptor(name, help, Some(&Unit::Seconds), MetricType::Histogram)?;
        for (key, stats) in &self.seen.stats {
            let times = of(stats);
            let below = |bound: u64| times.buckets.get(&bound).copied().unwrap_or_default();
            let mut buckets: Vec<(f64, u64)> =
                Durations::bounds().map(|bound| (seconds(bound), below(bound))).collect();
            let counted: u64 = buckets.iter().map(|(_, count)| count).sum();
            buckets.push((f64::INFINITY, times.count.saturating_sub(counted)));
            let labels = [("project", key.clone())];
            metric.encode_family(&labels)?.encode_histogram::<NoLabelSet>(
                seconds(times.sum),
                times.count,
                &buckets,
                None,
            )?;
        }
        Ok(())
    }
}

fn seconds(millis: u64) -> f64 {
    millis as f64 / 1000.0
}

fn signed(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
