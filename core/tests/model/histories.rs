//! Random histories: commands over few names, so that they collide, under clocks that jump both ways.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{LazyLock, Mutex, Once};

use poppo_core::{
    Checkin, Checkout, Claim, Enqueue, Evict, Heartbeat, Instant, IssueNumber, Judge, Liveness, Millis, Name, Next,
    Now, Outcome, Pid, Priority, Project, Repair, RepairOutcome, Setting, TaskId, Tasks, Text, Token,
};
use proptest::prelude::*;
use proptest::test_runner::{TestCaseError, TestRunner};

use super::{Command, Model};

/// One step, not yet decided: what its bytes mean depends on the state that it meets.
#[derive(Debug, Clone)]
pub(crate) struct Step {
    pub(crate) tick: (u8, u16),
    pub(crate) judge: (u8, u8),
    pub(crate) what: u8,
    pub(crate) args: [u8; 11],
}

/// A random history.
#[derive(Debug, Clone)]
pub(crate) struct History {
    /// Whether there are many names rather than few.
    pub(crate) wide: bool,
    pub(crate) begin: Instant,
    pub(crate) steps: Vec<Step>,
}

pub(crate) fn step() -> impl Strategy<Value = Step> {
    let args = prop::array::uniform11(any::<u8>());
    (any::<(u8, u16)>(), any::<(u8, u8)>(), any::<u8>(), args).prop_map(|(tick, judge, what, args)| Step {
        tick,
        judge,
        what,
        args,
    })
}

pub(crate) fn history(steps: usize) -> impl Strategy<Value = History> {
    let begin = prop_oneof![9 => Just(1_750_327_200_000_000), 1 => Just(0_u64)];
    (prop::bool::weighted(0.08), begin, prop::collection::vec(step(), 1..=steps))
        .prop_map(|(wide, begin, steps)| History { wide, begin: Instant::from_micros(begin), steps })
}

/// What a step does.
pub(crate) enum Action {
    Write(Vec<Command>),
    /// The server restarts: the project is written and read.
    Reload,
}

/// A life to aim at.
pub(crate) struct Life {
    process: String,
    incarnation: Option<String>,
    host: Option<String>,
    pid: Option<Pid>,
}

/// What there is to aim at.
#[derive(Default)]
pub(crate) struct Targets {
    pub(crate) issues: Vec<(IssueNumber, Token)>,
    pub(crate) orphans: Vec<(IssueNumber, Token)>,
    pub(crate) lives: Vec<Life>,
    pub(crate) moments: Vec<Instant>,
    pub(crate) versions: Vec<(IssueNumber, u64)>,
    /// The ids of tasks that are dead.
    pub(crate) dead: Vec<String>,
    /// The ids of tasks wherever they are, finished ones too.
    pub(crate) ids: Vec<(IssueNumber, String)>,
    /// Who holds what.
    pub(crate) held: Vec<(IssueNumber, Token, String)>,
    /// Check-ins that could be repeated.
    pub(crate) done: Vec<(IssueNumber, Token, String, Outcome)>,
    /// Claims that could be repeated: process, incarnation, REQ.
    pub(crate) requests: Vec<(String, Option<String>, String)>,
    /// All tokens that were ever given.
    pub(crate) tokens: Vec<Token>,
}

impl Targets {
    pub(crate) fn of(model: &Model, now: Now, tokens: &[Token]) -> Self {
        Self {
            issues: model.issues.iter().map(|issue| (issue.number, issue.token)).collect(),
            orphans: model.orphans(now).iter().map(|orphan| (orphan.issue, orphan.token)).collect(),
            lives: model
                .lives
                .iter()
                .map(|life| Life {
                    process: life.process.clone(),
                    incarnation: life.incarnation.clone(),
                    host: life.host.clone(),
                    pid: life.pid,
                })
                .collect(),
            moments: model.moments(),
            versions: model.issues.iter().map(|issue| (issue.number, issue.version)).collect(),
            dead: model.dead.iter().map(|dead| dead.task.id.clone()).collect(),
            ids: model.task_ids(),
            held: model
                .issues
                .iter()
                .filter_map(|issue| Some((issue.number, issue.token, model.holder(issue)?.process.clone())))
                .collect(),
            done: model.issues.iter().filter_map(|issue| model.done(issue)).collect(),
            requests: model
                .lives
                .iter()
                .filter_map(|life| {
                    let (id, ..) = life.request.clone()?;
                    Some((life.process.clone(), life.incarnation.clone(), id))
                })
                .collect(),
            tokens: tokens.to_vec(),
        }
    }

