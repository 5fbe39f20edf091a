//! What must hold at every moment of every history, seen from outside: the commands never contradict each other.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "in a test a panic is the report"
)]

use std::collections::{BTreeMap, BTreeSet};

use poppo_tests::transcript::{show, split};
use poppo_tests::{Connection, History, Reply as _, Server, seed, wait_until};
use redis::Value;

/// What a project says of itself while nobody becomes an orphan: time passes even within a transaction.
struct Picture {
    issues: Vec<Value>,
    processes: Vec<Value>,
    orphans: Vec<Value>,
    stats: Value,
    events: Vec<Value>,
    labels: Vec<Value>,
}

impl Picture {
    fn take(connection: &mut Connection) -> Self {
        const ORPHANS: &str = "POPPO.ORPHANS p COUNT 10000";
        let mut taken = None;
        wait_until("nobody becomes an orphan while the picture is taken", || {
            connection.ok("MULTI");
            for line in [
                ORPHANS,
                "POPPO.LIST p COUNT 10000",
                "POPPO.LIST p PROCESSES COUNT 10000",
                "POPPO.STATS p",
                "POPPO.EVENTS p AFTER 0 COUNT 10000",
                "POPPO.LABELS p COUNT 10000",
                ORPHANS,
            ] {
                connection.ok(line);
            }
            let answers = connection.ok("EXEC");
            let [before, issues, processes, stats, events, labels, after] = answers.rows() else {
                panic!("{}", show(&answers))
            };
            taken = (before == after).then(|| Self {
                issues: issues.rows()[1].rows().to_vec(),
                processes: processes.rows()[1].rows().to_vec(),
                orphans: after.rows().to_vec(),
                stats: stats.clone(),
                events: events.rows().to_vec(),
                labels: labels.rows().to_vec(),
            });
            taken.is_some()
        });
        taken.expect("it was waited for")
    }

    fn held(&self) -> impl Iterator<Item = &Value> {
        self.issues.iter().filter(|issue| issue.field("status") == "processing")
    }

    /// What is in the picture twice is the same twice.
    fn assert_consistent(&self) {
        let numbers: Vec<i64> = self.issues.iter().map(|issue| issue.count("issue")).collect();
        assert!(numbers.windows(2).all(|pair| pair[0] < pair[1]), "the list is not in order: {numbers:?}");

        for status in ["processing", "completed", "awaiting-response", "error", "cancelled", "queued"] {
            let listed = self.issues.iter().filter(|issue| issue.field("status") == status).count() as i64;
            assert_eq!(self.stats.count(&format!("issues.{status}")), listed, "{status}");
        }

        let marked: BTreeMap<i64, String> =
            self.held().filter_map(|issue| Some((issue.count("issue"), issue.get("orphan")?.text()?))).collect();
        let listed: BTreeMap<i64, String> =
            self.orphans.iter().map(|row| (row.count("issue"), row.field("reason"))).collect();
        assert_eq!(marked, listed, "LIST and ORPHANS disagree");
        assert_eq!(self.orphans.len(), listed.len(), "an orphan is listed twice");
        assert_eq!(self.stats.count("orphans"), self.orphans.len() as i64);
        let since: Vec<(String, i64)> =
            self.orphans.iter().map(|row| (row.field("since"), row.count("issue"))).collect();
        // Times are shown in milliseconds: only those that differ there are known to be in order.
        assert!(since.windows(2).all(|pair| pair[0].0 <= pair[1].0), "not longest orphaned first: {since:?}");

        let holding: i64 = self.processes.iter().map(|process| process.count("issues")).sum();
        assert_eq!(self.stats.count("issues.processing"), holding);
        let orphaned: i64 = self
            .processes
            .iter()
            .filter(|process| process.field("state") != "alive")
            .map(|process| process.count("issues"))
            .sum();
        assert_eq!(orphaned, self.orphans.len() as i64, "LIST PROCESSES and ORPHANS disagree");
        // Of each process one life is current; the older ones that still hold something are listed, too.
        let names: BTreeSet<String> = self.processes.iter().map(|process| process.field("process")).collect();
        assert!(self.stats.count("processes") <= names.len() as i64);
        for name in names {
            let lives = self.processes.iter().filter(|process| process.field("process") == name);
            let alive = lives.filter(|process| process.field("state") == "alive").count();
            assert!(alive <= 1, "{name} has {alive} live lives");
        }

        let tokens: BTreeSet<i64> = self.issues.iter().map(|issue| issue.count("token")).collect();
        assert_eq!(tokens.len(), self.issues.len(), "a token was given twice");
        assert!(tokens.last().is_none_or(|token| *token <= self.last_token()));
        let ended = self.stats.count("hold.count");
        assert_eq!(self.stats.count("checkouts"), ended + holding, "a lease began or ended uncounted");

        let ids: Vec<i64> = self.events.iter().map(|event| event.count("id")).collect();
        assert!(ids.windows(2).all(|pair| pair[0] + 1 == pair[1]), "an event is missing: {ids:?}");
        let versions: Vec<i64> = self.labels.iter().map(|row| row.count("version")).collect();
        assert!(versions.windows(2).all(|pair| pair[0] < pair[1]), "not longest behind first: {versions:?}");
        assert!(versions.last() <= ids.last(), "a version without an event: {versions:?} {ids:?}");
        for row in &self.labels {
            let issue = self.issue(row.count("issue")).expect("what is to be labelled is there");
            assert_eq!(row.field("status"), issue.field("status"));
            let event = self.events.iter().find(|event| event.count("id") == row.count("version"));
            if let Some(event) = event.filter(|event| event.field("event") != "trimmed") {
                assert_eq!(event.count("issue"), row.count("issue"));
                assert_eq!(
                    (event.field("status"), event.count("token")),
                    (issue.field("status"), issue.count("token"))
                );
            }
        }
    }

