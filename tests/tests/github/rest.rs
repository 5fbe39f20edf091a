//! The REST API: what it answers, and what it refuses.

use poppo_tests::github::{GitHub, Standing, TOKEN, Token, Violation};
use reqwest::Method;
use serde_json::{Value, json};

use crate::{get, request, send, with_body};

fn malformed(github: &GitHub) -> usize {
    github.violations().iter().filter(|breach| matches!(breach.violation, Violation::Malformed(_))).count()
}

#[tokio::test]
async fn requests_without_what_github_wants_are_refused_and_noted() {
    let github = GitHub::start();
    github.repository("acme/widgets").open("One", &[]);
    let path = "/repos/acme/widgets/issues";
    let ask = || request(&github, Method::GET, path);
    let post = |body: &'static str| request(&github, Method::POST, &format!("{path}/1/labels")).body(body);
    let cases = [
        (ask().header("accept", "text/xml"), 415),
        (ask().header("x-github-api-version", "2020-01-01"), 400),
        (request(&github, Method::GET, "/repos/acme/widgets/nothing"), 404),
        (request(&github, Method::PUT, path), 404),
        (request(&github, Method::GET, &format!("{path}?state=half")), 422),
        (request(&github, Method::GET, &format!("{path}?since=yesterday")), 422),
        (request(&github, Method::GET, &format!("{path}?page=0")), 422),
        (request(&github, Method::GET, &format!("{path}/one")), 404),
        (post(r#"{"labels":["a"]}"#), 415),
        (post(r#"{"labels":["a"]"#).header("content-type", "application/json"), 400),
        (post("3").header("content-type", "application/json"), 422),
        (post("{}").header("content-type", "application/json"), 422),
        (post(r#"{"labels":[]}"#).header("content-type", "application/json"), 422),
        (post(r#"{"labels":[1]}"#).header("content-type", "application/json"), 422),
        (post(r#"{"label":["a"]}"#).header("content-type", "application/json"), 422),
        (request(&github, Method::PATCH, &format!("{path}/1")).json(&json!({ "state": "shut" })), 422),
        (request(&github, Method::PATCH, &format!("{path}/1")).json(&json!({ "title": 1 })), 422),
        (request(&github, Method::PATCH, &format!("{path}/1")).json(&json!([])), 400),
    ];
    for (count, (request, status)) in cases.into_iter().enumerate() {
        let answer = send(request).await;
        assert_eq!(answer.status, status, "{}", answer.text);
        assert!(answer.json()["message"].is_string() && answer.json()["documentation_url"].is_string());
        assert_eq!(malformed(&github), count + 1, "{:?}", github.violations().last());
    }
    assert_eq!(github.repository("acme/widgets").labels(1), [""; 0], "refusals change nothing");
    let agentless = reqwest::Client::new().get(format!("{}{path}", github.url())).bearer_auth(TOKEN);
    assert_eq!(send(agentless).await.status, 403);
}

#[tokio::test]
async fn media_types_and_versions_that_github_has_are_taken() {
    let github = GitHub::start();
    github.repository("acme/widgets");
    for accept in ["application/vnd.github+json", "application/vnd.github.v3.full+json", "application/json", "*/*"] {
        let asked = request(&github, Method::GET, "/repos/acme/widgets").header("accept", accept);
        let answer = send(asked.header("x-github-api-version", "2022-11-28")).await;
        assert_eq!(answer.status, 200, "{accept}");
        assert_eq!(answer.header("x-github-api-version-selected"), "2022-11-28");
    }
    assert!(github.violations().is_empty(), "{:?}", github.violations());
}

#[tokio::test]
async fn only_known_tokens_are_let_in_and_see_what_is_theirs() {
    let reader = Token::of("reader", "reads").read_only();
    let other = Token::of("other", "elsewhere").only(&["acme/other"]);
    let github = GitHub::builder().token(reader).token(other).start();
    let number = github.repository("acme/widgets").open("One", &[]);
    let ask = |method, token| {
        let path = format!("{}/repos/acme/widgets/issues/{number}/comments", github.url());
        reqwest::Client::new().request(method, path).header("user-agent", "tests").bearer_auth(token)
    };
    assert_eq!(send(ask(Method::GET, "nobody's")).await.status, 401);
    assert_eq!(send(ask(Method::GET, "reads")).await.status, 200);
    assert_eq!(send(ask(Method::POST, "reads").json(&json!({ "body": "Hi" }))).await.status, 403);
    assert_eq!(send(ask(Method::GET, "elsewhere")).await.status, 404);
    github.revoke("reads");
    assert_eq!(send(ask(Method::GET, "reads")).await.status, 401);
    let me = get(&github, "/user").await;
    assert_eq!((me.json()["login"].as_str(), me.header("x-oauth-scopes")), (Some("poppo-tests"), "repo"));
}

#[tokio::test]
async fn issues_are_listed_by_state_label_author_and_time_pull_requests_among_them() {
    let github = GitHub::start();
    let repository = github.repository("acme/widgets");
    let first = repository.by("alice").open("First", &["task:misc", "Priority: high"]);
    let second = repository.by("bob").open("Second", &["task:misc"]);
    let pull = repository.open_pull_request("Third");
    repository.close(second);
    let numbers = async |query: &str| {
        let answer = get(&github, &format!("/repos/acme/widgets/issues{query}")).await;
        answer.each("number").iter().map(|number| number.as_u64().unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(numbers("").await, [pull, first]);
    assert_eq!(numbers("?state=all&direction=asc").await, [first, second, pull]);
    assert_eq!(numbers("?state=closed").await, [second]);
    assert_eq!(numbers("?labels=TASK:misc,priority:%20HIGH").await, [first]);
    assert_eq!(numbers("?state=all&creator=Bob").await, [second]);
    assert_eq!(numbers("?assignee=*").await, [0; 0]);
    let listed = get(&github, "/repos/acme/widgets/issues").await.json();
    assert!(listed[0]["pull_request"]["url"].is_string() && listed[1]["pull_request"].is_null());
    github.advance(std::time::Duration::from_secs(60));
    let since = humantime::format_rfc3339_seconds(github.now()).to_string();
    repository.comment(second, "Again?");
    assert_eq!(numbers(&format!("?state=all&since={since}")).await, [second], "a comment is a change");
    assert!(github.violations().is_empty(), "{:?}", github.violations());
}

#[tokio::test]
async fn pages_are_linked_as_github_links_them() {
    let github = GitHub::start();
    let repository = github.repository("acme/widgets");
    for number in 1..=7 {
        repository.open(&format!("Issue {number}"), &[]);
    }
    let base = format!("{}/repositories/{}/issues", github.url(), repository.now().id);
    let first = get(&github, "/repos/acme/widgets/issues?state=open&per_page=3").await;
    let page = |page| format!("<{base}?state=open&per_page=3&page={page}>");
    assert_eq!(first.header("link"), format!("{}; rel=\"next\", {}; rel=\"last\"", page(2), page(3)));
    let second = get(&github, &format!("{base}?state=open&per_page=3&page=2")).await;
    let links = [(1, "prev"), (3, "next"), (3, "last"), (1, "first")];
    let wanted: Vec<String> = links.iter().map(|(number, rel)| format!("{}; rel=\"{rel}\"", page(*number))).collect();
    assert_eq!(second.header("link"), wanted.join(", "));
    assert_eq!(second.each("number"), [4, 3, 2]);
    let last = get(&github, &format!("{base}?per_page=3&page=3")).await;
    assert_eq!(last.each("number"), [1]);
    assert_eq!(get(&github, &format!("{base}?per_page=3&page=9")).await.each("number"), [Value::Null; 0]);
    assert_eq!(get(&github, "/repos/acme/widgets/issues").await.header("link"), "", "one page has no links");
    assert!(github.violations().is_empty());
    get(&github, "/repos/acme/widgets/issues?per_page=101").await;
    assert_eq!(malformed(&github), 1, "more than a page holds");
}

#[tokio::test]
async fn an_etag_saves_the_answer_and_the_budget_until_something_changes() {
    let github = GitHub::start();
    let repository = github.repository("acme/widgets");
    repository.open("One", &[]);
    let path = "/repos/acme/widgets/issues";
    let first = get(&github, path).await;
    let again = async || send(request(&github, Method::GET, path).header("if-none-match", first.header("etag"))).await;
    let same = again().await;
    assert_eq!((same.status, same.text.as_str()), (304, ""));
    assert_eq!(same.header("x-ratelimit-remaining"), first.header("x-ratelimit-remaining"), "304 is free");
    repository.open("Two", &[]);
    let changed = again().await;
    assert_eq!((changed.status, changed.each("number").len()), (200, 2));
    assert_ne!(changed.header("etag"), first.header("etag"));
}

#[tokio::test]
async fn labels_are_put_on_and_taken_off_whatever_their_case() {
    let github = GitHub::start();
    let repository = github.repository("acme/widgets");
    let number = repository.open("One", &["Bug", "優先度: 高 🔥"]);
    let path = format!("/repos/acme/widgets/issues/{number}/labels");
    let added = with_body(&github, Method::POST, &path, json!({ "labels": ["processing", "BUG"] })).await;
    assert_eq!(added.each("name"), ["Bug", "優先度: 高 🔥", "processing"]);
    assert_eq!(repository.label("Processing").unwrap().color, "ededed", "made when it was not there");
    let encoded = format!("{path}/%E5%84%AA%E5%85%88%E5%BA%A6%3A%20%E9%AB%98%20%F0%9F%94%A5");
    assert_eq!(send(request(&github, Method::DELETE, &encoded)).await.each("name"), ["Bug", "processing"]);
    let gone = send(request(&github, Method::DELETE, &encoded)).await;
    assert_eq!((gone.status, gone.json()["message"].as_str()), (404, Some("Label does not exist")));
    let set = with_body(&github, Method::PUT, &path, json!({ "labels": ["bug", "error"] })).await;
    assert_eq!(set.each("name"), ["Bug", "error"]);
    assert_eq!(get(&github, &path).await.each("name"), ["Bug", "error"]);
    assert_eq!(send(request(&github, Method::DELETE, &path)).await.status, 204);
    assert_eq!(repository.labels(number), [""; 0]);
}

#[tokio::test]
async fn a_repository_s_labels_are_made_changed_and_deleted() {
    let github = GitHub::start();
    let repository = github.repository("acme/widgets");
    let path = "/repos/acme/widgets/labels";
    let label = json!({ "name": "awaiting-response", "color": "FBCA04", "description": "Waits for a person" });
    let made = with_body(&github, Method::POST, path, label.clone()).await;
    assert_eq!((made.status, made.json()["color"].as_str()), (201, Some("fbca04")));
    let again = with_body(&github, Method::POST, path, json!({ "name": "AWAITING-response" })).await;
    assert_eq!((again.status, again.json()["errors"][0]["code"].as_str()), (422, Some("already_exists")));
    for bad in
        [json!({ "name": "x", "color": "#fbca04" }), json!({ "color": "fbca04" }), json!({ "name": "x".repeat(51) })]
    {
        assert_eq!(with_body(&github, Method::POST, path, bad).await.status, 422);
    }
    let one = "/repos/acme/widgets/labels/Awaiting-Response";
    assert_eq!(get(&github, one).await.json()["description"], "Waits for a person");
    let number = repository.open("One", &["awaiting-response"]);
    let renamed = with_body(&github, Method::PATCH, one, json!({ "new_name": "waits" })).await;
    assert_eq!((renamed.status, repository.labels(number)), (200, vec!["waits".to_owned()]));
    assert_eq!(send(request(&github, Method::DELETE, "/repos/acme/widgets/labels/waits")).await.status, 204);
    assert_eq!((repository.labels(number), repository.label("waits")), (vec![], None));
    assert_eq!(get(&github, one).await.status, 404);
}

#[tokio::test]
async fn comments_are_made_edited_and_listed_since() {
    let github = GitHub::start();
    let repository = github.repository("acme/widgets");
    let (one, two) = (repository.open("One", &[]), repository.open("Two", &[]));
    let old = repository.comment(one, "Old");
    github.advance(std::time::Duration::from_secs(60));
    let since = humantime::format_rfc3339_seconds(github.now()).to_string();
    let path = format!("/repos/acme/widgets/issues/{two}/comments");
    let made = with_body(&github, Method::POST, &path, json!({ "body": "New" })).await;
    assert_eq!((made.status, made.json()["user"]["login"].as_str()), (201, Some("poppo-tests")));
    let all = "/repos/acme/widgets/issues/comments";
    assert_eq!(get(&github, all).await.each("body"), ["Old", "New"]);
    assert_eq!(get(&github, &format!("{all}?since={since}")).await.each("body"), ["New"]);
    let edited = with_body(&github, Method::PATCH, &format!("{all}/{old}"), json!({ "body": "Edited" })).await;
    assert_eq!((edited.status, repository.comments(one)[0].body.as_str()), (200, "Edited"));
    assert_eq!(get(&github, &format!("{all}?since={since}&sort=updated")).await.each("body").len(), 2);
    for bad in [json!({ "body": " " }), json!({}), json!({ "body": "x".repeat(65_537) })] {
        assert_eq!(with_body(&github, Method::POST, &path, bad).await.status, 422);
    }
    assert_eq!(repository.comments(two).len(), 1);
}

#[tokio::test]
async fn what_became_of_a_repository_or_an_issue_is_told_as_github_tells_it() {
    let github = GitHub::start();
    let (repository, other) = (github.repository("acme/widgets"), github.repository("acme/gadgets"));
    let numbers: Vec<u64> = (0..3).map(|_| repository.open("Here", &[])).collect();
    let path = |number: u64| format!("/repos/acme/widgets/issues/{number}");
    repository.delete(numbers[0]);
    assert_eq!(get(&github, &path(numbers[0])).await.status, 410);
    let there = repository.transfer(numbers[1], &other);
    let moved = get(&github, &path(numbers[1])).await;
    let target = format!("{}/repos/acme/gadgets/issues/{there}", github.url());
    assert_eq!((moved.status, moved.header("location")), (301, target.as_str()));
    assert_eq!(get(&github, &path(99)).await.status, 404);

    for (standing, reading, writing) in [
        (Standing::Archived, 200, 403),
        (Standing::WithoutIssues, 410, 410),
        (Standing::Gone, 404, 404),
        (Standing::Blocked, 451, 451),
        (Standing::Active, 200, 200),
    ] {
        repository.set_standing(standing);
        assert_eq!(get(&github, &path(numbers[2])).await.status, reading, "{standing:?}");
        let written = with_body(&github, Method::PATCH, &path(numbers[2]), json!({ "state": "closed" })).await;
        assert_eq!(written.status, writing, "{standing:?}");
    }
    repository.rename("acme/things");
    let renamed = get(&github, &path(numbers[2])).await;
    let target = format!("{}/repositories/{}/issues/{}", github.url(), repository.now().id, numbers[2]);
    assert_eq!((renamed.status, renamed.header("location")), (301, target.as_str()));
    assert_eq!(get(&github, &target).await.json()["number"], numbers[2]);
    let written = with_body(&github, Method::PATCH, &path(numbers[2]), json!({ "state": "open" })).await;
    assert_eq!(written.status, 307, "a write must not become a read on the way");
}

#[tokio::test]
async fn a_label_that_is_not_the_client_s_own_is_a_violation_to_touch() {
    let github = GitHub::start();
    let repository = github.repository("acme/widgets");
    let number = repository.open("One", &["bug", "processing"]);
    github.allow_labels(&["processing", "error"]);
    let path = format!("/repos/acme/widgets/issues/{number}/labels");
    with_body(&github, Method::POST, &path, json!({ "labels": ["Error"] })).await;
    with_body(&github, Method::PUT, &path, json!({ "labels": ["bug", "error"] })).await;
    repository.remove_label(number, "bug");
    assert!(github.violations().is_empty(), "people may, and what stays is not touched: {:?}", github.violations());
    with_body(&github, Method::POST, &path, json!({ "labels": ["Bug"] })).await;
    with_body(&github, Method::PUT, &path, json!({ "labels": ["error"] })).await;
    let found: Vec<_> = github.violations().into_iter().map(|breach| breach.violation).collect();
    assert_eq!(found, [Violation::ForeignLabel("bug".to_owned()), Violation::ForeignLabel("bug".to_owned())]);
}

#[tokio::test]
async fn an_enterprise_server_is_under_a_path() {
    let github = GitHub::builder().enterprise().start();
    github.repository("acme/widgets").open("One", &[]);
    assert!(github.url().ends_with("/api/v3") && github.graphql_url().ends_with("/api/graphql"));
    assert_eq!(get(&github, "/repos/acme/widgets/issues").await.each("number"), [1]);
    let outside = github.url().replace("/api/v3", "/repos/acme/widgets");
    assert_eq!(get(&github, &outside).await.status, 404);
    let viewer = crate::graphql(&github, "{ viewer { login } }").await;
    assert_eq!(viewer, json!({ "data": { "viewer": { "login": "poppo-tests" } } }));
}

#[tokio::test]
async fn requests_are_noted_with_what_they_cost() {
    let github = GitHub::start();
    let number = github.repository("acme/widgets").open("One", &[]);
    get(&github, "/repos/acme/widgets/issues?state=all").await;
    let path = format!("/repos/acme/widgets/issues/{number}/comments");
    let made = with_body(&github, Method::POST, &path, json!({ "body": "Hi" })).await;
    let requests = github.requests();
    let shown: Vec<_> = requests.iter().map(|request| (request.line(), request.status, request.points)).collect();
    let first = ("GET /repos/acme/widgets/issues?state=all".to_owned(), Some(200), 1);
    assert_eq!(shown, [first, (format!("POST {path}"), Some(201), 5)]);
    assert_eq!(requests[1].by.as_deref(), Some("poppo-tests"));
    assert_eq!(
        (requests[1].body.as_str(), requests[1].id.as_str()),
        (r#"{"body":"Hi"}"#, made.header("x-github-request-id"))
    );
    github.forget();
    assert!(github.requests().is_empty());
}
