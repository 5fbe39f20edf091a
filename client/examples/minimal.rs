//! The smallest worker: takes tasks one after the other until Ctrl-C, and finishes what it began.
//!
//! ```sh
//! poppo up &
//! poppo enqueue 123 --title "Crash on start"
//! cargo run --example minimal
//! ```

use std::env;

use poppo::{Client, Worker};
use tokio_util::sync::CancellationToken;

#[tokio::main]
async fn main() -> Result<(), poppo::Error> {
    let url = env::var("POPPO_URL").unwrap_or_else(|_| "redis://127.0.0.1:6379".to_owned());
    let project =
        Client::connect(&url).await?.project(env::var("POPPO_PROJECT").unwrap_or_else(|_| "poppo".to_owned()));

    let drain = CancellationToken::new();
    let ctrl_c = drain.clone();
    tokio::spawn(async move {
        drop(tokio::signal::ctrl_c().await);
        ctrl_c.cancel();
    });

    Worker::new(&project)
        .drain_on(drain)
        .run(|lease| async move {
            // Your work is here. A lease that is dropped without a word is checked in as `error`.
            println!("issue {}: {}", lease.issue(), lease.title().unwrap_or("no title"));
            lease.complete("").await.map(drop)
        })
        .await
}
