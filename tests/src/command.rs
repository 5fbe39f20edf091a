//! The command `poppo` as a shell or a script uses it: how it is started, what it prints, and what it leaves running.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use rustix::process::{Pid, Signal};
use serde_json::Value;

use crate::{Files, Server, artifacts, wait_until};

/// What keeps projects: a server, or a file.
pub trait Backend {
    /// Its URL.
    fn url(&self) -> String;

    /// A directory of its own.
    fn dir(&self) -> &Path;
}

impl Backend for Server {
    fn url(&self) -> String {
        self.url()
    }

    fn dir(&self) -> &Path {
        self.dir()
    }
}

impl Backend for Files {
    fn url(&self) -> String {
        self.url()
    }

    fn dir(&self) -> &Path {
        self.dir()
    }
}

/// The command, without whatever the surroundings may have set.
pub fn bare(directory: &Path) -> Command {
    let mut command = Command::new(artifacts::poppo());
    for name in [
        "POPPO_URL",
        "POPPO_PROJECT",
        "POPPO_DURABILITY",
        "POPPO_WAIT",
        "POPPO_PROCESS",
        "POPPO_ISSUE",
        "POPPO_TOKEN",
        "XDG_STATE_HOME",
    ] {
        command.env_remove(name);
    }
    // What a test leaves undelivered is nobody else's.
    command.env("POPPO_SPOOL", directory.join("spool"));
    // Whichever port is free: tests run side by side.
    command.env("POPPO_HTTP_LISTEN", "127.0.0.1:0").env_remove("GITHUB_TOKEN");
    command.env("POPPO_MODULE", artifacts::module()).current_dir(directory).stdin(Stdio::null());
    command
}

/// The command on the project `p` of a server or a file.
pub fn poppo(server: &impl Backend, arguments: &[&str]) -> Command {
    let mut command = bare(server.dir());
    command.args(["--url", &server.url(), "--project", "p"]).args(arguments);
    command
}

/// Runs a command to its end.
#[track_caller]
pub fn output(mut command: Command) -> Output {
    command.output().expect("poppo starts")
}

/// Runs a command that must succeed with one JSON document.
#[track_caller]
pub fn json(mut command: Command) -> Value {
    let output = command.arg("--json").output().expect("poppo starts");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{command:?}: {text}{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{command:?}: {error} in {text}"))
}

/// Runs a command that must fail on the project `p` of a server: its exit code, the code of its error and its message.
#[track_caller]
pub fn refusal(server: &impl Backend, arguments: &[&str]) -> (i32, String, String) {
    let output = output(poppo(server, &[&["--json"], arguments].concat()));
    assert!(output.stdout.is_empty(), "{arguments:?}: {output:?}");
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    let last = text.lines().last().unwrap_or_default();
    let error: Value = serde_json::from_str(last).unwrap_or_else(|_| panic!("{arguments:?}: {output:?}"));
    let word = |name: &str| error["error"][name].as_str().expect("a text").to_owned();
    (output.status.code().expect("an exit code"), word("code"), word("message"))
}

/// Whether a process runs; a zombie does not.
pub fn runs(pid: &str) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat"))
        .ok()
        .and_then(|stat| stat.rsplit_once(") ").map(|(_, rest)| !rest.starts_with('Z')))
        .unwrap_or(false)
}

/// Sends a signal to a process that the test started.
pub fn signal(child: &Child, signal: Signal) {
    let pid = Pid::from_raw(i32::try_from(child.id()).expect("a PID")).expect("a PID");
    rustix::process::kill_process(pid, signal).expect("it is ours to signal");
}

/// The words that a command under test wrote to a file, once there are so many.
#[track_caller]
pub fn words(file: &Path, count: usize) -> Vec<String> {
    let mut words = Vec::new();
    wait_until(&format!("{count} words are in {}", file.display()), || {
        let text = std::fs::read_to_string(file).unwrap_or_default();
        words = text.split_whitespace().map(str::to_owned).collect();
        words.len() >= count && text.ends_with('\n')
    });
    words
}

/// A command that goes on until it is told to end, and what it wrote so far. It ends with its test.
#[derive(Debug)]
pub struct Following {
    /// The process.
    pub child: Child,
    out: PathBuf,
    err: PathBuf,
}

impl Following {
    /// Starts it on the project `p` of a server or a file.
    pub fn start(server: &impl Backend, arguments: &[&str]) -> Self {
        Self::named(server, "followed", arguments)
    }

    /// The same, for one of several on a server.
    pub fn named(server: &impl Backend, name: &str, arguments: &[&str]) -> Self {
        Self::of(server.dir(), name, poppo(server, arguments))
    }

    /// The same, where the arguments say which server is meant.
    pub fn anywhere(server: &impl Backend, name: &str, arguments: &[&str]) -> Self {
        let mut command = bare(server.dir());
        command.args(arguments);
        Self::of(server.dir(), name, command)
    }

    /// Starts this command, whose output goes to files of that name in a directory.
    pub fn of(directory: &Path, name: &str, mut command: Command) -> Self {
        let (out, err) = (directory.join(name), directory.join(format!("{name}-said")));
        command.stdout(File::create(&out).expect("a file")).stderr(File::create(&err).expect("a file"));
        Self { child: command.spawn().expect("poppo starts"), out, err }
    }

    /// The JSON documents that it wrote, once there are so many.
    #[track_caller]
    pub fn documents(&self, count: usize) -> Vec<Value> {
        let mut documents = Vec::new();
        wait_until(&format!("{count} lines are there; it said {}", self.said()), || {
            let text = self.written();
            let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
            documents = whole.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
            documents.len() >= count
        });
        documents
    }

    /// What it wrote on stdout so far.
    pub fn written(&self) -> String {
        std::fs::read_to_string(&self.out).expect("its file")
    }

    /// What it said on stderr so far.
    pub fn said(&self) -> String {
        std::fs::read_to_string(&self.err).expect("its file")
    }

    /// Waits until it ends by itself, and answers its exit code.
    #[track_caller]
    pub fn exit_code(&mut self) -> Option<i32> {
        let mut status = None;
        wait_until("it has ended", || {
            status = self.child.try_wait().expect("a child can be asked");
            status.is_some()
        });
        status.and_then(|status| status.code())
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
