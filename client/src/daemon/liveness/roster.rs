//! Who is watched: the lives of this host that the server knows. It asks nobody but the system, and says what is to be told
//! to the server.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use poppo::{Issue, Liveness, OrphanReason, Process, ProcessState, Status, Verdict};
use rustix::process::Pid;
use tokio::sync::mpsc::UnboundedSender;
use tokio::task::AbortHandle;
use tokio::time::Instant;
use tracing::{debug, info, warn};

use super::watch::{Birth, Eye, Sight, Watch};

/// How often a life is called dead that goes on beating.
const CALLS: u8 = 2;

/// One life of a process, as its host knows it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Being {
    process: String,
    pid: u32,
    incarnation: Option<String>,
}

impl Being {
    /// What is told of it.
    pub(super) fn word(&self, verdict: Verdict, host: &str) -> Liveness {
        let mut word = Liveness::new(self.process.as_str(), verdict, host, self.pid);
        word.incarnation.clone_from(&self.incarnation);
        word
    }
}

/// What the server says of a process somewhere.
#[derive(Debug, Clone)]
pub(super) struct Sighting {
    process: String,
    /// Its life on this host; none where it is elsewhere, or nobody can say.
    here: Option<Being>,
    /// Whether it holds issues.
    holds: bool,
    /// Whether somebody called it dead.
    is_called_dead: bool,
}

impl Sighting {
    fn new(host: &str, process: String, at: (Option<&str>, Option<u32>), incarnation: Option<String>) -> Self {
        let here = match at {
            (Some(its), Some(pid)) if its == host => Some(Being { process: process.clone(), pid, incarnation }),
            _ => None,
        };
        Self { process, here, holds: true, is_called_dead: false }
    }

    /// Of a row of the list of processes; none of a life that is over whatever anybody says.
    pub(super) fn of_process(host: &str, row: Process) -> Option<Self> {
        if row.state == ProcessState::Orphan(OrphanReason::Replaced) {
            return None;
        }
        let sighting = Self::new(host, row.process, (row.host.as_deref(), row.pid), row.incarnation);
        let is_called_dead = row.state == ProcessState::Orphan(OrphanReason::Dead);
        Some(Self { holds: row.issues > 0, is_called_dead, ..sighting })
    }

    /// Of the holder of an issue; none where nobody holds it.
    pub(super) fn of_holder(host: &str, issue: Issue) -> Option<Self> {
        let process = issue.process.filter(|_| issue.status == Status::Processing)?;
        let sighting = Self::new(host, process, (issue.host.as_deref(), issue.pid), issue.incarnation);
        Some(Self { is_called_dead: issue.orphan == Some(OrphanReason::Dead), ..sighting })
    }
}

/// An end that was noticed.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) being: Being,
    /// When it was.
    pub(super) at: Instant,
}

/// Who waits for an end. It stops with this.
struct Lookout(AbortHandle);

impl Drop for Lookout {
    fn drop(&mut self) {
        self.0.abort();
    }
}

enum State {
    Watched {
        eye: Arc<dyn Eye>,
        /// Whether it is known to be who the server means, so that its life may be attested.
        is_sure: bool,
        holds: bool,
        _lookout: Lookout,
    },
    /// It has ended, and the server took our word for it so many times.
    Dead { calls: u8 },
}

struct Life {
    state: State,
    /// The list in which it was found last.
    list: u64,
}

/// See the module.
pub(super) struct Roster {
    host: Arc<str>,
    watch: Arc<dyn Watch>,
    /// Who is told of ends.
    ends: UnboundedSender<Ended>,
    lives: BTreeMap<Being, Life>,
    /// Names of processes elsewhere.
    others: BTreeSet<String>,
    /// How many whole lists there were.
    lists: u64,
}

impl Roster {
    pub(super) fn new(host: Arc<str>, watch: Arc<dyn Watch>, ends: UnboundedSender<Ended>) -> Self {
        Self { host, watch, ends, lives: BTreeMap::new(), others: BTreeSet::new(), lists: 0 }
    }

