//! `POPPO.FAULT n`, only in builds for tests: the n-th change inside the next write command panics.

use redis_module::{Context, RedisResult, RedisString};

use crate::args::Bad;
use crate::command::answer;
use crate::reply::Reply;

/// `POPPO.FAULT 0` disarms. Answers OK.
pub(crate) fn run(ctx: &Context, words: Vec<RedisString>) -> RedisResult {
    answer(ctx, || {
        let number = words.get(1).and_then(|word| poppo_core::integer(word.as_slice(), 0, 1_000_000).ok());
        let number = number.ok_or_else(|| Bad("n must be an integer from 0 to 1000000".to_owned()))?;
        poppo_core::arm_fault(u32::try_from(number).unwrap_or(0));
        Ok(Reply::Ok)
    })
}
