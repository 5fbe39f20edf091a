//! Comments on issues.

use std::cmp::Reverse;

use serde_json::Value;

use super::body::Fields;
use super::{Answer, Call, Failure, Reply, issue};
use crate::github::edit::Editor;
use crate::github::render;

/// `GET /repos/{owner}/{repo}/issues/comments`
pub(super) async fn list_all(call: Call) -> Answer {
    call.knows(&["since", "sort", "direction"]);
    let by_update = call.word("sort", &["created", "updated"])? == "updated";
    let is_ascending = call.word("direction", &["asc", "desc"])? == "asc";
    let since = call.since()?;
    let (id, items) = call.read(|world, repository| {
        let all =
            repository.issues.values().flat_map(|issue| issue.comments.iter().map(move |comment| (issue, comment)));
        let mut found: Vec<_> =
            all.filter(|(_, comment)| since.is_none_or(|since| comment.updated_at >= since)).collect();
        found.sort_by_key(|(_, comment)| (if by_update { comment.updated_at } else { comment.created_at }, comment.id));
        if !is_ascending {
            found.sort_by_key(|(_, comment)| {
                Reverse((if by_update { comment.updated_at } else { comment.created_at }, comment.id))
            });
        }
        let shown = found.into_iter().map(|(issue, comment)| render::comment(world, repository, issue, comment));
        Ok((repository.id, shown.collect()))
    })?;
    call.page(id, items)
}

/// `GET /repos/{owner}/{repo}/issues/{number}/comments`
pub(super) async fn list(call: Call) -> Answer {
    call.knows(&["since"]);
    let (number, since) = (call.number("number")?, call.since()?);
    let (id, items) = call.read(|world, repository| {
        let of = issue(world, repository, number)?;
        let found = of.comments.iter().filter(|comment| since.is_none_or(|since| comment.updated_at >= since));
        let shown = found.map(|comment| render::comment(world, repository, of, comment));
        Ok((repository.id, shown.collect()))
    })?;
    call.page(id, items)
}

/// `POST /repos/{owner}/{repo}/issues/{number}/comments`
pub(super) async fn create(call: Call) -> Answer {
    let body = text(&call)?;
    call.write_issue(|editor, id, number| {
        let comment = editor.comment(id, number, &body)?;
        Ok(Reply::created(shown(editor, id, comment)?))
    })
}

/// `GET /repos/{owner}/{repo}/issues/comments/{id}`
pub(super) async fn get(call: Call) -> Answer {
    let id = call.number("id")?;
    call.read(|world, repository| {
        let (issue, comment) = repository.comment(id).ok_or_else(Failure::not_found)?;
        Ok(Reply::ok(render::comment(world, repository, issue, comment)))
    })
}

/// `PATCH /repos/{owner}/{repo}/issues/comments/{id}`
pub(super) async fn update(call: Call) -> Answer {
    let (comment, body) = (call.number("id")?, text(&call)?);
    call.write(|editor, id| {
        editor.edit_comment(id, comment, &body)?;
        Ok(Reply::ok(shown(editor, id, comment)?))
    })
}

/// `DELETE /repos/{owner}/{repo}/issues/comments/{id}`
pub(super) async fn delete(call: Call) -> Answer {
    let comment = call.number("id")?;
    call.write(|editor, id| {
        editor.delete_comment(id, comment)?;
        Ok(Reply::nothing())
    })
}

fn text(call: &Call) -> Result<String, Failure> {
    let missing = || Failure::invalid("IssueComment", "body", "missing_field", "body is missing");
    Fields::of(call, &["body"])?.text("body")?.ok_or_else(missing)
}

fn shown(editor: &Editor<'_>, repository: u64, comment: u64) -> Result<Value, Failure> {
    let repository = editor.world.repository_by_id(repository).ok_or_else(Failure::not_found)?;
    let (issue, comment) = repository.comment(comment).ok_or_else(Failure::not_found)?;
    Ok(render::comment(editor.world, repository, issue, comment))
}
