//! `poppo.toml`: read, checked, and overridden by the environment. Every error names the file, the line and the key, or the
//! variable.

mod environment;
mod intake;
mod labels;
mod origin;
mod repair;
mod secret;
mod values;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use poppo::{Client, Life};
use serde::Deserialize;

pub(crate) use self::intake::IntakeConfig;
#[cfg(test)]
pub(crate) use self::intake::Login;
pub(crate) use self::labels::{Label, LabelsConfig};
use self::origin::Wrong;
pub(crate) use self::repair::{Language, Policy, RepairConfig};
pub(crate) use self::secret::Secret;
pub(crate) use self::values::{Listen, Repository};
use super::github;
use super::log::Form;
use crate::exit::{Failure, USAGE};

/// Where the configuration is looked for unless another file is named.
pub(crate) const DEFAULT_FILE: &str = "poppo.toml";

/// The project where none is named.
const DEFAULT_PROJECT: &str = "poppo";

/// Everything that a daemon is told.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(crate) struct Config {
    /// The server, as `--url` takes it.
    pub(crate) url: Option<Secret>,
    /// This host's name, as its workers give it in HOST. Default: the system's.
    pub(crate) host: Option<values::Name>,
    /// The form of the log.
    pub(crate) log: Form,
    /// Which duties are on.
    pub(crate) duties: Duties,
    /// Where HTTP is answered, and to whom.
    pub(crate) http: HttpConfig,
    /// Where and as whom GitHub is asked.
    pub(crate) github: GithubConfig,
    /// The projects that are looked after; of none, the project `poppo`.
    #[serde(rename = "project")]
    pub(crate) projects: Vec<ProjectConfig>,
}

/// Which duties are on. Those of a project also need what they work on: a repository, a view that is wished for.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(crate) struct Duties {
    pub(crate) liveness: bool,
    pub(crate) repair: bool,
    pub(crate) labels: bool,
    pub(crate) intake: bool,
    pub(crate) ambassador: bool,
    pub(crate) view: bool,
    pub(crate) http: bool,
}

impl Duties {
    /// Nothing is done.
    pub(crate) const NONE: Self = Self {
        liveness: false,
        repair: false,
        labels: false,
        intake: false,
        ambassador: false,
        view: false,
        http: false,
    };
}

impl Default for Duties {
    fn default() -> Self {
        Self { liveness: true, repair: true, labels: true, intake: true, ambassador: true, view: true, http: true }
    }
}

/// `[http]`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(crate) struct HttpConfig {
    /// The address and port.
    pub(crate) listen: Listen,
    /// What callers have to show (`Authorization: Bearer …`); needed where others than this host can reach it.
    pub(crate) token: Option<Secret>,
    /// A file that holds it.
    pub(crate) token_file: Option<PathBuf>,
    /// What webhooks are signed with: any of these, so that one can take over from another without a gap.
    pub(crate) webhook_secrets: Vec<Secret>,
    /// Files that hold one each.
    pub(crate) webhook_secret_files: Vec<PathBuf>,
}

/// `[github]`: a token, or an App and its key.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(crate) struct GithubConfig {
    /// The REST API; GitHub Enterprise has its own (`https://host/api/v3`).
    pub(crate) api_url: values::HttpUrl,
    /// A personal access token.
    pub(crate) token: Option<Secret>,
    /// A file that holds it.
    pub(crate) token_file: Option<PathBuf>,
    /// The id of a GitHub App.
    pub(crate) app_id: Option<u64>,
    /// Its private key, as PEM.
    pub(crate) app_key: Option<Secret>,
    /// A file that holds it.
    pub(crate) app_key_file: Option<PathBuf>,
    /// How much of GitHub's hourly limit is left to whoever else has the credential.
    pub(crate) reserve: values::Percent<0, 90>,
}

impl GithubConfig {
    /// Whether it says as whom GitHub is asked.
    pub(crate) fn has_credentials(&self) -> bool {
        self.token.is_some() || self.token_file.is_some() || self.app_id.is_some()
    }
}

impl Default for GithubConfig {
    fn default() -> Self {
        Self {
            api_url: values::HttpUrl::github(),
            token: None,
            token_file: None,
            app_id: None,
            app_key: None,
            app_key_file: None,
            reserve: values::Percent::of(10),
        }
    }
}

/// `[[project]]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct ProjectConfig {
    /// The project's key on the server.
    pub(crate) key: values::Key,
    /// Its repository on GitHub. Without one, its labels and intake are off.
    pub(crate) repository: Option<Repository>,
    /// In which of the older layouts a view is kept.
    #[serde(default)]
    pub(crate) legacy_view: LegacyView,
    /// What becomes of orphans.
    #[serde(default)]
    pub(crate) repair: RepairConfig,
    /// Which labels show where an issue stands.
    #[serde(default)]
    pub(crate) labels: LabelsConfig,
    /// What becomes a task.
    #[serde(default)]
    pub(crate) intake: IntakeConfig,
}

/// The older key layouts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LegacyView {
    /// No view.
    #[default]
    Off,
    /// `<project>:issue:status:<n>` and so on.
    Poppo,
    /// `issue:<n>` and so on.
    Bare,
}

