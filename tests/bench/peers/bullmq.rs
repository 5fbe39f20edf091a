//! BullMQ: its own Worker in Node, on a plain redis-server. `bullmq/` is the script that runs it.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use poppo_tests::{Connection, Server};
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::common::machine::Cores;

use super::contender::Disk;
use super::meter::Meter;
use super::process::found;
use super::queue::{PAYLOAD, Queue, Turn, Window};
use super::{redis, stop};

/// A redis-server, and Node beside it on the core of the load.
pub(super) struct BullMq {
    node: Node,
    control: Connection,
    process: u32,
    disk: Disk,
    _server: Server,
    _stop: stop::Guard,
}

pub(super) fn start(cores: Cores, disk: Disk, directory: &Path) -> Result<BullMq, String> {
    if !found("node") {
        return Err("Node is not installed".to_owned());
    }
    if !directory.join("node_modules/bullmq").is_dir() {
        return Err(format!("{} has no BullMQ: scripts/install-peers puts it there", directory.display()));
    }
    let (server, process, guard) = redis::server(cores, Server::plain(), disk);
    let node = Node::start(directory, &server)?;
    Ok(BullMq { node, control: server.connect(), process, disk, _server: server, _stop: guard })
}

impl Queue for BullMq {
    fn version(&mut self) -> String {
        let version = self.node.ask(&json!({"do": "version"}));
        let text = |field: &str| version[field].as_str().unwrap_or_default().to_owned();
        format!("BullMQ {} on Node {}", text("bullmq"), text("node"))
    }

    fn fill(&mut self, tasks: u64) {
        redis::clear(&mut self.control, self.disk);
        let payload: Value = serde_json::from_str(PAYLOAD).expect("JSON");
        let filled = self.node.ask(&json!({"do": "fill", "tasks": tasks, "payload": payload}));
        assert_eq!(filled["filled"], tasks);
    }

    fn turn(&mut self, workers: usize, window: Window, _: u64) -> Option<Turn> {
        let millis = |time: Duration| time.as_millis() as u64;
        let order = json!({"do": "turn", "workers": workers, "warm": millis(window.warm), "time": millis(window.time)});
        let meter = Meter::new(self.process, self.node.child.id());
        let begun = self.node.ask(&order)["begun"] == true;
        let begin = meter.read();
        assert_eq!(self.node.hear()["ended"], true);
        let end = meter.read();
        let turn = self.node.hear();
        let number = |field: &str| turn[field].as_u64().unwrap_or_else(|| panic!("no {field} in {turn}"));
        begun.then(|| Turn {
            cycles: number("cycles"),
            elapsed: Duration::from_micros(number("micros")),
            server: end.server - begin.server,
            load: end.load - begin.load,
        })
    }
}

/// The script, in conversation. It ends when nobody talks to it any more.
struct Node {
    child: Child,
    orders: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
    _stop: stop::Guard,
}

impl Node {
    fn start(directory: &Path, server: &Server) -> Result<Self, String> {
        let mut command = Command::new("node");
        command.arg(directory.join("driver.mjs")).arg(server.port().to_string());
        command.env("NODE_ENV", "production").current_dir(server.dir()).stdin(Stdio::piped()).stdout(Stdio::piped());
        let (mut child, guard) =
            stop::spawn(&mut command, Signal::KILL, server.dir()).map_err(|error| format!("node: {error}"))?;
        let orders = child.stdin.take();
        let answers = BufReader::new(child.stdout.take().expect("a pipe"));
        Ok(Self { child, orders, answers, _stop: guard })
    }

    fn ask(&mut self, order: &Value) -> Value {
        writeln!(self.orders.as_mut().expect("a pipe"), "{order}").expect("Node reads");
        self.hear()
    }

    fn hear(&mut self) -> Value {
        let mut line = String::new();
        self.answers.read_line(&mut line).expect("Node answers");
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("Node said {line:?}: {error}"))
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.orders = None;
        if std::thread::panicking() {
            let _gone = self.child.kill();
        }
        let _status = self.child.wait();
    }
}
