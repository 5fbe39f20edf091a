//! A transaction as it is applied: all of it in one step, by a server's script, or under a file's lock.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::value::RawValue;

use super::limits;

/// How many bytes of values a message may tell. What is longer is named alone, and read by those who watch.
const TOLD: usize = 64 << 10;

/// A namespace's values, as JSON text, by their names.
pub(crate) type Notes = BTreeMap<String, String>;

/// Conditions and writes: a text, or none for nothing there.
#[derive(Debug, Clone, Default)]
pub(crate) struct Commit {
    pub(crate) conditions: Vec<(String, Option<String>)>,
    pub(crate) writes: BTreeMap<String, Option<String>>,
}

/// What became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Committed {
    /// So many values are others now.
    Done(u64),
    /// This condition does not hold; nothing was changed.
    Conflict { name: String, current: Option<String> },
    /// There would be too many values; nothing was changed.
    Full,
}

/// What a server does. Everything that may fail comes before the first change, since a script is not taken back; that nobody
/// may be told is no reason to fail.
pub(super) const COMMIT: &str = "\
local key, versions, at = KEYS[1], KEYS[2], 5
for _ = 1, tonumber(ARGV[4]) do
  local there = redis.call('HGET', key, ARGV[at])
  local wanted = ARGV[at + 1] == '1' and ARGV[at + 2]
  if there ~= wanted then return {'CONFLICT', ARGV[at], there and '1' or '0', there or ''} end
  at = at + 3
end
local changed, more, sets, removes = {}, 0, false, false
for i = at, #ARGV, 3 do
  local there = redis.call('HGET', key, ARGV[i])
  local wanted = ARGV[i + 1] == '1' and ARGV[i + 2]
  if there ~= wanted then
    changed[#changed + 1] = i
    if wanted then sets = true else removes = true end
    if not there then more = more + 1 elseif not wanted then more = more - 1 end
  end
end
if #changed == 0 then return {'DONE', 0} end
if more > 0 and redis.call('HLEN', key) + more > tonumber(ARGV[2]) then return {'FULL'} end
if sets and not redis.acl_check_cmd('HSET', key, 'f', 'v') or removes and not redis.acl_check_cmd('HDEL', key, 'f') then
  return redis.error_reply('NOPERM this user may not write ' .. key)
end
local version = redis.call('INCR', versions)
for _, i in ipairs(changed) do
  if ARGV[i + 1] == '1' then redis.call('HSET', key, ARGV[i], ARGV[i + 2]) else redis.call('HDEL', key, ARGV[i]) end
end
redis.pcall('PUBLISH', ARGV[1], '{\"version\":' .. string.format('%.0f', version) .. ARGV[3])
return {'DONE', #changed}";

/// What a message says besides the version. Objects and lists that are empty are left out.
#[derive(Serialize)]
struct Told<'a> {
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    set: BTreeMap<&'a str, &'a RawValue>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    deleted: Vec<&'a str>,
    /// Values that are too long to be told.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    changed: Vec<&'a str>,
}

impl Commit {
    /// What those who watch are told, behind the version.
    pub(super) fn told(&self) -> String {
        let mut told = Told { set: BTreeMap::new(), deleted: Vec::new(), changed: Vec::new() };
        let mut left = TOLD;
        for (name, text) in &self.writes {
            let Some(text) = text else {
                told.deleted.push(name);
                continue;
            };
            match serde_json::from_str(text) {
                Ok(value) if text.len() <= left => {
                    left -= text.len();
                    told.set.insert(name, value);
                }
                _ => told.changed.push(name),
            }
        }
        match serde_json::to_string(&told).unwrap_or_default().strip_prefix('{') {
            Some(rest) if rest != "}" => format!(",{rest}"),
            _ => "}".to_owned(),
        }
    }

    /// The script's arguments.
    pub(super) fn arguments(&self, channel: &str) -> Vec<String> {
        let mut words = vec![channel.to_owned(), limits::VALUES.to_string(), self.told()];
        words.push(self.conditions.len().to_string());
        let conditions = self.conditions.iter().map(|(name, text)| (name, text));
        for (name, text) in conditions.chain(&self.writes) {
            let is_there = if text.is_some() { "1" } else { "0" };
            words.extend([name.clone(), is_there.to_owned(), text.clone().unwrap_or_default()]);
        }
        words
    }

    /// The same as the script does, to what is in a file: what is there afterwards, where that is something else.
    pub(crate) fn apply(&self, notes: &Notes) -> (Committed, Option<Notes>) {
        for (name, wanted) in &self.conditions {
            let current = notes.get(name);
            if current != wanted.as_ref() {
                return (Committed::Conflict { name: name.clone(), current: current.cloned() }, None);
            }
        }
        let mut after = notes.clone();
        let mut changed = 0;
        for (name, text) in &self.writes {
            let before = match text {
                Some(text) => after.insert(name.clone(), text.clone()),
                None => after.remove(name),
            };
            changed += u64::from(before != *text);
        }
        if after.len() > notes.len() && after.len() > limits::VALUES {
            return (Committed::Full, None);
        }
        (Committed::Done(changed), (changed > 0).then_some(after))
    }
}

impl Committed {
    /// From the script's answer.
    pub(super) fn read(words: Vec<String>) -> Option<Self> {
        let mut words = words.into_iter();
        Some(match words.next()?.as_str() {
            "DONE" => Self::Done(words.next()?.parse().ok()?),
            "CONFLICT" => {
                let (name, is_there, text) = (words.next()?, words.next()?, words.next()?);
                Self::Conflict { name, current: (is_there == "1").then_some(text) }
            }
            "FULL" => Self::Full,
            _ => return None,
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn commit(conditions: &[(&str, Option<&str>)], writes: &[(&str, Option<&str>)]) -> Commit {
        let owned = |(name, text): &(&str, Option<&str>)| ((*name).to_owned(), text.map(str::to_owned));
        Commit { conditions: conditions.iter().map(owned).collect(), writes: writes.iter().map(owned).collect() }
    }

    #[test]
    fn a_message_tells_values_as_they_are_and_names_those_that_are_too_long() {
        let long = format!("\"{}\"", "x".repeat(TOLD));
        let told = commit(&[], &[("a", Some("1.0")), ("b", None), ("c", Some(&long)), ("d", Some("null"))]).told();
        assert_eq!(told, r#","set":{"a":1.0,"d":null},"deleted":["b"],"changed":["c"]}"#);
        assert_eq!(commit(&[("a", None)], &[]).told(), "}");
    }

    #[test]
    fn all_of_it_is_applied_or_nothing() {
        let notes = Notes::from([("a".to_owned(), "1".to_owned()), ("b".to_owned(), "2".to_owned())]);
        let (committed, after) =
            commit(&[("a", Some("1")), ("c", None)], &[("a", Some("2")), ("b", None), ("c", None)]).apply(&notes);
        assert_eq!((committed, after), (Committed::Done(2), Some(Notes::from([("a".to_owned(), "2".to_owned())]))));
        let (committed, after) = commit(&[("a", Some("1")), ("b", None)], &[("a", Some("2"))]).apply(&notes);
        let current = Some("2".to_owned());
        assert_eq!((committed, after), (Committed::Conflict { name: "b".to_owned(), current }, None));
        assert_eq!(commit(&[], &[("a", Some("1")), ("x", None)]).apply(&notes), (Committed::Done(0), None));
    }
}
