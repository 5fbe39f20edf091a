//! JSON for people: a record on each line, and nothing said of what is null.
//!
//! A file of projects and the lines of an export are written so.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::ser::{CharEscape, Formatter, Serializer};

/// The text of a document, without a line's end behind it. Down to a depth of `lines` each value has its own line; with 0
/// the whole is one line.
///
/// # Errors
/// Where the document cannot be JSON.
pub fn text(document: &impl Serialize, lines: usize) -> Result<String, serde_json::Error> {
    let mut text = Vec::new();
    let formatter = Lines { lines, ..Lines::default() };
    document.serialize(&mut Serializer::with_formatter(&mut text, formatter))?;
    String::from_utf8(text).map_err(serde::ser::Error::custom)
}

/// Writes a field's name only once it is known that its value is not null.
#[derive(Default)]
struct Lines {
    /// How deep values have lines of their own.
    lines: usize,
    /// Of each list or object that is open, whether something is in it.
    open: Vec<bool>,
    /// The name of a field, with its quotes, while its value is not known.
    name: Option<Vec<u8>>,
    /// Whether it is the name that is being written.
    in_name: bool,
}

impl Lines {
    /// In front of a value within a list or an object: what separates it from the last one, and its name.
    fn begin<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        if self.in_name {
            return Ok(());
        }
        if let Some(name) = self.name.take() {
            self.separate(writer)?;
            writer.write_all(&name)?;
            writer.write_all(if self.open.len() <= self.lines { b": " } else { b":" })?;
        }
        Ok(())
    }

    fn separate<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        let depth = self.open.len();
        if let Some(filled) = self.open.last_mut()
            && std::mem::replace(filled, true)
        {
            writer.write_all(b",")?;
        }
        self.new_line(writer, depth)
    }

    fn new_line<W: ?Sized + Write>(&self, writer: &mut W, depth: usize) -> io::Result<()> {
        if self.open.len() > self.lines {
            return Ok(());
        }
        writer.write_all(b"\n")?;
        (0..depth).try_for_each(|_| writer.write_all(b" "))
    }

    /// Writes a part of a value, or of a name that is not written yet.
    fn put<W: ?Sized + Write>(&mut self, writer: &mut W, bytes: &[u8]) -> io::Result<()> {
        match &mut self.name {
            Some(name) if self.in_name => {
                name.extend_from_slice(bytes);
                Ok(())
            }
            _ => writer.write_all(bytes),
        }
    }

    fn close<W: ?Sized + Write>(&mut self, writer: &mut W, bracket: &[u8]) -> io::Result<()> {
        let depth = self.open.len().saturating_sub(1);
        if self.open.last() == Some(&true) {
            self.new_line(writer, depth)?;
        }
        self.open.pop();
        writer.write_all(bracket)
    }
}

impl Formatter for Lines {
    fn write_null<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        // In an object it is left out, name and all; in a list its place counts.
        if self.name.take().is_some() { Ok(()) } else { writer.write_all(b"null") }
    }

    fn write_bool<W: ?Sized + Write>(&mut self, writer: &mut W, value: bool) -> io::Result<()> {
        self.begin(writer)?;
        self.put(writer, if value { b"true" } else { b"false" })
    }

    fn write_u8<W: ?Sized + Write>(&mut self, writer: &mut W, value: u8) -> io::Result<()> {
        self.write_u64(writer, value.into())
    }

    fn write_u16<W: ?Sized + Write>(&mut self, writer: &mut W, value: u16) -> io::Result<()> {
        self.write_u64(writer, value.into())
    }

    fn write_u32<W: ?Sized + Write>(&mut self, writer: &mut W, value: u32) -> io::Result<()> {
        self.write_u64(writer, value.into())
    }

    fn write_u64<W: ?Sized + Write>(&mut self, writer: &mut W, value: u64) -> io::Result<()> {
        self.begin(writer)?;
        self.put(writer, value.to_string().as_bytes())
    }

    /// A value that is JSON already. It is written even where it is null.
    fn write_raw_fragment<W: ?Sized + Write>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()> {
        self.begin(writer)?;
        self.put(writer, fragment.as_bytes())
    }

    fn begin_string<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.begin(writer)?;
        self.put(writer, b"\"")
    }

    fn end_string<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.put(writer, b"\"")
    }

    fn write_string_fragment<W: ?Sized + Write>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()> {
        self.put(writer, fragment.as_bytes())
    }

    fn write_char_escape<W: ?Sized + Write>(&mut self, writer: &mut W, escape: CharEscape) -> io::Result<()> {
        let mut escaped = Vec::new();
        serde_json::ser::CompactFormatter.write_char_escape(&mut escaped, escape)?;
        self.put(writer, &escaped)
    }

    fn begin_array<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.begin(writer)?;
        self.open.push(false);
        writer.write_all(b"[")
    }

    fn end_array<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.close(writer, b"]")
    }

    fn begin_array_value<W: ?Sized + Write>(&mut self, writer: &mut W, _first: bool) -> io::Result<()> {
        self.separate(writer)
    }

    fn begin_object<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.begin(writer)?;
        self.open.push(false);
        writer.write_all(b"{")
    }

    fn end_object<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.close(writer, b"}")
    }

    fn begin_object_key<W: ?Sized + Write>(&mut self, _writer: &mut W, _first: bool) -> io::Result<()> {
        (self.name, self.in_name) = (Some(Vec::new()), true);
        Ok(())
    }

    fn end_object_key<W: ?Sized + Write>(&mut self, _writer: &mut W) -> io::Result<()> {
        self.in_name = false;
        Ok(())
    }

    fn begin_object_value<W: ?Sized + Write>(&mut self, _writer: &mut W) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn records_have_a_line_each_and_what_is_null_is_left_out() {
        let document = json!({ "projects": { "a\"b\n": {
            "head": { "created": null, "totals": { "x": 1, "y": [] } },
            "lives": [{ "id": 1, "host": null, "pair": [null, true] }, { "id": 2 }],
            "tasks": [],
        } } });
        let people = text(&document, 4).unwrap();
        let expected = r#"{
 "projects": {
  "a\"b\n": {
   "head": {
    "totals": {"x":1,"y":[]}
   },
   "lives": [
    {"id":1,"pair":[null,true]},
    {"id":2}
   ],
   "tasks": []
  }
 }
}"#;
        assert_eq!(people, expected);
        let line = r#"{"projects":{"a\"b\n":{"head":{"totals":{"x":1,"y":[]}},"lives":[{"id":1,"pair":[null,true]},{"id":2}],"tasks":[]}}}"#;
        assert_eq!(text(&document, 0).unwrap(), line);
    }
}
