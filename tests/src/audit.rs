//! Was any task lost or done twice? Decided from what was written down, not from what the server thinks it knows.
//!
//! Three things are compared. The project's own **log** is read by a small machine (`Book`) that knows what may happen
//! to a task and to a lease, and nothing of how the module does it. Workers and operators keep **notes** of what they
//! asked and what they were told ([`Note`]). And the project's lists and counts, in one transaction with the log, are its
//! **picture**: it must show what the log says, whatever was killed and restarted before.
//!
//! Nothing here stops at the first thing that is wrong: all of it is reported.

mod book;
mod note;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use redis::Value;

pub use self::book::Event;
use self::book::{Book, Ended, Place};
pub use self::note::{Ledger, Note, read_notes};
use crate::{Connection, Reply as _};

/// How many events one answer holds, and how many answers are asked for.
const PAGE: usize = 10_000;
const PAGES: usize = 5;

/// A project at one moment: its log from the beginning, and its lists.
#[derive(Debug)]
pub struct Picture {
    project: String,
    events: Vec<Event>,
    waiting: Vec<String>,
    dead: Vec<String>,
    held: Vec<(i64, i64)>,
    stats: Value,
}

/// What happened, counted: a chaos in which nothing happened proves nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Census {
    /// Tasks that ever were.
    pub tasks: usize,
    /// Those that ended by being finished, dead, or called off.
    pub finished: usize,
    /// See above.
    pub dead: usize,
    /// See above.
    pub dropped: usize,
    /// Leases.
    pub leases: usize,
    /// Leases ended by others than their holders.
    pub taken: usize,
    /// Check-ins that were refused.
    pub stale: usize,
    /// Commands of which somebody does not know whether they were carried out.
    pub unsure: usize,
    /// Events.
    pub events: usize,
}

impl std::ops::AddAssign for Census {
    fn add_assign(&mut self, other: Self) {
        self.tasks += other.tasks;
        self.finished += other.finished;
        self.dead += other.dead;
        self.dropped += other.dropped;
        self.leases += other.leases;
        self.taken += other.taken;
        self.stale += other.stale;
        self.unsure += other.unsure;
        self.events += other.events;
    }
}

/// All that is wrong.
#[derive(Debug, Default)]
pub struct Findings(Vec<String>);

impl Findings {
    fn add(&mut self, finding: impl Into<String>) {
        self.0.push(finding.into());
    }

    /// Each finding, in words.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }

    fn unless(&mut self, holds: bool, finding: impl FnOnce() -> String) {
        if !holds {
            self.0.push(finding());
        }
    }
}

impl fmt::Display for Findings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} findings:", self.0.len())?;
        self.0.iter().take(40).try_for_each(|finding| writeln!(f, "- {finding}"))
    }
}

impl Picture {
    /// Takes the picture in one transaction. Everything ever logged must still be kept.
    pub fn take(connection: &mut Connection, project: &str) -> std::io::Result<Self> {
        let mut lines = vec!["MULTI".to_owned()];
        lines.extend((0..PAGES).map(|page| format!("POPPO.EVENTS {project} AFTER {} COUNT {PAGE}", page * PAGE)));
        for list in ["QUEUE", "DELAYED", "QUEUE", "DEAD", "STATUS processing"] {
            lines.push(format!("POPPO.LIST {project} {list} COUNT {PAGE}"));
        }
        lines.push(format!("POPPO.STATS {project}"));
        for line in lines {
            connection.try_call(&crate::transcript::split(&line))?;
        }
        let answers = connection.try_call(&["EXEC"])?;
        if let Some(error) = answers.error() {
            return Err(std::io::Error::other(error));
        }
        let (pages, rest) = answers.rows().split_at(PAGES);
        assert!(pages[PAGES - 1].rows().is_empty(), "the log is longer than this can read");
        let rows = |list: usize| {
            let [cursor, rows] = rest[list].rows() else { panic!("LIST answers a cursor and rows") };
            assert_eq!(cursor.text().as_deref(), Some("0"), "a list is longer than this can read");
            rows.rows()
        };
        let ids = |list: usize| rows(list).iter().map(|task| task.field("task"));
        let mut waiting: Vec<String> = ids(0).chain(ids(1)).collect();
        // Time passes within a transaction, too: what fell due between the first two is in the third alone.
        let fell_due: Vec<String> = ids(2).filter(|id| !waiting.contains(id)).collect();
        waiting.extend(fell_due);
        Ok(Self {
            project: project.to_owned(),
            events: pages.iter().flat_map(|page| page.rows()).map(Event::read).collect(),
            waiting,
            dead: ids(3).collect(),
            held: rows(4).iter().map(|issue| (issue.count("issue"), issue.count("token"))).collect(),
            stats: rest[5].clone(),
        })
    }

