//! The words of the contract as types: numbers that cannot be mixed up, names and texts that were checked once.
//!
//! Whoever holds one of these values knows that it is in range; nothing behind this file checks again.

use std::fmt;
use std::num::NonZeroU64;
use std::str::FromStr;
use std::time::{Duration, UNIX_EPOCH};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// The largest integer that every client language represents exactly: 2^53 - 1.
pub const MAX_INTEGER: u64 = (1 << 53) - 1;

/// The highest token and the highest counts that are read from a file: everything can go on rising from there.
pub(crate) const HIGHEST_STORED: u64 = MAX_INTEGER - (1 << 40);

/// The longest free text, in bytes.
pub const MAX_TEXT: usize = 64 * 1024;

/// The longest name, in bytes.
pub const MAX_NAME: usize = 128;

/// Why a value is not what its argument allows; completes a sentence that begins with the argument's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Invalid {
    /// Not a decimal integer in this closed range.
    #[error("must be an integer from {0} to {1}")]
    Integer(u64, u64),
    /// Not a name.
    #[error("must be 1 to {MAX_NAME} bytes of printable ASCII without spaces")]
    Name,
    /// Not a task's id.
    #[error("must be 1 to {} bytes of printable ASCII without spaces", TaskId::LONGEST)]
    TaskId,
    /// Not UTF-8, or too long.
    #[error("must be UTF-8 of at most {MAX_TEXT} bytes")]
    Text,
    /// Not a JSON document.
    #[error("must be valid JSON of at most {MAX_TEXT} bytes")]
    Json,
    /// Not one of these words.
    #[error("must be {0}")]
    Word(&'static str),
}

/// Parses a decimal integer from `min` to `max`: digits only, so that no two spellings name one issue.
///
/// # Errors
/// [`Invalid::Integer`] for a sign, a leading zero, anything but digits, or a number out of range.
pub fn integer(text: &[u8], min: u64, max: u64) -> Result<u64, Invalid> {
    let canonical = match text {
        [b'0'] => true,
        [b'1'..=b'9', rest @ ..] => rest.len() < 19 && rest.iter().all(u8::is_ascii_digit),
        _ => false,
    };
    canonical
        .then(|| text.iter().fold(0, |n, digit| n * 10 + u64::from(digit - b'0')))
        .filter(|n| (min..=max).contains(n))
        .ok_or(Invalid::Integer(min, max))
}

