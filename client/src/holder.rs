//! Leases that keep themselves: who holds them, how they are taken, and one task for each holder that beats for them all.
//!
//! What a holder knows and when it beats is in `keeper`, what can be done with a lease in `lease`, how one is checked in over
//! lost answers in `report`, why work has to stop in `fate`.

mod fate;
mod keeper;
mod lease;
mod report;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::time::Instant;

pub use self::fate::{Fate, Notice};
use self::keeper::Keeper;
pub(crate) use self::lease::Place;
pub use self::lease::{CheckedIn, Lease};
use crate::queue::Rounds;
use crate::{Block, Checkout, Claim, Claimed, Error, IssueNumber, Life, Project, Refusal, Spool, Token};

/// Server, project, process and incarnation.
type Key = (String, String, String, String);

/// All keepers of this program: two that beat for one process would take each other's leases for nobody's.
static KEEPERS: Mutex<BTreeMap<Key, Weak<Keeper>>> = Mutex::new(BTreeMap::new());

/// One life of a process in a project, and all leases that it holds there. Cheap to clone.
///
/// There is one for each server, project, process name and incarnation in a program, however often it is asked for; its
/// one background task beats for all its leases, three times in the time that they last and at least once a minute, and
/// not at all while it holds none. It needs a tokio runtime with time and I/O.
///
/// What the server says it holds and it never heard of (the answer to a claim was lost for good, say) it gives back, so that
/// beating for its other leases keeps nothing alive by mistake. So take all leases of one process name through its holder,
/// and reach the server by one URL.
///
/// ```no_run
/// # use poppo::{Checkout, Client, Error, IssueNumber};
/// # async fn work() -> Result<(), Error> {
/// let project = Client::connect("redis://127.0.0.1:6379").await?.project("acme/widgets");
/// let holder = project.holder("worker-1");
/// holder.on_notice(|notice| eprintln!("{notice}"));
/// let lease = holder.checkout(&Checkout::new(IssueNumber::try_from(123)?, "worker-1")).await?;
/// lease.complete(r#"{"pr":77}"#).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Holder {
    keeper: Arc<Keeper>,
    life: Life,
}

impl fmt::Debug for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let project = self.keeper.project.key();
        f.debug_struct("Holder").field("project", &project).field("process", &self.process()).finish_non_exhaustive()
    }
}

impl Project {
    /// The holder of all leases that this program has here under this process name.
    ///
    /// Example: [`Holder`].
    #[must_use]
    pub fn holder(&self, process: impl Into<String>) -> Holder {
        self.holder_as(process, Life::current())
    }

    /// The same for a life that the caller describes: a program that stands in for others, say.
    ///
    /// ```no_run
    /// # use poppo::Life;
    /// # async fn example(project: poppo::Project) -> Result<(), poppo::Error> {
    /// let child = Life { pid: 4711, host: "build-7".to_owned(), incarnation: "boot-3:4711".to_owned(), tmux: None };
    /// let holder = project.holder_as("worker-1", child);
    /// assert_eq!((holder.process(), holder.life().pid), ("worker-1", 4711));
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn holder_as(&self, process: impl Into<String>, life: Life) -> Holder {
        let process = process.into();
        let key = (self.client().url().to_owned(), self.key().to_owned(), process.clone(), life.incarnation.clone());
        let mut keepers = KEEPERS.lock().unwrap_or_else(PoisonError::into_inner);
        keepers.retain(|_, keeper| keeper.strong_count() > 0);
        let keeper = keepers.get(&key).and_then(Weak::upgrade).unwrap_or_else(|| {
            let keeper = Keeper::new(self.clone(), process, life.incarnation.clone());
            keepers.insert(key, Arc::downgrade(&keeper));
            keeper
        });
        Holder { keeper, life }
    }

