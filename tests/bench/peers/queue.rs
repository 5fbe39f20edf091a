//! What is asked of every queue, and what a turn comes to.

use std::time::Duration;

/// How long a turn lasts.
#[derive(Debug, Clone, Copy)]
pub(super) struct Window {
    /// Before anything is counted.
    pub(super) warm: Duration,
    /// While it counts.
    pub(super) time: Duration,
}

impl Window {
    pub(super) fn total(self) -> Duration {
        self.warm + self.time
    }
}

/// A queue with its server running.
pub(super) trait Queue {
    /// Its name and version, and those of what it runs on.
    fn version(&mut self) -> String;

    /// Empties it, and lets so many tasks wait, all alike.
    fn fill(&mut self, tasks: u64);

    /// Lets so many workers claim and finish until the time is over or all `tasks` that it was filled with are done.
    /// None where they were done before anything counted.
    fn turn(&mut self, workers: usize, window: Window, tasks: u64) -> Option<Turn>;
}

/// What a turn came to, without its warm part.
#[derive(Debug, Clone, Copy)]
pub(super) struct Turn {
    /// Tasks claimed and finished.
    pub(super) cycles: u64,
    pub(super) elapsed: Duration,
    /// Processor time of the server, with all its processes and threads.
    pub(super) server: Duration,
    /// Processor time of whoever drove it.
    pub(super) load: Duration,
}

impl Turn {
    pub(super) fn per_second(&self) -> f64 {
        self.cycles as f64 / self.elapsed.as_secs_f64()
    }
}

/// What every task carries, in every queue.
pub(super) const PAYLOAD: &str = r#"{"title":"Crash on start: settings file missing","labels":["bug","cli"]}"#;
