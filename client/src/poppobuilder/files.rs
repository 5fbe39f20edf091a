//! The files of PoppoBuilder's state folder: what they are called, and of what kind each is.

use std::fmt;

/// What is known of issues: who has them, how they ended.
pub(crate) const ISSUE_STATUS: &str = "issue-status.json";
/// What runs, by the names of its tasks.
pub(crate) const RUNNING_TASKS: &str = "running-tasks.json";
/// The issues that were begun, so that they are not begun again.
pub(crate) const PROCESSED_ISSUES: &str = "processed-issues.json";
/// The comments that were queued, by issue, so that they are not queued again.
pub(crate) const PROCESSED_COMMENTS: &str = "processed-comments.json";
/// What waits.
pub(crate) const PENDING_TASKS: &str = "pending-tasks.json";
/// Where labels are asked for, a file for each wish.
pub(crate) const REQUESTS: &str = "requests";
/// How the files there begin.
pub(crate) const LABEL_UPDATE: &str = "label-update-";
/// How the files of free state begin; behind it comes the namespace.
pub(crate) const UNIFIED: &str = "unified-";
/// How all of these end.
pub(crate) const JSON: &str = ".json";
/// How locks end.
pub(crate) const LOCK: &str = ".lock";
/// Folders of locks.
pub(crate) const LOCKS: [&str; 2] = [".locks", "locks"];
/// When the program last ran, which is of no use to another one.
pub(crate) const LAST_RUN: &str = "last-run.json";

/// The type of tasks that comments become, there and here.
pub(crate) const COMMENT_TYPE: &str = "comment-response";
/// Who worked on something, where the record of its end does not say it.
pub(crate) const NOBODY: &str = "poppobuilder";
/// The types of tasks that the program's labels name (`task:misc` and so on), and that of tasks whose label names none.
pub(crate) const TASK_TYPES: [&str; 6] = ["issue", "misc", "dogfooding", "quality", "docs", "feature"];

/// What a file is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    IssueStatus,
    RunningTasks,
    ProcessedIssues,
    ProcessedComments,
    PendingTasks,
    /// Labels that somebody asked for.
    LabelUpdate,
    /// Free state, and its namespace.
    Unified(String),
    Lock,
}

impl Kind {
    /// What a file of this name is, in the folder itself or, as `requests/…` and `.locks/…`, in one of those within.
    pub(crate) fn of(name: &str) -> Option<Self> {
        if let Some((folder, name)) = name.split_once('/') {
            let is_request = folder == REQUESTS && name.starts_with(LABEL_UPDATE) && name.ends_with(JSON);
            return match folder {
                _ if is_request => Some(Self::LabelUpdate),
                _ if LOCKS.contains(&folder) => Some(Self::Lock),
                _ => None,
            };
        }
        let namespace = name.strip_prefix(UNIFIED).and_then(|rest| rest.strip_suffix(JSON));
        match name {
            ISSUE_STATUS => Some(Self::IssueStatus),
            RUNNING_TASKS => Some(Self::RunningTasks),
            PROCESSED_ISSUES => Some(Self::ProcessedIssues),
            PROCESSED_COMMENTS => Some(Self::ProcessedComments),
            PENDING_TASKS => Some(Self::PendingTasks),
            _ if name.ends_with(LOCK) => Some(Self::Lock),
            _ => {
                namespace.filter(|namespace| !namespace.is_empty()).map(|namespace| Self::Unified(namespace.to_owned()))
            }
        }
    }

    /// One word for programs.
    pub(crate) const fn as_str(&self) -> &'static str {
        match self {
            Self::IssueStatus => "issues",
            Self::RunningTasks => "running",
            Self::ProcessedIssues => "processed-issues",
            Self::ProcessedComments => "processed-comments",
            Self::PendingTasks => "pending",
            Self::LabelUpdate => "labels",
            Self::Unified(_) => "free-state",
            Self::Lock => "lock",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// By what a task for a comment is known, as the daemon's intake names it: the comment's node id, or its number.
pub(crate) fn comment_task(comment: &str) -> String {
    let is_number = !comment.is_empty() && comment.bytes().all(|byte| byte.is_ascii_digit());
    if is_number { format!("comment-{comment}") } else { comment.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_known_by_their_names() {
        for (name, kind) in [
            ("issue-status.json", Some(Kind::IssueStatus)),
            ("issue-status.json.lock", Some(Kind::Lock)),
            ("issue-status.json.backup", None),
            ("unified-config.json", Some(Kind::Unified("config".to_owned()))),
            ("unified-.json", None),
            ("requests/label-update-1.json", Some(Kind::LabelUpdate)),
            ("label-update-1.json", None),
            ("requests/other.json", None),
            (".locks/pending-tasks.json.lock", Some(Kind::Lock)),
            ("locks/issue-7.lock", Some(Kind::Lock)),
            ("last-run.json", None),
        ] {
            assert_eq!(Kind::of(name), kind, "{name}");
        }
    }

    #[test]
    fn a_comment_is_known_as_the_intake_knows_it() {
        assert_eq!(comment_task("IC_5"), "IC_5");
        assert_eq!(comment_task("5"), "comment-5");
    }
}
