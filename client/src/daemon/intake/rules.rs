//! What becomes a task: decided by what GitHub says and what the configuration says, and by nothing else.

use std::fmt;

use poppo::Priority;
use serde::{Deserialize, Serialize};

use super::closing::Closing;
use crate::daemon::config::IntakeConfig;
use crate::daemon::github::{Comment, Issue, User, is_same_name};

/// The type of tasks whose label names none that the server takes.
const UNNAMED: &str = "issue";
/// The type that has a priority of its own, unless a label says otherwise.
const DOGFOODING: &str = "dogfooding";
/// The longest type that the server takes, in bytes.
const LONGEST_TYPE: usize = 128;
/// How a mark begins that people do not see, in what Poppo and its workers write.
const MARK: &str = "<!-- poppo:";

/// The configuration, ready to be applied.
#[derive(Debug, Clone)]
pub(super) struct Rules {
    config: IntakeConfig,
    closing: Closing,
    /// The daemon's own account.
    me: Option<String>,
}

/// A task as it is offered for an issue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Offer {
    #[serde(rename = "type")]
    pub(super) task_type: String,
    /// None is normal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) priority: Option<u16>,
}

impl Offer {
    pub(super) fn priority(&self) -> Option<Priority> {
        self.priority.and_then(|priority| Priority::try_from(priority).ok())
    }
}

/// What an issue is to us.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Wish {
    /// It is to be worked on.
    Task(Offer),
    /// It is not (any more).
    Off(Why),
}

/// Why an issue is not to be worked on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Why {
    Closed,
    Gone,
    Skipped,
    PullRequest,
    NoLabel,
    Author,
}

impl Why {
    /// Whether comments on it are not looked at either.
    pub(super) fn is_silent(self) -> bool {
        !matches!(self, Self::NoLabel | Self::Author)
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Closed => "the issue was closed on GitHub",
            Self::Gone => "the issue is not on GitHub any more",
            Self::Skipped => "the issue has the label to leave it alone",
            Self::PullRequest => "it is a pull request",
            Self::NoLabel => "the issue has no task label",
            Self::Author => "the issue's author is none of project.intake.authors",
        })
    }
}

/// What a comment is to us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Said {
    /// Somebody wants something.
    Task,
    /// Somebody has what he wanted.
    Closing,
    /// Nothing: it is ours, or somebody's who is not listened to.
    Nothing,
}

impl Rules {
    pub(super) fn new(config: IntakeConfig, me: Option<String>) -> Self {
        let closing = Closing::new(&config.closing_keywords);
        Self { config, closing, me }
    }

    /// What becomes of an issue. The type that was offered for it stays for as long as its label does.
    pub(super) fn issue(&self, issue: &Issue, offered: Option<&str>) -> Wish {
        if issue.pull_request {
            return Wish::Off(Why::PullRequest);
        }
        if !issue.is_open() {
            return Wish::Off(Why::Closed);
        }
        if issue.has_label(self.config.skip_label.as_str()) {
            return Wish::Off(Why::Skipped);
        }
        let Some(task_type) = self.task_type(issue, offered) else { return Wish::Off(Why::NoLabel) };
        if !self.listens_to(issue.user.as_ref()) {
            return Wish::Off(Why::Author);
        }
        let level = |name: &str| name.parse::<Priority>().ok().map(Priority::get);
        let said = issue.labels.iter().filter_map(|label| level(&self.config.priority_label.rest_of(label)?)).max();
        let own = (task_type == DOGFOODING).then(|| level(DOGFOODING)).flatten();
        Wish::Task(Offer { task_type, priority: said.or(own) })
    }

    /// The type that an issue's labels name: of several, the one that was offered, else `dogfooding`, else the first by
    /// name, so that it is the same whoever looks.
    fn task_type(&self, issue: &Issue, offered: Option<&str>) -> Option<String> {
        let rests = issue.labels.iter().filter_map(|label| self.config.task_label.rest_of(label));
        let mut types: Vec<String> = rests.map(|rest| type_name(&rest)).collect();
        types.sort_by_key(|name| (Some(name.as_str()) != offered, name != DOGFOODING, name.clone()));
        types.into_iter().next()
    }

    /// What a comment on an issue that waits for an answer is.
    pub(super) fn comment(&self, comment: &Comment) -> Said {
        let text = comment.body.as_deref().unwrap_or_default();
        let is_me = |user: &User| self.me.as_ref().is_some_and(|me| is_same_name(me, &user.login));
        let is_mine = comment.user.as_ref().is_some_and(is_me) && !self.config.own_comments;
        if text.contains(MARK) || is_mine || !self.listens_to(comment.user.as_ref()) {
            return Said::Nothing;
        }
        if self.closing.is_said(text) { Said::Closing } else { Said::Task }
    }

