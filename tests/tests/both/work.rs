//! `poppo work`, and what can happen to it, wherever the projects are.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "in a test a panic is the report"
)]

use std::path::Path;

use poppo_tests::command::{Following, json, output, poppo, refusal, runs, signal, words};
use poppo_tests::{Connection, Reply as _, artifacts, wait_until};
use rustix::process::Signal;
use serde_json::Value;

use super::Server;

/// A command that says that it started, and ends when a file of the name `stop` is there.
pub(crate) const UNTIL_STOP: &str =
    "sleep 1000 & echo $$ $! >> pids; while [ ! -e stop ]; do sleep 0.02; done; kill $!";

/// A server that keeps everything, and silence makes orphans.
pub(crate) fn durable() -> Server {
    Server::builder().no_grace().durable().start()
}

/// Starts `poppo work --json` with some options and a script.
pub(crate) fn work(server: &Server, options: &[&str], script: &str) -> Following {
    named(server, "w", options, script)
}

pub(crate) fn named(server: &Server, name: &str, options: &[&str], script: &str) -> Following {
    let arguments = [&["--json", "work", "--process", name], options, &["--", "sh", "-c", script]].concat();
    Following::named(server, name, &arguments)
}

pub(crate) fn status(connection: &mut Connection, issue: u64) -> String {
    connection.ok(&format!("POPPO.GET p {issue}")).field("status")
}

pub(crate) fn statuses(lines: &[Value]) -> Vec<&str> {
    lines.iter().map(|line| line["status"].as_str().unwrap()).collect()
}

pub(crate) fn touch(server: &Server, name: &str) {
    std::fs::write(server.dir().join(name), "").unwrap();
}

#[test]
fn a_task_is_done_once_with_all_that_is_known_of_it() {
    let server = Server::start();
    let mut connection = server.connect();
    connection.ok("POPPO.ENQUEUE p 7 ID c1 TYPE fix TITLE \"Crash on start\" PAYLOAD '{\"branch\": \"main\"}'");
    let script = "echo \"$POPPO_ISSUE $POPPO_TOKEN $POPPO_PROJECT $POPPO_PROCESS $POPPO_TASK $POPPO_TYPE $POPPO_ATTEMPTS\" \
                  > told; echo \"$POPPO_TITLE\" > title; cat \"$POPPO_PAYLOAD\" > payload; ls -ln \"$POPPO_PAYLOAD\" > mode; \
                  echo \"$POPPO_PAYLOAD\" > path; echo '{\"pr\": 77}' > \"$POPPO_RESULT\"; echo chatter";
    let worker = work(&server, &[], script);
    let line = worker.documents(1).remove(0);
    let record = connection.ok("POPPO.GET p 7");
    let token = record.count("token").to_string();
    assert_eq!(words(&server.dir().join("told"), 7), ["7", &token, "p", "w", "c1", "fix", "0"]);
    let read = |name: &str| std::fs::read_to_string(server.dir().join(name)).unwrap();
    assert_eq!(read("title"), "Crash on start\n");
    assert_eq!(read("payload"), "{\"branch\": \"main\"}");
    assert!(read("mode").starts_with("-rw------- "), "{}", read("mode"));
    wait_until("the payload is gone", || !Path::new(read("path").trim()).exists());
    assert_eq!((record.field("status"), record.field("title")), ("completed".to_owned(), "Crash on start".to_owned()));
    assert_eq!(serde_json::from_str::<Value>(&record.field("result")).unwrap()["pr"], 77);
    assert_eq!((&line["status"], &line["issue"], &line["task"]), (&"completed".into(), &7.into(), &"c1".into()));
    assert_eq!((&line["exit"], &line["payload"]["branch"]), (&0.into(), &"main".into()));
    assert!(line["duration"].is_u64() && line["at"].is_string(), "{line}");
    assert!(worker.said().contains("chatter"), "stdout is for JSON alone");

    assert_eq!(connection.int("POPPO.ENQUEUE p 7 ID c1"), 0, "what is finished is never replayed");
    // A task without title and payload has no such variables, whatever this worker itself was given.
    connection.ok("POPPO.ENQUEUE p 8");
    worker.documents(2);
    assert_eq!(words(&server.dir().join("told"), 7)[4], "8:issue");
    assert_eq!(read("title"), "\n");
}

