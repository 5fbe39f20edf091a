//! EXPORT and IMPORT: on a server and in a file, and what only servers do with them.
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

    pub(super) mod moving;
    mod moving_cli;
}

#[path = "both"]
mod file {
    use poppo_tests::Files as Server;

    #[allow(clippy::duplicate_mod, reason = "the same tests, on a file")]
    mod moving;
    #[allow(clippy::duplicate_mod, reason = "the same tests, on a file")]
    mod moving_cli;
}

use poppo_tests::command::{json, output, poppo};
use poppo_tests::proxy::Lossy;
use poppo_tests::{History, Reply as _, Server, rewrite_aof, seed, wait_until};
use server::moving::{at_rest, export, import};

#[test]
fn replicas_and_files_agree_about_what_was_merged() {
    let mut primary = Server::builder().no_grace().arg("appendonly", "yes").arg("appendfsync", "no").start();
    // What a replica's own setting says must not matter.
    let replica = primary.replica(Server::builder().module_arg("restart-grace").module_arg(86_400_000));
    let mut connection = primary.connect();
    let first = seed(800);
    let projects = ["p", "q"];
    for seed in first..first + 4 {
        connection.ok("DEL p q");
        History::new("p", seed).run(&mut connection, 300);
        History::new("q", seed + 100).run(&mut connection, 300);
        at_rest(&mut connection, "p");
        // A replica tells the same.
        primary.wait_for_replicas(&[&replica]);
        let pieces = export(&mut replica.connect(), "p", 10);
        assert_eq!(pieces, export(&mut connection, "p", 10));
        for piece in pieces.iter().chain(pieces.first()) {
            assert_eq!(connection.call(&import("q", piece)).error(), None);
        }
        // What follows is built upon it.
        History::new("q", seed + 200).run(&mut connection, 100);
        primary.wait_for_replicas(&[&replica]);
        for project in projects {
            assert!(replica.connect().dump(project) == connection.dump(project), "seed {seed}, {project}");
        }
    }
    assert_eq!(replica.connect().info("poppo", "poppo_apply_failures"), "0");
    let before = projects.map(|project| connection.dump(project));
    primary.restart();
    let mut connection = primary.connect();
    assert!(projects.map(|project| connection.dump(project)) == before, "the AOF tells another history");
    assert_eq!(connection.info("poppo", "poppo_apply_failures"), "0");
    rewrite_aof(&mut connection);
    primary.restart();
    assert!(projects.map(|project| primary.connect().dump(project)) == before, "the rewritten AOF tells another");
}

#[test]
fn what_changes_nothing_is_not_replicated() {
    let primary = Server::start();
    let replica = primary.replica(Server::builder());
    let mut connection = primary.connect();
    connection.ok("POPPO.CHECKOUT p 1 w1");
    let lines = export(&mut connection, "p", 10).concat();
    primary.wait_for_replicas(&[&replica]);
    connection.call(&import("q", &lines));
    primary.wait_for_replicas(&[&replica]);
    let calls = |server: &Server| server.connect().info("commandstats", "cmdstat_POPPO.IMPORT");
    let before = calls(&replica);
    assert!(before.contains("calls=1,"), "{before}");
    connection.call(&import("q", &lines));
    connection.call(&import("absent", &[]));
    primary.wait_for_replicas(&[&replica]);
    assert_eq!(calls(&replica), before);
    assert_eq!(connection.int("EXISTS absent"), 0);
}

#[test]
fn a_task_that_comes_wakes_who_waits_for_one() {
    let server = Server::start();
    let mut connection = server.connect();
    connection.ok("POPPO.ENQUEUE p 7 TYPE fix");
    let lines = export(&mut connection, "p", 10).concat();
    let mut worker = server.connect();
    let waiting = std::thread::spawn(move || worker.ok("POPPO.CLAIM q w1 BLOCK 0").count("issue"));
    wait_until("it waits", || connection.info("poppo", "poppo_blocked_claims") == "1");
    connection.call(&import("q", &lines));
    assert_eq!(waiting.join().unwrap(), 7);
}

/// A server with more tasks in a project than one call answers.
fn large() -> Server {
    let server = Server::start();
    let mut connection = server.connect();
    for issue in 1..=7_000 {
        connection.ok(&format!("POPPO.ENQUEUE p {issue}"));
    }
    server
}

#[test]
fn a_server_that_goes_away_during_a_backup_leaves_no_file() {
    let server = large();
    let lossy = Lossy::start(&server, &["POPPO.EXPORT"], 3);
    let mut export = poppo(&server, &["export", "backup.jsonl"]);
    export.args(["--url", lossy.url()]);
    let before = std::fs::read_dir(server.dir()).unwrap().count();
    let failed = output(export);
    let message = String::from_utf8(failed.stderr).unwrap();
    assert_eq!((failed.status.code(), lossy.lost()), (Some(1), 1), "{message}");
    assert!(message.starts_with("poppo: "), "{message}");
    assert_eq!(std::fs::read_dir(server.dir()).unwrap().count(), before);
    assert_eq!(json(poppo(&server, &["export", "backup.jsonl"]))["entries"], 7_001);
}

#[test]
fn an_import_that_lost_its_server_is_started_again_and_does_the_rest() {
    let server = large();
    json(poppo(&server, &["export", "backup.jsonl"]));
    let lossy = Lossy::start(&server, &["POPPO.IMPORT"], 2);
    let mut import = poppo(&server, &["import", "backup.jsonl", "--project", "q"]);
    import.args(["--url", lossy.url()]);
    let failed = output(import);
    let message = String::from_utf8(failed.stderr).unwrap();
    assert_eq!((failed.status.code(), lossy.lost()), (Some(1), 1), "{message}");
    assert!(message.contains("entries were merged, start again for the rest"), "{message}");
    let rest = json(poppo(&server, &["import", "backup.jsonl", "--project", "q", "--verify"]));
    // What was merged without an answer is there, too.
    assert!(rest["unchanged"].as_u64() > Some(0) && rest["tasks"].as_u64() > Some(0), "{rest}");
    assert_eq!(rest["unchanged"].as_u64().unwrap() + rest["tasks"].as_u64().unwrap(), 7_001);
}
