//! Processes as the operating system has them: groups, signals, and children that do not outlive their parent.
//!
//! The only unsafe code of this crate is here, in [`die_with_parent`] and, on macOS, `watch_for_exit`.

use std::io;
use std::path::Path;
use std::time::Duration;

use rustix::process::{Pid, Signal};
use tokio::process::Command;
use tokio::signal::unix::{self, SignalKind};
use tokio::time::{Instant, sleep};

/// How often a group that was told to end is looked at.
const GLANCE: Duration = Duration::from_millis(25);

/// Has the child told to end (TERM) when its parent ends, even by `kill -9`. Only Linux can do that; elsewhere this does
/// nothing. It reaches the child alone, not what the child started.
#[cfg(target_os = "linux")]
#[allow(unsafe_code)]
pub(crate) fn die_with_parent(command: &mut Command) {
    let parent = rustix::process::getpid();
    let hook = move || {
        rustix::process::set_parent_process_death_signal(Some(Signal::TERM))?;
        // The parent may have died before the line above: then no signal would ever come.
        if rustix::process::getppid() == Some(parent) { Ok(()) } else { Err(rustix::io::Errno::SRCH.into()) }
    };
    // SAFETY: the hook runs between fork and exec, where only async-signal-safe calls are allowed. It makes two plain
    // system calls (prctl, getppid), allocates nothing, takes no lock, and captures a number.
    unsafe {
        command.pre_exec(hook);
    }
}

/// Only Linux can do that.
#[cfg(not(target_os = "linux"))]
pub(crate) fn die_with_parent(_command: &mut Command) {}

/// A kernel queue that has something to read once a process has ended. A process that has ended already is not found
/// (`SRCH`).
#[cfg(target_vendor = "apple")]
#[allow(unsafe_code)]
pub(crate) fn watch_for_exit(pid: Pid) -> rustix::io::Result<std::os::fd::OwnedFd> {
    use rustix::event::kqueue::{Event, EventFilter, EventFlags, ProcessEvents, kevent, kqueue};
    let queue = kqueue()?;
    let filter = EventFilter::Proc { pid, flags: ProcessEvents::EXIT };
    let change = Event::new(filter, EventFlags::ADD | EventFlags::ONESHOT, std::ptr::null_mut());
    let mut none: [Event; 0] = [];
    // SAFETY: the descriptors that the events name must stay open as long as the queue; this event names a process, and
    // no descriptor.
    unsafe { kevent(&queue, &[change], &mut none[..], None) }?;
    Ok(queue)
}

/// Sends a signal to every process of a group. A group that is gone needs none.
pub(crate) fn signal_group(group: u32, signal: Signal) -> io::Result<()> {
    let Some(group) = pid(group) else { return Ok(()) };
    match rustix::process::kill_process_group(group, signal) {
        Err(rustix::io::Errno::SRCH) => Ok(()),
        other => other.map_err(io::Error::from),
    }
}

/// Asks every process of a group to end with this signal. One that is stopped (TTIN, STOP) would not hear it, so it is
/// woken, too.
pub(crate) fn ask_group_to_end(group: u32, signal: Signal) -> io::Result<()> {
    signal_group(group, signal)?;
    signal_group(group, Signal::CONT)
}

/// Whether nobody is left in a group. Those that have ended do not count, even if their parent has not noticed: in a
/// container whose first process reaps nobody, it never will.
fn group_is_gone(group: u32) -> bool {
    let Some(id) = pid(group) else { return true };
    if rustix::process::test_kill_process_group(id) == Err(rustix::io::Errno::SRCH) {
        return true;
    }
    // Where /proc cannot be read, what the signal found has to count.
    let Ok(processes) = std::fs::read_dir("/proc") else { return false };
    let mut stats = processes.flatten().filter_map(|entry| std::fs::read_to_string(entry.path().join("stat")).ok());
    cfg!(target_os = "linux") && !stats.any(|stat| is_living_member(&stat, group))
}

/// Whether `/proc/<pid>/stat` is of a process of this group that has not ended. Behind the name, which is in brackets and
/// may hold brackets itself, come state, parent and group.
fn is_living_member(stat: &str, group: u32) -> bool {
    let Some((_, after_name)) = stat.rsplit_once(')') else { return false };
    let mut fields = after_name.split_ascii_whitespace();
    let state = fields.next();
    let is_member = fields.nth(1).and_then(|field| field.parse().ok()) == Some(group);
    is_member && !matches!(state, Some("Z" | "X"))
}

