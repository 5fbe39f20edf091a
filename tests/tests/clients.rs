//! The workers of `docs/clients.md`, as they stand there, on a server that is killed while they work.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "in a test a panic is the report"
)]

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use poppo_tests::command::signal;
use poppo_tests::{Connection, Reply as _, Server, artifacts, wait_until};
use rustix::process::Signal;

/// What the workers run: it writes down that it started and that it ended. Some issues wait for a file, one fails at first.
const WORK: &str = r#"#!/bin/sh
echo "start $POPPO_ISSUE $POPPO_TOKEN" >>log
case $POPPO_ISSUE in
1|50|60|70) while [ ! -e "go-$POPPO_ISSUE" ]; do sleep 0.02; done ;;
3) [ -e failed ] || { : >failed; exit 7; } ;;
esac
echo "end $POPPO_ISSUE $POPPO_TOKEN" >>log
"#;

/// A worker of the document. It ends with its test.
struct Worker {
    child: Child,
    server: Server,
}

impl Worker {
    /// The worker in the language of this block, with leases that last so many ms, started with a queue before it; none where its libraries cannot be had.
    fn start(language: &str, ttl: u64, way: Way, prepare: impl FnOnce(&mut Connection)) -> Option<Self> {
        let server = Server::builder().durable().start();
        let (program, file, libraries) = match language {
            "js" => ("node".into(), "worker.mjs", true),
            "python" => ("venv/bin/python3".into(), "worker.py", true),
            _ => (std::path::PathBuf::from("bash"), "worker.sh", false),
        };
        let mut command = Command::new(&program);
        if libraries {
            let folder = match artifacts::clients() {
                Ok(folder) => folder,
                Err(why) => {
                    assert!(std::env::var_os("POPPO_REQUIRE_CLIENTS").is_none(), "{why}");
                    eprintln!("skipped, since the libraries of docs/clients.md cannot be had: {why}");
                    return None;
                }
            };
            // Where Node looks for modules goes by where the file is.
            std::os::unix::fs::symlink(folder.join("node_modules"), server.dir().join("node_modules")).unwrap();
            if language == "python" {
                command = Command::new(folder.join(&program));
            }
        }
        fs::write(server.dir().join(file), block(language)).unwrap();
        fs::write(server.dir().join("work"), WORK).unwrap();
        prepare(&mut server.connect());
        let url = match way {
            Way::Straight => server.url(),
            Way::LosesFirstClaim => format!("redis://127.0.0.1:{}", lossy(server.port())),
        };
        let said = File::create(server.dir().join("said")).unwrap();
        let child = command
            .args([file, "sh", "./work"])
            .envs([("POPPO_URL", url), ("POPPO_PROJECT", "p".to_owned()), ("POPPO_TTL", ttl.to_string())])
            .current_dir(server.dir())
            .stdin(Stdio::null())
            .stdout(said.try_clone().unwrap())
            .stderr(said)
            .spawn()
            .unwrap_or_else(|error| panic!("{}: {error}", program.display()));
        Some(Self { child, server })
    }

