//! The module's commands, one method each, in the order of `docs/commands.md`. Those of the queue are in `queue`.

use std::collections::BTreeMap;

use crate::answers::{self, Beat, Event, Issue, Orphan, Page, Process, Stats, Unlabelled};
use crate::requests::{Checkin, Checkout, Evict, Heartbeat, Liveness, Repair, option};
use crate::types::{Block, Cursor, IssueNumber, Status, Token};
use crate::{Client, Error, Published, decode};

/// How many rows are asked for at a time where the caller did not say.
pub(crate) const ROWS_PER_CALL: u32 = 1000;

/// A project on a server: usually one repository. Cheap to clone.
///
/// Every method fails with [`Error::Connection`] or [`Error::Timeout`] where the server cannot be reached, with
/// [`Error::NoModule`] where it lacks the module, and with [`Error::BadArgument`] where an argument is not allowed.
///
/// ```no_run
/// # async fn example(project: poppo::Project) -> Result<(), poppo::Error> {
/// use poppo::{Block, IssueNumber, Status, TaskState};
///
/// for issue in project.list_all(Some(Status::Processing)).await? {
///     println!("{}: {:?}", issue.issue, issue.process);
/// }
/// let page = project.list(None, None, Some(50)).await?;
/// if let Some(cursor) = &page.next {
///     println!("and {} more", project.list(None, Some(cursor), Some(50)).await?.rows.len());
/// }
/// println!("{} processes", project.all_processes().await?.len());
/// if let Some(issue) = project.get(IssueNumber::try_from(123)?).await? {
///     println!("{}, of {:?}", issue.status, issue.process);
/// }
/// if let Some(stats) = project.stats().await? {
///     println!("{} dead, as {:?}", stats.queue.dead, project.all_tasks(TaskState::Dead).await?);
/// }
/// project.set_settings(&[("heartbeat-ttl", 300_000), ("max-attempts", 3)]).await?;
/// println!("{:?}", project.settings(Some("max-running")).await?);
/// // Whoever keeps the labels on GitHub asks what is behind, sets it, and confirms the version that it set.
/// for row in project.unlabelled(Some(20), Block::No).await? {
///     project.labelled(row.issue, row.version).await?;
/// }
/// project.forget(IssueNumber::try_from(123)?).await?;
/// # Ok(())
/// # }
/// ```
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
    ///
    /// Example: [`Project`].
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }

    /// The server that it is on.
    ///
    /// Example: [`Client::disconnect`].
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// The same project, whose calls do not wait for [`Durability`](crate::Durability): for one who was told
    /// [`Error::Unconfirmed`], and would rather have the answer.
    ///
    /// ```no_run
    /// # use poppo::{Checkout, Error, IssueNumber};
    /// # async fn example(project: poppo::Project) -> Result<(), poppo::Error> {
    /// let checkout = Checkout::new(IssueNumber::try_from(123)?, "worker-1");
    /// let token = match project.checkout(&checkout).await {
    ///     // It is granted; a failover might undo it.
    ///     Err(Error::Unconfirmed { .. }) => project.without_durability().checkout(&checkout).await?,
    ///     answer => answer?,
    /// };
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn without_durability(&self) -> Self {
        Self { client: self.client.without_durability(), key: self.key.clone() }
    }

    /// Takes an issue and answers the fencing token. Asked again by the same life of the same process, it answers the
    /// same token, so a retry after a lost answer is harmless.
    ///
    /// Example: [`Checkout`].
    ///
    /// # Errors
    /// [`Refusal::Held`](crate::Refusal::Held), [`Refusal::Done`](crate::Refusal::Done) with `once`,
    /// [`Refusal::InUse`](crate::Refusal::InUse); [`Error::Unconfirmed`] where it is granted, but not as durable as was wished.
    pub async fn checkout(&self, checkout: &Checkout) -> Result<Token, Error> {
        self.client.ask_durably("POPPO.CHECKOUT", &checkout.command(&self.key), None, decode::token).await
    }

    /// Ends a lease. The same again is harmless.
    ///
    /// Example: [`Checkin`].
    ///
    /// # Errors
    /// [`Refusal::Stale`](crate::Refusal::Stale) where the token is no longer valid,
    /// [`Refusal::NotHeld`](crate::Refusal::NotHeld), [`Refusal::Held`](crate::Refusal::Held) by another;
    /// [`Error::Unconfirmed`] where it is done, but not as durable as was wished.
    pub async fn checkin(&self, checkin: &Checkin) -> Result<(), Error> {
        let (cmd, beat) = (checkin.command(&self.key), checkin.beat(&self.key));
        self.client.ask_durably("POPPO.CHECKIN", &cmd, Some(&beat), |_| Ok(())).await
    }

    /// Renews all leases of a process and answers which they are.
    ///
    /// Example: [`Heartbeat`].
    ///
    /// # Errors
    /// [`Refusal::NoProcess`](crate::Refusal::NoProcess): whatever it is working on is no longer its own.
    pub async fn heartbeat(&self, heartbeat: &Heartbeat) -> Result<Beat, Error> {
        self.client.ask("POPPO.HEARTBEAT", &heartbeat.command(&self.key), Beat::read).await
    }

    /// As [`heartbeat`](Self::heartbeat), and waits for [`Durability`](crate::Durability) as a checkout does: with the beat,
    /// all that was granted before it is confirmed. For leases whose own answers were lost.
    ///
    /// Example: [`Heartbeat`].
    ///
    /// # Errors
    /// As [`heartbeat`](Self::heartbeat), and [`Error::Unconfirmed`].
    pub async fn heartbeat_durably(&self, heartbeat: &Heartbeat) -> Result<Beat, Error> {
        self.client.ask_durably("POPPO.HEARTBEAT", &heartbeat.command(&self.key), None, Beat::read).await
    }

    /// The leases whose holders are orphans, longest orphaned first: at most `count` (1 to 10,000, default 100), of
    /// `host` only where one is given. Changes nothing.
    ///
    /// Example: [`Repair`].
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

    /// Passes on what the agent on a host saw of a process, and answers how many of its issues are orphans now. A word that
    /// does not match the process's host, PID and incarnation changes nothing, and is answered with 0.
    ///
    /// Example: [`Liveness`].
    ///
    /// # Errors
    /// As every method.
    pub async fn liveness(&self, liveness: &Liveness) -> Result<u64, Error> {
        self.client.ask("POPPO.LIVENESS", &liveness.command(&self.key), decode::number).await
    }

    /// The same for many processes in one round trip: an answer for each, in their order.
    ///
    /// # Errors
    /// As every method; some of it may have been done then.
    pub async fn liveness_of_all(&self, words: &[Liveness]) -> Result<Vec<u64>, Error> {
        let commands: Vec<_> = words.iter().map(|word| word.command(&self.key)).collect();
        self.client.ask_all("POPPO.LIVENESS", &commands, decode::number).await?.into_iter().collect()
    }

    /// Ends an orphan's lease and answers the issue's new status. The same again is harmless.
    ///
    /// Example: [`Repair`].
    ///
    /// # Errors
    /// [`Refusal::Alive`](crate::Refusal::Alive) where the holder came back,
    /// [`Refusal::Stale`](crate::Refusal::Stale) where the issue has another token by now,
    /// [`Refusal::NotHeld`](crate::Refusal::NotHeld) where the issue is unknown.
    pub async fn repair(&self, repair: &Repair) -> Result<Status, Error> {
        self.client.ask("POPPO.REPAIR", &repair.command(&self.key), decode::word).await
    }

    /// The same for many leases in one round trip: what became of each, in their order.
    ///
    /// # Errors
    /// As every method; some of it may have been done then. What one of them is refused with is its own answer.
    pub async fn repair_all(&self, repairs: &[Repair]) -> Result<Vec<Result<Status, Error>>, Error> {
        let commands: Vec<_> = repairs.iter().map(|repair| repair.command(&self.key)).collect();
        self.client.ask_all("POPPO.REPAIR", &commands, decode::word).await
    }

    /// Ends a lease by hand, also of a holder that is alive, and answers the issue's new status.
    ///
    /// Example: [`Evict`].
    ///
    /// # Errors
    /// [`Refusal::NotHeld`](crate::Refusal::NotHeld), and [`Refusal::Stale`](crate::Refusal::Stale) where a token was
    /// given that is not the current one.
    pub async fn evict(&self, evict: &Evict) -> Result<Status, Error> {
        self.client.ask("POPPO.EVICT", &evict.command(&self.key), decode::word).await
    }

    /// Takes an issue that nobody has and gives it back at once with this outcome, in one round trip: for who knows how it
    /// ended without having worked on it. The same again is harmless.
    ///
    /// # Errors
    /// [`Refusal::Held`](crate::Refusal::Held) where somebody has it; nothing is changed then.
    pub async fn settle(&self, checkout: &Checkout, checkin: &Checkin) -> Result<(), Error> {
        let commands = [checkout.command(&self.key), checkin.command(&self.key)];
        // Whatever the first is refused with, the second is, too.
        for answer in self.client.ask_all("POPPO.CHECKIN", &commands, |_| Ok(())).await? {
            answer?;
        }
        Ok(())
    }

    /// Everything known of an issue; none where it is unknown.
    ///
    /// Example: [`Project`].
    ///
    /// # Errors
    /// As every method.
    pub async fn get(&self, issue: IssueNumber) -> Result<Option<Issue>, Error> {
        self.client.ask("POPPO.GET", &self.get_command(issue), |value| decode::nullable(value, Issue::read)).await
    }

    /// The same of many issues in one round trip: an answer for each, in their order.
    ///
    /// # Errors
    /// As every method.
    pub async fn get_all(&self, issues: &[IssueNumber]) -> Result<Vec<Option<Issue>>, Error> {
        let commands: Vec<_> = issues.iter().map(|issue| self.get_command(*issue)).collect();
        let answers = self.client.ask_all("POPPO.GET", &commands, |value| decode::nullable(value, Issue::read));
        answers.await?.into_iter().collect()
    }

    fn get_command(&self, issue: IssueNumber) -> redis::Cmd {
        let mut cmd = redis::cmd("POPPO.GET");
        cmd.arg(&self.key).arg(issue.get());
        cmd
    }

    /// One page of the project's issues, by number: from the start or where `cursor` says, at most `count` rows
    /// (1 to 10,000, default 100), of one status only where one is given.
    ///
    /// Example: [`Project`].
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
    /// Example: [`Project`].
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
    /// Example: [`Project`].
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
    /// Example: [`Project`].
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
    /// Example: [`Project`].
    ///
    /// # Errors
    /// As every method.
    pub async fn stats(&self) -> Result<Option<Stats>, Error> {
        let mut cmd = redis::cmd("POPPO.STATS");
        cmd.arg(&self.key);
        self.client.ask("POPPO.STATS", &cmd, |value| decode::nullable(value, Stats::read)).await
    }

    /// Removes every trace of an issue that nobody has; false where it was unknown.
    ///
    /// Example: [`Project`].
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
    /// Example: [`Project`].
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
    /// Example: [`Project`].
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

    /// The entries of the project's log whose ids are higher than `after`, oldest first: at most `count` (1 to 10,000,
    /// default 100). After 0 comes the oldest that is kept; otherwise, give the id of the last entry that you saw,
    /// whatever its kind.
    ///
    /// Where entries behind `after` are no longer kept, the first of the answer is of kind
    /// [`Trimmed`](crate::EventKind::Trimmed), which `count` does not count. Where nothing came after `after`, `block`
    /// says what to do. An id that is higher than any so far waits for its successor.
    ///
    /// A call that waits has a connection of its own, so it holds up nobody; dropped before its end, it closes that
    /// connection.
    ///
    /// ```no_run
    /// # use std::time::Duration;
    /// # use poppo::{Block, Error, EventKind, Project};
    /// # async fn follow(project: Project) -> Result<(), Error> {
    /// let mut last = project.newest_event().await?;
    /// loop {
    ///     for event in project.events(last, None, Block::AtMost(Duration::from_secs(30))).await? {
    ///         last = event.id;
    ///         match event.event {
    ///             EventKind::Trimmed => eprintln!("too slow: missed events up to {last}"),
    ///             kind => println!("{kind} of issue {:?}", event.issue),
    ///         }
    ///     }
    /// }
    /// # }
    /// ```
    ///
    /// # Errors
    /// As every method.
    pub async fn events(&self, after: u64, count: Option<u32>, block: Block) -> Result<Vec<Event>, Error> {
        let mut cmd = redis::cmd("POPPO.EVENTS");
        cmd.arg(&self.key).arg("AFTER").arg(after);
        option(&mut cmd, "COUNT", count);
        option(&mut cmd, "BLOCK", block.millis());
        self.client.ask_and_wait("POPPO.EVENTS", &cmd, block, |_| false, |value| rows(value, Event::read)).await
    }

    /// What the server publishes of the project from now on: hints that something happened, orphans among them, which are
    /// in no log. See `docs/commands.md` for the documents. What is published while nobody listens, or faster than it is
    /// read, is lost: whoever must not miss anything reads [`events`](Self::events).
    ///
    /// # Errors
    /// As every method; `NOPERM` where the user may not hear the channel.
    pub async fn published(&self) -> Result<Published, Error> {
        Published::begin(&self.client, &self.key).await
    }

    /// The id of the newest event: what to give to [`events`](Self::events) in order to see only what happens from now
    /// on. 0 before the first.
    ///
    /// The protocol has no question for it, so it is searched for: a few dozen questions at most, with short answers.
    ///
    /// Example: [`events`](Self::events).
    ///
    /// # Errors
    /// As every method.
    pub async fn newest_event(&self) -> Result<u64, Error> {
        let mut search = NewestEvent::default();
        while let Some(after) = search.question() {
            search.answered(after, self.events(after, Some(1), Block::No).await?.last().map(|event| event.id));
        }
        Ok(search.newest())
    }

    /// The issues whose status changed since their labels were last confirmed, longest behind first: at most `count`
    /// (1 to 10,000, default 100). Many changes of one issue are one entry. Where there is none, `block` says what to do,
    /// as in [`events`](Self::events).
    ///
    /// Example: [`Project`].
    ///
    /// # Errors
    /// As every method.
    pub async fn unlabelled(&self, count: Option<u32>, block: Block) -> Result<Vec<Unlabelled>, Error> {
        let mut cmd = redis::cmd("POPPO.LABELS");
        cmd.arg(&self.key);
        option(&mut cmd, "COUNT", count);
        option(&mut cmd, "BLOCK", block.millis());
        self.client.ask_and_wait("POPPO.LABELS", &cmd, block, |_| false, |value| rows(value, Unlabelled::read)).await
    }

    /// Confirms that an issue's labels show this version of its status. False where that is not the current version, or
    /// was confirmed before: the labels are then to be set again, by whoever asks [`unlabelled`](Self::unlabelled).
    ///
    /// Example: [`Project`].
    ///
    /// # Errors
    /// As every method.
    pub async fn labelled(&self, issue: IssueNumber, version: u64) -> Result<bool, Error> {
        let mut cmd = redis::cmd("POPPO.LABELLED");
        cmd.arg(&self.key).arg(issue.get()).arg(version);
        self.client.ask("POPPO.LABELLED", &cmd, |value| Ok(decode::number(value)? == 1)).await
    }
}