    fn last_event(&self) -> i64 {
        self.events.last().map_or(0, |event| event.count("id"))
    }

    fn version_to_label(&self, issue: i64) -> Option<i64> {
        self.labels.iter().find(|row| row.count("issue") == issue).map(|row| row.count("version"))
    }

    fn last_token(&self) -> i64 {
        self.stats.get("lastToken").map_or(0, |token| token.number())
    }

    fn issue(&self, number: i64) -> Option<&Value> {
        self.issues.iter().find(|issue| issue.count("issue") == number)
    }
}

/// Each change of a status between two pictures is exactly one event, and a label that is behind; nothing else is.
fn assert_told(line: &str, answer: &Value, before: &Picture, after: &Picture) {
    let new: Vec<&Value> = after.events.iter().filter(|event| event.count("id") > before.last_event()).collect();
    assert!(new.len() <= 1, "one command, {} events", new.len());
    let pictures = [before, after];
    let numbers: BTreeSet<i64> =
        pictures.iter().flat_map(|picture| &picture.issues).map(|issue| issue.count("issue")).collect();
    for number in numbers {
        let [was, is] = pictures.map(|picture| {
            picture.issue(number).map(|issue| (issue.field("status"), issue.count("token"), issue.field("process")))
        });
        let event = new.iter().find(|event| event.count("issue") == number);
        match event {
            Some(event) => {
                let text = |field: &str| event.get(field).map(|value| value.text().unwrap());
                assert_ne!(was, is, "{}", show(event));
                assert_eq!(text("from"), was.as_ref().map(|(status, ..)| status.clone()));
                assert_eq!(text("status"), is.as_ref().map(|(status, ..)| status.clone()));
                let (_, token, process) = is.as_ref().or(was.as_ref()).unwrap();
                assert_eq!((event.count("token"), event.field("process")), (*token, process.clone()));
                assert_eq!(after.version_to_label(number), is.map(|_| event.count("id")));
            }
            None if is.is_none() => {
                // What is over the limit of finished issues goes without a word.
                assert!(
                    was.is_some_and(|(status, ..)| status != "processing"),
                    "{number} is gone, and no event says so"
                );
            }
            None => {
                assert_eq!(was, is, "issue {number} changed, and no event says so");
                let labelled = line.starts_with(&format!("POPPO.LABELLED p {number} ")) && answer == &Value::Int(1);
                let expected = before.version_to_label(number).filter(|_| !labelled);
                assert_eq!(after.version_to_label(number), expected);
            }
        }
    }
}

