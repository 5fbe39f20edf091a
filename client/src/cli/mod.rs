//! The subcommands, one file each. Here is only what they share: the options that all take, and their order in the help.

mod cancel;
mod checkin;
mod checkout;
mod claim;
mod completions;
mod config;
mod copy;
mod daemon;
mod demo;
mod doctor;
mod drain;
mod enqueue;
mod events;
mod evict;
mod export;
mod flag;
mod forget;
mod get;
mod heartbeat;
mod import;
mod labels;
mod list;
mod liveness;
mod man;
mod mirror;
mod orphans;
mod repair;
mod revive;
mod run;
mod spool;
mod state;
pub(crate) mod stats;
mod top;
mod up;
mod work;

use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use clap::{Parser, Subcommand};
use poppo::{Client, Durability, Error, Project};

use crate::discover::{self, Missed, Patience};
use crate::exit::{Failure, USAGE};
use crate::human::parse_duration;
use crate::output::Output;

/// The heading of the options that all subcommands take.
const COMMON: &str = "Options of all commands";

/// The project where none is named.
const DEFAULT_PROJECT: &str = "poppo";

/// Leases GitHub issues to worker processes: each issue to one worker at a time.
///
/// A worker checks an issue out and gets a fencing token: a number that only grows. It beats while it works and checks
/// the issue in when it is done. A worker that falls silent loses its issues to others, who get higher tokens; what it
/// reports later under its old token is refused.
///
/// Work can wait in a queue: `poppo enqueue` puts a task on an issue there, and `poppo work` has a command do one after
/// another. `poppo run` works on one issue by its number.
///
/// Everything is kept by a Redis server that has the Poppo module loaded. `poppo up` runs one; `poppo demo` shows it
/// all at work, with a worker killed and another one frozen. On a single machine a file will do: --url file:///path.
#[derive(Debug, Parser)]
#[command(
    name = "poppo",
    version,
    max_term_width = 100,
    subcommand_required = true,
    arg_required_else_help = true,
    after_long_help = "\
Exit codes:
  0   done
  1   failed
  2   asked in a way that makes no sense
  75  somebody else has the issue, it is done, or nothing is to be claimed: nothing to do here now;
      of `state`, a condition does not hold
  76  the lease was lost: what was done under it no longer counts

Where the server is looked for, without --url and POPPO_URL: first the `poppo up` that runs in
./.poppo, then redis://127.0.0.1:6379.

Example:
  $ poppo up &
  $ poppo enqueue 123 --title \"Crash on start\" --priority high
  $ poppo work --jobs 2 --retry -- ./fix-issue.sh
  $ poppo list

