//! Duty 3 of `poppo daemon`: the labels on GitHub follow where the issues stand, whatever happens to the daemon, to GitHub and
//! to the labels.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use poppo_tests::command::{self, poppo};
use poppo_tests::daemon::{Builder, Daemon};
use poppo_tests::github::{
    APP_KEY, App, Chaos, Fault, GitHub, GraphqlKind, Limits, Refusal, Request, Rule, Standing, TOKEN, Token, Violation,
};
use poppo_tests::{Connection, Random, Reply as _, Server, seed, wait_until};
use redis::Value;

const OURS: [&str; 4] = ["processing", "awaiting-response", "completed", "error"];
const REPOSITORY: &str = "acme/widgets";

/// A server, a GitHub, and what a daemon is told of them.
struct Stage {
    server: Server,
    github: GitHub,
}

impl Stage {
    fn new() -> Self {
        Self::with(GitHub::start())
    }

    fn with(github: GitHub) -> Self {
        github.allow_labels(&OURS);
        github.repository(REPOSITORY);
        Self { server: Server::start(), github }
    }

    /// So many issues, each of which has a label that is nobody's business here.
    fn open(&self, count: u64) {
        let repository = self.github.repository(REPOSITORY);
        for number in 1..=count {
            assert_eq!(repository.open("an issue", &["bug"]), number);
        }
    }

    /// A daemon that only looks after labels.
    fn daemon(&self) -> Builder {
        self.daemon_with(&format!("token = {TOKEN:?}"), "coalesce = \"0s\"\nsweep = \"10s\"")
    }

    fn daemon_with(&self, github: &str, labels: &str) -> Builder {
        let duties = "[duties]\nliveness = false\nrepair = false\nintake = false\nambassador = false\nview = false";
        let (url, name) = (self.github.url(), REPOSITORY);
        Daemon::builder(&self.server).section(&format!(
            "{duties}\n[github]\napi-url = {url:?}\n{github}\n[[project]]\nkey = \"p\"\nrepository = {name:?}\n\
             [project.labels]\n{labels}"
        ))
    }

    fn labels(&self, number: u64) -> Vec<String> {
        self.github.repository(REPOSITORY).labels(number)
    }

    /// What an issue's labels should be: `bug`, and the one of its status.
    fn wanted(&self, connection: &mut Connection, number: u64) -> Vec<String> {
        let status = status(connection, number);
        let mut labels = vec!["bug".to_owned()];
        labels.extend(OURS.iter().find(|label| **label == status).map(|label| (*label).to_owned()));
        labels.sort();
        labels
    }

    #[track_caller]
    fn wait_for(&self, number: u64, expected: &[&str]) {
        wait_until(&format!("issue {number} has {expected:?}"), || self.labels(number) == expected);
    }

    /// Waits until every issue's labels are as it stands, and confirmed.
    #[track_caller]
    fn settled(&self, count: u64) {
        let mut connection = self.server.connect();
        wait_until("nothing is in the outbox", || is_done(&mut connection));
        for number in 1..=count {
            assert_eq!(self.labels(number), self.wanted(&mut connection, number), "issue {number}");
        }
    }

    #[track_caller]
    fn assert_well_behaved(&self) {
        let violations = self.github.violations();
        assert!(violations.is_empty(), "{violations:#?}");
    }

    /// The requests so far, but for those that doctor and daemons begin with.
    fn requests(&self) -> Vec<Request> {
        self.github.requests()
    }
}

/// Cases that each wait most of the time, side by side.
fn each<T: Send>(cases: impl IntoIterator<Item = T>, case: impl Fn(T) + Sync) {
    std::thread::scope(|scope| {
        for one in cases {
            scope.spawn(|| case(one));
        }
    });
}

/// Where an issue stands; nothing where it is unknown.
fn status(connection: &mut Connection, number: u64) -> String {
    let issue = connection.cmd(&format!("POPPO.GET p {number}"));
    if issue == Value::Nil { String::new() } else { issue.field("status") }
}

