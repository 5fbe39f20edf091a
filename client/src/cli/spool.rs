//! `poppo spool`: the check-ins that wait on this host's disk for their server.

use poppo::{Delivered, Spool, Spooled};
use serde::Serialize;

use crate::cli::Context;
use crate::exit::{FAILED, Failure};
use crate::human;
use crate::output::{Field, Table, say};

/// Show, deliver or tidy up the check-ins that a server could not take
///
/// A worker that cannot report how its work ended, since the server is away, keeps the report in a file: in the folder that
/// POPPO_SPOOL names, else in poppo/spool of XDG_STATE_HOME (~/.local/state). It is delivered by the next `poppo work` or
/// `poppo run` for that project of that server, or by `poppo spool deliver`, oldest first. The lease's token goes with it: if
/// the issue was repaired or taken over meanwhile, the server refuses the report, and nothing changes.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Example:
  $ poppo spool list
  $ poppo spool deliver")]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Show what waits on this host, for any server; asks none
    List,
    /// Deliver what waits for this project of this server
    ///
    /// What the server refuses is said and gone; what nobody can read is set aside. Where the server goes away meanwhile, the
    /// rest waits on, and that is a failure.
    Deliver,
    /// Remove the files that were set aside: reports that nobody can read or that the server calls nonsense
    ///
    /// They stay until somebody has looked at them; `poppo spool list` says what is wrong with each.
    Clean,
}

/// What became of one file.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Row<'a> {
    /// `accepted`, `refused` or `set-aside`.
    delivery: &'static str,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    entry: Option<&'a Spooled>,
    #[serde(rename = "file", skip_serializing_if = "Option::is_none")]
    aside: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
}

pub(crate) async fn run(args: Args, context: &Context) -> Result<(), Failure> {
    let spool = Spool::standard()
        .ok_or_else(|| Failure::failed("there is no folder for check-ins: set POPPO_SPOOL, XDG_STATE_HOME or HOME"))?;
    let failed = |error: std::io::Error| Failure::failed(format!("{}: {error}", spool.dir().display()));
    match args.what {
        What::List => list(&spool, context).map_err(failed),
        What::Clean => clean(&spool, context).map_err(failed),
        What::Deliver => {
            let project = context.project().await?;
            let delivery = spool.deliver(&project).await.map_err(failed)?;
            let rows: Vec<Row<'_>> = delivery.done.iter().map(row).collect();
            if context.out.json {
                context.out.document(&rows)?;
            } else {
                for done in &delivery.done {
                    context.out.line(&done.to_string())?;
                }
                if rows.is_empty() && delivery.error.is_none() {
                    context.out.line("nothing waits")?;
                }
            }
            match delivery.error {
                None => Ok(()),
                Some(error) => Err(Failure::new(FAILED, error.code(), format!("the rest waits on: {error}"))),
            }
        }
    }
}

fn list(spool: &Spool, context: &Context) -> std::io::Result<()> {
    let (entries, unusable) = spool.list()?;
    for (file, why) in unusable {
        say(&format!("{}: {why}", file.display()));
    }
    if context.out.json {
        return context.out.document(&entries);
    }
    let mut table = Table::new(&["SINCE", "SERVER", "PROJECT", "ISSUE", "STATUS", "PROCESS"]);
    let now = std::time::SystemTime::now();
    for entry in &entries {
        table.row([
            Field::from(human::ago(&entry.at, now)),
            Field::from(entry.server.as_str()),
            Field::from(entry.project.as_str()),
            Field::number(entry.issue),
            Field::status(entry.status.into()),
            Field::from(entry.process.as_str()),
        ]);
    }
    context.out.table(&table, "nothing waits")
}

fn clean(spool: &Spool, context: &Context) -> std::io::Result<()> {
    let removed = spool.clean()?;
    let files: Vec<String> = removed.iter().map(|file| file.display().to_string()).collect();
    if context.out.json {
        return context.out.document(&serde_json::json!({ "files": files }));
    }
    for file in &files {
        context.out.line(&format!("removed {file}"))?;
    }
    if files.is_empty() { context.out.line("nothing was set aside") } else { Ok(()) }
}

fn row(done: &Delivered) -> Row<'_> {
    let of = |delivery, entry| Row { delivery, entry, aside: None, code: None, message: None };
    match done {
        Delivered::Accepted(entry) => of("accepted", Some(entry)),
        Delivered::Refused(entry, refusal) => {
            Row { code: Some(refusal.code()), message: Some(refusal.to_string()), ..of("refused", Some(entry)) }
        }
        Delivered::SetAside { file, why } => {
            Row { aside: Some(file.display().to_string()), message: Some(why.clone()), ..of("set-aside", None) }
        }
        other => Row { message: Some(other.to_string()), ..of("other", None) },
    }
}
