//! `poppo work`: real workers on a real queue, and all that can happen to them.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "in a test a panic is the report"
)]
#![allow(clippy::duplicate_mod, reason = "the same tests, on a server and on a file")]

use std::collections::{BTreeMap, BTreeSet};

use poppo_tests::command::{Following, json, poppo, runs, signal, words};
use poppo_tests::proxy::Lossy;
use poppo_tests::{Connection, Reply as _, Server, wait_until};
use rustix::process::Signal;

use server::work::{UNTIL_STOP, durable, named, status, statuses, touch, work};

#[path = "both"]
mod server {
    use poppo_tests::Server;

    pub(crate) mod work;
}

#[path = "both"]
mod file {
    use poppo_tests::Files as Server;

    #[allow(dead_code, reason = "some of it is for tests that only a server has")]
    #[allow(clippy::duplicate_mod, reason = "the same tests, on a file")]
    mod work;
}

#[test]
fn a_busy_worker_needs_one_round_trip_a_task() {
    let server = Server::start();
    let mut connection = server.connect();
    for issue in 1..=20 {
        connection.ok(&format!("POPPO.ENQUEUE p {issue}"));
    }
    let worker = work(&server, &[], "true");
    worker.documents(20);
    let calls = |command: &str, connection: &mut Connection| {
        let line = connection.info("commandstats", &format!("cmdstat_{command}"));
        line.split(',').next().and_then(|field| field.strip_prefix("calls=")?.parse::<u64>().ok()).unwrap_or(0)
    };
    assert_eq!(calls("POPPO.CHECKIN", &mut connection), 20);
    let claims = calls("POPPO.CLAIM", &mut connection);
    assert!(claims <= 2, "{claims} claims: the first, and the one that waits");
    let beats = calls("POPPO.HEARTBEAT", &mut connection);
    assert!(beats <= 1, "{beats} heartbeats in a moment");
}

#[test]
fn an_idle_worker_drains_at_once_and_takes_nothing_on_its_way_out() {
    let server = Server::start();
    let mut connection = server.connect();
    for round in 1..=5 {
        let mut worker = named(&server, &format!("w{round}"), &["--jobs", "2"], "true");
        wait_until("it waits", || connection.text("CLIENT LIST").contains("cmd=POPPO.CLAIM"));
        signal(&worker.child, Signal::TERM);
        // Queued at about the same time: it is done, or it waits; it is never held by nobody.
        connection.ok(&format!("POPPO.ENQUEUE p {round}"));
        assert_eq!(worker.exit_code(), Some(0), "{}", worker.said());
        let status = status(&mut connection, round);
        assert!(["queued", "completed"].contains(&status.as_str()), "{status}");
        connection.ok(&format!("POPPO.CANCEL p {round}"));
    }
}

#[test]
fn the_files_of_a_killed_worker_go_when_the_next_one_starts() {
    let server = Server::start();
    let mut connection = server.connect();
    let folder = server.dir().join("tmp");
    std::fs::create_dir(&folder).unwrap();
    let start = |name: &str, options: &[&str]| {
        let arguments = [&["work", "--process", name], options, &["--", "sh", "-c", UNTIL_STOP]].concat();
        let mut command = poppo(&server, &arguments);
        command.env("TMPDIR", &folder);
        Following::of(server.dir(), name, command)
    };
    let folders = || std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect::<BTreeSet<_>>();
    connection.ok("POPPO.ENQUEUE p 1 PAYLOAD '{\"secret\":1}'");
    let mut killed = start("killed", &[]);
    words(&server.dir().join("pids"), 2);
    let left = folders();
    assert_eq!(left.len(), 1);
    connection.ok("POPPO.ENQUEUE p 2");
    let _living = start("living", &[]);
    words(&server.dir().join("pids"), 4);
    assert!(left.is_subset(&folders()), "its worker lives");
    killed.child.kill().unwrap();
    killed.child.wait().unwrap();
    assert_eq!(folders().len(), 2);
    assert_eq!(start("next", &["--once"]).exit_code(), Some(75));
    assert_eq!(folders().len(), 1);
    assert!(left.is_disjoint(&folders()), "the other one's is there still");
}

