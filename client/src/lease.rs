//! What a process holds, and the heartbeats that keep it: one beat renews all its leases, however many there are.
//!
//! The server decides who has an issue, never this file. A lease is given up when the server says that it is gone, or when
//! the server has been silent for as long as the lease may be: from then on somebody else may have it.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Duration;

use poppo::{Beat, Checkin, Claimed, Error, Heartbeat, IssueNumber, Life, Project, Refusal, Token};
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::exit::{FAILED, Failure, LOST};
use crate::human::duration;
use crate::output::say;
use crate::retry::Retry;

/// What a lease lasts without a beat until the server said it.
const DEFAULT_TTL: Duration = Duration::from_secs(30 * 60);
/// Beats come three in a TTL, so that two may be lost, and at least this often.
const LONGEST_PERIOD: Duration = Duration::from_secs(60);
/// What is done while the server does not answer.
const TRYING: &str = "trying again while the lease lasts";
/// After how long a lease that the server has us hold and that nobody works on is given back. Longer than an answer can be
/// on its way.
const STRAY_AFTER: Duration = Duration::from_secs(60);

/// How often it is said at most that writes are not confirmed.
const WARN_EVERY: Duration = Duration::from_secs(60);

/// How many tokens are remembered.
const KNOWN: usize = 4096;

/// Why the work on an issue has to stop.
#[derive(Debug, Clone)]
pub(crate) enum Fate {
    /// The lease is gone, or may be: nothing may be reported any more.
    Lost(Failure),
    /// Somebody asked for it; to be checked in as cancelled.
    Cancelled,
}

/// One life of a process, and all that it holds.
pub(crate) struct Keeper {
    pub(crate) project: Project,
    pub(crate) process: String,
    incarnation: String,
    /// How long a lease lasts without a beat.
    ttl: Cell<Duration>,
    /// Whether the server has said that.
    is_ttl_known: Cell<bool>,
    /// Whether the server said that it does not know this life: its data was lost, or another life took the name.
    is_unknown: Cell<bool>,
    held: RefCell<BTreeMap<Token, Held>>,
    /// The tokens of the latest leases, those that ended among them.
    known: RefCell<BTreeSet<Token>>,
    /// Leases that only the server knows of, and since when.
    strays: RefCell<BTreeMap<(IssueNumber, Token), Instant>>,
    /// Another lease is held.
    came: Notify,
    /// When it was last said that writes are not confirmed.
    warned: Cell<Option<Instant>>,
}

/// A lease as the keeper knows it.
struct Held {
    issue: IssueNumber,
    /// When the last beat that was answered had been sent.
    confirmed: Instant,
    fate: watch::Sender<Option<Fate>>,
}

/// A lease that is held until it is dropped, or its fate says otherwise.
pub(crate) struct Lease {
    keeper: Rc<Keeper>,
    pub(crate) issue: IssueNumber,
    pub(crate) token: Token,
    fate: watch::Receiver<Option<Fate>>,
}

impl Keeper {
    /// Of this life of a process, which may be silent for `ttl` where that was said.
    pub(crate) fn new(project: Project, process: String, life: &Life, ttl: Option<Duration>) -> Rc<Self> {
        Rc::new(Self {
            project,
            process,
            incarnation: life.incarnation.clone(),
            ttl: Cell::new(ttl.unwrap_or(DEFAULT_TTL)),
            is_ttl_known: Cell::new(ttl.is_some()),
            is_unknown: Cell::new(false),
            held: RefCell::default(),
            known: RefCell::default(),
            strays: RefCell::default(),
            came: Notify::new(),
            warned: Cell::new(None),
        })
    }

    /// Asks for something durable. Where it is done but not confirmed, that is said, and its answer is had without: work goes
    /// on, under the promises that there are without durability.
    pub(crate) async fn ask<T>(&self, question: impl AsyncFn(&Project) -> Result<T, Error>) -> Result<T, Error> {
        match question(&self.project).await {
            Err(error @ Error::Unconfirmed { .. }) => {
                let now = Instant::now();
                if self.warned.get().is_none_or(|then| now - then >= WARN_EVERY) {
                    self.warned.set(Some(now));
                    say(&format!("{error}; going on"));
                }
                question(&self.project.without_durability()).await
            }
            answer => answer,
        }
    }

    /// Takes charge of a lease that the server granted at that time, or a moment before or after. None where this process
    /// had charge of it before: an answer that was late, or came twice.
    pub(crate) fn hold(self: &Rc<Self>, issue: IssueNumber, token: Token, confirmed: Instant) -> Option<Lease> {
        let (fate, receiver) = watch::channel(None);
        let mut known = self.known.borrow_mut();
        if !known.insert(token) {
            return None;
        }
        // Tokens grow, so the first is the oldest.
        if known.len() > KNOWN {
            known.pop_first();
        }
        self.held.borrow_mut().insert(token, Held { issue, confirmed, fate });
        self.came.notify_one();
        Some(Lease { keeper: Rc::clone(self), issue, token, fate: receiver })
    }