#[test]
fn jobs_run_side_by_side_under_one_name_and_one_heartbeat() {
    let server = Server::start();
    let mut connection = server.connect();
    connection.ok("POPPO.CONFIG p SET heartbeat-ttl 2000");
    for issue in 1..=4 {
        connection.ok(&format!("POPPO.ENQUEUE p {issue}"));
    }
    let mut worker = work(&server, &["--jobs", "3"], UNTIL_STOP);
    let pids = words(&server.dir().join("pids"), 6);
    let processes = json(poppo(&server, &["list", "--processes"]));
    assert_eq!(processes.as_array().unwrap().len(), 1);
    assert_eq!((&processes[0]["process"], &processes[0]["issues"]), (&"w".into(), &3.into()));
    // Someone silent from now on shows when a heartbeat would have run out.
    connection.ok("POPPO.CHECKOUT p 99 silent");
    wait_until("the silent one is an orphan", || {
        let issues: Vec<i64> = connection.ok("POPPO.ORPHANS p").rows().iter().map(|row| row.count("issue")).collect();
        assert!(issues.iter().all(|issue| *issue == 99), "a lease ran out: {issues:?}");
        !issues.is_empty()
    });
    assert_eq!(status(&mut connection, 4), "queued");
    touch(&server, "stop");
    assert_eq!(statuses(&worker.documents(4)), ["completed"; 4]);
    signal(&worker.child, Signal::TERM);
    assert_eq!(worker.exit_code(), Some(0), "{}", worker.said());
    wait_until("nobody is left", || !pids.iter().any(|pid| runs(pid)));
}

#[test]
fn a_failed_task_is_tried_again_later_and_dies_after_the_last_attempt() {
    let server = Server::start();
    let mut connection = server.connect();
    connection.ok("POPPO.CONFIG p SET max-attempts 3");
    connection.ok("POPPO.ENQUEUE p 7 TYPE fix");
    let worker = work(&server, &["--retry", "base=10ms,max=40ms"], "echo $POPPO_ATTEMPTS >> attempts; exit 3");
    let lines = worker.documents(3);
    assert_eq!(statuses(&lines), ["queued", "queued", "dead"]);
    assert_eq!((&lines[0]["exit"], &lines[0]["reason"]), (&3.into(), &"exit status 3".into()));
    for (line, most) in lines.iter().zip([10, 20]) {
        let pause = line["retryIn"].as_u64().unwrap();
        assert!((most / 2..=most).contains(&pause), "{line}");
    }
    assert_eq!(lines[2].get("retryIn"), None);
    assert_eq!(words(&server.dir().join("attempts"), 3), ["0", "1", "2"]);
    assert_eq!(json(poppo(&server, &["list", "--dead"]))[0]["task"], "7:fix");
    assert_eq!(serde_json::from_str::<Value>(&connection.ok("POPPO.GET p 7").field("result")).unwrap()["exit"], 3);
}

#[test]
fn without_retry_a_failed_task_is_dead_and_never_finished() {
    let server = Server::start();
    let mut connection = server.connect();
    connection.ok("POPPO.ENQUEUE p 7 ID comment-1");
    let worker = work(&server, &[], "[ -e mended ]");
    assert_eq!(statuses(&worker.documents(1)), ["dead"]);
    // A comment whose handling failed is not handled.
    touch(&server, "mended");
    assert_eq!(json(poppo(&server, &["revive", "comment-1"]))["revived"], true);
    assert_eq!(statuses(&worker.documents(2)), ["dead", "completed"]);
    assert_eq!(connection.int("POPPO.ENQUEUE p 7 ID comment-1"), 0);
}

