//! `ORPHANS`: the leases whose holders are orphans, without looking at any other.

use crate::index::Deadlines;
use crate::life::LifeId;
use crate::project::Project;
use crate::types::{Instant, IssueNumber, Millis, Name, Now, OrphanReason, Pid, Token};

/// One lease whose holder is an orphan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Orphan<'a> {
    /// The issue.
    pub issue: IssueNumber,
    /// The lease's token, by which it can be repaired.
    pub token: Token,
    /// Who holds it.
    pub process: &'a str,
    /// The holder's PID.
    pub pid: Option<Pid>,
    /// The holder's host.
    pub host: Option<&'a str>,
    /// The task type.
    pub kind: Option<&'a str>,
    /// Why its holder is an orphan.
    pub reason: OrphanReason,
    /// Since when.
    pub since: Instant,
    /// The holder's last beat.
    pub last_seen: Instant,
}

impl Project {
    /// The orphaned leases, of one host where one is given: longest orphaned first, those of one process by issue
    /// number. Costs O(log P) and what is taken from it; during the restart grace also the silent ones it excuses.
    pub fn orphans<'a>(&'a self, now: Now, host: Option<Name<'_>>) -> impl Iterator<Item = Orphan<'a>> {
        self.orphaned_lives(now, host).flat_map(move |id| self.orphaned_leases(id, None, now))
    }

    /// How many leases are orphaned.
    pub fn orphan_count(&self, now: Now) -> u64 {
        self.orphaned_lives(now, None).filter_map(|id| self.held_by(id)).map(|held| held.len() as u64).sum()
    }

    /// The lives whose leases are orphans now, by number, and since when; [`Project::orphans_of`] tells their leases.
    pub fn orphaned_life_numbers(&self, now: Now) -> impl Iterator<Item = (u64, Instant)> {
        self.orphaned_lives(now, None)
            .filter_map(move |id| Some((id.0, self.orphaned(self.lives.get(&id)?, now)?.since)))
    }

    /// The orphaned leases of one life behind an issue, by issue number. Costs nothing for those before it.
    pub fn orphans_of(&self, life: u64, behind: Option<IssueNumber>, now: Now) -> impl Iterator<Item = Orphan<'_>> {
        self.orphaned_leases(LifeId(life), behind, now)
    }

    /// Grows whenever a life becomes an orphan whatever the clock says, dead or replaced, and perhaps in between. Only
    /// whether it changed means something; it is not part of what is stored.
    pub fn certain_news(&self) -> u64 {
        self.index.due(None).map_or(0, Deadlines::certain_news)
    }

    /// How long until silence may make the next life an orphan: its deadline, or the end of the restart grace for it.
    /// What is an orphan already does not count.
    pub fn next_deadline(&self, now: Now) -> Option<Millis> {
        let deadlines = self.index.due(None)?;
        let next = deadlines.after(now.at).map(|at| at.since(now.at).plus(Millis(1)));
        // Outside the grace nobody is excused, and those that have been orphans for long need not be looked at.
        if !now.in_grace() {
            return next;
        }
        let excused = deadlines.silent_until(now.at).filter_map(|id| self.lives.get(&id)?.excused_for(now)).min();
        next.into_iter().chain(excused).min()
    }

    fn orphaned_lives(&self, now: Now, host: Option<Name<'_>>) -> impl Iterator<Item = LifeId> {
        let deadlines = match host.map(|host| self.names.find(host.as_str())) {
            None => self.index.due(None),
            Some(None) => None,
            Some(Some(host)) => self.index.due(Some(host)),
        };
        deadlines
            .into_iter()
            .flat_map(move |deadlines| deadlines.until(now.at))
            .filter(move |id| self.lives.get(id).is_some_and(|life| self.orphaned(life, now).is_some()))
    }

    fn orphaned_leases(&self, id: LifeId, behind: Option<IssueNumber>, now: Now) -> impl Iterator<Item = Orphan<'_>> {
        let held = self.held_by(id).into_iter().flat_map(move |held| held.behind(behind));
        held.filter_map(move |number| {
            let (issue, _, life) = self.holder_of(number)?;
            let orphaned = self.orphaned(life, now)?;
            Some(Orphan {
                issue: number,
                token: issue.token,
                process: self.names.get(life.process),
                pid: life.pid,
                host: life.host.map(|host| self.names.get(host)),
                kind: issue.kind.map(|kind| self.names.get(kind)),
                reason: orphaned.reason,
                since: orphaned.since,
                last_seen: life.seen,
            })
        })
    }
}
