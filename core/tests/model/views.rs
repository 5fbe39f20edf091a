//! What can be seen of a project, as values of their own, and the comparison of everything that can be seen.

use poppo_core::{
    Assignment, Checkin, Claim, Durations, EndedBy, Event, EventKind, Evict, Holder, Instant, IssueNumber, Judge,
    Millis, Name, Now, Orphan, OrphanReason, Outcome, Page, Pid, Priority, Process, Project, Record, Setting, Status,
    Tasks, Token,
};

use super::Model;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct IssueView {
    pub(crate) issue: IssueNumber,
    pub(crate) status: Status,
    pub(crate) token: Token,
    pub(crate) process: String,
    pub(crate) pid: Option<Pid>,
    pub(crate) host: Option<String>,
    pub(crate) kind: Option<String>,
    pub(crate) title: Option<String>,
    pub(crate) started: Instant,
    pub(crate) completed: Option<Instant>,
    pub(crate) run: RunView,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum RunView {
    Held { holder: HolderView, task: Option<Box<TaskView>>, asked: Option<(Instant, Option<String>)> },
    Ended { at: Instant, by: EndedBy, reason: Option<String>, result: Option<String>, metadata: Vec<(String, String)> },
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TaskView {
    pub(crate) id: String,
    pub(crate) issue: IssueNumber,
    pub(crate) kind: String,
    pub(crate) priority: Priority,
    pub(crate) title: Option<String>,
    pub(crate) payload: Option<String>,
    pub(crate) attempts: u16,
    pub(crate) orphans: u16,
    pub(crate) state: TaskState,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum TaskState {
    Waiting { since: Instant, held: bool },
    Delayed { due: Instant },
    Running,
    Dead { at: Instant, reason: Option<String> },
}

impl From<poppo_core::TaskView<'_>> for TaskView {
    fn from(task: poppo_core::TaskView<'_>) -> Self {
        Self {
            id: task.id.to_owned(),
            issue: task.issue,
            kind: task.kind.to_owned(),
            priority: task.priority,
            title: owned(task.title),
            payload: owned(task.payload),
            attempts: task.attempts,
            orphans: task.orphans,
            state: match task.state {
                poppo_core::TaskState::Waiting { since, held } => TaskState::Waiting { since, held },
                poppo_core::TaskState::Delayed { due } => TaskState::Delayed { due },
                poppo_core::TaskState::Running => TaskState::Running,
                poppo_core::TaskState::Dead { at, reason } => TaskState::Dead { at, reason: owned(reason) },
            },
        }
    }
}

/// What a claim is answered with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ClaimView {
    pub(crate) issue: IssueNumber,
    pub(crate) token: Token,
    pub(crate) task: String,
    pub(crate) kind: String,
    pub(crate) title: Option<String>,
    pub(crate) payload: Option<String>,
    pub(crate) attempts: u16,
    pub(crate) waited: Millis,
}

impl From<Assignment<'_>> for ClaimView {
    fn from(claimed: Assignment<'_>) -> Self {
        Self {
            issue: claimed.issue,
            token: claimed.token,
            task: claimed.task.to_owned(),
            kind: claimed.kind.to_owned(),
            title: owned(claimed.title),
            payload: owned(claimed.payload),
            attempts: claimed.attempts,
            waited: claimed.waited,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HolderView {
    pub(crate) incarnation: Option<String>,
    pub(crate) tmux: Option<String>,
    pub(crate) last_seen: Instant,
    pub(crate) ttl: Millis,
    pub(crate) progress: Option<(String, Instant)>,
    pub(crate) orphan: Option<(OrphanReason, Instant)>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ProcessView {
    pub(crate) process: String,
    pub(crate) pid: Option<Pid>,
    pub(crate) host: Option<String>,
    pub(crate) issues: usize,
    pub(crate) holder: HolderView,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OrphanView {
    pub(crate) issue: IssueNumber,
    pub(crate) token: Token,
    pub(crate) process: String,
    pub(crate) pid: Option<Pid>,
    pub(crate) host: Option<String>,
    pub(crate) kind: Option<String>,
    pub(crate) reason: OrphanReason,
    pub(crate) since: Instant,
    pub(crate) last_seen: Instant,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct EventView {
    pub(crate) id: u64,
    pub(crate) what: EventKind,
    pub(crate) issue: IssueNumber,
    pub(crate) process: Option<String>,
    pub(crate) token: Option<Token>,
    pub(crate) task: Option<String>,
    pub(crate) status: Option<Status>,
    pub(crate) from: Option<Status>,
    pub(crate) kind: Option<String>,
    pub(crate) reason: Option<String>,
    pub(crate) at: Instant,
}

impl From<Event<'_>> for EventView {
    fn from(event: Event<'_>) -> Self {
        Self {
            id: event.id,
            what: event.what,
            issue: event.issue,
            process: owned(event.process),
            token: event.token,
            task: owned(event.task),
            status: event.status,
            from: event.from,
            kind: owned(event.kind),
            reason: owned(event.reason),
            at: event.at,
        }
    }
}

fn owned(text: Option<&str>) -> Option<String> {
    text.map(str::to_owned)
}

impl From<Holder<'_>> for HolderView {
    fn from(holder: Holder<'_>) -> Self {
        Self {
            incarnation: owned(holder.incarnation),
            tmux: owned(holder.tmux),
            last_seen: holder.last_seen,
            ttl: holder.ttl,
            progress: holder.progress.map(|(text, at)| (text.to_owned(), at)),
            orphan: holder.orphan,
        }
    }
}

impl From<Record<'_>> for IssueView {
    fn from(record: Record<'_>) -> Self {
        let run = match record.run {
            poppo_core::RunView::Held { holder, task, asked } => RunView::Held {
                holder: holder.into(),
                task: task.map(|task| Box::new(task.into())),
                asked: asked.map(|(at, reason)| (at, owned(reason))),
            },
            poppo_core::RunView::Ended { at, by, reason, result, metadata } => {
                assert_eq!(metadata.len(), metadata.iter().count());
                assert_eq!(metadata.is_empty(), metadata.iter().next().is_none());
                let metadata = metadata.iter().map(|(field, value)| (field.to_owned(), value.to_owned())).collect();
                RunView::Ended { at, by, reason: owned(reason), result: owned(result), metadata }
            }
        };
        Self {
            issue: record.issue,
            status: record.status,
            token: record.token,
            process: record.process.to_owned(),
            pid: record.pid,
            host: owned(record.host),
            kind: owned(record.kind),
            title: owned(record.title),
            started: record.started,
            completed: record.completed,
            run,
        }
    }
}

impl From<Process<'_>> for ProcessView {
    fn from(process: Process<'_>) -> Self {
        Self {
            process: process.process.to_owned(),
            pid: process.pid,
            host: owned(process.host),
            issues: process.issues,
            holder: process.holder.into(),
        }
    }
}

impl From<Orphan<'_>> for OrphanView {
    fn from(orphan: Orphan<'_>) -> Self {
        Self {
            issue: orphan.issue,
            token: orphan.token,
            process: orphan.process.to_owned(),
            pid: orphan.pid,
            host: owned(orphan.host),
            kind: owned(orphan.kind),
            reason: orphan.reason,
            since: orphan.since,
            last_seen: orphan.last_seen,
        }
    }
}

/// The bytes of a project.
pub(crate) fn bytes(project: &Project) -> Vec<Vec<u8>> {
    project.pieces().collect()
}

/// A project from its bytes. The same comes from its document.
pub(crate) fn load(pieces: &[Vec<u8>]) -> Result<Project, poppo_core::Corrupt> {
    let (head, rest) = pieces.split_first().expect("a project has a head");
    let mut project = Project::load(head)?;
    for piece in rest {
        project.load_next(piece)?;
    }
    let document = serde_json::to_value(&project).expect("a document has no keys but texts");
    let read = Project::from_document(&document).expect("what was written can be read");
    assert_eq!(bytes(&read), bytes(&project), "the document's project (left) is not the project (right)");
    Ok(project)
}

/// Follows a list's cursors from 0 to the end.
pub(crate) fn walk<T>(count: usize, mut page: impl FnMut(u64) -> Page<T>) -> Vec<T> {
    let mut rows = Vec::new();
    let mut cursor = 0;
    loop {
        let page = page(cursor);
        assert!(page.rows.len() <= count, "COUNT is how many rows a call answers at most");
        rows.extend(page.rows);
        let Some(next) = page.next else { return rows };
        assert!(next > cursor, "a cursor goes on");
        cursor = next;
    }
}

/// Follows a list of tasks from 0 to the end. Its cursors need not rise, but none comes twice.
fn walk_tasks(project: &Project, now: Now, which: Tasks, count: usize) -> Vec<TaskView> {
    let (mut rows, mut cursor, mut seen) = (Vec::new(), 0, Vec::new());
    loop {
        let page = project.list_tasks(now, which, cursor, count);
        assert!(page.rows.len() <= count, "COUNT is how many rows a call answers at most");
        rows.extend(page.rows.into_iter().map(TaskView::from));
        let Some(next) = page.next else { return rows };
        assert!(next > 0 && !seen.contains(&next), "a cursor goes on");
        seen.push(next);
        cursor = next;
    }
}

/// Everything that can be seen of a project, without a second opinion.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sight {
    pub(crate) issues: Vec<IssueView>,
    pub(crate) waiting: Vec<TaskView>,
    pub(crate) delayed: Vec<TaskView>,
    pub(crate) dead: Vec<TaskView>,
    /// How many tasks of each issue wait and are dead.
    pub(crate) counts: Vec<(IssueNumber, (u64, u64))>,
    pub(crate) processes: Vec<ProcessView>,
    pub(crate) orphans: Vec<OrphanView>,
    pub(crate) stats: poppo_core::Stats,
    pub(crate) settings: poppo_core::Settings,
    pub(crate) last_event: u64,
    pub(crate) trimmed: Option<u64>,
    pub(crate) events: Vec<EventView>,
    /// Those that are in memory still, too.
    pub(crate) emitted: Vec<EventView>,
    pub(crate) unlabelled: Vec<(IssueNumber, Status, u64)>,
}

