//! A file instead of a server, behind the same connection: what a test says to a server in words, it can say to a file.
//!
//! Each connection opens the file anew, as a process of its own does. Behind it is no Redis: the few commands of that which
//! tests need (`HELLO`, `DEL`, `FLUSHALL`, `DUMP`, `EXISTS`, `MEMORY USAGE`, `MULTI`, `EXEC`, `DEBUG RELOAD`, how many wait) are made here.

use std::io::{BufReader, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use poppo::FileStore;
use redis::{Parser, Value};
use rustix::fs::FlockOperation;
use serde_json::Value as Json;
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::connection::{Connection, Protocol};

/// A folder with a file of projects in it, and somebody who speaks for it.
#[derive(Debug)]
pub struct Files {
    dir: TempDir,
    port: u16,
}

/// What a [`Files`] shall be like. A file has nothing of what a server's builder can say.
#[derive(Debug, Clone, Copy)]
pub struct Builder;

impl Builder {
    /// A file knows no grace.
    #[must_use]
    pub fn no_grace(self) -> Self {
        self
    }

    /// A file is durable.
    #[must_use]
    pub fn durable(self) -> Self {
        self
    }

    /// Makes the folder.
    #[must_use]
    pub fn start(self) -> Files {
        Files::start()
    }
}

impl Files {
    /// An empty folder.
    #[must_use]
    pub fn start() -> Self {
        let dir = tempfile::Builder::new().prefix("poppo-test-").tempdir().expect("a temporary directory");
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let port = listener.local_addr().expect("a bound address").port();
        let path = file_in(dir.path());
        let waiting = Arc::new(AtomicUsize::new(0));
        // It ends with the test's process.
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (path, waiting) = (path.clone(), Arc::clone(&waiting));
                std::thread::spawn(move || Spokesman::new(stream, &path, waiting).serve());
            }
        });
        Self { dir, port }
    }

    /// As a server's.
    #[must_use]
    pub fn builder() -> Builder {
        Builder
    }

    /// The folder.
    #[must_use]
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The file, which need not exist.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        file_in(self.dir.path())
    }

    /// The file's URL.
    #[must_use]
    pub fn url(&self) -> String {
        format!("file://{}", self.path().display())
    }

    /// A connection that speaks RESP3.
    #[must_use]
    #[track_caller]
    pub fn connect(&self) -> Connection {
        self.connect_with(Protocol::Resp3)
    }

    /// A connection that speaks this.
    #[must_use]
    #[track_caller]
    pub fn connect_with(&self, protocol: Protocol) -> Connection {
        Connection::open((Ipv4Addr::LOCALHOST, self.port).into(), protocol).expect("a connection")
    }

    /// What is in the file; panics where it is not JSON. None where there is no file.
    #[must_use]
    #[track_caller]
    pub fn document(&self) -> Option<Json> {
        document(&self.path())
    }
}

fn file_in(dir: &Path) -> PathBuf {
    dir.join("state.json")
}

#[track_caller]
fn document(path: &Path) -> Option<Json> {
    let text = std::fs::read_to_string(path).ok()?;
    Some(serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}:\n{text}", path.display())))
}

/// Who speaks for a file on one connection.
struct Spokesman {
    stream: TcpStream,
    store: Arc<FileStore>,
    path: PathBuf,
    runtime: Runtime,
    is_resp3: bool,
    /// How many clients of this file wait.
    waiting: Arc<AtomicUsize>,
    /// What was said since `MULTI`.
    queued: Option<Vec<Vec<Vec<u8>>>>,
}

impl Spokesman {
    fn new(stream: TcpStream, path: &Path, waiting: Arc<AtomicUsize>) -> Self {
        stream.set_nodelay(true).expect("a socket's option");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
        let store = FileStore::at(path).expect("a path");
        Self { stream, store, path: path.to_owned(), runtime, is_resp3: false, waiting, queued: None }
    }

    fn serve(mut self) {
        let mut commands = BufReader::new(self.stream.try_clone().expect("a second handle of the socket"));
        let mut parser = Parser::new();
        while let Ok(Value::Array(words)) = parser.parse_value(&mut commands) {
            let words = words.into_iter().filter_map(|word| match word {
                Value::BulkString(bytes) => Some(bytes),
                _ => None,
            });
            let Some(answer) = self.answer(words.collect()) else { return };
            let mut bytes = Vec::new();
            self.encode(&answer, &mut bytes);
            if self.stream.write_all(&bytes).is_err() {
                return;
            }
        }
    }

