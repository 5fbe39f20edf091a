//! Connections: lists in pages, each with a cursor, as every list of GitHub's schema is.

use std::borrow::Cow;

use async_graphql::{OutputType, Result, SimpleObject, TypeName};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::failed;

/// As many items as a page has at most.
const LARGEST: i32 = 100;

#[derive(Debug, Clone, SimpleObject)]
pub(super) struct PageInfo {
    has_next_page: bool,
    has_previous_page: bool,
    start_cursor: Option<String>,
    end_cursor: Option<String>,
}

#[derive(Debug, Clone, SimpleObject)]
#[graphql(name_type)]
pub(super) struct Edge<T: OutputType> {
    pub(super) cursor: String,
    pub(super) node: Option<T>,
}

#[derive(Debug, Clone, SimpleObject)]
#[graphql(name_type)]
pub(super) struct Connection<T: OutputType> {
    edges: Option<Vec<Option<Edge<T>>>>,
    nodes: Option<Vec<Option<T>>>,
    page_info: PageInfo,
    total_count: i32,
}

impl<T: OutputType> TypeName for Edge<T> {
    fn type_name() -> Cow<'static, str> {
        format!("{}Edge", T::type_name()).into()
    }
}

impl<T: OutputType> TypeName for Connection<T> {
    fn type_name() -> Cow<'static, str> {
        format!("{}Connection", T::type_name()).into()
    }
}

/// Which part of a connection is asked for.
#[derive(Debug, Clone, Default)]
pub(super) struct Part {
    pub(super) first: Option<i32>,
    pub(super) after: Option<String>,
    pub(super) last: Option<i32>,
    pub(super) before: Option<String>,
}

/// The cursor of the item with that node id.
pub(super) fn cursor(node_id: &str) -> String {
    STANDARD.encode(format!("cursor:v2:{node_id}"))
}

impl Part {
    fn check(&self, name: &str) -> Result<()> {
        match self.first.or(self.last) {
            None => {
                let message =
                    format!("You must provide a `first` or `last` value to properly paginate the `{name}` connection.");
                Err(failed("MISSING_PAGINATION_BOUNDARIES", message))
            }
            Some(count) if !(0..=LARGEST).contains(&count) => {
                let bound = if self.first.is_some() { "first" } else { "last" };
                let message = format!(
                    "Requesting {count} records on the `{name}` connection exceeds the `{bound}` limit of {LARGEST} records."
                );
                Err(failed("EXCESSIVE_PAGINATION", message))
            }
            Some(_) => Ok(()),
        }
    }

    /// That part of `items`, each with its node id.
    pub(super) fn of<T: OutputType + Clone>(&self, name: &str, items: Vec<(String, T)>) -> Result<Connection<T>> {
        self.check(name)?;
        let place = |text: &Option<String>| match text {
            None => Ok(None),
            Some(text) => {
                let found = items.iter().position(|(id, _)| cursor(id) == *text);
                let message = format!("`{text}` does not appear to be a valid cursor.");
                found.map(Some).ok_or_else(|| failed("INVALID_CURSOR_ARGUMENTS", message))
            }
        };
        let mut from = place(&self.after)?.map_or(0, |after| after + 1);
        let mut to = place(&self.before)?.unwrap_or(items.len()).max(from);
        let bound = |count: i32| usize::try_from(count).unwrap_or_default();
        match (self.first, self.last) {
            (Some(first), _) => to = to.min(from + bound(first)),
            (None, Some(last)) => from = from.max(to.saturating_sub(bound(last))),
            (None, None) => {}
        }
        let shown = items.get(from..to).unwrap_or_default();
        let page_info = PageInfo {
            has_next_page: to < items.len(),
            has_previous_page: from > 0,
            start_cursor: shown.first().map(|(id, _)| cursor(id)),
            end_cursor: shown.last().map(|(id, _)| cursor(id)),
        };
        let edge = |(id, node): &(String, T)| Some(Edge { cursor: cursor(id), node: Some(node.clone()) });
        Ok(Connection {
            edges: Some(shown.iter().map(edge).collect()),
            nodes: Some(shown.iter().map(|(_, node)| Some(node.clone())).collect()),
            page_info,
            total_count: i32::try_from(items.len()).unwrap_or(i32::MAX),
        })
    }
}
