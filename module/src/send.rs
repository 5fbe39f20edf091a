//! Answers on their way to the client. Their parts cannot be refused: lengths are right and texts are binary-safe.

use std::os::raw::c_long;

use poppo_core::commands::{Field, Plain, Reply};
use redis_module::{Context, raw};

/// What a command's body comes to.
pub(crate) enum Answer {
    /// It is to be sent.
    Reply(Reply<'static>),
    /// It was sent already, or comes later.
    Sent,
}

impl From<Reply<'static>> for Answer {
    fn from(reply: Reply<'static>) -> Self {
        Self::Reply(reply)
    }
}

/// Sends an answer that shows no lease.
pub(crate) fn send(ctx: &Context, reply: &Reply<'_>) {
    send_with(ctx, reply, None);
}

/// Sends an answer with a lease in its place, null where there is none.
pub(crate) fn send_with(ctx: &Context, reply: &Reply<'_>, lease: Option<&[Field<'_>]>) {
    match reply {
        Reply::Lease => match lease {
            Some(fields) => {
                begin_map(ctx, fields.len());
                for (field, value) in fields {
                    send_text(ctx, field);
                    send_plain(ctx, *value);
                }
            }
            None => send_plain(ctx, Plain::Null),
        },
        Reply::OkAndLease => {
            raw::reply_with_array(ctx.ctx, 2);
            send(ctx, &Reply::Ok);
            send_with(ctx, &Reply::Lease, lease);
        }
        Reply::Ok => {
            raw::reply_with_simple_string(ctx.ctx, c"OK".as_ptr());
        }
        Reply::Null => send_plain(ctx, Plain::Null),
        Reply::Integer(number) => send_plain(ctx, Plain::Integer(*number)),
        Reply::Text(text) => send_text(ctx, text),
        Reply::Array(items) => {
            raw::reply_with_array(ctx.ctx, items.len() as c_long);
            items.iter().for_each(|item| send(ctx, item));
        }
        Reply::Map(map) => {
            let fields = map.fields();
            begin_map(ctx, fields.len());
            for (field, value) in fields {
                send_text(ctx, field);
                send(ctx, value);
            }
        }
    }
}

fn send_plain(ctx: &Context, value: Plain<'_>) {
    match value {
        Plain::Null => {
            raw::reply_with_null(ctx.ctx);
        }
        Plain::Integer(number) => {
            // Numbers of the contract are below 2^53.
            raw::reply_with_long_long(ctx.ctx, i64::try_from(number).unwrap_or(i64::MAX));
        }
        Plain::Text(text) => send_text(ctx, text),
    }
}

fn begin_map(ctx: &Context, fields: usize) {
    raw::reply_with_map(ctx.ctx, fields as c_long);
}

fn send_text(ctx: &Context, text: &str) {
    raw::reply_with_string_buffer(ctx.ctx, text.as_ptr().cast(), text.len());
}
