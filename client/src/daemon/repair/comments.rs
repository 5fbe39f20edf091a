//! One comment for each repair. What is to be told waits as a task in a project of its own, `poppo:comments:<project>`: so
//! several daemons tell it once, a daemon that is killed loses nothing, and GitHub being away delays no repair.
//!
//! The project's log says which leases were repaired, by whomever. All of it that is kept is read again whenever a daemon
//! starts: a task that was finished is not queued again.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use poppo::{Backoff, Block, Error, IssueNumber, Lease, Life, Project, Repair, Worker};
use prometheus_client::metrics::counter::Counter;
use tokio::time::{Instant, sleep};
use tracing::{debug, info, warn};

use super::super::Site;
use super::super::template::Template;
use super::note::{Note, TYPE};
use super::text;

/// Where issues are commented on.
pub(crate) trait Comments: Send + Sync {
    /// Whether an issue has a comment in which `marker` stands, among those that were written at `since` or later.
    fn has<'a>(&'a self, issue: IssueNumber, marker: &'a str, since: Option<SystemTime>) -> Reply<'a, bool>;

    /// Writes a comment, in Markdown.
    fn write<'a>(&'a self, issue: IssueNumber, text: &'a str) -> Reply<'a, ()>;
}

/// What comes back from there.
pub(crate) type Reply<'a, T> = Pin<Box<dyn Future<Output = Result<T, Declined>> + Send + 'a>>;

/// Why a comment was not written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Declined {
    /// It may be later.
    ForNow(String),
    /// The repository is there and the issue is not, which GitHub also says for a moment by mistake.
    NotThere(String),
    /// It never will: the issue is gone, or locked.
    ForGood(String),
}

/// For how long the log is waited on at a time.
const ROUND: Duration = Duration::from_secs(20);
/// For how long a daemon may be silent that writes a comment, until another one does.
const TTL: Duration = Duration::from_secs(15);
/// How often those are looked for.
const NET: Duration = Duration::from_secs(5);
/// For how long one that is being written may go on when the daemon ends.
const GRACE: Duration = Duration::from_secs(3);
/// The pauses between attempts.
const PAUSES: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(600));
/// After so many attempts an issue that is not there is believed not to be there.
const SURELY: u32 = 3;
/// Settings of the project of comments: one is tried for as long as it takes, and remembered for long.
const SETTINGS: [(&str, u64); 3] = [("max-attempts", 1000), ("max-orphans", 1000), ("finished-kept", 100_000)];

/// Tells the repairs of a project.
pub(super) struct Teller {
    pub(super) site: Site,
    pub(super) comments: Arc<dyn Comments>,
    pub(super) template: Template,
    pub(super) written: Counter,
}

impl Teller {
    /// Until the daemon ends. What goes wrong is tried again.
    pub(super) async fn run(self) {
        let outbox = self.site.project.client().project(format!("poppo:comments:{}", self.site.project.key()));
        let teller = Arc::new(self);
        tokio::join!(teller.fill(&outbox), teller.empty(&outbox));
    }

    async fn fill(&self, outbox: &Project) {
        let mut backoff = Backoff::default();
        loop {
            let began = Instant::now();
            let failed = tokio::select! {
                failed = async { tokio::try_join!(self.collect(outbox), look_after(outbox)) } => failed,
                () = self.site.stop.cancelled() => return,
            };
            if began.elapsed() > ROUND {
                backoff = Backoff::default();
            }
            if let Err(error) = failed
                && backoff.count() == 0
            {
                warn!("comments on repairs have to wait: {error}");
            }
            self.pause(&mut backoff).await;
        }
    }

    async fn empty(self: &Arc<Self>, outbox: &Project) {
        let mut backoff = Backoff::default();
        while !self.site.stop.is_cancelled() {
            if let Err(error) = self.tell(outbox).await {
                warn!("comments on repairs have to wait: {error}");
                self.pause(&mut backoff).await;
            }
        }
    }

