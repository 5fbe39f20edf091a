//! Duty 4: makes tasks of issues and comments.
//!
//! Polling and webhooks only say which issues to look at; what is found there is compared with what the server knows, and
//! what is missing is done. So nothing depends on how often, or in which order, something is heard of, and any number of
//! daemons may do this at once: a task has the same id whoever queues it.
//!
//! | file | what it does |
//! | --- | --- |
//! | `rules`, `closing` | what becomes a task |
//! | `look` | looks at one issue, and does what is missing |
//! | `withdraw` | calls off what nobody wants any more |
//! | `again` | offers again what failed |
//! | `task` | tasks as they are queued |
//! | `note`, `ledger` | what is remembered between two looks; where |
//! | `webhook`, `bell` | what GitHub says by itself |
//! | `metrics` | what is counted |

mod again;
mod bell;
mod closing;
mod ledger;
mod look;
mod metrics;
mod note;
mod rules;
mod task;
mod webhook;
mod withdraw;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use poppo::{Backoff, Error, Issue as Record, IssueNumber, Status, Task};
use tokio::time::{Instant, sleep_until};
use tracing::info;

pub(crate) use self::bell::{Bell, Bells};
use self::ledger::{Cursor, Ledger};
pub(crate) use self::metrics::Metrics;
use self::note::{Note, before};
use self::rules::{Rules, Why};
use self::task::Maker;
pub(crate) use self::webhook::Webhooks;
use super::Site;
use super::board::Health;
use super::duty::Trouble;
use super::github::repo::{Fresh, Tag, Wanted};
use super::github::{Cause, GithubError, Issue, Repo};

/// How far a list goes back behind what was seen: what GitHub shows lags a little, and not all of it equally.
const OVERLAP: Duration = Duration::from_secs(30);
/// As many issues as are on a page of GitHub's.
const PAGE: usize = 100;
/// Of more issues than that, a list is cheaper than one after another.
const ONE_BY_ONE: usize = 20;
/// How many records are read in one round trip.
const RECORDS: usize = 500;
/// How many issues trouble may befall before it is everybody's.
const TROUBLES: usize = 3;
/// The longest pause after something went wrong.
const LONGEST_PAUSE: Duration = Duration::from_secs(5 * 60);

/// What stands in the way.
#[derive(Debug)]
enum Setback {
    Server(Error),
    Github(GithubError),
    /// It will not go away by itself.
    Lasting(String),
}

impl From<Error> for Setback {
    fn from(error: Error) -> Self {
        Self::Server(error)
    }
}

impl From<GithubError> for Setback {
    fn from(error: GithubError) -> Self {
        Self::Github(error)
    }
}

impl Setback {
    /// Whether other issues may do better.
    fn is_of_one_issue(&self) -> bool {
        matches!(self, Self::Github(error) if error.cause.may_pass() || matches!(error.cause, Cause::Unprocessable(_)))
    }
}

/// The intake of one project.
#[derive(Debug)]
struct Intake {
    site: Site,
    repo: Repo,
    metrics: Metrics,
    maker: Maker,
    ledger: Ledger,
    /// None until GitHub has said who we are.
    rules: Option<Rules>,
    /// What GitHub's list was when all of it had been dealt with.
    tag: Option<Tag>,
    /// Issues that are to be looked at, beside those that GitHub lists.
    again: BTreeSet<u64>,
    /// What waits in the queue, as far as it was asked for in this turn.
    waiting: Option<Vec<Task>>,
    /// What befell single issues in this turn.
    troubles: Vec<Setback>,
}