    /// The lines that its work wrote.
    fn log(&self) -> Vec<String> {
        let text = fs::read_to_string(self.server.dir().join("log")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    fn said(&self) -> String {
        fs::read_to_string(self.server.dir().join("said")).unwrap()
    }

    fn wait_for(&self, what: &str) {
        let expected = format!("{what} ");
        wait_until(&format!("{what}: {:?}; it said {}", self.log(), self.said()), || {
            self.log().iter().any(|line| line.starts_with(&expected))
        });
    }

    fn go(&self, issue: u64) {
        fs::write(self.server.dir().join(format!("go-{issue}")), "").unwrap();
    }

    fn wait_for_status(&self, issue: u64, status: &str) {
        let mut connection = self.server.connect();
        wait_until(&format!("{issue} is {status}; it said {}", self.said()), || {
            connection.ok(&format!("POPPO.GET p {issue}")).field("status") == status
        });
    }

    /// Waits until it waits for a task.
    fn wait_until_idle(&self) {
        let mut connection = self.server.connect();
        wait_until(&format!("it waits for a task; it said {}", self.said()), || {
            connection.text("CLIENT LIST").lines().any(|line| line.contains("POPPO.CLAIM") && line.contains("flags=b"))
        });
    }

    fn exit_code(&mut self) -> Option<i32> {
        let mut status = None;
        wait_until("it has ended", || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        status.and_then(|status| status.code())
    }

    /// By the server's own log: how often each issue was claimed, and how its runs were reported.
    fn history(&self) -> BTreeMap<u64, (usize, Vec<String>)> {
        let events = self.server.connect().ok("POPPO.EVENTS p AFTER 0 COUNT 10000");
        let mut history: BTreeMap<u64, (usize, Vec<String>)> = BTreeMap::new();
        for event in events.rows() {
            let entry = history.entry(event.count("issue") as u64).or_default();
            match event.field("event").as_str() {
                "claim" => entry.0 += 1,
                "checkin" => entry.1.push(event.field("status")),
                _ => {}
            }
        }
        history
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// How a worker reaches the server.
enum Way {
    Straight,
    /// The first claim that is granted is answered to nobody: the connection breaks instead.
    LosesFirstClaim,
}

/// A way to the server on this port that loses the first answer with the id of a task in it.
fn lossy(to: u16) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let has_lost = Arc::new(AtomicBool::new(false));
    std::thread::spawn(move || {
        for client in listener.incoming().map_while(Result::ok) {
            let Ok(server) = TcpStream::connect(("127.0.0.1", to)) else { continue };
            let (from_client, to_server) = (client.try_clone().unwrap(), server.try_clone().unwrap());
            std::thread::spawn(move || pass(from_client, to_server, |_| false));
            let has_lost = Arc::clone(&has_lost);
            let is_lost = move |answer: &[u8]| {
                answer.windows(6).any(|window| window == b":issue") && !has_lost.swap(true, Ordering::SeqCst)
            };
            std::thread::spawn(move || pass(server, client, is_lost));
        }
    });
    port
}

/// Passes on what comes, until there is no more or something is to be lost: then the connection breaks.
fn pass(mut from: TcpStream, mut to: TcpStream, is_lost: impl Fn(&[u8]) -> bool) {
    let mut buffer = [0; 65_536];
    while let Ok(length @ 1..) = from.read(&mut buffer) {
        if is_lost(&buffer[..length]) || to.write_all(&buffer[..length]).is_err() {
            break;
        }
    }
    // One of them may be gone already.
    drop(from.shutdown(Shutdown::Both));
    drop(to.shutdown(Shutdown::Both));
}

/// The one block of the document in this language.
fn block(language: &str) -> String {
    let text = fs::read_to_string(artifacts::workspace().join("docs/clients.md")).unwrap();
    let fence = format!("\n```{language}\n");
    let mut blocks = text.split(&fence).skip(1).map(|rest| rest.split("\n```\n").next().unwrap());
    let block = blocks.next().unwrap_or_else(|| panic!("docs/clients.md has no {language}"));
    assert!(blocks.next().is_none(), "docs/clients.md has more than one worker in {language}");
    format!("{block}\n")
}

fn does_all_tasks_once_whatever_becomes_of_the_server(language: &str) {
    let queue = |connection: &mut Connection| {
        connection.ok("POPPO.ENQUEUE p 1 PRIORITY urgent PAYLOAD '{\"a\": 1}'");
        connection.ok("POPPO.ENQUEUE p 2 TITLE \"two\nlines\"");
        for issue in 3..=12 {
            connection.ok(&format!("POPPO.ENQUEUE p {issue}"));
        }
    };
    // The TTL is longer than any restart takes.
    let Some(mut worker) = Worker::start(language, 20_000, Way::Straight, queue) else { return };

    // It works while the server is away, and reports it when it is back.
    worker.wait_for("start 1");
    worker.server.kill9();
    worker.go(1);
    worker.wait_for("end 1");
    worker.server.start_again();
    // Killed again in the middle of it all, wherever it is by then.
    worker.wait_for("start 5");
    worker.server.kill9();
    worker.server.start_again();
    for issue in 1..=12 {
        worker.wait_for_status(issue, "completed");
    }
    // And while it waits for a task.
    worker.wait_until_idle();
    worker.server.kill9();
    worker.server.start_again();
    worker.server.connect().ok("POPPO.ENQUEUE p 13");
    worker.wait_for_status(13, "completed");

    let history = worker.history();
    for issue in 1..=13 {
        let (claims, reports) = &history[&issue];
        let expected: &[&str] = if issue == 3 { &["queued", "completed"] } else { &["completed"] };
        assert_eq!(
            (*claims, reports),
            (expected.len(), &expected.iter().map(ToString::to_string).collect()),
            "{issue}"
        );
        let ends = worker.log().iter().filter(|line| line.starts_with(&format!("end {issue} "))).count();
        assert_eq!(ends, 1, "issue {issue}: {:?}; it said {}", worker.log(), worker.said());
    }
}

fn stops_what_is_cancelled_or_lost_and_drains(language: &str) {
    // A third of the TTL is how soon a worker hears of it.
    let Some(mut worker) = Worker::start(language, 3000, Way::Straight, |connection| {
        connection.ok("POPPO.ENQUEUE p 50");
    }) else {
        return;
    };
    let mut connection = worker.server.connect();
    worker.wait_for("start 50");
    assert_eq!(connection.text("POPPO.CANCEL p 50"), "asked");
    worker.wait_for_status(50, "cancelled");

    // What is taken from it is not reported, and it goes on.
    connection.ok("POPPO.ENQUEUE p 60");
    worker.wait_for("start 60");
    connection.ok("POPPO.EVICT p 60 REASON \"by hand\"");
    connection.ok("POPPO.ENQUEUE p 70");
    worker.wait_for("start 70");
    let evicted = connection.ok("POPPO.GET p 60");
    assert_eq!((evicted.field("endedBy"), evicted.field("reason")), ("evict".to_owned(), "by hand".to_owned()));
    wait_until("it says so", || worker.said().contains("STALE"));

    // It drains: what runs is finished, what waits is left to others.
    connection.ok("POPPO.ENQUEUE p 99");
    signal(&worker.child, Signal::TERM);
    worker.go(70);
    assert_eq!(worker.exit_code(), Some(0), "{}", worker.said());
    assert_eq!(connection.ok("POPPO.GET p 70").field("status"), "completed");
    assert_eq!(connection.ok("POPPO.GET p 99").field("status"), "queued");
    assert!(!worker.log().iter().any(|line| line.starts_with("end 50") || line.starts_with("end 60")));
    assert_eq!(worker.history()[&70], (1, vec!["completed".to_owned()]));
}

fn claims_nothing_twice_over_a_lost_answer(language: &str) {
    let queue = |connection: &mut Connection| {
        connection.ok("POPPO.ENQUEUE p 21");
        connection.ok("POPPO.ENQUEUE p 22");
    };
    let Some(worker) = Worker::start(language, 20_000, Way::LosesFirstClaim, queue) else { return };
    for issue in [21, 22] {
        worker.wait_for_status(issue, "completed");
        assert_eq!(worker.history()[&issue], (1, vec!["completed".to_owned()]));
    }
    let starts: Vec<String> = worker.log().into_iter().filter(|line| line.starts_with("start ")).collect();
    assert!(starts.len() == 2 && starts[0].starts_with("start 21 "), "{starts:?}");
}

#[test]
fn the_worker_in_node_does_all_tasks_once() {
    does_all_tasks_once_whatever_becomes_of_the_server("js");
}

#[test]
fn the_worker_in_node_stops_and_drains() {
    stops_what_is_cancelled_or_lost_and_drains("js");
}

#[test]
fn the_worker_in_python_does_all_tasks_once() {
    does_all_tasks_once_whatever_becomes_of_the_server("python");
}

#[test]
fn the_worker_in_python_stops_and_drains() {
    stops_what_is_cancelled_or_lost_and_drains("python");
}

#[test]
fn the_worker_in_bash_does_all_tasks_once() {
    does_all_tasks_once_whatever_becomes_of_the_server("bash");
}

#[test]
fn the_worker_in_bash_stops_and_drains() {
    stops_what_is_cancelled_or_lost_and_drains("bash");
}

#[test]
fn the_worker_in_node_claims_nothing_twice() {
    claims_nothing_twice_over_a_lost_answer("js");
}

#[test]
fn the_worker_in_python_claims_nothing_twice() {
    claims_nothing_twice_over_a_lost_answer("python");
}

#[test]
fn the_worker_in_bash_claims_nothing_twice() {
    claims_nothing_twice_over_a_lost_answer("bash");
}
