//! What a process holds, and the heartbeats that keep it: one beat renews all its leases, however many there are.
//!
//! The server decides who has an issue, never this file. A lease is given up when the server says that it is gone, or when
//! the server has been silent for as long as the lease may be: from then on somebody else may have it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::fate::{Destiny, Fate, Notice, words};
use crate::spool::Spool;
use crate::types::{IssueNumber, Outcome, Token};
use crate::{Backoff, Beat, Checkin, Error, Heartbeat, Project, Refusal};

/// What a lease lasts without a beat until the server said it.
const DEFAULT_TTL: Duration = Duration::from_secs(30 * 60);
/// Beats come three in a TTL, so that two may be lost, and at least this often.
const LONGEST_PERIOD: Duration = Duration::from_secs(60);
/// Progress is reported at most this often, however often there is some.
const PROGRESS_PERIOD: Duration = Duration::from_secs(1);
/// After how long a lease that the server has us hold and that nobody works on is given back, while a claim is under way
/// whose answer it might be. Longer than an answer can be on its way.
const STRAY_AFTER: Duration = Duration::from_secs(60);
/// For how long what an answer that was lost may have granted is left to whoever asked: he asks again, after the longest pause
/// of a [`Backoff`] at the latest, and takes it up.
const UNCERTAIN_FOR: Duration = Duration::from_secs(10);
/// How often it is said at most that writes are not confirmed.
const WARN_EVERY: Duration = Duration::from_secs(60);
/// How many tokens are remembered.
const KNOWN: usize = 4096;

/// What is called with each [`Notice`].
pub(super) type Listener = Arc<dyn Fn(&Notice) + Send + Sync>;

/// One life of a process, and all that it holds.
pub(crate) struct Keeper {
    pub(super) project: Project,
    pub(super) process: String,
    pub(super) incarnation: String,
    state: Mutex<State>,
    /// Something happened that the next beat depends on.
    changed: Notify,
    /// How many check-ins are on their way in the background.
    pub(super) pending: watch::Sender<usize>,
}

struct State {
    /// How long a lease lasts without a beat.
    ttl: Duration,
    /// Whether the server has said that.
    is_ttl_known: bool,
    /// Whether the server said that it does not know this life: its data was lost, or another life took the name.
    is_unknown: bool,
    /// Whether there is a task that beats.
    is_beating: bool,
    held: BTreeMap<Token, Held>,
    /// The tokens of the latest leases, those that ended among them.
    known: BTreeSet<Token>,
    /// The tokens of leases whose check-ins are kept on disk.
    kept: BTreeSet<Token>,
    /// Leases that only the server knows of, and since when.
    strays: BTreeMap<(IssueNumber, Token), Instant>,
    /// How many questions are under way whose answers may grant a lease, and how many there were.
    asking: usize,
    asked: u64,
    /// Since when the answer to such a question is lost, where one is: it may have granted a lease.
    uncertain_since: Option<Instant>,
    progress: Option<String>,
    last_beat: Option<Instant>,
    /// When it was last said that writes are not confirmed.
    warned: Option<Instant>,
    listener: Option<Listener>,
    spool: Option<Spool>,
}

/// A lease as the keeper knows it.
struct Held {
    issue: IssueNumber,
    /// When the last beat that was answered had been sent.
    confirmed: Instant,
    destiny: Destiny,
    /// Whether its check-in is on its way: then it need not be in a beat's answer any more, and is not lost by that.
    is_reported: bool,
}

/// When the next beat is to be sent.
enum Due {
    Now,
    At(Instant),
    Never,
}

/// A question that may grant a lease. Dropped before it was answered, it leaves uncertainty.
pub(super) struct Asking<'a> {
    keeper: &'a Arc<Keeper>,
    is_answered: bool,
}

impl Keeper {
    pub(super) fn new(project: Project, process: String, incarnation: String) -> Arc<Self> {
        Arc::new(Self {
            project,
            process,
            incarnation,
            state: Mutex::new(State {
                ttl: DEFAULT_TTL,
                is_ttl_known: false,
                is_unknown: false,
                is_beating: false,
                held: BTreeMap::new(),
                known: BTreeSet::new(),
                kept: BTreeSet::new(),
                strays: BTreeMap::new(),
                asking: 0,
                asked: 0,
                uncertain_since: None,
                progress: None,
                last_beat: None,
                warned: None,
                listener: None,
                spool: Spool::standard(),
            }),
            changed: Notify::new(),
            pending: watch::Sender::new(0),
        })
    }

