//! What can go wrong, sorted by what a caller does about it. The texts are the server's wherever it said something.

use std::time::Duration;

/// The server said no, and nothing was changed. Each carries the server's sentence, without the code before it.
///
/// ```
/// use poppo::Refusal;
///
/// let refusal = Refusal::Held("issue 123 is checked out by worker-1".to_owned());
/// assert_eq!(refusal.code(), "HELD");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// `HELD`: somebody else has the issue checked out. Work on another one.
    #[error("{0}")]
    Held(String),
    /// `DONE`: the issue was completed before, and `ONCE` was given.
    #[error("{0}")]
    Done(String),
    /// `STALE`: the token is no longer valid. The lease is lost, and so is the right to report on it.
    #[error("{0}")]
    Stale(String),
    /// `NOTHELD`: nobody has the issue checked out, or it is unknown.
    #[error("{0}")]
    NotHeld(String),
    /// `NOPROC`: this life of the process is not known. Stop its work.
    #[error("{0}")]
    NoProcess(String),
    /// `INUSE`: another life of that process name is attested alive by its host's agent.
    #[error("{0}")]
    InUse(String),
    /// `ALIVE`: the issue's holder is not an orphan, so there is nothing to repair.
    #[error("{0}")]
    Alive(String),
    /// `CONFLICT`: a value of free state is not what a transaction took it for. Read it again.
    #[error("{name:?} is not as expected: {}", found(.current.as_deref()))]
    Conflict {
        /// Which value.
        name: String,
        /// What it is instead, as JSON text; none where there is none.
        current: Option<String>,
    },
}

/// The rest of a sentence.
fn found(current: Option<&str>) -> String {
    const LONGEST: usize = 200;
    match current {
        None => "there is no value of that name".to_owned(),
        Some(text) => match text.char_indices().nth(LONGEST) {
            Some((end, _)) => format!("it is {}… ({} bytes)", text.get(..end).unwrap_or_default(), text.len()),
            None => format!("it is {text}"),
        },
    }
}

impl Refusal {
    /// The refusal that `code` stands for, if it is one.
    pub(crate) fn from_code(code: &str, text: String) -> Option<Self> {
        Some(match code {
            "HELD" => Self::Held(text),
            "DONE" => Self::Done(text),
            "STALE" => Self::Stale(text),
            "NOTHELD" => Self::NotHeld(text),
            "NOPROC" => Self::NoProcess(text),
            "INUSE" => Self::InUse(text),
            "ALIVE" => Self::Alive(text),
            _ => return None,
        })
    }

    /// The stable first word of the server's error, such as `HELD`.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Held(_) => "HELD",
            Self::Done(_) => "DONE",
            Self::Stale(_) => "STALE",
            Self::NotHeld(_) => "NOTHELD",
            Self::NoProcess(_) => "NOPROC",
            Self::InUse(_) => "INUSE",
            Self::Alive(_) => "ALIVE",
            Self::Conflict { .. } => "CONFLICT",
        }
    }
}

/// What a server says that is expected to answer otherwise soon.
const PASSING: [&str; 8] =
    ["LOADING", "UNBLOCKED", "READONLY", "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN", "BUSY", "NOREPLICAS"];

