//! Commands and answers as people read them: splitting a command line, printing a reply the way
//! `redis-cli -3` does, and matching a print against an expectation with placeholders.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use redis::Value;

use crate::Reply as _;

/// Splits a command line into arguments. A word that begins with `"` or `'` goes to the closing quote; in double
/// quotes `\n`, `\t`, `\r`, `\"`, `\\` and `\xHH` are escapes, so that any byte can be said. Quotes inside a word
/// mean themselves: `{"pr":77}` is one argument.
pub fn split(line: &str) -> Vec<Vec<u8>> {
    let mut arguments = Vec::new();
    let mut rest = line.trim().chars().peekable();
    while let Some(&first) = rest.peek() {
        let mut argument = Vec::new();
        if first == '"' || first == '\'' {
            rest.next();
            quoted(&mut rest, first, &mut argument);
        } else {
            while let Some(character) = rest.next_if(|c| !c.is_whitespace()) {
                push(&mut argument, character);
            }
        }
        arguments.push(argument);
        while rest.next_if(|c| c.is_whitespace()).is_some() {}
    }
    arguments
}

fn quoted(rest: &mut impl Iterator<Item = char>, quote: char, argument: &mut Vec<u8>) {
    while let Some(character) = rest.next() {
        match character {
            c if c == quote => return,
            '\\' if quote == '"' => match rest.next() {
                Some('n') => argument.push(b'\n'),
                Some('r') => argument.push(b'\r'),
                Some('t') => argument.push(b'\t'),
                Some('x') => {
                    let digits: String = rest.by_ref().take(2).collect();
                    argument.push(u8::from_str_radix(&digits, 16).expect("two hex digits after \\x"));
                }
                Some(other) => push(argument, other),
                None => {}
            },
            c => push(argument, c),
        }
    }
    panic!("a quote is not closed");
}

fn push(argument: &mut Vec<u8>, character: char) {
    argument.extend(character.encode_utf8(&mut [0; 4]).as_bytes());
}

/// The pairs of a record: of a map, or of a flat array of names and values; nothing of anything else.
pub(crate) struct Reader<'a>(Vec<(&'a Value, &'a Value)>);

impl<'a> Reader<'a> {
    pub(crate) fn new(value: &'a Value) -> Self {
        Self(match value {
            Value::Map(pairs) => pairs.iter().map(|(name, value)| (name, value)).collect(),
            Value::Array(flat) => flat.chunks_exact(2).map(|pair| (&pair[0], &pair[1])).collect(),
            _ => Vec::new(),
        })
    }
}

impl<'a> IntoIterator for Reader<'a> {
    type Item = (&'a Value, &'a Value);
    type IntoIter = std::vec::IntoIter<Self::Item>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

/// A reply as `redis-cli -3` prints it, but for two things that make it easier to read and write by hand: the
/// numbers of a map's fields are not padded, and an aggregate in a field always starts on a line of its own.
pub fn show(value: &Value) -> String {
    let mut out = String::new();
    print(value, "", &mut out);
    out
}

fn print(value: &Value, indent: &str, out: &mut String) {
    match value {
        Value::Nil => out.push_str("(nil)"),
        Value::Int(n) => write!(out, "(integer) {n}").expect("a String takes it"),
        Value::Double(n) => write!(out, "(double) {n}").expect("a String takes it"),
        Value::Boolean(b) => write!(out, "({b})").expect("a String takes it"),
        Value::Okay => out.push_str("OK"),
        Value::SimpleString(text) | Value::VerbatimString { text, .. } => out.push_str(text),
        Value::BulkString(bytes) => out.push_str(&quote(bytes)),
        Value::ServerError(_) => {
            write!(out, "(error) {}", value.error().unwrap_or_default()).expect("a String takes it");
        }
        Value::Array(items) => print_items(items, ')', "(empty array)", indent, out),
        Value::Set(items) => print_items(items, '~', "(empty set)", indent, out),
        Value::Map(pairs) => print_pairs(pairs, indent, out),
        other => write!(out, "{other:?}").expect("a String takes it"),
    }
}

fn print_items(items: &[Value], mark: char, empty: &str, indent: &str, out: &mut String) {
    if items.is_empty() {
        out.push_str(empty);
    }
    let width = items.len().to_string().len();
    let deeper = format!("{indent}{}", " ".repeat(width + 2));
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            write!(out, "\n{indent}").expect("a String takes it");
        }
        write!(out, "{:>width$}{mark} ", index + 1).expect("a String takes it");
        print(item, &deeper, out);
    }
}

