//! `poppo daemon`: what runs beside the workers of a host. Each duty is a file; here they are put together.
//!
//! | file | what it does |
//! | --- | --- |
//! | `config` | what `poppo.toml` and the environment say |
//! | `duty` | runs a duty for as long as the daemon runs, whatever happens to it |
//! | `board` | how each duty is, for `/readyz` and the metrics |
//! | `ambassador` | duty 5 |
//! | `view` | duty 6 |
//! | `seat` | which daemon does those two for a project |
//! | `older` | puts those two together |
//! | `records` | reads many issues whole |
//! | `http` | duty 7 |
//! | `metrics` | what `/metrics` shows |
//! | `log` | what is logged, and how |

mod ambassador;
mod board;
pub(crate) mod config;
mod duty;
mod http;
pub(crate) mod log;
mod metrics;
mod older;
mod records;
mod seat;
mod view;

use std::sync::Arc;
use std::time::Duration;

use poppo::{Client, Project};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use self::board::Board;
use self::config::{Config, ProjectConfig};
use self::duty::Duty;
use self::http::Desk;
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
        older.serve(&site, &board, &mut duties);
    }
    if config.duties.http {
        let desk = Desk { board: Arc::clone(&board), registry: Arc::new(registry) };
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
