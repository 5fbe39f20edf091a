//! What a waiting task takes.

use poppo_tests::Server;

use crate::common::machine::Cores;
use crate::common::progress::Progress;
use crate::common::resp::Word::{Number, Text};
use crate::common::resp::command;

use super::contender::Disk;
use super::options::Scale;
use super::poppo::{self, PROJECT};
use super::redis;

pub(super) const PHASES: usize = 1;

/// `used_memory` per waiting task without a payload, in bytes; none where the module has no queue.
pub(super) fn run(cores: Cores, scale: &Scale, progress: &mut Progress) -> Option<f64> {
    progress.phase("memory of waiting tasks");
    let (server, _, _guard) = redis::server(cores, Server::builder(), Disk::Nothing);
    let mut control = server.connect();
    poppo::has_queue(&mut control).ok()?;
    let used =
        |control: &mut poppo_tests::Connection| control.info("memory", "used_memory").parse::<f64>().expect("bytes");
    let before = used(&mut control);
    redis::pour(server.port(), scale.tasks, ":1", |number, out| {
        command(out, &[Text("POPPO.ENQUEUE"), Text(PROJECT), Number(number)]);
    });
    // The connection that poured, and its buffers, are gone when the server says so.
    poppo_tests::wait_until("nobody else is connected", || control.info("clients", "connected_clients") == "1");
    Some((used(&mut control) - before) / scale.tasks as f64)
}