    /// Whether the server said that it does not know this life, since this was last asked.
    pub(crate) fn take_unknown(&self) -> bool {
        self.is_unknown.take()
    }

    /// Beats for as long as it is polled, while anything is held.
    pub(crate) async fn beat(&self) {
        let mut retry = Retry::default();
        loop {
            tokio::select! {
                () = self.is_due() => {}
                () = self.came.notified() => continue,
            }
            let sent = Instant::now();
            match timeout(self.patience(), self.project.heartbeat(&self.heartbeat())).await {
                Ok(Ok(beat)) => {
                    if retry.has_begun() {
                        say("the server answers again");
                        retry = Retry::default();
                    }
                    self.confirm(&beat, sent);
                    self.give_back_strays(&beat, sent).await;
                }
                Ok(Err(Error::Refused(refusal @ Refusal::NoProcess(_)))) => {
                    self.is_unknown.set(true);
                    self.lose(
                        |_, held| held.confirmed <= sent,
                        refusal.code(),
                        &format!("is no longer ours: {refusal}"),
                    );
                }
                other => {
                    // After a freeze much time may have passed, but a server that answers knows better than our clock:
                    // hence the clock is asked only where no answer came.
                    let (now, ttl) = (Instant::now(), self.ttl.get());
                    let why = format!("may be another's by now: no heartbeat was answered for {}", duration(ttl));
                    self.lose(|_, held| now >= held.confirmed + ttl, "LOST", &why);
                    let Some(deadline) = self.deadline() else { continue };
                    let what = match other {
                        Ok(Err(error)) => error.to_string(),
                        _ => {
                            self.project.client().disconnect().await;
                            format!("{} does not answer", self.project.client().url())
                        }
                    };
                    retry.warn(&what, TRYING);
                    sleep(retry.pause().min(deadline.saturating_duration_since(now))).await;
                }
            }
        }
    }

    /// What the server has us hold at this moment that we never heard of: claims whose answers were lost.
    pub(crate) async fn unheard_of(&self) -> Result<Vec<(IssueNumber, Token)>, Error> {
        let heartbeat = self.heartbeat();
        let beat = match self.ask(async |project| project.heartbeat_durably(&heartbeat).await).await {
            Ok(beat) => beat,
            // It holds nothing, then.
            Err(Error::Refused(Refusal::NoProcess(_))) => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let known = self.known.borrow();
        Ok(beat.issues.into_iter().filter(|(_, token)| !known.contains(token)).collect())
    }

    fn heartbeat(&self) -> Heartbeat {
        let mut heartbeat = Heartbeat::new(&self.process);
        heartbeat.incarnation = Some(self.incarnation.clone());
        heartbeat
    }

    /// What a beat that was sent then says of each lease that was held by then.
    fn confirm(&self, beat: &Beat, sent: Instant) {
        self.ttl.set(beat.time_to_live());
        self.is_ttl_known.set(true);
        for (token, held) in self.held.borrow_mut().iter_mut() {
            if beat.holds(held.issue, *token) {
                held.confirmed = held.confirmed.max(sent);
                if beat.cancel.contains(&held.issue) {
                    held.end(Fate::Cancelled);
                }
            }
        }
        // What came after the beat was sent need not be in its answer.
        let is_gone = |token, held: &Held| held.confirmed <= sent && !beat.holds(held.issue, token);
        self.lose(is_gone, "LOST", "is no longer ours");
    }

    /// What is lost is told so, and not beaten for any more.
    fn lose(&self, is_lost: impl Fn(Token, &Held) -> bool, code: &str, why: &str) {
        self.held.borrow_mut().retain(|token, held| {
            let is_lost = is_lost(*token, held);
            if is_lost {
                held.end(Fate::Lost(lost(held.issue, *token, code, why)));
            }
            !is_lost
        });
    }

    /// Leases of which we know nothing would live for as long as we beat for the others. Where one stays, its claim's answer
    /// was lost for good: its task goes back to the queue.
    async fn give_back_strays(&self, beat: &Beat, sent: Instant) {
        let unknown: Vec<_> = {
            let held = self.held.borrow();
            beat.issues.iter().filter(|(_, token)| !held.contains_key(token)).copied().collect()
        };
        let old: Vec<_> = {
            let mut strays = self.strays.borrow_mut();
            strays.retain(|lease, _| unknown.contains(lease));
            for lease in &unknown {
                strays.entry(*lease).or_insert(sent);
            }
            strays.iter().filter(|(_, since)| sent - **since >= STRAY_AFTER).map(|(lease, _)| *lease).collect()
        };
        for (issue, token) in old {
            let mut report = Checkin::new(issue, &self.process, poppo::Outcome::Error);
            report.token = Some(token);
            report.incarnation = Some(self.incarnation.clone());
            report.reason = Some("the worker never heard of this lease".to_owned());
            report.retry = Some(Duration::ZERO);
            match self.project.checkin(&report).await {
                Ok(()) => say(&format!("issue {issue} (token {token}) was ours and nobody worked on it: given back")),
                // The next beat sees whether it is still there.
                Err(error) => say(&format!("issue {issue} (token {token}) is ours and nobody works on it: {error}")),
            }
        }
    }

    /// Waits until the next beat is due; for ever where nothing is held.
    async fn is_due(&self) {
        let oldest = self.held.borrow().values().map(|held| held.confirmed).min();
        match oldest {
            None => std::future::pending().await,
            Some(confirmed) if self.is_ttl_known.get() => sleep_until(confirmed + self.period()).await,
            // Its answer says what TTL the project gave us.
            Some(_) => {}
        }
    }

    /// When the first lease may be another's, unless it is confirmed until then.
    fn deadline(&self) -> Option<Instant> {
        self.held.borrow().values().map(|held| held.confirmed + self.ttl.get()).min()
    }

    fn period(&self) -> Duration {
        (self.ttl.get() / 3).min(LONGEST_PERIOD)
    }

    /// For how long an answer is waited for: not beyond the deadline, but never so short that none could come.
    fn patience(&self) -> Duration {
        self.period().max(Duration::from_millis(300)).min(Duration::from_secs(10))
    }
}

impl Held {
    /// The first fate counts, but for a cancelled lease that is lost then.
    fn end(&self, fate: Fate) {
        self.fate.send_if_modified(|place| {
            let is_news = matches!((&place, &fate), (None, _) | (Some(Fate::Cancelled), Fate::Lost(_)));
            if is_news {
                *place = Some(fate);
            }
            is_news
        });
    }
}

fn lost(issue: IssueNumber, token: Token, code: &str, why: &str) -> Failure {
    Failure::new(LOST, code, format!("issue {issue} (token {token}) {why}; the command was stopped"))
}

impl Lease {
    /// Comes back when the work has to stop.
    pub(crate) async fn fate(&mut self) -> Fate {
        match self.fate.wait_for(Option::is_some).await.as_deref() {
            Ok(Some(fate)) => fate.clone(),
            // The keeper let go of it, which it does only with a last word; that was heard already.
            _ => std::future::pending().await,
        }
    }

