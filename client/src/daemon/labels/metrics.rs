//! What `/metrics` shows of labels.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use super::super::metrics::OfProject;

/// From half a second, which nobody notices, to an hour, which is an outage.
const LAGS: [f64; 12] = [0.5, 1.0, 2.0, 3.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 900.0, 3600.0];

/// What is counted, of all projects.
#[derive(Debug, Clone)]
pub(crate) struct Metrics {
    lag: Family<OfProject, Histogram, fn() -> Histogram>,
    behind: Family<OfProject, Gauge>,
    changes: Family<OfProject, Counter>,
    drifted: Family<OfProject, Counter>,
    leads: Family<OfProject, Gauge>,
}

/// The same of one project.
#[derive(Debug, Clone)]
pub(super) struct Tally {
    pub(super) lag: Histogram,
    pub(super) behind: Gauge,
    pub(super) changes: Counter,
    pub(super) drifted: Counter,
    pub(super) leads: Gauge,
}

impl Metrics {
    pub(crate) fn new(registry: &mut Registry) -> Self {
        let metrics = Self {
            lag: Family::new_with_constructor(|| Histogram::new(LAGS)),
            behind: Family::default(),
            changes: Family::default(),
            drifted: Family::default(),
            leads: Family::default(),
        };
        let help = "From a change of an issue's status to its confirmed label on GitHub";
        registry.register_with_unit("label_lag", help, prometheus_client::registry::Unit::Seconds, metrics.lag.clone());
        registry.register("labels_behind", "Issues whose labels are behind their status", metrics.behind.clone());
        registry.register("label_changes", "Labels put on and taken off on GitHub", metrics.changes.clone());
        let help = "Issues whose labels a sweep found changed by others, and mended";
        registry.register("labels_drifted", help, metrics.drifted.clone());
        registry.register(
            "labels_leads",
            "Whether this daemon is the one that writes the labels",
            metrics.leads.clone(),
        );
        metrics
    }

    pub(super) fn of(&self, project: &str) -> Tally {
        let of = OfProject { project: project.to_owned() };
        Tally {
            lag: self.lag.get_or_create_owned(&of),
            behind: self.behind.get_or_create_owned(&of),
            changes: self.changes.get_or_create_owned(&of),
            drifted: self.drifted.get_or_create_owned(&of),
            leads: self.leads.get_or_create_owned(&of),
        }
    }
}
