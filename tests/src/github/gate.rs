//! Through here goes every request: it is noted, struck by a fault perhaps, checked, counted and only then answered; and every
//! answer gets the headers that GitHub's have.

use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse as _, Response};
use ring::digest;
use serde_json::Value;
use tower::ServiceExt as _;

use super::auth::Caller;
use super::failure::{Failure, Malformed, json};
use super::faults::{Fault, GraphqlKind};
use super::hub::Hub;
use super::limits::{Cost, Over, Refusal, Resource};
use super::log::{self, Violation};
use super::{clock, graphql, mishap};

/// The largest body that is read, in bytes.
const BODY_LIMIT: usize = 1 << 20;

/// The versions of the API that can be asked for.
const VERSIONS: [&str; 2] = ["2022-11-28", "2026-03-10"];

/// What all requests meet.
#[derive(Debug, Clone)]
pub(super) struct Gate {
    pub(super) hub: Arc<Hub>,
    pub(super) routes: Router,
}

/// What a handler knows of its request beside what stands in it.
#[derive(Debug, Clone)]
pub(super) struct Session {
    pub(super) hub: Arc<Hub>,
    pub(super) request: String,
    pub(super) caller: Caller,
    /// The field of the GraphQL operation that is to fail, and how.
    pub(super) poisoned: Option<(usize, GraphqlKind)>,
}

/// A request, read and taken apart.
struct Incoming {
    id: String,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
    cost: Cost,
}

impl Incoming {
    fn is_graphql(&self) -> bool {
        self.cost.resource == Resource::Graphql
    }
}

/// Whoever was admitted leaves once he has his answer, or has hung up.
#[derive(Debug)]
struct Admitted {
    hub: Arc<Hub>,
    key: String,
}

impl Drop for Admitted {
    fn drop(&mut self) {
        self.hub.meters().leave(&self.key);
    }
}

/// Answers a request.
pub(super) async fn pass(State(gate): State<Gate>, request: Request) -> Response {
    let (hub, start) = (Arc::clone(&gate.hub), Instant::now());
    let incoming = match read(&hub, request).await {
        Ok(incoming) => incoming,
        Err(failure) => return failure.into_response(),
    };
    let fault = hub.faults().befalls(incoming.method.as_str(), incoming.uri.path());
    hub.log.learn(&incoming.id, |request| request.fault = fault.as_ref().map(|fault| format!("{fault:?}")));
    let mut response = match mishap::before(fault.as_ref()).await {
        mishap::Course::Goes => answer(&gate, &incoming, fault.as_ref()).await,
        mishap::Course::Ends(response) => response,
    };
    let id = HeaderValue::from_str(&incoming.id).expect("request ids are plain");
    response.headers_mut().insert("x-github-request-id", id);
    if let Some(Malformed(why)) = response.extensions_mut().remove() {
        hub.log.breach(&incoming.id, Violation::Malformed(why));
    }
    let response = mishap::after(fault.as_ref(), response).await;
    hub.log.learn(&incoming.id, |request| {
        request.status = Some(response.status().as_u16());
        request.took = start.elapsed();
    });
    response
}

