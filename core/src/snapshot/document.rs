//! A project as a document for people: the same records as in [pieces](Project::pieces), names and words spelled out.
//!
//! It has the version of the encoding, which whoever keeps the document writes beside it. What is null may be left out.

use serde::{Deserialize, Serialize, Serializer};
use serde_json::Value;

use super::{
    Corrupt, DeadRow, EndedRow, EventRow, FinishedRow, HeadRow, IssueRow, LifeClaims, LifeRow, Rows, RunRow, TaskRow,
    WaitingRow, WorkingRow, finished_rows,
};
use crate::project::Project;

/// Why a document is not a project.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// It has not the form of one.
    #[error("{place}: {message}")]
    Form {
        /// Which part of it.
        place: String,
        /// What is wrong there.
        message: String,
    },
    /// Something in it contradicts the rest or is out of range.
    #[error(transparent)]
    Corrupt(#[from] Corrupt),
}

/// A project as it is written.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Document<'a> {
    head: HeadRow,
    lives: Vec<LifeRow<'a, &'a str>>,
    issues: Vec<IssueRow<'a, &'a str>>,
    tasks: Vec<WaitingRow<'a, &'a str>>,
    dead: Vec<DeadRow<'a, &'a str>>,
    finished: Vec<FinishedRow<'a>>,
    /// The number of the first event that is kept; later ones count on.
    first_event: u64,
    events: Vec<EventRow<'a, &'a str>>,
}

/// What a document has, in order.
const PARTS: [&str; 8] = ["head", "lives", "issues", "tasks", "dead", "finished", "firstEvent", "events"];

/// For formats that people can read.
impl Serialize for Project {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let document = Document {
            head: self.head_row(),
            lives: spelled(self.lives_rows(self.lives.iter().collect())),
            issues: spelled(self.issues_rows(self.issues.iter().map(|(number, issue)| (number, &**issue)).collect())),
            tasks: spelled(self.tasks_rows(self.queue.tasks.iter().map(|(number, task)| (number, &**task)).collect())),
            dead: spelled(self.dead_rows(self.queue.dead.iter().map(|(number, dead)| (number, &**dead)).collect())),
            finished: finished_rows(self.queue.finished.iter().map(|(number, finished)| (number, finished)).collect()),
            first_event: self.log.before() + 1,
            events: spelled(self.events_rows(self.log.iter().map(|entry| (&(), entry)).collect())),
        };
        document.serialize(serializer)
    }
}

