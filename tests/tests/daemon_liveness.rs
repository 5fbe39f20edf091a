//! Duties 1 and 2 of `poppo daemon`: who is dead is known at once, and what they had goes to others.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use poppo_tests::command::{self, Following, poppo, words};
use poppo_tests::daemon::{Builder, Daemon};
use poppo_tests::{Connection, Reply as _, Server, wait_until};
use rustix::process::Signal;

/// A process of this host that does nothing until it is killed, which is at the end of its test at the latest.
struct Idler(Child);

impl Idler {
    fn start() -> Self {
        Self(Command::new("sleep").arg("1000").stdin(Stdio::null()).spawn().unwrap())
    }

    /// As its client would say it, with its start time so many ticks later.
    fn incarnation(&self, later: u64) -> String {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.0.id())).unwrap();
        let start: u64 = stat.rsplit_once(')').unwrap().1.split_ascii_whitespace().nth(19).unwrap().parse().unwrap();
        let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
        format!("{}:{}:{}", boot.trim(), self.0.id(), start + later)
    }

    /// Takes an issue as a worker on the host `h`.
    fn checks_out(&self, connection: &mut Connection, issue: u64, name: &str, more: &str) {
        let (pid, life) = (self.0.id(), self.incarnation(0));
        connection.ok(&format!("POPPO.CHECKOUT p {issue} {name} HOST h PID {pid} INCARNATION {life} {more}"));
    }

    fn kill9(mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Idler {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// A daemon of the host `h` that looks after the project `p`.
fn daemon(server: &Server) -> Builder {
    Daemon::builder(server).top("host = \"h\"")
}

fn status(connection: &mut Connection, issue: u64) -> String {
    connection.ok(&format!("POPPO.GET p {issue}")).field("status")
}

#[track_caller]
fn wait_for_status(connection: &mut Connection, issue: u64, expected: &str) {
    wait_until(&format!("issue {issue} is {expected}"), || status(connection, issue) == expected);
}

/// The reasons of all repairs so far.
fn repairs(connection: &mut Connection) -> Vec<String> {
    let events = connection.ok("POPPO.EVENTS p AFTER 0 COUNT 10000");
    let repairs = events.rows().iter().filter(|event| event.field("event") == "repair");
    repairs.map(|event| event.field("reason")).collect()
}

/// Waits until the process of this name is attested.
#[track_caller]
fn wait_until_attested(connection: &mut Connection, name: &str) {
    wait_until("its life is attested", || {
        let page = connection.ok("POPPO.LIST p PROCESSES");
        page.rows()[1].rows().iter().any(|row| row.field("process") == name && row.get("attestTime").is_some())
    });
}

#[test]
fn the_issue_of_a_killed_worker_is_anothers_at_once() {
    let server = Server::start();
    let mut connection = server.connect();
    let _daemon = Daemon::builder(&server).start();
    let place = server.dir().join("begun");
    let script = format!("echo $POPPO_ISSUE >> {}; exec sleep 1000", place.display());
    let work = |name: &str| Following::named(&server, name, &["work", "--process", name, "--", "sh", "-c", &script]);
    let first = work("first");
    connection.ok("POPPO.ENQUEUE p 7");
    words(&place, 1);
    let _second = work("second");
    command::signal(&first.child, Signal::KILL);
    assert_eq!(words(&place, 2), ["7", "7"]);
    assert_eq!(connection.ok("POPPO.GET p 7").field("process"), "second");
    let why = repairs(&mut connection);
    let part = format!(": dead, PID {}, on ", first.child.id());
    assert!(why.len() == 1 && why[0].starts_with("daemon@") && why[0].contains(&part), "{why:?}");
}

#[test]
fn a_stopped_worker_is_robbed_after_max_silence_and_not_before() {
    let server = Server::start();
    let mut connection = server.connect();
    connection.ok("POPPO.CONFIG p SET max-silence 3000");
    let daemon = daemon(&server).start();
    let idler = Idler::start();
    command::signal(&idler.0, Signal::STOP);
    idler.checks_out(&mut connection, 7, "w", "TTL 1000");
    let began = connection.ok("POPPO.GET p 7").field("startTime");
    wait_until_attested(&mut connection, "w");
    wait_until("it is watched", || daemon.metric("poppo_watched_processes{project=\"p\"}") == Some(1.0));
    wait_for_status(&mut connection, 7, "queued");
    let reason = repairs(&mut connection).remove(0);
    let since = reason.rsplit_once("since ").unwrap().1.to_owned();
    let at = |text: &str| humantime::parse_rfc3339(text).unwrap();
    assert!(reason.contains(": expired, "), "{reason}");
    assert_eq!(at(&since).duration_since(at(&began)).unwrap(), Duration::from_secs(3), "{reason}");
}

#[test]
fn a_stopped_worker_keeps_its_issue_since_it_is_attested_again_and_again() {
    let server = Server::start();
    let mut connection = server.connect();
    let _daemon = daemon(&server).start();
    let idler = Idler::start();
    command::signal(&idler.0, Signal::STOP);
    idler.checks_out(&mut connection, 7, "w", "TTL 1000");
    let attested = |connection: &mut Connection| {
        let page = connection.ok("POPPO.LIST p PROCESSES");
        page.rows()[1].rows().iter().find_map(|row| row.get("attestTime").map(|_| row.field("attestTime")))
    };
    wait_until_attested(&mut connection, "w");
    let first = attested(&mut connection);
    wait_until("it is attested once more", || attested(&mut connection) != first);
    assert_eq!(status(&mut connection, 7), "processing", "its TTL is long over");
    assert!(repairs(&mut connection).is_empty());
}

#[test]
fn another_process_under_the_pid_does_not_keep_a_lease() {
    let server = Server::start();
    let mut connection = server.connect();
    let _daemon = daemon(&server).start();
    let idler = Idler::start();
    let (pid, life) = (idler.0.id(), idler.incarnation(1));
    connection.ok(&format!("POPPO.CHECKOUT p 7 w HOST h PID {pid} INCARNATION {life}"));
    wait_for_status(&mut connection, 7, "queued");
    assert!(repairs(&mut connection)[0].contains(": dead, "));
}

#[test]
fn a_process_that_may_not_be_signalled_is_alive() {
    let server = Server::start();
    let mut connection = server.connect();
    let directory = tempfile::tempdir().unwrap();
    let builder = Daemon::of(directory.path(), &server.url()).top("host = \"h\"");
    let mut command = builder.command();
    if rustix::process::getuid().is_root() {
        // Whoever may signal everybody is nobody to try this with.
        use std::os::unix::fs::PermissionsExt as _;
        use std::os::unix::process::CommandExt as _;
        std::fs::set_permissions(directory.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        command.uid(65_534).gid(65_534);
    }
    let daemon = builder.launch_as(command);
    daemon.wait_until_ready();
    connection.ok("POPPO.CHECKOUT p 7 w HOST h PID 1 TTL 1000");
    wait_until_attested(&mut connection, "w");
    let passed = |connection: &mut Connection| connection.int("TTL clock") == -2;
    connection.ok("SET clock 1 PX 1500");
    wait_until("its TTL has passed", || passed(&mut connection));
    assert_eq!(status(&mut connection, 7), "processing");
    assert!(connection.ok("POPPO.ORPHANS p").rows().is_empty());
}

#[test]
fn a_worker_of_another_host_is_an_orphan_when_its_ttl_has_passed() {
    let server = Server::start();
    let mut connection = server.connect();
    let _daemon = daemon(&server).start();
    // This PID is nobody's here, which is nobody's business.
    connection.ok("POPPO.CHECKOUT p 7 w HOST elsewhere PID 2147483647 TTL 1000");
    wait_for_status(&mut connection, 7, "queued");
    let reason = repairs(&mut connection).remove(0);
    assert!(reason.contains(": expired, PID 2147483647, on elsewhere, "), "{reason}");
}

#[test]
fn a_daemon_that_was_killed_finds_what_happened_meanwhile() {
    let server = Server::start();
    let mut connection = server.connect();
    let first = daemon(&server).start();
    let (idler, other) = (Idler::start(), Idler::start());
    idler.checks_out(&mut connection, 7, "w", "");
    other.checks_out(&mut connection, 8, "x", "TTL 1000");
    wait_until_attested(&mut connection, "w");
    first.kill9();
    idler.kill9();
    let _second = daemon(&server).start();
    wait_for_status(&mut connection, 7, "queued");
    assert_eq!(status(&mut connection, 8), "processing");
    other.kill9();
    wait_for_status(&mut connection, 8, "queued");
}

#[test]
fn a_daemon_goes_on_when_its_server_is_back() {
    let mut server = Server::builder().no_grace().durable().start();
    let daemon = daemon(&server).start();
    let (idler, other) = (Idler::start(), Idler::start());
    let mut connection = server.connect();
    idler.checks_out(&mut connection, 7, "w", "");
    other.checks_out(&mut connection, 8, "x", "");
    wait_until_attested(&mut connection, "w");
    server.shutdown("NOSAVE");
    wait_until("the daemon notices", || {
        let (ready, said) = daemon.readiness();
        let ailing = said["duties"].as_array().unwrap().iter().filter(|duty| duty["state"] == "ailing").count();
        !ready && ailing == 2
    });
    // While nobody can be told.
    idler.kill9();
    server.start_again();
    daemon.wait_until_ready();
    let mut connection = server.connect();
    wait_for_status(&mut connection, 7, "queued");
    other.kill9();
    wait_for_status(&mut connection, 8, "queued");
}

#[test]
fn two_daemons_of_a_host_repair_once() {
    let server = Server::start();
    let mut connection = server.connect();
    let _daemons = [daemon(&server).start(), daemon(&server).named("other").start()];
    for issue in 1..=20 {
        let idler = Idler::start();
        idler.checks_out(&mut connection, issue, &format!("w{issue}"), "");
        idler.kill9();
    }
    for issue in 1..=20 {
        wait_for_status(&mut connection, issue, "queued");
    }
    assert_eq!(repairs(&mut connection).len(), 20);
}

#[test]
fn a_task_that_is_lost_again_waits_and_is_dead_in_the_end() {
    let server = Server::start();
    let mut connection = server.connect();
    connection.ok("POPPO.CONFIG p SET max-orphans 1");
    connection.ok("POPPO.ENQUEUE p 7");
    let _daemon = daemon(&server).section("[project.repair]\nbackoff = \"1s\"").start();
    for round in 0..2 {
        let idler = Idler::start();
        let (pid, life) = (idler.0.id(), idler.incarnation(0));
        wait_until("the task can be claimed", || {
            let claimed = connection.ok(&format!("POPPO.CLAIM p w{round} HOST h PID {pid} INCARNATION {life}"));
            !matches!(claimed, redis::Value::Nil)
        });
        idler.kill9();
        wait_for_status(&mut connection, 7, if round == 0 { "queued" } else { "error" });
    }
    let dead = connection.ok("POPPO.LIST p DEAD");
    assert_eq!(dead.rows()[1].rows()[0].field("task"), "7:issue");
    // The first was repaired at once, the second when its second had passed.
    let events = connection.ok("POPPO.EVENTS p AFTER 0");
    let repairs = events.rows().iter().filter(|event| event.field("event") == "repair");
    let waited: Vec<Duration> = repairs
        .map(|event| {
            let since = event.field("reason").rsplit_once("since ").unwrap().1.to_owned();
            let at = |text: &str| humantime::parse_rfc3339(text).unwrap();
            at(&event.field("at")).duration_since(at(&since)).unwrap()
        })
        .collect();
    assert!(waited[1] >= Duration::from_secs(1), "{waited:?}");
}

#[test]
fn orphans_are_given_up_where_the_policy_says_so() {
    let server = Server::start();
    let mut connection = server.connect();
    let _daemon = daemon(&server).section("[project.repair]\npolicy = \"error\"").start();
    let idler = Idler::start();
    idler.checks_out(&mut connection, 7, "w", "");
    idler.kill9();
    wait_for_status(&mut connection, 7, "error");
}

#[test]
fn a_template_with_an_unknown_place_is_refused_at_the_start() {
    let server = Server::start();
    let file = server.dir().join("repair.md");
    std::fs::write(&file, "Issue {issue}\nlost {prozess}\n").unwrap();
    let section = format!("[project.repair]\ntemplate = {file:?}");
    let output = command::output(daemon(&server).section(&section).command());
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{said}");
    for part in ["project.repair.template: ", "repair.md: line 2: unknown {prozess}; there are {issue} {process}"] {
        assert!(said.contains(part), "{part}: {said}");
    }
}

#[test]
fn comments_are_off_without_a_repository_and_that_is_said_once() {
    let server = Server::start();
    let daemon = daemon(&server).start();
    daemon.wait_for_log("repairs are not told on issues: the project has no repository");
    assert_eq!(daemon.log().matches("repairs are not told").count(), 1);
    assert_eq!(daemon.end(), Some(0));
}

#[test]
fn doctor_asks_for_a_daemon_where_nobody_attests_this_hosts_workers() {
    let server = Server::start();
    let mut connection = server.connect();
    let host = Command::new("uname").arg("-n").output().unwrap().stdout;
    let host = String::from_utf8(host).unwrap().trim().to_owned();
    let idler = Idler::start();
    let (pid, life) = (idler.0.id(), idler.incarnation(0));
    connection.ok(&format!("POPPO.CHECKOUT p 7 w HOST {host} PID {pid} INCARNATION {life}"));
    let check = || {
        let found = command::output(poppo(&server, &["doctor", "--json"])).stdout;
        let found: serde_json::Value = serde_json::from_slice(&found).unwrap();
        let all = found["checks"].as_array().unwrap().clone();
        all.into_iter().find(|finding| finding["check"] == "daemon").unwrap()
    };
    let before = check();
    assert_eq!(before["state"], "warning", "{before}");
    assert!(before["mend"].as_str().unwrap().starts_with("poppo daemon"), "{before}");
    let _daemon = Daemon::builder(&server).start();
    wait_until_attested(&mut connection, "w");
    assert_eq!(check()["state"], "ok");
}
