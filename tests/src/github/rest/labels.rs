//! Labels: of a repository, and of an issue.

use serde_json::Value;

use super::body::{self, Fields};
use super::{Answer, Call, Failure, Reply, issue};
use crate::github::edit::{Editor, LabelText};
use crate::github::render;
use crate::github::state::Label;

/// `GET /repos/{owner}/{repo}/labels`
pub(super) async fn list(call: Call) -> Answer {
    call.knows(&[]);
    let (id, items) = call.read(|world, repository| {
        let shown = repository.labels.iter().map(|label| render::label(world, repository, label));
        Ok((repository.id, shown.collect()))
    })?;
    call.page(id, items)
}

/// `POST /repos/{owner}/{repo}/labels`
pub(super) async fn create(call: Call) -> Answer {
    let fields = Fields::of(&call, &["name", "color", "description"])?;
    let missing = || Failure::invalid("Label", "name", "missing_field", "name is missing");
    let text = LabelText {
        name: Some(fields.text("name")?.ok_or_else(missing)?),
        color: fields.text("color")?,
        description: fields.nullable("description")?,
    };
    call.write(|editor, id| {
        let label = editor.create_label(id, text)?;
        Ok(Reply::created(shown(editor, id, label)?))
    })
}

/// `GET /repos/{owner}/{repo}/labels/{name}`
pub(super) async fn get(call: Call) -> Answer {
    call.read(|world, repository| {
        let label = repository.label(call.segment("name")).ok_or_else(Failure::not_found)?;
        Ok(Reply::ok(render::label(world, repository, label)))
    })
}

/// `PATCH /repos/{owner}/{repo}/labels/{name}`
pub(super) async fn update(call: Call) -> Answer {
    let fields = Fields::of(&call, &["new_name", "color", "description"])?;
    let text = LabelText {
        name: fields.text("new_name")?,
        color: fields.text("color")?,
        description: fields.nullable("description")?,
    };
    call.write(|editor, id| {
        let label = named(editor, id, call.segment("name"))?.id;
        editor.update_label(id, label, text)?;
        Ok(Reply::ok(shown(editor, id, label)?))
    })
}

/// `DELETE /repos/{owner}/{repo}/labels/{name}`
pub(super) async fn delete(call: Call) -> Answer {
    call.write(|editor, id| {
        let label = named(editor, id, call.segment("name"))?.id;
        editor.delete_label(id, label)?;
        Ok(Reply::nothing())
    })
}

/// `GET /repos/{owner}/{repo}/issues/{number}/labels`
pub(super) async fn list_of_issue(call: Call) -> Answer {
    call.knows(&[]);
    let number = call.number("number")?;
    let (id, items) = call.read(|world, repository| {
        let of = issue(world, repository, number)?;
        let shown = repository.labels_of(of).map(|label| render::label(world, repository, label));
        Ok((repository.id, shown.collect()))
    })?;
    call.page(id, items)
}

/// `POST /repos/{owner}/{repo}/issues/{number}/labels`
pub(super) async fn add(call: Call) -> Answer {
    let names = body::labels(&call)?;
    if names.is_empty() {
        return Err(Failure::shape("labels", "it has no items; at least 1 is needed"));
    }
    call.write_issue(|editor, id, number| {
        editor.add_labels(id, number, &names)?;
        of_issue(editor, id, number)
    })
}

/// `PUT /repos/{owner}/{repo}/issues/{number}/labels`
pub(super) async fn set(call: Call) -> Answer {
    let names = body::labels(&call)?;
    call.write_issue(|editor, id, number| {
        editor.set_labels(id, number, &names)?;
        of_issue(editor, id, number)
    })
}

/// `DELETE /repos/{owner}/{repo}/issues/{number}/labels/{name}`: 404 when it is not on.
pub(super) async fn remove(call: Call) -> Answer {
    call.write_issue(|editor, id, number| {
        let absent = || Failure::new(axum::http::StatusCode::NOT_FOUND, "Label does not exist");
        let label = named(editor, id, call.segment("name")).map_err(|_| absent())?.id;
        if !editor.remove_label(id, number, label)? {
            return Err(absent());
        }
        of_issue(editor, id, number)
    })
}

/// `DELETE /repos/{owner}/{repo}/issues/{number}/labels`
pub(super) async fn remove_all(call: Call) -> Answer {
    call.write_issue(|editor, id, number| {
        editor.set_labels(id, number, &[])?;
        Ok(Reply::nothing())
    })
}

fn named<'a>(editor: &'a Editor<'_>, repository: u64, name: &str) -> Result<&'a Label, Failure> {
    let repository = editor.world.repository_by_id(repository).ok_or_else(Failure::not_found)?;
    repository.label(name).ok_or_else(Failure::not_found)
}

fn shown(editor: &Editor<'_>, repository: u64, label: u64) -> Result<Value, Failure> {
    let repository = editor.world.repository_by_id(repository).ok_or_else(Failure::not_found)?;
    let label = repository.label_by_id(label).ok_or_else(Failure::not_found)?;
    Ok(render::label(editor.world, repository, label))
}

fn of_issue(editor: &Editor<'_>, repository: u64, number: u64) -> Answer {
    let repository = editor.world.repository_by_id(repository).ok_or_else(Failure::not_found)?;
    Ok(Reply::ok(render::labels(editor.world, repository, issue(editor.world, repository, number)?)))
}
