//! The screen: from what is known to what is drawn, and nothing else.

use std::time::{Duration, Instant, SystemTime};

use poppo::{Durations, Stats};
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Cell, Paragraph, Row, Table, TableState};

use super::rows::{self, Rows};
use super::state::{Pane, State};
use crate::cli::stats::queue;
use crate::human;
use crate::output::{Tone, one_line};

/// How wide a column may become, the last one apart.
const WIDEST: usize = 28;
/// How many lines a pane gets that is not the chosen one, before the chosen one takes what is left.
const FEW: u16 = 5;
/// After how long without news the screen says how old they are.
const STALE: Duration = Duration::from_secs(3);

const HELP: &str = "\
Tab, Shift-Tab, ← →   the next pane, the one before
↑ ↓, PageUp PageDown  the row above, the row below, ten rows on
Home End              the first row, the last

c   cancel: the waiting tasks of an issue are removed, and the worker that has it is asked to stop
e   evict: end a lease by hand, even of a worker that is alive; its task is dead then, or waits again
r   revive: have a dead task wait again
d   drain: let no task be claimed any more, or let them be claimed again
    Each of these asks before; any key but those that it names means no.

HELD      for how long the issue is checked out
BEAT      how long ago its process was last heard of
REPORTED  how long ago the work itself said how far it is: where this is long, and BEAT is not, it hangs

q, Ctrl-C  the end          any key goes back";

const KEYS: &str = "Tab pane  ↑↓ row  c cancel  e evict  r revive  d drain  ? help  q quit";

/// Draws everything, as of this time of the server's.
pub(super) fn draw(frame: &mut Frame<'_>, state: &State, now: SystemTime) {
    let [head, body, foot] =
        Layout::vertical([Constraint::Length(4), Constraint::Min(0), Constraint::Length(1)]).areas(frame.area());
    frame.render_widget(Paragraph::new(header(state)), head);
    if state.help {
        frame.render_widget(Paragraph::new(HELP), body);
    } else {
        panes(frame, state, now, body);
    }
    frame.render_widget(footer(state), foot);
}

fn style(state: &State, tone: Tone) -> Style {
    let colour = match tone {
        Tone::Plain => return Style::new(),
        _ if !state.look.colour => return Style::new(),
        Tone::Good => Color::Green,
        Tone::Warning => Color::Yellow,
        Tone::Bad => Color::Red,
        Tone::Busy => Color::Cyan,
        Tone::Quiet => Color::DarkGray,
    };
    Style::new().fg(colour)
}

fn header(state: &State) -> Vec<Line<'static>> {
    let bold = Style::new().add_modifier(Modifier::BOLD);
    let stats = state.snapshot.as_ref().and_then(|snapshot| snapshot.stats.as_ref());
    let mut first = vec![Span::styled(one_line(&state.project), bold), Span::raw("  ")];
    if stats.is_some_and(|stats| stats.queue.drain > 0) {
        first.push(Span::styled("DRAINED  ", style(state, Tone::Warning).add_modifier(Modifier::BOLD)));
    }
    // Why the server is away names it, and the line is short.
    first.push(link(state).unwrap_or_else(|| Span::raw(format!("on {}", one_line(&state.server)))));
    let mut lines = vec![Line::from(first)];
    match stats {
        Some(stats) => lines.extend(figures(state, stats)),
        None => lines.push(Line::from("the project does not exist yet: its first checkout or task makes it")),
    }
    lines
}

/// How the server is doing, where there is anything to say.
fn link(state: &State) -> Option<Span<'static>> {
    let seconds = |since: Instant| human::duration(Duration::from_secs(since.elapsed().as_secs().max(1)));
    let text = match (&state.away, &state.snapshot) {
        (Some((since, why)), _) => format!("AWAY for {}: {}", seconds(*since), one_line(why)),
        (None, Some(snapshot)) if snapshot.taken.elapsed() >= STALE => {
            format!("no answer for {}", seconds(snapshot.taken))
        }
        _ => return None,
    };
    Some(Span::styled(text, style(state, Tone::Bad).add_modifier(Modifier::BOLD)))
}

fn figures(state: &State, stats: &Stats) -> [Line<'static>; 3] {
    let issues = &stats.issues;
    let rates = state.rates().map_or_else(
        || "rates: not known yet".to_owned(),
        |rates| format!("a minute: {} checkouts, {} check-ins", rates.checkouts, rates.checkins),
    );
    [
        Line::from(format!(
            "issues: {} processing, {} queued, {} completed, {} awaiting response, {} error, {} cancelled",
            issues.processing,
            issues.queued,
            issues.completed,
            issues.awaiting_response,
            issues.error,
            issues.cancelled
        )),
        Line::from(format!("queue: {}", queue(&stats.queue))),
        Line::from(format!("{rates}; half waited {}, held {}", half(&stats.wait), half(&stats.hold))),
    ]
}

fn half(durations: &Durations) -> String {
    match durations.count {
        0 => "?".to_owned(),
        _ => format!("≤ {}", human::duration(Duration::from_millis(durations.p50))),
    }
}

