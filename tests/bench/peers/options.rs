//! What the command line says.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use poppo_tests::artifacts;

use super::queue::Window;

/// How queues are compared.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// A run of about a minute: short turns, three rounds, fewer waiters and tasks
    #[arg(long)]
    quick: bool,
    /// Rounds of each comparison [default: 5, with --quick 3]
    #[arg(long)]
    rounds: Option<usize>,
    /// Where scripts/install-peers put BullMQ [default: target/peers/bullmq]
    #[arg(long, value_name = "DIRECTORY")]
    bullmq: Option<PathBuf>,
    /// Write everything measured there, as JSON; {date} in it is today
    #[arg(long)]
    pub(super) json: Option<String>,
    /// Draw cycles a second there
    #[arg(long)]
    pub(super) svg: Option<PathBuf>,
    /// Put the table between the lines `<!-- bench-peers -->` and `<!-- /bench-peers -->` of this file
    #[arg(long)]
    pub(super) readme: Option<PathBuf>,
}

/// How much is measured.
#[derive(Debug, Clone)]
pub(super) struct Scale {
    pub(super) rounds: usize,
    /// How long each contender runs in its turn.
    pub(super) window: Window,
    /// Waiters of the larger of the two wake-up measurements.
    pub(super) waiters: usize,
    /// How often somebody is woken up in each round.
    pub(super) wakeups: usize,
    /// Tasks that wait when memory is measured.
    pub(super) tasks: u64,
}

impl Options {
    pub(super) fn scale(&self) -> Scale {
        let millis = Duration::from_millis;
        let scale = if self.quick {
            let window = Window { warm: millis(40), time: millis(120) };
            Scale { rounds: 3, window, waiters: 1_000, wakeups: 100, tasks: 100_000 }
        } else {
            let window = Window { warm: millis(100), time: millis(500) };
            Scale { rounds: 5, window, waiters: 10_000, wakeups: 400, tasks: 1_000_000 }
        };
        Scale { rounds: self.rounds.unwrap_or(scale.rounds).max(1), ..scale }
    }

    /// Where BullMQ and the script that drives it are.
    pub(super) fn bullmq(&self) -> PathBuf {
        self.bullmq.clone().unwrap_or_else(|| artifacts::workspace().join("target/peers/bullmq"))
    }
}
