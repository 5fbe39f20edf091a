//! The command line: the costs of Poppo by itself, or `peers`.

use clap::{Parser, Subcommand};

use crate::{peers, run};

/// Measures what Poppo costs. `docs/benchmarks/README.md` says how.
#[derive(Debug, Parser)]
#[command(name = "poppo-bench", args_conflicts_with_subcommands = true)]
struct Line {
    #[command(subcommand)]
    what: Option<What>,
    #[command(flatten)]
    costs: run::Options,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Compares Poppo's queue with others: cycles of claim and check-in a second, wake-up, memory
    Peers(peers::Options),
}

/// Does what the command line asks for.
pub(crate) fn main() {
    let line = Line::parse();
    match &line.what {
        None => run::main(&line.costs),
        Some(What::Peers(options)) => peers::main(options),
    }
}
