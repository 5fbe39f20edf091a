//! `poppo run`: a command that runs while, and only while, its lease lasts.
//!
//! The server decides who has an issue, never this file. It stops its command when the server says that the lease is
//! gone, or when the server has been silent for as long as the lease may be: from then on somebody else may have it.

use std::cell::Cell;
use std::fs::Metadata;
use std::io;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::process::{ExitCode, ExitStatus, Stdio};
use std::time::Duration;
use std::{fs, io::IsTerminal as _, os::unix::process::ExitStatusExt as _};

use poppo::{Checkin, Checkout, Error, Heartbeat, IssueNumber, Life, Outcome, Project, Refusal, Token};
use rustix::process::Signal;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::cli::Context;
use crate::exit::{FAILED, Failure, LOST, NOT_STARTED};
use crate::human::{duration, parse_duration};
use crate::output::say;
use crate::process::{self, Stops};
use crate::retry::Retry;

/// What a lease lasts without a beat where neither --ttl nor, so far, the server said.
const DEFAULT_TTL: Duration = Duration::from_secs(30 * 60);
/// Beats come three in a TTL, so that two may be lost, and at least this often.
const LONGEST_PERIOD: Duration = Duration::from_secs(60);
/// What is done while the server does not answer.
const TRYING: &str = "trying again while the lease lasts";
/// What RESULT may hold.
const LARGEST_RESULT: u64 = 65_536;

/// Check an issue out, run a command while it is ours, and check it in by how the command ended
///
/// Heartbeats are sent while the command runs. Exit status 0 checks the issue in as `completed`, anything else as
/// `error`. Where the lease is lost (the server says so, or has been away for as long as the lease lasts), the command
/// gets TERM, then KILL, and nothing is reported. INT, TERM and HUP are passed on, and the issue is checked in as
/// `cancelled`.
///
/// The command finds POPPO_ISSUE, POPPO_TOKEN, POPPO_PROJECT and POPPO_PROCESS in its environment. Whatever it changes
/// elsewhere should carry the token along: the higher one is the newer lease. It runs in a process group of its own
/// and therefore cannot read from the terminal. On Linux it gets TERM if `poppo run` is killed; what it started itself
/// does not.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Exit codes: 0 the command did it, 1 it failed, 75 somebody else has the issue, 76 the lease was
lost, 127 the command cannot be started, 128+N stopped by signal N.

Example:
  $ poppo run 123 --title \"Crash on start\" --ttl 5m -- ./fix-issue.sh
  $ for n in $(gh issue list --json number -q '.[].number'); do
      poppo run $n --once --result-file out.json -- ./agent.sh
    done")]
pub(crate) struct Args {
    /// The issue's number
    issue: IssueNumber,

    // Not from POPPO_PROCESS: a `poppo run` inside another's command would take that one's name, and so its lease.
    /// The name of this process [default: HOST-PID]
    #[arg(long, value_name = "NAME")]
    process: Option<String>,

    /// The kind of task, such as fix
    #[arg(long = "type", value_name = "TYPE")]
    task_type: Option<String>,

    /// The issue's title
    #[arg(long)]
    title: Option<String>,

    /// How long the lease lasts without a heartbeat: 1s to 24h [default: the project's heartbeat-ttl]
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    ttl: Option<Duration>,

    /// Only if the issue was never completed
    #[arg(long)]
    once: bool,

    /// Also from a holder that is an orphan; a live one keeps it
    #[arg(long)]
    takeover: bool,

    /// How long the command may take to end after TERM, before KILL
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = parse_duration)]
    term_grace: Duration,

    /// A file that the command writes, whose JSON becomes the issue's result
    #[arg(long, value_name = "FILE")]
    result_file: Option<PathBuf>,

    /// The command and its arguments
    #[arg(last = true, required = true, value_name = "CMD")]
    command: Vec<String>,
}

/// A lease that is held, and when the server last confirmed it.
struct Held {
    project: Project,
    issue: IssueNumber,
    token: Token,
    process: String,
    incarnation: String,
    /// How long it lasts without a beat.
    ttl: Cell<Duration>,
    /// When the last beat that was answered had been sent.
    confirmed: Cell<Instant>,
}

/// How the command came to its end.
enum Ending {
    /// By itself, or by somebody else's hand.
    Exited(ExitStatus),
    /// After a signal to us was passed on.
    Cancelled(Signal),
    /// Since its lease was lost.
    Lost(Failure),
}

