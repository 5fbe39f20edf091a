//! Poppo inside redis-server: the index of commands.
//!
//! Each command is one file, of the same shape: how its words become the core's request, and how the core's answer
//! becomes a reply. What they have in common is in `command`, all unsafe code in `ffi`, the rules in `poppo-core`.
//! `docs/commands.md` says what each of them takes, answers and refuses.

#![deny(unsafe_code)]
#![allow(missing_docs, reason = "the only public items are the two that the macro exports to redis-server")]

mod args;
mod checkin;
mod checkout;
mod command;
mod config;
mod deadlines;
mod docs;
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
mod server;
mod stats;
mod value;

use command::{Follow, Read, Write, follow, read, write};
use ffi::PROJECT_TYPE;
use redis_module::alloc::RedisAlloc;
use redis_module::{Context, RedisString, Status, redis_module};

/// The commands' descriptions, in the order of the table below.
const DOCS: &[&docs::Doc] = &[
    &checkout::Command::DOC,
    &checkin::Command::DOC,
    &heartbeat::Command::DOC,
    &liveness::Command::DOC,
    &orphans::Command::DOC,
    &repair::Command::DOC,
    &evict::Command::DOC,
    &get::Command::DOC,
    &list::Command::DOC,
    &stats::Command::DOC,
    &forget::Command::DOC,
    &config::Command::DOC,
    &events::Command::DOC,
    &labels::Command::DOC,
    &labelled::Command::DOC,
    &persistence::LOAD_DOC,
];

redis_module! {
    name: "poppo",
    version: 1,
    allocator: (RedisAlloc, RedisAlloc),
    data_types: [PROJECT_TYPE],
    init: init,
    commands: [
        // leases
        ["POPPO.CHECKOUT", write::<checkout::Command>, "write deny-oom fast", 1, 1, 1, ""],
        ["POPPO.CHECKIN", write::<checkin::Command>, "write fast", 1, 1, 1, ""],
        ["POPPO.HEARTBEAT", write::<heartbeat::Command>, "write fast", 1, 1, 1, ""],
        ["POPPO.LIVENESS", write::<liveness::Command>, "write fast", 1, 1, 1, ""],
        ["POPPO.ORPHANS", read::<orphans::Command>, "readonly", 1, 1, 1, ""],
        ["POPPO.REPAIR", write::<repair::Command>, "write fast", 1, 1, 1, ""],
        ["POPPO.EVICT", write::<evict::Command>, "write admin", 1, 1, 1, ""],
        // looking
        ["POPPO.GET", read::<get::Command>, "readonly fast", 1, 1, 1, ""],
        ["POPPO.LIST", read::<list::Command>, "readonly", 1, 1, 1, ""],
        ["POPPO.STATS", read::<stats::Command>, "readonly", 1, 1, 1, ""],
        ["POPPO.FORGET", write::<forget::Command>, "write fast", 1, 1, 1, ""],
        ["POPPO.CONFIG", write::<config::Command>, "write deny-oom", 1, 1, 1, ""],
        // following
        ["POPPO.EVENTS", follow::<events::Command>, "readonly blocking", 1, 1, 1, ""],
        ["POPPO.LABELS", follow::<labels::Command>, "readonly blocking", 1, 1, 1, ""],
        ["POPPO.LABELLED", write::<labelled::Command>, "write fast", 1, 1, 1, ""],
        // inside
        ["POPPO.LOAD", persistence::run_load, "write admin", 1, 1, 1, ""],
    ],
}

/// What is left to do when the table is registered.
fn init(ctx: &Context, arguments: &[RedisString]) -> Status {
    guard::install_hook();
    let done = guard::guard(|| {
        ffi::register_settings(ctx, &server::read_arguments(arguments)?)?;
        ffi::register(ctx, DOCS)?;
        server::check_eviction_policy(ctx);
        server::take_charge();
        #[cfg(feature = "fault-injection")]
        ffi::register_fault(ctx)?;
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
