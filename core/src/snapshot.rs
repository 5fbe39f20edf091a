//! A project as bytes: what RDB files, AOF rewrites, DUMP and DEBUG DIGEST are made of.
//!
//! A project is a sequence of **pieces**: one head, then its lives, issues, tasks, dead tasks, finished tasks and events,
//! each in order and a few hundred to a piece, so that no step holds the whole in memory. A piece begins with the version of its encoding; the rest is
//! [postcard](https://postcard.jamesmunns.com/wire-format), a stable format of variable-length integers. Names are
//! spelled out once a piece. Equal projects give equal bytes, whatever order their commands came in.
//!
//! Reading trusts nothing: every value is checked as a command's argument would be, and every reference.

mod document;
mod moving;
mod said;
mod v1;
mod v2;

pub use document::Unreadable;
pub(crate) use moving::LONGEST_PIECE;
pub use moving::{BadPiece, EXPORT_VERSION, ExportCursor, Exported, Imported, Piece as MovedPiece};

use said::{Said, Unsaid};

use std::collections::{BTreeMap, BTreeSet};

use compact_str::CompactString;
use serde::{Deserialize, Serialize};

use crate::events::{Entry, Log, Says};
use crate::issue::{Aftermath, Asked, Ended, Issue, Run, Working};
use crate::life::{Claims, Life, LifeId, Progress, Requested, Standing};
use crate::names::{NameId, Names};
use crate::project::{Head, Project};
use crate::queue::{Dead, Finished, Task, TaskNumber, Texts};
use crate::settings::Settings;
use crate::stats::{Histogram, Totals};
use crate::types::{
    EndedBy, EventKind, HIGHEST_STORED, Instant, Invalid, IssueNumber, Millis, Name, OrphanReason, Outcome, Pid,
    Priority, Status, TaskId, Text, Token,
};

/// The version of the encoding that this build writes, and the newest that it reads.
pub const VERSION: u8 = 3;

/// How many records a piece holds at most.
const PIECE: usize = 256;

/// With texts of this many bytes a piece is full, however few records they belong to.
const PIECE_BYTES: usize = 64 * 1024;

/// Why bytes are not a project.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Corrupt {
    /// Written by a version that this one does not know.
    #[error("encoding version {0} is newer than {VERSION}, the newest that this version of Poppo reads")]
    Version(u8),
    /// Not an encoding at all.
    #[error("the encoding is damaged")]
    Encoding,
    /// Something in it contradicts the rest or is out of range.
    #[error("{0} is out of range or contradicts the rest")]
    Value(&'static str),
    /// Something in it is not what it may be.
    #[error("{0} {1}")]
    Invalid(&'static str, Invalid),
}

#[derive(Serialize, Deserialize)]
enum Piece<'a> {
    Head(Box<HeadRow>),
    #[serde(borrow)]
    Lives(Rows<'a, LifeRow<'a>>),
    #[serde(borrow)]
    Issues(Rows<'a, IssueRow<'a>>),
    #[serde(borrow)]
    Tasks(Rows<'a, WaitingRow<'a>>),
    #[serde(borrow)]
    Dead(Rows<'a, DeadRow<'a>>),
    #[serde(borrow)]
    Finished(Vec<FinishedRow<'a>>),
    /// The number of the first, and the events.
    Events(u64, #[serde(borrow)] Rows<'a, EventRow<'a>>),
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct HeadRow {
    created: Instant,
    last_token: Option<Token>,
    next_life: u64,
    ends: u64,
    last_event: u64,
    waits: u64,
    deaths: u64,
    finishes: u64,
    drain: bool,
    settings: Settings,
    totals: Totals,
    wait: Histogram,
    hold: Histogram,
    detection: Histogram,
}

/// Records, and the names that they mean by number.
#[derive(Serialize, Deserialize)]
struct Rows<'a, T> {
    #[serde(borrow)]
    names: Vec<&'a str>,
    rows: Vec<T>,
}

impl<'a, T> Rows<'a, T> {
    /// The same in another form.
    fn map<U>(self, form: impl Fn(T) -> U) -> Rows<'a, U> {
        Rows { names: self.names, rows: self.rows.into_iter().map(form).collect() }
    }
}

/// A life. Names are numbers of the piece's table, unless they are spelled out.
///
/// In rows that move to another project (`N` is a text, and the parameters behind it differ, too) all numbers are left out
/// that only mean something within this one.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct LifeRow<'a, N = u32, I: Said = u64, S = StandingRow> {
    #[serde(skip_serializing_if = "Said::is_unsaid")]
    id: I,
    process: N,
    incarnation: Option<&'a str>,
    pid: Option<Pid>,
    host: Option<N>,
    tmux: Option<&'a str>,
    ttl: Millis,
    seen: Instant,
    #[serde(borrow)]
    progress: Option<ProgressRow<'a>>,
    standing: S,
    #[serde(borrow)]
    claims: LifeClaims<'a, N>,
}

