//! A redis-server of one's own, with the module loaded: found, configured, started, watched and stopped.
//!
//! Its folder holds `redis.conf` (written anew each time), `redis.log`, `data/` (the append-only file), `run/` (the
//! socket), `lock` (held while it runs) and `url` (where it listens, while it does).

use std::env;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use poppo::{Client, Error, unix_url};
use rustix::fs::FlockOperation;
use rustix::process::Signal;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep};

use crate::exit::Failure;
use crate::process;

/// What a socket's path may be long at most: 104 bytes on macOS, 108 on Linux, with the NUL behind it.
const LONGEST_SOCKET_PATH: usize = 100;
/// How often a server that is starting is asked.
const GLANCE: Duration = Duration::from_millis(25);
/// For how long a server may take until it answers anything. Loading its data is not counted.
const START_TIMEOUT: Duration = Duration::from_secs(20);
/// For how long a server may take to write its data and end.
const STOP_TIMEOUT: Duration = Duration::from_secs(60);
/// For how long the server of a `poppo up` that was killed may take to end.
const HANDOVER_TIMEOUT: Duration = Duration::from_secs(10);
/// How many of the log's last lines are shown when a server dies.
const LAST_LINES: usize = 8;

/// What a server is started with.
#[derive(Debug, Clone, Default)]
pub(crate) struct Options {
    /// Its folder.
    pub(crate) dir: PathBuf,
    /// A TCP port on 127.0.0.1, besides the socket.
    pub(crate) port: Option<u16>,
    /// The module; looked for where it is not given.
    pub(crate) module: Option<PathBuf>,
    /// The server's program; looked for in PATH where it is not given.
    pub(crate) redis_server: Option<PathBuf>,
}

/// A running server.
pub(crate) struct Server {
    child: Child,
    /// Locked; redis-server has it open too, so that the lock lasts until both are gone.
    _lock: File,
    pub(crate) dir: PathBuf,
    pub(crate) module: PathBuf,
    pub(crate) port: Option<u16>,
    socket: PathBuf,
    log: PathBuf,
}

impl Server {
    /// Starts a server and waits until it answers.
    pub(crate) async fn start(options: &Options) -> Result<Self, Failure> {
        let module = find_module(options.module.as_deref())?;
        make_private_dir(&options.dir)?;
        let dir = options.dir.canonicalize()?;
        let lock = lock(&dir).await?;
        make_private_dir(&dir.join("data"))?;
        let socket = socket_path(&dir)?;
        let conf = dir.join("redis.conf");
        fs::write(&conf, configuration(&dir, &socket, options.port, &module))?;
        let log = dir.join("redis.log");
        let program = options.redis_server.clone().unwrap_or_else(|| PathBuf::from("redis-server"));
        let child = spawn(&program, &conf, &log, &lock)?;
        let mut server = Self { child, _lock: lock, dir, module, port: options.port, socket, log };
        if let Err(failure) = server.wait_until_it_answers().await {
            server.clean_up();
            return Err(failure);
        }
        fs::write(server.dir.join(URL_FILE), server.url())?;
        Ok(server)
    }

    /// Where it listens.
    pub(crate) fn url(&self) -> String {
        unix_url(&self.socket)
    }

    /// Its PID, while it runs.
    pub(crate) fn pid(&self) -> Option<u32> {
        self.child.id()
    }

    async fn wait_until_it_answers(&mut self) -> Result<(), Failure> {
        let deadline = Instant::now() + START_TIMEOUT;
        let url = self.url();
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Err(self.obituary(&format!("redis-server did not start ({status})")));
            }
            match ping(&url).await {
                Ok(()) => return Ok(()),
                // It is reading its data, which takes as long as it takes.
                Err(Error::Server { code, .. }) if code == "LOADING" => {}
                Err(error) if Instant::now() >= deadline => {
                    return Err(self.obituary(&format!("redis-server does not answer ({error})")));
                }
                Err(_) => {}
            }
            sleep(GLANCE).await;
        }
    }

    /// Waits until it ends without having been asked to.
    pub(crate) async fn died(&mut self) -> Failure {
        let how = match self.child.wait().await {
            Ok(status) => status.to_string(),
            Err(error) => error.to_string(),
        };
        self.clean_up();
        self.obituary(&format!("redis-server ended unexpectedly ({how})"))
    }

    /// Stops it: TERM makes redis-server flush the append-only file and leave.
    pub(crate) async fn stop(mut self) -> Result<(), Failure> {
        if let Some(pid) = self.child.id() {
            process::signal_group(pid, Signal::TERM)?;
        }
        let Ok(status) = tokio::time::timeout(STOP_TIMEOUT, self.child.wait()).await else {
            return Err(self.obituary("redis-server did not stop when it was told to, and was killed"));
        };
        let status = status?;
        self.clean_up();
        if status.success() {
            Ok(())
        } else {
            Err(self.obituary(&format!("redis-server did not stop cleanly ({status})")))
        }
    }

    /// What is only true while it runs.
    fn clean_up(&self) {
        // Each may be gone already, and what stays does no harm: it is written anew at the next start.
        drop(fs::remove_file(self.dir.join(URL_FILE)));
        drop(fs::remove_file(&self.socket));
        if let Some(parent) = self.socket.parent() {
            drop(fs::remove_dir(parent));
        }
    }

    /// A failure with the log's last words.
    fn obituary(&self, what: &str) -> Failure {
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = log.lines().filter(|line| !line.trim().is_empty()).collect();
        let last = lines.get(lines.len().saturating_sub(LAST_LINES)..).unwrap_or_default().join("\n  ");
        Failure::failed(format!("{what}; the end of {}:\n  {last}", self.log.display()))
    }
}

