//! One look at one issue: what it is to us, what the server knows of it, and whatever is missing is done.

use std::time::Duration;

use poppo::{Checkin, Checkout, Enqueue, Error, Issue as Record, IssueNumber, Outcome, Refusal, Status};
use serde_json::json;
use tracing::{info, warn};

use super::metrics::Kind;
use super::note::Note;
use super::rules::{Offer, Said, Why, Wish};
use super::withdraw::Withdrawn;
use super::{Intake, Setback};
use crate::daemon::github::{Comment, Issue};

/// The process that an issue is completed by where a comment says that it is done. It never works on anything.
const PROCESS: &str = "poppo-intake";
/// For how long it could be silent, were it ever cut off between taking an issue and giving it back.
const TTL: Duration = Duration::from_secs(1);
/// What older programs give as the reason then.
const REASON: &str = "completion_keyword";
/// By how much GitHub's clock and the server's may differ.
const SKEW: Duration = Duration::from_secs(5);

impl Intake {
    /// Does what is missing.
    pub(super) async fn look(
        &mut self,
        number: IssueNumber,
        issue: &Issue,
        record: Option<&Record>,
        note: Note,
    ) -> Result<(), Setback> {
        let Some(rules) = &self.rules else { return Ok(()) };
        let offered = note.task.as_ref().map(|task| task.task_type.as_str());
        match rules.issue(issue, offered) {
            Wish::Off(why) if why.is_silent() => self.leave(number, record, note, why).await,
            Wish::Off(why) => {
                let mut after = note.clone();
                if note.task.is_some() && !self.withdraw(number, record, &note, &mut after, why).await? {
                    return Ok(());
                }
                self.hear(number, issue, record, &note, after, None).await
            }
            Wish::Task(offer) => self.offer(number, issue, record, note, offer).await,
        }
    }

    /// Nothing is wanted of an issue: what waits is called off, and what is said is not listened to.
    pub(super) async fn leave(
        &mut self,
        number: IssueNumber,
        record: Option<&Record>,
        note: Note,
        why: Why,
    ) -> Result<(), Setback> {
        let mut after = note.clone();
        if !note.is_blank() && !self.withdraw(number, record, &note, &mut after, why).await? {
            return Ok(());
        }
        if matches!(why, Why::Closed | Why::Gone) {
            after = Note::default();
        }
        looked(&mut after, record);
        self.keep(number, &note, &after).await
    }

    /// An issue is to be worked on.
    async fn offer(
        &mut self,
        number: IssueNumber,
        issue: &Issue,
        record: Option<&Record>,
        note: Note,
        offer: Offer,
    ) -> Result<(), Setback> {
        let mut after = note.clone();
        let is_other = note.task.as_ref().is_some_and(|before| before.task_type != offer.task_type);
        if is_other && !self.withdraw(number, record, &note, &mut after, Why::NoLabel).await? {
            return Ok(());
        }
        if after.task.as_ref() != Some(&offer) {
            if after.since.is_none() {
                // What was said before is part of the issue.
                after.begin(&issue.updated_at);
                if issue.comments > 0 {
                    let said = self.repo.comments_on(issue.number, Some(&issue.updated_at)).await?;
                    after.saw(said.iter().filter(|comment| comment.created_at <= issue.updated_at));
                }
            }
            let task = self.maker.of_issue(number, issue, &offer);
            self.queue(&task, Kind::Issue, &issue.updated_at).await?;
            after.task = Some(offer.clone());
        }
        self.hear(number, issue, record, &note, after, Some(&offer)).await
    }

