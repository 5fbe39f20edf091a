//! What a log says happened, and whether that may be.

use std::collections::BTreeMap;

use redis::Value;

use super::Findings;
use crate::Reply as _;

/// An event as `POPPO.EVENTS` shows it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Event {
    /// Its number.
    pub id: i64,
    /// What happened.
    pub what: String,
    /// To which issue.
    pub issue: i64,
    /// Of the lease.
    pub process: Option<String>,
    /// Of the lease.
    pub token: Option<i64>,
    /// The task's id.
    pub task: Option<String>,
    /// What the issue is since.
    pub status: Option<String>,
    /// The type.
    pub kind: Option<String>,
    /// When, in ms.
    pub at: u64,
}

impl Event {
    /// Reads a row of an answer.
    pub fn read(row: &Value) -> Self {
        let text = |field: &str| row.get(field).and_then(|value| value.text());
        let at = text("at").and_then(|at| humantime::parse_rfc3339(&at).ok());
        let at = at.and_then(|at| at.duration_since(std::time::UNIX_EPOCH).ok());
        Self {
            id: row.count("id"),
            what: row.field("event"),
            issue: row.get("issue").map_or(0, |issue| issue.number()),
            process: text("process"),
            token: row.get("token").map(|token| token.number()),
            task: text("task"),
            status: text("status"),
            kind: text("type"),
            at: at.map_or(0, |at| at.as_millis() as u64),
        }
    }
}

/// Where a task is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// Also those that are not due.
    Waiting,
    /// Under this token.
    Running(i64),
    /// Between the end of its lease and its death: the next event must say so.
    Dying,
    Dead,
    Finished,
    /// Called off.
    Dropped,
}

#[derive(Debug)]
pub(super) struct Task {
    pub(super) issue: i64,
    pub(super) place: Place,
    /// Runs that failed, since it was queued or revived.
    pub(super) attempts: i64,
    /// How often it was queued by hand.
    pub(super) enqueued: usize,
    pub(super) queued_at: u64,
    /// When somebody got it for the first time.
    pub(super) first_claimed: Option<u64>,
    /// The lease whose end brought it back.
    came_back: Option<i64>,
}

#[derive(Debug)]
pub(super) struct Lease {
    pub(super) token: i64,
    pub(super) task: Option<String>,
    asked: bool,
}

/// What a token was given for.
#[derive(Debug)]
pub(super) struct Granted {
    pub(super) issue: i64,
    pub(super) process: String,
    pub(super) task: Option<String>,
    pub(super) attempts: i64,
}

/// How a lease ended.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) what: String,
    pub(super) status: String,
    pub(super) at: u64,
    /// When its task was claimed again.
    pub(super) claimed_again: Option<u64>,
}

/// What `STATS` counts and the log tells.
const TOTALS: [&str; 11] = [
    "checkouts",
    "takeovers",
    "evictions",
    "tasks.enqueued",
    "tasks.claimed",
    "tasks.finished",
    "tasks.retried",
    "tasks.requeued",
    "tasks.cancelled",
    "tasks.dead",
    "tasks.revived",
];

/// Everything that a log said, as far as it was read.
#[derive(Debug)]
pub(super) struct Book {
    pub(super) tasks: BTreeMap<String, Task>,
    /// By issue: so an issue has one at most.
    pub(super) leases: BTreeMap<i64, Lease>,
    /// By token, all that ever were.
    pub(super) granted: BTreeMap<i64, Granted>,
    pub(super) ended: BTreeMap<i64, Ended>,
    /// As `STATS` calls them.
    pub(super) totals: BTreeMap<&'static str, i64>,
    pub(super) repairs: i64,
    last: i64,
    dying: Option<String>,
}

impl Default for Book {
    fn default() -> Self {
        Self {
            tasks: BTreeMap::new(),
            leases: BTreeMap::new(),
            granted: BTreeMap::new(),
            ended: BTreeMap::new(),
            totals: TOTALS.iter().map(|name| (*name, 0)).collect(),
            repairs: 0,
            last: 0,
            dying: None,
        }
    }
}