/// Whether all labels are confirmed.
fn is_done(connection: &mut Connection) -> bool {
    connection.ok("POPPO.LABELS p").rows().is_empty()
}

/// Moves an issue on: out of whatever it is, into something else.
fn step(connection: &mut Connection, random: &mut Random, number: u64) {
    if status(connection, number) == "processing" {
        let outcomes = ["completed", "error", "awaiting-response", "cancelled"];
        connection.ok(&format!("POPPO.CHECKIN p {number} w STATUS {}", random.pick(&outcomes)));
    } else {
        connection.ok(&format!("POPPO.CHECKOUT p {number} w"));
    }
}

#[test]
fn a_label_follows_its_issue_and_leaves_the_others_alone() {
    let stage = Stage::new();
    stage.open(3);
    let daemon = stage.daemon().start();
    let mut connection = stage.server.connect();
    connection.ok("POPPO.CHECKOUT p 1 w");
    stage.wait_for(1, &["bug", "processing"]);
    connection.ok("POPPO.CHECKIN p 1 w STATUS awaiting-response");
    stage.wait_for(1, &["awaiting-response", "bug"]);
    connection.ok("POPPO.CHECKOUT p 1 w");
    stage.wait_for(1, &["bug", "processing"]);
    connection.ok("POPPO.CHECKIN p 1 w STATUS error");
    stage.wait_for(1, &["bug", "error"]);
    connection.ok("POPPO.CHECKOUT p 1 w");
    connection.ok("POPPO.CHECKIN p 1 w STATUS completed");
    stage.wait_for(1, &["bug", "completed"]);
    connection.ok("POPPO.CHECKOUT p 1 w");
    connection.ok("POPPO.CHECKIN p 1 w STATUS cancelled");
    stage.wait_for(1, &["bug"]);
    stage.settled(3);
    assert_eq!(stage.labels(2), ["bug"]);
    assert_eq!(stage.github.repository(REPOSITORY).label("error").unwrap().color, "d73a4a");
    // Counted once the server knows of the label; those that had changed again by then are not.
    let lag = || daemon.metric("poppo_label_lag_seconds_count{project=\"p\"}");
    wait_until("a lag is counted", || lag().is_some_and(|count| count >= 1.0));
    assert!(daemon.metric("poppo_github_budget_left{account=\"token\",resource=\"graphql\"}").unwrap() > 4000.0);
    assert_eq!(daemon.end(), Some(0));
    stage.assert_well_behaved();
}

#[test]
fn names_are_configurable_and_labels_that_are_there_are_used() {
    let stage = Stage::new();
    stage.github.allow_labels(&["in arbeit", "awaiting-response", "completed", "error"]);
    stage.open(1);
    stage.github.repository(REPOSITORY).create_label("Completed", "123456");
    stage.github.forget();
    let labels = "processing = { name = \"in arbeit\", color = \"00ff00\" }\ncoalesce = \"0s\"";
    let _daemon = stage.daemon_with(&format!("token = {TOKEN:?}"), labels).start();
    let mut connection = stage.server.connect();
    connection.ok("POPPO.CHECKOUT p 1 w");
    stage.wait_for(1, &["bug", "in arbeit"]);
    connection.ok("POPPO.CHECKIN p 1 w STATUS completed");
    stage.wait_for(1, &["Completed", "bug"]);
    let repository = stage.github.repository(REPOSITORY);
    assert_eq!(repository.label("completed").unwrap().color, "123456", "the colour is theirs");
    assert_eq!(repository.label("in arbeit").unwrap().color, "00ff00");
    stage.assert_well_behaved();
}

