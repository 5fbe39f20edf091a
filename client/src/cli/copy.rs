//! `poppo copy`: from one place to another.

use poppo::Client;

use crate::cli::Context;
use crate::cli::import::report;
use crate::exit::{Failure, USAGE};
use crate::moving::merge;
use crate::moving::progress::{Progress, entries_of};
use crate::moving::source::Source;
use crate::moving::verify::Place;

/// Merge a project into one of another server, another name, or a file
///
/// As `poppo export` and `poppo import` in one step: what is there wins, unless what comes is certainly newer; nothing that
/// somebody works on is touched; leases come as orphans. Again, it brings what changed since: so a project can be copied
/// while it is in use, and once more when its workers are drained.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Example:
  $ poppo copy redis://old redis://new --project acme/widgets --verify
  $ poppo copy redis://old redis://old --project acme/widgets --to-project acme/rehearsal
  $ poppo copy redis://old file:///home/me/widgets.json --project acme/widgets")]
pub(crate) struct Args {
    /// Where the project is: a URL as --url takes it
    #[arg(value_name = "FROM")]
    from: String,
    /// Where it is to be merged, too
    #[arg(value_name = "TO")]
    to: String,
    /// Under which key; the same as --project where nothing is said
    #[arg(long, value_name = "KEY")]
    to_project: Option<String>,
    /// Read both again and compare them
    #[arg(long)]
    verify: bool,
}

pub(crate) async fn run(args: Args, context: &Context) -> Result<(), Failure> {
    let source = Client::connect(&args.from).await?.project(&context.project);
    let key = args.to_project.unwrap_or_else(|| context.project.clone());
    let target = Client::connect(&args.to).await?.project(key);
    if (source.client().url(), source.key()) == (target.client().url(), target.key()) {
        return Err(Failure::new(
            USAGE,
            "USAGE",
            "FROM and TO are the same project: name another one with --to-project",
        ));
    }
    let progress = Progress::new(context.out, "copying", entries_of(&source).await);
    let imported = merge(&mut Source::of(&source), &target, &progress).await?;
    drop(progress);
    report(context, &target, imported, args.verify.then_some(Place::Project(source))).await
}
