//! What each request does to the project, and what it is answered. Each can be done again without harm: a daemon may end
//! between doing one and saying so.

use std::time::{Duration, SystemTime};

use poppo::{
    Checkin, Checkout, EndedBy, Error, Guard, Heartbeat, Issue, IssueNumber, Outcome, Project, Refusal, Status,
};
use serde_json::{Map, Value, json};

use super::super::view::{Guest, Touched, entry};
use super::super::{Site, records};
use super::request::{Action, Asker};
use crate::process;

/// For how long the older programs' processes may be silent.
pub(in super::super) const TTL: Duration = Duration::from_secs(1800);
/// How often an issue is tried whose holder goes while we look who it is.
const TRIES: usize = 3;

/// What a request came to.
#[derive(Debug)]
pub(super) enum Reply {
    Done {
        /// What is answered besides that it was.
        fields: Map<String, Value>,
        /// What is to be seen in the view before.
        touched: Touched,
    },
    /// The error that is answered.
    Refused(String),
}

impl Reply {
    fn done(fields: Value, touched: Touched) -> Self {
        match fields {
            Value::Object(fields) => Self::Done { fields, touched },
            _ => Self::Done { fields: Map::new(), touched },
        }
    }
}

/// Where requests are done.
pub(super) struct Desk<'a> {
    pub(super) site: &'a Site,
    /// Under which condition.
    pub(super) guard: &'a Guard,
}

