//! One task: the command that does it, and how it is checked in.

use std::convert::Infallible;
use std::fs;
use std::io;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use poppo::{Checkin, Claimed, IssueNumber, Lease, Outcome, Status, Token};
use rustix::process::Signal;
use tokio::process::Child;
use tokio::sync::watch;
use tokio::time::Instant;

use super::files::Files;
use super::report::{Done, Fate};
use super::{Phase, Shift, lock};
use crate::exit::{Failure, LOST, NOT_STARTED};
use crate::lease;
use crate::supervise::{self, Ending, Stopping};

/// How far the worker is, as one of its tasks is told.
struct Phases(watch::Receiver<Phase>);

impl Stopping for Phases {
    /// Comes back when what runs is to end: once for each time that the worker is told so.
    async fn stopped(&mut self) -> Signal {
        loop {
            if self.0.changed().await.is_err() {
                // Nobody is left to say so.
                std::future::pending::<()>().await;
            }
            if let Phase::Stopping(signal) = *self.0.borrow_and_update() {
                return signal;
            }
        }
    }
}

/// What is to be told of a task that ended, before it was told.
struct Verdict {
    report: Checkin,
    fate: Fate,
    exit: Option<i32>,
}

impl Shift {
    /// What the worker has done with each task.
    pub(super) async fn perform(&self, lease: Lease) -> Result<(), Infallible> {
        // Each lease of a worker has one.
        let Some(task) = lease.task().cloned() else { return Ok(()) };
        let start = Instant::now();
        lock(&self.tally).running += 1;
        let done = self.have_it_done(&task, lease).await;
        lock(&self.tally).running -= 1;
        match done {
            Ok(mut done) => {
                done.duration = u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX);
                lock(&self.tally).count(done.status);
                lock(&self.report).print(&task, &done);
            }
            Err(failure) => self.fail(failure),
        }
        Ok(())
    }

    async fn have_it_done(&self, task: &Claimed, lease: Lease) -> Result<Done, Failure> {
        let mut phases = Phases(self.phase.subscribe());
        // What was said before this task came counts, too.
        phases.0.mark_changed();
        // Removed at the end of all this, when nobody needs them any more.
        let files = Files::of(task);
        let started = match &files {
            Ok(files) => self.spawn(task, files).map(|child| (child, files)),
            Err(error) => Err(io::Error::new(error.kind(), format!("its files cannot be written: {error}"))),
        };
        let (mut child, files) = match started {
            Ok(started) => started,
            Err(error) => return Err(self.not_started(task, lease, &mut phases, &error).await),
        };
        let verdict = match supervise::supervise(&mut child, &lease, self.args.term_grace, &mut phases).await? {
            Ending::Lost(failure) => return Ok(lost(failure, None)),
            Ending::Stopped(signal) => self.given_back(task, signal),
            Ending::Cancelled => self.cancelled(task),
            Ending::Exited(status) => self.exited(task, status, files),
        };
        Ok(self.check_in(task, lease, &mut phases, verdict).await)
    }

    fn spawn(&self, task: &Claimed, files: &Files) -> io::Result<Child> {
        let mut command = supervise::command(&self.args.command, None)?;
        command
            .env("POPPO_ISSUE", task.issue.to_string())
            .env("POPPO_TOKEN", task.token.to_string())
            .env("POPPO_PROJECT", self.project.key())
            .env("POPPO_PROCESS", self.holder.process())
            .env("POPPO_TASK", &task.task)
            .env("POPPO_TYPE", &task.task_type)
            .env("POPPO_ATTEMPTS", task.attempts.to_string())
            .env("POPPO_RESULT", files.result());
        supervise::variable(&mut command, "POPPO_TITLE", task.title.as_ref());
        supervise::variable(&mut command, "POPPO_PAYLOAD", files.payload.as_ref());
        if self.json {
            command.stdout(Stdio::from(io::stderr()));
        }
        command.spawn()
    }

    /// The fault is this worker's, not the task's: it goes back at once, and this worker ends.
    async fn not_started(&self, task: &Claimed, lease: Lease, phases: &mut Phases, error: &io::Error) -> Failure {
        // Before the report, so that it brings no next task.
        self.take_nothing_new();
        let program = self.args.command.first().map(String::as_str).unwrap_or_default();
        let message = format!("cannot start {program}: {error}");
        let report = self.failed(task, message.clone(), Duration::ZERO);
        let stopped = async {
            phases.stopped().await;
        };
        let answer = lease.check_in_until(report, stopped).await;
        match lease::checked_in(task.issue, Outcome::Error, answer) {
            Ok(()) => Failure::new(NOT_STARTED, "FAILED", message),
            Err(failure) => Failure::new(NOT_STARTED, "FAILED", format!("{message}; {}", failure.message)),
        }
    }

    fn failed(&self, task: &Claimed, reason: String, retry: impl Into<Option<Duration>>) -> Checkin {
        let mut report = Checkin::new(task.issue, self.holder.process(), Outcome::Error);
        report.reason = Some(reason);
        report.retry = retry.into();
        report
    }

    /// Stopped with its worker: that is no fault of the task. `cancelled` would drop it, so it goes back into the queue.
    /// Even where the command ended with 0: it was told to end, and whether it was done is not to be seen.
    fn given_back(&self, task: &Claimed, signal: Signal) -> Verdict {
        let reason = format!("the worker was stopped by signal {}", signal.as_raw());
        Verdict { report: self.failed(task, reason, Duration::ZERO), fate: Fate::Queued, exit: None }
    }

    fn cancelled(&self, task: &Claimed) -> Verdict {
        let mut report = Checkin::new(task.issue, self.holder.process(), Outcome::Cancelled);
        report.reason = Some("stopped as it was asked to".to_owned());
        Verdict { report, fate: Fate::Cancelled, exit: None }
    }

    fn exited(&self, task: &Claimed, status: ExitStatus, files: &Files) -> Verdict {
        let outcome = supervise::outcome(status, self.args.awaiting_exit);
        let mut report = Checkin::new(task.issue, self.holder.process(), outcome);
        let fate = match outcome {
            Outcome::Completed => Fate::Completed,
            Outcome::AwaitingResponse => Fate::AwaitingResponse,
            _ => {
                let pause = self.args.retry.map(|again| again.pause(task.attempts));
                report = self.failed(task, supervise::describe(status), pause);
                if pause.is_some() { Fate::Queued } else { Fate::Dead }
            }
        };
        let file = files.result();
        report.result = if fs::exists(&file).unwrap_or(false) { supervise::result(&file, None) } else { None };
        if outcome == Outcome::Error {
            report.result = report.result.or_else(|| Some(supervise::exit_as_json(status)));
        }
        Verdict { report, fate, exit: supervise::exit_code(status) }
    }

    /// Reports, for as long as it takes: only the server can say that the lease is lost.
    async fn check_in(&self, task: &Claimed, lease: Lease, phases: &mut Phases, verdict: Verdict) -> Done {
        let Verdict { report, mut fate, exit } = verdict;
        let (mut reason, mut retry) = (report.reason.clone(), report.retry);
        let (token, outcome) = (lease.token(), report.outcome);
        let stopped = async {
            phases.stopped().await;
        };
        let answer = lease.check_in_until(report, stopped).await;
        match lease::checked_in(task.issue, outcome, answer) {
            Ok(()) => {}
            Err(failure) if failure.exit == LOST => return lost(failure, exit),
            Err(failure) => {
                reason = Some(failure.message);
                retry = None;
                fate = Fate::Unreported;
            }
        }
        let status = if fate == Fate::Queued { self.status_of(task.issue, token).await } else { None };
        if status == Some(Status::Error) {
            fate = Fate::Dead;
            reason = reason.map(|reason| format!("{reason}, and it was the last of {} attempts", task.attempts + 1));
        } else if status == Some(Status::Cancelled) {
            fate = Fate::Cancelled;
        }
        retry = retry.filter(|_| fate == Fate::Queued);
        let retry_in = retry.map(|time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX));
        Done { status: fate, duration: 0, exit, reason, code: None, retry_in }
    }

    /// What an issue is whose task was to be tried again: the check-in does not say whether the task was given up instead,
    /// because it failed too often or somebody had called it off. None where somebody else has it since, or nobody knows.
    async fn status_of(&self, issue: IssueNumber, token: Token) -> Option<Status> {
        let issue = self.project.get(issue).await.ok().flatten();
        issue.filter(|issue| issue.token == Some(token)).map(|issue| issue.status)
    }
}

fn lost(failure: Failure, exit: Option<i32>) -> Done {
    Done {
        status: Fate::Lost,
        duration: 0,
        exit,
        reason: Some(failure.message),
        code: Some(failure.code),
        retry_in: None,
    }
}
