//! Random histories of all commands, compared with a naive model after each step.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod model;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use poppo_core::{
    Cancelled, CheckedIn, Checkin, Checkout, Claim, Effect, Enqueue, EventKind, Instant, IssueNumber, Liveness,
    MAX_INTEGER, Millis, Name, Next, Now, OrphanReason, Outcome, Page, Pid, Project, Refusal, Repair, RepairOutcome,
    Setting, Stale, Status, Text, Token,
};
use proptest::prelude::*;
use proptest::sample::Index;
use serde_json::Value;

use model::after::{project_after, use_it};
use model::histories::{Action, History, Step, Targets, check, history, name, step};
use model::views::{EventView, OrphanView, RunView, bytes, compare, compare_claims, compare_memory, load, look};
use model::{Answer, Command, Model, apply, resolved};

/// Hands a command to project, model and replica, and compares what all of them make of it.
struct Trial {
    model: Model,
    project: Project,
    replica: Project,
    pieces: Vec<Vec<u8>>,
    tokens: Vec<Token>,
    /// How often what happened, by a word for it.
    met: BTreeMap<String, u32>,
}

impl Trial {
    fn new(at: Instant) -> Self {
        let project = Project::new(at);
        let pieces = bytes(&project);
        let (model, replica) = (Model::new(at), Project::new(at));
        Self { model, project, replica, pieces, tokens: Vec::new(), met: BTreeMap::new() }
    }

    fn meet(&mut self, command: &Command, answer: &Result<Answer, Refusal>) {
        let command = format!("{command:?}");
        let command = command.split('(').next().unwrap();
        let what = match answer {
            Err(Refusal::Stale { because: Stale::Ended { by, .. }, .. }) => format!("STALE by {by}"),
            Err(refusal) => refusal.code().to_owned(),
            Ok(Answer::Leased(lease)) => if lease.renewed { "again" } else { "granted" }.to_owned(),
            Ok(Answer::Believed(orphans, _)) if *orphans > 0 => "orphans".to_owned(),
            Ok(Answer::Claimed(Some((_, renewed)))) => if *renewed { "again" } else { "granted" }.to_owned(),
            Ok(Answer::Ended(status, Effect::Changed)) => format!("as {status}"),
            Ok(Answer::Cancelled(done, effect)) => format!("{done} {effect:?}"),
            Ok(Answer::CheckedIn(effect, Some(_))) => format!("{effect:?} and next"),
            Ok(answer) => if answer.changed() { "changed" } else { "unchanged" }.to_owned(),
        };
        *self.met.entry(format!("{command} {what}")).or_default() += 1;
    }

    fn write(&mut self, now: Now, command: &Command) {
        let before = self.model.last_event;
        let (certain, news) = (self.model.certain_orphans(), self.project.certain_news());
        let expected = self.model.apply(now, command);
        let answer = apply(&mut self.project, now, command);
        assert_eq!(answer, expected, "the answer (left) is not the model's (right)");
        self.meet(command, &answer);
        if self.model.certain_orphans().iter().any(|orphan| !certain.contains(orphan)) {
            assert_ne!(self.project.certain_news(), news, "an orphan that nobody is told of");
        }
        let emitted: Vec<EventView> = self.project.emitted(before).map(EventView::from).collect();
        assert_eq!(emitted, self.model.log[self.model.log.len() - emitted.len()..], "whoever publishes finds it");
        assert_eq!(emitted.len() as u64, self.model.last_event - before);
        let pieces = bytes(&self.project);
        if answer.as_ref().is_ok_and(Answer::changed) {
            let resolved = resolved(command, answer.as_ref().unwrap());
            let replayed = apply(&mut self.replica, Now::replay(now.at), &resolved);
            // Whether somebody is an orphan is not the replica's to say; all else it answers as its primary did.
            let same = matches!(command, Command::Liveness(_)) || replayed == answer;
            assert!(same, "a replica answered {replayed:?} where its primary answered {answer:?}");
            assert_eq!(bytes(&self.replica), pieces, "the replica's bytes (left) are not the primary's (right)");
        } else {
            assert_eq!(pieces, self.pieces, "what changed nothing changed the bytes");
        }
        self.pieces = pieces;
        if let Some(token) = answer.ok().and_then(|answer| answer.token()) {
            assert!(self.tokens.last().is_none_or(|last| *last < token), "tokens rise");
            self.tokens.push(token);
        }
    }

    /// The server restarts.
    fn reload(&mut self, now: Now) {
        let loaded = load(&self.pieces).expect("what was written can be read");
        assert_eq!(bytes(&loaded), self.pieces, "what was read is written as it was");
        let (sight, before) = (look(&loaded, now, 100), look(&self.project, now, 100));
        assert_eq!(sight.without_what_was_noticed(), before.without_what_was_noticed());
        compare_memory(&self.project);
        self.project = loaded;
        self.model.forget_what_was_noticed();
    }
}

