//! `poppo work`: the loop of a worker. It claims tasks and has a command do them, some at a time.
//!
//! Here are its arguments and who does what when: claims, slots, signals. What happens to one task is in `slot`, what is
//! printed in `report`, when a failed task is tried again in `again`.

mod again;
mod report;
mod slot;

use std::cell::{Cell, RefCell};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::pin::Pin;
use std::process::ExitCode;
use std::rc::Rc;
use std::time::Duration;

use poppo::{Block, Claim, Error, Holder, Lease, Life, Project};
use rustix::process::Signal;
use tokio::sync::watch;
use tokio::task::{JoinSet, LocalSet};
use tokio::time::{Instant, sleep};

use self::again::Again;
use self::report::Report;
use self::slot::{Slot, Tally};
use crate::cli::{Context, claim};
use crate::exit::{FAILED, Failure, LOST, NOT_STARTED};
use crate::human::parse_duration;
use crate::lease;
use crate::output::say;
use crate::process::{self, Stops};
use crate::retry::Retry;

/// For how long the server is asked to wait for a task at a time. Then it is asked again, so that a connection that leads
/// nowhere is noticed.
const SLICE: Duration = Duration::from_secs(30);
/// Where the server answers "nothing" without having waited, it is asked again after this.
const PAUSE: Duration = Duration::from_secs(1);

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

/// What the slots of one worker share.
struct Worker {
    args: Args,
    project: Project,
    holder: Holder,
    report: RefCell<Report>,
    /// Whether stdout is for JSON alone.
    json: bool,
    /// Whether it was said that the server lost its data.
    has_said_unknown: Cell<bool>,
}