async fn ping(url: &str) -> Result<(), Error> {
    Client::connect(url).await?.ping().await
}

/// The file in a server's folder that says where it listens.
const URL_FILE: &str = "url";

/// Where the server of this folder listens, if one was started there and not stopped cleanly.
pub(crate) fn recorded_url(dir: &Path) -> Option<String> {
    let url = fs::read_to_string(dir.join(URL_FILE)).ok()?;
    Some(url.trim().to_owned()).filter(|url| !url.is_empty())
}

fn spawn(program: &Path, conf: &Path, log: &Path, lock: &File) -> Result<Child, Failure> {
    let words = OpenOptions::new().create(true).append(true).open(log)?;
    let mut command = Command::new(program);
    command.arg(conf).stdin(Stdio::null()).stdout(words.try_clone()?).stderr(words);
    // Ctrl-C in the terminal is for us alone: we then stop the server in good order.
    command.process_group(0).kill_on_drop(true);
    process::die_with_parent(&mut command);
    // The server inherits the lock: after a `kill -9` of ours it is held until the server has written its data, too.
    rustix::io::fcntl_setfd(lock, rustix::io::FdFlags::empty()).map_err(io::Error::from)?;
    let child = command.spawn();
    rustix::io::fcntl_setfd(lock, rustix::io::FdFlags::CLOEXEC).map_err(io::Error::from)?;
    child.map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => Failure::failed(format!(
            "{} was not found: install Redis 7.0 or newer (`apt install redis-server`, `brew install redis`) or name \
             the program with --redis-server",
            program.display()
        )),
        _ => Failure::failed(format!("{} cannot be started: {error}", program.display())),
    })
}

/// Redis's own configuration. Written in full at each start, so that an edited one does not surprise later.
fn configuration(dir: &Path, socket: &Path, port: Option<u16>, module: &Path) -> String {
    let (data, socket, module) = (quoted(&dir.join("data")), quoted(socket), quoted(module));
    let port = port.unwrap_or(0);
    format!(
        "# Written by `poppo up` at every start; changes made here are lost.\n\
         # Only this user, through the socket; with a port, also everybody on this host.\n\
         unixsocket {socket}\n\
         unixsocketperm 700\n\
         port {port}\n\
         bind 127.0.0.1\n\
         protected-mode yes\n\
         \n\
         # Every change is on disk within a second. There is one file to load, so no snapshots beside it.\n\
         dir {data}\n\
         appendonly yes\n\
         appendfsync everysec\n\
         aof-use-rdb-preamble yes\n\
         save \"\"\n\
         \n\
         # Evicting a key would drop a whole project.\n\
         maxmemory-policy noeviction\n\
         \n\
         daemonize no\n\
         loadmodule {module}\n"
    )
}

/// A path as redis.conf takes it.
fn quoted(path: &Path) -> String {
    let text = path.to_string_lossy().replace('\\', "\\\\").replace('"', "\\\"");
    format!("\"{text}\"")
}

/// The socket's path: in the folder, or in a private one with a short name where that would be too long.
fn socket_path(dir: &Path) -> io::Result<PathBuf> {
    let here = dir.join("run").join("poppo.sock");
    if here.as_os_str().len() <= LONGEST_SOCKET_PATH {
        make_private_dir(&dir.join("run"))?;
        return Ok(here);
    }
    let only_ours = fs::Permissions::from_mode(0o700);
    let elsewhere = tempfile::Builder::new().prefix("poppo-").permissions(only_ours).tempdir()?.keep();
    let socket = elsewhere.join("poppo.sock");
    if socket.as_os_str().len() <= LONGEST_SOCKET_PATH {
        return Ok(socket);
    }
    fs::remove_dir(elsewhere)?;
    Err(io::Error::other(format!(
        "the socket's path would be longer than {LONGEST_SOCKET_PATH} bytes in {} and in TMPDIR; use a shorter --dir",
        dir.display()
    )))
}

/// A folder that only this user can enter, unless it was there before.
fn make_private_dir(dir: &Path) -> io::Result<()> {
    let named = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", dir.display()));
    if dir.is_dir() {
        return Ok(());
    }
    DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(named)?;
    // The umask may have taken away more than we asked for, never less; this makes it exact.
    fs::set_permissions(dir, fs::Permissions::from_mode(0o700)).map_err(named)
}

