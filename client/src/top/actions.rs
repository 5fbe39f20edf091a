//! What a key has done, once it was confirmed.

use poppo::{Cancelled, Evict, IssueNumber, Project, Token};

/// Something to be done to the project.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Action {
    /// The tasks of an issue are called off, and its holder is asked to stop.
    Cancel(IssueNumber),
    /// The lease with this token is ended.
    Evict { issue: IssueNumber, token: Option<Token>, requeue: bool },
    /// Nothing is given out any more, or is again.
    Drain(bool),
    /// A dead task waits again.
    Revive(String),
}

/// What stands in the log and in the worker's sight.
const REASON: &str = "by hand, in poppo top";

impl Action {
    /// Does it, and says what became of it.
    pub(super) async fn run(self, project: &Project) -> Result<String, String> {
        self.ask(project).await.map_err(|error| error.to_string())
    }

    async fn ask(self, project: &Project) -> Result<String, poppo::Error> {
        Ok(match self {
            Self::Cancel(issue) => match project.cancel(issue, Some(REASON)).await? {
                Cancelled::Asked => format!("the worker that has issue {issue} is asked to stop"),
                Cancelled::Removed => format!("the waiting tasks of issue {issue} are removed"),
                Cancelled::Nothing => format!("issue {issue} has nothing to cancel any more"),
            },
            Self::Evict { issue, token, requeue } => {
                let status = project.evict(&Evict { issue, token, requeue, reason: Some(REASON.to_owned()) }).await?;
                format!("issue {issue} is evicted: {status}")
            }
            Self::Drain(on) => {
                project.drain(on).await?;
                if on { "no task can be claimed" } else { "tasks can be claimed" }.to_owned()
            }
            Self::Revive(task) => {
                if project.revive(&task).await? {
                    format!("task {task} waits again")
                } else {
                    format!("task {task} is not dead any more")
                }
            }
        })
    }
}