/// The types that a life asked for last, and the id, issue and token of a claim that can be repeated.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct LifeClaims<'a, N = u32> {
    #[serde(rename = "types")]
    kinds: Vec<N>,
    #[serde(borrow)]
    request: Option<RequestRow<'a>>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
enum StandingRow {
    Current { attested: Option<Instant> },
    Dead { at: Instant },
    Ended { at: Instant, reason: OrphanReason },
}

#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct IssueRow<'a, N = u32, I: Said = u64, L = u64, A: Said = Unsaid> {
    number: IssueNumber,
    token: Token,
    started: Instant,
    completed: Option<Instant>,
    title: Option<&'a str>,
    #[serde(rename = "type")]
    kind: Option<N>,
    #[serde(borrow)]
    run: RunRow<'a, N, I, L, A>,
    #[serde(skip_serializing_if = "Said::is_unsaid")]
    version: I,
    behind: bool,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct EventRow<'a, N = u32> {
    issue: IssueNumber,
    token: Option<Token>,
    at: Instant,
    process: Option<N>,
    #[serde(rename = "type")]
    kind: Option<N>,
    task: Option<&'a str>,
    #[serde(rename = "event")]
    what: EventKind,
    status: Option<Status>,
    from: Option<Status>,
    reason: Option<&'a str>,
}

#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
enum RunRow<'a, N = u32, I: Said = u64, L = u64, A: Said = Unsaid> {
    Held(L),
    #[serde(borrow)]
    Ended(EndedRow<'a, N, I>),
    #[serde(borrow)]
    Working(WorkingRow<'a, N, L, A>),
}

#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct WorkingRow<'a, N = u32, L = u64, A: Said = Unsaid> {
    life: L,
    #[serde(borrow)]
    task: Option<TaskRow<'a, N, A>>,
    #[serde(borrow)]
    asked: Option<AskedRow<'a>>,
    follows: Option<FollowsRow>,
}

/// A task, without its issue.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct TaskRow<'a, N = u32, A: Said = Unsaid> {
    id: &'a str,
    #[serde(rename = "type")]
    kind: N,
    priority: Priority,
    attempts: u16,
    orphans: u16,
    turn: Instant,
    title: Option<&'a str>,
    payload: Option<&'a str>,
    #[serde(skip_serializing_if = "Said::is_unsaid")]
    again: A,
}

#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct WaitingRow<'a, N = u32, I: Said = u64, D: Said = bool, A: Said = Unsaid> {
    #[serde(skip_serializing_if = "Said::is_unsaid")]
    number: I,
    #[serde(skip_serializing_if = "Said::is_unsaid")]
    delayed: D,
    issue: IssueNumber,
    #[serde(borrow)]
    task: TaskRow<'a, N, A>,
}

#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct DeadRow<'a, N = u32, I: Said = u64, A: Said = Unsaid> {
    #[serde(skip_serializing_if = "Said::is_unsaid")]
    number: I,
    issue: IssueNumber,
    at: Instant,
    reason: Option<&'a str>,
    #[serde(borrow)]
    task: TaskRow<'a, N, A>,
}

#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct FinishedRow<'a, I: Said = u64, A: Said = Unsaid> {
    #[serde(skip_serializing_if = "Said::is_unsaid")]
    number: I,
    issue: IssueNumber,
    id: &'a str,
    #[serde(skip_serializing_if = "Said::is_unsaid")]
    again: A,
}

#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct EndedRow<'a, N = u32, I: Said = u64> {
    #[serde(skip_serializing_if = "Said::is_unsaid")]
    end: I,
    at: Instant,
    by: EndedBy,
    outcome: Outcome,
    aftermath: Aftermath,
    next: Option<NextRow>,
    process: N,
    pid: Option<Pid>,
    host: Option<N>,
    reason: Option<&'a str>,
    result: Option<&'a str>,
    metadata: Vec<(&'a str, &'a str)>,
}

/// What a process last said of its work.
#[derive(Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ProgressRow<'a> {
    text: &'a str,
    at: Instant,
}

/// The id, issue and token of a claim.
#[derive(Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RequestRow<'a> {
    id: &'a str,
    issue: IssueNumber,
    token: Token,
}

/// That a holder was asked to stop.
#[derive(Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct AskedRow<'a> {
    at: Instant,
    reason: Option<&'a str>,
}

/// The check-in that a lease came from.
#[derive(Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct FollowsRow {
    token: Token,
    outcome: Outcome,
}

/// The lease that a check-in got.
#[derive(Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct NextRow {
    issue: IssueNumber,
    token: Token,
}

/// Numbers the names of one piece, in the order in which they are first used.
#[derive(Default)]
struct Table<'a> {
    numbers: BTreeMap<NameId, u32>,
    names: Vec<&'a str>,
}

impl<'a> Table<'a> {
    fn number(&mut self, names: &'a Names, id: NameId) -> u32 {
        *self.numbers.entry(id).or_insert_with(|| {
            self.names.push(names.get(id));
            self.names.len() as u32 - 1
        })
    }
}

