//! `poppo mirror`: the files of PoppoBuilder, kept up to date.

use std::path::PathBuf;
use std::process::ExitCode;

use crate::cli::Context;
use crate::exit::Failure;
use crate::poppobuilder::mirror::{self, Mode};

/// Keep the files of PoppoBuilder's state folder up to date, for older programs that read them
///
/// issue-status.json, running-tasks.json, processed-issues.json, processed-comments.json and pending-tasks.json are written as
/// `poppo export --format poppobuilder` writes them, and again whenever something happens: within a fifth of a second or so, where there are
/// tens of thousands of issues in a few seconds, and each file as a whole. It goes on until Ctrl-C or TERM, with exit code 0. A server that goes away is waited for; meanwhile
/// the files stay as they are.
///
/// The files are derived, and read only: whoever wants to change something asks the project. Where somebody else changes a
/// file all the same, each entry that differs is said, once, and the file is written again. --check only compares, and
/// its exit code is 1 where something differs.
///
/// One poppo writes to a folder at a time. Files that somebody else wrote there before are replaced with --force only. The file
/// .poppo-written.json notes what was written; other files are left alone.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
With --json: one document a line, for each time that something was written or differed.

Example:
  $ poppo mirror ./state --check
  $ poppo mirror ./state --force
  $ poppo mirror ./state --json | jq --unbuffered -c '.differences[]'")]
pub(crate) struct Args {
    /// The folder; a new one is made in one that there is
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    /// Write once, and end
    #[arg(long, conflicts_with = "check")]
    once: bool,
    /// Compare, and write nothing
    #[arg(long)]
    check: bool,
    /// Replace files also where somebody else wrote or changed them before
    #[arg(long, conflicts_with = "check")]
    force: bool,
}

pub(crate) async fn run(args: &Args, context: &Context) -> Result<ExitCode, Failure> {
    let mode = match (args.once, args.check) {
        (_, true) => Mode::Check,
        (true, false) => Mode::Once,
        (false, false) => Mode::Follow,
    };
    mirror::run(&args.folder, mode, args.force, context).await
}