#[test]
fn every_answer_is_the_naive_models() {
    let met: RefCell<BTreeMap<String, u32>> = RefCell::default();
    check(1_200, history(120), |History { wide, begin, steps }, log| {
        let mut trial = Trial::new(begin);
        let mut at = begin;
        for step in &steps {
            at = step.time(at, &trial.model.moments());
            let now = Now { at, judge: step.judge() };
            let targets = Targets::of(&trial.model, now, &trial.tokens);
            match step.action(wide, &targets) {
                Action::Reload => {
                    log.push(format!("{} reload", at.micros()));
                    trial.reload(now);
                }
                Action::Write(commands) => {
                    for command in commands {
                        log.push(format!("{} {:?} {command:?}", at.micros(), now.judge));
                        trial.write(now, &command);
                    }
                }
            }
            // Many names make looking at everything slow; what differs once still differs a few steps later.
            if !wide || step.args[9].is_multiple_of(4) {
                compare(&trial.project, &trial.model, now, usize::from(step.args[10]) % 9 + 1);
            }
            // And as somebody sees it who looks when the next deadline passes.
            if let Some(moment) = targets.moments.get(usize::from(step.tick.1) % targets.moments.len().max(1)) {
                let then = Now::primary(*moment);
                let seen: Vec<_> = trial.project.orphans(then, None).map(OrphanView::from).collect();
                assert_eq!(seen, trial.model.orphans(then), "ORPHANS at {}", moment.micros());
            }
            let types = &step_types(step);
            let expected =
                trial.model.clone().choose(at, &types.iter().map(|kind| kind.to_string()).collect::<Vec<_>>());
            assert_eq!(trial.project.clone().has_task_for(now, types), expected.is_some(), "has_task_for {types:?}");
        }
        let now = Now::primary(at);
        compare(&trial.project, &trial.model, now, 3);
        compare_claims(&trial.project, &trial.model, now);
        trial.reload(now);
        for (what, times) in &trial.model.met {
            trial.met.insert((*what).to_owned(), *times);
        }
        let totals = trial.model.totals;
        for reason in OrphanReason::ALL {
            let repairs = u32::try_from(totals.repairs[*reason as usize]).unwrap();
            trial.met.insert(format!("repaired {reason}"), repairs);
        }
        trial.met.insert("taken over".to_owned(), u32::try_from(totals.takeovers).unwrap());
        trial.met.insert("dropped lives".to_owned(), trial.model.dropped.0);
        trial.met.insert("dropped issues".to_owned(), trial.model.dropped.1);
        trial.met.insert("dropped as many as one write may".to_owned(), trial.model.dropped.2);
        trial.met.insert("hidden events".to_owned(), trial.model.hidden);
        for (what, times) in trial.met {
            *met.borrow_mut().entry(what).or_default() += times;
        }
    });
    // What never happened was not tested.
    let met = met.into_inner();
    for what in EVERYTHING.iter().filter(|_| std::env::var_os("POPPO_CASES").is_none()) {
        assert!(met.get(*what).is_some_and(|times| *times > 10), "{what} hardly ever happened: {met:#?}");
    }
}

const EVERYTHING: [&str; 87] = [
    "AGAIN of a dead one",
    "AGAIN of a finished one",
    "Cancel asked Changed",
    "Cancel asked Unchanged",
    "Cancel none Unchanged",
    "Cancel removed Changed",
    "Checkin Changed and next",
    "Checkin HELD",
    "Checkin NOTHELD",
    "Checkin STALE",
    "Checkin STALE by checkin",
    "Checkin STALE by evict",
    "Checkin STALE by repair",
    "Checkin Unchanged and next",
    "Checkin changed",
    "Checkin unchanged",
    "Checkout DONE",
    "Checkout HELD",
    "Checkout INUSE",
    "Checkout again",
    "Checkout granted",
    "Claim INUSE",
    "Claim again",
    "Claim granted",
    "Claim unchanged",
    "Configure changed",
    "Drain changed",
    "Drain unchanged",
    "Enqueue ERR",
    "Enqueue changed",
    "Enqueue unchanged",
    "Evict NOTHELD",
    "Evict STALE",
    "Evict STALE by checkin",
    "Evict STALE by repair",
    "Evict as cancelled",
    "Evict as error",
    "Evict as queued",
    "Evict unchanged",
    "Forget HELD",
    "Forget changed",
    "Forget unchanged",
    "Heartbeat NOPROC",
    "Heartbeat changed",
    "Labelled changed",
    "Labelled unchanged",
    "Liveness changed",
    "Liveness orphans",
    "Liveness unchanged",
    "NEXT of another issue",
    "NEXT of the same issue",
    "Repair ALIVE",
    "Repair NOTHELD",
    "Repair STALE",
    "Repair STALE by checkin",
    "Repair STALE by evict",
    "Repair STALE by repair",
    "Repair as awaiting-response",
    "Repair as cancelled",
    "Repair as error",
    "Repair as queued",
    "Repair unchanged",
    "Revive changed",
    "Revive unchanged",
    "adopted",
    "asked, so not back",
    "came back to one that waits",
    "came back without a task",
    "carried",
    "claimed early",
    "drained",
    "dropped as many as one write may",
    "dropped finished",
    "dropped issues",
    "dropped lives",
    "failed too often",
    "hidden events",
    "poison",
    "queued though dead",
    "queued though finished",
    "queued while it runs",
    "raised",
    "repaired dead",
    "repaired expired",
    "repaired replaced",
    "taken over",
    "too many run",
];

/// Some types, or none.
fn step_types(step: &Step) -> Vec<Name<'static>> {
    let types = [&[][..], &["fix"], &["docs", "issue"], &["no-such-type"]];
    types[usize::from(step.args[3]) % types.len()].iter().map(|kind| name(kind)).collect()
}

/// One change of a project's bytes.
#[derive(Debug, Clone)]
enum Damage {
    Flip(Index, Index, u8),
    Set(Index, Index, u8),
    Add(Index, Index, u8),
    Insert(Index, Index, u8),
    Remove(Index, Index),
    Cut(Index, Index),
    Copy(Index, Index, Index, u8),
    SwapPieces(Index, Index),
    RepeatPiece(Index),
    DropPiece(Index),
}

fn damage() -> impl Strategy<Value = Damage> {
    let spot = || (any::<Index>(), any::<Index>());
    prop_oneof![
        6 => (spot(), 0..8u8).prop_map(|((piece, at), bit)| Damage::Flip(piece, at, bit)),
        6 => (spot(), any::<u8>()).prop_map(|((piece, at), byte)| Damage::Set(piece, at, byte)),
        6 => (spot(), prop_oneof![Just(1u8), Just(255)]).prop_map(|((piece, at), by)| Damage::Add(piece, at, by)),
        2 => (spot(), any::<u8>()).prop_map(|((piece, at), byte)| Damage::Insert(piece, at, byte)),
        2 => spot().prop_map(|(piece, at)| Damage::Remove(piece, at)),
        1 => spot().prop_map(|(piece, at)| Damage::Cut(piece, at)),
        2 => (spot(), any::<Index>(), 1..24u8).prop_map(|((piece, from), to, n)| Damage::Copy(piece, from, to, n)),
        1 => spot().prop_map(|(a, b)| Damage::SwapPieces(a, b)),
        1 => any::<Index>().prop_map(Damage::RepeatPiece),
        1 => any::<Index>().prop_map(Damage::DropPiece),
    ]
}

