//! Projects that move: exported in pieces, and merged into others.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod model;

use std::cell::Cell;
use std::collections::BTreeSet;

use model::after::{project_after, use_it};
use model::histories::{check, history, name, step, text};
use model::views::{bytes, load};
use poppo_core::{
    Checkin, Checkout, Claim, Effect, Enqueue, EventKind, ExportCursor, Heartbeat, Imported, Instant, IssueNumber,
    MAX_TEXT, MovedPiece, Now, OrphanReason, Outcome, Project, Repair, RepairOutcome, Setting, Status, Text, Token,
};
use proptest::prelude::*;
use proptest::sample::Index;

/// The lines of a project, without headers, in pieces of so many.
fn export(project: &Project, count: usize) -> Vec<Vec<String>> {
    let mut pieces = Vec::new();
    let mut cursor = Some(ExportCursor::START);
    while let Some(from) = cursor {
        // As a client has it.
        let from = from.to_string().parse().unwrap();
        let mut piece = project.export(Instant::EPOCH, from, count);
        assert!(piece.lines.remove(0).starts_with("{\"export\":"));
        assert!(piece.lines.len() <= count);
        cursor = piece.next;
        pieces.push(piece.lines);
    }
    pieces
}

fn lines(project: &Project) -> Vec<String> {
    export(project, 10_000).concat()
}

fn sorted(mut lines: Vec<String>) -> Vec<String> {
    lines.sort_unstable();
    lines
}

fn piece(lines: &[impl AsRef<str>]) -> MovedPiece {
    let lines: Vec<&str> = lines.iter().map(AsRef::as_ref).collect();
    MovedPiece::parse(&format!("{{\"export\":{{\"version\":1}}}}\n{}\n", lines.join("\n"))).unwrap()
}

/// Merges a piece, as a replica does, too.
fn import(project: &mut Project, now: Now, lines: &[impl AsRef<str>]) -> (Imported, Effect) {
    let piece = piece(lines);
    let (before, mut replica) = (bytes(project), project.clone());
    let (imported, effect) = project.import(now, &piece);
    if effect == Effect::Changed {
        assert_eq!(replica.import(Now::replay(now.at), &piece), (imported, effect));
        assert_eq!(bytes(&replica), bytes(project), "the replica's bytes (left) are not the primary's (right)");
        assert_eq!(bytes(&load(&bytes(project)).unwrap()), bytes(project), "what was read is written as it was");
    } else {
        assert_eq!(bytes(project), before, "what changed nothing changed the bytes");
    }
    let Imported { issues, orphans, tasks, dead, finished, settings, unchanged, kept } = imported;
    assert_eq!(issues + tasks + dead + finished + settings + unchanged + kept, lines.len() as u64, "{imported:?}");
    assert!(orphans <= issues);
    (imported, effect)
}

/// Limits would drop what comes, and what is there.
fn unlimited(project: &mut Project, now: Now) {
    project.configure(now, &[(Setting::IssuesKept, 0), (Setting::FinishedKept, 10_000)]);
}

#[test]
fn what_moves_to_an_empty_project_is_what_it_was() {
    let met = Cell::new(0);
    check(300, (history(120), 1usize..40, prop::collection::vec(step(), 6)), |(history, count, steps), log| {
        let (mut source, now) = project_after(&history);
        unlimited(&mut source, now);
        let pieces = export(&source, count);
        assert_eq!(pieces.concat(), lines(&source), "whatever the pieces");
        log.clear();
        log.extend(pieces.concat());
        let mut target = Project::new(now.at);
        for piece in &pieces {
            import(&mut target, now, piece);
        }
        assert_eq!(lines(&target), pieces.concat());
        let known: Vec<_> = source.list(now, None, 0, 10_000).rows.iter().map(|record| record.token).collect();
        assert_eq!(target.stats(now).last_token, source.stats(now).last_token);
        assert!(known.iter().all(|token| Some(*token) <= target.stats(now).last_token));
        // All its leases wait for somebody to look after them, and the order of its tasks is the same.
        assert_eq!(target.stats(now).orphans, target.leases());
        met.set(met.get() + target.leases());
        use_it(target, now, history.wide, &steps);
    });
    assert!(met.get() > 100, "only {} leases moved", met.get());
}

