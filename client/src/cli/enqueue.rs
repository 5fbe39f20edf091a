//! `poppo enqueue`: ENQUEUE.

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use poppo::{Enqueue, IssueNumber, Priority};

use crate::cli::Context;
use crate::exit::{Failure, USAGE};
use crate::human::parse_duration;

/// The longest payload, in bytes: what the server takes.
const LONGEST_PAYLOAD: u64 = 65_536;

/// Queue a task: work on an issue, for whichever worker is free
///
/// A task is queued once: where one of its id waits, runs or is dead, or was finished before, nothing is queued, which is
/// said and is no failure. So a script may queue whatever it finds, as often as it likes. Of a task that waits, a higher
/// --priority is taken over.
///
/// Tasks are claimed strictly by priority, and first in, first out within one. Two tasks of one issue never run at the
/// same time.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Priorities: urgent 1000, dogfooding 100, high 75, normal 50, low 25, deferred 10, or any number
from 0 to 1000.

Example:
  $ poppo enqueue 123 --type fix --title \"Crash on start\" --priority high
  $ poppo enqueue 123 --id IC_kwDOA1b2c3 --type comment --payload '{\"body\":\"please rebase\"}'
  $ gh issue view 123 --json title,body | poppo enqueue 123 --payload-file -")]
pub(crate) struct Args {
    /// The issue's number
    issue: IssueNumber,
    /// The task's id, such as a comment's [default: ISSUE:TYPE]
    #[arg(long, value_name = "ID")]
    id: Option<String>,
    /// The kind of task, such as fix [default: issue]
    #[arg(long = "type", value_name = "TYPE")]
    task_type: Option<String>,
    /// How urgent it is: a level or 0 to 1000 [default: normal]
    #[arg(long, value_name = "LEVEL")]
    priority: Option<Priority>,
    /// Not to be claimed before so much time has passed: up to 365d
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    delay: Option<Duration>,
    /// The issue's title
    #[arg(long)]
    title: Option<String>,
    /// What the worker needs to know, as JSON of at most 65536 bytes
    #[arg(long, value_name = "JSON")]
    payload: Option<String>,
    /// A file with the payload; - is stdin
    #[arg(long, value_name = "FILE", conflicts_with = "payload")]
    payload_file: Option<PathBuf>,
    /// Also if it was finished before, or is dead: then with its counts at zero
    #[arg(long)]
    again: bool,
}

pub(crate) async fn run(args: Args, context: &Context) -> Result<(), Failure> {
    let payload = match &args.payload_file {
        Some(file) => Some(read_payload(file)?),
        None => args.payload,
    };
    let enqueue = Enqueue {
        issue: args.issue,
        id: args.id,
        task_type: args.task_type,
        priority: args.priority,
        delay: args.delay,
        title: args.title,
        payload,
        again: args.again,
    };
    let queued = context.project().await?.enqueue(&enqueue).await?;
    let task = enqueue.id.clone().unwrap_or_else(|| {
        let task_type = enqueue.task_type.as_deref().unwrap_or("issue");
        format!("{}:{task_type}", enqueue.issue)
    });
    let document = serde_json::json!({ "issue": enqueue.issue, "task": task, "queued": queued });
    let sentence = if queued {
        format!("task {task} is queued")
    } else {
        format!("task {task} is not queued: it is there already, or was finished before (see --again)")
    };
    Ok(context.out.say(&document, &sentence)?)
}

/// The text of a payload file, without the newline at its end.
fn read_payload(file: &Path) -> Result<String, Failure> {
    let usage = |message: String| Failure::new(USAGE, "USAGE", format!("--payload-file {}: {message}", file.display()));
    let mut text = String::new();
    // A little more than is allowed is enough to see that it is too much.
    let read = if file == Path::new("-") {
        std::io::stdin().take(LONGEST_PAYLOAD * 2).read_to_string(&mut text)
    } else {
        fs::File::open(file).and_then(|file| file.take(LONGEST_PAYLOAD * 2).read_to_string(&mut text))
    };
    read.map_err(|error| usage(error.to_string()))?;
    let text = text.trim();
    if u64::try_from(text.len()).is_ok_and(|length| length > LONGEST_PAYLOAD) {
        return Err(usage(format!("it must be at most {LONGEST_PAYLOAD} bytes long")));
    }
    serde_json::from_str::<serde::de::IgnoredAny>(text).map_err(|error| usage(format!("it must be JSON: {error}")))?;
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_file_must_be_json_and_not_too_long() -> std::io::Result<()> {
        let dir = tempfile::tempdir()?;
        let file = dir.path().join("payload");
        let read = |text: &str| {
            fs::write(&file, text)?;
            Ok::<_, std::io::Error>(read_payload(&file))
        };
        assert!(read("{\"a\": 1}\n")?.is_ok_and(|text| text == "{\"a\": 1}"));
        for bad in ["", "nonsense", "{", &format!("\"{}\"", "x".repeat(65_536)), &"1".repeat(200_000)] {
            assert!(read(bad)?.is_err_and(|failure| failure.exit == USAGE && failure.message.contains("payload")));
        }
        assert!(read_payload(&dir.path().join("none")).is_err());
        Ok(())
    }
}
