//! The GraphQL API: the part of GitHub's public schema that deals with labels, issues and comments, under its own names.
//!
//! The library validates documents against the schema and runs them; here is what is GitHub's own: how a request is read,
//! and how errors are shaped. A field that fails is null, its siblings are answered, and the status is 200.

mod connection;
mod mutation;
mod nodes;
mod query;
mod repository;
mod values;

use std::sync::LazyLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_graphql::parser::parse_query;
use async_graphql::parser::types::{OperationType, Selection};
use async_graphql::{Context, EmptySubscription, PathSegment, Result, Schema, ServerError, Variables};
use axum::Extension;
use axum::body::Bytes;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use serde_json::{Value, json};

use super::auth::{Caller, Token};
use super::edit::Refused;
use super::failure::{Failure, Malformed, json as shown};
use super::faults::GraphqlKind;
use super::gate::Session;
use super::state::{Repository, Standing, World};

/// What a nullable field resolves to: an error makes it null, and its siblings are answered.
type Nullable<T> = Option<Result<T>>;

static SCHEMA: LazyLock<Schema<query::Query, mutation::Mutation, EmptySubscription>> =
    LazyLock::new(|| Schema::new(query::Query, mutation::Mutation, EmptySubscription));

/// The schema in its own language, to compare with GitHub's.
pub fn sdl() -> String {
    SCHEMA.sdl()
}

/// What a request is, as far as it counts.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Shape {
    pub(super) is_mutation: bool,
    /// Whether it makes something that people are told of.
    pub(super) creates: bool,
    /// Fields at its top.
    pub(super) fields: usize,
}

/// Looks at a request before it is run. What cannot be read is nothing.
pub(super) fn shape(body: &[u8]) -> Shape {
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    let Some(document) = body.get("query").and_then(Value::as_str).and_then(|query| parse_query(query).ok()) else {
        return Shape::default();
    };
    let wanted = body.get("operationName").and_then(Value::as_str);
    let is_wanted = |name: Option<&str>| wanted.is_none() || wanted == name;
    let Some((_, operation)) = document.operations.iter().find(|(name, _)| is_wanted(name.map(|name| name.as_str())))
    else {
        return Shape::default();
    };
    let items = &operation.node.selection_set.node.items;
    let is = |item: &Selection, name: &str| matches!(item, Selection::Field(field) if field.node.name.node == name);
    Shape {
        is_mutation: operation.node.ty == OperationType::Mutation,
        creates: items.iter().any(|item| is(&item.node, "addComment")),
        fields: items.len(),
    }
}

/// A refusal of the whole operation, with HTTP 200.
pub(super) fn refusal(kind: GraphqlKind, message: &str) -> Response {
    let mut error = json!({ "message": message });
    if let (Some(word), Some(fields)) = (kind.word(), error.as_object_mut()) {
        fields.insert("type".to_owned(), json!(word));
    }
    shown(&json!({ "errors": [error] }))
}

/// How many fields at the top were begun.
#[derive(Debug, Default)]
struct Begun(AtomicUsize);

/// `POST /graphql`
pub(super) async fn answer(Extension(session): Extension<Session>, body: Bytes) -> Response {
    if matches!(session.caller, Caller::App) {
        return Failure::unauthorized("Requires authentication").into_response();
    }
    let request = match read(&body) {
        Ok(request) => request,
        Err(failure) => return failure.into_response(),
    };
    let response = SCHEMA.execute(request.data(session).data(Begun::default())).await;
    // Errors without a path are of the document: nothing was run.
    let invalid = response.errors.iter().find(|error| error.path.is_empty()).map(|error| error.message.clone());
    let errors: Vec<Value> = response.errors.iter().map(error).collect();
    let body = match (&invalid, errors.is_empty()) {
        (Some(_), _) => json!({ "errors": errors }),
        (None, true) => json!({ "data": response.data }),
        (None, false) => json!({ "data": response.data, "errors": errors }),
    };
    let mut answer = shown(&body);
    if let Some(why) = invalid {
        answer.extensions_mut().insert(Malformed(why));
    }
    answer
}

