//! An ordered map for keys that mostly come in ascending order, as numbers of events and of leases' ends do, and that mostly
//! leave in that order, as those do who wait.
//!
//! A B-tree grows in that order at the price of a whole search for each key, and leaves its nodes half empty. Here a new
//! key goes to the end of the last page without a search, the first one leaves without a search, and pages are full. Keys in
//! any other order work as well.

use std::collections::{BTreeMap, VecDeque};

/// See the module. It grows and shrinks a page at a time, so that no single command pays for moving all of it.
#[derive(Debug, Clone)]
pub(crate) struct Ascending<K, V> {
    /// Entries in order, none of the pages empty, but perhaps a small one that is the only one. A page's key is at most its
    /// first entry's, and above the entries of the page before.
    pages: Pages<K, V>,
    len: usize,
}

impl<K, V> Default for Ascending<K, V> {
    fn default() -> Self {
        Self { pages: BTreeMap::new(), len: 0 }
    }
}

impl<K: Ord + Clone, V> Ascending<K, V> {
    /// Entries of a page at most: few enough that moving half of them costs no more than a search does.
    const PAGE: usize = 128;

    /// An only page with room for so many at most stays when it is empty: what holds one entry now and then would make it
    /// anew each time.
    const SPARE: usize = 4;

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Adds an entry, or replaces the value of its key. Answers what that was.
    pub(crate) fn insert(&mut self, key: K, value: V) -> Option<V> {
        if self.len == 0 && self.pages.first_key_value().is_some_and(|(place, _)| *place > key) {
            self.pages.clear();
        }
        let Some(mut last) = self.pages.last_entry() else {
            self.pages.insert(key.clone(), VecDeque::from([(key, value)]));
            self.len = 1;
            return None;
        };
        let page = last.get_mut();
        if page.back().is_none_or(|(back, _)| *back < key) {
            if page.len() < Self::PAGE {
                page.push_back((key, value));
            } else {
                let mut page = VecDeque::with_capacity(Self::PAGE);
                page.push_back((key.clone(), value));
                self.pages.insert(key, page);
            }
            self.len += 1;
            None
        } else {
            self.insert_within(key, value)
        }
    }

    /// Adds an entry that does not come behind all others.
    fn insert_within(&mut self, key: K, value: V) -> Option<V> {
        if self.pages.first_key_value().is_some_and(|(place, _)| *place > key)
            && let Some((_, first)) = self.pages.pop_first()
        {
            // Before all others: the first page begins there from now on.
            self.pages.insert(key.clone(), first);
        }
        let (_, page) = page_of(&mut self.pages, &key)?;
        match place_in(page, &key) {
            Ok(at) => return page.get_mut(at).map(|(_, there)| std::mem::replace(there, value)),
            Err(at) => page.insert(at, (key, value)),
        }
        self.len += 1;
        if page.len() > Self::PAGE {
            let upper = page.split_off(Self::PAGE / 2);
            if let Some((first, _)) = upper.front() {
                self.pages.insert(first.clone(), upper);
            }
        }
        None
    }

    /// Removes an entry, where it is there. Answers its value.
    pub(crate) fn remove(&mut self, key: &K) -> Option<V> {
        let (place, page) = page_of(&mut self.pages, key)?;
        let at = place_in(page, key).ok()?;
        let removed = page.remove(at);
        self.len -= 1;
        if page.is_empty() {
            if page.capacity() > Self::SPARE || self.len > 0 {
                self.pages.remove(&place);
            }
        } else if page.len() < page.capacity() / 4 {
            page.shrink_to(page.capacity() / 2);
        }
        removed.map(|(_, value)| value)
    }

    /// Stores, replaces or removes the value of a key. Answers what that was.
    pub(crate) fn put(&mut self, key: K, new: Option<V>) -> Option<V> {
        match new {
            Some(value) => self.insert(key, value),
            None => self.remove(&key),
        }
    }

    /// The value of a key.
    pub(crate) fn get(&self, key: &K) -> Option<&V> {
        let page = match is_at_an_end(&self.pages, key) {
            Some(End::Last) => self.pages.last_key_value(),
            Some(End::First) => self.pages.first_key_value(),
            None => self.pages.range(..=key).next_back(),
        };
        let (_, page) = page?;
        let at = place_in(page, key).ok()?;
        page.get(at).map(|(_, value)| value)
    }

    /// The same, to be changed.
    pub(crate) fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        let (_, page) = page_of(&mut self.pages, key)?;
        let at = place_in(page, key).ok()?;
        page.get_mut(at).map(|(_, value)| value)
    }

    /// The entry of the lowest key.
    pub(crate) fn first(&self) -> Option<&(K, V)> {
        self.pages.first_key_value()?.1.front()
    }

    /// The entry of the highest key.
    pub(crate) fn last(&self) -> Option<&(K, V)> {
        self.pages.last_key_value()?.1.back()
    }

    /// The last entry before a key.
    pub(crate) fn last_before(&self, key: &K) -> Option<&(K, V)> {
        let mut pages = self.pages.range(..key).rev().map(|(_, page)| page);
        pages.find_map(|page| page.get(page.partition_point(|(there, _)| there < key).checked_sub(1)?))
    }

    /// The entries from a key on, in order.
    pub(crate) fn starting_at(&self, key: K) -> impl Iterator<Item = &(K, V)> {
        let place = self.pages.range(..=&key).next_back().map_or(&key, |(place, _)| place);
        let pages = self.pages.range(place..).map(|(_, page)| page);
        pages.flat_map(move |page| page.range(page.partition_point(|(there, _)| *there < key)..))
    }

    /// All entries in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &(K, V)> {
        self.pages.values().flatten()
    }
}