#[test]
fn what_is_there_already_changes_nothing() {
    check(300, history(120), |history, log| {
        let (mut project, now) = project_after(&history);
        unlimited(&mut project, now);
        let all = lines(&project);
        log.clear();
        log.extend(all.clone());
        let (imported, effect) = import(&mut project, now, &all);
        assert_eq!(effect, Effect::Unchanged, "{imported:?}");
        assert_eq!(imported.unchanged, all.len() as u64);
    });
}

#[test]
fn pieces_may_come_in_any_order_and_again() {
    check(
        200,
        (history(120), 1usize..20, prop::collection::vec(any::<Index>(), 30)),
        |(history, count, order), log| {
            let (mut source, now) = project_after(&history);
            unlimited(&mut source, now);
            let pieces = export(&source, count);
            log.clear();
            log.extend(pieces.concat());
            let mut target = Project::new(now.at);
            for index in &order {
                let piece: &Vec<String> = index.get(&pieces);
                import(&mut target, now, piece);
            }
            for piece in pieces.iter().rev() {
                import(&mut target, now, piece);
            }
            assert_eq!(sorted(lines(&target)), sorted(pieces.concat()));
            for piece in &pieces {
                assert_eq!(import(&mut target, now, piece).1, Effect::Unchanged);
            }
        },
    );
}

#[test]
fn two_projects_merge_without_touching_a_live_lease() {
    let (touched, crossed) = (Cell::new(0), Cell::new(0));
    let both = (history(80), history(80), prop::collection::vec(step(), 6));
    check(300, both, |(one, other, steps), log| {
        let ((mut source, _), (mut target, now)) = (project_after(&one), project_after(&other));
        unlimited(&mut source, now);
        unlimited(&mut target, now);
        let pieces = export(&source, 25);
        log.clear();
        log.extend(pieces.concat());
        // Who may live: who is no orphan at any time before the first deadline.
        let early = Now::primary(Instant::EPOCH);
        let gone: BTreeSet<_> = target.orphans(early, None).map(|orphan| orphan.issue).collect();
        let held = |project: &Project| {
            let records = project.list(early, Some(Status::Processing), 0, 10_000).rows;
            let live = records.into_iter().filter(|record| !gone.contains(&record.issue));
            live.map(|record| format!("{record:?}")).collect::<BTreeSet<_>>()
        };
        let before = held(&target);
        let last = target.stats(now).last_token.max(source.stats(now).last_token);
        for piece in &pieces {
            import(&mut target, now, piece);
        }
        assert!(before.is_subset(&held(&target)), "a live lease was touched");
        touched.set(touched.get() + before.len());
        let mut again = || pieces.iter().filter(|piece| import(&mut target, now, piece).1 == Effect::Changed).count();
        if again() > 0 {
            // An id that is finished for one issue there, and waits there for another: whoever waited here under it gave it
            // free only at the end of the first time.
            crossed.set(crossed.get() + 1);
            assert_eq!(again(), 0, "it never ends");
        }
        let newcomer = Checkout::new(IssueNumber::try_from(999_999).unwrap(), name("newcomer"));
        assert!(Some(target.checkout(now, &newcomer).unwrap().token) > last, "tokens go on rising");
        use_it(target, now, other.wide, &steps);
    });
    assert!(touched.get() > 100);
    assert!(crossed.get() < 10, "{} of 300", crossed.get());
}

#[test]
fn damaged_lines_never_panic_and_what_is_taken_is_whole() {
    let taken = Cell::new(0u32);
    let hurts = prop::collection::vec((any::<Index>(), any::<Index>(), any::<Index>(), 0u8..9), 30);
    check(100, (history(60), hurts, prop::collection::vec(step(), 6)), |(history, hurts, steps), log| {
        let (project, now) = project_after(&history);
        let all = lines(&project);
        for (line, at, other, how) in hurts {
            let line = line.get(&all);
            let stranger = other.get(&all);
            let (at, from) = (at.index(line.len()), other.index(stranger.len()));
            if !line.is_char_boundary(at) || !stranger.is_char_boundary(from) {
                continue;
            }
            let hurt = match how {
                0 => line[..at].to_owned(),
                1 => format!("{}{}", &line[..at], &stranger[from..]),
                2 => line.replacen("null", "0", 1),
                3 => line.replace(['1', '7'], "9"),
                4 => line.replace("\"a", "\"\u{7f} "),
                5 => line.replace("true", "\"\""),
                6 => line.replace("processing", "completed").replace("held", "ended"),
                7 => line.replace("20", "19"),
                _ => line.replace("Z\"", "+01:00\""),
            };
            log.clear();
            log.push(hurt.clone());
            match MovedPiece::parse(&format!("{{\"export\":{{\"version\":1}}}}\n{hurt}")) {
                Ok(_) if hurt.trim().is_empty() => {}
                Ok(_) => {
                    taken.set(taken.get() + 1);
                    let mut target = project.clone();
                    import(&mut target, now, &[&hurt]);
                    use_it(target, now, history.wide, &steps);
                }
                Err(bad) => assert!(bad.to_string().starts_with("line "), "{bad}"),
            }
        }
    });
    assert!(taken.get() > 100, "only {} damaged lines were taken", taken.get());
}

