//! `poppo daemon` as an operator runs it: its configuration, whether it is ready, what it shows on HTTP, what it logs.

use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::command::{Following, bare};
use crate::{DEADLINE, Server, wait_until};

/// A daemon to be.
#[derive(Debug)]
pub struct Builder {
    name: String,
    url: String,
    directory: PathBuf,
    top: String,
    sections: String,
    variables: Vec<(String, String)>,
}

impl Builder {
    /// A line of the part of the file that comes before all sections, such as `host = "h"`.
    #[must_use]
    pub fn top(mut self, line: &str) -> Self {
        self.top.push_str(line);
        self.top.push('\n');
        self
    }

    /// Lines of sections. The first of these replaces the project `p` that is looked after otherwise.
    #[must_use]
    pub fn section(mut self, text: &str) -> Self {
        self.sections.push_str(text);
        self.sections.push('\n');
        self
    }

    /// A variable of its environment.
    #[must_use]
    pub fn variable(mut self, name: &str, value: impl ToString) -> Self {
        self.variables.push((name.to_owned(), value.to_string()));
        self
    }

    /// Another name, for one of several on a server.
    #[must_use]
    pub fn named(mut self, name: &str) -> Self {
        name.clone_into(&mut self.name);
        self
    }

    /// The command, with its configuration written.
    pub fn command(&self) -> Command {
        let project = "[[project]]\nkey = \"p\"\n";
        let mut text = format!("url = {:?}\n{}", self.url, self.top);
        let own = if self.sections.contains("[[project]]") { "" } else { project };
        // Sections of a project belong behind it.
        write!(text, "[http]\nlisten = \"127.0.0.1:0\"\n{own}{}", self.sections).expect("a String takes it");
        let file = self.file();
        std::fs::write(&file, text).expect("the configuration is written");
        let mut command = bare(&self.directory);
        for name in ["GITHUB_TOKEN", "POPPO_GITHUB_TOKEN", "RUST_LOG", "POPPO_HOST"] {
            command.env_remove(name);
        }
        command.args(["daemon", "--log", "json", "--config"]).arg(file);
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command
    }

    fn file(&self) -> PathBuf {
        self.directory.join(format!("{}.toml", self.name))
    }

    /// Starts it, and waits until it answers on HTTP.
    #[track_caller]
    pub fn launch(&self) -> Daemon {
        self.launch_as(self.command())
    }

    /// The same by a command that was changed.
    #[track_caller]
    pub fn launch_as(&self, command: Command) -> Daemon {
        let following = Following::of(&self.directory, &self.name, command);
        let mut daemon = Daemon { following, port: 0 };
        wait_until("the daemon answers on HTTP", || {
            assert!(daemon.following.child.try_wait().is_ok_and(|ended| ended.is_none()), "{}", daemon.log());
            daemon.port = daemon.announced().unwrap_or_default();
            daemon.port > 0
        });
        daemon
    }

    /// Starts it, and waits until it is ready.
    #[track_caller]
    pub fn start(&self) -> Daemon {
        let daemon = self.launch();
        daemon.wait_until_ready();
        daemon
    }
}

/// A running daemon. It ends with its test.
#[derive(Debug)]
pub struct Daemon {
    following: Following,
    port: u16,
}

impl Daemon {
    /// One for the project `p` of a server.
    pub fn builder(server: &Server) -> Builder {
        Self::of(server.dir(), &server.url())
    }

    /// One for the project `p` of a server anywhere, whose files are in this directory.
    pub fn of(directory: &Path, url: &str) -> Builder {
        Builder {
            name: "daemon".to_owned(),
            url: url.to_owned(),
            directory: directory.to_owned(),
            top: String::new(),
            sections: String::new(),
            variables: Vec::new(),
        }
    }

    /// The port on which it answers on HTTP.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// What it logged so far, a JSON object a line.
    pub fn log(&self) -> String {
        self.following.said()
    }

    /// The lines that it logged.
    pub fn lines(&self) -> Vec<Value> {
        self.log().lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    fn announced(&self) -> Option<u16> {
        let lines = self.lines();
        let line = lines.iter().find(|line| line["message"] == "answers on HTTP")?;
        line["address"].as_str()?.rsplit_once(':')?.1.parse().ok()
    }

    /// Waits until its log holds a text.
    #[track_caller]
    pub fn wait_for_log(&self, text: &str) {
        let what = format!("the daemon says {text:?}");
        wait_until(&what, || self.log().contains(text));
    }

    /// Status and body of a page.
    #[track_caller]
    pub fn get(&self, path: &str) -> (u16, String) {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).expect("the daemon listens");
        stream.set_read_timeout(Some(DEADLINE)).expect("a timeout");
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).expect("the daemon reads");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("the daemon answers");
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
        (status, body.to_owned())
    }

    /// Whether all its duties do what they are there for, and what it says of each.
    #[track_caller]
    pub fn readiness(&self) -> (bool, Value) {
        let (status, body) = self.get("/readyz");
        (status == 200, serde_json::from_str(&body).unwrap_or_else(|error| panic!("{error}: {body}")))
    }

    /// Waits until all its duties do what they are there for.
    #[track_caller]
    pub fn wait_until_ready(&self) {
        let start = std::time::Instant::now();
        loop {
            let (ready, said) = self.readiness();
            if ready {
                return;
            }
            assert!(start.elapsed() < DEADLINE, "not ready: {said}\n{}", self.log());
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
    }

    /// The value of a metric with these labels, as `/metrics` writes it: `poppo_watched_processes{project="p"}`.
    #[track_caller]
    pub fn metric(&self, name: &str) -> Option<f64> {
        let (_, text) = self.get("/metrics");
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))?;
        line.split(' ').next()?.parse().ok()
    }

    /// The process, to be signalled.
    pub fn child(&self) -> &std::process::Child {
        &self.following.child
    }

    /// Kills it like the kernel would.
    pub fn kill9(mut self) {
        self.following.child.kill().expect("a child can be killed");
        self.following.child.wait().expect("a child can be waited for");
    }

    /// Asks it to end, and answers its exit code.
    #[track_caller]
    pub fn end(mut self) -> Option<i32> {
        crate::command::signal(&self.following.child, rustix::process::Signal::TERM);
        self.following.exit_code()
    }
}