impl Desk<'_> {
    /// Does it, or says why not. An error is for us: nobody can be answered by it, and some pass.
    pub(super) async fn perform(&self, action: &Action) -> Result<Reply, Error> {
        let reply = match action {
            Action::Checkout { issue, by, task_type, title } => {
                self.checkout(*issue, by, task_type.as_deref(), title.as_deref()).await
            }
            Action::Checkin { issue, process, outcome, metadata } => {
                self.checkin(*issue, process, *outcome, metadata).await
            }
            Action::Heartbeat { by } => self.heartbeat(by).await,
            Action::Status { issue } => self.status(*issue).await,
            Action::List => self.list().await,
            Action::Cleanup { process } => self.cleanup(process).await,
        };
        match reply {
            Err(Error::BadArgument(text)) => Ok(Reply::Refused(text)),
            Err(Error::Refused(refusal)) => Ok(Reply::Refused(refusal.to_string())),
            Err(Error::Server { code, message }) if matches!(code.as_str(), "OOM" | "NOPERM" | "WRONGTYPE") => {
                Ok(Reply::Refused(format!("{code} {message}")))
            }
            other => other,
        }
    }

    fn project(&self) -> &Project {
        &self.site.project
    }

    async fn checkout(
        &self,
        issue: IssueNumber,
        by: &Asker,
        task_type: Option<&str>,
        title: Option<&str>,
    ) -> Result<Reply, Error> {
        let process = by.process.as_str();
        let mut checkout = Checkout::new(issue, process);
        checkout.pid = by.pid;
        checkout.host = self.host_of(by);
        checkout.tmux.clone_from(&by.tmux);
        checkout.task_type = task_type.map(str::to_owned);
        checkout.title = title.map(str::to_owned);
        checkout.ttl = Some(TTL);
        let mut why = String::new();
        for _ in 0..TRIES {
            match self.project().checkout_if(self.guard, &checkout).await {
                Ok(token) => {
                    let fields = json!({
                        "message": "Issue checked out successfully",
                        "issueNumber": issue,
                        "processId": process,
                        "status": "processing",
                        "taskType": task_type,
                        "token": token,
                    });
                    return Ok(Reply::done(fields, Touched::issue(issue)));
                }
                Err(Error::Refused(Refusal::Held(text))) => why = text,
                Err(error) => return Err(error),
            }
            let there = self.project().get(issue).await?;
            if let Some(holder) = there.filter(|issue| issue.status == Status::Processing).and_then(|is| is.process) {
                why = format!("Issue #{issue} is already being processed by {holder}");
                break;
            }
        }
        Ok(Reply::Refused(why))
    }

    /// The host to record. A program that does not say where it runs is on this host if its PID is: it is alive, since it
    /// asks. Of any other the daemon of this host would find its PID dead.
    fn host_of(&self, by: &Asker) -> Option<String> {
        let runs_here = || by.pid.is_some_and(process::is_alive);
        by.host.clone().or_else(|| runs_here().then(|| self.site.host.to_string()))
    }

    async fn checkin(
        &self,
        issue: IssueNumber,
        process: &str,
        outcome: Outcome,
        metadata: &[(String, String)],
    ) -> Result<Reply, Error> {
        let mut checkin = Checkin::new(issue, process, outcome);
        checkin.metadata = metadata.to_vec();
        match self.project().checkin_if(self.guard, &checkin).await {
            Ok(()) => {}
            Err(Error::Refused(_)) if self.is_checked_in(issue, process, outcome).await? => {}
            Err(Error::Refused(_)) => {
                return Ok(Reply::Refused(format!("Issue #{issue} is not checked out by process {process}")));
            }
            Err(error) => return Err(error),
        }
        let fields = json!({
            "message": "Issue checked in successfully",
            "issueNumber": issue,
            "processId": process,
            "finalStatus": outcome.as_str(),
            "status": outcome.as_str(),
        });
        Ok(Reply::done(fields, Touched::issue(issue)))
    }

    /// Whether the process has reported just that already.
    async fn is_checked_in(&self, issue: IssueNumber, process: &str, outcome: Outcome) -> Result<bool, Error> {
        let there = self.project().get(issue).await?;
        Ok(there.is_some_and(|issue| {
            issue.ended_by == Some(EndedBy::Checkin)
                && issue.process.as_deref() == Some(process)
                && issue.status.as_str() == outcome.as_str()
        }))
    }

    async fn heartbeat(&self, by: &Asker) -> Result<Reply, Error> {
        let mut heartbeat = Heartbeat::new(by.process.as_str());
        heartbeat.ttl = Some(TTL);
        let (issues, cancel) = match self.project().heartbeat_if(self.guard, &heartbeat).await {
            Ok(beat) => (beat.issues.into_iter().map(|(issue, _)| issue).collect(), beat.cancel),
            // They beat from their start, before they have anything.
            Err(Error::Refused(Refusal::NoProcess(_))) => (Vec::new(), Vec::new()),
            Err(error) => return Err(error),
        };
        let fields = json!({
            "message": "Heartbeat updated successfully",
            "processId": by.process,
            "ttl": TTL.as_secs(),
            "issues": issues,
            "cancel": cancel,
        });
        let guest = Guest { process: by.process.clone(), pid: by.pid, host: self.host_of(by) };
        Ok(Reply::done(fields, Touched { issues, guest: Some(guest), ..Touched::default() }))
    }

    async fn status(&self, number: IssueNumber) -> Result<Reply, Error> {
        let issue = self.project().get(number).await?;
        let fields = json!({
            "issueNumber": number,
            "status": issue.as_ref().map(object).unwrap_or_default(),
            "metadata": issue.map(|issue| issue.metadata).unwrap_or_default(),
        });
        Ok(Reply::done(fields, Touched::default()))
    }

    async fn list(&self) -> Result<Reply, Error> {
        let rows = self.project().list_all(Some(Status::Processing)).await?;
        let numbers: Vec<IssueNumber> = rows.iter().map(|row| row.issue).collect();
        let issues = records::get(self.project(), &numbers).await?;
        // Some may have ended meanwhile.
        let issues: Vec<Value> = issues
            .values()
            .flatten()
            .filter(|issue| issue.status == Status::Processing)
            .map(|issue| {
                let mut fields = object(issue);
                fields.insert("issueNumber".to_owned(), json!(issue.issue));
                Value::Object(fields)
            })
            .collect();
        Ok(Reply::done(json!({ "count": issues.len(), "issues": issues }), Touched::default()))
    }

    async fn cleanup(&self, process: &str) -> Result<Reply, Error> {
        let touched = |issues: &[IssueNumber]| Touched {
            issues: issues.to_vec(),
            cleaned: Some(process.to_owned()),
            guest: None,
        };
        let leases = match self.project().heartbeat_if(self.guard, &Heartbeat::new(process)).await {
            Ok(beat) => beat.issues,
            Err(Error::Refused(Refusal::NoProcess(_))) => {
                let fields = json!({ "message": "Process not found or already cleaned up", "processId": process });
                return Ok(Reply::done(fields, touched(&[])));
            }
            Err(error) => return Err(error),
        };
        let mut issues = Vec::new();
        for (issue, token) in leases {
            let mut checkin = Checkin::new(issue, process, Outcome::Error);
            checkin.token = Some(token);
            checkin.reason = Some("Process cleanup requested".to_owned());
            let now = humantime::format_rfc3339_millis(SystemTime::now()).to_string();
            checkin.metadata = [("error", "Process cleanup requested"), ("cleanupAt", now.as_str())]
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .to_vec();
            match self.project().checkin_if(self.guard, &checkin).await {
                Ok(()) => issues.push(issue),
                // Somebody else ended it in this very moment.
                Err(Error::Refused(_)) => {}
                Err(error) => return Err(error),
            }
        }
        let fields = json!({
            "message": "Process cleaned up successfully",
            "processId": process,
            "issueNumber": issues.first(),
            "issues": issues,
        });
        Ok(Reply::done(fields, touched(&issues)))
    }
}

/// An issue as the older programs read it.
fn object(issue: &Issue) -> Map<String, Value> {
    entry::issue(issue).into_iter().map(|(name, value)| (name, value.into())).collect()
}
