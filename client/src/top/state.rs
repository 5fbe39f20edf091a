//! What is known, what is looked at, and what the keys do to it. Nothing is asked here, and nothing drawn.

use std::collections::VecDeque;
use std::time::{Duration, Instant, SystemTime};

use poppo::Stats;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::Look;
use super::actions::Action;
use super::snapshot::Snapshot;

/// A part of the screen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pane {
    Leases,
    Queue,
    Processes,
    Orphans,
    Events,
}

impl Pane {
    pub(super) const ALL: [Self; 5] = [Self::Leases, Self::Queue, Self::Processes, Self::Orphans, Self::Events];

    pub(super) fn index(self) -> usize {
        Self::ALL.iter().position(|pane| *pane == self).unwrap_or_default()
    }

    fn moved(self, by: usize) -> Self {
        let next = (self.index() + by) % Self::ALL.len();
        Self::ALL.get(next).copied().unwrap_or(self)
    }
}

/// Something that is asked before it is done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Question {
    pub(super) text: String,
    /// What each key does. Any other key does nothing.
    pub(super) answers: Vec<(char, Action)>,
}

/// What a key leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Reaction {
    Nothing,
    Quit,
    Do(Action),
}

/// Which row is looked at: the same thing after each refresh, wherever it is by then.
#[derive(Debug, Clone, Default)]
struct Selection {
    row: usize,
    key: Option<String>,
}

/// For how long figures are kept to compute rates from.
const WINDOW: Duration = Duration::from_secs(60);

/// Totals at one moment.
#[derive(Debug, Clone, Copy)]
struct Totals {
    at: Instant,
    checkouts: u64,
    checkins: u64,
}

/// How much happens, a minute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Rates {
    pub(super) checkouts: u64,
    pub(super) checkins: u64,
}

/// Everything that the screen shows.
#[derive(Debug)]
pub(super) struct State {
    pub(super) server: String,
    pub(super) project: String,
    pub(super) look: Look,
    pub(super) snapshot: Option<Snapshot>,
    /// Since when the server is away, and why.
    pub(super) away: Option<(Instant, String)>,
    pub(super) pane: Pane,
    selections: [Selection; 5],
    pub(super) question: Option<Question>,
    pub(super) help: bool,
    /// What became of the last key.
    pub(super) message: Option<Result<String, String>>,
    totals: VecDeque<Totals>,
}

impl State {
    pub(super) fn new(server: &str, project: &str, look: Look) -> Self {
        Self {
            server: server.to_owned(),
            project: project.to_owned(),
            look,
            snapshot: None,
            away: None,
            pane: Pane::Leases,
            selections: Default::default(),
            question: None,
            help: false,
            message: None,
            totals: VecDeque::new(),
        }
    }

    /// The server's time now, as far as its last word tells.
    pub(super) fn now(&self) -> SystemTime {
        self.snapshot.as_ref().map_or_else(SystemTime::now, |snapshot| snapshot.time + snapshot.taken.elapsed())
    }

    /// The project was seen.
    pub(super) fn see(&mut self, snapshot: Snapshot) {
        if let Some(stats) = &snapshot.stats {
            self.count(snapshot.taken, stats);
        }
        self.snapshot = Some(snapshot);
        self.away = None;
        for pane in Pane::ALL {
            self.follow(pane);
        }
    }

    /// The server did not tell.
    pub(super) fn lose(&mut self, why: String) {
        let since = self.away.as_ref().map_or_else(Instant::now, |(since, _)| *since);
        self.away = Some((since, why));
    }

    /// Something was done, or not.
    pub(super) fn say(&mut self, result: Result<String, String>) {
        self.message = Some(result);
    }

    fn count(&mut self, at: Instant, stats: &Stats) {
        let sum = &stats.checkins;
        let checkins = sum.completed + sum.awaiting_response + sum.error + sum.cancelled;
        // A project that came into being anew begins at 0.
        if self.totals.back().is_some_and(|last| last.checkouts > stats.checkouts) {
            self.totals.clear();
        }
        self.totals.push_back(Totals { at, checkouts: stats.checkouts, checkins });
        while self.totals.front().is_some_and(|first| at.saturating_duration_since(first.at) > WINDOW) {
            self.totals.pop_front();
        }
    }

    /// How much happens; none before that can be told.
    pub(super) fn rates(&self) -> Option<Rates> {
        let (first, last) = (self.totals.front()?, self.totals.back()?);
        let time =
            u64::try_from(last.at.saturating_duration_since(first.at).as_millis()).ok().filter(|time| *time > 0)?;
        let a_minute = |from: u64, to: u64| to.saturating_sub(from).saturating_mul(60_000) / time;
        Some(Rates {
            checkouts: a_minute(first.checkouts, last.checkouts),
            checkins: a_minute(first.checkins, last.checkins),
        })
    }

    /// What tells the rows of a pane apart, in their order.
    fn keys(&self, pane: Pane) -> Vec<String> {
        let Some(snapshot) = &self.snapshot else { return Vec::new() };
        match pane {
            Pane::Leases => snapshot.leases.iter().map(|lease| lease.issue.to_string()).collect(),
            Pane::Queue => snapshot.tasks.iter().map(|task| task.task.clone()).collect(),
            Pane::Processes => snapshot.processes.iter().map(|process| process.process.clone()).collect(),
            Pane::Orphans => snapshot.orphans.iter().map(|orphan| orphan.issue.to_string()).collect(),
            Pane::Events => snapshot.events.iter().map(|event| event.id.to_string()).collect(),
        }
    }

