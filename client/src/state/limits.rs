//! What a namespace, a name and a value may be. Whoever writes with HSET from elsewhere is not held to it.

use serde_json::Value;

use crate::Error;

/// The longest name of a namespace, in bytes.
pub(crate) const NAMESPACE: usize = 64;
/// The longest name of a value, in bytes.
pub(crate) const NAME: usize = 512;
/// The longest value as JSON text without blanks, in bytes.
pub(crate) const VALUE: usize = 1 << 20;
/// How deep lists and objects within a value may be. JSON parsers give up at 128, and a file has more around it.
pub(crate) const DEPTH: usize = 100;
/// How many values a namespace may have.
pub(crate) const VALUES: usize = 100_000;
/// How many conditions and writes a transaction may have, together.
pub(crate) const STEPS: usize = 128;
/// How long the names and texts of a transaction may be, together, in bytes.
pub(crate) const TRANSACTION: usize = 8 << 20;

/// Checks the name of a namespace.
pub(crate) fn namespace(text: &str) -> Result<(), Error> {
    let is_fine = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if !text.is_empty() && text.len() <= NAMESPACE && text.chars().all(is_fine) {
        return Ok(());
    }
    Err(Error::BadArgument(format!(
        "the namespace must be 1 to {NAMESPACE} letters, digits, -, _ or . (ASCII), not {}",
        shown(text)
    )))
}

/// Checks the name of a value.
pub(crate) fn name(text: &str) -> Result<(), Error> {
    if !text.is_empty() && text.len() <= NAME && !text.chars().any(char::is_control) {
        return Ok(());
    }
    Err(Error::BadArgument(format!("a name must be 1 to {NAME} bytes without control characters, not {}", shown(text))))
}

/// Checks a value, and answers its text without blanks, in which it is stored.
pub(crate) fn value(name: &str, text: &str) -> Result<String, Error> {
    // What cannot be read here, other readers choke on, too.
    let value = serde_json::from_str::<Value>(text)
        .map_err(|error| Error::BadArgument(format!("the value of {} must be JSON: {error}", shown(name))))?;
    if depth(&value) > DEPTH {
        let message = format!("the value of {} must be at most {DEPTH} lists and objects deep", shown(name));
        return Err(Error::BadArgument(message));
    }
    let text = compact(text);
    if text.len() > VALUE {
        return Err(Error::BadArgument(format!(
            "the value of {} must be at most {VALUE} bytes of JSON, not {}",
            shown(name),
            text.len()
        )));
    }
    Ok(text)
}

/// How many lists and objects are around what is innermost.
fn depth(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or_default(),
        Value::Object(fields) => 1 + fields.values().map(depth).max().unwrap_or_default(),
        _ => 0,
    }
}

/// JSON without the blanks between its parts. Nothing else is changed: numbers keep their digits, and fields their order.
pub(crate) fn compact(text: &str) -> String {
    let (mut in_string, mut is_escaped) = (false, false);
    text.chars()
        .filter(|&c| {
            if !in_string {
                in_string = c == '"';
                return !matches!(c, ' ' | '\t' | '\n' | '\r');
            }
            in_string = is_escaped || c != '"';
            is_escaped = !is_escaped && c == '\\';
            true
        })
        .collect()
}

/// A text that somebody gave, in quotes, on one line, and not too long for a sentence.
fn shown(text: &str) -> String {
    match text.char_indices().nth(80) {
        Some((end, _)) => format!("{:?}… ({} bytes)", text.get(..end).unwrap_or_default(), text.len()),
        None => format!("{text:?}"),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn only_blanks_between_parts_are_left_out() {
        let text = " { \"a b\" : [ 1.0 , 12345678901234567890123 , \"x \\\" y \\\\\" ] ,\n\t\"\" : null } ";
        assert_eq!(compact(text), r#"{"a b":[1.0,12345678901234567890123,"x \" y \\"],"":null}"#);
    }

    #[test]
    fn names_have_limits_and_errors_that_name_them() {
        for fine in ["issues", "a", "My_own-space.2", &"x".repeat(64)] {
            namespace(fine).unwrap();
        }
        for bad in ["", "a:b", "ä", "a b", "../x/", &"x".repeat(65)] {
            assert!(
                namespace(bad).unwrap_err().to_string().starts_with("the namespace must be 1 to 64 letters"),
                "{bad}"
            );
        }
        for fine in ["1", "a:b c/ä", &"x".repeat(512)] {
            name(fine).unwrap();
        }
        for bad in ["", "a\nb", "\u{7f}", &"ä".repeat(257)] {
            assert!(name(bad).unwrap_err().to_string().starts_with("a name must be 1 to 512 bytes"), "{bad}");
        }
    }

    #[test]
    fn a_value_is_json_of_a_mebibyte_at_most() {
        assert_eq!(value("n", " [1, 2] ").unwrap(), "[1,2]");
        for bad in ["", "{", "tru", "'a'", "\"\\ud800\"", "1 2"] {
            let said = value("n", bad).unwrap_err().to_string();
            assert!(said.starts_with("the value of \"n\" must be JSON: "), "{said}");
        }
        let nested = |depth| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        value("n", &nested(100)).unwrap();
        let said = value("n", &nested(101)).unwrap_err().to_string();
        assert_eq!(said, "the value of \"n\" must be at most 100 lists and objects deep");
        let fits = format!("\"{}\"  ", "x".repeat(VALUE - 2));
        value("n", &fits).unwrap();
        let said = value("n", &format!("\"{}\"", "x".repeat(VALUE - 1))).unwrap_err().to_string();
        assert_eq!(said, "the value of \"n\" must be at most 1048576 bytes of JSON, not 1048577");
    }
}
