//! What operators are told is true: the metrics of `docs/operations.md`, the dashboard and the alerts are served, its files are
//! there, its configuration is taken, and its user for the daemon may do what the daemon does.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "in a test a panic is the report"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::process::{Command, Output, Stdio};

use poppo_tests::command::bare;
use poppo_tests::daemon::Daemon;
use poppo_tests::github::{Fault, GitHub, Rule, TOKEN};
use poppo_tests::transcript::show;
use poppo_tests::{Connection, Reply as _, Server, artifacts, wait_until};
use serde_json::Value;

const PAGE: &str = "docs/operations.md";
const PAGE_IN_JAPANESE: &str = "docs/operations.ja.md";
const MIGRATION: &str = "docs/migration.md";
const MIGRATION_IN_JAPANESE: &str = "docs/migration.ja.md";
const ALERTS: &str = "docs/operations/alerts.yml";
const DASHBOARD: &str = "docs/operations/grafana.json";
const UNIT: &str = "docs/operations/poppo-daemon.service";
const EXAMPLE: &str = "poppo.toml.example";

const REPOSITORY: &str = "acme/widgets";

fn document(name: &str) -> String {
    std::fs::read_to_string(artifacts::workspace().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// What has a daemon serve the older programs.
const VIEW: &str = "legacy-view = \"poppo\"";
/// What has it make tasks of alice's issues and comments.
const INTAKE: &str = "[project.intake]\nauthors = [\"alice\"]\npoll = \"1s\"\nagain = \"1s\"";
const WEBHOOK_SECRETS: &str = "POPPO_HTTP_WEBHOOK_SECRETS";
const SECRET: &str = "sesame";

/// A project whose labels are kept, with these settings beside that.
fn project(github: &GitHub, settings: &[&str]) -> String {
    github.allow_labels(&["processing", "awaiting-response", "completed", "error"]);
    github.repository(REPOSITORY);
    let url = github.url();
    format!(
        "[github]\napi-url = {url:?}\ntoken = {TOKEN:?}\n\
         [[project]]\nkey = {REPOSITORY:?}\nrepository = {REPOSITORY:?}\n{}",
        settings.join("\n")
    )
}

/// Has GitHub tell a daemon what happens.
fn hook(github: &GitHub, daemon: &Daemon) {
    github.hook(&format!("http://127.0.0.1:{}/webhook/github", daemon.port()), SECRET);
}

// --- metrics ---------------------------------------------------------------------------------------------------------

/// A metric: its type, and the labels that it is told apart by.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Metric {
    kind: String,
    labels: BTreeSet<String>,
}

/// Each metric that is served, by the name under which Prometheus knows it, with the labels of its samples.
fn served(text: &str) -> BTreeMap<String, Metric> {
    let mut metrics = BTreeMap::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').expect("a name and a type");
            let name = if kind == "counter" { format!("{name}_total") } else { name.to_owned() };
            metrics.insert(name, Metric { kind: kind.to_owned(), labels: BTreeSet::new() });
        } else if !line.starts_with('#') {
            let name = line.split(['{', ' ']).next().unwrap_or_default();
            let metric = metrics.get_mut(family(name)).unwrap_or_else(|| panic!("{line:?} is of no family"));
            let labels =
                line.split_once('{').and_then(|(_, rest)| rest.split_once('}')).map_or("", |(labels, _)| labels);
            let names = labels.split(',').filter_map(|label| label.split_once("=\"")).map(|(name, _)| name);
            metric.labels.extend(names.filter(|name| *name != "le").map(str::to_owned));
        }
    }
    metrics
}

/// The metric that a sample belongs to.
fn family(sample: &str) -> &str {
    ["_bucket", "_count", "_sum"].iter().find_map(|suffix| sample.strip_suffix(suffix)).unwrap_or(sample)
}

/// All words of a text that name metrics.
fn named(text: &str) -> BTreeSet<&str> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    words.filter(|word| word.strip_prefix("poppo_").is_some_and(|rest| !rest.is_empty())).map(family).collect()
}