#[test]
fn work_goes_on_while_the_server_is_away_and_is_reported_when_it_is_back() {
    let mut server = durable();
    server.connect().ok("POPPO.CONFIG p SET heartbeat-ttl 20000");
    server.connect().ok("POPPO.ENQUEUE p 1");
    let mut worker = work(&server, &["--jobs", "2"], UNTIL_STOP);
    let pids = words(&server.dir().join("pids"), 2);
    server.kill9();
    touch(&server, "stop");
    wait_until("its command has ended", || !runs(&pids[0]));
    wait_until("it waits for the server", || {
        worker.said().contains("trying again") || worker.said().contains("waiting")
    });
    server.start_again();
    assert_eq!(statuses(&worker.documents(1)), ["completed"]);
    server.connect().ok("POPPO.ENQUEUE p 2");
    assert_eq!(statuses(&worker.documents(2)), ["completed"; 2]);
    assert_eq!(server.connect().ok("POPPO.STATS p").count("checkouts"), 2);
    signal(&worker.child, Signal::TERM);
    assert_eq!(worker.exit_code(), Some(0), "{}", worker.said());
}

#[test]
fn a_server_that_lost_its_data_is_told_and_worked_for_again() {
    let mut server = Server::start();
    server.connect().ok("POPPO.CONFIG p SET heartbeat-ttl 1500");
    server.connect().ok("POPPO.ENQUEUE p 1");
    let worker = work(&server, &[], UNTIL_STOP);
    let pids = words(&server.dir().join("pids"), 2);
    server.kill9();
    server.start_again();
    assert_eq!(statuses(&worker.documents(1)), ["lost"]);
    wait_until("nobody of the group is left", || !pids.iter().any(|pid| runs(pid)));
    wait_until("it says so", || worker.said().contains("lost its data"));
    touch(&server, "stop");
    server.connect().ok("POPPO.ENQUEUE p 2");
    assert_eq!(statuses(&worker.documents(2)), ["lost", "completed"]);
}

#[test]
fn a_server_that_is_no_primary_for_a_while_is_waited_for() {
    let server = Server::start();
    let mut connection = server.connect();
    connection.ok("POPPO.CONFIG p SET heartbeat-ttl 20000");
    connection.ok("POPPO.ENQUEUE p 1");
    let worker = work(&server, &["--jobs", "2"], UNTIL_STOP);
    words(&server.dir().join("pids"), 2);
    wait_until("its other job waits", || connection.text("CLIENT LIST").contains("cmd=POPPO.CLAIM"));
    let other = server.replica(Server::builder().no_grace());
    other.connect().ok("REPLICAOF NO ONE");
    connection.ok(&format!("REPLICAOF 127.0.0.1 {}", other.port()));
    server.wait_for_sync();
    // What is done meanwhile cannot be reported.
    touch(&server, "stop");
    wait_until("both notice", || {
        let said = worker.said();
        said.contains("waiting for it") && said.contains("trying again until it answers")
    });
    assert_eq!(worker.written(), "");
    connection.ok("REPLICAOF NO ONE");
    assert_eq!(statuses(&worker.documents(1)), ["completed"]);
    connection.ok("POPPO.ENQUEUE p 2");
    assert_eq!(statuses(&worker.documents(2)), ["completed"; 2]);
    assert_eq!(connection.ok("POPPO.STATS p").count("checkouts"), 2);
}

