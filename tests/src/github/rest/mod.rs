//! The REST API: which paths there are, and what all of them have in common.

mod body;
mod comments;
mod issues;
mod labels;
mod page;
mod who;

use axum::Router;
use axum::body::{Bytes, to_bytes};
use axum::extract::{FromRequest, FromRequestParts as _, Path, Request};
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde_json::Value;

use super::auth::{Caller, Token};
use super::edit::Editor;
use super::failure::{Failure, json};
use super::gate::{Session, nowhere, root};
use super::render;
use super::state::{Departed, Issue, Repository, Standing, World};

/// Every path and method that there is.
pub(super) fn routes() -> Router {
    let repository = Router::new()
        .route("/", get(who::repository))
        .route("/installation", get(who::installation))
        .route("/issues", get(issues::list).post(issues::create))
        .route("/issues/comments", get(comments::list_all))
        // POST does what PATCH does, for clients that cannot send that; octocrab relies on it.
        .route(
            "/issues/comments/{id}",
            get(comments::get).patch(comments::update).post(comments::update).delete(comments::delete),
        )
        .route("/issues/{number}", get(issues::get).patch(issues::update))
        .route("/issues/{number}/comments", get(comments::list).post(comments::create))
        .route(
            "/issues/{number}/labels",
            get(labels::list_of_issue).post(labels::add).put(labels::set).delete(labels::remove_all),
        )
        .route("/issues/{number}/labels/{name}", axum::routing::delete(labels::remove))
        .route("/labels", get(labels::list).post(labels::create))
        .route("/labels/{name}", get(labels::get).patch(labels::update).delete(labels::delete));
    Router::new()
        .route("/", get(root))
        .route("/user", get(who::user))
        .route("/rate_limit", get(who::rate_limit))
        .route("/app", get(who::app))
        .route("/app/installations", get(who::installations))
        .route("/app/installations/{id}", get(who::installation_by_id))
        .route("/app/installations/{id}/access_tokens", post(who::access_token))
        .route("/graphql", post(super::graphql::answer))
        .nest("/repos/{owner}/{repo}", repository)
        .fallback(nowhere)
        .method_not_allowed_fallback(nowhere)
}

/// What a handler answers.
type Answer = Result<Reply, Failure>;

/// An answer that is no refusal.
#[derive(Debug)]
pub(super) struct Reply {
    status: StatusCode,
    body: Option<Value>,
    link: Option<String>,
}

impl Reply {
    fn ok(body: Value) -> Self {
        Self { status: StatusCode::OK, body: Some(body), link: None }
    }

    fn created(body: Value) -> Self {
        Self { status: StatusCode::CREATED, ..Self::ok(body) }
    }

    fn nothing() -> Self {
        Self { status: StatusCode::NO_CONTENT, body: None, link: None }
    }
}

impl IntoResponse for Reply {
    fn into_response(self) -> Response {
        let mut response = self.body.as_ref().map_or_else(Response::default, json);
        *response.status_mut() = self.status;
        if let Some(link) = self.link {
            response.headers_mut().insert("link", link.parse().expect("a link is plain"));
        }
        response
    }
}

/// A request as handlers see it.
#[derive(Debug)]
pub(super) struct Call {
    session: Session,
    method: Method,
    /// The path after the repository: `/issues/1`, or a slash alone.
    path: String,
    segments: Vec<(String, String)>,
    query: Vec<(String, String)>,
    body: Bytes,
}

impl<S: Send + Sync> FromRequest<S> for Call {
    type Rejection = Response;

    async fn from_request(request: Request, state: &S) -> Result<Self, Response> {
        let (mut parts, body) = request.into_parts();
        let bad = |_| Failure::malformed(StatusCode::BAD_REQUEST, "The path is not UTF-8").into_response();
        let segments = Path::<Vec<(String, String)>>::from_request_parts(&mut parts, state).await;
        let Path(segments) = segments.map_err(bad)?;
        let session = parts.extensions.remove::<Session>().expect("the gate knows the session");
        let query = page::parameters(parts.uri.query().unwrap_or_default());
        let body = to_bytes(body, usize::MAX).await.unwrap_or_default();
        Ok(Self { session, method: parts.method, path: parts.uri.path().to_owned(), segments, query, body })
    }
}