fn encode(piece: &Piece<'_>) -> Vec<u8> {
    // Encoding into a growing vector cannot fail; an empty piece would be refused as damaged.
    postcard::to_extend(piece, vec![VERSION]).unwrap_or_default()
}

fn decode(piece: &[u8]) -> Result<Piece<'_>, Corrupt> {
    match piece.split_first() {
        Some((&VERSION, body)) => whole(body),
        Some((&v2::VERSION, body)) => whole::<v2::Piece<'_>>(body).map(Piece::from),
        Some((&v1::VERSION, body)) => whole::<v1::Piece<'_>>(body).map(v2::Piece::from).map(Piece::from),
        Some((&version, _)) if version > VERSION => Err(Corrupt::Version(version)),
        _ => Err(Corrupt::Encoding),
    }
}

/// Decodes a body of which nothing may be left over.
fn whole<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, Corrupt> {
    match postcard::take_from_bytes(body) {
        Ok((piece, [])) => Ok(piece),
        _ => Err(Corrupt::Encoding),
    }
}

/// Writing.
impl Project {
    /// The project in pieces, to be given to [`Project::load`] and [`Project::load_next`] in this order.
    pub fn pieces(&self) -> impl Iterator<Item = Vec<u8>> {
        std::iter::once_with(|| encode(&Piece::Head(Box::new(self.head_row()))))
            .chain(
                chunks(self.lives.iter(), Life::text_bytes).map(|lives| encode(&Piece::Lives(self.lives_rows(lives)))),
            )
            .chain(
                chunks(self.issues.iter().map(|(number, issue)| (number, &**issue)), Issue::text_bytes)
                    .map(|issues| encode(&Piece::Issues(self.issues_rows(issues)))),
            )
            .chain(
                chunks(self.queue.tasks.iter().map(|(number, task)| (number, &**task)), Task::text_bytes)
                    .map(|tasks| encode(&Piece::Tasks(self.tasks_rows(tasks)))),
            )
            .chain(
                chunks(self.queue.dead.iter().map(|(number, dead)| (number, &**dead)), Dead::text_bytes)
                    .map(|dead| encode(&Piece::Dead(self.dead_rows(dead)))),
            )
            .chain(
                chunks(self.queue.finished.iter().map(|(number, finished)| (number, finished)), |_| 0)
                    .map(|finished| encode(&Piece::Finished(finished_rows(finished)))),
            )
            .chain(chunks(self.log.iter().map(|entry| (&(), entry)), Entry::text_bytes).scan(
                self.log.before(),
                |before, events| {
                    let first = *before + 1;
                    *before += events.len() as u64;
                    Some(encode(&Piece::Events(first, self.events_rows(events))))
                },
            ))
    }

    fn head_row(&self) -> HeadRow {
        HeadRow {
            created: self.head.created,
            last_token: self.head.last_token,
            next_life: self.head.next_life.0,
            ends: self.head.ends,
            last_event: self.head.last_event,
            waits: self.head.waits,
            deaths: self.head.deaths,
            finishes: self.head.finishes,
            drain: self.head.drain,
            settings: self.head.settings.clone(),
            totals: self.head.totals,
            wait: self.wait.clone(),
            hold: self.hold.clone(),
            detection: self.detection.clone(),
        }
    }

    fn lives_rows<'a>(&'a self, lives: Vec<(&LifeId, &'a Life)>) -> Rows<'a, LifeRow<'a>> {
        let mut table = Table::default();
        let rows = lives.into_iter().map(|(id, life)| LifeRow {
            id: id.0,
            process: table.number(&self.names, life.process),
            incarnation: life.incarnation.as_deref(),
            pid: life.pid,
            host: life.host.map(|host| table.number(&self.names, host)),
            tmux: life.tmux.as_deref(),
            ttl: life.ttl,
            seen: life.seen,
            progress: life.progress.as_deref().map(|progress| ProgressRow { text: &progress.text, at: progress.at }),
            standing: match life.standing {
                Standing::Current { attested } => StandingRow::Current { attested },
                Standing::Dead { at } => StandingRow::Dead { at },
                Standing::Ended { at, reason } => StandingRow::Ended { at, reason },
            },
            claims: life.claims.as_ref().map_or_else(LifeClaims::default, |claims| LifeClaims {
                kinds: claims.kinds.iter().map(|kind| table.number(&self.names, *kind)).collect(),
                request: claims.request.as_ref().map(|last| RequestRow {
                    id: &last.id,
                    issue: last.issue,
                    token: last.token,
                }),
            }),
        });
        let rows = rows.collect();
        Rows { names: table.names, rows }
    }

