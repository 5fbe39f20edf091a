//! `POPPO.CLAIM`: see `docs/commands.md`. How its clients wait is not for here.

use crate::{Assignment, Claim, Effect, Millis, Name, Now, Pid, Project, Refusal, Text, integer};

use super::args::{Args, Bad, Options, block, name};
use super::docs::{Access, Arg, Doc};
use super::reply::{Field, Plain, Reply};
use super::{Answered, Write};

/// See the module.
#[derive(Debug)]
pub struct Command;

/// Who asks for what, and for how long to wait.
#[derive(Debug)]
pub struct Request<'a> {
    claim: Claim<'a>,
    /// Which types of tasks; none for any.
    pub types: Vec<Name<'a>>,
    block: Option<Millis>,
}

const OPTIONS: Options =
    Options(&["BLOCK", "TYPES", "REQ", "PID", "HOST", "INCARNATION", "TYPE", "TITLE", "TMUX", "TTL"]);

/// The most types that one claim may ask for.
const MOST_TYPES: u64 = 64;

impl Write for Command {
    type Request<'a> = Request<'a>;

    const DOC: Doc = Doc {
        name: "POPPO.CLAIM",
        name_c: c"POPPO.CLAIM",
        since: "0.3.0",
        event: c"poppo.claim",
        summary: "Checks out the issue of the next task of the queue, or waits for one.",
        complexity: "O(log N) where N is the number of issues and tasks of the project, plus the number of TYPES",
        arity: -3,
        access: Access::Update,
        categories: c"write slow blocking",
        args: &[
            Arg::text("process"),
            Arg::option_integer("milliseconds", "BLOCK").optional(),
            Arg::block("types", Some("TYPES"), &[Arg::integer("count"), Arg::text("type").multiple()]).optional(),
            Arg::option_text("request", "REQ").optional(),
            Arg::option_integer("pid", "PID").optional(),
            Arg::option_text("host", "HOST").optional(),
            Arg::option_text("incarnation", "INCARNATION").optional(),
            Arg::option_text("type", "TYPE").optional(),
            Arg::option_text("title", "TITLE").optional(),
            Arg::option_text("tmux", "TMUX").optional(),
            Arg::option_integer("ttl", "TTL").optional(),
        ],
    };
    const POSITIONAL: usize = 1;

    fn parse<'a>(args: &mut Args<'a, impl AsRef<[u8]>>) -> Result<Request<'a>, Bad> {
        let mut claim = Claim::new(args.positional("process", name)?);
        claim.chosen = args.chosen();
        let (mut types, mut kind, mut wait) = (None, None, None);
        while let Some(option) = args.option(&OPTIONS)? {
            match option {
                "BLOCK" => wait = Some(args.value(option, block)?),
                "TYPES" => types = Some(several(args)?),
                "REQ" => claim.request = Some(args.value(option, name)?),
                "PID" => claim.pid = Some(args.value(option, Pid::parse)?),
                "HOST" => claim.host = Some(args.value(option, name)?),
                "INCARNATION" => claim.incarnation = Some(args.value(option, name)?),
                "TYPE" => kind = Some(args.value(option, name)?),
                "TITLE" => claim.title = Some(args.value(option, Text::parse)?),
                "TMUX" => claim.tmux = Some(args.value(option, Text::parse)?),
                _ => claim.ttl = Some(args.value(option, Millis::parse_ttl)?),
            }
        }
        let types = match (types, kind) {
            (Some(_), Some(_)) => return Err(Bad("TYPE and TYPES exclude each other".to_owned())),
            (Some(types), None) => types,
            (None, kind) => kind.into_iter().collect(),
        };
        Ok(Request { claim, types, block: wait })
    }

    fn block(request: &Request<'_>) -> Option<Millis> {
        request.block
    }

    fn apply(project: &mut Project, now: Now, request: &Request<'_>) -> Result<Answered, Refusal> {
        let claim = Claim { types: &request.types, ..request.claim };
        let Some(claimed) = project.claim(now, &claim)? else {
            return Ok(Answered::new(Reply::Null, Effect::Unchanged));
        };
        Ok(Answered::new(Reply::Lease, Effect::Changed).with_lease(claimed.issue, !claimed.renewed))
    }
}

/// `TYPES n t …`.
fn several<'a>(args: &mut Args<'a, impl AsRef<[u8]>>) -> Result<Vec<Name<'a>>, Bad> {
    let count = args.value("TYPES", |word| integer(word, 1, MOST_TYPES))?;
    (0..count).map(|_| args.value("TYPES", name)).collect()
}

/// What a claim answers.
pub fn shown(claimed: Assignment<'_>) -> [Field<'_>; 8] {
    let Assignment { issue, token, task, kind, title, payload, attempts, waited } = claimed;
    [
        ("issue", Plain::Integer(issue.get())),
        ("token", Plain::Integer(token.get())),
        ("task", Plain::Text(task)),
        ("type", Plain::Text(kind)),
        ("title", title.map_or(Plain::Null, Plain::Text)),
        ("payload", payload.map_or(Plain::Null, Plain::Text)),
        ("attempts", Plain::Integer(attempts.into())),
        ("waited", Plain::Integer(waited.0)),
    ]
}
