//! `poppo stats`: STATS.

use std::time::Duration;

use poppo::{Durations, Priority, QueueCounts, Stats};

use crate::cli::{Context, clock};
use crate::exit::{FAILED, Failure};
use crate::human;
use crate::output::{Field, Table, Tone};

/// Show the project's counts and how long things took
///
/// Counts are of now; totals since the project came into being. Exit code 1 where the project does not exist yet.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Example:
  $ poppo stats --json | jq .issues.processing")]
pub(crate) struct Args {}

pub(crate) async fn run(_args: &Args, context: &Context) -> Result<(), Failure> {
    let project = context.project().await?;
    let Some(stats) = project.stats().await? else {
        let message = format!("project {} does not exist yet: its first checkout or task makes it", project.key());
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
            "{} processing, {} queued, {} completed, {} awaiting response, {} error, {} cancelled",
            issues.processing,
            issues.queued,
            issues.completed,
            issues.awaiting_response,
            issues.error,
            issues.cancelled
        ),
    );
    row("processes", stats.processes.to_string());
    row("orphans", stats.orphans.to_string());
    row("queue", queue(&stats.queue));
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
    let tasks = &stats.tasks;
    row(
        "tasks",
        format!(
            "{} enqueued, {} claimed, {} finished, {} retried, {} requeued, {} cancelled, {} dead, {} revived",
            tasks.enqueued,
            tasks.claimed,
            tasks.finished,
            tasks.retried,
            tasks.requeued,
            tasks.cancelled,
            tasks.dead,
            tasks.revived
        ),
    );
    row("waited for", durations(&stats.wait));
    row("held for", durations(&stats.hold));
    row("orphaned for", durations(&stats.detection));
    table
}

/// `3 waiting (urgent 1, normal 2; the oldest for 5s), 1 delayed, …`
pub(crate) fn queue(queue: &QueueCounts) -> String {
    let depth: Vec<String> = queue
        .depth
        .iter()
        .rev()
        .map(|(number, count)| {
            let name = Priority::try_from(*number).map_or_else(|_| number.to_string(), |level| level.to_string());
            format!("{name} {count}")
        })
        .collect();
    let waiting = match depth.as_slice() {
        [] => String::new(),
        depth => {
            format!(" ({}; the oldest for {})", depth.join(", "), human::duration(Duration::from_millis(queue.oldest)))
        }
    };
    let drained = if queue.drain > 0 { "; drained" } else { "" };
    let (running, dead) = (queue.running, queue.dead);
    format!("{} waiting{waiting}, {} delayed, {running} running, {dead} dead{drained}", queue.waiting, queue.delayed)
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
