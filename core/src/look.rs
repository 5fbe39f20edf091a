//! What can be seen of a project: `GET`, `LIST`, `STATS`.

use crate::held::Held;
use crate::issue::{Issue, Run};
use crate::life::{Life, LifeId};
use crate::project::Project;
use crate::queue::{Task, TaskNumber};
use crate::stats::{Durations, Totals};
use crate::types::{EndedBy, Instant, IssueNumber, Millis, Now, OrphanReason, Pid, Priority, Status, Token};

/// The whole record of an issue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record<'a> {
    /// The issue.
    pub issue: IssueNumber,
    /// What it is about to Poppo.
    pub status: Status,
    /// The holder's token, or the last one's.
    pub token: Token,
    /// Who holds it, or held it last.
    pub process: &'a str,
    /// That process's PID.
    pub pid: Option<Pid>,
    /// That process's host.
    pub host: Option<&'a str>,
    /// The task type of the current or last run.
    pub kind: Option<&'a str>,
    /// The issue's title.
    pub title: Option<&'a str>,
    /// When it was checked out.
    pub started: Instant,
    /// When it was last completed.
    pub completed: Option<Instant>,
    /// The holder, or how the lease ended.
    pub run: RunView<'a>,
}

/// The holder of an issue, or how its last lease ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunView<'a> {
    /// Somebody holds it.
    Held {
        /// Who.
        holder: Holder<'a>,
        /// For which task.
        task: Option<TaskView<'a>>,
        /// When the holder was asked to stop, and why.
        asked: Option<(Instant, Option<&'a str>)>,
    },
    /// Nobody does.
    Ended {
        /// Since when.
        at: Instant,
        /// Who ended the lease.
        by: EndedBy,
        /// Why, for people.
        reason: Option<&'a str>,
        /// JSON.
        result: Option<&'a str>,
        /// The worker's own fields, by name.
        metadata: Metadata<'a>,
    },
}

/// The fields of a check-in's `META`, by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Metadata<'a>(&'a [(compact_str::CompactString, compact_str::CompactString)]);

impl<'a> Metadata<'a> {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Names and values.
    pub fn iter(&self) -> impl Iterator<Item = (&'a str, &'a str)> + use<'a> {
        self.0.iter().map(|(field, value)| (field.as_str(), value.as_str()))
    }
}

/// A task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TaskView<'a> {
    /// Its id.
    pub id: &'a str,
    /// Its issue.
    pub issue: IssueNumber,
    /// Its type.
    pub kind: &'a str,
    /// How urgent it is.
    pub priority: Priority,
    /// The issue's title.
    pub title: Option<&'a str>,
    /// JSON.
    pub payload: Option<&'a str>,
    /// How many of its runs failed.
    pub attempts: u16,
    /// How many of its runs lost their worker.
    pub orphans: u16,
    /// Where it is.
    pub state: TaskState<'a>,
}

/// Where a task is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TaskState<'a> {
    /// It can be claimed, once its issue is free.
    Waiting {
        /// Since when.
        since: Instant,
        /// Whether somebody holds its issue.
        held: bool,
    },
    /// It can be claimed later.
    Delayed {
        /// When.
        due: Instant,
    },
    /// Somebody works on it.
    Running,
    /// Nobody will be given it, unless somebody revives it.
    Dead {
        /// Since when.
        at: Instant,
        /// Why.
        reason: Option<&'a str>,
    },
}

/// Which tasks to list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tasks {
    /// Those that wait.
    Waiting,
    /// Those that wait later.
    Delayed,
    /// Those that nobody will be given.
    Dead,
}

/// The figures of the queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueStats {
    /// How many tasks wait.
    pub waiting: u64,
    /// How many are not due yet.
    pub delayed: u64,
    /// How many run.
    pub running: u64,
    /// How many are dead.
    pub dead: u64,
    /// Whether claims get nothing.
    pub drain: bool,
    /// For how long the oldest waits.
    pub oldest: Option<Millis>,
    /// How many wait, by priority, the most urgent first.
    pub depth: Vec<(Priority, u64)>,
}

/// What is known of a life that holds, or may hold, issues.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Holder<'a> {
    /// Which life of its process.
    pub incarnation: Option<&'a str>,
    /// Where people can watch it.
    pub tmux: Option<&'a str>,
    /// Its last beat.
    pub last_seen: Instant,
    /// How long a beat holds.
    pub ttl: Millis,
    /// What the work itself reported last, and when.
    pub progress: Option<(&'a str, Instant)>,
    /// Why and since when its leases are orphans.
    pub orphan: Option<(OrphanReason, Instant)>,
}

