//! Clients that wait in `POPPO.CLAIM`: who is served, by what, in which order, and that no task is ever lost on the way.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "in a test a panic is the report"
)]
#![allow(clippy::duplicate_mod, reason = "the same tests, on a server and on a file")]

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::time::Instant;

use poppo_tests::cluster::{Cluster, id};
use poppo_tests::transcript::{show, split};
use poppo_tests::{Connection, DEADLINE, Random, Reply as _, Server, rewrite_aof, seed, wait_until};
use redis::Value;

use server::waiting::{Waker, blocked, given, run, wait_in_line, waiting, wake};

#[path = "both"]
mod server {
    use poppo_tests::Server;

    pub(crate) mod waiting;
}

#[path = "both"]
mod file {
    use poppo_tests::Files as Server;

    #[allow(clippy::duplicate_mod, reason = "the same tests, on a file")]
    mod waiting;
}

/// Waits until the server's clock is so far on: what it would do in that time it has done.
fn let_pass(connection: &mut Connection, millis: u64) {
    let mut now = || {
        let time = connection.ok("TIME");
        let part = |n: usize| time.rows()[n].text().unwrap().parse::<u64>().unwrap();
        part(0) * 1000 + part(1) / 1000
    };
    let begin = now();
    wait_until("time has passed", || now() >= begin + millis);
}

/// Has the server do all of it before anything else, so that nothing falls due in between.
fn at_once(connection: &mut Connection, lines: &[&str]) {
    for answer in connection.pipeline(&lines.iter().map(|line| split(line)).collect::<Vec<_>>()) {
        assert_eq!(answer.error(), None, "{lines:?}");
    }
}

/// What wakes on a server besides what is in [`server::waiting`].
const WAKERS: &[Waker] = &[
    // The key comes from elsewhere.
    (&["POPPO.ENQUEUE q 1"], &["RENAME q p"], 1),
    (&["POPPO.ENQUEUE q 1"], &["COPY q p"], 1),
    (&["POPPO.ENQUEUE q 1", "POPPO.CHECKOUT p 7 w7"], &["COPY q p REPLACE"], 1),
    (&["POPPO.ENQUEUE q 1", "POPPO.CHECKOUT p 7 w7"], &["RENAME q p"], 1),
    (&["POPPO.ENQUEUE q 1 DELAY 1000"], &["RENAME q p"], 1),
    (&["SELECT 1", "POPPO.ENQUEUE p 1", "SELECT 0"], &["SELECT 1", "MOVE p 0", "SELECT 0"], 1),
    (&["POPPO.ENQUEUE q 1"], &["MULTI", "DEL p", "RENAME q p", "EXEC"], 1),
    // By a script.
    (&[], &["EVAL \"return redis.call('POPPO.ENQUEUE', KEYS[1], 1)\" 1 p"], 1),
    (&["POPPO.ENQUEUE q 1"], &["EVAL \"return redis.call('RENAME', KEYS[1], KEYS[2])\" 2 q p"], 1),
];

#[test]
fn a_key_from_elsewhere_or_a_script_wakes_who_waits() {
    wake(WAKERS);
}

#[test]
fn who_came_first_is_served_first() {
    let server = Server::start();
    let mut connection = server.connect();
    let mut line: Vec<Connection> =
        (1..=5).map(|n| waiting(&server, &format!("POPPO.CLAIM p w{n} BLOCK 0 TMUX {n}"))).collect();
    for issue in 1..=5 {
        connection.ok(&format!("POPPO.ENQUEUE p {issue}"));
    }
    for (index, client) in line.iter_mut().enumerate() {
        let issue = index as i64 + 1;
        assert_eq!(given(client), issue);
        assert_eq!(connection.ok(&format!("POPPO.GET p {issue}")).field("process"), format!("w{issue}"));
    }
    assert_eq!(blocked(&mut connection), 0);
    assert_eq!(connection.info("poppo", "poppo_claims"), "5");
}

#[test]
fn several_tasks_that_come_at_once_are_given_by_priority_to_who_came_first() {
    let server = Server::start();
    let mut connection = server.connect();
    let mut line: Vec<Connection> = (1..=3).map(|n| waiting(&server, &format!("POPPO.CLAIM p w{n} BLOCK 0"))).collect();
    run(
        &mut connection,
        &["MULTI", "POPPO.ENQUEUE p 1 PRIORITY low", "POPPO.ENQUEUE p 2", "POPPO.ENQUEUE p 3 PRIORITY high", "EXEC"],
    );
    assert_eq!(line.iter_mut().map(given).collect::<Vec<_>>(), [3, 2, 1]);
}