    /// A panic cannot leave the state half done: nothing here that can panic stands between two changes.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn set_listener(&self, listener: Listener) {
        self.state().listener = Some(listener);
    }

    pub(super) fn set_spool(&self, spool: Option<Spool>) {
        self.state().spool = spool;
    }

    pub(super) fn spool(&self) -> Option<Spool> {
        self.state().spool.clone()
    }

    pub(super) fn notice(&self, notice: &Notice) {
        let listener = self.state().listener.clone();
        if let Some(listener) = listener {
            listener(notice);
        }
    }

    /// Takes charge of a lease that the server granted at that time, or a moment before or after. None where this process
    /// had charge of it before: an answer that was late, or came twice.
    pub(super) fn hold(
        self: &Arc<Self>,
        issue: IssueNumber,
        token: Token,
        confirmed: Instant,
        ttl: Option<Duration>,
    ) -> Option<Destiny> {
        let mut state = self.state();
        if !state.known.insert(token) {
            return None;
        }
        // Tokens grow, so the first is the oldest.
        if state.known.len() > KNOWN {
            state.known.pop_first();
        }
        if let Some(ttl) = ttl {
            state.ttl = ttl;
            state.is_ttl_known = true;
        }
        let destiny = Destiny::default();
        state.held.insert(token, Held { issue, confirmed, destiny: destiny.clone(), is_reported: false });
        drop(state);
        self.have_it_beat();
        Some(destiny)
    }

    /// Its check-in is on its way.
    pub(super) fn is_reported(&self, token: Token) {
        if let Some(held) = self.state().held.get_mut(&token) {
            held.is_reported = true;
        }
    }

    /// Nobody works on it any more, and the server knows.
    pub(super) fn let_go(&self, token: Token) {
        self.state().held.remove(&token);
    }

    /// Nobody works on it any more, and the server does not know yet: a file will tell it.
    pub(super) fn keep(&self, token: Token) {
        let mut state = self.state();
        state.held.remove(&token);
        state.kept.insert(token);
    }

    /// Whether it is held, as far as is known.
    pub(super) fn holds(&self, token: Token) -> bool {
        self.state().held.contains_key(&token)
    }

    /// When a lease may be another's, unless it is confirmed until then; none where it is gone.
    pub(super) fn deadline_of(&self, token: Token) -> Option<Instant> {
        let state = self.state();
        state.held.get(&token).map(|held| held.confirmed + state.ttl)
    }

    /// Tells every lease that the work has to stop.
    pub(super) fn end_all(&self, fate: &Fate) {
        for held in self.state().held.values() {
            held.destiny.end(fate.clone());
        }
    }

    /// Whether the server said that it does not know this life, since this was last asked.
    pub(super) fn take_unknown(&self) -> bool {
        std::mem::take(&mut self.state().is_unknown)
    }

    pub(super) fn is_uncertain(&self) -> bool {
        self.state().uncertain_since.is_some()
    }

    pub(super) fn is_certain_again(&self) {
        self.state().uncertain_since = None;
    }

    pub(super) fn set_progress(self: &Arc<Self>, text: String) {
        self.state().progress = Some(text);
        self.have_it_beat();
    }

    /// Begins a question that may grant a lease.
    pub(super) fn ask(self: &Arc<Self>) -> Asking<'_> {
        let mut state = self.state();
        state.asking += 1;
        state.asked += 1;
        Asking { keeper: self, is_answered: false }
    }

    /// Sees to it that a task beats, where there is anything to beat for; wakes the one that does.
    fn have_it_beat(self: &Arc<Self>) {
        let mut state = self.state();
        if !state.is_beating
            && !matches!(state.due(), Due::Never)
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            state.is_beating = true;
            drop(state);
            let beating = Beating { keeper: Arc::clone(self), is_over: false };
            runtime.spawn(beating.beat());
            return;
        }
        drop(state);
        self.changed.notify_one();
    }

    /// Whether what was asked is done but not confirmed, which is said then. Its answer is to be had without durability: work
    /// goes on, under the promises that there are without.
    pub(super) fn is_unconfirmed<T>(&self, answer: &Result<T, Error>) -> bool {
        let Err(error @ Error::Unconfirmed { .. }) = answer else { return false };
        if self.state().may_warn() {
            self.notice(&Notice::Unconfirmed { error: error.to_string() });
        }
        true
    }

    /// What the server has us hold at this moment that we never heard of: claims whose answers were lost.
    pub(super) async fn unheard_of(&self) -> Result<Vec<(IssueNumber, Token)>, Error> {
        let heartbeat = self.heartbeat(None);
        let mut beat = self.project.heartbeat_durably(&heartbeat).await;
        if self.is_unconfirmed(&beat) {
            beat = self.project.without_durability().heartbeat(&heartbeat).await;
        }
        let beat = match beat {
            Ok(beat) => beat,
            // It holds nothing, then.
            Err(Error::Refused(Refusal::NoProcess(_))) => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let state = self.state();
        Ok(beat.issues.into_iter().filter(|(_, token)| !state.known.contains(token)).collect())
    }

    fn heartbeat(&self, progress: Option<String>) -> Heartbeat {
        let mut heartbeat = Heartbeat::new(&self.process);
        heartbeat.incarnation = Some(self.incarnation.clone());
        heartbeat.progress = progress;
        heartbeat
    }

    /// What a beat that was sent then says of each lease that was held by then. Answers which leases nobody works on, and
    /// whether any has a check-in that is kept on disk.
    fn confirm(&self, beat: &Beat, sent: Instant, asked_before: Option<u64>) -> (Vec<(IssueNumber, Token)>, bool) {
        let mut state = self.state();
        state.ttl = beat.time_to_live();
        state.is_ttl_known = true;
        for (token, held) in &mut state.held {
            let is_held = beat.holds(held.issue, *token);
            if is_held || held.is_reported {
                held.confirmed = held.confirmed.max(sent);
            }
            if is_held && !held.is_reported && beat.cancel.contains(&held.issue) {
                held.destiny.end(Fate::Cancelled);
            }
        }
        // What came after the beat was sent need not be in its answer.
        let is_lost =
            |token, held: &Held| held.confirmed <= sent && !held.is_reported && !beat.holds(held.issue, token);
        state.lose(is_lost, "LOST", "is no longer ours");
        let owed = beat.issues.iter().any(|(_, token)| state.kept.contains(token));
        state.kept.retain(|token| beat.issues.iter().any(|(_, held)| held == token));
        // Where no question was under way from before the beat to its answer, no answer can be on its way either.
        let is_left_alone = state.uncertain_since.is_none_or(|since| sent >= since + UNCERTAIN_FOR);
        let is_quiet = state.asking == 0 && asked_before == Some(state.asked) && is_left_alone;
        let strays = state.strays(beat, sent, is_quiet);
        if is_quiet {
            state.uncertain_since = None;
        }
        (strays, owed)
    }

    /// Leases of which we know nothing would live for as long as we beat for the others. Where one stays, its claim's answer
    /// was lost for good: its task goes back to the queue.
    async fn give_back(&self, strays: Vec<(IssueNumber, Token)>) {
        for (issue, token) in strays {
            let mut report = Checkin::new(issue, &self.process, Outcome::Error);
            report.token = Some(token);
            report.incarnation = Some(self.incarnation.clone());
            report.reason = Some("the worker never heard of this lease".to_owned());
            report.retry = Some(Duration::ZERO);
            // The next beat sees whether it is still there.
            let error = self.project.checkin(&report).await.err().map(|error| error.to_string());
            self.notice(&Notice::GivenBack { issue, token, error });
        }
    }

    /// Delivers what is kept on disk for this project, and says what became of it.
    pub(super) async fn deliver(&self) {
        let Some(spool) = self.spool() else { return };
        match spool.deliver(&self.project).await {
            Ok(delivery) => {
                for done in delivery.done {
                    self.notice(&Notice::Delivered(Box::new(done)));
                }
                if let Some(error) = delivery.error {
                    self.notice(&Notice::NotDelivered { error: error.to_string() });
                }
            }
            Err(error) => {
                let error = format!("{}: {error}", spool.dir().display());
                self.notice(&Notice::NotDelivered { error });
            }
        }
    }
}

