//! The server by the client that the daemon uses: its typed models are filled, its pages followed, its App let in.

use std::time::Duration;

use octocrab::models::webhook_events::{WebhookEvent, WebhookEventPayload};
use octocrab::models::{AppId, InstallationId, IssueState};
use octocrab::params::{Direction, State};
use octocrab::{Octocrab, OctocrabBuilder};
use poppo_tests::github::{APP_KEY, App, Fault, GitHub, Rule, TOKEN};
use poppo_tests::wait_until;
use serde_json::{Value, json};

fn client(github: &GitHub) -> Octocrab {
    OctocrabBuilder::new().base_uri(github.url()).unwrap().personal_token(TOKEN).build().unwrap()
}

#[tokio::test]
async fn issues_are_listed_page_by_page_and_since() {
    let github = GitHub::start();
    let repository = github.repository("acme/widgets");
    for number in 1..=5 {
        repository.open(&format!("Issue {number}"), &["task:misc"]);
    }
    repository.open_pull_request("Pull");
    let octocrab = client(&github);
    let issues = octocrab.issues("acme", "widgets");
    let labels = ["task:misc".to_owned()];
    let list = || issues.list().state(State::All).labels(&labels).direction(Direction::Ascending).per_page(2);
    let first = list().send().await.unwrap();
    assert_eq!(first.number_of_pages(), Some(3));
    let all = octocrab.all_pages(first).await.unwrap();
    assert_eq!(all.iter().map(|issue| issue.number).collect::<Vec<_>>(), [1, 2, 3, 4, 5]);
    assert_eq!((all[0].labels[0].name.as_str(), &all[0].state), ("task:misc", &IssueState::Open));
    github.advance(Duration::from_secs(3_600));
    repository.close(4);
    let since = issues.get(4).await.unwrap().updated_at;
    let changed = issues.list().state(State::All).since(since).send().await.unwrap();
    assert_eq!(changed.items.iter().map(|issue| issue.number).collect::<Vec<_>>(), [4]);
    assert!(issues.list().send().await.unwrap().items[0].pull_request.is_some());
    assert!(github.violations().is_empty(), "{:?}", github.violations());
}

#[tokio::test]
async fn pages_of_an_enterprise_server_are_followed() {
    let github = GitHub::builder().enterprise().start();
    let repository = github.repository("acme/widgets");
    for _ in 0..3 {
        repository.open("One", &[]);
    }
    let octocrab = client(&github);
    let first = octocrab.issues("acme", "widgets").list().per_page(1).send().await.unwrap();
    assert_eq!(octocrab.all_pages(first).await.unwrap().len(), 3);
    repository.rename("acme/things");
    assert_eq!(octocrab.issues("acme", "widgets").get(1).await.unwrap().number, 1, "redirects are followed");
}

#[tokio::test]
async fn labels_and_comments_are_written() {
    let github = GitHub::start();
    let repository = github.repository("acme/widgets");
    let number = repository.open("One", &["優先度: 高"]);
    let octocrab = client(&github);
    let issues = octocrab.issues("acme", "widgets");
    let made = issues.create_label("awaiting-response", "fbca04", "Waits for a person").await.unwrap();
    assert_eq!((made.color.as_str(), made.node_id), ("fbca04", repository.label(&made.name).unwrap().node_id()));
    let labels = issues.add_labels(number, &["awaiting-response".to_owned()]).await.unwrap();
    assert_eq!(labels.len(), 2);
    issues.remove_label(number, "優先度: 高").await.unwrap();
    assert_eq!(repository.labels(number), ["awaiting-response"]);
    assert!(issues.remove_label(number, "優先度: 高").await.is_err(), "it is not on any more");
    assert_eq!(issues.list_labels_for_issue(number).send().await.unwrap().items.len(), 1);
    assert_eq!(issues.list_labels_for_repo().send().await.unwrap().items.len(), 2);
    let comment = issues.create_comment(number, "Done").await.unwrap();
    issues.update_comment(comment.id, "Done!").await.unwrap();
    let comments = issues.list_comments(number).send().await.unwrap();
    assert_eq!(comments.items[0].body.as_deref(), Some("Done!"));
    let closed = issues.update(number).state(IssueState::Closed).send().await.unwrap();
    assert!(closed.closed_at.is_some() && !repository.issue(number).is_open);
    assert_eq!(octocrab.repos("acme", "widgets").get().await.unwrap().name, "widgets");
    assert_eq!(octocrab.ratelimit().get().await.unwrap().rate.limit, 5_000);
    assert!(github.violations().is_empty(), "{:?}", github.violations());
}

