//! The play: what is done to the workers, scene by scene, and everything that is on stage.

use std::fs;
use std::path::Path;
use std::process::{ExitCode, ExitStatus};
use std::time::Duration;

use poppo::{Client, Enqueue, Error, IssueNumber, Orphan, Project, Repair, Status, TaskState, Token};
use rustix::process::Signal;
use tokio::time::{sleep, timeout};

use super::Task;
use super::forge::Forge;
use super::journal::{self, Entry, Event, Reader};
use super::screen::Screen;
use super::verdict::Outcome;
use super::worker::{Worker, Workplace};
use crate::cli::{clock, list, orphans};
use crate::exit::Failure;
use crate::output::{Output, Tone};
use crate::process;
use crate::server::Server;

/// For how long a worker of the demo may be silent: near the least that is allowed, since somebody is watching.
const HEARTBEAT_TTL: Duration = Duration::from_secs(2);
/// How long a failed task waits for its next run.
const PAUSE: Duration = Duration::from_millis(500);
/// After how many failures a task is dead.
const MAX_ATTEMPTS: u64 = 2;
/// How often the demo looks at what happened.
const GLANCE: Duration = Duration::from_millis(40);
/// For how long workers may take to end at the end.
const GRACE: Duration = Duration::from_secs(3);
/// How many issues are done before the first worker is lost, so that one has seen how it goes.
const DONE_BEFORE_TROUBLE: usize = 2;
/// Under which name the demo itself writes in the journal.
const DEMO: &str = "demo";

/// A lease that a worker verifiably had when it was stopped.
#[derive(Debug, Clone)]
struct Caught {
    worker: usize,
    issue: IssueNumber,
    token: Token,
    /// The process group of the command.
    command: u32,
}

/// Everything on stage.
pub(super) struct Play {
    project: Project,
    place: Workplace,
    tasks: Vec<Task>,
    workers: Vec<Worker>,
    screen: Screen,
    reader: Reader,
    pub(super) entries: Vec<Entry>,
    /// Groups of commands that are stopped and have to be woken to be ended.
    stopped_commands: Vec<u32>,
}

impl Play {
    /// Everything but the workers.
    pub(super) async fn prepare(
        server: &Server,
        project: &str,
        tasks: Vec<Task>,
        screen: Screen,
    ) -> Result<Self, Failure> {
        let project = Client::connect(&server.url()).await?.project(project);
        if project.stats().await?.is_some() {
            let message =
                format!("{} holds the issues of an earlier demo; choose an empty folder", server.dir.display());
            return Err(Failure::failed(message));
        }
        project.set_settings(&[("max-attempts", MAX_ATTEMPTS)]).await?;
        // The most urgent two, so that there is time for all that follows from it.
        let [flaky, broken, ..] = tasks.as_slice() else { return Err(Failure::failed("there are too few issues")) };
        let place = Workplace {
            url: server.url(),
            project: project.key().to_owned(),
            dir: server.dir.clone(),
            journal: server.dir.join("journal.jsonl"),
            ttl: HEARTBEAT_TTL,
            pause: PAUSE,
            flaky: flaky.number,
            broken: broken.number,
        };
        Ok(Self {
            project,
            reader: Reader::open(&place.journal)?,
            place,
            tasks,
            workers: Vec::new(),
            screen,
            entries: Vec::new(),
            stopped_commands: Vec::new(),
        })
    }

    /// What is to be done.
    pub(super) fn tasks(&self) -> &[Task] {
        &self.tasks
    }

    /// All scenes, one after another.
    pub(super) async fn perform(&mut self, workers: usize, forge: Option<&Forge>) -> Result<Outcome, Failure> {
        if let Some(forge) = forge {
            self.screen.line(Tone::Quiet, &format!("poppo daemon keeps labels in step on {}", forge.what()))?;
        }
        self.queue().await?;
        self.screen.scene(&format!("{workers} workers take them: poppo work"))?;
        for number in 1..=workers {
            self.workers.push(Worker::start(format!("worker-{number}"), &self.place)?);
        }
        self.until(|play| play.completed() >= DONE_BEFORE_TROUBLE).await?;

        let killed = self.kill_one().await?;
        let frozen = self.freeze_one().await?;
        let orphans = self.see_orphans(&[&killed, &frozen]).await?;
        self.requeue(&orphans).await?;
        self.see_others_take_over(&[&killed, &frozen]).await?;
        self.wake(&frozen).await?;
        self.raise_the_dead().await?;

        self.screen.scene("The rest is done")?;
        self.until(|play| play.completed() >= play.tasks.len()).await?;
        self.dismiss(killed.worker).await?;
        self.look()?;
        Ok(Outcome::of(&self.project).await?)
    }

