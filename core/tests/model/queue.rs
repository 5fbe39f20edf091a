//! The naive queue: one vector of tasks, searched from end to end by whoever wants one.

use poppo_core::{
    Cancelled, Checkin, Checkout, Claim, Effect, EndedBy, Enqueue, EventKind, Instant, IssueNumber, Millis, Next, Now,
    Outcome, Priority, Refusal, Setting, Status, Text, Token,
};

use super::histories::lasting;
use super::views::{ClaimView, EventView, TaskState, TaskView};
use super::{Answer, Issue, Model, NOTICED_BY_A_CLAIM, Run, default_id, name, text};

#[derive(Debug, Clone)]
pub(crate) struct Task {
    pub(crate) id: String,
    pub(crate) issue: IssueNumber,
    pub(crate) kind: String,
    pub(crate) priority: Priority,
    pub(crate) attempts: u16,
    pub(crate) orphans: u16,
    pub(crate) title: Option<String>,
    pub(crate) payload: Option<String>,
    /// Since when it waits, or when it is due.
    pub(crate) turn: Instant,
    /// Which of all tasks that ever waited it is.
    pub(crate) nth: u64,
    pub(crate) delayed: bool,
    /// A delayed one waits from when a write or a claim saw it due, and goes on to where the clock steps back. A
    /// restart forgets that, and so does a command that panics and is taken back. Nothing else depends on it.
    pub(crate) noticed: bool,
}

impl Task {
    pub(crate) fn view(&self, state: TaskState) -> TaskView {
        TaskView {
            id: self.id.clone(),
            issue: self.issue,
            kind: self.kind.clone(),
            priority: self.priority,
            title: self.title.clone(),
            payload: self.payload.clone(),
            attempts: self.attempts,
            orphans: self.orphans,
            state,
        }
    }

    /// The order of `LIST`: those that were delayed once come behind the others, and all in the order of their arrival.
    fn row(&self) -> (bool, u64) {
        (self.delayed, self.nth)
    }
}

#[derive(Debug, Clone)]
pub(crate) struct Dead {
    pub(crate) nth: u64,
    pub(crate) task: Task,
    pub(crate) at: Instant,
    pub(crate) reason: Option<String>,
}

/// What the end of a lease means for its task.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Disposal {
    Finish,
    Drop,
    Fail(Option<Millis>),
    Lose { requeue: bool },
}

/// What becomes of it.
pub(crate) enum Fate {
    Nothing,
    Finished(Task),
    Dropped(Task),
    Dies(Task),
    Retried(Task, Millis),
    Requeued(Task),
}

impl Fate {
    pub(crate) fn task(&self) -> Option<&Task> {
        match self {
            Self::Nothing => None,
            Self::Finished(task)
            | Self::Dropped(task)
            | Self::Dies(task)
            | Self::Retried(task, _)
            | Self::Requeued(task) => Some(task),
        }
    }
}

impl Model {
    fn meet(&mut self, what: &'static str) {
        *self.met.entry(what).or_default() += 1;
    }

    /// What an issue is: queued, where it was never checked out and has tasks that wait.
    pub(crate) fn status_of(&self, number: IssueNumber) -> Option<Status> {
        let waits = self.tasks.iter().any(|task| task.issue == number);
        self.issue(number).map(Issue::status).or(waits.then_some(Status::Queued))
    }

    pub(crate) fn is_held(&self, number: IssueNumber) -> bool {
        self.status_of(number) == Some(Status::Processing)
    }

    pub(crate) fn is_held_as(&self, number: IssueNumber, token: Token) -> bool {
        self.is_held(number) && self.issue(number).is_some_and(|issue| issue.token == token)
    }

    /// The ids of all tasks, wherever they are, those of finished ones too.
    pub(crate) fn task_ids(&self) -> Vec<(IssueNumber, String)> {
        let running = self.issues.iter().filter_map(Issue::task);
        let tasks = self.tasks.iter().chain(running).chain(self.dead.iter().map(|dead| &dead.task));
        tasks.map(|task| (task.issue, task.id.clone())).chain(self.finished.iter().cloned()).collect()
    }

