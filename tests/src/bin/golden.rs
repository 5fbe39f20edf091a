//! Writes the golden files of this version: `cargo run -p poppo-tests --bin golden`.
//!
//! To be run once for each version that changes what is stored, by the module that is released, and its output to be
//! committed; never again for a version that users have. With Redis 7.0, whose files every later server reads. One primary lives through a rich history; an AOF of its own
//! holds the commands only, and two replicas rewrite theirs in the middle, one with the RDB preamble, one without. So
//! all media hold the same project to the byte, and one portrait serves them all.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a helper run by hand: a panic is its report"
)]

use poppo_tests::golden::{self, PORTRAIT, PROJECT, patient};
use poppo_tests::{Builder, Connection, Reply as _, Server, rewrite_aof, wait_until};

/// A day: the longest time to live.
const DAY: u32 = 86_400_000;

/// A year: the longest delay.
const YEAR: u64 = 31_536_000_000;

fn main() {
    let version: Vec<&str> = env!("CARGO_PKG_VERSION").split('.').take(2).collect();
    let target = golden::directory().join(version.join("."));
    assert!(!target.exists(), "{} is there already: what users may have on disk is never rewritten", target.display());

    let aof = |builder: Builder, preamble: &str| {
        builder
            .no_grace()
            .arg("appendonly", "yes")
            .arg("appendfsync", "no")
            .arg("auto-aof-rewrite-percentage", 0)
            .arg("aof-use-rdb-preamble", preamble)
    };
    let mut primary = aof(Server::builder(), "no").start();
    let mut preamble = primary.replica(aof(Server::builder(), "yes"));
    let mut pieces = primary.replica(aof(Server::builder(), "no"));
    let mut connection = primary.connect();
    let server = connection.info("server", "redis_version");
    assert!(server.starts_with("7.0."), "by Redis 7.0, the oldest that Poppo runs in: newer ones read what it writes");
    settle(&mut connection);
    live(&mut connection, "first", 1);
    queue(&mut connection, "first", 1);
    bulk(&mut connection);
    live(&mut connection, "second", 100);
    queue(&mut connection, "second", 100);
    for replica in [&preamble, &pieces] {
        primary.wait_for_replicas(&[replica]);
        rewrite_aof(&mut replica.connect());
    }
    live(&mut connection, "third", 200);
    queue(&mut connection, "third", 200);
    connection.ok(&format!("POPPO.DRAIN {PROJECT} ON"));
    primary.wait_for_replicas(&[&preamble, &pieces]);

    let dump = connection.dump(PROJECT);
    for (server, medium) in
        [(&mut primary, "aof-commands"), (&mut preamble, "aof-preamble"), (&mut pieces, "aof-pieces")]
    {
        assert!(server.connect().dump(PROJECT) == dump, "{medium}");
        assert_eq!(server.connect().info("poppo", "poppo_apply_failures"), "0", "{medium}");
        server.shutdown("SAVE");
        let directory = "appendonlydir";
        golden::pack(&server.dir().join(directory), &target.join(medium).join(directory));
    }
    let rdb = tempfile::tempdir().unwrap();
    std::fs::copy(primary.dir().join("dump.rdb"), rdb.path().join("dump.rdb")).unwrap();
    golden::pack(rdb.path(), &target.join("rdb"));

    let server = patient(rdb.path()).start();
    let mut connection = server.connect();
    assert!(connection.dump(PROJECT) == dump);
    let portrait = golden::portrait(&mut connection);
    std::fs::write(target.join(PORTRAIT), golden::write_portrait(&portrait)).unwrap();
    println!("{} answers of {} bytes of DUMP in {}", portrait.len(), dump.len(), target.display());
}

fn run(connection: &mut Connection, lines: &[&str]) {
    for line in lines {
        connection.ok(line);
    }
}

/// Settings other than the defaults; among them a limit that drops issues, and then another that keeps them.
fn settle(connection: &mut Connection) {
    let p = PROJECT;
    connection.ok(&format!("POPPO.CONFIG {p} SET issues-kept 3"));
    for issue in 1..=9 {
        connection.ok(&format!("POPPO.CHECKOUT {p} {issue} early"));
        connection.ok(&format!("POPPO.CHECKIN {p} {issue} early STATUS completed"));
    }
    connection.ok(&format!(
        "POPPO.CONFIG {p} SET heartbeat-ttl {DAY} attest-ttl {DAY} max-silence 604800000 process-kept 31536000000"
    ));
    connection.ok(&format!(
        "POPPO.CONFIG {p} SET issues-kept 5000 max-attempts 7 max-orphans 2 max-running 900 queue-aging 1000 \
         events-kept 500 finished-kept 300"
    ));
}

