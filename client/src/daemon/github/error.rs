//! What can go wrong with GitHub, each with one sentence that says what to do. No token is ever in one.

use std::fmt;
use std::time::Duration;

use http::StatusCode;
use serde_json::Value;
use tokio::time::Instant;

/// How much of what GitHub says is passed on, in characters.
const LONGEST_MESSAGE: usize = 200;

/// A request that did not come to what it should.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct GithubError {
    /// Method and path, such as `GET /repos/acme/widgets/labels`.
    pub(crate) request: String,
    /// What happened.
    pub(crate) cause: Cause,
}

/// What happened to a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Cause {
    /// 401: the token is none, or none any more.
    Unauthorized,
    /// 403, and not for having asked too much.
    Forbidden(String),
    /// 404: it is not there, or not for this token.
    NotFound,
    /// 410 or 451: it was there, and is gone for good or blocked.
    Gone(String),
    /// It is elsewhere: an issue that was transferred.
    Moved,
    /// 422: GitHub does not take what was sent.
    Unprocessable(String),
    /// Too much was asked, by us or by others with the same token; nothing is sent before that time.
    RateLimited {
        /// When it is worth asking again.
        until: Instant,
    },
    /// GitHub, or the way there, is broken. Where something was to be changed, that may have been done.
    Unavailable(String),
    /// No answer came in time. Where something was to be changed, that may have been done.
    Timeout,
    /// The answer cannot be understood.
    Nonsense(String),
    /// The credential cannot be used at all.
    Credential(String),
}

impl Cause {
    /// What an answer that is no success says, but for limits, which the pacer judges.
    pub(super) fn of(status: StatusCode, message: String) -> Self {
        match status.as_u16() {
            401 => Self::Unauthorized,
            403 => Self::Forbidden(message),
            404 => Self::NotFound,
            410 | 451 => Self::Gone(message),
            301 | 302 | 307 | 308 => Self::Moved,
            400 | 422 => Self::Unprocessable(message),
            500.. | 408 => Self::Unavailable(status.to_string()),
            _ => Self::Nonsense(format!("HTTP status {status}")),
        }
    }

    /// Whether the same request may succeed in a moment.
    pub(crate) fn may_pass(&self) -> bool {
        matches!(self, Self::Unavailable(_) | Self::Timeout | Self::Nonsense(_))
    }

    /// Whether the thing asked for is not there (any more).
    pub(crate) fn is_absence(&self) -> bool {
        matches!(self, Self::NotFound | Self::Gone(_) | Self::Moved)
    }
}

impl fmt::Display for GithubError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let request = &self.request;
        match &self.cause {
            Cause::Unauthorized => write!(
                f,
                "GitHub does not take the credential for {request}: it is wrong, expired or revoked; give the daemon \
                 another (github.token, or github.app-id and github.app-key)"
            ),
            Cause::Forbidden(why) => write!(
                f,
                "GitHub does not allow {request} ({why}): let the token read and write issues of this repository, and see \
                 whether that is archived"
            ),
            Cause::NotFound => write!(
                f,
                "GitHub has nothing for {request}, or does not show it to this token: check the name of the repository, \
                 and which ones the token may see"
            ),
            Cause::Gone(why) => write!(f, "GitHub says of {request} that it is gone ({why})"),
            Cause::Moved => write!(f, "GitHub says of {request} that it is elsewhere now"),
            Cause::Unprocessable(why) => write!(f, "GitHub refuses {request}, as it is: {why}"),
            Cause::RateLimited { until } => {
                let left = until.saturating_duration_since(Instant::now());
                write!(f, "GitHub's limit is reached, so {request} waits for {}", words(left))
            }
            Cause::Unavailable(why) => write!(f, "GitHub is not available for {request} ({why}); it is asked again"),
            Cause::Timeout => write!(f, "GitHub does not answer {request} in time; it is asked again"),
            Cause::Nonsense(why) => write!(
                f,
                "what GitHub answers to {request} cannot be understood ({why}); it is asked again; is github.api-url right?"
            ),
            Cause::Credential(why) => write!(f, "the credential for GitHub cannot be used: {why}"),
        }
    }
}

impl std::error::Error for GithubError {}

/// Whole seconds, for sentences.
pub(crate) fn words(time: Duration) -> String {
    humantime::format_duration(Duration::from_secs(time.as_secs_f64().ceil().max(1.0) as u64)).to_string()
}

/// The message in the body of a refusal, on one line and not too long; for pages of HTML, nothing but that.
pub(super) fn message(body: &[u8]) -> String {
    let Ok(body) = serde_json::from_slice::<Value>(body) else { return "no JSON".to_owned() };
    let mut text = body.get("message").and_then(Value::as_str).unwrap_or("no message").to_owned();
    let errors = body.get("errors").and_then(Value::as_array).into_iter().flatten();
    for error in errors.take(3) {
        let word = |key| error.get(key).and_then(Value::as_str).unwrap_or_default();
        text.push_str(&format!("; {} {} {} {}", word("resource"), word("field"), word("code"), word("message")));
    }
    one_line(&text)
}

/// Without line ends and other signs that have no business in a log, and cut.
pub(super) fn one_line(text: &str) -> String {
    let words: Vec<&str> =
        text.split(|c: char| c.is_control() || c.is_whitespace()).filter(|w| !w.is_empty()).collect();
    words.join(" ").chars().take(LONGEST_MESSAGE).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_github_says_is_one_line_and_cut() {
        let body = r#"{"message":"Validation\n Failed","errors":[{"resource":"Label","field":"name","code":"already_exists"}]}"#;
        assert_eq!(message(body.as_bytes()), "Validation Failed; Label name already_exists");
        assert_eq!(message(b"<html>"), "no JSON");
        let long = serde_json::json!({ "message": "\u{1b}[31mx".repeat(500) }).to_string();
        assert_eq!(message(long.as_bytes()).chars().count(), LONGEST_MESSAGE);
        assert!(!message(long.as_bytes()).contains('\u{1b}'));
    }

    #[test]
    fn each_cause_is_a_sentence_that_names_the_request() {
        let until = Instant::now() + Duration::from_secs(90);
        let cases = [
            (Cause::Unauthorized, "does not take the credential"),
            (Cause::Forbidden("archived".to_owned()), "does not allow"),
            (Cause::NotFound, "has nothing for"),
            (Cause::Gone("Issues are disabled".to_owned()), "gone (Issues are disabled)"),
            (Cause::Moved, "elsewhere"),
            (Cause::Unprocessable("Label name".to_owned()), "refuses"),
            (Cause::RateLimited { until }, "waits for 1m 30s"),
            (Cause::Unavailable("502".to_owned()), "not available"),
            (Cause::Timeout, "does not answer"),
            (Cause::Nonsense("no JSON".to_owned()), "cannot be understood (no JSON)"),
        ];
        for (cause, part) in cases {
            let text = GithubError { request: "GET /repos/a/b".to_owned(), cause }.to_string();
            assert!(text.contains(part) && text.contains("GET /repos/a/b") && !text.contains('\n'), "{text}");
        }
    }

    #[test]
    fn each_status_has_its_cause() {
        let cause = |status: u16| Cause::of(StatusCode::from_u16(status).unwrap_or_default(), String::new());
        assert_eq!(cause(401), Cause::Unauthorized);
        assert!(
            cause(404).is_absence() && cause(410).is_absence() && cause(451).is_absence() && cause(301).is_absence()
        );
        assert!([500, 502, 503, 504, 408].map(cause).iter().all(Cause::may_pass));
        assert!(![401, 403, 404, 410, 422].map(cause).iter().any(Cause::may_pass));
    }
}
