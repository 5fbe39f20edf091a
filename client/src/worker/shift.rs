//! One run of a worker, from its first claim to its end: what is claimed when, and how each task ends.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::{JoinError, JoinSet};
use tokio::time::{sleep, timeout};

use super::Worker;
use crate::holder::Place;
use crate::queue::EARLY;
use crate::{Block, Claim, Error, Fate, Lease, Notice, Outcome, Refusal};

/// How long what goes on in the background may take at the end.
const PATIENCE: Duration = Duration::from_secs(5);

/// A worker at work, and the function that does its tasks.
pub(super) struct Shift<F> {
    crew: Crew<F>,
    slots: JoinSet<Result<(), Error>>,
    /// How many tasks may still be claimed.
    left: usize,
    /// Why it ends, where that is a failure: the first one counts.
    end: Result<(), Error>,
}

/// What the slots of a worker share.
struct Crew<F> {
    worker: Arc<Worker>,
    function: Arc<F>,
}

/// How one run of the function ended.
enum Run<E> {
    Returned(Result<(), E>),
    /// It went on for too long after its work had to stop.
    Broken,
    Panicked,
}

/// A claim that is under way.
type Claiming = Pin<Box<dyn Future<Output = Result<Option<Lease>, Error>> + Send>>;

/// The answer of the claim that is under way; never where there is none.
async fn answer(claiming: &mut Option<Claiming>) -> Result<Option<Lease>, Error> {
    match claiming {
        Some(claiming) => claiming.as_mut().await,
        None => std::future::pending().await,
    }
}

impl<F, W, E> Shift<F>
where
    F: Fn(Lease) -> W + Send + Sync + 'static,
    W: Future<Output = Result<(), E>> + Send + 'static,
    E: fmt::Display + Send + 'static,
{
    pub(super) fn new(worker: Worker, function: F) -> Self {
        let left = if worker.once { worker.jobs } else { usize::MAX };
        let crew = Crew { worker: Arc::new(worker), function: Arc::new(function) };
        Self { crew, slots: JoinSet::new(), left, end: Ok(()) }
    }

    pub(super) async fn work(mut self) -> Result<(), Error> {
        let worker = Arc::clone(&self.crew.worker);
        worker.holder.deliver().await;
        let was_claiming = self.claim_and_serve(&worker).await;
        if self.end.is_err() {
            worker.drain.cancel();
        }
        let stopping = async {
            worker.stop.cancelled().await;
            worker.holder.stop_all();
            std::future::pending::<()>().await;
        };
        tokio::select! {
            () = self.finish(was_claiming) => {}
            () = stopping => {}
        }
        drop(timeout(PATIENCE, worker.holder.settled()).await);
        self.end
    }

    /// Until it is told to end, fails, or may claim nothing more. Answers whether a claim was broken off.
    async fn claim_and_serve(&mut self, worker: &Arc<Worker>) -> bool {
        // One at a time: the server remembers one request of each process, the last. It outlives the turns of this loop,
        // since one that is dropped costs its connection.
        let mut claiming: Option<Claiming> = None;
        while self.end.is_ok() && !worker.is_to_end() {
            if claiming.is_none() && self.left > 0 && self.slots.len() < worker.jobs {
                let worker = Arc::clone(worker);
                claiming = Some(Box::pin(async move { worker.claim().await }));
            }
            if claiming.is_none() && self.left == 0 {
                break;
            }
            tokio::select! {
                Some(ended) = self.slots.join_next(), if !self.slots.is_empty() => self.end = slot_ended(ended),
                claimed = answer(&mut claiming) => {
                    claiming = None;
                    match claimed {
                        Ok(Some(lease)) => self.serve(lease),
                        // Only who claims once is told that there is nothing.
                        Ok(None) => self.left = 0,
                        Err(error) => self.end = Err(error),
                    }
                }
                () = worker.told_to_end() => break,
            }
        }
        claiming.is_some()
    }

    fn serve(&mut self, lease: Lease) {
        self.left = self.left.saturating_sub(1);
        let crew = Crew { worker: Arc::clone(&self.crew.worker), function: Arc::clone(&self.crew.function) };
        self.slots.spawn(async move { crew.serve(lease).await });
    }

    /// Finishes what runs.
    async fn finish(&mut self, was_claiming: bool) {
        if was_claiming {
            self.take_up_last_claim().await;
        }
        while let Some(ended) = self.slots.join_next().await {
            self.end = std::mem::replace(&mut self.end, Ok(())).and(slot_ended(ended));
        }
    }

    /// What the server granted in the very moment in which its claim was broken off is nobody's fault: it is done, or goes
    /// back at once where nothing is done any more.
    async fn take_up_last_claim(&mut self) {
        let worker = Arc::clone(&self.crew.worker);
        match worker.holder.unheard_of().await {
            Ok(Some(lease)) if self.end.is_ok() && !worker.stop.is_cancelled() => self.serve(lease),
            Ok(Some(lease)) => drop(lease.release("the worker ended before it was begun").await),
            Ok(None) => {}
            Err(error) => worker.holder.notice(&Notice::InDoubt { error: error.to_string() }),
        }
    }
}