/// Takes issues in until the daemon ends.
pub(crate) async fn run(
    site: Site,
    repo: Repo,
    bell: Arc<Bell>,
    metrics: Metrics,
    health: Health,
) -> Result<(), Trouble> {
    let stop = site.stop.clone();
    let mut intake = Intake::new(site, repo, metrics);
    let poll = intake.site.config.intake.poll.get();
    let pauses = || Backoff::new(poll.min(Duration::from_secs(1)), LONGEST_PAUSE.max(poll));
    let mut backoff = pauses();
    let mut next_poll = Instant::now();
    loop {
        let is_poll = Instant::now() >= next_poll;
        intake.again.append(&mut bell.take());
        let done = tokio::select! {
            done = intake.turn(is_poll) => done,
            () = stop.cancelled() => return Ok(()),
        };
        let pause = match done {
            Ok(()) => {
                health.well();
                backoff = pauses();
                if is_poll {
                    next_poll = Instant::now() + poll;
                }
                None
            }
            Err(Setback::Lasting(why)) => return Err(Trouble::Lasting(why)),
            Err(Setback::Server(error)) => {
                health.ailing(error.to_string());
                Some(Instant::now() + backoff.pause())
            }
            Err(Setback::Github(error)) => {
                health.ailing(error.to_string());
                Some(match error.cause {
                    Cause::RateLimited { until } => until,
                    _ => Instant::now() + backoff.pause(),
                })
            }
        };
        // After something went wrong, no webhook makes it any better.
        let ring = async { if pause.is_none() { bell.rung().await } else { std::future::pending().await } };
        tokio::select! {
            () = ring => {}
            () = sleep_until(pause.unwrap_or(next_poll)) => {}
            () = stop.cancelled() => return Ok(()),
        }
    }
}

impl Intake {
    fn new(site: Site, repo: Repo, metrics: Metrics) -> Self {
        let (owner, name) = repo.owner_and_name();
        Self {
            maker: Maker { repository: format!("{owner}/{name}") },
            ledger: Ledger::of(&site.project),
            site,
            repo,
            metrics,
            rules: None,
            tag: None,
            again: BTreeSet::new(),
            waiting: None,
            troubles: Vec::new(),
        }
    }

    /// Looks at what it was told of, and, with `is_poll`, at everything that is new.
    async fn turn(&mut self, is_poll: bool) -> Result<(), Setback> {
        self.waiting = None;
        self.troubles.clear();
        self.introduce().await?;
        if is_poll || self.again.len() > ONE_BY_ONE {
            self.poll().await?;
        } else {
            self.visit(None).await?;
        }
        self.troubles.pop().map_or(Ok(()), Err)
    }

    /// Learns who we are, and whether the repository is there.
    async fn introduce(&mut self) -> Result<(), Setback> {
        if self.rules.is_none() {
            self.exists().await?;
            let me = self.repo.own_login().await?;
            self.rules = Some(Rules::new(self.site.config.intake.clone(), me));
        }
        Ok(())
    }

    async fn exists(&self) -> Result<(), Setback> {
        match self.repo.about().await {
            Ok(about) if !about.has_issues => Err(Setback::Lasting(format!("{} has no issues", about.full_name))),
            Ok(_) => Ok(()),
            Err(error) if error.cause.is_absence() => Err(Setback::Lasting(error.to_string())),
            Err(error) => Err(error.into()),
        }
    }

    /// Everything that changed since the last time, whatever is left to be done, and what failed.
    async fn poll(&mut self) -> Result<(), Setback> {
        let cursor = self.ledger.cursor().await?;
        let (issues, tag) = match self.changes(&cursor).await {
            Err(Setback::Github(error)) if error.cause.is_absence() => {
                // The repository is gone, or was renamed: then its new name is known now.
                self.exists().await?;
                return Err(error.into());
            }
            changes => changes?,
        };
        let newest = issues.iter().map(|issue| issue.updated_at.clone()).max();
        self.again.extend(&cursor.again);
        for issue in &issues {
            self.again.remove(&issue.number);
        }
        let left = self.again.clone();
        self.look_at(issues).await?;
        self.visit(Some(left)).await?;
        let unanswered = self.unanswered().await?;
        self.visit(Some(unanswered)).await?;
        self.offer_again().await?;
        let now = Cursor { at: cursor.at.clone().max(newest), again: self.again.clone() };
        if now != cursor {
            self.ledger.set_cursor(&now).await?;
        }
        if let Some(tag) = tag {
            self.tag = Some(tag);
        }
        if self.troubles.is_empty() {
            self.metrics.polled(self.site.project.key());
        }
        Ok(())
    }

