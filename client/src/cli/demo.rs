//! `poppo demo`: real workers, a real server, one worker killed and one frozen, and a verdict on it all.
//!
//! Here is the play; `worker` is who plays, `journal` what they write down and the verdict on it, `screen` how it is shown.

mod journal;
mod screen;
mod worker;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{ExitCode, ExitStatus, Stdio};
use std::time::Duration;

use poppo::{Client, Error, Issue, IssueNumber, Orphan, Project, Repair, Status, Token};
use rustix::process::Signal;
use serde::Deserialize;
use tokio::process::{Child, Command};
use tokio::time::{sleep, timeout};

use self::journal::{Entry, Event, Reader, Verdict};
use self::screen::Screen;
pub(crate) use self::worker::{NoteArgs, WorkerArgs, note, work};
use crate::cli::{Context, clock, orphans};
use crate::exit::{FAILED, Failure, USAGE};
use crate::output::{Field, Output, Table, Tone};
use crate::process::{self, Stops};
use crate::server::{Options, Server};

/// For how long a worker of the demo may be silent: near the least that is allowed, since somebody is watching.
const HEARTBEAT_TTL: Duration = Duration::from_secs(2);
/// How often the demo looks at what happened.
const GLANCE: Duration = Duration::from_millis(40);
/// When the demo gives up.
const DEADLINE: Duration = Duration::from_secs(60);
/// For how long workers may take to end at the end.
const GRACE: Duration = Duration::from_secs(3);
/// How many issues are done before the first worker is lost, so that one has seen how it goes.
const DONE_BEFORE_TROUBLE: usize = 2;
/// Fewer workers leave nobody to take over: one is killed and one is frozen.
const FEWEST_WORKERS: usize = 3;
/// Fewer issues would be done before the trouble starts.
const FEWEST_ISSUES: usize = 8;
/// What is worked on where nobody brings issues.
const ISSUES: &str = include_str!("../../demo/issues.json");
/// Under which name the demo itself writes in the journal.
const DEMO: &str = "demo";

/// Watch workers share issues while one is killed and one is frozen
///
/// Starts a private server and real worker processes that all want the same issues; each runs `poppo run` on one after
/// another. One worker is ended by `kill -9`, another one frozen with SIGSTOP. Both are noticed, their issues are repaired
/// and given to others under higher tokens; then the frozen one is woken, and its late report is refused.
///
/// The verdict at the end is worked out from what the workers themselves wrote down. Exit code 0 means that no issue was
/// ever held twice. It takes a few seconds and cleans up after itself.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Example:
  $ poppo demo
  $ poppo demo --workers 8 --issues mine.json

A file of issues is a JSON array of {\"number\":1,\"title\":\"…\",\"type\":\"fix\"}, eight at least.")]
pub(crate) struct Args {
    /// How many workers: 3 to 64
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = workers)]
    workers: usize,
    /// A JSON file of issues to work on instead of the ones that come with it
    #[arg(long, value_name = "FILE")]
    issues: Option<PathBuf>,
    /// Keep everything (data, journal, logs) in this folder instead of a temporary one
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// The module's file [env: POPPO_MODULE]
    #[arg(long, value_name = "PATH")]
    module: Option<PathBuf>,
    /// The redis-server program, 7.0 or newer; looked for in PATH by default
    #[arg(long, value_name = "PATH")]
    redis_server: Option<PathBuf>,
}

fn workers(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|count| (FEWEST_WORKERS..=64).contains(count)).ok_or_else(|| {
        format!("{FEWEST_WORKERS} to 64 workers are needed: one is killed, one is frozen, somebody has to take over")
    })
}

/// An issue to work on.
#[derive(Debug, Clone, Deserialize)]
struct Task {
    number: IssueNumber,
    title: String,
    #[serde(rename = "type")]
    task_type: String,
}

/// The issues of a file.
fn read_tasks(text: &str) -> Result<Vec<Task>, Failure> {
    let usage = |message: String| Failure::new(USAGE, "USAGE", message);
    let tasks: Vec<Task> =
        serde_json::from_str(text).map_err(|error| usage(format!("the file of issues cannot be used: {error}")))?;
    if tasks.len() < FEWEST_ISSUES {
        return Err(usage(format!("the demo needs at least {FEWEST_ISSUES} issues, not {}", tasks.len())));
    }
    Ok(tasks)
}