macro_rules! numbers {
    ($($(#[$doc:meta])* $name:ident)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "u64", into = "u64")]
        pub struct $name(NonZeroU64);

        impl $name {
            /// The largest one.
            pub const MAX: u64 = MAX_INTEGER;

            /// The smallest one: 1.
            pub const FIRST: Self = Self(NonZeroU64::MIN);

            /// The number, from 1 to 2^53 - 1.
            pub const fn get(self) -> u64 {
                self.0.get()
            }

            /// Parses the argument of a command.
            ///
            /// # Errors
            /// [`Invalid::Integer`] for anything but a decimal integer from 1 to 2^53 - 1.
            pub fn parse(text: &[u8]) -> Result<Self, Invalid> {
                integer(text, 1, Self::MAX)?.try_into()
            }
        }

        impl TryFrom<u64> for $name {
            type Error = Invalid;

            fn try_from(number: u64) -> Result<Self, Invalid> {
                NonZeroU64::new(number)
                    .filter(|n| n.get() <= Self::MAX)
                    .map(Self)
                    .ok_or(Invalid::Integer(1, Self::MAX))
            }
        }

        impl From<$name> for u64 {
            fn from(number: $name) -> u64 {
                number.get()
            }
        }

        impl FromStr for $name {
            type Err = Invalid;

            fn from_str(text: &str) -> Result<Self, Invalid> {
                Self::parse(text.as_bytes())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    )*};
}

numbers! {
    /// The number of a GitHub issue, from 1 to 2^53 - 1.
    IssueNumber
    /// A fencing token, from 1 to 2^53 - 1. Within a project each new lease has a higher one than all before.
    Token
}

impl Token {
    /// The token after `last` at `now`: the microseconds of the clock, or one more where the clock did not advance.
    ///
    /// The clock's share is why tokens rise across a failover that lost writes. It ends in 2219: a clock
    /// that is wrong by centuries, once, must not use all tokens up.
    pub(crate) fn after(last: Option<Self>, now: Instant) -> Self {
        const CLOCK_ENDS: u64 = MAX_INTEGER - (1 << 50);
        let next = last.map_or(1, |last| last.get() + 1).max(now.micros().min(CLOCK_ENDS)).min(Self::MAX);
        Self(NonZeroU64::new(next).unwrap_or(NonZeroU64::MIN))
    }
}

/// A point in time: microseconds since 1970-01-01 UTC, at most 2^53 - 1 (the year 2255).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Instant(u64);

impl Instant {
    /// 1970-01-01.
    pub const EPOCH: Self = Self(0);

    /// The point this many microseconds after 1970; what lies behind 2255 is 2255.
    pub const fn from_micros(micros: u64) -> Self {
        if micros > MAX_INTEGER { Self(MAX_INTEGER) } else { Self(micros) }
    }

    /// Microseconds since 1970.
    pub const fn micros(self) -> u64 {
        self.0
    }

    /// This much later.
    #[must_use]
    pub const fn plus(self, later: Millis) -> Self {
        Self::from_micros(self.0.saturating_add(later.0.saturating_mul(1000)))
    }

    /// How long after `earlier` this is; zero where a clock that stepped back makes it seem before.
    pub const fn since(self, earlier: Self) -> Millis {
        Millis(self.0.saturating_sub(earlier.0) / 1000)
    }
}

impl TryFrom<u64> for Instant {
    type Error = Invalid;

    fn try_from(micros: u64) -> Result<Self, Invalid> {
        (micros <= MAX_INTEGER).then_some(Self(micros)).ok_or(Invalid::Integer(0, MAX_INTEGER))
    }
}

impl From<Instant> for u64 {
    fn from(instant: Instant) -> u64 {
        instant.0
    }
}

/// A number for machines, ISO-8601 in UTC with all microseconds for people: `2025-06-19T10:00:00.000000Z`.
impl Serialize for Instant {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            let time = UNIX_EPOCH + Duration::from_micros(self.0);
            serializer.collect_str(&humantime::format_rfc3339_micros(time))
        } else {
            serializer.serialize_u64(self.0)
        }
    }
}

impl<'de> Deserialize<'de> for Instant {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let micros = if deserializer.is_human_readable() {
            let text = <&str>::deserialize(deserializer)?;
            let time = humantime::parse_rfc3339(text).ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
            let micros = time.filter(|time| time.subsec_nanos() % 1000 == 0).map(|time| time.as_micros());
            micros
                .and_then(|micros| u64::try_from(micros).ok())
                .ok_or_else(|| de::Error::custom(format!("{text:?} is no time like 2025-06-19T10:00:00.000000Z")))?
        } else {
            u64::deserialize(deserializer)?
        };
        Self::try_from(micros).map_err(de::Error::custom)
    }
}

/// ISO-8601 in UTC with milliseconds: `2025-06-19T10:00:00.000Z`.
impl fmt::Display for Instant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        humantime::format_rfc3339_millis(UNIX_EPOCH + Duration::from_micros(self.0)).fmt(f)
    }
}

/// A span of time in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Millis(pub u64);

impl Millis {
    /// The shortest heartbeat TTL: a second.
    pub const MIN_TTL: u64 = 1_000;
    /// The longest heartbeat TTL: a day.
    pub const MAX_TTL: u64 = 86_400_000;

    /// The longest delay of a task: a year.
    pub const MAX_DELAY: u64 = 31_536_000_000;

    /// This much longer.
    #[must_use]
    pub const fn plus(self, more: Self) -> Self {
        Self(self.0.saturating_add(more.0))
    }

    /// Parses the delay of a task.
    ///
    /// # Errors
    /// [`Invalid::Integer`] for anything but an integer from 0 to 31,536,000,000.
    pub fn parse_delay(text: &[u8]) -> Result<Self, Invalid> {
        integer(text, 0, Self::MAX_DELAY).map(Self)
    }

