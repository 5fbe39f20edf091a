//! What the queue's commands take, and the words that only they have.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use redis::Cmd;
use serde::Serialize;

use crate::requests::{flag, millis, option};
use crate::types::{Block, Invalid, IssueNumber};
use crate::{Life, random};

/// How urgent a task is: 0 to 1000, higher first.
///
/// ```
/// use poppo::Priority;
///
/// let urgent: Priority = "urgent".parse()?;
/// assert_eq!((urgent.get(), urgent.name()), (1000, Some("urgent")));
/// assert!(urgent > Priority::try_from(60)? && Priority::try_from(60)? > Priority::NORMAL);
/// assert!(Priority::try_from(1001).is_err());
/// # Ok::<(), poppo::Invalid>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Priority(poppo_core::Priority);

impl Priority {
    /// What a task has where nothing is said: 50.
    pub const NORMAL: Self = Self(poppo_core::Priority::NORMAL);

    /// The number, from 0 to 1000.
    ///
    /// Example: [`Priority`].
    #[must_use]
    pub fn get(self) -> u16 {
        self.0.get()
    }

    /// Its name, where it has one: `urgent` 1000, `dogfooding` 100, `high` 75, `normal` 50, `low` 25, `deferred` 10.
    ///
    /// Example: [`Priority`].
    #[must_use]
    pub fn name(self) -> Option<&'static str> {
        poppo_core::Priority::LEVELS.iter().find(|(_, level)| *level == self.0).map(|(name, _)| *name)
    }
}

impl Default for Priority {
    fn default() -> Self {
        Self::NORMAL
    }
}

impl TryFrom<u16> for Priority {
    type Error = Invalid;

    fn try_from(number: u16) -> Result<Self, Invalid> {
        poppo_core::Priority::try_from(number).map(Self)
    }
}

impl FromStr for Priority {
    type Err = Invalid;

    /// Reads a level's name, in any case, or a number from 0 to 1000.
    fn from_str(text: &str) -> Result<Self, Invalid> {
        poppo_core::Priority::parse(text.as_bytes()).map(Self)
    }
}

/// Its name where it has one, else its number.
impl fmt::Display for Priority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.pad(name),
            None => self.get().fmt(f),
        }
    }
}

/// What ENQUEUE takes.
///
/// ```no_run
/// # async fn example(project: poppo::Project) -> Result<(), poppo::Error> {
/// use std::time::Duration;
/// use poppo::{Enqueue, IssueNumber};
///
/// let mut task = Enqueue::new(IssueNumber::try_from(123)?);
/// task.task_type = Some("fix".to_owned());
/// task.delay = Some(Duration::from_secs(3600));
/// project.enqueue(&task).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Enqueue {
    /// The issue to work on.
    pub issue: IssueNumber,
    /// The task's id, unique in the project. Default: `<issue>:<type>`.
    pub id: Option<String>,
    /// The kind of task, such as `fix`. Default: `issue`.
    pub task_type: Option<String>,
    /// How urgent it is. Default: 50.
    pub priority: Option<Priority>,
    /// Not to be claimed before so much time has passed: 0 to 365 days.
    pub delay: Option<Duration>,
    /// The issue's title.
    pub title: Option<String>,
    /// What the worker needs to know, as JSON text of at most 65,536 bytes.
    pub payload: Option<String>,
    /// Also where a task of this id was finished before, or is dead.
    pub again: bool,
}

impl Enqueue {
    /// Of this issue, with nothing else said.
    ///
    /// Example: [`Enqueue`].
    #[must_use]
    pub fn new(issue: IssueNumber) -> Self {
        Self { issue, id: None, task_type: None, priority: None, delay: None, title: None, payload: None, again: false }
    }

    pub(crate) fn command(&self, project: &str) -> Cmd {
        let mut cmd = redis::cmd("POPPO.ENQUEUE");
        cmd.arg(project).arg(self.issue.get());
        option(&mut cmd, "ID", self.id.as_deref());
        option(&mut cmd, "TYPE", self.task_type.as_deref());
        option(&mut cmd, "PRIORITY", self.priority.map(Priority::get));
        option(&mut cmd, "DELAY", self.delay.map(millis));
        option(&mut cmd, "TITLE", self.title.as_deref());
        option(&mut cmd, "PAYLOAD", self.payload.as_deref());
        flag(&mut cmd, "AGAIN", self.again);
        cmd
    }
}

/// What CLAIM takes.
///
/// ```no_run
/// # async fn example(project: poppo::Project) -> Result<(), poppo::Error> {
/// use poppo::{Claim, Life};
///
/// // Under an id of its own, it is harmless to ask again: it is the same lease then.
/// let claim = Claim::new("worker-1").by(&Life::current()).numbered();
/// let task = match project.claim_once(&claim).await {
///     Err(error) if error.may_pass() => project.claim_once(&claim).await?,
///     answer => answer?,
/// };
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// The process's name: 1 to 128 bytes of printable ASCII without blanks.
    pub process: String,
    /// Only tasks of these types, 1 to 64 of them; any where there are none.
    pub types: Vec<String>,
    /// What to do where there is no task.
    pub block: Block,
    /// The id of this request, by which a repeated one answers the same lease instead of taking another task. Where none
    /// is given, each call makes up one of its own, which its own repetitions share.
    pub request: Option<String>,
    /// Its PID: 1 to 2147483647.
    pub pid: Option<u32>,
    /// Its host.
    pub host: Option<String>,
    /// Which life of the process this is.
    pub incarnation: Option<String>,
    /// The issue's title, where the task has none.
    pub title: Option<String>,
    /// The tmux pane or session it runs in.
    pub tmux: Option<String>,
    /// For how long the process may be silent: 1 s to 24 h. Default: the project's `heartbeat-ttl`.
    pub ttl: Option<Duration>,
}