    /// Whether no task waits or is worked on.
    pub fn is_quiet(&self) -> bool {
        self.waiting.is_empty() && self.held.is_empty()
    }

    /// The ids of the tasks that were finished, with their issues.
    pub fn finished(&self) -> Vec<(i64, String)> {
        let (book, _) = self.read();
        let finished = book.tasks.iter().filter(|(_, task)| task.place == Place::Finished);
        finished.map(|(id, task)| (task.issue, id.clone())).collect()
    }

    /// The events, one a line, those that `about` is for.
    pub fn tell(&self, about: impl Fn(&Event) -> bool) -> String {
        self.events.iter().filter(|event| about(event)).map(|event| format!("{event:?}\n")).collect()
    }

    fn read(&self) -> (Book, Findings) {
        let (mut book, mut findings) = (Book::default(), Findings::default());
        self.events.iter().for_each(|event| book.enter(event, &mut findings));
        (book, findings)
    }

    /// Whether the log makes sense and the lists say the same, in the midst of things.
    pub fn audit(&self) -> Result<Census, Findings> {
        let (book, mut findings) = self.read();
        self.compare(&book, &mut findings);
        done(self.census(&book, &[]), findings)
    }

    /// The same when all is over, and with all that anybody noted.
    pub fn audit_end(&self, notes: &[Note]) -> Result<Census, Findings> {
        let (book, mut findings) = self.read();
        self.compare(&book, &mut findings);
        for (id, task) in &book.tasks {
            let over = matches!(task.place, Place::Finished | Place::Dead | Place::Dropped);
            findings.unless(over, || format!("task {id} has not ended: it is {:?}", task.place));
        }
        for (issue, lease) in &book.leases {
            findings.add(format!("the lease {} of issue {issue} has not ended", lease.token));
        }
        check_notes(&book, notes, &mut findings);
        done(self.census(&book, notes), findings)
    }

    fn census(&self, book: &Book, notes: &[Note]) -> Census {
        let count = |place: Place| book.tasks.values().filter(|task| task.place == place).count();
        let told = |wanted: fn(&str) -> bool| {
            let told = notes.iter().filter(|note| matches!(note, Note::Told { answer, .. } if wanted(answer)));
            told.count()
        };
        let asked = notes.iter().filter(|note| matches!(note, Note::Asked { .. })).count();
        let unanswered = notes.iter().filter(|note| matches!(note, Note::Enqueue { answer: None, .. })).count();
        Census {
            tasks: book.tasks.len(),
            finished: count(Place::Finished),
            dead: count(Place::Dead),
            dropped: count(Place::Dropped),
            leases: book.granted.len(),
            taken: book.ended.values().filter(|ended| ended.what != "checkin").count(),
            stale: told(|answer| answer != "OK"),
            unsure: asked - told(|_| true) + unanswered,
            events: self.events.len(),
        }
    }

