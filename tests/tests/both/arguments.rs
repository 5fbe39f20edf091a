//! Bad arguments: each is refused with a text that names it, and a refusal changes nothing.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "in a test a panic is the report"
)]

use poppo_tests::transcript::{show, split};
use poppo_tests::{Connection, Reply as _};

use super::Server;

/// Each command in a form that the server of [`furnished`] grants; whatever is appended to it is at fault alone.
pub(crate) const VALID: [(&str, &str); 22] = [
    ("CHECKOUT", "POPPO.CHECKOUT p 1 w1"),
    ("CHECKIN", "POPPO.CHECKIN p 1 w1 STATUS completed"),
    ("HEARTBEAT", "POPPO.HEARTBEAT p w1"),
    ("ORPHANS", "POPPO.ORPHANS p"),
    ("LIVENESS", "POPPO.LIVENESS p w1 ALIVE HOST h PID 5"),
    ("REPAIR", "POPPO.REPAIR p 3 TOKEN 5"),
    ("EVICT", "POPPO.EVICT p 1"),
    ("GET", "POPPO.GET p 1"),
    ("LIST", "POPPO.LIST p"),
    ("STATS", "POPPO.STATS p"),
    ("FORGET", "POPPO.FORGET p 2"),
    ("CONFIG", "POPPO.CONFIG p SET heartbeat-ttl 5000"),
    ("EVENTS", "POPPO.EVENTS p AFTER 0"),
    ("LABELS", "POPPO.LABELS p"),
    ("LABELLED", "POPPO.LABELLED p 2 3"),
    ("ENQUEUE", "POPPO.ENQUEUE p 5"),
    ("CLAIM", "POPPO.CLAIM p w1"),
    ("CANCEL", "POPPO.CANCEL p 4"),
    ("REVIVE", "POPPO.REVIVE p 2:dead"),
    ("DRAIN", "POPPO.DRAIN p ON"),
    ("EXPORT", "POPPO.EXPORT p"),
    ("IMPORT", r#"POPPO.IMPORT p {"export":{"version":1}}"#),
];

/// A server with a project `p`: issue 1 held by w1 (host h, PID 5), 2 completed by w1, 3 held by w3, which is dead; a dead
/// task of issue 2 and a waiting one of issue 4.
pub(crate) fn furnished() -> Server {
    let server = Server::start();
    let mut connection = server.connect();
    connection.ok("POPPO.CHECKOUT p 1 w1 HOST h PID 5 TITLE one");
    connection.ok("POPPO.CHECKOUT p 2 w1");
    connection.ok("POPPO.CHECKIN p 2 w1 STATUS completed");
    connection.ok("POPPO.CHECKOUT p 3 w3 HOST h PID 7");
    connection.ok("POPPO.LIVENESS p w3 DEAD HOST h PID 7");
    connection.ok("POPPO.ENQUEUE p 2 TYPE dead");
    connection.ok("POPPO.CLAIM p w4");
    connection.ok("POPPO.CHECKIN p 2 w4 STATUS error");
    connection.ok("POPPO.CHECKOUT p 2 w1");
    connection.ok("POPPO.CHECKIN p 2 w1 STATUS completed");
    connection.ok("POPPO.ENQUEUE p 4");
    server
}

/// Everything that a refusal must leave as it was.
pub(crate) fn state(connection: &mut Connection) -> (Vec<u8>, String) {
    let looks = [
        "POPPO.GET p 1",
        "POPPO.GET p 2",
        "POPPO.GET p 3",
        "POPPO.GET p 4",
        "POPPO.GET p 5",
        "POPPO.LIST p QUEUE",
        "POPPO.LIST p DEAD",
        "POPPO.CONFIG p GET",
    ];
    let shown = looks.map(|look| show(&connection.ok(look))).join("\n");
    (connection.dump("p"), shown)
}

/// Runs each line against one server and asserts that it is refused with `ERR`, that the text says `named` (in any
/// case), and that nothing changed.
fn assert_refused(lines: impl IntoIterator<Item = (Vec<Vec<u8>>, String)>) {
    let server = furnished();
    let mut connection = server.connect();
    let before = state(&mut connection);
    let mut wrong = Vec::new();
    for (line, named) in lines {
        let shown = abbreviated(&line);
        match connection.call(&line).error() {
            None => wrong.push(format!("{shown}\n    was granted")),
            Some(error) if !error.starts_with("ERR ") => wrong.push(format!("{shown}\n    is no ERR: {error}")),
            Some(error) if !error.to_lowercase().contains(&named.to_lowercase()) => {
                wrong.push(format!("{shown}\n    does not name {named}: {error}"));
            }
            Some(_) => {}
        }
        if state(&mut connection) != before {
            wrong.push(format!("{shown}\n    changed something"));
            break;
        }
    }
    assert!(wrong.is_empty(), "{} lines:\n{}", wrong.len(), wrong.join("\n"));
}

pub(crate) fn abbreviated(line: &[Vec<u8>]) -> String {
    let words = line.iter().map(|word| {
        let text = String::from_utf8_lossy(word);
        match text.char_indices().nth(40) {
            Some((at, _)) => format!("{}… ({} bytes)", &text[..at], word.len()),
            None => text.into_owned(),
        }
    });
    words.collect::<Vec<_>>().join(" ")
}

/// `line` with `arguments` behind it.
fn with(line: &str, arguments: &[&[u8]]) -> Vec<Vec<u8>> {
    let mut line = split(line);
    line.extend(arguments.iter().map(|argument| argument.to_vec()));
    line
}

fn valid(command: &str) -> &'static str {
    VALID.iter().find(|(name, _)| *name == command).expect("a command").1
}

