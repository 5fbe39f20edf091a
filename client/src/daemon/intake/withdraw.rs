//! Calls off what waits for an issue that nobody wants worked on any more: only what was queued here, and never what
//! somebody works on, who may be the one that closed the issue.

use poppo::{Cancelled, Error, Issue as Record, IssueNumber, Status, Task, TaskState};
use tracing::info;

use super::metrics::Kind;
use super::note::Note;
use super::rules::Why;
use super::task::Payload;
use super::{Intake, Setback};

/// What became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Withdrawn {
    /// Nothing of ours waits.
    Done,
    /// Somebody has the issue now, and would be told to stop.
    Later,
    /// Others queued something for the issue, too, and would lose it.
    NotOurs,
}

impl Intake {
    /// Calls off what waits, for the given reason. False where the issue is to be looked at again; the note stays as it is
    /// then. After true, nothing counts as offered for its label any more.
    pub(super) async fn withdraw(
        &mut self,
        number: IssueNumber,
        record: Option<&Record>,
        before: &Note,
        after: &mut Note,
        why: Why,
    ) -> Result<bool, Setback> {
        let withdrawn = self.call_off(number, record, before, after, &why.to_string()).await?;
        if withdrawn == Withdrawn::Later {
            self.again.insert(number.get());
        }
        Ok(withdrawn != Withdrawn::Later)
    }

    /// The same; what was said and waited counts as not said. That is written before anything is removed.
    pub(super) async fn call_off(
        &mut self,
        number: IssueNumber,
        record: Option<&Record>,
        before: &Note,
        after: &mut Note,
        why: &str,
    ) -> Result<Withdrawn, Setback> {
        let waiting = self.waiting_for(number).await?;
        let ours: Vec<(&Task, Payload)> =
            waiting.iter().filter_map(|task| Some((task, self.maker.recognise(task)?))).collect();
        let is_held = record.is_some_and(|record| record.status == Status::Processing);
        if ours.is_empty() {
            after.task = None;
            return Ok(Withdrawn::Done);
        }
        if ours.len() < waiting.len() {
            info!(issue = %number, "not called off, though {why}: others queued something for it, too");
            after.task = None;
            return Ok(Withdrawn::NotOurs);
        }
        if is_held || ours.iter().any(|(task, _)| task.held) {
            return Ok(Withdrawn::Later);
        }
        after.task = None;
        for (_, payload) in &ours {
            if let Some(comment) = &payload.comment {
                after.unsee(comment.id, &comment.created_at);
            }
        }
        self.keep(number, before, after).await?;
        let cancelled = self.site.project.cancel(number, Some(why)).await?;
        if cancelled != Cancelled::Nothing {
            info!(issue = %number, "called off: {why}");
            for (_, payload) in &ours {
                let kind = if payload.comment.is_some() { Kind::Comment } else { Kind::Issue };
                self.metrics.count(self.site.project.key(), kind, "cancelled");
            }
        }
        Ok(Withdrawn::Done)
    }

    /// What waits for an issue. The queue is read once a turn.
    async fn waiting_for(&mut self, number: IssueNumber) -> Result<Vec<Task>, Error> {
        let waiting = match self.waiting.take() {
            Some(waiting) => waiting,
            None => {
                let mut all = self.site.project.all_tasks(TaskState::Waiting).await?;
                all.extend(self.site.project.all_tasks(TaskState::Delayed).await?);
                all
            }
        };
        let found = waiting.iter().filter(|task| task.issue == number).cloned().collect();
        self.waiting = Some(waiting);
        Ok(found)
    }
}