impl Damage {
    fn hurt(&self, pieces: &mut Vec<Vec<u8>>) {
        let all = pieces.len();
        if all == 0 {
            return;
        }
        match self {
            Self::SwapPieces(a, b) => pieces.swap(a.index(all), b.index(all)),
            Self::RepeatPiece(piece) => pieces.push(pieces[piece.index(all)].clone()),
            Self::DropPiece(piece) => drop(pieces.remove(piece.index(all))),
            Self::Flip(piece, at, _)
            | Self::Set(piece, at, _)
            | Self::Add(piece, at, _)
            | Self::Insert(piece, at, _)
            | Self::Remove(piece, at)
            | Self::Cut(piece, at)
            | Self::Copy(piece, at, ..) => {
                let piece = &mut pieces[piece.index(all)];
                if piece.is_empty() {
                    return;
                }
                let length = piece.len();
                let at = at.index(length);
                match self {
                    Self::Flip(_, _, bit) => piece[at] ^= 1 << bit,
                    Self::Set(_, _, byte) => piece[at] = *byte,
                    Self::Add(_, _, by) => piece[at] = piece[at].wrapping_add(*by),
                    Self::Insert(_, _, byte) => piece.insert(at, *byte),
                    Self::Remove(..) => drop(piece.remove(at)),
                    Self::Cut(..) => piece.truncate(at),
                    Self::Copy(_, _, to, bytes) => {
                        let to = to.index(length);
                        let bytes = usize::from(*bytes).min(length - at.max(to));
                        piece.copy_within(at..at + bytes, to);
                    }
                    _ => unreachable!("matched above"),
                }
            }
        }
    }
}

#[test]
fn damaged_bytes_never_panic_and_what_loads_is_whole() {
    let loaded = std::cell::Cell::new(0u32);
    let hurts = prop::collection::vec(prop::collection::vec(damage(), 1..4), 25);
    let strategy = (history(40), hurts, prop::collection::vec(step(), 6));
    check(300, strategy, |(history, hurts, steps), log| {
        let (project, now) = project_after(&history);
        let intact = bytes(&project);
        for hurt in hurts {
            let mut pieces = intact.clone();
            hurt.iter().for_each(|damage| damage.hurt(&mut pieces));
            log.clear();
            log.push(format!("{hurt:?} of {intact:?}"));
            let Some((head, rest)) = pieces.split_first() else { continue };
            let Ok(mut project) = Project::load(head) else { continue };
            let mut whole = true;
            for piece in rest {
                let before = bytes(&project);
                if project.load_next(piece).is_err() {
                    assert_eq!(bytes(&project), before, "nothing of a refused piece is added");
                    whole = false;
                }
            }
            loaded.set(loaded.get() + u32::from(whole));
            use_it(project, now, history.wide, &steps);
        }
    });
    assert!(loaded.get() > 100, "only {} damaged projects loaded: the damage is too great to test much", loaded.get());
}

/// All values of a document that are no objects, by their places.
fn leaves(value: &Value, place: &mut Vec<String>, found: &mut Vec<String>) {
    let mut within = |name: String, value: &Value| {
        place.push(name);
        leaves(value, place, found);
        place.pop();
    };
    match value {
        Value::Object(fields) => fields.iter().for_each(|(name, value)| within(name.replace('/', "~1"), value)),
        Value::Array(items) => items.iter().enumerate().for_each(|(at, value)| within(at.to_string(), value)),
        _ => found.push(place.iter().map(|part| format!("/{part}")).collect()),
    }
}

#[test]
fn damaged_documents_never_panic_and_what_loads_is_whole() {
    let loaded = std::cell::Cell::new(0u32);
    let hurts = prop::collection::vec((any::<Index>(), any::<Index>(), 0u8..8), 40);
    check(100, (history(40), hurts, prop::collection::vec(step(), 6)), |(history, hurts, steps), log| {
        let (project, now) = project_after(&history);
        let intact = serde_json::to_value(&project).unwrap();
        let mut places = Vec::new();
        leaves(&intact, &mut Vec::new(), &mut places);
        for (place, other, how) in hurts {
            let mut document = intact.clone();
            let place = place.get(&places);
            let stranger = intact.pointer(other.get(&places).as_str()).unwrap().clone();
            let leaf = document.pointer_mut(place).unwrap();
            *leaf = match (how, leaf.as_u64()) {
                (0, Some(number)) => number.wrapping_add(1).into(),
                (1, Some(number)) => number.wrapping_sub(1).into(),
                (2, Some(_)) => u64::MAX.into(),
                (3, _) => Value::Null,
                (4, _) => "".into(),
                (5, _) => "x y\u{7f}".into(),
                _ => stranger,
            };
            log.clear();
            log.push(format!("{place} is {leaf}"));
            match Project::from_document(&document) {
                Ok(project) => {
                    loaded.set(loaded.get() + 1);
                    use_it(project, now, history.wide, &steps);
                }
                Err(error) => assert!(!error.to_string().is_empty()),
            }
        }
    });
    assert!(loaded.get() > 100, "only {} damaged documents loaded", loaded.get());
}

