//! `POPPO.CHECKOUT`: see `docs/commands.md`.

use crate::{Checkout, Effect, IssueNumber, Millis, Now, Pid, Project, Refusal, Text};

use super::args::{Args, Bad, Options, name};
use super::docs::{Access, Arg, Doc};
use super::{Answered, Write};

/// See the module.
#[derive(Debug)]
pub struct Command;

const OPTIONS: Options = Options(&["PID", "HOST", "INCARNATION", "TYPE", "TITLE", "TMUX", "TTL", "ONCE", "TAKEOVER"]);

impl Write for Command {
    type Request<'a> = Checkout<'a>;

    const DOC: Doc = Doc {
        name: "POPPO.CHECKOUT",
        name_c: c"POPPO.CHECKOUT",
        since: "0.1.0",
        event: c"poppo.checkout",
        summary: "Checks an issue out to a process and answers the fencing token.",
        complexity: "O(log N) where N is the number of issues of the project",
        arity: -4,
        access: Access::Insert,
        categories: c"write fast",
        args: &[
            Arg::integer("issue"),
            Arg::text("process"),
            Arg::option_integer("pid", "PID").optional(),
            Arg::option_text("host", "HOST").optional(),
            Arg::option_text("incarnation", "INCARNATION").optional(),
            Arg::option_text("type", "TYPE").optional(),
            Arg::option_text("title", "TITLE").optional(),
            Arg::option_text("tmux", "TMUX").optional(),
            Arg::option_integer("ttl", "TTL").optional(),
            Arg::flag("once", "ONCE").optional(),
            Arg::flag("takeover", "TAKEOVER").optional(),
        ],
    };
    const POSITIONAL: usize = 2;

    fn parse<'a>(args: &mut Args<'a, impl AsRef<[u8]>>) -> Result<Checkout<'a>, Bad> {
        let issue = args.positional("issue", IssueNumber::parse)?;
        let mut request = Checkout::new(issue, args.positional("process", name)?);
        while let Some(option) = args.option(&OPTIONS)? {
            match option {
                "PID" => request.pid = Some(args.value(option, Pid::parse)?),
                "HOST" => request.host = Some(args.value(option, name)?),
                "INCARNATION" => request.incarnation = Some(args.value(option, name)?),
                "TYPE" => request.kind = Some(args.value(option, name)?),
                "TITLE" => request.title = Some(args.value(option, Text::parse)?),
                "TMUX" => request.tmux = Some(args.value(option, Text::parse)?),
                "TTL" => request.ttl = Some(args.value(option, Millis::parse_ttl)?),
                "ONCE" => request.once = true,
                _ => request.takeover = true,
            }
        }
        Ok(request)
    }

    fn creates(_request: &Checkout<'_>) -> bool {
        true
    }

    fn apply(project: &mut Project, now: Now, request: &Checkout<'_>) -> Result<Answered, Refusal> {
        let lease = project.checkout(now, request)?;
        Ok(Answered::new(lease.token, Effect::Changed))
    }
}
