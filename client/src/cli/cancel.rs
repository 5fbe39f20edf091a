//! `poppo cancel`: CANCEL.

use poppo::{Cancelled, IssueNumber};

use crate::cli::Context;
use crate::exit::Failure;

/// Call an issue's tasks off: those that wait are removed, a worker that has it is asked to stop
///
/// The worker is told at its next heartbeat, within a minute at most; `poppo run` and `poppo work` then stop their command and check the issue in as
/// `cancelled`. Where there is nothing to cancel, that is said, and is no failure.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Example:
  $ poppo cancel 123 --reason \"done by hand\"")]
pub(crate) struct Args {
    /// The issue's number
    issue: IssueNumber,
    /// Why, in words
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
}

pub(crate) async fn run(args: Args, context: &Context) -> Result<(), Failure> {
    let (issue, project) = (args.issue, context.project().await?);
    let cancelled = project.cancel(issue, args.reason.as_deref()).await?;
    let document = serde_json::json!({ "issue": issue, "cancelled": cancelled });
    let sentence = match cancelled {
        Cancelled::Removed => format!("the waiting tasks of issue {issue} are removed"),
        Cancelled::Asked => {
            format!("the worker that has issue {issue} is asked to stop; tasks that waited are removed")
        }
        Cancelled::Nothing => format!("issue {issue} has nothing to cancel"),
    };
    Ok(context.out.say(&document, &sentence)?)
}