#[tokio::test]
async fn graphql_is_posted_and_its_partial_data_kept() {
    let github = GitHub::builder().enterprise().start();
    let repository = github.repository("acme/widgets");
    let number = repository.open("One", &["error"]);
    let (node, label) = (repository.issue(number).node_id(), repository.label("error").unwrap().node_id());
    let remove = |issue: &str| {
        format!(
            "removeLabelsFromLabelable(input: {{labelableId: \"{issue}\", labelIds: [\"{label}\"]}}) {{ clientMutationId }}"
        )
    };
    let query = format!("mutation {{ a: {} b: {} }}", remove(&node), remove("I_gone"));
    let body = json!({ "query": query });
    // It puts the path of its base before every other: for GraphQL an Enterprise server needs a base of its own.
    let base = github.graphql_url().replace("/graphql", "");
    let octocrab = OctocrabBuilder::new().base_uri(base).unwrap().personal_token(TOKEN).build().unwrap();
    let answer: Value = octocrab.post("/graphql", Some(&body)).await.unwrap();
    assert!(answer["data"]["a"].is_object() && answer["data"]["b"].is_null());
    assert_eq!(answer["errors"][0]["path"][0], "b");
    assert_eq!(repository.labels(number), [""; 0]);
}

#[tokio::test]
async fn an_app_gets_a_token_for_its_installation() {
    let app = App { id: 42, slug: "poppo".to_owned(), installation: 7, owner: "acme".to_owned() };
    let github = GitHub::builder().app(app).start();
    let repository = github.repository("acme/widgets");
    let number = repository.open("One", &[]);
    let by = |id: u64, pem: &str| {
        let key = jwt_key(pem);
        OctocrabBuilder::new().base_uri(github.url()).unwrap().app(AppId(id), key).build().unwrap()
    };
    let octocrab = by(42, APP_KEY);
    let found = octocrab.apps().get_repository_installation("acme", "widgets").await.unwrap();
    assert_eq!(found.id, InstallationId(7));
    let installed = octocrab.installation(found.id).unwrap();
    installed.issues("acme", "widgets").create_comment(number, "By an App").await.unwrap();
    assert_eq!(repository.comments(number)[0].author, "poppo[bot]");
    let tokens = || github.requests().iter().filter(|request| request.path.ends_with("/access_tokens")).count();
    assert_eq!(tokens(), 1);
    assert!(by(43, APP_KEY).apps().get_repository_installation("acme", "widgets").await.is_err(), "another App");
    assert!(octocrab.issues("acme", "widgets").get(number).await.is_err(), "an App itself reads no issues");
    github.advance(Duration::from_secs(3_601));
    installed.issues("acme", "widgets").get(number).await.unwrap();
    assert_eq!(tokens(), 2, "tokens end after an hour");
}

fn jwt_key(pem: &str) -> jsonwebtoken::EncodingKey {
    jsonwebtoken::EncodingKey::from_rsa_pem(pem.as_bytes()).unwrap()
}

#[tokio::test]
async fn refusals_carry_what_github_says() {
    let github = GitHub::start();
    github.repository("acme/widgets");
    let octocrab = client(&github);
    let octocrab::Error::GitHub { source, .. } = octocrab.issues("acme", "widgets").get(9).await.unwrap_err() else {
        panic!("GitHub answered")
    };
    assert_eq!((source.status_code.as_u16(), source.message.as_str()), (404, "Not Found"));
    github.fault(Rule::everywhere(Fault::Status(502)).times(1));
    assert!(octocrab.issues("acme", "widgets").get(9).await.is_err(), "a page of HTML is an error, too");
}

#[tokio::test]
async fn deliveries_are_such_as_it_reads() {
    let github = GitHub::start();
    let repository = github.repository("acme/widgets");
    // Nobody listens there; what was sent is recorded all the same.
    github.hook("http://127.0.0.1:9/", "secret");
    let number = repository.open("One", &[]);
    repository.comment(number, "Hi");
    wait_until("both are delivered", || github.deliveries().len() == 2);
    let deliveries = github.deliveries();
    let read = |index: usize| {
        let delivery = &deliveries[index];
        WebhookEvent::try_from_header_and_body(&delivery.event, &delivery.body).unwrap()
    };
    let WebhookEventPayload::Issues(opened) = read(0).specific else { panic!("an issue was opened") };
    assert_eq!(opened.issue.number, number);
    let WebhookEventPayload::IssueComment(said) = read(1).specific else { panic!("something was said") };
    assert_eq!(said.comment.body.as_deref(), Some("Hi"));
}
