//! `poppo import DIR`: PoppoBuilder's state folder, on a server and in a file.
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

    pub(super) mod folder;
}

#[path = "both"]
mod file {
    use poppo_tests::Files as Server;

    #[allow(dead_code, reason = "some of it is for tests that only a server has")]
    #[allow(clippy::duplicate_mod, reason = "the same tests, on a file")]
    mod folder;
}

use poppo_tests::command::{json, output, poppo};
use poppo_tests::proxy::Lossy;
use poppo_tests::{Reply as _, Server, poppobuilder};
use server::folder::state;

#[test]
fn an_import_that_lost_its_server_is_started_again_and_does_the_rest() {
    let server = Server::start();
    let folder = state(&server);
    let many: Vec<String> = (0..12_000).map(|place| poppobuilder::comment(7, place)).collect();
    poppobuilder::write(&folder, "processed-comments.json", &serde_json::json!({ "7": many }));
    let lossy = Lossy::start(&server, &["POPPO.IMPORT"], 2);
    let mut import = poppo(&server, &["import", "state"]);
    import.args(["--url", lossy.url()]);
    let failed = output(import);
    let message = String::from_utf8(failed.stderr).unwrap();
    assert_eq!((failed.status.code(), lossy.lost()), (Some(1), 1), "{message}");
    assert!(message.contains("entries were merged, start again for the rest"), "{message}");
    assert_eq!(message.lines().count(), 1, "{message}");
    let rest = json(poppo(&server, &["import", "state"]));
    let counts = ["unchanged", "finished"].map(|what| rest["imported"][what].as_u64().unwrap());
    assert!(counts.iter().all(|count| *count > 0) && counts[0] + counts[1] >= 12_000, "{rest}");
    assert_eq!(rest["plan"]["comments"], 12_000);
    // More ids than a project remembers by itself are remembered, too.
    assert!(server.connect().ok("POPPO.CONFIG p GET finished-kept").count("finished-kept") > 12_000);
    assert_eq!(server.connect().ok(&format!("POPPO.ENQUEUE p 7 ID {}", many[0])), redis::Value::Int(0));
}