/// Reads a request and notes that it has arrived.
async fn read(hub: &Hub, request: Request) -> Result<Incoming, Failure> {
    let (at, id) = (hub.clock.now(), hub.request_id());
    let (parts, body) = request.into_parts();
    let too_large = |_| Failure::malformed(StatusCode::PAYLOAD_TOO_LARGE, "Request body is too large");
    let body = to_bytes(body, BODY_LIMIT).await.map_err(too_large)?;
    let path_and_query = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    let is_graphql = parts.uri.path() == hub.graphql_path;
    let path = match path_and_query.strip_prefix(hub.rest_base) {
        _ if is_graphql => "/graphql",
        Some(path) if path.starts_with('/') => path,
        _ => "/not-under-the-base-path",
    };
    let uri: Uri = path.parse().expect("a path of a request is one");
    let shape = if is_graphql { graphql::shape(&body) } else { graphql::Shape::default() };
    let is_write = if is_graphql { shape.is_mutation } else { !matches!(parts.method, Method::GET | Method::HEAD) };
    let creates =
        parts.method == Method::POST && (uri.path().ends_with("/comments") || uri.path().ends_with("/labels"));
    // Labels are put on issues at the same kind of path, which makes nothing that people are told of.
    let creates = creates && !(uri.path().contains("/issues/") && uri.path().ends_with("/labels"));
    let cost = Cost {
        resource: if is_graphql { Resource::Graphql } else { Resource::Core },
        points: if is_write { 5 } else { 1 },
        is_write,
        creates: creates || shape.creates,
        is_free: uri.path() == "/rate_limit" || uri.path().starts_with("/app/") || uri.path() == "/app",
    };
    hub.log.arrived(log::Request {
        id: id.clone(),
        at,
        method: parts.method.to_string(),
        path: path.to_owned(),
        by: None,
        is_write,
        points: cost.points,
        fields: shape.fields,
        body: String::from_utf8_lossy(&body).into_owned(),
        status: None,
        fault: None,
        took: std::time::Duration::ZERO,
    });
    Ok(Incoming { id, method: parts.method, uri, headers: parts.headers, body, cost })
}

/// The answer to a request that got this far, with the headers that all have.
async fn answer(gate: &Gate, incoming: &Incoming, fault: Option<&Fault>) -> Response {
    let hub = &gate.hub;
    if let Err(failure) = check(&incoming.headers, &incoming.body) {
        return failure.into_response();
    }
    let caller = match hub.keys().caller(&incoming.headers, hub.clock.now()) {
        Ok(caller) => caller,
        Err(failure) => return failure.into_response(),
    };
    if let Caller::Token(token) = &caller {
        hub.log.learn(&incoming.id, |request| request.by = Some(token.login.clone()));
    }
    let (key, resource) = (caller.key(), incoming.cost.resource);
    let mut response = counted(gate, incoming, &caller, fault).await;
    if let Caller::Token(token) = &caller {
        let now = hub.clock.now();
        for (name, value) in hub.meters().announce(key, resource, now) {
            // A refusal may have set its own.
            response.headers_mut().entry(name).or_insert(plain(&value));
        }
        if let Some(scopes) = &token.scopes {
            response.headers_mut().insert("x-oauth-scopes", plain(&scopes.join(", ")));
            response.headers_mut().insert("x-accepted-oauth-scopes", plain(""));
        }
    }
    let headers = response.headers_mut();
    // The router's; GitHub does not say which methods there are.
    headers.remove(header::ALLOW);
    headers.insert("x-github-media-type", plain("github.v3; format=json"));
    headers.insert("cache-control", plain("private, max-age=60, s-maxage=60"));
    headers.insert("vary", plain("Accept, Authorization, Cookie, X-GitHub-OTP"));
    let version = incoming.headers.get("x-github-api-version").cloned().unwrap_or_else(|| plain(VERSIONS[0]));
    headers.insert("x-github-api-version-selected", version);
    response
}

/// The answer, unless that is beyond a limit.
async fn counted(gate: &Gate, incoming: &Incoming, caller: &Caller, fault: Option<&Fault>) -> Response {
    let (hub, key, cost) = (&gate.hub, caller.key(), incoming.cost);
    if matches!(caller, Caller::App) {
        return routed(gate, incoming, caller, None).await;
    }
    let now = hub.clock.now();
    for violation in hub.meters().judge(key, cost, now) {
        hub.log.breach(&incoming.id, violation);
    }
    match fault {
        Some(Fault::Exhausted) => hub.meters().exhaust(key, cost.resource, now),
        Some(Fault::RetryAfter(status, wait)) => {
            hub.meters().tell(key, std::time::Duration::from_secs(*wait), now);
            return Failure::of_status(*status).with_header("retry-after", wait).into_response();
        }
        _ => {}
    }
    // Apart, so that the meters are not locked any more when the refusal asks them.
    let admitted = hub.meters().admit(key, cost, now);
    if let Err(over) = admitted {
        return refuse(hub, incoming, key, over);
    }
    let leaves = Arc::new(Admitted { hub: Arc::clone(hub), key: key.to_owned() });
    let poisoned = match fault {
        Some(Fault::GraphqlField(field, kind)) => Some((*field, *kind)),
        Some(Fault::Graphql(kind)) if incoming.is_graphql() => return graphql::refusal(*kind, kind.sentence()),
        _ => None,
    };
    let mut response = routed(gate, incoming, caller, poisoned).await;
    // An answer that is late counts until it is given.
    response.extensions_mut().insert(leaves);
    if incoming.method != Method::GET || response.status() != StatusCode::OK || cost.is_free {
        return response;
    }
    let response = tagged(response, &incoming.headers, key, fault == Some(&Fault::StaleEtag)).await;
    if response.status() == StatusCode::NOT_MODIFIED {
        hub.meters().refund(key, cost.resource);
    }
    response
}

