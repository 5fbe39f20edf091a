//! Small numbers for names that recur: task types, hosts and processes are stored once and counted.
//!
//! The numbers are private to one value in memory. They never leave it: what is stored or sent spells names out.

use std::collections::BTreeMap;
use std::num::NonZeroU32;

use compact_str::CompactString;

/// A name in [`Names`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct NameId(NonZeroU32);

impl NameId {
    /// The next number to try; behind the last comes the first.
    fn after(last: Option<Self>) -> Self {
        Self(last.and_then(|last| last.0.checked_add(1)).unwrap_or(NonZeroU32::MIN))
    }
}

/// The names that a project's records use, each with how many use it. One that nobody uses is gone.
///
/// Both maps grow a node at a time, so that no single command pays for moving all names.
#[derive(Debug, Clone, Default)]
pub(crate) struct Names {
    ids: BTreeMap<CompactString, NameId>,
    entries: BTreeMap<NameId, Entry>,
    last: Option<NameId>,
    /// Names whose last use is gone. They stay until the command is over: it may be taken back.
    unused: Vec<NameId>,
}

#[derive(Debug, Clone)]
struct Entry {
    name: CompactString,
    uses: u32,
}

impl Names {
    /// The id of a name in use.
    pub(crate) fn find(&self, name: &str) -> Option<NameId> {
        self.ids.get(name).copied()
    }

    /// The name of an id; empty for an id that is not in use, which no record holds.
    pub(crate) fn get(&self, id: NameId) -> &str {
        self.entries.get(&id).map_or("", |entry| &entry.name)
    }

    /// The id of a name, new where there was none. It stays only if [`Names::acquire`] follows.
    pub(crate) fn intern(&mut self, name: &str) -> NameId {
        if let Some(id) = self.find(name) {
            return id;
        }
        let mut id = NameId::after(self.last);
        while self.entries.contains_key(&id) {
            id = NameId::after(Some(id));
        }
        self.last = Some(id);
        let name = CompactString::new(name);
        self.ids.insert(name.clone(), id);
        self.entries.insert(id, Entry { name, uses: 0 });
        id
    }

    /// One more record uses the name.
    pub(crate) fn acquire(&mut self, id: NameId) {
        if let Some(entry) = self.entries.get_mut(&id) {
            entry.uses = entry.uses.saturating_add(1);
        }
    }

    /// One record fewer uses the name; without any it goes with the next [`Names::sweep`].
    pub(crate) fn release(&mut self, id: NameId) {
        let Some(entry) = self.entries.get_mut(&id) else { return };
        entry.uses = entry.uses.saturating_sub(1);
        if entry.uses == 0 {
            self.unused.push(id);
        }
    }

    /// Drops the names that lost their last use and found no new one.
    pub(crate) fn sweep(&mut self) {
        for id in std::mem::take(&mut self.unused) {
            if self.entries.get(&id).is_some_and(|entry| entry.uses == 0)
                && let Some(entry) = self.entries.remove(&id)
            {
                self.ids.remove(&entry.name);
            }
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
        self.entries.values_mut().for_each(|entry| entry.uses = 0);
    }

    pub(crate) fn drop_unused(&mut self) {
        self.entries.retain(|_, entry| entry.uses > 0);
        self.unused.clear();
        let entries = &self.entries;
        self.ids.retain(|_, id| entries.contains_key(id));
    }
}
