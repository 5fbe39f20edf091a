//! What is logged: on stderr, for people or as JSON lines, as much as `RUST_LOG` says.

use std::io::IsTerminal as _;

use serde::Deserialize;
use tracing_subscriber::EnvFilter;

use crate::exit::{Failure, USAGE};

/// In which form lines are written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Form {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// What a daemon logs unless `RUST_LOG` says otherwise: our own from `info` on, others' from `warn` on.
pub(crate) const USUAL: &str = "warn,poppo=info";

/// From now on, what is traced is written: as much as `RUST_LOG` says, else as `usual` does.
pub(crate) fn begin(form: Form, usual: &str) -> Result<(), Failure> {
    let wanted = std::env::var("RUST_LOG").ok().filter(|wanted| !wanted.is_empty());
    let filter = EnvFilter::try_new(wanted.as_deref().unwrap_or(usual))
        .map_err(|error| Failure::new(USAGE, "USAGE", format!("RUST_LOG cannot be used: {error}")))?;
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // Whoever set up a log before is the one who reads it.
    drop(match form {
        Form::Text => {
            let colour = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|no| no.is_empty());
            log.with_ansi(colour).with_target(false).try_init()
        }
        Form::Json => log.json().flatten_event(true).with_target(false).try_init(),
    });
    Ok(())
}
