//! Random histories of a project: every writing command, granted and refused, from a seed.

use redis::Value;

use crate::{Connection, Random, Reply as _};

/// A source of command lines on one project. Its world is small, so that holders, lives and tokens meet often.
#[derive(Debug)]
pub struct History {
    random: Random,
    project: String,
    /// The tokens that were granted, most recent last.
    tokens: Vec<i64>,
    /// Whether it has tasks.
    queue: bool,
    /// Who asked for a task last, and who got which issue so, as far as it was learnt.
    claimant: String,
    claimed: Vec<(i64, String)>,
}

const STATUSES: [&str; 4] = ["completed", "awaiting-response", "error", "cancelled"];
const TEXTS: [&str; 4] = ["short", "\"two words\"", "ünïcode", "\"\""];

impl History {
    /// The history of `project` that `seed` tells.
    pub fn new(project: &str, seed: u64) -> Self {
        Self {
            random: Random::new(seed),
            project: project.to_owned(),
            tokens: vec![1],
            queue: true,
            claimant: String::new(),
            claimed: vec![(1, "w1".to_owned())],
        }
    }

    /// The same without tasks: each command is one change of one issue at most.
    pub fn of_leases(project: &str, seed: u64) -> Self {
        Self { queue: false, ..Self::new(project, seed) }
    }

    /// Lives through `steps` commands, some of them in transactions and scripts. Refusals are part of life.
    #[track_caller]
    pub fn run(&mut self, connection: &mut Connection, steps: usize) {
        for _ in 0..steps {
            match self.random.below(20) {
                // Whoever labels the issues keeps up, more or less.
                2 => {
                    let behind = connection.ok(&format!("POPPO.LABELS {} COUNT 5", self.project));
                    for row in behind.rows() {
                        let (issue, version) = (row.count("issue"), row.count("version"));
                        connection.ok(&format!("POPPO.LABELLED {} {issue} {version}", self.project));
                    }
                }
                0 => {
                    connection.ok("MULTI");
                    for _ in 0..=self.random.below(3) {
                        connection.ok(&self.line());
                    }
                    let results = connection.ok("EXEC");
                    self.learn(&results);
                }
                1 => {
                    let words = crate::transcript::split(&self.line());
                    let script = "return redis.pcall(unpack(ARGV))";
                    let mut call: Vec<Vec<u8>> = ["EVAL", script, "1", &self.project].map(Vec::from).to_vec();
                    call.extend(words);
                    let result = connection.call(&call);
                    self.learn(&result);
                }
                _ => {
                    let line = self.line();
                    let result = connection.cmd(&line);
                    self.learn(&result);
                }
            }
        }
    }

    /// Remembers the tokens in an answer, for later commands to use.
    pub fn learn(&mut self, result: &Value) {
        match result {
            // A count is a small number, a token is a time.
            Value::Int(token) if *token > 1_000_000 => self.tokens.push(*token),
            Value::Array(results) => results.iter().for_each(|result| self.learn(result)),
            Value::Map(fields) => {
                fields.iter().for_each(|(_, value)| self.learn(value));
                if let Some(Value::Int(issue)) = result.get("issue") {
                    self.claimed.push((*issue, self.claimant.clone()));
                }
            }
            _ => {}
        }
    }

    /// The next command line.
    pub fn line(&mut self) -> String {
        // Tasks come one at a time and issues by tens: half of all that happens shall be about tasks.
        if self.queue && self.random.one_in(2) { self.line_of_queue() } else { self.line_of_leases() }
    }

    fn line_of_queue(&mut self) -> String {
        let project = self.project.clone();
        let issue = 1 + self.random.below(25);
        let (process, pid) = self.process();
        match self.random.below(100) {
            0..30 => {
                let candidates = [
                    self.task(issue).1,
                    format!("PRIORITY {}", self.random.pick(&["urgent", "low", "7", "0", "1000"])),
                    format!("DELAY {}", self.random.below(4) * 20),
                    format!("TITLE {}", self.text()),
                    format!("PAYLOAD {}", self.random.pick(&["null", "{\"a\":[1,2]}", "\"\\\"\\\"\""])),
                    "AGAIN".to_owned(),
                ];
                let options = self.options(&candidates);
                format!("POPPO.ENQUEUE {project} {issue}{options}")
            }
            30..58 => {
                let candidates = [
                    self.random.pick::<&str>(&["TYPE 0", "TYPES 2 1 issue", "TYPES 3 2 2 0"]).to_string(),
                    format!("REQ r{}", self.random.below(3)),
                    format!("HOST a PID {pid} TMUX {}", self.text()),
                    format!("TITLE {}", self.text()),
                    format!("TTL {}", 1000 + self.random.below(2000)),
                ];
                let mut options = self.options(&candidates);
                // Seldom: that the time is over a server may notice a tenth of a second late.
                if self.random.one_in(50) {
                    options.push_str(" BLOCK 1");
                }
                self.claimant.clone_from(&process);
                format!("POPPO.CLAIM {project} {process}{}{options}", self.incarnation())
            }
            58..80 => {
                let status = *self.random.pick(&["completed", "error", "error", "cancelled"]);
                let retry = format!("RETRY {}", self.random.below(3) * 20);
                let candidates = [
                    if status == "error" { retry } else { "REASON ended".to_owned() },
                    format!("NEXT{}", if self.random.one_in(2) { " REQ n" } else { "" }),
                    format!("TOKEN {}", self.token()),
                ];
                let options = self.options(&candidates);
                // Most often by one who has it.
                let back = self.random.below(6).min(self.claimed.len() - 1);
                let (issue, process) = match self.random.below(4) {
                    0 => (issue as i64, process),
                    _ => self.claimed[self.claimed.len() - 1 - back].clone(),
                };
                self.claimant.clone_from(&process);
                format!("POPPO.CHECKIN {project} {issue} {process} STATUS {status}{options}")
            }
            80..84 => format!("POPPO.CANCEL {project} {issue} REASON {}", self.text()),
            84..90 => format!("POPPO.REVIVE {project} {}", self.task(issue).0),
            90..93 => format!("POPPO.REPAIR {project} {issue} TOKEN {} REQUEUE", self.token()),
            93..95 => format!("POPPO.EVICT {project} {issue} REQUEUE"),
            // Off more often than on: nothing happens while it is on.
            95..98 => format!("POPPO.DRAIN {project} {}", self.random.pick(&["ON", "OFF", "off", "off"])),
            _ => {
                let (name, value) = match self.random.below(5) {
                    0 => ("max-attempts", 1 + self.random.below(4)),
                    1 => ("max-orphans", 1 + self.random.below(3)),
                    2 => ("max-running", self.random.below(3) * 12),
                    3 => ("queue-aging", self.random.below(3) * 5),
                    _ => ("finished-kept", self.random.below(30)),
                };
                format!("POPPO.CONFIG {project} SET {name} {value}")
            }
        }
    }

