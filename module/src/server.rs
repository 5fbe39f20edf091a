//! What belongs to this server and not to a project: clock, restart grace, counts, warnings, `INFO poppo`.

use std::ffi::CStr;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicI64, AtomicU8, AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use poppo_core::commands::shown;
use poppo_core::{Instant, Invalid, Judge, Millis, Now, Refusal, Totals};
use redis_module::{Context, RedisString};

use crate::failure::Failure;
use crate::ffi::{self, Info, Reach};
use crate::value::{DEAD_TASKS, LEASES, PROJECTS, TASKS, UNREADABLE};
use crate::waiters;

/// `poppo.restart-grace` in milliseconds.
pub(crate) static RESTART_GRACE: AtomicI64 = AtomicI64::new(RESTART_GRACE_DEFAULT);
/// Its name, which the server shows as `poppo.restart-grace`.
pub(crate) const RESTART_GRACE_NAME: &CStr = c"restart-grace";
/// What it is unless somebody says otherwise.
pub(crate) const RESTART_GRACE_DEFAULT: i64 = 60_000;
/// The longest: a day.
pub(crate) const RESTART_GRACE_MAX: i64 = 86_400_000;

/// `poppo.publish`, as a [`Publish`].
pub(crate) static PUBLISH: AtomicI32 = AtomicI32::new(Publish::All as i32);
/// Its name, which the server shows as `poppo.publish`.
pub(crate) const PUBLISH_NAME: &CStr = c"publish";

/// Whom messages reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Publish {
    /// `SUBSCRIBE`, on every node of a cluster.
    All = 0,
    /// `SSUBSCRIBE`, on the shard of the project.
    Shard = 1,
    /// Nobody.
    Off = 2,
}

impl Publish {
    /// The words, in the order of the numbers.
    pub(crate) const WORDS: [&CStr; 3] = [c"all", c"shard", c"off"];

    fn parse(word: &[u8]) -> Result<Self, Invalid> {
        match Self::WORDS.iter().position(|known| known.to_bytes() == word) {
            Some(0) => Ok(Self::All),
            Some(1) => Ok(Self::Shard),
            Some(2) => Ok(Self::Off),
            _ => Err(Invalid::Word("all, shard or off")),
        }
    }
}

/// Whom messages reach now; none where nothing is published.
pub(crate) fn reach() -> Option<Reach> {
    match PUBLISH.load(Ordering::Relaxed) {
        0 => Some(Reach::All),
        1 => Some(Reach::Shard),
        _ => None,
    }
}

/// A clock that no one sets, for measuring how long this server has been in charge.
static BOOT: LazyLock<std::time::Instant> = LazyLock::new(std::time::Instant::now);
/// When it came to be in charge: milliseconds after [`BOOT`].
static IN_CHARGE_SINCE: AtomicU64 = AtomicU64::new(0);

/// Whether the grace has passed, so that only one clock need be read.
static GRACE_IS_OVER: AtomicBool = AtomicBool::new(false);

static CHECKOUTS: AtomicU64 = AtomicU64::new(0);
static CHECKINS: AtomicU64 = AtomicU64::new(0);
static CLAIMS: AtomicU64 = AtomicU64::new(0);
static ENQUEUED: AtomicU64 = AtomicU64::new(0);
static HEARTBEATS: AtomicU64 = AtomicU64::new(0);
static REPAIRS: AtomicU64 = AtomicU64::new(0);
static REFUSED: [AtomicU64; Refusal::CODES.len()] = [const { AtomicU64::new(0) }; Refusal::CODES.len()];
static REFUSED_ERR: AtomicU64 = AtomicU64::new(0);
static REFUSED_WRONGTYPE: AtomicU64 = AtomicU64::new(0);
static PANICS: AtomicU64 = AtomicU64::new(0);
static APPLY_FAILURES: AtomicU64 = AtomicU64::new(0);
static EVICTION: AtomicU8 = AtomicU8::new(Eviction::None as u8);

/// What the server's `maxmemory-policy` could do to a project.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Eviction {
    None = 0,
    Volatile = 1,
    Any = 2,
}

impl Eviction {
    fn of(policy: &str) -> Self {
        match policy {
            "noeviction" => Self::None,
            policy if policy.starts_with("volatile-") => Self::Volatile,
            _ => Self::Any,
        }
    }

