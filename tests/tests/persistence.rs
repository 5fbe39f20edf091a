//! What is on disk: RDB, AOF with and without the RDB preamble, kill -9, payloads of DUMP good and bad, and the
//! grace after a restart.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "in a test a panic is the report"
)]

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use poppo_tests::transcript::show;
use poppo_tests::{
    Builder, Connection, History, Random, Reply as _, Server, artifacts, dump, portrait, rewrite_aof, seed, wait_until,
};

/// Fills the project `p` with a random history.
fn furnish(connection: &mut Connection, usual: u64) {
    History::new("p", seed(usual)).run(connection, 1500);
    assert!(connection.dump("p").len() > 500);
}

/// A restart gives back the value to the byte; `prepare` may have the AOF rewritten and the like.
fn assert_survives_restart(builder: Builder, number: u64, prepare: impl FnOnce(&mut Connection)) {
    let mut server = builder.start();
    let mut connection = server.connect();
    furnish(&mut connection, number);
    connection.ok("POPPO.CONFIG p SET attest-ttl 86400000 issues-kept 0");
    for issue in [900, 902] {
        connection.ok(&format!("POPPO.CHECKOUT p {issue} attested INCARNATION i HOST h PID 9 TMUX t"));
    }
    connection.ok("POPPO.HEARTBEAT p attested PROGRESS half");
    connection.ok("POPPO.LIVENESS p attested ALIVE HOST h PID 9");
    connection.ok("POPPO.CHECKIN p 902 attested STATUS completed RESULT {} REASON r META a b");
    prepare(&mut connection);
    // Some commands behind whatever was prepared.
    for issue in 910..1000 {
        connection.ok(&format!("POPPO.CHECKOUT p {issue} attested INCARNATION i"));
    }
    let before = (connection.dump("p"), portrait(&mut connection, "p"));
    server.restart();
    let mut connection = server.connect();
    assert_eq!(connection.info("poppo", "poppo_apply_failures"), "0");
    assert_eq!(portrait(&mut connection, "p"), before.1);
    assert!(connection.dump("p") == before.0, "the value changed over a restart");
    // What was said of the living counts on: an attested life cannot be replaced.
    assert_eq!(connection.int("POPPO.LIVENESS p attested ALIVE HOST other PID 9"), 0);
    connection.refused("POPPO.CHECKOUT p 901 attested INCARNATION j", "INUSE");
    connection.refused("POPPO.CHECKOUT p 902 attested INCARNATION i ONCE", "DONE");
}

fn aof(builder: Builder) -> Builder {
    builder.arg("appendonly", "yes").arg("appendfsync", "no").arg("auto-aof-rewrite-percentage", 0)
}

#[test]
fn a_project_survives_a_restart_from_the_rdb_file() {
    assert_survives_restart(Server::builder().no_grace(), 1, |_| {});
}

#[test]
fn a_project_survives_a_restart_from_the_aof() {
    assert_survives_restart(aof(Server::builder().no_grace()), 10, |_| {});
}

#[test]
fn a_project_survives_a_restart_from_an_aof_that_begins_with_an_rdb_file() {
    assert_survives_restart(aof(Server::builder().no_grace()), 20, rewrite_aof);
}

#[test]
fn a_project_survives_a_restart_from_a_rewritten_aof_of_commands_only() {
    let builder = aof(Server::builder().no_grace()).arg("aof-use-rdb-preamble", "no");
    assert_survives_restart(builder, 30, |connection| {
        // Big enough for several pieces.
        let text = "x".repeat(60_000);
        for issue in 1000..1040 {
            connection.ok(&format!("POPPO.CHECKOUT p {issue} bulk TITLE {text}"));
        }
        rewrite_aof(connection);
        let directory = connection.ok("CONFIG GET dir").field("dir");
        let base = aof_file(Path::new(&directory), ".base.aof");
        assert!(base.starts_with(b"*"), "the AOF begins with an RDB file");
        let pieces = base.windows(10).filter(|window| window.eq_ignore_ascii_case(b"POPPO.LOAD")).count();
        assert!(pieces > 1, "{pieces} pieces");
    });
}