/// Many issues, lives and tasks, for several pieces of each.
fn bulk(connection: &mut Connection) {
    let p = PROJECT;
    for n in 1..=270 {
        let issue = 10_000 + n;
        let options = format!("HOST build-{} PID {n} TYPE t{}", n % 5, n % 3);
        connection.ok(&format!("POPPO.CHECKOUT {p} {issue} bulk-{n} {options}"));
    }
    for n in 1..=280 {
        let issue = 20_000 + n;
        connection.ok(&format!("POPPO.CHECKOUT {p} {issue} finisher"));
        connection.ok(&format!("POPPO.CHECKIN {p} {issue} finisher STATUS completed"));
    }
    for n in 1..=270 {
        let issue = 30_000 + n;
        connection.ok(&format!("POPPO.ENQUEUE {p} {issue} TYPE bulk-{} PRIORITY {}", n % 3, n % 7));
        connection.ok(&format!("POPPO.ENQUEUE {p} {issue} TYPE later DELAY {YEAR}"));
        connection.ok(&format!("POPPO.ENQUEUE {p} {} TYPE buried PAYLOAD {n}", issue + 1000));
        connection.ok(&format!("POPPO.CLAIM {p} digger TYPE buried"));
        connection.ok(&format!("POPPO.CHECKIN {p} {} digger STATUS error REASON r{n}", issue + 1000));
    }
    // More than are remembered.
    for n in 1..=320 {
        connection.ok(&format!("POPPO.ENQUEUE {p} {} ID comment-{n} TYPE quick", 33_000 + n % 9));
        connection.ok(&format!("POPPO.CLAIM {p} quick TYPE quick"));
        connection.ok(&format!("POPPO.CHECKIN {p} {} quick STATUS completed", 33_000 + n % 9));
    }
}

