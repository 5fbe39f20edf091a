//! Duty 5: answers the request protocol that the older programs speak over pub/sub (`docs/ambassador.md`).
//!
//! | file | what it does |
//! | --- | --- |
//! | `channels` | where requests come from, and where answers go |
//! | `request` | reads them |
//! | `inbox` | those that wait, and how often each was heard |
//! | `forward` | passes on what stays unanswered |
//! | `actions` | what each does to the project, and what it is answered |
//!
//! All daemons hear all requests; the one on the project's seat does and answers them. The others keep what they heard until it
//! is answered: whoever takes the seat does it then, or is told of it where it began to listen later. So nothing is lost with
//! a daemon. That an
//! answer was given is written down in the step that publishes it, and whatever is done is done only if it was not: so
//! nothing is done or answered twice either, however a daemon ends or how long it was stopped.

mod actions;
mod channels;
mod forward;
mod inbox;
mod request;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use poppo::{Client, Error, Heard, Token};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;
use serde_json::{Map, Value};
use tokio::time::sleep;
use tracing::{debug, info, warn};

use self::actions::{Desk, Reply};
pub(super) use self::channels::{Channels, home};
use self::inbox::{Inbox, Waiting};
pub(super) use self::request::is_name;
use super::Site;
use super::board::Health;
use super::duty::Trouble;
use super::seat::{self, Seat};
use super::view::View;

/// For how long an answer is kept, for requests that come twice.
const KEPT: Duration = Duration::from_secs(600);
/// The pause before what failed is tried again.
const PAUSE: Duration = Duration::from_millis(100);

/// What stands for the action of requests that were not read.
const ANY: &str = "any";

/// How often it is looked for what is not answered.
const GLANCE: Duration = Duration::from_secs(1);

const ACT: &str = include_str!("ambassador/act.lua");
/// In front of the two that follow.
const COUNT: &str = include_str!("ambassador/count.lua");
const CHECK: &str = include_str!("ambassador/check.lua");
const ANSWER: &str = include_str!("ambassador/answer.lua");

/// What became of how many requests.
#[derive(Debug, Clone, Default)]
pub(super) struct Metrics {
    requests: Family<OfRequest, Counter>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfRequest {
    project: String,
    action: &'static str,
    result: &'static str,
}

impl Metrics {
    pub(super) fn register(&self, registry: &mut Registry) {
        let help = "Requests of older programs, by what was asked and what became of it";
        registry.register("ambassador_requests", help, self.requests.clone());
    }
}

/// What answers one project's requests.
#[derive(Debug, Clone)]
pub(super) struct Ambassador {
    pub(super) site: Site,
    pub(super) channels: Arc<Channels>,
    pub(super) seat: Seat,
    /// Where answers are also to be read, if anywhere.
    pub(super) view: Option<Arc<View>>,
    pub(super) metrics: Metrics,
}

impl Ambassador {
    /// Until the daemon ends.
    pub(super) async fn run(self, health: Health) -> Result<(), Trouble> {
        let mut channels = self.channels.requests();
        channels.push(self.forwarding());
        let mut subscription = self.client().subscribe(channels);
        let mut glance = tokio::time::interval(GLANCE);
        let mut inbox = Inbox::default();
        let mut seat = self.seat.clone();
        let (mut lost, mut hears) = (0, Err(None));
        loop {
            match (&hears, seat.trouble()) {
                (Ok(()), None) => health.well(),
                (Ok(()), Some(why)) => health.ailing(why),
                (Err(Some(why)), _) => health.ailing(String::clone(why)),
                (Err(None), _) => {}
            }
            tokio::select! {
                () = self.site.stop.cancelled() => return Ok(()),
                heard = subscription.next() => match heard {
                    Heard::Began(since) => {
                        inbox.begin(since);
                        hears = Ok(());
                        self.seat.want(true);
                    }
                    Heard::Lost(why) => {
                        hears = Err(Some(why.to_string()));
                        // Whoever hears nothing must not sit where others could.
                        self.seat.want(false);
                    }
                    Heard::Message { channel, payload } => self.hear(&channel, payload, &mut inbox),
                    _ => {}
                },
                () = seat.change() => {}
                _ = glance.tick() => if seat.term().is_none() {
                    match self.forward(&mut inbox).await {
                        Ok(count) => self.count(ANY, "forwarded", count),
                        Err(error) => debug!(%error, "what is not answered was not passed on"),
                    }
                },
                () = std::future::ready(()), if seat.term().is_some() && !inbox.is_empty() => {
                    if let (Some(token), Some(waiting)) = (seat.term(), inbox.take()) {
                        self.handle(token, waiting, &mut inbox).await;
                    }
                }
            }
            let late = inbox.drop_late();
            // Elsewhere they were done by another daemon.
            if seat.term().is_some() {
                self.count(ANY, "late", late);
            }
            let now_lost = subscription.lost();
            self.count(ANY, "lost", now_lost.saturating_sub(lost));
            lost = now_lost;
        }
    }

    fn client(&self) -> &Client {
        self.site.project.client()
    }