impl Sight {
    /// The same after a restart, which takes note anew of which delayed tasks are due: that shows only in how many
    /// of all tasks `STATS` counts as waiting, and only where the clock stepped back.
    pub(crate) fn without_what_was_noticed(mut self) -> Self {
        let queue = &mut self.stats.queue;
        (queue.waiting, queue.delayed) = (0, queue.waiting + queue.delayed);
        queue.depth.clear();
        self
    }
}

/// Looks at everything, each thing in as many ways as there are.
pub(crate) fn look(project: &Project, now: Now, count: usize) -> Sight {
    let issues: Vec<IssueView> =
        walk(count, |cursor| project.list(now, None, cursor, count)).into_iter().map(IssueView::from).collect();
    for view in &issues {
        let got = project.get(now, view.issue).map(IssueView::from);
        assert_eq!(got.as_ref(), Some(view), "GET and LIST agree");
    }
    for status in Status::ALL {
        let listed: Vec<_> = walk(count, |cursor| project.list(now, Some(*status), cursor, count))
            .into_iter()
            .map(|record| record.issue)
            .collect();
        let expected: Vec<_> = issues.iter().filter(|view| view.status == *status).map(|view| view.issue).collect();
        assert_eq!(listed, expected, "LIST STATUS is a filter of LIST");
    }
    let processes: Vec<ProcessView> =
        walk(count, |cursor| project.list_processes(now, cursor, count)).into_iter().map(ProcessView::from).collect();
    let orphans: Vec<OrphanView> = project.orphans(now, None).map(OrphanView::from).collect();
    assert_eq!(project.orphan_count(now), orphans.len() as u64, "orphans are counted as they are listed");
    let by_life: Vec<OrphanView> = project
        .orphaned_life_numbers(now)
        .flat_map(|(life, since)| {
            let leases: Vec<_> = project.orphans_of(life, None, now).map(OrphanView::from).collect();
            for (n, lease) in leases.iter().enumerate() {
                assert_eq!(lease.since, since);
                let behind: Vec<_> = project.orphans_of(life, Some(lease.issue), now).map(OrphanView::from).collect();
                assert_eq!(behind, leases[n + 1..], "those behind an issue");
            }
            leases
        })
        .collect();
    assert_eq!(by_life, orphans, "the orphans life by life");
    let mut hosts: Vec<_> = processes.iter().filter_map(|process| process.host.clone()).collect();
    hosts.sort();
    hosts.dedup();
    hosts.push("nowhere".to_owned());
    for host in hosts {
        let there: Vec<OrphanView> =
            project.orphans(now, Some(Name::parse(host.as_bytes()).expect("a name"))).map(OrphanView::from).collect();
        let expected: Vec<_> = orphans.iter().filter(|orphan| orphan.host.as_deref() == Some(&host)).cloned().collect();
        assert_eq!(there, expected, "ORPHANS HOST is a filter of ORPHANS");
    }
    let stats = project.stats(now);
    assert!(issues.iter().all(|view| Some(view.token) <= stats.last_token), "no token is above the last one");
    let held: usize = processes.iter().map(|process| process.issues).sum();
    assert_eq!(held as u64, stats.issues[Status::Processing as usize], "what is held has one holder");
    assert_eq!(project.issue_count(), issues.len());
    assert_eq!(project.leases(), stats.issues[Status::Processing as usize]);
    assert!(project.memory() > 0);
    let _ = project.free_effort();
    let [waiting, delayed, dead] =
        [Tasks::Waiting, Tasks::Delayed, Tasks::Dead].map(|which| walk_tasks(project, now, which, count));
    assert_eq!(project.task_count(), (waiting.len() + delayed.len(), dead.len()));
    let queue = &stats.queue;
    assert_eq!(queue.waiting + queue.delayed, (waiting.len() + delayed.len()) as u64);
    assert_eq!(queue.depth.iter().map(|(_, count)| count).sum::<u64>(), queue.waiting);
    assert_eq!(queue.dead, dead.len() as u64);
    let ran = issues.iter().filter(|view| matches!(view.run, RunView::Held { task: Some(_), .. }));
    assert_eq!(queue.running, ran.count() as u64);
    let mut numbers: Vec<IssueNumber> = issues.iter().map(|view| view.issue).collect();
    numbers.extend(waiting.iter().chain(&delayed).chain(&dead).map(|task| task.issue));
    numbers.sort();
    numbers.dedup();
    let counts = numbers.into_iter().map(|issue| (issue, project.task_counts(issue))).collect();
    let last_event = project.last_event();
    let all = project.events(0);
    let trimmed = all.trimmed;
    let events: Vec<EventView> = all.events.map(EventView::from).collect();
    for after in [1, last_event / 2, last_event.saturating_sub(1), last_event, last_event + 1, u64::MAX] {
        let some = project.events(after);
        assert_eq!(some.trimmed, trimmed.filter(|trimmed| after < *trimmed), "EVENTS AFTER {after}");
        let expected: Vec<_> = events.iter().filter(|event| event.id > after).cloned().collect();
        assert_eq!(some.events.map(EventView::from).collect::<Vec<_>>(), expected, "EVENTS AFTER {after}");
    }
    let emitted: Vec<EventView> = project.emitted(0).map(EventView::from).collect();
    let newest: Vec<EventView> = project.emitted(last_event.saturating_sub(1)).map(EventView::from).collect();
    // A log whose newest entries were lost to damage ends before the newest event.
    assert_eq!(emitted.last().filter(|event| event.id == last_event), newest.last());
    let unlabelled: Vec<_> = project.unlabelled().map(|it| (it.issue, it.status, it.version)).collect();
    assert_eq!(project.has_unlabelled(), !unlabelled.is_empty());
    Sight {
        issues,
        waiting,
        delayed,
        dead,
        counts,
        processes,
        orphans,
        stats,
        settings: project.settings().clone(),
        last_event,
        trimmed,
        events,
        emitted,
        unlabelled,
    }
}