/// What an answer says must be seen in the pictures before and after it.
fn assert_explained(line: &str, answer: &Value, before: &Picture, after: &Picture) {
    let words: Vec<String> = split(line).into_iter().map(|word| String::from_utf8_lossy(&word).into_owned()).collect();
    let has = |option: &str| words.iter().any(|word| word == option);
    let number = words[2].parse::<i64>().ok();
    let (was, is) = (number.and_then(|n| before.issue(n)), number.and_then(|n| after.issue(n)));
    let was_held = was.is_some_and(|issue| issue.field("status") == "processing");
    let was_orphan = was.is_some_and(|issue| issue.get("orphan").is_some());
    // Time alone makes orphans between a picture and a command, too, but only for one reason.
    let was_orphan = was_orphan || after.stats.count("repairs.expired") > before.stats.count("repairs.expired");
    let code = answer.error().map(|error| error.split(' ').next().unwrap().to_owned());
    match (words[0].as_str(), code.as_deref()) {
        ("POPPO.CHECKOUT", None) => {
            let is = is.expect("what was granted is there");
            assert_eq!((is.field("status"), is.count("token")), ("processing".into(), answer.number()));
            assert_eq!(is.field("process"), words[3]);
            let orphan = is.get("orphan").and_then(|reason| reason.text());
            assert!(
                orphan.is_none_or(|reason| reason == "expired"),
                "who just checked out is neither dead nor replaced"
            );
            let token = was.map(|issue| issue.count("token"));
            if was_held && token != Some(answer.number()) {
                assert!(has("TAKEOVER"), "taken from a holder without being asked to");
                let own_name = was.unwrap().field("process") == words[3];
                assert!(was_orphan || own_name, "taken from a live holder");
                assert_eq!(after.stats.count("takeovers"), before.stats.count("takeovers") + 1);
            }
            if token != Some(answer.number()) {
                assert!(answer.number() > before.last_token(), "tokens rise");
                assert_eq!(after.stats.count("checkouts"), before.stats.count("checkouts") + 1);
            }
        }
        ("POPPO.CHECKOUT", Some("HELD")) => assert!(was_held),
        ("POPPO.CHECKOUT", Some("DONE")) => assert!(has("ONCE")),
        ("POPPO.CHECKIN", None) => assert_eq!(is.unwrap().field("status"), words[5]),
        ("POPPO.CHECKIN" | "POPPO.EVICT", Some("NOTHELD")) => assert!(!was_held),
        ("POPPO.CHECKIN", Some("HELD")) => assert!(was_held),
        ("POPPO.REPAIR", None) => {
            assert!(was_orphan || !was_held, "a live holder was repaired");
            assert_ne!(is.unwrap().field("status"), "processing");
        }
        ("POPPO.REPAIR", Some("ALIVE")) => assert!(was_held && !was_orphan),
        ("POPPO.EVICT", None) => {
            assert!(was_held);
            assert_eq!(is.unwrap().field("status"), "error");
        }
        ("POPPO.FORGET", None) => {
            assert_eq!(answer.number(), i64::from(was.is_some()));
            assert!(is.is_none());
        }
        ("POPPO.FORGET", Some("HELD")) => assert!(was_held),
        ("POPPO.HEARTBEAT", None) if !has("BRIEF") => {
            let held = answer.get("issues").unwrap().rows().len() as i64;
            let mine = |process: &&Value| {
                process.field("process") == words[2] && ["alive", "expired"].contains(&process.field("state").as_str())
            };
            let mine: Vec<i64> = after.processes.iter().filter(mine).map(|process| process.count("issues")).collect();
            assert!(mine.contains(&held), "who beats is alive, and holds {mine:?}, not {held}");
        }
        ("POPPO.HEARTBEAT", Some("NOPROC"))
        | ("POPPO.CHECKOUT", Some("INUSE"))
        | ("POPPO.CHECKIN" | "POPPO.REPAIR", Some("STALE" | "NOTHELD"))
        | ("POPPO.HEARTBEAT" | "POPPO.LIVENESS" | "POPPO.CONFIG" | "POPPO.LABELLED", None)
        | (_, Some("ERR")) => {}
        (command, code) => panic!("{command} must not answer {code:?}"),
    }
}

