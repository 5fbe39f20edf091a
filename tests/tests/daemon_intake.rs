//! Duty 4 of `poppo daemon`: issues and comments on GitHub become tasks, each once, whatever is heard of them and how.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};

use poppo_tests::daemon::{Builder, Daemon};
use poppo_tests::github::{
    Chaos, Fault, GitHub, LOGIN, Mishaps, Order, RepositoryHandle, Rule, Standing, TOKEN, signature,
};
use poppo_tests::{Connection, DEADLINE, Reply as _, Server, wait_until};
use serde_json::{Value, json};

const REPOSITORY: &str = "acme/widgets";
const SECRET: &str = "sesame";

/// A daemon that takes alice's issues of the repository in, and does nothing else.
fn daemon(server: &Server, github: &GitHub) -> Builder {
    let only = "[duties]\nliveness = false\nrepair = false\nlabels = false\nambassador = false\nview = false\n";
    let project = format!("[[project]]\nkey = \"p\"\nrepository = \"{REPOSITORY}\"\n");
    let intake = "[project.intake]\nauthors = [\"alice\"]\npoll = \"1s\"\nagain = \"1s\"";
    Daemon::builder(server)
        .section(&format!("{project}{intake}\n{only}"))
        .variable("POPPO_GITHUB_TOKEN", TOKEN)
        .variable("POPPO_GITHUB_API_URL", github.url())
        .variable("POPPO_HTTP_WEBHOOK_SECRETS", format!("older, {SECRET}"))
}

/// The same, of which GitHub asks for nothing before a webhook says so, once it has begun.
fn daemon_that_listens(server: &Server, github: &GitHub) -> Daemon {
    let project = format!("[[project]]\nkey = \"p\"\nrepository = \"{REPOSITORY}\"\n");
    let intake = "[project.intake]\nauthors = [\"alice\"]\npoll = \"1day\"\n[duties]\nlabels = false";
    let daemon = Daemon::builder(server)
        .section(&format!("{project}{intake}"))
        .variable("POPPO_GITHUB_TOKEN", TOKEN)
        .variable("POPPO_GITHUB_API_URL", github.url())
        .variable("POPPO_HTTP_WEBHOOK_SECRETS", SECRET)
        .start();
    github.hook(&format!("http://127.0.0.1:{}/webhook/github", daemon.port()), SECRET);
    daemon
}

fn alice(github: &GitHub) -> RepositoryHandle<'_> {
    github.repository(REPOSITORY).by("alice")
}

/// The ids of the tasks that wait, with their types and priorities, in the order of their ids.
fn waiting(connection: &mut Connection) -> Vec<(String, String, i64)> {
    let page = connection.ok("POPPO.LIST p QUEUE COUNT 10000");
    let row = |row: &redis::Value| (row.field("task"), row.field("type"), row.get("priority").unwrap().number());
    let mut rows: Vec<_> = page.rows()[1].rows().iter().map(row).collect();
    rows.sort();
    rows
}

fn ids(connection: &mut Connection) -> Vec<String> {
    waiting(connection).into_iter().map(|(id, ..)| id).collect()
}

#[track_caller]
fn wait_for(connection: &mut Connection, expected: &[&str]) {
    let mut found = Vec::new();
    let start = std::time::Instant::now();
    while found != expected {
        assert!(start.elapsed() < DEADLINE, "{expected:?} should wait, but there are {found:?}");
        found = ids(connection);
    }
}

fn claim(connection: &mut Connection) -> redis::Value {
    let claimed = connection.ok("POPPO.CLAIM p w");
    assert!(!matches!(claimed, redis::Value::Nil), "nothing waits");
    claimed
}

fn status(connection: &mut Connection, issue: u64) -> String {
    connection.ok(&format!("POPPO.GET p {issue}")).field("status")
}

/// How often each task was queued, by the issue and its type.
fn queued(connection: &mut Connection) -> BTreeMap<(i64, String), usize> {
    let mut counts = BTreeMap::new();
    for event in connection.ok("POPPO.EVENTS p AFTER 0 COUNT 10000").rows() {
        if event.field("event") == "enqueue" {
            *counts.entry((event.get("issue").unwrap().number(), event.field("type"))).or_default() += 1;
        }
    }
    counts
}

