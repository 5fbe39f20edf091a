//! `poppo repair`: REPAIR, of one orphan or of all.

use poppo::{Error, IssueNumber, Orphan, Outcome, Project, Refusal, Repair, Status, Token};
use serde::Serialize;

use crate::cli::Context;
use crate::exit::Failure;
use crate::output::{Field, Table, Tone};

/// How many orphans are asked for at a time: the most the server allows.
const ORPHANS_PER_CALL: u32 = 10_000;

/// End the leases of orphans, so that others can have their issues
///
/// Fenced by the token that `poppo orphans` shows: where the holder came back, or somebody else has the issue by now,
/// nothing happens. With --all, such issues are passed over.
///
/// The lease's task, if it has one, is dead then; with --requeue it waits again for the next worker.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Example:
  $ poppo orphans
  $ poppo repair 127 --token 1750327200000000
  $ poppo repair --all --requeue
  $ poppo repair --all --status awaiting-response --reason \"worker lost\"")]
pub(crate) struct Args {
    /// The issue's number
    #[arg(required_unless_present = "all", requires = "token")]
    issue: Option<IssueNumber>,
    /// The token that `poppo orphans` shows
    #[arg(long, requires = "issue")]
    token: Option<Token>,
    /// Repair whatever `poppo orphans` lists
    #[arg(long, conflicts_with_all = ["issue", "token"])]
    all: bool,
    /// What the issue becomes: error or awaiting-response [default: error]
    #[arg(long, value_name = "STATUS")]
    status: Option<Outcome>,
    /// Queue its task again; one that was queued again max-orphans times before is dead all the same
    #[arg(long)]
    requeue: bool,
    /// Why, in words
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
}

/// What became of one orphan.
#[derive(Debug, Serialize)]
struct Repaired {
    issue: IssueNumber,
    token: Token,
    /// The issue's new status, or none where it was passed over.
    status: Option<Status>,
    /// Why it was passed over.
    #[serde(skip_serializing_if = "Option::is_none")]
    skipped: Option<Skipped>,
}

#[derive(Debug, Serialize)]
struct Skipped {
    code: &'static str,
    message: String,
}

pub(crate) async fn run(args: Args, context: &Context) -> Result<(), Failure> {
    let project = context.project().await?;
    let request = |issue, token| Repair {
        issue,
        token,
        outcome: args.status,
        requeue: args.requeue,
        reason: args.reason.clone(),
    };
    if let (Some(issue), Some(token)) = (args.issue, args.token) {
        let status = project.repair(&request(issue, token)).await?;
        let document = Repaired { issue, token, status: Some(status), skipped: None };
        return Ok(context.out.say(&document, &format!("issue {issue} is repaired: {status}"))?);
    }
    let mut results = Vec::new();
    loop {
        let orphans = project.orphans(Some(ORPHANS_PER_CALL), None).await?;
        let is_last = u32::try_from(orphans.len()).is_ok_and(|found| found < ORPHANS_PER_CALL);
        let before = results.len();
        for orphan in &orphans {
            results.push(repair(&project, &request(orphan.issue, orphan.token), orphan).await?);
        }
        // Where a whole page was passed over, asking again would bring the same one.
        if is_last || results.iter().skip(before).all(|result| result.skipped.is_some()) {
            break;
        }
    }
    if context.out.json {
        return Ok(context.out.document(&results)?);
    }
    Ok(context.out.table(&table(&results), "no orphans")?)
}

/// Repairs one; that its holder came back or somebody was faster is no failure.
async fn repair(project: &Project, request: &Repair, orphan: &Orphan) -> Result<Repaired, Error> {
    let (status, skipped) = match project.repair(request).await {
        Ok(status) => (Some(status), None),
        Err(Error::Refused(refusal @ (Refusal::Alive(_) | Refusal::Stale(_) | Refusal::NotHeld(_)))) => {
            (None, Some(Skipped { code: refusal.code(), message: refusal.to_string() }))
        }
        Err(other) => return Err(other),
    };
    Ok(Repaired { issue: orphan.issue, token: orphan.token, status, skipped })
}

fn table(results: &[Repaired]) -> Table {
    let mut table = Table::new(&["ISSUE", "TOKEN", "STATUS", "NOTE"]);
    for result in results {
        table.row([
            Field::number(result.issue),
            Field::number(result.token),
            result.status.map_or_else(|| Field::toned("passed over", Tone::Quiet), Field::status),
            Field::optional(result.skipped.as_ref().map(|skipped| &skipped.message)),
        ]);
    }
    table
}