/// A moment of a day, in ms.
fn at(millis: u64) -> Now {
    Now::primary(Instant::from_micros(1_750_327_200_000_000 + millis * 1_000))
}

fn number(number: u64) -> IssueNumber {
    IssueNumber::try_from(number).unwrap()
}

fn checkout(project: &mut Project, now: Now, issue: u64, process: &str) -> Token {
    let request = Checkout { incarnation: Some(name("i")), ..Checkout::new(number(issue), name(process)) };
    project.checkout(now, &request).unwrap().token
}

fn checkin(project: &mut Project, now: Now, issue: u64, process: &str, outcome: Outcome, token: Token) {
    let request = Checkin { token: Some(token), ..Checkin::new(number(issue), name(process), outcome) };
    assert_eq!(project.checkin(now, &request).unwrap().effect, Effect::Changed);
}

fn enqueue(project: &mut Project, now: Now, issue: u64) {
    assert!(project.enqueue(now, &Enqueue::new(number(issue))).unwrap().0);
}

fn claim(project: &mut Project, now: Now, process: &str) -> (u64, Token) {
    let issue = project.claim(now, &Claim::new(name(process))).unwrap().unwrap().issue;
    (issue.get(), project.get(now, issue).unwrap().token)
}

fn status(project: &Project, issue: u64) -> Status {
    project.get(at(0), number(issue)).unwrap().status
}

fn moved(source: &Project, target: &mut Project, now: Now) -> Imported {
    import(target, now, &lines(source)).0
}

#[test]
fn a_lease_that_moved_is_an_orphan_until_its_worker_beats_here() {
    let (mut source, mut target) = (Project::new(at(0).at), Project::new(at(0).at));
    let tokens = [1, 2].map(|issue| checkout(&mut source, at(0), issue, "w"));
    let imported = moved(&source, &mut target, at(50));
    assert_eq!((imported.issues, imported.orphans), (2, 2));
    let orphans: Vec<_> = target.orphans(at(60), None).collect();
    assert_eq!(orphans.len(), 2);
    assert_eq!((orphans[0].reason, orphans[0].since, orphans[0].last_seen), (OrphanReason::Dead, at(50).at, at(0).at));
    assert_eq!((orphans[0].token, orphans[1].token), (tokens[0], tokens[1]));
    let mut repaired = target.clone();
    let beat = Heartbeat { process: name("w"), incarnation: Some(name("i")), ttl: None, progress: None };
    target.heartbeat(at(70), &beat).unwrap();
    assert_eq!(target.orphans(at(70), None).count(), 0);
    checkin(&mut target, at(80), 1, "w", Outcome::Completed, tokens[0]);
    // Where nobody came in time, somebody else gets it, and the worker is fenced.
    let repair =
        Repair { issue: number(1), token: tokens[0], outcome: RepairOutcome::Error, requeue: true, reason: None };
    repaired.repair(at(60), &repair).unwrap();
    assert!(claim(&mut repaired, at(70), "v").1 > tokens[0]);
    repaired.heartbeat(at(80), &beat).unwrap_err();
}

#[test]
fn a_process_of_that_name_that_lives_here_gets_nothing_that_it_does_not_know_of() {
    for incarnation in [None, Some(name("other"))] {
        let (mut source, mut target) = (Project::new(at(0).at), Project::new(at(0).at));
        let request = Checkout::new(number(1), name("w"));
        source.checkout(at(0), &request).unwrap();
        target.checkout(at(0), &Checkout { issue: number(2), incarnation, ..request }).unwrap();
        assert_eq!(moved(&source, &mut target, at(1)).orphans, 1);
        let orphans: Vec<_> = target.orphans(at(2), None).map(|orphan| (orphan.issue, orphan.reason)).collect();
        assert_eq!(orphans, [(number(1), OrphanReason::Replaced)]);
    }
}

