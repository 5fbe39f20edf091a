//! `poppo doctor`: what is wrong, and how to mend it.

use std::path::PathBuf;
use std::process::ExitCode;

use poppo::redacted;

use crate::cli::Context;
use crate::daemon::config::{Config, DEFAULT_FILE};
use crate::doctor::{self, Finding, State};
use crate::exit::{FAILED, Failure};
use crate::output::{Output, Tone, one_line};

/// Check the server and the project, and say how to mend what is wrong
///
/// Is the server there and new enough, is the module loaded and of this version, is everything on disk, may a project be
/// evicted, do the clocks agree, may this user run every command, do the replicas follow, did anything fail inside, and does
/// somebody look after orphans and dead tasks? Each is a line: ok, warning or failed, and below what is not ok, how to mend
/// it. It changes nothing. Of a file (file:///…) it is checked whether it can be read, locked and replaced.
///
/// With the daemon's configuration, it also looks at GitHub: is the credential good, may it change labels, are the labels
/// there, how many are behind and since when, and which daemon writes them?
///
/// Where the user may not ask whether a command is allowed (ACL DRYRUN), the command is sent with arguments that are
/// refused; the server's count of refusals grows by those.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
It ends with exit code 0 where everything is ok or a warning, and with 1 where a check failed.

Example:
  $ poppo doctor
  $ poppo doctor --json | jq -r '.checks[] | select(.state != \"ok\") | .mend'")]
pub(crate) struct Args {
    /// The daemon's configuration [default: poppo.toml, where there is one]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

pub(crate) async fn run(args: &Args, context: &Context) -> Result<ExitCode, Failure> {
    let file = args.config.clone().or_else(|| Some(PathBuf::from(DEFAULT_FILE)).filter(|file| file.is_file()));
    let config = match &file {
        Some(_) => Config::load(file.as_deref(), |name| std::env::var(name).ok())?,
        None => Config::default(),
    };
    let url = context.url.clone().or_else(|| config.url.as_ref().map(|url| url.reveal().to_owned()));
    let (url, findings) = match context.server(url.as_deref()).await {
        Ok(client) => {
            let project = client.project(&context.project);
            let mut findings = doctor::examine(&project).await;
            findings.extend(doctor::github::examine(&project, &config).await);
            (Some(client.url().to_owned()), findings)
        }
        Err(failure) => (url.as_deref().map(redacted), doctor::unreachable(failure)?),
    };
    let worst = findings.iter().map(|finding| finding.state).max().unwrap_or(State::Ok);
    if context.out.json {
        context.out.document(&serde_json::json!({
            "url": url, "project": context.project, "state": worst, "checks": findings,
        }))?;
    } else {
        print(&findings, context.out)?;
    }
    Ok(if worst == State::Failed { ExitCode::from(FAILED) } else { ExitCode::SUCCESS })
}

fn print(findings: &[Finding], out: Output) -> std::io::Result<()> {
    let width = findings.iter().map(|finding| finding.check.len()).max().unwrap_or_default();
    for finding in findings {
        let state = out.paint(&format!("{:<7}", finding.state.as_str()), tone(finding.state));
        out.line(&format!("{state}  {:<width$}  {}", finding.check, one_line(&finding.message)))?;
        if let Some(mend) = &finding.mend {
            // Below the message, so that it can be marked and copied as a whole.
            out.line(&format!(
                "{:7}  {:<width$}  {}",
                "",
                "",
                out.paint(&format!("mend: {}", one_line(mend)), Tone::Quiet)
            ))?;
        }
    }
    let count = |state| findings.iter().filter(|finding| finding.state == state).count();
    let (ok, warnings, failed) = (count(State::Ok), count(State::Warning), count(State::Failed));
    out.line(&format!("\n{ok} ok, {warnings} warnings, {failed} failed"))
}

fn tone(state: State) -> Tone {
    match state {
        State::Ok => Tone::Good,
        State::Warning => Tone::Warning,
        State::Failed => Tone::Bad,
    }
}
