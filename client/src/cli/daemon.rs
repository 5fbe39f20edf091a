//! `poppo daemon`: what runs beside the workers.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use tokio_util::sync::CancellationToken;

use crate::cli::Context;
use crate::daemon::config::{Config, DEFAULT_FILE};
use crate::daemon::{self, log};
use crate::discover::{self, Patience};
use crate::exit::Failure;
use crate::process::Stops;

/// Watch this host's workers, repair orphans, and keep GitHub in step, until TERM or Ctrl-C
///
/// One daemon runs on each host with workers, for any number of projects. It sees at once when a worker dies, and gives its
/// issue back to the others; it keeps the labels on GitHub as the issues stand, and makes tasks of new issues and comments;
/// it answers programs that speak the older protocol, and keeps the older keys as a view. Each of these duties can be
/// switched off. A crash of the daemon at any moment loses nothing: all it knows is on the server.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Without --config, poppo.toml in this folder is read where there is one. Environment variables go over the
file, such as POPPO_GITHUB_TOKEN over `token` of [github]; poppo.toml.example names them all.

RUST_LOG says how much is logged, such as RUST_LOG=poppo=debug.

Example:
  $ poppo daemon --config poppo.toml
  $ curl -s http://127.0.0.1:8787/readyz | jq")]
pub(crate) struct Args {
    /// The configuration
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,

    /// Check the configuration, and end
    #[arg(long)]
    check: bool,

    /// The form of the log [default: text]
    #[arg(long, value_enum, value_name = "FORM")]
    log: Option<log::Form>,
}

pub(crate) async fn run(args: Args, context: &Context) -> Result<ExitCode, Failure> {
    let mut stops = Stops::listen()?;
    let file = args.config.or_else(|| Some(PathBuf::from(DEFAULT_FILE)).filter(|file| file.is_file()));
    let config = Config::load(file.as_deref(), |name| std::env::var(name).ok())?;
    if args.check {
        let name = file.as_deref().map_or_else(|| "the configuration".into(), Path::to_string_lossy);
        context.out.say(&serde_json::json!({ "ok": true }), &format!("{name} can be used"))?;
        return Ok(ExitCode::SUCCESS);
    }
    log::begin(args.log.unwrap_or(config.log), log::USUAL)?;
    let url = context.url.clone().or_else(|| config.url.as_ref().map(|url| url.reveal().to_owned()));
    let stop = CancellationToken::new();
    let client = tokio::select! {
        client = discover::wait_for(Patience::Endless, async || discover::connect(url.as_deref()).await) => client?,
        _ = stops.next() => return Ok(ExitCode::SUCCESS),
    };
    let ending = async {
        stops.next().await;
        stop.cancel();
        // A second signal is meant.
        stops.next().await;
    };
    tokio::select! {
        () = daemon::run(config, client, stop.clone()) => {}
        () = ending => {}
    }
    Ok(ExitCode::SUCCESS)
}
