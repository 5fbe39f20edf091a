//! What the files say as what a project takes: lines of state, and leases of those who live.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use poppo::{Checkout, IssueNumber};
use poppo_core::{MovedPiece, Setting};
use serde::Serialize;
use serde_json::{Value, json};

use super::files::{COMMENT_TYPE, NOBODY, TASK_TYPES};
use super::lines;
use super::read::{Comment, Issue, Pending, Running, State, Unified};
use super::report::{ItemId, Report};
use super::world::World;

/// How much there is of what.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Counts {
    /// Issues of which a record is taken.
    pub(crate) issues: usize,
    /// Of them, those whose worker lives.
    pub(crate) held: usize,
    /// Of them, those whose worker is lost.
    pub(crate) orphans: usize,
    pub(crate) processed_issues: usize,
    /// Tasks that wait.
    pub(crate) tasks: usize,
    pub(crate) comments: usize,
    /// The issues that these comments are on.
    pub(crate) commented_issues: usize,
    /// Comments whose handling failed.
    pub(crate) failed_comments: usize,
    pub(crate) free_state: usize,
}

/// What is to be done.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    pub(crate) counts: Counts,
    /// Leases of those who live.
    pub(crate) holds: Vec<(Checkout, Vec<ItemId>)>,
    /// Lines of state, in the order in which they are to be merged.
    pub(crate) lines: Vec<String>,
    /// Comments that are to be offered again.
    pub(crate) again: Vec<Again>,
    pub(crate) unified: Vec<Unified>,
    /// How many ids of finished tasks are to be remembered.
    pub(crate) finished: u64,
}

/// A comment that is to be offered again, unless its issue was worked on since.
#[derive(Debug)]
pub(crate) struct Again {
    pub(crate) issue: IssueNumber,
    /// The token of the record that says that it failed.
    pub(crate) token: u64,
    pub(crate) line: String,
    pub(crate) item: ItemId,
}

/// Decides what becomes of everything, and reports it.
pub(crate) fn plan(state: State, world: &World, report: &mut Report, offers_again: bool) -> Plan {
    let State { issues, running, processed, comments, pending, labels, unified, .. } = state;
    let remembered = comments.iter().map(|comment| (comment.issue, comment.id.clone()));
    let types = |issue: IssueNumber| TASK_TYPES.iter().map(move |kind| (issue, format!("{issue}:{kind}")));
    let remembered = remembered.chain(processed.iter().flat_map(|(issue, _)| types(*issue))).collect();
    let behind = labels.iter().map(|(issue, _)| *issue).collect();
    let mut last: HashMap<IssueNumber, (String, ItemId)> = HashMap::new();
    for comment in &comments {
        last.insert(comment.issue, (comment.id.clone(), comment.item));
    }
    let mut planner = Planner {
        world,
        report,
        plan: Plan::default(),
        remembered,
        behind,
        waiting: HashSet::new(),
        last,
        offers_again,
    };
    planner.issues(issues, running);
    planner.labels(labels);
    pending.into_iter().for_each(|task| planner.pending(task));
    processed.into_iter().for_each(|(issue, item)| planner.processed(issue, item));
    planner.comments(comments);
    for Unified { namespace, items, .. } in &unified {
        for (name, item) in items {
            planner.report.becomes(*item, format!("{name} of the free state {namespace}"));
        }
    }
    planner.plan.counts.free_state = unified.iter().map(|unified| unified.values.len()).sum();
    planner.plan.unified = unified;
    planner.plan.counts.held = planner.plan.holds.len();
    planner.make_room();
    planner.plan
}

struct Planner<'p> {
    world: &'p World,
    report: &'p mut Report,
    plan: Plan,
    /// The ids that are to be known as finished.
    remembered: HashSet<(IssueNumber, String)>,
    /// Issues whose labels were asked for.
    behind: BTreeSet<IssueNumber>,
    /// The ids of tasks that wait, or are to be done once more when somebody repairs.
    waiting: HashSet<(IssueNumber, String)>,
    /// The comment on each issue that was queued last.
    last: HashMap<IssueNumber, (String, ItemId)>,
    offers_again: bool,
}