#[test]
fn the_counts_of_the_server_are_right_after_a_reload() {
    let server = Server::start();
    let mut connection = server.connect();
    furnish(&mut connection, 35);
    connection.ok("COPY p q");
    let counts = |connection: &mut Connection| {
        ["poppo_projects", "poppo_leases"].map(|field| connection.info("poppo", field).parse::<i64>().unwrap())
    };
    let before = (connection.dump("p"), portrait(&mut connection, "p"), counts(&mut connection));
    let held = connection.ok("POPPO.STATS p").count("issues.processing");
    assert_eq!(before.2, [2, 2 * held]);
    connection.ok("DEBUG RELOAD");
    assert_eq!(portrait(&mut connection, "p"), before.1);
    assert!(connection.dump("p") == before.0);
    assert_eq!(counts(&mut connection), before.2);
    connection.ok("FLUSHALL ASYNC");
    wait_until("all is freed", || counts(&mut connection) == [0, 0]);
}

#[test]
fn an_aof_is_the_same_whatever_the_grace_of_the_server_that_reads_it() {
    let directory = tempfile::tempdir().unwrap();
    let before = {
        let mut server = aof(Server::builder().no_grace()).dir(directory.path()).start();
        let mut connection = server.connect();
        furnish(&mut connection, 40);
        let before = connection.dump("p");
        server.shutdown("NOSAVE");
        before
    };
    let server =
        aof(Server::builder().module_arg("restart-grace").module_arg(86_400_000)).dir(directory.path()).start();
    let mut connection = server.connect();
    assert!(connection.dump("p") == before);
    assert_eq!(connection.info("poppo", "poppo_apply_failures"), "0");
    assert_eq!(connection.info("poppo", "poppo_projects"), "1");
}

#[test]
fn a_kill_loses_no_acknowledged_write() {
    let mut server = Server::builder().arg("appendonly", "yes").arg("appendfsync", "always").start();
    let killed = AtomicBool::new(false);
    // Each writer notes what was acknowledged: the token of each issue, and whether its check-in was.
    let acknowledged: Vec<(usize, i64, bool)> = std::thread::scope(|scope| {
        let writers: Vec<_> = (0..4)
            .map(|writer| {
                let mut connection = server.connect();
                let killed = &killed;
                scope.spawn(move || {
                    let mut acknowledged = Vec::new();
                    for issue in (writer + 1..).step_by(4) {
                        let number = issue.to_string();
                        let Ok(reply) = connection.try_call(&["POPPO.CHECKOUT", "p", &number, "w"]) else { break };
                        let checkin = ["POPPO.CHECKIN", "p", &number, "w", "STATUS", "completed"];
                        let checked_in = issue % 3 == 0 && connection.try_call(&checkin).is_ok();
                        acknowledged.push((issue, reply.number(), checked_in));
                    }
                    assert!(killed.load(Ordering::SeqCst), "the server went before it was killed");
                    acknowledged
                })
            })
            .collect();
        let mut watcher = server.connect();
        wait_until("there is something to lose", || {
            let stats = watcher.ok("POPPO.STATS p");
            stats.get("checkouts").is_some_and(|count| count.number() > 500)
        });
        killed.store(true, Ordering::SeqCst);
        server.kill9();
        writers.into_iter().flat_map(|writer| writer.join().unwrap()).collect()
    });
    assert!(acknowledged.len() > 400);
    server.start_again();
    let mut connection = server.connect();
    for (issue, token, checked_in) in acknowledged {
        let record = connection.ok(&format!("POPPO.GET p {issue}"));
        assert_eq!(record.count("token"), token, "issue {issue}");
        if checked_in {
            assert_eq!(record.field("status"), "completed", "issue {issue}");
        }
    }
    assert_eq!(connection.info("poppo", "poppo_apply_failures"), "0");
}

#[test]
fn a_dump_restores_to_an_equal_value_under_another_name_and_server() {
    let server = Server::start();
    let other = Server::start();
    let mut connection = server.connect();
    furnish(&mut connection, 50);
    let payload = connection.dump("p");
    let shown = portrait(&mut connection, "p").replace(" p", " q");
    for target in [&server, &other] {
        let mut connection = target.connect();
        let restored = connection.call(&[&b"RESTORE"[..], b"q", b"0", &payload]);
        assert_eq!(restored.error(), None);
        assert!(connection.dump("q") == payload);
        assert_eq!(portrait(&mut connection, "q").replace(" p", " q"), shown);
        let busy = connection.call(&[&b"RESTORE"[..], b"q", b"0", &payload]);
        assert!(busy.error().unwrap().starts_with("BUSYKEY"));
    }
}