    fn issues_rows<'a>(&'a self, issues: Vec<(&IssueNumber, &'a Issue)>) -> Rows<'a, IssueRow<'a>> {
        let mut table = Table::default();
        let rows = issues.into_iter().map(|(number, issue)| IssueRow {
            number: *number,
            token: issue.token,
            started: issue.started,
            completed: issue.completed(),
            title: issue.title.as_deref(),
            kind: issue.kind.map(|kind| table.number(&self.names, kind)),
            run: match &issue.run {
                Run::Held(life) => RunRow::Held(life.0),
                Run::Working(working) => RunRow::Working(WorkingRow {
                    life: working.life.0,
                    task: working.task.as_ref().map(|task| self.task_row(&mut table, task)),
                    asked: working
                        .asked
                        .as_ref()
                        .map(|asked| AskedRow { at: asked.at, reason: asked.reason.as_deref() }),
                    follows: working.follows.map(|(token, outcome)| FollowsRow { token, outcome }),
                }),
                Run::Ended(ended) => RunRow::Ended(EndedRow {
                    end: ended.end,
                    at: ended.at,
                    by: ended.by,
                    outcome: ended.outcome,
                    aftermath: ended.aftermath,
                    next: ended.next.map(|(issue, token)| NextRow { issue, token }),
                    process: table.number(&self.names, ended.process),
                    pid: ended.pid,
                    host: ended.host.map(|host| table.number(&self.names, host)),
                    reason: ended.reason.as_deref(),
                    result: ended.result.as_deref(),
                    metadata: ended.metadata.iter().map(|(f, v)| (f.as_str(), v.as_str())).collect(),
                }),
            },
            version: issue.version,
            behind: issue.behind,
        });
        let rows = rows.collect();
        Rows { names: table.names, rows }
    }

    fn task_row<'a>(&'a self, table: &mut Table<'a>, task: &'a Task) -> TaskRow<'a> {
        TaskRow {
            id: &task.id,
            kind: table.number(&self.names, task.kind),
            priority: task.priority,
            attempts: task.attempts,
            orphans: task.orphans,
            turn: task.turn,
            title: task.title(),
            payload: task.payload(),
            again: Unsaid,
        }
    }

    fn tasks_rows<'a>(&'a self, tasks: Vec<(&TaskNumber, &'a Task)>) -> Rows<'a, WaitingRow<'a>> {
        let mut table = Table::default();
        let rows = tasks.into_iter().map(|(number, task)| WaitingRow {
            number: number.count(),
            delayed: number.is_delayed(),
            issue: task.issue,
            task: self.task_row(&mut table, task),
        });
        let rows = rows.collect();
        Rows { names: table.names, rows }
    }

    fn dead_rows<'a>(&'a self, dead: Vec<(&u64, &'a Dead)>) -> Rows<'a, DeadRow<'a>> {
        let mut table = Table::default();
        let rows = dead.into_iter().map(|(number, dead)| DeadRow {
            number: *number,
            issue: dead.task.issue,
            at: dead.at,
            reason: dead.reason.as_deref(),
            task: self.task_row(&mut table, &dead.task),
        });
        let rows = rows.collect();
        Rows { names: table.names, rows }
    }

    fn events_rows<'a>(&'a self, events: Vec<(&(), &'a Entry)>) -> Rows<'a, EventRow<'a>> {
        let mut table = Table::default();
        let rows = events.into_iter().map(|((), entry)| EventRow {
            issue: entry.issue,
            token: entry.token,
            at: entry.at,
            process: entry.process.map(|process| table.number(&self.names, process)),
            kind: entry.kind.map(|kind| table.number(&self.names, kind)),
            task: entry.task(),
            what: entry.what,
            status: entry.status,
            from: entry.from,
            reason: entry.reason(),
        });
        let rows = rows.collect();
        Rows { names: table.names, rows }
    }
}

fn finished_rows<'a>(finished: Vec<(&u64, &'a Finished)>) -> Vec<FinishedRow<'a>> {
    let row = |(number, finished): (&u64, &'a Finished)| FinishedRow {
        number: *number,
        issue: finished.issue,
        id: &finished.id,
        again: Unsaid,
    };
    finished.into_iter().map(row).collect()
}

/// Entries in groups that each fill a piece.
fn chunks<'a, K: 'a, V: 'a>(
    mut entries: impl Iterator<Item = (&'a K, &'a V)>,
    text_bytes: fn(&V) -> usize,
) -> impl Iterator<Item = Vec<(&'a K, &'a V)>> {
    std::iter::from_fn(move || {
        let (mut chunk, mut bytes) = (Vec::new(), 0);
        while chunk.len() < PIECE && bytes < PIECE_BYTES {
            let Some((key, value)) = entries.next() else { break };
            bytes += text_bytes(value);
            chunk.push((key, value));
        }
        (!chunk.is_empty()).then_some(chunk)
    })
}

/// Reading.
impl Project {
    /// Begins a project from its first piece.
    ///
    /// # Errors
    /// [`Corrupt`] where it is not the head of a project.
    pub fn load(piece: &[u8]) -> Result<Self, Corrupt> {
        let Piece::Head(row) = decode(piece)? else { return Err(Corrupt::Value("the first piece")) };
        Self::load_head(*row)
    }

