//! The library's questions about many things in one round trip, and what the server tells by itself.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "in a test a panic is the report"
)]

use poppo::{Client, Error, IssueNumber, Liveness, Refusal, Repair, Status, Verdict};
use poppo_tests::Server;
use poppo_tests::cluster::{Cluster, id};

fn issue(number: u64) -> IssueNumber {
    number.try_into().unwrap()
}

#[tokio::test]
async fn each_of_many_gets_its_own_answer() {
    let server = Server::start();
    let mut connection = server.connect();
    let project = Client::connect(&server.url()).await.unwrap().project("p");
    let tokens: Vec<i64> =
        (1..=3).map(|issue| connection.int(&format!("POPPO.CHECKOUT p {issue} w{issue} HOST h PID {issue}"))).collect();
    let dead = |number: u32| Liveness::new(format!("w{number}"), Verdict::Dead, "h", number);
    let stranger = Liveness::new("w3", Verdict::Dead, "elsewhere", 3);
    assert_eq!(project.liveness_of_all(&[dead(1), stranger, dead(2)]).await.unwrap(), [1, 0, 1]);
    let found = project.get_all(&[issue(3), issue(9), issue(1)]).await.unwrap();
    let processes: Vec<_> = found.into_iter().map(|issue| issue.and_then(|issue| issue.process)).collect();
    assert_eq!(processes, [Some("w3".to_owned()), None, Some("w1".to_owned())]);
    let repair =
        |number: u64, token: i64| Repair::new(issue(number), u64::try_from(token).unwrap().try_into().unwrap());
    let requeue = Repair { requeue: true, ..repair(2, tokens[1]) };
    let became = project.repair_all(&[repair(1, tokens[0] - 1), requeue, repair(3, tokens[2])]).await.unwrap();
    assert!(matches!(became[0], Err(Error::Refused(Refusal::Stale(_)))), "{became:?}");
    assert!(matches!(became[1], Ok(Status::Queued)), "{became:?}");
    assert!(matches!(became[2], Err(Error::Refused(Refusal::Alive(_)))), "{became:?}");
    assert!(project.get_all(&[]).await.unwrap().is_empty());
}

#[tokio::test]
async fn many_find_their_way_in_a_cluster_that_moved_their_project() {
    let cluster = Cluster::start(2, &Server::builder());
    let (slot, owner) = cluster.slot("p");
    let (from, to) = (cluster.node(owner), cluster.node(1 - owner));
    let url = format!("redis+cluster://127.0.0.1:{}", from.port());
    let project = Client::connect(&url).await.unwrap().project("p");
    assert_eq!(project.get_all(&[issue(1), issue(2)]).await.unwrap(), [None, None]);
    for node in [to, from] {
        node.connect().ok(&format!("CLUSTER SETSLOT {slot} NODE {}", id(to)));
    }
    to.connect().ok("POPPO.CHECKOUT p 2 w");
    let found = project.get_all(&[issue(1), issue(2)]).await.unwrap();
    assert!(found[0].is_none() && found[1].is_some(), "{found:?}");
}

#[tokio::test]
async fn an_orphan_is_told_of_until_the_server_goes() {
    let mut server = Server::start();
    let project = Client::connect(&server.url()).await.unwrap().project("p");
    let mut published = project.published().await.unwrap();
    let mut connection = server.connect();
    let token = connection.int("POPPO.CHECKOUT p 7 w HOST h PID 1");
    connection.ok("POPPO.LIVENESS p w DEAD HOST h PID 1");
    let first = published.next().await.unwrap();
    assert_eq!((first.event.as_str(), first.is_orphan()), ("checkout", false));
    let second = published.next().await.unwrap();
    assert!(second.is_orphan() && second.issue == issue(7), "{second:?}");
    assert_eq!(second.token.map(|token| token.get()), u64::try_from(token).ok());
    published.ping().await.unwrap();
    connection.ok("POPPO.CHECKOUT p 8 x");
    published.ping().await.unwrap();
    published.skip();
    server.shutdown("NOSAVE");
    assert!(matches!(published.next().await, Err(Error::Connection { .. })));
}
