//! `POPPO.DRAIN`: see `docs/commands.md`.

use poppo_core::{Invalid, Now, Project, Refusal};

use crate::args::{Args, Bad};
use crate::command::{Answered, Write};
use crate::docs::{Access, Arg, Doc};
use crate::reply::Reply;

/// See the module.
pub(crate) struct Command;

impl Write for Command {
    type Request<'a> = bool;

    const DOC: Doc = Doc {
        name: "POPPO.DRAIN",
        name_c: c"POPPO.DRAIN",
        since: "0.3.0",
        event: c"poppo.drain",
        summary: "Keeps claims from getting tasks, or lets them.",
        complexity: "O(1)",
        arity: -3,
        access: Access::Insert,
        categories: c"write fast",
        args: &[Arg::one_of("switch", None, &[Arg::flag("on", "ON"), Arg::flag("off", "OFF")])],
    };
    const POSITIONAL: usize = 1;

    fn parse<'a>(args: &mut Args<'a>) -> Result<bool, Bad> {
        let on = args.positional("the switch", switch)?;
        args.end()?;
        Ok(on)
    }

    fn creates(on: &bool) -> bool {
        *on
    }

    fn apply(project: &mut Project, now: Now, on: &bool) -> Result<Answered, Refusal> {
        Ok(Answered::new(Reply::Ok, project.drain(now, *on)))
    }
}

fn switch(word: &[u8]) -> Result<bool, Invalid> {
    match word {
        word if word.eq_ignore_ascii_case(b"ON") => Ok(true),
        word if word.eq_ignore_ascii_case(b"OFF") => Ok(false),
        _ => Err(Invalid::Word("ON or OFF")),
    }
}