#[test]
fn a_storm_costs_few_requests() {
    let stage = Stage::new();
    let count = 80;
    stage.open(count);
    let daemon = stage.daemon_with(&format!("token = {TOKEN:?}"), "coalesce = \"2s\"").start();
    let mut connection = stage.server.connect();
    let mut random = Random::new(seed(1));
    let start = Instant::now();
    for _ in 0..4 {
        for number in 1..=count {
            step(&mut connection, &mut random, number);
        }
        // A storm of some seconds, not of a moment: several flushes.
        std::thread::sleep(Duration::from_millis(1100));
    }
    // One for each time of gathering, and one for what came after the last.
    let flushes = 2 + start.elapsed().as_secs() / 2;
    stage.settled(count);
    let requests = stage.requests();
    let lines: Vec<String> = requests.iter().map(|one| format!("{} ({} fields)", one.line(), one.fields)).collect();
    // Two labels of each issue at most, twenty labels in a request, and a few to begin with.
    let enough = usize::try_from(flushes * 2 * count / 20 + 10).unwrap();
    assert!(requests.len() <= enough, "{} requests, more than {enough}: {lines:#?}", requests.len());
    assert!(requests.iter().all(|request| request.fields <= 20), "{lines:#?}");
    assert_eq!(daemon.end(), Some(0));
    stage.assert_well_behaved();
}

#[test]
fn a_flush_costs_one_request_for_twenty_labels_and_a_few_more() {
    let stage = Stage::new();
    let count = 80;
    stage.open(count);
    let daemon = stage.daemon_with(&format!("token = {TOKEN:?}"), "coalesce = \"2s\"").start();
    let mut connection = stage.server.connect();
    for number in 1..=count {
        connection.ok(&format!("POPPO.CHECKOUT p {number} w"));
    }
    stage.settled(count);
    let before = stage.requests().len();
    for number in 1..=count {
        connection.ok(&format!("POPPO.CHECKIN p {number} w STATUS completed"));
    }
    stage.settled(count);
    let cost = stage.requests().len() - before;
    let changed = 2 * usize::try_from(count).unwrap();
    assert!(cost <= changed / 20 + 10, "{cost} requests");
    assert!(daemon.metric("poppo_label_changes_total{project=\"p\"}").unwrap() >= 240.0);
    stage.assert_well_behaved();
}

#[test]
fn what_a_sweep_found_is_mended_although_github_was_away_then() {
    let stage = Stage::new();
    stage.open(3);
    let daemon = stage.daemon().start();
    let repository = stage.github.repository(REPOSITORY);
    // Its lists are answered, and nothing else, for as often as one request is repeated.
    stage.github.fault(Rule::on("POST", "/graphql", Fault::Status(502)).times(3));
    stage.github.fault(Rule::on("DELETE", "/repos/**", Fault::Status(502)).times(3));
    repository.add_labels(1, &["processing"]);
    repository.add_labels(2, &["processing"]);
    stage.wait_for(1, &["bug"]);
    stage.wait_for(2, &["bug"]);
    assert!(daemon.log().contains("GitHub is not available"));
    stage.assert_well_behaved();
}

#[test]
fn daemons_that_are_killed_lose_nothing() {
    let stage = Stage::new();
    let count = 40;
    stage.open(count);
    let mut random = Random::new(seed(1));
    let mut connection = stage.server.connect();
    let mut daemon = stage.daemon().start();
    for _ in 0..4 {
        for _ in 0..60 {
            let number = 1 + random.below(usize::try_from(count).unwrap()) as u64;
            step(&mut connection, &mut random, number);
        }
        let requests = stage.requests().len() + random.below(6);
        wait_until("it is at it", || stage.requests().len() >= requests || is_done(&mut connection));
        daemon.kill9();
        daemon = stage.daemon().start();
    }
    stage.settled(count);
    assert_eq!(daemon.end(), Some(0));
    stage.assert_well_behaved();
}