/// A process, as `LIST … PROCESSES` shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Process<'a> {
    /// Its name.
    pub process: &'a str,
    /// Its PID.
    pub pid: Option<Pid>,
    /// Its host.
    pub host: Option<&'a str>,
    /// How many issues it holds.
    pub issues: usize,
    /// When its host agent last said that it lives.
    pub attested: Option<Instant>,
    /// The rest.
    pub holder: Holder<'a>,
}

/// One piece of a list, and where the next one begins: `None` at the end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T> {
    /// What to pass as cursor to go on.
    pub next: Option<u64>,
    /// The rows.
    pub rows: Vec<T>,
}

/// The figures of a project.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stats {
    /// When the project came into being.
    pub created: Instant,
    /// The highest token so far.
    pub last_token: Option<Token>,
    /// How many issues there are, by [`Status`].
    pub issues: [u64; Status::ALL.len()],
    /// How many processes are known.
    pub processes: u64,
    /// How many leases are orphaned now.
    pub orphans: u64,
    /// The queue.
    pub queue: QueueStats,
    /// Totals since creation.
    pub totals: Totals,
    /// From when a task began to wait to its claim.
    pub wait: Durations,
    /// From checkout to the lease's end.
    pub hold: Durations,
    /// From becoming an orphan to its repair.
    pub detection: Durations,
}

impl Project {
    /// How many issues a filtered list looks at for each row that it may answer.
    const LOOKS_PER_ROW: usize = 10;

    /// After so many bytes of free text a list is cut off; what is left comes with the next piece.
    const TEXT_PER_PAGE: usize = 1024 * 1024;

