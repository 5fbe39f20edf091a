//! Tasks as they are queued: with what a worker needs to know, and by which we know them again.

use poppo::{Enqueue, IssueNumber, Task};
use serde::{Deserialize, Serialize};

use super::rules::Offer;
use crate::daemon::github::{Comment, Issue, User, is_same_name};

/// The type of tasks that comments become.
pub(super) const COMMENT_TYPE: &str = "comment-response";
/// The longest payload that the server takes, in bytes.
const LONGEST: usize = 65_536;

/// What a worker is told, as JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Payload {
    /// Always `github`.
    source: String,
    /// `owner/name`.
    repository: String,
    issue: About,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) comment: Option<Remark>,
    /// Whether a text was too long to be given whole.
    #[serde(default, rename = "isCut", skip_serializing_if = "std::ops::Not::not")]
    is_cut: bool,
}

/// The issue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct About {
    number: u64,
    title: String,
    body: String,
    author: Option<String>,
    labels: Vec<String>,
    created_at: String,
    updated_at: String,
}

/// The comment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Remark {
    pub(super) id: u64,
    node_id: String,
    body: String,
    author: Option<String>,
    pub(super) created_at: String,
}

/// Makes tasks of a repository's issues and comments.
#[derive(Debug, Clone)]
pub(super) struct Maker {
    /// `owner/name`, as the configuration has it.
    pub(super) repository: String,
}

impl Maker {
    /// The task for an issue's label.
    pub(super) fn of_issue(&self, number: IssueNumber, issue: &Issue, offer: &Offer) -> Enqueue {
        let mut task = self.task(number, issue, None);
        task.task_type = Some(offer.task_type.clone());
        task.priority = offer.priority();
        task
    }

    /// The task for a comment. Its priority is the issue's.
    pub(super) fn of_comment(
        &self,
        number: IssueNumber,
        issue: &Issue,
        comment: &Comment,
        offer: Option<&Offer>,
    ) -> Enqueue {
        let mut task = self.task(number, issue, Some(comment));
        task.id = Some(comment_id(comment));
        task.task_type = Some(COMMENT_TYPE.to_owned());
        task.priority = offer.and_then(Offer::priority);
        task
    }

    fn task(&self, number: IssueNumber, issue: &Issue, comment: Option<&Comment>) -> Enqueue {
        let login = |user: &Option<User>| user.as_ref().map(|user| user.login.clone());
        let payload = Payload {
            source: "github".to_owned(),
            repository: self.repository.clone(),
            issue: About {
                number: issue.number,
                title: issue.title.clone(),
                body: issue.body.clone().unwrap_or_default(),
                author: login(&issue.user),
                labels: issue.labels.clone(),
                created_at: issue.created_at.clone(),
                updated_at: issue.updated_at.clone(),
            },
            comment: comment.map(|comment| Remark {
                id: comment.id,
                node_id: comment.node_id.clone(),
                body: comment.body.clone().unwrap_or_default(),
                author: login(&comment.user),
                created_at: comment.created_at.clone(),
            }),
            is_cut: false,
        };
        let mut task = Enqueue::new(number);
        task.title = Some(issue.title.clone());
        task.payload = Some(payload.text());
        task
    }

    /// What a task that waits or is dead was made of, if it was made here.
    pub(super) fn recognise(&self, task: &Task) -> Option<Payload> {
        let payload: Payload = serde_json::from_str(task.payload.as_deref()?).ok()?;
        let is_ours = payload.source == "github"
            && is_same_name(&payload.repository, &self.repository)
            && payload.issue.number == task.issue.get();
        is_ours.then_some(payload)
    }
}

impl Payload {
    /// As JSON that the server takes: what was written last is kept longest.
    fn text(mut self) -> String {
        let mut text = json(&self);
        if text.len() > LONGEST {
            self.is_cut = true;
            text = json(&self);
            cut(&mut self.issue.body, text.len().saturating_sub(LONGEST));
            text = json(&self);
        }
        if let Some(comment) = &mut self.comment {
            cut(&mut comment.body, text.len().saturating_sub(LONGEST));
            text = json(&self);
        }
        text
    }
}

/// Takes at least so many bytes off the end, if there are so many.
fn cut(text: &mut String, bytes: usize) {
    let mut left = text.len().saturating_sub(bytes);
    while !text.is_char_boundary(left) {
        left -= 1;
    }
    text.truncate(left);
}

fn json(payload: &Payload) -> String {
    // Texts, numbers and lists of texts can be written.
    serde_json::to_string(payload).unwrap_or_default()
}

/// By what the server knows that a comment was handled.
pub(super) fn comment_id(comment: &Comment) -> String {
    if comment.node_id.is_empty() { format!("comment-{}", comment.id) } else { comment.node_id.clone() }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn issue(body: &str) -> Issue {
        let text = serde_json::json!({ "number": 7, "title": "t", "body": body, "user": { "login": "alice" } });
        serde_json::from_value(text).unwrap()
    }

    fn comment(body: &str) -> Comment {
        serde_json::from_value(serde_json::json!({ "id": 5, "node_id": "IC_5", "body": body })).unwrap()
    }

    fn maker() -> Maker {
        Maker { repository: "acme/widgets".to_owned() }
    }

    fn read(task: &Enqueue) -> Payload {
        let text = task.payload.as_deref().unwrap();
        assert!(text.len() <= LONGEST, "{}", text.len());
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn what_is_too_long_is_cut_and_says_so() {
        let number = IssueNumber::try_from(7).unwrap();
        let (short, long) = ("あ", "あ\n".repeat(30_000));
        let offer = Offer { task_type: "fix".to_owned(), priority: Some(75) };
        let task = maker().of_issue(number, &issue(short), &offer);
        assert_eq!((read(&task).issue.body.as_str(), read(&task).is_cut), (short, false));
        assert_eq!((task.id, task.priority.unwrap().get()), (None, 75));
        let payload = read(&maker().of_issue(number, &issue(&long), &offer));
        assert!(payload.is_cut && long.starts_with(&payload.issue.body) && payload.issue.body.len() > 30_000);
        let payload = read(&maker().of_comment(number, &issue(&long), &comment("please"), None));
        assert_eq!(payload.comment.unwrap().body, "please");
        let payload = read(&maker().of_comment(number, &issue(&long), &comment(&long), None));
        assert!(payload.issue.body.is_empty() && payload.comment.unwrap().body.len() > 30_000);
    }

    #[test]
    fn a_task_of_ours_is_known_again() {
        let number = IssueNumber::try_from(7).unwrap();
        let queued = maker().of_comment(number, &issue("b"), &comment("please"), None);
        assert_eq!(queued.id.as_deref(), Some("IC_5"));
        let mut task = Task {
            task: "IC_5".to_owned(),
            issue: number,
            task_type: COMMENT_TYPE.to_owned(),
            priority: poppo::Priority::NORMAL,
            title: None,
            attempts: 0,
            orphan_count: 0,
            since: None,
            due: None,
            dead_time: None,
            reason: None,
            held: false,
            payload: queued.payload,
        };
        assert_eq!(maker().recognise(&task).unwrap().comment.unwrap().id, 5);
        assert_eq!(Maker { repository: "other/widgets".to_owned() }.recognise(&task), None);
        task.payload = Some("{\"branch\":\"main\"}".to_owned());
        assert_eq!(maker().recognise(&task), None);
    }
}
