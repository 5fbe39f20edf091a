//! When a failed task is tried again: `--retry base=30s,max=1h`.

use std::str::FromStr;
use std::time::Duration;

use poppo::Backoff;

use crate::human::parse_duration;

/// The first pause where none is named.
const BASE: Duration = Duration::from_secs(30);
/// The longest pause where none is named.
const MAX: Duration = Duration::from_secs(3600);
/// The longest that a task can be delayed.
const LONGEST: Duration = Duration::from_secs(365 * 86_400);

/// How long failed tasks wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Again {
    base: Duration,
    max: Duration,
}

impl Again {
    /// The pause after a run that failed, where so many had failed before it.
    pub(crate) fn pause(self, attempts: u32) -> Duration {
        Backoff::new(self.base, self.max).after(attempts).pause()
    }
}

impl FromStr for Again {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (mut base, mut max) = (None, None);
        for part in text.split(',').filter(|part| !part.is_empty()) {
            let (name, value) = part.split_once('=').ok_or_else(|| allowed(part))?;
            let place = match name {
                "base" => &mut base,
                "max" => &mut max,
                _ => return Err(allowed(part)),
            };
            let time = parse_duration(value).map_err(|error| format!("{name}: {error}"))?;
            if time > LONGEST {
                return Err(format!("{name} must be at most 365d"));
            }
            if place.replace(time).is_some() {
                return Err(format!("{name} is given twice"));
            }
        }
        let base = base.unwrap_or(BASE);
        let max = max.unwrap_or(MAX.max(base));
        if max < base {
            return Err("max must not be shorter than base".to_owned());
        }
        Ok(Self { base, max })
    }
}

fn allowed(part: &str) -> String {
    format!("{part} is neither base=DURATION nor max=DURATION")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_with_each_failure_up_to_the_longest() {
        let again: Again = "base=1s,max=5s".parse().unwrap();
        for (attempts, most) in [(0, 1), (1, 2), (2, 4), (3, 5), (100, 5)] {
            let most = Duration::from_secs(most);
            let pause = again.pause(attempts);
            assert!((most / 2..=most).contains(&pause), "{pause:?} after {attempts}");
        }
    }

    #[test]
    fn what_is_not_named_has_a_default() {
        let again = |text: &str| text.parse::<Again>();
        assert_eq!(again(""), Ok(Again { base: BASE, max: MAX }));
        assert_eq!(again("max=1m"), Ok(Again { base: BASE, max: Duration::from_secs(60) }));
        assert_eq!(again("base=2h").map(|again| again.max), Ok(Duration::from_secs(7200)));
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        for bad in ["1s", "base=1", "max=1s", "base=1s,base=2s", "jitter=2", "base=366d", "base"] {
            assert!(bad.parse::<Again>().is_err(), "{bad}");
        }
    }
}
