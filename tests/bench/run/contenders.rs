//! Who is measured: Poppo, and what people would use instead. Each does the same work in its own way.
//!
//! `SET k v NX PX ttl` is the least that any lock costs: no token, no process, no list of what is held. The Lua scripts
//! (`lua/`) and the `MULTI` blocks keep what Poppo keeps on ordinary keys: a hash of each issue and process, a set of
//! what a process holds, a sorted set of deadlines, a counter of tokens. A `MULTI` block cannot decide: it does the
//! work of a granted checkout without the question whether it may.

use poppo_tests::{Connection, Reply};

use crate::common::resp::Word::{self, Joined, Number, Text};
use crate::common::resp::command;

use super::load::Work;

/// Poppo's key in all comparisons.
pub(super) const PROJECT: &str = "acme/widgets";
/// How many processes share the issues of a comparison.
pub(super) const WORKERS: u64 = 50;
/// Answers of each ORPHANS.
pub(super) const ORPHANS: u64 = 10;
/// A title as long as many are, with the number behind it.
const TITLE: &str = "Crash on start: settings file missing, case ";

const TTL: &str = "1800000";
/// Numbers of issues that only orphans hold.
const FAR: u64 = 1 << 40;

/// Who does the work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum By {
    Set,
    Poppo,
    Lua,
    Multi,
}

/// The work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    Checkout,
    Heartbeat,
    Orphans,
    Checkin,
}

/// One contender.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Contender {
    pub(super) by: By,
    /// Whether a checkout has all usual fields, or only what it must have.
    pub(super) fields: bool,
}

impl Contender {
    pub(super) const SET: Self = Self { by: By::Set, fields: false };
    pub(super) const POPPO: Self = Self { by: By::Poppo, fields: false };
    pub(super) const LUA: Self = Self { by: By::Lua, fields: false };
    pub(super) const MULTI: Self = Self { by: By::Multi, fields: false };
    pub(super) const ALL: [Self; 7] = [
        Self::SET,
        Self::POPPO,
        Self::LUA,
        Self::MULTI,
        Self::POPPO.with_fields(),
        Self::LUA.with_fields(),
        Self::MULTI.with_fields(),
    ];

    pub(super) const fn with_fields(self) -> Self {
        Self { fields: true, ..self }
    }

    /// Of the command line's names.
    pub(super) fn named(name: &str) -> Self {
        match name {
            "set" => Self::SET,
            "lua" => Self::LUA,
            "multi" => Self::MULTI,
            "poppo-fields" => Self::POPPO.with_fields(),
            _ => Self::POPPO,
        }
    }

    pub(super) fn name(self) -> &'static str {
        match (self.by, self.fields) {
            (By::Set, _) => "SET NX PX",
            (By::Poppo, false) => "Poppo",
            (By::Poppo, true) => "Poppo, all fields",
            (By::Lua, false) => "Lua",
            (By::Lua, true) => "Lua, all fields",
            (By::Multi, false) => "MULTI",
            (By::Multi, true) => "MULTI, all fields",
        }
    }

    /// What it is measured in, in this order; with all fields only checkouts differ.
    pub(super) fn phases(self) -> &'static [Phase] {
        match (self.by, self.fields) {
            (By::Set, _) | (_, true) => &[Phase::Checkout],
            (By::Multi, _) => &[Phase::Checkout, Phase::Heartbeat, Phase::Checkin],
            _ => &[Phase::Checkout, Phase::Heartbeat, Phase::Orphans, Phase::Checkin],
        }
    }
}

/// The commands whose time inside the server is this contender's.
pub(super) fn counted_as(by: By, phase: Phase) -> &'static [&'static str] {
    match (by, phase) {
        (By::Set, _) => &["set"],
        (By::Lua, _) => &["evalsha"],
        (By::Multi, _) => &["multi", "exec"],
        (By::Poppo, Phase::Checkout) => &["POPPO.CHECKOUT"],
        (By::Poppo, Phase::Heartbeat) => &["POPPO.HEARTBEAT"],
        (By::Poppo, Phase::Orphans) => &["POPPO.ORPHANS"],
        (By::Poppo, Phase::Checkin) => &["POPPO.CHECKIN"],
    }
}

/// The SHA1 sums of the scripts.
#[derive(Debug)]
pub(super) struct Scripts {
    checkout: String,
    checkin: String,
    heartbeat: String,
    orphans: String,
}

impl Scripts {
    pub(super) fn load(connection: &mut Connection) -> Self {
        let mut load = |text: &str| {
            let answer = connection.call(&["SCRIPT", "LOAD", text]);
            answer.text().unwrap_or_else(|| panic!("SCRIPT LOAD: {answer:?}"))
        };
        Self {
            checkout: load(include_str!("lua/checkout.lua")),
            checkin: load(include_str!("lua/checkin.lua")),
            heartbeat: load(include_str!("lua/heartbeat.lua")),
            orphans: load(include_str!("lua/orphans.lua")),
        }
    }
}