pub(crate) async fn run(args: Args, context: &Context) -> Result<ExitCode, Failure> {
    let mut stops = Stops::listen()?;
    let text = args.issues.as_deref().map_or_else(|| Ok(ISSUES.to_owned()), fs::read_to_string)?;
    let tasks = read_tasks(&text)?;
    // Removed when it goes out of scope; a folder that was named is kept.
    let temporary =
        if args.dir.is_none() { Some(tempfile::Builder::new().prefix("poppo-demo-").tempdir()?) } else { None };
    let dir = args.dir.clone().or_else(|| temporary.as_ref().map(|dir| dir.path().to_path_buf())).unwrap_or_default();
    let screen = Screen::new(context.out);
    let options = Options { dir, port: None, module: args.module, redis_server: args.redis_server };
    let mut server = tokio::select! {
        server = Server::start(&options) => server?,
        signal = stops.next() => return Ok(ExitCode::from(process::exit_by(signal))),
    };
    screen.line(Tone::Quiet, &format!("a private redis-server is up at {}", server.url()))?;

    let mut play = match Play::prepare(&server, &context.project, &text, tasks, screen).await {
        Ok(play) => play,
        Err(failure) => return server.stop().await.and(Err(failure)),
    };
    let outcome = tokio::select! {
        outcome = timeout(DEADLINE, play.perform(args.workers)) => outcome.unwrap_or_else(|_| {
            Err(Failure::failed(format!("the demo was not over after {} s", DEADLINE.as_secs())))
        }),
        failure = server.died() => Err(failure),
        signal = stops.next() => Err(Failure::new(process::exit_by(signal), "STOPPED", "the demo was stopped")),
    };
    // Whatever happened: first everything that was started is ended, then it is talked about.
    let cleared = play.clear().await;
    let stopped = server.stop().await;
    let verdict = journal::judge(&play.entries);
    let end = outcome.and_then(|issues| play.conclude(&verdict, &issues, context.out));
    if !verdict.held_twice.is_empty() && !context.out.json {
        // Said last and in any case: where this happens, other things fail as well, and matter less.
        context.out.line(&format!("HELD TWICE: {}", verdict.held_twice.join("; ")))?;
    }
    let code = end?;
    cleared.and(stopped)?;
    Ok(code)
}

/// A worker process and the processes below it.
struct Worker {
    name: String,
    child: Child,
    /// Its process group, in which its `poppo run` is, too.
    group: u32,
    /// Whether the whole group is known to be gone. From then on its number may be anybody's.
    is_gone: bool,
}

/// A lease that a worker verifiably had when it was stopped.
#[derive(Debug, Clone)]
struct Caught {
    worker: usize,
    issue: IssueNumber,
    token: Token,
    /// The process group of the command.
    command: u32,
}

/// The play and everything on stage.
struct Play {
    project: Project,
    url: String,
    dir: PathBuf,
    tasks: Vec<Task>,
    workers: Vec<Worker>,
    screen: Screen,
    journal: PathBuf,
    reader: Reader,
    entries: Vec<Entry>,
    /// What each worker was refused as HELD since it last had something.
    refused: BTreeMap<String, BTreeSet<IssueNumber>>,
    /// Groups of commands that are stopped and have to be woken to be ended.
    stopped_commands: Vec<u32>,
}

impl Play {
    /// Everything but the workers.
    async fn prepare(
        server: &Server,
        project: &str,
        issues: &str,
        tasks: Vec<Task>,
        screen: Screen,
    ) -> Result<Self, Failure> {
        let project = Client::connect(&server.url()).await?.project(project);
        if !project.list(None, None, Some(1)).await?.rows.is_empty() {
            let message =
                format!("{} holds the issues of an earlier demo; choose an empty folder", server.dir.display());
            return Err(Failure::failed(message));
        }
        let millis = u64::try_from(HEARTBEAT_TTL.as_millis()).unwrap_or(u64::MAX);
        project.set_settings(&[("heartbeat-ttl", millis)]).await?;
        let dir = server.dir.clone();
        fs::write(dir.join("issues.json"), issues)?;
        let journal = dir.join("journal.jsonl");
        Ok(Self {
            project,
            url: server.url(),
            reader: Reader::open(&journal)?,
            journal,
            dir,
            tasks,
            workers: Vec::new(),
            screen,
            entries: Vec::new(),
            refused: BTreeMap::new(),
            stopped_commands: Vec::new(),
        })
    }

