//! Are there check-ins that were never delivered? A worker that could not reach the server leaves each as a file in a
//! folder on its host: POPPO_SPOOL, else `poppo/spool` where the system keeps state.

use std::io;
use std::path::{Path, PathBuf};

use super::Finding;
use super::redis_cli::quoted;

pub(super) fn judge() -> Option<Finding> {
    let folder = folder(|name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from))?;
    look(&folder)
}

/// Where they are, by what the environment says.
fn folder(variable: impl Fn(&str) -> Option<PathBuf>) -> Option<PathBuf> {
    variable("POPPO_SPOOL").or_else(|| {
        let state = variable("XDG_STATE_HOME").or_else(|| variable("HOME").map(|home| home.join(".local/state")))?;
        Some(state.join("poppo/spool"))
    })
}

/// What is in there. No folder means that nothing was ever left.
fn look(folder: &Path) -> Option<Finding> {
    let shown = folder.display();
    match waiting(folder) {
        Ok(0) => Some(Finding::ok("spool", format!("no check-in waits in {shown}"))),
        Ok(count) => Some(Finding::warning(
            "spool",
            format!("check-ins that wait to be delivered in {shown}: {count}"),
            format!(
                "ls -l {}    (they are delivered when a worker on this host reaches the server)",
                quoted(&shown.to_string())
            ),
        )),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => Some(Finding::warning(
            "spool",
            format!("{shown} cannot be read: {error}"),
            format!("ls -ld {}", quoted(&shown.to_string())),
        )),
    }
}

/// How many there are. Names that begin with a dot are in the making.
fn waiting(folder: &Path) -> io::Result<usize> {
    let mut count = 0;
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let is_hidden = entry.file_name().as_encoded_bytes().starts_with(b".");
        count += usize::from(!is_hidden && entry.file_type()?.is_file());
    }
    Ok(count)
}

#[cfg(test)]
mod tests {
    use super::super::State;
    use super::*;

    #[test]
    fn the_folder_is_the_named_one_or_the_usual() {
        let only = |set: &'static str| move |name: &str| (name == set).then(|| PathBuf::from("/x"));
        assert_eq!(folder(only("POPPO_SPOOL")), Some("/x".into()));
        assert_eq!(folder(only("XDG_STATE_HOME")), Some("/x/poppo/spool".into()));
        assert_eq!(folder(only("HOME")), Some("/x/.local/state/poppo/spool".into()));
        assert_eq!(folder(only("nothing")), None);
    }

    #[test]
    fn check_ins_that_wait_are_counted() -> io::Result<()> {
        let folder = tempfile::tempdir()?;
        assert_eq!(look(folder.path()).map(|finding| finding.state), Some(State::Ok));
        std::fs::write(folder.path().join("one.json"), "{}")?;
        std::fs::write(folder.path().join(".two.json"), "{}")?;
        let finding = look(folder.path());
        assert!(finding.is_some_and(|finding| finding.state == State::Warning && finding.message.ends_with(": 1")));
        assert_eq!(look(&folder.path().join("nowhere")), None);
        Ok(())
    }
}
