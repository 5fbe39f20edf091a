//! `POPPO.LIST`: see `docs/commands.md`.

use crate::{MAX_INTEGER, Now, Page, Process, Project, Record, RunView, Status, TaskState, TaskView, Tasks, integer};

use super::Read;
use super::args::{Args, Bad, DEFAULT_COUNT, Options, count};
use super::docs::{Access, Arg, Doc};
use super::reply::{Map, Reply};

/// See the module.
#[derive(Debug)]
pub struct Command;

/// What to list, from where, and how much.
#[derive(Debug)]
pub struct Request {
    what: What,
    cursor: u64,
    count: usize,
}

#[derive(Debug)]
enum What {
    Issues(Option<Status>),
    Tasks(Tasks),
    Processes,
}

const OPTIONS: Options = Options(&["STATUS", "QUEUE", "DELAYED", "DEAD", "PROCESSES", "CURSOR", "COUNT"]);

/// What can be listed, for `COMMAND DOCS`.
const WHAT: &[Arg] = &[
    Arg::option_text("status", "STATUS"),
    Arg::flag("queue", "QUEUE"),
    Arg::flag("delayed", "DELAYED"),
    Arg::flag("dead", "DEAD"),
    Arg::flag("processes", "PROCESSES"),
];

impl Read for Command {
    type Request<'a> = Request;

    const DOC: Doc = Doc {
        name: "POPPO.LIST",
        name_c: c"POPPO.LIST",
        since: "0.1.0",
        event: c"poppo.list",
        summary: "Lists issues, tasks or processes, a piece at a time.",
        complexity: "O(log N) where N is the number of rows, plus the number looked at: at most ten times COUNT",
        arity: -2,
        access: Access::Read,
        categories: c"read slow",
        args: &[
            Arg::one_of("what", None, WHAT).optional(),
            Arg::option_integer("cursor", "CURSOR").optional(),
            Arg::option_integer("count", "COUNT").optional(),
        ],
    };

    fn parse<'a>(args: &mut Args<'a, impl AsRef<[u8]>>) -> Result<Request, Bad> {
        let (mut what, mut cursor, mut most) = (None, 0, DEFAULT_COUNT);
        while let Some(option) = args.option(&OPTIONS)? {
            let chosen = match option {
                "CURSOR" => {
                    cursor = args.value(option, |word| integer(word, 0, MAX_INTEGER))?;
                    continue;
                }
                "COUNT" => {
                    most = args.value(option, count)?;
                    continue;
                }
                "STATUS" => What::Issues(Some(args.value(option, Status::parse)?)),
                "QUEUE" => What::Tasks(Tasks::Waiting),
                "DELAYED" => What::Tasks(Tasks::Delayed),
                "DEAD" => What::Tasks(Tasks::Dead),
                _ => What::Processes,
            };
            if what.replace(chosen).is_some() {
                return Err(Bad("STATUS, QUEUE, DELAYED, DEAD and PROCESSES exclude each other".to_owned()));
            }
        }
        Ok(Request { what: what.unwrap_or(What::Issues(None)), cursor, count: most })
    }

    fn answer<'p>(project: &'p Project, now: Now, request: &Request) -> Reply<'p> {
        match request.what {
            What::Issues(status) => page(project.list(now, status, request.cursor, request.count), |row| issue(&row)),
            What::Tasks(which) => page(project.list_tasks(now, which, request.cursor, request.count), |row| task(&row)),
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
        RunView::Held { holder, .. } => {
            map.with("lastSeen", holder.last_seen).maybe("orphan", holder.orphan.map(|(reason, _)| reason.as_str()))
        }
        RunView::Ended { at, .. } => map.with("endTime", at),
    }
    .into()
}

fn task<'p>(task: &TaskView<'p>) -> Reply<'p> {
    let map = Map::default()
        .with("task", task.id)
        .with("issue", task.issue.get())
        .with("type", task.kind)
        .with("priority", u64::from(task.priority.get()))
        .maybe("title", task.title)
        .with("attempts", u64::from(task.attempts))
        .with("orphanCount", u64::from(task.orphans));
    match task.state {
        TaskState::Waiting { since, held } => map.with("since", since).maybe("held", held.then_some(1)),
        TaskState::Delayed { due } => map.with("due", due),
        TaskState::Dead { at, reason } => map.with("deadTime", at).maybe("reason", reason),
        // Those are listed as their issues.
        TaskState::Running => map,
    }
    .maybe("payload", task.payload)
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
        .maybe("attestTime", process.attested)
        .maybe("progress", holder.progress.map(|(text, _)| text))
        .maybe("progressTime", holder.progress.map(|(_, at)| at))
        .into()
}
