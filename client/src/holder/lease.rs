//! A lease in the hands of whoever does the work: what is known of it, and the ways to end it.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::fate::{Destiny, Fate};
use super::keeper::Keeper;
use crate::spool::Kept;
use crate::types::{IssueNumber, Outcome, Status, Token};
use crate::{Checkin, Claimed, Error};

/// What became of a check-in.
///
/// ```no_run
/// # async fn example(lease: poppo::Lease) -> Result<(), poppo::Error> {
/// use poppo::CheckedIn;
///
/// match lease.complete(r#"{"pr":77}"#).await? {
///     CheckedIn::Kept(error) => eprintln!("{error}: it is reported when the server is back"),
///     _ => println!("done"),
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub enum CheckedIn {
    /// The server took it.
    Accepted,
    /// The server could not be reached for as long as the lease lasts: the report is kept on disk, and delivered when the
    /// server is back, by this program, the next that works for this project on this host, or `poppo spool deliver`. If the
    /// issue was repaired by then, it changes nothing.
    Kept(Error),
}

/// An issue that is ours for now. It is kept with heartbeats from the background until it ends in one of the ways below,
/// each of which uses it up.
///
/// **Watch [`stop_token`](Self::stop_token)** while you work: it is cancelled when the lease is lost, or when somebody asks
/// for the work to stop; [`fate`](Self::fate) tells which. Whatever you change elsewhere meanwhile should carry
/// [`token`](Self::token) along: the higher one is the newer lease.
///
/// **Dropped** without any of that (by `?`, by a panic), it is checked in as `error` with the reason `dropped`, from the
/// background; [`Holder::settled`](crate::Holder::settled) waits for that. A lease of a [`Worker`](crate::Worker) goes back
/// to the worker instead, which reports the error that its function returned.
///
/// **A check-in** is repeated while the server does not answer, for as long as the lease lasts, and kept on disk from the
/// first failure on. The future of one may be dropped: what it had begun to report is reported from the background.
///
/// All of them fail with [`Error::Refused`] where the lease was lost, so that the report no longer counts; with
/// [`Error::BadArgument`] where a text is longer than 65,536 bytes; with any other error where the server cannot be asked
/// and the report cannot be kept on disk either.
///
/// ```no_run
/// # use poppo::{Checkout, Client, Fate, IssueNumber};
/// # async fn attempt(step: u32) -> Result<(), std::io::Error> { Ok(()) }
/// # async fn work() -> Result<(), Box<dyn std::error::Error>> {
/// # let project = Client::connect("redis://127.0.0.1:6379").await?.project("acme/widgets");
/// let lease = project.lease(&Checkout::new(IssueNumber::try_from(123)?, "worker-1")).await?;
/// for step in 1..=7 {
///     lease.progress(format!("step {step}/7"));
///     // A failure here drops the lease: it is checked in as `error`.
///     attempt(step).await?;
///     match lease.fate() {
///         None => {}
///         Some(Fate::Cancelled) => return Ok(lease.cancel("stopped as it was asked to").await.map(drop)?),
///         Some(other) => return Err(format!("issue {} {other}", lease.issue()).into()),
///     }
/// }
/// lease.complete(r#"{"pr":77}"#).await?;
/// # Ok(())
/// # }
/// ```
pub struct Lease {
    pub(super) keeper: Arc<Keeper>,
    issue: IssueNumber,
    pub(super) token: Token,
    task: Option<Claimed>,
    destiny: Destiny,
    /// Where it came from, if it is to go back there.
    pub(super) place: Option<Arc<Place>>,
    /// What was begun to be reported; for the background, where nobody waits for it any more.
    pub(super) report: Option<Checkin>,
    /// Whether its end is known to the server or on disk, or it was lost.
    pub(super) is_over: bool,
    /// The file in which its report is kept while the server does not take it.
    pub(super) kept: Option<Kept>,
    /// Whether nobody but a task of our own has it.
    pub(super) is_in_background: bool,
}

