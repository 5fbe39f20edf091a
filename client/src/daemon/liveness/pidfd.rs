//! Linux: a descriptor of the process itself. It goes on meaning that process when the PID is used again, and becomes
//! readable when all its threads have ended, whether or not its parent has noticed.

use std::sync::Arc;

use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use super::descriptor::Descriptor;
use super::polling::Polling;
use super::procfs::{self, Stat};
use super::watch::{Birth, Cause, Eye as _, Identity, Sight, Watch, identify, sight};

/// See the module.
#[derive(Debug)]
pub(super) struct Pidfd {
    boot: Option<String>,
    /// For kernels and containers without it (ENOSYS, EPERM), and where no descriptor is left (EMFILE).
    otherwise: Polling,
}

impl Pidfd {
    pub(super) fn new() -> Self {
        Self { boot: procfs::boot_id(), otherwise: Polling::new() }
    }
}

impl Watch for Pidfd {
    fn look(&self, pid: Pid, birth: Option<&Birth>) -> Sight {
        let boot = self.boot.as_deref();
        if let Identity::Other(cause) = identify(birth, boot, pid, None) {
            return Sight::Dead(cause);
        }
        let eye = match pidfd_open(pid, PidfdFlags::empty()) {
            Ok(descriptor) => Descriptor::new(descriptor),
            Err(Errno::SRCH) => return Sight::Dead(Cause::Gone),
            Err(error) => Err(error.into()),
        };
        let Ok(eye) = eye else { return self.otherwise.look(pid, birth) };
        // Only now, and then whether it has ended: while it has not, nobody else can have had its PID.
        let start = Stat::read(pid).map(|stat| stat.start);
        if !eye.sees_life() {
            return Sight::Dead(Cause::Gone);
        }
        sight(identify(birth, boot, pid, start), Arc::new(eye))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use std::process::{Child, Command, Stdio};

    use poppo::Life;

    use super::*;

    fn child() -> (Child, Pid) {
        let child = Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        let pid = Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
        (child, pid)
    }

    fn ways() -> [Arc<dyn Watch>; 2] {
        [Arc::new(Pidfd::new()), Arc::new(Polling::new())]
    }

    fn birth(pid: Pid, by: u64) -> Birth {
        let start = Stat::read(pid).unwrap().start + by;
        format!("{}:{}:{start}", procfs::boot_id().unwrap(), pid.as_raw_nonzero()).parse().unwrap()
    }

    #[tokio::test]
    async fn an_end_is_told_also_while_nobody_has_reaped_it() {
        for way in ways() {
            let (mut child, pid) = child();
            let Sight::Alive(eye) = way.look(pid, Some(&birth(pid, 0))) else { panic!("it lives") };
            assert!(eye.sees_life());
            child.kill().unwrap();
            Arc::clone(&eye).end().await;
            assert!(!eye.sees_life());
            assert!(matches!(way.look(pid, None), Sight::Dead(Cause::Gone)), "a zombie is dead");
            child.wait().unwrap();
            assert!(matches!(way.look(pid, None), Sight::Dead(Cause::Gone)));
        }
    }

    #[tokio::test]
    async fn another_process_under_the_pid_is_not_who_is_looked_for() {
        for way in ways() {
            let (mut child, pid) = child();
            assert!(matches!(way.look(pid, Some(&birth(pid, 1))), Sight::Dead(Cause::Reused)));
            let other = format!("{}:{}:1", "0".repeat(36), pid.as_raw_nonzero()).parse().unwrap();
            assert!(matches!(way.look(pid, Some(&other)), Sight::Dead(Cause::Rebooted)));
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    #[tokio::test]
    async fn whoever_may_not_be_signalled_is_alive() {
        for way in ways() {
            assert!(matches!(way.look(Pid::INIT, None), Sight::Alive(_)));
        }
    }

    #[tokio::test]
    async fn this_very_process_is_who_its_incarnation_says() {
        let life = Life::current();
        let pid = rustix::process::getpid();
        for way in ways() {
            assert!(matches!(way.look(pid, life.incarnation.parse().ok().as_ref()), Sight::Alive(_)));
        }
    }
}
