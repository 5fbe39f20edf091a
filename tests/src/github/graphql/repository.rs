//! A repository, and what is found in it.

use async_graphql::{Context, ID, Object, Result};

use super::connection::{Connection, Part};
use super::nodes::{IssueNode, IssueOrPullRequest, Item, LabelNode, PullRequestNode, item, labels};
use super::values::{IssueFilters, IssueOrder, IssueOrderField, IssueState, LabelOrder, OrderDirection};
use super::{Nullable, Session, failed};
use crate::github::Standing;
use crate::github::state::{Issue, Label, Repository, World, same};

#[derive(Debug, Clone)]
pub(super) struct RepositoryNode {
    id: u64,
    node_id: String,
    full_name: String,
    name: String,
    is_archived: bool,
}

impl RepositoryNode {
    pub(super) fn of(repository: &Repository) -> Self {
        Self {
            id: repository.id,
            node_id: repository.node_id(),
            full_name: repository.full_name(),
            name: repository.name.clone(),
            is_archived: repository.standing == Standing::Archived,
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
    pub(super) async fn id(&self) -> ID {
        ID(self.node_id.clone())
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