#[test]
fn a_copy_is_equal_and_goes_its_own_way() {
    let server = Server::start();
    let mut connection = server.connect();
    furnish(&mut connection, 60);
    assert_eq!(connection.int("COPY p q"), 1);
    let before = connection.dump("p");
    assert!(connection.dump("q") == before);
    connection.ok("POPPO.CHECKOUT q 1000 someone");
    assert!(connection.dump("q") != before);
    assert!(connection.dump("p") == before);
    assert_eq!(connection.int("COPY p other DB 1"), 1);
    connection.ok("UNLINK p");
    connection.ok("POPPO.STATS q");
    connection.ok("SELECT 1");
    assert!(connection.dump("other") == before);
}

#[test]
fn a_renamed_project_is_the_same_project() {
    let server = Server::start();
    let mut connection = server.connect();
    furnish(&mut connection, 70);
    let before = connection.dump("p");
    connection.ok("RENAME p q");
    assert!(connection.dump("q") == before);
    assert_eq!(connection.int("EXISTS p"), 0);
    assert_eq!(connection.info("poppo", "poppo_projects"), "1");
    connection.ok("POPPO.CHECKOUT q 1000 someone");
    connection.refused("POPPO.HEARTBEAT p w1", "NOPROC");
}

#[test]
fn equal_values_have_equal_digests_and_different_ones_have_not() {
    let server = Server::start();
    let mut connection = server.connect();
    furnish(&mut connection, 80);
    connection.ok("COPY p q");
    let digests = |connection: &mut Connection| -> Vec<String> {
        let digests = connection.ok("DEBUG DIGEST-VALUE p q");
        digests.rows().iter().map(|digest| digest.text().unwrap()).collect()
    };
    let equal = digests(&mut connection);
    assert_eq!(equal[0], equal[1]);
    assert!(equal[0].bytes().any(|byte| byte != b'0'), "the digest is empty");
    connection.ok("POPPO.CONFIG q SET max-attempts 7");
    let different = digests(&mut connection);
    assert_eq!(different[0], equal[0]);
    assert_ne!(different[0], different[1]);
}

#[test]
fn memory_usage_grows_with_what_a_project_holds() {
    let server = Server::start();
    let mut connection = server.connect();
    connection.ok("POPPO.CHECKOUT p 1 w1");
    let small = connection.int("MEMORY USAGE p");
    assert!((100..100_000).contains(&small), "{small}");
    connection.ok(&format!("POPPO.CHECKOUT p 2 w1 TITLE {}", "x".repeat(50_000)));
    let titled = connection.int("MEMORY USAGE p");
    assert!((small + 50_000..small + 110_000).contains(&titled), "{small} {titled}");
    let checkouts: Vec<Vec<String>> = (1000..11_000)
        .map(|issue| ["POPPO.CHECKOUT", "p", &issue.to_string(), "w1"].map(str::to_owned).to_vec())
        .collect();
    connection.pipeline(&checkouts);
    let an_issue = (connection.int("MEMORY USAGE p") - titled) / 10_000;
    assert!((50..1000).contains(&an_issue), "{an_issue} bytes an issue");
}

#[test]
fn a_large_project_is_unlinked_and_its_memory_comes_back() {
    let server = Server::start();
    let mut connection = server.connect();
    let used = |connection: &mut Connection| connection.info("memory", "used_memory").parse::<u64>().unwrap();
    let before = used(&mut connection);
    for chunk in 0..5 {
        let checkouts: Vec<Vec<String>> = (1 + chunk * 10_000..=(chunk + 1) * 10_000)
            .map(|issue: u32| ["POPPO.CHECKOUT", "p", &issue.to_string(), "w1"].map(str::to_owned).to_vec())
            .collect();
        connection.pipeline(&checkouts);
    }
    assert!(used(&mut connection) > before + 5_000_000);
    connection.ok("UNLINK p");
    wait_until("the memory is free again", || used(&mut connection) < before + (1 << 20));
    assert_eq!(connection.info("poppo", "poppo_projects"), "0");
    assert_eq!(connection.info("poppo", "poppo_leases"), "0");
}

