//! What a key holds: a project, and the server's count of what projects hold.

use std::sync::atomic::{AtomicI64, Ordering};

use poppo_core::{Instant, Project};

use crate::deadlines::Announcer;

/// How many projects there are on this server.
pub(crate) static PROJECTS: AtomicI64 = AtomicI64::new(0);

/// How many issues are held in all of them.
pub(crate) static LEASES: AtomicI64 = AtomicI64::new(0);

/// How many tasks wait or are delayed in all of them.
pub(crate) static TASKS: AtomicI64 = AtomicI64::new(0);

/// How many tasks are dead in all of them.
pub(crate) static DEAD_TASKS: AtomicI64 = AtomicI64::new(0);

/// How many projects could not be read.
pub(crate) static UNREADABLE: AtomicI64 = AtomicI64::new(0);

/// What a value adds to the server's counts.
#[derive(Debug, Default, Clone, Copy)]
struct Counts {
    leases: i64,
    tasks: i64,
    dead: i64,
}

impl Counts {
    fn of(project: &Project) -> Self {
        let count = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        let (tasks, dead) = project.task_count();
        let leases = i64::try_from(project.leases()).unwrap_or(i64::MAX);
        Self { leases, tasks: count(tasks), dead: count(dead) }
    }

    /// Adds to the server's counts what these exceed others by.
    fn add_beyond(self, other: Self) {
        let add = |total: &AtomicI64, more: i64| {
            if more != 0 {
                total.fetch_add(more, Ordering::Relaxed);
            }
        };
        add(&LEASES, self.leases - other.leases);
        add(&TASKS, self.tasks - other.tasks);
        add(&DEAD_TASKS, self.dead - other.dead);
    }
}

/// A project, counted for as long as it exists. It may be dropped on another thread.
#[derive(Debug)]
pub(crate) struct Value {
    project: Project,
    counted: Counts,
    /// The pieces of a project that could not be read, as they came. It is then kept from all commands: to show it empty
    /// would hand out again what its workers hold.
    unreadable: Option<Vec<Vec<u8>>>,
    pub(crate) announcer: Announcer,
}

impl Value {
    pub(crate) fn new(project: Project) -> Self {
        PROJECTS.fetch_add(1, Ordering::Relaxed);
        let mut value = Self { project, counted: Counts::default(), unreadable: None, announcer: Announcer::default() };
        value.recount();
        value
    }

    /// A project whose first piece could not be read.
    pub(crate) fn unreadable(piece: &[u8]) -> Self {
        let mut value = Self::new(Project::new(Instant::EPOCH));
        UNREADABLE.fetch_add(1, Ordering::Relaxed);
        value.unreadable = Some(vec![piece.to_vec()]);
        value
    }

    /// A further piece could not be read, or belongs to a project that could not.
    pub(crate) fn give_up(&mut self, piece: &[u8]) {
        let project = &self.project;
        let pieces = self.unreadable.get_or_insert_with(|| {
            UNREADABLE.fetch_add(1, Ordering::Relaxed);
            // What could be read before.
            project.pieces().collect()
        });
        pieces.push(piece.to_vec());
    }

    pub(crate) fn is_readable(&self) -> bool {
        self.unreadable.is_none()
    }

    pub(crate) fn project(&self) -> &Project {
        &self.project
    }

    /// Whoever changes the project calls [`Value::recount`] afterwards.
    pub(crate) fn project_mut(&mut self) -> &mut Project {
        &mut self.project
    }

    /// The project as it is stored: what could not be read is passed on as it came.
    pub(crate) fn pieces(&self) -> impl Iterator<Item = Vec<u8>> {
        let raw = self.unreadable.iter().flatten().cloned();
        let project = self.is_readable().then(|| self.project.pieces()).into_iter().flatten();
        raw.chain(project)
    }

    /// An independent copy.
    pub(crate) fn copy(&self) -> Self {
        let mut copy = Self::new(self.project.clone());
        copy.unreadable.clone_from(&self.unreadable);
        if !copy.is_readable() {
            UNREADABLE.fetch_add(1, Ordering::Relaxed);
        }
        copy
    }

    /// Its size in bytes, roughly.
    pub(crate) fn memory(&self) -> usize {
        self.project.memory() + self.unreadable.iter().flatten().map(Vec::len).sum::<usize>()
    }

    pub(crate) fn project_and_announcer(&mut self) -> (&Project, &mut Announcer) {
        (&self.project, &mut self.announcer)
    }

    /// Brings the server's counts up to date.
    pub(crate) fn recount(&mut self) {
        let counts = Counts::of(&self.project);
        counts.add_beyond(self.counted);
        self.counted = counts;
    }
}

impl Drop for Value {
    fn drop(&mut self) {
        PROJECTS.fetch_sub(1, Ordering::Relaxed);
        Counts::default().add_beyond(self.counted);
        UNREADABLE.fetch_sub(i64::from(!self.is_readable()), Ordering::Relaxed);
    }
}
