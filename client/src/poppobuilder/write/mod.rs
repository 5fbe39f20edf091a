//! A project as PoppoBuilder's files: the way back, and what `poppo mirror` keeps up to date.
//!
//! | file | what lives there |
//! | --- | --- |
//! | `lines` | what is read of an export |
//! | `forms` | an issue, a lease and a task in PoppoBuilder's words |
//! | `sheet` | a file that is written entry by entry |
//! | `draft` | all files of a project, under other names |
//! | `lost` | what they have no place for |
//! | `folder` | where they get their names, and nothing is replaced by mistake |

pub(crate) mod draft;
pub(crate) mod folder;
mod forms;
mod lines;
pub(crate) mod lost;
pub(crate) mod sheet;

use std::collections::BTreeSet;
use std::path::Path;

use serde::Serialize;

use crate::cli::Context;
use crate::exit::Failure;
use crate::moving::progress::{Progress, entries_of};
use crate::output::{Field, Output, Table, Tone};
use crate::process::{Stops, exit_by};
use draft::{Draft, Fault};
use folder::{Folder, Written};
use lost::Lost;

/// What was written, for programs.
#[derive(Debug, Serialize)]
struct Exported<'a> {
    project: &'a str,
    folder: String,
    files: &'a [Written],
    lost: &'a [Lost],
}

/// `poppo export --format poppobuilder`.
pub(crate) async fn export(folder: &Path, force: bool, context: &Context) -> Result<(), Failure> {
    let project = context.project().await?;
    let name = folder.display().to_string();
    draft::find(&project).await?;
    let mut folder = Folder::take(folder)?;
    let progress = Progress::new(context.out, "exporting", entries_of(&project).await);
    let mut stops = Stops::listen()?;
    let read = async {
        let mut draft = Draft::read(&project, folder.path(), |entries| progress.add(entries)).await?;
        // Also those that are gone since: what was theirs must not come back.
        let mut namespaces: BTreeSet<String> = folder.namespaces(project.key()).map(str::to_owned).collect();
        namespaces.extend(project.namespaces().await?);
        draft.add_free_state(&project, folder.path(), &namespaces).await?;
        Ok::<_, Fault>(draft)
    };
    let draft = tokio::select! {
        draft = read => draft?,
        signal = stops.next() => {
            let message = format!("{name} was left as it was");
            return Err(Failure::new(exit_by(signal), "INTERRUPTED", message));
        }
    };
    if !force {
        folder.refuse_strangers(project.key(), &draft)?;
    }
    let lost = draft.lost.clone();
    let files = folder.put(project.key(), draft)?;
    drop(progress);
    if context.out.json {
        let document = Exported { project: project.key(), folder: name, files: &files, lost: &lost };
        return Ok(context.out.document(&document)?);
    }
    show(context.out, &files)?;
    Ok(lost::show(context.out, &lost)?)
}

/// The files as people see them.
pub(crate) fn show(out: Output, files: &[Written]) -> std::io::Result<()> {
    let mut table = Table::new(&["FILE", "ENTRIES", ""]);
    for file in files {
        let (what, tone) = if file.written { ("written", Tone::Good) } else { ("was so already", Tone::Quiet) };
        table.row([file.name().into(), Field::number(file.entries), Field::toned(what, tone)]);
    }
    out.table(&table, "no files")?;
    out.line("")
}
