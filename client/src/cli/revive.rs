//! `poppo revive`: REVIVE.

use crate::cli::Context;
use crate::exit::{FAILED, Failure};

/// Have a dead task wait again, its counts at zero
///
/// `poppo list --dead` shows the dead ones, and why they are dead. Exit code 1 where the task is not dead.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Example:
  $ poppo list --dead
  $ poppo revive 123:fix
  $ poppo list --dead --json | jq -r '.[].task' | xargs -n 1 poppo revive")]
pub(crate) struct Args {
    /// The task's id
    task: String,
}

pub(crate) async fn run(args: &Args, context: &Context) -> Result<(), Failure> {
    let project = context.project().await?;
    if !project.revive(&args.task).await? {
        let message = format!("no task {} is dead in project {}", args.task, project.key());
        return Err(Failure::new(FAILED, "UNKNOWN", message));
    }
    let document = serde_json::json!({ "task": args.task, "revived": true });
    Ok(context.out.say(&document, &format!("task {} waits again", args.task))?)
}
