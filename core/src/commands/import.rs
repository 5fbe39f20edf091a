//! `POPPO.IMPORT`: see `docs/commands.md`.

use crate::snapshot::LONGEST_PIECE;
use crate::{MovedPiece, Now, Project, Refusal};

use super::args::{Args, Bad};
use super::docs::{Access, Arg, Doc};
use super::reply::Map;
use super::{Answered, Write};

/// See the module.
#[derive(Debug)]
pub struct Command;

impl Write for Command {
    type Request<'a> = MovedPiece;

    const DOC: Doc = Doc {
        name: "POPPO.IMPORT",
        name_c: c"POPPO.IMPORT",
        since: "0.3.0",
        event: c"poppo.import",
        summary: "Merges a piece of what POPPO.EXPORT answered; never touches a live lease.",
        complexity: "O(n log N) where n is the number of entries and N that of the project's records",
        arity: -3,
        access: Access::Insert,
        categories: c"write slow",
        args: &[Arg::text("json")],
    };
    const POSITIONAL: usize = 1;
    const LONGEST: usize = LONGEST_PIECE;

    fn parse<'a>(args: &mut Args<'a, impl AsRef<[u8]>>) -> Result<MovedPiece, Bad> {
        let json = args.positional("json", Ok)?;
        args.end()?;
        let text = str::from_utf8(json).map_err(|_| Bad("json must be UTF-8".to_owned()))?;
        MovedPiece::parse(text).map_err(|bad| Bad(format!("json: {bad}")))
    }

    fn creates(_request: &MovedPiece) -> bool {
        true
    }

    fn apply(project: &mut Project, now: Now, request: &MovedPiece) -> Result<Answered, Refusal> {
        let (imported, effect) = project.import(now, request);
        let counts = Map::default()
            .with("issues", imported.issues)
            .with("orphans", imported.orphans)
            .with("tasks", imported.tasks)
            .with("dead", imported.dead)
            .with("finished", imported.finished)
            .with("settings", imported.settings)
            .with("unchanged", imported.unchanged)
            .with("kept", imported.kept);
        Ok(Answered::new(counts, effect))
    }
}
