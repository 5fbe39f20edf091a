//! Does GitHub show where the issues stand? Its token and what that may do, our labels there, how far they are behind, and
//! which daemon writes them.

use std::time::{Duration, SystemTime};

use poppo::{Block, Issue, OrphanReason, Project, Status, Unlabelled};
use prometheus_client::registry::Registry;

use super::Finding;
use crate::daemon::config::{Config, ProjectConfig, Repository};
use crate::daemon::github::error::words;
use crate::daemon::github::{About, Cause, Github, GithubError, Label, Repo, is_same_name};
use crate::daemon::labels::leader;
use crate::daemon::labels::marks::Mark;

/// How many rows of the outbox are counted.
const ROWS: u32 = 10_000;
/// Labels that are behind for so long are nobody's business now.
const LATE: Duration = Duration::from_secs(60);
/// What starts the one who writes.
const DAEMON: &str = "poppo daemon --config poppo.toml    (with this project, its repository and a token in the file)";

/// Looks at what the configuration says of this project; at nothing where it has no repository.
pub(crate) async fn examine(project: &Project, config: &Config) -> Vec<Finding> {
    let own = config.projects.iter().find(|one| one.key.as_str() == project.key());
    let Some((own, repository)) = own.and_then(|own| Some((own, own.repository.as_ref()?))) else { return Vec::new() };
    let mut findings = match Github::new(&config.github, &mut Registry::default()) {
        Err(error) => vec![refused(&error)],
        Ok(None) => vec![Finding::warning(
            "github",
            format!("there is no token for GitHub, so labels and comments of {repository} are off"),
            "put github.token-file into poppo.toml, or set POPPO_GITHUB_TOKEN",
        )],
        Ok(Some(github)) => ask(&github.repo(repository), own).await,
    };
    findings.extend(behind(project).await);
    findings.extend(writer(project, repository).await);
    findings
}

async fn ask(repo: &Repo, config: &ProjectConfig) -> Vec<Finding> {
    let about = match repo.about().await {
        Ok(about) => about,
        Err(error) => return vec![refused(&error)],
    };
    let mut findings = vec![Finding::ok("github", format!("{} can be reached with the credential", about.full_name))];
    findings.push(permission(&about));
    findings.push(match repo.labels().await {
        Ok(there) => labels(&there, config),
        Err(error) => refused(&error),
    });
    findings
}

/// What GitHub said to a credential or a name that is wrong.
fn refused(error: &GithubError) -> Finding {
    let mend = match error.cause {
        Cause::Unauthorized | Cause::Credential(_) => {
            "make a new token, and give it in github.token-file of poppo.toml"
        }
        Cause::Forbidden(_) => "let the token read and write issues (classic: the scope `repo`)",
        Cause::NotFound | Cause::Gone(_) | Cause::Moved => {
            "write the repository's name into poppo.toml as it is now, and let the token see it"
        }
        Cause::RateLimited { .. } => "wait, or give the daemon a token that nobody else uses",
        _ => "see whether github.api-url can be reached from this host (curl -i URL), and www.githubstatus.com",
    };
    Finding::failed("github", error.to_string(), mend)
}

/// Whether labels can be changed there.
fn permission(about: &About) -> Finding {
    let name = &about.full_name;
    if about.archived {
        let mend = "unarchive it, or take it out of poppo.toml";
        return Finding::failed("permission", format!("{name} is archived: nothing can be changed there"), mend);
    }
    if !about.has_issues {
        let mend = "turn them on (Settings, Features), or take the repository out of poppo.toml";
        return Finding::failed("permission", format!("the issues of {name} are turned off"), mend);
    }
    match about.permissions {
        Some(may) if !may.push && !may.triage => Finding::failed(
            "permission",
            format!("the token may only read {name}"),
            "give it the right to write issues (classic: the scope `repo`), or its user the role `triage`",
        ),
        Some(_) => Finding::ok("permission", format!("the token may change labels of {name}")),
        None => {
            Finding::ok("permission", format!("the App is installed on {name}; it needs the permission issues: write"))
        }
    }
}

/// Whether our labels are there.
fn labels(there: &[Label], config: &ProjectConfig) -> Finding {
    let wanted = Mark::ALL.map(|mark| mark.label(&config.labels).name.as_str());
    let is_there = |name: &&str| there.iter().any(|label| is_same_name(&label.name, name));
    let missing: Vec<&str> = wanted.into_iter().filter(|name| !is_there(name)).collect();
    match missing.as_slice() {
        [] => Finding::ok("labels", format!("the labels {} are there", wanted.join(", "))),
        missing => Finding::warning("labels", format!("there are no labels {} yet", missing.join(", ")), DAEMON),
    }
}

