//! `poppo work`: the library's `Worker`, and a command that does its tasks.
//!
//! Here are its arguments, and what it makes of signals. What happens to one task is in `task`, its files are in
//! `files`, what is printed in `report`, when a failed task is tried again in `again`.

mod again;
mod files;
mod report;
mod task;

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::pin::pin;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use poppo::{Error, Holder, Life, Project, Refusal, Worker};
use rustix::process::Signal;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use self::again::Again;
use self::report::{Report, Tally};
use crate::cli::{Context, claim};
use crate::discover::Patience;
use crate::exit::{FAILED, Failure, LOST, NOT_STARTED};
use crate::human::parse_duration;
use crate::lease;
use crate::output::say;
use crate::process::{self, Stops};

/// Do the tasks of the queue: claim one, run a command for it, check it in, and so on
///
/// For each task the command is run once, while its lease lasts; heartbeats are sent meanwhile, one for all jobs. Exit
/// status 0 checks the issue in as `completed`, the status of --awaiting-exit as `awaiting-response`; both finish the task.
/// Anything else is a failure: the task is dead then (`poppo list --dead`, `poppo revive`), or with --retry waits again,
/// longer each time, until it has failed max-attempts times.
///
/// The command finds in its environment POPPO_ISSUE, POPPO_TOKEN, POPPO_PROJECT, POPPO_PROCESS, POPPO_TASK, POPPO_TYPE and
/// POPPO_ATTEMPTS (how many runs failed before), POPPO_TITLE where there is one, and POPPO_PAYLOAD where there is a payload:
/// the path of a file with its JSON. JSON that it writes to the file POPPO_RESULT becomes the result. Both files
/// are private, of this task alone, and removed after it. It runs in a process group of its own and reads nothing from
/// stdin; with --json its stdout goes to stderr.
///
/// A lease that is lost (the server says so, or has been away for as long as the lease lasts), or a task that was cancelled
/// (`poppo cancel`), stops the command: TERM, then KILL, to its whole process group. What was cancelled is checked in so;
/// what was lost is not reported at all.
///
/// INT, TERM or HUP drains: nothing new is claimed, what runs is finished, then it exits with 0. A second one stops what
/// runs, and puts its tasks back into the queue, where other workers find them at once. A server that goes away is waited
/// for: commands go on, and what they did is reported when it is back. Meanwhile the report is kept on disk, so that it is not
/// lost with this worker either: the next one delivers it, or `poppo spool deliver`.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Exit codes: 0 drained, or with --once done; 75 with --once nothing to claim, or another process of
this name is alive; 1 failed; 76 a lease was lost with --once, or another process took the name;
127 the command cannot be started; 128+N stopped by signal N while something ran.

Example:
  $ poppo enqueue 123 --type fix --title \"Crash on start\" --priority high
  $ poppo work --jobs 4 --types fix,docs --retry -- ./fix-issue.sh
  $ poppo work --once -- sh -c 'echo \"issue $POPPO_ISSUE: $POPPO_TITLE\"'")]
pub(crate) struct Args {
    /// How many tasks at a time: 1 to 256
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=256))]
    jobs: u16,

    /// Only tasks of these types
    #[arg(long, value_name = "TYPE,…", value_delimiter = ',')]
    types: Vec<String>,

    /// Take at most one task for each job, if there is one, and end
    #[arg(long)]
    once: bool,

    /// Have failed tasks wait again: first for BASE, then twice as long each time, up to MAX, each a random part shorter
    /// so that not all come back at once [default of BASE and MAX: base=30s,max=1h]
    #[arg(long, value_name = "base=…,max=…", num_args = 0..=1, default_missing_value = "")]
    retry: Option<Again>,

    // Not from POPPO_PROCESS: a `poppo work` inside another's command would take that one's name, and so its leases.
    /// The name of this process [default: HOST-PID]
    #[arg(long, value_name = "NAME")]
    process: Option<String>,

    /// How long a lease lasts without a heartbeat: 1s to 24h [default: the project's heartbeat-ttl]
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    ttl: Option<Duration>,

    /// How long a command may take to end after TERM, before KILL
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = parse_duration)]
    term_grace: Duration,

    /// The exit status by which the command says that people have to answer first: 1 to 255
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..))]
    awaiting_exit: Option<u8>,

    /// The command and its arguments
    #[arg(last = true, required = true, value_name = "CMD")]
    command: Vec<String>,
}

/// How far this worker is from its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// It takes what it can get.
    Working,
    /// It takes nothing new.
    Draining,
    /// It ends what runs.
    Stopping(Signal),
}

/// One run of a worker: what its tasks share.
struct Shift {
    args: Args,
    project: Project,
    holder: Holder,
    /// Whether stdout is for JSON alone.
    json: bool,
    report: Mutex<Report>,
    tally: Mutex<Tally>,
    /// Why it has to end early: the first reason counts.
    failure: Mutex<Option<Failure>>,
    phase: watch::Sender<Phase>,
    /// Cancelled with the first phase that takes nothing new.
    drain: CancellationToken,
}