#[test]
fn a_corrupt_payload_is_refused_or_makes_a_value_that_can_be_lived_with() {
    let server = Server::start();
    let mut connection = server.connect();
    History::new("p", seed(90)).run(&mut connection, 400);
    connection.ok("POPPO.CHECKOUT p 1000 someone");
    let original = connection.dump("p");
    let body = dump::body(&original).to_vec();
    let mut random = Random::new(seed(90));
    let mut payloads: Vec<Vec<u8>> = Vec::new();
    // Every truncation of the head and many of the rest, single bits, whole bytes, runs, insertions.
    for length in (1..body.len()).filter(|length| *length < 200 || length % 7 == 0) {
        payloads.push(body[..length].to_vec());
    }
    for at in 0..body.len().min(600) {
        for bit in 0..8 {
            let mut payload = body.clone();
            payload[at] ^= 1 << bit;
            payloads.push(payload);
        }
    }
    for _ in 0..3000 {
        let mut payload = body.clone();
        for _ in 0..=random.below(4) {
            let at = random.below(payload.len());
            match random.below(4) {
                0 => payload[at] = random.bits() as u8,
                1 => payload.insert(at, random.bits() as u8),
                2 => drop(payload.remove(at)),
                _ => payload[at..].iter_mut().take(10).for_each(|byte| *byte = 0xff),
            }
        }
        payloads.push(payload);
    }
    let (mut refused, mut accepted) = (0, 0);
    for chunk in payloads.chunks(500) {
        let commands: Vec<Vec<Vec<u8>>> = chunk
            .iter()
            .map(|body| {
                let payload = dump::seal(body, &original);
                vec![b"RESTORE".to_vec(), b"q".to_vec(), b"0".to_vec(), payload, b"REPLACE".to_vec()]
            })
            .collect();
        let replies = connection.pipeline(&commands);
        for (reply, command) in replies.iter().zip(&commands) {
            if reply.error().is_some() {
                refused += 1;
                continue;
            }
            accepted += 1;
            live_with(&mut connection, command);
        }
    }
    assert!(refused > 1000, "{refused} refused, {accepted} accepted");
    assert!(connection.dump("p") == original);
    assert_eq!(connection.info("poppo", "poppo_panics"), "0", "{refused} refused, {accepted} accepted");
}

/// Restores a payload that was accepted and looks at the value from all sides.
fn live_with(connection: &mut Connection, restore: &[Vec<u8>]) {
    assert_eq!(connection.call(restore).error(), None, "accepted once, refused the second time");
    for line in [
        "POPPO.GET q 1",
        "POPPO.LIST q COUNT 10000",
        "POPPO.LIST q PROCESSES COUNT 10000",
        "POPPO.ORPHANS q COUNT 10000",
        "POPPO.STATS q",
        "DEBUG DIGEST-VALUE q",
        "MEMORY USAGE q",
    ] {
        connection.ok(line);
    }
    let dumped = connection.dump("q");
    let again = [&b"RESTORE"[..], b"r", b"0", &dumped, b"REPLACE"];
    assert_eq!(connection.call(&again).error(), None, "what it dumps it must read");
    assert!(connection.dump("r") == dumped);
    for line in [
        "POPPO.CHECKOUT q 9007199254740991 w1",
        "POPPO.CHECKOUT q 1 w1 TAKEOVER",
        "POPPO.CHECKIN q 1 w1 STATUS completed",
        "POPPO.HEARTBEAT q w1",
        "POPPO.EVICT q 2",
        "POPPO.FORGET q 3",
        "POPPO.CONFIG q SET issues-kept 1",
    ] {
        // Granted or refused, but decided.
        let answer = connection.cmd(line).error().unwrap_or_default();
        assert!(!answer.starts_with("ERR internal"), "{line}: {answer}");
    }
}

#[test]
fn an_rdb_file_with_a_corrupt_project_does_not_load_and_the_log_says_so() {
    let mut server = Server::builder().arg("rdbchecksum", "no").start();
    let mut connection = server.connect();
    connection.ok("POPPO.CHECKOUT p 1 unmistakable");
    server.shutdown("SAVE");
    let file = server.dir().join("dump.rdb");
    let mut bytes = std::fs::read(&file).unwrap();
    let at = bytes.windows(12).position(|window| window == b"unmistakable").unwrap();
    bytes[at..at + 12].fill(0xff);
    std::fs::write(&file, bytes).unwrap();
    let directory = server.dir().to_owned();
    let log = Server::builder().arg("rdbchecksum", "no").dir(&directory).try_start().unwrap_err();
    assert!(!log.contains("BUG REPORT"), "{log}");
    assert!(log.contains("cannot load a project"), "{log}");
}

