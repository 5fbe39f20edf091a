//! What somebody wrote into the view by hand, as the older programs did: an issue in the set of those that are processed, and
//! its hash. It is taken into the project, as held by the process that it names, on this host. Those are two commands, so either
//! may be missing for a while; and since the view writes meanwhile, it leaves alone what is not its own (`make.lua`) until it
//! was looked at here.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use poppo::{Checkout, Error, IssueNumber, Status, Token};
use tracing::{info, warn};

use super::super::ambassador::is_name;
use super::super::{records, seat};
use super::changes::{Changes, Entry};
use super::{State, View};

/// For how long an adopted process may be silent, unless a heartbeat is there that says more.
const TTL: Duration = Duration::from_secs(60);
/// The longest that a project allows.
const LONGEST: Duration = Duration::from_secs(86_400);
/// How often one half is found without the other before it goes.
const CHANCES: u32 = 4;

/// What is said of what cannot be taken over.
const REFUSED: &str = "somebody wrote this issue into the view, but it cannot be so";

/// The set's members, in the order of the keys; the set may be something else altogether.
const MEMBERS: &str =
    "if redis.call('TYPE', KEYS[1]).ok ~= 'set' then return {} end return redis.call('SMEMBERS', KEYS[1])";
/// Behind `claim`: who somebody says works on an issue (its hash, the book, the set), whether it is in the set, how many ms
/// are left of the process's heartbeat, and the process's PID and the type of its task.
const READ: &str = "local kinds = {redis.call('TYPE', KEYS[1]).ok, redis.call('TYPE', KEYS[3]).ok}
local process = kinds[1] == 'hash' and claim(KEYS[2], ARGV[2], KEYS[1])
local is_member = kinds[2] == 'set' and redis.call('SISMEMBER', KEYS[3], ARGV[1]) or 0
if not process then return {'', is_member} end
local more = redis.call('HMGET', KEYS[1], 'pid', 'taskType')
return {process, is_member, redis.call('PTTL', ARGV[3] .. process), more[1] or '', more[2] or ''}";

/// What is in the view and not ours.
#[derive(Debug, Default)]
pub(super) struct Strangers {
    /// By what they are called in the set, how often each was found to be half of something.
    halves: BTreeMap<String, u32>,
    /// What could not be taken over, so that it is said once while it is there.
    refused: BTreeSet<(String, String)>,
}

impl Strangers {
    /// Whether half of something is that once more, and was often enough.
    fn is_over(&mut self, member: &str) -> bool {
        let seen = self.halves.entry(member.to_owned()).or_default();
        *seen += 1;
        let is_over = *seen >= CHANCES;
        if is_over {
            self.halves.remove(member);
        }
        is_over
    }

    /// Issues that somebody claims.
    pub(super) fn remember(&mut self, issues: &[IssueNumber]) {
        for issue in issues {
            self.halves.entry(issue.to_string()).or_default();
        }
    }
}

/// What somebody wrote of an issue.
struct Claim {
    /// Empty where the issue is in the set only.
    process: String,
    is_member: bool,
    left: Option<Duration>,
    pid: Option<u32>,
    task_type: Option<String>,
}

impl View {
    /// Compares the set of issues that are processed with the project, and looks again at what was not whole.
    pub(super) async fn look_for_strangers(&self, token: Token) -> Result<(), Error> {
        let mut state = self.state.lock().await;
        if state.term != Some(token) {
            return Ok(());
        }
        let members = self.script(MEMBERS, &[&self.layout.processing()], &[]).await?;
        let numbers: BTreeSet<IssueNumber> = members.iter().filter_map(|member| number(member)).collect();
        let missing: Vec<IssueNumber> = state.model.held().difference(&numbers).copied().collect();
        let mut changes = Changes::default();
        self.show(&mut state, &missing, &mut changes).await?;
        self.make(&mut state, token, changes).await?;
        let held = state.model.held();
        let others = members.into_iter().filter(|member| number(member).is_none_or(|number| !held.contains(&number)));
        let others: BTreeSet<String> = others.chain(state.strangers.halves.keys().cloned()).collect();
        state.strangers.refused.retain(|(member, _)| others.contains(member));
        for member in others {
            let is_over = state.strangers.is_over(&member);
            self.look_at(&mut state, token, &member, is_over).await?;
        }
        Ok(())
    }

