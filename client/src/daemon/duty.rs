//! Running a duty for as long as the daemon runs, whatever happens to it.

use std::fmt;
use std::future::Future;
use std::time::Duration;

use poppo::{Backoff, Error};
use serde::Serialize;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use super::board::Health;

/// The first pause before a duty that failed is started again, and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(30));
/// A duty that ran for so long before it failed is started again after the first pause.
const LONG_ENOUGH: Duration = Duration::from_secs(60);

/// After this, a duty that gave up looks whether somebody has mended what was wrong.
const AFRESH: Duration = Duration::from_secs(10 * 60);

/// What a daemon does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Duty {
    /// Watches the PIDs of this host's workers.
    Liveness,
    /// Ends the leases of orphans.
    Repair,
    /// Keeps GitHub's labels in step.
    Labels,
    /// Makes tasks of issues and comments.
    Intake,
    /// Answers the older programs' requests.
    Ambassador,
    /// Keeps the older key layout as a view.
    View,
    /// Answers on HTTP.
    Http,
}

impl Duty {
    /// Its name in configuration, log and metrics.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Liveness => "liveness",
            Self::Repair => "repair",
            Self::Labels => "labels",
            Self::Intake => "intake",
            Self::Ambassador => "ambassador",
            Self::View => "view",
            Self::Http => "http",
        }
    }
}

impl fmt::Display for Duty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why a duty ended before the daemon.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// It may go better next time: the server is away, GitHub is.
    Passing(String),
    /// It will not soon: somebody has to mend something.
    Lasting(String),
}

impl From<Error> for Trouble {
    /// Whatever a server says may be otherwise after its restart, failover or next `ACL SETUSER`.
    fn from(error: Error) -> Self {
        Self::Passing(error.to_string())
    }
}

/// Runs a duty among `duties`: again after each trouble that passes, with growing pauses, and seldom after one that lasts,
/// until the daemon ends. A panic is a trouble that passes; it ends no other duty.
pub(crate) fn spawn<F, R>(duties: &mut JoinSet<()>, health: Health, stop: CancellationToken, run: F)
where
    F: Fn(Health) -> R + Send + 'static,
    R: Future<Output = Result<(), Trouble>> + Send + 'static,
{
    let span = tracing::info_span!("duty", duty = %health.post().duty, project = health.post().project);
    let keep = async move {
        let mut backoff = Backoff::new(PAUSES.0, PAUSES.1);
        while !stop.is_cancelled() {
            let began = Instant::now();
            // In a task of its own, so that its panics are its own; in a set, so that it ends with us.
            let mut task = JoinSet::new();
            task.spawn(run(health.clone()).in_current_span());
            let trouble = match task.join_next().await {
                Some(Ok(Ok(()))) | None => return,
                Some(Ok(Err(trouble))) => trouble,
                Some(Err(error)) => Trouble::Passing(format!("internal error: {error}")),
            };
            if began.elapsed() >= LONG_ENOUGH {
                backoff = Backoff::new(PAUSES.0, PAUSES.1);
            }
            let pause = match trouble {
                Trouble::Passing(why) => {
                    health.ailing(why);
                    backoff.pause()
                }
                Trouble::Lasting(why) => {
                    health.given_up(format!("{why}; it is tried again in {}", humantime::format_duration(AFRESH)));
                    AFRESH
                }
            };
            tokio::select! {
                () = sleep(pause) => {}
                () = stop.cancelled() => {}
            }
        }
    };
    duties.spawn(keep.instrument(span));
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::super::board::{Board, Condition};
    use super::*;

    /// Runs a duty that ends in a way that depends on how often it was begun, until it ends for good.
    async fn condition_after(ends: fn(u32) -> Result<(), Trouble>) -> (u32, Option<Condition>) {
        let (board, begun) = (Arc::new(Board::default()), Arc::new(AtomicU32::new(0)));
        let mut duties = JoinSet::new();
        let count = Arc::clone(&begun);
        spawn(&mut duties, board.post(None, Duty::Http), CancellationToken::new(), move |health| {
            let time = count.fetch_add(1, Ordering::Relaxed);
            async move {
                health.well();
                ends(time)
            }
        });
        while duties.join_next().await.is_some() {}
        (begun.load(Ordering::Relaxed), board.read().into_iter().next().map(|(_, condition)| condition))
    }

    #[tokio::test(start_paused = true)]
    async fn a_trouble_that_passes_and_a_panic_are_tried_again() {
        let (begun, condition) = condition_after(|time| match time {
            0 => Err(Trouble::Passing("away".to_owned())),
            #[allow(clippy::panic)]
            1 => panic!("a bug"),
            _ => Ok(()),
        })
        .await;
        assert_eq!((begun, condition), (3, Some(Condition::Well)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_trouble_that_lasts_is_tried_again_when_somebody_may_have_mended_it() {
        let began = Instant::now();
        let (begun, condition) = condition_after(|time| match time {
            0 | 1 => Err(Trouble::Lasting("gone".to_owned())),
            _ => Ok(()),
        })
        .await;
        assert_eq!((begun, condition), (3, Some(Condition::Well)));
        assert!(began.elapsed() >= 2 * AFRESH, "and not at once");
    }

    #[tokio::test(start_paused = true)]
    async fn a_duty_that_gave_up_says_why_and_what_is_next() {
        let (board, stop) = (Arc::new(Board::default()), CancellationToken::new());
        let mut duties = JoinSet::new();
        spawn(&mut duties, board.post(None, Duty::Http), stop.clone(), |_| async {
            Err(Trouble::Lasting("gone".to_owned()))
        });
        sleep(Duration::from_secs(100)).await;
        let condition = board.read().into_iter().next().map(|(_, condition)| condition);
        assert_eq!(condition, Some(Condition::GivenUp("gone; it is tried again in 10m".to_owned())));
        stop.cancel();
        while duties.join_next().await.is_some() {}
    }

    #[tokio::test(start_paused = true)]
    async fn a_daemon_that_ends_does_not_wait_for_a_pause() {
        let (board, stop) = (Arc::new(Board::default()), CancellationToken::new());
        let mut duties = JoinSet::new();
        spawn(&mut duties, board.post(None, Duty::Http), stop.clone(), |_| async {
            Err(Trouble::Passing("away".to_owned()))
        });
        sleep(Duration::from_secs(100)).await;
        stop.cancel();
        while duties.join_next().await.is_some() {}
    }
}
