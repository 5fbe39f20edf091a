//! The GraphQL API: aliases, partial errors, pages and what is refused.

use poppo_tests::github::{GitHub, Standing, Token, Violation};
use reqwest::Method;
use serde_json::{Value, json};

use crate::{graphql, request, send, with_body};

#[tokio::test]
async fn aliases_are_done_one_by_one_and_those_that_fail_are_null() {
    let github = GitHub::start();
    let repository = github.repository("acme/widgets");
    repository.create_label("error", "d73a4a");
    let (one, two) = (repository.open("One", &["processing"]), repository.open_pull_request("Two"));
    let label = |name: &str| repository.label(name).unwrap().node_id();
    let (on, off) = (label("error"), label("processing"));
    let (first, second) = (repository.issue(one).node_id(), repository.issue(two).node_id());
    let query = format!(
        r#"mutation {{
  a: removeLabelsFromLabelable(input: {{labelableId: "{first}", labelIds: ["{off}"]}}) {{ clientMutationId }}
  b: addLabelsToLabelable(input: {{labelableId: "I_gone", labelIds: ["{on}"]}}) {{ clientMutationId }}
  c: addLabelsToLabelable(input: {{labelableId: "{second}", labelIds: ["{on}"], clientMutationId: "c"}}) {{
    clientMutationId
    labelable {{ __typename labels(first: 10) {{ nodes {{ name color }} totalCount }} }}
  }}
  d: addLabelsToLabelable(input: {{labelableId: "{first}", labelIds: ["LA_gone"]}}) {{ clientMutationId }}
}}"#
    );
    let answer = graphql(&github, &query).await;
    let labels = json!({ "nodes": [{ "name": "error", "color": "d73a4a" }], "totalCount": 1 });
    let labelable = json!({ "__typename": "PullRequest", "labels": labels });
    let data = json!({
        "a": { "clientMutationId": null },
        "b": null,
        "c": { "clientMutationId": "c", "labelable": labelable },
        "d": null,
    });
    assert_eq!(answer["data"], data);
    let error = |alias: &str, line: u64, node: &str| {
        let message = format!("Could not resolve to a node with the global id of '{node}'.");
        json!({
            "type": "NOT_FOUND",
            "path": [alias],
            "locations": [{ "line": line, "column": 3 }],
            "message": message,
        })
    };
    assert_eq!(answer["errors"], json!([error("b", 3, "I_gone"), error("d", 8, "LA_gone")]));
    assert_eq!((repository.labels(one), repository.labels(two)), (vec![], vec!["error".to_owned()]));
    let noted = github.requests().pop().unwrap();
    assert_eq!((noted.fields, noted.points, noted.is_write), (4, 5, true));
    assert!(github.violations().is_empty(), "{:?}", github.violations());
}