/// An issue of alice's whose worker has asked her something.
fn unanswered(connection: &mut Connection, repository: &RepositoryHandle<'_>) -> u64 {
    let issue = repository.open("Crash on start", &["task:fix"]);
    let id = format!("{issue}:fix");
    wait_until("it is queued", || ids(connection).contains(&id));
    claim(connection);
    connection.ok(&format!("POPPO.CHECKIN p {issue} w STATUS awaiting-response"));
    issue
}

fn node_id(repository: &RepositoryHandle<'_>, issue: u64, comment: u64) -> String {
    repository.comments(issue).into_iter().find(|said| said.id == comment).unwrap().node_id()
}

#[test]
fn issues_with_a_task_label_become_tasks_and_others_do_not() {
    let (server, github) = (Server::start(), GitHub::start());
    let mut connection = server.connect();
    let repository = alice(&github);
    repository.open("Misc", &["task:misc", "bug"]);
    let closed = repository.open("Closed", &["task:fix"]);
    repository.close(closed);
    let _daemon = daemon(&server, &github).start();
    wait_for(&mut connection, &["1:misc"]);
    repository.open("Dogfood", &["task:dogfooding"]);
    repository.open("Urgent", &["task:fix", "priority:urgent"]);
    repository.open("No label", &["bug"]);
    repository.open("Skipped", &["task:fix", "skip:poppobuilder"]);
    repository.by("mallory").open("A stranger's", &["task:fix"]);
    let request = repository.open_pull_request("A pull request");
    repository.add_labels(request, &["task:fix"]);
    let last = repository.open("Last", &["task:docs", "priority:low"]);
    repository.edit(last, "Last", "本文です");
    let expected =
        [("1:misc", "misc", 50), ("3:dogfooding", "dogfooding", 100), ("4:fix", "fix", 1000), ("9:docs", "docs", 25)];
    let expected = expected.map(|(id, kind, priority)| (id.to_owned(), kind.to_owned(), priority));
    wait_until("they are queued", || waiting(&mut connection).len() >= expected.len());
    assert_eq!(waiting(&mut connection), expected);
    let claimed = claim(&mut connection);
    assert_eq!((claimed.field("task").as_str(), claimed.field("title").as_str()), ("4:fix", "Urgent"));
    let payload: Value = serde_json::from_str(&claimed.field("payload")).unwrap();
    assert_eq!(payload["repository"], REPOSITORY);
    assert_eq!(payload["issue"]["author"], "alice");
    assert_eq!(payload["issue"]["labels"], json!(["task:fix", "priority:urgent"]));
    assert!(github.violations().is_empty(), "{:?}", github.violations());
}

#[test]
fn new_comments_on_an_issue_that_waits_for_an_answer_become_tasks_once() {
    let (server, github) = (Server::start(), GitHub::start());
    let mut connection = server.connect();
    let repository = alice(&github);
    let daemon = daemon(&server, &github).start();
    let issue = unanswered(&mut connection, &repository);
    repository.by(LOGIN).comment(issue, "Which version is it?");
    repository.by("mallory").comment(issue, "Mine crashes, too");
    repository.comment(issue, "I was told this\n\n<!-- poppo:repair:7 -->");
    let answer = repository.comment(issue, "It is 1.2.3");
    let id = node_id(&repository, issue, answer);
    wait_for(&mut connection, &[&id]);
    let claimed = claim(&mut connection);
    assert_eq!(claimed.field("type"), "comment-response");
    let payload: Value = serde_json::from_str(&claimed.field("payload")).unwrap();
    assert_eq!((&payload["comment"]["body"], &payload["comment"]["id"]), (&json!("It is 1.2.3"), &json!(answer)));
    // Said while somebody works on the answer before.
    let next = repository.comment(issue, "And it is slow");
    let next = node_id(&repository, issue, next);
    connection.ok(&format!("POPPO.CHECKIN p {issue} w STATUS awaiting-response"));
    wait_for(&mut connection, &[&next]);
    claim(&mut connection);
    connection.ok(&format!("POPPO.CHECKIN p {issue} w STATUS awaiting-response"));
    // What was finished is not offered again, not even to a daemon that knows nothing.
    daemon.kill9();
    connection.ok("DEL {p}:intake");
    let _daemon = self::daemon(&server, &github).named("second").start();
    let last = repository.open("Last", &["task:docs"]);
    wait_for(&mut connection, &[&format!("{last}:docs")]);
    let comments = queued(&mut connection)[&(i64::try_from(issue).unwrap(), "comment-response".to_owned())];
    assert_eq!(comments, 2);
}

