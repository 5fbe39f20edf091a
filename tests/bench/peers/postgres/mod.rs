//! PostgreSQL with `FOR UPDATE SKIP LOCKED`: an UPDATE claims, a DELETE finishes, both prepared.
//!
//! A cluster of its own in a temporary directory; one that the system runs is not touched. `wire` is the protocol.

mod wire;

use std::net::TcpStream;
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use poppo_tests::wait_until;
use rustix::process::{Signal, geteuid};
use tempfile::TempDir;

use crate::common::machine::Cores;

use super::contender::Disk;
use super::load::{self, Asked, Dialect, Front, Task};
use super::process::{Process, place};
use super::queue::{PAYLOAD, Queue, Turn, Window};
use super::stop;
use wire::Session;

const USER: &str = "poppo";

/// Tokens are attempts: a claim adds one, and only who made the last one finishes.
const TABLE: &str = "TABLE tasks (
    id bigint PRIMARY KEY, priority int NOT NULL, status text NOT NULL, worker text, attempts bigint NOT NULL,
    started timestamptz, payload text NOT NULL)";
const INDEX: &str = "CREATE INDEX waiting ON tasks (priority DESC, id) WHERE status = 'queued'";
const CLAIM: &str = "UPDATE tasks SET status = 'processing', worker = $1, attempts = attempts + 1, started = now()
    WHERE id = (SELECT id FROM tasks WHERE status = 'queued' ORDER BY priority DESC, id FOR UPDATE SKIP LOCKED LIMIT 1)
    RETURNING id, attempts, payload";
const FINISH: &str = "DELETE FROM tasks WHERE id = $1 AND attempts = $2 RETURNING id, attempts";

/// PostgreSQL, running.
pub(super) struct Postgres {
    control: Session,
    talk: Talk,
    port: u16,
    server: Process,
}

pub(super) fn start(cores: Cores, disk: Disk) -> Result<Postgres, String> {
    let programs = programs().ok_or("PostgreSQL is not installed")?;
    let (directory, port) = place();
    let owner = owner()?;
    let password =
        directory.path().file_name().expect("a temporary directory has a name").to_string_lossy().into_owned();
    initialise(&programs, &directory, &password, owner)?;
    let mut command = as_owner(&programs.join("postgres"), owner);
    command.arg("-D").arg(directory.path().join("data")).args(["-p", &port.to_string()]).args(settings(disk));
    let mut server = cores.on_server(|| Process::start(command, directory, Signal::QUIT))?;
    let mut control = None;
    wait_until("PostgreSQL listens", || {
        if let Some(failure) = server.failure() {
            panic!("PostgreSQL ended: {failure}");
        }
        control = Session::connect(port, USER, &password).ok();
        control.is_some()
    });
    let mut control = control.expect("a session");
    let unlogged = if disk == Disk::Nothing { "UNLOGGED " } else { "" };
    control.query(&format!("CREATE {unlogged}{TABLE}"))?;
    control.query(INDEX)?;
    Ok(Postgres { control, talk: Talk { password }, port, server })
}

/// What differs from the defaults: where it listens, room for the table and its log, and what a crash may cost.
fn settings(disk: Disk) -> Vec<&'static str> {
    let mut settings = vec!["listen_addresses=127.0.0.1", "unix_socket_directories=", "shared_buffers=256MB"];
    // No checkpoint in the middle of a turn.
    settings.extend(["max_wal_size=4GB", "checkpoint_timeout=1h"]);
    settings.push("synchronous_commit=off");
    if disk == Disk::Nothing {
        settings.extend(["fsync=off", "full_page_writes=off"]);
    }
    settings.into_iter().flat_map(|setting| ["-c", setting]).collect()
}

/// The directory of PostgreSQL's programs. Debian keeps the server's out of PATH, a directory for each version.
fn programs() -> Option<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().filter_map(Result::ok);
    let newest =
        versions.filter_map(|entry| Some((entry.file_name().to_str()?.parse::<u32>().ok()?, entry.path()))).max();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let debian = newest.map(|(_, directory)| directory.join("bin"));
    debian.into_iter().chain(std::env::split_paths(&path)).find(|programs| programs.join("initdb").is_file())
}

