//! One of a worker's slots: it does a task, checks it in, and goes on with the next that the server gives it in the same
//! step, until there is none.

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::rc::Rc;
use std::time::Duration;

use poppo::{Checkin, Claimed, IssueNumber, Lease, Outcome, Status, Token};
use rustix::process::Signal;
use tempfile::TempDir;
use tokio::process::Child;
use tokio::sync::watch;
use tokio::time::Instant;

use super::report::{Done, Fate};
use super::{Phase, Worker};
use crate::exit::{Failure, LOST, NOT_STARTED};
use crate::lease;
use crate::supervise::{self, Ending};

/// What a slot did, in numbers.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Tally {
    pub(super) done: usize,
    pub(super) failed: usize,
    pub(super) lost: usize,
}

impl Tally {
    pub(super) fn add(&mut self, other: Self) {
        self.done += other.done;
        self.failed += other.failed;
        self.lost += other.lost;
    }

    fn count(&mut self, fate: Fate) {
        match fate {
            Fate::Completed | Fate::AwaitingResponse | Fate::Cancelled => self.done += 1,
            Fate::Queued | Fate::Dead | Fate::Unreported => self.failed += 1,
            Fate::Lost => self.lost += 1,
        }
    }
}

/// A slot that is taken.
pub(super) struct Slot {
    pub(super) worker: Rc<Worker>,
    pub(super) phase: watch::Receiver<Phase>,
}

/// The files of one task, in a folder that nobody else may look into. Removed when it goes out of scope.
struct Files {
    folder: TempDir,
    payload: Option<PathBuf>,
}

impl Files {
    fn of(task: &Claimed) -> io::Result<Self> {
        let private = fs::Permissions::from_mode(0o700);
        let folder = tempfile::Builder::new().prefix("poppo-task-").permissions(private).tempdir()?;
        let payload = match &task.payload {
            None => None,
            Some(json) => {
                let path = folder.path().join("payload.json");
                let mut file = tempfile::Builder::new().tempfile_in(folder.path())?;
                file.write_all(json.as_bytes())?;
                file.persist(&path).map_err(|error| error.error)?;
                Some(path)
            }
        };
        Ok(Self { folder, payload })
    }

    fn result(&self) -> PathBuf {
        self.folder.path().join("result.json")
    }
}

/// What is to be told of a task that ended, before it was told.
struct Verdict {
    report: Checkin,
    fate: Fate,
    exit: Option<i32>,
}

