//! Are there check-ins that were never delivered, or that nobody can read?

use poppo::Spool;

use super::Finding;
use super::redis_cli::quoted;

pub(super) fn judge() -> Option<Finding> {
    look(&Spool::standard()?)
}

/// What is in there. No folder means that nothing was ever left.
fn look(spool: &Spool) -> Option<Finding> {
    if !spool.dir().exists() {
        return None;
    }
    let folder = spool.dir().display().to_string();
    let (waiting, unusable) = match spool.list() {
        Ok((waiting, unusable)) => (waiting.len(), unusable.len()),
        Err(error) => {
            let mend = format!("ls -ld {}", quoted(&folder));
            return Some(Finding::warning("spool", format!("{folder} cannot be read: {error}"), mend));
        }
    };
    Some(if waiting == 0 && unusable == 0 {
        Finding::ok("spool", format!("no check-in waits in {folder}"))
    } else if unusable == 0 {
        let mend = "poppo spool deliver    (a worker on this host does it too, when it begins)".to_owned();
        Finding::warning("spool", format!("check-ins that wait to be delivered in {folder}: {waiting}"), mend)
    } else {
        let message = format!("check-ins in {folder}: {waiting} wait to be delivered, {unusable} cannot be read");
        Finding::warning(
            "spool",
            message,
            "poppo spool list    (it names the files; `poppo spool clean` removes those that were set aside)"
                .to_owned(),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::super::State;
    use super::*;

    #[test]
    fn what_waits_and_what_nobody_can_read_is_counted() -> std::io::Result<()> {
        let folder = tempfile::tempdir()?;
        let spool = Spool::at(folder.path());
        assert_eq!(look(&spool).map(|finding| finding.state), Some(State::Ok));
        let project = folder.path().join("of-some-project");
        std::fs::create_dir(&project)?;
        std::fs::write(project.join("00000000000000000001.json"), "not JSON")?;
        let finding = look(&spool);
        assert!(finding.is_some_and(|finding| finding.state == State::Warning && finding.message.contains("1 cannot")));
        assert_eq!(look(&Spool::at(folder.path().join("nowhere"))), None);
        Ok(())
    }
}
