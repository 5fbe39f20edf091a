//! `POPPO.REPAIR`: see `docs/commands.md`.

use crate::{IssueNumber, Now, Project, Refusal, Repair, RepairOutcome, Text, Token};

use super::args::{Args, Bad, Options};
use super::docs::{Access, Arg, Doc};
use super::{Answered, Write};

/// See the module.
#[derive(Debug)]
pub struct Command;

const OPTIONS: Options = Options(&["TOKEN", "STATUS", "REQUEUE", "REASON"]);

const STATUSES: &[Arg] = &[Arg::flag("error", "error"), Arg::flag("awaiting-response", "awaiting-response")];

impl Write for Command {
    type Request<'a> = Repair<'a>;

    const DOC: Doc = Doc {
        name: "POPPO.REPAIR",
        name_c: c"POPPO.REPAIR",
        since: "0.1.0",
        event: c"poppo.repair",
        summary: "Ends an orphan's lease, fenced by its token, and answers the issue's new status.",
        complexity: "O(log N) where N is the number of issues of the project",
        arity: -5,
        access: Access::Update,
        categories: c"write fast",
        args: &[
            Arg::integer("issue"),
            Arg::option_integer("token", "TOKEN"),
            Arg::one_of("status", Some("STATUS"), STATUSES).optional(),
            Arg::flag("requeue", "REQUEUE").optional(),
            Arg::option_text("reason", "REASON").optional(),
        ],
    };
    const POSITIONAL: usize = 1;

    fn parse<'a>(args: &mut Args<'a, impl AsRef<[u8]>>) -> Result<Repair<'a>, Bad> {
        let issue = args.positional("issue", IssueNumber::parse)?;
        let (mut token, mut outcome, mut requeue, mut reason) = (None, RepairOutcome::Error, false, None);
        while let Some(option) = args.option(&OPTIONS)? {
            match option {
                "TOKEN" => token = Some(args.value(option, Token::parse)?),
                "STATUS" => outcome = args.value(option, RepairOutcome::parse)?,
                "REQUEUE" => requeue = true,
                _ => reason = Some(args.value(option, Text::parse)?),
            }
        }
        let token = token.ok_or_else(|| Bad("TOKEN is missing".to_owned()))?;
        Ok(Repair { issue, token, outcome, requeue, reason })
    }

    fn apply(project: &mut Project, now: Now, request: &Repair<'_>) -> Result<Answered, Refusal> {
        let (status, effect) = project.repair(now, request)?;
        Ok(Answered::new(status.as_str(), effect))
    }
}
