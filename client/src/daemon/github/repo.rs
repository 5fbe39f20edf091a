//! What can be asked of a repository over REST.

use std::fmt::Write as _;
use std::sync::PoisonError;

use http::header::{ETAG, LINK};
use http::{Method, StatusCode};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::error::one_line;
use super::told::text;
use super::types::Lenient;
use super::wire::Answer;
use super::{About, Call, Cause, GithubError, Issue, Label, Repo, is_same_name};

/// As many as GitHub shows on a page.
const PER_PAGE: u32 = 100;
/// A list that never ends is nonsense.
const MOST_PAGES: usize = 10_000;

/// Which issues are asked for, of all states, those changed last at the end.
#[derive(Debug, Clone, Default)]
pub(crate) struct Wanted {
    /// Only those that changed at that time or later, as GitHub writes times.
    pub(crate) since: Option<String>,
    /// Only those with this label.
    pub(crate) label: Option<String>,
    /// Only those that are open.
    pub(crate) is_open: bool,
}

/// What a list was when it was last seen: asked with it, GitHub says so where nothing has changed, which costs nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Tag {
    path: String,
    etag: String,
    /// It is bound to the token.
    generation: u64,
}

/// A list, or that it is the one that was seen before.
#[derive(Debug)]
pub(crate) enum Fresh<T> {
    /// Nothing has changed.
    Same,
    /// All of it, and what to show next time.
    New(Vec<T>, Option<Tag>),
}

impl<T> Fresh<T> {
    /// What is new.
    pub(crate) fn items(self) -> Vec<T> {
        match self {
            Self::Same => Vec::new(),
            Self::New(items, _) => items,
        }
    }
}