/// Pages by their keys, and a page.
type Pages<K, V> = BTreeMap<K, Page<K, V>>;
type Page<K, V> = VecDeque<(K, V)>;

/// The page that a key belongs to, if it is anywhere, and the page's own key.
fn page_of<'a, K: Ord + Clone, V>(pages: &'a mut Pages<K, V>, key: &K) -> Option<(K, &'a mut Page<K, V>)> {
    // The last page and the first, where most keys come and go, need not be searched for.
    let end = match is_at_an_end(pages, key) {
        Some(End::Last) => pages.last_entry(),
        Some(End::First) => pages.first_entry(),
        None => return pages.range_mut(..=key).next_back().map(|(place, page)| (place.clone(), page)),
    };
    end.map(|end| (end.key().clone(), end.into_mut()))
}

/// Where a key is in its page, or would be.
fn place_in<K: Ord, V>(page: &Page<K, V>, key: &K) -> Result<usize, usize> {
    // What comes in ascending order mostly leaves in that order, too, and from the front; and the last to come is looked
    // at most.
    match (page.front(), page.back()) {
        (Some((first, _)), _) if first == key => Ok(0),
        (_, Some((last, _))) if last == key => Ok(page.len() - 1),
        (_, Some((last, _))) if last < key => Err(page.len()),
        _ => page.binary_search_by(|(there, _)| there.cmp(key)),
    }
}

/// Which of the pages is known without a search.
enum End {
    First,
    Last,
}

fn is_at_an_end<K: Ord, V>(pages: &Pages<K, V>, key: &K) -> Option<End> {
    if pages.last_key_value()?.0 <= key {
        Some(End::Last)
    } else if pages.first_key_value()?.1.back()?.0 >= *key {
        Some(End::First)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(map: &Ascending<u32, u32>, model: &BTreeMap<u32, u32>) {
        assert!(map.iter().copied().eq(model.iter().map(|(key, value)| (*key, *value))));
        assert_eq!(map.len(), model.len());
        let mut before = None;
        for (place, page) in &map.pages {
            assert!(page.len() <= Ascending::<u32, u32>::PAGE);
            let spare = map.pages.len() == 1 && page.capacity() <= Ascending::<u32, u32>::SPARE;
            assert!(page.front().map_or(spare, |(first, _)| place <= first), "{place}");
            assert!(before.is_none_or(|before| before < *place), "{place} {before:?}");
            before = page.back().map(|(last, _)| *last);
        }
    }

    proptest! {
        #[test]
        fn it_is_the_map_of_the_standard_library(
            changes in proptest::collection::vec((0u32..2_000, any::<bool>()), 0..3_000),
            ascending in 0u32..1_000,
        ) {
            let (mut map, mut model) = (Ascending::default(), BTreeMap::new());
            for key in (0..ascending).chain(3_000..3_000 + ascending) {
                map.insert(key, key);
                model.insert(key, key);
            }
            for (value, (key, inserts)) in (0..).zip(changes) {
                if inserts {
                    assert_eq!(map.insert(key, value), model.insert(key, value));
                } else {
                    assert_eq!(map.remove(&key), model.remove(&key));
                }
                assert_eq!(map.get(&key), model.get(&key));
                assert_eq!(map.get_mut(&key), model.get_mut(&key));
                let behind = model.range(key..).map(|(key, value)| (*key, *value));
                assert!(map.starting_at(key).copied().take(300).eq(behind.take(300)));
                let before = model.range(..key).next_back().map(|(key, value)| (*key, *value));
                assert_eq!(map.last_before(&key).copied(), before);
                assert_eq!(map.first().copied(), model.first_key_value().map(|(key, value)| (*key, *value)));
                assert_eq!(map.last().copied(), model.last_key_value().map(|(key, value)| (*key, *value)));
            }
            check(&map, &model);
            for key in model.keys() {
                map.remove(key);
            }
            check(&map, &BTreeMap::new());
        }
    }

    #[test]
    fn ascending_keys_fill_their_pages() {
        let mut map = Ascending::default();
        for key in 0..100_000u32 {
            map.insert(key, ());
        }
        assert!(map.pages.len() <= 100_000 / Ascending::<u32, ()>::PAGE + 1);
        assert!(map.pages.values().all(|page| page.capacity() == Ascending::<u32, ()>::PAGE));
    }

    #[test]
    fn what_was_removed_gives_its_room_back() {
        let mut map = Ascending::default();
        for key in 0..100_000u32 {
            map.insert(key, ());
        }
        for key in (0..100_000).filter(|key| key % 100 != 0) {
            map.remove(&key);
        }
        let room: usize = map.pages.values().map(VecDeque::capacity).sum();
        assert!(room <= 8 * map.len(), "{room} for {}", map.len());
    }
}
