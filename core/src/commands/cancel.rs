//! `POPPO.CANCEL`: see `docs/commands.md`.

use crate::{IssueNumber, Now, Project, Refusal, Text};

use super::args::{Args, Bad, Options};
use super::docs::{Access, Arg, Doc};
use super::{Answered, Write};

/// See the module.
#[derive(Debug)]
pub struct Command;

const OPTIONS: Options = Options(&["REASON"]);

impl Write for Command {
    type Request<'a> = (IssueNumber, Option<Text<'a>>);

    const DOC: Doc = Doc {
        name: "POPPO.CANCEL",
        name_c: c"POPPO.CANCEL",
        since: "0.3.0",
        event: c"poppo.cancel",
        summary: "Removes the tasks of an issue that wait, and asks its holder to stop.",
        complexity: "O(K log N) where K is the number of the issue's tasks and N that of all tasks",
        arity: -3,
        access: Access::Update,
        categories: c"write slow",
        args: &[Arg::integer("issue"), Arg::option_text("reason", "REASON").optional()],
    };
    const POSITIONAL: usize = 1;

    fn parse<'a>(args: &mut Args<'a, impl AsRef<[u8]>>) -> Result<Self::Request<'a>, Bad> {
        let issue = args.positional("issue", IssueNumber::parse)?;
        let mut reason = None;
        while let Some(option) = args.option(&OPTIONS)? {
            reason = Some(args.value(option, Text::parse)?);
        }
        Ok((issue, reason))
    }

    fn apply(project: &mut Project, now: Now, (issue, reason): &Self::Request<'_>) -> Result<Answered, Refusal> {
        let (done, effect) = project.cancel(now, *issue, *reason);
        Ok(Answered::new(done.as_str(), effect))
    }
}