/// Takes the folder's lock, or says who has it.
async fn lock(dir: &Path) -> Result<File, Failure> {
    let path = dir.join("lock");
    let mut file = OpenOptions::new().create(true).truncate(false).read(true).write(true).open(&path)?;
    let deadline = Instant::now() + HANDOVER_TIMEOUT;
    while let Err(error) = rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
        if error != rustix::io::Errno::WOULDBLOCK {
            return Err(io::Error::from(error).into());
        }
        let mut holder = String::new();
        file.rewind()?;
        file.read_to_string(&mut holder)?;
        let holder = holder.trim();
        // Its `poppo up` was killed, so its server is on its way out.
        let is_leaving = holder.parse().is_ok_and(|pid| !process::is_alive(pid));
        if !is_leaving || Instant::now() >= deadline {
            return Err(Failure::failed(format!(
                "another `poppo up` (PID {holder}) runs in {}: use that one, stop it, or choose another --dir",
                dir.display()
            )));
        }
        sleep(GLANCE).await;
    }
    file.set_len(0)?;
    file.rewind()?;
    write!(file, "{}", std::process::id())?;
    Ok(file)
}

/// The module's file: the one that was named, else the first that is found near this program.
fn find_module(named: Option<&Path>) -> Result<PathBuf, Failure> {
    let named = named
        .map(Path::to_path_buf)
        .or_else(|| env::var_os("POPPO_MODULE").map(PathBuf::from))
        .filter(|path| !path.as_os_str().is_empty());
    let exe = env::current_exe().and_then(|exe| exe.canonicalize())?;
    let candidates = module_candidates(named, &exe);
    match candidates.iter().find(|candidate| candidate.is_file()) {
        Some(module) => Ok(module.canonicalize()?),
        None => {
            let looked: Vec<String> = candidates.iter().map(|path| path.display().to_string()).collect();
            Err(Failure::failed(format!(
                "the module {} was not found; looked at {}; name it with --module or POPPO_MODULE",
                module_name(),
                looked.join(", ")
            )))
        }
    }
}

/// Where the module may be: beside this program, where a package puts libraries, and in a build folder.
fn module_candidates(named: Option<PathBuf>, exe: &Path) -> Vec<PathBuf> {
    if let Some(named) = named {
        return vec![named];
    }
    // Test programs lie in target/<profile>/deps.
    let beside = exe.parent().map(|dir| if dir.ends_with("deps") { dir.parent().unwrap_or(dir) } else { dir });
    let Some(beside) = beside else { return Vec::new() };
    let mut candidates = vec![beside.join(module_name()), beside.join("deps").join(module_name())];
    if let Some(above) = beside.parent() {
        for folder in ["lib", "release", "debug"] {
            let candidate = above.join(folder).join(module_name());
            if !candidates.contains(&candidate) {
                candidates.push(candidate);
            }
        }
    }
    candidates
}

fn module_name() -> &'static str {
    if cfg!(target_os = "macos") { "libpoppo.dylib" } else { "libpoppo.so" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_named_module_is_the_only_one_that_counts() {
        let named = PathBuf::from("/x/libpoppo.so");
        assert_eq!(module_candidates(Some(named.clone()), Path::new("/t/debug/poppo")), [named]);
    }

    #[test]
    fn the_module_is_looked_for_beside_the_program_first() {
        let candidates = module_candidates(None, Path::new("/t/debug/poppo"));
        assert_eq!(candidates.first(), Some(&Path::new("/t/debug").join(module_name())));
        assert!(candidates.contains(&Path::new("/t/release").join(module_name())));
        assert_eq!(candidates, module_candidates(None, Path::new("/t/debug/deps/poppo-123")));
    }

    #[test]
    fn the_configuration_keeps_strangers_out_and_data_in() {
        let conf = configuration(Path::new("/my \"dir\""), Path::new("/s"), None, Path::new("/m.so"));
        assert!(conf.contains("dir \"/my \\\"dir\\\"/data\"\n"));
        assert!(conf.contains("\nport 0\n"));
        assert!(conf.contains("\nappendonly yes\n"));
        assert!(conf.contains("\nmaxmemory-policy noeviction\n"));
    }

    #[test]
    fn a_folder_that_is_too_deep_gets_a_socket_elsewhere() -> io::Result<()> {
        let temp = tempfile::tempdir()?;
        let deep = temp.path().join("d".repeat(120));
        let socket = socket_path(&deep)?;
        assert!(socket.as_os_str().len() <= LONGEST_SOCKET_PATH);
        assert!(!socket.starts_with(&deep));
        let elsewhere = socket.parent().unwrap_or(&socket);
        assert_eq!(fs::metadata(elsewhere)?.permissions().mode() & 0o777, 0o700);
        fs::remove_dir(elsewhere)
    }

    #[tokio::test]
    async fn a_folder_is_locked_once() -> Result<(), Failure> {
        let temp = tempfile::tempdir()?;
        let first = lock(temp.path()).await?;
        let second = lock(temp.path()).await;
        assert!(second.is_err_and(|failure| failure.message.contains("another `poppo up`")));
        drop(first);
        lock(temp.path()).await?;
        Ok(())
    }
}
