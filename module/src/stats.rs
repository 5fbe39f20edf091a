//! `POPPO.STATS`: see `docs/commands.md`.

use poppo_core::{Durations, Now, OrphanReason, Outcome, Project, Status};

use crate::args::{Args, Bad};
use crate::command::Read;
use crate::docs::{Access, Doc};
use crate::reply::{Map, Reply};

/// See the module.
pub(crate) struct Command;

impl Read for Command {
    type Request<'a> = ();

    const DOC: Doc = Doc {
        name: "POPPO.STATS",
        name_c: c"POPPO.STATS",
        since: "0.1.0",
        event: c"poppo.stats",
        summary: "Shows the project's counts, totals and durations.",
        complexity: "O(log P) where P is the number of processes, plus the number of orphaned processes",
        arity: -2,
        access: Access::Read,
        categories: c"read slow",
        args: &[],
    };

    fn parse<'a>(args: &mut Args<'a>) -> Result<(), Bad> {
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
            .with("checkouts", totals.checkouts)
            .with("checkins", counts(Outcome::ALL.iter().map(|outcome| outcome.as_str()), &totals.checkins))
            .with("heartbeats", totals.heartbeats)
            .with("repairs", counts(OrphanReason::ALL.iter().map(|reason| reason.as_str()), &totals.repairs))
            .with("takeovers", totals.takeovers)
            .with("evictions", totals.evictions)
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

fn durations(durations: Durations) -> Map<'static> {
    Map::default()
        .with("count", durations.count)
        .with("mean", durations.mean)
        .with("p50", durations.p50)
        .with("p99", durations.p99)
}