#[test]
fn who_waits_for_other_types_stays_in_line() {
    let server = Server::start();
    let mut connection = server.connect();
    let mut first = waiting(&server, "POPPO.CLAIM p w1 BLOCK 0 TYPES 2 fix review");
    let mut docs = waiting(&server, "POPPO.CLAIM p w2 BLOCK 0 TYPE docs");
    let mut second = waiting(&server, "POPPO.CLAIM p w3 BLOCK 0 TYPES 3 review fix review");
    let mut any = waiting(&server, "POPPO.CLAIM p w4 BLOCK 0");
    connection.ok("POPPO.ENQUEUE p 1 TYPE chore");
    assert_eq!((given(&mut any), blocked(&mut connection)), (1, 3));
    connection.ok("POPPO.ENQUEUE p 2 TYPE chore");
    assert_eq!((blocked(&mut connection), claim_chore(&mut connection)), (3, 2));
    connection.ok("POPPO.ENQUEUE p 3 TYPE docs");
    assert_eq!((given(&mut docs), blocked(&mut connection)), (3, 2));
    connection.ok("POPPO.ENQUEUE p 4 TYPE review");
    assert_eq!((given(&mut first), blocked(&mut connection)), (4, 1));
    connection.ok("POPPO.ENQUEUE p 5 TYPE fix");
    assert_eq!((given(&mut second), blocked(&mut connection)), (5, 0));
    // Of several who could have it, who came first, whatever they ask for besides.
    let kinds = ["TYPES 2 new old", "", "TYPE new", "TYPES 2 a new", "TYPES 2 new z"];
    for round in 0..kinds.len() {
        let rotated = (0..kinds.len()).map(|n| kinds[(round + n) % kinds.len()]);
        let mut line: Vec<Connection> =
            rotated.map(|kind| waiting(&server, format!("POPPO.CLAIM p w BLOCK 0 {kind}").trim())).collect();
        for (index, client) in line.iter_mut().enumerate() {
            let issue = (100 + round * 10 + index) as i64;
            connection.ok(&format!("POPPO.ENQUEUE p {issue} TYPE new"));
            assert_eq!(given(client), issue, "round {round}");
        }
    }
}

fn claim_chore(connection: &mut Connection) -> i64 {
    connection.ok("POPPO.CLAIM p w9 TYPE chore").count("issue")
}

#[test]
fn a_restored_project_wakes_who_waits_for_it() {
    let server = Server::start();
    let mut connection = server.connect();
    connection.ok("POPPO.ENQUEUE q 1");
    let dump = connection.dump("q");
    for replace in [&b"REPLACE"[..], b"ABSTTL"] {
        let mut client = waiting(&server, "POPPO.CLAIM p heir BLOCK 0");
        connection.call(&[&b"RESTORE"[..], b"p", b"0", &dump, replace]);
        assert_eq!(given(&mut client), 1);
        connection.ok("DEL p");
    }
}

#[test]
fn a_swapped_database_wakes_who_waits_for_what_came_with_it() {
    let server = Server::start();
    let mut connection = server.connect();
    run(&mut connection, &["SELECT 1", "POPPO.ENQUEUE p 1", "POPPO.ENQUEUE q 2 DELAY 1000", "SELECT 0"]);
    let mut client = waiting(&server, "POPPO.CLAIM p w1 BLOCK 0");
    let mut patient = waiting(&server, "POPPO.CLAIM q w2 BLOCK 0");
    connection.ok("SWAPDB 0 1");
    assert_eq!((given(&mut client), given(&mut patient)), (1, 2));
    assert_eq!(connection.ok("POPPO.GET p 1").field("process"), "w1");
}

#[test]
fn a_claim_in_a_transaction_or_a_script_answers_at_once() {
    let server = Server::start();
    let mut connection = server.connect();
    run(&mut connection, &["MULTI", "POPPO.CLAIM p w1 BLOCK 0"]);
    assert_eq!(show(&connection.ok("EXEC").rows()[0]), "(nil)");
    let script = "EVAL \"return redis.call('POPPO.CLAIM', KEYS[1], 'w1', 'BLOCK', '0')\" 1 p";
    assert_eq!(show(&connection.ok(script)), "(nil)");
    assert_eq!(blocked(&mut connection), 0);
}

#[test]
fn a_transaction_or_a_script_is_whole_before_anybody_is_served() {
    let server = Server::start();
    let mut connection = server.connect();
    let mut client = waiting(&server, "POPPO.CLAIM p w1 BLOCK 0");
    run(&mut connection, &["MULTI", "POPPO.ENQUEUE p 1", "POPPO.CLAIM p quick", "POPPO.ENQUEUE p 2", "POPPO.GET p 2"]);
    let results = connection.ok("EXEC");
    assert_eq!(results.rows()[1].count("issue"), 1, "who asks in the transaction gets it first");
    assert_eq!(results.rows()[3].field("status"), "queued", "nobody was served in between");
    assert_eq!(given(&mut client), 2);

    let mut client = waiting(&server, "POPPO.CLAIM p w1 BLOCK 0");
    let script = "redis.call('POPPO.ENQUEUE', KEYS[1], 3); redis.call('POPPO.CANCEL', KEYS[1], 3); \
                  redis.call('POPPO.ENQUEUE', KEYS[1], 4); return redis.call('POPPO.GET', KEYS[1], 4)";
    let seen = connection.call(&["EVAL", script, "1", "p"]);
    assert!(show(&seen).contains("queued"), "{}", show(&seen));
    assert_eq!(given(&mut client), 4, "what the script took back was never offered");
}

