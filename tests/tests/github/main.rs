//! The GitHub-shaped server itself, by plain HTTP and by the client that the daemon uses.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "in a test a panic is the report"
)]

mod by_octocrab;
mod command;
mod faults;
mod graphql;
mod limits;
mod rest;
mod webhooks;

use poppo_tests::github::{GitHub, TOKEN};
use reqwest::Method;
use reqwest::header::HeaderMap;
use serde_json::Value;

/// An answer, read to its end.
#[derive(Debug)]
struct Answer {
    status: u16,
    headers: HeaderMap,
    text: String,
}

impl Answer {
    #[track_caller]
    fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }

    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map(|value| value.to_str().unwrap()).unwrap_or_default()
    }

    /// One field of each item of a list.
    fn each(&self, field: &str) -> Vec<Value> {
        self.json().as_array().unwrap().iter().map(|item| item[field].clone()).collect()
    }
}

/// A well-formed request, to be bent.
fn request(github: &GitHub, method: Method, path: &str) -> reqwest::RequestBuilder {
    let client = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
    let url = if path.starts_with("http") { path.to_owned() } else { format!("{}{path}", github.url()) };
    client.request(method, url).header("user-agent", "tests").bearer_auth(TOKEN)
}

async fn send(request: reqwest::RequestBuilder) -> Answer {
    let answer = request.send().await.unwrap();
    let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
    Answer { status, headers, text: answer.text().await.unwrap() }
}

async fn get(github: &GitHub, path: &str) -> Answer {
    send(request(github, Method::GET, path)).await
}

async fn with_body(github: &GitHub, method: Method, path: &str, body: Value) -> Answer {
    send(request(github, method, path).json(&body)).await
}

async fn graphql(github: &GitHub, query: &str) -> Value {
    let answer =
        send(request(github, Method::POST, &github.graphql_url()).json(&serde_json::json!({ "query": query })));
    let answer = answer.await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer.json()
}
