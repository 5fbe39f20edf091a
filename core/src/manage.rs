//! `FORGET` and `CONFIG`: what people change by hand.

use crate::checkin::Effect;
use crate::project::Project;
use crate::refusal::Refusal;
use crate::settings::{Setting, Settings};
use crate::types::{IssueNumber, Now};

impl Project {
    /// Removes every trace of an issue that nobody holds. Unchanged where it was not known.
    ///
    /// # Errors
    /// [`Refusal::Held`]; nothing changes then.
    pub fn forget(&mut self, now: Now, number: IssueNumber) -> Result<Effect, Refusal> {
        if let Some((issue, _, life)) = self.holder_of(number) {
            return Err(self.held(number, issue, life));
        }
        if !self.issues.contains_key(&number) {
            return Ok(Effect::Unchanged);
        }
        self.change(now, |project| project.set_issue(number, None));
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
