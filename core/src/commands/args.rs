//! From a command's words to the core's types. Every refusal here names the argument and what is allowed.

use crate::{Instant, Invalid, MAX_INTEGER, MAX_TEXT, Millis, Name, TaskId, integer};

/// All words of a command together, in bytes, unless the command says otherwise.
pub const MAX_COMMAND: usize = 1024 * 1024;

/// Why a client's command is refused that says when it happened.
pub const ONLY_RESOLVED: &str = "AT is accepted only from the replication link and while loading";

/// Why a command could not be read: the text of an `ERR` answer, without the code.
#[derive(Debug)]
pub struct Bad(pub String);

/// The words of a command, read from left to right, however they come.
#[derive(Debug)]
pub struct Args<'a, W> {
    command: &'static str,
    words: &'a [W],
    resolved: Option<Resolved<'a>>,
    /// How many more words come before `AT` and what belongs to it, where they are there.
    before_at: usize,
    seen: u64,
}

/// What a primary decided.
#[derive(Debug, Clone, Copy)]
struct Resolved<'a> {
    at: Instant,
    task: Option<TaskId<'a>>,
    /// How many words say so.
    words: usize,
}

/// What options a command takes, as they are shown.
#[derive(Debug)]
pub(super) struct Options(pub(super) &'static [&'static str]);

impl<'a, W: AsRef<[u8]>> Args<'a, W> {
    /// The words behind the command's name and key. `positional` is how many of them come before the options: there
    /// the resolved form has its `AT`. Unless it is resolved, they are `longest` bytes together at most.
    ///
    /// # Errors
    /// Where they are too long together, or the resolved form is not one.
    pub fn new(command: &'static str, words: &'a [W], positional: usize, longest: usize) -> Result<Self, Bad> {
        let words = words.get(2..).unwrap_or_default();
        let resolved = resolved(words, positional, longest)?;
        let before_at = if resolved.is_some() { positional } else { usize::MAX };
        Ok(Self { command, words, resolved, before_at, seen: 0 })
    }

    /// The primary's clock, where this is a resolved command.
    pub fn resolved(&self) -> Option<Instant> {
        self.resolved.map(|resolved| resolved.at)
    }

    /// The task that the primary chose, where this is a resolved command that claims one.
    pub fn chosen(&self) -> Option<TaskId<'a>> {
        self.resolved?.task
    }

    fn take(&mut self) -> Option<&'a [u8]> {
        if self.before_at == 0 {
            let words = self.resolved.map_or(0, |resolved| resolved.words);
            self.words = self.words.get(words..).unwrap_or_default();
        }
        // Behind `AT` this wraps around to a number that no command reaches.
        self.before_at = self.before_at.wrapping_sub(1);
        let (first, rest) = self.words.split_first()?;
        self.words = rest;
        Some(first.as_ref())
    }

    /// The next positional argument.
    pub(super) fn positional<T>(
        &mut self,
        name: &str,
        parse: impl FnOnce(&'a [u8]) -> Result<T, Invalid>,
    ) -> Result<T, Bad> {
        let word = self.take().ok_or_else(|| Bad(format!("{name} is missing")))?;
        parse(word).map_err(|invalid| Bad(format!("{name} {invalid}")))
    }

    /// All that is left.
    pub(super) fn rest(&mut self) -> impl Iterator<Item = &'a [u8]> + use<'a, W> {
        std::mem::take(&mut self.words).iter().map(AsRef::as_ref)
    }

    /// The next option's name, as it stands in `known`; none at the end.
    pub(super) fn option(&mut self, options: &Options) -> Result<Option<&'static str>, Bad> {
        let Some(word) = self.take() else { return Ok(None) };
        // Nearly everybody writes it as it is shown, which is compared at once.
        let is_meant = |name: &&str| word == name.as_bytes() || word.eq_ignore_ascii_case(name.as_bytes());
        let position = options.0.iter().position(is_meant);
        let Some((position, name)) = position.and_then(|at| Some((at, *options.0.get(at)?))) else {
            return Err(self.unknown(word, options.0));
        };
        if self.seen & (1 << position) != 0 {
            return Err(Bad(format!("{name} may be given only once")));
        }
        self.seen |= 1 << position;
        Ok(Some(name))
    }

    fn unknown(&self, word: &[u8], known: &[&str]) -> Bad {
        let known = if known.is_empty() { "no options".to_owned() } else { known.join(", ") };
        Bad(format!("unknown option '{}': {} takes {known}", shown(word), self.command))
    }

    /// The value of an option.
    pub(super) fn value<T>(
        &mut self,
        name: &str,
        parse: impl FnOnce(&'a [u8]) -> Result<T, Invalid>,
    ) -> Result<T, Bad> {
        let word = self.take().ok_or_else(|| Bad(format!("{name} needs a value")))?;
        parse(word).map_err(|invalid| Bad(format!("{name} {invalid}")))
    }

    /// Refuses what is left.
    pub(super) fn end(&mut self) -> Result<(), Bad> {
        self.option(&Options(&[])).map(drop)
    }
}

fn resolved<'a, W: AsRef<[u8]>>(
    words: &'a [W],
    positional: usize,
    longest: usize,
) -> Result<Option<Resolved<'a>>, Bad> {
    let is_resolved = words.get(positional).is_some_and(|word| word.as_ref().eq_ignore_ascii_case(b"AT"));
    if !is_resolved {
        // Few words that are each within its own limit cannot be more together.
        let few = longest == MAX_COMMAND && words.len() <= MAX_COMMAND / MAX_TEXT;
        return if !few && words.iter().map(|word| word.as_ref().len()).sum::<usize>() > longest {
            Err(Bad(format!("the command's arguments must be at most {longest} bytes together")))
        } else {
            Ok(None)
        };
    }
    let value = |at: usize| words.get(positional + at).map(AsRef::as_ref);
    let micros = value(1).ok_or_else(|| Bad("AT needs a value".to_owned()))?;
    let micros = integer(micros, 0, MAX_INTEGER).map_err(|invalid| Bad(format!("AT {invalid}")))?;
    let at = Instant::from_micros(micros);
    if !value(2).is_some_and(|word| word.eq_ignore_ascii_case(b"TASK")) {
        return Ok(Some(Resolved { at, task: None, words: 2 }));
    }
    let task = value(3).ok_or_else(|| Bad("TASK needs a value".to_owned()))?;
    let task = TaskId::parse(task).map_err(|invalid| Bad(format!("TASK {invalid}")))?;
    Ok(Some(Resolved { at, task: Some(task), words: 4 }))
}

/// What a user sent, fit to be shown in an error: short, and on one line.
pub fn shown(word: &[u8]) -> String {
    const LONGEST: usize = 64;
    let mut text = word.get(..LONGEST).unwrap_or(word).escape_ascii().to_string();
    if word.len() > LONGEST {
        text.push('…');
    }
    text
}

/// How many rows an answer may have.
pub(super) fn count(word: &[u8]) -> Result<usize, Invalid> {
    const MOST: u64 = 10_000;
    integer(word, 1, MOST).map(|count| count as usize)
}

/// For how long to wait; 0 is for ever.
pub(super) fn block(word: &[u8]) -> Result<Millis, Invalid> {
    integer(word, 0, Millis::MAX_TTL).map(Millis)
}

/// How many rows an answer has by default.
pub(super) const DEFAULT_COUNT: usize = 100;

/// A name that is an argument; a shorthand that fixes the lifetime.
pub(super) fn name(word: &[u8]) -> Result<Name<'_>, Invalid> {
    Name::parse(word)
}
