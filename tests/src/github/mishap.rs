//! How faults happen to a request: before anything is done, or to the answer of what was done.

use std::convert::Infallible;
use std::io;
use std::time::Duration;

use axum::body::{Body, Bytes, to_bytes};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use futures_util::{StreamExt as _, stream};

use super::failure::Failure;
use super::faults::Fault;

/// Whether a request is answered after all.
pub(super) enum Course {
    /// As if nothing were.
    Goes,
    /// Here already.
    Ends(Response),
}

/// What happens before the request is looked at.
pub(super) async fn before(fault: Option<&Fault>) -> Course {
    match fault {
        Some(Fault::Status(status)) => Course::Ends(Failure::of_status(*status).into_response()),
        Some(Fault::Hang) => never().await,
        Some(Fault::Cut) => Course::Ends(broken(Response::default(), Bytes::new(), 1)),
        _ => Course::Goes,
    }
}

/// What happens to the answer.
pub(super) async fn after(fault: Option<&Fault>, response: Response) -> Response {
    match fault {
        Some(Fault::LateStatus(status)) => Failure::of_status(*status).into_response(),
        Some(Fault::Slow(time)) => {
            tokio::time::sleep(*time).await;
            response
        }
        Some(Fault::LateHang) => {
            let _kept = response;
            never().await
        }
        Some(Fault::LateCut) => {
            let (response, body) = taken(response).await;
            let half = body.slice(..body.len() / 2);
            broken(response, half, body.len().max(1))
        }
        Some(Fault::Nonsense) => replaced(response, Bytes::from_static(b"<?php echo \"hello\"; ?>")).await,
        Some(Fault::WrongShape) => replaced(response, Bytes::from_static(b"{\"unexpected\":[null,[]]}")).await,
        Some(Fault::Truncated) => {
            let (mut response, body) = taken(response).await;
            *response.body_mut() = Body::from(body.slice(..body.len() / 2));
            response
        }
        _ => response,
    }
}

/// Until the server stops, or the client has enough.
async fn never<T>() -> T {
    match std::future::pending::<Infallible>().await {}
}

async fn taken(response: Response) -> (Response, Bytes) {
    let (mut parts, body) = response.into_parts();
    // Of the body that it had.
    parts.headers.remove(header::CONTENT_LENGTH);
    let body = to_bytes(body, usize::MAX).await.unwrap_or_default();
    (Response::from_parts(parts, Body::empty()), body)
}

async fn replaced(response: Response, body: Bytes) -> Response {
    let (mut response, _) = taken(response).await;
    *response.status_mut() = StatusCode::OK;
    *response.body_mut() = Body::from(body);
    response
}

/// An answer that breaks off: it announces `length` bytes, sends `sent` and hangs up.
fn broken(mut response: Response, sent: Bytes, length: usize) -> Response {
    let end = stream::once(async {
        // What was sent so far leaves first.
        tokio::time::sleep(Duration::from_millis(20)).await;
        Err(io::Error::from(io::ErrorKind::ConnectionReset))
    });
    response.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    *response.body_mut() = Body::from_stream(stream::iter([Ok(sent)]).chain(end));
    response
}