/// An option and a value that is granted; none for a flag.
type CommandOption = (&'static str, Option<&'static str>);

/// Which options each command takes.
const OPTIONS: [(&str, &[CommandOption]); 13] = [
    (
        "CHECKOUT",
        &[
            ("PID", Some("5")),
            ("HOST", Some("h")),
            ("INCARNATION", Some("i")),
            ("TYPE", Some("fix")),
            ("TITLE", Some("t")),
            ("TMUX", Some("t")),
            ("TTL", Some("5000")),
            ("ONCE", None),
            ("TAKEOVER", None),
        ],
    ),
    (
        "CHECKIN",
        &[
            ("TOKEN", Some("5")),
            ("INCARNATION", Some("i")),
            ("RESULT", Some("{}")),
            ("REASON", Some("r")),
            ("STATUS", Some("completed")),
            ("RETRY", Some("0")),
            ("NEXT", None),
            ("REQ", Some("r")),
        ],
    ),
    (
        "ENQUEUE",
        &[
            ("ID", Some("x")),
            ("TYPE", Some("fix")),
            ("PRIORITY", Some("high")),
            ("DELAY", Some("5")),
            ("TITLE", Some("t")),
            ("PAYLOAD", Some("{}")),
            ("AGAIN", None),
        ],
    ),
    (
        "CLAIM",
        &[
            ("BLOCK", Some("5")),
            ("REQ", Some("r")),
            ("PID", Some("5")),
            ("HOST", Some("h")),
            ("INCARNATION", Some("i")),
            ("TYPE", Some("fix")),
            ("TITLE", Some("t")),
            ("TMUX", Some("t")),
            ("TTL", Some("5000")),
        ],
    ),
    ("CANCEL", &[("REASON", Some("r"))]),
    ("HEARTBEAT", &[("INCARNATION", Some("i")), ("TTL", Some("5000")), ("PROGRESS", Some("p")), ("BRIEF", None)]),
    ("ORPHANS", &[("COUNT", Some("5")), ("HOST", Some("h"))]),
    ("LIVENESS", &[("INCARNATION", Some("i")), ("HOST", Some("h")), ("PID", Some("5"))]),
    ("REPAIR", &[("STATUS", Some("error")), ("REQUEUE", None), ("REASON", Some("r")), ("TOKEN", Some("5"))]),
    ("EVICT", &[("TOKEN", Some("5")), ("REQUEUE", None), ("REASON", Some("r"))]),
    ("EVENTS", &[("AFTER", Some("0")), ("COUNT", Some("5")), ("BLOCK", Some("5"))]),
    ("LABELS", &[("COUNT", Some("5")), ("BLOCK", Some("5"))]),
    ("EXPORT", &[("CURSOR", Some("0")), ("COUNT", Some("5"))]),
];

#[test]
fn an_option_given_twice_is_refused() {
    assert_refused(OPTIONS.iter().flat_map(|(command, options)| {
        options.iter().map(|(name, value)| {
            let once: Vec<&[u8]> = [name.as_bytes()].into_iter().chain(value.map(str::as_bytes)).collect();
            let lower = name.to_lowercase();
            let again: Vec<&[u8]> = [lower.as_bytes()].into_iter().chain(value.map(str::as_bytes)).collect();
            (with(valid(command), &[once, again].concat()), (*name).to_owned())
        })
    }));
}