    /// Compares the lists and counts with what the log says.
    fn compare(&self, book: &Book, findings: &mut Findings) {
        let project = &self.project;
        let at = |place: fn(Place) -> bool| -> BTreeSet<&String> {
            book.tasks.iter().filter(|(_, task)| place(task.place)).map(|(id, _)| id).collect()
        };
        let lists = [
            ("QUEUE and DELAYED", &self.waiting, at(|place| place == Place::Waiting)),
            ("DEAD", &self.dead, at(|place| place == Place::Dead)),
        ];
        for (name, listed, logged) in lists {
            let unique: BTreeSet<&String> = listed.iter().collect();
            findings.unless(unique.len() == listed.len(), || format!("{project}: {name} has a task twice: {listed:?}"));
            for id in unique.symmetric_difference(&logged) {
                let task = book.tasks.get(*id).map(|task| task.place);
                findings.add(format!("{project}: {name} and the log disagree on {id}, which is {task:?} by the log"));
            }
        }
        let held: BTreeSet<(i64, i64)> = self.held.iter().copied().collect();
        let logged: BTreeSet<(i64, i64)> = book.leases.iter().map(|(issue, lease)| (*issue, lease.token)).collect();
        findings.unless(held == logged, || format!("{project}: held are {held:?}, by the log {logged:?}"));
        if matches!(self.stats, Value::Nil) {
            findings.unless(self.events.is_empty(), || format!("{project} is gone"));
            return;
        }
        let running = book.leases.values().filter(|lease| lease.task.is_some()).count();
        let mut expected = book.totals.clone();
        expected.insert("queue.running", running as i64);
        expected.insert("queue.dead", self.dead.len() as i64);
        expected.insert("issues.processing", logged.len() as i64);
        for (path, count) in &expected {
            let said = self.stats.count(path);
            findings.unless(said == *count, || format!("{project}: STATS says {path} {said}, the log {count}"));
        }
        let waiting = self.stats.count("queue.waiting") + self.stats.count("queue.delayed");
        findings.unless(waiting == self.waiting.len() as i64, || format!("{project}: STATS says {waiting} wait"));
        let repairs: i64 =
            ["expired", "dead", "replaced"].iter().map(|why| self.stats.count(&format!("repairs.{why}"))).sum();
        findings.unless(repairs == book.repairs, || format!("{project}: STATS says {repairs} repairs"));
    }
}

fn done(census: Census, findings: Findings) -> Result<Census, Findings> {
    if findings.0.is_empty() { Ok(census) } else { Err(findings) }
}