#[test]
fn one_of_two_daemons_writes_and_the_other_takes_over() {
    let stage = Stage::new();
    stage.open(20);
    let first = stage.daemon().named("first").top("host = \"a\"").start();
    let second = stage.daemon().named("second").top("host = \"b\"").start();
    second.wait_for_log("standing by");
    let mut connection = stage.server.connect();
    connection.ok("POPPO.CHECKOUT p 1 w");
    stage.wait_for(1, &["bug", "processing"]);
    assert!(!second.log().contains("writes the labels of acme/widgets\""));
    // Suddenly: the other has to wait until it is silent for long enough.
    first.kill9();
    connection.ok("POPPO.CHECKIN p 1 w STATUS completed");
    stage.wait_for(1, &["bug", "completed"]);
    let third = stage.daemon().named("third").top("host = \"c\"").start();
    third.wait_for_log("standing by");
    // In good order: the right is given back.
    assert_eq!(second.end(), Some(0));
    connection.ok("POPPO.CHECKOUT p 1 w");
    stage.wait_for(1, &["bug", "processing"]);
    stage.assert_well_behaved();
}

#[test]
fn a_daemon_that_loses_the_right_to_write_stops_writing() {
    let stage = Stage::new();
    stage.open(5);
    let daemon = stage.daemon().start();
    let mut connection = stage.server.connect();
    connection.ok("POPPO.CHECKOUT p 1 w");
    stage.wait_for(1, &["bug", "processing"]);
    connection.ok("POPPO.EVICT poppo:daemons:acme/widgets 1");
    connection.ok("POPPO.CHECKOUT poppo:daemons:acme/widgets 1 somebody-else");
    daemon.wait_for_log("the right to write the labels of acme/widgets");
    daemon.wait_for_log("standing by");
    let before = stage.requests().len();
    connection.ok("POPPO.CHECKOUT p 2 w");
    // Another daemon would have written; this one has looked for its chance meanwhile.
    for _ in 0..2 {
        let looks = |connection: &mut Connection| connection.info("commandstats", "cmdstat_POPPO.CHECKOUT");
        let seen = looks(&mut connection);
        wait_until("it has looked again", || looks(&mut connection) != seen);
    }
    assert_eq!(stage.requests().len(), before);
    assert_eq!(stage.labels(2), ["bug"]);
    connection.ok("POPPO.CHECKIN poppo:daemons:acme/widgets 1 somebody-else STATUS completed");
    stage.wait_for(2, &["bug", "processing"]);
}

#[test]
fn a_sweep_mends_what_others_changed_in_both_directions() {
    let stage = Stage::new();
    stage.open(6);
    let repository = stage.github.repository(REPOSITORY);
    // Before any daemon: of an issue that nobody holds, and of one that the project does not know but for its label.
    repository.add_labels(4, &["processing"]);
    repository.add_labels(5, &["completed", "processing"]);
    let mut connection = stage.server.connect();
    connection.ok("POPPO.CHECKOUT p 1 w");
    connection.ok("POPPO.CHECKOUT p 2 w");
    connection.ok("POPPO.CHECKIN p 2 w STATUS error");
    let daemon = stage.daemon().start();
    stage.wait_for(4, &["bug"]);
    stage.wait_for(5, &["bug", "completed"]);
    stage.settled(2);
    repository.remove_label(1, "processing");
    repository.add_labels(1, &["completed"]);
    repository.remove_label(2, "error");
    repository.add_labels(6, &["processing", "help wanted"]);
    stage.wait_for(1, &["bug", "processing"]);
    stage.wait_for(2, &["bug", "error"]);
    stage.wait_for(6, &["bug", "help wanted"]);
    // Counted when GitHub has answered, which is later than that it has done so.
    wait_until("they are counted", || daemon.metric("poppo_labels_drifted_total{project=\"p\"}") >= Some(4.0));
    stage.assert_well_behaved();
}

