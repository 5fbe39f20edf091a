//! Duty 6: keeps the older key layout as a view of the project, for programs that read plain keys (`docs/ambassador.md`).
//!
//! | file | what it does |
//! | --- | --- |
//! | `layout` | the names of the keys |
//! | `entry` | what is in them |
//! | `model` | who has what |
//! | `changes` | has the server make the keys what they should be, in one step |
//! | `keep` | the duty: builds the view, follows the project's log, removes what is over |
//! | `adopt` | takes over what somebody wrote into the view by hand |
//!
//! Whatever the view shows is derived anew from the project each time, so it does not matter where a daemon ended: the next
//! one compares everything and writes what differs. The book, a hash beside the lease, has an entry for all that is shown; by
//! it the next one knows what to remove, and that nothing else is the view's. Of an issue it has who was shown as its holder:
//! whoever else is in the issue's hash was written there by hand, and stays until `adopt` has looked at it.

mod adopt;
mod changes;
pub(super) mod entry;
mod keep;
mod layout;
mod model;

use std::collections::{BTreeSet, HashMap};
use std::sync::Mutex as StdMutex;
use std::time::{Duration, SystemTime};

use poppo::{Error, Issue, IssueNumber, Timestamp, Token};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use tokio::sync::Mutex;
use tracing::warn;

use self::adopt::Strangers;
use self::changes::{Changes, Entry};
pub(super) use self::layout::Layout;
use self::model::Model;
use super::metrics::OfProject;
use super::seat::{self, Seat};
use super::{Site, records};

/// For how long after a sign of life a process's heartbeat is there.
const HEARTBEAT: Duration = Duration::from_secs(1800);
/// How many issues or processes are written in one step at most: the server does nothing else meanwhile.
const AT_ONCE: usize = 64;

/// What is known of the views.
#[derive(Debug, Clone, Default)]
pub(super) struct Metrics {
    /// For how many ms it has not been known to be right.
    lag: Family<OfProject, Gauge>,
    rebuilds: Family<OfProject, Counter>,
    adopted: Family<OfProject, Counter>,
}

impl Metrics {
    pub(super) fn register(&self, registry: &mut Registry) {
        let help = "For how many ms the view of the older keys was behind the project when it was last looked at, where \
                    this daemon keeps it";
        registry.register("view_lag_milliseconds", help, self.lag.clone());
        let help = "How often the view of the older keys was compared with the whole project";
        registry.register("view_rebuilds", help, self.rebuilds.clone());
        let help = "Issues that somebody wrote into the view by hand and that were taken into the project";
        registry.register("view_adopted", help, self.adopted.clone());
    }
}

/// A process that the project need not know.
#[derive(Debug, Clone)]
pub(super) struct Guest {
    pub(super) process: String,
    pub(super) pid: Option<u32>,
    pub(super) host: Option<String>,
}

/// Of what something else is true now.
#[derive(Debug, Clone, Default)]
pub(super) struct Touched {
    pub(super) issues: Vec<IssueNumber>,
    /// Who was heard of.
    pub(super) guest: Option<Guest>,
    /// The process that is not to be shown until it is heard of again.
    pub(super) cleaned: Option<String>,
}

impl Touched {
    pub(super) fn issue(issue: IssueNumber) -> Self {
        Self { issues: vec![issue], ..Self::default() }
    }
}

/// The view of one project.
#[derive(Debug)]
pub(super) struct View {
    site: Site,
    seat: Seat,
    layout: Layout,
    metrics: Metrics,
    /// Held while something is read and written, so that nothing older is written behind something newer.
    state: Mutex<State>,
    /// Keys that are somebody else's, so that each is said once.
    foreign: StdMutex<BTreeSet<String>>,
}

#[derive(Debug, Default)]
struct State {
    /// As whom this was read.
    term: Option<Token>,
    model: Model,
    /// Processes that were cleaned up, and when they had been heard of last by then.
    cleaned: HashMap<String, String>,
    /// The tasks that are shown.
    tasks: BTreeSet<String>,
    strangers: Strangers,
}