#[test]
fn a_client_whose_close_comes_in_the_same_turn_as_the_task_swallows_none() {
    let server = Server::start();
    let mut connection = server.connect();
    let mut sleeper = server.connect();
    for round in 1..=20 {
        let gone: Vec<Connection> = (0..3).map(|_| waiting(&server, "POPPO.CLAIM p gone BLOCK 0")).collect();
        let mut next = waiting(&server, "POPPO.CLAIM p next BLOCK 0");
        // While it sleeps all that comes lies there, in this order, for one turn.
        sleeper.send("DEBUG SLEEP 0.03");
        drop(gone);
        connection.ok(&format!("POPPO.ENQUEUE p {round}"));
        assert_eq!(given(&mut next), round);
        sleeper.message();
        assert_eq!(blocked(&mut connection), 0);
    }
    // And where nobody else waits, the task does.
    let gone = waiting(&server, "POPPO.CLAIM p gone BLOCK 0");
    sleeper.send("DEBUG SLEEP 0.03");
    drop(gone);
    connection.ok("POPPO.ENQUEUE p 100");
    assert_eq!(connection.ok("POPPO.STATS p").count("queue.waiting"), 1);
}

#[test]
fn a_killed_client_gets_nothing() {
    let server = Server::start();
    let mut connection = server.connect();
    let mut victim = server.connect();
    let number = victim.int("CLIENT ID");
    let mut victim = wait_in_line(&server, victim, "POPPO.CLAIM p victim BLOCK 0");
    let mut next = waiting(&server, "POPPO.CLAIM p next BLOCK 0");
    // Killed and offered in the same step.
    run(&mut connection, &["MULTI", &format!("CLIENT KILL ID {number}"), "POPPO.ENQUEUE p 1", "EXEC"]);
    assert_eq!(given(&mut next), 1);
    assert!(victim.try_call(&["PING"]).is_err());
    // A user who is no more takes its connections along; they are closed at the end of this turn only.
    connection.ok("ACL SETUSER worker on >secret ~* +@all");
    let mut worker = server.connect();
    worker.ok("AUTH worker secret");
    let mut worker = wait_in_line(&server, worker, "POPPO.CLAIM p worker BLOCK 0");
    let mut next = waiting(&server, "POPPO.CLAIM p next BLOCK 0");
    connection.pipeline(&["ACL DELUSER worker", "POPPO.ENQUEUE p 2"].map(split));
    assert_eq!(given(&mut next), 2);
    assert!(worker.try_call(&["PING"]).is_err());
}

#[test]
fn an_unblocked_client_gets_null_or_an_error_and_no_task() {
    let server = Server::start();
    let mut connection = server.connect();
    for (how, expected) in [("", "(nil)"), ("TIMEOUT", "(nil)"), ("ERROR", "(error) UNBLOCKED")] {
        let mut client = server.connect();
        let number = client.int("CLIENT ID");
        let mut client = wait_in_line(&server, client, "POPPO.CLAIM p w1 BLOCK 0");
        assert_eq!(connection.int(format!("CLIENT UNBLOCK {number} {how}").trim_end()), 1);
        let answer = show(&client.message());
        assert!(answer.starts_with(expected), "{how}: {answer}");
        assert_eq!(blocked(&mut connection), 0, "{how}");
        connection.ok("POPPO.ENQUEUE p 1");
        assert_eq!(connection.ok("POPPO.STATS p").count("queue.waiting"), 1, "{how}");
        // It lives on and can ask again.
        assert_eq!(client.ok("POPPO.CLAIM p w1 BLOCK 0").count("issue"), 1);
        connection.ok("DEL p");
    }
}

#[test]
fn a_stopped_client_gets_a_lease_that_becomes_an_orphan() {
    let server = Server::start();
    let mut connection = server.connect();
    // To the server, a process that was stopped is a connection that nobody reads.
    let mut stopped = waiting(&server, "POPPO.CLAIM p w1 BLOCK 0 TTL 1000");
    connection.ok("POPPO.ENQUEUE p 1");
    assert_eq!(connection.ok("POPPO.GET p 1").field("process"), "w1");
    wait_until("it is an orphan", || connection.ok("POPPO.ORPHANS p").rows().len() == 1);
    let mut heir = waiting(&server, "POPPO.CLAIM p heir BLOCK 0");
    let token = connection.ok("POPPO.GET p 1").count("token");
    assert_eq!(connection.text(&format!("POPPO.REPAIR p 1 TOKEN {token} REQUEUE")), "queued");
    assert_eq!(given(&mut heir), 1);
    assert_eq!(connection.ok("POPPO.GET p 1").count("orphanCount"), 1);
    // It goes on, and learns that it lost the issue.
    assert_eq!(stopped.message().count("token"), token);
    stopped.refused(&format!("POPPO.CHECKIN p 1 w1 STATUS completed TOKEN {token}"), "STALE");
}

#[test]
fn a_client_that_may_not_have_the_task_by_now_is_refused_and_the_next_gets_it() {
    let server = Server::start();
    let mut connection = server.connect();
    let mut younger = waiting(&server, "POPPO.CLAIM p w1 BLOCK 0 INCARNATION new");
    let mut next = waiting(&server, "POPPO.CLAIM p w2 BLOCK 0");
    // Meanwhile another life of that name turned out to be alive.
    run(
        &mut connection,
        &["POPPO.CHECKOUT p 7 w1 INCARNATION old HOST h PID 5", "POPPO.LIVENESS p w1 ALIVE HOST h PID 5"],
    );
    connection.ok("POPPO.ENQUEUE p 1");
    assert!(younger.message().error().unwrap().starts_with("INUSE"));
    assert_eq!(given(&mut next), 1);
    assert_eq!(blocked(&mut connection), 0);
}