impl Repo {
    /// The owner's and the repository's name, as they are now, as far as is known.
    pub(crate) fn owner_and_name(&self) -> (String, String) {
        self.name.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether `owner/name` is the repository, by its name in the configuration or the one that it has now.
    pub(crate) fn is_called(&self, full_name: &str) -> bool {
        let (owner, name) = self.owner_and_name();
        [self.first.to_string(), format!("{owner}/{name}")].iter().any(|known| is_same_name(known, full_name))
    }

    /// The repository itself. Where it has been renamed, its new name counts from now on.
    pub(crate) async fn about(&self) -> Result<About, GithubError> {
        let answer = self.call(Call::get(self.path(""))).await;
        let about: About = match answer {
            Err(GithubError { cause: Cause::Moved, .. }) => self.follow().await?,
            answer => self.parsed(&Call::get(self.path("")), &answer?.0)?,
        };
        if let Some((owner, name)) = about.full_name.split_once('/') {
            let new = (owner.to_owned(), name.to_owned());
            *self.name.write().unwrap_or_else(PoisonError::into_inner) = new;
        }
        Ok(about)
    }

    /// All its labels.
    pub(crate) async fn labels(&self) -> Result<Vec<Label>, GithubError> {
        let path = format!("{}?per_page={PER_PAGE}", self.path("/labels"));
        Ok(self.list(path, None).await?.items())
    }

    /// Makes a label; one of that name that is there already is as good.
    pub(crate) async fn create_label(&self, name: &str, color: &str, description: &str) -> Result<Label, GithubError> {
        let body = json!({ "name": name, "color": color, "description": description });
        let call = || Call::change(Method::POST, self.path("/labels"), &body);
        match self.call(call()).await {
            Ok((answer, _)) => self.parsed(&call(), &answer),
            Err(error) if matches!(error.cause, Cause::Unprocessable(_)) => {
                let path = self.path(&format!("/labels/{}", segment(name)));
                let (answer, _) = self.call(Call::get(path.clone())).await.map_err(|_| error)?;
                self.parsed(&Call::get(path), &answer)
            }
            Err(error) => Err(error),
        }
    }

    /// Issues and pull requests.
    pub(crate) async fn issues(&self, wanted: &Wanted, seen: Option<&Tag>) -> Result<Fresh<Issue>, GithubError> {
        let mut path = format!(
            "{}?state={}&sort=updated&direction=asc&per_page={PER_PAGE}",
            self.path("/issues"),
            if wanted.is_open { "open" } else { "all" }
        );
        for (key, value) in [("since", &wanted.since), ("labels", &wanted.label)] {
            if let Some(value) = value {
                path.push_str(&format!("&{key}={}", segment(value)));
            }
        }
        self.list(path, seen).await
    }

    /// One issue.
    pub(crate) async fn issue(&self, number: u64) -> Result<Issue, GithubError> {
        let call = || Call::get(self.path(&format!("/issues/{number}")));
        let (answer, _) = self.call(call()).await?;
        self.parsed(&call(), &answer)
    }

    /// Puts a label on an issue; one that is on stays. All labels that are on then.
    pub(crate) async fn add_label(&self, number: u64, name: &str) -> Result<Vec<String>, GithubError> {
        let path = self.path(&format!("/issues/{number}/labels"));
        let call = Call::change(Method::POST, path.clone(), &json!({ "labels": [name] }));
        let (answer, _) = self.call(call).await?;
        let labels: Vec<Label> = self.parsed(&Call::change(Method::POST, path, &Value::Null), &answer)?;
        Ok(labels.into_iter().map(|label| label.name).collect())
    }

    /// Takes a label off an issue; one that is not on is off. All labels that are on then.
    pub(crate) async fn remove_label(&self, number: u64, name: &str) -> Result<Vec<String>, GithubError> {
        let path = self.path(&format!("/issues/{number}/labels/{}", segment(name)));
        match self.call(Call::change(Method::DELETE, path.clone(), &Value::Null)).await {
            Ok((answer, _)) => {
                let labels: Vec<Label> = self.parsed(&Call::change(Method::DELETE, path, &Value::Null), &answer)?;
                Ok(labels.into_iter().map(|label| label.name).collect())
            }
            // The label is not there, or not on; or the issue is not there, which it says itself.
            Err(GithubError { cause: Cause::NotFound, .. }) => {
                let issue = self.issue(number).await?;
                Ok(issue.labels.into_iter().filter(|on| !is_same_name(on, name)).collect())
            }
            Err(error) => Err(error),
        }
    }

    /// A list with all its pages.
    pub(super) async fn list<T: DeserializeOwned>(
        &self,
        path: String,
        seen: Option<&Tag>,
    ) -> Result<Fresh<T>, GithubError> {
        let (mut items, mut tag, mut next) = (Vec::new(), None, Some(path.clone()));
        for page in 0..MOST_PAGES {
            let Some(path) = next.take() else { break };
            let mut call = Call::get(path.clone());
            if page == 0 {
                call.tag = seen.filter(|seen| self.is_current(seen, &path)).map(|seen| seen.etag.clone());
            }
            let (answer, generation) = self.call(call).await?;
            if answer.status == StatusCode::NOT_MODIFIED {
                return Ok(Fresh::Same);
            }
            let list: Lenient<T> = self.parsed(&Call::get(path.clone()), &answer)?;
            if list.left_out > 0 {
                tracing::warn!(
                    count = list.left_out,
                    "GitHub's answer to GET {path} has entries that cannot be understood"
                );
            }
            items.extend(list.items);
            next = text(&answer.headers, LINK.as_str()).and_then(next_page).map(|url| self.github.path_of(&url));
            // The first page of a list in order of change says nothing of the pages behind it.
            if page == 0 && next.is_none() {
                let etag = text(&answer.headers, ETAG.as_str()).map(str::to_owned);
                tag = etag.map(|etag| Tag { path: path.clone(), etag, generation });
            }
        }
        Ok(Fresh::New(items, tag))
    }

    fn is_current(&self, seen: &Tag, path: &str) -> bool {
        // A token that was renewed since gets a whole answer once more.
        seen.path == path && self.generation().is_some_and(|generation| generation == seen.generation)
    }

    fn generation(&self) -> Option<u64> {
        match &self.account.bearer {
            super::Bearer::Token(_) => Some(0),
            super::Bearer::Installation { minted, .. } => minted.try_lock().ok().map(|minted| minted.generation),
        }
    }

    /// `/repos/owner/name` and what is behind it.
    pub(super) fn path(&self, rest: &str) -> String {
        let (owner, name) = self.owner_and_name();
        format!("/repos/{owner}/{name}{rest}")
    }

    pub(super) fn parsed<T: DeserializeOwned>(&self, call: &Call, answer: &Answer) -> Result<T, GithubError> {
        serde_json::from_slice(&answer.body).map_err(|error| call.failed(Cause::Nonsense(one_line(&error.to_string()))))
    }

    /// Where a repository went that has been renamed. Its old name goes on working with GitHub's redirects, which end when
    /// somebody else takes it; and a write is not redirected, so the new name is wanted.
    async fn follow(&self) -> Result<About, GithubError> {
        let (owner, name) = self.owner_and_name();
        let query =
            "query($owner: String!, $name: String!) { repository(owner: $owner, name: $name) { nameWithOwner } }";
        let answer = self.graphql_query(query, &json!({ "owner": owner, "name": name })).await?;
        let found = answer.data.get("repository").and_then(|repository| repository.get("nameWithOwner"));
        let call = Call::get(match found.and_then(Value::as_str) {
            Some(full_name) => format!("/repos/{full_name}"),
            None => return Err(Call::get(self.path("")).failed(Cause::Moved)),
        });
        let (answer, _) = self.call(Call::get(call.path.clone())).await?;
        self.parsed(&call, &answer)
    }
}

impl super::Github {
    /// The path and query of a link to another page. Whatever host it names, ours is asked: no other gets the token.
    fn path_of(&self, url: &str) -> String {
        if let Some(path) = url.strip_prefix(&self.shared.api) {
            return path.to_owned();
        }
        let path = url.split_once("://").and_then(|(_, rest)| rest.find('/').and_then(|at| rest.get(at..)));
        path.unwrap_or(url).trim_start_matches("/api/v3").to_owned()
    }
}

/// The next page, of `<url>; rel="next", <url>; rel="last"`.
fn next_page(link: &str) -> Option<String> {
    link.split(',').find_map(|part| {
        let (url, parameters) = part.trim().strip_prefix('<')?.split_once('>')?;
        let is_next = parameters.split(';').any(|parameter| matches!(parameter.trim(), "rel=\"next\"" | "rel=next"));
        is_next.then(|| url.to_owned())
    })
}

/// A text as a segment of a path or a value in a query.
pub(super) fn segment(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_page_is_found_among_the_links() {
        let link = r#"<https://h/a?page=1>; rel="prev", <https://h/a?page=3&x=1,2>; rel="next", <https://h/a?page=9>; rel="last""#;
        assert_eq!(next_page(r#"<https://h/a?page=3>; rel="next""#).as_deref(), Some("https://h/a?page=3"));
        assert_eq!(next_page(r#"<https://h/a?page=3>; rel="last""#), None);
        assert_eq!(next_page("nonsense"), None);
        assert_eq!(next_page(link), None, "GitHub encodes commas in its links, so this one is none of its own");
    }

    #[test]
    fn names_are_encoded() {
        assert_eq!(segment("help wanted/あ+?"), "help%20wanted%2F%E3%81%82%2B%3F");
        assert_eq!(segment("2026-01-31T12:00:00Z"), "2026-01-31T12%3A00%3A00Z");
    }
}
