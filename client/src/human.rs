//! Durations and ages in the words of people, both ways.

use std::time::{Duration, SystemTime};

use poppo::Timestamp;

/// Reads `90s`, `5m`, `1h 30m`, `250ms`. A bare number is refused, since nobody can tell what it is.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text).map_err(|error| format!("{error}; write it as 90s, 5m or 1h30m"))
}

/// Writes a duration in its two largest units: `3m 12s`. Below ten seconds, milliseconds count.
pub(crate) fn duration(duration: Duration) -> String {
    let millis = duration.as_millis();
    if millis < 10_000 {
        return match (millis / 1000, millis % 1000) {
            (0, millis) => format!("{millis}ms"),
            (seconds, 0) => format!("{seconds}s"),
            (seconds, millis) => format!("{seconds}.{}s", millis / 100),
        };
    }
    let seconds = duration.as_secs();
    let units = [(seconds / 86_400, "d"), (seconds / 3600 % 24, "h"), (seconds / 60 % 60, "m"), (seconds % 60, "s")];
    let parts: Vec<String> = units
        .into_iter()
        .skip_while(|(count, _)| *count == 0)
        .take(2)
        .filter(|(count, _)| *count > 0)
        .map(|(count, unit)| format!("{count}{unit}"))
        .collect();
    parts.join(" ")
}

/// How long ago that was, by the server's clock; the time itself where it is not understood.
pub(crate) fn ago(then: &Timestamp, now: SystemTime) -> String {
    match then.to_system_time() {
        // Up to a second may lie between the answer and the asking for the time.
        Some(then) => match now.duration_since(then) {
            Ok(age) if age >= Duration::from_secs(1) => format!("{} ago", duration(whole_seconds(age))),
            _ => "just now".to_owned(),
        },
        None => then.to_string(),
    }
}

/// In how much time that will be, by the server's clock; the time itself where it is not understood.
pub(crate) fn until(then: &Timestamp, now: SystemTime) -> String {
    match then.to_system_time().map(|then| then.duration_since(now)) {
        Some(Ok(left)) if left >= Duration::from_secs(1) => format!("in {}", duration(whole_seconds(left))),
        Some(_) => "now".to_owned(),
        None => then.to_string(),
    }
}

fn whole_seconds(duration: Duration) -> Duration {
    Duration::from_secs(duration.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_written_in_two_units() {
        let text = |millis| duration(Duration::from_millis(millis));
        assert_eq!(text(0), "0ms");
        assert_eq!(text(250), "250ms");
        assert_eq!(text(2000), "2s");
        assert_eq!(text(2500), "2.5s");
        assert_eq!(text(192_000), "3m 12s");
        assert_eq!(text(1_800_000), "30m");
        assert_eq!(text(3_600_000 + 5000), "1h");
        assert_eq!(text(90_000_000), "1d 1h");
    }

    #[test]
    fn durations_need_a_unit() {
        assert_eq!(parse_duration("2s"), Ok(Duration::from_secs(2)));
        assert_eq!(parse_duration("1h 30m"), Ok(Duration::from_secs(5400)));
        assert!(parse_duration("30").is_err_and(|error| error.contains("90s")));
        assert!(parse_duration("soon").is_err());
    }

    #[test]
    fn ages_are_told_by_the_clock_that_is_given() -> Result<(), String> {
        let then = "2026-01-01T00:00:00.000Z";
        let start = humantime::parse_rfc3339(then).map_err(|error| error.to_string())?;
        let issue = |now| ago_of(then, now);
        assert_eq!(issue(start + Duration::from_millis(192_900)), "3m 12s ago");
        assert_eq!(issue(start), "just now");
        // A clock that runs behind the server's makes nothing happen in the future.
        assert_eq!(issue(start - Duration::from_secs(5)), "just now");
        let due = |now| until(&Timestamp::from(then.to_owned()), now);
        assert_eq!(due(start - Duration::from_millis(192_900)), "in 3m 12s");
        assert_eq!((due(start), due(start + Duration::from_secs(5))), ("now".to_owned(), "now".to_owned()));
        Ok(())
    }

    fn ago_of(then: &str, now: SystemTime) -> String {
        ago(&Timestamp::from(then.to_owned()), now)
    }
}