    /// The id of a task of an issue, and the option that makes one of it.
    fn task(&mut self, issue: usize) -> (String, String) {
        let kind = self.random.below(3);
        match self.random.below(4) {
            0 => (format!("{issue}:issue"), "TYPE issue".to_owned()),
            // An id that other issues would have, too.
            1 => (format!("any{kind}"), format!("ID any{kind}")),
            2 => (format!("{issue}-c{kind}"), format!("ID {issue}-c{kind} TYPE {kind}")),
            _ => (format!("{issue}:{kind}"), format!("TYPE {kind}")),
        }
    }

    fn line_of_leases(&mut self) -> String {
        let project = self.project.clone();
        let issue = 1 + self.random.below(25);
        let (process, pid) = self.process();
        let host = *self.random.pick(&["a", "b"]);
        match self.random.below(100) {
            0..35 => {
                let candidates = [
                    format!("HOST {host} PID {pid}"),
                    format!("TYPE {}", self.random.below(3)),
                    format!("TITLE {}", self.text()),
                    format!("TMUX {}", self.text()),
                    format!("TTL {}", 1000 + self.random.below(2000)),
                    "ONCE".to_owned(),
                    "TAKEOVER".to_owned(),
                ];
                let options = self.options(&candidates);
                format!("POPPO.CHECKOUT {project} {issue} {process}{}{options}", self.incarnation())
            }
            35..55 => {
                let status = self.status();
                let candidates = [
                    format!("TOKEN {}", self.token()),
                    format!("REASON {}", self.text()),
                    "RESULT {\"a\":[1,null]}".to_owned(),
                ];
                let options = self.options(&candidates);
                let metadata = if self.random.one_in(3) { " META a 1 b 2 a 3" } else { "" };
                format!("POPPO.CHECKIN {project} {issue} {process} STATUS {status}{options}{metadata}")
            }
            55..70 => {
                let candidates = [
                    format!("TTL {}", 1000 + self.random.below(2000)),
                    format!("PROGRESS {}", self.text()),
                    "BRIEF".to_owned(),
                ];
                let options = self.options(&candidates);
                format!("POPPO.HEARTBEAT {project} {process}{}{options}", self.incarnation())
            }
            70..80 => {
                let word = *self.random.pick(&["ALIVE", "DEAD"]);
                format!("POPPO.LIVENESS {project} {process} {word} HOST {host} PID {pid}{}", self.incarnation())
            }
            80..88 => {
                let status = *self.random.pick(&["error", "awaiting-response"]);
                format!("POPPO.REPAIR {project} {issue} TOKEN {} STATUS {status} REASON {}", self.token(), self.text())
            }
            88..92 => format!("POPPO.EVICT {project} {issue} REASON {}", self.text()),
            92..95 => format!("POPPO.FORGET {project} {issue}"),
            95 => format!("POPPO.LABELLED {project} {issue} {}", 1 + self.random.below(self.tokens.len() * 2)),
            96..98 => {
                let (name, value) = match self.random.below(5) {
                    4 => ("events-kept", self.random.below(60)),
                    0 => ("heartbeat-ttl", 1000 + self.random.below(3000)),
                    1 => ("issues-kept", self.random.below(20)),
                    2 => ("process-kept", 1000 + self.random.below(1000)),
                    _ => ("attest-ttl", 1000 + self.random.below(1000)),
                };
                format!("POPPO.CONFIG {project} SET {name} {value}")
            }
            // Bad arguments, too.
            98 => format!("POPPO.CHECKOUT {project} 0 {process}"),
            _ => format!("POPPO.CHECKIN {project} {issue} {process} STATUS done"),
        }
    }

    fn process(&mut self) -> (String, usize) {
        let number = 1 + self.random.below(6);
        (format!("w{number}"), number)
    }

    fn incarnation(&mut self) -> &'static str {
        self.random.pick::<&str>(&["", "", " INCARNATION i", " INCARNATION j"])
    }

    fn status(&mut self) -> &'static str {
        self.random.pick::<&str>(&STATUSES)
    }

    fn text(&mut self) -> &'static str {
        self.random.pick::<&str>(&TEXTS)
    }

    /// A token, most often a recent one.
    fn token(&mut self) -> i64 {
        let back = self.random.below(12).min(self.tokens.len() - 1);
        self.tokens[self.tokens.len() - 1 - back]
    }

    /// Each of `options` once in three times.
    fn options(&mut self, options: &[String]) -> String {
        let chosen = options.iter().filter(|_| self.random.one_in(3));
        chosen.map(|option| format!(" {option}")).collect()
    }
}
