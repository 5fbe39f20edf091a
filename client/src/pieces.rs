//! EXPORT and IMPORT: a project as lines of JSON, a piece at a time. `docs/state.md` describes the lines.

use std::ops::AddAssign;

use poppo_core::EXPORT_VERSION;
use redis::Value;
use serde::Serialize;

use crate::decode::{self, Fields, Misread};
use crate::requests::option;
use crate::types::Cursor;
use crate::{Error, Project};

/// A piece of a project.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exported {
    /// Where the next piece begins; none behind the last.
    pub next: Option<Cursor>,
    /// What the entries are: a line of JSON.
    pub header: String,
    /// The entries, a line of JSON each.
    pub lines: Vec<String>,
}

impl Exported {
    fn read(value: Value) -> Result<Self, Misread> {
        let (cursor, lines) = decode::pair(value)?;
        let cursor = decode::text(cursor)?;
        let mut lines = decode::list(lines, decode::text)?.into_iter();
        let header = lines.next().ok_or("a piece has no lines")?;
        Ok(Self { next: (cursor != "0").then_some(Cursor(cursor)), header, lines: lines.collect() })
    }
}

/// What became of the entries of pieces that were merged. Each is counted once, besides those that are `orphans`, too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Imported {
    /// Issues' records that were taken.
    pub issues: u64,
    /// How many of them are leases: orphans, until their workers beat there.
    pub orphans: u64,
    /// Tasks that wait there now.
    pub tasks: u64,
    /// Tasks that are dead there now.
    pub dead: u64,
    /// Ids of finished tasks that are remembered there now.
    pub finished: u64,
    /// How many times settings or the last token were taken.
    pub settings: u64,
    /// Entries that were there already.
    pub unchanged: u64,
    /// Entries of which something else is there, that stayed.
    pub kept: u64,
}

impl Imported {
    /// How many entries were merged.
    #[must_use]
    pub fn entries(&self) -> u64 {
        let Self { issues, orphans: _, tasks, dead, finished, settings, unchanged, kept } = self;
        issues + tasks + dead + finished + settings + unchanged + kept
    }

    fn read(value: Value) -> Result<Self, Misread> {
        let mut fields = Fields::new(value)?;
        let mut count = |name| fields.required(name, decode::number);
        Ok(Self {
            issues: count("issues")?,
            orphans: count("orphans")?,
            tasks: count("tasks")?,
            dead: count("dead")?,
            finished: count("finished")?,
            settings: count("settings")?,
            unchanged: count("unchanged")?,
            kept: count("kept")?,
        })
    }
}

impl AddAssign for Imported {
    fn add_assign(&mut self, more: Self) {
        let Self { issues, orphans, tasks, dead, finished, settings, unchanged, kept } = more;
        self.issues += issues;
        self.orphans += orphans;
        self.tasks += tasks;
        self.dead += dead;
        self.finished += finished;
        self.settings += settings;
        self.unchanged += unchanged;
        self.kept += kept;
    }
}

impl Project {
    /// A piece of the project as lines of JSON: from `cursor` on, or from the beginning, at most `count` entries (1 to 10,000,
    /// default 100). What is there throughout is in one of the pieces.
    ///
    /// # Errors
    /// As every method.
    pub async fn export(&self, cursor: Option<&Cursor>, count: Option<u32>) -> Result<Exported, Error> {
        let mut cmd = redis::cmd("POPPO.EXPORT");
        cmd.arg(self.key());
        option(&mut cmd, "CURSOR", cursor.map(|cursor| cursor.0.as_str()));
        option(&mut cmd, "COUNT", count);
        self.client().ask("POPPO.EXPORT", &cmd, Exported::read).await
    }

    /// Merges entries, lines of JSON of an export of this version. What is there wins, unless what comes is certainly newer;
    /// a live lease is never touched, and the same entries again change nothing. All of them are merged, or none.
    ///
    /// # Errors
    /// [`Error::BadArgument`] where a line is not what it may be, or all together are more than 8 MiB; else as every method.
    pub async fn import(&self, lines: &[impl AsRef<str>]) -> Result<Imported, Error> {
        let mut json = format!("{{\"export\":{{\"version\":{EXPORT_VERSION}}}}}\n");
        for line in lines {
            json.push_str(line.as_ref());
            json.push('\n');
        }
        let mut cmd = redis::cmd("POPPO.IMPORT");
        cmd.arg(self.key()).arg(json);
        self.client().ask("POPPO.IMPORT", &cmd, Imported::read).await
    }
}
