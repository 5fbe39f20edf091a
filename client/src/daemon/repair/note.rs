//! A repair that is to be told, as it waits in the queue of comments.

use std::time::{Duration, SystemTime};

use poppo::{Enqueue, Event, EventKind, IssueNumber, Status, Token};
use serde::{Deserialize, Serialize};

/// The type of its tasks.
pub(super) const TYPE: &str = "repair-comment";
/// Who reads of something that is older than this has read it already, or does not care any more.
const NEWS: Duration = Duration::from_secs(24 * 60 * 60);

/// What is told of a repair.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Note {
    pub(super) issue: IssueNumber,
    /// The token of the lease that was ended: there is one repair of each.
    pub(super) token: Token,
    pub(super) process: Option<String>,
    pub(super) task_type: Option<String>,
    /// What the issue became.
    #[serde(with = "word")]
    pub(super) status: Status,
    pub(super) reason: Option<String>,
    pub(super) at: Option<String>,
}

impl Note {
    /// What is to be told of an event; none where it is no repair, or long past.
    pub(super) fn of(event: &Event, now: SystemTime) -> Option<Self> {
        let at = event.at.as_ref()?;
        let is_old = now.duration_since(at.to_system_time()?).is_ok_and(|age| age > NEWS);
        if event.event != EventKind::Repair || is_old {
            return None;
        }
        Some(Self {
            issue: event.issue?,
            token: event.token?,
            process: event.process.clone(),
            task_type: event.task_type.clone(),
            status: event.status?,
            reason: event.reason.clone(),
            at: Some(at.to_string()),
        })
    }

    /// Its task. Queued again it is the same, and once it is done it is never queued again.
    pub(super) fn task(&self) -> Option<Enqueue> {
        let mut task = Enqueue::new(self.issue);
        task.id = Some(format!("repair:{}", self.token));
        task.task_type = Some(TYPE.to_owned());
        task.payload = Some(serde_json::to_string(self).ok()?);
        Some(task)
    }
}

/// A status by its word.
mod word {
    use poppo::Status;
    use serde::de::Error as _;
    use serde::{Deserialize as _, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(status: &Status, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(status.as_str())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Status, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use poppo::Timestamp;

    use super::*;

    fn repair() -> Event {
        let mut event = Event::trimmed(5);
        event.event = EventKind::Repair;
        event.issue = Some(7.try_into().unwrap());
        event.token = Some(9.try_into().unwrap());
        event.status = Some(Status::Queued);
        event.at = Some(Timestamp::from("2025-06-19T10:00:00.000Z".to_owned()));
        event
    }

    #[test]
    fn a_repair_is_told_while_it_is_news() {
        let at = repair().at.unwrap().to_system_time().unwrap();
        let note = Note::of(&repair(), at).unwrap();
        assert!(Note::of(&repair(), at - Duration::from_secs(5)).is_some(), "clocks differ");
        assert!(Note::of(&repair(), at + NEWS + Duration::from_secs(1)).is_none());
        let evicted = Event { event: EventKind::Evict, ..repair() };
        assert!(Note::of(&evicted, at).is_none());
        let task = note.task().unwrap();
        assert_eq!(task.id.as_deref(), Some("repair:9"));
        assert_eq!(serde_json::from_str::<Note>(&task.payload.unwrap()).unwrap(), note);
    }
}
