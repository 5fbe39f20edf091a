//! Several values at once, under conditions.

use serde::Serialize;

use super::commit::{Commit, Committed};
use super::{State, limits};
use crate::{Error, Refusal};

/// Conditions and writes on values of one namespace, done in one step or not at all. From [`State::transaction`].
///
/// ```no_run
/// # async fn example(project: poppo::Project) -> Result<(), poppo::Error> {
/// use poppo::{Error, Refusal};
///
/// let tasks = project.state("tasks")?;
/// let moved = tasks.transaction().equals("next", &7).absent("done/7").set("next", &8).set("done/7", &true).commit().await;
/// match moved {
///     Ok(changed) => println!("{changed} values are others now"),
///     Err(Error::Refused(Refusal::Conflict { name, current })) => println!("{name} is {current:?}, somebody was faster"),
///     Err(other) => return Err(other),
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
#[must_use = "nothing is done before it is committed"]
pub struct Transaction {
    state: State,
    commit: Commit,
    /// What is wrong with what was asked so far.
    wrong: Option<Error>,
}

impl Transaction {
    pub(super) fn new(state: State) -> Self {
        Self { state, commit: Commit::default(), wrong: None }
    }

    /// Only where there is no value of this name.
    pub fn absent(mut self, name: &str) -> Self {
        if self.takes(limits::name(name)) {
            self.commit.conditions.push((name.to_owned(), None));
        }
        self
    }

    /// Only where this value is equal to this. Blanks between the parts of JSON do not count; the order of fields and
    /// the way in which a number is written do.
    pub fn equals(self, name: &str, value: &impl Serialize) -> Self {
        match json(name, value) {
            Ok(text) => self.equals_text(name, &text),
            Err(error) => self.fail(error),
        }
    }

    /// As [`equals`](Self::equals), with a value in JSON, such as one that was read.
    pub fn equals_text(mut self, name: &str, text: &str) -> Self {
        if self.takes(limits::name(name))
            && let Some(text) = self.keep(limits::value(name, text))
        {
            self.commit.conditions.push((name.to_owned(), Some(text)));
        }
        self
    }

    /// Writes a value. Of several writes to one name the last one counts.
    pub fn set(self, name: &str, value: &impl Serialize) -> Self {
        match json(name, value) {
            Ok(text) => self.set_text(name, &text),
            Err(error) => self.fail(error),
        }
    }

    /// Writes a value that is given in JSON. It is stored without the blanks between its parts.
    pub fn set_text(mut self, name: &str, text: &str) -> Self {
        if self.takes(limits::name(name))
            && let Some(text) = self.keep(limits::value(name, text))
        {
            self.commit.writes.insert(name.to_owned(), Some(text));
        }
        self
    }

    /// Removes a value, where it is there.
    pub fn delete(mut self, name: &str) -> Self {
        if self.takes(limits::name(name)) {
            self.commit.writes.insert(name.to_owned(), None);
        }
        self
    }

    /// Does it, and answers how many values are others now; 0 where all was so already.
    ///
    /// # Errors
    /// [`Refusal::Conflict`] with the first condition that does not hold: nothing was changed then. [`Error::BadArgument`]
    /// where a name or a value is not allowed, there are more than 128 conditions and writes or 8 MiB of them, or the
    /// namespace would have more than 100,000 values. Where the server cannot be reached or breaks off, nobody knows
    /// whether it was done.
    pub async fn commit(mut self) -> Result<u64, Error> {
        if let Some(error) = self.wrong {
            return Err(error);
        }
        check(&self.commit)?;
        loop {
            match self.state.apply(&self.commit).await? {
                Committed::Done(changed) => return Ok(changed),
                Committed::Full => {
                    return Err(Error::BadArgument(format!(
                        "the namespace {} would have more than {} values, which is the most that it may have",
                        self.state.namespace(),
                        limits::VALUES
                    )));
                }
                Committed::Conflict { name, current } => {
                    // Somebody else may write with blanks; what matters is that nobody writes in between.
                    let as_written = current.as_ref().and_then(|current| {
                        let found = limits::compact(current);
                        let is_same = |text: &String| text != current && limits::compact(text) == found;
                        self.commit
                            .conditions
                            .iter()
                            .position(|(condition, wanted)| *condition == name && wanted.as_ref().is_some_and(is_same))
                    });
                    match as_written.and_then(|place| self.commit.conditions.get_mut(place)) {
                        Some((_, wanted)) => *wanted = current,
                        None => return Err(Refusal::Conflict { name, current }.into()),
                    }
                }
            }
        }
    }

    fn takes(&mut self, checked: Result<(), Error>) -> bool {
        self.keep(checked).is_some() && self.wrong.is_none()
    }

    /// Remembers the first thing that is wrong.
    fn keep<T>(&mut self, checked: Result<T, Error>) -> Option<T> {
        match checked {
            Ok(fine) => Some(fine),
            Err(error) => {
                self.wrong.get_or_insert(error);
                None
            }
        }
    }

    fn fail(mut self, error: Error) -> Self {
        self.wrong.get_or_insert(error);
        self
    }
}

fn json(name: &str, value: &impl Serialize) -> Result<String, Error> {
    serde_json::to_string(value)
        .map_err(|error| Error::BadArgument(format!("the value of {name:?} cannot be written as JSON: {error}")))
}

fn check(commit: &Commit) -> Result<(), Error> {
    let steps = commit.conditions.len() + commit.writes.len();
    if steps > limits::STEPS {
        let message = format!("a transaction may have at most {} conditions and writes, not {steps}", limits::STEPS);
        return Err(Error::BadArgument(message));
    }
    let words = commit.conditions.iter().map(|(name, text)| (name, text)).chain(&commit.writes);
    let bytes: usize = words.map(|(name, text)| name.len() + text.as_ref().map_or(0, String::len)).sum();
    if bytes > limits::TRANSACTION {
        let message = format!("a transaction may have at most {} bytes, not {bytes}", limits::TRANSACTION);
        return Err(Error::BadArgument(message));
    }
    Ok(())
}
