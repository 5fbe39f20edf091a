//! Poppo's client: leases on GitHub issues, kept by a Redis server that has the Poppo module loaded.
//!
//! ```no_run
//! use poppo::{Checkin, Checkout, Client, Error, IssueNumber, Outcome, Refusal};
//!
//! # async fn work() -> Result<(), Error> {
//! let client = Client::connect("redis://127.0.0.1:6379").await?;
//! let project = client.project("acme/widgets");
//! let issue = IssueNumber::try_from(123)?;
//!
//! match project.checkout(&Checkout::new(issue, "worker-1")).await {
//!     Ok(token) => {
//!         // … work on it, with a `project.heartbeat(…)` now and then …
//!         let mut done = Checkin::new(issue, "worker-1", Outcome::Completed);
//!         done.token = Some(token);
//!         project.checkin(&done).await?;
//!     }
//!     Err(Error::Refused(Refusal::Held(who))) => eprintln!("somebody else is at it: {who}"),
//!     Err(other) => return Err(other),
//! }
//! # Ok(())
//! # }
//! ```
//!
//! Work that waits is in the project's queue: [`Project::enqueue`] puts a task there, [`Project::claim`] takes one, and its
//! issue with it.
//!
//! What lives here: the typed commands ([`Project`]), their answers ([`Issue`], [`Claimed`], [`Task`], [`Orphan`],
//! [`Process`], [`Beat`], [`Stats`], [`Event`], [`Unlabelled`]), their refusals ([`Refusal`]), how
//! many copies of a write are waited for ([`Durability`]), and who a process is ([`Life`]). What does not: the rules, which the
//! server keeps, and anything that prints, which is the command `poppo`.

#![forbid(unsafe_code)]

mod address;
mod answers;
mod backoff;
mod client;
mod decode;
mod durability;
mod error;
mod inspect;
mod life;
mod links;
mod project;
mod queue;
mod random;
mod requests;
mod types;
mod url;

pub use answers::{
    Beat, Durations, Event, Issue, IssueCounts, Orphan, OutcomeCounts, Page, Process, QueueCounts, RepairCounts, Stats,
    TaskCounts, Unlabelled,
};
pub use backoff::Backoff;
pub use client::{Client, DEFAULT_PORT};
pub use durability::Durability;
pub use error::{Error, Refusal};
pub use inspect::Permission;
pub use life::Life;
pub use project::Project;
pub use queue::answers::{Claimed, Task};
pub use queue::requests::{Claim, Enqueue, Priority, TaskState};
pub use requests::{Checkin, Checkout, Evict, Heartbeat, Liveness, Repair};
pub use types::{
    Block, Cancelled, Cursor, EndedBy, EventKind, Invalid, IssueNumber, OrphanReason, Outcome, ProcessState, Status,
    Timestamp, Token, Verdict,
};
pub use url::{redacted, unix_url};
