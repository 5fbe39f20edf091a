//! What the server knows: repositories with their issues, labels and comments, and the users who wrote them. How it is
//! changed stands in [`super::edit`], how it is shown in [`super::render`].

use std::collections::BTreeMap;
use std::time::SystemTime;

use super::node::{Kind, NodeId};

/// Everything that is stored.
#[derive(Debug, Default)]
pub(super) struct World {
    /// Where links lead: the base of the API, without a slash at its end …
    pub(super) api: String,
    /// … and that of the pages for people.
    pub(super) html: String,
    pub(super) repositories: Vec<Repository>,
    pub(super) users: Vec<User>,
    last_id: u64,
}

/// Somebody, or some App's bot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// The number.
    pub id: u64,
    /// The name, unique whatever its case.
    pub login: String,
}

/// A repository.
#[derive(Debug, Clone)]
pub struct Repository {
    /// The number, which survives renaming.
    pub id: u64,
    /// Whose it is.
    pub owner: String,
    /// The name within that.
    pub name: String,
    /// What can be done with it.
    pub standing: Standing,
    /// Its labels, in the order in which they were made.
    pub labels: Vec<Label>,
    /// Its issues and pull requests by number.
    pub issues: BTreeMap<u64, Issue>,
    /// Numbers that were there: deleted, or moved to another repository's issue.
    pub departed: BTreeMap<u64, Departed>,
    /// The names that it had before.
    pub(super) former: Vec<(String, String)>,
}

/// What can be done with a repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Standing {
    /// Everything.
    #[default]
    Active,
    /// It can only be read.
    Archived,
    /// It has no issues: 410.
    WithoutIssues,
    /// It is not there for anybody: 404.
    Gone,
    /// It is blocked for legal reasons: 451.
    Blocked,
}

/// What became of an issue that is no longer there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Departed {
    /// Deleted: 410.
    Deleted,
    /// Transferred: 301 to that issue of the repository with that id.
    Transferred {
        /// The other repository's number.
        repository: u64,
        /// The issue's number there.
        number: u64,
    },
}

/// A label of a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Label {
    /// The number.
    pub id: u64,
    /// As it was written; found whatever its case.
    pub name: String,
    /// Six hexadecimal digits.
    pub color: String,
    /// Up to 100 characters.
    pub description: Option<String>,
}

/// An issue, or a pull request, which is listed among them.
#[derive(Debug, Clone)]
pub struct Issue {
    /// The number among everything.
    pub id: u64,
    /// The number in the repository.
    pub number: u64,
    /// The title.
    pub title: String,
    /// The text, if there is any.
    pub body: Option<String>,
    /// Whether it is open.
    pub is_open: bool,
    /// Why it was closed or opened again: `completed`, `not_planned`, `duplicate`, `reopened`.
    pub state_reason: Option<String>,
    /// The ids of its labels, in the order in which they were put on.
    pub labels: Vec<u64>,
    /// Who wrote it.
    pub author: String,
    /// Who is to care for it.
    pub assignees: Vec<String>,
    /// When it was opened, in whole seconds.
    pub created_at: SystemTime,
    /// When anything of it changed last, comments and labels included.
    pub updated_at: SystemTime,
    /// When it was closed.
    pub closed_at: Option<SystemTime>,
    /// Whether it is a pull request.
    pub is_pull_request: bool,
    /// What was said.
    pub comments: Vec<Comment>,
}

/// A comment on an issue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Comment {
    /// The number.
    pub id: u64,
    /// The text.
    pub body: String,
    /// Who wrote it.
    pub author: String,
    /// When it was written.
    pub created_at: SystemTime,
    /// When it was edited last.
    pub updated_at: SystemTime,
}

impl World {
    /// A number that nothing has yet.
    pub(super) fn new_id(&mut self) -> u64 {
        self.last_id += 1;
        // Real ones are larger than 32 bits: whoever stores them in fewer should notice.
        4_200_000_000 + self.last_id
    }

