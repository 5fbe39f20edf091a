//! macOS: a kernel queue for each process, which becomes readable when it ends. Incarnations say nothing of start times
//! there, so PID and host are all that is compared; from the first look on, the queue is bound to the process itself.
//!
//! Written from the manual, and type-checked for macOS elsewhere; it has been run nowhere yet.

use std::sync::Arc;

use rustix::io::Errno;
use rustix::process::Pid;

use super::descriptor::Descriptor;
use super::polling::Polling;
use super::watch::{Birth, Cause, Sight, Watch, identify, sight};
use crate::process::watch_for_exit;

/// See the module.
#[derive(Debug)]
pub(super) struct Kqueue {
    /// Where no descriptor is left (EMFILE).
    otherwise: Polling,
}

impl Kqueue {
    pub(super) fn new() -> Self {
        Self { otherwise: Polling::new() }
    }
}

impl Watch for Kqueue {
    fn look(&self, pid: Pid, birth: Option<&Birth>) -> Sight {
        match watch_for_exit(pid) {
            Ok(queue) => match Descriptor::new(queue) {
                Ok(eye) => sight(identify(birth, None, pid, None), Arc::new(eye)),
                Err(_) => self.otherwise.look(pid, birth),
            },
            // A zombie counts as gone here, too.
            Err(Errno::SRCH) => Sight::Dead(Cause::Gone),
            Err(_) => self.otherwise.look(pid, birth),
        }
    }
}