/// The project is what the model says, in everything that can be seen.
pub(crate) fn compare(project: &Project, model: &Model, now: Now, count: usize) {
    let seen = look(project, now, count);
    assert_eq!(seen.issues, model.list(now), "LIST");
    assert_eq!((seen.waiting, seen.delayed), model.list_queue(now.at), "LIST QUEUE and DELAYED");
    assert_eq!(seen.dead, model.list_dead(), "LIST DEAD");
    for (issue, counts) in seen.counts {
        assert_eq!(counts, model.task_counts(issue), "GET counts the tasks of {issue}");
    }
    assert_eq!(seen.stats.queue, model.queue_stats(now.at), "STATS of the queue");
    assert_eq!(project.next_due(now), model.next_due(now), "next_due");
    assert_eq!(seen.processes, model.list_processes(now), "LIST PROCESSES");
    assert_eq!(seen.orphans, model.orphans(now), "ORPHANS");
    for setting in Setting::ALL {
        assert_eq!(seen.settings.get(*setting), model.setting(*setting), "CONFIG GET {}", setting.name());
    }
    let stats = seen.stats;
    assert_eq!(stats.created, model.created);
    assert_eq!(stats.last_token, model.last_token);
    for status in Status::ALL {
        let count = seen.issues.iter().filter(|issue| issue.status == *status).count();
        assert_eq!(stats.issues[*status as usize], count as u64, "STATS counts {status}");
    }
    assert_eq!(stats.processes, model.current_lives(), "STATS counts names, however many lives they had");
    assert_eq!(stats.orphans, seen.orphans.len() as u64);
    assert_eq!(stats.totals, model.totals);
    assert_eq!(seen.last_event, model.last_event);
    assert_eq!((seen.trimmed, seen.events), model.events(0), "EVENTS");
    assert_eq!(seen.emitted, model.log, "what is in memory of the log");
    assert_eq!(seen.unlabelled, model.unlabelled(), "LABELS");
    compare_deadline(project, model, now);
    compare_durations("wait", stats.wait, &model.wait);
    compare_durations("hold", stats.hold, &model.hold);
    compare_durations("detection", stats.detection, &model.detection);
}

