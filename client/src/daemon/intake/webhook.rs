//! `POST /webhook/github`: GitHub says that something changed. Believed is only which issue that is about, and only from
//! who knows a secret; what it looks like now is asked over the API, so nothing that is late, doubled or out of order does
//! any harm.

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::to_bytes;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use ring::hmac;
use serde::Deserialize;
use tokio::time::timeout;

use super::bell::Bells;
use super::metrics::Metrics;
use crate::daemon::config::Secret;

/// Where GitHub sends its webhooks.
const PATH: &str = "/webhook/github";
/// The longest body, in bytes. An event with the longest of texts is about a third of it.
const LONGEST: usize = 5 << 20;
/// For how long a body may come in. GitHub sends the whole at once.
const PATIENCE: Duration = Duration::from_secs(3);
/// How many deliveries are known again.
const REMEMBERED: usize = 10_000;
/// The events that say something about tasks.
const EVENTS: [&str; 2] = ["issues", "issue_comment"];

/// What webhooks need.
#[derive(Debug, Clone)]
pub(crate) struct Webhooks(Arc<Hook>);

#[derive(Debug)]
struct Hook {
    keys: Vec<hmac::Key>,
    bells: Bells,
    seen: Mutex<Seen>,
    metrics: Metrics,
}

/// What becomes of a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    /// The issue will be looked at.
    Taken,
    /// It is of a repository that nobody here takes issues from.
    Ignored,
    /// GitHub asks whether anybody listens.
    Pong,
    Unsigned,
    Forged,
    TooLarge,
    TooSlow,
    Malformed(&'static str),
    WrongType,
    WrongEvent,
    Replayed,
}

impl Verdict {
    /// How it is counted.
    fn word(self) -> &'static str {
        match self {
            Self::Taken => "taken",
            Self::Ignored => "ignored",
            Self::Pong => "ping",
            Self::Unsigned => "unsigned",
            Self::Forged => "forged",
            Self::TooLarge => "too-large",
            Self::TooSlow => "too-slow",
            Self::Malformed(_) => "malformed",
            Self::WrongType => "wrong-type",
            Self::WrongEvent => "wrong-event",
            Self::Replayed => "replayed",
        }
    }

    /// What GitHub shows to who looks at its list of deliveries.
    fn answer(self) -> (StatusCode, &'static str) {
        match self {
            Self::Taken => (StatusCode::ACCEPTED, "the issue is looked at"),
            Self::Ignored => {
                (StatusCode::ACCEPTED, "ignored: no project of this daemon takes issues from that repository")
            }
            Self::Pong => (StatusCode::OK, "pong"),
            Self::Unsigned => (StatusCode::UNAUTHORIZED, "X-Hub-Signature-256 is missing: give the webhook a secret"),
            Self::Forged => (StatusCode::UNAUTHORIZED, "the signature is of none of http.webhook-secrets"),
            Self::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "no event is that long"),
            Self::TooSlow => (StatusCode::REQUEST_TIMEOUT, "the body did not come in time"),
            Self::Malformed(what) => (StatusCode::BAD_REQUEST, what),
            Self::WrongType => {
                (StatusCode::UNSUPPORTED_MEDIA_TYPE, "set the webhook's content type to application/json")
            }
            Self::WrongEvent => {
                (StatusCode::UNPROCESSABLE_ENTITY, "have the webhook send Issues and Issue comments only")
            }
            Self::Replayed => (StatusCode::CONFLICT, "this delivery was taken before"),
        }
    }
}

/// As much of an event as is believed.
#[derive(Deserialize)]
struct Event {
    repository: Named,
    issue: Numbered,
}

#[derive(Deserialize)]
struct Named {
    full_name: String,
}

#[derive(Deserialize)]
struct Numbered {
    number: u64,
}

/// Deliveries that were taken lately, by their ids and by their signatures: an id is not signed.
#[derive(Debug, Default)]
struct Seen {
    known: BTreeSet<String>,
    order: VecDeque<String>,
}

impl Seen {
    fn has(&self, word: &str) -> bool {
        self.known.contains(word)
    }