    /// Checks in, and keeps trying until `is_over` says that it is enough. The report is always sent at least once, however
    /// late it is: its token makes the server refuse what no longer counts.
    pub(crate) async fn check_in(
        &self,
        report: Checkin,
        next: Next<'_>,
        patience: Patience,
        stop: impl Future<Output = ()>,
    ) -> Result<Option<Claimed>, Failure> {
        let mut report = report;
        report.token = Some(self.token);
        report.incarnation = Some(self.keeper.incarnation.clone());
        let mut retry = Retry::default();
        let mut stop = std::pin::pin!(stop);
        loop {
            let error = match self.send(&report, next != Next::No).await {
                Ok(next) => return Ok(next),
                // Whatever the refusal, the lease that we had is not there any more.
                Err(Error::Refused(refusal)) => return Err(Failure::new(LOST, refusal.code(), refusal.to_string())),
                Err(Error::BadArgument(why)) if report.result.is_some() => {
                    say(&format!("issue {}: checked in without its result, which was refused: {why}", self.issue));
                    report.result = None;
                    continue;
                }
                Err(error @ (Error::BadArgument(_) | Error::Answer { .. })) => return Err(error.into()),
                Err(error) => error,
            };
            let is_over = match patience {
                Patience::WhileItLasts => self.deadline().is_none_or(|deadline| Instant::now() >= deadline),
                Patience::ForAsLongAsItTakes => !error.may_pass(),
            };
            if is_over {
                return Err(self.not_checked_in(&report, &error));
            }
            let then = match patience {
                Patience::WhileItLasts => TRYING,
                Patience::ForAsLongAsItTakes => "trying again until it answers",
            };
            retry.warn(&error.to_string(), then);
            if let Next::Claimed { is_uncertain } = next {
                is_uncertain.set(true);
            }
            tokio::select! {
                () = sleep(retry.pause()) => {}
                () = &mut stop => return Err(self.not_checked_in(&report, &error)),
            }
        }
    }

    async fn send(&self, report: &Checkin, next: bool) -> Result<Option<Claimed>, Error> {
        if next {
            return self.keeper.ask(async |project| project.checkin_and_claim(report).await).await;
        }
        self.keeper.ask(async |project| project.checkin(report).await).await.map(|()| None)
    }

    fn not_checked_in(&self, report: &Checkin, error: &Error) -> Failure {
        let message = format!("issue {} could not be checked in as {}: {error}", self.issue, report.outcome);
        Failure::new(FAILED, error.code(), message)
    }

    /// When it may be another's, unless it is confirmed until then; none where it is gone.
    fn deadline(&self) -> Option<Instant> {
        self.keeper.held.borrow().get(&self.token).map(|held| held.confirmed + self.keeper.ttl.get())
    }
}

/// Whether a check-in claims the next task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next<'a> {
    No,
    /// And where it is to be noted that an answer was lost: what it granted may then be nobody's.
    Claimed {
        is_uncertain: &'a Cell<bool>,
    },
}

/// For how long a check-in is repeated that is not answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Patience {
    WhileItLasts,
    ForAsLongAsItTakes,
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.keeper.held.borrow_mut().remove(&self.token);
    }
}
