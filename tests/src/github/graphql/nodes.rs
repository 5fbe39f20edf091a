//! The objects of the schema, as they were when they were asked for.

use async_graphql::{ID, Interface, Object, Result, Union};

use super::connection::{Connection, Part};
use super::repository::RepositoryNode;
use super::values::{DateTime, IssueState, LabelOrder, LabelOrderField, OrderDirection, Uri};
use super::{Session, is_seen};
use crate::github::node::{Kind, NodeId};
use crate::github::render;
use crate::github::state::{Comment, Issue, Label, Repository, User, World, same};

/// Everything that has a node id.
#[derive(Debug, Clone, Interface)]
#[graphql(field(name = "id", ty = "ID"))]
pub(super) enum Node {
    Repository(RepositoryNode),
    Issue(IssueNode),
    PullRequest(PullRequestNode),
    Label(LabelNode),
    IssueComment(CommentNode),
    User(UserNode),
}

/// Everything that labels can be put on.
#[expect(clippy::duplicated_attributes, reason = "arguments of the same type are none")]
#[derive(Debug, Clone, Interface)]
#[graphql(field(
    name = "labels",
    ty = "Option<Connection<LabelNode>>",
    arg(name = "order_by", ty = "Option<LabelOrder>"),
    arg(name = "after", ty = "Option<String>"),
    arg(name = "before", ty = "Option<String>"),
    arg(name = "first", ty = "Option<i32>"),
    arg(name = "last", ty = "Option<i32>")
))]
pub(super) enum Labelable {
    Issue(IssueNode),
    PullRequest(PullRequestNode),
}

/// Whichever has a number.
#[derive(Debug, Clone, Union)]
pub(super) enum IssueOrPullRequest {
    Issue(IssueNode),
    PullRequest(PullRequestNode),
}

#[derive(Debug, Clone)]
pub(super) struct UserNode(User);

#[Object(name = "User")]
impl UserNode {
    async fn id(&self) -> ID {
        ID(self.0.node_id())
    }

    async fn login(&self) -> &str {
        &self.0.login
    }
}

#[derive(Debug, Clone)]
pub(super) struct LabelNode(pub(super) Label);

#[Object(name = "Label")]
impl LabelNode {
    async fn id(&self) -> ID {
        ID(self.0.node_id())
    }

    async fn name(&self) -> &str {
        &self.0.name
    }

    async fn color(&self) -> &str {
        &self.0.color
    }

    async fn description(&self) -> Option<&str> {
        self.0.description.as_deref()
    }
}

#[derive(Debug, Clone)]
pub(super) struct CommentNode {
    comment: Comment,
    author: UserNode,
    url: Uri,
}

#[Object(name = "IssueComment")]
impl CommentNode {
    async fn id(&self) -> ID {
        ID(self.comment.node_id())
    }

    async fn full_database_id(&self) -> Option<String> {
        Some(self.comment.id.to_string())
    }

    async fn body(&self) -> &str {
        &self.comment.body
    }

    async fn author(&self) -> Option<&UserNode> {
        Some(&self.author)
    }

    async fn created_at(&self) -> DateTime {
        DateTime(self.comment.created_at)
    }

    async fn updated_at(&self) -> DateTime {
        DateTime(self.comment.updated_at)
    }

    async fn url(&self) -> &Uri {
        &self.url
    }
}

/// What issues and pull requests have in common.
#[derive(Debug, Clone)]
pub(super) struct Item {
    pub(super) issue: Issue,
    labels: Vec<Label>,
    comments: Vec<CommentNode>,
    author: UserNode,
    repository: RepositoryNode,
    url: Uri,
}

impl Item {
    fn labels(&self, order_by: Option<LabelOrder>, part: &Part) -> Result<Option<Connection<LabelNode>>> {
        labels(&self.labels, order_by, part).map(Some)
    }
}

/// These labels, in that order, in part.
pub(super) fn labels(labels: &[Label], order_by: Option<LabelOrder>, part: &Part) -> Result<Connection<LabelNode>> {
    let mut found = labels.to_vec();
    if let Some(LabelOrder { field, direction }) = order_by {
        match field {
            LabelOrderField::Name => found.sort_by_key(|label| label.name.to_lowercase()),
            LabelOrderField::CreatedAt => found.sort_by_key(|label| label.id),
        }
        if direction == OrderDirection::Desc {
            found.reverse();
        }
    }
    part.of("labels", found.into_iter().map(|label| (label.node_id(), LabelNode(label))).collect())
}

#[derive(Debug, Clone)]
pub(super) struct IssueNode(pub(super) Item);

#[Object(name = "Issue")]
impl IssueNode {
    async fn id(&self) -> ID {
        ID(self.0.issue.node_id())
    }

    async fn full_database_id(&self) -> Option<String> {
        Some(self.0.issue.id.to_string())
    }

    async fn number(&self) -> i32 {
        i32::try_from(self.0.issue.number).unwrap_or(i32::MAX)
    }

    async fn title(&self) -> &str {
        &self.0.issue.title
    }

    async fn body(&self) -> &str {
        self.0.issue.body.as_deref().unwrap_or_default()
    }

