//! `docs/json.md` is true: what every command prints with `--json` has the fields that are described there, and no others.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "in a test a panic is the report"
)]

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::io::BufReader;
use std::net::TcpListener;
use std::path::Path;
use std::process::Stdio;

use poppo_tests::command::{Following, bare, json, output, poppo, signal};
use poppo_tests::{Server, artifacts, poppobuilder};
use rustix::process::Signal;
use serde::Deserialize as _;
use serde_json::Value;

/// What a project in good order does not show: an orphan that comes back between two commands, a fault of the demo.
const NOT_SEEN: [&str; 5] =
    ["Repaired.skipped", "Repaired.skipped.code", "Repaired.skipped.message", "Demo.heldTwice[]", "Demo.faults[]"];

/// A field as the page describes it.
#[derive(Debug)]
struct Field {
    kind: String,
    is_optional: bool,
    is_nullable: bool,
}

/// The page.
struct Page {
    /// Each command, and what is said of what it prints.
    commands: BTreeMap<String, String>,
    /// Each document, and its fields by their paths.
    documents: BTreeMap<String, BTreeMap<String, Field>>,
}

impl Page {
    fn read() -> Self {
        let text = std::fs::read_to_string(artifacts::workspace().join("docs/json.md")).unwrap();
        let (mut commands, mut documents) = (BTreeMap::new(), BTreeMap::<String, BTreeMap<_, _>>::new());
        let mut document = None;
        for line in text.lines() {
            if line.starts_with("## ") {
                document = None;
            }
            if let Some(name) = line.strip_prefix("### ") {
                document = Some(name.to_owned());
            }
            let Some((name, rest)) = line.strip_prefix("| `").and_then(|line| line.split_once("` | ")) else {
                continue;
            };
            match &document {
                None => {
                    commands.insert(name.to_owned(), rest.trim_end_matches(" |").to_owned());
                }
                Some(document) => {
                    let kind = rest.split(" |").next().unwrap();
                    let (bare, is_nullable) = kind.strip_suffix(" or null").map_or((kind, false), |kind| (kind, true));
                    let (bare, is_optional) = bare.strip_suffix('?').map_or((bare, false), |kind| (kind, true));
                    let field = Field { kind: bare.to_owned(), is_optional, is_nullable };
                    let known = documents.entry(document.clone()).or_default().insert(name.to_owned(), field);
                    assert!(known.is_none(), "{document}.{name} is described twice");
                }
            }
        }
        // The table of the types is read as if it were of commands.
        commands
            .retain(|_, prints| prints.contains("](#") || prints.contains("--json` too") || prints.contains("nothing"));
        Self { commands, documents }
    }

    /// The document that a command prints, and the words around it.
    fn document(&self, command: &str) -> (&str, &str) {
        let prints =
            self.commands.get(command).unwrap_or_else(|| panic!("docs/json.md does not say what {command} prints"));
        let (before, rest) = prints.split_once('[').unwrap_or_else(|| panic!("{command} prints {prints}"));
        (before, rest.split(']').next().unwrap())
    }
}

/// What was printed, compared with the page.
struct Checked {
    page: Page,
    /// Fields that were there, with something in them.
    seen: RefCell<BTreeSet<String>>,
    commands: RefCell<BTreeSet<String>>,
}

impl Checked {
    /// What this command printed on stdout: one document, or all lines.
    fn see(&self, command: &str, printed: &[Value]) {
        assert!(!printed.is_empty(), "{command} printed nothing");
        let (form, name) = self.page.document(command);
        let rows: Vec<&Value> = match form.trim() {
            "an array of" => printed.iter().flat_map(|list| list.as_array().expect(command)).collect(),
            "a line for each" | "" => printed.iter().collect(),
            other => panic!("{command} prints {other}"),
        };
        for row in rows {
            assert!(row.is_object(), "{command}: {row}");
            self.check(name, "", row);
        }
        self.commands.borrow_mut().insert(command.to_owned());
    }

    fn check(&self, document: &str, path: &str, value: &Value) {
        let fields = &self.page.documents[document];
        match value {
            Value::Object(object) => {
                let below = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
                let any = below("*");
                for (name, value) in object {
                    let path = if fields.contains_key(&any) { any.clone() } else { below(name) };
                    self.check_field(document, &path, value);
                }
                for (path, field) in fields {
                    let name = path.strip_prefix(&below("")).filter(|name| !name.contains(['.', '[', '*']));
                    let is_missing = name.is_some_and(|name| !object.contains_key(name));
                    assert!(!is_missing || field.is_optional, "{document} should always have {path}: {value}");
                }
            }
            Value::Array(items) => {
                for item in items {
                    self.check_field(document, &format!("{path}[]"), item);
                }
            }
            _ => {}
        }
    }

