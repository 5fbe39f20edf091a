//! `poppo claim`: CLAIM, for scripts.

use std::time::Duration;

use poppo::{Block, Claim, Claimed};

use crate::cli::{Context, done};
use crate::exit::{Failure, HELD};
use crate::human::{self, parse_duration};
use crate::output::{Field, Table, Tone};

/// Take the next task, and check its issue out
///
/// For scripts that do their own heartbeats; `poppo work` does it all. Where there is no task, or the project is drained,
/// it exits with 75. With --block it waits for one.
///
/// Repeated with the same --req by the same process, it prints the same lease while that is held: so a script that does
/// not know whether its last claim was answered takes nothing twice.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Example:
  $ export POPPO_PROCESS=nightly
  $ TASK=$(poppo claim --types fix,docs --block 5m --ttl 10m --json) || exit
  $ ISSUE=$(jq .issue <<< \"$TASK\") TOKEN=$(jq .token <<< \"$TASK\")
  $ ./fix-issue.sh $ISSUE && poppo checkin $ISSUE --status completed --token $TOKEN")]
pub(crate) struct Args {
    /// The name of the process that takes it: 1 to 128 printable characters without blanks
    #[arg(long, env = "POPPO_PROCESS", hide_env_values = true, value_name = "NAME")]
    process: String,
    /// Only tasks of these types
    #[arg(long, value_name = "TYPE,…", value_delimiter = ',')]
    types: Vec<String>,
    /// Wait for a task: so long at most, or, without a duration, for as long as it takes
    #[arg(long, value_name = "DURATION", num_args = 0..=1, default_missing_value = "", value_parser = block)]
    block: Option<Block>,
    /// The id of this request: repeated with it, the same lease is printed again
    #[arg(long, value_name = "ID")]
    req: Option<String>,
    /// Its PID, for the agent on its host
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=2_147_483_647))]
    pid: Option<u32>,
    /// Its host
    #[arg(long)]
    host: Option<String>,
    /// Which life of the process this is; a new one makes orphans of the older one's leases
    #[arg(long, value_name = "WORD")]
    incarnation: Option<String>,
    /// The issue's title, where the task has none
    #[arg(long)]
    title: Option<String>,
    /// The tmux pane or session it runs in
    #[arg(long)]
    tmux: Option<String>,
    /// For how long the process may be silent: 1s to 24h [default: the project's heartbeat-ttl]
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    ttl: Option<Duration>,
}

/// A duration, or nothing for as long as it takes.
fn block(text: &str) -> Result<Block, String> {
    if text.is_empty() { Ok(Block::Forever) } else { parse_duration(text).map(Block::AtMost) }
}

pub(crate) async fn run(args: Args, context: &Context) -> Result<(), Failure> {
    let claim = Claim {
        process: args.process,
        types: args.types,
        block: args.block.unwrap_or_default(),
        request: args.req,
        pid: args.pid,
        host: args.host,
        incarnation: args.incarnation,
        title: args.title,
        tmux: args.tmux,
        ttl: args.ttl,
    }
    .numbered();
    let project = context.project().await?;
    let (claimed, confirmed) = done(&project, async |project| project.claim(&claim).await).await?;
    let Some(claimed) = claimed else {
        return Err(nothing_to_claim());
    };
    if context.out.json {
        context.out.document(&claimed)?;
    } else {
        context.out.table(&table(&claimed), "")?;
    }
    confirmed
}

/// What is said where there is no task.
pub(crate) fn nothing_to_claim() -> Failure {
    Failure::new(HELD, "NOTHING", "there is nothing to claim: no task waits for a worker, or the project is drained")
}

/// One row a field.
pub(crate) fn table(claimed: &Claimed) -> Table {
    let mut table = Table::new(&["", ""]);
    let rows = [
        ("issue", Some(claimed.issue.to_string())),
        ("token", Some(claimed.token.to_string())),
        ("task", Some(claimed.task.clone())),
        ("type", Some(claimed.task_type.clone())),
        ("title", claimed.title.clone()),
        ("failed before", (claimed.attempts > 0).then(|| format!("{} times", claimed.attempts))),
        ("waited", Some(human::duration(Duration::from_millis(claimed.waited)))),
        ("payload", claimed.payload.clone()),
    ];
    for (name, value) in rows {
        if let Some(value) = value {
            table.row([Field::toned(name, Tone::Quiet), Field::from(value)]);
        }
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_without_a_duration_has_no_end() {
        assert_eq!(block(""), Ok(Block::Forever));
        assert_eq!(block("30s"), Ok(Block::AtMost(Duration::from_secs(30))));
        assert!(block("30").is_err());
    }
}
