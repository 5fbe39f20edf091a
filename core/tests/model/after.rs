//! Projects at the end of histories, and whether one can be lived with.

use poppo_core::{Instant, MAX_INTEGER, Now, Project, Setting, Status};

use super::histories::{Action, History, Step, Targets};
use super::views::{bytes, claims_alike, load, look};
use super::{Model, apply};

/// The project at the end of a history.
pub(crate) fn project_after(History { wide, begin, steps }: &History) -> (Project, Now) {
    let mut model = Model::new(*begin);
    let mut project = Project::new(*begin);
    let mut at = *begin;
    let mut tokens = Vec::new();
    for step in steps {
        at = step.time(at, &model.moments());
        let now = Now::primary(at);
        if let Action::Write(commands) = step.action(*wide, &Targets::of(&model, now, &tokens)) {
            for command in commands {
                let _ = model.apply(now, &command);
                tokens.extend(apply(&mut project, now, &command).ok().and_then(|answer| answer.token()));
            }
        }
    }
    (project, Now::primary(at))
}

/// Everything that loads is a project like any other.
pub(crate) fn use_it(mut project: Project, mut now: Now, wide: bool, steps: &[Step]) {
    for at in [Instant::EPOCH, now.at, Instant::from_micros(MAX_INTEGER)] {
        look(&project, Now::primary(at), 3);
    }
    for step in steps {
        now.at = step.time(now.at, &[]);
        // Sometimes the clock is out of its mind.
        if step.judge.1 < 10 {
            now.at = [Instant::EPOCH, Instant::from_micros(u64::MAX)][usize::from(step.judge.1 % 2)];
        }
        if let Action::Write(commands) = step.action(wide, &Targets::of_project(&project, now)) {
            for command in commands {
                let before = bytes(&project);
                let changed = apply(&mut project, now, &command).is_ok_and(|answer| answer.changed());
                assert!(changed || bytes(&project) == before, "a refusal changes nothing");
            }
        }
    }
    let pieces = bytes(&project);
    let loaded = load(&pieces).expect("what was written can be read");
    assert_eq!(bytes(&loaded), pieces, "what was read is written as it was");
    claims_alike(&project);
    let (sight, before) = (look(&loaded, now, 7), look(&project, now, 7));
    assert_eq!(sight.without_what_was_noticed(), before.without_what_was_noticed());
    // Every finished issue is known as such, so that it goes when it is over the limit.
    for _ in 0..=project.issue_count() / 16 {
        project.configure(now, &[(Setting::IssuesKept, 1)]);
    }
    let queued = project.stats(now).issues[Status::Queued as usize];
    let finished = project.issue_count() as u64 - project.leases() - queued;
    assert!(finished <= 1, "{finished} finished issues are kept");
}