/// The operations of one contender in one phase.
pub(super) fn work(contender: Contender, phase: Phase, scripts: &Scripts) -> Work<'_> {
    match contender.by {
        By::Set => set(),
        By::Poppo => poppo(phase, contender.fields),
        By::Lua => lua(phase, contender.fields, scripts),
        By::Multi => multi(phase, contender.fields),
    }
}

fn op<'a>(replies: &'static [u8], write: impl FnMut(u64, &mut Vec<u8>) + 'a) -> Work<'a> {
    Work { write: Box::new(write), replies }
}

fn set() -> Work<'static> {
    op(b"+", |n, out| {
        let value = Joined("worker-", n % WORKERS);
        command(out, &[Text("SET"), Joined("acme/widgets:lease:", n), value, Text("NX"), Text("PX"), Text(TTL)]);
    })
}

fn poppo(phase: Phase, fields: bool) -> Work<'static> {
    match phase {
        Phase::Checkout if fields => op(b":", |n, out| checkout_with_fields(out, PROJECT, n, n % WORKERS)),
        Phase::Checkout => op(b":", |n, out| {
            command(out, &[Text("POPPO.CHECKOUT"), Text(PROJECT), Number(n), Joined("worker-", n % WORKERS)]);
        }),
        Phase::Heartbeat => op(b"*", |n, out| {
            command(out, &[Text("POPPO.HEARTBEAT"), Text(PROJECT), Joined("worker-", n % WORKERS), Text("BRIEF")]);
        }),
        Phase::Orphans => op(b"*", |_, out| {
            command(out, &[Text("POPPO.ORPHANS"), Text(PROJECT), Text("COUNT"), Number(ORPHANS)]);
        }),
        Phase::Checkin => op(b"+", |n, out| {
            let worker = Joined("worker-", n % WORKERS);
            let status = [Text("STATUS"), Text("completed")];
            command(out, &[Text("POPPO.CHECKIN"), Text(PROJECT), Number(n), worker, status[0], status[1]]);
        }),
    }
}

/// A checkout as `poppo run` sends it.
pub(super) fn checkout_with_fields(out: &mut Vec<u8>, project: &str, issue: u64, worker: u64) {
    let head = [Text("POPPO.CHECKOUT"), Text(project), Number(issue), Joined("worker-", worker)];
    let words = [&head[..], &process_fields(worker).map(upper), &issue_fields(issue).map(upper)].concat();
    command(out, &words);
}

fn process_fields(worker: u64) -> [Word<'static>; 8] {
    [
        Text("pid"),
        Number(4_000 + worker),
        Text("host"),
        Joined("build-", worker % 20),
        Text("incarnation"),
        Joined("6f1d0c52a7:81723:", 4_000 + worker),
        Text("tmux"),
        Joined("poppo-worker-", worker),
    ]
}

fn issue_fields(issue: u64) -> [Word<'static>; 4] {
    [Text("type"), Text("fix"), Text("title"), Joined(TITLE, issue)]
}

/// Poppo's words for the fields; what is no such word stays.
fn upper(word: Word<'static>) -> Word<'static> {
    match word {
        Text("pid") => Text("PID"),
        Text("host") => Text("HOST"),
        Text("incarnation") => Text("INCARNATION"),
        Text("tmux") => Text("TMUX"),
        Text("type") => Text("TYPE"),
        Text("title") => Text("TITLE"),
        other => other,
    }
}

const ISSUE: &str = "{acme/widgets}:issue:";
const PROCESS: &str = "{acme/widgets}:process:worker-";
const HELD: &str = "{acme/widgets}:held:worker-";
const DEADLINES: &str = "{acme/widgets}:deadlines";
const TOKEN: &str = "{acme/widgets}:token";
const FINISHED: &str = "{acme/widgets}:finished";
const ENDS: &str = "{acme/widgets}:ends";

fn lua(phase: Phase, fields: bool, scripts: &Scripts) -> Work<'_> {
    match phase {
        Phase::Checkout => op(b":", move |n, out| {
            let worker = n % WORKERS;
            let keys = [Joined(ISSUE, n), Joined(PROCESS, worker), Joined(HELD, worker), Text(DEADLINES), Text(TOKEN)];
            let call = [Text("EVALSHA"), Text(&scripts.checkout), Number(5)];
            let args = [Number(n), Joined("worker-", worker), Text(TTL)];
            let (of_process, of_issue) = (process_fields(worker), issue_fields(n));
            let (of_process, of_issue) = if fields { (&of_process[..], &of_issue[..]) } else { (&[][..], &[][..]) };
            let count = [Number(of_process.len() as u64)];
            command(out, &[&call[..], &keys, &args, &count, of_process, of_issue].concat());
        }),
        Phase::Heartbeat => op(b"*", |n, out| {
            let worker = n % WORKERS;
            let call = [Text("EVALSHA"), Text(&scripts.heartbeat), Number(3)];
            let keys = [Joined(PROCESS, worker), Joined(HELD, worker), Text(DEADLINES)];
            command(out, &[&call[..], &keys, &[Joined("worker-", worker)]].concat());
        }),
        Phase::Orphans => op(b"*", |_, out| {
            let call = [Text("EVALSHA"), Text(&scripts.orphans), Number(1), Text(DEADLINES), Number(ORPHANS)];
            let prefixes = [ISSUE, "{acme/widgets}:process:", "{acme/widgets}:held:"].map(Text);
            command(out, &[&call[..], &prefixes].concat());
        }),
        Phase::Checkin => op(b"+", |n, out| {
            let worker = n % WORKERS;
            let call = [Text("EVALSHA"), Text(&scripts.checkin), Number(5)];
            let keys = [Joined(ISSUE, n), Joined(HELD, worker), Text(FINISHED), Text(ENDS), Text(DEADLINES)];
            command(out, &[&call[..], &keys, &[Number(n), Joined("worker-", worker), Text("completed")]].concat());
        }),
    }
}

