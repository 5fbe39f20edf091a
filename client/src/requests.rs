//! What the commands take. Each struct is made by its `new` from what is required; the rest is public fields.
//!
//! Checked here: only what types can say. What is allowed beyond that is the server's to say, in its own words.

use std::time::Duration;

use redis::Cmd;

use crate::Life;
use crate::types::{IssueNumber, Outcome, Token, Verdict};

/// What CHECKOUT takes.
///
/// ```no_run
/// # async fn example(project: poppo::Project) -> Result<(), poppo::Error> {
/// use poppo::{Checkout, Error, IssueNumber, Life, Refusal};
///
/// let mut checkout = Checkout::new(IssueNumber::try_from(123)?, "worker-1").by(&Life::current());
/// checkout.title = Some("Crash on start".to_owned());
/// match project.checkout(&checkout).await {
///     Ok(token) => println!("it is ours, under token {token}"),
///     Err(Error::Refused(Refusal::Held(who))) => println!("{who}"),
///     Err(other) => return Err(other),
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkout {
    /// The issue to take.
    pub issue: IssueNumber,
    /// The process's name: 1 to 128 bytes of printable ASCII without blanks.
    pub process: String,
    /// Its PID: 1 to 2147483647.
    pub pid: Option<u32>,
    /// Its host.
    pub host: Option<String>,
    /// Which life of the process this is.
    pub incarnation: Option<String>,
    /// The kind of task, such as `fix`.
    pub task_type: Option<String>,
    /// The issue's title.
    pub title: Option<String>,
    /// The tmux pane or session it runs in.
    pub tmux: Option<String>,
    /// For how long the process may be silent: 1 s to 24 h. Default: the project's `heartbeat-ttl`.
    pub ttl: Option<Duration>,
    /// Refuse where the issue was ever completed.
    pub once: bool,
    /// Take it from a holder that is an orphan.
    pub takeover: bool,
}

impl Checkout {
    /// Of this issue by this process, with nothing else said.
    ///
    /// Example: [`Checkout`].
    #[must_use]
    pub fn new(issue: IssueNumber, process: impl Into<String>) -> Self {
        Self {
            issue,
            process: process.into(),
            pid: None,
            host: None,
            incarnation: None,
            task_type: None,
            title: None,
            tmux: None,
            ttl: None,
            once: false,
            takeover: false,
        }
    }

    /// As the given life of the process: sets PID, host, incarnation and tmux.
    ///
    /// Example: [`Checkout`].
    #[must_use]
    pub fn by(mut self, life: &Life) -> Self {
        self.pid = Some(life.pid);
        self.host = Some(life.host.clone());
        self.incarnation = Some(life.incarnation.clone());
        self.tmux.clone_from(&life.tmux);
        self
    }

    pub(crate) fn command(&self, project: &str) -> Cmd {
        let mut cmd = redis::cmd("POPPO.CHECKOUT");
        cmd.arg(project).arg(self.issue.get()).arg(&self.process);
        option(&mut cmd, "PID", self.pid);
        option(&mut cmd, "HOST", self.host.as_deref());
        option(&mut cmd, "INCARNATION", self.incarnation.as_deref());
        option(&mut cmd, "TYPE", self.task_type.as_deref());
        option(&mut cmd, "TITLE", self.title.as_deref());
        option(&mut cmd, "TMUX", self.tmux.as_deref());
        option(&mut cmd, "TTL", self.ttl.map(millis));
        flag(&mut cmd, "ONCE", self.once);
        flag(&mut cmd, "TAKEOVER", self.takeover);
        cmd
    }
}

/// What CHECKIN takes.
///
/// ```no_run
/// # async fn example(project: poppo::Project, issue: poppo::IssueNumber, token: poppo::Token) -> Result<(), poppo::Error> {
/// use poppo::{Checkin, Outcome};
///
/// let mut report = Checkin::new(issue, "worker-1", Outcome::Completed);
/// report.token = Some(token);
/// report.result = Some(r#"{"pr":77}"#.to_owned());
/// project.checkin(&report).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkin {
    /// The issue to give back.
    pub issue: IssueNumber,
    /// The process that has it.
    pub process: String,
    /// How it went.
    pub outcome: Outcome,
    /// The token that CHECKOUT gave. Always give it where you have it: it is what fences off a lease that was lost.
    pub token: Option<Token>,
    /// Which life of the process this is.
    pub incarnation: Option<String>,
    /// The result, as JSON text of at most 65,536 bytes.
    pub result: Option<String>,
    /// Why, in words.
    pub reason: Option<String>,
    /// With [`Outcome::Error`]: queue the task again after so much time, 0 to 365 days, instead of giving it up. One that
    /// failed too often is given up all the same.
    pub retry: Option<Duration>,
    /// Anything else worth keeping, by name.
    pub metadata: Vec<(String, String)>,
}

