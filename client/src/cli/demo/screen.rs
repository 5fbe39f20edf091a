//! How the demo shows what happens: one line an event, and on a terminal a line at the bottom that counts.

use std::io::{self, Write as _};

use tokio::time::Instant;

use crate::output::{Output, Tone};

/// How wide the bar is, in characters.
const BAR: usize = 20;

/// Where the demo is shown. With `--json` nothing is, until the end.
pub(crate) struct Screen {
    pub(crate) out: Output,
    start: Instant,
    bar: String,
}

impl Screen {
    pub(crate) fn new(out: Output) -> Self {
        Self { out, start: Instant::now(), bar: String::new() }
    }

    /// Something happened.
    pub(crate) fn line(&self, tone: Tone, text: &str) -> io::Result<()> {
        if self.out.json {
            return Ok(());
        }
        let time = self.out.paint(&format!("{:6.2}s", self.start.elapsed().as_secs_f32()), Tone::Quiet);
        self.write(&format!("{time}  {}", self.out.paint(text, tone)))
    }

    /// What comes next, set apart.
    pub(crate) fn scene(&self, text: &str) -> io::Result<()> {
        if self.out.json {
            return Ok(());
        }
        self.write("")?;
        self.line(Tone::Plain, &format!("== {text}"))
    }

    /// Some lines that belong together, such as a table.
    pub(crate) fn block(&self, text: &str) -> io::Result<()> {
        if self.out.json {
            return Ok(());
        }
        text.lines().try_for_each(|line| self.write(&format!("         {line}")))
    }

    /// How far it is.
    pub(crate) fn progress(&mut self, done: usize, all: usize) -> io::Result<()> {
        let filled = (done * BAR).checked_div(all).unwrap_or_default().min(BAR);
        let (full, empty) = ("█".repeat(filled), "░".repeat(BAR - filled));
        let bar = format!("{full}{empty} {done} of {all} issues done");
        if bar != self.bar {
            self.bar = bar;
            self.draw()?;
        }
        Ok(())
    }

    /// Nothing more will happen.
    pub(crate) fn finish(&mut self) -> io::Result<()> {
        self.bar.clear();
        self.erase()
    }

    fn write(&self, text: &str) -> io::Result<()> {
        self.erase()?;
        self.out.line(text)?;
        self.draw()
    }

    fn erase(&self) -> io::Result<()> {
        if self.has_bar() { write!(io::stdout(), "\r\x1b[2K") } else { Ok(()) }
    }

    fn draw(&self) -> io::Result<()> {
        if self.has_bar() && !self.bar.is_empty() {
            write!(io::stdout(), "\r\x1b[2K{}", self.bar)?;
            io::stdout().flush()?;
        }
        Ok(())
    }

    fn has_bar(&self) -> bool {
        self.out.is_terminal() && !self.out.json
    }
}
