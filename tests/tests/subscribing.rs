//! The library's subscription, over TLS and over failovers that Sentinels have done: whatever becomes of a connection, its
//! reader is told, and hears again.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "in a test a panic is the report")]

use std::time::{Duration, SystemTime};

use poppo::{Client, Error, Heard, Subscription};
use poppo_tests::sentinel::Sentinels;
use poppo_tests::tls::Certificates;
use poppo_tests::{Builder, Connection, DEADLINE, Reply as _, Server, wait_until};
use tokio::runtime::Runtime;

const CHANNELS: [&str; 2] = ["news", "weather"];

/// Somebody who listens.
struct Listener {
    runtime: Runtime,
    subscription: Subscription,
}

impl Listener {
    #[track_caller]
    fn at(url: &str) -> Self {
        let runtime = Runtime::new().unwrap();
        let client = runtime.block_on(Client::connect(url)).unwrap_or_else(|error| panic!("{url}: {error}"));
        let subscription = {
            let _inside = runtime.enter();
            client.subscribe(CHANNELS.map(str::to_owned).to_vec())
        };
        Self { runtime, subscription }
    }

    #[track_caller]
    fn next(&mut self) -> Heard {
        let next = async { tokio::time::timeout(DEADLINE, self.subscription.next()).await };
        self.runtime.block_on(next).expect("something is heard")
    }

    /// Waits until it listens; nothing but attempts that failed comes before.
    #[track_caller]
    fn begins(&mut self) -> SystemTime {
        loop {
            match self.next() {
                Heard::Began(since) => return since,
                Heard::Lost(error) => println!("{error}"),
                heard => panic!("{heard:?}"),
            }
        }
    }

    #[track_caller]
    fn hears(&mut self, expected: &str) {
        match self.next() {
            Heard::Message { channel, payload } => {
                assert_eq!(format!("{channel}: {}", String::from_utf8(payload).unwrap()), expected);
            }
            heard => panic!("{heard:?} instead of {expected}"),
        }
    }

    #[track_caller]
    fn loses(&mut self) -> Error {
        match self.next() {
            Heard::Lost(error) => error,
            heard => panic!("{heard:?}"),
        }
    }
}

#[track_caller]
fn publish(connection: &mut Connection, channel: &str, text: &str) {
    assert_eq!(connection.call(&["PUBLISH", channel, text]).number(), 1, "one listens");
}

#[test]
fn it_is_heard_over_tls_and_again_after_a_connection_that_broke() {
    let certificates = Certificates::new();
    let builder = Server::builder().arg("tls-auth-clients", "no");
    let Some(server) = builder.start_with_tls(&certificates) else { return };
    let url = |trusted: &Certificates| format!("rediss://127.0.0.1:{}?{}", server.tls_port(), trusted.trusted());
    let mut listener = Listener::at(&url(&certificates));
    let mut connection = server.connect();
    let since = listener.begins();
    publish(&mut connection, "news", "one");
    publish(&mut connection, "weather", "\u{2603}");
    listener.hears("news: one");
    listener.hears("weather: \u{2603}");
    assert_eq!(connection.call(&["CLIENT", "KILL", "TYPE", "pubsub"]).number(), 1);
    let error = listener.loses();
    assert!(matches!(error, Error::Connection { .. }), "{error}");
    assert!(listener.begins() >= since);
    publish(&mut connection, "news", "two");
    listener.hears("news: two");
    assert_eq!(listener.subscription.lost(), 0);
}

/// Has the primary die in that way, with somebody listening to whichever is the primary, and the next one speak.
fn failover(mut primary: Server, replica: &Server, sentinels: &Sentinels, url: &str, port: fn(&Server) -> u16) {
    let mut listener = Listener::at(url);
    listener.begins();
    publish(&mut primary.connect(), "news", "from the first");
    listener.hears("news: from the first");
    primary.kill9();
    listener.loses();
    wait_until("the replica has taken over", || sentinels.primary() == port(replica));
    listener.begins();
    publish(&mut replica.connect(), "news", "from the second");
    listener.hears("news: from the second");
}

#[test]
fn it_follows_a_failover_that_sentinels_have_done() {
    let primary = Server::start();
    let replica = primary.replica(Server::builder());
    let sentinels = Sentinels::start(1, &primary, 1, Duration::from_secs(2));
    failover(primary, &replica, &sentinels, &sentinels.url(), Server::port);
}

#[test]
fn it_follows_one_over_tls_too() {
    let certificates = Certificates::new();
    let builder = || -> Builder { Server::builder().arg("tls-auth-clients", "no") };
    let Some(primary) = builder().start_with_tls(&certificates) else { return };
    let replica = primary.replica(builder().tls(&certificates));
    let sentinels = Sentinels::start_with_tls(1, &primary, 1, Duration::from_secs(2), &certificates);
    let file = |kind: &str| certificates.file(kind).display().to_string();
    let url = format!("{}?{}&cert={}&key={}", sentinels.tls_url(), certificates.trusted(), file("crt"), file("key"));
    failover(primary, &replica, &sentinels, &url, Server::tls_port);
}
