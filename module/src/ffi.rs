//! All unsafe code of the module: the callbacks that redis-server calls, and the calls that the crate does not wrap.
//!
//! Three facts make the blocks below sound, and each says which it leans on:
//!
//! 1. **One thread.** redis-server calls commands, events and type callbacks on its main thread (or in a forked child
//!    with one thread), one at a time. The exception is [`free`], which runs on a lazy-free thread once nobody else can
//!    reach the value; a [`Value`] shares nothing with another one or with a thread.
//! 2. **The type's pointers are ours.** A value pointer handed to a callback of our data type, or read from a key of our
//!    type, was made by [`into_pointer`] and not freed yet.
//! 3. **The API table.** The pointers `RedisModule_*` are set before `RedisModule_OnLoad` goes on and never change.
//!    One that an older server lacks is `None` and is not called.

use std::ffi::{CStr, CString, c_char, c_int, c_longlong, c_void};
use std::marker::PhantomData;
use std::ptr;
use std::sync::atomic::Ordering;

use poppo_core::commands::{Access, Arg, Doc, Follow, Kind, claim};
use poppo_core::{Instant, Millis};
use redis_module::key::verify_type;
use redis_module::native_types::RedisType;
use redis_module::{Context, ContextFlags, RedisResult, RedisString, RedisValue, raw};

use crate::command::{Writing, look_again};
use crate::deadlines;
use crate::guard::guard;
use crate::persistence;
use crate::server::{self, Arguments, Publish};
use crate::value::Value;
use crate::waiters;

/// The data type. Version 3 of the method table is the newest that every supported server takes.
pub(crate) static PROJECT_TYPE: RedisType = RedisType::new(
    persistence::TYPE_NAME,
    persistence::ENCODING as i32,
    raw::RedisModuleTypeMethods {
        version: 3,
        rdb_load: Some(rdb_load),
        rdb_save: Some(rdb_save),
        aof_rewrite: Some(aof_rewrite),
        mem_usage: Some(mem_usage),
        digest: Some(digest),
        free: Some(free),
        aux_load: None,
        aux_save: None,
        aux_save_triggers: 0,
        free_effort: Some(free_effort),
        unlink: None,
        copy: Some(copy),
        defrag: None,
        mem_usage2: None,
        free_effort2: None,
        unlink2: None,
        copy2: None,
        aux_save2: None,
    },
);

/// Why a key cannot be used.
#[derive(Debug)]
pub(crate) enum Closed {
    /// It holds something that is not a project.
    WrongType,
    /// It holds a project that could not be read.
    Unreadable,
}

/// A word of a running command, or a string that lives through a call. Copying it copies a pointer: the crate's type
/// counts references, twice for each word of each command.
#[repr(transparent)]
#[derive(Clone, Copy)]
pub(crate) struct Word<'a> {
    raw: *mut raw::RedisModuleString,
    lives: PhantomData<&'a RedisString>,
}

impl<'a> Word<'a> {
    /// Its bytes.
    pub(crate) fn as_slice(self) -> &'a [u8] {
        RedisString::string_as_slice(self.raw)
    }
}

impl AsRef<[u8]> for Word<'_> {
    fn as_ref(&self) -> &[u8] {
        self.as_slice()
    }
}

impl<'a> From<&'a RedisString> for Word<'a> {
    fn from(string: &'a RedisString) -> Self {
        Self { raw: string.inner, lives: PhantomData }
    }
}

