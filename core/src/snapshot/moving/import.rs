//! What of a piece is taken.
//!
//! What is here wins, unless what comes is certainly newer: an issue's record under a higher token, or the end of a lease
//! that is here without its holder. A lease is never touched while its holder may live. So a piece that came before changes
//! nothing, and the pieces of one export may come in any order.

use compact_str::CompactString;

use super::{Entry, Head, MovedDead, MovedFinished, MovedHolder, MovedIssue, MovedStanding, MovedTask, Piece};
use crate::checkin::Effect;
use crate::events::{Entry as Event, Says};
use crate::fault;
use crate::issue::{Aftermath, Issue, Run, Working};
use crate::life::{Due, Life, LifeId, Standing};
use crate::names::NameId;
use crate::project::Project;
use crate::queue::{Dead, Finished, Task, TaskNumber, Whereabouts};
use crate::settings::{Setting, Settings};
use crate::snapshot::document::numbered;
use crate::snapshot::said::IfTrue;
use crate::snapshot::{StandingRow, TaskRow};
use crate::types::{EventKind, Instant, IssueNumber, Now, OrphanReason, Outcome, Token};

/// What became of the entries of a piece. Each is counted once, besides those that are `orphans`, too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Imported {
    /// Issues' records that were taken.
    pub issues: u64,
    /// How many of them are leases: orphans here, until their workers beat here.
    pub orphans: u64,
    /// Tasks that wait here now.
    pub tasks: u64,
    /// Tasks that are dead here now.
    pub dead: u64,
    /// Ids of finished tasks that are remembered here now.
    pub finished: u64,
    /// 1 where settings were taken, or the last token.
    pub settings: u64,
    /// Entries that were here already.
    pub unchanged: u64,
    /// Entries of which something else is here, that stayed.
    pub kept: u64,
}

/// What is to be done with an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Take,
    Unchanged,
    Keep,
}

impl Imported {
    fn count(&mut self, entry: &Entry<'_>, verdict: Verdict) {
        let counter = match (entry, verdict) {
            (Entry::Export(_), _) => return,
            (_, Verdict::Unchanged) => &mut self.unchanged,
            (_, Verdict::Keep) => &mut self.kept,
            (Entry::Project(_), Verdict::Take) => &mut self.settings,
            (Entry::Task(_), Verdict::Take) => &mut self.tasks,
            (Entry::Issue(_), Verdict::Take) => &mut self.issues,
            (Entry::Dead(_), Verdict::Take) => &mut self.dead,
            (Entry::Finished(_), Verdict::Take) => &mut self.finished,
        };
        *counter += 1;
    }
}

impl Project {
    /// Merges a piece.
    pub fn import(&mut self, now: Now, piece: &Piece) -> (Imported, Effect) {
        let mut imported = Imported::default();
        let mut highest = None;
        for entry in piece.entries() {
            highest = highest.max(entry.token());
            imported.count(&entry, self.verdict(&entry));
        }
        let taken = Imported { unchanged: 0, kept: 0, ..imported } != Imported::default();
        if !taken && highest <= self.head.last_token {
            return (imported, Effect::Unchanged);
        }
        // An entry may bring an event of its own, and one of the task that it puts back.
        let imported = self.change_many(now, 2 * piece.len(), |project| {
            let mut imported = Imported::default();
            for entry in piece.entries() {
                // An entry before it may have changed what is to be done with it.
                let verdict = project.verdict(&entry);
                imported.count(&entry, verdict);
                if verdict == Verdict::Take {
                    imported.orphans += u64::from(project.take_entry(now.at, entry));
                }
            }
            fault::point();
            project.head.last_token = project.head.last_token.max(highest);
            fault::point();
            imported
        });
        (imported, Effect::Changed)
    }

    fn verdict(&self, entry: &Entry<'_>) -> Verdict {
        match entry {
            Entry::Export(_) => Verdict::Unchanged,
            Entry::Project(head) => self.verdict_on_head(head),
            Entry::Task(task) => self.verdict_on_task(task),
            Entry::Issue(issue) => self.verdict_on_issue(issue),
            Entry::Dead(dead) => self.verdict_on_dead(dead),
            Entry::Finished(finished) if self.is_finished(finished.issue, finished.id) => Verdict::Unchanged,
            Entry::Finished(_) => Verdict::Take,
        }
    }