#[test]
fn projects_and_databases_do_not_mix() {
    let server = Server::start();
    let mut connection = server.connect();
    let names = ["p", "p2", "{p}x", "a{b", "{}x", "x}y", "a}{b", "{", "{p}:poppo:claims", "naïve key"];
    let mut clients = Vec::new();
    for database in [0, 9] {
        for name in names {
            let mut client = server.connect();
            client.ok(&format!("SELECT {database}"));
            clients.push((
                database,
                name,
                wait_in_line(&server, client, &format!("POPPO.CLAIM \"{name}\" w1 BLOCK 0")),
            ));
        }
    }
    // The last of the line first: nobody else may take it.
    let mut left = clients.len();
    for (index, (database, name, client)) in clients.iter_mut().enumerate().rev() {
        connection.ok(&format!("SELECT {database}"));
        connection.ok(&format!("POPPO.ENQUEUE \"{name}\" {}", index + 1));
        assert_eq!(given(client), index as i64 + 1, "{name} in {database}");
        left -= 1;
        assert_eq!(blocked(&mut connection), left);
    }
}

#[test]
fn a_key_of_the_lines_own_name_serves_and_disturbs_nobody() {
    let server = Server::start();
    let mut connection = server.connect();
    let mut client = waiting(&server, "POPPO.CLAIM p w1 BLOCK 0");
    let mut popper = server.connect();
    popper.send("BLPOP {p}:poppo:claims 0");
    wait_until("both wait", || connection.info("clients", "blocked_clients") == "2");
    connection.ok("RPUSH {p}:poppo:claims a b");
    assert_eq!(popper.message().rows()[1].text().unwrap(), "a");
    connection.ok("DEL {p}:poppo:claims");
    connection.ok("POPPO.CHECKOUT {p}:poppo:claims 1 w1");
    assert_eq!(blocked(&mut connection), 1);
    connection.ok("POPPO.ENQUEUE p 1");
    assert_eq!(given(&mut client), 1);
}

#[test]
fn a_project_that_goes_leaves_its_line_and_its_successor_serves_it() {
    let server = Server::start();
    let mut connection = server.connect();
    for gone in ["DEL p", "UNLINK p", "FLUSHDB", "FLUSHALL", "FLUSHALL ASYNC", "SET p text", "RENAME p elsewhere"] {
        run(&mut connection, &["FLUSHALL", "POPPO.ENQUEUE p 5 DELAY 60000"]);
        let mut client = waiting(&server, "POPPO.CLAIM p w1 BLOCK 0");
        connection.ok(gone);
        assert_eq!(blocked(&mut connection), 1, "{gone}");
        run(&mut connection, &["DEL p", "POPPO.ENQUEUE p 1 DELAY 20"]);
        assert_eq!(given(&mut client), 1, "{gone}");
    }
    // One that expired.
    connection.ok("POPPO.CHECKOUT p 3 w3");
    let mut client = waiting(&server, "POPPO.CLAIM p w1 BLOCK 0");
    connection.ok("PEXPIRE p 1");
    wait_until("it has expired", || connection.int("EXISTS p") == 0);
    connection.ok("POPPO.ENQUEUE p 1");
    assert_eq!(given(&mut client), 1);
}

#[test]
fn nobody_is_served_while_writes_are_paused_and_all_are_afterwards() {
    let server = Server::builder().no_grace().durable().start();
    let replica = server.replica(Server::builder());
    let mut connection = server.connect();
    let mut clients: Vec<Connection> =
        ["p", "p", "q"].map(|project| waiting(&server, &format!("POPPO.CLAIM {project} w BLOCK 0"))).into();
    at_once(
        &mut connection,
        &[
            "POPPO.ENQUEUE p 1 DELAY 100",
            "POPPO.ENQUEUE p 2 DELAY 100",
            "POPPO.ENQUEUE q 1 DELAY 100",
            "CLIENT PAUSE 60000 WRITE",
        ],
    );
    let mut paused = server.connect();
    paused.send("POPPO.ENQUEUE p 3");
    let_pass(&mut connection, 400);
    assert_eq!(blocked(&mut connection), 3);
    assert_eq!(connection.ok("POPPO.LIST p QUEUE").rows()[1].rows().len(), 2, "both are due");
    connection.ok("CLIENT UNPAUSE");
    assert_eq!(clients.iter_mut().map(given).collect::<Vec<_>>(), [1, 2, 1]);
    assert_eq!(paused.message().number(), 1);
    assert_agree(&server, &replica, &["p", "q"]);
}

#[test]
fn a_pause_that_ends_by_itself_is_the_same() {
    let server = Server::start();
    let mut connection = server.connect();
    let mut client = waiting(&server, "POPPO.CLAIM p w1 BLOCK 0");
    at_once(&mut connection, &["POPPO.ENQUEUE p 1 DELAY 20", "CLIENT PAUSE 300 ALL"]);
    assert_eq!(given(&mut client), 1);
}

