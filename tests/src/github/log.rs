//! The record of what was asked, and of what should not have been asked so.

use std::sync::Mutex;
use std::time::{Duration, SystemTime};

/// A request as the server saw it.
#[derive(Debug, Clone)]
pub struct Request {
    /// What `X-GitHub-Request-Id` said.
    pub id: String,
    /// When it arrived, by the server's clock.
    pub at: SystemTime,
    /// The method.
    pub method: String,
    /// The path with its query, without the base path of an Enterprise server.
    pub path: String,
    /// Whose token it bore.
    pub by: Option<String>,
    /// Whether it changes something: every method but GET and HEAD, except a GraphQL query.
    pub is_write: bool,
    /// Points towards the secondary limits.
    pub points: u32,
    /// Fields at the top of a GraphQL operation, aliases counted one by one.
    pub fields: usize,
    /// The body.
    pub body: String,
    /// The status of the answer; nothing while there is none.
    pub status: Option<u16>,
    /// The fault that was put into it.
    pub fault: Option<String>,
    /// From its arrival to its answer.
    pub took: Duration,
}

impl Request {
    /// The method and the path: `GET /rate_limit`.
    pub fn line(&self) -> String {
        format!("{} {}", self.method, self.path)
    }
}

/// What a well-behaved client does not do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Violation {
    /// It asked although it was told to wait, so much too early.
    DuringRetryAfter(Duration),
    /// It asked although the headers said that nothing is left, or more than the test allows.
    OverBudget,
    /// After a Retry-After, it wrote again so soon after the write before.
    TooFast(Duration),
    /// It asked for something that GitHub does not have, or in a wrong way.
    Malformed(String),
    /// It changed a label that is not its own.
    ForeignLabel(String),
}

/// A violation, and by which request.
#[derive(Debug, Clone)]
pub struct Breach {
    /// The request's id.
    pub request: String,
    /// Its method and path.
    pub line: String,
    /// What was wrong.
    pub violation: Violation,
}

/// Requests and breaches, in the order in which they came.
#[derive(Debug, Default)]
pub(super) struct Log {
    requests: Mutex<Vec<Request>>,
    breaches: Mutex<Vec<Breach>>,
}

impl Log {
    pub(super) fn requests(&self) -> Vec<Request> {
        self.requests.lock().expect("nobody panics with the log").clone()
    }

    pub(super) fn breaches(&self) -> Vec<Breach> {
        self.breaches.lock().expect("nobody panics with the log").clone()
    }

    pub(super) fn forget(&self) {
        self.requests.lock().expect("nobody panics with the log").clear();
        self.breaches.lock().expect("nobody panics with the log").clear();
    }

    /// Notes a request that has just arrived.
    pub(super) fn arrived(&self, request: Request) {
        self.requests.lock().expect("nobody panics with the log").push(request);
    }

    /// Completes what is known of a request.
    pub(super) fn learn(&self, id: &str, learn: impl FnOnce(&mut Request)) {
        let mut requests = self.requests.lock().expect("nobody panics with the log");
        if let Some(request) = requests.iter_mut().rev().find(|request| request.id == id) {
            learn(request);
        }
    }

    /// Notes that a request should not have been.
    pub(super) fn breach(&self, id: &str, violation: Violation) {
        let mut line = String::new();
        self.learn(id, |request| line = request.line());
        let breach = Breach { request: id.to_owned(), line, violation };
        self.breaches.lock().expect("nobody panics with the log").push(breach);
    }
}
