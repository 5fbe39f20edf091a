//! Lives of processes, and the rule that says when one is an orphan.

use compact_str::CompactString;

use crate::names::NameId;
use crate::settings::{Setting, Settings};
use crate::types::{Instant, IssueNumber, Judge, Millis, Name, Now, OrphanReason, Pid, Token};

/// The number of a life within its project: later lives have higher ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct LifeId(pub(crate) u64);

/// One life of a process: a name with an incarnation, from its first checkout until a newer life takes the name.
#[derive(Debug, Clone)]
pub(crate) struct Life {
    pub(crate) process: NameId,
    pub(crate) incarnation: Option<CompactString>,
    pub(crate) pid: Option<Pid>,
    pub(crate) host: Option<NameId>,
    pub(crate) tmux: Option<CompactString>,
    pub(crate) ttl: Millis,
    /// The last beat: checkouts and heartbeats.
    pub(crate) seen: Instant,
    pub(crate) progress: Option<Box<Progress>>,
    pub(crate) standing: Standing,
    pub(crate) claims: Option<Box<Claims>>,
}

/// What is remembered of a life's last claim.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Claims {
    /// The types that it asked for, each once, by name; none for any.
    pub(crate) kinds: Vec<NameId>,
    pub(crate) request: Option<Requested>,
}

/// A claim that can be repeated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Requested {
    pub(crate) id: CompactString,
    /// The lease that it was answered with.
    pub(crate) issue: IssueNumber,
    pub(crate) token: Token,
}

/// What the work itself reported last.
#[derive(Debug, Clone)]
pub(crate) struct Progress {
    pub(crate) text: CompactString,
    pub(crate) at: Instant,
}

/// What is known of a life besides its beats.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    /// The current life of its name; perhaps its host agent said so.
    Current { attested: Option<Instant> },
    /// Its host agent saw the PID gone. Still the current life: a beat proves the agent wrong.
    Dead { at: Instant },
    /// Over for good: a newer life took the name, or a lease was repaired after the life was called dead.
    /// It stays only while it holds leases.
    Ended { at: Instant, reason: OrphanReason },
}

/// All that a beat changes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Signs {
    ttl: Millis,
    seen: Instant,
    standing: Standing,
}

/// Since when and why a life's leases are orphans.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Orphaned {
    pub(crate) reason: OrphanReason,
    pub(crate) since: Instant,
}

/// When a life's leases are orphans.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Due {
    /// They are, whatever the clock says.
    Certain(Orphaned),
    /// They are from this point on, unless a sign of life comes first.
    Silence(Instant),
}

impl Life {
    /// The two-signal rule of the contract, as one point in time.
    ///
    /// With a valid heartbeat a life is held; after that an agent's word holds it for `attest-ttl`, renewed by each
    /// new word, but not beyond `max-silence` after the last beat.
    pub(crate) fn due(&self, settings: &Settings) -> Due {
        match self.standing {
            Standing::Ended { at, reason } => Due::Certain(Orphaned { reason, since: at }),
            Standing::Dead { at } => Due::Certain(Orphaned { reason: OrphanReason::Dead, since: at }),
            Standing::Current { attested } => {
                let expires = self.seen.plus(self.ttl);
                let vouched = attested.map_or(expires, |at| {
                    let word = at.plus(settings.millis(Setting::AttestTtl));
                    word.min(self.seen.plus(settings.millis(Setting::MaxSilence)))
                });
                Due::Silence(expires.max(vouched))
            }
        }
    }

    /// Whether and why this life's leases are orphans now. On replay they are: the primary found so.
    pub(crate) fn orphaned(&self, settings: &Settings, now: Now) -> Option<Orphaned> {
        match self.due(settings) {
            Due::Certain(orphaned) => Some(orphaned),
            Due::Silence(since) => {
                let silent = now.is_replay() || (now.at >= since && !self.is_excused(now));
                silent.then_some(Orphaned { reason: OrphanReason::Expired, since })
            }
        }
    }

    /// Whether silence does not count yet, because the server was away until just now.
    fn is_excused(&self, now: Now) -> bool {
        self.excused_for(now).is_some()
    }

    /// For how long silence will not count yet.
    pub(crate) fn excused_for(&self, now: Now) -> Option<Millis> {
        match now.judge {
            Judge::Primary { uptime, restart_grace } => {
                let grace = restart_grace.min(self.ttl);
                (uptime < grace).then(|| Millis(grace.0 - uptime.0))
            }
            Judge::Replay => None,
        }
    }

    /// When a host agent last said that it lives, where that still counts.
    pub(crate) fn attested(&self, settings: &Settings, now: Now) -> Option<Instant> {
        match self.standing {
            Standing::Current { attested: Some(at) } if now.at < at.plus(settings.millis(Setting::AttestTtl)) => {
                Some(at)
            }
            _ => None,
        }
    }

    /// When a host agent last said that it lives, however long ago; none where something else is known since.
    pub(crate) fn last_attested(&self) -> Option<Instant> {
        match self.standing {
            Standing::Current { attested } => attested,
            Standing::Dead { .. } | Standing::Ended { .. } => None,
        }
    }

    /// Whether it still is the life of its name.
    pub(crate) fn is_current(&self) -> bool {
        !matches!(self.standing, Standing::Ended { .. })
    }

    /// Whether it is this very life: absent equals absent.
    pub(crate) fn is_incarnation(&self, incarnation: Option<Name<'_>>) -> bool {
        self.incarnation.as_deref() == incarnation.map(Name::as_str)
    }

    /// Whether it is the life that is meant, where one was named.
    pub(crate) fn may_be(&self, incarnation: Option<Name<'_>>) -> bool {
        incarnation.is_none() || self.is_incarnation(incarnation)
    }

    /// The names that this record uses.
    pub(crate) fn names(&self) -> impl Iterator<Item = NameId> {
        let kinds = self.claims.iter().flat_map(|claims| claims.kinds.iter().copied());
        [Some(self.process), self.host].into_iter().flatten().chain(kinds)
    }

    /// The size of its free texts.
    pub(crate) fn text_bytes(&self) -> usize {
        let progress = self.progress.as_ref().map_or(0, |progress| progress.text.len());
        self.tmux.as_ref().map_or(0, |tmux| tmux.len()) + progress
    }

    /// The last sign of life of any kind.
    pub(crate) fn last_sign(&self) -> Instant {
        match self.standing {
            Standing::Current { attested: Some(at) } => self.seen.max(at),
            _ => self.seen,
        }
    }

    pub(crate) fn signs(&self) -> Signs {
        Signs { ttl: self.ttl, seen: self.seen, standing: self.standing }
    }

    pub(crate) fn set_signs(&mut self, Signs { ttl, seen, standing }: Signs) {
        (self.ttl, self.seen, self.standing) = (ttl, seen, standing);
    }

    /// A sign of life from the process itself, perhaps with a new time to live: renews all its leases, and proves an agent wrong that called it dead.
    pub(crate) fn beat(&mut self, at: Instant, ttl: Option<Millis>) {
        self.seen = at;
        self.ttl = ttl.unwrap_or(self.ttl);
        if let Standing::Dead { .. } = self.standing {
            self.standing = Standing::Current { attested: None };
        }
    }
}
