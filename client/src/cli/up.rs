//! `poppo up`: a server of one's own, for as long as the command runs.

use std::path::PathBuf;
use std::process::ExitCode;

use crate::cli::Context;
use crate::discover::DEFAULT_DIR;
use crate::exit::Failure;
use crate::output::Output;
use crate::process::Stops;
use crate::server::{Options, Server};

/// Run a private Redis server with the module loaded, until Ctrl-C
///
/// It listens on a unix socket in its folder that only you can use, and with --port also on 127.0.0.1. Every change is
/// on disk within a second (append-only file). Ctrl-C or TERM stops it cleanly; started again in the same folder,
/// everything is still there. Commands that are called in the folder above find it without --url.
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
    let options = Options { dir: args.dir, port: args.port, module: args.module, redis_server: args.redis_server };
    let mut server = tokio::select! {
        server = Server::start(&options) => server?,
        // Dropping what was started ends it; it had nothing to save yet.
        _ = stops.next() => return Ok(ExitCode::SUCCESS),
    };
    let announced = announce(&server, context.out);
    tokio::select! {
        failure = server.died() => return Err(failure),
        _ = stops.next() => {}
    }
    server.stop().await?;
    // A reader that went away (`poppo up | head -1`) is no reason to go down, nor to fail.
    match announced {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(ExitCode::SUCCESS),
    }
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
