//! Comments as GitHub takes them.

use std::time::{Duration, SystemTime};

use poppo::IssueNumber;

use super::comments::{Comments, Declined, Reply};
use crate::daemon::github::{Cause, Comment, GithubError, Repo};

/// GitHub's clock and the server's differ by less than that: so far before a repair is looked for a comment on it.
const SLACK: Duration = Duration::from_secs(60 * 60);

impl Comments for Repo {
    fn has<'a>(&'a self, issue: IssueNumber, marker: &'a str, since: Option<SystemTime>) -> Reply<'a, bool> {
        Box::pin(async move {
            let since = since.and_then(|since| since.checked_sub(SLACK));
            let since = since.map(|since| humantime::format_rfc3339_seconds(since).to_string());
            let comments = match self.comments_on(issue.get(), since.as_deref()).await {
                Err(error) if matches!(error.cause, Cause::NotFound | Cause::Moved) => {
                    again(self, issue, since.as_deref(), error).await?
                }
                comments => comments.map_err(declined)?,
            };
            Ok(comments.iter().any(|comment| comment.body.as_ref().is_some_and(|body| body.contains(marker))))
        })
    }

    fn write<'a>(&'a self, issue: IssueNumber, text: &'a str) -> Reply<'a, ()> {
        Box::pin(async move { self.create_comment(issue.get(), text).await.map(drop).map_err(declined) })
    }
}

/// Asks once more where the issue is not: GitHub says the same where the repository is not to be seen, or has been renamed.
async fn again(
    repo: &Repo,
    issue: IssueNumber,
    since: Option<&str>,
    first: GithubError,
) -> Result<Vec<Comment>, Declined> {
    repo.about().await.map_err(|error| Declined::ForNow(error.to_string()))?;
    if first.cause == Cause::NotFound {
        return Err(declined(first));
    }
    // Its new name is known now, unless it was the issue that moved.
    repo.comments_on(issue.get(), since).await.map_err(declined)
}

/// Whether it is worth trying again.
fn declined(error: GithubError) -> Declined {
    let text = error.to_string();
    match error.cause {
        Cause::NotFound => Declined::NotThere(text),
        Cause::Gone(_) | Cause::Moved | Cause::Unprocessable(_) => Declined::ForGood(text),
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
        for cause in [Cause::Gone(String::new()), Cause::Moved, Cause::Forbidden("Issue is locked".to_owned())] {
            assert!(matches!(declined(cause), Declined::ForGood(_)));
        }
        assert!(matches!(declined(Cause::NotFound), Declined::NotThere(_)));
        for cause in [Cause::Unauthorized, Cause::Timeout, Cause::Forbidden("Resource not accessible".to_owned())] {
            assert!(matches!(declined(cause), Declined::ForNow(_)));
        }
    }
}
