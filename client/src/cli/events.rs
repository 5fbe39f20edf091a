//! `poppo events`: EVENTS, once or for as long as somebody reads.

use poppo::{Block, Event, EventKind, Status};

use crate::cli::Context;
use crate::discover::Patience;
use crate::exit::Failure;
use crate::follow::Follower;
use crate::output::{self, Field, Lines, Output, Tone, status_tone};

/// How many events are asked for at a time: the most the server allows.
const EVENTS_PER_CALL: u32 = 10_000;

/// What the table shows of an event.
const HEADINGS: &[&str] = &["ID", "TIME", "ISSUE", "EVENT", "CHANGE", "PROCESS", "TOKEN", "TASK", "REASON"];

/// Show what happened to the project's issues, oldest first
///
/// Each change of an issue's status or of a task is an event: checkout, claim, takeover, checkin, repair, evict or forget of
/// an issue, enqueue, dead, cancel or revive of a task, import of either. With --follow it goes on with what happens next, until Ctrl-C, or until nobody reads its output any more. A server that goes away is
/// waited for; once it is back, the events go on where they ended.
///
/// The project keeps the last 10000 events, or as many as its setting events-kept says. Where events are gone before
/// they could be shown, a line says so (with --json, the event `trimmed` with the id of the last that is gone); so it
/// does where a server that crashed lost events that were shown already. Then `poppo list` shows how things stand.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Ctrl-C ends --follow as it ends `tail -f`: shells show that as exit code 130. Where
its reader goes away, the exit code is 0.

Example:
  $ poppo events --follow --since-now
  $ poppo events --after 1041 --count 10
  $ poppo events -f --json | jq --unbuffered -r 'select(.status == \"error\") | .issue'")]
pub(crate) struct Args {
    /// Go on with what happens next
    #[arg(short, long)]
    follow: bool,
    /// Only what came after the event with this id; 0 begins with the oldest that is kept
    #[arg(long, value_name = "ID", default_value_t = 0)]
    after: u64,
    /// Only what happens from now on
    #[arg(long, requires = "follow", conflicts_with = "after")]
    since_now: bool,
    /// End after so many events
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
}

pub(crate) async fn run(args: &Args, context: &Context) -> Result<(), Failure> {
    if args.follow {
        return tokio::select! {
            result = follow(args, context) => result,
            () = output::reader_is_gone() => Ok(()),
        };
    }
    let project = context.project().await?;
    let mut printer = Printer::new(context.out);
    let mut all = Vec::new();
    let mut limit = Limit(args.count);
    let mut after = args.after;
    while !limit.is_reached() {
        let mut events = project.events(after, Some(limit.next_call()), Block::No).await?;
        let Some(last) = events.last() else { break };
        after = last.id;
        limit.cut(&mut events);
        if context.out.json {
            all.append(&mut events);
        } else {
            printer.print(&events)?;
        }
    }
    if context.out.json {
        return Ok(context.out.document(&all)?);
    }
    Ok(printer.end("no events")?)
}

async fn follow(args: &Args, context: &Context) -> Result<(), Failure> {
    let (project, out) = (context.project_after(Patience::Endless).await?, context.out);
    let after = if args.since_now { project.newest_event().await? } else { args.after };
    let mut follower = Follower::after(project, after);
    let mut printer = Printer::new(out);
    let mut limit = Limit(args.count);
    while !limit.is_reached() {
        let mut events = follower.next().await?;
        limit.cut(&mut events);
        if out.json {
            for event in &events {
                out.json_line(event)?;
            }
        } else {
            printer.print(&events)?;
        }
    }
    Ok(())
}

/// How many events are still to be shown, where that is limited. What says that some are gone is none.
struct Limit(Option<u64>);

impl Limit {
    fn is_reached(&self) -> bool {
        self.0 == Some(0)
    }

    /// How many to ask for at once.
    fn next_call(&self) -> u32 {
        self.0.and_then(|left| u32::try_from(left).ok()).map_or(EVENTS_PER_CALL, |left| left.min(EVENTS_PER_CALL))
    }