    /// Waits until the labels on GitHub have followed, and compares.
    pub(super) async fn compare_labels(&self, forge: Forge) -> Result<(), Failure> {
        forge.conclude(&self.project, &self.tasks, &self.screen).await
    }

    async fn queue(&mut self) -> Result<(), Failure> {
        self.screen.scene(&format!("{} issues are queued, urgent ones first: poppo enqueue", self.tasks.len()))?;
        for task in &self.tasks {
            let mut enqueue = Enqueue::new(task.number);
            enqueue.task_type = Some(task.task_type.clone());
            enqueue.title = Some(task.title.clone());
            enqueue.priority = Some(task.priority);
            self.project.enqueue(&enqueue).await?;
        }
        let waiting = self.project.all_tasks(TaskState::Waiting).await?;
        let table = list::tasks(&waiting, clock(&self.project).await);
        Ok(self.screen.block(&self.screen.out.render(&table))?)
    }

    /// Waits until something is so, showing what happens meanwhile.
    async fn until(&mut self, is_so: impl Fn(&Self) -> bool) -> Result<(), Failure> {
        loop {
            self.look()?;
            if is_so(self) {
                return Ok(());
            }
            sleep(GLANCE).await;
        }
    }

    /// Reads and shows what is new in the journal, and gives it back.
    fn look(&mut self) -> Result<Vec<Entry>, Failure> {
        for worker in &mut self.workers {
            // One that was killed has no exit code, and one that is through has 0.
            if let Some(status) = worker.child.try_wait()?
                && status.code().is_some_and(|code| code != 0)
            {
                return Err(failure_of_worker(&self.place.dir, &worker.name, status));
            }
        }
        // What a worker says of a task comes before its next one starts.
        let mut news = Vec::new();
        for worker in &mut self.workers {
            news.extend(worker.news()?);
        }
        news.extend(self.reader.read::<Entry>()?);
        for entry in &news {
            self.show(entry)?;
        }
        self.entries.extend(news.iter().cloned());
        self.screen.progress(self.completed(), self.tasks.len())?;
        Ok(news)
    }

    fn show(&self, entry: &Entry) -> Result<(), Failure> {
        let (worker, issue) = (&entry.worker, entry.issue);
        let task = self.tasks.iter().find(|task| task.number == issue);
        let (tone, text) = match &entry.event {
            Event::Start { token, .. } => {
                let priority = task.map(|task| task.priority.to_string()).unwrap_or_default();
                let title = task.map(|task| task.title.as_str()).unwrap_or_default();
                (Tone::Busy, format!("{worker} has issue {issue} ({priority}) under token {token}: {title}"))
            }
            Event::Completed { .. } => (Tone::Good, format!("{worker} has completed issue {issue}")),
            Event::Failed { reason, dead: true, .. } => {
                (Tone::Bad, format!("{worker} has failed at issue {issue} for good: {reason}"))
            }
            Event::Failed { reason, .. } => {
                (Tone::Warning, format!("{worker} has failed at issue {issue}, which waits again: {reason}"))
            }
            Event::Lost { code, message, .. } => (Tone::Bad, format!("{worker}, issue {issue}: {code} {message}")),
            Event::End { .. } | Event::Repaired { .. } => return Ok(()),
        };
        Ok(self.screen.line(tone, &text)?)
    }

    fn completed(&self) -> usize {
        count(&self.entries, |event| matches!(event, Event::Completed { .. }))
    }

    /// Stops a worker that has just started on an issue, with its command, and makes sure that it
    /// does hold the lease.
    async fn catch_a_holder(&mut self) -> Result<Caught, Failure> {
        loop {
            for entry in self.look()? {
                let Event::Start { token, group: command, runner } = entry.event else { continue };
                let Some(worker) = self.workers.iter().position(|worker| worker.name == entry.worker) else { continue };
                // Those two have a part of their own. And only what the server, too, knows as the holder's PID is touched.
                let has_a_part = [self.place.flaky, self.place.broken].contains(&entry.issue);
                if has_a_part || !self.holds(entry.issue, token, runner).await? {
                    continue;
                }
                let caught = Caught { worker, issue: entry.issue, token, command };
                self.signal(&caught, Signal::STOP)?;
                self.stopped_commands.push(command);
                if self.holds(entry.issue, token, runner).await? {
                    return Ok(caught);
                }
                // It came to its end in between.
                self.signal(&caught, Signal::CONT)?;
                self.stopped_commands.retain(|group| *group != command);
            }
            // What a killed worker had is not done before it is repaired, nor what fails before it is mended.
            if self.completed() + 2 >= self.tasks.len() {
                return Err(Failure::failed(
                    "all issues were done before a worker could be stopped: give it more issues",
                ));
            }
            sleep(GLANCE).await;
        }
    }