    const fn warning(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Volatile => {
                "maxmemory-policy may evict a whole project that was given an expiry: set it to noeviction"
            }
            Self::Any => "maxmemory-policy may evict a whole project: set it to noeviction",
        }
    }

    fn current() -> Self {
        match EVICTION.load(Ordering::Relaxed) {
            0 => Self::None,
            1 => Self::Volatile,
            _ => Self::Any,
        }
    }
}

/// The moment of a command on this server. Reads the clock once.
pub(crate) fn now() -> Now {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    // In 64 bits, which last longer than any clock: `as_micros` counts in 128.
    let micros = since_1970.as_secs().saturating_mul(1_000_000).saturating_add(u64::from(since_1970.subsec_micros()));
    let at = Instant::from_micros(micros);
    if GRACE_IS_OVER.load(Ordering::Relaxed) {
        return Now::primary(at);
    }
    let uptime = uptime_of_boot().saturating_sub(IN_CHARGE_SINCE.load(Ordering::Relaxed));
    let restart_grace = u64::try_from(RESTART_GRACE.load(Ordering::Relaxed)).unwrap_or(0);
    GRACE_IS_OVER.store(uptime >= restart_grace, Ordering::Relaxed);
    Now { at, judge: Judge::Primary { uptime: Millis(uptime), restart_grace: Millis(restart_grace) } }
}

/// The restart grace was changed: what it says of this server is to be found out anew.
pub(crate) fn set_restart_grace(millis: i64) {
    RESTART_GRACE.store(millis, Ordering::Relaxed);
    GRACE_IS_OVER.store(false, Ordering::Relaxed);
}

fn uptime_of_boot() -> u64 {
    u64::try_from(BOOT.elapsed().as_millis()).unwrap_or(u64::MAX)
}

/// This server has just loaded its data, or was just promoted: the restart grace begins.
pub(crate) fn take_charge() {
    IN_CHARGE_SINCE.store(uptime_of_boot(), Ordering::Relaxed);
    GRACE_IS_OVER.store(false, Ordering::Relaxed);
}

/// Counts what a client's command added to a project's totals.
pub(crate) fn count(before: Totals, after: Totals) {
    let repairs = |totals: Totals| totals.repairs.iter().sum::<u64>() + totals.evictions;
    let checkins = |totals: Totals| totals.checkins.iter().sum::<u64>();
    let grown = [
        (&CHECKOUTS, after.checkouts - before.checkouts),
        (&CLAIMS, after.tasks.claimed - before.tasks.claimed),
        (&ENQUEUED, after.tasks.enqueued - before.tasks.enqueued),
        (&CHECKINS, checkins(after) - checkins(before)),
        (&HEARTBEATS, after.heartbeats - before.heartbeats),
        (&REPAIRS, repairs(after) - repairs(before)),
    ];
    for (counter, more) in grown.into_iter().filter(|(_, more)| *more > 0) {
        counter.fetch_add(more, Ordering::Relaxed);
    }
}