pub(crate) async fn run(args: Args, context: &Context) -> Result<ExitCode, Failure> {
    let mut stops = Stops::listen()?;
    // A command that cannot be started would cost each task of the queue one of its attempts.
    let program = args.command.first().map(String::as_str).unwrap_or_default();
    if !is_program(program) {
        return Err(Failure::new(NOT_STARTED, "FAILED", format!("cannot start {program}: there is no such program")));
    }
    let project = context.project().await?;
    let life = Life::current();
    let process = args.process.clone().unwrap_or_else(|| life.default_process_name());
    let holder = lease::holder(&project, process, life).await;
    let report = RefCell::new(Report::new(context.out));
    let worker =
        Rc::new(Worker { args, project, holder, report, json: context.out.json, has_said_unknown: Cell::new(false) });
    let ended = LocalSet::new().run_until(Shift::new(&worker).work(&mut stops)).await;
    lease::settle(&worker.holder).await;
    ended
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

/// The answer of a claim that is under way.
type Claiming = Pin<Box<dyn Future<Output = Result<Option<Lease>, Failure>>>>;

/// One run of a worker, from its start to its end.
struct Shift {
    worker: Rc<Worker>,
    phase: watch::Sender<Phase>,
    slots: JoinSet<Result<Tally, Failure>>,
    /// Never more than one: the server remembers the id of one request for each process, the last.
    claiming: Option<Claiming>,
    /// How many tasks --once may still take.
    left: usize,
    tally: Tally,
    /// Why it has to end early.
    failure: Option<Failure>,
}

impl Shift {
    fn new(worker: &Rc<Worker>) -> Self {
        let left = if worker.args.once { usize::from(worker.args.jobs) } else { usize::MAX };
        Self {
            worker: Rc::clone(worker),
            phase: watch::Sender::new(Phase::Working),
            slots: JoinSet::new(),
            claiming: None,
            left,
            tally: Tally::default(),
            failure: None,
        }
    }

    async fn work(mut self, stops: &mut Stops) -> Result<ExitCode, Failure> {
        let (process, key) = (self.worker.holder.process(), self.worker.project.key());
        say(&format!("{process} works on the tasks of project {key}, {} at a time", self.worker.args.jobs));
        loop {
            self.claim_where_a_slot_is_free();
            if self.claiming.is_none() && self.slots.is_empty() {
                return self.end();
            }
            tokio::select! {
                signal = stops.next() => self.hear(signal).await,
                Some(ended) = self.slots.join_next(), if !self.slots.is_empty() => {
                    match ended.unwrap_or_else(|error| Err(Failure::failed(format!("a job ended: {error}")))) {
                        Ok(tally) => self.tally.add(tally),
                        Err(failure) => self.fail(failure),
                    }
                }
                claimed = answer(&mut self.claiming) => {
                    self.claiming = None;
                    match claimed {
                        Ok(Some(lease)) => self.start(lease),
                        // Only --once is told that there is nothing.
                        Ok(None) => self.left = 0,
                        Err(failure) => self.fail(failure),
                    }
                }
            }
        }
    }

    fn claim_where_a_slot_is_free(&mut self) {
        let is_free = self.slots.len() < usize::from(self.worker.args.jobs) && self.left > 0;
        if !is_free || self.claiming.is_some() || *self.phase.borrow() != Phase::Working {
            return;
        }
        let worker = Rc::clone(&self.worker);
        self.claiming = Some(Box::pin(async move { worker.claim().await }));
    }

    fn start(&mut self, lease: Lease) {
        self.left = self.left.saturating_sub(1);
        let slot = Slot { worker: Rc::clone(&self.worker), phase: self.phase.subscribe() };
        self.slots.spawn_local(slot.serve(lease));
    }

    async fn hear(&mut self, signal: Signal) {
        let phase = *self.phase.borrow();
        if phase == Phase::Working {
            self.phase.send_replace(Phase::Draining);
            let running = self.running_with_a_last_claim().await;
            if running > 0 {
                say(&format!("takes nothing new, and finishes what runs ({running}); once more to stop that, too"));
            }
            return;
        }
        self.phase.send_replace(Phase::Stopping(signal));
    }

    /// Breaks off the claim that is under way. What the server granted in this very moment is nobody's fault, and done.
    async fn running_with_a_last_claim(&mut self) -> usize {
        if let Some(claiming) = self.claiming.take() {
            drop(claiming);
            match self.worker.holder.unheard_of().await {
                Ok(Some(lease)) => self.start(lease),
                Ok(None) => {}
                Err(error) => say(&format!("a claim may have been granted in vain: {error}")),
            }
        }
        self.slots.len()
    }

    fn fail(&mut self, failure: Failure) {
        self.failure.get_or_insert(failure);
        self.phase.send_if_modified(|phase| {
            let was_working = *phase == Phase::Working;
            if was_working {
                *phase = Phase::Draining;
            }
            was_working
        });
        self.claiming = None;
    }

    fn end(self) -> Result<ExitCode, Failure> {
        if let Some(failure) = self.failure {
            return Err(failure);
        }
        if let Phase::Stopping(signal) = *self.phase.borrow() {
            return Ok(ExitCode::from(process::exit_by(signal)));
        }
        if !self.worker.args.once {
            return Ok(ExitCode::SUCCESS);
        }
        match self.tally {
            Tally { lost: 1.., .. } => Ok(ExitCode::from(LOST)),
            Tally { failed: 1.., .. } => Ok(ExitCode::from(FAILED)),
            Tally { done: 0, .. } if *self.phase.borrow() == Phase::Working => Err(claim::nothing_to_claim()),
            Tally { .. } => Ok(ExitCode::SUCCESS),
        }
    }
}

/// The answer of the claim that is under way; never where there is none.
async fn answer(claiming: &mut Option<Claiming>) -> Result<Option<Lease>, Failure> {
    match claiming {
        Some(claiming) => claiming.as_mut().await,
        None => std::future::pending().await,
    }
}

impl Worker {
    /// A claim with an id of its own.
    fn claim_request(&self) -> Claim {
        let mut claim = Claim::new(self.holder.process()).by(self.holder.life()).numbered();
        claim.types.clone_from(&self.args.types);
        claim.ttl = self.args.ttl;
        claim.block = if self.args.once { Block::No } else { Block::AtMost(SLICE) };
        claim
    }

    /// The next task, once there is one; with --once, if there is one. A server that is away is waited for, and asked again
    /// under the same id.
    async fn claim(&self) -> Result<Option<Lease>, Failure> {
        let request = self.claim_request();
        let mut retry = Retry::default();
        loop {
            let asked = Instant::now();
            match self.holder.claim_once(&request).await {
                Ok(None) if !self.args.once => {
                    retry = self.back_again(retry);
                    if asked.elapsed() < SLICE / 2 {
                        sleep(PAUSE).await;
                    }
                }
                Ok(claimed) => {
                    self.back_again(retry);
                    return Ok(claimed);
                }
                Err(error) if self.args.once || !is_worth_waiting(&error) => return Err(error.into()),
                Err(error) => {
                    retry.warn(&error.to_string(), "waiting for it");
                    sleep(retry.pause()).await;
                }
            }
        }
    }

    fn back_again(&self, retry: Retry) -> Retry {
        if retry.has_begun() {
            say("the server answers again");
        }
        Retry::default()
    }

    /// After a lease was lost: where the server did not know this life any more, whether that is because another one took
    /// its name. Then two would go on taking it from each other, so this one ends.
    async fn look_for_a_successor(&self) -> Result<(), Failure> {
        let name = self.holder.process();
        match self.holder.was_replaced().await {
            Ok(None) => return Ok(()),
            Ok(Some(true)) => {
                let message = format!("another process took the name {name}: give each its own with --process");
                return Err(Failure::new(LOST, "NOPROC", message));
            }
            // Where the server does not say, it is not another's yet.
            Ok(Some(false)) | Err(_) => {}
        }
        if !self.has_said_unknown.replace(true) {
            say(&format!(
                "the server does not know {name} any more: it lost its data, and the leases with it; going on"
            ));
        }
        Ok(())
    }
}

/// Whether a worker should go on asking: the server may be back, and may have room again.
fn is_worth_waiting(error: &Error) -> bool {
    error.may_pass() || matches!(error, Error::Server { code, .. } if code == "OOM")
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
