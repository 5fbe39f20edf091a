//! A connection that says what it is told and shows what comes back, refusals included.

use std::io::{BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};

use redis::{Parser, Value};

use crate::DEADLINE;
use crate::transcript::{Reader, show, split};

/// The protocol that a connection speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// Records are flat arrays, null is a bulk string.
    Resp2,
    /// Records are maps.
    Resp3,
}

/// One connection to one server; a client library would hide what these tests are about.
pub struct Connection {
    stream: TcpStream,
    replies: BufReader<TcpStream>,
    parser: Parser,
}

impl Connection {
    /// A connection in RESP3 to the server on a port of this machine.
    #[track_caller]
    pub(crate) fn to(port: u16) -> Self {
        Self::try_to(port).unwrap_or_else(|error| panic!("no connection to port {port}: {error}"))
    }

    /// A connection in RESP3 to the server on a port of this machine, if there is one that answers.
    pub fn try_to(port: u16) -> std::io::Result<Self> {
        Self::open((std::net::Ipv4Addr::LOCALHOST, port).into(), Protocol::Resp3)
    }

    /// Connects and says `HELLO`; an error where nobody listens or the server is still loading.
    pub(crate) fn open(address: SocketAddr, protocol: Protocol) -> std::io::Result<Self> {
        let stream = TcpStream::connect_timeout(&address, DEADLINE)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(DEADLINE))?;
        let mut connection = Self { replies: BufReader::new(stream.try_clone()?), stream, parser: Parser::new() };
        let version = match protocol {
            Protocol::Resp2 => "2",
            Protocol::Resp3 => "3",
        };
        match connection.try_call(&["HELLO", version])? {
            Value::ServerError(error) => Err(std::io::Error::other(format!("{error:?}"))),
            _ => Ok(connection),
        }
    }

    /// Sends a command line, split as redis-cli splits it, and answers the reply, whatever it is.
    #[track_caller]
    pub fn cmd(&mut self, line: &str) -> Value {
        self.call(&split(line))
    }

    /// Sends a command given as arguments and answers the reply, whatever it is.
    #[track_caller]
    pub fn call<A: AsRef<[u8]>>(&mut self, arguments: &[A]) -> Value {
        self.try_call(arguments).unwrap_or_else(|error| {
            let first: Vec<_> = arguments.iter().take(8).map(|a| show_bytes(a.as_ref())).collect();
            panic!("no answer to {}: {error}", first.join(" "))
        })
    }

    /// Like [`Connection::call`], for a server that may die meanwhile.
    pub fn try_call<A: AsRef<[u8]>>(&mut self, arguments: &[A]) -> std::io::Result<Value> {
        self.stream.write_all(&packed(arguments))?;
        self.try_reply()
    }

    /// Sends a command whose answer is not waited for, to a server that may die meanwhile.
    pub fn try_send<A: AsRef<[u8]>>(&mut self, arguments: &[A]) -> std::io::Result<()> {
        self.stream.write_all(&packed(arguments))
    }

    /// Sends a command line that must succeed.
    #[track_caller]
    pub fn ok(&mut self, line: &str) -> Value {
        let value = self.cmd(line);
        assert!(!matches!(value, Value::ServerError(_)), "{line}\nwas refused: {}", show(&value));
        value
    }

    /// Sends a command line that must answer an integer: a token, a count.
    #[track_caller]
    pub fn int(&mut self, line: &str) -> i64 {
        match self.cmd(line) {
            Value::Int(n) => n,
            other => panic!("{line}\nanswered no integer but: {}", show(&other)),
        }
    }

    /// Sends a command line that must answer a string.
    #[track_caller]
    pub fn text(&mut self, line: &str) -> String {
        let value = self.cmd(line);
        value.text().unwrap_or_else(|| panic!("{line}\nanswered no string but: {}", show(&value)))
    }

    /// Sends a command line that must be refused, and answers the refusal: `CODE text`.
    #[track_caller]
    pub fn refusal(&mut self, line: &str) -> String {
        let value = self.cmd(line);
        value.error().unwrap_or_else(|| panic!("{line}\nshould be refused, but answered: {}", show(&value)))
    }

    /// Asserts that a command line is refused with a text that starts with `expected`.
    #[track_caller]
    pub fn refused(&mut self, line: &str, expected: &str) {
        let refusal = self.refusal(line);
        assert!(
            refusal.starts_with(expected),
            "{line}\nshould be refused with: {expected}\nbut was with:           {refusal}"
        );
    }

    /// Sends a command line whose answer comes later: [`Connection::message`] reads it.
    #[track_caller]
    pub fn send(&mut self, line: &str) {
        self.stream.write_all(&packed(&split(line))).unwrap_or_else(|error| panic!("{line} was not sent: {error}"));
    }

    /// The next message of a channel that this connection listens to.
    #[track_caller]
    pub fn message(&mut self) -> Value {
        self.try_reply().unwrap_or_else(|error| panic!("no message came: {error}"))
    }

    /// Sends many commands at once and answers the replies in order.
    #[track_caller]
    pub fn pipeline<A: AsRef<[u8]>>(&mut self, commands: &[Vec<A>]) -> Vec<Value> {
        let bytes: Vec<u8> = commands.iter().flat_map(|command| packed(command)).collect();
        // Written beside the reading: two full socket buffers would wait for each other.
        let mut writer = self.stream.try_clone().expect("a second handle of the socket");
        std::thread::scope(|scope| {
            scope.spawn(move || writer.write_all(&bytes).expect("the server reads"));
            commands.iter().map(|_| self.try_reply().expect("an answer to each command")).collect()
        })
    }

    /// Sends raw bytes and drops what comes back up to and with `sentinel`. For floods of commands whose answers
    /// do not matter; the caller sees to it that the last answer ends with the sentinel.
    #[track_caller]
    pub fn flood(&mut self, bytes: Vec<u8>, sentinel: &[u8]) {
        let mut writer = self.stream.try_clone().expect("a second handle of the socket");
        std::thread::scope(|scope| {
            scope.spawn(move || writer.write_all(&bytes).expect("the server reads"));
            let mut tail: Vec<u8> = Vec::new();
            let mut buffer = vec![0; 1 << 16];
            while !tail.ends_with(sentinel) {
                let read = self.replies.read(&mut buffer).expect("the server answers");
                assert!(read > 0, "the server closed the connection");
                tail.extend_from_slice(&buffer[..read]);
                let keep = tail.len().saturating_sub(sentinel.len());
                tail.drain(..keep);
            }
        });
    }

    /// The fields of an `INFO` section as `name:value` lines; the value of one of them.
    #[track_caller]
    pub fn info(&mut self, section: &str, field: &str) -> String {
        let text = self.text(&format!("INFO {section}"));
        text.lines()
            .find_map(|line| line.strip_prefix(field)?.strip_prefix(':'))
            .unwrap_or_else(|| panic!("no {field} in INFO {section}:\n{text}"))
            .to_owned()
    }

    /// `DUMP` of a key: equal bytes mean equal values. Empty where there is no such key.
    #[track_caller]
    pub fn dump(&mut self, key: &str) -> Vec<u8> {
        match self.call(&["DUMP", key]) {
            Value::BulkString(bytes) => bytes,
            Value::Nil => Vec::new(),
            other => panic!("DUMP {key} answered {}", show(&other)),
        }
    }

    fn try_reply(&mut self) -> std::io::Result<Value> {
        self.parser.parse_value(&mut self.replies).map_err(|error| std::io::Error::other(error.to_string()))
    }
}

