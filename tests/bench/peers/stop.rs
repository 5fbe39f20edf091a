//! Nothing stays behind: not when the run ends, which the destructors see to, nor when it is interrupted, which this does.
//!
//! Whatever is started is noted here, with its directory. On Ctrl-C and the like a thread ends what is noted, removes
//! the directories, and leaves.

use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};
use tokio::signal::unix::{SignalKind, signal};

/// What runs.
static RUNNING: Mutex<Vec<Noted>> = Mutex::new(Vec::new());

#[derive(Debug)]
struct Noted {
    process: u32,
    signal: Signal,
    directory: PathBuf,
}

/// Forgets a process when dropped.
#[derive(Debug)]
pub(super) struct Guard(u32);

impl Drop for Guard {
    fn drop(&mut self) {
        running().retain(|noted| noted.process != self.0);
    }
}

/// Starts a process in such a way that an interruption either ends it or comes before it.
pub(super) fn spawn(command: &mut Command, signal: Signal, directory: &Path) -> std::io::Result<(Child, Guard)> {
    let mut running = running();
    let child = command.spawn()?;
    running.push(Noted { process: child.id(), signal, directory: directory.to_owned() });
    let guard = Guard(child.id());
    Ok((child, guard))
}

/// Notes a process that was started elsewhere, and that may be killed.
pub(super) fn guard(process: u32, directory: &Path) -> Guard {
    running().push(Noted { process, signal: Signal::KILL, directory: directory.to_owned() });
    Guard(process)
}

/// From now on an interruption ends what runs, and then this process.
pub(super) fn on_signal() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().expect("a runtime");
    std::thread::spawn(move || {
        runtime.block_on(async {
            let listen = |kind| signal(kind).expect("a signal can be listened to");
            let (mut interrupt, mut terminate) = (listen(SignalKind::interrupt()), listen(SignalKind::terminate()));
            let mut hangup = listen(SignalKind::hangup());
            tokio::select! { _ = interrupt.recv() => {}, _ = terminate.recv() => {}, _ = hangup.recv() => {} }
        });
        // What the run says of servers that vanish under it is of no interest now.
        std::panic::set_hook(Box::new(|_| {
            loop {
                std::thread::park();
            }
        }));
        end_all(&running());
        eprintln!("\ninterrupted; what was started is gone");
        std::process::exit(130);
    });
}

fn end_all(running: &[Noted]) {
    /// Longer than any of them takes to end.
    const PATIENCE: Duration = Duration::from_secs(5);
    let pids = || running.iter().filter_map(|noted| Some((Pid::from_raw(i32::try_from(noted.process).ok()?)?, noted)));
    for (pid, noted) in pids() {
        let _gone = kill_process(pid, noted.signal);
    }
    let start = Instant::now();
    for (pid, noted) in pids() {
        // An error says that somebody else has waited for it.
        while matches!(waitpid(Some(pid), WaitOptions::NOHANG), Ok(None)) && start.elapsed() < PATIENCE {
            std::thread::sleep(Duration::from_millis(5));
        }
        let _gone = std::fs::remove_dir_all(&noted.directory);
    }
}

fn running() -> std::sync::MutexGuard<'static, Vec<Noted>> {
    RUNNING.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
