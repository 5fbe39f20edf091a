//! `POPPO.EVICT`: see `docs/commands.md`.

use crate::{Evict, IssueNumber, Now, Project, Refusal, Text, Token};

use super::args::{Args, Bad, Options};
use super::docs::{Access, Arg, Doc};
use super::{Answered, Write};

/// See the module.
#[derive(Debug)]
pub struct Command;

const OPTIONS: Options = Options(&["TOKEN", "REQUEUE", "REASON"]);

impl Write for Command {
    type Request<'a> = Evict<'a>;

    const DOC: Doc = Doc {
        name: "POPPO.EVICT",
        name_c: c"POPPO.EVICT",
        since: "0.1.0",
        event: c"poppo.evict",
        summary: "Ends a lease by hand, whoever holds it, and answers the issue's new status.",
        complexity: "O(log N) where N is the number of issues of the project",
        arity: -3,
        access: Access::Update,
        categories: c"write slow admin dangerous",
        args: &[
            Arg::integer("issue"),
            Arg::option_integer("token", "TOKEN").optional(),
            Arg::flag("requeue", "REQUEUE").optional(),
            Arg::option_text("reason", "REASON").optional(),
        ],
    };
    const POSITIONAL: usize = 1;

    fn parse<'a>(args: &mut Args<'a, impl AsRef<[u8]>>) -> Result<Evict<'a>, Bad> {
        let issue = args.positional("issue", IssueNumber::parse)?;
        let mut request = Evict { issue, token: None, requeue: false, reason: None };
        while let Some(option) = args.option(&OPTIONS)? {
            match option {
                "TOKEN" => request.token = Some(args.value(option, Token::parse)?),
                "REQUEUE" => request.requeue = true,
                _ => request.reason = Some(args.value(option, Text::parse)?),
            }
        }
        Ok(request)
    }

    fn apply(project: &mut Project, now: Now, request: &Evict<'_>) -> Result<Answered, Refusal> {
        let (status, effect) = project.evict(now, request)?;
        Ok(Answered::new(status.as_str(), effect))
    }
}