impl View {
    pub(super) fn new(site: Site, seat: Seat, layout: Layout, metrics: Metrics) -> Self {
        Self { site, seat, layout, metrics, state: Mutex::default(), foreign: StdMutex::default() }
    }

    /// Has the view show what was done, and comes back when it does.
    pub(super) async fn touch(&self, token: Token, touched: &Touched) -> Result<(), Error> {
        if touched.issues.is_empty() && touched.guest.is_none() && touched.cleaned.is_none() {
            return Ok(());
        }
        let mut state = self.state.lock().await;
        let shown = self.touch_in(&mut state, token, touched).await;
        if shown.is_err() {
            // What is known is not what is shown any more.
            state.term = None;
        }
        shown
    }

    async fn touch_in(&self, state: &mut State, token: Token, touched: &Touched) -> Result<(), Error> {
        self.read(state, token).await?;
        let mut changes = Changes::default();
        if let Some(guest) = &touched.guest {
            self.hear_of(state, guest, &mut changes).await?;
        }
        if let Some(process) = &touched.cleaned {
            self.clean(state, token, process).await?;
        }
        self.show(state, &touched.issues, &mut changes).await?;
        let processes = touched.guest.iter().map(|guest| &guest.process).chain(&touched.cleaned);
        self.show_processes(state, processes, &mut changes);
        self.make(state, token, changes).await?;
        self.meet(state, token, &touched.issues).await
    }

    /// Reads the project, unless that was done under this token.
    async fn read(&self, state: &mut State, token: Token) -> Result<(), Error> {
        if state.term == Some(token) {
            return Ok(());
        }
        let project = &self.site.project;
        let (issues, processes) = (project.list_all(None).await?, project.all_processes().await?);
        let cleaned = self.script("return redis.call('HGETALL', KEYS[1])", &[&self.place(":cleaned")], &[]).await?;
        let cleaned = cleaned.chunks(2).filter_map(|pair| Some((pair.first()?.clone(), pair.get(1)?.clone())));
        let model = Model::new(&issues, &processes);
        let strangers = std::mem::take(&mut state.strangers);
        *state = State { term: Some(token), model, cleaned: cleaned.collect(), tasks: BTreeSet::new(), strangers };
        Ok(())
    }

    /// Reads these issues, and adds what is to be done so that they, and those who had or have them, are shown as they are.
    async fn show(&self, state: &mut State, numbers: &[IssueNumber], changes: &mut Changes) -> Result<(), Error> {
        let issues = records::get(&self.site.project, numbers).await?;
        let mut processes = BTreeSet::new();
        for (number, issue) in &issues {
            processes.extend(self.show_issue(state, *number, issue.as_ref(), None, changes));
        }
        self.show_processes(state, &processes, changes);
        Ok(())
    }

    /// Shows an issue as it was read; answers the processes of which something else is true since.
    fn show_issue(
        &self,
        state: &mut State,
        number: IssueNumber,
        issue: Option<&Issue>,
        settled: Option<&str>,
        changes: &mut Changes,
    ) -> BTreeSet<String> {
        let issue = issue.filter(|issue| entry::is_shown(issue));
        changes.issue(number, issue, settled, &self.layout);
        state.model.see(number, issue)
    }

