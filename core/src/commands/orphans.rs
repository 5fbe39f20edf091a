//! `POPPO.ORPHANS`: see `docs/commands.md`.

use crate::{Name, Now, Orphan, Project};

use super::Read;
use super::args::{Args, Bad, DEFAULT_COUNT, Options, count, name};
use super::docs::{Access, Arg, Doc};
use super::reply::{Map, Reply};

/// See the module.
#[derive(Debug)]
pub struct Command;

/// Which orphans, and how many.
#[derive(Debug)]
pub struct Request<'a> {
    count: usize,
    host: Option<Name<'a>>,
}

const OPTIONS: Options = Options(&["COUNT", "HOST"]);

impl Read for Command {
    type Request<'a> = Request<'a>;

    const DOC: Doc = Doc {
        name: "POPPO.ORPHANS",
        name_c: c"POPPO.ORPHANS",
        since: "0.1.0",
        event: c"poppo.orphans",
        summary: "Lists the leases whose holders are silent, dead or replaced.",
        complexity: "O(log P) where P is the number of processes, plus the number of answers",
        arity: -2,
        access: Access::Read,
        categories: c"read slow",
        args: &[Arg::option_integer("count", "COUNT").optional(), Arg::option_text("host", "HOST").optional()],
    };

    fn parse<'a>(args: &mut Args<'a, impl AsRef<[u8]>>) -> Result<Request<'a>, Bad> {
        let mut request = Request { count: DEFAULT_COUNT, host: None };
        while let Some(option) = args.option(&OPTIONS)? {
            match option {
                "COUNT" => request.count = args.value(option, count)?,
                _ => request.host = Some(args.value(option, name)?),
            }
        }
        Ok(request)
    }

    fn answer<'p>(project: &'p Project, now: Now, request: &Request<'_>) -> Reply<'p> {
        Reply::Array(project.orphans(now, request.host).take(request.count).map(row).collect())
    }

    fn absent(_now: Now, _request: &Request<'_>) -> Reply<'static> {
        Reply::Array(Vec::new())
    }
}

/// All nine fields, always: whoever repairs should not have to ask which are there.
fn row(orphan: Orphan<'_>) -> Reply<'_> {
    Map::default()
        .with("issue", orphan.issue.get())
        .with("token", orphan.token)
        .with("process", orphan.process)
        .or_null("pid", orphan.pid)
        .or_null("host", orphan.host)
        .or_null("type", orphan.kind)
        .with("reason", orphan.reason.as_str())
        .with("since", orphan.since)
        .with("lastSeen", orphan.last_seen)
        .into()
}
