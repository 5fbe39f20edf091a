//! The module's commands, one method each, in the order of `docs/commands.md`.

use std::collections::BTreeMap;

use crate::answers::{self, Beat, Issue, Orphan, Page, Process, Stats};
use crate::requests::{Checkin, Checkout, Evict, Heartbeat, Repair, option};
use crate::types::{Cursor, IssueNumber, Status, Token};
use crate::{Client, Error, decode};

/// How many rows are asked for at a time where the caller did not say.
const ROWS_PER_CALL: u32 = 1000;

/// A project on a server: usually one repository. Cheap to clone.
///
/// Every method fails with [`Error::Connection`] or [`Error::Timeout`] where the server cannot be reached, with
/// [`Error::NoModule`] where it lacks the module, and with [`Error::BadArgument`] where an argument is not allowed.
#[derive(Debug, Clone)]
pub struct Project {
    client: Client,
    key: String,
}

impl Project {
    pub(crate) fn new(client: Client, key: String) -> Self {
        Self { client, key }
    }

    /// The project's key.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }

    /// The server that it is on.
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Takes an issue and answers the fencing token. Asked again by the same life of the same process, it answers the
    /// same token, so a retry after a lost answer is harmless.
    ///
    /// # Errors
    /// [`Refusal::Held`](crate::Refusal::Held), [`Refusal::Done`](crate::Refusal::Done) with `once`,
    /// [`Refusal::InUse`](crate::Refusal::InUse).
    pub async fn checkout(&self, checkout: &Checkout) -> Result<Token, Error> {
        self.client.ask("POPPO.CHECKOUT", &checkout.command(&self.key), decode::token).await
    }

    /// Ends a lease. The same again is harmless.
    ///
    /// # Errors
    /// [`Refusal::Stale`](crate::Refusal::Stale) where the token is no longer valid,
    /// [`Refusal::NotHeld`](crate::Refusal::NotHeld), [`Refusal::Held`](crate::Refusal::Held) by another.
    pub async fn checkin(&self, checkin: &Checkin) -> Result<(), Error> {
        self.client.ask("POPPO.CHECKIN", &checkin.command(&self.key), |_| Ok(())).await
    }

    /// Renews all leases of a process and answers which they are.
    ///
    /// # Errors
    /// [`Refusal::NoProcess`](crate::Refusal::NoProcess): whatever it is working on is no longer its own.
    pub async fn heartbeat(&self, heartbeat: &Heartbeat) -> Result<Beat, Error> {
        self.client.ask("POPPO.HEARTBEAT", &heartbeat.command(&self.key), Beat::read).await
    }

    /// The leases whose holders are orphans, longest orphaned first: at most `count` (1 to 10,000, default 100), of
    /// `host` only where one is given. Changes nothing.
    ///
    /// # Errors
    /// As every method.
    pub async fn orphans(&self, count: Option<u32>, host: Option<&str>) -> Result<Vec<Orphan>, Error> {
        let mut cmd = redis::cmd("POPPO.ORPHANS");
        cmd.arg(&self.key);
        option(&mut cmd, "COUNT", count);
        option(&mut cmd, "HOST", host);
        self.client.ask("POPPO.ORPHANS", &cmd, |value| decode::list(value, Orphan::read)).await
    }

    /// Ends an orphan's lease and answers the issue's new status. The same again is harmless.
    ///
    /// # Errors
    /// [`Refusal::Alive`](crate::Refusal::Alive) where the holder came back,
    /// [`Refusal::Stale`](crate::Refusal::Stale) where the issue has another token by now,
    /// [`Refusal::NotHeld`](crate::Refusal::NotHeld) where the issue is unknown.
    pub async fn repair(&self, repair: &Repair) -> Result<Status, Error> {
        self.client.ask("POPPO.REPAIR", &repair.command(&self.key), decode::word).await
    }

    /// Ends a lease by hand, also of a holder that is alive, and answers the issue's new status.
    ///
    /// # Errors
    /// [`Refusal::NotHeld`](crate::Refusal::NotHeld), and [`Refusal::Stale`](crate::Refusal::Stale) where a token was
    /// given that is not the current one.
    pub async fn evict(&self, evict: &Evict) -> Result<Status, Error> {
        self.client.ask("POPPO.EVICT", &evict.command(&self.key), decode::word).await
    }

    /// Everything known of an issue; none where it is unknown.
    ///
    /// # Errors
    /// As every method.
    pub async fn get(&self, issue: IssueNumber) -> Result<Option<Issue>, Error> {
        let mut cmd = redis::cmd("POPPO.GET");
        cmd.arg(&self.key).arg(issue.get());
        self.client.ask("POPPO.GET", &cmd, |value| optional(value, Issue::read)).await
    }

