//! Duty 1: watches the PIDs of this host's workers. Their ends are reported at once, their lives every 20 s.
//!
//! Three things go on side by side, so that none delays another: who is there to be watched (`discover`), whose life is
//! attested (`attest`), and who has ended (`report`). Where the server is away they end together, and begin again when it
//! is back; who is watched goes on being watched meanwhile.
//!
//! | file | what it does |
//! | --- | --- |
//! | `roster` | knows who is watched, and what is to be told of whom |
//! | `watch` | what a way to watch is, and whether two processes are the same |
//! | `pidfd`, `kqueue`, `polling` | the ways; `descriptor` is what the first two share, `procfs` what Linux tells |

#[cfg(any(target_os = "linux", target_vendor = "apple"))]
mod descriptor;
#[cfg(target_vendor = "apple")]
mod kqueue;
#[cfg(target_os = "linux")]
mod pidfd;
mod polling;
mod procfs;
mod roster;
mod watch;

use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use poppo::{Block, Error, Liveness};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};
use tokio::sync::Notify;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::time::{Instant, MissedTickBehavior, interval};

use self::roster::{Ended, Roster, Sighting};
use super::Site;
use super::board::Health;
use super::duty::Trouble;
use super::metrics::OfProject;
use super::session::Sessions;

/// How often lives are attested. The server believes an attestation for `attest-ttl`, 60 s unless it was changed.
const ATTEST: Duration = Duration::from_secs(20);
/// How often all processes are listed, whatever events say.
const NET: Duration = Duration::from_secs(5);
/// How many events are read, and how many words are said, in one round trip.
const BATCH: usize = 500;

/// What this duty did, of all projects.
#[derive(Debug, Clone)]
pub(crate) struct Metrics {
    watched: Family<OfProject, Gauge>,
    holding: Family<OfProject, Gauge>,
    attestations: Family<OfProject, Counter>,
    exits: Family<OfProject, Histogram, fn() -> Histogram>,
}

impl Metrics {
    pub(crate) fn new(registry: &mut Registry) -> Self {
        let exits: fn() -> Histogram = || Histogram::new([0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 5.0]);
        let metrics = Self {
            watched: Family::default(),
            holding: Family::default(),
            attestations: Family::default(),
            exits: Family::new_with_constructor(exits),
        };
        registry.register("watched_processes", "Processes of this host that are watched", metrics.watched.clone());
        let help = "Processes of this host that hold an issue, when lives were last attested";
        registry.register("holding_processes", help, metrics.holding.clone());
        registry.register("attestations", "Lives of this host's processes attested", metrics.attestations.clone());
        registry.register_with_unit(
            "exit_report",
            "From when a process of this host was seen to end to when the server had been told",
            Unit::Seconds,
            metrics.exits.clone(),
        );
        metrics
    }
}

/// What the three parts share.
struct Desk {
    site: Site,
    of: OfProject,
    metrics: Metrics,
    roster: Mutex<Roster>,
    /// Who is told that there are orphans.
    orphans: Arc<Notify>,
}

/// Watches until the daemon ends.
pub(crate) async fn run(site: Site, metrics: Metrics, orphans: Arc<Notify>, health: Health) -> Result<(), Trouble> {
    watch::make_room();
    let (ends, mut ended) = unbounded_channel();
    let roster = Mutex::new(Roster::new(Arc::clone(&site.host), watch::best(), ends));
    let mut sessions = Sessions::new(health.clone(), site.stop.clone());
    let of = OfProject { project: site.project.key().to_owned() };
    let desk = Desk { site, of, metrics, roster, orphans };
    while sessions.go_through(desk.session(&mut ended, &health)).await {}
    Ok(())
}