    fn listens_to(&self, user: Option<&User>) -> bool {
        user.is_some_and(|user| self.config.authors.iter().any(|author| author.is(&user.login)))
    }
}

/// A label's rest as a type: the server takes printable ASCII without blanks.
fn type_name(rest: &str) -> String {
    let name = rest.split_whitespace().collect::<Vec<_>>().join("-");
    let is_name = (1..=LONGEST_TYPE).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_graphic());
    if is_name { name } else { UNNAMED.to_owned() }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::daemon::config::Login;

    fn rules() -> Rules {
        let authors = vec![Login::try_from("Alice".to_owned()).unwrap(), Login::try_from("me".to_owned()).unwrap()];
        Rules::new(IntakeConfig { authors, ..IntakeConfig::default() }, Some("Me".to_owned()))
    }

    fn issue(labels: &[&str]) -> Issue {
        serde_json::from_value(json!({ "number": 7, "state": "open", "user": { "login": "alice" }, "labels": labels }))
            .unwrap()
    }

    fn comment(by: &str, body: &str) -> Comment {
        serde_json::from_value(json!({ "id": 5, "body": body, "user": { "login": by } })).unwrap()
    }

    fn task(labels: &[&str], offered: Option<&str>) -> (String, Option<u16>) {
        match rules().issue(&issue(labels), offered) {
            Wish::Task(offer) => (offer.task_type, offer.priority),
            Wish::Off(why) => (why.to_string(), None),
        }
    }

    #[test]
    fn a_task_label_names_the_type_and_a_priority_label_the_priority() {
        let cases: [(&[&str], &str, Option<u16>); 10] = [
            (&["bug", "task:misc"], "misc", None),
            (&["Task:Docs", "Priority:HIGH"], "docs", Some(75)),
            (&["task:dogfooding"], "dogfooding", Some(100)),
            (&["task:dogfooding", "priority:low"], "dogfooding", Some(25)),
            (&["task:fix", "priority:low", "priority:200", "priority:soon"], "fix", Some(200)),
            (&["task:fix", "task:bug"], "bug", None),
            (&["task:bug", "task:dogfooding"], "dogfooding", Some(100)),
            (&["task:help wanted"], "help-wanted", None),
            (&["task:バグ"], "issue", None),
            (&["task:"], "issue", None),
        ];
        for (labels, task_type, priority) in cases {
            assert_eq!(task(labels, None), (task_type.to_owned(), priority), "{labels:?}");
        }
        assert_eq!(task(&["task:fix", "task:bug"], Some("fix")).0, "fix", "what was offered stays");
        assert_eq!(task(&["task:bug"], Some("fix")).0, "bug");
    }

    #[test]
    fn what_is_no_task_says_why() {
        let off = |change: fn(&mut Issue)| {
            let mut issue = issue(&["task:fix"]);
            change(&mut issue);
            match rules().issue(&issue, Some("fix")) {
                Wish::Off(why) => why,
                Wish::Task(offer) => panic!("{offer:?}"),
            }
        };
        assert_eq!(off(|issue| issue.labels.clear()), Why::NoLabel);
        assert_eq!(off(|issue| issue.labels = vec!["tasks".to_owned()]), Why::NoLabel);
        assert_eq!(off(|issue| issue.labels.push("SKIP:poppobuilder".to_owned())), Why::Skipped);
        assert_eq!(off(|issue| issue.state = "closed".to_owned()), Why::Closed);
        assert_eq!(off(|issue| issue.pull_request = true), Why::PullRequest);
        assert_eq!(off(|issue| issue.user = Some(User { login: "mallory".to_owned() })), Why::Author);
        assert_eq!(off(|issue| issue.user = None), Why::Author);
    }

    #[test]
    fn comments_of_ours_and_of_strangers_are_nothing() {
        let said = |by, body| rules().comment(&comment(by, body));
        assert_eq!(said("ALICE", "please rebase"), Said::Task);
        assert_eq!(said("alice", "Thanks!"), Said::Closing);
        assert_eq!(said("mallory", "please rebase"), Said::Nothing);
        assert_eq!(said("mallory", "done"), Said::Nothing);
        assert_eq!(said("me", "please rebase"), Said::Nothing);
        assert_eq!(said("alice", "I am done\n\n<!-- poppo:repair:7 -->"), Said::Nothing);
        let mut rules = rules();
        rules.config.own_comments = true;
        assert_eq!(rules.comment(&comment("me", "please rebase")), Said::Task);
        assert_eq!(rules.comment(&comment("me", "x <!-- poppo:worker -->")), Said::Nothing);
    }
}
