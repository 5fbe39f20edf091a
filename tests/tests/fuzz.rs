//! A million commands of nonsense: the server lives, and no memory is lost.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "in a test a panic is the report"
)]

use std::sync::atomic::{AtomicBool, Ordering};

use poppo_tests::transcript::split;
use poppo_tests::{Connection, History, Random, Server, seed, wait_until};

/// How many commands there are in all, and how many go in one pipeline.
const COMMANDS: usize = 1_000_000;
const PIPELINE: usize = 20_000;

const NAMES: [&str; 23] = [
    "CHECKOUT",
    "CHECKIN",
    "HEARTBEAT",
    "ORPHANS",
    "LIVENESS",
    "REPAIR",
    "EVICT",
    "GET",
    "LIST",
    "STATS",
    "FORGET",
    "CONFIG",
    "LOAD",
    "EVENTS",
    "LABELS",
    "LABELLED",
    "ENQUEUE",
    "CLAIM",
    "CANCEL",
    "REVIVE",
    "DRAIN",
    "EXPORT",
    "IMPORT",
];

/// Words that mean something somewhere.
const WORDS: [&str; 62] = [
    "p",
    "q",
    "1",
    "2",
    "3",
    "0",
    "-1",
    "w1",
    "w2",
    "STATUS",
    "completed",
    "error",
    "TOKEN",
    "TTL",
    "1000",
    "PID",
    "HOST",
    "h",
    "INCARNATION",
    "i",
    "TYPE",
    "TITLE",
    "ONCE",
    "TAKEOVER",
    "META",
    "RESULT",
    "{}",
    "REASON",
    "COUNT",
    "CURSOR",
    "PROCESSES",
    "ALIVE",
    "DEAD",
    "SET",
    "GET",
    "heartbeat-ttl",
    "AT",
    "FIRST",
    "9007199254740991",
    "AFTER",
    "BLOCK",
    "events-kept",
    "ID",
    "1:issue",
    "PRIORITY",
    "urgent",
    "DELAY",
    "PAYLOAD",
    "AGAIN",
    "TYPES",
    "REQ",
    "NEXT",
    "RETRY",
    "REQUEUE",
    "ON",
    "OFF",
    "TASK",
    "QUEUE",
    "DELAYED",
    "issues-1-0",
    "{\"export\":{\"version\":1}}\n{\"finished\":{\"issue\":1,\"id\":\"1:issue\"}}",
    "",
];

#[test]
fn a_million_commands_of_random_bytes_neither_crash_the_server_nor_leak() {
    let seed = seed(483_117_264_751);
    println!("POPPO_SEED={seed}");
    let server = Server::start();
    // Everything that allocates once does so before the measuring.
    flood(&server, &mut server.connect(), &mut Random::new(seed - 1), PIPELINE);
    let before = memory(&mut emptied(&server));
    let mut random = Random::new(seed);
    let mut connection = server.connect();
    for _ in 0..COMMANDS / PIPELINE {
        flood(&server, &mut connection, &mut random, PIPELINE);
    }
    assert_eq!(connection.info("poppo", "poppo_panics"), "0");
    assert!(connection.info("poppo", "poppo_checkouts").parse::<u64>().unwrap() > 1000, "nothing was ever granted");
    assert!(connection.info("poppo", "poppo_claims").parse::<u64>().unwrap() > 1000, "nothing was ever claimed");
    drop(connection);
    let mut connection = emptied(&server);
    wait_until("the memory in use is what it was before, within a mebibyte", || {
        let after = memory(&mut connection);
        println!("{before} bytes before, {after} after");
        after < before + (1 << 20)
    });
    assert_eq!(connection.info("poppo", "poppo_projects"), "0");
    assert_eq!(connection.info("poppo", "poppo_leases"), "0");
    assert_eq!(connection.info("poppo", "poppo_tasks"), "0");
    assert_eq!(connection.info("poppo", "poppo_blocked_claims"), "0");
}

