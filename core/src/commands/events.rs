//! `POPPO.EVENTS`: see `docs/commands.md`.

use crate::{Event, Millis, Project, integer};

use super::Follow;
use super::args::{Args, Bad, DEFAULT_COUNT, Options, block, count};
use super::docs::{Access, Arg, Doc};
use super::reply::{Map, Reply};

/// See the module.
#[derive(Debug)]
pub struct Command;

/// From where, how much, and whether to wait.
#[derive(Debug)]
pub struct Request {
    after: u64,
    count: usize,
    block: Option<Millis>,
}

/// After so many bytes of reasons an answer is cut off; the reader goes on behind the last event that it got.
const TEXT_PER_ANSWER: usize = 1024 * 1024;

const OPTIONS: Options = Options(&["AFTER", "COUNT", "BLOCK"]);

impl Follow for Command {
    type Request<'a> = Request;

    const DOC: Doc = Doc {
        name: "POPPO.EVENTS",
        name_c: c"POPPO.EVENTS",
        since: "0.2.0",
        event: c"poppo.events",
        summary: "Reads the project's log from an event on, or waits for the next one.",
        complexity: "O(n) of the events answered, plus O(K / 256) where K is how many are kept",
        arity: -4,
        access: Access::Read,
        categories: c"read slow blocking",
        args: &[
            Arg::option_integer("id", "AFTER"),
            Arg::option_integer("count", "COUNT").optional(),
            Arg::option_integer("milliseconds", "BLOCK").optional(),
        ],
    };

    fn parse<'a>(args: &mut Args<'a, impl AsRef<[u8]>>) -> Result<Request, Bad> {
        let (mut after, mut most, mut wait) = (None, DEFAULT_COUNT, None);
        while let Some(option) = args.option(&OPTIONS)? {
            match option {
                "AFTER" => after = Some(args.value(option, |word| integer(word, 0, crate::MAX_INTEGER))?),
                "COUNT" => most = args.value(option, count)?,
                _ => wait = Some(args.value(option, block)?),
            }
        }
        let after = after.ok_or_else(|| Bad("AFTER is missing".to_owned()))?;
        Ok(Request { after, count: most, block: wait })
    }

    fn block(request: &Request) -> Option<Millis> {
        request.block
    }

    fn answer<'p>(project: &'p Project, request: &Request) -> Vec<Reply<'p>> {
        let events = project.events(request.after);
        let trimmed = events.trimmed.map(|id| Map::default().with("id", id).with("event", "trimmed").into());
        let mut text = 0;
        let fits = |event: &Event<'p>| {
            let fits = text <= TEXT_PER_ANSWER;
            text += event.reason.map_or(0, str::len);
            fits
        };
        trimmed.into_iter().chain(events.events.take(request.count).take_while(fits).map(row)).collect()
    }
}

fn row(event: Event<'_>) -> Reply<'_> {
    Map::default()
        .with("id", event.id)
        .with("event", event.what.as_str())
        .with("issue", event.issue.get())
        .maybe("process", event.process)
        .maybe("token", event.token)
        .maybe("task", event.task)
        .maybe("status", event.status.map(|status| status.as_str()))
        .maybe("from", event.from.map(|status| status.as_str()))
        .maybe("type", event.kind)
        .maybe("reason", event.reason)
        .with("at", event.at)
        .into()
}