    /// The check-in that ended an issue's last lease, if it can be repeated.
    pub(crate) fn done(&self, issue: &Issue) -> Option<(IssueNumber, Token, String, Outcome)> {
        match &issue.run {
            Run::Ended { by: EndedBy::Checkin, outcome, process, .. } => {
                Some((issue.number, issue.token, process.clone(), *outcome))
            }
            Run::Held { follows: Some((token, outcome)), .. } => {
                Some((issue.number, *token, self.holder(issue)?.process.clone(), *outcome))
            }
            _ => None,
        }
    }

    /// The issue of the task of this id, wherever the task is.
    fn issue_of(&self, id: &str) -> Option<IssueNumber> {
        let running = self.issues.iter().filter_map(Issue::task);
        let dead = self.dead.iter().map(|dead| &dead.task);
        self.tasks.iter().chain(running).chain(dead).find(|task| task.id == id).map(|task| task.issue)
    }

    /// Takes an issue's task of this id out of the queue.
    pub(crate) fn take(&mut self, id: &str, issue: IssueNumber) -> Option<Task> {
        let place = self.tasks.iter().position(|task| task.id == id && task.issue == issue)?;
        Some(self.tasks.remove(place))
    }

    fn take_dead(&mut self, id: &str) -> Option<Task> {
        let place = self.dead.iter().position(|dead| dead.task.id == id)?;
        Some(self.dead.remove(place).task)
    }

    fn begin_to_wait(&mut self, at: Instant, task: Task, delay: Millis) {
        self.waits += 1;
        let delayed = delay.0 > 0;
        // Behind those that wait, whatever the clock says.
        let waiting = self.tasks.iter().filter(|task| !task.delayed).map(|task| task.turn);
        let turn = if delayed { at.plus(delay) } else { waiting.max().map_or(at, |last| last.max(at)) };
        self.tasks.push(Task { turn, nth: self.waits, delayed, noticed: false, ..task });
    }

    /// Takes note of delayed tasks that are due, of at most so many. Answers whether there were any.
    pub(crate) fn notice(&mut self, at: Instant, most: usize) -> bool {
        let mut due: Vec<&mut Task> =
            self.tasks.iter_mut().filter(|task| task.delayed && !task.noticed && task.turn <= at).collect();
        due.sort_by_key(|task| (task.turn, task.nth));
        let any = !due.is_empty();
        due.into_iter().take(most).for_each(|task| task.noticed = true);
        any
    }

    /// A restart, or a command that was taken back.
    pub(crate) fn forget_what_was_noticed(&mut self) {
        self.tasks.iter_mut().for_each(|task| task.noticed = false);
    }

    /// Whether a task waits rather than being delayed.
    pub(crate) fn waits(task: &Task, at: Instant) -> bool {
        !task.delayed || task.noticed || task.turn <= at
    }

    /// The place in the order: lower is sooner.
    fn place(&self, task: &Task) -> (i128, i128, bool, u64) {
        let (turn, priority) = (i128::from(task.turn.micros()), i128::from(task.priority.get()));
        match i128::from(self.setting(Setting::QueueAging)) * 1_000 {
            0 => (-priority, turn, task.delayed, task.nth),
            // Each point is worth so much waiting.
            aging => (turn - priority * aging, 0, task.delayed, task.nth),
        }
    }

    /// The id of the task that a claim gets.
    pub(crate) fn choose(&mut self, at: Instant, types: &[String]) -> Option<String> {
        let most = self.setting(Setting::MaxRunning);
        let running = self.issues.iter().filter(|issue| issue.status() == Status::Processing).count() as u64;
        if self.drain || (most > 0 && running >= most) {
            self.notice(at, NOTICED_BY_A_CLAIM);
            self.meet(if self.drain { "drained" } else { "too many run" });
            return None;
        }
        loop {
            let more = self.notice(at, NOTICED_BY_A_CLAIM);
            let ready = self.tasks.iter().filter(|task| {
                (!task.delayed || task.noticed)
                    && (types.is_empty() || types.contains(&task.kind))
                    && !self.is_held(task.issue)
            });
            let first = ready.min_by_key(|task| self.place(task)).map(|task| (task.id.clone(), task.turn > at));
            match first {
                None if more => {}
                Some((id, early)) => {
                    if early {
                        self.meet("claimed early");
                    }
                    return Some(id);
                }
                None => return None,
            }
        }
    }