#[test]
fn an_option_without_its_value_is_refused() {
    assert_refused(OPTIONS.iter().flat_map(|(command, options)| {
        let with_value = options.iter().filter(|(_, value)| value.is_some());
        with_value.map(|(name, _)| {
            let line = valid(command);
            match line.find(&format!(" {name} ")) {
                None => (with(line, &[name.as_bytes()]), (*name).to_owned()),
                // The valid form needs the option: without its value the command is too short.
                Some(at) => (with(&line[..at], &[name.as_bytes()]), "wrong number of arguments".to_owned()),
            }
        })
    }));
    let long_enough = [
        ("POPPO.CHECKIN p 1 w1 REASON r STATUS", "STATUS"),
        ("POPPO.LIVENESS p w1 ALIVE PID 5 INCARNATION i HOST", "HOST"),
        ("POPPO.LIVENESS p w1 ALIVE HOST h INCARNATION i PID", "PID"),
        ("POPPO.REPAIR p 3 REASON r TOKEN", "TOKEN"),
        ("POPPO.EVENTS p COUNT 5 AFTER", "AFTER"),
        ("POPPO.EVENTS p AFTER 0 BLOCK", "BLOCK"),
    ];
    assert_refused(long_enough.map(|(line, named)| (split(line), named.to_owned())));
}

#[test]
fn an_unknown_option_is_refused_by_every_command_that_takes_options() {
    let commands = OPTIONS.iter().map(|(command, _)| *command).chain(["LIST", "LABELLED"]);
    assert_refused(commands.flat_map(|command| {
        [&b"BOGUS"[..], b"BOGUS=1", b"--bogus"].map(|option| {
            // What takes no options at all just finds too much.
            let named = if command == "LABELLED" { "" } else { "bogus" };
            (with(valid(command), &[option]), named.to_owned())
        })
    }));
}

#[test]
fn what_the_queue_cannot_mean_is_refused() {
    let lines = [
        ("POPPO.CHECKIN p 1 w1 STATUS completed RETRY 100", "RETRY"),
        ("POPPO.CHECKIN p 1 w1 RETRY 100 STATUS cancelled", "RETRY"),
        ("POPPO.CHECKIN p 1 w1 STATUS awaiting-response RETRY 0", "RETRY"),
        ("POPPO.CHECKIN p 1 w1 STATUS completed REQ r", "NEXT"),
        ("POPPO.CHECKIN p 1 w1 STATUS completed NEXT r", "'r'"),
        // What stands behind META is data: there is no NEXT then.
        ("POPPO.CHECKIN p 1 w1 STATUS completed REQ r META NEXT yes", "NEXT"),
        ("POPPO.REPAIR p 3 TOKEN 5 REQUEUE yes", "'yes'"),
        ("POPPO.ENQUEUE p 5 PRIORITY asap", "urgent"),
        ("POPPO.ENQUEUE p 5 PRIORITY \"\"", "PRIORITY"),
        ("POPPO.ENQUEUE p 5 PRIORITY hi", "PRIORITY"),
        ("POPPO.ENQUEUE p 5 PAYLOAD {", "PAYLOAD"),
        ("POPPO.ENQUEUE p 5 PAYLOAD \"\"", "PAYLOAD"),
        ("POPPO.ENQUEUE p 5 PAYLOAD \"{} {}\"", "PAYLOAD"),
        ("POPPO.ENQUEUE p 5 ID 4:issue", "4:issue"),
        ("POPPO.ENQUEUE p 5 ID 4:issue AGAIN", "4:issue"),
        ("POPPO.ENQUEUE p 5 ID 2:dead AGAIN", "2:dead"),
        ("POPPO.CLAIM p w1 TYPES", "TYPES"),
        ("POPPO.CLAIM p w1 TYPES 2 fix", "TYPES"),
        ("POPPO.CLAIM p w1 TYPES 1 fix review", "review"),
        ("POPPO.CLAIM p w1 TYPES 1 fix TYPES 1 fix", "TYPES"),
        ("POPPO.CLAIM p w1 TYPES 1 fix TYPE fix", "TYPE"),
        ("POPPO.CLAIM p w1 TYPE fix TYPES 1 fix", "TYPE"),
        ("POPPO.CLAIM p w1 ONCE", "ONCE"),
        ("POPPO.CLAIM p w1 TAKEOVER", "TAKEOVER"),
        ("POPPO.REVIVE p \"\"", "task"),
        ("POPPO.REVIVE p \"a b\"", "task"),
        ("POPPO.DRAIN p MAYBE", "ON or OFF"),
        ("POPPO.DRAIN p 1", "ON or OFF"),
        ("POPPO.DRAIN p \"\"", "ON or OFF"),
        ("POPPO.LIST p QUEUE DELAYED", "QUEUE"),
        ("POPPO.LIST p DEAD DEAD", "DEAD"),
        ("POPPO.LIST p STATUS error QUEUE", "QUEUE"),
        ("POPPO.LIST p PROCESSES DELAYED", "DELAYED"),
    ];
    assert_refused(lines.map(|(line, named)| (split(line), named.to_owned())));
    let types = |count: usize| format!("POPPO.CLAIM p w1 TYPES {count}{}", " t".repeat(count));
    assert_refused([(split(&types(65)), "TYPES".to_owned())]);
    let server = furnished();
    assert_eq!(show(&server.connect().ok(&types(64))), "(nil)");
}

