//! How much a token may ask: GitHub's primary limit by the hour and its secondary ones by the minute, each as low as a test
//! wants it, and what becomes of who does not keep to them.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, SystemTime};

use super::clock::seconds;
use super::log::Violation;

/// Whatever was on its way already when a limit was announced is no breach of it.
const ON_ITS_WAY: Duration = Duration::from_millis(100);

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3_600);

/// The limits of every token.
#[derive(Debug, Clone)]
pub struct Limits {
    /// REST requests in a window.
    pub core: u32,
    /// GraphQL points in a window.
    pub graphql: u32,
    /// How long a window is.
    pub window: Duration,
    /// Requests at the same time.
    pub concurrent: usize,
    /// Points a minute over REST; a write counts five, everything else one.
    pub rest_points: u32,
    /// Points a minute over GraphQL, counted alike.
    pub graphql_points: u32,
    /// Comments and labels made in a minute …
    pub content_per_minute: usize,
    /// … and in an hour.
    pub content_per_hour: usize,
    /// How long who was beyond a secondary limit has to wait, in whole seconds.
    pub retry_after: Duration,
    /// How a secondary limit is told.
    pub refusal: Refusal,
    /// The least time between two writes in the minute after a Retry-After; shorter is a violation. Nothing: any.
    pub pace: Option<Duration>,
    /// So many requests in any such time are what the test allows; more are a violation, and answered all the same.
    pub budget: Option<(usize, Duration)>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            core: 5_000,
            graphql: 5_000,
            window: HOUR,
            concurrent: 100,
            rest_points: 900,
            graphql_points: 2_000,
            content_per_minute: 80,
            content_per_hour: 500,
            retry_after: MINUTE,
            refusal: Refusal::default(),
            pace: Some(Duration::from_secs(1)),
            budget: None,
        }
    }
}

/// How a secondary limit is told: GitHub does it in each of these ways.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Refusal {
    /// 403 with `Retry-After`.
    #[default]
    Forbidden,
    /// 429 with `Retry-After`.
    TooManyRequests,
    /// 403 with `x-ratelimit-remaining: 0`, and the time of the reset.
    NothingRemains,
    /// 403 that says it in its message only.
    MessageOnly,
    /// To GraphQL, HTTP 200 with an error; to REST, 403 with `Retry-After`.
    GraphqlError,
}

/// Which of the primary limits a request is counted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Resource {
    Core,
    Graphql,
}

impl Resource {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Core => "core",
            Self::Graphql => "graphql",
        }
    }
}

/// What a request costs.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cost {
    pub(super) resource: Resource,
    pub(super) points: u32,
    pub(super) is_write: bool,
    /// Whether it makes something that people are told of.
    pub(super) creates: bool,
    /// `GET /rate_limit` and what is asked with an App's own token cost nothing.
    pub(super) is_free: bool,
}

/// Which limit is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Over {
    Primary,
    /// A secondary one: so long to wait.
    Secondary(Duration),
}

/// Where a primary limit stands.
#[derive(Debug, Clone, Copy)]
pub(super) struct Gauge {
    pub(super) limit: u32,
    pub(super) used: u32,
    pub(super) reset: SystemTime,
}

impl Gauge {
    pub(super) fn remaining(self) -> u32 {
        self.limit.saturating_sub(self.used)
    }
}

/// The meters of all tokens.
#[derive(Debug, Default)]
pub(super) struct Meters {
    pub(super) limits: Limits,
    meters: HashMap<String, Meter>,
}

/// What one token has used.
#[derive(Debug, Default)]
struct Meter {
    core: Window,
    graphql: Window,
    /// When, on what, how many.
    points: VecDeque<(SystemTime, Resource, u32)>,
    contents: VecDeque<SystemTime>,
    arrivals: VecDeque<SystemTime>,
    running: usize,
    /// Told to wait: when, until when.
    told: Option<(SystemTime, SystemTime)>,
    last_write: Option<SystemTime>,
}

#[derive(Debug, Default)]
struct Window {
    used: u32,
    reset: Option<SystemTime>,
    /// When an answer first said that nothing remains.
    exhausted: Option<SystemTime>,
}

impl Window {
    fn at(&mut self, now: SystemTime, length: Duration) -> &mut Self {
        if self.reset.is_none_or(|reset| reset <= now) {
            *self = Self { used: 0, reset: Some(now + length), exhausted: None };
        }
        self
    }
}

impl Meter {
    fn window(&mut self, resource: Resource) -> &mut Window {
        match resource {
            Resource::Core => &mut self.core,
            Resource::Graphql => &mut self.graphql,
        }
    }

    fn tidy(&mut self, now: SystemTime) {
        self.points.retain(|(at, _, _)| *at + MINUTE > now);
        self.contents.retain(|at| *at + HOUR > now);
    }

    fn is_beyond(&self, cost: Cost, limits: &Limits, now: SystemTime) -> bool {
        let points = self.points.iter().filter(|(_, resource, _)| *resource == cost.resource);
        let points = points.map(|(_, _, points)| points).sum::<u32>() + cost.points;
        let most = if cost.resource == Resource::Core { limits.rest_points } else { limits.graphql_points };
        let in_minute = self.contents.iter().filter(|at| **at + MINUTE > now).count();
        let too_much = in_minute >= limits.content_per_minute || self.contents.len() >= limits.content_per_hour;
        self.running >= limits.concurrent || points > most || (cost.creates && too_much)
    }
}

