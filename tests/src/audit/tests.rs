//! An auditor that finds nothing where there is something is worse than none: each rule is broken once.

use super::*;

/// `enqueue t`, `claim t 5 w`, `checkin t 5 w completed`, `cancel t`, `cancel - 5`, … of issue 1: what happened, task,
/// token, process, status.
fn log(lines: &[&str]) -> Vec<Event> {
    let event = |(index, line): (usize, &&str)| {
        let words: Vec<&str> = line.split(' ').collect();
        let word = |at: usize| words.get(at).filter(|word| **word != "-").map(|word| (*word).to_owned());
        Event {
            id: index as i64 + 1,
            what: words[0].to_owned(),
            issue: 1,
            task: word(1),
            token: word(2).map(|token| token.parse().unwrap()),
            process: word(3),
            status: word(4),
            at: 1_000 + 10 * index as u64,
            ..Event::default()
        }
    };
    lines.iter().enumerate().map(event).collect()
}

fn findings(events: &[Event], notes: &[Note]) -> Vec<String> {
    let (mut book, mut findings) = (Book::default(), Findings::default());
    events.iter().for_each(|event| book.enter(event, &mut findings));
    check_notes(&book, notes, &mut findings);
    findings.0
}

const SOUND: [&str; 12] = [
    "enqueue t",
    "claim t 5 w",
    "repair t 5 w queued",
    "claim t 6 v",
    "checkin t 6 v queued",
    "claim t 7 w",
    "cancel t 7 w",
    "checkin t 7 w completed",
    "checkout - 8 w",
    "checkin u 8 w error",
    "dead u 8 w error",
    "revive u",
];

fn noted() -> Vec<Note> {
    let (issue, task) = (1, Some("t".to_owned()));
    let granted = |process: &str, token, attempts| Note::Granted {
        process: process.to_owned(),
        issue,
        token,
        task: task.clone(),
        attempts,
    };
    let asked = |token, status: &str, retry| Note::Asked { issue, token, status: status.to_owned(), retry };
    let told = |token, answer: &str| Note::Told { issue, token, answer: answer.to_owned() };
    vec![
        Note::Enqueue { task: "t".to_owned(), delay: 0, answer: Some(true) },
        Note::Enqueue { task: "t".to_owned(), delay: 0, answer: Some(false) },
        granted("w", 5, 0),
        Note::Did { issue, token: 5, task: task.clone() },
        asked(5, "completed", None),
        told(5, "STALE"),
        granted("v", 6, 0),
        asked(6, "error", Some(10)),
        told(6, "OK"),
        granted("w", 7, 1),
        Note::Did { issue, token: 7, task: task.clone() },
        asked(7, "completed", None),
        told(7, "OK"),
        Note::Ended { token: 5, what: "repair".to_owned(), answer: "queued".to_owned() },
        asked(8, "error", None),
        told(8, "OK"),
    ]
}

#[test]
fn what_is_sound_is_found_sound() {
    assert_eq!(findings(&log(&SOUND), &noted()), Vec::<String>::new());
}

#[test]
fn each_way_of_losing_or_doubling_a_task_is_found() {
    let broken: [(&[&str], &str); 17] = [
        (&["enqueue t", "claim t 5 w", "checkin t 5 w completed", "enqueue t"], "queued while"),
        (&["enqueue t", "enqueue t"], "queued while"),
        (&["enqueue t", "claim t 5 w", "checkin t 5 w completed", "claim t 6 w"], "but it is Finished"),
        (&["enqueue t", "claim t 5 w", "claim t 6 v"], "two leases at a time"),
        (&["enqueue t", "claim t 5 w", "checkin t 5 w completed", "checkin t 5 w completed"], "not any more"),
        (&["enqueue t", "claim t 5 w", "repair t 5 w queued", "checkin t 5 w completed"], "not any more"),
        (&["enqueue t", "claim t 5 w", "repair t 5 w queued", "claim t 5 v"], "tokens must rise"),
        (&["enqueue t", "claim t 5 w", "repair t 5 w error", "enqueue u"], "failed for good"),
        (&["enqueue t", "claim t 5 w", "repair - 5 w error"], "was lost"),
        (&["enqueue t", "claim t 5 w", "checkin u 5 w completed"], "was lost"),
        (&["claim t 5 w"], "never queued"),
        (&["enqueue t", "claim - 5 w"], "without a task"),
        (&["enqueue t", "claim t 5 w", "cancel t 5 w", "checkin t 5 w queued"], "came back"),
        (&["enqueue t", "claim t 5 w", "takeover - 6 v"], "was lost"),
        (&["enqueue t", "claim t 5 w", "cancel t"], "but it is Running"),
        (&["enqueue t", "revive t"], "but it is Waiting"),
        (&["checkout - 5 w", "checkin - 5 w queued"], "nothing waits"),
    ];
    for (lines, expected) in broken {
        let found = findings(&log(lines), &[]);
        assert!(found.iter().any(|finding| finding.contains(expected)), "{lines:?}: {found:?}");
    }
    let mut gap = log(&SOUND);
    gap.remove(4);
    assert!(!findings(&gap, &[]).is_empty());
}

#[test]
fn what_somebody_was_told_and_the_log_does_not_say_is_found() {
    let changes = [
        ("enqueue t 0 false", "enqueue t 0 true", "was queued 2"),
        ("granted w 1 5 t 0", "granted w 1 9 t 0", "no event says so"),
        ("granted w 1 5 t 0", "granted x 1 5 t 0", "but the log says"),
        ("granted w 1 7 t 1", "granted w 1 7 t 3", "after 1 failures"),
        ("did 1 7 t", "did 1 5 t", "before anybody did"),
        ("did 1 7 t", "did 1 7 u", "which was not granted"),
        ("told 1 5 STALE", "told 1 5 OK", "5 was checked in"),
        ("told 1 7 OK", "told 1 7 STALE", "7 was refused"),
        ("told 1 7 OK", "told 1 7 ERR", "answered ERR"),
        ("asked 1 7 completed -", "asked 1 7 error -", "7 was"),
        ("asked 1 6 error 10", "asked 1 6 error 500", "was claimed before"),
        ("ended 5 repair queued", "ended 5 repair error", "but the log says"),
        ("told 1 5 STALE", "stray w 5", "lies idle"),
        ("enqueue t 0 true", "enqueue t 500 true", "before it was due"),
    ];
    let written: Vec<String> = noted().iter().map(ToString::to_string).collect();
    for (was, is, expected) in changes {
        assert!(written.iter().any(|line| line == was), "{was}");
        let lines = written.iter().map(|line| if line == was { is } else { line });
        let notes: Vec<Note> = lines.map(|line| Note::parse(line).unwrap()).collect();
        let found = findings(&log(&SOUND), &notes);
        assert!(found.iter().any(|finding| finding.contains(expected)), "{is}: {found:?}");
    }
}

#[test]
fn notes_are_read_as_they_were_written_but_for_half_a_line() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ledger");
    let mut ledger = Ledger::open(&path).unwrap();
    noted().into_iter().for_each(|note| ledger.note(note));
    let mut file = std::fs::File::options().append(true).open(&path).unwrap();
    std::io::Write::write_all(&mut file, b"did 1 7").unwrap();
    assert_eq!(read_notes(&path), noted());
}
