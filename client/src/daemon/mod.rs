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
//! | `http` | duty 7 |
//! | `github` | GitHub's API, for the duties that speak with it |
//! | `metrics` | what `/metrics` shows |
//! | `log` | what is logged, and how |

mod board;
pub(crate) mod config;
mod duty;
mod github;
mod http;
mod intake;
mod liveness;
pub(crate) mod log;
mod metrics;
mod repair;
mod session;
mod template;

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
use self::github::{Github, Repo};
use self::http::Desk;
use self::intake::{Bells, Webhooks};
use self::repair::Comments;

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
    let taking = intake::Metrics::new(&mut registry);
    let github = Github::new(&config.github, &mut registry).map_err(|error| error.to_string());
    let mut bells = Bells::default();
    let mut duties = JoinSet::new();
    let host: Arc<str> = config.host().into();
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
            let (site, mending, comments) = (site.clone(), mending.clone(), comments(&config, project));
            let health = board.post(Some(site.project.key()), Duty::Repair);
            duty::spawn(&mut duties, health, stop.clone(), move |health| {
                repair::run(site.clone(), mending.clone(), Arc::clone(&orphans), comments.clone(), health)
            });
        }
        if config.duties.intake {
            let health = board.post(Some(site.project.key()), Duty::Intake);
            match source(project, &github) {
                Ok((repo, repository)) => {
                    let (site, bell, taking) = (site.clone(), bells.hang(repository), taking.clone());
                    duty::spawn(&mut duties, health, stop.clone(), move |health| {
                        intake::run(site.clone(), repo.clone(), Arc::clone(&bell), taking.clone(), health)
                    });
                }
                Err(why) => health.off(why),
            }
        }
    }
    if config.duties.http {
        let webhooks = Webhooks::new(&config.http.webhook_secrets, bells, taking);
        let desk = Desk { board: Arc::clone(&board), registry: Arc::new(registry), webhooks };
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

/// Where a project's issues are taken from, or why they are not.
fn source<'a>(
    project: &'a ProjectConfig,
    github: &Result<Option<Github>, String>,
) -> Result<(Repo, &'a Repository), String> {
    let repository = project.repository.as_ref().ok_or("the project has no repository")?;
    let github = github.as_ref().map_err(Clone::clone)?.as_ref().ok_or("there is no token for GitHub")?;
    if project.intake.authors.is_empty() {
        return Err("project.intake.authors names nobody".to_owned());
    }
    Ok((github.repo(repository), repository))
}

/// Who writes comments on a project's issues, or why nobody does.
fn comments(config: &Config, project: &ProjectConfig) -> Result<Arc<dyn Comments>, &'static str> {
    match (project.repair.comment, &project.repository) {
        (false, _) => Err("that is switched off"),
        (_, None) => Err("the project has no repository"),
        _ if !config.github.has_credentials() => Err("there is no token for GitHub"),
        _ => Err("there is no client for GitHub yet"),
    }
}
