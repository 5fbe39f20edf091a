#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

use std::collections::VecDeque;
use std::sync::Mutex;

use http::header::{HeaderName, LINK};
use tokio::time::Instant;

use super::repo::{Fresh, Wanted};
use super::*;
use crate::daemon::config::Secret;

/// A peer that answers from a list, and remembers what it was asked.
#[derive(Debug, Default)]
struct Script {
    answers: Mutex<VecDeque<Result<Answer, Silence>>>,
    asked: Mutex<Vec<String>>,
}

impl Wire for Arc<Script> {
    fn send(&self, request: Request<String>) -> wire::Sent<'_> {
        let token = request.headers()[AUTHORIZATION].to_str().unwrap().to_owned();
        let tag = request.headers().get(IF_NONE_MATCH).map(|tag| format!(" {}", tag.to_str().unwrap()));
        let shown = if token.contains('.') { "app" } else { token.trim_start_matches("Bearer ") };
        let line = format!("{} {} by {shown}{}", request.method(), request.uri(), tag.unwrap_or_default());
        self.asked.lock().unwrap().push(line);
        let answer = self.answers.lock().unwrap().pop_front();
        Box::pin(async move { answer.unwrap_or(Err(Silence::Broken("nothing more to say".to_owned()))) })
    }
}

fn answer(status: u16, body: &str) -> Result<Answer, Silence> {
    Ok(Answer { status: StatusCode::from_u16(status).unwrap(), headers: http::HeaderMap::new(), body: body.into() })
}

fn with(answer: Result<Answer, Silence>, name: HeaderName, value: &str) -> Result<Answer, Silence> {
    answer.map(|mut answer| {
        answer.headers.insert(name, value.parse().unwrap());
        answer
    })
}

const REPOSITORY: (&str, &str) = ("acme", "widgets");
const SECRET: &str = "ghp_hunter2";

fn repo_of(config: &GithubConfig, answers: Vec<Result<Answer, Silence>>) -> (Repo, Arc<Script>) {
    let script = Arc::new(Script { answers: Mutex::new(answers.into()), ..Script::default() });
    let accounts = Accounts::new(config).unwrap().unwrap();
    let github = Github::over(Box::new(Arc::clone(&script)), config.api_url.as_str(), accounts);
    let repository = Repository { owner: REPOSITORY.0.to_owned(), name: REPOSITORY.1.to_owned() };
    (github.repo(&repository), script)
}

fn repo(answers: Vec<Result<Answer, Silence>>) -> (Repo, Arc<Script>) {
    let token = Secret::try_from(SECRET.to_owned()).unwrap();
    repo_of(&GithubConfig { token: Some(token), ..GithubConfig::default() }, answers)
}

impl Script {
    fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.asked.lock().unwrap())
    }
}

