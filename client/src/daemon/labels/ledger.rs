//! What is known of an issue on GitHub, so that it need not be asked before each change: its node id, and which of our
//! labels it has. It may be wrong, when people change labels; the next sweep sees that.

use std::collections::BTreeMap;

use poppo::IssueNumber;

use super::marks::Marks;

/// How many issues are remembered. Of more, those with the lowest numbers are forgotten: they were first, and are done.
const MOST: usize = 50_000;

/// What is known of the issues of one repository.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    issues: BTreeMap<IssueNumber, Known>,
}

/// What is known of one issue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Known {
    pub(super) node: Box<str>,
    pub(super) marks: Marks,
}

impl Ledger {
    pub(super) fn get(&self, issue: IssueNumber) -> Option<&Known> {
        self.issues.get(&issue)
    }

    pub(super) fn learn(&mut self, issue: IssueNumber, node: &str, marks: Marks) {
        self.issues.insert(issue, Known { node: node.into(), marks });
        if self.issues.len() > MOST {
            self.issues.pop_first();
        }
    }

    /// Its labels are these now.
    pub(super) fn has_now(&mut self, issue: IssueNumber, marks: Marks) {
        if let Some(known) = self.issues.get_mut(&issue) {
            known.marks = marks;
        }
    }

    /// It is to be asked for again: something was sent, and nobody knows whether it was done.
    pub(super) fn forget(&mut self, issue: IssueNumber) {
        self.issues.remove(&issue);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::marks::Mark;
    use super::*;

    #[test]
    fn the_oldest_issues_are_forgotten_first() {
        let mut ledger = Ledger::default();
        let issue = |number: usize| IssueNumber::try_from(u64::try_from(number).unwrap()).unwrap();
        for number in 1..=MOST + 1 {
            ledger.learn(issue(number), "I_1", Marks::NONE);
        }
        assert_eq!(ledger.get(issue(1)), None);
        ledger.has_now(issue(2), Mark::Error.into());
        assert!(ledger.get(issue(2)).unwrap().marks.contains(Mark::Error));
        ledger.forget(issue(2));
        assert_eq!(ledger.get(issue(2)), None);
    }
}
