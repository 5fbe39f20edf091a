//! `POPPO.CHECKIN`: see `docs/commands.md`.

use crate::{CheckedIn, Checkin, Effect, IssueNumber, Millis, Name, Next, Now, Outcome, Project, Refusal, Text, Token};

use super::args::{Args, Bad, Options, name};
use super::docs::{Access, Arg, Doc};
use super::reply::Reply;
use super::{Answered, Write};

/// See the module.
#[derive(Debug)]
pub struct Command;

/// The words of a check-in. The core's request borrows the metadata from here.
#[derive(Debug)]
pub struct Request<'a> {
    issue: IssueNumber,
    process: Name<'a>,
    outcome: Outcome,
    token: Option<Token>,
    incarnation: Option<Name<'a>>,
    result: Option<Text<'a>>,
    reason: Option<Text<'a>>,
    retry: Option<Millis>,
    next: Option<Next<'a>>,
    metadata: Vec<(Text<'a>, Text<'a>)>,
}

const OPTIONS: Options =
    Options(&["STATUS", "TOKEN", "INCARNATION", "RESULT", "REASON", "RETRY", "NEXT", "REQ", "META"]);

/// What a check-in may say, for `COMMAND DOCS`.
const STATUSES: &[Arg] = &[
    Arg::flag("completed", "completed"),
    Arg::flag("awaiting-response", "awaiting-response"),
    Arg::flag("error", "error"),
    Arg::flag("cancelled", "cancelled"),
];

impl Write for Command {
    type Request<'a> = Request<'a>;

    const DOC: Doc = Doc {
        name: "POPPO.CHECKIN",
        name_c: c"POPPO.CHECKIN",
        since: "0.1.0",
        event: c"poppo.checkin",
        summary: "Ends a lease, fenced by its token, stores what came of it, and claims the next task with NEXT.",
        complexity: "O(log N) where N is the number of issues of the project",
        arity: -6,
        access: Access::Update,
        categories: c"write fast",
        args: &[
            Arg::integer("issue"),
            Arg::text("process"),
            Arg::one_of("status", Some("STATUS"), STATUSES),
            Arg::option_integer("token", "TOKEN").optional(),
            Arg::option_text("incarnation", "INCARNATION").optional(),
            Arg::option_text("result", "RESULT").optional(),
            Arg::option_text("reason", "REASON").optional(),
            Arg::option_integer("delay", "RETRY").optional(),
            Arg::block("next", None, &[Arg::flag("next", "NEXT"), Arg::option_text("request", "REQ").optional()])
                .optional(),
            Arg::block("metadata", Some("META"), &[Arg::text("field"), Arg::text("value")]).optional().multiple(),
        ],
    };
    const POSITIONAL: usize = 2;

    fn parse<'a>(args: &mut Args<'a, impl AsRef<[u8]>>) -> Result<Request<'a>, Bad> {
        let issue = args.positional("issue", IssueNumber::parse)?;
        let process = args.positional("process", name)?;
        let (mut outcome, mut token, mut incarnation, mut result, mut reason) = (None, None, None, None, None);
        let (mut retry, mut next, mut id, mut metadata) = (None, false, None, Vec::new());
        while let Some(option) = args.option(&OPTIONS)? {
            match option {
                "STATUS" => outcome = Some(args.value(option, Outcome::parse)?),
                "TOKEN" => token = Some(args.value(option, Token::parse)?),
                "INCARNATION" => incarnation = Some(args.value(option, name)?),
                "RESULT" => result = Some(args.value(option, Text::parse_json)?),
                "REASON" => reason = Some(args.value(option, Text::parse)?),
                "RETRY" => retry = Some(args.value(option, Millis::parse_delay)?),
                "NEXT" => next = true,
                "REQ" => id = Some(args.value(option, name)?),
                _ => metadata = fields(args)?,
            }
        }
        let outcome = outcome.ok_or_else(|| Bad("STATUS is missing".to_owned()))?;
        if retry.is_some() && outcome != Outcome::Error {
            return Err(Bad("RETRY is allowed only with STATUS error".to_owned()));
        }
        if id.is_some() && !next {
            return Err(Bad("REQ is allowed only with NEXT".to_owned()));
        }
        let next = next.then_some(Next { request: id, may_claim: true, chosen: args.chosen() });
        Ok(Request { issue, process, outcome, token, incarnation, result, reason, retry, next, metadata })
    }

    fn heed_maxmemory(request: &mut Request<'_>, is_reached: impl FnOnce() -> bool) {
        if let Some(next) = &mut request.next {
            next.may_claim = !is_reached();
        }
    }

    fn apply(project: &mut Project, now: Now, request: &Request<'_>) -> Result<Answered, Refusal> {
        let checkin = Checkin {
            issue: request.issue,
            process: request.process,
            outcome: request.outcome,
            token: request.token,
            incarnation: request.incarnation,
            result: request.result,
            reason: request.reason,
            retry: request.retry,
            next: request.next,
            metadata: &request.metadata,
        };
        let CheckedIn { effect, next } = project.checkin(now, &checkin)?;
        if request.next.is_none() {
            return Ok(Answered::new(Reply::Ok, effect));
        }
        let answered = Answered::new(Reply::OkAndLease, effect);
        Ok(match next {
            Some(issue) => answered.with_lease(issue, effect == Effect::Changed),
            None => answered,
        })
    }
}

/// All that follows `META`.
fn fields<'a>(args: &mut Args<'a, impl AsRef<[u8]>>) -> Result<Vec<(Text<'a>, Text<'a>)>, Bad> {
    let mut words = args.rest();
    let mut metadata = Vec::new();
    let text = |word| Text::parse(word).map_err(|invalid| Bad(format!("a META field or value {invalid}")));
    while let Some(field) = words.next() {
        let value = words.next().ok_or_else(|| Bad("META takes pairs of field and value".to_owned()))?;
        metadata.push((text(field)?, text(value)?));
    }
    if metadata.is_empty() { Err(Bad("META needs at least one field and value".to_owned())) } else { Ok(metadata) }
}