#[test]
fn the_commands_never_contradict_each_other() {
    let server = Server::start();
    let mut connection = server.connect();
    let first = seed(1);
    for seed in first..first + 4 {
        connection.ok("DEL p");
        let mut history = History::of_leases("p", seed);
        connection.ok("POPPO.CONFIG p SET heartbeat-ttl 1000");
        let mut before = Picture::take(&mut connection);
        for step in 0..400 {
            let mut line = history.line();
            if line.contains("events-kept") || step % 13 == 0 {
                let next = before.labels.first().map(|row| (row.count("issue"), row.count("version")));
                let (issue, version) = next.unwrap_or((1, 1));
                line = format!("POPPO.LABELLED p {issue} {version}");
            }
            let dump = connection.dump("p");
            let answer = connection.cmd(&line);
            history.learn(&answer);
            println!("seed {seed}, step {step}: {line}\n{}", show(&answer));
            if answer.error().is_some() {
                assert!(connection.dump("p") == dump, "a refusal changed something");
            }
            let after = Picture::take(&mut connection);
            after.assert_consistent();
            assert_explained(&line, &answer, &before, &after);
            assert_told(&line, &answer, &before, &after);
            before = after;
        }
    }
}

#[test]
fn the_commands_do_not_contradict_each_other_when_leases_run_out() {
    let server = Server::start();
    let mut connection = server.connect();
    let mut history = History::new("p", seed(50));
    history.run(&mut connection, 500);
    connection.ok("POPPO.CHECKOUT p 1000 silent TTL 1000");
    wait_until("a lease has run out", || {
        let picture = Picture::take(&mut connection);
        picture.assert_consistent();
        history.run(&mut connection, 1);
        picture.orphans.iter().any(|row| row.count("issue") == 1000)
    });
    let picture = Picture::take(&mut connection);
    for row in &picture.orphans {
        let (issue, token) = (row.count("issue"), row.count("token"));
        assert_eq!(connection.text(&format!("POPPO.REPAIR p {issue} TOKEN {token}")), "error");
    }
    let after = Picture::take(&mut connection);
    after.assert_consistent();
    let repairs = |picture: &Picture| -> i64 {
        ["expired", "dead", "replaced"].map(|reason| picture.stats.count(&format!("repairs.{reason}"))).iter().sum()
    };
    assert_eq!(repairs(&after) - repairs(&picture), picture.orphans.len() as i64);
}

/// The tasks of a project, seen in one transaction, and what a claim of these types gets then.
fn assert_queue_is_consistent(connection: &mut Connection, types: &[&str], claims: bool) {
    let options = if types.is_empty() { String::new() } else { format!(" TYPES {} {}", types.len(), types.join(" ")) };
    connection.ok("MULTI");
    for line in [
        "POPPO.LIST p COUNT 10000",
        "POPPO.LIST p DELAYED COUNT 10000",
        "POPPO.LIST p QUEUE COUNT 10000",
        "POPPO.LIST p DEAD COUNT 10000",
        "POPPO.STATS p",
        "POPPO.CONFIG p GET",
    ] {
        connection.ok(line);
    }
    for issue in 1..=25 {
        connection.ok(&format!("POPPO.GET p {issue}"));
    }
    connection.ok("POPPO.LIST p DELAYED COUNT 10000");
    if claims {
        connection.ok(&format!("POPPO.CLAIM p prober{options}"));
    }
    let answers = connection.ok("EXEC");
    let answers = answers.rows();
    let listed = |at: usize| answers[at].rows()[1].rows();
    let (issues, delayed, waiting, dead) = (listed(0), listed(1), listed(2), listed(3));
    let (stats, settings) = (&answers[4], &answers[5]);
    let records: Vec<&Value> = answers[6..31].iter().filter(|record| !matches!(record, Value::Nil)).collect();
    let running: Vec<&&Value> = records.iter().filter(|record| record.get("task").is_some()).collect();
    if answers[1] != answers[31] {
        // Time passes even in a transaction, and some task fell due: the lists are of different moments.
        return;
    }
    let whole = issues.iter().all(|issue| issue.count("issue") <= 25);

    let counts = ["waiting", "delayed", "dead", "running"].map(|what| stats.count(&format!("queue.{what}")) as usize);
    assert_eq!(counts[..3], [waiting.len(), delayed.len(), dead.len()]);
    assert!(!whole || counts[3] == running.len(), "{} run, not {}", running.len(), counts[3]);
    let depth = stats.get("queue").unwrap().get("depth").unwrap();
    let depths: i64 = depth.fields().iter().map(|priority| depth.count(priority)).sum();
    assert_eq!(depths as usize, counts[0]);
    let all = [waiting, delayed, dead].concat();
    let ids: Vec<String> = all.iter().chain(running.iter().copied().copied()).map(|task| task.field("task")).collect();
    assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), ids.len(), "a task is in two places: {ids:?}");
    assert_eq!(stats.count("wait.count"), stats.count("tasks.claimed"));

    let held: BTreeSet<i64> =
        issues.iter().filter(|issue| issue.field("status") == "processing").map(|issue| issue.count("issue")).collect();
    for task in waiting {
        assert_eq!(task.get("held").is_some(), held.contains(&task.count("issue")), "{}", show(task));
    }
    for record in &records {
        let issue = record.count("issue");
        let tasks = [waiting, delayed].concat().iter().filter(|task| task.count("issue") == issue).count() as i64;
        let told = record.get("tasks").map_or(0, |tasks| tasks.number());
        assert_eq!(told, tasks, "{}", show(record));
        // One that only has dead tasks has no status.
        let queued = record.get("status").and_then(|status| status.text()).is_some_and(|status| status == "queued");
        assert!(!queued || tasks > 0, "queued without a task: {}", show(record));
    }

    if !claims {
        return;
    }
    let limit = settings.count("max-running");
    let open = stats.count("queue.drain") == 0 && (limit == 0 || (held.len() as i64) < limit);
    let of_types = |task: &&Value| types.is_empty() || types.contains(&task.field("type").as_str());
    let free = |task: &&Value| task.get("held").is_none() && of_types(task);
    let candidates: Vec<&Value> = waiting.iter().filter(free).filter(|_| open).collect();
    let best = candidates.iter().map(|task| (-task.count("priority"), task.field("since"))).min();
    match (answers.last().unwrap(), best) {
        (Value::Nil, best) => assert_eq!(best, None, "there was a task to be had"),
        (given, best) => {
            let id = given.field("task");
            assert!(open, "{id} was given away");
            if delayed.iter().any(|task| task.field("task") == id) {
                // It fell due just now.
                return;
            }
            let task = candidates.iter().find(|task| task.field("task") == id).expect("it was to be had");
            if settings.count("queue-aging") == 0 {
                assert_eq!(Some((-task.count("priority"), task.field("since"))), best, "{id} was not the first");
            }
        }
    }
}

