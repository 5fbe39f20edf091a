//! Queries and pages: the parameters of a request, and the `Link` header of its answer.

use std::time::SystemTime;

use axum::http::StatusCode;
use serde_json::Value;

use super::{Answer, Call, Failure, Reply};
use crate::github::log::Violation;
use crate::github::render::percent_encoded;

/// As many items as a page has at most.
const LARGEST: usize = 100;

/// The parameters of a query, decoded.
pub(super) fn parameters(query: &str) -> Vec<(String, String)> {
    let pair = |pair: &str| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        (decoded(name), decoded(value))
    };
    query.split('&').filter(|pair| !pair.is_empty()).map(pair).collect()
}

fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        let hex = |rest: &mut std::str::Bytes<'_>| {
            let digits = [rest.next()?, rest.next()?];
            u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()
        };
        match byte {
            b'+' => bytes.push(b' '),
            b'%' => {
                // What is no number stays as it was, as browsers have it.
                let mut ahead = rest.clone();
                if let Some(value) = hex(&mut ahead) {
                    bytes.push(value);
                    rest = ahead;
                } else {
                    bytes.push(b'%');
                }
            }
            _ => bytes.push(byte),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

impl Call {
    /// Notes parameters that GitHub does not have here; it takes no notice of them itself.
    pub(super) fn knows(&self, parameters: &[&str]) {
        for (name, _) in &self.query {
            if !parameters.contains(&name.as_str()) && name != "per_page" && name != "page" {
                let why = format!("there is no parameter {name:?}");
                self.session.hub.log.breach(&self.session.request, Violation::Malformed(why));
            }
        }
    }

    /// A parameter that is one of these words; the first is what it is when it is not given.
    pub(super) fn word<'a>(&self, name: &str, words: &[&'a str]) -> Result<&'a str, Failure> {
        let given = self.parameter(name);
        match words.iter().find(|word| given.is_none_or(|given| given == **word)) {
            Some(word) => Ok(word),
            None => {
                let given = given.unwrap_or_default();
                Err(Failure::shape(name, &format!("{given:?} is not a member of {words:?}")))
            }
        }
    }

    /// The parameter `since`.
    pub(super) fn since(&self) -> Result<Option<SystemTime>, Failure> {
        let Some(text) = self.parameter("since") else { return Ok(None) };
        // Offsets other than Z are allowed, but nobody here sends them.
        let utc = text.replace("+00:00", "Z");
        let wrong = |_| Failure::shape("since", &format!("{text:?} is not a time in ISO 8601"));
        humantime::parse_rfc3339_weak(&utc).map(Some).map_err(wrong)
    }

    fn whole(&self, name: &str, usual: usize) -> Result<usize, Failure> {
        let Some(text) = self.parameter(name) else { return Ok(usual) };
        let wrong = || {
            let message = format!("{name} is a number from 1, not {text:?}");
            Failure::malformed(StatusCode::UNPROCESSABLE_ENTITY, message)
        };
        text.parse().ok().filter(|number| *number > 0).ok_or_else(wrong)
    }

    /// The page of `items` that the query asks for.
    pub(super) fn page(&self, repository: u64, items: Vec<Value>) -> Answer {
        let (asked, page) = (self.whole("per_page", 30)?, self.whole("page", 1)?);
        if asked > LARGEST {
            let why = format!("per_page is {asked}, more than {LARGEST}");
            self.session.hub.log.breach(&self.session.request, Violation::Malformed(why));
        }
        let size = asked.min(LARGEST);
        let last = items.len().div_ceil(size).max(1);
        let shown: Vec<Value> = items.into_iter().skip((page - 1).saturating_mul(size)).take(size).collect();
        Ok(Reply { link: self.link(repository, page, last), ..Reply::ok(Value::Array(shown)) })
    }

    /// The `Link` header: none when there is one page only, and no rel for where one is.
    fn link(&self, repository: u64, page: usize, last: usize) -> Option<String> {
        let to = |rel: &str, page: usize| format!("<{}>; rel=\"{rel}\"", self.url_of_page(repository, page));
        let before = (page > 1).then(|| to("prev", (page - 1).min(last)));
        let after = (page < last).then(|| [to("next", page + 1), to("last", last)]);
        let first = (page > 1).then(|| to("first", 1));
        let links: Vec<String> = before.into_iter().chain(after.into_iter().flatten()).chain(first).collect();
        (!links.is_empty()).then(|| links.join(", "))
    }

    fn url_of_page(&self, repository: u64, page: usize) -> String {
        let kept = self.query.iter().filter(|(name, _)| name != "page");
        let mut query: Vec<String> =
            kept.map(|(name, value)| format!("{}={}", percent_encoded(name), percent_encoded(value))).collect();
        query.push(format!("page={page}"));
        format!("{}/repositories/{repository}{}?{}", self.session.hub.world().api, self.path, query.join("&"))
    }
}

#[cfg(test)]
mod tests {
    use super::parameters;

    #[test]
    fn parameters_are_decoded() {
        let query = parameters("labels=task%3Amisc,with+space&since=2026-01-01T00%3A00%3A00Z&bad=100%&empty");
        let shown: Vec<(&str, &str)> = query.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let since = ("since", "2026-01-01T00:00:00Z");
        assert_eq!(shown, [("labels", "task:misc,with space"), since, ("bad", "100%"), ("empty", "")]);
    }
}
