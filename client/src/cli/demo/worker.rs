//! One of the demo's workers: a process that goes through the issues and starts a real `poppo run` for each, until all
//! of them are done. And the note that the command inside takes of its start and its end.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use poppo::{IssueNumber, Status};
use serde::Deserialize;
use tokio::process::Command;
use tokio::time::sleep;

use super::journal::{self, Entry, Event};
use super::{HEARTBEAT_TTL, Task};
use crate::cli::Context;
use crate::exit::Failure;
use crate::process;

/// The pause between two rounds, in which what others had may become free.
const PAUSE: Duration = Duration::from_millis(150);

/// What a worker does to an issue: it takes half a second to a second, and leaves a result.
const SCRIPT: &str = r#"
"$POPPO_DEMO_PROGRAM" demo-note start --runner $PPID || exit
rounds=$((5 + POPPO_ISSUE % 5))
while [ "$rounds" -gt 0 ]; do
    sum=$(head -c 500000 /dev/urandom | cksum | cut -d ' ' -f 1)
    rounds=$((rounds - 1))
    sleep 0.1
done
printf '{"checksum":%s}\n' "$sum" > "$POPPO_DEMO_RESULT"
exec "$POPPO_DEMO_PROGRAM" demo-note end
"#;

/// A worker of the demo
#[derive(Debug, clap::Args)]
pub(crate) struct WorkerArgs {
    /// Its name
    #[arg(long)]
    pub(crate) name: String,
    /// Its number, from 0: says in which order it goes through the issues
    #[arg(long)]
    pub(crate) number: usize,
    /// The issues, as JSON
    #[arg(long)]
    pub(crate) issues: PathBuf,
    /// Where it writes down what happened
    #[arg(long)]
    pub(crate) journal: PathBuf,
}

/// A note of a command of the demo
#[derive(Debug, clap::Args)]
pub(crate) struct NoteArgs {
    #[command(subcommand)]
    what: Note,
}

#[derive(Debug, clap::Subcommand)]
enum Note {
    /// The command starts
    Start {
        /// The PID of its `poppo run`
        #[arg(long)]
        runner: u32,
    },
    /// The command is done
    End,
}

/// Writes down that the command starts or ends, with what `poppo run` gave it in its environment.
pub(crate) fn note(args: &NoteArgs) -> Result<(), Failure> {
    let from_env = |name: &str| std::env::var(name).map_err(|error| Failure::failed(format!("{name}: {error}")));
    let token = from_env("POPPO_TOKEN")?.parse().map_err(poppo::Error::from)?;
    let issue: IssueNumber = from_env("POPPO_ISSUE")?.parse().map_err(poppo::Error::from)?;
    let event = match args.what {
        Note::Start { runner } => {
            let group = u32::try_from(rustix::process::getpgrp().as_raw_nonzero().get()).unwrap_or_default();
            Event::Start { token, group, runner }
        }
        Note::End => Event::End { token },
    };
    let entry = Entry::now(&from_env("POPPO_PROCESS")?, issue, event);
    Ok(journal::append(Path::new(&from_env("POPPO_DEMO_JOURNAL")?), &entry)?)
}

/// Goes through the issues until all are done.
pub(crate) async fn work(args: WorkerArgs, context: &Context) -> Result<(), Failure> {
    let project = context.project().await?;
    let mut tasks = super::read_tasks(&std::fs::read_to_string(&args.issues)?)?;
    shuffle_a_bit(&mut tasks, args.number);
    let mut completed = BTreeSet::new();
    while !tasks.iter().all(|task| completed.contains(&task.number)) {
        for task in &tasks {
            if !completed.contains(&task.number) {
                let event = attempt(&args, task).await?;
                let is_done = matches!(&event, Event::Completed)
                    || matches!(&event, Event::Refused { code, .. } if code == "DONE");
                if is_done {
                    completed.insert(task.number);
                }
                journal::append(&args.journal, &Entry::now(&args.name, task.number, event))?;
            }
        }
        let done = project.list_all(Some(Status::Completed)).await?;
        completed.extend(done.iter().map(|issue| issue.issue));
        sleep(PAUSE).await;
    }
    Ok(())
}

/// The same order for all, with a few neighbours swapped, differently for each: so that they meet often.
fn shuffle_a_bit(tasks: &mut [Task], number: usize) {
    for (index, pair) in tasks.chunks_exact_mut(2).enumerate() {
        if (index + number).is_multiple_of(3) {
            pair.reverse();
        }
    }
}

/// Tries one issue with a real `poppo run`.
async fn attempt(args: &WorkerArgs, task: &Task) -> Result<Event, Failure> {
    let program = std::env::current_exe()?;
    let result = args.journal.with_file_name(format!("{}.result.json", args.name));
    let mut command = Command::new(&program);
    command.args(["--json", "run", &task.number.to_string(), "--once", "--process", &args.name]);
    command.args(["--type", &task.task_type, "--title", &task.title]);
    command.args(["--ttl", &format!("{}ms", HEARTBEAT_TTL.as_millis())]);
    command.arg("--result-file").arg(&result).args(["--", "sh", "-c", SCRIPT]);
    command
        .env("POPPO_DEMO_PROGRAM", &program)
        .env("POPPO_DEMO_JOURNAL", &args.journal)
        .env("POPPO_DEMO_RESULT", &result)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    process::die_with_parent(&mut command);
    let output = command.spawn()?.wait_with_output().await?;
    Ok(if output.status.success() {
        Event::Completed
    } else {
        refusal(&String::from_utf8_lossy(&output.stderr)).unwrap_or_else(|| Event::Refused {
            code: "FAILED".to_owned(),
            message: format!("poppo run: {}", output.status),
        })
    })
}

/// The last words of a `poppo run --json`.
fn refusal(stderr: &str) -> Option<Event> {
    #[derive(Deserialize)]
    struct Document {
        error: Words,
    }
    #[derive(Deserialize)]
    struct Words {
        code: String,
        message: String,
    }
    let document: Document = serde_json::from_str(stderr.lines().last()?).ok()?;
    Some(Event::Refused { code: document.error.code, message: document.error.message })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_is_the_refusal() {
        let stderr = "poppo: warning\n{\"error\":{\"code\":\"HELD\",\"message\":\"issue 7 …\"}}\n";
        let expected = Event::Refused { code: "HELD".to_owned(), message: "issue 7 …".to_owned() };
        assert_eq!(refusal(stderr), Some(expected));
        assert_eq!(refusal("nonsense"), None);
    }
}