#[test]
fn a_document_says_what_is_wrong_with_it() {
    let now = Now::primary(Instant::from_micros(1_750_327_200_123_456));
    let mut project = Project::new(now.at);
    project.checkout(now, &Checkout::new(number(7), name("w"))).unwrap();
    let good = serde_json::to_value(&project).unwrap();
    assert_eq!(good["head"]["created"], "2025-06-19T10:00:00.123456Z");
    assert_eq!(good["head"]["settings"]["max-attempts"], 5);
    assert_eq!(good["head"]["totals"]["checkins"]["awaiting-response"], 0);
    assert_eq!((&good["lives"][0]["process"], &good["issues"][0]["run"]["held"]), (&"w".into(), &1.into()));
    let wrong = |place: &str, value: Value| {
        let mut document = good.clone();
        *document.pointer_mut(place).unwrap() = value;
        Project::from_document(&document).unwrap_err().to_string()
    };
    assert_eq!(wrong("", Value::Null), "the project: is not an object");
    assert_eq!(wrong("/lives", Value::Null), "lives: is not a list");
    assert_eq!(wrong("/firstEvent", Value::Null), "firstEvent: is not a number");
    assert!(wrong("/head", serde_json::json!({})).starts_with("head: missing field"));
    assert!(wrong("/issues/0/token", "x".into()).starts_with("issues[0]: invalid type"));
    assert!(wrong("/issues/0", serde_json::json!({ "color": 1 })).starts_with("issues[0]: unknown field `color`"));
    assert!(wrong("/head/created", "19.6.2025".into()).contains("is no time like 2025-06-19"));
    assert!(wrong("/head/created", "2025-06-19T10:00:00.1234567Z".into()).contains("is no time like"));
    assert!(wrong("/head/settings", serde_json::json!({ "color": 1 })).contains("there is no setting color"));
    let range = wrong("/head/settings/max-attempts", 0.into());
    assert!(range.contains("max-attempts must be an integer from 1 to 1000"), "{range}");
    assert!(wrong("/issues/0/run/held", 9.into()).contains("an issue's holder"));
    let mut more = good.clone();
    more["color"] = 1.into();
    assert!(Project::from_document(&more).unwrap_err().to_string().starts_with("color: there is no such part"));
    // What is null may be left out.
    let mut less = good.clone();
    less["lives"][0].as_object_mut().unwrap().retain(|_, value| !value.is_null());
    assert_eq!(bytes(&Project::from_document(&less).unwrap()), bytes(&project));
}

#[test]
fn bytes_that_are_no_project_are_refused() {
    check(2_000, prop::collection::vec(any::<u8>(), 0..200), |mut noise, _| {
        if noise.first() != Some(&poppo_core::VERSION) {
            assert!(Project::load(&noise).is_err());
        }
        // With the right version and kind, so that more than the first byte is looked at.
        noise.splice(0..0, [poppo_core::VERSION, 0]);
        let _ = Project::load(&noise);
        let mut project = Project::new(Instant::from_micros(7));
        let before = bytes(&project);
        for kind in 1..=7 {
            noise[1] = kind;
            if project.load_next(&noise).is_err() {
                assert_eq!(bytes(&project), before);
            }
        }
    });
}

#[test]
fn the_version_of_the_encoding_is_looked_at_first() {
    let pieces = bytes(&Project::new(Instant::from_micros(7)));
    let mut newer = pieces[0].clone();
    newer[0] = poppo_core::VERSION + 1;
    assert!(matches!(Project::load(&newer), Err(poppo_core::Corrupt::Version(4))));
    assert!(Project::load(&[]).is_err());
    assert!(Project::load(&pieces[0][..pieces[0].len() - 1]).is_err());
    let mut longer = pieces[0].clone();
    longer.push(0);
    assert!(Project::load(&longer).is_err());
}

/// Walks a list while others come and go between its pages.
fn walk_among<T>(
    project: &mut Project,
    page: impl Fn(&Project, u64) -> Page<T>,
    mut meanwhile: impl FnMut(&mut Project),
) -> Vec<T> {
    let (mut rows, mut cursor) = (Vec::new(), 0);
    loop {
        let Page { next, rows: more } = page(project, cursor);
        rows.extend(more);
        meanwhile(project);
        let Some(next) = next else { return rows };
        assert!(next > cursor, "a cursor goes on");
        cursor = next;
    }
}

fn number(n: u8) -> IssueNumber {
    IssueNumber::try_from(u64::from(n)).unwrap()
}

