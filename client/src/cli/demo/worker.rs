//! The demo's workers: real `poppo work` processes, what their commands do to an issue, and what both write down.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use poppo::{IssueNumber, Token};
use serde::Deserialize;
use tokio::process::{Child, Command};

use super::journal::{self, Entry, Event, Reader};
use crate::exit::Failure;
use crate::process;

/// What a worker does to an issue: it takes half a second to a second, and leaves a result. One issue fails once, and one
/// fails until somebody has mended what it needs.
const SCRIPT: &str = r#"
"$POPPO_DEMO_PROGRAM" demo-note start --runner $PPID || exit
rounds=$((5 + POPPO_ISSUE % 5))
while [ "$rounds" -gt 0 ]; do
    sum=$(head -c 500000 /dev/urandom | cksum | cut -d ' ' -f 1)
    rounds=$((rounds - 1))
    sleep 0.1
done
printf '{"checksum":%s}\n' "$sum" > "$POPPO_RESULT"
"$POPPO_DEMO_PROGRAM" demo-note end
[ "$POPPO_ISSUE" != "$POPPO_DEMO_FLAKY" ] || [ "$POPPO_ATTEMPTS" -gt 0 ] || exit 1
[ "$POPPO_ISSUE" != "$POPPO_DEMO_BROKEN" ] || [ -e "$POPPO_DEMO_MENDED" ] || exit 2
"#;

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
        /// The PID of its `poppo work`
        #[arg(long)]
        runner: u32,
    },
    /// The command is done
    End,
}

/// Writes down that the command starts or ends, with what `poppo work` gave it in its environment.
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

/// Where the workers work, and on what.
#[derive(Debug, Clone)]
pub(crate) struct Workplace {
    pub(crate) url: String,
    pub(crate) project: String,
    pub(crate) dir: PathBuf,
    pub(crate) journal: PathBuf,
    /// For how long a worker may be silent.
    pub(crate) ttl: Duration,
    /// How long a failed task waits.
    pub(crate) pause: Duration,
    /// The issue that fails once.
    pub(crate) flaky: IssueNumber,
    /// The issue that fails until it is mended.
    pub(crate) broken: IssueNumber,
}

impl Workplace {
    /// The file whose being there mends the broken issue.
    pub(crate) fn mended(&self) -> PathBuf {
        self.dir.join("mended")
    }
}

/// A worker process and the processes below it.
pub(crate) struct Worker {
    pub(crate) name: String,
    pub(crate) child: Child,
    /// Its process group. Its commands have groups of their own.
    pub(crate) group: u32,
    /// Whether the whole group is known to be gone. From then on its number may be anybody's.
    pub(crate) is_gone: bool,
    lines: Reader,
}

impl Worker {
    /// Starts a real `poppo work`.
    pub(crate) fn start(name: String, place: &Workplace) -> Result<Self, Failure> {
        let program = std::env::current_exe()?;
        let mut command = Command::new(&program);
        command.args(["--json", "work", "--process", &name, "--ttl", &millis(place.ttl)]);
        command.args(["--retry", &format!("base={0},max={0}", millis(place.pause)), "--", "sh", "-c", SCRIPT]);
        command
            .env("POPPO_URL", &place.url)
            .env("POPPO_PROJECT", &place.project)
            .env("POPPO_DEMO_PROGRAM", &program)
            .env("POPPO_DEMO_JOURNAL", &place.journal)
            .env("POPPO_DEMO_FLAKY", place.flaky.to_string())
            .env("POPPO_DEMO_BROKEN", place.broken.to_string())
            .env("POPPO_DEMO_MENDED", place.mended())
            // One that is killed cannot clean up after itself.
            .env("TMPDIR", &place.dir);
        let out = place.dir.join(format!("{name}.jsonl"));
        let log = File::create(place.dir.join(format!("{name}.log")))?;
        command.stdin(Stdio::null()).stdout(File::create(&out)?).stderr(log).process_group(0);
        process::die_with_parent(&mut command);
        let child = command.spawn()?;
        let group = child.id().ok_or_else(|| Failure::failed(format!("{name} ended at once")))?;
        Ok(Self { name, child, group, is_gone: false, lines: Reader::open(&out)? })
    }

    /// What it said since it was last asked.
    pub(crate) fn news(&mut self) -> io::Result<Vec<Entry>> {
        let lines = self.lines.read::<Line>()?;
        Ok(lines.into_iter().map(|line| Entry::now(&self.name, line.issue, line.event())).collect())
    }
}

/// A line of `poppo work --json`.
#[derive(Debug, Deserialize)]
struct Line {
    issue: IssueNumber,
    token: Token,
    status: String,
    reason: Option<String>,
    code: Option<String>,
}

impl Line {
    fn event(self) -> Event {
        let (token, reason) = (self.token, self.reason.unwrap_or_default());
        match self.status.as_str() {
            "completed" => Event::Completed { token },
            "lost" => Event::Lost { token, code: self.code.unwrap_or_default(), message: reason },
            status => Event::Failed { token, reason, dead: status == "dead" },
        }
    }
}

fn millis(duration: Duration) -> String {
    format!("{}ms", duration.as_millis())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_workers_lines_are_understood() {
        let event = |json: &str| serde_json::from_str::<Line>(json).unwrap().event();
        let token = Token::try_from(9).unwrap();
        assert_eq!(event(r#"{"issue":7,"token":9,"status":"completed","more":1}"#), Event::Completed { token });
        let dead = event(r#"{"issue":7,"token":9,"status":"dead","reason":"exit status 2"}"#);
        assert_eq!(dead, Event::Failed { token, reason: "exit status 2".to_owned(), dead: true });
        let lost = event(r#"{"issue":7,"token":9,"status":"lost","code":"STALE","reason":"r"}"#);
        assert_eq!(lost, Event::Lost { token, code: "STALE".to_owned(), message: "r".to_owned() });
    }
}
