//! `poppo get`: GET, everything that is known of one issue.

use std::time::{Duration, SystemTime};

use poppo::{Issue, IssueNumber, Timestamp};

use crate::cli::{Context, clock};
use crate::exit::{FAILED, Failure};
use crate::human;
use crate::output::{Field, Table, Tone};

/// Show everything that is known of an issue
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Example:
  $ poppo get 123
  $ poppo get 123 --json | jq .result

Exit code 1 where the issue is unknown.")]
pub(crate) struct Args {
    /// The issue's number
    issue: IssueNumber,
}

pub(crate) async fn run(args: &Args, context: &Context) -> Result<(), Failure> {
    let project = context.project().await?;
    let Some(issue) = project.get(args.issue).await? else {
        let message = format!("issue {} is not known in project {}", args.issue, project.key());
        return Err(Failure::new(FAILED, "UNKNOWN", message));
    };
    if context.out.json {
        return Ok(context.out.document(&issue)?);
    }
    let now = clock(&project).await;
    Ok(context.out.table(&table(&issue, now), "")?)
}

/// One row a field, in the order in which one asks: what, how, who, when, why.
fn table(issue: &Issue, now: SystemTime) -> Table {
    let time = |time: Option<&Timestamp>| time.map(|time| format!("{time}  ({})", human::ago(time, now)));
    let text = |text: Option<&String>| text.cloned();
    let mut table = Table::new(&["", ""]);
    table.row([Field::toned("issue", Tone::Quiet), Field::from(issue.issue.to_string())]);
    table.row([Field::toned("status", Tone::Quiet), Field::status(issue.status)]);
    let rows = [
        ("title", text(issue.title.as_ref())),
        ("type", text(issue.task_type.as_ref())),
        ("token", issue.token.map(|token| token.to_string())),
        ("process", text(issue.process.as_ref())),
        ("incarnation", text(issue.incarnation.as_ref())),
        ("pid", issue.pid.map(|pid| pid.to_string())),
        ("host", text(issue.host.as_ref())),
        ("tmux", text(issue.tmux.as_ref())),
        ("started", time(issue.start_time.as_ref())),
        ("last seen", time(issue.last_seen.as_ref())),
        ("may be silent", issue.ttl.map(|ttl| format!("for {}", human::duration(Duration::from_millis(ttl))))),
        ("progress", text(issue.progress.as_ref())),
        ("reported", time(issue.progress_time.as_ref())),
        ("orphan", issue.orphan.map(|reason| reason.to_string())),
        ("orphan since", time(issue.orphan_since.as_ref())),
        ("task", text(issue.task.as_ref())),
        ("failed before", issue.attempts.filter(|count| *count > 0).map(|count| format!("{count} times"))),
        ("requeued before", issue.orphan_count.filter(|count| *count > 0).map(|count| format!("{count} times"))),
        ("payload", issue.payload.as_ref().map(ToString::to_string)),
        ("asked to stop", time(issue.cancel_time.as_ref())),
        ("asked because", text(issue.cancel_reason.as_ref())),
        ("ended", time(issue.end_time.as_ref())),
        ("ended by", issue.ended_by.map(|by| by.to_string())),
        ("reason", text(issue.reason.as_ref())),
        ("result", issue.result.as_ref().map(ToString::to_string)),
        ("completed", time(issue.completed_time.as_ref())),
        ("waiting tasks", issue.tasks.map(|count| count.to_string())),
        ("dead tasks", issue.dead_tasks.map(|count| count.to_string())),
    ];
    for (name, value) in rows {
        if let Some(value) = value {
            table.row([Field::toned(name, Tone::Quiet), Field::from(value)]);
        }
    }
    for (name, value) in &issue.metadata {
        table.row([Field::toned(format!("meta {name}"), Tone::Quiet), Field::from(value.as_str())]);
    }
    table
}