/// A command as the server reads it.
pub(crate) fn packed<A: AsRef<[u8]>>(arguments: &[A]) -> Vec<u8> {
    let mut command = redis::Cmd::new();
    for argument in arguments {
        command.arg(argument.as_ref());
    }
    command.get_packed_command()
}

fn show_bytes(bytes: &[u8]) -> String {
    String::from_utf8_lossy(&bytes[..bytes.len().min(80)]).into_owned()
}

/// Looking into a reply, the same for RESP2 and RESP3.
pub trait Reply {
    /// The text of an error, `CODE text`; none where the reply is no error.
    fn error(&self) -> Option<String>;
    /// The text of a string reply of any kind.
    fn text(&self) -> Option<String>;
    /// The value of a field of a record: of a map, or of a flat array of names and values.
    fn get(&self, field: &str) -> Option<&Value>;
    /// The names of the fields of a record, in order.
    fn fields(&self) -> Vec<String>;
    /// The elements of an array; panics on anything else.
    fn rows(&self) -> &[Value];
    /// An integer; panics on anything else.
    fn number(&self) -> i64;
    /// Walks down a path of fields to an integer: `stats.count("checkins.error")`.
    fn count(&self, path: &str) -> i64;
    /// A field that must be there, as text.
    fn field(&self, field: &str) -> String;
}

impl Reply for Value {
    fn error(&self) -> Option<String> {
        match self {
            Value::ServerError(error) => Some(match error.details() {
                Some(detail) => format!("{} {detail}", error.code()),
                None => error.code().to_owned(),
            }),
            _ => None,
        }
    }

    fn text(&self) -> Option<String> {
        match self {
            Value::BulkString(bytes) => Some(String::from_utf8_lossy(bytes).into_owned()),
            Value::SimpleString(text) | Value::VerbatimString { text, .. } => Some(text.clone()),
            Value::Okay => Some("OK".to_owned()),
            _ => None,
        }
    }

    fn get(&self, field: &str) -> Option<&Value> {
        Reader::new(self).into_iter().find_map(|(name, value)| (name.text()? == field).then_some(value))
    }

    fn fields(&self) -> Vec<String> {
        Reader::new(self).into_iter().filter_map(|(name, _)| name.text()).collect()
    }

    #[track_caller]
    fn rows(&self) -> &[Value] {
        match self {
            Value::Array(rows) => rows,
            other => panic!("no array but: {}", show(other)),
        }
    }

    #[track_caller]
    fn number(&self) -> i64 {
        match self {
            Value::Int(n) => *n,
            other => panic!("no integer but: {}", show(other)),
        }
    }

    #[track_caller]
    fn count(&self, path: &str) -> i64 {
        path.split('.')
            .try_fold(self, |value, field| value.get(field))
            .unwrap_or_else(|| panic!("no {path} in\n{}", show(self)))
            .number()
    }

    #[track_caller]
    fn field(&self, field: &str) -> String {
        self.get(field).and_then(Reply::text).unwrap_or_else(|| panic!("no text {field} in\n{}", show(self)))
    }
}