    /// The issues that changed, and what to show GitHub to be told that nothing else has.
    async fn changes(&self, cursor: &Cursor) -> Result<(Vec<Issue>, Option<Tag>), Setback> {
        let since = cursor.at.as_ref().map(|at| before(at, OVERLAP));
        // What was closed before anybody looked is nobody's concern.
        let wanted = Wanted { is_open: since.is_none(), since, label: None };
        let Fresh::New(mut issues, tag) = self.repo.issues(&wanted, self.tag.as_ref()).await? else {
            return Ok((Vec::new(), None));
        };
        if issues.len() > PAGE {
            // What changes meanwhile moves to the end, and another one over the edge of a page: read once more.
            issues.extend(self.repo.issues(&wanted, None).await?.items());
        }
        let mut newest: BTreeMap<u64, Issue> = BTreeMap::new();
        for issue in issues {
            let known = newest.get(&issue.number);
            if known.is_none_or(|known| known.updated_at <= issue.updated_at) {
                newest.insert(issue.number, issue);
            }
        }
        Ok((newest.into_values().collect(), tag))
    }

    /// Issues that wait for an answer since a lease after which nobody has looked for one.
    async fn unanswered(&self) -> Result<BTreeSet<u64>, Setback> {
        let waiting = self.site.project.list_all(Some(Status::AwaitingResponse)).await?;
        let numbers: Vec<u64> = waiting.iter().map(|record| record.issue.get()).collect();
        let notes = self.ledger.notes(&numbers).await?;
        let is_new = |record: &&Record| {
            let looked = notes.get(&record.issue.get()).and_then(|note| note.looked);
            looked != record.token.map(|token| token.get())
        };
        Ok(waiting.iter().filter(is_new).map(|record| record.issue.get()).collect())
    }

    /// Asks GitHub for these issues, or for all that are to be looked at, and looks at them.
    async fn visit(&mut self, issues: Option<BTreeSet<u64>>) -> Result<(), Setback> {
        for number in issues.unwrap_or_else(|| self.again.clone()) {
            // Until that is done it stays to be done.
            self.again.insert(number);
            match self.repo.issue(number).await {
                Ok(issue) => {
                    self.again.remove(&number);
                    self.look_at(vec![issue]).await?;
                }
                Err(error) if error.cause.is_absence() => {
                    self.again.remove(&number);
                    self.is_gone(number).await?;
                }
                Err(error) => self.befell(number, error.into())?,
            }
        }
        Ok(())
    }

    /// Looks at issues that GitHub has just told of. Those that trouble befell are looked at again.
    async fn look_at(&mut self, issues: Vec<Issue>) -> Result<(), Setback> {
        for issues in issues.chunks(RECORDS) {
            let numbered: Vec<(IssueNumber, &Issue)> =
                issues.iter().filter_map(|issue| Some((IssueNumber::try_from(issue.number).ok()?, issue))).collect();
            let numbers: Vec<IssueNumber> = numbered.iter().map(|(number, _)| *number).collect();
            let mut notes = self.ledger.notes(&issues.iter().map(|issue| issue.number).collect::<Vec<_>>()).await?;
            let records = self.site.project.get_all(&numbers).await?;
            for ((number, issue), record) in numbered.into_iter().zip(records) {
                let note = notes.remove(&issue.number).unwrap_or_default();
                if let Err(setback) = self.look(number, issue, record.as_ref(), note).await {
                    self.befell(issue.number, setback)?;
                }
            }
        }
        Ok(())
    }

    /// Something befell one issue, which is looked at again; others may do better, unless it befalls them, too.
    fn befell(&mut self, issue: u64, setback: Setback) -> Result<(), Setback> {
        self.again.insert(issue);
        if !setback.is_of_one_issue() || self.troubles.len() + 1 >= TROUBLES {
            return Err(setback);
        }
        self.troubles.push(setback);
        Ok(())
    }

    /// GitHub does not have an issue (any more).
    async fn is_gone(&mut self, number: u64) -> Result<(), Setback> {
        let Ok(issue) = IssueNumber::try_from(number) else { return Ok(()) };
        let note = self.ledger.notes(&[number]).await?.remove(&number).unwrap_or_default();
        let record = self.site.project.get(issue).await?;
        info!(issue = number, "{}", Why::Gone);
        self.leave(issue, record.as_ref(), note, Why::Gone).await
    }

    /// Writes a note where it is another one now.
    async fn keep(&self, issue: IssueNumber, before: &Note, after: &Note) -> Result<(), Setback> {
        if before != after {
            self.ledger.set_note(issue.get(), after).await?;
        }
        Ok(())
    }
}
