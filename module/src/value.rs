//! What a key holds: a project, and the server's count of what projects hold.

use std::sync::atomic::{AtomicI64, Ordering};

use poppo_core::Project;

/// How many projects there are on this server.
pub(crate) static PROJECTS: AtomicI64 = AtomicI64::new(0);

/// How many issues are held in all of them.
pub(crate) static LEASES: AtomicI64 = AtomicI64::new(0);

/// A project, counted for as long as it exists. It may be dropped on another thread.
#[derive(Debug)]
pub(crate) struct Value {
    project: Project,
    counted: i64,
}

impl Value {
    pub(crate) fn new(project: Project) -> Self {
        PROJECTS.fetch_add(1, Ordering::Relaxed);
        let mut value = Self { project, counted: 0 };
        value.recount();
        value
    }

    pub(crate) fn project(&self) -> &Project {
        &self.project
    }

    /// Whoever changes the project calls [`Value::recount`] afterwards.
    pub(crate) fn project_mut(&mut self) -> &mut Project {
        &mut self.project
    }

    /// Brings the server's count of leases up to date.
    pub(crate) fn recount(&mut self) {
        let leases = i64::try_from(self.project.leases()).unwrap_or(i64::MAX);
        LEASES.fetch_add(leases - self.counted, Ordering::Relaxed);
        self.counted = leases;
    }
}

impl Drop for Value {
    fn drop(&mut self) {
        PROJECTS.fetch_sub(1, Ordering::Relaxed);
        LEASES.fetch_sub(self.counted, Ordering::Relaxed);
    }
}
