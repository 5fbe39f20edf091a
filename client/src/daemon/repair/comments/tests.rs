#![allow(clippy::unwrap_used)]

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use poppo::Client;
use poppo_tests::{Connection, Reply as _, Server, wait_until};
use tokio::task::{JoinHandle, block_in_place};
use tokio_util::sync::CancellationToken;

use super::super::super::config::{Language, ProjectConfig};
use super::*;

/// GitHub, as far as comments go.
#[derive(Default)]
struct Hub {
    comments: Mutex<Vec<(u64, String)>>,
    is_away: AtomicBool,
    is_gone: AtomicBool,
    asked: AtomicBool,
}

impl Hub {
    fn declines(&self) -> Result<(), Declined> {
        self.asked.store(true, Ordering::SeqCst);
        if self.is_away.load(Ordering::SeqCst) {
            return Err(Declined::ForNow("502".to_owned()));
        }
        if self.is_gone.load(Ordering::SeqCst) { Err(Declined::ForGood("410".to_owned())) } else { Ok(()) }
    }

    fn count(&self) -> usize {
        self.comments.lock().unwrap().len()
    }
}

impl Comments for Hub {
    fn has<'a>(&'a self, issue: IssueNumber, marker: &'a str, _: Option<SystemTime>) -> Reply<'a, bool> {
        Box::pin(async move {
            self.declines()?;
            let comments = self.comments.lock().unwrap();
            Ok(comments.iter().any(|(on, text)| *on == issue.get() && text.contains(marker)))
        })
    }

    fn write<'a>(&'a self, issue: IssueNumber, text: &'a str) -> Reply<'a, ()> {
        Box::pin(async move {
            self.declines()?;
            self.comments.lock().unwrap().push((issue.get(), text.to_owned()));
            Ok(())
        })
    }
}

/// A daemon's teller; each is a process of its own as far as the server can see.
async fn teller(server: &Server, hub: &Arc<Hub>) -> (JoinHandle<()>, CancellationToken) {
    let stop = CancellationToken::new();
    let project = Client::connect(&server.url()).await.unwrap().project("p");
    let site = Site { project, config: Arc::new(ProjectConfig::of("p")), host: "h".into(), stop: stop.clone() };
    let template = text::built_in(Language::English).unwrap();
    let comments: Arc<dyn Comments> = Arc::<Hub>::clone(hub);
    (tokio::spawn(Teller { site, comments, template, written: Counter::default() }.run()), stop)
}

/// Has the lease of an issue repaired, and answers its token.
fn repair(connection: &mut Connection, issue: u64) -> i64 {
    let token = connection.int(&format!("POPPO.CHECKOUT p {issue} w{issue} HOST h PID {issue}"));
    connection.ok(&format!("POPPO.LIVENESS p w{issue} DEAD HOST h PID {issue}"));
    connection.ok(&format!("POPPO.REPAIR p {issue} TOKEN {token} REQUEUE"));
    token
}

fn is_all_told(connection: &mut Connection) -> bool {
    let stats = connection.ok("POPPO.STATS poppo:comments:p");
    let tasks = |name: &str| stats.get("queue").is_some_and(|queue| queue.count(name) == 0);
    stats.get("queue").is_some() && ["waiting", "delayed", "running", "dead"].into_iter().all(tasks)
}

#[tokio::test(flavor = "multi_thread")]
async fn each_repair_is_told_once_whoever_starts_when() {
    let (server, hub) = block_in_place(|| (Server::start(), Arc::new(Hub::default())));
    let mut connection = server.connect();
    for issue in 1..=5 {
        repair(&mut connection, issue);
    }
    let first = teller(&server, &hub).await;
    let second = teller(&server, &hub).await;
    block_in_place(|| {
        for issue in 6..=10 {
            repair(&mut connection, issue);
        }
        wait_until("all are told", || hub.count() == 10);
        wait_until("all are finished", || is_all_told(&mut connection));
    });
    for (task, stop) in [first, second] {
        stop.cancel();
        task.await.unwrap();
    }
    // All of the log is read again.
    let (task, stop) = teller(&server, &hub).await;
    block_in_place(|| {
        repair(&mut connection, 11);
        wait_until("the new one is told", || hub.count() == 11);
    });
    stop.cancel();
    task.await.unwrap();
    let mut told: Vec<u64> = hub.comments.lock().unwrap().iter().map(|(issue, _)| *issue).collect();
    told.sort_unstable();
    assert_eq!(told, (1..=11).collect::<Vec<u64>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_told_now_is_told_later() {
    let (server, hub) = block_in_place(|| (Server::start(), Arc::new(Hub::default())));
    hub.is_away.store(true, Ordering::SeqCst);
    let (_task, stop) = teller(&server, &hub).await;
    let mut connection = server.connect();
    block_in_place(|| {
        repair(&mut connection, 7);
        wait_until("it was tried", || hub.asked.load(Ordering::SeqCst));
        assert_eq!(connection.ok("POPPO.GET p 7").field("status"), "queued", "that waits for nobody");
        hub.is_away.store(false, Ordering::SeqCst);
        wait_until("it is told", || hub.count() == 1);
    });
    stop.cancel();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_daemon_had_begun_another_one_ends() {
    let (server, hub) = block_in_place(|| (Server::start(), Arc::new(Hub::default())));
    let mut connection = server.connect();
    let (task, stop) = teller(&server, &hub).await;
    hub.is_away.store(true, Ordering::SeqCst);
    let token = block_in_place(|| {
        let token = repair(&mut connection, 7);
        wait_until("its comment waits", || hub.asked.load(Ordering::SeqCst));
        token
    });
    stop.cancel();
    task.await.unwrap();
    // Another daemon takes it, writes it, and is killed before it says so.
    block_in_place(|| {
        wait_until("it is taken", || {
            let claimed = connection.ok("POPPO.CLAIM poppo:comments:p killed TTL 1000");
            claimed.get("issue").is_some()
        });
    });
    hub.comments.lock().unwrap().push((7, format!("text <!-- poppo:repair 7 {token} -->")));
    hub.is_away.store(false, Ordering::SeqCst);
    let (_task, stop) = teller(&server, &hub).await;
    block_in_place(|| wait_until("it is finished", || is_all_told(&mut connection)));
    assert_eq!(hub.count(), 1);
    stop.cancel();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_issue_that_is_gone_is_not_tried_again() {
    let (server, hub) = block_in_place(|| (Server::start(), Arc::new(Hub::default())));
    hub.is_gone.store(true, Ordering::SeqCst);
    let (_task, stop) = teller(&server, &hub).await;
    let mut connection = server.connect();
    block_in_place(|| {
        repair(&mut connection, 7);
        wait_until("it was tried", || hub.asked.load(Ordering::SeqCst));
        wait_until("it is finished", || is_all_told(&mut connection));
    });
    assert_eq!(hub.count(), 0);
    stop.cancel();
}