impl Book {
    /// Reads the next event.
    pub(super) fn enter(&mut self, event: &Event, findings: &mut Findings) {
        let last = self.last;
        findings.unless(event.id == last + 1, || format!("event {} follows event {last}", event.id));
        self.last = event.id;
        if let Some(task) = self.dying.take()
            && (event.what != "dead" || event.task.as_ref() != Some(&task))
        {
            findings.add(format!("{task} failed for good, and {event:?} is what follows"));
        }
        match event.what.as_str() {
            "enqueue" => self.enqueue(event, findings),
            "claim" | "checkout" | "takeover" => self.grant(event, findings),
            "checkin" | "repair" | "evict" => self.end(event, findings),
            "dead" => self.step(event, findings, |place| place == Place::Dying, Place::Dead, "tasks.dead"),
            "revive" => {
                self.step(event, findings, |place| place == Place::Dead, Place::Waiting, "tasks.revived");
                if let Some(task) = event.task.as_ref().and_then(|id| self.tasks.get_mut(id)) {
                    task.attempts = 0;
                }
            }
            "cancel" if event.token.is_some() => match self.leases.get_mut(&event.issue) {
                Some(lease) if event.token == Some(lease.token) => lease.asked = true,
                _ => findings.add(format!("nobody holds what was called off: {event:?}")),
            },
            "cancel" => {
                self.step(event, findings, |place| place == Place::Waiting, Place::Dropped, "tasks.cancelled");
            }
            _ => findings.add(format!("an event that nobody expected: {event:?}")),
        }
    }

    fn count(&mut self, what: &'static str) {
        *self.totals.entry(what).or_default() += 1;
    }

    fn enqueue(&mut self, event: &Event, findings: &mut Findings) {
        let Some(id) = event.task.clone() else { return findings.add(format!("no task: {event:?}")) };
        self.count("tasks.enqueued");
        let before = self.tasks.get(&id);
        let gone = before.is_none_or(|task| task.place == Place::Dropped);
        findings.unless(gone, || format!("{id} was queued while {:?}", before.map(|task| task.place)));
        let enqueued = before.map_or(0, |task| task.enqueued) + 1;
        let task = Task { enqueued, ..Task::waiting(event) };
        self.tasks.insert(id, task);
    }

    fn grant(&mut self, event: &Event, findings: &mut Findings) {
        let (Some(token), Some(process)) = (event.token, event.process.clone()) else {
            return findings.add(format!("no token or no process: {event:?}"));
        };
        let newest = self.granted.last_key_value().map_or(0, |(token, _)| *token);
        findings.unless(token > newest, || format!("tokens must rise: {token} after {newest}"));
        self.count("checkouts");
        let before = self.leases.remove(&event.issue);
        let (mut inherited, mut asked) = (None, false);
        match (event.what.as_str(), before) {
            ("takeover", Some(lease)) => {
                self.count("takeovers");
                self.repairs += 1;
                let (what, status) = ("takeover".to_owned(), "processing".to_owned());
                self.ended.insert(lease.token, Ended { what, status, at: event.at, claimed_again: None });
                (inherited, asked) = (lease.task, lease.asked);
            }
            ("takeover", None) => findings.add(format!("taken from nobody: {event:?}")),
            (_, Some(lease)) => findings.add(format!("two leases at a time, {} and {token}: {event:?}", lease.token)),
            (_, None) => {}
        }
        if event.what == "claim" {
            self.count("tasks.claimed");
            findings.unless(event.task.is_some(), || format!("a claim without a task: {event:?}"));
        }
        if let Some(id) = &event.task {
            match self.tasks.get_mut(id) {
                None => findings.add(format!("{id} was given out, but never queued")),
                Some(task) => {
                    let own = task.issue == event.issue;
                    let is_there = task.place == Place::Waiting || inherited.as_ref() == Some(id);
                    findings.unless(own && is_there, || format!("{event:?}, but it is {:?}", task.place));
                    task.place = Place::Running(token);
                    // Who checks an issue out takes its task along, due or not.
                    task.first_claimed.get_or_insert(if event.what == "claim" { event.at } else { u64::MAX });
                    if let Some(ended) = task.came_back.take().and_then(|token| self.ended.get_mut(&token)) {
                        ended.claimed_again = (event.what == "claim").then_some(event.at);
                    }
                }
            }
        } else {
            let named = format!("{}:{}", event.issue, event.kind.as_deref().unwrap_or("issue"));
            let own = self.tasks.get(&named).filter(|task| task.issue == event.issue);
            let waits = own.is_some_and(|task| task.place == Place::Waiting);
            findings.unless(!waits, || format!("{named} should belong to the lease of {event:?}"));
            findings.unless(inherited.is_none(), || format!("{inherited:?} was lost by {event:?}"));
        }
        let attempts = event.task.as_ref().and_then(|id| self.tasks.get(id)).map_or(0, |task| task.attempts);
        let task = event.task.clone();
        self.leases.insert(event.issue, Lease { token, task: task.clone(), asked });
        self.granted.insert(token, Granted { issue: event.issue, process, task, attempts });
    }

