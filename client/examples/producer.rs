//! A producer: queues a task for each issue of a list, and waits until all of them have ended.
//!
//! Each line of stdin is a number and a title. Run again, it queues nothing twice: a task is known by its id.
//!
//! ```sh
//! poppo up &
//! poppo work --jobs 4 -- ./fix-issue.sh &
//! gh issue list --json number,title -q '.[] | "\(.number) \(.title)"' | cargo run --example producer
//! ```

use std::collections::BTreeMap;
use std::env;
use std::error::Error;
use std::io;
use std::time::Duration;

use poppo::{Block, Client, Enqueue, EventKind, IssueNumber, Project, Status};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let url = env::var("POPPO_URL").unwrap_or_else(|_| "redis://127.0.0.1:6379".to_owned());
    let project =
        Client::connect(&url).await?.project(env::var("POPPO_PROJECT").unwrap_or_else(|_| "poppo".to_owned()));

    // From before the first task on, so that no end is missed.
    let since = project.newest_event().await?;
    let mut open = BTreeMap::new();
    for line in io::stdin().lines() {
        let line = line?;
        let Some((number, title)) = line.trim().split_once(' ') else { continue };
        let issue: IssueNumber = number.parse()?;
        let mut task = Enqueue::new(issue);
        task.title = Some(title.to_owned());
        if project.enqueue(&task).await? {
            open.insert(issue, title.to_owned());
        } else {
            println!("{issue} was queued before: {title}");
        }
    }
    wait_for(&project, since, open).await
}

/// Prints how each of these issues ends, as it happens.
async fn wait_for(
    project: &Project,
    mut last: u64,
    mut open: BTreeMap<IssueNumber, String>,
) -> Result<(), Box<dyn Error>> {
    while !open.is_empty() {
        let events = match project.events(last, None, Block::AtMost(Duration::from_secs(30))).await {
            Ok(events) => events,
            Err(error) if error.may_pass() => {
                eprintln!("{error}; waiting for it");
                tokio::time::sleep(Duration::from_secs(1)).await;
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        for event in events {
            last = event.id;
            if event.event == EventKind::Trimmed {
                return Err(format!("events up to {last} are no longer kept: look at `poppo list`").into());
            }
            let (Some(issue), Some(status)) = (event.issue, event.status) else { continue };
            // What waits for another try has not ended.
            if matches!(status, Status::Queued | Status::Processing) {
                continue;
            }
            if let Some(title) = open.remove(&issue) {
                let reason = event.reason.unwrap_or_default();
                println!("{issue} {status}: {title} {reason}");
            }
        }
    }
    Ok(())
}
