//! Poppo's client: leases on GitHub issues, kept by a Redis server that has the Poppo module loaded; or, on a single machine,
//! in a file ([`Client::connect`]).
//!
//! ```no_run
//! use poppo::{Checkout, Client, Error, IssueNumber, Refusal};
//!
//! # async fn work() -> Result<(), Error> {
//! let project = Client::connect("redis://127.0.0.1:6379").await?.project("acme/widgets");
//!
//! match project.lease(&Checkout::new(IssueNumber::try_from(123)?, "worker-1")).await {
//!     Ok(lease) => {
//!         // … work on it, until `lease.stop_token()` is cancelled; heartbeats are sent meanwhile …
//!         lease.complete(r#"{"pr":77}"#).await?;
//!     }
//!     Err(Error::Refused(Refusal::Held(who))) => eprintln!("somebody else is at it: {who}"),
//!     Err(other) => return Err(other),
//! }
//! # Ok(())
//! # }
//! ```
//!
//! Work that waits is in the project's queue: [`Project::enqueue`] puts a task there, and a [`Worker`] does one after
//! another:
//!
//! ```no_run
//! # use poppo::{Client, Error, Worker};
//! # async fn work() -> Result<(), Error> {
//! let project = Client::connect("redis://127.0.0.1:6379").await?.project("acme/widgets");
//! Worker::new(&project).jobs(4).run(|lease| async move {
//!     println!("issue {}: {}", lease.issue(), lease.title().unwrap_or("?"));
//!     lease.complete("").await.map(drop)
//! }).await
//! # }
//! ```
//!
//! | layer | what is there |
//! | --- | --- |
//! | [`Worker`] | the loop: claims, leases, retries, an end in good order |
//! | [`Lease`], [`Holder`] | leases that keep themselves with heartbeats, and report over lost answers; a [`Spool`] for reports that the server could not take |
//! | [`Project`], [`Client`] | one method for each command, typed answers ([`Issue`], [`Claimed`], [`Task`], [`Orphan`], [`Process`], [`Beat`], [`Stats`], [`Event`], [`Unlabelled`]) and [`Refusal`]s; what the server tells by itself ([`Published`]); how many copies of a write are waited for ([`Durability`]) |
//! | [`State`], [`Flags`] | free state beside the leases: namespaces of JSON values, compare and set, watchers, settings |
//!
//! What does not live here: the rules, which the server keeps, and anything that prints, which is the command `poppo`.
//! Programs to start from are in `client/examples`.

#![forbid(unsafe_code)]

mod address;
mod answers;
mod backoff;
mod client;
mod decode;
mod durability;
mod error;
mod file;
mod holder;
mod inspect;
mod life;
mod links;
mod pieces;
mod project;
mod published;
mod queue;
mod random;
mod requests;
mod scripts;
mod shelf;
mod spool;
mod state;
mod subscription;
mod types;
mod url;
mod worker;

pub use answers::{
    Beat, Durations, Event, Issue, IssueCounts, Orphan, OutcomeCounts, Page, Process, QueueCounts, RepairCounts, Stats,
    TaskCounts, Unlabelled,
};
pub use backoff::Backoff;
pub use client::{Client, DEFAULT_PORT};
pub use durability::Durability;
pub use error::{Error, Refusal};
#[doc(hidden)]
pub use file::Store as FileStore;
pub use holder::{CheckedIn, Fate, Holder, Lease, Notice};
pub use inspect::Permission;
pub use life::Life;
pub use pieces::{Exported, Imported};
pub use project::Project;
pub use published::{Message, Published};
pub use queue::answers::{Claimed, Task};
pub use queue::requests::{Claim, Enqueue, Priority, TaskState};
pub use requests::{Checkin, Checkout, Evict, Heartbeat, Liveness, Repair};
pub use scripts::Guard;
pub use shelf::Shelf;
pub use spool::{Delivered, Delivery, Spool, Spooled, Unusable};
pub use state::State;
pub use state::flags::{FlagChanges, Flags};
pub use state::merge::{Existing, Merged};
pub use state::transaction::Transaction;
pub use state::watch::{Change, Seen, Watch};
pub use subscription::{Heard, Subscription};
pub use types::{
    Block, Cancelled, Cursor, EndedBy, EventKind, Invalid, IssueNumber, OrphanReason, Outcome, ProcessState, Status,
    Timestamp, Token, Verdict,
};
pub use url::{redacted, unix_url};
pub use worker::Worker;