#[test]
fn nobody_is_served_at_maxmemory_and_all_are_afterwards() {
    let server = Server::start();
    let mut connection = server.connect();
    connection.ok("POPPO.CHECKOUT p 2 holder TYPE x");
    connection.ok("POPPO.ENQUEUE p 2");
    let mut clients = [1, 2].map(|n| waiting(&server, &format!("POPPO.CLAIM p w{n} BLOCK 0")));
    at_once(&mut connection, &["POPPO.ENQUEUE p 1 DELAY 50", "CONFIG SET maxmemory 1"]);
    connection.ok("POPPO.CHECKIN p 2 holder STATUS completed");
    let_pass(&mut connection, 150);
    assert_eq!(blocked(&mut connection), 2);
    connection.ok("CONFIG SET maxmemory 0");
    let mut issues = clients.each_mut().map(given);
    issues.sort_unstable();
    assert_eq!(issues, [1, 2]);
}

#[test]
fn a_replica_lets_nobody_wait() {
    let primary = Server::start();
    let replica = primary.replica(Server::builder());
    let mut connection = replica.connect();
    connection.refused("POPPO.CLAIM p w1 BLOCK 0", "READONLY");
    connection.ok("CONFIG SET replica-read-only no");
    connection.refused("POPPO.CLAIM p w1 BLOCK 0", "ERR BLOCK");
    assert_eq!(blocked(&mut connection), 0);
    assert_eq!(connection.text("PING"), "PONG");
}

#[track_caller]
fn assert_unblocked(client: &mut Connection) {
    let answer = client.message();
    assert!(answer.error().is_some_and(|error| error.starts_with("UNBLOCKED")), "{}", show(&answer));
}

#[test]
fn who_waits_on_a_server_that_becomes_a_replica_is_told_to_ask_again() {
    let server = Server::start();
    let other = Server::start();
    let mut connection = server.connect();
    let mut clients = ["p", "q"].map(|project| waiting(&server, &format!("POPPO.CLAIM {project} w1 BLOCK 0")));
    connection.ok(&format!("REPLICAOF 127.0.0.1 {}", other.port()));
    for client in &mut clients {
        assert_unblocked(client);
    }
    assert_eq!(blocked(&mut connection), 0);
    server.wait_for_sync();
    // What the new primary does wakes nobody here.
    other.connect().ok("POPPO.ENQUEUE p 1");
    other.wait_for_replicas(&[&server]);
    assert_agree(&other, &server, &["p"]);
    connection.ok("REPLICAOF NO ONE");
    let mut client = server.connect();
    assert_eq!(client.ok("POPPO.CLAIM p w1 BLOCK 0").count("issue"), 1);
}

#[test]
fn an_orderly_failover_hands_the_queue_over_and_its_line_asks_again() {
    let primary = Server::builder().no_grace().durable().start();
    let replica = primary.replica(Server::builder().no_grace().durable());
    let mut connection = primary.connect();
    run(&mut connection, &["POPPO.ENQUEUE p 1", "POPPO.ENQUEUE p 2 DELAY 1500"]);
    let mut client = waiting(&primary, "POPPO.CLAIM p w1 BLOCK 0 TYPE other");
    primary.wait_for_replicas(&[&replica]);
    connection.ok(&format!("FAILOVER TO 127.0.0.1 {} TIMEOUT 20000", replica.port()));
    assert_unblocked(&mut client);
    wait_until("the replica is the primary", || replica.connect().info("replication", "role") == "master");
    let mut client = replica.connect();
    for issue in [1, 2] {
        assert_eq!(client.ok("POPPO.CLAIM p w1 BLOCK 0").count("issue"), issue);
    }
    primary.wait_for_sync();
    assert_agree(&replica, &primary, &["p"]);
}

/// Asserts that a replica has what its primary has, and that neither failed to apply anything.
#[track_caller]
fn assert_agree(primary: &Server, replica: &Server, projects: &[&str]) {
    primary.wait_for_replicas(&[replica]);
    for project in projects {
        assert!(primary.connect().dump(project) == replica.connect().dump(project), "{project}: they disagree");
    }
    for server in [primary, replica] {
        let mut connection = server.connect();
        assert_eq!(connection.info("poppo", "poppo_apply_failures"), "0", "{}", server.log());
        assert_eq!(connection.info("poppo", "poppo_panics"), "0", "{}", server.log());
    }
}

/// The commands in the incremental AOF of a server, each as its words.
fn aof_commands(directory: &Path) -> Vec<Vec<String>> {
    let files = std::fs::read_dir(directory.join("appendonlydir")).unwrap().map(|entry| entry.unwrap().path());
    let path = files.into_iter().find(|path| path.to_string_lossy().ends_with(".incr.aof")).unwrap();
    let mut reader = std::io::Cursor::new(std::fs::read(path).unwrap());
    let mut parser = redis::Parser::new();
    let mut commands = Vec::new();
    while let Ok(Value::Array(words)) = parser.parse_value(&mut reader) {
        commands.push(words.iter().map(|word| word.text().unwrap()).collect());
    }
    commands
}

