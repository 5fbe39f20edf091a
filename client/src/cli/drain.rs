//! `poppo drain`: DRAIN.

use clap::ValueEnum;

use crate::cli::Context;
use crate::exit::Failure;

/// Have the project's workers take nothing new, or let them again
///
/// While it is on, no task can be claimed: workers finish what they have, and go on waiting for the next. Checkouts by
/// number still work. `poppo stats` shows whether it is on.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Example:
  $ poppo drain on && ./deploy.sh && poppo drain off")]
pub(crate) struct Args {
    /// Whether workers are to take nothing new
    #[arg(value_name = "on|off", hide_possible_values = true)]
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum State {
    On,
    Off,
}

pub(crate) async fn run(args: &Args, context: &Context) -> Result<(), Failure> {
    let (project, on) = (context.project().await?, args.state == State::On);
    project.drain(on).await?;
    let sentence = if on {
        format!("project {} is drained: no task can be claimed", project.key())
    } else {
        format!("tasks of project {} can be claimed", project.key())
    };
    Ok(context.out.say(&serde_json::json!({ "drain": on }), &sentence)?)
}
