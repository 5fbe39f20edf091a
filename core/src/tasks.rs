//! The life of a task: `ENQUEUE`, `CANCEL`, `REVIVE`, `DRAIN`, and what becomes of it when its lease ends.

use compact_str::{CompactString, format_compact};

use crate::checkin::Effect;
use crate::events::{Entry, Says};
use crate::fault;
use crate::issue::{Aftermath, Asked, Issue, Run, Working};
use crate::names::NameId;
use crate::project::Project;
use crate::queue::{Dead, Finished, Task, TaskNumber, Texts, Whereabouts};
use crate::refusal::Refusal;
use crate::settings::Setting;
use crate::types::{Cancelled, EventKind, Instant, IssueNumber, Millis, Name, Now, Priority, Status, TaskId, Text};

/// The type of a task where nothing is said.
const DEFAULT_KIND: &str = "issue";

/// A task to be queued.
#[derive(Debug, Clone, Copy)]
pub struct Enqueue<'a> {
    /// The issue.
    pub issue: IssueNumber,
    /// Its id; none is `<issue>:<type>`.
    pub id: Option<Name<'a>>,
    /// Its type; none is `issue`.
    pub kind: Option<Name<'a>>,
    /// How urgent it is; none is normal, or what it is already.
    pub priority: Option<Priority>,
    /// How long it may not be claimed.
    pub delay: Millis,
    /// The issue's title.
    pub title: Option<Text<'a>>,
    /// JSON for whoever claims it.
    pub payload: Option<Text<'a>>,
    /// Also if it was finished or is dead.
    pub again: bool,
}

impl Enqueue<'_> {
    /// A request with no options.
    pub const fn new(issue: IssueNumber) -> Self {
        Self { issue, id: None, kind: None, priority: None, delay: Millis(0), title: None, payload: None, again: false }
    }
}

/// What becomes of a lease's task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Disposal {
    Finish,
    Drop,
    /// Its run failed. It may wait again, after a delay.
    Fail {
        retry: Option<Millis>,
    },
    /// Its worker was lost. It may wait again.
    Lose {
        requeue: bool,
    },
}

/// What was decided of it.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) aftermath: Aftermath,
    fate: Fate,
}

#[derive(Debug)]
enum Fate {
    Nothing,
    Finish(Task),
    Drop(Task),
    Bury(Task),
    Queue(Task, Millis),
}

impl Plan {
    const fn of(aftermath: Aftermath, fate: Fate) -> Self {
        Self { aftermath, fate }
    }

    /// The task that it is about.
    pub(crate) fn id(&self) -> Option<&str> {
        match &self.fate {
            Fate::Nothing => None,
            Fate::Finish(task) | Fate::Drop(task) | Fate::Bury(task) | Fate::Queue(task, _) => Some(&task.id),
        }
    }
}

impl Project {
    /// Queues a task. Answers whether it was queued, and whether anything changed: the priority of one that waits may
    /// rise.
    ///
    /// # Errors
    /// [`Refusal::OtherIssue`]; nothing changes then.
    pub fn enqueue(&mut self, now: Now, request: &Enqueue<'_>) -> Result<(bool, Effect), Refusal> {
        let kind = request.kind.map_or(DEFAULT_KIND, Name::as_str);
        let id = match request.id {
            Some(id) => CompactString::new(id.as_str()),
            None => Self::default_id(request.issue, Some(kind)),
        };
        let there = self.find(&id);
        if let Some(issue) = there.and_then(|there| self.issue_of(there)).filter(|issue| *issue != request.issue) {
            return Err(Refusal::OtherIssue { task: id.into(), issue });
        }
        let finished = self.order.finished(&Finished { issue: request.issue, id: id.clone() });
        let dead = match there {
            Some(Whereabouts::Waiting(number)) => return Ok((false, self.raise(now, number, request.priority))),
            Some(Whereabouts::Dead(number)) if request.again => Some(number),
            None if finished.is_none() || request.again => None,
            Some(_) | None => return Ok((false, Effect::Unchanged)),
        };
        self.change(now, |project| {
            dead.into_iter().for_each(|number| project.set_dead(number, None));
            finished.into_iter().for_each(|number| project.set_finished(number, None));
            let task = Task {
                id,
                issue: request.issue,
                kind: project.names.intern(kind),
                priority: request.priority.unwrap_or(Priority::NORMAL),
                attempts: 0,
                orphans: 0,
                turn: now.at,
                texts: Texts::of(request.title.map(Text::as_str), request.payload.map(Text::as_str)),
            };
            project.head.totals.tasks.enqueued += 1;
            project.log_queued(now.at, EventKind::Enqueue, &task);
            project.queue_task(now.at, task, request.delay);
        });
        Ok((true, Effect::Changed))
    }

