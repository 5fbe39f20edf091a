//! The timer that says on the project's channel that leases became orphans, and that serves who waits for delayed tasks.
//!
//! Each project with a deadline to come has one timer. A timer only publishes, wakes those who wait, and arms the next one.
//! It finds its project by name, so one whose project was deleted, renamed or replaced finds something else there, and
//! does nothing: the value that is at a key knows which timer is its own.

use std::collections::BTreeMap;

use poppo_core::{Instant, IssueNumber, Millis, Now, Project};
use redis_module::Context;

use crate::ffi::{self, Key, TimerId, Word};
use crate::publish::Channel;
use crate::server;
use crate::value::Value;
use crate::waiters;

/// How many messages one firing publishes at most, so that no firing keeps the server for long.
const BATCH: usize = 256;
/// The least time between two firings.
const PAUSE: Millis = Millis(2);
/// When to look again while the server avoids replica traffic.
const LATER: Millis = Millis(50);
/// When a replica looks again whether it was promoted. It does so for each of its projects.
const REPLICA_LATER: Millis = Millis(1_000);
/// A timer that is late by this much is gone.
const LOST: Millis = Millis(10_000);
/// The longest that a timer sleeps, however far the next deadline is: the wall clock may be set meanwhile.
const LONGEST: Millis = Millis(3_600_000);

/// What a value remembers of its announcements. Not part of what is stored.
#[derive(Debug, Default)]
pub(crate) struct Announcer {
    armed: Option<Armed>,
    /// Lives whose orphans were announced, since when they are orphans, and how far the announcement came. Who became one
    /// anew, at another time, is announced anew.
    announced: BTreeMap<u64, (Instant, Progress)>,
    /// The project's [`Project::certain_news`] when that was last looked at.
    certain: u64,
}

#[derive(Debug, Clone, Copy)]
struct Armed {
    timer: TimerId,
    /// By this server's clock; a clock that is set makes it wrong, which costs a firing too early or [`LONGEST`].
    at: Instant,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Progress {
    UpTo(IssueNumber),
    Whole,
}

/// Sees to it that a timer fires when the project's next lease becomes an orphan. Called after each change, and whenever a
/// project comes to be at a key.
pub(crate) fn arm(ctx: &Context, name: Word<'_>, (project, announcer): (&Project, &mut Announcer), now: Now) {
    let certain = project.certain_news();
    let news = certain != announcer.certain;
    announcer.certain = certain;
    let wait = if news { Some(Millis(0)) } else { until_next(ctx, name, project, now) };
    if let Some(wait) = wait {
        arm_within(ctx, name, announcer, now.at, wait);
    }
}

fn until_next(ctx: &Context, name: Word<'_>, project: &Project, now: Now) -> Option<Millis> {
    let due = waiters::any(ctx, name).then(|| project.next_due(now)).flatten();
    due.into_iter().chain(project.next_deadline(now)).min()
}

/// Somebody who waits could not be served now.
pub(crate) fn look_again(ctx: &Context, name: Word<'_>, value: &mut Value, now: Now, wait: Millis) {
    arm_within(ctx, name, &mut value.announcer, now.at, wait);
}

/// Arms a timer, unless one fires by then anyway.
fn arm_within(ctx: &Context, name: Word<'_>, announcer: &mut Announcer, now: Instant, wait: Millis) {
    // A firing looks at all that was announced, some tenth of a microsecond each: nine tenths of the time stay for others.
    let pause = PAUSE.max(Millis(announcer.announced.len() as u64 / 1_000));
    let wait = wait.clamp(pause.min(LONGEST), LONGEST);
    let at = now.plus(wait);
    if let Some(armed) = announcer.armed {
        // One that should have fired long ago never will: its key is in another database since SWAPDB.
        let lost = now.since(armed.at) > LOST;
        if armed.at <= at && !lost {
            return;
        }
        ffi::stop_timer(ctx, armed.timer);
    }
    announcer.armed = ffi::start_timer(ctx, wait, name).map(|timer| Armed { timer, at });
}

/// A project may have come to be at this key by other means than our commands: a timer that it had knows another key.
pub(crate) fn settle(ctx: &Context, name: Word<'_>) {
    let Ok(mut key) = Key::open(ctx, name) else { return };
    let Some(value) = key.value() else { return };
    if let Some(armed) = value.announcer.armed.take() {
        ffi::stop_timer(ctx, armed.timer);
    }
    let now = server::now();
    // What it already has of orphans was perhaps announced elsewhere; once more does no harm.
    arm_within(ctx, name, &mut value.announcer, now.at, Millis(0));
}

/// A timer fired for the project at this key.
pub(crate) fn fire(ctx: &Context, name: Word<'_>, timer: TimerId) {
    let Ok(mut key) = Key::open(ctx, name) else { return };
    let Some(value) = key.value() else { return };
    if value.announcer.armed.is_none_or(|armed| armed.timer != timer) {
        return;
    }
    value.announcer.armed = None;
    let now = server::now();
    let wait = if ffi::may_publish(ctx) {
        let (project, announcer) = value.project_and_announcer();
        let done = Channel::of(ctx, name).is_none_or(|channel| announce(project, announcer, now, &channel));
        waiters::serve(ctx, name);
        (!done).then_some(PAUSE)
    } else {
        Some(if ffi::is_replica(ctx) { REPLICA_LATER } else { LATER })
    };
    // Whoever was served has changed the project, so it is opened anew.
    let Ok(mut key) = Key::open(ctx, name) else { return };
    let Some(value) = key.value() else { return };
    if let Some(wait) = wait.or_else(|| until_next(ctx, name, value.project(), now)) {
        arm_within(ctx, name, &mut value.announcer, now.at, wait);
    }
}

/// Publishes orphans that were not published yet. Answers whether those were all.
fn announce(project: &Project, announcer: &mut Announcer, now: Now, channel: &Channel<'_>) -> bool {
    let mut left = BATCH;
    let mut still = BTreeMap::new();
    for (life, since) in project.orphaned_life_numbers(now) {
        let known = announcer.announced.get(&life).filter(|(known, _)| *known == since);
        let mut progress = known.map(|(_, progress)| *progress);
        if left > 0 && progress != Some(Progress::Whole) {
            let behind = match progress {
                Some(Progress::UpTo(issue)) => Some(issue),
                _ => None,
            };
            for orphan in project.orphans_of(life, behind, now).take(left) {
                channel.orphan(&orphan);
                left -= 1;
                progress = Some(Progress::UpTo(orphan.issue));
            }
            if left > 0 {
                progress = Some(Progress::Whole);
            }
        }
        if let Some(progress) = progress {
            still.insert(life, (since, progress));
        }
    }
    announcer.announced = still;
    left > 0
}
