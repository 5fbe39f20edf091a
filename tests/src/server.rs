//! A redis-server of one's own: private directory, ephemeral port, gone at the end of the test.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use tempfile::TempDir;

use crate::artifacts;
use crate::connection::{Connection, Protocol};
use crate::tls::Certificates;
use crate::{DEADLINE, wait_until};

/// How many ports are tried before the harness gives up: another process may take one between choice and use.
const PORT_ATTEMPTS: usize = 10;

/// What a server shall be like; start it with [`Builder::start`].
#[derive(Debug, Clone)]
pub struct Builder {
    module: Option<PathBuf>,
    module_arguments: Vec<String>,
    configuration: Vec<(String, String)>,
    directory: Option<PathBuf>,
    cluster: bool,
    tls: Option<Certificates>,
}

impl Builder {
    /// A line of redis.conf.
    #[must_use]
    pub fn arg(mut self, name: &str, value: impl ToString) -> Self {
        self.configuration.push((name.to_owned(), value.to_string()));
        self
    }

    /// An argument of loadmodule: a name and its value, or anything that should be refused.
    #[must_use]
    pub fn module_arg(mut self, argument: impl ToString) -> Self {
        self.module_arguments.push(argument.to_string());
        self
    }

    /// After a load silence makes orphans at once, without the usual grace.
    #[must_use]
    pub fn no_grace(self) -> Self {
        self.module_arg("restart-grace").module_arg(0)
    }

    /// A plain redis-server.
    #[must_use]
    pub fn without_module(mut self) -> Self {
        self.module = None;
        self
    }

    /// The module built with `fault-injection`: `POPPO.FAULT n` makes the n-th change of the next write panic.
    #[must_use]
    pub fn with_fault_injection(mut self) -> Self {
        self.module = Some(artifacts::module_with_fault_injection().to_owned());
        self
    }

    /// A directory that stays when the server goes, for what a second server should find there.
    #[must_use]
    pub fn dir(mut self, directory: &Path) -> Self {
        self.directory = Some(directory.to_owned());
        self
    }

    /// A node of a cluster, with a port of its own for the bus.
    #[must_use]
    pub fn cluster(mut self) -> Self {
        self.cluster = true;
        self
    }

    /// Speaks TLS, too, at a port of its own.
    #[must_use]
    pub fn tls(mut self, certificates: &Certificates) -> Self {
        self.tls = Some(certificates.clone());
        self
    }

    /// Keeps an AOF: what was acknowledged is on disk, and it is rewritten only when a test says so.
    #[must_use]
    pub fn durable(self) -> Self {
        self.arg("appendonly", "yes").arg("appendfsync", "always").arg("auto-aof-rewrite-percentage", 0)
    }

    /// Starts the server and waits until it answers.
    #[track_caller]
    pub fn start(self) -> Server {
        self.try_start().unwrap_or_else(|log| panic!("redis-server did not start:\n{log}"))
    }

    /// Starts the server, or answers the log of one that would not start.
    pub fn try_start(self) -> Result<Server, String> {
        let temporary = tempfile::Builder::new().prefix("poppo-test-").tempdir().expect("a temporary directory");
        let directory = self.directory.clone().unwrap_or_else(|| temporary.path().to_owned());
        let mut last = String::new();
        for _ in 0..PORT_ATTEMPTS {
            let port = free_port();
            let tls_port = self.tls.as_ref().map(|_| free_port());
            self.write_configuration(&directory, port, tls_port);
            match launch(&directory, port) {
                Ok(child) => {
                    return Ok(Server { child: Some(child), port, tls_port, directory, _temporary: temporary });
                }
                Err(log) if log.contains("Address already in use") => last = log,
                Err(log) => return Err(log),
            }
        }
        Err(last)
    }