/// Why a call did not do what it was asked.
///
/// ```
/// use poppo::{Error, Refusal};
///
/// let error = Error::from(Refusal::Stale("token 7 of issue 123 is no longer valid".to_owned()));
/// assert_eq!(error.code(), "STALE");
/// assert!(!error.may_pass(), "asked again, it would be refused again");
/// match error {
///     Error::Refused(Refusal::Stale(text)) => println!("too late: {text}"),
///     other => println!("{other}"),
/// }
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The server's rules said no. Expected in daily life: another worker was faster, or this one was too slow.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// `ERR`: an argument is not allowed. The text names it and what is allowed.
    #[error("{0}")]
    BadArgument(String),
    /// The server is a Redis without the Poppo module.
    #[error(
        "the server at {url} does not have the Poppo module loaded: start one that does with `poppo up`, or start \
         yours with `redis-server --loadmodule /path/to/libpoppo.so`"
    )]
    NoModule {
        /// Which server, without its password.
        url: String,
    },
    /// The server's module is of an older version, and does not know what was asked.
    #[error(
        "the Poppo module of the server at {url} is version {version}, and this is poppo {}: replace libpoppo.so there, and \
         restart the server",
        env!("CARGO_PKG_VERSION")
    )]
    OldModule {
        /// Which server, without its password.
        url: String,
        /// The module's version.
        version: String,
    },
    /// What was asked is done, but not as durable as [`Durability`](crate::Durability) wished: a failover may undo it. Ask
    /// the same again to wait once more.
    #[error("{command} is done, but a failover may undo it: {message}")]
    Unconfirmed {
        /// The command that was asked.
        command: &'static str,
        /// How much of it was confirmed.
        message: String,
    },
    /// The server cannot tell how durable a write is in the way that was wished.
    #[error("{url} cannot give the durability that was asked for: {message}")]
    Durability {
        /// Which server, without its password.
        url: String,
        /// Why not.
        message: String,
    },
    /// The server could be reached, but no connection that is safe could be made.
    #[error("no secure connection to {url}: {message}")]
    Tls {
        /// Which server, without its password.
        url: String,
        /// What is wrong, and what to do.
        message: String,
    },
    /// The server said no for a reason that is not Poppo's: `WRONGTYPE`, `OOM`, `NOPERM`, `LOADING`, `READONLY` …
    #[error("{code} {message}")]
    Server {
        /// The first word of the server's error.
        code: String,
        /// The rest of it.
        message: String,
    },
    /// The server could not be reached, or the connection broke before an answer came. What was asked may or may not
    /// have been done; CHECKOUT, CHECKIN, HEARTBEAT, REPAIR, ENQUEUE, and CLAIM under the same id can be repeated without
    /// harm.
    #[error("cannot reach {url}: {message}")]
    Connection {
        /// Which server, without its password.
        url: String,
        /// What happened.
        message: String,
    },
    /// The server did not answer in time.
    #[error("{url} did not answer within {} s", after.as_secs_f32())]
    Timeout {
        /// Which server, without its password.
        url: String,
        /// For how long it was given time.
        after: Duration,
    },
    /// The file of a `file:///…` URL cannot be used. Nothing in it was changed, unless the disk failed in the very last step;
    /// whatever can be repeated after a lost connection can be repeated here.
    #[error("the file {path} {message}")]
    File {
        /// Which file.
        path: String,
        /// What is wrong; completes the sentence.
        message: String,
        /// Whether that is expected to pass: somebody else has it locked, or the disk is full.
        may_pass: bool,
    },
    /// The URL cannot be used.
    #[error("the URL {url} cannot be used: {message}")]
    Url {
        /// The URL, without its password.
        url: String,
        /// What is wrong with it.
        message: String,
    },
    /// A value of free state is of another type than what was asked for, or no JSON.
    #[error("the value of {name:?} in the namespace {namespace} cannot be used: {message}")]
    Value {
        /// In which namespace.
        namespace: String,
        /// Which value.
        name: String,
        /// What is wrong with it.
        message: String,
    },
    /// The server answered something that this client does not understand: it is probably of another version.
    #[error("the server's answer to {command} was not understood: {message}")]
    Answer {
        /// The command that was asked.
        command: &'static str,
        /// What was expected or found.
        message: String,
    },
}

impl Error {
    /// One word for programs: the server's own code where it gave one, else `URL`, `FILE`, `UNREACHABLE`, `TLS`, `NOMODULE`,
    /// `OLDMODULE`, `DURABILITY`, `UNCONFIRMED`, `VALUE` or `ANSWER`.
    #[must_use]
    pub fn code(&self) -> &str {
        match self {
            Self::Refused(refusal) => refusal.code(),
            Self::BadArgument(_) => "ERR",
            Self::NoModule { .. } => "NOMODULE",
            Self::OldModule { .. } => "OLDMODULE",
            Self::Unconfirmed { .. } => "UNCONFIRMED",
            Self::Durability { .. } => "DURABILITY",
            Self::Tls { .. } => "TLS",
            Self::Server { code, .. } => code,
            Self::Connection { .. } | Self::Timeout { .. } => "UNREACHABLE",
            Self::Url { .. } => "URL",
            Self::File { .. } => "FILE",
            Self::Value { .. } => "VALUE",
            Self::Answer { .. } => "ANSWER",
        }
    }

