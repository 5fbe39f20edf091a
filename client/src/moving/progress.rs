//! How far it is, on stderr, if that is a terminal.

use std::borrow::Cow;

use indicatif::{ProgressBar, ProgressStyle};
use poppo::{Project, Stats};

use crate::output::Output;

/// A bar that goes with whoever holds it.
#[derive(Debug)]
pub(crate) struct Progress(ProgressBar);

impl Progress {
    /// Of so many entries, as far as that is known before.
    pub(crate) fn new(out: Output, what: impl Into<Cow<'static, str>>, entries: Option<u64>) -> Self {
        if out.json {
            return Self(ProgressBar::hidden());
        }
        let (bar, form) = match entries {
            Some(entries) => (ProgressBar::new(entries), "{msg} {wide_bar} {human_pos}/{human_len} {eta}"),
            None => (ProgressBar::no_length(), "{msg} {human_pos} {elapsed}"),
        };
        // The form is one that there is; another would only look otherwise.
        if let Ok(style) = ProgressStyle::with_template(form) {
            bar.set_style(style.progress_chars("━╸ "));
        }
        bar.set_message(what);
        Self(bar)
    }

    /// So many entries more.
    pub(crate) fn add(&self, entries: usize) {
        self.0.inc(entries as u64);
        // Finished ids are in no figure.
        if self.0.length().is_some_and(|length| length < self.0.position()) {
            self.0.set_length(self.0.position());
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

/// About how many entries a project has; none where that cannot be told.
pub(crate) async fn entries_of(project: &Project) -> Option<u64> {
    project.stats().await.ok().flatten().map(|stats| entries(&stats))
}

fn entries(stats: &Stats) -> u64 {
    let poppo::IssueCounts { processing, completed, awaiting_response, error, cancelled, queued } = stats.issues;
    let issues = processing + completed + awaiting_response + error + cancelled + queued;
    issues + stats.queue.waiting + stats.queue.delayed + stats.queue.dead + 1
}