impl State {
    /// Whether it is time to say that writes are not confirmed.
    fn may_warn(&mut self) -> bool {
        let now = Instant::now();
        let may = self.warned.is_none_or(|then| now.duration_since(then) >= WARN_EVERY);
        if may {
            self.warned = Some(now);
        }
        may
    }

    /// What is lost is told so, and not beaten for any more.
    fn lose(&mut self, is_lost: impl Fn(Token, &Held) -> bool, code: &str, why: &str) {
        self.held.retain(|token, held| {
            let is_lost = is_lost(*token, held);
            if is_lost {
                held.destiny.end(Fate::Lost { code: code.to_owned(), why: why.to_owned() });
            }
            !is_lost
        });
    }

    /// The leases in an answer that nobody here works on, and have not for long enough.
    fn strays(&mut self, beat: &Beat, sent: Instant, is_quiet: bool) -> Vec<(IssueNumber, Token)> {
        let is_ours = |token: &Token| self.held.contains_key(token) || self.kept.contains(token);
        let unknown: Vec<_> = beat.issues.iter().filter(|(_, token)| !is_ours(token)).copied().collect();
        self.strays.retain(|lease, _| unknown.contains(lease));
        for lease in &unknown {
            self.strays.entry(*lease).or_insert(sent);
        }
        // One that was ours may have been checked in between this beat and its answer: it has to show in the next, too.
        let is_old = |token: &Token, since: &Instant| {
            let is_sure = is_quiet && (!self.known.contains(token) || *since < sent);
            is_sure || sent.saturating_duration_since(*since) >= STRAY_AFTER
        };
        self.strays.iter().filter(|((_, token), since)| is_old(token, since)).map(|(lease, _)| *lease).collect()
    }