    fn load_head(row: HeadRow) -> Result<Self, Corrupt> {
        let counts = [row.next_life, row.ends, row.last_event, row.waits, row.deaths, row.finishes];
        if row.next_life == 0 || counts.into_iter().any(|count| count > HIGHEST_STORED) {
            return Err(Corrupt::Value("the number of lives, ends, events or tasks"));
        }
        let histograms = [&row.wait, &row.hold, &row.detection];
        if !histograms.into_iter().all(Histogram::is_consistent) || !row.totals.is_consistent() {
            return Err(Corrupt::Value("a total"));
        }
        if row.last_token.is_some_and(|token| token.get() > HIGHEST_STORED) {
            return Err(Corrupt::Value("the last token"));
        }
        let mut project = Self::with_head(Head {
            created: row.created,
            last_token: row.last_token,
            next_life: LifeId(row.next_life),
            ends: row.ends,
            last_event: row.last_event,
            waits: row.waits,
            deaths: row.deaths,
            finishes: row.finishes,
            drain: row.drain,
            settings: row.settings,
            totals: row.totals,
        });
        project.wait = row.wait;
        project.log = Log::behind(row.last_event);
        project.hold = row.hold;
        project.detection = row.detection;
        Ok(project)
    }

    /// Adds a further piece. After each the project is whole as far as it goes.
    ///
    /// # Errors
    /// [`Corrupt`] where a record is damaged, out of range, out of order or there already; nothing of the piece is
    /// added then.
    pub fn load_next(&mut self, piece: &[u8]) -> Result<(), Corrupt> {
        let piece = decode(piece)?;
        if piece.order() < self.reached() {
            return Err(Corrupt::Value("a piece's place"));
        }
        match piece {
            Piece::Head(_) => Err(Corrupt::Value("a second head")),
            Piece::Lives(rows) => self.load_lives(&rows),
            Piece::Issues(rows) => self.load_issues(&rows),
            Piece::Tasks(rows) => self.load_tasks(&rows),
            Piece::Dead(rows) => self.load_dead(&rows),
            Piece::Finished(rows) => self.load_finished(&rows),
            Piece::Events(first, rows) => self.load_events(first, &rows),
        }
    }

    /// Up to which kind of piece it was loaded so far, as [`Piece::order`] counts them.
    fn reached(&self) -> u8 {
        let there = [
            !self.lives.is_empty(),
            self.issues.len() > 0,
            self.queue.tasks.len() > 0,
            !self.queue.dead.is_empty(),
            self.queue.finished.len() > 0,
            self.log.len() > 0,
        ];
        (1..).zip(there).filter(|(_, there)| *there).map(|(order, _)| order).last().unwrap_or(1)
    }

    fn load_lives(&mut self, rows: &Rows<'_, LifeRow<'_>>) -> Result<(), Corrupt> {
        let names = check_names(&rows.names)?;
        let mut last = self.lives.last_key_value().map(|(id, _)| id.0);
        let mut current = BTreeSet::new();
        for row in &rows.rows {
            row.check(names)?;
            if Some(row.id) <= last || row.id == 0 || row.id >= self.head.next_life.0 {
                return Err(Corrupt::Value("a life's number"));
            }
            last = Some(row.id);
            let process = named(names, row.process)?;
            let is_current = !matches!(row.standing, StandingRow::Ended { .. });
            let taken = self.names.find(process).is_some_and(|id| self.index.current(id).is_some());
            if is_current && (taken || !current.insert(process)) {
                return Err(Corrupt::Value("a process's current life"));
            }
        }
        for row in &rows.rows {
            let life = row.build(names, &mut self.names)?;
            self.set_life(LifeId(row.id), Some(life));
        }
        Ok(())
    }

    fn load_issues(&mut self, rows: &Rows<'_, IssueRow<'_>>) -> Result<(), Corrupt> {
        let names = check_names(&rows.names)?;
        let mut last = self.issues.last().map(|(number, _)| *number);
        let mut ends = BTreeSet::new();
        let mut tasks = BTreeSet::new();
        for row in &rows.rows {
            row.check(names)?;
            if Some(row.number) <= last {
                return Err(Corrupt::Value("an issue's number"));
            }
            last = Some(row.number);
            let versions = 1..=self.head.last_event;
            if Some(row.token) > self.head.last_token || !versions.contains(&row.version) {
                return Err(Corrupt::Value("a token or version"));
            }
            let known = match &row.run {
                RunRow::Held(life) => self.lives.contains_key(&LifeId(*life)),
                RunRow::Working(working) => {
                    let id = working.task.as_ref().map(|task| task.id);
                    let is_new = id.is_none_or(|id| self.find(id).is_none() && tasks.insert(id));
                    self.lives.contains_key(&LifeId(working.life)) && is_new
                }
                RunRow::Ended(ended) => {
                    (1..=self.head.ends).contains(&ended.end)
                        && !self.index.is_finished(ended.end)
                        && ends.insert(ended.end)
                }
            };
            if !known {
                return Err(Corrupt::Value("an issue's holder or end"));
            }
        }
        for row in &rows.rows {
            let issue = row.build(names, &mut self.names)?;
            self.set_issue(row.number, Some(issue));
        }
        Ok(())
    }