    /// The answer; none where the client went away before it.
    fn answer(&mut self, words: Vec<Vec<u8>>) -> Option<Value> {
        let name = words.first().map(|name| name.to_ascii_uppercase()).unwrap_or_default();
        let key = words.get(1).map(|key| String::from_utf8_lossy(key).into_owned()).unwrap_or_default();
        if let Some(queued) = self.queued.as_mut().filter(|_| name != b"EXEC") {
            queued.push(words);
            return Some(Value::SimpleString("QUEUED".to_owned()));
        }
        Some(match name.as_slice() {
            b"HELLO" => {
                self.is_resp3 = key == "3";
                Value::Array(Vec::new())
            }
            b"MULTI" => {
                self.queued = Some(Vec::new());
                Value::Okay
            }
            b"EXEC" => {
                let queued = self.queued.take().unwrap_or_default();
                Value::Array(queued.into_iter().map(|words| self.answer(words)).collect::<Option<_>>()?)
            }
            b"DUMP" => self.project(&key).map_or(Value::Nil, |project| Value::BulkString(project.into_bytes())),
            // What it takes in the file.
            b"MEMORY" => {
                let key = words.get(2).map(|key| String::from_utf8_lossy(key).into_owned()).unwrap_or_default();
                self.project(&key).map_or(Value::Nil, |project| Value::Int(project.len() as i64))
            }
            b"EXISTS" => Value::Int(self.project(&key).is_some().into()),
            // Whatever was read is read again.
            b"DEBUG" => {
                self.store = FileStore::at(&self.path).expect("a path");
                Value::Okay
            }
            b"DEL" => Value::Int(self.delete(Some(&key)).into()),
            b"FLUSHALL" => {
                self.delete(None);
                Value::Okay
            }
            b"INFO" => {
                let waiting = self.waiting.load(Ordering::SeqCst);
                Value::BulkString(
                    format!("blocked_clients:{waiting}\r\npoppo_blocked_claims:{waiting}\r\n").into_bytes(),
                )
            }
            _ => self.ask(words)?,
        })
    }

    fn project(&self, key: &str) -> Option<String> {
        Some(document(&self.path)?["projects"].get(key)?.to_string())
    }

    /// Deletes a project, or all, by hand, as the documentation says.
    fn delete(&self, key: Option<&str>) -> bool {
        let Some(mut document) = document(&self.path) else { return false };
        let lock = std::fs::File::create(self.path.with_extension("json.lock")).expect("the lock's file");
        rustix::fs::flock(&lock, FlockOperation::LockExclusive).expect("the lock");
        let gone = document["projects"].as_object_mut().is_some_and(|projects| match key {
            Some(key) => projects.remove(key).is_some(),
            None => std::mem::take(projects).is_empty(),
        });
        std::fs::write(&self.path, document.to_string()).expect("the file");
        gone
    }

    fn ask(&self, words: Vec<Vec<u8>>) -> Option<Value> {
        let waits = usize::from(words.iter().any(|word| word.eq_ignore_ascii_case(b"BLOCK")));
        self.waiting.fetch_add(waits, Ordering::SeqCst);
        let answer = self.runtime.block_on(async {
            tokio::select! {
                answer = self.store.ask(words) => Some(answer.unwrap_or_else(|error| {
                    redis::parse_redis_value(format!("-{} {error}\r\n", error.code()).as_bytes()).expect("an error")
                })),
                () = self.until_gone() => None,
            }
        });
        self.waiting.fetch_sub(waits, Ordering::SeqCst);
        answer
    }

    /// Waits until the client has closed its connection.
    async fn until_gone(&self) {
        loop {
            tokio::time::sleep(Duration::from_millis(20)).await;
            self.stream.set_nonblocking(true).expect("a socket's option");
            let peeked = self.stream.peek(&mut [0]);
            self.stream.set_nonblocking(false).expect("a socket's option");
            if matches!(peeked, Ok(0)) {
                return;
            }
        }
    }

    fn encode(&self, value: &Value, bytes: &mut Vec<u8>) {
        let mut line = |text: String| bytes.extend_from_slice(format!("{text}\r\n").as_bytes());
        match value {
            Value::Nil => line(if self.is_resp3 { "_" } else { "$-1" }.to_owned()),
            Value::Int(number) => line(format!(":{number}")),
            Value::Okay => line("+OK".to_owned()),
            Value::SimpleString(text) => line(format!("+{text}")),
            Value::BulkString(text) => {
                line(format!("${}", text.len()));
                bytes.extend_from_slice(text);
                bytes.extend_from_slice(b"\r\n");
            }
            Value::Array(items) => {
                line(format!("*{}", items.len()));
                items.iter().for_each(|item| self.encode(item, bytes));
            }
            Value::Map(fields) => {
                line(if self.is_resp3 { format!("%{}", fields.len()) } else { format!("*{}", 2 * fields.len()) });
                for (name, value) in fields {
                    self.encode(name, bytes);
                    self.encode(value, bytes);
                }
            }
            Value::ServerError(error) => {
                line(format!("-{} {}", error.code(), error.details().unwrap_or_default()));
            }
            other => panic!("a file answers no {other:?}"),
        }
    }
}