    fn count(&self, action: &'static str, result: &'static str, times: u64) {
        if times > 0 {
            let labels = OfRequest { project: self.site.project.key().to_owned(), action, result };
            self.metrics.requests.get_or_create(&labels).inc_by(times);
        }
    }

    fn hear(&self, channel: &str, mut payload: Vec<u8>, inbox: &mut Inbox) {
        let Some(answers) = self.channels.answers(channel) else {
            // Who is not on the seat heard it as well, or could do nothing.
            if self.seat.term().is_some() {
                self.take_forwarded(&payload, inbox);
            }
            return;
        };
        match request::read(channel, &payload) {
            Err(malformed) if malformed.id.is_none() => {
                warn!(%channel, bytes = payload.len(), "a request that cannot be answered: {malformed}");
                self.count(request::UNKNOWN, "malformed", 1);
            }
            message => {
                // What is too long is not worth the room.
                if payload.len() > request::LONGEST {
                    payload = Vec::new();
                }
                if !inbox.put(message, channel, payload, answers) {
                    warn!(%channel, "more requests than can wait, or one that comes again and again: passed over");
                    self.count(request::UNKNOWN, "flood", 1);
                }
            }
        }
    }

    /// Does what is asked and answers it, unless that was done.
    async fn handle(&self, token: Token, waiting: Waiting, inbox: &mut Inbox) {
        let action = waiting.message.as_ref().map_or(request::UNKNOWN, |request| request.action.as_str());
        match self.settle(token, &waiting).await {
            Ok(Some(result)) => self.count(action, result, 1),
            // Somebody else answered it.
            Ok(None) => {}
            // The next one does it.
            Err(error) if seat::is_unseated(&error) => inbox.put_back(waiting),
            Err(error) if error.may_pass() => {
                debug!(%error, action, "tried again");
                inbox.put_back(waiting);
                sleep(PAUSE).await;
            }
            Err(error) => {
                warn!(%error, action, "a request could not be answered");
                self.count(action, "failed", 1);
            }
        }
    }

    /// Where the answer to a request is kept.
    fn record(&self, waiting: &Waiting) -> String {
        seat::place(self.site.project.key(), &format!(":answer:{}", waiting.digest()))
    }

    /// What became of it; none where it was answered before.
    async fn settle(&self, token: Token, waiting: &Waiting) -> Result<Option<&'static str>, Error> {
        let record = self.record(waiting);
        let (id, reply) = match &waiting.message {
            Err(malformed) => (malformed.id.as_ref(), Some(Reply::Refused(malformed.why.clone()))),
            Ok(request) => {
                let guard = self.seat.guard(token, ACT, &[&record]);
                let desk = Desk { site: &self.site, guard: &guard };
                let reply = match desk.perform(&request.action).await {
                    Ok(reply) => {
                        self.show(token, &reply).await?;
                        Some(reply)
                    }
                    Err(error) if error.code() == "ANSWERED" => None,
                    Err(error) => return Err(error),
                };
                (request.id.as_ref(), reply)
            }
        };
        let result = match &reply {
            Some(Reply::Done { .. }) => "done",
            Some(Reply::Refused(_)) if waiting.message.is_err() => "malformed",
            Some(Reply::Refused(why)) => {
                info!(project = self.site.project.key(), "refused: {why}");
                "refused"
            }
            None => "again",
        };
        let Some(id) = id else { return Ok(Some(result)) };
        let answer = reply.map(|reply| written(id, reply)).unwrap_or_default();
        let arguments = [
            token.to_string(),
            waiting.answers.to_string(),
            answer,
            waiting.from.to_string(),
            waiting.heard.to_string(),
            KEPT.as_secs().to_string(),
        ];
        let keys = [self.seat.key(), &record];
        let published =
            self.client().run_script(&Seat::script(&format!("{COUNT}\n{ANSWER}")), &keys, &arguments).await?;
        Ok((published.first().map(String::as_str) == Some("1")).then_some(result))
    }

    /// Has the view show what was done, before it is said.
    async fn show(&self, token: Token, reply: &Reply) -> Result<(), Error> {
        let (Some(view), Reply::Done { touched, .. }) = (&self.view, reply) else { return Ok(()) };
        match view.touch(token, touched).await {
            Err(error) if !error.may_pass() && !seat::is_unseated(&error) => {
                // The view's own duty says so, too, and goes on trying.
                warn!(%error, "answered, though the view does not show it");
                Ok(())
            }
            other => other,
        }
    }
}

/// The answer as it is published.
fn written(id: &Value, reply: Reply) -> String {
    let mut answer = Map::new();
    answer.insert("requestId".to_owned(), id.clone());
    let now = humantime::format_rfc3339_millis(SystemTime::now());
    answer.insert("timestamp".to_owned(), now.to_string().into());
    match reply {
        Reply::Done { fields, .. } => {
            answer.insert("success".to_owned(), true.into());
            answer.extend(fields);
        }
        Reply::Refused(why) => {
            answer.insert("success".to_owned(), false.into());
            answer.insert("error".to_owned(), why.into());
        }
    }
    Value::Object(answer).to_string()
}