    fn end(&mut self, event: &Event, findings: &mut Findings) {
        let status = event.status.clone().unwrap_or_default();
        let lease = match self.leases.get(&event.issue) {
            Some(lease) if event.token == Some(lease.token) => self.leases.remove(&event.issue),
            _ => None,
        };
        let Some(lease) = lease else {
            return findings.add(format!("ended what was not held, or not any more: {event:?}"));
        };
        let by_holder = event.what == "checkin";
        match event.what.as_str() {
            "repair" => self.repairs += 1,
            "evict" => self.count("evictions"),
            _ => {}
        }
        let ended = Ended { what: event.what.clone(), status: status.clone(), at: event.at, claimed_again: None };
        self.ended.insert(lease.token, ended);
        if let Some(id) = &lease.task {
            findings.unless(event.task.as_ref() == Some(id), || format!("{id} was lost by {event:?}"));
        }
        let comes_back = status == "queued";
        findings.unless(!(comes_back && lease.asked), || format!("what was called off came back: {event:?}"));
        let Some(id) = event.task.clone() else {
            // No task, or one of that id waits already.
            let there = !comes_back || self.tasks.values().any(|t| t.issue == event.issue && t.place == Place::Waiting);
            return findings.unless(there, || format!("queued, but nothing waits: {event:?}"));
        };
        let task = self.tasks.entry(id.clone()).or_insert_with(|| Task::waiting(event));
        match (&lease.task, task.place) {
            (Some(_), Place::Running(token)) if token == lease.token => {}
            // A lease without a task gets one when it comes back: a new one, or its dead one.
            (None, Place::Dead) => task.attempts = 0,
            (None, Place::Finished | Place::Dropped) => {
                // What was said when it was queued by hand does not hold for this one.
                (task.attempts, task.first_claimed) = (0, Some(u64::MAX));
            }
            (None, Place::Waiting) if task.enqueued == 0 => {}
            (_, place) => findings.add(format!("{event:?}, but its task is {place:?}")),
        }
        task.attempts += i64::from(by_holder && ["queued", "error"].contains(&status.as_str()));
        let total = match (status.as_str(), by_holder) {
            ("completed" | "awaiting-response", true) => {
                task.place = Place::Finished;
                "tasks.finished"
            }
            ("cancelled", _) if by_holder || lease.asked => {
                task.place = Place::Dropped;
                "tasks.cancelled"
            }
            ("queued", _) => {
                task.place = Place::Waiting;
                task.came_back = Some(lease.token);
                if by_holder { "tasks.retried" } else { "tasks.requeued" }
            }
            ("error", _) | ("awaiting-response", false) => {
                task.place = Place::Dying;
                self.dying = Some(id);
                return;
            }
            _ => return findings.add(format!("no lease ends so: {event:?}")),
        };
        self.count(total);
    }

    /// A task goes from one place to another.
    fn step(
        &mut self,
        event: &Event,
        findings: &mut Findings,
        from: fn(Place) -> bool,
        to: Place,
        total: &'static str,
    ) {
        self.count(total);
        match event.task.as_ref().and_then(|id| self.tasks.get_mut(id)) {
            Some(task) if from(task.place) && task.issue == event.issue => {
                task.place = to;
                task.came_back = None;
            }
            Some(task) => findings.add(format!("{event:?}, but it is {:?}", task.place)),
            None => findings.add(format!("of a task that was never queued: {event:?}")),
        }
    }
}

impl Task {
    fn waiting(event: &Event) -> Self {
        Self {
            issue: event.issue,
            place: Place::Waiting,
            attempts: 0,
            enqueued: 0,
            queued_at: event.at,
            first_claimed: None,
            came_back: None,
        }
    }
}