async fn routed(gate: &Gate, incoming: &Incoming, caller: &Caller, poisoned: Option<(usize, GraphqlKind)>) -> Response {
    let session =
        Session { hub: Arc::clone(&gate.hub), request: incoming.id.clone(), caller: caller.clone(), poisoned };
    let uri = canonical(&gate.hub, &incoming.uri);
    let mut request = Request::new(Body::from(incoming.body.clone()));
    (*request.method_mut(), *request.uri_mut()) = (incoming.method.clone(), uri);
    request.extensions_mut().insert(session);
    let Ok(response) = gate.routes.clone().oneshot(request).await;
    response
}

/// `/repositories/ID/…` is the same as `/repos/OWNER/NAME/…`.
fn canonical(hub: &Hub, uri: &Uri) -> Uri {
    let rewritten = uri.path_and_query().and_then(|path| {
        let rest = path.as_str().strip_prefix("/repositories/")?;
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (id, rest) = rest.split_at_checked(end)?;
        let world = hub.world();
        let repository = world.repository_by_id(id.parse().ok()?)?;
        format!("/repos/{}{rest}", repository.full_name()).parse().ok()
    });
    rewritten.unwrap_or_else(|| uri.clone())
}

/// Whether the headers are such as GitHub takes.
fn check(headers: &HeaderMap, body: &Bytes) -> Result<(), Failure> {
    let text = |name: HeaderName| headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
    if text(header::USER_AGENT).is_none_or(|agent| agent.is_empty()) {
        let message =
            "Request forbidden by administrative rules. Please make sure your request has a User-Agent header";
        return Err(Failure::malformed(StatusCode::FORBIDDEN, message));
    }
    let accept = text(header::ACCEPT).unwrap_or_else(|| "*/*".to_owned());
    if !accept.split(',').any(|kind| is_json(kind, true)) {
        let message = format!("Unsupported 'Accept' header: '{accept}'. Must accept 'application/json'.");
        return Err(Failure::malformed(StatusCode::UNSUPPORTED_MEDIA_TYPE, message));
    }
    let version = text(HeaderName::from_static("x-github-api-version"));
    if let Some(version) = version.filter(|version| !VERSIONS.contains(&version.as_str())) {
        let message = format!("The version {version:?} of the API is not supported");
        return Err(Failure::malformed(StatusCode::BAD_REQUEST, message));
    }
    let kind = text(header::CONTENT_TYPE).unwrap_or_default();
    if !body.is_empty() && !is_json(&kind, false) {
        let message = format!("Unsupported 'Content-Type' header: '{kind}'. Must be 'application/json'.");
        return Err(Failure::malformed(StatusCode::UNSUPPORTED_MEDIA_TYPE, message));
    }
    Ok(())
}

fn is_json(kind: &str, or_anything: bool) -> bool {
    let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let own = kind.strip_prefix("application/vnd.github").and_then(|rest| rest.strip_suffix("+json"));
    let own = own.map(|rest| rest.strip_prefix(".v3").unwrap_or(rest));
    let is_own = own.is_some_and(|format| matches!(format, "" | ".raw" | ".text" | ".html" | ".full"));
    is_own || kind == "application/json" || (or_anything && matches!(kind.as_str(), "*/*" | "application/*"))
}