    /// Takes an entry. Answers whether it is a lease without its holder.
    fn take_entry(&mut self, at: Instant, entry: Entry<'_>) -> bool {
        match entry {
            Entry::Export(_) => {}
            Entry::Project(head) => {
                let settings = self.merged(&head.settings);
                self.set_settings(settings);
            }
            Entry::Task(task) => self.import_task(at, task),
            Entry::Issue(issue) => return self.import_issue(at, *issue),
            Entry::Dead(dead) => self.import_dead(dead),
            Entry::Finished(finished) => self.import_finished(at, &finished),
        }
        false
    }
}

impl Entry<'_> {
    /// The highest token that it knows of.
    fn token(&self) -> Option<Token> {
        match self {
            Self::Project(head) => head.last_token,
            Self::Issue(issue) => Some(issue.token),
            _ => None,
        }
    }
}

/// Settings: what nobody has set here is as it is there.
impl Project {
    fn verdict_on_head(&self, head: &Head) -> Verdict {
        let here = &self.head.settings;
        if head.last_token > self.head.last_token || self.merged(&head.settings) != *here {
            Verdict::Take
        } else if head.settings == *here {
            Verdict::Unchanged
        } else {
            Verdict::Keep
        }
    }

    fn merged(&self, there: &Settings) -> Settings {
        let mut settings = self.head.settings.clone();
        let unset = |setting: &&Setting| settings.get(**setting) == setting.default_value();
        let taken: Vec<_> = Setting::ALL.iter().filter(unset).collect();
        taken.into_iter().for_each(|setting| settings.set(*setting, there.get(*setting)));
        settings
    }
}

/// Issues.
impl Project {
    fn verdict_on_issue(&self, there: &MovedIssue<'_>) -> Verdict {
        let Some(here) = self.issues.get(&there.number) else { return Verdict::Take };
        if self.moved_issue(there.number, here).as_ref() == Some(there) {
            return Verdict::Unchanged;
        }
        let held = here.holder();
        let is_newer = there.token > here.token || (there.token == here.token && there.holder().is_none());
        match held {
            Some(life) if self.is_gone(life) && is_newer => Verdict::Take,
            None if there.token > here.token => Verdict::Take,
            _ => Verdict::Keep,
        }
    }

    /// Whether a holder is an orphan whatever the clock says: it was called dead, was replaced, or never lived here.
    fn is_gone(&self, life: LifeId) -> bool {
        self.lives.get(&life).is_some_and(|life| matches!(life.due(&self.head.settings), Due::Certain(_)))
    }

    /// Answers whether it is a lease without its holder.
    fn import_issue(&mut self, at: Instant, there: MovedIssue<'_>) -> bool {
        let number = there.number;
        let runs = there.task().is_none_or(|task| self.may_run(number, task));
        let holder = there.holder().map(|holder| self.import_holder(at, holder));
        let Some(mut issue) = self.built(there) else { return false };
        let from = self.status_of(number);
        let before = self.issues.get(&number).cloned();
        if let Some(before) = &before {
            let completed = issue.completed().max(before.completed());
            issue.completed_before = completed.map(Box::new);
            // What somebody's labels say is what was here.
            issue.behind = true;
        }
        issue.run = self.settled(issue.run, holder, runs);
        if matches!(&issue.run, Run::Ended(ended) if ended.outcome == Outcome::Completed) {
            issue.completed_before = None;
        }
        let process = self.process_of(&issue);
        issue.version = self.next_event();
        let id = issue.task().map(|task| task.id.clone());
        let event = Event {
            issue: number,
            token: Some(issue.token),
            at,
            process,
            kind: issue.kind,
            what: EventKind::Import,
            status: Some(issue.status()),
            from,
            says: Says::of(id.as_deref(), None),
        };
        self.set_issue(number, Some(issue));
        self.log(event);
        if let Some(before) = before {
            before.holder().into_iter().for_each(|life| self.drop_if_over(life));
            if let Some(task) = before.task().filter(|task| Some(&task.id) != id.as_ref()) {
                self.put_back(at, task.clone());
            }
        }
        holder.is_some_and(|life| self.is_gone(life))
    }

