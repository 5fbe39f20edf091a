//! What an answer's headers say about limits.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::header::{DATE, RETRY_AFTER};
use http::{HeaderMap, StatusCode};

use super::error;
use super::pacer::Resource;

/// Where a primary limit stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Gauge {
    /// Which one.
    pub(crate) resource: Resource,
    /// How many requests there are in a window.
    pub(crate) limit: u32,
    /// How many are left.
    pub(crate) remaining: u32,
    /// After how long there are as many as in the beginning.
    pub(crate) reset_in: Duration,
}

/// Whether too much was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pressure {
    /// Nobody says so.
    None,
    /// Nothing is left of the primary limit.
    Primary,
    /// A secondary limit is reached; GitHub may say for how long to wait.
    Secondary(Option<Duration>),
}

/// What one answer says about limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) gauge: Option<Gauge>,
    pub(crate) pressure: Pressure,
    /// Whether it cost nothing: what had not changed.
    pub(crate) is_free: bool,
}

impl Told {
    /// Of an answer that never came.
    #[cfg(test)]
    pub(crate) const NOTHING: Self = Self { gauge: None, pressure: Pressure::None, is_free: false };

    /// Whether the request was not done for its limit's sake.
    pub(crate) fn is_refusal(&self) -> bool {
        self.pressure != Pressure::None
    }

    /// Reads headers and, where it is a refusal, the body. `is_limited` is what the body of a GraphQL answer says.
    pub(crate) fn read(
        status: StatusCode,
        headers: &HeaderMap,
        body: &[u8],
        resource: Resource,
        is_limited: bool,
    ) -> Self {
        let now = date(headers).unwrap_or_else(SystemTime::now);
        let gauge = gauge(headers, resource, now);
        Self {
            gauge,
            pressure: pressure(status, headers, body, gauge, now, is_limited),
            is_free: status == StatusCode::NOT_MODIFIED,
        }
    }
}

/// GitHub's clock, which need not go as ours does.
pub(super) fn date(headers: &HeaderMap) -> Option<SystemTime> {
    httpdate::parse_http_date(text(headers, DATE.as_str())?).ok()
}

fn gauge(headers: &HeaderMap, resource: Resource, now: SystemTime) -> Option<Gauge> {
    let number = |name| text(headers, name)?.trim().parse::<u64>().ok();
    let resource = match text(headers, "x-ratelimit-resource") {
        Some("core") => Resource::Core,
        Some("graphql") => Resource::Graphql,
        // Of another limit (search, say), which is not ours to keep.
        Some(_) => return None,
        None => resource,
    };
    let count = |name| number(name).map(|count| u32::try_from(count).unwrap_or(u32::MAX));
    let reset = UNIX_EPOCH.checked_add(Duration::from_secs(number("x-ratelimit-reset")?))?;
    Some(Gauge {
        resource,
        limit: count("x-ratelimit-limit")?,
        remaining: count("x-ratelimit-remaining")?,
        // An hour is all that GitHub ever says; more is a clock that is wrong.
        reset_in: reset.duration_since(now).unwrap_or_default().min(Duration::from_secs(2 * 3_600)),
    })
}

fn pressure(
    status: StatusCode,
    headers: &HeaderMap,
    body: &[u8],
    gauge: Option<Gauge>,
    now: SystemTime,
    is_limited: bool,
) -> Pressure {
    let is_refusal = matches!(status, StatusCode::FORBIDDEN | StatusCode::TOO_MANY_REQUESTS);
    if !is_refusal && !is_limited {
        // A server that is down may say when it will be up again.
        let wait = retry_after(headers, now).filter(|_| status == StatusCode::SERVICE_UNAVAILABLE);
        return wait.map_or(Pressure::None, |wait| Pressure::Secondary(Some(wait)));
    }
    let message = if is_limited { String::from_utf8_lossy(body).into_owned() } else { error::message(body) };
    let message = message.to_lowercase();
    let is_secondary = message.contains("secondary rate limit") || message.contains("abuse");
    match retry_after(headers, now) {
        Some(wait) => Pressure::Secondary(Some(wait)),
        None if gauge.is_some_and(|gauge| gauge.remaining == 0) => {
            let wait = gauge.map(|gauge| gauge.reset_in).filter(|_| is_secondary);
            wait.map_or(Pressure::Primary, |wait| Pressure::Secondary(Some(wait)))
        }
        None if is_limited || status == StatusCode::TOO_MANY_REQUESTS || is_secondary => Pressure::Secondary(None),
        None if message.contains("rate limit") => Pressure::Secondary(None),
        None => Pressure::None,
    }
}

/// Seconds, or a date.
fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = text(headers, RETRY_AFTER.as_str())?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let until = httpdate::parse_http_date(text).ok()?;
    Some(until.duration_since(now).unwrap_or_default())
}

pub(super) fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const NOW: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
    const THEN: u64 = 784_111_777;

    fn told(status: u16, headers: &[(&'static str, &str)], message: &str) -> Told {
        let mut map = HeaderMap::new();
        map.insert("date", NOW.parse().unwrap());
        for (name, value) in headers {
            map.insert(*name, value.parse().unwrap());
        }
        let body = serde_json::json!({ "message": message }).to_string();
        Told::read(StatusCode::from_u16(status).unwrap(), &map, body.as_bytes(), Resource::Core, false)
    }

    #[test]
    fn a_reset_is_told_by_githubs_own_clock() {
        let reset = (THEN + 90).to_string();
        let headers = [("x-ratelimit-limit", "5000"), ("x-ratelimit-remaining", "17"), ("x-ratelimit-reset", &reset)];
        let gauge = told(200, &headers, "").gauge.unwrap();
        assert_eq!((gauge.limit, gauge.remaining, gauge.reset_in), (5000, 17, Duration::from_secs(90)));
        let of_search = [headers[0], headers[1], headers[2], ("x-ratelimit-resource", "search")];
        assert_eq!(told(200, &of_search, "").gauge, None);
    }

    #[test]
    fn a_refusal_is_pressure_only_where_it_says_so() {
        let seconds = |seconds| Pressure::Secondary(Some(Duration::from_secs(seconds)));
        assert_eq!(told(403, &[], "Resource not accessible by integration").pressure, Pressure::None);
        assert_eq!(told(403, &[("retry-after", "7")], "no").pressure, seconds(7));
        assert_eq!(told(429, &[("retry-after", "Sun, 06 Nov 1994 08:50:37 GMT")], "no").pressure, seconds(60));
        assert_eq!(told(429, &[], "no").pressure, Pressure::Secondary(None));
        assert_eq!(told(403, &[], "You have exceeded a secondary rate limit").pressure, Pressure::Secondary(None));
        let reset = (THEN + 90).to_string();
        let none = [("x-ratelimit-limit", "9"), ("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", reset.as_str())];
        assert_eq!(told(403, &none, "API rate limit exceeded").pressure, Pressure::Primary);
        assert_eq!(told(403, &none, "You have exceeded a secondary rate limit").pressure, seconds(90));
        assert_eq!(told(200, &none, "").pressure, Pressure::None, "the last one was still allowed");
        assert_eq!(told(503, &[("retry-after", "3")], "").pressure, seconds(3));
    }
}
