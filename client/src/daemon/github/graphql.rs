//! GraphQL: operations of many fields, some of which may fail while the others are done. GitHub answers that with HTTP 200,
//! with null for what failed and an error that names it by its path.

use http::Method;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::error::one_line;
use super::pacer::Kind;
use super::wire::Answer;
use super::{Call, Cause, GithubError, Repo};

/// What came back.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    /// The fields by their aliases; null for what failed.
    pub(crate) data: Map<String, Value>,
    failures: Vec<Failure>,
}

/// What failed, and where.
#[derive(Debug)]
struct Failure {
    path: Vec<String>,
    cause: Cause,
}

impl Outcome {
    /// Why the field at that path is not there, or not whole.
    pub(crate) fn failure(&self, path: &[&str]) -> Option<&Cause> {
        self.failures.iter().find(|failure| is_along(&failure.path, path)).map(|failure| &failure.cause)
    }
}

/// Whether a failure at one path is one of the other: above it, or inside.
fn is_along(failed: &[String], path: &[&str]) -> bool {
    failed.iter().zip(path).all(|(failed, wanted)| failed == wanted)
}

#[derive(Debug, Deserialize)]
struct Body {
    data: Option<Map<String, Value>>,
    #[serde(default)]
    errors: Vec<Error>,
}

#[derive(Debug, Deserialize)]
struct Error {
    #[serde(rename = "type")]
    kind: Option<String>,
    #[serde(default)]
    message: String,
    #[serde(default)]
    path: Vec<Value>,
}

impl Error {
    fn cause(&self) -> Cause {
        let message = one_line(&self.message);
        match self.kind.as_deref() {
            Some("NOT_FOUND") => Cause::NotFound,
            Some("FORBIDDEN" | "INSUFFICIENT_SCOPES") => Cause::Forbidden(message),
            Some("UNPROCESSABLE" | "ARGUMENT_LIMIT" | "MAX_NODE_LIMIT_EXCEEDED") => Cause::Unprocessable(message),
            _ => Cause::Unavailable(message),
        }
    }
}

impl Repo {
    /// Asks something.
    pub(crate) async fn graphql_query(&self, query: &str, variables: &Value) -> Result<Outcome, GithubError> {
        self.graphql(Kind::Query, query, variables).await
    }

    /// Changes something; the same twice has to be no more than once.
    pub(crate) async fn graphql_mutation(&self, mutation: &str, variables: &Value) -> Result<Outcome, GithubError> {
        self.graphql(Kind::Mutation, mutation, variables).await
    }

    async fn graphql(&self, kind: Kind, query: &str, variables: &Value) -> Result<Outcome, GithubError> {
        let body = json!({ "query": query, "variables": variables }).to_string();
        let path = "/graphql".to_owned();
        let call = Call { method: Method::POST, path: path.clone(), body, kind, is_repeatable: true, tag: None };
        let (answer, _) = self.call(call).await?;
        read(&answer).map_err(|cause| GithubError { request: format!("POST {path}"), cause })
    }
}

/// What can be used of an answer. Without data, the first error is what came of it all.
fn read(answer: &Answer) -> Result<Outcome, Cause> {
    let body: Body =
        serde_json::from_slice(&answer.body).map_err(|error| Cause::Nonsense(one_line(&error.to_string())))?;
    let word = |segment: &Value| segment.as_str().map_or_else(|| segment.to_string(), str::to_owned);
    let failure = |error: &Error| Failure { path: error.path.iter().map(word).collect(), cause: error.cause() };
    match body.data {
        Some(data) => Ok(Outcome { data, failures: body.errors.iter().map(failure).collect() }),
        None => Err(match body.errors.first() {
            Some(error) => error.cause(),
            None => Cause::Nonsense("neither data nor errors".to_owned()),
        }),
    }
}

/// Whether an answer is GraphQL's way to say that too much was asked.
pub(super) fn is_limited(kind: Kind, answer: &Answer) -> bool {
    let is_graphql = matches!(kind, Kind::Query | Kind::Mutation);
    if !is_graphql || !answer.status.is_success() {
        return false;
    }
    let Ok(body) = serde_json::from_slice::<Body>(&answer.body) else { return false };
    let is_limit = |error: &Error| {
        error.kind.as_deref() == Some("RATE_LIMITED") || error.message.to_lowercase().contains("secondary rate limit")
    };
    // Where some of it was done, it is those fields that failed.
    body.data.is_none() && body.errors.iter().any(is_limit)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;

    fn answer(body: &str) -> Answer {
        Answer { body: body.as_bytes().to_vec(), ..Answer::default() }
    }

    #[test]
    fn what_was_done_is_kept_and_what_failed_is_named() {
        let outcome = read(&answer(
            r#"{"data":{"a0":{"x":1},"a1":null,"repository":{"i5":null}},"errors":[
                {"type":"NOT_FOUND","path":["a1"],"message":"Could not resolve"},
                {"path":["repository","i5"],"message":"Something went wrong"}]}"#,
        ))
        .unwrap();
        assert!(outcome.data["a0"].is_object());
        assert_eq!(outcome.failure(&["a0"]), None);
        assert_eq!(outcome.failure(&["a1"]), Some(&Cause::NotFound));
        assert_eq!(outcome.failure(&["repository", "i4"]), None);
        assert!(matches!(outcome.failure(&["repository", "i5"]), Some(Cause::Unavailable(_))));
    }

    #[test]
    fn an_error_of_everything_is_one_error() {
        let refused =
            |kind: &str| read(&answer(&format!(r#"{{"errors":[{{"type":"{kind}","message":"m"}}]}}"#))).unwrap_err();
        assert!(matches!(refused("FORBIDDEN"), Cause::Forbidden(_)));
        assert!(matches!(refused("NOT_FOUND"), Cause::NotFound));
        assert!(matches!(read(&answer(r#"{"data":null,"errors":[{"message":"x"}]}"#)), Err(Cause::Unavailable(_))));
        for nonsense in ["", "{}", "<html>", "[]", r#"{"unexpected":[null,[]]}"#, r#"{"data":{"a":"#] {
            assert!(matches!(read(&answer(nonsense)), Err(Cause::Nonsense(_))), "{nonsense}");
        }
    }

    #[test]
    fn a_limit_may_come_with_status_200() {
        let limited = answer(r#"{"errors":[{"type":"RATE_LIMITED","message":"API rate limit exceeded"}]}"#);
        assert!(is_limited(Kind::Mutation, &limited) && !is_limited(Kind::Read, &limited));
        let secondary = answer(r#"{"errors":[{"message":"You have exceeded a secondary rate limit."}]}"#);
        assert!(is_limited(Kind::Query, &secondary));
        assert!(!is_limited(Kind::Query, &answer(r#"{"data":{},"errors":[{"type":"RATE_LIMITED"}]}"#)));
    }
}
