//! Ways to watch the processes of this host, and who is who: a PID alone does not tell, since PIDs are used again.

use std::fmt;
use std::pin::Pin;
use std::str::FromStr;
use std::sync::Arc;

use rustix::process::Pid;

/// A way to watch processes.
pub(super) trait Watch: Send + Sync {
    /// What runs under this PID, and whether it is who is looked for. Without a birth to compare with, whoever runs
    /// there is.
    fn look(&self, pid: Pid, birth: Option<&Birth>) -> Sight;
}

/// Somebody who watches one process.
pub(super) trait Eye: Send + Sync {
    /// Whether it lives at this moment.
    fn sees_life(&self) -> bool;

    /// Comes back when it has ended.
    fn end(self: Arc<Self>) -> End;
}

/// What comes back when a process has ended.
pub(super) type End = Pin<Box<dyn Future<Output = ()> + Send>>;

/// What was seen.
pub(super) enum Sight {
    /// Who is looked for lives.
    Alive(Arc<dyn Eye>),
    /// Somebody lives there, and the system does not tell who. If that one ends, whoever is looked for has ended.
    Somebody(Arc<dyn Eye>),
    /// Who is looked for is dead.
    Dead(Cause),
}

/// Why somebody is known to be dead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cause {
    /// Nothing runs under the PID.
    Gone,
    /// Another process does.
    Reused,
    /// The host was started again since.
    Rebooted,
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Gone => "its PID is gone",
            Self::Reused => "its PID is another process's now",
            Self::Rebooted => "its host was started again since",
        })
    }
}

/// When a process was born: what an INCARNATION of Poppo's own clients says on Linux, `<boot id>:<pid>:<start time>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Birth {
    boot: String,
    pid: u32,
    start: u64,
}

impl FromStr for Birth {
    type Err = ();

    /// Others may put anything there, which then tells lives apart, but is no statement about a process.
    fn from_str(text: &str) -> Result<Self, ()> {
        let mut parts = text.split(':');
        let (Some(boot), Some(pid), Some(start), None) = (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(());
        };
        let is_boot_id = boot.len() == 36 && boot.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
        match (is_boot_id, pid.parse(), start.parse()) {
            (true, Ok(pid), Ok(start)) => Ok(Self { boot: boot.to_owned(), pid, start }),
            _ => Err(()),
        }
    }
}

/// Whether who runs somewhere is who is looked for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Identity {
    Same,
    Other(Cause),
    Unknown,
}

/// Compares who is looked for with who runs under a PID since `start`, in the boot of this id.
pub(super) fn identify(birth: Option<&Birth>, boot: Option<&str>, pid: Pid, start: Option<u64>) -> Identity {
    let Some(birth) = birth else { return Identity::Same };
    if i64::from(birth.pid) != i64::from(pid.as_raw_nonzero().get()) {
        // The record contradicts itself, so neither half of it proves anything.
        return Identity::Unknown;
    }
    match (boot, start) {
        (Some(boot), _) if boot != birth.boot => Identity::Other(Cause::Rebooted),
        (Some(_), Some(start)) if start == birth.start => Identity::Same,
        (Some(_), Some(_)) => Identity::Other(Cause::Reused),
        _ => Identity::Unknown,
    }
}

/// What an eye that found somebody sees.
pub(super) fn sight(identity: Identity, eye: Arc<dyn Eye>) -> Sight {
    match identity {
        Identity::Same => Sight::Alive(eye),
        Identity::Unknown => Sight::Somebody(eye),
        Identity::Other(cause) => Sight::Dead(cause),
    }
}

/// The best way that this system has.
pub(super) fn best() -> Arc<dyn Watch> {
    #[cfg(target_os = "linux")]
    return Arc::new(super::pidfd::Pidfd::new());
    #[cfg(target_vendor = "apple")]
    return Arc::new(super::kqueue::Kqueue::new());
    #[cfg(not(any(target_os = "linux", target_vendor = "apple")))]
    return Arc::new(super::polling::Polling::new());
}

/// Makes room for a descriptor for each process: as many as this process may have at all.
pub(super) fn make_room() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    // Where that cannot be, processes beyond the limit are polled.
    let _polled_instead = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const BOOT: &str = "0d6f3c1e-1b64-4f6d-9d0a-2f8f2d3c4b5a";

    #[test]
    fn an_incarnation_of_our_own_is_a_statement_about_a_process() {
        let birth: Birth = format!("{BOOT}:17:4711").parse().unwrap();
        assert_eq!(birth, Birth { boot: BOOT.to_owned(), pid: 17, start: 4711 });
        for other in ["", "life-1", "boot1:88:1", "1750327200000000000:17", &format!("{BOOT}:17:4711:1")] {
            assert_eq!(other.parse::<Birth>(), Err(()), "{other}");
        }
        assert!(poppo::Life::current().incarnation.parse::<Birth>().is_ok() || !cfg!(target_os = "linux"));
    }

    #[test]
    fn who_runs_under_a_pid_is_who_is_looked_for_only_if_all_agrees() {
        let birth: Birth = format!("{BOOT}:17:4711").parse().unwrap();
        let (pid, other) = (Pid::from_raw(17).unwrap(), Pid::from_raw(18).unwrap());
        let identity = |pid, boot, start| identify(Some(&birth), boot, pid, start);
        assert_eq!(identity(pid, Some(BOOT), Some(4711)), Identity::Same);
        assert_eq!(identity(pid, Some(BOOT), Some(4712)), Identity::Other(Cause::Reused));
        assert_eq!(identity(pid, Some("another"), Some(4711)), Identity::Other(Cause::Rebooted));
        assert_eq!(identity(pid, Some("another"), None), Identity::Other(Cause::Rebooted));
        assert_eq!(identity(pid, Some(BOOT), None), Identity::Unknown);
        assert_eq!(identity(pid, None, Some(4711)), Identity::Unknown);
        assert_eq!(identity(other, Some(BOOT), Some(4711)), Identity::Unknown);
        assert_eq!(identify(None, None, pid, None), Identity::Same);
    }
}