#[test]
fn priorities_have_names_and_numbers() {
    let server = Server::start();
    let mut connection = server.connect();
    let levels = [
        ("urgent", 1000),
        ("dogfooding", 100),
        ("high", 75),
        ("normal", 50),
        ("low", 25),
        ("deferred", 10),
        ("URGENT", 1000),
        ("0", 0),
        ("1000", 1000),
        ("50", 50),
    ];
    for (index, (level, expected)) in levels.into_iter().enumerate() {
        assert_eq!(connection.int(&format!("POPPO.ENQUEUE p {} PRIORITY {level}", index + 1)), 1);
        let queue = connection.ok("POPPO.LIST p QUEUE");
        assert_eq!(queue.rows()[1].rows()[index].count("priority"), expected, "{level}");
    }
}

#[test]
fn a_number_that_is_none_or_out_of_its_range_is_refused() {
    // The line with `?` where the number stands, the argument's name, the smallest and the largest number allowed.
    let ranges: [(&str, &str, i128, i128); 30] = [
        ("POPPO.CHECKOUT p ? w9", "issue", 1, 9_007_199_254_740_991),
        ("POPPO.CHECKIN p ? w1 STATUS completed", "issue", 1, 9_007_199_254_740_991),
        ("POPPO.REPAIR p ? TOKEN 5", "issue", 1, 9_007_199_254_740_991),
        ("POPPO.EVICT p ?", "issue", 1, 9_007_199_254_740_991),
        ("POPPO.GET p ?", "issue", 1, 9_007_199_254_740_991),
        ("POPPO.FORGET p ?", "issue", 1, 9_007_199_254_740_991),
        ("POPPO.CHECKOUT p 1 w1 PID ?", "PID", 1, 2_147_483_647),
        ("POPPO.CHECKOUT p 1 w1 TTL ?", "TTL", 1000, 86_400_000),
        ("POPPO.HEARTBEAT p w1 TTL ?", "TTL", 1000, 86_400_000),
        ("POPPO.CHECKIN p 1 w1 STATUS completed TOKEN ?", "TOKEN", 1, 9_007_199_254_740_991),
        ("POPPO.REPAIR p 3 TOKEN ?", "TOKEN", 1, 9_007_199_254_740_991),
        ("POPPO.EVICT p 1 TOKEN ?", "TOKEN", 1, 9_007_199_254_740_991),
        ("POPPO.LIVENESS p w1 ALIVE HOST h PID ?", "PID", 1, 2_147_483_647),
        ("POPPO.ORPHANS p COUNT ?", "COUNT", 1, 10_000),
        ("POPPO.LIST p COUNT ?", "COUNT", 1, 10_000),
        ("POPPO.EVENTS p AFTER ?", "AFTER", 0, 9_007_199_254_740_991),
        ("POPPO.EVENTS p AFTER 0 COUNT ?", "COUNT", 1, 10_000),
        ("POPPO.EVENTS p AFTER 0 BLOCK ?", "BLOCK", 0, 86_400_000),
        ("POPPO.LABELS p COUNT ?", "COUNT", 1, 10_000),
        ("POPPO.LABELS p BLOCK ?", "BLOCK", 0, 86_400_000),
        ("POPPO.LABELLED p ? 1", "issue", 1, 9_007_199_254_740_991),
        ("POPPO.LABELLED p 2 ?", "version", 1, 9_007_199_254_740_991),
        ("POPPO.ENQUEUE p ?", "issue", 1, 9_007_199_254_740_991),
        ("POPPO.ENQUEUE p 5 DELAY ?", "DELAY", 0, 31_536_000_000),
        ("POPPO.ENQUEUE p 5 PRIORITY ?", "PRIORITY", 0, 1000),
        ("POPPO.CHECKIN p 1 w1 STATUS error RETRY ?", "RETRY", 0, 31_536_000_000),
        ("POPPO.CANCEL p ?", "issue", 1, 9_007_199_254_740_991),
        ("POPPO.CLAIM p w1 BLOCK ?", "BLOCK", 0, 86_400_000),
        ("POPPO.CLAIM p w1 TYPES ? fix", "TYPES", 1, 64),
        ("POPPO.CLAIM p w1 PID ?", "PID", 1, 2_147_483_647),
    ];
    assert_refused(ranges.iter().flat_map(|(line, name, low, high)| {
        let out = [low - 1, high + 1, -1, i128::from(u64::MAX), i128::from(u64::MAX) + 2].map(|n| n.to_string());
        let none = ["1.5", "abc", "\"\"", "1e3", "0x10", "\" 5\"", "\"5 \"", "\"5\\x00\"", "\"\\xff\"", "∞"];
        let values: Vec<String> = out.into_iter().chain(none.map(str::to_owned)).collect();
        values.into_iter().map(|value| (split(&line.replace('?', &value)), (*name).to_owned()))
    }));
}

