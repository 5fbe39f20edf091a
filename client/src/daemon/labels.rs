//! Duty 3: keeps the labels on GitHub as the issues stand.
//!
//! ```text
//! LABELS (the outbox) ─▶ wait and gather ─▶ difference with what GitHub has ─▶ write ─▶ LABELLED
//!                           sweep ──────────────▲
//! ```
//!
//! Labels are a display, never the lock: nothing here delays a checkout, and what was not confirmed is listed again, whoever
//! crashed. Of all daemons one writes for a repository.
//!
//! | file | what is there |
//! | --- | --- |
//! | `leader` | which daemon it is |
//! | `marks` | our four labels, which of them an issue should have, and the difference |
//! | `scribe` | reads and writes them; `ledger` is what it knows of issues |
//! | `sweep` | finds what others changed |
//! | `aside` | issues that GitHub refuses, to be tried later |

mod aside;
pub(crate) mod leader;
mod ledger;
pub(crate) mod marks;
mod metrics;
mod scribe;
mod sweep;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime};

use poppo::{Backoff, Block, Error, Fate, IssueNumber, Unlabelled};
use tokio::time::{Instant, sleep, sleep_until};
use tracing::{debug, info, warn};

use self::aside::Aside;
use self::leader::{Candidate, resign};
use self::marks::{Difference, Marks};
pub(crate) use self::metrics::Metrics;
use self::metrics::Tally;
use self::scribe::Scribe;
use self::sweep::Sweep;
use super::Site;
use super::board::Health;
use super::config::Repository;
use super::duty::Trouble;
use super::github::{Cause, GithubError, Repo};

/// How often a daemon that does not write looks whether it is to.
const STAND_AGAIN: Duration = Duration::from_secs(3);
/// For how long the outbox is waited on at a time.
const ROUND: Duration = Duration::from_secs(20);
/// As many rows of it as there are at once, so that issues set aside hide no others; and how many are flushed at a time.
const ROWS: u32 = 10_000;
const FLUSH: usize = 400;
/// The pauses while GitHub does not do what is asked, and after how many of them another daemon may try.
const PAUSES: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(5 * 60));
const ATTEMPTS: u32 = 4;
/// A repository that GitHub does not have is asked for once more after this: it may have been GitHub's mistake.
const SURELY: Duration = Duration::from_secs(2);

/// What keeps labels from being written.
#[derive(Debug)]
enum Problem {
    Server(Error),
    Github(GithubError),
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        Self::Server(error)
    }
}

impl From<GithubError> for Problem {
    fn from(error: GithubError) -> Self {
        Self::Github(error)
    }
}

/// Keeps labels in step until the daemon ends.
pub(crate) async fn run(
    site: Site,
    repository: Repository,
    repo: Repo,
    metrics: Metrics,
    health: Health,
) -> Result<(), Trouble> {
    let tally = metrics.of(site.project.key());
    let candidate = Candidate::of(&site, &repository);
    let mut standing_by = None;
    loop {
        let lease = tokio::select! {
            lease = candidate.stand() => lease?,
            () = site.stop.cancelled() => return Ok(()),
        };
        let lease = match lease {
            Ok(lease) => lease,
            Err(other) => {
                health.well();
                if standing_by.as_ref() != Some(&other) {
                    info!("{other} writes the labels of {repository}; standing by");
                    standing_by = Some(other);
                }
                tokio::select! {
                    () = sleep(STAND_AGAIN) => continue,
                    () = site.stop.cancelled() => return Ok(()),
                }
            }
        };
        standing_by = None;
        info!(token = lease.token().get(), "writes the labels of {repository}");
        tally.leads.set(1);
        let mut term = Term::new(&site, &repo, &tally, &health);
        let ended = tokio::select! {
            // Whatever was on its way is dropped at once: it is another daemon's by then.
            fate = lease.until_stopped() => Err(fate),
            trouble = term.serve() => Ok(Some(trouble)),
            () = site.stop.cancelled() => Ok(None),
        };
        tally.leads.set(0);
        match ended {
            Err(fate @ Fate::Lost { .. }) => warn!("the right to write the labels of {repository} {fate}"),
            Err(fate) => {
                info!("the right to write the labels of {repository} {fate}");
                resign(lease).await;
            }
            Ok(ended) => {
                resign(lease).await;
                return ended.map_or(Ok(()), Err);
            }
        }
    }
}

