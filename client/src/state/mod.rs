//! Free state: namespaces of JSON values beside a project, in plain hashes that any Redis client can read and write.
//!
//! | file | what lives there |
//! | --- | --- |
//! | `limits` | what a namespace, a name and a value may be |
//! | `transaction` | conditions and writes, as users put them together |
//! | `commit` | the same as it is applied in one step |
//! | `watch` | changes as they come |
//! | `mirror` | what a watcher knows, so that it tells each change once |
//! | `merge` | many values at once, from elsewhere |
//! | `flags` | typed settings that are read without asking anybody |

pub(crate) mod commit;
pub(crate) mod flags;
mod limits;
pub(crate) mod merge;
mod mirror;
pub(crate) mod transaction;
pub(crate) mod watch;

use std::collections::{BTreeMap, BTreeSet};

use redis::{Cmd, Value};
use serde::Serialize;
use serde::de::DeserializeOwned;

use self::commit::{Commit, Committed};
use crate::answers::Page;
use crate::decode::{self, Misread};
use crate::types::Cursor;
use crate::{Error, Project, Transaction, Watch};

/// How many values are read at a time, which may be a mebibyte each.
const PIECE: usize = 64;

/// Some values and the version in one step, so that both are of the same moment.
const READ_PIECE: &str = "\
local page = redis.call('HSCAN', KEYS[1], ARGV[1], 'COUNT', ARGV[2])
local answer = page[2]
answer[#answer + 1] = page[1]
answer[#answer + 1] = redis.call('GET', KEYS[2]) or '0'
return answer";

/// The same of values whose names are known. In front of each is whether it is there.
const READ_NAMED: &str = "\
local answer = {}
for _, text in ipairs(redis.call('HMGET', KEYS[1], unpack(ARGV))) do
  answer[#answer + 1] = text and '1' or '0'
  answer[#answer + 1] = text or ''
end
answer[#answer + 1] = redis.call('GET', KEYS[2]) or '0'
return answer";

/// A namespace of a project's free state: JSON values under names. From [`Project::state`].
///
/// The values are the fields of the hash `<project>:state:<namespace>`, as plain JSON text. Nothing but who uses them ever
/// changes or removes them; leases and tasks know nothing of them.
///
/// ```no_run
/// # async fn example(project: poppo::Project) -> Result<(), poppo::Error> {
/// let issues = project.state("issues")?;
/// issues.set("123", &serde_json::json!({ "branch": "fix-123", "tries": 2 })).await?;
/// let note: Option<serde_json::Value> = issues.get("123").await?;
/// println!("{note:?}");
/// assert!(issues.delete("123").await?, "it was there");
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct State {
    project: Project,
    namespace: String,
    key: String,
    /// The key of the number of transactions.
    versions: String,
    channel: String,
}

impl Project {
    /// A namespace of the project's free state: `issues`, `comments`, `tasks`, `processes`, `agents`, `config`, or a name of
    /// your own. It need not exist yet.
    ///
    /// Example: [`State`].
    ///
    /// # Errors
    /// [`Error::BadArgument`] where the name is not 1 to 64 letters, digits, `-`, `_` or `.`.
    pub fn state(&self, namespace: &str) -> Result<State, Error> {
        limits::namespace(namespace)?;
        let key = format!("{}:state:{namespace}", self.key());
        // In a cluster it has to be where the hash is.
        let versions = if key.contains(['{', '}']) { format!("{key}:version") } else { format!("{{{key}}}:version") };
        let channel = format!("{key}:changed");
        Ok(State { project: self.clone(), namespace: namespace.to_owned(), key, versions, channel })
    }

    /// The namespaces that have values, by their names. A server looks through all its keys for that; in a cluster each
    /// primary does.
    ///
    /// ```no_run
    /// # async fn example(project: poppo::Project) -> Result<(), poppo::Error> {
    /// for namespace in project.namespaces().await? {
    ///     println!("{namespace}: {} values", project.state(&namespace)?.size().await?);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As every method of [`Project`].
    pub async fn namespaces(&self) -> Result<Vec<String>, Error> {
        if let Some(store) = self.client().store() {
            return store.namespaces(self.key()).await;
        }
        let prefix = format!("{}:state:", self.key());
        let keys = self.client().keys(&format!("{}*", literally(&prefix)), "hash").await?;
        let names = keys.iter().filter_map(|key| key.strip_prefix(&prefix));
        let names: BTreeSet<&str> = names.filter(|name| limits::namespace(name).is_ok()).collect();
        Ok(names.into_iter().map(str::to_owned).collect())
    }
}

impl State {
    /// The project.
    #[must_use]
    pub fn project(&self) -> &Project {
        &self.project
    }

    /// The name of the namespace.
    #[must_use]
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// The key of its hash.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }

    /// The channel on which its changes are published.
    #[must_use]
    pub fn channel(&self) -> &str {
        &self.channel
    }

    /// A value; none where there is none of that name.
    ///
    /// Example: [`State`].
    ///
    /// # Errors
    /// [`Error::Value`] where it is something else than a `T`, or no JSON at all; [`Error::BadArgument`] where the name is
    /// not 1 to 512 bytes without control characters; otherwise as every method of [`Project`], and [`Error::Server`]
    /// (`WRONGTYPE`) where the key holds something else than a hash.
    pub async fn get<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, Error> {
        self.get_text(name).await?.map(|text| parse(&self.namespace, name, &text)).transpose()
    }

    /// A value as the JSON text that it is stored as.
    ///
    /// # Errors
    /// As [`get`](Self::get), besides [`Error::Value`].
    pub async fn get_text(&self, name: &str) -> Result<Option<String>, Error> {
        Ok(self.get_texts(&[name.to_owned()]).await?.into_iter().next().flatten())
    }

    /// Values of these names, in their order, of one moment.
    ///
    /// # Errors
    /// As [`get_text`](Self::get_text).
    pub async fn get_texts(&self, names: &[String]) -> Result<Vec<Option<String>>, Error> {
        for name in names {
            limits::name(name)?;
        }
        if names.is_empty() {
            return Ok(Vec::new());
        }
        if let Some(store) = self.project.client().store() {
            let glimpse = store.notes(self.project.key(), &self.namespace).await?;
            return Ok(names.iter().map(|name| glimpse.notes().get(name).cloned()).collect());
        }
        let mut cmd = redis::cmd("HMGET");
        cmd.arg(&self.key).arg(names);
        self.ask("HMGET", &cmd, |value| decode::list(value, |value| decode::nullable(value, decode::lossy))).await
    }

    /// All values, as the JSON text that they are stored as. It reads them some at a time, and keeps all of them; values
    /// that change meanwhile are told as they were or as they are.
    ///
    /// # Errors
    /// As [`get_text`](Self::get_text).
    pub async fn get_all(&self) -> Result<BTreeMap<String, String>, Error> {
        let (mut all, mut next) = (BTreeMap::new(), None);
        loop {
            let page = self.list(next.as_ref()).await?;
            all.extend(page.rows);
            next = page.next;
            if next.is_none() {
                return Ok(all);
            }
        }
    }

    /// Some names and values, as the JSON text that they are stored as, in no order, from the beginning or where a page
    /// before said that it goes on. Each is told at least once; one may be told twice where values change meanwhile.
    ///
    /// # Errors
    /// As [`get_text`](Self::get_text).
    pub async fn list(&self, cursor: Option<&Cursor>) -> Result<Page<(String, String)>, Error> {
        if let Some(store) = self.project.client().store() {
            let glimpse = store.notes(self.project.key(), &self.namespace).await?;
            let rows = glimpse.notes().iter().filter(|(name, _)| cursor.is_none_or(|last| **name > last.0));
            let rows: Vec<_> = rows.take(PIECE).map(|(name, text)| (name.clone(), text.clone())).collect();
            let last = (rows.len() == PIECE).then(|| rows.last()).flatten();
            return Ok(Page { next: last.map(|(name, _)| Cursor(name.clone())), rows });
        }
        let mut cmd = redis::cmd("HSCAN");
        cmd.arg(&self.key).arg(cursor.map_or("0", |cursor| cursor.0.as_str())).arg("COUNT").arg(PIECE);
        self.ask("HSCAN", &cmd, |value| {
            let (cursor, flat) = decode::pair(value)?;
            let cursor = decode::text(cursor)?;
            let rows = pairs(decode::list(flat, decode::lossy)?);
            Ok(Page { next: (cursor != "0").then_some(Cursor(cursor)), rows })
        })
        .await
    }

    /// How many values there are.
    ///
    /// # Errors
    /// As [`get_text`](Self::get_text).
    pub async fn size(&self) -> Result<u64, Error> {
        if let Some(store) = self.project.client().store() {
            return Ok(store.notes(self.project.key(), &self.namespace).await?.notes().len() as u64);
        }
        let mut cmd = redis::cmd("HLEN");
        cmd.arg(&self.key);
        self.ask("HLEN", &cmd, decode::number).await
    }

    /// Writes a value, whatever was there.
    ///
    /// Example: [`State`].
    ///
    /// # Errors
    /// As [`Transaction::commit`].
    pub async fn set(&self, name: &str, value: &impl Serialize) -> Result<(), Error> {
        self.transaction().set(name, value).commit().await.map(drop)
    }

    /// Writes a value that is given in JSON, whatever was there.
    ///
    /// # Errors
    /// As [`Transaction::commit`].
    pub async fn set_text(&self, name: &str, text: &str) -> Result<(), Error> {
        self.transaction().set_text(name, text).commit().await.map(drop)
    }

    /// Removes a value; whether there was one.
    ///
    /// Example: [`State`].
    ///
    /// # Errors
    /// As [`Transaction::commit`].
    pub async fn delete(&self, name: &str) -> Result<bool, Error> {
        self.transaction().delete(name).commit().await.map(|changed| changed > 0)
    }

    /// Conditions and writes that are done in one step, or not at all.
    ///
    /// Example: [`Transaction`].
    pub fn transaction(&self) -> Transaction {
        Transaction::new(self.clone())
    }

    /// Watches the values: tells what changes from now on, each change once.
    ///
    /// ```no_run
    /// # async fn example(project: poppo::Project) -> Result<(), poppo::Error> {
    /// use poppo::Seen;
    ///
    /// let mut watch = project.state("issues")?.watch();
    /// loop {
    ///     match watch.next().await {
    ///         Seen::Changed(change) => println!("{}: {:?}", change.name, change.text),
    ///         Seen::Lost(error) => eprintln!("{error}; watching again as soon as that is possible"),
    ///         _ => {}
    ///     }
    /// }
    /// # }
    /// ```
    #[must_use]
    pub fn watch(&self) -> Watch {
        Watch::begin(self.clone(), false)
    }

    /// As [`watch`](Self::watch), and tells all values that are there, before it begins.
    #[must_use]
    pub fn watch_all(&self) -> Watch {
        Watch::begin(self.clone(), true)
    }

    async fn apply(&self, commit: &Commit) -> Result<Committed, Error> {
        if let Some(store) = self.project.client().store() {
            return store.commit(self.project.key(), &self.namespace, commit.clone()).await;
        }
        let words = self.run("EVAL", commit::COMMIT, &commit.arguments(&self.channel)).await?;
        Committed::read(words).ok_or_else(|| odd("the script answered something else"))
    }

    /// Values from a place on, the next place, and the version of that moment.
    async fn piece(&self, cursor: &str) -> Result<(u64, String, Vec<(String, String)>), Error> {
        let mut words = self.run("EVAL_RO", READ_PIECE, &[cursor.to_owned(), PIECE.to_string()]).await?;
        let (version, next) = (words.pop(), words.pop());
        let (version, next) = version.zip(next).ok_or_else(|| odd("a piece ends too early"))?;
        Ok((number(&version)?, next, pairs(words)))
    }

    /// Values of these names, and the version of that moment.
    async fn versioned(&self, names: &[String]) -> Result<(u64, Vec<Option<String>>), Error> {
        let mut words = self.run("EVAL_RO", READ_NAMED, names).await?;
        let version = number(&words.pop().unwrap_or_default())?;
        let texts = pairs(words).into_iter().map(|(is_there, text)| (is_there == "1").then_some(text));
        Ok((version, texts.collect()))
    }

    async fn run(&self, how: &'static str, script: &str, arguments: &[String]) -> Result<Vec<String>, Error> {
        let mut cmd = redis::cmd(how);
        cmd.arg(script).arg(2).arg(&self.key).arg(&self.versions).arg(arguments);
        self.ask(how, &cmd, |value| decode::list(value, decode::lossy)).await
    }

    async fn ask<T>(
        &self,
        name: &'static str,
        cmd: &Cmd,
        read: impl FnOnce(Value) -> Result<T, Misread>,
    ) -> Result<T, Error> {
        self.project.client().ask(name, cmd, read).await.map_err(|error| match error {
            Error::Server { code, .. } if code == "WRONGTYPE" => {
                let message = format!(
                    "the key {} holds something else than a hash, so the namespace {} cannot be kept there: rename it \
                     or delete it",
                    self.key, self.namespace
                );
                Error::Server { code, message }
            }
            other => other,
        })
    }
}

/// Reads a value.
fn parse<T: DeserializeOwned>(namespace: &str, name: &str, text: &str) -> Result<T, Error> {
    serde_json::from_str(text).map_err(|error| Error::Value {
        namespace: namespace.to_owned(),
        name: name.to_owned(),
        message: error.to_string(),
    })
}

/// Names and values in turn.
fn pairs(flat: Vec<String>) -> Vec<(String, String)> {
    let mut flat = flat.into_iter();
    let mut pairs = Vec::with_capacity(flat.len() / 2);
    while let (Some(name), Some(text)) = (flat.next(), flat.next()) {
        pairs.push((name, text));
    }
    pairs
}

fn number(text: &str) -> Result<u64, Error> {
    text.parse().map_err(|_| odd("the version is no number"))
}

fn odd(message: &str) -> Error {
    Error::Answer { command: "EVAL", message: message.to_owned() }
}

/// A text as a pattern that means nothing else.
fn literally(text: &str) -> String {
    let mut pattern = String::with_capacity(text.len());
    for c in text.chars() {
        if matches!(c, '*' | '?' | '[' | ']' | '\\' | '^') {
            pattern.push('\\');
        }
        pattern.push(c);
    }
    pattern
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_a_pattern_for_itself_alone() {
        assert_eq!(literally("a*/[b]?\\:state:"), "a\\*/\\[b\\]\\?\\\\:state:");
    }
}