pub(crate) async fn run(args: Args, context: &Context) -> Result<ExitCode, Failure> {
    let mut stops = Stops::listen()?;
    // A command that cannot be started would cost each task of the queue one of its attempts.
    let program = args.command.first().map(String::as_str).unwrap_or_default();
    if !is_program(program) {
        return Err(Failure::new(NOT_STARTED, "FAILED", format!("cannot start {program}: there is no such program")));
    }
    files::remove_what_the_dead_left();
    let usual = if args.once { Patience::NONE } else { Patience::Endless };
    let project = tokio::select! {
        project = context.project_after(usual) => project?,
        // Drained before it began.
        _ = stops.next() => return Ok(ExitCode::SUCCESS),
    };
    let life = Life::current();
    let process = args.process.clone().unwrap_or_else(|| life.default_process_name());
    let holder = lease::holder(&project, process, life);
    say(&format!("{} works on the tasks of project {}, {} at a time", holder.process(), project.key(), args.jobs));
    let shift = Arc::new(Shift::new(args, project, holder, context));
    let running = shift.worker().run({
        let shift = Arc::clone(&shift);
        move |lease| {
            let shift = Arc::clone(&shift);
            async move { shift.perform(lease).await }
        }
    });
    let mut running = pin!(running);
    let ended = loop {
        tokio::select! {
            ended = &mut running => break ended,
            signal = stops.next() => shift.hear(signal),
        }
    };
    shift.end(ended)
}

/// Whether there is a program of this name, as `execvp` looks for it.
fn is_program(name: &str) -> bool {
    let is_executable =
        |path: &Path| path.metadata().is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0);
    if name.contains('/') {
        return is_executable(Path::new(name));
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    !name.is_empty() && std::env::split_paths(&path).any(|folder| is_executable(&folder.join(name)))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shift {
    fn new(args: Args, project: Project, holder: Holder, context: &Context) -> Self {
        Self {
            args,
            project,
            holder,
            json: context.out.json,
            report: Mutex::new(Report::new(context.out)),
            tally: Mutex::default(),
            failure: Mutex::default(),
            phase: watch::Sender::new(Phase::Working),
            drain: CancellationToken::new(),
        }
    }

    fn worker(&self) -> Worker {
        let mut worker = Worker::of(self.holder.clone())
            .jobs(usize::from(self.args.jobs))
            .types(&self.args.types)
            .drain_on(self.drain.clone())
            // What runs is ended by TERM and KILL, so its end is sure to come; and reporting that may take long.
            .grace(Duration::MAX);
        if let Some(ttl) = self.args.ttl {
            worker = worker.ttl(ttl);
        }
        if self.args.once { worker.once() } else { worker }
    }

    fn hear(&self, signal: Signal) {
        if *self.phase.borrow() != Phase::Working {
            self.phase.send_replace(Phase::Stopping(signal));
            return;
        }
        self.take_nothing_new();
        let running = lock(&self.tally).running;
        if running > 0 {
            say(&format!("takes nothing new, and finishes what runs ({running}); once more to stop that, too"));
        }
    }

    fn take_nothing_new(&self) {
        self.phase.send_if_modified(|phase| {
            let was_working = *phase == Phase::Working;
            if was_working {
                *phase = Phase::Draining;
            }
            was_working
        });
        self.drain.cancel();
    }

    /// What makes no sense to go on with.
    fn fail(&self, failure: Failure) {
        lock(&self.failure).get_or_insert(failure);
        self.take_nothing_new();
    }

    /// What all of it came to.
    fn end(&self, ended: Result<(), Error>) -> Result<ExitCode, Failure> {
        if let Some(failure) = lock(&self.failure).take() {
            return Err(failure);
        }
        ended.map_err(|error| match error {
            Error::Refused(Refusal::NoProcess(text)) => Failure::new(LOST, "NOPROC", format!("{text} with --process")),
            other => other.into(),
        })?;
        if let Phase::Stopping(signal) = *self.phase.borrow() {
            return Ok(ExitCode::from(process::exit_by(signal)));
        }
        if !self.args.once {
            return Ok(ExitCode::SUCCESS);
        }
        match *lock(&self.tally) {
            Tally { lost: 1.., .. } => Ok(ExitCode::from(LOST)),
            Tally { failed: 1.., .. } => Ok(ExitCode::from(FAILED)),
            Tally { done: 0, .. } if *self.phase.borrow() == Phase::Working => Err(claim::nothing_to_claim()),
            Tally { .. } => Ok(ExitCode::SUCCESS),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_looked_for_as_the_system_does() {
        assert!(is_program("sh"));
        assert!(is_program("/bin/sh"));
        assert!(!is_program("no-such-program-anywhere"));
        assert!(!is_program("./no-such-program"));
        assert!(!is_program("/"));
        assert!(!is_program(""));
    }
}