/// The time for which a daemon is the one that writes.
struct Term<'a> {
    site: &'a Site,
    repo: &'a Repo,
    tally: &'a Tally,
    health: &'a Health,
    scribe: Scribe,
    sweep: Sweep,
    next_sweep: Instant,
    /// What sweeps found, until it is right again.
    suspects: BTreeSet<IssueNumber>,
    aside: Aside,
}

/// An issue whose labels are to be looked after.
#[derive(Debug, Clone, Copy)]
struct Row {
    issue: IssueNumber,
    /// What it should have; none where the project does not know it.
    want: Option<Marks>,
    /// What is confirmed then, and since when it is so; nothing for what a sweep found.
    version: Option<u64>,
    changed: Option<SystemTime>,
}

impl<'a> Term<'a> {
    fn new(site: &'a Site, repo: &'a Repo, tally: &'a Tally, health: &'a Health) -> Self {
        let scribe = Scribe::new(repo.clone(), site.config.labels.clone());
        let (sweep, aside) = (Sweep::default(), Aside::default());
        Self { site, repo, tally, health, scribe, sweep, next_sweep: Instant::now(), suspects: BTreeSet::new(), aside }
    }

    /// Goes on until there is a reason to let somebody else try.
    async fn serve(&mut self) -> Trouble {
        let mut backoff = Backoff::new(PAUSES.0, PAUSES.1);
        loop {
            let error = match self.round().await {
                Ok(()) => {
                    self.health.well();
                    backoff = Backoff::new(PAUSES.0, PAUSES.1);
                    continue;
                }
                Err(Problem::Server(error)) => return error.into(),
                Err(Problem::Github(error)) => error,
            };
            let why = error.to_string();
            self.health.ailing(why.clone());
            match error.cause {
                // Another daemon has the same limit.
                Cause::RateLimited { until } => sleep_until(until).await,
                cause if cause.is_absence() => match self.is_gone().await {
                    Some(why) => return Trouble::Lasting(why),
                    None => sleep(backoff.pause()).await,
                },
                // Another daemon may have another token.
                Cause::Unauthorized | Cause::Forbidden(_) | Cause::Credential(_) => return Trouble::Passing(why),
                _ if backoff.count() + 1 >= ATTEMPTS => return Trouble::Passing(why),
                _ => sleep(backoff.pause()).await,
            }
        }
    }

    /// A sweep if one is due, and whatever the outbox has.
    async fn round(&mut self) -> Result<(), Problem> {
        self.scribe.prepare().await?;
        if self.next_sweep <= Instant::now() {
            let config = &self.site.config.labels;
            let found = self.sweep.look(self.repo, &self.site.project, config, &mut self.scribe).await?;
            self.suspects.extend(found);
            self.next_sweep = Instant::now() + config.sweep.get();
        }
        self.mend().await?;
        if self.outbox(Block::No).await?.is_empty() {
            self.health.well();
            if !self.wait().await? {
                return Ok(());
            }
        }
        // More may come in a moment, of these issues and of others.
        sleep(self.site.config.labels.coalesce.get()).await;
        let rows = self.outbox(Block::No).await?;
        let changed = self.changed_since(&rows).await?;
        let rows: Vec<Row> = rows.into_iter().map(|row| Row::of(row, &changed)).collect();
        for rows in rows.chunks(FLUSH) {
            self.flush(rows).await?;
        }
        Ok(())
    }

    /// Waits for something to do. False where only a sweep is due.
    async fn wait(&mut self) -> Result<bool, Problem> {
        let until = self.next_sweep.min(self.aside.next().unwrap_or(self.next_sweep));
        let left = until.saturating_duration_since(Instant::now()).min(ROUND).max(Duration::from_millis(1));
        if self.aside.next().is_some() {
            // The outbox is not empty, so it would not be waited on.
            sleep(left.min(self.site.config.labels.coalesce.get().max(Duration::from_secs(1)))).await;
            return Ok(true);
        }
        Ok(!self.outbox(Block::AtMost(left)).await?.is_empty())
    }

