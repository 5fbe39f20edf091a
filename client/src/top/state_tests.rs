use super::super::sample::{issue, lease, look, snapshot, state, stats, token};
use super::*;

fn press(state: &mut State, keys: &[KeyCode]) -> Reaction {
    keys.iter().map(|key| state.key(KeyEvent::from(*key))).last().unwrap_or(Reaction::Nothing)
}

const fn letter(letter: char) -> KeyCode {
    KeyCode::Char(letter)
}

#[test]
fn a_lease_is_cancelled_once_that_is_confirmed() {
    let mut state = state();
    assert_eq!(press(&mut state, &[KeyCode::Down, letter('c')]), Reaction::Nothing);
    assert!(state.question.as_ref().is_some_and(|question| question.text.contains("worker-1 to stop issue 8")));
    assert_eq!(press(&mut state, &[letter('y')]), Reaction::Do(Action::Cancel(issue(8))));
    assert_eq!(state.question, None);
}

#[test]
fn any_other_key_than_those_that_are_named_means_no() {
    for key in [letter('n'), KeyCode::Esc, KeyCode::Enter, letter('q'), letter('r')] {
        let mut state = state();
        assert_eq!(press(&mut state, &[letter('c'), key]), Reaction::Nothing);
        assert_eq!((state.question.clone(), state.message.clone()), (None, Some(Ok("nothing was done".to_owned()))));
    }
}

#[test]
fn an_eviction_hits_the_lease_that_was_looked_at_and_asks_what_becomes_of_its_task() {
    for (key, requeue) in [('y', false), ('r', true)] {
        let mut state = state();
        let evict = Action::Evict { issue: issue(7), token: Some(token(70)), requeue };
        press(&mut state, &[letter('e')]);
        // What comes meanwhile changes nothing of what was asked.
        let mut next = snapshot();
        next.leases.insert(0, lease(1, "worker-9"));
        state.see(next);
        assert_eq!(press(&mut state, &[letter(key)]), Reaction::Do(evict));
    }
}

#[test]
fn an_orphan_can_be_evicted_and_a_dead_task_revived() {
    let mut state = state();
    press(&mut state, &[KeyCode::Tab, letter('r')]);
    assert_eq!(state.question, None, "the first task waits");
    assert!(state.message.as_ref().is_some_and(Result::is_err));
    let revive = Reaction::Do(Action::Revive("13:fix".to_owned()));
    assert_eq!(press(&mut state, &[KeyCode::End, letter('r'), letter('y')]), revive);
    assert_eq!(press(&mut state, &[letter('c')]), Reaction::Nothing);
    assert_eq!(state.question, None, "what is dead is not cancelled");
    assert_eq!(press(&mut state, &[KeyCode::Home, letter('c'), letter('y')]), Reaction::Do(Action::Cancel(issue(11))));
    let evict = Action::Evict { issue: issue(9), token: Some(token(90)), requeue: true };
    let keys = [KeyCode::Tab, KeyCode::Tab, letter('e'), letter('r')];
    assert_eq!(press(&mut state, &keys), Reaction::Do(evict));
}

#[test]
fn drain_is_turned_on_and_off_again() {
    let mut state = state();
    assert_eq!(press(&mut state, &[letter('d'), letter('y')]), Reaction::Do(Action::Drain(true)));
    let mut drained = snapshot();
    drained.stats.iter_mut().for_each(|stats| stats.queue.drain = 1);
    state.see(drained);
    assert_eq!(press(&mut state, &[letter('d'), letter('y')]), Reaction::Do(Action::Drain(false)));
}

#[test]
fn q_and_control_c_end_it_from_anywhere() {
    let control_c = KeyEvent::new(letter('c'), KeyModifiers::CONTROL);
    for before in [&[][..], &[letter('c')], &[letter('?')]] {
        let mut state = state();
        press(&mut state, before);
        assert_eq!(state.key(control_c), Reaction::Quit);
    }
    assert_eq!(press(&mut state(), &[letter('q')]), Reaction::Quit);
}

#[test]
fn the_same_lease_stays_chosen_wherever_its_row_goes() {
    let mut state = state();
    press(&mut state, &[KeyCode::Down]);
    let mut next = snapshot();
    next.leases.insert(0, lease(1, "worker-9"));
    state.see(next.clone());
    assert_eq!(state.selected(Pane::Leases), 2);
    next.leases.truncate(1);
    state.see(next.clone());
    assert_eq!(state.selected(Pane::Leases), 0);
    next.leases.clear();
    state.see(next);
    assert_eq!(press(&mut state, &[KeyCode::Down, letter('c')]), Reaction::Nothing);
    assert_eq!((state.selected(Pane::Leases), state.question), (0, None));
}

#[test]
fn the_panes_are_gone_through_in_a_circle() {
    let mut state = state();
    for pane in Pane::ALL {
        assert_eq!(state.pane, pane);
        press(&mut state, &[KeyCode::Tab]);
    }
    press(&mut state, &[KeyCode::BackTab]);
    assert_eq!(state.pane, Pane::Events);
}

#[test]
fn rates_are_those_of_the_last_minute() {
    let mut state = State::new("", "", look());
    let start = Instant::now();
    state.count(start, &stats());
    assert_eq!(state.rates(), None);
    let mut later = stats();
    later.checkouts += 10;
    later.checkins.error += 5;
    state.count(start + Duration::from_secs(30), &later);
    assert_eq!(state.rates(), Some(Rates { checkouts: 20, checkins: 10 }));
    state.count(start + Duration::from_secs(90), &later);
    assert_eq!(state.rates(), Some(Rates { checkouts: 0, checkins: 0 }));
    let anew = Stats { checkouts: 0, ..stats() };
    state.count(start + Duration::from_secs(91), &anew);
    assert_eq!(state.rates(), None);
}

#[test]
fn a_server_that_is_away_is_so_since_it_was_lost() {
    let mut state = state();
    state.lose("connection refused".to_owned());
    let since = state.away.as_ref().map(|(since, _)| *since);
    state.lose("connection refused".to_owned());
    assert_eq!(state.away.as_ref().map(|(since, _)| *since), since);
    state.see(snapshot());
    assert_eq!(state.away, None);
}
