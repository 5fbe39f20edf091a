//! The record of one issue.

use compact_str::CompactString;

use crate::life::LifeId;
use crate::names::NameId;
use crate::types::{EndedBy, Instant, Outcome, Pid, Status, Token};

/// What a project knows of an issue. A million of them are the size of the value: mind each field.
#[derive(Debug, Clone)]
pub(crate) struct Issue {
    /// The holder's token, or the last one's.
    pub(crate) token: Token,
    pub(crate) started: Instant,
    /// When it was last completed.
    pub(crate) completed: Option<Box<Instant>>,
    pub(crate) run: Run,
    pub(crate) title: Option<CompactString>,
    /// The task type of the current or last run.
    pub(crate) kind: Option<NameId>,
    /// The number of the event that gave it its status.
    pub(crate) version: u64,
    /// Whether its labels were not confirmed since.
    pub(crate) behind: bool,
}

/// Held, or how the last lease ended.
#[derive(Debug, Clone)]
pub(crate) enum Run {
    Held(LifeId),
    Ended(Box<Ended>),
}

/// How a lease ended, and what its worker left.
#[derive(Debug, Clone)]
pub(crate) struct Ended {
    /// Which end of a lease this was in the project: what is newest does not depend on the clock.
    pub(crate) end: u64,
    pub(crate) at: Instant,
    pub(crate) by: EndedBy,
    pub(crate) outcome: Outcome,
    pub(crate) process: NameId,
    pub(crate) pid: Option<Pid>,
    pub(crate) host: Option<NameId>,
    pub(crate) reason: Option<Box<str>>,
    pub(crate) result: Option<Box<str>>,
    pub(crate) metadata: Vec<(CompactString, CompactString)>,
}

impl Issue {
    pub(crate) fn status(&self) -> Status {
        match &self.run {
            Run::Held(_) => Status::Processing,
            Run::Ended(ended) => ended.outcome.into(),
        }
    }

    pub(crate) fn holder(&self) -> Option<LifeId> {
        match self.run {
            Run::Held(life) => Some(life),
            Run::Ended(_) => None,
        }
    }

    /// The size of its free texts.
    pub(crate) fn text_bytes(&self) -> usize {
        let title = self.title.as_ref().map_or(0, |title| title.len());
        let Run::Ended(ended) = &self.run else { return title };
        let texts = [&ended.reason, &ended.result].into_iter().flatten().map(|text| text.len());
        title + texts.chain(ended.metadata.iter().map(|(field, value)| field.len() + value.len())).sum::<usize>()
    }

    /// The names that this record uses.
    pub(crate) fn names(&self) -> impl Iterator<Item = NameId> + use<> {
        let (process, host) = match &self.run {
            Run::Held(_) => (None, None),
            Run::Ended(ended) => (Some(ended.process), ended.host),
        };
        [self.kind, process, host].into_iter().flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_fits_the_allocators_class_of_80_bytes() {
        assert!(size_of::<Issue>() <= 80, "{}", size_of::<Issue>());
    }
}