/// All that can happen to an issue and to a life, on issues from `base` + 20 on, by processes called `w`-something.
fn live(connection: &mut Connection, w: &str, base: i64) {
    let p = PROJECT;
    let i = |n: i64| base + 20 + n;
    let checkout = |connection: &mut Connection, n: i64, rest: &str| -> i64 {
        connection.int(&format!("POPPO.CHECKOUT {p} {} {w}-{rest}", i(n)))
    };
    let end = |connection: &mut Connection, n: i64, rest: &str| {
        connection.ok(&format!("POPPO.CHECKIN {p} {} {w}-{rest}", i(n)));
    };

    // Held: with everything that can be said, with nothing, and with the largest numbers and longest names.
    checkout(
        connection,
        0,
        r#"full INCARNATION boot-1:4711:99 HOST build-7 PID 4711 TYPE fix TITLE "Crash on start – 起動時に落ちる 🦀" TMUX "poppo:ünï 1""#,
    );
    connection.ok(&format!(r#"POPPO.HEARTBEAT {p} {w}-full PROGRESS "tests 3/7 – ✓\n\"quoted\"\t\\""#));
    checkout(connection, 1, "bare");
    let longest = "n".repeat(128 - w.len() - 1);
    checkout(
        connection,
        2,
        &format!("{longest} PID 2147483647 HOST {0} TYPE {0} INCARNATION {0} TTL {DAY}", "h".repeat(128)),
    );
    connection.ok(&format!("POPPO.CHECKOUT {p} {} {w}-far TITLE \"\" TMUX \"\"", 9_007_199_254_740_991 - base));
    checkout(connection, 3, &format!("wordy TITLE \"{}\"", "Ein langer Titel. ".repeat(150)));

    // Ended in each way, with all that can be said of it.
    for (n, status) in [(4, "completed"), (5, "awaiting-response"), (6, "error"), (7, "cancelled")] {
        let token = checkout(connection, n, "ender HOST build-8 PID 12 TYPE fix TITLE \"to be ended\"");
        end(
            connection,
            n,
            &format!(
                r#"ender STATUS {status} TOKEN {token} RESULT {{"pr":{n},"ok":[true,null,1.5]}} REASON "weil – 因为" META branch fix-{n} "ünï – キー" "wert – 値" empty "" status mine"#
            ),
        );
    }
    checkout(connection, 8, "ender");
    end(connection, 8, "ender STATUS completed");

    // Completed once and now held again; completed once and then in error.
    checkout(connection, 9, "ender");
    end(connection, 9, "ender STATUS completed META gone soon");
    checkout(connection, 9, "again TITLE \"once more\"");
    checkout(connection, 10, "ender");
    end(connection, 10, "ender STATUS completed");
    checkout(connection, 10, "ender");
    end(connection, 10, "ender STATUS error REASON regression");

    // Evicted, with and without a reason.
    checkout(connection, 11, "victim");
    checkout(connection, 12, "victim HOST build-7 PID 31");
    run(
        connection,
        &[
            &format!("POPPO.EVICT {p} {}", i(11)),
            &format!("POPPO.EVICT {p} {} REASON \"wrong branch – 間違い\"", i(12)),
        ],
    );

    // Called dead: still an orphan; repaired; taken over; proved wrong by a beat.
    checkout(connection, 13, "dead HOST build-7 PID 41 TYPE fix");
    let repaired = checkout(connection, 14, "dying HOST build-7 PID 42");
    checkout(connection, 15, "dying HOST build-7 PID 42");
    checkout(connection, 16, "risen HOST build-7 PID 43");
    for (name, pid) in [("dead", 41), ("dying", 42), ("risen", 43)] {
        connection.ok(&format!("POPPO.LIVENESS {p} {w}-{name} DEAD HOST build-7 PID {pid}"));
    }
    connection.ok(&format!("POPPO.REPAIR {p} {} TOKEN {repaired} REASON \"agent – エージェント\"", i(14)));
    connection.ok(&format!("POPPO.HEARTBEAT {p} {w}-risen"));
    let taken = checkout(connection, 17, "loser HOST build-7 PID 44");
    connection.ok(&format!("POPPO.LIVENESS {p} {w}-loser DEAD HOST build-7 PID 44"));
    assert!(checkout(connection, 17, "winner TAKEOVER") > taken);

    // Replaced by a newer life: still an orphan; repaired to wait; taken back by the newer life.
    checkout(connection, 18, "reborn INCARNATION one HOST build-7 PID 51 TMUX a");
    let waiting = checkout(connection, 19, "reborn INCARNATION one");
    checkout(connection, 20, "reborn INCARNATION one");
    checkout(connection, 21, "reborn INCARNATION two HOST build-7 PID 52");
    connection.ok(&format!("POPPO.REPAIR {p} {} TOKEN {waiting} STATUS awaiting-response", i(19)));
    checkout(connection, 20, "reborn INCARNATION two TAKEOVER");

    // Silent for too long: repaired; replaced while an orphan, and so one for certain.
    let expired = checkout(connection, 22, "silent TTL 1000 HOST build-7 PID 61");
    checkout(connection, 23, "hushed TTL 1000 INCARNATION one HOST build-7 PID 62");
    let orphans = format!("POPPO.ORPHANS {p} COUNT 10000");
    wait_until("both are orphans", || {
        let orphans = connection.ok(&orphans);
        let issues: Vec<i64> = orphans.rows().iter().map(|row| row.count("issue")).collect();
        issues.contains(&i(22)) && issues.contains(&i(23))
    });
    connection.ok(&format!("POPPO.REPAIR {p} {} TOKEN {expired} STATUS error REASON silent", i(22)));
    connection.ok(&format!("POPPO.HEARTBEAT {p} {w}-silent TTL {DAY}"));
    checkout(connection, 24, &format!("hushed INCARNATION two TTL {DAY}"));

    // Attested alive.
    checkout(connection, 25, "sworn HOST build-9 PID 71 INCARNATION i");
    connection.ok(&format!("POPPO.LIVENESS {p} {w}-sworn ALIVE HOST build-9 PID 71 INCARNATION i"));

    // Forgotten.
    checkout(connection, 26, "ender TITLE \"nobody remembers\"");
    end(connection, 26, "ender STATUS completed");
    connection.ok(&format!("POPPO.FORGET {p} {}", i(26)));
}

/// All that can happen to a task, on issues from `base` + 50 on. Each claim asks for a type of its own: what it is given
/// does not depend on what waits besides.
fn queue(connection: &mut Connection, w: &str, base: i64) {
    let p = PROJECT;
    let i = |n: i64| base + 50 + n;
    let enqueue = |connection: &mut Connection, n: i64, rest: &str| {
        assert_eq!(connection.int(&format!("POPPO.ENQUEUE {p} {} {rest}", i(n))), 1, "{n} {rest}");
    };
    let claim = |connection: &mut Connection, n: i64, rest: &str| -> i64 {
        let answer = connection.ok(&format!("POPPO.CLAIM {p} {w}-{rest}"));
        assert_eq!(answer.count("issue"), i(n), "{rest}");
        answer.count("token")
    };
    let end = |connection: &mut Connection, n: i64, rest: &str| {
        connection.ok(&format!("POPPO.CHECKIN {p} {} {w}-{rest}", i(n)))
    };
    let bury = |connection: &mut Connection, n: i64, name: &str, how: &str| -> String {
        let token = claim(connection, n, &format!("{name} TYPE poison HOST build-7 PID 81"));
        connection.ok(&format!("POPPO.LIVENESS {p} {w}-{name} DEAD HOST build-7 PID 81"));
        connection.text(&format!("POPPO.REPAIR {p} {} TOKEN {token} {how}", i(n)))
    };

    // Waiting: with everything that can be said, with nothing, with the longest names; several of one issue.
    enqueue(
        connection,
        0,
        &format!(
            r#"ID {w}-comment-4711 TYPE wait PRIORITY 77 TITLE "müßig – 暇 🦀" PAYLOAD "{{\"url\":\"https://…\",\"n\":[1,null]}}""#
        ),
    );
    enqueue(connection, 0, "");
    enqueue(connection, 0, "TYPE wait PRIORITY 0 PAYLOAD null");
    enqueue(connection, 1, &format!("ID {w}-{} TYPE {}", "i".repeat(127 - w.len()), "t".repeat(128)));
    enqueue(connection, 1, &format!("TYPE {} PRIORITY urgent TITLE \"\"", "t".repeat(128)));
    enqueue(connection, 1, &format!("TYPE wordy PAYLOAD \"\\\"{}\\\"\"", "Eine lange Rede. ".repeat(150)));
    enqueue(connection, 2, "TYPE raised");
    connection.ok(&format!("POPPO.ENQUEUE {p} {} TYPE raised PRIORITY high", i(2)));

    // Delayed; delayed and due; failed and to be tried again next year.
    enqueue(connection, 3, &format!("TYPE later DELAY {YEAR} PRIORITY deferred"));
    enqueue(connection, 3, "TYPE due DELAY 1");
    enqueue(connection, 4, &format!("TYPE {w}-retry TITLE again"));
    claim(connection, 4, &format!("retrier TYPE {w}-retry"));
    end(connection, 4, &format!("retrier STATUS error RETRY {YEAR} REASON \"no network\""));

    // Waiting for a held issue, and on an issue whose lease ended with its task back in the queue.
    connection.ok(&format!("POPPO.CHECKOUT {p} {} {w}-holder", i(5)));
    enqueue(connection, 5, "TYPE patient");
    connection.ok(&format!("POPPO.CHECKOUT {p} {} {w}-holder TYPE back", i(6)));
    assert_eq!(connection.text(&format!("POPPO.EVICT {p} {} REQUEUE REASON back", i(6))), "queued");

    // Dead: failed, failed too often, poison, repaired, evicted; revived and waiting.
    enqueue(connection, 7, &format!("TYPE {w}-fail PAYLOAD {{}} TITLE \"it fails\""));
    claim(connection, 7, &format!("failer TYPE {w}-fail"));
    end(connection, 7, "failer STATUS error REASON \"weil – 因为\"");
    enqueue(connection, 8, &format!("TYPE {w}-often"));
    for _ in 0..7 {
        claim(connection, 8, &format!("failer TYPE {w}-often"));
        end(connection, 8, "failer STATUS error RETRY 0");
    }
    enqueue(connection, 9, "TYPE poison");
    assert_eq!(bury(connection, 9, "victim1", "REQUEUE"), "queued");
    assert_eq!(bury(connection, 9, "victim2", "REQUEUE"), "queued");
    assert_eq!(bury(connection, 9, "victim3", "REQUEUE"), "error");
    enqueue(connection, 10, "TYPE poison");
    assert_eq!(bury(connection, 10, "victim4", "STATUS awaiting-response"), "awaiting-response");
    enqueue(connection, 11, &format!("TYPE {w}-evicted"));
    claim(connection, 11, &format!("victim5 TYPE {w}-evicted"));
    connection.ok(&format!("POPPO.EVICT {p} {}", i(11)));
    enqueue(connection, 12, &format!("ID {w}-lazarus TYPE {w}-lazarus"));
    claim(connection, 12, &format!("failer TYPE {w}-lazarus"));
    end(connection, 12, "failer STATUS error");
    assert_eq!(connection.int(&format!("POPPO.REVIVE {p} {w}-lazarus")), 1);

    // Finished; finished and queued once more; dropped by its worker; removed.
    for (n, status) in [(13, "completed"), (14, "awaiting-response"), (15, "completed"), (16, "cancelled")] {
        enqueue(connection, n, &format!("ID {w}-done-{n} TYPE {w}-done"));
        claim(connection, n, &format!("doer TYPE {w}-done"));
        end(connection, n, &format!("doer STATUS {status}"));
    }
    enqueue(connection, 15, &format!("ID {w}-done-15 TYPE again AGAIN"));
    enqueue(connection, 17, "TYPE removed");
    connection.ok(&format!("POPPO.CANCEL {p} {} REASON \"not wanted\"", i(17)));
    connection.ok(&format!("POPPO.CHECKOUT {p} {} {w}-holder TYPE gone", i(18)));
    end(connection, 18, "holder STATUS error RETRY 60000");
    assert_eq!(connection.text(&format!("POPPO.CANCEL {p} {} REASON \"not again\"", i(18))), "removed");

    // Running: claimed with types and an id; adopted; taken over; asked to stop, with a task and without.
    enqueue(connection, 19, &format!("TYPE {w}-run PAYLOAD [1,2] TITLE running"));
    claim(
        connection,
        19,
        &format!("runner TYPES 3 unheard-of {w}-run another REQ req-1 INCARNATION i HOST build-9 PID 91 TMUX t"),
    );
    enqueue(connection, 20, &format!("TYPE adopted DELAY {YEAR} PRIORITY 3"));
    connection.ok(&format!("POPPO.CHECKOUT {p} {} {w}-holder TYPE adopted", i(20)));
    enqueue(connection, 21, &format!("TYPE {w}-taken"));
    claim(connection, 21, &format!("loser-of-task TYPE {w}-taken HOST build-7 PID 92"));
    connection.ok(&format!("POPPO.LIVENESS {p} {w}-loser-of-task DEAD HOST build-7 PID 92"));
    connection.ok(&format!("POPPO.CHECKOUT {p} {} {w}-holder TAKEOVER", i(21)));
    enqueue(connection, 22, &format!("TYPE {w}-asked"));
    claim(connection, 22, &format!("asked TYPE {w}-asked"));
    connection.ok(&format!("POPPO.CHECKOUT {p} {} {w}-asked", i(23)));
    connection.ok(&format!("POPPO.CANCEL {p} {} REASON \"bitte – 止めて\"", i(22)));
    connection.ok(&format!("POPPO.CANCEL {p} {}", i(23)));
    enqueue(connection, 24, &format!("TYPE {w}-stopped"));
    claim(connection, 24, &format!("stopped TYPE {w}-stopped"));
    connection.ok(&format!("POPPO.CANCEL {p} {}", i(24)));
    assert_eq!(connection.text(&format!("POPPO.EVICT {p} {} REQUEUE", i(24))), "cancelled");

    // One after the other: a check-in that knows what it claimed, and one that claimed its own issue.
    enqueue(connection, 25, &format!("TYPE {w}-chain"));
    enqueue(connection, 26, &format!("TYPE {w}-chain"));
    enqueue(connection, 26, &format!("ID {w}-second TYPE {w}-chain"));
    claim(connection, 25, &format!("chained TYPE {w}-chain"));
    end(connection, 25, "chained STATUS completed NEXT REQ req-2");
    end(connection, 26, "chained STATUS completed NEXT REQ req-3");

    // Forgotten, with its tasks.
    enqueue(connection, 27, "TYPE forgotten");
    connection.ok(&format!("POPPO.FORGET {p} {}", i(27)));
    let due = format!("POPPO.LIST {p} DELAYED COUNT 10000");
    wait_until("what was delayed for a moment is due", || {
        let listed = connection.ok(&due);
        !listed.rows()[1].rows().iter().any(|row| row.field("type") == "due")
    });
}
