//! What a URL says: which servers, how they are arranged, who we are to them, and what a write has to reach.

use std::fmt;
use std::fs;
use std::sync::Once;

use redis::{ConnectionAddr, ConnectionInfo, IntoConnectionInfo as _, TlsCertificates};

use crate::client::DEFAULT_PORT;
use crate::{Durability, Error, redacted};

/// The port that a Sentinel listens on unless it is told otherwise.
const SENTINEL_PORT: u16 = 26_379;

/// What a URL may look like, for those who wrote another one.
const FORMS: &str = "it must be redis://[user:password@]host[:port][/db] (rediss:// with TLS), unix:///path/to/socket, \
                     redis+sentinel://host,host/primary, redis+cluster://host,host or file:///path/to/file.json";

/// One server, as it is reached.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Node {
    /// The only one that there is, wherever the URL says.
    Only,
    /// One of several.
    At(String, u16),
}

impl Node {
    /// From `host:port`, as servers write it in redirections, where the host may be missing: then it is the one of the
    /// server that says so.
    pub(crate) fn from_redirection(text: &str, says: &Self) -> Option<Self> {
        let (host, port) = text.rsplit_once(':')?;
        Self::announced(host, port.parse().ok()?, says)
    }

    /// A host and a port, as a server announced them.
    pub(crate) fn announced(host: &str, port: u16, says: &Self) -> Option<Self> {
        let host = host.trim_start_matches('[').trim_end_matches(']');
        match (host, says) {
            ("" | "?", Self::At(same, _)) => Some(Self::At(same.clone(), port)),
            ("" | "?", Self::Only) => None,
            _ => Some(Self::At(host.to_owned(), port)),
        }
    }
}

/// How the servers are arranged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Arrangement {
    /// One server.
    Single,
    /// One primary at a time, and Sentinels that know which it is under this name.
    Sentinel { primary: String },
    /// A project is on the node that has its slot.
    Cluster,
}

/// What a URL says.
#[derive(Clone)]
pub(crate) struct Address {
    pub(crate) arrangement: Arrangement,
    /// The Sentinels, or the nodes of a cluster to begin with; or the only one.
    pub(crate) seeds: Vec<Node>,
    pub(crate) durability: Option<Durability>,
    /// How to be let in by a server; its place is that of the first seed.
    info: ConnectionInfo,
    /// How to be let in by a Sentinel, which has users of its own.
    sentinel: (Option<String>, Option<String>),
    certificates: Option<TlsCertificates>,
}

impl fmt::Debug for Address {
    /// Without what is secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Address").field("arrangement", &self.arrangement).field("seeds", &self.seeds).finish()
    }
}

impl Address {
    /// Reads a URL. The files that it names are read, too.
    pub(crate) fn parse(url: &str) -> Result<Self, Error> {
        Self::read(url).map_err(|message| Error::Url { url: redacted(url), message })
    }

