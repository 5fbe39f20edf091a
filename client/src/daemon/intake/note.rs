//! What is remembered of an issue between two looks, beside what the server knows of its tasks.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::rules::Offer;
use crate::daemon::github::Comment;

/// For how long after a comment older ones may still come to light.
const STRAGGLERS: Duration = Duration::from_secs(10 * 60);

/// What is remembered of an issue.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Note {
    /// What was offered for its label. Offered once: who calls it off on the server need not fear that it comes back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) task: Option<Offer>,
    /// Comments before that are older than the task, or were seen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) since: Option<String>,
    /// Comments since then that were seen, with when they were written.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    seen: BTreeMap<u64, String>,
    /// The token of the lease since whose end comments were looked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) looked: Option<u64>,
    /// How often tasks failed before they were offered again, by their ids.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) failed: BTreeMap<String, u64>,
}

impl Note {
    /// Whether there is nothing to remember.
    pub(super) fn is_blank(&self) -> bool {
        *self == Self::default()
    }

    /// Comments count from that time on, unless they do already.
    pub(super) fn begin(&mut self, since: &str) {
        self.since.get_or_insert_with(|| since.to_owned());
    }

    /// Whether a comment was not seen before.
    pub(super) fn is_new(&self, comment: &Comment) -> bool {
        let is_older = self.since.as_ref().is_some_and(|since| comment.created_at < *since);
        !is_older && !self.seen.contains_key(&comment.id)
    }

    /// Comments were seen, and what they ask for is in the queue. Nothing that is much older comes to light any more.
    pub(super) fn saw<'a>(&mut self, comments: impl IntoIterator<Item = &'a Comment>) {
        self.seen.extend(comments.into_iter().map(|comment| (comment.id, comment.created_at.clone())));
        let Some(newest) = self.seen.values().max() else { return };
        let floor = before(newest, STRAGGLERS);
        let since = self.since.take().map_or(floor.clone(), |since| since.max(floor));
        self.seen.retain(|_, at| *at >= since);
        self.since = Some(since);
    }

    /// A comment's task is called off, but not for good: it is as if the comment had not been seen.
    pub(super) fn unsee(&mut self, comment: u64, at: &str) {
        self.seen.remove(&comment);
        if let Some(since) = self.since.as_mut().filter(|since| since.as_str() > at) {
            at.clone_into(since);
        }
    }
}

/// So long before a time as GitHub writes it.
pub(super) fn before(at: &str, by: Duration) -> String {
    let time = humantime::parse_rfc3339_weak(at.trim_end_matches('Z')).ok().and_then(|time| time.checked_sub(by));
    time.map_or_else(|| at.to_owned(), |time| humantime::format_rfc3339_seconds(time).to_string())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn comment(id: u64, at: &str) -> Comment {
        serde_json::from_value(serde_json::json!({ "id": id, "created_at": at })).unwrap()
    }

    #[test]
    fn a_comment_is_new_once_also_out_of_order() {
        let mut note = Note::default();
        note.begin("2026-01-01T12:00:00Z");
        let (old, first) = (comment(1, "2026-01-01T11:59:59Z"), comment(2, "2026-01-01T12:00:00Z"));
        assert!(!note.is_new(&old) && note.is_new(&first));
        note.saw([&first]);
        note.saw([&comment(9, "2026-01-01T12:05:00Z")]);
        assert!(!note.is_new(&first));
        assert!(note.is_new(&comment(3, "2026-01-01T12:00:00Z")), "it comes to light late");
        note.saw([&comment(10, "2026-01-01T13:00:00Z")]);
        assert_eq!(note.since.as_deref(), Some("2026-01-01T12:50:00Z"));
        assert_eq!(note.seen.len(), 1, "what is too old to be new is not remembered");
        assert!(!note.is_new(&first));
    }

    #[test]
    fn what_was_called_off_is_new_again() {
        let mut note = Note::default();
        let (first, second) = (comment(2, "2026-01-01T12:00:00Z"), comment(3, "2026-01-01T13:00:00Z"));
        note.saw([&first, &second]);
        note.unsee(2, "2026-01-01T12:00:00Z");
        assert!(note.is_new(&first) && !note.is_new(&second));
    }

    #[test]
    fn a_note_is_read_as_it_was_written_and_a_strange_one_as_far_as_it_goes() {
        let mut note = Note { looked: Some(9), ..Note::default() };
        note.task = Some(Offer { task_type: "fix".to_owned(), priority: Some(75) });
        note.saw([&comment(3, "2026-01-01T13:00:00Z")]);
        note.failed.insert("IC_3".to_owned(), 2);
        let text = serde_json::to_string(&note).unwrap();
        assert_eq!(serde_json::from_str::<Note>(&text).unwrap(), note);
        assert_eq!(serde_json::from_str::<Note>(r#"{"looked":9,"later":[]}"#).unwrap().looked, Some(9));
        assert!(Note::default().is_blank() && !note.is_blank());
    }

    #[test]
    fn times_are_reckoned_as_github_writes_them() {
        assert_eq!(before("2026-01-01T00:00:05Z", Duration::from_secs(10)), "2025-12-31T23:59:55Z");
        assert_eq!(before("soon", Duration::from_secs(10)), "soon");
    }
}
