//! What some kinds of records say and others do not.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A part of a record that may be left out of it, name and all.
pub(super) trait Said {
    /// Whether it is left out.
    fn is_unsaid(&self) -> bool;
}

impl Said for u64 {
    fn is_unsaid(&self) -> bool {
        false
    }
}

impl Said for bool {
    fn is_unsaid(&self) -> bool {
        false
    }
}

/// A part that this kind of record does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Unsaid;

impl Said for Unsaid {
    fn is_unsaid(&self) -> bool {
        true
    }
}

impl Serialize for Unsaid {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_none()
    }
}

/// Where records have names for their parts, it must not be there; where they have places, it has none.
impl<'de> Deserialize<'de> for Unsaid {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if !deserializer.is_human_readable() {
            return Ok(Self);
        }
        match Option::<de::IgnoredAny>::deserialize(deserializer)? {
            None => Ok(Self),
            Some(_) => Err(de::Error::custom("a number that means nothing elsewhere is given")),
        }
    }
}

/// A part that is said only where it is true.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct IfTrue(pub(super) bool);

impl Said for IfTrue {
    fn is_unsaid(&self) -> bool {
        !self.0
    }
}

impl Serialize for IfTrue {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bool(self.0)
    }
}

impl<'de> Deserialize<'de> for IfTrue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Option::deserialize(deserializer).map(|said| Self(said.unwrap_or_default()))
    }
}
