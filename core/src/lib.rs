//! The rules of Poppo: who holds which issue, under which token, until when.
//!
//! [`Project`] is a deterministic state machine with one method per command. It knows no clock, no network, no Redis:
//! time comes in with each call as [`Now`], and the same calls with the same times give the same state, to the byte of
//! [`Project::pieces`]. Replicas, the AOF, tests and fuzzers rest on that.
//!
//! ```
//! use poppo_core::{Checkout, Instant, IssueNumber, Name, Now, Project, Refusal};
//!
//! let now = Now::primary(Instant::from_micros(1_750_327_200_000_000));
//! let mut project = Project::new(now.at);
//! let issue = IssueNumber::parse(b"123")?;
//! let lease = project.checkout(now, &Checkout::new(issue, Name::parse(b"worker-1")?)).expect("it is free");
//! let refused = project.checkout(now, &Checkout::new(issue, Name::parse(b"worker-2")?));
//! assert!(matches!(refused, Err(Refusal::Held { token, .. }) if token == lease.token));
//! # Ok::<(), poppo_core::Invalid>(())
//! ```
//!
//! | file | what lives there |
//! | --- | --- |
//! | `types` | numbers, names, texts and words, checked once |
//! | `project` | the records, and the journal that makes a command whole or nothing |
//! | `names`, `spelling` | names as numbers, and how they are searched for |
//! | `index`, `ascending`, `held` | who holds what and is due when: derived from the records |
//! | `life`, `issue` | one record each, and the orphan rule |
//! | `queue` | the tasks that nobody works on, and who is next |
//! | `checkout`, `checkin`, `heartbeat`, `repair`, `tasks`, `claim`, `manage` | the commands that write |
//! | `events` | the project's log, and whose labels are behind |
//! | `orphans`, `look` | the commands that read |
//! | [`commands`] | their words, and what they answer |
//! | `snapshot` | a project as bytes, as a document or as entries that move, and back |
//! | [`layout`] | how JSON is written for people |

#![forbid(unsafe_code)]

mod ascending;
mod checkin;
mod checkout;
mod claim;
pub mod commands;
mod events;
mod fault;
mod heartbeat;
mod held;
mod index;
mod issue;
pub mod layout;
mod life;
mod look;
mod manage;
mod names;
mod orphans;
mod project;
mod queue;
mod refusal;
mod repair;
mod settings;
mod snapshot;
mod spelling;
mod stats;
mod tasks;
mod types;

pub use checkin::{CheckedIn, Checkin, Effect};
pub use checkout::{Checkout, Lease};
pub use claim::{Assignment, Claim, Claimed, Next};
pub use events::{Event, Events, Unlabelled};
#[cfg(any(test, feature = "fault-injection"))]
pub use fault::{arm as arm_fault, disarm as disarm_fault};
pub use heartbeat::{Heartbeat, Liveness, Pulse};
pub use look::{Holder, Metadata, Page, Process, QueueStats, Record, RunView, Stats, TaskState, TaskView, Tasks};
pub use orphans::Orphan;
pub use project::Project;
pub use refusal::{Refusal, Stale};
pub use repair::{Evict, Repair};
pub use settings::{Setting, Settings};
pub use snapshot::{
    BadPiece, Corrupt, EXPORT_VERSION, ExportCursor, Exported, Imported, MovedPiece, Unreadable, VERSION,
};
pub use stats::{Durations, TaskTotals, Totals};
pub use tasks::Enqueue;
pub use types::{
    Cancelled, EndedBy, EventKind, Instant, Invalid, IssueNumber, Judge, MAX_INTEGER, MAX_NAME, MAX_TEXT, Millis, Name,
    Now, OrphanReason, Outcome, Pid, Priority, RepairOutcome, Status, TaskId, Text, Token, integer,
};
