//! What is known here and now besides the files: the time, this host, and who lives on it.

use std::time::{Duration, SystemTime};

use poppo::Life;

use super::fields::{Micros, micros};
use crate::process::has_ended;

/// A process may seem to have begun so much later than what it did, since clocks are set.
const SLACK: Duration = Duration::from_secs(60);
/// In how many ticks of a second the kernel counts for programs, on all but a few old architectures.
const TICKS: u64 = 100;

/// Who is asked about all of that.
#[derive(Debug, Clone)]
pub(crate) struct World {
    pub(crate) now: SystemTime,
    /// As Poppo's own clients call it.
    pub(crate) host: String,
    /// As the system calls it.
    pub(crate) node: String,
}

impl World {
    pub(crate) fn here() -> Self {
        let node = rustix::system::uname().nodename().to_string_lossy().into_owned();
        Self { now: SystemTime::now(), host: Life::current().host, node }
    }

    /// Whether the process that did something at that time lives still. A PID is used again: who began later is another one.
    pub(crate) fn lives(&self, pid: u32, did: Option<Micros>) -> bool {
        if has_ended(pid) {
            return false;
        }
        let (Some(began), Some(did)) = (began(pid, self.now), did) else { return true };
        micros(began) <= did.saturating_add(micros(SystemTime::UNIX_EPOCH + SLACK))
    }
}

/// When a process began (Linux; elsewhere that is not known).
fn began(pid: u32, now: SystemTime) -> Option<SystemTime> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let uptime = std::fs::read_to_string("/proc/uptime").ok()?;
    now.checked_sub(age(&stat, &uptime)?)
}

/// For how long a process has been there. Its program's name is in brackets and may hold blanks and brackets itself, so
/// fields are counted from behind the last one.
fn age(stat: &str, uptime: &str) -> Option<Duration> {
    let (_, after_name) = stat.rsplit_once(')')?;
    let start: u64 = after_name.split_ascii_whitespace().nth(19)?.parse().ok()?;
    let up = Duration::try_from_secs_f64(uptime.split_ascii_whitespace().next()?.parse().ok()?).ok()?;
    up.checked_sub(Duration::from_millis(start.checked_mul(1_000 / TICKS)?))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_age_of_a_process_is_what_the_kernel_counts() {
        let stat = "7 (a) b (c) S 1 7 7 0 -1 4194304 100 0 0 0 1 2 0 0 20 0 1 0 82550 3133440 390";
        assert_eq!(age(stat, "900.50 12.0\n"), Some(Duration::from_secs(75)));
        assert_eq!(age(stat, "1.0 1.0"), None);
        assert_eq!(age("nonsense", "900.50 12.0"), None);
    }

    #[test]
    fn this_process_lives_and_did_nothing_last_year() {
        let world = World::here();
        let (me, now) = (std::process::id(), micros(world.now));
        assert!(world.lives(me, Some(now)) && world.lives(me, None));
        assert!(!world.lives(me, Some(now - 365 * 86_400_000_000)) || !cfg!(target_os = "linux"));
    }
}
