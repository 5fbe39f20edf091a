//! `POPPO.GET`: see `docs/commands.md`.

use crate::{Holder, Instant, IssueNumber, Metadata, Now, Project, Record, RunView, Status, TaskView};

use super::Read;
use super::args::{Args, Bad};
use super::docs::{Access, Arg, Doc};
use super::reply::{Map, Reply};

/// See the module.
#[derive(Debug)]
pub struct Command;

impl Read for Command {
    type Request<'a> = IssueNumber;

    const DOC: Doc = Doc {
        name: "POPPO.GET",
        name_c: c"POPPO.GET",
        since: "0.1.0",
        event: c"poppo.get",
        summary: "Shows the whole record of an issue.",
        complexity: "O(log N) where N is the number of issues of the project, plus the number of the issue's tasks",
        arity: -3,
        access: Access::Read,
        categories: c"read fast",
        args: &[Arg::integer("issue")],
    };

    fn parse<'a>(args: &mut Args<'a, impl AsRef<[u8]>>) -> Result<IssueNumber, Bad> {
        let issue = args.positional("issue", IssueNumber::parse)?;
        args.end()?;
        Ok(issue)
    }

    fn answer<'p>(project: &'p Project, now: Now, issue: &IssueNumber) -> Reply<'p> {
        let (tasks, dead) = project.task_counts(*issue);
        let map = match project.get(now, *issue) {
            Some(record) => whole(&record),
            None if tasks == 0 && dead == 0 => return Reply::Null,
            None => Map::default()
                .with("issue", issue.get())
                .maybe("status", (tasks > 0).then_some(Status::Queued.as_str())),
        };
        let some = |count: u64| (count > 0).then_some(count);
        map.maybe("tasks", some(tasks)).maybe("deadTasks", some(dead)).into()
    }

    fn absent(_now: Now, _issue: &IssueNumber) -> Reply<'static> {
        Reply::Null
    }
}

fn whole<'p>(record: &Record<'p>) -> Map<'p> {
    let held = match &record.run {
        RunView::Held { holder, .. } => Some(holder),
        RunView::Ended { .. } => None,
    };
    let map = Map::default()
        .with("issue", record.issue.get())
        .with("status", record.status.as_str())
        .with("token", record.token)
        .with("process", record.process)
        .maybe("incarnation", held.and_then(|holder| holder.incarnation))
        .maybe("pid", record.pid)
        .maybe("host", record.host)
        .maybe("tmux", held.and_then(|holder| holder.tmux))
        .maybe("type", record.kind)
        .maybe("title", record.title)
        .with("startTime", record.started);
    match record.run {
        RunView::Held { holder, task, asked } => working(beats(map, &holder), task, asked),
        RunView::Ended { at, by, reason, result, metadata } => map
            .with("endTime", at)
            .with("endedBy", by.as_str())
            .maybe("reason", reason)
            .maybe("result", result)
            .maybe("metadata", fields(metadata)),
    }
    .maybe("completedTime", record.completed)
}

fn working<'p>(map: Map<'p>, task: Option<TaskView<'p>>, asked: Option<(Instant, Option<&'p str>)>) -> Map<'p> {
    map.maybe("task", task.map(|task| task.id))
        .maybe("attempts", task.map(|task| u64::from(task.attempts)))
        .maybe("orphanCount", task.map(|task| u64::from(task.orphans)))
        .maybe("payload", task.and_then(|task| task.payload))
        .maybe("cancelTime", asked.map(|(at, _)| at))
        .maybe("cancelReason", asked.and_then(|(_, reason)| reason))
}

fn beats<'p>(map: Map<'p>, holder: &Holder<'p>) -> Map<'p> {
    map.with("lastSeen", holder.last_seen)
        .with("ttl", holder.ttl)
        .maybe("progress", holder.progress.map(|(text, _)| text))
        .maybe("progressTime", holder.progress.map(|(_, at)| at))
        .maybe("orphan", holder.orphan.map(|(reason, _)| reason.as_str()))
        .maybe("orphanSince", holder.orphan.map(|(_, since)| since))
}

fn fields(metadata: Metadata<'_>) -> Option<Map<'_>> {
    if metadata.is_empty() {
        return None;
    }
    Some(metadata.iter().fold(Map::default(), |map, (field, value)| map.with(field, value)))
}