    fn check_field(&self, document: &str, path: &str, value: &Value) {
        let fields = &self.page.documents[document];
        let field =
            fields.get(path).unwrap_or_else(|| panic!("docs/json.md does not describe {document}.{path}: {value}"));
        if value.is_null() {
            assert!(field.is_nullable, "{document}.{path} is null");
            return;
        }
        let fits = match field.kind.as_str() {
            "integer" => value.is_u64(),
            "string" => value.is_string(),
            "boolean" => value.is_boolean(),
            "object" => value.is_object(),
            "array" => value.is_array(),
            "time" => value.as_str().is_some_and(|text| text.len() == 24 && humantime::parse_rfc3339(text).is_ok()),
            "json" => true,
            other => panic!("{document}.{path} is described as {other}"),
        };
        assert!(fits, "{document}.{path} is no {}: {value}", field.kind);
        self.seen.borrow_mut().insert(format!("{document}.{path}"));
        if field.kind != "json" {
            self.check(document, path, value);
        }
    }
}

/// The subcommands that a help lists.
fn subcommands() -> BTreeSet<String> {
    let mut help = bare(Path::new("."));
    help.arg("-h");
    let help = String::from_utf8(output(help).stdout).unwrap();
    let listed = help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    let listed = listed.filter(|line| !line.starts_with("   "));
    listed.filter_map(|line| line.split_whitespace().next()).filter(|name| *name != "help").map(str::to_owned).collect()
}

