//! The checks of `poppo doctor`: first the facts are gathered, then each is judged, by functions that ask nobody. A file a
//! subject.

mod access;
mod clock;
mod daemon;
mod facts;
mod file;
pub(crate) mod github;
mod intake;
mod logbook;
mod memory;
mod persistence;
mod project;
mod redis_cli;
mod replication;
mod server;
mod spool;
mod view;

use poppo::Project;
use serde::Serialize;

use crate::exit::{Failure, USAGE};

/// How a check ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum State {
    Ok,
    /// It works, but not as well, or not for long.
    Warning,
    /// It does not work, or something may be lost.
    Failed,
}

impl State {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Failed => "failed",
        }
    }
}

/// What one check found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Finding {
    /// What was looked at, in one word.
    pub(crate) check: &'static str,
    pub(crate) state: State,
    /// One sentence.
    pub(crate) message: String,
    /// How to mend it: a command where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) mend: Option<String>,
}

impl Finding {
    fn ok(check: &'static str, message: impl Into<String>) -> Self {
        Self { check, state: State::Ok, message: message.into(), mend: None }
    }

    fn warning(check: &'static str, message: impl Into<String>, mend: impl Into<String>) -> Self {
        Self { check, state: State::Warning, message: message.into(), mend: Some(mend.into()) }
    }

    fn failed(check: &'static str, message: impl Into<String>, mend: impl Into<String>) -> Self {
        Self { check, state: State::Failed, message: message.into(), mend: Some(mend.into()) }
    }
}

/// What is wrong where no connection was made. A URL that cannot be used is no finding but a usage error.
pub(crate) fn unreachable(failure: Failure) -> Result<Vec<Finding>, Failure> {
    if failure.exit == USAGE {
        return Err(failure);
    }
    Ok(without_server(&failure.code, &failure.message))
}

/// What can be looked at without a server, and that there is none.
fn without_server(code: &str, message: &str) -> Vec<Finding> {
    let finding = if code == "FILE" { file::unusable(message) } else { server::no_connection(code, message) };
    std::iter::once(finding).chain(spool::judge()).collect()
}

/// Looks at everything, of the server and of the project.
pub(crate) async fn examine(project: &Project) -> Vec<Finding> {
    if let Some(path) = project.client().file() {
        return file::examine(project, path).await;
    }
    if let Err(error) = project.client().ping().await
        && error.code() != "NOPERM"
    {
        return without_server(error.code(), &error.to_string());
    }
    let facts = facts::gather(project).await;
    let mut findings = server::judge(&facts);
    findings.extend(persistence::judge(&facts));
    findings.extend(memory::judge(&facts));
    findings.extend(replication::judge(&facts));
    findings.push(clock::judge(&facts));
    if facts.has_module() {
        findings.push(access::judge(&facts, &access::ask(project, &facts).await));
        findings.extend(logbook::judge(&facts));
        findings.extend(project::judge(&facts));
        findings.extend(daemon::judge(&facts));
        findings.extend(view::judge(&facts, &view::ask(project).await));
    }
    findings.extend(intake::judge(project.key()));
    findings.extend(spool::judge());
    findings
}