#[tokio::test(start_paused = true)]
async fn what_broke_is_asked_again_and_what_was_refused_is_not() {
    let (repo, script) = repo(vec![answer(502, "<html>"), Err(Silence::Timeout), answer(200, r#"{"number":7}"#)]);
    assert_eq!(repo.issue(7).await.unwrap().number, 7);
    assert_eq!(script.asked(), vec![format!("GET https://api.github.com/repos/acme/widgets/issues/7 by {SECRET}"); 3]);
    for (status, is_expected) in [
        (401, (|cause| matches!(cause, Cause::Unauthorized)) as fn(&Cause) -> bool),
        (403, |cause| matches!(cause, Cause::Forbidden(_))),
        (404, |cause| matches!(cause, Cause::NotFound)),
        (410, |cause| matches!(cause, Cause::Gone(_))),
        (422, |cause| matches!(cause, Cause::Unprocessable(_))),
        (429, |cause| matches!(cause, Cause::RateLimited { .. })),
    ] {
        let (repo, script) = self::repo(vec![answer(status, r#"{"message":"ghp_hunter2 is no good"}"#)]);
        let error = repo.issue(7).await.unwrap_err();
        assert!(is_expected(&error.cause), "{error}");
        assert!(!error.to_string().contains(SECRET), "{error}");
        assert_eq!(script.asked().len(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_comment_is_not_said_twice() {
    let (repo, script) = repo(vec![Err(Silence::Timeout), answer(201, r#"{"id":1}"#)]);
    assert_eq!(repo.create_comment(7, "hello").await.unwrap_err().cause, Cause::Timeout);
    assert_eq!(script.asked().len(), 1, "it may have been said");
}

#[tokio::test(start_paused = true)]
async fn lists_have_pages_and_no_other_host_gets_the_token() {
    let first = with(
        answer(200, r#"[{"number":1}]"#),
        LINK,
        "<https://evil.example/repositories/9/issues?page=2>; rel=\"next\"",
    );
    let (repo, script) = repo(vec![first, answer(200, r#"[{"number":2},{"nonsense":1}]"#)]);
    let issues = repo.issues(&Wanted::default(), None).await.unwrap().items();
    assert_eq!(issues.iter().map(|issue| issue.number).collect::<Vec<_>>(), [1, 2]);
    assert_eq!(script.asked()[1], format!("GET https://api.github.com/repositories/9/issues?page=2 by {SECRET}"));
}

#[tokio::test(start_paused = true)]
async fn what_has_not_changed_is_not_sent_again() {
    let etag = HeaderName::from_static("etag");
    let (repo, script) = repo(vec![with(answer(200, r#"[{"number":1}]"#), etag, "W/\"a\""), answer(304, "")]);
    let Fresh::New(_, tag) = repo.issues(&Wanted::default(), None).await.unwrap() else { panic!("it is new") };
    assert!(matches!(repo.issues(&Wanted::default(), tag.as_ref()).await.unwrap(), Fresh::Same));
    assert!(script.asked()[1].ends_with("W/\"a\""));
    let other = Wanted { is_open: true, ..Wanted::default() };
    drop(repo.issues(&other, tag.as_ref()).await);
    assert!(!script.asked()[0].contains("W/"), "another list");
}

#[tokio::test(start_paused = true)]
async fn a_label_that_is_on_or_off_or_there_already_is_fine() {
    let there = r#"{"name":"Error","node_id":"LA_1"}"#;
    let (repo, script) = repo(vec![
        answer(422, r#"{"message":"Validation Failed","errors":[{"code":"already_exists"}]}"#),
        answer(200, there),
        answer(404, r#"{"message":"Label does not exist"}"#),
        answer(200, r#"{"number":7,"labels":[{"name":"bug"}]}"#),
        answer(404, r#"{"message":"Not Found"}"#),
        answer(404, r#"{"message":"Not Found"}"#),
    ]);
    assert_eq!(repo.create_label("error", "d73a4a", "").await.unwrap().node_id, "LA_1");
    assert_eq!(repo.remove_label(7, "help wanted").await.unwrap(), ["bug"]);
    assert!(script.asked()[2].contains("/issues/7/labels/help%20wanted"));
    assert_eq!(repo.remove_label(8, "error").await.unwrap_err().cause, Cause::NotFound);
}

#[tokio::test(start_paused = true)]
async fn graphql_of_an_enterprise_server_is_beside_its_rest() {
    let config = |url: &str| GithubConfig {
        token: Some(Secret::try_from(SECRET.to_owned()).unwrap()),
        api_url: url.to_owned().try_into().unwrap(),
        ..GithubConfig::default()
    };
    let (repo, script) = repo_of(&config("https://ghe.example/api/v3/"), vec![answer(200, r#"{"data":{}}"#)]);
    repo.graphql_query("{ viewer { login } }", &serde_json::Value::Null).await.unwrap();
    drop(repo.issue(1).await);
    let asked = script.asked();
    assert!(asked[0].starts_with("POST https://ghe.example/api/graphql "), "{asked:?}");
    assert!(asked[1].starts_with("GET https://ghe.example/api/v3/repos/acme/widgets/issues/1 "), "{asked:?}");
}

#[tokio::test(start_paused = true)]
async fn a_graphql_limit_with_status_200_is_waited_for() {
    let retry_after = HeaderName::from_static("retry-after");
    let limited = r#"{"errors":[{"type":"RATE_LIMITED","message":"secondary rate limit"}]}"#;
    let (repo, script) = repo(vec![with(answer(200, limited), retry_after, "60"), answer(200, r#"{"data":{}}"#)]);
    let error = repo.graphql_query("{ a }", &serde_json::Value::Null).await.unwrap_err();
    assert_eq!(error.cause, Cause::RateLimited { until: Instant::now() + Duration::from_secs(60) });
    assert!(error.to_string().contains("waits for 1m"), "{error}");
    assert!(repo.issue(1).await.is_err());
    assert_eq!(script.asked().len(), 1, "nothing is sent meanwhile");
}

#[tokio::test(start_paused = true)]
async fn we_know_under_which_name_we_write() {
    let (repo, script) = repo(vec![answer(200, r#"{"login":"octocat","id":1}"#)]);
    assert_eq!(repo.own_login().await.unwrap().as_deref(), Some("octocat"));
    assert_eq!(script.asked(), [format!("GET https://api.github.com/user by {SECRET}")]);
    let (repo, _) = self::repo(vec![answer(403, r#"{"message":"Resource not accessible by integration"}"#)]);
    assert_eq!(repo.own_login().await.unwrap(), None);
    let (repo, _) = self::repo(vec![answer(401, "{}")]);
    assert_eq!(repo.own_login().await.unwrap_err().cause, Cause::Unauthorized);
}
