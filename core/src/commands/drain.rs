//! `POPPO.DRAIN`: see `docs/commands.md`.

use crate::{Invalid, Now, Project, Refusal};

use super::args::{Args, Bad};
use super::docs::{Access, Arg, Doc};
use super::reply::Reply;
use super::{Answered, Write};

/// See the module.
#[derive(Debug)]
pub struct Command;

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

    fn parse<'a>(args: &mut Args<'a, impl AsRef<[u8]>>) -> Result<bool, Bad> {
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
