//! `poppo export`: a backup, or the files of PoppoBuilder.

use std::path::PathBuf;

use clap::ValueEnum;

use crate::cli::Context;
use crate::exit::{Failure, USAGE};
use crate::moving::backup::Backup;
use crate::moving::progress::{Progress, entries_of};
use crate::moving::source::Reading;
use crate::moving::verify::{Place, compare};
use crate::output::say;
use crate::poppobuilder;
use crate::process::{Stops, exit_by};

/// Write the project to a file, as lines of JSON that `poppo import` reads
///
/// The file is there when it is whole and on the disk, under its name; before that there is none, or the one that was there.
/// It is readable for its owner only, since it holds titles, payloads and results.
///
/// What changes meanwhile is in it as it was at some moment. `poppo drain on` before, or COPY of the key and an export of the
/// copy, make it one moment.
///
/// With --format poppobuilder it is the way back: FILE is a folder, in which issue-status.json, running-tasks.json,
/// processed-issues.json, processed-comments.json, pending-tasks.json and, of free state, unified-*.json are written as
/// PoppoBuilder reads them, each whole or not at all. What they have no place for (dead tasks, priorities between its four, tokens, settings and others) is
/// said. Other files in the folder are left alone; and so are these where somebody else wrote or changed them, until --force.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Example:
  $ poppo export backup.jsonl
  $ poppo export | gzip >backup.jsonl.gz
  $ poppo export - | jq -c 'select(.dead)'
  $ poppo export --format poppobuilder ./state")]
pub(crate) struct Args {
    /// The file; without one, or as -, standard output
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
    /// What is written: lines of JSON, or the files of PoppoBuilder's state folder
    #[arg(long, value_enum, default_value_t = Format::Lines)]
    format: Format,
    /// Replace PoppoBuilder's files also where somebody else wrote or changed them
    #[arg(long)]
    force: bool,
    /// Read both again and compare them
    #[arg(long, requires = "file")]
    verify: bool,
}

/// What is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// One file of lines that `poppo import` reads
    Lines,
    /// The files of PoppoBuilder's state folder
    #[value(name = "poppobuilder")]
    PoppoBuilder,
}

pub(crate) async fn run(args: Args, context: &Context) -> Result<(), Failure> {
    let usage = |message: &str| Failure::new(USAGE, "USAGE", message);
    let file = args.file.filter(|file| file.as_os_str() != "-");
    if args.format == Format::PoppoBuilder {
        let folder = file.ok_or_else(|| usage("--format poppobuilder writes several files: FILE must be a folder"))?;
        if args.verify {
            return Err(usage("--verify reads lines: ask `poppo mirror DIR --check` about the files of PoppoBuilder"));
        }
        return poppobuilder::write::export(&folder, args.force, context).await;
    }
    if args.force {
        return Err(usage("--force is for --format poppobuilder: a file of lines is replaced anyhow"));
    }
    if args.verify && file.is_none() {
        return Err(usage("--verify reads FILE again, which cannot be -"));
    }
    let project = context.project().await?;
    let name = file.as_ref().map_or_else(|| "standard output".to_owned(), |file| file.display().to_string());
    let failed = |error: std::io::Error| {
        let failure = Failure::from(error);
        Failure { message: format!("{name}: {}", failure.message), ..failure }
    };
    let write = async {
        let mut source = Reading::of(&project);
        let mut first = source.next().await?;
        let mut backup = match &file {
            Some(file) => Backup::to(file).map_err(failed)?,
            None => Backup::to_stdout(),
        };
        let progress = Progress::new(context.out, "exporting", entries_of(&project).await);
        if let Some((header, _)) = &first {
            backup.begin(header, project.key()).map_err(failed)?;
        }
        while let Some((_, lines)) = first {
            backup.add(&lines).map_err(failed)?;
            progress.add(lines.len());
            first = source.next().await?;
        }
        backup.finish().map_err(failed)
    };
    let (entries, bytes) = match &file {
        // Whoever reads is shown what there is so far.
        None => write.await?,
        Some(_) => {
            let mut stops = Stops::listen()?;
            tokio::select! {
                written = write => written?,
                signal = stops.next() => {
                    let message = format!("{name} was left as it was");
                    return Err(Failure::new(exit_by(signal), "INTERRUPTED", message));
                }
            }
        }
    };
    let Some(file) = file else { return Ok(()) };
    let mut document =
        serde_json::json!({ "project": project.key(), "file": name, "entries": entries, "bytes": bytes });
    let mut sentence = format!("{entries} entries of {} in {name}", project.key());
    if args.verify {
        let difference = compare(&Place::Project(project), &Place::File(file), context.out).await?;
        if let Some(failure) = difference.failure() {
            say("the file is written; where the project is in use, it goes on changing");
            return Err(failure);
        }
        if let Some(fields) = document.as_object_mut() {
            fields.insert("verified".to_owned(), true.into());
        }
        sentence.push_str(", verified");
    }
    Ok(context.out.say(&document, &sentence)?)
}
