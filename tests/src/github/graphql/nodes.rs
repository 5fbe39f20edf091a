//! The objects of the schema, as they were when they were asked for.

use std::time::SystemTime;

use async_graphql::{Context, Enum, ID, InputObject, Interface, Object, Result, Scalar, ScalarType, Union, Value};

use super::connection::{Connection, Part};
use super::{Nullable, Session, failed, is_seen};
use crate::github::clock::rfc3339;
use crate::github::node::{Kind, NodeId};
use crate::github::render;
use crate::github::state::{Comment, Issue, Label, Repository, User, World, same};

/// A time in ISO 8601.
#[derive(Debug, Clone, Copy)]
pub(super) struct DateTime(pub(super) SystemTime);

/// GitHub's scalar for times.
#[Scalar]
impl ScalarType for DateTime {
    fn parse(value: Value) -> async_graphql::InputValueResult<Self> {
        match &value {
            Value::String(text) => Ok(Self(humantime::parse_rfc3339_weak(text)?)),
            _ => Err(async_graphql::InputValueError::expected_type(value)),
        }
    }

    fn to_value(&self) -> Value {
        Value::String(rfc3339(self.0))
    }
}

/// An address.
#[derive(Debug, Clone)]
pub(super) struct Uri(String);

/// GitHub's scalar for addresses.
#[Scalar(name = "URI")]
impl ScalarType for Uri {
    fn parse(value: Value) -> async_graphql::InputValueResult<Self> {
        match value {
            Value::String(text) => Ok(Self(text)),
            _ => Err(async_graphql::InputValueError::expected_type(value)),
        }
    }

