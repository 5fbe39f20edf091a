//! The entry of `POPPO.CLAIM`: what every command that writes does, and to wait.

use poppo_core::commands::{Bad, Write as _, claim};
use redis_module::{Context, RedisResult};

use crate::command::{key_name, write};
use crate::ffi::{self, Entry, Word};
use crate::send::Answer;
use crate::waiters;

/// See the module.
pub(crate) struct Claiming;

impl Entry for Claiming {
    fn run(ctx: &Context, words: &[Word<'_>]) -> RedisResult {
        write::<claim::Command>(ctx, words, |request| {
            let block = claim::Command::block(request).filter(|_| ffi::may_block(ctx) && !ffi::is_replay(ctx))?;
            if ffi::is_replica(ctx) {
                return Some(Err(Bad("BLOCK is not possible on a replica".to_owned()).into()));
            }
            let name = key_name(words).ok()?;
            waiters::wait(ctx, name, &request.types, block).then_some(Ok(Answer::Sent))
        })
    }
}
