//! How a request gets to GitHub and its answer back: over octocrab's client, without any of its judgement. Its default
//! retry, its cache and its typed errors hide headers that the pacer lives on, so none of them is in the way here.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use http::header::{ACCEPT, CONTENT_TYPE, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue, Request, StatusCode};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hyper_rustls::HttpsConnectorBuilder;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use octocrab::{AuthState, OctoBody, Octocrab, OctocrabBuilder};
use tokio::time::timeout;

use super::error::one_line;

/// For how long a connection may take, and a request with all of its answer.
const CONNECT: Duration = Duration::from_secs(10);
const WHOLE: Duration = Duration::from_secs(30);
/// An idle connection is closed before GitHub does so.
const IDLE: Duration = Duration::from_secs(50);
/// The longest answer. A hundred issues with the longest of texts fit.
const LONGEST_BODY: usize = 32 << 20;
/// The version of the API that is spoken.
const VERSION: &str = "2022-11-28";

/// An answer as it came.
#[derive(Debug, Clone, Default)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

/// Why there is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Silence {
    /// It took too long.
    Timeout,
    /// The connection was not made, or broke.
    Broken(String),
    /// It was longer than anything that GitHub says.
    TooLong,
}

/// What becomes of a request.
pub(crate) type Sent<'a> = Pin<Box<dyn Future<Output = Result<Answer, Silence>> + Send + 'a>>;

/// Whatever requests are sent over; in tests, a peer that is made up.
pub(crate) trait Wire: fmt::Debug + Send + Sync {
    /// Sends a request with a whole URL, and waits for the whole answer.
    fn send(&self, request: Request<String>) -> Sent<'_>;
}

/// The real one.
#[derive(Debug)]
pub(crate) struct HttpWire {
    octocrab: Octocrab,
}

impl HttpWire {
    /// Needs a runtime.
    ///
    /// # Errors
    /// One sentence where this host has no certificates to trust.
    pub(crate) fn new() -> Result<Self, String> {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_connect_timeout(Some(CONNECT));
        tcp.set_nodelay(true);
        let provider = rustls::crypto::ring::default_provider();
        let connector = HttpsConnectorBuilder::new()
            .with_provider_and_native_roots(provider)
            .map_err(|error| format!("no certificates to trust were found ({error}): install ca-certificates"))?
            .https_or_http()
            .enable_http1()
            .wrap_connector(tcp);
        let client = Client::builder(TokioExecutor::new())
            .pool_idle_timeout(IDLE)
            .pool_timer(TokioTimer::new())
            .build::<_, OctoBody>(connector);
        // Its own stack would call itself octocrab.
        let Ok(octocrab) = OctocrabBuilder::new_empty().with_service(client).with_auth(AuthState::None).build();
        Ok(Self { octocrab })
    }

    async fn exchange(&self, request: Request<String>) -> Result<Answer, Silence> {
        let response = self.octocrab.send(request.map(OctoBody::from)).await.map_err(|error| broken(&error))?;
        let (parts, body) = response.into_parts();
        let body = Limited::new(body, LONGEST_BODY)
            .collect()
            .await
            .map_err(|error| if error.is::<LengthLimitError>() { Silence::TooLong } else { broken(&*error) })?;
        Ok(Answer { status: parts.status, headers: parts.headers, body: body.to_bytes().to_vec() })
    }
}

impl Wire for HttpWire {
    fn send(&self, mut request: Request<String>) -> Sent<'_> {
        let headers = request.headers_mut();
        headers.insert(USER_AGENT, HeaderValue::from_static(concat!("poppo/", env!("CARGO_PKG_VERSION"))));
        headers.insert(ACCEPT, HeaderValue::from_static("application/vnd.github+json"));
        headers.insert(HeaderName::from_static("x-github-api-version"), HeaderValue::from_static(VERSION));
        if !request.body().is_empty() {
            request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        Box::pin(async move { timeout(WHOLE, self.exchange(request)).await.unwrap_or(Err(Silence::Timeout)) })
    }
}

/// What broke, down to its cause, which is where the address or the certificate is named.
fn broken(error: &(dyn std::error::Error + 'static)) -> Silence {
    let mut text = String::new();
    let mut cause = Some(error);
    while let Some(error) = cause {
        // Outer errors repeat what is inside.
        text = error.to_string();
        cause = error.source();
    }
    Silence::Broken(one_line(&text))
}
