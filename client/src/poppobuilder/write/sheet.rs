//! A file of JSON that is written entry by entry, under another name until it is whole.

use std::fs::Permissions;
use std::io::{self, BufRead as _, BufWriter, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use serde::Serialize;
use sha2::{Digest as _, Sha256};
use tempfile::NamedTempFile;

/// What the names of files begin with that are not whole yet, and may have been left behind by one who died.
pub(super) const BEGUN: &str = ".poppo-begun-";

/// What is around the entries, and whether they have names.
#[derive(Debug, Clone, Copy)]
pub(super) enum Shape {
    List,
    Map,
    /// The map is a field of the file's.
    Issues,
}

impl Shape {
    fn ends(self) -> (&'static str, &'static str) {
        match self {
            Self::List => ("[", "]"),
            Self::Map => ("{", "}"),
            Self::Issues => ("{\"issues\": {", "}, \"lastSync\": null}"),
        }
    }
}

/// A file that is being written.
#[derive(Debug)]
pub(super) struct Writing {
    shape: Shape,
    writer: BufWriter<NamedTempFile>,
    sum: Sha256,
    bytes: u64,
    entries: u64,
}

/// A file that is whole, and has no name yet.
#[derive(Debug)]
pub(crate) struct Sheet {
    /// The name that it is to have.
    pub(crate) name: String,
    pub(super) file: NamedTempFile,
    /// Of what is in it.
    pub(super) sum: String,
    pub(crate) bytes: u64,
    pub(crate) entries: u64,
}

impl Writing {
    /// In this folder. What becomes of it may be read as any file that is made there: so may what PoppoBuilder writes.
    pub(super) fn begin(folder: &Path, shape: Shape) -> io::Result<Self> {
        let mut new = tempfile::Builder::new();
        let file = new.prefix(BEGUN).permissions(Permissions::from_mode(0o666)).tempfile_in(folder)?;
        let mut writing = Self { shape, writer: BufWriter::new(file), sum: Sha256::new(), bytes: 0, entries: 0 };
        writing.write(shape.ends().0)?;
        Ok(writing)
    }

    /// One more entry, in a line of its own.
    pub(super) fn entry(&mut self, name: Option<&str>, entry: &(impl Serialize + ?Sized)) -> io::Result<()> {
        let mut line = if self.entries == 0 { "\n".to_owned() } else { ",\n".to_owned() };
        if let Some(name) = name {
            line.push_str(&serde_json::to_string(name)?);
            line.push_str(": ");
        }
        line.push_str(&serde_json::to_string(entry)?);
        self.entries += 1;
        self.write(&line)
    }

    /// It is whole.
    pub(super) fn end(mut self, name: &str) -> io::Result<Sheet> {
        let (_, end) = self.shape.ends();
        if self.entries > 0 {
            self.write("\n")?;
        }
        self.write(end)?;
        self.write("\n")?;
        let file = self.writer.into_inner().map_err(io::IntoInnerError::into_error)?;
        let sum = hexadecimal(self.sum);
        Ok(Sheet { name: name.to_owned(), file, sum, bytes: self.bytes, entries: self.entries })
    }

    fn write(&mut self, text: &str) -> io::Result<()> {
        self.sum.update(text);
        self.bytes += text.len() as u64;
        self.writer.write_all(text.as_bytes())
    }
}

impl Sheet {
    /// Where it is until then.
    pub(crate) fn path(&self) -> &Path {
        self.file.path()
    }
}

/// The sum of what a reader gives.
pub(super) fn sum_of(reader: impl io::Read) -> io::Result<String> {
    let (mut reader, mut sum) = (io::BufReader::with_capacity(64 * 1024, reader), Sha256::new());
    loop {
        let bytes = reader.fill_buf()?;
        if bytes.is_empty() {
            return Ok(hexadecimal(sum));
        }
        sum.update(bytes);
        let read = bytes.len();
        reader.consume(read);
    }
}

fn hexadecimal(sum: Sha256) -> String {
    sum.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}
