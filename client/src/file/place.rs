//! Which file a URL means.

use std::path::PathBuf;

use crate::address::decoded;
use crate::url::file_url;
use crate::{Durability, Error};

/// What a URL may look like, for those who wrote another one.
const FORM: &str = "a file's must be file:///path/to/file.json, with three slashes and the whole path";

/// A file that was named.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) path: PathBuf,
    pub(super) durability: Option<Durability>,
}

impl Place {
    /// Reads a URL; none where it is not one of a file.
    pub(super) fn parse(url: &str) -> Result<Option<Self>, Error> {
        let Some(rest) = url.strip_prefix("file:") else { return Ok(None) };
        Self::read(rest).map(Some).map_err(|message| Error::Url { url: url.to_owned(), message })
    }

    fn read(rest: &str) -> Result<Self, String> {
        let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
        let path = path.strip_prefix("//").filter(|path| path.starts_with('/')).ok_or(FORM)?;
        let path = decoded(path);
        if path.ends_with('/') || path.contains('\0') {
            return Err(FORM.to_owned());
        }
        let mut durability = None;
        for part in query.split('&').filter(|part| !part.is_empty()) {
            let Some(("durability", value)) = part.split_once('=') else {
                return Err(format!("there is no parameter {part} of files; there is durability"));
            };
            durability = Some(decoded(value).parse().map_err(|why| format!("durability: {why}"))?);
        }
        Ok(Self { path: PathBuf::from(path), durability })
    }

    /// The same as it is always written: reports that wait for the file are found by it.
    pub(super) fn url(&self) -> String {
        file_url(&self.path)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_path_may_hold_anything() {
        let place = Place::parse("file:///my%20work/a%25b.json?durability=aof").unwrap().unwrap();
        assert_eq!(place.path, PathBuf::from("/my work/a%b.json"));
        assert!(place.durability.unwrap().aof);
        assert_eq!(place.url(), "file:///my%20work/a%25b.json");
        assert!(Place::parse("redis://h").unwrap().is_none());
    }

    #[test]
    fn what_is_no_file_is_said_to_be_none() {
        for url in ["file:state.json", "file://state.json", "file://host/state.json", "file:///a/", "file:///a%00b"] {
            let error = Place::parse(url).unwrap_err();
            assert!(error.to_string().contains("three slashes"), "{error}");
        }
        for url in ["file:///a?db=1", "file:///a?durability=much"] {
            assert_eq!(Place::parse(url).unwrap_err().code(), "URL");
        }
    }
}