pub(crate) async fn run(args: Args, context: &Context) -> Result<ExitCode, Failure> {
    // From here on a signal waits for us, so that none comes between the checkout and the command.
    let mut stops = Stops::listen()?;
    let project = context.project().await?;
    let held = checkout(&args, project).await?;
    let before = args.result_file.as_deref().and_then(|file| fs::metadata(file).ok());

    let mut child = match spawn(&args, &held) {
        Ok(child) => child,
        Err(error) => return not_started(&args, &held, &error, &mut stops).await,
    };
    let ending = supervise(&mut child, &held, args.term_grace, &mut stops).await?;

    let mut report = Checkin::new(held.issue, &held.process, Outcome::Completed);
    match ending {
        Ending::Lost(failure) => Err(failure),
        Ending::Cancelled(signal) => {
            report.outcome = Outcome::Cancelled;
            report.reason = Some(format!("stopped by signal {}", signal.as_raw()));
            held.check_in(report, &mut stops).await?;
            Ok(ExitCode::from(process::exit_by(signal)))
        }
        Ending::Exited(status) => {
            report.result = args.result_file.as_deref().and_then(|file| result(file, before.as_ref()));
            let failed = describe(status);
            if let Some(how) = &failed {
                report.outcome = Outcome::Error;
                report.reason = Some(how.clone());
                report.result = report.result.or_else(|| Some(exit_as_json(status)));
            }
            held.check_in(report, &mut stops).await?;
            match failed {
                None => Ok(ExitCode::SUCCESS),
                Some(how) => {
                    let message = format!("the command ended with {how}; issue {} is checked in as error", held.issue);
                    Err(Failure::failed(message))
                }
            }
        }
    }
}

async fn checkout(args: &Args, project: Project) -> Result<Held, Failure> {
    let life = Life::current();
    let process = args.process.clone().unwrap_or_else(|| life.default_process_name());
    let mut checkout = Checkout::new(args.issue, process).by(&life);
    checkout.task_type.clone_from(&args.task_type);
    checkout.title.clone_from(&args.title);
    checkout.ttl = args.ttl;
    checkout.once = args.once;
    checkout.takeover = args.takeover;
    let asked = Instant::now();
    let token = project.checkout(&checkout).await?;
    Ok(Held {
        project,
        issue: args.issue,
        token,
        process: checkout.process,
        incarnation: life.incarnation,
        ttl: Cell::new(args.ttl.unwrap_or(DEFAULT_TTL)),
        confirmed: Cell::new(asked),
    })
}

fn spawn(args: &Args, held: &Held) -> io::Result<Child> {
    let (program, arguments) =
        args.command.split_first().ok_or_else(|| io::Error::other("there is no command to run"))?;
    let mut command = Command::new(program);
    command
        .args(arguments)
        .env("POPPO_ISSUE", held.issue.to_string())
        .env("POPPO_TOKEN", held.token.to_string())
        .env("POPPO_PROJECT", held.project.key())
        .env("POPPO_PROCESS", &held.process)
        .process_group(0);
    if io::stdin().is_terminal() {
        // A group in the background that reads from its terminal is stopped (TTIN) and would hold its lease for ever.
        command.stdin(Stdio::null());
    }
    process::die_with_parent(&mut command);
    command.spawn()
}

async fn not_started(args: &Args, held: &Held, error: &io::Error, stops: &mut Stops) -> Result<ExitCode, Failure> {
    let program = args.command.first().map(String::as_str).unwrap_or_default();
    let message = format!("cannot start {program}: {error}");
    let mut report = Checkin::new(held.issue, &held.process, Outcome::Error);
    report.reason = Some(message.clone());
    held.check_in(report, stops).await?;
    Err(Failure::new(NOT_STARTED, "FAILED", message))
}

