//! Everything that commands print: one JSON document for programs, aligned tables for people. Colours and wrapping are
//! for terminals only; what is piped is plain.

use std::io::{self, IsTerminal as _, Write as _};
use std::os::fd::AsFd as _;

use comfy_table::{Cell, CellAlignment, Color, ContentArrangement};
use poppo::Status;
use serde::Serialize;
use tokio::io::Interest;
use tokio::net::unix::pipe;

/// Where a command's answer goes, and in which form.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Output {
    /// Whether programs are reading.
    pub(crate) json: bool,
    terminal: bool,
    colour: bool,
}

impl Output {
    /// To stdout, in a form that suits what it is.
    pub(crate) fn new(json: bool) -> Self {
        let terminal = io::stdout().is_terminal();
        // https://no-color.org: set and not empty means no.
        let colour = terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        Self { json, terminal, colour }
    }

    /// Whether a person is looking at a terminal.
    pub(crate) fn is_terminal(self) -> bool {
        self.terminal
    }

    /// Whether there are colours.
    pub(crate) fn is_coloured(self) -> bool {
        self.colour
    }

    /// One line of text.
    pub(crate) fn line(self, text: &str) -> io::Result<()> {
        writeln!(io::stdout(), "{text}")
    }

    /// One JSON document.
    pub(crate) fn document(self, document: &impl Serialize) -> io::Result<()> {
        let text = serde_json::to_string_pretty(document)?;
        self.line(&text)
    }

    /// One JSON document in one line, for streams of them.
    pub(crate) fn json_line(self, document: &impl Serialize) -> io::Result<()> {
        let text = serde_json::to_string(document)?;
        self.line(&text)
    }

    /// The document for programs, the sentence for people.
    pub(crate) fn say(self, document: &impl Serialize, sentence: &str) -> io::Result<()> {
        if self.json { self.document(document) } else { self.line(sentence) }
    }

    /// A table; where it has no rows, `empty` instead.
    pub(crate) fn table(self, table: &Table, empty: &str) -> io::Result<()> {
        if table.rows.is_empty() { self.line(empty) } else { self.line(&table.render(self.terminal, self.colour)) }
    }

    /// A table as text, for whoever prints between other things.
    pub(crate) fn render(self, table: &Table) -> String {
        table.render(self.terminal, self.colour)
    }

    /// Text in a colour, where there are colours.
    pub(crate) fn paint(self, text: &str, tone: Tone) -> String {
        let code = match tone {
            _ if !self.colour => return text.to_owned(),
            Tone::Plain => return text.to_owned(),
            Tone::Good => 32,
            Tone::Warning => 33,
            Tone::Bad => 31,
            Tone::Busy => 36,
            Tone::Quiet => 90,
        };
        format!("\x1b[{code}m{text}\x1b[0m")
    }
}

/// Waits until nobody reads what is printed: the other end of the pipe was closed. Never ends where that cannot happen,
/// as with a file.
pub(crate) async fn reader_is_gone() {
    // A descriptor of our own of the same pipe. It is only watched: to make it non-blocking would make stdout so, too.
    let watched = io::stdout().as_fd().try_clone_to_owned().and_then(pipe::Sender::from_owned_fd_unchecked);
    let is_gone = match &watched {
        Ok(pipe) => pipe.ready(Interest::ERROR).await.is_ok(),
        Err(_) => false,
    };
    if !is_gone {
        std::future::pending::<()>().await;
    }
}

/// A word on stderr to whoever watches. It is not the answer, and where nobody watches, nothing is lost.
pub(crate) fn say(text: &str) {
    drop(writeln!(io::stderr(), "poppo: {text}"));
}

/// What a text's colour means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tone {
    Plain,
    Good,
    Warning,
    Bad,
    Busy,
    Quiet,
}

/// A cell of a table: a text and what it means.
#[derive(Debug, Clone)]
pub(crate) struct Field {
    text: String,
    tone: Tone,
    number: bool,
}

impl Field {
    pub(crate) fn toned(text: impl ToString, tone: Tone) -> Self {
        Self { text: one_line(&text.to_string()), tone, number: false }
    }

