//! A project moves between the nodes of a cluster while its workers work.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "in a test a panic is the report"
)]

use poppo_tests::cluster::{Cluster, id};
use poppo_tests::load::{Acknowledged, Load};
use poppo_tests::{Reply as _, Server, wait_until};

/// The project that moves; one of two keys in its slot.
const PROJECT: &str = "{acme}/widgets";
const NEIGHBOUR: &str = "{acme}/gadgets";

/// How many work on it.
const WORKERS: usize = 3;

/// Moves a slot between two nodes; the load tells how far the workers have come.
type Move = fn(cluster: &Cluster, slot: usize, from: usize, to: usize, load: &Load);

/// Moves the project's slot all the way round under load, and once more to the node after its first. Nothing that was
/// acknowledged is lost, on that node, in its AOF after a kill, or on its replica.
fn assert_moves_whole(migrate: Move) {
    let builder = Server::builder().durable();
    let mut cluster = Cluster::start(3, &builder);
    let (slot, first) = cluster.slot(PROJECT);
    let target = (first + 1) % 3;
    let replica = cluster.replica(target, &builder);

    let mut connection = cluster.node(first).connect();
    // Several pieces of lives and of issues.
    for issue in 1..=300 {
        connection.ok(&format!("POPPO.CHECKOUT {NEIGHBOUR} {issue} w-{issue} TITLE \"müßig\" PID {issue} HOST h"));
    }
    connection.ok(&format!("POPPO.LIVENESS {NEIGHBOUR} w-7 DEAD HOST h PID 7"));
    let neighbour = connection.dump(NEIGHBOUR);

    let load = Load::on(PROJECT);
    let (acknowledged, followed) = std::thread::scope(|scope| {
        let stop = load.stop();
        let workers: Vec<_> = (0..WORKERS)
            .map(|number| {
                let (load, mut client) = (&load, cluster.client(number));
                scope.spawn(move || (load.work(number, WORKERS, &mut client), client.moved + client.asked))
            })
            .collect();
        for step in 0..4 {
            load.wait_for(100);
            migrate(&cluster, slot, (first + step) % 3, (first + step + 1) % 3, &load);
        }
        load.wait_for(100);
        drop(stop);
        let done: Vec<_> = workers.into_iter().map(|worker| worker.join().unwrap()).collect();
        let followed = done.iter().map(|(_, followed)| followed).sum::<usize>();
        (done.into_iter().flat_map(|(done, _)| done).collect::<Vec<Acknowledged>>(), followed)
    });
    assert!(followed >= 4 * WORKERS, "the workers were sent elsewhere only {followed} times");
    assert!(acknowledged.len() >= 500, "{}", acknowledged.len());

    let mut connection = cluster.node(target).connect();
    load.assert_all_there(&mut connection, &acknowledged);
    let whole = connection.dump(PROJECT);
    assert!(connection.dump(NEIGHBOUR) == neighbour, "the project that nobody worked on has changed");
    for (index, node) in cluster.nodes().iter().enumerate() {
        let mut connection = node.connect();
        let expected = if index == target { "2" } else { "0" };
        wait_until("what went is freed", || connection.info("poppo", "poppo_projects") == expected);
        assert_eq!(connection.info("poppo", "poppo_apply_failures"), "0", "node {index}: {}", node.log());
        assert_eq!(connection.info("poppo", "poppo_panics"), "0", "node {index}");
        assert_eq!(connection.ok(&format!("CLUSTER COUNTKEYSINSLOT {slot}")).number().to_string(), expected);
    }

    cluster.node(target).wait_for_replicas(&[&replica]);
    let dumps = |server: &Server| {
        let mut connection = server.connect();
        connection.ok("READONLY");
        assert_eq!(connection.info("poppo", "poppo_apply_failures"), "0", "{}", server.log());
        (connection.dump(PROJECT), connection.dump(NEIGHBOUR))
    };
    let whole = (whole, neighbour);
    assert!(dumps(&replica) == whole, "the replica has something else");

    // Each by itself: what it has is in its own AOF.
    let mut connection = replica.connect();
    wait_until("the replica has an AOF", || connection.info("persistence", "aof_rewrite_in_progress") == "0");
    connection.ok("DEBUG LOADAOF");
    assert!(dumps(&replica) == whole, "the replica's AOF holds something else");
    for index in 0..3 {
        cluster.node_mut(index).kill9();
        cluster.node_mut(index).start_again();
    }
    cluster.wait(4);
    assert!(dumps(cluster.node(target)) == whole, "the AOF holds something else");
    for index in (0..3).filter(|index| *index != target) {
        assert_eq!(cluster.node(index).connect().info("poppo", "poppo_projects"), "0", "node {index}");
    }
    replica.wait_for_sync();

    // It goes on, and its tokens with it.
    let token = cluster.node(target).connect().int(&format!("POPPO.CHECKOUT {PROJECT} 1000000 late"));
    assert!(token > load.newest());
}

