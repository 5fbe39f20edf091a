//! Is this the primary, and do its replicas follow?

use super::Finding;
use super::facts::Facts;

pub(super) fn judge(facts: &Facts) -> Option<Finding> {
    // Where INFO is not told, that was said of the server already.
    let role = facts.field("role")?;
    Some(if role == "master" { primary(facts) } else { replica(facts) })
}

fn primary(facts: &Facts) -> Finding {
    let count = facts.number("connected_slaves");
    let replicas = (0..count).filter_map(|index| Some((index, facts.field(&format!("slave{index}"))?)));
    let behind: Vec<String> = replicas
        .filter(|(_, fields)| word(fields, "state") != Some("online"))
        .map(|(_, fields)| format!("{}:{}", word(fields, "ip").unwrap_or("?"), word(fields, "port").unwrap_or("?")))
        .collect();
    match (count, behind.as_slice()) {
        (0, _) => Finding::ok("replication", "this is a primary without replicas"),
        (_, []) => Finding::ok("replication", format!("this is a primary; replicas that follow: {count}")),
        (_, behind) => Finding::warning(
            "replication",
            format!("replicas that do not follow yet: {}", behind.join(", ")),
            facts.redis_cli().command("INFO replication"),
        ),
    }
}

fn replica(facts: &Facts) -> Finding {
    let (host, port) = (facts.field("master_host").unwrap_or("?"), facts.field("master_port").unwrap_or("?"));
    let elsewhere = format!("--url redis://{host}:{port}");
    if facts.field("master_link_status") == Some("up") {
        let message = format!("this is a replica of {host}:{port}: it shows everything and refuses every change");
        return Finding::warning("replication", message, elsewhere);
    }
    Finding::failed(
        "replication",
        format!("this is a replica whose link to {host}:{port} is down: what it shows is old"),
        facts.redis_cli().command("INFO replication"),
    )
}

/// A field of `ip=127.0.0.1,port=7001,state=online,…`.
fn word<'a>(fields: &'a str, name: &str) -> Option<&'a str> {
    fields.split(',').find_map(|field| field.strip_prefix(name)?.strip_prefix('='))
}