    /// Aligned to the right.
    pub(crate) fn number(number: impl ToString) -> Self {
        Self { text: number.to_string(), tone: Tone::Plain, number: true }
    }

    /// Empty where there is nothing.
    pub(crate) fn optional(value: Option<impl ToString>) -> Self {
        Self::from(value.map(|value| value.to_string()).unwrap_or_default())
    }

    /// An issue's status in its colour.
    pub(crate) fn status(status: Status) -> Self {
        Self::toned(status, status_tone(status))
    }
}

impl From<String> for Field {
    fn from(text: String) -> Self {
        Self::toned(text, Tone::Plain)
    }
}

impl From<&str> for Field {
    fn from(text: &str) -> Self {
        Self::toned(text, Tone::Plain)
    }
}

/// The colour of a status.
pub(crate) fn status_tone(status: Status) -> Tone {
    match status {
        Status::Processing => Tone::Busy,
        Status::Completed => Tone::Good,
        Status::AwaitingResponse => Tone::Warning,
        Status::Error => Tone::Bad,
        Status::Cancelled => Tone::Quiet,
        Status::Queued => Tone::Plain,
    }
}

/// Titles and reasons are anybody's text: control characters in them must neither break a row nor steer a terminal.
pub(crate) fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// Rows under headings. A column in which nobody has anything is left out.
#[derive(Debug, Default)]
pub(crate) struct Table {
    headings: Vec<&'static str>,
    rows: Vec<Vec<Field>>,
}

impl Table {
    pub(crate) fn new(headings: &[&'static str]) -> Self {
        Self { headings: headings.to_vec(), rows: Vec::new() }
    }

    pub(crate) fn row(&mut self, fields: impl IntoIterator<Item = Field>) {
        self.rows.push(fields.into_iter().collect());
    }

    fn render(&self, wrap: bool, colour: bool) -> String {
        let used: Vec<bool> = (0..self.headings.len())
            .map(|column| self.rows.iter().any(|row| row.get(column).is_some_and(|field| !field.text.is_empty())))
            .collect();
        let mut table = comfy_table::Table::new();
        table.load_style(comfy_table::presets::NOTHING);
        if colour {
            table.enforce_styling();
        } else {
            table.force_no_tty();
        }
        table.set_content_arrangement(if wrap { ContentArrangement::Dynamic } else { ContentArrangement::Disabled });
        if self.headings.iter().any(|heading| !heading.is_empty()) {
            table.set_header(keep(&used, &self.headings).map(|heading| paint(Cell::new(heading), Tone::Quiet)));
        }
        for row in &self.rows {
            table.add_row(keep(&used, row).map(|field| {
                let alignment = if field.number { CellAlignment::Right } else { CellAlignment::Left };
                paint(Cell::new(&field.text), field.tone).set_alignment(alignment)
            }));
        }
        for column in table.column_iter_mut() {
            column.set_padding((0, 2));
        }
        let text = table.to_string();
        let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
        lines.join("\n")
    }
}

/// A table without an end: rows are printed as they come, so each column is as wide as its widest field so far.
#[derive(Debug)]
pub(crate) struct Lines {
    headings: &'static [&'static str],
    widths: Vec<usize>,
    least: Vec<usize>,
    out: Output,
}

