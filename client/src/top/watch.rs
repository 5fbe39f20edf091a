//! Asking the server: everything once a second, and at once where an event says that something changed. A server that goes
//! away is asked until it is back.

use std::collections::VecDeque;
use std::time::{Duration, Instant, SystemTime};

use poppo::{Backoff, Block, Cursor, Error, Event, EventKind, Page, Project, Status, Task, TaskState, Timestamp};
use tokio::sync::mpsc::Sender;
use tokio::time::sleep;

use super::Update;
use super::snapshot::{self, Snapshot};

/// How long an event is waited for; without one, everything is asked anew, since time alone makes orphans.
const ROUND: Duration = Duration::from_secs(1);
/// The least time between two looks, so that a busy project does not keep its server busy with us.
const PAUSE: Duration = Duration::from_millis(150);
/// How many rows of each list are shown at most: more than anybody scrolls through, and little enough to ask each second.
const ROWS: u32 = 500;
/// How often a list is asked on for them; where few of many rows match, the rest is not looked for.
const PAGES: usize = 4;
/// How many events are shown.
const EVENTS: u32 = 200;

/// The end of the project's log, and how far it was read.
#[derive(Debug, Default)]
pub(super) struct Tail {
    events: VecDeque<Event>,
    last: u64,
    /// When the project came into being whose log this is; none where that is not known to be so any more.
    of: Option<Timestamp>,
}

impl Tail {
    /// Reads on. Where the log may be another one, its end is read anew.
    async fn read(&mut self, project: &Project, created: Option<&Timestamp>) -> Result<(), Error> {
        if created.is_none() || self.of.as_ref() != created {
            self.events.clear();
            self.last = project.newest_event().await?.saturating_sub(u64::from(EVENTS));
            self.of = created.cloned();
        }
        loop {
            let events = project.events(self.last, Some(1000), Block::No).await?;
            let Some(newest) = events.last() else { return Ok(()) };
            self.last = newest.id;
            for event in events.into_iter().filter(|event| event.event != EventKind::Trimmed) {
                self.events.push_front(event);
            }
            self.events.truncate(EVENTS as usize);
        }
    }

    /// A server that was away may have lost events that were read, and given their numbers to others.
    fn doubt(&mut self) {
        self.of = None;
    }
}

/// Tells whoever draws what the project is like, until nobody draws.
pub(super) async fn watch(project: Project, mut tail: Tail, sender: Sender<Update>) {
    let mut backoff = fresh();
    loop {
        let round = Block::AtMost(ROUND);
        let looked = match project.events(tail.last, Some(1), round).await {
            Ok(_) => gather(&project, &mut tail).await,
            Err(error) => Err(error),
        };
        let (update, pause) = match looked {
            Ok(snapshot) => {
                backoff = fresh();
                (Update::Seen(Box::new(snapshot)), PAUSE)
            }
            Err(error) => {
                tail.doubt();
                (Update::Away(error.to_string()), backoff.pause())
            }
        };
        if sender.send(update).await.is_err() {
            return;
        }
        sleep(pause).await;
    }
}

fn fresh() -> Backoff {
    Backoff::new(Duration::from_millis(200), ROUND)
}

/// Everything, as it is now.
pub(super) async fn gather(project: &Project, tail: &mut Tail) -> Result<Snapshot, Error> {
    let stats = project.stats().await?;
    let issues =
        pages(async |cursor: Option<Cursor>| project.list(Some(Status::Processing), cursor.as_ref(), Some(ROWS)).await)
            .await?;
    let processes = pages(async |cursor: Option<Cursor>| project.processes(cursor.as_ref(), Some(ROWS)).await).await?;
    let mut tasks = Vec::new();
    for state in [TaskState::Waiting, TaskState::Delayed, TaskState::Dead] {
        let mut rows: Vec<Task> =
            pages(async |cursor: Option<Cursor>| project.tasks(state, cursor.as_ref(), Some(ROWS)).await).await?;
        if state == TaskState::Waiting {
            // They come in the order in which they began to wait, which stays so among equals.
            rows.sort_by_key(|task| std::cmp::Reverse(task.priority));
        }
        tasks.extend(rows);
    }
    let orphans = project.orphans(Some(ROWS), None).await?;
    tail.read(project, stats.as_ref().map(|stats| &stats.created)).await?;
    Ok(Snapshot {
        stats,
        leases: snapshot::leases(issues, &processes),
        tasks,
        processes,
        orphans,
        events: tail.events.iter().cloned().collect(),
        // An ACL may withhold TIME.
        time: project.client().time().await.unwrap_or_else(|_| SystemTime::now()),
        taken: Instant::now(),
    })
}

/// The first rows of a list.
async fn pages<T>(mut ask: impl AsyncFnMut(Option<Cursor>) -> Result<Page<T>, Error>) -> Result<Vec<T>, Error> {
    let mut rows = Vec::new();
    let mut cursor = None;
    for _ in 0..PAGES {
        let page = ask(cursor).await?;
        rows.extend(page.rows);
        cursor = page.next;
        if cursor.is_none() || rows.len() >= ROWS as usize {
            break;
        }
    }
    rows.truncate(ROWS as usize);
    Ok(rows)
}
