//! All files of a project, written under other names.
//!
//! An export tells of issues before it tells of what is finished, so issues go to their file as they come. What waits or is
//! finished is kept until the end, since a task may be told of twice where somebody works meanwhile: what is told later holds.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io;
use std::path::{Path, PathBuf};

use poppo::Project;
use serde_json::Value;
use serde_json::value::RawValue;

use super::forms::{Running, Status, base, comment_of, is_known_type, level, pending};
use super::lines::{Ended, Entry, Finished, Holder, Issue, Run, Task, Waiting, type_of};
use super::lost::{Losses, Lost, What};
use super::sheet::{Shape, Sheet, Writing};
use crate::exit::{FAILED, Failure};
use crate::moving::unified::Values;
use crate::poppobuilder::files::{
    ISSUE_STATUS, JSON, PENDING_TASKS, PROCESSED_COMMENTS, PROCESSED_ISSUES, RUNNING_TASKS, UNIFIED,
};

/// How many entries are asked for at a time.
const ENTRIES_PER_CALL: u32 = 1_000;

/// Why there is no draft.
#[derive(Debug)]
pub(crate) enum Fault {
    /// What the server, or the file, said.
    Project(poppo::Error),
    /// Where it is to be written, and what the system said.
    Disk(PathBuf, io::Error),
    /// A line that cannot be understood.
    Line(serde_json::Error),
    /// There is no such project.
    Unknown(String),
}

impl From<poppo::Error> for Fault {
    fn from(error: poppo::Error) -> Self {
        Self::Project(error)
    }
}

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Project(error) => error.into(),
            Fault::Disk(path, error) => Self::failed(format!("{}: {error}", path.display())),
            Fault::Line(error) => Self::failed(format!("the server's export cannot be understood: {error}")),
            Fault::Unknown(message) => Self::new(FAILED, "UNKNOWN", message),
        }
    }
}

/// All files of a project. Dropped, it leaves nothing behind.
#[derive(Debug)]
pub(crate) struct Draft {
    /// In the order in which they are to get their names: what is done is said before what waited for it goes.
    pub(crate) sheets: Vec<Sheet>,
    /// What they have no place for.
    pub(crate) lost: Vec<Lost>,
    /// Whether somebody works.
    pub(crate) is_live: bool,
}

/// Refuses a project that there is not.
pub(crate) async fn find(project: &Project) -> Result<(), Fault> {
    let piece = project.export(None, Some(1)).await?;
    if piece.lines.is_empty() { Err(unknown(project)) } else { Ok(()) }
}

fn unknown(project: &Project) -> Fault {
    Fault::Unknown(format!("there is no project {} at {}", project.key(), project.client().url()))
}

impl Draft {
    /// Reads the project, and writes its files into this folder. Calls back with how many entries came.
    pub(crate) async fn read(project: &Project, folder: &Path, came: impl Fn(usize)) -> Result<Self, Fault> {
        let disk = |error| Fault::Disk(folder.to_owned(), error);
        let mut sorting = Sorting::begin(folder).map_err(disk)?;
        let mut cursor = None;
        loop {
            let piece = project.export(cursor.as_ref(), Some(ENTRIES_PER_CALL)).await?;
            if cursor.is_none() && piece.lines.is_empty() {
                return Err(unknown(project));
            }
            for line in [&piece.header].into_iter().chain(&piece.lines) {
                sorting.take(serde_json::from_str(line).map_err(Fault::Line)?).map_err(disk)?;
            }
            came(piece.lines.len());
            cursor = match piece.next {
                Some(next) => Some(next),
                None => return sorting.end(folder).map_err(disk),
            };
        }
    }

    /// Adds these namespaces of the project's free state; one that has nothing is a file that has nothing.
    pub(crate) async fn add_free_state(
        &mut self,
        project: &Project,
        folder: &Path,
        namespaces: &BTreeSet<String>,
    ) -> Result<(), Fault> {
        let disk = |error| Fault::Disk(folder.to_owned(), error);
        let (mut sheets, mut losses) = (Vec::new(), Losses::default());
        for namespace in namespaces {
            let state = project.state(namespace)?;
            let mut values = Values::of(&state).await?;
            let mut writing = Writing::begin(folder, Shape::Map).map_err(disk)?;
            while let Some((name, text)) = values.next().await? {
                match serde_json::from_str::<&RawValue>(&text) {
                    Ok(value) => writing.entry(Some(&name), value).map_err(disk)?,
                    Err(_) => losses.add(What::FreeState, || format!("{namespace} {name}")),
                }
            }
            sheets.push(writing.end(&format!("{UNIFIED}{namespace}{JSON}")).map_err(disk)?);
        }
        // Nothing waits for them, so they are there before anything that may.
        self.sheets.splice(0..0, sheets);
        self.lost.extend(losses.list());
        Ok(())
    }
}

/// A task that waits, as it is to be written.
#[derive(Debug)]
struct Turn {
    /// More urgent ones are first there, and then those that came first.
    place: (Reverse<u16>, u64),
    entry: Value,
}

/// What has come so far.
#[derive(Debug)]
struct Sorting {
    /// When it was asked for.
    at: String,
    status: Writing,
    running: BTreeMap<u64, (String, Value)>,
    processed: Vec<u64>,
    /// Those in it.
    known: BTreeSet<u64>,
    comments: BTreeMap<u64, Vec<String>>,
    /// By id.
    waiting: HashMap<String, Turn>,
    turns: u64,
    losses: Losses,
}

