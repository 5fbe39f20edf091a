//! `POPPO.LIST`: see `docs/commands.md`.

use poppo_core::{Now, Page, Process, Project, Record, RunView, Status, integer};

use crate::args::{Args, Bad, DEFAULT_COUNT, Options, count};
use crate::command::Read;
use crate::docs::{Access, Arg, Doc};
use crate::reply::{Map, Reply};

/// See the module.
pub(crate) struct Command;

/// What to list, from where, and how much.
pub(crate) struct Request {
    what: What,
    cursor: u64,
    count: usize,
}

enum What {
    Issues(Option<Status>),
    Processes,
}

const OPTIONS: Options =
    Options { known: &["STATUS", "PROCESSES", "CURSOR", "COUNT"], later: &["QUEUE", "DELAYED", "DEAD"] };

impl Read for Command {
    type Request<'a> = Request;

    const DOC: Doc = Doc {
        name: "POPPO.LIST",
        name_c: c"POPPO.LIST",
        since: "0.1.0",
        event: c"poppo.list",
        summary: "Lists issues or processes, a piece at a time.",
        complexity: "O(log N) where N is the number of rows, plus the number looked at: at most ten times COUNT",
        arity: -2,
        access: Access::Read,
        categories: c"read slow",
        args: &[
            Arg::one_of("what", None, &[Arg::option_text("status", "STATUS"), Arg::flag("processes", "PROCESSES")])
                .optional(),
            Arg::option_integer("cursor", "CURSOR").optional(),
            Arg::option_integer("count", "COUNT").optional(),
        ],
    };

    fn parse<'a>(args: &mut Args<'a>) -> Result<Request, Bad> {
        let (mut status, mut processes, mut cursor, mut most) = (None, false, 0, DEFAULT_COUNT);
        while let Some(option) = args.option(&OPTIONS)? {
            match option {
                "STATUS" => status = Some(args.value(option, Status::parse)?),
                "PROCESSES" => processes = true,
                "CURSOR" => cursor = args.value(option, |word| integer(word, 0, poppo_core::MAX_INTEGER))?,
                _ => most = args.value(option, count)?,
            }
        }
        let what = match (status, processes) {
            (Some(_), true) => return Err(Bad("STATUS and PROCESSES exclude each other".to_owned())),
            (status, false) => What::Issues(status),
            (None, true) => What::Processes,
        };
        Ok(Request { what, cursor, count: most })
    }

    fn answer<'p>(project: &'p Project, now: Now, request: &Request) -> Reply<'p> {
        match request.what {
            What::Issues(status) => page(project.list(now, status, request.cursor, request.count), |row| issue(&row)),
            What::Processes => page(project.list_processes(now, request.cursor, request.count), |row| process(&row)),
        }
    }

    fn absent(_now: Now, _request: &Request) -> Reply<'static> {
        page(Page { next: None, rows: Vec::new() }, |(): ()| Reply::Null)
    }
}

/// As SCAN answers: the cursor as a string.
fn page<'p, T>(page: Page<T>, row: impl Fn(T) -> Reply<'p>) -> Reply<'p> {
    let next = page.next.unwrap_or(0).to_string();
    Reply::Array(vec![next.into(), Reply::Array(page.rows.into_iter().map(row).collect())])
}

fn issue<'p>(record: &Record<'p>) -> Reply<'p> {
    let map = Map::default()
        .with("issue", record.issue.get())
        .with("status", record.status.as_str())
        .with("token", record.token)
        .with("process", record.process)
        .maybe("type", record.kind)
        .maybe("title", record.title)
        .with("startTime", record.started);
    match record.run {
        RunView::Held(holder) => {
            map.with("lastSeen", holder.last_seen).maybe("orphan", holder.orphan.map(|(reason, _)| reason.as_str()))
        }
        RunView::Ended { at, .. } => map.with("endTime", at),
    }
    .into()
}

fn process<'p>(process: &Process<'p>) -> Reply<'p> {
    let holder = &process.holder;
    Map::default()
        .with("process", process.process)
        .with("state", holder.orphan.map_or("alive", |(reason, _)| reason.as_str()))
        .maybe("incarnation", holder.incarnation)
        .maybe("pid", process.pid)
        .maybe("host", process.host)
        .maybe("tmux", holder.tmux)
        .with("issues", process.issues as u64)
        .with("ttl", holder.ttl)
        .with("lastSeen", holder.last_seen)
        .maybe("progress", holder.progress.map(|(text, _)| text))
        .maybe("progressTime", holder.progress.map(|(_, at)| at))
        .into()
}
