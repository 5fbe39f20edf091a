//! Reads and writes the labels of issues: many at once over GraphQL, or one by one over REST where GraphQL is not to be had.

mod batch;

use std::collections::BTreeMap;
use std::time::Duration;

use poppo::IssueNumber;
use tokio::time::Instant;

use self::batch::{Change, LookUp};
use super::ledger::{Known, Ledger};
use super::marks::{Difference, Mark, Marks};
use crate::daemon::config::LabelsConfig;
use crate::daemon::github::{Cause, GithubError, Issue, Repo, is_same_name};

/// How many issues are asked for in one GraphQL operation, and how many fields one may change.
const LOOKS: usize = 50;
pub(super) const FIELDS: usize = 20;
/// For how long REST has to do when GraphQL was refused, and after how many answers that were nonsense it is.
const WITHOUT_GRAPHQL: Duration = Duration::from_secs(10 * 60);
const MOST_NONSENSE: u32 = 3;

/// Who reads and writes labels.
#[derive(Debug)]
pub(super) struct Scribe {
    repo: Repo,
    config: LabelsConfig,
    ledger: Ledger,
    /// The node ids of our labels, once they are known to be there.
    ids: BTreeMap<Mark, String>,
    /// GraphQL is not to be had until then.
    rest_until: Option<Instant>,
    nonsense: u32,
}

/// What became of an issue: its labels now, or why they are not as wished.
pub(super) type Outcome = (IssueNumber, Result<Marks, Cause>);

impl Scribe {
    pub(super) fn new(repo: Repo, config: LabelsConfig) -> Self {
        Self { repo, config, ledger: Ledger::default(), ids: BTreeMap::new(), rest_until: None, nonsense: 0 }
    }

    /// Sees to it that our labels are there. One that exists keeps its colour.
    pub(super) async fn prepare(&mut self) -> Result<(), GithubError> {
        if self.ids.len() == Mark::ALL.len() {
            return Ok(());
        }
        let there = self.repo.labels().await?;
        for mark in Mark::ALL {
            let wanted = mark.label(&self.config);
            let found = there.iter().find(|label| is_same_name(&label.name, &wanted.name)).cloned();
            let label = match found {
                Some(label) => label,
                None => {
                    tracing::info!(label = %wanted.name, "makes the label");
                    self.repo.create_label(&wanted.name, &wanted.color, mark.description()).await?
                }
            };
            self.ids.insert(mark, label.node_id);
        }
        Ok(())
    }

    /// One of the labels may have been deleted.
    pub(super) fn doubt_labels(&mut self) {
        self.ids.clear();
    }

    pub(super) fn known(&self, issue: IssueNumber) -> Option<&Known> {
        self.ledger.get(issue)
    }

    /// Takes in what a list said of an issue. Its labels of ours.
    pub(super) fn learn(&mut self, issue: &Issue) -> Option<(IssueNumber, Marks)> {
        let number = IssueNumber::try_from(issue.number).ok()?;
        let marks = Marks::among(issue.labels.iter().map(String::as_str), &self.config);
        self.ledger.learn(number, &issue.node_id, marks);
        Some((number, marks))
    }

    /// Learns of issues that are not known yet. Those of which there is nothing to know, and why.
    pub(super) async fn look(&mut self, issues: &[IssueNumber]) -> Result<Vec<(IssueNumber, Cause)>, GithubError> {
        let unknown: Vec<IssueNumber> =
            issues.iter().copied().filter(|issue| self.ledger.get(*issue).is_none()).collect();
        let mut failed = Vec::new();
        for some in unknown.chunks(LOOKS) {
            if some.len() == 1 || !self.has_graphql() {
                failed.extend(self.look_one_by_one(some).await?);
                continue;
            }
            match self.look_at_once(some).await {
                Ok(found) => failed.extend(found),
                Err(error) if self.does_without_graphql(&error) => failed.extend(self.look_one_by_one(some).await?),
                Err(error) => return Err(error),
            }
        }
        Ok(failed)
    }

    /// Changes labels, of issues that are known, with at most [`FIELDS`] fields in all. After an error, nothing is known of
    /// them any more.
    pub(super) async fn write(&mut self, batch: &[(IssueNumber, Difference)]) -> Result<Vec<Outcome>, GithubError> {
        let written = match self.has_graphql() {
            true => match self.write_at_once(batch).await {
                Err(error) if self.does_without_graphql(&error) => self.write_one_by_one(batch).await,
                written => written,
            },
            false => self.write_one_by_one(batch).await,
        };
        let outcomes = written.inspect_err(|_| batch.iter().for_each(|(issue, _)| self.ledger.forget(*issue)))?;
        for (issue, outcome) in &outcomes {
            match outcome {
                Ok(marks) => self.ledger.has_now(*issue, *marks),
                Err(_) => self.ledger.forget(*issue),
            }
        }
        Ok(outcomes)
    }

