//! When the next request may be sent: one pacer for each credential, whoever asks with it.
//!
//! GitHub counts a credential's requests by the hour (the primary limit, told in each answer's headers) and, less openly,
//! by the minute, by what they change and by how many run at once (the secondary limits, told when they are passed). A pacer
//! keeps below all of them: it holds back a reserve of the primary limit for whoever else uses the credential, spreads what
//! is left once half is gone, spaces writes, and after a word of GitHub's waits as long as that says. Each such word halves
//! its speed, each minute without one doubles it again.

mod budget;
mod window;

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use poppo::Backoff;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{Instant, sleep_until};

use self::budget::Budget;
use self::window::Window;
use super::told::{Pressure, Told};

/// Requests at the same time; GitHub allows 100, and would rather have them one after another.
const LANES: usize = 6;
/// The time between two writes, as GitHub asks for, and how many may come without it after a pause.
const WRITE_SPACING: Duration = Duration::from_secs(1);
const WRITES_AT_ONCE: u32 = 5;
/// Points in a minute: three quarters of what GitHub allows over REST (900) and GraphQL (2,000). A write is five.
const REST_POINTS: u32 = 675;
const GRAPHQL_POINTS: u32 = 1_500;
const WRITE_POINTS: u32 = 5;
/// What people are told of (comments), in a minute and in an hour, of GitHub's 80 and 500.
const CREATIONS: (u32, u32) = (60, 400);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3_600);
/// How often the speed is halved at most.
const SLOWEST: u32 = 5;
/// The pauses after words of GitHub's that do not say how long: what its manual asks for, and what is enough.
const PAUSES: (Duration, Duration) = (Duration::from_secs(120), Duration::from_secs(15 * 60));
/// The longest that a request waits here; where it would be longer, whoever asked is told until when.
const PATIENCE: Duration = Duration::from_secs(15);

/// Which of GitHub's primary limits a request counts for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Resource {
    /// The REST API.
    Core,
    /// The GraphQL API.
    Graphql,
}

impl Resource {
    /// Its name, as GitHub has it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Core => "core",
            Self::Graphql => "graphql",
        }
    }
}

/// What kind of request it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    /// `GET` over REST.
    Read,
    /// A change over REST.
    Write,
    /// A change that people are told of.
    Creation,
    /// A GraphQL query.
    Query,
    /// A GraphQL mutation, whatever number of changes is in it.
    Mutation,
}

impl Kind {
    pub(crate) fn resource(self) -> Resource {
        match self {
            Self::Read | Self::Write | Self::Creation => Resource::Core,
            Self::Query | Self::Mutation => Resource::Graphql,
        }
    }

    /// Its name in metrics.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Creation => "creation",
            Self::Query => "query",
            Self::Mutation => "mutation",
        }
    }

    fn is_write(self) -> bool {
        !matches!(self, Self::Read | Self::Query)
    }

    fn points(self) -> u32 {
        if self.is_write() { WRITE_POINTS } else { 1 }
    }
}

/// When a credential's next request may be sent.
#[derive(Debug)]
pub(crate) struct Pacer {
    lanes: Semaphore,
    state: Mutex<State>,
}

/// A request that may be sent now. It counts as under way until it is dropped.
#[derive(Debug)]
pub(crate) struct Permit<'a> {
    pacer: &'a Pacer,
    resource: Resource,
    number: u64,
    _lane: SemaphorePermit<'a>,
}

/// What is known of a credential's limits.
#[derive(Debug)]
struct State {
    core: Budget,
    graphql: Budget,
    rest_points: Window,
    graphql_points: Window,
    creations: (Window, Window),
    /// When the next write would be due were there none at once.
    next_write: Option<Instant>,
    /// Nothing is sent before that.
    silent_until: Option<Instant>,
    /// The pauses after words that did not say how long.
    backoff: Backoff,
    /// How often the speed is halved, and since when it is so.
    slowness: u32,
    slow_since: Option<Instant>,
    /// The number of the next request.
    next: u64,
}

impl Pacer {
    /// Leaves `reserve` percent (0 to 90) of the primary limits to others.
    pub(crate) fn new(reserve: u8) -> Self {
        let state = State {
            core: Budget::new(reserve),
            graphql: Budget::new(reserve),
            rest_points: Window::new(MINUTE),
            graphql_points: Window::new(MINUTE),
            creations: (Window::new(MINUTE), Window::new(HOUR)),
            next_write: None,
            silent_until: None,
            backoff: Backoff::new(PAUSES.0, PAUSES.1),
            slowness: 0,
            slow_since: None,
            next: 0,
        };
        Self { lanes: Semaphore::new(LANES), state: Mutex::new(state) }
    }

