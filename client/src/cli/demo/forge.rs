//! GitHub in the demo: the daemon keeps the labels of the demo's issues in step, and the end is compared with what is there.
//!
//! It is a program that serves what looks like GitHub (`make run` has one), unless somebody gives a token and names a
//! repository of his own.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use poppo::{Block, Client, IssueNumber, Project, Status};
use prometheus_client::registry::Registry;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::Task;
use super::screen::Screen;
use crate::daemon;
use crate::daemon::config::{Config, Duties};
use crate::daemon::github::{Github, Repo};
use crate::exit::{Failure, USAGE};
use crate::output::{Field, Table, Tone};

/// The repository that a GitHub of the demo's own has.
const REPOSITORY: &str = "poppo/demo";
/// What lets anybody in there.
const TOKEN: &str = "token-of-the-tests";
/// For how long it may take to start, and labels to follow.
const PATIENCE: Duration = Duration::from_secs(20);
/// How often it is looked whether they have followed.
const GLANCE: Duration = Duration::from_millis(50);

/// GitHub, and the daemon that writes there.
pub(super) struct Forge {
    /// The program that serves it, where that is ours. It ends when its input is closed, so when this is dropped.
    _program: Option<Child>,
    /// What is written there, and where.
    what: String,
    repo: Repo,
    daemon: JoinHandle<()>,
    stop: CancellationToken,
}

impl Forge {
    /// Starts a daemon that keeps labels in step: in this repository of GitHub's, or on what the program serves; none
    /// where there is neither.
    pub(super) async fn start(
        repository: Option<&str>,
        program: Option<&Path>,
        (server, project): (&str, &str),
        tasks: &[Task],
    ) -> Result<Option<Self>, Failure> {
        let (program, url, repository, what) = match (repository, program) {
            (Some(repository), _) => (None, None, repository, format!("GitHub's {repository}")),
            (None, Some(program)) => {
                let (child, url) = serve(program, tasks).await?;
                let what = format!("a stand-in for GitHub at {url}, since no repository was named");
                (Some(child), Some(url), REPOSITORY, what)
            }
            (None, None) => return Ok(None),
        };
        // A token of somebody's is for GitHub alone.
        let is_ours = url.is_some();
        let variable = |name: &str| if is_ours { None } else { std::env::var(name).ok() };
        let text = format!(
            "{}[[project]]\nkey = {}\nrepository = {}\n[project.labels]\ncoalesce = \"0s\"\n",
            url.map(|url| format!("[github]\napi-url = {}\ntoken = {}\n", quoted(&url), quoted(TOKEN)))
                .unwrap_or_default(),
            quoted(project),
            quoted(repository)
        );
        let mut config = Config::parse(&text, "the demo", variable)?;
        config.duties = Duties { labels: true, ..Duties::NONE };
        let github = Github::new(&config.github, &mut Registry::default())
            .map_err(|error| Failure::failed(error.to_string()))?
            .ok_or_else(|| Failure::new(USAGE, "USAGE", "--repository needs GITHUB_TOKEN"))?;
        let Some(repository) = config.projects.first().and_then(|project| project.repository.clone()) else {
            return Ok(None);
        };
        let stop = CancellationToken::new();
        let client = Client::connect(server).await?;
        let daemon = tokio::spawn(daemon::run(config, client, stop.clone()));
        Ok(Some(Self { _program: program, what, repo: github.repo(&repository), daemon, stop }))
    }

    /// Where the labels are.
    pub(super) fn what(&self) -> &str {
        &self.what
    }

    /// Waits until the labels have followed, and shows them. Fails where one is not what it ought to be.
    pub(super) async fn conclude(self, project: &Project, tasks: &[Task], screen: &Screen) -> Result<(), Failure> {
        let followed = timeout(PATIENCE, async {
            while !project.unlabelled(Some(1), Block::No).await?.is_empty() {
                tokio::time::sleep(GLANCE).await;
            }
            Ok::<_, poppo::Error>(())
        });
        let followed = followed.await;
        screen.scene(&format!("The labels, on {}", self.what))?;
        let mut table = Table::new(&["ISSUE", "STATUS", "LABELS"]);
        let mut wrong = Vec::new();
        for task in tasks {
            let (status, labels) = self.look(project, task.number).await?;
            if labels != [status.as_str()] {
                wrong.push(format!("issue {} is {status} and has the labels {labels:?}", task.number));
            }
            table.row([Field::number(task.number), Field::status(status), labels.join(", ").into()]);
        }
        screen.block(&screen.out.render(&table))?;
        self.stop.cancel();
        self.daemon.await.map_err(|error| Failure::failed(format!("the daemon ended badly: {error}")))?;
        match followed {
            Ok(Err(error)) => Err(error.into()),
            _ if !wrong.is_empty() => Err(Failure::failed(wrong.join("; "))),
            _ => Ok(screen.line(Tone::Good, &format!("the labels of all {} issues say where they stand", tasks.len()))?),
        }
    }

    async fn look(&self, project: &Project, number: IssueNumber) -> Result<(Status, Vec<String>), Failure> {
        let unknown = || Failure::failed(format!("issue {number} is unknown"));
        let status = project.get(number).await?.ok_or_else(unknown)?.status;
        let issue = self.repo.issue(number.get()).await.map_err(|error| Failure::failed(error.to_string()))?;
        Ok((status, issue.labels))
    }
}

/// Starts the program and reads where it serves.
async fn serve(program: &Path, tasks: &[Task]) -> Result<(Child, String), Failure> {
    let highest = tasks.iter().map(|task| task.number.get()).max().unwrap_or_default();
    let failed = |what: String| Failure::failed(format!("{}: {what}", program.display()));
    let mut command = Command::new(program);
    command.args(["--repository", REPOSITORY, "--issues", &highest.to_string()]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn().map_err(|error| failed(error.to_string()))?;
    let Some(words) = child.stdout.take() else { return Err(failed("says nothing".to_owned())) };
    let mut lines = BufReader::new(words).lines();
    match timeout(PATIENCE, lines.next_line()).await {
        Ok(Ok(Some(url))) => Ok((child, url)),
        _ => Err(failed("did not say where it serves".to_owned())),
    }
}

/// A text as TOML has it: JSON's strings are TOML's, too.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
