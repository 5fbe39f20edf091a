//! As whom GitHub is asked: with a token, or as an App, whose installation on an owner's repositories has tokens of an hour.
//! Each credential has one pacer, and so has each installation, since that is how GitHub counts.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use http::HeaderValue;
use octocrab::auth::{AppAuth, EncodingKey};
use octocrab::models::AppId;
use tokio::time::Instant;

use super::error::Cause;
use super::pacer::Pacer;
use crate::daemon::config::{GithubConfig, Secret};

/// How long before its end an installation's token is renewed. They last an hour.
const RENEW_BEFORE: Duration = Duration::from_secs(5 * 60);

/// All accounts that one configuration has.
#[derive(Debug)]
pub(super) struct Accounts {
    credential: Credential,
    reserve: u8,
    by_owner: Mutex<BTreeMap<String, Arc<Account>>>,
}

enum Credential {
    Token(HeaderValue),
    App(Box<AppAuth>),
}

/// One credential as GitHub counts it.
pub(crate) struct Account {
    pub(crate) pacer: Pacer,
    /// Whose it is, for metrics: `token`, or the owner of an installation.
    pub(crate) name: String,
    pub(super) bearer: Bearer,
}

/// What requests show.
pub(super) enum Bearer {
    /// Always the same.
    Token(HeaderValue),
    /// What an App gets for it, and only one at a time asks for the next.
    Installation { app: Box<AppAuth>, minted: tokio::sync::Mutex<Minted> },
}

/// The token of an installation.
#[derive(Default)]
pub(super) struct Minted {
    /// The installation's number.
    pub(super) installation: Option<u64>,
    current: Option<(HeaderValue, Instant)>,
    /// How many there were before.
    pub(super) generation: u64,
}

impl Accounts {
    /// None where the configuration has no credential.
    pub(super) fn new(config: &GithubConfig) -> Result<Option<Self>, Cause> {
        let credential = match (&config.token, config.app_id, &config.app_key) {
            (Some(token), ..) => Credential::Token(bearer(token.reveal())?),
            (None, Some(id), Some(key)) => Credential::App(Box::new(app(id, key)?)),
            _ => return Ok(None),
        };
        Ok(Some(Self { credential, reserve: config.reserve.get(), by_owner: Mutex::default() }))
    }

    /// The account for that owner's repositories.
    pub(super) fn of(&self, owner: &str) -> Arc<Account> {
        let name = match &self.credential {
            Credential::Token(_) => "token".to_owned(),
            Credential::App(_) => owner.to_lowercase(),
        };
        let mut accounts = self.by_owner.lock().unwrap_or_else(PoisonError::into_inner);
        let account = accounts.entry(name.clone()).or_insert_with(|| {
            let bearer = match &self.credential {
                Credential::Token(token) => Bearer::Token(token.clone()),
                Credential::App(app) => {
                    Bearer::Installation { app: app.clone(), minted: tokio::sync::Mutex::default() }
                }
            };
            Arc::new(Account { pacer: Pacer::new(self.reserve), name, bearer })
        });
        Arc::clone(account)
    }

    /// All accounts that were asked for so far.
    pub(super) fn all(&self) -> Vec<Arc<Account>> {
        self.by_owner.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }
}

impl Minted {
    /// The token, unless it is about to end.
    pub(super) fn valid(&self) -> Option<HeaderValue> {
        let (value, until) = self.current.as_ref()?;
        (Instant::now() + RENEW_BEFORE < *until).then(|| value.clone())
    }

    /// The next one. `now` is GitHub's time.
    pub(super) fn renew(&mut self, token: &str, expires: &str, now: SystemTime) -> Result<HeaderValue, Cause> {
        let value = bearer(token)?;
        let expires = humantime::parse_rfc3339_weak(expires.trim_end_matches('Z'))
            .map_err(|_| Cause::Nonsense("a token without an end".to_owned()))?;
        let left = expires.duration_since(now).unwrap_or_default();
        self.generation += 1;
        self.current = Some((value.clone(), Instant::now() + left));
        Ok(value)
    }

    /// GitHub does not take it.
    pub(super) fn forget(&mut self, value: &HeaderValue) {
        self.current.take_if(|(current, _)| current == value);
    }
}

/// What an App shows to be given tokens: good for some minutes.
pub(super) fn app_bearer(app: &AppAuth) -> Result<HeaderValue, Cause> {
    let token = app.generate_bearer_token().map_err(|_| Cause::Credential("the App's key cannot sign".to_owned()))?;
    bearer(&token)
}

fn bearer(token: &str) -> Result<HeaderValue, Cause> {
    let mut value = HeaderValue::try_from(format!("Bearer {token}"))
        .map_err(|_| Cause::Credential("the token has signs that no token has".to_owned()))?;
    value.set_sensitive(true);
    Ok(value)
}

fn app(id: u64, key: &Secret) -> Result<AppAuth, Cause> {
    let key = EncodingKey::from_rsa_pem(key.reveal().as_bytes())
        .map_err(|_| Cause::Credential("the App's key is not the private key of an App (RSA, as PEM)".to_owned()))?;
    Ok(AppAuth { app_id: AppId(id), key })
}

/// Names whose it is, and shows nothing.
impl fmt::Debug for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Account").field("name", &self.name).finish_non_exhaustive()
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Token(_) => "Token",
            Self::App(_) => "App",
        })
    }
}