    async fn pause(&self, backoff: &mut Backoff) {
        tokio::select! {
            () = sleep(backoff.pause()) => {}
            () = self.site.stop.cancelled() => {}
        }
    }

    /// Queues what the log says.
    async fn collect(&self, outbox: &Project) -> Result<Infallible, Error> {
        outbox.set_settings(&SETTINGS).await?;
        let project = &self.site.project;
        let mut last = 0;
        loop {
            let events = project.events(last, Some(1000), Block::AtMost(ROUND)).await?;
            for event in &events {
                if let Some(task) = Note::of(event, SystemTime::now()).and_then(|note| note.task()) {
                    outbox.enqueue(&task).await?;
                }
                last = event.id;
            }
            // Where the last event is not there any more, it is another log.
            if events.is_empty() && last > 0 && project.events(last - 1, Some(1), Block::No).await?.is_empty() {
                last = 0;
            }
        }
    }

    /// Writes what waits, one after another, until the daemon ends. A server that is away is waited for.
    async fn tell(self: &Arc<Self>, outbox: &Project) -> Result<(), Error> {
        let teller = Arc::clone(self);
        Worker::new(outbox)
            .process(format!("daemon-{}", Life::current().default_process_name()))
            .types([TYPE])
            .ttl(TTL)
            .retry(Backoff::new(PAUSES.0, PAUSES.1))
            .grace(GRACE)
            .stop_on(self.site.stop.clone())
            .run(move |lease| {
                let teller = Arc::clone(&teller);
                async move { teller.tell_one(lease).await }
            })
            .await
    }

    async fn tell_one(&self, lease: Lease) -> Result<(), String> {
        let note: Option<Note> = lease.payload().and_then(|payload| serde_json::from_str(payload).ok());
        if let Some(note) = note {
            let said = tokio::select! {
                biased;
                // Whoever was stopped for so long says nothing after another one may have.
                () = lease.until_over() => Err(Declined::ForNow("it is another daemon's by now".to_owned())),
                said = self.say(&note) => said,
            };
            match said {
                Ok(()) => {}
                Err(Declined::NotThere(why)) if lease.attempts() + 1 >= SURELY => give_up(&note, &why),
                Err(Declined::ForGood(why)) => give_up(&note, &why),
                Err(Declined::ForNow(why) | Declined::NotThere(why)) => {
                    // One that waits for days says so once.
                    if lease.attempts() == 0 {
                        warn!(issue = %note.issue, "cannot comment on its repair yet: {why}");
                    } else {
                        debug!(issue = %note.issue, "cannot comment on its repair yet: {why}");
                    }
                    return Err(why);
                }
            }
        }
        lease.complete("").await.map(drop).map_err(|error| error.to_string())
    }

    /// Writes a comment that is not there yet: whoever wrote it may have died before saying so.
    async fn say(&self, note: &Note) -> Result<(), Declined> {
        let at = note.at.clone().map(poppo::Timestamp::from).and_then(|at| at.to_system_time());
        if self.comments.has(note.issue, &text::marker(note), at).await? {
            return Ok(());
        }
        let comment = text::comment(&self.template, self.site.config.repair.language, note);
        self.comments.write(note.issue, &comment).await?;
        self.written.inc();
        info!(issue = %note.issue, "commented on its repair");
        Ok(())
    }
}

fn give_up(note: &Note, why: &str) {
    warn!(issue = %note.issue, "cannot comment on its repair: {why}");
}

/// Gives comments back that a daemon had taken and will not write.
async fn look_after(outbox: &Project) -> Result<Infallible, Error> {
    loop {
        let orphans = outbox.orphans(None, None).await?;
        let repair = |orphan: &poppo::Orphan| Repair { requeue: true, ..Repair::new(orphan.issue, orphan.token) };
        let repairs: Vec<Repair> = orphans.iter().map(repair).collect();
        // Refused is what another daemon did first.
        drop(outbox.repair_all(&repairs).await?);
        sleep(NET).await;
    }
}

#[cfg(test)]
mod tests;
