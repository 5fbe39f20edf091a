//! What a duty does while its server is there: again and again, as the server comes and goes.

use poppo::{Backoff, Error};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::board::{Condition, Health};

/// The sessions of a duty, one after another until the daemon ends: after one that failed another, with pauses that grow
/// until one has gone well. A session says itself when it does.
#[derive(Debug)]
pub(super) struct Sessions {
    health: Health,
    stop: CancellationToken,
    backoff: Backoff,
}

impl Sessions {
    pub(super) fn new(health: Health, stop: CancellationToken) -> Self {
        Self { health, stop, backoff: Backoff::default() }
    }

    /// Goes through one session, and the pause after it. Whether there is to be another one.
    pub(super) async fn go_through(&mut self, session: impl Future<Output = Result<(), Error>>) -> bool {
        let ended = tokio::select! {
            ended = session => ended,
            () = self.stop.cancelled() => return false,
        };
        if self.health.condition() == Condition::Well {
            self.backoff = Backoff::default();
        }
        if let Err(error) = ended {
            self.health.ailing(error.to_string());
        }
        tokio::select! {
            () = sleep(self.backoff.pause()) => true,
            () = self.stop.cancelled() => false,
        }
    }
}
