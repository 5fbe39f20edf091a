//! Is the server there, is it new enough, and does it have the module?

use super::facts::Facts;
use super::{Finding, redis_cli};

/// The least versions, as major and minor.
const REDIS: (u32, u32) = (7, 0);
const VALKEY: (u32, u32) = (8, 0);

const CLIENT: &str = env!("CARGO_PKG_VERSION");

/// What is wrong where nobody answers, or somebody does not let us in.
pub(super) fn no_connection(code: &str, message: &str) -> Finding {
    let mend = match code {
        "NOAUTH" | "WRONGPASS" => {
            "give user and password: --url redis://USER:PASSWORD@HOST:PORT, or the same in POPPO_URL"
        }
        "LOADING" => "wait: it is reading its data",
        _ => "poppo up    (starts a server here; or name yours with --url or POPPO_URL)",
    };
    Finding::failed("server", message, mend)
}

pub(super) fn judge(facts: &Facts) -> Vec<Finding> {
    let server = match &facts.info {
        Ok(_) => version(facts),
        Err(error) => facts.untold("server", error, "+info"),
    };
    vec![server, module(facts)]
}

fn version(facts: &Facts) -> Finding {
    let (name, version, least) = match facts.field("valkey_version") {
        Some(version) => ("Valkey", version, VALKEY),
        None => ("Redis", facts.field("redis_version").unwrap_or_default(), REDIS),
    };
    let url = &facts.url;
    match numbers(version) {
        Some(found) if found >= least => Finding::ok("server", format!("{name} {version} answers at {url}")),
        _ => Finding::failed(
            "server",
            format!("{name} {version} at {url} is too old: Poppo needs Redis 7.0 or Valkey 8, or newer"),
            "install a newer redis-server, and start it on the same data",
        ),
    }
}

fn module(facts: &Facts) -> Finding {
    if !facts.has_module() {
        return Finding::failed(
            "module",
            "the Poppo module is not loaded",
            "redis-server /path/to/redis.conf --loadmodule /path/to/libpoppo.so    (or a line `loadmodule` in redis.conf)",
        );
    }
    match facts.field("poppo_version") {
        None => Finding::ok("module", "the Poppo module is loaded; its version is not told to this user"),
        Some(version) => compare(version),
    }
}

/// Versions that differ in what they can do differ in the second number at least.
fn compare(version: &str) -> Finding {
    match (numbers(version), numbers(CLIENT)) {
        (Some(there), Some(here)) if there < here => Finding::warning(
            "module",
            format!("the module is of version {version}, older than this client, {CLIENT}: it may lack commands"),
            "make build    (then put the new libpoppo.so in place of the old one, and restart the server)",
        ),
        (Some(there), Some(here)) if there > here => Finding::warning(
            "module",
            format!("the module is of version {version}, newer than this client, {CLIENT}"),
            "make build    (then put the new `poppo` in place of the old one)",
        ),
        _ => Finding::ok("module", format!("the module is loaded, version {version}")),
    }
}

/// The first two numbers of a version.
fn numbers(version: &str) -> Option<(u32, u32)> {
    let mut parts = version.split('.').map(|part| part.parse().ok());
    Some((parts.next()??, parts.next().flatten().unwrap_or_default()))
}

/// How to read what the server's log says of Poppo.
pub(super) fn read_log(facts: &Facts) -> String {
    let file = facts.setting("logfile").unwrap_or_default();
    match (file, facts.setting("dir")) {
        ("", _) => "see what the server's log says of poppo".to_owned(),
        (file, Some(dir)) if !file.starts_with('/') => {
            format!("grep poppo {}", redis_cli::quoted(&format!("{dir}/{file}")))
        }
        (file, _) => format!("grep poppo {}", redis_cli::quoted(file)),
    }
}

#[cfg(test)]
mod tests {
    use super::super::State;
    use super::*;

    #[test]
    fn versions_are_compared_by_their_numbers() {
        assert_eq!(numbers("7.0.15"), Some((7, 0)));
        assert_eq!(numbers("10.2"), Some((10, 2)));
        assert_eq!(numbers("8"), Some((8, 0)));
        assert_eq!(numbers(""), None);
        assert!(numbers("6.2.14") < Some(REDIS) && numbers("10.0.0") > Some(VALKEY));
    }

    #[test]
    fn a_module_of_another_version_is_a_warning() {
        assert_eq!(compare(CLIENT).state, State::Ok);
        for version in ["0.0.1", "99.0.0"] {
            let finding = compare(version);
            assert_eq!(finding.state, State::Warning, "{finding:?}");
            assert!(finding.message.contains(version) && finding.message.contains(CLIENT), "{finding:?}");
        }
    }

    #[test]
    fn who_is_not_let_in_is_told_to_give_a_password() {
        let mend = |code| no_connection(code, "no").mend.unwrap_or_default();
        assert!(mend("NOAUTH").contains("PASSWORD") && mend("WRONGPASS").contains("PASSWORD"));
        assert!(mend("UNREACHABLE").contains("poppo up"));
    }
}
