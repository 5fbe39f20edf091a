//! `POPPO.STATS`: see `docs/commands.md`.

use crate::{Durations, Millis, Now, OrphanReason, Outcome, Project, QueueStats, Status, TaskTotals};

use super::Read;
use super::args::{Args, Bad};
use super::docs::{Access, Doc};
use super::reply::{Map, Reply};

/// See the module.
#[derive(Debug)]
pub struct Command;

impl Read for Command {
    type Request<'a> = ();

    const DOC: Doc = Doc {
        name: "POPPO.STATS",
        name_c: c"POPPO.STATS",
        since: "0.1.0",
        event: c"poppo.stats",
        summary: "Shows the project's counts, totals and durations.",
        complexity: "O(log P) where P is the number of processes, plus the number of orphaned processes and of levels of priority",
        arity: -2,
        access: Access::Read,
        categories: c"read slow",
        args: &[],
    };

    fn parse<'a>(args: &mut Args<'a, impl AsRef<[u8]>>) -> Result<(), Bad> {
        args.end()
    }

    fn answer<'p>(project: &'p Project, now: Now, (): &()) -> Reply<'p> {
        let stats = project.stats(now);
        let totals = stats.totals;
        Map::default()
            .with("created", stats.created)
            .maybe("lastToken", stats.last_token)
            .with("issues", counts(Status::ALL.iter().map(|status| status.as_str()), &stats.issues))
            .with("processes", stats.processes)
            .with("orphans", stats.orphans)
            .with("queue", queue(&stats.queue))
            .with("checkouts", totals.checkouts)
            .with("checkins", counts(Outcome::ALL.iter().map(|outcome| outcome.as_str()), &totals.checkins))
            .with("heartbeats", totals.heartbeats)
            .with("repairs", counts(OrphanReason::ALL.iter().map(|reason| reason.as_str()), &totals.repairs))
            .with("takeovers", totals.takeovers)
            .with("evictions", totals.evictions)
            .with("tasks", tasks(totals.tasks))
            .with("wait", durations(stats.wait))
            .with("hold", durations(stats.hold))
            .with("detection", durations(stats.detection))
            .into()
    }

    fn absent(_now: Now, (): &()) -> Reply<'static> {
        Reply::Null
    }
}

fn counts(names: impl Iterator<Item = &'static str>, counts: &[u64]) -> Map<'static> {
    names.zip(counts).fold(Map::default(), |map, (name, count)| map.with(name, *count))
}

fn queue(queue: &QueueStats) -> Map<'static> {
    let depth = queue.depth.iter().map(|(priority, count)| (priority.get().to_string().into(), *count));
    Map::default()
        .with("waiting", queue.waiting)
        .with("delayed", queue.delayed)
        .with("running", queue.running)
        .with("dead", queue.dead)
        .with("drain", u64::from(queue.drain))
        .with("oldest", queue.oldest.unwrap_or(Millis(0)))
        .with("depth", depth.fold(Map::default(), |map: Map<'static>, (level, count)| map.with_name(level, count)))
}

fn tasks(tasks: TaskTotals) -> Map<'static> {
    let TaskTotals { enqueued, claimed, finished, retried, requeued, cancelled, dead, revived } = tasks;
    Map::default()
        .with("enqueued", enqueued)
        .with("claimed", claimed)
        .with("finished", finished)
        .with("retried", retried)
        .with("requeued", requeued)
        .with("cancelled", cancelled)
        .with("dead", dead)
        .with("revived", revived)
}

fn durations(durations: Durations) -> Map<'static> {
    let filled = Durations::BOUNDS.iter().zip(durations.buckets).filter(|(_, count)| *count > 0);
    let buckets = filled
        .fold(Map::default(), |map: Map<'static>, (bound, count)| map.with_name(bound.0.to_string().into(), count));
    Map::default()
        .with("count", durations.count)
        .with("sum", durations.sum)
        .with("mean", durations.mean)
        .with("p50", durations.p50)
        .with("p99", durations.p99)
        .with("buckets", buckets)
}