impl Slot {
    /// Does this task, and those that come after it.
    pub(super) async fn serve(mut self, first: Lease) -> Result<Tally, Failure> {
        let mut tally = Tally::default();
        let mut next = Some(first);
        while let Some(lease) = next {
            let start = Instant::now();
            // Each lease of a claim has one.
            let Some(task) = lease.task().cloned() else { break };
            let (mut done, following) = self.perform(&task, lease).await?;
            done.duration = u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX);
            tally.count(done.status);
            self.worker.report.borrow_mut().print(&task, &done);
            if done.status == Fate::Lost {
                self.worker.look_for_a_successor().await?;
            }
            next = following;
        }
        Ok(tally)
    }

    async fn perform(&mut self, task: &Claimed, lease: Lease) -> Result<(Done, Option<Lease>), Failure> {
        // Removed at the end of all this, when nobody needs them any more.
        let files = Files::of(task);
        let started = match &files {
            Ok(files) => self.spawn(task, files).map(|child| (child, files)),
            Err(error) => Err(io::Error::new(error.kind(), format!("its files cannot be written: {error}"))),
        };
        let (mut child, files) = match started {
            Ok(started) => started,
            Err(error) => return Err(self.not_started(task, lease, &error).await),
        };
        let grace = self.worker.args.term_grace;
        let ending = {
            // What was said before this task came counts, too.
            self.phase.mark_changed();
            let mut stop = async || stopping(&mut self.phase).await;
            supervise::supervise(&mut child, &lease, grace, &mut stop).await?
        };
        let verdict = match ending {
            Ending::Lost(failure) => return Ok((lost(failure, None), None)),
            Ending::Stopped(signal) => self.given_back(task, signal),
            Ending::Cancelled => self.cancelled(task),
            Ending::Exited(status) => self.exited(task, status, files),
        };
        self.check_in(task, lease, verdict).await
    }

    fn spawn(&self, task: &Claimed, files: &Files) -> io::Result<Child> {
        let worker = &self.worker;
        let mut command = supervise::command(&worker.args.command, None)?;
        command
            .env("POPPO_ISSUE", task.issue.to_string())
            .env("POPPO_TOKEN", task.token.to_string())
            .env("POPPO_PROJECT", worker.project.key())
            .env("POPPO_PROCESS", worker.holder.process())
            .env("POPPO_TASK", &task.task)
            .env("POPPO_TYPE", &task.task_type)
            .env("POPPO_ATTEMPTS", task.attempts.to_string())
            .env("POPPO_RESULT", files.result());
        supervise::variable(&mut command, "POPPO_TITLE", task.title.as_ref());
        supervise::variable(&mut command, "POPPO_PAYLOAD", files.payload.as_ref());
        if worker.json {
            command.stdout(Stdio::from(io::stderr()));
        }
        command.spawn()
    }

    /// The fault is this worker's, not the task's: it goes back at once, and this worker ends.
    async fn not_started(&mut self, task: &Claimed, lease: Lease, error: &io::Error) -> Failure {
        let program = self.worker.args.command.first().map(String::as_str).unwrap_or_default();
        let message = format!("cannot start {program}: {error}");
        let report = self.failed(task, message.clone(), Duration::ZERO);
        let stopped = async {
            stopping(&mut self.phase).await;
        };
        let answer = lease.check_in_until(report, stopped).await;
        match lease::checked_in(task.issue, Outcome::Error, answer) {
            Ok(()) => Failure::new(NOT_STARTED, "FAILED", message),
            Err(failure) => Failure::new(NOT_STARTED, "FAILED", format!("{message}; {}", failure.message)),
        }
    }

    fn failed(&self, task: &Claimed, reason: String, retry: impl Into<Option<Duration>>) -> Checkin {
        let mut report = Checkin::new(task.issue, self.worker.holder.process(), Outcome::Error);
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
        let mut report = Checkin::new(task.issue, self.worker.holder.process(), Outcome::Cancelled);
        report.reason = Some("stopped as it was asked to".to_owned());
        Verdict { report, fate: Fate::Cancelled, exit: None }
    }

    fn exited(&self, task: &Claimed, status: ExitStatus, files: &Files) -> Verdict {
        let outcome = supervise::outcome(status, self.worker.args.awaiting_exit);
        let mut report = Checkin::new(task.issue, self.worker.holder.process(), outcome);
        let fate = match outcome {
            Outcome::Completed => Fate::Completed,
            Outcome::AwaitingResponse => Fate::AwaitingResponse,
            _ => {
                let pause = self.worker.args.retry.map(|again| again.pause(task.attempts));
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
    async fn check_in(
        &mut self,
        task: &Claimed,
        lease: Lease,
        verdict: Verdict,
    ) -> Result<(Done, Option<Lease>), Failure> {
        let Verdict { report, mut fate, exit } = verdict;
        let (mut reason, mut retry) = (report.reason.clone(), report.retry);
        let (token, outcome) = (lease.token(), report.outcome);
        let goes_on = !self.worker.args.once && *self.phase.borrow() == Phase::Working;
        let stopped = async {
            stopping(&mut self.phase).await;
        };
        let answer = if goes_on {
            lease.check_in_and_claim(report, stopped).await
        } else {
            lease.check_in_until(report, stopped).await.map(|checked_in| (checked_in, None))
        };
        let (answer, next) = match answer {
            Ok((checked_in, next)) => (Ok(checked_in), next),
            Err(error) => (Err(error), None),
        };
        match lease::checked_in(task.issue, outcome, answer) {
            Ok(()) => {}
            Err(failure) if failure.exit == LOST => return Ok((lost(failure, exit), None)),
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
        Ok((Done { status: fate, duration: 0, exit, reason, code: None, retry_in }, next))
    }

    /// What an issue is whose task was to be tried again: the check-in does not say whether the task was given up instead,
    /// because it failed too often or somebody had called it off. None where somebody else has it since, or nobody knows.
    async fn status_of(&self, issue: IssueNumber, token: Token) -> Option<Status> {
        let issue = self.worker.project.get(issue).await.ok().flatten();
        issue.filter(|issue| issue.token == Some(token)).map(|issue| issue.status)
    }
}

/// Comes back when this worker is to end what runs: once for each time that it is told so.
async fn stopping(phase: &mut watch::Receiver<Phase>) -> Signal {
    loop {
        if phase.changed().await.is_err() {
            // Nobody is left to say so.
            std::future::pending::<()>().await;
        }
        if let Phase::Stopping(signal) = *phase.borrow_and_update() {
            return signal;
        }
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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_is_for_its_worker_alone_and_goes_with_the_task() {
        let task = Claimed {
            issue: 7.try_into().unwrap(),
            token: 9.try_into().unwrap(),
            task: "7:fix".to_owned(),
            task_type: "fix".to_owned(),
            title: None,
            payload: Some("{\"a\": 1}".to_owned()),
            attempts: 0,
            waited: 0,
        };
        let files = Files::of(&task).unwrap();
        let payload = files.payload.clone().unwrap();
        assert_eq!(fs::read_to_string(&payload).unwrap(), "{\"a\": 1}");
        let mode = |path: &std::path::Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&payload), 0o600);
        assert_eq!(mode(files.folder.path()), 0o700);
        drop(files);
        assert!(!payload.exists());
        let files = Files::of(&Claimed { payload: None, ..task }).unwrap();
        assert_eq!(files.payload, None);
    }
}
