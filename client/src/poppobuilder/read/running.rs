//! `running-tasks.json`: what ran, by the names of its tasks: `issue-98`, `issue-98-comment-IC_…`.

use serde_json::Value;

use super::{Reader, Running};
use crate::poppobuilder::fields::issue_named;
use crate::poppobuilder::files::comment_task;
use crate::poppobuilder::split::{Document, Entry};

impl Reader<'_> {
    pub(super) fn running(&mut self, document: Document<'_>) {
        let is_list = matches!(document, Document::List(_));
        for entry in self.entries(document, "") {
            self.running_task(&entry, is_list);
        }
    }

    fn running_task(&mut self, entry: &Entry<'_>, is_listed: bool) {
        let Some(mut fields) = self.record(&entry.name, &entry.part) else { return };
        let own = ["taskId", "id"].into_iter().find_map(|name| fields.text(name));
        let task = if is_listed { own.unwrap_or_default() } else { entry.name.clone() };
        if is_listed {
            fields.note("it was in a list");
        }
        let (named, comment) = about(&task);
        let number = ["issueNumber", "issue"].into_iter().find_map(|name| fields.issue(name));
        let Some(issue) = number.or(named) else {
            self.report.unused(&entry.name, "it does not say which issue it is about");
            return;
        };
        let started = fields.time("startTime");
        if started.is_none() {
            fields.note("it does not say since when; the file's time is taken");
        }
        let (pid, kind, title) = (fields.pid("pid"), fields.name("type"), fields.text("title"));
        // Whether its comment closes the issue is for who handles it to see.
        fields.any("isCompletion");
        let rest: Vec<String> =
            fields.rest().into_iter().filter(|(_, value)| *value != Value::Null).map(|(n, _)| n).collect();
        if !rest.is_empty() {
            fields.note(format!("left out: {}", rest.join(", ")));
        }
        let item = self.report.used(&entry.name, &fields.notes);
        let started = started.unwrap_or(self.modified);
        self.state.running.push(Running { item, task, issue, pid, kind, comment, title, started });
    }
}

/// The issue and the comment that a task's name tells of.
fn about(task: &str) -> (Option<poppo::IssueNumber>, Option<String>) {
    let rest = task.strip_prefix("issue-").unwrap_or(task);
    let (number, comment) = rest.split_once("-comment-").map_or((rest, None), |(n, comment)| (n, Some(comment)));
    (issue_named(number).map(|(number, _)| number), comment.filter(|comment| !comment.is_empty()).map(comment_task))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tasks_name_tells_what_it_is_about() {
        let told = |task| {
            let (issue, comment) = about(task);
            (issue.map(poppo::IssueNumber::get), comment)
        };
        assert_eq!(told("issue-98"), (Some(98), None));
        assert_eq!(told("issue-98-comment-IC_a-b"), (Some(98), Some("IC_a-b".to_owned())));
        assert_eq!(told("issue-98-comment-"), (Some(98), None));
        assert_eq!(told("task-1750622592987-yqr8"), (None, None));
    }
}
