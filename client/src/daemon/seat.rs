//! One daemon at a time answers the older programs of a project and keeps its view: whoever holds the lease on issue 1 of the
//! project `poppo:daemons:{<key>}`. What it writes is written in scripts that look at the lease first, so one that was
//! stopped for a while and wakes up as somebody else's predecessor changes nothing any more.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use poppo::{Checkin, Checkout, Client, Error, Guard, Heartbeat, IssueNumber, Life, Outcome, Project, Refusal, Token};
use sha2::{Digest as _, Sha256};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info};

/// For how long whoever sits here may be silent before the next one takes over.
const TTL: Duration = Duration::from_secs(3);
/// How often who sits here says so.
const BEAT: Duration = Duration::from_secs(1);
/// How often who does not looks whether it is free.
const GLANCE: Duration = Duration::from_millis(300);
/// For so long who began to hear requests leaves the seat of one that died to those who heard more of them …
const HESITATION: Duration = Duration::from_secs(5);
/// … unless it has been nobody's for so long: then there is nobody else.
const NOBODYS: Duration = Duration::from_secs(2);
/// For how long giving it back may take when the daemon ends.
const PATIENCE: Duration = Duration::from_secs(1);

/// Looks at the lease; scripts that need it begin with it. Its key is the first, its token the first argument.
const SCRIPT: &str = include_str!("seat/seat.lua");
/// The code of the refusal that this script answers.
const UNSEATED: &str = "UNSEATED";

/// The place of one project's only writer. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Seat {
    key: Arc<str>,
    wanted: Arc<watch::Sender<Option<Instant>>>,
    state: watch::Receiver<State>,
}

/// Whether this daemon sits there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct State {
    /// By which token.
    term: Option<Token>,
    /// Why neither it nor, as far as it knows, another one does.
    trouble: Option<String>,
}

impl Seat {
    /// The seat of this project, and who keeps it. It is not asked for before somebody [wants](Self::want) it.
    pub(crate) fn of(client: &Client, project: &str) -> (Self, Keeper) {
        let key: Arc<str> = place(project, "").into();
        let (wanted, wants) = watch::channel(None);
        let (sender, state) = watch::channel(State::default());
        let keeper = Keeper {
            project: client.project(key.as_ref()).without_durability(),
            process: name(),
            wants,
            state: sender,
        };
        (Self { key, wanted: Arc::new(wanted), state }, keeper)
    }

    /// Whether this daemon is able to do what the seat is there for.
    pub(crate) fn want(&self, wanted: bool) {
        self.wanted.send_if_modified(|since| {
            let is_new = since.is_some() != wanted;
            if is_new {
                *since = wanted.then(Instant::now);
            }
            is_new
        });
    }

    /// The token by which this daemon sits here; none where another does, or nobody.
    pub(crate) fn term(&self) -> Option<Token> {
        self.state.borrow().term
    }

    /// Why nobody can be found to sit here.
    pub(crate) fn trouble(&self) -> Option<String> {
        self.state.borrow().trouble.clone()
    }

    /// Waits until one of these is another.
    pub(crate) async fn change(&mut self) {
        if self.state.changed().await.is_err() {
            // The daemon ends.
            std::future::pending::<()>().await;
        }
    }

    /// The lease's key.
    pub(crate) fn key(&self) -> &str {
        &self.key
    }

    /// A script that goes on only while this daemon sits here. Its keys begin with [`key`](Self::key), its arguments with
    /// the token.
    pub(crate) fn script(rest: &str) -> String {
        format!("{SCRIPT}\n{rest}")
    }

    /// A condition for a command, with more to look at where there is more.
    pub(crate) fn guard(&self, token: Token, rest: &str, more_keys: &[&str]) -> Guard {
        let mut keys = vec![self.key.to_string()];
        keys.extend(more_keys.iter().map(ToString::to_string));
        Guard::new(Self::script(rest), keys, vec![token.to_string()])
    }
}

/// Runs the guarded command, and nothing else.
pub(crate) const RUN: &str = "return redis.pcall(unpack(ARGV, 2))";

/// Whether a script was refused since another daemon sits there by now.
pub(crate) fn is_unseated(error: &Error) -> bool {
    error.code() == UNSEATED
}

/// A key of a project's daemons, beside the lease. The braces put it into the project's slot.
pub(crate) fn place(project: &str, what: &str) -> String {
    let tag = if project.contains(['{', '}']) { project.to_owned() } else { format!("{{{project}}}") };
    format!("poppo:daemons:{tag}{what}")
}

