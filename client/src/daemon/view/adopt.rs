//! What somebody wrote into the view by hand, as the older programs did: an issue in the set of those that are processed, and
//! its hash. It is taken into the project, as held by the process that it names, on this host.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use poppo::{Checkout, Error, IssueNumber, Token};
use tracing::{info, warn};

use super::super::ambassador::is_name;
use super::super::seat;
use super::changes::Changes;
use super::{State, View, fields};

/// For how long an adopted process may be silent, unless a heartbeat is there that says more.
const TTL: Duration = Duration::from_secs(60);
/// The longest that a project allows.
const LONGEST: Duration = Duration::from_secs(86_400);
/// How often a member of the set is found to be nothing before it goes: a program may add it before it writes the hash.
const CHANCES: u32 = 4;

/// The set's members, in the order of the keys; the set may be something else altogether.
const MEMBERS: &str =
    "if redis.call('TYPE', KEYS[1]).ok ~= 'set' then return {} end return redis.call('SMEMBERS', KEYS[1])";
/// An issue's hash, behind the rest of its process's heartbeat in ms.
const READ: &str = "if redis.call('TYPE', KEYS[1]).ok ~= 'hash' then return {} end
local id = redis.call('HGET', KEYS[1], 'processId')
local left = id and redis.call('PTTL', ARGV[1] .. id) or -2
local words = redis.call('HGETALL', KEYS[1])
words[#words + 1], words[#words + 2] = '', left
return words";

/// Members of the set that are not ours.
#[derive(Debug, Default)]
pub(super) struct Strangers {
    /// How often each was nothing.
    seen: BTreeMap<String, u32>,
    /// What could not be taken over, so that it is said once.
    refused: BTreeSet<(String, String)>,
}

impl View {
    /// Compares the set of issues that are processed with the project.
    pub(super) async fn look_for_strangers(&self, token: Token, strangers: &mut Strangers) -> Result<(), Error> {
        let mut state = self.state.lock().await;
        if state.term != Some(token) {
            return Ok(());
        }
        let set = self.layout.processing();
        let members = self.script(MEMBERS, &[&set], &[]).await?;
        let numbers: BTreeSet<IssueNumber> = members.iter().filter_map(|member| number(member)).collect();
        let missing: Vec<IssueNumber> = state.model.held().difference(&numbers).copied().collect();
        let mut changes = Changes::default();
        self.show(&mut state, &missing, &mut changes).await?;
        let held = state.model.held();
        let others: Vec<&String> =
            members.iter().filter(|member| number(member).is_none_or(|number| !held.contains(&number))).collect();
        strangers.seen.retain(|member, _| others.contains(&member));
        for member in others.into_iter().cloned().collect::<Vec<_>>() {
            if !self.adopt(&mut state, token, &member, strangers, &mut changes).await? {
                let seen = strangers.seen.entry(member.clone()).or_default();
                *seen += 1;
                if *seen >= CHANCES {
                    changes.member(set.clone(), member, false);
                }
            }
        }
        self.make(token, changes).await
    }

    /// Takes an issue into the project. False where there is nothing to take.
    async fn adopt(
        &self,
        state: &mut State,
        token: Token,
        member: &str,
        strangers: &mut Strangers,
        changes: &mut Changes,
    ) -> Result<bool, Error> {
        let Some(number) = number(member) else { return Ok(false) };
        let read = self.script(READ, &[&self.layout.issue(number)], &[self.layout.heartbeat("")]).await?;
        let hash = fields(read);
        let process = hash.get("processId").filter(|process| !process.is_empty());
        let (Some(process), Some("processing")) = (process, hash.get("status").map(String::as_str)) else {
            return Ok(false);
        };
        if strangers.refused.contains(&(member.to_owned(), process.clone())) {
            return Ok(true);
        }
        let mut checkout = Checkout::new(number, process.as_str());
        checkout.pid = hash.get("pid").and_then(|pid| pid.parse::<i32>().ok()).and_then(|pid| u32::try_from(pid).ok());
        checkout.pid = checkout.pid.filter(|pid| *pid > 0);
        checkout.host = Some(self.site.host.to_string());
        checkout.task_type = hash.get("taskType").filter(|word| is_name(word)).cloned();
        let left = hash.get("").and_then(|left| left.parse().ok()).map_or(TTL, Duration::from_millis);
        // One that the project knows goes on as it is.
        let is_known = state.model.person(process).is_some_and(|person| person.alive);
        checkout.ttl = (!is_known).then(|| left.clamp(Duration::from_secs(1), LONGEST));
        match self.site.project.checkout_if(&self.seat.guard(token, seat::RUN, &[]), &checkout).await {
            Ok(_) => {
                info!(issue = %number, %process, "somebody wrote this issue into the view: taken into the project");
                self.metrics.adopted.get_or_create(&self.label()).inc();
            }
            Err(error @ (Error::Refused(_) | Error::BadArgument(_))) => {
                warn!(issue = %number, %process, %error, "somebody wrote this issue into the view, but it cannot be so");
                strangers.refused.insert((member.to_owned(), process.clone()));
            }
            Err(error) => return Err(error),
        }
        self.show(state, &[number], changes).await?;
        Ok(true)
    }
}

fn number(member: &str) -> Option<IssueNumber> {
    let number: IssueNumber = member.parse::<u64>().ok()?.try_into().ok()?;
    (number.to_string() == member).then_some(number)
}