/// Waits for whatever comes first: the command's end, a signal to us, or the loss of the lease.
async fn supervise(child: &mut Child, held: &Held, grace: Duration, stops: &mut Stops) -> Result<Ending, Failure> {
    let Some(group) = child.id() else { return Ok(Ending::Exited(child.wait().await?)) };
    let mut loss = pin!(held.beat_until_lost());
    let mut stopped = None;
    let mut kill_at = None;
    loop {
        tokio::select! {
            biased;
            status = child.wait() => {
                let status = status?;
                return Ok(stopped.map_or(Ending::Exited(status), Ending::Cancelled));
            }
            signal = stops.next() => {
                process::ask_group_to_end(group, signal)?;
                stopped.get_or_insert(signal);
                kill_at.get_or_insert(Instant::now() + grace);
            }
            () = sleep_until(kill_at.unwrap_or_else(Instant::now)), if kill_at.is_some() => {
                process::signal_group(group, Signal::KILL)?;
                kill_at = None;
            }
            failure = &mut loss => {
                // After a freeze both may be true at once: it ended, and the lease is lost. What has ended reports, and
                // the server refuses the report in its own words.
                if let Some(status) = child.try_wait()? {
                    return Ok(Ending::Exited(status));
                }
                end(child, group, grace).await?;
                return Ok(Ending::Lost(failure));
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

impl Held {
    /// Beats, and comes back only when the lease is lost, with why.
    async fn beat_until_lost(&self) -> Failure {
        let mut heartbeat = Heartbeat::new(&self.process);
        heartbeat.incarnation = Some(self.incarnation.clone());
        let mut retry = Retry::default();
        // The first beat is sent at once: its answer says what TTL the project gave us.
        loop {
            let sent = Instant::now();
            match timeout(self.patience(), self.project.heartbeat(&heartbeat)).await {
                Ok(Ok(beat)) if beat.holds(self.issue, self.token) => {
                    self.confirmed.set(sent);
                    self.ttl.set(beat.time_to_live());
                    retry = Retry::default();
                    sleep(self.period()).await;
                }
                Ok(Ok(_)) => return self.lost("LOST", "is no longer ours"),
                Ok(Err(Error::Refused(refusal @ Refusal::NoProcess(_)))) => {
                    return self.lost(refusal.code(), &format!("is no longer ours: {refusal}"));
                }
                other => {
                    // After a freeze much time may have passed, but a server that answers knows better than our clock:
                    // hence the clock is asked only where no answer came.
                    if Instant::now() >= self.deadline() {
                        let ttl = duration(self.ttl.get());
                        return self
                            .lost("LOST", &format!("may be another's by now: no heartbeat was answered for {ttl}"));
                    }
                    let what = match other {
                        Ok(Err(error)) => error.to_string(),
                        _ => {
                            self.project.client().disconnect().await;
                            format!("{} does not answer", self.project.client().url())
                        }
                    };
                    retry.warn(&what, TRYING);
                    sleep(retry.pause().min(self.deadline().saturating_duration_since(Instant::now()))).await;
                }
            }
        }
    }

    /// Checks in, and keeps trying while the lease lasts. The report is always sent at least once, however late it is:
    /// its token makes the server refuse what no longer counts.
    async fn check_in(&self, mut report: Checkin, stops: &mut Stops) -> Result<(), Failure> {
        report.token = Some(self.token);
        report.incarnation = Some(self.incarnation.clone());
        let mut retry = Retry::default();
        loop {
            let error = match self.project.checkin(&report).await {
                Ok(()) => return Ok(()),
                // Whatever the refusal, the lease that we had is not there any more.
                Err(Error::Refused(refusal)) => return Err(Failure::new(LOST, refusal.code(), refusal.to_string())),
                Err(error @ (Error::BadArgument(_) | Error::Answer { .. })) => return Err(error.into()),
                Err(error) => error,
            };
            if Instant::now() >= self.deadline() {
                let (issue, outcome) = (self.issue, report.outcome);
                let message = format!("issue {issue} could not be checked in as {outcome}: {error}");
                return Err(Failure::new(FAILED, error.code(), message));
            }
            retry.warn(&error.to_string(), TRYING);
            tokio::select! {
                () = sleep(retry.pause()) => {}
                _ = stops.next() => return Err(error.into()),
            }
        }
    }

    fn lost(&self, code: &str, why: &str) -> Failure {
        let message = format!("issue {} (token {}) {why}; the command was stopped", self.issue, self.token);
        Failure::new(LOST, code, message)
    }

    /// When the lease may be another's, unless it is confirmed until then.
    fn deadline(&self) -> Instant {
        self.confirmed.get() + self.ttl.get()
    }

    fn period(&self) -> Duration {
        (self.ttl.get() / 3).min(LONGEST_PERIOD)
    }

    /// For how long an answer is waited for: not beyond the deadline, but never so short that none could come.
    fn patience(&self) -> Duration {
        self.period().max(Duration::from_millis(300)).min(Duration::from_secs(10))
    }
}

/// What went wrong, in the words that the issue keeps as its reason; none for success.
fn describe(status: ExitStatus) -> Option<String> {
    match (status.code(), status.signal()) {
        (Some(0), _) => None,
        (Some(code), _) => Some(format!("exit status {code}")),
        (None, Some(signal)) => Some(format!("killed by signal {signal}")),
        (None, None) => Some(status.to_string()),
    }
}

/// `{"exit":3}`; for a signal, the number that shells give.
fn exit_as_json(status: ExitStatus) -> String {
    let exit = status.code().or_else(|| status.signal().map(|signal| 128 + signal));
    serde_json::json!({ "exit": exit }).to_string()
}

/// The JSON that the command left in its result file. A file that is as it was before is an earlier run's, and not taken
/// for this one's. What cannot be used is said, and does not undo the work.
fn result(file: &Path, before: Option<&Metadata>) -> Option<String> {
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
        assert_eq!(describe(ExitStatus::from_raw(0)), None);
        assert_eq!(describe(ExitStatus::from_raw(3 << 8)), Some("exit status 3".to_owned()));
        assert_eq!(describe(ExitStatus::from_raw(9)), Some("killed by signal 9".to_owned()));
        assert_eq!(exit_as_json(ExitStatus::from_raw(3 << 8)), "{\"exit\":3}");
        assert_eq!(exit_as_json(ExitStatus::from_raw(9)), "{\"exit\":137}");
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
