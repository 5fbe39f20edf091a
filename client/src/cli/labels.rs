//! `poppo labels`: LABELS and LABELLED, for whoever keeps the issues' labels true.

use std::collections::BTreeMap;

use poppo::{Block, Event, EventKind, IssueNumber, Unlabelled};

use crate::cli::Context;
use crate::discover::Patience;
use crate::exit::{Failure, USAGE};
use crate::follow::Follower;
use crate::output::{self, Field, Lines, Table};

/// What the table shows of an issue.
const HEADINGS: &[&str] = &["ISSUE", "STATUS", "VERSION"];

/// List the issues whose labels are behind their status, longest behind first
///
/// Set the labels, then confirm the version that they show. Where the status changed meanwhile, the version is not the
/// current one any more: the issue stays listed, so that no change is lost, whoever crashes.
///
/// With --follow it goes on with each issue whose status changes, until Ctrl-C or until nobody reads its output any
/// more. What was listed and never confirmed is listed again by the next `poppo labels`.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Ctrl-C ends --follow as it ends `tail -f`: shells show that as exit code 130. Where
its reader goes away, the exit code is 0.

Example:
  $ poppo labels -f --json | jq --unbuffered -r '\"\\(.issue) \\(.status) \\(.version)\"' |
      while read issue status version; do
        ./set-label.sh $issue $status && poppo labels --confirm $issue $version
      done")]
pub(crate) struct Args {
    /// Go on with each issue whose status changes
    #[arg(short, long)]
    follow: bool,
    /// How many at most: 1 to 10000
    #[arg(
        long,
        value_name = "N",
        default_value_t = 100,
        conflicts_with = "follow",
        value_parser = clap::value_parser!(u32).range(1..=10_000)
    )]
    count: u32,
    /// Confirm that the issue's labels show this version of its status
    #[arg(long, num_args = 2, value_names = ["ISSUE", "VERSION"], conflicts_with_all = ["follow", "count"])]
    confirm: Option<Vec<u64>>,
}

pub(crate) async fn run(args: &Args, context: &Context) -> Result<(), Failure> {
    if let Some(words) = &args.confirm {
        return confirm(words, context).await;
    }
    if args.follow {
        return tokio::select! {
            result = follow(context) => result,
            () = output::reader_is_gone() => Ok(()),
        };
    }
    let project = context.project().await?;
    let rows = project.unlabelled(Some(args.count), Block::No).await?;
    if context.out.json {
        return Ok(context.out.document(&rows)?);
    }
    let mut table = Table::new(HEADINGS);
    for row in &rows {
        table.row(fields(row));
    }
    Ok(context.out.table(&table, "all labels are confirmed")?)
}

async fn confirm(words: &[u64], context: &Context) -> Result<(), Failure> {
    let [issue, version] = *words else {
        return Err(Failure::new(USAGE, "USAGE", "--confirm takes an issue and a version"));
    };
    let issue = IssueNumber::try_from(issue)
        .map_err(|error| Failure::new(USAGE, "USAGE", format!("the issue of --confirm {error}")))?;
    let confirmed = context.project().await?.labelled(issue, version).await?;
    let document = serde_json::json!({ "issue": issue, "version": version, "confirmed": confirmed });
    let sentence = if confirmed {
        format!("the labels of issue {issue} are confirmed")
    } else {
        format!(
            "nothing to confirm: version {version} of issue {issue} is not the current one, or was confirmed before"
        )
    };
    Ok(context.out.say(&document, &sentence)?)
}

/// The outbox itself cannot be waited on while anything in it is unconfirmed. But each change of a status is an event,
/// whose id is the version, so the log tells what comes into the outbox.
async fn follow(context: &Context) -> Result<(), Failure> {
    let (project, out) = (context.project_after(Patience::Endless).await?, context.out);
    // Before the listing, so that nothing falls between the two.
    let newest = project.newest_event().await?;
    let mut follower = Follower::after(project, newest);
    let mut lines = Lines::new(HEADINGS, out);
    let mut rows = follower.unlabelled().await?;
    loop {
        if out.json {
            for row in &rows {
                out.json_line(row)?;
            }
        } else {
            lines.print(&rows.iter().map(|row| fields(row).to_vec()).collect::<Vec<_>>())?;
        }
        let events = follower.next().await?;
        let missed = events.iter().any(|event| event.event == EventKind::Trimmed);
        rows = latest(if missed { follower.unlabelled().await? } else { Vec::new() }, &events);
    }
}

/// Of what was listed and what happened: the latest of each issue, longest behind first.
fn latest(listed: Vec<Unlabelled>, events: &[Event]) -> Vec<Unlabelled> {
    let mut rows: BTreeMap<IssueNumber, Unlabelled> = listed.into_iter().map(|row| (row.issue, row)).collect();
    for event in events {
        let Some(issue) = event.issue else { continue };
        if is_of_a_task_only(event) {
            continue;
        }
        if rows.get(&issue).is_some_and(|row| row.version >= event.id) {
            continue;
        }
        match event.status {
            Some(status) => drop(rows.insert(issue, Unlabelled { issue, status, version: event.id })),
            None => drop(rows.remove(&issue)),
        }
    }
    let mut rows: Vec<Unlabelled> = rows.into_values().collect();
    rows.sort_by_key(|row| row.version);
    rows
}

/// Whether the event changed a task and left its issue what it was: then it gave the status no new version.
fn is_of_a_task_only(event: &Event) -> bool {
    let of_a_task = [EventKind::Enqueue, EventKind::Dead, EventKind::Cancel, EventKind::Revive];
    let is_of_a_task = of_a_task.contains(&event.event) || (event.event == EventKind::Import && event.token.is_none());
    is_of_a_task && event.status == event.from
}

fn fields(row: &Unlabelled) -> [Field; 3] {
    [Field::number(row.issue), Field::status(row.status), Field::number(row.version)]
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use poppo::Status;

    use super::*;

    fn event(id: u64, issue: u64, status: Option<Status>) -> Event {
        let mut event = Event::trimmed(id);
        event.event = EventKind::Checkin;
        event.issue = IssueNumber::try_from(issue).ok();
        event.status = status;
        event
    }

    fn row(issue: u64, status: Status, version: u64) -> Unlabelled {
        Unlabelled { issue: IssueNumber::try_from(issue).unwrap(), status, version }
    }

    #[test]
    fn many_changes_of_one_issue_are_one_row_and_a_forgotten_one_is_none() {
        let events = [
            event(5, 9, Some(Status::Processing)),
            event(6, 1, Some(Status::Processing)),
            event(7, 9, Some(Status::Error)),
            event(8, 2, Some(Status::Processing)),
            event(9, 2, None),
        ];
        assert_eq!(latest(Vec::new(), &events), [row(1, Status::Processing, 6), row(9, Status::Error, 7)]);
    }

    #[test]
    fn what_happens_to_a_task_alone_is_no_new_version() {
        let mut queued = event(6, 9, Some(Status::Error));
        queued.event = EventKind::Enqueue;
        queued.from = Some(Status::Error);
        let events = [event(5, 9, Some(Status::Error)), queued];
        assert_eq!(latest(Vec::new(), &events), [row(9, Status::Error, 5)]);
    }

    #[test]
    fn a_listing_that_is_newer_than_an_event_counts() {
        let listed = vec![row(3, Status::Error, 4), row(9, Status::Completed, 8)];
        let events = [Event::trimmed(6), event(7, 9, Some(Status::Processing))];
        assert_eq!(latest(listed.clone(), &events), listed);
    }
}
