//! `POPPO.REVIVE`: see `docs/commands.md`.

use crate::{Effect, Now, Project, Refusal, TaskId};

use super::args::{Args, Bad};
use super::docs::{Access, Arg, Doc};
use super::{Answered, Write};

/// See the module.
#[derive(Debug)]
pub struct Command;

impl Write for Command {
    type Request<'a> = TaskId<'a>;

    const DOC: Doc = Doc {
        name: "POPPO.REVIVE",
        name_c: c"POPPO.REVIVE",
        since: "0.3.0",
        event: c"poppo.revive",
        summary: "Queues a dead task again, its counts at zero.",
        complexity: "O(log N) where N is the number of tasks of the project",
        arity: -3,
        access: Access::Update,
        categories: c"write fast",
        args: &[Arg::text("task")],
    };
    const POSITIONAL: usize = 1;

    fn parse<'a>(args: &mut Args<'a, impl AsRef<[u8]>>) -> Result<TaskId<'a>, Bad> {
        let task = args.positional("task", TaskId::parse)?;
        args.end()?;
        Ok(task)
    }

    fn apply(project: &mut Project, now: Now, task: &TaskId<'_>) -> Result<Answered, Refusal> {
        let effect = project.revive(now, *task);
        Ok(Answered::new(u64::from(effect == Effect::Changed), effect))
    }
}
