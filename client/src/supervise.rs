//! A command that runs while, and only while, its lease lasts: how it is started, watched, stopped, and what it leaves.

use std::ffi::OsStr;
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use poppo::{Fate, Lease, Outcome};
use rustix::process::Signal;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep_until};

use crate::exit::Failure;
use crate::lease;
use crate::output::say;
use crate::process::{self, Stops};

/// What RESULT may hold.
const LARGEST_RESULT: u64 = 65_536;

/// How the command came to its end.
#[derive(Debug)]
pub(crate) enum Ending {
    /// By itself, or by somebody else's hand.
    Exited(ExitStatus),
    /// After a signal to us was passed on.
    Stopped(Signal),
    /// Since somebody asked for it.
    Cancelled,
    /// Since its lease was lost.
    Lost(Failure),
}

/// The command in a process group of its own, which ends with us where the system can do that. `stdin` where it may read.
pub(crate) fn command(words: &[String], stdin: Option<Stdio>) -> io::Result<Command> {
    let (program, arguments) = words.split_first().ok_or_else(|| io::Error::other("there is no command to run"))?;
    let mut command = Command::new(program);
    command.args(arguments).process_group(0).stdin(stdin.unwrap_or_else(Stdio::null));
    process::die_with_parent(&mut command);
    Ok(command)
}

/// Gives the command a variable that is anybody's text: a NUL, which no variable can hold, becomes a blank.
pub(crate) fn variable(command: &mut Command, name: &str, value: Option<impl AsRef<OsStr>>) {
    use std::os::unix::ffi::OsStrExt as _;
    match value {
        Some(value) => {
            let bytes: Vec<u8> =
                value.as_ref().as_bytes().iter().map(|byte| if *byte == 0 { b' ' } else { *byte }).collect();
            command.env(name, OsStr::from_bytes(&bytes));
        }
        // One that we ourselves were given is not about this task.
        None => drop(command.env_remove(name)),
    }
}

/// Where it is said that the command has to stop, once for each signal.
pub(crate) trait Stopping {
    /// The next signal.
    fn stopped(&mut self) -> impl Future<Output = Signal> + Send;
}

impl Stopping for Stops {
    fn stopped(&mut self) -> impl Future<Output = Signal> + Send {
        self.next()
    }
}

/// Waits for whatever comes first: the command's end, a signal from `stop`, or the end of the lease.
pub(crate) async fn supervise(
    child: &mut Child,
    lease: &Lease,
    grace: Duration,
    stop: &mut impl Stopping,
) -> io::Result<Ending> {
    let Some(group) = child.id() else { return Ok(Ending::Exited(child.wait().await?)) };
    let mut stopped = None;
    let mut kill_at = None;
    loop {
        tokio::select! {
            biased;
            status = child.wait() => {
                let status = status?;
                return Ok(stopped.map_or(Ending::Exited(status), Ending::Stopped));
            }
            signal = stop.stopped() => {
                process::ask_group_to_end(group, signal)?;
                stopped.get_or_insert(signal);
                kill_at.get_or_insert(Instant::now() + grace);
            }
            () = sleep_until(kill_at.unwrap_or_else(Instant::now)), if kill_at.is_some() => {
                process::signal_group(group, Signal::KILL)?;
                kill_at = None;
            }
            fate = lease.until_stopped() => {
                // After a freeze both may be true at once: it ended, and the lease is lost. What has ended reports, and
                // the server refuses the report in its own words.
                if let Some(status) = child.try_wait()? {
                    return Ok(Ending::Exited(status));
                }
                end(child, group, grace).await?;
                return Ok(match fate {
                    Fate::Cancelled => Ending::Cancelled,
                    fate => Ending::Lost(lease::lost(lease.issue(), lease.token(), &fate)),
                });
            }
        }
    }
}

/// Ends the command and everything in its group.
async fn end(child: &mut Child, group: u32, grace: Duration) -> io::Result<()> {
    // Waited for at the same time, since a leader that nobody waits for keeps its group in being.
    let (ended, _) = tokio::join!(process::end_group(group, grace), child.wait());
    ended
}