#[test]
fn a_comment_that_failed_is_offered_again_until_it_failed_too_often() {
    let (server, github) = (Server::start(), GitHub::start());
    let mut connection = server.connect();
    connection.ok("POPPO.CONFIG p SET max-attempts 2");
    let repository = alice(&github);
    let daemon = daemon(&server, &github).start();
    let issue = unanswered(&mut connection, &repository);
    let comment = repository.comment(issue, "Please rebase");
    let id = node_id(&repository, issue, comment);
    wait_for(&mut connection, &[&id]);
    claim(&mut connection);
    connection.ok(&format!("POPPO.CHECKIN p {issue} w STATUS error REASON \"no network\""));
    assert_eq!(connection.ok("POPPO.LIST p DEAD").rows()[1].rows().len(), 1);
    wait_for(&mut connection, &[&id]);
    claim(&mut connection);
    connection.ok(&format!("POPPO.CHECKIN p {issue} w STATUS error"));
    // It is polled once more, and then some.
    let metric = "poppo_intake_last_poll_timestamp_seconds{project=\"p\"}";
    let before = daemon.metric(metric).unwrap();
    wait_until("GitHub was asked", || daemon.metric(metric).unwrap() >= before + 3.0);
    assert_eq!(connection.ok("POPPO.LIST p DEAD").rows()[1].rows()[0].field("task"), id);
}

#[test]
fn a_closing_keyword_completes_the_issue_and_calls_off_what_was_said_before() {
    let (server, github) = (Server::start(), GitHub::start());
    let mut connection = server.connect();
    let repository = alice(&github);
    let _daemon = daemon(&server, &github).start();
    let issue = unanswered(&mut connection, &repository);
    let comment = repository.comment(issue, "Could you rename it?");
    let id = node_id(&repository, issue, comment);
    wait_for(&mut connection, &[&id]);
    repository.by("mallory").comment(issue, "done");
    repository.comment(issue, "完了しました。ありがとうございます！");
    wait_until("it is completed", || status(&mut connection, issue) == "completed");
    assert_eq!(connection.ok(&format!("POPPO.GET p {issue}")).field("reason"), "completion_keyword");
    wait_for(&mut connection, &[]);
    // Somebody who says thanks and asks for more wants more.
    let other = unanswered(&mut connection, &repository);
    let comment = repository.comment(other, "ありがとう。次に文書もお願いします。");
    let id = node_id(&repository, other, comment);
    wait_for(&mut connection, &[&id]);
}

#[test]
fn edited_labels_and_closed_issues_call_off_what_waits_and_nothing_else() {
    let (server, github) = (Server::start(), GitHub::start());
    let mut connection = server.connect();
    let repository = alice(&github);
    let _daemon = daemon(&server, &github).start();
    let [unlabelled, closed, skipped, retyped, shared, running] =
        std::array::from_fn(|number| repository.open(&format!("Number {number}"), &["task:fix"]));
    wait_until("they are queued", || ids(&mut connection).len() == 6);
    connection.ok(&format!("POPPO.ENQUEUE p {shared} ID by-hand"));
    connection.ok(&format!("POPPO.CHECKOUT p {running} w TYPE review"));
    repository.remove_label(unlabelled, "task:fix");
    repository.close(closed);
    repository.add_labels(skipped, &["skip:poppobuilder"]);
    repository.add_labels(retyped, &["task:docs"]);
    repository.remove_label(retyped, "task:fix");
    repository.close(shared);
    repository.close(running);
    let (docs, fix) = (format!("{retyped}:docs"), format!("{shared}:fix"));
    wait_for(&mut connection, &[&docs, &fix, &format!("{running}:fix"), "by-hand"]);
    let last = repository.open("Last", &["task:fix"]);
    wait_until("it is queued", || ids(&mut connection).contains(&format!("{last}:fix")));
    assert!(connection.ok(&format!("POPPO.GET p {running}")).get("cancelTime").is_none(), "who works is left alone");
    connection.ok(&format!("POPPO.CHECKIN p {running} w STATUS completed"));
    wait_for(&mut connection, &[&docs, &fix, &format!("{last}:fix"), "by-hand"]);
    // Put on again, it is offered again.
    repository.add_labels(unlabelled, &["task:fix"]);
    wait_until("it is queued again", || ids(&mut connection).contains(&format!("{unlabelled}:fix")));
}

