//! Processor time of the server and of the load, so that a reader sees which of them was the limit.

use std::time::{Duration, Instant};

/// Reads what a server, with its children, and a load have used.
pub(super) struct Meter {
    server: Vec<u32>,
    load: u32,
}

/// What was used so far.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reading {
    pub(super) at: Instant,
    pub(super) server: Duration,
    pub(super) load: Duration,
}

impl Meter {
    /// Of two processes. Children that the server has at this moment count as the server.
    pub(super) fn new(server: u32, load: u32) -> Self {
        let mut processes = vec![server];
        processes.extend(children(server));
        Self { server: processes, load }
    }

    pub(super) fn read(&self) -> Reading {
        let server = self.server.iter().map(|process| used(*process)).sum();
        Reading { at: Instant::now(), server, load: used(self.load) }
    }
}

fn children(of: u32) -> Vec<u32> {
    let processes = std::fs::read_dir("/proc").expect("/proc is mounted");
    let numbers = processes.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok());
    let stat = |process: &u32| std::fs::read_to_string(format!("/proc/{process}/stat")).ok();
    numbers.filter(|process| stat(process).and_then(|stat| parent(&stat)) == Some(of)).collect()
}

/// Processor time of a process, with all its threads; nothing where it has ended.
///
/// From schedstat, in ns: stat counts in ticks of 10 ms, and fifty backends of PostgreSQL each lose a part of one.
fn used(process: u32) -> Duration {
    let threads = std::fs::read_dir(format!("/proc/{process}/task")).into_iter().flatten().filter_map(Result::ok);
    let nanos = threads.filter_map(|thread| {
        let schedstat = std::fs::read_to_string(thread.path().join("schedstat")).ok()?;
        schedstat.split(' ').next()?.parse::<u64>().ok()
    });
    Duration::from_nanos(nanos.sum())
}

/// The parent of a process, by proc(5). The second field is a name in parentheses that may contain anything.
fn parent(stat: &str) -> Option<u32> {
    let (_, rest) = stat.rsplit_once(") ")?;
    rest.split(' ').nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parent_is_found_behind_any_name() {
        assert_eq!(parent("17 (a (b) c) S 1 17 17 0 -1 4194560 9"), Some(1));
    }

    #[test]
    fn children_are_found_and_work_is_seen() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().expect("sleep runs");
        assert!(children(std::process::id()).contains(&child.id()));
        child.kill().expect("a child can be killed");
        child.wait().expect("a child can be waited for");
        let before = used(std::process::id());
        poppo_tests::wait_until("the kernel has counted", || used(std::process::id()) > before);
    }
}