#[test]
fn a_label_that_somebody_deletes_comes_back() {
    let stage = Stage::new();
    stage.open(3);
    let _daemon = stage.daemon().start();
    let mut connection = stage.server.connect();
    connection.ok("POPPO.CHECKOUT p 1 w");
    stage.wait_for(1, &["bug", "processing"]);
    stage.github.repository(REPOSITORY).delete_label("processing");
    connection.ok("POPPO.CHECKOUT p 2 w");
    stage.wait_for(2, &["bug", "processing"]);
    stage.wait_for(1, &["bug", "processing"]);
    stage.assert_well_behaved();
}

#[test]
fn issues_that_are_not_there_hold_up_no_others() {
    let stage = Stage::new();
    stage.open(6);
    let repository = stage.github.repository(REPOSITORY);
    repository.delete(3);
    repository.transfer(4, &stage.github.repository("acme/elsewhere"));
    assert_eq!(repository.open_pull_request("a pull request"), 7);
    let daemon = stage.daemon().start();
    let mut connection = stage.server.connect();
    for number in [1, 3, 4, 7, 999] {
        connection.ok(&format!("POPPO.CHECKOUT p {number} w"));
    }
    stage.wait_for(1, &["bug", "processing"]);
    stage.wait_for(7, &["processing"]);
    wait_until("nothing is in the outbox", || is_done(&mut connection));
    daemon.wait_for_log("is not on GitHub");
    // One that is known, and goes.
    repository.delete(1);
    connection.ok("POPPO.CHECKIN p 1 w STATUS completed");
    wait_until("nothing is in the outbox", || is_done(&mut connection));
    assert!(daemon.readiness().0);
    stage.assert_well_behaved();
}

#[test]
fn whatever_github_answers_the_labels_are_right_in_the_end() {
    let stage = Stage::new();
    let count = 30;
    stage.open(count);
    let daemon = stage.daemon().start();
    let faults = [
        Fault::Status(500),
        Fault::Status(502),
        Fault::LateStatus(502),
        Fault::Cut,
        Fault::LateCut,
        Fault::Nonsense,
        Fault::Truncated,
        Fault::WrongShape,
        Fault::GraphqlField(1, GraphqlKind::Internal),
        Fault::GraphqlField(0, GraphqlKind::NotFound),
        Fault::GraphqlField(2, GraphqlKind::Forbidden),
        Fault::Graphql(GraphqlKind::Internal),
    ];
    stage.github.chaos(Chaos::new(7, 3, &faults));
    let mut connection = stage.server.connect();
    let mut random = Random::new(seed(1));
    for number in (1..=count).chain(1..=count) {
        step(&mut connection, &mut random, number);
    }
    let before = stage.requests().len();
    wait_until("some went wrong", || stage.requests().len() > before + 4 || is_done(&mut connection));
    stage.github.heal();
    stage.settled(count);
    daemon.wait_until_ready();
    assert!(!stage.github.violations().iter().any(|breach| breach.violation == Violation::OverBudget));
    let foreign = |breach: &poppo_tests::github::Breach| matches!(breach.violation, Violation::ForeignLabel(_));
    assert!(!stage.github.violations().iter().any(foreign));
}

#[test]
fn each_refusal_has_a_sentence_and_passes() {
    let cases = [
        (Fault::Status(401), "GitHub does not take the credential"),
        (Fault::Status(403), "GitHub does not allow"),
        (Fault::Status(422), "GitHub refuses"),
        (Fault::Status(500), "GitHub is not available"),
        (Fault::Nonsense, "cannot be understood"),
        (Fault::RetryAfter(429, 2), "GitHub's limit is reached"),
    ];
    each(cases, |(fault, sentence)| {
        let stage = Stage::new();
        stage.open(1);
        stage.github.fault(Rule::everywhere(fault).times(6));
        let daemon = stage.daemon().launch();
        let mut connection = stage.server.connect();
        connection.ok("POPPO.CHECKOUT p 1 w");
        daemon.wait_for_log(sentence);
        stage.github.heal();
        stage.wait_for(1, &["bug", "processing"]);
        assert!(!daemon.log().contains(TOKEN));
    });
}