/// Who sleeps as long as the project says, again and again, wakes when silence makes the next orphan: not earlier than
/// needed more often than there are lives, and not more than a millisecond late.
fn compare_deadline(project: &Project, model: &Model, now: Now) {
    let expected = model.next_silence(now);
    let mut then = now;
    let mut slept = 0;
    for _ in 0..=model.lives.len() {
        let Some(Millis(wait)) = project.next_deadline(then) else {
            assert_eq!(expected, None, "next_deadline after {slept} ms");
            return;
        };
        assert!(wait > 0, "a deadline that never comes to rest");
        slept += wait;
        then.at = then.at.plus(Millis(wait));
        if let Judge::Primary { uptime, .. } = &mut then.judge {
            *uptime = uptime.plus(Millis(wait));
        }
        let expected = expected.expect("next_deadline: nobody becomes an orphan by silence alone");
        if slept * 1000 >= expected {
            assert!(slept * 1000 <= expected + 1000, "next_deadline: woke after {slept} ms, not {expected} us");
            return;
        }
    }
    panic!("next_deadline: still asleep after {slept} ms, expected {expected:?} us");
}

fn compare_durations(what: &str, seen: Durations, expected: &[u64]) {
    assert_eq!(seen.count, expected.len() as u64, "{what}");
    let mut sorted = expected.to_vec();
    sorted.sort_unstable();
    let sum: u64 = sorted.iter().sum();
    let mean = if sorted.is_empty() { 0 } else { sum / seen.count };
    assert!((mean..=mean + 1).contains(&seen.mean.0), "{what}: mean {} is not {mean}", seen.mean.0);
    assert_eq!(seen.sum.0, sum, "{what}");
    let mut shorter = 0;
    for (bound, count) in Durations::BOUNDS.iter().zip(seen.buckets) {
        shorter += count;
        assert_eq!(shorter, sorted.partition_point(|value| *value < bound.0) as u64, "{what}: below {} ms", bound.0);
    }
    for (share, Millis(seen)) in [(50, seen.p50), (99, seen.p99)] {
        let rank = (sorted.len() * share).div_ceil(100);
        let exact = rank.checked_sub(1).map_or(0, |index| sorted[index]);
        let off = seen.abs_diff(exact);
        assert!(off * 8 <= exact.max(seen), "{what}: p{share} {seen} is too far from {exact}");
    }
}