    async fn look_at_once(&mut self, issues: &[IssueNumber]) -> Result<Vec<(IssueNumber, Cause)>, GithubError> {
        let look = LookUp::of(self.repo.owner_and_name(), issues);
        let outcome = self.repo.graphql_query(&look.query, &look.variables).await?;
        self.nonsense = 0;
        // That is the repository's, not an issue's.
        if let Some(cause) = outcome.failure(&["repository"]).filter(|_| !batch::has_repository(&outcome)) {
            return Err(GithubError { request: "POST /graphql".to_owned(), cause: cause.clone() });
        }
        let mut failed = Vec::new();
        for issue in issues {
            match batch::found(&outcome, *issue) {
                Ok((node, names)) => {
                    let marks = Marks::among(names.iter().map(String::as_str), &self.config);
                    self.ledger.learn(*issue, &node, marks);
                }
                Err(cause) => failed.push((*issue, cause)),
            }
        }
        Ok(failed)
    }

    async fn look_one_by_one(&mut self, issues: &[IssueNumber]) -> Result<Vec<(IssueNumber, Cause)>, GithubError> {
        let mut failed = Vec::new();
        for issue in issues {
            match self.repo.issue(issue.get()).await {
                Ok(found) => drop(self.learn(&found)),
                Err(error) if is_its_own(&error.cause) => failed.push((*issue, error.cause)),
                Err(error) => return Err(error),
            }
        }
        Ok(failed)
    }

    async fn write_at_once(&mut self, batch: &[(IssueNumber, Difference)]) -> Result<Vec<Outcome>, GithubError> {
        let changes: Vec<Change<'_>> = batch
            .iter()
            .filter_map(|(issue, difference)| {
                Some(Change { issue: *issue, node: &self.ledger.get(*issue)?.node, difference: *difference })
            })
            .collect();
        let mutation = batch::mutation(&changes, &self.ids);
        let outcome = self.repo.graphql_mutation(&mutation, &serde_json::Value::Null).await?;
        self.nonsense = 0;
        let marks = |names: Vec<String>| Marks::among(names.iter().map(String::as_str), &self.config);
        Ok(changes.iter().map(|change| (change.issue, batch::changed(&outcome, change).map(marks))).collect())
    }

    async fn write_one_by_one(&mut self, batch: &[(IssueNumber, Difference)]) -> Result<Vec<Outcome>, GithubError> {
        let mut outcomes = Vec::new();
        for (issue, difference) in batch {
            match self.write_one(*issue, *difference).await {
                Ok(names) => outcomes.push((*issue, Ok(Marks::among(names.iter().map(String::as_str), &self.config)))),
                Err(error) if is_its_own(&error.cause) => outcomes.push((*issue, Err(error.cause))),
                Err(error) => return Err(error),
            }
        }
        Ok(outcomes)
    }

    /// The labels that are on in the end.
    async fn write_one(&self, issue: IssueNumber, difference: Difference) -> Result<Vec<String>, GithubError> {
        let mut names = Vec::new();
        for mark in difference.remove.iter() {
            names = self.repo.remove_label(issue.get(), &mark.label(&self.config).name).await?;
        }
        for mark in difference.add.iter() {
            names = self.repo.add_label(issue.get(), &mark.label(&self.config).name).await?;
        }
        Ok(names)
    }

    fn has_graphql(&self) -> bool {
        self.rest_until.is_none_or(|until| until <= Instant::now())
            // A server that gives no node ids can be told nothing by them.
            && self.ids.values().all(|id| !id.is_empty())
    }

    /// Whether a failure of a whole operation means that REST has to do for now.
    fn does_without_graphql(&mut self, error: &GithubError) -> bool {
        let is_refused = match &error.cause {
            Cause::Forbidden(_) | Cause::NotFound | Cause::Gone(_) | Cause::Moved | Cause::Unprocessable(_) => true,
            Cause::Nonsense(_) => {
                self.nonsense += 1;
                self.nonsense >= MOST_NONSENSE
            }
            _ => false,
        };
        if is_refused {
            tracing::warn!("labels are written one by one for now: {error}");
            self.rest_until = Some(Instant::now() + WITHOUT_GRAPHQL);
        }
        is_refused
    }
}

/// Whether a failure is one issue's, and not everything's.
fn is_its_own(cause: &Cause) -> bool {
    cause.is_absence() || matches!(cause, Cause::Forbidden(_) | Cause::Unprocessable(_))
}
