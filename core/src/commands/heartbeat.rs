//! `POPPO.HEARTBEAT`: see `docs/commands.md`.

use crate::{Effect, Heartbeat, Millis, Now, Project, Pulse, Refusal, Text};

use super::args::{Args, Bad, Options, name};
use super::docs::{Access, Arg, Doc};
use super::reply::{Map, Reply};
use super::{Answered, Write};

/// See the module.
#[derive(Debug)]
pub struct Command;

/// A beat, and whether its answer lists the issues.
#[derive(Debug)]
pub struct Request<'a> {
    beat: Heartbeat<'a>,
    brief: bool,
}

const OPTIONS: Options = Options(&["INCARNATION", "TTL", "PROGRESS", "BRIEF"]);

impl Write for Command {
    type Request<'a> = Request<'a>;

    const DOC: Doc = Doc {
        name: "POPPO.HEARTBEAT",
        name_c: c"POPPO.HEARTBEAT",
        since: "0.1.0",
        event: c"poppo.heartbeat",
        summary: "Renews all leases of a process and answers what it holds.",
        complexity: "O(log P) where P is the number of processes; without BRIEF plus the number of issues held",
        arity: -3,
        access: Access::Update,
        categories: c"write fast",
        args: &[
            Arg::text("process"),
            Arg::option_text("incarnation", "INCARNATION").optional(),
            Arg::option_integer("ttl", "TTL").optional(),
            Arg::option_text("progress", "PROGRESS").optional(),
            Arg::flag("brief", "BRIEF").optional(),
        ],
    };
    const POSITIONAL: usize = 1;

    fn parse<'a>(args: &mut Args<'a, impl AsRef<[u8]>>) -> Result<Request<'a>, Bad> {
        let process = args.positional("process", name)?;
        let mut beat = Heartbeat { process, incarnation: None, ttl: None, progress: None };
        let mut brief = false;
        while let Some(option) = args.option(&OPTIONS)? {
            match option {
                "INCARNATION" => beat.incarnation = Some(args.value(option, name)?),
                "TTL" => beat.ttl = Some(args.value(option, Millis::parse_ttl)?),
                "PROGRESS" => beat.progress = Some(args.value(option, Text::parse)?),
                _ => brief = true,
            }
        }
        Ok(Request { beat, brief })
    }

    fn apply(project: &mut Project, now: Now, request: &Request<'_>) -> Result<Answered, Refusal> {
        let pulse = project.heartbeat(now, &request.beat)?;
        // Nobody reads the answer to a replayed beat.
        let brief = request.brief || now.is_replay();
        Ok(Answered::new(shown(&pulse, brief), Effect::Changed))
    }
}

fn shown(pulse: &Pulse<'_>, brief: bool) -> Reply<'static> {
    let issues = if brief {
        Reply::Integer(pulse.held() as u64)
    } else {
        let pairs = pulse.leases().map(|(issue, token)| Reply::Array(vec![Reply::Integer(issue.get()), token.into()]));
        Reply::Array(pairs.collect())
    };
    let cancel = pulse.cancel().map(|issue| Reply::Integer(issue.get())).collect();
    Map::default()
        .with("ttl", pulse.ttl)
        .with("drain", u64::from(pulse.drain()))
        .with("issues", issues)
        .with("cancel", Reply::Array(cancel))
        .into()
}
