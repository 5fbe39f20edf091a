//! What the demo comes to: who had what, and whether each issue was done exactly once.

use std::collections::BTreeMap;
use std::process::ExitCode;

use poppo::{Block, Error, Event, EventKind, Issue, IssueNumber, Project, Status};

use super::Task;
use super::journal::Verdict;
use crate::exit::{FAILED, Failure};
use crate::output::{Field, Output, Table, Tone};

/// How many events are asked for at a time.
const EVENTS_PER_CALL: u32 = 1000;

/// How things stand at the end, as the server tells it.
pub(crate) struct Outcome {
    issues: Vec<Issue>,
    /// How often each issue was checked in as completed, by the project's log.
    done: BTreeMap<IssueNumber, usize>,
    revived: usize,
}

impl Outcome {
    pub(crate) async fn of(project: &Project) -> Result<Self, Error> {
        let mut events: Vec<Event> = Vec::new();
        loop {
            let after = events.last().map_or(0, |event| event.id);
            let page = project.events(after, Some(EVENTS_PER_CALL), Block::No).await?;
            if page.is_empty() {
                break;
            }
            events.extend(page);
        }
        let mut done = BTreeMap::new();
        let is_done = |event: &&Event| event.event == EventKind::Checkin && event.status == Some(Status::Completed);
        for issue in events.iter().filter(is_done).filter_map(|event| event.issue) {
            *done.entry(issue).or_default() += 1;
        }
        let revived = events.iter().filter(|event| event.event == EventKind::Revive).count();
        Ok(Self { issues: project.list_all(None).await?, done, revived })
    }

    /// The sentences that ought not to be true.
    fn faults(&self, tasks: &[Task]) -> Vec<String> {
        let mut faults = Vec::new();
        for task in tasks {
            match self.done.get(&task.number).copied().unwrap_or_default() {
                0 => faults.push(format!("issue {} was not completed", task.number)),
                1 => {}
                times => faults.push(format!("issue {} was completed {times} times", task.number)),
            }
        }
        let strange = self.issues.iter().filter(|issue| !tasks.iter().any(|task| task.number == issue.issue));
        faults.extend(strange.map(|issue| format!("nobody queued issue {}", issue.issue)));
        faults
    }

    /// Says it all.
    pub(crate) fn conclude(
        &self,
        verdict: &Verdict,
        tasks: &[Task],
        workers: usize,
        out: Output,
    ) -> Result<ExitCode, Failure> {
        let faults = self.faults(tasks);
        if out.json {
            out.document(&self.as_json(verdict, workers, &faults))?;
        } else {
            out.table(&self.table(verdict, tasks), "no issues")?;
            out.line("")?;
        }
        if !verdict.held_twice.is_empty() {
            return Ok(ExitCode::from(FAILED));
        }
        if !faults.is_empty() {
            return Err(Failure::failed(faults.join("; ")));
        }
        if !out.json {
            let sentence = format!(
                "No issue was ever held twice, and each was done exactly once ({} issues, {workers} workers, {} claims, \
                 {} failures, {} revived, {} repaired, {} refused as STALE).",
                self.issues.len(),
                verdict.claims(),
                verdict.failed,
                self.revived,
                verdict.repaired,
                verdict.refused_as_stale
            );
            out.line(&out.paint(&sentence, Tone::Good))?;
        }
        Ok(ExitCode::SUCCESS)
    }

    fn table(&self, verdict: &Verdict, tasks: &[Task]) -> Table {
        let by_number: BTreeMap<IssueNumber, &Task> = tasks.iter().map(|task| (task.number, task)).collect();
        let mut table = Table::new(&["ISSUE", "PRIORITY", "OUTCOME", "HELD BY (TOKEN)", "TITLE"]);
        for issue in &self.issues {
            let holds = verdict.holds.get(&issue.issue).map(Vec::as_slice).unwrap_or_default();
            let holders: Vec<String> = holds
                .iter()
                .map(|hold| {
                    let fate = if hold.repaired { ", repaired" } else { "" };
                    format!("{} ({}{fate})", hold.worker, hold.token)
                })
                .collect();
            let task = by_number.get(&issue.issue);
            table.row([
                Field::number(issue.issue),
                Field::optional(task.map(|task| task.priority)),
                Field::status(issue.status),
                Field::toned(holders.join(", then "), if holds.len() > 1 { Tone::Warning } else { Tone::Plain }),
                Field::from(task.map(|task| task.title.as_str()).unwrap_or_default()),
            ]);
        }
        table
    }

    fn as_json(&self, verdict: &Verdict, workers: usize, faults: &[String]) -> serde_json::Value {
        let issues: Vec<_> = self
            .issues
            .iter()
            .map(|issue| {
                let holds: Vec<_> = verdict
                    .holds
                    .get(&issue.issue)
                    .into_iter()
                    .flatten()
                    .map(|hold| {
                        serde_json::json!({
                            "worker": hold.worker, "token": hold.token, "repaired": hold.repaired
                        })
                    })
                    .collect();
                let done = self.done.get(&issue.issue).copied().unwrap_or_default();
                serde_json::json!({ "issue": issue.issue, "status": issue.status, "done": done, "holds": holds })
            })
            .collect();
        serde_json::json!({
            "issues": issues,
            "workers": workers,
            "claims": verdict.claims(),
            "failed": verdict.failed,
            "revived": self.revived,
            "repaired": verdict.repaired,
            "refusedAsStale": verdict.refused_as_stale,
            "heldTwice": verdict.held_twice,
            "faults": faults,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_done_twice_or_not_at_all_is_a_fault() {
        let number = |number: u64| IssueNumber::try_from(number).ok();
        let tasks: Vec<Task> = super::super::read_tasks(super::super::ISSUES).unwrap_or_default();
        let mut done: BTreeMap<IssueNumber, usize> = tasks.iter().map(|task| (task.number, 1)).collect();
        let outcome = |done: &BTreeMap<_, _>| Outcome { issues: Vec::new(), done: done.clone(), revived: 0 };
        assert_eq!(outcome(&done).faults(&tasks), Vec::<String>::new());
        done.extend(number(1287).map(|number| (number, 2)));
        assert_eq!(outcome(&done).faults(&tasks), ["issue 1287 was completed 2 times"]);
        done.retain(|found, _| Some(*found) != number(1287));
        assert_eq!(outcome(&done).faults(&tasks), ["issue 1287 was not completed"]);
    }
}
