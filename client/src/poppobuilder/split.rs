//! JSON of which a part may be damaged: entry by entry, so that what is wrong with one takes nothing from the others.
//!
//! Only brackets, quotes and commas are looked at here. What an entry says is read by itself, when somebody wants to know.

use serde_json::Value;

/// What a text is, from outside.
#[derive(Debug)]
pub(crate) enum Document<'t> {
    Map(Vec<Entry<'t>>),
    List(Vec<Entry<'t>>),
    /// Neither of them.
    Other(Part<'t>),
}

/// An entry of a map or a list.
#[derive(Debug)]
pub(crate) struct Entry<'t> {
    /// Its name in a map; else where it is in the list, from 0, or where it begins.
    pub(crate) name: String,
    pub(crate) part: Part<'t>,
}

/// A part of a text.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Part<'t> {
    text: &'t [u8],
    /// Whether the text ends before this does.
    is_cut: bool,
    /// Why it cannot be anything.
    fault: Option<&'static str>,
}

/// What was read of a part.
#[derive(Debug)]
pub(crate) struct Read {
    pub(crate) value: Value,
    /// Whether some bytes were not UTF-8, and were replaced.
    pub(crate) is_mended: bool,
}

impl<'t> Document<'t> {
    /// Of a file. A byte-order mark is passed over.
    pub(crate) fn of(text: &'t [u8]) -> Self {
        let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text).trim_ascii();
        let (mut document, is_whole) = Self::within(Part { text, is_cut: false, fault: None });
        if let (Self::Map(entries) | Self::List(entries), false) = (&mut document, is_whole) {
            let part =
                Part { text: &[], is_cut: true, fault: Some("the file is cut off: whatever stood here is lost") };
            entries.push(Entry { name: format!("#{}", entries.len()), part });
        }
        document
    }

    /// With whether its last bracket is there.
    fn within(part: Part<'t>) -> (Self, bool) {
        match part.text.split_first() {
            Some((b'{', rest)) => {
                let (entries, is_whole) = entries(rest, named);
                (Self::Map(entries), is_whole)
            }
            Some((b'[', rest)) => {
                let (entries, is_whole) = entries(rest, |text, place| (place.to_string(), text));
                (Self::List(entries), is_whole)
            }
            _ => (Self::Other(part), true),
        }
    }
}

impl<'t> Part<'t> {
    /// What it says.
    ///
    /// # Errors
    /// Why that cannot be read.
    pub(crate) fn read(&self) -> Result<Read, String> {
        if let Some(fault) = self.fault {
            return Err(fault.to_owned());
        }
        if self.text.is_empty() {
            return Err("there is nothing".to_owned());
        }
        let text = String::from_utf8_lossy(self.text);
        let is_mended = matches!(text, std::borrow::Cow::Owned(_));
        match serde_json::from_str(&text) {
            // Of a number there may have been more.
            Ok(value @ (Value::Object(_) | Value::Array(_) | Value::String(_))) => Ok(Read { value, is_mended }),
            Ok(value) if !self.is_cut => Ok(Read { value, is_mended }),
            _ if self.is_cut => Err("the file ends within it".to_owned()),
            Ok(_) | Err(_) => Err("it is not JSON".to_owned()),
        }
    }

    /// Its own entries, if it is a map or a list.
    pub(crate) fn split(&self) -> Document<'t> {
        Document::within(*self).0
    }
}

/// The entries behind an opening bracket, and whether the closing one is there.
fn entries<'t>(text: &'t [u8], name: impl Fn(&'t [u8], usize) -> (String, &'t [u8])) -> (Vec<Entry<'t>>, bool) {
    let (mut entries, mut from) = (Vec::new(), 0);
    let mut add = |part: &'t [u8], is_cut: bool, behind: bool| {
        let part = part.trim_ascii();
        if part.is_empty() {
            return;
        }
        let (name, text) = if behind { (format!("#{}", entries.len()), part) } else { name(part, entries.len()) };
        let fault = match () {
            () if behind => Some("it stands behind the end"),
            () if text.is_empty() && is_cut => Some("the file ends within it"),
            () if text.is_empty() => Some("it is no name with a value"),
            () => None,
        };
        entries.push(Entry { name, part: Part { text, is_cut, fault } });
    };
    let part = |range: std::ops::Range<usize>| text.get(range).unwrap_or_default();
    let mut scan = Scan::default();
    for (at, byte) in text.iter().enumerate() {
        match scan.next(*byte) {
            Mark::None => {}
            Mark::Comma => {
                add(part(from..at), false, false);
                from = at + 1;
            }
            Mark::End => {
                add(part(from..at), false, false);
                add(part(at + 1..text.len()), false, true);
                return (entries, true);
            }
        }
    }
    add(part(from..text.len()), true, false);
    (entries, false)
}