#[test]
fn who_was_served_is_in_the_aof_resolved_and_replays_to_the_same_bytes() {
    let mut server = Server::builder().no_grace().durable().start();
    let replica = server.replica(Server::builder());
    let mut connection = server.connect();
    let mut clients = [
        waiting(&server, "POPPO.CLAIM p w1 BLOCK 0 TYPES 2 fix issue REQ r1 HOST h PID 5"),
        waiting(&server, "POPPO.CLAIM p w2 BLOCK 0"),
        waiting(&server, "POPPO.CLAIM p w3 BLOCK 0"),
    ];
    run(
        &mut connection,
        &[
            "POPPO.ENQUEUE p 1 ID first TYPE fix",
            "POPPO.ENQUEUE p 2 DELAY 30",
            "MULTI",
            "POPPO.ENQUEUE p 3 DELAY 60",
            "EXEC",
        ],
    );
    assert_eq!(clients.each_mut().map(given), [1, 2, 3]);
    assert_eq!(show(&connection.ok("POPPO.CLAIM p w4 BLOCK 1")), "(nil)");
    connection.ok("POPPO.ENQUEUE p 4");
    connection.ok("POPPO.CHECKIN p 1 w1 STATUS error RETRY 20 NEXT REQ n1");
    let commands = aof_commands(server.dir());
    let claims: Vec<&Vec<String>> =
        commands.iter().filter(|words| words[0].eq_ignore_ascii_case("POPPO.CLAIM")).collect();
    assert_eq!(claims.len(), 3, "each granted claim once, and nothing else");
    for (words, (process, task)) in claims.iter().zip([("w1", "first"), ("w2", "2:issue"), ("w3", "3:issue")]) {
        assert_eq!((words[1].as_str(), words[2].as_str(), words[3].as_str()), ("p", process, "AT"));
        assert!(words[4].parse::<u64>().unwrap() > 1_000_000_000_000_000);
        assert_eq!((words[5].as_str(), words[6].as_str()), ("TASK", task));
    }
    assert_eq!(claims[0][7..].join(" "), "BLOCK 0 TYPES 2 fix issue REQ r1 HOST h PID 5");
    let checkin = commands.iter().find(|words| words[0].eq_ignore_ascii_case("POPPO.CHECKIN")).unwrap();
    assert_eq!((checkin[4].as_str(), checkin[6].as_str(), checkin[7].as_str()), ("AT", "TASK", "4:issue"));
    // An ENQUEUE and what it served are one transaction: nobody sees half of it.
    let position = |name: &str| commands.iter().position(|words| words[0].eq_ignore_ascii_case(name)).unwrap();
    assert!(position("POPPO.ENQUEUE") < position("POPPO.CLAIM"));

    assert_agree(&server, &replica, &["p"]);
    let before = connection.dump("p");
    connection.ok("DEBUG RELOAD");
    assert!(connection.dump("p") == before, "after a reload");
    connection.ok("DEBUG LOADAOF");
    assert!(connection.dump("p") == before, "after the AOF");
    for preamble in ["yes", "no"] {
        connection.ok(&format!("CONFIG SET aof-use-rdb-preamble {preamble}"));
        rewrite_aof(&mut connection);
        server.shutdown("NOSAVE");
        server.start_again();
        connection = server.connect();
        assert!(connection.dump("p") == before, "after a rewrite, preamble {preamble}");
        assert_eq!(connection.info("poppo", "poppo_apply_failures"), "0");
    }
}

#[test]
fn a_claim_in_the_aof_whose_task_is_not_there_is_a_failed_apply() {
    let mut server = Server::builder().no_grace().durable().start();
    let mut connection = server.connect();
    run(&mut connection, &["POPPO.ENQUEUE p 1", "POPPO.CLAIM p w1"]);
    server.shutdown("NOSAVE");
    let files = std::fs::read_dir(server.dir().join("appendonlydir")).unwrap().map(|entry| entry.unwrap().path());
    let path = files.into_iter().find(|path| path.to_string_lossy().ends_with(".incr.aof")).unwrap();
    let text = String::from_utf8(std::fs::read(&path).unwrap()).unwrap();
    let claim = text.find("TASK").unwrap();
    let altered = format!("{}{}", &text[..claim], text[claim..].replace("1:issue", "2:issue"));
    std::fs::write(&path, altered).unwrap();
    server.start_again();
    let mut connection = server.connect();
    assert_eq!(connection.info("poppo", "poppo_apply_failures"), "1");
    assert!(server.log().contains("failed to apply POPPO.CLAIM"), "{}", server.log());
}

/// A connection as small as can be: thousands of them share this process's files.
struct Bare(TcpStream);

impl Bare {
    fn new(server: &Server) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", server.port())).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        Self(stream)
    }

    fn send(&mut self, line: &str) {
        self.0.write_all(format!("{line}\r\n").as_bytes()).unwrap();
    }

    /// The issue of the answer: the second element of its array.
    fn given(&mut self) -> i64 {
        let (mut text, mut buffer) = (String::new(), [0; 512]);
        while text.matches("\r\n").count() < 5 {
            let read = self.0.read(&mut buffer).unwrap();
            assert!(read > 0, "closed after {text:?}");
            text.push_str(&String::from_utf8_lossy(&buffer[..read]));
        }
        let issue = text.lines().find_map(|line| line.strip_prefix(':')).unwrap_or_else(|| panic!("{text:?}"));
        issue.parse().unwrap()
    }
}

/// How many files this process and its children may have open.
fn open_files() -> u64 {
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let line = limits.lines().find(|line| line.starts_with("Max open files")).unwrap_or_default().to_owned();
    line.split_whitespace().nth(3).and_then(|number| number.parse().ok()).unwrap_or(0)
}

