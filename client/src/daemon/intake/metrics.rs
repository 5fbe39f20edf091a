//! What `/metrics` shows of intake.

use std::time::SystemTime;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use crate::daemon::metrics::OfProject;

/// From a webhook at once to a daemon that was down for a day.
const LAGS: [f64; 11] = [0.5, 1.0, 2.0, 5.0, 15.0, 30.0, 60.0, 120.0, 600.0, 3_600.0, 86_400.0];

/// What is counted, of all projects.
#[derive(Debug, Clone)]
pub(crate) struct Metrics {
    tasks: Family<OfTask, Counter>,
    lag: Family<OfProject, Histogram>,
    last_poll: Family<OfProject, Gauge>,
    webhooks: Family<OfResult, Counter>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfTask {
    project: String,
    kind: &'static str,
    result: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfResult {
    result: &'static str,
}

/// What a task is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Issue,
    Comment,
}

impl Kind {
    fn as_str(self) -> &'static str {
        match self {
            Self::Issue => "issue",
            Self::Comment => "comment",
        }
    }
}

impl Metrics {
    pub(crate) fn new(registry: &mut Registry) -> Self {
        let metrics = Self {
            tasks: Family::default(),
            lag: Family::new_with_constructor(|| Histogram::new(LAGS)),
            last_poll: Family::default(),
            webhooks: Family::default(),
        };
        let help = "Issues and comments that were dealt with: queued, known to the queue already, offered again after a \
                    failure, cancelled, or completed by a closing keyword";
        registry.register("intake", help, metrics.tasks.clone());
        let help = "From the change on GitHub to the task in the queue";
        registry.register_with_unit("intake_lag", help, Unit::Seconds, metrics.lag.clone());
        let help = "When GitHub was last asked for what is new, and all of it was dealt with";
        registry.register_with_unit("intake_last_poll_timestamp", help, Unit::Seconds, metrics.last_poll.clone());
        registry.register("webhooks", "Webhooks, by what became of them", metrics.webhooks.clone());
        metrics
    }

    /// Something was done with an issue or a comment.
    pub(super) fn count(&self, project: &str, kind: Kind, result: &'static str) {
        self.tasks.get_or_create(&OfTask { project: project.to_owned(), kind: kind.as_str(), result }).inc();
    }

    /// A task was queued for what changed at that time, as GitHub writes times.
    pub(super) fn queued(&self, project: &str, kind: Kind, changed: &str) {
        self.count(project, kind, "queued");
        if let Ok(changed) = humantime::parse_rfc3339_weak(changed.trim_end_matches('Z')) {
            let lag = SystemTime::now().duration_since(changed).unwrap_or_default();
            self.lag.get_or_create(&OfProject { project: project.to_owned() }).observe(lag.as_secs_f64());
        }
    }

    pub(super) fn polled(&self, project: &str) {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let gauge = self.last_poll.get_or_create_owned(&OfProject { project: project.to_owned() });
        gauge.set(i64::try_from(now.as_secs()).unwrap_or(i64::MAX));
    }

    pub(super) fn webhook(&self, result: &'static str) {
        self.webhooks.get_or_create(&OfResult { result }).inc();
    }
}
