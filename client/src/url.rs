//! The two things done to URLs here: hiding the password before one is shown, and writing the one of a socket.

use std::fmt::Write as _;
use std::path::Path;

/// The URL with the password replaced by `***`, for messages and logs.
///
/// ```
/// assert_eq!(poppo::redacted("redis://worker:secret@host:6379/1"), "redis://worker:***@host:6379/1");
/// ```
#[must_use]
pub fn redacted(url: &str) -> String {
    let (base, query) = url.split_once('?').map_or((url, None), |(base, query)| (base, Some(query)));
    let mut shown = redact_authority(base);
    if let Some(query) = query {
        let parts: Vec<&str> =
            query.split('&').map(|part| part.split_once("pass=").map_or(part, |(name, _)| secret(name))).collect();
        shown.push('?');
        shown.push_str(&parts.join("&"));
    }
    shown
}

/// A parameter whose value is hidden.
fn secret(name: &str) -> &'static str {
    if name.is_empty() { "pass=***" } else { "sentinel-pass=***" }
}

/// `scheme://user:secret@host` with the secret hidden. The last `@` ends the secret, so that one within it shows nothing.
fn redact_authority(base: &str) -> String {
    let Some((scheme, rest)) = base.split_once("://") else { return base.to_owned() };
    let Some((login, place)) = rest.rsplit_once('@') else { return base.to_owned() };
    let user = login.split_once(':').map_or(login, |(user, _)| user);
    if login.contains(':') { format!("{scheme}://{user}:***@{place}") } else { base.to_owned() }
}

/// The URL of a unix socket, with what a URL cannot hold percent-encoded.
///
/// ```
/// let url = poppo::unix_url("/run/my project/redis.sock".as_ref());
/// assert_eq!(url, "unix:///run/my%20project/redis.sock");
/// ```
#[must_use]
pub fn unix_url(socket: &Path) -> String {
    path_url("unix://", socket)
}

/// The URL of a file, in the same way.
pub(crate) fn file_url(file: &Path) -> String {
    path_url("file://", file)
}

fn path_url(scheme: &str, path: &Path) -> String {
    let mut url = String::from(scheme);
    for byte in path.as_os_str().as_encoded_bytes() {
        match byte {
            b'/' | b'.' | b'-' | b'_' | b'~' => url.push(char::from(*byte)),
            byte if byte.is_ascii_alphanumeric() => url.push(char::from(*byte)),
            // Writing to a String cannot fail.
            byte => drop(write!(url, "%{byte:02X}")),
        }
    }
    url
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_hidden() {
        assert_eq!(redacted("redis://u:p@ss@h:1/2"), "redis://u:***@h:1/2");
        assert_eq!(redacted("redis://:secret@h"), "redis://:***@h");
        assert_eq!(redacted("unix:///a/b.sock?db=1&pass=x&user=u"), "unix:///a/b.sock?db=1&pass=***&user=u");
        assert_eq!(
            redacted("redis+sentinel://:p@h,i/m?sentinel-pass=x&protocol=resp3"),
            "redis+sentinel://:***@h,i/m?sentinel-pass=***&protocol=resp3"
        );
        assert_eq!(redacted("redis://h:1"), "redis://h:1");
        assert_eq!(redacted("nonsense"), "nonsense");
    }

    #[test]
    fn a_socket_with_a_blank_in_its_path_has_a_url() {
        assert_eq!(unix_url(Path::new("/my work/a%b.sock")), "unix:///my%20work/a%25b.sock");
    }
}
