//! What `/metrics` shows of the requests to GitHub.

use std::fmt;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric as _};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;

use super::account::Accounts;
use super::pacer::{Kind, Resource};

/// What is counted.
#[derive(Debug, Clone, Default)]
pub(crate) struct Metrics {
    requests: Family<OfRequest, Counter>,
    retries: Family<OfKind, Counter>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfRequest {
    kind: &'static str,
    /// The status of the answer, or why there is none.
    status: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfKind {
    kind: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfLimit {
    account: String,
    resource: &'static str,
}

impl Metrics {
    pub(super) fn register(&self, registry: &mut Registry, accounts: Arc<Accounts>) {
        let help = "Requests to GitHub, by kind and by the status of the answer";
        registry.register("github_requests", help, self.requests.clone());
        let help = "Requests to GitHub that were sent again, since the answer before was none";
        registry.register("github_retries", help, self.retries.clone());
        registry.register_collector(Box::new(Limits(accounts)));
    }

    pub(super) fn answered(&self, kind: Kind, status: &str) {
        self.requests.get_or_create(&OfRequest { kind: kind.as_str(), status: status.to_owned() }).inc();
    }

    pub(super) fn again(&self, kind: Kind) {
        self.retries.get_or_create(&OfKind { kind: kind.as_str() }).inc();
    }
}

/// What is left of the primary limits, read when somebody asks.
#[derive(Debug)]
struct Limits(Arc<Accounts>);

impl Collector for Limits {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let left = || {
            self.0.all().into_iter().flat_map(|account| {
                [Resource::Core, Resource::Graphql].into_iter().filter_map(move |resource| {
                    let (left, limit) = account.pacer.left(resource)?;
                    Some((OfLimit { account: account.name.clone(), resource: resource.as_str() }, left, limit))
                })
            })
        };
        let help = "Requests that GitHub's hourly limit still had, by its last word";
        let mut metric = encoder.encode_descriptor("github_budget_left", help, None, MetricType::Gauge)?;
        for (labels, left, _) in left() {
            ConstGauge::new(i64::from(left)).encode(metric.encode_family(&labels)?)?;
        }
        let help = "GitHub's hourly limit of requests";
        let mut metric = encoder.encode_descriptor("github_budget_limit", help, None, MetricType::Gauge)?;
        for (labels, _, limit) in left() {
            ConstGauge::new(i64::from(limit)).encode(metric.encode_family(&labels)?)?;
        }
        Ok(())
    }
}
