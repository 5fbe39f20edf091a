//! What it runs on: the machine, the cores of server and load, the server itself.

use poppo_tests::{Builder, Connection, Server};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use serde_json::{Value, json};

/// Where server and load run: the first and the last core that this process may use.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cores {
    server: usize,
    load: usize,
    count: usize,
}

impl Cores {
    /// Looks which cores there are. With a single one both share it.
    pub(crate) fn find() -> Self {
        let allowed = sched_getaffinity(None).expect("the cores of this process");
        let cores: Vec<usize> = (0..CpuSet::MAX_CPU).filter(|core| allowed.is_set(*core)).collect();
        let (server, load) = (cores[0], cores[cores.len() - 1]);
        Self { server, load, count: cores.len() }
    }

    /// Starts a server on its core; all its threads and children inherit that. The load stays on the other.
    pub(crate) fn start(self, builder: Builder) -> Server {
        self.on_server(|| builder.start())
    }

    /// Does something, such as starting a process, on the server's core.
    pub(crate) fn on_server<T>(self, start: impl FnOnce() -> T) -> T {
        pin(self.server);
        let started = start();
        pin(self.load);
        started
    }

    /// Why the figures should be taken with care.
    pub(crate) fn warning(self) -> Option<&'static str> {
        (self.count < 2).then_some("there is one core only: server and load share it, and ratios are closer to 1")
    }
}

fn pin(core: usize) {
    let mut set = CpuSet::new();
    set.set(core);
    sched_setaffinity(None, &set).expect("this process may choose its core");
}

/// What the figures were measured on.
pub(crate) fn describe(cores: Cores, connection: &mut Connection) -> Value {
    let cpu = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let memory = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let kib = memory.lines().find_map(|line| line.strip_prefix("MemTotal:")?.trim().strip_suffix(" kB"));
    let gib = kib.and_then(|kib| kib.parse::<f64>().ok()).map(|kib| (kib / 1024.0 / 1024.0).round());
    let system = rustix::system::uname();
    // Its version, without what a distributor or a cloud adds to it.
    let release = system.release().to_string_lossy();
    let release = release.split('-').next().unwrap_or_default();
    json!({
        "cpu": model.map_or("unknown", |(_, model)| model),
        "cores": cores.count,
        "memory_gib": gib,
        "kernel": format!("{} {}", system.sysname().to_string_lossy(), release),
        "architecture": system.machine().to_string_lossy(),
        "server": version(connection),
        "module": connection.info("poppo", "poppo_version"),
    })
}

fn version(connection: &mut Connection) -> String {
    let valkey = connection.text("INFO server").contains("valkey_version:");
    let (name, field) = if valkey { ("Valkey", "valkey_version") } else { ("Redis", "redis_version") };
    format!("{name} {}", connection.info("server", field))
}