    /// Waits until a request of that kind may be sent.
    ///
    /// # Errors
    /// When it may be sent, where that is more than a few seconds away.
    pub(crate) async fn admit(&self, kind: Kind) -> Result<Permit<'_>, Instant> {
        let asked = Instant::now();
        loop {
            let due = self.state().due(kind, Instant::now());
            if due > asked + PATIENCE {
                return Err(due);
            }
            sleep_until(due).await;
            // The semaphore is never closed.
            let Ok(lane) = self.lanes.acquire().await else { return Err(due) };
            if let Some(number) = self.state().take(kind, Instant::now()) {
                return Ok(Permit { pacer: self, resource: kind.resource(), number, _lane: lane });
            }
        }
    }

    /// How many requests the primary limit still had, and how many there are in a window; none where nobody has said yet.
    pub(crate) fn left(&self, resource: Resource) -> Option<(u32, u32)> {
        let mut state = self.state();
        state.budget(resource).left(Instant::now())
    }

    /// When the next request of that kind may be sent, by what is known now.
    pub(crate) fn due(&self, kind: Kind) -> Instant {
        self.state().due(kind, Instant::now())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing here that can panic stands between two changes.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Permit<'_> {
    /// Learns from the answer.
    pub(crate) fn done(self, told: Told) {
        self.pacer.state().learn(self.resource, self.number, told, Instant::now());
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        self.pacer.state().budget(self.resource).ended();
    }
}

impl State {
    fn budget(&mut self, resource: Resource) -> &mut Budget {
        match resource {
            Resource::Core => &mut self.core,
            Resource::Graphql => &mut self.graphql,
        }
    }

    /// When a request may be sent, by what is known now.
    fn due(&mut self, kind: Kind, now: Instant) -> Instant {
        let slowness = self.slowness;
        let at_most = |most: u32| (most >> slowness).max(WRITE_POINTS);
        let points = match kind.resource() {
            Resource::Core => self.rest_points.due(kind.points(), at_most(REST_POINTS), now),
            Resource::Graphql => self.graphql_points.due(kind.points(), at_most(GRAPHQL_POINTS), now),
        };
        let mut due = points.max(self.silent_until.unwrap_or(now)).max(self.budget(kind.resource()).due(now));
        if kind.is_write() {
            let ahead = self.spacing() * (self.writes_at_once() - 1);
            due = due.max(self.next_write.map_or(now, |next| next.checked_sub(ahead).unwrap_or(now)));
        }
        if kind == Kind::Creation {
            let (minute, hour) = &mut self.creations;
            due = due.max(minute.due(1, at_most(CREATIONS.0), now)).max(hour.due(1, CREATIONS.1, now));
        }
        due
    }

    /// Counts a request in, if it may be sent now; its number.
    fn take(&mut self, kind: Kind, now: Instant) -> Option<u64> {
        if self.due(kind, now) > now {
            return None;
        }
        match kind.resource() {
            Resource::Core => self.rest_points.add(kind.points(), now),
            Resource::Graphql => self.graphql_points.add(kind.points(), now),
        }
        if kind.is_write() {
            self.next_write = Some(self.next_write.map_or(now, |next| next.max(now)) + self.spacing());
        }
        if kind == Kind::Creation {
            self.creations.0.add(1, now);
            self.creations.1.add(1, now);
        }
        self.budget(kind.resource()).began(now);
        self.next += 1;
        Some(self.next)
    }

    fn learn(&mut self, resource: Resource, number: u64, told: Told, now: Instant) {
        if told.is_free {
            self.budget(resource).was_free();
        }
        if let Some(gauge) = told.gauge {
            self.budget(gauge.resource).learn(number, gauge, now);
        }
        match told.pressure {
            Pressure::None => self.recover(now),
            // The gauge has said until when.
            Pressure::Primary => {}
            Pressure::Secondary(wait) => {
                let wait = wait.unwrap_or_else(|| self.backoff.pause());
                self.silent_until = Some(self.silent_until.map_or(now + wait, |until| until.max(now + wait)));
                self.slow_down(now + wait);
            }
        }
    }

    /// Answers to what was under way when the speed was halved say the same once more.
    fn slow_down(&mut self, until: Instant) {
        let is_news = self.slow_since.is_none_or(|since| since + WRITE_SPACING < until);
        if is_news {
            self.slowness = (self.slowness + 1).min(SLOWEST);
        }
        self.slow_since = Some(until);
        self.next_write = None;
    }

    fn recover(&mut self, now: Instant) {
        let Some(since) = self.slow_since.filter(|since| *since + MINUTE <= now) else { return };
        self.slowness = self.slowness.saturating_sub(1);
        self.slow_since = (self.slowness > 0).then(|| since.max(now));
        if self.slowness == 0 {
            self.backoff = Backoff::new(PAUSES.0, PAUSES.1);
        }
    }

    fn spacing(&self) -> Duration {
        WRITE_SPACING * (1 << self.slowness)
    }

    fn writes_at_once(&self) -> u32 {
        if self.slowness == 0 { WRITES_AT_ONCE } else { 1 }
    }
}

#[cfg(test)]
mod tests;