#[test]
fn what_somebody_cancelled_does_not_come_back() {
    let (server, github) = (Server::start(), GitHub::start());
    let mut connection = server.connect();
    let repository = alice(&github);
    let daemon = daemon(&server, &github).start();
    let issue = repository.open("Wrong branch", &["task:fix"]);
    wait_for(&mut connection, &[&format!("{issue}:fix")]);
    connection.ok(&format!("POPPO.CANCEL p {issue}"));
    repository.edit(issue, "Wrong branch", "really");
    let next = repository.open("Next", &["task:fix"]);
    wait_for(&mut connection, &[&format!("{next}:fix")]);
    wait_until("how far GitHub was read is noted", || connection.cmd("HGET {p}:intake cursor").text().is_some());
    daemon.kill9();
    github.forget();
    let _daemon = self::daemon(&server, &github).named("second").start();
    let last = repository.open("Last", &["task:fix"]);
    wait_for(&mut connection, &[&format!("{next}:fix"), &format!("{last}:fix")]);
    let asked = github.requests();
    let lists: Vec<_> =
        asked.iter().filter(|asked| asked.line().starts_with("GET /repos/acme/widgets/issues?")).collect();
    assert!(lists.iter().all(|asked| asked.path.contains("since=")), "it goes on where the first one was: {lists:?}");
    wait_until("what has not changed costs nothing", || {
        github.requests().iter().any(|asked| asked.status == Some(304))
    });
}

#[test]
fn each_of_250_issues_is_queued_once_whatever_is_heard_of_them() {
    let (server, github) = (Server::start(), GitHub::start());
    let mut connection = server.connect();
    let repository = alice(&github);
    for number in 0..250 {
        repository.open(&format!("Number {number}"), &["task:fix"]);
    }
    let first = daemon(&server, &github).start();
    let _second = daemon(&server, &github).named("second").start();
    github.hook(&format!("http://127.0.0.1:{}/webhook/github", first.port()), SECRET);
    wait_until("they are queued", || ids(&mut connection).len() == 250);
    github.mislay(Mishaps { lost: 5, doubled: 3, forged: 4 }, 7);
    github.hold();
    for number in 250..300 {
        let issue = repository.open(&format!("Number {number}"), &["task:fix"]);
        repository.edit(issue, "Another title", "text");
    }
    github.release(Order::Shuffled(11));
    wait_until("they are queued, too", || ids(&mut connection).len() == 300);
    wait_until("everything was delivered", || github.is_idle());
    assert!(queued(&mut connection).values().all(|count| *count == 1));
    let statuses: Vec<(bool, Option<u16>)> =
        github.deliveries().into_iter().map(|delivery| (delivery.is_forged, delivery.status)).collect();
    assert!(statuses.iter().all(|(is_forged, status)| *is_forged == (*status == Some(401))), "{statuses:?}");
    assert!(statuses.iter().any(|(_, status)| *status == Some(409)), "something was doubled");
    assert!(github.violations().is_empty(), "{:?}", github.violations());
}

#[test]
fn a_webhook_has_its_issue_looked_at_without_a_poll() {
    let (server, github) = (Server::start(), GitHub::start());
    let mut connection = server.connect();
    let repository = alice(&github);
    let daemon = daemon_that_listens(&server, &github);
    let issue = unanswered(&mut connection, &repository);
    let comment = repository.comment(issue, "Please rebase");
    let id = node_id(&repository, issue, comment);
    wait_for(&mut connection, &[&id]);
    let gone = repository.open("Gone soon", &["task:fix"]);
    wait_until("it is queued", || ids(&mut connection).contains(&format!("{gone}:fix")));
    repository.delete(gone);
    wait_for(&mut connection, &[&id]);
    assert!(daemon.metric("poppo_webhooks_total{result=\"taken\"}").unwrap() >= 3.0);
}

/// Sends a request with these headers, and answers its status.
fn post(daemon: &Daemon, headers: &[(&str, &str)], body: &str) -> u16 {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, daemon.port())).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    let mut head = "POST /webhook/github HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n".to_owned();
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    if !headers.iter().any(|(name, _)| *name == "content-length") {
        head.push_str(&format!("content-length: {}\r\n", body.len()));
    }
    stream.write_all(format!("{head}\r\n{body}").as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer.split(' ').nth(1).unwrap().parse().unwrap()
}