fn print_pairs(pairs: &[(Value, Value)], indent: &str, out: &mut String) {
    if pairs.is_empty() {
        out.push_str("(empty hash)");
    }
    let deeper = format!("{indent}   ");
    for (index, (name, value)) in pairs.iter().enumerate() {
        if index > 0 {
            write!(out, "\n{indent}").expect("a String takes it");
        }
        write!(out, "{}# ", index + 1).expect("a String takes it");
        print(name, &deeper, out);
        out.push_str(" =>");
        let aggregate = match value {
            Value::Array(items) | Value::Set(items) => !items.is_empty(),
            Value::Map(pairs) => !pairs.is_empty(),
            _ => false,
        };
        if aggregate {
            write!(out, "\n{deeper}").expect("a String takes it");
        } else {
            out.push(' ');
        }
        print(value, &deeper, out);
    }
}

fn quote(bytes: &[u8]) -> String {
    let mut out = String::from("\"");
    for byte in bytes {
        match byte {
            b'"' => out.push_str("\\\""),
            b'\\' => out.push_str("\\\\"),
            b'\n' => out.push_str("\\n"),
            b'\r' => out.push_str("\\r"),
            b'\t' => out.push_str("\\t"),
            b' '..=b'~' => out.push(char::from(*byte)),
            other => write!(out, "\\x{other:02x}").expect("a String takes it"),
        }
    }
    out.push('"');
    out
}

/// What the `$names` of a transcript stand for so far.
#[derive(Debug, Clone, Default)]
pub struct Bindings(BTreeMap<String, String>);

impl Bindings {
    /// A command line with the names that are known filled in.
    pub fn fill(&self, line: &str) -> String {
        pieces(line)
            .into_iter()
            .map(|piece| match piece {
                Piece::Name(name) => self.0.get(name).cloned().unwrap_or_else(|| format!("${name}")),
                Piece::Time => "<time>".to_owned(),
                Piece::Millis => "<ms>".to_owned(),
                Piece::Literal(text) => text.to_owned(),
            })
            .collect()
    }

    /// Matches a print against an expectation; names met for the first time are bound. On a mismatch answers both,
    /// line by line, for people to compare.
    pub fn check(&mut self, expected: &str, actual: &str) -> Result<(), String> {
        let lines = |text: &str| text.lines().map(|l| l.trim_end().to_owned()).collect::<Vec<_>>();
        let (expected, actual) = (lines(expected), lines(actual));
        let mut report = String::new();
        let mut good = expected.len() == actual.len();
        for index in 0..expected.len().max(actual.len()) {
            match (expected.get(index), actual.get(index)) {
                (Some(e), Some(a)) if self.check_line(e, a) => {
                    writeln!(report, "    {a}").expect("a String takes it");
                }
                (e, a) => {
                    good = false;
                    if let Some(e) = e {
                        writeln!(report, "  - {}", self.fill(e)).expect("a String takes it");
                    }
                    if let Some(a) = a {
                        writeln!(report, "  + {a}").expect("a String takes it");
                    }
                }
            }
        }
        if good { Ok(()) } else { Err(report) }
    }