    pub(crate) fn of_project(project: &Project, now: Now) -> Self {
        let processes = project.list_processes(now, 0, 50).rows;
        Self {
            issues: project.list(now, None, 0, 50).rows.iter().map(|record| (record.issue, record.token)).collect(),
            orphans: project.orphans(now, None).take(50).map(|orphan| (orphan.issue, orphan.token)).collect(),
            lives: processes
                .iter()
                .map(|life| Life {
                    process: life.process.to_owned(),
                    incarnation: life.holder.incarnation.map(str::to_owned),
                    host: life.host.map(str::to_owned),
                    pid: life.pid,
                })
                .collect(),
            moments: processes.iter().map(|life| life.holder.last_seen.plus(life.holder.ttl)).collect(),
            versions: project.unlabelled().take(50).map(|behind| (behind.issue, behind.version)).collect(),
            dead: project
                .list_tasks(now, Tasks::Dead, 0, 50)
                .rows
                .iter()
                .filter(|task| task.id.len() < 20)
                .map(|task| task.id.to_owned())
                .collect(),
            ids: Vec::new(),
            held: Vec::new(),
            done: Vec::new(),
            requests: Vec::new(),
            tokens: Vec::new(),
        }
    }
}

static NAMES: LazyLock<Vec<String>> = LazyLock::new(|| (0..64).map(|n| format!("p{n}")).collect());
static METADATA: LazyLock<Vec<Vec<(Text<'static>, Text<'static>)>>> = LazyLock::new(|| {
    [
        &[][..],
        &[("branch", "fix")],
        &[("tries", "2"), ("branch", "fix"), ("status", "mine")],
        &[("b", "1"), ("a", ""), ("b", "2"), ("\u{e4}", "\u{1f980}"), ("", "empty")],
    ]
    .iter()
    .map(|fields| fields.iter().map(|(field, value)| (text(field), text(value))).collect())
    .collect()
});

pub(crate) fn name(name: &str) -> Name<'_> {
    Name::parse(name.as_bytes()).expect("a name")
}

pub(crate) fn text(text: &str) -> Text<'_> {
    Text::parse(text.as_bytes()).expect("a text")
}

/// The same text for as long as the tests run, once each.
pub(crate) fn lasting(text: &str) -> &'static str {
    static TEXTS: Mutex<BTreeSet<&'static str>> = Mutex::new(BTreeSet::new());
    let mut texts = TEXTS.lock().expect("nobody panics while holding it");
    if let Some(text) = texts.get(text) {
        return text;
    }
    let text: &'static str = Box::leak(text.into());
    texts.insert(text);
    text
}

/// One of these, or, as often, none.
fn maybe<T: Copy>(byte: u8, of: &[T]) -> Option<T> {
    (usize::from(byte) % (of.len() * 2)).checked_sub(of.len()).map(|index| of[index])
}

fn one<T: Copy>(byte: u8, of: &[T]) -> T {
    of[usize::from(byte) % of.len()]
}

