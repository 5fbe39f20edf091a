//! Who has what: as much of the project as it takes to say what a process works on, or worked on last.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use poppo::{Issue, IssueNumber, Process, ProcessState, Status};

/// A run of an issue: the one that goes on, or the last.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Work {
    pub(super) process: Option<String>,
    pub(super) held: bool,
    pub(super) status: Status,
    pub(super) task_type: Option<String>,
    /// When it began or, where it has ended, when that was.
    pub(super) time: String,
}

impl Work {
    pub(super) fn of(issue: &Issue) -> Self {
        let held = issue.status == Status::Processing;
        let time = if held { &issue.start_time } else { &issue.end_time };
        Self {
            process: issue.process.clone(),
            held,
            status: issue.status,
            task_type: issue.task_type.clone(),
            time: time.as_ref().map(ToString::to_string).unwrap_or_default(),
        }
    }
}

/// A process.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Person {
    pub(super) pid: Option<u32>,
    pub(super) host: Option<String>,
    pub(super) tmux: Option<String>,
    pub(super) last_seen: Option<String>,
    pub(super) alive: bool,
}

impl Person {
    fn of(process: &Process) -> Self {
        Self {
            pid: process.pid,
            host: process.host.clone(),
            tmux: process.tmux.clone(),
            last_seen: process.last_seen.as_ref().map(ToString::to_string),
            alive: process.state == ProcessState::Alive,
        }
    }

    /// Its holder, as an issue that is held tells it.
    fn holding(issue: &Issue) -> Self {
        Self {
            pid: issue.pid,
            host: issue.host.clone(),
            tmux: issue.tmux.clone(),
            last_seen: issue.last_seen.as_ref().map(ToString::to_string),
            alive: issue.orphan.is_none(),
        }
    }
}

/// All of it.
#[derive(Debug, Default)]
pub(super) struct Model {
    works: HashMap<IssueNumber, Work>,
    held: BTreeSet<IssueNumber>,
    /// By when they ended.
    ended: BTreeSet<(String, IssueNumber)>,
    /// By process; what is held behind what has ended, later ones behind earlier ones.
    by_process: HashMap<String, BTreeSet<(bool, String, IssueNumber)>>,
    people: BTreeMap<String, Person>,
}

impl Model {
    pub(super) fn new(issues: &[Issue], processes: &[Process]) -> Self {
        let mut model = Self::default();
        for issue in issues {
            model.put(issue.issue, Some(Work::of(issue)));
        }
        model.meet(processes);
        model
    }

    /// An issue as it is now; answers the processes of which something else is true since.
    pub(super) fn see(&mut self, number: IssueNumber, issue: Option<&Issue>) -> BTreeSet<String> {
        let before = self.put(number, issue.map(Work::of)).and_then(|work| work.process);
        let now = issue.and_then(|issue| issue.process.clone());
        if let Some((issue, process)) = issue.zip(now.as_ref()).filter(|(issue, _)| issue.status == Status::Processing)
        {
            let person = Person::holding(issue);
            // An older life of a name may hold something still; a newer one is who it is now.
            if person.alive || !self.people.contains_key(process) {
                self.people.insert(process.clone(), person);
            }
        }
        before.into_iter().chain(now).collect()
    }

    /// The processes as they are now; answers those of which something else is true since.
    pub(super) fn meet(&mut self, processes: &[Process]) -> BTreeSet<String> {
        let mut people: BTreeMap<String, Person> = BTreeMap::new();
        for process in processes {
            let person = Person::of(process);
            let rank = |person: &Person| (person.alive, person.last_seen.clone());
            let other = people.get(&process.process);
            if other.is_none_or(|other| rank(other) < rank(&person)) {
                people.insert(process.process.clone(), person);
            }
        }
        let changed = people.iter().filter(|(name, person)| self.people.get(*name) != Some(person));
        let gone = self.people.keys().filter(|name| !people.contains_key(*name));
        let changed = changed.map(|(name, _)| name).chain(gone).cloned().collect();
        self.people = people;
        changed
    }

    /// A process was heard of at this time.
    pub(super) fn heard_of(&mut self, process: &str, at: String) {
        if let Some(person) = self.people.get_mut(process) {
            person.last_seen = Some(at);
            person.alive = true;
        }
    }

    pub(super) fn person(&self, process: &str) -> Option<&Person> {
        self.people.get(process)
    }

    pub(super) fn people(&self) -> impl Iterator<Item = &String> {
        self.people.keys()
    }

    /// What a process works on, or worked on last.
    pub(super) fn work(&self, process: &str) -> Option<(u64, &Work)> {
        let (_, _, number) = self.by_process.get(process)?.last()?;
        Some((number.get(), self.works.get(number)?))
    }

    pub(super) fn issues(&self) -> Vec<IssueNumber> {
        self.works.keys().copied().collect()
    }

    pub(super) fn knows(&self, issue: IssueNumber) -> bool {
        self.works.contains_key(&issue)
    }

    pub(super) fn held(&self) -> &BTreeSet<IssueNumber> {
        &self.held
    }

    /// Some issues that ended longest ago: those that go without a word where the project keeps so many only.
    pub(super) fn oldest(&self, count: usize) -> Vec<IssueNumber> {
        self.ended.iter().take(count).map(|(_, number)| *number).collect()
    }

    /// What was there before.
    fn put(&mut self, number: IssueNumber, work: Option<Work>) -> Option<Work> {
        let before = self.works.remove(&number);
        if let Some(before) = &before {
            self.ended.remove(&(before.time.clone(), number));
            if let Some(process) = &before.process
                && let Some(works) = self.by_process.get_mut(process)
            {
                works.remove(&(before.held, before.time.clone(), number));
                if works.is_empty() {
                    self.by_process.remove(process);
                }
            }
        }
        self.held.remove(&number);
        if let Some(work) = work {
            if let Some(process) = &work.process {
                let place = (work.held, work.time.clone(), number);
                self.by_process.entry(process.clone()).or_default().insert(place);
            }
            if work.held {
                self.held.insert(number);
            } else {
                self.ended.insert((work.time.clone(), number));
            }
            self.works.insert(number, work);
        }
        before
    }
}
