//! What all commands have in common: read the words, open the key, ask the core, answer, replicate.
//!
//! A command is a type with [`Write`] or [`Read`]; its file says how its words become the core's request and how the
//! core's answer becomes a reply. Everything that could go wrong in the same way everywhere is here, once.

use std::marker::PhantomData;

use poppo_core::{Effect, IssueNumber, Millis, Now, Project, Refusal, TaskId};
use redis_module::{Context, RedisResult, RedisValue};

use crate::args::{Args, Bad};
use crate::claim;
use crate::deadlines::{self, Announcer};
use crate::docs::Doc;
use crate::failure::Failure;
use crate::ffi::{self, Entry, Key, Word};
use crate::guard::guard;
use crate::publish::Channel;
use crate::reply::Reply;
use crate::server;
use crate::value::Value;
use crate::waiters;

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

    /// Takes note of whether the server is at `maxmemory`, where the request minds.
    fn heed_maxmemory(_request: &mut Self::Request<'_>, _is_reached: impl FnOnce() -> bool) {}

    /// Asks the core. A refusal has changed nothing.
    fn apply(project: &mut Project, now: Now, request: &Self::Request<'_>) -> Result<Answered, Refusal>;
}

/// What a command that writes comes to.
pub(crate) struct Answered {
    reply: Reply<'static>,
    effect: Effect,
    lease: Option<Leased>,
}

/// A lease that the answer shows.
#[derive(Clone, Copy)]
struct Leased {
    issue: IssueNumber,
    /// Whether its task was chosen by this very command.
    chosen: bool,
}

impl Answered {
    pub(crate) fn new(reply: impl Into<Reply<'static>>, effect: Effect) -> Self {
        Self { reply: reply.into(), effect, lease: None }
    }

    /// With the lease of an issue in the place of [`Reply::Lease`], and whether its task was chosen by this very command.
    pub(crate) fn with_lease(self, issue: IssueNumber, chosen: bool) -> Self {
        Self { lease: Some(Leased { issue, chosen }), ..self }
    }
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

/// A command that looks at something that comes to be, and can wait for it.
pub(crate) trait Follow {
    /// What its words ask for.
    type Request<'a>;

    /// Its name, arguments and description.
    const DOC: Doc;

    /// Reads the words behind the key.
    fn parse<'a>(args: &mut Args<'a>) -> Result<Self::Request<'a>, Bad>;

    /// For how long to wait where there is nothing to answer; none is not at all, zero for ever.
    fn block(request: &Self::Request<'_>) -> Option<Millis>;

    /// What there is to answer.
    fn answer<'p>(project: &'p Project, request: &Self::Request<'_>) -> Vec<Reply<'p>>;
}

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
    instead: impl FnOnce(&W::Request<'_>) -> Option<Result<Reply<'static>, Failure>>,
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
    instead: impl FnOnce(&W::Request<'_>) -> Option<Result<Reply<'static>, Failure>>,
) -> Result<Reply<'static>, Failure> {
    let mut args = Args::new(W::DOC.name, words, W::POSITIONAL)?;
    let now = match args.resolved() {
        None => server::now(),
        Some(at) if ffi::is_replay(ctx) => Now::replay(at),
        Some(_) => return Err(Bad("AT is accepted only from the replication link and while loading".into()).into()),
    };
    let mut request = W::parse(&mut args)?;
    W::heed_maxmemory(&mut request, || ffi::is_at_maxmemory(ctx));
    let answered = apply::<W>(ctx, words, now, &request, args.chosen().map(TaskId::as_str))?;
    match answered.effect {
        Effect::Changed => Ok(answered.reply),
        Effect::Unchanged => instead(&request).unwrap_or(Ok(answered.reply)),
    }
}

/// Does what was decided. `expected` is the task that a primary chose.
fn apply<W: Write>(
    ctx: &Context,
    words: &[Word<'_>],
    now: Now,
    request: &W::Request<'_>,
    expected: Option<&str>,
) -> Result<Answered, Failure> {
    let name = key_name(words)?;
    let mut key = Key::open(ctx, name)?;
    let before = key.value().map_or(0, |value| value.project().last_event());
    let mut answered = match key.value() {
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
    if answered.lease.is_some() {
        // Sent here: it borrows from the value.
        answered.reply.send_with(ctx, shown.map(claim::shown).as_ref().map(|fields| fields.as_slice()));
        answered.reply = Reply::Sent;
    }
    Ok(answered)
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
        let mut args = Args::new(R::DOC.name, words, usize::MAX)?;
        let request = R::parse(&mut args)?;
        let mut key = Key::open(ctx, key_name(words)?)?;
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

fn follow<F: Follow>(ctx: &Context, words: &[Word<'_>]) -> RedisResult {
    answer(ctx, || match look::<F>(ctx, words)? {
        Looked::Answered => Ok(Reply::Sent),
        Looked::Nothing(Some(block)) if ffi::may_block(ctx) => {
            ffi::block_on_key::<F>(ctx, key_name(words)?, block);
            Ok(Reply::Sent)
        }
        Looked::Nothing(_) => Ok(Reply::Array(Vec::new())),
    })
}

/// The key that a blocked client waits for has changed. Answers whether the client was served.
pub(crate) fn look_again<F: Follow>(ctx: &Context, words: &[Word<'_>]) -> bool {
    let mut served = true;
    let answered = answer(ctx, || {
        served = matches!(look::<F>(ctx, words)?, Looked::Answered);
        Ok(Reply::Sent)
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
    let mut args = Args::new(F::DOC.name, words, usize::MAX)?;
    let request = F::parse(&mut args)?;
    let mut key = Key::open(ctx, key_name(words)?)?;
    let rows = key.value().map_or(Vec::new(), |value| F::answer(value.project(), &request));
    if rows.is_empty() {
        return Ok(Looked::Nothing(F::block(&request)));
    }
    Reply::Array(rows).send(ctx);
    Ok(Looked::Answered)
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

pub(crate) fn key_name<'a>(words: &[Word<'a>]) -> Result<Word<'a>, Bad> {
    words.get(1).copied().ok_or_else(|| Bad("project is missing".into()))
}