    /// Keeps as many as may be shown.
    fn cut(&mut self, events: &mut Vec<Event>) {
        let Some(left) = &mut self.0 else { return };
        events.retain(|event| {
            let counts = event.event != EventKind::Trimmed;
            let shown = *left > 0;
            if counts && shown {
                *left -= 1;
            }
            shown
        });
    }
}

/// Events as people see them.
struct Printer {
    lines: Lines,
    out: Output,
    is_empty: bool,
}

impl Printer {
    fn new(out: Output) -> Self {
        Self { lines: Lines::new(HEADINGS, out), out, is_empty: true }
    }

    fn print(&mut self, events: &[Event]) -> std::io::Result<()> {
        for batch in
            events.chunk_by(|one, next| (one.event == EventKind::Trimmed) == (next.event == EventKind::Trimmed))
        {
            self.is_empty = false;
            match batch {
                [event, ..] if event.event == EventKind::Trimmed => {
                    for event in batch {
                        self.out.line(&self.out.paint(&remark(event.id), Tone::Warning))?;
                    }
                }
                _ => self.lines.print(&batch.iter().map(row).collect::<Vec<_>>())?,
            }
        }
        Ok(())
    }

    /// Says that there was nothing, where there was nothing.
    fn end(self, empty: &str) -> std::io::Result<()> {
        if self.is_empty { self.out.line(empty) } else { Ok(()) }
    }
}

fn remark(id: u64) -> String {
    match id {
        0 => "-- something was missed: the log began anew".to_owned(),
        id => format!("-- something was missed: not all events up to {id} are shown"),
    }
}

fn row(event: &Event) -> Vec<Field> {
    vec![
        Field::number(event.id),
        Field::toned(event.at.as_ref().map(ToString::to_string).unwrap_or_default(), Tone::Quiet),
        Field::number(event.issue.map(|issue| issue.to_string()).unwrap_or_default()),
        Field::from(event.event.as_str()),
        Field::toned(change(event), event.status.map_or(Tone::Quiet, status_tone)),
        Field::optional(event.process.as_ref()),
        Field::number(event.token.map(|token| token.to_string()).unwrap_or_default()),
        Field::optional(event.task.as_ref()),
        Field::optional(event.reason.as_ref()),
    ]
}

/// `processing → completed`; a dash for an issue that was unknown, or is since.
fn change(event: &Event) -> String {
    let word = |status: Option<Status>| status.map_or("-", Status::as_str);
    format!("{} → {}", word(event.from), word(event.status))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(id: u64) -> Event {
        let mut event = Event::trimmed(id);
        event.event = EventKind::Checkin;
        event
    }

    #[test]
    fn a_change_shows_what_was_and_what_is() {
        let mut event = event(1);
        event.status = Some(Status::Processing);
        assert_eq!(change(&event), "- → processing");
        event.from = Some(Status::Processing);
        event.status = Some(Status::AwaitingResponse);
        assert_eq!(change(&event), "processing → awaiting-response");
        event.status = None;
        assert_eq!(change(&event), "processing → -");
    }

    #[test]
    fn what_is_gone_does_not_count() {
        let mut limit = Limit(Some(2));
        let mut events = vec![Event::trimmed(4), event(5), event(6), event(7), Event::trimmed(8)];
        limit.cut(&mut events);
        assert_eq!(events.iter().map(|event| event.id).collect::<Vec<_>>(), [4, 5, 6]);
        assert!(limit.is_reached());
        let mut unlimited = Limit(None);
        let mut events = vec![event(1); 3];
        unlimited.cut(&mut events);
        assert_eq!(events.len(), 3);
        assert!(!unlimited.is_reached());
    }

    #[test]
    fn no_call_asks_for_more_than_the_server_allows() {
        assert_eq!(Limit(None).next_call(), 10_000);
        assert_eq!(Limit(Some(7)).next_call(), 7);
        assert_eq!(Limit(Some(u64::MAX)).next_call(), 10_000);
    }
}