    /// Parses a heartbeat's time to live.
    ///
    /// # Errors
    /// [`Invalid::Integer`] for anything but an integer from 1,000 to 86,400,000.
    pub fn parse_ttl(text: &[u8]) -> Result<Self, Invalid> {
        integer(text, Self::MIN_TTL, Self::MAX_TTL).map(Self)
    }
}

/// The number of a process on its host, from 1 to 2^31 - 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
pub struct Pid(u32);

impl Pid {
    /// The largest: PIDs are positive values of a signed 32-bit `pid_t`.
    pub const MAX: u32 = i32::MAX as u32;

    /// The number.
    pub const fn get(self) -> u32 {
        self.0
    }

    /// Parses the argument of a command.
    ///
    /// # Errors
    /// [`Invalid::Integer`] for anything but a decimal integer from 1 to 2^31 - 1.
    pub fn parse(text: &[u8]) -> Result<Self, Invalid> {
        let number = integer(text, 1, u64::from(Self::MAX))?;
        u32::try_from(number).unwrap_or(0).try_into()
    }
}

impl TryFrom<u32> for Pid {
    type Error = Invalid;

    fn try_from(number: u32) -> Result<Self, Invalid> {
        (1..=Self::MAX).contains(&number).then_some(Self(number)).ok_or(Invalid::Integer(1, u64::from(Self::MAX)))
    }
}

impl From<Pid> for u32 {
    fn from(pid: Pid) -> u32 {
        pid.0
    }
}

/// A name: 1 to 128 bytes of printable ASCII without spaces. Processes, hosts, task types and incarnations have one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name<'a>(&'a str);

impl<'a> Name<'a> {
    /// Checks the argument of a command.
    ///
    /// # Errors
    /// [`Invalid::Name`].
    pub fn parse(text: &'a [u8]) -> Result<Self, Invalid> {
        let valid = (1..=MAX_NAME).contains(&text.len()) && text.iter().all(u8::is_ascii_graphic);
        valid.then(|| str::from_utf8(text).ok()).flatten().map(Self).ok_or(Invalid::Name)
    }

    /// The name itself.
    pub const fn as_str(self) -> &'a str {
        self.0
    }
}

impl fmt::Display for Name<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

/// Free text: UTF-8 of at most 64 KiB.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Text<'a>(&'a str);

impl<'a> Text<'a> {
    /// Checks the argument of a command.
    ///
    /// # Errors
    /// [`Invalid::Text`].
    pub fn parse(text: &'a [u8]) -> Result<Self, Invalid> {
        let text = if text.len() <= MAX_TEXT { str::from_utf8(text).ok() } else { None };
        text.map(Self).ok_or(Invalid::Text)
    }

    /// Checks that the argument of a command is a JSON document, and keeps it as it was written.
    ///
    /// # Errors
    /// [`Invalid::Json`].
    pub fn parse_json(text: &'a [u8]) -> Result<Self, Invalid> {
        let text = Self::parse(text).map_err(|_| Invalid::Json)?;
        serde_json::from_str::<de::IgnoredAny>(text.0).map(|_| text).map_err(|_| Invalid::Json)
    }

    /// The text itself.
    pub const fn as_str(self) -> &'a str {
        self.0
    }
}