    /// Gives a task that waits a higher priority, where one is given.
    fn raise(&mut self, now: Now, number: TaskNumber, priority: Option<Priority>) -> Effect {
        let Some(task) = self.queue.tasks.get(&number) else { return Effect::Unchanged };
        match priority {
            Some(priority) if priority > task.priority => {
                let task = Task { priority, ..(**task).clone() };
                self.change(now, |project| project.set_task(number, Some(Box::new(task))));
                Effect::Changed
            }
            _ => Effect::Unchanged,
        }
    }

    /// Removes the tasks of an issue that wait, and asks its holder to stop.
    pub fn cancel(&mut self, now: Now, issue: IssueNumber, reason: Option<Text<'_>>) -> (Cancelled, Effect) {
        let mut waiting: Vec<TaskNumber> = self.order.of_issue(issue).collect();
        // The order of the indexes is not the same everywhere, and each removal is an event.
        waiting.sort_unstable();
        let record = self.issues.get(&issue);
        let held = record.is_some_and(|record| record.holder().is_some());
        let ask = held && record.is_some_and(|record| record.asked().is_none());
        let done = match (held, waiting.is_empty()) {
            (true, _) => Cancelled::Asked,
            (false, false) => Cancelled::Removed,
            (false, true) => Cancelled::Nothing,
        };
        if waiting.is_empty() && !ask {
            return (done, Effect::Unchanged);
        }
        self.change(now, |project| {
            let last = waiting.len().saturating_sub(1);
            for (position, number) in waiting.into_iter().enumerate() {
                project.remove(now.at, number, position == last, reason);
            }
            if ask {
                project.ask(now.at, issue, reason);
            }
        });
        (done, Effect::Changed)
    }

    /// Removes a task that waits, perhaps the last one of its issue.
    fn remove(&mut self, at: Instant, number: TaskNumber, last: bool, reason: Option<Text<'_>>) {
        let Some(task) = self.take(number) else { return };
        self.head.totals.tasks.cancelled += 1;
        let version = self.next_event();
        let before = self.status_of(task.issue).unwrap_or(Status::Queued);
        let mut entry = Self::task_entry(at, EventKind::Cancel, &task, reason.map(Text::as_str));
        (entry.from, entry.status) = (Some(before), Some(before));
        if last && before == Status::Queued {
            let record = self.issues.get(&task.issue).map(|record| (**record).clone());
            entry.status = record.as_ref().map(|_| Status::Cancelled);
            if let Some(mut record) = record
                && let Run::Ended(ended) = &mut record.run
            {
                ended.aftermath = Aftermath::Cancelled;
                (record.version, record.behind) = (version, true);
                self.set_issue(task.issue, Some(record));
            }
        }
        self.log(entry);
    }

    /// Asks the holder of an issue to stop.
    fn ask(&mut self, at: Instant, number: IssueNumber, reason: Option<Text<'_>>) {
        let Some((issue, life, holder)) = self.holder_of(number) else { return };
        let asked = Some(Asked { at, reason: reason.map(|reason| reason.as_str().into()) });
        let working = match issue.working() {
            Some(working) => Working { asked, ..working.clone() },
            None => Working { life, task: None, asked, follows: None },
        };
        let (token, process, kind) = (issue.token, holder.process, issue.kind);
        let id = working.task.as_ref().map(|task| task.id.clone());
        let issue = Issue { run: Run::Working(Box::new(working)), ..issue.clone() };
        self.next_event();
        let entry = Entry {
            issue: number,
            token: Some(token),
            at,
            process: Some(process),
            kind,
            what: EventKind::Cancel,
            status: Some(Status::Processing),
            from: Some(Status::Processing),
            says: Says::of(id.as_deref(), reason.map(Text::as_str)),
        };
        self.set_issue(number, Some(issue));
        self.log(entry);
    }

    /// Queues a dead task again, its counts at zero. Unchanged where no task of this id is dead.
    pub fn revive(&mut self, now: Now, id: TaskId<'_>) -> Effect {
        let Some(Whereabouts::Dead(number)) = self.find(id.as_str()) else { return Effect::Unchanged };
        let Some(dead) = self.queue.dead.get(&number) else { return Effect::Unchanged };
        let task = Task { attempts: 0, orphans: 0, ..dead.task.clone() };
        self.change(now, |project| {
            project.set_dead(number, None);
            project.head.totals.tasks.revived += 1;
            project.log_queued(now.at, EventKind::Revive, &task);
            project.queue_task(now.at, task, Millis(0));
        });
        Effect::Changed
    }