    /// Whether the same question may be answered later: the server is away, starts, changes its role, broke off a wait, or
    /// lacks replicas to confirm a write.
    ///
    /// Example: [`Error`], and [`Claim`](crate::Claim).
    #[must_use]
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Connection { .. } | Self::Timeout { .. } | Self::Unconfirmed { .. } => true,
            Self::Server { code, .. } => PASSING.contains(&code.as_str()),
            Self::File { may_pass, .. } => *may_pass,
            _ => false,
        }
    }

    /// The server's error line, sorted.
    pub(crate) fn from_server(code: &str, text: &str, url: &str) -> Self {
        if let Some(refusal) = Refusal::from_code(code, text.to_owned()) {
            return Self::Refused(refusal);
        }
        match code {
            "ERR" if text.starts_with("unknown command") => Self::NoModule { url: url.to_owned() },
            // Of who has not said a password yet, a server does not even read a command of more than ten words.
            "ERR" if text.starts_with("Protocol error: unauthenticated") => Self::from_server("NOAUTH", text, url),
            "ERR" => Self::BadArgument(text.to_owned()),
            "NOAUTH" => Self::Server {
                code: code.to_owned(),
                message: format!("{url} wants a password: write redis://user:password@host"),
            },
            "MOVED" | "ASK" => Self::Server {
                code: code.to_owned(),
                message: format!(
                    "{url} is one node of a cluster, and the project is on another: write redis+cluster://"
                ),
            },
            _ => Self::Server { code: code.to_owned(), message: text.to_owned() },
        }
    }

    /// What the `redis` crate reported of a connection in the making. Its first commands (HELLO, AUTH, SELECT) are its own,
    /// so what the server says to them is not about anybody's argument.
    pub(crate) fn from_setup(error: &redis::RedisError, url: &str, patience: Duration) -> Self {
        match Self::from_redis(error, url, patience) {
            Self::BadArgument(text) => {
                let code = if text.starts_with("Authentication required") { "NOAUTH" } else { "ERR" };
                Self::Server { code: code.to_owned(), message: format!("{url} refused the connection: {text}") }
            }
            other => other,
        }
    }

    /// What the `redis` crate reported, sorted.
    pub(crate) fn from_redis(error: &redis::RedisError, url: &str, patience: Duration) -> Self {
        if let Some(code) = error.code() {
            return Self::from_server(code, error.detail().unwrap_or_default(), url);
        }
        let url = url.to_owned();
        match error.kind() {
            redis::ErrorKind::InvalidClientConfig => Self::Url { url, message: error.to_string() },
            redis::ErrorKind::AuthenticationFailed => Self::Server {
                code: "NOAUTH".to_owned(),
                message: format!("user and password were not accepted by {url}"),
            },
            _ if error.is_timeout() => Self::Timeout { url, after: patience },
            _ => {
                let message = error.to_string();
                match tls_fault(&message) {
                    Some(message) => Self::Tls { url, message },
                    None => Self::Connection { url, message },
                }
            }
        }
    }
}

/// What is wrong with a certificate, in words that say what to do; none where the message is not about one. The crates below
/// pass it on as text only.
fn tls_fault(message: &str) -> Option<String> {
    const UNTRUSTED: &str = "its certificate is not signed by an authority that is trusted here: name that authority's with ?ca=/path/to/ca.pem";
    const FAULTS: [(&str, &str); 8] = [
        ("UnknownIssuer", UNTRUSTED),
        ("BadSignature", UNTRUSTED),
        ("NotValidForName", "its certificate is for another name: use the name that stands in the certificate"),
        ("Expired", "its certificate has expired: renew it there, or set this host's clock"),
        ("NotValidYet", "its certificate is not valid yet: set this host's clock"),
        ("CertificateRequired", "it wants a certificate of ours: name it with ?cert=/path/to.pem&key=/path/to.key"),
        (
            "InvalidContentType",
            "it does not speak TLS on this port: write redis:// instead of rediss://, or name its TLS port",
        ),
        ("CaUsedAsEndEntity", "its certificate is an authority's: give the server one of its own"),
    ];
    let is_about_it = message.contains("certificate")
        || message.contains("InvalidContentType")
        || message.contains("CertificateRequired")
        || message.contains("alert");
    is_about_it.then(|| {
        let words =
            FAULTS.iter().find(|(fault, _)| message.to_lowercase().replace(' ', "").contains(&fault.to_lowercase()));
        words.map_or_else(|| message.to_owned(), |(_, words)| (*words).to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_keeps_the_servers_sentence() {
        let text = "issue 1 is checked out by worker-1 (token 5) since 2026-01-01T00:00:00.000Z";
        let error = Error::from_server("HELD", text, "redis://h");
        assert_eq!(error.code(), "HELD");
        assert_eq!(error.to_string(), text);
    }

    #[test]
    fn a_server_without_the_module_is_told_apart_from_a_bad_argument() {
        let unknown = Error::from_server("ERR", "unknown command 'POPPO.GET', with args beginning with: ", "redis://h");
        assert!(matches!(unknown, Error::NoModule { .. }));
        assert!(unknown.to_string().contains("poppo up"));
        assert!(matches!(Error::from_server("ERR", "issue must be …", "redis://h"), Error::BadArgument(_)));
        let long = Error::from_server("ERR", "Protocol error: unauthenticated multibulk length", "redis://h");
        assert_eq!(long.code(), "NOAUTH");
    }

    #[test]
    fn what_a_restart_or_a_failover_brings_passes_and_a_refusal_does_not() {
        let server = |code: &str| Error::Server { code: code.to_owned(), message: String::new() };
        for code in ["LOADING", "UNBLOCKED", "READONLY"] {
            assert!(server(code).may_pass(), "{code}");
        }
        assert!(Error::Connection { url: String::new(), message: String::new() }.may_pass());
        assert!(!server("NOPERM").may_pass());
        assert!(!server("WRONGTYPE").may_pass());
        assert!(!Error::NoModule { url: String::new() }.may_pass());
    }

    #[test]
    fn what_is_not_poppos_keeps_its_code() {
        let error = Error::from_server("OOM", "command not allowed", "redis://h");
        assert_eq!(error.code(), "OOM");
        assert_eq!(error.to_string(), "OOM command not allowed");
    }
}
