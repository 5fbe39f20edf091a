//! URLs, passwords, certificates, Sentinels, clusters, copies: how a server is found, and what is said where it is not.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "in a test a panic is the report"
)]

use std::time::Duration;

use poppo::{Checkin, Checkout, Client, Durability, Error, IssueNumber, Outcome};
use poppo_tests::cluster::Cluster;
use poppo_tests::command::{bare, output};
use poppo_tests::sentinel::Sentinels;
use poppo_tests::tls::Certificates;
use poppo_tests::{Connection, Reply as _, Server, free_port, wait_until};
use serde_json::Value;

/// What `poppo` prints; it must succeed.
#[track_caller]
fn answer(url: &str, arguments: &[&str]) -> String {
    let mut command = bare(&std::env::temp_dir());
    command.args(["--url", url, "--project", "p"]).args(arguments);
    let output = output(command);
    assert!(output.status.success(), "{url} {arguments:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// How `poppo` fails: its exit code, the code of its error, and its sentence, which is one and tells no secret.
#[track_caller]
fn failure(url: &str, arguments: &[&str]) -> (i32, String, String) {
    let mut command = bare(&std::env::temp_dir());
    command.args(["--json", "--url", url, "--project", "p"]).args(arguments);
    let output = output(command);
    let text = String::from_utf8(output.stderr).unwrap();
    let error: Value = serde_json::from_str(&text).unwrap_or_else(|_| panic!("{url}: {text}"));
    let word = |name: &str| error["error"][name].as_str().unwrap().to_owned();
    let message = word("message");
    assert!(!message.contains("secret") && !message.contains('\n') && !message.contains("panicked"), "{message}");
    println!("{message}");
    (output.status.code().unwrap(), word("code"), message)
}

#[track_caller]
fn assert_fails(url: &str, exit: i32, code: &str, words: &str) {
    let (found_exit, found_code, message) = failure(url, &["list"]);
    assert_eq!((found_exit, found_code.as_str()), (exit, code), "{url}: {message}");
    assert!(message.contains(words), "{url}: {message}");
}

#[test]
fn tls_is_spoken_with_whom_an_authority_vouches_for() {
    let (certificates, others) = (Certificates::new(), Certificates::new());
    let builder = Server::builder().arg("tls-auth-clients", "no");
    let Some(server) = builder.start_with_tls(&certificates) else { return };
    let port = server.tls_port();
    let url = |host: &str, trusting: &Certificates| format!("rediss://{host}:{port}?{}", trusting.trusted());
    let good = url("127.0.0.1", &certificates);
    answer(&good, &["enqueue", "7"]);
    assert!(answer(&good, &["claim", "--process", "w", "--block", "5s"]).contains('7'));
    assert_eq!(server.connect().ok("POPPO.GET p 7").field("process"), "w");

    assert_fails(&url("127.0.0.1", &others), 1, "TLS", "ca=");
    assert_fails(&format!("rediss://127.0.0.1:{port}"), 1, "TLS", "ca=");
    assert_fails(&url("localhost", &certificates), 1, "TLS", "name");
    // Each waits for the other to say something it understands.
    assert_fails(&format!("rediss://127.0.0.1:{}", server.port()), 1, "UNREACHABLE", "did not answer");
    let (exit, code, _) = failure(&format!("redis://127.0.0.1:{port}"), &["list"]);
    assert_eq!((exit, code.as_str()), (1, "UNREACHABLE"));
}

/// The URL of a server that wants a certificate of ours.
fn with_ours(url: &str, certificates: &Certificates) -> String {
    let file = |kind: &str| certificates.file(kind).display().to_string();
    format!("{url}&cert={}&key={}", file("crt"), file("key"))
}

#[test]
fn a_server_that_wants_a_certificate_gets_ours() {
    let certificates = Certificates::new();
    let Some(server) = Server::builder().start_with_tls(&certificates) else { return };
    let url = format!("rediss://127.0.0.1:{}?{}", server.tls_port(), certificates.trusted());
    assert_fails(&url, 1, "TLS", "cert=");
    answer(&with_ours(&url, &certificates), &["list"]);
}

#[test]
fn who_is_not_let_in_is_told_why() {
    let server = Server::start();
    let port = server.port();
    let mut connection = server.connect();
    connection.ok("CONFIG SET requirepass secret");
    answer(&format!("redis://:secret@127.0.0.1:{port}"), &["list"]);
    assert_fails(&format!("redis://127.0.0.1:{port}"), 1, "NOAUTH", "redis://user:password@host");
    assert_fails(&format!("redis://:secret1@127.0.0.1:{port}"), 1, "NOAUTH", "password");
    assert_fails("redis://h:1/x", 2, "URL", "number");
    assert_fails("http://:secret@h", 2, "URL", "redis+sentinel");
    connection.ok("CONFIG SET requirepass \"\"");
    let plain = Server::plain().start();
    assert_fails(&plain.url(), 1, "NOMODULE", "libpoppo.so");
}

#[test]
fn sentinels_and_nodes_that_are_none_are_told_apart() {
    let server = Server::start();
    let sentinels = Sentinels::start(1, &server, 0, Duration::from_secs(5));
    let url = sentinels.url();
    assert!(answer(&url, &["checkout", "1", "--process", "w"]).trim().parse::<u64>().is_ok());
    assert_eq!(server.connect().ok("POPPO.GET p 1").field("process"), "w");
    assert_fails(&url.replace("/main", "/other"), 2, "URL", "other");
    let port = server.port();
    assert_fails(&format!("redis+sentinel://127.0.0.1:{port}/main"), 2, "URL", "not a Sentinel");
    assert_fails(&format!("redis+cluster://127.0.0.1:{port}"), 2, "URL", "redis://");
    let closed = free_port();
    assert_fails(&format!("redis+sentinel://127.0.0.1:{closed}/main"), 1, "UNREACHABLE", "127.0.0.1");
    assert_fails(&format!("redis+cluster://127.0.0.1:{closed}"), 1, "UNREACHABLE", "127.0.0.1");
    let mut watcher = sentinels.connect();
    watcher.ok("ACL SETUSER default resetpass >secret");
    assert_fails(&url, 1, "NOAUTH", "sentinel-pass");
    assert_fails(&format!("{url}?sentinel-pass=secret1"), 1, "NOAUTH", "sentinel-pass");
    answer(&format!("{url}?sentinel-pass=secret"), &["list"]);
    watcher.ok("ACL SETUSER default nopass");
    // One of several is enough.
    let some = url.replace("redis+sentinel://", &format!("redis+sentinel://127.0.0.1:{closed},"));
    answer(&some, &["list"]);
}

#[test]
fn sentinels_are_asked_by_tls_and_tell_where_the_primary_is_after_a_failover_too() {
    let certificates = Certificates::new();
    let builder = || Server::builder().no_grace();
    let Some(mut primary) = builder().start_with_tls(&certificates) else { return };
    let replica = primary.replica(builder().tls(&certificates));
    let down_after = Duration::from_secs(2);
    let sentinels = Sentinels::start_with_tls(1, &primary, 1, down_after, &certificates);
    let trusting = |certificates: &Certificates| format!("{}?{}", sentinels.tls_url(), certificates.trusted());
    assert_fails(&trusting(&certificates), 1, "TLS", "cert=");
    assert_fails(&with_ours(&trusting(&Certificates::new()), &certificates), 1, "TLS", "ca=");
    let url = with_ours(&trusting(&certificates), &certificates);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let project = runtime.block_on(Client::connect(&url)).unwrap().project("p");
    let take = |issue: u64| {
        let issue = IssueNumber::try_from(issue).unwrap();
        runtime.block_on(project.checkout(&Checkout::new(issue, "w")))
    };
    take(1).unwrap();
    primary.wait_for_replicas(&[&replica]);
    primary.kill9();
    // The same client looks up anew where the primary is.
    wait_until("there is a primary again", || take(2).is_ok());
    let mut heir = replica.connect();
    assert_eq!(heir.ok("POPPO.GET p 1").field("process"), "w");
    assert_eq!(heir.ok("POPPO.GET p 2").field("process"), "w");
    wait_until("the Sentinel says so", || sentinels.primary() == replica.tls_port());
}

#[test]
fn a_cluster_is_followed_to_where_the_project_is_even_while_it_moves() {
    let cluster = Cluster::start(3, &Server::builder().no_grace());
    let (_, owner) = cluster.slot("p");
    let other = cluster.node((owner + 1) % 3);
    let url = format!("redis+cluster://127.0.0.1:{}", other.port());
    answer(&url, &["enqueue", "1"]);
    assert_fails(&other.url(), 1, "MOVED", "redis+cluster://");
    assert_followed(&cluster, &url, Server::port);
}

#[test]
fn a_cluster_is_followed_by_tls_too() {
    let certificates = Certificates::new();
    // Whether these servers can at all is said by one that has nothing else to do.
    if Server::plain().start_with_tls(&certificates).is_none() {
        return;
    }
    let cluster = Cluster::start(3, &Server::builder().no_grace().tls(&certificates));
    let (_, owner) = cluster.slot("p");
    let other = cluster.node((owner + 1) % 3);
    let url = format!("rediss+cluster://127.0.0.1:{}?{}", other.tls_port(), certificates.trusted());
    assert_fails(&url, 1, "TLS", "cert=");
    let url = with_ours(&url, &certificates);
    answer(&url, &["enqueue", "1"]);
    assert_fails(&url.replace(&certificates.trusted(), &Certificates::new().trusted()), 1, "TLS", "ca=");
    assert_followed(&cluster, &url, Server::tls_port);
}

/// Moves the slot of `p`, which has issue 1, to the next node, and asks a client for it at each step. The nodes speak to
/// each other at these ports.
#[track_caller]
fn assert_followed(cluster: &Cluster, url: &str, port: impl Fn(&Server) -> u16) {
    let (slot, owner) = cluster.slot("p");
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let project = runtime.block_on(Client::connect(url)).unwrap().project("p");
    let get = |issue: u64| runtime.block_on(project.get(IssueNumber::try_from(issue).unwrap()));
    assert!(get(1).unwrap().is_some());
    // Half moved: what the old node does not have is asked for at the new one.
    let (from, to) = (cluster.node(owner), cluster.node((owner + 1) % 3));
    let (from_id, to_id) = (poppo_tests::cluster::id(from), poppo_tests::cluster::id(to));
    to.connect().ok(&format!("CLUSTER SETSLOT {slot} IMPORTING {from_id}"));
    from.connect().ok(&format!("CLUSTER SETSLOT {slot} MIGRATING {to_id}"));
    from.connect().ok(&format!("MIGRATE 127.0.0.1 {} p 0 5000", port(to)));
    assert!(get(1).unwrap().is_some(), "ASK is followed");
    for node in cluster.nodes() {
        node.connect().ok(&format!("CLUSTER SETSLOT {slot} NODE {to_id}"));
    }
    assert!(get(1).unwrap().is_some(), "MOVED is followed");
}

/// Has a server do nothing for a while.
fn freeze(server: &Server) -> std::thread::JoinHandle<()> {
    let mut connection = server.connect();
    std::thread::spawn(move || drop(connection.ok("DEBUG SLEEP 2")))
}

#[test]
fn a_write_waits_for_its_copies_and_says_when_there_are_too_few() {
    let server = Server::start();
    let url = format!("{}?durability=replicas=1,timeout=200ms", server.url());
    // Without a replica: done, said, and its answer is there.
    let mut command = bare(server.dir());
    command.args(["--url", &url, "--project", "p", "checkout", "1", "--process", "w"]);
    let alone = output(command);
    assert_eq!(alone.status.code(), Some(1), "{alone:?}");
    assert!(String::from_utf8_lossy(&alone.stderr).contains("0 of 1 replicas"), "{alone:?}");
    let token = String::from_utf8(alone.stdout).unwrap().trim().to_owned();
    assert_eq!(server.connect().ok("POPPO.GET p 1").count("token").to_string(), token);
    let (exit, code, _) = failure(&url, &["checkout", "2", "--process", "w"]);
    assert_eq!((exit, code.as_str()), (1, "UNCONFIRMED"));

    // The disk can be asked about by some servers, where they keep an AOF.
    assert_fails(&format!("{}?durability=aof", server.url()), 1, "DURABILITY", "AOF");

    let replica = server.replica(Server::builder().no_grace());
    wait_until("the replica confirms", || {
        let mut command = bare(server.dir());
        command.args(["--url", &url, "--project", "p", "checkout", "3", "--process", "w"]);
        output(command).status.success()
    });

    // A check-in that is repeated on a new connection writes nothing, and is not taken for confirmed all the same.
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let durability: Durability = "replicas=1,timeout=100ms".parse().unwrap();
    let project = || {
        let client = runtime.block_on(async { Client::connect(&server.url()).await?.durable(Some(durability)).await });
        client.unwrap().project("p")
    };
    let issue = IssueNumber::try_from(4).unwrap();
    let token = runtime.block_on(project().checkout(&Checkout::new(issue, "w4"))).unwrap();
    let mut done = Checkin::new(issue, "w4", Outcome::Completed);
    done.token = Some(token);
    let frozen = freeze(&replica);
    wait_until("the replica is frozen", || {
        let first = runtime.block_on(project().checkin(&done));
        matches!(first, Err(Error::Unconfirmed { .. }))
    });
    for _ in 0..3 {
        let again = runtime.block_on(project().checkin(&done));
        assert!(matches!(again, Err(Error::Unconfirmed { .. })), "{again:?}");
    }
    frozen.join().unwrap();
    wait_until("the replica has it", || runtime.block_on(project().checkin(&done)).is_ok());
    assert_eq!(replica.connect().ok("POPPO.GET p 4").field("status"), "completed");
}

#[test]
fn a_write_waits_for_disks_where_the_server_can_tell() {
    let server = Server::builder().no_grace().durable().start();
    let mut connection = server.connect();
    if connection.cmd("WAITAOF 0 0 1").error().is_some() {
        println!("skipped: this server has no WAITAOF");
        assert_fails(&format!("{}?durability=aof", server.url()), 1, "DURABILITY", "WAITAOF");
        return;
    }
    let asked = |connection: &mut Connection| {
        let stats = connection.info("commandstats", "cmdstat_waitaof");
        stats.split(',').next().and_then(|field| field.strip_prefix("calls=")?.parse::<u64>().ok()).unwrap()
    };
    let before = asked(&mut connection);
    let url = |text: &str| format!("{}?durability={text},timeout=200ms", server.url());
    answer(&url("aof"), &["checkout", "1", "--process", "w"]);
    answer(&url("aof"), &["checkin", "1", "--process", "w", "--status", "completed"]);
    // Each asks once whether the server can tell, and once for its write.
    assert_eq!(asked(&mut connection), before + 4);

    let (exit, code, message) = failure(&url("aof,replicas=1"), &["checkout", "2", "--process", "w"]);
    assert_eq!((exit, code.as_str()), (1, "UNCONFIRMED"));
    assert!(message.contains("0 of 1 replicas"), "{message}");
    let replica = server.replica(Server::builder().no_grace());
    let (_, code, _) = failure(&url("aof,replicas=1"), &["checkout", "3", "--process", "w"]);
    assert_eq!(code, "UNCONFIRMED", "a replica without an AOF has it in its memory only");
    replica.connect().ok("CONFIG SET appendonly yes");
    wait_until("the replica's disk confirms", || {
        let mut command = bare(server.dir());
        command.args(["--url", &url("aof,replicas=1"), "--project", "p", "checkout", "4", "--process", "w"]);
        output(command).status.success()
    });
}
