//! A worker that claims tasks, works, beats and reports, and whose connection breaks whenever it is least welcome.
//!
//! It takes one step at a time, each at most one command, so that a process can live through them at its own pace, and
//! a test can let several workers take turns. What it knows it writes down: see [`crate::audit`].

use std::time::Duration;

use redis::Value;

use crate::audit::{Ledger, Note};
use crate::{Connection, Random, Reply as _};

/// A client whose connection breaks at random: before a command, behind it, or with the answer on its way.
pub struct Caller {
    port: u16,
    /// How many commands it takes until it breaks, on average; 0: it never does.
    breaks: usize,
    connection: Option<Connection>,
}

impl std::fmt::Debug for Caller {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "a client of port {}", self.port)
    }
}

impl Caller {
    /// To the server on this port; one command in `breaks` is not answered (0: all are, while there is a server).
    pub fn new(port: u16, breaks: usize) -> Self {
        Self { port, breaks, connection: None }
    }

    /// Whether there is a connection, or one can be made.
    fn connected(&mut self) -> Option<&mut Connection> {
        if self.connection.is_none() {
            self.connection = Connection::try_to(self.port).ok();
        }
        self.connection.as_mut()
    }

    /// The port of its server.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Breaks the connection.
    pub fn hang_up(&mut self) {
        self.connection = None;
    }

    /// The answer; none where it did not come, and nobody knows whether the command did.
    pub fn call(&mut self, random: &mut Random, words: &[&str]) -> Option<Value> {
        let breaks = self.breaks > 0 && random.one_in(self.breaks);
        let connection = self.connected()?;
        let answer = match if breaks { random.below(3) } else { 3 } {
            0 => None,
            1 => {
                let _sent = connection.try_send(words);
                None
            }
            2 => {
                let _lost = connection.try_call(words);
                None
            }
            _ => connection.try_call(words).ok(),
        };
        if answer.is_none() {
            self.hang_up();
        }
        // What is still loading, or was sent away while it waited, has decided nothing.
        let code = answer.as_ref().and_then(|answer| answer.error()).unwrap_or_default();
        answer.filter(|_| !["LOADING", "UNBLOCKED", "MASTERDOWN"].iter().any(|undecided| code.starts_with(undecided)))
    }
}

/// A lease, as a worker knows it.
#[derive(Debug, Clone)]
struct Lease {
    issue: i64,
    token: i64,
    task: Option<String>,
}

/// How a worker means to report.
#[derive(Debug, Clone)]
struct Report {
    status: &'static str,
    retry: Option<u64>,
    next: bool,
}

#[derive(Debug, Clone)]
enum State {
    Idle,
    /// It has asked, and does not know the answer.
    Claiming,
    /// The same for an issue by number.
    CheckingOut(i64),
    /// There are so many steps to be worked.
    Working(Lease, usize),
    Reporting(Lease, Report),
}

/// What a step came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// It went on.
    On,
    /// It worked.
    Worked,
    /// There was nothing to do.
    Idle,
    /// No answer came.
    Away,
}

/// See the module.
#[derive(Debug)]
pub struct Worker {
    caller: Caller,
    random: Random,
    ledger: Ledger,
    project: String,
    name: String,
    life: usize,
    pid: usize,
    state: State,
    /// A report that a life did not get rid of, kept where the next one finds it.
    spool: Option<(Lease, Report)>,
    request: usize,
    /// Up to which number it checks issues out that nobody gave it; 0: it does not.
    roams: i64,
    block: u64,
}

impl Worker {
    /// A worker of this name and life. It begins with nothing.
    pub fn new(caller: Caller, project: &str, name: &str, life: usize, seed: u64, ledger: Ledger) -> Self {
        let (project, name) = (project.to_owned(), name.to_owned());
        let (random, state) = (Random::new(seed), State::Idle);
        Self { caller, random, ledger, project, name, life, pid: 1, state, spool: None, request: 0, roams: 0, block: 0 }
    }

    /// For how long it waits in the server for a task.
    #[must_use]
    pub fn blocking(mut self, block: Duration) -> Self {
        self.block = block.as_millis() as u64;
        self
    }

    /// Has it check issues out that nobody gave it, up to a number; 0: no more.
    pub fn roam(&mut self, most: i64) {
        self.roams = most;
    }

