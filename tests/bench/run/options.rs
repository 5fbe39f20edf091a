//! What the command line says.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

/// How costs are measured.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// A run of less than a minute: short slices, few rounds, 200,000 issues instead of four million
    #[arg(long)]
    pub(super) quick: bool,
    /// Rounds of each comparison [default: 7, with --quick 3]
    #[arg(long)]
    pub(super) rounds: Option<usize>,
    /// Measure only how long it takes from the death of a worker to another's claim; write nothing
    #[arg(long)]
    pub(super) recovery: bool,
    /// Measure nothing, but keep a server busy with checkouts of one kind for ten seconds, for a profiler to watch
    #[arg(long, value_name = "CONTENDER", value_parser = ["set", "poppo", "poppo-fields", "lua", "multi"])]
    pub(super) flood: Option<String>,
    /// Write everything measured there, as JSON; {date} in it is today
    #[arg(long)]
    pub(super) json: Option<String>,
    /// Draw cost against size there
    #[arg(long)]
    pub(super) svg: Option<PathBuf>,
    /// Put the table between the lines `<!-- bench -->` and `<!-- /bench -->` of this file
    #[arg(long)]
    pub(super) readme: Option<PathBuf>,
}

/// How much is measured.
#[derive(Debug, Clone)]
pub(super) struct Scale {
    pub(super) rounds: usize,
    /// How long each contender runs in its turn.
    pub(super) slice: Duration,
    /// The sizes of the curve. At the one before the last memory is measured, at the last whole projects.
    pub(super) sizes: Vec<u64>,
    /// How many workers are killed.
    pub(super) kills: usize,
}

impl Options {
    pub(super) fn scale(&self) -> Scale {
        let (rounds, slice, sizes, kills) = if self.quick {
            (3, Duration::from_millis(120), vec![1_000, 5_000, 20_000, 50_000, 200_000], 50)
        } else {
            (7, Duration::from_millis(600), vec![1_000, 10_000, 100_000, 1_000_000, 4_000_000], 200)
        };
        Scale { rounds: self.rounds.unwrap_or(rounds).max(1), slice, sizes, kills }
    }
}