impl Claim {
    /// By this process, of any task, without waiting, with nothing else said.
    ///
    /// Example: [`Claim`].
    #[must_use]
    pub fn new(process: impl Into<String>) -> Self {
        Self {
            process: process.into(),
            types: Vec::new(),
            block: Block::No,
            request: None,
            pid: None,
            host: None,
            incarnation: None,
            title: None,
            tmux: None,
            ttl: None,
        }
    }

    /// As the given life of the process: sets PID, host, incarnation and tmux.
    ///
    /// Example: [`Claim`].
    #[must_use]
    pub fn by(mut self, life: &Life) -> Self {
        self.pid = Some(life.pid);
        self.host = Some(life.host.clone());
        self.incarnation = Some(life.incarnation.clone());
        self.tmux.clone_from(&life.tmux);
        self
    }

    /// With an id of its own, for callers that repeat it themselves.
    ///
    /// Example: [`Claim`].
    #[must_use]
    pub fn numbered(mut self) -> Self {
        self.request.get_or_insert_with(random::unique_name);
        self
    }

    pub(crate) fn command(&self, project: &str) -> Cmd {
        let mut cmd = redis::cmd("POPPO.CLAIM");
        cmd.arg(project).arg(&self.process);
        option(&mut cmd, "BLOCK", self.block.millis());
        if !self.types.is_empty() {
            cmd.arg("TYPES").arg(self.types.len());
            for task_type in &self.types {
                cmd.arg(task_type);
            }
        }
        option(&mut cmd, "REQ", self.request.as_deref());
        option(&mut cmd, "PID", self.pid);
        option(&mut cmd, "HOST", self.host.as_deref());
        option(&mut cmd, "INCARNATION", self.incarnation.as_deref());
        option(&mut cmd, "TITLE", self.title.as_deref());
        option(&mut cmd, "TMUX", self.tmux.as_deref());
        option(&mut cmd, "TTL", self.ttl.map(millis));
        cmd
    }
}

/// Which of the tasks that nobody works on.
///
/// ```no_run
/// # async fn example(project: poppo::Project) -> Result<(), poppo::Error> {
/// use poppo::TaskState;
///
/// for task in project.all_tasks(TaskState::Dead).await? {
///     println!("{} failed {} times", task.task, task.attempts);
///     project.revive(&task.task).await?;
/// }
/// let first = project.tasks(TaskState::Waiting, None, Some(10)).await?;
/// println!("{:?}", first.rows);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TaskState {
    /// Those that may be claimed, or wait for their held issue.
    Waiting,
    /// Those that are not due yet.
    Delayed,
    /// Those that failed for good.
    Dead,
}

impl TaskState {
    /// The word that LIST takes.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Waiting => "QUEUE",
            Self::Delayed => "DELAYED",
            Self::Dead => "DEAD",
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::requests::tests::words;

    fn issue(number: u64) -> IssueNumber {
        IssueNumber::try_from(number).unwrap()
    }

    #[test]
    fn priorities_have_names_and_numbers() {
        assert_eq!("HIGH".parse::<Priority>().unwrap().get(), 75);
        assert_eq!("1000".parse::<Priority>().unwrap().to_string(), "urgent");
        assert_eq!("51".parse::<Priority>().unwrap().to_string(), "51");
        assert_eq!(Priority::NORMAL.name(), Some("normal"));
        assert_eq!(Priority::try_from(51).unwrap().name(), None);
        for bad in ["asap", "1001", "-1", ""] {
            assert!(bad.parse::<Priority>().is_err_and(|error| error.to_string().contains("urgent")), "{bad}");
        }
    }

    #[test]
    fn only_what_was_said_is_sent() {
        assert_eq!(words(&Enqueue::new(issue(7)).command("p")).join(" "), "POPPO.ENQUEUE p 7");
        assert_eq!(words(&Claim::new("w").command("p")).join(" "), "POPPO.CLAIM p w");
    }

    #[test]
    fn a_task_says_everything_it_knows() {
        let mut enqueue = Enqueue::new(issue(7));
        enqueue.id = Some("c1".to_owned());
        enqueue.task_type = Some("fix".to_owned());
        enqueue.priority = "urgent".parse().ok();
        enqueue.delay = Some(Duration::from_secs(2));
        enqueue.title = Some("t".to_owned());
        enqueue.payload = Some("{}".to_owned());
        enqueue.again = true;
        let expected = "POPPO.ENQUEUE p 7 ID c1 TYPE fix PRIORITY 1000 DELAY 2000 TITLE t PAYLOAD {} AGAIN";
        assert_eq!(words(&enqueue.command("p")).join(" "), expected);
    }

    #[test]
    fn a_claim_counts_its_types_and_keeps_its_id() {
        let mut claim = Claim::new("w").numbered();
        claim.types = vec!["fix".to_owned(), "docs".to_owned()];
        claim.block = Block::Forever;
        claim.ttl = Some(Duration::from_secs(1));
        let request = claim.request.clone().unwrap();
        let expected = format!("POPPO.CLAIM p w BLOCK 0 TYPES 2 fix docs REQ {request} TTL 1000");
        assert_eq!(words(&claim.command("p")).join(" "), expected);
        assert_eq!(claim.clone().numbered(), claim);
        assert_ne!(Claim::new("w").numbered().request, claim.request);
    }
}
