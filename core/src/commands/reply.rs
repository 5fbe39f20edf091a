//! Answers: built whole as a value, then given out, so that nothing can go wrong halfway through one.

use std::borrow::Cow;

use crate::{Instant, Millis, Pid, Token};

/// An answer. Maps are maps in RESP3 and flat arrays in RESP2.
#[derive(Debug)]
pub enum Reply<'a> {
    /// Done.
    Ok,
    /// There is none.
    Null,
    /// A number, at most 2^53 - 1.
    Integer(u64),
    /// A text.
    Text(Cow<'a, str>),
    /// A list.
    Array(Vec<Reply<'a>>),
    /// A record.
    Map(Map<'a>),
    /// The place of a lease, which is shown where it is: see [`Answered::lease`](super::Answered::lease).
    Lease,
    /// A list of [`Reply::Ok`] and [`Reply::Lease`].
    OkAndLease,
}

/// A part that owns nothing.
#[derive(Debug, Clone, Copy)]
pub enum Plain<'a> {
    /// There is none.
    Null,
    /// A number, at most 2^53 - 1.
    Integer(u64),
    /// A text.
    Text(&'a str),
}

/// A field of a map of known size and plain values: it is built in place, and there is nothing to drop.
pub type Field<'a> = (&'static str, Plain<'a>);

/// A record: fields in the order in which they were added.
#[derive(Debug, Default)]
pub struct Map<'a>(Vec<(Cow<'a, str>, Reply<'a>)>);

impl<'a> Map<'a> {
    /// The fields.
    pub fn fields(&self) -> &[(Cow<'a, str>, Reply<'a>)] {
        &self.0
    }

    /// Adds a field.
    pub(super) fn with(self, field: &'a str, value: impl Into<Reply<'a>>) -> Self {
        self.with_name(Cow::Borrowed(field), value)
    }

    /// Adds a field whose name was made for it.
    pub(super) fn with_name(mut self, field: Cow<'a, str>, value: impl Into<Reply<'a>>) -> Self {
        self.0.push((field, value.into()));
        self
    }

    /// Adds a field where there is a value.
    pub(super) fn maybe(self, field: &'a str, value: Option<impl Into<Reply<'a>>>) -> Self {
        match value {
            Some(value) => self.with(field, value),
            None => self,
        }
    }

    /// Adds a field, null where there is no value.
    pub(super) fn or_null(self, field: &'a str, value: Option<impl Into<Reply<'a>>>) -> Self {
        self.with(field, value.map_or(Reply::Null, Into::into))
    }
}

impl<'a> From<Map<'a>> for Reply<'a> {
    fn from(map: Map<'a>) -> Self {
        Self::Map(map)
    }
}

impl<'a> From<&'a str> for Reply<'a> {
    fn from(text: &'a str) -> Self {
        Self::Text(Cow::Borrowed(text))
    }
}

impl From<String> for Reply<'_> {
    fn from(text: String) -> Self {
        Self::Text(Cow::Owned(text))
    }
}

impl From<u64> for Reply<'_> {
    fn from(number: u64) -> Self {
        Self::Integer(number)
    }
}

impl From<Token> for Reply<'_> {
    fn from(token: Token) -> Self {
        Self::Integer(token.get())
    }
}

impl From<Pid> for Reply<'_> {
    fn from(pid: Pid) -> Self {
        Self::Integer(u64::from(pid.get()))
    }
}

impl From<Millis> for Reply<'_> {
    fn from(millis: Millis) -> Self {
        Self::Integer(millis.0)
    }
}

impl From<Instant> for Reply<'_> {
    fn from(at: Instant) -> Self {
        Self::Text(Cow::Owned(at.to_string()))
    }
}