    /// Lets claims get tasks, or not.
    pub fn drain(&mut self, now: Now, on: bool) -> Effect {
        if self.head.drain == on {
            return Effect::Unchanged;
        }
        self.change(now, |project| {
            fault::point();
            project.head.drain = on;
            fault::point();
        });
        Effect::Changed
    }

    /// Removes every trace of an issue's tasks.
    pub(crate) fn forget_tasks(&mut self, number: IssueNumber) {
        let waiting: Vec<_> = self.order.of_issue(number).collect();
        let dead: Vec<_> = self.order.dead_of_issue(number).collect();
        let finished: Vec<_> = self.order.finished_of_issue(number).collect();
        waiting.into_iter().for_each(|task| self.set_task(task, None));
        dead.into_iter().for_each(|task| self.set_dead(task, None));
        finished.into_iter().for_each(|task| self.set_finished(task, None));
    }

    /// Whether there is any trace of an issue's tasks.
    pub(crate) fn has_tasks(&self, number: IssueNumber) -> bool {
        self.order.of_issue(number).next().is_some()
            || self.order.dead_of_issue(number).next().is_some()
            || self.order.finished_of_issue(number).next().is_some()
    }

    /// Decides what becomes of the task of a lease that ends. A task of its issue that is dead leaves the dead set for it.
    pub(crate) fn plan(
        &mut self,
        number: IssueNumber,
        kind: Option<NameId>,
        task: Option<Task>,
        asked: bool,
        disposal: Disposal,
    ) -> Plan {
        let comes_back = matches!(disposal, Disposal::Fail { retry: Some(_) } | Disposal::Lose { requeue: true });
        if comes_back && asked {
            return Plan::of(Aftermath::Cancelled, task.map_or(Fate::Nothing, Fate::Drop));
        }
        let task = match task {
            Some(task) => task,
            None if comes_back => match self.task_for(number, kind) {
                Some(task) => task,
                // It waits already.
                None => return Plan::of(Aftermath::Queued, Fate::Nothing),
            },
            None => return Plan::of(Aftermath::Ended, Fate::Nothing),
        };
        match disposal {
            Disposal::Finish => Plan::of(Aftermath::Ended, Fate::Finish(task)),
            Disposal::Drop => Plan::of(Aftermath::Ended, Fate::Drop(task)),
            Disposal::Fail { retry } => {
                let attempts = task.attempts.saturating_add(1);
                let task = Task { attempts, ..task };
                let over = u64::from(attempts) >= self.head.settings.get(Setting::MaxAttempts);
                Self::queue_or_bury(task, retry.filter(|_| !over))
            }
            Disposal::Lose { requeue } => {
                let orphans = task.orphans.saturating_add(1);
                let task = Task { orphans, ..task };
                let over = u64::from(orphans) > self.head.settings.get(Setting::MaxOrphans);
                Self::queue_or_bury(task, (requeue && !over).then_some(Millis(0)))
            }
        }
    }

    fn queue_or_bury(task: Task, delay: Option<Millis>) -> Plan {
        match delay {
            Some(delay) => Plan::of(Aftermath::Queued, Fate::Queue(task, delay)),
            None => Plan::of(Aftermath::Ended, Fate::Bury(task)),
        }
    }

    /// The task that a lease without one gets; none where one of that id waits already.
    fn task_for(&mut self, number: IssueNumber, kind: Option<NameId>) -> Option<Task> {
        let kind = kind.map(|kind| self.names.get(kind).to_owned());
        let mut id = Self::default_id(number, kind.as_deref());
        for more in 2.. {
            let Some(there) = self.find(&id) else { break };
            if self.issue_of(there) == Some(number) {
                let Whereabouts::Dead(dead) = there else { return None };
                // Somebody checked its issue out all the same: it begins anew.
                let task = Task { attempts: 0, orphans: 0, ..self.queue.dead.get(&dead)?.task.clone() };
                self.set_dead(dead, None);
                return Some(task);
            }
            // Somebody gave this id to a task of another issue.
            id = format_compact!("{}+{more}", Self::default_id(number, kind.as_deref()));
        }
        Some(Task {
            id,
            issue: number,
            kind: self.names.intern(kind.as_deref().unwrap_or(DEFAULT_KIND)),
            priority: Priority::NORMAL,
            attempts: 0,
            orphans: 0,
            turn: Instant::EPOCH,
            texts: None,
        })
    }

