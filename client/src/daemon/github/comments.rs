//! Comments: what is new, and what is said exactly once.

use http::Method;
use serde_json::json;

use super::pacer::Kind;
use super::repo::{Fresh, Tag, segment};
use super::{Call, Comment, GithubError, Repo};

impl Repo {
    /// Comments on all issues that were written or edited at that time or later, as GitHub writes times; in the order of
    /// their last change.
    pub(crate) async fn comments(
        &self,
        since: Option<&str>,
        seen: Option<&Tag>,
    ) -> Result<Fresh<Comment>, GithubError> {
        let mut path = format!("{}?sort=updated&direction=asc&per_page=100", self.path("/issues/comments"));
        if let Some(since) = since {
            path.push_str(&format!("&since={}", segment(since)));
        }
        self.list(path, seen).await
    }

    /// Comments on one issue, the oldest first.
    pub(crate) async fn comments_on(&self, number: u64, since: Option<&str>) -> Result<Vec<Comment>, GithubError> {
        let mut path = format!("{}?per_page=100", self.path(&format!("/issues/{number}/comments")));
        if let Some(since) = since {
            path.push_str(&format!("&since={}", segment(since)));
        }
        Ok(self.list(path, None).await?.items())
    }

    /// Says something on an issue. **Not** repeated where no answer comes: it may have been said then.
    pub(crate) async fn create_comment(&self, number: u64, body: &str) -> Result<Comment, GithubError> {
        let path = self.path(&format!("/issues/{number}/comments"));
        let mut call = Call::change(Method::POST, path.clone(), &json!({ "body": body }));
        call.kind = Kind::Creation;
        call.is_repeatable = false;
        let (answer, _) = self.call(call).await?;
        self.parsed(&Call::change(Method::POST, path, &serde_json::Value::Null), &answer)
    }

    /// Says something on an issue unless it was said before, by whichever daemon: `id` is hidden in the comment, and looked
    /// for in those since `since` (as GitHub writes times). Asked again after any error, it is said once. False where it was
    /// there already.
    ///
    /// Of two that do this at the same moment, both may say it: whoever calls this holds what makes it his to say.
    pub(crate) async fn comment_once(
        &self,
        number: u64,
        id: &str,
        body: &str,
        since: Option<&str>,
    ) -> Result<bool, GithubError> {
        let marker = marker(id);
        let is_said = |comments: Vec<Comment>| {
            comments.iter().any(|comment| comment.body.as_ref().is_some_and(|body| body.contains(&marker)))
        };
        if is_said(self.comments_on(number, since).await?) {
            return Ok(false);
        }
        match self.create_comment(number, &format!("{body}\n\n{marker}")).await {
            Ok(_) => Ok(true),
            // It may have been said all the same: what came back was broken.
            Err(error) if error.cause.may_pass() => {
                if is_said(self.comments_on(number, since).await?) {
                    Ok(true)
                } else {
                    Err(error)
                }
            }
            Err(error) => Err(error),
        }
    }
}

/// What people do not see of a comment. An id in it cannot end it.
fn marker(id: &str) -> String {
    let id: String =
        id.chars().map(|c| if c.is_ascii_alphanumeric() || ":._/#".contains(c) { c } else { '_' }).collect();
    format!("<!-- poppo:{id} -->")
}

#[cfg(test)]
mod tests {
    use super::marker;

    #[test]
    fn a_marker_cannot_be_ended_by_its_id() {
        assert_eq!(marker("repair:12:5"), "<!-- poppo:repair:12:5 -->");
        assert_eq!(marker("--> <b>"), "<!-- poppo:_____b_ -->");
    }
}
