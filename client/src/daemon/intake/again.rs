//! Offers again what failed. A worker that reports an error without asking for another try leaves its task in the dead
//! set; what somebody on GitHub waits for is tried as often as one that asks is: `max-attempts` times. What killed its
//! workers stays dead.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use poppo::{Error, Issue as Record, Status, Task, TaskState};
use tracing::info;

use super::metrics::Kind;
use super::note::Note;
use super::{Intake, Setback};

/// The longest pause.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

impl Intake {
    /// Offers again what is due.
    pub(super) async fn offer_again(&mut self) -> Result<(), Setback> {
        let project = self.site.project.clone();
        if project.stats().await?.is_none_or(|stats| stats.queue.dead == 0) {
            return Ok(());
        }
        let dead = project.all_tasks(TaskState::Dead).await?;
        let ours: Vec<(&Task, Kind)> = dead
            .iter()
            .filter_map(|task| {
                let payload = self.maker.recognise(task)?;
                Some((task, if payload.comment.is_some() { Kind::Comment } else { Kind::Issue }))
            })
            .collect();
        if ours.is_empty() {
            return Ok(());
        }
        let setting = |settings: BTreeMap<String, u64>| settings.into_values().next().unwrap_or(1);
        let (attempts, orphans) = (
            setting(project.settings(Some("max-attempts")).await?),
            setting(project.settings(Some("max-orphans")).await?),
        );
        let numbers: Vec<_> = ours.iter().map(|(task, _)| task.issue).collect();
        let records = project.get_all(&numbers).await?;
        let mut notes = self.ledger.notes(&numbers.iter().map(|number| number.get()).collect::<Vec<_>>()).await?;
        // An ACL may withhold TIME.
        let now = project.client().time().await.unwrap_or_else(|_| SystemTime::now());
        for ((task, kind), record) in ours.into_iter().zip(records) {
            let Some(note) = notes.get_mut(&task.issue.get()) else { continue };
            let failed = note.failed.get(&task.task).copied().unwrap_or_default() + task.attempts.max(1);
            let is_poison = task.orphan_count > orphans || failed >= attempts;
            if is_poison || !is_wanted(task, kind, record.as_ref(), note) || !is_due(task, failed, now, self.pause()) {
                continue;
            }
            // Counted first: who dies in between has tried it once more than it was.
            note.failed.insert(task.task.clone(), failed);
            self.ledger.set_note(task.issue.get(), note).await?;
            if self.revive(task).await? {
                info!(issue = %task.issue, id = task.task, failed, "offered again");
                self.metrics.count(project.key(), kind, "again");
            }
        }
        Ok(())
    }

    fn pause(&self) -> Duration {
        self.site.config.intake.again.get()
    }

    async fn revive(&self, task: &Task) -> Result<bool, Error> {
        self.site.project.revive(&task.task).await
    }
}

/// Whether the issue still has its label, or still waits for what the comment asks.
fn is_wanted(task: &Task, kind: Kind, record: Option<&Record>, note: &Note) -> bool {
    match kind {
        Kind::Issue => note.task.as_ref().is_some_and(|offer| offer.task_type == task.task_type),
        Kind::Comment => record.is_none_or(|record| record.status != Status::Completed) && note.since.is_some(),
    }
}

/// Whether a task that failed so often has waited for long enough.
fn is_due(task: &Task, failed: u64, now: SystemTime, pause: Duration) -> bool {
    let doublings = u32::try_from(failed.saturating_sub(1)).unwrap_or(u32::MAX);
    let factor = 1_u32.checked_shl(doublings).unwrap_or(u32::MAX);
    let pause = pause.saturating_mul(factor).min(LONGEST.max(pause));
    let since = task.dead_time.as_ref().and_then(|at| at.to_system_time());
    since.is_none_or(|since| now.duration_since(since).is_ok_and(|waited| waited >= pause))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use poppo::Timestamp;

    use super::*;

    #[test]
    fn pauses_double() {
        let at = Timestamp::from("2026-01-01T00:00:00.000Z".to_owned());
        let since = at.to_system_time().unwrap();
        let task = Task {
            task: "IC_5".to_owned(),
            issue: 7.try_into().unwrap(),
            task_type: "comment-response".to_owned(),
            priority: poppo::Priority::NORMAL,
            title: None,
            attempts: 1,
            orphan_count: 0,
            since: None,
            due: None,
            dead_time: Some(at),
            reason: None,
            held: false,
            payload: None,
        };
        let due =
            |failed, seconds| is_due(&task, failed, since + Duration::from_secs(seconds), Duration::from_secs(60));
        assert!(!due(1, 59) && due(1, 60));
        assert!(!due(2, 119) && due(2, 120));
        assert!(!due(3, 239) && due(3, 240));
        assert!(!due(100, 86_399) && due(100, 86_400));
        assert!(!is_due(&task, 1, since - Duration::from_secs(5), Duration::from_secs(1)), "clocks step back");
    }
}
