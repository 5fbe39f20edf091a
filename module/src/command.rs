//! What all commands have in common: read the words, open the key, ask the core, answer, replicate.
//!
//! A command is a type with [`Write`], [`Read`] or [`Follow`], which says how its words become the core's request and how
//! the core's answer becomes a reply. Everything that could go wrong in the same way everywhere is here, once.

use std::marker::PhantomData;

use poppo_core::commands::{Answered, Args, Bad, Follow, MAX_COMMAND, ONLY_RESOLVED, Read, Reply, Write, claim};
use poppo_core::{Effect, Millis, Now, Project, Refusal, TaskId};
use redis_module::{Context, RedisResult, RedisValue};

use crate::deadlines::{self, Announcer};
use crate::failure::Failure;
use crate::ffi::{self, Entry, Key, Word};
use crate::guard::guard;
use crate::publish::Channel;
use crate::send::{Answer, send, send_with};
use crate::server;
use crate::value::Value;
use crate::waiters;

/// The entries of commands, for the table in `lib.rs`.
pub(crate) struct Writing<W>(PhantomData<W>);
pub(crate) struct Reading<R>(PhantomData<R>);
pub(crate) struct Following<F>(PhantomData<F>);

impl<W: Write> Entry for Writing<W> {
    fn run(ctx: &Context, words: &[Word<'_>]) -> RedisResult {
        write::<W>(ctx, words, |_| None)
    }
}

impl<R: Read> Entry for Reading<R> {
    fn run(ctx: &Context, words: &[Word<'_>]) -> RedisResult {
        read::<R>(ctx, words)
    }
}

impl<F: Follow> Entry for Following<F> {
    fn run(ctx: &Context, words: &[Word<'_>]) -> RedisResult {
        follow::<F>(ctx, words)
    }
}

/// Runs a command that writes, then serves those who waited for what it did. `instead` may answer, where it changed
/// nothing.
pub(crate) fn write<W: Write>(
    ctx: &Context,
    words: &[Word<'_>],
    instead: impl FnOnce(&W::Request<'_>) -> Option<Result<Answer, Failure>>,
) -> RedisResult {
    let answered = answer(ctx, || {
        decide::<W>(ctx, words, instead).inspect_err(|failure| {
            // What a primary sent or logged was possible there.
            if ffi::is_replay(ctx) {
                server::log_failed_apply(ctx, W::DOC.name, failure);
            }
        })
    });
    if let Ok(name) = key_name(words) {
        let _logged = guard(|| waiters::serve(ctx, name));
    }
    answered
}

/// Finds out when, and by whose judgement, the command happens.
fn decide<W: Write>(
    ctx: &Context,
    words: &[Word<'_>],
    instead: impl FnOnce(&W::Request<'_>) -> Option<Result<Answer, Failure>>,
) -> Result<Answer, Failure> {
    let mut args = Args::new(W::DOC.name, words, W::POSITIONAL, W::LONGEST)?;
    let now = match args.resolved() {
        None => server::now(),
        Some(at) if ffi::is_replay(ctx) => Now::replay(at),
        Some(_) => return Err(Bad(ONLY_RESOLVED.to_owned()).into()),
    };
    let mut request = W::parse(&mut args)?;
    W::heed_maxmemory(&mut request, || ffi::is_at_maxmemory(ctx));
    let (answer, effect) = apply::<W>(ctx, words, now, &request, args.chosen().map(TaskId::as_str))?;
    match effect {
        Effect::Changed => Ok(answer),
        Effect::Unchanged => instead(&request).unwrap_or(Ok(answer)),
    }
}

/// Does what was decided. `expected` is the task that a primary chose.
fn apply<W: Write>(
    ctx: &Context,
    words: &[Word<'_>],
    now: Now,
    request: &W::Request<'_>,
    expected: Option<&str>,
) -> Result<(Answer, Effect), Failure> {
    let name = key_name(words)?;
    let mut key = Key::open(ctx, name)?;
    let before = key.value().map_or(0, |value| value.project().last_event());
    let answered = match key.value() {
        Some(value) => change(value, now, |project| W::apply(project, now, request))?,
        None => {
            let mut value = Value::new(Project::new(now.at));
            let answered = change(&mut value, now, |project| W::apply(project, now, request))?;
            if W::creates(request) && answered.effect == Effect::Changed {
                key.create(ctx, value)?;
            }
            answered
        }
    };
    let changed = answered.effect == Effect::Changed;
    if changed {
        key.announce(ctx, W::DOC.event);
    }
    let mut value = key.value().map(Value::project_and_announcer);
    let shown = answered.lease.zip(value.as_ref()).and_then(|(lease, (project, _))| project.claimed(lease.issue));
    let mut as_expected = changed;
    if changed {
        let chosen = shown.filter(|_| answered.lease.is_some_and(|lease| lease.chosen)).map(|shown| shown.task);
        as_expected = chosen == expected;
        replicate::<W>(ctx, words, now, chosen);
        if let Some((project, announcer)) = &mut value {
            tell(ctx, name, (project, announcer), now, before);
        }
    }
    if now.is_replay() && !as_expected {
        // Where it was decided, it changed something, and claimed what it says.
        return Err(Bad("it did something else than where it was decided".to_owned()).into());
    }
    let Answered { reply, effect, lease } = answered;
    if lease.is_none() {
        return Ok((Answer::Reply(reply), effect));
    }
    // Sent here: it borrows from the value.
    send_with(ctx, &reply, shown.map(claim::shown).as_ref().map(|fields| fields.as_slice()));
    Ok((Answer::Sent, effect))
}

/// Tells whoever waits or listens what a change did.
fn tell(ctx: &Context, name: Word<'_>, (project, announcer): (&Project, &mut Announcer), now: Now, before: u64) {
    if project.last_event() > before {
        ffi::signal_key_ready(ctx, name);
        // What came resolved was published by the primary.
        if !now.is_replay()
            && let Some(channel) = Channel::of(ctx, name)
        {
            project.emitted(before).for_each(|event| channel.event(&event));
        }
    }
    deadlines::arm(ctx, name, (project, announcer), if now.is_replay() { server::now() } else { now });
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

/// Sends the command on, resolved: as it came, with the clock that it was decided by and the task that was chosen.
fn replicate<W: Write>(ctx: &Context, words: &[Word<'_>], now: Now, chosen: Option<&str>) {
    if now.is_replay() {
        // What came resolved goes on to sub-replicas and the replica's own AOF as it is.
        ctx.replicate_verbatim();
        return;
    }
    let (before, options) = words.split_at((2 + W::POSITIONAL).min(words.len()));
    ffi::replicate_at(ctx, W::DOC.name_c, before.get(1..).unwrap_or_default(), now.at, chosen, options);
}

fn read<R: Read>(ctx: &Context, words: &[Word<'_>]) -> RedisResult {
    answer(ctx, || {
        let mut args = Args::new(R::DOC.name, words, usize::MAX, MAX_COMMAND)?;
        let request = R::parse(&mut args)?;
        let mut key = Key::open(ctx, key_name(words)?)?;
        let now = server::now();
        let reply = match key.value() {
            Some(value) => R::answer(value.project(), now, &request),
            None => R::absent(now, &request),
        };
        // Sent here: it borrows from the value.
        send(ctx, &reply);
        Ok(Answer::Sent)
    })
}

fn follow<F: Follow>(ctx: &Context, words: &[Word<'_>]) -> RedisResult {
    answer(ctx, || match look::<F>(ctx, words)? {
        Looked::Answered => Ok(Answer::Sent),
        Looked::Nothing(Some(block)) if ffi::may_block(ctx) => {
            ffi::block_on_key::<F>(ctx, key_name(words)?, block);
            Ok(Answer::Sent)
        }
        Looked::Nothing(_) => Ok(Reply::Array(Vec::new()).into()),
    })
}

/// The key that a blocked client waits for has changed. Answers whether the client was served.
pub(crate) fn look_again<F: Follow>(ctx: &Context, words: &[Word<'_>]) -> bool {
    let mut served = true;
    let answered = answer(ctx, || {
        served = matches!(look::<F>(ctx, words)?, Looked::Answered);
        Ok(Answer::Sent)
    });
    if let Err(error) = answered {
        ctx.reply(Err(error));
    }
    served
}

/// What a look found.
enum Looked {
    /// Something, and the answer was sent.
    Answered,
    /// Nothing, and for how long the client would wait.
    Nothing(Option<Millis>),
}

fn look<F: Follow>(ctx: &Context, words: &[Word<'_>]) -> Result<Looked, Failure> {
    let mut args = Args::new(F::DOC.name, words, usize::MAX, MAX_COMMAND)?;
    let request = F::parse(&mut args)?;
    let mut key = Key::open(ctx, key_name(words)?)?;
    let rows = key.value().map_or(Vec::new(), |value| F::answer(value.project(), &request));
    if rows.is_empty() {
        return Ok(Looked::Nothing(F::block(&request)));
    }
    send(ctx, &Reply::Array(rows));
    Ok(Looked::Answered)
}

/// Runs a command's body and sends its answer. No panic leaves it.
pub(crate) fn answer(ctx: &Context, body: impl FnOnce() -> Result<Answer, Failure>) -> RedisResult {
    match guard(body).map_err(Failure::from).and_then(std::convert::identity) {
        Ok(answer) => {
            if let Answer::Reply(reply) = &answer {
                send(ctx, reply);
            }
            Ok(RedisValue::NoReply)
        }
        Err(failure) => {
            server::count_failure(&failure);
            Err(failure.into())
        }
    }
}

pub(crate) fn key_name<'a>(words: &[Word<'a>]) -> Result<Word<'a>, Bad> {
    words.get(1).copied().ok_or_else(|| Bad("project is missing".into()))
}
