//! Duty 7: answers on HTTP. `/healthz` says that the daemon runs, `/readyz` that it and all its duties do what they are
//! there for, `/metrics` what they did; and the webhooks of intake come in here.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use prometheus_client::registry::Registry;
use serde_json::json;
use sha2::{Digest as _, Sha256};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::board::{Board, Health};
use super::config::{HttpConfig, Secret};
use super::duty::Trouble;
use super::intake::Webhooks;
use super::metrics::{self, Projects};

/// What the answers are made of.
#[derive(Debug, Clone)]
pub(crate) struct Desk {
    /// How the duties are.
    pub(crate) board: Arc<Board>,
    /// What they did.
    pub(crate) registry: Arc<Registry>,
    /// What the projects count, which is part of the registry.
    pub(crate) projects: Projects,
    /// Where GitHub's webhooks go; none where they are not wanted.
    pub(crate) webhooks: Option<Webhooks>,
}

/// Answers until the daemon ends. `announce` is told where.
pub(crate) async fn run(
    config: HttpConfig,
    desk: Desk,
    health: Health,
    stop: CancellationToken,
    announce: impl Fn(SocketAddr),
) -> Result<(), Trouble> {
    let wanted = config.listen.address();
    let listener = TcpListener::bind(wanted)
        .await
        .map_err(|error| Trouble::Passing(format!("cannot listen on {wanted}: {error}")))?;
    let address = listener.local_addr().map_err(|error| Trouble::Passing(error.to_string()))?;
    health.well();
    announce(address);
    let app = router(desk, config.token.clone());
    let served = axum::serve(listener, app).with_graceful_shutdown(stop.cancelled_owned());
    served.await.map_err(|error| Trouble::Passing(error.to_string()))
}

fn router(desk: Desk, token: Option<Secret>) -> Router {
    // They are signed, and GitHub knows no token of ours.
    let webhooks = desk.webhooks.clone().map(Webhooks::router).unwrap_or_default();
    Router::new()
        .route("/readyz", get(readyz))
        .route("/metrics", get(show_metrics))
        .with_state(desk)
        .layer(middleware::from_fn(move |request: Request, next: Next| {
            let allowed = token.as_ref().is_none_or(|token| shows(&request, token));
            async move { if allowed { next.run(request).await } else { unauthorized() } }
        }))
        // Whoever restarts what does not answer has no token.
        .route("/healthz", get(|| async { "ok\n" }))
        .merge(webhooks)
}

/// Whether a request shows the token. Compared by their digests, so that the time it takes tells nothing.
fn shows(request: &Request, token: &Secret) -> bool {
    let shown = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let shown = shown.and_then(|value| value.strip_prefix("Bearer ")).unwrap_or_default();
    Sha256::digest(shown.trim()) == Sha256::digest(token.reveal())
}

fn unauthorized() -> Response {
    let challenge = [(header::WWW_AUTHENTICATE, "Bearer")];
    (StatusCode::UNAUTHORIZED, challenge, "send http.token as Authorization: Bearer …\n").into_response()
}

async fn readyz(State(desk): State<Desk>) -> Response {
    let server = desk.projects.ask().await;
    let duties = desk.board.read();
    let ready = server.is_ok() && duties.iter().all(|(_, condition)| condition.is_ready());
    let rows: Vec<_> = duties
        .iter()
        .map(|(post, condition)| {
            let mut row = json!(condition);
            if let Some(fields) = row.as_object_mut() {
                fields.insert("duty".to_owned(), json!(post.duty));
                fields.insert("project".to_owned(), json!(post.project));
            }
            row
        })
        .collect();
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(json!({ "ready": ready, "server": server.err().unwrap_or_else(|| "ok".to_owned()), "duties": rows })))
        .into_response()
}

async fn show_metrics(State(desk): State<Desk>) -> Response {
    desk.projects.refresh().await;
    match metrics::encode(&desk.registry) {
        Ok(text) => ([(header::CONTENT_TYPE, metrics::CONTENT_TYPE)], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}