macro_rules! words {
    ($(#[$doc:meta])* $name:ident, $allowed:literal { $($(#[$vdoc:meta])* $variant:ident = $word:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum $name { $($(#[$vdoc])* #[serde(rename = $word)] $variant,)+ }

        impl $name {
            /// All of them, in the order in which they are shown.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The word of the contract.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }

            /// Parses the word, in any case.
            ///
            /// # Errors
            /// [`Invalid::Word`] with what is allowed.
            pub fn parse(text: &[u8]) -> Result<Self, Invalid> {
                Self::ALL
                    .iter()
                    .copied()
                    .find(|word| text.eq_ignore_ascii_case(word.as_str().as_bytes()))
                    .ok_or(Invalid::Word($allowed))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl FromStr for $name {
            type Err = Invalid;

            fn from_str(text: &str) -> Result<Self, Invalid> {
                Self::parse(text.as_bytes())
            }
        }
    };
}

words! {
    /// What an issue is about to Poppo.
    Status, "processing, completed, awaiting-response, error, cancelled or queued" {
        /// Held by a process.
        Processing = "processing",
        /// Finished.
        Completed = "completed",
        /// Waits for an answer from people.
        AwaitingResponse = "awaiting-response",
        /// Failed, or its holder was repaired or evicted.
        Error = "error",
        /// Given up on purpose.
        Cancelled = "cancelled",
        /// Nobody holds it, and its task waits.
        Queued = "queued",
    }
}

words! {
    /// How a lease can end, as whoever ends it says.
    Outcome, "completed, awaiting-response, error or cancelled" {
        /// Finished.
        Completed = "completed",
        /// Waits for an answer from people.
        AwaitingResponse = "awaiting-response",
        /// Failed, or its holder was repaired or evicted.
        Error = "error",
        /// Given up on purpose.
        Cancelled = "cancelled",
    }
}

words! {
    /// What a repair may leave behind.
    RepairOutcome, "error or awaiting-response" {
        /// Failed.
        Error = "error",
        /// Waits for an answer from people.
        AwaitingResponse = "awaiting-response",
    }
}

words! {
    /// Why a lease's holder is an orphan.
    OrphanReason, "expired, dead or replaced" {
        /// Silent for too long.
        Expired = "expired",
        /// Its host agent saw the PID gone.
        Dead = "dead",
        /// A newer life took the process's name.
        Replaced = "replaced",
    }
}

words! {
    /// Who ended a lease.
    EndedBy, "checkin, repair or evict" {
        /// The worker itself.
        Checkin = "checkin",
        /// A repair of an orphan.
        Repair = "repair",
        /// Somebody, by hand.
        Evict = "evict",
    }
}

words! {
    /// What happened to an issue.
    EventKind, "checkout, takeover, checkin, repair, evict, forget, claim, enqueue, dead, cancel, revive or import" {
        /// Somebody has it.
        Checkout = "checkout",
        /// Somebody has it instead of an orphan.
        Takeover = "takeover",
        /// Its worker ended the lease.
        Checkin = "checkin",
        /// An orphan's lease was ended.
        Repair = "repair",
        /// A lease was ended by hand.
        Evict = "evict",
        /// Every trace of it was removed.
        Forget = "forget",
        /// Somebody has it, by its task.
        Claim = "claim",
        /// A task was queued.
        Enqueue = "enqueue",
        /// A task went to the dead set.
        Dead = "dead",
        /// A waiting task was removed, or the holder was asked to stop.
        Cancel = "cancel",
        /// A dead task waits again.
        Revive = "revive",
        /// It came from elsewhere, or a task of it did, or that its task was finished there.
        Import = "import",
    }
}

words! {
    /// What a cancellation did.
    Cancelled, "removed, asked or none" {
        /// Waiting tasks went.
        Removed = "removed",
        /// The holder will be told.
        Asked = "asked",
        /// There was nothing to cancel.
        Nothing = "none",
    }
}

/// How urgent a task is: 0 to 1000, higher first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u16", into = "u16")]
pub struct Priority(u16);

impl Priority {
    /// The most urgent.
    pub const MAX: u16 = 1_000;
    /// What a task has where nothing is said.
    pub const NORMAL: Self = Self(50);
    /// The levels that have names.
    pub const LEVELS: &'static [(&'static str, Self)] = &[
        ("urgent", Self(Self::MAX)),
        ("dogfooding", Self(100)),
        ("high", Self(75)),
        ("normal", Self::NORMAL),
        ("low", Self(25)),
        ("deferred", Self(10)),
    ];

    /// The number, from 0 to 1000.
    pub const fn get(self) -> u16 {
        self.0
    }

    /// Parses the argument of a command: a level's name, in any case, or a number.
    ///
    /// # Errors
    /// [`Invalid::Word`] with what is allowed.
    pub fn parse(text: &[u8]) -> Result<Self, Invalid> {
        let level = Self::LEVELS.iter().find(|(name, _)| text.eq_ignore_ascii_case(name.as_bytes()));
        level
            .map(|(_, priority)| *priority)
            .or_else(|| Self::parse_number(text))
            .ok_or(Invalid::Word("urgent, dogfooding, high, normal, low, deferred or an integer from 0 to 1000"))
    }

    fn parse_number(text: &[u8]) -> Option<Self> {
        let number = integer(text, 0, u64::from(Self::MAX)).ok()?;
        u16::try_from(number).ok().map(Self)
    }
}

impl TryFrom<u16> for Priority {
    type Error = Invalid;

    fn try_from(number: u16) -> Result<Self, Invalid> {
        (number <= Self::MAX).then_some(Self(number)).ok_or(Invalid::Integer(0, u64::from(Self::MAX)))
    }
}

impl From<Priority> for u16 {
    fn from(priority: Priority) -> u16 {
        priority.0
    }
}

/// The id of a task: a name, or `<issue>:<type>`, which may be a little longer than one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TaskId<'a>(&'a str);

impl<'a> TaskId<'a> {
    /// The longest, in bytes: an issue's number, a colon and a type, and some room for telling it from another's.
    pub const LONGEST: usize = 160;

    /// Checks the argument of a command.
    ///
    /// # Errors
    /// [`Invalid::TaskId`].
    pub fn parse(text: &'a [u8]) -> Result<Self, Invalid> {
        let valid = (1..=Self::LONGEST).contains(&text.len()) && text.iter().all(u8::is_ascii_graphic);
        valid.then(|| str::from_utf8(text).ok()).flatten().map(Self).ok_or(Invalid::TaskId)
    }

    /// The id itself.
    pub const fn as_str(self) -> &'a str {
        self.0
    }
}