impl<F, W, E> Crew<F>
where
    F: Fn(Lease) -> W + Send + Sync + 'static,
    W: Future<Output = Result<(), E>> + Send + 'static,
    E: fmt::Display + Send + 'static,
{
    /// Does this task, and those that come with its check-in.
    async fn serve(&self, first: Lease) -> Result<(), Error> {
        let worker = &self.worker;
        let mut next = Some(first);
        while let Some(lease) = next {
            let place = Place::open([worker.drain.clone(), worker.stop.clone()], !worker.once);
            self.perform(lease, &place).await?;
            next = place.take_next();
            if worker.stop.is_cancelled()
                && let Some(unbegun) = next.take()
            {
                drop(unbegun.release("the worker was stopped").await);
            }
        }
        Ok(())
    }

    async fn perform(&self, lease: Lease, place: &Arc<Place>) -> Result<(), Error> {
        let stop = lease.stop_token();
        // In a task of its own, so that its panics are its own; in a set, so that it ends with us.
        let mut task = JoinSet::new();
        task.spawn((self.function)(lease.placed(place)));
        let mut returned = tokio::select! {
            ended = task.join_next() => ended,
            () = stop.cancelled() => None,
        };
        if returned.is_none() {
            returned = timeout(self.worker.grace, task.join_next()).await.ok().flatten();
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
            Some(left) => self.worker.end(left, place, run).await,
            None => self.worker.look_for_a_successor().await,
        }
    }
}

impl Worker {
    fn is_to_end(&self) -> bool {
        self.drain.is_cancelled() || self.stop.is_cancelled()
    }

    async fn told_to_end(&self) {
        tokio::select! {
            () = self.drain.cancelled() => {}
            () = self.stop.cancelled() => {}
        }
    }

    /// The next task, once there is one; of who claims once, if there is one.
    async fn claim(&self) -> Result<Option<Lease>, Error> {
        let mut claim = Claim::new(self.holder.process()).by(self.holder.life()).numbered();
        claim.types.clone_from(&self.types);
        claim.ttl = self.ttl;
        claim.block = if self.once { Block::No } else { Block::Forever };
        let mut is_full = false;
        loop {
            match self.holder.claim(&claim).await {
                // A server that is full may have room again.
                Err(error) if error.code() == "OOM" && !self.once => {
                    if !std::mem::replace(&mut is_full, true) {
                        self.holder.notice(&Notice::NotClaimed { error: error.to_string() });
                    }
                    sleep(EARLY).await;
                }
                answer => return answer,
            }
        }
    }

    /// Ends what the function did not.
    async fn end<E: fmt::Display>(&self, lease: Lease, place: &Arc<Place>, run: Run<E>) -> Result<(), Error> {
        let mut report = lease.checkin(Outcome::Error);
        match lease.fate() {
            Some(Fate::Lost { .. }) => {
                drop(lease);
                return self.look_for_a_successor().await;
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
            Err(Error::Refused(_)) => self.look_for_a_successor().await,
            // It could not even be kept on disk, which was said; the task is another's one day.
            Err(error) if error.may_pass() => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Where the server did not know this life any more, whether that is because another one took its name. Then two would go
    /// on taking it from each other, so this one ends.
    async fn look_for_a_successor(&self) -> Result<(), Error> {
        let process = self.holder.process();
        match self.holder.was_replaced().await {
            Ok(None) => Ok(()),
            Ok(Some(true)) => {
                let text = format!("another process took the name {process}: give each its own");
                Err(Refusal::NoProcess(text).into())
            }
            // Where the server does not say, it is not another's yet.
            Ok(Some(false)) | Err(_) => {
                self.holder.notice(&Notice::Unknown { process: process.to_owned() });
                Ok(())
            }
        }
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