    /// What a claim of this issue was answered with.
    pub(crate) fn claim_view(&self, number: IssueNumber) -> ClaimView {
        let issue = self.issue(number).expect("it was claimed");
        let task = issue.task().expect("it was claimed");
        ClaimView {
            issue: number,
            token: issue.token,
            task: task.id.clone(),
            kind: task.kind.clone(),
            title: issue.title.clone(),
            payload: task.payload.clone(),
            attempts: task.attempts,
            waited: issue.started.since(task.turn),
        }
    }

    pub(crate) fn claim(&mut self, now: Now, request: &Claim<'_>) -> Result<Answer, Refusal> {
        let process = request.process.as_str();
        let incarnation = request.incarnation.map(|name| name.as_str());
        let same = self.current(process).filter(|life| life.incarnation.as_deref() == incarnation).cloned();
        let checkout = |issue| Checkout {
            incarnation: request.incarnation,
            pid: request.pid,
            host: request.host,
            title: request.title,
            tmux: request.tmux,
            ttl: request.ttl,
            ..Checkout::new(issue, request.process)
        };
        if let Some(life) = &same
            && let Some((id, issue, token)) = &life.request
            && request.request.is_some_and(|given| given.as_str() == id)
            && self.is_held_as(*issue, *token)
        {
            // It may be another's by now only under another token.
            self.sign_of_life(now.at, Some(life.number), &checkout(*issue));
            return Ok(Answer::Claimed(Some((self.claim_view(*issue), true))));
        }
        if same.is_none()
            && let Some(other) = self.current(process)
            && self.is_attested(other, now.at)
        {
            let attested = other.attested.expect("it is attested");
            return Err(Refusal::InUse { process: process.to_owned(), attested });
        }
        let mut types: Vec<String> = request.types.iter().map(|kind| kind.as_str().to_owned()).collect();
        let Some(id) = self.choose(now.at, &types) else { return Ok(Answer::Claimed(None)) };
        let issue = self.issue_of(&id).expect("it waits");
        self.claim_task(now.at, &id, same.map(|life| life.number), &checkout(issue), None);
        types.sort();
        types.dedup();
        self.remember(process, types, name(request.request), issue);
        self.drop_what_is_over();
        Ok(Answer::Claimed(Some((self.claim_view(issue), false))))
    }

    fn claim_task(
        &mut self,
        at: Instant,
        id: &str,
        same: Option<u64>,
        request: &Checkout<'_>,
        follows: Option<(Token, Outcome)>,
    ) {
        let from = self.status_of(request.issue);
        let task = self.take(id, request.issue).expect("it waits");
        self.wait.push(at.since(task.turn).0);
        self.totals.tasks.claimed += 1;
        let title = task.title.as_deref().map(|title| Text::parse(lasting(title).as_bytes()).expect("a text"));
        let request = Checkout { title: title.or(request.title), ..*request };
        self.grant(at, same, &request, (EventKind::Claim, from, None), Some(task), follows);
    }

    /// What the life asked for, and by which REQ; one without any leaves the last one the last.
    fn remember(&mut self, process: &str, types: Vec<String>, request: Option<String>, issue: IssueNumber) {
        let token = self.issue(issue).expect("it was claimed").token;
        let number = self.current(process).expect("it claimed").number;
        let life = self.life_mut(number);
        life.types = types;
        if let Some(id) = request {
            life.request = Some((id, issue, token));
        }
    }

