//! What the module counted that should never happen.

use super::facts::Facts;
use super::{Finding, server};

pub(super) fn judge(facts: &Facts) -> Vec<Finding> {
    // Where INFO is not told, that was said of the server already.
    if facts.field("poppo_version").is_none() {
        return Vec::new();
    }
    let mut findings = Vec::new();
    let log = server::read_log(facts);
    let failures = facts.number("poppo_apply_failures");
    findings.push(if failures == 0 {
        Finding::ok("applied", "everything that came from the AOF or the primary was applied")
    } else {
        Finding::failed(
            "applied",
            format!("{failures} changes from the AOF or the primary could not be applied: the data are not the same"),
            format!("{log}    (then restore a backup, or make this a replica anew: the count is that since the start)"),
        )
    });
    let panics = facts.number("poppo_panics");
    if panics > 0 {
        findings.push(Finding::failed(
            "panics",
            format!("the module had {panics} internal errors since the server started"),
            format!("{log}    (and report what it says: it is a defect of Poppo)"),
        ));
    }
    let unreadable = facts.number("poppo_unreadable_projects");
    if unreadable > 0 {
        findings.push(Finding::failed(
            "unreadable",
            format!("{unreadable} projects cannot be read: written by a newer module, or damaged"),
            format!("{log}    (then load the newer libpoppo.so, or restore a backup)"),
        ));
    }
    findings
}
