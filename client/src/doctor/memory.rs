//! Does the server throw projects away when it is full?

use super::Finding;
use super::facts::Facts;

/// How full is nearly full, in percent.
const NEARLY: u64 = 90;

pub(super) fn judge(facts: &Facts) -> Vec<Finding> {
    if facts.info.is_err() {
        // Said of the server already.
        return Vec::new();
    }
    let policy = facts.field("maxmemory_policy").unwrap_or_default();
    let mend = || {
        let mend = facts.redis_cli().command("CONFIG SET maxmemory-policy noeviction");
        format!("{mend}    (and the same in redis.conf, or CONFIG REWRITE)")
    };
    let mut findings = vec![match policy {
        "noeviction" => Finding::ok("eviction", "nothing is evicted (maxmemory-policy noeviction)"),
        policy if policy.starts_with("allkeys-") => Finding::failed(
            "eviction",
            format!("maxmemory-policy is {policy}: at maxmemory, a whole project may be thrown away"),
            mend(),
        ),
        policy => Finding::warning(
            "eviction",
            format!(
                "maxmemory-policy is {policy}: at maxmemory, a project that was given an expiry may be thrown away"
            ),
            mend(),
        ),
    }];
    findings.extend(fullness(facts));
    findings
}

fn fullness(facts: &Facts) -> Option<Finding> {
    let (used, most) = (facts.number("used_memory"), facts.number("maxmemory"));
    let percent = used.saturating_mul(100).checked_div(most)?;
    (percent >= NEARLY).then(|| {
        Finding::warning(
            "memory",
            format!("{percent} % of maxmemory are used; at 100 % nothing can be checked out or queued (OOM)"),
            facts.redis_cli().command(&format!("CONFIG SET maxmemory {}", most.saturating_mul(2))),
        )
    })
}
