//! What the primary publishes: each event of a project, and each lease that became an orphan.
//!
//! Messages are hints for whoever listens at that moment. The truth is in `POPPO.EVENTS` and `POPPO.ORPHANS`.

use std::fmt::Write as _;

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
        let text = |text: &str| serde_json::Value::from(text).to_string();
        let status = |status: Option<Status>| status.map_or("null".to_owned(), |status| format!("\"{status}\""));
        // Writing to a string cannot fail.
        let _ = write!(
            json,
            r#"{{"issue":{},"status":{},"from":{},"processId":{},"token":{},"event":"{}","at":"{}""#,
            self.issue,
            status(self.status),
            status(self.from),
            text(self.process),
            self.token,
            self.event,
            self.at
        );
        if let Some(reason) = self.reason {
            let _ = write!(json, r#","reason":"{reason}""#);
        }
        json.push('}');
        json
    }
}
