//! Who asks: tokens of people, tokens of an App's installations, and the App itself with a JSON web token that it signs.

use std::time::{Duration, SystemTime};

use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ring::signature::{KeyPair as _, RSA_PKCS1_2048_8192_SHA256, RsaKeyPair, UnparsedPublicKey};
use serde_json::Value;

use super::clock::seconds;
use super::failure::Failure;
use super::state::same;

/// The private key of the App that tests use; it opens nothing but this server.
pub const APP_KEY: &str = include_str!("app.pem");

/// How long an installation's token is good for.
pub(super) const TOKEN_LIFE: Duration = Duration::from_secs(3_600);

/// The longest that GitHub lets an App's own token live, and a minute for clocks that differ.
const JWT_LIFE: u64 = 660;

/// A token and what it may do.
#[derive(Debug, Clone)]
pub struct Token {
    /// The secret that requests bear.
    pub secret: String,
    /// Whose it is.
    pub login: String,
    /// What `X-OAuth-Scopes` says; an installation's token has none.
    pub scopes: Option<Vec<String>>,
    /// Whether it may change anything.
    pub can_write: bool,
    /// The repositories, as `owner/name`, that it sees; nothing: all.
    pub repositories: Option<Vec<String>>,
    /// When it ends.
    pub expires: Option<SystemTime>,
}

impl Token {
    /// A person's token that may do everything.
    pub fn of(login: &str, secret: &str) -> Self {
        Self {
            secret: secret.to_owned(),
            login: login.to_owned(),
            scopes: Some(vec!["repo".to_owned()]),
            can_write: true,
            repositories: None,
            expires: None,
        }
    }

    /// The same, but it may only read.
    pub fn read_only(mut self) -> Self {
        self.can_write = false;
        self.scopes = Some(vec!["read:user".to_owned()]);
        self
    }

    /// The same, but it sees these repositories only.
    pub fn only(mut self, repositories: &[&str]) -> Self {
        self.repositories = Some(repositories.iter().map(|name| (*name).to_owned()).collect());
        self
    }

    pub(super) fn sees(&self, full_name: &str) -> bool {
        self.repositories.as_ref().is_none_or(|names| names.iter().any(|name| same(name, full_name)))
    }
}

/// A GitHub App and its one installation.
#[derive(Debug, Clone)]
pub struct App {
    /// The App's number.
    pub id: u64,
    /// Its name in URLs; it speaks as `<slug>[bot]`.
    pub slug: String,
    /// The installation's number.
    pub installation: u64,
    /// Whose repositories it is installed on.
    pub owner: String,
}

/// Who asks.
#[derive(Debug, Clone)]
pub(super) enum Caller {
    Token(Token),
    App,
}

impl Caller {
    /// By whom limits are counted.
    pub(super) fn key(&self) -> &str {
        match self {
            Self::Token(token) => &token.secret,
            Self::App => "",
        }
    }
}

/// All who may ask.
#[derive(Debug)]
pub(super) struct Keys {
    pub(super) tokens: Vec<Token>,
    pub(super) app: Option<App>,
}

impl Keys {
    /// Who bears this `Authorization`.
    pub(super) fn caller(&self, headers: &HeaderMap, now: SystemTime) -> Result<Caller, Failure> {
        let header = headers.get(AUTHORIZATION).ok_or_else(|| Failure::unauthorized("Requires authentication"))?;
        let secret = header.to_str().ok().and_then(|text| text.split_once(' '));
        let Some(("Bearer" | "bearer" | "token", secret)) = secret else {
            return Err(Failure::unauthorized("Bad credentials"));
        };
        if secret.split('.').count() == 3 {
            return self.app_by(secret).map(|()| Caller::App);
        }
        let token = self.tokens.iter().find(|token| token.secret == secret);
        let token = token.filter(|token| token.expires.is_none_or(|expires| now < expires));
        token.cloned().map(Caller::Token).ok_or_else(|| Failure::unauthorized("Bad credentials"))
    }

    /// Whether this is a JSON web token of the App: signed by its key with RS256, by the machine's clock neither over nor
    /// good for longer than ten minutes.
    fn app_by(&self, jwt: &str) -> Result<(), Failure> {
        let unreadable = || Failure::unauthorized("A JSON web token could not be decoded");
        let app = self.app.as_ref().ok_or_else(unreadable)?;
        let (signed, signature) = jwt.rsplit_once('.').ok_or_else(unreadable)?;
        let (header, claims) = signed.split_once('.').ok_or_else(unreadable)?;
        let decoded = |part: &str| URL_SAFE_NO_PAD.decode(part).ok();
        let parsed = |part: &str| decoded(part).and_then(|bytes| serde_json::from_slice::<Value>(&bytes).ok());
        let (header, claims) = parsed(header).zip(parsed(claims)).ok_or_else(unreadable)?;
        let signature = decoded(signature).ok_or_else(unreadable)?;
        let is_signed = public_key().verify(signed.as_bytes(), &signature).is_ok();
        if header.get("alg").and_then(Value::as_str) != Some("RS256") || !is_signed {
            return Err(unreadable());
        }
        let whole = |claim: &str| claims.get(claim).and_then(Value::as_u64);
        let now = seconds(SystemTime::now());
        let (Some(issued), Some(expires)) = (whole("iat"), whole("exp")) else {
            return Err(Failure::unauthorized("'iat' and 'exp' must be Integers"));
        };
        if expires <= now {
            return Err(Failure::unauthorized("'Expiration time' claim ('exp') must be a numeric value in the future"));
        }
        if expires.saturating_sub(issued) > JWT_LIFE {
            return Err(Failure::unauthorized("'Expiration time' claim ('exp') is too far in the future"));
        }
        if issued > now + 60 {
            return Err(Failure::unauthorized("'Issued at' claim ('iat') must be in the past"));
        }
        let issuer = claims.get("iss").map(|issuer| issuer.as_str().map_or_else(|| issuer.to_string(), str::to_owned));
        if issuer != Some(app.id.to_string()) {
            return Err(Failure::not_found());
        }
        Ok(())
    }
}

fn public_key() -> UnparsedPublicKey<Vec<u8>> {
    let base64: String = APP_KEY.lines().filter(|line| !line.starts_with('-')).collect();
    let der = STANDARD.decode(base64).expect("the test key is a PEM file");
    let pair = RsaKeyPair::from_der(&der).expect("the test key is an RSA key in PKCS #1");
    UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, pair.public_key().as_ref().to_vec())
}
