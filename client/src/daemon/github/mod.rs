//! GitHub, for all duties that speak with it: labels, intake, the comments of repairs, and `poppo doctor`.
//!
//! | file | what is there |
//! | --- | --- |
//! | `pacer` | when the next request may be sent |
//! | `told` | what answers say about limits |
//! | `account` | as whom is asked: a token, or an App's installations |
//! | `wire` | how a request gets there |
//! | `repo` | what can be asked of a repository over REST, `comments` what is said there |
//! | `graphql` | operations of many fields, some of which may fail |
//! | `types` | what GitHub tells of |
//! | `viewer` | who we are to GitHub |
//! | `error` | what can go wrong |
//!
//! Every request waits for the pacer of its credential. One that changes nothing, or nothing more when it is sent twice, is
//! sent again where no answer came; no other is.

mod account;
mod comments;
pub(crate) mod error;
pub(crate) mod graphql;
mod metrics;
mod pacer;
pub(crate) mod repo;
mod told;
mod types;
mod viewer;
mod wire;

use std::fmt;
use std::sync::{Arc, RwLock};
use std::time::{Duration, SystemTime};

use http::header::{AUTHORIZATION, IF_NONE_MATCH};
use http::{HeaderValue, Method, Request, StatusCode};
use poppo::Backoff;
use prometheus_client::registry::Registry;
use serde::Deserialize;
use tokio::time::sleep;

use self::account::{Account, Accounts, Bearer, app_bearer};
pub(crate) use self::error::{Cause, GithubError};
use self::metrics::Metrics;
use self::pacer::Kind;
use self::told::Told;
pub(crate) use self::types::{About, Comment, Issue, Label, User, is_same_name};
use self::wire::{Answer, HttpWire, Silence, Wire};
use super::config::{GithubConfig, Repository};

/// How often a request that may be repeated is sent, and the pauses between.
const ATTEMPTS: u32 = 3;
const PAUSES: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(10));

/// GitHub as one configuration knows it. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Github {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    wire: Box<dyn Wire>,
    /// The REST API, without a slash at its end.
    api: String,
    graphql: String,
    accounts: Arc<Accounts>,
    metrics: Metrics,
}

/// A repository on GitHub, for whoever asks it something. Cheap to clone; where it is renamed, the new name is learnt.
#[derive(Clone)]
pub(crate) struct Repo {
    github: Github,
    account: Arc<Account>,
    /// As the configuration has it.
    first: Arc<Repository>,
    name: Arc<RwLock<(String, String)>>,
}

/// One request.
#[derive(Debug)]
struct Call {
    method: Method,
    /// Behind the API's base, with its query.
    path: String,
    body: String,
    kind: Kind,
    /// Whether it may be sent twice without doing more than once.
    is_repeatable: bool,
    tag: Option<String>,
}

/// What a request shows, and by which of an installation's tokens.
struct Shown {
    value: HeaderValue,
    generation: u64,
}

/// Whether a configuration's credential can be used, as far as that shows without asking GitHub; or why not.
pub(crate) fn check(config: &GithubConfig) -> Result<(), String> {
    match Accounts::new(config) {
        Err(Cause::Credential(why)) => Err(why),
        _ => Ok(()),
    }
}

impl Github {
    /// As the configuration says; none where it has no credential. What happens is counted in the registry. Needs a runtime.
    ///
    /// # Errors
    /// One sentence where the credential cannot be used.
    pub(crate) fn new(config: &GithubConfig, registry: &mut Registry) -> Result<Option<Self>, GithubError> {
        let unusable = |cause| GithubError { request: "anything".to_owned(), cause };
        let Some(accounts) = Accounts::new(config).map_err(unusable)? else { return Ok(None) };
        let wire = HttpWire::new().map_err(|why| unusable(Cause::Credential(why)))?;
        let github = Self::over(Box::new(wire), config.api_url.as_str(), accounts);
        github.shared.metrics.register(registry, Arc::clone(&github.shared.accounts));
        Ok(Some(github))
    }

