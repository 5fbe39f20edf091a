//! `poppo up`: a server of one's own and the daemon beside it, for as long as the command runs.

use std::path::PathBuf;
use std::process::ExitCode;

use poppo::Client;
use tokio_util::sync::CancellationToken;

use crate::cli::Context;
use crate::daemon::config::{Config, DEFAULT_FILE, LegacyView, ProjectConfig};
use crate::daemon::{self, log};
use crate::discover::DEFAULT_DIR;
use crate::exit::Failure;
use crate::output::Output;
use crate::process::Stops;
use crate::server::{Options, Server};

/// Run a private Redis server with the module loaded, and the daemon beside it, until Ctrl-C
///
/// It listens on a unix socket in its folder that only you can use, and with --port also on 127.0.0.1. Every change is
/// on disk within a second (append-only file). Ctrl-C or TERM stops it cleanly; started again in the same folder,
/// everything is still there. Commands that are called in the folder above find it without --url.
///
/// The daemon gives the issues of dead workers back to the others, and keeps the older key layout as a view; with a
/// poppo.toml it does what that says, see `poppo daemon --help`.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Example:
  $ poppo up &
  $ poppo run 123 -- make test

The module (libpoppo.so) is looked for beside this program, in ../lib, and in the build folder.")]
pub(crate) struct Args {
    /// The folder for data, socket, configuration and log
    #[arg(long, value_name = "DIR", default_value = DEFAULT_DIR)]
    dir: PathBuf,

    /// Listen on this TCP port of 127.0.0.1, too
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    port: Option<u16>,

    /// What the daemon does [default: poppo.toml in this folder, where there is one]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,

    /// Run the server alone
    #[arg(long, conflicts_with = "config")]
    no_daemon: bool,

    /// The module's file [env: POPPO_MODULE]
    #[arg(long, value_name = "PATH")]
    module: Option<PathBuf>,

    /// The redis-server program, 7.0 or newer; looked for in PATH by default
    #[arg(long, value_name = "PATH")]
    redis_server: Option<PathBuf>,
}

pub(crate) async fn run(args: Args, context: &Context) -> Result<ExitCode, Failure> {
    context.refuse_file("up")?;
    // Listened to from the start, so that Ctrl-C during a long load stops the server cleanly, too.
    let mut stops = Stops::listen()?;
    let daemon = if args.no_daemon { None } else { Some(configuration(args.config, context)?) };
    let options = Options { dir: args.dir, port: args.port, module: args.module, redis_server: args.redis_server };
    let mut server = tokio::select! {
        server = Server::start(&options) => server?,
        // Dropping what was started ends it; it had nothing to save yet.
        _ = stops.next() => return Ok(ExitCode::SUCCESS),
    };
    let stop = CancellationToken::new();
    let daemon = match daemon {
        Some(config) => {
            let client = Client::connect(&server.url()).await?;
            Some(tokio::spawn(daemon::run(config, client, stop.clone())))
        }
        None => None,
    };
    let announced = announce(&server, context.out);
    let died = tokio::select! {
        failure = server.died() => Some(failure),
        _ = stops.next() => None,
    };
    // The daemon first: what it is at needs the server.
    stop.cancel();
    if let Some(daemon) = daemon {
        daemon.await.map_err(|error| Failure::failed(format!("the daemon ended badly: {error}")))?;
    }
    match died {
        Some(failure) => return Err(failure),
        None => server.stop().await?,
    }
    // A reader that went away (`poppo up | head -1`) is no reason to go down, nor to fail.
    match announced {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(ExitCode::SUCCESS),
    }
}

/// What the daemon is told: the file, or what suits somebody who has none.
fn configuration(file: Option<PathBuf>, context: &Context) -> Result<Config, Failure> {
    let file = file.or_else(|| Some(PathBuf::from(DEFAULT_FILE)).filter(|file| file.is_file()));
    let mut config = Config::load(file.as_deref(), |name| std::env::var(name).ok())?;
    if file.is_none() {
        config.projects = vec![ProjectConfig { legacy_view: LegacyView::Poppo, ..ProjectConfig::of(&context.project) }];
    }
    // What matters stands in the answer; the rest is for those who ask.
    log::begin(config.log, "warn")?;
    Ok(config)
}

fn announce(server: &Server, out: Output) -> std::io::Result<()> {
    let url = server.url();
    let tcp = server.port.map(|port| format!("redis://127.0.0.1:{port}"));
    if out.json {
        return out.document(&serde_json::json!({
            "url": url, "tcp": tcp, "pid": server.pid(), "dir": server.dir, "module": server.module,
        }));
    }
    out.line("Poppo is up.")?;
    out.line(&format!("  listens on  {url}"))?;
    if let Some(tcp) = tcp {
        out.line(&format!("              {tcp}"))?;
    }
    out.line(&format!("  keeps all   in {}", server.dir.display()))?;
    out.line(&format!("  module      {}", server.module.display()))?;
    out.line("\nIn another terminal:\n")?;
    out.line(&format!("  export POPPO_URL={url}"))?;
    out.line("  poppo run 123 -- make test")?;
    out.line("  poppo list")?;
    out.line("\nCtrl-C stops it; started again in the same folder, everything is still there.")
}