/// Where a worker finds what its function left: the next lease, or the one that it did not end.
#[derive(Debug, Default)]
pub(crate) struct Place {
    /// When these are cancelled, it wants no next task.
    ends: [CancellationToken; 2],
    /// Whether it wants one before.
    goes_on: bool,
    inner: Mutex<Inside>,
}

#[derive(Debug, Default)]
struct Inside {
    /// Whether the worker still looks here.
    is_open: bool,
    next: Option<Lease>,
    left: Option<Lease>,
}

impl Place {
    /// For one run of a function.
    pub(crate) fn open(ends: [CancellationToken; 2], goes_on: bool) -> Arc<Self> {
        Arc::new(Self { ends, goes_on, inner: Mutex::new(Inside { is_open: true, ..Inside::default() }) })
    }

    fn inside(&self) -> std::sync::MutexGuard<'_, Inside> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn wants_next(&self) -> bool {
        self.goes_on && self.inside().is_open && !self.ends.iter().any(CancellationToken::is_cancelled)
    }

    /// Puts the next lease there. Where nobody looks any more it is given back.
    pub(super) fn put_next(&self, lease: Lease) -> Option<Lease> {
        let mut inside = self.inside();
        if inside.is_open { inside.next.replace(lease) } else { Some(lease) }
    }

    /// The function is done: what it left. From now on what it still has goes its own way.
    pub(crate) fn close(&self) -> Option<Lease> {
        let mut inside = self.inside();
        inside.is_open = false;
        inside.left.take()
    }

    /// The worker itself ends what was left.
    pub(crate) fn reopen(&self) {
        self.inside().is_open = true;
    }

    /// What came with the check-in. From now on nothing more can come.
    pub(crate) fn take_next(&self) -> Option<Lease> {
        let mut inside = self.inside();
        inside.is_open = false;
        inside.next.take()
    }
}

impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (issue, token) = (self.issue.get(), self.token.get());
        f.debug_struct("Lease").field("issue", &issue).field("token", &token).finish_non_exhaustive()
    }
}

impl Lease {
    pub(super) fn new(
        keeper: &Arc<Keeper>,
        issue: IssueNumber,
        token: Token,
        task: Option<Claimed>,
        destiny: Destiny,
    ) -> Self {
        Self {
            keeper: Arc::clone(keeper),
            issue,
            token,
            task,
            destiny,
            place: None,
            report: None,
            is_over: false,
            kept: None,
            is_in_background: false,
        }
    }

    /// The lease of a task; none where it was held before: an answer that came twice.
    pub(super) fn of_task(
        keeper: &Arc<Keeper>,
        task: Claimed,
        confirmed: Instant,
        ttl: Option<Duration>,
    ) -> Option<Self> {
        let destiny = keeper.hold(task.issue, task.token, confirmed, ttl)?;
        Some(Self::new(keeper, task.issue, task.token, Some(task), destiny))
    }

    /// As the lease of a worker that looks in this place.
    pub(crate) fn placed(mut self, place: &Arc<Place>) -> Self {
        self.place = Some(Arc::clone(place));
        self
    }

    /// Without its worker.
    pub(crate) fn unplaced(mut self) -> Self {
        self.place = None;
        self
    }

    /// The issue.
    ///
    /// Example: [`Lease`].
    #[must_use]
    pub fn issue(&self) -> IssueNumber {
        self.issue
    }

    /// The fencing token: later leases of the project have higher ones.
    ///
    /// Example: [`Lease`].
    #[must_use]
    pub fn token(&self) -> Token {
        self.token
    }

    /// The task that was claimed: its id, type, title, payload, and how many runs failed before. None of a checkout by
    /// number.
    ///
    /// ```no_run
    /// # async fn example(lease: poppo::Lease) -> Result<(), poppo::Error> {
    /// if let Some(task) = lease.task() {
    ///     println!("{} ({}), after {} failures", task.task, task.task_type, lease.attempts());
    ///     println!("{}: {}", lease.title().unwrap_or("?"), lease.payload().unwrap_or("null"));
    /// }
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn task(&self) -> Option<&Claimed> {
        self.task.as_ref()
    }