Shell completions and manual pages: see `poppo completions --help` and `poppo man --help`."
)]
pub(crate) struct Cli {
    // As an attribute, since rustdoc would take the brackets for links.
    #[arg(
        long,
        env = "POPPO_URL",
        hide_env_values = true,
        global = true,
        value_name = "URL",
        help_heading = COMMON,
        help = "The server, such as redis://host or unix:///path/to/socket, or a file:///path",
        long_help = "The server: redis://[user:password@]host[:port][/db] (rediss:// with TLS), unix:///path/to/socket, \
                     redis+sentinel://host,host/primary or redis+cluster://host,host; or, without a server, \
                     file:///path/to/file.json"
    )]
    url: Option<String>,

    /// The project: the key of one repository's leases, such as acme/widgets
    #[arg(
        long,
        env = "POPPO_PROJECT",
        hide_env_values = true,
        global = true,
        value_name = "KEY",
        default_value = DEFAULT_PROJECT,
        help_heading = COMMON
    )]
    project: String,

    /// Print JSON instead of text
    ///
    /// One document; with --follow, and of `work` and `state watch`, one a line. Errors are {"error":{"code","message"}} on stderr.
    #[arg(long, global = true, help_heading = COMMON)]
    pub(crate) json: bool,

    /// Wait for copies of each checkout, claim and check-in, such as replicas=1
    ///
    /// replicas=N, aof (on disk), or both, and timeout=1s. Where there are too few in time, what was asked is done all the
    /// same: `work` and `run` say so and go on, the other commands print their answer and exit with 1.
    #[arg(
        long,
        env = "POPPO_DURABILITY",
        hide_env_values = true,
        global = true,
        value_name = "COPIES",
        value_parser = copies,
        help_heading = COMMON
    )]
    durability: Option<Copies>,

    /// Wait so long at the start for a server that is away
    ///
    /// By default `work`, `top`, `mirror`, `state watch`, and `events` and `labels` with --follow wait without an end, `run` waits for a minute, and all
    /// others fail at once. It is about the start alone: a server that goes away later is the command's own affair.
    #[arg(
        long,
        env = "POPPO_WAIT",
        hide_env_values = true,
        global = true,
        value_name = "DURATION",
        value_parser = wait,
        help_heading = COMMON
    )]
    wait: Option<Wait>,

    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Up(up::Args),
    Daemon(daemon::Args),
    Work(work::Args),
    Run(run::Args),
    Enqueue(enqueue::Args),
    Claim(claim::Args),
    Cancel(cancel::Args),
    Revive(revive::Args),
    Drain(drain::Args),
    Checkout(checkout::Args),
    Checkin(checkin::Args),
    Heartbeat(heartbeat::Args),
    Liveness(liveness::Args),
    Orphans(orphans::Args),
    Repair(repair::Args),
    Evict(evict::Args),
    Get(get::Args),
    List(list::Args),
    Stats(stats::Args),
    Top(top::Args),
    Doctor(doctor::Args),
    Events(events::Args),
    Labels(labels::Args),
    Forget(forget::Args),
    Export(export::Args),
    Import(import::Args),
    Copy(copy::Args),
    Mirror(mirror::Args),
    State(state::Args),
    Flag(flag::Args),
    Spool(spool::Args),
    Config(config::Args),
    Demo(demo::Args),
    Completions(completions::Args),
    Man(man::Args),
    #[command(hide = true)]
    DemoNote(demo::NoteArgs),
}

/// What every subcommand gets: which server, which project, and where its answer goes.
#[derive(Debug)]
pub(crate) struct Context {
    url: Option<String>,
    project: String,
    durability: Option<Durability>,
    /// For how long a server that is away is waited for, where somebody said so.
    wait: Option<Duration>,
    pub(crate) out: Output,
}

/// What is to be waited for; an empty variable counts as one that is not set.
#[derive(Debug, Clone, Copy)]
struct Copies(Option<Durability>);

fn copies(text: &str) -> Result<Copies, String> {
    if text.is_empty() { Ok(Copies(None)) } else { text.parse().map(|durability| Copies(Some(durability))) }
}

/// How long a server is waited for; an empty variable counts as one that is not set.
#[derive(Debug, Clone, Copy)]
struct Wait(Option<Duration>);

fn wait(text: &str) -> Result<Wait, String> {
    if text.is_empty() { Ok(Wait(None)) } else { parse_duration(text).map(|time| Wait(Some(time))) }
}

impl Context {
    /// Refuses a file's URL, for what runs a server of its own.
    pub(crate) fn refuse_file(&self, command: &str) -> Result<(), Failure> {
        match self.url.as_deref().filter(|url| url.starts_with("file:")) {
            Some(url) => Err(Failure::new(
                USAGE,
                "USAGE",
                format!(
                    "`poppo {command}` runs a server, and {url} is a file, which needs none: leave --url and POPPO_URL out"
                ),
            )),
            None => Ok(()),
        }
    }

    /// The project on the server that is meant, connected.
    pub(crate) async fn project(&self) -> Result<Project, Failure> {
        self.project_after(Patience::NONE).await
    }

    /// The same, for a command that usually waits for its server. Nothing was asked before that could have been done, so a
    /// wait repeats nothing.
    pub(crate) async fn project_after(&self, usual: Patience) -> Result<Project, Failure> {
        let patience = self.wait.map_or(usual, Patience::Said);
        discover::wait_for(patience, async || {
            let client = discover::connect(self.url.as_deref()).await?;
            let client = if self.durability.is_some() { client.durable(self.durability).await? } else { client };
            let project = client.project(&self.project);
            if patience != Patience::NONE {
                see_it_answer(project.stats().await)?;
            }
            Ok(project)
        })
        .await
    }