impl Checkin {
    /// Of this issue by this process with this outcome, with nothing else said.
    ///
    /// Example: [`Checkin`].
    #[must_use]
    pub fn new(issue: IssueNumber, process: impl Into<String>, outcome: Outcome) -> Self {
        Self {
            issue,
            process: process.into(),
            outcome,
            token: None,
            incarnation: None,
            result: None,
            reason: None,
            retry: None,
            metadata: Vec::new(),
        }
    }

    /// A write that comes after it in any case. A check-in that is repeated writes nothing, and newer servers take `WAIT` for
    /// what the connection itself wrote: on a new connection it would confirm nothing at all.
    pub(crate) fn beat(&self, project: &str) -> Cmd {
        let mut cmd = redis::cmd("POPPO.HEARTBEAT");
        cmd.arg(project).arg(&self.process);
        option(&mut cmd, "INCARNATION", self.incarnation.as_deref());
        flag(&mut cmd, "BRIEF", true);
        cmd
    }

    pub(crate) fn command(&self, project: &str) -> Cmd {
        self.any_command(project, false)
    }

    /// The same, claiming the next task in the same step.
    pub(crate) fn command_with_next(&self, project: &str) -> Cmd {
        self.any_command(project, true)
    }

    fn any_command(&self, project: &str, next: bool) -> Cmd {
        let mut cmd = redis::cmd("POPPO.CHECKIN");
        cmd.arg(project).arg(self.issue.get()).arg(&self.process);
        cmd.arg("STATUS").arg(self.outcome.as_str());
        option(&mut cmd, "TOKEN", self.token.map(Token::get));
        option(&mut cmd, "INCARNATION", self.incarnation.as_deref());
        option(&mut cmd, "RESULT", self.result.as_deref());
        option(&mut cmd, "REASON", self.reason.as_deref());
        option(&mut cmd, "RETRY", self.retry.map(millis));
        flag(&mut cmd, "NEXT", next);
        if !self.metadata.is_empty() {
            cmd.arg("META");
            for (name, value) in &self.metadata {
                cmd.arg(name).arg(value);
            }
        }
        cmd
    }
}

/// What HEARTBEAT takes.
///
/// ```no_run
/// # async fn example(project: poppo::Project, issue: poppo::IssueNumber, token: poppo::Token) -> Result<(), poppo::Error> {
/// use poppo::Heartbeat;
///
/// let mut heartbeat = Heartbeat::new("worker-1");
/// heartbeat.progress = Some("tests 3/7".to_owned());
/// let beat = project.heartbeat(&heartbeat).await?;
/// if !beat.holds(issue, token) || beat.cancel.contains(&issue) {
///     println!("stop");
/// }
/// println!("the next one within {:?}", beat.time_to_live() / 3);
/// // Where the answer to a checkout was lost: whether it was granted, confirmed as a checkout would be.
/// let held = project.heartbeat_durably(&heartbeat).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heartbeat {
    /// The process that is alive.
    pub process: String,
    /// Which life of it. Without it, the current one is meant.
    pub incarnation: Option<String>,
    /// A new time to live: 1 s to 24 h.
    pub ttl: Option<Duration>,
    /// What the work itself has to report.
    pub progress: Option<String>,
}

impl Heartbeat {
    /// Of this process, with nothing else said.
    ///
    /// Example: [`Heartbeat`].
    #[must_use]
    pub fn new(process: impl Into<String>) -> Self {
        Self { process: process.into(), incarnation: None, ttl: None, progress: None }
    }

    pub(crate) fn command(&self, project: &str) -> Cmd {
        let mut cmd = redis::cmd("POPPO.HEARTBEAT");
        cmd.arg(project).arg(&self.process);
        option(&mut cmd, "INCARNATION", self.incarnation.as_deref());
        option(&mut cmd, "TTL", self.ttl.map(millis));
        option(&mut cmd, "PROGRESS", self.progress.as_deref());
        cmd
    }
}

