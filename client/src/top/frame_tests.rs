#![allow(clippy::expect_used, reason = "in a test a panic is the report")]

use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::crossterm::event::{KeyCode, KeyEvent};

use super::super::sample::{midnight, snapshot, state};
use super::*;

/// The lines of the screen, without the blanks at their ends.
fn lines(state: &State, width: u16, height: u16) -> Vec<String> {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).expect("a screen");
    terminal.draw(|frame| draw(frame, state, midnight())).expect("it is drawn");
    let buffer = terminal.backend().buffer();
    let line = |y| (0..width).filter_map(|x| Some(buffer.cell((x, y))?.symbol())).collect::<String>();
    (0..height).map(|y| line(y).trim_end().to_owned()).collect()
}

fn title(text: &str) -> String {
    format!("{text:─<100}")
}

#[test]
fn all_of_a_project_is_on_the_screen() {
    let expected = [
        "acme/widgets  on redis://127.0.0.1:6379",
        "issues: 3 processing, 2 queued, 4 completed, 0 awaiting response, 1 error, 0 cancelled",
        "queue: 1 waiting (normal 1; the oldest for 1m 30s), 1 delayed, 3 running, 1 dead",
        "rates: not known yet; half waited ≤ 800ms, held ?",
        &title("▸ leases (3, 1 hung) "),
        "ISSUE  STATE  TYPE  PROCESS   HELD  BEAT  REPORTED  PROGRESS   TITLE",
        "7             fix   worker-1  1h    2s    5s        tests 3/7  Crash on  start",
        "8      hung   fix   worker-1  1h    2s    25m       cloning",
        "9      dead   fix   worker-2  1h    2m",
        &title("─ queue (3) "),
        "TASK    PRIORITY  STATE         FAILED  REASON      TITLE",
        "11:fix  normal    waits 1m 30s                      Typo",
        "12:fix  normal    due now       2",
        "13:fix  normal    dead for 30s          no network",
        &title("─ processes (1 of 2) "),
        "PROCESS   STATE  ISSUES  BEAT  SILENT AT MOST  HOST     PID",
        "worker-1  alive  2       2s    30m             build-7  4711",
        &title("─ orphans (1) "),
        "ISSUE  PROCESS   HOST     REASON  FOR  BEAT",
        "9      worker-2  build-8  dead    1m   2m",
        &title("─ events, newest first "),
        "ID  AGO  ISSUE  EVENT     CHANGE          PROCESS",
        "41  1h   7      checkout  - → processing  worker-1",
        "",
        KEYS,
    ];
    assert_eq!(lines(&state(), 100, 25), expected);
}

#[test]
fn a_small_screen_shows_the_chosen_pane_and_no_size_is_too_small() {
    let mut state = state();
    state.key(KeyEvent::from(KeyCode::Tab));
    let small = lines(&state, 40, 8);
    assert!(small.iter().any(|line| line.starts_with("▸ queue")), "{small:?}");
    assert!(small.iter().any(|line| line.starts_with("11:fix")), "{small:?}");
    assert!(!small.iter().any(|line| line.contains("leases")), "{small:?}");
    for (width, height) in [(1, 1), (1, 30), (200, 1), (5, 5), (300, 100)] {
        lines(&state, width, height);
        state.help = !state.help;
    }
}

#[test]
fn a_question_takes_the_place_of_the_keys() {
    let mut state = state();
    state.key(KeyEvent::from(KeyCode::Char('e')));
    let asked = "Take issue 7 from worker-1? y: its task is dead then, r: it waits again (y/r/n)";
    assert_eq!(lines(&state, 100, 24).last().map(String::as_str), Some(asked));
    state.key(KeyEvent::from(KeyCode::Char('n')));
    assert_eq!(lines(&state, 100, 24).last().map(String::as_str), Some("nothing was done"));
}

#[test]
fn a_server_that_is_away_is_said_to_be_and_what_was_known_stays() {
    let mut state = state();
    state.lose("cannot reach redis://127.0.0.1:6379".to_owned());
    let screen = lines(&state, 120, 24);
    assert!(screen.first().is_some_and(|line| line.contains("AWAY for 1s: cannot reach")), "{screen:?}");
    assert!(screen.iter().any(|line| line.contains("tests 3/7")), "{screen:?}");
}

#[test]
fn a_drained_project_and_one_that_is_not_there_are_said_to_be() {
    let mut state = state();
    let mut drained = snapshot();
    drained.stats.iter_mut().for_each(|stats| stats.queue.drain = 1);
    state.see(drained);
    assert!(lines(&state, 100, 24).first().is_some_and(|line| line.contains("DRAINED  on ")));
    let mut none = snapshot();
    none.stats = None;
    state.see(none);
    assert!(lines(&state, 100, 24).get(1).is_some_and(|line| line.contains("does not exist yet")));
}

#[test]
fn help_names_every_key() {
    let mut state = state();
    state.key(KeyEvent::from(KeyCode::Char('?')));
    let help = lines(&state, 110, 24).join("\n");
    for word in ["Tab", "cancel", "evict", "revive", "drain", "Ctrl-C", "REPORTED"] {
        assert!(help.contains(word), "{word}: {help}");
    }
}

#[test]
fn the_chosen_pane_gets_the_room_that_there_is_and_the_others_keep_a_little() {
    let many = [100, 100, 100, 100, 100];
    assert_eq!(heights(many, 0, 50), [30, 5, 5, 5, 5]);
    assert_eq!(heights(many, 4, 50), [5, 5, 5, 5, 30]);
    assert_eq!(heights([3, 1, 1, 1, 100], 0, 50), [3, 1, 1, 1, 44]);
    assert_eq!(heights(many, 1, 10), [2, 5, 1, 1, 1]);
    assert_eq!(heights(many, 2, 4), [0, 0, 4, 0, 0]);
    assert_eq!(heights([1, 1, 1, 1, 1], 2, 50), [1, 1, 1, 1, 1]);
}