/// The rows of the page's table of metrics.
fn described(page: &str) -> BTreeMap<String, Metric> {
    let (_, table) = page.split_once("<!-- metrics -->").expect("the table begins");
    let (table, _) = table.split_once("<!-- /metrics -->").expect("the table ends");
    let rows = table.lines().filter(|line| line.starts_with("| `poppo_"));
    rows.map(|row| {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let labels = cells[3].split(", ").map(|label| label.trim_matches('`').to_owned());
        let metric = Metric { kind: cells[2].to_owned(), labels: labels.filter(|label| !label.is_empty()).collect() };
        assert!(!cells[4].is_empty(), "{row} says nothing");
        (cells[1].trim_matches('`').to_owned(), metric)
    })
    .collect()
}

/// Has each metric that is shown only once something was counted, count something.
fn have_all_counted(server: &Server, github: &GitHub, daemon: &Daemon) {
    hook(github, daemon);
    github.repository(REPOSITORY).by("alice").open("an issue", &["task:fix"]);
    let mut connection = server.connect();
    let mut worker = Command::new("sleep").arg("1000").stdin(Stdio::null()).spawn().unwrap();
    connection.ok(&format!("POPPO.CHECKOUT {REPOSITORY} 1 w HOST h PID {}", worker.id()));
    let of_project = format!("{{project=\"{REPOSITORY}\"}}");
    wait_until("the worker is watched", || daemon.metric(&format!("poppo_watched_processes{of_project}")) == Some(1.0));
    worker.kill().unwrap();
    worker.wait().unwrap();
    connection.ok(&format!("POPPO.ENQUEUE {REPOSITORY} 2 PRIORITY high"));
    connection.ok(&format!("HSET {REPOSITORY}:issue:status:3 status processing processId by-hand"));
    connection.ok(&format!("SADD {REPOSITORY}:issues:processing 3"));
    ask(&mut connection);
    let answered = format!("{{project=\"{REPOSITORY}\",action=\"heartbeat\",result=\"done\"}}");
    let late = [
        taken_in("issue", "queued"),
        format!("poppo_intake_lag_seconds_count{of_project}"),
        format!("poppo_intake_last_poll_timestamp_seconds{of_project}"),
        "poppo_webhooks_total{result=\"taken\"}".to_owned(),
        format!("poppo_exit_report_seconds_count{of_project}"),
        format!("poppo_view_adopted_total{of_project}"),
        format!("poppo_ambassador_requests_total{answered}"),
        "poppo_github_retries_total{kind=\"read\"}".to_owned(),
    ];
    for name in late {
        wait_until(&format!("{name} is shown"), || daemon.metric(&name).is_some());
    }
}

/// How many issues or comments became that.
fn taken_in(kind: &str, result: &str) -> String {
    format!("poppo_intake_total{{project=\"{REPOSITORY}\",kind=\"{kind}\",result=\"{result}\"}}")
}

/// A request as the older programs send it.
fn ask(connection: &mut Connection) {
    let request = r#"{"requestId":"r","action":"heartbeat","processId":"w"}"#;
    wait_until("a daemon listens", || connection.call(&["PUBLISH", "mirin-requests", request]).number() == 1);
}

#[test]
fn the_metrics_that_are_described_are_those_that_are_served() {
    let (server, github) = (Server::start(), GitHub::start());
    let sections = project(&github, &[VIEW, INTAKE]);
    github.fault(Rule::on("GET", "/repos/**", Fault::Status(502)).times(1));
    let daemon = Daemon::builder(&server).top("host = \"h\"").section(&sections).variable(WEBHOOK_SECRETS, SECRET);
    let daemon = daemon.start();
    have_all_counted(&server, &github, &daemon);
    let (status, text) = daemon.get("/metrics");
    assert_eq!(status, 200);
    let (served, page) = (served(&text), document(PAGE));
    let in_japanese = described(&document(PAGE_IN_JAPANESE));
    let described = described(&page);
    assert_eq!(in_japanese, described);
    let kinds = |metrics: &BTreeMap<String, Metric>| -> BTreeMap<String, String> {
        metrics.iter().map(|(name, metric)| (name.clone(), metric.kind.clone())).collect()
    };
    assert_eq!(kinds(&described), kinds(&served));
    for (name, metric) in &served {
        let labels = &described[name].labels;
        assert!(metric.labels.is_empty() || metric.labels == *labels, "{name} has the labels {:?}", metric.labels);
    }
    for name in [PAGE, PAGE_IN_JAPANESE, ALERTS, DASHBOARD] {
        let text = document(name);
        let unknown: Vec<&str> = named(&text).into_iter().filter(|name| !served.contains_key(*name)).collect();
        assert!(unknown.is_empty(), "{name} names {unknown:?}, which no daemon serves");
    }
}