    pub(crate) fn claim_next(
        &mut self,
        now: Now,
        holder: u64,
        (done, ended): (&Checkin<'_>, Token),
        next: &Next<'_>,
    ) -> Option<ClaimView> {
        let types = self.lives.iter().find(|life| life.number == holder && !life.is_over())?.types.clone();
        if !next.may_claim {
            return None;
        }
        let id = self.choose(now.at, &types)?;
        let issue = self.issue_of(&id).expect("it waits");
        let same_issue = issue == done.issue;
        self.meet(if same_issue { "NEXT of the same issue" } else { "NEXT of another issue" });
        let follows = same_issue.then_some((ended, done.outcome));
        self.claim_task(now.at, &id, Some(holder), &Checkout::new(issue, done.process), follows);
        self.remember(done.process.as_str(), types, name(next.request), issue);
        let token = self.issue(issue).expect("it was claimed").token;
        if let Some(Issue { run: Run::Ended { next, .. }, .. }) = self.issue_mut(done.issue) {
            *next = Some((issue, token));
        }
        Some(self.claim_view(issue))
    }

    fn task_event(&self, at: Instant, what: EventKind, task: &Task) -> EventView {
        EventView {
            id: 0,
            what,
            issue: task.issue,
            process: None,
            token: None,
            task: Some(task.id.clone()),
            status: None,
            from: None,
            kind: Some(task.kind.clone()),
            reason: None,
            at,
        }
    }

    pub(crate) fn enqueue(&mut self, at: Instant, request: &Enqueue<'_>) -> Result<Answer, Refusal> {
        let kind = request.kind.map_or("issue", |kind| kind.as_str());
        let id = name(request.id).unwrap_or_else(|| default_id(request.issue, Some(kind)));
        match self.issue_of(&id) {
            Some(issue) if issue != request.issue => return Err(Refusal::OtherIssue { task: id, issue }),
            _ => {}
        }
        if let Some(task) = self.tasks.iter_mut().find(|task| task.id == id) {
            let raised = request.priority.is_some_and(|priority| priority > task.priority);
            task.priority = request.priority.filter(|_| raised).unwrap_or(task.priority);
            if raised {
                self.meet("raised");
            }
            return Ok(Answer::Queued(false, if raised { Effect::Changed } else { Effect::Unchanged }));
        }
        let runs = self.issue(request.issue).and_then(Issue::task).is_some_and(|task| task.id == id);
        let is_dead = self.dead.iter().any(|dead| dead.task.id == id);
        let key = (request.issue, id.clone());
        let was_finished = self.finished.contains(&key);
        if runs || ((is_dead || was_finished) && !request.again) {
            self.meet(match (runs, is_dead) {
                (true, _) => "queued while it runs",
                (_, true) => "queued though dead",
                _ => "queued though finished",
            });
            return Ok(Answer::Queued(false, Effect::Unchanged));
        }
        if is_dead || was_finished {
            self.meet(if is_dead { "AGAIN of a dead one" } else { "AGAIN of a finished one" });
        }
        self.take_dead(&id);
        self.finished.retain(|finished| *finished != key);
        let task = Task {
            id,
            issue: request.issue,
            kind: kind.to_owned(),
            priority: request.priority.unwrap_or(Priority::NORMAL),
            attempts: 0,
            orphans: 0,
            title: text(request.title),
            payload: text(request.payload),
            turn: at,
            nth: 0,
            delayed: false,
            noticed: false,
        };
        self.totals.tasks.enqueued += 1;
        self.queue_anew(at, EventKind::Enqueue, task, request.delay);
        Ok(Answer::Queued(true, Effect::Changed))
    }

    fn queue_anew(&mut self, at: Instant, what: EventKind, task: Task, delay: Millis) {
        let from = self.status_of(task.issue);
        let status = from.or(Some(Status::Queued));
        let event = EventView { from, status, ..self.task_event(at, what, &task) };
        self.begin_to_wait(at, task, delay);
        self.event(event);
    }

    pub(crate) fn revive(&mut self, at: Instant, id: &str) -> Answer {
        let Some(task) = self.take_dead(id) else { return Answer::Done(Effect::Unchanged) };
        self.totals.tasks.revived += 1;
        self.queue_anew(at, EventKind::Revive, Task { attempts: 0, orphans: 0, ..task }, Millis(0));
        Answer::Done(Effect::Changed)
    }

    pub(crate) fn cancel(&mut self, at: Instant, number: IssueNumber, reason: Option<String>) -> Answer {
        let mut waiting: Vec<Task> = self.tasks.iter().filter(|task| task.issue == number).cloned().collect();
        waiting.sort_by_key(Task::row);
        let any = !waiting.is_empty();
        for task in waiting {
            let from = self.status_of(number);
            self.take(&task.id, number);
            self.totals.tasks.cancelled += 1;
            // Whoever is queued for its tasks is not, without any.
            let none_left = !self.tasks.iter().any(|task| task.issue == number);
            if let Some(Issue { run: Run::Ended { status, .. }, .. }) = self.issue_mut(number)
                && *status == Status::Queued
                && none_left
            {
                *status = Status::Cancelled;
            }
            let status = self.status_of(number);
            self.event(EventView {
                from,
                status,
                reason: reason.clone(),
                ..self.task_event(at, EventKind::Cancel, &task)
            });
        }
        if !self.is_held(number) {
            let (done, effect) =
                if any { (Cancelled::Removed, Effect::Changed) } else { (Cancelled::Nothing, Effect::Unchanged) };
            return Answer::Cancelled(done, effect);
        }
        let issue = self.issue_mut(number).expect("it is held");
        let Run::Held { life, task, asked, .. } = &mut issue.run else { unreachable!("it is held") };
        if asked.is_some() {
            return Answer::Cancelled(Cancelled::Asked, if any { Effect::Changed } else { Effect::Unchanged });
        }
        *asked = Some((at, reason.clone()));
        let (life, task) = (*life, task.as_ref().map(|task| task.id.clone()));
        let (token, kind) = (Some(issue.token), issue.kind.clone());
        let held = Some(Status::Processing);
        self.event(EventView {
            id: 0,
            what: EventKind::Cancel,
            issue: number,
            process: Some(self.life(life).process.clone()),
            token,
            task,
            status: held,
            from: held,
            kind,
            reason,
            at,
        });
        Answer::Cancelled(Cancelled::Asked, Effect::Changed)
    }

    /// What an issue is after its lease ended, and what becomes of the task.
    pub(crate) fn dispose(&mut self, number: IssueNumber, outcome: Outcome, disposal: Disposal) -> (Status, Fate) {
        let issue = self.issue(number).expect("it is held");
        let (mut task, asked, kind) = (issue.task().cloned(), issue.asked().is_some(), issue.kind.clone());
        let comes_back = matches!(disposal, Disposal::Fail(Some(_)) | Disposal::Lose { requeue: true });
        if comes_back && asked {
            self.meet("asked, so not back");
            return (Status::Cancelled, task.map_or(Fate::Nothing, Fate::Dropped));
        }
        if comes_back && task.is_none() {
            // `<issue>:<type>`, or that with a number behind it where another issue has a task of this id.
            let id = default_id(number, kind.as_deref());
            let ids = std::iter::once(id.clone()).chain((2..).map(|more| format!("{id}+{more}")));
            let id = ids.into_iter().find(|id| self.issue_of(id).is_none_or(|issue| issue == number));
            let id = id.expect("there are enough numbers");
            if self.tasks.iter().any(|task| task.id == id) {
                self.meet("came back to one that waits");
                return (Status::Queued, Fate::Nothing);
            }
            self.meet("came back without a task");
            let dead = self.take_dead(&id).map(|task| Task { attempts: 0, orphans: 0, ..task });
            task = dead.or(Some(Task {
                id,
                issue: number,
                kind: kind.unwrap_or("issue".to_owned()),
                priority: Priority::NORMAL,
                attempts: 0,
                orphans: 0,
                title: None,
                payload: None,
                turn: Instant::EPOCH,
                nth: 0,
                delayed: false,
                noticed: false,
            }));
        }
        let Some(mut task) = task else { return (outcome.into(), Fate::Nothing) };
        let fate = match disposal {
            Disposal::Finish => Fate::Finished(task),
            Disposal::Drop => Fate::Dropped(task),
            Disposal::Fail(retry) => {
                task.attempts += 1;
                match retry {
                    Some(_) if u64::from(task.attempts) >= self.setting(Setting::MaxAttempts) => {
                        self.meet("failed too often");
                        Fate::Dies(task)
                    }
                    Some(delay) => Fate::Retried(task, delay),
                    None => Fate::Dies(task),
                }
            }
            Disposal::Lose { requeue } => {
                let before = task.orphans;
                task.orphans += 1;
                match requeue {
                    true if u64::from(before) >= self.setting(Setting::MaxOrphans) => {
                        self.meet("poison");
                        Fate::Dies(task)
                    }
                    true => Fate::Requeued(task),
                    false => Fate::Dies(task),
                }
            }
        };
        let back = matches!(fate, Fate::Retried(..) | Fate::Requeued(_));
        (if back { Status::Queued } else { outcome.into() }, fate)
    }

    /// Does what was decided. `ended` is the event of the lease's end.
    pub(crate) fn settle(&mut self, at: Instant, fate: Fate, ended: EventView) {
        match fate {
            Fate::Nothing => {}
            Fate::Finished(task) => {
                let finished = (task.issue, task.id);
                self.totals.tasks.finished += 1;
                self.finished.retain(|other| *other != finished);
                self.finished.push(finished);
            }
            Fate::Dropped(_) => self.totals.tasks.cancelled += 1,
            Fate::Dies(task) => {
                self.totals.tasks.dead += 1;
                self.deaths += 1;
                self.dead.push(Dead { nth: self.deaths, task, at, reason: ended.reason.clone() });
                self.event(EventView { what: EventKind::Dead, from: ended.status, ..ended });
            }
            Fate::Retried(task, delay) => {
                self.totals.tasks.retried += 1;
                self.begin_to_wait(at, task, delay);
            }
            Fate::Requeued(task) => {
                self.totals.tasks.requeued += 1;
                self.begin_to_wait(at, task, Millis(0));
            }
        }
    }

    /// `LIST … QUEUE` and `LIST … DELAYED`.
    pub(crate) fn list_queue(&self, at: Instant) -> (Vec<TaskView>, Vec<TaskView>) {
        let mut all: Vec<&Task> = self.tasks.iter().collect();
        all.sort_by_key(|task| task.row());
        let (mut waiting, mut delayed) = (Vec::new(), Vec::new());
        for task in all {
            if task.delayed && task.turn > at {
                delayed.push(task.view(TaskState::Delayed { due: task.turn }));
            } else {
                waiting.push(task.view(TaskState::Waiting { since: task.turn, held: self.is_held(task.issue) }));
            }
        }
        (waiting, delayed)
    }

    /// `LIST … DEAD`.
    pub(crate) fn list_dead(&self) -> Vec<TaskView> {
        let mut dead: Vec<&Dead> = self.dead.iter().collect();
        dead.sort_by_key(|dead| dead.nth);
        let rows = dead.into_iter();
        rows.map(|dead| dead.task.view(TaskState::Dead { at: dead.at, reason: dead.reason.clone() })).collect()
    }

    /// How many tasks of an issue wait, and are dead.
    pub(crate) fn task_counts(&self, number: IssueNumber) -> (u64, u64) {
        let waiting = self.tasks.iter().filter(|task| task.issue == number).count();
        let dead = self.dead.iter().filter(|dead| dead.task.issue == number).count();
        (waiting as u64, dead as u64)
    }

    pub(crate) fn queue_stats(&self, at: Instant) -> poppo_core::QueueStats {
        let waiting: Vec<&Task> = self.tasks.iter().filter(|task| Self::waits(task, at)).collect();
        let mut priorities: Vec<Priority> = waiting.iter().map(|task| task.priority).collect();
        priorities.sort_by_key(|priority| std::cmp::Reverse(*priority));
        let mut depth: Vec<(Priority, u64)> = Vec::new();
        for priority in priorities {
            match depth.last_mut().filter(|(last, _)| *last == priority) {
                Some((_, count)) => *count += 1,
                None => depth.push((priority, 1)),
            }
        }
        let since = waiting.iter().filter(|task| !task.delayed || task.turn <= at).map(|task| task.turn);
        poppo_core::QueueStats {
            waiting: waiting.len() as u64,
            delayed: (self.tasks.len() - waiting.len()) as u64,
            running: self.issues.iter().filter(|issue| issue.task().is_some()).count() as u64,
            dead: self.dead.len() as u64,
            drain: self.drain,
            oldest: since.min().map(|turn| at.since(turn)),
            depth,
        }
    }

    /// When the next delayed task is due that was not noticed so far.
    pub(crate) fn next_due(&self, now: Now) -> Option<Millis> {
        let unnoticed = self.tasks.iter().filter(|task| task.delayed && !task.noticed).map(|task| task.turn).min();
        unnoticed.map(|due| Millis(due.since(now.at).0 + 1))
    }
}