#[test]
fn webhooks_that_are_no_good_are_refused_and_counted() {
    let (server, github) = (Server::start(), GitHub::start());
    let mut connection = server.connect();
    let issue = alice(&github).open("Misc", &["bug"]);
    let daemon = daemon_that_listens(&server, &github);
    let body = json!({ "repository": { "full_name": REPOSITORY }, "issue": { "number": issue } }).to_string();
    let send = |event: &str, id: &str, secret: &str, body: &str| {
        let signature = signature(secret, body.as_bytes());
        let headers = [
            ("content-type", "application/json"),
            ("x-github-event", event),
            ("x-github-delivery", id),
            ("x-hub-signature-256", &signature),
        ];
        post(&daemon, &headers, body)
    };
    assert_eq!(send("issues", "1", "wrong", &body), 401);
    assert_eq!(post(&daemon, &[("x-github-event", "issues")], &body), 401);
    assert_eq!(send("push", "1", SECRET, &body), 422);
    assert_eq!(send("issues", "1", SECRET, "{\"issue\":7}"), 400);
    assert_eq!(send("ping", "1", SECRET, "{\"zen\":\"…\"}"), 200);
    let elsewhere = body.replace(REPOSITORY, "acme/other");
    assert_eq!(send("issues", "1", SECRET, &elsewhere), 202);
    let oversized = [("x-hub-signature-256", "sha256=00"), ("content-length", "5242881")];
    assert_eq!(post(&daemon, &oversized, ""), 413);
    let slow = [("x-hub-signature-256", "sha256=00"), ("content-length", "7")];
    assert_eq!(post(&daemon, &slow, ""), 408);
    assert_eq!(send("issues", "1", SECRET, &body), 202);
    assert_eq!(send("issues", "1", SECRET, &body), 409);
    assert_eq!(send("issues", "2", SECRET, &body), 409);
    let counts = [
        ("forged", 1.0),
        ("unsigned", 1.0),
        ("wrong-event", 1.0),
        ("malformed", 1.0),
        ("ping", 1.0),
        ("ignored", 1.0),
        ("too-large", 1.0),
        ("too-slow", 1.0),
        ("taken", 1.0),
        ("replayed", 2.0),
    ];
    for (result, count) in counts {
        let metric = format!("poppo_webhooks_total{{result=\"{result}\"}}");
        assert_eq!(daemon.metric(&metric), Some(count), "{result}");
    }
    assert!(ids(&mut connection).is_empty());
    assert!(!daemon.log().contains(SECRET) && !daemon.get("/metrics").1.contains(SECRET));
}

#[test]
fn without_a_secret_there_are_no_webhooks() {
    let (server, github) = (Server::start(), GitHub::start());
    alice(&github);
    let daemon = daemon(&server, &github).variable("POPPO_HTTP_WEBHOOK_SECRETS", "").start();
    assert_eq!(post(&daemon, &[("x-hub-signature-256", "sha256=00")], "{}"), 404);
}

#[test]
fn a_daemon_that_is_killed_anywhere_loses_nothing_and_doubles_nothing() {
    let (server, github) = (Server::start(), GitHub::start());
    let mut connection = server.connect();
    let repository = alice(&github);
    let mut count = 0;
    for round in 0..6 {
        for number in 0..40 {
            repository.open(&format!("Number {round}/{number}"), &["task:fix"]);
        }
        let daemon = daemon(&server, &github).named(&format!("daemon-{round}")).launch();
        let least = count + 5 * round;
        wait_until("it is at it", || ids(&mut connection).len() > least);
        daemon.kill9();
        count = ids(&mut connection).len();
    }
    let _daemon = daemon(&server, &github).start();
    wait_until("all are queued", || ids(&mut connection).len() == 240);
    assert!(queued(&mut connection).values().all(|count| *count == 1));
}

