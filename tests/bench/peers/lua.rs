//! A queue of ordinary keys, as one would write it with scripts: `lua/`.
//!
//! A sorted set of waiting tasks, by priority and then in order; a hash of each task; a hash of leases. One script claims,
//! one finishes; a third does both for a busy worker. They are as short as such scripts can be that look at the token.

use poppo_tests::{Builder, Connection, Reply, Server};

use crate::common::resp::Word::{Joined, Number, Text};
use crate::common::resp::{Leaf, command, leaves};

use super::load::{Asked, Dialect, Front, Task};
use super::queue::PAYLOAD;
use super::redis::OnRedis;

const WAITING: &str = "{acme/widgets}:waiting";
const LEASES: &str = "{acme/widgets}:leases";
const TOKEN: &str = "{acme/widgets}:token";
/// In front of a task's number.
const TASK: &str = "{acme/widgets}:task:";
const PRIORITY: u64 = 50;

/// Workers of the Lua queue.
#[derive(Debug, Default)]
pub(super) struct Lua {
    next: bool,
    put: String,
    claim: String,
    /// With the next claim or without.
    finish: String,
}

impl Lua {
    /// With one script for finish and next claim, or with two.
    pub(super) fn new(next: bool) -> Self {
        Self { next, ..Self::default() }
    }
}

impl OnRedis for Lua {
    fn server(&self) -> Builder {
        Server::plain()
    }

    fn prepare(&mut self, control: &mut Connection) -> Result<(), String> {
        let mut load = |text: &str| {
            let answer = control.call(&["SCRIPT", "LOAD", text]);
            answer.text().ok_or_else(|| format!("SCRIPT LOAD answers {answer:?}"))
        };
        self.put = load(include_str!("lua/put.lua"))?;
        self.claim = load(include_str!("lua/claim.lua"))?;
        self.finish = load(if self.next { include_str!("lua/next.lua") } else { include_str!("lua/finish.lua") })?;
        Ok(())
    }

    fn put(&self, number: u64, out: &mut Vec<u8>) {
        let call = [Text("EVALSHA"), Text(&self.put), Number(2), Text(WAITING), Joined(TASK, number)];
        command(out, &[&call[..], &[Number(number), Number(PRIORITY), Text(PAYLOAD)]].concat());
    }

    fn version(&self, _: &mut Connection) -> String {
        String::new()
    }
}

impl Dialect for Lua {
    fn brings_next(&self) -> bool {
        self.next
    }

    fn claim(&self, worker: usize, out: &mut Vec<u8>) {
        let call = [Text("EVALSHA"), Text(&self.claim), Number(3), Text(WAITING), Text(LEASES), Text(TOKEN)];
        command(out, &[&call[..], &[Joined("worker-", worker as u64), Text(TASK)]].concat());
    }

    fn finish(&self, worker: usize, task: Task, out: &mut Vec<u8>) {
        let call = [Text("EVALSHA"), Text(&self.finish)];
        let (leased, proof) = ([Text(LEASES), Joined(TASK, task.id)], [Number(task.id), Number(task.token)]);
        if self.next {
            let keys = [leased[0], leased[1], Text(WAITING), Text(TOKEN)];
            let claimer = [Joined("worker-", worker as u64), Text(TASK)];
            command(out, &[&call[..], &[Number(4)], &keys, &proof, &claimer].concat());
        } else {
            command(out, &[&call[..], &[Number(2)], &leased, &proof].concat());
        }
    }

    fn read(&self, asked: Asked, input: &[u8]) -> Front<Option<Task>> {
        let (mut numbers, mut count) = ([0; 2], 0);
        let length = leaves(input, &mut |leaf| {
            if let Leaf::Number(number) = leaf {
                if count < numbers.len() {
                    numbers[count] = number;
                }
                count += 1;
            }
        })?;
        let task = (count == 2).then_some(Task { id: numbers[0], token: numbers[1] });
        // A finish without the next claim answers 1: a lease ended.
        match (asked, self.next, count) {
            (Asked::Finish, false, 1) if numbers[0] != 1 => Err("the lease was lost".to_owned()),
            (Asked::Finish, false, 1) | (Asked::Claim, _, 0 | 2) | (Asked::Finish, true, 0 | 2) => {
                Ok(length.map(|length| (length, task)))
            }
            _ if length.is_none() => Ok(None),
            _ => Err(format!("an answer of another kind: {}", String::from_utf8_lossy(input))),
        }
    }
}