    fn write_configuration(&self, directory: &Path, port: u16, tls_port: Option<u16>) {
        let mut lines = vec![
            format!("port {port}"),
            "bind 127.0.0.1".to_owned(),
            "save \"\"".to_owned(),
            "enable-debug-command yes".to_owned(),
            "repl-diskless-sync-delay 0".to_owned(),
            format!("dir \"{}\"", directory.display()),
            format!("logfile \"{}\"", log_file(directory).display()),
        ];
        if let Some(module) = &self.module {
            let arguments = self.module_arguments.join(" ");
            lines.push(format!("loadmodule \"{}\" {arguments}", module.display()));
        }
        if self.cluster {
            // The bus would otherwise take the port plus 10,000, which may be no port at all.
            lines.push("cluster-enabled yes".to_owned());
            lines.push(format!("cluster-port {}", free_port()));
        }
        if let Some((certificates, port)) = self.tls.as_ref().zip(tls_port) {
            lines.extend(certificates.lines(port));
        }
        lines.extend(self.configuration.iter().map(|(name, value)| format!("{name} {value}")));
        std::fs::write(configuration_file(directory), lines.join("\n") + "\n").expect("redis.conf is written");
    }
}

/// A running redis-server. Stopped when dropped; a test that fails shows its log, and a server that crashed fails
/// its test.
#[derive(Debug)]
pub struct Server {
    child: Option<Child>,
    port: u16,
    tls_port: Option<u16>,
    directory: PathBuf,
    _temporary: TempDir,
}

impl Server {
    /// What to start: the module loaded, no persistence, the grace after a load as it is by default.
    pub fn builder() -> Builder {
        Builder { module: Some(artifacts::module().to_owned()), ..Self::plain() }
    }

    /// A plain redis-server; builds nothing.
    pub fn plain() -> Builder {
        Builder {
            module: None,
            module_arguments: Vec::new(),
            configuration: Vec::new(),
            directory: None,
            cluster: false,
            tls: None,
        }
    }

    /// A server for most tests: the module loaded, silence makes orphans without grace.
    #[track_caller]
    pub fn start() -> Self {
        Self::builder().no_grace().start()
    }

    /// A replica of `self` that has caught up with it.
    #[track_caller]
    pub fn replica(&self, builder: Builder) -> Self {
        let port = if builder.tls.is_some() { self.tls_port() } else { self.port };
        let replica = builder.arg("replicaof", format!("127.0.0.1 {port}")).start();
        replica.wait_for_sync();
        replica
    }

    /// Waits until this replica's link to its primary is up.
    #[track_caller]
    pub fn wait_for_sync(&self) {
        let mut connection = self.connect();
        wait_until("the replica is in sync", || connection.info("replication", "master_link_status") == "up");
    }

    /// Waits until everything written here so far has reached all of `replicas`.
    #[track_caller]
    pub fn wait_for_replicas(&self, replicas: &[&Self]) {
        let offset = |server: &Self, field: &str| {
            let offset = server.connect().info("replication", field);
            offset.parse::<u64>().expect("an offset")
        };
        let written = offset(self, "master_repl_offset");
        for replica in replicas {
            wait_until("the replica has read everything", || offset(replica, "slave_repl_offset") >= written);
        }
    }

    /// The port it listens on, on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The port at which it speaks TLS, on 127.0.0.1; for a server of [`Builder::tls`].
    #[track_caller]
    pub fn tls_port(&self) -> u16 {
        self.tls_port.expect("a server that speaks TLS")
    }

    /// The URL that clients take.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Its directory: redis.conf, the log, RDB and AOF files.
    pub fn dir(&self) -> &Path {
        &self.directory
    }

    /// A connection in RESP3.
    #[track_caller]
    pub fn connect(&self) -> Connection {
        self.connect_with(Protocol::Resp3)
    }

    /// A connection in the given protocol.
    #[track_caller]
    pub fn connect_with(&self, protocol: Protocol) -> Connection {
        Connection::open(address(self.port), protocol)
            .unwrap_or_else(|error| panic!("no connection: {error}\n{}", self.log()))
    }

    /// Everything it has logged, over all its lives.
    pub fn log(&self) -> String {
        std::fs::read_to_string(log_file(&self.directory)).unwrap_or_default()
    }

    /// Stops it in an orderly way; `mode` is `SAVE` or `NOSAVE`.
    #[track_caller]
    pub fn shutdown(&mut self, mode: &str) {
        // The answer to a SHUTDOWN that works is a closed connection.
        let answer = self.connect().try_call(&["SHUTDOWN", mode]);
        assert!(answer.is_err(), "SHUTDOWN {mode} answered {answer:?}");
        self.reap();
    }