    /// What the task's author wants its worker to know: JSON text, as it was given.
    ///
    /// Example: [`task`](Self::task).
    #[must_use]
    pub fn payload(&self) -> Option<&str> {
        self.task.as_ref()?.payload.as_deref()
    }

    /// The issue's title, of a task that was claimed.
    ///
    /// Example: [`task`](Self::task).
    #[must_use]
    pub fn title(&self) -> Option<&str> {
        self.task.as_ref()?.title.as_deref()
    }

    /// How many runs of the task failed before; 0 of a checkout by number.
    ///
    /// Example: [`task`](Self::task).
    #[must_use]
    pub fn attempts(&self) -> u32 {
        self.task.as_ref().map_or(0, |task| task.attempts)
    }

    /// Is cancelled when the work has to stop. It outlives the lease; the end of the lease itself does not cancel it.
    ///
    /// Example: [`Project::lease`](crate::Project::lease).
    #[must_use]
    pub fn stop_token(&self) -> CancellationToken {
        self.destiny.token.clone()
    }

    /// Why the work has to stop; none while it may go on.
    ///
    /// Example: [`Lease`].
    #[must_use]
    pub fn fate(&self) -> Option<Fate> {
        self.destiny.get()
    }

    /// Waits until the work has to stop, and tells why. It does not borrow the lease.
    ///
    /// ```no_run
    /// # async fn example(lease: poppo::Lease, work: impl AsyncFn() -> String) -> Result<(), poppo::Error> {
    /// let (stopped, over) = (lease.until_stopped(), lease.until_over());
    /// tokio::select! {
    ///     result = work() => drop(lease.complete(result).await?),
    ///     fate = stopped => eprintln!("it has to stop: {fate}"),
    ///     () = over => eprintln!("the issue may be another's by now"),
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn until_stopped(&self) -> impl Future<Output = Fate> + Send + 'static + use<> {
        let destiny = self.destiny.clone();
        async move {
            destiny.token.cancelled().await;
            match destiny.get() {
                Some(fate) => fate,
                // It is set before the token is.
                None => std::future::pending().await,
            }
        }
    }

    /// Waits until the issue may be another's, since no heartbeat was answered for as long as the lease lasts, or since it
    /// is lost already. It does not borrow the lease.
    ///
    /// Example: [`until_stopped`](Self::until_stopped).
    pub fn until_over(&self) -> impl Future<Output = ()> + Send + 'static + use<> {
        let (keeper, token) = (Arc::clone(&self.keeper), self.token);
        async move {
            while let Some(deadline) = keeper.deadline_of(token).filter(|time| *time > Instant::now()) {
                sleep_until(deadline).await;
            }
        }
    }

    /// Reports how far the work is: at most 65,536 bytes, for people. It goes with the next heartbeat, at most a second
    /// later; of several reports in one second, the last one counts. The server keeps one for each process, so where it has
    /// several leases at a time, say which one you mean.
    ///
    /// Example: [`Lease`].
    pub fn progress(&self, text: impl Into<String>) {
        self.keeper.set_progress(text.into());
    }

    /// Ends the lease as `completed`, with a result: JSON text of at most 65,536 bytes, or none if it is empty. Its task is
    /// finished for good.
    ///
    /// Example: [`Lease`].
    ///
    /// # Errors
    /// See [`Lease`].
    pub async fn complete(self, result: impl Into<String>) -> Result<CheckedIn, Error> {
        let mut report = self.checkin(Outcome::Completed);
        report.result = Some(result.into()).filter(|result| !result.is_empty());
        self.check_in(report).await
    }

    /// Ends the lease as `awaiting-response`: people have to answer first. Its task is finished; the answer becomes another.
    ///
    /// Example: [`fail`](Self::fail).
    ///
    /// # Errors
    /// See [`Lease`].
    pub async fn await_response(self, reason: impl Into<String>) -> Result<CheckedIn, Error> {
        let mut report = self.checkin(Outcome::AwaitingResponse);
        report.reason = Some(reason.into());
        self.check_in(report).await
    }

    /// Ends the lease as `error`. Its task is dead: it is listed so, and waits for somebody to revive it.
    ///
    /// ```no_run
    /// # async fn example(lease: poppo::Lease, build: impl Fn() -> Result<String, String>) -> Result<(), poppo::Error> {
    /// use std::time::Duration;
    ///
    /// match build() {
    ///     Ok(result) => lease.complete(result).await?,
    ///     Err(why) if why.contains("question") => lease.await_response(why).await?,
    ///     Err(why) if lease.attempts() < 3 => lease.retry(Duration::from_secs(60), why).await?,
    ///     Err(why) => lease.fail(why).await?,
    /// };
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// See [`Lease`].
    pub async fn fail(self, reason: impl Into<String>) -> Result<CheckedIn, Error> {
        let mut report = self.checkin(Outcome::Error);
        report.reason = Some(reason.into());
        self.check_in(report).await
    }

    /// Ends the lease as `error`, and has its task wait again, for 0 to 365 days. A task that has failed `max-attempts`
    /// times (a setting of the project, 5 by default) is dead all the same.
    ///
    /// Example: [`fail`](Self::fail).
    ///
    /// # Errors
    /// See [`Lease`].
    pub async fn retry(self, delay: Duration, reason: impl Into<String>) -> Result<CheckedIn, Error> {
        let mut report = self.checkin(Outcome::Error);
        report.reason = Some(reason.into());
        report.retry = Some(delay);
        self.check_in(report).await
    }

    /// Gives the issue back, unfinished, through no fault of its own: its task can be claimed again at once, which counts as
    /// one of its attempts. An issue without a task was never queued, and is `cancelled`; so is one that somebody called
    /// off.
    ///
    /// ```no_run
    /// # use poppo::Fate;
    /// # async fn example(lease: poppo::Lease) -> Result<(), poppo::Error> {
    /// match lease.fate() {
    ///     Some(Fate::Cancelled) => lease.cancel("stopped as it was asked to").await?,
    ///     _ => lease.release("this host goes down").await?,
    /// };
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// See [`Lease`].
    pub async fn release(self, reason: impl Into<String>) -> Result<CheckedIn, Error> {
        let reason = reason.into();
        if self.task.is_none() && !self.has_task_on_the_server().await {
            return self.cancel(reason).await;
        }
        self.retry(Duration::ZERO, reason).await
    }

    /// Ends the lease as `cancelled`: somebody called it off. Its task is dropped.
    ///
    /// Example: [`release`](Self::release).
    ///
    /// # Errors
    /// See [`Lease`].
    pub async fn cancel(self, reason: impl Into<String>) -> Result<CheckedIn, Error> {
        let mut report = self.checkin(Outcome::Cancelled);
        report.reason = Some(reason.into());
        self.check_in(report).await
    }

    /// Ends the lease with everything that a check-in may say; issue, process, token and incarnation are the lease's own,
    /// whatever the report says.
    ///
    /// ```no_run
    /// # async fn example(lease: poppo::Lease) -> Result<(), poppo::Error> {
    /// use poppo::Outcome;
    ///
    /// // What `complete`, `await_response`, `fail`, `retry`, `release` and `cancel` are short for.
    /// let mut report = lease.checkin(Outcome::Completed);
    /// report.result = Some(r#"{"pr":77}"#.to_owned());
    /// report.metadata = vec![("branch".to_owned(), "fix-123".to_owned())];
    /// lease.check_in(report).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// See [`Lease`].
    pub async fn check_in(self, report: Checkin) -> Result<CheckedIn, Error> {
        let until = self.until_over();
        self.check_in_until(report, until).await
    }

    /// As [`check_in`](Self::check_in), but it is repeated until `enough` comes back.
    ///
    /// ```no_run
    /// # use std::time::Duration; use poppo::Outcome;
    /// # async fn example(lease: poppo::Lease) -> Result<(), poppo::Error> {
    /// // For a minute, however long the lease lasts; then it is kept on disk.
    /// let report = lease.checkin(Outcome::Completed);
    /// lease.check_in_until(report, tokio::time::sleep(Duration::from_secs(60))).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// See [`Lease`].
    pub async fn check_in_until(
        self,
        report: Checkin,
        enough: impl Future<Output = ()> + Send,
    ) -> Result<CheckedIn, Error> {
        let wants_next = self.place.as_ref().is_some_and(|place| place.wants_next());
        let place = self.place.clone();
        let (checked_in, next) = self.report(report, wants_next, enough).await?;
        if let (Some(place), Some(next)) = (place, next) {
            // Where nobody looks there any more, it goes back at once: it was not even begun.
            if let Some(unwanted) = place.put_next(next) {
                return unwanted.give_back().await.map(|()| checked_in);
            }
        }
        Ok(checked_in)
    }

    /// As [`check_in`](Self::check_in), and claims the next task in the same step, if there is one: of the types that the
    /// process claimed last, without waiting. One round trip a task in a busy loop. It is repeated until `enough` comes
    /// back; then the report is kept on disk.
    ///
    /// ```no_run
    /// # use poppo::Outcome;
    /// # async fn example(lease: poppo::Lease) -> Result<(), poppo::Error> {
    /// let mut next = Some(lease);
    /// while let Some(lease) = next {
    ///     let (report, over) = (lease.checkin(Outcome::Completed), lease.until_over());
    ///     next = lease.check_in_and_claim(report, over).await?.1;
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// See [`Lease`].
    pub async fn check_in_and_claim(
        self,
        report: Checkin,
        enough: impl Future<Output = ()> + Send,
    ) -> Result<(CheckedIn, Option<Self>), Error> {
        self.unplaced().report(report, true, enough).await
    }

    /// A report with this outcome, and nothing else said.
    ///
    /// Example: [`check_in`](Self::check_in).
    #[must_use]
    pub fn checkin(&self, outcome: Outcome) -> Checkin {
        Checkin::new(self.issue, &self.keeper.process, outcome)
    }

    async fn give_back(self) -> Result<(), Error> {
        let lease = self.unplaced();
        let mut report = lease.checkin(Outcome::Error);
        report.reason = Some("its worker ended before it was begun".to_owned());
        report.retry = Some(Duration::ZERO);
        let until = lease.until_over();
        lease.report(report, false, until).await.map(drop)
    }

    /// Whether a task was waiting that a checkout by number took along. Where the server does not say, yes: a task too many
    /// is seen, one that was dropped is not.
    async fn has_task_on_the_server(&self) -> bool {
        match self.keeper.project.get(self.issue).await {
            Ok(Some(issue)) => {
                issue.token != Some(self.token) || issue.status != Status::Processing || issue.task.is_some()
            }
            Ok(None) => false,
            Err(_) => true,
        }
    }

    /// What is to be reported of a lease that was let go of without a word.
    pub(super) fn last_word(&self) -> Checkin {
        self.report.clone().unwrap_or_else(|| {
            let mut report = self.checkin(Outcome::Error);
            report.reason = Some("dropped".to_owned());
            report
        })
    }

    /// The same lease in another place, so that what is left here can be dropped.
    fn moved(&mut self) -> Self {
        Self {
            keeper: Arc::clone(&self.keeper),
            issue: self.issue,
            token: self.token,
            task: self.task.take(),
            destiny: self.destiny.clone(),
            place: None,
            report: self.report.take(),
            is_over: std::mem::replace(&mut self.is_over, true),
            kept: self.kept.take(),
            is_in_background: self.is_in_background,
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if self.is_over {
            return;
        }
        let mut lease = self.moved();
        // What was begun to be reported is no longer the worker's to decide.
        if lease.report.is_none()
            && let Some(place) = self.place.take()
        {
            let mut inside = place.inside();
            if inside.is_open {
                inside.left = Some(lease);
                return;
            }
        }
        if lease.report.is_none() && !lease.keeper.holds(lease.token) {
            // It was lost: there is nothing to report.
            lease.is_over = true;
            return;
        }
        if lease.is_in_background {
            // The runtime ends, and took the task along.
            lease.keep_last_word();
            return;
        }
        lease.report_from_the_background();
    }
}
