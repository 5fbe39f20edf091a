//! What the primary publishes: each event of a project, and each lease that became an orphan.
//!
//! Messages are hints for whoever listens at that moment. The truth is in `POPPO.EVENTS` and `POPPO.ORPHANS`.

use std::cell::RefCell;

use poppo_core::{Event, Instant, Orphan, Status};
use redis_module::{Context, RedisString};

use crate::ffi::{self, Reach};
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
    pub(crate) fn of(ctx: &'a Context, project: &RedisString) -> Option<Self> {
        let reach = server::reach()?;
        let name = [project.as_slice(), CHANNEL.as_bytes()].concat();
        Some(Self { ctx, reach, name: RedisString::create_from_slice(std::ptr::null_mut(), &name) })
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
        let message = RedisString::create_from_slice(std::ptr::null_mut(), message.to_json().as_bytes());
        ffi::publish(self.ctx, self.reach, &self.name, &message);
    }
}

impl Message<'_> {
    fn to_json(&self) -> String {
        let mut json = String::with_capacity(256);
        json.push_str("{\"issue\":");
        push_number(&mut json, self.issue);
        push_field(&mut json, "status", self.status.map(Status::as_str));
        push_field(&mut json, "from", self.from.map(Status::as_str));
        push_field(&mut json, "processId", Some(self.process));
        json.push_str(",\"token\":");
        push_number(&mut json, self.token);
        push_field(&mut json, "event", Some(self.event));
        json.push_str(",\"at\":\"");
        push_time(&mut json, self.at);
        json.push('"');
        if self.reason.is_some() {
            push_field(&mut json, "reason", self.reason);
        }
        json.push('}');
        json
    }
}

/// Adds a field whose value is a name or one of the contract's words: printable ASCII, in which JSON minds two characters.
fn push_field(json: &mut String, field: &str, value: Option<&str>) {
    json.push_str(",\"");
    json.push_str(field);
    let Some(value) = value else {
        json.push_str("\":null");
        return;
    };
    json.push_str("\":\"");
    if value.contains(['"', '\\']) {
        value.chars().for_each(|c| {
            if matches!(c, '"' | '\\') {
                json.push('\\');
            }
            json.push(c);
        });
    } else {
        json.push_str(value);
    }
    json.push('"');
}

fn push_number(json: &mut String, number: u64) {
    let mut digits = itoa::Buffer::new();
    json.push_str(digits.format(number));
}

thread_local! {
    /// The second of the last message, and how it reads: formatting a date costs more than the rest of a message.
    static SECOND: RefCell<(u64, String)> = const { RefCell::new((u64::MAX, String::new())) };
}

fn push_time(json: &mut String, at: Instant) {
    let (second, millis) = (at.micros() / 1_000_000, at.micros() / 1_000 % 1_000);
    SECOND.with_borrow_mut(|(last, text)| {
        if *last != second {
            *text = at.to_string();
            // All but the milliseconds and the zone: `2025-06-19T10:00:00.`
            text.truncate(text.len().saturating_sub("000Z".len()));
            *last = second;
        }
        json.push_str(text);
    });
    for digit in [millis / 100, millis / 10 % 10, millis % 10] {
        json.push(char::from(b'0' + digit as u8));
    }
    json.push('Z');
}