/// Claims all that can be claimed: by the project, by the same project after a restart, and by the model. All of them
/// give the same tasks in the same order. The memory of the texts and names is what a restart counts, too.
pub(crate) fn compare_claims(project: &Project, model: &Model, now: Now) {
    let (mut project, mut model) = (project.clone(), model.clone());
    let mut loaded = load(&bytes(&project)).expect("what was written can be read");
    let mut again = model.clone();
    again.forget_what_was_noticed();
    let claim = Claim::new(Name::parse(b"claims-all").expect("a name"));
    loop {
        let command = super::Command::Claim(claim);
        let expected = model.apply(now, &command);
        assert_eq!(super::apply(&mut project, now, &command), expected, "who is next");
        if expected.is_ok_and(|answer| !answer.changed()) {
            break;
        }
    }
    loop {
        let command = super::Command::Claim(claim);
        let expected = again.apply(now, &command);
        assert_eq!(super::apply(&mut loaded, now, &command), expected, "who is next after a restart");
        if expected.is_ok_and(|answer| !answer.changed()) {
            break;
        }
    }
}

/// What a project's records take is what they take when they are read anew: nothing is counted that is gone.
pub(crate) fn compare_memory(project: &Project) {
    let mut project = project.clone();
    let mut loaded = load(&bytes(&project)).expect("what was written can be read");
    let end = Now::primary(Instant::from_micros(u64::MAX));
    for project in [&mut project, &mut loaded] {
        // What is delayed takes another room than what waits: at the end of time nothing is delayed.
        project.configure(end, &[(Setting::MaxRunning, 0), (Setting::ProcessKept, 31_536_000_000)]);
        project.drain(end, false);
        assert!(!project.has_task_for(end, &[Name::parse(b"no-such-type").expect("a name")]));
    }
    assert_eq!(project.memory(), loaded.memory());
    assert_eq!(project.free_effort(), loaded.free_effort());
}