impl Planner<'_> {
    /// Adds a line for an entry. False where the project would not take it, which is reported.
    fn add(&mut self, item: ItemId, line: &Value) -> bool {
        let line = line.to_string();
        if let Err(bad) = MovedPiece::parse(&format!("{}\n{line}", lines::HEADER)) {
            self.report.reject(item, &bad.what());
            return false;
        }
        self.plan.lines.push(line);
        true
    }

    fn issues(&mut self, issues: Vec<Issue>, running: Vec<Running>) {
        let mut records: BTreeMap<IssueNumber, (Option<Issue>, Vec<Running>)> = BTreeMap::new();
        for issue in issues {
            let (record, _) = records.entry(issue.number).or_default();
            let older = match record {
                Some(there) if there.updated > issue.updated => issue.item,
                _ => match record.replace(issue) {
                    Some(older) => older.item,
                    None => continue,
                },
            };
            self.report.reject(older, "another entry says something newer of its issue");
        }
        for run in running {
            records.entry(run.issue).or_default().1.push(run);
        }
        for (number, (record, mut runs)) in records {
            runs.sort_by(|one, other| (one.started, &one.task).cmp(&(other.started, &other.task)));
            self.issue(number, record, runs);
        }
    }

    /// One issue: somebody who lives has it, somebody who is lost had it, or it ended.
    fn issue(&mut self, number: IssueNumber, record: Option<Issue>, runs: Vec<Running>) {
        let lives = |pid: Option<u32>, did| pid.is_some_and(|pid| self.world.lives(pid, Some(did)));
        let (alive, dead): (Vec<_>, Vec<_>) = runs.into_iter().partition(|run| lives(run.pid, run.started));
        let holds = record.as_ref().is_some_and(|record| record.outcome.is_none());
        let is_alive = record.as_ref().is_some_and(|record| holds && lives(record.pid, record.updated));
        let ended = record.as_ref().filter(|record| record.outcome.is_some()).map(|record| record.ended);
        let (stale, lost): (Vec<_>, Vec<_>) =
            dead.into_iter().partition(|run| ended.is_some_and(|ended| ended >= run.started));
        for run in stale {
            self.report.reject(run.item, &format!("issue {number} came to an end since"));
        }
        if is_alive || !alive.is_empty() {
            self.hold(number, record, alive);
            lost.into_iter().for_each(|run| self.lost_besides(run));
        } else if holds || !lost.is_empty() {
            self.lease(number, record, lost);
        } else if let Some(record) = record {
            self.ended(record);
        }
    }

    /// Somebody who lives has the issue.
    fn hold(&mut self, number: IssueNumber, record: Option<Issue>, alive: Vec<Running>) {
        let ended = record.as_ref().filter(|record| record.outcome.is_some()).map(|record| record.item);
        let mut record = record.filter(|record| record.outcome.is_none());
        let mut alive = alive.into_iter();
        let run = alive.next();
        let pid = run.as_ref().map_or(record.as_ref().and_then(|record| record.pid), |run| run.pid);
        let process = record.as_mut().and_then(|record| record.process.take());
        let process = process.unwrap_or_else(|| format!("{NOBODY}-{}", pid.unwrap_or_default()));
        let mut checkout = Checkout::new(number, process);
        (checkout.pid, checkout.host) = (pid, Some(self.world.host.clone()));
        checkout.ttl = Some(lines::TTL);
        checkout.task_type = record.as_mut().and_then(|record| record.task_type.take());
        checkout.task_type = checkout.task_type.or_else(|| run.as_ref().and_then(kind_of));
        checkout.title = record.as_mut().and_then(|record| record.title.take());
        checkout.title = checkout.title.or_else(|| run.as_ref().and_then(|run| run.title.clone()));
        let what = format!("issue {number} is held by {}: PID {} lives", checkout.process, pid.unwrap_or_default());
        let items: Vec<ItemId> =
            record.iter().map(|record| record.item).chain(run.iter().map(|run| run.item)).collect();
        items.iter().for_each(|item| self.report.becomes(*item, what.clone()));
        for other in alive {
            self.report.reject(other.item, &format!("issue {number} is held already, by {}", checkout.process));
        }
        if let Some(ended) = ended {
            self.report.reject(ended, &format!("issue {number} is worked on since"));
        }
        self.plan.counts.issues += 1;
        self.plan.holds.push((checkout, items));
    }

    /// Whoever had the issue is lost: a lease that comes as an orphan, for whoever repairs.
    fn lease(&mut self, number: IssueNumber, record: Option<Issue>, lost: Vec<Running>) {
        let ended = record.as_ref().filter(|record| record.outcome.is_some()).map(|record| record.item);
        let record = record.filter(|record| record.outcome.is_none());
        let mut lost = lost.into_iter();
        // What its process is called tells which of several it was about.
        let run = lost.next();
        let task = self.task_of(number, record.as_ref(), run.as_ref());
        let line = lines::lease(number, record.as_ref(), run.as_ref(), &task, &self.world.host, self.is_behind(number));
        let items: Vec<ItemId> =
            record.iter().map(|record| record.item).chain(run.iter().map(|run| run.item)).collect();
        let pid = run.as_ref().and_then(|run| run.pid).or(record.as_ref().and_then(|record| record.pid));
        let why = pid.map_or("it has no PID".to_owned(), |pid| format!("PID {pid} does not live here"));
        let what = format!("issue {number} is an orphan, for `poppo repair`: {why}");
        items.iter().for_each(|item| self.report.becomes(*item, what.clone()));
        if let Some(ended) = ended {
            self.report.reject(ended, &format!("issue {number} was worked on since"));
        }
        let is_taken = items.first().is_some_and(|item| self.add(*item, &line));
        if is_taken {
            self.waiting.insert((number, task.id));
            self.plan.counts.issues += 1;
            self.plan.counts.orphans += 1;
        } else {
            items.iter().skip(1).for_each(|item| self.report.reject(*item, "what else is there of it is of no use"));
        }
        lost.for_each(|run| self.lost_besides(run));
    }

    /// What was lost beside the run that the issue's lease is of: it waits again.
    fn lost_besides(&mut self, run: Running) {
        let task = self.task_of(run.issue, None, Some(&run));
        let key = (run.issue, task.id.clone());
        if self.waiting.contains(&key) {
            self.report.reject(run.item, &format!("{} is there already", task.id));
            return;
        }
        let line = lines::task(run.issue, &task, run.started, false);
        self.report.becomes(run.item, format!("{} waits again: it was lost", task.id));
        if self.add(run.item, &line) {
            self.waiting.insert(key);
            self.plan.counts.tasks += 1;
        }
    }

    /// The task that somebody was at.
    fn task_of(&self, number: IssueNumber, record: Option<&Issue>, run: Option<&Running>) -> lines::Task {
        let named = record.and_then(|record| comment_in(record.process.as_deref()?, number));
        let comment = run.and_then(|run| run.comment.clone()).or(named);
        let title = run.and_then(|run| run.title.clone()).or_else(|| record.and_then(|record| record.title.clone()));
        let is_known = |id: &str| self.remembered.contains(&(number, id.to_owned()));
        match comment {
            Some(id) => lines::Task {
                payload: Some(lines::about(number, &id)),
                title,
                is_again: is_known(&id),
                ..lines::Task::new(id, COMMENT_TYPE)
            },
            None => {
                let kind = run.and_then(kind_of).filter(|kind| TASK_TYPES.contains(&kind.as_str()));
                let kind = kind.as_deref().or(TASK_TYPES.first().copied()).unwrap_or_default();
                let id = format!("{number}:{kind}");
                lines::Task { title, is_again: is_known(&id), ..lines::Task::new(id, kind) }
            }
        }
    }

    fn is_behind(&self, number: IssueNumber) -> bool {
        self.behind.contains(&number)
    }

    /// Nobody has the issue any more.
    fn ended(&mut self, record: Issue) {
        let (number, item) = (record.number, record.item);
        let Some(outcome) = record.outcome else { return };
        let line = lines::ended(&record, outcome, self.is_behind(number));
        self.report.becomes(item, format!("issue {number}: {outcome}"));
        if self.add(item, &line) {
            self.plan.counts.issues += 1;
            if record.has_failed && record.task_type.as_deref() == Some(COMMENT_TYPE) {
                self.failed(&record);
            }
        }
    }

    /// The handling of a comment failed: the one that its process is called by, else the last that was queued.
    fn failed(&mut self, record: &Issue) {
        let number = record.number;
        let Some((last, item)) = self.last.get(&number).cloned() else { return };
        let named = record.process.as_deref().and_then(|process| comment_in(process, number));
        if named.is_some_and(|named| named != last) {
            return;
        }
        self.plan.counts.failed_comments += 1;
        if !self.offers_again {
            return;
        }
        let payload = Some(lines::about(number, &last));
        let task = lines::Task { payload, title: record.title.clone(), ..lines::Task::new(last, COMMENT_TYPE) };
        let line = lines::task(number, &task, record.ended, true).to_string();
        self.plan.again.push(Again { issue: number, token: lines::token(record.updated, number), line, item });
    }

    fn labels(&mut self, labels: Vec<(IssueNumber, ItemId)>) {
        let known: HashSet<String> = self.plan.lines.iter().filter_map(|line| lines::issue_of(line)).collect();
        for (issue, item) in labels {
            let is_held = self.plan.holds.iter().any(|(checkout, _)| checkout.issue == issue);
            if is_held || known.contains(&issue.to_string()) {
                self.report.becomes(item, format!("issue {issue}'s labels are to be confirmed"));
            } else {
                self.report
                    .reject(item, &format!("of issue {issue} nothing else is known, so it has no label of Poppo's"));
            }
        }
    }

    fn pending(&mut self, task: Pending) {
        let Pending { item, issue, id, kind, priority, attempts, since, title, payload } = task;
        if self.waiting.contains(&(issue, id.clone())) {
            self.report.reject(item, &format!("{id} is there already, since it was lost"));
            return;
        }
        let task = lines::Task { priority, attempts, title, payload, ..lines::Task::new(id.clone(), &kind) };
        self.report.becomes(item, format!("{id} waits"));
        if self.add(item, &lines::task(issue, &task, since, false)) {
            self.plan.counts.tasks += 1;
            self.waiting.insert((issue, id));
        }
    }

    fn processed(&mut self, issue: IssueNumber, item: ItemId) {
        self.report.becomes(item, format!("issue {issue} is not offered again"));
        for kind in TASK_TYPES {
            self.remember(item, issue, &format!("{issue}:{kind}"));
        }
        self.plan.counts.processed_issues += 1;
    }

    fn comments(&mut self, comments: Vec<Comment>) {
        let mut issues = BTreeSet::new();
        let again: HashSet<ItemId> = self.plan.again.iter().map(|again| again.item).collect();
        for Comment { item, issue, id } in comments {
            let what = match () {
                () if again.contains(&item) => format!("{id} is offered again: its handling failed"),
                () if self.waiting.contains(&(issue, id.clone())) => {
                    format!("{id} is not offered again, since it waits")
                }
                () => format!("{id} is not offered again"),
            };
            self.report.becomes(item, what);
            if self.remember(item, issue, &id) {
                self.plan.counts.comments += 1;
                issues.insert(issue);
            }
        }
        self.plan.counts.commented_issues = issues.len();
    }

    fn remember(&mut self, item: ItemId, issue: IssueNumber, id: &str) -> bool {
        let is_again = self.waiting.contains(&(issue, id.to_owned()));
        let is_taken = self.add(item, &lines::finished(issue, id, is_again));
        self.plan.finished += u64::from(is_taken);
        is_taken
    }

    /// A project remembers so many ids, and forgets the oldest: more are to be remembered where that would be soon.
    fn make_room(&mut self) {
        let (usual, (_, most)) = (Setting::FinishedKept.default_value(), Setting::FinishedKept.range());
        if self.plan.finished > usual / 2 {
            let kept = (self.plan.finished * 2).min(most);
            let line = json!({ "project": { "settings": { Setting::FinishedKept.name(): kept } } });
            self.plan.lines.insert(0, line.to_string());
        }
    }
}

/// The type of the task that ran.
fn kind_of(run: &Running) -> Option<String> {
    if run.comment.is_some() { Some(COMMENT_TYPE.to_owned()) } else { run.kind.clone() }
}

/// The comment that a process is called by: `comment-98-IC_…`.
fn comment_in(process: &str, number: IssueNumber) -> Option<String> {
    let comment = process.strip_prefix("comment-")?.strip_prefix(&number.to_string())?.strip_prefix('-')?;
    (!comment.is_empty()).then(|| super::files::comment_task(comment))
}
