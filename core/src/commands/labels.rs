//! `POPPO.LABELS`: see `docs/commands.md`.

use crate::{Millis, Project, Unlabelled};

use super::Follow;
use super::args::{Args, Bad, DEFAULT_COUNT, Options, block, count};
use super::docs::{Access, Arg, Doc};
use super::reply::{Map, Reply};

/// See the module.
#[derive(Debug)]
pub struct Command;

/// How much, and whether to wait.
#[derive(Debug)]
pub struct Request {
    count: usize,
    block: Option<Millis>,
}

const OPTIONS: Options = Options(&["COUNT", "BLOCK"]);

impl Follow for Command {
    type Request<'a> = Request;

    const DOC: Doc = Doc {
        name: "POPPO.LABELS",
        name_c: c"POPPO.LABELS",
        since: "0.2.0",
        event: c"poppo.labels",
        summary: "Lists the issues whose status changed since their labels were last confirmed, or waits for one.",
        complexity: "O(n log N) of the n answers where N is the number of issues of the project",
        arity: -2,
        access: Access::Read,
        categories: c"read slow blocking",
        args: &[
            Arg::option_integer("count", "COUNT").optional(),
            Arg::option_integer("milliseconds", "BLOCK").optional(),
        ],
    };

    fn parse<'a>(args: &mut Args<'a, impl AsRef<[u8]>>) -> Result<Request, Bad> {
        let mut request = Request { count: DEFAULT_COUNT, block: None };
        while let Some(option) = args.option(&OPTIONS)? {
            match option {
                "COUNT" => request.count = args.value(option, count)?,
                _ => request.block = Some(args.value(option, block)?),
            }
        }
        Ok(request)
    }

    fn block(request: &Request) -> Option<Millis> {
        request.block
    }

    fn answer<'p>(project: &'p Project, request: &Request) -> Vec<Reply<'p>> {
        project.unlabelled().take(request.count).map(row).collect()
    }
}

fn row(behind: Unlabelled) -> Reply<'static> {
    Map::default()
        .with("issue", behind.issue.get())
        .with("status", behind.status.as_str())
        .with("version", behind.version)
        .into()
}
