//! `poppo list`: LIST, to its end.

use std::time::{Duration, SystemTime};

use poppo::{Issue, Process, ProcessState, Status};

use crate::cli::{Context, clock};
use crate::exit::Failure;
use crate::human;
use crate::output::{Field, Table, Tone, status_tone};

/// List the project's issues, or the processes that work on them
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Example:
  $ poppo list --status processing
  $ poppo list --processes
  $ poppo list --json | jq -r '.[] | select(.status == \"error\") | .issue'")]
pub(crate) struct Args {
    /// Only issues of this status: processing, completed, awaiting-response, error or cancelled
    #[arg(long, value_name = "STATUS")]
    status: Option<Status>,
    /// The processes instead of the issues
    #[arg(long, conflicts_with = "status")]
    processes: bool,
}

pub(crate) async fn run(args: &Args, context: &Context) -> Result<(), Failure> {
    let project = context.project().await?;
    if args.processes {
        let rows = project.all_processes().await?;
        if context.out.json {
            return Ok(context.out.document(&rows)?);
        }
        let now = clock(&project).await;
        return Ok(context.out.table(&processes(&rows, now), "no processes")?);
    }
    let rows = project.list_all(args.status).await?;
    if context.out.json {
        return Ok(context.out.document(&rows)?);
    }
    let now = clock(&project).await;
    Ok(context.out.table(&issues(&rows, now), "no issues")?)
}

fn issues(rows: &[Issue], now: SystemTime) -> Table {
    let mut table = Table::new(&["ISSUE", "STATUS", "PROCESS", "TYPE", "STARTED", "ENDED", "TITLE"]);
    for issue in rows {
        let status = match issue.orphan {
            Some(reason) => Field::toned(format!("{} (orphan: {reason})", issue.status), Tone::Warning),
            None => Field::toned(issue.status, status_tone(issue.status)),
        };
        table.row([
            Field::number(issue.issue),
            status,
            Field::optional(issue.process.as_ref()),
            Field::optional(issue.task_type.as_ref()),
            Field::optional(issue.start_time.as_ref().map(|time| human::ago(time, now))),
            Field::optional(issue.end_time.as_ref().map(|time| human::ago(time, now))),
            Field::optional(issue.title.as_ref()),
        ]);
    }
    table
}

fn processes(rows: &[Process], now: SystemTime) -> Table {
    let mut table =
        Table::new(&["PROCESS", "STATE", "ISSUES", "PID", "HOST", "SILENT AT MOST", "LAST SEEN", "PROGRESS"]);
    for process in rows {
        let tone = if process.state == ProcessState::Alive { Tone::Good } else { Tone::Warning };
        table.row([
            Field::from(process.process.as_str()),
            Field::toned(process.state, tone),
            Field::number(process.issues),
            Field::optional(process.pid),
            Field::optional(process.host.as_ref()),
            Field::optional(process.ttl.map(|ttl| human::duration(Duration::from_millis(ttl)))),
            Field::optional(process.last_seen.as_ref().map(|time| human::ago(time, now))),
            Field::optional(process.progress.as_ref()),
        ]);
    }
    table
}
