//! The loop of a worker: it claims tasks and has a function do them, some at a time. Here is what a worker can be told; what
//! it does then is in `shift`.

mod shift;

use std::fmt;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use self::shift::Shift;
use crate::{Backoff, Error, Holder, Lease, Life, Project};

/// The most jobs at a time, as of `poppo work`.
const MOST_JOBS: usize = 256;
/// How long a function may go on by default after its work has to stop.
const GRACE: Duration = Duration::from_secs(10);

/// Does the tasks of a project's queue: claims one, has a function do it under its lease, checks it in, and so on. It is the
/// loop of `poppo work`, too, whose function runs a command.
///
/// The function gets the [`Lease`] of its task, and ends it as it likes. While there is work, the next task comes with the
/// check-in: one round trip a task. What the function does not end, its worker ends:
///
/// | the function | and the lease was not ended | the issue is checked in as |
/// | --- | --- | --- |
/// | returns an error | | `error`, with its text as the reason; the task waits again where there is a [`retry`](Self::retry) policy, else it is dead |
/// | returns `Ok` | | `error`, reason `dropped`, as above |
/// | panics | | `error`, reason `panicked`, as above |
/// | returns anything, or goes on for too long | after [`Fate::Cancelled`](crate::Fate::Cancelled) | `cancelled` |
/// | returns anything, or goes on for too long | after [`Fate::Stopped`](crate::Fate::Stopped) | `queued` again, for others |
/// | goes on for too long | after [`Fate::Lost`](crate::Fate::Lost) | nothing: it is another's |
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
///
/// ```no_run
/// # async fn example(project: poppo::Project) -> Result<(), poppo::Error> {
/// use poppo::Worker;
/// use std::time::Duration;
/// use tokio_util::sync::CancellationToken;
///
/// // As a cron job: what there is, at most eight at a time, and no longer than told.
/// let stop = CancellationToken::new();
/// let worker = Worker::new(&project)
///     .process("nightly")
///     .jobs(8)
///     .once()
///     .ttl(Duration::from_secs(300))
///     .grace(Duration::from_secs(30))
///     .stop_on(stop.clone());
/// worker.holder().on_notice(|notice| eprintln!("{notice}"));
/// worker.run(|lease| async move { lease.complete("").await.map(drop) }).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Worker {
    holder: Holder,
    jobs: usize,
    types: Vec<String>,
    once: bool,
    ttl: Option<Duration>,
    retry: Option<Backoff>,
    grace: Duration,
    drain: CancellationToken,
    stop: CancellationToken,
}

impl Worker {
    /// A worker for this project: one job at a time, tasks of any type, failed tasks are dead, named after host and PID.
    ///
    /// Example: [`Worker`].
    #[must_use]
    pub fn new(project: &Project) -> Self {
        Self::of(project.holder(Life::current().default_process_name()))
    }

    /// A worker whose leases this holder has.
    ///
    /// ```no_run
    /// # use poppo::Worker;
    /// # async fn example(project: poppo::Project) -> Result<(), poppo::Error> {
    /// let holder = project.holder("worker-1");
    /// holder.keep_in(None);
    /// let worker = Worker::of(holder);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn of(holder: Holder) -> Self {
        Self {
            holder,
            jobs: 1,
            types: Vec::new(),
            once: false,
            ttl: None,
            retry: None,
            grace: GRACE,
            drain: CancellationToken::new(),
            stop: CancellationToken::new(),
        }
    }

    /// Its process name: 1 to 128 bytes of printable ASCII without blanks, no other process's.
    ///
    /// Example: [`Worker`].
    #[must_use]
    pub fn process(mut self, name: impl Into<String>) -> Self {
        self.holder = self.holder.project().holder(name);
        self
    }

    /// How many tasks at a time: 1 to 256; what is less or more counts as that.
    ///
    /// Example: [`Worker`].
    #[must_use]
    pub fn jobs(mut self, jobs: usize) -> Self {
        self.jobs = jobs.clamp(1, MOST_JOBS);
        self
    }

    /// Only tasks of these types, 1 to 64 of them; of any where there are none.
    ///
    /// Example: [`Worker`].
    #[must_use]
    pub fn types<T: Into<String>>(mut self, types: impl IntoIterator<Item = T>) -> Self {
        self.types = types.into_iter().map(Into::into).collect();
        self
    }

    /// At most one task for each job, where there is one; then [`run`](Self::run) comes back. It waits neither for a task nor
    /// for a server that is away: for a cron job, or a test.
    ///
    /// Example: [`Worker`].
    #[must_use]
    pub fn once(mut self) -> Self {
        self.once = true;
        self
    }

    /// How long its leases last without a heartbeat: 1 s to 24 h. Default: the project's `heartbeat-ttl`.
    ///
    /// Example: [`Worker`].
    #[must_use]
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.ttl = Some(ttl);
        self
    }

    /// Has failed tasks wait again, for the pause that this gives after so many failed runs. They are dead once they have
    /// failed `max-attempts` times, a setting of the project.
    ///
    /// Example: [`Worker`].
    #[must_use]
    pub fn retry(mut self, pauses: Backoff) -> Self {
        self.retry = Some(pauses);
        self
    }

    /// How long the function may go on after its work has to stop, before its future is dropped. Default: 10 s;
    /// [`Duration::MAX`] for a function that is sure to end.
    ///
    /// Example: [`Worker`].
    #[must_use]
    pub fn grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// When this token is cancelled, nothing new is claimed, what runs is finished, and [`run`](Self::run) comes back.
    ///
    /// Example: [`Worker`].
    #[must_use]
    pub fn drain_on(mut self, token: CancellationToken) -> Self {
        // Its own end is not for others to hear of.
        self.drain = token.child_token();
        self
    }

    /// When this token is cancelled, what runs has to stop, too, and goes back into the queue: all leases of its
    /// [`holder`](Self::holder).
    ///
    /// Example: [`Worker`].
    #[must_use]
    pub fn stop_on(mut self, token: CancellationToken) -> Self {
        self.stop = token;
        self
    }

    /// Who holds its leases: for notices, and for where reports are kept.
    ///
    /// Example: [`Worker`].
    #[must_use]
    pub fn holder(&self) -> &Holder {
        &self.holder
    }

    /// Works until it is told to end by [`drain_on`](Self::drain_on) or [`stop_on`](Self::stop_on). A server that is away
    /// is waited for, which goes to [`Holder::on_notice`]. Begins with the delivery of what earlier workers could not report.
    ///
    /// At its end it waits for up to 5 s until everything is reported that goes on in the background. What is not by then goes
    /// on, and is kept on disk where the runtime ends.
    ///
    /// Example: [`Worker`].
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
        Shift::new(self, function).work().await
    }
}
