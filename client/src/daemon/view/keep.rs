//! Keeping the view: whoever takes the seat compares it with the whole project, then follows the log. What the log does not
//! tell, signs of life and tasks that fall due, is looked at every few seconds.

use std::time::{Duration, SystemTime};

use poppo::{Block, Error, Event, EventKind, IssueNumber, TaskState, Token};
use tokio::time::{Instant, sleep};
use tracing::{debug, info};

use super::super::board::Health;
use super::super::duty::Trouble;
use super::super::seat::{self, Seat};
use super::changes::{Changes, Entry};
use super::layout::{LEVELS, level};
use super::{AT_ONCE, State, View, entry};
use crate::follow;

/// For how long the server is asked to wait for the next event.
const ROUND: Duration = Duration::from_secs(1);
/// How many events are asked for at a time.
const EVENTS_PER_CALL: u32 = 1000;
/// How often it is looked for what somebody wrote by hand.
const GLANCE: Duration = Duration::from_secs(2);
/// How often processes, tasks and the log's identity are looked at.
const SWEEP: Duration = Duration::from_secs(5);
/// How often everything is compared, unless that takes long: then it is given so many times that time.
const REBUILD: (Duration, u32) = (Duration::from_secs(600), 50);
/// Where the log is so short that it is missed again and again: so many times the time that it took lie between.
const AGAIN: u32 = 5;
/// How often tasks are listed while they change, likewise.
const TASKS: (Duration, u32) = (Duration::from_millis(100), 10);
/// How many held issues are looked at in each sweep.
const HELD_AT_ONCE: usize = 256;
/// The pause before what failed is tried again.
const PAUSE: Duration = Duration::from_millis(500);
/// How many entries of the book are asked for at a time.
const ENTRIES: &str = "1000";

/// Where a reading of the log is, and what is due when.
struct Reading {
    token: Token,
    /// The event that was read last; 0 before the first.
    last: u64,
    seen: Option<Event>,
    glance: Instant,
    sweep: Instant,
    rebuild: Instant,
    /// When everything may be compared again, if there is a reason to.
    again: Instant,
    tasks: Instant,
    tasks_changed: bool,
    /// The last of the held issues that were looked at.
    looked_at: u64,
}

impl View {
    /// Until the daemon ends.
    pub(in super::super) async fn run(self: std::sync::Arc<Self>, health: Health) -> Result<(), Trouble> {
        if self.site.project.client().is_cluster() {
            health.off("the older keys are in several slots, and who reads them knows no cluster");
            self.site.stop.cancelled().await;
            return Ok(());
        }
        let mut seat = self.seat.clone();
        loop {
            match seat.trouble() {
                Some(why) => health.ailing(why),
                None => health.well(),
            }
            let Some(token) = seat.term() else {
                tokio::select! {
                    () = self.site.stop.cancelled() => return Ok(()),
                    () = seat.change() => continue,
                }
            };
            let ended = tokio::select! {
                () = self.site.stop.cancelled() => return Ok(()),
                ended = self.keep(token, &health) => ended,
            };
            self.metrics.lag.get_or_create(&self.label()).set(0);
            if let Err(error) = ended
                && !seat::is_unseated(&error)
            {
                health.ailing(error.to_string());
                sleep(PAUSE).await;
            }
        }
    }

    /// For as long as we have the seat by this token.
    async fn keep(&self, token: Token, health: &Health) -> Result<(), Error> {
        let now = Instant::now();
        let mut reading = Reading {
            token,
            last: 0,
            seen: None,
            glance: now,
            sweep: now + SWEEP,
            rebuild: now,
            again: now,
            tasks: now,
            tasks_changed: true,
            looked_at: 0,
        };
        while self.seat.term() == Some(token) {
            if reading.rebuild <= Instant::now() {
                self.rebuild(&mut reading).await?;
                info!(project = self.site.project.key(), "the view of the older keys is complete");
            }
            health.well();
            self.follow(&mut reading).await?;
            if reading.glance <= Instant::now() {
                self.look_for_strangers(token).await?;
                reading.glance = Instant::now() + GLANCE;
            }
            if reading.sweep <= Instant::now() {
                self.sweep(&mut reading).await?;
                reading.sweep = Instant::now() + SWEEP;
            }
            if reading.tasks_changed && reading.tasks <= Instant::now() {
                let began = Instant::now();
                self.show_tasks(token).await?;
                reading.tasks_changed = false;
                reading.tasks = Instant::now() + TASKS.0.max(began.elapsed() * TASKS.1);
            }
        }
        Ok(())
    }