/// What an exit status means: 0 is done, and the one that was agreed on means that people have to answer first.
pub(crate) fn outcome(status: ExitStatus, awaiting: Option<u8>) -> Outcome {
    match status.code() {
        Some(0) => Outcome::Completed,
        Some(code) if awaiting.is_some_and(|awaiting| code == i32::from(awaiting)) => Outcome::AwaitingResponse,
        _ => Outcome::Error,
    }
}

/// The exit status in words.
pub(crate) fn describe(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit status {code}"),
        (None, Some(signal)) => format!("killed by signal {signal}"),
        (None, None) => status.to_string(),
    }
}

/// The exit status as one number; for a signal, the one that shells give.
pub(crate) fn exit_code(status: ExitStatus) -> Option<i32> {
    status.code().or_else(|| status.signal().map(|signal| 128 + signal))
}

/// `{"exit":3}`, for an issue that has no better result.
pub(crate) fn exit_as_json(status: ExitStatus) -> String {
    serde_json::json!({ "exit": exit_code(status) }).to_string()
}

/// The JSON that the command left in its result file. A file that is as it was before is an earlier run's, and not taken
/// for this one's. What cannot be used is said, and does not undo the work.
pub(crate) fn result(file: &Path, before: Option<&Metadata>) -> Option<String> {
    let now = match fs::metadata(file) {
        Ok(now) => now,
        Err(error) => {
            say(&format!("no result: {}: {error}", file.display()));
            return None;
        }
    };
    let is_same =
        before.is_some_and(|before| before.modified().ok() == now.modified().ok() && before.len() == now.len());
    if is_same {
        say(&format!("no result: the command did not write {}", file.display()));
        return None;
    }
    if now.len() > LARGEST_RESULT {
        say(&format!("no result: {} is longer than {LARGEST_RESULT} bytes", file.display()));
        return None;
    }
    let checked = fs::read_to_string(file).map_err(|error| error.to_string()).and_then(|text| {
        let json: serde_json::Value = serde_json::from_str(&text).map_err(|error| format!("not JSON: {error}"))?;
        drop(json);
        Ok(text.trim().to_owned())
    });
    checked.map_err(|error| say(&format!("no result: {}: {error}", file.display()))).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reason_tells_an_exit_from_a_signal() {
        assert_eq!(describe(ExitStatus::from_raw(3 << 8)), "exit status 3");
        assert_eq!(describe(ExitStatus::from_raw(9)), "killed by signal 9");
        assert_eq!(exit_as_json(ExitStatus::from_raw(3 << 8)), "{\"exit\":3}");
        assert_eq!(exit_as_json(ExitStatus::from_raw(9)), "{\"exit\":137}");
    }

    #[test]
    fn only_the_agreed_status_awaits_an_answer() {
        let exit = |code: i32| ExitStatus::from_raw(code << 8);
        assert_eq!(outcome(exit(0), Some(9)), Outcome::Completed);
        assert_eq!(outcome(exit(9), Some(9)), Outcome::AwaitingResponse);
        assert_eq!(outcome(exit(9), None), Outcome::Error);
        assert_eq!(outcome(ExitStatus::from_raw(9), Some(9)), Outcome::Error, "signal 9 is not exit status 9");
    }

    #[test]
    fn an_earlier_runs_result_is_not_taken_for_this_ones() -> io::Result<()> {
        let dir = tempfile::tempdir()?;
        let file = dir.path().join("out.json");
        assert_eq!(result(&file, None), None);
        fs::write(&file, "{\"pr\":77}\n")?;
        let before = fs::metadata(&file)?;
        assert_eq!(result(&file, Some(&before)), None);
        assert_eq!(result(&file, None), Some("{\"pr\":77}".to_owned()));
        fs::write(&file, "nonsense that is longer")?;
        assert_eq!(result(&file, Some(&before)), None);
        Ok(())
    }
}
