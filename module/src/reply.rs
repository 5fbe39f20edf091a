//! Answers: built whole as a value, then sent, so that nothing can go wrong halfway through one.

use std::borrow::Cow;

use poppo_core::{Instant, Millis, Pid, Token};
use redis_module::{Context, raw};

/// An answer. Maps are maps in RESP3 and flat arrays in RESP2.
#[derive(Debug)]
pub(crate) enum Reply<'a> {
    Ok,
    Null,
    Integer(u64),
    Text(Cow<'a, str>),
    Array(Vec<Reply<'a>>),
    Map(Map<'a>),
    /// Whatever [`Reply::send_with`] is given: what is claimed is shown where it is.
    Lease,
    /// [`Reply::Ok`] and [`Reply::Lease`].
    OkAndLease,
    /// It was sent already.
    Sent,
}

/// A part that owns nothing.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Plain<'a> {
    Null,
    Integer(u64),
    Text(&'a str),
}

/// A field of a map of known size and plain values: it is built in place, and there is nothing to drop.
pub(crate) type Field<'a> = (&'static str, Plain<'a>);

/// A record: fields in the order in which they were added.
#[derive(Debug, Default)]
pub(crate) struct Map<'a>(Vec<(Cow<'a, str>, Reply<'a>)>);

impl<'a> Map<'a> {
    /// Adds a field.
    pub(crate) fn with(self, field: &'a str, value: impl Into<Reply<'a>>) -> Self {
        self.with_name(Cow::Borrowed(field), value)
    }

    /// Adds a field whose name was made for it.
    pub(crate) fn with_name(mut self, field: Cow<'a, str>, value: impl Into<Reply<'a>>) -> Self {
        self.0.push((field, value.into()));
        self
    }

    /// Adds a field where there is a value.
    pub(crate) fn maybe(self, field: &'a str, value: Option<impl Into<Reply<'a>>>) -> Self {
        match value {
            Some(value) => self.with(field, value),
            None => self,
        }
    }

    /// Adds a field, null where there is no value.
    pub(crate) fn or_null(self, field: &'a str, value: Option<impl Into<Reply<'a>>>) -> Self {
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

impl Reply<'_> {
    /// Sends the answer. Its parts cannot be refused: lengths are right and texts are binary-safe.
    pub(crate) fn send(&self, ctx: &Context) {
        self.send_with(ctx, None);
    }

    /// Sends the answer with a lease in its place, null where there is none.
    pub(crate) fn send_with(&self, ctx: &Context, lease: Option<&[Field<'_>]>) {
        match self {
            Self::Lease => match lease {
                Some(fields) => {
                    begin_map(ctx, fields.len());
                    for (field, value) in fields {
                        send_text(ctx, field);
                        value.send(ctx);
                    }
                }
                None => Plain::Null.send(ctx),
            },
            Self::OkAndLease => {
                raw::reply_with_array(ctx.ctx, 2);
                Self::Ok.send(ctx);
                Self::Lease.send_with(ctx, lease);
            }
            Self::Sent => {}
            Self::Ok => {
                raw::reply_with_simple_string(ctx.ctx, c"OK".as_ptr());
            }
            Self::Null => Plain::Null.send(ctx),
            Self::Integer(number) => Plain::Integer(*number).send(ctx),
            Self::Text(text) => send_text(ctx, text),
            Self::Array(items) => {
                raw::reply_with_array(ctx.ctx, items.len() as std::os::raw::c_long);
                items.iter().for_each(|item| item.send(ctx));
            }
            Self::Map(Map(fields)) => {
                begin_map(ctx, fields.len());
                for (field, value) in fields {
                    send_text(ctx, field);
                    value.send(ctx);
                }
            }
        }
    }
}

impl Plain<'_> {
    fn send(self, ctx: &Context) {
        match self {
            Self::Null => {
                raw::reply_with_null(ctx.ctx);
            }
            Self::Integer(number) => {
                // Numbers of the contract are below 2^53.
                raw::reply_with_long_long(ctx.ctx, i64::try_from(number).unwrap_or(i64::MAX));
            }
            Self::Text(text) => send_text(ctx, text),
        }
    }
}

fn begin_map(ctx: &Context, fields: usize) {
    raw::reply_with_map(ctx.ctx, fields as std::os::raw::c_long);
}

fn send_text(ctx: &Context, text: &str) {
    raw::reply_with_string_buffer(ctx.ctx, text.as_ptr().cast(), text.len());
}