#[test]
fn silence_during_a_restart_makes_no_orphan_before_the_grace_has_passed() {
    // The time to live is longer than the grace: what counts is the grace.
    let mut server = Server::builder().module_arg("restart-grace").module_arg(1500).start();
    let mut connection = server.connect();
    connection.ok("POPPO.CHECKOUT p 1 w1 TTL 2000 HOST h PID 5");
    connection.ok("POPPO.CHECKOUT p 2 w2 HOST h PID 6");
    let token = connection.ok("POPPO.GET p 1").count("token");
    connection.ok("POPPO.LIVENESS p w2 DEAD HOST h PID 6");
    let issues = |connection: &mut Connection| -> Vec<i64> {
        connection.ok("POPPO.ORPHANS p").rows().iter().map(|row| row.count("issue")).collect()
    };
    wait_until("the grace after the first start is over and the heartbeat has run out", || {
        issues(&mut connection).contains(&1)
    });
    server.restart();
    let loaded = std::time::Instant::now();
    let mut connection = server.connect();
    assert_eq!(connection.info("poppo", "poppo_restart_grace_ms"), "1500");
    // Dead stays dead: the grace is for silence.
    assert_eq!(issues(&mut connection), [2]);
    connection.refused(&format!("POPPO.REPAIR p 1 TOKEN {token}"), "ALIVE");
    connection.refused("POPPO.CHECKOUT p 1 w3 TAKEOVER", "HELD");
    wait_until("the grace is over", || issues(&mut connection).contains(&1));
    assert!(loaded.elapsed().as_millis() > 1000, "an orphan after {:?}", loaded.elapsed());
    connection.ok(&format!("POPPO.REPAIR p 1 TOKEN {token}"));
}

#[test]
fn a_time_to_live_shorter_than_the_grace_is_the_grace() {
    let mut server = Server::builder().start();
    let mut connection = server.connect();
    connection.ok("POPPO.CHECKOUT p 1 w1 TTL 1000");
    let orphans = |connection: &mut Connection| connection.ok("POPPO.ORPHANS p").rows().len();
    wait_until("the heartbeat has run out", || orphans(&mut connection) == 1);
    server.restart();
    let mut connection = server.connect();
    assert_eq!(connection.info("poppo", "poppo_restart_grace_ms"), "60000");
    assert_eq!(orphans(&mut connection), 0);
    wait_until("a time to live has passed since the load", || orphans(&mut connection) == 1);
}

#[test]
fn without_grace_who_was_silent_before_the_restart_is_an_orphan_at_once() {
    let mut server = Server::start();
    let mut connection = server.connect();
    connection.ok("POPPO.CHECKOUT p 1 w1 TTL 1000");
    let orphans = |connection: &mut Connection| connection.ok("POPPO.ORPHANS p").rows().len();
    wait_until("the heartbeat has run out", || orphans(&mut connection) == 1);
    server.restart();
    assert_eq!(orphans(&mut server.connect()), 1);
}

#[test]
fn an_aof_played_back_by_a_client_is_refused_command_by_command() {
    let source = aof(Server::builder().no_grace()).arg("appendfsync", "always").start();
    let mut connection = source.connect();
    connection.ok("POPPO.CONFIG p SET max-attempts 7");
    connection.ok("POPPO.CHECKOUT p 1 w1 HOST h PID 5 TITLE one");
    connection.ok("POPPO.HEARTBEAT p w1 PROGRESS half");
    connection.ok("POPPO.LIVENESS p w1 DEAD HOST h PID 5");
    let token = connection.ok("POPPO.GET p 1").count("token");
    connection.ok(&format!("POPPO.REPAIR p 1 TOKEN {token} REASON r"));
    connection.ok("POPPO.FORGET p 1");
    connection.ok("POPPO.CHECKOUT p 2 w2");
    connection.ok("POPPO.EVICT p 2");
    connection.ok("POPPO.CHECKOUT p 3 w2");
    connection.ok("POPPO.CHECKIN p 3 w2 STATUS completed META a b");
    let commands = aof_commands(source.dir());
    let poppo: Vec<_> = commands.iter().filter(|words| words[0].to_ascii_uppercase().starts_with(b"POPPO.")).collect();
    assert_eq!(poppo.len(), 10, "each success is in the AOF once");

    let target = Server::start();
    let mut client = target.connect();
    for words in poppo {
        let at: Vec<_> = words.iter().filter(|word| *word == b"AT").collect();
        assert_eq!(at.len(), 1, "resolved: {words:?}");
        let error = client.call(words).error().unwrap();
        assert_eq!(error, "ERR AT is accepted only from the replication link and while loading");
    }
    assert_eq!(client.int("EXISTS p"), 0);
}