    /// One page of the project's issues, by number: from the start or where `cursor` says, at most `count` rows
    /// (1 to 10,000, default 100), of one status only where one is given.
    ///
    /// # Errors
    /// As every method.
    pub async fn list(
        &self,
        status: Option<Status>,
        cursor: Option<&Cursor>,
        count: Option<u32>,
    ) -> Result<Page<Issue>, Error> {
        let mut cmd = redis::cmd("POPPO.LIST");
        cmd.arg(&self.key);
        option(&mut cmd, "STATUS", status.map(Status::as_str));
        option(&mut cmd, "CURSOR", cursor.map(|cursor| cursor.0.as_str()));
        option(&mut cmd, "COUNT", count);
        self.client.ask("POPPO.LIST", &cmd, |value| Page::read(value, Issue::read)).await
    }

    /// One page of the processes that the project knows: as [`list`](Self::list).
    ///
    /// # Errors
    /// As every method.
    pub async fn processes(&self, cursor: Option<&Cursor>, count: Option<u32>) -> Result<Page<Process>, Error> {
        let mut cmd = redis::cmd("POPPO.LIST");
        cmd.arg(&self.key).arg("PROCESSES");
        option(&mut cmd, "CURSOR", cursor.map(|cursor| cursor.0.as_str()));
        option(&mut cmd, "COUNT", count);
        self.client.ask("POPPO.LIST", &cmd, |value| Page::read(value, Process::read)).await
    }

    /// All of the project's issues, or all of one status, following the cursor to its end.
    ///
    /// # Errors
    /// As every method.
    pub async fn list_all(&self, status: Option<Status>) -> Result<Vec<Issue>, Error> {
        let mut rows = Vec::new();
        let mut cursor = None;
        loop {
            let page = self.list(status, cursor.as_ref(), Some(ROWS_PER_CALL)).await?;
            rows.extend(page.rows);
            cursor = page.next;
            if cursor.is_none() {
                return Ok(rows);
            }
        }
    }

    /// All of the processes that the project knows, following the cursor to its end.
    ///
    /// # Errors
    /// As every method.
    pub async fn all_processes(&self) -> Result<Vec<Process>, Error> {
        let mut rows = Vec::new();
        let mut cursor = None;
        loop {
            let page = self.processes(cursor.as_ref(), Some(ROWS_PER_CALL)).await?;
            rows.extend(page.rows);
            cursor = page.next;
            if cursor.is_none() {
                return Ok(rows);
            }
        }
    }

    /// The project's counts; none where it does not exist.
    ///
    /// # Errors
    /// As every method.
    pub async fn stats(&self) -> Result<Option<Stats>, Error> {
        let mut cmd = redis::cmd("POPPO.STATS");
        cmd.arg(&self.key);
        self.client.ask("POPPO.STATS", &cmd, |value| optional(value, Stats::read)).await
    }

    /// Removes every trace of an issue that nobody has; false where it was unknown.
    ///
    /// # Errors
    /// [`Refusal::Held`](crate::Refusal::Held).
    pub async fn forget(&self, issue: IssueNumber) -> Result<bool, Error> {
        let mut cmd = redis::cmd("POPPO.FORGET");
        cmd.arg(&self.key).arg(issue.get());
        Ok(self.client.ask("POPPO.FORGET", &cmd, decode::number).await? > 0)
    }

    /// The project's settings, or the one that is named. Names, units and ranges are in `docs/commands.md`.
    ///
    /// # Errors
    /// [`Error::BadArgument`] where there is no such setting.
    pub async fn settings(&self, name: Option<&str>) -> Result<BTreeMap<String, u64>, Error> {
        let mut cmd = redis::cmd("POPPO.CONFIG");
        cmd.arg(&self.key).arg("GET");
        if let Some(name) = name {
            cmd.arg(name);
        }
        self.client.ask("POPPO.CONFIG", &cmd, answers::settings).await
    }

    /// Changes settings, all of them or none.
    ///
    /// # Errors
    /// [`Error::BadArgument`] where a name or a value is not allowed.
    pub async fn set_settings(&self, settings: &[(&str, u64)]) -> Result<(), Error> {
        let mut cmd = redis::cmd("POPPO.CONFIG");
        cmd.arg(&self.key).arg("SET");
        for (name, value) in settings {
            cmd.arg(name).arg(value);
        }
        self.client.ask("POPPO.CONFIG", &cmd, |_| Ok(())).await
    }
}

/// Null is nothing, anything else is read.
fn optional<T>(
    value: redis::Value,
    read: impl FnOnce(redis::Value) -> Result<T, decode::Misread>,
) -> Result<Option<T>, decode::Misread> {
    if value == redis::Value::Nil { Ok(None) } else { read(value).map(Some) }
}
