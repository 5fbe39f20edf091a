//! Leases as a command sees them: the library keeps them, and this says in exit codes and sentences how they ended.

use poppo::{CheckedIn, Error, Fate, Holder, IssueNumber, Life, Outcome, Project, Token};

use crate::exit::{FAILED, Failure, LOST};
use crate::output::say;

/// How long what goes on in the background may take at the end. What is not reported by then is kept on disk.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(5);

/// The holder of this command's leases, which says what it meets with.
pub(crate) fn holder(project: &Project, process: String, life: Life) -> Holder {
    let holder = project.holder_as(process, life);
    holder.on_notice(|notice| say(&notice.to_string()));
    holder
}

/// At the end, when nothing is held any more.
pub(crate) async fn settle(holder: &Holder) {
    drop(tokio::time::timeout(PATIENCE, holder.settled()).await);
}

/// A lease that is lost.
pub(crate) fn lost(issue: IssueNumber, token: Token, fate: &Fate) -> Failure {
    let code = match fate {
        Fate::Lost { code, .. } => code,
        _ => "LOST",
    };
    Failure::new(LOST, code, format!("issue {issue} (token {token}) {fate}; the command was stopped"))
}

/// What a check-in came to, where it did not come to what it should.
pub(crate) fn checked_in(
    issue: IssueNumber,
    outcome: Outcome,
    answer: Result<CheckedIn, Error>,
) -> Result<(), Failure> {
    match answer {
        Ok(CheckedIn::Kept(error)) => {
            let then = "the report is kept and delivered when the server is back (`poppo spool`)";
            let message = format!("issue {issue} could not be checked in as {outcome}: {error}; {then}");
            Err(Failure::new(FAILED, error.code(), message))
        }
        Ok(_) => Ok(()),
        // Whatever the refusal, the lease that we had is not there any more.
        Err(Error::Refused(refusal)) => Err(Failure::new(LOST, refusal.code(), refusal.to_string())),
        Err(error @ (Error::BadArgument(_) | Error::Answer { .. })) => Err(error.into()),
        Err(error) => {
            let message = format!("issue {issue} could not be checked in as {outcome}: {error}");
            Err(Failure::new(FAILED, error.code(), message))
        }
    }
}