#[test]
fn a_setting_out_of_its_range_or_unknown_is_refused() {
    let settings: [(&str, i64, i64); 11] = [
        ("heartbeat-ttl", 1000, 86_400_000),
        ("attest-ttl", 1000, 86_400_000),
        ("max-silence", 1000, 604_800_000),
        ("max-attempts", 1, 1000),
        ("max-orphans", 1, 1000),
        ("max-running", 0, 9_007_199_254_740_991),
        ("queue-aging", 0, 86_400_000),
        ("events-kept", 0, 1_000_000),
        ("issues-kept", 0, 9_007_199_254_740_991),
        ("finished-kept", 0, 10_000_000),
        ("process-kept", 1000, 31_536_000_000),
    ];
    let out_of_range = settings.iter().flat_map(|(name, low, high)| {
        let values = [(low - 1).to_string(), (high + 1).to_string(), "x".into(), "1.5".into(), "\"\"".into()];
        values.map(|value| {
            // A good setting before the bad one must not get through either.
            let line = format!("POPPO.CONFIG p SET issues-kept 7 {name} {value}");
            let line = if *name == "issues-kept" { format!("POPPO.CONFIG p SET {name} {value}") } else { line };
            (split(&line), (*name).to_owned())
        })
    });
    let other = [
        ("POPPO.CONFIG p SET bogus 1", "bogus"),
        ("POPPO.CONFIG p SET heartbeat-ttl 5000 bogus 1", "bogus"),
        ("POPPO.CONFIG p SET heartbeat-ttl 5000 attest-ttl", "attest-ttl"),
        ("POPPO.CONFIG p SET heartbeat-ttl", "heartbeat-ttl"),
        ("POPPO.CONFIG p SET heartbeat-ttl 5000 Heartbeat-TTL 6000", "heartbeat-ttl"),
        ("POPPO.CONFIG p GET bogus", "bogus"),
        ("POPPO.CONFIG p RESET heartbeat-ttl", "GET"),
    ];
    assert_refused(out_of_range.chain(other.map(|(line, named)| (split(line), named.to_owned()))));

    let server = furnished();
    let mut connection = server.connect();
    for (name, low, high) in settings {
        for value in [low, high] {
            connection.ok(&format!("POPPO.CONFIG p SET {name} {value}"));
            assert_eq!(connection.ok(&format!("POPPO.CONFIG p GET {name}")).count(name), value);
        }
    }
}

#[test]
fn a_name_that_is_empty_too_long_or_not_printable_ascii_without_spaces_is_refused() {
    let lines = [
        ("POPPO.CHECKOUT p 1 ?", "process"),
        ("POPPO.CHECKIN p 1 ? STATUS completed", "process"),
        ("POPPO.HEARTBEAT p ?", "process"),
        ("POPPO.LIVENESS p ? ALIVE HOST h PID 5", "process"),
        ("POPPO.CHECKOUT p 1 w1 HOST ?", "HOST"),
        ("POPPO.CHECKOUT p 1 w1 TYPE ?", "TYPE"),
        ("POPPO.CHECKOUT p 1 w1 INCARNATION ?", "INCARNATION"),
        ("POPPO.CHECKIN p 1 w1 STATUS completed INCARNATION ?", "INCARNATION"),
        ("POPPO.HEARTBEAT p w1 INCARNATION ?", "INCARNATION"),
        ("POPPO.LIVENESS p w1 ALIVE HOST ? PID 5", "HOST"),
        ("POPPO.LIVENESS p w1 ALIVE HOST h PID 5 INCARNATION ?", "INCARNATION"),
        ("POPPO.ORPHANS p HOST ?", "HOST"),
        ("POPPO.ENQUEUE p 5 ID ?", "ID"),
        ("POPPO.ENQUEUE p 5 TYPE ?", "TYPE"),
        ("POPPO.CLAIM p ?", "process"),
        ("POPPO.CLAIM p w1 REQ ?", "REQ"),
        ("POPPO.CLAIM p w1 TYPE ?", "TYPE"),
        ("POPPO.CLAIM p w1 TYPES 2 fix ?", "TYPES"),
        ("POPPO.CHECKIN p 1 w1 STATUS completed NEXT REQ ?", "REQ"),
    ];
    let names = ["\"\"", "\"a b\"", "\" a\"", "\"a\\x00\"", "\"a\\n\"", "\"a\\x7f\"", "\"\\xff\\xfe\"", "wörker"];
    assert_refused(lines.iter().flat_map(|(line, named)| {
        let long = "n".repeat(129);
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).chain([long]).collect();
        names.into_iter().map(|name| (split(&line.replace('?', &name)), (*named).to_owned()))
    }));

    let server = furnished();
    let longest: String = ('!'..='~').cycle().filter(|c| !"\"'\\".contains(*c)).take(128).collect();
    let mut connection = server.connect();
    connection.ok(&format!("POPPO.CHECKOUT p 9 x{} HOST {longest} TYPE {longest}", &longest[1..]));
    assert_eq!(connection.ok("POPPO.GET p 9").field("host"), longest);
}

