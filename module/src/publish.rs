//! What the primary publishes: each event of a project, and each lease that became an orphan.
//!
//! Messages are hints for whoever listens at that moment. The truth is in `POPPO.EVENTS` and `POPPO.ORPHANS`.

use std::cell::RefCell;
use std::rc::Rc;

use poppo_core::{Event, Instant, Orphan, Status, Token};
use redis_module::{Context, RedisString};

use crate::ffi::{self, Reach, Word};
use crate::server;

/// What follows the project's name in the channel's.
const CHANNEL: &[u8] = b":issue:status:changed";

/// The channel of one project.
pub(crate) struct Channel<'a> {
    ctx: &'a Context,
    reach: Reach,
    name: Rc<RedisString>,
}

/// What is published of an event.
struct Message<'a> {
    issue: u64,
    status: Option<Status>,
    from: Option<Status>,
    process: Option<&'a str>,
    token: Option<u64>,
    event: &'static str,
    task: Option<&'a str>,
    at: Instant,
    reason: Option<&'static str>,
}

impl<'a> Channel<'a> {
    /// The channel of a project; none where nothing is to be published.
    pub(crate) fn of(ctx: &'a Context, project: Word<'_>) -> Option<Self> {
        let reach = server::reach()?;
        let name = channel_name(project.as_slice());
        Some(Self { ctx, reach, name })
    }

    /// Publishes an event.
    pub(crate) fn event(&self, event: &Event<'_>) {
        self.publish(&Message {
            issue: event.issue.get(),
            status: event.status,
            from: event.from,
            process: event.process,
            token: event.token.map(Token::get),
            event: event.what.as_str(),
            task: event.task,
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
            process: Some(orphan.process),
            token: Some(orphan.token.get()),
            event: "orphan",
            task: None,
            at: orphan.since,
            reason: Some(orphan.reason.as_str()),
        });
    }

    fn publish(&self, message: &Message<'_>) {
        ffi::publish(self.ctx, self.reach, &self.name, &string(|json| message.push_json(json)));
    }
}

/// The name of a project's channel. Commands come to one project many times in a row: the last name is kept.
fn channel_name(project: &[u8]) -> Rc<RedisString> {
    LAST.with_borrow_mut(|last| {
        let same = last.take().filter(|last| last.as_slice().strip_suffix(CHANNEL) == Some(project));
        let name = same.unwrap_or_else(|| {
            Rc::new(string(|buffer| {
                buffer.extend_from_slice(project);
                buffer.extend_from_slice(CHANNEL);
            }))
        });
        Rc::clone(last.insert(name))
    })
}

/// A string of the server's.
fn string(push: impl FnOnce(&mut Vec<u8>)) -> RedisString {
    BUFFER.with_borrow_mut(|buffer| {
        buffer.clear();
        push(buffer);
        RedisString::create_from_slice(std::ptr::null_mut(), buffer)
    })
}

impl Message<'_> {
    fn push_json(&self, json: &mut Vec<u8>) {
        json.extend_from_slice(b"{\"issue\":");
        push_number(json, self.issue);
        json.extend_from_slice(b",\"status\":");
        push_status(json, self.status);
        json.extend_from_slice(b",\"from\":");
        push_status(json, self.from);
        match self.process {
            Some(process) => {
                json.extend_from_slice(b",\"processId\":\"");
                push_name(json, process);
                json.extend_from_slice(b"\",\"token\":");
            }
            None => json.extend_from_slice(b",\"processId\":null,\"token\":"),
        }
        match self.token {
            Some(token) => push_number(json, token),
            None => json.extend_from_slice(b"null"),
        }
        json.extend_from_slice(b",\"event\":\"");
        json.extend_from_slice(self.event.as_bytes());
        if let Some(task) = self.task {
            json.extend_from_slice(b"\",\"task\":\"");
            push_name(json, task);
        }
        json.extend_from_slice(b"\",\"at\":\"");
        push_time(json, self.at);
        if let Some(reason) = self.reason {
            json.extend_from_slice(b"\",\"reason\":\"");
            json.extend_from_slice(reason.as_bytes());
        }
        json.extend_from_slice(b"\"}");
    }
}

fn push_status(json: &mut Vec<u8>, status: Option<Status>) {
    match status {
        Some(status) => {
            json.push(b'"');
            json.extend_from_slice(status.as_str().as_bytes());
            json.push(b'"');
        }
        None => json.extend_from_slice(b"null"),
    }
}

/// Adds a name: printable ASCII, in which JSON minds two characters.
fn push_name(json: &mut Vec<u8>, name: &str) {
    let is_minded = |byte: &u8| matches!(byte, b'"' | b'\\');
    if !name.as_bytes().iter().any(is_minded) {
        json.extend_from_slice(name.as_bytes());
        return;
    }
    for byte in name.bytes() {
        if is_minded(&byte) {
            json.push(b'\\');
        }
        json.push(byte);
    }
}

fn push_number(json: &mut Vec<u8>, number: u64) {
    let mut digits = itoa::Buffer::new();
    json.extend_from_slice(digits.format(number).as_bytes());
}

thread_local! {
    /// Room for what is about to become a string of the server's.
    static BUFFER: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };

    /// The name of the channel that was published on last.
    static LAST: RefCell<Option<Rc<RedisString>>> = const { RefCell::new(None) };

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
    let [hundreds, tens, ones] = [millis / 100, millis / 10 % 10, millis % 10].map(|digit| b'0' + digit as u8);
    json.extend_from_slice(&[hundreds, tens, ones, b'Z']);
}