    /// Everything known of an issue.
    pub fn get(&self, now: Now, issue: IssueNumber) -> Option<Record<'_>> {
        self.issues.get(&issue).and_then(|record| self.record_of(now, issue, record))
    }

    fn record_of<'a>(&'a self, now: Now, number: IssueNumber, issue: &'a Issue) -> Option<Record<'a>> {
        let (process, pid, host, run) = match &issue.run {
            Run::Held(_) | Run::Working(_) => {
                let life = self.lives.get(&issue.holder()?)?;
                let run = RunView::Held {
                    holder: self.holder(now, life),
                    task: issue.task().map(|task| self.task_view(task, TaskState::Running)),
                    asked: issue.asked().map(|asked| (asked.at, asked.reason.as_deref())),
                };
                (life.process, life.pid, life.host, run)
            }
            Run::Ended(ended) => {
                let run = RunView::Ended {
                    at: ended.at,
                    by: ended.by,
                    reason: ended.reason.as_deref(),
                    result: ended.result.as_deref(),
                    metadata: Metadata(&ended.metadata),
                };
                (ended.process, ended.pid, ended.host, run)
            }
        };
        Some(Record {
            issue: number,
            status: issue.status(),
            token: issue.token,
            process: self.names.get(process),
            pid,
            host: host.map(|host| self.names.get(host)),
            kind: issue.kind.map(|kind| self.names.get(kind)),
            title: issue.title.as_deref(),
            started: issue.started,
            completed: issue.completed(),
            run,
        })
    }

    fn holder<'a>(&'a self, now: Now, life: &'a Life) -> Holder<'a> {
        Holder {
            incarnation: life.incarnation.as_deref(),
            tmux: life.tmux.as_deref(),
            last_seen: life.seen,
            ttl: life.ttl,
            progress: life.progress.as_deref().map(|progress| (progress.text.as_str(), progress.at)),
            orphan: self.orphaned(life, now).map(|orphaned| (orphaned.reason, orphaned.since)),
        }
    }

    /// Issues by number, from the cursor (0 begins), all or those of a status: at most `count` rows, after looking
    /// at no more than ten times as many.
    pub fn list(&self, now: Now, status: Option<Status>, cursor: u64, count: usize) -> Page<Record<'_>> {
        let looks = if status.is_some() { count.saturating_mul(Self::LOOKS_PER_ROW) } else { count };
        let from = match IssueNumber::try_from(cursor) {
            Ok(number) => number,
            Err(_) if cursor == 0 => IssueNumber::FIRST,
            Err(_) => return Page { next: None, rows: Vec::new() },
        };
        let (mut rows, mut text) = (Vec::new(), 0);
        for (looked, (number, issue)) in self.issues.starting_at(from).enumerate() {
            if rows.len() == count || looked == looks || text > Self::TEXT_PER_PAGE {
                return Page { next: Some(number.get()), rows };
            }
            if status.is_none_or(|status| status == issue.status()) {
                text += issue.title.as_ref().map_or(0, |title| title.len());
                rows.extend(self.record_of(now, *number, issue));
            }
        }
        Page { next: None, rows }
    }

    /// How many tasks of an issue wait, delayed ones among them, and how many are dead.
    pub fn task_counts(&self, issue: IssueNumber) -> (u64, u64) {
        (self.order.of_issue(issue).count() as u64, self.order.dead_of_issue(issue).count() as u64)
    }

    /// Tasks, in the order in which they began to wait, or died, from the cursor (0 begins): at most `count` rows, after
    /// looking at no more than ten times as many.
    pub fn list_tasks(&self, now: Now, which: Tasks, cursor: u64, count: usize) -> Page<TaskView<'_>> {
        match which {
            Tasks::Dead => {
                let from = self.queue.dead.range(cursor..).map(|(number, dead)| {
                    let state = TaskState::Dead { at: dead.at, reason: dead.reason.as_deref() };
                    (*number, Some(self.task_view(&dead.task, state)))
                });
                Self::page(from, count)
            }
            Tasks::Waiting | Tasks::Delayed => {
                // The last bit of a cursor says which numbers it is among: clients may keep no more than 53 bits.
                let among_delayed = cursor & 1 == 1 || (cursor == 0 && which == Tasks::Delayed);
                let from = TaskNumber::new(cursor >> 1, among_delayed);
                let rows = self.queue.tasks.starting_at(from).map(|(number, task)| {
                    let state = self.state(now, *number, task);
                    let wanted = matches!(state, TaskState::Delayed { .. }) == (which == Tasks::Delayed);
                    let cursor = number.count() << 1 | u64::from(number.is_delayed());
                    (cursor, wanted.then(|| self.task_view(task, state)))
                });
                Self::page(rows, count)
            }
        }
    }

    /// The first rows of a list, each with its cursor, and where it goes on.
    fn page<'a>(all: impl Iterator<Item = (u64, Option<TaskView<'a>>)>, count: usize) -> Page<TaskView<'a>> {
        let looks = count.saturating_mul(Self::LOOKS_PER_ROW);
        let (mut rows, mut text) = (Vec::new(), 0);
        for (looked, (cursor, row)) in all.enumerate() {
            if rows.len() == count || looked == looks || text > Self::TEXT_PER_PAGE {
                return Page { next: Some(cursor), rows };
            }
            if let Some(row) = row {
                text += [row.title, row.payload].into_iter().flatten().map(str::len).sum::<usize>();
                rows.push(row);
            }
        }
        Page { next: None, rows }
    }

    fn state(&self, now: Now, number: TaskNumber, task: &Task) -> TaskState<'static> {
        if number.is_delayed() && task.turn > now.at {
            return TaskState::Delayed { due: task.turn };
        }
        let held = self.issues.get(&task.issue).is_some_and(|issue| issue.holder().is_some());
        TaskState::Waiting { since: task.turn, held }
    }

    fn task_view<'a>(&'a self, task: &'a Task, state: TaskState<'a>) -> TaskView<'a> {
        TaskView {
            id: &task.id,
            issue: task.issue,
            kind: self.names.get(task.kind),
            priority: task.priority,
            title: task.title(),
            payload: task.payload(),
            attempts: task.attempts,
            orphans: task.orphans,
            state,
        }
    }

    /// The figures of the queue now. Costs time in proportion to the tasks that fell due since the last write, besides.
    fn queue_stats(&self, now: Now) -> QueueStats {
        let mut depth = self.order.depth().clone();
        for number in self.order.unnoticed(now.at) {
            let Some(task) = self.queue.tasks.get(&number) else { continue };
            *depth.entry(task.priority).or_default() += 1;
        }
        let waiting = depth.values().sum();
        let first = self.queue.tasks.first().filter(|(number, _)| !number.is_delayed());
        let oldest = [first.map(|(_, task)| task.turn), self.order.first_due().filter(|due| *due <= now.at)];
        QueueStats {
            waiting,
            delayed: (self.queue.tasks.len() as u64).saturating_sub(waiting),
            running: self.order.running(),
            dead: self.queue.dead.len() as u64,
            drain: self.head.drain,
            oldest: oldest.into_iter().flatten().min().map(|turn| now.at.since(turn)),
            depth: depth.into_iter().rev().collect(),
        }
    }

    /// How many tasks wait or are delayed, and how many are dead.
    pub fn task_count(&self) -> (usize, usize) {
        (self.queue.tasks.len(), self.queue.dead.len())
    }

    /// How long until the next delayed task is due that nobody noticed so far.
    pub fn next_due(&self, now: Now) -> Option<Millis> {
        // Rounded up: a timer that fires a little early would find nothing.
        self.order.next_due().map(|(due, _)| due.since(now.at).plus(Millis(1)))
    }

    /// Lives of processes, oldest first, from the cursor (0 begins): at most `count` rows.
    pub fn list_processes(&self, now: Now, cursor: u64, count: usize) -> Page<Process<'_>> {
        let (mut rows, mut text) = (Vec::new(), 0);
        for (id, life) in self.lives.range(LifeId(cursor)..) {
            if rows.len() == count || text > Self::TEXT_PER_PAGE {
                return Page { next: Some(id.0), rows };
            }
            text += life.text_bytes();
            rows.push(Process {
                process: self.names.get(life.process),
                pid: life.pid,
                host: life.host.map(|host| self.names.get(host)),
                issues: self.held_by(*id).map_or(0, Held::len),
                attested: life.last_attested(),
                holder: self.holder(now, life),
            });
        }
        Page { next: None, rows }
    }

    /// Totals since the project's creation.
    pub fn totals(&self) -> Totals {
        self.head.totals
    }

    /// The figures now.
    pub fn stats(&self, now: Now) -> Stats {
        let mut issues = [0; Status::ALL.len()];
        for (count, status) in issues.iter_mut().zip(Status::ALL) {
            *count = self.index.count(*status);
        }
        Stats {
            created: self.head.created,
            last_token: self.head.last_token,
            issues,
            processes: self.index.processes() as u64,
            orphans: self.orphan_count(now),
            queue: self.queue_stats(now),
            totals: self.head.totals,
            wait: self.wait.durations(),
            hold: self.hold.durations(),
            detection: self.detection.durations(),
        }
    }

    /// The project's size in bytes: its texts as they are, its records and indexes as they are usually laid out.
    pub fn memory(&self) -> usize {
        let held = self.index.count(Status::Processing) as usize;
        let ended = self.issues.len().saturating_sub(held);
        size_of::<Self>()
            + self.index.texts()
            + self.issues.len() * (size_of::<Issue>() + 3 * size_of::<u64>())
            + ended * size_of::<crate::issue::Ended>()
            + self.lives.len() * size_of::<(LifeId, Life)>() * 3 / 2
            + self.names.len() * 80
            + self.log.memory()
            + (self.queue.tasks.len() + self.queue.dead.len()) * (size_of::<Task>() + 3 * size_of::<u64>())
            + self.queue.finished.len() * 2 * size_of::<Task>()
            + (self.index.memory() + self.order.memory()) * 3 / 2
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "in a test a panic is the report")]
mod tests {
    use super::*;
    use crate::{Checkout, Name, Text};

