//! What all commands have in common: read the words, open the key, ask the core, answer, replicate.
//!
//! A command is a type with [`Write`] or [`Read`]; its file says how its words become the core's request and how the
//! core's answer becomes a reply. Everything that could go wrong in the same way everywhere is here, once.

use poppo_core::{Effect, Now, Project, Refusal};
use redis_module::{Context, RedisResult, RedisString, RedisValue};

use crate::args::{Args, Bad};
use crate::docs::Doc;
use crate::failure::Failure;
use crate::ffi::{self, Key};
use crate::guard::guard;
use crate::reply::Reply;
use crate::server;
use crate::value::Value;

/// A command that changes a project.
pub(crate) trait Write {
    /// What its words ask for.
    type Request<'a>;

    /// Its name, arguments and description.
    const DOC: Doc;

    /// How many words stand between the key and the options.
    const POSITIONAL: usize;

    /// Reads the words behind the key.
    fn parse<'a>(args: &mut Args<'a>) -> Result<Self::Request<'a>, Bad>;

    /// Whether this request brings a project into being.
    fn creates(_request: &Self::Request<'_>) -> bool {
        false
    }

    /// Asks the core. A refusal has changed nothing.
    fn apply(project: &mut Project, now: Now, request: &Self::Request<'_>)
    -> Result<(Reply<'static>, Effect), Refusal>;
}

/// A command that looks at a project.
pub(crate) trait Read {
    /// What its words ask for.
    type Request<'a>;

    /// Its name, arguments and description.
    const DOC: Doc;

    /// Reads the words behind the key.
    fn parse<'a>(args: &mut Args<'a>) -> Result<Self::Request<'a>, Bad>;

    /// The answer; of a project that does not exist, what [`Read::absent`] says.
    fn answer<'p>(project: &'p Project, now: Now, request: &Self::Request<'_>) -> Reply<'p>;

    /// The answer where there is no project.
    fn absent(now: Now, request: &Self::Request<'_>) -> Reply<'static>;
}

/// The entry of a writing command.
pub(crate) fn write<W: Write>(ctx: &Context, words: Vec<RedisString>) -> RedisResult {
    answer(ctx, || {
        decide::<W>(ctx, &words).inspect_err(|failure| {
            // What a primary sent or logged was possible there.
            if ffi::is_replay(ctx) {
                server::log_failed_apply(ctx, W::DOC.name, failure);
            }
        })
    })
}

/// Finds out when, and by whose judgement, the command happens.
fn decide<W: Write>(ctx: &Context, words: &[RedisString]) -> Result<Reply<'static>, Failure> {
    let mut args = Args::new(W::DOC.name, words, W::POSITIONAL)?;
    let now = match args.resolved() {
        None => server::now(),
        Some(at) if ffi::is_replay(ctx) => Now::replay(at),
        Some(_) => return Err(Bad("AT is accepted only from the replication link and while loading".into()).into()),
    };
    let request = W::parse(&mut args)?;
    apply::<W>(ctx, words, now, &request)
}

fn apply<W: Write>(
    ctx: &Context,
    words: &[RedisString],
    now: Now,
    request: &W::Request<'_>,
) -> Result<Reply<'static>, Failure> {
    let mut key = Key::open(ctx, key_name(words)?)?;
    let (reply, effect) = match key.value() {
        Some(value) => change(value, now, |project| W::apply(project, now, request))?,
        None => {
            let mut value = Value::new(Project::new(now.at));
            let answered = change(&mut value, now, |project| W::apply(project, now, request))?;
            if W::creates(request) {
                key.create(ctx, value)?;
            }
            answered
        }
    };
    if effect == Effect::Changed {
        key.announce(ctx, W::DOC.event);
        replicate::<W>(ctx, words, now);
    }
    Ok(reply)
}

/// Runs a change of a value so that a panic in it leaves no trace.
fn change<T>(
    value: &mut Value,
    now: Now,
    apply: impl FnOnce(&mut Project) -> Result<T, Refusal>,
) -> Result<T, Failure> {
    let before = value.project().totals();
    let answered = guard(|| apply(value.project_mut()));
    if answered.is_err() {
        guard(|| value.project_mut().roll_back())?;
    }
    value.recount();
    if !now.is_replay() {
        server::count(before, value.project().totals());
    }
    Ok(answered??)
}

/// Sends the command on, resolved: as it came, with the clock that it was decided by.
fn replicate<W: Write>(ctx: &Context, words: &[RedisString], now: Now) {
    if now.is_replay() {
        // What came resolved goes on to sub-replicas and the replica's own AOF as it is.
        ctx.replicate_verbatim();
        return;
    }
    let at = [b"AT".as_slice(), now.at.micros().to_string().as_bytes()]
        .map(|word| RedisString::create_from_slice(std::ptr::null_mut(), word));
    let (before, options) = words.split_at((2 + W::POSITIONAL).min(words.len()));
    let resolved: Vec<&RedisString> = before.iter().skip(1).chain(&at).chain(options).collect();
    ctx.replicate(W::DOC.name, resolved.as_slice());
}

/// The entry of a reading command.
pub(crate) fn read<R: Read>(ctx: &Context, words: Vec<RedisString>) -> RedisResult {
    answer(ctx, || {
        let mut args = Args::new(R::DOC.name, &words, usize::MAX)?;
        let request = R::parse(&mut args)?;
        let mut key = Key::open(ctx, key_name(&words)?)?;
        let now = server::now();
        let reply = match key.value() {
            Some(value) => R::answer(value.project(), now, &request),
            None => R::absent(now, &request),
        };
        // Sent here: it borrows from the value.
        reply.send(ctx);
        Ok(Reply::Sent)
    })
}

/// Runs a command's body and sends its answer. No panic leaves it.
pub(crate) fn answer(ctx: &Context, body: impl FnOnce() -> Result<Reply<'static>, Failure>) -> RedisResult {
    match guard(body).map_err(Failure::from).and_then(std::convert::identity) {
        Ok(reply) => {
            reply.send(ctx);
            Ok(RedisValue::NoReply)
        }
        Err(failure) => {
            server::count_failure(&failure);
            Err(failure.into())
        }
    }
}

pub(crate) fn key_name(words: &[RedisString]) -> Result<&RedisString, Bad> {
    words.get(1).ok_or_else(|| Bad("project is missing".into()))
}
