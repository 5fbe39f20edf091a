//! A panic at any change inside any command leaves nothing half-changed. Needs the feature `fault-injection`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod model;

use std::cell::RefCell;
use std::collections::BTreeMap;

use poppo_core::{Effect, ExportCursor, MovedPiece, Now, Project, arm_fault, disarm_fault};

use model::after::project_after;
use model::histories::{Action, History, Targets, check, history, quietly};
use model::views::{bytes, claims_alike, compare, compare_claims, load, look};
use model::{Answer, Command, Model, apply};

/// Runs a command, once for each change in it with a panic there, at last without one.
fn write(project: &mut Project, now: Now, command: &Command) -> Result<Answer, poppo_core::Refusal> {
    let (before, seen) = (bytes(project), look(project, now, 10));
    let mut unharmed = project.clone();
    let expected = apply(&mut unharmed, now, command);
    let after = bytes(&unharmed);
    for nth in 1.. {
        arm_fault(nth);
        let outcome = quietly(|| apply(project, now, command));
        let armed = disarm_fault();
        match outcome {
            Err(words) => {
                assert!(words.contains("injected fault"), "{words}");
                assert!(expected.as_ref().is_ok_and(Answer::changed), "what changes nothing reaches no change");
                assert!(project.roll_back(), "there was something to take back");
                assert_eq!(bytes(project), before, "after a panic at change {nth}");
                assert_eq!(look(project, now, 10), seen, "after a panic at change {nth}");
                assert!(!project.roll_back(), "it was taken back");
                if nth % 8 == 1 {
                    claims_alike(project);
                }
            }
            Ok(answer) => {
                assert!(armed, "a fault was swallowed");
                assert_eq!(
                    nth > 1,
                    answer.as_ref().is_ok_and(Answer::changed),
                    "each change can fail, and nothing else"
                );
                assert_eq!(answer, expected, "after {nth} panics the command does what it would have done");
                assert_eq!(bytes(project), after);
                break;
            }
        }
    }
    assert!(!project.roll_back(), "a command that ended has nothing to take back");
    assert_eq!(bytes(project), after);
    expected
}

#[test]
fn a_command_that_panics_is_taken_back_as_if_it_had_never_been() {
    let panics = std::cell::Cell::new(0u32);
    let changed: RefCell<BTreeMap<String, u32>> = RefCell::default();
    check(250, history(50), |History { wide, begin, steps }, log| {
        let (mut model, mut project, mut at) = (Model::new(begin), Project::new(begin), begin);
        let mut tokens = Vec::new();
        let mut latest = at;
        for step in &steps {
            at = step.time(at, &model.moments());
            let now = Now { at, judge: step.judge() };
            // What is taken back makes the order of tasks anew, as a restart does. Only where the clock stepped back
            // can that be seen.
            if at < latest {
                project = load(&bytes(&project)).unwrap();
                model.forget_what_was_noticed();
            }
            latest = at.max(latest);
            match step.action(wide, &Targets::of(&model, now, &tokens)) {
                Action::Reload => {
                    project = load(&bytes(&project)).unwrap();
                    model.forget_what_was_noticed();
                }
                Action::Write(commands) => {
                    for command in commands {
                        log.push(format!("{} {:?} {command:?}", at.micros(), now.judge));
                        let answer = write(&mut project, now, &command);
                        assert_eq!(answer, model.apply(now, &command));
                        panics.set(panics.get() + u32::from(answer.is_ok()));
                        if answer.as_ref().is_ok_and(Answer::changed) {
                            let word = format!("{command:?}");
                            let word = word.split('(').next().unwrap().to_owned();
                            *changed.borrow_mut().entry(word).or_default() += 1;
                        }
                        tokens.extend(answer.ok().and_then(|answer| answer.token()));
                    }
                }
            }
            compare(&project, &model, now, 10);
            if step.args[10].is_multiple_of(4) {
                compare_claims(&project, &model, now);
            }
        }
    });
    assert!(panics.get() > 0);
    let changed = changed.into_inner();
    assert!(
        std::env::var_os("POPPO_CASES").is_some() || changed.len() == 14,
        "not every command changed something: {changed:?}"
    );
}

#[test]
fn an_import_that_panics_is_taken_back_as_if_it_had_never_been() {
    let panics = std::cell::Cell::new(0u32);
    check(60, (history(40), history(40)), |(one, other), log| {
        let ((source, _), (mut project, now)) = (project_after(&one), project_after(&other));
        let lines = source.export(now.at, ExportCursor::START, 10_000).lines.join("\n");
        log.clear();
        log.push(lines.clone());
        let piece = MovedPiece::parse(&lines).unwrap();
        let (before, seen) = (bytes(&project), look(&project, now, 10).without_what_was_noticed());
        let mut unharmed = project.clone();
        let expected = unharmed.import(now, &piece);
        for nth in 1.. {
            arm_fault(nth);
            let outcome = quietly(|| project.import(now, &piece));
            let armed = disarm_fault();
            let Err(words) = outcome else {
                assert!(armed, "a fault was swallowed");
                assert_eq!(outcome, Ok(expected));
                assert_eq!(nth > 1, expected.1 == Effect::Changed, "each change can fail, and nothing else");
                break;
            };
            assert!(words.contains("injected fault"), "{words}");
            assert!(project.roll_back(), "there was something to take back");
            assert_eq!(bytes(&project), before, "after a panic at change {nth}");
            // To look at everything after each of thousands of panics would take long.
            if nth % 16 == 1 {
                assert_eq!(look(&project, now, 10).without_what_was_noticed(), seen, "after a panic at change {nth}");
            }
            panics.set(panics.get() + 1);
        }
        assert_eq!(bytes(&project), bytes(&unharmed));
    });
    assert!(panics.get() > 1_000, "only {} panics", panics.get());
}
