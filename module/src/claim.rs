//! `POPPO.CLAIM`: see `docs/commands.md`. How its clients wait is in `waiters`.

use poppo_core::{Assignment, Claim, Effect, Millis, Name, Now, Pid, Project, Refusal, Text, integer};
use redis_module::{Context, RedisResult};

use crate::args::{Args, Bad, Options, block, name};
use crate::command::{Answered, Write, key_name, write};
use crate::docs::{Access, Arg, Doc};
use crate::ffi::{self, Entry, Word};
use crate::reply::{Field, Plain, Reply};
use crate::waiters;

/// See the module.
pub(crate) struct Command;

/// Who asks for what, and for how long to wait.
pub(crate) struct Request<'a> {
    claim: Claim<'a>,
    types: Vec<Name<'a>>,
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

    fn parse<'a>(args: &mut Args<'a>) -> Result<Request<'a>, Bad> {
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

    fn apply(project: &mut Project, now: Now, request: &Request<'_>) -> Result<Answered, Refusal> {
        let claim = Claim { types: &request.types, ..request.claim };
        let Some(claimed) = project.claim(now, &claim)? else {
            return Ok(Answered::new(Reply::Null, Effect::Unchanged));
        };
        Ok(Answered::new(Reply::Lease, Effect::Changed).with_lease(claimed.issue, !claimed.renewed))
    }
}

/// `TYPES n t …`.
fn several<'a>(args: &mut Args<'a>) -> Result<Vec<Name<'a>>, Bad> {
    let count = args.value("TYPES", |word| integer(word, 1, MOST_TYPES))?;
    (0..count).map(|_| args.value("TYPES", name)).collect()
}

/// What a claim answers.
pub(crate) fn shown(claimed: Assignment<'_>) -> [Field<'_>; 8] {
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

/// The entry of `POPPO.CLAIM`: what every command that writes does, and to wait.
pub(crate) struct Claiming;

impl Entry for Claiming {
    fn run(ctx: &Context, words: &[Word<'_>]) -> RedisResult {
        write::<Command>(ctx, words, |request| {
            let block = request.block.filter(|_| ffi::may_block(ctx) && !ffi::is_replay(ctx))?;
            if ffi::is_replica(ctx) {
                return Some(Err(Bad("BLOCK is not possible on a replica".to_owned()).into()));
            }
            let name = key_name(words).ok()?;
            waiters::wait(ctx, name, &request.types, block).then_some(Ok(Reply::Sent))
        })
    }
}
