//! Does a daemon watch this host's workers? Without one, a worker that dies is noticed only when its heartbeat's time is over,
//! and one that is merely paused loses its work then.

use std::time::{Duration, SystemTime};

use poppo::{OrphanReason, Process, ProcessState};

use super::Finding;
use super::facts::Facts;

/// How old an attestation may be: three times as old as a daemon lets it become.
const FRESH: Duration = Duration::from_secs(60);

pub(super) fn judge(facts: &Facts) -> Option<Finding> {
    match &facts.processes {
        Ok(processes) => compare(&facts.host, processes, facts.now),
        Err(error) if error.code() == "NOPERM" => Some(facts.untold("daemon", error, "+poppo.list")),
        // What else is wrong is told of the project.
        Err(_) => None,
    }
}

/// Of those of this host that hold something, and may be alive.
fn compare(host: &str, processes: &[Process], now: SystemTime) -> Option<Finding> {
    let may_live =
        |process: &&Process| matches!(process.state, ProcessState::Alive | ProcessState::Orphan(OrphanReason::Expired));
    let here = |process: &&Process| process.host.as_deref() == Some(host) && process.issues > 0;
    let is_fresh = |process: &&Process| {
        let at = process.attest_time.as_ref().and_then(|at| at.to_system_time());
        at.is_some_and(|at| now.duration_since(at).map_or(true, |age| age < FRESH))
    };
    let all: Vec<&Process> = processes.iter().filter(here).filter(may_live).collect();
    let watched = all.iter().copied().filter(|process| is_fresh(process)).count();
    match all.len() {
        0 => None,
        count if watched == count => {
            Some(Finding::ok("daemon", format!("a daemon watches this host's workers, {count} of {count}")))
        }
        count => Some(Finding::warning(
            "daemon",
            format!(
                "no daemon watches {} of the {count} workers of this host ({host}): if one dies, that is noticed late",
                count - watched
            ),
            "poppo daemon    (on this host, with the project in its poppo.toml, and workers that say their PID and HOST)",
        )),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use poppo::Timestamp;

    use super::super::State;
    use super::*;

    fn process(host: &str, issues: u64, attested: Option<&str>) -> Process {
        Process {
            process: "w".to_owned(),
            state: ProcessState::Alive,
            incarnation: None,
            pid: Some(17),
            host: Some(host.to_owned()),
            tmux: None,
            issues,
            ttl: None,
            last_seen: None,
            attest_time: attested.map(|at| Timestamp::from(at.to_owned())),
            progress: None,
            progress_time: None,
        }
    }

    #[test]
    fn workers_of_this_host_that_nobody_attests_are_a_warning() {
        let at = "2026-01-01T00:00:00.000Z";
        let attested = Timestamp::from(at.to_owned()).to_system_time().unwrap();
        let after = |seconds, processes: &[Process]| compare("h", processes, attested + Duration::from_secs(seconds));
        assert_eq!(after(0, &[process("other", 1, None), process("h", 0, None)]), None);
        let watched = process("h", 1, Some(at));
        assert_eq!(after(59, std::slice::from_ref(&watched)).unwrap().state, State::Ok);
        assert_eq!(after(60, std::slice::from_ref(&watched)).unwrap().state, State::Warning);
        let one_of_two = after(0, &[watched, process("h", 1, None)]).unwrap();
        assert!(one_of_two.message.contains("1 of the 2 workers of this host (h)"), "{}", one_of_two.message);
        assert!(one_of_two.mend.unwrap().starts_with("poppo daemon"));
    }
}
