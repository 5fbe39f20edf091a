//! Scalars, words and inputs of the schema.

use std::time::SystemTime;

use async_graphql::{Enum, InputObject, Scalar, ScalarType, Value};

use crate::github::clock::rfc3339;

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
pub(super) struct Uri(pub(super) String);

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
    pub(super) field: LabelOrderField,
    pub(super) direction: OrderDirection,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
pub(super) enum IssueOrderField {
    CreatedAt,
    UpdatedAt,
    Comments,
}

#[derive(Debug, Clone, Copy, InputObject)]
pub(super) struct IssueOrder {
    pub(super) field: IssueOrderField,
    pub(super) direction: OrderDirection,
}

#[derive(Debug, Clone, Default, InputObject)]
pub(super) struct IssueFilters {
    pub(super) assignee: Option<String>,
    pub(super) created_by: Option<String>,
    pub(super) labels: Option<Vec<String>>,
    pub(super) since: Option<DateTime>,
    pub(super) states: Option<Vec<IssueState>>,
}
