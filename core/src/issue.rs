//! The record of one issue.

use compact_str::CompactString;
use serde::{Deserialize, Serialize};

use crate::life::LifeId;
use crate::names::NameId;
use crate::queue::Task;
use crate::types::{EndedBy, Instant, IssueNumber, Outcome, Pid, Status, Token};

/// What a project knows of an issue. A million of them are the size of the value: mind each field.
#[derive(Debug, Clone)]
pub(crate) struct Issue {
    /// The holder's token, or the last one's.
    pub(crate) token: Token,
    pub(crate) started: Instant,
    /// When it was last completed, where its last lease did not end so: [`Issue::completed`] looks there first.
    pub(crate) completed_before: Option<Box<Instant>>,
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
    /// With nothing more to say, as a checkout by number usually is.
    Held(LifeId),
    Working(Box<Working>),
    Ended(Box<Ended>),
}

/// A lease with more than a holder.
#[derive(Debug, Clone)]
pub(crate) struct Working {
    pub(crate) life: LifeId,
    pub(crate) task: Option<Task>,
    pub(crate) asked: Option<Asked>,
    /// The lease of the same issue whose check-in claimed this one, and as what it ended: whoever lost that answer says
    /// the same again.
    pub(crate) follows: Option<(Token, Outcome)>,
}

/// The holder was asked to stop.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) at: Instant,
    pub(crate) reason: Option<Box<str>>,
}

/// What an issue is after its lease ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Aftermath {
    /// As the lease ended.
    Ended,
    /// Its task waits again.
    Queued,
    /// Its task would wait again, but was cancelled.
    Cancelled,
}

/// How a lease ended, and what its worker left.
#[derive(Debug, Clone)]
pub(crate) struct Ended {
    /// Which end of a lease this was in the project: what is newest does not depend on the clock.
    pub(crate) end: u64,
    pub(crate) at: Instant,
    pub(crate) by: EndedBy,
    pub(crate) outcome: Outcome,
    pub(crate) aftermath: Aftermath,
    /// The lease that the check-in claimed.
    pub(crate) next: Option<(IssueNumber, Token)>,
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
            Run::Held(_) | Run::Working(_) => Status::Processing,
            Run::Ended(ended) => ended.status(),
        }
    }

    /// When it was last completed.
    pub(crate) fn completed(&self) -> Option<Instant> {
        match &self.run {
            Run::Ended(ended) if ended.outcome == Outcome::Completed => Some(ended.at),
            _ => self.completed_before.as_deref().copied(),
        }
    }

    pub(crate) fn holder(&self) -> Option<LifeId> {
        match &self.run {
            Run::Held(life) => Some(*life),
            Run::Working(working) => Some(working.life),
            Run::Ended(_) => None,
        }
    }

    /// The task that runs.
    pub(crate) fn task(&self) -> Option<&Task> {
        self.working()?.task.as_ref()
    }

    /// What its holder was asked.
    pub(crate) fn asked(&self) -> Option<&Asked> {
        self.working()?.asked.as_ref()
    }

    pub(crate) fn working(&self) -> Option<&Working> {
        match &self.run {
            Run::Working(working) => Some(working),
            Run::Held(_) | Run::Ended(_) => None,
        }
    }

    /// The size of its free texts.
    pub(crate) fn text_bytes(&self) -> usize {
        let title = self.title.as_ref().map_or(0, |title| title.len());
        let ended = match &self.run {
            Run::Held(_) => return title,
            Run::Working(working) => {
                let reason = working.asked.as_ref().and_then(|asked| asked.reason.as_ref());
                let task = working.task.as_ref().map_or(0, Task::text_bytes);
                return title + task + reason.map_or(0, |reason| reason.len());
            }
            Run::Ended(ended) => ended,
        };
        let texts = [&ended.reason, &ended.result].into_iter().flatten().map(|text| text.len());
        title + texts.chain(ended.metadata.iter().map(|(field, value)| field.len() + value.len())).sum::<usize>()
    }

    /// The names that this record uses.
    pub(crate) fn names(&self) -> impl Iterator<Item = NameId> + use<> {
        let used = match &self.run {
            Run::Held(_) => [None, None],
            Run::Working(working) => [working.task.as_ref().map(|task| task.kind), None],
            Run::Ended(ended) => [Some(ended.process), ended.host],
        };
        [self.kind].into_iter().chain(used).flatten()
    }
}

impl Ended {
    /// What the issue is since.
    pub(crate) fn status(&self) -> Status {
        match self.aftermath {
            Aftermath::Ended => self.outcome.into(),
            Aftermath::Queued => Status::Queued,
            Aftermath::Cancelled => Status::Cancelled,
        }
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
