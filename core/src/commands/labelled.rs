//! `POPPO.LABELLED`: see `docs/commands.md`.

use crate::{Effect, IssueNumber, MAX_INTEGER, Now, Project, Refusal, integer};

use super::args::{Args, Bad};
use super::docs::{Access, Arg, Doc};
use super::{Answered, Write};

/// See the module.
#[derive(Debug)]
pub struct Command;

/// Whose labels show which version.
#[derive(Debug)]
pub struct Request {
    issue: IssueNumber,
    version: u64,
}

impl Write for Command {
    type Request<'a> = Request;

    const DOC: Doc = Doc {
        name: "POPPO.LABELLED",
        name_c: c"POPPO.LABELLED",
        since: "0.2.0",
        event: c"poppo.labelled",
        summary: "Confirms that an issue's labels show a version of its status.",
        complexity: "O(log N) where N is the number of issues of the project",
        arity: -4,
        access: Access::Update,
        categories: c"write fast",
        args: &[Arg::integer("issue"), Arg::integer("version")],
    };
    const POSITIONAL: usize = 2;

    fn parse<'a>(args: &mut Args<'a, impl AsRef<[u8]>>) -> Result<Request, Bad> {
        let issue = args.positional("issue", IssueNumber::parse)?;
        let version = args.positional("version", |word| integer(word, 1, MAX_INTEGER))?;
        args.end()?;
        Ok(Request { issue, version })
    }

    fn apply(project: &mut Project, now: Now, request: &Request) -> Result<Answered, Refusal> {
        let effect = project.labelled(now, request.issue, request.version);
        Ok(Answered::new(u64::from(effect == Effect::Changed), effect))
    }
}
