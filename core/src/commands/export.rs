//! `POPPO.EXPORT`: see `docs/commands.md`.

use crate::{ExportCursor, Exported, Invalid, Now, Project};

use super::Read;
use super::args::{Args, Bad, DEFAULT_COUNT, Options, count};
use super::docs::{Access, Arg, Doc};
use super::reply::Reply;

/// See the module.
#[derive(Debug)]
pub struct Command;

/// From where, and how much.
#[derive(Debug)]
pub struct Request {
    cursor: ExportCursor,
    count: usize,
}

const OPTIONS: Options = Options(&["CURSOR", "COUNT"]);

impl Read for Command {
    type Request<'a> = Request;

    const DOC: Doc = Doc {
        name: "POPPO.EXPORT",
        name_c: c"POPPO.EXPORT",
        since: "0.3.0",
        event: c"poppo.export",
        summary: "Answers the project as lines of JSON that POPPO.IMPORT takes, a piece at a time.",
        complexity: "O(log N) where N is the number of records, plus the number answered",
        arity: -2,
        access: Access::Read,
        categories: c"read slow",
        args: &[Arg::option_text("cursor", "CURSOR").optional(), Arg::option_integer("count", "COUNT").optional()],
    };

    fn parse<'a>(args: &mut Args<'a, impl AsRef<[u8]>>) -> Result<Request, Bad> {
        let mut request = Request { cursor: ExportCursor::START, count: DEFAULT_COUNT };
        while let Some(option) = args.option(&OPTIONS)? {
            match option {
                "CURSOR" => request.cursor = args.value(option, cursor)?,
                _ => request.count = args.value(option, count)?,
            }
        }
        Ok(request)
    }

    fn answer<'p>(project: &'p Project, now: Now, request: &Request) -> Reply<'p> {
        shown(project.export(now.at, request.cursor, request.count))
    }

    fn absent(now: Now, _request: &Request) -> Reply<'static> {
        shown(Exported::empty(now.at))
    }
}

fn cursor(word: &[u8]) -> Result<ExportCursor, Invalid> {
    str::from_utf8(word).unwrap_or_default().parse()
}

/// As SCAN answers: the cursor as a string.
fn shown(piece: Exported) -> Reply<'static> {
    let next = piece.next.map_or_else(|| "0".to_owned(), |next| next.to_string());
    Reply::Array(vec![next.into(), Reply::Array(piece.lines.into_iter().map(Reply::from).collect())])
}