    /// Takes an issue, and keeps its lease with heartbeats from the background until the [`Lease`] is used up or dropped.
    /// Short for [`Holder::checkout`] of the [`holder`](Self::holder) of that process name.
    ///
    /// ```no_run
    /// # use poppo::{Checkout, Client, Error, IssueNumber};
    /// # async fn work() -> Result<(), Box<dyn std::error::Error>> {
    /// let project = Client::connect("redis://127.0.0.1:6379").await?.project("acme/widgets");
    /// let lease = project.lease(&Checkout::new(IssueNumber::try_from(123)?, "worker-1")).await?;
    /// let stop = lease.stop_token();
    /// tokio::select! {
    ///     // … the work …
    ///     () = tokio::time::sleep(std::time::Duration::from_secs(5)) => drop(lease.complete(r#"{"pr":77}"#).await?),
    ///     () = stop.cancelled() => eprintln!("issue {}: {:?}", lease.issue(), lease.fate()),
    /// };
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`Holder::checkout`].
    pub async fn lease(&self, checkout: &Checkout) -> Result<Lease, Error> {
        let incarnation = checkout.incarnation.as_deref();
        self.holder_as(&checkout.process, life_of(incarnation)).checkout(checkout).await
    }

    /// Takes the first task whose issue is free, and keeps its lease as [`lease`](Self::lease) does. Short for
    /// [`Holder::claim`] of the [`holder`](Self::holder) of that process name.
    ///
    /// ```no_run
    /// # use poppo::Claim;
    /// # async fn example(project: poppo::Project) -> Result<(), poppo::Error> {
    /// if let Some(lease) = project.claim_lease(&Claim::new("worker-1")).await? {
    ///     lease.complete("").await?;
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`claim`](Self::claim).
    pub async fn claim_lease(&self, claim: &Claim) -> Result<Option<Lease>, Error> {
        self.holder_as(&claim.process, life_of(claim.incarnation.as_deref())).claim(claim).await
    }
}

impl Holder {
    /// The process's name.
    ///
    /// Example: [`Holder`].
    #[must_use]
    pub fn process(&self) -> &str {
        &self.keeper.process
    }

    /// Which life of it this is.
    ///
    /// Example: [`Holder`].
    #[must_use]
    pub fn life(&self) -> &Life {
        &self.life
    }

    /// The project that its leases are in.
    ///
    /// Example: [`Holder`].
    #[must_use]
    pub fn project(&self) -> &Project {
        &self.keeper.project
    }

    /// Has this called with everything that is worth a line in a log, instead of what was called before. It must not
    /// block.
    ///
    /// ```no_run
    /// # use poppo::{Holder, Notice};
    /// # async fn example(holder: Holder) -> Result<(), poppo::Error> {
    /// holder.on_notice(|notice| match notice {
    ///     Notice::Back => println!("the server answers again"),
    ///     other => eprintln!("{other}"),
    /// });
    /// # Ok(())
    /// # }
    /// ```
    pub fn on_notice(&self, listener: impl Fn(&Notice) + Send + Sync + 'static) {
        self.keeper.set_listener(Arc::new(listener));
    }

    /// Where check-ins are kept that the server cannot take: [`Spool::standard`] unless this says otherwise. With none,
    /// they are lost with this program.
    ///
    /// ```no_run
    /// # use poppo::{Holder, Spool};
    /// # async fn example(holder: Holder) -> Result<(), poppo::Error> {
    /// holder.keep_in(Some(Spool::at("/var/lib/my-worker/spool")));
    /// # Ok(())
    /// # }
    /// ```
    pub fn keep_in(&self, spool: Option<Spool>) {
        self.keeper.set_spool(spool);
    }

    /// Takes an issue, under the name and as the life of this holder; PID, host and tmux are added where they are not
    /// given.
    ///
    /// Example: [`Holder`].
    ///
    /// # Errors
    /// As [`Project::checkout`]; [`Refusal::Held`](crate::Refusal::Held) also where this holder itself has the issue
    /// already. An answer that was lost may have granted the lease all the same: it is then given back as soon as the
    /// server answers, so ask again.
    pub async fn checkout(&self, checkout: &Checkout) -> Result<Lease, Error> {
        let mut checkout = checkout.clone();
        checkout.process = self.keeper.process.clone();
        checkout.incarnation = Some(self.life.incarnation.clone());
        checkout.pid = checkout.pid.or(Some(self.life.pid));
        checkout.host = checkout.host.or_else(|| Some(self.life.host.clone()));
        checkout.tmux = checkout.tmux.or_else(|| self.life.tmux.clone());
        let asking = self.keeper.ask();
        let asked = Instant::now();
        let mut token = self.keeper.project.checkout(&checkout).await;
        if self.keeper.is_unconfirmed(&token) {
            token = self.keeper.project.without_durability().checkout(&checkout).await;
        }
        let token = match token {
            Ok(token) => token,
            Err(error) => {
                if !is_lost(&error) {
                    asking.answered();
                }
                return Err(error);
            }
        };
        let lease = self.keeper.hold(checkout.issue, token, asked, checkout.ttl);
        asking.answered();
        let Some(destiny) = lease else {
            let text = format!(
                "issue {} is checked out by {} (token {token}): by this program",
                checkout.issue,
                self.process()
            );
            return Err(Refusal::Held(text).into());
        };
        Ok(Lease::new(&self.keeper, checkout.issue, token, None, destiny))
    }