impl Lines {
    pub(crate) fn new(headings: &'static [&'static str], out: Output) -> Self {
        Self { headings, widths: Vec::new(), least: Vec::new(), out }
    }

    /// With columns that are at least so wide, for rows that come one by one.
    pub(crate) fn at_least(mut self, widths: &[usize]) -> Self {
        self.least = widths.to_vec();
        self
    }

    /// Prints some rows, the headings before the first of them.
    pub(crate) fn print(&mut self, rows: &[Vec<Field>]) -> io::Result<()> {
        for line in self.render(rows) {
            self.out.line(&line)?;
        }
        Ok(())
    }

    fn render(&mut self, rows: &[Vec<Field>]) -> Vec<String> {
        if rows.is_empty() {
            return Vec::new();
        }
        let is_first = self.widths.is_empty();
        if is_first {
            let least = self.least.iter().copied().chain(std::iter::repeat(0));
            self.widths = self.headings.iter().zip(least).map(|(heading, least)| heading.len().max(least)).collect();
        }
        for row in rows {
            for (width, field) in self.widths.iter_mut().zip(row) {
                *width = field.text.chars().count().max(*width);
            }
        }
        let headings: Option<Vec<Field>> =
            is_first.then(|| self.headings.iter().map(|heading| Field::toned(heading, Tone::Quiet)).collect());
        headings.iter().chain(rows).map(|row| self.row(row)).collect()
    }

    fn row(&self, row: &[Field]) -> String {
        let mut line = String::new();
        // Blanks are owed until something follows, so that no line ends with any.
        let mut owed = 0;
        for (field, width) in row.iter().zip(&self.widths) {
            let space = width.saturating_sub(field.text.chars().count());
            if field.text.is_empty() {
                owed += width + 2;
                continue;
            }
            let (before, behind) = if field.number { (space, 0) } else { (0, space) };
            line.extend(std::iter::repeat_n(' ', owed + before));
            line.push_str(&self.out.paint(&field.text, field.tone));
            owed = behind + 2;
        }
        line
    }
}

/// The items whose column is used.
fn keep<'a, T>(used: &'a [bool], items: &'a [T]) -> impl Iterator<Item = &'a T> {
    items.iter().zip(used).filter(|(_, used)| **used).map(|(item, _)| item)
}

fn paint(cell: Cell, tone: Tone) -> Cell {
    match tone {
        Tone::Plain => cell,
        Tone::Good => cell.fg(Color::DarkGreen),
        Tone::Warning => cell.fg(Color::DarkYellow),
        Tone::Bad => cell.fg(Color::DarkRed),
        Tone::Busy => cell.fg(Color::DarkCyan),
        Tone::Quiet => cell.fg(Color::DarkGrey),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Table {
        let mut table = Table::new(&["ISSUE", "STATUS", "HOST", "TITLE"]);
        table.row([Field::number(7), Field::status(Status::Completed), "".into(), "Typo".into()]);
        table.row([Field::number(1234), Field::status(Status::Error), "".into(), "Crash\non\tstart".into()]);
        table
    }

    #[test]
    fn a_piped_table_is_aligned_and_plain() {
        let expected = "ISSUE  STATUS     TITLE\n    7  completed  Typo\n 1234  error      Crash on start";
        assert_eq!(sample().render(false, false), expected);
    }

    #[test]
    fn rows_that_come_later_are_aligned_with_those_before() {
        let mut lines =
            Lines::new(&["ISSUE", "STATUS", "REASON"], Output { json: false, terminal: false, colour: false });
        assert_eq!(lines.render(&[]), Vec::<String>::new());
        let row = |issue: u32, status, reason: &str| vec![Field::number(issue), Field::status(status), reason.into()];
        let first = lines.render(&[row(7, Status::Error, "a\nb"), row(123_456, Status::Completed, "")]);
        assert_eq!(first, ["ISSUE   STATUS     REASON", "     7  error      a b", "123456  completed"]);
        assert_eq!(lines.render(&[row(8, Status::Error, "c")]), ["     8  error      c"]);
        lines.out.colour = true;
        assert_eq!(lines.render(&[row(8, Status::Error, "")]), ["     8  \x1b[31merror\x1b[0m"]);
    }

    #[test]
    fn columns_are_as_wide_as_they_are_told_to_be() {
        let out = Output { json: false, terminal: false, colour: false };
        let mut lines = Lines::new(&["ISSUE", "STATUS"], out).at_least(&[8]);
        assert_eq!(lines.render(&[vec![Field::number(7), "x".into()]]), ["ISSUE     STATUS", "       7  x"]);
    }

    #[test]
    fn colours_appear_only_where_they_are_wanted() {
        assert!(sample().render(false, true).contains('\x1b'));
        assert!(!sample().render(true, false).contains('\x1b'));
    }

    #[test]
    fn a_title_cannot_steer_the_terminal() {
        assert_eq!(one_line("a\x1b[2Jb"), "a [2Jb");
    }
}
