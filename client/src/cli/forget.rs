//! `poppo forget`: FORGET.

use poppo::IssueNumber;

use crate::cli::Context;
use crate::exit::Failure;

/// Remove every trace of an issue that nobody has
///
/// Afterwards it can be checked out with --once again.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Example:
  $ poppo forget 123")]
pub(crate) struct Args {
    /// The issue's number
    issue: IssueNumber,
}

pub(crate) async fn run(args: &Args, context: &Context) -> Result<(), Failure> {
    let project = context.project().await?;
    let was_known = project.forget(args.issue).await?;
    let what = if was_known { "is forgotten" } else { "was not known" };
    let document = serde_json::json!({ "issue": args.issue, "forgotten": was_known });
    Ok(context.out.say(&document, &format!("issue {} {what}", args.issue))?)
}