#[test]
fn text_that_is_no_utf_8_or_too_long_is_refused() {
    let lines = [
        ("POPPO.CHECKOUT p 1 w1 TITLE", "TITLE"),
        ("POPPO.CHECKOUT p 1 w1 TMUX", "TMUX"),
        ("POPPO.CHECKIN p 1 w1 STATUS error REASON", "REASON"),
        ("POPPO.CHECKIN p 1 w1 STATUS error RESULT", "RESULT"),
        ("POPPO.CHECKIN p 1 w1 STATUS error META field", "META"),
        ("POPPO.HEARTBEAT p w1 PROGRESS", "PROGRESS"),
        ("POPPO.REPAIR p 3 TOKEN 5 REASON", "REASON"),
        ("POPPO.EVICT p 1 REASON", "REASON"),
        ("POPPO.ENQUEUE p 5 TITLE", "TITLE"),
        ("POPPO.ENQUEUE p 5 PAYLOAD", "PAYLOAD"),
        ("POPPO.CLAIM p w1 TITLE", "TITLE"),
        ("POPPO.CANCEL p 4 REASON", "REASON"),
    ];
    let long = format!("\"{}\"", "x".repeat(65_535));
    assert_refused(lines.iter().flat_map(|(line, named)| {
        [&b"\xff\xfe"[..], b"ok\xc3", b"\xed\xa0\x80", long.as_bytes()]
            .map(|value| (with(line, &[value]), (*named).to_owned()))
    }));
    assert_refused([
        (with(valid("CHECKIN"), &[b"META", b"\xff", b"value"]), "META".to_owned()),
        (with(valid("CHECKIN"), &[b"META", long.as_bytes(), b"value"]), "META".to_owned()),
    ]);

    let server = furnished();
    let mut connection = server.connect();
    let longest = "ü".repeat(32_768);
    connection.ok(&format!("POPPO.CHECKOUT p 1 w1 TITLE {longest}"));
    assert_eq!(connection.ok("POPPO.GET p 1").field("title"), longest);
}

#[test]
fn a_command_of_more_than_a_mebibyte_is_refused() {
    let value = vec![b'x'; 65_536];
    let mut line = split("POPPO.CHECKIN p 1 w1 STATUS error META");
    for field in 0..16 {
        line.push(format!("field{field}").into_bytes());
        line.push(value.clone());
    }
    assert_refused([(line.clone(), "1048576".to_owned())]);

    line.truncate(line.len() - 2);
    let server = furnished();
    let mut connection = server.connect();
    assert_eq!(connection.call(&line).error(), None);
    assert_eq!(connection.ok("POPPO.GET p 1").get("metadata").unwrap().fields().len(), 15);
}

