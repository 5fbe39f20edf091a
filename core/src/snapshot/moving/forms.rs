//! Records in the form of entries, and back in that of documents.

use super::{MovedDead, MovedFinished, MovedHolder, MovedIssue, MovedStanding, MovedTask};
use crate::issue::Issue;
use crate::life::LifeId;
use crate::project::Project;
use crate::queue::{Dead, Finished, Task, TaskNumber};
use crate::snapshot::document::spelled;
use crate::snapshot::said::{IfTrue, Said, Unsaid};
use crate::snapshot::{
    DeadRow, EndedRow, FinishedRow, IssueRow, LifeRow, RunRow, StandingRow, TaskRow, WaitingRow, WorkingRow,
    finished_rows,
};
use crate::types::IssueNumber;

/// Records as they move.
impl Project {
    /// None where its holder is unknown, which cannot be.
    pub(super) fn moved_issue<'a>(&'a self, number: IssueNumber, issue: &'a Issue) -> Option<MovedIssue<'a>> {
        let row = spelled(self.issues_rows(vec![(&number, issue)])).pop()?;
        let holder = match issue.holder() {
            Some(life) => Some(self.moved_holder(life)?),
            None => None,
        };
        let again = issue.task().is_some_and(|task| self.is_finished(number, &task.id));
        row.reform(|_| Unsaid, |_| holder, |Unsaid| IfTrue(again))
    }

    fn moved_holder(&self, id: LifeId) -> Option<MovedHolder<'_>> {
        let row = spelled(self.lives_rows(vec![(&id, self.lives.get(&id)?)])).pop()?;
        let standing = |standing| match standing {
            StandingRow::Current { .. } | StandingRow::Dead { .. } => MovedStanding::Current,
            StandingRow::Ended { reason, .. } => MovedStanding::Ended(reason),
        };
        Some(row.reform(|_| Unsaid, standing))
    }

    pub(super) fn moved_task<'a>(&'a self, number: TaskNumber, task: &'a Task) -> Option<MovedTask<'a>> {
        let row = spelled(self.tasks_rows(vec![(&number, task)])).pop()?;
        let again = IfTrue(self.is_finished(task.issue, &task.id));
        let WaitingRow { issue, task, .. } = row;
        Some(WaitingRow { number: Unsaid, delayed: Unsaid, issue, task: task.reform(|Unsaid| again) })
    }

    pub(super) fn moved_dead<'a>(&'a self, number: u64, dead: &'a Dead) -> Option<MovedDead<'a>> {
        let row = spelled(self.dead_rows(vec![(&number, dead)])).pop()?;
        let again = IfTrue(self.is_finished(dead.task.issue, &dead.task.id));
        let DeadRow { issue, at, reason, task, .. } = row;
        Some(DeadRow { number: Unsaid, issue, at, reason, task: task.reform(|Unsaid| again) })
    }

    pub(super) fn moved_finished<'a>(&'a self, number: u64, finished: &'a Finished) -> Option<MovedFinished<'a>> {
        let FinishedRow { issue, id, .. } = finished_rows(vec![(&number, finished)]).pop()?;
        let there = self.find(id).and_then(|there| self.issue_of(there));
        Some(FinishedRow { number: Unsaid, issue, id, again: IfTrue(there == Some(issue)) })
    }

    pub(super) fn is_finished(&self, issue: IssueNumber, id: &str) -> bool {
        self.order.finished(&Finished { issue, id: id.into() }).is_some()
    }
}

impl<'a, N, I: Said, L, A: Said> IssueRow<'a, N, I, L, A> {
    /// The same with numbers, holder and what is said of its task in another form. None where a holder is none.
    pub(super) fn reform<J: Said, M, B: Said>(
        self,
        number: impl Fn(I) -> J,
        holder: impl FnOnce(L) -> Option<M>,
        again: impl FnOnce(A) -> B,
    ) -> Option<IssueRow<'a, N, J, M, B>> {
        let Self { number: issue, token, started, completed, title, kind, run, version, behind } = self;
        let run = match run {
            RunRow::Held(life) => RunRow::Held(holder(life)?),
            RunRow::Working(WorkingRow { life, task, asked, follows }) => {
                let task = task.map(|task| task.reform(again));
                RunRow::Working(WorkingRow { life: holder(life)?, task, asked, follows })
            }
            RunRow::Ended(ended) => {
                let EndedRow { end, at, by, outcome, aftermath, next, process, pid, host, reason, result, metadata } =
                    ended;
                let end = number(end);
                let ended =
                    EndedRow { end, at, by, outcome, aftermath, next, process, pid, host, reason, result, metadata };
                RunRow::Ended(ended)
            }
        };
        let version = number(version);
        Some(IssueRow { number: issue, token, started, completed, title, kind, run, version, behind })
    }
}

impl<'a, N, I: Said, S> LifeRow<'a, N, I, S> {
    pub(super) fn reform<J: Said, T>(
        self,
        number: impl FnOnce(I) -> J,
        standing: impl FnOnce(S) -> T,
    ) -> LifeRow<'a, N, J, T> {
        let Self { id, process, incarnation, pid, host, tmux, ttl, seen, progress, standing: stands, claims } = self;
        let (id, standing) = (number(id), standing(stands));
        LifeRow { id, process, incarnation, pid, host, tmux, ttl, seen, progress, standing, claims }
    }
}

impl<'a, N, A: Said> TaskRow<'a, N, A> {
    pub(super) fn reform<B: Said>(self, again: impl FnOnce(A) -> B) -> TaskRow<'a, N, B> {
        let Self { id, kind, priority, attempts, orphans, turn, title, payload, again: said } = self;
        TaskRow { id, kind, priority, attempts, orphans, turn, title, payload, again: again(said) }
    }
}

/// Entries as records of a document. Their numbers are any, and are given when they are taken.
impl<'a> MovedIssue<'a> {
    pub(super) fn stored(self) -> Option<IssueRow<'a, &'a str>> {
        self.reform(|Unsaid| 1, |_| Some(1), |_| Unsaid)
    }

    /// Who holds it.
    pub(super) fn holder(&self) -> Option<&MovedHolder<'a>> {
        match &self.run {
            RunRow::Held(holder) => Some(holder),
            RunRow::Working(working) => Some(&working.life),
            RunRow::Ended(_) => None,
        }
    }

    /// The task that runs.
    pub(super) fn task(&self) -> Option<&TaskRow<'a, &'a str, IfTrue>> {
        match &self.run {
            RunRow::Working(working) => working.task.as_ref(),
            RunRow::Held(_) | RunRow::Ended(_) => None,
        }
    }
}

impl<'a> MovedHolder<'a> {
    pub(super) fn stored(self, standing: StandingRow) -> LifeRow<'a, &'a str> {
        self.reform(|Unsaid| 1, |_| standing)
    }
}

impl<'a> MovedTask<'a> {
    pub(super) fn stored(self) -> WaitingRow<'a, &'a str> {
        let Self { issue, task, .. } = self;
        WaitingRow { number: 1, delayed: true, issue, task: task.reform(|_| Unsaid) }
    }
}

impl<'a> MovedDead<'a> {
    pub(super) fn stored(self) -> DeadRow<'a, &'a str> {
        let Self { issue, at, reason, task, .. } = self;
        DeadRow { number: 1, issue, at, reason, task: task.reform(|_| Unsaid) }
    }
}