#[test]
fn the_dashboard_shows_every_metric_and_its_panels_lie_side_by_side() {
    let text = document(DASHBOARD);
    let shown = named(&text);
    let missing: Vec<String> = described(&document(PAGE)).into_keys().filter(|name| !shown.contains(&**name)).collect();
    assert!(missing.is_empty(), "nothing shows {missing:?}");
    let dashboard: Value = serde_json::from_str(&text).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let ids: BTreeSet<u64> = panels.iter().map(|panel| panel["id"].as_u64().unwrap()).collect();
    assert_eq!(ids.len(), panels.len(), "an id is there twice");
    let mut taken = BTreeSet::new();
    for panel in panels {
        let at = |name: &str| panel["gridPos"][name].as_u64().unwrap();
        assert!(at("x") + at("w") <= 24, "{} is too far right", panel["title"]);
        for x in at("x")..at("x") + at("w") {
            for y in at("y")..at("y") + at("h") {
                assert!(taken.insert((x, y)), "{} lies over another panel", panel["title"]);
            }
        }
        let sources = panel["targets"].as_array().into_iter().flatten().chain([panel]);
        for source in sources.filter(|_| panel["type"] != "row") {
            assert_eq!(source["datasource"]["uid"], "${datasource}", "{}", panel["title"]);
        }
    }
}

// --- Prometheus ------------------------------------------------------------------------------------------------------

/// What Prometheus brings to check its files with; none where it is not installed, which is said.
fn promtool(arguments: &[&str]) -> Option<Output> {
    match Command::new("promtool").args(arguments).current_dir(artifacts::workspace()).output() {
        Ok(output) => Some(output),
        Err(_) => {
            println!("skipped: promtool is not installed");
            None
        }
    }
}

