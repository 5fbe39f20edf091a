//! The issues that one life holds. Most workers hold a single one at a time, which takes no allocation here.

use std::collections::BTreeSet;
use std::ops::Bound;

use crate::types::IssueNumber;

/// See the module. There is always one at least.
#[derive(Debug, Clone)]
pub(crate) enum Held {
    One(IssueNumber),
    /// More than one.
    Many(BTreeSet<IssueNumber>),
}

impl Held {
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::One(_) => 1,
            Self::Many(all) => all.len(),
        }
    }

    pub(crate) fn insert(&mut self, number: IssueNumber) {
        match self {
            Self::One(one) if *one == number => {}
            Self::One(one) => *self = Self::Many(BTreeSet::from([*one, number])),
            Self::Many(all) => drop(all.insert(number)),
        }
    }

    /// Answers whether any is left without it. The only one stays: whoever has all of this drops it then.
    pub(crate) fn remove(&mut self, number: IssueNumber) -> bool {
        match self {
            Self::One(one) => *one != number,
            Self::Many(all) => {
                all.remove(&number);
                if let (1, Some(one)) = (all.len(), all.first().copied()) {
                    *self = Self::One(one);
                }
                true
            }
        }
    }

    /// Those behind a number, or all, in order.
    pub(crate) fn behind(&self, number: Option<IssueNumber>) -> impl Iterator<Item = IssueNumber> {
        let (one, all) = match self {
            Self::One(one) => (Some(*one), None),
            Self::Many(all) => (None, Some(all)),
        };
        let range = (number.map_or(Bound::Unbounded, Bound::Excluded), Bound::Unbounded);
        let one = one.filter(move |one| number.is_none_or(|number| *one > number));
        one.into_iter().chain(all.into_iter().flat_map(move |all| all.range(range).copied()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn it_is_the_set_of_the_standard_library(
            changes in proptest::collection::vec((1u64..8, any::<bool>()), 0..40),
            behind in 1u64..8,
        ) {
            let number = |number| IssueNumber::try_from(number).unwrap_or(IssueNumber::FIRST);
            let (mut held, mut model) = (Held::One(number(1)), BTreeSet::from([number(1)]));
            for (changed, inserts) in changes {
                let changed = number(changed);
                if inserts {
                    held.insert(changed);
                    model.insert(changed);
                } else {
                    model.remove(&changed);
                    prop_assert_eq!(held.remove(changed), !model.is_empty());
                    if model.is_empty() {
                        model.insert(changed);
                    }
                }
                prop_assert_eq!(held.len(), model.len());
                prop_assert_eq!(matches!(held, Held::One(_)), model.len() == 1);
                prop_assert!(held.behind(None).eq(model.iter().copied()));
                let behind = number(behind);
                prop_assert!(held.behind(Some(behind)).eq(model.iter().copied().filter(|number| *number > behind)));
            }
        }
    }
}
