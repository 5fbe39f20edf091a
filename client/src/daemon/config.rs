//! `poppo.toml`: read, checked, and overridden by the environment. Every error names the file, the line and the key, or the
//! variable.

mod environment;
mod intake;
mod labels;
mod repair;
mod secret;
mod values;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use poppo::Life;
use serde::Deserialize;

pub(crate) use self::intake::IntakeConfig;
#[cfg(test)]
pub(crate) use self::intake::Login;
pub(crate) use self::labels::{Label, LabelsConfig};
pub(crate) use self::repair::{Language, Policy, RepairConfig};
pub(crate) use self::secret::Secret;
pub(crate) use self::values::{Listen, Repository};
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
        let mut config = environment::read(text, name, variable)?;
        if config.projects.is_empty() {
            config.projects.push(ProjectConfig::of(DEFAULT_PROJECT));
        }
        config.read_secrets()?;
        config.check().map_err(|what| usage(format!("{name}: {what}")))?;
        Ok(config)
    }

    /// This host's name.
    pub(crate) fn host(&self) -> String {
        self.host.as_ref().map_or_else(|| Life::current().host, ToString::to_string)
    }

    fn read_secrets(&mut self) -> Result<(), Failure> {
        let Self { http, github, .. } = self;
        let singles = [
            ("http.token", &mut http.token, &http.token_file),
            ("github.token", &mut github.token, &github.token_file),
            ("github.app-key", &mut github.app_key, &github.app_key_file),
        ];
        for (key, secret, file) in singles {
            match (secret.is_some(), file) {
                (true, Some(_)) => return Err(usage(format!("{key} and {key}-file exclude each other"))),
                (false, Some(file)) => *secret = Some(Secret::read(file).map_err(usage)?),
                _ => {}
            }
        }
        for file in &http.webhook_secret_files {
            http.webhook_secrets.push(Secret::read(file).map_err(usage)?);
        }
        Ok(())
    }

    /// What no single value shows.
    fn check(&self) -> Result<(), String> {
        let mut keys = BTreeSet::new();
        if let Some(twice) = self.projects.iter().find(|project| !keys.insert(&project.key)) {
            return Err(format!("project {} is there twice", twice.key));
        }
        let mut bare = self.projects.iter().filter(|project| project.legacy_view == LegacyView::Bare);
        if let (Some(one), Some(other)) = (bare.next(), bare.next()) {
            let (one, other) = (&one.key, &other.key);
            return Err(format!(
                "projects {one} and {other} both have legacy-view = \"bare\", whose keys bear no project's name"
            ));
        }
        if self.duties.http && self.http.listen.is_open_to_others() && self.http.token.is_none() {
            return Err(format!(
                "http.listen is {}, which others than this host can reach: that needs http.token or http.token-file",
                self.http.listen
            ));
        }
        match (&self.github.token, self.github.app_id, &self.github.app_key) {
            (Some(_), Some(_), _) => Err("github.token and github.app-id exclude each other".to_owned()),
            (_, Some(_), None) => Err("github.app-id needs github.app-key or github.app-key-file".to_owned()),
            (_, None, Some(_)) => Err("github.app-key needs github.app-id".to_owned()),
            _ => self.projects.iter().try_for_each(|project| {
                project.labels.check().map_err(|what| format!("project {}: {what}", project.key))
            }),
        }?;
        let mut repositories = BTreeSet::new();
        let repository = |project: &ProjectConfig| Some(project.repository.as_ref()?.to_string().to_lowercase());
        match self.projects.iter().find(|project| repository(project).is_some_and(|name| !repositories.insert(name))) {
            Some(twice) => Err(format!("project {}: its repository is another project's already", twice.key)),
            None => Ok(()),
        }
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
