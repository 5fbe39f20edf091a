//! Issues.

use std::cmp::Reverse;

use serde_json::Value;

use super::body::Fields;
use super::{Answer, Call, Failure, Reply, issue};
use crate::github::edit::IssueText;
use crate::github::render;
use crate::github::state::{Issue, Repository, same};

const STATE_REASONS: [&str; 4] = ["completed", "not_planned", "duplicate", "reopened"];

/// `GET /repos/{owner}/{repo}/issues`
pub(super) async fn list(call: Call) -> Answer {
    let parameters = ["state", "labels", "since", "sort", "direction", "assignee", "creator", "mentioned", "milestone"];
    call.knows(&parameters);
    let state = call.word("state", &["open", "closed", "all"])?;
    let sort = call.word("sort", &["created", "updated", "comments"])?;
    let is_ascending = call.word("direction", &["desc", "asc"])? == "asc";
    let since = call.since()?;
    let (id, items) = call.read(|world, repository| {
        let mut found: Vec<&Issue> = repository
            .issues
            .values()
            .filter(|issue| state == "all" || state == issue.state())
            .filter(|issue| since.is_none_or(|since| issue.updated_at >= since))
            .filter(|issue| is_wanted(&call, repository, issue))
            .collect();
        let by = |issue: &&Issue| match sort {
            "updated" => (seconds(issue.updated_at), issue.number),
            "comments" => (issue.comments.len() as u64, issue.number),
            _ => (seconds(issue.created_at), issue.number),
        };
        if is_ascending {
            found.sort_by_key(by);
        } else {
            found.sort_by_key(|issue| Reverse(by(issue)));
        }
        let shown: Vec<Value> = found.into_iter().map(|issue| render::issue(world, repository, issue)).collect();
        Ok((repository.id, shown))
    })?;
    call.page(id, items)
}

fn seconds(at: std::time::SystemTime) -> u64 {
    crate::github::clock::seconds(at)
}

/// Whether an issue has all the labels, the author and the assignee that are asked for.
fn is_wanted(call: &Call, repository: &Repository, issue: &Issue) -> bool {
    let has = |wanted: &str| repository.labels_of(issue).any(|label| same(&label.name, wanted));
    let labels = call.parameter("labels").unwrap_or_default();
    let is_labelled = labels.split(',').map(str::trim).filter(|label| !label.is_empty()).all(has);
    let is_by = call.parameter("creator").is_none_or(|login| same(login, &issue.author));
    let is_for = match call.parameter("assignee") {
        None => true,
        Some("*") => !issue.assignees.is_empty(),
        Some("none") => issue.assignees.is_empty(),
        Some(login) => issue.assignees.iter().any(|assignee| same(assignee, login)),
    };
    is_labelled && is_by && is_for
}

/// `POST /repos/{owner}/{repo}/issues`
pub(super) async fn create(call: Call) -> Answer {
    let fields = Fields::of(&call, &["title", "body", "labels", "assignees"])?;
    let title = fields.text("title")?.filter(|title| !title.trim().is_empty());
    let title = title.ok_or_else(|| Failure::invalid("Issue", "title", "missing_field", "title is missing"))?;
    let body = fields.nullable("body")?.flatten();
    let (labels, assignees) = (fields.names("labels")?.unwrap_or_default(), fields.names("assignees")?);
    call.write(|editor, id| {
        let number = editor.open(id, &title, body.as_deref(), false)?;
        editor.add_labels(id, number, &labels)?;
        editor.update(id, number, IssueText { assignees, ..IssueText::default() })?;
        let repository = editor.world.repository_by_id(id).ok_or_else(Failure::not_found)?;
        let made = issue(editor.world, repository, number)?;
        Ok(Reply::created(render::issue(editor.world, repository, made)))
    })
}

/// `GET /repos/{owner}/{repo}/issues/{number}`
pub(super) async fn get(call: Call) -> Answer {
    call.knows(&[]);
    let number = call.number("number")?;
    call.read(|world, repository| Ok(Reply::ok(render::issue(world, repository, issue(world, repository, number)?))))
}

/// `PATCH /repos/{owner}/{repo}/issues/{number}`
pub(super) async fn update(call: Call) -> Answer {
    let known = ["title", "body", "state", "state_reason", "labels", "assignees"];
    let fields = Fields::of(&call, &known)?;
    let to = IssueText {
        title: fields.text("title")?,
        body: fields.nullable("body")?,
        is_open: fields.word("state", &["open", "closed"])?.map(|state| state == "open"),
        state_reason: fields.word("state_reason", &STATE_REASONS)?,
        labels: fields.names("labels")?,
        assignees: fields.names("assignees")?,
    };
    call.write_issue(|editor, id, number| {
        editor.update(id, number, to)?;
        let repository = editor.world.repository_by_id(id).ok_or_else(Failure::not_found)?;
        Ok(Reply::ok(render::issue(editor.world, repository, issue(editor.world, repository, number)?)))
    })
}
