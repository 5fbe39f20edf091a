//! What `/metrics` shows. Each duty registers its own; here is what they share, and how it all becomes text.

mod projects;

use std::fmt;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric as _};
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;

pub(crate) use self::projects::Projects;
use super::board::Board;

/// The prefix of all names.
const PREFIX: &str = "poppo";

/// What `/metrics` is served as.
pub(crate) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// What most metrics are told apart by.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct OfProject {
    /// The project's key.
    pub(crate) project: String,
}

/// An empty registry, but for how the duties are.
pub(crate) fn registry(board: &Arc<Board>) -> Registry {
    let mut registry = Registry::with_prefix(PREFIX);
    registry.register_collector(Box::new(Duties(Arc::clone(board))));
    registry
}

/// All metrics as text.
pub(crate) fn encode(registry: &Registry) -> Result<String, fmt::Error> {
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, registry)?;
    Ok(text)
}

/// How the duties are, read when somebody asks.
#[derive(Debug)]
struct Duties(Arc<Board>);

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfPost {
    project: String,
    duty: &'static str,
}

impl Collector for Duties {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let help = "Whether a duty does what it is there for (1), or is off (1), or cannot (0)";
        let mut metric =
            encoder.encode_descriptor("duty_up", help, None, prometheus_client::metrics::MetricType::Gauge)?;
        for (post, condition) in self.0.read() {
            let labels = OfPost { project: post.project.unwrap_or_default(), duty: post.duty.as_str() };
            let value = ConstGauge::new(i64::from(condition.is_ready()));
            value.encode(metric.encode_family(&labels)?)?;
        }
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::duty::Duty;
    use super::*;

    #[test]
    fn each_duty_is_shown_with_its_project() {
        let board = Arc::new(Board::default());
        board.post(Some("p"), Duty::Repair).well();
        board.post(None, Duty::Http).ailing("x");
        let text = encode(&registry(&board)).unwrap();
        assert!(text.contains("poppo_duty_up{project=\"p\",duty=\"repair\"} 1\n"), "{text}");
        assert!(text.contains("poppo_duty_up{project=\"\",duty=\"http\"} 0\n"), "{text}");
    }
}