    #[test]
    fn memory_counts_each_text_wherever_it_stands_and_only_while_it_stands() {
        let now = Now::primary(Instant::from_micros(1_000_000));
        let mut project = Project::new(now.at);
        let title = "x".repeat(50_000);
        let mut checkout = Checkout::new(IssueNumber::try_from(1).unwrap(), Name::parse(b"w").unwrap());
        for number in 1..=1_000 {
            checkout.issue = IssueNumber::try_from(number).unwrap();
            checkout.title = (number == 500).then(|| Text::parse(title.as_bytes()).unwrap());
            project.checkout(now, &checkout).unwrap();
        }
        let with_text = project.memory();
        assert!((150_000..450_000).contains(&with_text), "{with_text}");
        checkout.issue = IssueNumber::try_from(500).unwrap();
        checkout.title = Some(Text::parse(b"short").unwrap());
        project.checkout(now, &checkout).unwrap();
        assert_eq!(with_text - project.memory(), 50_000 - "short".len());
    }

    #[test]
    fn a_list_is_cut_off_where_its_texts_grow_large_and_goes_on_from_there() {
        let now = Now::primary(Instant::from_micros(1_000_000));
        let mut project = Project::new(now.at);
        let title = "x".repeat(60_000);
        let mut checkout = Checkout::new(IssueNumber::try_from(1).unwrap(), Name::parse(b"w").unwrap());
        checkout.title = Some(Text::parse(title.as_bytes()).unwrap());
        for number in 1..=50 {
            checkout.issue = IssueNumber::try_from(number).unwrap();
            project.checkout(now, &checkout).unwrap();
        }
        let first = project.list(now, None, 0, 10_000);
        assert_eq!((first.rows.len(), first.next), (18, Some(19)));
        let (mut seen, mut cursor) = (first.rows.len(), first.next);
        while let Some(from) = cursor {
            let page = project.list(now, None, from, 10_000);
            seen += page.rows.len();
            cursor = page.next;
        }
        assert_eq!(seen, 50);
    }
}
