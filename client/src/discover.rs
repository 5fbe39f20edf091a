//! Which server is meant: the one that was named, else the one that `poppo up` runs in this folder, else the usual
//! place of a Redis on this host. And for how long it is waited for where it is away.

use std::path::Path;
use std::time::Duration;

use poppo::{Client, DEFAULT_PORT, Error};
use tokio::time::{Instant, sleep};

use crate::exit::{FAILED, Failure};
use crate::output::say;
use crate::retry::Retry;
use crate::server;

/// The folder in which `poppo up` keeps everything unless it is told otherwise.
pub(crate) const DEFAULT_DIR: &str = "./.poppo";

/// A place to look for a server.
#[derive(Debug, PartialEq, Eq)]
enum Place {
    /// It was named, so there is no other.
    Named(String),
    /// What `poppo up` wrote down in its folder, if it did.
    Up(Option<String>),
    /// Where Redis is by default.
    Default(String),
}

/// For how long a server is waited for that does not answer yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Patience {
    /// As somebody said, whatever is away.
    Said(Duration),
    /// As is usual for the command, if there is a server that is meant: one that was named, or was here before.
    Usual(Duration),
    /// As the second, without an end.
    Endless,
}

impl Patience {
    /// Of a command that is answered at once, or not at all.
    pub(crate) const NONE: Self = Self::Usual(Duration::ZERO);

    /// How much of it is left.
    fn left(self, since: Instant, missed: &Missed) -> Duration {
        let whole = match (self, missed) {
            (_, Missed::Failed(_)) | (Self::Usual(_) | Self::Endless, Missed::Nowhere(_)) => Duration::ZERO,
            (Self::Said(time) | Self::Usual(time), _) => time,
            (Self::Endless, Missed::Away(_)) => Duration::MAX,
        };
        whole.saturating_sub(since.elapsed())
    }
}

/// Why nothing can be asked of a server.
#[derive(Debug)]
pub(crate) enum Missed {
    /// It does not answer, and may later.
    Away(Failure),
    /// None is meant, and none is in the usual places.
    Nowhere(Failure),
    /// It does not want us, and will not by itself.
    Failed(Failure),
}

impl Missed {
    fn failure(self) -> Failure {
        match self {
            Self::Away(failure) | Self::Nowhere(failure) | Self::Failed(failure) => failure,
        }
    }

    fn message(&self) -> &str {
        match self {
            Self::Away(failure) | Self::Nowhere(failure) | Self::Failed(failure) => &failure.message,
        }
    }
}

impl From<Error> for Missed {
    fn from(error: Error) -> Self {
        if error.may_pass() { Self::Away(error.into()) } else { Self::Failed(error.into()) }
    }
}

/// Tries to reach a server until it works, or there is no patience left. What is waited for is said once.
pub(crate) async fn wait_for<T>(
    patience: Patience,
    attempt: impl AsyncFn() -> Result<T, Missed>,
) -> Result<T, Failure> {
    let since = Instant::now();
    let mut retry = Retry::default();
    loop {
        let missed = match attempt().await {
            Ok(reached) => {
                if retry.has_begun() {
                    say("the server answers");
                }
                return Ok(reached);
            }
            Err(missed) => missed,
        };
        let left = patience.left(since, &missed);
        if left.is_zero() {
            return Err(missed.failure());
        }
        retry.warn(missed.message(), "waiting for it");
        sleep(retry.pause().min(left)).await;
    }
}

/// Connects to the server that was named, or to the first of the usual ones that answers.
pub(crate) async fn connect(url: Option<&str>) -> Result<Client, Missed> {
    let mut looked = Vec::new();
    let mut was_here = false;
    for place in places(url, server::recorded_url(Path::new(DEFAULT_DIR))) {
        match place {
            Place::Named(url) => return Ok(Client::connect(&url).await?),
            Place::Up(None) => looked.push(format!("no `poppo up` runs in {DEFAULT_DIR}")),
            Place::Up(Some(url)) => match Client::connect(&url).await {
                Ok(client) => return Ok(client),
                Err(_) => {
                    was_here = true;
                    looked.push(format!("the `poppo up` that ran in {DEFAULT_DIR} does not answer"));
                }
            },
            Place::Default(url) => match Client::connect(&url).await {
                Ok(client) => return Ok(client),
                Err(Error::Connection { .. } | Error::Timeout { .. }) => {
                    looked.push(format!("nobody answers at {url}"));
                }
                Err(other) => return Err(other.into()),
            },
        }
    }
    let message = format!(
        "found no server: {}; start one here with `poppo up`, or name yours with --url or POPPO_URL",
        looked.join(", and ")
    );
    let failure = Failure::new(FAILED, "UNREACHABLE", message);
    Err(if was_here { Missed::Away(failure) } else { Missed::Nowhere(failure) })
}

/// The places to look at, in their order.
fn places(named: Option<&str>, recorded: Option<String>) -> Vec<Place> {
    match named {
        Some(url) => vec![Place::Named(url.to_owned())],
        None => vec![Place::Up(recorded), Place::Default(format!("redis://127.0.0.1:{DEFAULT_PORT}"))],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_named_server_is_the_only_one_that_counts() {
        let places = places(Some("redis://h"), Some("unix:///s".to_owned()));
        assert_eq!(places, [Place::Named("redis://h".to_owned())]);
    }

    #[test]
    fn without_a_name_the_folder_comes_before_the_host() {
        let default = || Place::Default("redis://127.0.0.1:6379".to_owned());
        assert_eq!(places(None, Some("unix:///s".to_owned())), [Place::Up(Some("unix:///s".to_owned())), default()]);
        assert_eq!(places(None, None), [Place::Up(None), default()]);
    }

    #[test]
    fn a_server_that_nobody_named_is_waited_for_only_where_somebody_says_so() {
        let minute = Duration::from_secs(60);
        let failure = || Failure::failed("away");
        let left = |patience: Patience, missed| patience.left(Instant::now(), &missed);
        assert!(left(Patience::Said(minute), Missed::Nowhere(failure())) > minute / 2);
        assert!(left(Patience::Usual(minute), Missed::Away(failure())) > minute / 2);
        assert!(left(Patience::Endless, Missed::Away(failure())) > 1000 * minute);
        for patience in [Patience::Usual(minute), Patience::Endless] {
            assert_eq!(left(patience, Missed::Nowhere(failure())), Duration::ZERO);
        }
        for patience in [Patience::Said(minute), Patience::Usual(minute), Patience::Endless] {
            assert_eq!(left(patience, Missed::Failed(failure())), Duration::ZERO);
        }
        assert_eq!(left(Patience::NONE, Missed::Away(failure())), Duration::ZERO);
    }
}