/// What who is beyond a limit is told.
fn refuse(hub: &Hub, incoming: &Incoming, key: &str, over: Over) -> Response {
    let id = &incoming.id;
    match over {
        Over::Primary => {
            let message = format!("API rate limit exceeded for user ID 1. (request ID {id})");
            if incoming.is_graphql() {
                return graphql::refusal(GraphqlKind::RateLimited, &message);
            }
            Failure::forbidden(&message).into_response()
        }
        Over::Secondary(wait) => {
            let refusal = hub.meters().limits.refusal;
            let message = format!(
                "You have exceeded a secondary rate limit. Please wait a few minutes before you try again. If you reach \
                 out to GitHub Support for help, please include the request ID {id}."
            );
            // Rounded up, so that who waits for it does not come too early.
            let seconds = wait.as_millis().div_ceil(1_000);
            let failure = Failure::forbidden(&message);
            match refusal {
                Refusal::GraphqlError if incoming.is_graphql() => {
                    return graphql::refusal(GraphqlKind::RateLimited, &message);
                }
                Refusal::Forbidden | Refusal::GraphqlError => failure.with_header("retry-after", seconds),
                Refusal::TooManyRequests => {
                    Failure::new(StatusCode::TOO_MANY_REQUESTS, message).with_header("retry-after", seconds)
                }
                Refusal::NothingRemains => {
                    let now = hub.clock.now();
                    let limit = hub.meters().gauge(key, incoming.cost.resource, now).limit;
                    failure
                        .with_header("x-ratelimit-remaining", 0)
                        .with_header("x-ratelimit-used", limit)
                        .with_header("x-ratelimit-reset", clock::seconds(now + wait) + 1)
                }
                Refusal::MessageOnly => failure,
            }
            .into_response()
        }
    }
}

/// Gives an answer its ETag, which is the token's own; who has it already gets 304.
async fn tagged(response: Response, headers: &HeaderMap, key: &str, is_stale: bool) -> Response {
    let (mut parts, body) = response.into_parts();
    let body = to_bytes(body, usize::MAX).await.unwrap_or_default();
    let mut digest = digest::Context::new(&digest::SHA256);
    for piece in [key.as_bytes(), b"\n", &body] {
        digest.update(piece);
    }
    let hex: String = digest.finish().as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    let etag = format!("W/\"{hex}\"");
    let theirs = headers.get(header::IF_NONE_MATCH).map(|value| String::from_utf8_lossy(value.as_bytes()));
    let weak = |tag: &str| tag.trim().trim_start_matches("W/").to_owned();
    let has_it = |theirs: &str| theirs.trim() == "*" || theirs.split(',').any(|tag| weak(tag) == weak(&etag));
    let is_same = theirs.as_deref().is_some_and(|theirs| is_stale || has_it(theirs));
    parts.headers.insert(header::ETAG, plain(&etag));
    if is_same {
        parts.status = StatusCode::NOT_MODIFIED;
        parts.headers.remove(header::CONTENT_TYPE);
        return Response::from_parts(parts, Body::empty());
    }
    Response::from_parts(parts, Body::from(body))
}

fn plain(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).expect("the server's headers are plain")
}

/// What nobody has: an unknown path, or a known one with another method, which GitHub does not tell apart.
pub(super) async fn nowhere(method: Method, uri: Uri) -> Response {
    let mut response = Failure::malformed(StatusCode::NOT_FOUND, "Not Found").into_response();
    response.extensions_mut().insert(Malformed(format!("there is no {method} {}", uri.path())));
    response
}

/// `GET /`: where everything is.
pub(super) async fn root(session: axum::Extension<Session>) -> Response {
    let world = session.hub.world();
    let api = &world.api;
    json(&Value::from_iter([
        ("current_user_url", format!("{api}/user")),
        ("rate_limit_url", format!("{api}/rate_limit")),
    ]))
}