    fn check_line(&mut self, expected: &str, actual: &str) -> bool {
        let mut bound = self.0.clone();
        let mut rest = actual;
        for piece in pieces(expected) {
            let taken = match piece {
                Piece::Literal(text) => rest.starts_with(text).then_some(text.len()),
                Piece::Time => time_length(rest),
                Piece::Millis => Some(rest.chars().take_while(char::is_ascii_digit).count()).filter(|n| *n > 0),
                Piece::Name(name) => match bound.get(name) {
                    Some(value) => rest.starts_with(value.as_str()).then_some(value.len()),
                    None => {
                        let length = rest.chars().take_while(char::is_ascii_alphanumeric).count();
                        bound.insert(name.to_owned(), rest[..length].to_owned());
                        Some(length).filter(|n| *n > 0)
                    }
                },
            };
            match taken {
                Some(length) => rest = &rest[length..],
                None => return false,
            }
        }
        if rest.is_empty() {
            self.0 = bound;
        }
        rest.is_empty()
    }
}

/// The shape of a time: `0` stands for a digit.
const TIME: &str = "0000-00-00T00:00:00.000Z";

/// That of one in an export, with microseconds.
const EXACT_TIME: &str = "0000-00-00T00:00:00.000000Z";

/// Whether `text` begins with a time in ISO-8601, UTC, with milliseconds.
pub fn is_time(text: &str) -> bool {
    has_shape(text, TIME)
}

/// How long the time is that `text` begins with.
fn time_length(text: &str) -> Option<usize> {
    [TIME, EXACT_TIME].into_iter().find(|shape| has_shape(text, shape)).map(str::len)
}

fn has_shape(text: &str, shape: &str) -> bool {
    text.len() >= shape.len()
        && shape.bytes().zip(text.bytes()).all(|(shape, byte)| match shape {
            b'0' => byte.is_ascii_digit(),
            mark => byte == mark,
        })
}

enum Piece<'a> {
    Literal(&'a str),
    Name(&'a str),
    Time,
    Millis,
}

/// An expectation cut into what it says and what it leaves open.
fn pieces(line: &str) -> Vec<Piece<'_>> {
    let mut found = Vec::new();
    let mut rest = line;
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix("<time>") {
            found.push(Piece::Time);
            rest = after;
        } else if let Some(after) = rest.strip_prefix("<ms>") {
            found.push(Piece::Millis);
            rest = after;
        } else if let Some(name) = rest.strip_prefix('$').map(name_at_start).filter(|n| !n.is_empty()) {
            found.push(Piece::Name(name));
            rest = &rest[1 + name.len()..];
        } else {
            let first = rest.chars().next().map_or(1, char::len_utf8);
            let length = rest[first..].find(['<', '$']).map_or(rest.len(), |at| at + first);
            found.push(Piece::Literal(&rest[..length]));
            rest = &rest[length..];
        }
    }
    found
}

fn name_at_start(text: &str) -> &str {
    let length = text.chars().take_while(char::is_ascii_alphabetic).count();
    &text[..length]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_line_is_split_at_spaces_outside_quotes() {
        let words = split(r#"A "b c" {"pr":77} "\x00\"" ''  d"#);
        assert_eq!(words, [&b"A"[..], b"b c", b"{\"pr\":77}", b"\0\"", b"", b"d"]);
    }

    #[test]
    fn a_name_stands_for_the_same_value_wherever_it_stands_again() {
        let mut bindings = Bindings::default();
        assert!(bindings.check("token $t since <time>", "token 17 since 2025-06-19T10:00:00.000Z").is_ok());
        assert_eq!(bindings.fill("CHECKIN $t"), "CHECKIN 17");
        assert!(bindings.check("(token $t)", "(token 17)").is_ok());
        assert!(bindings.check("(token $t)", "(token 18)").is_err());
        assert!(bindings.check("since <time>", "since yesterday").is_err());
        assert!(bindings.check("one\ntwo", "one").is_err());
    }

    #[test]
    fn nested_replies_are_printed_with_their_numbers() {
        let row = Value::Map(vec![(Value::SimpleString("a".into()), Value::Array(vec![Value::Int(1), Value::Nil]))]);
        assert_eq!(show(&Value::Array(vec![row])), "1) 1# a =>\n      1) (integer) 1\n      2) (nil)");
    }
}
