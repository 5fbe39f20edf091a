//! How each duty is. Written by the duties, read by `/readyz`, the metrics and `poppo doctor`.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::Serialize;

use super::duty::Duty;

/// How a duty is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "state", content = "reason", rename_all = "lowercase")]
pub(crate) enum Condition {
    /// It was started, and has not done anything yet.
    Starting,
    /// It does what it is there for.
    Well,
    /// It cannot do what it is there for, and keeps trying.
    Ailing(String),
    /// It has nothing to do here, or was switched off.
    Off(String),
    /// It gave up: somebody has to mend something first.
    GivenUp(String),
}

impl Condition {
    /// Whether a daemon of which this is true of all duties is ready.
    pub(crate) fn is_ready(&self) -> bool {
        matches!(self, Self::Well | Self::Off(_))
    }
}

/// Which duty of which project; of no project, one of the whole daemon.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(crate) struct Post {
    /// The project's key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) project: Option<String>,
    /// The duty.
    pub(crate) duty: Duty,
}

impl fmt::Display for Post {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.project {
            Some(project) => write!(f, "{} of {project}", self.duty),
            None => write!(f, "{}", self.duty),
        }
    }
}

/// All duties.
#[derive(Debug, Default)]
pub(crate) struct Board {
    conditions: Mutex<BTreeMap<Post, Condition>>,
}

impl Board {
    /// A place for one duty to say how it is.
    pub(crate) fn post(self: &Arc<Self>, project: Option<&str>, duty: Duty) -> Health {
        let post = Post { project: project.map(str::to_owned), duty };
        self.conditions().insert(post.clone(), Condition::Starting);
        Health { board: Arc::clone(self), post }
    }

    /// How they all are, by project and duty.
    pub(crate) fn read(&self) -> Vec<(Post, Condition)> {
        self.conditions().iter().map(|(post, condition)| (post.clone(), condition.clone())).collect()
    }

    fn conditions(&self) -> MutexGuard<'_, BTreeMap<Post, Condition>> {
        // Each change is one insertion, so there is nothing half done to be seen after a panic.
        self.conditions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One duty's place on the board. What changes is logged once, not each time it is said.
#[derive(Debug, Clone)]
pub(crate) struct Health {
    board: Arc<Board>,
    post: Post,
}

impl Health {
    /// Which duty's it is.
    pub(crate) fn post(&self) -> &Post {
        &self.post
    }

    /// How it is, as it said itself.
    pub(crate) fn condition(&self) -> Condition {
        self.board.conditions().get(&self.post).cloned().unwrap_or(Condition::Starting)
    }

    /// It does what it is there for.
    pub(crate) fn well(&self) {
        match self.set(Condition::Well) {
            Condition::Ailing(_) | Condition::GivenUp(_) => tracing::info!(post = %self.post, "works again"),
            _ => {}
        }
    }

    /// It cannot do it now, and keeps trying.
    pub(crate) fn ailing(&self, why: impl Into<String>) {
        let why = why.into();
        if !matches!(self.set(Condition::Ailing(why.clone())), Condition::Ailing(before) if before == why) {
            tracing::warn!(post = %self.post, "{why}");
        }
    }

    /// It has nothing to do.
    pub(crate) fn off(&self, why: impl Into<String>) {
        let why = why.into();
        if self.set(Condition::Off(why.clone())) != Condition::Off(why.clone()) {
            tracing::info!(post = %self.post, "off: {why}");
        }
    }

    /// It gave up.
    pub(crate) fn given_up(&self, why: impl Into<String>) {
        let why = why.into();
        tracing::error!(post = %self.post, "stopped: {why}");
        self.set(Condition::GivenUp(why));
    }

    /// What it was before.
    fn set(&self, condition: Condition) -> Condition {
        self.board.conditions().insert(self.post.clone(), condition).unwrap_or(Condition::Starting)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_daemon_is_ready_when_each_duty_is_well_or_off() {
        let board = Arc::new(Board::default());
        let ready = |board: &Board| board.read().iter().all(|(_, condition)| condition.is_ready());
        let (repair, labels) = (board.post(Some("p"), Duty::Repair), board.post(Some("p"), Duty::Labels));
        assert!(!ready(&board), "nothing was done yet");
        repair.well();
        labels.off("no token");
        assert!(ready(&board));
        repair.ailing("the server is away");
        assert!(!ready(&board));
        repair.well();
        labels.given_up("the repository is gone");
        assert!(!ready(&board));
        assert_eq!(labels.post().to_string(), "labels of p");
    }
}