#[test]
fn a_repository_that_is_gone_ends_its_duty_and_not_the_daemon() {
    each([Standing::Gone, Standing::WithoutIssues, Standing::Blocked], |standing| {
        let stage = Stage::new();
        stage.open(2);
        let daemon = stage.daemon().start();
        let mut connection = stage.server.connect();
        connection.ok("POPPO.CHECKOUT p 1 w");
        stage.wait_for(1, &["bug", "processing"]);
        stage.github.repository(REPOSITORY).set_standing(standing);
        connection.ok("POPPO.CHECKOUT p 2 w");
        if standing == Standing::WithoutIssues {
            // The repository itself is there; it says so until somebody turns them on again.
            wait_until("it is not ready", || !daemon.readiness().0);
            stage.github.repository(REPOSITORY).set_standing(Standing::Active);
            stage.wait_for(2, &["bug", "processing"]);
            return;
        }
        daemon.wait_for_log("stopped: ");
        let (is_ready, said) = daemon.readiness();
        assert!(!is_ready && said.to_string().contains("givenup"), "{said}");
        assert_eq!(daemon.get("/healthz").0, 200);
        connection.ok("POPPO.CHECKIN p 2 w STATUS completed");
    });
}

#[test]
fn a_repository_that_is_renamed_is_followed() {
    let stage = Stage::new();
    stage.open(2);
    let repository = stage.github.repository(REPOSITORY);
    repository.rename("acme/gadgets");
    let _daemon = stage.daemon().start();
    let mut connection = stage.server.connect();
    connection.ok("POPPO.CHECKOUT p 1 w");
    wait_until("the label is there", || repository.labels(1) == ["bug", "processing"]);
    repository.rename("acme/gizmos");
    connection.ok("POPPO.CHECKOUT p 2 w");
    wait_until("the label is there", || repository.labels(2) == ["bug", "processing"]);
}

#[test]
fn the_budget_that_github_announces_is_kept() {
    let limits = Limits { core: 60, graphql: 10, window: Duration::from_secs(12), ..Limits::default() };
    let stage = Stage::with(GitHub::builder().limits(limits).start());
    let count = 60;
    stage.open(count);
    let _daemon = stage.daemon().start();
    let mut connection = stage.server.connect();
    let mut random = Random::new(seed(1));
    for _ in 0..3 {
        for number in 1..=count {
            step(&mut connection, &mut random, number);
        }
        stage.settled(count);
    }
    let operations = stage.requests().iter().filter(|request| request.path == "/graphql").count();
    assert!(operations > 10, "{operations} are no more than a window has");
    assert!(!stage.requests().iter().any(|request| matches!(request.status, Some(403 | 429))), "nothing is refused");
    stage.assert_well_behaved();
}

/// A GitHub that takes so few points that a flush of 60 issues is too much, and says so in that way.
fn stingy(refusal: Refusal) -> Stage {
    let retry_after = Duration::from_secs(2);
    let limits = Limits { graphql_points: 12, retry_after, refusal, ..Limits::default() };
    let stage = Stage::with(GitHub::builder().limits(limits).start());
    stage.open(60);
    stage
}

#[test]
fn secondary_limits_are_waited_for_however_they_are_told() {
    each([Refusal::Forbidden, Refusal::TooManyRequests, Refusal::NothingRemains], |refusal| {
        let stage = stingy(refusal);
        let _daemon = stage.daemon().start();
        let mut connection = stage.server.connect();
        for number in 1..=60 {
            connection.ok(&format!("POPPO.CHECKOUT p {number} w"));
        }
        wait_until("a limit is reached", || {
            stage.requests().iter().any(|request| matches!(request.status, Some(403 | 429)))
        });
        stage.github.limit(|limits| limits.graphql_points = 2_000);
        stage.settled(60);
        stage.assert_well_behaved();
    });
}

