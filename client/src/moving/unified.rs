//! Free state as `unified-<namespace>.json`, the file in which PoppoBuilder keeps a namespace: one object, a field for each
//! value.

use std::collections::{BTreeMap, VecDeque};
use std::fs;
use std::io::{self, Write as _};
use std::path::Path;

use poppo::{Error, State};
use serde::Serialize;
use serde::de::IgnoredAny;
use serde_json::Value;
use serde_json::value::RawValue;

use super::whole::Whole;
use crate::exit::{FAILED, Failure, USAGE};

/// How many values are asked for at a time.
const VALUES_PER_CALL: usize = 64;

/// What tells the entries of a list from each other where a map is meant, in this order.
const NAMES: [&str; 8] = ["key", "name", "id", "number", "issueNumber", "issue", "taskId", "processId"];

/// What is in such a file.
#[derive(Debug, Default)]
pub(crate) struct Unified {
    /// The values as JSON text, by their names.
    pub(crate) values: BTreeMap<String, String>,
    /// How many of them were in a list, and took their names from what is in them.
    pub(crate) from_list: u64,
    /// What cannot be used.
    pub(crate) unusable: Vec<Unusable>,
}

/// An entry that cannot be used.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Unusable {
    /// Its name, or its place.
    pub(crate) entry: String,
    pub(crate) reason: String,
}

/// What was written.
#[derive(Debug, Default)]
pub(crate) struct Written {
    pub(crate) values: u64,
    pub(crate) unusable: Vec<Unusable>,
}

/// Reads a file.
pub(crate) fn read(path: &Path) -> Result<Unified, Failure> {
    let name = path.display().to_string();
    let text = fs::read(path).map_err(|error| {
        let exit = if error.kind() == io::ErrorKind::IsADirectory { USAGE } else { FAILED };
        Failure::new(exit, "FAILED", format!("{name}: {error}"))
    })?;
    parse(&name, &text)
}

/// Reads what is in a file of that name.
pub(crate) fn parse(name: &str, text: &[u8]) -> Result<Unified, Failure> {
    let wrong = |what: String| Failure::new(FAILED, "BADFILE", format!("{name}: {what}; nothing of it was used"));
    let text = text.strip_prefix("\u{feff}".as_bytes()).unwrap_or(text);
    let text =
        str::from_utf8(text).map_err(|error| wrong(format!("it is not UTF-8 from byte {}", error.valid_up_to())))?;
    let broken = |error: serde_json::Error| wrong(format!("it is not JSON: {error}"));
    let mut unified = Unified::default();
    match text.trim_start().as_bytes().first() {
        Some(b'[') => {
            let entries: Vec<Box<RawValue>> = serde_json::from_str(text).map_err(broken)?;
            for (place, entry) in entries.iter().enumerate() {
                unified.add_of_list(place, entry.get());
            }
        }
        Some(b'{') | None => {
            let values: BTreeMap<String, Box<RawValue>> = serde_json::from_str(text).map_err(broken)?;
            for (name, value) in values {
                unified.add(&name, &name, value.get());
            }
        }
        Some(_) => {
            let document: Value = serde_json::from_str(text).map_err(broken)?;
            return Err(wrong(format!("it must hold an object with a field for each value, not {document}")));
        }
    }
    Ok(unified)
}

impl Unified {
    /// An entry, as it is called in reports, under the name that it is to have.
    fn add(&mut self, entry: &str, name: &str, text: &str) -> bool {
        match State::check(name, text) {
            Ok(text) => {
                let known = self.values.insert(name.to_owned(), text);
                if known.is_some() {
                    self.refuse(name, "there is another entry of that name further on, which counts");
                }
                known.is_none()
            }
            Err(error) => {
                self.refuse(entry, &error.to_string());
                false
            }
        }
    }

    /// An entry of a list: a name and a value, or an object that has a name in it.
    fn add_of_list(&mut self, place: usize, text: &str) {
        let entry = format!("[{place}]");
        let value: Value = serde_json::from_str(text).unwrap_or_default();
        let Some(name) = name_in_list(&value) else {
            self.refuse(&entry, "it is an entry of a list and has no name");
            return;
        };
        let pair: Option<(IgnoredAny, &RawValue)> = value.is_array().then(|| serde_json::from_str(text).ok()).flatten();
        let text = pair.map_or(text, |(_, value)| value.get());
        self.from_list += u64::from(self.add(&entry, &name, text));
    }

    fn refuse(&mut self, entry: &str, reason: &str) {
        self.unusable.push(Unusable { entry: entry.to_owned(), reason: reason.to_owned() });
    }
}

/// What an entry of a list is called, where a map is meant: of a pair its first part is the name, and an object has it in a field.
pub(crate) fn name_in_list(entry: &Value) -> Option<String> {
    match entry {
        Value::Array(pair) if pair.len() == 2 => pair.first().and_then(name_of),
        Value::Object(fields) => NAMES.iter().find_map(|field| fields.get(*field).and_then(name_of)),
        _ => None,
    }
}

fn name_of(value: &Value) -> Option<String> {
    match value {
        Value::String(name) => Some(name.clone()),
        Value::Number(number) if !number.is_f64() => Some(number.to_string()),
        _ => None,
    }
}

/// The values of a namespace as JSON text, in the order of their names. They are read some at a time.
#[derive(Debug)]
pub(crate) struct Values<'s> {
    state: &'s State,
    names: std::vec::IntoIter<String>,
    read: VecDeque<(String, String)>,
}

