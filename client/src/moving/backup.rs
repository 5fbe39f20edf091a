//! A file of lines that is whole or not there.

use std::io::{self, Write as _};
use std::path::Path;

use serde_json::Value;

use super::lines::{End, Last};
use super::whole::Whole;

/// A backup that is being written. Dropped before its end, it leaves nothing behind.
#[derive(Debug)]
pub(crate) struct Backup {
    to: Whole,
    entries: u64,
    bytes: u64,
}

impl Backup {
    /// To a file, or to whatever has that name.
    pub(crate) fn to(path: &Path) -> io::Result<Self> {
        Ok(Self { to: Whole::to(path)?, entries: 0, bytes: 0 })
    }

    /// To whoever reads this process.
    pub(crate) fn to_stdout() -> Self {
        Self { to: Whole::to_stdout(), entries: 0, bytes: 0 }
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
        self.to.finish()?;
        Ok((self.entries, self.bytes))
    }

    fn line(&mut self, line: &str) -> io::Result<()> {
        self.bytes += line.len() as u64 + 1;
        self.to.write_all(line.as_bytes())?;
        self.to.write_all(b"\n")
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::fs;
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
