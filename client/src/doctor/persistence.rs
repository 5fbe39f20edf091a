//! Is what was acknowledged on disk?

use super::Finding;
use super::facts::Facts;
use super::redis_cli;

pub(super) fn judge(facts: &Facts) -> Vec<Finding> {
    if let Err(error) = &facts.info {
        return vec![facts.untold("persistence", error, "+info")];
    }
    let mut findings = vec![if facts.number("aof_enabled") == 1 { aof(facts) } else { no_aof(facts) }];
    findings.extend(writing(facts));
    findings
}

fn aof(facts: &Facts) -> Finding {
    match (facts.setting("appendfsync"), facts.settings.get("appendfsync")) {
        (Some("always"), _) => Finding::ok("persistence", "every acknowledged change is on disk (AOF, fsync always)"),
        (Some("everysec"), _) => {
            Finding::ok("persistence", "every change is on disk within a second (AOF, fsync everysec)")
        }
        (Some("no"), _) => Finding::warning(
            "persistence",
            "the system decides when changes reach the disk (appendfsync no): a crash of the machine may lose many",
            facts.redis_cli().command("CONFIG SET appendfsync everysec"),
        ),
        (_, Some(Err(error))) => facts.untold("persistence", error, "+config|get"),
        (other, _) => {
            Finding::ok("persistence", format!("there is an AOF (appendfsync {})", other.unwrap_or("unknown")))
        }
    }
}

fn no_aof(facts: &Facts) -> Finding {
    let mend = facts.redis_cli().command("CONFIG SET appendonly yes");
    let mend = format!("{mend}    (and `appendonly yes` in redis.conf, or CONFIG REWRITE)");
    match (facts.setting("save"), facts.settings.get("save")) {
        (Some(""), _) => Finding::failed(
            "persistence",
            "nothing is on disk (no AOF, no snapshots): a restart loses every project",
            mend,
        ),
        (_, Some(Err(error))) => Finding::warning(
            "persistence",
            format!("there is no AOF, and whether there are snapshots cannot be told: {error}"),
            mend,
        ),
        (save, _) => Finding::warning(
            "persistence",
            format!(
                "there is no AOF: a crash loses what changed since the last snapshot (save {}; {} changes now)",
                save.unwrap_or("unknown"),
                facts.number("rdb_changes_since_last_save")
            ),
            mend,
        ),
    }
}

/// What went wrong when the server last wrote.
fn writing(facts: &Facts) -> Vec<Finding> {
    let folder = facts.setting("dir").map_or_else(|| "/".to_owned(), redis_cli::quoted);
    let mend = format!("df -h {folder}; ls -ld {folder}    (is the disk full, may the server write there?)");
    let mut findings = Vec::new();
    if facts.field("aof_last_write_status").is_some_and(|status| status != "ok") {
        findings.push(Finding::failed("aof", "the last write of the AOF failed: changes are refused", &mend));
    }
    if facts.field("rdb_last_bgsave_status").is_some_and(|status| status != "ok") {
        findings.push(Finding::failed("snapshot", "the last snapshot failed: changes may be refused", &mend));
    }
    if facts.field("aof_last_bgrewrite_status").is_some_and(|status| status != "ok") {
        findings.push(Finding::warning("aof", "the last rewrite of the AOF failed: it goes on growing", mend));
    }
    findings
}
