//! `poppo checkin`: CHECKIN, for scripts.

use std::time::Duration;

use poppo::{Checkin, IssueNumber, Outcome, Token};

use crate::cli::{Context, claim, done};
use crate::exit::Failure;
use crate::human::parse_duration;

/// Check an issue in: report how the work on it ended
///
/// Give the token that `checkout` printed: where the lease was lost meanwhile, the report is then refused with exit code
/// 76 instead of being taken for somebody else's.
///
/// The lease's task is finished by `completed` and `awaiting-response`, dropped by `cancelled`, and dead by `error`, unless
/// --retry has it wait again. With --next, the next task is claimed in the same step and printed as `poppo claim` does;
/// where there is none, the exit code is 75, and the issue is checked in all the same.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Example:
  $ poppo checkin 123 --process nightly --status completed --token $TOKEN \\
      --result '{\"pr\":77}' --meta branch=fix-123
  $ poppo checkin 123 --process nightly --status error --reason \"no network\" --retry 5m")]
pub(crate) struct Args {
    /// The issue's number
    issue: IssueNumber,
    /// The name of the process that has it
    #[arg(long, env = "POPPO_PROCESS", hide_env_values = true, value_name = "NAME")]
    process: String,
    /// How it ended: completed, awaiting-response, error or cancelled
    #[arg(long, value_name = "STATUS")]
    status: Outcome,
    /// The token that `checkout` printed
    #[arg(long)]
    token: Option<Token>,
    /// Which life of the process this is
    #[arg(long, value_name = "WORD")]
    incarnation: Option<String>,
    /// The result, as JSON
    #[arg(long, value_name = "JSON")]
    result: Option<String>,
    /// Why, in words
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// With status error: queue the task again after so much time, up to 365d; one that failed max-attempts times is
    /// dead all the same
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    retry: Option<Duration>,
    /// Claim the next task, of the types that the process claimed last
    #[arg(long)]
    next: bool,
    /// Anything else worth keeping; may be given several times
    #[arg(long, value_name = "NAME=VALUE", value_parser = name_and_value)]
    meta: Vec<(String, String)>,
}

fn name_and_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("write it as name=value".to_owned()),
    }
}

pub(crate) async fn run(args: Args, context: &Context) -> Result<(), Failure> {
    let project = context.project().await?;
    let checkin = Checkin {
        issue: args.issue,
        process: args.process,
        outcome: args.status,
        token: args.token,
        incarnation: args.incarnation,
        result: args.result,
        reason: args.reason,
        retry: args.retry,
        metadata: args.meta,
    };
    if args.next {
        let (next, confirmed) = done(&project, async |project| project.checkin_and_claim(&checkin).await).await?;
        let Some(next) = next else {
            return confirmed.and_then(|()| Err(claim::nothing_to_claim()));
        };
        if context.out.json {
            context.out.document(&next)?;
        } else {
            context.out.table(&claim::table(&next), "")?;
        }
        return confirmed;
    }
    let ((), confirmed) = done(&project, async |project| project.checkin(&checkin).await).await?;
    let document = serde_json::json!({ "issue": checkin.issue, "status": checkin.outcome });
    context.out.say(&document, &format!("issue {} is checked in as {}", checkin.issue, checkin.outcome))?;
    confirmed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_is_split_at_the_first_equals_sign() {
        assert_eq!(name_and_value("a=b=c"), Ok(("a".to_owned(), "b=c".to_owned())));
        assert!(name_and_value("a").is_err());
        assert!(name_and_value("=b").is_err());
    }
}