#[test]
fn the_higher_token_is_the_newer_record_and_a_held_issue_stays() {
    let (mut old, mut new) = (Project::new(at(0).at), Project::new(at(0).at));
    let token = checkout(&mut old, at(0), 1, "w");
    checkin(&mut old, at(1), 1, "w", Outcome::Completed, token);
    let token = checkout(&mut new, at(10), 1, "w");
    checkin(&mut new, at(11), 1, "w", Outcome::Error, token);
    let (mut backward, mut forward) = (new.clone(), old.clone());
    assert_eq!(moved(&old, &mut backward, at(20)).kept, 1);
    assert_eq!(status(&backward, 1), Status::Error);
    assert_eq!(moved(&new, &mut forward, at(20)).issues, 1);
    assert_eq!(status(&forward, 1), Status::Error);
    let record = forward.get(at(20), number(1)).unwrap();
    assert_eq!(record.completed, Some(at(1).at), "that it was completed once is not forgotten");
    let event = forward.emitted(forward.last_event() - 1).last().unwrap();
    assert_eq!((event.what, event.from), (EventKind::Import, Some(Status::Completed)));
    assert!(forward.unlabelled().any(|behind| behind.issue == number(1)));

    let mut held = old.clone();
    checkout(&mut held, at(2), 1, "v");
    let imported = moved(&new, &mut held, at(20));
    assert_eq!((imported.issues, imported.kept), (0, 1));
    assert_eq!(status(&held, 1), Status::Processing);
    let next = checkout(&mut held, at(3), 2, "v");
    assert!(next > token, "a token that was given elsewhere is never given again");
}

#[test]
fn what_went_on_elsewhere_can_be_caught_up_with() {
    let (mut source, mut target) = (Project::new(at(0).at), Project::new(at(0).at));
    (1..=4).for_each(|issue| enqueue(&mut source, at(0), issue));
    let (first, one) = claim(&mut source, at(1), "w");
    let (second, two) = claim(&mut source, at(1), "w");
    let imported = moved(&source, &mut target, at(5));
    assert_eq!((imported.issues, imported.orphans, imported.tasks), (2, 2, 2));
    // There: one is completed, one fails and waits again, one that waited is completed; one still waits.
    checkin(&mut source, at(10), first, "w", Outcome::Completed, one);
    let retry = Checkin {
        token: Some(two),
        retry: Some(poppo_core::Millis(0)),
        ..Checkin::new(number(second), name("w"), Outcome::Error)
    };
    source.checkin(at(10), &retry).unwrap();
    let (third, three) = claim(&mut source, at(11), "w");
    checkin(&mut source, at(12), third, "w", Outcome::Completed, three);
    moved(&source, &mut target, at(20));
    assert_eq!(
        [first, second, third].map(|issue| status(&target, issue)),
        [Status::Completed, Status::Queued, Status::Completed]
    );
    assert_eq!((target.orphans(at(21), None).count(), target.task_count()), (0, (2, 0)));
    let left = [claim(&mut target, at(21), "v").0, claim(&mut target, at(21), "v").0];
    assert_eq!(BTreeSet::from(left), BTreeSet::from([second, 4]));
    assert!(!target.enqueue(at(22), &Enqueue::new(number(first))).unwrap().0, "what was finished is not done again");
}

#[test]
fn a_task_waits_since_it_began_to() {
    let (mut source, mut target) = (Project::new(at(0).at), Project::new(at(0).at));
    enqueue(&mut target, at(100), 1);
    (2..=3).for_each(|issue| enqueue(&mut source, at(issue), issue));
    let later = Enqueue { delay: poppo_core::Millis(500), ..Enqueue::new(number(4)) };
    source.enqueue(at(0), &later).unwrap();
    moved(&source, &mut target, at(200));
    let order: Vec<_> = (0..3).map(|_| claim(&mut target, at(300), "w").0).collect();
    assert_eq!(order, [2, 3, 1]);
    assert!(target.claim(at(300), &Claim::new(name("w"))).unwrap().is_none(), "it is not due yet");
    assert_eq!(claim(&mut target, at(600), "w").0, 4);
}

