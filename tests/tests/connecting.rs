//! URLs, passwords, certificates, Sentinels, clusters, copies: how a server is found, and what is said where it is not.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "in a test a panic is the report"
)]

use std::path::Path;
use std::time::Duration;

use poppo::{Checkin, Checkout, Client, Durability, Error, IssueNumber, Outcome};
use poppo_tests::cluster::Cluster;
use poppo_tests::command::{bare, output};
use poppo_tests::sentinel::Sentinels;
use poppo_tests::{Reply as _, Server, free_port, wait_until};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
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

/// Writes an authority and a certificate of its making for a server; the names of the files begin with `name`.
fn certify(directory: &Path, name: &str, subject: &str) {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, format!("the authority of {name}"));
    let key = KeyPair::generate().unwrap();
    let authority = params.self_signed(&key).unwrap();
    let issuer = Issuer::new(params, key);
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec![subject.to_owned()]).unwrap();
    params.distinguished_name.push(DnType::CommonName, subject);
    let certificate = params.signed_by(&key, &issuer).unwrap();
    let write = |kind: &str, text: String| std::fs::write(directory.join(format!("{name}.{kind}")), text).unwrap();
    write("ca", authority.pem());
    write("crt", certificate.pem());
    write("key", key.serialize_pem());
}

/// A server that also speaks TLS, at this port; none where it was built without.
fn with_tls(directory: &Path, wants_ours: bool) -> Option<(Server, u16)> {
    let port = free_port();
    let file = |kind: &str| format!("\"{}\"", directory.join(format!("server.{kind}")).display());
    let server = Server::builder()
        .arg("tls-port", port)
        .arg("tls-cert-file", file("crt"))
        .arg("tls-key-file", file("key"))
        .arg("tls-ca-cert-file", file("ca"))
        .arg("tls-auth-clients", if wants_ours { "yes" } else { "no" })
        .try_start();
    match server {
        Ok(server) => Some((server, port)),
        Err(log) if log.contains("Bad directive") || log.contains("TLS") => {
            println!("skipped: this redis-server was built without TLS");
            None
        }
        Err(log) => panic!("{log}"),
    }
}

#[test]
fn tls_is_spoken_with_whom_an_authority_vouches_for() {
    let directory = tempfile::tempdir().unwrap();
    certify(directory.path(), "server", "127.0.0.1");
    certify(directory.path(), "other", "127.0.0.1");
    let Some((server, port)) = with_tls(directory.path(), false) else { return };
    let url = |host: &str, ca: &str| {
        format!("rediss://{host}:{port}?ca={}", directory.path().join(format!("{ca}.ca")).display())
    };
    let good = url("127.0.0.1", "server");
    answer(&good, &["enqueue", "7"]);
    assert!(answer(&good, &["claim", "--process", "w", "--block", "5s"]).contains('7'));
    assert_eq!(server.connect().ok("POPPO.GET p 7").field("process"), "w");

    assert_fails(&url("127.0.0.1", "other"), 1, "TLS", "ca=");
    assert_fails(&format!("rediss://127.0.0.1:{port}"), 1, "TLS", "ca=");
    assert_fails(&url("localhost", "server"), 1, "TLS", "name");
    // Each waits for the other to say something it understands.
    assert_fails(&format!("rediss://127.0.0.1:{}", server.port()), 1, "UNREACHABLE", "did not answer");
    let (exit, code, _) = failure(&format!("redis://127.0.0.1:{port}"), &["list"]);
    assert_eq!((exit, code.as_str()), (1, "UNREACHABLE"));
}

#[test]
fn a_server_that_wants_a_certificate_gets_ours() {
    let directory = tempfile::tempdir().unwrap();
    certify(directory.path(), "server", "127.0.0.1");
    let Some((_server, port)) = with_tls(directory.path(), true) else { return };
    let file = |kind: &str| directory.path().join(format!("server.{kind}")).display().to_string();
    let url = format!("rediss://127.0.0.1:{port}?ca={}", file("ca"));
    assert_fails(&url, 1, "TLS", "cert=");
    answer(&format!("{url}&cert={}&key={}", file("crt"), file("key")), &["list"]);
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
fn a_cluster_is_followed_to_where_the_project_is_even_while_it_moves() {
    let cluster = Cluster::start(3, &Server::builder().no_grace());
    let (slot, owner) = cluster.slot("p");
    let other = (owner + 1) % 3;
    let url = format!("redis+cluster://127.0.0.1:{}", cluster.node(other).port());
    answer(&url, &["enqueue", "1"]);
    assert_fails(&cluster.node(other).url(), 1, "MOVED", "redis+cluster://");

    let runtime = tokio::runtime::Runtime::new().unwrap();
    let project = runtime.block_on(Client::connect(&url)).unwrap().project("p");
    let get = |issue: u64| runtime.block_on(project.get(IssueNumber::try_from(issue).unwrap()));
    assert!(get(1).unwrap().is_some());
    // Half moved: what the old node does not have is asked for at the new one.
    let (from, to) = (cluster.node(owner), cluster.node(other));
    let (from_id, to_id) = (poppo_tests::cluster::id(from), poppo_tests::cluster::id(to));
    to.connect().ok(&format!("CLUSTER SETSLOT {slot} IMPORTING {from_id}"));
    from.connect().ok(&format!("CLUSTER SETSLOT {slot} MIGRATING {to_id}"));
    from.connect().ok(&format!("MIGRATE 127.0.0.1 {} p 0 5000", to.port()));
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
