//! A file of lines that is whole or not there: written under another name, brought to the disk, and renamed.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use serde_json::Value;
use tempfile::NamedTempFile;

use super::lines::{End, Last};

/// A backup that is being written. Dropped before its end, it leaves nothing behind.
#[derive(Debug)]
pub(crate) struct Backup {
    to: To,
    entries: u64,
    bytes: u64,
}

#[derive(Debug)]
enum To {
    /// A file that is to have this name.
    File(BufWriter<NamedTempFile>, PathBuf),
    /// What is no file to be replaced: a pipe, a terminal, a device.
    Stream(BufWriter<File>),
    Stdout(BufWriter<io::Stdout>),
}

impl Backup {
    /// To a file, or to whatever has that name.
    pub(crate) fn to(path: &Path) -> io::Result<Self> {
        let to = match fs::metadata(path) {
            Ok(there) if !there.is_file() => To::Stream(BufWriter::new(OpenOptions::new().write(true).open(path)?)),
            _ => {
                // Behind links is the one to replace.
                let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
                To::File(BufWriter::new(NamedTempFile::new_in(folder(&path))?), path)
            }
        };
        Ok(Self { to, entries: 0, bytes: 0 })
    }

    /// To whoever reads this process.
    pub(crate) fn to_stdout() -> Self {
        Self { to: To::Stdout(BufWriter::new(io::stdout())), entries: 0, bytes: 0 }
    }

    /// The first line: what the others are, and whose.
    pub(crate) fn begin(&mut self, header: &str, project: &str) -> io::Result<()> {
        let mut header: Value = serde_json::from_str(header)?;
        if let Some(fields) = header.get_mut("export").and_then(Value::as_object_mut) {
            fields.insert("project".to_owned(), project.into());
        }
        self.line(&header.to_string())
    }

    /// Some entries.
    pub(crate) fn add(&mut self, lines: &[String]) -> io::Result<()> {
        self.entries += lines.len() as u64;
        lines.iter().try_for_each(|line| self.line(line))
    }

    /// The last line; then the file has its name, and is on the disk. Answers how many entries it has, and how many bytes.
    pub(crate) fn finish(mut self) -> io::Result<(u64, u64)> {
        let last = Last { end: End { entries: self.entries } };
        self.line(&serde_json::to_string(&last)?)?;
        let written = (self.entries, self.bytes);
        match self.to {
            To::File(writer, path) => {
                let file = writer.into_inner().map_err(io::IntoInnerError::into_error)?;
                file.as_file().sync_all()?;
                file.persist(&path).map_err(|error| error.error)?;
                File::open(folder(&path))?.sync_all()?;
            }
            To::Stream(mut writer) => writer.flush()?,
            To::Stdout(mut writer) => writer.flush()?,
        }
        Ok(written)
    }

    fn line(&mut self, line: &str) -> io::Result<()> {
        self.bytes += line.len() as u64 + 1;
        let writer: &mut dyn Write = match &mut self.to {
            To::File(writer, _) => writer,
            To::Stream(writer) => writer,
            To::Stdout(writer) => writer,
        };
        writer.write_all(line.as_bytes())?;
        writer.write_all(b"\n")
    }
}

fn folder(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_backup_is_there_when_it_is_whole_and_dropped_before_it_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("backup.jsonl");
        let count = || fs::read_dir(folder.path()).unwrap().count();
        let begun = || {
            let mut backup = Backup::to(&path).unwrap();
            backup.begin("{\"export\":{\"version\":1}}", "p").unwrap();
            backup.add(&["{}".to_owned()]).unwrap();
            backup
        };
        let backup = begun();
        assert!(!path.exists() && count() == 1);
        drop(backup);
        assert_eq!(count(), 0);
        fs::write(&path, "older").unwrap();
        drop(begun());
        assert_eq!(fs::read_to_string(&path).unwrap(), "older");
        let (entries, bytes) = begun().finish().unwrap();
        let text = fs::read_to_string(&path).unwrap();
        assert_eq!(text, "{\"export\":{\"project\":\"p\",\"version\":1}}\n{}\n{\"end\":{\"entries\":1}}\n");
        assert_eq!((entries, bytes, count()), (1, text.len() as u64, 1));
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600, "it is its owner's");
    }
}