/// A name and its value; without both, where it stands and nothing.
fn named(text: &[u8], place: usize) -> (String, &[u8]) {
    let is_end = |at: &usize| {
        let before = text.get(1..*at).unwrap_or_default();
        text.get(*at) == Some(&b'"') && before.iter().rev().take_while(|byte| **byte == b'\\').count() % 2 == 0
    };
    let end = (1..text.len()).find(is_end).filter(|_| text.first() == Some(&b'"'));
    let name = end.and_then(|end| {
        let name = String::from_utf8_lossy(text.get(..=end)?);
        let rest = text.get(end + 1..)?.trim_ascii_start();
        Some((serde_json::from_str(&name).ok()?, rest.strip_prefix(b":")?.trim_ascii_start()))
    });
    name.unwrap_or_else(|| (format!("#{place}"), &[]))
}

/// Where in a text one is.
#[derive(Debug, Default)]
struct Scan {
    depth: usize,
    in_text: bool,
    is_escaped: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mark {
    None,
    Comma,
    End,
}

impl Scan {
    fn next(&mut self, byte: u8) -> Mark {
        if self.in_text {
            self.in_text = self.is_escaped || byte != b'"';
            self.is_escaped = !self.is_escaped && byte == b'\\';
            return Mark::None;
        }
        match byte {
            b'"' => self.in_text = true,
            b'{' | b'[' => self.depth += 1,
            b'}' | b']' if self.depth == 0 => return Mark::End,
            b'}' | b']' => self.depth -= 1,
            b',' if self.depth == 0 => return Mark::Comma,
            _ => {}
        }
        Mark::None
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use super::*;

    /// The names of the entries and what they say.
    fn said(text: &[u8]) -> Vec<(String, Result<Value, String>)> {
        match Document::of(text) {
            Document::Map(entries) | Document::List(entries) => {
                entries.into_iter().map(|entry| (entry.name, entry.part.read().map(|read| read.value))).collect()
            }
            Document::Other(_) => panic!("neither map nor list"),
        }
    }

    #[test]
    fn a_sound_text_is_read_as_any_reader_reads_it() {
        let text = "\u{feff} {\"a\\\"}\": [1, {\"b\": \"],\"}], \"a\": null , \"\\u3042\":\"\\\\\"} ";
        let there: Value = serde_json::from_str(text.trim_start_matches('\u{feff}')).unwrap();
        let read = said(text.as_bytes());
        assert_eq!(read.len(), 3);
        for (name, value) in read {
            assert_eq!(value.as_ref().ok(), there.get(&name), "{name}");
        }
        assert_eq!(said(b"[]"), []);
        assert_eq!(said(b"[1,\"x\"]").len(), 2);
    }

    #[test]
    fn what_is_wrong_with_one_entry_takes_nothing_from_the_others() {
        let texts = |text: &[u8]| said(text).into_iter().map(|(name, value)| (name, value.is_ok())).collect::<Vec<_>>();
        let named = |names: &[(&str, bool)]| names.iter().map(|(n, ok)| ((*n).to_owned(), *ok)).collect::<Vec<_>>();
        assert_eq!(texts(b"{\"a\":{\"x\":1},\"b\":{\"x\":"), named(&[("a", true), ("b", false), ("#2", false)]));
        assert_eq!(texts(b"{\"a\":{\"x\":1},\"b\":[2]"), named(&[("a", true), ("b", true), ("#2", false)]));
        assert_eq!(texts(b"[12, 34"), named(&[("0", true), ("1", false), ("#2", false)]));
        assert_eq!(texts(b"{\"a\":1e999,\"b\":2}"), named(&[("a", false), ("b", true)]));
        assert_eq!(texts(b"{\"stray\",\"b\":2}x"), named(&[("#0", false), ("b", true), ("#2", false)]));
        assert_eq!(texts(b"{\"a\":1,\"a\":2}"), named(&[("a", true), ("a", true)]));
        assert_eq!(texts(b"{\"a\":\"\xff\",}"), named(&[("a", true)]));
        assert_eq!(texts(b"{\"a\":1 \"b\":2,\"c\":3}"), named(&[("a", false), ("c", true)]));
    }

    #[test]
    fn whatever_is_no_map_and_no_list_is_said_to_be_none() {
        for text in [&b""[..], b"7", b"\"x\"", b"nonsense", b"\xff\xfe{"] {
            assert!(matches!(Document::of(text), Document::Other(_)), "{text:?}");
        }
    }
}