/// At the end of time, when nothing is delayed any more, a project gives the same tasks as after a restart, each once,
/// and leaves none.
pub(crate) fn claims_alike(project: &Project) {
    let end = Now::primary(Instant::from_micros(u64::MAX));
    let loaded = load(&bytes(project)).expect("what was written can be read");
    let [claimed, again] = [project.clone(), loaded].map(|mut project| {
        project.configure(end, &[(Setting::MaxRunning, 0)]);
        project.drain(end, false);
        // Whoever holds anything lets it go, so that nothing is in the way of the tasks.
        let held = walk(100, |cursor| project.list(end, Some(Status::Processing), cursor, 100));
        let held: Vec<IssueNumber> = held.iter().map(|record| record.issue).collect();
        for issue in held {
            let _ = project.evict(end, &Evict { issue, token: None, requeue: false, reason: None });
        }
        let waiting = project.task_count().0;
        let claim = Claim::new(Name::parse(b"claims-all").expect("a name"));
        let mut claimed = Vec::new();
        for _ in 0..waiting {
            let issue = project.claim(end, &claim).expect("nobody is attested").expect("a task waits").issue;
            claimed.push(project.claimed(issue).expect("it was claimed").task.to_owned());
            let done = Checkin::new(issue, claim.process, Outcome::Cancelled);
            project.checkin(end, &done).expect("it is held");
        }
        assert_eq!(project.task_count().0, 0, "a task that nobody gets");
        assert_eq!(project.stats(end).queue.depth, []);
        claimed
    });
    assert_eq!(claimed, again, "who is next after a restart");
}
