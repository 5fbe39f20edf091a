//! Which server is meant: the one that was named, else the one that `poppo up` runs in this folder, else the usual
//! place of a Redis on this host.

use std::path::Path;

use poppo::{Client, DEFAULT_PORT, Error};

use crate::exit::{FAILED, Failure};
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

/// Connects to the server that was named, or to the first of the usual ones that answers.
pub(crate) async fn connect(url: Option<&str>) -> Result<Client, Failure> {
    let mut looked = Vec::new();
    for place in places(url, server::recorded_url(Path::new(DEFAULT_DIR))) {
        match place {
            Place::Named(url) => return Ok(Client::connect(&url).await?),
            Place::Up(None) => looked.push(format!("no `poppo up` runs in {DEFAULT_DIR}")),
            Place::Up(Some(url)) => match Client::connect(&url).await {
                Ok(client) => return Ok(client),
                Err(_) => looked.push(format!("the `poppo up` that ran in {DEFAULT_DIR} does not answer")),
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
    Err(Failure::new(FAILED, "UNREACHABLE", message))
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
}