/// The way of all versions: key by key, the clients sent after them with ASK.
fn key_by_key(cluster: &Cluster, slot: usize, from: usize, to: usize, load: &Load) {
    let (source, target) = (cluster.node(from), cluster.node(to));
    let (mut giver, mut taker) = (source.connect(), target.connect());
    taker.ok(&format!("CLUSTER SETSLOT {slot} IMPORTING {}", id(source)));
    giver.ok(&format!("CLUSTER SETSLOT {slot} MIGRATING {}", id(target)));
    // The keys are still there; then they are not, and the source sends everybody on.
    load.wait_for(20);
    loop {
        let keys = giver.ok(&format!("CLUSTER GETKEYSINSLOT {slot} 1"));
        let Some(key) = keys.rows().first().and_then(|key| key.text()) else { break };
        giver.ok(&format!("MIGRATE 127.0.0.1 {} {key} 0 10000", target.port()));
        load.wait_for(20);
    }
    // First to those who have it and had it, so that nobody is left who would refuse it.
    taker.ok(&format!("CLUSTER SETSLOT {slot} NODE {}", id(target)));
    giver.ok(&format!("CLUSTER SETSLOT {slot} NODE {}", id(target)));
    for other in cluster.nodes() {
        other.connect().ok(&format!("CLUSTER SETSLOT {slot} NODE {}", id(target)));
    }
}

/// Valkey's way: the whole slot at once, in the background.
fn at_once(cluster: &Cluster, slot: usize, from: usize, to: usize, _: &Load) {
    let mut giver = cluster.node(from).connect();
    giver.ok(&format!("CLUSTER MIGRATESLOTS SLOTSRANGE {slot} {slot} NODE {}", id(cluster.node(to))));
    wait_until("the slot has moved", || {
        let migrations = giver.ok("CLUSTER GETSLOTMIGRATIONS");
        // The last that began comes first.
        let last = &migrations.rows()[0];
        let state = last.field("state");
        assert!(!matches!(state.as_str(), "failed" | "cancelled"), "{last:?}\n{}", cluster.node(from).log());
        state == "success"
    });
}

#[test]
fn a_project_that_migrates_key_by_key_under_load_loses_nothing() {
    assert_moves_whole(key_by_key);
}

#[test]
fn a_project_whose_slot_migrates_at_once_under_load_loses_nothing() {
    let asked = Server::plain().cluster().start().connect().refusal("CLUSTER MIGRATESLOTS");
    if asked.contains("unknown subcommand") {
        println!("skipped: this server has no CLUSTER MIGRATESLOTS");
        return;
    }
    assert_moves_whole(at_once);
}

#[test]
fn a_project_moves_with_its_orphans_and_who_was_called_dead_stays_dead() {
    let cluster = Cluster::start(2, &Server::builder());
    let (slot, first) = cluster.slot(PROJECT);
    let second = 1 - first;
    let (mut giver, mut taker) = (cluster.node(first).connect(), cluster.node(second).connect());
    let token = giver.int(&format!("POPPO.CHECKOUT {PROJECT} 1 w1 HOST h PID 5"));
    giver.ok(&format!("POPPO.CHECKOUT {PROJECT} 2 w2"));
    giver.ok(&format!("POPPO.LIVENESS {PROJECT} w1 DEAD HOST h PID 5"));
    let orphans = giver.ok(&format!("POPPO.ORPHANS {PROJECT}"));
    assert_eq!(orphans.rows().len(), 1);
    taker.refused(&format!("POPPO.GET {PROJECT} 1"), "MOVED");

    taker.ok(&format!("CLUSTER SETSLOT {slot} IMPORTING {}", id(cluster.node(first))));
    giver.ok(&format!("CLUSTER SETSLOT {slot} MIGRATING {}", id(cluster.node(second))));
    giver.ok(&format!("MIGRATE 127.0.0.1 {} {PROJECT} 0 10000", cluster.node(second).port()));
    giver.refused(&format!("POPPO.CHECKOUT {PROJECT} 3 w3"), "ASK");
    // Without having been asked, the target sends back; with it, it judges like everywhere.
    taker.refused(&format!("POPPO.CHECKOUT {PROJECT} 1 w3"), "MOVED");
    for (line, code) in [
        (format!("POPPO.CHECKOUT {PROJECT} 1 w3"), "HELD"),
        (format!("POPPO.CHECKOUT {PROJECT} 3 w3 AT 1750327200000000"), "ERR AT is accepted only"),
        (format!("POPPO.LOAD {PROJECT} FIRST piece"), "ERR POPPO.LOAD is accepted only"),
    ] {
        taker.ok("ASKING");
        taker.refused(&line, code);
    }
    taker.ok(&format!("CLUSTER SETSLOT {slot} NODE {}", id(cluster.node(second))));
    assert_eq!(taker.ok(&format!("POPPO.ORPHANS {PROJECT}")), orphans);
    assert!(taker.int(&format!("POPPO.CHECKOUT {PROJECT} 1 w3 TAKEOVER")) > token);
    taker.refused(&format!("POPPO.CHECKIN {PROJECT} 1 w1 STATUS completed TOKEN {token}"), "STALE");
}