    async fn holds(&self, issue: IssueNumber, token: Token, runner: u32) -> Result<bool, Error> {
        let issue = self.project.get(issue).await?;
        Ok(issue.is_some_and(|issue| {
            issue.status == Status::Processing && issue.token == Some(token) && issue.pid == Some(runner)
        }))
    }

    /// To a worker and its command: all that would stand still on a frozen host.
    fn signal(&self, caught: &Caught, signal: Signal) -> Result<(), Failure> {
        if let Some(worker) = self.workers.get(caught.worker) {
            process::signal_group(worker.group, signal)?;
        }
        Ok(process::signal_group(caught.command, signal)?)
    }

    fn name(&self, caught: &Caught) -> String {
        self.workers.get(caught.worker).map(|worker| worker.name.clone()).unwrap_or_default()
    }

    async fn kill_one(&mut self) -> Result<Caught, Failure> {
        let caught = self.catch_a_holder().await?;
        let name = self.name(&caught);
        self.screen
            .scene(&format!("kill -9 for {name}, which holds issue {} (token {})", caught.issue, caught.token))?;
        if let Some(worker) = self.workers.get_mut(caught.worker) {
            process::signal_group(worker.group, Signal::KILL)?;
            worker.child.wait().await?;
            // Nobody survives KILL, so there is nothing left to end.
            worker.is_gone = true;
        }
        // The command is told to end by the system, since its worker is gone; to hear it, it must be awake.
        process::signal_group(caught.command, Signal::CONT)?;
        self.stopped_commands.retain(|group| *group != caught.command);
        Ok(caught)
    }

    async fn freeze_one(&mut self) -> Result<Caught, Failure> {
        // The dead one starts nothing any more, so there is no need to except it.
        let caught = self.catch_a_holder().await?;
        let (name, issue, token) = (self.name(&caught), caught.issue, caught.token);
        self.screen.scene(&format!("{name} is frozen (SIGSTOP), which holds issue {issue} (token {token})"))?;
        Ok(caught)
    }

    /// Waits until the leases of the lost are orphans.
    async fn see_orphans(&mut self, lost: &[&Caught]) -> Result<Vec<Orphan>, Failure> {
        loop {
            self.look()?;
            let orphans = self.project.orphans(None, None).await?;
            let is_seen = |caught: &&Caught| orphans.iter().any(|orphan| orphan.token == caught.token);
            if lost.iter().all(is_seen) {
                self.screen.scene("Silence is noticed: poppo orphans")?;
                let table = orphans::table(&orphans, clock(&self.project).await);
                self.screen.block(&self.screen.out.render(&table))?;
                // On a busy host somebody else may have been late, too; that one is alive and will beat again.
                let is_lost = |orphan: &Orphan| lost.iter().any(|caught| caught.token == orphan.token);
                return Ok(orphans.into_iter().filter(is_lost).collect());
            }
            sleep(GLANCE).await;
        }
    }

    async fn requeue(&mut self, orphans: &[Orphan]) -> Result<(), Failure> {
        self.screen.scene("Their tasks go back to the queue: poppo repair --requeue")?;
        for orphan in orphans {
            // Noted before it is asked for, so that what others do once it is done comes after it in the journal.
            let event = Event::Repaired { token: orphan.token };
            journal::append(&self.place.journal, &Entry::now(DEMO, orphan.issue, event))?;
            let mut repair = Repair::new(orphan.issue, orphan.token);
            repair.requeue = true;
            repair.reason = Some(format!("{} fell silent", orphan.process));
            let status = self.project.repair(&repair).await?;
            let text = format!("issue {} is {status} again; token {} is void", orphan.issue, orphan.token);
            self.screen.line(Tone::Warning, &text)?;
        }
        Ok(())
    }

    async fn see_others_take_over(&mut self, lost: &[&Caught]) -> Result<(), Failure> {
        self.screen.scene("Others take them, under higher tokens")?;
        let lost: Vec<(IssueNumber, Token)> = lost.iter().map(|caught| (caught.issue, caught.token)).collect();
        self.until(|play| lost.iter().all(|(issue, token)| play.was_taken_over(*issue, *token))).await
    }

    fn was_taken_over(&self, issue: IssueNumber, old: Token) -> bool {
        self.entries
            .iter()
            .any(|entry| entry.issue == issue && matches!(&entry.event, Event::Start { token, .. } if *token > old))
    }

