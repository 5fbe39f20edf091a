//! Check-ins that a server could not take: kept on disk, and delivered once when it is back.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "in a test a panic is the report"
)]

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use poppo::{CheckedIn, Checkout, Client, Delivered, Holder, IssueNumber, Lease, Project, Spool};
use poppo_tests::command::{Following, json, output, poppo, refusal, signal};
use poppo_tests::{Connection, Reply as _, Server, wait_until};
use rustix::process::Signal;
use serde_json::Value;

fn durable() -> Server {
    Server::builder().no_grace().durable().start()
}

fn spool(server: &Server) -> Spool {
    Spool::at(server.dir().join("spool"))
}

async fn project(server: &Server) -> Project {
    Client::connect(&server.url()).await.unwrap().project("p")
}

async fn holder(server: &Server, name: &str) -> Holder {
    let holder = project(server).await.holder(name);
    holder.keep_in(Some(spool(server)));
    holder
}

async fn lease(holder: &Holder, number: u64) -> Lease {
    holder.checkout(&Checkout::new(IssueNumber::try_from(number).unwrap(), "w")).await.unwrap()
}

/// Reports for a moment only, which must not be long enough.
async fn keep(lease: Lease, result: &str) {
    let mut report = lease.checkin(poppo::Outcome::Completed);
    report.result = Some(result.to_owned());
    report.metadata = vec![("branch".to_owned(), "fix".to_owned())];
    let enough = tokio::time::sleep(Duration::from_millis(10));
    assert!(matches!(lease.check_in_until(report, enough).await.unwrap(), CheckedIn::Kept(_)));
}

/// The files of a spool whose names end so.
fn files(server: &Server, end: &str) -> Vec<PathBuf> {
    let below = |folder: &Path| -> Vec<PathBuf> {
        std::fs::read_dir(folder).map(|all| all.map(|entry| entry.unwrap().path()).collect()).unwrap_or_default()
    };
    let folders = below(&server.dir().join("spool"));
    let mut files: Vec<PathBuf> = folders.iter().flat_map(|folder| below(folder)).collect();
    files.retain(|file| file.to_string_lossy().ends_with(end));
    files.sort();
    files
}

