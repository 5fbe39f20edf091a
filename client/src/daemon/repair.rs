//! Duty 2: ends the leases of orphans, so that others may have their issues.
//!
//! It is told of orphans by `liveness`, when a worker dies on this host, and by what the server publishes; every 5 s it
//! looks for itself. Any number of daemons may do this at once: REPAIR is fenced by the lease's token, and the same again
//! changes nothing.
//!
//! | file | what it does |
//! | --- | --- |
//! | `schedule` | when which orphan is repaired, and how |
//! | `record` | the reason that is kept |
//! | `comments` | sees to it that each repair is told once on its issue |
//! | `on_github` | writes them |
//! | `note`, `text` | what is to be told; in which words |

mod comments;
mod note;
mod on_github;
mod record;
mod schedule;
pub(crate) mod text;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use poppo::{Error, Orphan, Published, Status};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;
use tokio::sync::Notify;
use tokio::time::sleep;
use tracing::{debug, info, warn};

pub(crate) use self::comments::Comments;
use self::comments::Teller;
use self::record::Record;
use self::schedule::Schedule;
use super::Site;
use super::board::Health;
use super::duty::Trouble;
use super::metrics::OfProject;
use super::session::Sessions;

/// How often orphans are looked for, whatever is heard of them.
const NET: Duration = Duration::from_secs(5);
/// How many orphans are dealt with in one round trip.
const BATCH: usize = 1000;

/// What this duty did, of all projects. What became of orphans the projects count themselves.
#[derive(Debug, Clone, Default)]
pub(crate) struct Metrics {
    comments: Family<OfProject, Counter>,
}

impl Metrics {
    pub(crate) fn new(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        registry.register("repair_comments", "Comments written on repairs", metrics.comments.clone());
        metrics
    }
}

/// Repairs until the daemon ends; `orphans` says when there may be some. Repairs are told by `comments`, or that says why
/// not.
pub(crate) async fn run(
    site: Site,
    metrics: Metrics,
    orphans: Arc<Notify>,
    comments: Result<Arc<dyn Comments>, &'static str>,
    health: Health,
) -> Result<(), Trouble> {
    let config = &site.config.repair;
    let telling = match comments {
        Ok(comments) => {
            let template = match &config.template {
                Some(template) => template.get().clone(),
                None => text::built_in(config.language).map_err(Trouble::Lasting)?,
            };
            let written = metrics.comments.get_or_create_owned(&OfProject { project: site.project.key().to_owned() });
            Some(Teller { site: site.clone(), comments, template, written }.run())
        }
        Err(why) => {
            info!("repairs are not told on issues: {why}");
            None
        }
    };
    let telling = async {
        match telling {
            Some(telling) => telling.await,
            None => site.stop.cancelled().await,
        }
    };
    let repairing = async {
        let mut sessions = Sessions::new(health.clone(), site.stop.clone());
        while sessions.go_through(session(&site, &orphans, &health)).await {}
    };
    tokio::join!(repairing, telling);
    Ok(())
}

/// For as long as the server is there.
async fn session(site: &Site, orphans: &Notify, health: &Health) -> Result<(), Error> {
    let mut hints = match site.project.published().await {
        Ok(hints) => Some(hints),
        Err(Error::Server { code, message }) if code == "NOPERM" => {
            debug!("looks for orphans every {NET:?} only: {message}");
            None
        }
        Err(error) => return Err(error),
    };
    loop {
        if let Some(hints) = &mut hints {
            // One look does for them all.
            hints.skip();
        }
        let next = mend(site).await?;
        health.well();
        tokio::select! {
            () = orphans.notified() => {}
            hint = hint(&mut hints) => hint?,
            () = sleep(next.map_or(NET, |next| next.min(NET))) => {
                if let Some(hints) = &mut hints {
                    hints.ping().await?;
                }
            }
        }
    }
}

/// The next word of an orphan; never where nothing is heard.
async fn hint(hints: &mut Option<Published>) -> Result<(), Error> {
    let Some(hints) = hints else { return std::future::pending().await };
    while !hints.next().await?.is_orphan() {}
    Ok(())
}

/// Repairs what is due. When the next one is, if there is one.
async fn mend(site: &Site) -> Result<Option<Duration>, Error> {
    let orphans = site.project.orphans(Some(10_000), None).await?;
    let mut next: Option<Duration> = None;
    for orphans in orphans.chunks(BATCH) {
        let schedule = plan(site, orphans).await?;
        next = [next, schedule.next].into_iter().flatten().min();
        if schedule.due.is_empty() {
            continue;
        }
        let repairs: Vec<_> = schedule.due.iter().map(|(_, repair)| repair.clone()).collect();
        let answers = site.project.repair_all(&repairs).await?;
        for ((orphan, _), answer) in schedule.due.iter().zip(answers) {
            report(orphan, answer)?;
        }
    }
    Ok(next)
}

/// Which of these orphans are due.
async fn plan<'a>(site: &Site, orphans: &'a [Orphan]) -> Result<Schedule<'a>, Error> {
    let config = &site.config.repair;
    let mut schedule = Schedule::new(config.policy, config.backoff.get());
    // Only those that go back to the queue wait for their turn.
    let counts: Vec<u64> = if schedule.asks_for_counts() {
        let issues: Vec<_> = orphans.iter().map(|orphan| orphan.issue).collect();
        let issues = site.project.get_all(&issues).await?;
        issues.into_iter().map(|issue| issue.and_then(|issue| issue.orphan_count).unwrap_or_default()).collect()
    } else {
        vec![0; orphans.len()]
    };
    let now = if counts.iter().any(|count| *count > 0) {
        // An ACL may withhold TIME.
        site.project.client().time().await.unwrap_or_else(|_| SystemTime::now())
    } else {
        SystemTime::now()
    };
    for (orphan, count) in orphans.iter().zip(counts) {
        schedule.add(orphan, count, now, &Record::of(orphan, &site.host));
    }
    Ok(schedule)
}

/// Says what became of a repair. What somebody else did first, or the holder itself, is no failure.
fn report(orphan: &Orphan, answer: Result<Status, Error>) -> Result<(), Error> {
    let Orphan { issue, process, reason, .. } = orphan;
    match answer {
        Ok(status) => info!(%issue, process, %reason, "repaired: it is {status} now"),
        Err(Error::Refused(refusal)) => debug!(%issue, process, "not repaired: {refusal}"),
        Err(error) => {
            warn!(%issue, process, "cannot be repaired: {error}");
            return Err(error);
        }
    }
    Ok(())
}
