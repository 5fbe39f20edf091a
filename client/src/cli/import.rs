//! `poppo import`: a backup is merged.

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

/// Merge what `poppo export` wrote into the project
///
/// What is there wins, unless what comes is certainly newer: of an issue the record with the higher token is. Nothing that
/// somebody works on is touched. Leases come as orphans, for `poppo repair`, unless their workers beat here first. The same
/// file again changes nothing, so where it was broken off it can be started again.
///
/// A FILE is read to its end before anything of it is merged: one that is damaged or was cut off changes nothing.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Example:
  $ poppo import backup.jsonl --verify
  $ zcat backup.jsonl.gz | poppo import -")]
pub(crate) struct Args {
    /// The file; - is standard input
    #[arg(value_name = "FILE|-")]
    file: PathBuf,
    /// Read both again and compare them
    #[arg(long)]
    verify: bool,
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
    let is_stdin = args.file.as_os_str() == "-";
    if is_stdin && args.verify {
        return Err(Failure::new(USAGE, "USAGE", "--verify reads FILE again, which cannot be -"));
    }
    let (lines, entries) = if is_stdin {
        (Lines::of_stdin(), None)
    } else {
        let mut lines = Lines::open(&args.file)?;
        let progress = Progress::new(context.out, "checking", None);
        while let Some(some) = lines.next()? {
            progress.add(some.len());
        }
        (Lines::open(&args.file)?, Some(lines.entries()))
    };
    let project = context.project().await?;
    let progress = Progress::new(context.out, "importing", entries);
    let imported = merge(&mut Source::Lines(lines), &project, &progress).await?;
    drop(progress);
    let verify = args.verify.then_some(Place::File(args.file));
    report(context, &project, imported, verify).await
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
