//! The record of why a lease was ended: what REPAIR keeps as its REASON, for people and for the comment on the issue.

use std::fmt;

use poppo::{Orphan, OrphanReason};

/// Who ended an orphan's lease, and what made it one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Record {
    /// `daemon@<host>`.
    pub(super) by: String,
    pub(super) reason: OrphanReason,
    /// The holder's PID.
    pub(super) pid: Option<u32>,
    /// The holder's host.
    pub(super) host: Option<String>,
    /// Since when it was an orphan, by the server's clock.
    pub(super) since: Option<String>,
}

impl Record {
    /// Of an orphan that the daemon of this host repairs.
    pub(super) fn of(orphan: &Orphan, host: &str) -> Self {
        Self {
            by: format!("daemon@{host}"),
            reason: orphan.reason,
            pid: orphan.pid,
            host: orphan.host.clone(),
            since: orphan.since.as_ref().map(ToString::to_string),
        }
    }

    /// From what it was written as; none where somebody else gave a reason.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (by, rest) = text.split_once(": ").filter(|(by, _)| by.starts_with("daemon@"))?;
        let mut parts = rest.split(", ");
        let reason = parts.next()?.parse().ok()?;
        let mut record = Self { by: by.to_owned(), reason, pid: None, host: None, since: None };
        for part in parts {
            if let Some(pid) = part.strip_prefix("PID ") {
                record.pid = Some(pid.parse().ok()?);
            } else if let Some(host) = part.strip_prefix("on ") {
                record.host = Some(host.to_owned());
            } else if let Some(since) = part.strip_prefix("since ") {
                record.since = Some(since.to_owned());
            } else {
                return None;
            }
        }
        Some(record)
    }
}

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.by, self.reason)?;
        if let Some(pid) = self.pid {
            write!(f, ", PID {pid}")?;
        }
        if let Some(host) = &self.host {
            write!(f, ", on {host}")?;
        }
        if let Some(since) = &self.since {
            write!(f, ", since {since}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn it_is_read_as_it_is_written() {
        let whole = "daemon@build-7: dead, PID 4712, on build-8, since 2025-06-19T10:00:00.000Z";
        for text in [whole, "daemon@h: expired", "daemon@h: replaced, on x, since 2025-06-19T10:00:00.000Z"] {
            assert_eq!(Record::parse(text).unwrap().to_string(), text);
        }
        assert_eq!(Record::parse(whole).unwrap().pid, Some(4712));
        for other in ["", "worker restarted", "me@h: dead", "daemon@h: tired", "daemon@h: dead, PID x"] {
            assert_eq!(Record::parse(other), None, "{other}");
        }
    }
}
