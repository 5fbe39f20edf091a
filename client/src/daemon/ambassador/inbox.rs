//! Requests that were heard and are not done: all those of a moment ago, where another daemon does them.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use super::KEPT;
use super::request::{Malformed, Request};

/// For how long a request is worth doing: who asks waits for 30 s, and what is done later is done for nobody. (Some wait for
/// 5 s only; they ask again.)
const PATIENCE: Duration = Duration::from_secs(20);
/// How many wait at most.
const WAITING: usize = 10_000;
/// How many bytes they may have had.
const BYTES: usize = 64 << 20;
/// Of how many it is remembered how often they were heard.
const HEARD: usize = 50_000;
/// How often the same request is answered.
const AGAIN: u32 = 20;

/// A request that is not done.
#[derive(Debug, Clone)]
pub(super) struct Waiting {
    pub(super) message: Result<Request, Malformed>,
    /// Where it came.
    pub(super) channel: Arc<str>,
    /// As it came; empty where it need not be passed on.
    pub(super) payload: Arc<[u8]>,
    /// Where to answer.
    pub(super) answers: Arc<str>,
    /// The how manieth time it was heard …
    pub(super) heard: u32,
    /// … since when, in µs of the server's clock, every request was heard.
    pub(super) from: u64,
    /// When it was heard.
    pub(super) since: Instant,
}

impl Waiting {
    pub(super) fn digest(&self) -> &str {
        match &self.message {
            Ok(request) => &request.digest,
            Err(malformed) => &malformed.digest,
        }
    }
}

/// All of them, in the order in which they came.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    waiting: VecDeque<Waiting>,
    bytes: usize,
    /// How often each was heard, and when last.
    heard: HashMap<String, (u32, Instant)>,
    /// Since when every request is heard, in µs of the server's clock.
    since: u64,
}

impl Inbox {
    /// Requests are heard from now on. What was before was not, so nothing is counted that goes further back. What waits
    /// keeps its own count.
    pub(super) fn begin(&mut self, since: SystemTime) {
        let micros = since.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_micros();
        self.since = u64::try_from(micros).unwrap_or(u64::MAX);
        self.heard.clear();
    }

    /// Another one; false where there are too many, or this one came too often.
    pub(super) fn put(
        &mut self,
        message: Result<Request, Malformed>,
        channel: &str,
        payload: Vec<u8>,
        answers: Arc<str>,
    ) -> bool {
        let now = Instant::now();
        if self.heard.len() >= HEARD {
            // Whose count is lost is not answered again, but not twice either.
            self.heard.retain(|_, (_, last)| now.duration_since(*last) < PATIENCE);
            if self.heard.len() >= HEARD {
                self.heard.clear();
            }
        }
        if self.waiting.len() >= WAITING || self.bytes.saturating_add(payload.len()) > BYTES {
            return false;
        }
        let mut waiting = Waiting {
            message,
            channel: channel.into(),
            payload: payload.into(),
            answers,
            heard: 0,
            from: self.since,
            since: now,
        };
        let (times, last) = self.heard.entry(waiting.digest().to_owned()).or_insert((0, now));
        if now.duration_since(*last) >= KEPT {
            *times = 0;
        }
        *times = times.saturating_add(1);
        *last = now;
        waiting.heard = *times;
        let is_heard = *times <= AGAIN;
        if is_heard {
            self.bytes += waiting.payload.len();
            self.waiting.push_back(waiting);
        }
        is_heard
    }

    /// The one that waits longest.
    pub(super) fn take(&mut self) -> Option<Waiting> {
        let waiting = self.waiting.pop_front()?;
        self.bytes = self.bytes.saturating_sub(waiting.payload.len());
        Some(waiting)
    }

    /// One that could not be done now.
    pub(super) fn put_back(&mut self, waiting: Waiting) {
        self.bytes += waiting.payload.len();
        self.waiting.push_front(waiting);
    }

    /// One that another daemon heard.
    pub(super) fn put_forwarded(&mut self, waiting: Waiting) {
        if self.waiting.len() < WAITING {
            self.waiting.push_back(waiting);
        }
    }