#[test]
fn the_queue_never_contradicts_itself_and_gives_the_first_of_its_tasks() {
    let server = Server::start();
    let mut connection = server.connect();
    let first = seed(900);
    let mut claimed = 0;
    for seed in first..first + 4 {
        println!("seed {seed}");
        connection.ok("DEL p");
        connection.ok("POPPO.CONFIG p SET heartbeat-ttl 60000");
        let mut history = History::new("p", seed);
        for step in 0..200 {
            history.run(&mut connection, 5);
            println!("step {step}");
            let types: &[&str] = [&[][..], &["0"], &["issue", "1"]][step % 3];
            assert_queue_is_consistent(&mut connection, types, step % 4 == 0);
            if step % 20 == 0 {
                connection.ok("DEBUG RELOAD");
                assert_queue_is_consistent(&mut connection, types, false);
            }
        }
        claimed += connection.ok("POPPO.STATS p").count("tasks.claimed");
    }
    assert!(claimed > 30, "{claimed} claims");
}

#[test]
fn of_many_workers_who_want_an_issue_at_once_exactly_one_gets_it() {
    let server = Server::start();
    const WORKERS: usize = 8;
    const ISSUES: usize = 200;
    let won: Vec<BTreeMap<usize, i64>> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..WORKERS)
            .map(|worker| {
                let mut connection = server.connect();
                scope.spawn(move || {
                    let mut won = BTreeMap::new();
                    for issue in 1..=ISSUES {
                        let answer = connection.cmd(&format!("POPPO.CHECKOUT p {issue} worker-{worker}"));
                        match answer.error() {
                            None => drop(won.insert(issue, answer.number())),
                            Some(error) => assert!(error.starts_with("HELD"), "{error}"),
                        }
                    }
                    won
                })
            })
            .collect();
        workers.into_iter().map(|worker| worker.join().unwrap()).collect()
    });
    let all: Vec<usize> = won.iter().flat_map(BTreeMap::keys).copied().collect();
    assert_eq!(all.len(), ISSUES, "each issue has one holder");
    assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), ISSUES);
    let tokens: BTreeSet<i64> = won.iter().flat_map(BTreeMap::values).copied().collect();
    assert_eq!(tokens.len(), ISSUES);
}