    /// A server on its own, for who looks at it and not at a project: the one that is named, or the usual one.
    async fn server(&self, url: Option<&str>) -> Result<Client, Failure> {
        let patience = self.wait.map_or(Patience::NONE, Patience::Said);
        discover::wait_for(patience, async || {
            let client = discover::connect(url).await?;
            if patience != Patience::NONE {
                see_it_answer(client.ping().await)?;
            }
            Ok(client)
        })
        .await
    }
}

/// A server that lets us in may still load its data, or not know yet who has the project. Whatever else it says to a
/// question, it answers.
fn see_it_answer<T>(answer: Result<T, Error>) -> Result<(), Missed> {
    match answer {
        Err(error) if error.may_pass() => Err(error.into()),
        _ => Ok(()),
    }
}

/// Asks for something durable. Where it is done but not confirmed, its answer is had all the same, and with it what is to be
/// reported after it.
async fn done<T>(
    project: &Project,
    question: impl AsyncFn(&Project) -> Result<T, Error>,
) -> Result<(T, Result<(), Failure>), Failure> {
    match question(project).await {
        Err(error @ Error::Unconfirmed { .. }) => {
            Ok((question(&project.without_durability()).await?, Err(error.into())))
        }
        answer => Ok((answer?, Ok(()))),
    }
}

/// The time by which ages are told: the server's, as all times are its own; ours where it does not tell (an ACL may
/// withhold TIME).
async fn clock(project: &Project) -> SystemTime {
    project.client().time().await.unwrap_or_else(|_| SystemTime::now())
}

impl Cli {
    pub(crate) async fn run(self) -> Result<ExitCode, Failure> {
        // An empty variable counts as one that is not set.
        let url = self.url.filter(|url| !url.is_empty());
        let project = Some(self.project).filter(|key| !key.is_empty()).unwrap_or_else(|| DEFAULT_PROJECT.to_owned());
        let durability = self.durability.and_then(|Copies(durability)| durability);
        let wait = self.wait.and_then(|Wait(wait)| wait);
        let context = Context { url, project, durability, wait, out: Output::new(self.json) };
        match self.command {
            Command::Up(args) => return up::run(args, &context).await,
            Command::Daemon(args) => return daemon::run(args, &context).await,
            Command::Work(args) => return work::run(args, &context).await,
            Command::Run(args) => return run::run(args, &context).await,
            Command::Demo(args) => return demo::run(args, &context).await,
            Command::Top(args) => return top::run(&args, &context).await,
            Command::Doctor(args) => return doctor::run(&args, &context).await,
            Command::Mirror(args) => return mirror::run(&args, &context).await,
            Command::DemoNote(args) => demo::note(&args)?,
            Command::Completions(args) => completions::run(&args)?,
            Command::Man(args) => man::run(&args, &context)?,
            Command::Enqueue(args) => enqueue::run(args, &context).await?,
            Command::Claim(args) => claim::run(args, &context).await?,
            Command::Cancel(args) => cancel::run(args, &context).await?,
            Command::Revive(args) => revive::run(&args, &context).await?,
            Command::Drain(args) => drain::run(&args, &context).await?,
            Command::Checkout(args) => checkout::run(args, &context).await?,
            Command::Checkin(args) => checkin::run(args, &context).await?,
            Command::Heartbeat(args) => heartbeat::run(args, &context).await?,
            Command::Liveness(args) => liveness::run(args, &context).await?,
            Command::Orphans(args) => orphans::run(&args, &context).await?,
            Command::Repair(args) => repair::run(args, &context).await?,
            Command::Evict(args) => evict::run(args, &context).await?,
            Command::Get(args) => get::run(&args, &context).await?,
            Command::List(args) => list::run(&args, &context).await?,
            Command::Stats(args) => stats::run(&args, &context).await?,
            Command::Events(args) => events::run(&args, &context).await?,
            Command::Labels(args) => labels::run(&args, &context).await?,
            Command::Forget(args) => forget::run(&args, &context).await?,
            Command::Export(args) => export::run(args, &context).await?,
            Command::Import(args) => import::run(args, &context).await?,
            Command::Copy(args) => copy::run(args, &context).await?,
            Command::State(args) => state::run(args, &context).await?,
            Command::Flag(args) => flag::run(args, &context).await?,
            Command::Spool(args) => spool::run(args, &context).await?,
            Command::Config(args) => config::run(&args, &context).await?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_consistent() {
        super::Cli::command().debug_assert();
    }
}