#[test]
fn whatever_github_does_everything_is_queued_in_the_end() {
    let (server, github) = (Server::start(), GitHub::start());
    let mut connection = server.connect();
    let repository = alice(&github);
    let daemon = daemon(&server, &github).start();
    let issue = unanswered(&mut connection, &repository);
    github.fault(Rule::on("GET", "/repos/acme/widgets/issues", Fault::Nonsense).times(1));
    repository.open("After nonsense", &["task:fix"]);
    daemon.wait_for_log("cannot be understood");
    wait_until("it is queued", || ids(&mut connection).len() == 1);
    github.fault(Rule::on("GET", "/repos/acme/widgets/issues/*/comments", Fault::Status(502)).times(4));
    repository.comment(issue, "Please rebase");
    daemon.wait_for_log("502");
    wait_until("it is queued", || ids(&mut connection).len() == 2);
    let faults = [Fault::Status(502), Fault::Cut, Fault::LateCut, Fault::Truncated, Fault::WrongShape];
    github.chaos(Chaos::new(poppo_tests::seed(5), 4, &faults));
    for number in 0..20 {
        repository.open(&format!("Number {number}"), &["task:fix"]);
    }
    wait_until("something went wrong", || github.requests().iter().filter(|asked| asked.fault.is_some()).count() > 8);
    github.heal();
    wait_until("all are queued", || ids(&mut connection).len() == 22);
    daemon.wait_until_ready();
    assert!(queued(&mut connection).values().all(|count| *count == 1));
    assert!(!daemon.log().contains(TOKEN));
}

#[test]
fn intake_goes_on_when_the_server_is_back() {
    let (mut server, github) = (Server::builder().no_grace().durable().start(), GitHub::start());
    let repository = alice(&github);
    let daemon = daemon(&server, &github).start();
    let first = repository.open("Before", &["task:fix"]);
    wait_for(&mut server.connect(), &[&format!("{first}:fix")]);
    server.shutdown("NOSAVE");
    let second = repository.open("Meanwhile", &["task:fix"]);
    wait_until("the daemon notices", || !daemon.readiness().0);
    server.start_again();
    wait_for(&mut server.connect(), &[&format!("{first}:fix"), &format!("{second}:fix")]);
    daemon.wait_until_ready();
}

#[test]
fn a_repository_that_is_renamed_is_followed_and_its_webhooks_are_taken() {
    let (server, github) = (Server::start(), GitHub::start());
    let mut connection = server.connect();
    let repository = alice(&github);
    repository.rename("acme/gadgets");
    let daemon = daemon_that_listens(&server, &github);
    repository.open("Crash on start", &["task:fix"]);
    wait_for(&mut connection, &["1:fix"]);
    assert!(daemon.metric("poppo_webhooks_total{result=\"taken\"}").unwrap() >= 1.0);
    assert_eq!(daemon.metric("poppo_webhooks_total{result=\"ignored\"}"), None);
}

#[test]
fn a_repository_that_is_gone_ends_its_intake_and_not_the_daemon() {
    let (server, github) = (Server::start(), GitHub::start());
    let repository = alice(&github);
    let daemon = daemon(&server, &github).start();
    repository.set_standing(Standing::Gone);
    let of_intake = |said: &Value| {
        let duties = said["duties"].as_array().unwrap().clone();
        duties.into_iter().find(|duty| duty["duty"] == "intake").unwrap()
    };
    wait_until("it has given up", || of_intake(&daemon.readiness().1)["state"] == "givenup");
    let reason = of_intake(&daemon.readiness().1)["reason"].as_str().unwrap().to_owned();
    assert!(reason.contains("GET /repos/acme/widgets"), "{reason}");
    assert_eq!(daemon.get("/healthz").0, 200);
}

#[test]
fn intake_is_off_where_it_lacks_something_and_says_so_once() {
    let (server, github) = (Server::start(), GitHub::start());
    let daemon = Daemon::builder(&server)
        .section("[duties]\nlabels = false\n[[project]]\nkey = \"p\"\nrepository = \"acme/widgets\"")
        .variable("POPPO_GITHUB_TOKEN", TOKEN)
        .variable("POPPO_GITHUB_API_URL", github.url())
        .start();
    daemon.wait_for_log("off: project.intake.authors names nobody");
    drop(daemon);
    let daemon = Daemon::builder(&server)
        .named("second")
        .section(
            "[duties]\nlabels = false\n[[project]]\nkey = \"p\"\nrepository = \"acme/widgets\"\n\
             [project.intake]\nauthors = [\"alice\"]",
        )
        .start();
    daemon.wait_for_log("off: there is no token for GitHub");
    assert_eq!(daemon.log().matches("off: there is no token for GitHub").count(), 1);
}
