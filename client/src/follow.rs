//! Following a project's log: in rounds, over restarts of the server, and never missing anything without saying so.

use std::time::Duration;

use poppo::{Block, Error, Event, EventKind, Project, Unlabelled};
use tokio::time::sleep;

use crate::exit::Failure;
use crate::output::say;
use crate::retry::Retry;

/// For how long the server is asked to wait for the next event. Then it is asked again, so that a connection that leads
/// nowhere is noticed.
const ROUND: Duration = Duration::from_secs(20);
/// How many events are asked for at a time.
const EVENTS_PER_CALL: u32 = 1000;
/// How many unlabelled issues are asked for: the most the server allows.
const LABELS_PER_CALL: u32 = 10_000;

/// A reader of a project's log that remembers where it is.
pub(crate) struct Follower {
    project: Project,
    /// The id of the entry that was read last, or where to begin.
    last: u64,
    /// That entry, once there is one.
    seen: Option<Event>,
    /// Whether the server's log is known to be the one that was read so far.
    is_certain: bool,
    retry: Retry,
}

impl Follower {
    /// Of what comes after this event.
    pub(crate) fn after(project: Project, id: u64) -> Self {
        Self { project, last: id, seen: None, is_certain: false, retry: Retry::default() }
    }

    /// The next events, once there are any. A server that is away is waited for.
    pub(crate) async fn next(&mut self) -> Result<Vec<Event>, Failure> {
        loop {
            match self.round().await {
                Ok(events) if events.is_empty() => {}
                Ok(events) => return Ok(events),
                Err(error) => self.wait_after(error).await?,
            }
        }
    }

    /// The issues whose labels are behind, as many as the server tells at once. A server that is away is waited for.
    pub(crate) async fn unlabelled(&mut self) -> Result<Vec<Unlabelled>, Failure> {
        loop {
            match self.project.unlabelled(Some(LABELS_PER_CALL), Block::No).await {
                Ok(rows) => {
                    if u32::try_from(rows.len()).is_ok_and(|found| found == LABELS_PER_CALL) {
                        say(&format!(
                            "more than {LABELS_PER_CALL} labels may be behind; ask again when these are confirmed"
                        ));
                    }
                    return Ok(rows);
                }
                Err(error) => self.wait_after(error).await?,
            }
        }
    }

    /// What there is, or what comes within one round.
    async fn round(&mut self) -> Result<Vec<Event>, Error> {
        let events = if self.is_certain {
            self.project.events(self.last, Some(EVENTS_PER_CALL), Block::AtMost(ROUND)).await?
        } else {
            let gap = gap(&self.project, self.last, self.seen.as_ref()).await?;
            if self.retry.has_begun() {
                say("the server answers again");
                self.retry = Retry::default();
            }
            match gap {
                Some(newest) => {
                    say(&format!(
                        "the server's log is not the one that was read so far: it lost its latest writes, or the \
                         project was deleted; going on after event {newest}"
                    ));
                    vec![Event::trimmed(newest)]
                }
                None => Vec::new(),
            }
        };
        // Where nothing came for a while, the reason may be that the project is not the same any more.
        self.is_certain = !(self.is_certain && events.is_empty());
        if let Some(last) = events.last() {
            self.last = last.id;
            self.seen = Some(last.clone());
        }
        Ok(events)
    }

    /// A pause, where the failure may pass.
    async fn wait_after(&mut self, error: Error) -> Result<(), Failure> {
        if !error.may_pass() {
            return Err(error.into());
        }
        self.retry.warn(&error.to_string(), "trying again until it answers");
        self.is_certain = false;
        sleep(self.retry.pause()).await;
        Ok(())
    }
}

/// Where the server's log does not hold what was read of it, the last entry being the one with this id: the newest event that
/// it has. A server that crashed may have lost its latest writes, and gives their numbers to other events then; waiting for
/// what follows the number that was read last would skip those.
pub(crate) async fn gap(project: &Project, last: u64, seen: Option<&Event>) -> Result<Option<u64>, Error> {
    let Some(before) = last.checked_sub(1) else {
        project.client().ping().await?;
        return Ok(None);
    };
    let there = project.events(before, Some(1), Block::No).await?;
    if is_same(there.first(), seen) {
        return Ok(None);
    }
    project.newest_event().await.map(Some)
}

/// Whether what the server has in a place can be what was read there.
fn is_same(there: Option<&Event>, seen: Option<&Event>) -> bool {
    match (there, seen) {
        (None, _) => false,
        (Some(there), Some(seen)) if there.event != EventKind::Trimmed && seen.event != EventKind::Trimmed => {
            there == seen
        }
        // What is trimmed cannot be compared any more.
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_that_was_set_back_is_noticed() {
        let event = |id, reason: &str| {
            let mut event = Event::trimmed(id);
            event.event = EventKind::Checkin;
            event.reason = Some(reason.to_owned());
            event
        };
        assert!(is_same(Some(&event(5, "a")), Some(&event(5, "a"))));
        assert!(is_same(Some(&event(5, "a")), None));
        assert!(is_same(Some(&Event::trimmed(9)), Some(&event(5, "a"))));
        assert!(is_same(Some(&event(5, "a")), Some(&Event::trimmed(5))));
        assert!(!is_same(Some(&event(5, "a")), Some(&event(5, "b"))));
        assert!(!is_same(None, Some(&event(5, "a"))));
        assert!(!is_same(None, None));
    }
}
