//! `POPPO.FAULT n`, only in builds for tests: the n-th change inside the next write command panics.

use poppo_core::commands::{Access, Bad, Doc, Reply};
use redis_module::{Context, RedisResult};

use crate::command::answer;
use crate::ffi::{Entry, Word};

/// Never shown: the command has no description on the server.
pub(crate) const DOC: Doc = Doc {
    name: "POPPO.FAULT",
    name_c: c"POPPO.FAULT",
    since: "",
    event: c"",
    summary: "",
    complexity: "",
    arity: 2,
    access: Access::Read,
    categories: c"",
    args: &[],
};

/// The entry. `POPPO.FAULT 0` disarms. Answers OK.
pub(crate) struct Fault;

impl Entry for Fault {
    fn run(ctx: &Context, words: &[Word<'_>]) -> RedisResult {
        answer(ctx, || {
            let number = words.get(1).and_then(|word| poppo_core::integer(word.as_slice(), 0, 1_000_000).ok());
            let number = number.ok_or_else(|| Bad("n must be an integer from 0 to 1000000".to_owned()))?;
            poppo_core::arm_fault(u32::try_from(number).unwrap_or(0));
            Ok(Reply::Ok.into())
        })
    }
}