    fn load_tasks(&mut self, rows: &Rows<'_, WaitingRow<'_>>) -> Result<(), Corrupt> {
        let names = check_names(&rows.names)?;
        let mut last = self.queue.tasks.last().map(|(number, _)| *number);
        let mut turn = self.newest_turn();
        let mut ids = BTreeSet::new();
        for row in &rows.rows {
            row.task.check(names)?;
            let number = TaskNumber::new(row.number, row.delayed);
            if Some(number) <= last || !(1..=self.head.waits).contains(&row.number) {
                return Err(Corrupt::Value("a task's number"));
            }
            last = Some(number);
            // Whoever came later waits behind.
            if !row.delayed && row.task.turn < turn {
                return Err(Corrupt::Value("a task's turn"));
            }
            turn = row.task.turn;
            if self.find(row.task.id).is_some() || !ids.insert(row.task.id) {
                return Err(Corrupt::Value("a task's id"));
            }
        }
        for row in &rows.rows {
            let task = row.task.build(row.issue, names, &mut self.names)?;
            self.set_task(TaskNumber::new(row.number, row.delayed), Some(Box::new(task)));
        }
        Ok(())
    }

    fn load_dead(&mut self, rows: &Rows<'_, DeadRow<'_>>) -> Result<(), Corrupt> {
        let names = check_names(&rows.names)?;
        let mut last = self.queue.dead.last_key_value().map(|(number, _)| *number);
        let mut ids = BTreeSet::new();
        for row in &rows.rows {
            row.task.check(names)?;
            row.reason.map_or(Ok(()), check_text)?;
            if Some(row.number) <= last || !(1..=self.head.deaths).contains(&row.number) {
                return Err(Corrupt::Value("a dead task's number"));
            }
            last = Some(row.number);
            if self.find(row.task.id).is_some() || !ids.insert(row.task.id) {
                return Err(Corrupt::Value("a dead task's id"));
            }
        }
        for row in &rows.rows {
            let task = row.task.build(row.issue, names, &mut self.names)?;
            let dead = Dead { task, at: row.at, reason: row.reason.map(Into::into) };
            self.set_dead(row.number, Some(Box::new(dead)));
        }
        Ok(())
    }

    fn load_finished(&mut self, rows: &[FinishedRow<'_>]) -> Result<(), Corrupt> {
        let mut last = self.queue.finished.last().map(|(number, _)| *number);
        let mut seen = BTreeSet::new();
        for row in rows {
            check_task_id(row.id)?;
            if Some(row.number) <= last || !(1..=self.head.finishes).contains(&row.number) {
                return Err(Corrupt::Value("a finished task's number"));
            }
            last = Some(row.number);
            let finished = row.build();
            if self.order.finished(&finished).is_some() || !seen.insert(finished) {
                return Err(Corrupt::Value("a finished task's id"));
            }
        }
        for row in rows {
            self.set_finished(row.number, Some(row.build()));
        }
        Ok(())
    }

    fn load_events(&mut self, first: u64, rows: &Rows<'_, EventRow<'_>>) -> Result<(), Corrupt> {
        let names = check_names(&rows.names)?;
        for row in &rows.rows {
            row.check(names)?;
            if row.token > self.head.last_token {
                return Err(Corrupt::Value("an event's token"));
            }
        }
        let begins = self.log.len() == 0;
        let last = first.checked_add(rows.rows.len() as u64);
        let fits = first > 0 && (begins || first == self.log.last() + 1);
        if !fits || rows.rows.is_empty() || last.is_none_or(|behind| behind > self.head.last_event + 1) {
            return Err(Corrupt::Value("an event's number"));
        }
        if begins {
            self.log = Log::behind(first - 1);
        }
        for row in &rows.rows {
            let entry = row.build(names, &mut self.names)?;
            self.enter_event(entry);
        }
        Ok(())
    }
}

fn check_names<'a, 'b>(names: &'b [&'a str]) -> Result<&'b [&'a str], Corrupt> {
    names.iter().try_for_each(|name| check_name("a name", name))?;
    Ok(names)
}

fn named<'a>(names: &[&'a str], number: u32) -> Result<&'a str, Corrupt> {
    names.get(number as usize).copied().ok_or(Corrupt::Value("a name's number"))
}

fn check_task_id(id: &str) -> Result<(), Corrupt> {
    TaskId::parse(id.as_bytes()).map(drop).map_err(|invalid| Corrupt::Invalid("a task's id", invalid))
}

