//! Poppo's queue against others: how many cycles of claim and check-in a second, how soon a waiting worker wakes up.
//!
//! `contender` lists who takes part, `queue` says what each can do: be filled, and give its workers a turn. `redis`
//! (with `poppo` and `lua`), `beanstalkd`, `postgres` and `bullmq` are the queues, `load` drives all of them but the last,
//! which brings its own client. `throughput` gives them their turns, `wakeup` and `memory` look at Poppo alone; `targets`
//! says what that should come to, `report` and `bars` show it. `process` and `stop` see to it that nothing is left behind.

mod bars;
mod beanstalkd;
mod bullmq;
mod contender;
mod load;
mod lua;
mod memory;
mod meter;
mod options;
mod poppo;
mod postgres;
mod process;
mod queue;
mod redis;
mod report;
mod stop;
mod targets;
mod throughput;
mod wakeup;

use poppo_tests::{Server, artifacts};

use crate::common::machine::{self, Cores};
use crate::common::progress::Progress;

pub(crate) use options::Options;

/// Measures, shows, writes.
pub(crate) fn main(options: &Options) {
    stop::on_signal();
    let scale = options.scale();
    // Built before anything is pinned to a core.
    artifacts::module();
    let cores = Cores::find();
    if let Some(warning) = cores.warning() {
        eprintln!("poppo-bench: {warning}");
    }
    let machine = machine::describe(cores, &mut cores.start(Server::builder()).connect());
    let mut progress = Progress::new(throughput::phases(&scale) + wakeup::PHASES + memory::PHASES);
    let throughput = throughput::run(cores, &scale, options, &mut progress);
    let wakeup = wakeup::run(cores, &scale, &mut progress);
    let bytes = memory::run(cores, &scale, &mut progress);
    progress.end();
    let report = report::Report::new(machine, scale, throughput, wakeup, bytes);
    println!("{}", report.table());
    report.write(options);
}