    /// Kills it like the kernel would.
    pub fn kill9(&mut self) {
        if let Some(child) = &mut self.child {
            child.kill().expect("a child can be killed");
        }
        self.reap();
    }

    /// Starts it again after [`Server::shutdown`] or [`Server::kill9`]: same directory, same port, same redis.conf.
    #[track_caller]
    pub fn start_again(&mut self) {
        assert!(self.child.is_none(), "it is still running");
        let start = Instant::now();
        loop {
            match launch(&self.directory, self.port) {
                Ok(child) => {
                    self.child = Some(child);
                    return;
                }
                Err(log) if log.contains("Address already in use") && start.elapsed() < DEADLINE => {}
                Err(log) => panic!("redis-server did not start again:\n{log}"),
            }
        }
    }

    /// An orderly restart: the RDB file is written (and read again, unless there is an AOF).
    #[track_caller]
    pub fn restart(&mut self) {
        self.shutdown("SAVE");
        self.start_again();
    }

    fn reap(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.wait().expect("a child can be waited for");
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let Some(mut child) = self.child.take() else {
            return;
        };
        let crashed = matches!(child.try_wait(), Ok(Some(_)));
        if !crashed {
            // The answer to a SHUTDOWN that works is a closed connection; while a replica writes its first AOF it is a
            // refusal.
            let connection = Connection::open(address(self.port), Protocol::Resp2);
            let stops = connection.is_ok_and(|mut connection| connection.try_call(&["SHUTDOWN", "NOSAVE"]).is_err());
            if !stops {
                let _gone = child.kill();
            }
            let _status = child.wait();
        }
        let failing = std::thread::panicking();
        if failing || crashed {
            eprintln!("--- log of the redis-server on port {}\n{}---", self.port, self.log());
        }
        assert!(failing || !crashed, "the redis-server on port {} crashed", self.port);
    }
}

fn address(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}

fn log_file(directory: &Path) -> PathBuf {
    directory.join("redis.log")
}

fn configuration_file(directory: &Path) -> PathBuf {
    directory.join("redis.conf")
}

/// A port that nobody listens on at this moment.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    listener.local_addr().expect("a bound address").port()
}

/// The redis-server that is to be tested on.
pub(crate) fn binary() -> std::ffi::OsString {
    std::env::var_os("REDIS_SERVER").unwrap_or_else(|| "redis-server".into())
}

/// Starts redis-server on the redis.conf in `directory` and waits until this very process answers; the log of this
/// life where it ends before.
fn launch(directory: &Path, port: u16) -> Result<Child, String> {
    let log = |from: usize| {
        let all = std::fs::read(log_file(directory)).unwrap_or_default();
        String::from_utf8_lossy(all.get(from..).unwrap_or_default()).into_owned()
    };
    let earlier = std::fs::metadata(log_file(directory)).map_or(0, |file| file.len() as usize);
    let binary = binary();
    let mut child = Command::new(&binary)
        .arg(configuration_file(directory))
        .current_dir(directory)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap_or_else(|error| panic!("{}: {error}", binary.to_string_lossy()));
    let start = Instant::now();
    loop {
        if let Some(status) = child.try_wait().expect("a child can be asked") {
            return Err(format!("{}(exit: {status})", log(earlier)));
        }
        if answers(port, child.id()) {
            return Ok(child);
        }
        if start.elapsed() > DEADLINE {
            let _gone = child.kill();
            let _status = child.wait();
            return Err(format!("{}(not ready after {DEADLINE:?})", log(earlier)));
        }
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
}

/// Whether the process `pid` listens on `port` and has loaded its data.
fn answers(port: u16, pid: u32) -> bool {
    let Ok(mut connection) = Connection::open(address(port), Protocol::Resp2) else {
        return false;
    };
    let pong = connection.try_call(&["PING"]);
    matches!(pong, Ok(redis::Value::SimpleString(text)) if text == "PONG")
        && connection.info("server", "process_id") == pid.to_string()
}