#[test]
fn what_is_neither_a_status_nor_a_verdict_nor_json_is_refused() {
    let lines = [
        ("POPPO.CHECKIN p 1 w1 STATUS done", "STATUS"),
        ("POPPO.CHECKIN p 1 w1 STATUS processing", "STATUS"),
        ("POPPO.CHECKIN p 1 w1 STATUS \"\"", "STATUS"),
        ("POPPO.CHECKIN p 1 w1 REASON a REASON b", "REASON"),
        ("POPPO.CHECKIN p 1 w1 REASON none", "STATUS"),
        ("POPPO.CHECKIN p 1 w1 STATUS completed RESULT {", "RESULT"),
        ("POPPO.CHECKIN p 1 w1 STATUS completed RESULT \"\"", "RESULT"),
        ("POPPO.CHECKIN p 1 w1 STATUS completed RESULT {} META", "META"),
        ("POPPO.CHECKIN p 1 w1 STATUS completed META a", "META"),
        ("POPPO.CHECKIN p 1 w1 STATUS completed META a b c", "META"),
        ("POPPO.CHECKIN p 1 w1 STATUS completed RESULT \"{} {}\"", "RESULT"),
        ("POPPO.CHECKIN p 1 w1 STATUS completed RESULT {'a':1}", "RESULT"),
        ("POPPO.CHECKIN p 1 w1 STATUS completed RESULT nul", "RESULT"),
        ("POPPO.REPAIR p 3 TOKEN 5 STATUS completed", "STATUS"),
        ("POPPO.REPAIR p 3 TOKEN 5 STATUS cancelled", "STATUS"),
        ("POPPO.REPAIR p 3 REASON none", "TOKEN"),
        ("POPPO.LIVENESS p w1 MAYBE HOST h PID 5", "ALIVE"),
        ("POPPO.LIVENESS p w1 DEAD HOST h INCARNATION i", "PID"),
        ("POPPO.LIVENESS p w1 DEAD PID 5 INCARNATION i", "HOST"),
        ("POPPO.EVENTS p COUNT 5", "AFTER"),
        ("POPPO.EVENTS p 0 AFTER", "'0'"),
        ("POPPO.LIST p STATUS done", "STATUS"),
        ("POPPO.LIST p STATUS", "STATUS"),
        ("POPPO.LIST p STATUS error STATUS error", "STATUS"),
        ("POPPO.LIST p PROCESSES PROCESSES", "PROCESSES"),
        ("POPPO.LIST p STATUS error PROCESSES", "PROCESSES"),
        ("POPPO.LIST p COUNT", "COUNT"),
        ("POPPO.LIST p COUNT 1 COUNT 2", "COUNT"),
        ("POPPO.LIST p CURSOR", "CURSOR"),
        ("POPPO.LIST p CURSOR abc", "CURSOR"),
        ("POPPO.LIST p CURSOR -1", "CURSOR"),
        ("POPPO.LIST p CURSOR 0 CURSOR 0", "CURSOR"),
        ("POPPO.EXPORT p CURSOR 1", "CURSOR must be 0 or what EXPORT answered"),
        ("POPPO.EXPORT p CURSOR issues-1", "CURSOR"),
        ("POPPO.EXPORT p COUNT 0", "COUNT"),
        ("POPPO.IMPORT p \"\"", "json: line 1: is missing"),
        ("POPPO.IMPORT p {", "json: line 1: is not JSON"),
        ("POPPO.IMPORT p {\"issue\":{}}", "json: line 1"),
        ("POPPO.IMPORT p \"\\xff\"", "json must be UTF-8"),
        ("POPPO.IMPORT p {\"export\":{\"version\":2}}", "version is 2"),
    ];
    assert_refused(lines.map(|(line, named)| (split(line), named.to_owned())));
}

#[test]
fn json_of_every_kind_is_a_result() {
    let server = furnished();
    let mut connection = server.connect();
    for result in ["null", "true", "1.5e3", "\"text\"", "[]", "[1,{\"a\":[]}]", " {\"ü\":\"\\u00fc\"} "] {
        let token = connection.int("POPPO.CHECKOUT p 9 w1").to_string();
        let line = ["POPPO.CHECKIN", "p", "9", "w1", "STATUS", "error", "TOKEN", &token, "RESULT", result];
        assert_eq!(connection.call(&line).error(), None, "{result}");
        assert_eq!(connection.ok("POPPO.GET p 9").field("result"), result);
    }
}

#[test]
fn json_nested_without_end_is_refused_and_harms_nobody() {
    assert_refused([(with(valid("CHECKIN"), &[b"RESULT", "[".repeat(65_000).as_bytes()]), "RESULT".to_owned())]);
}

#[test]
fn too_few_or_too_many_arguments_are_refused() {
    let server = furnished();
    let mut connection = server.connect();
    let before = state(&mut connection);
    for (command, line) in VALID {
        let words = split(line);
        // Whatever a command needs, its name and the project alone are never enough but for these.
        let enough = if ["ORPHANS", "LIST", "STATS", "LABELS", "EXPORT"].contains(&command) { 2 } else { 3 };
        for length in 1..enough {
            let refusal = connection.call(&words[..length]).error();
            let refusal = refusal.unwrap_or_else(|| panic!("{command} took {length} words"));
            assert!(refusal.starts_with("ERR wrong number of arguments"), "{command}: {refusal}");
        }
    }
    for line in [
        "POPPO.GET p 1 2",
        "POPPO.STATS p p",
        "POPPO.FORGET p 2 3",
        "POPPO.CONFIG p GET heartbeat-ttl 5",
        "POPPO.LABELLED p 2 3 4",
        "POPPO.REVIVE p 2:dead 5",
        "POPPO.DRAIN p ON OFF",
        "POPPO.CANCEL p 4 5",
        r#"POPPO.IMPORT p {"export":{"version":1}} 5"#,
    ] {
        connection.refused(line, "ERR ");
    }
    assert_eq!(state(&mut connection), before);
}

