//! How to call redis-cli for the server that was looked at, so that what mends something can be pasted.

/// The words that lead redis-cli to a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RedisCli(String);

impl RedisCli {
    /// To the server at a URL. Where that has a password, redis-cli asks for it: what is printed here may be kept.
    pub(super) fn to(url: &str) -> Self {
        let Some((scheme, rest)) = url.split_once("://") else { return Self("redis-cli".to_owned()) };
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let tls = match scheme {
            "redis" => "",
            "rediss" => " --tls",
            "unix" | "redis+unix" => {
                let user = query.split('&').find_map(|part| part.strip_prefix("user="));
                let has_password = query.split('&').any(|part| part.starts_with("pass="));
                return Self(format!("redis-cli -s {}{}", quoted(rest), login(user, has_password)));
            }
            _ => return Self(format!("redis-cli -u {}", quoted(url))),
        };
        let (user, place) = rest.rsplit_once('@').map_or((None, rest), |(user, place)| (Some(user), place));
        let place = place.split('/').next().unwrap_or(place);
        // The colons of an IPv6 address are within brackets.
        let (host, port) = match place.rsplit_once(':') {
            Some((host, port)) if !port.contains(']') => (host, port),
            _ => (place, "6379"),
        };
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let name = user.map(|user| user.split(':').next().unwrap_or(user)).filter(|name| !name.is_empty());
        let login = login(name, user.is_some_and(|user| user.contains(':')));
        Self(format!("redis-cli{tls} -h {} -p {port}{login}", quoted(host)))
    }

    /// With a command behind it.
    pub(super) fn command(&self, words: &str) -> String {
        format!("{} {words}", self.0)
    }
}

fn login(user: Option<&str>, has_password: bool) -> String {
    let user = user.map(|user| format!(" --user {}", quoted(user))).unwrap_or_default();
    if has_password { format!("{user} --askpass") } else { user }
}

/// As a shell reads it back.
pub(super) fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:@%+,=~".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redis_cli_is_led_to_the_same_server() {
        let to = |url| RedisCli::to(url).command("PING");
        assert_eq!(to("redis://h:7000/2"), "redis-cli -h h -p 7000 PING");
        assert_eq!(to("redis://h"), "redis-cli -h h -p 6379 PING");
        assert_eq!(to("rediss://[::1]:7000"), "redis-cli --tls -h ::1 -p 7000 PING");
        assert_eq!(to("redis://u:***@h:1"), "redis-cli -h h -p 1 --user u --askpass PING");
        assert_eq!(to("redis://:***@h:1"), "redis-cli -h h -p 1 --askpass PING");
        assert_eq!(to("unix:///a/b.sock"), "redis-cli -s /a/b.sock PING");
        assert_eq!(to("unix:///a/b.sock?user=u&pass=***"), "redis-cli -s /a/b.sock --user u --askpass PING");
    }

    #[test]
    fn a_shell_reads_a_word_back_as_it_was() {
        assert_eq!(quoted("acme/widgets"), "acme/widgets");
        assert_eq!(quoted("it's"), r"'it'\''s'");
        assert_eq!(quoted(""), "''");
    }
}
