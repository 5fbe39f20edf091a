//! One report on disk: JSON with everything that CHECKIN takes, and for which project of which server it is.

use std::io;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use crate::types::{IssueNumber, Outcome, Timestamp, Token};
use crate::{Checkin, Project};

/// How files are written. A file with another number is set aside: to read it as what it
/// is not would be worse.
const VERSION: u32 = 1;

/// A check-in that waits for its server. As JSON, what `poppo spool list --json` prints.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Spooled {
    /// Its file.
    pub file: PathBuf,
    /// Since when it waits, by this host's clock.
    pub at: Timestamp,
    /// For which server, by its URL without password.
    pub server: String,
    /// For which of its projects.
    pub project: String,
    /// The issue whose lease it ends.
    pub issue: IssueNumber,
    /// The lease's token.
    pub token: Token,
    /// The process that had it.
    pub process: String,
    /// How the work ended.
    pub status: Outcome,
    /// Everything that is to be reported.
    #[serde(skip)]
    pub checkin: Checkin,
}

/// The file itself.
#[derive(Serialize, Deserialize)]
struct Document {
    version: u32,
    at: String,
    server: String,
    project: String,
    issue: u64,
    process: String,
    status: String,
    token: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    incarnation: Option<String>,
    /// The JSON text that the worker gave, as it gave it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    result: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    retry_ms: Option<u64>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    metadata: Vec<(String, String)>,
}

pub(super) fn write(project: &Project, report: &Checkin) -> io::Result<Vec<u8>> {
    // Without a token it could end somebody else's lease one day.
    let token = report.token.ok_or_else(|| io::Error::other("a check-in without a token cannot be kept"))?;
    let document = Document {
        version: VERSION,
        at: humantime::format_rfc3339_millis(SystemTime::now()).to_string(),
        server: project.client().url().to_owned(),
        project: project.key().to_owned(),
        issue: report.issue.get(),
        process: report.process.clone(),
        status: report.outcome.as_str().to_owned(),
        token: token.get(),
        incarnation: report.incarnation.clone(),
        result: report.result.clone(),
        reason: report.reason.clone(),
        retry_ms: report.retry.map(|time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX)),
        metadata: report.metadata.clone(),
    };
    let mut text = serde_json::to_vec(&document)?;
    text.push(b'\n');
    Ok(text)
}

/// Reads a file; what is wrong with it, where it cannot be used.
pub(super) fn read(file: PathBuf, text: &str) -> Result<Spooled, String> {
    let document: Document = serde_json::from_str(text).map_err(|error| format!("not a check-in: {error}"))?;
    if document.version != VERSION {
        return Err(format!("version must be {VERSION}, and is {}", document.version));
    }
    let issue = IssueNumber::try_from(document.issue).map_err(|error| format!("issue: {error}"))?;
    let token = Token::try_from(document.token).map_err(|error| format!("token: {error}"))?;
    let status: Outcome = document.status.parse().map_err(|error| format!("status: {error}"))?;
    let checkin = Checkin {
        issue,
        process: document.process.clone(),
        outcome: status,
        token: Some(token),
        incarnation: document.incarnation,
        result: document.result,
        reason: document.reason,
        retry: document.retry_ms.map(Duration::from_millis),
        metadata: document.metadata,
    };
    Ok(Spooled {
        file,
        at: Timestamp::from(document.at),
        server: document.server,
        project: document.project,
        issue,
        token,
        process: document.process,
        status,
        checkin,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_damaged_is_told_what_is_wrong_with_it() {
        let good = r#"{"version":1,"at":"2026-01-01T00:00:00.000Z","server":"redis://h","project":"p","issue":7,
            "process":"w","status":"error","token":9,"retry_ms":1500,"metadata":[["a","b"]]}"#;
        let entry = read("f".into(), good);
        assert_eq!(entry.map(|entry| entry.checkin.retry), Ok(Some(Duration::from_millis(1500))));
        for (from, to, names) in [
            ("\"issue\":7", "\"issue\":0", "issue"),
            ("\"token\":9", "\"token\":0", "token"),
            ("\"status\":\"error\"", "\"status\":\"bad\"", "status"),
            ("\"version\":1", "\"version\":2", "version"),
            ("\"token\":9,", "", "token"),
            ("{", "", "not a check-in"),
        ] {
            let error = read("f".into(), &good.replacen(from, to, 1));
            assert!(error.as_ref().is_err_and(|error| error.contains(names)), "{from}: {error:?}");
        }
    }
}