    fn over(wire: Box<dyn Wire>, api: &str, accounts: Accounts) -> Self {
        let api = api.trim_end_matches('/').to_owned();
        // GitHub Enterprise has it beside the REST API, not below.
        let graphql = match api.strip_suffix("/api/v3") {
            Some(host) => format!("{host}/api/graphql"),
            None => format!("{api}/graphql"),
        };
        let shared = Shared { wire, api, graphql, accounts: Arc::new(accounts), metrics: Metrics::default() };
        Self { shared: Arc::new(shared) }
    }

    /// A repository. Nothing is asked yet.
    pub(crate) fn repo(&self, repository: &Repository) -> Repo {
        Repo {
            github: self.clone(),
            account: self.shared.accounts.of(&repository.owner),
            first: Arc::new(repository.clone()),
            name: Arc::new(RwLock::new((repository.owner.clone(), repository.name.clone()))),
        }
    }
}

impl fmt::Debug for Repo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (owner, name) = self.owner_and_name();
        f.debug_tuple("Repo").field(&format!("{owner}/{name}")).finish()
    }
}

impl Call {
    fn get(path: String) -> Self {
        Self { method: Method::GET, path, body: String::new(), kind: Kind::Read, is_repeatable: true, tag: None }
    }

    fn change(method: Method, path: String, body: &serde_json::Value) -> Self {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        Self { method, path, body, kind: Kind::Write, is_repeatable: true, tag: None }
    }

    /// Method and path, for sentences.
    fn line(&self) -> String {
        let path = self.path.split('?').next().unwrap_or_default();
        format!("{} {path}", self.method)
    }

    fn failed(&self, cause: Cause) -> GithubError {
        GithubError { request: self.line(), cause }
    }
}

impl Repo {
    /// Sends a request when it may be sent, and again where that helps. An answer is a success, or 304.
    async fn call(&self, call: Call) -> Result<(Answer, u64), GithubError> {
        let mut backoff = Backoff::new(PAUSES.0, PAUSES.1);
        let mut is_renewed = false;
        loop {
            let shown = match self.shown().await {
                Ok(shown) => shown,
                Err(cause) => return Err(call.failed(cause)),
            };
            let cause = match self.attempt(&call, &shown).await {
                Ok(answer) => return Ok((answer, shown.generation)),
                Err(cause) => cause,
            };
            match cause {
                // The token of an installation may have been revoked; once, the App gets another.
                Cause::Unauthorized if !is_renewed && self.forget(&shown).await => is_renewed = true,
                cause if call.is_repeatable && cause.may_pass() && backoff.count() + 1 < ATTEMPTS => {
                    tracing::debug!("{}", call.failed(cause));
                    self.github.shared.metrics.again(call.kind);
                    sleep(backoff.pause()).await;
                }
                cause => return Err(call.failed(cause)),
            }
        }
    }

    async fn attempt(&self, call: &Call, shown: &Shown) -> Result<Answer, Cause> {
        let shared = &self.github.shared;
        let permit = self.account.pacer.admit(call.kind).await.map_err(|until| Cause::RateLimited { until })?;
        let answer = shared.wire.send(shared.request(call, shown)).await;
        let status = match &answer {
            Ok(answer) => answer.status.as_u16().to_string(),
            Err(Silence::Timeout) => "timeout".to_owned(),
            Err(Silence::Broken(_) | Silence::TooLong) => "broken".to_owned(),
        };
        shared.metrics.answered(call.kind, &status);
        let answer = answer.map_err(|silence| match silence {
            Silence::Timeout => Cause::Timeout,
            Silence::Broken(why) => Cause::Unavailable(redacted(&why, &shown.value)),
            Silence::TooLong => Cause::Nonsense("it is longer than anything that GitHub says".to_owned()),
        })?;
        let resource = call.kind.resource();
        let is_limited = graphql::is_limited(call.kind, &answer);
        let told = Told::read(answer.status, &answer.headers, &answer.body, resource, is_limited);
        permit.done(told);
        let until = self.account.pacer.due(call.kind);
        if told.is_refusal() {
            return Err(Cause::RateLimited { until });
        }
        if answer.status.is_success() || answer.status == StatusCode::NOT_MODIFIED {
            return Ok(answer);
        }
        Err(Cause::of(answer.status, redacted(&error::message(&answer.body), &shown.value)))
    }

