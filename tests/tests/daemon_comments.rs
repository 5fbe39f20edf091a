//! What duty 2 of `poppo daemon` says on GitHub: each repair is told once on its issue, whatever happens to the daemon and to
//! GitHub in between.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use poppo_tests::command;
use poppo_tests::daemon::{Builder, Daemon};
use poppo_tests::github::{Fault, GitHub, LOGIN, Rule, Standing, TOKEN};
use poppo_tests::{Connection, Reply as _, Server, wait_until};
use rustix::process::Signal;

const REPOSITORY: &str = "acme/widgets";

/// A server, a GitHub, and what a daemon is told of them.
struct Stage {
    server: Server,
    github: GitHub,
}

impl Stage {
    /// With so many issues on GitHub.
    fn with(issues: u64) -> Self {
        Self::at(Server::start(), issues)
    }

    fn at(server: Server, issues: u64) -> Self {
        let stage = Self { server, github: GitHub::start() };
        for _ in 0..issues {
            stage.github.repository(REPOSITORY).open("an issue", &[]);
        }
        stage
    }

    /// A daemon of the host `h` that watches, repairs and comments, and does nothing else.
    fn daemon(&self, language: &str) -> Builder {
        let duties = "[duties]\nlabels = false\nintake = false\nambassador = false\nview = false";
        let project = format!("[[project]]\nkey = \"p\"\nrepository = \"{REPOSITORY}\"\n");
        Daemon::builder(&self.server)
            .top("host = \"h\"")
            .section(&format!("{duties}\n{project}[project.repair]\nlanguage = \"{language}\""))
            .variable("POPPO_GITHUB_TOKEN", TOKEN)
            .variable("POPPO_GITHUB_API_URL", self.github.url())
    }

    /// What was said on an issue.
    fn comments(&self, issue: u64) -> Vec<String> {
        self.github.repository(REPOSITORY).comments(issue).into_iter().map(|comment| comment.body).collect()
    }

    /// Waits until each of these issues has its comment, and nothing more is to be said; then each has it once.
    #[track_caller]
    fn settled(&self, issues: std::ops::RangeInclusive<u64>) {
        let mut connection = self.server.connect();
        for issue in issues.clone() {
            wait_until(&format!("issue {issue} has its comment"), || !self.comments(issue).is_empty());
        }
        wait_until("no comment waits", || is_all_told(&mut connection));
        for issue in issues {
            assert_eq!(self.comments(issue).len(), 1, "{:?}", self.comments(issue));
        }
    }

    /// The path of an issue's comments.
    fn path(issue: u64) -> String {
        format!("/repos/{REPOSITORY}/issues/{issue}/comments")
    }
}

fn is_all_told(connection: &mut Connection) -> bool {
    let stats = connection.ok("POPPO.STATS poppo:comments:p");
    let none = |name: &str| stats.get("queue").is_some_and(|queue| queue.count(name) == 0);
    ["waiting", "delayed", "running", "dead"].into_iter().all(none)
}

/// A worker of the host `h`, which is killed.
fn dies(connection: &mut Connection, issue: u64) -> Lost {
    let mut worker: Child = Command::new("sleep").arg("1000").stdin(Stdio::null()).spawn().unwrap();
    let pid = worker.id();
    let token = connection.int(&format!("POPPO.CHECKOUT p {issue} worker-{issue} HOST h PID {pid}"));
    worker.kill().unwrap();
    worker.wait().unwrap();
    Lost { pid, token }
}

/// The lease that a worker had.
struct Lost {
    pid: u32,
    token: i64,
}

#[test]
fn a_worker_that_was_killed_is_told_of_on_its_issue() {
    let texts = [
        ("en", ["The worker of this issue was lost.", "Its process ended without reporting.", "is processed again."]),
        ("ja", ["ワーカーが失われました。", "プロセスが結果を報告せずに終了しました。", "再度処理されます。"]),
    ];
    for (language, parts) in texts {
        let stage = Stage::with(2);
        let mut connection = stage.server.connect();
        let daemon = stage.daemon(language).start();
        let lost = dies(&mut connection, 1);
        stage.settled(1..=1);
        let comment = stage.github.repository(REPOSITORY).comments(1).remove(0);
        assert_eq!(comment.author, LOGIN);
        let facts = [
            format!("`worker-1` (PID {})", lost.pid),
            "| `h` |".to_owned(),
            "`queued`".to_owned(),
            "_Poppo, `daemon@h`_".to_owned(),
            format!("\n\n<!-- poppo:repair 1 {} -->", lost.token),
        ];
        for part in parts.map(str::to_owned).iter().chain(&facts) {
            assert!(comment.body.contains(part), "{part}: {}", comment.body);
        }
        // Another daemon reads all of the log again, and says nothing twice.
        daemon.kill9();
        let daemon = stage.daemon(language).named("second").start();
        dies(&mut connection, 2);
        stage.settled(1..=2);
        assert_eq!(daemon.metric("poppo_repair_comments_total{project=\"p\"}"), Some(1.0));
        assert!(stage.github.violations().is_empty(), "{:?}", stage.github.violations());
        let log = daemon.log();
        assert!(log.contains("commented on its repair") && !log.contains(TOKEN), "{log}");
    }
}

#[test]
fn a_daemon_that_is_killed_while_it_comments_has_said_it_once() {
    let stage = Stage::with(3);
    let mut connection = stage.server.connect();
    // The first is written, and GitHub does not come to say so; the others wait behind it.
    stage.github.fault(Rule::on("POST", &Stage::path(1), Fault::LateHang).times(1));
    let daemon = stage.daemon("en").start();
    for issue in 1..=3 {
        dies(&mut connection, issue);
        wait_until("it is repaired", || connection.ok(&format!("POPPO.GET p {issue}")).field("status") == "queued");
    }
    wait_until("the first comment is written", || !stage.comments(1).is_empty());
    daemon.kill9();
    let _daemon = stage.daemon("en").named("second").start();
    stage.settled(1..=3);
}