    fn add(&mut self, word: &str) {
        if self.known.insert(word.to_owned()) {
            self.order.push_back(word.to_owned());
        }
        while self.order.len() > 2 * REMEMBERED {
            if let Some(oldest) = self.order.pop_front() {
                self.known.remove(&oldest);
            }
        }
    }
}

impl Webhooks {
    /// None where there is no secret: then there are no webhooks.
    pub(crate) fn new(secrets: &[Secret], bells: Bells, metrics: Metrics) -> Option<Self> {
        let key = |secret: &Secret| hmac::Key::new(hmac::HMAC_SHA256, secret.reveal().as_bytes());
        let keys: Vec<hmac::Key> = secrets.iter().map(key).collect();
        let hook = Hook { keys, bells, seen: Mutex::default(), metrics };
        (!hook.keys.is_empty()).then(|| Self(Arc::new(hook)))
    }

    /// Answers what GitHub sends. Its signature is all that it shows, so nothing else is asked for.
    pub(crate) fn router(self) -> Router {
        Router::new().route(PATH, post(receive)).with_state(self)
    }
}

async fn receive(State(webhooks): State<Webhooks>, request: Request) -> Response {
    let hook = &webhooks.0;
    let (parts, body) = request.into_parts();
    let verdict = match signature(&parts.headers) {
        Err(verdict) => verdict,
        Ok(_) if announced(&parts.headers) > LONGEST => Verdict::TooLarge,
        Ok(signature) => match timeout(PATIENCE, to_bytes(body, LONGEST)).await {
            Ok(Ok(body)) => hook.judge(&parts.headers, &signature, &body),
            Ok(Err(_)) => Verdict::TooLarge,
            Err(_) => Verdict::TooSlow,
        },
    };
    hook.metrics.webhook(verdict.word());
    let (status, text) = verdict.answer();
    if status.is_client_error() {
        tracing::debug!(%status, "a webhook is refused: {text}");
    }
    (status, format!("{text}\n")).into_response()
}

impl Hook {
    fn judge(&self, headers: &HeaderMap, signature: &[u8], body: &[u8]) -> Verdict {
        // Each comparison takes the same time, however much of it is right.
        if !self.keys.iter().any(|key| hmac::verify(key, body, signature).is_ok()) {
            return Verdict::Forged;
        }
        let word = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).filter(|word| !word.is_empty());
        let Some(event) = word("x-github-event") else { return Verdict::Malformed("X-GitHub-Event is missing") };
        let Some(id) = word("x-github-delivery") else { return Verdict::Malformed("X-GitHub-Delivery is missing") };
        if event == "ping" {
            return Verdict::Pong;
        }
        if !EVENTS.contains(&event) {
            return Verdict::WrongEvent;
        }
        let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        if !kind.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json")) {
            return Verdict::WrongType;
        }
        let Ok(event) = serde_json::from_slice::<Event>(body) else {
            return Verdict::Malformed("the body is no event about an issue of a repository");
        };
        let signature: String = signature.iter().map(|byte| format!("{byte:02x}")).collect();
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.has(id) || seen.has(&signature) {
            return Verdict::Replayed;
        }
        if !self.bells.ring(&event.repository.full_name, event.issue.number) {
            return Verdict::Ignored;
        }
        seen.add(id);
        seen.add(&signature);
        Verdict::Taken
    }
}

/// The signature that a request shows.
fn signature(headers: &HeaderMap) -> Result<Vec<u8>, Verdict> {
    let shown = headers.get("x-hub-signature-256").ok_or(Verdict::Unsigned)?;
    let hex = shown.to_str().ok().and_then(|text| text.strip_prefix("sha256=")).ok_or(Verdict::Forged)?;
    let digits = hex.as_bytes().chunks(2);
    let byte = |pair: &[u8]| std::str::from_utf8(pair).ok().and_then(|pair| u8::from_str_radix(pair, 16).ok());
    digits.map(byte).collect::<Option<Vec<u8>>>().ok_or(Verdict::Forged)
}

