//! A worker for longer work in steps: it reports its progress, stops when somebody cancels the issue or its lease is lost,
//! has failed tasks wait for another try, and ends in good order on TERM.
//!
//! A task's payload says how many steps there are, and at which of them a first run fails:
//!
//! ```sh
//! poppo up &
//! poppo enqueue 123 --type steps --payload '{"steps":50,"fails":3}'
//! cargo run --example steps
//! poppo list --processes      # shows the progress
//! poppo cancel 123            # stops it
//! ```

use std::env;
use std::error::Error;
use std::time::Duration;

use poppo::{Backoff, Client, Fate, Lease, Worker};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

type Anyhow = Box<dyn Error + Send + Sync>;

/// What a task of type `steps` is told.
#[derive(serde::Deserialize)]
struct Payload {
    steps: u32,
    /// The step at which the first run fails.
    fails: Option<u32>,
}

#[tokio::main]
async fn main() -> Result<(), Anyhow> {
    let url = env::var("POPPO_URL").unwrap_or_else(|_| "redis://127.0.0.1:6379".to_owned());
    let project =
        Client::connect(&url).await?.project(env::var("POPPO_PROJECT").unwrap_or_else(|_| "poppo".to_owned()));

    // The first TERM drains: what runs is finished. The second one stops that, too, and puts it back into the queue.
    let (drain, stop) = (CancellationToken::new(), CancellationToken::new());
    let mut terminate = signal(SignalKind::terminate())?;
    let tokens = [drain.clone(), stop.clone()];
    tokio::spawn(async move {
        for token in tokens {
            terminate.recv().await;
            token.cancel();
        }
    });

    let worker = Worker::new(&project)
        .jobs(4)
        .types(["steps"])
        .retry(Backoff::new(Duration::from_millis(100), Duration::from_secs(60)))
        .drain_on(drain)
        .stop_on(stop);
    worker.holder().on_notice(|notice| eprintln!("{notice}"));
    worker.run(work).await?;
    Ok(())
}

/// An error that this returns is the reason of the check-in, and the task waits for its next run.
async fn work(lease: Lease) -> Result<(), Anyhow> {
    let payload: Payload = serde_json::from_str(lease.payload().ok_or("a task of type steps needs a payload")?)?;
    let stop = lease.stop_token();
    for step in 1..=payload.steps {
        lease.progress(format!("issue {}: step {step}/{}", lease.issue(), payload.steps));
        if payload.fails == Some(step) && lease.attempts() == 0 {
            return Err(format!("step {step} failed").into());
        }
        tokio::select! {
            () = tokio::time::sleep(Duration::from_millis(20)) => {}
            () = stop.cancelled() => {
                // Clean up here. What is cancelled is to be checked in so; what is lost is another's by now.
                println!("issue {}: stopped at step {step}", lease.issue());
                if lease.fate() == Some(Fate::Cancelled) {
                    lease.cancel(format!("cancelled at step {step}")).await?;
                }
                return Ok(());
            }
        }
    }
    println!("issue {}: done", lease.issue());
    lease.complete(format!("{{\"steps\":{}}}", payload.steps)).await?;
    Ok(())
}
