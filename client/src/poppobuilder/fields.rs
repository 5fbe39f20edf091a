//! The fields of a record as people's files have them: numbers as texts, times in several forms, null everywhere. What had
//! to be changed is noted.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use poppo::IssueNumber;
use poppo_core::{MAX_NAME, MAX_TEXT, Name};
use serde_json::{Map, Value};

/// By how much a time may lie in the future: clocks differ.
const SKEW: Duration = Duration::from_secs(60 * 60);
/// A number below is of seconds, others are of milliseconds: 1973 in one, 5138 in the other.
const MILLISECONDS: u64 = 100_000_000_000;

/// A time in microseconds since 1970.
pub(crate) type Micros = u64;

/// A record's fields that were not asked for yet, and what had to be changed in those that were.
#[derive(Debug, Default)]
pub(crate) struct Fields {
    rest: Map<String, Value>,
    pub(crate) notes: Vec<String>,
    now: Micros,
}

impl Fields {
    /// Of a record that is read at this time.
    pub(crate) fn new(rest: Map<String, Value>, now: SystemTime) -> Self {
        Self { rest, notes: Vec::new(), now: micros(now + SKEW) }
    }

    /// The fields that nobody asked for.
    pub(crate) fn rest(&mut self) -> Map<String, Value> {
        std::mem::take(&mut self.rest)
    }

    pub(crate) fn note(&mut self, note: impl Into<String>) {
        self.notes.push(note.into());
    }

    /// Anything but null.
    pub(crate) fn any(&mut self, name: &str) -> Option<Value> {
        self.rest.remove(name).filter(|value| !value.is_null())
    }

    /// A record of its own.
    pub(crate) fn record(&mut self, name: &str) -> Option<Map<String, Value>> {
        match self.any(name)? {
            Value::Object(record) => Some(record),
            _ => self.left_out(name, "is no record"),
        }
    }

    /// A text that the server takes.
    pub(crate) fn text(&mut self, name: &str) -> Option<String> {
        let text = match self.any(name)? {
            Value::String(text) => text,
            Value::Number(number) => number.to_string(),
            _ => return self.left_out(name, "is no text"),
        };
        let (kept, is_cut) = cut(text);
        if is_cut {
            self.note(format!("{name} is cut to {MAX_TEXT} bytes"));
        }
        Some(kept).filter(|text| !text.is_empty())
    }

    /// A name that the server takes: blanks and others become dashes.
    pub(crate) fn name(&mut self, name: &str) -> Option<String> {
        let text = self.text(name)?;
        let made = as_name(&text);
        if made != text {
            self.note(format!("{name} was no name as Poppo has them"));
        }
        Some(made)
    }

    /// A whole number that is not negative.
    pub(crate) fn integer(&mut self, name: &str) -> Option<u64> {
        let value = self.any(name)?;
        let Some((number, is_text)) = integer(&value) else { return self.left_out(name, "is no whole number") };
        if is_text {
            self.note(format!("{name} was a text"));
        }
        Some(number)
    }

    /// The PID of a process.
    pub(crate) fn pid(&mut self, name: &str) -> Option<u32> {
        let number = self.integer(name)?;
        let pid = u32::try_from(number).ok().filter(|pid| (1..=i32::MAX.unsigned_abs()).contains(pid));
        pid.or_else(|| self.left_out(name, "is no PID"))
    }

    /// An issue.
    pub(crate) fn issue(&mut self, name: &str) -> Option<IssueNumber> {
        let number = self.integer(name)?;
        IssueNumber::try_from(number).ok().or_else(|| self.left_out(name, "is no issue's number"))
    }

    /// A point in time that is not in the future.
    pub(crate) fn time(&mut self, name: &str) -> Option<Micros> {
        let value = self.any(name)?;
        let Some(time) = time(&value) else { return self.left_out(name, "is no time") };
        if time > self.now {
            return self.left_out(name, "lies in the future");
        }
        Some(time)
    }

    fn left_out<T>(&mut self, name: &str, why: &str) -> Option<T> {
        self.note(format!("{name} {why} and is left out"));
        None
    }
}

/// An issue's number as the name of an entry, and whether it was spelled otherwise.
pub(crate) fn issue_named(name: &str) -> Option<(IssueNumber, bool)> {
    let digits = name.trim();
    let digits = digits.strip_prefix('#').or_else(|| digits.strip_prefix("issue-")).unwrap_or(digits);
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    let number: IssueNumber = is_number.then(|| digits.parse::<u64>().ok())??.try_into().ok()?;
    Some((number, number.to_string() != name))
}

/// A text that the server takes, and whether some of it had to go.
pub(crate) fn cut(mut text: String) -> (String, bool) {
    if text.len() <= MAX_TEXT {
        return (text, false);
    }
    shorten(&mut text, MAX_TEXT);
    (text, true)
}

/// Leaves at most so many bytes of a text, and whole characters.
pub(crate) fn shorten(text: &mut String, bytes: usize) {
    let mut left = bytes.min(text.len());
    while !text.is_char_boundary(left) {
        left -= 1;
    }
    text.truncate(left);
}

/// What the server takes as a name.
pub(crate) fn is_name(text: &str) -> bool {
    Name::parse(text.as_bytes()).is_ok()
}

