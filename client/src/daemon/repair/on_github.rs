//! Comments as GitHub takes them.

use std::time::SystemTime;

use poppo::IssueNumber;

use super::comments::{Comments, Declined, Reply};
use crate::daemon::github::{Cause, GithubError, Repo};

impl Comments for Repo {
    fn has<'a>(&'a self, issue: IssueNumber, marker: &'a str, since: Option<SystemTime>) -> Reply<'a, bool> {
        Box::pin(async move {
            let since = since.map(|since| humantime::format_rfc3339_seconds(since).to_string());
            let comments = self.comments_on(issue.get(), since.as_deref()).await.map_err(declined)?;
            Ok(comments.iter().any(|comment| comment.body.as_ref().is_some_and(|body| body.contains(marker))))
        })
    }

    fn write<'a>(&'a self, issue: IssueNumber, text: &'a str) -> Reply<'a, ()> {
        Box::pin(async move { self.create_comment(issue.get(), text).await.map(drop).map_err(declined) })
    }
}

/// Whether it is worth trying again.
fn declined(error: GithubError) -> Declined {
    let text = error.to_string();
    match error.cause {
        Cause::NotFound | Cause::Gone(_) | Cause::Moved | Cause::Unprocessable(_) => Declined::ForGood(text),
        Cause::Forbidden(why) if why.to_lowercase().contains("locked") => Declined::ForGood(text),
        _ => Declined::ForNow(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_comment_that_nobody_can_write_is_not_tried_for_ever() {
        let declined = |cause| declined(GithubError { request: String::new(), cause });
        for cause in [Cause::NotFound, Cause::Gone(String::new()), Cause::Forbidden("Issue is locked".to_owned())] {
            assert!(matches!(declined(cause), Declined::ForGood(_)));
        }
        for cause in [Cause::Unauthorized, Cause::Timeout, Cause::Forbidden("Resource not accessible".to_owned())] {
            assert!(matches!(declined(cause), Declined::ForNow(_)));
        }
    }
}