impl Call {
    /// A segment of the path, decoded.
    fn segment(&self, name: &str) -> &str {
        let found = self.segments.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.as_str()).unwrap_or_default()
    }

    /// A segment of the path that is a number; anything else is nowhere.
    fn number(&self, name: &str) -> Result<u64, Failure> {
        let wrong = |_| Failure::malformed(StatusCode::NOT_FOUND, "Not Found");
        self.segment(name).parse().map_err(wrong)
    }

    /// A parameter of the query.
    fn parameter(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The token that the request bears; an App's own is for App's paths only.
    fn token(&self) -> Result<&Token, Failure> {
        match &self.session.caller {
            Caller::Token(token) => Ok(token),
            Caller::App => Err(Failure::unauthorized("Requires authentication")),
        }
    }

    /// Looks at the repository that the path names.
    fn read<T>(&self, look: impl FnOnce(&World, &Repository) -> Result<T, Failure>) -> Result<T, Failure> {
        let token = self.token()?;
        let world = self.session.hub.world();
        let repository = self.find(&world, token)?;
        look(&world, repository)
    }

    /// Changes the repository that the path names.
    fn write<T>(&self, act: impl FnOnce(&mut Editor<'_>, u64) -> Result<T, Failure>) -> Result<T, Failure> {
        let token = self.token()?;
        self.session.hub.change(&token.login, Some(&self.session.request), |editor| {
            let repository = self.find(editor.world, token)?;
            if repository.standing == Standing::Archived {
                return Err(Failure::forbidden("Repository was archived so is read-only."));
            }
            if !token.can_write {
                return Err(Failure::forbidden("Resource not accessible by personal access token"));
            }
            let id = repository.id;
            act(editor, id)
        })
    }

    /// Changes an issue that the path names.
    fn write_issue<T>(&self, act: impl FnOnce(&mut Editor<'_>, u64, u64) -> Result<T, Failure>) -> Result<T, Failure> {
        let number = self.number("number")?;
        self.write(|editor, id| {
            let repository = editor.world.repository_by_id(id).ok_or_else(Failure::not_found)?;
            issue(editor.world, repository, number)?;
            act(editor, id, number)
        })
    }

    fn find<'a>(&self, world: &'a World, token: &Token) -> Result<&'a Repository, Failure> {
        let (owner, name) = (self.segment("owner"), self.segment("repo"));
        let Some(repository) = world.repository(owner, name) else {
            let renamed = world.formerly(owner, name).ok_or_else(Failure::not_found)?;
            return Err(self.moved(&format!(
                "{}/repositories/{}{}",
                world.api,
                renamed.id,
                self.path.trim_end_matches('/')
            )));
        };
        match repository.standing {
            _ if !token.sees(&repository.full_name()) => Err(Failure::not_found()),
            Standing::Gone => Err(Failure::not_found()),
            Standing::Blocked => Err(Failure::of_status(451)),
            Standing::WithoutIssues if self.path.starts_with("/issues") => {
                Err(Failure::new(StatusCode::GONE, "Issues are disabled for this repo"))
            }
            Standing::WithoutIssues | Standing::Archived | Standing::Active => Ok(repository),
        }
    }

    /// It is elsewhere: 301, or 307 for what must not become a GET on the way.
    fn moved(&self, to: &str) -> Failure {
        let is_read = matches!(self.method, Method::GET | Method::HEAD);
        let status = if is_read { StatusCode::MOVED_PERMANENTLY } else { StatusCode::TEMPORARY_REDIRECT };
        Failure::new(status, "Moved Permanently").with_header("location", to)
    }
}

/// The issue with that number, or what became of it.
fn issue<'a>(world: &World, repository: &'a Repository, number: u64) -> Result<&'a Issue, Failure> {
    if let Some(issue) = repository.issues.get(&number) {
        return Ok(issue);
    }
    Err(match repository.departed.get(&number) {
        Some(Departed::Deleted) => Failure::new(StatusCode::GONE, "This issue was deleted"),
        Some(Departed::Transferred { repository: id, number }) => {
            let target = world.repository_by_id(*id).ok_or_else(Failure::not_found)?;
            let location = format!("{}/issues/{number}", render::repository_url(world, target));
            Failure::new(StatusCode::MOVED_PERMANENTLY, "Moved Permanently").with_header("location", location)
        }
        None => Failure::not_found(),
    })
}