    /// Wakes the frozen one: first its command, which goes on as if nothing had happened; when that is done, its
    /// `poppo work`, which reports. In the other order its first heartbeat would tell it of the loss, and it would stop the
    /// command: then there would be no late report to refuse.
    async fn wake(&mut self, frozen: &Caught) -> Result<(), Failure> {
        let name = self.name(frozen);
        self.screen.scene(&format!("{name} wakes up (SIGCONT) and works on, knowing nothing"))?;
        process::signal_group(frozen.command, Signal::CONT)?;
        self.stopped_commands.retain(|group| *group != frozen.command);
        let (issue, token, command) = (frozen.issue, frozen.token, frozen.command);
        let is_end = |entry: &Entry| entry.issue == issue && entry.event == Event::End { token };
        self.until(|play| play.entries.iter().any(is_end) && process::has_ended(command)).await?;
        self.screen
            .line(Tone::Busy, &format!("{name} reports issue {issue} as completed under its old token {token}"))?;
        self.signal(frozen, Signal::CONT)?;
        let is_refusal =
            |entry: &Entry| entry.worker == name && matches!(&entry.event, Event::Lost { code, .. } if code == "STALE");
        let is_over = |play: &Self| play.entries.iter().any(is_refusal);
        let patience = timeout(GRACE, self.until(is_over)).await;
        patience.unwrap_or_else(|_| Err(Failure::failed(format!("the late report of {name} was not refused as STALE"))))
    }

    /// One task failed as often as it may. What it lacked is mended, and it is tried once more.
    async fn raise_the_dead(&mut self) -> Result<(), Failure> {
        self.until(|play| count(&play.entries, |event| matches!(event, Event::Failed { dead: true, .. })) > 0).await?;
        self.screen.scene("One has failed for good: poppo list --dead")?;
        let dead = self.project.all_tasks(TaskState::Dead).await?;
        let table = list::tasks(&dead, clock(&self.project).await);
        self.screen.block(&self.screen.out.render(&table))?;
        fs::write(self.place.mended(), "")?;
        for task in &dead {
            self.project.revive(&task.task).await?;
            let text = format!("what it lacked is mended, and it waits again: poppo revive {}", task.task);
            self.screen.line(Tone::Warning, &text)?;
        }
        Ok(())
    }

    /// Tells the workers to take nothing more, and sees them end by themselves.
    async fn dismiss(&mut self, killed: usize) -> Result<(), Failure> {
        for (index, worker) in self.workers.iter_mut().enumerate() {
            if index == killed {
                continue;
            }
            process::signal_group(worker.group, Signal::TERM)?;
            let status = worker.child.wait().await?;
            if !status.success() {
                return Err(failure_of_worker(&self.place.dir, &worker.name, status));
            }
            worker.is_gone = true;
        }
        Ok(())
    }

    /// Ends every process that was started and is still there. Nothing else is touched.
    pub(super) async fn clear(&mut self) -> Result<(), Failure> {
        // Nobody may be looking any more; that must keep nothing from being ended.
        drop(self.screen.finish());
        for command in self.stopped_commands.drain(..) {
            process::ask_group_to_end(command, Signal::TERM)?;
        }
        let mut left: Vec<&mut Worker> = self.workers.iter_mut().filter(|worker| !worker.is_gone).collect();
        for worker in &left {
            // The first lets a worker finish, the second lets it end.
            process::ask_group_to_end(worker.group, Signal::TERM)?;
            process::ask_group_to_end(worker.group, Signal::INT)?;
        }
        for worker in &mut left {
            let (ended, _) = tokio::join!(process::end_group(worker.group, GRACE), worker.child.wait());
            ended?;
        }
        Ok(())
    }

    /// The verdict, and what everybody came to.
    pub(super) fn conclude(&self, outcome: &Outcome, out: Output) -> Result<ExitCode, Failure> {
        self.screen.scene("Who had what")?;
        outcome.conclude(&journal::judge(&self.entries), &self.tasks, self.workers.len(), out)
    }
}

/// With what the worker said last.
fn failure_of_worker(dir: &Path, name: &str, status: ExitStatus) -> Failure {
    let log = fs::read_to_string(dir.join(format!("{name}.log"))).unwrap_or_default();
    Failure::failed(format!("{name} failed ({status}): {}", log.trim()))
}

fn count(entries: &[Entry], is_one: impl Fn(&Event) -> bool) -> usize {
    entries.iter().filter(|entry| is_one(&entry.event)).count()
}
