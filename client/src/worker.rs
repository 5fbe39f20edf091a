//! The loop of a worker: it claims tasks and has a function do them, some at a time.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::{JoinError, JoinSet};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::holder::Place;
use crate::queue::{EARLY, SLICE};
use crate::{Backoff, Block, Claim, Error, Fate, Holder, Lease, Life, Outcome, Project};

/// The most jobs at a time, as of `poppo work`.
const MOST_JOBS: usize = 256;
/// How long a function may go on by default after its work has to stop.
const GRACE: Duration = Duration::from_secs(10);

/// Does the tasks of a project's queue: claims one, has a function do it under its lease, checks it in, and so on; what
/// `poppo work` does with a command.
///
/// The function gets the [`Lease`] of its task, and ends it as it likes. While there is work, the next task comes with the
/// check-in: one round trip a task. What the function does not end, its worker ends:
///
/// | the function | and the lease was not ended | the issue is checked in as |
/// | --- | --- | --- |
/// | returns an error | | `error`, with its text as the reason; the task waits again where there is a [`retry`](Self::retry) policy, else it is dead |
/// | returns `Ok` | | `error`, reason `dropped`, as above |
/// | panics | | `error`, reason `panicked`, as above |
/// | returns anything, or goes on for too long | after [`Fate::Cancelled`] | `cancelled` |
/// | returns anything, or goes on for too long | after [`Fate::Stopped`] | `queued` again, for others |
/// | goes on for too long | after [`Fate::Lost`] | nothing: it is another's |
///
/// It watches [`Lease::stop_token`], and has [`grace`](Self::grace) to end after that; then its future is dropped.
///
/// ```no_run
/// use poppo::{Backoff, Client, Worker};
/// use std::time::Duration;
/// use tokio_util::sync::CancellationToken;
///
/// # async fn fix(issue: u64) -> Result<String, std::io::Error> { Ok(String::new()) }
/// # async fn work() -> Result<(), poppo::Error> {
/// let project = Client::connect("redis://127.0.0.1:6379").await?.project("acme/widgets");
/// let drain = CancellationToken::new();
/// let worker = Worker::new(&project)
///     .jobs(4)
///     .types(["fix", "docs"])
///     .retry(Backoff::new(Duration::from_secs(30), Duration::from_secs(3600)))
///     .drain_on(drain.clone());
/// tokio::spawn(async move {
///     drop(tokio::signal::ctrl_c().await);
///     drain.cancel();
/// });
/// worker
///     .run(|lease| async move {
///         let result = fix(lease.issue().get()).await?;
///         lease.complete(result).await?;
///         Ok::<(), Box<dyn std::error::Error + Send + Sync>>(())
///     })
///     .await
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Worker {
    holder: Holder,
    jobs: usize,
    types: Vec<String>,
    ttl: Option<Duration>,
    retry: Option<Backoff>,
    grace: Duration,
    drain: CancellationToken,
    stop: CancellationToken,
}

/// How one run of the function ended.
enum Run<E> {
    Returned(Result<(), E>),
    /// It went on for too long after its work had to stop.
    Broken,
    Panicked,
}

/// A claim that is under way.
type Claiming = Pin<Box<dyn Future<Output = Result<Lease, Error>> + Send>>;

/// The answer of the claim that is under way; never where there is none.
async fn answer(claiming: &mut Option<Claiming>) -> Result<Lease, Error> {
    match claiming {
        Some(claiming) => claiming.as_mut().await,
        None => std::future::pending().await,
    }
}

impl Worker {
    /// A worker for this project: one job at a time, tasks of any type, failed tasks are dead, named after host and PID.
    #[must_use]
    pub fn new(project: &Project) -> Self {
        Self::of(project.holder(Life::current().default_process_name()))
    }

    /// A worker whose leases this holder has.
    #[must_use]
    pub fn of(holder: Holder) -> Self {
        Self {
            holder,
            jobs: 1,
            types: Vec::new(),
            ttl: None,
            retry: None,
            grace: GRACE,
            drain: CancellationToken::new(),
            stop: CancellationToken::new(),
        }
    }

    /// Its process name: 1 to 128 bytes of printable ASCII without blanks, no other process's.
    #[must_use]
    pub fn process(mut self, name: impl Into<String>) -> Self {
        self.holder = self.holder.project().holder(name);
        self
    }

    /// How many tasks at a time: 1 to 256; what is less or more counts as that.
    #[must_use]
    pub fn jobs(mut self, jobs: usize) -> Self {
        self.jobs = jobs.clamp(1, MOST_JOBS);
        self
    }

    /// Only tasks of these types, 1 to 64 of them; of any where there are none.
    #[must_use]
    pub fn types<T: Into<String>>(mut self, types: impl IntoIterator<Item = T>) -> Self {
        self.types = types.into_iter().map(Into::into).collect();
        self
    }

