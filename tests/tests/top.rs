//! `poppo top` in a real terminal, before a real server.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "in a test a panic is the report"
)]
#![allow(clippy::duplicate_mod, reason = "the same tests, on a server and on a file")]

use poppo_tests::Server;
use poppo_tests::command::{bare, output, poppo};
use poppo_tests::pty::Terminal;

use server::top::top;

#[path = "both"]
mod server {
    use poppo_tests::Server;

    pub(crate) mod top;
}

#[path = "both"]
mod file {
    use poppo_tests::Files as Server;

    #[allow(dead_code, reason = "some of it is for tests that only a server has")]
    #[allow(clippy::duplicate_mod, reason = "the same tests, on a file")]
    mod top;
}

#[test]
fn a_server_that_goes_away_is_waited_for() {
    let mut server = Server::builder().no_grace().durable().start();
    server.connect().ok("POPPO.CHECKOUT p 7 worker-7");
    let mut top = top(&server);
    top.wait_for("worker-7");
    server.shutdown("NOSAVE");
    top.wait_for("AWAY for");
    top.wait_for("worker-7");
    server.start_again();
    top.wait_without("AWAY");
    server.connect().ok("POPPO.CHECKOUT p 8 worker-8");
    top.wait_for("worker-8");
    top.press("q");
    assert_eq!(top.ended().code(), Some(0));
}

#[test]
fn without_a_terminal_it_says_what_to_use_instead() {
    let server = Server::start();
    for arguments in [&["top"][..], &["top", "--json"]] {
        let refused = output(poppo(&server, arguments));
        assert_eq!(refused.status.code(), Some(2), "{refused:?}");
        assert!(refused.stdout.is_empty(), "{refused:?}");
        let text = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(text.contains("poppo stats --json") && text.lines().count() == 1, "{text}");
    }
}

#[test]
fn what_is_wrong_from_the_start_is_said_without_taking_the_screen() {
    let plain = Server::plain().start();
    let mut top = Terminal::start(&poppo(&plain, &["top"]), 24, 80);
    assert_eq!(top.ended().code(), Some(1));
    top.wait_for("does not have the Poppo module");
    assert!(top.is_restored());
    let directory = tempfile::tempdir().unwrap();
    let mut nowhere = bare(directory.path());
    nowhere.args(["--url", "redis://127.0.0.1:1", "top"]);
    // A server that does not answer is waited for.
    let top = Terminal::start(&nowhere, 24, 80);
    top.wait_for("cannot reach");
    assert!(top.is_restored());
}
