//! What the files have no place for.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::output::{Field, Output, Table, Tone};

/// How many of a kind are named.
const NAMED: usize = 10;

/// A kind of things that are in a project and not in the files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum What {
    DeadTasks,
    Delays,
    Priorities,
    TaskTypes,
    FinishedTypes,
    Payloads,
    Orphans,
    StopRequests,
    Holders,
    Workers,
    Labels,
    Tokens,
    Settings,
    FreeState,
}

impl What {
    /// As people are told.
    fn sentence(self) -> &'static str {
        match self {
            Self::DeadTasks => "dead tasks: they are left out",
            Self::Delays => "tasks that are not due yet: there they wait as all others",
            Self::Priorities => "tasks of a priority that is none of 100, 75, 50, 25: the next below is written",
            Self::TaskTypes => "tasks of types that no label there names: they are done as any other",
            Self::FinishedTypes => "finished tasks of such types: there their issues are processed",
            Self::Payloads => "payloads that are no JSON object: they are a field of their task, which nobody reads",
            Self::Orphans => "tasks that lost their workers, and how often",
            Self::StopRequests => "leases that were asked to stop",
            Self::Holders => "hosts and progress of who works",
            Self::Workers => "on which hosts issues were worked on",
            Self::Labels => "issues whose labels are still to be written: nothing asks for that there",
            Self::Tokens => "fencing tokens of leases",
            Self::Settings => "settings",
            Self::FreeState => "values of free state that are no JSON: they are left out",
        }
    }

    fn tone(self) -> Tone {
        match self {
            Self::DeadTasks | Self::Delays | Self::Priorities | Self::TaskTypes | Self::FreeState => Tone::Warning,
            _ => Tone::Quiet,
        }
    }
}

/// How many of a kind there are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Lost {
    what: What,
    count: u64,
    /// The first of them.
    examples: Vec<String>,
}

/// All that is not in the files.
#[derive(Debug, Default)]
pub(super) struct Losses(BTreeMap<What, (u64, Vec<String>)>);

impl Losses {
    pub(super) fn add(&mut self, what: What, example: impl FnOnce() -> String) {
        let (count, examples) = self.0.entry(what).or_default();
        *count += 1;
        if examples.len() < NAMED {
            examples.push(example());
        }
    }

    pub(super) fn list(self) -> Vec<Lost> {
        self.0.into_iter().map(|(what, (count, examples))| Lost { what, count, examples }).collect()
    }
}

/// Says it to people.
pub(crate) fn show(out: Output, lost: &[Lost]) -> std::io::Result<()> {
    let mut table = Table::new(&["NOT HELD", "", "SUCH AS"]);
    for Lost { what, count, examples } in lost {
        let more = if u64::try_from(examples.len()).is_ok_and(|named| named < *count) { ", …" } else { "" };
        let examples = Field::toned(format!("{}{more}", examples.join(", ")), Tone::Quiet);
        table.row([Field::number(count), Field::toned(what.sentence(), what.tone()), examples]);
    }
    out.table(&table, "the files hold all of it")
}