    fn read(url: &str) -> Result<Self, String> {
        let (base, query) = url.split_once('?').unwrap_or((url, ""));
        let options = Options::read(base, query)?;
        let (scheme, rest) = base.split_once("://").ok_or(FORMS)?;
        let (plain, arrangement) = match scheme.split_once('+') {
            Some((plain @ ("redis" | "rediss"), "sentinel")) => (plain, Some("sentinel")),
            Some((plain @ ("redis" | "rediss"), "cluster")) => (plain, Some("cluster")),
            _ => (scheme, None),
        };
        let (login, places) = match rest.rsplit_once('@') {
            Some((login, places)) if plain != "unix" => (format!("{login}@"), places),
            _ => (String::new(), rest),
        };
        let (hosts, path) = places.split_once('/').unwrap_or((places, ""));
        let single = |host: &str, path: &str| {
            // What the crate says may repeat the URL, password and all, so only what it knows to be wrong is passed on.
            let url = format!("{plain}://{login}{host}/{path}{}", options.passed_on());
            url.as_str().into_connection_info().map_err(|error| match error.detail() {
                Some(detail) if !detail.contains(&url) => detail.to_owned(),
                _ if error.to_string().contains("database number") => "the database must be a number".to_owned(),
                _ => FORMS.to_owned(),
            })
        };
        let mut infos = Vec::new();
        let arrangement = match arrangement {
            None => {
                infos.push(single(hosts, path)?);
                Arrangement::Single
            }
            Some("sentinel") => {
                let (primary, db) = path.split_once('/').unwrap_or((path, ""));
                if primary.is_empty() {
                    return Err("the name of the primary is missing: redis+sentinel://host,host/primary".to_owned());
                }
                for host in hosts.split(',') {
                    infos.push(single(host, db)?);
                }
                Arrangement::Sentinel { primary: decoded(primary) }
            }
            Some(_) => {
                if !matches!(path, "" | "0") {
                    return Err("a cluster has no database but 0".to_owned());
                }
                for host in hosts.split(',') {
                    infos.push(single(host, "")?);
                }
                Arrangement::Cluster
            }
        };
        let is_tls = plain == "rediss" || plain == "valkeys";
        let certificates = options.certificates(is_tls)?;
        let default_port =
            if matches!(arrangement, Arrangement::Sentinel { .. }) { SENTINEL_PORT } else { DEFAULT_PORT };
        let seeds = infos.iter().zip(hosts.split(',')).map(|(info, host)| match (info.addr(), &arrangement) {
            (ConnectionAddr::Unix(_), _) | (_, Arrangement::Single) => Node::Only,
            (ConnectionAddr::Tcp(name, port) | ConnectionAddr::TcpTls { host: name, port, .. }, _) => {
                Node::At(name.clone(), if has_port(host) { *port } else { default_port })
            }
            (other, _) => Node::At(other.to_string(), default_port),
        });
        let seeds = seeds.collect();
        let info = infos.into_iter().next().ok_or(FORMS)?;
        Ok(Self {
            arrangement,
            seeds,
            durability: options.durability,
            info,
            sentinel: (options.sentinel_user, options.sentinel_password),
            certificates,
        })
    }

    /// How to reach one of the servers.
    pub(crate) fn server(&self, node: &Node) -> redis::RedisResult<redis::Client> {
        self.client(node, self.info.redis_settings().clone())
    }

    /// How to reach one of the servers in order to listen to channels, which takes RESP3.
    pub(crate) fn subscriber(&self, node: &Node) -> redis::RedisResult<redis::Client> {
        self.client(node, self.info.redis_settings().clone().set_protocol(redis::ProtocolVersion::RESP3))
    }

    /// How to reach a Sentinel. It has no databases, and users of its own.
    pub(crate) fn sentinel(&self, node: &Node) -> redis::RedisResult<redis::Client> {
        let mut settings = redis::RedisConnectionInfo::default().set_protocol(self.info.redis_settings().protocol());
        if let Some(user) = &self.sentinel.0 {
            settings = settings.set_username(user);
        }
        if let Some(password) = &self.sentinel.1 {
            settings = settings.set_password(password);
        }
        self.client(node, settings)
    }

    fn client(&self, node: &Node, settings: redis::RedisConnectionInfo) -> redis::RedisResult<redis::Client> {
        let mut info = self.info.clone().set_redis_settings(settings).set_tcp_settings(vigilant());
        if let Node::At(host, port) = node {
            let addr = match info.addr() {
                ConnectionAddr::TcpTls { .. } => {
                    ConnectionAddr::TcpTls { host: host.clone(), port: *port, insecure: false, tls_params: None }
                }
                _ => ConnectionAddr::Tcp(host.clone(), *port),
            };
            info = info.set_addr(addr);
        }
        if !matches!(info.addr(), ConnectionAddr::TcpTls { .. }) {
            return redis::Client::open(info);
        }
        static CRYPTOGRAPHY: Once = Once::new();
        // A program that chose its own before us keeps it.
        CRYPTOGRAPHY.call_once(|| drop(rustls::crypto::ring::default_provider().install_default()));
        match &self.certificates {
            Some(certificates) => redis::Client::build_with_tls(info, certificates.clone()),
            None => redis::Client::open(info),
        }
    }
}