    fn show_processes<'a>(
        &self,
        state: &mut State,
        processes: impl IntoIterator<Item = &'a String>,
        changes: &mut Changes,
    ) {
        for process in processes {
            let work = state.model.work(process);
            let is_active = work.is_some_and(|(_, work)| work.held);
            let seen = |person: &model::Person| person.last_seen.clone().unwrap_or_default();
            let is_cleaned = |person| !is_active && state.cleaned.get(process) == Some(&seen(person));
            let Some(person) = state.model.person(process).filter(|person| !is_cleaned(person)) else {
                changes.drop_entry(&Entry::Process(process.clone()), &self.layout);
                continue;
            };
            changes.book(&Entry::Process(process.clone()));
            changes.hash(self.layout.process(process), entry::process(person, work));
            let till = person.alive.then(|| till(person.last_seen.as_deref())).flatten();
            changes.beat(self.layout.heartbeat(process), till.unwrap_or_default());
            if let Some(active) = self.layout.active() {
                changes.member(active, process, is_active);
            }
        }
    }

    /// Somebody was heard of in this moment. What is shown of who holds nothing, and so was not read, is right to some ms.
    async fn hear_of(&self, state: &mut State, guest: &Guest, changes: &mut Changes) -> Result<(), Error> {
        let now = humantime::format_rfc3339_millis(self.site.project.client().time().await?).to_string();
        if state.model.person(&guest.process).is_some() {
            state.model.heard_of(&guest.process, now);
            return Ok(());
        }
        let till = till(Some(&now)).unwrap_or_default();
        let fields = entry::guest(guest.pid, guest.host.clone(), now);
        changes.guest(self.layout.process(&guest.process), HEARTBEAT.as_secs(), fields);
        changes.beat(self.layout.heartbeat(&guest.process), till);
        Ok(())
    }

    /// A process is not shown any more, until it is heard of again.
    async fn clean(&self, state: &mut State, token: Token, process: &str) -> Result<(), Error> {
        let processes = self.site.project.all_processes().await?;
        state.model.meet(&processes);
        match state.model.person(process) {
            Some(person) => {
                let seen = person.last_seen.clone().unwrap_or_default();
                let script = Seat::script("redis.call('HSET', KEYS[2], ARGV[2], ARGV[3]) return {}");
                let arguments = [token.to_string(), process.to_owned(), seen.clone()];
                self.script(&script, &[self.seat.key(), &self.place(":cleaned")], &arguments).await?;
                state.cleaned.insert(process.to_owned(), seen);
            }
            None => {
                let script = Seat::script("redis.call('UNLINK', KEYS[2], KEYS[3]) return {}");
                let keys = [self.layout.process(process), self.layout.heartbeat(process)];
                let [info, heartbeat] = &keys;
                self.script(&script, &[self.seat.key(), info, heartbeat], &[token.to_string()]).await?;
            }
        }
        Ok(())
    }

    /// Has the server take these steps.
    async fn make(&self, state: &mut State, token: Token, changes: Changes) -> Result<(), Error> {
        let left = changes.make(self.site.project.client(), &self.seat, &self.book(), token).await?;
        state.strangers.remember(&left.claimed);
        if !left.foreign.is_empty() {
            let mut known = self.foreign.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            for key in left.foreign {
                if known.len() < AT_ONCE && known.insert(key.clone()) {
                    warn!(%key, "holds something of another kind, so the view leaves it alone");
                }
            }
        }
        Ok(())
    }

    async fn script(&self, script: &str, keys: &[&str], arguments: &[String]) -> Result<Vec<String>, Error> {
        self.site.project.client().run_script(script, keys, arguments).await
    }

    /// Where it stands when the view was right, and up to which event.
    fn signature(&self) -> String {
        signature(self.site.project.key(), self.layout.name())
    }

    /// What the view shows.
    fn book(&self) -> String {
        self.place(&format!(":view:{}", self.layout.name()))
    }

    fn place(&self, what: &str) -> String {
        seat::place(self.site.project.key(), what)
    }

    fn label(&self) -> OfProject {
        OfProject { project: self.site.project.key().to_owned() }
    }
}

/// A hash that says when the view of a project in this layout was last known to be right (`at`, in ms), up to which `event`,
/// and on which `host` the daemon was that kept it.
pub(crate) fn signature(project: &str, layout: &str) -> String {
    seat::place(project, &format!(":view:{layout}:signed"))
}

/// Until when a heartbeat of this time is there, in ms.
fn till(last_seen: Option<&str>) -> Option<u128> {
    let seen = Timestamp::from(last_seen?.to_owned()).to_system_time()?;
    Some((seen + HEARTBEAT).duration_since(SystemTime::UNIX_EPOCH).ok()?.as_millis())
}
