//! `poppo list`: LIST, to its end.

use std::time::{Duration, SystemTime};

use poppo::{Issue, Process, ProcessState, Status, Task, TaskState};

use crate::cli::{Context, clock};
use crate::exit::Failure;
use crate::human;
use crate::output::{Field, Table, Tone, status_tone};

/// List the project's issues, the tasks of its queue, or the processes that work on them
///
/// Issues are listed once they were checked out. Those that only have tasks are found by these: --queue shows what waits,
/// in the order in which it began to, --delayed what is not due yet, and --dead what failed for good, longest dead first.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Example:
  $ poppo list --status processing
  $ poppo list --queue
  $ poppo list --dead
  $ poppo list --processes
  $ poppo list --json | jq -r '.[] | select(.status == \"error\") | .issue'")]
pub(crate) struct Args {
    /// Only issues of this status: processing, queued, completed, awaiting-response, error or cancelled
    #[arg(long, value_name = "STATUS", group = "what")]
    status: Option<Status>,
    /// The processes instead of the issues
    #[arg(long, group = "what")]
    processes: bool,
    /// The tasks that wait for a worker, or for their issue
    #[arg(long, group = "what")]
    queue: bool,
    /// The tasks that are not due yet
    #[arg(long, group = "what")]
    delayed: bool,
    /// The tasks that failed for good; `poppo revive` brings one back
    #[arg(long, group = "what")]
    dead: bool,
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
    let state = [(args.queue, TaskState::Waiting), (args.delayed, TaskState::Delayed), (args.dead, TaskState::Dead)];
    if let Some((_, state)) = state.into_iter().find(|(is_asked, _)| *is_asked) {
        let rows = project.all_tasks(state).await?;
        if context.out.json {
            return Ok(context.out.document(&rows)?);
        }
        let now = clock(&project).await;
        return Ok(context.out.table(&tasks(&rows, now), "no tasks")?);
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

/// The tasks as people see them.
pub(crate) fn tasks(rows: &[Task], now: SystemTime) -> Table {
    let mut table = Table::new(&[
        "TASK",
        "ISSUE",
        "TYPE",
        "PRIORITY",
        "FAILED",
        "REQUEUED",
        "WAITING SINCE",
        "DUE",
        "DIED",
        "REASON",
        "TITLE",
    ]);
    let count = |count: u64| Field::number(if count > 0 { count.to_string() } else { String::new() });
    for task in rows {
        let since = task.since.as_ref().map(|time| human::ago(time, now));
        let held = if task.held { ", for its held issue" } else { "" };
        table.row([
            Field::from(task.task.as_str()),
            Field::number(task.issue),
            Field::from(task.task_type.as_str()),
            Field::from(task.priority.to_string()),
            count(task.attempts),
            count(task.orphan_count),
            Field::optional(since.map(|since| format!("{since}{held}"))),
            Field::optional(task.due.as_ref().map(|time| human::until(time, now))),
            Field::optional(task.dead_time.as_ref().map(|time| human::ago(time, now))),
            Field::optional(task.reason.as_ref()),
            Field::optional(task.title.as_ref()),
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
