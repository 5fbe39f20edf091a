//! Webhook deliveries: signed, in order, and otherwise when a test says so.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use poppo_tests::github::{GitHub, Mishaps, Order, signature};
use poppo_tests::wait_until;
use serde_json::Value;

const SECRET: &str = "of the hook";

/// What came in: headers and bodies.
type Mail = Arc<Mutex<Vec<(HeaderMap, Bytes)>>>;

/// Somebody who listens, on a thread of his own for as long as the test lasts.
fn listener() -> (String, Mail) {
    let mail = Mail::default();
    let take = async |State(mail): State<Mail>, headers: HeaderMap, body: Bytes| {
        mail.lock().unwrap().push((headers, body));
        StatusCode::ACCEPTED
    };
    let router = Router::new().fallback(take).with_state(Arc::clone(&mail));
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let url = format!("http://{}/webhook", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let serve = async { axum::serve(tokio::net::TcpListener::from_std(listener).unwrap(), router).await };
        runtime.block_on(serve)
    });
    (url, mail)
}

/// The event and action of everything that came in.
fn told(mail: &Mail) -> Vec<String> {
    let mail = mail.lock().unwrap();
    let line = |(headers, body): &(HeaderMap, Bytes)| {
        let payload: Value = serde_json::from_slice(body).unwrap();
        format!("{} {}", headers["x-github-event"].to_str().unwrap(), payload["action"].as_str().unwrap())
    };
    mail.iter().map(line).collect()
}

#[test]
fn everything_that_happens_is_told_signed_and_in_order() {
    let (url, mail) = listener();
    let github = GitHub::start();
    let (repository, other) = (github.repository("acme/widgets"), github.repository("acme/gadgets"));
    github.hook(&url, SECRET);
    let number = repository.by("alice").open("One", &["task:misc"]);
    repository.edit(number, "One!", "More");
    repository.remove_label(number, "task:misc");
    repository.close(number);
    repository.reopen(number);
    let comment = repository.comment(number, "Hi");
    repository.edit_comment(comment, "Hello");
    repository.delete_comment(comment);
    let there = repository.transfer(number, &other);
    other.delete(there);
    wait_until("all is told", || github.is_idle());
    let issues =
        ["opened", "labeled", "edited", "unlabeled", "closed", "reopened"].map(|action| format!("issues {action}"));
    let comments = ["created", "edited", "deleted"].map(|action| format!("issue_comment {action}"));
    let rest = ["transferred", "opened", "deleted"].map(|action| format!("issues {action}"));
    assert_eq!(told(&mail), [&issues[..], &comments, &rest].concat());
    let mail = mail.lock().unwrap();
    for (headers, body) in mail.iter() {
        assert_eq!(headers["x-hub-signature-256"], signature(SECRET, body));
        assert!(headers["user-agent"].to_str().unwrap().starts_with("GitHub-Hookshot/"));
    }
    let payload = |index: usize| serde_json::from_slice::<Value>(&mail[index].1).unwrap();
    assert_eq!(payload(0)["sender"]["login"], "alice");
    assert_eq!(
        (&payload(1)["label"]["name"], &payload(1)["repository"]["full_name"]),
        (&"task:misc".into(), &"acme/widgets".into())
    );
    assert_eq!(payload(2)["changes"]["title"]["from"], "One");
    assert_eq!(payload(7)["comment"]["body"], "Hello");
    assert!(github.deliveries().iter().all(|delivery| delivery.status == Some(202)));
}

#[test]
fn a_signature_is_the_hmac_of_the_body() {
    // The example of GitHub's own documentation.
    let wanted = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
    assert_eq!(signature("It's a Secret to Everybody", b"Hello, World!"), wanted);
}

#[test]
fn deliveries_are_held_and_leave_in_another_order() {
    let (url, mail) = listener();
    let github = GitHub::start();
    let repository = github.repository("acme/widgets");
    github.hook(&url, SECRET);
    github.hold();
    let number = repository.open("One", &[]);
    repository.close(number);
    repository.reopen(number);
    assert!(github.is_idle() && told(&mail).is_empty());
    github.release(Order::Reversed);
    wait_until("all is told", || told(&mail).len() == 3);
    assert_eq!(told(&mail), ["issues reopened", "issues closed", "issues opened"]);
    github.hold();
    for _ in 0..5 {
        repository.close(number);
        repository.reopen(number);
    }
    github.release(Order::Shuffled(3));
    wait_until("all is told", || told(&mail).len() == 13);
    let mut rest = told(&mail).split_off(3);
    assert!(rest.windows(2).any(|pair| pair[0] == pair[1]), "shuffled: {rest:?}");
    rest.sort();
    assert_eq!((rest[4].as_str(), rest[5].as_str()), ("issues closed", "issues reopened"), "none is lost");
}

#[test]
fn deliveries_are_lost_doubled_forged_and_sent_again() {
    let (url, mail) = listener();
    let github = GitHub::start();
    let repository = github.repository("acme/widgets");
    github.hook(&url, SECRET);
    let number = repository.open("One", &[]);
    github.mislay(Mishaps { lost: 4, doubled: 4, forged: 4 }, 11);
    for _ in 0..20 {
        repository.close(number);
        repository.reopen(number);
    }
    wait_until("all is told", || github.is_idle());
    let mut times: HashMap<String, usize> = HashMap::new();
    let mut forged = 0;
    for (headers, body) in mail.lock().unwrap().iter() {
        if headers["x-hub-signature-256"] == signature(SECRET, body) {
            *times.entry(headers["x-github-delivery"].to_str().unwrap().to_owned()).or_default() += 1;
        } else {
            forged += 1;
        }
    }
    assert!(times.len() < 41 && times.values().any(|count| *count == 2) && forged > 0, "{times:?}, {forged} forged");
    assert_eq!(github.deliveries().iter().filter(|delivery| delivery.is_forged).count(), forged);
    github.mislay(Mishaps::default(), 0);
    let first = github.deliveries().remove(0);
    assert!(github.redeliver(&first.id) && !github.redeliver("unknown"));
    wait_until("it is told again", || github.is_idle());
    let again = github.deliveries().pop().unwrap();
    assert_eq!((again.id, again.body, again.action.as_str()), (first.id, first.body, "opened"));
}

#[test]
fn nobody_listening_is_recorded() {
    let github = GitHub::start();
    github.hook("http://127.0.0.1:9/", SECRET);
    github.repository("acme/widgets").open("One", &[]);
    wait_until("it was tried", || github.is_idle());
    assert_eq!(github.deliveries()[0].status, None);
}