    /// What requests show now.
    async fn shown(&self) -> Result<Shown, Cause> {
        let (app, minted) = match &self.account.bearer {
            Bearer::Token(value) => return Ok(Shown { value: value.clone(), generation: 0 }),
            Bearer::Installation { app, minted } => (app, minted),
        };
        let mut minted = minted.lock().await;
        if let Some(value) = minted.valid() {
            return Ok(Shown { value, generation: minted.generation });
        }
        let shared = &self.github.shared;
        let installation = match minted.installation {
            Some(installation) => installation,
            None => {
                #[derive(Deserialize)]
                struct Installation {
                    id: u64,
                }
                let (owner, name) = self.owner_and_name();
                let path = format!("/repos/{owner}/{name}/installation");
                let (found, _) = shared.as_app::<Installation>(&Call::get(path), app_bearer(app)?).await?;
                *minted.installation.insert(found.id)
            }
        };
        #[derive(Deserialize)]
        struct Token {
            token: String,
            expires_at: String,
        }
        let path = format!("/app/installations/{installation}/access_tokens");
        let call = Call::change(Method::POST, path, &serde_json::Value::Null);
        let (token, now) = match shared.as_app::<Token>(&call, app_bearer(app)?).await {
            Err(cause) if cause.is_absence() => {
                // It was installed anew, maybe.
                minted.installation = None;
                return Err(cause);
            }
            answer => answer?,
        };
        let value = minted.renew(&token.token, &token.expires_at, now)?;
        Ok(Shown { value, generation: minted.generation })
    }

    /// Forgets a token that GitHub does not take. False where there is no other to be had.
    async fn forget(&self, shown: &Shown) -> bool {
        match &self.account.bearer {
            Bearer::Token(_) => false,
            Bearer::Installation { minted, .. } => {
                minted.lock().await.forget(&shown.value);
                true
            }
        }
    }
}

impl Shared {
    fn request(&self, call: &Call, shown: &Shown) -> Request<String> {
        let url = match call.kind {
            Kind::Query | Kind::Mutation => self.graphql.clone(),
            _ => format!("{}{}", self.api, call.path),
        };
        let mut request = Request::new(call.body.clone());
        *request.method_mut() = call.method.clone();
        // What was put together here is a URL; one that is none is answered with 404.
        *request.uri_mut() = url.parse().unwrap_or_default();
        request.headers_mut().insert(AUTHORIZATION, shown.value.clone());
        if let Some(tag) = call.tag.as_ref().and_then(|tag| HeaderValue::try_from(tag).ok()) {
            request.headers_mut().insert(IF_NONE_MATCH, tag);
        }
        request
    }

    /// Asks something as the App itself, which no limit counts; with GitHub's time.
    async fn as_app<T: for<'de> Deserialize<'de>>(
        &self,
        call: &Call,
        value: HeaderValue,
    ) -> Result<(T, SystemTime), Cause> {
        let shown = Shown { value, generation: 0 };
        let answer = self.wire.send(self.request(call, &shown)).await.map_err(|silence| match silence {
            Silence::Timeout => Cause::Timeout,
            Silence::Broken(why) => Cause::Unavailable(why),
            Silence::TooLong => Cause::Nonsense("it is too long".to_owned()),
        })?;
        self.metrics.answered(call.kind, answer.status.as_str());
        if !answer.status.is_success() {
            return Err(Cause::of(answer.status, redacted(&error::message(&answer.body), &shown.value)));
        }
        let now = told::date(&answer.headers).unwrap_or_else(SystemTime::now);
        // What cannot be read might hold a token: nothing of it is repeated.
        let value = serde_json::from_slice(&answer.body).map_err(|_| Cause::Nonsense("no token".to_owned()))?;
        Ok((value, now))
    }
}

/// Whatever somebody on the way sends back to us, our own secret is not passed on.
fn redacted(text: &str, shown: &HeaderValue) -> String {
    match shown.to_str().ok().and_then(|shown| shown.strip_prefix("Bearer ")) {
        Some(secret) => text.replace(secret, "…"),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests;