#[test]
fn a_task_that_is_finished_is_not_done_elsewhere_unless_it_was_to_be_done_again() {
    let mut done = Project::new(at(0).at);
    enqueue(&mut done, at(0), 1);
    let mut waiting = done.clone();
    let (issue, token) = claim(&mut done, at(1), "w");
    checkin(&mut done, at(2), issue, "w", Outcome::Completed, token);
    let mut forward = waiting.clone();
    moved(&done, &mut forward, at(5));
    assert_eq!((forward.task_count(), status(&forward, 1)), ((0, 0), Status::Completed));
    let mut backward = done.clone();
    assert_eq!(moved(&waiting, &mut backward, at(5)).kept, 1);
    assert_eq!(backward.task_count(), (0, 0));
    // Again, without forgetting that it was finished.
    let token = checkout(&mut done, at(6), 1, "v");
    let retry = Checkin {
        token: Some(token),
        retry: Some(poppo_core::Millis(0)),
        ..Checkin::new(number(1), name("v"), Outcome::Error)
    };
    done.checkin(at(7), &retry).unwrap();
    let again = lines(&done);
    assert_eq!(again.iter().filter(|line| line.contains("\"again\":true")).count(), 2, "{again:#?}");
    moved(&done, &mut waiting, at(8));
    assert_eq!(waiting.task_count(), (1, 0));
}

#[test]
fn settings_that_nobody_has_set_are_taken() {
    let (mut source, mut target) = (Project::new(at(0).at), Project::new(at(0).at));
    source.configure(at(0), &[(Setting::MaxAttempts, 9), (Setting::MaxOrphans, 9), (Setting::EventsKept, 9)]);
    target.configure(at(0), &[(Setting::MaxAttempts, 7)]);
    assert_eq!(moved(&source, &mut target, at(1)).settings, 1);
    let settings = [Setting::MaxAttempts, Setting::MaxOrphans, Setting::EventsKept];
    assert_eq!(settings.map(|setting| target.settings().get(setting)), [7, 9, 9]);
    assert_eq!(moved(&source, &mut target, at(1)).kept, 1);
}

#[test]
fn a_task_that_begins_to_run_or_waits_again_during_an_export_is_in_it() {
    for claimed_after in 0..12 {
        for back_after in claimed_after..12 {
            let mut source = Project::new(at(0).at);
            (1..=3).for_each(|issue| enqueue(&mut source, at(0), issue));
            let done = checkout(&mut source, at(0), 9, "w");
            checkin(&mut source, at(1), 9, "w", Outcome::Completed, done);
            let (mut lines, mut cursor, mut token) = (Vec::new(), Some(ExportCursor::START), None);
            for step in 0.. {
                let Some(from) = cursor else { break };
                let mut piece = source.export(Instant::EPOCH, from, 1);
                lines.append(&mut piece.lines);
                cursor = piece.next;
                if step == claimed_after {
                    token = Some(claim(&mut source, at(2), "w").1);
                }
                if let Some(token) = token.filter(|_| step == back_after) {
                    let repair =
                        poppo_core::Evict { issue: number(1), token: Some(token), requeue: true, reason: None };
                    source.evict(at(3), &repair).unwrap();
                }
            }
            for issue in 1..=3 {
                let id = format!("\"id\":\"{issue}:issue\"");
                assert!(lines.iter().any(|line| line.contains(&id)), "{claimed_after} {back_after} {id} {lines:#?}");
            }
        }
    }
}

#[test]
fn the_log_does_not_outgrow_its_limit_by_more_than_a_piece() {
    let mut source = Project::new(at(0).at);
    for issue in 1..=600 {
        let token = checkout(&mut source, at(0), issue, "w");
        checkin(&mut source, at(1), issue, "w", Outcome::Completed, token);
    }
    source.configure(at(1), &[(Setting::EventsKept, 10)]);
    let mut target = Project::new(at(0).at);
    for piece in export(&source, 50) {
        import(&mut target, at(2), &piece);
        assert!(target.emitted(0).count() <= 10 + 2 * 51);
    }
}

