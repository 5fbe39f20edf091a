//! What can be asked.

use async_graphql::{Context, ID, Object, PathSegment, Result, SimpleObject};

use super::nodes::{Node, UserNode, node, user};
use super::repository::RepositoryNode;
use super::values::DateTime;
use super::{Nullable, Session, begin, failed, is_seen, token, unresolved};
use crate::github::limits::Resource;

/// As many nodes as can be asked for at once.
const NODES_LIMIT: usize = 100;

pub(super) struct Query;

#[derive(Debug, SimpleObject)]
struct RateLimit {
    cost: i32,
    limit: i32,
    node_count: i32,
    remaining: i32,
    reset_at: DateTime,
    used: i32,
}

#[Object]
impl Query {
    async fn viewer(&self, ctx: &Context<'_>) -> Result<UserNode> {
        let session = begin(ctx)?;
        Ok(user(&session.hub.world(), &token(session)?.login))
    }

    async fn rate_limit(&self, ctx: &Context<'_>, #[graphql(default)] dry_run: bool) -> Nullable<RateLimit> {
        Some(gauge(ctx, dry_run))
    }

    async fn repository(
        &self,
        ctx: &Context<'_>,
        owner: String,
        name: String,
        #[graphql(default = true)] follow_renames: bool,
    ) -> Nullable<RepositoryNode> {
        Some(named(ctx, &owner, &name, follow_renames))
    }

    async fn node(&self, ctx: &Context<'_>, id: ID) -> Nullable<Node> {
        let found = |session: &Session| node(session, &session.hub.world(), &id).ok_or_else(|| unresolved(&id));
        Some(begin(ctx).and_then(found))
    }

    async fn nodes(&self, ctx: &Context<'_>, ids: Vec<ID>) -> Result<Vec<Option<Node>>> {
        let session = begin(ctx)?;
        if ids.len() > NODES_LIMIT {
            let message = format!("You may not provide more than 100 node ids; you provided {}.", ids.len());
            return Err(failed("ARGUMENT_LIMIT", message));
        }
        let world = session.hub.world();
        let mut found = Vec::with_capacity(ids.len());
        for (index, id) in ids.iter().enumerate() {
            let one = node(session, &world, id);
            if one.is_none() {
                let mut error = unresolved(id).into_server_error(ctx.item.pos);
                let name = ctx.item.node.response_key().node.to_string();
                error.path = vec![PathSegment::Field(name), PathSegment::Index(index)];
                ctx.add_error(error);
            }
            found.push(one);
        }
        Ok(found)
    }
}

fn gauge(ctx: &Context<'_>, dry_run: bool) -> Result<RateLimit> {
    let session = begin(ctx)?;
    let now = session.hub.clock.now();
    let gauge = session.hub.meters().gauge(&token(session)?.secret, Resource::Graphql, now);
    let shown = |count: u32| i32::try_from(count).unwrap_or(i32::MAX);
    Ok(RateLimit {
        cost: if dry_run { 0 } else { 1 },
        limit: shown(gauge.limit),
        node_count: 0,
        remaining: shown(gauge.remaining()),
        reset_at: DateTime(gauge.reset + std::time::Duration::from_secs(1)),
        used: shown(gauge.used),
    })
}

fn named(ctx: &Context<'_>, owner: &str, name: &str, follow_renames: bool) -> Result<RepositoryNode> {
    let session = begin(ctx)?;
    let world = session.hub.world();
    let former = || follow_renames.then(|| world.formerly(owner, name)).flatten();
    let found = world.repository(owner, name).or_else(former).filter(|found| is_seen(session, found));
    let message = || format!("Could not resolve to a Repository with the name '{owner}/{name}'.");
    found.map(RepositoryNode::of).ok_or_else(|| failed("NOT_FOUND", message()))
}
