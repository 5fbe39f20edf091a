//! Poppo inside redis-server: the index of commands.
//!
//! Each command is one file, of the same shape: how its words become the core's request, and how the core's answer
//! becomes a reply. What they have in common is in `command`, all unsafe code in `ffi`, the rules in `poppo-core`.
//! `docs/commands.md` says what each of them takes, answers and refuses.

#![deny(unsafe_code)]
#![allow(missing_docs, reason = "the only public items are the two that the macro exports to redis-server")]

mod args;
mod cancel;
mod checkin;
mod checkout;
mod claim;
mod command;
mod config;
mod deadlines;
mod docs;
mod drain;
mod enqueue;
mod events;
mod evict;
mod failure;
#[cfg(feature = "fault-injection")]
mod fault;
#[allow(unsafe_code, reason = "all of it is here, each block with the reason why it is sound")]
mod ffi;
mod forget;
mod get;
mod guard;
mod heartbeat;
mod labelled;
mod labels;
mod list;
mod liveness;
mod orphans;
mod persistence;
mod publish;
mod repair;
mod reply;
mod revive;
mod server;
mod stats;
mod value;
mod waiters;

use command::{Follow, Following, Read, Reading, Write, Writing};
use ffi::{Command, PROJECT_TYPE};
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
    Command::new::<claim::Claiming>(&claim::Command::DOC, c"write deny-oom blocking"),
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
