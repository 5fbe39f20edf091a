//! Looking at everything, instead of at what changed: people and other programs change labels, too.
//!
//! The first sweep of a daemon asks for all issues that have one of our labels, the next ones for those that changed since
//! the one before. Either way what GitHub shows is compared with where the issues stand, in both directions.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use poppo::{IssueNumber, Project};

use super::Problem;
use super::marks::{Mark, Marks};
use super::scribe::Scribe;
use crate::daemon::config::LabelsConfig;
use crate::daemon::github::Repo;
use crate::daemon::github::repo::{Fresh, Tag, Wanted};

/// How far back the second sweep looks where GitHub has not told the time: longer than clocks differ.
const BACK: Duration = Duration::from_secs(15 * 60);

/// Where the sweeps stand.
#[derive(Debug, Default)]
pub(super) struct Sweep {
    /// What changed at that time or later was not seen yet, as GitHub writes times.
    since: Option<String>,
    seen: Option<Tag>,
}

impl Sweep {
    /// Looks, and answers which issues may have wrong labels.
    pub(super) async fn look(
        &mut self,
        repo: &Repo,
        project: &Project,
        config: &LabelsConfig,
        scribe: &mut Scribe,
    ) -> Result<Vec<IssueNumber>, Problem> {
        match self.since.clone() {
            None => self.look_at_all(repo, project, config, scribe).await,
            Some(since) => self.look_since(since, repo, project, scribe).await,
        }
    }

    async fn look_at_all(
        &mut self,
        repo: &Repo,
        project: &Project,
        config: &LabelsConfig,
        scribe: &mut Scribe,
    ) -> Result<Vec<IssueNumber>, Problem> {
        let began = SystemTime::now();
        let mut found: BTreeMap<IssueNumber, Marks> = BTreeMap::new();
        let mut latest = String::new();
        for mark in Mark::ALL {
            let wanted = Wanted { label: Some(mark.label(config).name.clone()), ..Wanted::default() };
            for issue in repo.issues(&wanted, None).await?.items() {
                found.extend(scribe.learn(&issue));
                latest = latest.max(issue.updated_at);
            }
        }
        let mut suspects = Vec::new();
        for issue in project.list_all(None).await? {
            let have = found.remove(&issue.issue).unwrap_or_default();
            if have != Marks::of(issue.status) {
                suspects.push(issue.issue);
            }
        }
        // What is left, the project does not know.
        suspects
            .extend(found.into_iter().filter(|(_, have)| *have != Marks::of_unknown(*have)).map(|(issue, _)| issue));
        if latest.is_empty() {
            latest = humantime::format_rfc3339_seconds(began - BACK).to_string();
        }
        self.since = Some(latest);
        Ok(suspects)
    }

    async fn look_since(
        &mut self,
        since: String,
        repo: &Repo,
        project: &Project,
        scribe: &mut Scribe,
    ) -> Result<Vec<IssueNumber>, Problem> {
        let wanted = Wanted { since: Some(since), ..Wanted::default() };
        let Fresh::New(issues, tag) = repo.issues(&wanted, self.seen.as_ref()).await? else { return Ok(Vec::new()) };
        let mut suspects = Vec::new();
        for issue in &issues {
            let Some((number, have)) = scribe.learn(issue) else { continue };
            let status = project.get(number).await?.map(|issue| issue.status);
            if have != status.map_or(Marks::of_unknown(have), Marks::of) {
                suspects.push(number);
            }
        }
        // Only now: what was asked for and not dealt with is asked for again.
        self.seen = tag;
        self.since = issues.into_iter().map(|issue| issue.updated_at).chain(wanted.since).max();
        Ok(suspects)
    }
}
