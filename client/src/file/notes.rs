//! Free state in the file, beside the projects.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::time::timeout;

use super::disk::{Fault, Shelf};
use super::{GLANCE, Store};
use crate::Error;
use crate::links::ANSWER_TIMEOUT;
use crate::state::commit::{Commit, Committed, Notes};

/// The namespaces of all projects of a file, by project and name.
pub(super) type Spaces = BTreeMap<String, BTreeMap<String, Arc<Notes>>>;

/// A namespace at a time.
pub(crate) struct Glimpse {
    shelf: Arc<Shelf>,
    notes: Arc<Notes>,
}

impl Glimpse {
    /// Its values, by their names.
    pub(crate) fn notes(&self) -> &Arc<Notes> {
        &self.notes
    }
}

/// A namespace; an empty one where there is none.
fn of(shelf: &Shelf, project: &str, namespace: &str) -> Arc<Notes> {
    shelf.contents().spaces.get(project).and_then(|spaces| spaces.get(namespace)).cloned().unwrap_or_default()
}

impl Store {
    /// The values of a namespace now.
    pub(crate) async fn notes(self: &Arc<Self>, project: &str, namespace: &str) -> Result<Glimpse, Error> {
        let (store, project, namespace) = (Arc::clone(self), project.to_owned(), namespace.to_owned());
        self.aside(move |dropped| {
            let shelf = store.read_whole(dropped)?;
            let notes = of(&shelf, &project, &namespace);
            Ok(Glimpse { shelf, notes })
        })
        .await
    }

    /// The namespaces of a project that have values.
    pub(crate) async fn namespaces(self: &Arc<Self>, project: &str) -> Result<Vec<String>, Error> {
        let (store, project) = (Arc::clone(self), project.to_owned());
        self.aside(move |dropped| {
            let shelf = store.read_whole(dropped)?;
            let spaces = shelf.contents().spaces.get(&project);
            Ok(spaces.into_iter().flatten().map(|(name, _)| name.clone()).collect())
        })
        .await
    }

    /// Applies a transaction to a namespace.
    pub(crate) async fn commit(
        self: &Arc<Self>,
        project: &str,
        namespace: &str,
        commit: Commit,
    ) -> Result<Committed, Error> {
        // Who is refused, or has nothing to change, takes no lock.
        let (committed, after) = commit.apply(self.notes(project, namespace).await?.notes());
        if after.is_none() {
            return Ok(committed);
        }
        let turn = timeout(ANSWER_TIMEOUT, Arc::clone(&self.turn).lock_owned());
        let turn = turn.await.map_err(|_| self.error(Fault::locked(ANSWER_TIMEOUT)))?;
        let (store, project, namespace) = (Arc::clone(self), project.to_owned(), namespace.to_owned());
        self.aside(move |dropped| {
            let _turn = turn;
            let lock = store.disk.lock(ANSWER_TIMEOUT, dropped)?;
            let seen = store.read()?;
            let (committed, after) = commit.apply(&of(&seen, &project, &namespace));
            let Some(after) = after else { return Ok(committed) };
            if dropped.is_cancelled() {
                return Err(Fault::unwanted());
            }
            let mut contents = seen.contents().clone();
            let spaces = contents.spaces.entry(project.clone()).or_default();
            if after.is_empty() {
                spaces.remove(&namespace);
            } else {
                spaces.insert(namespace, Arc::new(after));
            }
            if spaces.is_empty() {
                contents.spaces.remove(&project);
            }
            let written = store.disk.write(&lock, contents)?;
            *store.seen() = Some(Arc::new(written));
            Ok(committed)
        })
        .await
    }

    /// Waits until the file is another one than it was.
    pub(crate) async fn until_other(&self, glimpse: &Glimpse) {
        while self.disk.shows(&glimpse.shelf) {
            tokio::time::sleep(GLANCE).await;
        }
    }
}