    /// The record of an entry, its numbers not its own yet.
    fn built(&mut self, there: MovedIssue<'_>) -> Option<Issue> {
        let rows = numbered(vec![there.stored()?]);
        rows.rows.first()?.build(&rows.names, &mut self.names).ok()
    }

    /// How the lease runs or ended, with a holder or an end of this project.
    fn settled(&mut self, run: Run, holder: Option<LifeId>, runs: bool) -> Run {
        match (run, holder) {
            (Run::Ended(mut ended), _) => {
                self.head.ends += 1;
                ended.end = self.head.ends;
                Run::Ended(ended)
            }
            (Run::Working(working), Some(life)) => {
                let Working { task, asked, follows, .. } = *working;
                match (task.filter(|_| runs), asked, follows) {
                    (None, None, None) => Run::Held(life),
                    (task, asked, follows) => Run::Working(Box::new(Working { life, task, asked, follows })),
                }
            }
            (Run::Held(_), Some(life)) => Run::Held(life),
            (run, None) => run,
        }
    }

    /// Whose lease it is, or was.
    fn process_of(&self, issue: &Issue) -> Option<NameId> {
        match &issue.run {
            Run::Ended(ended) => Some(ended.process),
            Run::Held(_) | Run::Working(_) => self.lives.get(&issue.holder()?).map(|life| life.process),
        }
    }

    /// Whether a lease may come with its task: not where that is a task already, or is finished.
    fn may_run(&self, number: IssueNumber, task: &TaskRow<'_, &str, IfTrue>) -> bool {
        match self.find(task.id) {
            // That of the lease that gives way.
            Some(Whereabouts::Running(issue)) => issue == number,
            Some(_) => false,
            None => task.again.0 || !self.is_finished(number, task.id),
        }
    }

    /// The life that holds what another server gave it. It is known here, or it is dead until it beats here.
    fn import_holder(&mut self, at: Instant, there: &MovedHolder<'_>) -> LifeId {
        let current = self.names.find(there.process).and_then(|process| self.index.current(process));
        let here = current.and_then(|id| Some((id, self.lives.get(&id)?)));
        let standing = match (there.standing, here) {
            (MovedStanding::Ended(reason), _) => StandingRow::Ended { at, reason },
            (MovedStanding::Current, None) => StandingRow::Dead { at },
            (MovedStanding::Current, Some((id, life))) if is_same_life(there, life) => return id,
            (MovedStanding::Current, Some(_)) => StandingRow::Ended { at, reason: OrphanReason::Replaced },
        };
        let id = self.head.next_life;
        let rows = numbered(vec![there.clone().stored(standing)]);
        if let Some(Ok(life)) = rows.rows.first().map(|row| row.build(&rows.names, &mut self.names)) {
            self.head.next_life = LifeId(id.0 + 1);
            self.set_life(id, Some(life));
        }
        id
    }
}

/// Whether a life that is the current one of its name here is the one that holds something there. A process that says no
/// incarnation may be another one of the same name: it is believed to be the same only where it does not live here.
fn is_same_life(there: &MovedHolder<'_>, here: &Life) -> bool {
    let lives = matches!(here.standing, Standing::Current { .. });
    here.incarnation.as_deref() == there.incarnation && (there.incarnation.is_some() || !lives)
}

/// Tasks. An id is one task's: where it is known, what is here stays.
impl Project {
    fn verdict_on_task(&self, there: &MovedTask<'_>) -> Verdict {
        let task = &there.task;
        match self.find(task.id) {
            Some(Whereabouts::Waiting(number)) => {
                let here = self.queue.tasks.get(&number).and_then(|here| self.moved_task(number, here));
                let here = here.map(|here| here.stored().task);
                Self::same_or_kept(here.as_ref() == Some(&there.clone().stored().task))
            }
            Some(_) => Verdict::Keep,
            None => self.unless_finished(there.issue, task),
        }
    }