const INCARNATIONS: [&str; 2] = ["x", "y"];
const HOSTS: [&str; 2] = ["h1", "h2"];
const KINDS: [&str; 2] = ["fix", "docs"];
const TEXTS: [&str; 3] = ["a", "", "Gr\u{fc}\u{df}e, Welt: a text that is not short"];
const PAYLOADS: [&str; 2] = ["{\"branch\":\"main\"}", "[]"];
const PRIORITIES: [u16; 7] = [0, 10, 25, 50, 75, 1_000, 51];
const DELAYS: [u64; 8] = [0, 0, 0, 0, 1, 1_000, 2_500, 60_000];
const REQUESTS: [&str; 2] = ["r1", "r2"];
/// Ids that are given; two of them are those that other issues' tasks have by default.
const IDS: [&str; 4] = ["comment-1", "comment-2", "1:fix", "2:issue"];
static TYPES: LazyLock<Vec<Vec<Name<'static>>>> = LazyLock::new(|| {
    let types: [&[&str]; 8] =
        [&[], &[], &[], &["fix"], &["fix", "docs", "fix"], &["issue"], &["issue", "fix"], &["no-such-type"]];
    types.iter().map(|types| types.iter().map(|kind| name(kind)).collect()).collect()
});
const TTLS: [Millis; 6] =
    [Millis(1_000), Millis(1_001), Millis(2_500), Millis(30_000), Millis(86_400_000), Millis(1_000)];
const VALUES: [(Setting, &[u64]); 12] = [
    (Setting::HeartbeatTtl, &[1_000, 2_000, 60_000, 86_400_000]),
    (Setting::AttestTtl, &[1_000, 3_000, 86_400_000]),
    (Setting::MaxSilence, &[1_000, 4_000, 604_800_000]),
    (Setting::IssuesKept, &[0, 1, 3, 20]),
    (Setting::ProcessKept, &[1_000, 5_000, 31_536_000_000]),
    (Setting::MaxRunning, &[0, 0, 1, 3]),
    (Setting::MaxAttempts, &[1, 2, 5]),
    (Setting::MaxOrphans, &[1, 2]),
    (Setting::QueueAging, &[0, 1, 100, 86_400_000]),
    (Setting::FinishedKept, &[0, 1, 3, 10_000]),
    (Setting::EventsKept, &[0, 1, 5, 30, 1_000_000]),
    (Setting::IssuesKept, &[0, 0, 2]),
];

impl Step {
    /// When it happens, seen from the step before.
    pub(crate) fn time(&self, at: Instant, moments: &[Instant]) -> Instant {
        const DAY: u64 = 86_400_000_000;
        let (how, amount) = (self.tick.0, u64::from(self.tick.1));
        let micros = match how {
            0..80 => at.micros(),
            80..120 => at.micros() + amount,
            120..160 => at.micros() + amount * 100,
            160..215 => {
                let index = usize::from(self.tick.1) % moments.len().max(1);
                let moment = moments.get(index).map_or(at.micros(), |moment| moment.micros());
                [moment, moment + 1, moment.saturating_sub(1), moment + 1_000, moment.saturating_sub(1_000)]
                    [usize::from(how) % 5]
            }
            215..225 => at.micros() + amount * 60_000_000,
            225..228 => at.micros() + amount % 40 * DAY,
            228..245 => at.micros().saturating_sub(amount * 100),
            245..252 => at.micros().saturating_sub(amount),
            252.. => at.micros().saturating_sub(amount % 40 * DAY),
        };
        // Beyond this, tokens could not rise with the clock for ever.
        Instant::from_micros(micros.min(4_000_000_000_000_000))
    }

    pub(crate) fn judge(&self) -> Judge {
        let (uptime, restart_grace) = match self.judge {
            (0..190, _) => (u64::MAX, 0),
            (uptime, grace) => (
                one(uptime, &[0, 999, 1_000, 1_001, 2_499, 2_500, 59_999, 60_000]),
                one(grace, &[0, 1_000, 2_500, 60_000, 86_400_000]),
            ),
        };
        Judge::Primary { uptime: Millis(uptime), restart_grace: Millis(restart_grace) }
    }

    fn issue(&self, wide: bool) -> IssueNumber {
        let number = match u64::from(self.args[0]) {
            255 => poppo_core::MAX_INTEGER,
            byte if wide => byte % 48 + 1,
            byte => byte % 5 + 1,
        };
        IssueNumber::try_from(number).expect("it is in range")
    }

