//! The life of a lease: checkout, check-in, takeover, repair, eviction, and the lives of the processes that hold it.
//! The same on a server and in a file.
#![allow(clippy::duplicate_mod, reason = "the same tests, on a server and on a file")]

#[path = "both"]
mod server {
    use poppo_tests::Server;

    mod leases;
}

#[path = "both"]
mod file {
    use poppo_tests::Files as Server;

    #[allow(clippy::duplicate_mod, reason = "the same tests, on a file")]
    mod leases;
}

#[test]
fn a_takeover_is_a_repair_in_info() {
    let server = poppo_tests::Server::start();
    let mut connection = server.connect();
    connection.ok("POPPO.CHECKOUT p 1 w1 HOST h PID 5");
    connection.ok("POPPO.LIVENESS p w1 DEAD HOST h PID 5");
    connection.ok("POPPO.CHECKOUT p 1 w2 TAKEOVER");
    assert_eq!(connection.info("poppo", "poppo_repairs"), "1");
}
