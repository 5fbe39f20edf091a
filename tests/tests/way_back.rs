//! The way back to PoppoBuilder's files, once and for as long as older programs read them: from a server and from a file.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "in a test a panic is the report"
)]

#[path = "both"]
mod server {
    use poppo_tests::Server;

    mod mirror;
    pub(super) mod way_back;
}

#[path = "both"]
mod file {
    use poppo_tests::Files as Server;

    #[allow(clippy::duplicate_mod, reason = "the same tests, on a file")]
    mod mirror;
    #[allow(clippy::duplicate_mod, reason = "the same tests, on a file")]
    mod way_back;
}

use std::process::Stdio;

use poppo_tests::command::{Following, poppo};
use poppo_tests::proxy::Lossy;
use poppo_tests::{Server, wait_until};
use rustix::process::Signal;
use server::way_back::{FILES, read};

#[test]
fn an_export_that_loses_its_server_leaves_what_was_there() {
    let server = Server::start();
    let mut connection = server.connect();
    for issue in 1..=3_000 {
        connection.ok(&format!("POPPO.ENQUEUE p {issue}"));
    }
    let lossy = Lossy::start(&server, &["POPPO.EXPORT"], 3);
    let mut export = poppo(&server, &["export", "--format", "poppobuilder", "state"]);
    export.args(["--url", lossy.url()]);
    let failed = poppo_tests::command::output(export);
    let message = String::from_utf8(failed.stderr).unwrap();
    assert_eq!((failed.status.code(), lossy.lost()), (Some(1), 1), "{message}");
    assert!(message.starts_with("poppo: "), "{message}");
    assert!(!server.dir().join("state").exists(), "the folder that was made for it is gone, too");
}

#[test]
fn a_mirror_survives_a_restart_of_the_server_and_a_log_that_is_cut() {
    let mut server = Server::builder().durable().start();
    let mut connection = server.connect();
    connection.ok("POPPO.CONFIG p SET events-kept 2");
    connection.ok("POPPO.ENQUEUE p 1");
    let mut mirror = Following::start(&server, &["--json", "mirror", "state"]);
    mirror.documents(1);
    server.kill9();
    wait_until("it notices", || {
        mirror.said().contains("the files stay as they are until then") || mirror.said().contains("trying again")
    });
    assert_eq!(read(&server, "pending-tasks.json").as_array().unwrap().len(), 1, "the files stay as they are");
    server.start_again();
    let mut connection = server.connect();
    for issue in 2..=60 {
        connection.ok(&format!("POPPO.ENQUEUE p {issue}"));
    }
    wait_until("all is there", || read(&server, "pending-tasks.json").as_array().unwrap().len() == 60);
    poppo_tests::command::signal(&mirror.child, Signal::TERM);
    assert_eq!(mirror.exit_code(), Some(0));
}

#[test]
fn a_project_that_is_gone_does_not_empty_the_files() {
    let server = Server::start();
    let mut connection = server.connect();
    connection.ok("POPPO.ENQUEUE p 1");
    let mirror = Following::start(&server, &["--json", "mirror", "state"]);
    mirror.documents(1);
    connection.ok("DEL p");
    // What somebody writes into the folder has it look.
    std::fs::write(server.dir().join("state/running-tasks.json"), "[]").unwrap();
    wait_until("it says so", || mirror.said().contains("there is no project p"));
    assert_eq!(read(&server, "pending-tasks.json").as_array().unwrap().len(), 1);
    connection.ok("POPPO.ENQUEUE p 2");
    wait_until("it goes on", || read(&server, "pending-tasks.json")[0]["issueNumber"] == 2);
    assert_eq!(read(&server, "running-tasks.json"), serde_json::json!({}));
}

#[test]
fn what_nobody_reads_any_more_ends_a_mirror() {
    let server = Server::start();
    server.connect().ok("POPPO.ENQUEUE p 1");
    let mut command = poppo(&server, &["--json", "mirror", "state"]);
    let mut mirror = command.stdout(Stdio::piped()).spawn().unwrap();
    wait_until("it writes", || FILES.iter().all(|file| server.dir().join("state").join(file).exists()));
    drop(mirror.stdout.take());
    assert!(mirror.wait().unwrap().success());
}
