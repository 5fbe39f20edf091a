//! Webhook deliveries: every change is told to whoever registered, signed, one after the other as GitHub does when all is
//! well; and out of order, twice, never or with a wrong signature when a test says so.

use std::sync::Mutex;
use std::time::{Duration, Instant, SystemTime};

use ring::hmac;
use serde_json::Value;
use tokio::sync::mpsc;

use super::clock::Clock;
use crate::Random;

/// How long GitHub waits for the answer to a delivery.
const PATIENCE: Duration = Duration::from_secs(10);

/// Something that happened.
#[derive(Debug, Clone)]
pub(super) struct Event {
    /// `issues` or `issue_comment`.
    pub(super) name: &'static str,
    pub(super) action: &'static str,
    pub(super) payload: Value,
}

/// Where events are told.
#[derive(Debug, Clone)]
pub struct Hook {
    /// The URL that gets the deliveries.
    pub url: String,
    /// The secret that signs them.
    pub secret: String,
}

/// How often deliveries go astray; 0 is never.
#[derive(Debug, Clone, Copy, Default)]
pub struct Mishaps {
    /// One in so many is never sent.
    pub lost: usize,
    /// One in so many is sent twice.
    pub doubled: usize,
    /// One in so many is sent again with a signature of another secret.
    pub forged: usize,
}

/// The order in which deliveries leave that were held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// As things happened.
    AsHappened,
    /// The last first.
    Reversed,
    /// Any, by that seed.
    Shuffled(u64),
}

/// A delivery and what became of it.
#[derive(Debug, Clone)]
pub struct Delivery {
    /// What `X-GitHub-Delivery` says; the same when it is sent again.
    pub id: String,
    /// What `X-GitHub-Event` says.
    pub event: String,
    /// The action in the payload.
    pub action: String,
    /// The body, to the byte.
    pub body: String,
    /// Whether its signature is of another secret.
    pub is_forged: bool,
    /// When it was sent, by the server's clock.
    pub at: SystemTime,
    /// The status that it was answered with; nothing if it was not answered.
    pub status: Option<u16>,
    /// From its sending to its answer.
    pub took: Duration,
}

/// What signs a delivery: the text of `X-Hub-Signature-256`.
pub fn signature(secret: &str, body: &[u8]) -> String {
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes()), body);
    let hex: String = tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256={hex}")
}

#[derive(Debug, Clone)]
pub(super) struct Parcel {
    id: String,
    event: &'static str,
    action: String,
    body: String,
    is_forged: bool,
}

/// The sender of deliveries.
#[derive(Debug)]
pub(super) struct Webhooks {
    inner: Mutex<Inner>,
    postman: mpsc::UnboundedSender<(Hook, Parcel)>,
}

#[derive(Debug)]
struct Inner {
    hook: Option<Hook>,
    mishaps: Mishaps,
    random: Random,
    is_held: bool,
    held: Vec<Parcel>,
    /// Handed to the postman.
    sent: usize,
    deliveries: Vec<Delivery>,
}

impl Webhooks {
    pub(super) fn new(postman: mpsc::UnboundedSender<(Hook, Parcel)>) -> Self {
        let inner = Inner {
            hook: None,
            mishaps: Mishaps::default(),
            random: Random::new(0),
            is_held: false,
            held: Vec::new(),
            sent: 0,
            deliveries: Vec::new(),
        };
        Self { inner: Mutex::new(inner), postman }
    }

    fn inner(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().expect("nobody panics with the webhooks")
    }

    pub(super) fn register(&self, hook: Option<Hook>) {
        self.inner().hook = hook;
    }

    pub(super) fn set_mishaps(&self, mishaps: Mishaps, seed: u64) {
        let mut inner = self.inner();
        (inner.mishaps, inner.random) = (mishaps, Random::new(seed));
    }

    pub(super) fn hold(&self) {
        self.inner().is_held = true;
    }

    pub(super) fn release(&self, order: Order) {
        let mut held = {
            let mut inner = self.inner();
            inner.is_held = false;
            std::mem::take(&mut inner.held)
        };
        match order {
            Order::AsHappened => {}
            Order::Reversed => held.reverse(),
            Order::Shuffled(seed) => {
                let mut random = Random::new(seed);
                for last in (1..held.len()).rev() {
                    held.swap(last, random.below(last + 1));
                }
            }
        }
        for parcel in held {
            self.post(parcel);
        }
    }