/// Where `part` begins.
fn find(whole: &[u8], part: &[u8]) -> usize {
    whole.windows(part.len()).position(|window| window == part).unwrap()
}

/// The part of a server's AOF whose name ends so.
fn aof_file(directory: &Path, suffix: &str) -> Vec<u8> {
    std::fs::read(aof_path(directory, suffix)).unwrap()
}

fn aof_path(directory: &Path, suffix: &str) -> PathBuf {
    let mut files = std::fs::read_dir(directory.join("appendonlydir")).unwrap().map(|entry| entry.unwrap().path());
    files.find(|path| path.to_string_lossy().ends_with(suffix)).unwrap_or_else(|| panic!("no {suffix}"))
}

/// The commands in the incremental AOF of a server.
fn aof_commands(directory: &Path) -> Vec<Vec<Vec<u8>>> {
    let mut reader = std::io::Cursor::new(aof_file(directory, ".incr.aof"));
    let mut parser = redis::Parser::new();
    let mut commands = Vec::new();
    while let Ok(redis::Value::Array(words)) = parser.parse_value(&mut reader) {
        let words = words.into_iter().map(|word| match word {
            redis::Value::BulkString(bytes) => bytes,
            other => panic!("{}", show(&other)),
        });
        commands.push(words.collect());
    }
    commands
}

#[test]
fn a_project_of_a_newer_version_in_an_aof_is_kept_from_everybody_and_comes_back_with_that_version() {
    let mut server = aof(Server::builder().no_grace()).arg("aof-use-rdb-preamble", "no").start();
    let mut connection = server.connect();
    let token = connection.int("POPPO.CHECKOUT p 1 w");
    connection.ok("POPPO.CHECKOUT q 1 w");
    rewrite_aof(&mut connection);
    connection.ok("POPPO.CHECKOUT p 2 w");
    server.shutdown("NOSAVE");

    // The first piece of p as a version to come would write it.
    let path = aof_path(server.dir(), ".base.aof");
    let base = std::fs::read(&path).unwrap();
    let mut newer = base.clone();
    let head = b"\r\np\r\n$5\r\nFIRST\r\n$";
    let length = find(&base, head) + head.len();
    let version = length + find(&base[length..], b"\n") + 1;
    newer[version] = 200;
    std::fs::write(&path, &newer).unwrap();
    server.start_again();
    let mut connection = server.connect();
    let text = "ERR the project could not be read when it was loaded; the server's log says why. Nothing was changed";
    for line in ["POPPO.CHECKOUT p 1 thief", "POPPO.GET p 1", "POPPO.CONFIG p GET", "POPPO.EVICT p 1", "POPPO.STATS p"]
    {
        connection.refused(line, text);
    }
    assert_eq!(connection.info("poppo", "poppo_unreadable_projects"), "1");
    assert_ne!(connection.info("poppo", "poppo_apply_failures"), "0");
    assert!(server.log().contains("encoding version 200 is newer"), "{}", server.log());
    connection.ok("POPPO.CHECKOUT q 2 w");
    connection.ok("COPY p r");
    assert_eq!(connection.info("poppo", "poppo_unreadable_projects"), "2");
    connection.ok("UNLINK r");
    // What came behind the piece is only in this AOF: it stays.
    connection.ok("BGREWRITEAOF");
    wait_until("the rewrite has failed", || {
        connection.info("persistence", "aof_last_bgrewrite_status") == "err"
            && connection.info("persistence", "aof_rewrite_in_progress") == "0"
    });
    server.shutdown("NOSAVE");

    std::fs::write(&path, &base).unwrap();
    server.start_again();
    let mut connection = server.connect();
    assert_eq!(connection.info("poppo", "poppo_unreadable_projects"), "0");
    assert_eq!(connection.ok("POPPO.GET p 1").count("token"), token);
    for line in ["POPPO.GET p 2", "POPPO.GET q 1", "POPPO.GET q 2"] {
        assert_eq!(connection.ok(line).field("status"), "processing", "{line}");
    }
}

#[test]
fn a_plain_server_says_which_module_an_rdb_file_wants() {
    let mut server = Server::start();
    server.connect().ok("POPPO.CHECKOUT p 1 w1");
    server.shutdown("SAVE");
    let log = Server::plain().dir(server.dir()).try_start().unwrap_err();
    assert!(log.contains("poppo-prj"), "{log}");
    assert!(artifacts::module().exists());
}