impl Sorting {
    fn begin(folder: &Path) -> io::Result<Self> {
        Ok(Self {
            at: String::new(),
            status: Writing::begin(folder, Shape::Issues)?,
            running: BTreeMap::new(),
            processed: Vec::new(),
            known: BTreeSet::new(),
            comments: BTreeMap::new(),
            waiting: HashMap::new(),
            turns: 0,
            losses: Losses::default(),
        })
    }

    fn take(&mut self, entry: Entry) -> io::Result<()> {
        match entry {
            Entry::Export(header) => self.at = header.at.unwrap_or_default(),
            Entry::Project(head) => {
                for (name, value) in head.settings {
                    self.losses.add(What::Settings, || format!("{name} {value}"));
                }
            }
            Entry::Task(waiting) => self.wait(&waiting),
            Entry::Issue(issue) => return self.issue(&issue),
            Entry::Dead(Waiting { task, .. }) => {
                self.waiting.remove(&task.id);
                self.losses.add(What::DeadTasks, || task.id);
            }
            Entry::Finished(finished) => self.finish(finished),
        }
        Ok(())
    }

    fn wait(&mut self, waiting: &Waiting) {
        let task = &waiting.task;
        self.turns += 1;
        let turn = Turn { place: (Reverse(task.priority), self.turns), entry: pending(waiting) };
        if self.waiting.insert(task.id.clone(), turn).is_some() {
            return;
        }
        self.lose_of(task);
        if level(task.priority) != task.priority {
            self.losses.add(What::Priorities, || format!("{} {}", task.id, task.priority));
        }
        if task.turn > self.at {
            self.losses.add(What::Delays, || format!("{} until {}", task.id, task.turn));
        }
        if task.payload.is_some() && base(task.payload.as_deref()).is_none() {
            self.losses.add(What::Payloads, || task.id.clone());
        }
    }

    /// What there is no place for, of a task that waits or runs.
    fn lose_of(&mut self, task: &Task) {
        if !is_known_type(&task.kind) {
            self.losses.add(What::TaskTypes, || format!("{} {}", task.id, task.kind));
        }
        if task.orphans > 0 {
            self.losses.add(What::Orphans, || format!("{} {}", task.id, task.orphans));
        }
    }

    fn issue(&mut self, issue: &Issue) -> io::Result<()> {
        let number = issue.number;
        match &issue.run {
            Run::Held(holder) => self.run(issue, holder, None)?,
            Run::Working(working) => {
                if working.asked.is_some() {
                    self.losses.add(What::StopRequests, || number.to_string());
                }
                self.run(issue, &working.life, working.task.as_ref())?;
            }
            Run::Ended(ended) => {
                let Ended { process, host, .. } = &**ended;
                if let Some(host) = host {
                    self.losses.add(What::Workers, || format!("{number} {process} on {host}"));
                }
            }
        }
        self.losses.add(What::Tokens, || number.to_string());
        if issue.behind {
            self.losses.add(What::Labels, || number.to_string());
        }
        self.status.entry(Some(&number.to_string()), &Status::of(issue))
    }

    fn run(&mut self, issue: &Issue, holder: &Holder, task: Option<&Task>) -> io::Result<()> {
        if holder.host.is_some() || holder.progress.is_some() {
            self.losses.add(What::Holders, || format!("{} {}", issue.number, holder.process));
        }
        if let Some(task) = task {
            self.waiting.remove(&task.id);
            self.lose_of(task);
        }
        let (name, running) = Running::of(issue, holder, task);
        self.running.insert(issue.number, (name, serde_json::to_value(running)?));
        Ok(())
    }

    fn finish(&mut self, finished: Finished) {
        let Finished { issue, id, again } = finished;
        if again != Some(true) {
            self.waiting.remove(&id);
        }
        match type_of(issue, &id) {
            None => self.comments.entry(issue).or_default().push(comment_of(&id).to_owned()),
            Some(kind) => {
                if !is_known_type(kind) {
                    self.losses.add(What::FinishedTypes, || id.clone());
                }
                if self.known.insert(issue) {
                    self.processed.push(issue);
                }
            }
        }
    }

    fn end(self, folder: &Path) -> io::Result<Draft> {
        let is_live = !self.running.is_empty();
        let mut processed = Writing::begin(folder, Shape::List)?;
        self.processed.iter().try_for_each(|issue| processed.entry(None, issue))?;
        let mut comments = Writing::begin(folder, Shape::Map)?;
        self.comments.iter().try_for_each(|(issue, ids)| comments.entry(Some(&issue.to_string()), ids))?;
        let mut running = Writing::begin(folder, Shape::Map)?;
        self.running.values().try_for_each(|(name, task)| running.entry(Some(name), task))?;
        let mut turns: Vec<Turn> = self.waiting.into_values().collect();
        turns.sort_by_key(|turn| turn.place);
        let mut waiting = Writing::begin(folder, Shape::List)?;
        turns.iter().try_for_each(|turn| waiting.entry(None, &turn.entry))?;
        let sheets = vec![
            processed.end(PROCESSED_ISSUES)?,
            comments.end(PROCESSED_COMMENTS)?,
            self.status.end(ISSUE_STATUS)?,
            running.end(RUNNING_TASKS)?,
            waiting.end(PENDING_TASKS)?,
        ];
        Ok(Draft { sheets, lost: self.losses.list(), is_live })
    }
}
