//! Who this process is: a *life* is a process between its start and its end, and its name alone does not tell which.

use std::env;

/// What identifies one life of a process, and where it runs.
///
/// ```
/// use poppo::Life;
///
/// let life = Life::current();
/// assert_eq!(life.pid, std::process::id());
/// assert_eq!(life.default_process_name(), format!("{}-{}", life.host, life.pid));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Life {
    /// Its PID.
    pub pid: u32,
    /// Its host's name.
    pub host: String,
    /// Boot, PID and start time, so that a PID used again, as happens soon in containers, is not taken for the old one.
    pub incarnation: String,
    /// Its tmux pane, where it runs in one.
    pub tmux: Option<String>,
}

impl Life {
    /// The calling process.
    ///
    /// Example: [`Life`].
    #[must_use]
    pub fn current() -> Self {
        let pid = std::process::id();
        Self { pid, host: host(), incarnation: incarnation(pid), tmux: env::var("TMUX_PANE").ok() }
    }

    /// A process name that nobody else has now: `<host>-<pid>`.
    ///
    /// Example: [`Life`].
    #[must_use]
    pub fn default_process_name(&self) -> String {
        format!("{}-{}", self.host, self.pid)
    }
}

/// This host's name, made a name in the protocol's sense.
fn host() -> String {
    let system = rustix::system::uname();
    as_name(&system.nodename().to_string_lossy())
}

/// Printable ASCII without blanks, and short enough that a PID fits behind it in 128 bytes.
fn as_name(text: &str) -> String {
    let name: String = text.chars().map(|c| if c.is_ascii_graphic() { c } else { '-' }).take(100).collect();
    if name.is_empty() { "localhost".to_owned() } else { name }
}

/// `<boot id>:<pid>:<start time>` on Linux; elsewhere when this was first asked stands for boot and start.
fn incarnation(pid: u32) -> String {
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id");
    let stat = std::fs::read_to_string("/proc/self/stat");
    if let (Ok(boot), Ok(stat)) = (boot, stat)
        && let Some(start) = start_time(&stat)
    {
        return format!("{}:{pid}:{start}", boot.trim());
    }
    static FIRST_ASKED: std::sync::OnceLock<u128> = std::sync::OnceLock::new();
    let asked = FIRST_ASKED.get_or_init(|| {
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default().as_nanos()
    });
    format!("{asked}:{pid}")
}

/// Field 22 of `/proc/<pid>/stat`. The second field is the program's name in brackets and may hold blanks and brackets
/// itself, so counting starts behind the last one.
fn start_time(stat: &str) -> Option<&str> {
    let (_, after_name) = stat.rsplit_once(')')?;
    after_name.split_ascii_whitespace().nth(19)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_start_time_is_found_behind_a_hostile_name() {
        let stat = "7 (a) b (c) S 1 7 7 0 -1 4194304 100 0 0 0 1 2 0 0 20 0 1 0 82550 3133440 390";
        assert_eq!(start_time(stat), Some("82550"));
        assert_eq!(start_time("nonsense"), None);
    }

    #[test]
    fn one_life_is_the_same_life_each_time() {
        assert_eq!(Life::current(), Life::current());
    }

    #[test]
    fn a_host_name_becomes_a_valid_name() {
        assert_eq!(as_name("my host"), "my-host");
        assert_eq!(as_name(""), "localhost");
        assert_eq!(as_name(&"x".repeat(300)).len(), 100);
    }
}