fn check_text(text: &str) -> Result<(), Corrupt> {
    Text::parse(text.as_bytes()).map(drop).map_err(|invalid| Corrupt::Invalid("a text", invalid))
}

fn check_json(what: &'static str, text: &str) -> Result<(), Corrupt> {
    Text::parse_json(text.as_bytes()).map(drop).map_err(|invalid| Corrupt::Invalid(what, invalid))
}

fn check_name(what: &'static str, name: &str) -> Result<(), Corrupt> {
    Name::parse(name.as_bytes()).map(drop).map_err(|invalid| Corrupt::Invalid(what, invalid))
}

impl LifeRow<'_> {
    fn check(&self, names: &[&str]) -> Result<(), Corrupt> {
        named(names, self.process)?;
        self.host.map_or(Ok(""), |host| named(names, host))?;
        self.incarnation.map_or(Ok(()), |incarnation| check_name("an incarnation", incarnation))?;
        if !(Millis::MIN_TTL..=Millis::MAX_TTL).contains(&self.ttl.0) {
            return Err(Corrupt::Invalid("a ttl", Invalid::Integer(Millis::MIN_TTL, Millis::MAX_TTL)));
        }
        self.tmux.map_or(Ok(()), check_text)?;
        let kinds = &self.claims.kinds;
        let kinds = kinds.iter().map(|kind| named(names, *kind)).collect::<Result<Vec<_>, _>>()?;
        if !kinds.is_sorted_by(|a, b| a < b) {
            return Err(Corrupt::Value("a life's types"));
        }
        self.claims.request.map_or(Ok(()), |request| check_name("a claim's id", request.id))?;
        self.progress.map_or(Ok(()), |progress| check_text(progress.text))
    }

    fn build(&self, table: &[&str], names: &mut Names) -> Result<Life, Corrupt> {
        Ok(Life {
            process: names.intern(named(table, self.process)?),
            incarnation: self.incarnation.map(CompactString::new),
            pid: self.pid,
            host: self.host.map(|host| named(table, host)).transpose()?.map(|host| names.intern(host)),
            tmux: self.tmux.map(CompactString::new),
            ttl: self.ttl,
            seen: self.seen,
            progress: self.progress.map(|ProgressRow { text, at }| Box::new(Progress { text: text.into(), at })),
            standing: match self.standing {
                StandingRow::Current { attested } => Standing::Current { attested },
                StandingRow::Dead { at } => Standing::Dead { at },
                StandingRow::Ended { at, reason } => Standing::Ended { at, reason },
            },
            claims: self.claims.build(table, names)?,
        })
    }
}

impl LifeClaims<'_> {
    fn build(&self, table: &[&str], names: &mut Names) -> Result<Option<Box<Claims>>, Corrupt> {
        let kinds = self.kinds.iter().map(|kind| named(table, *kind).map(|kind| names.intern(kind)));
        let request = self.request.map(|RequestRow { id, issue, token }| Requested { id: id.into(), issue, token });
        let claims = Claims { kinds: kinds.collect::<Result<_, _>>()?, request };
        Ok((claims != Claims::default()).then(|| Box::new(claims)))
    }
}

impl TaskRow<'_> {
    fn check(&self, names: &[&str]) -> Result<(), Corrupt> {
        check_task_id(self.id)?;
        named(names, self.kind)?;
        self.title.map_or(Ok(()), check_text)?;
        self.payload.map_or(Ok(()), |payload| check_json("a payload", payload))
    }

    fn build(&self, issue: IssueNumber, table: &[&str], names: &mut Names) -> Result<Task, Corrupt> {
        Ok(Task {
            id: self.id.into(),
            issue,
            kind: names.intern(named(table, self.kind)?),
            priority: self.priority,
            attempts: self.attempts,
            orphans: self.orphans,
            turn: self.turn,
            texts: Texts::of(self.title, self.payload),
        })
    }
}

impl FinishedRow<'_> {
    fn build(&self) -> Finished {
        Finished { issue: self.issue, id: self.id.into() }
    }
}

impl Piece<'_> {
    /// Which kind of piece comes before which.
    const fn order(&self) -> u8 {
        match self {
            Self::Head(_) => 0,
            Self::Lives(_) => 1,
            Self::Issues(_) => 2,
            Self::Tasks(_) => 3,
            Self::Dead(_) => 4,
            Self::Finished(_) => 5,
            Self::Events(..) => 6,
        }
    }
}

