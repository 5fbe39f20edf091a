//! Small numbers for names that recur: task types, hosts and processes are stored once and counted.
//!
//! The numbers are private to one value in memory. They never leave it: what is stored or sent spells names out.

use std::collections::BTreeMap;
use std::num::NonZeroU32;

use compact_str::CompactString;

use crate::spelling::Spelling;

/// A name in [`Names`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct NameId(NonZeroU32);

impl NameId {
    pub(crate) const FIRST: Self = Self(NonZeroU32::MIN);
}

/// The names that a project's records use, each with how many use it. One that nobody uses is gone.
///
/// Both directions grow a piece at a time, so that no single command pays for moving all names.
#[derive(Debug, Clone, Default)]
pub(crate) struct Names {
    ids: BTreeMap<Spelling, NameId>,
    pages: Vec<Vec<Entry>>,
    /// Ids that are free again.
    free: Vec<NameId>,
    /// Names whose last use is gone. They stay until the command is over: it may be taken back.
    unused: Vec<NameId>,
}

/// A place for a name; an empty name is a free place.
#[derive(Debug, Clone, Default)]
struct Entry {
    name: CompactString,
    uses: u32,
}

impl Names {
    const PAGE: usize = 256;

    fn entry(&self, id: NameId) -> Option<&Entry> {
        let index = id.0.get() as usize - 1;
        self.pages.get(index / Self::PAGE)?.get(index % Self::PAGE)
    }

    fn entry_mut(&mut self, id: NameId) -> Option<&mut Entry> {
        let index = id.0.get() as usize - 1;
        self.pages.get_mut(index / Self::PAGE)?.get_mut(index % Self::PAGE)
    }

    /// The id of a name in use.
    pub(crate) fn find(&self, name: &str) -> Option<NameId> {
        self.ids.get(&Spelling::of(name)).copied()
    }

    /// The name of an id; empty for an id that is not in use, which no record holds.
    pub(crate) fn get(&self, id: NameId) -> &str {
        self.entry(id).map_or("", |entry| &entry.name)
    }

    /// The id of a name, new where there was none. It stays only if [`Names::acquire`] follows.
    pub(crate) fn intern(&mut self, name: &str) -> NameId {
        if let Some(id) = self.find(name) {
            return id;
        }
        let id = self.free.pop().unwrap_or_else(|| self.new_place());
        if let Some(entry) = self.entry_mut(id) {
            entry.name = CompactString::new(name);
        }
        self.ids.insert(Spelling::of(name), id);
        id
    }

    fn new_place(&mut self) -> NameId {
        if self.pages.last().is_none_or(|page| page.len() == Self::PAGE) {
            self.pages.push(Vec::with_capacity(Self::PAGE.min(8 << self.pages.len().min(5))));
        }
        let before = (self.pages.len() - 1) * Self::PAGE;
        let page = self.pages.last_mut().map_or(0, |page| {
            page.push(Entry::default());
            page.len()
        });
        // A project has far fewer than 2^32 names at once: each takes tens of bytes.
        NameId(u32::try_from(before + page).ok().and_then(NonZeroU32::new).unwrap_or(NonZeroU32::MAX))
    }

    /// One more record uses the name.
    pub(crate) fn acquire(&mut self, id: NameId) {
        if let Some(entry) = self.entry_mut(id) {
            entry.uses = entry.uses.saturating_add(1);
        }
    }

    /// One record fewer uses the name; without any it goes with the next [`Names::sweep`].
    pub(crate) fn release(&mut self, id: NameId) {
        let Some(entry) = self.entry_mut(id) else { return };
        entry.uses = entry.uses.saturating_sub(1);
        if entry.uses == 0 {
            self.unused.push(id);
        }
    }

    /// Drops the names that lost their last use and found no new one.
    pub(crate) fn sweep(&mut self) {
        while let Some(id) = self.unused.pop() {
            self.drop_if_unused(id);
        }
    }

    fn drop_if_unused(&mut self, id: NameId) {
        if let Some(entry) = self.entry_mut(id)
            && entry.uses == 0
            && !entry.name.is_empty()
        {
            let name = std::mem::take(&mut entry.name);
            self.ids.remove(&Spelling::of(&name));
            self.free.push(id);
        }
    }

    /// How many names are in use.
    pub(crate) fn len(&self) -> usize {
        self.ids.len()
    }
}

/// For [`crate::Project::roll_back`]: counts are made anew from the records.
impl Names {
    pub(crate) fn release_all(&mut self) {
        self.pages.iter_mut().flatten().for_each(|entry| entry.uses = 0);
    }

    pub(crate) fn drop_unused(&mut self) {
        self.unused.clear();
        let ids: Vec<NameId> = self.ids.values().copied().collect();
        ids.into_iter().for_each(|id| self.drop_if_unused(id));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_told_apart_wherever_they_differ() {
        let spelled = ["0", "01", "0123456789abcdef", "0123456789abcdef0", "0123456789abcdeé"];
        let mut names = Names::default();
        let ids = spelled.map(|name| (names.intern(name), name));
        for (id, name) in ids {
            assert_eq!((names.find(name), names.get(id)), (Some(id), name));
        }
    }
}