#[test]
fn options_are_taken_in_any_order_and_any_case() {
    let server = Server::start();
    let mut connection = server.connect();
    connection.ok("poppo.checkout p 1 w1 ttl 5000 Title one pid 5 tYPE fix host h");
    let issue = connection.ok("POPPO.get p 1");
    assert_eq!((issue.field("title"), issue.field("host")), ("one".into(), "h".into()));
    connection.ok("POPPO.HEARTBEAT p w1 brief progress half");
    connection.ok("POPPO.CHECKIN p 1 w1 reason none result {} status error meta Status x status y");
    let issue = connection.ok("POPPO.GET p 1");
    assert_eq!(issue.field("status"), "error");
    // The names of metadata are data: their case counts.
    assert_eq!(issue.get("metadata").unwrap().fields(), ["Status", "status"]);
}

#[test]
fn a_refusal_on_a_project_that_does_not_exist_does_not_create_it() {
    let server = Server::start();
    let mut connection = server.connect();
    for (line, code) in [
        ("POPPO.CHECKIN p 1 w1 STATUS completed", "NOTHELD"),
        ("POPPO.CHECKIN p 1 w1 STATUS completed TOKEN 5", "NOTHELD"),
        ("POPPO.HEARTBEAT p w1", "NOPROC"),
        ("POPPO.REPAIR p 1 TOKEN 5", "NOTHELD"),
        ("POPPO.EVICT p 1", "NOTHELD"),
        ("POPPO.CHECKOUT p 1 w1 TTL 1", "ERR"),
        ("POPPO.CONFIG p SET heartbeat-ttl 1", "ERR"),
        ("POPPO.ENQUEUE p 1 DELAY -1", "ERR"),
        ("POPPO.CLAIM p w1 BLOCK -1", "ERR"),
        ("POPPO.IMPORT p {}", "ERR"),
    ] {
        connection.refused(line, code);
    }
    assert_eq!(connection.int("POPPO.LIVENESS p w1 DEAD HOST h PID 5"), 0);
    assert_eq!(connection.int("POPPO.FORGET p 1"), 0);
    assert_eq!(connection.int("POPPO.LABELLED p 1 1"), 0);
    assert_eq!(connection.int("POPPO.REVIVE p 1:issue"), 0);
    assert_eq!(connection.ok(valid("IMPORT")).count("unchanged"), 0);
    assert_eq!(connection.ok("POPPO.EXPORT p").rows()[1].rows().len(), 1);
    assert_eq!(connection.text("POPPO.CANCEL p 1"), "none");
    assert_eq!(connection.text("POPPO.DRAIN p OFF"), "OK");
    assert_eq!(show(&connection.cmd("POPPO.CLAIM p w1")), "(nil)");
    assert_eq!(show(&connection.cmd("POPPO.CLAIM p w1 BLOCK 1")), "(nil)");
    for what in ["QUEUE", "DELAYED", "DEAD"] {
        assert_eq!(show(&connection.cmd(&format!("POPPO.LIST p {what}"))), "1) \"0\"\n2) (empty array)");
    }
    assert_eq!(show(&connection.cmd("POPPO.EVENTS p AFTER 0")), "(empty array)");
    assert_eq!(show(&connection.cmd("POPPO.EVENTS p AFTER 0 BLOCK 1")), "(nil)");
    assert_eq!(show(&connection.cmd("POPPO.LABELS p")), "(empty array)");
    assert_eq!(connection.ok("POPPO.CONFIG p GET heartbeat-ttl").count("heartbeat-ttl"), 1_800_000);
    assert_eq!(show(&connection.cmd("POPPO.GET p 1")), "(nil)");
    assert_eq!(show(&connection.cmd("POPPO.STATS p")), "(nil)");
    assert_eq!(show(&connection.cmd("POPPO.ORPHANS p")), "(empty array)");
    assert_eq!(show(&connection.cmd("POPPO.LIST p")), "1) \"0\"\n2) (empty array)");
    assert_eq!(connection.int("EXISTS p"), 0);
}
