//! Watching where the system does not tell of ends by itself, or has no descriptor left: looking, again and again.

use std::sync::Arc;
use std::time::Duration;

use rustix::io::Errno;
use rustix::process::{Pid, test_kill_process};
use tokio::time::sleep;

use super::procfs::{self, Stat};
use super::watch::{Birth, Cause, End, Eye, Identity, Sight, Watch, identify, sight};

/// How often a process is looked at.
const GLANCE: Duration = Duration::from_millis(500);

/// Signal 0, and when the process began.
#[derive(Debug)]
pub(super) struct Polling {
    boot: Option<String>,
}

impl Polling {
    pub(super) fn new() -> Self {
        Self { boot: procfs::boot_id() }
    }
}

impl Watch for Polling {
    fn look(&self, pid: Pid, birth: Option<&Birth>) -> Sight {
        let stat = Stat::read(pid);
        if !exists(pid) || stat.as_ref().is_some_and(Stat::has_ended) {
            return match identify(birth, self.boot.as_deref(), pid, None) {
                Identity::Other(cause) => Sight::Dead(cause),
                _ => Sight::Dead(Cause::Gone),
            };
        }
        let start = stat.map(|stat| stat.start);
        let identity = identify(birth, self.boot.as_deref(), pid, start);
        sight(identity, Arc::new(Glances { pid, start }))
    }
}

/// Whether a process of this PID exists. One of another user's does, too: the answer is then "not permitted".
fn exists(pid: Pid) -> bool {
    test_kill_process(pid) != Err(Errno::SRCH)
}

/// Looks again and again whether it still is the same that was seen first.
struct Glances {
    pid: Pid,
    start: Option<u64>,
}

impl Eye for Glances {
    fn sees_life(&self) -> bool {
        let Some(start) = self.start else { return exists(self.pid) };
        Stat::read(self.pid).is_some_and(|stat| stat.start == start && !stat.has_ended())
    }

    fn end(self: Arc<Self>) -> End {
        Box::pin(async move {
            while self.sees_life() {
                sleep(GLANCE).await;
            }
        })
    }
}
