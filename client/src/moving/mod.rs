//! Projects on their way between servers, files of projects and files of lines.
//!
//! | file | what lives there |
//! | --- | --- |
//! | `source` | where entries come from: a project, or lines |
//! | `lines` | a file of lines, checked while it is read |
//! | `backup` | a file of lines that is whole or not there |
//! | `whole` | any file that is whole or not there |
//! | `unified` | free state as the files of a program that was there before |
//! | `verify` | whether one end has what the other has |
//! | `progress` | how far it is, for who watches |

pub(crate) mod backup;
pub(crate) mod lines;
pub(crate) mod progress;
pub(crate) mod source;
pub(crate) mod unified;
pub(crate) mod verify;
mod whole;

use poppo::{Imported, Project};

use crate::exit::Failure;
use crate::output::{Field, Output, Table, Tone};
use progress::Progress;
use source::Source;

/// Merges all that a source has into a project. Whoever breaks it off and begins again finishes the rest: what is there
/// already changes nothing.
pub(crate) async fn merge(source: &mut Source, target: &Project, progress: &Progress) -> Result<Imported, Failure> {
    let mut imported = Imported::default();
    while let Some(lines) = source.next().await? {
        let so_far = |error: poppo::Error| {
            let failure = Failure::from(error);
            let message =
                format!("{}; {} entries were merged, start again for the rest", failure.message, imported.entries());
            Failure { message, ..failure }
        };
        imported += target.import(&lines).await.map_err(so_far)?;
        progress.add(lines.len());
    }
    Ok(imported)
}

/// The counts of a merge as people see them.
pub(crate) fn show(out: Output, imported: &Imported) -> std::io::Result<()> {
    let mut table = Table::new(&["ENTRIES", ""]);
    let rows = [
        (imported.issues, "issues taken", Tone::Good),
        (imported.orphans, "of them leases of workers elsewhere: orphans here, for `poppo repair`", Tone::Warning),
        (imported.tasks, "tasks that wait now", Tone::Good),
        (imported.dead, "dead tasks", Tone::Good),
        (imported.finished, "ids of finished tasks", Tone::Good),
        (imported.settings, "settings", Tone::Good),
        (imported.unchanged, "were there already", Tone::Quiet),
        (imported.kept, "left as they are: something else is there, which is newer or in use", Tone::Warning),
    ];
    for (count, what, tone) in rows.into_iter().filter(|(count, ..)| *count > 0) {
        table.row([Field::number(count), Field::toned(what, tone)]);
    }
    out.table(&table, "no entries")
}
