//! Is a view of the older keys as the project is?

use std::time::{Duration, SystemTime};

use poppo::Project;

use super::Finding;
use super::facts::Facts;
use super::redis_cli::quoted;
use crate::daemon::view_signature;
use crate::human;

/// For how long a view may not have been looked at.
const PATIENCE: Duration = Duration::from_secs(60);

/// A view that was kept once.
#[derive(Debug)]
pub(super) struct Signed {
    /// Its layout, as the configuration has it.
    layout: &'static str,
    /// The key where that is written down.
    key: String,
    /// When it was last known to be right.
    at: SystemTime,
    /// Where the daemon was that kept it.
    host: String,
}

/// The views that there are. Who may not ask has none to be told of.
pub(super) async fn ask(project: &Project) -> Vec<Signed> {
    let mut views = Vec::new();
    for layout in ["poppo", "bare"] {
        let key = view_signature(project.key(), layout);
        let script = "return redis.call('HMGET', KEYS[1], 'at', 'host')";
        if let Ok(words) = project.client().run_script(script, &[&key], &[]).await
            && let [at, host] = words.as_slice()
            && let Ok(millis) = at.parse()
        {
            let at = SystemTime::UNIX_EPOCH + Duration::from_millis(millis);
            views.push(Signed { layout, key, at, host: host.clone() });
        }
    }
    views
}

pub(super) fn judge(facts: &Facts, views: &[Signed]) -> Vec<Finding> {
    views.iter().map(|view| judge_one(facts, view)).collect()
}

fn judge_one(facts: &Facts, view: &Signed) -> Finding {
    let Signed { layout, key, at, host } = view;
    let example =
        if *layout == "bare" { "issue:<n>".to_owned() } else { format!("{}:issue:status:<n>", facts.project) };
    let age = facts.now.duration_since(*at).unwrap_or_default();
    if age < PATIENCE {
        let age = human::duration(age);
        return Finding::ok("view", format!("the view of the older keys ({example} …) was right {age} ago, by {host}"));
    }
    let forget = facts.redis_cli().command(&format!("DEL {}", quoted(key)));
    Finding::warning(
        "view",
        format!(
            "the view of the older keys ({example} …) was last right {} ago, and nobody keeps it: who reads it is misled",
            human::duration(age)
        ),
        format!(
            "poppo daemon    (with legacy-view = \"{layout}\" for this project; where nobody reads them, delete those keys and: \
             {forget})"
        ),
    )
}