impl From<EndedBy> for EventKind {
    fn from(by: EndedBy) -> Self {
        match by {
            EndedBy::Checkin => Self::Checkin,
            EndedBy::Repair => Self::Repair,
            EndedBy::Evict => Self::Evict,
        }
    }
}

impl From<Outcome> for Status {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Completed => Self::Completed,
            Outcome::AwaitingResponse => Self::AwaitingResponse,
            Outcome::Error => Self::Error,
            Outcome::Cancelled => Self::Cancelled,
        }
    }
}

impl From<RepairOutcome> for Outcome {
    fn from(outcome: RepairOutcome) -> Self {
        match outcome {
            RepairOutcome::Error => Self::Error,
            RepairOutcome::AwaitingResponse => Self::AwaitingResponse,
        }
    }
}

/// When a command happens, and with whose judgement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// The server's clock, read once for the command; of a replayed command, the primary's.
    pub at: Instant,
    /// Who decides what depends on more than the value itself.
    pub judge: Judge,
}

/// Who decides who is an orphan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Judge {
    /// This server, now. Until `uptime` reaches the shorter of `restart_grace` and a life's TTL, silence makes
    /// nobody an orphan.
    Primary {
        /// Since the data was loaded or this server was promoted.
        uptime: Millis,
        /// The server's setting.
        restart_grace: Millis,
    },
    /// The primary that the command was replicated or logged by has decided; applying it needs no judgement.
    Replay,
}

impl Now {
    /// A moment on a primary whose restart grace is over.
    pub const fn primary(at: Instant) -> Self {
        Self { at, judge: Judge::Primary { uptime: Millis(u64::MAX), restart_grace: Millis(0) } }
    }

    /// The moment of a command that a primary decided.
    pub const fn replay(at: Instant) -> Self {
        Self { at, judge: Judge::Replay }
    }

    /// Whether silence may be excused because the server was away.
    pub(crate) fn in_grace(self) -> bool {
        matches!(self.judge, Judge::Primary { uptime, restart_grace } if uptime < restart_grace)
    }

    /// Whether somebody else has decided.
    pub const fn is_replay(self) -> bool {
        matches!(self.judge, Judge::Replay)
    }
}