    async fn state(&self) -> IssueState {
        if self.0.issue.is_open { IssueState::Open } else { IssueState::Closed }
    }

    async fn author(&self) -> Option<&UserNode> {
        Some(&self.0.author)
    }

    async fn created_at(&self) -> DateTime {
        DateTime(self.0.issue.created_at)
    }

    async fn updated_at(&self) -> DateTime {
        DateTime(self.0.issue.updated_at)
    }

    async fn closed_at(&self) -> Option<DateTime> {
        self.0.issue.closed_at.map(DateTime)
    }

    async fn url(&self) -> &Uri {
        &self.0.url
    }

    async fn repository(&self) -> &RepositoryNode {
        &self.0.repository
    }

    async fn labels(
        &self,
        order_by: Option<LabelOrder>,
        after: Option<String>,
        before: Option<String>,
        first: Option<i32>,
        last: Option<i32>,
    ) -> Result<Option<Connection<LabelNode>>> {
        self.0.labels(order_by, &Part { first, after, last, before })
    }

    async fn comments(
        &self,
        after: Option<String>,
        before: Option<String>,
        first: Option<i32>,
        last: Option<i32>,
    ) -> Result<Connection<CommentNode>> {
        let comments = self.0.comments.iter().map(|comment| (comment.comment.node_id(), comment.clone()));
        Part { first, after, last, before }.of("comments", comments.collect())
    }
}

#[derive(Debug, Clone)]
pub(super) struct PullRequestNode(pub(super) Item);

#[Object(name = "PullRequest")]
impl PullRequestNode {
    async fn id(&self) -> ID {
        ID(self.0.issue.node_id())
    }

    async fn number(&self) -> i32 {
        i32::try_from(self.0.issue.number).unwrap_or(i32::MAX)
    }

    async fn title(&self) -> &str {
        &self.0.issue.title
    }

    async fn updated_at(&self) -> DateTime {
        DateTime(self.0.issue.updated_at)
    }

    async fn url(&self) -> &Uri {
        &self.0.url
    }

    async fn labels(
        &self,
        order_by: Option<LabelOrder>,
        after: Option<String>,
        before: Option<String>,
        first: Option<i32>,
        last: Option<i32>,
    ) -> Result<Option<Connection<LabelNode>>> {
        self.0.labels(order_by, &Part { first, after, last, before })
    }
}

/// The node of a user.
pub(super) fn user(world: &World, login: &str) -> UserNode {
    let unknown = || User { id: 1, login: login.to_owned() };
    UserNode(world.users.iter().find(|user| same(&user.login, login)).cloned().unwrap_or_else(unknown))
}

/// An issue or pull request as it is now.
pub(super) fn item(world: &World, repository: &Repository, issue: &Issue) -> Item {
    Item {
        issue: issue.clone(),
        labels: repository.labels_of(issue).cloned().collect(),
        comments: issue.comments.iter().map(|one| comment(world, repository, issue, one)).collect(),
        author: user(world, &issue.author),
        repository: RepositoryNode::of(repository),
        url: Uri(render::issue_page(world, repository, issue)),
    }
}

/// A comment as it is now.
pub(super) fn comment(world: &World, repository: &Repository, issue: &Issue, comment: &Comment) -> CommentNode {
    let page = render::issue_page(world, repository, issue);
    CommentNode {
        comment: comment.clone(),
        author: user(world, &comment.author),
        url: Uri(format!("{page}#issuecomment-{}", comment.id)),
    }
}

/// An issue or pull request, as something that labels can be put on.
pub(super) fn labelable(world: &World, repository: &Repository, issue: &Issue) -> Labelable {
    let item = item(world, repository, issue);
    if issue.is_pull_request {
        Labelable::PullRequest(PullRequestNode(item))
    } else {
        Labelable::Issue(IssueNode(item))
    }
}

/// The node with that id, if who asks sees it.
pub(super) fn node(session: &Session, world: &World, id: &str) -> Option<Node> {
    let parsed = NodeId::parse(id)?;
    let mut seen = world.repositories.iter().filter(|repository| is_seen(session, repository));
    match parsed.kind {
        Kind::User => {
            let user = world.users.iter().find(|user| user.id == parsed.id)?;
            Some(Node::User(UserNode(user.clone())))
        }
        Kind::Repository => {
            let found = seen.find(|repository| repository.id == parsed.id)?;
            Some(Node::Repository(RepositoryNode::of(found)))
        }
        Kind::Label => {
            let found = seen.find_map(|repository| repository.label_by_id(parsed.id))?;
            Some(Node::Label(LabelNode(found.clone())))
        }
        Kind::Comment => seen.find_map(|repository| {
            let (issue, found) = repository.comment(parsed.id)?;
            Some(Node::IssueComment(comment(world, repository, issue, found)))
        }),
        Kind::Issue | Kind::PullRequest => seen.find_map(|repository| {
            let found = repository.issues.values().find(|issue| issue.node_id() == id)?;
            Some(match labelable(world, repository, found) {
                Labelable::Issue(issue) => Node::Issue(issue),
                Labelable::PullRequest(pull) => Node::PullRequest(pull),
            })
        }),
    }
}