    fn to_value(&self) -> Value {
        Value::String(self.0.clone())
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
pub(super) enum IssueState {
    Open,
    Closed,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
pub(super) enum OrderDirection {
    Asc,
    Desc,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
pub(super) enum LabelOrderField {
    Name,
    CreatedAt,
}

#[derive(Debug, Clone, Copy, InputObject)]
pub(super) struct LabelOrder {
    field: LabelOrderField,
    direction: OrderDirection,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
pub(super) enum IssueOrderField {
    CreatedAt,
    UpdatedAt,
    Comments,
}

#[derive(Debug, Clone, Copy, InputObject)]
pub(super) struct IssueOrder {
    field: IssueOrderField,
    direction: OrderDirection,
}

#[derive(Debug, Clone, Default, InputObject)]
pub(super) struct IssueFilters {
    assignee: Option<String>,
    created_by: Option<String>,
    labels: Option<Vec<String>>,
    since: Option<DateTime>,
    states: Option<Vec<IssueState>>,
}

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
    issue: Issue,
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

fn labels(labels: &[Label], order_by: Option<LabelOrder>, part: &Part) -> Result<Connection<LabelNode>> {
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
    pub(super) async fn id(&self) -> ID {
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

#[derive(Debug, Clone)]
pub(super) struct RepositoryNode {
    id: u64,
    full_name: String,
    name: String,
    is_archived: bool,
}

impl RepositoryNode {
    pub(super) fn of(repository: &Repository) -> Self {
        Self {
            id: repository.id,
            full_name: repository.full_name(),
            name: repository.name.clone(),
            is_archived: repository.standing == crate::github::Standing::Archived,
        }
    }

    fn look<T>(&self, ctx: &Context<'_>, look: impl FnOnce(&World, &Repository) -> Result<T>) -> Result<T> {
        let world = ctx.data::<Session>()?.hub.world();
        let gone = || failed("NOT_FOUND", "Could not resolve to a Repository");
        look(&world, world.repository_by_id(self.id).ok_or_else(gone)?)
    }

    fn item(&self, ctx: &Context<'_>, what: &str, number: i32, is_it: impl Fn(&Issue) -> bool) -> Result<Item> {
        self.look(ctx, |world, repository| {
            let found = u64::try_from(number).ok().and_then(|number| repository.issues.get(&number));
            let found = found.filter(|issue| is_it(issue));
            let message = || format!("Could not resolve to {what} with the number of {number}.");
            found.map(|issue| item(world, repository, issue)).ok_or_else(|| failed("NOT_FOUND", message()))
        })
    }
}

#[Object(name = "Repository")]
impl RepositoryNode {
    async fn id(&self) -> ID {
        ID(NodeId::of(Kind::Repository, self.id))
    }

    async fn name(&self) -> &str {
        &self.name
    }

    async fn name_with_owner(&self) -> &str {
        &self.full_name
    }

    async fn is_archived(&self) -> bool {
        self.is_archived
    }

    async fn label(&self, ctx: &Context<'_>, name: String) -> Result<Option<LabelNode>> {
        self.look(ctx, |_, repository| Ok(repository.label(&name).cloned().map(LabelNode)))
    }

    #[expect(clippy::too_many_arguments, reason = "the schema has them")]
    async fn labels(
        &self,
        ctx: &Context<'_>,
        order_by: Option<LabelOrder>,
        query: Option<String>,
        after: Option<String>,
        before: Option<String>,
        first: Option<i32>,
        last: Option<i32>,
    ) -> Result<Option<Connection<LabelNode>>> {
        let query = query.unwrap_or_default().to_lowercase();
        self.look(ctx, |_, repository| {
            let found = repository.labels.iter().filter(|label| label.name.to_lowercase().contains(&query));
            let found: Vec<Label> = found.cloned().collect();
            labels(&found, order_by, &Part { first, after, last, before }).map(Some)
        })
    }

    async fn issue(&self, ctx: &Context<'_>, number: i32) -> Nullable<IssueNode> {
        Some(self.item(ctx, "an Issue", number, |issue| !issue.is_pull_request).map(IssueNode))
    }

    async fn pull_request(&self, ctx: &Context<'_>, number: i32) -> Nullable<PullRequestNode> {
        Some(self.item(ctx, "a PullRequest", number, |issue| issue.is_pull_request).map(PullRequestNode))
    }

    async fn issue_or_pull_request(&self, ctx: &Context<'_>, number: i32) -> Nullable<IssueOrPullRequest> {
        let item = self.item(ctx, "an issue or pull request", number, |_| true);
        Some(item.map(|item| match item.issue.is_pull_request {
            true => IssueOrPullRequest::PullRequest(PullRequestNode(item)),
            false => IssueOrPullRequest::Issue(IssueNode(item)),
        }))
    }

    #[expect(clippy::too_many_arguments, reason = "the schema has them")]
    async fn issues(
        &self,
        ctx: &Context<'_>,
        order_by: Option<IssueOrder>,
        labels: Option<Vec<String>>,
        states: Option<Vec<IssueState>>,
        filter_by: Option<IssueFilters>,
        after: Option<String>,
        before: Option<String>,
        first: Option<i32>,
        last: Option<i32>,
    ) -> Result<Connection<IssueNode>> {
        let filters = filter_by.unwrap_or_default();
        self.look(ctx, |world, repository| {
            let is_wanted = |issue: &&Issue| {
                let state = if issue.is_open { IssueState::Open } else { IssueState::Closed };
                let has_any = |wanted: &Option<Vec<String>>| {
                    let is_on = |name: &String| repository.labels_of(issue).any(|label| same(&label.name, name));
                    wanted.as_ref().is_none_or(|names| names.iter().any(is_on))
                };
                let is_in =
                    |states: &Option<Vec<IssueState>>| states.as_ref().is_none_or(|states| states.contains(&state));
                !issue.is_pull_request
                    && is_in(&states)
                    && is_in(&filters.states)
                    && has_any(&labels)
                    && has_any(&filters.labels)
                    && filters.since.is_none_or(|since| issue.updated_at >= since.0)
                    && filters.created_by.as_ref().is_none_or(|login| same(login, &issue.author))
                    && filters.assignee.as_ref().is_none_or(|login| issue.assignees.iter().any(|one| same(one, login)))
            };
            let mut found: Vec<&Issue> = repository.issues.values().filter(is_wanted).collect();
            if let Some(IssueOrder { field, direction }) = order_by {
                match field {
                    IssueOrderField::CreatedAt => found.sort_by_key(|issue| (issue.created_at, issue.number)),
                    IssueOrderField::UpdatedAt => found.sort_by_key(|issue| (issue.updated_at, issue.number)),
                    IssueOrderField::Comments => found.sort_by_key(|issue| (issue.comments.len(), issue.number)),
                }
                if direction == OrderDirection::Desc {
                    found.reverse();
                }
            }
            let nodes = found.into_iter().map(|issue| (issue.node_id(), IssueNode(item(world, repository, issue))));
            Part { first, after, last, before }.of("issues", nodes.collect())
        })
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
