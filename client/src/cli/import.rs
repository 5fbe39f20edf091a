//! `poppo import`: a backup is merged, or what PoppoBuilder left.

use std::path::PathBuf;

use poppo::{Imported, Project};
use serde::Serialize;

use crate::cli::Context;
use crate::exit::{Failure, USAGE};
use crate::moving::lines::Lines;
use crate::moving::progress::Progress;
use crate::moving::source::Source;
use crate::moving::verify::{Place, compare};
use crate::moving::{merge, show};
use crate::poppobuilder;
use crate::poppobuilder::import::Wanted;

/// Merge a backup, or the state folder of PoppoBuilder, into the project
///
/// What is there wins, unless what comes is certainly newer: of an issue the record with the higher token is. Nothing that
/// somebody works on is touched. Leases come as orphans, for `poppo repair`, unless their workers beat here first. The same
/// again changes nothing, so where it was broken off it can be started again.
///
/// A FILE is what `poppo export` wrote. It is read to its end before anything of it is merged: one that is damaged or was cut
/// off changes nothing.
///
/// A DIR is PoppoBuilder's folder of state, with issue-status.json, running-tasks.json, processed-issues.json,
/// processed-comments.json, pending-tasks.json, requests/label-update-*.json, unified-*.json and locks, as far as they are there.
/// Nothing in it is changed. Each entry of each file is used, changed or not used, and the answer says which and why:
/// docs/migration.md has it in tables. An issue that is being processed is believed to be so only if its PID lives on this host.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Example:
  $ poppo import backup.jsonl --verify
  $ zcat backup.jsonl.gz | poppo import -
  $ poppo import ~/PoppoBuilderSuite/state --dry-run
  $ poppo import ~/PoppoBuilderSuite/state --retry-failed")]
pub(crate) struct Args {
    /// The file, or PoppoBuilder's folder; - is standard input
    #[arg(value_name = "FILE|DIR|-")]
    from: PathBuf,
    /// Read both again and compare them (of a FILE)
    #[arg(long)]
    verify: bool,
    /// Say what would become of each entry, and write nothing (of a DIR)
    #[arg(long)]
    dry_run: bool,
    /// Offer those comments again whose handling failed (of a DIR)
    #[arg(long)]
    retry_failed: bool,
}

/// What was merged, for programs.
#[derive(Serialize)]
pub(super) struct Merged<'a> {
    pub(super) project: &'a str,
    pub(super) entries: u64,
    #[serde(flatten)]
    pub(super) imported: Imported,
    /// Where that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) verified: Option<bool>,
}

pub(crate) async fn run(args: Args, context: &Context) -> Result<(), Failure> {
    let is_stdin = args.from.as_os_str() == "-";
    if !is_stdin && args.from.is_dir() {
        return import_folder(args, context).await;
    }
    for (given, option) in [(args.dry_run, "--dry-run"), (args.retry_failed, "--retry-failed")] {
        if given {
            let message = format!("{option} is for a DIR, PoppoBuilder's folder of state");
            return Err(Failure::new(USAGE, "USAGE", message));
        }
    }
    if is_stdin && args.verify {
        return Err(Failure::new(USAGE, "USAGE", "--verify reads FILE again, which cannot be -"));
    }
    let (lines, entries) = if is_stdin {
        (Lines::of_stdin(), None)
    } else {
        let mut lines = Lines::open(&args.from)?;
        let progress = Progress::new(context.out, "checking", None);
        while let Some(some) = lines.next()? {
            progress.add(some.len());
        }
        (Lines::open(&args.from)?, Some(lines.entries()))
    };
    let project = context.project().await?;
    let progress = Progress::new(context.out, "importing", entries);
    let imported = merge(&mut Source::Lines(lines), &project, &progress).await?;
    drop(progress);
    let verify = args.verify.then_some(Place::File(args.from));
    report(context, &project, imported, verify).await
}

async fn import_folder(args: Args, context: &Context) -> Result<(), Failure> {
    if args.verify {
        let message = "--verify is for a FILE; of a DIR the answer says what became of each entry";
        return Err(Failure::new(USAGE, "USAGE", message));
    }
    let Args { from: folder, dry_run: is_rehearsal, retry_failed: offers_again, .. } = args;
    let project = context.project.clone();
    poppobuilder::import::run(Wanted { project, folder, is_rehearsal, offers_again }, context).await
}

/// Says what was merged; with a place that it came from, that all of it is there now.
pub(super) async fn report(
    context: &Context,
    project: &Project,
    imported: Imported,
    verify: Option<Place>,
) -> Result<(), Failure> {
    let difference = match &verify {
        Some(from) => Some(compare(from, &Place::Project(project.clone()), context.out).await?),
        None => None,
    };
    let failure = difference.as_ref().and_then(|difference| difference.failure());
    if context.out.json {
        if let Some(failure) = failure {
            return Err(failure);
        }
        let entries = imported.entries();
        let verified = difference.map(|_| true);
        return Ok(context.out.document(&Merged { project: project.key(), entries, imported, verified })?);
    }
    show(context.out, &imported)?;
    match (failure, difference) {
        (Some(failure), _) => Err(failure),
        (None, Some(difference)) if difference.more > 0 => {
            Ok(context.out.line(&format!("verified: all of it is there, besides {} other entries", difference.more))?)
        }
        (None, Some(_)) => Ok(context.out.line("verified: both ends are the same")?),
        (None, None) => Ok(()),
    }
}