#[test]
fn where_github_does_not_say_for_how_long_nothing_is_sent_for_a_while() {
    for refusal in [Refusal::MessageOnly, Refusal::GraphqlError] {
        let stage = stingy(refusal);
        let daemon = stage.daemon().start();
        let mut connection = stage.server.connect();
        for number in 1..=60 {
            connection.ok(&format!("POPPO.CHECKOUT p {number} w"));
        }
        daemon.wait_for_log("GitHub's limit is reached");
        let (is_ready, said) = daemon.readiness();
        assert!(!is_ready && said.to_string().contains("waits for 1m"), "{said}");
        stage.assert_well_behaved();
    }
}

#[test]
fn an_app_gets_a_token_for_its_installation() {
    let app = App { id: 7, slug: "poppo".to_owned(), installation: 99, owner: "acme".to_owned() };
    let stage = Stage::with(GitHub::builder().app(app).start());
    stage.open(2);
    let key = stage.server.dir().join("app.pem");
    std::fs::write(&key, APP_KEY).unwrap();
    let daemon = stage.daemon_with(&format!("app-id = 7\napp-key-file = {key:?}"), "coalesce = \"0s\"").start();
    let mut connection = stage.server.connect();
    connection.ok("POPPO.CHECKOUT p 1 w");
    stage.wait_for(1, &["bug", "processing"]);
    let by: BTreeSet<String> = stage.requests().into_iter().filter_map(|request| request.by).collect();
    assert_eq!(by, BTreeSet::from(["poppo[bot]".to_owned()]));
    let minted = || stage.requests().iter().filter(|request| request.path.ends_with("/access_tokens")).count();
    assert_eq!(minted(), 1);
    // An hour later its token is over; the daemon's clock has not seen that hour.
    stage.github.advance(Duration::from_secs(3_601));
    connection.ok("POPPO.CHECKOUT p 2 w");
    stage.wait_for(2, &["bug", "processing"]);
    assert_eq!(minted(), 2);
    for text in [daemon.log(), daemon.get("/metrics").1] {
        assert!(!text.contains("ghs_") && !text.contains("PRIVATE KEY"), "{text}");
    }
    stage.assert_well_behaved();
}

#[test]
fn an_enterprise_server_has_its_apis_elsewhere() {
    let stage = Stage::with(GitHub::builder().enterprise().start());
    stage.open(3);
    let _daemon = stage.daemon().start();
    let mut connection = stage.server.connect();
    for number in 1..=3 {
        connection.ok(&format!("POPPO.CHECKOUT p {number} w"));
    }
    for number in 1..=3 {
        stage.wait_for(number, &["bug", "processing"]);
    }
    stage.assert_well_behaved();
}

#[test]
fn without_graphql_rest_does_it() {
    let stage = Stage::new();
    stage.open(3);
    stage.github.fault(Rule::on("POST", "/graphql", Fault::Status(403)));
    let daemon = stage.daemon().start();
    let mut connection = stage.server.connect();
    for number in 1..=3 {
        connection.ok(&format!("POPPO.CHECKOUT p {number} w"));
    }
    stage.wait_for(3, &["bug", "processing"]);
    connection.ok("POPPO.CHECKIN p 3 w STATUS error");
    stage.wait_for(3, &["bug", "error"]);
    stage.settled(3);
    assert!(daemon.readiness().0);
    assert!(daemon.log().contains("one by one"));
    stage.assert_well_behaved();
}

#[test]
fn a_github_that_hangs_delays_no_checkout_and_no_end() {
    let stage = Stage::new();
    stage.open(2);
    let daemon = stage.daemon().start();
    stage.github.fault(Rule::everywhere(Fault::Hang));
    let mut connection = stage.server.connect();
    connection.ok("POPPO.CHECKOUT p 1 w");
    let before = stage.requests().len();
    wait_until("GitHub is asked", || {
        stage.requests().len() > before || stage.requests().iter().any(|one| one.status.is_none())
    });
    connection.ok("POPPO.CHECKIN p 1 w STATUS completed");
    connection.ok("POPPO.CHECKOUT p 2 w");
    assert_eq!(daemon.end(), Some(0));
}

