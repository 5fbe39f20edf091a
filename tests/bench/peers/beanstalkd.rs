//! beanstalkd: `reserve`, then `delete`.

use std::net::{Ipv4Addr, TcpStream};
use std::process::Command;

use poppo_tests::wait_until;
use rustix::process::Signal;

use crate::common::machine::Cores;
use crate::common::resp::whole;

use super::contender::Disk;
use super::load::{self, Asked, Dialect, Front, Task};
use super::process::{Process, found, place};
use super::queue::{PAYLOAD, Queue, Turn, Window};
use super::redis::pour;

const PROGRAM: &str = "beanstalkd";

/// beanstalkd, started anew for each turn: it has no command that empties it.
pub(super) struct Beanstalkd {
    cores: Cores,
    disk: Disk,
    running: Option<(Process, u16)>,
}

pub(super) fn start(cores: Cores, disk: Disk) -> Result<Beanstalkd, String> {
    if !found(PROGRAM) {
        return Err("beanstalkd is not installed".to_owned());
    }
    Ok(Beanstalkd { cores, disk, running: None })
}

impl Queue for Beanstalkd {
    fn version(&mut self) -> String {
        let said = Command::new(PROGRAM).arg("-v").output().expect("beanstalkd runs");
        String::from_utf8_lossy(&said.stdout).trim().to_owned()
    }

    fn fill(&mut self, tasks: u64) {
        // The old one goes first.
        self.running = None;
        let (directory, port) = place();
        let mut command = Command::new(PROGRAM);
        command.args(["-l", "127.0.0.1", "-p", &port.to_string()]);
        if self.disk == Disk::Own {
            command.arg("-b").arg(directory.path()).args(["-f", "1000"]);
        }
        let start = || Process::start(command, directory, Signal::TERM).expect("beanstalkd starts");
        let mut process = self.cores.on_server(start);
        wait_until("beanstalkd listens", || {
            if let Some(failure) = process.failure() {
                panic!("beanstalkd ended: {failure}");
            }
            TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok()
        });
        let put = format!("put 50 0 3600 {}\r\n{PAYLOAD}\r\n", PAYLOAD.len());
        pour(port, tasks, "INSERTED", |_, out| out.extend_from_slice(put.as_bytes()));
        self.running = Some((process, port));
    }

    fn turn(&mut self, workers: usize, window: Window, tasks: u64) -> Option<Turn> {
        let (process, port) = self.running.as_ref().expect("it was filled");
        load::run(&Talk, (*port, process.id()), workers, window, tasks)
    }
}

struct Talk;

impl Dialect for Talk {
    /// A timeout of nothing: the same as `reserve` where tasks wait, and an answer where none does.
    fn claim(&self, _: usize, out: &mut Vec<u8>) {
        out.extend_from_slice(b"reserve-with-timeout 0\r\n");
    }

    fn finish(&self, _: usize, task: Task, out: &mut Vec<u8>) {
        out.extend_from_slice(format!("delete {}\r\n", task.id).as_bytes());
    }

    fn read(&self, asked: Asked, input: &[u8]) -> Front<Option<Task>> {
        let Some(end) = input.windows(2).position(|pair| pair == b"\r\n") else { return Ok(None) };
        let (line, head) = (&input[..end], end + 2);
        let mut words = line.split(|byte| *byte == b' ');
        match (asked, words.next().unwrap_or_default()) {
            (Asked::Finish, b"DELETED") | (Asked::Claim, b"TIMED_OUT") => Ok(Some((head, None))),
            (Asked::Claim, b"RESERVED") => {
                let id = whole(words.next().unwrap_or_default())?;
                let length = head + whole(words.next().unwrap_or_default())? as usize + 2;
                Ok((length <= input.len()).then_some((length, Some(Task { id, token: 0 }))))
            }
            _ => Err(String::from_utf8_lossy(line).into_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read_as_they_come() {
        let reserved = b"RESERVED 12 5\r\nhello\r\n";
        for length in 0..reserved.len() {
            assert_eq!(Talk.read(Asked::Claim, &reserved[..length]), Ok(None), "{length} bytes");
        }
        let task = Some(Task { id: 12, token: 0 });
        assert_eq!(Talk.read(Asked::Claim, reserved), Ok(Some((reserved.len(), task))));
        assert_eq!(Talk.read(Asked::Claim, b"TIMED_OUT\r\n"), Ok(Some((11, None))));
        assert_eq!(Talk.read(Asked::Finish, b"DELETED\r\n"), Ok(Some((9, None))));
        assert!(Talk.read(Asked::Finish, b"NOT_FOUND\r\n").is_err());
    }
}
