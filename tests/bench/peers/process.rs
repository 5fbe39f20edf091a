//! A server process of one's own: a private directory, the server's core, gone when dropped or interrupted.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use super::stop;

/// A running process.
pub(super) struct Process {
    child: Child,
    directory: TempDir,
    signal: Signal,
    _stop: stop::Guard,
}

impl Process {
    /// Starts it. The signal is what it ends by at once, with its children.
    pub(super) fn start(mut command: Command, directory: TempDir, signal: Signal) -> Result<Self, String> {
        let log = std::fs::File::create(directory.path().join("log")).expect("a file in a directory of one's own");
        let errors = log.try_clone().expect("a second handle of a file");
        command.stdin(Stdio::null()).stdout(log).stderr(errors);
        let (child, guard) = stop::spawn(&mut command, signal, directory.path())
            .map_err(|error| format!("{}: {error}", command.get_program().display()))?;
        Ok(Self { child, directory, signal, _stop: guard })
    }

    pub(super) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Its directory.
    pub(super) fn dir(&self) -> &Path {
        self.directory.path()
    }

    /// What it said, and how it ended, where it has.
    pub(super) fn failure(&mut self) -> Option<String> {
        let status = self.child.try_wait().expect("a child can be asked")?;
        let log = std::fs::read_to_string(self.dir().join("log")).unwrap_or_default();
        Some(format!("{} ({status})", log.trim().lines().next_back().unwrap_or("it said nothing")))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).expect("a process id");
        if matches!(self.child.try_wait(), Ok(None)) {
            let _gone = kill_process(pid, self.signal);
        }
        let _status = self.child.wait();
    }
}

/// A temporary directory, and a port that nobody listens on at this moment.
pub(super) fn place() -> (TempDir, u16) {
    let directory = tempfile::Builder::new().prefix("poppo-peer-").tempdir().expect("a temporary directory");
    let listener = std::net::TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    (directory, listener.local_addr().expect("a bound address").port())
}

/// Whether a program can be found.
pub(super) fn found(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|directory| directory.join(program).is_file())
}
