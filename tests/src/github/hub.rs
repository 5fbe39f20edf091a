//! What all parts of the server share.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard};

use super::auth::Keys;
use super::clock::Clock;
use super::edit::Editor;
use super::faults::Faults;
use super::limits::Meters;
use super::log::{Log, Violation};
use super::state::{World, same};
use super::webhooks::Webhooks;

/// What all parts of the server share. Each lock is held for a moment, never across a wait.
#[derive(Debug)]
pub(super) struct Hub {
    pub(super) clock: Clock,
    pub(super) log: Log,
    pub(super) webhooks: Webhooks,
    /// Before every path: empty, or `/api/v3` on an Enterprise server.
    pub(super) rest_base: &'static str,
    pub(super) graphql_path: &'static str,
    world: Mutex<World>,
    keys: Mutex<Keys>,
    meters: Mutex<Meters>,
    faults: Mutex<Faults>,
    /// The labels that clients may touch; nothing: all.
    allowed: Mutex<Option<Vec<String>>>,
    requests: AtomicU64,
}

impl Hub {
    pub(super) fn new(world: World, keys: Keys, meters: Meters, webhooks: Webhooks, is_enterprise: bool) -> Self {
        Self {
            clock: Clock::default(),
            log: Log::default(),
            webhooks,
            rest_base: if is_enterprise { "/api/v3" } else { "" },
            graphql_path: if is_enterprise { "/api/graphql" } else { "/graphql" },
            world: Mutex::new(world),
            keys: Mutex::new(keys),
            meters: Mutex::new(meters),
            faults: Mutex::new(Faults::default()),
            allowed: Mutex::new(None),
            requests: AtomicU64::new(0),
        }
    }

    pub(super) fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().expect("nobody panics with the world")
    }

    pub(super) fn keys(&self) -> MutexGuard<'_, Keys> {
        self.keys.lock().expect("nobody panics with the keys")
    }

    pub(super) fn meters(&self) -> MutexGuard<'_, Meters> {
        self.meters.lock().expect("nobody panics with the meters")
    }

    pub(super) fn faults(&self) -> MutexGuard<'_, Faults> {
        self.faults.lock().expect("nobody panics with the faults")
    }

    pub(super) fn allow_labels(&self, names: Option<Vec<String>>) {
        *self.allowed.lock().expect("nobody panics with the labels") = names;
    }

    /// The next request's id, shaped as GitHub's are.
    pub(super) fn request_id(&self) -> String {
        let number = self.requests.fetch_add(1, Ordering::Relaxed);
        format!("C0DE:{:04X}:{:06X}:{:07X}:6987A2B3", number & 0xffff, number, number)
    }

    /// Changes the world in somebody's name, and tells of it. `request` is the request that asked for it, if any did: it
    /// answers for the labels that were touched.
    pub(super) fn change<T>(&self, by: &str, request: Option<&str>, act: impl FnOnce(&mut Editor<'_>) -> T) -> T {
        let now = self.clock.stamp();
        let mut world = self.world();
        let mut editor = Editor { world: &mut world, by, now, events: Vec::new(), touched: Vec::new() };
        let result = act(&mut editor);
        let (events, touched) = (editor.events, editor.touched);
        // Told while the world is locked, so that deliveries leave in the order of the changes.
        for event in events {
            self.webhooks.tell(event);
        }
        drop(world);
        if let Some(request) = request {
            self.answer_for(request, touched);
        }
        result
    }

    fn answer_for(&self, request: &str, touched: Vec<String>) {
        let allowed = self.allowed.lock().expect("nobody panics with the labels").clone();
        let Some(allowed) = allowed else { return };
        for label in touched {
            if !allowed.iter().any(|name| same(name, &label)) {
                self.log.breach(request, Violation::ForeignLabel(label));
            }
        }
    }
}
