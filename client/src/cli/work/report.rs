//! What `poppo work` prints: one line a task, for people or for programs.

use std::time::{Duration, SystemTime};

use poppo::Claimed;
use serde::{Serialize, Serializer};

use crate::human;
use crate::output::{Field, Lines, Output, Tone};

/// What the table shows of a task.
const HEADINGS: &[&str] = &["TIME", "ISSUE", "TASK", "STATUS", "TOOK", "NOTE"];
/// How wide the columns are at least: rows come one by one, and should stand below each other all the same.
const WIDTHS: &[usize] = &[24, 6, 16, 17, 8];

/// What became of a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    Completed,
    AwaitingResponse,
    /// It waits again, for another run.
    Queued,
    /// It failed, and is dead.
    Dead,
    /// Somebody called it off.
    Cancelled,
    /// Its lease was lost: whatever was done is another's to do.
    Lost,
    /// How it ended could not be reported.
    Unreported,
}

impl Fate {
    fn as_str(self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::AwaitingResponse => "awaiting-response",
            Self::Queued => "queued",
            Self::Dead => "dead",
            Self::Cancelled => "cancelled",
            Self::Lost => "lost",
            Self::Unreported => "unreported",
        }
    }

    fn tone(self) -> Tone {
        match self {
            Self::Completed => Tone::Good,
            Self::AwaitingResponse | Self::Queued => Tone::Warning,
            Self::Cancelled => Tone::Quiet,
            Self::Dead | Self::Lost | Self::Unreported => Tone::Bad,
        }
    }
}

impl Serialize for Fate {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// What a worker does and did, in numbers.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Tally {
    pub(super) running: usize,
    pub(super) done: usize,
    pub(super) failed: usize,
    pub(super) lost: usize,
}

impl Tally {
    pub(super) fn count(&mut self, fate: Fate) {
        match fate {
            Fate::Completed | Fate::AwaitingResponse | Fate::Cancelled => self.done += 1,
            Fate::Queued | Fate::Dead | Fate::Unreported => self.failed += 1,
            Fate::Lost => self.lost += 1,
        }
    }
}

/// How a task ended.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Done {
    pub(super) status: Fate,
    /// For how many ms it was worked on.
    pub(super) duration: u64,
    /// The command's exit status, where it had one that counts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) exit: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) reason: Option<String>,
    /// The code of the refusal by which its lease was lost.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) code: Option<String>,
    /// In how many ms it can be claimed again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) retry_in: Option<u64>,
}

/// Where it is printed.
pub(super) struct Report {
    out: Output,
    lines: Lines,
}

impl Report {
    pub(super) fn new(out: Output) -> Self {
        Self { out, lines: Lines::new(HEADINGS, out).at_least(WIDTHS) }
    }

    /// Prints what became of a task. Where nobody reads it, the work goes on.
    pub(super) fn print(&mut self, task: &Claimed, done: &Done) {
        #[derive(Serialize)]
        struct Document<'a> {
            at: String,
            #[serde(flatten)]
            task: &'a Claimed,
            #[serde(flatten)]
            done: &'a Done,
        }
        let at = humantime::format_rfc3339_millis(SystemTime::now()).to_string();
        drop(if self.out.json {
            self.out.json_line(&Document { at, task, done })
        } else {
            self.lines.print(&[row(at, task, done)])
        });
    }
}

fn row(at: String, task: &Claimed, done: &Done) -> Vec<Field> {
    let retry = done.retry_in.map(|millis| match millis {
        0 => "again at once".to_owned(),
        millis => format!("again in {}", human::duration(Duration::from_millis(millis))),
    });
    let note: Vec<&str> = [done.reason.as_deref(), retry.as_deref()].into_iter().flatten().collect();
    vec![
        Field::toned(at, Tone::Quiet),
        Field::number(task.issue),
        Field::from(task.task.as_str()),
        Field::toned(done.status.as_str(), done.status.tone()),
        Field::number(human::duration(Duration::from_millis(done.duration))),
        Field::from(note.join("; ")),
    ]
}