impl<'s> Values<'s> {
    pub(crate) async fn of(state: &'s State) -> Result<Self, Error> {
        Ok(Self { state, names: names(state).await?.into_iter(), read: VecDeque::new() })
    }

    /// The next value, and its name.
    pub(crate) async fn next(&mut self) -> Result<Option<(String, String)>, Error> {
        loop {
            if let Some(value) = self.read.pop_front() {
                return Ok(Some(value));
            }
            let names: Vec<String> = self.names.by_ref().take(VALUES_PER_CALL).collect();
            if names.is_empty() {
                return Ok(None);
            }
            let texts = self.state.get_texts(&names).await?;
            // Some may be gone since.
            self.read.extend(names.into_iter().zip(texts).filter_map(|(name, text)| Some((name, text?))));
        }
    }
}

/// Writes a namespace to a file, or to whoever reads this process: a field on each line, in the order of their names.
pub(crate) async fn write(state: &State, path: Option<&Path>) -> Result<Written, Failure> {
    let shown = path.map_or_else(|| "standard output".to_owned(), |path| path.display().to_string());
    let failed = |error: io::Error| {
        let failure = Failure::from(error);
        Failure { message: format!("{shown}: {}", failure.message), ..failure }
    };
    let mut values = Values::of(state).await?;
    let mut file = match path {
        Some(path) => Whole::to(path).map_err(failed)?,
        None => Whole::to_stdout(),
    };
    let mut written = Written::default();
    file.write_all(b"{").map_err(failed)?;
    while let Some((name, text)) = values.next().await? {
        if let Err(error) = serde_json::from_str::<Value>(&text) {
            written.unusable.push(Unusable { entry: name, reason: format!("it is not JSON: {error}") });
            continue;
        }
        let comma = if written.values > 0 { "," } else { "" };
        write!(file, "{comma}\n  {}: {text}", Value::from(name)).map_err(failed)?;
        written.values += 1;
    }
    let end: &[u8] = if written.values > 0 { b"\n}\n" } else { b"}\n" };
    file.write_all(end).map_err(failed)?;
    file.finish().map_err(failed)?;
    Ok(written)
}

/// All names that can be asked for, in order.
async fn names(state: &State) -> Result<Vec<String>, Error> {
    let (mut names, mut next) = (Vec::new(), None);
    loop {
        let page = state.list(next.as_ref()).await?;
        names.extend(page.rows.into_iter().map(|(name, _)| name));
        next = page.next;
        if next.is_none() {
            names.sort_unstable();
            names.dedup();
            return Ok(names);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn read(text: &str) -> Unified {
        parse("f", text.as_bytes()).unwrap()
    }

    fn refusal(text: &[u8]) -> String {
        parse("f", text).unwrap_err().message
    }

    #[test]
    fn an_object_has_a_value_in_each_field_also_behind_a_byte_order_mark() {
        let unified =
            read("\u{feff}{\n  \"1\": { \"status\" : \"completed\" },\n  \"a b\": 12345678901234567890123\n}");
        let values = unified.values.iter().map(|(name, text)| (name.as_str(), text.as_str()));
        assert_eq!(
            values.collect::<Vec<_>>(),
            [("1", r#"{"status":"completed"}"#), ("a b", "12345678901234567890123")]
        );
        assert!(unified.unusable.is_empty() && unified.from_list == 0);
        assert!(read("{}").values.is_empty() && read("[]").values.is_empty());
    }

    #[test]
    fn a_list_has_pairs_or_objects_with_names() {
        let unified =
            read(r#"[["a", 1], [7, {}], {"issueNumber": 8, "x": 1}, {"id": "t"}, "stray", {"x": 1}, [1], ["a", 2]]"#);
        assert_eq!(unified.values.keys().collect::<Vec<_>>(), ["7", "8", "a", "t"]);
        assert_eq!((unified.values.get("a").map(String::as_str), unified.from_list), (Some("2"), 4));
        let places: Vec<&str> = unified.unusable.iter().map(|unusable| unusable.entry.as_str()).collect();
        assert_eq!(places, ["[4]", "[5]", "[6]", "a"]);
    }

    #[test]
    fn what_is_no_value_is_named_and_the_rest_is_used() {
        let unified = read(&format!(r#"{{"": 1, "a\nb": 2, "c": "\ud800", "d": "{}", "e": 5}}"#, "x".repeat(1 << 20)));
        assert_eq!(unified.values.keys().collect::<Vec<_>>(), ["e"]);
        let entries: Vec<&str> = unified.unusable.iter().map(|unusable| unusable.entry.as_str()).collect();
        assert_eq!(entries, ["", "a\nb", "c", "d"]);
    }

    #[test]
    fn half_a_file_is_refused_with_its_place() {
        assert!(refusal(b"{\"a\": 1,\n \"b\": ").contains("EOF while parsing a value at line 2 column 6"));
        assert!(refusal(b"").contains("at line 1 column 0"), "{}", refusal(b""));
        assert!(refusal(b"{\"a\":1}}").contains("trailing characters at line 1 column 8"));
        assert!(refusal(b"null").contains("must hold an object with a field for each value, not null"));
        assert!(refusal(b"{\"\xff\":1}").contains("not UTF-8 from byte 2"));
    }
}
