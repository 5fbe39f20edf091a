//! `poppo top`: the project on a screen, live.

use std::io::{self, IsTerminal as _};
use std::process::ExitCode;
use std::time::Duration;

use crate::cli::Context;
use crate::discover::Patience;
use crate::exit::{Failure, USAGE};
use crate::human;
use crate::top::{self, Look};

/// Watch the project on the whole screen, live: leases, queue, processes, orphans, events
///
/// Each change shows at once. A server that goes away is waited for, and the screen says so. A lease whose process beats but
/// whose work has reported no progress for --hung-after is marked as hung; work that never reports any is not.
///
/// Keys: Tab and Shift-Tab go from pane to pane, the arrows from row to row. `c` cancels an issue, `e` ends a lease, `r`
/// revives a dead task, `d` drains the project or lets tasks be claimed again; each asks before. `?` explains them all, `q`
/// ends it.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
It needs a terminal; for programs there is `poppo stats --json`. Without one, it ends with exit code 2.

Example:
  $ poppo top --project acme/widgets")]
pub(crate) struct Args {
    /// After how long without a word of progress a lease is marked as hung
    #[arg(long, value_name = "DURATION", default_value = "10m", value_parser = human::parse_duration)]
    hung_after: Duration,
}

pub(crate) async fn run(args: &Args, context: &Context) -> Result<ExitCode, Failure> {
    if context.out.json || !io::stdin().is_terminal() || !context.out.is_terminal() {
        let message = "top needs a terminal to draw on, and has no JSON: for programs there is `poppo stats --json`";
        return Err(Failure::new(USAGE, "USAGE", message));
    }
    let project = context.project_after(Patience::Endless).await?;
    top::run(project, Look { hung_after: args.hung_after, colour: context.out.is_coloured() }).await
}