#[test]
fn an_agreed_exit_status_awaits_an_answer() {
    let server = Server::start();
    server.connect().ok("POPPO.ENQUEUE p 7");
    let worker = work(&server, &["--awaiting-exit", "9"], "exit 9");
    assert_eq!(statuses(&worker.documents(1)), ["awaiting-response"]);
    assert_eq!(status(&mut server.connect(), 7), "awaiting-response");
    let script = "echo '{\"question\": 1}' > $POPPO_RESULT; exit 9";
    let options = ["run", "8", "--awaiting-exit", "9", "--result-file", "r.json", "--", "sh", "-c", script];
    let run = output(poppo(&server, &options));
    assert!(run.status.success(), "{run:?}");
    let record = server.connect().ok("POPPO.GET p 8");
    assert_eq!(record.field("status"), "awaiting-response");
    assert_eq!(record.field("result"), "{\"question\": 1}");
}

#[test]
fn only_tasks_of_its_types_are_taken() {
    let server = Server::start();
    let mut connection = server.connect();
    for (issue, kind) in [(1, "review"), (2, "fix"), (3, "docs"), (4, "fix")] {
        connection.ok(&format!("POPPO.ENQUEUE p {issue} TYPE {kind}"));
    }
    let worker = work(&server, &["--types", "fix,docs", "--retry"], "true");
    let issues: Vec<u64> = worker.documents(3).iter().map(|line| line["issue"].as_u64().unwrap()).collect();
    assert_eq!(issues, [2, 3, 4]);
    assert_eq!(status(&mut connection, 1), "queued");
}

#[test]
fn a_cancelled_task_is_stopped_with_its_whole_group_and_the_worker_goes_on() {
    let server = Server::start();
    let mut connection = server.connect();
    connection.ok("POPPO.CONFIG p SET heartbeat-ttl 2000");
    connection.ok("POPPO.ENQUEUE p 7");
    let worker = work(&server, &[], UNTIL_STOP);
    let pids = words(&server.dir().join("pids"), 2);
    assert_eq!(connection.text("POPPO.CANCEL p 7 REASON \"by hand\""), "asked");
    assert_eq!(statuses(&worker.documents(1)), ["cancelled"]);
    wait_until("nobody of the group is left", || !pids.iter().any(|pid| runs(pid)));
    assert_eq!(status(&mut connection, 7), "cancelled");
    touch(&server, "stop");
    connection.ok("POPPO.ENQUEUE p 8");
    assert_eq!(statuses(&worker.documents(2)), ["cancelled", "completed"]);
}

#[test]
fn a_run_that_is_cancelled_stops_too() {
    let server = Server::start();
    let mut connection = server.connect();
    connection.ok("POPPO.CONFIG p SET heartbeat-ttl 2000");
    let mut run = Following::start(&server, &["--json", "run", "7", "--", "sh", "-c", UNTIL_STOP]);
    let pids = words(&server.dir().join("pids"), 2);
    assert_eq!(connection.text("POPPO.CANCEL p 7"), "asked");
    assert_eq!(run.exit_code(), Some(1), "{}", run.said());
    assert!(run.said().contains("CANCELLED"), "{}", run.said());
    wait_until("nobody of the group is left", || !pids.iter().any(|pid| runs(pid)));
    assert_eq!(status(&mut connection, 7), "cancelled");
}

#[test]
fn what_is_deaf_to_term_is_killed_after_the_grace() {
    let server = Server::start();
    let mut connection = server.connect();
    connection.ok("POPPO.CONFIG p SET heartbeat-ttl 2000");
    connection.ok("POPPO.ENQUEUE p 7");
    let script = "trap '' TERM; echo $$ > pids; while true; do sleep 0.05; done";
    let worker = work(&server, &["--term-grace", "100ms"], script);
    let pids = words(&server.dir().join("pids"), 1);
    connection.ok("POPPO.CANCEL p 7");
    assert_eq!(statuses(&worker.documents(1)), ["cancelled"]);
    wait_until("it is gone", || !runs(&pids[0]));
}