    /// Looks at those of these issues that were left alone since somebody claims them.
    pub(super) async fn meet(&self, state: &mut State, token: Token, issues: &[IssueNumber]) -> Result<(), Error> {
        for issue in issues.iter().map(ToString::to_string) {
            if state.strangers.halves.contains_key(&issue) {
                self.look_at(state, token, &issue, false).await?;
            }
        }
        Ok(())
    }

    /// Takes an issue into the project, or has the view show it as it is there; leaves alone what may become whole, unless that is
    /// over.
    async fn look_at(&self, state: &mut State, token: Token, member: &str, is_over: bool) -> Result<(), Error> {
        let Some(number) = number(member) else {
            if is_over {
                let mut changes = Changes::default();
                changes.member(self.layout.processing(), member, false);
                self.make(state, token, changes).await?;
            }
            return Ok(());
        };
        let claim = self.claim(number).await?;
        let is_whole = claim.is_member && !claim.process.is_empty();
        if is_whole {
            self.adopt(state, token, number, &claim).await?;
        } else if (claim.is_member || !claim.process.is_empty()) && !self.is_held(number).await? {
            if !is_over {
                return Ok(());
            }
            info!(issue = %number, process = claim.process, "somebody wrote half of this issue into the view: undone");
        } else if !claim.process.is_empty() {
            warn!(issue = %number, process = claim.process, error = "somebody has it", "{REFUSED}");
        }
        state.strangers.halves.remove(member);
        self.settle(state, token, number, &claim.process).await
    }

    async fn claim(&self, number: IssueNumber) -> Result<Claim, Error> {
        let keys = [self.layout.issue(number), self.book(), self.layout.processing()];
        let arguments = [number.to_string(), Entry::Issue(number).to_string(), self.layout.heartbeat("")];
        let script = concat!(include_str!("claim.lua"), "\n").to_owned() + READ;
        let mut words = self.script(&script, &keys.each_ref().map(String::as_str), &arguments).await?.into_iter();
        let mut next = || words.next().unwrap_or_default();
        Ok(Claim {
            process: next(),
            is_member: next() == "1",
            left: next().parse().ok().map(Duration::from_millis),
            pid: next().parse::<i32>().ok().and_then(|pid| u32::try_from(pid).ok()).filter(|pid| *pid > 0),
            task_type: Some(next()).filter(|word| is_name(word)),
        })
    }

    /// Whether the project has it held by now, by whomever.
    async fn is_held(&self, number: IssueNumber) -> Result<bool, Error> {
        let issues = records::get(&self.site.project, &[number]).await?;
        Ok(issues.values().flatten().any(|issue| issue.status == Status::Processing))
    }

    /// Takes an issue into the project, unless that cannot be.
    async fn adopt(&self, state: &mut State, token: Token, number: IssueNumber, claim: &Claim) -> Result<(), Error> {
        let process = claim.process.as_str();
        let mut checkout = Checkout::new(number, process);
        checkout.pid = claim.pid;
        checkout.host = Some(self.site.host.to_string());
        checkout.task_type.clone_from(&claim.task_type);
        // One that the project knows goes on as it is.
        let is_known = state.model.person(process).is_some_and(|person| person.alive);
        let left = claim.left.unwrap_or(TTL);
        checkout.ttl = (!is_known).then(|| left.clamp(Duration::from_secs(1), LONGEST));
        match self.site.project.checkout_if(&self.seat.guard(token, seat::RUN, &[]), &checkout).await {
            Ok(_) => {
                info!(issue = %number, %process, "somebody wrote this issue into the view: taken into the project");
                self.metrics.adopted.get_or_create(&self.label()).inc();
            }
            Err(error @ (Error::Refused(_) | Error::BadArgument(_))) => {
                if state.strangers.refused.insert((number.to_string(), process.to_owned())) {
                    warn!(issue = %number, %process, %error, "{REFUSED}");
                }
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Shows an issue as it is, whatever this process (or, where it has no name, a mere member of the set) claims.
    async fn settle(&self, state: &mut State, token: Token, number: IssueNumber, process: &str) -> Result<(), Error> {
        let issues = records::get(&self.site.project, &[number]).await?;
        let mut changes = Changes::default();
        let issue = issues.values().flatten().next();
        let processes = self.show_issue(state, number, issue, Some(process), &mut changes);
        self.show_processes(state, &processes, &mut changes);
        self.make(state, token, changes).await
    }
}

fn number(member: &str) -> Option<IssueNumber> {
    let number: IssueNumber = member.parse::<u64>().ok()?.try_into().ok()?;
    (number.to_string() == member).then_some(number)
}
