//! What `/proc` says of a process. Where there is none, it says nothing.

use rustix::process::Pid;

/// A part of `/proc/<pid>/stat`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Stat {
    state: char,
    threads: u32,
    /// When it began, in ticks since the host did.
    pub(super) start: u64,
}

impl Stat {
    /// Of a process; none where there is none, or where this user may not look.
    pub(super) fn read(pid: Pid) -> Option<Self> {
        Self::parse(&std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).ok()?)
    }

    /// The second field is the program's name in brackets and may hold blanks and brackets itself, so counting starts
    /// behind the last one.
    fn parse(stat: &str) -> Option<Self> {
        let (_, after_name) = stat.rsplit_once(')')?;
        let mut fields = after_name.split_ascii_whitespace();
        let state = fields.next()?.chars().next()?;
        let threads = fields.nth(16)?.parse().ok()?;
        let start = fields.nth(1)?.parse().ok()?;
        Some(Self { state, threads, start })
    }

    /// Whether it has ended, and only its parent does not know yet. A main thread may end before the others do.
    pub(super) fn has_ended(&self) -> bool {
        matches!(self.state, 'Z' | 'X') && self.threads <= 1
    }
}

/// What tells this start of the host from all others.
pub(super) fn boot_id() -> Option<String> {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok().map(|id| id.trim().to_owned())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn stat(state: char, threads: u32) -> Stat {
        let text = format!("7 (a) b (c) {state} 1 7 7 0 -1 4194304 100 0 0 0 1 2 0 0 20 0 {threads} 0 82550 313 390");
        Stat::parse(&text).unwrap()
    }

    #[test]
    fn the_fields_are_found_behind_a_hostile_name() {
        assert_eq!(stat('S', 4), Stat { state: 'S', threads: 4, start: 82550 });
        assert_eq!(Stat::parse("nonsense"), None);
        assert_eq!(Stat::parse("7 (a) S 1 7"), None);
    }

    #[test]
    fn a_zombie_has_ended_but_not_one_whose_other_threads_live() {
        assert!(stat('Z', 1).has_ended() && stat('X', 0).has_ended());
        assert!(!stat('Z', 2).has_ended() && !stat('T', 1).has_ended() && !stat('S', 1).has_ended());
    }
}