fn checkin(issue: IssueNumber, process: Name<'_>, outcome: Outcome) -> Checkin<'_> {
    Checkin::new(issue, process, outcome)
}

const CHANGED: CheckedIn = CheckedIn { effect: Effect::Changed, next: None };
const UNCHANGED: CheckedIn = CheckedIn { effect: Effect::Unchanged, next: None };

#[test]
fn a_list_shows_what_stays_exactly_once_while_others_come_and_go() {
    let among = prop::collection::vec((0..40u8, 0..4u8), 0..80);
    let strategy = (prop::collection::btree_set(0..40u8, 0..30), among, 1..8usize, 0..4usize);
    check(1_500, strategy, |(stay, mut among, count, at_once), _| {
        let now = Now::primary(Instant::from_micros(1_000_000));
        let mut project = Project::new(now.at);
        // Odd numbers stay, even ones come and go.
        for n in &stay {
            let (issue, process) = (number(n * 2 + 1), name("stays"));
            project.checkout(now, &Checkout::new(issue, process)).unwrap();
            if n % 3 == 0 {
                project.checkin(now, &checkin(issue, process, Outcome::Error)).unwrap();
            }
        }
        let mut meanwhile = |project: &mut Project| {
            for (n, what) in among.split_off(among.len().saturating_sub(at_once)) {
                let (issue, process) = (number(n * 2 + 2), name("comes"));
                match what {
                    0 | 1 => drop(project.checkout(now, &Checkout::new(issue, process))),
                    2 => drop(project.checkin(now, &checkin(issue, process, Outcome::Error))),
                    _ => drop(project.forget(now, issue)),
                }
            }
        };
        meanwhile(&mut project);
        for status in [None, Some(Status::Processing), Some(Status::Error), Some(Status::Completed)] {
            let page = |project: &Project, cursor: u64| {
                let page = project.list(now, status, cursor, count);
                assert!(page.rows.len() <= count);
                let until = page.next.unwrap_or(u64::MAX);
                let looked_at = project.list(now, None, cursor, 100).rows.into_iter();
                let looked_at = looked_at.filter(|record| record.issue.get() < until).count();
                assert!(looked_at <= if status.is_some() { count * 10 } else { count });
                let rows = page.rows.iter().map(|record| (record.issue.get(), record.status)).collect();
                Page { next: page.next, rows }
            };
            let rows = walk_among(&mut project, page, &mut meanwhile);
            let shown: Vec<u64> = rows.iter().map(|(issue, _)| *issue).collect();
            assert!(shown.is_sorted_by(|a, b| a < b), "nothing is shown twice: {shown:?}");
            assert!(rows.iter().all(|(_, shown)| status.is_none_or(|status| *shown == status)));
            let expected = stay.iter().filter(|n| match status {
                None => true,
                Some(Status::Processing) => **n % 3 != 0,
                Some(Status::Error) => **n % 3 == 0,
                Some(_) => false,
            });
            let expected: Vec<u64> = expected.map(|n| u64::from(n * 2 + 1)).collect();
            let odd: Vec<u64> = shown.into_iter().filter(|issue| issue % 2 == 1).collect();
            assert_eq!(odd, expected);
        }
    });
}

#[test]
fn a_list_of_processes_shows_what_stays_exactly_once_while_others_come_and_go() {
    let strategy = (prop::collection::vec(any::<bool>(), 0..30), 1..6usize, prop::collection::vec(0..30u8, 0..60));
    check(1_000, strategy, |(stays, count, mut among), _| {
        let mut now = Now::primary(Instant::from_micros(1_000_000));
        let mut project = Project::new(now.at);
        project.configure(now, &[(Setting::ProcessKept, 1_000)]);
        let names: Vec<String> =
            (0..stays.len()).map(|n| format!("{}{n}", if stays[n] { "stays" } else { "goes" })).collect();
        for (n, process) in names.iter().enumerate() {
            let (issue, process) = (number(n as u8 + 1), name(process));
            project.checkout(now, &Checkout::new(issue, process)).unwrap();
        }
        let mut newcomers = 0;
        let meanwhile = |project: &mut Project| {
            now.at = now.at.plus(Millis(700));
            let Some(n) = among.pop() else { return };
            // One goes, which makes room for others to be dropped, and one comes.
            let process = format!("goes{n}");
            let _ = project.checkin(now, &checkin(number(n + 1), name(&process), Outcome::Completed));
            newcomers += 1;
            let process = format!("comes{newcomers}");
            let _ = project.checkout(now, &Checkout::new(number(n + 100), name(&process)));
            let _ = project.checkin(now, &checkin(number(n + 100), name(&process), Outcome::Completed));
        };
        let page = |project: &Project, cursor: u64| {
            let page = project.list_processes(Now::primary(Instant::EPOCH), cursor, count);
            assert!(page.rows.len() <= count);
            Page { next: page.next, rows: page.rows.iter().map(|process| process.process.to_owned()).collect() }
        };
        let shown: Vec<String> = walk_among(&mut project, page, meanwhile);
        let distinct: BTreeSet<_> = shown.iter().collect();
        assert_eq!(distinct.len() as u64, shown.len() as u64, "nothing is shown twice: {shown:?}");
        let staying: Vec<_> = shown.iter().filter(|process| process.starts_with("stays")).collect();
        let expected: Vec<_> = names.iter().filter(|process| process.starts_with("stays")).collect();
        assert_eq!(staying, expected);
    });
}

#[test]
fn forgetting_leaves_no_trace() {
    let now = Now::primary(Instant::from_micros(1_000_000));
    let mut project = Project::new(now.at);
    project.checkout(now, &Checkout::new(number(1), name("w"))).unwrap();
    project.checkin(now, &checkin(number(1), name("w"), Outcome::Completed)).unwrap();
    assert_eq!(project.forget(now, number(1)), Ok(Effect::Changed));
    assert_eq!(project.forget(now, number(1)), Ok(Effect::Unchanged));
    assert!(project.get(now, number(1)).is_none());
    let once = Checkout { once: true, ..Checkout::new(number(1), name("w")) };
    assert!(project.checkout(now, &once).is_ok(), "it was never completed since it was forgotten");
}

#[test]
fn a_clock_at_the_end_of_time_uses_up_no_tokens() {
    let now = Now::primary(Instant::from_micros(u64::MAX));
    let mut project = Project::new(now.at);
    let mut last = 0;
    for (n, now) in [now, now, Now::primary(Instant::from_micros(1_750_327_200_000_000)), now].into_iter().enumerate() {
        let lease = project.checkout(now, &Checkout::new(number(n as u8 + 1), name("w"))).unwrap();
        assert!(lease.token.get() > last, "tokens rise");
        last = lease.token.get();
        let pieces = bytes(&project);
        assert_eq!(bytes(&load(&pieces).expect("what was written can be read")), pieces);
    }
}

#[test]
fn a_cursor_behind_the_end_lists_nothing() {
    let now = Now::primary(Instant::from_micros(1_000_000));
    let mut project = Project::new(now.at);
    project.checkout(now, &Checkout::new(number(1), name("w"))).unwrap();
    for cursor in [2, MAX_INTEGER, MAX_INTEGER + 1, u64::MAX] {
        assert_eq!(project.list(now, None, cursor, 10), Page { next: None, rows: Vec::new() });
        assert_eq!(project.list_processes(now, cursor, 10), Page { next: None, rows: Vec::new() });
    }
}

#[test]
fn a_check_in_may_be_repeated_although_the_clock_stepped_back_and_few_issues_are_kept() {
    let later = Now::primary(Instant::from_micros(864_000_000_000));
    let earlier = Now::primary(Instant::from_micros(1_000_000));
    let mut project = Project::new(later.at);
    project.configure(later, &[(Setting::IssuesKept, 1)]);
    for (now, n) in [(later, 1), (earlier, 2)] {
        let token = project.checkout(now, &Checkout::new(number(n), name("w"))).unwrap().token;
        let done = Checkin { token: Some(token), ..checkin(number(n), name("w"), Outcome::Completed) };
        assert_eq!(project.checkin(now, &done), Ok(CHANGED));
        assert_eq!(project.checkin(now, &done), Ok(UNCHANGED));
    }
    assert!(project.get(earlier, number(1)).is_none(), "one is kept, the one that ended last");
}

#[test]
fn what_a_primary_decided_is_applied_without_judgement() {
    let now = Now::primary(Instant::from_micros(1_000_000));
    let replay = Now::replay(now.at);
    let (host, pid) = (name("h1"), Pid::try_from(7).unwrap());
    let mut project = Project::new(now.at);
    let first = Checkout { host: Some(host), pid: Some(pid), ..Checkout::new(number(1), name("w")) };
    let token = project.checkout(now, &first).unwrap().token;
    // The holder beats and is attested, and yet this server does not ask again.
    let word = Liveness { process: name("w"), alive: true, host, pid, incarnation: None };
    assert_eq!(project.liveness(now, &word), (0, Effect::Changed));
    let repair = Repair { issue: number(1), token, outcome: RepairOutcome::Error, requeue: false, reason: None };
    assert!(matches!(project.clone().repair(now, &repair), Err(Refusal::Alive { .. })));
    assert_eq!(project.clone().repair(replay, &repair), Ok((Status::Error, Effect::Changed)));
    let takeover = Checkout { takeover: true, ..Checkout::new(number(1), name("v")) };
    assert!(matches!(project.clone().checkout(now, &takeover), Err(Refusal::Held { .. })));
    assert!(project.clone().checkout(replay, &takeover).is_ok());
    let newer = Checkout { incarnation: Some(name("x")), ..Checkout::new(number(2), name("w")) };
    assert!(matches!(project.clone().checkout(now, &newer), Err(Refusal::InUse { .. })));
    assert!(project.clone().checkout(replay, &newer).is_ok());
}

#[test]
fn a_large_project_comes_in_pieces_that_fit_only_in_their_order() {
    let now = Now::primary(Instant::from_micros(1_000_000));
    let mut project = Project::new(now.at);
    let long = "x".repeat(poppo_core::MAX_TEXT);
    let json = format!("\"{}\"", "x".repeat(poppo_core::MAX_TEXT - 2));
    let names: Vec<String> = (0..700).map(|n| format!("w{n}")).collect();
    for (n, process) in names.iter().enumerate() {
        let issue = IssueNumber::try_from(n as u64 * 3 + 1).unwrap();
        let process = name(process);
        let title = (n % 50 == 7).then(|| Text::parse(long.as_bytes()).unwrap());
        project.checkout(now, &Checkout { title, tmux: title, ..Checkout::new(issue, process) }).unwrap();
        if n % 2 == 0 {
            project.checkin(now, &checkin(issue, process, Outcome::Completed)).unwrap();
        }
    }
    for n in 0..1_500 {
        let issue = IssueNumber::try_from(n * 3 + 2).unwrap();
        let payload = (n % 100 == 3).then(|| Text::parse(json.as_bytes()).unwrap());
        let delay = Millis(n % 5 * 1_000);
        project.enqueue(now, &Enqueue { delay, payload, title: payload, ..Enqueue::new(issue) }).unwrap();
        if n < 700 {
            project.checkout(now, &Checkout::new(issue, name("w0"))).unwrap();
            let outcome = if n % 2 == 0 { Outcome::Completed } else { Outcome::Error };
            project.checkin(now, &checkin(issue, name("w0"), outcome)).unwrap();
        }
    }
    let pieces = bytes(&project);
    assert!(pieces.len() > 10, "{} pieces", pieces.len());
    assert!(pieces.iter().all(|piece| piece.len() < 3 * poppo_core::MAX_TEXT), "a piece is never large");
    let kinds: BTreeSet<u8> = pieces.iter().map(|piece| piece[1]).collect();
    assert_eq!(kinds.len(), 7, "head, lives, issues, three of tasks, and events");
    for kind in 1..=6 {
        assert!(pieces.iter().filter(|piece| piece[1] == kind).count() > 1, "one piece of kind {kind} proves little");
    }
    let mut loaded = Project::load(&pieces[0]).unwrap();
    for (n, piece) in pieces.iter().enumerate().skip(1) {
        // Nothing comes twice.
        for other in &pieces[..n] {
            assert!(loaded.load_next(other).is_err());
        }
        let before = bytes(&loaded);
        // Nor does anything that builds on this one come before it.
        for other in &pieces[n + 1..] {
            if other[1] == piece[1] && loaded.clone().load_next(other).is_ok() {
                let mut skipped = loaded.clone();
                skipped.load_next(other).unwrap();
                assert!(skipped.load_next(piece).is_err(), "piece {n} came behind a later one");
            }
        }
        assert_eq!(bytes(&loaded), before);
        loaded.load_next(piece).unwrap();
    }
    assert_eq!(bytes(&loaded), pieces);
    assert_eq!(look(&loaded, now, 64), look(&project, now, 1_000));
    // An issue cannot come before its holder, nor a life behind an issue, nor an issue behind an event.
    let of_kind = |kind: u8| pieces.iter().filter(move |piece| piece[1] == kind);
    let early = Project::load(&pieces[0]).unwrap();
    for piece in of_kind(2) {
        assert!(early.clone().load_next(piece).is_err());
    }
    let with = |kinds: &[u8]| {
        let mut project = Project::load(&pieces[0]).unwrap();
        for kind in kinds {
            of_kind(*kind).for_each(|piece| project.load_next(piece).unwrap());
        }
        project
    };
    for late in 2..=6u8 {
        let mut behind = with(&[1]);
        if late > 2 {
            behind.load_next(of_kind(late).next().unwrap()).unwrap();
            for early in 1..late {
                assert!(of_kind(early).all(|piece| behind.clone().load_next(piece).is_err()), "{early} behind {late}");
            }
        }
    }
    let mut late = with(&[1]);
    late.load_next(of_kind(2).next_back().unwrap()).unwrap();
    assert!(of_kind(1).all(|piece| late.clone().load_next(piece).is_err()));
}

#[test]
fn a_log_that_lost_its_newest_piece_tells_no_event_under_another_number() {
    let now = Now::primary(Instant::from_micros(1_000_000));
    let mut project = Project::new(now.at);
    for n in 1..=700u64 {
        let issue = IssueNumber::try_from(n).unwrap();
        project.checkout(now, &Checkout::new(issue, name("w"))).unwrap();
    }
    let whole: Vec<EventView> = project.events(0).events.map(EventView::from).collect();
    let mut pieces = bytes(&project);
    pieces.pop();
    let mut damaged = load(&pieces).unwrap();
    assert_eq!(bytes(&damaged), pieces);
    let seen: Vec<EventView> = damaged.events(0).events.map(EventView::from).collect();
    assert!(seen.len() < whole.len() && whole.starts_with(&seen));
    assert_eq!(damaged.last_event(), 700);
    // The next event has the next number, and whoever read what is left is told that something is missing.
    let _ = damaged.checkout(now, &Checkout::new(IssueNumber::try_from(701).unwrap(), name("w"))).unwrap();
    let events = damaged.events(seen.len() as u64);
    assert_eq!(events.trimmed, Some(700));
    let ids: Vec<u64> = events.events.map(|event| event.id).collect();
    assert_eq!(ids, [701]);
    assert_eq!(damaged.emitted(700).count(), 1);
    let pieces = bytes(&damaged);
    assert_eq!(bytes(&load(&pieces).unwrap()), pieces);
}

/// What Poppo 0.1 wrote, before there were events: made by its own code.
const VERSION_1: &str = include_str!("version-1.hex");

/// What Poppo 0.2 wrote, before there were tasks: made by its own code.
const VERSION_2: &str = include_str!("version-2.hex");

/// Pieces, one a line.
fn from_hex(lines: &str) -> Vec<Vec<u8>> {
    let byte = |line: &str, n: usize| u8::from_str_radix(&line[n * 2..n * 2 + 2], 16).unwrap();
    lines.lines().map(|line| (0..line.len() / 2).map(|n| byte(line, n)).collect()).collect()
}

#[test]
fn a_project_of_version_2_is_read_with_all_that_it_says_and_has_no_tasks() {
    let pieces = from_hex(VERSION_2);
    assert!(pieces.len() == 4 && pieces.iter().all(|piece| piece[0] == 2));
    let mut project = load(&pieces).unwrap();
    let now = Now::primary(Instant::from_micros(1_750_327_230_000_000));
    let sight = look(&project, now, 5);
    let orphans: Vec<_> = sight.orphans.iter().map(|orphan| (orphan.issue.get(), orphan.reason)).collect();
    assert_eq!(orphans, [(2, OrphanReason::Dead), (3, OrphanReason::Replaced)]);
    let issues: Vec<_> = sight.issues.iter().map(|issue| (issue.issue.get(), issue.status)).collect();
    let (held, error, waits) = (Status::Processing, Status::Error, Status::AwaitingResponse);
    let expected =
        [held, held, held, held, held, Status::Completed, error, Status::Cancelled, waits, waits, error, held];
    assert_eq!(issues, (1..).zip(expected).collect::<Vec<_>>());
    assert_eq!(sight.issues[0].title.as_deref(), Some("Gr\u{fc}\u{df}e"));
    let RunView::Ended { result, metadata, .. } = &sight.issues[5].run else { panic!("it ended") };
    assert_eq!((result.as_deref(), metadata.len()), (Some("{\"pr\":77}"), 2));
    assert_eq!(sight.issues[5].completed, Some(Instant::from_micros(1_750_327_210_000_000)));
    assert_eq!(sight.settings.get(Setting::AttestTtl), 90_000);
    assert_eq!(sight.settings.get(Setting::MaxAttempts), 2);
    let totals = sight.stats.totals;
    assert_eq!((totals.checkouts, totals.checkins, totals.heartbeats), (14, [2, 1, 1, 1], 1));
    assert_eq!((totals.repairs, totals.takeovers, totals.evictions), ([2, 0, 0], 1, 1));
    assert_eq!((sight.stats.hold.count, sight.stats.detection.count), (8, 2));
    // The log goes on where it was, and issue 6 is labelled.
    assert_eq!((sight.trimmed, sight.events.len(), sight.last_event), (Some(4), 18, 22));
    let takeover = &sight.events[sight.events.iter().position(|event| event.what == EventKind::Takeover).unwrap()];
    let (process, reason) = (takeover.process.as_deref(), takeover.reason.as_deref());
    assert_eq!((process, reason, takeover.kind.as_deref()), (Some("w8"), Some("expired"), Some("fix")));
    assert!(takeover.token.is_some() && takeover.task.is_none());
    assert_eq!(sight.unlabelled.len(), 11);
    // There is nothing to claim, until something is queued.
    assert_eq!((&sight.waiting, &sight.delayed, &sight.dead), (&vec![], &vec![], &vec![]));
    let claim = Claim::new(name("w9"));
    assert_eq!(project.claim(now, &claim), Ok(None));
    project.enqueue(now, &Enqueue::new(number(7))).unwrap();
    assert_eq!(project.claim(now, &claim).unwrap().unwrap().issue, number(7));
    // It is written as all are now.
    let pieces = bytes(&project);
    assert!(pieces.iter().all(|piece| piece[0] == poppo_core::VERSION));
    assert_eq!(bytes(&load(&pieces).unwrap()), pieces);
}

#[test]
fn pieces_of_other_versions_may_come_behind_one_another() {
    // As when the AOF of an older version goes on under a newer one.
    let now = Now::primary(Instant::from_micros(1_750_327_230_000_000));
    let old = from_hex(VERSION_2);
    let new = bytes(&load(&old).unwrap());
    assert_eq!(old.len(), new.len());
    for upgraded in 0..=old.len() {
        let pieces = [&old[..upgraded], &new[upgraded..]].concat();
        assert_eq!(look(&load(&pieces).unwrap(), now, 5), look(&load(&old).unwrap(), now, 5));
    }
}

#[test]
fn a_project_of_version_1_is_read_and_each_of_its_issues_is_to_be_labelled_once() {
    let pieces = from_hex(VERSION_1);
    assert!(pieces.len() == 3 && pieces.iter().all(|piece| piece[0] == 1));
    let mut project = load(&pieces).unwrap();
    let now = Now::primary(Instant::from_micros(1_750_327_246_000_000));
    let sight = look(&project, now, 5);
    let orphans: Vec<_> = sight.orphans.iter().map(|orphan| (orphan.issue.get(), orphan.reason)).collect();
    assert_eq!(orphans, [(2, OrphanReason::Dead), (3, OrphanReason::Replaced), (10, OrphanReason::Replaced)]);
    let issues: Vec<_> = sight.issues.iter().map(|issue| (issue.issue.get(), issue.status)).collect();
    let (held, error) = (Status::Processing, Status::Error);
    let waits = Status::AwaitingResponse;
    assert_eq!(
        issues,
        [(1, held), (2, held), (3, held), (4, held), (5, held), (6, waits), (7, error), (8, Status::Cancelled)]
            .into_iter()
            .chain([(9, error), (10, held), (11, waits), (12, held)])
            .collect::<Vec<_>>()
    );
    assert_eq!(sight.issues[0].token.get(), 1_750_327_201_000_000);
    assert_eq!(sight.issues[4].completed, Some(Instant::from_micros(1_750_327_225_000_000)));
    assert_eq!(sight.settings.get(Setting::AttestTtl), 90_000);
    assert_eq!(sight.stats.totals.takeovers + sight.stats.totals.evictions, 1);
    // Whoever follows it is told to look at all of it; whoever labels it is given each issue once.
    assert_eq!((sight.trimmed, sight.events.len(), sight.last_event), (Some(1), 0, 1));
    assert_eq!(sight.unlabelled.len(), 12);
    for (issue, _, version) in sight.unlabelled {
        assert_eq!(project.labelled(now, issue, version), Effect::Changed);
    }
    assert!(!project.has_unlabelled());
    project.checkin(now, &checkin(number(1), name("w1"), Outcome::Completed)).unwrap();
    let events: Vec<EventView> = project.events(1).events.map(EventView::from).collect();
    assert_eq!((events.len(), events[0].id, events[0].from), (1, 2, Some(held)));
    // It is written as all are now.
    let pieces = bytes(&project);
    assert!(pieces.iter().all(|piece| piece[0] == poppo_core::VERSION));
    assert_eq!(bytes(&load(&pieces).unwrap()), pieces);
}

#[test]
fn damaged_bytes_of_earlier_versions_never_panic_and_what_loads_is_whole() {
    let now = Now::primary(Instant::from_micros(1_750_327_246_000_000));
    for intact in [from_hex(VERSION_1), from_hex(VERSION_2)] {
        let mut loaded = 0;
        for (piece, at) in (0..intact.len()).flat_map(|piece| (0..intact[piece].len()).map(move |at| (piece, at))) {
            for byte in [0, 1, 2, 3, 127, 128, 255] {
                let mut pieces = intact.clone();
                pieces[piece][at] = byte;
                if let Ok(project) = load(&pieces) {
                    use_it(project, now, false, &[]);
                    loaded += 1;
                }
            }
        }
        assert!(loaded > 500, "only {loaded} damaged projects loaded");
    }
}

#[test]
fn no_two_issues_were_the_last_to_end() {
    let now = Now::primary(Instant::from_micros(1_000_000));
    let [one, two] = [1, 2].map(|n| {
        let mut project = Project::new(now.at);
        project.checkout(now, &Checkout::new(number(n), name("w"))).unwrap();
        project.checkin(now, &checkin(number(n), name("w"), Outcome::Completed)).unwrap();
        bytes(&project)
    });
    let mut project = load(&one).unwrap();
    assert!(project.load_next(two.last().unwrap()).is_err(), "both ended first");
    assert_eq!(bytes(&project), one);
}

#[test]
fn whatever_is_in_any_single_byte_what_loads_is_whole() {
    let now = Now::primary(Instant::from_micros(5_000_000));
    let mut project = Project::new(now.at);
    for n in 1..=3 {
        let kind = Some(name("k"));
        project.checkout(now, &Checkout { kind, ..Checkout::new(number(n), name("w")) }).unwrap();
    }
    for n in 1..=2 {
        project.checkin(now, &checkin(number(n), name("w"), Outcome::Error)).unwrap();
    }
    // A task of each kind: waiting, delayed, dead, finished, running, with all that can be said of one.
    let desk = |kind| Enqueue { kind: Some(name(kind)), ..Enqueue::new(number(4)) };
    let said = Some(Text::parse(b"1").unwrap());
    for kind in ["a", "b", "c", "d"] {
        project.enqueue(now, &Enqueue { title: said, payload: said, ..desk(kind) }).unwrap();
    }
    project.enqueue(now, &Enqueue { delay: Millis(1), ..desk("e") }).unwrap();
    let next = Some(Next { request: Some(name("r")), may_claim: true, chosen: None });
    project.claim(now, &Claim { types: &[name("a"), name("b"), name("c")], ..Claim::new(name("v")) }).unwrap();
    for outcome in [Outcome::Error, Outcome::Completed] {
        let done = Checkin { next, reason: said, ..checkin(number(4), name("v"), outcome) };
        assert_eq!(project.checkin(now, &done).unwrap().next, Some(number(4)));
    }
    assert_eq!(project.cancel(now, number(3), said).0, Cancelled::Asked);
    let intact = bytes(&project);
    assert_eq!(intact.len(), 7, "a piece of each kind");
    let mut loaded = 0;
    for (piece, at) in (0..intact.len()).flat_map(|piece| (0..intact[piece].len()).map(move |at| (piece, at))) {
        let was = intact[piece][at];
        let near = [was.wrapping_add(1), was.wrapping_sub(1), was.wrapping_add(2), was.wrapping_sub(2)];
        let bits = (0..8).map(|bit| was ^ (1 << bit));
        let bytes: BTreeSet<u8> = near.into_iter().chain(bits).chain(0..9).chain([127, 129, 254, 255]).collect();
        for byte in bytes {
            let mut pieces = intact.clone();
            pieces[piece][at] = byte;
            if let Ok(project) = load(&pieces) {
                use_it(project, now, false, &[]);
                loaded += 1;
            }
        }
    }
    assert!(loaded > 1_000, "only {loaded} damaged projects loaded");
}
