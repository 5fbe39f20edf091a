//! Things as the REST API and the webhooks show them.

use serde_json::{Value, json};

use super::clock::rfc3339;
use super::state::{Comment, Issue, Label, Repository, User, World, same};

/// A user, short.
pub(super) fn user(world: &World, login: &str) -> Value {
    let unknown = User { id: 1, login: login.to_owned() };
    let user = world.users.iter().find(|user| same(&user.login, login)).unwrap_or(&unknown);
    let (api, html, login) = (format!("{}/users/{}", world.api, user.login), &world.html, &user.login);
    json!({
        "login": login,
        "id": user.id,
        "node_id": user.node_id(),
        "avatar_url": format!("{html}/avatars/u/{}?v=4", user.id),
        "gravatar_id": "",
        "url": api,
        "html_url": format!("{html}/{login}"),
        "followers_url": format!("{api}/followers"),
        "following_url": format!("{api}/following{{/other_user}}"),
        "gists_url": format!("{api}/gists{{/gist_id}}"),
        "starred_url": format!("{api}/starred{{/owner}}{{/repo}}"),
        "subscriptions_url": format!("{api}/subscriptions"),
        "organizations_url": format!("{api}/orgs"),
        "repos_url": format!("{api}/repos"),
        "events_url": format!("{api}/events{{/privacy}}"),
        "received_events_url": format!("{api}/received_events"),
        "type": if login.ends_with("[bot]") { "Bot" } else { "User" },
        "user_view_type": "public",
        "site_admin": false,
    })
}

/// The base of a repository's URLs.
pub(super) fn repository_url(world: &World, repository: &Repository) -> String {
    format!("{}/repos/{}", world.api, repository.full_name())
}

/// A repository.
pub(super) fn repository(world: &World, repository: &Repository) -> Value {
    let (url, full_name) = (repository_url(world, repository), repository.full_name());
    let open = repository.issues.values().filter(|issue| issue.is_open).count();
    json!({
        "id": repository.id,
        "node_id": repository.node_id(),
        "name": repository.name,
        "full_name": full_name,
        "private": false,
        "owner": user(world, &repository.owner),
        "html_url": format!("{}/{full_name}", world.html),
        "description": null,
        "fork": false,
        "url": url,
        "issues_url": format!("{url}/issues{{/number}}"),
        "labels_url": format!("{url}/labels{{/name}}"),
        "issue_comment_url": format!("{url}/issues/comments{{/number}}"),
        "has_issues": repository.standing != super::Standing::WithoutIssues,
        "archived": repository.standing == super::Standing::Archived,
        "disabled": false,
        "visibility": "public",
        "open_issues_count": open,
        "open_issues": open,
        "default_branch": "main",
        "permissions": { "admin": false, "maintain": false, "push": true, "triage": true, "pull": true },
    })
}

/// A label. In its URL the name is percent-encoded, whatever is in it.
pub(super) fn label(world: &World, repository: &Repository, label: &Label) -> Value {
    json!({
        "id": label.id,
        "node_id": label.node_id(),
        "url": format!("{}/labels/{}", repository_url(world, repository), percent_encoded(&label.name)),
        "name": label.name,
        "color": label.color,
        "default": matches!(label.name.as_str(), "bug" | "duplicate" | "enhancement" | "question" | "wontfix"),
        "description": label.description,
    })
}

/// The labels of an issue.
pub(super) fn labels(world: &World, repository: &Repository, issue: &Issue) -> Value {
    repository.labels_of(issue).map(|one| label(world, repository, one)).collect()
}

/// The page of an issue, for people.
pub(super) fn issue_page(world: &World, repository: &Repository, issue: &Issue) -> String {
    let kind = if issue.is_pull_request { "pull" } else { "issues" };
    format!("{}/{}/{kind}/{}", world.html, repository.full_name(), issue.number)
}

/// An issue, or a pull request as it is listed among issues.
pub(super) fn issue(world: &World, repository: &Repository, issue: &Issue) -> Value {
    let base = repository_url(world, repository);
    let url = format!("{base}/issues/{}", issue.number);
    let page = issue_page(world, repository, issue);
    let assignees: Vec<Value> = issue.assignees.iter().map(|login| user(world, login)).collect();
    let mut shown = json!({
        "url": url,
        "repository_url": base,
        "labels_url": format!("{url}/labels{{/name}}"),
        "comments_url": format!("{url}/comments"),
        "events_url": format!("{url}/events"),
        "html_url": page,
        "id": issue.id,
        "node_id": issue.node_id(),
        "number": issue.number,
        "title": issue.title,
        "user": user(world, &issue.author),
        "labels": labels(world, repository, issue),
        "state": issue.state(),
        "locked": false,
        "assignee": assignees.first(),
        "assignees": assignees,
        "milestone": null,
        "comments": issue.comments.len(),
        "created_at": rfc3339(issue.created_at),
        "updated_at": rfc3339(issue.updated_at),
        "closed_at": issue.closed_at.map(rfc3339),
        "author_association": association(repository, &issue.author),
        "active_lock_reason": null,
        "body": issue.body,
        "closed_by": null,
        "reactions": reactions(&url),
        "timeline_url": format!("{url}/timeline"),
        "performed_via_github_app": null,
        "state_reason": issue.state_reason,
    });
    if let (true, Some(fields)) = (issue.is_pull_request, shown.as_object_mut()) {
        let pull = format!("{base}/pulls/{}", issue.number);
        fields.insert("draft".to_owned(), json!(false));
        fields.insert(
            "pull_request".to_owned(),
            json!({
                "url": pull,
                "html_url": page,
                "diff_url": format!("{page}.diff"),
                "patch_url": format!("{page}.patch"),
                "merged_at": null,
            }),
        );
    }
    shown
}

/// A comment.
pub(super) fn comment(world: &World, repository: &Repository, issue: &Issue, comment: &Comment) -> Value {
    let base = repository_url(world, repository);
    let url = format!("{base}/issues/comments/{}", comment.id);
    json!({
        "url": url,
        "html_url": format!("{}#issuecomment-{}", issue_page(world, repository, issue), comment.id),
        "issue_url": format!("{base}/issues/{}", issue.number),
        "id": comment.id,
        "node_id": comment.node_id(),
        "user": user(world, &comment.author),
        "created_at": rfc3339(comment.created_at),
        "updated_at": rfc3339(comment.updated_at),
        "author_association": association(repository, &comment.author),
        "body": comment.body,
        "reactions": reactions(&url),
        "performed_via_github_app": null,
    })
}

/// The body of a webhook delivery about an issue.
pub(super) fn payload(world: &World, place: &Repository, about: &Issue, action: &str, by: &str, extra: Value) -> Value {
    let mut payload = json!({
        "action": action,
        "issue": issue(world, place, about),
        "repository": repository(world, place),
        "sender": user(world, by),
    });
    if let (Some(fields), Value::Object(extra)) = (payload.as_object_mut(), extra) {
        fields.extend(extra);
    }
    payload
}

/// A text as one segment of a path.
pub(super) fn percent_encoded(text: &str) -> String {
    let keep = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    let show = |byte: u8| if keep(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") };
    text.bytes().map(show).collect()
}

fn association(repository: &Repository, login: &str) -> &'static str {
    if same(&repository.owner, login) { "OWNER" } else { "CONTRIBUTOR" }
}

fn reactions(url: &str) -> Value {
    json!({
        "url": format!("{url}/reactions"), "total_count": 0, "+1": 0, "-1": 0, "laugh": 0, "hooray": 0,
        "confused": 0, "heart": 0, "rocket": 0, "eyes": 0,
    })
}
