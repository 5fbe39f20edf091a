//! From `kill -9` of a worker to another worker's claim of its issue, with a daemon on their host.

use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use poppo_tests::daemon::Daemon;
use poppo_tests::{Connection, DEADLINE, Reply as _, Server, command, wait_until};

use crate::common::machine::Cores;
use crate::common::progress::Progress;

use super::observe;

/// How many phases [`run`] announces.
pub(super) const PHASES: usize = 1;

/// Kills so many workers, one after another. How long each time, in ms.
pub(super) fn run(cores: Cores, kills: usize, progress: &mut Progress) -> Vec<f64> {
    progress.phase(&format!("kill -9 of {kills} workers"));
    let server = cores.start(Server::builder());
    // Beside the server, as on a host whose other core is busy with work.
    let daemon = cores.on_server(|| Daemon::builder(&server).start());
    let mut control = server.connect();
    let times = (1..=kills).map(|issue| kill_one(&server, &mut control, issue)).collect();
    assert_eq!(daemon.end(), Some(0), "the daemon ends in good order");
    times
}

fn kill_one(server: &Server, control: &mut Connection, issue: usize) -> f64 {
    let name = format!("victim-{issue}");
    let mut victim = work(server, &name);
    control.ok(&format!("POPPO.ENQUEUE p {issue}"));
    // It has been at work for a while, so its daemon knows it.
    wait_until("the worker is at work, and watched", || {
        let page = control.ok("POPPO.LIST p PROCESSES COUNT 10000");
        page.rows()[1].rows().iter().any(|row| row.field("process") == name && row.get("attestTime").is_some())
    });
    let (answered, answer) = mpsc::channel();
    let mut heir = server.connect();
    let waiting = std::thread::spawn(move || {
        let claimed = heir.ok("POPPO.CLAIM p heir BLOCK 20000");
        answered.send(Instant::now()).expect("somebody waits for it");
        assert_eq!(claimed.count("issue"), issue as i64, "it is the victim's");
        heir.ok(&format!("POPPO.CHECKIN p {issue} heir STATUS completed"));
    });
    wait_until("another worker waits for a task", || observe::number(control, "poppo", "poppo_blocked_claims") == 1);
    let killed = Instant::now();
    victim.kill().expect("a child can be killed");
    let time: Duration = answer.recv_timeout(DEADLINE).expect("the claim is answered") - killed;
    waiting.join().expect("the other worker checks in");
    let status = victim.wait().expect("a child can be waited for");
    assert_eq!(status.signal(), Some(9), "it was killed");
    time.as_secs_f64() * 1e3
}

/// `poppo work`, whose command goes on until it is told to end.
fn work(server: &Server, name: &str) -> Child {
    let mut worker = command::poppo(server, &["work", "--process", name, "--", "sleep", "1000"]);
    worker.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("poppo starts")
}