/// A name that is like the text.
fn as_name(text: &str) -> String {
    text.chars().map(|c| if c.is_ascii_graphic() { c } else { '-' }).take(MAX_NAME).collect()
}

/// A whole number, and whether it was written as a text.
pub(crate) fn integer(value: &Value) -> Option<(u64, bool)> {
    match value {
        Value::Number(number) => {
            let whole = number.as_f64().filter(|number| (0.0..9e15).contains(number) && number.fract() == 0.0);
            // Below 2^53 each whole number is itself.
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
            let whole = whole.map(|number| number as u64);
            number.as_u64().or(whole).map(|number| (number, false))
        }
        Value::String(text) => text.trim().parse().ok().map(|number| (number, true)),
        _ => None,
    }
}

/// A time as ISO-8601, or as a number of seconds or milliseconds.
fn time(value: &Value) -> Option<Micros> {
    if let Some((number, _)) = integer(value) {
        let micros = if number < MILLISECONDS { 1_000_000 } else { 1_000 };
        return number.checked_mul(micros);
    }
    let text = value.as_str()?.trim();
    let (text, offset) = match text.len().checked_sub(6).filter(|at| text.is_char_boundary(*at)) {
        Some(at) => offset(text, at),
        None => (text, 0),
    };
    let time = humantime::parse_rfc3339_weak(text).ok()?;
    let seconds = i64::try_from(time.duration_since(UNIX_EPOCH).ok()?.as_micros()).ok()?;
    u64::try_from(seconds.checked_sub(offset)?).ok()
}

/// A time without its offset from UTC, such as `+09:00`, and that in microseconds.
fn offset(text: &str, at: usize) -> (&str, i64) {
    let (before, zone) = text.split_at(at);
    let sign = match zone.chars().next() {
        Some('+') => 1,
        Some('-') => -1,
        _ => return (text, 0),
    };
    let parts = zone.get(1..).and_then(|zone| zone.split_once(':'));
    let parts = parts.and_then(|(hours, minutes)| Some((hours.parse::<i64>().ok()?, minutes.parse::<i64>().ok()?)));
    parts.map_or((text, 0), |(hours, minutes)| (before, sign * (hours * 60 + minutes) * 60_000_000))
}

/// A time in microseconds.
pub(crate) fn micros(time: SystemTime) -> Micros {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(Micros::MAX)
}

/// A time as people and lines of state have it.
pub(crate) fn iso(micros: Micros) -> String {
    humantime::format_rfc3339_micros(UNIX_EPOCH + Duration::from_micros(micros)).to_string()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::*;

    fn fields(record: Value) -> Fields {
        let Value::Object(record) = record else { return Fields::default() };
        Fields::new(record, UNIX_EPOCH + Duration::from_secs(1_800_000_000))
    }

    #[test]
    fn times_are_read_in_all_their_forms() {
        let expected = 1_750_691_639_243_000;
        for form in [
            json!("2025-06-23T15:13:59.243Z"),
            json!("2025-06-23 15:13:59.243"),
            json!("2025-06-24T00:13:59.243+09:00"),
            json!(1_750_691_639_243_u64),
            json!("1750691639243"),
        ] {
            assert_eq!(fields(json!({ "at": form })).time("at"), Some(expected), "{form}");
        }
        assert_eq!(iso(expected), "2025-06-23T15:13:59.243000Z");
        for form in
            [json!("yesterday"), json!(-1), json!("9999-01-01T00:00:00Z"), json!(1e300), json!([]), json!("é+é:é")]
        {
            let mut fields = fields(json!({ "at": form }));
            assert_eq!((fields.time("at"), fields.notes.len()), (None, 1), "{form}");
        }
    }

    #[test]
    fn numbers_are_read_also_where_they_are_texts_and_others_are_noted() {
        let mut read =
            fields(json!({ "a": "12", "b": 12.0, "c": -1, "d": 1e300, "e": null, "f": true, "g": 4_294_967_296_u64 }));
        assert_eq!((read.integer("a"), read.integer("b"), read.notes.len()), (Some(12), Some(12), 1));
        for wrong in ["c", "d", "f"] {
            assert_eq!(read.integer(wrong), None);
        }
        assert_eq!((read.integer("e"), read.integer("h"), read.pid("g"), read.notes.len()), (None, None, None, 5));
    }

    #[test]
    fn issues_are_known_by_their_numbers() {
        let number = |name| issue_named(name).map(|(number, changed)| (number.get(), changed));
        assert_eq!(number("34"), Some((34, false)));
        for (name, is) in [(" 034 ", 34), ("#7", 7), ("issue-9", 9)] {
            assert_eq!(number(name), Some((is, true)));
        }
        for wrong in ["", "0", "-1", "+1", "1.5", "lastSync", "99999999999999999999", "あ"] {
            assert_eq!(number(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_text_is_cut_between_characters() {
        let (text, is_cut) = cut("あ".repeat(30_000));
        assert!(is_cut && text.len() <= MAX_TEXT && text.len() > MAX_TEXT - 3);
        assert_eq!(fields(json!({ "a": "two words" })).name("a").unwrap(), "two-words");
    }
}