#[test]
fn the_alerts_are_fired_by_what_they_are_there_for() {
    let Some(output) = promtool(&["test", "rules", "docs/operations/alerts.test.yml"]) else { return };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn what_the_dashboard_asks_can_be_asked() {
    fn expressions(part: &Value) -> Vec<&str> {
        let inner: Vec<&Value> = match part {
            Value::Array(items) => items.iter().collect(),
            Value::Object(fields) => fields.values().collect(),
            _ => Vec::new(),
        };
        let own = part.get("expr").and_then(Value::as_str);
        own.into_iter().chain(inner.into_iter().flat_map(expressions)).collect()
    }
    let dashboard: Value = serde_json::from_str(&document(DASHBOARD)).unwrap();
    let all = expressions(&dashboard);
    assert!(all.len() > 50, "{}", all.len());
    let rule = |(number, expression): (usize, &&str)| {
        let expression = expression.replace("$__rate_interval", "5m").replace("$project", ".*");
        serde_json::json!({ "record": format!("expression:{number}"), "expr": expression })
    };
    // JSON is YAML.
    let rules: Vec<Value> = all.iter().enumerate().map(rule).collect();
    let file = tempfile::NamedTempFile::new().unwrap();
    let text = serde_json::json!({ "groups": [{ "name": "dashboard", "rules": rules }] }).to_string();
    std::fs::write(file.path(), text).unwrap();
    let Some(output) = promtool(&["check", "rules", file.path().to_str().unwrap()]) else { return };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

// --- alerts ----------------------------------------------------------------------------------------------------------

/// The headings of a page, without their `#`.
fn headings(page: &str) -> Vec<&str> {
    let mut is_code = false;
    let text = page.lines().filter(|line| {
        is_code ^= line.starts_with("```");
        !is_code
    });
    text.filter_map(|line| line.strip_prefix('#')).map(|line| line.trim_start_matches('#').trim()).collect()
}

#[test]
fn each_alert_has_its_section_and_each_section_its_alert() {
    let rules = document(ALERTS);
    let alerts: Vec<&str> = rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect();
    assert!(alerts.len() > 10, "the alerts were not found");
    for field in ["expr: ", "labels: ", "summary: "] {
        let count = rules.lines().filter(|line| line.trim().starts_with(field)).count();
        assert_eq!(count, alerts.len(), "each alert has one {field:?}");
    }
    for page in [PAGE, PAGE_IN_JAPANESE] {
        let text = document(page);
        let sections: Vec<&str> = headings(&text)
            .into_iter()
            .filter(|heading| heading.starts_with("Poppo") && !heading.contains(' '))
            .collect();
        assert_eq!(sections, alerts, "{page}");
    }
}

// --- files -----------------------------------------------------------------------------------------------------------

/// The files of ours that a page links to.
fn links(page: &str) -> impl Iterator<Item = &str> {
    let links = page.split("](").skip(1).filter_map(|rest| rest.split_once(')'));
    links.map(|(link, _)| link).filter(|link| !link.contains("://")).map(|link| link.split('#').next().unwrap_or(link))
}

#[test]
fn every_file_that_is_linked_to_is_there() {
    for name in [PAGE, PAGE_IN_JAPANESE, MIGRATION, MIGRATION_IN_JAPANESE, "README.md", "README.ja.md"] {
        let (text, path) = (document(name), artifacts::workspace().join(name));
        for link in links(&text).filter(|link| !link.is_empty()) {
            assert!(path.parent().unwrap().join(link).exists(), "{name} links to {link}, which is not there");
        }
    }
}

#[test]
fn a_translation_has_the_same_sections_code_and_links() {
    for (english, japanese) in
        [(PAGE, PAGE_IN_JAPANESE), (MIGRATION, MIGRATION_IN_JAPANESE), ("README.md", "README.ja.md")]
    {
        let (ours, theirs) = (document(english), document(japanese));
        assert_eq!(headings(&theirs).len(), headings(&ours).len(), "{japanese}: {:#?}", headings(&theirs));
        let code = |text: &str| -> Vec<String> {
            let parts: Vec<&str> = text.split("```").collect();
            parts.chunks(2).filter_map(|pair| Some(without_remarks(pair.get(1)?))).collect()
        };
        assert_eq!(code(&theirs), code(&ours), "{japanese}");
        let targets = |text: &str| -> BTreeSet<String> {
            let own = [english, japanese].map(|name| name.rsplit('/').next().unwrap_or(name).to_owned());
            links(text).map(str::to_owned).filter(|link| !link.is_empty() && !own.contains(link)).collect()
        };
        // A translation may link to the English text of what it leaves out.
        assert_eq!(targets(&theirs), targets(&ours), "{japanese}");
        let to = |text: &str, name: &str| text.contains(&format!("]({})", name.rsplit('/').next().unwrap_or(name)));
        assert!(to(&ours, japanese) && to(&theirs, english), "{english} and {japanese} link to each other");
    }
}

/// Code without what is written behind a `#`, which is prose.
fn without_remarks(code: &str) -> String {
    code.lines().map(|line| line.split("  #").next().unwrap_or(line).trim_end().to_owned() + "\n").collect()
}

#[test]
fn the_example_of_a_configuration_can_be_used_also_with_all_that_is_commented_out() {
    let directory = tempfile::tempdir().unwrap();
    let example = document(EXAMPLE);
    // A remark has a blank behind its #, a default has none.
    let uncommented = |line: &str| match line.strip_prefix('#') {
        Some(rest) if rest.starts_with(|c: char| !c.is_whitespace()) => rest.to_owned(),
        _ => line.to_owned(),
    };
    let spelled_out: Vec<String> = example.lines().map(uncommented).collect();
    assert_ne!(spelled_out.join("\n"), example.trim_end(), "the defaults were found");
    for (name, text) in [("example.toml", example.clone()), ("spelled-out.toml", spelled_out.join("\n"))] {
        let file = directory.path().join(name);
        std::fs::write(&file, text).unwrap();
        let mut command = bare(directory.path());
        let output = command.args(["daemon", "--check", "--config"]).arg(&file).output().unwrap();
        assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn the_unit_and_the_image_run_the_daemon_with_options_that_it_has() {
    let directory = tempfile::tempdir().unwrap();
    let help = bare(directory.path()).args(["daemon", "--help"]).output().unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    let (unit, image) = (document(UNIT), document("docs/operations/Containerfile"));
    let calls = unit.lines().chain(image.lines());
    let calls: Vec<&str> =
        calls.filter(|line| line.starts_with("ExecStart") || line.starts_with("CMD [\"daemon\"")).collect();
    assert_eq!(calls.len(), 3, "{calls:?}");
    for call in calls {
        assert!(call.contains("daemon"), "{call}");
        let options = call.split([' ', '"']).filter(|word| word.starts_with("--"));
        for option in options {
            assert!(help.contains(&format!("{option} ")) || help.contains(&format!("{option}\n")), "{call}: {option}");
        }
    }
}

#[test]
fn the_containers_are_made_of_what_is_there() {
    let (image, compose) = (document("docs/operations/Containerfile"), document("docs/operations/compose.yaml"));
    let copied = image.lines().filter_map(|line| line.strip_prefix("COPY docs/"));
    for file in copied.map(|line| line.split(' ').next().unwrap()) {
        document(&format!("docs/{file}"));
    }
    let stages: Vec<&str> =
        image.lines().filter_map(|line| Some(line.strip_prefix("FROM ")?.split_once(" AS ")?.1)).collect();
    let behind = |mark: &'static str| {
        let rest = compose.lines().filter_map(move |line| line.split_once(mark));
        rest.map(|(_, rest)| rest.split([',', ' ', '}']).next().unwrap().to_owned())
    };
    assert!(
        behind("target: ").filter(|target| !target.starts_with('/')).all(|target| stages.contains(&&*target)),
        "{stages:?}"
    );
    assert_eq!(
        behind("dockerfile: ").collect::<BTreeSet<_>>(),
        BTreeSet::from(["docs/operations/Containerfile".to_owned()])
    );
    // Whatever is mounted is its user's already.
    for volume in ["/data", "/var/lib/poppo/spool"] {
        assert!(image.contains(&format!("VOLUME {volume}")) && compose.contains(&format!(":{volume}\"")), "{volume}");
        let made = image.lines().any(|line| line.starts_with("RUN install -d -o ") && line.ends_with(volume));
        assert!(made, "{volume} would be root's");
    }
    // Each variable is one that is known, each secret that is mounted one that is given.
    let directory = tempfile::tempdir().unwrap();
    let help = bare(directory.path()).args(["work", "--help"]).output().unwrap();
    let page = document(PAGE) + &document(EXAMPLE) + &String::from_utf8(help.stdout).unwrap();
    let variables = compose.lines().filter_map(|line| line.trim().trim_start_matches("# ").split_once(": "));
    for (name, value) in variables.filter(|(name, _)| name.starts_with("POPPO_")) {
        assert!(page.contains(name), "{name}");
        if let Some(secret) = value.strip_prefix("/run/secrets/") {
            assert!(compose.contains(&format!("{secret}: {{ file: ../../secrets/{secret} }}")), "{secret}");
        }
    }
}

// --- access ----------------------------------------------------------------------------------------------------------

/// The rules of the daemon's user in the blocks of the page, one block after another.
fn rules(page: &str) -> Vec<Vec<&str>> {
    let blocks = page.split("```text\n").skip(1).filter_map(|rest| rest.split_once("```"));
    let blocks = blocks.map(|(block, _)| block.lines().filter(|line| line.starts_with("ACL SETUSER poppo-daemon ")));
    blocks.map(Iterator::collect).filter(|block: &Vec<&str>| !block.is_empty()).collect()
}

/// Has intake do all that it does on the server: queue, call off, complete and offer again.
fn have_all_taken_in(connection: &mut Connection, github: &GitHub, daemon: &Daemon) {
    hook(github, daemon);
    let repository = github.repository(REPOSITORY).by("alice");
    let mut worked_on = |status: &str| {
        let issue = repository.open("an issue of alice's", &["task:fix"]);
        wait_until("it is claimed", || {
            let claimed = connection.ok(&format!("POPPO.CLAIM {REPOSITORY} w TYPES 1 fix"));
            !matches!(claimed, redis::Value::Nil)
        });
        connection.ok(&format!("POPPO.CHECKIN {REPOSITORY} {issue} w STATUS {status}"));
        issue
    };
    let count = |kind: &str, result: &str| {
        let name = taken_in(kind, result);
        wait_until(&format!("{name} is shown"), || daemon.metric(&name).is_some());
    };
    let issue = worked_on("awaiting-response");
    repository.comment(issue, "done");
    count("comment", "completed");
    worked_on("error");
    count("issue", "again");
    let issue = repository.open("not for long", &["task:docs"]);
    wait_until("it is queued", || daemon.metric(&taken_in("issue", "queued")) == Some(3.0));
    repository.close(issue);
    count("issue", "cancelled");
    let note = format!("HGET {{{REPOSITORY}}}:intake issue:{issue}");
    wait_until("its note is gone", || matches!(connection.ok(&note), redis::Value::Nil));
}

/// Has a view show an issue and a request of an older program be answered.
fn have_the_older_programs_served(connection: &mut Connection, daemon: &Daemon) {
    wait_until("the view shows it", || {
        connection.ok(&format!("HGET {REPOSITORY}:issue:status:1 status")).text().as_deref() == Some("queued")
    });
    ask(connection);
    let name =
        format!("poppo_ambassador_requests_total{{project=\"{REPOSITORY}\",action=\"heartbeat\",result=\"done\"}}");
    wait_until("a request is answered", || daemon.metric(&name) == Some(1.0));
}

#[test]
fn the_daemons_user_may_do_what_the_daemon_does() {
    let page = document(PAGE);
    let rules = rules(&page);
    let [own, intake, older, _bare] = rules.as_slice() else { panic!("four blocks of rules, not {rules:?}") };
    // What is needed for one thing is not to be lent to another: each is tried with no more than its own.
    let extras: [(&[&str], &[&str]); 3] = [(&[], &[]), (intake.as_slice(), &[INTAKE]), (older.as_slice(), &[VIEW])];
    for (extra, settings) in extras {
        let (server, github) = (Server::start(), GitHub::start());
        let sections = project(&github, settings);
        github.repository(REPOSITORY).open("an issue", &[]);
        let mut connection = server.connect();
        for rule in own.iter().chain(extra) {
            connection.ok(rule);
        }
        let url = server.url().replace("redis://", "redis://poppo-daemon:change-me@");
        let daemon = Daemon::of(server.dir(), &url).top("host = \"h\"").section(&sections);
        let daemon = daemon.variable(WEBHOOK_SECRETS, SECRET).start();
        // A worker that is not there any more: found dead, repaired, told on GitHub, and its labels follow.
        connection.ok(&format!("POPPO.CHECKOUT {REPOSITORY} 1 w HOST h PID 4194304"));
        wait_until("the orphan is repaired, and all of GitHub is right", || {
            let issue = show(&connection.ok(&format!("POPPO.GET {REPOSITORY} 1")));
            let behind = connection.ok(&format!("POPPO.LABELS {REPOSITORY}"));
            let comments = daemon.metric("poppo_repair_comments_total{project=\"acme/widgets\"}");
            issue.contains("\"queued\"") && behind.rows().is_empty() && comments == Some(1.0)
        });
        if settings.contains(&INTAKE) {
            have_all_taken_in(&mut connection, &github, &daemon);
        }
        if settings.contains(&VIEW) {
            have_the_older_programs_served(&mut connection, &daemon);
        }
        daemon.wait_until_ready();
        assert_eq!(daemon.end(), Some(0));
        let denied = connection.ok("ACL LOG");
        assert!(denied.rows().is_empty(), "{}", show(&denied));
    }
}