impl Project {
    /// Reads a project that was written as a document of the version [`VERSION`](super::VERSION). Nothing in it is
    /// trusted: it is checked as a snapshot is.
    ///
    /// # Errors
    /// [`Unreadable`].
    pub fn from_document(document: &Value) -> Result<Self, Unreadable> {
        let form = |place: &str, message: String| Unreadable::Form { place: place.to_owned(), message };
        let parts = document.as_object().ok_or_else(|| form("the project", "is not an object".to_owned()))?;
        if let Some(unknown) = parts.keys().find(|part| !PARTS.contains(&part.as_str())) {
            return Err(form(unknown, format!("there is no such part: there are {}", PARTS.join(", "))));
        }
        let part = |name: &'static str| parts.get(name).ok_or_else(|| form(name, "is missing".to_owned()));
        let head = HeadRow::deserialize(part("head")?).map_err(|error| form("head", error.to_string()))?;
        let mut project = Self::load_head(head)?;
        project.load_lives(&numbered(rows::<LifeRow<'_, &str>>("lives", part("lives")?)?))?;
        project.load_issues(&numbered(rows::<IssueRow<'_, &str>>("issues", part("issues")?)?))?;
        project.load_tasks(&numbered(rows::<WaitingRow<'_, &str>>("tasks", part("tasks")?)?))?;
        project.load_dead(&numbered(rows::<DeadRow<'_, &str>>("dead", part("dead")?)?))?;
        project.load_finished(&rows::<FinishedRow<'_>>("finished", part("finished")?)?)?;
        let first = part("firstEvent")?;
        let first = first.as_u64().ok_or_else(|| form("firstEvent", "is not a number".to_owned()))?;
        let events: Vec<EventRow<'_, &str>> = rows("events", part("events")?)?;
        if !events.is_empty() {
            project.load_events(first, &numbered(events))?;
        } else if first != project.head.last_event + 1 {
            return Err(Corrupt::Value("the number of the first event").into());
        }
        Ok(project)
    }
}

/// The records of a part.
fn rows<'a, T: Deserialize<'a>>(part: &'static str, value: &'a Value) -> Result<Vec<T>, Unreadable> {
    let form = |place: String, message: String| Unreadable::Form { place, message };
    let rows = value.as_array().ok_or_else(|| form(part.to_owned(), "is not a list".to_owned()))?;
    let row = |(at, row)| {
        T::deserialize(row).map_err(|error: serde_json::Error| form(format!("{part}[{at}]"), error.to_string()))
    };
    rows.iter().enumerate().map(row).collect()
}

/// A record that means names in one way or another.
pub(super) trait Named<'a, N> {
    /// The same record with names meant otherwise.
    type With<M>;

    /// Says the names otherwise.
    fn rename<M>(self, say: &mut impl FnMut(N) -> M) -> Self::With<M>;
}

/// Records with their names spelled out.
pub(super) fn spelled<'a, T: Named<'a, u32>>(rows: Rows<'a, T>) -> Vec<T::With<&'a str>> {
    let Rows { names, rows } = rows;
    // The table was made with the rows, so every number has its name.
    let mut say = |number: u32| names.get(number as usize).copied().unwrap_or_default();
    rows.into_iter().map(|row| row.rename(&mut say)).collect()
}

/// Records with their names in a table.
pub(super) fn numbered<'a, T: Named<'a, &'a str>>(rows: Vec<T>) -> Rows<'a, T::With<u32>> {
    let mut numbers = std::collections::BTreeMap::new();
    let mut names = Vec::new();
    let mut say = |name: &'a str| {
        *numbers.entry(name).or_insert_with(|| {
            names.push(name);
            names.len() as u32 - 1
        })
    };
    let rows = rows.into_iter().map(|row| row.rename(&mut say)).collect();
    Rows { names, rows }
}

impl<'a, N> Named<'a, N> for LifeRow<'a, N> {
    type With<M> = LifeRow<'a, M>;

    fn rename<M>(self, say: &mut impl FnMut(N) -> M) -> LifeRow<'a, M> {
        let Self { id, process, incarnation, pid, host, tmux, ttl, seen, progress, standing, claims } = self;
        let (process, host) = (say(process), host.map(&mut *say));
        let claims = LifeClaims { kinds: claims.kinds.into_iter().map(say).collect(), request: claims.request };
        LifeRow { id, process, incarnation, pid, host, tmux, ttl, seen, progress, standing, claims }
    }
}

impl<'a, N> Named<'a, N> for IssueRow<'a, N> {
    type With<M> = IssueRow<'a, M>;

    fn rename<M>(self, say: &mut impl FnMut(N) -> M) -> IssueRow<'a, M> {
        let Self { number, token, started, completed, title, kind, run, version, behind } = self;
        let (kind, run) = (kind.map(&mut *say), run.rename(say));
        IssueRow { number, token, started, completed, title, kind, run, version, behind }
    }
}

impl<'a, N> RunRow<'a, N> {
    fn rename<M>(self, say: &mut impl FnMut(N) -> M) -> RunRow<'a, M> {
        match self {
            Self::Held(life) => RunRow::Held(life),
            Self::Working(WorkingRow { life, task, asked, follows }) => {
                let task = task.map(|task| task.rename(say));
                RunRow::Working(WorkingRow { life, task, asked, follows })
            }
            Self::Ended(ended) => {
                let EndedRow { end, at, by, outcome, aftermath, next, process, pid, host, reason, result, metadata } =
                    ended;
                let (process, host) = (say(process), host.map(say));
                let ended =
                    EndedRow { end, at, by, outcome, aftermath, next, process, pid, host, reason, result, metadata };
                RunRow::Ended(ended)
            }
        }
    }
}

impl<'a, N> TaskRow<'a, N> {
    fn rename<M>(self, say: &mut impl FnMut(N) -> M) -> TaskRow<'a, M> {
        let Self { id, kind, priority, attempts, orphans, turn, title, payload, again } = self;
        TaskRow { id, kind: say(kind), priority, attempts, orphans, turn, title, payload, again }
    }
}

impl<'a, N> Named<'a, N> for WaitingRow<'a, N> {
    type With<M> = WaitingRow<'a, M>;

    fn rename<M>(self, say: &mut impl FnMut(N) -> M) -> WaitingRow<'a, M> {
        let Self { number, delayed, issue, task } = self;
        WaitingRow { number, delayed, issue, task: task.rename(say) }
    }
}

impl<'a, N> Named<'a, N> for DeadRow<'a, N> {
    type With<M> = DeadRow<'a, M>;

    fn rename<M>(self, say: &mut impl FnMut(N) -> M) -> DeadRow<'a, M> {
        let Self { number, issue, at, reason, task } = self;
        DeadRow { number, issue, at, reason, task: task.rename(say) }
    }
}

impl<'a, N> Named<'a, N> for EventRow<'a, N> {
    type With<M> = EventRow<'a, M>;

    fn rename<M>(self, say: &mut impl FnMut(N) -> M) -> EventRow<'a, M> {
        let Self { issue, token, at, process, kind, task, what, status, from, reason } = self;
        let (process, kind) = (process.map(&mut *say), kind.map(say));
        EventRow { issue, token, at, process, kind, task, what, status, from, reason }
    }
}