/// How many labels are behind, and since when.
async fn behind(project: &Project) -> Option<Finding> {
    let rows = project.unlabelled(Some(ROWS), Block::No).await.ok()?;
    let first = rows.iter().map(|row| row.version).min();
    let event = match first {
        Some(first) => project.events(first.saturating_sub(1), Some(1), Block::No).await.ok()?.into_iter().next_back(),
        None => None,
    };
    let at = event.filter(|event| Some(event.id) == first).and_then(|event| event.at?.to_system_time());
    let now = project.client().time().await.ok()?;
    Some(judge_behind(&rows, at, now))
}

fn judge_behind(rows: &[Unlabelled], since: Option<SystemTime>, now: SystemTime) -> Finding {
    let count = match u32::try_from(rows.len()) {
        Ok(0) => return Finding::ok("behind", "every issue's labels are as it stands"),
        Ok(count) if count < ROWS => count.to_string(),
        _ => format!("{ROWS} or more"),
    };
    let age = since.map(|since| now.duration_since(since).unwrap_or_default());
    let since = age.map_or_else(|| "for longer than the log goes back".to_owned(), |age| format!("for {}", words(age)));
    let message = format!("the labels of {count} issues are behind, the first {since}");
    if age.is_some_and(|age| age < LATE) {
        Finding::ok("behind", message)
    } else {
        Finding::warning("behind", message, "see /readyz and the log of the daemon that writes them, or start one")
    }
}

/// Which daemon writes the labels of a repository.
async fn writer(project: &Project, repository: &Repository) -> Option<Finding> {
    let daemons = project.client().project(leader::project_of(repository));
    let lease = daemons.get(leader::issue()).await.ok()?;
    Some(judge_writer(lease.as_ref(), repository))
}

fn judge_writer(lease: Option<&Issue>, repository: &Repository) -> Finding {
    let none = |message: String| Finding::warning("writer", message, DAEMON);
    let Some(lease) = lease.filter(|lease| lease.status == Status::Processing) else {
        return none(format!("no daemon writes the labels of {repository}"));
    };
    let name = lease.process.as_deref().unwrap_or("somebody");
    match lease.orphan {
        None => Finding::ok("writer", format!("{name} writes the labels of {repository}")),
        Some(OrphanReason::Dead) => none(format!("{name}, which wrote the labels of {repository}, is dead")),
        Some(_) => none(format!("{name}, which writes the labels of {repository}, is not heard of any more")),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use poppo::IssueNumber;

    use super::super::State;
    use super::*;

    fn about(permissions: Option<(bool, bool)>) -> About {
        let text = serde_json::json!({
            "full_name": "acme/widgets",
            "permissions": permissions.map(|(push, triage)| serde_json::json!({ "push": push, "triage": triage })),
        });
        serde_json::from_value(text).unwrap()
    }

    #[test]
    fn a_token_has_to_be_able_to_change_labels() {
        assert_eq!(permission(&about(None)).state, State::Ok);
        assert_eq!(permission(&about(Some((true, false)))).state, State::Ok);
        assert_eq!(permission(&about(Some((false, true)))).state, State::Ok);
        assert_eq!(permission(&about(Some((false, false)))).state, State::Failed);
        assert_eq!(permission(&About { archived: true, ..about(Some((true, true))) }).state, State::Failed);
        assert_eq!(permission(&About { has_issues: false, ..about(Some((true, true))) }).state, State::Failed);
    }

    #[test]
    fn labels_that_are_behind_are_told_with_their_age() {
        let now = SystemTime::now();
        let row = Unlabelled { issue: IssueNumber::FIRST, status: Status::Error, version: 7 };
        assert_eq!(judge_behind(&[], None, now).state, State::Ok);
        assert_eq!(judge_behind(std::slice::from_ref(&row), Some(now), now).state, State::Ok);
        let late = judge_behind(std::slice::from_ref(&row), Some(now - 2 * LATE), now);
        assert_eq!(late.state, State::Warning);
        assert!(late.message.contains("1 issues") && late.message.contains("2m"), "{}", late.message);
        assert_eq!(judge_behind(&[row], None, now).state, State::Warning);
    }

    #[test]
    fn labels_that_are_missing_are_named() {
        let label = |name: &str| serde_json::from_value(serde_json::json!({ "name": name })).unwrap();
        let config = ProjectConfig::of("p");
        let finding = labels(&[label("Processing"), label("completed"), label("bug")], &config);
        assert_eq!(
            (finding.state, finding.message.as_str()),
            (State::Warning, "there are no labels awaiting-response, error yet")
        );
    }
}