    /// All scenes, one after another.
    async fn perform(&mut self, workers: usize) -> Result<Vec<Issue>, Failure> {
        self.screen.scene(&format!("{workers} workers want the same {} issues", self.tasks.len()))?;
        for number in 0..workers {
            self.start_worker(number)?;
        }
        self.until(|play| play.completed() >= DONE_BEFORE_TROUBLE).await?;

        let killed = self.kill_one().await?;
        let frozen = self.freeze_one().await?;
        let orphans = self.see_orphans(&[&killed, &frozen]).await?;
        self.repair(&orphans).await?;
        self.see_others_take_over(&[&killed, &frozen]).await?;
        self.wake(&frozen).await?;

        self.screen.scene("The rest is done")?;
        self.until(|play| play.completed() >= play.tasks.len()).await?;
        for index in 0..self.workers.len() {
            if index != killed.worker {
                self.see_worker_end(index).await?;
            }
        }
        self.look()?;
        Ok(self.project.list_all(None).await?)
    }

    fn start_worker(&mut self, number: usize) -> Result<(), Failure> {
        let name = format!("worker-{}", number + 1);
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["demo-worker", "--name", &name, "--number", &number.to_string()]);
        command.arg("--issues").arg(self.dir.join("issues.json")).arg("--journal").arg(&self.journal);
        command.env("POPPO_URL", &self.url).env("POPPO_PROJECT", self.project.key());
        let log = File::create(self.dir.join(format!("{name}.log")))?;
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).process_group(0);
        process::die_with_parent(&mut command);
        let child = command.spawn()?;
        let group = child.id().ok_or_else(|| Failure::failed(format!("{name} ended at once")))?;
        self.workers.push(Worker { name, child, group, is_gone: false });
        Ok(())
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
                return Err(failure_of_worker(&self.dir, &worker.name, status));
            }
        }
        let news = self.reader.read()?;
        for entry in &news {
            self.show(entry)?;
        }
        self.entries.extend(news.iter().cloned());
        let held = count(&self.entries, |event| matches!(event, Event::Refused { code, .. } if code == "HELD"));
        self.screen.progress(self.completed(), self.tasks.len(), held)?;
        Ok(news)
    }

    fn show(&mut self, entry: &Entry) -> Result<(), Failure> {
        let (worker, issue) = (&entry.worker, entry.issue);
        let (tone, text) = match &entry.event {
            Event::Start { token, .. } => {
                let refused = self.refused.remove(worker).unwrap_or_default();
                let title = self.tasks.iter().find(|task| task.number == issue).map(|task| task.title.as_str());
                let (title, after) = (title.unwrap_or_default(), after_refusals(&refused));
                (Tone::Busy, format!("{worker} has issue {issue} under token {token}{after}: {title}"))
            }
            Event::Completed => (Tone::Good, format!("{worker} has completed issue {issue}")),
            // Said once, when the worker has found something to do: a line for each would hide all others.
            Event::Refused { code, .. } if code == "HELD" => {
                self.refused.entry(worker.clone()).or_default().insert(issue);
                return Ok(());
            }
            Event::Refused { code, .. } if code == "DONE" => return Ok(()),
            Event::Refused { code, message } => (Tone::Bad, format!("{worker}, issue {issue}: {code} {message}")),
            Event::End { .. } | Event::Repaired { .. } => return Ok(()),
        };
        Ok(self.screen.line(tone, &text)?)
    }

    fn completed(&self) -> usize {
        count(&self.entries, |event| *event == Event::Completed)
    }

    /// Stops a worker that has just started on an issue, with its `poppo run` and its command, and makes sure that it
    /// does hold the lease.
    async fn catch_a_holder(&mut self, except: Option<usize>) -> Result<Caught, Failure> {
        loop {
            for entry in self.look()? {
                let Event::Start { token, group: command, runner } = entry.event else { continue };
                let Some(worker) = self.workers.iter().position(|worker| worker.name == entry.worker) else { continue };
                // Only what the server, too, knows as the holder's PID is touched.
                if Some(worker) == except || !self.holds(entry.issue, token, runner).await? {
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
            // The one that a killed worker had is not done before it is repaired.
            if self.completed() + 1 >= self.tasks.len() {
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

    /// To a worker, its `poppo run` and its command: all that would stand still on a frozen host.
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
        let caught = self.catch_a_holder(None).await?;
        let name = self.name(&caught);
        self.screen
            .scene(&format!("kill -9 for {name}, which holds issue {} (token {})", caught.issue, caught.token))?;
        if let Some(worker) = self.workers.get_mut(caught.worker) {
            process::signal_group(worker.group, Signal::KILL)?;
            worker.child.wait().await?;
            // Nobody survives KILL, so there is nothing left to end.
            worker.is_gone = true;
        }
        // The command is told to end by the system, since its `poppo run` is gone; to hear it, it must be awake.
        process::signal_group(caught.command, Signal::CONT)?;
        self.stopped_commands.retain(|group| *group != caught.command);
        Ok(caught)
    }

    async fn freeze_one(&mut self) -> Result<Caught, Failure> {
        // The dead one starts nothing any more, so there is no need to except it.
        let caught = self.catch_a_holder(None).await?;
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

    async fn repair(&mut self, orphans: &[Orphan]) -> Result<(), Failure> {
        self.screen.scene("Their leases are ended: poppo repair")?;
        for orphan in orphans {
            // Noted before it is asked for, so that what others do once it is done comes after it in the journal.
            let event = Event::Repaired { token: orphan.token };
            journal::append(&self.journal, &Entry::now(DEMO, orphan.issue, event))?;
            let mut repair = Repair::new(orphan.issue, orphan.token);
            repair.reason = Some(format!("{} fell silent", orphan.process));
            let status = self.project.repair(&repair).await?;
            let text = format!("issue {} is repaired ({status}); token {} is void", orphan.issue, orphan.token);
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
    /// `poppo run`, which reports. In the other order its first heartbeat would tell it of the loss, and it would stop the
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
        let is_refusal = |entry: &Entry| {
            entry.worker == name
                && entry.issue == issue
                && matches!(&entry.event, Event::Refused { code, .. } if code == "STALE")
        };
        let is_over = |play: &Self| play.entries.iter().any(is_refusal);
        let patience = timeout(GRACE, self.until(is_over)).await;
        patience.unwrap_or_else(|_| Err(Failure::failed(format!("the late report of {name} was not refused as STALE"))))
    }

    /// Workers end by themselves when all is done.
    async fn see_worker_end(&mut self, index: usize) -> Result<(), Failure> {
        let Some(worker) = self.workers.get_mut(index) else { return Ok(()) };
        let status = worker.child.wait().await?;
        if status.success() {
            worker.is_gone = true;
            return Ok(());
        }
        Err(failure_of_worker(&self.dir, &worker.name, status))
    }

    /// Ends every process that was started and is still there. Nothing else is touched.
    async fn clear(&mut self) -> Result<(), Failure> {
        // Nobody may be looking any more; that must keep nothing from being ended.
        drop(self.screen.finish());
        for command in self.stopped_commands.drain(..) {
            process::ask_group_to_end(command, Signal::TERM)?;
        }
        let mut left: Vec<&mut Worker> = self.workers.iter_mut().filter(|worker| !worker.is_gone).collect();
        for worker in &left {
            process::ask_group_to_end(worker.group, Signal::TERM)?;
        }
        for worker in &mut left {
            let (ended, _) = tokio::join!(process::end_group(worker.group, GRACE), worker.child.wait());
            ended?;
        }
        Ok(())
    }

    /// The verdict, and what everybody came to.
    fn conclude(&self, verdict: &Verdict, issues: &[Issue], out: Output) -> Result<ExitCode, Failure> {
        let unfinished = issues.iter().filter(|issue| issue.status != Status::Completed).count();
        if out.json {
            out.document(&self.summary_as_json(verdict, issues))?;
        } else {
            self.screen.scene("Who had what")?;
            out.table(&self.summary(verdict, issues), "no issues")?;
            out.line("")?;
        }
        if !verdict.held_twice.is_empty() {
            return Ok(ExitCode::from(FAILED));
        }
        if unfinished > 0 || issues.len() != self.tasks.len() {
            return Err(Failure::failed(format!("{unfinished} of {} issues were not completed", issues.len())));
        }
        if !out.json {
            let sentence = format!(
                "No issue was ever held twice ({} issues, {} workers, {} checkouts, {} refused as HELD, {} repaired, {} refused as STALE).",
                issues.len(),
                self.workers.len(),
                verdict.checkouts(),
                verdict.refused_as_held,
                verdict.repaired,
                verdict.refused_as_stale
            );
            out.line(&out.paint(&sentence, Tone::Good))?;
        }
        Ok(ExitCode::SUCCESS)
    }

    fn summary(&self, verdict: &Verdict, issues: &[Issue]) -> Table {
        let titles: BTreeMap<IssueNumber, &str> =
            self.tasks.iter().map(|task| (task.number, task.title.as_str())).collect();
        let mut table = Table::new(&["ISSUE", "OUTCOME", "HELD BY (TOKEN)", "TITLE"]);
        for issue in issues {
            let holds = verdict.holds.get(&issue.issue).map(Vec::as_slice).unwrap_or_default();
            let holders: Vec<String> = holds
                .iter()
                .map(|hold| {
                    let fate = if hold.repaired { ", repaired" } else { "" };
                    format!("{} ({}{fate})", hold.worker, hold.token)
                })
                .collect();
            table.row([
                Field::number(issue.issue),
                Field::status(issue.status),
                Field::toned(holders.join(", then "), if holds.len() > 1 { Tone::Warning } else { Tone::Plain }),
                Field::from(titles.get(&issue.issue).copied().unwrap_or_default()),
            ]);
        }
        table
    }

    fn summary_as_json(&self, verdict: &Verdict, issues: &[Issue]) -> serde_json::Value {
        let issues: Vec<_> = issues
            .iter()
            .map(|issue| {
                let holds: Vec<_> = verdict
                    .holds
                    .get(&issue.issue)
                    .into_iter()
                    .flatten()
                    .map(|hold| {
                        serde_json::json!({
                            "worker": hold.worker, "token": hold.token, "repaired": hold.repaired
                        })
                    })
                    .collect();
                serde_json::json!({ "issue": issue.issue, "status": issue.status, "holds": holds })
            })
            .collect();
        serde_json::json!({
            "issues": issues,
            "workers": self.workers.len(),
            "checkouts": verdict.checkouts(),
            "refusedAsHeld": verdict.refused_as_held,
            "repaired": verdict.repaired,
            "refusedAsStale": verdict.refused_as_stale,
            "heldTwice": verdict.held_twice,
        })
    }
}

/// With what the worker said last.
fn failure_of_worker(dir: &Path, name: &str, status: ExitStatus) -> Failure {
    let log = fs::read_to_string(dir.join(format!("{name}.log"))).unwrap_or_default();
    Failure::failed(format!("{name} failed ({status}): {}", log.trim()))
}

/// `, after HELD on 7 and 9`
fn after_refusals(refused: &BTreeSet<IssueNumber>) -> String {
    let issues: Vec<String> = refused.iter().map(ToString::to_string).collect();
    match issues.split_last() {
        None => String::new(),
        Some((only, [])) => format!(", after HELD on {only}"),
        Some((last, others)) => format!(", after HELD on {} and {last}", others.join(", ")),
    }
}

fn count(entries: &[Entry], is_one: impl Fn(&Event) -> bool) -> usize {
    entries.iter().filter(|entry| is_one(&entry.event)).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_issues_that_come_with_it_can_be_used() {
        assert!(read_tasks(ISSUES).is_ok_and(|tasks| tasks.len() == 14));
    }

    #[test]
    fn too_few_issues_are_refused() {
        assert!(read_tasks("[]").is_err_and(|failure| failure.exit == USAGE));
        assert!(read_tasks("{}").is_err());
    }

    #[test]
    fn refusals_are_told_in_one_breath() {
        let refused = |numbers: &[u64]| {
            after_refusals(&numbers.iter().filter_map(|number| IssueNumber::try_from(*number).ok()).collect())
        };
        assert_eq!(refused(&[]), "");
        assert_eq!(refused(&[7]), ", after HELD on 7");
        assert_eq!(refused(&[9, 7, 8]), ", after HELD on 7, 8 and 9");
    }

    #[test]
    fn somebody_must_be_left_to_take_over() {
        assert!(workers("2").is_err());
        assert_eq!(workers("3"), Ok(3));
        assert!(workers("many").is_err());
    }
}
