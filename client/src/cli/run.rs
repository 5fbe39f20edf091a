//! `poppo run`: one issue, by number: checkout, the command, check-in. The lease is kept by `lease`, the command watched
//! over by `supervise`.

use std::fs;
use std::io::{self, IsTerminal as _};
use std::path::PathBuf;
use std::process::{ExitCode, Stdio};
use std::time::Duration;

use poppo::{Checkin, Checkout, IssueNumber, Lease, Life, Outcome, Project};
use tokio::process::Child;

use crate::cli::Context;
use crate::discover::Patience;
use crate::exit::{FAILED, Failure, NOT_STARTED};
use crate::human::parse_duration;
use crate::lease;
use crate::process::{self, Stops};
use crate::supervise::{self, Ending};

/// For how long a server that is away is waited for: longer than a failover or a restart takes, and not so long that whoever
/// waits for our exit status would not hear of a server that is gone.
const PATIENCE: Duration = Duration::from_secs(60);

/// Check an issue out, run a command while it is ours, and check it in by how the command ended
///
/// Heartbeats are sent while the command runs. Exit status 0 checks the issue in as `completed`, anything else as
/// `error`. Where the lease is lost (the server says so, or has been away for as long as the lease lasts), the command
/// gets TERM, then KILL, and nothing is reported. INT, TERM and HUP are passed on, and the issue is checked in as
/// `cancelled`; so it is where somebody asked for that with `poppo cancel`. A report that the server cannot take for as long as
/// the lease lasts is kept on disk: see `poppo spool`. A server that is away at the start is waited for, for a minute or as
/// --wait says.
///
/// The command finds POPPO_ISSUE, POPPO_TOKEN, POPPO_PROJECT and POPPO_PROCESS in its environment, and POPPO_RESULT where
/// there is a result file. Whatever it changes elsewhere should carry the token along: the higher one is the newer lease. It
/// runs in a process group of its own and therefore cannot read from the terminal. On Linux it gets TERM if `poppo run` is
/// killed; what it started itself does not.
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

    /// The exit status by which the command says that people have to answer first: 1 to 255
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..))]
    awaiting_exit: Option<u8>,

    /// The command and its arguments
    #[arg(last = true, required = true, value_name = "CMD")]
    command: Vec<String>,
}

pub(crate) async fn run(args: Args, context: &Context) -> Result<ExitCode, Failure> {
    // From here on a signal waits for us, so that none comes between the checkout and the command.
    let mut stops = Stops::listen()?;
    let project = tokio::select! {
        project = context.project_after(Patience::Usual(PATIENCE)) => project?,
        signal = stops.next() => return Ok(ExitCode::from(process::exit_by(signal))),
    };
    let life = Life::current();
    let process = args.process.clone().unwrap_or_else(|| life.default_process_name());
    let holder = lease::holder(&project, process.clone(), life.clone());
    // What earlier ones could not report is reported first: it may be about this very issue.
    holder.deliver().await;
    let (lease, run) = {
        let mut checkout = Checkout::new(args.issue, process).by(&life);
        checkout.task_type.clone_from(&args.task_type);
        checkout.title.clone_from(&args.title);
        checkout.ttl = args.ttl;
        checkout.once = args.once;
        checkout.takeover = args.takeover;
        (holder.checkout(&checkout).await?, Run { args, project, process: checkout.process })
    };
    let ended = run.to_its_end(lease, &mut stops).await;
    lease::settle(&holder).await;
    ended
}

/// What is run, and for whom.
struct Run {
    args: Args,
    project: Project,
    process: String,
}

impl Run {
    async fn to_its_end(&self, lease: Lease, stops: &mut Stops) -> Result<ExitCode, Failure> {
        let before = self.args.result_file.as_deref().and_then(|file| fs::metadata(file).ok());
        let mut report = lease.checkin(Outcome::Completed);
        let mut child = match self.spawn(&lease) {
            Ok(child) => child,
            Err(error) => {
                let program = self.args.command.first().map(String::as_str).unwrap_or_default();
                let message = format!("cannot start {program}: {error}");
                report.outcome = Outcome::Error;
                report.reason = Some(message.clone());
                check_in(lease, report, stops).await?;
                return Err(Failure::new(NOT_STARTED, "FAILED", message));
            }
        };
        match supervise::supervise(&mut child, &lease, self.args.term_grace, stops).await? {
            Ending::Lost(failure) => Err(failure),
            Ending::Stopped(signal) => {
                report.outcome = Outcome::Cancelled;
                report.reason = Some(format!("stopped by signal {}", signal.as_raw()));
                check_in(lease, report, stops).await?;
                Ok(ExitCode::from(process::exit_by(signal)))
            }
            Ending::Cancelled => {
                report.outcome = Outcome::Cancelled;
                report.reason = Some("stopped as it was asked to".to_owned());
                let issue = lease.issue();
                check_in(lease, report, stops).await?;
                let message = format!("issue {issue} was cancelled by somebody: the command was stopped");
                Err(Failure::new(FAILED, "CANCELLED", message))
            }
            Ending::Exited(status) => {
                report.outcome = supervise::outcome(status, self.args.awaiting_exit);
                report.result =
                    self.args.result_file.as_deref().and_then(|file| supervise::result(file, before.as_ref()));
                let failed = report.outcome == Outcome::Error;
                let how = supervise::describe(status);
                if failed {
                    report.reason = Some(how.clone());
                    report.result = report.result.or_else(|| Some(supervise::exit_as_json(status)));
                }
                let issue = lease.issue();
                check_in(lease, report, stops).await?;
                if !failed {
                    return Ok(ExitCode::SUCCESS);
                }
                let message = format!("the command ended with {how}; issue {issue} is checked in as error");
                Err(Failure::failed(message))
            }
        }
    }

    fn spawn(&self, lease: &Lease) -> io::Result<Child> {
        // A group in the background that reads from its terminal is stopped (TTIN) and would hold its lease for ever.
        let stdin = if io::stdin().is_terminal() { None } else { Some(Stdio::inherit()) };
        let mut command = supervise::command(&self.args.command, stdin)?;
        command
            .env("POPPO_ISSUE", lease.issue().to_string())
            .env("POPPO_TOKEN", lease.token().to_string())
            .env("POPPO_PROJECT", self.project.key())
            .env("POPPO_PROCESS", &self.process);
        let result = self.args.result_file.as_deref().map(std::path::absolute).transpose()?;
        supervise::variable(&mut command, "POPPO_RESULT", result);
        command.spawn()
    }
}

/// Reports for as long as the lease lasts, or until a signal says that it is enough.
async fn check_in(lease: Lease, report: Checkin, stops: &mut Stops) -> Result<(), Failure> {
    let (issue, outcome, over) = (lease.issue(), report.outcome, lease.until_over());
    let enough = async {
        tokio::select! {
            () = over => {}
            _ = stops.next() => {}
        }
    };
    lease::checked_in(issue, outcome, lease.check_in_until(report, enough).await)
}