    /// Compares everything with the project.
    async fn rebuild(&self, reading: &mut Reading) -> Result<(), Error> {
        let (began, token) = (Instant::now(), reading.token);
        reading.last = self.site.project.newest_event().await?;
        reading.seen = None;
        let (issues, people) = {
            let mut state = self.state.lock().await;
            state.term = None;
            self.read(&mut state, token).await?;
            (state.model.issues(), state.model.people().cloned().collect::<Vec<String>>())
        };
        self.refresh(token, &issues).await?;
        for some in people.chunks(AT_ONCE) {
            let (mut state, mut changes) = (self.state.lock().await, Changes::default());
            self.show_processes(&mut state, some, &mut changes);
            self.make(&mut state, token, changes).await?;
        }
        self.show_tasks(token).await?;
        self.drop_stale(token).await?;
        self.forget_cleaned(token).await?;
        self.metrics.rebuilds.get_or_create(&self.label()).inc();
        let now = Instant::now();
        reading.rebuild = now + REBUILD.0.max(began.elapsed() * REBUILD.1);
        reading.again = now + began.elapsed() * AGAIN;
        self.sign(reading).await
    }

    /// Shows these issues as they are now.
    async fn refresh(&self, token: Token, numbers: &[IssueNumber]) -> Result<(), Error> {
        for some in numbers.chunks(AT_ONCE) {
            let (mut state, mut changes) = (self.state.lock().await, Changes::default());
            self.show(&mut state, some, &mut changes).await?;
            self.make(&mut state, token, changes).await?;
            self.meet(&mut state, token, some).await?;
        }
        Ok(())
    }

    /// Removes what the book has and the project has not.
    async fn drop_stale(&self, token: Token) -> Result<(), Error> {
        let script = "local page = redis.call('HSCAN', KEYS[1], ARGV[1], 'COUNT', ARGV[2])
            local words = {page[1]}
            for i = 1, #page[2], 2 do words[#words + 1] = page[2][i] end
            return words";
        let mut cursor = "0".to_owned();
        loop {
            let mut page = self.script(script, &[&self.book()], &[cursor, ENTRIES.to_owned()]).await?.into_iter();
            cursor = page.next().unwrap_or_default();
            let (mut state, mut changes) = (self.state.lock().await, Changes::default());
            for found in page.filter_map(|entry| Entry::parse(&entry)) {
                let is_there = match &found {
                    Entry::Issue(number) => state.model.knows(*number),
                    Entry::Process(process) => state.model.person(process).is_some(),
                    Entry::Task(task) => state.tasks.contains(task),
                };
                if !is_there {
                    changes.drop_entry(&found, &self.layout);
                }
            }
            self.make(&mut state, token, changes).await?;
            drop(state);
            if matches!(cursor.as_str(), "0" | "") {
                return Ok(());
            }
        }
    }

    /// Forgets of those that were cleaned up who was heard of since, or is unknown by now.
    async fn forget_cleaned(&self, token: Token) -> Result<(), Error> {
        let mut state = self.state.lock().await;
        let State { model, cleaned, .. } = &mut *state;
        let is_over = |process: &str, seen: &String| {
            model.person(process).is_none_or(|person| person.last_seen.as_ref() != Some(seen))
        };
        let over: Vec<String> = cleaned
            .iter()
            .filter(|(process, seen)| is_over(process, seen))
            .map(|(process, _)| process.clone())
            .collect();
        let script = Seat::script("for i = 2, #ARGV do redis.call('HDEL', KEYS[2], ARGV[i]) end return {}");
        for some in over.chunks(AT_ONCE) {
            let arguments = [&[token.to_string()], some].concat();
            self.script(&script, &[self.seat.key(), &self.place(":cleaned")], &arguments).await?;
            cleaned.retain(|process, _| !some.contains(process));
        }
        Ok(())
    }

    /// What happened since, or what happens within a round.
    async fn follow(&self, reading: &mut Reading) -> Result<(), Error> {
        let project = &self.site.project;
        // Tasks that were not listed yet are not to wait for a whole round.
        let round = if reading.tasks_changed { TASKS.0 } else { ROUND };
        let events = project.events(reading.last, Some(EVENTS_PER_CALL), Block::AtMost(round)).await?;
        let Some(newest) = events.last() else {
            self.metrics.lag.get_or_create(&self.label()).set(0);
            return Ok(());
        };
        if events.iter().any(|event| event.event == EventKind::Trimmed) {
            debug!(project = project.key(), "the log no longer has what follows what was read");
            reading.rebuild = reading.rebuild.min(reading.again);
        }
        let mut numbers: Vec<IssueNumber> = events.iter().filter_map(|event| event.issue).collect();
        numbers.sort_unstable();
        numbers.dedup();
        self.refresh(reading.token, &numbers).await?;
        let oldest = events.iter().find_map(|event| event.at.as_ref()?.to_system_time());
        if let Some(oldest) = oldest {
            let lag = project.client().time().await?.duration_since(oldest).unwrap_or_default();
            self.metrics.lag.get_or_create(&self.label()).set(i64::try_from(lag.as_millis()).unwrap_or(i64::MAX));
        }
        reading.last = newest.id;
        reading.seen = Some(newest.clone());
        reading.tasks_changed = true;
        Ok(())
    }