    fn due(&self) -> Due {
        let doubtful = self.uncertain_since.filter(|_| self.asking == 0).map(|since| since + UNCERTAIN_FOR);
        let Some(oldest) = self.held.values().map(|held| held.confirmed).min() else {
            return doubtful.map_or(Due::Never, Due::At);
        };
        // Its answer says what TTL the project gave us.
        if !self.is_ttl_known {
            return Due::Now;
        }
        let regular = oldest + self.period();
        let regular = doubtful.map_or(regular, |time| time.min(regular));
        match (&self.progress, self.last_beat) {
            (Some(_), None) => Due::Now,
            (Some(_), Some(last)) => Due::At(regular.min(last + PROGRESS_PERIOD)),
            (None, _) => Due::At(regular),
        }
    }

    /// When the first lease may be another's, unless it is confirmed until then.
    fn deadline(&self) -> Option<Instant> {
        self.held.values().map(|held| held.confirmed + self.ttl).min()
    }

    fn period(&self) -> Duration {
        (self.ttl / 3).min(LONGEST_PERIOD)
    }

    /// For how long an answer is waited for: not beyond the deadline, but never so short that none could come.
    fn patience(&self) -> Duration {
        self.period().max(Duration::from_millis(300)).min(Duration::from_secs(10))
    }
}

impl Asking<'_> {
    /// Its answer came, whatever it was.
    pub(super) fn answered(mut self) {
        self.is_answered = true;
    }
}

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        let mut state = self.keeper.state();
        state.asking -= 1;
        if !self.is_answered {
            state.uncertain_since = Some(Instant::now());
        }
        drop(state);
        if !self.is_answered {
            self.keeper.have_it_beat();
        }
    }
}

/// The task that beats. Where its runtime ends, the next lease starts another one.
struct Beating {
    keeper: Arc<Keeper>,
    is_over: bool,
}

impl Drop for Beating {
    fn drop(&mut self) {
        if !self.is_over {
            self.keeper.state().is_beating = false;
        }
    }
}

