//! Does `poppo.toml`, where the command is run beside it, say all that this project's intake needs?

use std::path::Path;

use super::Finding;
use crate::daemon::config::{Config, DEFAULT_FILE, ProjectConfig};

pub(super) fn judge(project: &str) -> Option<Finding> {
    let file = Path::new(DEFAULT_FILE);
    if !file.is_file() {
        return None;
    }
    match Config::load(Some(file), |name| std::env::var(name).ok()) {
        Ok(config) => look(&config, project),
        Err(failure) => Some(Finding::failed(
            "intake",
            format!("the daemon cannot start: {}", failure.message),
            format!("mend {DEFAULT_FILE}; poppo daemon --check looks at it again"),
        )),
    }
}

fn look(config: &Config, project: &str) -> Option<Finding> {
    let project = config.projects.iter().find(|known| known.key.as_str() == project)?;
    if !config.duties.intake {
        return None;
    }
    let warning = |message: &str, mend: &str| Some(Finding::warning("intake", message, mend));
    let ProjectConfig { repository, intake, .. } = project;
    let (has_authors, has_webhooks) = (!intake.authors.is_empty(), !config.http.webhook_secrets.is_empty());
    match repository {
        None if has_authors => warning(
            "whose issues become tasks is said, but not of which repository",
            "repository = \"owner/name\" in its [[project]]",
        ),
        None => None,
        Some(_) if !has_authors => warning(
            "no issue becomes a task: nobody is named whose issues do",
            "authors = [\"…\"] in [project.intake], or intake = false in [duties]",
        ),
        Some(_) if !config.github.has_credentials() => warning(
            "no issue becomes a task: there is no token for GitHub",
            "token-file = \"…\" in [github], or POPPO_GITHUB_TOKEN",
        ),
        Some(_) if has_webhooks && !config.duties.http => {
            warning("webhooks have a secret, but nobody answers on HTTP", "http = true in [duties]")
        }
        Some(repository) => {
            let often = humantime::format_duration(intake.poll.get());
            let told = if has_webhooks { ", and webhooks" } else { "" };
            Some(Finding::ok("intake", format!("issues of {repository} become tasks: asked for every {often}{told}")))
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::State;
    use super::*;

    fn found(text: &str) -> Option<(State, String)> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join(DEFAULT_FILE);
        std::fs::write(&file, text).unwrap();
        let config = Config::load(Some(&file), |_| None).map_err(|failure| failure.message).unwrap();
        look(&config, "p").map(|finding| (finding.state, finding.message))
    }

    #[test]
    fn what_intake_lacks_is_named() {
        let token = "[github]\ntoken = \"t\"\n";
        let authors = "[project.intake]\nauthors = [\"alice\"]\n";
        let (bare, whole) = ("[[project]]\nkey = \"p\"\n", "[[project]]\nkey = \"p\"\nrepository = \"o/r\"\n");
        let cases = [
            (format!("{bare}{authors}{token}"), "not of which repository"),
            (format!("{whole}{token}"), "nobody is named"),
            (format!("{whole}{authors}"), "no token"),
            (
                format!("{whole}{authors}{token}[http]\nwebhook-secrets = [\"s\"]\n[duties]\nhttp = false"),
                "nobody answers on HTTP",
            ),
        ];
        for (text, expected) in cases {
            let (state, message) = found(&text).unwrap();
            assert!(state == State::Warning && message.contains(expected), "{text}: {message}");
        }
        let (state, message) = found(&format!("{whole}{authors}{token}")).unwrap();
        assert_eq!((state, message.as_str()), (State::Ok, "issues of o/r become tasks: asked for every 1m"));
        assert_eq!(found(bare), None);
        assert_eq!(found(&format!("{whole}[duties]\nintake = false")), None);
        assert_eq!(found("[[project]]\nkey = \"another\"\nrepository = \"o/r\""), None);
    }
}
