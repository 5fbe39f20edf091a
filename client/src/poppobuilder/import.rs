//! `poppo import DIR`: what PoppoBuilder knew is merged into the project.

use std::path::PathBuf;

use poppo::{Error, Existing, Imported, Project};
use serde::Serialize;
use serde_json::Value;

use super::folder;
use super::plan::{Again, Counts, Plan, plan};
use super::read::{Unified, read};
use super::report::Report;
use super::world::World;
use crate::cli::Context;
use crate::exit::{FAILED, Failure};
use crate::moving::progress::Progress;
use crate::moving::source::Source;
use crate::moving::{merge, show};
use crate::output::{Output, say};

/// How many values of free state are asked for at a time.
const VALUES_PER_CALL: usize = 64;

/// What somebody wants.
#[derive(Debug)]
pub(crate) struct Wanted {
    /// The project's key.
    pub(crate) project: String,
    pub(crate) folder: PathBuf,
    /// Say what would be done, and do nothing.
    pub(crate) is_rehearsal: bool,
    /// Offer those comments again whose handling failed.
    pub(crate) offers_again: bool,
}

/// What was done, for programs.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Moved<'a> {
    project: &'a str,
    folder: String,
    dry_run: bool,
    plan: Counts,
    /// Where something was done.
    #[serde(skip_serializing_if = "Option::is_none")]
    imported: Option<Imported>,
    #[serde(flatten)]
    report: &'a Report,
}

/// Reads the folder, and merges what it says.
pub(crate) async fn run(wanted: Wanted, context: &Context) -> Result<(), Failure> {
    let world = World::here();
    let files = folder::list(&wanted.folder)?;
    let (state, mut report) = read(&files, &world);
    let mut plan = plan(state, &world, &mut report, wanted.offers_again);
    let imported = if wanted.is_rehearsal { None } else { Some(carry_out(&mut plan, &mut report, context).await?) };
    report.count();
    for warning in &report.warnings {
        say(warning);
    }
    let Plan { counts, .. } = plan;
    if context.out.json {
        let folder = wanted.folder.display().to_string();
        let (project, dry_run) = (wanted.project.as_str(), wanted.is_rehearsal);
        context.out.document(&Moved { project, folder, dry_run, plan: counts, imported, report: &report })?;
    } else {
        report.show(context.out, wanted.is_rehearsal)?;
        context.out.line("")?;
        sum_up(context.out, counts, wanted.is_rehearsal, wanted.offers_again)?;
        if let Some(imported) = imported {
            context.out.line("")?;
            show(context.out, &imported)?;
        }
    }
    match report.faults().as_slice() {
        [] => Ok(()),
        faults => {
            let rest = if wanted.is_rehearsal { "" } else { "; all else was imported" };
            Err(Failure::new(FAILED, "UNREADABLE", format!("cannot read {}{rest}", faults.join(", "))))
        }
    }
}

/// Does it. What is there already changes nothing, so whoever breaks it off can begin again.
async fn carry_out(plan: &mut Plan, report: &mut Report, context: &Context) -> Result<Imported, Failure> {
    let project = context.project().await?;
    let lines = std::mem::take(&mut plan.lines);
    let progress = Progress::new(context.out, "importing", Some(lines.len() as u64));
    // Before anything waits: whoever is at an issue keeps it.
    for (checkout, items) in &plan.holds {
        let why = match project.checkout(checkout).await {
            Ok(_) => continue,
            Err(error @ (Error::Refused(_) | Error::BadArgument(_))) => error.to_string(),
            Err(error) => return Err(error.into()),
        };
        items.iter().for_each(|item| report.reject(*item, &why));
        plan.counts.held -= 1;
        plan.counts.issues -= 1;
    }
    let mut imported = merge(&mut Source::ready(lines), &project, &progress).await?;
    let again = still_failed(&project, std::mem::take(&mut plan.again), report).await?;
    imported += merge(&mut Source::ready(again), &project, &progress).await?;
    for unified in std::mem::take(&mut plan.unified) {
        free_state(&project, unified, report).await?;
    }
    drop(progress);
    // Whoever may not ask does without the warning.
    let kept = project.settings(Some("finished-kept")).await.ok().and_then(|settings| settings.into_values().next());
    if let Some(kept) = kept.filter(|kept| *kept < plan.finished) {
        report.warnings.push(format!(
            "the project's setting finished-kept is {kept}, and {} ids are to be remembered: raise it and import again",
            plan.finished
        ));
    }
    Ok(imported)
}

/// The lines of those comments that nobody has worked on since their handling failed.
async fn still_failed(project: &Project, again: Vec<Again>, report: &mut Report) -> Result<Vec<String>, Failure> {
    let issues: Vec<_> = again.iter().map(|again| again.issue).collect();
    let records = project.get_all(&issues).await?;
    let mut lines = Vec::new();
    for (again, record) in again.into_iter().zip(records) {
        let token = record.and_then(|record| record.token).map(|token| token.get());
        if token.is_some_and(|token| token > again.token) {
            report.becomes(again.item, format!("is not offered again: issue {} was worked on since", again.issue));
        } else {
            lines.push(again.line);
        }
    }
    Ok(lines)
}

/// Takes the values of a namespace. What the project has there stays, as of everything else; a rerun finds its own.
async fn free_state(project: &Project, unified: Unified, report: &mut Report) -> Result<(), Failure> {
    let Unified { namespace, mut values, items } = unified;
    let refuse_all = |error: &Error, report: &mut Report| {
        items.iter().for_each(|(_, item)| report.reject(*item, &error.to_string()));
    };
    let state = match project.state(&namespace) {
        Ok(state) => state,
        Err(error) => {
            refuse_all(&error, report);
            return Ok(());
        }
    };
    for some in items.chunks(VALUES_PER_CALL) {
        let names: Vec<String> = some.iter().map(|(name, _)| name.clone()).collect();
        for ((name, item), there) in some.iter().zip(state.get_texts(&names).await?) {
            let is_another = there.is_some_and(|there| values.get(name).is_some_and(|text| !is_same(text, &there)));
            if is_another {
                values.remove(name);
                report
                    .reject(*item, "the project has another value, which stays; `poppo state import` takes the file's");
            }
        }
    }
    match state.merge(&values, Existing::Keep).await {
        Err(error @ (Error::Refused(_) | Error::BadArgument(_))) => refuse_all(&error, report),
        merged => drop(merged?),
    }
    Ok(())
}

/// Whether two texts say the same in JSON.
fn is_same(text: &str, other: &str) -> bool {
    let value = |text| serde_json::from_str::<Value>(text).ok();
    text == other || value(text).is_some_and(|one| value(other) == Some(one))
}

/// How much there was of what, in a sentence.
fn sum_up(out: Output, counts: Counts, is_rehearsal: bool, offers_again: bool) -> std::io::Result<()> {
    let Counts { issues, held, orphans, processed_issues, tasks, comments, commented_issues, failed_comments, .. } =
        counts;
    let begin = if is_rehearsal { "nothing was written; there are " } else { "" };
    out.line(&format!(
        "{begin}{issues} issues ({held} held by who lives, {orphans} orphans), {processed_issues} processed ones, {tasks} waiting \
         tasks and {comments} processed comments of {commented_issues} issues"
    ))?;
    match (failed_comments, offers_again) {
        (0, _) => Ok(()),
        (some, true) => out.line(&format!("the handling of {some} comments failed: they are offered again")),
        (some, false) => out.line(&format!("the handling of {some} comments failed: --retry-failed offers them again")),
    }
}