fn footer(state: &State) -> Line<'static> {
    let bold = Modifier::BOLD;
    match (&state.question, &state.message) {
        (Some(question), _) => {
            let keys: String = question.answers.iter().map(|(key, _)| format!("{key}/")).collect();
            let text = format!("{} ({keys}n)", one_line(&question.text));
            Line::styled(text, style(state, Tone::Warning).add_modifier(bold))
        }
        (None, Some(Ok(said))) => Line::styled(one_line(said), style(state, Tone::Good).add_modifier(bold)),
        (None, Some(Err(why))) => Line::styled(one_line(why), style(state, Tone::Bad).add_modifier(bold)),
        (None, None) => Line::styled(KEYS, style(state, Tone::Quiet)),
    }
}

fn panes(frame: &mut Frame<'_>, state: &State, now: SystemTime, body: Rect) {
    let all = Pane::ALL.map(|pane| rows::of(pane, state, now));
    // A title, the headings, and the rows; the title alone where there are none.
    let wants = all.each_ref().map(|rows| match rows.rows.len() {
        0 => 1,
        count => u16::try_from(count).unwrap_or(u16::MAX).saturating_add(2),
    });
    let heights = heights(wants, state.pane.index(), body.height);
    let areas = Layout::vertical(heights.map(Constraint::Length)).areas::<5>(body);
    for ((pane, rows), area) in Pane::ALL.into_iter().zip(&all).zip(areas) {
        if area.height > 0 {
            self::pane(frame, state, pane, rows, area);
        }
    }
}

/// How many lines each pane gets: a title for all, a few lines for those who have rows, then as many as it wants for the
/// chosen one, then for the others. Where there is no room for all titles, only the chosen one is shown.
fn heights(wants: [u16; 5], chosen: usize, total: u16) -> [u16; 5] {
    let mut heights = [0; 5];
    let mut left = total;
    let titles = u16::try_from(wants.len()).unwrap_or(u16::MAX);
    let order = std::iter::once(chosen).chain((0..wants.len()).filter(|index| *index != chosen));
    let steps: &[u16] = if total < titles { &[] } else { &[1, FEW] };
    let mut give = |index: usize, most: u16| {
        if let (Some(height), Some(want)) = (heights.get_mut(index), wants.get(index)) {
            let more = most.min(*want).saturating_sub(*height).min(left);
            *height += more;
            left -= more;
        }
    };
    for step in steps {
        for index in order.clone() {
            give(index, *step);
        }
    }
    give(chosen, u16::MAX);
    if total >= titles {
        for index in order {
            give(index, u16::MAX);
        }
    }
    heights
}

fn pane(frame: &mut Frame<'_>, state: &State, pane: Pane, rows: &Rows, area: Rect) {
    let is_chosen = pane == state.pane;
    let [head, body] = Layout::vertical([Constraint::Length(1), Constraint::Min(0)]).areas(area);
    let mark = if is_chosen { "▸" } else { "─" };
    let mut title = format!("{mark} {} ", rows.title);
    let width = usize::from(head.width);
    title.extend(std::iter::repeat_n('─', width.saturating_sub(Span::raw(title.as_str()).width())));
    let title_style = if is_chosen { Style::new().add_modifier(Modifier::BOLD) } else { style(state, Tone::Quiet) };
    frame.render_widget(Line::styled(title, title_style), head);
    if rows.rows.is_empty() || body.height == 0 {
        return;
    }
    let columns = columns(rows);
    let texts = |cells: &[String]| -> Vec<String> {
        columns.iter().map(|(index, _)| cells.get(*index).map(|cell| one_line(cell)).unwrap_or_default()).collect()
    };
    let headings: Vec<String> = rows.headings.iter().map(|heading| (*heading).to_owned()).collect();
    let header = Row::new(texts(&headings)).style(style(state, Tone::Quiet));
    let lines = rows
        .rows
        .iter()
        .map(|(cells, tone)| Row::new(texts(cells).into_iter().map(Cell::from)).style(style(state, *tone)));
    let last = columns.len().saturating_sub(1);
    let widths = columns
        .iter()
        .enumerate()
        .map(|(place, (_, width))| if place == last { Constraint::Fill(1) } else { Constraint::Length(*width) });
    let mut table = Table::new(lines, widths).header(header).column_spacing(2);
    let mut selection = TableState::new();
    // In the others nothing is chosen, so that one sees what the keys would hit.
    if is_chosen {
        table = table.row_highlight_style(Style::new().add_modifier(Modifier::REVERSED));
        selection.select(Some(state.selected(pane)));
    }
    frame.render_stateful_widget(table, body, &mut selection);
}

/// The columns in which anybody has anything, and how wide each is.
fn columns(rows: &Rows) -> Vec<(usize, u16)> {
    let used = rows.headings.iter().enumerate().filter_map(|(index, heading)| {
        let widths = rows.rows.iter().filter_map(|(cells, _)| Some(Span::raw(cells.get(index)?.as_str()).width()));
        let widest = widths.max().filter(|width| *width > 0)?;
        let width = widest.min(WIDEST).max(heading.len());
        Some((index, u16::try_from(width).unwrap_or(u16::MAX)))
    });
    used.collect()
}

#[cfg(test)]
#[path = "frame_tests.rs"]
mod tests;