impl Meters {
    pub(super) fn with(limits: Limits) -> Self {
        Self { limits, meters: HashMap::new() }
    }

    fn meter(&mut self, token: &str) -> &mut Meter {
        self.meters.entry(token.to_owned()).or_default()
    }

    /// Where a token stands.
    pub(super) fn gauge(&mut self, token: &str, resource: Resource, now: SystemTime) -> Gauge {
        let (length, limit) = match resource {
            Resource::Core => (self.limits.window, self.limits.core),
            Resource::Graphql => (self.limits.window, self.limits.graphql),
        };
        let window = self.meter(token).window(resource).at(now, length);
        Gauge { limit, used: window.used.min(limit), reset: window.reset.unwrap_or(now) }
    }

    /// What a request arriving now does that its sender could have known better.
    pub(super) fn judge(&mut self, token: &str, cost: Cost, now: SystemTime) -> Vec<Violation> {
        let (pace, budget) = (self.limits.pace, self.limits.budget);
        let length = self.limits.window;
        let meter = self.meter(token);
        let mut found = Vec::new();
        if let Some((_, until)) = meter.told.filter(|(at, until)| *at + ON_ITS_WAY < now && now < *until) {
            found.push(Violation::DuringRetryAfter(until.duration_since(now).unwrap_or_default()));
        }
        let exhausted = meter.window(cost.resource).at(now, length).exhausted;
        if !cost.is_free && exhausted.is_some_and(|at| at + ON_ITS_WAY < now) {
            found.push(Violation::OverBudget);
        }
        if let Some((most, per)) = budget {
            meter.arrivals.retain(|at| *at + per > now);
            meter.arrivals.push_back(now);
            if meter.arrivals.len() > most {
                found.push(Violation::OverBudget);
            }
        }
        if cost.is_write {
            let is_paced = meter.told.is_some_and(|(_, until)| until <= now && now < until + MINUTE);
            let apart = meter.last_write.replace(now).and_then(|last| now.duration_since(last).ok());
            // A tenth is what the way may take away.
            let too_soon = |apart: &Duration| is_paced && pace.is_some_and(|pace| *apart < pace * 9 / 10);
            found.extend(apart.filter(too_soon).map(Violation::TooFast));
        }
        found
    }

    /// Counts a request in, unless it is beyond a limit.
    pub(super) fn admit(&mut self, token: &str, cost: Cost, now: SystemTime) -> Result<(), Over> {
        let limits = self.limits.clone();
        let gauge = self.gauge(token, cost.resource, now);
        let meter = self.meter(token);
        meter.tidy(now);
        if let Some((_, until)) = meter.told.filter(|(_, until)| now < *until) {
            return Err(Over::Secondary(until.duration_since(now).unwrap_or_default()));
        }
        if meter.is_beyond(cost, &limits, now) {
            self.tell(token, limits.retry_after, now);
            return Err(Over::Secondary(limits.retry_after));
        }
        if !cost.is_free && gauge.remaining() == 0 {
            return Err(Over::Primary);
        }
        if !cost.is_free {
            meter.window(cost.resource).used += 1;
        }
        meter.points.push_back((now, cost.resource, cost.points));
        if cost.creates {
            meter.contents.push_back(now);
        }
        meter.running += 1;
        Ok(())
    }

    /// A request that was admitted is over.
    pub(super) fn leave(&mut self, token: &str) {
        let meter = self.meter(token);
        meter.running = meter.running.saturating_sub(1);
    }

    /// What was answered with 304 costs nothing.
    pub(super) fn refund(&mut self, token: &str, resource: Resource) {
        let window = self.meter(token).window(resource);
        window.used = window.used.saturating_sub(1);
    }

    /// From now on whoever asks with that token could know that he has to wait.
    pub(super) fn tell(&mut self, token: &str, wait: Duration, now: SystemTime) {
        self.meter(token).told = Some((now, now + wait));
    }

    /// Everything that is left is gone.
    pub(super) fn exhaust(&mut self, token: &str, resource: Resource, now: SystemTime) {
        let gauge = self.gauge(token, resource, now);
        self.meter(token).window(resource).used = gauge.limit;
    }

    /// The headers of every answer; whoever reads them knows what remains.
    pub(super) fn announce(&mut self, token: &str, resource: Resource, now: SystemTime) -> Vec<(&'static str, String)> {
        let gauge = self.gauge(token, resource, now);
        if gauge.remaining() == 0 {
            self.meter(token).window(resource).exhausted.get_or_insert(now);
        }
        vec![
            ("x-ratelimit-limit", gauge.limit.to_string()),
            ("x-ratelimit-remaining", gauge.remaining().to_string()),
            ("x-ratelimit-used", gauge.used.to_string()),
            // Rounded up, so that who waits for it does not come too early.
            ("x-ratelimit-reset", (seconds(gauge.reset) + 1).to_string()),
            ("x-ratelimit-resource", resource.name().to_owned()),
        ]
    }
}