    /// How long its leases last without a heartbeat: 1 s to 24 h. Default: the project's `heartbeat-ttl`.
    #[must_use]
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.ttl = Some(ttl);
        self
    }

    /// Has failed tasks wait again, for the pause that this gives after so many failed runs. They are dead once they have
    /// failed `max-attempts` times, a setting of the project.
    #[must_use]
    pub fn retry(mut self, pauses: Backoff) -> Self {
        self.retry = Some(pauses);
        self
    }

    /// How long the function may go on after its work has to stop. Default: 10 s.
    #[must_use]
    pub fn grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// When this token is cancelled, nothing new is claimed, what runs is finished, and [`run`](Self::run) comes back.
    #[must_use]
    pub fn drain_on(mut self, token: CancellationToken) -> Self {
        // Its own end is not for others to hear of.
        self.drain = token.child_token();
        self
    }

    /// When this token is cancelled, what runs has to stop, too, and goes back into the queue: all leases of its
    /// [`holder`](Self::holder).
    #[must_use]
    pub fn stop_on(mut self, token: CancellationToken) -> Self {
        self.stop = token;
        self
    }

    /// Who holds its leases: for notices, and for where reports are kept.
    #[must_use]
    pub fn holder(&self) -> &Holder {
        &self.holder
    }

    /// Works until it is told to end by [`drain_on`](Self::drain_on) or [`stop_on`](Self::stop_on). A server that is away
    /// is waited for. Begins with the delivery of what earlier workers could not report.
    ///
    /// # Errors
    /// After what runs was finished: where the server refuses to be asked, as in [`Project::claim`];
    /// [`Refusal::NoProcess`](crate::Refusal::NoProcess) where another process took its name.
    pub async fn run<F, W, E>(self, function: F) -> Result<(), Error>
    where
        F: Fn(Lease) -> W + Send + Sync + 'static,
        W: Future<Output = Result<(), E>> + Send + 'static,
        E: fmt::Display + Send + 'static,
    {
        let (worker, function) = (Arc::new(self), Arc::new(function));
        worker.holder.deliver().await;
        let mut slots = JoinSet::new();
        let mut end = Ok(());
        // One at a time: the server remembers one request of each process, the last. It outlives the turns of this loop,
        // since one that is dropped costs its connection.
        let mut claiming: Option<Claiming> = None;
        while end.is_ok() && !worker.is_draining() {
            if claiming.is_none() && slots.len() < worker.jobs {
                let worker = Arc::clone(&worker);
                claiming = Some(Box::pin(async move { worker.claim().await }));
            }
            tokio::select! {
                Some(ended) = slots.join_next(), if !slots.is_empty() => end = slot_ended(ended),
                claimed = answer(&mut claiming) => {
                    claiming = None;
                    match claimed {
                        Ok(lease) => {
                            let (worker, function) = (Arc::clone(&worker), Arc::clone(&function));
                            slots.spawn(async move { worker.serve(lease, &*function).await });
                        }
                        Err(error) => end = Err(error),
                    }
                }
                () = worker.told_to_end() => break,
            }
        }
        drop(claiming);
        if end.is_err() {
            worker.drain.cancel();
        }
        let stopping = async {
            worker.stop.cancelled().await;
            worker.holder.stop_all();
            std::future::pending::<()>().await;
        };
        let finished = async {
            // What was granted in this very moment is nobody's fault, and goes back at once.
            while let Ok(Some(lease)) = worker.holder.unheard_of().await {
                drop(lease.release("the worker ended before it was begun").await);
            }
            while let Some(ended) = slots.join_next().await {
                end = std::mem::replace(&mut end, Ok(())).and(slot_ended(ended));
            }
        };
        tokio::select! {
            () = finished => {}
            () = stopping => {}
        }
        worker.holder.settled().await;
        end
    }

    fn is_draining(&self) -> bool {
        self.drain.is_cancelled() || self.stop.is_cancelled()
    }

    async fn told_to_end(&self) {
        tokio::select! {
            () = self.drain.cancelled() => {}
            () = self.stop.cancelled() => {}
        }
    }

    /// The next task, once there is one.
    async fn claim(&self) -> Result<Lease, Error> {
        let mut claim = Claim::new(self.holder.process()).by(self.holder.life()).numbered();
        claim.types.clone_from(&self.types);
        claim.ttl = self.ttl;
        claim.block = Block::AtMost(SLICE);
        loop {
            match self.holder.claim(&claim).await {
                Ok(Some(lease)) => return Ok(lease),
                Ok(None) => {}
                // A server that is full may have room again.
                Err(error) if error.may_pass() || error.code() == "OOM" => sleep(EARLY).await,
                Err(error) => return Err(error),
            }
        }
    }

    /// Does this task, and those that come with its check-in.
    async fn serve<F, W, E>(&self, first: Lease, function: &F) -> Result<(), Error>
    where
        F: Fn(Lease) -> W + Send + Sync + 'static,
        W: Future<Output = Result<(), E>> + Send + 'static,
        E: fmt::Display + Send + 'static,
    {
        let mut next = Some(first);
        while let Some(lease) = next {
            let place = Place::open([self.drain.clone(), self.stop.clone()]);
            self.perform(lease, &place, function).await?;
            next = place.take_next();
            if self.stop.is_cancelled()
                && let Some(unbegun) = next.take()
            {
                drop(unbegun.release("the worker was stopped").await);
            }
        }
        Ok(())
    }

    async fn perform<F, W, E>(&self, lease: Lease, place: &Arc<Place>, function: &F) -> Result<(), Error>
    where
        F: Fn(Lease) -> W + Send + Sync + 'static,
        W: Future<Output = Result<(), E>> + Send + 'static,
        E: fmt::Display + Send + 'static,
    {
        let stop = lease.stop_token();
        // In a task of its own, so that its panics are its own; in a set, so that it ends with us.
        let mut task = JoinSet::new();
        task.spawn(function(lease.placed(place)));
        let mut returned = tokio::select! {
            ended = task.join_next() => ended,
            () = stop.cancelled() => None,
        };
        if returned.is_none() {
            returned = timeout(self.grace, task.join_next()).await.ok().flatten();
        }
        let run = match returned {
            Some(Ok(result)) => Run::Returned(result),
            Some(Err(error)) if error.is_panic() => Run::Panicked,
            Some(Err(_)) => Run::Broken,
            None => {
                // What it holds goes with its future, which is gone when this comes back.
                task.shutdown().await;
                Run::Broken
            }
        };
        match place.close() {
            Some(left) => self.end(left, place, run).await,
            None => self.look_for_a_successor(&stop).await,
        }
    }

    /// Ends what the function did not.
    async fn end<E: fmt::Display>(&self, lease: Lease, place: &Arc<Place>, run: Run<E>) -> Result<(), Error> {
        let stop = lease.stop_token();
        let mut report = lease.checkin(Outcome::Error);
        match lease.fate() {
            Some(Fate::Lost { .. }) => {
                drop(lease);
                return self.look_for_a_successor(&stop).await;
            }
            Some(Fate::Cancelled) => {
                report.outcome = Outcome::Cancelled;
                report.reason = Some("stopped as it was asked to".to_owned());
            }
            Some(Fate::Stopped) => {
                report.reason = Some("the worker was stopped".to_owned());
                report.retry = Some(Duration::ZERO);
            }
            None => {
                report.reason = Some(match run {
                    Run::Returned(Err(error)) => shortened(error.to_string()),
                    Run::Returned(Ok(())) | Run::Broken => "dropped".to_owned(),
                    Run::Panicked => "panicked".to_owned(),
                });
                report.retry = self.retry.clone().map(|pauses| pauses.after(lease.attempts()).pause());
            }
        }
        place.reopen();
        match lease.placed(place).check_in(report).await {
            Ok(_) => Ok(()),
            Err(Error::Refused(_)) => self.look_for_a_successor(&stop).await,
            // It could not even be kept on disk, which was said; the task is another's one day.
            Err(error) if error.may_pass() => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// After a lease was lost: whether another process took the name. Then two would go on taking it from each other.
    async fn look_for_a_successor(&self, stop: &CancellationToken) -> Result<(), Error> {
        if !stop.is_cancelled() || self.holder.was_replaced().await.ok().flatten() != Some(true) {
            return Ok(());
        }
        let text = format!("another process took the name {}: give each its own", self.holder.process());
        Err(crate::Refusal::NoProcess(text).into())
    }
}

fn slot_ended(ended: Result<Result<(), Error>, JoinError>) -> Result<(), Error> {
    // A slot runs nothing of the function's, so it neither panics nor is aborted.
    ended.unwrap_or(Ok(()))
}

/// What REASON takes.
fn shortened(mut text: String) -> String {
    const LONGEST: usize = 65_536;
    if text.len() > LONGEST {
        let end = (0..=LONGEST).rev().find(|end| text.is_char_boundary(*end)).unwrap_or_default();
        text.truncate(end);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_never_too_long_nor_cut_within_a_letter() {
        assert_eq!(shortened("short".to_owned()), "short");
        let long = shortened("ä".repeat(40_000));
        assert_eq!(long.len(), 65_536);
        let odd = shortened(format!("x{}", "ä".repeat(40_000)));
        assert_eq!(odd.len(), 65_535);
    }
}
