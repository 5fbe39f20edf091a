//! `HEARTBEAT`, by which a process renews all its leases, and `LIVENESS`, the word of its host's agent.

use compact_str::CompactString;

use crate::checkin::Effect;
use crate::held::Held;
use crate::life::{Life, LifeId, Progress, Standing};
use crate::project::Project;
use crate::refusal::Refusal;
use crate::types::{Instant, IssueNumber, Millis, Name, Now, Pid, Text, Token};

/// One beat of a process.
#[derive(Debug, Clone, Copy)]
pub struct Heartbeat<'a> {
    /// Who beats.
    pub process: Name<'a>,
    /// Which life; none is whichever is current.
    pub incarnation: Option<Name<'a>>,
    /// A new time to live.
    pub ttl: Option<Millis>,
    /// What the work itself reports.
    pub progress: Option<Text<'a>>,
}

/// The answer to a beat.
#[derive(Debug, Clone, Copy)]
pub struct Pulse<'a> {
    project: &'a Project,
    life: LifeId,
    /// For how long the beat holds.
    pub ttl: Millis,
}

impl<'a> Pulse<'a> {
    /// How many issues the process holds.
    pub fn held(&self) -> usize {
        self.project.held_by(self.life).map_or(0, Held::len)
    }

    /// Whether claims get nothing.
    pub fn drain(&self) -> bool {
        self.project.head.drain
    }

    /// The issues that the process was asked to stop, by number.
    pub fn cancel(&self) -> impl Iterator<Item = IssueNumber> + use<'a> {
        self.project.index.asked(self.life)
    }

    /// The issues that the process holds, with their tokens, by number.
    pub fn leases(&self) -> impl Iterator<Item = (IssueNumber, Token)> + use<'a> {
        let project = self.project;
        project
            .held_by(self.life)
            .into_iter()
            .flat_map(|held| held.behind(None))
            .filter_map(|number| Some((number, project.issues.get(&number)?.token)))
    }
}

/// What a host agent says of a process.
#[derive(Debug, Clone, Copy)]
pub struct Liveness<'a> {
    /// The process.
    pub process: Name<'a>,
    /// Whether the PID is there.
    pub alive: bool,
    /// The agent's host.
    pub host: Name<'a>,
    /// The PID that it watched.
    pub pid: Pid,
    /// The incarnation that it verified.
    pub incarnation: Option<Name<'a>>,
}

impl Project {
    /// Renews all leases of a process.
    ///
    /// # Errors
    /// [`Refusal::NoProcess`] where this life is not known; nothing changes then.
    pub fn heartbeat(&mut self, now: Now, request: &Heartbeat<'_>) -> Result<Pulse<'_>, Refusal> {
        let known = self.current_life(request.process).filter(|(_, life)| life.may_be(request.incarnation));
        let Some((id, life)) = known else {
            return Err(Refusal::NoProcess { process: request.process.to_string() });
        };
        let ttl = request.ttl.unwrap_or(life.ttl);
        let news = request.progress.map(|text| {
            let progress = Progress { text: CompactString::new(text.as_str()), at: now.at };
            let mut life = Life { progress: Some(Box::new(progress)), ..life.clone() };
            life.beat(now.at, request.ttl);
            life
        });
        self.change(now, |project| {
            project.head.totals.heartbeats += 1;
            match news {
                Some(life) => project.set_life(id, Some(life)),
                None => {
                    project.beat(now.at, id, request.ttl);
                }
            }
        });
        Ok(Pulse { project: self, life: id, ttl })
    }

    /// Takes a host agent's word. Answers how many of the process's issues are orphans now; 0 where it is not believed.
    pub fn liveness(&mut self, now: Now, request: &Liveness<'_>) -> (u64, Effect) {
        let Some((id, life)) = self.current_life(request.process) else { return (0, Effect::Unchanged) };
        let same_incarnation = match (&life.incarnation, request.incarnation) {
            (Some(known), Some(given)) => known.as_str() == given.as_str(),
            _ => true,
        };
        let host = life.host.map(|host| self.names.get(host));
        if host != Some(request.host.as_str()) || life.pid != Some(request.pid) || !same_incarnation {
            return (0, Effect::Unchanged);
        }
        let standing = Self::hear(life.standing, request.alive, now.at);
        let effect = if standing == life.standing {
            Effect::Unchanged
        } else {
            let mut life = life.clone();
            life.standing = standing;
            self.change(now, |project| project.set_life(id, Some(life)));
            Effect::Changed
        };
        let orphaned = self.lives.get(&id).is_some_and(|life| self.orphaned(life, now).is_some());
        let held = if orphaned { self.held_by(id).map_or(0, Held::len) } else { 0 };
        (held as u64, effect)
    }

    /// What a believed word makes of a current life's standing.
    fn hear(standing: Standing, alive: bool, at: Instant) -> Standing {
        match (alive, standing) {
            (true, _) => Standing::Current { attested: Some(at) },
            // Called dead before: it has been an orphan since the first word.
            (false, Standing::Dead { at }) => Standing::Dead { at },
            (false, _) => Standing::Dead { at },
        }
    }
}
