//! The library's leases and workers on a real server, and all that can happen to them.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "in a test a panic is the report"
)]
#![allow(clippy::duplicate_mod, reason = "the same tests, on a server and on a file")]

use std::collections::{BTreeMap, BTreeSet};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use poppo::{Backoff, Block, CheckedIn, Checkout, Claim, Fate, Worker};
use poppo_tests::proxy::Lossy;
use poppo_tests::{Connection, Reply as _, Server, artifacts, command, wait_until};
use rustix::process::Signal;
use tokio_util::sync::CancellationToken;

use server::library::{checkout, holder, project, reason, short, spool, status, until};

#[path = "both"]
mod server {
    use poppo_tests::Server;

    pub(crate) mod library;
}

#[path = "both"]
mod file {
    use poppo_tests::Files as Server;

    #[allow(dead_code, reason = "some of it is for tests that only a server has")]
    #[allow(clippy::duplicate_mod, reason = "the same tests, on a file")]
    mod library;
}

/// What was last reported, if anything was.
fn progress(connection: &mut Connection, number: u64) -> String {
    let record = connection.ok(&format!("POPPO.GET p {number}"));
    record.get("progress").and_then(|text| text.text()).unwrap_or_default()
}

fn calls(command: &str, connection: &mut Connection) -> u64 {
    let line = connection.info("commandstats", &format!("cmdstat_{command}"));
    line.split(',').next().and_then(|field| field.strip_prefix("calls=")?.parse().ok()).unwrap_or(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_whose_server_is_silent_for_too_long_is_lost() {
    let mut server = short();
    let (holder, said) = holder(&server, "w").await;
    // Said here, since the first beat may come too late to tell.
    let lease = holder.checkout(&Checkout { ttl: Some(Duration::from_secs(1)), ..checkout(1) }).await.unwrap();
    server.kill9();
    let fate = lease.until_stopped().await;
    assert!(matches!(&fate, Fate::Lost { code, .. } if code == "LOST"), "{fate:?}");
    assert!(fate.to_string().contains("1s"), "{fate}");
    assert!(said.lock().unwrap().iter().any(|line| line.contains("trying again")), "{said:?}");
    drop(lease);
    holder.settled().await;
    assert_eq!(spool(&server).list().unwrap().0, [], "what is lost has nothing to report");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_in_that_nobody_waits_for_any_more_is_made_all_the_same() {
    let mut server = Server::builder().no_grace().durable().start();
    let (holder, _) = holder(&server, "w").await;
    let lease = holder.checkout(&checkout(1)).await.unwrap();
    server.kill9();
    let given_up = tokio::time::timeout(Duration::from_millis(1), lease.complete("{\"a\":1}")).await;
    assert!(given_up.is_err());
    server.start_again();
    holder.settled().await;
    assert_eq!(status(&server, 1), "completed", "and not as dropped");
    assert_eq!(spool(&server).list().unwrap().0, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_that_is_broken_off_leaves_nothing_behind() {
    let server = Server::start();
    let network = Lossy::start(&server, &["POPPO.CLAIM"], 1);
    let holder = project(network.url()).await.holder("w");
    server.connect().ok("POPPO.ENQUEUE p 1");
    // Its answer is lost, and it is not repeated.
    holder.claim_once(&Claim::new("w")).await.unwrap_err();
    let mut connection = server.connect();
    until("it is given back", move || connection.ok("POPPO.GET p 1").field("status") == "queued").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_that_are_lost_cost_no_task_and_do_none_twice() {
    const TASKS: u64 = 60;
    let server = Server::start();
    let mut connection = server.connect();
    for number in 1..=TASKS {
        connection.ok(&format!("POPPO.ENQUEUE p {number}"));
    }
    let network = Lossy::start(&server, &["POPPO.CLAIM", "POPPO.CHECKIN"], 5);
    let holder = project(network.url()).await.holder("w");
    holder.keep_in(Some(spool(&server)));
    let mut claim = Claim::new("w");
    claim.block = Block::AtMost(Duration::from_secs(20));
    let mut tokens = BTreeSet::new();
    for _ in 0..TASKS {
        let lease = holder.claim(&claim).await.unwrap().expect("a task");
        assert!(tokens.insert((lease.issue(), lease.token())), "a lease came twice");
        assert!(matches!(lease.complete("").await.unwrap(), CheckedIn::Accepted));
    }
    assert!(network.lost() > 10, "{}", network.lost());
    let stats = connection.ok("POPPO.STATS p");
    assert_eq!((stats.count("tasks.finished"), stats.count("queue.running")), (TASKS as i64, 0));
    assert_eq!(tokens.iter().map(|(issue, _)| issue).collect::<BTreeSet<_>>().len(), TASKS as usize);
}

#[tokio::test(flavor = "multi_thread")]
async fn progress_goes_with_the_next_beat_and_is_not_a_beat_each() {
    let server = Server::start();
    let (holder, _) = holder(&server, "w").await;
    let lease = holder.checkout(&checkout(1)).await.unwrap();
    for step in 1..=1000 {
        lease.progress(format!("{step}/1000"));
    }
    let mut connection = server.connect();
    until("the last one is there", {
        let mut connection = server.connect();
        move || progress(&mut connection, 1) == "1000/1000"
    })
    .await;
    assert!(calls("POPPO.HEARTBEAT", &mut connection) <= 4);
    // What the server does not want costs neither the lease nor the beats.
    lease.progress("x".repeat(70_000));
    lease.progress("y".repeat(70_000));
    let before = calls("POPPO.HEARTBEAT", &mut connection);
    until("it was sent", move || calls("POPPO.HEARTBEAT", &mut connection) > before).await;
    lease.progress("good");
    let mut connection = server.connect();
    until("the next one is there", move || progress(&mut connection, 1) == "good").await;
    assert_eq!(lease.fate(), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_works_once_takes_one_task_for_each_job_and_waits_for_nothing() {
    let mut server = Server::start();
    let mut connection = server.connect();
    for number in 1..=3 {
        connection.ok(&format!("POPPO.ENQUEUE p {number}"));
    }
    let (holder, said) = holder(&server, "w").await;
    let worker = Worker::of(holder).jobs(2).once();
    let function = |lease: poppo::Lease| async move { lease.complete("").await.map(drop) };
    worker.clone().run(function).await.unwrap();
    assert_eq!([1, 2, 3].map(|number| status(&server, number)), ["completed", "completed", "queued"]);
    worker.clone().run(function).await.unwrap();
    worker.clone().run(function).await.unwrap();
    assert_eq!(connection.ok("POPPO.STATS p").count("tasks.finished"), 3);
    server.kill9();
    let error = worker.run(function).await.unwrap_err();
    assert!(error.may_pass(), "{error}");
    assert_eq!(*said.lock().unwrap(), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_waits_for_its_server_says_so_once() {
    let mut server = Server::start();
    let (holder, said) = holder(&server, "w").await;
    let drain = CancellationToken::new();
    let function = |lease: poppo::Lease| async move { lease.complete("").await.map(drop) };
    let running = tokio::spawn(Worker::of(holder).drain_on(drain.clone()).run(function));
    let mut connection = server.connect();
    until("it waits", move || connection.text("CLIENT LIST").contains("cmd=POPPO.CLAIM")).await;
    server.kill9();
    let heard = Arc::clone(&said);
    until("it says so", move || heard.lock().unwrap().iter().any(|line| line.contains("waiting for it"))).await;
    server.start_again();
    let heard = Arc::clone(&said);
    server.connect().ok("POPPO.ENQUEUE p 1");
    until("it says that it is back", move || heard.lock().unwrap().iter().any(|line| line.contains("answers again")))
        .await;
    drain.cancel();
    running.await.unwrap().unwrap();
    let said = said.lock().unwrap();
    assert_eq!(said.iter().filter(|line| line.contains("waiting for it")).count(), 1, "{said:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_busy_worker_needs_one_round_trip_a_task() {
    const TASKS: u64 = 200;
    let server = Server::start();
    let mut connection = server.connect();
    for number in 1..=TASKS {
        connection.ok(&format!("POPPO.ENQUEUE p {number}"));
    }
    let (holder, _) = holder(&server, "w").await;
    let drain = CancellationToken::new();
    let running = tokio::spawn(
        Worker::of(holder).drain_on(drain.clone()).run(|lease| async move { lease.complete("").await.map(drop) }),
    );
    let mut watching = server.connect();
    until("all are done", move || watching.ok("POPPO.STATS p").count("tasks.finished") == TASKS as i64).await;
    drain.cancel();
    running.await.unwrap().unwrap();
    assert_eq!(calls("POPPO.CHECKIN", &mut connection), TASKS);
    let claims = calls("POPPO.CLAIM", &mut connection);
    assert!(claims <= 2, "{claims} claims: the first, and the one that waits");
    let beats = calls("POPPO.HEARTBEAT", &mut connection);
    assert!(beats <= 5, "{beats} heartbeats in a moment");
}

#[tokio::test(flavor = "multi_thread")]
async fn workers_finish_each_task_once_over_a_server_that_is_killed() {
    const TASKS: u64 = 90;
    let mut server = Server::builder().no_grace().durable().start();
    let mut connection = server.connect();
    for number in 1..=TASKS {
        connection.ok(&format!("POPPO.ENQUEUE p {number}"));
    }
    let drain = CancellationToken::new();
    let runs: Arc<Mutex<Vec<(u64, u64)>>> = Arc::default();
    let mut running = Vec::new();
    for name in ["w1", "w2"] {
        let (holder, _) = holder(&server, name).await;
        let runs = Arc::clone(&runs);
        let worker = Worker::of(holder)
            .jobs(3)
            .retry(Backoff::new(Duration::from_millis(5), Duration::from_millis(20)))
            .drain_on(drain.clone());
        running.push(tokio::spawn(worker.run(move |lease| {
            let runs = Arc::clone(&runs);
            async move {
                runs.lock().unwrap().push((lease.issue().get(), lease.token().get()));
                tokio::time::sleep(Duration::from_millis(2)).await;
                if lease.issue().get() % 3 == 0 && lease.attempts() == 0 {
                    return Err("the first time".to_owned());
                }
                lease.complete("").await.map(drop).map_err(|error| error.to_string())
            }
        })));
    }
    for enough in [15, 60] {
        let runs = Arc::clone(&runs);
        until("some are done", move || runs.lock().unwrap().len() > enough).await;
        server.kill9();
        server.start_again();
    }
    let mut connection = server.connect();
    until("all are done", move || connection.ok("POPPO.STATS p").count("tasks.finished") == TASKS as i64).await;
    drain.cancel();
    for worker in running {
        worker.await.unwrap().unwrap();
    }
    let runs = runs.lock().unwrap();
    assert_eq!(runs.iter().collect::<BTreeSet<_>>().len(), runs.len(), "a run was repeated under its token");
    let mut by_issue: BTreeMap<u64, usize> = BTreeMap::new();
    for (number, _) in runs.iter() {
        *by_issue.entry(*number).or_default() += 1;
    }
    // A task that nobody had begun may have been given back, which is an attempt.
    assert!(by_issue.iter().all(|(number, count)| *count <= if number % 3 == 0 { 2 } else { 1 }), "{by_issue:?}");
    assert_eq!(spool(&server).list().unwrap().0, []);
}

/// A program of `client/examples`. It ends with its test.
struct Example(Child);

impl Example {
    fn start(server: &Server, name: &str, out: &str) -> Self {
        let file = |name: String| std::fs::File::create(server.dir().join(name)).unwrap();
        let child = Command::new(artifacts::example(name))
            .env("POPPO_URL", server.url())
            .env("POPPO_PROJECT", "p")
            .env("POPPO_SPOOL", server.dir().join("spool"))
            .stdin(Stdio::piped())
            .stdout(file(out.to_owned()))
            .stderr(file(format!("{out}-said")))
            .spawn()
            .unwrap();
        Self(child)
    }

    fn ends_well(&mut self) {
        let mut status = None;
        wait_until("it ends", || {
            status = self.0.try_wait().unwrap();
            status.is_some()
        });
        assert!(status.unwrap().success());
    }
}

impl Drop for Example {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

#[test]
fn the_examples_work() {
    use std::io::Write as _;
    let server = short();
    let mut connection = server.connect();
    let written = |name: &str| std::fs::read_to_string(server.dir().join(name)).unwrap();

    let mut minimal = Example::start(&server, "minimal", "minimal");
    let mut producer = Example::start(&server, "producer", "producer");
    producer.0.stdin.take().unwrap().write_all(b"1 Crash on start\n2 Typo\n").unwrap();
    producer.ends_well();
    let mut ends: Vec<String> = written("producer").lines().map(|line| line.trim().to_owned()).collect();
    ends.sort();
    assert_eq!(ends, ["1 completed: Crash on start", "2 completed: Typo"]);
    assert!(written("minimal").contains("issue 1: Crash on start"), "{}", written("minimal"));
    command::signal(&minimal.0, Signal::INT);
    minimal.ends_well();

    connection.ok("POPPO.ENQUEUE p 3 TYPE steps PAYLOAD '{\"steps\":5,\"fails\":3}'");
    connection.ok("POPPO.ENQUEUE p 4 TYPE steps PAYLOAD '{\"steps\":100000}'");
    connection.ok("POPPO.ENQUEUE p 5 TYPE steps PAYLOAD '{}'");
    let mut steps = Example::start(&server, "steps", "steps");
    wait_until("it has done the third", || connection.ok("POPPO.GET p 3").field("status") == "completed");
    wait_until("it reports", || progress(&mut connection, 4).contains("step"));
    connection.ok("POPPO.CANCEL p 4");
    wait_until("it has stopped", || connection.ok("POPPO.GET p 4").field("status") == "cancelled");
    assert!(reason(&server, 4).contains("cancelled at step"), "{}", reason(&server, 4));
    wait_until("the last one has failed for good", || connection.ok("POPPO.STATS p").count("queue.dead") == 1);
    assert!(reason(&server, 5).contains("missing field"), "{}", reason(&server, 5));
    command::signal(&steps.0, Signal::TERM);
    steps.ends_well();
}
