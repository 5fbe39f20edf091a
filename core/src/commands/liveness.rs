//! `POPPO.LIVENESS`: see `docs/commands.md`.

use crate::{Invalid, Liveness, Now, Pid, Project, Refusal};

use super::args::{Args, Bad, Options, name};
use super::docs::{Access, Arg, Doc};
use super::{Answered, Write};

/// See the module.
#[derive(Debug)]
pub struct Command;

const OPTIONS: Options = Options(&["HOST", "PID", "INCARNATION"]);

impl Write for Command {
    type Request<'a> = Liveness<'a>;

    const DOC: Doc = Doc {
        name: "POPPO.LIVENESS",
        name_c: c"POPPO.LIVENESS",
        since: "0.1.0",
        event: c"poppo.liveness",
        summary: "Takes a host agent's word on a process and answers how many of its issues are orphans.",
        complexity: "O(log P) where P is the number of processes",
        arity: -8,
        access: Access::Update,
        categories: c"write fast",
        args: &[
            Arg::text("process"),
            Arg::one_of("word", None, &[Arg::flag("alive", "ALIVE"), Arg::flag("dead", "DEAD")]),
            Arg::option_text("host", "HOST"),
            Arg::option_integer("pid", "PID"),
            Arg::option_text("incarnation", "INCARNATION").optional(),
        ],
    };
    const POSITIONAL: usize = 2;

    fn parse<'a>(args: &mut Args<'a, impl AsRef<[u8]>>) -> Result<Liveness<'a>, Bad> {
        let process = args.positional("process", name)?;
        let alive = args.positional("the word on the process", alive)?;
        let (mut host, mut pid, mut incarnation) = (None, None, None);
        while let Some(option) = args.option(&OPTIONS)? {
            match option {
                "HOST" => host = Some(args.value(option, name)?),
                "PID" => pid = Some(args.value(option, Pid::parse)?),
                _ => incarnation = Some(args.value(option, name)?),
            }
        }
        let host = host.ok_or_else(|| Bad("HOST is missing".to_owned()))?;
        let pid = pid.ok_or_else(|| Bad("PID is missing".to_owned()))?;
        Ok(Liveness { process, alive, host, pid, incarnation })
    }

    fn apply(project: &mut Project, now: Now, request: &Liveness<'_>) -> Result<Answered, Refusal> {
        let (orphans, effect) = project.liveness(now, request);
        Ok(Answered::new(orphans, effect))
    }
}

fn alive(word: &[u8]) -> Result<bool, Invalid> {
    if word.eq_ignore_ascii_case(b"ALIVE") {
        Ok(true)
    } else if word.eq_ignore_ascii_case(b"DEAD") {
        Ok(false)
    } else {
        Err(Invalid::Word("ALIVE or DEAD"))
    }
}