impl Beating {
    /// Beats for as long as there is anything to beat for.
    async fn beat(mut self) {
        let keeper = Arc::clone(&self.keeper);
        let mut away: Option<Backoff> = None;
        while let Some(due) = self.next() {
            if let Due::At(time) = due {
                tokio::select! {
                    () = sleep_until(time) => {}
                    () = keeper.changed.notified() => continue,
                }
            }
            let (progress, patience, asked_before) = {
                let mut state = keeper.state();
                let quiet = state.asking == 0;
                (state.progress.take(), state.patience(), quiet.then_some(state.asked))
            };
            let sent = Instant::now();
            keeper.state().last_beat = Some(sent);
            match timeout(patience, keeper.project.heartbeat(&keeper.heartbeat(progress.clone()))).await {
                Ok(Ok(beat)) => {
                    let was_away = away.take().is_some();
                    let (strays, owed) = keeper.confirm(&beat, sent, asked_before);
                    if was_away {
                        keeper.notice(&Notice::Back);
                    }
                    keeper.give_back(strays).await;
                    if was_away || owed {
                        keeper.in_background(|keeper| async move { keeper.deliver().await });
                    }
                }
                Ok(Err(Error::Refused(refusal @ Refusal::NoProcess(_)))) => {
                    let mut state = keeper.state();
                    state.is_unknown = true;
                    // It holds nothing, so nothing was granted in vain either.
                    if asked_before == Some(state.asked) {
                        state.uncertain_since = None;
                    }
                    let why = format!("is no longer ours: {refusal}");
                    state.lose(|_, held| held.confirmed <= sent, refusal.code(), &why);
                }
                // An argument that the server does not want would cost all leases if it were sent again.
                Ok(Err(Error::BadArgument(_))) if progress.is_some() => {}
                other => {
                    let pause = keeper.unanswered(&other, progress, away.get_or_insert_default());
                    if other.is_err() {
                        // A connection that leads nowhere may never say so.
                        keeper.project.client().disconnect().await;
                    }
                    sleep(pause).await;
                }
            }
        }
    }

    /// When the next beat is due; none where there is nothing to beat for, which ends this task.
    fn next(&mut self) -> Option<Due> {
        let mut state = self.keeper.state();
        match state.due() {
            Due::Never => {
                state.is_beating = false;
                self.is_over = true;
                None
            }
            due => Some(due),
        }
    }
}

impl Keeper {
    /// After a beat that was not answered: what is lost by that, and how long to wait until the next.
    fn unanswered(
        &self,
        answer: &Result<Result<Beat, Error>, tokio::time::error::Elapsed>,
        progress: Option<String>,
        away: &mut Backoff,
    ) -> Duration {
        // After a freeze much time may have passed, but a server that answers knows better than our clock: hence the
        // clock is asked only where no answer came.
        let now = Instant::now();
        let mut state = self.state();
        if state.progress.is_none() {
            state.progress = progress;
        }
        let ttl = state.ttl;
        let why = format!("may be another's by now: no heartbeat was answered for {}", words(ttl));
        state.lose(|_, held| now >= held.confirmed + ttl, "LOST", &why);
        let left = state.deadline().map_or(Duration::MAX, |deadline| deadline.saturating_duration_since(now));
        drop(state);
        if away.count() == 0 {
            let error = match answer {
                Ok(Err(error)) => error.to_string(),
                _ => format!("{} does not answer", self.project.client().url()),
            };
            self.notice(&Notice::Away { error });
        }
        away.pause().min(left)
    }

    /// Does something for which nobody waits, but which [`Holder::settled`](crate::Holder::settled) does. Without a runtime,
    /// nothing.
    pub(super) fn in_background<F: Future<Output = ()> + Send + 'static>(
        self: &Arc<Self>,
        what: impl FnOnce(Arc<Self>) -> F,
    ) {
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let pending = Pending::new(self);
            let work = what(Arc::clone(self));
            runtime.spawn(async move {
                work.await;
                drop(pending);
            });
        }
    }
}

/// Counts something that goes on in the background, until it is dropped.
struct Pending(Arc<Keeper>);

impl Pending {
    fn new(keeper: &Arc<Keeper>) -> Self {
        keeper.pending.send_modify(|count| *count += 1);
        Self(Arc::clone(keeper))
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        self.0.pending.send_modify(|count| *count = count.saturating_sub(1));
    }
}