    /// Takes the first task whose issue is free, under the name and as the life of this holder, and waits for one for as
    /// long as [`Claim::block`] says. It is repeated over restarts and failovers of the server, as [`Project::claim`] is,
    /// and what was granted in an answer that was lost comes first.
    ///
    /// Let one claim of a holder be under way at a time.
    ///
    /// ```no_run
    /// # use std::time::Duration; use poppo::{Block, Claim, Holder};
    /// # async fn example(holder: Holder) -> Result<(), poppo::Error> {
    /// let mut claim = Claim::new(holder.process());
    /// claim.block = Block::AtMost(Duration::from_secs(60));
    /// while let Some(lease) = holder.claim(&claim).await? {
    ///     println!("{}", lease.title().unwrap_or("?"));
    ///     lease.complete("").await?;
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`Project::claim`].
    pub async fn claim(&self, claim: &Claim) -> Result<Option<Lease>, Error> {
        let mut rounds = Rounds::of(claim);
        let mut is_away = false;
        loop {
            let answer = self.claim_once(&rounds.question()).await;
            if answer.is_ok() && std::mem::take(&mut is_away) {
                self.notice(&Notice::Back);
            }
            let failure = answer.as_ref().err().filter(|_| !is_away).map(ToString::to_string);
            if let Some(answer) = rounds.settle(answer).await {
                return answer;
            }
            if let Some(error) = failure {
                is_away = true;
                self.notice(&Notice::NotClaimed { error });
            }
        }
    }

    /// As [`claim`](Self::claim), but a single question: it waits in one round for as long as `block` says, and repeats
    /// nothing. After an answer that was lost, the next question first asks what was granted by it.
    ///
    /// ```no_run
    /// # use std::time::Duration; use poppo::{Claim, Holder};
    /// # async fn example(holder: Holder) -> Result<(), poppo::Error> {
    /// let claim = Claim::new(holder.process());
    /// tokio::select! {
    ///     claimed = holder.claim_once(&claim) => println!("{claimed:?}"),
    ///     () = tokio::time::sleep(Duration::from_secs(1)) => {
    ///         // It may have been granted in this very moment.
    ///         if let Some(lease) = holder.unheard_of().await? {
    ///             lease.release("nobody waits for it any more").await?;
    ///         }
    ///     }
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`Project::claim`].
    pub async fn claim_once(&self, claim: &Claim) -> Result<Option<Lease>, Error> {
        let mut claim = claim.clone().numbered();
        claim.process.clone_from(&self.keeper.process);
        claim.incarnation = Some(self.life.incarnation.clone());
        claim.pid = claim.pid.or(Some(self.life.pid));
        claim.host = claim.host.or_else(|| Some(self.life.host.clone()));
        claim.tmux = claim.tmux.or_else(|| self.life.tmux.clone());
        let asking = self.keeper.ask();
        let answer = self.ask_for_task(&claim).await;
        if !answer.as_ref().is_err_and(is_lost) {
            asking.answered();
        }
        answer
    }

    /// What was granted in answers that were lost, if there is any: where a claim was broken off, say.
    ///
    /// Example: [`claim_once`](Self::claim_once).
    ///
    /// # Errors
    /// As [`Project::heartbeat`].
    pub async fn unheard_of(&self) -> Result<Option<Lease>, Error> {
        let asking = self.keeper.ask();
        let answer = self.take_up().await;
        asking.answered();
        if matches!(answer, Ok(None)) {
            self.keeper.is_certain_again();
        }
        answer
    }

    /// Whether another life of this process has taken its name, where the server said since the last call that it does not
    /// know this one. Two programs with one name would go on taking it from each other, so this one should end. None where
    /// the server said no such thing; false where it lost its data.
    ///
    /// ```no_run
    /// # use poppo::{Fate, Holder, Lease};
    /// # async fn example(holder: Holder, lease: Lease) -> Result<(), poppo::Error> {
    /// if let Some(Fate::Lost { .. }) = lease.fate()
    ///     && holder.was_replaced().await? == Some(true)
    /// {
    ///     println!("another program has the name {}", holder.process());
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`Project::processes`].
    pub async fn was_replaced(&self) -> Result<Option<bool>, Error> {
        if !self.keeper.take_unknown() {
            return Ok(None);
        }
        let processes = self.keeper.project.all_processes().await?;
        let is_another = |incarnation: Option<&String>| incarnation != Some(&self.life.incarnation);
        let mut others = processes.iter().filter(|process| process.process == self.keeper.process);
        Ok(Some(others.any(|process| is_another(process.incarnation.as_ref()))))
    }

    /// Delivers what is kept on disk for this project; what becomes of it goes to [`on_notice`](Self::on_notice). A holder
    /// does so by itself when the server answers again; do it when your program starts, for what earlier ones left.
    ///
    /// ```no_run
    /// # async fn example(project: poppo::Project) -> Result<(), poppo::Error> {
    /// let holder = project.holder("worker-1");
    /// // At the start: what earlier lives of this worker could not report.
    /// holder.deliver().await;
    /// // … work …
    /// // At the end: what is still on its way.
    /// holder.settled().await;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn deliver(&self) {
        self.keeper.deliver().await;
    }

    /// Waits until everything that goes on in the background is done: the reports of leases that were dropped. Without it,
    /// what is not reported when the runtime ends is kept on disk.
    ///
    /// Example: [`deliver`](Self::deliver).
    pub async fn settled(&self) {
        let mut pending = self.keeper.pending.subscribe();
        // Its sender lives as long as this holder.
        drop(pending.wait_for(|count| *count == 0).await);
    }

    pub(crate) fn notice(&self, notice: &Notice) {
        self.keeper.notice(notice);
    }

    /// Tells all leases that their work has to stop.
    pub(crate) fn stop_all(&self) {
        self.keeper.end_all(&Fate::Stopped);
    }

    async fn ask_for_task(&self, claim: &Claim) -> Result<Option<Lease>, Error> {
        // A lease whose answer was lost comes before a new one: under the id of a request the server repeats only what it
        // granted last.
        if self.keeper.is_uncertain() {
            if let Some(lease) = self.take_up().await? {
                return Ok(Some(lease));
            }
            self.keeper.is_certain_again();
        }
        let asked = Instant::now();
        let mut claimed = self.keeper.project.claim_once(claim).await;
        if self.keeper.is_unconfirmed(&claimed) {
            claimed = self.keeper.project.without_durability().claim_once(claim).await;
        }
        let claimed = claimed?;
        // A wait may have been longer than the TTL; what was granted was granted at its end.
        let confirmed = if claim.block == Block::No { asked } else { Instant::now() };
        Ok(claimed.and_then(|claimed| Lease::of_task(&self.keeper, claimed, confirmed, claim.ttl)))
    }

    /// A task that the server says we claimed, and of which we never heard.
    async fn take_up(&self) -> Result<Option<Lease>, Error> {
        for (number, token) in self.keeper.unheard_of().await? {
            let asked = Instant::now();
            if let Some(claimed) = self.task_of(number, token).await?
                && let Some(lease) = Lease::of_task(&self.keeper, claimed, asked, None)
            {
                return Ok(Some(lease));
            }
        }
        Ok(None)
    }

    /// The task of a lease, as a claim would have told it; none where it has none: a checkout whose answer was lost.
    async fn task_of(&self, number: IssueNumber, token: Token) -> Result<Option<Claimed>, Error> {
        let issue = self.keeper.project.get(number).await?.filter(|issue| issue.token == Some(token));
        Ok(issue.and_then(|issue| {
            Some(Claimed {
                issue: number,
                token,
                task: issue.task?,
                task_type: issue.task_type.unwrap_or_default(),
                title: issue.title,
                payload: issue.payload,
                attempts: issue.attempts.and_then(|count| u32::try_from(count).ok()).unwrap_or_default(),
                waited: 0,
            })
        }))
    }
}

/// This program, or the life of it that the caller named.
fn life_of(incarnation: Option<&str>) -> Life {
    let mut life = Life::current();
    if let Some(incarnation) = incarnation {
        life.incarnation = incarnation.to_owned();
    }
    life
}

/// Whether a lease may have been granted although this is all that we heard.
fn is_lost(error: &Error) -> bool {
    error.may_pass() || matches!(error, Error::Answer { .. })
}
