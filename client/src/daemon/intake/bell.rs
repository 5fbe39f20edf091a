//! What webhooks ring: each says which issue of a repository is to be looked at, and no more.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;

use crate::daemon::github::Repo;

/// How many issues are remembered. Beyond that the next poll finds them.
const MOST: usize = 10_000;

/// The bell of one repository.
#[derive(Debug, Default)]
pub(crate) struct Bell {
    issues: Mutex<BTreeSet<u64>>,
    rung: Notify,
}

impl Bell {
    fn ring(&self, issue: u64) {
        let mut issues = self.issues.lock().unwrap_or_else(PoisonError::into_inner);
        if issues.len() < MOST {
            issues.insert(issue);
        }
        self.rung.notify_one();
    }

    /// When it rings, or has rung since the last time.
    pub(super) async fn rung(&self) {
        self.rung.notified().await;
    }

    /// The issues that it rang for.
    pub(super) fn take(&self) -> BTreeSet<u64> {
        std::mem::take(&mut *self.issues.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The bells of all repositories that issues are taken from.
#[derive(Debug, Default)]
pub(crate) struct Bells(Vec<(Repo, Arc<Bell>)>);

impl Bells {
    /// The bell of a repository from now on, also under the name that it is given later.
    pub(crate) fn hang(&mut self, repo: &Repo) -> Arc<Bell> {
        let bell = Arc::default();
        self.0.push((repo.clone(), Arc::clone(&bell)));
        bell
    }

    /// Has an issue looked at. False where nobody is at home.
    pub(super) fn ring(&self, repository: &str, issue: u64) -> bool {
        let found = self.0.iter().filter(|(repo, _)| repo.is_called(repository));
        found.map(|(_, bell)| bell.ring(issue)).count() > 0
    }
}