#[test]
fn what_every_command_prints_is_described_and_what_is_described_is_printed() {
    let checked = Checked { page: Page::read(), seen: RefCell::default(), commands: RefCell::default() };
    let server = Server::start();
    // The command as the page names it, then all its words.
    let run = |command: &str, words: &str| {
        let words: Vec<&str> = words.split_whitespace().collect();
        let printed = json(poppo(&server, &words));
        checked.see(command, std::slice::from_ref(&printed));
        printed
    };
    let token = |printed: &Value| printed["token"].to_string();

    // Leases, with everything that is known of a process.
    let life = "--process w1 --host h1 --pid 11 --tmux one:1.0 --incarnation boot:11:1";
    run("checkout", &format!("checkout 1 {life} --type fix --title Crash --ttl 1h"));
    run("heartbeat", "heartbeat --process w1 --progress 3/7");
    run("get", "get 1");
    run("checkin", "checkin 1 --process w1 --status completed --result {\"a\":[1]} --reason done --meta a=b");
    run("get", "get 1");
    run("events", "events --after 1");

    // The queue.
    run("enqueue", "enqueue 2 --type fix --title Two --payload {\"b\":1} --priority high");
    run("enqueue", "enqueue 2 --type review --payload [2] --title Again");
    run("enqueue", "enqueue 3 --delay 1h --title Later");
    run("list --delayed", "list --delayed");
    let claimed = run("claim", &format!("claim {life} --types fix"));
    run("list --queue", "list --queue");
    run("cancel", "cancel 4");
    run("enqueue", "enqueue 4 --type fix");
    run(
        "checkin --next",
        &format!("checkin 2 --process w1 --status error --reason bad --token {} --next", token(&claimed)),
    );
    run("list --dead", "list --dead");
    run("get", "get 2");
    run("revive", "revive 2:fix");
    run("drain", "drain on");
    run("drain", "drain off");
    run("labels", "labels");
    let version = json(poppo(&server, &["labels"]))[0].clone();
    run("labels --confirm", &format!("labels --confirm {} {}", version["issue"], version["version"]));

    // Orphans, one of them with a task and asked to stop.
    run("claim", "claim --process w2 --host h2 --pid 22 --types fix");
    run("cancel", "cancel 2 --reason enough");
    run("heartbeat", "heartbeat --process w2");
    run("checkout", "checkout 5 --process w2 --type docs");
    run("checkout", "checkout 6 --process w2");
    run("liveness", "liveness w2 alive --host h2 --pid 22");
    run("list --processes", "list --processes");
    run("liveness", "liveness w2 dead --host h2 --pid 22");
    run("orphans", "orphans");
    run("get", "get 2");
    run("list", "list");
    run("list --processes", "list --processes");
    let orphan = json(poppo(&server, &["get", "5"]));
    run("repair", &format!("repair 5 --token {}", token(&orphan)));
    run("repair --all", "repair --all");
    run("checkout", "checkout 7 --process w3");
    run("evict", "evict 7");
    run("forget", "forget 7");
    run("enqueue", "enqueue 8");
    run("stats", "stats");
    // A check that fails is an answer, too; this server writes nothing down.
    let found = output(poppo(&server, &["--json", "doctor"]));
    assert_eq!(found.status.code(), Some(1), "{found:?}");
    checked.see("doctor", &[serde_json::from_slice(&found.stdout).unwrap()]);
    run("config", "config");
    run("config get", "config get max-attempts");
    run("config set", "config set max-attempts 2");
    run("events", "events");

    // What goes on.
    let following = Following::named(&server, "events", &["--json", "events", "--follow"]);
    checked.see("events --follow", &following.documents(10));
    let following = Following::named(&server, "labels", &["--json", "labels", "--follow"]);
    checked.see("labels --follow", &following.documents(3));
    work(&checked);
    spool(&checked);

    run("export", "export backup.jsonl --verify");
    run("import", "import backup.jsonl --verify");
    checked.see("import DIR", &[import_folder(&server)]);
    let copy = format!("copy {0} {0} --to-project q --verify", server.url());
    run("copy", &copy);

    free_state(&checked);
    run("export --format poppobuilder", "export --format poppobuilder older");
    mirror(&checked, &server);

    // What needs no server, or brings its own.
    run("man --dir", "man --dir manual");
    run("daemon --check", "daemon --check");
    let directory = tempfile::tempdir().unwrap();
    let mut demo = bare(directory.path());
    demo.arg("demo");
    checked.see("demo", &[json(demo)]);
    checked.see("up", &[up(directory.path())]);
    let ran = output(poppo(&server, &["--json", "run", "9", "--", "echo", "hello"]));
    assert_eq!(ran.stdout, b"hello\n");
    for silent in [&["completions", "bash"][..], &["man"]] {
        assert!(
            serde_json::from_slice::<Value>(&output(poppo(&server, &[silent, &["--json"]].concat())).stdout).is_err()
        );
    }

    // Errors.
    let failed = output(poppo(&server, &["--json", "get", "999"]));
    assert!(failed.stdout.is_empty() && failed.status.code() == Some(1));
    checked.check("Error", "", &serde_json::from_slice(&failed.stderr).unwrap());

    let described: BTreeSet<String> = checked.page.commands.keys().cloned().collect();
    let first = |command: &String| command.split(' ').next().unwrap().to_owned();
    assert_eq!(described.iter().map(first).collect::<BTreeSet<_>>(), subcommands());
    let without: BTreeSet<String> = ["run", "top", "daemon", "completions", "man"].map(str::to_owned).into();
    let ran: BTreeSet<String> = checked.commands.borrow().union(&without).cloned().collect();
    assert_eq!(ran, described);
    let all = checked.page.documents.iter();
    let fields = all.flat_map(|(document, fields)| fields.keys().map(move |path| format!("{document}.{path}")));
    let missing: Vec<String> =
        fields.filter(|field| !checked.seen.borrow().contains(field) && !NOT_SEEN.contains(&field.as_str())).collect();
    assert!(missing.is_empty(), "docs/json.md describes what nothing printed: {missing:?}");
}

/// Has the files of an older program kept, and one of them changed by somebody else.
fn mirror(checked: &Checked, server: &Server) {
    checked.see("mirror --once", &[json(poppo(server, &["mirror", "older", "--once"]))]);
    let path = server.dir().join("older/issue-status.json");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replace("\"status\":\"", "\"status\":\"in-")).unwrap();
    let differs = output(poppo(server, &["--json", "mirror", "older", "--check"]));
    assert_eq!(differs.status.code(), Some(1), "{differs:?}");
    checked.see("mirror --check", &[serde_json::from_slice(&differs.stdout).unwrap()]);
    let following = Following::named(server, "mirror", &["--json", "mirror", "older", "--force"]);
    checked.see("mirror", &following.documents(1));
}