    /// What the log does not tell.
    async fn sweep(&self, reading: &mut Reading) -> Result<(), Error> {
        if follow::gap(&self.site.project, reading.last, reading.seen.as_ref()).await?.is_some() {
            info!(project = self.site.project.key(), "the log is not the one that was read so far");
            reading.rebuild = reading.rebuild.min(reading.again);
            return Ok(());
        }
        let processes = self.site.project.all_processes().await?;
        let changed: Vec<String> = {
            let mut state = self.state.lock().await;
            state.model.meet(&processes).into_iter().collect()
        };
        for some in changed.chunks(AT_ONCE) {
            let (mut state, mut changes) = (self.state.lock().await, Changes::default());
            self.show_processes(&mut state, some, &mut changes);
            self.make(&mut state, reading.token, changes).await?;
        }
        self.look_at_held(reading).await?;
        self.drop_forgotten(reading.token).await?;
        reading.tasks_changed = true;
        self.sign(reading).await
    }

    /// Looks at some issues that are held, others each time: whoever has one may say another type or, of all it has, another
    /// PID, without an event.
    async fn look_at_held(&self, reading: &mut Reading) -> Result<(), Error> {
        let some: Vec<IssueNumber> = {
            let state = self.state.lock().await;
            let behind = state.model.held().iter().filter(|number| number.get() > reading.looked_at);
            behind.take(HELD_AT_ONCE).copied().collect()
        };
        // At the end, it begins anew.
        reading.looked_at = if some.len() == HELD_AT_ONCE { some.last().map_or(0, |number| number.get()) } else { 0 };
        self.refresh(reading.token, &some).await
    }

    /// Removes the issues that the project keeps no longer, which it does without a word, those that ended first first.
    async fn drop_forgotten(&self, token: Token) -> Result<(), Error> {
        loop {
            let oldest = self.state.lock().await.model.oldest(AT_ONCE);
            self.refresh(token, &oldest).await?;
            let state = self.state.lock().await;
            if oldest.is_empty() || oldest.iter().any(|number| state.model.knows(*number)) {
                return Ok(());
            }
        }
    }

    /// Writes down up to which event the view is right, and when it was.
    async fn sign(&self, reading: &Reading) -> Result<(), Error> {
        let now = self.site.project.client().time().await?;
        let now = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_millis();
        let script =
            Seat::script("redis.call('HSET', KEYS[2], 'event', ARGV[2], 'at', ARGV[3], 'host', ARGV[4]) return {}");
        let arguments =
            [reading.token.to_string(), reading.last.to_string(), now.to_string(), self.site.host.to_string()];
        self.script(&script, &[self.seat.key(), &self.signature()], &arguments).await.map(drop)
    }

    /// The tasks that wait, in the order in which they are served.
    async fn waiting(&self) -> Result<Vec<poppo::Task>, Error> {
        let mut tasks = self.site.project.all_tasks(TaskState::Waiting).await?;
        tasks.sort_by_key(|task| std::cmp::Reverse(task.priority));
        Ok(tasks)
    }

    /// Shows the tasks that wait.
    async fn show_tasks(&self, token: Token) -> Result<(), Error> {
        let tasks = self.waiting().await?;
        let mut changes = Changes::default();
        let mut state = self.state.lock().await;
        let ids = tasks.iter().map(|task| task.task.clone()).collect();
        for gone in std::mem::replace(&mut state.tasks, ids).difference(&state.tasks) {
            changes.drop_entry(&Entry::Task(gone.clone()), &self.layout);
        }
        for (name, _) in LEVELS {
            let of_level = tasks.iter().filter(|task| level(task.priority) == name);
            changes.list(self.layout.queue(name), of_level.map(|task| task.task.clone()).collect());
        }
        self.make(&mut state, token, changes).await?;
        for some in tasks.chunks(AT_ONCE) {
            let mut changes = Changes::default();
            for task in some {
                changes.book(&Entry::Task(task.task.clone()));
                changes.hash(self.layout.task(&task.task), entry::task(task));
            }
            self.make(&mut state, token, changes).await?;
        }
        Ok(())
    }
}
