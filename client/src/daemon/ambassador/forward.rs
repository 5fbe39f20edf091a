//! What a daemon that is not on the seat does about requests that stay unanswered: it passes them on to the one that is, which
//! may have begun to listen after they were sent. With them goes how often they were heard since when, so that it does not
//! matter who answers.

use std::time::Duration;

use poppo::Error;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use tracing::debug;

use super::inbox::{Inbox, Waiting};
use super::{Ambassador, CHECK, COUNT};
use crate::daemon::seat;

/// For how long whoever is on the seat is given time.
const PATIENCE: Duration = Duration::from_secs(2);
/// How many are asked after at a time.
const AT_ONCE: usize = 64;

/// A request that is passed on.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Forwarded {
    /// On which channel it came.
    pub(super) channel: String,
    /// What came.
    pub(super) message: String,
    /// The how manieth time it was heard …
    pub(super) heard: u32,
    /// … since when, in µs of the server's clock.
    pub(super) since: u64,
    /// How many ms ago.
    pub(super) age: u64,
}

impl Ambassador {
    /// The channel on which requests are passed on.
    pub(super) fn forwarding(&self) -> String {
        seat::place(self.site.project.key(), ":again")
    }

    /// Drops what was answered, and passes on what should have been. Answers how many.
    pub(super) async fn forward(&self, inbox: &mut Inbox) -> Result<u64, Error> {
        let (mut unanswered, mut count) = (Vec::new(), 0);
        let mut old = inbox.take_older_than(PATIENCE).into_iter().peekable();
        let mut trouble = Ok(());
        while trouble.is_ok() && old.peek().is_some() {
            let mut some: Vec<Waiting> = old.by_ref().take(AT_ONCE).collect();
            trouble = self.forward_some(&mut some, &mut count).await;
            unanswered.append(&mut some);
        }
        unanswered.extend(old);
        inbox.put_back_all(unanswered);
        trouble.map(|()| count)
    }

    /// Leaves what was not answered.
    async fn forward_some(&self, some: &mut Vec<Waiting>, count: &mut u64) -> Result<(), Error> {
        let records: Vec<String> = some.iter().map(|waiting| self.record(waiting)).collect();
        let keys: Vec<&str> = records.iter().map(String::as_str).collect();
        let arguments: Vec<String> =
            some.iter().flat_map(|waiting| [waiting.from.to_string(), waiting.heard.to_string()]).collect();
        let script = format!("{COUNT}\n{CHECK}");
        let answered = self.site.project.client().run_script(&script, &keys, &arguments).await?;
        let mut answered = answered.iter().map(|answered| answered == "1");
        some.retain(|_| answered.next() != Some(true));
        for waiting in some.iter().filter(|waiting| !waiting.payload.is_empty()) {
            self.pass_on(waiting).await?;
            *count += 1;
        }
        Ok(())
    }

    async fn pass_on(&self, waiting: &Waiting) -> Result<(), Error> {
        let forwarded = Forwarded {
            channel: waiting.channel.to_string(),
            message: String::from_utf8_lossy(&waiting.payload).into_owned(),
            heard: waiting.heard,
            since: waiting.from,
            age: u64::try_from(waiting.since.elapsed().as_millis()).unwrap_or(u64::MAX),
        };
        let Ok(text) = serde_json::to_string(&forwarded) else { return Ok(()) };
        debug!(channel = forwarded.channel, "a request is not answered: passed on");
        let script = "return {redis.call('PUBLISH', ARGV[1], ARGV[2])}";
        let arguments = [self.forwarding(), text];
        self.site.project.client().run_script(script, &[self.seat.key()], &arguments).await.map(drop)
    }

    /// A request that another daemon passed on, as if it had been heard then.
    pub(super) fn take_forwarded(&self, payload: &[u8], inbox: &mut Inbox) {
        let Ok(forwarded) = serde_json::from_slice::<Forwarded>(payload) else { return };
        let now = Instant::now();
        let (Some(answers), Some(since)) =
            (self.channels.answers(&forwarded.channel), now.checked_sub(Duration::from_millis(forwarded.age)))
        else {
            return;
        };
        let message = super::request::read(&forwarded.channel, forwarded.message.as_bytes());
        inbox.put_forwarded(Waiting {
            message,
            channel: forwarded.channel.as_str().into(),
            payload: Vec::new().into(),
            answers,
            heard: forwarded.heard,
            from: forwarded.since,
            since,
        });
    }
}
