//! What the server says of itself and of the project. What it does not tell this user stays an error, and is judged as
//! such.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use poppo::{Error, Life, Orphan, Process, Project, Stats};

use super::Finding;
use super::redis_cli::RedisCli;

/// By how much two clocks differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Skew {
    /// The difference.
    pub(super) by: Duration,
    /// Whether the server's clock is the one that is ahead.
    pub(super) server_is_ahead: bool,
    /// How exact that is: half of the time that the question took.
    pub(super) within: Duration,
}

/// Everything that is judged.
#[derive(Debug)]
pub(super) struct Facts {
    /// Where the server is, without its password.
    pub(super) url: String,
    pub(super) project: String,
    /// The user that this client is.
    pub(super) user: Result<String, Error>,
    /// All of INFO.
    pub(super) info: Result<BTreeMap<String, String>, Error>,
    /// The server's settings that were asked for, by name.
    pub(super) settings: BTreeMap<&'static str, Result<Option<String>, Error>>,
    pub(super) skew: Result<Skew, Error>,
    pub(super) stats: Result<Option<Stats>, Error>,
    pub(super) orphans: Result<Vec<Orphan>, Error>,
    pub(super) processes: Result<Vec<Process>, Error>,
    /// This host's name, as its workers give it.
    pub(super) host: String,
    /// The server's time, or ours where it does not tell.
    pub(super) now: SystemTime,
}

const SETTINGS: [&str; 4] = ["appendfsync", "save", "dir", "logfile"];

/// How many orphans are looked at. The longest orphaned ones come first, and those are what matters.
const ORPHANS: u32 = 1000;

pub(super) async fn gather(project: &Project) -> Facts {
    let client = project.client();
    let mut settings = BTreeMap::new();
    for name in SETTINGS {
        settings.insert(name, client.server_setting(name).await);
    }
    let skew = skew(project).await;
    Facts {
        url: client.url().to_owned(),
        project: project.key().to_owned(),
        user: client.user().await,
        info: client.info("everything").await,
        settings,
        skew,
        stats: project.stats().await,
        orphans: project.orphans(Some(ORPHANS), None).await,
        processes: project.all_processes().await,
        host: Life::current().host,
        now: client.time().await.unwrap_or_else(|_| SystemTime::now()),
    }
}

/// The server's clock against the middle of the time that asking took.
async fn skew(project: &Project) -> Result<Skew, Error> {
    let before = SystemTime::now();
    let there = project.client().time().await?;
    let within = before.elapsed().unwrap_or_default() / 2;
    let here = before + within;
    Ok(match there.duration_since(here) {
        Ok(by) => Skew { by, server_is_ahead: true, within },
        Err(error) => Skew { by: error.duration(), server_is_ahead: false, within },
    })
}

impl Facts {
    /// A field of INFO, where it is told.
    pub(super) fn field(&self, name: &str) -> Option<&str> {
        self.info.as_ref().ok()?.get(name).map(String::as_str)
    }

    /// A number of INFO; 0 where it is not told.
    pub(super) fn number(&self, name: &str) -> u64 {
        self.field(name).and_then(|value| value.parse().ok()).unwrap_or_default()
    }

    /// A setting, where it is told.
    pub(super) fn setting(&self, name: &str) -> Option<&str> {
        self.settings.get(name)?.as_ref().ok()?.as_deref()
    }

    /// Whether the server has the module: it answers to its commands, whatever it answers.
    pub(super) fn has_module(&self) -> bool {
        self.field("poppo_version").is_some() || !matches!(self.stats, Err(Error::NoModule { .. }))
    }

    /// How to call redis-cli for this server.
    pub(super) fn redis_cli(&self) -> RedisCli {
        RedisCli::to(&self.url)
    }

    /// That a check could not be made, since this user may not ask.
    pub(super) fn untold(&self, check: &'static str, error: &Error, permission: &str) -> Finding {
        let user = self.user.as_deref().unwrap_or("USER");
        let mend = self.redis_cli().command(&format!("ACL SETUSER {user} {permission}"));
        Finding::warning(check, format!("cannot tell: {error}"), mend)
    }
}
