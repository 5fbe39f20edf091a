//! Checking a lease in over lost answers and servers that are away: the same report again and again, which its token makes
//! harmless, and a file from the first failure on, which outlives us.

use std::pin::pin;
use std::sync::Arc;

use tokio::time::{Instant, sleep};

use super::fate::Notice;
use super::lease::{CheckedIn, Lease};
use crate::spool::Kept;
use crate::{Backoff, Checkin, Claimed, Error, Project};

impl Lease {
    /// Reports until the server answers or `enough` comes back, at least once however late it is. Dropped before its end,
    /// it goes on in the background.
    pub(super) async fn report(
        mut self,
        mut report: Checkin,
        next: bool,
        enough: impl Future<Output = ()> + Send,
    ) -> Result<(CheckedIn, Option<Self>), Error> {
        let keeper = Arc::clone(&self.keeper);
        // What was granted in an answer that was lost comes before anything new.
        let next = next && !keeper.is_uncertain();
        report.issue = self.issue();
        report.process.clone_from(&keeper.process);
        report.token = Some(self.token);
        report.incarnation = Some(keeper.incarnation.clone());
        self.report = Some(report.clone());
        keeper.is_reported(self.token);
        let mut enough = pin!(enough);
        let mut backoff = Backoff::default();
        loop {
            let asking = next.then(|| keeper.ask());
            let sent = Instant::now();
            let error = match self.send(&report, next).await {
                Ok(claimed) => {
                    let following = claimed.and_then(|task| Self::of_task(&keeper, task, sent, None));
                    if let Some(asking) = asking {
                        asking.answered();
                    }
                    if backoff.count() > 0 {
                        keeper.notice(&Notice::Back);
                    }
                    self.is_done();
                    return Ok((CheckedIn::Accepted, following));
                }
                Err(error) => error,
            };
            if let Some(asking) = asking.filter(|_| !error.may_pass()) {
                asking.answered();
            }
            match &error {
                // Whatever the refusal, the lease that we had is not there any more.
                Error::Refused(_) | Error::Answer { .. } => {
                    self.is_done();
                    return Err(error);
                }
                Error::BadArgument(why) if report.result.is_some() => {
                    keeper.notice(&Notice::WithoutResult { issue: report.issue, why: why.clone() });
                    report.result = None;
                    self.report = Some(report.clone());
                    continue;
                }
                // To be reported in other words: by the worker, or by whoever drops it.
                Error::BadArgument(_) => {
                    self.report = None;
                    return Err(error);
                }
                _ => {}
            }
            if self.kept.is_none() {
                self.kept = self.keep(&report);
            }
            if !error.may_pass() {
                return self.give_up(error);
            }
            if backoff.count() == 0 {
                let kept = self.kept.as_ref().map(|kept| kept.path().to_owned());
                keeper.notice(&Notice::NotReported { issue: report.issue, error: error.to_string(), kept });
            }
            tokio::select! {
                () = sleep(backoff.pause()) => {}
                () = &mut enough => return self.give_up(error),
            }
        }
    }

    /// The last word of a lease that was dropped.
    pub(super) fn report_from_the_background(mut self) {
        if tokio::runtime::Handle::try_current().is_err() {
            return self.keep_last_word();
        }
        self.is_in_background = true;
        let keeper = Arc::clone(&self.keeper);
        keeper.in_background(|keeper| async move {
            let (report, enough, issue) = (self.last_word(), self.until_over(), self.issue());
            match self.report(report, false, enough).await {
                Ok(_) => {}
                Err(error) => keeper.notice(&Notice::Refused { issue, why: error.to_string() }),
            }
        });
    }

    /// Where nothing can be sent any more: a file has to do.
    pub(super) fn keep_last_word(&mut self) {
        self.is_over = true;
        let mut report = self.last_word();
        report.token = Some(self.token);
        report.incarnation = Some(self.keeper.incarnation.clone());
        if self.kept.is_none()
            && let Some(spool) = self.keeper.spool()
            && let Err(error) = spool.keep(&self.keeper.project, &report)
        {
            self.keeper.notice(&Notice::NotKept { issue: self.issue(), error: error.to_string() });
        }
        self.keeper.keep(self.token);
    }

    async fn send(&self, report: &Checkin, next: bool) -> Result<Option<Claimed>, Error> {
        let answer = Self::send_to(&self.keeper.project, report, next).await;
        if self.keeper.is_unconfirmed(&answer) {
            return Self::send_to(&self.keeper.project.without_durability(), report, next).await;
        }
        answer
    }

    async fn send_to(project: &Project, report: &Checkin, next: bool) -> Result<Option<Claimed>, Error> {
        if next { project.checkin_and_claim(report).await } else { project.checkin(report).await.map(|()| None) }
    }

    /// Keeps the report on disk. It blocks for as long as the disk takes, which is while the server is away anyway: elsewhere,
    /// a file that is written when this future is dropped would be nobody's.
    fn keep(&self, report: &Checkin) -> Option<Kept> {
        let spool = self.keeper.spool()?;
        match spool.keep(&self.keeper.project, report) {
            Ok(kept) => Some(kept),
            Err(error) => {
                let error = format!("{}: {error}", spool.dir().display());
                self.keeper.notice(&Notice::NotKept { issue: self.issue(), error });
                None
            }
        }
    }

    /// The server knows all that it will ever know of this lease.
    fn is_done(&mut self) {
        self.is_over = true;
        self.keeper.let_go(self.token);
        if let Some(kept) = self.kept.take()
            && let Err(error) = kept.remove()
        {
            // Delivered again, it changes nothing.
            self.keeper.notice(&Notice::NotDelivered { error: error.to_string() });
        }
    }

    /// From now on it is the file's, where there is one, to tell the server.
    fn give_up(mut self, error: Error) -> Result<(CheckedIn, Option<Self>), Error> {
        self.is_over = true;
        if self.kept.take().is_none() {
            self.keeper.let_go(self.token);
            return Err(error);
        }
        self.keeper.keep(self.token);
        Ok((CheckedIn::Kept(error), None))
    }
}
