//! The commands: how words become a request, and what the core says becomes an answer.
//!
//! A command is a type with [`Write`], [`Read`] or [`Follow`], in a file of its own. Whoever runs it, a server with the
//! module or a file without one, gets the same answers and the same words of refusal, since they are made here. What is not
//! here is what the two do differently: clocks, persistence, replication, waiting and publishing.

mod args;
mod docs;
mod reply;
mod table;

pub mod cancel;
pub mod checkin;
pub mod checkout;
pub mod claim;
pub mod config;
pub mod drain;
pub mod enqueue;
pub mod events;
pub mod evict;
pub mod export;
pub mod forget;
pub mod get;
pub mod heartbeat;
pub mod import;
pub mod labelled;
pub mod labels;
pub mod list;
pub mod liveness;
pub mod orphans;
pub mod repair;
pub mod revive;
pub mod stats;

pub use args::{Args, Bad, MAX_COMMAND, ONLY_RESOLVED, shown};
pub use docs::{Access, Arg, Doc, Kind};
pub use reply::{Field, Map, Plain, Reply};
pub use table::{NAMES, Visit, visit};

use crate::{Effect, IssueNumber, Millis, Now, Project, Refusal};

/// A command that changes a project.
pub trait Write {
    /// What its words ask for.
    type Request<'a>;

    /// Its name, arguments and description.
    const DOC: Doc;

    /// How many words stand between the key and the options.
    const POSITIONAL: usize;

    /// How many bytes the words behind the key may be together.
    const LONGEST: usize = MAX_COMMAND;

    /// Reads the words behind the key.
    ///
    /// # Errors
    /// Where a word is not what the command allows.
    fn parse<'a>(args: &mut Args<'a, impl AsRef<[u8]>>) -> Result<Self::Request<'a>, Bad>;

    /// Whether this request brings a project into being.
    fn creates(_request: &Self::Request<'_>) -> bool {
        false
    }

    /// For how long to wait where the command changed nothing; none is not at all, zero for ever.
    fn block(_request: &Self::Request<'_>) -> Option<Millis> {
        None
    }

    /// Takes note of whether there is room for more, where the request minds.
    fn heed_maxmemory(_request: &mut Self::Request<'_>, _is_reached: impl FnOnce() -> bool) {}

    /// Asks the core.
    ///
    /// # Errors
    /// A refusal, which has changed nothing.
    fn apply(project: &mut Project, now: Now, request: &Self::Request<'_>) -> Result<Answered, Refusal>;
}

/// What a command that writes comes to.
#[derive(Debug)]
pub struct Answered {
    /// The answer.
    pub reply: Reply<'static>,
    /// Whether it changed anything.
    pub effect: Effect,
    /// What [`Reply::Lease`] in the answer stands for.
    pub lease: Option<Leased>,
}

/// A lease that the answer shows.
#[derive(Debug, Clone, Copy)]
pub struct Leased {
    /// Whose lease: [`Project::claimed`] tells of it.
    pub issue: IssueNumber,
    /// Whether its task was chosen by this very command.
    pub chosen: bool,
}

impl Answered {
    fn new(reply: impl Into<Reply<'static>>, effect: Effect) -> Self {
        Self { reply: reply.into(), effect, lease: None }
    }

    /// With the lease of an issue in the place of [`Reply::Lease`], and whether its task was chosen by this very command.
    fn with_lease(self, issue: IssueNumber, chosen: bool) -> Self {
        Self { lease: Some(Leased { issue, chosen }), ..self }
    }
}

/// A command that looks at a project.
pub trait Read {
    /// What its words ask for.
    type Request<'a>;

    /// Its name, arguments and description.
    const DOC: Doc;

    /// Reads the words behind the key.
    ///
    /// # Errors
    /// Where a word is not what the command allows.
    fn parse<'a>(args: &mut Args<'a, impl AsRef<[u8]>>) -> Result<Self::Request<'a>, Bad>;

    /// The answer; of a project that does not exist, what [`Read::absent`] says.
    fn answer<'p>(project: &'p Project, now: Now, request: &Self::Request<'_>) -> Reply<'p>;

    /// The answer where there is no project.
    fn absent(now: Now, request: &Self::Request<'_>) -> Reply<'static>;
}

/// A command that looks at something that comes to be, and can wait for it.
pub trait Follow {
    /// What its words ask for.
    type Request<'a>;

    /// Its name, arguments and description.
    const DOC: Doc;

    /// Reads the words behind the key.
    ///
    /// # Errors
    /// Where a word is not what the command allows.
    fn parse<'a>(args: &mut Args<'a, impl AsRef<[u8]>>) -> Result<Self::Request<'a>, Bad>;

    /// For how long to wait where there is nothing to answer; none is not at all, zero for ever.
    fn block(request: &Self::Request<'_>) -> Option<Millis>;

    /// What there is to answer.
    fn answer<'p>(project: &'p Project, request: &Self::Request<'_>) -> Vec<Reply<'p>>;
}
