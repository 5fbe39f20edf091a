//! The server as a command.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

use poppo_tests::github::TOKEN;

#[tokio::test]
async fn it_says_where_it_is_and_ends_with_its_stdin() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_poppo-github"))
        .args(["--repository", "acme/widgets", "--issues", "3", "--label", "task:misc", "--enterprise"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut url = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut url).unwrap();
    let issues = format!("{}/repos/acme/widgets/issues?labels=task:misc", url.trim());
    let answer =
        reqwest::Client::new().get(issues).header("user-agent", "tests").bearer_auth(TOKEN).send().await.unwrap();
    let issues: serde_json::Value = answer.json().await.unwrap();
    assert_eq!(issues.as_array().unwrap().len(), 3);
    drop(child.stdin.take());
    assert!(child.wait().unwrap().success());
}

#[test]
fn a_repository_without_an_owner_is_refused() {
    let refused = Command::new(env!("CARGO_BIN_EXE_poppo-github")).args(["--repository", "widgets"]).output().unwrap();
    assert_eq!(refused.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("OWNER/NAME"));
}