#[test]
fn a_daemon_that_was_stopped_before_it_commented_leaves_it_to_the_one_that_took_over() {
    let stage = Stage::with(2);
    let mut connection = stage.server.connect();
    // It has asked whether the comment is there, and is stopped before it hears that it is not.
    let slow = Rule::on("GET", &Stage::path(1), Fault::Slow(Duration::from_secs(1))).times(1);
    stage.github.fault(slow);
    let stopped = stage.daemon("en").start();
    dies(&mut connection, 1);
    wait_until("it asks", || stage.github.requests().iter().any(|request| request.path.contains("/issues/1/comments")));
    command::signal(stopped.child(), Signal::STOP);
    let other = stage.daemon("en").named("second").start();
    stage.settled(1..=1);
    command::signal(stopped.child(), Signal::CONT);
    stopped.wait_until_ready();
    dies(&mut connection, 2);
    stage.settled(1..=2);
    assert_eq!(stopped.end(), Some(0));
    assert_eq!(other.end(), Some(0));
    stage.settled(1..=2);
}

#[test]
fn a_server_that_is_killed_while_a_comment_is_written_has_it_said_once() {
    let mut stage = Stage::at(Server::builder().no_grace().durable().start(), 4);
    let mut connection = stage.server.connect();
    stage.github.fault(Rule::on("POST", "/repos/**", Fault::Slow(Duration::from_millis(500))));
    let daemon = stage.daemon("en").start();
    for issue in 1..=4 {
        dies(&mut connection, issue);
        wait_until("it is repaired", || connection.ok(&format!("POPPO.GET p {issue}")).field("status") == "queued");
    }
    wait_until("a comment is written", || (1..=4).any(|issue| !stage.comments(issue).is_empty()));
    stage.server.kill9();
    wait_until("the daemon notices", || !daemon.readiness().0);
    stage.server.start_again();
    stage.settled(1..=4);
    daemon.wait_until_ready();
}

#[test]
fn no_refusal_and_no_lost_answer_loses_or_doubles_a_comment() {
    let faults = [
        ("POST", Fault::Status(401)),
        ("POST", Fault::Status(403)),
        ("POST", Fault::Status(404)),
        ("POST", Fault::Status(502)),
        ("POST", Fault::Cut),
        ("POST", Fault::Nonsense),
        ("POST", Fault::LateStatus(500)),
        ("POST", Fault::LateCut),
        ("POST", Fault::Truncated),
        ("GET", Fault::Status(403)),
        ("GET", Fault::Status(404)),
        ("GET", Fault::WrongShape),
    ];
    let last = faults.len() as u64;
    let stage = Stage::with(last);
    let mut connection = stage.server.connect();
    // Where GitHub's clock is not the server's, a comment is found again all the same.
    stage.github.set_back(Duration::from_secs(300));
    for (issue, (method, fault)) in (1..).zip(&faults) {
        stage.github.fault(Rule::on(method, &Stage::path(issue), fault.clone()).times(1));
    }
    let daemon = stage.daemon("en").start();
    for issue in 1..=last {
        dies(&mut connection, issue);
    }
    stage.settled(1..=last);
    let struck = stage.github.requests().iter().filter(|request| request.fault.is_some()).count();
    assert_eq!(struck, faults.len(), "all of it went wrong once");
    let log = daemon.log();
    assert!(log.contains("cannot comment on its repair yet") && !log.contains(TOKEN), "{log}");
    assert!(daemon.readiness().0, "that waits for nobody: {}", daemon.readiness().1);
}

#[test]
fn a_limit_is_waited_for_before_the_next_comment() {
    let stage = Stage::with(2);
    let mut connection = stage.server.connect();
    for status in [403, 429] {
        stage.github.fault(Rule::on("POST", "/repos/**", Fault::RetryAfter(status, 2)).times(1));
    }
    let _daemon = stage.daemon("en").start();
    for issue in 1..=2 {
        dies(&mut connection, issue);
    }
    stage.settled(1..=2);
    assert!(stage.github.violations().is_empty(), "{:?}", stage.github.violations());
}

#[test]
fn a_repository_that_was_renamed_or_is_not_to_be_seen_for_a_while_gets_its_comments() {
    let stage = Stage::with(2);
    let mut connection = stage.server.connect();
    let repository = stage.github.repository(REPOSITORY);
    let daemon = stage.daemon("en").start();
    repository.set_standing(Standing::Gone);
    dies(&mut connection, 1);
    daemon.wait_for_log("cannot comment on its repair yet");
    repository.set_standing(Standing::Active);
    repository.rename("acme/gadgets");
    dies(&mut connection, 2);
    for issue in 1..=2 {
        wait_until("the comment is there", || repository.comments(issue).len() == 1);
    }
}

#[test]
fn an_issue_that_is_not_on_github_keeps_no_other_from_its_comment() {
    let stage = Stage::with(2);
    let mut connection = stage.server.connect();
    stage.github.repository(REPOSITORY).delete(1);
    let daemon = stage.daemon("en").start();
    for issue in [1, 2] {
        dies(&mut connection, issue);
    }
    wait_until("the other one has its comment", || stage.comments(2).len() == 1);
    daemon.wait_for_log("cannot comment on its repair: ");
    wait_until("no comment waits", || is_all_told(&mut connection));
}
