//! The issues that one life holds. Most workers hold a single one at a time, which takes no allocation here.

use std::collections::BTreeSet;
use std::ops::Bound;

use crate::types::IssueNumber;

/// See the module.
#[derive(Debug, Clone, Default)]
pub(crate) enum Held {
    #[default]
    None,
    One(IssueNumber),
    /// More than one.
    Many(BTreeSet<IssueNumber>),
}

impl Held {
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::None => 0,
            Self::One(_) => 1,
            Self::Many(all) => all.len(),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        matches!(self, Self::None)
    }

    pub(crate) fn insert(&mut self, number: IssueNumber) {
        match self {
            Self::None => *self = Self::One(number),
            Self::One(one) if *one == number => {}
            Self::One(one) => *self = Self::Many(BTreeSet::from([*one, number])),
            Self::Many(all) => drop(all.insert(number)),
        }
    }

    pub(crate) fn remove(&mut self, number: IssueNumber) {
        match self {
            Self::One(one) if *one == number => *self = Self::None,
            Self::None | Self::One(_) => {}
            Self::Many(all) => {
                all.remove(&number);
                if let (1, Some(one)) = (all.len(), all.first().copied()) {
                    *self = Self::One(one);
                }
            }
        }
    }

    /// Those behind a number, or all, in order.
    pub(crate) fn behind(&self, number: Option<IssueNumber>) -> impl Iterator<Item = IssueNumber> {
        let (one, all) = match self {
            Self::None => (None, None),
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
            let (mut held, mut model) = (Held::default(), BTreeSet::new());
            for (changed, inserts) in changes {
                let changed = number(changed);
                if inserts {
                    held.insert(changed);
                    model.insert(changed);
                } else {
                    held.remove(changed);
                    model.remove(&changed);
                }
                prop_assert_eq!((held.len(), held.is_empty()), (model.len(), model.is_empty()));
                prop_assert_eq!(matches!(held, Held::One(_)), model.len() == 1);
                prop_assert!(held.behind(None).eq(model.iter().copied()));
                let behind = number(behind);
                prop_assert!(held.behind(Some(behind)).eq(model.iter().copied().filter(|number| *number > behind)));
            }
        }
    }
}