    /// Looks for new comments on an issue that waits for an answer, and writes the note. The last word counts.
    async fn hear(
        &mut self,
        number: IssueNumber,
        issue: &Issue,
        record: Option<&Record>,
        before: &Note,
        mut after: Note,
        offer: Option<&Offer>,
    ) -> Result<(), Setback> {
        let Some(record) = record.filter(|record| record.status == Status::AwaitingResponse) else {
            return self.keep(number, before, &after).await;
        };
        if after.since.is_none() {
            // Somebody gave it out by hand: what was said before that is part of the issue.
            let began = record.start_time.as_ref().and_then(|at| at.to_system_time()?.checked_sub(SKEW));
            after.begin(&began.map_or_else(
                || issue.updated_at.clone(),
                |began| humantime::format_rfc3339_seconds(began).to_string(),
            ));
        }
        let mut comments = self.repo.comments_on(issue.number, after.since.as_deref()).await?;
        comments.retain(|comment| after.is_new(comment));
        comments.sort_by(|one, other| (&one.created_at, one.id).cmp(&(&other.created_at, other.id)));
        let said = |comment: &Comment| self.rules.as_ref().map_or(Said::Nothing, |rules| rules.comment(comment));
        let said: Vec<(&Comment, Said)> = comments.iter().map(|comment| (comment, said(comment))).collect();
        let last = said.iter().rfind(|(_, said)| *said != Said::Nothing);
        if let Some((comment, Said::Closing)) = last {
            if !self.complete(number, record, before, &after, comment).await? {
                self.again.insert(issue.number);
                return Ok(());
            }
        } else {
            for (comment, said) in &said {
                if *said == Said::Task {
                    let task = self.maker.of_comment(number, issue, comment, offer);
                    self.queue(&task, Kind::Comment, &comment.created_at).await?;
                }
            }
        }
        after.saw(&comments);
        looked(&mut after, Some(record));
        self.keep(number, before, &after).await
    }

    async fn queue(&self, task: &Enqueue, kind: Kind, changed: &str) -> Result<(), Setback> {
        let (issue, key) = (task.issue, self.site.project.key());
        match self.site.project.enqueue(task).await {
            Ok(true) => {
                info!(%issue, id = task.id, "queued: {} on GitHub", if kind == Kind::Issue { "an issue" } else { "a comment" });
                self.metrics.queued(key, kind, changed);
            }
            Ok(false) => self.metrics.count(key, kind, "known"),
            // The id is another issue's: of one that was transferred, say. Nothing that is tried again helps.
            Err(Error::BadArgument(why)) => {
                warn!(%issue, id = task.id, "cannot be queued: {why}");
                self.metrics.count(key, kind, "refused");
            }
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    /// Somebody has what he wanted: the issue is completed, and what else he may have wanted before is called off. False
    /// where somebody else has it now.
    async fn complete(
        &mut self,
        number: IssueNumber,
        record: &Record,
        before: &Note,
        after: &Note,
        comment: &Comment,
    ) -> Result<bool, Setback> {
        let mut without = after.clone();
        let why = "a comment says that it is done";
        // What is called off now is not to come back: the last comment answers those before it.
        if self.call_off(number, Some(record), before, &mut without, why).await? == Withdrawn::Later {
            return Ok(false);
        }
        let mut checkout = Checkout::new(number, PROCESS);
        (checkout.task_type, checkout.ttl) = (record.task_type.clone(), Some(TTL));
        let mut checkin = Checkin::new(number, PROCESS, Outcome::Completed);
        let by = comment.user.as_ref().map(|user| &user.login);
        checkin.reason = Some(REASON.to_owned());
        checkin.result = Some(json!({ "reason": REASON, "comment": comment.node_id, "by": by }).to_string());
        match self.site.project.settle(&checkout, &checkin).await {
            Ok(()) => {
                info!(issue = %number, by, "completed: a comment says that it is done");
                self.metrics.count(self.site.project.key(), Kind::Comment, "completed");
                Ok(true)
            }
            Err(Error::Refused(Refusal::Held(_))) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}

/// Comments were looked for after the lease that an issue waits since.
fn looked(note: &mut Note, record: Option<&Record>) {
    let waiting = record.filter(|record| record.status == Status::AwaitingResponse);
    if let Some(token) = waiting.and_then(|record| record.token) {
        note.looked = Some(token.get());
    }
}