    /// All that were heard so long ago.
    pub(super) fn take_older_than(&mut self, age: Duration) -> Vec<Waiting> {
        let mut old = Vec::new();
        while self.waiting.front().is_some_and(|waiting| waiting.since.elapsed() >= age) {
            old.extend(self.take());
        }
        old
    }

    /// Those of them that are still not done.
    pub(super) fn put_back_all(&mut self, old: Vec<Waiting>) {
        old.into_iter().rev().for_each(|waiting| self.put_back(waiting));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Drops those that nobody waits for any more, and answers how many.
    pub(super) fn drop_late(&mut self) -> u64 {
        let mut dropped = 0;
        while self.waiting.front().is_some_and(|waiting| waiting.since.elapsed() >= PATIENCE) {
            self.take();
            dropped += 1;
        }
        dropped
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::super::request;
    use super::*;

    fn message(id: &str) -> Result<Request, Malformed> {
        request::read("c", format!(r#"{{"requestId":"{id}","action":"list_processing_issues"}}"#).as_bytes())
    }

    fn put(inbox: &mut Inbox, id: &str, bytes: usize) -> bool {
        inbox.put(message(id), "c", vec![0; bytes], "r".into())
    }

    fn heard(inbox: &mut Inbox) -> Vec<u32> {
        std::iter::from_fn(|| inbox.take()).map(|waiting| waiting.heard).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_counted_how_often_a_request_was_heard() {
        let mut inbox = Inbox::default();
        for id in ["a", "b", "a"] {
            assert!(put(&mut inbox, id, 1));
        }
        assert_eq!(heard(&mut inbox), [1, 1, 2]);
        tokio::time::advance(KEPT).await;
        assert!(put(&mut inbox, "a", 1));
        assert_eq!(heard(&mut inbox), [1]);
    }

    #[tokio::test(start_paused = true)]
    async fn who_did_not_hear_all_counts_anew() {
        let mut inbox = Inbox::default();
        let later = SystemTime::UNIX_EPOCH + Duration::from_micros(7);
        assert!(put(&mut inbox, "a", 1));
        inbox.begin(later);
        assert!(put(&mut inbox, "a", 1));
        let (before, after) = (inbox.take().unwrap(), inbox.take().unwrap());
        assert_eq!((before.heard, before.from), (1, 0));
        assert_eq!((after.heard, after.from), (1, 7));
    }

    #[tokio::test(start_paused = true)]
    async fn what_waits_has_a_limit() {
        let mut inbox = Inbox::default();
        assert!(put(&mut inbox, "a", BYTES));
        assert!(!put(&mut inbox, "b", 1));
        inbox.take().unwrap();
        assert!(put(&mut inbox, "b", 1));
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_old_is_taken_out_and_put_back_in_order() {
        let mut inbox = Inbox::default();
        assert!(put(&mut inbox, "a", 1) && put(&mut inbox, "b", 1));
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(put(&mut inbox, "c", 1));
        let old = inbox.take_older_than(Duration::from_secs(1));
        let before: Vec<String> = old.iter().map(|waiting| waiting.digest().to_owned()).collect();
        assert_eq!(before.len(), 2);
        inbox.put_back_all(old);
        let after: Vec<String> =
            std::iter::from_fn(|| inbox.take()).map(|waiting| waiting.digest().to_owned()).collect();
        assert_eq!(after[..2], before);
        assert_eq!((after.len(), inbox.bytes), (3, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_for_ever_and_one_that_comes_too_often_is_passed_over() {
        let mut inbox = Inbox::default();
        for _ in 0..AGAIN {
            assert!(put(&mut inbox, "a", 1));
        }
        assert!(!put(&mut inbox, "a", 1));
        tokio::time::advance(PATIENCE).await;
        assert!(put(&mut inbox, "b", 1));
        assert_eq!(inbox.drop_late(), u64::from(AGAIN));
        assert_eq!(heard(&mut inbox), [1]);
    }
}