impl Desk {
    fn roster(&self) -> MutexGuard<'_, Roster> {
        // What panics in the midst of a change is caught by the lists that follow.
        self.roster.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// For as long as the server is there.
    async fn session(&self, ended: &mut UnboundedReceiver<Ended>, health: &Health) -> Result<(), Error> {
        // Before the list, so that nobody falls between the two.
        let newest = self.site.project.newest_event().await?;
        self.list().await?;
        health.well();
        tokio::try_join!(self.discover(newest), self.attest(), self.report(ended))?;
        Ok(())
    }

    /// Looks at all processes there are.
    async fn list(&self) -> Result<(), Error> {
        let rows = self.site.project.all_processes().await?;
        let host = &self.site.host;
        let list = rows.into_iter().filter_map(|row| Sighting::of_process(host, row)).collect();
        let words = self.roster().take_all(list);
        self.tell(&words).await
    }

    /// Looks at whoever begins to hold something, and now and then at all.
    async fn discover(&self, newest: u64) -> Result<Infallible, Error> {
        let (mut last, mut listed) = (newest, Instant::now());
        loop {
            let patience = NET.saturating_sub(listed.elapsed());
            let count = u32::try_from(BATCH).ok();
            let events = self.site.project.events(last, count, Block::AtMost(patience)).await?;
            last = events.last().map_or(last, |event| event.id);
            if listed.elapsed() >= NET {
                self.list().await?;
                listed = Instant::now();
                continue;
            }
            // Only a grant can bring somebody new, and only grants name one and leave the issue with it.
            let mut issues: Vec<_> = {
                let roster = self.roster();
                let is_new = |name: &Option<String>| name.as_deref().is_some_and(|name| !roster.knows(name));
                let granted = events.iter().filter(|event| event.status == Some(poppo::Status::Processing));
                granted.filter(|event| is_new(&event.process)).filter_map(|event| event.issue).collect()
            };
            issues.sort_unstable();
            issues.dedup();
            let holders = self.site.project.get_all(&issues).await?;
            let host = &self.site.host;
            let sightings =
                holders.into_iter().flatten().filter_map(|issue| Sighting::of_holder(host, issue)).collect();
            let words = self.roster().take(sightings);
            self.tell(&words).await?;
        }
    }

    /// Says now and then who lives.
    async fn attest(&self) -> Result<Infallible, Error> {
        let mut ticks = interval(ATTEST);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let words = self.roster().attestations();
            self.metrics.holding.get_or_create(&self.of).set(i64::try_from(words.len()).unwrap_or(i64::MAX));
            self.tell(&words).await?;
            self.metrics.attestations.get_or_create(&self.of).inc_by(words.len() as u64);
        }
    }

    /// Says who has ended, at once.
    async fn report(&self, ended: &mut UnboundedReceiver<Ended>) -> Result<Infallible, Error> {
        loop {
            let mut batch = Vec::new();
            if ended.recv_many(&mut batch, BATCH).await == 0 {
                // We have the other end ourselves.
                return std::future::pending().await;
            }
            let words: Vec<Liveness> = {
                let mut roster = self.roster();
                batch.iter().map(|end| roster.ended(&end.being)).collect()
            };
            self.tell(&words).await?;
            let exits = self.metrics.exits.get_or_create(&self.of);
            for end in &batch {
                exits.observe(end.at.elapsed().as_secs_f64());
            }
        }
    }

    /// Tells the server. Where it says that there are orphans, whoever repairs them hears of it.
    async fn tell(&self, words: &[Liveness]) -> Result<(), Error> {
        self.metrics.watched.get_or_create(&self.of).set(i64::try_from(self.roster().watched()).unwrap_or(i64::MAX));
        for words in words.chunks(BATCH) {
            let orphans = match self.site.project.liveness_of_all(words).await {
                Ok(orphans) => orphans,
                Err(error) => {
                    self.roster().was_not_heard();
                    return Err(error);
                }
            };
            if orphans.iter().any(|count| *count > 0) {
                self.orphans.notify_one();
            }
        }
        Ok(())
    }
}