    /// The row that is looked at.
    pub(super) fn selected(&self, pane: Pane) -> usize {
        self.selections.get(pane.index()).map_or(0, |selection| selection.row)
    }

    /// The same thing is looked at although its row may be another; where it is gone, what is in its place.
    fn follow(&mut self, pane: Pane) {
        let keys = self.keys(pane);
        let Some(selection) = self.selections.get_mut(pane.index()) else { return };
        // Who looks at the first event wants to see the newest.
        let stays = pane == Pane::Events && selection.row == 0;
        let place = keys.iter().position(|key| Some(key) == selection.key.as_ref()).filter(|_| !stays);
        selection.row = place.unwrap_or(selection.row).min(keys.len().saturating_sub(1));
        selection.key = keys.get(selection.row).cloned();
    }

    fn select(&mut self, row: impl FnOnce(usize, usize) -> usize) {
        let keys = self.keys(self.pane);
        if let Some(selection) = self.selections.get_mut(self.pane.index()) {
            selection.row = row(selection.row, keys.len()).min(keys.len().saturating_sub(1));
            selection.key = keys.get(selection.row).cloned();
        }
    }

    /// What a key does.
    pub(super) fn key(&mut self, key: KeyEvent) -> Reaction {
        let is_control = key.modifiers.contains(KeyModifiers::CONTROL);
        if is_control {
            return if key.code == KeyCode::Char('c') { Reaction::Quit } else { Reaction::Nothing };
        }
        if let Some(question) = self.question.take() {
            let answer = question.answers.into_iter().find(|(letter, _)| key.code == KeyCode::Char(*letter));
            return match answer {
                Some((_, action)) => Reaction::Do(action),
                None => {
                    self.message = Some(Ok("nothing was done".to_owned()));
                    Reaction::Nothing
                }
            };
        }
        if self.help {
            self.help = false;
            return Reaction::Nothing;
        }
        self.message = None;
        match key.code {
            KeyCode::Char('q') => return Reaction::Quit,
            KeyCode::Char('?') | KeyCode::F(1) => self.help = true,
            KeyCode::Tab | KeyCode::Right => self.pane = self.pane.moved(1),
            KeyCode::BackTab | KeyCode::Left => self.pane = self.pane.moved(Pane::ALL.len() - 1),
            KeyCode::Up | KeyCode::Char('k') => self.select(|row, _| row.saturating_sub(1)),
            KeyCode::Down | KeyCode::Char('j') => self.select(|row, _| row + 1),
            KeyCode::PageUp => self.select(|row, _| row.saturating_sub(10)),
            KeyCode::PageDown => self.select(|row, _| row + 10),
            KeyCode::Home => self.select(|_, _| 0),
            KeyCode::End => self.select(|_, rows| rows.saturating_sub(1)),
            KeyCode::Char(letter @ ('c' | 'e' | 'd' | 'r')) => match self.ask(letter) {
                Ok(question) => self.question = Some(question),
                Err(why) => self.message = Some(Err(why.to_owned())),
            },
            _ => {}
        }
        Reaction::Nothing
    }

    /// What is asked before a key is obeyed, or why there is nothing to ask.
    fn ask(&self, letter: char) -> Result<Question, &'static str> {
        let snapshot = self.snapshot.as_ref().ok_or("nothing is known of the project yet")?;
        let row = self.selected(self.pane);
        let task = snapshot.tasks.get(row).filter(|_| self.pane == Pane::Queue);
        let orphan = snapshot.orphans.get(row).filter(|_| self.pane == Pane::Orphans);
        let lease = match self.pane {
            Pane::Leases => snapshot.leases.get(row).map(|lease| (lease.issue, lease.token, lease.process.as_str())),
            _ => orphan.map(|orphan| (orphan.issue, Some(orphan.token), orphan.process.as_str())),
        };
        let yes = |text: String, action| Question { text, answers: vec![('y', action)] };
        match letter {
            'c' => match (lease, task) {
                (Some((issue, _, process)), _) => Ok(yes(
                    format!("Ask {process} to stop issue {issue}, and remove its waiting tasks?"),
                    Action::Cancel(issue),
                )),
                (None, Some(task)) if task.dead_time.is_none() => {
                    Ok(yes(format!("Remove the waiting tasks of issue {}?", task.issue), Action::Cancel(task.issue)))
                }
                _ => Err("c cancels a lease or a waiting task: choose one with Tab and the arrows"),
            },
            'e' => {
                let (issue, token, process) =
                    lease.ok_or("e ends a lease: choose one under leases or orphans with Tab and the arrows")?;
                let evict = |requeue| Action::Evict { issue, token, requeue };
                Ok(Question {
                    text: format!("Take issue {issue} from {process}? y: its task is dead then, r: it waits again"),
                    answers: vec![('y', evict(false)), ('r', evict(true))],
                })
            }
            'r' => {
                let dead = task.filter(|task| task.dead_time.is_some());
                let dead = dead.ok_or("r revives a dead task: choose one under queue with Tab and the arrows")?;
                Ok(yes(format!("Have the dead task {} wait again?", dead.task), Action::Revive(dead.task.clone())))
            }
            _ => {
                let is_drained = snapshot.stats.as_ref().is_some_and(|stats| stats.queue.drain > 0);
                let text = if is_drained { "Let tasks be claimed again?" } else { "Let no task be claimed any more?" };
                Ok(yes(text.to_owned(), Action::Drain(!is_drained)))
            }
        }
    }
}

#[cfg(test)]
#[path = "state_tests.rs"]
mod tests;