    fn process(&self, wide: bool) -> &'static str {
        &NAMES[usize::from(self.args[1]) % if wide { 40 } else { 3 }]
    }

    fn incarnation(&self) -> Option<Name<'static>> {
        maybe(self.args[2], &INCARNATIONS).map(name)
    }

    /// The issue's token mostly, one of the past sometimes.
    fn token(&self, targets: &Targets, issue: IssueNumber) -> Option<Token> {
        let current = targets.issues.iter().find(|(number, _)| *number == issue).map(|(_, token)| *token);
        let byte = self.args[3];
        match byte % 8 {
            0 | 1 => None,
            6 => targets.tokens.get(usize::from(byte / 8) % targets.tokens.len().max(1)).copied(),
            7 => current.and_then(|token| Token::try_from(token.get() + 1).ok()),
            _ => current,
        }
    }

    /// What it does, where there is this to aim at.
    pub(crate) fn action(&self, wide: bool, targets: &Targets) -> Action {
        let args = &self.args;
        let (issue, process) = (self.issue(wide), name(self.process(wide)));
        let orphan = targets.orphans.get(usize::from(args[0]) % targets.orphans.len().max(1)).copied();
        let life = targets.lives.get(usize::from(args[1]) % targets.lives.len().max(1));
        let command = match self.what {
            0..44 => {
                let takeover = args[9] % 3 == 1;
                let aimed = orphan.filter(|_| takeover && args[10] % 2 == 1);
                let issue = aimed.map_or(issue, |(issue, _)| issue);
                Command::Checkout(Checkout {
                    issue,
                    process,
                    incarnation: self.incarnation(),
                    pid: maybe(args[3], &[1, 2, Pid::MAX]).map(|pid| Pid::try_from(pid).expect("a PID")),
                    host: maybe(args[4], &HOSTS).map(name),
                    kind: maybe(args[5], &KINDS).map(name),
                    title: maybe(args[6], &TEXTS).map(text),
                    tmux: maybe(args[7], &TEXTS).map(text),
                    ttl: maybe(args[8], &TTLS),
                    once: args[10] % 8 == 7,
                    takeover,
                })
            }
            44..82 => {
                let holder = targets.lives.get(usize::from(args[9]) % targets.lives.len().max(1));
                let process =
                    holder.filter(|_| args[8] % 2 == 1).and_then(|life| known(&life.process)).unwrap_or(process);
                let outcomes =
                    [Outcome::Completed, Outcome::Error, Outcome::AwaitingResponse, Outcome::Cancelled, Outcome::Error];
                let outcome = one(args[4], &outcomes);
                let held = targets.held.get(usize::from(args[0]) % targets.held.len().max(1));
                let done = targets.done.get(usize::from(args[0]) % targets.done.len().max(1));
                let (issue, process, token, outcome) = match (args[8] % 8, held, done) {
                    (0..4, Some((issue, token, process)), _) => {
                        (*issue, name(lasting(process)), Some(*token).filter(|_| !args[3].is_multiple_of(4)), outcome)
                    }
                    (4 | 5, _, Some((issue, token, process, outcome))) => {
                        (*issue, name(lasting(process)), Some(*token), *outcome)
                    }
                    _ => (issue, process, self.token(targets, issue), outcome),
                };
                Command::Checkin(Checkin {
                    issue,
                    process,
                    outcome,
                    token,
                    incarnation: maybe(args[2], &[INCARNATIONS[0], INCARNATIONS[1]])
                        .filter(|_| args[10] % 2 == 1)
                        .map(name),
                    result: maybe(args[5], &["{\"pr\":77}", "null"]).map(text),
                    reason: maybe(args[6], &TEXTS).map(text),
                    retry: maybe(args[2], &DELAYS).map(Millis),
                    next: (args[9].is_multiple_of(3)).then(|| self.next()),
                    metadata: &METADATA[usize::from(args[7]) % METADATA.len()],
                })
            }
            82..98 => {
                let incarnation = self.incarnation().filter(|_| args[10] % 3 == 2);
                let ttl = maybe(args[8], &TTLS).filter(|_| args[9] % 2 == 1);
                Command::Heartbeat(Heartbeat { process, incarnation, ttl, progress: maybe(args[6], &TEXTS).map(text) })
            }
            98..120 => {
                let pid = one(args[4], &[1, 2, Pid::MAX]);
                let pid = Pid::try_from(pid).expect("a PID");
                let aimed = life.filter(|_| !args[9].is_multiple_of(8));
                let host = aimed.and_then(|life| HOSTS.iter().find(|host| Some(**host) == life.host.as_deref()));
                let incarnation = match args[10] % 4 {
                    0 => self.incarnation(),
                    1 => aimed.and_then(|life| {
                        INCARNATIONS.iter().find(|i| Some(**i) == life.incarnation.as_deref()).map(|i| name(i))
                    }),
                    _ => None,
                };
                Command::Liveness(Liveness {
                    process: aimed.and_then(|life| known(&life.process)).unwrap_or(process),
                    alive: args[5] % 5 < 3,
                    host: name(host.copied().unwrap_or(one(args[3], &HOSTS))),
                    pid: aimed.and_then(|life| life.pid).unwrap_or(pid),
                    incarnation,
                })
            }
            120..140 => {
                let (issue, token) = match orphan {
                    Some((issue, token)) if !args[9].is_multiple_of(4) => (issue, token),
                    _ => (issue, self.token(targets, issue).unwrap_or(Token::try_from(1).expect("a token"))),
                };
                let outcome = one(args[4], &[RepairOutcome::Error, RepairOutcome::AwaitingResponse]);
                let requeue = args[5] % 2 == 1;
                Command::Repair(Repair { issue, token, outcome, requeue, reason: maybe(args[6], &TEXTS).map(text) })
            }
            140..150 => {
                let token = self.token(targets, issue);
                let requeue = !args[5].is_multiple_of(3);
                Command::Evict(Evict { issue, token, requeue, reason: maybe(args[6], &TEXTS).map(text) })
            }
            150..154 => Command::Forget(issue),
            154..160 => {
                let aimed = targets.versions.get(usize::from(args[0]) % targets.versions.len().max(1));
                let (issue, version) = aimed.copied().unwrap_or((issue, 1));
                Command::Labelled(issue, version.saturating_sub(u64::from(args[9].is_multiple_of(4))))
            }
            160..170 => {
                let values = (0..args[10] % 3 + 1).map(|n| {
                    let (setting, values) = one(args[usize::from(n)], &VALUES);
                    (setting, one(args[usize::from(n) + 4], values))
                });
                Command::Configure(values.collect())
            }
            170..176 => return Action::Reload,
            176..180 => return Action::Write(if wide { self.crowd() } else { Vec::new() }),
            180..208 => {
                let aimed = targets.ids.get(usize::from(args[0]) % targets.ids.len().max(1));
                let aimed = aimed.filter(|(_, id)| args[10].is_multiple_of(3) && id.len() <= poppo_core::MAX_NAME);
                Command::Enqueue(Enqueue {
                    issue: aimed.map_or(issue, |(issue, _)| *issue),
                    id: match aimed {
                        Some((_, id)) => Some(name(lasting(id))),
                        None => maybe(args[1], &IDS).filter(|_| args[9] % 2 == 1).map(name),
                    },
                    kind: maybe(args[2], &KINDS).map(name),
                    priority: maybe(args[3], &PRIORITIES)
                        .map(|priority| Priority::try_from(priority).expect("a priority")),
                    delay: Millis(one(args[4], &DELAYS)),
                    title: maybe(args[6], &TEXTS).map(text),
                    payload: maybe(args[7], &PAYLOADS).map(text),
                    again: args[8].is_multiple_of(4),
                })
            }
            208..238 => {
                let aimed = targets.requests.get(usize::from(args[4]) % targets.requests.len().max(1));
                let aimed = aimed.filter(|_| args[9].is_multiple_of(4));
                let claim = Claim {
                    process,
                    types: &TYPES[usize::from(args[5]) % TYPES.len()],
                    request: maybe(args[6], &REQUESTS).map(name),
                    incarnation: self.incarnation(),
                    pid: maybe(args[3], &[1, 2]).map(|pid| Pid::try_from(pid).expect("a PID")),
                    host: maybe(args[4], &HOSTS).map(name),
                    title: maybe(args[7], &TEXTS).map(text),
                    tmux: maybe(args[7], &TEXTS).map(text),
                    ttl: maybe(args[8], &TTLS),
                    chosen: None,
                };
                Command::Claim(match aimed {
                    None => claim,
                    Some((process, incarnation, request)) => Claim {
                        process: name(lasting(process)),
                        incarnation: incarnation.as_deref().map(|incarnation| name(lasting(incarnation))),
                        request: Some(name(lasting(request))),
                        ..claim
                    },
                })
            }
            238..245 => Command::Cancel(issue, maybe(args[6], &TEXTS).map(text)),
            245..252 => {
                let aimed = targets.dead.get(usize::from(args[0]) % targets.dead.len().max(1));
                let id = aimed.map_or("comment-1", |id| lasting(id));
                Command::Revive(TaskId::parse(id.as_bytes()).expect("a task's id"))
            }
            252.. => Command::Drain(args[9].is_multiple_of(3)),
        };
        Action::Write(vec![command])
    }

    fn next(&self) -> Next<'static> {
        let request = maybe(self.args[1], &REQUESTS).map(name);
        Next { request, may_claim: self.args[10] % 8 != 3, chosen: None }
    }

    /// Many processes that each do little, so that limits are exceeded by more than one write drops.
    fn crowd(&self) -> Vec<Command> {
        let size = self.args[0] % 40 + 10;
        let finished = !self.args[1].is_multiple_of(4);
        let mut commands = Vec::new();
        for n in 0..size {
            let issue = IssueNumber::try_from(100 + u64::from(n)).expect("it is in range");
            let process = name(&NAMES[usize::from(n)]);
            commands.push(Command::Checkout(Checkout::new(issue, process)));
            if finished {
                commands.push(Command::Checkin(Checkin::new(issue, process, Outcome::Completed)));
            }
        }
        commands
    }
}