/// Has a worker do one task well, fail one and lose one.
fn work(checked: &Checked) {
    let server = Server::start();
    let mut connection = server.connect();
    connection.ok("POPPO.CONFIG p SET heartbeat-ttl 2000");
    connection.ok("POPPO.ENQUEUE p 1 TITLE one PAYLOAD '{}'");
    connection.ok("POPPO.ENQUEUE p 2");
    let script = "case $POPPO_ISSUE in 2) exit 3 ;; 3) touch runs; sleep 1000 ;; esac";
    let words = ["--json", "work", "--retry", "base=1h", "--", "sh", "-c", script];
    let worker = Following::named(&server, "worker", &words);
    worker.documents(2);
    connection.ok("POPPO.ENQUEUE p 3");
    poppo_tests::wait_until("it works on the third", || server.dir().join("runs").exists());
    connection.ok("POPPO.EVICT p 3");
    checked.see("work", &worker.documents(3));
}

/// Keeps values and flags, some of which are no good.
fn free_state(checked: &Checked) {
    let server = Server::start();
    let run = |command: &str, words: &[&str]| {
        checked
            .see(command, &[json(poppo(&server, &[&command.split(' ').take(2).collect::<Vec<_>>(), words].concat()))]);
    };
    let watching = Following::named(&server, "watch", &["--json", "state", "watch", "issues"]);
    poppo_tests::wait_until("it watches", || watching.said().contains("watching"));
    run("state set", &["issues", "1", "{\"a\":1}"]);
    run("state get", &["issues", "1"]);
    run("state list", &[]);
    run("state list NAMESPACE", &["issues"]);
    run("state delete", &["issues", "1"]);
    checked.see("state watch", &watching.documents(2));
    server.connect().ok("HSET p:state:issues bad {");
    run("state export", &["issues", "out.json"]);
    std::fs::write(server.dir().join("in.json"), "[[\"a\", 1], 2]").unwrap();
    run("state import", &["issues", "in.json"]);
    run("flag set", &["jobs", "4"]);
    run("flag on", &["review"]);
    run("flag off", &["review"]);
    run("flag get", &["jobs"]);
    run("flag list", &[]);
    run("flag delete", &["jobs"]);
}

/// Has a worker leave its report behind, and others that are of no use.
fn spool(checked: &Checked) {
    let mut server = Server::builder().durable().start();
    server.connect().ok("POPPO.ENQUEUE p 1");
    let script = "touch runs; while [ ! -e go ]; do sleep 0.02; done";
    let mut worker = Following::named(&server, "worker", &["--json", "work", "--", "sh", "-c", script]);
    poppo_tests::wait_until("it works", || server.dir().join("runs").exists());
    server.kill9();
    std::fs::write(server.dir().join("go"), "").unwrap();
    let spooled = || json(poppo(&server, &["spool", "list"]));
    poppo_tests::wait_until("its report is kept", || spooled().as_array().is_some_and(|list| !list.is_empty()));
    worker.child.kill().unwrap();
    worker.exit_code();
    let file = spooled()[0]["file"].as_str().unwrap().to_owned();
    let text = std::fs::read_to_string(&file).unwrap();
    let beside = |name: &str| Path::new(&file).with_file_name(name);
    std::fs::write(beside("1-unknown.json"), text.replace("\"issue\":1", "\"issue\":2")).unwrap();
    std::fs::write(beside("2-damaged.json"), "{").unwrap();
    checked.see("spool list", &[spooled()]);
    server.start_again();
    checked.see("spool deliver", &[json(poppo(&server, &["spool", "deliver"]))]);
    checked.see("spool clean", &[json(poppo(&server, &["spool", "clean"]))]);
}

/// Has a folder of PoppoBuilder's taken over, of which a file cannot be read, while somebody has a lock in it.
fn import_folder(server: &Server) -> Value {
    let folder = server.dir().join("state");
    std::fs::create_dir(&folder).unwrap();
    poppobuilder::fill(&folder);
    std::fs::write(folder.join("issue-status.json.lock"), std::process::id().to_string()).unwrap();
    std::os::unix::fs::symlink("nowhere", folder.join("unified-config.json")).unwrap();
    let failed = output(poppo(server, &["--json", "import", "state", "--project", "older"]));
    assert_eq!(failed.status.code(), Some(1), "{failed:?}");
    serde_json::from_slice(&failed.stdout).unwrap()
}

/// What `poppo up` says once it is up.
fn up(directory: &Path) -> Value {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port().to_string();
    let mut child =
        bare(directory).args(["--json", "up", "--port", &port]).stdout(Stdio::piped()).spawn().expect("poppo starts");
    let said = BufReader::new(child.stdout.as_mut().unwrap());
    let document = Value::deserialize(&mut serde_json::Deserializer::from_reader(said)).unwrap();
    signal(&child, Signal::TERM);
    assert!(child.wait().unwrap().success());
    document
}
