//! A file that is whole or not there: written under another name, brought to the disk, and renamed.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

/// A file that is being written. Dropped before its end, it leaves nothing behind.
#[derive(Debug)]
pub(crate) enum Whole {
    /// A file that is to have this name.
    File(BufWriter<NamedTempFile>, PathBuf),
    /// What is no file to be replaced: a pipe, a terminal, a device.
    Stream(BufWriter<File>),
    /// Whoever reads this process.
    Stdout(BufWriter<io::Stdout>),
}

impl Whole {
    /// To a file, or to whatever has that name.
    pub(crate) fn to(path: &Path) -> io::Result<Self> {
        Ok(match fs::metadata(path) {
            Ok(there) if !there.is_file() => Self::Stream(BufWriter::new(OpenOptions::new().write(true).open(path)?)),
            _ => {
                // Behind links is the one to replace.
                let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
                Self::File(BufWriter::new(NamedTempFile::new_in(folder(&path))?), path)
            }
        })
    }

    /// To whoever reads this process.
    pub(crate) fn to_stdout() -> Self {
        Self::Stdout(BufWriter::new(io::stdout()))
    }

    /// Then the file has its name, and is on the disk.
    pub(crate) fn finish(self) -> io::Result<()> {
        match self {
            Self::File(writer, path) => {
                let file = writer.into_inner().map_err(io::IntoInnerError::into_error)?;
                file.as_file().sync_all()?;
                file.persist(&path).map_err(|error| error.error)?;
                File::open(folder(&path))?.sync_all()
            }
            Self::Stream(mut writer) => writer.flush(),
            Self::Stdout(mut writer) => writer.flush(),
        }
    }

    fn writer(&mut self) -> &mut dyn Write {
        match self {
            Self::File(writer, _) => writer,
            Self::Stream(writer) => writer,
            Self::Stdout(writer) => writer,
        }
    }
}

impl Write for Whole {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.writer().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer().flush()
    }
}

fn folder(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}
