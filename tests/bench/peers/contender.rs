//! Who takes part.

use crate::common::machine::Cores;

use super::options::Options;
use super::queue::Queue;
use super::{beanstalkd, bullmq, lua, poppo, postgres, redis};

/// One way to claim tasks and finish them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Contender {
    Poppo,
    PoppoNext,
    /// With `poppo.publish off`: like its peers, it tells nobody else what happens.
    PoppoSilent,
    PoppoSilentNext,
    Lua,
    LuaNext,
    BullMq,
    Beanstalkd,
    Postgres,
}

/// What survives when the server dies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Disk {
    /// Nothing is written.
    Nothing,
    /// Each with the durability of its own that loses about the last second at most.
    Own,
}

impl Disk {
    pub(super) const ALL: [Self; 2] = [Self::Nothing, Self::Own];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Nothing => "nothing on disk",
            Self::Own => "on disk",
        }
    }
}

impl Contender {
    pub(super) const ALL: [Self; 9] = [
        Self::Poppo,
        Self::PoppoNext,
        Self::PoppoSilent,
        Self::PoppoSilentNext,
        Self::Lua,
        Self::LuaNext,
        Self::BullMq,
        Self::Beanstalkd,
        Self::Postgres,
    ];

    /// Poppo's own.
    pub(super) const POPPOS: [Self; 4] = [Self::Poppo, Self::PoppoNext, Self::PoppoSilent, Self::PoppoSilentNext];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Poppo => "Poppo",
            Self::PoppoNext => "Poppo, NEXT",
            Self::PoppoSilent => "Poppo, publish off",
            Self::PoppoSilentNext => "Poppo, NEXT, publish off",
            Self::Lua => "Lua",
            Self::LuaNext => "Lua, finish and next",
            Self::BullMq => "BullMQ",
            Self::Beanstalkd => "beanstalkd",
            Self::Postgres => "PostgreSQL",
        }
    }

    /// Round trips of each cycle.
    pub(super) const fn trips(self) -> u8 {
        match self {
            Self::Poppo | Self::PoppoSilent | Self::Lua | Self::Beanstalkd | Self::Postgres => 2,
            Self::PoppoNext | Self::PoppoSilentNext | Self::LuaNext | Self::BullMq => 1,
        }
    }

    pub(super) const fn is_poppo(self) -> bool {
        matches!(self, Self::Poppo | Self::PoppoNext) || self.is_silent()
    }

    /// Whether it publishes nothing, though it could.
    const fn is_silent(self) -> bool {
        matches!(self, Self::PoppoSilent | Self::PoppoSilentNext)
    }

    /// Starts it on a server of its own; or says why it cannot take part.
    pub(super) fn start(self, cores: Cores, disk: Disk, options: &Options) -> Result<Box<dyn Queue>, String> {
        Ok(match self {
            Self::Poppo | Self::PoppoNext | Self::PoppoSilent | Self::PoppoSilentNext => {
                Box::new(redis::start(cores, disk, poppo::Poppo::new(self.trips() == 1, self.is_silent()))?)
            }
            Self::Lua | Self::LuaNext => Box::new(redis::start(cores, disk, lua::Lua::new(self.trips() == 1))?),
            Self::BullMq => Box::new(bullmq::start(cores, disk, &options.bullmq())?),
            Self::Beanstalkd => Box::new(beanstalkd::start(cores, disk)?),
            Self::Postgres => Box::new(postgres::start(cores, disk)?),
        })
    }
}
