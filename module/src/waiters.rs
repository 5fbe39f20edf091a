//! The clients that wait in `POPPO.CLAIM`, first come, first served.
//!
//! The server blocks them on a key of their own, in the slot of their project, whose signals nobody gives: so it unblocks
//! them where the slot goes elsewhere or the server becomes a replica, and one event costs nothing however many wait.
//! Who is next is decided here. A client that is served is unblocked as if its time were over: the callback for that is
//! where it claims.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};

use poppo_core::{Millis, Name, Now, Project};
use redis_module::{Context, RedisString};

use crate::deadlines;
use crate::ffi::{self, Blocked, Handle, Key, Word};
use crate::server;

/// Where clients wait: a database and the name of a project, which need not exist.
type Place = (i32, Vec<u8>);

/// The types that a client asks for; none for any.
type Types = Vec<Box<str>>;

/// The number of a waiting client: later ones have higher ones.
pub(crate) type Number = u64;

/// The clients that wait for one project.
#[derive(Default)]
struct Line {
    waiting: BTreeMap<Number, Waiter>,
    /// The same by what they ask for, so that a task of one type is not offered to all who want others.
    by_types: BTreeMap<Types, BTreeSet<Number>>,
}

struct Waiter {
    client: Blocked,
    types: Types,
}

#[derive(Default)]
struct Lines {
    lines: BTreeMap<Place, Line>,
    places: BTreeMap<Number, Place>,
    clients: BTreeMap<Handle, Number>,
    last: Number,
}

thread_local! {
    static LINES: RefCell<Lines> = RefCell::default();
    /// How many wait, so that nobody looks in vain.
    static WAITING: Cell<u64> = const { Cell::new(0) };
    /// Who is being served.
    static SERVED: Cell<Option<Number>> = const { Cell::new(None) };
}

impl Lines {
    fn add(&mut self, place: Place, number: Number, waiter: Waiter) {
        let line = self.lines.entry(place.clone()).or_default();
        line.by_types.entry(waiter.types.clone()).or_default().insert(number);
        self.clients.insert(waiter.client.handle(), number);
        line.waiting.insert(number, waiter);
        self.places.insert(number, place);
        WAITING.set(self.places.len() as u64);
    }

    fn remove(&mut self, number: Number) -> Option<Waiter> {
        let place = self.places.remove(&number)?;
        WAITING.set(self.places.len() as u64);
        let line = self.lines.get_mut(&place)?;
        let waiter = line.waiting.remove(&number)?;
        self.clients.remove(&waiter.client.handle());
        if let Some(same) = line.by_types.get_mut(&waiter.types) {
            same.remove(&number);
            if same.is_empty() {
                line.by_types.remove(&waiter.types);
            }
        }
        if line.waiting.is_empty() {
            self.lines.remove(&place);
        }
        Some(waiter)
    }

    /// The first client for whom there is a task.
    fn next(&self, place: &Place, project: &mut Project, now: Now) -> Option<Number> {
        let line = self.lines.get(place)?;
        let firsts = line.by_types.iter().filter_map(|(types, numbers)| Some((types, *numbers.first()?)));
        firsts.filter(|(types, _)| project.has_task_for(now, &names(types))).map(|(_, number)| number).min()
    }
}

fn names(types: &Types) -> Vec<Name<'_>> {
    types.iter().filter_map(|kind| Name::parse(kind.as_bytes()).ok()).collect()
}

fn place(ctx: &Context, project: Word<'_>) -> Place {
    (ffi::database(ctx), project.as_slice().to_vec())
}

/// How many clients wait.
pub(crate) fn count() -> u64 {
    WAITING.get()
}

/// Makes the client of the running command wait. A task that falls due later wakes it by the project's timer.
/// Answers whether it waits.
pub(crate) fn wait(ctx: &Context, project: Word<'_>, types: &[Name<'_>], block: Millis) -> bool {
    let number = LINES.with_borrow_mut(|lines| {
        lines.last += 1;
        lines.last
    });
    let Some(client) = ffi::block_in_line(ctx, &line_key(project.as_slice()), block, number) else { return false };
    let mut types: Types = types.iter().map(|kind| kind.as_str().into()).collect();
    types.sort_unstable();
    types.dedup();
    LINES.with_borrow_mut(|lines| lines.add(place(ctx, project), number, Waiter { client, types }));
    if let Ok(mut key) = Key::open(ctx, project)
        && let Some(value) = key.value()
    {
        deadlines::arm(ctx, project, value.project_and_announcer(), server::now());
    }
    true
}