/// Whom it runs as: it refuses to be root. Anybody else runs it as himself.
fn owner() -> Result<Option<(u32, u32)>, String> {
    if !geteuid().is_root() {
        return Ok(None);
    }
    let users = std::fs::read_to_string("/etc/passwd").map_err(|error| format!("/etc/passwd: {error}"))?;
    let user = |name: &str| {
        let fields = users.lines().map(|line| line.split(':').collect::<Vec<_>>()).find(|fields| fields[0] == name)?;
        Some((fields.get(2)?.parse().ok()?, fields.get(3)?.parse().ok()?))
    };
    let found = user("postgres").or_else(|| user("nobody"));
    found
        .map(Some)
        .ok_or_else(|| "PostgreSQL refuses to run as root, and there is no user postgres or nobody".to_owned())
}

fn as_owner(program: &Path, owner: Option<(u32, u32)>) -> Command {
    let mut command = Command::new(program);
    if let Some((user, group)) = owner {
        command.uid(user).gid(group);
    }
    command
}

fn initialise(programs: &Path, directory: &TempDir, password: &str, owner: Option<(u32, u32)>) -> Result<(), String> {
    let file = directory.path().join("password");
    std::fs::write(&file, password).expect("a file in a directory of one's own");
    if let Some((user, group)) = owner {
        for path in [directory.path(), &file] {
            chown(path, Some(user), Some(group)).expect("root may give a file away");
        }
    }
    let mut initdb = as_owner(&programs.join("initdb"), owner);
    initdb.args(["--no-sync", "--encoding=UTF8", "--locale=C", "--auth=password", "--username", USER, "--pwfile"]);
    initdb.arg(&file).arg("-D").arg(directory.path().join("data")).current_dir(directory.path());
    initdb.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let (child, _guard) =
        stop::spawn(&mut initdb, Signal::KILL, directory.path()).map_err(|error| format!("initdb: {error}"))?;
    let done = child.wait_with_output().map_err(|error| format!("initdb: {error}"))?;
    let why = || format!("initdb: {}", String::from_utf8_lossy(&done.stderr).trim());
    done.status.success().then_some(()).ok_or_else(why)
}

impl Queue for Postgres {
    fn version(&mut self) -> String {
        format!("PostgreSQL {}", self.control.parameter("server_version"))
    }

    fn fill(&mut self, tasks: u64) {
        let rows = format!("SELECT n, 50, 'queued', NULL, 0, NULL, '{PAYLOAD}' FROM generate_series(1, {tasks}) n");
        for statement in ["TRUNCATE tasks", &format!("INSERT INTO tasks {rows}"), "VACUUM ANALYZE tasks", "CHECKPOINT"]
        {
            self.control.query(statement).unwrap_or_else(|error| panic!("{statement}: {error}"));
        }
    }

    fn turn(&mut self, workers: usize, window: Window, tasks: u64) -> Option<Turn> {
        load::run(&self.talk, (self.port, self.server.id()), workers, window, tasks)
    }
}

struct Talk {
    password: String,
}

impl Dialect for Talk {
    fn greet(&self, stream: &mut TcpStream) {
        let mut session = Session::new(stream.try_clone().expect("a second handle of the socket"));
        session.log_in(USER, &self.password).expect("a session");
        for (name, statement) in [("claim", CLAIM), ("finish", FINISH)] {
            session.prepare(name, statement).expect("a prepared statement");
        }
    }

    fn claim(&self, worker: usize, out: &mut Vec<u8>) {
        wire::execute(out, "claim", &[format!("worker-{worker}").as_bytes()]);
    }

    fn finish(&self, _: usize, task: Task, out: &mut Vec<u8>) {
        wire::execute(out, "finish", &[&task.id.to_be_bytes(), &task.token.to_be_bytes()]);
    }

    fn read(&self, asked: Asked, input: &[u8]) -> Front<Option<Task>> {
        let Some((length, row)) = wire::answer(input)? else { return Ok(None) };
        let task = row.map(|[id, token]| Task { id, token });
        match (asked, task) {
            (Asked::Claim, task) => Ok(Some((length, task))),
            (Asked::Finish, Some(_)) => Ok(Some((length, None))),
            (Asked::Finish, None) => Err("the task is not this worker's".to_owned()),
        }
    }
}
