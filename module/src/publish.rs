//! What the primary publishes: each event of a project, and each lease that became an orphan.
//!
//! Messages are hints for whoever listens at that moment. The truth is in `POPPO.EVENTS` and `POPPO.ORPHANS`.

use std::cell::RefCell;

use poppo_core::{Event, Instant, Orphan, Status};
use redis_module::{Context, RedisString};

use crate::ffi::{self, Reach, Word};
use crate::server;

/// What follows the project's name in the channel's.
const CHANNEL: &str = ":issue:status:changed";

/// The channel of one project.
pub(crate) struct Channel<'a> {
    ctx: &'a Context,
    reach: Reach,
    name: RedisString,
}

/// What is published of an event.
struct Message<'a> {
    issue: u64,
    status: Option<Status>,
    from: Option<Status>,
    process: &'a str,
    token: u64,
    event: &'a str,
    at: Instant,
    reason: Option<&'a str>,
}

impl<'a> Channel<'a> {
    /// The channel of a project; none where nothing is to be published.
    pub(crate) fn of(ctx: &'a Context, project: Word<'_>) -> Option<Self> {
        let reach = server::reach()?;
        let name = BUFFER.with_borrow_mut(|buffer| {
            buffer.clear();
            buffer.extend_from_slice(project.as_slice());
            buffer.extend_from_slice(CHANNEL.as_bytes());
            RedisString::create_from_slice(std::ptr::null_mut(), buffer)
        });
        Some(Self { ctx, reach, name })
    }

    /// Publishes an event.
    pub(crate) fn event(&self, event: &Event<'_>) {
        self.publish(&Message {
            issue: event.issue.get(),
            status: event.status,
            from: event.from,
            process: event.process,
            token: event.token.get(),
            event: event.what.as_str(),
            at: event.at,
            reason: None,
        });
    }

    /// Publishes that a lease is an orphan.
    pub(crate) fn orphan(&self, orphan: &Orphan<'_>) {
        self.publish(&Message {
            issue: orphan.issue.get(),
            status: Some(Status::Processing),
            from: Some(Status::Processing),
            process: orphan.process,
            token: orphan.token.get(),
            event: "orphan",
            at: orphan.since,
            reason: Some(orphan.reason.as_str()),
        });
    }

    fn publish(&self, message: &Message<'_>) {
        let message = BUFFER.with_borrow_mut(|buffer| {
            buffer.clear();
            message.push_json(buffer);
            RedisString::create_from_slice(std::ptr::null_mut(), buffer)
        });
        ffi::publish(self.ctx, self.reach, &self.name, &message);
    }
}

impl Message<'_> {
    fn push_json(&self, json: &mut Vec<u8>) {
        json.extend_from_slice(b"{\"issue\":");
        push_number(json, self.issue);
        push_field(json, "status", self.status.map(Status::as_str));
        push_field(json, "from", self.from.map(Status::as_str));
        push_field(json, "processId", Some(self.process));
        json.extend_from_slice(b",\"token\":");
        push_number(json, self.token);
        push_field(json, "event", Some(self.event));
        json.extend_from_slice(b",\"at\":\"");
        push_time(json, self.at);
        json.push(b'"');
        if self.reason.is_some() {
            push_field(json, "reason", self.reason);
        }
        json.push(b'}');
    }
}

/// Adds a field whose value is a name or one of the contract's words: printable ASCII, in which JSON minds two characters.
fn push_field(json: &mut Vec<u8>, field: &str, value: Option<&str>) {
    json.extend_from_slice(b",\"");
    json.extend_from_slice(field.as_bytes());
    let Some(value) = value else {
        json.extend_from_slice(b"\":null");
        return;
    };
    json.extend_from_slice(b"\":\"");
    for byte in value.bytes() {
        if matches!(byte, b'"' | b'\\') {
            json.push(b'\\');
        }
        json.push(byte);
    }
    json.push(b'"');
}

fn push_number(json: &mut Vec<u8>, number: u64) {
    let mut digits = itoa::Buffer::new();
    json.extend_from_slice(digits.format(number).as_bytes());
}

thread_local! {
    /// Room for what is about to become a string of the server's.
    static BUFFER: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };

    /// The second of the last message, and how it reads: formatting a date costs more than the rest of a message.
    static SECOND: RefCell<(u64, String)> = const { RefCell::new((u64::MAX, String::new())) };
}

fn push_time(json: &mut Vec<u8>, at: Instant) {
    let (second, millis) = (at.micros() / 1_000_000, at.micros() / 1_000 % 1_000);
    SECOND.with_borrow_mut(|(last, text)| {
        if *last != second {
            *text = at.to_string();
            // All but the milliseconds and the zone: `2025-06-19T10:00:00.`
            text.truncate(text.len().saturating_sub("000Z".len()));
            *last = second;
        }
        json.extend_from_slice(text.as_bytes());
    });
    for digit in [millis / 100, millis / 10 % 10, millis % 10] {
        json.push(b'0' + digit as u8);
    }
    json.push(b'Z');
}
