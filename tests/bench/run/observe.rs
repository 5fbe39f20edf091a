//! What the server says of itself: time inside commands, processor time, memory.

use std::time::Duration;

use poppo_tests::{Connection, Reply};

/// Time spent inside commands since [`reset`].
#[derive(Debug, Clone, Copy)]
pub(super) struct Inside {
    pub(super) calls: u64,
    pub(super) micros: u64,
}

/// Forgets what was counted so far.
pub(super) fn reset(connection: &mut Connection) {
    connection.ok("CONFIG RESETSTAT");
}

/// What the server counted for these commands together.
pub(super) fn inside(connection: &mut Connection, commands: &[&str]) -> Inside {
    let text = connection.text("INFO commandstats");
    let mut sum = Inside { calls: 0, micros: 0 };
    for line in text.lines() {
        let Some((name, figures)) = line.strip_prefix("cmdstat_").and_then(|line| line.split_once(':')) else {
            continue;
        };
        if commands.iter().any(|command| command.eq_ignore_ascii_case(name)) {
            sum.calls += field(figures, "calls");
            sum.micros += field(figures, "usec");
        }
    }
    sum
}

/// The mean time inside one command, in µs.
pub(super) fn micros_per_call(connection: &mut Connection, command: &str) -> f64 {
    let inside = inside(connection, &[command]);
    assert!(inside.calls > 0, "{command} was not called");
    inside.micros as f64 / inside.calls as f64
}

/// `name=value` in a list with commas.
fn field(list: &str, name: &str) -> u64 {
    let value = list.split(',').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
    value.and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("no {name} in {list}"))
}

/// Processor time that the server has used, in µs.
pub(super) fn processor_micros(connection: &mut Connection) -> f64 {
    let mut seconds = |field: &str| connection.info("cpu", field).parse::<f64>().expect("seconds");
    (seconds("used_cpu_user") + seconds("used_cpu_sys")) * 1e6
}

/// A field of INFO that is a whole number.
pub(super) fn number(connection: &mut Connection, section: &str, field: &str) -> u64 {
    connection.info(section, field).parse().unwrap_or_else(|_| panic!("{field} is a number"))
}

/// Bytes that the server has allocated.
pub(super) fn memory(connection: &mut Connection) -> u64 {
    number(connection, "memory", "used_memory")
}

/// From now on the server notes each command that takes longer than a millisecond.
pub(super) fn watch_slow(connection: &mut Connection) {
    connection.ok("CONFIG SET slowlog-log-slower-than 1000 slowlog-max-len 10000");
    connection.ok("SLOWLOG RESET");
}

/// The longest that a command of this name took since [`watch_slow`], where it was longer than a millisecond.
pub(super) fn slowest(connection: &mut Connection, command: &str) -> Duration {
    let slow = connection.ok("SLOWLOG GET -1");
    let of_command = slow.rows().iter().map(Reply::rows).filter(|row| {
        let name = row[3].rows().first().and_then(Reply::text).unwrap_or_default();
        name.eq_ignore_ascii_case(command)
    });
    let micros = of_command.map(|row| row[2].number()).max().unwrap_or(0);
    Duration::from_micros(micros.unsigned_abs())
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_field_is_found_by_its_whole_name() {
        let list = "calls=3,usec=71,usec_per_call=23.67,rejected_calls=5";
        assert_eq!(super::field(list, "calls"), 3);
        assert_eq!(super::field(list, "usec"), 71);
        assert_eq!(super::field(list, "rejected_calls"), 5);
    }
}