/// What LIVENESS takes: the word of the agent on a host.
///
/// ```no_run
/// # async fn example(project: poppo::Project) -> Result<(), poppo::Error> {
/// use poppo::{Liveness, Verdict};
///
/// // A supervisor saw its child end.
/// let orphans = project.liveness(&Liveness::new("worker-1", Verdict::Dead, "build-7", 4711)).await?;
/// println!("{orphans} issues wait to be repaired");
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Liveness {
    /// The process that was looked at.
    pub process: String,
    /// What was seen.
    pub verdict: Verdict,
    /// On which host.
    pub host: String,
    /// Which PID: 1 to 2147483647.
    pub pid: u32,
    /// Which life of the process it is. Without it, host and PID alone have to match.
    pub incarnation: Option<String>,
}

impl Liveness {
    /// Of this PID on this host, which the process of that name has, with nothing else said.
    ///
    /// Example: [`Liveness`].
    #[must_use]
    pub fn new(process: impl Into<String>, verdict: Verdict, host: impl Into<String>, pid: u32) -> Self {
        Self { process: process.into(), verdict, host: host.into(), pid, incarnation: None }
    }

    pub(crate) fn command(&self, project: &str) -> Cmd {
        let mut cmd = redis::cmd("POPPO.LIVENESS");
        cmd.arg(project).arg(&self.process);
        cmd.arg(match self.verdict {
            Verdict::Alive => "ALIVE",
            Verdict::Dead => "DEAD",
        });
        cmd.arg("HOST").arg(&self.host).arg("PID").arg(self.pid);
        option(&mut cmd, "INCARNATION", self.incarnation.as_deref());
        cmd
    }
}

/// What REPAIR takes.
///
/// ```no_run
/// # async fn example(project: poppo::Project) -> Result<(), poppo::Error> {
/// use poppo::Repair;
///
/// for orphan in project.orphans(None, None).await? {
///     let mut repair = Repair::new(orphan.issue, orphan.token);
///     repair.requeue = true;
///     println!("issue {} is {} now", orphan.issue, project.repair(&repair).await?);
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repair {
    /// The orphaned issue.
    pub issue: IssueNumber,
    /// The token that ORPHANS showed.
    pub token: Token,
    /// What the issue becomes: `error` (the default) or `awaiting-response`.
    pub outcome: Option<Outcome>,
    /// Queue its task again instead; one that was queued again too often is given up all the same.
    pub requeue: bool,
    /// Why, in words.
    pub reason: Option<String>,
}

impl Repair {
    /// Of this issue, whose lease has this token, with nothing else said.
    ///
    /// Example: [`Repair`].
    #[must_use]
    pub fn new(issue: IssueNumber, token: Token) -> Self {
        Self { issue, token, outcome: None, requeue: false, reason: None }
    }

    pub(crate) fn command(&self, project: &str) -> Cmd {
        let mut cmd = redis::cmd("POPPO.REPAIR");
        cmd.arg(project).arg(self.issue.get()).arg("TOKEN").arg(self.token.get());
        option(&mut cmd, "STATUS", self.outcome.map(Outcome::as_str));
        flag(&mut cmd, "REQUEUE", self.requeue);
        option(&mut cmd, "REASON", self.reason.as_deref());
        cmd
    }
}

/// What EVICT takes.
///
/// ```no_run
/// # async fn example(project: poppo::Project) -> Result<(), poppo::Error> {
/// use poppo::{Evict, IssueNumber};
///
/// let mut evict = Evict::new(IssueNumber::try_from(123)?);
/// evict.requeue = true;
/// evict.reason = Some("it has hung for a day".to_owned());
/// println!("it is {} now", project.evict(&evict).await?);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evict {
    /// The issue whose lease is to end.
    pub issue: IssueNumber,
    /// End only the lease with this token.
    pub token: Option<Token>,
    /// Queue its task again instead of giving it up.
    pub requeue: bool,
    /// Why, in words.
    pub reason: Option<String>,
}

impl Evict {
    /// Of whoever has this issue, with nothing else said.
    ///
    /// Example: [`Evict`].
    #[must_use]
    pub fn new(issue: IssueNumber) -> Self {
        Self { issue, token: None, requeue: false, reason: None }
    }

