//! `poppo evict`: EVICT, the manual tool.

use poppo::{Evict, IssueNumber, Token};

use crate::cli::Context;
use crate::exit::Failure;

/// End a lease by hand, even if its holder is alive
///
/// The issue becomes `error` and the holder's report will be refused. For orphans there is `poppo repair`, which cannot
/// hit a worker that is alive. The lease's task, if it has one, is dead then; with --requeue it waits again.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Example:
  $ poppo evict 123 --reason \"wrong branch\"")]
pub(crate) struct Args {
    /// The issue's number
    issue: IssueNumber,
    /// Only the lease with this token
    #[arg(long)]
    token: Option<Token>,
    /// Queue its task again, unless it was queued again max-orphans times before
    #[arg(long)]
    requeue: bool,
    /// Why, in words
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
}

pub(crate) async fn run(args: Args, context: &Context) -> Result<(), Failure> {
    let project = context.project().await?;
    let status = project
        .evict(&Evict { issue: args.issue, token: args.token, requeue: args.requeue, reason: args.reason })
        .await?;
    let document = serde_json::json!({ "issue": args.issue, "status": status });
    Ok(context.out.say(&document, &format!("issue {} is evicted: {status}", args.issue))?)
}
