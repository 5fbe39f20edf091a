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
/// Of how many it is remembered how often they were heard.
const HEARD: usize = 50_000;
/// How often the same request is answered.
const AGAIN: u32 = 20;

/// A request that is not done.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) message: Result<Request, Malformed>,
    /// Where to answer.
    pub(super) answers: Arc<str>,
    /// The how manieth time it was heard …
    pub(super) heard: u32,
    /// … since when, by the server's clock, every request was heard.
    pub(super) from: SystemTime,
    since: Instant,
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
#[derive(Debug)]
pub(super) struct Inbox {
    waiting: VecDeque<Waiting>,
    /// How often each was heard, and when last.
    heard: HashMap<String, (u32, Instant)>,
    /// Since when every request is heard, by the server's clock.
    since: SystemTime,
}

impl Default for Inbox {
    fn default() -> Self {
        Self { waiting: VecDeque::new(), heard: HashMap::new(), since: SystemTime::UNIX_EPOCH }
    }
}

impl Inbox {
    /// Requests are heard from now on. What was before was not, so nothing is counted that goes further back. What waits
    /// keeps its own count.
    pub(super) fn begin(&mut self, since: SystemTime) {
        self.since = since;
        self.heard.clear();
    }

    /// Another one; false where there are too many, or this one came too often.
    pub(super) fn put(&mut self, message: Result<Request, Malformed>, answers: Arc<str>) -> bool {
        let now = Instant::now();
        if self.heard.len() >= HEARD {
            self.heard.retain(|_, (_, last)| now.duration_since(*last) < KEPT);
        }
        if self.waiting.len() >= WAITING || self.heard.len() >= HEARD {
            return false;
        }
        let mut waiting = Waiting { message, answers, heard: 0, from: self.since, since: now };
        let (times, last) = self.heard.entry(waiting.digest().to_owned()).or_insert((0, now));
        if now.duration_since(*last) >= KEPT {
            *times = 0;
        }
        *times = times.saturating_add(1);
        *last = now;
        waiting.heard = *times;
        let is_heard = *times <= AGAIN;
        if is_heard {
            self.waiting.push_back(waiting);
        }
        is_heard
    }

    /// The one that waits longest.
    pub(super) fn take(&mut self) -> Option<Waiting> {
        self.waiting.pop_front()
    }

    /// One that could not be done now.
    pub(super) fn put_back(&mut self, waiting: Waiting) {
        self.waiting.push_front(waiting);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Drops those that nobody waits for any more, and answers how many.
    pub(super) fn drop_late(&mut self) -> u64 {
        let mut dropped = 0;
        while self.waiting.front().is_some_and(|waiting| waiting.since.elapsed() >= PATIENCE) {
            self.waiting.pop_front();
            dropped += 1;
        }
        dropped
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::request;
    use super::*;

    fn message(id: &str) -> Result<Request, Malformed> {
        request::read("c", format!(r#"{{"requestId":"{id}","action":"list_processing_issues"}}"#).as_bytes())
    }

    fn heard(inbox: &mut Inbox) -> Vec<u32> {
        std::iter::from_fn(|| inbox.take()).map(|waiting| waiting.heard).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_counted_how_often_a_request_was_heard() {
        let mut inbox = Inbox::default();
        for id in ["a", "b", "a"] {
            assert!(inbox.put(message(id), "r".into()));
        }
        assert_eq!(heard(&mut inbox), [1, 1, 2]);
        tokio::time::advance(KEPT).await;
        assert!(inbox.put(message("a"), "r".into()));
        assert_eq!(heard(&mut inbox), [1]);
    }

    #[tokio::test(start_paused = true)]
    async fn who_did_not_hear_all_counts_anew() {
        let mut inbox = Inbox::default();
        let later = SystemTime::UNIX_EPOCH + KEPT;
        assert!(inbox.put(message("a"), "r".into()));
        inbox.begin(later);
        assert!(inbox.put(message("a"), "r".into()));
        let (before, after) = (inbox.take().unwrap(), inbox.take().unwrap());
        assert_eq!((before.heard, before.from), (1, SystemTime::UNIX_EPOCH));
        assert_eq!((after.heard, after.from), (1, later));
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_for_ever_and_one_that_comes_too_often_is_passed_over() {
        let mut inbox = Inbox::default();
        for _ in 0..AGAIN {
            assert!(inbox.put(message("a"), "r".into()));
        }
        assert!(!inbox.put(message("a"), "r".into()));
        tokio::time::advance(PATIENCE).await;
        assert!(inbox.put(message("b"), "r".into()));
        assert_eq!(inbox.drop_late(), u64::from(AGAIN));
        assert_eq!(heard(&mut inbox), [1]);
    }
}
