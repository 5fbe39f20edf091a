//! What a watcher knows of a namespace, so that it tells each change once, however it learns of it.
//!
//! It learns of changes twice: messages tell each by itself, and what is read tells what is there in the end. Both come with
//! the namespace's version, so of each value is known up to which version it was told, and a message that comes after
//! the value was read is an old one. What was written past the library has no version; it shows when everything is read.

use std::collections::BTreeMap;

use sha2::{Digest as _, Sha256};

/// Stands for a value: values may be long, and only whether they are others matters.
type Digest = [u8; 32];

#[derive(Debug)]
struct Known {
    /// None where there is no value: it was removed.
    digest: Option<Digest>,
    /// Messages up to this version say nothing new of it.
    version: u64,
    /// When everything was read last that found it.
    round: u64,
}

/// The values of a namespace, as far as they were told.
#[derive(Debug, Default)]
pub(super) struct Mirror {
    known: BTreeMap<String, Known>,
    /// Messages up to this version say nothing new of what is not known at all.
    version: u64,
    round: u64,
    /// The version of the last message.
    last: Option<u64>,
}

impl Mirror {
    /// A message of this version came. False where those before it may have been missed.
    pub(super) fn follows(&mut self, version: u64) -> bool {
        let last = self.last.replace(version);
        last.is_none_or(|last| version == last + 1)
    }

    /// From now on messages begin anew.
    pub(super) fn forget_last(&mut self) {
        self.last = None;
    }

    /// Whether a message of this version may say something new of a value.
    pub(super) fn is_news(&self, name: &str, version: u64) -> bool {
        version > self.known.get(name).map_or(self.version, |known| known.version)
    }

    /// A message says what a value is; whether that is a change.
    pub(super) fn hear(&mut self, name: &str, text: Option<&str>, version: u64) -> bool {
        self.is_news(name, version) && self.read(name, text, version)
    }

    /// A value was read; whether it changed.
    pub(super) fn read(&mut self, name: &str, text: Option<&str>, version: u64) -> bool {
        let digest = text.map(|text| Sha256::digest(text).into());
        let known = Known { digest, version, round: self.round };
        let before = match self.known.get_mut(name) {
            Some(before) => std::mem::replace(before, known).digest,
            None => {
                self.known.insert(name.to_owned(), known);
                None
            }
        };
        before != digest
    }

    /// Everything is read from now on.
    pub(super) fn begin_round(&mut self) {
        self.round += 1;
    }

    /// Values that were there, and were not found in this round.
    pub(super) fn not_found(&self) -> Vec<String> {
        let missing = self.known.iter().filter(|(_, known)| known.digest.is_some() && known.round != self.round);
        missing.map(|(name, _)| name.clone()).collect()
    }

    /// Everything was read, which began at this version.
    pub(super) fn end_round(&mut self, version: u64) {
        self.version = version;
        self.known.retain(|_, known| known.digest.is_some() || known.version > version);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_tell_each_change_by_itself() {
        let mut mirror = Mirror::default();
        assert!(mirror.hear("a", Some("1"), 1));
        assert!(mirror.hear("a", Some("2"), 2));
        assert!(!mirror.hear("a", Some("2"), 3), "it is the same");
        assert!(mirror.hear("a", None, 4));
        assert!(!mirror.hear("a", None, 5));
        assert!(mirror.hear("a", Some("2"), 6));
    }

    #[test]
    fn what_was_read_is_not_told_again_by_the_messages_before_it() {
        let mut mirror = Mirror::default();
        mirror.begin_round();
        // Read while three messages were on their way.
        assert!(mirror.read("a", Some("3"), 3));
        mirror.end_round(1);
        for (version, text) in [(1, "1"), (2, "2"), (3, "3")] {
            assert!(!mirror.hear("a", Some(text), version));
        }
        // Of what is not known, only what came before the reading is old.
        assert!(!mirror.hear("b", Some("1"), 1));
        assert!(mirror.hear("b", Some("2"), 2));
        assert!(mirror.hear("a", Some("4"), 4));
    }

    #[test]
    fn what_is_gone_stays_gone_for_old_messages() {
        let mut mirror = Mirror::default();
        assert!(mirror.hear("a", Some("1"), 1));
        mirror.begin_round();
        assert_eq!(mirror.not_found(), ["a"]);
        assert!(mirror.read("a", None, 4));
        mirror.end_round(3);
        assert!(!mirror.hear("a", Some("2"), 3) && !mirror.hear("a", None, 4));
        assert!(mirror.hear("a", Some("5"), 5));
        mirror.begin_round();
        assert!(!mirror.read("a", Some("5"), 5));
        assert!(mirror.not_found().is_empty());
    }

    #[test]
    fn what_was_written_past_the_library_shows_when_everything_is_read() {
        let mut mirror = Mirror::default();
        assert!(mirror.hear("a", Some("1"), 1));
        mirror.begin_round();
        assert!(mirror.read("a", Some("2"), 1) && mirror.read("b", Some("1"), 1));
        mirror.end_round(1);
        assert!(mirror.hear("a", Some("3"), 2));
    }

    #[test]
    fn a_gap_between_messages_is_noticed_and_so_is_a_version_that_was_set_back() {
        let mut mirror = Mirror::default();
        assert!(mirror.follows(7) && mirror.follows(8) && !mirror.follows(10));
        assert!(mirror.follows(11) && !mirror.follows(3), "the server lost its latest writes");
        assert!(mirror.follows(4));
        mirror.forget_last();
        assert!(mirror.follows(40));
    }
}