    /// The issues whose labels are behind, but for those that were set aside.
    async fn outbox(&self, block: Block) -> Result<Vec<Unlabelled>, Problem> {
        let mut rows = self.site.project.unlabelled(Some(ROWS), block).await?;
        self.tally.behind.set(i64::try_from(rows.len()).unwrap_or(i64::MAX));
        rows.retain(|row| !self.aside.has(row.issue));
        Ok(rows)
    }

    /// When the versions came about that are in the outbox, as far as the log still knows, by this host's clock.
    async fn changed_since(&self, rows: &[Unlabelled]) -> Result<BTreeMap<u64, SystemTime>, Problem> {
        let Some(first) = rows.iter().map(|row| row.version).min() else { return Ok(BTreeMap::new()) };
        let project = &self.site.project;
        let (ours, theirs) = (SystemTime::now(), project.client().time().await?);
        let events = project.events(first.saturating_sub(1), Some(ROWS), Block::No).await?;
        Ok(events
            .into_iter()
            .filter_map(|event| {
                let age = theirs.duration_since(event.at?.to_system_time()?).unwrap_or_default();
                Some((event.id, ours.checked_sub(age)?))
            })
            .collect())
    }

    /// Mends what others changed. What the outbox has as well is behind, and nobody's doing.
    async fn mend(&mut self) -> Result<(), Problem> {
        if self.suspects.is_empty() {
            return Ok(());
        }
        for row in self.outbox(Block::No).await? {
            self.suspects.remove(&row.issue);
        }
        let mut rows = Vec::new();
        for issue in self.suspects.iter().copied().filter(|issue| !self.aside.has(*issue)) {
            // Where it stands now, not when it was looked at.
            let want = self.site.project.get(issue).await?.map(|issue| Marks::of(issue.status));
            rows.push(Row { issue, want, version: None, changed: None });
        }
        for rows in rows.chunks(FLUSH) {
            self.flush(rows).await?;
        }
        Ok(())
    }

    /// Brings issues' labels in step, and confirms them.
    async fn flush(&mut self, rows: &[Row]) -> Result<(), Problem> {
        let numbers: Vec<IssueNumber> = rows.iter().map(|row| row.issue).collect();
        let unseen: BTreeMap<IssueNumber, Cause> = self.scribe.look(&numbers).await?.into_iter().collect();
        if unseen.values().any(Cause::is_absence) {
            // Before issues are taken for gone: GitHub says the same of a repository that is.
            self.repo.about().await?;
        }
        let mut changes = Vec::new();
        for row in rows {
            match (unseen.get(&row.issue), self.difference(row)) {
                (Some(cause), _) => self.settle_unseen(row, cause.clone()).await?,
                (None, Some(difference)) if !difference.is_none() => changes.push((*row, difference)),
                (None, _) => self.confirm(row).await?,
            }
        }
        for batch in batches(&changes) {
            let differences: Vec<_> = batch.iter().map(|(row, difference)| (row.issue, *difference)).collect();
            let mut outcomes: BTreeMap<_, _> = self.scribe.write(&differences).await?.into_iter().collect();
            for (row, difference) in batch {
                let outcome = outcomes.remove(&row.issue).unwrap_or(Err(Cause::NotFound));
                if outcome.is_ok() {
                    self.tally.changes.inc_by(difference.fields() as u64);
                }
                self.settle_written(row, outcome).await?;
            }
        }
        Ok(())
    }

    fn difference(&self, row: &Row) -> Option<Difference> {
        let have = self.scribe.known(row.issue)?.marks;
        Some(Difference::between(have, row.want.unwrap_or_else(|| Marks::of_unknown(have))))
    }

