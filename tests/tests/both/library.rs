//! The library's leases and workers, and what can happen to them wherever the projects are.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "in a test a panic is the report"
)]

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use poppo::{
    Backoff, CheckedIn, Checkout, Claim, Client, Error, Fate, Holder, IssueNumber, Project, Refusal, Spool, Worker,
};
use poppo_tests::{Connection, Reply as _, wait_until};
use tokio_util::sync::CancellationToken;

use super::Server;

/// Leases of two seconds: short, and longer than a busy machine has somebody wait for his next beat.
pub(crate) fn short() -> Server {
    let server = Server::builder().no_grace().durable().start();
    server.connect().ok("POPPO.CONFIG p SET heartbeat-ttl 2000");
    server
}

pub(crate) async fn project(url: &str) -> Project {
    Client::connect(url).await.unwrap().project("p")
}

/// A holder of this name, what it said, and its own place for what it cannot report.
pub(crate) async fn holder(server: &Server, name: &str) -> (Holder, Arc<Mutex<Vec<String>>>) {
    let holder = project(&server.url()).await.holder(name);
    let said = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&said);
    holder.on_notice(move |notice| log.lock().unwrap().push(notice.to_string()));
    holder.keep_in(Some(spool(server)));
    (holder, said)
}

pub(crate) fn spool(server: &Server) -> Spool {
    Spool::at(server.dir().join("spool"))
}

pub(crate) fn issue(number: u64) -> IssueNumber {
    number.try_into().unwrap()
}

pub(crate) fn checkout(number: u64) -> Checkout {
    Checkout::new(issue(number), "w")
}

pub(crate) fn status(server: &Server, number: u64) -> String {
    server.connect().ok(&format!("POPPO.GET p {number}")).field("status")
}

pub(crate) fn reason(server: &Server, number: u64) -> String {
    server.connect().ok(&format!("POPPO.GET p {number}")).field("reason")
}

/// Waits for a condition without holding up the tasks of this runtime.
pub(crate) async fn until(what: &'static str, condition: impl FnMut() -> bool + Send + 'static) {
    tokio::task::spawn_blocking(move || wait_until(what, condition)).await.unwrap();
}

