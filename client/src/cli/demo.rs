//! `poppo demo`: a real server, real workers on a real queue, one of them killed and one frozen, and a verdict on it all.
//!
//! Here are the arguments and the frame; `play` is what happens, `worker` who plays, `journal` what they write down and
//! who held what by it, `verdict` what it all comes to, `screen` how it is shown, `forge` GitHub.

mod forge;
mod journal;
mod play;
mod screen;
mod verdict;
mod worker;

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use poppo::{IssueNumber, Priority};
use serde::Deserialize;
use tokio::time::timeout;

use self::forge::Forge;
use self::play::Play;
use self::screen::Screen;
pub(crate) use self::worker::{NoteArgs, note};
use crate::cli::Context;
use crate::exit::{Failure, USAGE};
use crate::output::Tone;
use crate::process::{self, Stops};
use crate::server::{Options, Server};

/// When the demo gives up.
const DEADLINE: Duration = Duration::from_secs(60);
/// Fewer workers leave nobody to take over: one is killed and one is frozen.
const FEWEST_WORKERS: usize = 3;
/// Fewer issues would be done before the trouble starts.
const FEWEST_ISSUES: usize = 8;
/// What is worked on where nobody brings issues.
const ISSUES: &str = include_str!("../../demo/issues.json");

/// Watch workers share a queue of issues while one is killed and one is frozen
///
/// Starts a private server, queues real-looking issues by their priority, and has real `poppo work` processes claim them.
/// One worker is ended by `kill -9`, another one frozen with SIGSTOP. Both are noticed, their tasks go back to the queue and
/// to others under higher tokens; then the frozen one is woken, and its late report is refused. One task fails and is tried
/// again; one fails for good, is found among the dead, and revived.
///
/// The verdict at the end is worked out from what the workers' commands wrote down and from the server's log. Exit code 0
/// means that no issue was ever held twice, and that each was done exactly once. It takes a few seconds and cleans up after
/// itself.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Example:
  $ poppo demo
  $ poppo demo --workers 8 --issues mine.json

A file of issues is a JSON array of {\"number\":1,\"title\":\"…\",\"type\":\"fix\",\"priority\":\"high\"}, eight
at least; the priority may be missing.")]
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
    /// Keep the labels of these issues in step in this repository of GitHub's, with the token in GITHUB_TOKEN
    #[arg(long, value_name = "OWNER/NAME")]
    repository: Option<String>,
    /// Without a repository: a program that serves what looks like GitHub, and prints where
    #[arg(long, value_name = "PROGRAM", env = "POPPO_GITHUB_SERVER", hide_env_values = true)]
    github_server: Option<PathBuf>,
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
    #[serde(default, deserialize_with = "priority")]
    priority: Priority,
}

fn priority<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Priority, D::Error> {
    String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
}

/// The issues of a file, in the order in which they will be claimed.
fn read_tasks(text: &str) -> Result<Vec<Task>, Failure> {
    let usage = |message: String| Failure::new(USAGE, "USAGE", message);
    let mut tasks: Vec<Task> =
        serde_json::from_str(text).map_err(|error| usage(format!("the file of issues cannot be used: {error}")))?;
    if tasks.len() < FEWEST_ISSUES {
        return Err(usage(format!("the demo needs at least {FEWEST_ISSUES} issues, not {}", tasks.len())));
    }
    tasks.sort_by_key(|task| std::cmp::Reverse(task.priority));
    Ok(tasks)
}

pub(crate) async fn run(args: Args, context: &Context) -> Result<ExitCode, Failure> {
    context.refuse_file("demo")?;
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

    let mut play = match Play::prepare(&server, &context.project, tasks, screen).await {
        Ok(play) => play,
        Err(failure) => return server.stop().await.and(Err(failure)),
    };
    let url = server.url();
    let whole = async {
        let (repository, program) = (args.repository.as_deref(), args.github_server.as_deref());
        let forge = Forge::start(repository, program, (&url, &context.project), play.tasks()).await?;
        let outcome = play.perform(args.workers, forge.as_ref()).await?;
        match forge {
            Some(forge) => play.compare_labels(forge).await.map(|()| outcome),
            None => Ok(outcome),
        }
    };
    let outcome = tokio::select! {
        outcome = timeout(DEADLINE, whole) => outcome.unwrap_or_else(|_| {
            Err(Failure::failed(format!("the demo was not over after {} s", DEADLINE.as_secs())))
        }),
        failure = server.died() => Err(failure),
        signal = stops.next() => Err(Failure::new(process::exit_by(signal), "STOPPED", "the demo was stopped")),
    };
    // Whatever happened: first everything that was started is ended, then it is talked about.
    let cleared = play.clear().await;
    let stopped = server.stop().await;
    let held_twice = journal::judge(&play.entries).held_twice;
    let end = outcome.and_then(|outcome| play.conclude(&outcome, context.out));
    if !held_twice.is_empty() && !context.out.json {
        // Said last and in any case: where this happens, other things fail as well, and matter less.
        context.out.line(&format!("HELD TWICE: {}", held_twice.join("; ")))?;
    }
    let code = end?;
    cleared.and(stopped)?;
    Ok(code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_issues_that_come_with_it_can_be_used_and_come_by_priority() {
        let tasks = read_tasks(ISSUES).unwrap_or_default();
        assert_eq!(tasks.len(), 14);
        assert!(tasks.is_sorted_by_key(|task| std::cmp::Reverse(task.priority)));
    }

    #[test]
    fn too_few_issues_are_refused() {
        assert!(read_tasks("[]").is_err_and(|failure| failure.exit == USAGE));
        assert!(read_tasks("{}").is_err());
        let bad = r#"[{"number":1,"title":"t","type":"fix","priority":"asap"}]"#;
        assert!(read_tasks(bad).is_err_and(|failure| failure.message.contains("urgent")));
    }

    #[test]
    fn somebody_must_be_left_to_take_over() {
        assert!(workers("2").is_err());
        assert_eq!(workers("3"), Ok(3));
        assert!(workers("many").is_err());
    }
}
