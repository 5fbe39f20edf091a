//! `POPPO.FORGET`: see `docs/commands.md`.

use poppo_core::{Effect, IssueNumber, Now, Project, Refusal};

use crate::args::{Args, Bad};
use crate::command::{Answered, Write};
use crate::docs::{Access, Arg, Doc};

/// See the module.
pub(crate) struct Command;

impl Write for Command {
    type Request<'a> = IssueNumber;

    const DOC: Doc = Doc {
        name: "POPPO.FORGET",
        name_c: c"POPPO.FORGET",
        since: "0.1.0",
        event: c"poppo.forget",
        summary: "Removes every trace of an issue that nobody holds.",
        complexity: "O(log N) where N is the number of issues of the project",
        arity: -3,
        access: Access::Delete,
        categories: c"write fast",
        args: &[Arg::integer("issue")],
    };
    const POSITIONAL: usize = 1;

    fn parse<'a>(args: &mut Args<'a>) -> Result<IssueNumber, Bad> {
        let issue = args.positional("issue", IssueNumber::parse)?;
        args.end()?;
        Ok(issue)
    }

    fn apply(project: &mut Project, now: Now, issue: &IssueNumber) -> Result<Answered, Refusal> {
        let effect = project.forget(now, *issue)?;
        Ok(Answered::new(u64::from(effect == Effect::Changed), effect))
    }
}