    /// It dies, and is started again under its own name; all that it knew is gone, but its ledger and what it was about
    /// to report: that is sent some time.
    pub fn crash(&mut self) {
        if let State::Reporting(lease, report) = &self.state {
            self.spool = Some((lease.clone(), Report { next: false, ..report.clone() }));
        }
        self.caller.hang_up();
        self.life += 1;
        self.pid += 1;
        self.state = State::Idle;
    }

    /// Its name, PID and incarnation, as a host agent knows them.
    pub fn identity(&self) -> (String, String, String) {
        (self.name.clone(), self.pid.to_string(), self.incarnation())
    }

    /// What it noted.
    pub fn into_notes(self) -> Vec<Note> {
        self.ledger.into_notes()
    }

    fn incarnation(&self) -> String {
        format!("life-{}", self.life)
    }

    fn call(&mut self, words: &[&str]) -> Option<Value> {
        self.caller.call(&mut self.random, words)
    }

    /// Takes the next step.
    pub fn step(&mut self) -> Step {
        if self.random.one_in(6)
            && let Some((lease, report)) = self.spool.clone()
        {
            return self.send_spooled(&lease, &report);
        }
        match self.state.clone() {
            State::Idle if self.roams > 0 && self.random.one_in(12) => {
                let issue = 1 + self.random.below(self.roams as usize) as i64;
                self.state = State::CheckingOut(issue);
                self.check_out(issue)
            }
            State::Idle => {
                self.request += 1;
                self.state = State::Claiming;
                self.claim()
            }
            State::Claiming => self.claim(),
            State::CheckingOut(issue) => self.check_out(issue),
            State::Working(lease, 0) => self.finish(lease),
            State::Working(lease, left) => self.work(lease, left),
            State::Reporting(lease, report) => self.report(lease, report),
        }
    }

    fn claim(&mut self) -> Step {
        let (pid, incarnation, request) = (self.pid.to_string(), self.incarnation(), format!("r{}", self.request));
        let (project, name, block) = (self.project.clone(), self.name.clone(), self.block.to_string());
        let mut words = vec!["POPPO.CLAIM", &project, &name, "REQ", &request, "TTL", "1000"];
        words.extend(["HOST", "h", "PID", &pid, "INCARNATION", &incarnation]);
        if self.block > 0 {
            words.extend(["BLOCK", &block]);
        }
        // One of three is choosy, so that NEXT is, too.
        if self.request.is_multiple_of(3) {
            words.extend(["TYPES", "2", "fix", "issue"]);
        }
        let Some(answer) = self.call(&words) else { return Step::Away };
        assert_eq!(answer.error(), None, "{words:?}");
        self.given(&answer)
    }

    /// The lease in an answer, or nothing.
    fn given(&mut self, answer: &Value) -> Step {
        if matches!(answer, Value::Nil) {
            self.state = State::Idle;
            return Step::Idle;
        }
        let lease =
            Lease { issue: answer.count("issue"), token: answer.count("token"), task: Some(answer.field("task")) };
        self.begin(lease, answer.count("attempts"))
    }

    fn begin(&mut self, lease: Lease, attempts: i64) -> Step {
        let Lease { issue, token, task } = lease.clone();
        self.ledger.note(Note::Granted { process: self.name.clone(), issue, token, task, attempts });
        self.state = State::Working(lease, self.random.below(4));
        Step::On
    }

    fn check_out(&mut self, issue: i64) -> Step {
        let (pid, incarnation, number) = (self.pid.to_string(), self.incarnation(), issue.to_string());
        let (project, name) = (self.project.clone(), self.name.clone());
        let mut words = vec!["POPPO.CHECKOUT", &project, &number, &name, "TYPE", "fix", "TTL", "1000"];
        words.extend(["HOST", "h", "PID", &pid, "INCARNATION", &incarnation]);
        if issue % 2 == 0 {
            words.push("TAKEOVER");
        }
        let Some(answer) = self.call(&words) else { return Step::Away };
        if let Value::Int(token) = answer {
            // Which task it is, if any, a checkout does not say.
            return self.begin(Lease { issue, token, task: None }, 0);
        }
        let error = answer.error().unwrap_or_default();
        assert!(error.starts_with("HELD"), "{words:?}: {error}");
        self.state = State::Idle;
        Step::On
    }