/// A search for the newest event's id, by questions of the form "is there any event after this one?".
#[derive(Debug, Default)]
struct NewestEvent {
    /// There is an event with this id, or it is 0.
    there: u64,
    /// There is none after this one, once that is known.
    none_after: Option<u64>,
    /// How far to look ahead next.
    step: u64,
}

impl NewestEvent {
    /// After which id to ask next; none where the search is over.
    fn question(&self) -> Option<u64> {
        match self.none_after {
            Some(end) if end <= self.there => None,
            // Between what is there and what is not, in the middle.
            Some(end) => Some(self.there + (end - self.there) / 2),
            None => Some(self.there.saturating_add(self.step)),
        }
    }

    /// What was asked, and the id of an event after it, if there is any.
    fn answered(&mut self, after: u64, found: Option<u64>) {
        match found {
            Some(id) => {
                self.there = self.there.max(id);
                self.step = (self.step * 2).max(1);
            }
            None => self.none_after = Some(after),
        }
    }

    fn newest(&self) -> u64 {
        self.there
    }
}

/// A list; null, which a wait in vain is answered with, is an empty one.
fn rows<T>(
    value: redis::Value,
    read: impl FnMut(redis::Value) -> Result<T, decode::Misread>,
) -> Result<Vec<T>, decode::Misread> {
    if value == redis::Value::Nil { Ok(Vec::new()) } else { decode::list(value, read) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_event_is_found_in_few_questions() {
        for newest in [0, 1, 2, 3, 7, 8, 9, 1000, 123_456, 1_000_000_000] {
            for kept in [0, 1, 10_000, 1_000_000] {
                let trimmed = newest - newest.min(kept);
                let mut search = NewestEvent::default();
                let mut questions = 0;
                while let Some(after) = search.question() {
                    // As EVENTS with COUNT 1: the next event that is kept, or what is trimmed where none is.
                    let next = (after.max(trimmed) + 1).min(newest);
                    search.answered(after, (after < newest).then_some(next));
                    questions += 1;
                }
                assert_eq!(search.newest(), newest);
                assert!(questions <= 64, "{questions} questions for {newest}, of which {kept} are kept");
            }
        }
    }

    #[test]
    fn a_wait_in_vain_is_an_empty_list() {
        assert_eq!(rows(redis::Value::Nil, Ok), Ok(Vec::new()));
        assert_eq!(rows(redis::Value::Array(vec![redis::Value::Int(1)]), decode::number), Ok(vec![1]));
        assert!(rows(redis::Value::Int(1), Ok).is_err());
    }
}