#[tokio::test]
async fn what_is_there_already_and_what_is_not_are_both_fine() {
    let github = GitHub::start();
    let repository = github.repository("acme/widgets");
    let number = repository.open("One", &["processing"]);
    repository.create_label("error", "d73a4a");
    let node = repository.issue(number).node_id();
    for (mutation, name) in [("addLabelsToLabelable", "processing"), ("removeLabelsFromLabelable", "error")] {
        let label = repository.label(name).unwrap().node_id();
        let input = format!(r#"{{labelableId: "{node}", labelIds: ["{label}"]}}"#);
        let answer =
            graphql(&github, &format!("mutation {{ {mutation}(input: {input}) {{ clientMutationId }} }}")).await;
        assert_eq!(answer.get("errors"), None, "{answer}");
    }
    assert_eq!(repository.labels(number), ["processing"]);
}

#[tokio::test]
async fn issues_are_found_by_number_by_node_and_by_page() {
    let github = GitHub::start();
    let repository = github.repository("acme/widgets");
    let one = repository.by("alice").open("One", &["task:misc"]);
    let (two, pull) = (repository.open("Two", &[]), repository.open_pull_request("Pull"));
    repository.close(two);
    let query = format!(
        r#"{{ rateLimit {{ cost limit remaining resetAt }}
        repository(owner: "ACME", name: "widgets") {{
            id
            label(name: "TASK:MISC") {{ name }}
            labels(first: 1) {{ nodes {{ name }} }}
            found: issue(number: {one}) {{ number state author {{ login }} labels(first: 5) {{ nodes {{ name }} }} }}
            missing: issue(number: {pull}) {{ number }}
            either: issueOrPullRequest(number: {pull}) {{ __typename ... on PullRequest {{ number }} }}
            issues(first: 1, states: [OPEN, CLOSED], orderBy: {{field: CREATED_AT, direction: DESC}}) {{
                nodes {{ number }} pageInfo {{ hasNextPage endCursor }} totalCount
            }}
        }} }}"#
    );
    let answer = graphql(&github, &query).await;
    let found = &answer["data"]["repository"];
    assert_eq!(found["id"], repository.now().node_id());
    assert_eq!(found["label"], json!({ "name": "task:misc" }));
    let labels = json!({ "nodes": [{ "name": "task:misc" }] });
    let issue = json!({ "number": one, "state": "OPEN", "author": { "login": "alice" }, "labels": labels });
    assert_eq!((&found["found"], &found["missing"]), (&issue, &Value::Null));
    assert_eq!(found["either"], json!({ "__typename": "PullRequest", "number": pull }));
    assert_eq!(answer["errors"][0]["path"], json!(["repository", "missing"]));
    assert_eq!(answer["data"]["rateLimit"]["remaining"], 4_999);
    let page = &found["issues"];
    assert_eq!((&page["nodes"], &page["totalCount"]), (&json!([{ "number": two }]), &json!(2)));
    assert_eq!(page["pageInfo"]["hasNextPage"], true);
    let order = "orderBy: {field: CREATED_AT, direction: DESC}";
    let next = format!(
        r#"{{ repository(owner: "acme", name: "widgets") {{
            issues(first: 5, after: {}, {order}) {{ nodes {{ number }} pageInfo {{ hasNextPage }} }}
            open: issues(first: 5, states: OPEN, labels: ["task:misc"]) {{ nodes {{ number }} }}
            since: issues(first: 5, filterBy: {{since: "2999-01-01T00:00:00Z"}}) {{ nodes {{ number }} }}
        }}
        nodes(ids: ["{}", "I_gone"]) {{ id ... on Issue {{ number }} }} }}"#,
        page["pageInfo"]["endCursor"],
        repository.issue(two).node_id(),
    );
    let answer = graphql(&github, &next).await;
    let found = &answer["data"]["repository"];
    assert_eq!(found["issues"], json!({ "nodes": [{ "number": one }], "pageInfo": { "hasNextPage": false } }));
    assert_eq!(found["open"]["nodes"], json!([{ "number": one }]));
    assert_eq!(found["since"]["nodes"], json!([]));
    assert_eq!((&answer["data"]["nodes"][0]["number"], &answer["data"]["nodes"][1]), (&json!(two), &Value::Null));
    assert_eq!(answer["errors"][0]["path"], json!(["nodes", 1]));
    assert!(github.violations().is_empty(), "{:?}", github.violations());
}

#[tokio::test]
async fn a_comment_is_written_with_variables() {
    let github = GitHub::start();
    let repository = github.repository("acme/widgets");
    let number = repository.open("One", &[]);
    let body = json!({
        "query": "mutation Say($id: ID!, $body: String!) { addComment(input: {subjectId: $id, body: $body}) {
            commentEdge { node { id body author { login } } } subject { id } } }",
        "variables": { "id": repository.issue(number).node_id(), "body": "修復しました" },
        "operationName": "Say",
    });
    let answer = with_body(&github, Method::POST, "/graphql", body).await.json();
    let comment = repository.comments(number).remove(0);
    let node = json!({ "id": comment.node_id(), "body": "修復しました", "author": { "login": "poppo-tests" } });
    assert_eq!(answer["data"]["addComment"]["commentEdge"]["node"], node);
    assert_eq!(answer["data"]["addComment"]["subject"]["id"], repository.issue(number).node_id());
}