/// A connection that is waited on for long notices within half a minute that the other host is gone.
fn vigilant() -> redis::io::tcp::TcpSettings {
    use std::time::Duration;
    let keepalive = redis::io::tcp::socket2::TcpKeepalive::new()
        .with_time(Duration::from_secs(10))
        .with_interval(Duration::from_secs(5))
        .with_retries(3);
    redis::io::tcp::TcpSettings::default().set_keepalive(keepalive)
}

/// What stands behind the `?`.
#[derive(Default)]
struct Options {
    /// What the `redis` crate reads.
    passed_on: Vec<String>,
    durability: Option<Durability>,
    sentinel_user: Option<String>,
    sentinel_password: Option<String>,
    ca: Option<String>,
    cert: Option<String>,
    key: Option<String>,
}

impl Options {
    fn read(base: &str, query: &str) -> Result<Self, String> {
        let is_socket = base.starts_with("unix:");
        let mut options = Self::default();
        for part in query.split('&').filter(|part| !part.is_empty()) {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            match name {
                "protocol" => options.passed_on.push(part.to_owned()),
                "db" | "user" | "pass" if is_socket => options.passed_on.push(part.to_owned()),
                "durability" => {
                    let durability = decoded(value).parse().map_err(|why| format!("durability: {why}"))?;
                    options.durability = Some(durability);
                }
                "sentinel-user" => options.sentinel_user = Some(decoded(value)),
                "sentinel-pass" => options.sentinel_password = Some(decoded(value)),
                "ca" => options.ca = Some(decoded(value)),
                "cert" => options.cert = Some(decoded(value)),
                "key" => options.key = Some(decoded(value)),
                "db" | "user" | "pass" => {
                    return Err(format!("{name} is for unix sockets; write redis://user:password@host:port/db"));
                }
                _ => {
                    return Err(format!(
                        "there is no parameter {name}; there are protocol, durability, ca, cert, key, sentinel-user and \
                         sentinel-pass, and db, user and pass of unix sockets"
                    ));
                }
            }
        }
        Ok(options)
    }

    fn passed_on(&self) -> String {
        if self.passed_on.is_empty() { String::new() } else { format!("?{}", self.passed_on.join("&")) }
    }

    /// The certificates that were named; none where the system's authorities are to be trusted.
    fn certificates(&self, is_tls: bool) -> Result<Option<TlsCertificates>, String> {
        let file = |name: &str, path: &Option<String>| {
            path.as_ref()
                .map(|path| fs::read(path).map_err(|error| format!("{name}: {path} cannot be read: {error}")))
                .transpose()
        };
        let root_cert = file("ca", &self.ca)?;
        let client_tls = match (file("cert", &self.cert)?, file("key", &self.key)?) {
            (Some(client_cert), Some(client_key)) => Some(redis::ClientTlsConfig { client_cert, client_key }),
            (None, None) => None,
            _ => return Err("cert and key belong together: name both files".to_owned()),
        };
        if root_cert.is_none() && client_tls.is_none() {
            return Ok(None);
        }
        if !is_tls {
            return Err("certificates are for TLS: write rediss://".to_owned());
        }
        let is_pem = |bytes: &[u8]| bytes.windows(11).any(|window| window == b"-----BEGIN ");
        if root_cert.as_ref().is_some_and(|bytes| !is_pem(bytes)) {
            return Err(format!("ca: {} holds no certificate in PEM form", self.ca.as_deref().unwrap_or_default()));
        }
        Ok(Some(TlsCertificates { client_tls, root_cert }))
    }
}

/// Whether a place names its port. The colons within an IPv6 address are between brackets.
fn has_port(place: &str) -> bool {
    place.rsplit(']').next().is_some_and(|behind| behind.contains(':'))
}