/// Waits until someone who is silent from now on is an orphan: whoever does not beat would be one, too.
pub(crate) async fn until_a_ttl_is_over(server: &Server) {
    let mut connection = server.connect();
    connection.ok("POPPO.CHECKOUT p 999 silent");
    until("the silent one is an orphan", move || {
        connection.ok("POPPO.ORPHANS p").rows().iter().any(|row| row.count("issue") == 999)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_task_beats_for_all_leases_of_a_process() {
    let server = short();
    let (holder, _) = holder(&server, "w").await;
    let mut leases = Vec::new();
    for number in 1..=20 {
        leases.push(holder.checkout(&checkout(number)).await.unwrap());
    }
    // However often it is asked for, and over whichever connection, there is one holder.
    leases.push(project(&server.url()).await.lease(&checkout(21)).await.unwrap());
    let mut connection = server.connect();
    let beats = |connection: &mut Connection| connection.ok("POPPO.STATS p").count("heartbeats");
    let (before, start) = (beats(&mut connection), Instant::now());
    until_a_ttl_is_over(&server).await;
    let beats = beats(&mut connection) - before;
    // Three in a TTL and, where one was not answered in time, one more each; not one for each lease.
    let periods = 1 + start.elapsed().as_millis() / 666;
    assert!(u128::try_from(beats).unwrap() <= 2 * periods, "{beats} beats in {periods} periods");
    // A machine that stood still for a while has none until the next beat has renewed all of them.
    let mut orphans = server.connect();
    until("all but the silent one are held", move || orphans.ok("POPPO.ORPHANS p").rows().len() == 1).await;
    assert!(leases.iter().all(|lease| lease.fate().is_none() && !lease.stop_token().is_cancelled()));
    for lease in leases {
        let number = lease.issue().get();
        assert!(matches!(lease.complete(format!("{{\"n\":{number}}}")).await.unwrap(), CheckedIn::Accepted));
        assert_eq!(connection.ok(&format!("POPPO.GET p {number}")).field("result"), format!("{{\"n\":{number}}}"));
    }
    assert_eq!(status(&server, 21), "completed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_ends_in_each_way_once() {
    let server = Server::start();
    let (holder, _) = holder(&server, "w").await;
    let mut connection = server.connect();
    for number in 1..=5 {
        connection.ok(&format!("POPPO.ENQUEUE p {number} TYPE fix TITLE t PAYLOAD '{{\"a\": 1}}'"));
    }
    let claim = Claim::new("w");
    let mut leases = Vec::new();
    while let Some(lease) = holder.claim(&claim).await.unwrap() {
        leases.push(lease);
    }
    let mut next = leases.into_iter();
    let lease = next.next().unwrap();
    assert_eq!((lease.payload(), lease.title(), lease.attempts()), (Some("{\"a\": 1}"), Some("t"), 0));
    assert_eq!(lease.task().unwrap().task, "1:fix");
    lease.await_response("which one?").await.unwrap();
    next.next().unwrap().fail("broken").await.unwrap();
    next.next().unwrap().retry(Duration::from_secs(3600), "later").await.unwrap();
    next.next().unwrap().release("busy").await.unwrap();
    next.next().unwrap().cancel("enough").await.unwrap();
    let statuses: Vec<String> = (1..=5).map(|number| status(&server, number)).collect();
    assert_eq!(statuses, ["awaiting-response", "error", "queued", "queued", "cancelled"]);
    assert_eq!(connection.ok("POPPO.LIST p DELAYED").rows()[1].rows().len(), 1);
    assert_eq!(holder.claim(&claim).await.unwrap().unwrap().attempts(), 1, "what was released is there at once");

    // Nobody ever queued this one; the other one's task came along with its number.
    holder.checkout(&checkout(7)).await.unwrap().release("busy").await.unwrap();
    assert_eq!(status(&server, 7), "cancelled");
    connection.ok("POPPO.ENQUEUE p 8");
    holder.checkout(&checkout(8)).await.unwrap().release("busy").await.unwrap();
    assert_eq!(status(&server, 8), "queued");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_issue_is_held_once_by_one_program_too() {
    let server = Server::start();
    let (holder, _) = holder(&server, "w").await;
    let lease = holder.checkout(&checkout(1)).await.unwrap();
    let again = holder.checkout(&checkout(1)).await.unwrap_err();
    assert!(matches!(again, Error::Refused(Refusal::Held(_))), "{again}");
    lease.complete("").await.unwrap();
    holder.checkout(&checkout(1)).await.unwrap().complete("").await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_that_was_evicted_says_so_and_reports_nothing() {
    let server = short();
    let (holder, _) = holder(&server, "w").await;
    let (lost, kept) = (holder.checkout(&checkout(1)).await.unwrap(), holder.checkout(&checkout(2)).await.unwrap());
    server.connect().ok("POPPO.EVICT p 1 REASON \"wrong branch\"");
    lost.stop_token().cancelled().await;
    assert!(matches!(lost.fate(), Some(Fate::Lost { .. })), "{:?}", lost.fate());
    assert_eq!(kept.fate(), None);
    let refused = lost.complete("").await.unwrap_err();
    assert!(matches!(refused, Error::Refused(Refusal::Stale(_))), "{refused}");
    assert_eq!((status(&server, 1), reason(&server, 1)), ("error".to_owned(), "wrong branch".to_owned()));
    kept.complete("").await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_that_somebody_cancelled_says_so() {
    let server = short();
    let (holder, _) = holder(&server, "w").await;
    let (lease, other) = (holder.checkout(&checkout(1)).await.unwrap(), holder.checkout(&checkout(2)).await.unwrap());
    server.connect().ok("POPPO.CANCEL p 1 REASON enough");
    assert_eq!(lease.until_stopped().await, Fate::Cancelled);
    lease.cancel("stopped").await.unwrap();
    assert_eq!((status(&server, 1), reason(&server, 1)), ("cancelled".to_owned(), "stopped".to_owned()));
    assert_eq!(other.fate(), None);
    other.complete("").await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_that_is_dropped_is_checked_in_as_error() {
    let server = Server::start();
    let (holder, _) = holder(&server, "w").await;
    drop(holder.checkout(&checkout(1)).await.unwrap());
    let lease = holder.checkout(&checkout(2)).await.unwrap();
    let panicked = tokio::spawn(async move {
        let _lease = lease;
        panic!("as it should");
    });
    assert!(panicked.await.unwrap_err().is_panic());
    holder.settled().await;
    for number in [1, 2] {
        assert_eq!((status(&server, number), reason(&server, number)), ("error".to_owned(), "dropped".to_owned()));
    }
}

#[test]
fn what_is_dropped_when_the_runtime_ends_is_kept_and_delivered() {
    let server = Server::start();
    let runtime = || tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let first = runtime();
    let lease = first.block_on(async {
        let (holder, _) = holder(&server, "w").await;
        let lease = holder.checkout(&checkout(1)).await.unwrap();
        let in_a_task = holder.checkout(&checkout(2)).await.unwrap();
        tokio::spawn(async move {
            in_a_task.until_stopped().await;
        });
        lease
    });
    drop(first);
    drop(lease);
    assert_eq!(spool(&server).list().unwrap().0.len(), 2);
    runtime().block_on(async {
        let delivery = spool(&server).deliver(&project(&server.url()).await).await.unwrap();
        assert!(delivery.error.is_none() && delivery.done.len() == 2, "{delivery:?}");
    });
    assert_eq!((status(&server, 1), reason(&server, 2)), ("error".to_owned(), "dropped".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_that_nobody_knows_of_is_given_back() {
    let server = short();
    let (holder, said) = holder(&server, "w").await;
    let lease = holder.checkout(&checkout(1)).await.unwrap();
    // As if the answer to a checkout of this very process had been lost for good.
    let mut connection = server.connect();
    connection.ok(&format!("POPPO.CHECKOUT p 2 w INCARNATION {}", holder.life().incarnation));
    until("it is given back", move || connection.ok("POPPO.GET p 2").field("status") == "queued").await;
    assert_eq!(lease.fate(), None);
    lease.complete("").await.unwrap();
    assert!(said.lock().unwrap().iter().any(|line| line.contains("issue 2") && line.contains("given back")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_does_each_task_and_ends_what_its_function_does_not() {
    let server = Server::start();
    let mut connection = server.connect();
    connection.ok("POPPO.CONFIG p SET max-attempts 2");
    for (number, kind) in [(1, "good"), (2, "fails"), (3, "panics"), (4, "silent"), (5, "once"), (6, "other")] {
        connection.ok(&format!("POPPO.ENQUEUE p {number} TYPE {kind}"));
    }
    let (holder, _) = holder(&server, "w").await;
    let drain = CancellationToken::new();
    let worker = Worker::of(holder)
        .jobs(3)
        .types(["good", "fails", "panics", "silent", "once"])
        .retry(Backoff::new(Duration::from_millis(1), Duration::from_millis(2)))
        .drain_on(drain.clone());
    let running = tokio::spawn(worker.run(|lease| async move {
        match lease.task().unwrap().task_type.as_str() {
            "fails" => return Err("no network".to_owned()),
            "once" if lease.attempts() == 0 => return Err("not yet".to_owned()),
            "panics" => panic!("as it should"),
            "silent" => return Ok(()),
            _ => {}
        }
        lease.complete("").await.map(drop).map_err(|error| error.to_string())
    }));
    until("all are done or dead", move || {
        let stats = connection.ok("POPPO.STATS p");
        (stats.count("tasks.finished"), stats.count("queue.dead")) == (2, 3)
    })
    .await;
    drain.cancel();
    running.await.unwrap().unwrap();
    let reasons: Vec<String> = (2..=4).map(|number| reason(&server, number)).collect();
    assert_eq!(reasons, ["no network", "panicked", "dropped"]);
    assert_eq!(status(&server, 6), "queued", "it is of another type");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_drains_or_stops_and_loses_nothing() {
    let server = Server::start();
    let mut connection = server.connect();
    for number in 1..=4 {
        connection.ok(&format!("POPPO.ENQUEUE p {number}"));
    }
    let (holder, _) = holder(&server, "w").await;
    let (drain, stop, go) = (CancellationToken::new(), CancellationToken::new(), CancellationToken::new());
    let begun = Arc::new(AtomicUsize::new(0));
    let worker = Worker::of(holder).jobs(2).grace(Duration::from_millis(50));
    let function = {
        let (go, begun) = (go.clone(), Arc::clone(&begun));
        move |lease: poppo::Lease| {
            let (go, begun) = (go.clone(), Arc::clone(&begun));
            async move {
                begun.fetch_add(1, Ordering::SeqCst);
                go.cancelled().await;
                lease.complete("").await.map(drop)
            }
        }
    };
    let draining = tokio::spawn(worker.clone().drain_on(drain.clone()).run(function));
    let count = Arc::clone(&begun);
    until("two have begun", move || count.load(Ordering::SeqCst) == 2).await;
    drain.cancel();
    go.cancel();
    draining.await.unwrap().unwrap();
    let statuses: Vec<String> = (1..=4).map(|number| status(&server, number)).collect();
    assert_eq!(statuses, ["completed", "completed", "queued", "queued"]);

    // This one hears nothing of its end.
    let count = Arc::clone(&begun);
    let stopping = tokio::spawn(worker.stop_on(stop.clone()).run(move |lease| {
        count.fetch_add(1, Ordering::SeqCst);
        async move {
            let _lease = lease;
            std::future::pending::<Result<(), Error>>().await
        }
    }));
    let count = Arc::clone(&begun);
    until("the others have begun", move || count.load(Ordering::SeqCst) == 4).await;
    stop.cancel();
    stopping.await.unwrap().unwrap();
    assert_eq!((status(&server, 3), status(&server, 4)), ("queued".to_owned(), "queued".to_owned()));
    assert_eq!(reason(&server, 3), "the worker was stopped");
    assert_eq!(connection.ok("POPPO.STATS p").count("queue.running"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_ends_what_was_cancelled_under_its_function() {
    let server = short();
    server.connect().ok("POPPO.ENQUEUE p 1");
    let (holder, _) = holder(&server, "w").await;
    let drain = CancellationToken::new();
    let worker = Worker::of(holder).grace(Duration::from_millis(50)).drain_on(drain.clone());
    let running = tokio::spawn(worker.run(|lease| async move {
        let _lease = lease;
        std::future::pending::<Result<(), Error>>().await
    }));
    let mut connection = server.connect();
    until("it is at it", move || connection.ok("POPPO.GET p 1").field("status") == "processing").await;
    server.connect().ok("POPPO.CANCEL p 1");
    let mut connection = server.connect();
    until("it is cancelled", move || connection.ok("POPPO.GET p 1").field("status") == "cancelled").await;
    drain.cancel();
    running.await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_whose_name_was_taken_ends() {
    let server = short();
    server.connect().ok("POPPO.ENQUEUE p 1");
    let (holder, _) = holder(&server, "w").await;
    let running = tokio::spawn(Worker::of(holder).run(|lease| async move {
        lease.until_stopped().await;
        Ok::<(), Error>(())
    }));
    let mut connection = server.connect();
    until("it is at it", move || connection.ok("POPPO.GET p 1").field("status") == "processing").await;
    server.connect().ok("POPPO.CHECKOUT p 2 w INCARNATION another");
    let error = running.await.unwrap().unwrap_err();
    assert!(error.to_string().contains("took the name w"), "{error}");
}
