use poppo_tests::{Connection, History, Reply as _, seed, wait_until};
use serde_json::Value as Json;

use super::Server;

/// The lines of a project in pieces of so many, without headers.
#[track_caller]
pub(crate) fn export(connection: &mut Connection, project: &str, count: usize) -> Vec<Vec<String>> {
    let (mut pieces, mut cursor) = (Vec::new(), "0".to_owned());
    loop {
        let answer = connection.ok(&format!("POPPO.EXPORT {project} CURSOR {cursor} COUNT {count}"));
        let mut lines: Vec<String> = answer.rows()[1].rows().iter().map(|line| line.text().unwrap()).collect();
        assert!(lines.remove(0).starts_with("{\"export\":{\"version\":1,"));
        assert!(lines.len() <= count);
        pieces.push(lines);
        cursor = answer.rows()[0].text().unwrap();
        if cursor == "0" {
            return pieces;
        }
    }
}

/// The words of a command that merges lines.
pub(crate) fn import(project: &str, lines: &[String]) -> Vec<Vec<u8>> {
    let json = format!("{{\"export\":{{\"version\":1}}}}\n{}\n", lines.join("\n"));
    ["POPPO.IMPORT", project, &json].map(|word| word.as_bytes().to_vec()).to_vec()
}

/// Tasks of a history are delayed for moments only: afterwards an export stays what it is.
pub(crate) fn at_rest(connection: &mut Connection, project: &str) {
    let stats = format!("POPPO.STATS {project}");
    wait_until("no task is delayed any more", || connection.ok(&stats).count("queue.delayed") == 0);
}

#[test]
fn a_project_that_moves_in_pieces_is_what_it_was() {
    let server = Server::builder().no_grace().start();
    let mut connection = server.connect();
    let first = seed(700);
    for seed in first..first + 3 {
        connection.ok("DEL p q");
        History::new("p", seed).run(&mut connection, 300);
        at_rest(&mut connection, "p");
        let whole = export(&mut connection, "p", 10_000).concat();
        assert!(whole.len() > 10);
        for (number, count) in [1, 7, 10_000].into_iter().enumerate() {
            let pieces = export(&mut connection, "p", count);
            assert_eq!(pieces.concat(), whole, "seed {seed}");
            let target = format!("q{number}");
            connection.ok(&format!("DEL {target}"));
            for piece in &pieces {
                connection.call(&import(&target, piece));
            }
            assert_eq!(export(&mut connection, &target, 10_000).concat(), whole, "seed {seed}");
            let answer = connection.call(&import(&target, &whole));
            assert_eq!(answer.count("unchanged"), i64::try_from(whole.len()).unwrap());
        }
        // Nobody works for the other project yet.
        let (held, orphans) = (connection.ok("POPPO.STATS q0"), connection.ok("POPPO.ORPHANS q0"));
        assert_eq!(held.count("issues.processing"), i64::try_from(orphans.rows().len()).unwrap());
    }
}

#[test]
fn a_piece_with_a_wrong_line_changes_nothing_and_the_error_names_the_line() {
    let server = Server::start();
    let mut connection = server.connect();
    connection.ok("POPPO.CHECKOUT p 7 w1 TITLE one");
    connection.ok("POPPO.ENQUEUE p 8 TYPE fix");
    let lines = export(&mut connection, "p", 10_000).concat();
    for (old, new, says) in [
        ("\"number\":7", "\"number\":-7", "line 4: "),
        ("\"title\":\"one\"", "\"colour\":\"red\"", "line 4 (issue 7): unknown field `colour`"),
        ("\"priority\":50", "\"priority\":1001", "line 3 (task 8:fix): must be an integer from 0 to 1000"),
        ("\"process\":\"w1\"", "\"process\":\"w 1\"", "line 4 (issue 7): a name must be 1 to 128 bytes"),
    ] {
        let hurt: Vec<String> = lines.iter().map(|line| line.replace(old, new)).collect();
        assert_ne!(hurt, lines, "{old} is not there: {lines:#?}");
        let error = connection.call(&import("q", &hurt)).error().expect(new);
        assert!(error.starts_with(&format!("ERR json: {says}")), "{error}");
        assert_eq!(connection.int("EXISTS q"), 0);
    }
}

#[test]
fn a_lease_that_moved_is_an_orphan_and_its_token_is_never_given_again() {
    let server = Server::start();
    let mut connection = server.connect();
    let token = connection.int("POPPO.CHECKOUT p 7 w1 INCARNATION i");
    let lines = export(&mut connection, "p", 10_000).concat();
    let answer = connection.call(&import("q", &lines));
    assert_eq!((answer.count("issues"), answer.count("orphans")), (1, 1));
    let orphans = connection.ok("POPPO.ORPHANS q");
    assert_eq!((orphans.rows()[0].field("reason"), orphans.rows()[0].count("token")), ("dead".to_owned(), token));
    assert!(connection.int("POPPO.CHECKOUT q 8 w2") > token);
    // Its worker is here now.
    connection.ok("POPPO.HEARTBEAT q w1 INCARNATION i");
    assert!(connection.ok("POPPO.ORPHANS q").rows().is_empty());
    // And so nothing that comes can take it away.
    connection.ok("POPPO.EVICT p 7");
    let lines = export(&mut connection, "p", 10_000).concat();
    assert_eq!(connection.call(&import("q", &lines)).count("kept"), 1);
    assert_eq!(connection.text(&format!("POPPO.CHECKIN q 7 w1 STATUS completed TOKEN {token}")), "OK");
}

#[test]
fn what_came_is_told_to_who_follows() {
    let server = Server::start();
    let mut connection = server.connect();
    let token = connection.int("POPPO.CHECKOUT p 7 w1");
    connection.ok("POPPO.CHECKIN p 7 w1 STATUS completed");
    connection.ok("POPPO.ENQUEUE p 8 TYPE fix");
    let lines = export(&mut connection, "p", 10_000).concat();
    assert!(lines.iter().all(|line| serde_json::from_str::<Json>(line).is_ok()));
    connection.call(&import("q", &lines));
    let events = connection.ok("POPPO.EVENTS q AFTER 0");
    let events = events.rows();
    assert_eq!(events.len(), 2);
    assert!(events.iter().all(|event| event.field("event") == "import"));
    assert_eq!((events[0].field("task"), events[0].field("status")), ("8:fix".to_owned(), "queued".to_owned()));
    assert_eq!((events[1].count("token"), events[1].field("status")), (token, "completed".to_owned()));
    assert_eq!(connection.ok("POPPO.LABELS q").rows()[0].count("issue"), 7);
}
