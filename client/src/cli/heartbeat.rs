//! `poppo heartbeat`: HEARTBEAT, for scripts.

use std::time::Duration;

use poppo::Heartbeat;

use crate::cli::Context;
use crate::exit::Failure;
use crate::human;
use crate::output::{Field, Table};

/// Say that a process is alive, and see what it still holds
///
/// One beat renews all its leases. An issue that is missing from the answer was lost; exit code 76 means that all were:
/// stop the work. It also says which issues somebody asked it to stop: those are to be checked in as cancelled.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Example:
  $ while poppo heartbeat --process nightly --progress \"tests 3/7\"; do sleep 60; done")]
pub(crate) struct Args {
    /// The name of the process
    #[arg(long, env = "POPPO_PROCESS", hide_env_values = true, value_name = "NAME")]
    process: String,
    /// Which life of it; the current one by default
    #[arg(long, value_name = "WORD")]
    incarnation: Option<String>,
    /// From now on it may be silent for this long: 1s to 24h
    #[arg(long, value_name = "DURATION", value_parser = human::parse_duration)]
    ttl: Option<Duration>,
    /// What the work has to report
    #[arg(long, value_name = "TEXT")]
    progress: Option<String>,
}

pub(crate) async fn run(args: Args, context: &Context) -> Result<(), Failure> {
    let project = context.project().await?;
    let heartbeat =
        Heartbeat { process: args.process, incarnation: args.incarnation, ttl: args.ttl, progress: args.progress };
    let beat = project.heartbeat(&heartbeat).await?;
    if context.out.json {
        return Ok(context.out.document(&beat)?);
    }
    let mut table = Table::new(&["ISSUE", "TOKEN"]);
    for (issue, token) in &beat.issues {
        table.row([Field::number(issue), Field::number(token)]);
    }
    context.out.table(&table, "it holds no issue")?;
    if !beat.cancel.is_empty() {
        let issues: Vec<String> = beat.cancel.iter().map(ToString::to_string).collect();
        context.out.line(&format!("asked to stop: {}", issues.join(", ")))?;
    }
    if beat.drain > 0 {
        context.out.line("the project is drained: no task can be claimed")?;
    }
    Ok(context.out.line(&format!("to be heard of again within {}", human::duration(beat.time_to_live())))?)
}