fn status(connection: &mut Connection, number: u64) -> String {
    connection.ok(&format!("POPPO.GET p {number}")).field("status")
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_server_could_not_take_is_delivered_in_order_when_it_is_back() {
    let mut server = durable();
    let holder = holder(&server, "w").await;
    let leases = [lease(&holder, 1).await, lease(&holder, 2).await, lease(&holder, 3).await];
    server.kill9();
    for lease in leases {
        keep(lease, "{\"pr\": 77}").await;
    }
    let kept = files(&server, ".json");
    assert_eq!(kept.len(), 3);
    let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&kept[0]), mode(kept[0].parent().unwrap())), (0o600, 0o700));
    let (listed, unusable) = spool(&server).list().unwrap();
    assert_eq!(listed.iter().map(|entry| entry.issue.get()).collect::<Vec<_>>(), [1, 2, 3]);
    assert!(unusable.is_empty() && listed.iter().all(|entry| entry.server == server.url() && entry.project == "p"));

    server.start_again();
    let delivery = spool(&server).deliver(&project(&server).await).await.unwrap();
    let issues: Vec<u64> = delivery
        .done
        .iter()
        .map(|done| match done {
            Delivered::Accepted(entry) => entry.issue.get(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(issues, [1, 2, 3]);
    assert!(files(&server, ".json").is_empty());
    let record = server.connect().ok("POPPO.GET p 2");
    assert_eq!((record.field("status"), record.field("result")), ("completed".to_owned(), "{\"pr\": 77}".to_owned()));
    assert_eq!(record.get("metadata").unwrap().field("branch"), "fix");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_holder_that_goes_on_delivers_by_itself() {
    let mut server = durable();
    server.connect().ok("POPPO.CONFIG p SET heartbeat-ttl 3000");
    let holder = holder(&server, "w").await;
    let (done, other) = (lease(&holder, 1).await, lease(&holder, 2).await);
    server.kill9();
    keep(done, "1").await;
    server.start_again();
    let mut connection = server.connect();
    tokio::task::spawn_blocking(move || {
        wait_until("it is delivered", || status(&mut connection, 1) == "completed");
    })
    .await
    .unwrap();
    assert_eq!(other.fate(), None);
    other.complete("").await.unwrap();
    holder.settled().await;
    assert!(files(&server, ".json").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_on_an_issue_that_was_repaired_changes_nothing() {
    let mut server = durable();
    let holder = holder(&server, "w").await;
    let leases = [lease(&holder, 1).await, lease(&holder, 2).await];
    server.kill9();
    for lease in leases {
        keep(lease, "1").await;
    }
    server.start_again();
    let mut connection = server.connect();
    connection.ok("POPPO.EVICT p 1 REQUEUE REASON \"worker lost\"");
    connection.ok("POPPO.CLAIM p another");
    let before = connection.ok("POPPO.GET p 1");
    let delivered = json(poppo(&server, &["spool", "deliver"]));
    assert_eq!((&delivered[0]["delivery"], &delivered[0]["code"]), (&"refused".into(), &"STALE".into()));
    assert_eq!((&delivered[1]["delivery"], &delivered[1]["issue"]), (&"accepted".into(), &2.into()));
    assert_eq!(connection.ok("POPPO.GET p 1"), before);
    assert_eq!(json(poppo(&server, &["spool", "deliver"])), Value::Array(Vec::new()), "it is final");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_deliverers_deliver_each_report_once() {
    const REPORTS: u64 = 30;
    let mut server = durable();
    let holder = holder(&server, "w").await;
    let mut leases = Vec::new();
    for number in 1..=REPORTS {
        leases.push(lease(&holder, number).await);
    }
    server.kill9();
    let keeping: Vec<_> = leases.into_iter().map(|lease| tokio::spawn(keep(lease, "1"))).collect();
    for one in keeping {
        one.await.unwrap();
    }
    server.start_again();
    let mut deliverers: Vec<Following> = (0..3)
        .map(|number| Following::named(&server, &format!("d{number}"), &["--json", "spool", "deliver"]))
        .collect();
    let mut delivered = Vec::new();
    for deliverer in &mut deliverers {
        assert_eq!(deliverer.exit_code(), Some(0), "{}", deliverer.said());
        let rows: Value = serde_json::from_str(&deliverer.written()).unwrap();
        delivered.extend(rows.as_array().unwrap().iter().map(|row| row["issue"].as_u64().unwrap()));
    }
    delivered.sort_unstable();
    assert_eq!(delivered, (1..=REPORTS).collect::<Vec<_>>());
    let line = server.connect().info("commandstats", "cmdstat_POPPO.CHECKIN");
    assert!(line.starts_with(&format!("calls={REPORTS},")), "{line}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_file_is_set_aside_and_blocks_nothing() {
    let mut server = durable();
    let holder = holder(&server, "w").await;
    let leases = [lease(&holder, 1).await, lease(&holder, 2).await, lease(&holder, 3).await];
    server.kill9();
    for lease in leases {
        keep(lease, "1").await;
    }
    server.start_again();
    let kept = files(&server, ".json");
    let text = std::fs::read_to_string(&kept[0]).unwrap();
    std::fs::write(&kept[0], &text[..text.len() / 2]).unwrap();
    std::fs::write(&kept[1], text.replace("\"p\"", "\"p\\u0000\"")).unwrap();
    std::fs::write(kept[0].with_file_name(".half"), "{").unwrap();
    std::fs::write(kept[0].with_file_name("00000000000000000000-x.json"), b"\xff\xfe").unwrap();
    let listed = output(poppo(&server, &["spool", "list"]));
    let said = String::from_utf8_lossy(&listed.stderr).into_owned();
    assert!(listed.status.success() && said.contains("not a check-in"), "{said}");
    let delivered = json(poppo(&server, &["spool", "deliver"]));
    let outcomes: Vec<&str> =
        delivered.as_array().unwrap().iter().map(|row| row["delivery"].as_str().unwrap()).collect();
    assert_eq!(outcomes, ["set-aside", "set-aside", "accepted"]);
    assert_eq!(status(&mut server.connect(), 3), "completed");
    assert_eq!(files(&server, ".damaged").len(), 2);
    // What is for another project is not ours to deliver, whatever the folder is called.
    assert_eq!(files(&server, ".json"), [kept[1].clone()]);
    // What was set aside stays until somebody says that it may go.
    let cleaned = json(poppo(&server, &["spool", "clean"]));
    assert_eq!(cleaned["files"].as_array().unwrap().len(), 2);
    assert!(files(&server, ".damaged").is_empty());
    assert_eq!(files(&server, ".json").len(), 1);
    let again = output(poppo(&server, &["spool", "clean"]));
    assert!(again.status.success() && again.stdout == b"nothing was set aside\n", "{again:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_that_was_never_finished_goes_unless_only_its_name_was_missing() {
    let mut server = durable();
    let holder = holder(&server, "w").await;
    let lease = lease(&holder, 1).await;
    server.kill9();
    keep(lease, "1").await;
    let kept = files(&server, ".json").remove(0);
    let beside = |name: &str| kept.with_file_name(name);
    std::fs::rename(&kept, beside(".whole.part")).unwrap();
    std::fs::write(beside(".half.part"), "{\"version\":1,").unwrap();
    std::fs::write(beside(".now.part"), "").unwrap();
    // Its writer lives.
    let writer = std::fs::File::open(beside(".now.part")).unwrap();
    rustix::fs::flock(&writer, rustix::fs::FlockOperation::NonBlockingLockExclusive).unwrap();
    server.start_again();
    let delivered = json(poppo(&server, &["spool", "deliver"]));
    assert_eq!(delivered.as_array().unwrap().len(), 1);
    assert_eq!(delivered[0]["delivery"], "accepted");
    assert_eq!(status(&mut server.connect(), 1), "completed");
    assert_eq!(files(&server, ".part"), [beside(".now.part")]);
    drop(writer);
    poppo(&server, &["spool", "deliver"]).output().unwrap();
    assert!(files(&server, ".part").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_goes_away_again_leaves_the_rest_where_it_is() {
    let mut server = durable();
    let holder = holder(&server, "w").await;
    let leases = [lease(&holder, 1).await, lease(&holder, 2).await];
    let before = project(&server).await;
    server.kill9();
    for lease in leases {
        keep(lease, "1").await;
    }
    let delivery = spool(&server).deliver(&before).await.unwrap();
    assert!(delivery.done.is_empty() && delivery.error.is_some_and(|error| error.may_pass()));
    assert_eq!(files(&server, ".json").len(), 2);
    let (exit, code, _) = refusal(&server, &["spool", "deliver"]);
    assert_eq!((exit, code.as_str()), (1, "UNREACHABLE"));
    assert_eq!(json(poppo(&server, &["spool", "list"])).as_array().unwrap().len(), 2, "listing needs no server");
    server.start_again();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_that_cannot_be_kept_is_an_error_and_says_why() {
    let mut server = durable();
    let holder = holder(&server, "w").await;
    let lease = lease(&holder, 1).await;
    std::fs::write(server.dir().join("spool"), "a file, no folder").unwrap();
    let said = std::sync::Arc::new(std::sync::Mutex::new(String::new()));
    let log = std::sync::Arc::clone(&said);
    holder.on_notice(move |notice| log.lock().unwrap().push_str(&notice.to_string()));
    server.kill9();
    let report = lease.checkin(poppo::Outcome::Completed);
    let error = lease.check_in_until(report, tokio::time::sleep(Duration::from_millis(10))).await.unwrap_err();
    assert!(error.may_pass(), "{error}");
    assert!(said.lock().unwrap().contains("cannot be kept on disk"), "{said:?}");
}

#[test]
fn a_worker_that_is_killed_while_its_server_is_away_has_reported_all_the_same() {
    let mut server = durable();
    server.connect().ok("POPPO.ENQUEUE p 7");
    let script = ": > runs; while [ ! -e go ]; do sleep 0.02; done; echo '{\"pr\": 77}' > $POPPO_RESULT";
    let mut worker = Following::named(&server, "w", &["--json", "work", "--", "sh", "-c", script]);
    wait_until("it works", || server.dir().join("runs").exists());
    server.kill9();
    std::fs::write(server.dir().join("go"), "").unwrap();
    wait_until("its report is kept", || !files(&server, ".json").is_empty());
    // As long as it lives it delivers that itself.
    assert_eq!(json(poppo(&server, &["spool", "list"]))[0]["issue"], 7);
    worker.child.kill().unwrap();
    worker.exit_code();
    server.start_again();
    let mut connection = server.connect();
    assert_eq!(status(&mut connection, 7), "processing");
    let mut next = Following::named(&server, "next", &["--json", "work", "--once", "--", "true"]);
    assert_eq!(next.exit_code(), Some(75), "{}", next.said());
    assert!(next.said().contains("issue 7 is checked in as completed"), "{}", next.said());
    let record = connection.ok("POPPO.GET p 7");
    assert_eq!((record.field("status"), record.field("result")), ("completed".to_owned(), "{\"pr\": 77}".to_owned()));
    assert!(files(&server, ".json").is_empty());
}

#[test]
fn a_worker_and_a_run_that_are_told_to_end_leave_their_reports_behind() {
    let mut server = durable();
    server.connect().ok("POPPO.ENQUEUE p 7");
    let script = ": > runs-$POPPO_ISSUE; while [ ! -e go ]; do sleep 0.02; done";
    let mut worker = Following::named(&server, "w", &["--json", "work", "--", "sh", "-c", script]);
    let mut run = Following::named(&server, "r", &["run", "8", "--", "sh", "-c", script]);
    wait_until("they work", || ["runs-7", "runs-8"].iter().all(|name| server.dir().join(name).exists()));
    server.kill9();
    std::fs::write(server.dir().join("go"), "").unwrap();
    wait_until("their reports are kept", || files(&server, ".json").len() == 2);
    signal(&worker.child, Signal::TERM);
    wait_until("it drains", || worker.said().contains("takes nothing new"));
    signal(&worker.child, Signal::TERM);
    signal(&run.child, Signal::TERM);
    assert_eq!(worker.exit_code(), Some(143), "{}", worker.said());
    assert_eq!(worker.documents(1)[0]["status"], "unreported");
    assert_eq!(run.exit_code(), Some(1), "{}", run.said());
    assert!(run.said().contains("kept and delivered"), "{}", run.said());
    server.start_again();
    let text = output(poppo(&server, &["spool", "deliver"]));
    let text = String::from_utf8(text.stdout).unwrap();
    assert!(text.lines().count() == 2 && text.contains("issue 8 is checked in as completed"), "{text}");
    let mut connection = server.connect();
    assert_eq!(
        (status(&mut connection, 7), status(&mut connection, 8)),
        ("completed".to_owned(), "completed".to_owned())
    );
}