#[test]
fn the_longest_entry_is_a_piece_that_is_taken() {
    let longest = |filler: &str| filler.repeat(MAX_TEXT);
    let mut source = Project::new(at(0).at);
    // Of all bytes these are the longest in JSON.
    let nasty = longest("\u{1}");
    let token = source
        .checkout(at(0), &Checkout { title: Some(text(&nasty)), ..Checkout::new(number(1), name("w")) })
        .unwrap()
        .token;
    let fields: Vec<String> =
        (0..13).map(|field| format!("{field}{}", longest("\u{2}")).chars().take(MAX_TEXT).collect()).collect();
    let metadata: Vec<(Text<'_>, Text<'_>)> = fields.iter().map(|field| (text(field), text(""))).collect();
    let result = format!("{}7", longest("\n").split_at(MAX_TEXT - 1).0);
    let report = Checkin {
        token: Some(token),
        reason: Some(text(&nasty)),
        result: Some(Text::parse_json(result.as_bytes()).unwrap()),
        metadata: &metadata,
        ..Checkin::new(number(1), name("w"), Outcome::Completed)
    };
    source.checkin(at(1), &report).unwrap();
    let all = lines(&source);
    let bytes: usize = all.iter().map(String::len).sum();
    assert!(bytes > 5 << 20 && bytes < 8 << 20, "{bytes}");
    let mut target = Project::new(at(0).at);
    moved(&source, &mut target, at(2));
    assert_eq!(lines(&target), all);
}

#[test]
fn a_line_says_what_is_wrong_with_it() {
    let header = r#"{"export":{"version":1}}"#;
    let wrong = |text: &str| MovedPiece::parse(text).unwrap_err().to_string();
    let first = "line 1: the first line must say what the others are, as {\"export\":{\"version\":1}} does";
    assert_eq!(wrong(""), first.replace("1: ", "1: is missing: "));
    assert_eq!(wrong(r#"{"project":{"settings":{}}}"#), first);
    let newer = wrong(r#"{"export":{"version":2,"colour":"red"}}"#);
    assert_eq!(newer, "line 1: its version is 2, and this version of Poppo takes version 1");
    assert!(wrong(r#"{"export":{}}"#).starts_with("line 1: missing field `version`"));
    let wrong = |line: &str| wrong(&format!("{header}\n\n{line}\n"));
    assert!(wrong("{").starts_with("line 3: is not JSON: "));
    let unknown = wrong(r#"{"thing":{}}"#);
    assert!(unknown.starts_with("line 3: unknown variant `thing`, expected one of `export`, `project`"), "{unknown}");
    let mut project = Project::new(at(0).at);
    let token = checkout(&mut project, at(0), 7, "w");
    enqueue(&mut project, at(0), 8);
    let good = lines(&project);
    let issue = good.iter().find(|line| line.starts_with("{\"issue\"")).unwrap();
    let task = good.iter().find(|line| line.starts_with("{\"task\"")).unwrap();
    for (line, old, new, says) in [
        (
            issue,
            "\"process\":\"w\"".to_owned(),
            "\"process\":\"w w\"",
            "line 3 (issue 7): a name must be 1 to 128 bytes",
        ),
        (issue, format!("{token}"), "9007199254740991", "line 3 (issue 7): token must be an integer from 1 to "),
        (
            issue,
            "\"ttl\":1800000".to_owned(),
            "\"ttl\":1",
            "line 3 (issue 7): a ttl must be an integer from 1000 to 86400000",
        ),
        (
            issue,
            "\"number\":7".to_owned(),
            "\"number\":0",
            "line 3 (issue 0): must be an integer from 1 to 9007199254740991",
        ),
        (issue, "\"behind\"".to_owned(), "\"colour\"", "line 3 (issue 7): unknown field `colour`"),
        (
            issue,
            "{\"issue\":{".to_owned(),
            "{\"issue\":{\"version\":3,",
            "line 3 (issue 7): a number that means nothing elsewhere",
        ),
        (issue, "\"held\"".to_owned(), "\"lost\"", "line 3 (issue 7): unknown variant `lost`"),
        (task, "\"id\":\"8:issue\"".to_owned(), "\"id\":\"\"", "line 3 (task ): a task's id must be 1 to 160 bytes"),
        (
            task,
            "\"priority\":50".to_owned(),
            "\"priority\":5000",
            "line 3 (task 8:issue): must be an integer from 0 to 1000",
        ),
        (
            task,
            "\"priority\"".to_owned(),
            "\"payload\":\"{\",\"priority\"",
            "line 3 (task 8:issue): a payload must be valid JSON",
        ),
    ] {
        let hurt = line.replacen(&old, new, 1);
        assert_ne!(hurt, *line, "{old} is not there");
        assert!(wrong(&hurt).starts_with(says), "{} for {hurt}", wrong(&hurt));
    }
}