/// Ends a group: TERM, and KILL for whoever is left after the grace.
pub(crate) async fn end_group(group: u32, grace: Duration) -> io::Result<()> {
    ask_group_to_end(group, Signal::TERM)?;
    let deadline = Instant::now() + grace;
    while !group_is_gone(group) {
        if Instant::now() >= deadline {
            return signal_group(group, Signal::KILL);
        }
        sleep(GLANCE).await;
    }
    Ok(())
}

/// Whether a process runs. One of another user does, too: the answer is then "not permitted".
pub(crate) fn is_alive(process: u32) -> bool {
    pid(process).is_some_and(|pid| rustix::process::test_kill_process(pid) != Err(rustix::io::Errno::SRCH))
}

/// Whether a process has ended, also where its parent has not noticed yet (Linux; elsewhere only whether it is gone).
pub(crate) fn has_ended(process: u32) -> bool {
    let stat = std::fs::read_to_string(Path::new("/proc").join(process.to_string()).join("stat"));
    let is_zombie = stat.is_ok_and(|stat| stat.rsplit_once(')').is_some_and(|(_, rest)| rest.starts_with(" Z")));
    is_zombie || !is_alive(process)
}

fn pid(number: u32) -> Option<Pid> {
    i32::try_from(number).ok().and_then(Pid::from_raw)
}

/// The signals that ask to stop: Ctrl-C, TERM, and the terminal going away.
pub(crate) struct Stops {
    interrupt: unix::Signal,
    terminate: unix::Signal,
    /// None where it is ignored, as `nohup` has it.
    hangup: Option<unix::Signal>,
}

impl Stops {
    /// From now on these signals no longer end this process by themselves.
    pub(crate) fn listen() -> io::Result<Self> {
        Ok(Self {
            interrupt: unix::signal(SignalKind::interrupt())?,
            terminate: unix::signal(SignalKind::terminate())?,
            hangup: if ignores(Signal::HUP) { None } else { Some(unix::signal(SignalKind::hangup())?) },
        })
    }

    /// The next of them.
    pub(crate) async fn next(&mut self) -> Signal {
        let hangup = async {
            match &mut self.hangup {
                Some(hangup) => drop(hangup.recv().await),
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = self.interrupt.recv() => Signal::INT,
            _ = self.terminate.recv() => Signal::TERM,
            () = hangup => Signal::HUP,
        }
    }
}

/// Whether this process was started with the signal ignored (Linux; elsewhere the answer is no).
fn ignores(signal: Signal) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    is_in_mask(&status, signal)
}

/// Reads the mask in `/proc/<pid>/status`: hexadecimal, signal 1 is the lowest bit.
fn is_in_mask(status: &str, signal: Signal) -> bool {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or_default();
    mask >> (signal.as_raw() - 1) & 1 == 1
}

/// The exit code that shells give to a process that a signal ended.
pub(crate) fn exit_by(signal: Signal) -> u8 {
    u8::try_from(signal.as_raw()).map_or(u8::MAX, |number| number.saturating_add(128))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ignored_signal_is_found_in_the_mask() {
        let status = "Name:\tpoppo\nSigBlk:\tffffffffffffffff\nSigIgn:\t0000000000001001\nSigCgt:\t0\n";
        assert!(is_in_mask(status, Signal::HUP));
        assert!(!is_in_mask(status, Signal::INT));
        assert!(!is_in_mask("", Signal::HUP));
    }

    #[test]
    fn only_the_living_are_members_of_a_group() {
        assert!(is_living_member("8 (a) b) S 1 7 7 0 -1", 7));
        assert!(!is_living_member("8 (a) Z 1 7 7 0 -1", 7));
        assert!(!is_living_member("8 (a) S 7 8 7 0 -1", 7));
        assert!(!is_living_member("", 7));
    }

    #[test]
    fn this_process_is_alive_and_has_not_ended() {
        assert!(is_alive(std::process::id()));
        assert!(!has_ended(std::process::id()));
    }

    #[test]
    fn a_signalled_process_has_the_exit_code_of_shells() {
        assert_eq!(exit_by(Signal::INT), 130);
        assert_eq!(exit_by(Signal::TERM), 143);
    }
}