/// The key that clients wait on: in the slot of their project, and nobody's but theirs.
fn line_key(project: &[u8]) -> Vec<u8> {
    const SUFFIX: &[u8] = b":poppo:claims";
    let tagged = project.iter().position(|byte| *byte == b'{').is_some_and(|open| {
        let behind = project.get(open + 1..).unwrap_or_default();
        behind.iter().position(|byte| *byte == b'}').is_some_and(|length| length > 0)
    });
    if tagged {
        [project, SUFFIX].concat()
    } else if project.contains(&b'}') {
        // No other name is sure to be in its slot.
        project.to_vec()
    } else {
        [b"{", project, b"}", SUFFIX].concat()
    }
}

/// Whether anybody waits for this project.
pub(crate) fn any(ctx: &Context, project: Word<'_>) -> bool {
    WAITING.get() > 0 && LINES.with_borrow(|lines| lines.lines.contains_key(&place(ctx, project)))
}

/// Gives the project's tasks to those who wait, as far as there are tasks. Where that is not possible now, the project's
/// timer tries again.
pub(crate) fn serve(ctx: &Context, project: Word<'_>) {
    if WAITING.get() == 0 || SERVED.get().is_some() {
        return;
    }
    let place = place(ctx, project);
    loop {
        let Ok(mut key) = Key::open(ctx, project) else { return };
        let Some(value) = key.value() else { return };
        let now = server::now();
        let next = LINES.with_borrow(|lines| lines.next(&place, value.project_mut(), now));
        let Some(number) = next else { return };
        if let Some(wait) = hindrance(ctx) {
            deadlines::look_again(ctx, project, value, now, wait);
            return;
        }
        let Some(waiter) = LINES.with_borrow_mut(|lines| lines.remove(number)) else { return };
        if waiter.client.is_closing(ctx) {
            // Its close was seen, and it is about to be freed: it must not swallow a task.
            continue;
        }
        SERVED.set(Some(number));
        waiter.client.unblock();
        SERVED.set(None);
    }
}

/// Databases changed places, and the clients of each look at the other now: what they wait for may be there.
pub(crate) fn swapped(ctx: &Context, databases: [i32; 2]) {
    if WAITING.get() == 0 {
        return;
    }
    let places: Vec<Place> = LINES.with_borrow(|lines| {
        lines.lines.keys().filter(|(database, _)| databases.contains(database)).cloned().collect()
    });
    for (database, name) in places {
        if ffi::select_database(ctx, database) {
            let name = RedisString::create_from_slice(std::ptr::null_mut(), &name);
            deadlines::settle(ctx, Word::from(&name));
        }
    }
}

/// How long to wait before anybody can be served; none where that is possible now.
fn hindrance(ctx: &Context) -> Option<Millis> {
    /// When to look again while the server avoids replica traffic or is at `maxmemory`.
    const LATER: Millis = Millis(20);
    if !ffi::may_publish(ctx) || ffi::is_at_maxmemory(ctx) {
        return Some(LATER);
    }
    // Those who wait see a transaction or a script as a whole, so they are served behind it.
    (!ffi::may_block(ctx)).then_some(Millis(0))
}

/// Whether the client whose time is said to be over is being served. It waits no longer, either way.
pub(crate) fn leave(number: Number) -> bool {
    LINES.with_borrow_mut(|lines| lines.remove(number));
    SERVED.get() == Some(number)
}

/// A client went away, or was sent elsewhere.
pub(crate) fn gone(client: Handle) {
    LINES.with_borrow_mut(|lines| {
        if let Some(number) = lines.clients.get(&client).copied() {
            lines.remove(number);
        }
    });
}