/// Lends the words of a command.
///
/// # Safety
/// `argv` must point to `argc` strings that live as long as the lifetime asked for, or be null.
unsafe fn words<'a>(argv: *mut *mut raw::RedisModuleString, argc: c_int) -> &'a [Word<'a>] {
    let count = usize::try_from(argc).unwrap_or(0);
    if argv.is_null() {
        return &[];
    }
    // SAFETY: the caller's promise, and a word is nothing but such a pointer.
    unsafe { std::slice::from_raw_parts(argv.cast::<Word<'a>>(), count) }
}

/// What runs a command. It sends its answer itself, or has an error sent.
pub(crate) trait Entry {
    /// Runs it.
    fn run(ctx: &Context, words: &[Word<'_>]) -> RedisResult;
}

/// A command for the server: what describes it, its flags, and what runs it.
pub(crate) struct Command {
    doc: &'static Doc,
    flags: &'static CStr,
    entry: raw::RedisModuleCmdFunc,
}

impl Command {
    pub(crate) const fn new<E: Entry>(doc: &'static Doc, flags: &'static CStr) -> Self {
        Self { doc, flags, entry: Some(enter::<E>) }
    }
}

/// Nothing here can panic but the entry, which is guarded.
unsafe extern "C" fn enter<E: Entry>(
    ctx: *mut raw::RedisModuleCtx,
    argv: *mut *mut raw::RedisModuleString,
    argc: c_int,
) -> c_int {
    let ctx = Context::new(ctx);
    // SAFETY: the server passes the command's words, which live until it has been answered.
    let words = unsafe { words(argv, argc) };
    ctx.reply(E::run(&ctx, words)) as c_int
}

/// A key of the command under way.
pub(crate) struct Key<'a> {
    name: Word<'a>,
    value: *mut Value,
    ctx: *mut raw::RedisModuleCtx,
}

impl<'a> Key<'a> {
    /// Opens the key of a command.
    pub(crate) fn open(ctx: &Context, name: Word<'a>) -> Result<Self, Closed> {
        let mut key = Self::open_unread(ctx, name)?;
        if key.value().is_none_or(|value| value.is_readable()) { Ok(key) } else { Err(Closed::Unreadable) }
    }

    /// Opens a key, whether its project could be read or not.
    ///
    /// It is opened for looking, whatever the command does later: closing one that was opened for writing would tell WATCH
    /// and client caches of a change even where the command was refused. [`Key::announce`] tells them instead.
    pub(crate) fn open_unread(ctx: &Context, name: Word<'a>) -> Result<Self, Closed> {
        // SAFETY: fact 3: reading the table.
        let Some(get_value) = (unsafe { raw::RedisModule_ModuleTypeGetValue }) else { return Err(Closed::WrongType) };
        // Not through the crate's type for keys: it lends values as shared references, and its `to_raw_parts` closes the
        // key that it hands out.
        let key = raw::open_key(ctx.ctx, name.raw, raw::KeyMode::READ);
        let value = verify_type(key, &PROJECT_TYPE).map(|_| {
            // SAFETY: the key is open, or null for one that does not exist, which has a null value.
            unsafe { get_value(key) }.cast::<Value>()
        });
        // The value belongs to the keyspace, not to the open key, and outlives it.
        raw::close_key(key);
        Ok(Self { name, value: value.map_err(|_| Closed::WrongType)?, ctx: ctx.ctx })
    }

    /// What the key holds.
    pub(crate) fn value(&mut self) -> Option<&mut Value> {
        // SAFETY: facts 1 and 2. The value lives as long as its key, and nothing deletes the key while the command
        // that opened it runs. This is the only reference to it: there is one thread, a command has one key, and
        // whoever opens that again has given the first one up.
        unsafe { self.value.as_mut() }
    }

    /// Creates the key, which must not exist.
    pub(crate) fn create(&mut self, ctx: &Context, value: Value) -> Result<(), Closed> {
        // SAFETY: fact 3: reading the table.
        let set_value = unsafe { raw::RedisModule_ModuleTypeSetValue }.ok_or(Closed::WrongType)?;
        let value = into_pointer(value);
        let key = raw::open_key(ctx.ctx, self.name.raw, raw::KeyMode::WRITE);
        // SAFETY: the key is open for writing, and the pointer is of our type; from here on the key owns it.
        let set = unsafe { set_value(key, *PROJECT_TYPE.raw_type.borrow(), value) };
        raw::close_key(key);
        if set != raw::Status::Ok as c_int {
            // SAFETY: the key did not take it, so the box is still ours.
            drop(unsafe { Box::from_raw(value.cast::<Value>()) });
            return Err(Closed::WrongType);
        }
        *self = Self::open_unread(ctx, self.name)?;
        Ok(())
    }

    /// Tells whoever watches the key that it changed.
    pub(crate) fn announce(&self, ctx: &Context, event: &CStr) {
        let (signal, notify) =
            // SAFETY: fact 3: reading the table.
            unsafe { (raw::RedisModule_SignalModifiedKey, raw::RedisModule_NotifyKeyspaceEvent) };
        if let Some(signal) = signal {
            // SAFETY: the context is the running command's, and the name is an argument that it owns.
            unsafe { signal(self.ctx, self.name.raw) };
        }
        if let Some(notify) = notify {
            // SAFETY: as above; the event is a C string.
            unsafe { notify(ctx.ctx, raw::REDISMODULE_NOTIFY_MODULE, event.as_ptr(), self.name.raw) };
        }
    }
}

/// Whether the running command comes from the primary or from a file that is being loaded.
pub(crate) fn is_replay(ctx: &Context) -> bool {
    ctx.get_flags().intersects(ContextFlags::REPLICATED | ContextFlags::LOADING)
}

/// Replicates the running command with `AT` and a time between its positional arguments and its options.
///
/// A chosen task goes behind the time, as `TASK` and its id.
pub(crate) fn replicate_at(
    ctx: &Context,
    command: &CStr,
    positional: &[Word<'_>],
    at: Instant,
    chosen: Option<&str>,
    options: &[Word<'_>],
) {
    /// Up to so many words are handed over one by one: for a vector the server enlarges its array once more, which costs as
    /// much as making three words.
    const FEW: usize = 12;
    /// The format of [`FEW`] words; that of fewer is its end.
    const FORMAT: &[u8; FEW + 1] = b"ssssssssssss\0";
    // SAFETY: fact 3: reading the table.
    let Some(replicate) = (unsafe { raw::RedisModule_Replicate }) else { return };
    let string = |text: &str| RedisString::create_from_slice(ptr::null_mut(), text.as_bytes());
    let time = string(itoa::Buffer::new().format(at.micros()));
    let task = chosen.map(string);
    WORDS.with(|(at, of_task)| {
        let resolved: &[Word<'_>] = match &task {
            Some(task) => &[at.into(), (&time).into(), of_task.into(), task.into()],
            None => &[at.into(), (&time).into()],
        };
        let parts = [positional, resolved, options];
        let count: usize = parts.iter().map(|words| words.len()).sum();
        let Some(format) = FEW.checked_sub(count).and_then(|skipped| FORMAT.get(skipped..)) else {
            let words = parts.concat();
            // SAFETY: the format says what follows: strings with their number, and a word is nothing but a pointer to one.
            // They live through the call, which takes references of its own to what it keeps.
            unsafe { replicate(ctx.ctx, command.as_ptr(), c"v".as_ptr(), words.as_ptr(), words.len()) };
            return;
        };
        let mut few = [ptr::null_mut(); FEW];
        let mut places = few.iter_mut();
        for words in parts {
            words.iter().zip(&mut places).for_each(|(word, place)| *place = word.raw);
        }
        let [a, b, c, d, e, f, g, h, i, j, k, l] = few;
        // SAFETY: the format, which ends with a zero, has a letter for each word that there is. The null pointers behind
        // them nobody reads: C allows more arguments than a variadic function asks for. The words live through the call,
        // which takes references of its own to what it keeps.
        unsafe { replicate(ctx.ctx, command.as_ptr(), format.as_ptr().cast(), a, b, c, d, e, f, g, h, i, j, k, l) };
    });
}

thread_local! {
    /// The words of resolved commands, made once.
    static WORDS: (RedisString, RedisString) =
        [b"AT".as_slice(), b"TASK"].map(|word| RedisString::create_from_slice(ptr::null_mut(), word)).into();
}

/// Whether the client of the running command can be made to wait: not inside a transaction or a script.
pub(crate) fn may_block(ctx: &Context) -> bool {
    !ctx.get_flags().intersects(ContextFlags::MULTI | ContextFlags::LUA | ContextFlags::DENY_BLOCKING)
}

/// Makes the client wait until [`signal_key_ready`] brings an answer, or the time is over, which is answered with null.
pub(crate) fn block_on_key<F: Follow>(ctx: &Context, name: Word<'_>, block: Millis) {
    // SAFETY: fact 3: reading the table.
    let Some(block_client) = (unsafe { raw::RedisModule_BlockClientOnKeys }) else { return };
    let mut keys = [name.raw];
    // SAFETY: the context is the running command's. The server copies the one key, and keeps no pointer of ours: there is
    // no private data. Nothing may be held of the blocked client either, which the server frees by itself.
    unsafe {
        block_client(
            ctx.ctx,
            Some(serve_blocked::<F>),
            Some(time_out_blocked),
            None,
            block.0.cast_signed(),
            keys.as_mut_ptr(),
            1,
            ptr::null_mut(),
        );
    }
}

/// The key of a blocked client was signalled. Asking for the command's words again is what makes private data needless.
unsafe extern "C" fn serve_blocked<F: Follow>(
    ctx: *mut raw::RedisModuleCtx,
    argv: *mut *mut raw::RedisModuleString,
    argc: c_int,
) -> c_int {
    // SAFETY: the server passes the blocked command's words, which live until it has been answered.
    let served = guard(|| look_again::<F>(&Context::new(ctx), unsafe { words(argv, argc) }));
    // After a panic the client is not served, and waits on.
    let status = if served.unwrap_or(false) { raw::Status::Ok } else { raw::Status::Err };
    status as c_int
}

extern "C" fn time_out_blocked(
    ctx: *mut raw::RedisModuleCtx,
    _argv: *mut *mut raw::RedisModuleString,
    _argc: c_int,
) -> c_int {
    raw::reply_with_null(ctx) as c_int
}

/// A client that waits in [`waiters`], known by its address for as long as it does.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Blocked {
    handle: Handle,
    client: u64,
}

/// By which the server knows a waiting client.
pub(crate) type Handle = *mut raw::RedisModuleBlockedClient;

/// Makes the client of the running command wait until [`Blocked::unblock`], or until its time is over.
pub(crate) fn block_in_line(ctx: &Context, key: &[u8], block: Millis, number: waiters::Number) -> Option<Blocked> {
    let (block_client, on_disconnect, client_id) =
        // SAFETY: fact 3: reading the table.
        unsafe { (raw::RedisModule_BlockClientOnKeys?, raw::RedisModule_SetDisconnectCallback?, raw::RedisModule_GetClientId?) };
    let key = RedisString::create_from_slice(ptr::null_mut(), key);
    let mut keys = [key.inner];
    // SAFETY: the context is the running command's. The server copies the one key. The private data is a number that nobody
    // frees. The handle stays valid until the client is unblocked or goes away, and the callbacks for both take it out of
    // the line.
    unsafe {
        let handle = block_client(
            ctx.ctx,
            Some(decline),
            Some(leave_line),
            None,
            block.0.cast_signed(),
            keys.as_mut_ptr(),
            1,
            ptr::without_provenance_mut(number as usize),
        );
        if handle.is_null() {
            return None;
        }
        on_disconnect(handle, Some(leave_unserved));
        Some(Blocked { handle, client: client_id(ctx.ctx) })
    }
}

impl Blocked {
    pub(crate) fn handle(self) -> Handle {
        self.handle
    }

    /// Serves the client: runs [`leave_line`] for it, which answers, and lets it go on.
    pub(crate) fn unblock(self) {
        // SAFETY: fact 3: reading the table.
        if let Some(unblock) = unsafe { raw::RedisModule_UnblockClient } {
            // SAFETY: the client was in line until now, so the handle is valid; there is no private data to pass.
            unsafe { unblock(self.handle, ptr::null_mut()) };
        }
    }

    /// Whether the server has seen the client's connection close, and has not freed the client yet. No API tells; among
    /// the flags of `CLIENT LIST`, `A` does.
    pub(crate) fn is_closing(self, ctx: &Context) -> bool {
        let mut id = itoa::Buffer::new();
        let listed = ctx.call("CLIENT", &["LIST", "ID", id.format(self.client)]);
        let line = match &listed {
            Ok(RedisValue::SimpleString(line) | RedisValue::BulkString(line)) => line.as_bytes(),
            Ok(RedisValue::StringBuffer(line)) => line.as_slice(),
            Ok(RedisValue::BulkRedisString(line)) => line.as_slice(),
            Ok(RedisValue::VerbatimString((_, line))) => line.as_slice(),
            // Where the command is renamed or forbidden, nobody is known to be closing.
            _ => return false,
        };
        let flags = line.split(|byte| *byte == b' ').find_map(|field| field.strip_prefix(b"flags="));
        flags.is_none_or(|flags| flags.contains(&b'A'))
    }
}

/// Nobody is served because of a signal.
unsafe extern "C" fn decline(
    _ctx: *mut raw::RedisModuleCtx,
    _argv: *mut *mut raw::RedisModuleString,
    _argc: c_int,
) -> c_int {
    raw::Status::Err as c_int
}

/// A client leaves the line: because it is served, or because its time is over.
unsafe extern "C" fn leave_line(
    ctx: *mut raw::RedisModuleCtx,
    argv: *mut *mut raw::RedisModuleString,
    argc: c_int,
) -> c_int {
    // SAFETY: fact 3: reading the table. The context is the callback's.
    let number = unsafe { raw::RedisModule_GetBlockedClientPrivateData.map_or(ptr::null_mut(), |get| get(ctx)) };
    let number = number.addr() as waiters::Number;
    if guard(|| waiters::leave(number)).unwrap_or(false) {
        let context = Context::new(ctx);
        // SAFETY: the server passes the blocked command's words, which live until it has been answered.
        return context.reply(Writing::<claim::Command>::run(&context, unsafe { words(argv, argc) })) as c_int;
    }
    raw::reply_with_null(ctx) as c_int
}

/// A client went away, or is sent elsewhere.
unsafe extern "C" fn leave_unserved(_ctx: *mut raw::RedisModuleCtx, handle: Handle) {
    let _logged = guard(|| waiters::gone(handle));
}

/// The number of the context's database.
pub(crate) fn database(ctx: &Context) -> i32 {
    // SAFETY: fact 3: reading the table. The context is a live one.
    unsafe { raw::RedisModule_GetSelectedDb.map_or(0, |get| get(ctx.ctx)) }
}

/// Makes a database the context's. Answers whether there is one of this number.
pub(crate) fn select_database(ctx: &Context, database: i32) -> bool {
    // SAFETY: fact 3: reading the table. The context is a live one.
    unsafe { raw::RedisModule_SelectDb.is_some_and(|select| select(ctx.ctx, database) == raw::Status::Ok as c_int) }
}

/// Whether the server has no room for more.
pub(crate) fn is_at_maxmemory(ctx: &Context) -> bool {
    ctx.get_flags().contains(ContextFlags::OOM)
}

/// Lets the clients that wait for this key look again.
pub(crate) fn signal_key_ready(ctx: &Context, name: Word<'_>) {
    // SAFETY: fact 3: reading the table.
    if let Some(signal) = unsafe { raw::RedisModule_SignalKeyAsReady } {
        // SAFETY: the context is the running command's, and the name is an argument that it owns.
        unsafe { signal(ctx.ctx, name.raw) };
    }
}

/// Whom a published message reaches.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Reach {
    /// Everywhere in a cluster.
    All,
    /// The shard of the project.
    Shard,
}

/// Publishes a message.
pub(crate) fn publish(ctx: &Context, reach: Reach, channel: &RedisString, message: &RedisString) {
    let publish = match reach {
        // SAFETY: fact 3: reading the table.
        Reach::All => unsafe { raw::RedisModule_PublishMessage },
        // SAFETY: fact 3: reading the table.
        Reach::Shard => unsafe { raw::RedisModule_PublishMessageShard },
    };
    if let Some(publish) = publish {
        // SAFETY: the context is the running command's or timer's; both strings live through the call.
        unsafe { publish(ctx.ctx, channel.inner, message.inner) };
    }
}

/// Whether this server may publish by itself now: it is a primary, and is not handing over.
pub(crate) fn may_publish(ctx: &Context) -> bool {
    // SAFETY: fact 3: reading the table; the call takes nothing.
    let avoid = unsafe { raw::RedisModule_AvoidReplicaTraffic.map(|avoid| avoid()) };
    avoid.unwrap_or(0) == 0 && ctx.get_flags().contains(ContextFlags::MASTER)
}

/// Whether this server follows another one.
pub(crate) fn is_replica(ctx: &Context) -> bool {
    ctx.get_flags().contains(ContextFlags::SLAVE)
}

/// The number of a timer. The server gives no number twice.
pub(crate) type TimerId = raw::RedisModuleTimerID;

/// What a timer is given along.
struct Timer {
    id: TimerId,
    name: Vec<u8>,
}

/// Starts a timer for a key of the context's database. It fires once, with [`deadlines::fire`].
pub(crate) fn start_timer(ctx: &Context, wait: Millis, name: Word<'_>) -> Option<TimerId> {
    // SAFETY: fact 3: reading the table.
    let create = (unsafe { raw::RedisModule_CreateTimer })?;
    let millis = i64::try_from(wait.0).unwrap_or(i64::MAX);
    let timer = Box::into_raw(Box::new(Timer { id: 0, name: name.as_slice().to_vec() }));
    // SAFETY: the context is a live one; the box is handed over to the timer, and comes back in `on_timer` or
    // `stop_timer`, whichever happens, once.
    let id = unsafe { create(ctx.ctx, millis, Some(on_timer), timer.cast()) };
    // SAFETY: timers fire from the event loop, so this one has not, and the box is still there.
    unsafe { (*timer).id = id };
    Some(id)
}

/// Stops a timer, unless it has fired.
pub(crate) fn stop_timer(ctx: &Context, id: TimerId) {
    // SAFETY: fact 3: reading the table.
    let Some(stop) = (unsafe { raw::RedisModule_StopTimer }) else { return };
    let mut data: *mut c_void = ptr::null_mut();
    // SAFETY: the context is a live one of this module, and `data` is a place for one pointer.
    let stopped = unsafe { stop(ctx.ctx, id, &raw mut data) };
    if stopped == raw::Status::Ok as c_int && !data.is_null() {
        // SAFETY: this module's timers all carry a `Timer` from `start_timer`, and a stopped one will not fire.
        drop(unsafe { Box::from_raw(data.cast::<Timer>()) });
    }
}

unsafe extern "C" fn on_timer(ctx: *mut raw::RedisModuleCtx, data: *mut c_void) {
    // SAFETY: the timer carries a `Timer` from `start_timer`, fires once, and is gone afterwards.
    let timer = unsafe { Box::from_raw(data.cast::<Timer>()) };
    let _logged = guard(|| {
        let name = RedisString::create_from_slice(ptr::null_mut(), &timer.name);
        deadlines::fire(&Context::new(ctx), Word::from(&name), timer.id);
    });
}

/// A key came to hold another value, or came to be, by other means than our commands.
unsafe extern "C" fn on_key_event(
    ctx: *mut raw::RedisModuleCtx,
    _class: c_int,
    event: *const c_char,
    key: *mut raw::RedisModuleString,
) -> c_int {
    const ARRIVALS: [&[u8]; 5] = [b"loaded", b"rename_to", b"copy_to", b"move_to", b"restore"];
    // SAFETY: the server passes a C string for the time of the call.
    let event = unsafe { CStr::from_ptr(event) };
    if ARRIVALS.contains(&event.to_bytes()) {
        let _logged = guard(|| {
            let ctx = Context::new(ctx);
            // A copy: while loading, the server passes a key that it has on its stack and lets nobody retain.
            let name = RedisString::create_from_slice(ptr::null_mut(), RedisString::string_as_slice(key));
            deadlines::settle(&ctx, Word::from(&name));
        });
    }
    raw::Status::Ok as c_int
}

fn into_pointer(value: Value) -> *mut c_void {
    Box::into_raw(Box::new(value)).cast()
}

/// Lends the value behind a value pointer of a type callback.
///
/// # Safety
/// `value` must be a live pointer of our type (fact 2), and the reference must not outlive the callback.
unsafe fn lend<'a>(value: *const c_void) -> Option<&'a Value> {
    // SAFETY: the caller's promise.
    unsafe { value.cast::<Value>().as_ref() }
}

extern "C" fn rdb_load(rdb: *mut raw::RedisModuleIO, encoding: c_int) -> *mut c_void {
    let loaded = guard(|| {
        let read = || raw::load_string_buffer(rdb).ok();
        let more = || raw::load_unsigned(rdb).ok();
        persistence::load(encoding, more, read)
    });
    match loaded {
        Ok(Ok(project)) => into_pointer(Value::new(project)),
        Ok(Err(why)) => {
            let why = format!("cannot load a project: {why}");
            redis_module::logging::log_io_error(rdb, redis_module::logging::RedisLogLevel::Warning, &why);
            ptr::null_mut()
        }
        Err(_) => ptr::null_mut(),
    }
}

unsafe extern "C" fn rdb_save(rdb: *mut raw::RedisModuleIO, value: *mut c_void) {
    // SAFETY: the server passes a live value of our type for the time of the call.
    let Some(value) = (unsafe { lend(value) }) else { return };
    let saved = guard(|| {
        persistence::save(value, |more| raw::save_unsigned(rdb, more), |piece| raw::save_slice(rdb, piece));
    });
    if saved.is_err() {
        abandon_child();
        // What is missing makes this copy unreadable, which is better than a project that lost issues.
        raw::save_unsigned(rdb, persistence::BROKEN);
    }
}

/// Ends a forked child that could not save, so that the last good file stays. The server itself goes on.
fn abandon_child() {
    if Context::dummy().get_flags().contains(ContextFlags::IS_CHILD) {
        std::process::abort();
    }
}

unsafe extern "C" fn aof_rewrite(aof: *mut raw::RedisModuleIO, key: *mut raw::RedisModuleString, value: *mut c_void) {
    // SAFETY: the server passes a live value of our type for the time of the call.
    let Some(value) = (unsafe { lend(value) }) else { return };
    if !value.is_readable() {
        // What came behind its pieces in the old AOF could not be applied, and would be lost: that AOF must stay.
        redis_module::logging::log_warning("poppo: no AOF rewrite while there is a project that could not be read");
        abandon_child();
    }
    // SAFETY: fact 3: reading the table.
    let Some(emit) = (unsafe { raw::RedisModule_EmitAOF }) else { return };
    let rewritten = guard(|| {
        persistence::rewrite(value, |order, piece| {
            // SAFETY: the format says what follows: a string object, a C string, a buffer with its length.
            unsafe {
                emit(
                    aof,
                    persistence::LOAD.as_ptr(),
                    c"scb".as_ptr(),
                    key,
                    order.as_ptr(),
                    piece.as_ptr().cast::<c_char>(),
                    piece.len(),
                );
            }
        });
    });
    if rewritten.is_err() {
        abandon_child();
    }
}

unsafe extern "C" fn mem_usage(value: *const c_void) -> usize {
    // SAFETY: the server passes a live value of our type for the time of the call.
    let value = unsafe { lend(value) };
    guard(|| value.map_or(0, Value::memory)).unwrap_or(0)
}

unsafe extern "C" fn free_effort(_key: *mut raw::RedisModuleString, value: *const c_void) -> usize {
    // SAFETY: the server passes a live value of our type for the time of the call.
    let value = unsafe { lend(value) };
    guard(|| value.map_or(1, |value| value.project().free_effort())).unwrap_or(1)
}

unsafe extern "C" fn digest(digest: *mut raw::RedisModuleDigest, value: *mut c_void) {
    // SAFETY: the server passes a live value of our type for the time of the call.
    let Some(value) = (unsafe { lend(value) }) else { return };
    let (add, end) =
        // SAFETY: fact 3: reading the table.
        unsafe { (raw::RedisModule_DigestAddStringBuffer, raw::RedisModule_DigestEndSequence) };
    let (Some(add), Some(end)) = (add, end) else { return };
    let _logged = guard(|| {
        for piece in value.pieces() {
            // SAFETY: the digest is the callback's; the piece is a live buffer of that length.
            unsafe { add(digest, piece.as_ptr().cast::<c_char>(), piece.len()) };
        }
        // SAFETY: the digest is the callback's.
        unsafe { end(digest) };
    });
}

unsafe extern "C" fn copy(
    _from: *mut raw::RedisModuleString,
    _to: *mut raw::RedisModuleString,
    value: *const c_void,
) -> *mut c_void {
    // SAFETY: the server passes a live value of our type for the time of the call.
    let value = unsafe { lend(value) };
    // A null answer makes COPY fail and change nothing.
    guard(|| value.map(Value::copy).map_or(ptr::null_mut(), into_pointer)).unwrap_or(ptr::null_mut())
}

unsafe extern "C" fn free(value: *mut c_void) {
    if value.is_null() {
        return;
    }
    // SAFETY: fact 2, and the server calls this once, when nobody else can reach the value, so the box is ours again.
    let value = unsafe { Box::from_raw(value.cast::<Value>()) };
    let _logged = guard(|| drop(value));
}

/// Registers what the crate's table cannot: events, options, INFO, and the commands' descriptions.
pub(crate) fn register(ctx: &Context, commands: &[Command]) -> Result<(), String> {
    // SAFETY: fact 3: reading the table.
    let (set_options, subscribe) =
        unsafe { (raw::RedisModule_SetModuleOptions, raw::RedisModule_SubscribeToServerEvent) };
    if let Some(set_options) = set_options {
        // SAFETY: the context is `OnLoad`'s. Bits that a server does not know are ignored by it.
        unsafe { set_options(ctx.ctx, persistence::MODULE_OPTIONS) };
    }
    let subscribe = subscribe.ok_or("the server has no events")?;
    let events: [(u64, raw::RedisModuleEventCallback); 4] = [
        (raw::REDISMODULE_EVENT_LOADING, Some(on_loading)),
        (raw::REDISMODULE_EVENT_REPLICATION_ROLE_CHANGED, Some(on_role_changed)),
        (raw::REDISMODULE_EVENT_CONFIG, Some(on_config_changed)),
        (raw::REDISMODULE_EVENT_SWAPDB, Some(on_databases_swapped)),
    ];
    for (id, callback) in events {
        // SAFETY: the context is `OnLoad`'s, and the callbacks have the signature of events.
        let subscribed = unsafe { subscribe(ctx.ctx, raw::RedisModuleEvent { id, dataver: 1 }, callback) };
        if subscribed != raw::Status::Ok as c_int {
            return Err(format!("the server has no event {id}"));
        }
    }
    // SAFETY: fact 3: reading the table.
    let subscribe = unsafe { raw::RedisModule_SubscribeToKeyspaceEvents }.ok_or("the server has no key events")?;
    let classes = raw::REDISMODULE_NOTIFY_GENERIC | raw::REDISMODULE_NOTIFY_LOADED;
    // SAFETY: the context is `OnLoad`'s, and the callback has the signature of key events.
    if unsafe { subscribe(ctx.ctx, classes, Some(on_key_event)) } != raw::Status::Ok as c_int {
        return Err("the server has no key events".to_owned());
    }
    raw::register_info_function(ctx.ctx, Some(on_info));
    create(ctx, commands, 1)?;
    commands.iter().try_for_each(|command| describe(ctx, command.doc))
}

/// Registers the server's settings and takes their values from redis.conf, where they are there. The crate would do it, but
/// neither names a wrong argument nor notices a wrong line.
pub(crate) fn register_settings(ctx: &Context, arguments: &Arguments) -> Result<(), String> {
    let (numeric, choice, load) =
        // SAFETY: fact 3: reading the table.
        unsafe { (raw::RedisModule_RegisterNumericConfig, raw::RedisModule_RegisterEnumConfig, raw::RedisModule_LoadConfigs) };
    let (Some(numeric), Some(choice), Some(load)) = (numeric, choice, load) else {
        return Err("Redis 7.0 or newer is needed".to_owned());
    };
    let mut words = Publish::WORDS.map(CStr::as_ptr);
    let numbers = [Publish::All, Publish::Shard, Publish::Off].map(|publish| publish as c_int);
    // SAFETY: the context is `OnLoad`'s; names and words are C strings and numbers a live array, all of which the server
    // copies; the callbacks have the signatures of a numeric and of an enum setting.
    let registered = unsafe {
        numeric(
            ctx.ctx,
            server::RESTART_GRACE_NAME.as_ptr(),
            arguments.restart_grace(),
            raw::REDISMODULE_CONFIG_DEFAULT,
            0,
            server::RESTART_GRACE_MAX,
            Some(get_restart_grace),
            Some(set_restart_grace),
            None,
            ptr::null_mut(),
        ) | choice(
            ctx.ctx,
            server::PUBLISH_NAME.as_ptr(),
            arguments.publish() as c_int,
            raw::REDISMODULE_CONFIG_DEFAULT,
            words.as_mut_ptr(),
            numbers.as_ptr(),
            numbers.len() as c_int,
            Some(get_publish),
            Some(set_publish),
            None,
            ptr::null_mut(),
        )
    };
    // SAFETY: the context is `OnLoad`'s.
    if registered == raw::Status::Ok as c_int && unsafe { load(ctx.ctx) } == raw::Status::Ok as c_int {
        return Ok(());
    }
    let most = server::RESTART_GRACE_MAX;
    Err(format!("poppo.restart-grace must be an integer from 0 to {most}, poppo.publish all, shard or off"))
}

unsafe extern "C" fn get_publish(_name: *const c_char, _data: *mut c_void) -> c_int {
    server::PUBLISH.load(Ordering::Relaxed)
}

/// The server passes one of the registered numbers.
unsafe extern "C" fn set_publish(
    _name: *const c_char,
    value: c_int,
    _data: *mut c_void,
    _error: *mut *mut raw::RedisModuleString,
) -> c_int {
    server::PUBLISH.store(value, Ordering::Relaxed);
    raw::Status::Ok as c_int
}

unsafe extern "C" fn get_restart_grace(_name: *const c_char, _data: *mut c_void) -> c_longlong {
    server::RESTART_GRACE.load(Ordering::Relaxed)
}

/// The server has checked the range.
unsafe extern "C" fn set_restart_grace(
    _name: *const c_char,
    value: c_longlong,
    _data: *mut c_void,
    _error: *mut *mut raw::RedisModuleString,
) -> c_int {
    server::set_restart_grace(value);
    raw::Status::Ok as c_int
}

/// Creates commands. `keys` is 1 for those whose first word is a key.
pub(crate) fn create(ctx: &Context, commands: &[Command], keys: c_int) -> Result<(), String> {
    // SAFETY: fact 3: reading the table.
    let create = unsafe { raw::RedisModule_CreateCommand }.ok_or("the server has no commands")?;
    for command in commands {
        let (name, flags) = (command.doc.name_c.as_ptr(), command.flags.as_ptr());
        // SAFETY: the context is `OnLoad`'s, name and flags are C strings that the server copies, and the entry has the
        // signature of commands.
        let created = unsafe { create(ctx.ctx, name, command.entry, flags, keys, keys, keys) };
        if created != raw::Status::Ok as c_int {
            return Err(format!("{} could not be created", command.doc.name));
        }
    }
    Ok(())
}

unsafe extern "C" fn on_loading(
    _ctx: *mut raw::RedisModuleCtx,
    _event: raw::RedisModuleEvent,
    subevent: u64,
    _data: *mut c_void,
) {
    if subevent == raw::REDISMODULE_SUBEVENT_LOADING_ENDED {
        let _logged = guard(server::take_charge);
    }
}

unsafe extern "C" fn on_role_changed(
    _ctx: *mut raw::RedisModuleCtx,
    _event: raw::RedisModuleEvent,
    subevent: u64,
    _data: *mut c_void,
) {
    if subevent == raw::REDISMODULE_EVENT_REPLROLECHANGED_NOW_MASTER {
        let _logged = guard(server::take_charge);
    }
}

unsafe extern "C" fn on_databases_swapped(
    ctx: *mut raw::RedisModuleCtx,
    _event: raw::RedisModuleEvent,
    _subevent: u64,
    data: *mut c_void,
) {
    // SAFETY: for this event the server passes which databases, or nothing, for the time of the call.
    let Some(swapped) = (unsafe { data.cast::<raw::RedisModuleSwapDbInfo>().as_ref() }) else { return };
    let _logged = guard(|| waiters::swapped(&Context::new(ctx), [swapped.dbnum_first, swapped.dbnum_second]));
}

unsafe extern "C" fn on_config_changed(
    ctx: *mut raw::RedisModuleCtx,
    _event: raw::RedisModuleEvent,
    _subevent: u64,
    data: *mut c_void,
) {
    // SAFETY: for this event the server passes a change record, or nothing, for the time of the call.
    let Some(change) = (unsafe { data.cast::<raw::RedisModuleConfigChange>().as_ref() }) else { return };
    let count = usize::try_from(change.num_changes).unwrap_or(0);
    let policy = (0..count).any(|at| {
        // SAFETY: the record holds `num_changes` pointers to C strings.
        unsafe { CStr::from_ptr(*change.config_names.add(at)) }.to_bytes() == b"maxmemory-policy"
    });
    if policy {
        let _logged = guard(|| server::check_eviction_policy(&Context::new(ctx)));
    }
}

/// The server's `maxmemory-policy`. From `INFO`, not by the command `CONFIG`, which may be renamed or forbidden; and not
/// by the crate's wrapper, which leaks each field.
pub(crate) fn eviction_policy(ctx: &Context) -> Option<String> {
    // SAFETY: fact 3: reading the table.
    let (get, field, free) = unsafe {
        (raw::RedisModule_GetServerInfo?, raw::RedisModule_ServerInfoGetFieldC?, raw::RedisModule_FreeServerInfo?)
    };
    // SAFETY: the context is a live one, section and field are C strings, and the field's text, which belongs to the
    // information, is copied before that is freed.
    unsafe {
        let info = get(ctx.ctx, c"memory".as_ptr());
        let policy = field(info, c"maxmemory_policy".as_ptr());
        let policy = (!policy.is_null()).then(|| CStr::from_ptr(policy).to_string_lossy().into_owned());
        free(ctx.ctx, info);
        policy
    }
}

/// The fields of `INFO poppo` that are being filled.
pub(crate) struct Info<'a> {
    ctx: *mut raw::RedisModuleInfoCtx,
    during: PhantomData<&'a ()>,
}

impl Info<'_> {
    pub(crate) fn text(&self, name: &str, value: &str) {
        raw::add_info_field_str(self.ctx, name, value);
    }

    pub(crate) fn number(&self, name: &str, value: u64) {
        raw::add_info_field_unsigned_long_long(self.ctx, name, value);
    }
}

unsafe extern "C" fn on_info(ctx: *mut raw::RedisModuleInfoCtx, _for_crash_report: c_int) {
    if raw::add_info_section(ctx, None) == raw::Status::Ok {
        let _logged = guard(|| server::info(&Info { ctx, during: PhantomData }));
    }
}

/// Everything that a command's description points to, alive until the server has copied it.
#[derive(Default)]
struct Described {
    texts: Vec<CString>,
    // Boxed slices: their addresses stay when the vector grows.
    args: Vec<Box<[raw::RedisModuleCommandArg]>>,
}

impl Described {
    fn text(&mut self, text: &str) -> *const c_char {
        let text = CString::new(text).unwrap_or_default();
        let pointer = text.as_ptr();
        self.texts.push(text);
        pointer
    }

    /// An array that ends with an empty entry, as the server expects it.
    fn args(&mut self, args: impl IntoIterator<Item = raw::RedisModuleCommandArg>) -> *mut raw::RedisModuleCommandArg {
        let mut args: Box<[_]> = args.into_iter().chain([EMPTY_ARG]).collect();
        let pointer = args.as_mut_ptr();
        self.args.push(args);
        pointer
    }

    fn arg(&mut self, arg: &Arg) -> raw::RedisModuleCommandArg {
        let (kind, parts): (_, &[Arg]) = match arg.kind {
            Kind::Text => (raw::RedisModuleCommandArgType_REDISMODULE_ARG_TYPE_STRING, &[]),
            Kind::Integer => (raw::RedisModuleCommandArgType_REDISMODULE_ARG_TYPE_INTEGER, &[]),
            Kind::Flag => (raw::RedisModuleCommandArgType_REDISMODULE_ARG_TYPE_PURE_TOKEN, &[]),
            Kind::OneOf(parts) => (raw::RedisModuleCommandArgType_REDISMODULE_ARG_TYPE_ONEOF, parts),
            Kind::Block(parts) => (raw::RedisModuleCommandArgType_REDISMODULE_ARG_TYPE_BLOCK, parts),
        };
        let parts: Vec<_> = parts.iter().map(|part| self.arg(part)).collect();
        let mut flags = 0;
        if arg.optional {
            flags |= raw::REDISMODULE_CMD_ARG_OPTIONAL;
        }
        if arg.multiple {
            flags |= raw::REDISMODULE_CMD_ARG_MULTIPLE;
        }
        raw::RedisModuleCommandArg {
            name: self.text(arg.name),
            type_: kind,
            token: arg.token.map_or(ptr::null(), |token| self.text(token)),
            flags: flags as c_int,
            subargs: if parts.is_empty() { ptr::null_mut() } else { self.args(parts) },
            ..EMPTY_ARG
        }
    }
}

const EMPTY_ARG: raw::RedisModuleCommandArg = raw::RedisModuleCommandArg {
    name: ptr::null(),
    type_: 0,
    key_spec_index: -1,
    token: ptr::null(),
    summary: ptr::null(),
    since: ptr::null(),
    flags: 0,
    deprecated_since: ptr::null(),
    subargs: ptr::null_mut(),
    display_text: ptr::null(),
};

fn describe(ctx: &Context, doc: &Doc) -> Result<(), String> {
    // SAFETY: fact 3: reading the table.
    let (get, set) = unsafe { (raw::RedisModule_GetCommand, raw::RedisModule_SetCommandInfo) };
    // Both are there since 7.0, the oldest supported server.
    let (Some(get), Some(set)) = (get, set) else { return Err("Redis 7.0 or newer is needed".to_owned()) };
    let mut described = Described::default();
    let name = described.text(doc.name);
    // SAFETY: the context is `OnLoad`'s, and the name is a live C string.
    let command = unsafe { get(ctx.ctx, name) };
    if command.is_null() {
        return Err(format!("{} is not registered", doc.name));
    }
    let key = raw::RedisModuleCommandArg {
        name: described.text("project"),
        type_: raw::RedisModuleCommandArgType_REDISMODULE_ARG_TYPE_KEY,
        key_spec_index: 0,
        ..EMPTY_ARG
    };
    let args: Vec<_> = std::iter::once(key).chain(doc.args.iter().map(|arg| described.arg(arg))).collect();
    let version = raw::RedisModuleCommandInfoVersion {
        version: 1,
        sizeof_historyentry: size_of::<raw::RedisModuleCommandHistoryEntry>(),
        sizeof_keyspec: size_of::<raw::RedisModuleCommandKeySpec>(),
        sizeof_arg: size_of::<raw::RedisModuleCommandArg>(),
    };
    let mut key_specs = [key_spec(doc.access), no_key_spec()];
    let info = raw::RedisModuleCommandInfo {
        version: &raw const version,
        summary: described.text(doc.summary),
        complexity: described.text(doc.complexity),
        since: described.text(doc.since),
        history: ptr::null_mut(),
        tips: ptr::null(),
        arity: doc.arity,
        key_specs: key_specs.as_mut_ptr(),
        args: described.args(args),
    };
    // SAFETY: fact 3: reading the table. Module commands have ACL categories since 7.2.
    if let Some(categorize) = unsafe { raw::RedisModule_SetCommandACLCategories } {
        // SAFETY: the command was just found, and the server copies the C string.
        if unsafe { categorize(command, doc.categories.as_ptr()) } != raw::Status::Ok as c_int {
            return Err(format!("{} could not be put in its ACL categories", doc.name));
        }
    }
    // SAFETY: all that `info` points to is alive until the end of this function, arrays end with an empty entry, and
    // the server copies what it keeps.
    let set = unsafe { set(command, &raw const info) };
    if set == raw::Status::Ok as c_int { Ok(()) } else { Err(format!("{} could not be described", doc.name)) }
}

fn key_spec(access: Access) -> raw::RedisModuleCommandKeySpec {
    let flags = match access {
        Access::Read => raw::REDISMODULE_CMD_KEY_RO | raw::REDISMODULE_CMD_KEY_ACCESS,
        Access::Insert => {
            raw::REDISMODULE_CMD_KEY_RW | raw::REDISMODULE_CMD_KEY_ACCESS | raw::REDISMODULE_CMD_KEY_INSERT
        }
        Access::Update => {
            raw::REDISMODULE_CMD_KEY_RW | raw::REDISMODULE_CMD_KEY_ACCESS | raw::REDISMODULE_CMD_KEY_UPDATE
        }
        // It tells who holds what it does not delete.
        Access::Delete => {
            raw::REDISMODULE_CMD_KEY_RW | raw::REDISMODULE_CMD_KEY_ACCESS | raw::REDISMODULE_CMD_KEY_DELETE
        }
    };
    raw::RedisModuleCommandKeySpec {
        notes: ptr::null(),
        flags: u64::from(flags),
        begin_search_type: raw::RedisModuleKeySpecBeginSearchType_REDISMODULE_KSPEC_BS_INDEX,
        bs: raw::RedisModuleCommandKeySpec__bindgen_ty_1 {
            index: raw::RedisModuleCommandKeySpec__bindgen_ty_1__bindgen_ty_1 { pos: 1 },
        },
        find_keys_type: raw::RedisModuleKeySpecFindKeysType_REDISMODULE_KSPEC_FK_RANGE,
        fk: raw::RedisModuleCommandKeySpec__bindgen_ty_2 {
            range: raw::RedisModuleCommandKeySpec__bindgen_ty_2__bindgen_ty_1 { lastkey: 0, keystep: 1, limit: 0 },
        },
    }
}

/// The empty entry that ends the array.
fn no_key_spec() -> raw::RedisModuleCommandKeySpec {
    raw::RedisModuleCommandKeySpec {
        begin_search_type: raw::RedisModuleKeySpecBeginSearchType_REDISMODULE_KSPEC_BS_INVALID,
        flags: 0,
        ..key_spec(Access::Read)
    }
}
