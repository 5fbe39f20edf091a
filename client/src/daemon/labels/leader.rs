//! Which daemon writes the labels of a repository: the one that has the lease on issue 1 of a project of its own. Poppo's
//! leases decide that as they decide about issues.

use std::time::Duration;

use poppo::{Checkout, Error, Holder, IssueNumber, Lease, Life, Liveness, Notice, Outcome, Project, Refusal, Verdict};
use tokio::time::sleep;

use super::super::Site;
use super::super::config::Repository;
use crate::process;

/// For how long a daemon may be silent that writes labels, until another does.
const TTL: Duration = Duration::from_secs(15);
/// For how long giving the lease back may take at the end: without, the next one waits for the TTL.
const FAREWELL: Duration = Duration::from_secs(2);

/// The project whose only issue is the right to write a repository's labels. Names on GitHub have no case.
pub(crate) fn project_of(repository: &Repository) -> String {
    format!("poppo:daemons:{}", repository.to_string().to_lowercase())
}

/// The only issue there is.
pub(crate) fn issue() -> IssueNumber {
    IssueNumber::FIRST
}

/// Somebody who would write.
pub(super) struct Candidate {
    project: Project,
    holder: Holder,
}

impl Candidate {
    pub(super) fn of(site: &Site, repository: &Repository) -> Self {
        let project = site.project.client().project(project_of(repository));
        let life = Life { host: site.host.to_string(), tmux: None, ..Life::current() };
        // Of two daemons on a host, neither takes the other's name.
        let holder = project.holder_as(format!("{}-{}", site.host, life.pid), life);
        // A lease on the right to write is worth nothing when it is over: no report of it is kept on disk.
        holder.keep_in(None);
        holder.on_notice(|notice| match notice {
            Notice::Away { .. } | Notice::Back | Notice::NotReported { .. } => tracing::debug!("{notice}"),
            _ => tracing::info!("{notice}"),
        });
        Self { project, holder }
    }

    /// The right to write, if nobody has it; else who does.
    pub(super) async fn stand(&self) -> Result<Result<Lease, String>, Error> {
        let mut checkout = Checkout::new(issue(), self.holder.process());
        checkout.ttl = Some(TTL);
        checkout.takeover = true;
        checkout.title = Some("writes the labels".to_owned());
        match self.holder.checkout(&checkout).await {
            Ok(lease) => return Ok(Ok(lease)),
            Err(Error::Refused(Refusal::Held(_))) => {}
            Err(error) => return Err(error),
        }
        let Some(other) = self.project.get(issue()).await? else { return Ok(Err("nobody".to_owned())) };
        let (who, host) = (other.process.unwrap_or_default(), other.host.unwrap_or_default());
        if let Some(pid) = other.pid.filter(|pid| host == self.holder.life().host && !process::is_alive(*pid)) {
            // It died on this host, so nobody need wait for its silence.
            let mut word = Liveness::new(who.clone(), Verdict::Dead, host, pid);
            word.incarnation = other.incarnation;
            if self.project.liveness(&word).await? > 0
                && let Ok(lease) = self.holder.checkout(&checkout).await
            {
                return Ok(Ok(lease));
            }
        }
        Ok(Err(who))
    }
}

/// Gives the right back, so that another daemon need not wait.
pub(super) async fn resign(lease: Lease) {
    let report = lease.checkin(Outcome::Completed);
    if let Err(error) = lease.check_in_until(report, sleep(FAREWELL)).await {
        tracing::debug!("the right to write labels was not given back: {error}");
    }
}