impl Config {
    /// Reads the file, if there is one, and what the environment has to say.
    pub(crate) fn load(file: Option<&Path>, variable: impl Fn(&str) -> Option<String>) -> Result<Self, Failure> {
        let text = match file {
            Some(file) => fs::read_to_string(file).map_err(|error| usage(format!("{}: {error}", file.display())))?,
            None => String::new(),
        };
        let name = file.map_or_else(|| DEFAULT_FILE.into(), Path::to_string_lossy);
        Self::parse(&text, &name, variable)
    }

    /// Reads a text, which is called by a name where something is wrong with it, and what the environment has to say.
    pub(crate) fn parse(text: &str, name: &str, variable: impl Fn(&str) -> Option<String>) -> Result<Self, Failure> {
        let mut config = environment::read(text, name, &variable)?;
        if config.projects.is_empty() {
            config.projects.push(ProjectConfig::of(DEFAULT_PROJECT));
        }
        config.read_secrets().and_then(|()| config.check()).map_err(|wrong| usage(wrong.told(text, name, variable)))?;
        Ok(config)
    }

    /// This host's name.
    pub(crate) fn host(&self) -> String {
        self.host.as_ref().map_or_else(|| Life::current().host, ToString::to_string)
    }

    fn read_secrets(&mut self) -> Result<(), Wrong> {
        let Self { http, github, .. } = self;
        let singles = [
            ("http", ["token", "token-file"], &mut http.token, &http.token_file),
            ("github", ["token", "token-file"], &mut github.token, &github.token_file),
            ("github", ["app-key", "app-key-file"], &mut github.app_key, &github.app_key_file),
        ];
        for (section, [key, file_key], secret, file) in singles {
            match (secret.is_some(), file) {
                (true, Some(_)) => {
                    let what = format!("it and {section}.{key} exclude each other");
                    return Err(Wrong::new(section, file_key, what));
                }
                (false, Some(file)) => {
                    *secret = Some(Secret::read(file).map_err(|what| Wrong::new(section, file_key, what))?);
                }
                _ => {}
            }
        }
        for file in &http.webhook_secret_files {
            let secret = Secret::read(file).map_err(|what| Wrong::new("http", "webhook-secret-files", what))?;
            http.webhook_secrets.push(secret);
        }
        Ok(())
    }

    /// What no single value shows.
    fn check(&self) -> Result<(), Wrong> {
        if let Some(url) = &self.url {
            Client::check_url(url.reveal()).map_err(|error| Wrong::new("", "url", error.to_string()))?;
        }
        if self.duties.http && self.http.listen.is_open_to_others() && self.http.token.is_none() {
            let what = format!(
                "others than this host can reach {}: that needs http.token or http.token-file",
                self.http.listen
            );
            return Err(Wrong::new("http", "listen", what));
        }
        self.github.check()?;
        self.check_projects()
    }

    fn check_projects(&self) -> Result<(), Wrong> {
        let (mut keys, mut repositories, mut bare) = (BTreeSet::new(), BTreeSet::new(), None);
        for (number, project) in self.projects.iter().enumerate() {
            let wrong = |section, key, what: String| Err(Wrong::new(section, key, what).of_project(number));
            let ProjectConfig { key, repository, .. } = project;
            if !keys.insert(key) {
                return wrong("", "key", format!("project {key} is there twice"));
            }
            if repository.as_ref().is_some_and(|name| !repositories.insert(name.to_string().to_lowercase())) {
                return wrong("", "repository", format!("project {key}: its repository is another project's already"));
            }
            if let Some((label, what)) = project.labels.ambiguity() {
                return wrong("labels", label, format!("project {key}: {what}"));
            }
            if project.legacy_view == LegacyView::Bare
                && let Some(other) = bare.replace(key)
            {
                let what = format!("projects {other} and {key} are both \"bare\", whose keys bear no project's name");
                return wrong("", "legacy-view", what);
            }
        }
        Ok(())
    }
}

impl GithubConfig {
    /// Whether there is one credential at most, and it can be used.
    fn check(&self) -> Result<(), Wrong> {
        let wrong = |key, what: &str| Err(Wrong::new("github", key, what));
        match (&self.token, self.app_id, &self.app_key) {
            (Some(_), Some(_), _) => return wrong("app-id", "it and github.token exclude each other"),
            (_, Some(_), None) => return wrong("app-id", "it needs github.app-key or github.app-key-file"),
            (_, None, Some(_)) => {
                let key = if self.app_key_file.is_some() { "app-key-file" } else { "app-key" };
                return wrong(key, "it needs github.app-id");
            }
            _ => {}
        }
        let key = match (self.app_id, &self.app_key_file, &self.token_file) {
            (Some(_), Some(_), _) => "app-key-file",
            (Some(_), None, _) => "app-key",
            (None, _, Some(_)) => "token-file",
            (None, _, None) => "token",
        };
        github::check(self).or_else(|what| wrong(key, &what))
    }
}

impl ProjectConfig {
    /// A project of which nothing else is said.
    pub(crate) fn of(key: &str) -> Self {
        Self {
            key: values::Key::new(key),
            repository: None,
            legacy_view: LegacyView::default(),
            repair: RepairConfig::default(),
            labels: LabelsConfig::default(),
            intake: IntakeConfig::default(),
        }
    }
}

fn usage(message: impl Into<String>) -> Failure {
    Failure::new(USAGE, "CONFIG", message)
}

#[cfg(test)]
mod tests;