#[test]
fn term_drains_and_loses_nothing() {
    let server = Server::start();
    let mut connection = server.connect();
    connection.ok("POPPO.ENQUEUE p 1");
    connection.ok("POPPO.ENQUEUE p 2");
    let mut worker = work(&server, &["--jobs", "1"], UNTIL_STOP);
    words(&server.dir().join("pids"), 2);
    signal(&worker.child, Signal::TERM);
    wait_until("it says so", || worker.said().contains("takes nothing new"));
    assert_eq!(status(&mut connection, 1), "processing");
    touch(&server, "stop");
    assert_eq!(worker.exit_code(), Some(0), "{}", worker.said());
    assert_eq!(statuses(&worker.documents(1)), ["completed"]);
    assert_eq!((status(&mut connection, 1), status(&mut connection, 2)), ("completed".to_owned(), "queued".to_owned()));
}

#[test]
fn a_second_signal_puts_what_runs_back_into_the_queue() {
    let server = Server::start();
    let mut connection = server.connect();
    connection.ok("POPPO.ENQUEUE p 1 TYPE fix");
    let mut worker = work(&server, &[], UNTIL_STOP);
    let pids = words(&server.dir().join("pids"), 2);
    signal(&worker.child, Signal::INT);
    wait_until("it says so", || worker.said().contains("takes nothing new"));
    signal(&worker.child, Signal::TERM);
    assert_eq!(worker.exit_code(), Some(143), "{}", worker.said());
    assert_eq!(statuses(&worker.documents(1)), ["queued"]);
    wait_until("nobody of the group is left", || !pids.iter().any(|pid| runs(pid)));
    assert_eq!(status(&mut connection, 1), "queued");
    touch(&server, "stop");
    let heir = output(poppo(&server, &["work", "--once", "--", "true"]));
    assert!(heir.status.success(), "{heir:?}");
    assert_eq!(status(&mut connection, 1), "completed");
}

#[test]
fn a_lost_lease_stops_the_whole_group_and_reports_nothing() {
    let server = Server::start();
    let mut connection = server.connect();
    connection.ok("POPPO.CONFIG p SET heartbeat-ttl 2000");
    connection.ok("POPPO.ENQUEUE p 7");
    let worker = work(&server, &[], UNTIL_STOP);
    let pids = words(&server.dir().join("pids"), 2);
    connection.ok("POPPO.EVICT p 7");
    assert_eq!(statuses(&worker.documents(1)), ["lost"]);
    wait_until("nobody of the group is left", || !pids.iter().any(|pid| runs(pid)));
    assert_eq!(connection.ok("POPPO.GET p 7").field("endedBy"), "evict");
    touch(&server, "stop");
    connection.ok("POPPO.ENQUEUE p 8");
    assert_eq!(statuses(&worker.documents(2)), ["lost", "completed"]);
}

#[test]
fn a_killed_worker_leaves_its_task_to_others() {
    let server = Server::start();
    let mut connection = server.connect();
    connection.ok("POPPO.CONFIG p SET heartbeat-ttl 2000");
    connection.ok("POPPO.ENQUEUE p 7");
    let mut first = named(&server, "first", &[], UNTIL_STOP);
    let pids = words(&server.dir().join("pids"), 2);
    first.child.kill().unwrap();
    first.child.wait().unwrap();
    wait_until("its command is gone, too", || !runs(&pids[0]));
    touch(&server, "stop");
    let second = named(&server, "second", &[], UNTIL_STOP);
    wait_until("its lease has run out", || {
        let repaired = json(poppo(&server, &["repair", "--all", "--requeue"]));
        repaired.as_array().unwrap().iter().any(|row| row["status"] == "queued")
    });
    let lines = second.documents(1);
    assert_eq!((statuses(&lines), &lines[0]["issue"]), (vec!["completed"], &7.into()));
}

#[test]
fn two_signals_of_a_cancelled_task_leave_it_cancelled() {
    let server = Server::start();
    let mut connection = server.connect();
    connection.ok("POPPO.ENQUEUE p 1");
    let mut worker = work(&server, &[], UNTIL_STOP);
    words(&server.dir().join("pids"), 2);
    // Beats are far apart here: the worker has not heard of it yet.
    assert_eq!(connection.text("POPPO.CANCEL p 1"), "asked");
    signal(&worker.child, Signal::TERM);
    wait_until("it drains", || worker.said().contains("takes nothing new"));
    signal(&worker.child, Signal::TERM);
    assert_eq!(worker.exit_code(), Some(143), "{}", worker.said());
    assert_eq!(statuses(&worker.documents(1)), ["cancelled"]);
    assert_eq!(status(&mut connection, 1), "cancelled");
}

