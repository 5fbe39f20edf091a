//! The queue's commands of `poppo`, as a shell or a script uses them.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "in a test a panic is the report"
)]
#![allow(clippy::duplicate_mod, reason = "the same tests, on a server and on a file")]

use poppo_tests::command::{Following, refusal};
use poppo_tests::{Reply as _, Server, wait_until};
use rustix::process::Signal;
use serde_json::Value;

#[path = "both"]
mod server {
    use poppo_tests::Server;

    pub(crate) mod queue_cli;
}

#[path = "both"]
mod file {
    use poppo_tests::Files as Server;

    #[allow(dead_code, reason = "some of it is for tests that only a server has")]
    #[allow(clippy::duplicate_mod, reason = "the same tests, on a file")]
    mod queue_cli;
}

#[test]
fn a_claim_waits_for_a_task_and_survives_what_breaks_its_wait_off() {
    let mut server = Server::builder().no_grace().durable().start();
    let mut connection = server.connect();
    let (exit, _, _) = refusal(&server, &["claim", "--process", "w", "--block", "50ms"]);
    assert_eq!(exit, 75);
    let mut waiting = Following::start(&server, &["claim", "--process", "w", "--block", "--json"]);
    let is_waiting = |server: &Server| {
        server.connect().text("CLIENT LIST").lines().find(|line| line.contains("cmd=POPPO.CLAIM")).map(str::to_owned)
    };
    let mut client = None;
    wait_until("it waits", || {
        client = is_waiting(&server);
        client.is_some()
    });
    let id = client.unwrap().split(' ').next().unwrap().trim_start_matches("id=").to_owned();
    connection.ok(&format!("CLIENT UNBLOCK {id} ERROR"));
    wait_until("it waits again", || is_waiting(&server).is_some());
    server.connect().ok("CLIENT KILL TYPE normal SKIPME yes");
    server.kill9();
    server.start_again();
    wait_until("it waits again", || is_waiting(&server).is_some());
    server.connect().ok("POPPO.ENQUEUE p 7");
    assert_eq!(waiting.exit_code(), Some(0), "{}", waiting.said());
    let claimed: Value = serde_json::from_str(&waiting.written()).unwrap();
    assert_eq!(claimed["issue"], 7);
    assert_eq!(server.connect().ok("POPPO.GET p 7").count("token"), claimed["token"].as_i64().unwrap());
}

#[test]
fn a_claim_that_is_broken_off_takes_nothing() {
    let server = Server::start();
    let mut connection = server.connect();
    let waiting = Following::start(&server, &["claim", "--process", "w", "--block"]);
    wait_until("it waits", || connection.text("CLIENT LIST").contains("cmd=POPPO.CLAIM"));
    poppo_tests::command::signal(&waiting.child, Signal::INT);
    wait_until("the server has noticed", || !connection.text("CLIENT LIST").contains("cmd=POPPO.CLAIM"));
    connection.ok("POPPO.ENQUEUE p 7");
    assert_eq!(connection.ok("POPPO.GET p 7").field("status"), "queued");
}