/// Sends a pipeline of nonsense and waits for the last answer.
fn flood(server: &Server, connection: &mut Connection, random: &mut Random, count: usize) {
    let mut history = History::new("p", random.bits());
    let mut bytes = Vec::with_capacity(count * 64);
    for _ in 0..count {
        let command = match random.below(4) {
            _ if random.one_in(50) => following(random),
            0 => split(&history.line()),
            1 => mutated(split(&history.line()), random),
            2 => of_words(random),
            _ => of_bytes(random),
        };
        write(&mut bytes, &command);
    }
    // Nonsense may wait for ever; somebody has to tell it that there is nothing to wait for.
    let over = AtomicBool::new(false);
    let id = connection.int("CLIENT ID");
    let mut nurse = server.connect();
    let sentinel = format!("end-{}", random.bits());
    write(&mut bytes, &[b"ECHO".to_vec(), sentinel.clone().into_bytes()]);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            wait_until("the flood is over", || {
                nurse.int(&format!("CLIENT UNBLOCK {id}"));
                over.load(Ordering::SeqCst)
            });
        });
        connection.flood(bytes, format!("{sentinel}\r\n").as_bytes());
        over.store(true, Ordering::SeqCst);
    });
}

/// Reading along, and perhaps waiting.
fn following(random: &mut Random) -> Vec<Vec<u8>> {
    let project = *random.pick(&["p", "p", "q"]);
    let wait = if random.one_in(20) { format!(" BLOCK {}", random.below(3)) } else { String::new() };
    let count = 1 + random.below(20);
    let line = match random.below(3) {
        0 => format!("POPPO.LABELS {project} COUNT {count}{wait}"),
        1 => format!("POPPO.LABELLED {project} {} {}", 1 + random.below(25), 1 + random.below(20_000)),
        _ => format!("POPPO.EVENTS {project} AFTER {} COUNT {count}{wait}", random.below(20_000)),
    };
    split(&line)
}

/// A command in the protocol of the server; by hand, because a million of them pass here.
fn write(bytes: &mut Vec<u8>, command: &[Vec<u8>]) {
    bytes.extend(format!("*{}\r\n", command.len()).as_bytes());
    for argument in command {
        bytes.extend(format!("${}\r\n", argument.len()).as_bytes());
        bytes.extend(argument);
        bytes.extend(b"\r\n");
    }
}

/// A command that was right, with something changed.
fn mutated(mut command: Vec<Vec<u8>>, random: &mut Random) -> Vec<Vec<u8>> {
    for _ in 0..=random.below(2) {
        // The name stays: what is wrong shall reach the module.
        let at = 1 + random.below(command.len() - 1);
        match random.below(6) {
            0 => command[at] = noise(random),
            1 => command[at] = random.pick(&WORDS).as_bytes().to_vec(),
            2 => command.insert(at, noise(random)),
            3 => command.insert(at, random.pick(&WORDS).as_bytes().to_vec()),
            4 if command.len() > 2 => drop(command.remove(at)),
            _ => {
                let length = command[at].len();
                if length > 0 {
                    command[at][random.below(length)] = random.bits() as u8;
                }
            }
        }
    }
    command
}

fn name(random: &mut Random) -> Vec<u8> {
    format!("POPPO.{}", random.pick(&NAMES)).into_bytes()
}

fn of_words(random: &mut Random) -> Vec<Vec<u8>> {
    let mut command = vec![name(random)];
    for _ in 0..random.below(10) {
        command.push(random.pick(&WORDS).as_bytes().to_vec());
    }
    command
}

fn of_bytes(random: &mut Random) -> Vec<Vec<u8>> {
    let mut command = vec![name(random)];
    for _ in 0..random.below(8) {
        command.push(noise(random));
    }
    command
}

fn noise(random: &mut Random) -> Vec<u8> {
    let length = if random.one_in(200) { random.below(2000) } else { random.below(12) };
    (0..length).map(|_| random.bits() as u8).collect()
}

/// Empties the server, and answers the only connection there is then: buffers of others would count as used.
fn emptied(server: &Server) -> Connection {
    let mut connection = server.connect();
    wait_until("nobody else is connected", || connection.info("clients", "connected_clients") == "1");
    connection.ok("FLUSHALL SYNC");
    connection.ok("SCRIPT FLUSH SYNC");
    connection.ok("MEMORY PURGE");
    connection
}

fn memory(connection: &mut Connection) -> u64 {
    connection.info("memory", "used_memory").parse().unwrap()
}
