//! May this user run each command that Poppo has, on this project?

use poppo::{Error, Permission, Project};

use super::Finding;
use super::facts::Facts;
use super::redis_cli::quoted;

/// What no worker can do without.
const WORKERS: &[&[&str]] = &[
    &["POPPO.CHECKOUT", KEY, "0", "doctor"],
    &["POPPO.CHECKIN", KEY, "0", "doctor", "STATUS", "completed"],
    &["POPPO.HEARTBEAT", KEY, ""],
    &["POPPO.CLAIM", KEY, ""],
];

/// What may be withheld from a worker, and is needed by others.
const OTHERS: &[&[&str]] = &[
    &["POPPO.ENQUEUE", KEY, "0"],
    &["POPPO.CANCEL", KEY, "0"],
    &["POPPO.REVIVE", KEY, ""],
    &["POPPO.DRAIN", KEY, "doctor"],
    &["POPPO.ORPHANS", KEY, "COUNT", "0"],
    &["POPPO.LIVENESS", KEY, "", "ALIVE", "HOST", "h", "PID", "0"],
    &["POPPO.REPAIR", KEY, "0", "TOKEN", "0"],
    &["POPPO.EVICT", KEY, "0"],
    &["POPPO.GET", KEY, "0"],
    &["POPPO.LIST", KEY, "COUNT", "0"],
    &["POPPO.STATS", KEY],
    &["POPPO.FORGET", KEY, "0"],
    &["POPPO.CONFIG", KEY, "GET", "doctor"],
    &["POPPO.EVENTS", KEY, "AFTER", "0"],
    &["POPPO.LABELS", KEY],
    &["POPPO.LABELLED", KEY, "0", "0"],
];

/// Stands for the project. All words behind it are such that the command is refused, or changes nothing: where the server
/// does not let this user ask what it may run, it is tried.
const KEY: &str = "{project}";

/// What this user may not do.
#[derive(Debug, Default)]
pub(super) struct Denied {
    /// Commands that workers need.
    workers: Vec<&'static str>,
    /// Commands that others need.
    others: Vec<&'static str>,
    /// Whether it is the key that some are refused for.
    key: bool,
    /// Why it could not be found out.
    unknown: Option<String>,
}

pub(super) async fn ask(project: &Project, facts: &Facts) -> Denied {
    let mut denied = Denied::default();
    let user = facts.user.as_deref().ok();
    for (words, is_workers) in
        WORKERS.iter().map(|words| (words, true)).chain(OTHERS.iter().map(|words| (words, false)))
    {
        let filled: Vec<&str> = words.iter().map(|word| if *word == KEY { project.key() } else { *word }).collect();
        match may_run(project, user, &filled).await {
            Ok(Permission::Granted) => {}
            Ok(Permission::Denied(why)) => {
                denied.key |= why.contains("key");
                let list = if is_workers { &mut denied.workers } else { &mut denied.others };
                list.extend(words.first());
            }
            Err(error) => {
                denied.unknown = Some(error.to_string());
                break;
            }
        }
    }
    denied
}

async fn may_run(project: &Project, user: Option<&str>, words: &[&str]) -> Result<Permission, Error> {
    if let Some(user) = user {
        match project.client().may_run(user, words).await {
            Ok(permission) => return Ok(permission),
            // An older module lacks the command, which is said of the module.
            Err(Error::BadArgument(_)) => return Ok(Permission::Granted),
            Err(error @ (Error::Connection { .. } | Error::Timeout { .. })) => return Err(error),
            // Few users may ask that.
            Err(_) => {}
        }
    }
    project.client().tries(words).await
}

pub(super) fn judge(facts: &Facts, denied: &Denied) -> Finding {
    let user = facts.user.as_deref().unwrap_or("USER");
    let key = &facts.project;
    if let Some(why) = &denied.unknown {
        return Finding::warning("access", format!("cannot tell: {why}"), facts.redis_cli().command("ACL WHOAMI"));
    }
    let all: Vec<&str> = denied.workers.iter().chain(&denied.others).copied().collect();
    if all.is_empty() {
        return Finding::ok("access", format!("user {user} may run every command of Poppo on {key}"));
    }
    let rules: Vec<String> = if denied.key {
        vec![quoted(&format!("~{key}"))]
    } else {
        all.iter().map(|name| format!("+{}", name.to_ascii_lowercase())).collect()
    };
    let mend = facts.redis_cli().command(&format!("ACL SETUSER {user} {}", rules.join(" ")));
    let mend = format!("{mend}    (by a user who may; leave it where that is meant so)");
    let message = format!("user {user} may not run {} on {key}", all.join(", "));
    if denied.workers.is_empty() {
        Finding::warning("access", message, mend)
    } else {
        Finding::failed("access", message, mend)
    }
}
