//! The run: what is measured in which order, and what comes out.

mod chart;
mod compare;
mod contenders;
mod load;
mod observe;
mod options;
mod recovery;
mod report;
mod scaling;
mod whole;

use poppo_tests::{Server, artifacts};

use crate::common::machine::{self, Cores};
use crate::common::progress::Progress;

use contenders::Contender;
pub(crate) use options::Options;

/// Measures, shows, writes.
pub(crate) fn main(options: &Options) {
    let scale = options.scale();
    // Built before anything is pinned to a core.
    artifacts::module();
    artifacts::poppo();
    let cores = Cores::find();
    if let Some(warning) = cores.warning() {
        eprintln!("poppo-bench: {warning}");
    }
    if let Some(name) = &options.flood {
        return compare::flood(cores, Contender::named(name));
    }
    if options.recovery {
        let mut progress = Progress::new(recovery::PHASES);
        let times = recovery::run(cores, scale.kills, &mut progress);
        progress.end();
        return println!("{}", report::recovery(&times));
    }
    let mut progress = Progress::new(scale.rounds * 6 + scaling::PHASES + whole::PHASES + recovery::PHASES);
    let machine = machine::describe(cores, &mut cores.start(Server::builder()).connect());
    let comparison = compare::run(cores, &scale, &mut progress);
    let scaling = scaling::run(cores, &scale, &mut progress);
    let recovery = recovery::run(cores, scale.kills, &mut progress);
    progress.end();
    let report = report::Report::new(machine, scale, comparison, scaling, recovery);
    println!("{}", report.table());
    report.write(options);
}