    /// Whether an event of a process of this name says nothing new.
    pub(super) fn knows(&self, process: &str) -> bool {
        let first = Being { process: process.to_owned(), pid: 0, incarnation: None };
        let mut of_name = self.lives.range(first..).take_while(|(being, _)| being.process == process);
        self.others.contains(process) || of_name.any(|(_, life)| matches!(life.state, State::Watched { .. }))
    }

    /// How many are watched.
    pub(super) fn watched(&self) -> usize {
        self.lives.values().filter(|life| matches!(life.state, State::Watched { .. })).count()
    }

    /// Takes the whole list of processes. Who was on neither of the last two is no longer watched: a list may have been
    /// begun before somebody came.
    pub(super) fn take_all(&mut self, list: Vec<Sighting>) -> Vec<Liveness> {
        self.lists += 1;
        self.others = list.iter().filter(|one| one.here.is_none()).map(|one| one.process.clone()).collect();
        let words = self.take(list);
        let oldest = self.lists.saturating_sub(1);
        self.lives.retain(|_, life| life.list >= oldest);
        words
    }

    /// Looks at those of this host. What is to be told to the server, in that order.
    pub(super) fn take(&mut self, sightings: Vec<Sighting>) -> Vec<Liveness> {
        sightings.into_iter().filter_map(|sighting| self.see(sighting)).collect()
    }

    fn see(&mut self, sighting: Sighting) -> Option<Liveness> {
        let Sighting { process, here, holds, is_called_dead } = sighting;
        let Some(being) = here else {
            self.others.insert(process);
            return None;
        };
        let verdict = match self.lives.get_mut(&being) {
            Some(life) => {
                life.list = self.lists;
                life.see_again(&being, holds, is_called_dead)
            }
            None => self.meet(&being, holds, is_called_dead),
        };
        verdict.map(|verdict| being.word(verdict, &self.host))
    }

    /// Looks at a life for the first time.
    fn meet(&mut self, being: &Being, holds: bool, is_called_dead: bool) -> Option<Verdict> {
        let pid = i32::try_from(being.pid).ok().and_then(Pid::from_raw)?;
        let birth: Option<Birth> = being.incarnation.as_deref().and_then(|text| text.parse().ok());
        let (state, verdict) = match self.watch.look(pid, birth.as_ref()) {
            Sight::Alive(eye) => {
                // Where a PID is all there is, somebody else may have it by now.
                let is_sure = birth.is_some() || !is_called_dead;
                debug!(process = being.process, pid = being.pid, "watches");
                (self.watched_by(being, eye, is_sure, holds), (holds && is_sure).then_some(Verdict::Alive))
            }
            Sight::Somebody(eye) => {
                debug!(process = being.process, pid = being.pid, "watches a PID, without knowing whose it is");
                (self.watched_by(being, eye, false, holds), None)
            }
            Sight::Dead(cause) => {
                let is_news = holds && !is_called_dead;
                if is_news {
                    info!(process = being.process, pid = being.pid, "is dead: {cause}");
                }
                (State::Dead { calls: u8::from(is_news) }, is_news.then_some(Verdict::Dead))
            }
        };
        self.lives.insert(being.clone(), Life { state, list: self.lists });
        verdict
    }

    fn watched_by(&self, being: &Being, eye: Arc<dyn Eye>, is_sure: bool, holds: bool) -> State {
        let (end, ends, being) = (Arc::clone(&eye).end(), self.ends.clone(), being.clone());
        let lookout = tokio::spawn(async move {
            end.await;
            // Where nobody listens any more, the daemon ends.
            drop(ends.send(Ended { being, at: Instant::now() }));
        });
        State::Watched { eye, is_sure, holds, _lookout: Lookout(lookout.abort_handle()) }
    }

