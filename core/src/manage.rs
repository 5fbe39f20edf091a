//! `FORGET` and `CONFIG`: what people change by hand.

use crate::checkin::Effect;
use crate::events::Entry;
use crate::issue::{Issue, Run};
use crate::project::Project;
use crate::refusal::Refusal;
use crate::settings::{Setting, Settings};
use crate::types::{EventKind, IssueNumber, Now, Status};

impl Project {
    /// Removes every trace of an issue that nobody holds. Unchanged where it was not known.
    ///
    /// # Errors
    /// [`Refusal::Held`]; nothing changes then.
    pub fn forget(&mut self, now: Now, number: IssueNumber) -> Result<Effect, Refusal> {
        if let Some((issue, _, life)) = self.holder_of(number) {
            return Err(self.held(number, issue, life));
        }
        let forget = Entry {
            issue: number,
            token: None,
            at: now.at,
            process: None,
            kind: None,
            what: EventKind::Forget,
            status: None,
            from: self.is_queued(number).then_some(Status::Queued),
            says: None,
        };
        let entry = match self.issues.get(&number).map(|issue| &**issue) {
            Some(Issue { token, kind, run: Run::Ended(ended), .. }) => {
                let (token, process) = (Some(*token), Some(ended.process));
                Entry { token, process, kind: *kind, from: Some(ended.status()), ..forget }
            }
            _ if self.has_tasks(number) => forget,
            _ => return Ok(Effect::Unchanged),
        };
        self.change(now, |project| {
            project.next_event();
            project.forget_tasks(number);
            project.set_issue(number, None);
            project.log(entry);
        });
        Ok(Effect::Changed)
    }

    /// The project's settings.
    pub fn settings(&self) -> &Settings {
        &self.head.settings
    }

    /// Changes settings, each to a value that its [`Setting::parse`] allowed.
    ///
    /// Deadlines follow from `attest-ttl` and `max-silence`: changing them costs time in proportion to the number of
    /// processes.
    pub fn configure(&mut self, now: Now, values: &[(Setting, u64)]) {
        let mut settings = self.head.settings.clone();
        for (setting, value) in values {
            settings.set(*setting, *value);
        }
        self.change(now, |project| project.set_settings(settings));
    }
}