fn multi(phase: Phase, fields: bool) -> Work<'static> {
    match phase {
        Phase::Checkout => op(b"++++++*", move |n, out| {
            let worker = n % WORKERS;
            let (now, deadline) = times();
            let (of_process, of_issue) = (process_fields(worker), issue_fields(n));
            let (of_process, of_issue) = if fields { (&of_process[..], &of_issue[..]) } else { (&[][..], &[][..]) };
            let seen = [Text("seen"), Number(now), Text("ttl"), Text(TTL)];
            let status = [Text("status"), Text("processing"), Text("process"), Joined("worker-", worker)];
            let token = [Text("token"), Number(now), Text("started"), Number(now)];
            command(out, &[Text("MULTI")]);
            command(out, &[Text("INCR"), Text(TOKEN)]);
            command(out, &[&[Text("HSET"), Joined(PROCESS, worker)][..], &seen, of_process].concat());
            command(out, &[Text("ZADD"), Text(DEADLINES), Number(deadline), Joined("worker-", worker)]);
            command(out, &[&[Text("HSET"), Joined(ISSUE, n)][..], &status, &token, of_issue].concat());
            command(out, &[Text("SADD"), Joined(HELD, worker), Number(n)]);
            command(out, &[Text("EXEC")]);
        }),
        Phase::Heartbeat => op(b"++++*", |n, out| {
            let worker = n % WORKERS;
            let (now, deadline) = times();
            command(out, &[Text("MULTI")]);
            command(out, &[Text("HSET"), Joined(PROCESS, worker), Text("seen"), Number(now)]);
            command(out, &[Text("ZADD"), Text(DEADLINES), Text("XX"), Number(deadline), Joined("worker-", worker)]);
            command(out, &[Text("SCARD"), Joined(HELD, worker)]);
            command(out, &[Text("EXEC")]);
        }),
        Phase::Checkin => op(b"+++++*", |n, out| {
            let now = times().0;
            let ended = [Text("status"), Text("completed"), Text("ended"), Number(now)];
            command(out, &[Text("MULTI")]);
            command(out, &[&[Text("HSET"), Joined(ISSUE, n)][..], &ended].concat());
            command(out, &[Text("SREM"), Joined(HELD, n % WORKERS), Number(n)]);
            command(out, &[Text("ZADD"), Text(FINISHED), Number(now), Number(n)]);
            command(out, &[Text("INCR"), Text(ENDS)]);
            command(out, &[Text("EXEC")]);
        }),
        Phase::Orphans => unreachable!("a MULTI block cannot ask for what its first answer names"),
    }
}

/// Now and when the lease would expire, in µs.
fn times() -> (u64, u64) {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("a clock after 1970");
    let now = now.as_micros() as u64;
    (now, now + 1_800_000_000)
}

/// Makes a process an orphan that holds [`ORPHANS`] issues, in the way of a contender.
pub(super) fn make_orphans(connection: &mut Connection, by: By, project: &str) {
    let held = FAR..FAR + ORPHANS;
    if by == By::Poppo {
        let first = "INCARNATION first PID 17 HOST build-9 TYPE fix";
        for issue in held {
            connection.ok(&format!("POPPO.CHECKOUT {project} {issue} gone {first}"));
        }
        connection.ok(&format!("POPPO.CHECKOUT {project} {} gone INCARNATION second", FAR - 1));
        return;
    }
    let gone = ["{acme/widgets}:process:gone", "{acme/widgets}:held:gone"];
    connection.ok(&format!("ZADD {DEADLINES} 1750327200000000 gone"));
    connection.ok(&format!("HSET {} seen 1750325400000000 ttl {TTL} pid 17 host build-9", gone[0]));
    for issue in held {
        connection.ok(&format!("SADD {} {issue}", gone[1]));
        let fields = "status processing process gone token 1750325400000000 started 1750325400000000 type fix";
        connection.ok(&format!("HSET {ISSUE}{issue} {fields}"));
    }
}
