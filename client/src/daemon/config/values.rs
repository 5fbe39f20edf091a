//! Values that are more than a string: checked where they are read, so that the error names their line.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

/// A duration such as `"5s"` or `"30min"`, from `LEAST` to `MOST` seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Period<const LEAST: u64, const MOST: u64>(Duration);

impl<const LEAST: u64, const MOST: u64> Period<LEAST, MOST> {
    /// A default; the caller knows that it is allowed.
    pub(crate) const fn of(duration: Duration) -> Self {
        Self(duration)
    }

    pub(crate) fn get(self) -> Duration {
        self.0
    }
}

impl<'de, const LEAST: u64, const MOST: u64> Deserialize<'de> for Period<LEAST, MOST> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let (least, most) = (Duration::from_secs(LEAST), Duration::from_secs(MOST));
        let duration = humantime::parse_duration(&text).ok().filter(|duration| (least..=most).contains(duration));
        duration.map(Self).ok_or_else(|| {
            let (least, most) = (humantime::format_duration(least), humantime::format_duration(most));
            D::Error::custom(format!("\"{text}\" must be a duration from {least} to {most}, such as \"90s\""))
        })
    }
}

/// A part of a hundred, from `LEAST` to `MOST`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Percent<const LEAST: u8, const MOST: u8>(u8);

impl<const LEAST: u8, const MOST: u8> Percent<LEAST, MOST> {
    /// A default; the caller knows that it is allowed.
    pub(crate) const fn of(percent: u8) -> Self {
        Self(percent)
    }

    pub(crate) fn get(self) -> u8 {
        self.0
    }
}

impl<'de, const LEAST: u8, const MOST: u8> Deserialize<'de> for Percent<LEAST, MOST> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let percent = i64::deserialize(deserializer)?;
        let allowed = u8::try_from(percent).ok().filter(|percent| (LEAST..=MOST).contains(percent));
        allowed.map(Self).ok_or_else(|| D::Error::custom(format!("must be a number from {LEAST} to {MOST} (percent)")))
    }
}

/// A name in the protocol's sense: 1 to 128 bytes of printable ASCII without blanks.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct Name(String);

impl TryFrom<String> for Name {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        if (1..=128).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic()) {
            Ok(Self(text))
        } else {
            Err(format!("{text:?} must be 1 to 128 bytes of printable ASCII without blanks"))
        }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A project's key.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct Key(String);

impl Key {
    /// A key that is a constant of ours.
    pub(crate) fn new(key: &str) -> Self {
        Self(key.to_owned())
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Key {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        if text.is_empty() { Err("a project's key must not be empty".to_owned()) } else { Ok(Self(text)) }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A repository on GitHub: `owner/name`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct Repository {
    pub(crate) owner: String,
    pub(crate) name: String,
}

impl TryFrom<String> for Repository {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        // What GitHub allows in the names of accounts and repositories.
        let is_name = |part: &str, others: &str| {
            !part.is_empty() && part.chars().all(|c| c.is_ascii_alphanumeric() || others.contains(c))
        };
        match text.split_once('/') {
            Some((owner, name)) if is_name(owner, "-_") && is_name(name, "-_.") => {
                Ok(Self { owner: owner.to_owned(), name: name.to_owned() })
            }
            _ => Err(format!("{text:?} must be owner/name, as in acme/widgets")),
        }
    }
}

impl fmt::Display for Repository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.owner, self.name)
    }
}

/// Where to listen: an address and a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct Listen(SocketAddr);

impl Listen {
    /// The address; port 0 is whichever is free.
    pub(crate) fn address(self) -> SocketAddr {
        self.0
    }

    /// Whether others than this host can reach it.
    pub(crate) fn is_open_to_others(self) -> bool {
        !self.0.ip().is_loopback()
    }
}

impl Default for Listen {
    fn default() -> Self {
        Self(SocketAddr::from(([127, 0, 0, 1], 8787)))
    }
}

impl TryFrom<String> for Listen {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse().map(Self).map_err(|_| format!("{text:?} must be an address and a port, as in 127.0.0.1:8787"))
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// An `http://` or `https://` URL, without a slash at its end.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct HttpUrl(String);

impl HttpUrl {
    /// GitHub's own API.
    pub(crate) fn github() -> Self {
        Self("https://api.github.com".to_owned())
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for HttpUrl {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let host = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://")).unwrap_or_default();
        if host.is_empty() || host.contains(['@', ' ', '?', '#']) {
            return Err("must be a URL such as https://api.github.com or https://host/api/v3".to_owned());
        }
        Ok(Self(text.trim_end_matches('/').to_owned()))
    }
}
