//! `poppo liveness`: LIVENESS, for the agent on a host.

use poppo::{Liveness, Verdict};

use crate::cli::Context;
use crate::exit::Failure;

/// Pass on what was seen of a process's PID on its host: alive or dead
///
/// For an agent that looks after the workers of its host. The issues of a process that is said to be dead are orphans at
/// once; one that is said to be alive keeps its issues although it does not beat, up to the project's max-silence. The
/// word counts only where host, PID and, if both sides gave one, incarnation are those that the process checked out
/// with; otherwise nothing happens.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Example:
  $ kill -0 4711 || poppo liveness worker-1 dead --host build-7 --pid 4711")]
pub(crate) struct Args {
    /// The name of the process
    process: String,
    /// What was seen: alive or dead
    #[arg(value_name = "alive|dead")]
    verdict: Verdict,
    /// The host that was looked at
    #[arg(long)]
    host: String,
    /// The PID that was looked for
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=2_147_483_647))]
    pid: u32,
    /// Which life of the process it is
    #[arg(long, value_name = "WORD")]
    incarnation: Option<String>,
}

pub(crate) async fn run(args: Args, context: &Context) -> Result<(), Failure> {
    let project = context.project().await?;
    let liveness = Liveness {
        process: args.process,
        verdict: args.verdict,
        host: args.host,
        pid: args.pid,
        incarnation: args.incarnation,
    };
    let orphans = project.liveness(&liveness).await?;
    let document = serde_json::json!({ "process": liveness.process, "orphans": orphans });
    Ok(context.out.say(&document, &sentence(&liveness.process, orphans))?)
}

fn sentence(process: &str, orphans: u64) -> String {
    match orphans {
        0 => format!("no issue of {process} is an orphan by this"),
        1 => format!("1 issue of {process} is an orphan now"),
        many => format!("{many} issues of {process} are orphans now"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orphans_are_counted_in_words() {
        assert_eq!(sentence("w", 0), "no issue of w is an orphan by this");
        assert_eq!(sentence("w", 1), "1 issue of w is an orphan now");
        assert_eq!(sentence("w", 2), "2 issues of w are orphans now");
    }
}