/// Counts an error answer.
pub(crate) fn count_failure(failure: &Failure) {
    let counter = match failure {
        Failure::Bad(_) | Failure::Unreadable => Some(&REFUSED_ERR),
        Failure::WrongType => Some(&REFUSED_WRONGTYPE),
        Failure::Refused(Refusal::OtherIssue { .. }) => Some(&REFUSED_ERR),
        Failure::Refused(refusal) => REFUSED.get(refusal.code_index()),
        Failure::Panicked => None,
    };
    if let Some(counter) = counter {
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

/// A command that its primary had decided could not be applied: something is wrong, and somebody must see it.
pub(crate) fn log_failed_apply(ctx: &Context, command: &str, failure: &Failure) {
    APPLY_FAILURES.fetch_add(1, Ordering::Relaxed);
    let why = failure.describe();
    log(ctx, &format!("failed to apply {command}: {why}. Primary and replica, or AOF, may disagree"));
}

/// A panic was caught.
pub(crate) fn log_panic(place: &str) {
    PANICS.fetch_add(1, Ordering::Relaxed);
    redis_module::logging::log_warning(format!("poppo: caught a panic, please report it: {}", shown_line(place)));
}

/// Puts a warning in the server's log.
pub(crate) fn log(ctx: &Context, text: &str) {
    ctx.log_warning(&shown_line(text));
}

/// The log takes C strings: no NUL may reach it, and one entry is one line.
fn shown_line(text: &str) -> String {
    text.replace(|c: char| c.is_control(), " ")
}

/// Looks at `maxmemory-policy`, now and after each `CONFIG SET` of it, and warns where it evicts.
pub(crate) fn check_eviction_policy(ctx: &Context) {
    let Some(policy) = ffi::eviction_policy(ctx) else { return };
    let eviction = Eviction::of(&policy);
    EVICTION.store(eviction as u8, Ordering::Relaxed);
    if eviction != Eviction::None {
        log(ctx, &format!("WARNING: {} (it is {policy})", eviction.warning()));
    }
}

/// The server's settings as `loadmodule` gave them, to begin with.
#[derive(Debug, Default)]
pub(crate) struct Arguments {
    restart_grace: Option<u64>,
    publish: Option<Publish>,
}

impl Arguments {
    /// The restart grace in milliseconds.
    pub(crate) fn restart_grace(&self) -> i64 {
        self.restart_grace.map_or(RESTART_GRACE_DEFAULT, u64::cast_signed)
    }

    /// What is published.
    pub(crate) fn publish(&self) -> Publish {
        self.publish.unwrap_or(Publish::All)
    }
}

/// Reads the words behind the module's path in `loadmodule`.
pub(crate) fn read_arguments(words: &[RedisString]) -> Result<Arguments, String> {
    let mut arguments = Arguments::default();
    for pair in words.chunks(2) {
        let name = pair.first().map(RedisString::as_slice).unwrap_or_default();
        let known = [RESTART_GRACE_NAME, PUBLISH_NAME].map(CStr::to_bytes).contains(&name);
        let shown = shown(name);
        if !known {
            return Err(format!("unknown loadmodule argument '{shown}': restart-grace and publish are allowed"));
        }
        let value = pair.get(1).ok_or_else(|| format!("loadmodule argument {shown} needs a value"))?.as_slice();
        let named = |invalid| format!("loadmodule argument {shown} {invalid}");
        let again = if name == PUBLISH_NAME.to_bytes() {
            arguments.publish.replace(Publish::parse(value).map_err(named)?).is_some()
        } else {
            let most = RESTART_GRACE_MAX.unsigned_abs();
            let grace = poppo_core::integer(value, 0, most).map_err(named)?;
            arguments.restart_grace.replace(grace).is_some()
        };
        if again {
            return Err(format!("loadmodule argument {shown} may be given only once"));
        }
    }
    Ok(arguments)
}

/// Fills `INFO poppo`.
pub(crate) fn info(info: &Info<'_>) {
    let count = |name: &str, counter: &AtomicU64| info.number(name, counter.load(Ordering::Relaxed));
    info.text("version", env!("CARGO_PKG_VERSION"));
    info.number("projects", PROJECTS.load(Ordering::Relaxed).max(0).unsigned_abs());
    info.number("leases", LEASES.load(Ordering::Relaxed).max(0).unsigned_abs());
    info.number("tasks", TASKS.load(Ordering::Relaxed).max(0).unsigned_abs());
    info.number("dead_tasks", DEAD_TASKS.load(Ordering::Relaxed).max(0).unsigned_abs());
    info.number("blocked_claims", waiters::count());
    count("checkouts", &CHECKOUTS);
    count("claims", &CLAIMS);
    count("checkins", &CHECKINS);
    count("heartbeats", &HEARTBEATS);
    count("enqueued", &ENQUEUED);
    count("repairs", &REPAIRS);
    for (code, counter) in Refusal::CODES.iter().zip(&REFUSED).filter(|(code, _)| **code != "ERR") {
        count(&format!("refused_{}", code.to_ascii_lowercase()), counter);
    }
    count("refused_err", &REFUSED_ERR);
    count("refused_wrongtype", &REFUSED_WRONGTYPE);
    count("panics", &PANICS);
    count("apply_failures", &APPLY_FAILURES);
    info.number("unreadable_projects", UNREADABLE.load(Ordering::Relaxed).max(0).unsigned_abs());
    info.number("restart_grace_ms", RESTART_GRACE.load(Ordering::Relaxed).unsigned_abs());
    let publish = Publish::WORDS.get(PUBLISH.load(Ordering::Relaxed).unsigned_abs() as usize);
    info.text("publish", publish.and_then(|word| word.to_str().ok()).unwrap_or_default());
    info.text("warning_maxmemory_policy", Eviction::current().warning());
}
