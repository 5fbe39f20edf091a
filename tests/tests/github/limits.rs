//! Limits: how much may be asked, what becomes of more, and what is a violation.

use std::time::Duration;

use poppo_tests::github::{Fault, GitHub, Limits, Refusal, Rule, Violation};
use reqwest::Method;
use serde_json::json;

use crate::{Answer, get, graphql, request, with_body};

const PATH: &str = "/repos/acme/widgets";

/// Longer than what is forgiven as on its way when a limit was told, by the server's clock.
const A_SECOND: Duration = Duration::from_secs(1);

fn limited(limits: Limits) -> GitHub {
    let github = GitHub::builder().limits(limits).start();
    github.repository("acme/widgets").open("One", &[]);
    github
}

fn found(github: &GitHub) -> Vec<Violation> {
    github.violations().into_iter().map(|breach| breach.violation).collect()
}

async fn comment(github: &GitHub) -> Answer {
    with_body(github, Method::POST, &format!("{PATH}/issues/1/comments"), json!({ "body": "Hi" })).await
}

#[tokio::test]
async fn the_primary_limit_is_counted_told_and_reset() {
    let github = limited(Limits { core: 3, ..Limits::default() });
    for remaining in [2, 1, 0] {
        let answer = get(&github, PATH).await;
        let headers = ["limit", "remaining", "used", "resource"]
            .map(|name| answer.header(&format!("x-ratelimit-{name}")).to_owned());
        assert_eq!(headers, ["3".to_owned(), remaining.to_string(), (3 - remaining).to_string(), "core".to_owned()]);
    }
    let rate = get(&github, "/rate_limit").await.json();
    assert_eq!((&rate["rate"]["remaining"], &rate["resources"]["graphql"]["remaining"]), (&json!(0), &json!(5_000)));
    assert!(found(&github).is_empty(), "asking for the rate costs nothing");
    github.advance(A_SECOND);
    let refused = get(&github, PATH).await;
    assert_eq!((refused.status, refused.header("x-ratelimit-remaining")), (403, "0"));
    assert!(refused.text.contains("API rate limit exceeded"));
    assert_eq!(found(&github), [Violation::OverBudget], "the headers had said so");
    github.advance(Duration::from_secs(3_600));
    assert_eq!(get(&github, PATH).await.status, 200);
}

#[tokio::test]
async fn graphql_has_a_limit_of_its_own_and_says_so_with_200() {
    let github = limited(Limits { graphql: 1, ..Limits::default() });
    graphql(&github, "{ viewer { id } }").await;
    let refused = graphql(&github, "{ viewer { id } }").await;
    assert_eq!((&refused["errors"][0]["type"], refused.get("data")), (&json!("RATE_LIMITED"), None));
    assert_eq!(get(&github, PATH).await.status, 200);
}

#[tokio::test]
async fn secondary_limits_are_told_in_each_of_github_s_ways() {
    for (refusal, status, retry_after, remaining) in [
        (Refusal::Forbidden, 403, "60", "4999"),
        (Refusal::TooManyRequests, 429, "60", "4999"),
        (Refusal::NothingRemains, 403, "", "0"),
        (Refusal::MessageOnly, 403, "", "4999"),
    ] {
        let github = limited(Limits { rest_points: 6, refusal, ..Limits::default() });
        assert_eq!(comment(&github).await.status, 201, "five points");
        let refused = comment(&github).await;
        assert_eq!((refused.status, refused.header("retry-after")), (status, retry_after), "{refusal:?}");
        assert_eq!(refused.header("x-ratelimit-remaining"), remaining, "{refusal:?}");
        assert!(refused.text.contains("secondary rate limit"));
        assert_eq!(github.repository("acme/widgets").comments(1).len(), 1);
    }
    let github = limited(Limits { graphql_points: 1, refusal: Refusal::GraphqlError, ..Limits::default() });
    graphql(&github, "{ viewer { id } }").await;
    assert_eq!(graphql(&github, "{ viewer { id } }").await["errors"][0]["type"], "RATE_LIMITED");
}

#[tokio::test]
async fn comments_and_labels_made_are_counted_too() {
    let github = limited(Limits { content_per_minute: 1, ..Limits::default() });
    assert_eq!(comment(&github).await.status, 201);
    let labels = json!({ "labels": ["processing"] });
    let put_on = with_body(&github, Method::POST, &format!("{PATH}/issues/1/labels"), labels).await;
    assert_eq!(put_on.status, 200, "putting a label on makes nothing");
    assert_eq!(with_body(&github, Method::POST, &format!("{PATH}/labels"), json!({ "name": "x" })).await.status, 403);
}

#[tokio::test]
async fn requests_at_the_same_time_are_counted() {
    let github = limited(Limits { concurrent: 1, ..Limits::default() });
    github.fault(Rule::on("GET", PATH, Fault::LateHang).times(1));
    let patient = tokio::spawn(request(&github, Method::GET, PATH).send());
    while github.requests().iter().all(|request| request.by.is_none()) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(get(&github, PATH).await.status, 403, "the first is still there");
    patient.abort();
    // The server has yet to see that it hung up.
    while get(&github, PATH).await.status != 200 {
        github.advance(Duration::from_secs(61));
    }
}

#[tokio::test]
async fn who_does_not_wait_as_told_or_hurries_afterwards_is_noted() {
    let pace = Duration::from_secs(30);
    let github = limited(Limits { content_per_minute: 1, pace: Some(pace), ..Limits::default() });
    comment(&github).await;
    assert_eq!(comment(&github).await.header("retry-after"), "60");
    assert!(found(&github).is_empty(), "nobody could have known");
    github.advance(A_SECOND);
    let early = get(&github, PATH).await;
    assert_eq!((early.status, found(&github).len()), (403, 1));
    assert!(matches!(found(&github)[0], Violation::DuringRetryAfter(left) if left <= Duration::from_secs(59)));
    assert!(early.header("retry-after").parse::<u64>().unwrap() <= 59, "it runs down");

    github.forget();
    github.advance(Duration::from_secs(60));
    github.limit(|limits| limits.content_per_minute = 80);
    assert_eq!(comment(&github).await.status, 201);
    assert!(found(&github).is_empty());
    comment(&github).await;
    assert!(matches!(found(&github)[..], [Violation::TooFast(_)]), "two writes at once: {:?}", found(&github));
    github.forget();
    github.advance(pace);
    comment(&github).await;
    assert!(found(&github).is_empty(), "as far apart as they should be");
}

#[tokio::test]
async fn a_budget_of_the_test_s_own_is_noted_but_not_enforced() {
    let github = limited(Limits { budget: Some((2, Duration::from_secs(60))), ..Limits::default() });
    for violations in [0, 0, 1] {
        assert_eq!(get(&github, PATH).await.status, 200);
        assert_eq!(found(&github).len(), violations);
    }
    github.advance(Duration::from_secs(61));
    get(&github, PATH).await;
    assert_eq!(found(&github), [Violation::OverBudget]);
}
