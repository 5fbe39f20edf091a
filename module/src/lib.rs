//! Poppo inside redis-server: the index of commands.
//!
//! What a command's words mean and what it answers is in `poppo-core`, with the rules. What all of them do around that is
//! in `command`, all unsafe code in `ffi`.
//! `docs/commands.md` says what each of them takes, answers and refuses.

#![deny(unsafe_code)]
#![allow(missing_docs, reason = "the only public items are the two that the macro exports to redis-server")]

mod claiming;
mod command;
mod deadlines;
mod failure;
#[cfg(feature = "fault-injection")]
mod fault;
#[allow(unsafe_code, reason = "all of it is here, each block with the reason why it is sound")]
mod ffi;
mod guard;
mod persistence;
mod publish;
mod send;
mod server;
mod value;
mod waiters;

use command::{Following, Reading, Writing};
use ffi::{Command, PROJECT_TYPE};
use poppo_core::commands::{
    Follow, Read, Write, cancel, checkin, checkout, claim, config, drain, enqueue, events, evict, export, forget, get,
    heartbeat, import, labelled, labels, list, liveness, orphans, repair, revive, stats,
};
use redis_module::alloc::RedisAlloc;
use redis_module::{Context, RedisString, Status, redis_module};

/// All commands, with their flags.
const COMMANDS: &[Command] = &[
    // leases
    Command::new::<Writing<checkout::Command>>(&checkout::Command::DOC, c"write deny-oom fast"),
    Command::new::<Writing<checkin::Command>>(&checkin::Command::DOC, c"write fast"),
    Command::new::<Writing<heartbeat::Command>>(&heartbeat::Command::DOC, c"write fast"),
    Command::new::<Writing<liveness::Command>>(&liveness::Command::DOC, c"write fast"),
    Command::new::<Reading<orphans::Command>>(&orphans::Command::DOC, c"readonly"),
    Command::new::<Writing<repair::Command>>(&repair::Command::DOC, c"write fast"),
    Command::new::<Writing<evict::Command>>(&evict::Command::DOC, c"write admin"),
    // queue
    Command::new::<Writing<enqueue::Command>>(&enqueue::Command::DOC, c"write deny-oom fast"),
    Command::new::<claiming::Claiming>(&claim::Command::DOC, c"write deny-oom blocking"),
    Command::new::<Writing<cancel::Command>>(&cancel::Command::DOC, c"write"),
    Command::new::<Writing<revive::Command>>(&revive::Command::DOC, c"write deny-oom fast"),
    Command::new::<Writing<drain::Command>>(&drain::Command::DOC, c"write fast"),
    // looking
    Command::new::<Reading<get::Command>>(&get::Command::DOC, c"readonly fast"),
    Command::new::<Reading<list::Command>>(&list::Command::DOC, c"readonly"),
    Command::new::<Reading<stats::Command>>(&stats::Command::DOC, c"readonly"),
    Command::new::<Writing<forget::Command>>(&forget::Command::DOC, c"write fast"),
    Command::new::<Writing<config::Command>>(&config::Command::DOC, c"write deny-oom"),
    // following
    Command::new::<Following<events::Command>>(&events::Command::DOC, c"readonly blocking"),
    Command::new::<Following<labels::Command>>(&labels::Command::DOC, c"readonly blocking"),
    Command::new::<Writing<labelled::Command>>(&labelled::Command::DOC, c"write fast"),
    // moving
    Command::new::<Reading<export::Command>>(&export::Command::DOC, c"readonly"),
    Command::new::<Writing<import::Command>>(&import::Command::DOC, c"write deny-oom"),
    // inside
    Command::new::<persistence::Load>(&persistence::LOAD_DOC, c"write admin"),
];

redis_module! {
    name: "poppo",
    version: 1,
    allocator: (RedisAlloc, RedisAlloc),
    data_types: [PROJECT_TYPE],
    init: init,
}

/// What is left to do when the data type is there.
fn init(ctx: &Context, arguments: &[RedisString]) -> Status {
    guard::install_hook();
    let done = guard::guard(|| {
        ffi::register_settings(ctx, &server::read_arguments(arguments)?)?;
        ffi::register(ctx, COMMANDS)?;
        server::check_eviction_policy(ctx);
        server::take_charge();
        #[cfg(feature = "fault-injection")]
        ffi::create(ctx, &[Command::new::<fault::Fault>(&fault::DOC, c"")], 0)?;
        Ok::<(), String>(())
    });
    match done {
        Ok(Ok(())) => Status::Ok,
        Ok(Err(why)) => {
            server::log(ctx, &why);
            Status::Err
        }
        Err(_) => Status::Err,
    }
}
