//! `POPPO.ENQUEUE`: see `docs/commands.md`.

use crate::{Enqueue, IssueNumber, Millis, Now, Priority, Project, Refusal, Text};

use super::args::{Args, Bad, Options, name};
use super::docs::{Access, Arg, Doc};
use super::{Answered, Write};

/// See the module.
#[derive(Debug)]
pub struct Command;

const OPTIONS: Options = Options(&["ID", "TYPE", "PRIORITY", "DELAY", "TITLE", "PAYLOAD", "AGAIN"]);

impl Write for Command {
    type Request<'a> = Enqueue<'a>;

    const DOC: Doc = Doc {
        name: "POPPO.ENQUEUE",
        name_c: c"POPPO.ENQUEUE",
        since: "0.3.0",
        event: c"poppo.enqueue",
        summary: "Queues a task of an issue, unless it is there or was finished.",
        complexity: "O(log N) where N is the number of tasks of the project",
        arity: -3,
        access: Access::Insert,
        categories: c"write fast",
        args: &[
            Arg::integer("issue"),
            Arg::option_text("id", "ID").optional(),
            Arg::option_text("type", "TYPE").optional(),
            Arg::option_text("priority", "PRIORITY").optional(),
            Arg::option_integer("milliseconds", "DELAY").optional(),
            Arg::option_text("title", "TITLE").optional(),
            Arg::option_text("payload", "PAYLOAD").optional(),
            Arg::flag("again", "AGAIN").optional(),
        ],
    };
    const POSITIONAL: usize = 1;

    fn parse<'a>(args: &mut Args<'a, impl AsRef<[u8]>>) -> Result<Enqueue<'a>, Bad> {
        let mut request = Enqueue::new(args.positional("issue", IssueNumber::parse)?);
        while let Some(option) = args.option(&OPTIONS)? {
            match option {
                "ID" => request.id = Some(args.value(option, name)?),
                "TYPE" => request.kind = Some(args.value(option, name)?),
                "PRIORITY" => request.priority = Some(args.value(option, Priority::parse)?),
                "DELAY" => request.delay = args.value(option, Millis::parse_delay)?,
                "TITLE" => request.title = Some(args.value(option, Text::parse)?),
                "PAYLOAD" => request.payload = Some(args.value(option, Text::parse_json)?),
                _ => request.again = true,
            }
        }
        Ok(request)
    }

    fn creates(_request: &Enqueue<'_>) -> bool {
        true
    }

    fn apply(project: &mut Project, now: Now, request: &Enqueue<'_>) -> Result<Answered, Refusal> {
        let (queued, effect) = project.enqueue(now, request)?;
        Ok(Answered::new(u64::from(queued), effect))
    }
}
