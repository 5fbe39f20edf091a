//! Workers that contend for nothing and note everything: load for tests that do something to the servers meanwhile.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};

use redis::Value;

use crate::transcript::show;
use crate::{Connection, Reply as _, wait_until};

/// Somebody who gets a command answered, wherever the servers are.
pub trait Caller {
    /// Sends a command until a server has decided it.
    fn call(&mut self, words: &[&str]) -> Value;

    /// Whether what was acknowledged so far is safe by now.
    fn is_safe(&mut self) -> bool {
        true
    }

    /// Whether a lease that was acknowledged may be lost by now, because its primary has died.
    fn may_have_lost(&self) -> bool {
        false
    }
}

/// What one worker was told.
#[derive(Debug, Clone, Copy)]
pub struct Acknowledged {
    /// The issue.
    pub issue: usize,
    /// Its token.
    pub token: i64,
    /// Whether it was checked in.
    pub checked_in: bool,
    /// Whether [`Caller::is_safe`] said so after all of that.
    pub safe: bool,
}

/// Load on one project: what has been acknowledged to anyone so far, and when to stop.
#[derive(Debug)]
pub struct Load {
    project: String,
    /// The newest token that anybody was told of.
    newest: AtomicI64,
    acknowledged: AtomicUsize,
    beats: AtomicUsize,
    stop: AtomicBool,
}

impl Load {
    /// Load on `project`; nothing happens before somebody works.
    pub fn on(project: &str) -> Self {
        Self {
            project: project.to_owned(),
            newest: AtomicI64::new(0),
            acknowledged: AtomicUsize::new(0),
            beats: AtomicUsize::new(0),
            stop: AtomicBool::new(false),
        }
    }

    /// Works as worker `number` of `of` until it is told to stop: checks one issue out after the other, beats, checks
    /// two of three in. Asserts that each token is higher than all that were known when it was asked for, whoever
    /// knew them and whichever server granted it.
    #[track_caller]
    pub fn work(&self, number: usize, of: usize, caller: &mut impl Caller) -> Vec<Acknowledged> {
        let name = format!("worker-{number}");
        let project = self.project.as_str();
        let mut done = Vec::new();
        for issue in (number + 1..).step_by(of) {
            if self.stop.load(Ordering::SeqCst) {
                break;
            }
            let text = issue.to_string();
            let known = self.newest.load(Ordering::SeqCst);
            let checkout = ["POPPO.CHECKOUT", project, &text, &name, "HOST", "build-7", "TITLE", "under load"];
            let token = granted(caller.call(&checkout), &checkout);
            let token = token.unwrap_or_else(|| panic!("the token of issue {issue} is no integer"));
            assert!(token > known, "issue {issue} got {token} after {known} had been granted");
            self.newest.fetch_max(token, Ordering::SeqCst);
            if issue.is_multiple_of(4) {
                let beat = ["POPPO.HEARTBEAT", project, &name, "BRIEF"];
                granted(caller.call(&beat), &beat);
                self.beats.fetch_add(1, Ordering::SeqCst);
            }
            let mut checked_in = !issue.is_multiple_of(3);
            if checked_in {
                let token = token.to_string();
                let checkin = ["POPPO.CHECKIN", project, &text, &name, "STATUS", "completed", "TOKEN", &token];
                let answer = caller.call(&checkin);
                checked_in = !(caller.may_have_lost() && answer.error().is_some_and(|e| e.starts_with("NOTHELD")));
                if checked_in {
                    granted(answer, &checkin);
                }
            }
            let safe = caller.is_safe();
            done.push(Acknowledged { issue, token, checked_in, safe });
            self.acknowledged.fetch_add(1, Ordering::SeqCst);
        }
        done
    }

    /// Waits until as many more issues have been worked on.
    #[track_caller]
    pub fn wait_for(&self, more: usize) {
        let before = self.acknowledged.load(Ordering::SeqCst);
        wait_until("the workers have come further", || self.acknowledged.load(Ordering::SeqCst) >= before + more);
    }

    /// Tells the workers to stop after what they are at. To be told however the test ends, or they never would.
    pub fn stop(&self) -> Stop<'_> {
        Stop(self)
    }

    /// The newest token that anybody was told of.
    pub fn newest(&self) -> i64 {
        self.newest.load(Ordering::SeqCst)
    }

    /// Asserts that the project has all of that, each exactly once, and nothing else.
    #[track_caller]
    pub fn assert_all_there(&self, connection: &mut Connection, acknowledged: &[Acknowledged]) {
        let project = &self.project;
        assert_there(connection, project, acknowledged.iter());
        let stats = connection.ok(&format!("POPPO.STATS {project}"));
        let checked_in = acknowledged.iter().filter(|one| one.checked_in).count();
        assert_eq!(stats.count("checkouts"), acknowledged.len() as i64);
        assert_eq!(stats.count("checkins.completed"), checked_in as i64);
        assert_eq!(stats.count("issues.processing"), (acknowledged.len() - checked_in) as i64);
        assert_eq!(stats.count("heartbeats"), self.beats.load(Ordering::SeqCst) as i64);
        assert_eq!(stats.count("lastToken"), self.newest());
        assert_eq!(stats.count("orphans"), 0);
    }
}

/// Stops the workers when it goes.
#[derive(Debug)]
pub struct Stop<'a>(&'a Load);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.stop.store(true, Ordering::SeqCst);
    }
}

/// Asserts that a project has issues as they were acknowledged.
#[track_caller]
pub fn assert_there<'a>(
    connection: &mut Connection,
    project: &str,
    acknowledged: impl Iterator<Item = &'a Acknowledged>,
) {
    for one in acknowledged {
        let record = connection.ok(&format!("POPPO.GET {project} {}", one.issue));
        assert!(!matches!(record, Value::Nil), "{one:?} is lost");
        assert_eq!(record.count("token"), one.token, "{one:?}");
        let status = if one.checked_in { "completed" } else { "processing" };
        assert_eq!(record.field("status"), status, "{one:?}");
    }
}

/// The integer in an answer that must not be a refusal; none where it is something else.
#[track_caller]
fn granted(answer: Value, words: &[&str]) -> Option<i64> {
    assert_eq!(answer.error(), None, "{} was refused: {}", words.join(" "), show(&answer));
    match answer {
        Value::Int(n) => Some(n),
        _ => None,
    }
}
