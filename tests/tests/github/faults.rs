//! Faults: each does what it says, and the work is done or not as it says.

use std::time::Duration;

use poppo_tests::github::{Chaos, Fault, GitHub, GraphqlKind, Rule};
use reqwest::Method;
use serde_json::{Value, json};

use crate::{get, graphql, request, send, with_body};

const COMMENTS: &str = "/repos/acme/widgets/issues/1/comments";

fn server() -> GitHub {
    let github = GitHub::start();
    github.repository("acme/widgets").open("One", &[]);
    github
}

fn said(github: &GitHub) -> usize {
    github.repository("acme/widgets").comments(1).len()
}

fn say(github: &GitHub) -> reqwest::RequestBuilder {
    request(github, Method::POST, COMMENTS).json(&json!({ "body": "Hi" }))
}

#[tokio::test]
async fn statuses_are_answered_before_or_after_the_work() {
    let github = server();
    for status in [401, 403, 404, 410, 422, 429, 500, 502, 503] {
        github.fault(Rule::on("POST", "/repos/*/*/issues/*/comments", Fault::Status(status)).times(1));
        let answer = send(say(&github)).await;
        assert_eq!((answer.status, said(&github)), (status, 0));
        let is_page = answer.text.starts_with("<!DOCTYPE html>");
        assert_eq!(is_page, matches!(status, 502 | 503), "{}", answer.text);
        let noted = github.requests().pop().unwrap();
        assert_eq!((noted.status, noted.fault), (Some(status), Some(format!("Status({status})"))));
    }
    github.fault(Rule::everywhere(Fault::LateStatus(502)).times(1));
    assert_eq!(send(say(&github)).await.status, 502);
    assert_eq!(said(&github), 1, "done all the same");
    assert_eq!(send(say(&github)).await.status, 201, "once only");
}

#[tokio::test]
async fn connections_break_before_the_work_or_in_the_middle_of_the_answer() {
    let github = server();
    github.fault(Rule::everywhere(Fault::Cut).times(1));
    let broken = match say(&github).send().await {
        Ok(answer) => answer.bytes().await.is_err(),
        Err(_) => true,
    };
    assert!(broken);
    assert_eq!(said(&github), 0);
    github.fault(Rule::everywhere(Fault::LateCut).times(1));
    let answer = say(&github).send().await.unwrap();
    assert_eq!(answer.status(), 201, "the head came");
    assert!(answer.bytes().await.is_err(), "the body breaks off");
    assert_eq!(said(&github), 1);
}

#[tokio::test]
async fn answers_come_late_or_never() {
    let github = server();
    github.fault(Rule::everywhere(Fault::Hang).times(1));
    let late = say(&github).timeout(Duration::from_millis(200)).send().await;
    assert!(late.unwrap_err().is_timeout());
    assert_eq!(said(&github), 0);
    github.fault(Rule::everywhere(Fault::LateHang).times(1));
    let late = tokio::spawn(say(&github).send());
    while said(&github) == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(!late.is_finished(), "done, and not answered");
    late.abort();
    github.fault(Rule::everywhere(Fault::Slow(Duration::from_millis(50))).times(1));
    assert_eq!(send(say(&github)).await.status, 201);
}

#[tokio::test]
async fn bodies_are_nonsense_cut_short_or_of_another_shape() {
    let github = server();
    for fault in [Fault::Nonsense, Fault::Truncated] {
        github.fault(Rule::everywhere(fault).times(1));
        let answer = get(&github, "/repos/acme/widgets/issues").await;
        assert_eq!(answer.status, 200);
        assert!(serde_json::from_str::<Value>(&answer.text).is_err(), "{}", answer.text);
    }
    github.fault(Rule::everywhere(Fault::WrongShape).times(1));
    assert!(get(&github, "/repos/acme/widgets/issues").await.json().is_object());
}

#[tokio::test]
async fn limits_are_reached_on_demand() {
    let github = server();
    github.fault(Rule::everywhere(Fault::RetryAfter(429, 7)).times(1));
    let told = send(say(&github)).await;
    assert_eq!((told.status, told.header("retry-after"), said(&github)), (429, "7", 0));
    assert_eq!(send(say(&github)).await.status, 403, "and it is meant");
    github.advance(Duration::from_secs(8));
    github.fault(Rule::everywhere(Fault::Exhausted).times(1));
    let exhausted = send(say(&github)).await;
    assert_eq!((exhausted.status, exhausted.header("x-ratelimit-remaining")), (403, "0"));
    github.advance(Duration::from_secs(3_600));
    assert_eq!(send(say(&github)).await.status, 201);
}

#[tokio::test]
async fn graphql_fails_in_part_or_altogether() {
    let github = server();
    let repository = github.repository("acme/widgets");
    let node = repository.issue(1).node_id();
    let say = |alias| {
        format!("{alias}: addComment(input: {{subjectId: \"{node}\", body: \"{alias}\"}}) {{ clientMutationId }}")
    };
    let query = format!("mutation {{ {} {} {} }}", say("a"), say("b"), say("c"));
    github.fault(Rule::on("POST", "/graphql", Fault::GraphqlField(1, GraphqlKind::Forbidden)).times(1));
    let answer = graphql(&github, &query).await;
    assert!(answer["data"]["b"].is_null() && answer["data"]["c"].is_object());
    assert_eq!((&answer["errors"][0]["type"], &answer["errors"][0]["path"]), (&json!("FORBIDDEN"), &json!(["b"])));
    assert_eq!(repository.comments(1).iter().map(|comment| comment.body.as_str()).collect::<Vec<_>>(), ["a", "c"]);
    github.fault(Rule::on("POST", "/graphql", Fault::Graphql(GraphqlKind::RateLimited)).times(1));
    let answer = graphql(&github, &query).await;
    assert_eq!((&answer["errors"][0]["type"], answer.get("data")), (&json!("RATE_LIMITED"), None));
    assert_eq!(said(&github), 2);
}

#[tokio::test]
async fn an_etag_is_believed_although_something_changed() {
    let github = server();
    let first = get(&github, COMMENTS).await;
    with_body(&github, Method::POST, COMMENTS, json!({ "body": "Hi" })).await;
    github.fault(Rule::everywhere(Fault::StaleEtag).times(1));
    let ask = || request(&github, Method::GET, COMMENTS).header("if-none-match", first.header("etag"));
    assert_eq!(send(ask()).await.status, 304);
    assert_eq!(send(ask()).await.status, 200);
}

#[tokio::test]
async fn chance_is_the_same_for_the_same_seed_and_ends() {
    let fates = async || {
        let github = server();
        github.chaos(Chaos::new(7, 3, &[Fault::Status(500), Fault::Status(429), Fault::LateStatus(502)]));
        let mut fates = Vec::new();
        for _ in 0..20 {
            fates.push(get(&github, COMMENTS).await.status);
        }
        github.heal();
        assert_eq!(get(&github, COMMENTS).await.status, 200);
        fates
    };
    let first = fates().await;
    assert_eq!(first, fates().await);
    assert!(first.contains(&200) && first.iter().any(|status| *status != 200), "{first:?}");
}