#[test]
fn ten_thousand_who_wait_for_one_project_are_served_in_their_order() {
    const CLIENTS: i64 = 10_000;
    if open_files() < CLIENTS as u64 + 1000 {
        println!("skipped: only {} files may be open, too few for {CLIENTS} clients", open_files());
        return;
    }
    let server = Server::builder().no_grace().arg("maxclients", CLIENTS + 100).arg("tcp-backlog", 4096).start();
    let mut connection = server.connect();
    if connection.ok("CONFIG GET maxclients").field("maxclients").parse::<i64>().unwrap() < CLIENTS + 100 {
        println!("skipped: the server may not have {CLIENTS} clients");
        return;
    }
    connection.ok("POPPO.CHECKOUT p 999999 w");
    let mut clients: Vec<Bare> = (0..CLIENTS).map(|_| Bare::new(&server)).collect();
    // One behind the other, so that their order is known.
    for (index, client) in clients.iter_mut().enumerate() {
        client.send("POPPO.CLAIM p w BLOCK 0");
        let sent = Instant::now();
        while blocked(&mut connection) <= index {
            assert!(sent.elapsed() < DEADLINE, "client {index} does not wait");
        }
    }
    let mut follower = server.connect();
    follower.send("POPPO.EVENTS p AFTER 1 BLOCK 0");
    connection.ok("POPPO.ENQUEUE p 1");
    assert_eq!(follower.message().rows()[0].field("event"), "enqueue");
    assert_eq!(blocked(&mut connection), CLIENTS as usize - 1);
    for chunk in (2..=CLIENTS).collect::<Vec<_>>().chunks(1000) {
        let commands: Vec<_> = chunk.iter().map(|issue| split(&format!("POPPO.ENQUEUE p {issue}"))).collect();
        assert!(connection.pipeline(&commands).iter().all(|answer| answer.number() == 1));
    }
    assert_eq!(blocked(&mut connection), 0);
    let issues: Vec<i64> = clients.iter_mut().map(Bare::given).collect();
    assert!(issues.into_iter().eq(1..=CLIENTS), "not in their order");
    assert_eq!(connection.info("poppo", "poppo_panics"), "0");
}

#[test]
fn followers_of_the_log_and_those_who_wait_for_tasks_are_all_served() {
    let server = Server::start();
    let mut connection = server.connect();
    let mut clients: Vec<Connection> = (0..50).map(|_| waiting(&server, "POPPO.CLAIM p w BLOCK 0")).collect();
    let mut followers: Vec<Connection> = (0..50).map(|_| server.connect()).collect();
    followers.iter_mut().for_each(|follower| follower.send("POPPO.EVENTS p AFTER 0 BLOCK 0"));
    wait_until("all wait", || connection.info("clients", "blocked_clients") == "100");
    connection.ok("POPPO.ENQUEUE p 1");
    for follower in &mut followers {
        assert_eq!(follower.message().rows()[0].field("event"), "enqueue");
    }
    assert_eq!(given(&mut clients[0]), 1);
    // The log has the claim of whoever was served, and a follower hears of that, too.
    followers[0].send("POPPO.EVENTS p AFTER 2 BLOCK 0");
    wait_until("it waits", || connection.info("clients", "blocked_clients") == "50");
    connection.ok("POPPO.ENQUEUE p 2 DELAY 20");
    assert_eq!(followers[0].message().rows()[0].field("event"), "enqueue");
    assert_eq!(given(&mut clients[1]), 2);
    assert_eq!(followers[0].ok("POPPO.EVENTS p AFTER 3 BLOCK 0").rows()[0].field("event"), "claim");
    followers[0].send("POPPO.LABELS q BLOCK 0");
    wait_until("it waits", || connection.info("clients", "blocked_clients") == "49");
    let mut client = waiting(&server, "POPPO.CLAIM q w BLOCK 0");
    connection.ok("POPPO.ENQUEUE q 5");
    assert_eq!(given(&mut client), 5);
    assert_eq!(followers[0].message().rows()[0].field("status"), "processing");
}

#[test]
fn who_waits_is_sent_after_a_project_that_migrates() {
    const PROJECT: &str = "{acme}/widgets";
    let cluster = Cluster::start(2, &Server::builder());
    let (slot, first) = cluster.slot(PROJECT);
    let (source, target) = (cluster.node(first), cluster.node(1 - first));
    let (mut giver, mut taker) = (source.connect(), target.connect());
    giver.ok(&format!("POPPO.ENQUEUE {PROJECT} 1 DELAY 60000"));
    let mut clients = [0, 1].map(|n| waiting(source, &format!("POPPO.CLAIM {PROJECT} w{n} BLOCK 0")));
    // A name without a tag, and one whose braces make none.
    let other = (1..).map(|n| format!("other}}{n}")).find(|name| cluster.slot(name).1 == first).unwrap();
    let mut stays = waiting(source, &format!("POPPO.CLAIM {other} w1 BLOCK 0"));

    taker.ok(&format!("CLUSTER SETSLOT {slot} IMPORTING {}", id(source)));
    giver.ok(&format!("CLUSTER SETSLOT {slot} MIGRATING {}", id(target)));
    giver.ok(&format!("MIGRATE 127.0.0.1 {} {PROJECT} 0 10000", target.port()));
    taker.ok(&format!("CLUSTER SETSLOT {slot} NODE {}", id(target)));
    giver.ok(&format!("CLUSTER SETSLOT {slot} NODE {}", id(target)));
    for client in &mut clients {
        let error = client.message().error().unwrap();
        assert!(error.starts_with(&format!("MOVED {slot} ")), "{error}");
    }
    wait_until("only who waits for another project waits", || blocked(&mut giver) == 1);
    let mut client = waiting(target, &format!("POPPO.CLAIM {PROJECT} w0 BLOCK 0"));
    taker.ok(&format!("POPPO.ENQUEUE {PROJECT} 2"));
    assert_eq!(given(&mut client), 2);
    giver.ok(&format!("POPPO.ENQUEUE {other} 3"));
    assert_eq!(given(&mut stays), 3);
}