fn read(body: &[u8]) -> std::result::Result<async_graphql::Request, Failure> {
    let bad = |message: &str| Failure::malformed(StatusCode::BAD_REQUEST, message);
    let body: Value = serde_json::from_slice(body).map_err(|_| bad("Problems parsing JSON"))?;
    let fields = body.as_object().ok_or_else(|| bad("Body should be a JSON object"))?;
    let query = fields.get("query").and_then(Value::as_str);
    let query = query.ok_or_else(|| bad("A query attribute must be specified and must be a string."))?;
    if let Some(key) = fields.keys().find(|key| !["query", "variables", "operationName"].contains(&key.as_str())) {
        return Err(bad(&format!("{key:?} is no part of a GraphQL request")));
    }
    let mut request = async_graphql::Request::new(query);
    match fields.get("variables") {
        None | Some(Value::Null) => {}
        Some(variables @ Value::Object(_)) => request = request.variables(Variables::from_json(variables.clone())),
        Some(_) => return Err(bad("Variables must be a JSON object")),
    }
    if let Some(name) = fields.get("operationName").and_then(Value::as_str) {
        request = request.operation_name(name);
    }
    Ok(request)
}

fn error(error: &ServerError) -> Value {
    let path: Vec<Value> = error
        .path
        .iter()
        .map(|segment| match segment {
            PathSegment::Field(name) => json!(name),
            PathSegment::Index(index) => json!(index),
        })
        .collect();
    let locations: Vec<Value> =
        error.locations.iter().map(|place| json!({ "line": place.line, "column": place.column })).collect();
    let mut shown = json!({ "locations": locations, "message": error.message });
    if let Some(fields) = shown.as_object_mut() {
        if !path.is_empty() {
            fields.insert("path".to_owned(), json!(path));
        }
        if let Some(kind) = error.extensions.as_ref().and_then(|extensions| extensions.get("type")) {
            fields.insert("type".to_owned(), kind.clone().into_json().unwrap_or_default());
        }
    }
    shown
}

/// An error with GitHub's word for its type.
fn failed(kind: &str, message: impl Into<String>) -> async_graphql::Error {
    let mut error = async_graphql::Error::new(message);
    error.extensions.get_or_insert_default().set("type", kind);
    error
}

fn unresolved(node: &str) -> async_graphql::Error {
    failed("NOT_FOUND", format!("Could not resolve to a node with the global id of '{node}'."))
}

fn refused(refused: Refused) -> async_graphql::Error {
    match refused {
        Refused::Missing => failed("NOT_FOUND", "It is not there"),
        Refused::Invalid(_, _, _, message) => failed("UNPROCESSABLE", message),
    }
}

/// Begins a field at the top, unless it is the one that a test wants to fail.
fn begin<'a>(ctx: &'a Context<'_>) -> Result<&'a Session> {
    let session = ctx.data::<Session>()?;
    let index = ctx.data::<Begun>()?.0.fetch_add(1, Ordering::Relaxed);
    match session.poisoned {
        Some((poisoned, kind)) if poisoned == index => Err(match kind.word() {
            Some(word) => failed(word, kind.sentence()),
            None => async_graphql::Error::new(kind.sentence()),
        }),
        _ => Ok(session),
    }
}

fn token(session: &Session) -> Result<&Token> {
    match &session.caller {
        Caller::Token(token) => Ok(token),
        Caller::App => Err(failed("FORBIDDEN", "Resource not accessible by integration")),
    }
}

/// Whether who asks sees a repository.
fn is_seen(session: &Session, repository: &Repository) -> bool {
    let is_there = !matches!(repository.standing, Standing::Gone | Standing::Blocked);
    is_there && token(session).is_ok_and(|token| token.sees(&repository.full_name()))
}

/// Whether who asks may change a repository.
fn may_change(session: &Session, world: &World, repository: u64, node: &str) -> Result<()> {
    let found = world.repository_by_id(repository).filter(|repository| is_seen(session, repository));
    let repository = found.ok_or_else(|| unresolved(node))?;
    if repository.standing == Standing::Archived {
        return Err(failed("FORBIDDEN", "Repository was archived so is read-only."));
    }
    if repository.standing == Standing::WithoutIssues {
        return Err(failed("UNPROCESSABLE", "Issues are disabled for this repository."));
    }
    if !token(session)?.can_write {
        return Err(failed("FORBIDDEN", "Resource not accessible by personal access token"));
    }
    Ok(())
}
