//! How far the run is: a bar on a terminal, a line per phase elsewhere.

use std::io::{IsTerminal, Write};
use std::time::Instant;

/// On standard error, so that the table on standard output stays clean.
pub(crate) struct Progress {
    start: Instant,
    done: usize,
    phases: usize,
    terminal: bool,
}

impl Progress {
    /// Of a run of so many phases.
    pub(crate) fn new(phases: usize) -> Self {
        Self { start: Instant::now(), done: 0, phases, terminal: std::io::stderr().is_terminal() }
    }

    /// The next phase begins.
    pub(crate) fn phase(&mut self, name: &str) {
        self.done += 1;
        let seconds = self.start.elapsed().as_secs();
        let mut out = std::io::stderr().lock();
        let line = if self.terminal {
            format!("\r\x1b[2K{} {seconds:>4} s  {name}", bar(self.done - 1, self.phases))
        } else {
            format!("[{:>2}/{}] {seconds:>4} s  {name}\n", self.done, self.phases)
        };
        let _shown = out.write_all(line.as_bytes()).and_then(|()| out.flush());
    }

    /// The run is over.
    pub(crate) fn end(&self) {
        if self.terminal {
            eprint!("\r\x1b[2K");
        }
        eprintln!("measured in {} s", self.start.elapsed().as_secs());
    }
}

fn bar(done: usize, of: usize) -> String {
    const WIDTH: usize = 24;
    let filled = (WIDTH * done / of.max(1)).min(WIDTH);
    format!("[{}{}]", "#".repeat(filled), ".".repeat(WIDTH - filled))
}
