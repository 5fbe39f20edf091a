//! A name or an id as it is searched for.

use compact_str::CompactString;

/// The first bytes of a text as two numbers, and the rest, in the order of texts. To compare numbers is a fraction of
/// comparing texts, and most names and ids are no longer than that. No name has a byte of zero, so that padding tells
/// nothing.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Spelling {
    first: u64,
    second: u64,
    rest: Option<Box<CompactString>>,
}

impl Spelling {
    /// How many bytes the two numbers hold.
    const HEAD: usize = 2 * size_of::<u64>();

    pub(crate) fn of(text: &str) -> Self {
        let (head, rest) = match text.split_at_checked(Self::HEAD) {
            Some(parts) => parts,
            None if text.len() < Self::HEAD => (text, ""),
            // Not a name, which is ASCII.
            None => ("", text),
        };
        let mut bytes = [0; Self::HEAD];
        if let Some(place) = bytes.get_mut(..head.len()) {
            place.copy_from_slice(head.as_bytes());
        }
        let number = u128::from_be_bytes(bytes);
        let rest = (!rest.is_empty()).then(|| Box::new(CompactString::new(rest)));
        // In two halves: as one, it would be aligned so that a record takes half as much again.
        Self { first: (number >> u64::BITS) as u64, second: number as u64, rest }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STEM: &str = "0123456789abcdef";

    #[test]
    fn texts_are_told_apart_wherever_they_differ() {
        let texts =
            ["", "0", "01", STEM, "0123456789abcdeg", "0123456789abcdef0", "0123456789abcdef1", "0123456789abcdeé"];
        let distinct: std::collections::BTreeSet<_> = texts.iter().map(|text| Spelling::of(text)).collect();
        assert_eq!(distinct.len(), texts.len());
    }

    #[test]
    fn they_are_in_the_order_of_their_texts() {
        let texts = ["", "1", "12:issue", "12:issues", "12:issuf", "123456:issue", STEM, "0123456789abcdef0", "~"];
        for (a, b) in texts.iter().flat_map(|a| texts.map(|b| (*a, b))) {
            assert_eq!(Spelling::of(a).cmp(&Spelling::of(b)), a.cmp(b), "{a} {b}");
        }
    }

    #[test]
    fn one_takes_no_more_than_a_string() {
        assert_eq!(size_of::<Spelling>(), size_of::<CompactString>());
    }
}