#[test]
fn an_answer_that_is_lost_on_the_way_costs_no_task_and_does_none_twice() {
    const TASKS: u64 = 60;
    let server = Server::start();
    let mut connection = server.connect();
    let script = "echo $POPPO_ISSUE $POPPO_TOKEN >> done; [ $POPPO_ATTEMPTS -gt 0 ] || [ $((POPPO_ISSUE % 3)) -gt 0 ]";
    let network = Lossy::start(&server, &["POPPO.CLAIM", "POPPO.CHECKIN"], 4);
    let mut workers: Vec<Following> = (0..2)
        .map(|number| {
            let (name, url) = (format!("w{number}"), network.url());
            let options = ["--url", url, "--project", "p", "--json", "work", "--process", &name, "--jobs", "3"];
            let command = ["--retry", "base=5ms,max=20ms", "--", "sh", "-c", script];
            Following::anywhere(&server, &name, &[&options[..], &command].concat())
        })
        .collect();
    for issue in 1..=TASKS {
        connection.ok(&format!("POPPO.ENQUEUE p {issue}"));
    }
    wait_until("all are done", || {
        connection.ok("POPPO.STATS p").count("tasks.finished") == i64::try_from(TASKS).unwrap()
    });
    assert!(network.lost() > 10, "{} answers were lost", network.lost());
    for worker in &mut workers {
        signal(&worker.child, Signal::TERM);
        assert_eq!(worker.exit_code(), Some(0), "{}", worker.said());
    }
    let text = std::fs::read_to_string(server.dir().join("done")).unwrap();
    let runs: Vec<&str> = text.lines().collect();
    assert_eq!(runs.iter().collect::<BTreeSet<_>>().len(), runs.len(), "a run was repeated under its token");
    assert_eq!(runs.len(), usize::try_from(TASKS + TASKS / 3).unwrap());
    let stats = connection.ok("POPPO.STATS p");
    assert_eq!((stats.count("queue.running"), stats.count("queue.dead"), stats.count("orphans")), (0, 0, 0));
}

#[test]
fn many_workers_and_a_server_that_is_killed_thrice_finish_each_task_once() {
    const TASKS: u64 = 120;
    let mut server = durable();
    let mut connection = server.connect();
    for issue in 1..=TASKS {
        connection.ok(&format!("POPPO.ENQUEUE p {issue} PRIORITY {}", issue % 7));
    }
    // One write of a line is not torn. A third of the tasks fail at first.
    let script = "echo $POPPO_ISSUE $POPPO_TOKEN >> done; [ $POPPO_ATTEMPTS -gt 0 ] || [ $((POPPO_ISSUE % 3)) -gt 0 ]";
    let mut workers: Vec<Following> = (0..3)
        .map(|number| named(&server, &format!("w{number}"), &["--jobs", "3", "--retry", "base=5ms,max=20ms"], script))
        .collect();
    let lines = |server: &Server| {
        let text = std::fs::read_to_string(server.dir().join("done")).unwrap_or_default();
        text.lines().map(str::to_owned).collect::<Vec<_>>()
    };
    for enough in [20, 60, 100] {
        wait_until("some are done", || lines(&server).len() > enough);
        server.kill9();
        server.start_again();
    }
    let mut connection = server.connect();
    wait_until("all are done", || {
        connection.ok("POPPO.STATS p").count("tasks.finished") == i64::try_from(TASKS).unwrap()
    });
    for worker in &mut workers {
        signal(&worker.child, Signal::TERM);
        assert_eq!(worker.exit_code(), Some(0), "{}", worker.said());
    }
    let mut completed: BTreeMap<u64, usize> = BTreeMap::new();
    for event in json(poppo(&server, &["events"])).as_array().unwrap() {
        if event["event"] == "checkin" && event["status"] == "completed" {
            *completed.entry(event["issue"].as_u64().unwrap()).or_default() += 1;
        }
    }
    assert_eq!(completed, (1..=TASKS).map(|issue| (issue, 1)).collect());
    // Each run was under a token of its own; what failed at first ran twice.
    let all = lines(&server);
    assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), all.len(), "a run was repeated under its token");
    assert_eq!(all.len(), usize::try_from(TASKS + TASKS / 3).unwrap());
    let reported: usize = workers.iter().map(|worker| worker.written().lines().count()).sum();
    assert_eq!(reported, all.len());
    assert_eq!(connection.ok("POPPO.STATS p").count("queue.running"), 0);
}
