//! Does somebody look after the project?

use std::time::{Duration, SystemTime};

use poppo::Orphan;

use super::Finding;
use super::facts::Facts;
use super::redis_cli::quoted;
use crate::human;

/// For how long a lease may be an orphan before one wonders who repairs it.
const PATIENCE: Duration = Duration::from_secs(60);

pub(super) fn judge(facts: &Facts) -> Vec<Finding> {
    let key = &facts.project;
    let stats = match &facts.stats {
        Ok(Some(stats)) => stats,
        Ok(None) => {
            return vec![Finding::ok("project", format!("project {key} does not exist yet: its first task makes it"))];
        }
        Err(error) if error.code() == "NOPERM" => {
            let is_key = error.to_string().contains("key");
            let permission = if is_key { quoted(&format!("~{key}")) } else { "+poppo.stats".to_owned() };
            return vec![facts.untold("project", error, &permission)];
        }
        Err(error) => {
            let mend = facts.redis_cli().command(&format!("TYPE {}", quoted(key)));
            return vec![Finding::failed("project", format!("project {key}: {error}"), mend)];
        }
    };
    let issues = stats.issues.processing;
    let summary = format!("project {key}: {issues} issues processing, {} tasks waiting", stats.queue.waiting);
    let listed = facts.orphans.as_deref().unwrap_or_default();
    let mut findings = vec![
        Finding::ok("project", summary),
        orphans(key, stats.orphans, listed, facts.now),
        dead(key, stats.queue.dead),
    ];
    if stats.queue.drain > 0 {
        let message = "the project is drained: no task can be claimed";
        findings.push(Finding::warning("drain", message, format!("poppo --project {} drain off", quoted(key))));
    }
    findings
}

fn orphans(key: &str, count: u64, listed: &[Orphan], now: SystemTime) -> Finding {
    let age = |orphan: &Orphan| now.duration_since(orphan.since.as_ref()?.to_system_time()?).ok();
    let old: Vec<Duration> = listed.iter().filter_map(age).filter(|age| *age >= PATIENCE).collect();
    match old.iter().max() {
        Some(oldest) => Finding::warning(
            "orphans",
            format!(
                "leases that are orphans and that nobody repairs: {}, the oldest for {}",
                old.len(),
                human::duration(*oldest)
            ),
            format!("poppo --project {} repair --all --requeue", quoted(key)),
        ),
        None if count > 0 => Finding::ok("orphans", format!("{count} orphans, none for longer than a minute")),
        None => Finding::ok("orphans", "no lease is an orphan"),
    }
}

fn dead(key: &str, count: u64) -> Finding {
    match count {
        0 => Finding::ok("dead", "no task is dead"),
        count => {
            let key = quoted(key);
            Finding::warning(
                "dead",
                format!("tasks that failed for good: {count}"),
                format!("poppo --project {key} list --dead    (then: poppo --project {key} revive TASK)"),
            )
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use poppo::{OrphanReason, Timestamp};

    use super::super::State;
    use super::*;

    #[test]
    fn orphans_that_nobody_repairs_are_a_warning_after_a_minute() {
        let since = Timestamp::from("2026-01-01T00:00:00.000Z".to_owned());
        let start = since.to_system_time().unwrap();
        let orphan = Orphan {
            issue: 1.try_into().unwrap(),
            token: 2.try_into().unwrap(),
            process: "w".to_owned(),
            pid: None,
            host: None,
            task_type: None,
            reason: OrphanReason::Expired,
            since: Some(since),
            last_seen: None,
        };
        let after = |seconds| orphans("a b", 1, std::slice::from_ref(&orphan), start + Duration::from_secs(seconds));
        assert_eq!(after(59).state, State::Ok);
        let late = after(150);
        assert_eq!(late.state, State::Warning);
        assert!(late.message.contains(": 1, the oldest for 2m 30s"), "{}", late.message);
        assert_eq!(late.mend.as_deref(), Some("poppo --project 'a b' repair --all --requeue"));
        assert_eq!(orphans("p", 0, &[], start).message, "no lease is an orphan");
    }
}
