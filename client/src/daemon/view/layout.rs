//! The names of the older keys.

use poppo::{IssueNumber, Priority};

use super::super::config::LegacyView;

/// One of the older layouts, of one project.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Layout {
    /// What the keys begin with; none in the bare layout.
    prefix: Option<String>,
}

impl Layout {
    /// The layout that a project asks for, if it does.
    pub(crate) fn of(view: LegacyView, project: &str) -> Option<Self> {
        match view {
            LegacyView::Off => None,
            LegacyView::Poppo => Some(Self { prefix: Some(project.to_owned()) }),
            LegacyView::Bare => Some(Self { prefix: None }),
        }
    }

    /// Its name in the configuration.
    pub(super) fn name(&self) -> &'static str {
        if self.prefix.is_some() { "poppo" } else { "bare" }
    }

    fn key(&self, with_prefix: &str, bare: &str) -> String {
        match &self.prefix {
            Some(prefix) => format!("{prefix}:{with_prefix}"),
            None => bare.to_owned(),
        }
    }

    pub(super) fn issue(&self, issue: IssueNumber) -> String {
        self.key(&format!("issue:status:{issue}"), &format!("issue:{issue}"))
    }

    /// What the bare layout has no key for, is in the issue's own hash there.
    pub(super) fn metadata(&self, issue: IssueNumber) -> Option<String> {
        self.prefix.as_ref().map(|prefix| format!("{prefix}:issue:metadata:{issue}"))
    }

    pub(super) fn process(&self, process: &str) -> String {
        self.key(&format!("process:info:{process}"), &format!("process:{process}"))
    }

    pub(super) fn heartbeat(&self, process: &str) -> String {
        self.key(&format!("process:heartbeat:{process}"), &format!("heartbeat:{process}"))
    }

    pub(super) fn processing(&self) -> String {
        self.key("issues:processing", "processing_issues")
    }

    pub(super) fn processed(&self) -> String {
        self.key("issues:processed", "processed_issues")
    }

    /// The bare layout has none.
    pub(super) fn active(&self) -> Option<String> {
        self.prefix.as_ref().map(|prefix| format!("{prefix}:processes:active"))
    }

    pub(super) fn queue(&self, level: &str) -> String {
        self.key(&format!("queue:{level}"), &format!("task_queue:priority:{level}"))
    }

    pub(super) fn task(&self, task: &str) -> String {
        self.key(&format!("task:{task}"), &format!("task:{task}"))
    }
}

/// The queues, most urgent first, and the least priority of what is in each.
pub(super) const LEVELS: [(&str, u16); 6] =
    [("urgent", 1000), ("dogfooding", 100), ("high", 75), ("normal", 50), ("low", 25), ("deferred", 0)];

/// The queue in which a task of this priority is.
pub(super) fn level(priority: Priority) -> &'static str {
    let least = LEVELS.iter().find(|(_, least)| u64::from(priority.get()) >= u64::from(*least));
    least.map_or("deferred", |(level, _)| level)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_project_has_keys_of_its_name() {
        let seven = IssueNumber::try_from(7).unwrap();
        let layout = Layout::of(LegacyView::Poppo, "acme").unwrap();
        assert_eq!(layout.issue(seven), "acme:issue:status:7");
        assert_eq!(layout.heartbeat("w"), "acme:process:heartbeat:w");
        assert_eq!(layout.task("7:fix"), "acme:task:7:fix");
        let bare = Layout::of(LegacyView::Bare, "acme").unwrap();
        assert_eq!((bare.issue(seven), bare.metadata(seven)), ("issue:7".to_owned(), None));
        assert_eq!((bare.queue("high"), bare.active()), ("task_queue:priority:high".to_owned(), None));
        assert_eq!(Layout::of(LegacyView::Off, "acme"), None);
    }

    #[test]
    fn a_priority_between_two_levels_is_of_the_lower_one() {
        let of = |priority: &str| level(priority.parse().unwrap());
        assert_eq!(
            ["1000", "999", "100", "76", "75", "51", "25", "24", "10", "0"].map(of),
            ["urgent", "dogfooding", "dogfooding", "high", "high", "normal", "low", "deferred", "deferred", "deferred"]
        );
    }
}