#[test]
fn without_a_token_it_is_off_and_says_so_once() {
    let stage = Stage::new();
    stage.open(1);
    let daemon = stage.daemon_with("", "coalesce = \"0s\"").start();
    let mut connection = stage.server.connect();
    connection.ok("POPPO.CHECKOUT p 1 w");
    assert_eq!(
        daemon.log().matches("there is no token for GitHub").count(),
        1 + usize::from(daemon.log().contains("repairs are not told"))
    );
    let (is_ready, said) = daemon.readiness();
    assert!(is_ready && said.to_string().contains("there is no token for GitHub"), "{said}");
    assert!(stage.requests().is_empty());
}

#[test]
fn tokens_are_never_seen() {
    let secret = "ghp_averysecrettoken";
    let stage = Stage::with(GitHub::builder().token(Token::of("robot", secret)).start());
    stage.open(2);
    stage.github.chaos(Chaos::new(3, 2, &[Fault::Status(401), Fault::Status(403), Fault::Nonsense, Fault::Cut]));
    let daemon =
        stage.daemon_with(&format!("token = {secret:?}"), "coalesce = \"0s\"").variable("RUST_LOG", "trace").launch();
    let mut connection = stage.server.connect();
    connection.ok("POPPO.CHECKOUT p 1 w");
    let before = stage.requests().len();
    wait_until("GitHub is asked", || stage.requests().len() > before + 3);
    stage.github.heal();
    stage.wait_for(1, &["bug", "processing"]);
    let mut doctor = poppo(&stage.server, &["doctor", "--config"]);
    doctor.arg(stage.server.dir().join("daemon.toml"));
    let output = command::output(doctor);
    let texts = [
        daemon.log(),
        daemon.get("/metrics").1,
        daemon.get("/readyz").1,
        String::from_utf8_lossy(&output.stdout).into_owned(),
        String::from_utf8_lossy(&output.stderr).into_owned(),
    ];
    for text in texts {
        assert!(!text.contains(secret), "{text}");
    }
}

#[test]
fn doctor_says_what_is_wrong_with_github() {
    let stage = Stage::with(GitHub::builder().token(Token::of("reader", "read-only").read_only()).start());
    stage.open(1);
    let checks = |token: &str| {
        stage.daemon_with(&format!("token = {token:?}"), "").command();
        let mut command = poppo(&stage.server, &["--json", "doctor", "--config"]);
        command.arg(stage.server.dir().join("daemon.toml"));
        let output = command::output(command);
        let answer: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        answer["checks"].as_array().unwrap().clone()
    };
    let state = |checks: &[serde_json::Value], name: &str| {
        let check = checks.iter().find(|check| check["check"] == name);
        check.map(|check| check["state"].as_str().unwrap().to_owned()).unwrap_or_default()
    };
    let before = checks(TOKEN);
    for (name, expected) in
        [("github", "ok"), ("permission", "ok"), ("labels", "warning"), ("behind", "ok"), ("writer", "warning")]
    {
        assert_eq!(state(&before, name), expected, "{name}: {before:#?}");
    }
    assert_eq!(state(&checks("wrong"), "github"), "failed");
    stage.github.repository(REPOSITORY).set_standing(Standing::Archived);
    assert_eq!(state(&checks(TOKEN), "permission"), "failed");
    stage.github.repository(REPOSITORY).set_standing(Standing::Active);
    let _daemon = stage.daemon().start();
    let mut connection = stage.server.connect();
    connection.ok("POPPO.CHECKOUT p 1 w");
    stage.wait_for(1, &["bug", "processing"]);
    stage.settled(1);
    let after = checks(TOKEN);
    for name in ["github", "permission", "labels", "behind", "writer"] {
        assert_eq!(state(&after, name), "ok", "{name}: {after:#?}");
    }
}
