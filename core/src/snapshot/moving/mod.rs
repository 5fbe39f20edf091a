//! A project as entries that another project takes: what `EXPORT` answers and `IMPORT` merges.
//!
//! An entry is a record as a [document](super::document) has it, without the numbers that only mean something within one
//! project, in one line of JSON under the name of its kind. `docs/state.md` describes them to users.
//!
//! | file | what lives there |
//! | --- | --- |
//! | `forms` | records in the form of entries, and back |
//! | `cursor`, `export` | a project in pieces |
//! | `piece` | a piece that came, checked as a whole |
//! | `import` | what of it is taken |

mod cursor;
mod export;
mod forms;
mod import;
mod piece;

pub use cursor::ExportCursor;
pub use export::Exported;
pub use import::Imported;
pub use piece::{BadPiece, Piece};

use serde::{Deserialize, Serialize};

use super::said::{IfTrue, Unsaid};
use super::{DeadRow, FinishedRow, IssueRow, LifeRow, WaitingRow};
use crate::settings::Settings;
use crate::types::{Instant, OrphanReason, Token};

/// The version of the entries that this build writes, and the newest that it takes.
pub const EXPORT_VERSION: u64 = 1;

/// The most bytes of a piece. An entry alone is at most this long: the texts of a lease that ended came in two commands, of
/// which each was at most 1 MiB, and JSON makes six bytes of one at worst.
pub(crate) const LONGEST_PIECE: usize = 8 * 1024 * 1024;

/// One line.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
enum Entry<'a> {
    /// The first line of each piece.
    Export(Header),
    Project(Head),
    #[serde(borrow)]
    Task(MovedTask<'a>),
    #[serde(borrow)]
    Issue(Box<MovedIssue<'a>>),
    #[serde(borrow)]
    Dead(MovedDead<'a>),
    #[serde(borrow)]
    Finished(MovedFinished<'a>),
}

/// What the entries behind it are.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Header {
    version: u64,
    /// Whoever keeps the entries says whose they are.
    project: Option<String>,
    /// When they were asked for.
    at: Option<Instant>,
}

/// What a project is besides its records.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Head {
    last_token: Option<Token>,
    /// Those that are not as in a new project.
    #[serde(serialize_with = "Settings::serialize_changed")]
    settings: Settings,
}

type MovedHolder<'a> = LifeRow<'a, &'a str, Unsaid, MovedStanding>;
type MovedIssue<'a> = IssueRow<'a, &'a str, Unsaid, MovedHolder<'a>, IfTrue>;
type MovedTask<'a> = WaitingRow<'a, &'a str, Unsaid, Unsaid, IfTrue>;
type MovedDead<'a> = DeadRow<'a, &'a str, Unsaid, IfTrue>;
type MovedFinished<'a> = FinishedRow<'a, Unsaid, IfTrue>;

/// Whether a holder is still the life of its name. Whether it lives is no concern of another server.
#[derive(Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
enum MovedStanding {
    Current,
    Ended(OrphanReason),
}