#[test]
fn who_waits_is_sent_after_a_slot_that_migrates_at_once() {
    const PROJECT: &str = "{acme}/widgets";
    if Server::plain().cluster().start().connect().refusal("CLUSTER MIGRATESLOTS").contains("unknown subcommand") {
        println!("skipped: this server has no CLUSTER MIGRATESLOTS");
        return;
    }
    let cluster = Cluster::start(2, &Server::builder());
    let (slot, first) = cluster.slot(PROJECT);
    let (source, target) = (cluster.node(first), cluster.node(1 - first));
    let mut giver = source.connect();
    giver.ok(&format!("POPPO.ENQUEUE {PROJECT} 1 DELAY 60000"));
    let mut clients = [0, 1].map(|n| waiting(source, &format!("POPPO.CLAIM {PROJECT} w{n} BLOCK 0")));
    giver.ok(&format!("CLUSTER MIGRATESLOTS SLOTSRANGE {slot} {slot} NODE {}", id(target)));
    for client in &mut clients {
        let error = client.message().error().unwrap();
        assert!(error.starts_with(&format!("MOVED {slot} ")), "{error}");
    }
    assert_eq!(blocked(&mut giver), 0);
    let mut client = waiting(target, &format!("POPPO.CLAIM {PROJECT} w0 BLOCK 0"));
    target.connect().ok(&format!("POPPO.ENQUEUE {PROJECT} 2"));
    assert_eq!(given(&mut client), 2);
}

#[test]
fn random_coming_waiting_and_going_loses_no_task() {
    let seed = seed(20_260_301);
    println!("POPPO_SEED={seed}");
    let mut random = Random::new(seed);
    let mut server = Server::builder().no_grace().arg("appendonly", "yes").arg("appendfsync", "no").start();
    let replica = server.replica(Server::builder());
    let mut connection = server.connect();
    let projects = ["p", "q"];
    let mut clients: Vec<Bare> = Vec::new();
    let mut issue = 0;
    for _ in 0..6000 {
        let project = *random.pick(&projects);
        match random.below(20) {
            0..7 => {
                let mut client = Bare::new(&server);
                let kind = *random.pick(&["", " TYPE a", " TYPES 2 a b", " TYPE b"]);
                let block = *random.pick(&[0, 0, 1, 5, 50]);
                client.send(&format!("POPPO.CLAIM {project} w{} BLOCK {block}{kind}", random.below(4)));
                clients.push(client);
            }
            7..11 if !clients.is_empty() => {
                // The server is left to find out.
                drop(clients.swap_remove(random.below(clients.len())));
            }
            11..17 => {
                issue += 1;
                let kind = *random.pick(&["a", "b", "c"]);
                let delay = *random.pick(&[0, 0, 3, 20]);
                let line = format!("POPPO.ENQUEUE {project} {issue} TYPE {kind} DELAY {delay}");
                match random.below(4) {
                    0 => run(&mut connection, &["MULTI", &line, "EXEC"]),
                    _ => drop(connection.ok(&line)),
                }
            }
            17 => {
                let list = connection.text("CLIENT LIST TYPE normal");
                let waiting: Vec<&str> = list.lines().filter(|line| line.contains("cmd=poppo.claim")).collect();
                if !waiting.is_empty() {
                    let number = random.pick(&waiting).strip_prefix("id=").unwrap().split(' ').next().unwrap();
                    let how = *random.pick(&["UNBLOCK", "KILL ID"]);
                    connection.cmd(&format!("CLIENT {how} {number}"));
                }
            }
            18 => drop(connection.ok(&format!("POPPO.DRAIN {project} {}", random.pick(&["ON", "OFF", "OFF"])))),
            _ => {
                connection.cmd(&format!("POPPO.EVICT {project} {} REQUEUE", 1 + random.below(issue.max(1))));
            }
        }
    }
    drop(clients);
    wait_until("all are gone", || blocked(&mut connection) == 0);
    wait_until("all are gone", || connection.info("clients", "blocked_clients") == "0");
    let mut there = 0;
    for project in projects {
        let stats = connection.ok(&format!("POPPO.STATS {project}"));
        there += ["waiting", "delayed", "running", "dead"]
            .map(|what| stats.count(&format!("queue.{what}")))
            .iter()
            .sum::<i64>();
    }
    assert_eq!(there, issue as i64, "a task was lost or doubled");
    assert_agree(&server, &replica, &projects);
    let before = projects.map(|project| connection.dump(project));
    server.restart();
    assert!(projects.map(|project| server.connect().dump(project)) == before, "the AOF tells another story");
}