    fn verdict_on_dead(&self, there: &MovedDead<'_>) -> Verdict {
        match self.find(there.task.id) {
            Some(Whereabouts::Dead(number)) => {
                let here = self.queue.dead.get(&number).and_then(|here| self.moved_dead(number, here));
                let here = here.map(|here| here.stored());
                Self::same_or_kept(here.as_ref() == Some(&there.clone().stored()))
            }
            Some(_) => Verdict::Keep,
            None => self.unless_finished(there.issue, &there.task),
        }
    }

    fn same_or_kept(same: bool) -> Verdict {
        if same { Verdict::Unchanged } else { Verdict::Keep }
    }

    /// What is finished here is not done again, unless it was to be there.
    fn unless_finished(&self, issue: IssueNumber, task: &TaskRow<'_, &str, IfTrue>) -> Verdict {
        if !task.again.0 && self.is_finished(issue, task.id) { Verdict::Keep } else { Verdict::Take }
    }

    fn import_task(&mut self, at: Instant, there: MovedTask<'_>) {
        let rows = numbered(vec![there.stored()]);
        let task = rows.rows.first().map(|row| row.task.build(row.issue, &rows.names, &mut self.names));
        if let Some(Ok(task)) = task {
            self.log_queued(at, EventKind::Import, &task);
            self.queue_as_it_was(task);
        }
    }

    /// The task of a lease that gave way waits again, unless it is finished.
    fn put_back(&mut self, at: Instant, task: Task) {
        if !self.is_finished(task.issue, &task.id) {
            self.log_queued(at, EventKind::Import, &task);
            self.queue_as_it_was(task);
        }
    }

    /// The task waits since its turn, though others came meanwhile: as one that was delayed until then.
    fn queue_as_it_was(&mut self, task: Task) {
        self.head.waits += 1;
        self.set_task(TaskNumber::new(self.head.waits, true), Some(Box::new(task)));
    }

    fn import_dead(&mut self, there: MovedDead<'_>) {
        let rows = numbered(vec![there.stored()]);
        let Some(row) = rows.rows.first() else { return };
        if let Ok(task) = row.task.build(row.issue, &rows.names, &mut self.names) {
            self.head.deaths += 1;
            let dead = Dead { task, at: row.at, reason: row.reason.map(Into::into) };
            self.set_dead(self.head.deaths, Some(Box::new(dead)));
        }
    }

    /// What was finished there is not to be done here.
    fn import_finished(&mut self, at: Instant, there: &MovedFinished<'_>) {
        self.head.finishes += 1;
        let finished = Finished { issue: there.issue, id: CompactString::new(there.id) };
        self.set_finished(self.head.finishes, Some(finished));
        let known = self.find(there.id).filter(|known| self.issue_of(*known) == Some(there.issue));
        match known {
            Some(Whereabouts::Waiting(number)) if !there.again.0 => self.retire(at, number),
            Some(Whereabouts::Dead(number)) if !there.again.0 => self.set_dead(number, None),
            _ => {}
        }
    }

    /// A task that waits goes, since it is finished.
    fn retire(&mut self, at: Instant, number: TaskNumber) {
        let Some(issue) = self.queue.tasks.get(&number).map(|task| task.issue) else { return };
        let from = self.status_of(issue);
        let Some(task) = self.take(number) else { return };
        let version = self.next_event();
        if !self.is_queued(issue)
            && let Some(mut record) = self.issues.get(&issue).map(|record| (**record).clone())
            && let Run::Ended(ended) = &mut record.run
            && ended.aftermath == Aftermath::Queued
        {
            ended.aftermath = Aftermath::Ended;
            (record.version, record.behind) = (version, true);
            self.set_issue(issue, Some(record));
        }
        let status = self.status_of(issue);
        self.log(Event { from, status, ..Self::task_entry(at, EventKind::Import, &task, None) });
    }
}
