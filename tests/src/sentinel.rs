//! Sentinels that watch a primary and have one of its replicas take over when it dies.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use crate::server::{binary, free_port};
use crate::tls::Certificates;
use crate::{Connection, Reply as _, Server, wait_until};

/// The name under which they know the primary.
pub const PRIMARY: &str = "main";

/// Some Sentinels. They end with their test.
#[derive(Debug)]
pub struct Sentinels {
    children: Vec<Child>,
    ports: Vec<u16>,
    /// Where they speak TLS, if they do.
    tls_ports: Vec<u16>,
    directory: TempDir,
}

impl Sentinels {
    /// Starts so many, and waits until they know each other and all replicas. Most of them have to agree that the primary is
    /// dead, which each thinks after `down_after` of silence.
    #[track_caller]
    pub fn start(count: usize, primary: &Server, replicas: usize, down_after: Duration) -> Self {
        Self::watch(count, primary.port(), replicas, down_after, None)
    }

    /// The same by TLS: between them and the servers, and for whoever asks them at [`tls_url`](Self::tls_url).
    #[track_caller]
    pub fn start_with_tls(
        count: usize,
        primary: &Server,
        replicas: usize,
        down_after: Duration,
        certificates: &Certificates,
    ) -> Self {
        Self::watch(count, primary.tls_port(), replicas, down_after, Some(certificates))
    }

    #[track_caller]
    fn watch(
        count: usize,
        primary: u16,
        replicas: usize,
        down_after: Duration,
        certificates: Option<&Certificates>,
    ) -> Self {
        let directory = tempfile::Builder::new().prefix("poppo-test-").tempdir().expect("a temporary directory");
        let mut sentinels = Self { children: Vec::new(), ports: Vec::new(), tls_ports: Vec::new(), directory };
        for _ in 0..count {
            let port = free_port();
            let file = sentinels.directory.path().join(format!("{port}.conf"));
            let log = sentinels.directory.path().join(format!("{port}.log"));
            let mut lines = vec![
                format!("port {port}"),
                "bind 127.0.0.1".to_owned(),
                format!("dir \"{}\"", sentinels.directory.path().display()),
                format!("logfile \"{}\"", log.display()),
                format!("sentinel monitor {PRIMARY} 127.0.0.1 {primary} {}", count / 2 + 1),
                format!("sentinel down-after-milliseconds {PRIMARY} {}", down_after.as_millis()),
                format!("sentinel failover-timeout {PRIMARY} 5000"),
            ];
            if let Some(certificates) = certificates {
                let port = free_port();
                lines.extend(certificates.lines(port));
                sentinels.tls_ports.push(port);
            }
            std::fs::write(&file, lines.join("\n") + "\n").expect("a configuration is written");
            let mut command = Command::new(binary());
            command.arg(&file).arg("--sentinel").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            sentinels.children.push(command.spawn().expect("redis-server starts"));
            sentinels.ports.push(port);
        }
        for port in &sentinels.ports {
            wait_until(&format!("the Sentinel on port {port} knows everybody\n{}", sentinels.log()), || {
                let Ok(mut connection) = Connection::try_to(*port) else { return false };
                let seen = connection.cmd(&format!("SENTINEL MASTER {PRIMARY}"));
                seen.error().is_none()
                    && seen.field("num-slaves") == replicas.to_string()
                    && seen.field("num-other-sentinels") == (count - 1).to_string()
            });
        }
        sentinels
    }

    /// The URL of the primary, whichever that is.
    pub fn url(&self) -> String {
        format!("redis+sentinel://{}/{PRIMARY}", hosts(&self.ports))
    }

    /// The same, by TLS.
    pub fn tls_url(&self) -> String {
        format!("rediss+sentinel://{}/{PRIMARY}", hosts(&self.tls_ports))
    }

    /// A connection to the first of them.
    #[track_caller]
    pub fn connect(&self) -> Connection {
        Connection::to(self.ports[0])
    }

    /// The port of the primary, as the first of them says.
    #[track_caller]
    pub fn primary(&self) -> u16 {
        let answer = self.connect().ok(&format!("SENTINEL MASTER {PRIMARY}"));
        answer.field("port").parse().expect("a port")
    }

    /// Everything they have logged.
    pub fn log(&self) -> String {
        let read =
            |port| std::fs::read_to_string(self.directory.path().join(format!("{port}.log"))).unwrap_or_default();
        self.ports.iter().map(read).collect()
    }
}

fn hosts(ports: &[u16]) -> String {
    ports.iter().map(|port| format!("127.0.0.1:{port}")).collect::<Vec<_>>().join(",")
}

impl Drop for Sentinels {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- logs of the Sentinels\n{}---", self.log());
        }
        for child in &mut self.children {
            // There is nothing that they should save.
            drop(child.kill());
            drop(child.wait());
        }
    }
}
