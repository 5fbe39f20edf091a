//! The four labels that are ours, and which of them an issue should have.

use poppo::Status;

use crate::daemon::config::{Label, LabelsConfig};
use crate::daemon::github::is_same_name;

/// One of our labels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Mark {
    Processing,
    AwaitingResponse,
    Completed,
    Error,
}

impl Mark {
    pub(crate) const ALL: [Self; 4] = [Self::Processing, Self::AwaitingResponse, Self::Completed, Self::Error];

    fn bit(self) -> u8 {
        1 << self as u8
    }

    /// How it is configured.
    pub(crate) fn label(self, config: &LabelsConfig) -> &Label {
        match self {
            Self::Processing => &config.processing,
            Self::AwaitingResponse => &config.awaiting_response,
            Self::Completed => &config.completed,
            Self::Error => &config.error,
        }
    }

    /// What people read on GitHub beside its name.
    pub(crate) fn description(self) -> &'static str {
        match self {
            Self::Processing => "Somebody is at it",
            Self::AwaitingResponse => "Waits for an answer",
            Self::Completed => "It is done",
            Self::Error => "It failed",
        }
    }
}

/// Some of our labels: those that an issue has, or should have.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Marks(u8);

impl Marks {
    pub(crate) const NONE: Self = Self(0);

    /// What an issue of that status should have. One that waits for a worker, or was given up on purpose, has none.
    pub(crate) fn of(status: Status) -> Self {
        match status {
            Status::Processing => Mark::Processing.into(),
            Status::AwaitingResponse => Mark::AwaitingResponse.into(),
            Status::Completed => Mark::Completed.into(),
            Status::Error => Mark::Error.into(),
            Status::Cancelled | Status::Queued => Self::NONE,
        }
    }

    /// What an issue should have that the project does not know: it is held by nobody, and whatever else it says is
    /// somebody's word.
    pub(crate) fn of_unknown(have: Self) -> Self {
        have.without(Mark::Processing.into())
    }

    /// Which of ours are among these labels.
    pub(crate) fn among<'a>(names: impl IntoIterator<Item = &'a str>, config: &LabelsConfig) -> Self {
        let mut marks = Self::NONE;
        for name in names {
            let mark = Mark::ALL.into_iter().find(|mark| is_same_name(&mark.label(config).name, name));
            marks = mark.map_or(marks, |mark| marks.with(mark));
        }
        marks
    }

    pub(crate) fn with(self, mark: Mark) -> Self {
        Self(self.0 | mark.bit())
    }

    pub(crate) fn without(self, others: Self) -> Self {
        Self(self.0 & !others.0)
    }

    pub(crate) fn contains(self, mark: Mark) -> bool {
        self.0 & mark.bit() != 0
    }

    pub(crate) fn is_empty(self) -> bool {
        self == Self::NONE
    }

    pub(crate) fn iter(self) -> impl Iterator<Item = Mark> {
        Mark::ALL.into_iter().filter(move |mark| self.contains(*mark))
    }
}

impl From<Mark> for Marks {
    fn from(mark: Mark) -> Self {
        Self::NONE.with(mark)
    }
}

/// What has to be done so that an issue has what it should have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Difference {
    pub(crate) remove: Marks,
    pub(crate) add: Marks,
}

impl Difference {
    pub(crate) fn between(have: Marks, want: Marks) -> Self {
        Self { remove: have.without(want), add: want.without(have) }
    }

    pub(crate) fn is_none(self) -> bool {
        self.remove.is_empty() && self.add.is_empty()
    }

    /// How many fields of a GraphQL operation it takes.
    pub(crate) fn fields(self) -> usize {
        usize::from(!self.remove.is_empty()) + usize::from(!self.add.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_issue_has_the_label_of_its_status_and_no_other_of_ours() {
        let of = |status| Marks::of(status).iter().collect::<Vec<_>>();
        assert_eq!(of(Status::Processing), [Mark::Processing]);
        assert_eq!(of(Status::AwaitingResponse), [Mark::AwaitingResponse]);
        assert_eq!(of(Status::Completed), [Mark::Completed]);
        assert_eq!(of(Status::Error), [Mark::Error]);
        assert!(of(Status::Cancelled).is_empty() && of(Status::Queued).is_empty());
    }

    #[test]
    fn only_our_labels_are_seen_whatever_their_case() {
        let config = LabelsConfig::default();
        let marks = Marks::among(["bug", "Processing", "error-prone", "ERROR"], &config);
        assert_eq!(marks, Marks::from(Mark::Processing).with(Mark::Error));
        assert_eq!(Marks::of_unknown(marks), Mark::Error.into());
    }

    #[test]
    fn the_difference_leads_from_any_labels_to_any_others() {
        for have in (0..16).map(Marks) {
            for want in (0..16).map(Marks) {
                let difference = Difference::between(have, want);
                let after = difference.add.iter().fold(have.without(difference.remove), Marks::with);
                assert_eq!(after, want);
                assert_eq!(difference.is_none(), have == want);
                assert!(difference.add.iter().all(|mark| !have.contains(mark)), "what is there is not written again");
            }
        }
    }
}