/// A name of a process that these histories use.
fn known(process: &str) -> Option<Name<'static>> {
    NAMES.iter().find(|name| *name == process).map(|known| name(known))
}

thread_local! {
    static QUIET: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Runs what may panic without a word on stderr. Answers the panic's words.
pub(crate) fn quietly<T>(run: impl FnOnce() -> T) -> Result<T, String> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let loud = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            let quiet = QUIET.with_borrow_mut(|words| words.as_mut().map(|words| *words = info.to_string()).is_some());
            if !quiet {
                loud(info);
            }
        }));
    });
    let before = QUIET.replace(Some(String::new()));
    let answer = catch_unwind(AssertUnwindSafe(run));
    let words = QUIET.replace(before);
    answer.map_err(|_| words.unwrap_or_default())
}

/// Runs a property on many random values. On failure it shows the smallest that fails, as `log` was written by it.
pub(crate) fn check<S: Strategy>(cases: u32, strategy: S, property: impl Fn(S::Value, &mut Vec<String>)) {
    let cases = std::env::var("POPPO_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(cases);
    let config =
        ProptestConfig { cases, failure_persistence: None, max_shrink_iters: 20_000, ..ProptestConfig::default() };
    let outcome = TestRunner::new(config).run(&strategy, |value| {
        let mut log = Vec::new();
        quietly(|| property(value, &mut log))
            .map_err(|words| TestCaseError::fail(format!("{words}\nafter\n  {}", log.join("\n  "))))
    });
    match outcome {
        Ok(()) => {}
        Err(proptest::test_runner::TestError::Fail(reason, _)) => panic!("{reason}"),
        Err(error) => panic!("{error}"),
    }
}