impl EventRow<'_> {
    fn check(&self, names: &[&str]) -> Result<(), Corrupt> {
        self.process.map_or(Ok(""), |process| named(names, process))?;
        self.kind.map_or(Ok(""), |kind| named(names, kind))?;
        self.task.map_or(Ok(()), check_task_id)?;
        self.reason.map_or(Ok(()), check_text)?;
        let held = Some(Status::Processing);
        let of_lease = self.process.is_some() && self.token.is_some();
        let ended = of_lease && self.from == held && self.status.is_some() && self.status != held;
        let possible = match self.what {
            EventKind::Checkout => of_lease && self.status == held && self.from != held,
            EventKind::Claim => of_lease && self.status == held && self.from.is_some() && self.from != held,
            EventKind::Takeover => of_lease && self.status == held && self.from == held,
            EventKind::Checkin => ended,
            EventKind::Repair => ended && self.status != Some(Status::Completed),
            EventKind::Evict => ended && !matches!(self.status, Some(Status::Completed | Status::AwaitingResponse)),
            EventKind::Forget => self.status.is_none() && self.from != held,
            EventKind::Enqueue | EventKind::Revive => self.status.is_some() && self.task.is_some(),
            EventKind::Dead => of_lease && self.task.is_some() && self.status == self.from && self.status != held,
            EventKind::Cancel => self.from.is_some() && (of_lease || self.task.is_some()),
            EventKind::Import => (self.status.is_some() || self.from.is_some()) && (of_lease || self.task.is_some()),
        };
        possible.then_some(()).ok_or(Corrupt::Value("an event's status"))
    }

    fn build(&self, table: &[&str], names: &mut Names) -> Result<Entry, Corrupt> {
        let mut intern = |number: u32| named(table, number).map(|name| names.intern(name));
        Ok(Entry {
            issue: self.issue,
            token: self.token,
            at: self.at,
            process: self.process.map(&mut intern).transpose()?,
            kind: self.kind.map(&mut intern).transpose()?,
            what: self.what,
            status: self.status,
            from: self.from,
            says: Says::of(self.task, self.reason),
        })
    }
}

impl IssueRow<'_> {
    fn check(&self, names: &[&str]) -> Result<(), Corrupt> {
        self.kind.map_or(Ok(""), |kind| named(names, kind))?;
        self.title.map_or(Ok(()), check_text)?;
        let ended = match &self.run {
            RunRow::Held(_) => return Ok(()),
            RunRow::Working(working) => {
                working.task.as_ref().map_or(Ok(()), |task| task.check(names))?;
                let says_something = working.task.is_some() || working.asked.is_some() || working.follows.is_some();
                if !says_something || working.follows.is_some_and(|follows| follows.token >= self.token) {
                    return Err(Corrupt::Value("a running task"));
                }
                return working.asked.and_then(|asked| asked.reason).map_or(Ok(()), check_text);
            }
            RunRow::Ended(ended) => ended,
        };
        named(names, ended.process)?;
        ended.host.map_or(Ok(""), |host| named(names, host))?;
        ended.reason.map_or(Ok(()), check_text)?;
        ended.result.map_or(Ok(()), |result| check_json("a result", result))?;
        for (field, value) in &ended.metadata {
            check_text(field)?;
            check_text(value)?;
        }
        let sorted = ended.metadata.is_sorted_by(|(a, _), (b, _)| a < b);
        sorted.then_some(()).ok_or(Corrupt::Value("the order of metadata's fields"))
    }

    fn build(&self, table: &[&str], names: &mut Names) -> Result<Issue, Corrupt> {
        let run = self.run.build(self.number, table, names)?;
        let kind = self.kind.map(|kind| named(table, kind)).transpose()?.map(|kind| names.intern(kind));
        let completed_before = match &run {
            Run::Ended(ended) if ended.outcome == Outcome::Completed => None,
            _ => self.completed.map(Box::new),
        };
        Ok(Issue {
            token: self.token,
            started: self.started,
            completed_before,
            title: self.title.map(CompactString::new),
            kind,
            run,
            version: self.version,
            behind: self.behind,
        })
    }
}

impl RunRow<'_> {
    fn build(&self, number: IssueNumber, table: &[&str], names: &mut Names) -> Result<Run, Corrupt> {
        Ok(match self {
            Self::Held(life) => Run::Held(LifeId(*life)),
            Self::Working(working) => Run::Working(Box::new(Working {
                life: LifeId(working.life),
                task: working.task.as_ref().map(|task| task.build(number, table, names)).transpose()?,
                asked: working.asked.map(|AskedRow { at, reason }| Asked { at, reason: reason.map(Into::into) }),
                follows: working.follows.map(|FollowsRow { token, outcome }| (token, outcome)),
            })),
            Self::Ended(ended) => {
                let mut intern = |number: u32| named(table, number).map(|name| names.intern(name));
                Run::Ended(Box::new(Ended {
                    end: ended.end,
                    at: ended.at,
                    by: ended.by,
                    outcome: ended.outcome,
                    aftermath: ended.aftermath,
                    next: ended.next.map(|NextRow { issue, token }| (issue, token)),
                    process: intern(ended.process)?,
                    pid: ended.pid,
                    host: ended.host.map(&mut intern).transpose()?,
                    reason: ended.reason.map(Into::into),
                    result: ended.result.map(Into::into),
                    metadata: ended.metadata.iter().map(|(f, v)| ((*f).into(), (*v).into())).collect(),
                }))
            }
        })
    }
}
