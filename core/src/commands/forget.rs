//! `POPPO.FORGET`: see `docs/commands.md`.

use crate::{Effect, IssueNumber, Now, Project, Refusal};

use super::args::{Args, Bad};
use super::docs::{Access, Arg, Doc};
use super::{Answered, Write};

/// See the module.
#[derive(Debug)]
pub struct Command;

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

    fn parse<'a>(args: &mut Args<'a, impl AsRef<[u8]>>) -> Result<IssueNumber, Bad> {
        let issue = args.positional("issue", IssueNumber::parse)?;
        args.end()?;
        Ok(issue)
    }

    fn apply(project: &mut Project, now: Now, issue: &IssueNumber) -> Result<Answered, Refusal> {
        let effect = project.forget(now, *issue)?;
        Ok(Answered::new(u64::from(effect == Effect::Changed), effect))
    }
}
