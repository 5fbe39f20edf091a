//! `poppo daemon`: what runs beside the workers of a host. Each duty is a file; here they are put together.
//!
//! | file | what it does |
//! | --- | --- |
//! | `config` | what `poppo.toml` and the environment say |
//! | `duty` | runs a duty for as long as the daemon runs, whatever happens to it |
//! | `board` | how each duty is, for `/readyz` and the metrics |
//! | `session` | what a duty does while its server is there, again and again |
//! | `liveness` | duty 1 |
//! | `repair` | duty 2 |
//! | `intake` | duty 4 |
//! | `template` | texts with places for values |
//! | `labels` | duty 3 |
//! | `ambassador` | duty 5 |
//! | `view` | duty 6 |
//! | `seat` | which daemon does those two for a project |
//! | `older` | puts those two together |
//! | `records` | reads many issues whole |
//! | `http` | duty 7 |
//! | `github` | GitHub's API, for the duties that speak with it |
//! | `metrics` | what `/metrics` shows |
//! | `log` | what is logged, and how |

mod ambassador;
mod board;
pub(crate) mod config;
mod duty;
pub(crate) mod github;
mod http;
mod intake;
pub(crate) mod labels;
mod liveness;
pub(crate) mod log;
mod metrics;
mod older;
mod records;
mod repair;
mod seat;
mod session;
mod template;
mod view;

use std::sync::Arc;
use std::time::Duration;

use poppo::{Client, Project};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use self::board::Board;
use self::config::{Config, ProjectConfig, Repository};
use self::duty::Duty;
use self::github::{Github, GithubError, Repo};
use self::http::Desk;
use self::intake::{Bells, Webhooks};
use self::metrics::Projects;
use self::repair::Comments;
pub(crate) use self::view::signature as view_signature;

/// For how long duties may take to end what they are at, once they are told to.
const GRACE: Duration = Duration::from_secs(5);

/// What the duties of one project share.
#[derive(Debug, Clone)]
pub(crate) struct Site {
    /// The project on its server.
    pub(crate) project: Project,
    /// What the configuration says of it.
    pub(crate) config: Arc<ProjectConfig>,
    /// This host's name, as its workers give it.
    pub(crate) host: Arc<str>,
    /// Cancelled when the daemon ends: a duty then finishes what cannot be left half done, and returns.
    pub(crate) stop: CancellationToken,
}