    /// The user of that name, who is there from now on.
    pub(super) fn user(&mut self, login: &str) -> User {
        if let Some(user) = self.users.iter().find(|user| same(&user.login, login)) {
            return user.clone();
        }
        let user = User { id: self.new_id(), login: login.to_owned() };
        self.users.push(user.clone());
        user
    }

    /// The repository of that name, as it is called now.
    pub(super) fn repository(&self, owner: &str, name: &str) -> Option<&Repository> {
        self.repositories.iter().find(|repository| same(&repository.owner, owner) && same(&repository.name, name))
    }

    /// The repository that had that name before.
    pub(super) fn formerly(&self, owner: &str, name: &str) -> Option<&Repository> {
        let had = |repository: &&Repository| {
            repository.former.iter().any(|(an_owner, a_name)| same(an_owner, owner) && same(a_name, name))
        };
        self.repositories.iter().find(had)
    }

    /// The repository with that number.
    pub(super) fn repository_by_id(&self, id: u64) -> Option<&Repository> {
        self.repositories.iter().find(|repository| repository.id == id)
    }

    pub(super) fn repository_mut(&mut self, id: u64) -> Option<&mut Repository> {
        self.repositories.iter_mut().find(|repository| repository.id == id)
    }

    /// The issue with that node id, and the repository that it is in.
    pub(super) fn issue_by_node(&self, node: &str) -> Option<(&Repository, &Issue)> {
        let found = |issue: &&Issue| issue.node_id() == node;
        self.repositories
            .iter()
            .find_map(|repository| repository.issues.values().find(found).map(|issue| (repository, issue)))
    }

    /// The label with that node id, and the repository that it is of.
    pub(super) fn label_by_node(&self, node: &str) -> Option<(&Repository, &Label)> {
        let found = |label: &&Label| label.node_id() == node;
        self.repositories
            .iter()
            .find_map(|repository| repository.labels.iter().find(found).map(|label| (repository, label)))
    }
}

impl Repository {
    /// `owner/name`.
    pub fn full_name(&self) -> String {
        format!("{}/{}", self.owner, self.name)
    }

    /// The node id.
    pub fn node_id(&self) -> String {
        NodeId::of(Kind::Repository, self.id)
    }

    /// The label of that name, whatever its case.
    pub fn label(&self, name: &str) -> Option<&Label> {
        self.labels.iter().find(|label| same(&label.name, name))
    }

    pub(super) fn label_by_id(&self, id: u64) -> Option<&Label> {
        self.labels.iter().find(|label| label.id == id)
    }

    /// The labels of an issue, in their order.
    pub fn labels_of<'a>(&'a self, issue: &'a Issue) -> impl Iterator<Item = &'a Label> {
        issue.labels.iter().filter_map(|id| self.label_by_id(*id))
    }

    /// The comment with that number, and the issue that it is on.
    pub(super) fn comment(&self, id: u64) -> Option<(&Issue, &Comment)> {
        let on = |issue: &'_ Issue| issue.comments.iter().position(|comment| comment.id == id);
        let (issue, place) = self.issues.values().find_map(|issue| on(issue).map(|place| (issue, place)))?;
        issue.comments.get(place).map(|comment| (issue, comment))
    }
}

impl Label {
    /// The node id.
    pub fn node_id(&self) -> String {
        NodeId::of(Kind::Label, self.id)
    }
}

impl Issue {
    /// The node id.
    pub fn node_id(&self) -> String {
        NodeId::of(if self.is_pull_request { Kind::PullRequest } else { Kind::Issue }, self.id)
    }

    /// `open` or `closed`.
    pub fn state(&self) -> &'static str {
        if self.is_open { "open" } else { "closed" }
    }
}

impl Comment {
    /// The node id.
    pub fn node_id(&self) -> String {
        NodeId::of(Kind::Comment, self.id)
    }
}

impl User {
    /// The node id.
    pub fn node_id(&self) -> String {
        NodeId::of(Kind::User, self.id)
    }
}

/// GitHub tells names apart whatever their case.
pub(super) fn same(one: &str, other: &str) -> bool {
    one.to_lowercase() == other.to_lowercase()
}