/// A process name that nobody has or had: also two containers can have one host name and one PID.
fn name() -> String {
    let life = Life::current();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
    let digest = Sha256::digest(format!("{} {now}", life.incarnation));
    let suffix: String = digest.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
    format!("{}-{suffix}", life.default_process_name())
}

/// Takes the seat when it is free, and keeps it.
#[derive(Debug)]
pub(crate) struct Keeper {
    project: Project,
    process: String,
    /// Since when.
    wants: watch::Receiver<Option<Instant>>,
    state: watch::Sender<State>,
}

impl Keeper {
    /// Until the daemon ends; then the seat is given back.
    pub(crate) async fn keep(mut self, stop: CancellationToken) {
        while !stop.is_cancelled() {
            let since = *self.wants.borrow_and_update();
            let pause = match since {
                Some(since) => self.ask(since).await,
                None => {
                    self.leave().await;
                    Duration::MAX
                }
            };
            tokio::select! {
                () = sleep(pause) => {}
                Ok(()) = self.wants.changed() => {}
                () = stop.cancelled() => {}
            }
        }
        drop(timeout(PATIENCE, self.leave()).await);
    }

    /// Takes the seat or stays on it; answers when to do so again.
    async fn ask(&self, since: Instant) -> Duration {
        // An answer that does not come is none: by then another may sit here.
        let late = || Error::Timeout { url: self.project.client().url().to_owned(), after: TTL };
        let answer = timeout(TTL, self.stay_or_take(since)).await.unwrap_or_else(|_| Err(late()));
        let (state, pause) = match answer {
            Ok(token) => (State { term: Some(token), trouble: None }, BEAT),
            Err(Error::Refused(Refusal::Held(_))) => (State::default(), GLANCE),
            Err(error) => (State { term: None, trouble: Some(error.to_string()) }, GLANCE),
        };
        self.set(state);
        pause
    }

    async fn stay_or_take(&self, since: Instant) -> Result<Token, Error> {
        let term = self.state.borrow().term;
        if let Some(token) = term {
            // Works at maxmemory, too, unlike a checkout.
            match self.project.heartbeat(&Heartbeat::new(self.process.as_str())).await {
                Ok(beat) if beat.holds(IssueNumber::FIRST, token) => return Ok(token),
                Ok(_) | Err(Error::Refused(_)) => {}
                Err(error) => return Err(error),
            }
        }
        let life = Life::current();
        let mut checkout = Checkout::new(IssueNumber::FIRST, self.process.as_str());
        checkout.pid = Some(life.pid);
        checkout.host = Some(life.host);
        checkout.task_type = Some("daemon".to_owned());
        checkout.ttl = Some(TTL);
        checkout.takeover = since.elapsed() >= HESITATION || self.is_nobodys().await?;
        self.project.checkout(&checkout).await
    }

    /// Whether nobody took the seat of one that died, although others would have.
    async fn is_nobodys(&self) -> Result<bool, Error> {
        let lease = self.project.get(IssueNumber::FIRST).await?;
        let orphaned = lease.and_then(|lease| lease.orphan_since?.to_system_time());
        let Some(orphaned) = orphaned else { return Ok(false) };
        let now = self.project.client().time().await?;
        Ok(now.duration_since(orphaned).is_ok_and(|age| age >= NOBODYS))
    }

    /// Gives the seat to whoever is next.
    async fn leave(&self) {
        let term = self.state.borrow().term;
        self.set(State::default());
        let Some(token) = term else { return };
        let mut checkin = Checkin::new(IssueNumber::FIRST, self.process.as_str(), Outcome::Cancelled);
        checkin.token = Some(token);
        if let Err(error) = self.project.checkin(&checkin).await {
            debug!(%error, seat = self.project.key(), "not given back");
        }
    }

    fn set(&self, state: State) {
        let (sits, sat) = (state.term.is_some(), self.state.borrow().term.is_some());
        self.state.send_if_modified(|before| {
            let is_new = *before != state;
            *before = state;
            is_new
        });
        let seat = self.project.key();
        match (sat, sits) {
            (false, true) => info!(seat, "this daemon serves the older programs now"),
            (true, false) => info!(seat, "this daemon does not serve the older programs any more"),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_keys_of_a_projects_daemons_are_in_its_slot() {
        assert_eq!(place("acme/widgets", ":view"), "poppo:daemons:{acme/widgets}:view");
        assert_eq!(place("{acme}/widgets", ""), "poppo:daemons:{acme}/widgets");
    }

    #[test]
    fn no_two_daemons_have_one_name() {
        assert_ne!(name(), name());
    }
}
