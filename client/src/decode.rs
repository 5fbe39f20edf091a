//! From the server's values to Rust's. Records are maps in RESP3 and flat arrays in RESP2; both are read here, so that
//! nothing else needs to know which was spoken.

use redis::Value;
use serde::Serialize as _;

use crate::types::{IssueNumber, Timestamp, Token};

/// Why an answer was not understood.
pub(crate) type Misread = String;

/// A record's fields, taken out one by one. What nobody takes is of a newer server and left alone.
pub(crate) struct Fields(Vec<(String, Value)>);

impl Fields {
    /// From a RESP3 map or a RESP2 flat array.
    pub(crate) fn new(value: Value) -> Result<Self, Misread> {
        let pairs = match value {
            Value::Map(pairs) => pairs,
            Value::Array(flat) if flat.len().is_multiple_of(2) => {
                let mut flat = flat.into_iter();
                let mut pairs = Vec::new();
                while let (Some(name), Some(value)) = (flat.next(), flat.next()) {
                    pairs.push((name, value));
                }
                pairs
            }
            other => return Err(expected("a map", &other)),
        };
        pairs.into_iter().map(|(name, value)| Ok((text(name)?, value))).collect::<Result<_, _>>().map(Self)
    }

    /// The names and values that are left, in the server's order.
    pub(crate) fn into_pairs(self) -> Vec<(String, Value)> {
        self.0
    }

    /// The field's value; null counts as not there.
    pub(crate) fn take(&mut self, name: &str) -> Option<Value> {
        let place = self.0.iter().position(|(found, _)| found == name)?;
        match self.0.swap_remove(place).1 {
            Value::Nil => None,
            value => Some(value),
        }
    }

    /// The field read by `read`, where it is there.
    pub(crate) fn optional<T>(
        &mut self,
        name: &str,
        read: impl FnOnce(Value) -> Result<T, Misread>,
    ) -> Result<Option<T>, Misread> {
        self.take(name).map(read).transpose().map_err(|error| format!("{name}: {error}"))
    }

    /// The field read by `read`, which must be there.
    pub(crate) fn required<T>(
        &mut self,
        name: &str,
        read: impl FnOnce(Value) -> Result<T, Misread>,
    ) -> Result<T, Misread> {
        self.optional(name, read)?.ok_or_else(|| format!("{name} is missing"))
    }
}

/// A text, however it was sent.
pub(crate) fn text(value: Value) -> Result<String, Misread> {
    match value {
        Value::BulkString(bytes) => String::from_utf8(bytes).map_err(|_| "text is not UTF-8".to_owned()),
        Value::SimpleString(text) | Value::VerbatimString { text, .. } => Ok(text),
        Value::Okay => Ok("OK".to_owned()),
        Value::Int(number) => Ok(number.to_string()),
        other => Err(expected("a text", &other)),
    }
}

/// A text, however it was sent; what is no UTF-8 is shown as well as it can be.
pub(crate) fn lossy(value: Value) -> Result<String, Misread> {
    match value {
        Value::BulkString(bytes) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
        other => text(other),
    }
}

/// A number that is not negative, also where it was sent as text.
pub(crate) fn number(value: Value) -> Result<u64, Misread> {
    match value {
        Value::Int(number) => u64::try_from(number).map_err(|_| format!("{number} is negative")),
        value => text(value)?.parse().map_err(|_| "a number was expected".to_owned()),
    }
}

/// A number that fits 32 bits, such as a PID.
pub(crate) fn small_number(value: Value) -> Result<u32, Misread> {
    number(value)?.try_into().map_err(|_| "the number is too large".to_owned())
}

/// One of a known set of words.
pub(crate) fn word<T: std::str::FromStr<Err: std::fmt::Display>>(value: Value) -> Result<T, Misread> {
    text(value)?.parse().map_err(|error: T::Err| error.to_string())
}

/// An issue's number.
pub(crate) fn issue(value: Value) -> Result<IssueNumber, Misread> {
    IssueNumber::try_from(number(value)?).map_err(|error| error.to_string())
}

/// A fencing token.
pub(crate) fn token(value: Value) -> Result<Token, Misread> {
    Token::try_from(number(value)?).map_err(|error| error.to_string())
}

/// A time.
pub(crate) fn time(value: Value) -> Result<Timestamp, Misread> {
    text(value).map(Timestamp::from)
}

/// A list of what `read` reads.
pub(crate) fn list<T>(value: Value, read: impl FnMut(Value) -> Result<T, Misread>) -> Result<Vec<T>, Misread> {
    match value {
        Value::Array(items) | Value::Set(items) => items.into_iter().map(read).collect(),
        other => Err(expected("a list", &other)),
    }
}

/// 1 is yes.
pub(crate) fn yes(value: Value) -> Result<bool, Misread> {
    Ok(number(value)? > 0)
}

/// Null is nothing, anything else is read.
pub(crate) fn nullable<T>(value: Value, read: impl FnOnce(Value) -> Result<T, Misread>) -> Result<Option<T>, Misread> {
    if value == Value::Nil { Ok(None) } else { read(value).map(Some) }
}

/// JSON text as JSON.
pub(crate) fn json(value: Value) -> Result<serde_json::Value, Misread> {
    Ok(json_or_text(&text(value)?))
}

/// JSON text as JSON; as a JSON string where it is none after all, so that nothing is hidden.
pub(crate) fn json_or_text(text: &str) -> serde_json::Value {
    serde_json::from_str(text).unwrap_or_else(|_| serde_json::Value::String(text.to_owned()))
}

/// JSON text as a part of the document.
pub(crate) fn text_as_json<S: serde::Serializer>(text: &Option<String>, serializer: S) -> Result<S::Ok, S::Error> {
    text.as_deref().map(json_or_text).serialize(serializer)
}

/// Exactly two things.
pub(crate) fn pair(value: Value) -> Result<(Value, Value), Misread> {
    let items = list(value, Ok)?;
    <[Value; 2]>::try_from(items)
        .map(|[first, second]| (first, second))
        .map_err(|items| format!("two values were expected, not {}", items.len()))
}

fn expected(what: &str, found: &Value) -> Misread {
    format!("{what} was expected, not {found:?}")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn bulk(text: &str) -> Value {
        Value::BulkString(text.as_bytes().to_vec())
    }

    #[test]
    fn a_record_reads_the_same_from_resp2_and_resp3() {
        let resp2 = Value::Array(vec![bulk("issue"), Value::Int(7), bulk("host"), Value::Nil]);
        let resp3 = Value::Map(vec![(bulk("issue"), Value::Int(7)), (bulk("host"), Value::Nil)]);
        for record in [resp2, resp3] {
            let mut fields = Fields::new(record).unwrap();
            assert_eq!(fields.required("issue", issue).unwrap().get(), 7);
            assert_eq!(fields.optional("host", text).unwrap(), None);
            assert_eq!(fields.required("token", token).unwrap_err(), "token is missing");
        }
    }

    #[test]
    fn what_is_no_record_is_said_to_be_none() {
        assert!(Fields::new(Value::Int(1)).is_err());
        assert!(Fields::new(Value::Array(vec![Value::Int(1)])).is_err());
    }

    #[test]
    fn numbers_may_come_as_text() {
        assert_eq!(number(bulk("42")), Ok(42));
        assert!(number(bulk("many")).is_err());
        assert!(number(Value::Int(-1)).is_err());
    }
}