    /// After an issue could not be looked at. One that is not there is done with.
    async fn settle_unseen(&mut self, row: &Row, cause: Cause) -> Result<(), Problem> {
        if cause.is_absence() {
            info!(issue = %row.issue, "is not on GitHub (any more), so it has no labels");
            return self.confirm(row).await;
        }
        self.put_aside(row.issue, cause);
        Ok(())
    }

    /// After an issue was written, or refused.
    async fn settle_written(&mut self, row: &Row, outcome: Result<Marks, Cause>) -> Result<(), Problem> {
        match outcome {
            Ok(_) if self.difference(row).is_some_and(Difference::is_none) => {
                if row.version.is_none() {
                    self.tally.drifted.inc();
                    info!(issue = %row.issue, "its labels were changed by others, and are right again");
                }
                return self.confirm(row).await;
            }
            Ok(_) => self.put_aside(row.issue, Cause::Unprocessable("somebody changes the same labels".to_owned())),
            Err(cause) => {
                // It was there when it was looked at, so it may be the label that is not.
                if cause.is_absence() {
                    self.scribe.doubt_labels();
                }
                self.put_aside(row.issue, cause);
            }
        }
        Ok(())
    }

    fn put_aside(&mut self, issue: IssueNumber, cause: Cause) {
        let error = GithubError { request: format!("the labels of issue {issue}"), cause };
        if self.aside.put(issue) {
            warn!("{error}");
        } else {
            debug!("{error}");
        }
    }

    async fn confirm(&mut self, row: &Row) -> Result<(), Problem> {
        self.aside.clear(row.issue);
        self.suspects.remove(&row.issue);
        let Some(version) = row.version else { return Ok(()) };
        // False: it has changed meanwhile, and is listed again.
        if self.site.project.labelled(row.issue, version).await?
            && let Some(lag) = row.changed.and_then(|changed| SystemTime::now().duration_since(changed).ok())
        {
            self.tally.lag.observe(lag.as_secs_f64());
        }
        Ok(())
    }

    /// Whether the repository itself is not there for us, and what to do then. Asked twice.
    async fn is_gone(&self) -> Option<String> {
        let mut error = self.repo.about().await.err()?;
        if error.cause.is_absence() {
            sleep(SURELY).await;
            error = self.repo.about().await.err()?;
        }
        error.cause.is_absence().then(|| error.to_string())
    }
}

impl Row {
    fn of(row: Unlabelled, changed: &BTreeMap<u64, SystemTime>) -> Self {
        let changed = changed.get(&row.version).copied();
        Self { issue: row.issue, want: Some(Marks::of(row.status)), version: Some(row.version), changed }
    }
}

/// As many changes as fit into one operation each, none of them split.
fn batches(changes: &[(Row, Difference)]) -> Vec<&[(Row, Difference)]> {
    let (mut batches, mut rest) = (Vec::new(), changes);
    while !rest.is_empty() {
        let mut fields = 0;
        let fits = rest.iter().take_while(|(_, difference)| {
            fields += difference.fields();
            fields <= scribe::FIELDS
        });
        let (batch, others) = rest.split_at(fits.count().max(1));
        batches.push(batch);
        rest = others;
    }
    batches
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::marks::Mark;
    use super::*;

    #[test]
    fn a_batch_has_at_most_twenty_fields_and_all_of_an_issue() {
        let row =
            |number| Row { issue: IssueNumber::try_from(number).unwrap(), want: None, version: None, changed: None };
        let one = Difference { remove: Marks::NONE, add: Mark::Error.into() };
        let two = Difference { remove: Mark::Processing.into(), add: Mark::Error.into() };
        let mut changes: Vec<_> = (1..=200).map(|number| (row(number), two)).collect();
        assert_eq!(batches(&changes).len(), 20);
        changes.insert(0, (row(500), one));
        let batches = batches(&changes);
        assert_eq!(batches.iter().map(|batch| batch.len()).sum::<usize>(), 201);
        let fields = |batch: &[(Row, Difference)]| batch.iter().map(|(_, some)| some.fields()).sum::<usize>();
        assert!(batches.iter().all(|batch| fields(batch) <= scribe::FIELDS));
        assert_eq!(batches.len(), 21, "19 fields are in the first");
    }
}
