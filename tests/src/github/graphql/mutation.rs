//! What can be changed. Labels cannot be made here: the public schema has that as a preview only, so REST it is.

use async_graphql::{Context, ID, InputObject, Object, Result, SimpleObject};

use super::connection::{Edge, cursor};
use super::nodes::{CommentNode, Labelable, Node, comment, labelable, node};
use super::{Nullable, Session, begin, failed, may_change, refused, token, unresolved};
use crate::github::edit::Editor;

pub(super) struct Mutation;

#[derive(Debug, InputObject)]
struct AddLabelsToLabelableInput {
    client_mutation_id: Option<String>,
    label_ids: Vec<ID>,
    labelable_id: ID,
}

#[derive(Debug, InputObject)]
struct RemoveLabelsFromLabelableInput {
    client_mutation_id: Option<String>,
    label_ids: Vec<ID>,
    labelable_id: ID,
}

#[derive(Debug, InputObject)]
struct AddCommentInput {
    body: String,
    client_mutation_id: Option<String>,
    subject_id: ID,
}

#[derive(Debug, SimpleObject)]
struct AddLabelsToLabelablePayload {
    client_mutation_id: Option<String>,
    labelable: Option<Labelable>,
}

#[derive(Debug, SimpleObject)]
struct RemoveLabelsFromLabelablePayload {
    client_mutation_id: Option<String>,
    labelable: Option<Labelable>,
}

#[derive(Debug, SimpleObject)]
struct AddCommentPayload {
    client_mutation_id: Option<String>,
    comment_edge: Option<Edge<CommentNode>>,
    subject: Option<Node>,
}

#[Object]
impl Mutation {
    async fn add_labels_to_labelable(
        &self,
        ctx: &Context<'_>,
        input: AddLabelsToLabelableInput,
    ) -> Nullable<AddLabelsToLabelablePayload> {
        let labelable = relabel(ctx, &input.labelable_id, &input.label_ids, |editor, repository, number, labels| {
            let place = editor.world.repository_by_id(repository);
            let names: Vec<String> =
                labels.iter().filter_map(|id| Some(place?.label_by_id(*id)?.name.clone())).collect();
            editor.add_labels(repository, number, &names).map_err(refused)
        });
        let client_mutation_id = input.client_mutation_id;
        Some(labelable.map(|labelable| AddLabelsToLabelablePayload { client_mutation_id, labelable: Some(labelable) }))
    }

    async fn remove_labels_from_labelable(
        &self,
        ctx: &Context<'_>,
        input: RemoveLabelsFromLabelableInput,
    ) -> Nullable<RemoveLabelsFromLabelablePayload> {
        let labelable = relabel(ctx, &input.labelable_id, &input.label_ids, |editor, repository, number, labels| {
            labels.iter().try_for_each(|label| {
                // One that is not on is off: no error.
                editor.remove_label(repository, number, *label).map(|_was_on| ()).map_err(refused)
            })
        });
        let client_mutation_id = input.client_mutation_id;
        let shown = |labelable| RemoveLabelsFromLabelablePayload { client_mutation_id, labelable: Some(labelable) };
        Some(labelable.map(shown))
    }

    async fn add_comment(&self, ctx: &Context<'_>, input: AddCommentInput) -> Nullable<AddCommentPayload> {
        Some(say(ctx, input))
    }
}

fn say(ctx: &Context<'_>, input: AddCommentInput) -> Result<AddCommentPayload> {
    let (session, subject) = (begin(ctx)?, &input.subject_id);
    session.hub.change(&token(session)?.login, Some(&session.request), |editor| {
        let (repository, number) = place(session, editor, subject)?;
        let id = editor.comment(repository, number, &input.body).map_err(refused)?;
        let world = &*editor.world;
        let place = world.repository_by_id(repository).ok_or_else(|| unresolved(subject))?;
        let (issue, written) = place.comment(id).ok_or_else(|| unresolved(subject))?;
        let edge = Edge { cursor: cursor(&written.node_id()), node: Some(comment(world, place, issue, written)) };
        Ok(AddCommentPayload {
            client_mutation_id: input.client_mutation_id.clone(),
            comment_edge: Some(edge),
            subject: node(session, world, subject),
        })
    })
}

/// Where the issue with that node id is, if who asks may change it.
fn place(session: &Session, editor: &Editor<'_>, node: &str) -> Result<(u64, u64)> {
    let (repository, issue) = editor.world.issue_by_node(node).ok_or_else(|| unresolved(node))?;
    may_change(session, editor.world, repository.id, node)?;
    Ok((repository.id, issue.number))
}

/// Changes the labels of an issue by their node ids, which all have to be of its repository.
fn relabel(
    ctx: &Context<'_>,
    node: &str,
    label_nodes: &[ID],
    act: impl FnOnce(&mut Editor<'_>, u64, u64, &[u64]) -> Result<()>,
) -> Result<Labelable> {
    let session = begin(ctx)?;
    session.hub.change(&token(session)?.login, Some(&session.request), |editor| {
        let (repository, number) = place(session, editor, node)?;
        let mut labels = Vec::with_capacity(label_nodes.len());
        for id in label_nodes {
            let (owner, label) = editor.world.label_by_node(id).ok_or_else(|| unresolved(id))?;
            if owner.id != repository {
                return Err(failed("UNPROCESSABLE", "Could not add labels of another repository"));
            }
            labels.push(label.id);
        }
        act(editor, repository, number, &labels)?;
        let world = &*editor.world;
        let place = world.repository_by_id(repository).ok_or_else(|| unresolved(node))?;
        let issue = place.issues.get(&number).ok_or_else(|| unresolved(node))?;
        Ok(labelable(world, place, issue))
    })
}