    /// Works for a while, and mostly beats.
    fn work(&mut self, lease: Lease, left: usize) -> Step {
        self.state = State::Working(lease.clone(), left - 1);
        if self.random.one_in(3) {
            return Step::Worked;
        }
        let (project, name, incarnation) = (self.project.clone(), self.name.clone(), self.incarnation());
        let Some(beat) = self.call(&["POPPO.HEARTBEAT", &project, &name, "INCARNATION", &incarnation]) else {
            return Step::Away;
        };
        let lost = match beat.error() {
            Some(error) => {
                assert!(error.starts_with("NOPROC"), "{error}");
                true
            }
            None => {
                let held = beat.get("issues").expect("a beat's issues").rows().iter();
                let held: Vec<(i64, i64)> =
                    held.map(|pair| (pair.rows()[0].number(), pair.rows()[1].number())).collect();
                let own = (lease.issue, lease.token);
                for (_, token) in held.iter().filter(|pair| **pair != own) {
                    self.ledger.note(Note::Stray { process: self.name.clone(), token: *token });
                }
                !held.contains(&own)
            }
        };
        if lost {
            // Half of them do not listen, and report what is not theirs any more.
            if self.random.one_in(2) {
                self.state = State::Idle;
            }
            return Step::Worked;
        }
        let cancelled = beat.get("cancel").expect("a beat's cancellations").rows().iter();
        if cancelled.map(|issue| issue.number()).any(|issue| issue == lease.issue) && self.random.below(3) > 0 {
            let next = self.random.one_in(2);
            self.state = State::Reporting(lease, Report { status: "cancelled", retry: None, next });
        }
        Step::Worked
    }

    /// Does the work, and decides how it ended.
    fn finish(&mut self, lease: Lease) -> Step {
        let Lease { issue, token, task } = lease.clone();
        let next = self.random.one_in(2);
        let retry = |random: &mut Random| Some([0, 0, 30, 150][random.below(4)]);
        let (status, retry) = match self.random.below(100) {
            0..60 => ("completed", None),
            60..67 => ("awaiting-response", None),
            67..72 => ("error", None),
            72..75 => ("cancelled", None),
            _ => ("error", retry(&mut self.random)),
        };
        self.ledger.note(Note::Did { issue, token, task });
        self.state = State::Reporting(lease, Report { status, retry, next });
        Step::Worked
    }

    /// Sends what an earlier life wanted to say. Whether that is still welcome its token tells.
    fn send_spooled(&mut self, lease: &Lease, report: &Report) -> Step {
        match self.check_in(lease, report, None) {
            Some(_) => self.spool = None,
            None => return Step::Away,
        }
        Step::On
    }

    fn report(&mut self, lease: Lease, report: Report) -> Step {
        let incarnation = self.incarnation();
        let Some(answer) = self.check_in(&lease, &report, Some(&incarnation)) else { return Step::Away };
        self.state = State::Idle;
        if report.next {
            self.request += 1;
        }
        match answer {
            Value::Array(both) if report.next => drop(self.given(&both[1])),
            // An earlier try, of which the answer was lost, may have claimed one: only its REQ tells.
            Value::ServerError(_) if report.next => self.state = State::Claiming,
            _ => {}
        }
        Step::On
    }

    fn check_in(&mut self, lease: &Lease, report: &Report, incarnation: Option<&str>) -> Option<Value> {
        self.caller.connected()?;
        let Lease { issue, token, .. } = *lease;
        let Report { status, retry, next } = *report;
        self.ledger.note(Note::Asked { issue, token, status: status.to_owned(), retry });
        let (project, name) = (self.project.clone(), self.name.clone());
        let (number, text, delay) = (issue.to_string(), token.to_string(), retry.map(|delay| delay.to_string()));
        let request = format!("r{}", self.request + 1);
        let mut words = vec!["POPPO.CHECKIN", &project, &number, &name, "STATUS", status, "TOKEN", &text];
        words.extend(incarnation.into_iter().flat_map(|incarnation| ["INCARNATION", incarnation]));
        words.extend(delay.iter().flat_map(|delay| ["RETRY", delay]));
        if next {
            words.extend(["NEXT", "REQ", &request]);
        }
        let answer = self.call(&words)?;
        let code = answer.error().map(|error| error.split(' ').next().unwrap_or_default().to_owned());
        self.ledger.note(Note::Told { issue, token, answer: code.unwrap_or_else(|| "OK".to_owned()) });
        Some(answer)
    }
}
