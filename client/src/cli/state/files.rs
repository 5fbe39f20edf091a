//! `poppo state export` and `import`: a namespace as the file of a program that was there before.

use std::path::{Path, PathBuf};

use poppo::{Existing, Merged, State};
use serde::Serialize;

use crate::cli::Context;
use crate::exit::Failure;
use crate::moving::unified::{self, Unusable};
use crate::output::{Field, Table, Tone, say};

/// What was merged, for programs.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Report<'a> {
    namespace: &'a str,
    file: String,
    dry_run: bool,
    #[serde(flatten)]
    merged: Merged,
    /// How many of the values were in a list.
    from_list: u64,
    unusable: &'a [Unusable],
}

pub(super) async fn export(state: &State, file: Option<PathBuf>, context: &Context) -> Result<(), Failure> {
    let file = file.filter(|file| file.as_os_str() != "-");
    let written = unified::write(state, file.as_deref()).await?;
    for Unusable { entry, reason } in &written.unusable {
        say(&format!("{entry:?} is left out: {reason}"));
    }
    let Some(file) = file else { return Ok(()) };
    let file = file.display().to_string();
    let document = serde_json::json!({
        "namespace": state.namespace(),
        "file": file,
        "values": written.values,
        "unusable": written.unusable,
    });
    Ok(context.out.say(&document, &format!("{} values of {} in {file}", written.values, state.namespace()))?)
}

pub(super) async fn import(
    namespace: &str,
    file: &Path,
    keep: bool,
    dry_run: bool,
    context: &Context,
) -> Result<(), Failure> {
    let found = unified::read(file)?;
    let state = super::state(context, namespace).await?;
    let existing = if keep { Existing::Keep } else { Existing::Replace };
    let merged = match dry_run {
        true => state.plan(&found.values, existing).await?,
        false => state.merge(&found.values, existing).await?,
    };
    if context.out.json {
        let file = file.display().to_string();
        let (from_list, unusable) = (found.from_list, found.unusable.as_slice());
        return Ok(context.out.document(&Report { namespace, file, dry_run, merged, from_list, unusable })?);
    }
    let mut table = Table::new(&["VALUES", ""]);
    let set = if dry_run { "would be written" } else { "written" };
    let rows = [
        (merged.set, set, Tone::Good),
        (merged.unchanged, "were there already", Tone::Quiet),
        (merged.kept, "left as they are: something else is there", Tone::Warning),
        (found.from_list, "of them from a list, named by what is in them", Tone::Warning),
        (found.unusable.len() as u64, "cannot be used:", Tone::Bad),
    ];
    for (count, what, tone) in rows.into_iter().filter(|(count, ..)| *count > 0) {
        table.row([Field::number(count), Field::toned(what, tone)]);
    }
    context.out.table(&table, "no values")?;
    if found.unusable.is_empty() {
        return Ok(());
    }
    let mut table = Table::new(&["ENTRY", "WHY"]);
    for Unusable { entry, reason } in &found.unusable {
        table.row([Field::toned(entry, Tone::Bad), Field::from(reason.as_str())]);
    }
    Ok(context.out.table(&table, "")?)
}
