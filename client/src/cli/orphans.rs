//! `poppo orphans`: ORPHANS, and its table, which the demo shows too.

use std::time::SystemTime;

use poppo::{Orphan, OrphanReason};

use crate::cli::{Context, clock};
use crate::exit::Failure;
use crate::human;
use crate::output::{Field, Table, Tone};

/// List the leases whose holders are gone, longest gone first
///
/// Reasons: expired (silent for too long), dead (the agent on its host saw its PID gone), replaced (a newer process
/// took its name). Nothing is changed; `poppo repair` does that.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Example:
  $ poppo orphans --host build-7
  $ poppo repair --all")]
pub(crate) struct Args {
    /// Only those of this host
    #[arg(long)]
    host: Option<String>,
    /// How many at most: 1 to 10000
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    count: u32,
}

pub(crate) async fn run(args: &Args, context: &Context) -> Result<(), Failure> {
    let project = context.project().await?;
    let orphans = project.orphans(Some(args.count), args.host.as_deref()).await?;
    if context.out.json {
        return Ok(context.out.document(&orphans)?);
    }
    let now = clock(&project).await;
    Ok(context.out.table(&table(&orphans, now), "no orphans")?)
}

/// The orphans as people see them.
pub(crate) fn table(orphans: &[Orphan], now: SystemTime) -> Table {
    let mut table = Table::new(&["ISSUE", "TOKEN", "PROCESS", "PID", "HOST", "TYPE", "REASON", "SINCE", "LAST SEEN"]);
    for orphan in orphans {
        let ago = |time| Field::optional(Option::map(time, |time| human::ago(time, now)));
        table.row([
            Field::number(orphan.issue),
            Field::number(orphan.token),
            Field::from(orphan.process.as_str()),
            Field::optional(orphan.pid),
            Field::optional(orphan.host.as_ref()),
            Field::optional(orphan.task_type.as_ref()),
            Field::toned(orphan.reason, reason_tone(orphan.reason)),
            ago(orphan.since.as_ref()),
            ago(orphan.last_seen.as_ref()),
        ]);
    }
    table
}

fn reason_tone(reason: OrphanReason) -> Tone {
    match reason {
        OrphanReason::Dead => Tone::Bad,
        _ => Tone::Warning,
    }
}