#[test]
fn a_worker_whose_name_was_taken_ends() {
    let server = Server::start();
    let mut connection = server.connect();
    connection.ok("POPPO.CONFIG p SET heartbeat-ttl 2000");
    connection.ok("POPPO.ENQUEUE p 1");
    let mut first = work(&server, &[], UNTIL_STOP);
    words(&server.dir().join("pids"), 2);
    connection.ok("POPPO.CHECKOUT p 2 w INCARNATION another");
    assert_eq!(first.exit_code(), Some(76), "{}", first.said());
    assert!(first.said().contains("took the name w"), "{}", first.said());
}

#[test]
fn once_takes_one_task_for_each_job_and_tells_by_its_exit_code() {
    let server = Server::start();
    let mut connection = server.connect();
    let once = |options: &[&str], script: &str| {
        let arguments = [&["work", "--once"], options, &["--", "sh", "-c", script]].concat();
        output(poppo(&server, &arguments)).status.code()
    };
    assert_eq!(once(&[], "true"), Some(75));
    for issue in 1..=3 {
        connection.ok(&format!("POPPO.ENQUEUE p {issue}"));
    }
    assert_eq!(once(&["--jobs", "2"], "true"), Some(0));
    assert_eq!(connection.ok("POPPO.STATS p").count("tasks.finished"), 2);
    assert_eq!(once(&[], "exit 5"), Some(1));
    assert_eq!(once(&[], "true"), Some(75));
    connection.ok("POPPO.ENQUEUE p 4");
    let evict = format!("{} --url {} --project p evict 4", artifacts::poppo().display(), server.url());
    let lost = format!("{evict} > /dev/null");
    assert_eq!(once(&[], &lost), Some(76));
    connection.ok("POPPO.DRAIN p ON");
    connection.ok("POPPO.ENQUEUE p 5");
    assert_eq!(once(&[], "true"), Some(75));
}

#[test]
fn a_command_that_is_not_there_costs_no_task_an_attempt() {
    let server = Server::start();
    let mut connection = server.connect();
    connection.ok("POPPO.ENQUEUE p 1");
    let (exit, _, message) = refusal(&server, &["work", "--", "/nowhere/to/be/found"]);
    assert_eq!(exit, 127);
    assert!(message.contains("/nowhere/to/be/found"), "{message}");
    // It looks like a program, and is none.
    let script = server.dir().join("script");
    std::fs::write(&script, "#!/nowhere/to/be/found\n").unwrap();
    std::fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    connection.ok("POPPO.ENQUEUE p 2");
    assert_eq!(refusal(&server, &["work", "--", "./script"]).0, 127);
    assert_eq!(status(&mut connection, 1), "queued");
    assert_eq!(connection.ok("POPPO.STATS p").count("checkouts"), 1, "the other task was not even begun");
}

#[test]
fn people_get_one_aligned_line_a_task() {
    let server = Server::start();
    let mut connection = server.connect();
    connection.ok("POPPO.ENQUEUE p 7 TITLE \"Crash\u{1b}[2J\"");
    connection.ok("POPPO.ENQUEUE p 123456 TYPE fix");
    let script = "[ $POPPO_ISSUE = 7 ]";
    let worker = Following::start(&server, &["work", "--", "sh", "-c", script]);
    wait_until("both are done", || worker.written().lines().count() == 3);
    let text = worker.written();
    let lines: Vec<&str> = text.lines().collect();
    let place = |line: &str, what: &str| line.find(what).unwrap_or_else(|| panic!("no {what} in {line}"));
    assert_eq!(place(lines[0], "STATUS"), place(lines[1], "completed"));
    assert_eq!(place(lines[0], "STATUS"), place(lines[2], "dead"));
    assert!(lines[1].contains("7:issue") && lines[2].ends_with("exit status 1"), "{text}");
}
