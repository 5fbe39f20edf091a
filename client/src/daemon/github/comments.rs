//! Comments: what is new, and something to say.

use http::Method;
use serde_json::json;

use super::pacer::Kind;
use super::repo::segment;
use super::{Call, Comment, GithubError, Repo};

impl Repo {
    /// Comments on one issue, the oldest first.
    pub(crate) async fn comments_on(&self, number: u64, since: Option<&str>) -> Result<Vec<Comment>, GithubError> {
        let mut path = format!("{}?per_page=100", self.path(&format!("/issues/{number}/comments")));
        if let Some(since) = since {
            path.push_str(&format!("&since={}", segment(since)));
        }
        Ok(self.list(path, None).await?.items())
    }

    /// Says something on an issue. **Not** repeated where no answer comes, since it may have been said then: whoever wants it
    /// said once hides a marker in it, and looks for that before the next attempt.
    pub(crate) async fn create_comment(&self, number: u64, body: &str) -> Result<Comment, GithubError> {
        let path = self.path(&format!("/issues/{number}/comments"));
        let mut call = Call::change(Method::POST, path.clone(), &json!({ "body": body }));
        call.kind = Kind::Creation;
        call.is_repeatable = false;
        let (answer, _) = self.call(call).await?;
        self.parsed(&Call::change(Method::POST, path, &serde_json::Value::Null), &answer)
    }
}
