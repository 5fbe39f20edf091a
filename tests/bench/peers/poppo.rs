//! Poppo: `POPPO.CLAIM`, then `POPPO.CHECKIN`; or `POPPO.CHECKIN … NEXT`, which claims the next task in the same step.

use poppo_tests::{Builder, Connection, Reply, Server};

use crate::common::resp::Word::{Joined, Number, Text};
use crate::common::resp::{Leaf, command, leaves};

use super::load::{Asked, Dialect, Front, Task};
use super::queue::PAYLOAD;
use super::redis::OnRedis;

/// The key of all queues.
pub(super) const PROJECT: &str = "acme/widgets";

/// Workers of Poppo.
pub(super) struct Poppo {
    next: bool,
    silent: bool,
}

impl Poppo {
    /// With `NEXT` or without, publishing what happens or not.
    pub(super) const fn new(next: bool, silent: bool) -> Self {
        Self { next, silent }
    }
}

impl OnRedis for Poppo {
    fn server(&self) -> Builder {
        let builder = Server::builder();
        if self.silent { builder.module_arg("publish").module_arg("off") } else { builder }
    }

    fn prepare(&mut self, control: &mut Connection) -> Result<(), String> {
        has_queue(control)
    }

    fn put(&self, number: u64, out: &mut Vec<u8>) {
        let task = [Text("POPPO.ENQUEUE"), Text(PROJECT), Number(number), Text("PAYLOAD"), Text(PAYLOAD)];
        command(out, &task);
    }

    fn version(&self, control: &mut Connection) -> String {
        format!("Poppo {}", control.info("poppo", "poppo_version"))
    }
}

impl Dialect for Poppo {
    fn brings_next(&self) -> bool {
        self.next
    }

    fn claim(&self, worker: usize, out: &mut Vec<u8>) {
        command(out, &[Text("POPPO.CLAIM"), Text(PROJECT), Joined("worker-", worker as u64)]);
    }

    fn finish(&self, worker: usize, task: Task, out: &mut Vec<u8>) {
        let worker = Joined("worker-", worker as u64);
        let how = [Text("STATUS"), Text("completed"), Text("TOKEN"), Number(task.token)];
        let checkin = [Text("POPPO.CHECKIN"), Text(PROJECT), Number(task.id), worker, how[0], how[1], how[2], how[3]];
        if self.next { command(out, &[&checkin[..], &[Text("NEXT")]].concat()) } else { command(out, &checkin) }
    }

    fn read(&self, asked: Asked, input: &[u8]) -> Front<Option<Task>> {
        claimed(asked, self.next, input)
    }
}

/// Looks whether the module knows tasks: one older than its queue may be compared with other figures, not with these.
pub(super) fn has_queue(control: &mut Connection) -> Result<(), String> {
    let known = control.ok("COMMAND INFO POPPO.CLAIM");
    let known = known.rows().iter().all(|command| *command != redis::Value::Nil);
    known.then_some(()).ok_or_else(|| "this module is older than the queue".to_owned())
}

/// Reads the answer to a claim: the task's record, or null. To a check-in: `OK`, and with `NEXT` such an answer behind it.
pub(super) fn claimed(asked: Asked, next: bool, input: &[u8]) -> Front<Option<Task>> {
    let (mut name, mut id, mut token, mut ok, mut null) = (&b""[..], None, None, false, false);
    let mut number = |name: &[u8], value: u64| match name {
        b"issue" => id = Some(value),
        b"token" => token = Some(value),
        _ => {}
    };
    let length = leaves(input, &mut |leaf| match leaf {
        // A field's name, or its value.
        Leaf::Text(text) => {
            ok |= text == b"OK";
            name = text;
        }
        Leaf::Number(value) => number(name, value),
        Leaf::Null => null |= name.is_empty() || name == b"OK",
    })?;
    let Some(length) = length else { return Ok(None) };
    let task = id.zip(token).map(|(id, token)| Task { id, token });
    let shape_is_right = ok == (asked == Asked::Finish) && (task.is_some() || null) == (asked == Asked::Claim || next);
    let answer = || format!("an answer of another kind: {}", String::from_utf8_lossy(input));
    if shape_is_right { Ok(Some((length, task))) } else { Err(answer()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RECORD: &str = "*6\r\n$5\r\nissue\r\n:7\r\n$5\r\ntoken\r\n:99\r\n$5\r\ntitle\r\n$-1\r\n";

    #[test]
    fn a_claim_brings_a_task_or_none() {
        let task = Some(Task { id: 7, token: 99 });
        assert_eq!(claimed(Asked::Claim, false, RECORD.as_bytes()), Ok(Some((RECORD.len(), task))));
        assert_eq!(claimed(Asked::Claim, false, b"$-1\r\n"), Ok(Some((5, None))));
        assert_eq!(claimed(Asked::Claim, false, b"*-1\r\n"), Ok(Some((5, None))));
        assert!(claimed(Asked::Claim, false, b"+OK\r\n").is_err());
    }

    #[test]
    fn a_check_in_brings_the_next_task_where_it_was_asked_for() {
        assert_eq!(claimed(Asked::Finish, false, b"+OK\r\n"), Ok(Some((5, None))));
        let both = format!("*2\r\n+OK\r\n{RECORD}");
        let task = Some(Task { id: 7, token: 99 });
        assert_eq!(claimed(Asked::Finish, true, both.as_bytes()), Ok(Some((both.len(), task))));
        assert_eq!(claimed(Asked::Finish, true, b"*2\r\n+OK\r\n$-1\r\n"), Ok(Some((14, None))));
        assert!(claimed(Asked::Finish, true, b"+OK\r\n").is_err());
        assert!(claimed(Asked::Finish, false, b"-STALE x\r\n").is_err());
    }
}