    pub(crate) fn command(&self, project: &str) -> Cmd {
        let mut cmd = redis::cmd("POPPO.EVICT");
        cmd.arg(project).arg(self.issue.get());
        option(&mut cmd, "TOKEN", self.token.map(Token::get));
        flag(&mut cmd, "REQUEUE", self.requeue);
        option(&mut cmd, "REASON", self.reason.as_deref());
        cmd
    }
}

/// `NAME value`, where there is a value.
pub(crate) fn option<V: redis::ToRedisArgs>(cmd: &mut Cmd, name: &str, value: Option<V>) {
    if let Some(value) = value {
        cmd.arg(name).arg(value);
    }
}

pub(crate) fn flag(cmd: &mut Cmd, name: &str, on: bool) {
    if on {
        cmd.arg(name);
    }
}

/// Whole milliseconds; what is too long for the protocol stays too long, and the server says so.
pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn words(cmd: &Cmd) -> Vec<String> {
        cmd.args_iter()
            .map(|arg| match arg {
                redis::Arg::Simple(bytes) => String::from_utf8_lossy(bytes).into_owned(),
                _ => "?".to_owned(),
            })
            .collect()
    }

    #[test]
    fn only_what_was_said_is_sent() {
        let checkout = Checkout::new(IssueNumber::try_from(7).unwrap(), "w");
        assert_eq!(words(&checkout.command("p")), ["POPPO.CHECKOUT", "p", "7", "w"]);
    }

    #[test]
    fn a_checkout_says_everything_it_knows() {
        let mut checkout = Checkout::new(IssueNumber::try_from(7).unwrap(), "w").by(&Life {
            pid: 5,
            host: "h".to_owned(),
            incarnation: "b:5:1".to_owned(),
            tmux: None,
        });
        checkout.ttl = Some(Duration::from_secs(2));
        checkout.once = true;
        let expected = "POPPO.CHECKOUT p 7 w PID 5 HOST h INCARNATION b:5:1 TTL 2000 ONCE";
        assert_eq!(words(&checkout.command("p")).join(" "), expected);
    }

    #[test]
    fn an_agents_word_names_host_and_pid() {
        let mut liveness = Liveness::new("w", Verdict::Dead, "h", 5);
        assert_eq!(words(&liveness.command("p")).join(" "), "POPPO.LIVENESS p w DEAD HOST h PID 5");
        liveness.verdict = Verdict::Alive;
        liveness.incarnation = Some("b:5:1".to_owned());
        let expected = "POPPO.LIVENESS p w ALIVE HOST h PID 5 INCARNATION b:5:1";
        assert_eq!(words(&liveness.command("p")).join(" "), expected);
    }

    #[test]
    fn a_retry_and_the_next_claim_come_before_the_metadata() {
        let mut checkin = Checkin::new(IssueNumber::try_from(7).unwrap(), "w", Outcome::Error);
        checkin.retry = Some(Duration::from_millis(1500));
        checkin.metadata = vec![("a".to_owned(), "b".to_owned())];
        let expected = "POPPO.CHECKIN p 7 w STATUS error RETRY 1500 NEXT META a b";
        assert_eq!(words(&checkin.command_with_next("p")).join(" "), expected);
    }

    #[test]
    fn a_task_is_queued_again_where_that_was_said() {
        let (issue, token) = (IssueNumber::try_from(7).unwrap(), Token::try_from(9).unwrap());
        let mut repair = Repair::new(issue, token);
        repair.requeue = true;
        assert_eq!(words(&repair.command("p")).join(" "), "POPPO.REPAIR p 7 TOKEN 9 REQUEUE");
        let mut evict = Evict::new(issue);
        evict.requeue = true;
        assert_eq!(words(&evict.command("p")).join(" "), "POPPO.EVICT p 7 REQUEUE");
    }

    #[test]
    fn metadata_comes_last() {
        let mut checkin = Checkin::new(IssueNumber::try_from(7).unwrap(), "w", Outcome::Error);
        checkin.metadata = vec![("TOKEN".to_owned(), "x".to_owned())];
        checkin.reason = Some("why not".to_owned());
        checkin.token = Some(Token::try_from(9).unwrap());
        let expected = "POPPO.CHECKIN p 7 w STATUS error TOKEN 9 REASON why not META TOKEN x";
        assert_eq!(words(&checkin.command("p")).join(" "), expected);
    }
}
