//! Refusals as GitHub words and shapes them.

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::edit::Refused;

/// A refusal.
#[derive(Debug, Clone)]
pub(super) struct Failure {
    pub(super) status: StatusCode,
    message: String,
    errors: Vec<Value>,
    headers: Vec<(&'static str, String)>,
    /// Whether it was the asker's fault, and which.
    malformed: Option<String>,
}

/// Stands among a response's extensions when the request was not one that GitHub has.
#[derive(Debug, Clone)]
pub(super) struct Malformed(pub(super) String);

impl Failure {
    pub(super) fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, message: message.into(), errors: Vec::new(), headers: Vec::new(), malformed: None }
    }

    /// The same, and a violation: no client has to send that.
    pub(super) fn malformed(status: StatusCode, message: impl Into<String>) -> Self {
        let message = message.into();
        Self { malformed: Some(message.clone()), ..Self::new(status, message) }
    }

    pub(super) fn not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, "Not Found")
    }

    pub(super) fn unauthorized(message: &str) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, message)
    }

    pub(super) fn forbidden(message: &str) -> Self {
        Self::new(StatusCode::FORBIDDEN, message)
    }

    /// A body of the wrong shape.
    pub(super) fn shape(field: &str, what: &str) -> Self {
        let message = format!("Invalid request.\n\nFor 'properties/{field}', {what}.");
        let mut failure = Self::malformed(StatusCode::UNPROCESSABLE_ENTITY, message);
        failure.errors.push(json!({ "field": field, "code": "invalid", "message": what }));
        failure
    }

    /// A value that is not allowed.
    pub(super) fn invalid(resource: &str, field: &str, code: &str, message: &str) -> Self {
        let mut failure = Self::new(StatusCode::UNPROCESSABLE_ENTITY, "Validation Failed");
        failure.errors.push(json!({ "resource": resource, "field": field, "code": code, "message": message }));
        failure
    }

    pub(super) fn with_header(mut self, name: &'static str, value: impl ToString) -> Self {
        self.headers.push((name, value.to_string()));
        self
    }

    /// The refusal that tests want for a status.
    pub(super) fn of_status(status: u16) -> Self {
        let message = match status {
            400 => "Problems parsing JSON",
            401 => "Bad credentials",
            403 => "Resource not accessible by integration",
            404 => "Not Found",
            410 => "This issue was deleted",
            422 => "Validation Failed",
            429 => "You have exceeded a secondary rate limit. Please wait a few minutes before you try again.",
            451 => "Repository access blocked",
            _ => "Server Error",
        };
        let status = StatusCode::from_u16(status).expect("a fault's status is an HTTP status");
        let mut failure = Self::new(status, message);
        if status == StatusCode::UNPROCESSABLE_ENTITY {
            failure.errors.push(json!({ "resource": "Issue", "field": "labels", "code": "invalid" }));
        }
        failure
    }
}

impl From<Refused> for Failure {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Missing => Self::not_found(),
            Refused::Invalid(resource, field, code, message) => Self::invalid(resource, field, code, &message),
        }
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let mut response = match self.status {
            // What stands before GitHub's API answers with pages for people.
            StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE => html(&self.message),
            _ => json(&self.shown()),
        };
        *response.status_mut() = self.status;
        for (name, value) in self.headers {
            let value = HeaderValue::from_str(&value).expect("headers of refusals are plain");
            response.headers_mut().insert(name, value);
        }
        if let Some(why) = self.malformed {
            response.extensions_mut().insert(Malformed(why));
        }
        response
    }
}

impl Failure {
    fn shown(&self) -> Value {
        let mut body = json!({
            "message": self.message,
            "documentation_url": "https://docs.github.com/rest",
            "status": self.status.as_u16().to_string(),
        });
        if let (false, Some(fields)) = (self.errors.is_empty(), body.as_object_mut()) {
            fields.insert("errors".to_owned(), json!(self.errors));
        }
        body
    }
}

/// An answer in JSON.
pub(super) fn json(body: &Value) -> Response {
    let mut response = Response::new(Body::from(body.to_string()));
    let kind = HeaderValue::from_static("application/json; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}

fn html(message: &str) -> Response {
    let page =
        format!("<!DOCTYPE html>\n<html><head><title>Unicorn!</title></head><body><p>{message}</p></body></html>\n");
    let mut response = Response::new(Body::from(page));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    response
}