/// How long the body is to be, as far as that is said.
fn announced(headers: &HeaderMap) -> usize {
    headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok()).unwrap_or_default()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use prometheus_client::registry::Registry;

    use super::*;
    use crate::daemon::config::{GithubConfig, Repository};
    use crate::daemon::github::Github;

    fn hook() -> Hook {
        let config = GithubConfig { token: Some("t".to_owned().try_into().unwrap()), ..GithubConfig::default() };
        let github = Github::new(&config, &mut Registry::default()).unwrap().unwrap();
        let mut bells = Bells::default();
        bells.hang(&github.repo(&Repository::try_from("Acme/Widgets".to_owned()).unwrap()));
        let secrets = ["old", "new"].map(|secret| Secret::try_from(secret.to_owned()).unwrap());
        let metrics = Metrics::new(&mut Registry::default());
        Arc::into_inner(Webhooks::new(&secrets, bells, metrics).unwrap().0).unwrap()
    }

    fn headers(event: &str, id: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert("x-github-event", event.parse().unwrap());
        headers.insert("x-github-delivery", id.parse().unwrap());
        headers.insert("content-type", "application/json; charset=utf-8".parse().unwrap());
        headers
    }

    fn signed(secret: &str, body: &str) -> Vec<u8> {
        hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes()), body.as_bytes()).as_ref().to_vec()
    }

    fn body(repository: &str, number: u64) -> String {
        serde_json::json!({ "repository": { "full_name": repository }, "issue": { "number": number } }).to_string()
    }

    #[tokio::test]
    async fn a_delivery_is_taken_once_by_its_id_and_by_its_signature() {
        let (hook, body) = (hook(), body("acme/widgets", 7));
        let judge =
            |id: &str, secret: &str| hook.judge(&headers("issues", id), &signed(secret, &body), body.as_bytes());
        assert_eq!(judge("1", "wrong"), Verdict::Forged);
        assert_eq!(judge("1", "old"), Verdict::Taken);
        assert_eq!(judge("1", "new"), Verdict::Replayed, "the same id");
        assert_eq!(judge("2", "old"), Verdict::Replayed, "the same body under another id");
    }

    #[tokio::test]
    async fn what_says_nothing_about_an_issue_of_ours_is_told_so() {
        let hook = hook();
        let judge = |headers: &HeaderMap, body: &str| hook.judge(headers, &signed("new", body), body.as_bytes());
        assert_eq!(judge(&headers("ping", "1"), "{}"), Verdict::Pong);
        assert_eq!(judge(&headers("push", "1"), "{}"), Verdict::WrongEvent);
        assert_eq!(judge(&headers("issues", "1"), &body("other/widgets", 7)), Verdict::Ignored);
        for body in ["", "{", "[]", r#"{"issue":{"number":"7"},"repository":{"full_name":"a/b"}}"#] {
            assert!(matches!(judge(&headers("issues", "1"), body), Verdict::Malformed(_)), "{body}");
        }
        for missing in ["x-github-event", "x-github-delivery"] {
            let mut headers = headers("issues", "1");
            headers.remove(missing);
            assert!(matches!(judge(&headers, &body("acme/widgets", 7)), Verdict::Malformed(_)));
        }
        let mut form = headers("issues", "1");
        form.insert("content-type", "application/x-www-form-urlencoded".parse().unwrap());
        assert_eq!(judge(&form, &body("acme/widgets", 7)), Verdict::WrongType);
    }

    #[test]
    fn a_signature_is_hexadecimal() {
        let shown = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert("x-hub-signature-256", text.parse().unwrap());
            signature(&headers)
        };
        assert_eq!(shown("sha256=00ff"), Ok(vec![0, 255]));
        for text in ["sha1=00ff", "sha256=0g", "00ff", "sha256=ü"] {
            assert_eq!(shown(text), Err(Verdict::Forged), "{text}");
        }
        assert_eq!(signature(&HeaderMap::new()), Err(Verdict::Unsigned));
    }

    #[test]
    fn the_oldest_deliveries_are_forgotten() {
        let mut seen = Seen::default();
        for number in 0..=2 * REMEMBERED {
            seen.add(&number.to_string());
        }
        assert!(!seen.has("0") && seen.has("1") && seen.known.len() == seen.order.len());
    }
}
