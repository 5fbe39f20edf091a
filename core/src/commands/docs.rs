//! How commands describe themselves: to `COMMAND DOCS` and `COMMAND INFO`, and to whoever counts their words.

use std::ffi::CStr;

/// A command's name and description.
#[derive(Debug)]
pub struct Doc {
    /// In capitals.
    pub name: &'static str,
    /// The same, as the server wants it.
    pub name_c: &'static CStr,
    /// The version of Poppo that brought it.
    pub since: &'static str,
    /// The keyspace event of a change.
    pub event: &'static CStr,
    /// One sentence.
    pub summary: &'static str,
    /// In O notation.
    pub complexity: &'static str,
    /// Negative: at least so many words, the command's name among them.
    pub arity: i32,
    /// What it does with its key.
    pub access: Access,
    /// Its ACL categories, on servers that have them for module commands.
    pub categories: &'static CStr,
    /// What follows the key.
    pub args: &'static [Arg],
}

/// What a command does with its key.
#[derive(Debug, Clone, Copy)]
pub enum Access {
    /// Looks at it.
    Read,
    /// Changes it, and perhaps creates it.
    Insert,
    /// Changes what is there.
    Update,
    /// Removes a part of it.
    Delete,
}

/// An argument behind the key.
#[derive(Debug)]
pub struct Arg {
    /// What it is called.
    pub name: &'static str,
    /// The word in front of it, or that it is.
    pub token: Option<&'static str>,
    /// What it is.
    pub kind: Kind,
    /// Whether it may be left out.
    pub optional: bool,
    /// Whether it may be repeated.
    pub multiple: bool,
}

/// What an argument is.
#[derive(Debug)]
pub enum Kind {
    /// A text.
    Text,
    /// A decimal number.
    Integer,
    /// A word that stands for itself.
    Flag,
    /// One of several.
    OneOf(&'static [Arg]),
    /// Several that belong together.
    Block(&'static [Arg]),
}

impl Arg {
    const fn new(name: &'static str, token: Option<&'static str>, kind: Kind) -> Self {
        Self { name, token, kind, optional: false, multiple: false }
    }

    /// A positional text.
    pub const fn text(name: &'static str) -> Self {
        Self::new(name, None, Kind::Text)
    }

    /// A positional integer.
    pub const fn integer(name: &'static str) -> Self {
        Self::new(name, None, Kind::Integer)
    }

    /// A word that stands for itself.
    pub const fn flag(name: &'static str, token: &'static str) -> Self {
        Self::new(name, Some(token), Kind::Flag)
    }

    /// `TOKEN text`.
    pub const fn option_text(name: &'static str, token: &'static str) -> Self {
        Self::new(name, Some(token), Kind::Text)
    }

    /// `TOKEN integer`.
    pub const fn option_integer(name: &'static str, token: &'static str) -> Self {
        Self::new(name, Some(token), Kind::Integer)
    }

    /// One of several.
    pub const fn one_of(name: &'static str, token: Option<&'static str>, choices: &'static [Self]) -> Self {
        Self::new(name, token, Kind::OneOf(choices))
    }

    /// Several that belong together.
    pub const fn block(name: &'static str, token: Option<&'static str>, parts: &'static [Self]) -> Self {
        Self::new(name, token, Kind::Block(parts))
    }

    /// It may be left out.
    pub const fn optional(mut self) -> Self {
        self.optional = true;
        self
    }

    /// It may be repeated.
    pub const fn multiple(mut self) -> Self {
        self.multiple = true;
        self
    }
}