#[tokio::test]
async fn documents_that_the_schema_does_not_have_are_refused_and_noted() {
    let github = GitHub::start();
    github.repository("acme/widgets");
    let queries = [
        "{ repository(owner: \"acme\", name: \"widgets\") { stars } }",
        "{ repository(owner: \"acme\") { id } }",
        "{ nothing }",
        "{ viewer { login }",
        "mutation { createLabel(input: {}) { clientMutationId } }",
        "mutation { addLabelsToLabelable(input: {labelableId: \"I\"}) { clientMutationId } }",
    ];
    for (count, query) in queries.into_iter().enumerate() {
        let answer = graphql(&github, query).await;
        assert!(answer["errors"][0]["message"].is_string() && answer.get("data").is_none(), "{answer}");
        let found = github.violations();
        assert_eq!(found.len(), count + 1, "{found:?}");
        assert!(matches!(found[count].violation, Violation::Malformed(_)));
    }
    for body in [json!({}), json!([]), json!({ "query": 1 }), json!({ "query": "{ viewer { id } }", "variables": 1 })] {
        assert_eq!(with_body(&github, Method::POST, "/graphql", body).await.status, 400);
    }
    assert_eq!(send(request(&github, Method::GET, "/graphql")).await.status, 404);
}

#[tokio::test]
async fn pages_without_a_bound_or_too_large_are_refused() {
    let github = GitHub::start();
    github.repository("acme/widgets");
    for (part, kind) in [
        ("", "MISSING_PAGINATION_BOUNDARIES"),
        ("(first: 101)", "EXCESSIVE_PAGINATION"),
        ("(first: 1, after: \"x\")", "INVALID_CURSOR_ARGUMENTS"),
    ] {
        let query = format!("{{ repository(owner: \"acme\", name: \"widgets\") {{ labels{part} {{ totalCount }} }} }}");
        let answer = graphql(&github, &query).await;
        assert_eq!(answer["errors"][0]["type"], kind, "{answer}");
    }
}

#[tokio::test]
async fn a_token_changes_only_what_it_may() {
    let reader = Token::of("reader", "reads").read_only();
    let other = Token::of("other", "elsewhere").only(&["acme/other"]);
    let github = GitHub::builder().token(reader).token(other).start();
    let repository = github.repository("acme/widgets");
    let number = repository.open("One", &["processing"]);
    let (node, label) = (repository.issue(number).node_id(), repository.label("processing").unwrap().node_id());
    let input = format!(r#"{{labelableId: "{node}", labelIds: ["{label}"]}}"#);
    let query = format!("mutation {{ x: removeLabelsFromLabelable(input: {input}) {{ clientMutationId }} }}");
    let kind = async |token: &str| {
        let request = reqwest::Client::new().post(github.graphql_url()).header("user-agent", "tests");
        let answer = send(request.bearer_auth(token).json(&json!({ "query": query }))).await.json();
        answer["errors"][0]["type"].as_str().unwrap_or("none").to_owned()
    };
    assert_eq!(kind("reads").await, "FORBIDDEN");
    assert_eq!(kind("elsewhere").await, "NOT_FOUND");
    repository.set_standing(Standing::Archived);
    assert_eq!(kind(poppo_tests::github::TOKEN).await, "FORBIDDEN");
    assert_eq!(repository.labels(number), ["processing"]);
    repository.set_standing(Standing::Gone);
    let answer = graphql(&github, "{ repository(owner: \"acme\", name: \"widgets\") { id } }").await;
    assert_eq!((&answer["data"]["repository"], &answer["errors"][0]["type"]), (&Value::Null, &json!("NOT_FOUND")));
    repository.set_standing(Standing::Active);
    repository.rename("acme/things");
    let followed = graphql(&github, "{ repository(owner: \"acme\", name: \"widgets\") { nameWithOwner } }").await;
    assert_eq!(followed["data"]["repository"]["nameWithOwner"], "acme/things");
}

#[test]
fn the_schema_has_github_s_names() {
    let schema = poppo_tests::github::sdl();
    for name in ["interface Labelable", "input AddLabelsToLabelableInput", "type LabelConnection", "scalar DateTime"] {
        assert!(schema.contains(name), "{name} is not in\n{schema}");
    }
    assert!(schema.contains("issue(number: Int!): Issue\n"));
}
