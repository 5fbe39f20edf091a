//! What a write has to reach before it is told to be done.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use redis::Cmd;

/// For how long confirmations are waited for unless something else is said.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(1);
/// For how long at most: other calls on the same connection wait as well.
const LONGEST_TIMEOUT: Duration = Duration::from_secs(5);

/// How many copies of a checkout, claim or check-in there have to be before the call comes back: `WAIT` and `WAITAOF`.
///
/// Redis acknowledges a write before its replicas have it, so a failover can lose what was written last. With this, a call
/// waits until enough of them have it, and fails with [`Error::Unconfirmed`](crate::Error::Unconfirmed) where they do not
/// in time; what it asked for is done on the primary all the same. It makes losses rare, not impossible: a replica that
/// lacks the write may still be promoted where there are several.
///
/// As text: `replicas=1`; `aof` for the disk of the primary; `aof,replicas=1` for that of a replica as well; with
/// `timeout=500ms` (1 ms to 5 s) something else than one second.
///
/// ```
/// use std::time::Duration;
/// use poppo::Durability;
///
/// let durability: Durability = "replicas=1,timeout=500ms".parse()?;
/// assert_eq!(durability, Durability { replicas: 1, aof: false, timeout: Duration::from_millis(500) });
/// # Ok::<(), String>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Durability {
    /// How many replicas must have it: 0 to 100.
    pub replicas: u32,
    /// Whether it must be on disk, in the append-only file: the primary's, and that of the replicas that are counted. Redis
    /// 7.2 or newer, or Valkey 8.
    pub aof: bool,
    /// For how long confirmations are waited for: 1 ms to 5 s.
    pub timeout: Duration,
}

impl Durability {
    /// The question that is answered once that is so.
    pub(crate) fn command(self) -> Cmd {
        let millis = u64::try_from(self.timeout.as_millis()).unwrap_or(u64::MAX).max(1);
        let mut cmd = redis::cmd(if self.aof { "WAITAOF" } else { "WAIT" });
        if self.aof {
            cmd.arg(1);
        }
        cmd.arg(self.replicas).arg(millis);
        cmd
    }

    /// Whether so many confirmations (here on disk, and by replicas) are enough.
    pub(crate) fn is_reached(self, local: u64, replicas: u64) -> bool {
        (!self.aof || local >= 1) && replicas >= u64::from(self.replicas)
    }
}

impl FromStr for Durability {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut durability = Self { replicas: 0, aof: false, timeout: DEFAULT_TIMEOUT };
        for part in text.split(',') {
            match part.split_once('=') {
                None if part == "aof" => durability.aof = true,
                Some(("replicas", count)) => {
                    let count = count.parse().ok().filter(|count| (1..=100).contains(count));
                    durability.replicas = count.ok_or("replicas must be a number from 1 to 100")?;
                }
                Some(("timeout", time)) => {
                    let time = humantime::parse_duration(time).ok();
                    let range = Duration::from_millis(1)..=LONGEST_TIMEOUT;
                    let time = time.filter(|time| range.contains(time));
                    durability.timeout = time.ok_or("timeout must be from 1ms to 5s")?;
                }
                _ => return Err(format!("must be replicas=N, aof, or both, and timeout=TIME, not {part:?}")),
            }
        }
        if durability.replicas == 0 && !durability.aof {
            return Err("must ask for something: replicas=N, aof, or both".to_owned());
        }
        Ok(durability)
    }
}

impl fmt::Display for Durability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let aof = if self.aof { "aof," } else { "" };
        let replicas = if self.replicas > 0 { format!("replicas={},", self.replicas) } else { String::new() };
        write!(f, "{aof}{replicas}timeout={}", humantime::format_duration(self.timeout))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn it_is_read_as_it_is_written() {
        for text in ["replicas=1", "aof", "aof,replicas=2", "replicas=3,timeout=20ms"] {
            let durability: Durability = text.parse().unwrap();
            assert_eq!(durability.to_string().parse(), Ok(durability), "{text}");
        }
        for text in
            ["", "replicas", "replicas=0", "replicas=-1", "replicas=1000", "aof=1", "timeout=1s", "disk", "aof,"]
        {
            assert!(text.parse::<Durability>().is_err(), "{text}");
        }
        for time in ["0s", "6s", "x"] {
            assert!(format!("aof,timeout={time}").parse::<Durability>().is_err(), "{time}");
        }
    }

    #[test]
    fn enough_is_enough() {
        let both: Durability = "aof,replicas=1".parse().unwrap();
        assert!(both.is_reached(1, 1) && !both.is_reached(0, 1) && !both.is_reached(1, 0));
        let replicas: Durability = "replicas=2".parse().unwrap();
        assert!(replicas.is_reached(0, 3) && !replicas.is_reached(1, 1));
        let words: Vec<_> = both.command().args_iter().map(|word| format!("{word:?}")).collect();
        assert_eq!(words.len(), 4, "{words:?}");
    }
}
