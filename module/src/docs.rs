//! How commands describe themselves to `COMMAND DOCS` and `COMMAND INFO`.

use std::ffi::CStr;

/// A command's name and description.
#[derive(Debug)]
pub(crate) struct Doc {
    pub(crate) name: &'static str,
    /// The same, as the server wants it.
    pub(crate) name_c: &'static CStr,
    /// The version of Poppo that brought it.
    pub(crate) since: &'static str,
    /// The keyspace event of a change.
    pub(crate) event: &'static CStr,
    pub(crate) summary: &'static str,
    pub(crate) complexity: &'static str,
    /// Negative: at least so many words, the command's name among them.
    pub(crate) arity: i32,
    pub(crate) access: Access,
    /// Its ACL categories, on servers that have them for module commands.
    pub(crate) categories: &'static CStr,
    /// What follows the key.
    pub(crate) args: &'static [Arg],
}

/// What a command does with its key.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Access {
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
pub(crate) struct Arg {
    pub(crate) name: &'static str,
    pub(crate) token: Option<&'static str>,
    pub(crate) kind: Kind,
    pub(crate) optional: bool,
    pub(crate) multiple: bool,
}

/// What an argument is.
#[derive(Debug)]
pub(crate) enum Kind {
    Text,
    Integer,
    Flag,
    OneOf(&'static [Arg]),
    Block(&'static [Arg]),
}

impl Arg {
    const fn new(name: &'static str, token: Option<&'static str>, kind: Kind) -> Self {
        Self { name, token, kind, optional: false, multiple: false }
    }

    /// A positional text.
    pub(crate) const fn text(name: &'static str) -> Self {
        Self::new(name, None, Kind::Text)
    }

    /// A positional integer.
    pub(crate) const fn integer(name: &'static str) -> Self {
        Self::new(name, None, Kind::Integer)
    }

    /// A word that stands for itself.
    pub(crate) const fn flag(name: &'static str, token: &'static str) -> Self {
        Self::new(name, Some(token), Kind::Flag)
    }

    /// `TOKEN text`.
    pub(crate) const fn option_text(name: &'static str, token: &'static str) -> Self {
        Self::new(name, Some(token), Kind::Text)
    }

    /// `TOKEN integer`.
    pub(crate) const fn option_integer(name: &'static str, token: &'static str) -> Self {
        Self::new(name, Some(token), Kind::Integer)
    }

    /// One of several.
    pub(crate) const fn one_of(name: &'static str, token: Option<&'static str>, choices: &'static [Self]) -> Self {
        Self::new(name, token, Kind::OneOf(choices))
    }

    /// Several that belong together.
    pub(crate) const fn block(name: &'static str, token: Option<&'static str>, parts: &'static [Self]) -> Self {
        Self::new(name, token, Kind::Block(parts))
    }

    /// It may be left out.
    pub(crate) const fn optional(mut self) -> Self {
        self.optional = true;
        self
    }

    /// It may be repeated.
    pub(crate) const fn multiple(mut self) -> Self {
        self.multiple = true;
        self
    }
}