    /// Tells what happened, mishaps aside.
    pub(super) fn tell(&self, event: Event) {
        let mut inner = self.inner();
        if inner.hook.is_none() {
            return;
        }
        let mishaps = inner.mishaps;
        let mut strikes = |one_in: usize| one_in > 0 && inner.random.one_in(one_in);
        let (is_lost, is_doubled, is_forged) =
            (strikes(mishaps.lost), strikes(mishaps.doubled), strikes(mishaps.forged));
        let id = uuid(&mut inner.random);
        let Event { name, action, payload } = event;
        let parcel = Parcel { id, event: name, action: action.to_owned(), body: payload.to_string(), is_forged: false };
        let mut parcels = Vec::new();
        if is_forged {
            parcels.push(Parcel { is_forged: true, ..parcel.clone() });
        }
        if is_doubled && !is_lost {
            parcels.push(parcel.clone());
        }
        if !is_lost {
            parcels.push(parcel);
        }
        if inner.is_held {
            inner.held.extend(parcels);
            return;
        }
        drop(inner);
        for parcel in parcels {
            self.post(parcel);
        }
    }

    /// Sends a delivery again, as it was.
    pub(super) fn redeliver(&self, id: &str) -> bool {
        let found = self.inner().deliveries.iter().find(|delivery| delivery.id == id).cloned();
        let Some(delivery) = found else { return false };
        let event = if delivery.event == "issues" { "issues" } else { "issue_comment" };
        let Delivery { id, action, body, .. } = delivery;
        self.post(Parcel { id, event, action, body, is_forged: false });
        true
    }

    fn post(&self, parcel: Parcel) {
        let mut inner = self.inner();
        let Some(hook) = inner.hook.clone() else { return };
        inner.sent += 1;
        // Without a postman the server is stopping.
        drop(self.postman.send((hook, parcel)));
    }

    pub(super) fn deliveries(&self) -> Vec<Delivery> {
        self.inner().deliveries.clone()
    }

    pub(super) fn is_idle(&self) -> bool {
        let inner = self.inner();
        inner.deliveries.len() == inner.sent
    }

    fn delivered(&self, delivery: Delivery) {
        self.inner().deliveries.push(delivery);
    }
}

/// Where the postman takes deliveries from.
pub(super) type Sack = mpsc::UnboundedReceiver<(Hook, Parcel)>;

/// Delivers one after the other, for ever.
pub(super) async fn deliver(webhooks: &Webhooks, clock: &Clock, mut sack: Sack) {
    let client = reqwest::Client::builder().timeout(PATIENCE).build().expect("an HTTP client");
    while let Some((hook, parcel)) = sack.recv().await {
        let (at, start) = (clock.now(), Instant::now());
        let secret = if parcel.is_forged { "not the secret" } else { &hook.secret };
        let answer = client
            .post(&hook.url)
            .header("content-type", "application/json")
            .header("user-agent", "GitHub-Hookshot/2bf5c3a")
            .header("x-github-event", parcel.event)
            .header("x-github-delivery", &parcel.id)
            .header("x-github-hook-id", "1")
            .header("x-github-hook-installation-target-type", "repository")
            .header("x-github-hook-installation-target-id", "1")
            .header("x-hub-signature-256", signature(secret, parcel.body.as_bytes()))
            .body(parcel.body.clone())
            .send()
            .await;
        webhooks.delivered(Delivery {
            id: parcel.id,
            event: parcel.event.to_owned(),
            action: parcel.action,
            body: parcel.body,
            is_forged: parcel.is_forged,
            at,
            status: answer.ok().map(|answer| answer.status().as_u16()),
            took: start.elapsed(),
        });
    }
}

fn uuid(random: &mut Random) -> String {
    let (high, low) = (random.bits(), random.bits());
    let (first, second, third) = (high >> 32, (high >> 16) & 0xffff, high & 0xfff);
    format!("{first:08x}-{second:04x}-4{third:03x}-8{:03x}-{:012x}", (low >> 48) & 0xfff, low & 0xffff_ffff_ffff)
}