    /// Does what was decided, and logs the lease's end.
    pub(crate) fn follow_plan(&mut self, at: Instant, plan: Plan, disposal: Disposal, entry: Entry) {
        let dies = matches!(plan.fate, Fate::Bury(_)).then(|| entry.clone());
        self.log(entry);
        match plan.fate {
            Fate::Nothing => {}
            Fate::Finish(task) => {
                self.head.totals.tasks.finished += 1;
                let finished = Finished { issue: task.issue, id: task.id };
                let before = self.order.finished(&finished);
                before.into_iter().for_each(|number| self.set_finished(number, None));
                self.head.finishes += 1;
                self.set_finished(self.head.finishes, Some(finished));
            }
            Fate::Drop(_) => self.head.totals.tasks.cancelled += 1,
            Fate::Bury(task) => {
                self.head.totals.tasks.dead += 1;
                self.head.deaths += 1;
                let reason = dies.as_ref().and_then(|entry| entry.reason()).map(Into::into);
                self.set_dead(self.head.deaths, Some(Box::new(Dead { task, at, reason })));
                if let Some(entry) = dies {
                    self.next_event();
                    self.log(Entry { what: EventKind::Dead, from: entry.status, ..entry });
                }
            }
            Fate::Queue(task, delay) => {
                match disposal {
                    Disposal::Lose { .. } => self.head.totals.tasks.requeued += 1,
                    _ => self.head.totals.tasks.retried += 1,
                }
                self.queue_task(at, task, delay);
            }
        }
    }

    /// The task waits from now on, or from when its delay is over.
    fn queue_task(&mut self, at: Instant, mut task: Task, delay: Millis) {
        let delayed = delay > Millis(0);
        self.head.waits += 1;
        task.turn = if delayed { at.plus(delay) } else { at.max(self.newest_turn()) };
        self.set_task(TaskNumber::new(self.head.waits, delayed), Some(Box::new(task)));
    }

    /// Since when the last to come waits, of those that were not delayed: nobody who comes now waits for longer, whatever
    /// the clock says.
    pub(crate) fn newest_turn(&self) -> Instant {
        let newest = self.queue.tasks.last_before(&TaskNumber::new(0, true));
        newest.map_or(Instant::EPOCH, |(_, task)| task.turn)
    }

    /// Takes a task out of the queue.
    pub(crate) fn take(&mut self, number: TaskNumber) -> Option<Task> {
        let task = (**self.queue.tasks.get(&number)?).clone();
        self.set_task(number, None);
        Some(task)
    }

    /// Logs that a task waits that did not before.
    pub(crate) fn log_queued(&mut self, at: Instant, what: EventKind, task: &Task) {
        let from = self.status_of(task.issue);
        self.next_event();
        let mut entry = Self::task_entry(at, what, task, None);
        (entry.from, entry.status) = (from, from.or(Some(Status::Queued)));
        self.log(entry);
    }

    /// An event of a task without a lease.
    pub(crate) fn task_entry(at: Instant, what: EventKind, task: &Task, reason: Option<&str>) -> Entry {
        Entry {
            issue: task.issue,
            token: None,
            at,
            process: None,
            kind: Some(task.kind),
            what,
            status: None,
            from: None,
            says: Says::of(Some(&task.id), reason),
        }
    }

    /// Where the task of an id is.
    pub(crate) fn find(&self, id: &str) -> Option<Whereabouts> {
        self.order.find(&self.queue, id)
    }

    pub(crate) fn issue_of(&self, there: Whereabouts) -> Option<IssueNumber> {
        match there {
            Whereabouts::Waiting(number) => self.queue.tasks.get(&number).map(|task| task.issue),
            Whereabouts::Running(issue) => Some(issue),
            Whereabouts::Dead(number) => self.queue.dead.get(&number).map(|dead| dead.task.issue),
        }
    }

    /// What an issue is; none where nothing is known of it.
    pub(crate) fn status_of(&self, number: IssueNumber) -> Option<Status> {
        let record = self.issues.get(&number).map(|issue| issue.status());
        record.or_else(|| self.is_queued(number).then_some(Status::Queued))
    }

    /// Whether any task of an issue waits.
    pub(crate) fn is_queued(&self, number: IssueNumber) -> bool {
        // Many projects have no queue, and need not be searched at every checkout.
        self.queue.tasks.len() > 0 && self.order.of_issue(number).next().is_some()
    }

    /// The id of a task that nobody named.
    pub(crate) fn default_id(number: IssueNumber, kind: Option<&str>) -> CompactString {
        format_compact!("{number}:{}", kind.unwrap_or(DEFAULT_KIND))
    }
}
