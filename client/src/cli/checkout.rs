//! `poppo checkout`: CHECKOUT, for scripts.

use std::time::Duration;

use poppo::{Checkout, IssueNumber};

use crate::cli::{Context, done};
use crate::exit::Failure;
use crate::human::parse_duration;

/// Check an issue out and print its fencing token
///
/// For scripts that do their own heartbeats; `poppo run` does it all. Asked again by the same process, it prints the
/// same token. Held by somebody else, it exits with 75 and says by whom.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Example:
  $ export POPPO_PROCESS=nightly
  $ TOKEN=$(poppo checkout 123 --ttl 10m) || exit
  $ ./fix-issue.sh 123 && poppo checkin 123 --status completed --token $TOKEN")]
pub(crate) struct Args {
    /// The issue's number
    issue: IssueNumber,
    /// The name of the process that takes it: 1 to 128 printable characters without blanks
    #[arg(long, env = "POPPO_PROCESS", hide_env_values = true, value_name = "NAME")]
    process: String,
    /// Its PID, for the agent on its host
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=2_147_483_647))]
    pid: Option<u32>,
    /// Its host
    #[arg(long)]
    host: Option<String>,
    /// Which life of the process this is; a new one makes orphans of the older one's leases
    #[arg(long, value_name = "WORD")]
    incarnation: Option<String>,
    /// The kind of task, such as fix
    #[arg(long = "type", value_name = "TYPE")]
    task_type: Option<String>,
    /// The issue's title
    #[arg(long)]
    title: Option<String>,
    /// The tmux pane or session it runs in
    #[arg(long)]
    tmux: Option<String>,
    /// For how long the process may be silent: 1s to 24h [default: the project's heartbeat-ttl]
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    ttl: Option<Duration>,
    /// Only if the issue was never completed
    #[arg(long)]
    once: bool,
    /// Also from a holder that is an orphan; a live one keeps it
    #[arg(long)]
    takeover: bool,
}

pub(crate) async fn run(args: Args, context: &Context) -> Result<(), Failure> {
    let project = context.project().await?;
    let checkout = Checkout {
        issue: args.issue,
        process: args.process,
        pid: args.pid,
        host: args.host,
        incarnation: args.incarnation,
        task_type: args.task_type,
        title: args.title,
        tmux: args.tmux,
        ttl: args.ttl,
        once: args.once,
        takeover: args.takeover,
    };
    let (token, confirmed) = done(&project, async |project| project.checkout(&checkout).await).await?;
    let document = serde_json::json!({ "issue": checkout.issue, "token": token, "process": checkout.process });
    context.out.say(&document, &token.to_string())?;
    confirmed
}