    /// It was seen to end: what is to be told.
    pub(super) fn ended(&mut self, being: &Being) -> Liveness {
        info!(process = being.process, pid = being.pid, "has ended");
        if let Some(life) = self.lives.get_mut(being) {
            life.state = State::Dead { calls: 1 };
        }
        being.word(Verdict::Dead, &self.host)
    }

    /// Nobody heard what was to be told of the dead: it will be told when the server next shows them as alive.
    pub(super) fn was_not_heard(&mut self) {
        for life in self.lives.values_mut() {
            if let State::Dead { calls } = &mut life.state {
                *calls = 0;
            }
        }
    }

    /// What is to be told of those that hold something, and are seen alive now.
    pub(super) fn attestations(&self) -> Vec<Liveness> {
        let living = self.lives.iter().filter(|(_, life)| match &life.state {
            State::Watched { eye, is_sure, holds, .. } => *is_sure && *holds && eye.sees_life(),
            State::Dead { .. } => false,
        });
        living.map(|(being, _)| being.word(Verdict::Alive, &self.host)).collect()
    }
}

impl Life {
    /// What is to be said of a life that was looked at before.
    fn see_again(&mut self, being: &Being, held: bool, is_called_dead: bool) -> Option<Verdict> {
        match &mut self.state {
            State::Watched { eye, is_sure, holds, .. } => {
                let is_new = held && !*holds;
                *holds = held;
                // Somebody was wrong, or it just began to hold something.
                (held && *is_sure && (is_called_dead || is_new) && eye.sees_life()).then_some(Verdict::Alive)
            }
            State::Dead { calls } if held && !is_called_dead => {
                *calls = calls.saturating_add(1);
                if *calls == CALLS + 1 {
                    warn!(
                        process = being.process,
                        pid = being.pid,
                        "beats although its PID is not here, so it is left to its heartbeats: it runs in a container or on \
                         another machine, and needs another HOST, or a daemon beside it"
                    );
                }
                (*calls <= CALLS).then_some(Verdict::Dead)
            }
            State::Dead { .. } => None,
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicBool, Ordering};

    use tokio::sync::Notify;
    use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

    use super::super::watch::{Cause, End};
    use super::*;

    /// A host on which a test decides who lives.
    #[derive(Default)]
    struct Host {
        dead: AtomicBool,
        is_told: Notify,
        looks: Mutex<u32>,
        is_opaque: bool,
    }

    struct Stare(Arc<Host>);

    impl Eye for Stare {
        fn sees_life(&self) -> bool {
            !self.0.dead.load(Ordering::SeqCst)
        }

        fn end(self: Arc<Self>) -> End {
            Box::pin(async move { self.0.is_told.notified().await })
        }
    }

    struct Theatre(Arc<Host>);

    impl Watch for Theatre {
        fn look(&self, _: Pid, _: Option<&Birth>) -> Sight {
            *self.0.looks.lock().unwrap() += 1;
            let eye = Arc::new(Stare(Arc::clone(&self.0)));
            match (self.0.dead.load(Ordering::SeqCst), self.0.is_opaque) {
                (true, _) => Sight::Dead(Cause::Gone),
                (false, true) => Sight::Somebody(eye),
                (false, false) => Sight::Alive(eye),
            }
        }
    }

    fn roster(host: &Arc<Host>) -> (Roster, UnboundedReceiver<Ended>) {
        let (ends, ended) = unbounded_channel();
        (Roster::new("h".into(), Arc::new(Theatre(Arc::clone(host))), ends), ended)
    }

    fn row(state: &str, issues: u64) -> Process {
        Process {
            process: "w".to_owned(),
            state: state.parse().unwrap(),
            incarnation: None,
            pid: Some(17),
            host: Some("h".to_owned()),
            tmux: None,
            issues,
            ttl: None,
            last_seen: None,
            attest_time: None,
            progress: None,
            progress_time: None,
        }
    }

    fn list(rows: &[Process]) -> Vec<Sighting> {
        rows.iter().filter_map(|row| Sighting::of_process("h", row.clone())).collect()
    }

    fn verdicts(words: &[Liveness]) -> Vec<Verdict> {
        words.iter().map(|word| word.verdict).collect()
    }

    #[tokio::test]
    async fn who_holds_something_is_attested_for_as_long_as_it_is_seen_alive() {
        let host = Arc::new(Host::default());
        let (mut roster, mut ended) = roster(&host);
        assert!(roster.take_all(list(&[row("alive", 0)])).is_empty(), "it holds nothing");
        assert!(roster.knows("w") && roster.attestations().is_empty());
        assert_eq!(verdicts(&roster.take_all(list(&[row("expired", 1)]))), [Verdict::Alive]);
        assert_eq!(verdicts(&roster.attestations()), [Verdict::Alive]);
        // It has ended, and its end was not noticed yet.
        host.dead.store(true, Ordering::SeqCst);
        assert!(roster.attestations().is_empty());
        host.is_told.notify_one();
        let end = ended.recv().await.unwrap();
        assert_eq!(roster.ended(&end.being).verdict, Verdict::Dead);
        assert!(!roster.knows("w"));
        assert!(roster.take_all(list(&[row("dead", 1)])).is_empty(), "that is known");
        assert_eq!(*host.looks.lock().unwrap(), 1);
    }

    #[tokio::test]
    async fn who_is_found_dead_is_called_so_at_once() {
        let host = Arc::new(Host { dead: true.into(), ..Host::default() });
        let (mut roster, _ended) = roster(&host);
        assert_eq!(verdicts(&roster.take_all(list(&[row("alive", 1)]))), [Verdict::Dead]);
        assert!(roster.take_all(list(&[row("dead", 1)])).is_empty());
    }

    #[tokio::test]
    async fn who_beats_elsewhere_under_this_hosts_name_is_called_dead_twice_at_most() {
        let host = Arc::new(Host { dead: true.into(), ..Host::default() });
        let (mut roster, _ended) = roster(&host);
        let said: Vec<usize> = (0..5).map(|_| roster.take_all(list(&[row("alive", 1)])).len()).collect();
        assert_eq!(said, [1, 1, 0, 0, 0]);
        roster.was_not_heard();
        assert_eq!(roster.take_all(list(&[row("alive", 1)])).len(), 1);
    }

    #[tokio::test]
    async fn a_life_that_was_not_seen_is_not_attested() {
        let host = Arc::new(Host { is_opaque: true, ..Host::default() });
        let (mut hidden, _ended) = roster(&host);
        assert!(hidden.take_all(list(&[row("alive", 1)])).is_empty());
        assert!(hidden.attestations().is_empty());
        // Called dead, and a PID is all that is known: somebody else may have it.
        let host = Arc::new(Host::default());
        let (mut roster, _ended) = roster(&host);
        assert!(roster.take_all(list(&[row("dead", 1)])).is_empty());
        assert!(roster.attestations().is_empty());
    }

    #[tokio::test]
    async fn lives_elsewhere_and_ended_ones_are_left_alone() {
        let host = Arc::new(Host::default());
        let (mut roster, _ended) = roster(&host);
        let elsewhere = Process { host: Some("other".to_owned()), ..row("alive", 1) };
        let unknown = Process { process: "x".to_owned(), pid: None, ..row("alive", 1) };
        assert!(roster.take_all(list(&[elsewhere, unknown, row("replaced", 1)])).is_empty());
        assert_eq!((*host.looks.lock().unwrap(), roster.watched()), (0, 0));
        assert!(roster.knows("w") && roster.knows("x"));
    }

    #[tokio::test]
    async fn who_is_on_two_lists_no_more_is_no_longer_watched() {
        let host = Arc::new(Host::default());
        let (mut roster, _ended) = roster(&host);
        roster.take_all(list(&[row("alive", 1)]));
        roster.take_all(list(&[]));
        assert_eq!(roster.watched(), 1);
        roster.take_all(list(&[]));
        assert_eq!(roster.watched(), 0);
    }
}
