//! `poppo stats`: STATS.

use std::time::Duration;

use poppo::{Durations, Stats};

use crate::cli::{Context, clock};
use crate::exit::{FAILED, Failure};
use crate::human;
use crate::output::{Field, Table, Tone};

/// Show the project's counts and how long things took
///
/// Counts are of now; totals since the project came into being. A project that does not exist yet is exit code 1.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Example:
  $ poppo stats --json | jq .issues.processing")]
pub(crate) struct Args {}

pub(crate) async fn run(_args: &Args, context: &Context) -> Result<(), Failure> {
    let project = context.project().await?;
    let Some(stats) = project.stats().await? else {
        let message = format!("project {} does not exist yet: its first checkout makes it", project.key());
        return Err(Failure::new(FAILED, "UNKNOWN", message));
    };
    if context.out.json {
        return Ok(context.out.document(&stats)?);
    }
    let created = human::ago(&stats.created, clock(&project).await);
    Ok(context.out.table(&table(&stats, &created), "")?)
}

fn table(stats: &Stats, created: &str) -> Table {
    let (issues, checkins, repairs) = (&stats.issues, &stats.checkins, &stats.repairs);
    let mut table = Table::new(&["", ""]);
    let mut row = |name: &str, text: String| table.row([Field::toned(name, Tone::Quiet), Field::from(text)]);
    row("created", format!("{} ({created})", stats.created));
    row(
        "issues",
        format!(
            "{} processing, {} completed, {} awaiting response, {} error, {} cancelled",
            issues.processing, issues.completed, issues.awaiting_response, issues.error, issues.cancelled
        ),
    );
    row("processes", stats.processes.to_string());
    row("orphans", stats.orphans.to_string());
    row("checkouts", stats.checkouts.to_string());
    row(
        "check-ins",
        format!(
            "{} completed, {} awaiting response, {} error, {} cancelled",
            checkins.completed, checkins.awaiting_response, checkins.error, checkins.cancelled
        ),
    );
    row("heartbeats", stats.heartbeats.to_string());
    let (expired, dead, replaced) = (repairs.expired, repairs.dead, repairs.replaced);
    row("repairs", format!("{expired} expired, {dead} dead, {replaced} replaced"));
    row("takeovers", stats.takeovers.to_string());
    row("evictions", stats.evictions.to_string());
    row("held for", durations(&stats.hold));
    row("orphaned for", durations(&stats.detection));
    table
}

fn durations(durations: &Durations) -> String {
    if durations.count == 0 {
        return "nothing measured yet".to_owned();
    }
    let text = |millis| human::duration(Duration::from_millis(millis));
    format!(
        "{} on average, half within {}, 99 % within {} ({} measured)",
        text(durations.mean),
        text(durations.p50),
        text(durations.p99),
        durations.count
    )
}
