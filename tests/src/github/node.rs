//! Node ids: opaque to clients, `I_kwDO…` as GitHub shapes them.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// What a node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Repository,
    Issue,
    PullRequest,
    Label,
    Comment,
    User,
}

impl Kind {
    const ALL: [Self; 6] = [Self::Repository, Self::Issue, Self::PullRequest, Self::Label, Self::Comment, Self::User];

    fn prefix(self) -> &'static str {
        match self {
            Self::Repository => "R",
            Self::Issue => "I",
            Self::PullRequest => "PR",
            Self::Label => "LA",
            Self::Comment => "IC",
            Self::User => "U",
        }
    }
}

/// A node id taken apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NodeId {
    pub(super) kind: Kind,
    pub(super) id: u64,
}

impl NodeId {
    /// The node id of the thing with that number.
    pub(super) fn of(kind: Kind, id: u64) -> String {
        format!("{}_kw{}", kind.prefix(), URL_SAFE_NO_PAD.encode(id.to_be_bytes()))
    }

    /// Takes a node id apart; it tells nothing of whether the thing is there.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (prefix, rest) = text.split_once("_kw")?;
        let kind = Kind::ALL.into_iter().find(|kind| kind.prefix() == prefix)?;
        let bytes = URL_SAFE_NO_PAD.decode(rest).ok()?;
        Some(Self { kind, id: u64::from_be_bytes(bytes.try_into().ok()?) })
    }
}
