//! A network of one's own: a namespace that reaches this host through one cable, which can be cut.

use std::process::Command;

/// A namespace and its cable. Both are gone at the end of the test.
#[derive(Debug)]
pub struct Island {
    name: String,
    cable: String,
    /// The first three numbers of its network.
    network: String,
}

impl Island {
    /// A new one, or why there cannot be one here.
    pub fn new() -> Result<Self, String> {
        let id = std::process::id();
        let island = Self {
            name: format!("poppo-{id}"),
            cable: format!("pp{id}"),
            network: format!("10.{}.{}", 200 + id / 250 % 50, id % 250),
        };
        let Self { name, cable, network } = &island;
        ip(&format!("netns add {name}"))?;
        ip(&format!("link add {cable} type veth peer name {cable}i netns {name}"))?;
        ip(&format!("addr add {network}.1/30 dev {cable}"))?;
        ip(&format!("link set {cable} up"))?;
        ip(&format!("-n {name} addr add {network}.2/30 dev {cable}i"))?;
        ip(&format!("-n {name} link set {cable}i up"))?;
        Ok(island)
    }

    /// This host's address, as the island sees it.
    pub fn mainland(&self) -> String {
        format!("{}.1", self.network)
    }

    /// A command that runs there.
    pub fn command(&self, command: &Command) -> Command {
        let mut there = Command::new("ip");
        there.args(["netns", "exec", &self.name]).arg(command.get_program()).args(command.get_args());
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => there.env(name, value),
                None => there.env_remove(name),
            };
        }
        if let Some(directory) = command.get_current_dir() {
            there.current_dir(directory);
        }
        there
    }

    /// From now on nothing gets there or from there, and nobody is told.
    #[track_caller]
    pub fn cut(&self) {
        ip(&format!("-n {} link set {}i down", self.name, self.cable)).expect("the cable is ours");
    }

    /// As it was before.
    #[track_caller]
    pub fn mend(&self) {
        ip(&format!("-n {} link set {}i up", self.name, self.cable)).expect("the cable is ours");
    }
}

impl Drop for Island {
    fn drop(&mut self) {
        // The cable goes with its end. There may be neither.
        drop(ip(&format!("link del {}", self.cable)));
        drop(ip(&format!("netns del {}", self.name)));
    }
}

fn ip(arguments: &str) -> Result<(), String> {
    let output = Command::new("ip").args(arguments.split(' ')).output();
    let output = output.map_err(|error| format!("ip: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("ip {arguments}: {}", String::from_utf8_lossy(&output.stderr).trim()))
}