/// With `%2F` and the like put back; what is no such thing is left as it is.
pub(crate) fn decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut plain = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let hex = (byte == b'%').then(|| text.get(at + 1..at + 3)).flatten();
        match hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) => {
                plain.push(byte);
                at += 3;
            }
            None => {
                plain.push(byte);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&plain).into_owned()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn at(host: &str, port: u16) -> Node {
        Node::At(host.to_owned(), port)
    }

    fn wrong(url: &str) -> String {
        let error = Address::parse(url).unwrap_err();
        assert_eq!(error.code(), "URL");
        let text = error.to_string();
        assert!(!text.contains("secret"), "{text}");
        text
    }

    #[test]
    fn sentinels_and_the_name_of_their_primary_are_read() {
        let url = "redis+sentinel://me:pw@h1,h2:7000,[::1]:7001/my%20primary/3?sentinel-pass=s&protocol=resp3";
        let address = Address::parse(url).unwrap();
        assert_eq!(address.arrangement, Arrangement::Sentinel { primary: "my primary".to_owned() });
        assert_eq!(address.seeds, [at("h1", 26_379), at("h2", 7000), at("::1", 7001)]);
        let server = address.server(&at("h9", 1)).unwrap();
        let settings = server.get_connection_info().redis_settings();
        assert_eq!((settings.db(), settings.username(), settings.password()), (3, Some("me"), Some("pw")));
        let sentinel = address.sentinel(&at("h1", 26_379)).unwrap();
        let settings = sentinel.get_connection_info().redis_settings();
        assert_eq!((settings.db(), settings.username(), settings.password()), (0, None, Some("s")));
    }

    #[test]
    fn nodes_of_a_cluster_are_read() {
        let address = Address::parse("rediss+cluster://h1,h2:7000").unwrap();
        assert_eq!(address.arrangement, Arrangement::Cluster);
        assert_eq!(address.seeds, [at("h1", 6379), at("h2", 7000)]);
        let node = address.server(&at("h9", 1)).unwrap();
        assert!(matches!(node.get_connection_info().addr(), ConnectionAddr::TcpTls { port: 1, .. }));
    }

    #[test]
    fn a_single_server_is_as_before() {
        for url in ["redis://u:p@h:1/2", "rediss://h", "unix:///a/b.sock?db=1&pass=x&user=u", "redis://[::1]:9"] {
            let address = Address::parse(url).unwrap();
            assert_eq!((address.arrangement, address.seeds), (Arrangement::Single, vec![Node::Only]), "{url}");
        }
        let address = Address::parse("unix:///a%20b/c@d.sock").unwrap();
        let server = address.server(&Node::Only).unwrap();
        assert_eq!(server.get_connection_info().addr().to_string(), "/a b/c@d.sock");
    }

    #[test]
    fn what_is_wrong_with_a_url_is_said_in_a_sentence_without_its_password() {
        assert!(wrong("redis://u:secret@h:99999/x").contains("redis://"));
        assert!(wrong("http://u:secret@h").contains("redis+sentinel"));
        assert!(wrong("nonsense").contains("unix:///"));
        assert!(wrong("redis://h/x").contains("number"), "{}", wrong("redis://h/x"));
        assert!(wrong("redis+sentinel://h1,h2").contains("primary"));
        assert!(wrong("redis+sentinel://:secret@h1,h2/").contains("primary"));
        assert!(wrong("redis+cluster://h/3").contains("database"));
        assert!(wrong("redis://h?durabilty=replicas=1").contains("durabilty"));
        assert!(wrong("redis://h?durability=replicas=x").contains("replicas"));
        assert!(wrong("redis://h?pass=secret").contains("unix"));
        assert!(wrong("redis://h?ca=/nowhere/ca.pem").contains("/nowhere/ca.pem"));
        assert!(wrong("rediss://h?cert=Cargo.toml").contains("belong together"));
        assert!(wrong("rediss://h?ca=Cargo.toml").contains("PEM"));
        assert!(wrong("redis+sentinel://h,/x").contains("redis"));
    }

    #[test]
    fn a_node_without_a_host_is_where_the_one_is_that_names_it() {
        let says = at("h1", 7000);
        assert_eq!(Node::from_redirection("h2:7001", &says), Some(at("h2", 7001)));
        assert_eq!(Node::from_redirection(":7001", &says), Some(at("h1", 7001)));
        assert_eq!(Node::from_redirection("?:7001", &says), Some(at("h1", 7001)));
        assert_eq!(Node::from_redirection("[fe80::1]:7001", &says), Some(at("fe80::1", 7001)));
        assert_eq!(Node::from_redirection("fe80::1:7001", &says), Some(at("fe80::1", 7001)));
        assert_eq!(Node::from_redirection("nonsense", &says), None);
    }
}
