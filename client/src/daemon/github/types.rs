//! What GitHub tells of: as much as is needed, and no stricter than that. A field more, or one that is null, is no reason
//! not to see the issue.

use serde::de::{IgnoredAny, Visitor};
use serde::{Deserialize, Deserializer};

/// An issue, or a pull request, which GitHub lists among them.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Issue {
    pub(crate) number: u64,
    #[serde(default)]
    pub(crate) node_id: String,
    #[serde(default)]
    pub(crate) title: String,
    #[serde(default)]
    pub(crate) body: Option<String>,
    /// `open` or `closed`.
    #[serde(default)]
    pub(crate) state: String,
    #[serde(default, deserialize_with = "names")]
    pub(crate) labels: Vec<String>,
    /// Who wrote it; nobody, where the account is gone.
    #[serde(default)]
    pub(crate) user: Option<User>,
    /// As GitHub writes times, such as `2026-01-31T12:00:00Z`: in order as texts.
    #[serde(default)]
    pub(crate) created_at: String,
    #[serde(default)]
    pub(crate) updated_at: String,
    /// How many comments there are.
    #[serde(default)]
    pub(crate) comments: u64,
    #[serde(default, deserialize_with = "is_there")]
    pub(crate) pull_request: bool,
}

impl Issue {
    pub(crate) fn is_open(&self) -> bool {
        self.state != "closed"
    }

    pub(crate) fn has_label(&self, name: &str) -> bool {
        self.labels.iter().any(|label| is_same_name(label, name))
    }
}

/// Somebody.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct User {
    pub(crate) login: String,
}

/// A label of a repository.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Label {
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) node_id: String,
}

/// Something that was said on an issue.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Comment {
    pub(crate) id: u64,
    #[serde(default)]
    pub(crate) node_id: String,
    #[serde(default)]
    pub(crate) body: Option<String>,
    #[serde(default)]
    pub(crate) user: Option<User>,
    #[serde(default)]
    pub(crate) created_at: String,
    #[serde(default)]
    pub(crate) updated_at: String,
}

/// A repository, and what the token may do there.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct About {
    /// `owner/name`, as it is called now.
    pub(crate) full_name: String,
    #[serde(default)]
    pub(crate) archived: bool,
    #[serde(default = "yes")]
    pub(crate) has_issues: bool,
    /// What a user's token may do; nothing is said of an App's.
    #[serde(default)]
    pub(crate) permissions: Option<Permissions>,
}

/// What a token may do in a repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub(crate) struct Permissions {
    #[serde(default)]
    pub(crate) push: bool,
    /// Labels may be changed with it, too.
    #[serde(default)]
    pub(crate) triage: bool,
}

fn yes() -> bool {
    true
}

/// GitHub tells names apart whatever their case.
pub(crate) fn is_same_name(one: &str, other: &str) -> bool {
    one.to_lowercase() == other.to_lowercase()
}

/// A label is an object, and in old answers a string.
#[derive(Deserialize)]
#[serde(untagged)]
enum Named {
    Object { name: Option<String> },
    Text(String),
    Other(IgnoredAny),
}

fn names<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    let named = Option::<Vec<Named>>::deserialize(deserializer)?.unwrap_or_default();
    let name = |named| match named {
        Named::Object { name } => name,
        Named::Text(text) => Some(text),
        Named::Other(_) => None,
    };
    Ok(named.into_iter().filter_map(name).collect())
}

/// Whether a field is there and not null.
fn is_there<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    Ok(Option::<IgnoredAny>::deserialize(deserializer)?.is_some())
}

/// A list of which what cannot be understood is left out, and counted.
#[derive(Debug)]
pub(super) struct Lenient<T> {
    pub(super) items: Vec<T>,
    pub(super) left_out: usize,
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Lenient<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Items<T>(std::marker::PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for Items<T> {
            type Value = Lenient<T>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a list")
            }

            fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut seq: A) -> Result<Lenient<T>, A::Error> {
                let mut list = Lenient { items: Vec::new(), left_out: 0 };
                while let Some(item) = seq.next_element::<MaybeItem<T>>()? {
                    match item {
                        MaybeItem::Item(item) => list.items.push(item),
                        MaybeItem::Other(_) => list.left_out += 1,
                    }
                }
                Ok(list)
            }
        }

        deserializer.deserialize_seq(Items(std::marker::PhantomData))
    }
}

#[derive(Deserialize)]
#[serde(untagged)]
enum MaybeItem<T> {
    Item(T),
    Other(IgnoredAny),
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn an_issue_is_seen_whatever_else_is_said() {
        let text = r#"[{"number":1,"labels":[{"name":"a"},"b",{"name":null},7],"pull_request":{"url":"x"},"new":[{}]},
                       {"number":"2"}, null, {"number":3,"user":null,"body":null,"labels":null,"pull_request":null}]"#;
        let list: Lenient<Issue> = serde_json::from_str(text).unwrap();
        assert_eq!(list.left_out, 2);
        let (first, third) = (list.items.first().unwrap(), list.items.last().unwrap());
        assert_eq!((first.labels.as_slice(), first.pull_request), (["a".to_owned(), "b".to_owned()].as_slice(), true));
        assert_eq!((third.labels.len(), third.pull_request, third.is_open()), (0, false, true));
        assert!(serde_json::from_str::<Lenient<Issue>>(r#"{"unexpected":[null,[]]}"#).is_err());
    }
}