/// What everybody was told must be in the log, and what was refused must not.
fn check_notes(book: &Book, notes: &[Note], findings: &mut Findings) {
    let mut asked: BTreeMap<i64, Vec<(&str, Option<u64>)>> = BTreeMap::new();
    let mut told: BTreeMap<i64, Vec<&str>> = BTreeMap::new();
    let mut did: BTreeSet<i64> = BTreeSet::new();
    let mut enqueued: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    for note in notes {
        match note {
            Note::Enqueue { task, answer, .. } => {
                let (ones, unsure) = enqueued.entry(task).or_default();
                *ones += usize::from(*answer == Some(true));
                *unsure += usize::from(answer.is_none());
            }
            Note::Granted { process, issue, token, task, attempts } => match book.granted.get(token) {
                None => findings.add(format!("{process} was granted {token}, and no event says so")),
                Some(granted) => {
                    let same = granted.issue == *issue && granted.process == *process && fits(task, &granted.task);
                    findings.unless(same, || format!("{note:?}, but the log says {granted:?}"));
                    let runs = granted.attempts;
                    findings.unless(task.is_none() || runs == *attempts, || format!("{note:?} after {runs} failures"));
                }
            },
            Note::Did { issue, token, task } => {
                did.insert(*token);
                let granted = book.granted.get(token);
                let granted = granted.filter(|granted| granted.issue == *issue && fits(task, &granted.task));
                findings.unless(granted.is_some(), || format!("{note:?}, which was not granted"));
            }
            Note::Asked { token, status, retry, .. } => asked.entry(*token).or_default().push((status, *retry)),
            Note::Told { token, answer, .. } => told.entry(*token).or_default().push(answer),
            // Each of these has one lease at a time, and repeats what is not answered until it is.
            Note::Stray { process, token } => {
                findings.add(format!("{process} was given {token} beside the lease that it knew of: a task lies idle"));
            }
            Note::Ended { token, what, answer } => {
                let ended = book.ended.get(token);
                // Asked again after the tasks of the issue were called off, it answers what the issue is since.
                let is = |status: &str| status == answer || status == "queued" && answer == "cancelled";
                let same = ended.is_some_and(|ended| ended.what == *what && is(&ended.status));
                findings.unless(same, || format!("{note:?}, but the log says {ended:?}"));
            }
        }
    }
    for (task, (ones, unsure)) in enqueued {
        let logged = book.tasks.get(task).map_or(0, |task| task.enqueued);
        let fits = (ones..=ones + unsure).contains(&logged);
        findings.unless(fits, || format!("{task} was queued {ones} times, perhaps {unsure} more; by the log {logged}"));
    }
    for (token, answers) in &told {
        let requests = asked.get(token).map(Vec::as_slice).unwrap_or_default();
        let ended = book.ended.get(token);
        let by_holder = ended.filter(|ended| ended.what == "checkin");
        for answer in answers {
            match *answer {
                "OK" => {
                    let fits = by_holder.is_some_and(|ended| requests.iter().any(|request| may_be(ended, *request)));
                    findings.unless(fits, || format!("{token} was checked in as {requests:?}, the log says {ended:?}"));
                }
                // Where an answer was lost before, that one may have been an OK.
                _ if requests.len() > answers.len() => {}
                "STALE" | "HELD" | "NOTHELD" => {
                    let refused = answers.contains(&"OK") || by_holder.is_none();
                    findings.unless(refused, || format!("{token} was refused as {answer}, the log says {ended:?}"));
                }
                other => findings.add(format!("a check-in of {token} was answered {other}")),
            }
        }
    }
    for (token, ended) in book.ended.iter().filter(|(_, ended)| ended.what == "checkin") {
        if ended.status == "completed" || ended.status == "awaiting-response" {
            findings.unless(did.contains(token), || format!("{token} was finished before anybody did its work"));
        }
        let granted = book.granted.get(token);
        // The command of the client keeps no notes; only its jobs do.
        if granted.is_some_and(|granted| !granted.process.starts_with("poppo")) {
            let requests = asked.get(token).map(Vec::as_slice).unwrap_or_default();
            let fits = requests.iter().any(|request| may_be(ended, *request));
            findings.unless(fits, || format!("{token} was asked to be checked in as {requests:?}, it was {ended:?}"));
        }
        let retry = asked.get(token).into_iter().flatten().find_map(|(_, retry)| *retry);
        if let (Some(delay), Some(claimed)) = (retry.filter(|_| ended.status == "queued"), ended.claimed_again) {
            let early = claimed.saturating_add(1) < ended.at + delay;
            findings.unless(!early, || format!("{token} was to wait for {delay} ms, and was claimed before"));
        }
    }
    for note in notes {
        if let Note::Enqueue { task, delay, answer: Some(true) } = note
            && let Some(task) = book.tasks.get(task).filter(|task| task.enqueued == 1)
            && let Some(claimed) = task.first_claimed
        {
            let early = claimed.saturating_add(1) < task.queued_at + delay;
            findings.unless(!early, || format!("{note:?}, and was claimed before it was due"));
        }
    }
}

/// Whether a task is the one that somebody noted; who checks an issue out is not told of it.
fn fits(noted: &Option<String>, task: &Option<String>) -> bool {
    noted.is_none() || noted == task
}

/// Whether a lease that was asked to end so may have ended so.
fn may_be(ended: &Ended, (status, retry): (&str, Option<u64>)) -> bool {
    match (status, retry) {
        // Dead after too many attempts; dropped where somebody had called it off.
        ("error", Some(_)) => ["queued", "error", "cancelled"].contains(&ended.status.as_str()),
        _ => ended.status == status,
    }
}

#[cfg(test)]
mod tests;
