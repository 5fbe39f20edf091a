//! RDB and AOF: the pieces of a project, and the command that an AOF rewrite writes them as.

use std::ffi::CStr;
use std::fmt;

use poppo_core::commands::{Access, Arg, Bad, Doc, Reply, shown};
use poppo_core::{Corrupt, Project};
use redis_module::{Context, RedisBuffer, RedisResult, raw};

use crate::command::{answer, key_name};
use crate::deadlines;
use crate::failure::Failure;
use crate::ffi::{self, Entry, Key, Word};
use crate::send::Answer;
use crate::server;
use crate::value::Value;

/// The name of the data type: nine characters, as Redis wants it.
pub(crate) const TYPE_NAME: &str = "poppo-prj";

/// The version of what [`save`] writes around the pieces, which have a version of their own.
pub(crate) const ENCODING: u32 = 1;

/// Read errors come back to us instead of ending the server; a replica may serve what it has while it loads a new copy;
/// and Valkey may migrate slots (bit 5, which Redis ignores): all that we hold is in the keys.
pub(crate) const MODULE_OPTIONS: i32 =
    (raw::REDISMODULE_OPTIONS_HANDLE_IO_ERRORS | raw::REDISMODULE_OPTIONS_HANDLE_REPL_ASYNC_LOAD | 1 << 5) as i32;

/// The command that loads one piece.
pub(crate) const LOAD: &CStr = c"POPPO.LOAD";

/// In front of each piece, and behind the last.
const MORE: u64 = 1;
const END: u64 = 0;
/// Instead of the rest of a project that could not be saved.
pub(crate) const BROKEN: u64 = 2;

/// Why a project cannot be loaded.
#[derive(Debug)]
pub(crate) enum Unreadable {
    Encoding(i32),
    Truncated,
    Corrupt(Corrupt),
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Encoding(version) => {
                write!(f, "its encoding {version} is not one that this version of Poppo reads (up to {ENCODING})")
            }
            Self::Truncated => f.write_str("it ends too early"),
            Self::Corrupt(corrupt) => corrupt.fmt(f),
        }
    }
}

impl From<Corrupt> for Unreadable {
    fn from(corrupt: Corrupt) -> Self {
        Self::Corrupt(corrupt)
    }
}

/// Writes a project: each piece behind [`MORE`], then [`END`].
pub(crate) fn save(value: &Value, mark: impl Fn(u64), write: impl Fn(&[u8])) {
    for piece in value.pieces() {
        mark(MORE);
        write(&piece);
    }
    mark(END);
}

/// Reads what [`save`] wrote.
pub(crate) fn load(
    encoding: i32,
    mut mark: impl FnMut() -> Option<u64>,
    mut read: impl FnMut() -> Option<RedisBuffer>,
) -> Result<Project, Unreadable> {
    if u32::try_from(encoding) != Ok(ENCODING) {
        return Err(Unreadable::Encoding(encoding));
    }
    let mut project: Option<Project> = None;
    loop {
        match mark() {
            Some(MORE) => {
                let piece = read().ok_or(Unreadable::Truncated)?;
                match &mut project {
                    None => project = Some(Project::load(piece.as_ref())?),
                    Some(project) => project.load_next(piece.as_ref())?,
                }
            }
            Some(END) => return project.ok_or(Unreadable::Truncated),
            _ => return Err(Unreadable::Truncated),
        }
    }
}

/// Writes a project as commands: `POPPO.LOAD project FIRST|NEXT piece`.
pub(crate) fn rewrite(value: &Value, emit: impl Fn(&CStr, &[u8])) {
    for (position, piece) in value.pieces().enumerate() {
        emit(if position == 0 { c"FIRST" } else { c"NEXT" }, &piece);
    }
}

/// The description of `POPPO.LOAD`.
pub(crate) const LOAD_DOC: Doc = Doc {
    name: "POPPO.LOAD",
    name_c: c"POPPO.LOAD",
    since: "0.1.0",
    event: c"poppo.load",
    summary: "Loads a piece of a project from an AOF. Internal.",
    complexity: "O(n) of the piece's records",
    arity: 4,
    access: Access::Insert,
    categories: c"write slow admin dangerous",
    args: &[Arg::text("order"), Arg::text("piece")],
};

/// The entry of `POPPO.LOAD`.
pub(crate) struct Load;

impl Entry for Load {
    fn run(ctx: &Context, words: &[Word<'_>]) -> RedisResult {
        answer(ctx, || {
            if !ffi::is_replay(ctx) {
                let text = "POPPO.LOAD is accepted only from the replication link and while loading";
                return Err(Bad(text.to_owned()).into());
            }
            load_piece(ctx, words).inspect_err(|failure| {
                server::log_failed_apply(ctx, LOAD_DOC.name, failure);
            })
        })
    }
}

fn load_piece(ctx: &Context, words: &[Word<'_>]) -> Result<Answer, Failure> {
    let [_, _, order, piece] = words else {
        return Err(Bad("POPPO.LOAD takes FIRST or NEXT and a piece".into()).into());
    };
    let name = key_name(words)?;
    let piece = piece.as_slice();
    let mut key = Key::open_unread(ctx, name)?;
    let loaded = match (order.as_slice(), key.value()) {
        (b"FIRST", None) => {
            let loaded = Project::load(piece);
            let (value, loaded) = match loaded {
                Ok(project) => (Value::new(project), Ok(())),
                Err(corrupt) => (Value::unreadable(piece), Err(corrupt)),
            };
            key.create(ctx, value)?;
            loaded
        }
        (b"NEXT", Some(value)) if value.is_readable() => {
            let loaded = value.project_mut().load_next(piece);
            value.recount();
            loaded.inspect_err(|_| value.give_up(piece))
        }
        (b"NEXT", Some(value)) => {
            value.give_up(piece);
            return Err(Failure::Unreadable);
        }
        (order, _) => return Err(Bad(format!("'{}' does not fit what is there", shown(order))).into()),
    };
    key.announce(ctx, LOAD_DOC.event);
    if let Some(value) = key.value().filter(|value| value.is_readable()) {
        deadlines::arm(ctx, name, value.project_and_announcer(), server::now());
    }
    // Where slots migrate between nodes of a cluster, pieces come over a link: this node's AOF and replicas need them.
    ctx.replicate_verbatim();
    loaded.map(|()| Reply::Ok.into()).map_err(|corrupt| Bad(corrupt.to_string()).into())
}