/// Runs all duties until `stop` is cancelled, then waits until they have ended.
pub(crate) async fn run(config: Config, client: Client, stop: CancellationToken) {
    let board = Arc::new(Board::default());
    let mut registry = metrics::registry(&board);
    let (watching, mending) = (liveness::Metrics::new(&mut registry), repair::Metrics::new(&mut registry));
    let (labelling, taking) = (labels::Metrics::new(&mut registry), intake::Metrics::new(&mut registry));
    let github = Github::new(&config.github, &mut registry);
    let mut bells = Bells::default();
    let mut duties = JoinSet::new();
    let host: Arc<str> = config.host().into();
    let older = older::Programs::new(&config, &mut registry);
    for project in &config.projects {
        let site = Site {
            project: client.project(project.key.as_str()),
            config: Arc::new(project.clone()),
            host: Arc::clone(&host),
            stop: stop.clone(),
        };
        // Who sees a worker die tells who repairs what it held.
        let orphans = Arc::new(Notify::new());
        if config.duties.liveness {
            let (site, watching, orphans) = (site.clone(), watching.clone(), Arc::clone(&orphans));
            let health = board.post(Some(site.project.key()), Duty::Liveness);
            duty::spawn(&mut duties, health, stop.clone(), move |health| {
                liveness::run(site.clone(), watching.clone(), Arc::clone(&orphans), health)
            });
        }
        if config.duties.repair {
            let (mending, comments) = (mending.clone(), comments(&github, project));
            let site = site.clone();
            let health = board.post(Some(site.project.key()), Duty::Repair);
            duty::spawn(&mut duties, health, stop.clone(), move |health| {
                repair::run(site.clone(), mending.clone(), Arc::clone(&orphans), comments.clone(), health)
            });
        }
        if config.duties.labels {
            let health = board.post(Some(site.project.key()), Duty::Labels);
            match on_github(&github, project) {
                Ok((repository, repo)) => {
                    let (site, labelling) = (site.clone(), labelling.clone());
                    duty::spawn(&mut duties, health, stop.clone(), move |health| {
                        labels::run(site.clone(), repository.clone(), repo.clone(), labelling.clone(), health)
                    });
                }
                Err(Absent::Unwanted(why)) => health.off(why),
                Err(Absent::Unusable(why)) => health.given_up(why),
            }
        }
        if config.duties.intake {
            let health = board.post(Some(site.project.key()), Duty::Intake);
            match source(&github, project) {
                Ok((_, repo)) => {
                    let (site, bell, taking) = (site.clone(), bells.hang(&repo), taking.clone());
                    duty::spawn(&mut duties, health, stop.clone(), move |health| {
                        intake::run(site.clone(), repo.clone(), Arc::clone(&bell), taking.clone(), health)
                    });
                }
                Err(Absent::Unwanted(why)) => health.off(why),
                Err(Absent::Unusable(why)) => health.given_up(why),
            }
        }
        older.serve(&site, &board, &mut duties);
    }
    if config.duties.http {
        let projects = config.projects.iter().map(|project| client.project(project.key.as_str())).collect();
        let projects = Projects::new(client.clone(), projects);
        registry.register_collector(Box::new(projects.clone()));
        let webhooks = Webhooks::new(&config.http.webhook_secrets, bells, taking);
        let desk = Desk { board: Arc::clone(&board), registry: Arc::new(registry), projects, webhooks };
        let (http, end) = (config.http.clone(), stop.clone());
        duty::spawn(&mut duties, board.post(None, Duty::Http), stop.clone(), move |health| {
            let (http, desk, end) = (http.clone(), desk.clone(), end.clone());
            http::run(http, desk, health, end, |address| info!(%address, "answers on HTTP"))
        });
    }
    info!(%host, projects = config.projects.len(), duties = duties.len(), "the daemon runs");
    stop.cancelled().await;
    match timeout(GRACE, async { while duties.join_next().await.is_some() {} }).await {
        Ok(()) => info!("the daemon has ended"),
        Err(_) => warn!(left = duties.len(), "the daemon ends without having waited for all of its duties"),
    }
}

/// Why GitHub is not spoken with for a project.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Absent {
    /// Nobody asked for it.
    Unwanted(&'static str),
    /// It cannot be.
    Unusable(String),
}

/// A project's repository, and the way to it.
fn on_github(
    github: &Result<Option<Github>, GithubError>,
    project: &ProjectConfig,
) -> Result<(Repository, Repo), Absent> {
    let Some(repository) = &project.repository else { return Err(Absent::Unwanted("the project has no repository")) };
    match github {
        Ok(Some(github)) => Ok((repository.clone(), github.repo(repository))),
        Ok(None) => Err(Absent::Unwanted("there is no token for GitHub")),
        Err(error) => Err(Absent::Unusable(error.to_string())),
    }
}

/// Where a project's issues are taken from, or why they are not.
fn source(github: &Result<Option<Github>, GithubError>, project: &ProjectConfig) -> Result<(Repository, Repo), Absent> {
    let found = on_github(github, project)?;
    if project.intake.authors.is_empty() {
        Err(Absent::Unwanted("project.intake.authors names nobody"))
    } else {
        Ok(found)
    }
}

/// Who writes comments on a project's issues, or why nobody does.
fn comments(
    github: &Result<Option<Github>, GithubError>,
    project: &ProjectConfig,
) -> Result<Arc<dyn Comments>, &'static str> {
    if !project.repair.comment {
        return Err("that is switched off");
    }
    match on_github(github, project) {
        Ok((_, repo)) => Ok(Arc::new(repo)),
        Err(Absent::Unwanted(why)) => Err(why),
        Err(Absent::Unusable(_)) => Err("the credential for GitHub cannot be used"),
    }
}
